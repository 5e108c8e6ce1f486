//! The parts that every page has, and the pages that need nobody signed in.

use askama::Template;
use axum::{body::Body, response::Response};
use tonic::Status;

use super::{
    AGAIN,
    answer::page,
    assets,
    form::{self, Form},
    here::{Closed, Here},
    problem::{Problem, Way},
    sentences,
    visit::with_query,
    words::{self, CATALOGS, Compared},
};
use crate::status::Page;

/// The rights of the key, as far as pages offer them. The methods refuse the rest in any case.
#[derive(Clone, Copy, Default)]
pub(super) struct May {
    pub(super) see: bool,
    pub(super) change: bool,
    pub(super) see_history: bool,
    pub(super) undo: bool,
    pub(super) see_companies: bool,
    pub(super) change_companies: bool,
    pub(super) make_companies: bool,
    pub(super) see_keys: bool,
    pub(super) change_keys: bool,
    pub(super) bring: bool,
    pub(super) take: bool,
    /// Whether authors, times and sources may be copied.
    pub(super) be_source: bool,
}

impl May {
    /// By the methods that may be called.
    pub(super) fn of(may: impl Fn(&str) -> bool) -> Self {
        Self {
            see: may("EntryService/ListEntries"),
            change: may("EntryService/UpdateEntry"),
            see_history: may("HistoryService/ListChanges"),
            undo: may("HistoryService/UndoChange"),
            see_companies: may("CompanyService/GetCompany"),
            change_companies: may("CompanyService/UpdateCompany"),
            make_companies: may("CompanyService/CreateCompany"),
            see_keys: may("KeyService/ListKeys"),
            change_keys: may("KeyService/CreateKey"),
            bring: may("SettingsService/PlanSettings") && may("SettingsService/ApplySettings"),
            take: may("SettingsService/ExportSettings"),
            be_source: may("CompanyService/ReportSourceCheck"),
        }
    }
}

/// The action that was just done, with the way back.
pub(super) struct Said {
    pub(super) text: String,
    /// Whether it was refused.
    pub(super) is_refusal: bool,
    /// The page that helps after a refusal.
    pub(super) way: Option<Way>,
    pub(super) undo: Option<String>,
    pub(super) request: String,
}

impl Said {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let (text, request) = (text.into(), String::new());
        Self { text, is_refusal: false, way: None, undo: None, request }
    }

    pub(super) fn refusal(text: &str) -> Self {
        Self { is_refusal: true, ..Self::plain(text) }
    }
}

/// A page of a company, as its navigation names it.
pub(super) struct Tab {
    pub(super) title: &'static str,
    pub(super) path: String,
    pub(super) is_here: bool,
}

/// The company that a page is about.
pub(super) struct CompanyHead {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) tabs: Vec<Tab>,
    pub(super) is_archived: bool,
    /// The system whose mirror the company is.
    pub(super) mirror_of: Option<String>,
    /// By which the script knows whether something changed.
    pub(super) revision: i64,
    /// The last comparison of a mirror with its source.
    pub(super) compared: Option<Compared>,
}

/// The pages of a company that the key may see.
pub(super) fn tabs(path: &str, here: &str, may: May) -> Vec<Tab> {
    let lists = CATALOGS.iter().map(|words| (words.title, words.collection, may.see));
    let all = [("Overview", "", may.see)].into_iter().chain(lists).chain([
        ("History", "history", may.see_history),
        ("Locations", "locations", may.see_companies),
        ("Company", "settings", may.see_companies),
    ]);
    let shown = all.filter(|(_, _, is_shown)| *is_shown).map(|(title, part, _)| Tab {
        title,
        path: if part.is_empty() { path.to_owned() } else { format!("{path}/{part}") },
        is_here: part == here,
    });
    shown.collect()
}

/// The frame of a page.
pub(super) struct Frame {
    pub(super) base: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) title: String,
    pub(super) is_demo: bool,
    /// The name of the person; none where nobody is signed in.
    pub(super) name: Option<String>,
    /// The path of the page below the console's own, with its query, but without what was just done.
    pub(super) path: String,
    /// When the session ends, on its last day.
    pub(super) ends: Option<words::Moment>,
    /// In a mirror nothing is offered that the source decides about.
    pub(super) may: May,
    /// Whether the key may change entries, in a mirror too.
    pub(super) is_describable: bool,
    /// Whether the page answers a form, whose text it has again: what was done would lead on to another page.
    pub(super) answers_form: bool,
    pub(super) said: Option<Said>,
    pub(super) company: Option<CompanyHead>,
}

impl Frame {
    /// For somebody who is not signed in.
    pub(super) fn new(here: &Here, is_demo: bool, title: impl Into<String>) -> Self {
        Self {
            base: here.base.clone(),
            style: assets::style(),
            script: assets::script(),
            title: title.into(),
            is_demo,
            name: None,
            path: String::new(),
            ends: None,
            may: May::default(),
            is_describable: false,
            answers_form: false,
            said: None,
            company: None,
        }
    }

    /// Whether what no source has may be changed: descriptions, and colors of some lists.
    pub(super) fn may_describe(&self) -> bool {
        self.may.change || self.is_describable
    }

    /// The last comparison of a mirror with its source.
    pub(super) fn compared(&self) -> Option<&Compared> {
        self.company.as_ref()?.compared.as_ref()
    }

    /// The system whose mirror the company is; empty where it is none.
    pub(super) fn mirror_of(&self) -> &str {
        self.company.as_ref().and_then(|company| company.mirror_of.as_deref()).unwrap_or_default()
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    pub(super) f: Frame,
    pub(super) problem: Problem,
    /// The path of the page to go back to, below the console's own; empty where there is none.
    pub(super) back: String,
}

/// The page for a form that could not be taken.
#[derive(Template)]
#[template(path = "unsent.html")]
struct Unsent<'a> {
    f: Frame,
    problem: Problem,
    /// All that was typed, by the labels of the fields.
    typed: Vec<(&'a str, &'a str)>,
    /// The page to go on with: that with the form, if it is still there.
    back: String,
}

/// Shows the text that was typed in a form that could not be taken.
pub(super) fn unsent(
    outcome: Page<'_>,
    f: Frame,
    problem: Problem,
    form: &Form,
    back: String,
) -> Response<Body> {
    let typed = form.typed().map(|(name, value)| (words::label(name), value)).collect();
    page(outcome, &Unsent { f, problem, typed, back })
}

/// A field of a form that is sent again.
struct Again<'a> {
    name: &'a str,
    value: &'a str,
    /// None where nobody typed the value.
    label: Option<&'a str>,
}

/// The page for a form that was refused for a reason of the moment.
#[derive(Template)]
#[template(path = "again.html")]
struct AgainPage<'a> {
    f: Frame,
    text: String,
    action: String,
    fields: Vec<Again<'a>>,
    back: String,
}

/// Says why a form was refused for a reason of the moment, and has all of it, to be sent again as it is: its number makes
/// sure that it is carried out once. The paths are below the console's own.
pub(super) fn again(
    here: &Here,
    is_demo: bool,
    status: &Status,
    (path, form): (&str, &Form),
    back: &str,
) -> Response<Body> {
    let problem = Problem::of(status, &[]);
    let text = match problem.reason.as_str() {
        "DEADLINE_EXCEEDED" => sentences::TOO_LATE,
        _ => &problem.text,
    };
    let fields = form.pairs().iter().map(|(name, value)| {
        let label = form.is_typed(name, value).then(|| words::label(name));
        Again { name, value, label }
    });
    let shown = AgainPage {
        f: Frame::new(here, is_demo, problem.title()),
        text: format!("{text} {}", sentences::SEND_AGAIN),
        action: format!("{}{path}", here.base),
        fields: fields.collect(),
        back: format!("{}{back}", here.base),
    };
    page(Page::Refused(status), &shown)
}

/// The page for signing in with a key, perhaps with a form that waits for it.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) f: Frame,
    pub(super) problem: Problem,
    /// The path to go on to.
    pub(super) next: String,
    /// Why no key is taken here; none where one is.
    pub(super) closed: Option<Closed>,
    /// The form that waits.
    pub(super) kept: Vec<(String, String)>,
}

impl SignInPage {
    /// The path to go on to, for a form that is sent after a sign-in in another tab.
    fn again(&self) -> String {
        with_query(&self.next, &format!("{AGAIN}=1"))
    }

    /// The query with which the same page opens elsewhere.
    fn query(&self) -> String {
        if self.next.is_empty() {
            String::new()
        } else {
            format!("?next={}", form::encode(&self.next))
        }
    }
}

/// The page after a sign-in that sends the form which waited.
#[derive(Template)]
#[template(path = "resume.html")]
pub(super) struct Resume {
    pub(super) f: Frame,
    pub(super) action: String,
    pub(super) kept: Vec<(String, String)>,
    /// The name of the person who is signed in now, perhaps another one than filled the form in.
    pub(super) person: String,
    /// Whether the thing was changed since its form was opened.
    pub(super) is_changed: bool,
}

/// The page of a link that signs in once.
#[derive(Template)]
#[template(path = "link.html")]
pub(super) struct LinkPage {
    pub(super) f: Frame,
    pub(super) token: String,
    /// The name of the person; none where the link does not work.
    pub(super) for_whom: Option<String>,
    /// The time when it was used already.
    pub(super) used: Option<words::Moment>,
    /// The name of the person who is signed in here already, where the link does not work.
    pub(super) signed_in: Option<String>,
    /// Why nobody can sign in here; none where it is possible.
    pub(super) closed: Option<Closed>,
}

impl LinkPage {
    /// The query with which the same page opens elsewhere.
    fn query(&self) -> String {
        format!("?token={}", form::encode(&self.token))
    }
}

/// Says that there is no such page.
pub(super) fn unknown(here: &Here) -> Response<Body> {
    let problem = Problem::told("There is no such page. Perhaps the address was cut off.");
    let f = Frame::new(here, false, "Not there");
    page(Page::Unknown, &Message { f, problem, back: String::new() })
}

/// Says why a form did nothing.
pub(super) fn not_done(
    here: &Here,
    is_demo: bool,
    outcome: Page<'_>,
    told: &str,
) -> Response<Body> {
    let f = Frame::new(here, is_demo, "Nothing was done");
    page(outcome, &Message { f, problem: Problem::told(told), back: String::new() })
}

/// Says why a page cannot be shown.
pub(super) fn refused(here: &Here, status: &Status) -> Response<Body> {
    let problem = Problem::of(status, &[]);
    let f = Frame::new(here, false, problem.title());
    page(Page::Refused(status), &Message { f, problem, back: String::new() })
}

/// Asks to sign in, for the reason of the text, and keeps the form that was sent to a path.
pub(super) fn sign_in_again(
    here: &Here,
    is_demo: bool,
    (path, form): (&str, &Form),
    text: String,
) -> Response<Body> {
    let shown = SignInPage {
        f: Frame::new(here, is_demo, "Sign in"),
        problem: Problem::told(text),
        next: path.to_owned(),
        closed: here.closed(),
        kept: form.pairs().to_vec(),
    };
    page(Page::Unknowable, &shown)
}

/// A moment of the server's own clock.
pub(super) fn moment_of_micros(micros: i64) -> Option<words::Moment> {
    let seconds = micros.div_euclid(1_000_000);
    words::moment(Some(&prost_types::Timestamp { seconds, nanos: 0 }))
}
