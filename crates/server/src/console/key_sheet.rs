//! The fields of a key's form, of a person as of a program.

use customer_settings_contract::customersettings::v1::Key;
use prost_types::Timestamp;

use super::{
    form::{self, Form},
    visit::Visit,
    words::{self, Moment},
};

/// The end of a day, in the form of the contract.
const END_OF_DAY: &str = "T23:59:59Z";

pub(super) struct Scope {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) is_on: bool,
}

/// The fields of a key's form.
pub(super) struct Sheet {
    pub(super) name: String,
    /// Whether the form has a field for the short name. Nobody gives one who is bound to another.
    pub(super) gives_staff: bool,
    pub(super) staff: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) may_all: bool,
    /// `all`, `some`, or nothing where the person has yet to choose.
    pub(super) coverage: &'static str,
    /// The ids of the companies that are chosen.
    pub(super) chosen: Vec<String>,
    pub(super) addresses: String,
    pub(super) expires: String,
    /// The end on that day, where it is not the day's.
    pub(super) ends: Option<Moment>,
}

/// When a key ends within a day.
pub(super) fn within_day(key: &Key) -> Option<Moment> {
    let end = words::moment(key.expires_time.as_ref())?;
    (!end.machine.ends_with(END_OF_DAY)).then_some(end)
}

fn gives_staff(visit: &Visit<'_>) -> bool {
    visit.person.has_scopes(["staff:any"])
}

/// The scopes that the person may give, and those of the key itself.
fn scopes(visit: &Visit<'_>, chosen: &[String]) -> Vec<Scope> {
    let all = words::SCOPES.iter().map(|name| Scope {
        name,
        text: words::scope(name),
        is_on: chosen.iter().any(|one| one == name),
    });
    all.filter(|scope| scope.is_on || visit.person.has_scopes([scope.name])).collect()
}

impl Sheet {
    /// For something new: what a colleague at the front desk, or a program that reads, needs.
    pub(super) fn blank(visit: &Visit<'_>, is_person: bool) -> Self {
        let usual: &[&str] = match is_person {
            true => &["settings:read", "settings:write", "companies:read", "history:read"],
            false => &["settings:read", "companies:read"],
        };
        let usual = usual.iter().filter(|scope| visit.person.has_scopes([**scope]));
        let usual: Vec<String> = usual.map(|scope| (*scope).to_owned()).collect();
        Self {
            name: String::new(),
            gives_staff: gives_staff(visit),
            staff: String::new(),
            scopes: scopes(visit, &usual),
            may_all: false,
            coverage: if visit.person.covers_all() { "" } else { "some" },
            chosen: visit.person.company_ids(),
            addresses: String::new(),
            expires: String::new(),
            ends: None,
        }
    }

    pub(super) fn of(visit: &Visit<'_>, key: &Key) -> Self {
        let expires = key.expires_time.map(|time| time.to_string()).unwrap_or_default();
        Self {
            name: key.name.clone().unwrap_or_default(),
            gives_staff: gives_staff(visit)
                || key.staff_id.as_ref().is_some_and(|id| !id.is_empty()),
            staff: key.staff_id.clone().unwrap_or_default(),
            scopes: scopes(visit, &key.scopes),
            may_all: key.scopes.iter().any(|scope| scope == "*"),
            coverage: if key.all_companies.unwrap_or_default() { "all" } else { "some" },
            chosen: key.company_ids.clone(),
            addresses: key.addresses.join("\n"),
            expires: expires.get(..10).unwrap_or_default().to_owned(),
            ends: within_day(key),
        }
    }

    pub(super) fn sent(visit: &Visit<'_>) -> Self {
        let form = visit.form;
        let chosen: Vec<String> = form.all("scope").map(str::to_owned).collect();
        Self {
            name: form.get("name").to_owned(),
            gives_staff: form.find("staff").is_some() || gives_staff(visit),
            staff: form.get("staff").to_owned(),
            may_all: chosen.iter().any(|scope| scope == "*"),
            scopes: scopes(visit, &chosen),
            coverage: match form.get("coverage") {
                "all" => "all",
                "" if visit.person.covers_all() => "",
                _ => "some",
            },
            chosen: form.all("company").map(str::to_owned).collect(),
            addresses: form.get("addresses").to_owned(),
            expires: form.get("expires").to_owned(),
            ends: None,
        }
    }

    /// The key that the form describes, and what is wrong with the form by itself. An end that is on the same day as before
    /// stays as it was.
    pub(super) fn key(&self, before: Option<&Key>) -> (Key, Vec<(&'static str, String)>) {
        let mut wrong = Vec::new();
        let coverage = match (self.coverage, self.chosen.is_empty()) {
            ("all", false) => {
                Some("Choose “Only these”, or take away the marks of single companies.")
            }
            ("all", true) | ("some", false) => None,
            ("some", true) => Some("Choose at least one company."),
            _ => Some("Choose all companies, or “Only these” and then at least one."),
        };
        wrong.extend(coverage.map(|text| ("companies", text.to_owned())));
        let chosen = self.scopes.iter().filter(|scope| scope.is_on);
        let mut scopes: Vec<String> = chosen.map(|scope| scope.name.to_owned()).collect();
        if self.may_all {
            scopes = vec!["*".to_owned()];
        }
        if scopes.is_empty() {
            wrong.push(("scope", "Choose at least one thing that it may do.".to_owned()));
        }
        let old = before.and_then(|key| key.expires_time);
        let expires_time = match self.expires.as_str() {
            "" => None,
            day if old.is_some_and(|time| time.to_string().starts_with(day)) => old,
            day => {
                let end = format!("{day}{END_OF_DAY}").parse::<Timestamp>().ok();
                if end.is_none() {
                    wrong.push(("expires", "Give a day, such as 2027-01-31.".to_owned()));
                }
                end
            }
        };
        let key = Key {
            id: before.map(|key| key.id.clone()).unwrap_or_default(),
            name: Some(self.name.clone()),
            scopes,
            company_ids: self.chosen.clone(),
            all_companies: Some(self.coverage == "all"),
            addresses: form::items(&self.addresses).map(str::to_owned).collect(),
            expires_time,
            staff_id: Some(self.staff.clone()),
            ..Default::default()
        };
        (key, wrong)
    }

    /// The fields that are texts, by their names in the form.
    fn texts(&mut self) -> [(&'static str, &mut String); 4] {
        [
            ("name", &mut self.name),
            ("staff", &mut self.staff),
            ("addresses", &mut self.addresses),
            ("expires", &mut self.expires),
        ]
    }

    /// The scopes that are chosen, by their names.
    fn chosen_scopes(&self) -> String {
        let all = self.may_all.then_some("*");
        let chosen = self.scopes.iter().filter(|scope| scope.is_on).map(|scope| scope.name);
        all.into_iter().chain(chosen).collect::<Vec<_>>().join(" ")
    }

    /// The companies that are chosen, by their ids.
    fn chosen_companies(&self) -> String {
        let mut ids: Vec<&str> = self.chosen.iter().map(String::as_str).collect();
        ids.sort_unstable();
        format!("{} {}", self.coverage, ids.join(" "))
    }

    /// All fields as they are, so that the form knows which of them a person changed.
    pub(super) fn was(&mut self) -> Vec<(&'static str, String)> {
        let mut was = form::pairs(self.texts());
        was.push(("scope", self.chosen_scopes()));
        was.push(("companies", self.chosen_companies()));
        was
    }

    /// Gives the fields that the person left alone what is stored now.
    pub(super) fn keep_others(&mut self, form: &Form, stored: &mut Self) {
        let now = stored.was();
        form.keep_others(self.texts(), &now);
        if form.was("scope").is_some_and(|was| was == self.chosen_scopes()) {
            for own in &mut self.scopes {
                own.is_on = stored.scopes.iter().any(|now| now.is_on && now.name == own.name);
            }
            self.may_all = stored.may_all;
        }
        if form.was("companies").is_some_and(|was| was == self.chosen_companies()) {
            self.coverage = stored.coverage;
            self.chosen.clone_from(&stored.chosen);
        }
    }
}
