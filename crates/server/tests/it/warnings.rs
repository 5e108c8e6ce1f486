//! The remarks of a plan on its document, which refuse nothing, and the scopes that it needs. No store, no server.

use customer_settings_server::catalog::{change::LoadOptions, error::Violation};

use crate::{
    plan::{Company, reasons},
    previews::shown,
};

#[test]
fn a_stale_former_name_only_warns() {
    let mut company = Company::with("customer_tags: [{id: a, name: VIP}]");
    let document = "customer_tags: [{name: Gold, was: VIP}]";
    company.load(document).unwrap().unwrap();
    let (preview, steps) = shown(&company, document, &LoadOptions::default());
    assert!(steps.is_empty());
    let warnings: Vec<Violation> = preview.warnings;
    assert_eq!(reasons(warnings), [("customer_tags[0].was".to_owned(), "WAS_UNUSED")]);
}

#[test]
fn a_former_name_that_no_entry_has_says_that_a_new_entry_is_made() {
    let company = Company::with(
        "customer_tags: [{id: a, name: Regular}, {id: b, name: Old, state: archived}]",
    );
    let document = "customer_tags: [{name: Weekly, was: Reglar}, {name: New, was: Old}]";
    let (preview, _) = shown(&company, document, &LoadOptions::default());
    let described: Vec<&str> =
        preview.warnings.iter().map(|warning| warning.description.as_str()).collect();
    assert_eq!(
        described,
        [
            "finds no active entry \"Reglar\", so \"Weekly\" is made as a new one; did you mean \"Regular\"?",
            "finds no active entry \"Old\", so \"New\" is made as a new one",
        ]
    );
    let unknown = |at: usize| (format!("customer_tags[{at}].was"), "WAS_UNKNOWN");
    assert_eq!(reasons(preview.warnings), [unknown(0), unknown(1)]);
}

/// The warnings of a plan of tags, each as its place and its reason.
fn warned(company: &Company, tags: &str, options: &LoadOptions) -> Vec<(String, &'static str)> {
    reasons(shown(company, &format!("customer_tags: [{tags}]"), options).0.warnings)
}

#[test]
fn a_new_entry_with_the_name_of_an_archived_one_says_how_to_take_that_one_back() {
    let company = Company::with(
        "customer_tags: [{id: a, name: VIP, state: archived}, {id: b, name: VIP, state: archived}, {id: c, name: C}]",
    );
    let document = "customer_tags: [{name: C}, {name: ' vip '}]";
    let (preview, steps) = shown(&company, document, &LoadOptions::default());
    assert_eq!(preview.counts.to_string(), "1 created");
    assert_eq!(steps.len(), 1, "{steps:?}");
    let [Violation { field, reason, description }] = &preview.warnings[..] else {
        panic!("{:?}", preview.warnings)
    };
    assert_eq!((field.as_str(), *reason), ("customer_tags[1].name", "NAME_ARCHIVED"));
    assert_eq!(
        description,
        "is also the name of the archived entry a, beside which a new one is made: to take that one back, give 'id: a' and \
         'state: active'"
    );
    // A document that does so.
    let taken_back = "customer_tags: [{name: C}, {name: vip, id: a, state: active}]";
    let (preview, steps) = shown(&company, taken_back, &LoadOptions::default());
    assert_eq!(steps, ["restore customer_tags/a (name, state)"]);
    assert!(preview.warnings.is_empty());
    // The id alone leaves it archived.
    let by_id = "customer_tags: [{name: VIP, id: a}]";
    assert_eq!(shown(&company, by_id, &LoadOptions::default()).1, [] as [&str; 0]);
}

#[test]
fn the_archived_entry_of_a_name_is_told_where_the_document_may_mean_it_alone() {
    let company = Company::with(
        "customer_tags: [{id: a, name: VIP, state: archived}, {id: c, name: C}], \
         referral_sources: [{id: r, name: Sign, state: archived}]",
    );
    let told = [("customer_tags[0].name".to_owned(), "NAME_ARCHIVED")];
    let none = LoadOptions::default();
    // Also a plan whose ids are pinned.
    for tags in ["{name: VIP}", "{id: new, name: VIP}", "{name: VIP, state: active}"] {
        assert_eq!(warned(&company, tags, &none), told, "{tags}");
    }
    for tags in [
        "{name: Sign}",
        "{name: VIP, was: C}",
        "{name: VIP, state: archived}",
        "{id: a, name: VIP}",
        "{id: new, name: VIP, state: archived}",
        "{name: VIP}, {id: a, name: VIP, state: archived}",
        "{name: VIP, state: archived}, {name: VIP}",
    ] {
        assert_eq!(warned(&company, tags, &none), [], "{tags}");
    }
    // The account decides about the ids of a mirror.
    let of_source = LoadOptions { is_of_source: true, ..Default::default() };
    let mirrored = "source: {kind: moego, mode: mirror}, customer_tags: [{id: new, name: VIP}]";
    assert_eq!(reasons(shown(&company, mirrored, &of_source).0.warnings), []);
}

/// The service asks for these when it plans a document for the last time, so that no change meanwhile goes around them.
#[test]
fn a_plan_needs_scopes_for_what_it_changes() {
    let mut company = Company::with("customer_tags: [{id: a, name: A, created_by: ana}]");
    let needs = |company: &Company, rest: &str| {
        let plan = company.plan(rest, &LoadOptions::default()).unwrap();
        plan.needs().into_iter().map(|(scope, _)| scope.as_str()).collect::<Vec<_>>()
    };
    let document =
        "country: us, customer_tags: [{id: a, name: A, created_by: ana, last_updated_by: load}]";
    assert_eq!(needs(&company, document), ["companies:write"]);
    company.load(document).unwrap().unwrap();
    assert!(needs(&company, document).is_empty());
    // Authors that the change would write by itself are no claim.
    assert!(needs(&company, "customer_tags: [{id: b, name: B, created_by: load}]").is_empty());
    for claim in [
        "{id: a, name: A, created_by: bob}",
        "{id: a, name: A, last_updated_by: ana}",
        "{id: a, name: Other, last_updated_time: 2023-01-01T10:00:00Z}",
        "{id: b, name: B, created_by: ana}",
    ] {
        let document = format!("customer_tags: [{claim}]");
        assert_eq!(needs(&company, &document), ["sources:write"], "{claim}");
    }
    let both = needs(&company, "source: {kind: moego}");
    assert_eq!(both, ["companies:write", "sources:write"]);
    // A document of a company that has a source needs no scope for what it does not say.
    company.load("source: {kind: moego, mode: cutover}").unwrap().unwrap();
    assert_eq!(needs(&company, "customer_tags: [{id: a, name: B}]"), [] as [&str; 0]);
    assert_eq!(needs(&company, "source: {kind: moego, mode: cutover}"), [] as [&str; 0]);
    assert_eq!(needs(&company, "source: {}"), both);
    let plan = company.plan("source: {}", &LoadOptions::default()).unwrap();
    let (_, why) = plan.needs().pop().unwrap();
    assert!(why.ends_with("a document without 'source' needs no such scope"), "{why}");
}
