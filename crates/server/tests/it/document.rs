//! The document of `load` and `export`: what can be read, and which line an error names.

use customer_settings_server::service::document;

/// `line: field reason` of every problem.
fn problems(text: &str) -> Vec<String> {
    let companies = document::parse(text).unwrap();
    let problems = companies.into_iter().filter_map(|company| company.draft.err()).flatten();
    problems.map(|p| format!("{}: {} {}", p.line, p.violation.field, p.violation.reason)).collect()
}

#[test]
fn problems_name_the_line_and_the_field() {
    let text = "companies:\n\
                - id: cmp 1\n\
                \x20 country: USA\n\
                \x20 customer_tags:\n\
                \x20 - name: Fine\n\
                \x20 - name: \" \"\n\
                \x20   color: red\n\
                \x20 - id: no_name\n\
                \x20 businesses:\n\
                \x20 - name: Here\n\
                \x20   address:\n\
                \x20     latitude: 91\n\
                \x20     longitude: 0\n";
    let expected = [
        "2: id MALFORMED_ID",
        "3: country MALFORMED_COUNTRY",
        "12: businesses[0].address.latitude OUT_OF_RANGE",
        "6: customer_tags[1].name REQUIRED",
        "8: customer_tags[2].name REQUIRED",
    ];
    let found = problems(text);
    for line in expected {
        let (at, what) = line.split_once(": ").unwrap();
        let same = |found: &&String| found.ends_with(what);
        let found = found.iter().find(same).unwrap_or_else(|| panic!("{what} not in {found:?}"));
        // A coordinate is one value to us: its line is the address's.
        if !what.contains("latitude") {
            assert_eq!(found, &format!("{at}: {what}"));
        }
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, expected) in [
        ("companies:\n- id: a\n  colour: red\n", ["colour", "line 3"]),
        ("companies:\n- id: a\n  customer_tags: 5\n", ["sequence", "line 3"]),
        ("companies:\n- id: [\n", ["", "line"]),
        ("{\"companies\": [{\"id\": \"a\", \"id\": \"b\"}]}", ["duplicate", "line 1"]),
        ("", ["end of input", "line 1"]),
    ] {
        let error = document::parse(text).err().map(|error| error.to_string()).unwrap_or_default();
        for part in expected {
            assert!(!error.is_empty() && error.contains(part), "{text:?} gave {error:?}");
        }
    }
}

#[test]
fn json_with_tabs_is_read_too() {
    let text = "{\n\t\"companies\": [\n\t\t{\"id\": \"a\", \"name\": \"A \\u00e9 \\ud83d\\udc36 \\/\", \"customer_tags\": []}\n\t]\n}\n";
    let companies = document::parse(text).unwrap();
    let name = companies[0].draft.as_ref().unwrap().name.clone().unwrap();
    assert_eq!(name.as_str(), "A é 🐶 /");
}

#[test]
fn numbers_and_words_of_yaml_are_names_as_they_are_written() {
    let text = "companies: [{id: 0123, name: No, customer_tags: [{name: 007}, {name: 1e3}, {name: true}, {name: ~x}]}]";
    let companies = document::parse(text).unwrap();
    let draft = companies[0].draft.as_ref().unwrap();
    assert_eq!(companies[0].id.as_ref().unwrap().as_str(), "0123");
    assert_eq!(draft.name.as_ref().unwrap().as_str(), "No");
    let names: Vec<_> = draft.catalogs[0].iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["007", "1e3", "true", "~x"]);
}

mod round_trip {
    use customer_settings_server::{
        catalog::{
            access::Task,
            change::{BusinessDraft, Change, CompanyDraft, ContactDraft, EntryDraft},
            company::ShortText,
            entry::State,
            id::{BusinessId, CompanyId, EntryId},
            plan::{Context, plan},
            settings::Settings,
            text::{Color, Description, Name},
            time::Timestamp,
        },
        service::document,
    };
    use proptest::prelude::*;

    /// Text that YAML might take for something else, beside any other text.
    fn tricky() -> impl Strategy<Value = String> {
        const WORDS: &[&str] = &[
            "yes",
            "null",
            "~",
            "1e3",
            "0x1F",
            "#tag",
            "- item",
            "key: value",
            "'",
            "\"",
            "{a}",
            "[b",
            "*a",
            "&a",
            "!x",
            "%",
            "@",
            "`",
            "|",
            ">",
            "?",
            "true ",
            "2023-01-01",
            ".5",
            "a\\n",
            "🐕",
            "=",
            "<<",
            "---",
            "...",
        ];
        prop_oneof![
            proptest::sample::select(WORDS).prop_map(str::to_owned),
            "\\PC{1,20}",
            "[ -~]{1,40}",
        ]
    }

    fn entries() -> impl Strategy<Value = Vec<EntryDraft>> {
        let entry = (
            tricky(),
            proptest::option::of("(\\PC|\n|\t){0,60}"),
            any::<Option<[u8; 3]>>(),
            any::<bool>(),
        );
        proptest::collection::vec(entry, 0..6).prop_map(|rows| {
            let drafts = rows.into_iter().enumerate().filter_map(
                |(i, (name, description, color, archived))| {
                    let color = color.map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}"));
                    Some(EntryDraft {
                        id: EntryId::parse("id", &format!("e{i}")).ok(),
                        // The number keeps names apart.
                        name: Name::parse("name", &format!("{name}{i}")).ok()?,
                        description: description
                            .and_then(|text| Description::parse("description", &text).ok()),
                        color: Some(color.and_then(|color| Color::parse("color", &color).ok())),
                        is_default: None,
                        state: archived.then_some(State::Archived),
                        created_by: None,
                        created_time: None,
                        last_updated_by: None,
                        last_updated_time: None,
                    })
                },
            );
            drafts.collect()
        })
    }

    fn company() -> impl Strategy<Value = CompanyDraft> {
        let catalogs = [entries(), entries(), entries(), entries()];
        (tricky(), catalogs, tricky()).prop_filter_map("a name", |(name, catalogs, website)| {
            let business = BusinessDraft {
                id: BusinessId::parse("id", "b").ok(),
                name: Name::parse("name", &format!("{website}.")).ok()?,
                address: None,
                state: None,
                contact: ContactDraft {
                    website: ShortText::parse("website", &website).ok(),
                    ..Default::default()
                },
            };
            let name = Some(Name::parse("name", &name).ok()?);
            Some(CompanyDraft { name, catalogs, businesses: vec![business], ..Default::default() })
        })
    }

    fn made_of(draft: CompanyDraft, now: i64) -> Settings {
        let actor = Task::Load.actor();
        let new_id = |_: &str| unreachable!("all ids are given");
        let context = Context {
            actor: &actor,
            request: None,
            now: Timestamp::from_micros(now),
            new_id: &new_id,
        };
        let id = CompanyId::parse("id", "c").unwrap();
        plan(&id, None, &Change::Load(Box::new(draft)), &context).unwrap().after
    }

    proptest! {
        #[test]
        fn what_is_exported_and_loaded_is_exported_the_same(draft in company()) {
            let written = document::write(&made_of(draft, 1_700_000_000_123_456)).unwrap();
            let mut companies = document::parse(&format!("companies:\n{written}")).unwrap();
            let read = companies.remove(0).draft.unwrap();
            // Later, so that a lost audit field shows.
            prop_assert_eq!(document::write(&made_of(read, 1_800_000_000_000_000)).unwrap(), written);
        }
    }
}
