//! The lines of what a plan refuses. The documents are read once more, as far as that takes, so a plan without refusals
//! costs nothing.

use std::{fs::File, io::BufReader};

use customer_settings_server::{
    catalog::error::Violation,
    service::document::{self, DocumentCompany, decode},
};
use serde_json::Value;

use super::{
    reading::{Input, Pieces},
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
    reader: Option<Companies>,
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
            let reader = self.reader.get_or_insert_with(|| Companies::of(input));
            match reader.next(input) {
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

/// The companies of a document: by pieces as long as that goes, then those of the whole.
struct Companies {
    pieces: Option<Pieces<BufReader<File>>>,
    whole: Option<Box<dyn Iterator<Item = DocumentCompany>>>,
    read: usize,
}

impl Companies {
    fn of(input: &Input) -> Self {
        let pieces = input.file().ok().and_then(|file| Pieces::of(BufReader::new(file)));
        Self { pieces, whole: None, read: 0 }
    }

    /// The next company, and the lines of the document before those that the company counts.
    fn next(&mut self, input: &Input) -> Option<(u64, DocumentCompany)> {
        if let Some(pieces) = &mut self.pieces {
            let piece = pieces.next()?;
            if let Some(piece) = piece
                && let Ok(mut companies) = document::parse(&piece.text)
                && let (Some(company), None) = (companies.next(), companies.next())
            {
                self.read += 1;
                return Some((piece.lines_before, company));
            }
            self.pieces = None;
        }
        if self.whole.is_none() {
            let text = decode(input.whole().ok()?).ok()?;
            self.whole = Some(Box::new(document::parse(&text).ok()?.skip(self.read)));
        }
        self.whole.as_mut()?.next().map(|company| (0, company))
    }
}
