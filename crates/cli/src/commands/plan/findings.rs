//! The things that are wrong with documents, from reading and from planning: told in the order of the documents and their
//! lines, for people and for programs.

use customer_settings_server::{
    catalog::error::Violation,
    service::document::{Problem, Unreadable},
};
use serde_json::{Value, json};

use crate::{
    failure::{Failure, failure},
    output::tell,
};

/// The most findings that are told.
const MOST_TOLD: usize = 1_000;
/// The reason of a document that cannot be read as one.
const UNREADABLE: &str = "UNREADABLE";
/// The reason of a file that cannot be opened or read.
const NOT_READ: &str = "NOT_READ";

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The name of the document; empty where it is not known.
    file: Box<str>,
    line: Option<u64>,
    /// The company's name in a report; empty where it is about no company.
    company: Box<str>,
    /// The field's path within the company, as in requests; empty where it is about no field.
    field: Box<str>,
    reason: Box<str>,
    description: Box<str>,
}

impl Finding {
    pub(super) fn at(
        file: &str,
        company: &str,
        (line, field): (Option<u64>, &str),
        (reason, description): (&str, &str),
    ) -> Self {
        let [file, company, field, reason, description] =
            [file, company, field, reason, description].map(Box::from);
        Self { file, line, company, field, reason, description }
    }

    /// About a company, or about the document if the company is empty.
    pub(super) fn of_problem(file: &str, company: &str, problem: &Problem) -> Self {
        let Violation { field, reason, description } = &problem.violation;
        Self::at(file, company, (Some(problem.line), field), (reason, description))
    }

    /// About a document that is none.
    pub(super) fn unreadable(file: &str, error: &Unreadable) -> Self {
        Self::at(file, "", (error.line, ""), (UNREADABLE, &error.problem))
    }

    pub(super) fn not_read(file: &str, error: &std::io::Error) -> Self {
        Self::at(file, "", (None, ""), (NOT_READ, &format!("cannot be read: {error}")))
    }

    /// The sentence without the file and the company, for a report that names them elsewhere.
    fn problem(&self) -> String {
        let line = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let field = if self.field.is_empty() { "" } else { " " };
        format!("{line}{}{field}{}", self.field, self.description)
    }

    /// The sentence with the file, for a report that names the company elsewhere.
    pub(super) fn told(&self) -> String {
        if self.file.is_empty() {
            self.problem()
        } else {
            format!("{}: {}", self.file, self.problem())
        }
    }

    /// The whole sentence.
    fn sentence(&self) -> String {
        match (&*self.company, &*self.reason) {
            ("", NOT_READ) => format!("{} {}", self.file, self.description),
            ("", _) => self.told(),
            (company, _) => format!("{}: {company}: {}", self.file, self.problem()),
        }
    }

    /// The same for programs. Parts that are not known are left out.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({"reason": self.reason, "description": self.description});
        let texts = [("file", &self.file), ("company", &self.company), ("field", &self.field)];
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            json[key] = json!(text);
        }
        if let Some(line) = self.line {
            json["line"] = json!(line);
        }
        json
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Findings {
    /// The documents, in their order.
    files: Vec<String>,
    found: Vec<Finding>,
    /// The number of those that are not told.
    unnamed: usize,
}

impl Findings {
    pub(super) fn of(files: impl Iterator<Item = String>) -> Self {
        Self { files: files.collect(), ..Self::default() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match self.found.len() < MOST_TOLD {
            true => self.found.push(finding),
            false => self.unnamed += 1,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds those that count only beside others.
    pub(super) fn join(&mut self, others: Self) {
        others.found.into_iter().for_each(|one| self.add(one));
        self.unnamed += others.unnamed;
    }

    /// Tells all to people, and gives all for programs, with the failure of the command.
    pub(super) fn refuse(mut self) -> (Vec<Value>, Failure) {
        let place = |one: &Finding| {
            let file = self.files.iter().position(|file| **file == *one.file);
            (file, one.line)
        };
        self.found.sort_by_cached_key(place);
        let json = self.found.iter().map(Finding::json).collect();
        let is_not_read = self.found.iter().all(|one| &*one.reason == NOT_READ);
        if let ([one], true) = (&self.found[..], is_not_read) {
            return (json, failure(one.sentence()));
        }
        self.found.iter().for_each(|one| tell(one.sentence()));
        if self.unnamed > 0 {
            tell(format!("{} more problems are not listed", self.unnamed));
        }
        let what = match is_not_read {
            true => "not every document can be read",
            false => "the document is wrong",
        };
        (json, failure(format!("{what}, and nothing was planned")))
    }
}
