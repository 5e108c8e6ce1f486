//! The lines of what a plan refuses. The documents are read once more, as far as that takes, so a plan without refusals
//! costs nothing.

use customer_settings_server::{catalog::error::Violation, service::document::DocumentCompany};
use serde_json::Value;

use super::{
    reading::{Companies, Input},
    text,
};

/// A refused company with the sentences about it.
pub(super) struct Refusal {
    /// The company's name in a report.
    pub(super) label: String,
    pub(super) sentences: Vec<String>,
}

/// The sentences of a plan's refusal, those about fields in a form of their own.
fn sentences(plan: &Value, of_field: impl Fn(&str, &str) -> String) -> Vec<String> {
    let error = &plan["error"];
    let said = |one: &Value| of_field(text(&one["field"]), text(&one["description"]));
    match error["violations"].as_array().map_or(&[][..], Vec::as_slice) {
        [] => vec![text(&error["message"]).to_owned()],
        violations => violations.iter().map(said).collect(),
    }
}

/// Reads documents again, up to the companies that are refused, which come in the order of the documents.
pub(super) struct Located<'a> {
    inputs: &'a [Input],
    reader: Option<Companies<'a>>,
    /// The number of companies of all documents that were read.
    read: usize,
}

impl<'a> Located<'a> {
    pub(super) fn new(inputs: &'a [Input]) -> Self {
        Self { inputs, reader: None, read: 0 }
    }

    /// The refusal of the company of that number. A place that is not found is left out.
    pub(super) fn refusal(&mut self, number: usize, plan: &Value) -> Refusal {
        let Some((file, lines_before, company)) = self.company(number) else {
            let sentences = sentences(plan, |field, description| format!("{field} {description}"));
            return Refusal { label: String::new(), sentences };
        };
        let sentences = sentences(plan, |field, description| {
            let violation = Violation::new(field, "REFUSED", description);
            let mut problem = company.locate(violation);
            problem.line += lines_before;
            format!("{file}: {problem}")
        });
        Refusal { label: company.label, sentences }
    }

    fn company(&mut self, number: usize) -> Option<(&'a str, u64, DocumentCompany)> {
        loop {
            let (input, others) = self.inputs.split_first()?;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                unread => unread.insert(Companies::of(input).ok()?),
            };
            match reader.next().ok()? {
                Some((lines_before, company)) => {
                    self.read += 1;
                    if self.read > number {
                        return Some((input.name(), lines_before, company));
                    }
                }
                None => (self.inputs, self.reader) = (others, None),
            }
        }
    }
}
