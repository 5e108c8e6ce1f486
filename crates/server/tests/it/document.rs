//! The document of `load` and `export`: the accepted forms, and the line in an error.

use customer_settings_server::{
    catalog::{access::Task, entry::Revision, id::CompanyId},
    service::{
        document::{self, DocumentCompany},
        load::Outcome,
    },
};

use crate::harness::*;

/// `line: field reason` of every problem.
fn problems(text: &str) -> Vec<String> {
    let companies = parse(text);
    let problems = companies.into_iter().flat_map(|company| company.problems.told());
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
                \x20   email: nobody\n\
                \x20   website: javascript:alert(1)\n\
                \x20   address:\n\
                \x20     latitude: 91\n\
                \x20     longitude: 0\n";
    let expected = [
        "2: id MALFORMED_ID",
        "3: country MALFORMED_COUNTRY",
        "11: businesses[0].email MALFORMED_EMAIL",
        "12: businesses[0].website MALFORMED_WEB_ADDRESS",
        "14: businesses[0].address.latitude OUT_OF_RANGE",
        "6: customer_tags[1].name REQUIRED",
        "8: customer_tags[2].name REQUIRED",
    ];
    let found = problems(text);
    for line in expected {
        let (at, what) = line.split_once(": ").unwrap();
        let same = |found: &&String| found.ends_with(what);
        let found = found.iter().find(same).unwrap_or_else(|| panic!("{what} not in {found:?}"));
        // A coordinate is one value, so its line is the address's line.
        if !what.contains("latitude") {
            assert_eq!(found, &format!("{at}: {what}"));
        }
    }
}

fn parse(text: &str) -> Vec<DocumentCompany> {
    match document::parse(text) {
        Ok(companies) => companies.collect(),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The error that makes a whole document unreadable.
fn unreadable(text: &str) -> String {
    document::parse(text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Each problem as text for people.
fn told(text: &str) -> Vec<String> {
    let companies = parse(text);
    let problems = companies.into_iter().flat_map(|company| company.problems.told());
    problems.map(|problem| problem.to_string()).collect()
}

#[test]
fn what_cannot_be_read_says_where_and_what_belongs_there() {
    const EXPECTED: &str = "a document begins with companies:";
    for (text, expected) in [
        ("companies:\n- id: [\n", &["line 2", "brackets"][..]),
        ("companies:\n\t- id: a\n", &["line 2", "no tabs"]),
        ("companies:\n- id: a\n  name: A\n\n\tstate: x\n", &["line 5", "column 1", "a tab"]),
        ("companies:\n- id: a\n  name: \"A\n\tb\n", &["line 3", "quotation marks"]),
        ("companies:\n- id: a\n  name: \"A\n", &["line", "quotation marks"]),
        ("", &["line 1: the document is empty", EXPECTED]),
        ("# only words\n", &["the document is empty"]),
        ("- name: VIP\n", &["line 1: this is a list", "keys with values", EXPECTED]),
        (
            "name,color\nVIP,#ff0000\n",
            &["line 1: this is the text \"name,color VIP,#ff0000\"", EXPECTED],
        ),
        ("\"name\",\"color\"\n\"VIP\",\"#ff0000\"\n", &["line 1", "begins with companies:"]),
        (
            "companies:\n  c1: {name: A}\n",
            &["line 2: companies must be a list", "the first of them \"c1\""],
        ),
        ("companies:\n- id: c1\n---\ncompanies: []\n", &["line 3: a second document begins here"]),
        ("companies: []\ncompanies: []\n", &["line 2: companies is there twice", "line 1"]),
        ("company: []\n", &["line 1: company is unknown; did you mean companies?"]),
        ("<<: {}\ncompanies: []\n", &["line 1: << is a merge key, which is not supported"]),
        (
            "version: 2\nothers: 2\n",
            &[
                "line 1: version must be 1",
                "line 2: others is unknown; there are companies, version",
            ],
        ),
        ("{$schema: a, companies: [], $schema: b}", &["line 1: $schema is there twice"]),
        ("companies:\n", &["line 1: companies is empty"]),
        ("companies: &a [*a]\n", &["line 1", "a part of"]),
        ("companies: [*a]\n", &["line 1: an alias (*) stands for", "nothing was"]),
        ("? [a]\n: b\n", &["line 1: a key must be text, and this is a list"]),
    ] {
        let error = unreadable(text);
        for part in expected {
            assert!(error.contains(part), "{text:?} gave {error:?}");
        }
        for word in ["mapping", "sequence", "scalar", "Option", "from_str", "expected map", "token"]
        {
            assert!(!error.contains(word), "{text:?} gave {error:?}");
        }
    }
}

#[test]
fn a_document_that_nests_deep_is_refused_before_it_costs() {
    for levels in [33, 200, 300, 1_000, 1_000_000] {
        let flow = format!("companies: {}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(unreadable(&flow), "line 1: nests deeper than 32 levels");
        let block = format!("companies:\n{}x\n", "- ".repeat(levels));
        assert_eq!(unreadable(&block), "line 2: nests deeper than 32 levels");
    }
    let fine = format!("companies:\n- id: c\n  x: {}{}", "[".repeat(30), "]".repeat(30));
    assert!(told(&fine)[0].contains("x is unknown"), "{:?}", told(&fine));
}

#[test]
fn a_comment_that_hides_a_bracket_is_explained() {
    let tags = |tags: &str| format!("companies:\n- id: c\n  name: A\n  customer_tags:\n{tags}");
    for (text, value) in [
        ("  - {name: T3, color: #FFF}\n", "color: \"#FFF\""),
        ("  - {name: T3, color: #FFF}\n  - {name: T4}\n", "color: \"#FFF\""),
        ("  - {color: #FFF, name: T3}\n  life_cycles: []\n", "color: \"#FFF\""),
        ("  - {\"name\": \"It's #1, [so]\", color:  #FFF}\n  life_cycles: []\n", "color: \"#FFF\""),
        ("  - {name: #1}\n- id: d\n", "name: \"#1\""),
        ("  - {name: T3, color: #FFF}\n  life_cycles:\n  - name: A\n", "color: \"#FFF\""),
    ] {
        let error = unreadable(&tags(text));
        let begins = "line 5: # begins a comment, so that the bracket";
        assert!(error.starts_with(begins), "{text:?}: {error}");
        assert!(
            error.ends_with(&format!("write it in quotation marks, {value}")),
            "{text:?}: {error}"
        );
    }
    let lines = "customer_tags: [\n  {name: A},\n  {name: B, color: #FFF},\n  {name: C}]\n";
    let error = unreadable(&format!("companies:\n- id: c\n  {lines}"));
    assert!(error.starts_with("line 5: # begins a comment"), "{error}");
    let one_line = "companies: [{id: c, customer_tags: [{name: T3, color: #FFF}, {name: T4}]}]\n";
    assert!(
        unreadable(one_line).ends_with("quotation marks, color: \"#FFF\""),
        "{}",
        unreadable(one_line)
    );
    // Intended comments have no such effect.
    let other = tags("  - {name: T3, # [the] third\n    color: red}\n  - {name: T4\n");
    assert!(unreadable(&other).contains("look at"), "{}", unreadable(&other));
    let fine = tags("  - {name: T3, # {the} third\n    color: \"#FFF\"}\n");
    assert_eq!(told(&fine), [""; 0]);
}

#[test]
fn all_that_is_wrong_with_a_company_is_told_in_one_run() {
    let text = r##"companies:
- id: c1
  name: A
  timeZone: UTC
  customerTags: [{name: VIP}]
  customer_tags: [VIP, Bites]
  referral_sources:
    one: {name: X}
  life_cycles:
  - {name: One, isDefault: true, colour: red}
  - {name: Two, is_default: maybe, color: red}
  - {name: Two, colors: x, state: gone}
  action_statuses: [{name: One}]
  action_statuses: [{name: Two}]
  businesses:
  - {name: N, address: {latitude: x, longitude: "1"}}
"##;
    let found = told(text);
    for expected in [
        "line 4: timeZone is unknown; did you mean timezone?",
        "line 5: customerTags is unknown; did you mean customer_tags?",
        "line 6: customer_tags[0] must be keys with values, such as name: VIP, and is the text \"VIP\"",
        "line 6: customer_tags[1] must be keys with values, such as name: VIP, and is the text \"Bites\"",
        "line 8: referral_sources must be a list, each item behind a dash (- name: …), and is keys with values, \
         the first of them \"one\"",
        "line 10: life_cycles[0].isDefault is unknown; did you mean is_default?",
        "line 10: life_cycles[0].colour is unknown; did you mean color?",
        "line 11: life_cycles[1].is_default must be true or false; it is \"maybe\"",
        "line 11: life_cycles[1].color must be a color as \"#RRGGBB\" or \"#RGB\", for example \"#00FF00\"; it is \
         \"red\"",
        "line 12: life_cycles[2].colors is unknown; did you mean color?",
        "line 12: life_cycles[2].state must be active or archived; it is \"gone\"",
        "line 14: action_statuses is there twice; the first one is on line 13",
        "line 16: businesses[0].address.latitude must be a number; it is \"x\"",
    ] {
        assert!(
            found.iter().any(|told| told == expected),
            "{expected}\nis not in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), 13, "{}", found.join("\n"));
    let many = format!(
        "companies:\n- id: c\n{}",
        (0..500).map(|i| format!("  x{i}: 1\n")).collect::<String>()
    );
    let told = self::told(&many);
    assert_eq!(told.len(), 101);
    assert!(told[100].contains("has 400 more problems"), "{}", told[100]);
}

#[test]
fn nothing_where_a_value_belongs_is_refused_and_a_color_without_quotation_marks_explained() {
    let tags = |value: &str| {
        format!(
            "companies:\n- id: c\n  customer_tags:\n  - name: A\n    color:{value}\n    description: d\n"
        )
    };
    let expected = "line 5: customer_tags[0].color is empty, as # begins a comment: write it in quotation marks, \
                    color: \"#7E57C2\"";
    for value in [" #7E57C2", "  #7E57C2  ", "\t#7E57C2", " #7E57C2 # violet"] {
        assert_eq!(told(&tags(value)), [expected], "{value:?}");
    }
    for value in ["", " null", " ~", " Null"] {
        let [told] = &told(&tags(value))[..] else { panic!("{value:?}") };
        assert!(
            told.starts_with("line 5: customer_tags[0].color is empty (null): leave color out"),
            "{told}"
        );
    }
    for value in [" \"#7E57C2\"", " '#7e57c2'", " ''", " \"#7E57C2\" # violet"] {
        assert_eq!(told(&tags(value)), [""; 0], "{value:?}");
    }
    for json in [
        r#"{"companies": [{"id": "c", "name": null}]}"#,
        r#"{"companies": [{"id": "c", "customer_tags": null}]}"#,
        r#"{"companies": [{"id": "c", "life_cycles": [{"name": "A", "is_default": null}]}]}"#,
        r#"{"companies": [{"id": "c", "businesses": [{"name": "A", "address": null}]}]}"#,
    ] {
        let [told] = &told(json)[..] else { panic!("{json}") };
        assert!(told.contains("is empty (null)"), "{told}");
    }
    let [only] = &told("companies: [VIP]")[..] else { panic!("one problem") };
    assert!(only.starts_with("line 1: company must be keys with values"), "{only}");
}

#[test]
fn an_alias_stands_for_what_it_names_and_makes_no_small_document_a_huge_one() {
    let text = "companies:\n- id: a\n  customer_tags: &tags\n  - {name: VIP, color: red}\n- id: b\n  customer_tags: *tags\n";
    let told = told(text);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|told| told.starts_with("line 4: customer_tags[0].color")), "{told:?}");
    let mut bomb = "companies:\n- id: a\n  x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n".to_owned();
    for i in 1..12 {
        let before = vec![format!("*x{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("  x{i}: &x{i} [{before}]\n"));
    }
    assert!(unreadable(&bomb).contains("too large"), "{}", unreadable(&bomb));
}

#[test]
fn companies_and_entries_are_made_when_they_are_asked_for() {
    // Made at once, these would be five million entries.
    let tags = (0..1_000).map(|i| format!("{{name: T{i}}}")).collect::<Vec<_>>().join(", ");
    let others = "- {id: b, customer_tags: *tags}\n".repeat(5_000);
    let text = format!("companies:\n- id: a\n  customer_tags: &tags [{tags}]\n{others}");
    let mut companies = document::parse(&text).unwrap();
    assert_eq!(companies.next().unwrap().draft.catalogs[0].as_ref().unwrap().len(), 1_000);
    assert_eq!(companies.next().unwrap().draft.catalogs[0].as_ref().unwrap().len(), 1_000);
    // If there are too many, none of them is read.
    let tags = "{name: \" \"}, ".repeat(1_001);
    let found = told(&format!("companies:\n- id: a\n  customer_tags: [{tags}]\n"));
    assert_eq!(found, ["line 3: customer_tags has 1001 entries; at most 1000 are allowed"]);
    let places = "{name: \" \"}, ".repeat(5_001);
    let found = told(&format!("companies:\n- id: a\n  businesses: [{places}]\n"));
    assert_eq!(found, ["line 3: businesses has 5001 locations; at most 5000 are allowed"]);
}

#[test]
fn json_with_tabs_is_read_too() {
    let text = "{\n\t\"companies\": [\n\t\t{\"id\": \"a\", \"name\": \"A \\u00e9 \\ud83d\\udc36 \\/\", \"customer_tags\": []}\n\t]\n}\n";
    let companies = parse(text);
    let name = companies[0].draft.name.clone().unwrap();
    assert_eq!(name.as_str(), "A é 🐶 /");
}

#[test]
fn a_tag_fits_its_value_or_is_refused() {
    let document = |value: &str| format!("companies:\n- id: a\n  name: {value}\n");
    for value in ["!!str 7", "!!str", "! 7", "!!int 7", "!!int -0x1F", "!!bool true", "!!float 1.5"]
    {
        document::parse(&document(value))
            .map(drop)
            .unwrap_or_else(|error| panic!("{value}: {error}"));
    }
    document::parse("!!map\ncompanies: !!seq\n- id: a\n  name: !!null ~\n").map(drop).unwrap();
    for (value, expected) in [
        ("!!int seven", "the tag \"!!int\" does not fit \"seven\": leave it out"),
        ("!!bool yes", "the tag \"!!bool\" does not fit \"yes\": leave it out"),
        ("!!float a", "the tag \"!!float\" does not fit \"a\": leave it out"),
        ("!!null a", "the tag \"!!null\" does not fit \"a\": leave it out"),
        ("!foo bar", "the tag \"!foo\" means nothing here: leave it out"),
        ("!!binary aGk=", "the tag \"!!binary\" means nothing here: leave it out"),
        ("!!map [a]", "the tag \"!!map\" means nothing here: leave it out"),
        ("!!set {a: b}", "the tag \"!!set\" means nothing here: leave it out"),
        (
            "!<tag:a.example,2000:b> c",
            "the tag \"tag:a.example,2000:b\" means nothing here: leave it out",
        ),
    ] {
        assert_eq!(unreadable(&document(value)), format!("line 3: {expected}"));
    }
}

#[test]
fn numbers_and_words_of_yaml_are_names_as_they_are_written() {
    let text = "companies: [{id: 0123, name: No, customer_tags: [{name: 007}, {name: 1e3}, {name: true}, {name: ~x}]}]";
    let companies = parse(text);
    assert!(companies[0].problems.is_empty());
    let draft = &companies[0].draft;
    assert_eq!(companies[0].id.as_ref().unwrap().as_str(), "0123");
    assert_eq!(draft.name.as_ref().unwrap().as_str(), "No");
    let names: Vec<_> = draft.catalogs[0].iter().flatten().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["007", "1e3", "true", "~x"]);
}

/// The problems of the companies that are not loaded.
async fn refused(server: &Server, document: &str) -> Vec<String> {
    let mut told = Vec::new();
    let report = |_: &str, outcome: Outcome| match outcome {
        Outcome::Refused(problems) => told.extend(problems.iter().map(ToString::to_string)),
        Outcome::Loaded(..) => {}
        Outcome::Failed(error) => panic!("{error}"),
    };
    server.services.load.load(document, report).await.unwrap();
    told
}

#[tokio::test]
async fn a_taken_name_is_told_at_its_place_whatever_names_its_entry_again() {
    let server = Server::demo().await;
    load(&server.services, "companies: [{id: c, name: C}]").await;
    let again = "companies:
- id: c
  customer_tags:
  - {id: a, name: Red}
  - {id: b, name: red}
  - {id: b, name: Blue}
  - {id: a, name: blue}
";
    assert_eq!(
        refused(&server, again).await,
        [
            "line 6: customer_tags[2] names the entry b again, as customer_tags[1] does",
            "line 7: customer_tags[3] names the entry a again, as customer_tags[0] does",
            "line 5: customer_tags[1].name \"red\" is taken by customer_tags[0] of the same document",
        ]
    );
}

#[tokio::test]
async fn names_that_are_taken_are_told_with_everything_else() {
    let server = Server::demo().await;
    load(
        &server.services,
        "companies: [{id: c, name: C, customer_tags: [{id: old, name: Old, state: archived}]}]",
    )
    .await;
    let document = "companies:
- id: c
  country: UK
  customer_tags:
  - {name: V, color: red}
  - {name: \" \"}
  - {name: v}
  - {name: X, state: gone}
  - {name: x}
  - {id: old, name: V}
  - {id: two, name: T}
  - {id: two, name: t}
  referral_sources:
  - {name: A, is_default: true}
  - {name: a}
  life_cycles:
  - {name: A, is_default: true}
  - {name: B, is_default: true}
  - {name: b}
  businesses:
  - {name: Here, phone: [1]}
  - {name: here}
";
    let told = refused(&server, document).await;
    for expected in [
        "line 3: country",
        "line 5: customer_tags[0].color",
        "line 6: customer_tags[1].name",
        "line 7: customer_tags[2].name \"v\" is taken by customer_tags[0] of the same document",
        "line 8: customer_tags[3].state",
        "line 12: customer_tags[7] names the entry two again, as customer_tags[6] does",
        "line 14: referral_sources[0].is_default must not be true",
        "line 15: referral_sources[1].name \"a\" is taken",
        "line 18: life_cycles[1].is_default is true of more than one",
        "line 19: life_cycles[2].name \"b\" is taken by life_cycles[1]",
        "line 21: businesses[0].phone",
        "line 22: businesses[1] names the same location as businesses[0]: give",
    ] {
        assert!(
            told.iter().any(|told| told.starts_with(expected)),
            "{expected}\n{}",
            told.join("\n")
        );
    }
    assert_eq!(told.len(), 12, "{}", told.join("\n"));
    // An error claims only certain facts: the company may have a name already, and another default.
    let other = "companies:\n- id: new\n  name: \" \"\n  life_cycles:\n  - {id: l, name: L, is_default: maybe}\n";
    let told = refused(&server, other).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let twice = "companies:\n- {id: c, country: UK}\n- {id: c, country: UK}\n";
    let told = refused(&server, twice).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[2].contains("names the company c again, as line 2 did"), "{told:?}");
    // Nothing of the company was written.
    let grant = Task::Local.grant(&CompanyId::parse("id", "c").unwrap());
    assert_eq!(server.store.revision(&grant).await.unwrap(), Some(Revision(1)));
}

#[tokio::test]
async fn a_report_names_a_hundred_problems_of_the_planner_too() {
    let server = Server::demo().await;
    let tags = "{name: V}, ".repeat(500);
    let told =
        refused(&server, &format!("companies: [{{id: c, name: C, customer_tags: [{tags}]}}]"))
            .await;
    assert_eq!(told.len(), 101);
    assert!(told[100].contains("has 399 more problems"), "{}", told[100]);
}

mod round_trip {
    use std::sync::Arc;

    use customer_settings_server::{
        catalog::{
            access::Task,
            change::{BusinessDraft, CompanyDraft, ContactDraft, EntryDraft, PreparedChange},
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

    /// Text that YAML could read as something else, and any other text.
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
            "A\u{fffe}",
            "A\u{e000}",
            "A\u{378}",
            "\u{feff}A",
            "A\u{301}\u{200d}",
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
                        index: i,
                        id: EntryId::parse("id", &format!("e{i}")).ok(),
                        // The number makes the names different.
                        name: Name::parse("name", &format!("{name}{i}")).ok()?,
                        was: vec![],
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
        (tricky(), catalogs, tricky()).prop_filter_map("a name", |(name, catalogs, yelp)| {
            let business = BusinessDraft {
                index: 0,
                id: BusinessId::parse("id", "b").ok(),
                name: Name::parse("name", &format!("{yelp}.")).ok()?,
                address: None,
                state: None,
                contact: ContactDraft {
                    yelp: ShortText::parse("yelp", &yelp).ok(),
                    ..Default::default()
                },
            };
            let name = Some(Name::parse("name", &name).ok()?);
            let catalogs = catalogs.map(Some);
            Some(CompanyDraft { name, catalogs, businesses: vec![business], ..Default::default() })
        })
    }

    fn made_of(draft: Arc<CompanyDraft>, now: i64) -> Settings {
        let actor = Task::Load.actor();
        let new_id = |_: &str| unreachable!("all ids are given");
        let context = Context {
            actor: &actor,
            request: None,
            now: Timestamp::from_micros(now),
            new_id: &new_id,
        };
        let id = CompanyId::parse("id", "c").unwrap();
        let change = PreparedChange::Load { document: draft, options: Default::default() };
        plan(&id, None, &change, &context).unwrap().after
    }

    proptest! {
        #[test]
        fn what_is_exported_and_loaded_is_exported_the_same(draft in company()) {
            let written = document::write(&document::row(&made_of(draft.into(), 1_700_000_000_123_456))).unwrap();
            let mut companies = super::parse(&format!("companies:\n{written}"));
            prop_assert!(companies[0].problems.is_empty());
            let read = companies.remove(0).draft;
            // The time is later, so that a lost audit field shows.
            let again = document::row(&made_of(read, 1_800_000_000_000_000));
            prop_assert_eq!(document::write(&again).unwrap(), written);
        }
    }
}
