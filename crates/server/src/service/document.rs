//! The document that `load` reads and `export` writes: companies, their locations, their entries, as YAML or JSON.
//!
//! Reading stores the line of every value, so that an error can name it. It collects all problems of a
//! company before it fails.

use std::{collections::BTreeMap, sync::Arc};

use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, ContactDraft, EntryDraft},
    company::{Address, AddressKind, Coordinate, ShortText},
    entry::{Catalog, State},
    error::Violation,
    id::{BusinessId, CompanyId, EntryId, StaffId},
    near::nearest,
    place::{Country, TimeZone},
    source::{Source, SourceKind, SourceMode},
    text::{Color, Description, Name},
};

mod alone;
mod encoding;
mod fields;
mod identity;
mod problems;
mod rows;
mod schema;
pub mod tree;
mod write;

pub use encoding::{Decoded, decode};
use fields::{Most, Row};
pub use identity::Identity;
pub use problems::{Problem, Problems};
pub use schema::schema;
use tree::{Key, Node, Value, unreadable};
pub use tree::{Unreadable, quoted};
pub use write::{
    AddressRow, BusinessRow, CompanyRow, EntryRow, SourceRow, malformed_time, row, time, write,
};

/// The most former names of an entry.
pub const MAX_FORMER_NAMES: usize = 20;
/// The one version of the document that there is.
const VERSION: &str = "1";
/// The words for true and false, in any case.
const TRUE: [&str; 3] = ["true", "yes", "on"];
const FALSE: [&str; 3] = ["false", "no", "off"];

/// A company of a document, with the problems of its values.
pub struct DocumentCompany {
    /// The company's id, if the document has one.
    pub id: Option<CompanyId>,
    /// The company's name in a report: its id, else its name.
    pub label: String,
    /// The valid values of the company. Entries and locations whose id, name or state is invalid are left out.
    pub draft: Arc<CompanyDraft>,
    /// If there are any problems, nothing of the company may be written.
    pub problems: Problems,
    lines: Lines,
}

impl DocumentCompany {
    /// The line where the company begins.
    pub fn line(&self) -> u64 {
        self.lines.of("")
    }

    /// The line of a field.
    pub fn line_of(&self, field: &str) -> u64 {
        self.lines.of(field)
    }

    /// The place of a violation in the document.
    pub fn locate(&self, violation: Violation) -> Problem {
        Problem { line: self.lines.of(&violation.field), violation }
    }
}

/// Reads a document. JSON is read as YAML, with few differences.
pub fn parse(text: &str) -> Result<impl Iterator<Item = DocumentCompany> + use<>, Unreadable> {
    match parse_with_problems(text)? {
        (problems, companies) if problems.is_empty() => Ok(companies),
        (problems, _) => Err(problems.unreadable()),
    }
}

/// Reads a document that may have wrong keys beside its companies: the problems of these keys, and the companies.
///
/// Each company is made when the iterator reaches it. With aliases a small document may repeat a list many times, and
/// all companies together would take far more memory than the document.
pub fn parse_with_problems(
    text: &str,
) -> Result<(Problems, impl Iterator<Item = DocumentCompany> + use<>), Unreadable> {
    let expected = "a document begins with companies:, a list of companies; see what export writes";
    let Some(document) =
        tree::read(text, "companies", "a document is YAML or JSON, and begins with companies:")?
    else {
        return Err(unreadable(1, format!("the document is empty: {expected}")));
    };
    let Value::Map(keys) = &*document.value else {
        let shown = document.value.shown();
        return Err(unreadable(document.line, format!("this is {shown}: {expected}")));
    };
    let mut reader = Reader::default();
    let mut row = Fields::new("", keys, &fields::DOCUMENT);
    let companies = reader.take(&mut row, "companies");
    // For editors alone.
    reader.text(&mut row, "$schema", |_, _| Ok(()));
    reader.text(&mut row, "version", |field, version| match version {
        VERSION => Ok(()),
        _ => {
            Err(Violation::new(field, "UNKNOWN_VERSION", "must be 1: this program reads no other"))
        }
    });
    reader.finish(row);
    let Some(companies) = companies else {
        return Err(match reader.problems.is_empty() {
            true => unreadable(document.line, format!("companies is missing: {expected}")),
            false => reader.problems.unreadable(),
        });
    };
    let Value::List(companies) = &*companies.value else {
        let problem = format!(
            "companies must be a list, each company behind a dash (- id: …), and is {}",
            companies.value.shown()
        );
        return Err(unreadable(companies.line, problem));
    };
    Ok((reader.problems, companies.clone().into_iter().map(|node| company(&node))))
}

/// Reads the row of a company, whose values stand on no line.
pub fn read(row: &CompanyRow) -> DocumentCompany {
    let value =
        serde_json::to_value(row).unwrap_or_else(|error| unreachable!("plain values: {error}"));
    company(&Node::of(value))
}

fn company(node: &Node) -> DocumentCompany {
    let mut reader = Reader::default();
    reader.lines.add("", node.line);
    let Some(mut row) = reader.fields("", node, &fields::COMPANY) else {
        return DocumentCompany {
            id: None,
            label: format!("the company on line {}", node.line),
            draft: Arc::default(),
            problems: reader.problems,
            lines: reader.lines,
        };
    };
    let label = row.text("id").or_else(|| row.text("name")).unwrap_or_default().to_owned();
    let id = reader.text(&mut row, "id", CompanyId::parse);
    let name = reader.text(&mut row, "name", Name::parse);
    if row.find("id").is_none() && row.find("name").is_none() {
        reader.refuse(node.line, "id", "REQUIRED", "or a name is required");
    }
    let draft = CompanyDraft {
        name,
        country: reader.text(&mut row, "country", Country::parse),
        timezone: reader.text(&mut row, "timezone", TimeZone::parse),
        state: reader.text(&mut row, "state", parse_state),
        source: reader.source(&mut row),
        businesses: reader.list(&mut row, "businesses", Reader::business).unwrap_or_default(),
        catalogs: Catalog::ALL
            .map(|catalog| reader.list(&mut row, catalog.as_str(), Reader::entry)),
    };
    reader.finish(row);
    let (draft, lines) = (Arc::new(draft), reader.lines);
    DocumentCompany { id, label, draft, problems: reader.problems, lines }
}

/// The line of each value that was read, by the value's path.
#[derive(Default)]
struct Lines(BTreeMap<String, u64>);

impl Lines {
    fn add(&mut self, path: &str, line: u64) {
        self.0.insert(path.to_owned(), line);
    }

    /// The line of the value at that path, else of the nearest value around it.
    fn of(&self, path: &str) -> u64 {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return *line;
            }
            path = path.rsplit_once(['.', '[']).map_or("", |(around, _)| around);
        }
    }
}

/// The keys of one map, and those that it may have.
struct Fields<'a> {
    at: String,
    keys: &'a [Key],
    row: &'static Row,
    /// How many of the keys that it may have were asked for.
    asked: usize,
}

impl<'a> Fields<'a> {
    fn new(at: &str, keys: &'a [Key], row: &'static Row) -> Self {
        Self { at: at.to_owned(), keys, row, asked: 0 }
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        self.keys.iter().find(|key| key.name == name).map(|key| &key.value)
    }

    /// The text under a name, valid or not.
    fn text(&self, name: &str) -> Option<&'a str> {
        match self.find(name).map(|node| &*node.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }
}

/// The place of an item in a list.
struct Item {
    index: usize,
    line: u64,
}

/// Takes values out of a document, and collects their problems with lines.
#[derive(Default)]
struct Reader {
    lines: Lines,
    problems: Problems,
}

impl Reader {
    fn note(&mut self, line: u64, violation: Violation) {
        self.problems.note(Problem { line, violation });
    }

    fn refuse(&mut self, line: u64, path: &str, reason: &'static str, problem: impl Into<String>) {
        self.note(line, Violation::new(path, reason, problem));
    }

    /// The keys of a map. Another value is a problem.
    fn fields<'a>(&mut self, path: &str, node: &'a Node, row: &'static Row) -> Option<Fields<'a>> {
        match &*node.value {
            Value::Map(keys) => Some(Fields::new(path, keys, row)),
            other => {
                let name = if path.is_empty() { "company" } else { path };
                let problem = format!(
                    "must be keys with values, such as name: VIP, and is {}",
                    other.shown()
                );
                self.refuse(node.line, name, "WRONG_SHAPE", problem);
                None
            }
        }
    }

    /// The value of a field, if it has one.
    fn take<'a>(&mut self, row: &mut Fields<'a>, name: &'static str) -> Option<&'a Node> {
        debug_assert!(row.row.has(name), "the table of keys lacks {name}");
        row.asked += 1;
        let node = row.find(name)?;
        let path = row.path(name);
        self.lines.add(&path, node.line);
        if let Value::Null(comment) = &*node.value {
            let problem = match comment {
                Some(comment) => format!(
                    "is empty, as # begins a comment: write it in quotation marks, {}: {:?}",
                    name,
                    format!("#{comment}")
                ),
                None => format!(
                    "is empty (null): leave {name} out to keep what there is, or give a value"
                ),
            };
            self.refuse(node.line, &path, "NULL", problem);
            return None;
        }
        Some(node)
    }

    /// Refuses unknown keys, and repeated keys.
    fn finish(&mut self, row: Fields<'_>) {
        debug_assert_eq!(row.asked, row.row.fields.len(), "every key of the table is read");
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        for key in row.keys {
            let path = row.path(tree::shortened(&key.name).as_ref());
            if let Some(first) = seen.insert(&key.name, key.line) {
                let problem = format!("is there twice; the first one is on line {first}");
                self.refuse(key.line, &path, "DUPLICATE", problem);
            } else if !row.row.has(&key.name) {
                let problem = match self.problems.has_room() {
                    true => unknown(&key.name, row.row),
                    // The problem is only counted: finding the nearest name takes a while.
                    false => String::new(),
                };
                self.refuse(key.line, &path, "UNKNOWN_FIELD", problem);
            }
        }
    }

    fn text<T>(
        &mut self,
        row: &mut Fields<'_>,
        name: &'static str,
        parse: impl Fn(&str, &str) -> Result<T, Violation>,
    ) -> Option<T> {
        let node = self.take(row, name)?;
        self.parsed(node, &row.path(name), parse)
    }

    fn parsed<T>(
        &mut self,
        node: &Node,
        path: &str,
        parse: impl Fn(&str, &str) -> Result<T, Violation>,
    ) -> Option<T> {
        let Value::Text(text) = &*node.value else {
            let problem = format!("must be text, and is {}", node.value.shown());
            self.refuse(node.line, path, "WRONG_SHAPE", problem);
            return None;
        };
        parse(path, text)
            .map_err(|mut violation| {
                let shown = quoted(text);
                if !violation.description.contains(&shown) {
                    violation.description.push_str(&format!("; it is {shown}"));
                }
                self.note(node.line, violation);
            })
            .ok()
    }

    fn required_name(&mut self, row: &mut Fields<'_>, line: u64) -> Option<Name> {
        let name = self.text(row, "name", Name::parse);
        if row.find("name").is_none() {
            self.refuse(line, &row.path("name"), "REQUIRED", "is required");
        }
        name
    }

    /// Reads one name, or a list of names.
    fn names(&mut self, row: &mut Fields<'_>, name: &'static str) -> Vec<Name> {
        let Some(node) = self.take(row, name) else { return Vec::new() };
        let path = row.path(name);
        let former = |field: &str, text: &str| match text.trim() {
            "" => Err(Violation::new(
                field,
                "REQUIRED",
                "must not be blank: leave it out if there is none",
            )),
            _ => Name::parse(field, text),
        };
        let Value::List(items) = &*node.value else {
            return self.parsed(node, &path, former).into_iter().collect();
        };
        if items.len() > MAX_FORMER_NAMES {
            let problem =
                format!("has {} names; at most {MAX_FORMER_NAMES} are allowed", items.len());
            self.refuse(node.line, &path, "TOO_MANY", problem);
            return Vec::new();
        }
        let read = |(index, item): (usize, &Node)| {
            let path = format!("{path}[{index}]");
            self.lines.add(&path, item.line);
            self.parsed(item, &path, former)
        };
        items.iter().enumerate().filter_map(read).collect()
    }

    fn truth(&mut self, row: &mut Fields<'_>, name: &'static str) -> Option<bool> {
        self.text(row, name, |field, value| {
            let is_one_of =
                |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
            match (is_one_of(TRUE), is_one_of(FALSE)) {
                (true, _) => Ok(true),
                (_, true) => Ok(false),
                _ => Err(Violation::new(field, "INVALID_VALUE", "must be true or false")),
            }
        })
    }

    fn number(&mut self, row: &mut Fields<'_>, name: &'static str) -> Option<f64> {
        self.text(row, name, |field, value| {
            let number = value.parse().ok().filter(|number: &f64| number.is_finite());
            number.ok_or_else(|| Violation::new(field, "INVALID_VALUE", "must be a number"))
        })
    }

    /// Reads the items of a list, if it is there. If there are more than the company may have, none is read.
    fn list<Draft>(
        &mut self,
        row: &mut Fields<'_>,
        name: &'static str,
        read: impl Fn(&mut Self, &mut Fields<'_>, Item) -> Option<Draft>,
    ) -> Option<Vec<Draft>> {
        let node = self.take(row, name)?;
        let (of, Most(most, what)) = row.row.list(name);
        let path = row.path(name);
        let Value::List(items) = &*node.value else {
            let shown = node.value.shown();
            let problem =
                format!("must be a list, each item behind a dash (- name: …), and is {shown}");
            self.refuse(node.line, &path, "WRONG_SHAPE", problem);
            return None;
        };
        if items.len() > most {
            let problem = format!("has {} {what}; at most {most} are allowed", items.len());
            self.refuse(node.line, &path, "TOO_MANY", problem);
            return None;
        }
        let mut drafts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.lines.add(&path, item.line);
            let Some(mut fields) = self.fields(&path, item, of) else { continue };
            drafts.extend(read(self, &mut fields, Item { index, line: item.line }));
            self.finish(fields);
        }
        Some(drafts)
    }

    /// Reads the source. An empty one removes what there is.
    fn source(&mut self, row: &mut Fields<'_>) -> Option<Option<Source>> {
        let node = self.take(row, "source")?;
        let mut fields = self.fields("source", node, &fields::SOURCE)?;
        if fields.keys.is_empty() {
            return Some(None);
        }
        let kind = self.text(&mut fields, "kind", SourceKind::parse);
        let mode = self.text(&mut fields, "mode", SourceMode::parse);
        if fields.find("kind").is_none() {
            let problem = "is required, and an empty source ({}) removes the one that there is";
            self.refuse(node.line, &fields.path("kind"), "REQUIRED", problem);
        }
        self.finish(fields);
        Some(Some(Source { kind: kind?, mode: mode.unwrap_or(SourceMode::Mirror) }))
    }

    fn entry(&mut self, row: &mut Fields<'_>, item: Item) -> Option<EntryDraft> {
        let color = |field: &str, value: &str| match value {
            "" => Ok(None),
            value => Color::parse(field, value).map(Some),
        };
        let id = self.text(row, "id", EntryId::parse);
        let name = self.required_name(row, item.line);
        let state = self.text(row, "state", parse_state);
        let is_told_apart = is_read(row, "id", &id) && is_read(row, "state", &state);
        let draft = EntryDraft {
            index: item.index,
            id,
            was: self.names(row, "was"),
            description: self.text(row, "description", Description::parse),
            color: self.text(row, "color", color),
            is_default: self.truth(row, "is_default"),
            state,
            created_by: self.text(row, "created_by", StaffId::parse),
            created_time: self.text(row, "created_time", time),
            last_updated_by: self.text(row, "last_updated_by", StaffId::parse),
            last_updated_time: self.text(row, "last_updated_time", time),
            // The last field, so that all others were read before.
            name: name?,
        };
        is_told_apart.then_some(draft)
    }

    fn business(&mut self, row: &mut Fields<'_>, item: Item) -> Option<BusinessDraft> {
        let id = self.text(row, "id", BusinessId::parse);
        let name = self.required_name(row, item.line);
        let address = self.take(row, "address").and_then(|node| {
            let mut fields = self.fields(&row.path("address"), node, &fields::ADDRESS)?;
            let address = self.address(&mut fields, node.line);
            self.finish(fields);
            Some(address)
        });
        let state = self.text(row, "state", parse_state);
        let email = self.text(row, "email", ShortText::email);
        let website = self.text(row, "website", ShortText::web_address);
        let mut text = |name| self.text(row, name, ShortText::parse);
        let contact = ContactDraft {
            avatar: text("avatar"),
            phone: text("phone"),
            business_phone: text("business_phone"),
            email,
            website,
            facebook: text("facebook"),
            instagram: text("instagram"),
            yelp: text("yelp"),
            google: text("google"),
        };
        let is_told_apart = is_read(row, "id", &id) && is_read(row, "state", &state);
        let draft = BusinessDraft { index: item.index, id, name: name?, address, state, contact };
        is_told_apart.then_some(draft)
    }

    fn address(&mut self, row: &mut Fields<'_>, line: u64) -> Address {
        let (latitude, longitude) = (self.number(row, "latitude"), self.number(row, "longitude"));
        // One alone is judged too, as far as it can be.
        let judged = Coordinate::new(latitude.unwrap_or_default(), longitude.unwrap_or_default());
        let judged = judged.map_err(|mut violation| {
            violation.field = row.path(&violation.field);
            let line = self.lines.of(&violation.field);
            self.note(line, violation);
        });
        let coordinate = judged.ok().filter(|_| latitude.is_some() && longitude.is_some());
        if row.find("latitude").is_some() != row.find("longitude").is_some() {
            let problem = "needs both latitude and longitude, or neither";
            self.refuse(line, &row.at, "REQUIRED", problem);
        }
        let kind = self.text(row, "type", |field, value| {
            let description = "must be primary or secondary";
            AddressKind::parse(value)
                .ok_or_else(|| Violation::new(field, "UNKNOWN_TYPE", description))
        });
        let country = self.text(row, "country", Country::parse).unwrap_or_default();
        let mut text = |name| self.text(row, name, ShortText::parse).unwrap_or_default();
        Address {
            id: text("id"),
            address1: text("address1"),
            address2: text("address2"),
            city: text("city"),
            state: text("state"),
            postal_code: text("postal_code"),
            country,
            coordinate,
            kind: kind.unwrap_or_default(),
        }
    }
}

/// Whether a field is missing or valid.
fn is_read<T>(row: &Fields<'_>, name: &str, value: &Option<T>) -> bool {
    value.is_some() || row.find(name).is_none()
}

/// The problem of an unknown key.
fn unknown(key: &str, row: &Row) -> String {
    if key == "<<" {
        return "is a merge key, which is not supported: write here what it would bring".to_owned();
    }
    match nearest(key, row.names()) {
        Some(near) => format!("is unknown; did you mean {near}?"),
        None => {
            let known: Vec<&str> = row.names().collect();
            format!("is unknown; there are {}", known.join(", "))
        }
    }
}

fn parse_state(field: &str, value: &str) -> Result<State, Violation> {
    State::parse(value)
        .ok_or_else(|| Violation::new(field, "UNKNOWN_STATE", "must be active or archived"))
}
