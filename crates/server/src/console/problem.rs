//! A refusal in a page: the API's own sentence, at the field that it is about.

use tonic::Status;
use tonic_types::StatusExt;

use super::{
    form::{self, Form},
    put_away::PutAway,
    sentences,
    words::{self, Moment},
};

/// A field of a form: its name there, the last part of its name in the contract, and its label.
pub(super) type Field = (&'static str, &'static str, &'static str);

/// The sentence above a form with wrong fields.
const MARKED: &str = "Nothing was saved yet. Please look at what is marked below.";

/// A change that was made while somebody had the page open.
#[derive(Clone, Debug)]
pub(super) struct Meanwhile {
    pub(super) by: String,
    pub(super) when: Moment,
}

/// A page on which what was refused can be mended.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) path: String,
    pub(super) text: &'static str,
}

/// Why a method refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Problem {
    /// The sentence above the form.
    pub(super) text: String,
    /// The page that helps, after the sentence.
    pub(super) way: Option<Way>,
    /// For each field of the form that is wrong, its name and the sentence.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The stable reason.
    pub(super) reason: String,
    /// The lines that are wrong, in a form of many: the number of each, from 0, and the sentence.
    pub(super) lines: Box<[(usize, String)]>,
    /// In a list whose order is given by numbers, the ids of the rows with wrong ones, and the sentence for each.
    pub(super) places: Vec<(String, String)>,
    /// The entry that is put away, whose name a new one would have too.
    pub(super) away: Option<PutAway>,
    /// The changes since, by their revisions, newest first.
    pub(super) since: Vec<i64>,
    /// After a conflict, the staff ids of those who changed it since.
    pub(super) authors: Vec<String>,
    /// Whether all of them are the person.
    pub(super) is_own: bool,
    /// After a conflict, the last change of it, where the key may see who makes changes.
    pub(super) meanwhile: Option<Meanwhile>,
}

impl Problem {
    /// Of a refusal, for a page with these fields.
    pub(super) fn of(status: &Status, fields: &[Field]) -> Self {
        Self::of_form(status, fields, &Form::default())
    }

    /// Of a refusal of a form with these fields.
    pub(super) fn of_form(status: &Status, fields: &[Field], form: &Form) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map(|info| info.reason.clone()).unwrap_or_default();
        let line: Option<usize> = info.and_then(|info| info.metadata.get("index")?.parse().ok());
        let since = info.and_then(|info| info.metadata.get("revisions"));
        let since = since.map(|all| all.split(',').filter_map(|one| one.parse().ok()).collect());
        let authors = info.and_then(|info| info.metadata.get("staff_ids"));
        let authors = authors.map(|ids| ids.split(',').map(str::to_owned).collect());
        let full = info.and_then(|info| info.metadata.get("what")?.strip_prefix("entries in "));
        let full = full.filter(|_| reason == "TOO_MANY").and_then(words::catalog);
        let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let is_no_moment =
            violations.iter().any(|one| one.field == "revision" && one.reason == "OUT_OF_RANGE");
        let text = match (full, sentences::plain(&reason)) {
            _ if is_no_moment => sentences::NO_MOMENT.to_owned(),
            (Some(list), _) => sentences::full(list),
            (None, Some(plain)) => plain.to_owned(),
            (None, None) => said(status.message()),
        };
        let (since, authors) = (since.unwrap_or_default(), authors.unwrap_or_default());
        let mut lines = Vec::new();
        let mut problem = Self { text, reason, since, authors, ..Self::default() };
        for violation in violations {
            if let Some((line, field)) = of_line(&violation.field) {
                let description = sentences::described(&violation.reason, &violation.description);
                let text = sentence(&format!("{field} {description}"));
                lines.push((line, text));
            }
            let last = violation.field.rsplit('.').next().unwrap_or_default();
            let (last, number) = item(last);
            if let Some((name, _, label)) = fields.iter().find(|(_, known, _)| *known == last) {
                let description = sentences::described(&violation.reason, &violation.description);
                let subject = match number.map(|at| (at, form::items(form.get(name)).nth(at))) {
                    Some((_, Some(item))) => words::quoted(item),
                    Some((at, None)) => format!("{label}: number {}", at + 1),
                    None => (*label).to_owned(),
                };
                let text = sentence(&format!("{subject} {description}"));
                problem.fields.push((name, text));
            }
        }
        if let Some(line) = line.filter(|_| lines.is_empty()) {
            lines.push((line, problem.text.clone()));
        }
        problem.lines = lines.into();
        if let Some(told) = info.and_then(|info| sentences::not_within(&info.metadata))
            && fields.iter().any(|(name, ..)| *name == told.0)
        {
            problem.fields.push(told);
        }
        if problem.reason == "ID_TAKEN" && fields.iter().any(|(name, ..)| *name == "id") {
            problem.fields.push(("id", problem.text.clone()));
        }
        if problem.reason == "NAME_TAKEN" && fields.iter().any(|(name, ..)| *name == "name") {
            problem.fields.push(("name", problem.text.clone()));
        }
        if problem.reason == "DEFAULT_NEEDED"
            && fields.iter().any(|(name, ..)| *name == "successor")
        {
            problem.fields.push(("successor", problem.text.clone()));
        }
        if problem.reason != "REQUEST_ID_REUSED" && !problem.fields.is_empty() {
            MARKED.clone_into(&mut problem.text);
        }
        problem
    }

    /// The list and the id of the entry whose name a refused write would give to another one.
    pub(super) fn holder(status: &Status) -> Option<(String, String)> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.reason == "NAME_TAKEN")?;
        Some((info.metadata.get("catalog")?.clone(), info.metadata.get("id")?.clone()))
    }

    /// A sentence of the console's own about a field.
    pub(super) fn at(name: &'static str, text: &str) -> Self {
        Self::marked(vec![(name, text.to_owned())])
    }

    /// Sentences of the console's own about fields.
    pub(super) fn marked(fields: Vec<(&'static str, String)>) -> Self {
        Self { text: MARKED.to_owned(), fields, ..Self::default() }
    }

    /// The sentence about a field; empty where nothing is wrong with it.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(found, _)| *found == name).map_or("", |(_, text)| text)
    }

    /// A sentence alone.
    pub(super) fn told(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// This sentence with the last change, for a page that shows no form.
    pub(super) fn with_text(&self, text: impl Into<String>) -> Self {
        let (meanwhile, is_own) = (self.meanwhile.clone(), self.is_own);
        Self { meanwhile, is_own, ..Self::told(text) }
    }

    /// The sentence above the form as a text without a page. It has no time: only a page can show the reader's own.
    pub(super) fn plain(&self) -> String {
        match self.meanwhile.as_ref().filter(|_| !self.is_own) {
            Some(last) => format!("{} Changed last by {}.", self.text, last.by),
            None => self.text.clone(),
        }
    }

    /// All sentences about a field.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |(found, _)| *found == name).map(|(_, text)| text.as_str())
    }

    /// Whether the thing does not exist.
    pub(super) fn is_absence(&self) -> bool {
        self.reason == "NOT_FOUND"
    }

    /// Whether somebody else was faster.
    pub(super) fn is_conflict(&self) -> bool {
        self.reason == "ETAG_MISMATCH"
    }

    /// The fields that a form shows: as they were sent, or else as they are stored. After a conflict the form shows
    /// the stored ones beside those that were sent.
    pub(super) fn sheets<S>(&self, sent: Option<S>, stored: S) -> (S, Option<S>) {
        match sent {
            Some(sent) if self.is_conflict() => (sent, Some(stored)),
            Some(sent) => (sent, None),
            None => (stored, None),
        }
    }

    /// The heading of a page that says this alone.
    pub(super) fn title(&self) -> &'static str {
        match self.reason.as_str() {
            "NOT_FOUND" => "Not there",
            "NOT_COVERED" | "MISSING_SCOPE" | "KEY_NOT_WITHIN" => "Not yours to do",
            "CHANGED_SINCE" => "That changed again since",
            "ETAG_MISMATCH" if self.is_own => "You changed this yourself",
            "ETAG_MISMATCH" => "Somebody else was faster",
            "OUTCOME_UNKNOWN"
            | "DEADLINE_EXCEEDED"
            | "NOT_BEGUN"
            | "KEY_RATE_LIMIT"
            | "UNKNOWN_KEY_RATE_LIMIT"
            | "LONG_WORK_LIMIT" => "Not available just now",
            reason if reason.starts_with("STORE") => "Not available just now",
            _ => "That did not work",
        }
    }
}

/// The name of a field, and the place of the item of its list, from 0: `addresses[0]`.
fn item(field: &str) -> (&str, Option<usize>) {
    let Some((name, rest)) = field.split_once('[') else { return (field, None) };
    (name, rest.trim_end_matches(']').parse().ok())
}

/// The number of the change of a batch that a field belongs to, and the field's name within it.
fn of_line(field: &str) -> Option<(usize, &str)> {
    let (line, field) = field.strip_prefix("changes[")?.split_once("].")?;
    Some((line.parse().ok()?, field))
}

/// A message of the API without the place in a list that it may begin with.
fn said(message: &str) -> String {
    let rest = message.strip_prefix("changes[").and_then(|rest| rest.split_once("]: "));
    sentence(rest.map_or(message, |(_, rest)| rest))
}

/// A message as a sentence: with a capital letter and a full stop.
pub(super) fn sentence(message: &str) -> String {
    let mut text = words::capital(message);
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}
