//! The changes with their authors and times, in words; undoing one of them, and going back to a moment.

use askama::Template;
use customer_settings_contract::customersettings::v1::{
    Change, ListChangesRequest, ListKeysRequest, RollBackRequest, UndoChangeRequest,
};
use tonic::Status;

use super::{
    answer::{Answer, elsewhere, page, shown},
    form,
    moves::{self, Names},
    problem::Problem,
    sign_in::own_path,
    view::Frame,
    visit::{Visit, with_query},
    words::{self, Author, CATALOGS, Difference, Moment, Words},
};
use crate::status::Page;

/// Changes on a page.
const ROWS: i32 = 50;
/// Keys among which authors of one name are looked for.
const KEYS: i32 = 200;
/// Things of a change that its page shows; the API has the rest.
pub(super) const MOST_THINGS: usize = 200;

/// The reasons against an undo that lie in what it is about, and that the page tells which offered it.
const TOLD_IN_PLACE: [&str; 5] =
    ["CHANGED_SINCE", "FIRST_CHANGE", "NAME_TAKEN", "DEFAULT_NEEDED", "MIRRORED"];

struct Row {
    author: Author,
    sentence: String,
    when: Option<Moment>,
    path: String,
}

#[derive(Template)]
#[template(path = "history.html")]
struct ListPage {
    f: Frame,
    rows: Vec<Row>,
    more: Option<String>,
    /// The address of all changes, where these are only some.
    all: Option<String>,
}

/// The changes of a company, of one entry, or those that one key made, newest first.
pub(super) async fn list(visit: &Visit<'_>) -> Answer {
    let (collection, entry) = (visit.query.get("list"), visit.query.get("entry"));
    let key = visit.query.get("key");
    let ask = ListChangesRequest {
        company_id: visit.part(0).to_owned(),
        collection: collection.to_owned(),
        entry_id: entry.to_owned(),
        key_id: key.to_owned(),
        page_size: ROWS,
        page_token: visit.query.get("page").to_owned(),
        ..Default::default()
    };
    let mut answer = visit.history().list_changes(visit.ask(ask)).await?.into_inner();
    let here = format!("{}/history", visit.company_path());
    let mut left = moves::MOST_READ;
    let names = moves::names(visit, visit.part(0), &mut answer.changes, &mut left).await;
    let row = |change: &Change| Row {
        author: Author::of_change(change),
        sentence: words::sentence(change, visit.part(0), &names),
        when: words::moment(change.time.as_ref()),
        path: format!("{here}/{}", change.revision),
    };
    let mut rows: Vec<Row> = answer.changes.iter().map(row).collect();
    let ids = answer.changes.iter().map(|change| change.key_id.clone());
    let mut authors: Vec<_> = ids.zip(rows.iter_mut().map(|row| &mut row.author)).collect();
    Author::tell_apart(&mut authors, &others(visit).await);
    let more = (!answer.next_page_token.is_empty()).then(|| {
        let [entry, key, token] = [entry, key, &answer.next_page_token].map(form::encode);
        format!("{here}?list={collection}&entry={entry}&key={key}&page={token}")
    });
    let all = (!entry.is_empty() || !key.is_empty()).then_some(here);
    let title = match (entry, key) {
        ("", "") => "History",
        ("", _) => "What one key did",
        _ => words::catalog(collection).map_or("History of one thing", |words| words.past),
    };
    shown(&ListPage { f: visit.company_frame("history", title).await?, rows, more, all })
}

/// Those who may have made a change that a page does not show: all who have a key, or else the authors of the newest changes.
pub(super) async fn others(visit: &Visit<'_>) -> Vec<(String, Author)> {
    if visit.may.see_keys {
        let ask = ListKeysRequest { page_size: KEYS, show_revoked: true, ..Default::default() };
        let Ok(list) = visit.keys().list_keys(visit.ask(ask)).await else { return Vec::new() };
        let keys = list.into_inner().keys.into_iter();
        return keys.map(|key| (key.id.clone(), Author::of_key(&key))).collect();
    }
    let company_id = visit.part(0).to_owned();
    let ask = ListChangesRequest { company_id, page_size: ROWS, ..Default::default() };
    let Ok(list) = visit.history().list_changes(visit.ask(ask)).await else { return Vec::new() };
    let changes = list.into_inner().changes.into_iter();
    changes.map(|change| (change.key_id.clone(), Author::of_change(&change))).collect()
}

/// A thing that a change or a plan is about.
pub(super) struct Thing {
    pub(super) heading: String,
    pub(super) fate: &'static str,
    pub(super) differences: Vec<Difference>,
}

fn things(change: &Change, names: &Names) -> Vec<Thing> {
    let deltas = change.deltas.iter().filter(|delta| !moves::is_shift(delta));
    let shown = deltas.take(MOST_THINGS).map(|delta| Thing {
        heading: words::heading(delta),
        fate: words::fate(delta),
        differences: words::differences(delta, names),
    });
    shown.collect()
}

#[derive(Template)]
#[template(path = "change.html")]
struct ChangePage {
    f: Frame,
    up: String,
    here: String,
    author: Author,
    may_undo: bool,
    sentence: String,
    when: Option<Moment>,
    things: Vec<Thing>,
    others: usize,
    /// The headings of what was there before and after.
    sides: [&'static str; 2],
    /// The addresses of the lists as the change left them, by their titles.
    lists: Vec<(&'static str, String)>,
    request: String,
    change: Change,
}

/// One change with what was there before and after.
pub(super) async fn change(visit: &Visit<'_>) -> Answer {
    let revision = revision(visit)?;
    let mut change = visit.get_change(revision).await?;
    let names = moves::names_of_one(visit, &mut change).await;
    let mut author = Author::of_change(&change);
    let shown_author = (change.key_id.clone(), &mut author);
    Author::tell_apart(&mut [shown_author], &others(visit).await);
    let list = |words: &Words| {
        let path =
            format!("{}/{}/download?revision={revision}", visit.company_path(), words.collection);
        (words.title, path)
    };
    shown(&ChangePage {
        f: visit.company_frame("history", "One change").await?,
        up: format!("{}/history", visit.company_path()),
        here: format!("{}/history/{revision}", visit.company_path()),
        author,
        may_undo: visit.may_undo(&change),
        sentence: words::sentence(&change, visit.part(0), &names),
        when: words::moment(change.time.as_ref()),
        things: things(&change, &names),
        others: change.deltas.len().saturating_sub(MOST_THINGS),
        sides: ["Before", "After"],
        lists: CATALOGS.iter().map(list).collect(),
        request: Visit::new_request(),
        change,
    })
}

fn revision(visit: &Visit<'_>) -> Result<i64, Status> {
    visit.part(1).parse().map_err(|_| Status::not_found("there is no such change"))
}

/// A page of the history, below its own path, after an act of it. Not every key that may undo sees the history.
fn page_after(visit: &Visit<'_>, below: &str) -> String {
    let path = visit.company_path();
    if visit.may.see_history { format!("{path}/history{below}") } else { path }
}

/// Undoes one change.
pub(super) async fn undo(visit: &Visit<'_>) -> Answer {
    let ask = UndoChangeRequest {
        company_id: visit.part(0).to_owned(),
        revision: revision(visit)?,
        etag: String::new(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    // Back to the page that offered it.
    let next = own_path(visit.form.get("next"));
    let to = |other: &str| match next {
        "" => page_after(visit, other),
        path => format!("{}{path}", visit.here.base),
    };
    match visit.history().undo_change(visit.ask(ask)).await {
        Ok(done) => Ok(visit.done(done.metadata(), &to(""), "undone").await),
        Err(status) => {
            let reason = Problem::of(&status, &[]).reason;
            if !TOLD_IN_PLACE.contains(&reason.as_str()) {
                return Err(status);
            }
            let to = to(&format!("/{}", visit.part(1)));
            let holder = Problem::holder(&status)
                .map(|(list, id)| format!(".{}.{}", form::encode(&list), form::encode(&id)));
            let holder = holder.unwrap_or_default();
            Ok(elsewhere(&with_query(&to, &format!("refused={reason}{holder}"))))
        }
    }
}

#[derive(Template)]
#[template(path = "back.html")]
struct BackPage {
    f: Frame,
    here: String,
    problem: Problem,
    things: Vec<Thing>,
    others: usize,
    sides: [&'static str; 2],
    etag: String,
    request: String,
    when: Option<Moment>,
}

/// Shows what going back to a moment would change, or goes back.
pub(super) async fn back(visit: &Visit<'_>) -> Answer {
    let revision = revision(visit)?;
    if !visit.is_post {
        return shown(&back_page(visit, revision, Problem::default()).await?);
    }
    let ask = RollBackRequest {
        company_id: visit.part(0).to_owned(),
        revision,
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.history().roll_back(visit.ask(ask)).await {
        Ok(done) => Ok(visit.done(done.metadata(), &page_after(visit, ""), "went-back").await),
        Err(status) => {
            let problem = visit.problem(&status, &[]);
            if !problem.is_conflict() || !visit.may.see_history {
                return Err(status);
            }
            Ok(page(Page::Refused(&status), &back_page(visit, revision, problem).await?))
        }
    }
}

/// The preview. After a conflict it tells the last change, and shows the company as it is now.
async fn back_page(
    visit: &Visit<'_>,
    revision: i64,
    mut problem: Problem,
) -> Result<BackPage, Status> {
    let company_id = visit.part(0).to_owned();
    // The state that the preview is made from: a change that comes between makes the real one a conflict.
    let ask =
        ListChangesRequest { company_id: company_id.clone(), page_size: 1, ..Default::default() };
    let list = visit.history().list_changes(visit.ask(ask)).await?.into_inner();
    let etag = list.etag;
    if let Some(last) = list.changes.first().filter(|_| problem.is_conflict()) {
        let told = visit.told(last.clone()).await;
        problem.text += &format!(" The last change: {told} This is what would change now.");
    }
    let ask = RollBackRequest {
        company_id,
        revision,
        etag: etag.clone(),
        request_id: String::new(),
        validate_only: true,
    };
    let tried = visit.history().roll_back(visit.ask(ask)).await?.into_inner();
    let then = visit.get_change(revision).await?;
    let mut change = tried.change.unwrap_or_default();
    let names = moves::names_of_preview(visit, &mut change, revision).await;
    Ok(BackPage {
        f: visit.company_frame("history", "Go back to a moment").await?,
        here: format!("{}/history/{revision}", visit.company_path()),
        problem,
        things: things(&change, &names),
        others: change.deltas.len().saturating_sub(MOST_THINGS),
        sides: ["Now", "Then"],
        etag,
        request: Visit::new_request(),
        when: words::moment(then.time.as_ref()),
    })
}
