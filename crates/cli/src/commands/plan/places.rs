//! The places where documents name companies and locations: a document names each once, however far the places are from
//! each other.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use customer_settings_server::{
    catalog::{
        id::{BusinessId, CompanyId},
        text::Name,
    },
    service::document::{DocumentCompany, Identity},
};

use serde_json::Value;

use super::{
    findings::{Finding, Findings},
    text,
};

/// The reason of a thing that is named again.
const DUPLICATE: &str = "DUPLICATE";
/// The beginning of the fields of a request that belong to one of its companies.
const COMPANIES: &str = "document.companies[";

/// The first place of each company and location. It holds no more of them than that.
#[derive(Default)]
pub(super) struct Places {
    files: Vec<String>,
    first: HashMap<Identity, Place>,
    /// Of the companies that are named by ids, those that have names too, by hashes of these.
    names: HashMap<u64, Place>,
    hasher: RandomState,
    businesses: HashMap<BusinessId, Place>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    line: u32,
}

impl Places {
    /// Begins with the next file.
    pub(super) fn begin(&mut self, file: &str) {
        self.files.push(file.to_owned());
    }

    /// Takes note of a company of the last file, and finds what is named again in it. Whether it is the first one that
    /// can be told from others.
    pub(super) fn note(
        &mut self,
        company: &DocumentCompany,
        lines_before: u64,
        findings: &mut Findings,
    ) -> bool {
        let Some(identity) = company.identity() else { return false };
        let here = self.place(company.line() + lines_before);
        if let Some(&first) = self.first.get(&identity) {
            let again = format!("names the company again, as {} does", self.shown(first));
            findings.add(self.again(here, &company.label, ("", &again)));
            return false;
        }
        if let Some(first) = self.namesake(company) {
            let again = format!(
                "is also the name of the company on {}, and without ids they are one company: give both an id",
                self.shown(first)
            );
            let place = self.place(company.line_of("name") + lines_before);
            findings.add(self.again(place, &company.label, ("name", &again)));
            return false;
        }
        self.first.insert(identity, here);
        if let (Some(_), Some(name)) = (&company.id, &company.draft.name) {
            let name = self.hasher.hash_one(name.fold_key());
            self.names.entry(name).or_insert(here);
        }
        let mut is_first = true;
        for business in &company.draft.businesses {
            let Some(id) = &business.id else { continue };
            let field = format!("businesses[{}].id", business.index);
            let place = self.place(company.line_of(&field) + lines_before);
            match self.businesses.get(id) {
                // The plan of one company finds a location that it names twice.
                Some(first) if first.file == here.file && first.line >= here.line => {}
                Some(&first) => {
                    let again = format!(
                        "names the location {id} again, as {} does: it belongs to one company",
                        self.shown(first)
                    );
                    findings.add(self.again(place, &company.label, (&field, &again)));
                    is_first = false;
                }
                None => _ = self.businesses.insert(id.clone(), place),
            }
        }
        is_first
    }

    /// The company of the same name, if one of the two has an id: both with ids are two, and both without are one.
    fn namesake(&self, company: &DocumentCompany) -> Option<Place> {
        let name = company.draft.name.as_ref()?.fold_key();
        let found = match company.id {
            Some(_) => self.first.get(&Identity::FoldKey(name)),
            None => self.names.get(&self.hasher.hash_one(name)),
        };
        found.copied()
    }

    /// Finds a company that is named by a name, and is one that is named by its id too.
    pub(super) fn of_both(&self, id: &CompanyId, name: &Name) -> Option<Finding> {
        let by_id = self.first.get(&Identity::Id(id.clone()))?;
        let by_name = self.first.get(&Identity::FoldKey(name.fold_key()))?;
        let again = format!("is the company {id}, which {} names by its id", self.shown(*by_id));
        Some(self.again(*by_name, name.as_str(), ("", &again)))
    }

    /// The finding that a server has about a company of a request, at the company's place. Places of other companies of
    /// the request in it become theirs.
    pub(super) fn of_request(
        &self,
        companies: &[Value],
        violation: &Value,
    ) -> Option<(usize, Finding)> {
        let field = text(&violation["field"]);
        let (index, rest) = item(field)?;
        let company = companies.get(index)?;
        let mut description = text(&violation["description"]).to_owned();
        for (other, company) in companies.iter().enumerate() {
            let there = format!("{COMPANIES}{other}]");
            if description.contains(&there) {
                let shown = self.shown(self.of_sent(company)?);
                description = description.replace(&there, &format!("the company on {shown}"));
            }
        }
        let label = text(&company[if company["id"].is_string() { "id" } else { "name" }]);
        let at = (rest.trim_start_matches('.'), description.as_str());
        Some((index, self.again(self.of_sent(company)?, label, at)))
    }

    /// The place of a company in the form of a request.
    fn of_sent(&self, company: &Value) -> Option<Place> {
        let identity = match company["id"].as_str() {
            Some(id) => Identity::Id(CompanyId::parse("id", id).ok()?),
            None => Identity::FoldKey(Name::parse("name", text(&company["name"])).ok()?.fold_key()),
        };
        self.first.get(&identity).copied()
    }

    fn again(&self, place: Place, label: &str, (field, problem): (&str, &str)) -> Finding {
        let at = (Some(place.line.into()), field);
        Finding::at(self.file(place), label, at, (DUPLICATE, problem))
    }

    /// A place in the last file.
    fn place(&self, line: u64) -> Place {
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Place { file: number(self.files.len().saturating_sub(1) as u64), line: number(line) }
    }

    fn file(&self, place: Place) -> &str {
        self.files.get(place.file as usize).map_or("", String::as_str)
    }

    fn shown(&self, place: Place) -> String {
        format!("line {} of {}", place.line, self.file(place))
    }
}

/// The number of the company that a field of a request belongs to, and the field within it.
fn item(field: &str) -> Option<(usize, &str)> {
    let (index, rest) = field.strip_prefix(COMPANIES)?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}
