//! Signing in with a key or by a link, signing out, and the list of one's sessions.

use std::{cmp::Reverse, net::IpAddr};

use askama::Template;
use axum::{body::Body, response::Response};
use customer_settings_contract::customersettings::v1::{ListSessionsRequest, Session};
use http::request::Parts;
use tonic::Status;

use super::{
    Console,
    answer::{Answer, elsewhere, page, shown},
    form::Form,
    here::Here,
    problem::Problem,
    sentences,
    view::{Frame, LinkPage, Said, SignInPage, moment_of_micros},
    visit::Visit,
    with_cookie, words,
    words::Moment,
};
use crate::{
    auth::sessions::{LinkState, Listed},
    status::{Page, grpc_status},
};

/// The most sessions on a page.
const MOST_SHOWN: usize = 20;
/// Before the name of each field of a form that waits for a sign-in.
const KEPT: &str = "kept.";

impl Console {
    /// Shows the page for signing in, or signs in.
    pub(super) async fn sign_in(
        &self,
        here: &Here,
        parts: &Parts,
        from: IpAddr,
        token: Option<&str>,
        form: &Form,
    ) -> Response<Body> {
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let is_post = parts.method == http::Method::POST;
        let next = own_path(if is_post { form.get("next") } else { query.get("next") });
        let said = sentences::done(query.get("did")).map(Said::plain);
        let mut shown = SignInPage {
            f: Frame { said, ..self.frame(here, "Sign in") },
            problem: Problem::default(),
            next: next.to_owned(),
            closed: here.closed(),
            kept: kept(form),
        };
        if !is_post {
            return page(Page::Shown, &shown);
        }
        if !here.may_sign_in() {
            return page(Page::Forged, &shown);
        }
        if form.find("key").is_none() {
            // The page had no field for it, as nothing showed that it came encrypted. The origin of its form does.
            return page(Page::Shown, &shown);
        }
        if form.get("key").is_empty() {
            shown.problem = Problem::at("key", "Paste your key here.");
            return page(Page::Unknowable, &shown);
        }
        match self.sessions.sign_in(form.get("key"), from, token, browser(parts)).await {
            Ok(token) => {
                let cookie = here.cookie(Some((token.expose(), self.sessions.most_seconds())));
                let on = match shown.kept.is_empty() {
                    true => elsewhere(&format!("{}{next}", here.base)),
                    false => {
                        self.resume(here, parts, from, token.expose(), (next, shown.kept)).await
                    }
                };
                with_cookie(on, &cookie)
            }
            Err(error) => {
                let status = grpc_status(&error);
                shown.problem = Problem::of(&status, &[]);
                shown.problem.fields = vec![("key", shown.problem.text.clone())];
                shown.problem.text = "You are not signed in.".to_owned();
                page(Page::Refused(&status), &shown)
            }
        }
    }

    /// Shows the page of a link, whose button signs in: previews and scanners of mail open links, and must not use
    /// them up.
    pub(super) async fn link(
        &self,
        here: &Here,
        parts: &Parts,
        from: IpAddr,
        before: Option<&str>,
        form: &Form,
    ) -> Response<Body> {
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let is_post = parts.method == http::Method::POST;
        let link = if is_post { form.get("token") } else { query.get("token") };
        let state = match is_post && here.may_sign_in() {
            true => match self.sessions.sign_in_by_link(link, from, before, browser(parts)).await {
                Ok(Ok(token)) => {
                    let cookie = here.cookie(Some((token.expose(), self.sessions.most_seconds())));
                    return with_cookie(elsewhere(&here.base), &cookie);
                }
                Ok(Err(state)) => Ok(state),
                Err(error) => Err(error),
            },
            false => self.sessions.look_at_link(link, from).await,
        };
        let (for_whom, used) = match state {
            Ok(LinkState::Of(name)) => (Some(name), None),
            Ok(LinkState::Used(time)) => (None, moment_of_micros(time.as_micros())),
            Ok(LinkState::Gone) => (None, None),
            Err(error) => return super::view::refused(here, &grpc_status(&error)),
        };
        let person = match (&for_whom, before) {
            (None, Some(token)) => self.sessions.look(token, from, false).await.unwrap_or_default(),
            _ => None,
        };
        let title = if for_whom.is_some() { "Welcome" } else { "This link does not work" };
        let outcome = if for_whom.is_some() { Page::Shown } else { Page::Unknowable };
        let shown = LinkPage {
            f: self.frame(here, title),
            token: link.to_owned(),
            for_whom,
            used,
            signed_in: person.map(|person| person.name),
            closed: here.closed(),
        };
        page(outcome, &shown)
    }

    /// Ends the session.
    pub(super) async fn sign_out(&self, here: &Here, token: Option<&str>) -> Response<Body> {
        if let Some(token) = token
            && let Err(error) = self.sessions.end(token).await
        {
            return super::view::refused(here, &grpc_status(&error));
        }
        let on = elsewhere(&format!("{}/sign-in?did=signed-out", here.base));
        with_cookie(on, &here.cookie(None))
    }

    fn frame(&self, here: &Here, title: &str) -> Frame {
        Frame::new(here, self.options.is_demo, title)
    }
}

/// The browser of a request in a few words.
fn browser(parts: &Parts) -> String {
    let agent = parts.headers.get(http::header::USER_AGENT);
    super::browser::told(agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default())
}

/// A path below the console's own; anything else leads to the first page.
pub(super) fn own_path(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    if is_path && is_plain { next } else { "" }
}

/// The form that waits, as the page for signing in sent it along.
fn kept(form: &Form) -> Vec<(String, String)> {
    let own = form
        .pairs()
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(KEPT)?.to_owned(), value.clone())));
    own.collect()
}

/// A session in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) began: Option<Moment>,
    pub(super) seen: Option<Moment>,
    pub(super) by_link: bool,
    pub(super) is_own: bool,
    /// In a few words; empty where it is not known.
    pub(super) browser: String,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    f: Frame,
    rows: Vec<Row>,
}

/// The sessions of one's key.
pub(super) async fn sessions(visit: &Visit<'_>) -> Answer {
    let own = visit.person.session_id();
    let listed = visit.console.sessions.own(&visit.person).await;
    let row = |one: Listed| Row {
        is_own: one.id == own,
        id: one.id,
        began: moment_of_micros(one.created_time.as_micros()),
        seen: moment_of_micros(one.seen_time.as_micros()),
        by_link: one.by_link,
        browser: one.browser,
    };
    let listed = listed.map_err(|error| grpc_status(&error))?;
    let rows = listed.into_iter().take(MOST_SHOWN).map(row).collect();
    let said = sentences::done(visit.query.get("did")).map(Said::plain);
    let f = Frame { said, ..visit.frame("Where you are signed in") };
    shown(&SessionsPage { f, rows })
}

/// The sessions of a key that the person may see, those first that were used last.
pub(super) async fn sessions_of(visit: &Visit<'_>, key_id: &str) -> Result<Vec<Row>, Status> {
    let own = visit.person.session_id();
    let ask = ListSessionsRequest { id: key_id.to_owned(), ..Default::default() };
    let mut listed = visit.keys().list_sessions(visit.ask(ask)).await?.into_inner().sessions;
    let used = |one: &Session| one.last_used_time.map(|time| Reverse((time.seconds, time.nanos)));
    listed.sort_by_key(used);
    let row = |one: Session| Row {
        is_own: one.id == own,
        began: words::moment(one.created_time.as_ref()),
        seen: words::moment(one.last_used_time.as_ref()),
        by_link: one.by_link,
        browser: one.browser,
        id: one.id,
    };
    Ok(listed.into_iter().take(MOST_SHOWN).map(row).collect())
}

/// Ends one of one's own sessions.
pub(super) async fn end_session(visit: &Visit<'_>) -> Answer {
    let ended = visit.console.sessions.end_own(&visit.person, visit.form.get("id")).await;
    ended.map_err(|error| grpc_status(&error))?;
    Ok(elsewhere(&format!("{}/sessions?did=ended", visit.here.base)))
}
