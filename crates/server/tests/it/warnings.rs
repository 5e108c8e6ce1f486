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
