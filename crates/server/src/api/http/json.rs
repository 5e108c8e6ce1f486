//! JSON to messages and back, with errors that name the field and what it takes.
//!
//! Knows descriptors and values, and nothing of HTTP.

use std::fmt;

use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
    Value,
};
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};
use serde_json::de::SliceRead;
use serde_path_to_error::{Path, Segment, Track};

use super::routes::field_by_any_name;
use crate::{
    api::status::{RequestError, quoted},
    catalog::error::{Error, Violation},
};

/// Bodies nest no deeper, which keeps them within what every protobuf decoder takes.
pub(crate) const MAX_DEPTH: usize = 100;

/// Why JSON was refused.
#[derive(Debug)]
pub(crate) enum JsonError {
    /// It is not JSON.
    Malformed(RequestError),
    /// It is JSON, but a field takes something else.
    Field(Error),
}

/// Reads a message and ignores unknown keys. Of a key that is given twice the last one counts.
pub(crate) fn read_message(
    descriptor: &MessageDescriptor,
    json: &[u8],
) -> Result<DynamicMessage, JsonError> {
    refuse_deep(json)?;
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut parser, &mut track);
    let read =
        DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options(true));
    let read = read.and_then(|message| parser.end().map(|()| message));
    read.map_err(|error| refusal(descriptor, &track.path(), &error))
}

/// Reads a message that has the JSON as the value of one of its fields, and ignores unknown keys.
pub(crate) fn read_field(
    field: &FieldDescriptor,
    json: &[u8],
) -> Result<DynamicMessage, JsonError> {
    refuse_deep(json)?;
    let descriptor = field.parent_message();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let object =
        MapAccessDeserializer::new(OneField { name: Some(field.json_name()), value: &mut parser });
    let tracked = serde_path_to_error::Deserializer::new(object, &mut track);
    let read =
        DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options(true));
    let read = read.and_then(|message| parser.end().map(|()| message));
    read.map_err(|error| refusal(descriptor, &track.path(), &error))
}

/// Reads JSON as it is, to be looked at before it becomes a message. A key that an object has twice
/// is refused, since nobody can say which of them was meant.
pub(crate) fn parse(json: &[u8]) -> Result<serde_json::Value, JsonError> {
    refuse_deep(json)?;
    let Unique(value) = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    Ok(value)
}

/// Makes a message of JSON that was parsed, and refuses unknown keys.
pub(crate) fn read_parsed(
    descriptor: &MessageDescriptor,
    json: &serde_json::Value,
) -> Result<DynamicMessage, JsonError> {
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(json, &mut track);
    let read =
        DynamicMessage::deserialize_with_options(descriptor.clone(), tracked, &options(false));
    read.map_err(|error| refusal(descriptor, &track.path(), &error))
}

/// JSON of which every object has each key once.
struct Unique(serde_json::Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique(serde_json::Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
        Ok(Unique(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Unique(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let key = quoted(&key);
                return Err(A::Error::custom(format_args!("the key \"{key}\" is there twice")));
            }
            let Unique(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Unique(object.into()))
    }
}

/// An object of one key around a value, so that the value's lines and columns stay its own.
struct OneField<'a, 'de> {
    name: Option<&'a str>,
    value: &'a mut serde_json::Deserializer<SliceRead<'de>>,
}

impl<'de> MapAccess<'de> for OneField<'_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        self.name.take().map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        seed.deserialize(&mut *self.value)
    }
}

fn options(ignores_unknown: bool) -> DeserializeOptions {
    DeserializeOptions::new().deny_unknown_fields(!ignores_unknown)
}

fn refusal(descriptor: &MessageDescriptor, path: &Path, error: &serde_json::Error) -> JsonError {
    if error.is_data() {
        return JsonError::Field(violation(descriptor, path, error).into());
    }
    malformed(error)
}

fn malformed(error: &serde_json::Error) -> JsonError {
    JsonError::Malformed(RequestError::MalformedJson {
        description: quoted(&error.to_string()).into_owned(),
    })
}

/// Counts brackets instead of parsing, since what is ignored later nests too.
fn refuse_deep(json: &[u8]) -> Result<(), JsonError> {
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
            let description = format!("it nests deeper than {MAX_DEPTH} levels");
            return Err(JsonError::Malformed(RequestError::MalformedJson { description }));
        }
    }
    Ok(())
}

/// Turns the keys as they were sent into the field's path in snake_case.
fn violation(descriptor: &MessageDescriptor, path: &Path, error: &serde_json::Error) -> Violation {
    let mut name = String::new();
    let mut within = Some(descriptor.clone());
    let mut field: Option<FieldDescriptor> = None;
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => name.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                field = within.as_ref().and_then(|message| field_by_any_name(message, key));
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(field.as_ref().map_or(key.as_str(), FieldDescriptor::name));
                within = field.as_ref().and_then(|field| field.kind().as_message().cloned());
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let ends_in_list = matches!(path.iter().next_back(), Some(Segment::Seq { .. }));
    let expected = match &field {
        Some(field) if ends_in_list || !(field.is_list() || field.is_map()) => {
            expected(&field.kind())
        }
        Some(field) if field.is_list() => "a list".to_owned(),
        _ => "an object".to_owned(),
    };
    let name = if name.is_empty() { "body" } else { &quoted(&name) };
    Violation::new(
        name,
        "INVALID_VALUE",
        format!("must be {expected}: {}", quoted(&error.to_string())),
    )
}

/// What a field of this kind takes, in words.
pub(crate) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits".to_owned(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits".to_owned(),
        Kind::Uint32 | Kind::Fixed32 => "a whole number of 32 bits, 0 or more".to_owned(),
        Kind::Uint64 | Kind::Fixed64 => "a whole number of 64 bits, 0 or more".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "text in quotation marks".to_owned(),
        Kind::Bytes => "text in base64".to_owned(),
        Kind::Enum(values) => {
            let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "a time such as 2023-01-01T10:00:00Z".to_owned(),
            "google.protobuf.Duration" => "a duration in seconds such as 1.5s".to_owned(),
            "google.protobuf.FieldMask" => "names of fields with commas between them".to_owned(),
            _ => match wrapped(message) {
                Some(field) => expected(&field.kind()),
                None => "an object".to_owned(),
            },
        },
    }
}

/// The field of a wrapper such as `google.protobuf.BoolValue`.
pub(crate) fn wrapped(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    name.ends_with("Value").then(|| message.get_field_by_name("value")).flatten()
}

/// Reads one value of a field from text, as paths and query parameters have it.
pub(crate) fn read_text(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let kind = field.kind();
    let problem = || format!("must be {}, not '{}'", expected(&kind), quoted(text));
    let plain = match &kind {
        Kind::Message(message) => wrapped(message).map_or(kind.clone(), |field| field.kind()),
        _ => kind.clone(),
    };
    let json = match (&plain, text) {
        (Kind::String, _) if plain == kind => return Ok(Value::String(text.to_owned())),
        // Python writes the one with a capital letter, and some shells and sheets all of it in capitals.
        (Kind::Bool, "true" | "True" | "TRUE") => serde_json::Value::Bool(true),
        (Kind::Bool, "false" | "False" | "FALSE") => serde_json::Value::Bool(false),
        (Kind::Enum(_), _) => text.parse::<i32>().map_or_else(|_| text.into(), Into::into),
        (Kind::Message(message), _) if is_mask(message) => mask(text).into(),
        _ => text.into(),
    };
    let value = if field.is_list() { serde_json::json!([json]) } else { json };
    let object = serde_json::json!({ field.json_name(): value });
    let options = DeserializeOptions::new();
    let mut message =
        DynamicMessage::deserialize_with_options(field.parent_message().clone(), object, &options)
            .map_err(|_| problem())?;
    let value = message.get_field_mut(field).clone();
    match value {
        Value::List(mut values) => values.pop().ok_or_else(problem),
        value => Ok(value),
    }
}

pub(crate) fn is_mask(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.FieldMask"
}

/// A mask as protobuf's JSON wants it, in camelCase, from names in either casing with or without blanks.
pub(crate) fn mask(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut rest = text.chars().filter(|char| *char != ' ').peekable();
    while let Some(char) = rest.next() {
        match rest.peek().copied() {
            Some(next) if char == '_' && next.is_ascii_lowercase() => {
                camel.push(next.to_ascii_uppercase());
                rest.next();
            }
            _ => camel.push(char),
        }
    }
    camel
}

/// Whether a field can be given as text at all.
pub(crate) fn takes_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        _ if field.is_map() => false,
        Kind::Message(message) => {
            let known = ["Timestamp", "Duration", "FieldMask"]
                .map(|name| format!("google.protobuf.{name}"));
            wrapped(&message).is_some() || known.iter().any(|name| name == message.full_name())
        }
        _ => true,
    }
}

/// Writes an answer, or the one field of it that is the body. What has its default value is written too.
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
