//! The console: pages for people, over the contract's methods in this process. A client of the contract like the
//! command line: it knows the messages, and of who is signed in only what `auth` says. Knows no store, and of the services the forms of documents alone.

use std::{collections::HashMap, net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use customer_settings_contract::descriptors;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, header, request::Parts};
use http_body_util::LengthLimitError;
use tokio::time::timeout_at;
use tonic::Status;

use crate::{
    auth::sessions::Sessions,
    catalog::error::Error,
    config::PublicUrl,
    net::{BodyLimits, ClientAddress, Deadline, RouteLabel, panicked},
    status::{Page, grpc_status, not_now},
};

mod answer;
mod assets;
mod bring;
mod browser;
mod calls;
mod choices;
mod color;
mod companies;
mod countries;
mod entries;
mod form;
mod here;
mod history;
mod ideas;
mod key_changes;
mod key_check;
mod key_sheet;
mod keys;
mod lines;
mod locations;
mod moves;
mod places;
mod problem;
mod put_away;
mod reading;
mod reorder;
mod resume;
mod routes;
mod sentences;
mod sign_in;
mod steps;
mod view;
mod visit;
mod words;

use answer::{Answer, elsewhere, plain};
use calls::Methods;
use form::Form;
use here::Here;
use routes::{Found, Route, Shows, page_of};
use visit::Visit;

/// The name in a query which says that a form was sent again by somebody who said to be signed in by now.
const AGAIN: &str = "again";
/// The beginning of every path of the console.
const HOME: &str = "/console";
/// A page is given up so long before the request's deadline, so that its form can still be given back.
const SPARE: Duration = Duration::from_millis(100);

/// The part of the configuration that the console needs.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The address at which people find the server.
    pub public_url: Option<PublicUrl>,
    /// The address that the server listens on.
    pub listen: IpAddr,
    /// Whether the data is there to play with.
    pub is_demo: bool,
    /// The most bytes of a form, and of one that holds a document.
    pub body_limits: BodyLimits,
}

/// The console's pages, and the path to which `/` leads browsers.
pub(crate) fn site(
    methods: Methods,
    sessions: Arc<Sessions>,
    options: Options,
) -> (Router, HeaderValue) {
    let path = options.public_url.as_ref().map_or("", |url| &url.path);
    let home = HeaderValue::try_from(format!("{path}{HOME}"));
    let home = home.unwrap_or_else(|_| HeaderValue::from_static(HOME));
    let label = RouteLabel::new(HOME);
    let console = Arc::new(Console { methods, sessions, scopes: scopes(), label, options });
    let answer = move |request: Request| {
        let console = console.clone();
        async move { console.answer(request).await }
    };
    let pages = Router::new()
        .route(HOME, any(answer.clone()))
        .route("/console/", any(answer.clone()))
        .route("/console/{*path}", any(answer));
    (pages, home)
}

/// The scopes of every method, by the method's short name.
fn scopes() -> HashMap<String, Vec<String>> {
    let Some(option) = descriptors().get_extension_by_name("customersettings.v1.scope") else {
        unreachable!("the contract has the option")
    };
    let services =
        descriptors().services().filter(|one| one.package_name() == "customersettings.v1");
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let named = methods.map(|method| {
        let options = method.options();
        let scopes = options.get_extension(&option);
        let scopes = scopes.as_list().unwrap_or_default().iter();
        let scopes = scopes.filter_map(|scope| scope.as_str().map(str::to_owned)).collect();
        (format!("{}/{}", method.parent_service().name(), method.name()), scopes)
    });
    named.collect()
}

/// Why somebody is not signed in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    /// The session is over, or there was none.
    Over,
    Revoked,
    Expired,
    /// The secret that was shown is not the key's any more.
    Rotated,
    /// The key may be used, but not from here.
    Elsewhere,
}

impl Out {
    /// Of the refusal of a key that a session has. `None` for a refusal that has nothing to do with the key.
    fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::RevokedKey => Self::Revoked,
            Error::ExpiredKey { .. } => Self::Expired,
            Error::RotatedSecret { .. } | Error::UnknownKey => Self::Rotated,
            Error::AddressNotAllowed { .. } => Self::Elsewhere,
            _ => return None,
        })
    }

    /// The code of its sentence in an address.
    fn code(self) -> &'static str {
        match self {
            Self::Over => "own-over",
            Self::Revoked => "own-revoked",
            Self::Expired => "own-expired",
            Self::Rotated => "own-rotated",
            Self::Elsewhere => "own-elsewhere",
        }
    }

    fn told(self) -> &'static str {
        sentences::done(self.code()).unwrap_or_default()
    }
}

struct Console {
    methods: Methods,
    sessions: Arc<Sessions>,
    scopes: HashMap<String, Vec<String>>,
    label: RouteLabel,
    options: Options,
}

impl Console {
    async fn answer(&self, request: Request) -> Response {
        let takes_gzip = assets::takes_gzip(request.headers());
        let response = self.answer_unlabelled(request).await;
        let mut response = if takes_gzip { answer::zipped(response).await } else { response };
        response.extensions_mut().insert(self.label.clone());
        response
    }

    async fn answer_unlabelled(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let here = match Here::of(&parts, &self.options) {
            Ok(here) => here,
            Err(told) => return plain(Page::Misdirected, &told),
        };
        let path = parts.uri.path().strip_prefix(HOME).unwrap_or_default();
        if let Some(name) = path.strip_prefix("/static/") {
            return assets::answer(&parts, name);
        }
        if path == "/" {
            return elsewhere(&here.base);
        }
        let is_post = parts.method == Method::POST;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let (route, captures) = match routes::find(is_post, path) {
            Found::Route(route, captures) => (route, captures),
            // The address of a page that answered a form, opened anew.
            Found::OtherMethod if is_read => {
                let query = parts.uri.query().map_or(String::new(), |query| format!("?{query}"));
                return elsewhere(&format!("{}{}{query}", here.base, page_of(path)));
            }
            Found::OtherMethod => {
                return plain(Page::OtherMethod, "This address cannot be opened this way.");
            }
            Found::Nothing => return view::unknown(&here),
        };
        if !is_post && !is_read {
            return plain(Page::OtherMethod, "This address cannot be opened this way.");
        }
        let not_done = |outcome, told: &str| {
            if visit::is_of_script(&parts) {
                return answer::json(outcome, &serde_json::json!({"text": told}));
            }
            view::not_done(&here, self.options.is_demo, outcome, told)
        };
        if is_post && let Some(told) = here.forged(&parts.headers) {
            // The text of such a form is not shown: a page of ours must say nothing that another site wrote.
            return not_done(Page::Forged, &told);
        }
        let form = match is_post {
            true => match self.read(&parts, route, body).await {
                Ok(form) => form,
                Err(Unread::Malformed(told)) => return not_done(Page::Malformed, &told),
                Err(Unread::TooLong(form)) => {
                    let f = view::Frame::new(&here, self.options.is_demo, "Nothing was done");
                    let back = format!("{}{}", here.base, page_of(path));
                    let told = problem::Problem::told(sentences::TOO_LONG);
                    return view::unsent(Page::TooLarge, f, told, &form, back);
                }
            },
            false => Form::default(),
        };
        self.answer_in_time(&here, &parts, route, captures, &form).await
    }

    /// Reads the form of a request. One that is too long is read as well, as far as any may be: nobody else has its text.
    async fn read(&self, parts: &Parts, route: &Route, body: Body) -> Result<Form, Unread> {
        let limits = self.options.body_limits;
        let all = limits.document.saturating_add(limits.usual);
        let most = match route.shows {
            Shows::Bring => limits.document,
            // Beside the key it may have any other form, which waits.
            Shows::SignIn => all,
            _ => limits.usual,
        };
        let bytes = axum::body::to_bytes(body, all).await;
        let bytes = bytes.map_err(|error| match is_too_long(&error) {
            true => Unread::TooLong(Form::default()),
            false => Unread::Malformed(sentences::CUT_OFF.to_owned()),
        })?;
        let length = bytes.len();
        let form = Form::of_body(&parts.headers, bytes).await.map_err(Unread::Malformed)?;
        if length > most { Err(Unread::TooLong(form)) } else { Ok(form) }
    }

    /// Answers before the request's time is over. A form that is refused for a reason of the moment is in the answer, to be
    /// sent again.
    async fn answer_in_time(
        &self,
        here: &Here,
        parts: &Parts,
        route: &'static Route,
        captures: Vec<String>,
        form: &Form,
    ) -> Response {
        let answer = self.answer_form(here.clone(), parts, route, captures, form);
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let until = parts.extensions.get().and_then(|Deadline(until)| until.checked_sub(SPARE));
        let answered = match until {
            Some(until) => timeout_at(until.into(), answer).await,
            None => Ok(answer.await),
        };
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => view::refused(here, &grpc_status(&panicked(&*panic))),
            Err(_) => view::refused(here, &grpc_status(&Error::DeadlineExceeded)),
        };
        match not_now(&response) {
            // That page has the form which waits, and must not have the key.
            Some(status) if !matches!(route.shows, Shows::SignIn) => {
                self.again(here, parts, route, form, status).unwrap_or(response)
            }
            _ => response,
        }
    }

    /// The answer to a form that was refused for a reason of the moment, and to our script; none for the page of a GET.
    fn again(
        &self,
        here: &Here,
        parts: &Parts,
        route: &Route,
        form: &Form,
        status: &Status,
    ) -> Option<Response> {
        if visit::is_of_script(parts) {
            let text = problem::Problem::of(status, &[]).text;
            return Some(answer::json(Page::Refused(status), &serde_json::json!({"text": text})));
        }
        let path = parts.uri.path().strip_prefix(HOME).unwrap_or_default();
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let sent_to = format!("{path}{}", query.link_without(&[AGAIN]));
        let (is_demo, back) = (self.options.is_demo, page_of(path));
        route.is_post.then(|| view::again(here, is_demo, status, (&sent_to, form), &back))
    }

    async fn answer_form(
        &self,
        here: Here,
        parts: &Parts,
        route: &'static Route,
        captures: Vec<String>,
        form: &Form,
    ) -> Response {
        let from = client(parts);
        let token = here.session(&parts.headers);
        let fault = if route.is_post { form.fault(route.fields) } else { None };
        let is_open = matches!(route.shows, Shows::SignIn | Shows::Link | Shows::SignOut);
        if let Some(fault) = fault.as_ref().filter(|_| is_open) {
            return plain(Page::Malformed, fault);
        }
        match route.shows {
            Shows::SignIn => return self.sign_in(&here, parts, from, token, form).await,
            Shows::Link => return self.link(&here, parts, from, token, form).await,
            Shows::SignOut => return self.sign_out(&here, token).await,
            _ => {}
        }
        // Pages ask by themselves whether something changed. That is no activity of the person.
        let is_active = !matches!(route.shows, Shows::Revision);
        let person = match token {
            Some(token) => self.sessions.look(token, from, is_active).await,
            None => Ok(None),
        };
        let person = match person {
            Ok(Some(person)) => person,
            Ok(None) => return self.who_are_you(&here, parts, route.is_post, form, Out::Over),
            Err(error) => {
                return match Out::of(&error) {
                    Some(out) => self.who_are_you(&here, parts, route.is_post, form, out),
                    None => view::refused(&here, &grpc_status(&error)),
                };
            }
        };
        let visit = Visit::new(self, here, person, parts, captures, form);
        if !route.calls.iter().all(|method| visit.may_call(method)) {
            return visit.not_yours();
        }
        if let Some(fault) = fault {
            return visit.unsent(&fault);
        }
        if !route.is_post {
            visit.catch_up().await;
        }
        let answered = Self::show(route, &visit).await;
        match answered {
            Ok(answer) => answer,
            Err(status) => visit.refused(&status).await,
        }
    }

    /// Each page is boxed: all of them in one future would need 300 kB of a thread's stack.
    fn show<'a>(route: &Route, visit: &'a Visit<'a>) -> BoxFuture<'a, Answer> {
        match route.shows {
            Shows::SignIn | Shows::Link | Shows::SignOut => {
                unreachable!("answered without a person")
            }
            Shows::Companies => Box::pin(companies::list(visit)),
            Shows::NewCompany => Box::pin(companies::new(visit)),
            Shows::Company => Box::pin(companies::overview(visit)),
            Shows::CompanySettings => Box::pin(companies::settings(visit)),
            Shows::CompanyState => Box::pin(companies::state(visit)),
            Shows::Revision => Box::pin(companies::revision(visit)),
            Shows::Sessions => Box::pin(sign_in::sessions(visit)),
            Shows::EndSession => Box::pin(sign_in::end_session(visit)),
            Shows::Bring => Box::pin(bring::bring(visit)),
            Shows::Take => Box::pin(bring::take(visit)),
            Shows::Catalog => Box::pin(entries::catalog(visit)),
            Shows::Download => Box::pin(entries::download(visit)),
            Shows::Add => Box::pin(entries::add(visit)),
            Shows::AddMany => Box::pin(lines::add_many(visit)),
            Shows::Reorder => Box::pin(reorder::reorder(visit)),
            Shows::Sort => Box::pin(reorder::sort(visit)),
            Shows::Entry => Box::pin(entries::entry(visit)),
            Shows::SaveEntry => Box::pin(entries::save(visit)),
            Shows::ArchiveEntry => Box::pin(entries::archive(visit)),
            Shows::RestoreEntry => Box::pin(entries::restore(visit)),
            Shows::History => Box::pin(history::list(visit)),
            Shows::Change => Box::pin(history::change(visit)),
            Shows::Undo => Box::pin(history::undo(visit)),
            Shows::Back => Box::pin(history::back(visit)),
            Shows::Locations => Box::pin(locations::list(visit)),
            Shows::Location => Box::pin(locations::one(visit)),
            Shows::LocationState => Box::pin(locations::state(visit)),
            Shows::Keys => Box::pin(keys::list(visit)),
            Shows::NewKey => Box::pin(keys::new(visit)),
            Shows::NewPerson => Box::pin(keys::new_person(visit)),
            Shows::Key => Box::pin(keys::one(visit)),
            Shows::KeyChanges => Box::pin(key_changes::list(visit)),
            Shows::KeyLink => Box::pin(keys::link(visit)),
            Shows::EndKeySession => Box::pin(keys::end_session(visit)),
            Shows::RotateKey => Box::pin(keys::rotate(visit)),
            Shows::RevokeKey => Box::pin(keys::revoke(visit)),
        }
    }

    /// Asks somebody to sign in first, who is not signed in, or whose key may not be used any more. A form that was sent
    /// is kept, and sent after that.
    fn who_are_you(
        &self,
        here: &Here,
        parts: &Parts,
        is_post: bool,
        form: &Form,
        out: Out,
    ) -> Response {
        let path = parts.uri.path().strip_prefix(HOME).unwrap_or_default();
        let told = out.told();
        if visit::is_of_script(parts) {
            let unsaved = if is_post { " This was not saved." } else { "" };
            let text = format!("{told}{unsaved}");
            let told = serde_json::json!({"text": text, "link": "Sign in again"});
            return answer::json(Page::Unknowable, &told);
        }
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let path = format!("{path}{}", query.link_without(&[AGAIN]));
        if is_post {
            let yet = if query.get(AGAIN).is_empty() { "" } else { sentences::NOT_YET };
            let text = format!("{yet}{told} {}", sentences::KEPT);
            return view::sign_in_again(here, self.options.is_demo, (&path, form), text);
        }
        let next = (!path.is_empty()).then(|| format!("next={}", form::encode(&path)));
        let did = (out != Out::Over).then(|| format!("did={}", out.code()));
        let query: Vec<String> = did.into_iter().chain(next).collect();
        let next = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        elsewhere(&format!("{}/sign-in{next}", here.base))
    }
}

/// Why a form was not read.
enum Unread {
    /// It is none, or not whole.
    Malformed(String),
    /// It is longer than it may be. A form that is longer than any may be is empty here.
    TooLong(Form),
}

/// Whether a body is longer than forms may be.
fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn client(parts: &Parts) -> IpAddr {
    let address = parts.extensions.get::<ClientAddress>();
    address.map_or(IpAddr::from([0, 0, 0, 0]), |ClientAddress(address)| *address)
}

/// The answer to a sign-in or a sign-out: the browser goes on, with another cookie.
fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
