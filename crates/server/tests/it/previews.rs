//! Plans as they are shown: renames, pruning, the steps, and the digest that pins them. No store, no server.

use std::sync::Arc;

use customer_settings_server::{
    catalog::{
        change::{CompanyDraft, Ignored, LoadOptions},
        delta::Delta,
        entry::{Catalog, State},
        error::Error,
        id::EntryId,
        plan::Plan,
        preview::{Action, Preview},
        settings::{Settings, Subject},
    },
    service::document,
};
use proptest::prelude::*;

use crate::plan::{Company, reasons};

const TAGS: Catalog = Catalog::CustomerTags;

fn prune() -> LoadOptions {
    LoadOptions { prune: true, ..Default::default() }
}

fn ignoring(part: Ignored) -> LoadOptions {
    LoadOptions { ignore: [part].into(), ..Default::default() }
}

/// The plan as it is shown, with each step as `action place (fields)`.
pub(crate) fn shown(
    company: &Company,
    rest: &str,
    options: &LoadOptions,
) -> (Preview, Vec<String>) {
    let plan = company.plan(rest, options).unwrap();
    let preview = Preview::of(company.settings.as_ref(), &plan, options);
    let steps = preview.steps.iter().map(|step| {
        let fields: Vec<&str> = step.fields.iter().map(|change| change.field).collect();
        let fields =
            if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
        format!("{} {}{fields}", step.action.as_str(), step.subject.place())
    });
    let steps = steps.collect();
    (preview, steps)
}

fn refused(company: &Company, rest: &str, options: &LoadOptions) -> Vec<(String, &'static str)> {
    match company.plan(rest, options) {
        Err(Error::Invalid(violations)) => reasons(violations),
        other => panic!("{other:?}"),
    }
}

fn apply(company: &mut Company, plan: Plan) {
    company.settings = Some(plan.after);
}

#[test]
fn an_entry_is_renamed_by_a_former_name_or_id() {
    for was in ["VIP", "vip", "a", "[Gone, VIP]", "[a, VIP]"] {
        let mut company = Company::with("customer_tags: [{id: a, name: VIP}, {id: b, name: B}]");
        let document = format!("customer_tags: [{{name: Gold, was: {was}}}]");
        let (preview, steps) = shown(&company, &document, &LoadOptions::default());
        assert_eq!(steps, ["rename customer_tags/a (name)"], "{was}");
        assert!(preview.warnings.is_empty());
        company.load(&document).unwrap().unwrap();
        assert_eq!(company.active(TAGS), "a b");
    }
}

#[test]
fn a_rename_with_pruning_is_neither_a_deletion_nor_a_new_entry() {
    let company = Company::with("customer_tags: [{id: a, name: VIP}, {id: b, name: B}]");
    let document = "customer_tags: [{name: Gold, was: VIP}, {name: B}]";
    assert_eq!(shown(&company, document, &prune()).1, ["rename customer_tags/a (name)"]);
}

#[test]
fn a_name_and_a_former_name_that_are_both_there_are_refused() {
    let company = Company::with(
        "customer_tags: [{id: a, name: VIP}, {id: b, name: Gold}, {id: c, name: Old, state: archived}]",
    );
    let at = |index: usize| vec![(format!("customer_tags[{index}].was"), "AMBIGUOUS_RENAME")];
    for options in [LoadOptions::default(), LoadOptions { prune_limit: 9, ..prune() }] {
        for (entries, expected) in [
            ("{name: Gold, was: VIP}", at(0)),
            ("{name: Gold, was: [Gone, VIP]}", at(0)),
            ("{name: New, was: [VIP, Gold]}", at(0)),
            ("{id: b, name: Gold, was: a}", at(0)),
            ("{id: a, name: VIP}, {id: new, name: New, was: Gold}", at(1)),
        ] {
            let document = format!("customer_tags: [{entries}]");
            assert_eq!(refused(&company, &document, &options), expected, "{entries}");
        }
    }
    let Err(Error::Invalid(told)) =
        company.plan("customer_tags: [{name: Gold, was: VIP}]", &LoadOptions::default())
    else {
        panic!("it is refused")
    };
    let text = told[0].to_string();
    assert!(text.contains("the entry is b already") && text.contains("archive the one"), "{text}");
    // An archived entry is in nobody's way.
    assert!(
        company.plan("customer_tags: [{name: Gold, was: Old}]", &LoadOptions::default()).is_ok()
    );
}

#[test]
fn a_former_name_that_the_document_gives_to_another_entry_is_refused() {
    let company = Company::with("customer_tags: [{id: a, name: A}]");
    for entries in [
        "{name: B, was: A}, {name: A}",
        "{name: B, was: n}, {id: n, name: N}",
        "{name: B, was: New}, {name: New}",
        "{name: B, was: A}, {name: A, was: B}",
        "{id: n, name: B, was: A}, {id: a, name: A}",
    ] {
        let found = refused(&company, &format!("customer_tags: [{entries}]"), &prune());
        assert_eq!(found[0], ("customer_tags[0].was".to_owned(), "AMBIGUOUS_RENAME"), "{entries}");
    }
    // Two entries cannot both have been the one that there is.
    let both = "customer_tags: [{name: B, was: A}, {name: C, was: A}]";
    assert_eq!(refused(&company, both, &prune()), [("customer_tags[1]".to_owned(), "DUPLICATE")]);
    // An archived entry may have had the name too.
    let archived = "customer_tags: [{id: a, name: B, was: A}, {id: old, name: A, state: archived}]";
    assert!(company.plan(archived, &prune()).is_ok());
}

#[test]
fn entries_with_ids_take_each_others_names() {
    let begin = "customer_tags: [{id: a, name: A}, {id: b, name: B}]";
    for (entries, names) in [
        ("{id: a, name: B, was: A}, {id: b, name: A, was: B}", ["B", "A"]),
        ("{id: b, name: C, was: B}, {id: a, name: B, was: A}", ["C", "B"]),
        ("{id: a, name: B, was: [A, a]}, {id: b, name: C, was: B}", ["B", "C"]),
    ] {
        for options in [LoadOptions::default(), prune()] {
            let mut company = Company::with(begin);
            let document = format!("customer_tags: [{entries}]");
            let (preview, steps) = shown(&company, &document, &options);
            assert_eq!(preview.counts.renamed, 2, "{steps:?}");
            company.load(&document).unwrap().unwrap();
            let held = company.settings.as_ref().unwrap().entries(TAGS);
            let held: Vec<_> = held.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(held, names);
            // Once more, the former names are stale.
            let (again, steps) = shown(&company, &document, &options);
            assert!(steps.is_empty(), "{steps:?}");
            assert!(again.warnings.iter().all(|warning| warning.reason == "WAS_UNUSED"));
        }
    }
    // Without ids, the way is told.
    let company = Company::with(begin);
    let chain = "customer_tags: [{name: C, was: B}, {name: B, was: A}]";
    let Err(Error::Invalid(told)) = company.plan(chain, &LoadOptions::default()) else {
        panic!("it is refused")
    };
    assert!(told[0].to_string().contains("give the ids"), "{}", told[0]);
}

#[test]
fn an_ignored_default_is_the_documents_where_there_would_be_none() {
    let ignored = ignoring(Ignored::IsDefault);
    let default_of = |company: &Company| {
        let mut entries = company.settings.as_ref().unwrap().active(Catalog::LifeCycles);
        entries.find(|entry| entry.is_default).map(|entry| entry.name.to_string())
    };
    let list = "life_cycles: [{id: a, name: A}, {id: b, name: B, is_default: true}]";
    let mut company = Company::with("");
    let plan = company.plan(list, &ignored).unwrap();
    apply(&mut company, plan);
    assert_eq!(default_of(&company).as_deref(), Some("B"));
    for (entries, expected) in [
        ("{id: b, name: B}, {id: c, name: C, is_default: true}", "B"),
        ("{id: b, name: B, state: archived}, {id: c, name: C, is_default: true}", "C"),
    ] {
        let plan = company.plan(&format!("life_cycles: [{entries}]"), &ignored).unwrap();
        apply(&mut company, plan);
        assert_eq!(default_of(&company).as_deref(), Some(expected));
    }
}

#[test]
fn an_active_and_an_archived_entry_of_one_name_are_told_apart_without_ids() {
    let document = "customer_tags: [{name: A}, {name: A, state: archived}]";
    let mut company = Company::with(document);
    assert!(company.load(document).unwrap().is_none());
}

#[test]
fn of_archived_entries_of_one_name_the_one_that_was_archived_last_is_meant() {
    for options in [LoadOptions::default(), ignoring(Ignored::Order)] {
        let mut company = Company::with(
            "customer_tags: [{id: a, name: A, state: archived}, {id: b, name: B}, {id: c, name: A}]",
        );
        let document = "customer_tags: [{name: B}, {name: A, state: archived, created_by: ana}]";
        let plan = company.plan(document, &options).unwrap();
        apply(&mut company, plan);
        let (_, again) = shown(&company, document, &options);
        assert_eq!(again, [] as [&str; 0], "{:?}", options.ignore);
    }
}

#[test]
fn twenty_former_names_fit_and_one_more_does_not() {
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("N{i}")).collect();
        format!("companies: [{{id: c, customer_tags: [{{name: A, was: [{}]}}]}}]", names.join(", "))
    };
    let problems = |text: &str| document::parse(text).unwrap().next().unwrap().problems.told();
    assert!(problems(&names(20)).is_empty());
    assert_eq!(problems(&names(21))[0].violation.reason, "TOO_MANY");
    for (was, reason) in [("[{a: b}]", "WRONG_SHAPE"), ("[~]", "WRONG_SHAPE"), ("''", "REQUIRED")] {
        let text = format!("companies: [{{id: c, customer_tags: [{{name: A, was: {was}}}]}}]");
        let told = problems(&text);
        assert_eq!((told[0].violation.reason, told[0].line), (reason, 1), "{was}");
    }
}

#[test]
fn pruning_archives_what_a_stated_catalog_does_not_name() {
    let tags: Vec<String> = (0..6).map(|i| format!("{{id: t{i}, name: T{i}}}")).collect();
    let all =
        format!("customer_tags: [{}], referral_sources: [{{id: r, name: R}}]", tags.join(", "));
    let company = Company::with(&all);
    let five = format!("customer_tags: [{}]", tags[..5].join(", "));
    assert!(shown(&company, &five, &LoadOptions::default()).1.is_empty());
    let (preview, steps) = shown(&company, &five, &prune());
    assert_eq!(steps, ["archive customer_tags/t5 (state)"]);
    assert_eq!(preview.steps[0].warnings[0].reason, "PRUNED");
    assert_eq!((preview.counts.archived, preview.counts.to_string().as_str()), (1, "1 archived"));
    // Nothing is said of the tags.
    assert!(shown(&company, "country: us", &prune()).1.iter().all(|step| step.contains("company")));
    let none = "customer_tags: []";
    assert!(shown(&company, none, &LoadOptions::default()).1.is_empty());
    let refusal = vec![("customer_tags".to_owned(), "PRUNE_LIMIT")];
    assert_eq!(refused(&company, none, &prune()), refusal);
    assert_eq!(refused(&company, none, &LoadOptions { prune_limit: 5, ..prune() }), refusal);
    let (preview, _) = shown(&company, none, &LoadOptions { prune_limit: 6, ..prune() });
    assert_eq!(preview.counts.archived, 6);
}

#[test]
fn the_brake_holds_above_a_third_and_above_ten_entries_and_a_tenth() {
    for (active, pruned, is_refused) in [
        (1, 1, true),
        (2, 1, true),
        (3, 1, false),
        (30, 10, false),
        (29, 10, true),
        (30, 11, true),
        (109, 11, true),
        (110, 11, false),
        (1_000, 100, false),
        (1_000, 101, true),
    ] {
        let tags: Vec<String> = (0..active).map(|i| format!("{{id: t{i}, name: T{i}}}")).collect();
        let company = Company::with(&format!("customer_tags: [{}]", tags.join(", ")));
        let document = format!("customer_tags: [{}]", tags[pruned..].join(", "));
        let found = company.plan(&document, &prune());
        assert_eq!(found.is_err(), is_refused, "{pruned} of {active}");
    }
}

#[test]
fn archived_entries_are_not_pruned_and_do_not_count() {
    let archived: Vec<String> =
        (0..9).map(|i| format!("{{id: x{i}, name: X{i}, state: archived}}")).collect();
    let company = Company::with(&format!(
        "customer_tags: [{{id: a, name: A}}, {{id: b, name: B}}, {}]",
        archived.join(", ")
    ));
    assert_eq!(
        refused(&company, "customer_tags: [{id: a, name: A}]", &prune()),
        [("customer_tags".to_owned(), "PRUNE_LIMIT")]
    );
}

#[test]
fn a_default_is_pruned_with_all_others() {
    let company =
        Company::with("life_cycles: [{id: a, name: A, is_default: true}, {id: b, name: B}]");
    let options = LoadOptions { prune_limit: 2, ..prune() };
    let (_, steps) = shown(&company, "life_cycles: []", &options);
    assert_eq!(
        steps,
        ["archive life_cycles/a (is_default, state)", "archive life_cycles/b (state)"]
    );
}

#[test]
fn a_default_is_not_pruned_without_a_successor() {
    let company = Company::with(
        "life_cycles: [{id: a, name: A, is_default: true}, {id: b, name: B}, {id: c, name: C}, {id: d, name: D}]",
    );
    let rest = |default: &str| {
        format!(
            "life_cycles: [{{id: b, name: B{default}}}, {{id: c, name: C}}, {{id: d, name: D}}]"
        )
    };
    let found = refused(&company, &rest(""), &prune());
    assert_eq!(found, [("life_cycles".to_owned(), "DEFAULT_ARCHIVED")]);
    let (preview, steps) = shown(&company, &rest(", is_default: true"), &prune());
    assert!(steps.contains(&"archive life_cycles/a (is_default, state)".to_owned()), "{steps:?}");
    let made = preview.steps.iter().find(|step| step.subject.place() == "life_cycles/b").unwrap();
    assert_eq!(made.warnings[0].reason, "MOVES_DEFAULT");
    assert!(made.warnings[0].description.contains("\"A\" (a)"), "{:?}", made.warnings);
}

#[test]
fn ignored_parts_of_existing_entries_stay() {
    let company = Company::with(
        "customer_tags: [{id: a, name: A, color: '#000001', description: one}, {id: b, name: B}], \
         life_cycles: [{id: x, name: X}, {id: y, name: Y}]",
    );
    for (part, document, without, expected) in [
        (Ignored::Color, "customer_tags: [{name: A, color: '#ff0000'}]", "update", ""),
        (Ignored::Description, "customer_tags: [{name: A, description: two}]", "update", ""),
        (Ignored::Order, "customer_tags: [{name: B}, {name: A}]", "move", ""),
        (Ignored::Order, "customer_tags: [{name: C}, {name: B}]", "create move", "create"),
        (
            Ignored::IsDefault,
            "life_cycles: [{name: X}, {name: Y, is_default: true}]",
            "update update",
            "",
        ),
    ] {
        let actions = |options: &LoadOptions| {
            let mut actions: Vec<_> = shown(&company, document, options)
                .0
                .steps
                .iter()
                .map(|s| s.action.as_str())
                .collect();
            actions.sort_unstable();
            actions.join(" ")
        };
        assert_eq!(actions(&LoadOptions::default()), without, "{document}");
        assert_eq!(actions(&ignoring(part)), expected, "{document}");
    }
}

#[test]
fn steps_say_what_changes_from_what_to_what() {
    let company = Company::with(
        "country: us, customer_tags: [{id: a, name: A}, {id: b, name: B, color: '#010203'}, \
         {id: c, name: C, state: archived}]",
    );
    let document = "country: ca, businesses: [{id: here, name: Here, address: {city: Bern}}], \
                    customer_tags: [{id: b, name: Bee, color: ''}, {id: c, name: C, state: active}, {name: New}, \
                    {id: a, name: A, state: archived}]";
    let (preview, steps) = shown(&company, document, &LoadOptions::default());
    assert_eq!(
        steps,
        [
            "update company (country)",
            "create businesses/here (name, address)",
            "rename customer_tags/b (name, color)",
            "restore customer_tags/c (state)",
            "create customer_tags/tag_new2 (name)",
            "archive customer_tags/a (state)",
        ]
    );
    let step = |i: usize| &preview.steps[i];
    let texts = |i: usize| {
        let fields = step(i).fields.iter();
        fields.map(|f| format!("{}: {} -> {}", f.field, f.before, f.after)).collect::<Vec<_>>()
    };
    assert_eq!(texts(0), ["country: US -> CA"]);
    assert_eq!(texts(1), ["name:  -> Here", "address:  -> city: \"Bern\""]);
    assert_eq!(texts(2), ["name: B -> Bee", "color: #010203 -> "]);
    assert_eq!(texts(5), ["state: active -> archived"]);
    assert_eq!((step(4).made_of, step(1).made_of, step(2).made_of), (Some(2), Some(0), None));
    assert_eq!(
        preview.counts.to_string(),
        "2 created, 1 updated, 1 renamed, 1 archived, 1 restored"
    );
}

#[test]
fn audit_values_are_shown_where_the_document_gives_them() {
    let mut company = Company::with("customer_tags: [{id: a, name: A}]");
    let document = "customer_tags: [{id: a, name: A, created_by: staff_7}, \
                    {id: b, name: B, last_updated_time: 2023-01-01T10:00:00Z}]";
    let (preview, steps) = shown(&company, document, &LoadOptions::default());
    assert_eq!(
        steps,
        [
            "update customer_tags/a (created_by)",
            "create customer_tags/b (name, created_time, last_updated_time)"
        ]
    );
    assert_eq!(preview.steps[0].fields[0].before, "load");
    // As the document has them.
    let fine = "customer_tags: [{id: a, name: A, created_time: 2023-01-01T10:00:00.12Z}]";
    let fine = shown(&company, fine, &LoadOptions::default()).0;
    assert_eq!(fine.steps[0].fields[0].after, "2023-01-01T10:00:00.120000Z");
    company.load(document).unwrap().unwrap();
    assert!(shown(&company, document, &LoadOptions::default()).1.is_empty());
}

#[test]
fn a_digest_pins_the_steps_and_nothing_else() {
    let mut company = Company::with(
        "customer_tags: [{id: a, name: A, color: '#000001'}, {id: b, name: B}], referral_sources: [{id: r, name: R}]",
    );
    let document = "customer_tags: [{id: a, name: A, color: '#000002'}, {id: n, name: New}]";
    let none = LoadOptions::default();
    let digest =
        |company: &Company, options: &LoadOptions| shown(company, document, options).0.digest;
    let first = digest(&company, &none);
    let pruning = LoadOptions { prune_limit: 1, ..prune() };
    assert_ne!(first, digest(&company, &pruning));
    assert_ne!(
        digest(&company, &LoadOptions { prune_limit: 2, ..prune() }),
        digest(&company, &pruning)
    );
    assert_ne!(first, digest(&company, &ignoring(Ignored::Order)));
    // Others change what is not shown.
    company.load("country: us, referral_sources: [{id: r, name: R2}]").unwrap().unwrap();
    company.load("customer_tags: [{id: a, name: A}, {id: b, name: Bee}]").unwrap().unwrap();
    assert_eq!(first, digest(&company, &none));
    let expected = LoadOptions { expected: Some(first), ..Default::default() };
    assert!(company.plan(document, &expected).is_ok());
    // Somebody changes a value that is shown.
    company.load("customer_tags: [{id: a, name: A, color: '#000003'}]").unwrap().unwrap();
    let Err(Error::PlanChanged(changed)) = company.plan(document, &expected) else {
        panic!("the plan is another one")
    };
    assert_eq!(changed.digest, digest(&company, &none).to_string());
    assert_eq!(changed.counts.to_string(), "1 created, 1 updated");
    // Once it is applied, nothing is left to refuse.
    let plan = company.plan(document, &none).unwrap();
    apply(&mut company, plan);
    assert!(company.plan(document, &expected).unwrap().line.deltas.is_empty());
}

/// Documents about few names, so that they meet.
fn documents() -> impl Strategy<Value = String> {
    let entry = |name: usize, was: usize, flags: u8| {
        let mut text = format!("{{name: N{name}");
        let mut add = |bit: u8, part: &str| {
            if flags & bit != 0 {
                text.push_str(part);
            }
        };
        add(1, ", color: '#010101'");
        add(2, ", state: archived");
        add(4, ", description: long");
        add(8, &format!(", was: N{was}"));
        add(16, ", created_by: staff_1");
        text + "}"
    };
    // The names of a catalog differ. Former names may be those of entries too, and then the document is refused.
    let names = Just((0..6).collect::<Vec<usize>>()).prop_shuffle();
    let rest = proptest::collection::vec((0..7_usize, any::<u8>()), 0..5);
    let catalog = (names, rest).prop_map(move |(names, rest)| {
        let entries = names.into_iter().zip(rest);
        let entries = entries.map(|(name, (was, flags))| entry(name, was, flags));
        entries.collect::<Vec<_>>().join(", ")
    });
    (catalog.clone(), catalog, any::<bool>(), 0..3_usize).prop_map(
        |(tags, cycles, places, country)| {
            let businesses = if places { "businesses: [{id: h, name: Here}], " } else { "" };
            let country = ["us", "ca", "ch"][country];
            format!(
                "country: {country}, {businesses}customer_tags: [{tags}], life_cycles: [{cycles}]"
            )
        },
    )
}

fn draft(rest: &str) -> Arc<CompanyDraft> {
    document::parse(&format!("companies: [{{id: c, {rest}}}]")).unwrap().next().unwrap().draft
}

proptest! {
    #[test]
    fn steps_are_the_deltas_and_a_plan_after_its_application_is_empty(
        documents in proptest::collection::vec(documents(), 1..6),
        prunes in any::<bool>(),
        ignore in proptest::sample::subsequence(Ignored::ALL.to_vec(), 0..3),
    ) {
        let mut company = Company::with("");
        for document in documents {
            let ignore = ignore.iter().copied().collect();
            let options =
                LoadOptions { prune: prunes, prune_limit: 3, ignore, ..Default::default() };
            let draft = draft(&document);
            let Ok(plan) = company.plan_draft(draft.clone(), &options) else { continue };
            let preview = Preview::of(company.settings.as_ref(), &plan, &options);
            // Entries that only make room for others are not shown, and never alone.
            prop_assert_eq!(preview.steps.is_empty(), plan.line.deltas.is_empty());
            let is_shown = |delta: &&Delta| preview.steps.iter().any(|step| step.subject == delta.subject);
            let (shown, room): (Vec<&Delta>, Vec<&Delta>) = plan.line.deltas.iter().partition(is_shown);
            prop_assert!(room.iter().all(|delta| delta.ranks().is_some()));
            let order = |settings: Option<&Settings>, catalog: Catalog| -> Vec<EntryId> {
                let moved = |id: &EntryId| preview.steps.iter().any(|step| {
                    step.moved.is_some() && step.subject == Subject::Entry(catalog, id.clone())
                });
                let active = settings.into_iter().flat_map(|settings| settings.active(catalog));
                active.map(|entry| entry.id.clone()).filter(|id| !moved(id)).collect()
            };
            for catalog in [TAGS, Catalog::LifeCycles] {
                let (old, new) = (order(company.settings.as_ref(), catalog), order(Some(&plan.after), catalog));
                let old: Vec<&EntryId> = old.iter().filter(|id| new.contains(id)).collect();
                let new: Vec<&EntryId> = new.iter().filter(|id| old.contains(id)).collect();
                prop_assert_eq!(old, new, "those that are not said to move keep their order");
            }
            prop_assert!(preview.steps.iter().map(|step| &step.subject).eq(shown.iter().map(|delta| &delta.subject)));
            for (step, delta) in preview.steps.iter().zip(shown) {
                let is_archived = delta.after.as_ref().and_then(|row| row.entry()).is_some_and(|entry| {
                    entry.state == State::Archived
                });
                prop_assert!(step.action != Action::Restore || !is_archived);
                let is_move = delta.ranks().is_some();
                prop_assert_eq!(step.action == Action::Move, is_move);
                prop_assert_eq!(step.fields.is_empty(), is_move || delta_is_a_move(step));
            }
            let expected = LoadOptions { expected: Some(preview.digest), ..options.clone() };
            // New entries have other ids when they are planned again.
            if preview.counts.created == 0 {
                prop_assert!(company.plan_draft(draft.clone(), &expected).is_ok());
            }
            apply(&mut company, plan);
            match company.plan_draft(draft, &options) {
                Ok(again) => prop_assert!(again.line.deltas.is_empty(), "{:?}", again.line.deltas),
                Err(error) => prop_assert!(false, "{document}: {error}"),
            }
        }
    }
}

/// Whether an entry only moved, although its row was written.
fn delta_is_a_move(step: &customer_settings_server::catalog::preview::Step) -> bool {
    step.fields.is_empty() && step.moved.is_some()
}
