//! Moves in plans as they are shown: entries that only make room for others are none.

use customer_settings_server::catalog::change::LoadOptions;

use crate::{plan::Company, previews::shown};

#[test]
fn only_what_people_see_move_is_a_move() {
    let begin = "customer_tags: [{id: a, name: A}, {id: z, name: Z, state: archived}, {id: b, name: B}, \
                 {id: x, name: X}, {id: y, name: Y}]";
    for (entries, expected) in [
        // Others make room, or close ranks.
        ("{name: N, id: n}, {name: A}, {name: B}", "create n"),
        (
            "{name: A, state: archived}, {name: N, id: n}, {name: B}, {name: X}",
            "create n, archive a",
        ),
        // An archived entry has no place by itself.
        ("{name: Z, state: archived}, {name: A}, {name: B}", ""),
        (
            "{name: A}, {name: B}, {name: X}, {name: Y}, {name: B2, id: z, state: archived}",
            "rename z",
        ),
        // One entry moves, and not those that it passes.
        ("{name: Y}, {name: A}, {name: B}, {name: X}", "move y 3 0"),
        ("{name: Y}, {name: Z, state: archived}, {name: A}, {name: B}, {name: X}", "move y 3 0"),
        ("{name: B}, {name: X}, {name: Y}", "move a 0 3"),
        ("{name: Z, id: z, state: active}, {name: A}", "restore z"),
        ("{name: Y, color: '#000000'}, {name: A}, {name: B}, {name: X}", "update y 3 0"),
    ] {
        let mut company = Company::with(begin);
        let document = format!("customer_tags: [{entries}]");
        let (preview, _) = shown(&company, &document, &LoadOptions::default());
        let steps = preview.steps.iter().map(|step| {
            let moved = step.moved.map(|(from, to)| format!(" {from} {to}")).unwrap_or_default();
            let place = step.subject.place();
            let id = place.trim_start_matches("customer_tags/");
            format!("{} {id}{moved}", step.action.as_str())
        });
        let mut steps: Vec<String> = steps.collect();
        let mut expected: Vec<&str> =
            expected.split(", ").filter(|text| !text.is_empty()).collect();
        steps.sort();
        expected.sort();
        assert_eq!(steps, expected, "{entries}");
        company.load(&document).unwrap();
        assert!(shown(&company, &document, &LoadOptions::default()).1.is_empty(), "{entries}");
    }
}

#[test]
fn a_plan_that_adds_entries_outlives_additions_elsewhere() {
    for document in [
        "customer_tags: [{id: n, name: New}, {id: a, name: A}, {id: b, name: B}]",
        "customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: n, name: New}]",
    ] {
        let mut company =
            Company::with("customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: c, name: C}]");
        let digest = shown(&company, document, &LoadOptions::default()).0.digest;
        company.load("customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: c, name: C}, {id: o, name: Other}]").unwrap();
        let expected = LoadOptions { expected: Some(digest), ..Default::default() };
        assert!(company.plan(document, &expected).is_ok(), "{document}");
    }
}
