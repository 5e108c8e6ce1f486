//! Files that people take for tables, and headers and cells that may be meant in two ways.

use super::*;

/// How the table was read, and which lines were left out.
fn told(text: &str) -> (Vec<String>, Vec<String>) {
    let converted = csv::read(text.as_bytes(), TAGS).unwrap_or_else(|error| panic!("{error}"));
    (converted.notes, converted.left_out)
}

fn refusal(text: &str) -> String {
    csv::read(text.as_bytes(), TAGS).err().unwrap_or_else(|| panic!("{text:?} was taken"))
}

#[test]
fn plurals_and_the_names_of_catalogs_are_headers_of_names() {
    for header in ["Tags", "Labels", "Names", "Customer tags", "customer_tags", "Étiquettes"] {
        assert_eq!(table(&format!("{header}\nVIP\n")), ["customer_tags: VIP"], "{header}");
        let beside = format!("{header},Color\nVIP,#FFF\n");
        assert_eq!(table(&beside), ["customer_tags: VIP #FFFFFF"], "{header}");
    }
    // A status beside them is no name.
    assert_eq!(table("Tags,Status\nVIP,archived\n"), ["customer_tags: VIP archived"]);
    // People have tags too.
    assert!(refusal("First Name,Tags\nAnn,VIP\n").contains("is no header that is known"));
}

#[test]
fn a_single_column_that_is_no_name_is_refused_or_told() {
    for header in ["id", "Color", "Description", "Active"] {
        let expected = format!("the only column has the header \"{header}\", and no column is");
        assert!(refusal(&format!("{header}\nx\n")).starts_with(&expected), "{header}");
        assert_eq!(table(&format!("name\n{header}\n")), [format!("customer_tags: {header}")]);
    }
    let is_told = |text, first: &str| {
        let note = format!("the first line \"{first}\" is taken for an entry");
        assert_eq!(told(text).0.last(), Some(&note), "{text}");
    };
    is_told("VIP\nNew\n", "VIP");
    is_told("#FFF;VIP\n;New\n", "VIP");
    assert_eq!(told("Name\nVIP\n").0.len(), 1);
}

#[test]
fn texts_of_another_form_are_refused_with_their_reader() {
    for (text, form) in [
        ("[{\"name\":\"VIP\"}]", "JSON"),
        ("[\"VIP\", \"New\"]\n", "JSON"),
        ("\n{\n  \"companies\": []\n}\n", "JSON"),
        ("{\"name\":\"VIP\"}\n{\"name\":\"New\"}\n", "JSON"),
        ("companies:\n- id: c\n", "YAML"),
        ("version: 1\ncompanies: []\n", "YAML"),
        ("# ours\n---\n- name: VIP\n  color: fff\n", "YAML"),
        ("labels:\n  - VIP\n", "YAML"),
    ] {
        let problem = refusal(text);
        assert!(problem.starts_with(&format!("this is {form}, and no table")), "{text}: {problem}");
        assert!(problem.contains("convert github-labels"), "{problem}");
    }
    let page = refusal("<!DOCTYPE html>\n<html><title>Sign in</title></html>\n");
    assert!(page.starts_with("this is a web page"), "{page}");
    for text in [
        "[VIP]\nNew\n",
        "{VIP}\nNew\n",
        "- VIP\n- New\n",
        "Size: large\nSize: small\n",
        "<VIP>\nNew\n",
    ] {
        assert_eq!(table(text).len(), 2, "{text}");
    }
}

#[test]
fn a_formula_that_failed_is_told_by_its_line() {
    for failed in ["#NAME?", "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#BEZUG!"] {
        let text = format!("name,description,unused\n{failed},,\nVIP,{failed},\nNew,,{failed}\n");
        let (_, left_out) = told(&text);
        let problem = |line: u8| {
            format!(
                "line {line}: column {} has \"{failed}\", as the formula in it failed: write the value there",
                line - 1
            )
        };
        assert_eq!(left_out, [problem(2), problem(3)]);
    }
    // An entry may have such a name, which a spreadsheet program would take for a failure.
    let row = EntryRow { name: Some("#REF!".to_owned()), ..EntryRow::default() };
    let company = CompanyRow { customer_tags: Some(vec![row]), ..CompanyRow::default() };
    let written = csv::write(&company).unwrap();
    assert!(std::str::from_utf8(&written).unwrap().contains(",'#REF!,"), "{written:?}");
    assert_eq!(entries(csv::read(&written, None).unwrap()), ["customer_tags: #REF!"]);
}

#[test]
fn quotation_marks_that_are_not_at_the_ends_of_a_cell_are_told() {
    let (_, left_out) = told(
        "name,color,description\n\
         Reg, #000, \"c\"\n\
         \"a\"b,#00ff00,\n\
         \"a \"\"b\"\"\" ,,\"two\nlines\"\n\
         12\" brush,,say \"hello\"\n\
         x,,\"\"\"c\"\"\"\n\
         y,,\"one, two\" or three\n",
    );
    assert_eq!(
        left_out,
        [
            "line 2: column 3 has a blank before its quotation mark: delete the blank",
            "line 3: column 1 goes on behind its quotation marks, with \"b\": put all of it within them, and write \
             \"\" for a mark that belongs to the text",
            "line 8: column 3 goes on behind its quotation marks, with \"or three\": put all of it within them, and \
             write \"\" for a mark that belongs to the text",
        ]
    );
    assert_eq!(
        told("name\tcolor\n\t\"#FFF\"\n").1,
        ["line 2: name is required and must not be blank"]
    );
}

#[test]
fn a_guessed_encoding_is_called_a_guess() {
    let note = "read as Windows-1252, as it is no UTF-8: if letters are wrong in it, save the file as UTF-8";
    let converted = csv::read(b"name\nCaf\xe9\n", TAGS).unwrap();
    assert_eq!(converted.notes.last().unwrap(), note);
    assert_eq!(told("name\nCafé\n").0.len(), 1);
}

#[test]
fn labels_on_one_line_are_told_by_their_names_and_numbers() {
    let text = "[{\"name\":\"bug\",\"color\":\"d73a4a\"},{\"color\":\"fff\"},{\"name\":\"Bug\"},\
                {\"name\":\"odd\",\"color\":\"red\"},7,[1],\"bug\"]";
    let converted = read_labels(text);
    assert_eq!(
        converted.left_out,
        [
            "label 2: name is required and must not be blank",
            "label 3 (\"Bug\"): the name \"Bug\" is that of label 1 (\"bug\") already",
            "label 4 (\"odd\"): color must be a color as \"#RRGGBB\" or \"#RGB\", for example \"#00FF00\"; it is \"red\"",
            "label 6: a label is a name with a color, and this is a list, whose first item is text",
            "label 7 (\"bug\"): the name \"bug\" is that of label 1 (\"bug\") already",
        ]
    );
    assert_eq!(converted.count(), 2);
}
