//! Keys and people: a person is a key that has a staff id, and a link for signing in in place of a secret.

use std::{collections::HashMap, slice};

use askama::Template;
use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{
    CreateKeyRequest, CreateSignInLinkRequest, EndSessionRequest, GetKeyRequest, Key, KeyChange,
    ListKeyChangesRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest,
    key,
};
use prost_types::Duration;
use tonic::Status;

use super::{
    HOME,
    answer::{Answer, elsewhere, page, shown},
    choices::{self, Choices},
    form, history,
    key_check::{self, FIELDS},
    key_sheet::{Sheet, within_day},
    problem::{Meanwhile, Problem},
    sentences, sign_in,
    view::{Frame, Said},
    visit::Visit,
    with_cookie,
    words::{self, Author, Moment, joined, quoted},
};
use crate::status::Page;

/// Changes of a key on its page.
const CHANGES: i32 = 20;
/// The name among the fields of a key that a change is about.
const NAME: &str = "the name";

struct Row {
    path: String,
    name: String,
    staff: String,
    may: String,
    companies: String,
    /// The networks from which it works; empty where it works from anywhere.
    from: String,
    /// Its end, which may be over; none where it has no end, or was revoked before.
    until: Option<Moment>,
    used: Option<Moment>,
    state: &'static str,
    /// The mark by which rows of one name can be told apart; empty where no other one has the name.
    mark: String,
    /// Whether it is a person's: one that has a staff id, or was sent a link.
    is_person: bool,
}

fn row(visit: &Visit<'_>, key: Key, names: &HashMap<String, String>) -> Row {
    let state = match key.state() {
        key::State::Revoked => "revoked",
        key::State::Expired => "expired",
        key::State::Active | key::State::Unspecified => "",
    };
    Row {
        path: format!("{}/keys/{}", visit.here.base, form::part(&key.id)),
        may: may_do(&key.scopes),
        companies: covers(&key, names),
        from: match key.addresses.as_slice() {
            [] => String::new(),
            networks => joined(networks),
        },
        until: words::moment(key.expires_time.as_ref())
            .filter(|_| key.state() != key::State::Revoked),
        used: words::moment(key.last_used_time.as_ref()),
        state,
        mark: String::new(),
        is_person: key.last_link_time.is_some()
            || key.staff_id.as_ref().is_some_and(|id| !id.is_empty()),
        name: key.name.unwrap_or_default(),
        staff: key.staff_id.unwrap_or_default(),
    }
}

/// The scopes as one sentence.
fn may_do(scopes: &[String]) -> String {
    let told: Vec<String> = scopes.iter().map(|scope| words::scope(scope).to_lowercase()).collect();
    words::capital(&told.join(", "))
}

fn covers(key: &Key, names: &HashMap<String, String>) -> String {
    match key.company_ids.as_slice() {
        _ if key.all_companies.unwrap_or_default() => "all companies".to_owned(),
        [one] => words::by_itself(names.get(one).unwrap_or(one)).into_owned(),
        many => format!("{} companies", many.len()),
    }
}

/// The names of companies for which a key alone is, as far as a page may look them up.
async fn names(visit: &Visit<'_>, keys: &[Key]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for key in keys {
        if let [one] = key.company_ids.as_slice()
            && names.len() < choices::MOST_NAMED
            && !names.contains_key(one)
            && let Ok(name) = choices::found(visit, one).await
        {
            names.insert(one.clone(), name);
        }
    }
    names
}

#[derive(Template)]
#[template(path = "keys.html")]
struct ListPage {
    f: Frame,
    people: Vec<Row>,
    programs: Vec<Row>,
    shows_revoked: bool,
    /// Whether no key is hidden from the person.
    sees_all: bool,
    more: Option<String>,
}

/// Whether every key lies within the person's own, so that lists leave nobody out.
fn sees_all(visit: &Visit<'_>) -> bool {
    let rights = &visit.person.holder.rights;
    visit.person.has_scopes(words::SCOPES)
        && visit.person.covers_all()
        && rights.addresses.is_empty()
        && rights.expires_time.is_none()
        && rights.staff_id.is_none()
}

/// The people and the programs that have a key.
pub(super) async fn list(visit: &Visit<'_>) -> Answer {
    let shows_revoked = !visit.query.get("revoked").is_empty();
    let ask = ListKeysRequest {
        page_size: 200,
        page_token: visit.query.get("page").to_owned(),
        show_revoked: shows_revoked,
        created_by_key_id: String::new(),
    };
    let list = visit.keys().list_keys(visit.ask(ask)).await?.into_inner();
    let names = names(visit, &list.keys).await;
    let named =
        list.keys.iter().map(|key| (key.name.as_deref().unwrap_or_default(), key.id.as_str()));
    let twins = words::twins(named);
    let rows: Vec<Row> = list
        .keys
        .into_iter()
        .map(|key| {
            let mark = twins.get(&key.id).cloned().unwrap_or_default();
            Row { mark, ..row(visit, key, &names) }
        })
        .collect();
    let (people, programs) = rows.into_iter().partition(|row| row.is_person);
    let more = (!list.next_page_token.is_empty()).then(|| {
        let revoked = if shows_revoked { "revoked=1&" } else { "" };
        format!("{}/keys?{revoked}page={}", visit.here.base, form::encode(&list.next_page_token))
    });
    let said = sentences::done(visit.query.get("did")).map(Said::plain);
    let f = Frame { said, ..visit.frame("Keys and people") };
    shown(&ListPage { f, people, programs, shows_revoked, sees_all: sees_all(visit), more })
}

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewPage {
    f: Frame,
    action: String,
    problem: Problem,
    sheet: Sheet,
    choices: Choices,
    is_person: bool,
    covers_all: bool,
    request: String,
}

/// Gives a program a key.
pub(super) async fn new(visit: &Visit<'_>) -> Answer {
    make(visit, false).await
}

/// Invites a person.
pub(super) async fn new_person(visit: &Visit<'_>) -> Answer {
    make(visit, true).await
}

/// Whether the form asks for companies and not for a key: its search has another text than the one that was looked for.
/// Somebody who presses Enter there sees what was found, and makes no key by it.
fn is_search(visit: &Visit<'_>) -> bool {
    visit.form.get("find") != visit.form.get("found")
}

async fn make(visit: &Visit<'_>, is_person: bool) -> Answer {
    let page_of = |sheet, choices, problem| NewPage {
        f: visit.frame(if is_person { "Invite a person" } else { "Give a program a key" }),
        action: format!("{}{}", visit.here.base, visit.path),
        problem,
        sheet,
        choices,
        is_person,
        covers_all: visit.person.covers_all(),
        request: Visit::new_request(),
    };
    let mut sheet = match visit.is_post {
        true => Sheet::sent(visit),
        false => Sheet::blank(visit, is_person),
    };
    let choices = Choices::of(visit, &sheet.chosen, visit.form.get("find")).await?;
    // Nobody gives a key for all of many companies by not looking.
    if !visit.is_post && sheet.coverage.is_empty() && choices.is_one() {
        sheet.coverage = "all";
    }
    if !visit.is_post || is_search(visit) {
        return shown(&page_of(sheet, choices, Problem::default()));
    }
    let key = match key_check::key(visit, &sheet, None).await {
        Ok(key) => key,
        Err(problem) => {
            let invalid = Status::invalid_argument("");
            return Ok(page(Page::Refused(&invalid), &page_of(sheet, choices, problem)));
        }
    };
    let request_id = visit.form.get("request").to_owned();
    let ask = CreateKeyRequest { key: Some(key.clone()), request_id, validate_only: false };
    match visit.keys().create_key(visit.ask(ask)).await {
        Ok(made) => {
            let made = made.into_inner();
            let id = made.key.map(|key| key.id).unwrap_or_default();
            match is_person {
                // Nobody needs the secret, so nobody sees it.
                true if made.secret.is_empty() => Ok(link_again(visit, &id, &sheet.name)),
                true => show_link(visit, &id, &sheet.name).await,
                false => show_secret(visit, &id, &sheet.name, made.secret),
            }
        }
        Err(status) => {
            let problem = visit.problem(&status, &FIELDS);
            let problem = key_check::with_others(visit, problem, key, None).await;
            Ok(page(Page::Refused(&status), &page_of(sheet, choices, problem)))
        }
    }
}

#[derive(Template)]
#[template(path = "secret.html")]
struct SecretPage {
    f: Frame,
    /// The key's own page.
    path: String,
    name: String,
    secret: String,
    note: String,
    is_link: bool,
}

fn show_secret(visit: &Visit<'_>, id: &str, name: &str, secret: String) -> Answer {
    let shown = SecretPage {
        f: visit.frame("The new key"),
        path: format!("{}/keys/{}", visit.here.base, form::part(id)),
        name: name.to_owned(),
        note: if secret.is_empty() { sentences::SECRET_AGAIN } else { "" }.to_owned(),
        secret,
        is_link: false,
    };
    Ok(page(Page::Shown, &shown))
}

async fn show_link(visit: &Visit<'_>, id: &str, name: &str) -> Result<Response<Body>, Status> {
    let ask = CreateSignInLinkRequest { id: id.to_owned(), ..Default::default() };
    let made = visit.keys().create_sign_in_link(visit.ask(ask)).await?.into_inner();
    // The path is the console's own, below the path at which people find the server.
    let path = made.path.strip_prefix(HOME).unwrap_or_default();
    let shown = SecretPage {
        f: visit.frame("The link"),
        path: format!("{}/keys/{}", visit.here.base, form::part(id)),
        name: name.to_owned(),
        secret: format!("{}{path}", visit.here.address),
        note: String::new(),
        is_link: true,
    };
    Ok(page(Page::Shown, &shown))
}

/// Answers the form of a link that was made: another one would end the link that somebody copied.
fn link_again(visit: &Visit<'_>, id: &str, name: &str) -> Response<Body> {
    let shown = SecretPage {
        f: visit.frame("The link"),
        path: format!("{}/keys/{}", visit.here.base, form::part(id)),
        name: name.to_owned(),
        secret: String::new(),
        note: sentences::LINK_AGAIN.to_owned(),
        is_link: true,
    };
    page(Page::Shown, &shown)
}

/// The moment of the last link, by which a form is known that made a link already.
fn last_link(key: &Key) -> String {
    key.last_link_time.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// A change of a key in words.
fn told(change: &KeyChange) -> String {
    let Some(mut fields) = changed(&change.summary) else {
        let told = match change.summary.as_str() {
            "created the key" => "made it",
            "revoked the key" => "revoked it",
            "rotated the key" => "made a new secret",
            other => other,
        };
        return told.to_owned();
    };
    let name = |key: &Option<Key>| key.as_ref().and_then(|key| key.name.clone());
    let renamed = match (name(&change.key_before), name(&change.key_after)) {
        (Some(before), Some(after)) if before != after => {
            fields.retain(|field| *field != NAME);
            Some(format!("renamed it from {} to {}", quoted(&before), quoted(&after)))
        }
        _ => None,
    };
    match (renamed, fields.as_slice()) {
        (Some(renamed), []) => renamed,
        (Some(renamed), others) => format!("{renamed}, and changed {}", joined(others)),
        (None, all) => format!("changed {}", joined(all)),
    }
}

/// The fields of a key that a change with this summary is about, in words; none where it is no change of fields.
fn changed(summary: &str) -> Option<Vec<&str>> {
    let fields = summary.strip_prefix("updated the key (")?.strip_suffix(')')?;
    let mut told: Vec<&str> = Vec::new();
    for field in fields.split(", ") {
        let word = match field {
            "name" => NAME,
            "scopes" => "what it may do",
            "company_ids" | "all_companies" => "the companies",
            "addresses" => "the addresses",
            "expires_time" => "the last day",
            "staff_id" => "the short name",
            other => other,
        };
        if !told.contains(&word) {
            told.push(word);
        }
    }
    Some(told)
}

struct Past {
    author: Author,
    sentence: String,
    when: Option<Moment>,
}

#[derive(Template)]
#[template(path = "key.html")]
struct OnePage {
    f: Frame,
    here: String,
    problem: Problem,
    sheet: Sheet,
    /// As it is stored, where somebody else was faster.
    stored: Option<Sheet>,
    /// The fields as they are stored, so that the form knows which of them a person changed.
    was: Vec<(&'static str, String)>,
    choices: Choices,
    key: Key,
    row: Row,
    made: Option<Moment>,
    /// None where later changes fill the page.
    made_by: Option<String>,
    previous: Option<Moment>,
    covers_all: bool,
    is_usable: bool,
    is_own: bool,
    sees_changes: bool,
    history: Vec<Past>,
    sessions: Vec<sign_in::Row>,
    linked: Option<Moment>,
    /// When the last link was used, where that session lasts.
    link_used: Option<Moment>,
    last_link: String,
    request: String,
}

/// The changes of a key in words. Their authors are told apart, also from these others.
fn past(changes: &[KeyChange], others: &[(String, Author)]) -> Vec<Past> {
    let past = |change: &KeyChange| Past {
        author: Author::of_key_change(change),
        sentence: told(change),
        when: words::moment(change.time.as_ref()),
    };
    let mut all: Vec<Past> = changes.iter().map(past).collect();
    let ids = changes.iter().map(|change| change.key_id.clone());
    let mut authors: Vec<_> = ids.zip(all.iter_mut().map(|past| &mut past.author)).collect();
    Author::tell_apart(&mut authors, others);
    all
}

pub(super) async fn get(visit: &Visit<'_>) -> Result<Key, Status> {
    let ask = GetKeyRequest { id: visit.part(0).to_owned() };
    Ok(visit.keys().get_key(visit.ask(ask)).await?.into_inner())
}

async fn one_page(
    visit: &Visit<'_>,
    sheet: Option<Sheet>,
    mut problem: Problem,
) -> Result<OnePage, Status> {
    let key = get(visit).await?;
    let ask =
        ListKeyChangesRequest { id: key.id.clone(), page_size: CHANGES, ..Default::default() };
    let changes = visit.keys().list_key_changes(visit.ask(ask)).await?.into_inner().changes;
    let others = history::others(visit).await;
    let history = past(&changes, &others);
    let first = changes.iter().position(|change| change.revision == 1);
    let mut shown = row(visit, key.clone(), &names(visit, slice::from_ref(&key)).await);
    shown.mark = Author::mark(&key.id, &shown.name, &others);
    let (mut sheet, mut stored) = (sheet, Sheet::of(visit, &key));
    let was = stored.was();
    if problem.is_conflict() {
        problem.meanwhile = history.first().and_then(|past| {
            Some(Meanwhile { by: past.author.within(), when: past.when.clone()? })
        });
        if let Some(sheet) = &mut sheet {
            sheet.keep_others(visit.form, &mut stored);
        }
    }
    let (mut sheet, stored) = problem.sheets(sheet, stored);
    let day = sheet.expires.as_str();
    sheet.ends = within_day(&key).filter(|end| !day.is_empty() && end.machine.starts_with(day));
    let choices = Choices::of(visit, &sheet.chosen, visit.form.get("find")).await?;
    let own = changes.first().filter(|change| change.key_id == visit.person.key_id());
    let saved = own.and_then(|change| changed(&change.summary));
    let said = match (visit.query.get("did"), saved) {
        ("key-saved", Some(fields)) => Some(Said::plain(format!("Saved: {}.", joined(&fields)))),
        (code, _) => sentences::done(code).map(Said::plain),
    };
    let sessions = sign_in::sessions_of(visit, &key.id).await?;
    let linked = words::moment(key.last_link_time.as_ref());
    Ok(OnePage {
        f: Frame { said, ..visit.frame(shown.name.clone()) },
        here: shown.path.clone(),
        problem,
        sheet,
        stored,
        was,
        choices,
        made_by: first.and_then(|at| history.get(at)).map(|past| past.author.within()),
        made: words::moment(key.created_time.as_ref()),
        // Neither secret of a key that has ended works.
        previous: words::moment(key.previous_secret_expires_time.as_ref())
            .filter(|_| shown.state.is_empty()),
        covers_all: visit.person.covers_all(),
        is_usable: shown.state.is_empty(),
        is_own: key.id == visit.person.key_id(),
        sees_changes: visit.may.see_history && visit.may.see_companies,
        history,
        link_used: linked.as_ref().and_then(|linked| {
            let began =
                sessions.iter().filter(|one| one.by_link).filter_map(|one| one.began.as_ref());
            began
                .filter(|began| began.machine >= linked.machine)
                .max_by_key(|one| &one.machine)
                .cloned()
        }),
        sessions,
        linked,
        last_link: last_link(&key),
        request: Visit::new_request(),
        row: shown,
        key,
    })
}

/// One key, or its fields saved.
pub(super) async fn one(visit: &Visit<'_>) -> Answer {
    if !visit.is_post {
        return shown(&one_page(visit, None, Problem::default()).await?);
    }
    let sheet = Sheet::sent(visit);
    if is_search(visit) {
        return shown(&one_page(visit, Some(sheet), Problem::default()).await?);
    }
    let before = get(visit).await?;
    let key = match key_check::key(visit, &sheet, Some(&before)).await {
        Ok(key) => key,
        Err(problem) => {
            let shown = one_page(visit, Some(sheet), problem).await?;
            return Ok(page(Page::Refused(&Status::invalid_argument("")), &shown));
        }
    };
    let ask = UpdateKeyRequest {
        id: visit.part(0).to_owned(),
        key: Some(key.clone()),
        update_mask: key_check::mask(),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.keys().update_key(visit.ask(ask)).await {
        Ok(saved) => {
            let is_changed = saved.into_inner().etag != before.etag;
            let did = if is_changed { "key-saved" } else { "nothing" };
            Ok(elsewhere(&format!("{}/keys/{}?did={did}", visit.here.base, visit.link_part(0))))
        }
        Err(status) => {
            let problem = visit.problem(&status, &FIELDS);
            let problem = key_check::with_others(visit, problem, key, Some(&before)).await;
            let shown = one_page(visit, Some(sheet), problem).await?;
            Ok(page(Page::Refused(&status), &shown))
        }
    }
}

/// Makes a new link for a person.
pub(super) async fn link(visit: &Visit<'_>) -> Answer {
    let key = get(visit).await?;
    let is_new = last_link(&key) == visit.form.get("last");
    let name = key.name.unwrap_or_default();
    match is_new {
        true => show_link(visit, &key.id, &name).await,
        false => Ok(link_again(visit, &key.id, &name)),
    }
}

/// Ends a session of a key that the person may see.
pub(super) async fn end_session(visit: &Visit<'_>) -> Answer {
    let (id, session_id) = (visit.part(0).to_owned(), visit.form.get("id").to_owned());
    let ask = EndSessionRequest { id, session_id, validate_only: false };
    match visit.keys().end_session(visit.ask(ask)).await {
        Ok(_) => {}
        // It is over, by whomever.
        Err(status) if Problem::of(&status, &[]).is_absence() => {}
        Err(status) => return Err(status),
    }
    Ok(elsewhere(&format!("{}/keys/{}?did=ended", visit.here.base, visit.link_part(0))))
}

/// Gives a key a new secret.
pub(super) async fn rotate(visit: &Visit<'_>) -> Answer {
    let hours: i64 = visit.form.get("hours").parse().unwrap_or(24);
    let ask = RotateKeyRequest {
        id: visit.part(0).to_owned(),
        overlap: Some(Duration { seconds: hours.saturating_mul(3_600), nanos: 0 }),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
        end_overlap: true,
    };
    let made = visit.keys().rotate_key(visit.ask(ask)).await?.into_inner();
    let name = made.key.and_then(|key| key.name).unwrap_or_default();
    show_secret(visit, visit.part(0), &name, made.secret)
}

/// Ends a key for good.
pub(super) async fn revoke(visit: &Visit<'_>) -> Answer {
    let ask = RevokeKeyRequest {
        id: visit.part(0).to_owned(),
        etag: String::new(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
        with_created: !visit.form.get("created").is_empty(),
    };
    let also = visit.keys().revoke_key(visit.ask(ask)).await?.into_inner().also_revoked_ids;
    let own = visit.person.key_id();
    if visit.part(0) == own || also.iter().any(|id| id == own) {
        let on = elsewhere(&format!("{}/sign-in?did=own-revoked", visit.here.base));
        return Ok(with_cookie(on, &visit.here.cookie(None)));
    }
    Ok(elsewhere(&format!("{}/keys?did=revoked", visit.here.base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_key_are_told_without_the_names_of_its_fields() {
        for (summary, told) in [
            ("created the key", "made it"),
            ("updated the key (name)", "changed the name"),
            (
                "updated the key (scopes, company_ids, all_companies)",
                "changed what it may do and the companies",
            ),
            ("revoked the key, and 2 made by it", "revoked the key, and 2 made by it"),
        ] {
            let change = KeyChange { summary: summary.to_owned(), ..Default::default() };
            assert_eq!(super::told(&change), told);
        }
    }
}
