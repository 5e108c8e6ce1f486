//! A catalog's entries: the list, one entry, and the changes of one or of several.

use std::collections::HashMap;

use askama::Template;
use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{
    ArchiveEntryRequest, CreateEntryRequest, Entry, GetEntryRequest, ListEntriesRequest,
    ListEntriesResponse, RestoreEntryRequest, State, UpdateEntryRequest,
};
use prost_types::FieldMask;
use tonic::Status;

use super::{
    answer::{Answer, elsewhere, file, page, shown},
    color::{Offered, PALETTE},
    form,
    form::Form,
    ideas::{self, Ideas},
    problem::{Field, Problem},
    put_away::Held,
    reorder::written,
    sentences,
    view::Frame,
    visit::{Visit, act, quoted, with_query},
    words::{self, Moment, Words},
};
use crate::status::Page;

const FIELDS: [Field; 4] = [
    ("name", "name", "The name"),
    ("description", "description", "The description"),
    ("color", "color", "The color"),
    ("successor", "successor_id", "The new default"),
];

/// An entry in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) color: String,
    pub(super) is_default: bool,
    /// The place, from 1.
    pub(super) place: i32,
    /// The text that was typed over its place, where nothing was moved yet.
    pub(super) typed: Option<String>,
    /// The reason why it cannot have that place.
    pub(super) wrong: Option<String>,
}

fn row(here: &str, entry: Entry) -> Row {
    Row {
        path: format!("{here}/{}", form::part(&entry.id)),
        id: entry.id,
        name: entry.name.unwrap_or_default(),
        description: entry.description.unwrap_or_default(),
        color: entry.color.unwrap_or_default(),
        is_default: entry.is_default.unwrap_or_default(),
        place: entry.position.unwrap_or_default() + 1,
        typed: None,
        wrong: None,
    }
}

/// The color that a form gives: one of the palette, none, or one of its own.
pub(super) struct Picked {
    pub(super) color: String,
}

impl Picked {
    fn sent(form: &Form) -> Self {
        let color = match form.get("pick") {
            "none" => "",
            "own" => form.get("own"),
            color => color,
        };
        Self { color: color.to_owned() }
    }

    /// Whether it is that color of the palette.
    pub(super) fn is(&self, color: &str) -> bool {
        self.color.eq_ignore_ascii_case(color)
    }

    /// Whether it is a color that the palette does not have.
    pub(super) fn is_own(&self) -> bool {
        !self.color.is_empty() && !PALETTE.iter().any(|offered| self.is(offered.value))
    }

    /// The value of the field for a color of one's own, which cannot be empty.
    pub(super) fn own(&self) -> &str {
        if self.is_own() { &self.color } else { "#546E7A" }
    }
}

/// A path of the console names no such catalog.
pub(super) fn catalog_words(visit: &Visit<'_>) -> Result<&'static Words, Status> {
    words::catalog(visit.part(1)).ok_or_else(|| Status::not_found("there is no such list"))
}

/// The path of the visit's catalog.
pub(super) fn catalog_path(visit: &Visit<'_>) -> String {
    format!("{}/{}", visit.company_path(), visit.link_part(1))
}

/// The query by which the list of the visit shows also that which was put away. Actions lead back to the list as it was.
pub(super) fn view(visit: &Visit<'_>) -> &'static str {
    if visit.query.get("archived").is_empty() { "" } else { "?archived=1" }
}

/// The path of the visit's list as it was.
pub(super) fn list_path(visit: &Visit<'_>) -> String {
    format!("{}{}", catalog_path(visit), view(visit))
}

/// The entries of the visit's catalog.
pub(super) async fn entries_of(
    visit: &Visit<'_>,
    filter: String,
    show_archived: bool,
) -> Result<ListEntriesResponse, Status> {
    let ask = ListEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        filter,
        show_archived,
        ..Default::default()
    };
    Ok(visit.entries().list_entries(visit.ask(ask)).await?.into_inner())
}

#[derive(Template)]
#[template(path = "catalog.html")]
struct CatalogPage {
    f: Frame,
    words: &'static Words,
    here: String,
    problem: Problem,
    rows: Vec<Row>,
    archived: Vec<Row>,
    /// The query by which the page shows also those put away; empty where it does not.
    view: &'static str,
    q: String,
    etag: String,
    request: String,
    palette: &'static [Offered],
    /// The form for one more, as it was sent.
    name: String,
    description: String,
    picked: Picked,
    /// The form for many, as it was sent.
    lines: String,
    ideas: Ideas,
}

async fn catalog_page(visit: &Visit<'_>, problem: Problem) -> Result<CatalogPage, Status> {
    let words = catalog_words(visit)?;
    let here = catalog_path(visit);
    let q = visit.query.get("q").to_owned();
    let filter = if q.is_empty() { String::new() } else { format!("name : {}", quoted(&q)) };
    let list = entries_of(visit, filter, !view(visit).is_empty()).await?;
    let is_archived = |entry: &Entry| entry.state == State::Archived as i32;
    let (archived, active): (Vec<_>, Vec<_>) = list.entries.into_iter().partition(is_archived);
    let mut rows: Vec<Row> = active.into_iter().map(|entry| row(&here, entry)).collect();
    let typed: HashMap<&str, &str> = written(visit.form).collect();
    for (row, place) in rows.iter_mut().zip(1..) {
        let typed = typed.get(&*row.id).map(|typed| (*typed).to_owned());
        row.typed = typed.filter(|typed| *typed != place.to_string());
        let wrong = problem.places.iter().find(|(id, _)| row.id == *id);
        row.wrong = wrong.map(|(_, text)| text.clone());
    }
    let f = visit.company_frame(words.collection, words.title).await?;
    let ideas = match f.may.change {
        true => Ideas::of(visit, words.collection, &rows),
        false => Ideas::default(),
    };
    Ok(CatalogPage {
        f,
        words,
        problem,
        ideas,
        rows,
        archived: archived.into_iter().map(|entry| row(&here, entry)).collect(),
        here,
        view: view(visit),
        q,
        etag: list.etag,
        request: Visit::new_request(),
        palette: &PALETTE,
        name: visit.form.get("name").to_owned(),
        description: visit.form.get("description").to_owned(),
        picked: Picked::sent(visit.form),
        lines: visit.form.find("lines").unwrap_or_default().to_owned(),
    })
}

/// The list of a catalog.
pub(super) async fn catalog(visit: &Visit<'_>) -> Answer {
    shown(&catalog_page(visit, Problem::default()).await?)
}

/// The list as it is, or as a revision left it: a line for each entry, as the form for many takes it.
pub(super) async fn download(visit: &Visit<'_>) -> Answer {
    let words = catalog_words(visit)?;
    let ask = ListEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: words.collection.to_owned(),
        revision: visit.query.get("revision").parse().unwrap_or_default(),
        ..Default::default()
    };
    let list = visit.entries().list_entries(visit.ask(ask)).await?.into_inner();
    let line = |entry: Entry| {
        let (name, color) = (entry.name.unwrap_or_default(), entry.color.unwrap_or_default());
        // A tab says where the name ends, so that no part of it is taken for a color.
        let is_plain = color.is_empty() && !name.contains('#');
        if is_plain { format!("{name}\n") } else { format!("{name}\t{color}\n") }
    };
    let text = list.entries.into_iter().map(line).collect();
    // People keep the files of several companies in one folder.
    Ok(file(&format!("{}-{}-{}.txt", visit.part(0), words.collection, list.revision), text))
}

/// The list again, with what is wrong with a form.
pub(super) async fn catalog_refused(
    visit: &Visit<'_>,
    status: &Status,
    problem: Problem,
) -> Answer {
    Ok(page(Page::Refused(status), &catalog_page(visit, problem).await?))
}

/// Adds one entry.
pub(super) async fn add(visit: &Visit<'_>) -> Answer {
    let held = Held::read(visit, visit.part(1)).await;
    let away = held.as_ref().and_then(|held| held.put_away(visit.form.get("name")));
    // A form that names it was sent by somebody who knows of it.
    if let Some(away) = away.filter(|away| visit.form.get("sure") != away.id) {
        let problem = Problem::at("name", &sentences::put_away(&away.name));
        let problem = Problem { away: Some(away.clone()), ..problem };
        return catalog_refused(visit, &Status::invalid_argument(""), problem).await;
    }
    let entry = Entry {
        name: Some(visit.form.get("name").to_owned()),
        description: Some(visit.form.get("description").to_owned()),
        color: Some(Picked::sent(visit.form).color),
        ..Default::default()
    };
    let ask = CreateEntryRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        entry: Some(entry),
        request_id: visit.form.get("request").to_owned(),
        ..Default::default()
    };
    match visit.entries().create_entry(visit.ask(ask)).await {
        Ok(made) => {
            let act = act("added", visit.part(1), &made.get_ref().id);
            match visit.form.get("ideas") {
                "" => Ok(visit.done(made.metadata(), &list_path(visit), &act).await),
                // A person who takes an idea may want another one.
                group => {
                    let told = visit.what_was_done(made.metadata(), &act).await;
                    let path = with_query(&ideas::path(visit, group), &told);
                    Ok(elsewhere(&format!("{path}#ideas")))
                }
            }
        }
        Err(status) => {
            let problem = visit.problem(&status, &FIELDS);
            catalog_refused(visit, &status, problem).await
        }
    }
}

/// The fields of an entry's form.
struct Sheet {
    name: String,
    description: String,
    picked: Picked,
    is_default: bool,
}

impl Sheet {
    fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone().unwrap_or_default(),
            description: entry.description.clone().unwrap_or_default(),
            picked: Picked { color: entry.color.clone().unwrap_or_default() },
            is_default: entry.is_default.unwrap_or_default(),
        }
    }

    fn sent(form: &Form) -> Self {
        Self {
            name: form.get("name").to_owned(),
            description: form.get("description").to_owned(),
            picked: Picked::sent(form),
            is_default: !form.get("default").is_empty(),
        }
    }

    /// The texts by their names in the form.
    fn texts(&mut self) -> [(&'static str, &mut String); 2] {
        [("name", &mut self.name), ("description", &mut self.description)]
    }
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    f: Frame,
    words: &'static Words,
    list: String,
    here: String,
    problem: Problem,
    sheet: Sheet,
    /// As it is stored, where somebody else was faster.
    stored: Option<Sheet>,
    /// The fields as they are stored, so that the form knows which of them a person changed.
    was: Vec<(&'static str, String)>,
    palette: &'static [Offered],
    etag: String,
    request: String,
    is_archived: bool,
    is_default: bool,
    has_default: bool,
    /// The entries that may become the default in place of this one.
    successors: Vec<Row>,
    history: Option<String>,
    updated: Option<Moment>,
    id: String,
}

/// The visit's entry.
pub(super) async fn get(visit: &Visit<'_>) -> Result<Entry, Status> {
    let ask = GetEntryRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        id: visit.part(2).to_owned(),
        ..Default::default()
    };
    Ok(visit.entries().get_entry(visit.ask(ask)).await?.into_inner())
}

async fn entry_page(
    visit: &Visit<'_>,
    sheet: Option<Sheet>,
    problem: Problem,
) -> Result<EntryPage, Status> {
    let words = catalog_words(visit)?;
    let entry = get(visit).await?;
    let (mut sheet, mut stored) = (sheet, Sheet::of(&entry));
    let list = catalog_path(visit);
    let (is_default, name) = (stored.is_default, stored.name.clone());
    let successors = match is_default {
        true => entries_of(visit, String::new(), false).await?.entries,
        false => Vec::new(),
    };
    let others = successors.into_iter().filter(|other| other.id != entry.id);
    let others = others.map(|other| row(&list, other)).collect();
    let mut was = form::pairs(stored.texts());
    if let Some(sheet) = &mut sheet {
        visit.form.keep_others(sheet.texts(), &was);
        // A color is picked in several fields.
        if visit.form.was("color").is_some_and(|was| sheet.picked.is(was)) {
            sheet.picked.color.clone_from(&stored.picked.color);
        }
    }
    was.push(("color", stored.picked.color.clone()));
    let (sheet, stored) = problem.sheets(sheet, stored);
    let history = visit.may.see_history.then(|| {
        let (collection, id) = (visit.part(1), form::encode(visit.part(2)));
        format!("{}/history?list={collection}&entry={id}", visit.company_path())
    });
    Ok(EntryPage {
        f: visit.company_frame(words.collection, name).await?,
        words,
        here: format!("{list}/{}", visit.link_part(2)),
        list,
        problem,
        sheet,
        stored,
        was,
        palette: &PALETTE,
        etag: entry.etag,
        request: Visit::new_request(),
        is_archived: entry.state == State::Archived as i32,
        is_default,
        has_default: words.collection == "life_cycles",
        successors: others,
        history,
        updated: words::moment(entry.last_updated_time.as_ref()),
        id: entry.id,
    })
}

/// One entry.
pub(super) async fn entry(visit: &Visit<'_>) -> Answer {
    shown(&entry_page(visit, None, Problem::default()).await?)
}

/// The entry again, with what is wrong with its form.
async fn entry_refused(visit: &Visit<'_>, status: &Status, sheet: Option<Sheet>) -> Answer {
    let problem = visit.problem_of(status, &FIELDS, (visit.part(1), visit.part(2))).await;
    let is_typed = sheet.is_some();
    let shown = entry_page(visit, sheet, problem).await?;
    if shown.is_archived && is_typed {
        return Ok(visit.put_away(status, &shown.problem));
    }
    Ok(page(Page::Refused(status), &shown))
}

/// Saves an entry's fields.
pub(super) async fn save(visit: &Visit<'_>) -> Answer {
    let sheet = Sheet::sent(visit.form);
    let mut paths = vec!["name".to_owned(), "description".to_owned(), "color".to_owned()];
    // A default ceases to be one where another becomes it, and not by itself.
    paths.extend(sheet.is_default.then(|| "is_default".to_owned()));
    let entry = Entry {
        name: Some(sheet.name.clone()),
        description: Some(sheet.description.clone()),
        color: Some(sheet.picked.color.clone()),
        is_default: sheet.is_default.then_some(true),
        ..Default::default()
    };
    let ask = UpdateEntryRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        id: visit.part(2).to_owned(),
        entry: Some(entry),
        update_mask: Some(FieldMask { paths }),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.entries().update_entry(visit.ask(ask)).await {
        Ok(saved) => {
            let is_same = saved.get_ref().etag == visit.form.get("etag");
            let act = match is_same {
                true => "nothing".to_owned(),
                false => act("saved", visit.part(1), visit.part(2)),
            };
            Ok(visit.done(saved.metadata(), &catalog_path(visit), &act).await)
        }
        Err(status) => entry_refused(visit, &status, Some(sheet)).await,
    }
}

/// Puts an entry away, with a successor where it is the default.
pub(super) async fn archive(visit: &Visit<'_>) -> Answer {
    let ask = ArchiveEntryRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        id: visit.part(2).to_owned(),
        successor_id: visit.form.get("successor").to_owned(),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    let done = visit.entries().archive_entry(visit.ask(ask)).await;
    changed(visit, done.map(|done| done.metadata().clone()), "away").await
}

/// Takes an entry back.
pub(super) async fn restore(visit: &Visit<'_>) -> Answer {
    let ask = RestoreEntryRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        id: visit.part(2).to_owned(),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    let done = visit.entries().restore_entry(visit.ask(ask)).await;
    if let Err(status) = &done
        && let Some((list, id)) = Problem::holder(status)
    {
        let (text, way) = match visit.taken(&list, &id).await {
            Some((text, way)) => (text, Some(way)),
            None => (Problem::of(status, &[]).text, None),
        };
        let told = Problem::told(format!("It was not taken back. {text}"));
        let shown = entry_page(visit, None, Problem { way, ..told }).await?;
        return Ok(page(Page::Refused(status), &shown));
    }
    changed(visit, done.map(|done| done.metadata().clone()), "back").await
}

async fn changed(
    visit: &Visit<'_>,
    done: Result<tonic::metadata::MetadataMap, Status>,
    code: &str,
) -> Result<Response<Body>, Status> {
    match done {
        Ok(metadata) => {
            let act = act(code, visit.part(1), visit.part(2));
            Ok(visit.done(&metadata, &catalog_path(visit), &act).await)
        }
        Err(status) => entry_refused(visit, &status, None).await,
    }
}
