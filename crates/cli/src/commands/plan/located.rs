//! The lines of the things that a plan refuses or remarks on. The documents are read once more, as far as that takes, so a
//! plan without any costs nothing.

use std::collections::BTreeSet;

use customer_settings_server::service::document::DocumentCompany;
use serde_json::{Value, json};

use super::{
    findings::Finding,
    reading::{Companies, Input},
    text,
};
use crate::target::FieldNames;

/// The things that a plan says of a company, with their places.
#[derive(Default)]
pub(super) struct Told {
    /// The company's name in a report, if anything is said of it.
    pub(super) label: String,
    /// The reasons of a refusal.
    pub(super) findings: Vec<Finding>,
    /// Remarks on the document.
    pub(super) warnings: Vec<Finding>,
}

impl Told {
    /// Puts the places into a plan, for programs.
    pub(super) fn locate(&self, plan: &mut Value) {
        if !self.warnings.is_empty() {
            plan["warnings"] = self.warnings.iter().map(Finding::json).collect();
        }
        if plan["error"].is_object() {
            plan["error"]["violations"] = self.findings.iter().map(Finding::json).collect();
        }
    }
}

/// Reads documents again, up to the companies of which something is said, which come in the order of the documents.
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

    /// The refusal of the planned company of that number, and the remarks on it. A place that is not found is left out, and
    /// so is a refusal that depends on a problem of the document.
    pub(super) fn told(&mut self, number: usize, plan: &Value) -> Told {
        let (error, warnings) = (&plan["error"], list(&plan["warnings"]));
        if !error.is_object() && warnings.is_empty() {
            return Told::default();
        }
        let found = self.company(number);
        let of_company = [json!({
            "field": "", "reason": error["reason"], "description": error["message"],
        })];
        let violations = match (error.is_object(), list(&error["violations"])) {
            (false, _) => &[],
            (true, []) => &of_company[..],
            (true, violations) => violations,
        };
        let names = &self.names;
        let finding = |one: &Value| {
            let [field, reason, description] =
                ["field", "reason", "description"].map(|key| text(&one[key]));
            let description = names.text(description);
            let Some((file, lines_before, company)) = &found else {
                return Some(Finding::at("", "", (None, field), (reason, &description)));
            };
            let (line, field, description) =
                company.located((field, reason, &description), *lines_before)?;
            Some(Finding::at(file, &company.label, (Some(line), &field), (reason, &description)))
        };
        let findings = violations.iter().filter_map(&finding).collect();
        let warnings = warnings.iter().filter_map(&finding).collect();
        let label = found.as_ref().map_or_else(String::new, |(.., company)| company.label.clone());
        Told { label, findings, warnings }
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
