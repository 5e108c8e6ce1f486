//! Keys and people: a person is a key that has a staff id, and a link for signing in in place of a secret.

use std::{collections::HashMap, slice};

use askama::Template;
use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{
    CreateKeyRequest, CreateSignInLinkRequest, EndSessionRequest, GetKeyRequest, Key, KeyChange,
    ListKeyChangesRequest, ListKeysRequest, RevokeKeyRequest, RotateKeyRequest, UpdateKeyRequest,
    key,
};
use prost_types::{Duration, FieldMask, Timestamp};
use tonic::Status;

use super::{
    HOME,
    answer::{Answer, elsewhere, page, shown},
    choices::{self, Choices},
    form,
    problem::{Field, Problem},
    sign_in,
    view::{Frame, Said},
    visit::Visit,
    words::{self, Author, Moment},
};
use crate::status::Page;

const FIELDS: [Field; 7] = [
    ("name", "name", "The name"),
    ("staff", "staff_id", "The short name"),
    ("scope", "scopes", "What it may do"),
    ("companies", "company_ids", "The companies"),
    ("companies", "all_companies", "The companies"),
    ("addresses", "addresses", "The addresses"),
    ("expires", "expires_time", "The last day"),
];
/// The end of a day, in the form of the contract.
const END_OF_DAY: &str = "T23:59:59Z";
/// Changes of a key on its page.
const CHANGES: i32 = 20;

struct Row {
    path: String,
    name: String,
    staff: String,
    may: String,
    companies: String,
    used: Option<Moment>,
    state: &'static str,
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
        used: words::moment(key.last_used_time.as_ref()),
        state,
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
        [one] => names.get(one).unwrap_or(one).clone(),
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
    more: Option<String>,
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
    let rows = list.keys.into_iter().map(|key| row(visit, key, &names));
    let (people, programs) = rows.partition(|row| row.is_person);
    let more = (!list.next_page_token.is_empty()).then(|| {
        let revoked = if shows_revoked { "revoked=1&" } else { "" };
        format!("{}/keys?{revoked}page={}", visit.here.base, form::encode(&list.next_page_token))
    });
    let said = words::done(visit.query.get("did")).map(Said::plain);
    let f = Frame { said, ..visit.frame("Keys and people") };
    shown(&ListPage { f, people, programs, shows_revoked, more })
}

struct Scope {
    name: &'static str,
    text: &'static str,
    is_on: bool,
}

/// The fields of a key's form.
struct Sheet {
    name: String,
    /// Whether the form has a field for the short name. Nobody gives one who is bound to another.
    gives_staff: bool,
    staff: String,
    scopes: Vec<Scope>,
    may_all: bool,
    /// `all`, `some`, or nothing where the person has yet to choose.
    coverage: &'static str,
    /// The ids of the companies that are chosen.
    chosen: Vec<String>,
    addresses: String,
    expires: String,
}

fn gives_staff(visit: &Visit<'_>) -> bool {
    visit.person.has_scopes(["staff:any"])
}

/// The scopes that the person may give, and those of the key itself.
fn scopes(visit: &Visit<'_>, chosen: &[String]) -> Vec<Scope> {
    let all = words::SCOPES.iter().map(|name| Scope {
        name,
        text: words::scope(name),
        is_on: chosen.iter().any(|one| one == name),
    });
    all.filter(|scope| scope.is_on || visit.person.has_scopes([scope.name])).collect()
}

impl Sheet {
    /// For something new: what a colleague at the front desk, or a program that reads, needs.
    fn blank(visit: &Visit<'_>, is_person: bool) -> Self {
        let usual: &[&str] = match is_person {
            true => &["settings:read", "settings:write", "companies:read", "history:read"],
            false => &["settings:read", "companies:read"],
        };
        let usual = usual.iter().filter(|scope| visit.person.has_scopes([**scope]));
        let usual: Vec<String> = usual.map(|scope| (*scope).to_owned()).collect();
        Self {
            name: String::new(),
            gives_staff: gives_staff(visit),
            staff: String::new(),
            scopes: scopes(visit, &usual),
            may_all: false,
            coverage: if visit.person.covers_all() { "" } else { "some" },
            chosen: visit.person.company_ids(),
            addresses: String::new(),
            expires: String::new(),
        }
    }

    fn of(visit: &Visit<'_>, key: &Key) -> Self {
        let expires = key.expires_time.map(|time| time.to_string()).unwrap_or_default();
        Self {
            name: key.name.clone().unwrap_or_default(),
            gives_staff: gives_staff(visit)
                || key.staff_id.as_ref().is_some_and(|id| !id.is_empty()),
            staff: key.staff_id.clone().unwrap_or_default(),
            scopes: scopes(visit, &key.scopes),
            may_all: key.scopes.iter().any(|scope| scope == "*"),
            coverage: if key.all_companies.unwrap_or_default() { "all" } else { "some" },
            chosen: key.company_ids.clone(),
            addresses: key.addresses.join("\n"),
            expires: expires.get(..10).unwrap_or_default().to_owned(),
        }
    }

    fn sent(visit: &Visit<'_>) -> Self {
        let form = &visit.form;
        let chosen: Vec<String> = form.all("scope").map(str::to_owned).collect();
        Self {
            name: form.get("name").to_owned(),
            gives_staff: form.find("staff").is_some() || gives_staff(visit),
            staff: form.get("staff").to_owned(),
            may_all: chosen.iter().any(|scope| scope == "*"),
            scopes: scopes(visit, &chosen),
            coverage: match form.get("coverage") {
                "all" => "all",
                "" if visit.person.covers_all() => "",
                _ => "some",
            },
            chosen: form.all("company").map(str::to_owned).collect(),
            addresses: form.get("addresses").to_owned(),
            expires: form.get("expires").to_owned(),
        }
    }

    /// The key that the form describes; an expiry that is the same day as before stays as it was.
    fn key(&self, before: Option<&Key>) -> Result<Key, Problem> {
        let items = |text: &str| -> Vec<String> {
            let items = text.split(|c: char| c.is_whitespace() || c == ',');
            items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        let wrong = match (self.coverage, self.chosen.is_empty()) {
            ("all", false) => {
                Some("Choose “Only these”, or take away the marks of single companies.")
            }
            ("all", true) | ("some", false) => None,
            ("some", true) => Some("Choose at least one company."),
            _ => Some("Choose all companies, or “Only these” and then at least one."),
        };
        if let Some(text) = wrong {
            return Err(Problem::at("companies", text));
        }
        let chosen = self.scopes.iter().filter(|scope| scope.is_on);
        let mut scopes: Vec<String> = chosen.map(|scope| scope.name.to_owned()).collect();
        if self.may_all {
            scopes = vec!["*".to_owned()];
        }
        let old = before.and_then(|key| key.expires_time);
        let expires_time = match self.expires.as_str() {
            "" => None,
            day if old.is_some_and(|time| time.to_string().starts_with(day)) => old,
            day => match format!("{day}{END_OF_DAY}").parse::<Timestamp>() {
                Ok(time) => Some(time),
                Err(_) => return Err(Problem::at("expires", "Give a day, such as 2027-01-31.")),
            },
        };
        Ok(Key {
            name: Some(self.name.clone()),
            scopes,
            company_ids: self.chosen.clone(),
            all_companies: Some(self.coverage == "all"),
            addresses: items(&self.addresses),
            expires_time,
            staff_id: Some(self.staff.clone()),
            ..Default::default()
        })
    }
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
    let invalid = Status::invalid_argument("");
    let key = match sheet.key(None) {
        Ok(key) => key,
        Err(problem) => {
            return Ok(page(Page::Refused(&invalid), &page_of(sheet, choices, problem)));
        }
    };
    if let Err(problem) = choices::check(visit, &sheet.chosen, &[]).await {
        return Ok(page(Page::Refused(&invalid), &page_of(sheet, choices, problem)));
    }
    let request_id = visit.form.get("request").to_owned();
    let ask = CreateKeyRequest { key: Some(key), request_id, validate_only: false };
    match visit.keys().create_key(visit.ask(ask)).await {
        Ok(made) => {
            let made = made.into_inner();
            let id = made.key.map(|key| key.id).unwrap_or_default();
            match is_person {
                // Nobody needs the secret, so nobody sees it.
                true if made.secret.is_empty() => Ok(link_again(visit, &id, &sheet.name)),
                true => show_link(visit, &id, &sheet.name).await,
                false => show_secret(visit, &id, &sheet.name, made.secret, &made.note),
            }
        }
        Err(status) => {
            let problem = visit.problem(&status, &FIELDS);
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

fn show_secret(visit: &Visit<'_>, id: &str, name: &str, secret: String, note: &str) -> Answer {
    let shown = SecretPage {
        f: visit.frame("The new key"),
        path: format!("{}/keys/{}", visit.here.base, form::part(id)),
        name: name.to_owned(),
        secret,
        note: words::capital(note),
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
        secret: format!("{}{path}", visit.here.address()),
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
        note: words::LINK_AGAIN.to_owned(),
        is_link: true,
    };
    page(Page::Shown, &shown)
}

/// The moment of the last link, by which a form is known that made a link already.
fn last_link(key: &Key) -> String {
    key.last_link_time.as_ref().map(ToString::to_string).unwrap_or_default()
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
    choices: Choices,
    key: Key,
    row: Row,
    made: Option<Moment>,
    /// None where later changes fill the page.
    made_by: Option<Author>,
    previous: Option<Moment>,
    covers_all: bool,
    is_usable: bool,
    is_own: bool,
    sees_changes: bool,
    history: Vec<Past>,
    sessions: Vec<sign_in::Row>,
    linked: Option<Moment>,
    last_link: String,
    request: String,
}

async fn get(visit: &Visit<'_>) -> Result<Key, Status> {
    let ask = GetKeyRequest { id: visit.part(0).to_owned() };
    Ok(visit.keys().get_key(visit.ask(ask)).await?.into_inner())
}

async fn one_page(
    visit: &Visit<'_>,
    sheet: Option<Sheet>,
    problem: Problem,
) -> Result<OnePage, Status> {
    let key = get(visit).await?;
    let ask =
        ListKeyChangesRequest { id: key.id.clone(), page_size: CHANGES, ..Default::default() };
    let changes = visit.keys().list_key_changes(visit.ask(ask)).await?.into_inner().changes;
    let past = |change: KeyChange| Past {
        author: Author::of_key_change(&change),
        sentence: change.summary,
        when: words::moment(change.time.as_ref()),
    };
    let shown = row(visit, key.clone(), &names(visit, slice::from_ref(&key)).await);
    let sheet = sheet.unwrap_or_else(|| Sheet::of(visit, &key));
    let choices = Choices::of(visit, &sheet.chosen, visit.form.get("find")).await?;
    let said = words::done(visit.query.get("did")).map(Said::plain);
    Ok(OnePage {
        f: Frame { said, ..visit.frame(shown.name.clone()) },
        here: shown.path.clone(),
        problem,
        sheet,
        choices,
        made_by: changes.iter().find(|change| change.revision == 1).map(Author::of_key_change),
        made: words::moment(key.created_time.as_ref()),
        // Neither secret of a key that has ended works.
        previous: words::moment(key.previous_secret_expires_time.as_ref())
            .filter(|_| shown.state.is_empty()),
        covers_all: visit.person.covers_all(),
        is_usable: shown.state.is_empty(),
        is_own: key.id == visit.person.key_id(),
        sees_changes: visit.may.see_history && visit.may.see_companies,
        history: changes.into_iter().map(past).collect(),
        sessions: sign_in::sessions_of(visit, &key.id).await?,
        linked: words::moment(key.last_link_time.as_ref()),
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
    let key = match sheet.key(Some(&before)) {
        Ok(key) => choices::check(visit, &sheet.chosen, &before.company_ids).await.map(|()| key),
        Err(problem) => Err(problem),
    };
    let key = match key {
        Ok(key) => key,
        Err(problem) => {
            let shown = one_page(visit, Some(sheet), problem).await?;
            return Ok(page(Page::Refused(&Status::invalid_argument("")), &shown));
        }
    };
    let paths =
        ["name", "scopes", "company_ids", "all_companies", "addresses", "expires_time", "staff_id"];
    let ask = UpdateKeyRequest {
        id: visit.part(0).to_owned(),
        key: Some(key),
        update_mask: Some(FieldMask { paths: paths.map(str::to_owned).to_vec() }),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.keys().update_key(visit.ask(ask)).await {
        Ok(_) => {
            Ok(elsewhere(&format!("{}/keys/{}?did=key-saved", visit.here.base, visit.link_part(0))))
        }
        Err(status) => {
            let mut problem = visit.problem(&status, &FIELDS);
            if problem.is_conflict() {
                problem.text += " Below is what you typed: save it again to put it in the place of what is there.";
            }
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
    show_secret(visit, visit.part(0), &name, made.secret, &made.note)
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
    visit.keys().revoke_key(visit.ask(ask)).await?;
    Ok(elsewhere(&format!("{}/keys?did=revoked", visit.here.base)))
}
