//! A request of somebody who is signed in.

use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{
    Change, Company, Delta, GetBusinessRequest, GetChangeRequest, GetCompanyRequest,
    GetEntryRequest, ListChangesRequest, ListEntriesRequest, State,
};
use http::request::Parts;
use tonic::{Request, Status, metadata::MetadataMap};

use super::{
    AGAIN, Console, HOME,
    answer::{self, elsewhere, page},
    calls::Methods,
    form::{self, Form},
    here::Here,
    moves,
    problem::{Field, Meanwhile, Problem, Way},
    routes::page_of,
    sentences,
    view::{self, CompanyHead, Frame, May, Message, Said, moment_of_micros, tabs},
    words::{self, Author, CATALOGS},
};
use crate::{
    auth::sessions::SignedIn,
    net::{Deadline, Who},
    status::Page,
};

/// The names in a query that say what was just done.
const TOLD: [&str; 5] = ["changed", "did", "refused", "moved", AGAIN];
/// A change is told for this long: whoever keeps the address is not told it again another day.
const TOLD_SECONDS: i64 = 600;
/// The newest changes among which that of a conflict is looked for.
const LOOKED_AT: i32 = 50;

/// Beside the console, everything that an answer depends on.
pub(super) struct Visit<'a> {
    pub(super) console: &'a Console,
    pub(super) here: Here,
    pub(super) person: SignedIn,
    pub(super) may: May,
    /// The open parts of the path, in order.
    pub(super) captures: Vec<String>,
    /// The path below the console's own.
    pub(super) path: String,
    pub(super) query: Form,
    pub(super) form: &'a Form,
    pub(super) is_post: bool,
    /// Whether our own script asks, which wants no page.
    pub(super) is_script: bool,
    pub(super) if_none_match: Option<String>,
    extensions: (Option<Deadline>, Option<Who>),
}

/// Whether our script asks, which takes JSON for an answer.
pub(super) fn is_of_script(parts: &Parts) -> bool {
    parts.headers.get(http::header::ACCEPT).is_some_and(|accepted| accepted == "application/json")
}

/// The revision that an answer names, and the rest of its token.
fn revision_of(answered: &MetadataMap) -> Option<(i64, &str)> {
    let token = answered.get("settings-revision")?.to_str().ok()?;
    let (revision, epoch) = token.split_at(token.find(';').unwrap_or(token.len()));
    Some((revision.parse().ok()?, epoch))
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        console: &'a Console,
        here: Here,
        person: SignedIn,
        parts: &Parts,
        captures: Vec<String>,
        form: &'a Form,
    ) -> Self {
        let text = |name: http::HeaderName| parts.headers.get(name)?.to_str().ok();
        let may = May::of(|method| may_call(console, &person, method));
        let may = May { make_companies: may.make_companies && person.covers_all(), ..may };
        Self {
            console,
            here,
            may,
            captures,
            path: parts.uri.path().strip_prefix(HOME).unwrap_or_default().to_owned(),
            query: Form::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            form,
            is_post: parts.method == http::Method::POST,
            is_script: is_of_script(parts),
            if_none_match: text(http::header::IF_NONE_MATCH).map(str::to_owned),
            extensions: (parts.extensions.get().copied(), parts.extensions.get().cloned()),
            person,
        }
    }

    /// Whether the key has the scopes of a method.
    pub(super) fn may_call(&self, method: &str) -> bool {
        may_call(self.console, &self.person, method)
    }

    pub(super) fn methods(&self) -> Methods {
        self.console.methods.clone()
    }

    /// A request to a method, in the person's name.
    pub(super) fn ask<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let extensions = request.extensions_mut();
        extensions.insert(self.person.holder.clone());
        let (deadline, who) = &self.extensions;
        if let Some(deadline) = deadline {
            extensions.insert(*deadline);
        }
        if let Some(who) = who {
            extensions.insert(who.clone());
        }
        request
    }

    /// Waits until this server has the change that the page tells of, which another server may have made.
    pub(super) async fn catch_up(&self) {
        let Ok(made) = self.query.get("changed").parse::<i64>() else { return };
        let ask = || {
            self.ask(ListEntriesRequest {
                company_id: self.part(0).to_owned(),
                collection: CATALOGS[0].collection.to_owned(),
                page_size: 1,
                ..Default::default()
            })
        };
        let Ok(here) = self.entries().list_entries(ask()).await else { return };
        let Some((_, epoch)) = revision_of(here.metadata()).filter(|(here, _)| *here < made) else {
            return;
        };
        if let Ok(token) = format!("{made}{epoch}").parse() {
            let mut again = ask();
            again.metadata_mut().insert("settings-min-revision", token);
            // The page shows what there is, where that takes too long.
            _ = self.entries().list_entries(again).await;
        }
    }

    /// An open part of the path.
    pub(super) fn part(&self, at: usize) -> &str {
        self.captures.get(at).map_or("", String::as_str)
    }

    /// The same as it stands in links.
    pub(super) fn link_part(&self, at: usize) -> String {
        form::part(self.part(at))
    }

    /// The company's path.
    pub(super) fn company_path(&self) -> String {
        format!("{}/c/{}", self.here.base, self.link_part(0))
    }

    /// A name for a write, so that a form that is sent twice writes once.
    pub(super) fn new_request() -> String {
        let mut bytes = [0; 16];
        // Without random bits the name is empty, and the form is refused: nobody could sign in then either.
        match getrandom::fill(&mut bytes) {
            Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Err(_) => String::new(),
        }
    }

    /// A page's frame.
    pub(super) fn frame(&self, title: impl Into<String>) -> Frame {
        Frame {
            name: Some(self.person.name.clone()),
            path: format!("{}{}", self.path, self.query.link_without(&TOLD)),
            ends: self
                .person
                .ends_soon()
                .then(|| moment_of_micros(self.person.ends_time().as_micros()))
                .flatten(),
            may: self.may,
            answers_form: self.is_post,
            ..Frame::new(&self.here, self.console.options.is_demo, title)
        }
    }

    /// The frame of a page about a company, with what was just done.
    pub(super) async fn company_frame(
        &self,
        tab: &'static str,
        title: impl Into<String>,
    ) -> Result<Frame, Status> {
        let (id, path) = (self.part(0).to_owned(), self.company_path());
        let company = match self.may.see_companies {
            true => Some(self.company().await?),
            false => None,
        };
        let is_archived =
            company.as_ref().is_some_and(|company| company.state == State::Archived as i32);
        let revision = company.as_ref().and_then(|company| company.revision).unwrap_or_default();
        let compared = company.as_ref().and_then(words::compared);
        let mirror_of = company.as_ref().and_then(words::mirror_of);
        let name = company.and_then(|company| company.name).unwrap_or_else(|| id.clone());
        let may = match mirror_of {
            Some(_) => May { change: false, change_companies: false, ..self.may },
            None => self.may,
        };
        let tabs = tabs(&path, tab, self.may);
        let head = CompanyHead { name, tabs, path, is_archived, mirror_of, revision, compared };
        let (said, is_describable) = (self.said().await, self.may.change);
        Ok(Frame { company: Some(head), said, may, is_describable, ..self.frame(title) })
    }

    pub(super) async fn company(&self) -> Result<Company, Status> {
        let ask = GetCompanyRequest { company_id: self.part(0).to_owned(), ..Default::default() };
        Ok(self.companies().get_company(self.ask(ask)).await?.into_inner())
    }

    /// The last action in words, which the address names by the change that it made, or by the reason why it was refused.
    async fn said(&self) -> Option<Said> {
        let mut refused = self.query.get("refused").splitn(3, '.');
        if let Some(text) = sentences::plain(refused.next().unwrap_or_default()) {
            let holder = match (refused.next(), refused.next()) {
                (Some(list), Some(id)) => self.taken(list, id).await,
                _ => None,
            };
            let (text, way) =
                holder.map_or((text.to_owned(), None), |(text, way)| (text, Some(way)));
            return Some(Said { way, ..Said::refusal(&format!("Nothing was undone. {text}")) });
        }
        let revision = self.query.get("changed");
        if revision.is_empty() {
            return self.said_without_history().await;
        }
        let mut change = self.get_change(revision.parse().ok()?).await.ok()?;
        let age = self.person.now.as_micros() / 1_000_000 - change.time.as_ref()?.seconds;
        if change.key_id != self.person.key_id() || age > TOLD_SECONDS {
            return None;
        }
        let order = change.deltas.iter().find(|delta| moves::is_order(delta));
        let placed = match order {
            Some(order) => moves::placed(self, &order.collection, self.query.get("moved")).await,
            None => None,
        };
        let text = match placed {
            Some(text) => text,
            None => {
                let names = moves::names_of_one(self, &mut change).await;
                words::sentence(&change, self.part(0), &names)
            }
        };
        let text = format!("{}.", words::capital(&text));
        let undo = self.may_undo(&change);
        let undo =
            undo.then(|| format!("{}/history/{}/undo", self.company_path(), change.revision));
        Some(Said { undo, request: Self::new_request(), ..Said::plain(text) })
    }

    /// The last action in words, from what the address says of it.
    async fn said_without_history(&self) -> Option<Said> {
        let mut did = self.query.get("did").splitn(3, '.');
        let code = did.next().unwrap_or_default();
        if let (Some(list), Some(id)) = (did.next(), did.next()) {
            let name = match list {
                "businesses" => self.location_name(id).await,
                "companies" => self.company().await.ok().and_then(|company| company.name),
                _ => self.name_of(list, id).await,
            };
            let told = name.and_then(|name| sentences::done_to(code, words::nouns(list).0, &name));
            return told.or_else(|| sentences::done("saved").map(str::to_owned)).map(Said::plain);
        }
        let moved = self.query.get("moved");
        match moves::placed(self, self.part(1), moved).await.filter(|_| code == "ordered") {
            Some(placed) => Some(Said::plain(format!("{placed}."))),
            None => sentences::done(code).map(Said::plain),
        }
    }

    /// The sentence for a name that cannot be had again, as this entry has it now, and the way to that one.
    pub(super) async fn taken(&self, list: &str, id: &str) -> Option<(String, Way)> {
        let name = self.name_of(list, id).await?;
        let path = format!("{}/{}/{}", self.company_path(), form::part(list), form::part(id));
        Some((sentences::taken(&name), Way { path, text: "Open the other one" }))
    }

    /// The name of an entry; none where it is not there.
    pub(super) async fn name_of(&self, list: &str, id: &str) -> Option<String> {
        let ask = GetEntryRequest {
            company_id: self.part(0).to_owned(),
            collection: list.to_owned(),
            id: id.to_owned(),
            ..Default::default()
        };
        self.entries().get_entry(self.ask(ask)).await.ok()?.into_inner().name
    }

    async fn location_name(&self, id: &str) -> Option<String> {
        let ask = GetBusinessRequest {
            company_id: self.part(0).to_owned(),
            id: id.to_owned(),
            ..Default::default()
        };
        self.locations().get_business(self.ask(ask)).await.ok()?.into_inner().name
    }

    /// Whether the key may take a change back, which needs more where it is not one of entries alone.
    pub(super) fn may_undo(&self, change: &Change) -> bool {
        let mut deltas = change.deltas.iter();
        let is_of_entries = deltas.all(|delta| words::catalog(&delta.collection).is_some());
        self.may.undo && (self.may.change_companies || is_of_entries)
    }

    pub(super) async fn get_change(&self, revision: i64) -> Result<Change, Status> {
        let company_id = self.part(0).to_owned();
        let ask = GetChangeRequest { company_id, revision, part: 0 };
        Ok(self.history().get_change(self.ask(ask)).await?.into_inner())
    }

    /// A change as a sentence with its author.
    pub(super) async fn told(&self, mut change: Change) -> String {
        let names = moves::names_of_one(self, &mut change).await;
        let author = match change.key_id == self.person.key_id() {
            true => "You".to_owned(),
            false => words::capital(&Author::of_change(&change).within()),
        };
        format!("{author} {}.", words::sentence(&change, self.part(0), &names))
    }

    /// Leads on after a write of a company, to a page that says what was done. `answered` is the write's metadata. `act`
    /// says it for those who may not see history: a code of `sentences.rs`, perhaps with a thing.
    pub(super) async fn done(
        &self,
        answered: &MetadataMap,
        path: &str,
        act: &str,
    ) -> Response<Body> {
        elsewhere(&with_query(path, &self.what_was_done(answered, act).await))
    }

    /// The same as a query.
    pub(super) async fn what_was_done(&self, answered: &MetadataMap, act: &str) -> String {
        if let Some((revision, _)) = revision_of(answered).filter(|_| self.may.see_history)
            && let Ok(change) = self.get_change(revision).await
            && !self.form.get("request").is_empty()
        {
            // The newest change is another one where this write changed nothing.
            return match change.request_id == self.form.get("request") {
                true => format!("changed={revision}"),
                false => "did=nothing".to_owned(),
            };
        }
        format!("did={act}")
    }

    /// Why a method refused, for a form with these fields.
    pub(super) fn problem(&self, status: &Status, fields: &[Field]) -> Problem {
        let mut problem = Problem::of_form(status, fields, self.form);
        if problem.is_conflict() {
            let own = self.person.holder.actor.staff_id.as_str();
            problem.is_own =
                !problem.authors.is_empty() && problem.authors.iter().all(|id| id == own);
            sentences::conflict(problem.is_own).clone_into(&mut problem.text);
        }
        problem
    }

    /// The same, with the last change of the thing after a conflict. Without an id, of any thing of the list; without a
    /// list, of the company.
    pub(super) async fn problem_of(
        &self,
        status: &Status,
        fields: &[Field],
        (list, id): (&str, &str),
    ) -> Problem {
        let mut problem = self.problem(status, fields);
        if problem.is_conflict() && self.may.see_history {
            let ask = ListChangesRequest {
                company_id: self.part(0).to_owned(),
                page_size: LOOKED_AT,
                ..Default::default()
            };
            let is_of = |delta: &Delta| {
                (list.is_empty() || delta.collection == list) && (id.is_empty() || delta.id == id)
            };
            let found = self.history().list_changes(self.ask(ask)).await;
            let changes = found.map(|list| list.into_inner().changes).unwrap_or_default();
            let last = changes.iter().find(|change| change.deltas.iter().any(is_of));
            problem.meanwhile = last.and_then(|change| {
                let when = words::moment(change.time.as_ref())?;
                Some(Meanwhile { by: Author::of_change(change).within(), when })
            });
        }
        problem
    }

    /// The page for a form that no page of the console sends so, with all that was typed.
    pub(super) fn unsent(&self, text: &str) -> Response<Body> {
        let text = format!("{text} Open the page again, and send the form from there.");
        let back = page_of(&self.path);
        self.with_typed(Page::Malformed, "Nothing was done", Problem::told(text), &back)
    }

    /// The page for a form about a thing that somebody put away meanwhile.
    pub(super) fn put_away(&self, status: &Status, problem: &Problem) -> Response<Body> {
        let (outcome, told) = (Page::Refused(status), problem.with_text(sentences::PUT_AWAY));
        self.with_typed(outcome, "It was put away meanwhile", told, &page_of(&self.path))
    }

    /// The page for a path that the key may not use.
    pub(super) fn not_yours(&self) -> Response<Body> {
        let status = Status::permission_denied(sentences::NOT_YOURS);
        let told = Problem::told(sentences::NOT_YOURS);
        self.without_form(Page::Refused(&status), "Not yours to do", told, &page_of(&self.path))
    }

    /// The page that says why a method refused.
    pub(super) async fn refused(&self, status: &Status) -> Response<Body> {
        let problem = match self.path.starts_with("/c/") {
            true => self.problem_of(status, &[], ("", "")).await,
            false => self.problem(status, &[]),
        };
        let mut back = page_of(&self.path);
        if problem.is_absence() {
            // The page of the thing is not there either.
            back.truncate(back.rfind('/').unwrap_or_default());
        }
        let title = problem.title();
        let told = problem.with_text(problem.text.clone());
        self.without_form(Page::Refused(status), title, told, &back)
    }

    /// A page in place of that with the form, which has the text that was typed there.
    fn without_form(
        &self,
        outcome: Page<'_>,
        title: &str,
        problem: Problem,
        back: &str,
    ) -> Response<Body> {
        if self.is_script || self.form.typed().next().is_some() {
            return self.with_typed(outcome, title, problem, back);
        }
        let back = if self.is_post { back.to_owned() } else { String::new() };
        page(outcome, &Message { problem, f: self.frame(title), back })
    }

    fn with_typed(
        &self,
        outcome: Page<'_>,
        title: &str,
        problem: Problem,
        back: &str,
    ) -> Response<Body> {
        if self.is_script {
            return answer::json(outcome, &serde_json::json!({"text": problem.plain()}));
        }
        let back = format!("{}{back}", self.here.base);
        view::unsent(outcome, self.frame(title), problem, self.form, back)
    }
}

/// The act on a thing, for [`Visit::done`].
pub(super) fn act(code: &str, list: &str, id: &str) -> String {
    format!("{code}.{}.{}", form::encode(list), form::encode(id))
}

/// A path with one more part of its query.
pub(super) fn with_query(path: &str, more: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{more}")
}

fn may_call(console: &Console, person: &SignedIn, method: &str) -> bool {
    let scopes = console.scopes.get(method);
    scopes.is_some_and(|scopes| person.has_scopes(scopes.iter().map(String::as_str)))
}

/// A text in a filter.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
