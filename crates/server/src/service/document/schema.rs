//! The JSON Schema of the document, for editors: made from the table of keys that the reader uses.
//!
//! Everything that the reader accepts fits the schema. The reader alone knows rules that no schema can say: unique names,
//! defaults, the length of texts that it trims and composes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    FALSE, MAX_FORMER_NAMES, TRUE, VERSION,
    fields::{
        ADDRESS, BUSINESS, COMPANY, DOCUMENT, ENTRIES, ENTRY, Field, Form, Most, Row, SOURCE,
    },
};
use crate::catalog::{
    company::{AddressKind, MAX_SHORT_TEXT_LENGTH},
    entry::State,
    id::MAX_ID_LENGTH,
    place::{Country, TimeZone},
    source::{SourceKind, SourceMode},
    text::{MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH},
};

/// The names of definitions that are no rows.
const COUNTRY: &str = "country";
const TIME_ZONE: &str = "time_zone";
const NO_DEFAULT: &str = "entry_without_default";

/// The schema, in draft 07, which editors know best.
pub fn schema() -> Value {
    let rows = [&COMPANY, &SOURCE, &ENTRY, &BUSINESS, &ADDRESS];
    let mut definitions: Map<String, Value> =
        rows.map(|row| (row.name.to_owned(), definition(row))).into_iter().collect();
    let shared = [(COUNTRY, country()), (TIME_ZONE, time_zone()), (NO_DEFAULT, no_default())];
    definitions.extend(shared.map(|(name, value)| (name.to_owned(), value)));
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "customer-settings: companies with their locations and entries",
    });
    merge(&mut schema, definition(&DOCUMENT));
    merge(&mut schema, json!({ "definitions": definitions }));
    schema
}

fn merge(schema: &mut Value, more: Value) {
    if let (Value::Object(schema), Value::Object(more)) = (schema, more) {
        schema.extend(more);
    }
}

fn definition(row: &Row) -> Value {
    let properties: Map<String, Value> =
        row.fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let mut definition = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    merge(&mut definition, needs(row));
    definition
}

/// The keys that a map must have.
fn needs(row: &Row) -> Value {
    match row.name {
        "document" => json!({ "required": ["companies"] }),
        "company" => json!({ "anyOf": [{ "required": ["id"] }, { "required": ["name"] }] }),
        "source" => json!({ "anyOf": [{ "required": ["kind"] }, { "maxProperties": 0 }] }),
        "address" => json!({
            "dependencies": { "latitude": ["longitude"], "longitude": ["latitude"] },
        }),
        _ => json!({ "required": ["name"] }),
    }
}

fn property(field: &Field) -> Value {
    let mut property = value(&field.form);
    if !field.about.is_empty() {
        merge(&mut property, json!({ "description": field.about }));
    }
    property
}

/// The reader takes a number or a truth in the place of a text for the text that the document has. An empty text is no
/// value, but removes one.
fn value(form: &Form) -> Value {
    let text = |most: usize| {
        let mut text = json!({ "type": ["string", "number", "boolean"] });
        merge(&mut text, not_longer(most));
        text
    };
    let short = |pattern: &str| {
        let mut short = json!({ "type": "string", "pattern": pattern });
        merge(&mut short, not_longer(MAX_SHORT_TEXT_LENGTH));
        short
    };
    match form {
        Form::Id => json!({
            "type": ["string", "integer", "boolean"],
            "maxLength": MAX_ID_LENGTH,
            "pattern": "^[A-Za-z0-9_-]+$",
        }),
        Form::Name => {
            let mut name = text(MAX_NAME_LENGTH);
            merge(&mut name, json!({ "pattern": r"\S" }));
            name
        }
        Form::Names => json!({ "anyOf": [
            value(&Form::Name),
            { "type": "array", "maxItems": MAX_FORMER_NAMES, "items": value(&Form::Name) },
        ] }),
        Form::Version => json!({ "enum": [1, VERSION] }),
        Form::Description => text(MAX_DESCRIPTION_LENGTH),
        Form::ShortText => text(MAX_SHORT_TEXT_LENGTH),
        Form::Email => short(r"^\s*([^\s@]+@[^\s@]+)?\s*$"),
        Form::WebAddress => short(r"^\s*([Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]\S*)?\s*$"),
        Form::Color => {
            json!({ "type": "string", "pattern": r"^(\s*#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})\s*)?$" })
        }
        Form::Country => reference(COUNTRY),
        Form::TimeZone => reference(TIME_ZONE),
        Form::State => json!({ "enum": [State::Active.as_str(), State::Archived.as_str()] }),
        Form::SourceKind => json!({ "enum": SourceKind::ALL.map(SourceKind::as_str) }),
        Form::SourceMode => json!({ "enum": SourceMode::ALL.map(SourceMode::as_str) }),
        Form::Kind => json!({ "enum": [
            AddressKind::Primary.as_str(), AddressKind::Secondary.as_str(), AddressKind::Unspecified.as_str(),
        ] }),
        Form::Truth => json!({
            "type": ["boolean", "string"], "pattern": one_of(TRUE.into_iter().chain(FALSE)),
        }),
        Form::Degrees { most } => json!({
            "type": ["number", "string"],
            "minimum": -most,
            "maximum": most,
            "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$",
        }),
        Form::Time => json!({
            "type": "string",
            "pattern": r"^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6}0{0,3})?(Z|\+00:00)$",
        }),
        Form::One(row) => reference(row.name),
        Form::List(row, most) => list(row.name, *most),
        Form::Entries(catalog) if catalog.has_default() => list(ENTRY.name, ENTRIES),
        Form::Entries(_) => list(NO_DEFAULT, ENTRIES),
    }
}

fn list(of: &str, Most(most, _): Most) -> Value {
    let mut list = json!({ "type": "array", "items": reference(of) });
    if most != usize::MAX {
        merge(&mut list, json!({ "maxItems": most }));
    }
    list
}

fn country() -> Value {
    listed(Country::codes())
}

fn time_zone() -> Value {
    listed(TimeZone::names())
}

/// The names of a list, for editors that complete them, and the other forms in which they are read: in any case, with blanks
/// around them, or empty.
fn listed(names: impl Iterator<Item = &'static str>) -> Value {
    let names: BTreeSet<&str> = names.collect();
    let lower: BTreeSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let pattern = format!(r"^\s*({})?\s*$", any_of(&lower));
    json!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": pattern }] })
}

/// The pattern of sorted names in any case. A beginning that several names share stands in it once, since the schema would
/// be twice as large otherwise.
fn any_of(names: &[&str]) -> String {
    let is_end = names.first().is_some_and(|name| name.is_empty());
    let mut names = if is_end { &names[1..] } else { names };
    let mut branches: Vec<(&str, String)> = Vec::new();
    while let Some(first) = names.first().and_then(|name| name.get(..1)) {
        let count = names.iter().take_while(|name| name.starts_with(first)).count();
        let (these, others) = names.split_at(count);
        let behind: Vec<&str> = these.iter().map(|name| &name[1..]).collect();
        branches.push((first, any_of(&behind)));
        names = others;
    }
    let is_letter = |(first, rest): &(&str, String)| {
        rest.is_empty() && first.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let all = match &branches[..] {
        [] => return String::new(),
        [(first, rest)] => any_case(first) + rest,
        several if several.iter().all(is_letter) => {
            let letters = several.iter().map(|(first, _)| any_case(first));
            format!("[{}]", letters.collect::<String>().replace(['[', ']'], ""))
        }
        several => {
            let several = several.iter().map(|(first, rest)| any_case(first) + rest);
            format!("({})", several.collect::<Vec<_>>().join("|"))
        }
    };
    if is_end { format!("({all})?") } else { all }
}

/// An entry of a catalog without a default, of which a document may say no more than that it is none.
fn no_default() -> Value {
    let is_default = json!({ "not": { "const": true }, "pattern": one_of(FALSE.into_iter()) });
    json!({ "allOf": [reference(ENTRY.name), { "properties": { "is_default": is_default } }] })
}

/// Refuses texts that are too long. The reader counts the characters of a text that it has trimmed and composed, so this
/// refuses only what is too long in any case: Latin letters, which no mark can join, between the white space around them.
fn not_longer(most: usize) -> Value {
    let pattern = format!(r"^\s*[!-~¡-˿][\n\t -˿]{{{},}}[!-~¡-˿]\s*$", most - 1);
    json!({ "not": { "type": "string", "pattern": pattern } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// The pattern of these words, in any case.
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("^({})$", words.map(any_case).collect::<Vec<_>>().join("|"))
}

/// The pattern of a word in any case.
fn any_case(word: &str) -> String {
    let pattern = |c: char| match c {
        c if c.is_ascii_alphabetic() => {
            format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
        }
        '+' => "[+]".to_owned(),
        other => other.to_string(),
    };
    word.chars().map(pattern).collect()
}
