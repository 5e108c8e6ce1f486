//! The problems of a document, which are collected until there are too many.

use std::fmt;

use super::tree::Unreadable;
use crate::catalog::error::Violation;

/// The most problems that the report of a company names.
const MOST_PROBLEMS: usize = 100;

/// A problem of a company in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Problem {
    /// The document's line, from 1.
    pub line: u64,
    pub violation: Violation,
}

/// The problems of a company: a hundred of them, and the number of others.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    named: Vec<Problem>,
    unnamed: usize,
}

impl Problems {
    /// Adds a problem, or counts it if there are too many.
    pub fn note(&mut self, problem: Problem) {
        match self.has_room() {
            true => self.named.push(problem),
            false => self.unnamed += 1,
        }
    }

    /// Whether another problem would be named.
    pub(super) fn has_room(&self) -> bool {
        self.named.len() < MOST_PROBLEMS
    }

    /// Whether the company has no problem.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether one of the problems is at that field itself.
    pub fn are_at(&self, field: &str) -> bool {
        self.named.iter().any(|problem| problem.violation.field == field)
    }

    /// Whether the refusal of a plan is certain that was made from the valid values alone. It is not, if it depends on a
    /// value that was left out, such as another default or an entry that is not to be pruned.
    pub fn leave_sure(&self, reason: &str, field: &str) -> bool {
        let is_of_all = ["DEFAULT_ARCHIVED", "PRUNE_LIMIT"].contains(&reason);
        self.is_empty() || (!is_of_all && !self.are_at(field))
    }

    /// All named problems. The last one gives the number of others, if there are any.
    pub fn told(mut self) -> Vec<Problem> {
        if let (Some(last), more @ 1..) = (self.named.last(), self.unnamed) {
            let problems = if more == 1 { "problem" } else { "problems" };
            let description = format!(
                "has {more} more {problems}, not listed here: correct those that are, and give the document again"
            );
            let violation = Violation::new("company", "MORE", description);
            self.named.push(Problem { line: last.line, violation });
        }
        self.named
    }

    /// The failure of a document as a whole.
    pub(in crate::service) fn unreadable(self) -> Unreadable {
        let problems = self.told();
        let line = problems.first().map(|first| first.line);
        let told = |(index, one): (usize, &Problem)| match index {
            0 => one.violation.to_string(),
            _ => one.to_string(),
        };
        let told: Vec<String> = problems.iter().enumerate().map(told).collect();
        Unreadable { line, problem: told.join("\n") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.violation)
    }
}
