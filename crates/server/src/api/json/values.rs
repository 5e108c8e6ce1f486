//! Single values: the values that each kind of field takes, in words, and reading them from JSON or text.
//!
//! Every word of a refusal is written here, since the messages of a library speak of its own types.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde::de::value::{Error as PlainError, StrDeserializer};

use crate::{catalog::near::nearest, status::quoted};

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// One value of JSON. Of lists and objects, this says only that they are such.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(&'a str),
    List,
    Object,
}

impl<'a> Given<'a> {
    /// The value of parsed JSON.
    pub(crate) fn of(json: &'a serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => Self::Number(number.as_f64().unwrap_or_default()),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(_) => Self::List,
            serde_json::Value::Object(_) => Self::Object,
        }
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            // Without an exponent, the largest numbers have three hundred digits.
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "the text '{}'", quoted(text)),
            Self::List => f.write_str("a list"),
            Self::Object => f.write_str("an object"),
        }
    }
}

/// The values that a field of this kind takes, in words.
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
        Kind::Enum(values) => format!("one of {}", names(values).join(", ")),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "a time such as 2023-01-01T10:00:00Z".to_owned(),
            "google.protobuf.Duration" => "a duration in seconds such as 90s".to_owned(),
            "google.protobuf.FieldMask" => "names of fields with commas between them".to_owned(),
            "google.protobuf.ListValue" => "a list".to_owned(),
            "google.protobuf.Value" => "any JSON".to_owned(),
            "google.protobuf.Any" => "an object with @type and the fields of that type".to_owned(),
            "google.protobuf.Empty" => "an object without keys".to_owned(),
            _ => match wrapped(message) {
                Some(field) => expected(&field.kind()),
                None => "an object".to_owned(),
            },
        },
    }
}

fn names(values: &EnumDescriptor) -> Vec<String> {
    values.values().map(|value| value.name().to_owned()).collect()
}

/// The problem of a value that a field does not take.
pub(crate) fn problem(kind: &Kind, given: &Given<'_>) -> String {
    let hint = match given {
        Given::Text(text) => hint(kind, text),
        _ => String::new(),
    };
    format!("must be {}, not {given}{hint}", expected(kind))
}

/// The value that a text probably means.
fn hint(kind: &Kind, text: &str) -> String {
    let meant = match kind {
        Kind::Enum(values) => {
            let names = names(values);
            let near = nearest(text, names.iter().map(String::as_str));
            return near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => {
            if is_too_fine(text) {
                return TOO_FINE.to_owned();
            }
            // A suggestion with a fraction could be wrong: only the method knows whether it takes one.
            let meant = humantime::parse_duration(text).ok();
            meant.filter(|meant| meant.subsec_nanos() == 0)
        }
        Kind::Message(message) if is_text(message) && is_too_fine(text) => {
            return TOO_FINE.to_owned();
        }
        _ => None,
    };
    meant.map(|meant| format!(": write {}s", meant.as_secs())).unwrap_or_default()
}

const TOO_FINE: &str = ": at most nine digits may stand behind the point";

/// Whether a time or a duration has a part of less than a nanosecond, which its message cannot hold.
fn is_too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count() > 9
}

/// The field of a wrapper such as `google.protobuf.BoolValue`.
pub(crate) fn wrapped(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    name.ends_with("Value").then(|| message.get_field_by_name("value")).flatten()
}

/// Whether a message may hold anything, in a form of its own.
pub(crate) fn is_free(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.");
    name.is_some_and(|name| matches!(name, "Any" | "Empty" | "ListValue" | "Struct" | "Value"))
}

/// Whether a message is written as one text.
fn is_text(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.");
    name.is_some_and(|name| matches!(name, "Duration" | "FieldMask" | "Timestamp"))
}

/// Reads one value of this kind; `None` if the value is of another kind or out of range.
pub(crate) fn read(kind: &Kind, given: &Given<'_>) -> Option<Value> {
    Some(match kind {
        Kind::Double => Value::F64(number(given)?),
        Kind::Float => {
            let number = number(given)? as f32;
            // A finite number must stay finite.
            let is_named = matches!(given, Given::Text(_));
            Value::F32(Some(number).filter(|number| number.is_finite() || is_named)?)
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(whole(given)?.try_into().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(whole(given)?.try_into().ok()?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(whole(given)?.try_into().ok()?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(whole(given)?.try_into().ok()?),
        Kind::Bool => match given {
            Given::Bool(flag) => Value::Bool(*flag),
            _ => return None,
        },
        Kind::String => Value::String(text(given)?.to_owned()),
        Kind::Bytes => Value::Bytes(base64(text(given)?)?.into()),
        Kind::Enum(values) => {
            let value = match given {
                Given::Text(name) => values.get_value_by_name(name)?,
                given => values.get_value(whole(given)?.try_into().ok()?)?,
            };
            Value::EnumNumber(value.number())
        }
        Kind::Message(message) => Value::Message(match wrapped(message) {
            Some(field) => {
                let mut wrapper = DynamicMessage::new(message.clone());
                wrapper.set_field(&field, read(&field.kind(), given)?);
                wrapper
            }
            None if is_mask(message) => written(message, &mask(text(given)?))?,
            None if is_text(message) => {
                let text = text(given).filter(|text| !is_too_fine(text))?;
                written(message, text)?
            }
            None => return None,
        }),
    })
}

fn text<'a>(given: &Given<'a>) -> Option<&'a str> {
    match given {
        Given::Text(text) => Some(text),
        _ => None,
    }
}

/// A whole number, as a number or as text. Numbers with a point count if only zeros follow it.
fn whole(given: &Given<'_>) -> Option<i128> {
    match given {
        Given::Whole(number) => Some(*number),
        Given::Number(number) => {
            let is_whole = number.fract() == 0.0 && number.abs() < 1e20;
            is_whole.then_some(*number as i128)
        }
        Given::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(given: &Given<'_>) -> Option<f64> {
    match given {
        Given::Whole(number) => Some(*number as f64),
        Given::Number(number) => Some(*number),
        Given::Text("NaN") => Some(f64::NAN),
        Given::Text("Infinity") => Some(f64::INFINITY),
        Given::Text("-Infinity") => Some(f64::NEG_INFINITY),
        Given::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// Decodes base64 of either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, BASE64).decode(text).ok())
}

/// Parses a message that is written as one text.
fn written(message: &MessageDescriptor, text: &str) -> Option<DynamicMessage> {
    DynamicMessage::deserialize(message.clone(), StrDeserializer::<PlainError>::new(text)).ok()
}

/// Reads one value of a field from text, for paths and query parameters.
pub(crate) fn read_text(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let kind = field.kind();
    let plain = match &kind {
        Kind::Message(message) => wrapped(message).map_or(kind.clone(), |field| field.kind()),
        _ => kind.clone(),
    };
    let given = match (&plain, text) {
        // Python writes these with a capital letter, and some shells and spreadsheets in capitals.
        (Kind::Bool, "true" | "True" | "TRUE") => Given::Bool(true),
        (Kind::Bool, "false" | "False" | "FALSE") => Given::Bool(false),
        (Kind::Enum(_), text) => text.parse().map_or(Given::Text(text), Given::Whole),
        (_, text) => Given::Text(text),
    };
    read(&kind, &given).ok_or_else(|| {
        format!("must be {}, not '{}'{}", expected(&kind), quoted(text), hint(&kind, text))
    })
}

pub(crate) fn is_mask(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.FieldMask"
}

/// A mask in the camelCase of protobuf's JSON, from names in either casing, with or without blanks.
fn mask(text: &str) -> String {
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

/// Whether a field has a text form.
pub(crate) fn takes_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        _ if field.is_map() => false,
        Kind::Message(message) => wrapped(&message).is_some() || is_text(&message),
        _ => true,
    }
}
