//! The places where documents name companies: a document names each once, however far the places are from each other.

use std::collections::HashMap;

use customer_settings_server::{
    catalog::{id::CompanyId, text::Name},
    service::document::{DocumentCompany, Identity},
};

use crate::output::tell;

/// The most companies that are told to be named twice.
const MOST_TOLD: usize = 100;

/// The first place of each company. Of a company it holds no more than that.
#[derive(Default)]
pub(super) struct Places {
    files: Vec<String>,
    first: HashMap<Identity, Place>,
    /// A sentence for each company that is named again.
    twice: Vec<String>,
}

#[derive(Clone, Copy)]
struct Place {
    file: usize,
    line: u64,
}

impl Places {
    /// Begins with the next file.
    pub(super) fn begin(&mut self, file: &str) {
        self.files.push(file.to_owned());
    }

    /// Takes note of a company on a line of the last file. Whether it is the first one that can be told from others.
    pub(super) fn note(&mut self, company: &DocumentCompany, line: u64) -> bool {
        let Some(identity) = company.identity() else { return false };
        let here = Place { file: self.files.len().saturating_sub(1), line };
        let Some(&first) = self.first.get(&identity) else {
            self.first.insert(identity, here);
            return true;
        };
        let again = format!("names the company again, as {} does", self.shown(first));
        self.twice.push(self.at(here, &company.label, &again));
        false
    }

    /// Tells which companies are named twice; whether there are any.
    pub(super) fn tell_twice(&self) -> bool {
        for again in self.twice.iter().take(MOST_TOLD) {
            tell(again);
        }
        if let more @ 1.. = self.twice.len().saturating_sub(MOST_TOLD) {
            tell(format!("{more} more companies are named twice"));
        }
        !self.twice.is_empty()
    }

    /// Says of a company that is named by a name that it is one that is named by its id too, if it is.
    pub(super) fn of_both(&self, id: &CompanyId, name: &Name) -> Option<String> {
        let by_id = self.first.get(&Identity::Id(id.clone()))?;
        let by_name = self.first.get(&Identity::FoldKey(name.fold_key()))?;
        let again = format!("is the company {id}, which {} names by its id", self.shown(*by_id));
        Some(self.at(*by_name, name.as_str(), &again))
    }

    fn at(&self, place: Place, label: &str, problem: &str) -> String {
        format!("{}: {label}: line {}: {problem}", self.files[place.file], place.line)
    }

    fn shown(&self, place: Place) -> String {
        format!("line {} of {}", place.line, self.files[place.file])
    }
}
