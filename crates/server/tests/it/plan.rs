//! The rules of a load, through the pure planner: no store, no clock, no server.

use std::{cell::Cell, sync::Arc};

use customer_settings_server::{
    catalog::{
        access::Task,
        change::{CompanyDraft, LoadOptions, PreparedChange},
        entry::{Catalog, Revision, State},
        error::{Error, Violation},
        id::CompanyId,
        plan::{Context, Plan, plan},
        settings::Settings,
        time::Timestamp,
    },
    service::document,
};

/// A company, and the documents that it is loaded from.
pub(crate) struct Company {
    pub(crate) settings: Option<Settings>,
    next_id: Cell<u32>,
}

impl Company {
    pub(crate) fn new() -> Self {
        Self { settings: None, next_id: Cell::new(1) }
    }

    /// A company that exists, with these catalogs.
    pub(crate) fn with(catalogs: &str) -> Self {
        let mut company = Self::new();
        company.load(&format!("name: Paws, {catalogs}")).unwrap();
        company
    }

    /// Plans and applies `{id: c, …}`; `None` if there was nothing to do.
    pub(crate) fn load(&mut self, rest: &str) -> Result<Option<Plan>, Vec<Violation>> {
        match self.plan(rest, &LoadOptions::default()) {
            Ok(plan) if plan.line.deltas.is_empty() => Ok(None),
            Ok(plan) => {
                self.settings = Some(plan.after.clone());
                Ok(Some(plan))
            }
            Err(Error::Invalid(violations)) => Err(violations),
            Err(other) => panic!("{other}"),
        }
    }

    /// Plans `{id: c, …}`.
    pub(crate) fn plan(&self, rest: &str, options: &LoadOptions) -> Result<Plan, Error> {
        let text = format!("companies: [{{id: c, {rest}}}]");
        let mut companies = document::parse(&text).unwrap();
        let company = companies.next().unwrap();
        assert!(company.problems.is_empty(), "{:?}", company.problems);
        self.plan_draft(company.draft, options)
    }

    pub(crate) fn plan_draft(
        &self,
        draft: Arc<CompanyDraft>,
        options: &LoadOptions,
    ) -> Result<Plan, Error> {
        let new_id = |prefix: &str| {
            self.next_id.set(self.next_id.get() + 1);
            format!("{prefix}_new{}", self.next_id.get())
        };
        let actor = Task::Load.actor();
        let context = Context {
            actor: &actor,
            request: None,
            now: Timestamp::from_micros(1_000),
            new_id: &new_id,
        };
        let id = CompanyId::parse("id", "c").unwrap();
        let change = PreparedChange::Load { document: draft, options: options.clone() };
        plan(&id, self.settings.as_ref(), &change, &context)
    }

    /// The ids of the active entries in order. The default is marked.
    pub(crate) fn active(&self, catalog: Catalog) -> String {
        let settings = self.settings.as_ref().unwrap();
        let mark = |default| if default { "*" } else { "" };
        let ids = settings.active(catalog).map(|e| format!("{}{}", e.id, mark(e.is_default)));
        ids.collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn reasons(violations: Vec<Violation>) -> Vec<(String, &'static str)> {
    violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

#[test]
fn loading_the_same_twice_changes_nothing() {
    let rest = "name: Paws, country: us, businesses: [{name: Here}], \
                customer_tags: [{name: A}, {name: B, state: archived}], life_cycles: [{name: X}]";
    let mut company = Company::new();
    assert_eq!(company.load(rest).unwrap().unwrap().after.revision, Revision(1));
    assert!(company.load(rest).unwrap().is_none());
}

#[test]
fn entries_are_found_by_id_and_else_by_name_without_regard_to_case() {
    let mut company = Company::with("customer_tags: [{id: a, name: Straße}, {id: b, name: B}]");
    company
        .load("customer_tags: [{name: STRASSE, color: '#123456'}, {id: b, name: Renamed}]")
        .unwrap();
    assert_eq!(company.active(Catalog::CustomerTags), "a b");
    let names: Vec<_> = company.settings.as_ref().unwrap().active(Catalog::CustomerTags).collect();
    assert_eq!(names[0].name.as_str(), "STRASSE");
    assert_eq!(names[1].name.as_str(), "Renamed");
}

#[test]
fn unnamed_entries_stay_after_the_named_ones_and_keep_their_audit() {
    let mut company =
        Company::with("customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: c, name: C}]");
    let plan = company.load("customer_tags: [{id: c, name: C}]").unwrap().unwrap();
    assert_eq!(company.active(Catalog::CustomerTags), "c a b");
    assert!(plan.line.deltas.iter().all(|delta| delta.ranks().is_some()), "{:?}", plan.line.deltas);
    let entries = plan.after.entries(Catalog::CustomerTags);
    assert!(entries.iter().all(|entry| entry.audit.revision == Revision(1)));
}

#[test]
fn what_a_document_leaves_out_stays() {
    let mut company =
        Company::with("customer_tags: [{id: a, name: A, description: long, color: '#010203'}]");
    assert!(company.load("customer_tags: [{id: a, name: A}]").unwrap().is_none());
    company.load("customer_tags: [{id: a, name: A, description: '', color: ''}]").unwrap().unwrap();
    let entry = &company.settings.as_ref().unwrap().entries(Catalog::CustomerTags)[0];
    assert_eq!((entry.description.as_str(), entry.color), ("", None));
}

#[test]
fn names_may_be_swapped_but_not_shared() {
    let mut company = Company::with("customer_tags: [{id: a, name: A}, {id: b, name: B}]");
    company.load("customer_tags: [{id: a, name: B}, {id: b, name: A}]").unwrap().unwrap();
    let clash = company.load("customer_tags: [{id: a, name: a}]").unwrap_err();
    assert_eq!(reasons(clash), [("customer_tags[0].name".to_owned(), "NAME_TAKEN")]);
    let clash =
        company.load("customer_tags: [{id: x, name: New}, {id: y, name: NEW}]").unwrap_err();
    assert_eq!(reasons(clash), [("customer_tags[1].name".to_owned(), "NAME_TAKEN")]);
}

#[test]
fn an_archived_entrys_name_is_free() {
    let mut company = Company::with("customer_tags: [{id: a, name: A, state: archived}]");
    company.load("customer_tags: [{id: b, name: A}]").unwrap().unwrap();
    assert_eq!(company.active(Catalog::CustomerTags), "b");
    let clash = company.load("customer_tags: [{id: a, name: A, state: active}]").unwrap_err();
    assert_eq!(reasons(clash), [("customer_tags[0].name".to_owned(), "NAME_TAKEN")]);
}

#[test]
fn exactly_one_active_life_cycle_is_the_default() {
    for (first, then, result) in [
        ("{id: a, name: A}, {id: b, name: B}", "", Ok("a* b")),
        ("{id: a, name: A}, {id: b, name: B, is_default: true}", "", Ok("a b*")),
        ("{id: a, name: A}", "{id: b, name: B}", Ok("b a*")),
        ("{id: a, name: A}", "{id: b, name: B, is_default: true}", Ok("b* a")),
        ("{id: a, name: A}", "{id: a, name: A, state: archived}", Err("DEFAULT_ARCHIVED")),
        (
            "{id: a, name: A}",
            "{id: a, name: A, state: archived}, {id: b, name: B, is_default: true}",
            Ok("b*"),
        ),
        (
            "{id: a, name: A}",
            "{id: b, name: B, state: archived, is_default: true}",
            Err("DEFAULT_ARCHIVED"),
        ),
        ("{id: a, name: A, state: archived}", "{id: b, name: B}", Ok("b*")),
        (
            "{id: a, name: A}",
            "{id: a, name: A, is_default: true}, {id: b, name: B, is_default: true}",
            Err("DEFAULT_TWICE"),
        ),
    ] {
        let mut company = Company::with(&format!("life_cycles: [{first}]"));
        let loaded = if then.is_empty() {
            Ok(None)
        } else {
            company.load(&format!("life_cycles: [{then}]"))
        };
        let got = loaded.map(|_| company.active(Catalog::LifeCycles)).map_err(|v| v[0].reason);
        assert_eq!(got, result.map(str::to_owned), "{first} then {then}");
    }
}

#[test]
fn other_catalogs_have_no_default() {
    let refused =
        Company::with("").load("customer_tags: [{name: A, is_default: true}]").unwrap_err();
    assert_eq!(reasons(refused), [("customer_tags[0].is_default".to_owned(), "NO_DEFAULT")]);
}

#[test]
fn a_thousand_entries_fit_and_one_more_does_not() {
    let tags = |count: usize| {
        let tags: Vec<_> = (0..count).map(|i| format!("{{id: t{i}, name: T{i}}}")).collect();
        format!("customer_tags: [{}]", tags.join(", "))
    };
    let mut company = Company::with("");
    company.load(&tags(1_000)).unwrap();
    let refused = company.load("customer_tags: [{name: More}]").unwrap_err();
    assert_eq!(reasons(refused), [("customer_tags".to_owned(), "TOO_MANY")]);
}

#[test]
fn five_thousand_locations_fit_and_one_more_does_not() {
    let places = |count: usize| {
        let places: Vec<_> = (0..count).map(|i| format!("{{id: b{i}, name: B{i}}}")).collect();
        format!("businesses: [{}]", places.join(", "))
    };
    let mut company = Company::with("");
    company.load(&places(5_000)).unwrap();
    let refused = company.load("businesses: [{name: More}]").unwrap_err();
    assert_eq!(reasons(refused), [("businesses".to_owned(), "TOO_MANY")]);
    company.load("businesses: [{id: b7, name: Renamed}], country: us").unwrap().unwrap();
}

#[test]
fn the_same_entry_twice_is_refused_where_it_stands_the_second_time() {
    let mut company = Company::with("customer_tags: [{id: a, name: A}]");
    for rest in [
        "customer_tags: [{id: a, name: A}, {name: A}]",
        "customer_tags: [{id: n, name: N}, {id: n, name: M}]",
    ] {
        assert_eq!(
            reasons(company.load(rest).unwrap_err()),
            [("customer_tags[1]".to_owned(), "DUPLICATE")]
        );
    }
    let refused = company.load("businesses: [{name: Here}, {name: HERE}]").unwrap_err();
    assert_eq!(reasons(refused), [("businesses[1]".to_owned(), "DUPLICATE")]);
}

#[test]
fn given_audit_fields_are_kept_and_changes_are_stamped() {
    let mut company = Company::with(
        "customer_tags: [{id: a, name: A, last_updated_by: staff_1, last_updated_time: 2023-01-01T10:00:00Z}]",
    );
    let audit = company.settings.as_ref().unwrap().entries(Catalog::CustomerTags)[0].audit.clone();
    assert_eq!(audit.created_by.as_str(), "staff_1");
    assert_eq!(audit.last_updated_time.to_string(), "2023-01-01T10:00:00Z");
    company.load("customer_tags: [{id: a, name: Changed}]").unwrap().unwrap();
    let audit = company.settings.as_ref().unwrap().entries(Catalog::CustomerTags)[0].audit.clone();
    assert_eq!((audit.last_updated_by.as_str(), audit.revision), ("load", Revision(2)));
    assert_eq!(audit.created_time.to_string(), "2023-01-01T10:00:00Z");
}

#[test]
fn a_new_company_needs_a_name_and_an_archived_one_stays() {
    assert_eq!(
        reasons(Company::new().load("country: US").unwrap_err()),
        [("name".to_owned(), "REQUIRED")]
    );
    let mut company = Company::with("state: archived");
    company.load("country: CA").unwrap().unwrap();
    assert_eq!(company.settings.unwrap().company.state, State::Archived);
}

#[test]
fn time_never_runs_backwards_in_a_companys_log() {
    let mut company = Company::with("");
    for expected in [1_001, 1_002] {
        let plan = company.load(&format!("name: N{expected}")).unwrap().unwrap();
        assert_eq!(plan.line.time, Timestamp::from_micros(expected));
    }
}
