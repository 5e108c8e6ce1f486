//! The lines of what a plan refuses. The documents are read once more, as far as that takes, so a plan without refusals
//! costs nothing.

use std::collections::BTreeSet;

use customer_settings_server::{catalog::error::Violation, service::document::DocumentCompany};
use serde_json::Value;

use super::{
    reading::{Companies, Input},
    text,
};
use crate::{output::tell, target::FieldNames};

/// A refused company with the sentences about it.
pub(super) struct Refusal {
    /// The name of the document; empty where the company is not found.
    file: String,
    /// The company's name in a report.
    pub(super) label: String,
    /// Sentences, those about fields with their lines.
    sentences: Vec<String>,
}

impl Refusal {
    /// The sentences, with the name of the document.
    pub(super) fn told(&self) -> impl Iterator<Item = String> {
        self.sentences.iter().map(|sentence| match self.file.as_str() {
            "" => sentence.clone(),
            file => format!("{file}: {sentence}"),
        })
    }

    /// Tells it as the problems of a document are told.
    pub(super) fn tell(&self) {
        for sentence in &self.sentences {
            tell(format!("{}: {}: {sentence}", self.file, self.label));
        }
    }
}

/// Reads documents again, up to the companies that are refused, which come in the order of the documents.
pub(super) struct Located<'a> {
    inputs: &'a [Input],
    /// The numbers of companies that are not planned.
    left_out: &'a BTreeSet<usize>,
    /// The flags that a sentence may mention.
    names: FieldNames,
    reader: Option<Companies<'a>>,
    /// The number of companies of all documents that were read, and of those among them that are planned.
    read: usize,
    planned: usize,
}

impl<'a> Located<'a> {
    pub(super) fn new(
        inputs: &'a [Input],
        left_out: &'a BTreeSet<usize>,
        names: FieldNames,
    ) -> Self {
        Self { inputs, left_out, names, reader: None, read: 0, planned: 0 }
    }

    /// The refusal of the planned company of that number. A place that is not found is left out, and so is what depends
    /// on a problem of the document.
    pub(super) fn refusal(&mut self, number: usize, plan: &Value) -> Refusal {
        let error = &plan["error"];
        let violations = error["violations"].as_array().map_or(&[][..], Vec::as_slice);
        let found = self.company(number);
        let names = &self.names;
        let sentence = |one: &Value| {
            let [field, reason, description] =
                ["field", "reason", "description"].map(|key| text(&one[key]));
            let description = names.text(description);
            let Some((_, lines_before, company)) = &found else {
                return Some(format!("{field} {description}"));
            };
            let (field, description) =
                (company.in_document(field), company.in_document(&description));
            if !company.problems.leave_sure(reason, &field) {
                return None;
            }
            let mut problem = company.locate(Violation::new(&field, "REFUSED", description));
            problem.line += lines_before;
            Some(problem.to_string())
        };
        let sentences = match violations {
            [] => vec![text(&error["message"]).to_owned()],
            violations => violations.iter().filter_map(sentence).collect(),
        };
        let (file, label) = found
            .map_or_else(Default::default, |(file, _, company)| (file.to_owned(), company.label));
        Refusal { file, label, sentences }
    }

    fn company(&mut self, number: usize) -> Option<(&'a str, u64, DocumentCompany)> {
        loop {
            let (input, others) = self.inputs.split_first()?;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                unread => unread.insert(Companies::of(input)),
            };
            match reader.next() {
                Ok(Some((lines_before, company))) => {
                    self.read += 1;
                    if self.left_out.contains(&(self.read - 1)) {
                        continue;
                    }
                    self.planned += 1;
                    if self.planned > number {
                        return Some((input.name(), lines_before, company));
                    }
                }
                Ok(None) | Err(_) => (self.inputs, self.reader) = (others, None),
            }
        }
    }
}
