//! Files of other programs as a document: what the formats share. This module reads no file and knows no store.

use std::collections::HashMap;

use crate::{
    catalog::{
        entry::{Catalog, MAX_ENTRIES, State},
        error::Violation,
        id::{CompanyId, EntryId},
        text::{Color, Description, Name},
    },
    service::document::{self, CompanyRow, EntryRow, MAX_FORMER_NAMES, quoted},
};

mod columns;
pub mod csv;
mod kind;
pub mod labels;
#[cfg(test)]
mod tests;

pub use kind::{is_yaml, names_companies};

/// The most bytes of a file. Four full catalogs have 10 MB at most.
pub const MOST_BYTES: u64 = 16 << 20;

/// The most lines that the report names.
const MOST_NAMED: usize = 100;

/// An entry as a file has it. An empty text is no value.
#[derive(Default)]
struct Given<'a> {
    id: &'a str,
    name: &'a str,
    was: Vec<&'a str>,
    description: &'a str,
    color: &'a str,
    is_default: bool,
    is_archived: bool,
    /// Entries are sorted by this number. Entries without one come last.
    place: Option<f64>,
}

/// The entries of a file, and everything that people should know about them.
#[derive(Default)]
pub struct Converted {
    lists: [List; 4],
    /// How the file was read.
    pub notes: Vec<String>,
    /// The lines or labels that were left out, with the reasons: a hundred at most.
    pub left_out: Vec<String>,
    /// The number of all lines or labels that were left out.
    pub left_out_in_all: usize,
}

/// The entries of one catalog, with the places of what must be unique in it.
#[derive(Default)]
struct List {
    entries: Vec<(f64, EntryRow)>,
    /// By name and state, the place, and whether the entry has an id.
    names: HashMap<(String, bool), (String, bool)>,
    ids: HashMap<String, String>,
    default: Option<String>,
}

impl Converted {
    /// Takes an entry, or leaves it out and notes why. Fails if the catalog would be larger than it may be. The place
    /// is one that people find in the file, such as "line 3".
    fn add(&mut self, place: &str, catalog: Catalog, given: &Given<'_>) -> Result<(), String> {
        let list = &mut self.lists[catalog.index()];
        let row = match list.row(place, catalog, given) {
            Ok(row) => row,
            Err(problems) => {
                self.leave_out(place, &problems.join("; "));
                return Ok(());
            }
        };
        if list.entries.len() == MAX_ENTRIES {
            return Err(format!(
                "{catalog} has more than {MAX_ENTRIES} entries from {place} on, and a catalog holds {MAX_ENTRIES} \
                 at most: is this a list of customers? Give a list of the values that they can have"
            ));
        }
        list.entries.push((given.place.unwrap_or(f64::INFINITY), row));
        Ok(())
    }

    fn leave_out(&mut self, place: &str, problem: &str) {
        self.left_out_in_all += 1;
        if self.left_out.len() < MOST_NAMED {
            self.left_out.push(format!("{place}: {problem}"));
        }
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.lists.iter().map(|list| list.entries.len()).sum()
    }

    /// The catalogs that have entries.
    fn catalogs(&self) -> impl Iterator<Item = Catalog> {
        Catalog::ALL.into_iter().filter(|catalog| !self.lists[catalog.index()].entries.is_empty())
    }

    /// The entries as a document about one company.
    pub fn document(self, company: &CompanyId) -> Result<String, impl std::error::Error> {
        let [customer_tags, referral_sources, life_cycles, action_statuses] =
            self.lists.map(|mut list| {
                list.entries.sort_by(|(one, _), (other, _)| one.total_cmp(other));
                let rows: Vec<EntryRow> = list.entries.into_iter().map(|(_, row)| row).collect();
                (!rows.is_empty()).then_some(rows)
            });
        let row = CompanyRow {
            id: Some(company.to_string()),
            customer_tags,
            referral_sources,
            life_cycles,
            action_statuses,
            ..CompanyRow::default()
        };
        document::write(&row).map(|company| format!("companies:\n{company}"))
    }
}

impl List {
    /// Checks an entry by the rules of the catalog.
    fn row(
        &mut self,
        place: &str,
        catalog: Catalog,
        given: &Given<'_>,
    ) -> Result<EntryRow, Vec<String>> {
        let mut problems = Vec::new();
        let mut note = |violation: Violation, value: &str| match violation.reason {
            "REQUIRED" => problems.push(violation.to_string()),
            _ => problems.push(format!("{violation}; it is {}", quoted(value))),
        };
        let name = Name::parse("name", given.name);
        let description = Description::parse("description", given.description);
        let id = (!given.id.is_empty()).then(|| EntryId::parse("id", given.id)).transpose();
        let digits = given.color.strip_prefix('#').unwrap_or(given.color);
        let color = (!digits.is_empty()).then(|| Color::parse("color", &format!("#{digits}")));
        let was: Vec<_> = given.was.iter().map(|was| (Name::parse("was", was), *was)).collect();
        let was = was.into_iter().filter_map(|(parsed, value)| {
            parsed.map_err(|violation| note(violation, value)).ok().map(|was| was.to_string())
        });
        let was = was.collect();
        let color = color.transpose().map_err(|violation| note(violation, given.color));
        let id = id.map_err(|violation| note(violation, given.id));
        let description = description.map_err(|violation| note(violation, given.description));
        let name = name.map_err(|violation| note(violation, given.name));
        if given.was.len() > MAX_FORMER_NAMES {
            let former = given.was.len();
            problems
                .push(format!("has {former} former names; at most {MAX_FORMER_NAMES} are allowed"));
        }
        // Archived entries of one name are told apart by their ids, or by their order if none has an id.
        let has_own_id = !given.id.is_empty();
        if let Ok(name) = &name
            && let Some((first, has_id)) = self.names.get(&(name.fold_key(), given.is_archived))
            && !(given.is_archived && *has_id == has_own_id)
        {
            problems.push(format!("the name {} is that of {first} already", quoted(given.name)));
        }
        if let Some(first) = self.ids.get(given.id) {
            problems.push(format!("the id {} is that of {first} already", quoted(given.id)));
        }
        if given.is_default {
            problems.extend(self.default_problem(catalog, given.is_archived));
        }
        let (Ok(name), Ok(description), Ok(id), Ok(color)) = (name, description, id, color) else {
            return Err(problems);
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        self.names
            .entry((name.fold_key(), given.is_archived))
            .or_insert((place.to_owned(), has_own_id));
        self.ids.extend(id.as_ref().map(|id| (id.to_string(), place.to_owned())));
        if given.is_default {
            self.default = Some(place.to_owned());
        }
        Ok(EntryRow {
            id: id.map(|id| id.to_string()),
            name: Some(name.to_string()),
            was,
            description: Some(description.as_str().to_owned()).filter(|text| !text.is_empty()),
            color: color.map(|color| color.to_string()),
            is_default: given.is_default.then_some(true),
            state: given.is_archived.then(|| State::Archived.as_str().to_owned()),
            ..EntryRow::default()
        })
    }

    fn default_problem(&self, catalog: Catalog, is_archived: bool) -> Option<String> {
        match (catalog.has_default(), &self.default, is_archived) {
            (false, ..) => Some(format!("is the default, and {catalog} has none")),
            (_, Some(first), _) => Some(format!("is the default, as {first} is already")),
            (_, _, true) => Some("is the default, and is archived".to_owned()),
            _ => None,
        }
    }
}
