//! The JSON Schema of the document, for editors: made from the table of keys that the reader uses.
//!
//! Everything that the reader accepts fits the schema. The reader alone knows rules that no schema can say: unique names,
//! defaults, countries that exist, the length of texts that it trims and composes.

use serde_json::{Map, Value, json};

use super::{
    MAX_FORMER_NAMES, VERSION,
    fields::{ADDRESS, BUSINESS, COMPANY, DOCUMENT, ENTRY, Field, Form, Row, SOURCE},
};
use crate::catalog::{
    company::{AddressKind, MAX_SHORT_TEXT_LENGTH},
    entry::State,
    id::MAX_ID_LENGTH,
    source::{SourceKind, SourceMode},
    text::{MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH},
};

/// The schema, in draft 07, which editors know best.
pub fn schema() -> Value {
    let rows = [&COMPANY, &SOURCE, &ENTRY, &BUSINESS, &ADDRESS];
    let definitions: Map<String, Value> =
        rows.map(|row| (row.name.to_owned(), definition(row))).into_iter().collect();
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
        Form::Country => json!({ "type": "string", "pattern": r"^\s*([A-Za-z]{2})?\s*$" }),
        Form::TimeZone => json!({ "type": "string" }),
        Form::State => json!({ "enum": [State::Active.as_str(), State::Archived.as_str()] }),
        Form::SourceKind => json!({ "enum": SourceKind::ALL.map(SourceKind::as_str) }),
        Form::SourceMode => json!({ "enum": SourceMode::ALL.map(SourceMode::as_str) }),
        Form::Kind => json!({ "enum": [
            AddressKind::Primary.as_str(), AddressKind::Secondary.as_str(), AddressKind::Unspecified.as_str(),
        ] }),
        Form::Truth => json!({ "type": ["boolean", "string"], "pattern": truth() }),
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
        Form::One(row) => reference(row),
        Form::List(row, most) if most.0 == usize::MAX => {
            json!({ "type": "array", "items": reference(row) })
        }
        Form::List(row, most) => {
            json!({ "type": "array", "maxItems": most.0, "items": reference(row) })
        }
    }
}

/// Refuses texts that are too long. The reader counts the characters of a text that it has trimmed and composed, so this
/// refuses only what is too long in any case: Latin letters, which no mark can join, between the white space around them.
fn not_longer(most: usize) -> Value {
    let pattern = format!(r"^\s*[!-~¡-˿][\n\t -˿]{{{},}}[!-~¡-˿]\s*$", most - 1);
    json!({ "not": { "type": "string", "pattern": pattern } })
}

fn reference(row: &Row) -> Value {
    json!({ "$ref": format!("#/definitions/{}", row.name) })
}

/// The pattern of the words for true and false, in any case.
fn truth() -> String {
    let any_case = |word: &str| -> String {
        word.chars().map(|c| format!("[{}{c}]", c.to_ascii_uppercase())).collect()
    };
    let words = super::TRUE.into_iter().chain(super::FALSE).map(any_case);
    format!("^({})$", words.collect::<Vec<_>>().join("|"))
}
