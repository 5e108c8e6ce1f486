//! Bringing documents and tables in, with their plan before, and taking a company's document along.

use std::fmt::Display;

use askama::Template;
use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{
    ApplySettingsRequest, Company, CompanyPlan, Document, DocumentCompany, ExportSettingsRequest,
    ListCompaniesRequest, PlanError, PlanRemark, PlanSettingsRequest,
};
use tokio::task::spawn_blocking;
use tonic::Status;

use super::{
    answer::{Answer, elsewhere, file, page, shown},
    choices,
    history::Thing,
    places,
    problem::Problem,
    put_away::{self, Named},
    reading::{self, Reading},
    sentences, steps,
    view::Frame,
    visit::{Visit, quoted},
    words::{CATALOGS, Words, capital},
};
use crate::{
    api::admin::document,
    catalog::{
        entry::Catalog,
        error::{Cause, Error},
        id::CompanyId,
    },
    formats::csv,
    service::document::{CompanyRow, DocumentCompany as ReadCompany, write},
    status::{Page, grpc_status},
};

/// The part of a form that a document may take: the form that applies its plan has ids beside it.
const MOST_OF_FORM: (usize, usize) = (7, 8);
/// The wish to take back entries that are put away, instead of making others of their names.
const BACK: &str = "back";
/// The note where a form has a file and a text.
const FILE_COUNTS: &str = "this is the file alone: the text in the field was left out. To use the text, go back and choose no file";
/// The sentence for a plan that is no longer the one that was shown.
const CHANGED: &str = "Something that you saw here has changed since, so nothing was done.";
/// The sentence where entries are to be put away whose lines may be among those that were left out.
const PRUNES_LEFT_OUT: &str = "Lines of the table cannot be taken, and what they name would be put away. Correct these \
    lines first, or take away this mark.";
/// The sentence for a limit of putting away without the wish to put away.
const NOTHING_PUT_AWAY: &str = "This counts only with “Put away what the lists do not name”: mark that as well, or leave \
    this empty.";
/// The sentences for another company that is not known, or whose name others have too.
const UNKNOWN: &str = "No company has this id or this name.";
const THIS_ONE: &str =
    "This is the company itself, which has its own lists already: name another one.";
const SEVERAL: &str = "Several companies have this name: give the id of the one that you mean.";
/// The sentence for a plan that changes more than lists, and is for somebody who may change lists alone.
const BEYOND_LISTS: &str = "Your key may change the lists, but not the company itself or its locations: that needs the \
    right “Change companies and locations”. Take these out of the document, or ask somebody who has it:";
/// The same for a plan that copies authors and times, or the source of the company.
const BEYOND_OWN: &str = "The document says who made things and when, or where the company comes from, and your key may not \
    set that: it needs the right “Copy from another system, with its authors and times”. Take the lines “created_by”, \
    “created_time”, “last_updated_by”, “last_updated_time” and “source” of these out of the document, or ask somebody who \
    has it:";
/// Companies that the page offers to copy from.
const MOST_OTHERS: i32 = 200;

/// The form as it was sent.
#[derive(Clone, Default)]
struct Sheet {
    text: String,
    list: String,
    from: String,
    prune: bool,
    /// The most entries of a list that may be put away where that looks like a mistake, as it was typed.
    most: String,
    /// Whether there is a typed text beside the file, which is another one.
    has_both: bool,
    /// The places of the document where entries that are put away are taken back, with their ids: a line for each.
    back: String,
}

impl Sheet {
    fn sent(visit: &Visit<'_>) -> Self {
        let get = |name: &str| visit.form.get(name).to_owned();
        let uploaded = visit.form.find("file").filter(|text| !text.trim().is_empty());
        let typed = visit.form.find("text").unwrap_or_default();
        let has_both =
            uploaded.is_some_and(|file| file.trim() != typed.trim() && !typed.trim().is_empty());
        Self {
            has_both,
            text: uploaded.unwrap_or(typed).to_owned(),
            list: get("list"),
            from: get("from"),
            prune: !get("prune").is_empty(),
            most: get("most"),
            back: get("back"),
        }
    }

    /// The limit of putting away: none without that wish.
    fn prune_limit(&self) -> Option<i32> {
        match (self.prune, self.most.as_str()) {
            (false, _) | (_, "") => Some(0),
            (true, most) => most.parse().ok().filter(|most| *most >= 0),
        }
    }

    fn catalog(&self) -> Catalog {
        let named = Catalog::ALL.into_iter().find(|one| one.as_str() == self.list);
        named.unwrap_or(Catalog::CustomerTags)
    }
}

/// A company from which lists may be copied.
struct Other {
    id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "bring.html")]
struct BringPage {
    f: Frame,
    problem: Problem,
    sheet: Sheet,
    lists: &'static [Words],
    others: Vec<Other>,
    here: String,
    request: String,
}

#[derive(Template)]
#[template(path = "bring_plan.html")]
struct PlanPage {
    f: Frame,
    problem: Problem,
    here: String,
    summary: String,
    notes: Vec<String>,
    things: Vec<Thing>,
    others: usize,
    sides: [&'static str; 2],
    /// The sentences about things that the key may not change, each with these things. Nothing is offered then.
    beyond: Vec<(&'static str, Vec<String>)>,
    may_undo: bool,
    /// The entries that are put away and have the names of what would be made.
    away: Vec<Named>,
    /// The places of the document where such entries are taken back, with their ids: a line for each.
    back: String,
    /// The text as the person gave it: each look at it leaves out the same lines, and says so.
    text: String,
    /// The catalog of a table that names none.
    list: String,
    prune: bool,
    most: i32,
    /// The ids of what would be made, a line for each.
    ids: String,
    digest: String,
    request: String,
}

/// A document whose plan can be asked for.
struct Ready {
    company: DocumentCompany,
    notes: Vec<String>,
    prune: bool,
    prune_limit: i32,
    /// The company as it was read, with its problems.
    read: Option<ReadCompany>,
    /// The entries that are put away and have the names of what would be made.
    away: Vec<Named>,
}

/// Shows the form; or the plan of what was sent; or applies that.
pub(super) async fn bring(visit: &Visit<'_>) -> Answer {
    let mut sheet = Sheet::sent(visit);
    let wish = visit.form.get("do").to_owned();
    if !visit.is_post || wish == "edit" {
        return shown(&form_page(visit, sheet, Problem::default()).await?);
    }
    if let Some(problem) = visit.form.unread() {
        return told(visit, sheet, Problem::at("file", problem)).await;
    }
    if !sheet.from.is_empty() {
        let from = match company(visit, &sheet.from).await {
            Ok(from) => from,
            Err(text) => return told(visit, sheet, Problem::at("from", text)).await,
        };
        sheet.text = match copied(visit, &from).await {
            Ok(text) => text,
            Err(status) if Problem::of(&status, &[]).is_absence() => {
                let shown = form_page(visit, sheet, Problem::at("from", UNKNOWN)).await?;
                return Ok(page(Page::Refused(&status), &shown));
            }
            Err(status) => return refused(visit, sheet, &status).await,
        };
        sheet.from = String::new();
    }
    if sheet.text.trim().is_empty() {
        let text = "Paste a document or a table, choose a file, or name another company.";
        return told(visit, sheet, Problem::at("text", text)).await;
    }
    let most = visit.console.options.body_limits.document / MOST_OF_FORM.1 * MOST_OF_FORM.0;
    if sheet.text.len() > most {
        let text = "This is too long for a page: give it to the command line.";
        return told(visit, Sheet::default(), Problem::at("text", text)).await;
    }
    let Some(prune_limit) = sheet.prune_limit() else {
        return told(visit, sheet, Problem::at("most", "Give a number, or leave it empty.")).await;
    };
    if !sheet.prune && !sheet.most.is_empty() {
        return told(visit, sheet, Problem::at("most", NOTHING_PUT_AWAY)).await;
    }
    let ready = match ready(visit, &mut sheet, prune_limit).await? {
        Ok(ready) => ready,
        Err(sentences) => {
            return told(visit, sheet, wrong(sentences)).await;
        }
    };
    if wish != "apply" || Reading::is_wrong(ready.read.as_ref()) {
        return plan(visit, sheet, ready, None).await;
    }
    apply(visit, sheet, ready).await
}

async fn apply(visit: &Visit<'_>, sheet: Sheet, ready: Ready) -> Answer {
    let id = visit.part(0).to_owned();
    let digest = visit.form.get("digest").to_owned();
    // Another plan may find what this one would make, and gives ids of its own.
    let mut pinned = ready.company.clone();
    steps::pin(&mut pinned, visit.form.get("ids"));
    let ask = ApplySettingsRequest {
        document: Some(of_one(pinned)),
        digests: [(id, digest)].into(),
        prune: ready.prune,
        prune_limit: ready.prune_limit,
        request_id: visit.form.get("request").to_owned(),
        ..Default::default()
    };
    match visit.documents().apply_settings(visit.ask(ask)).await {
        Ok(answer) => {
            let result = answer.into_inner().results.into_iter().next().unwrap_or_default();
            if let Some(error) = result.error {
                let text = format!("Nothing was done: {}", error.message);
                return told(visit, sheet, Problem::told(text)).await;
            }
            let done = match visit.may.see_history {
                true => format!("changed={}", result.revision),
                false => "did=brought".to_owned(),
            };
            Ok(elsewhere(&format!("{}?{done}", visit.company_path())))
        }
        Err(status) => {
            let problem = visit.problem(&status, &[]);
            match problem.reason.as_str() {
                "PLAN_CHANGED" => {
                    let told = changed(visit, &problem.since).await;
                    plan(visit, sheet, ready, Some((&status, told))).await
                }
                _ => refused(visit, sheet, &status).await,
            }
        }
    }
}

/// The sentences for a plan that is another one since these changes, newest first.
async fn changed(visit: &Visit<'_>, since: &[i64]) -> String {
    let mut text = CHANGED.to_owned();
    for revision in since.iter().rev().filter(|_| visit.may.see_history) {
        if let Ok(change) = visit.get_change(*revision).await {
            text += &format!(" {}", visit.told(change).await);
        }
    }
    text
}

/// The plan in words. `changed` is the refusal of the plan that was shown before, and its sentences.
async fn plan(
    visit: &Visit<'_>,
    sheet: Sheet,
    ready: Ready,
    changed: Option<(&Status, String)>,
) -> Answer {
    let ask = PlanSettingsRequest {
        document: Some(of_one(ready.company.clone())),
        prune: ready.prune,
        prune_limit: ready.prune_limit,
        ..Default::default()
    };
    let planned = match visit.documents().plan_settings(visit.ask(ask)).await {
        Ok(answer) => answer.into_inner().plans.into_iter().next().unwrap_or_default(),
        Err(status) => return refused(visit, sheet, &status).await,
    };
    let sentences = problems(ready.read.as_ref(), planned.error.as_ref());
    if !sentences.is_empty() {
        let mut problem = wrong(sentences);
        if let Some((_, told)) = changed {
            problem.text = format!("{told} Please correct this:");
        }
        return self::told(visit, sheet, problem).await;
    }
    let (changed, text) = match changed {
        Some((status, told)) => (Some(status), format!("{told} This is what would happen now.")),
        None => (None, String::new()),
    };
    let problem = Problem::told(text);
    // The page itself offers to take back what is put away.
    let warnings = planned.warnings.iter().filter(|one| one.reason != "NAME_ARCHIVED");
    let notes = ready.notes.into_iter().chain(warnings.map(steps::remark));
    let notes = notes.map(|note| capital(&places::told(&note))).collect();
    let CompanyPlan { digest, steps: all, counts, .. } = planned;
    let of_lists = (BEYOND_LISTS, steps::beyond_lists(&all));
    let may_undo = visit.may.undo && (visit.may.change_companies || of_lists.1.is_empty());
    let of_sources = (BEYOND_OWN, steps::of_sources(&all, &ready.company));
    let may = [(visit.may.change_companies, of_lists), (visit.may.be_source, of_sources)];
    let beyond = may.into_iter().filter(|(may, (_, things))| !may && !things.is_empty());
    let shown_page = PlanPage {
        f: visit.company_frame("settings", "What would change").await?,
        problem,
        here: visit.company_path(),
        summary: steps::summary(counts.unwrap_or_default()),
        notes,
        ids: steps::pins(&all),
        others: steps::others(&all),
        things: steps::things(&all),
        sides: ["Now", "Then"],
        may_undo,
        beyond: beyond.map(|(_, told)| told).collect(),
        away: ready.away,
        back: sheet.back,
        text: sheet.text,
        list: sheet.list,
        prune: ready.prune,
        most: ready.prune_limit,
        digest,
        request: Visit::new_request(),
    };
    Ok(page(changed.map_or(Page::Shown, Page::Refused), &shown_page))
}

/// The problems of a document and of its plan, each with the field of the form that it is about.
fn problems(read: Option<&ReadCompany>, error: Option<&PlanError>) -> Vec<(&'static str, String)> {
    let violations = error.map_or(&[][..], |error| &error.violations);
    let (lost, others): (Vec<&PlanRemark>, Vec<_>) =
        violations.iter().partition(|one| one.reason == "PRUNE_LIMIT");
    let is_sure = |one: &&PlanRemark| {
        read.is_none_or(|company| company.problems.leave_sure(&one.reason, &one.field))
    };
    let told = |PlanRemark { field, reason, description }: &PlanRemark| {
        (field.clone(), reason.clone(), sentences::described(reason, description))
    };
    let others: Vec<_> = others.into_iter().map(told).collect();
    let others = others.iter().map(|(field, reason, told)| (&**field, &**reason, &**told));
    let others = Reading::problems(read, others).into_iter().map(|told| ("text", told));
    let lost = lost.into_iter().filter(is_sure).map(|one| ("most", steps::lost(one)));
    let mut all: Vec<_> = others.chain(lost).collect();
    if let Some(error) = error.filter(|_| all.is_empty()) {
        all.push(("text", error.message.clone()));
    }
    all
}

fn of_one(company: DocumentCompany) -> Document {
    Document { version: 1, companies: vec![company] }
}

/// Reads what was sent, beside the threads that answer: a long text takes a while.
async fn ready(
    visit: &Visit<'_>,
    sheet: &mut Sheet,
    prune_limit: i32,
) -> Result<Result<Ready, Vec<(&'static str, String)>>, Status> {
    let id = CompanyId::parse("company", visit.part(0));
    let id = id.map_err(|_| Status::not_found("there is no such company"))?;
    let (text, list) = (sheet.text.clone(), sheet.catalog());
    let read = spawn_blocking(move || reading::read(&text, &id, list)).await;
    let read = read.map_err(broken)?;
    let at_text = |sentence| ("text", sentence);
    let Reading { row, notes, left_out, read } = match read {
        Ok(reading) => reading,
        Err(sentences) => return Ok(Err(sentences.into_iter().map(at_text).collect())),
    };
    if sheet.prune && left_out > 0 {
        let told = notes.into_iter().map(at_text);
        return Ok(Err([("prune", PRUNES_LEFT_OUT.to_owned())].into_iter().chain(told).collect()));
    }
    let mut company = document::company(row).map_err(|error| grpc_status(&error))?;
    steps::take_back(&mut company, &sheet.back);
    let mut away = put_away::named(visit, &mut company).await;
    if visit.form.get("do") == BACK {
        let pin = |one: Named| format!("\n{} {}", one.place, one.entry.id);
        sheet.back.extend(away.drain(..).map(pin));
        steps::take_back(&mut company, &sheet.back);
    }
    let both = sheet.has_both.then(|| FILE_COUNTS.to_owned());
    let notes = both.into_iter().chain(visit.form.note()).chain(notes).collect();
    Ok(Ok(Ready { company, notes, prune: sheet.prune, prune_limit, read, away }))
}

/// Sentences, each with the field that it is about.
fn wrong(sentences: Vec<(&'static str, String)>) -> Problem {
    let told = |(field, sentence): (_, String)| (field, capital(&places::told(&sentence)));
    let fields = sentences.into_iter().map(told);
    Problem {
        text: "Nothing was done yet. Please correct this:".to_owned(),
        fields: fields.collect(),
        ..Problem::default()
    }
}

async fn form_page(visit: &Visit<'_>, sheet: Sheet, problem: Problem) -> Result<BringPage, Status> {
    Ok(BringPage {
        f: visit.company_frame("settings", "Bring lists in").await?,
        problem,
        sheet,
        lists: &CATALOGS,
        others: others(visit).await,
        here: visit.company_path(),
        request: Visit::new_request(),
    })
}

async fn told(visit: &Visit<'_>, sheet: Sheet, problem: Problem) -> Answer {
    Ok(page(Page::Malformed, &form_page(visit, sheet, problem).await?))
}

async fn refused(
    visit: &Visit<'_>,
    sheet: Sheet,
    status: &Status,
) -> Result<Response<Body>, Status> {
    let problem = visit.problem(status, &[]);
    Ok(page(Page::Refused(status), &form_page(visit, sheet, problem).await?))
}

/// Some of the other companies. The form takes the id or the name of any.
async fn others(visit: &Visit<'_>) -> Vec<Other> {
    let ask = ListCompaniesRequest { page_size: MOST_OTHERS, ..Default::default() };
    let Ok(found) = visit.companies().list_companies(visit.ask(ask)).await else {
        return Vec::new();
    };
    let found = found.into_inner().companies.into_iter();
    let others = found.filter(|company| company.id != visit.part(0));
    others.map(|one| Other { name: one.name.unwrap_or_default(), id: one.id }).collect()
}

/// The ids of the companies that have a name.
async fn named(visit: &Visit<'_>, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = format!("name : {}", quoted(name));
        let ask = ListCompaniesRequest { page_token, filter, ..Default::default() };
        // Of names that cannot be looked for, there are none.
        let Ok(found) = visit.companies().list_companies(visit.ask(ask)).await else { return ids };
        let found = found.into_inner();
        let is_it = |company: &Company| {
            company.name.as_ref().is_some_and(|held| held.trim().eq_ignore_ascii_case(name))
        };
        ids.extend(found.companies.into_iter().filter(is_it).map(|company| company.id));
        page_token = found.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

/// The id of the other company that a person means by an id, or by a name that one of them has.
async fn company(visit: &Visit<'_>, meant: &str) -> Result<String, &'static str> {
    let own = visit.part(0);
    if meant == own {
        return Err(THIS_ONE);
    }
    let id = CompanyId::parse("from", meant).map(|id| id.to_string());
    if id.is_ok() && choices::found(visit, meant).await.is_ok() {
        return Ok(meant.to_owned());
    }
    let named = named(visit, meant).await;
    let mut others = named.iter().filter(|id| *id != own);
    match (others.next(), others.next()) {
        (Some(one), None) => Ok(one.clone()),
        (Some(_), Some(_)) => Err(SEVERAL),
        (None, _) if !named.is_empty() => Err(THIS_ONE),
        (None, _) => id.map_err(|_| UNKNOWN),
    }
}

/// The lists of another company as a document about this one.
async fn copied(visit: &Visit<'_>, from: &str) -> Result<String, Status> {
    let row = exported(visit, from, false).await?.without_businesses();
    let row = CompanyRow {
        id: Some(visit.part(0).to_owned()),
        name: None,
        country: None,
        timezone: None,
        state: None,
        source: None,
        ..row
    };
    yaml(&row)
}

fn broken(cause: impl Display) -> Status {
    grpc_status(&Error::Internal(Cause::new(cause)))
}

fn yaml(row: &CompanyRow) -> Result<String, Status> {
    let written = write(row).map_err(broken)?;
    Ok(format!("companies:\n{written}"))
}

/// A company as `export --without audit` has it, with ids or without: another company may be given no authors and times by
/// most people.
async fn exported(visit: &Visit<'_>, id: &str, with_ids: bool) -> Result<CompanyRow, Status> {
    let ask =
        ExportSettingsRequest { company_ids: vec![id.to_owned()], with_ids, ..Default::default() };
    let answer = visit.documents().export_settings(visit.ask(ask)).await?.into_inner();
    let company = answer.document.and_then(|document| document.companies.into_iter().next());
    let absent = || Status::not_found("there is no such company");
    let row = document::exported_row(company.ok_or_else(absent)?);
    row.map_err(broken)
}

/// The company's document, or its entries as a table.
pub(super) async fn take(visit: &Visit<'_>) -> Answer {
    let row = exported(visit, visit.part(0), true).await?;
    match visit.query.get("as") {
        "csv" => {
            let table = csv::write(&row).map_err(broken)?;
            let table = String::from_utf8(table);
            let table = table.map_err(broken)?;
            Ok(file(&format!("{}.csv", visit.part(0)), table))
        }
        _ => Ok(file(&format!("{}.yaml", visit.part(0)), yaml(&row)?)),
    }
}
