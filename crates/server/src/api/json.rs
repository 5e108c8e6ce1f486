//! JSON to messages and back. Text that is not JSON is refused here, wrong fields in the reader.
//!
//! This module knows descriptors and values, and nothing of HTTP: the documents, tools and commands use
//! it as the protocols do.

pub(crate) mod fields;
pub(crate) mod masks;
pub(crate) mod reader;
pub(crate) mod values;

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, SerializeOptions};
use serde::de::DeserializeSeed;

use reader::{Failed, Read, Reading, tree::Tree};

use crate::{
    catalog::error::{Error, Violation},
    status::quoted,
};

/// The deepest nesting of a body, which every protobuf decoder accepts.
pub(crate) const MAX_DEPTH: usize = 100;

/// Why JSON was refused.
#[derive(Debug)]
pub(crate) enum JsonError {
    /// The text is not JSON. The description continues "it is not valid JSON".
    Malformed(String),
    /// The text is JSON, but a field takes another value.
    Field(Error),
}

pub(crate) fn read(
    how: &Reading<'_>,
    descriptor: &MessageDescriptor,
    json: &[u8],
) -> Result<Read, JsonError> {
    let json = text(json).map_err(malformed)?;
    let mut parser = serde_json::Deserializer::from_str(json);
    let read = how.read(descriptor, &mut parser);
    let read = match read {
        Err(Failed::Source(error)) => return Err(malformed(explained(json, &error))),
        Err(Failed::Enough(violations)) => {
            return Err(JsonError::Field(Error::Invalid(violations)));
        }
        Err(Failed::Fields(violations)) => Err(JsonError::Field(Error::Invalid(violations))),
        Ok(read) => Ok(read),
    };
    match parser.end() {
        Ok(()) => read,
        Err(error) => Err(malformed(not_at_its_end(&error))),
    }
}

/// Parses JSON as it is. An object with the same key twice is refused, since nobody can say which value counts.
///
/// The error continues "it is not valid JSON".
pub fn parse(json: &[u8]) -> Result<serde_json::Value, String> {
    let json = text(json)?;
    let mut parser = serde_json::Deserializer::from_str(json);
    let mut twice = None;
    let parsed = Tree(&mut twice).deserialize(&mut parser);
    let parsed = parsed.map_err(|error| explained(json, &error))?;
    parser.end().map_err(|error| not_at_its_end(&error))?;
    match twice {
        Some(key) => Err(format!("it has the key '{}' twice in one object", quoted(&key))),
        None => Ok(parsed),
    }
}

/// The JSON as text, if its bytes and its depth can be parsed.
fn text(json: &[u8]) -> Result<&str, String> {
    let json = std::str::from_utf8(json)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to() + 1))?;
    match is_deep(json.as_bytes()) {
        true => Err(format!("it nests deeper than {MAX_DEPTH} levels")),
        false => Ok(json),
    }
}

fn not_at_its_end(error: &serde_json::Error) -> String {
    format!("more follows behind its end, at {}", place(error))
}

/// Reads a message from parsed JSON, by the rules of the management API.
pub fn read_parsed(
    descriptor: &MessageDescriptor,
    json: &serde_json::Value,
) -> Result<DynamicMessage, Vec<Violation>> {
    let how = Reading { is_strict: true, ..Reading::default() };
    how.read(descriptor, json).map(|read| read.message).map_err(|failed| match failed {
        Failed::Fields(violations) | Failed::Enough(violations) => violations,
        Failed::Source(_) => unreachable!("it was parsed"),
    })
}

fn malformed(description: String) -> JsonError {
    JsonError::Malformed(description)
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column().max(1))
}

/// Why the text is not JSON. The parser's message is only searched for known words, as it speaks of
/// the parser's own types.
fn explained(json: &str, error: &serde_json::Error) -> String {
    let words = error.to_string();
    let says = |part: &str| words.contains(part);
    let place = place(error);
    if error.is_eof() {
        return format!("it ends before it is complete, at {place}");
    }
    if says("number out of range") {
        return format!("the number that ends at {place} is larger than any that can be told");
    }
    if says("escape") || says("surrogate") {
        return format!("the text has a \\ at {place} that JSON does not have there");
    }
    if says("control character") {
        return format!(
            "the text has a line's end or another control character at {place}: write \\n"
        );
    }
    let line = json.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = line.floor_char_boundary(error.column().saturating_sub(1));
    let is_of_word = |char: char| char.is_alphanumeric() || char == '_';
    // Parsers fail within a word. People look for the word's beginning.
    let start = at
        - line[..at]
            .chars()
            .rev()
            .take_while(|char| is_of_word(*char))
            .map(char::len_utf8)
            .sum::<usize>();
    let rest = if line[at..].starts_with(is_of_word) { &line[start..] } else { &line[at..] };
    let word = &rest[..rest.find(|char| !is_of_word(char)).unwrap_or(rest.len())];
    match (word, rest.chars().next()) {
        (_, None) => format!("something is missing at {place}"),
        ("", Some(char)) => format!("{char:?} at {place} does not belong there"),
        (word, _) => format!("'{}' at {place} does not belong there", quoted(word)),
    }
}

/// Whether the JSON nests too deep. It counts brackets instead of parsing, since ignored values nest too.
fn is_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Writes an answer, or the one field of it that is the body. Fields with default values are written too.
pub(crate) fn write(
    message: &DynamicMessage,
    only: Option<&FieldDescriptor>,
) -> Result<Vec<u8>, serde_json::Error> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut bytes = vec![];
    let Some(field) = only else {
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut bytes), &options)?;
        return Ok(bytes);
    };
    let mut whole = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    let value = whole.get_mut(field.json_name()).map(serde_json::Value::take);
    serde_json::to_vec(&value)
}
