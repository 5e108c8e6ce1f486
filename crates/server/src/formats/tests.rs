//! Tables and labels in the shapes in which people have them, and what becomes of each.

use crate::{
    catalog::{entry::Catalog, id::CompanyId},
    service::document::{self, CompanyRow, EntryRow},
};

use super::{Converted, MAX_ENTRIES, csv, labels};

mod doubtful;

const TAGS: Option<Catalog> = Some(Catalog::CustomerTags);

/// Every entry in a line: list, name, and the values that it has.
fn entries(converted: Converted) -> Vec<String> {
    let text = converted.document(&CompanyId::parse("id", "c").unwrap()).unwrap();
    let company = document::parse(&text).unwrap().next().unwrap();
    assert!(company.problems.is_empty(), "{text}: {:?}", company.problems);
    let lists = Catalog::ALL.into_iter().zip(company.draft.catalogs.clone());
    let rows = lists.flat_map(|(catalog, entries)| {
        entries.into_iter().flatten().map(move |entry| {
            let mut line = format!("{catalog}: {}", entry.name);
            if let Some(id) = entry.id {
                line += &format!(" id={id}");
            }
            if let Some(color) = entry.color.flatten() {
                line += &format!(" {color}");
            }
            if let Some(description) = entry.description {
                line += &format!(" ({})", description.as_str().replace('\n', "|"));
            }
            if entry.is_default == Some(true) {
                line += " default";
            }
            if let Some(state) = entry.state {
                line += &format!(" {}", state.as_str());
            }
            line
        })
    });
    rows.collect()
}

fn table(text: &str) -> Vec<String> {
    let converted = csv::read(text.as_bytes(), TAGS).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(converted.left_out, [""; 0], "{text}");
    entries(converted)
}

/// How the table was read.
fn notes(text: &str) -> Vec<String> {
    csv::read(text.as_bytes(), TAGS).unwrap().notes
}

#[test]
fn tables_are_read_as_spreadsheets_write_them() {
    let expected = ["customer_tags: VIP #FF0000 (Hello, world)", "customer_tags: New"];
    for text in [
        "Name,Color,Description\r\nVIP,#ff0000,\"Hello, world\"\r\nNew,,\r\n",
        "name|color|description\nVIP|#F00|Hello, world\nNew||\n",
        "Name;Farbe;Beschreibung\nVIP;#FF0000;Hello, world\nNew;;\n",
        "name\tcolour\tnotes\nVIP\tF00\tHello, world\nNew\t\t",
        "\u{feff}Label,Internal value,Hex,Comments\nVIP,vip_1,#F00,\"Hello, world\"\nNew,new,,\n",
        "sep=;\nDescription;Name;Color\nHello, world;VIP;#f00\n;New;\n",
        "Nom;Couleur;Description;Ordre\nNew;;;2\nVIP;#F00;Hello, world;1\n",
        "MasterLabel,IsActive,IsDefaultValue,Color,Description\nVIP,true,false,#FF0000,\"Hello, world\"\nNew,TRUE,,,\n",
        "\n\nTag,Color,Description\n\n VIP , #F00 ,\" Hello, world\"\n\nNew\n\n",
        "Name,Color,Description\rVIP,#F00,\"Hello, world\"\rNew\r",
    ] {
        assert_eq!(table(text), expected, "{text:?}");
    }
}

#[test]
fn a_table_without_a_header_has_names_and_perhaps_colors() {
    assert_eq!(table("VIP\nNew client\n"), ["customer_tags: VIP", "customer_tags: New client"]);
    assert_eq!(table("Dogs, large\nCats\n"), ["customer_tags: Dogs, large", "customer_tags: Cats"]);
    assert_eq!(table("#F00;VIP\n;New\n"), ["customer_tags: VIP #FF0000", "customer_tags: New"]);
    // A single word is an entry, unless it is a header.
    assert_eq!(table("New\nColor\n"), ["customer_tags: New", "customer_tags: Color"]);
    assert_eq!(table("Name\nVIP\n"), ["customer_tags: VIP"]);
    assert_eq!(
        notes("VIP;#FFF\nNew;\n"),
        [
            "UTF-8, semicolons; no header; name is column 1, color is column 2",
            "the first line \"VIP\" is taken for an entry",
        ]
    );
}

#[test]
fn a_wrong_color_of_a_table_without_a_header_is_told_with_its_line() {
    for (text, line) in [("VIP,#fff\nRegular,red\n", 2), ("#fff;VIP\n#000;New\nred;Regular\n", 3)] {
        let converted = csv::read(text.as_bytes(), TAGS).unwrap();
        let [told] = &converted.left_out[..] else { panic!("{text}: {:?}", converted.left_out) };
        assert!(told.starts_with(&format!("line {line}: color must be")), "{text}: {told}");
        assert!(told.ends_with("it is \"red\""), "{text}: {told}");
    }
    let unknown = csv::read(b"VIP,red\nRegular,#fff\n", TAGS).err().unwrap();
    assert!(
        unknown.contains("neither of the table's two columns begins with a color"),
        "{unknown}"
    );
}

#[test]
fn the_notes_say_how_a_table_was_read() {
    let hubspot = "Label;Internal value;Hidden\nWalk in;walk_in;false\n";
    assert_eq!(
        notes(hubspot),
        [
            "UTF-8, semicolons; line 1 is the header; name is column 1 (\"Label\"), archived is column 3 (\"Hidden\")",
            "not used: column 2 (\"Internal value\")",
        ]
    );
    assert_eq!(
        notes("Status\nOpen\n"),
        ["UTF-8, one column; line 1 is the header; name is column 1 (\"Status\")"]
    );
    assert_eq!(
        notes("Status,Name\nactive,Open\n"),
        [
            "UTF-8, commas; line 1 is the header; state is column 1 (\"Status\"), name is column 2 (\"Name\")"
        ]
    );
}

#[test]
fn every_encoding_of_spreadsheets_is_read() {
    let text = "Name,Description\nCafé,naïve\n";
    let wide =
        |order: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(order).collect() };
    let narrow = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
    for (bytes, name) in [
        (text.as_bytes().to_vec(), "UTF-8"),
        ([b"\xEF\xBB\xBF", text.as_bytes()].concat(), "UTF-8"),
        ([vec![0xFF, 0xFE], wide(u16::to_le_bytes)].concat(), "UTF-16LE"),
        ([vec![0xFE, 0xFF], wide(u16::to_be_bytes)].concat(), "UTF-16BE"),
        (wide(u16::to_le_bytes), "UTF-16LE"),
        (wide(u16::to_be_bytes), "UTF-16BE"),
        (narrow, "Windows-1252"),
    ] {
        let converted = csv::read(&bytes, TAGS).unwrap();
        assert!(
            converted.notes[0].starts_with(&format!("{name}, commas;")),
            "{:?}",
            converted.notes
        );
        assert_eq!(entries(converted), ["customer_tags: Café (naïve)"], "{name}");
    }
}

#[test]
fn a_column_says_the_catalog_of_each_entry() {
    let text = "List,Name,Default,Archived\n\
                customer_tags,VIP,,\n\
                Life cycles,Lead,x,no\n\
                Referral source,Friend,,JA\n\
                action statuses,Called,FALSCH,\n\
                ,Plain,,\n";
    assert_eq!(
        table(text),
        [
            "customer_tags: VIP",
            "customer_tags: Plain",
            "referral_sources: Friend archived",
            "life_cycles: Lead default",
            "action_statuses: Called",
        ]
    );
    let notes = |text: &str| csv::read(text.as_bytes(), TAGS).unwrap().notes.pop().unwrap();
    assert_eq!(
        notes(text),
        "the column list decides where it is not empty, and names others than customer_tags: referral_sources, \
         life_cycles, action_statuses"
    );
    assert!(notes("List,Name\nTag,VIP\n,New\n").starts_with("UTF-8, commas"));
    let refused = csv::read(b"List,Name\n,VIP\nTag,New\n", None).unwrap();
    assert_eq!(
        refused.left_out,
        ["line 2: the list is empty: write customer_tags or another catalog there, or give --list",]
    );
    assert!(csv::read(b"Name\nVIP\n", None).err().unwrap().contains("give --list customer_tags"));
}

#[test]
fn each_line_that_is_left_out_is_named_with_its_reason() {
    let text = "Name,Color,Order,Default,Id,State\n\
                VIP,,,,a,\n\
                \"two\nlines\",,,,,\n\
                vip ,,,,,\n\
                \n\
                ,#FFF,,,,\n\
                Red,red,,,,\n\
                Late,,soon,,,\n\
                Maybe,,,maybe,,\n\
                Best,,,yes,,\n\
                Odd,,,,a b,\n\
                Twin,,,,a,\n\
                Gone,,,,,gone\n\
                Extra,,,,,,more\n\
                Fine,,,no,b,archived\n";
    let converted = csv::read(text.as_bytes(), TAGS).unwrap();
    assert_eq!(converted.left_out_in_all, 11);
    let expected = [
        "line 3: the name has a line break; it is \"two\\nlines\": is a quotation mark missing?",
        "line 5: the name \"vip\" is that of line 2 already",
        "line 7: name is required and must not be blank",
        "line 8: color must be a color as \"#RRGGBB\" or \"#RGB\", for example \"#00FF00\"; it is \"red\"",
        "line 9: order (column 3) must be a number; it is \"soon\"",
        "line 10: default (column 4) must be yes or no, or empty; it is \"maybe\"",
        "line 11: is the default, and customer_tags has none",
        "line 12: id must be an id: 1 to 64 letters, digits, underscores or hyphens; it is \"a b\"",
        "line 13: the id \"a\" is that of line 2 already",
        "line 14: state (column 6) must be active or archived; it is \"gone\"",
        "line 15: there is \"more\" in column 7, and the table has 6: text with the separator in it needs quotation marks",
    ];
    assert_eq!(converted.left_out, expected);
    assert_eq!(
        entries(converted),
        ["customer_tags: VIP id=a", "customer_tags: Fine id=b archived"]
    );
}

#[test]
fn a_file_that_is_no_table_is_refused_with_the_way_out() {
    for (bytes, expected) in [
        (&b"PK\x03\x04rest"[..], "save the sheet as CSV"),
        (b"\xD0\xCF\x11\xE0rest", "save the sheet as CSV"),
        (b"", "the file is empty"),
        (b"\xEF\xBB\xBF\r\n", "the file is empty"),
        (b"name\nab\0c\n", "line 2: there are bytes that are no text in UTF-8"),
        (b"\xEF\xBB\xBFname\nab\xFFc\n", "line 2: the byte 0xFF is no UTF-8"),
        (
            b"Titel des Tags,Farbe\nVIP,#FFF\n",
            "no column is the name: of the header in line 1, color is column 2 (\"Farbe\"), and column 1 (\"Titel des \
             Tags\") is not known: write name over",
        ),
        (
            b"First Name,Last Name,Tags\nAnn,Lee,VIP\n",
            "the first line is no header that is known, and the table has more columns",
        ),
        (b"Dogs, large\nCats, small\n", "put quotation marks around text with commas in it"),
        (b"sep=#\nname#color\n", "separator is a comma, a semicolon, a tab or a bar"),
        (b"name,color\nVIP,\"#FFF\nNew,\nOld,\n", "the record of line 2 has no end"),
        (b"name\n\"VIP", "the record of line 2 has no end"),
    ] {
        let problem = csv::read(bytes, TAGS).err().unwrap_or_default();
        assert!(problem.contains(expected), "{bytes:?}: {problem}");
    }
}

#[test]
fn a_table_has_at_most_as_many_entries_as_a_catalog() {
    let rows = |most: usize| (0..most).map(|i| format!("name {i}\n")).collect::<String>();
    assert_eq!(csv::read(rows(MAX_ENTRIES).as_bytes(), TAGS).unwrap().count(), MAX_ENTRIES);
    let problem = csv::read(rows(MAX_ENTRIES + 1).as_bytes(), TAGS).err().unwrap();
    assert!(
        problem.starts_with("customer_tags has more than 1000 entries from line 1001 on"),
        "{problem}"
    );
    // Lines that are left out are counted, and a hundred of them are named.
    let converted = csv::read(format!("name\n{}", "a\n".repeat(5_000)).as_bytes(), TAGS).unwrap();
    assert_eq!(
        (converted.count(), converted.left_out.len(), converted.left_out_in_all),
        (1, 100, 4_999)
    );
}

#[test]
fn archived_entries_of_one_name_are_told_apart_by_their_ids_or_their_order() {
    let read = |text: &str| csv::read(text.as_bytes(), TAGS).unwrap();
    let twins = "id,name,state\nt1,X,archived\nt2,x,archived\nt3,X,\n";
    assert_eq!(table(twins).len(), 3);
    for without in ["t1,", "t2,", "t3,"] {
        let text = twins.replace(without, ",");
        let expected = usize::from(without != "t3,");
        assert_eq!(read(&text).left_out_in_all, expected, "{text}");
    }
    assert_eq!(read("id,name\nt1,X\nt2,x\n").left_out_in_all, 1);
    assert_eq!(table("name,state\nX,archived\nx,archived\nX,\n").len(), 3);
    assert_eq!(read("name,state\nX,archived\nX,\nx,\n").left_out_in_all, 1);
}

#[test]
fn a_title_above_a_header_is_told_and_not_taken_for_entries() {
    for text in [
        "Our tags\nname,color\nVIP,#f00\n",
        "Our tags;;\n;;\nName;Farbe;Notiz\nVIP;#f00;\n",
        "Tags\n2026\nfor all\nlabel\tcolor\nVIP\t\n",
        "Tags\nname,color\nVIP,#f00\n",
    ] {
        let error = csv::read(text.as_bytes(), TAGS).err().unwrap();
        assert!(error.contains("is the header, and the lines above it"), "{text}: {error}");
    }
    assert_eq!(table("VIP\nName\nSource\n").len(), 3);
}

#[test]
fn words_of_other_languages_are_known_in_headers_and_cells() {
    let expected = ["customer_tags: VIP", "customer_tags: Alt archived"];
    for text in [
        "Étiquette;Statut\nVIP;actif\nAlt;archivé\n",
        "Name;Status\nVIP;aktiv\nAlt;Inaktiv\n",
        "Etichetta;Stato\nVIP;attivo\nAlt;inattivo\n",
    ] {
        assert_eq!(table(text), expected, "{text}");
    }
}

fn read_labels(text: &str) -> Converted {
    labels::read(text, Catalog::CustomerTags).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn labels_are_read_in_the_forms_of_the_programs_that_set_them() {
    let expected = ["customer_tags: bug #D73A4A (Broken)", "customer_tags: help wanted #000000"];
    for text in [
        "- name: bug\n  color: d73a4a\n  description: Broken\n- name: help wanted\n  color: 000000\n",
        "- {name: bug, color: \"#d73a4a\", description: Broken, delete: false}\n- {name: help wanted, color: '000'}\n",
        "[{\"name\": \"bug\", \"color\": \"d73a4a\", \"description\": \"Broken\", \"aliases\": []},\n\
         \t{\"name\": \"help wanted\", \"color\": \"000000\", \"description\": null}]",
        "repository:\n  private: true\nlabels:\n  - {name: bug, color: d73a4a, description: Broken}\n\
         \x20 - {name: help wanted, color: 000000}\n",
        "default:\n  labels:\n  - {name: bug, color: d73a4a, description: Broken, target: both}\n\
         \x20 - {name: help wanted, color: 000000}\n",
    ] {
        let converted = read_labels(text);
        assert_eq!(converted.left_out, [""; 0], "{text}");
        assert_eq!(entries(converted), expected, "{text}");
    }
    assert_eq!(entries(read_labels("[bug, 7]")), ["customer_tags: bug", "customer_tags: 7"]);
}

#[test]
fn former_names_of_labels_are_former_names_of_entries() {
    for text in [
        "- name: bug\n  from_name: defect\n",
        "- name: bug\n  aliases: [defect]\n",
        "- name: defect\n  new_name: bug\n",
        "- name: bug\n  previously:\n  - {name: defect, color: fff}\n",
    ] {
        let document = read_labels(text).document(&CompanyId::parse("id", "c").unwrap()).unwrap();
        assert!(document.contains("name: bug\n    was: defect\n"), "{document}");
    }
    let several = read_labels("- {name: bug, aliases: [defect, flaw]}");
    let document = several.document(&CompanyId::parse("id", "c").unwrap()).unwrap();
    assert!(document.contains("    was:\n    - defect\n    - flaw\n"), "{document}");
}

#[test]
fn labels_that_are_left_out_are_named_with_their_reasons() {
    let text = "- name: bug\n\
                - color: fff\n\
                - {name: old, delete: true}\n\
                - name: red\n  color: #f00\n\
                - [a]\n\
                - {name: x, color: {a: b}}\n\
                - {name: BUG, id: 7, url: u}\n\
                - {name: y, color: ffff}\n\
                - {name: z, color: fff, name: zz}\n";
    let converted = read_labels(text);
    assert_eq!(
        converted.left_out,
        [
            "line 2: name is required and must not be blank",
            "line 3: the label is one to delete (delete: true): archive the entry if there is one",
            "line 4: color is empty, as # begins a comment: write it in quotation marks, color: \"#f00\"",
            "line 6: a label is a name with a color, and this is a list, whose first item is text",
            "line 7: color must be text, and is keys with values, the first of them \"a\"",
            "line 8: the name \"BUG\" is that of line 1 already",
            "line 9: color must be a color as \"#RRGGBB\" or \"#RGB\", for example \"#00FF00\"; it is \"ffff\"",
            "line 10: \"name\" is there twice",
        ]
    );
    assert_eq!(converted.notes, ["not used: \"id\", \"url\""]);
    for (text, expected) in [
        ("", "the file is empty: a file of labels is a list"),
        (
            "name: bug\n",
            "line 1: this is keys with values, the first of them \"name\": a file of labels",
        ),
        ("name,color\nbug,fff\n", "line 1: this is the text"),
        ("- name: [\n", "brackets"),
        ("- {name: bug, color: #fff}\n", "# begins a comment"),
    ] {
        let problem = labels::read(text, Catalog::CustomerTags).err().unwrap_or_default();
        assert!(problem.contains(expected), "{text:?}: {problem}");
    }
}

#[test]
fn names_that_begin_as_a_formula_in_any_width_are_escaped_and_come_back() {
    let id = CompanyId::parse("id", "c").unwrap();
    for name in ["=1", "+1", "-1", "@a", "＝1", "＋1", "－1", "＠a", "'＝1"] {
        let tag = EntryRow { name: Some(name.to_owned()), ..EntryRow::default() };
        let customer_tags = Some(vec![tag]);
        let company =
            CompanyRow { id: Some("c".to_owned()), customer_tags, ..CompanyRow::default() };
        let table = csv::write(&company).unwrap();
        assert!(std::str::from_utf8(&table).unwrap().contains(&format!(",'{name},")), "{name}");
        let document = csv::read(&table, None).unwrap().document(&id).unwrap();
        assert_eq!(document, format!("companies:\n{}", document::write(&company).unwrap()));
    }
}

mod there_and_back {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("'".to_owned()),
                Just("=".to_owned()),
                Just("+1".to_owned()),
                Just("-".to_owned()),
                Just("@".to_owned()),
                Just("＝".to_owned()),
                Just("－1".to_owned()),
                Just("\"".to_owned()),
                Just(",".to_owned()),
                Just(";".to_owned()),
                Just("\t".to_owned()),
                Just("#".to_owned()),
                Just("é🐕".to_owned()),
                Just(" x".to_owned()),
                "[a-z0-9]{1,3}",
            ],
            0..5,
        )
        .prop_map(|parts| parts.concat().trim().to_owned())
    }

    fn entry() -> impl Strategy<Value = EntryRow> {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let breaks = prop_oneof![Just(""), Just("\n"), Just("\n=")];
        (value(), (value(), breaks, value()), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(name, (one, between, other), has_color, has_id, is_archived)| {
                let description = format!("{one}{between}{other}").trim().to_owned();
                EntryRow {
                    id: has_id.then(|| format!("-id{}", name.len())),
                    name: Some(format!("{}!", name.replace('\t', ""))),
                    description: some(description),
                    color: has_color.then(|| "#00FF7F".to_owned()),
                    state: is_archived.then(|| "archived".to_owned()),
                    ..EntryRow::default()
                }
            },
        )
    }

    fn entries() -> impl Strategy<Value = Option<Vec<EntryRow>>> {
        proptest::collection::vec(entry(), 0..5).prop_map(|mut entries: Vec<EntryRow>| {
            for (number, entry) in entries.iter_mut().enumerate() {
                // Archived entries without ids may have one name.
                match (&entry.id, &entry.state) {
                    (None, Some(_)) => entry.name = Some("twin".to_owned()),
                    _ => entry.name = entry.name.as_ref().map(|name| format!("{name}{number}")),
                }
                entry.id = entry.id.as_ref().map(|id| format!("{id}_{number}"));
            }
            (!entries.is_empty()).then_some(entries)
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"\n\r\",;\t|'=#\0aname"[..])], 0..80,
            ),
            header in proptest::sample::select(&["", "name\n", "name,color,list\n", "sep=;\n", "- name: "][..]),
        ) {
            let bytes = [header.as_bytes(), &bytes].concat();
            if let Ok(converted) = csv::read(&bytes, TAGS) {
                converted.document(&CompanyId::parse("id", "c").unwrap()).unwrap();
            }
            if let Ok(text) = std::str::from_utf8(&bytes) {
                _ = labels::read(text, Catalog::CustomerTags);
            }
        }

        #[test]
        fn a_table_that_was_exported_comes_back_unchanged(
            customer_tags in entries(), referral_sources in entries(), mut life_cycles in entries(),
        ) {
            if let Some(entry) = life_cycles.iter_mut().flatten().find(|entry| entry.state.is_none()) {
                entry.is_default = Some(true);
            }
            let company = CompanyRow {
                id: Some("c".to_owned()), customer_tags, referral_sources, life_cycles, ..CompanyRow::default()
            };
            let table = csv::write(&company).unwrap();
            let text = std::str::from_utf8(&table).unwrap();
            let header = "\u{feff}list,id,name,description,color,default,state\r\n";
            prop_assert!(text.starts_with(header));
            for cell in ::csv::ReaderBuilder::new().from_reader(text.as_bytes()).records().flat_map(|record| {
                record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>()
            }) {
                let formula = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];
                prop_assert!(!cell.starts_with(formula), "{cell:?}");
            }
            let converted = csv::read(&table, None).unwrap();
            prop_assert_eq!(&converted.left_out, &Vec::<String>::new());
            let document = converted.document(&CompanyId::parse("id", "c").unwrap()).unwrap();
            let expected = format!("companies:\n{}", document::write(&company).unwrap());
            prop_assert_eq!(document, expected);
        }
    }
}
