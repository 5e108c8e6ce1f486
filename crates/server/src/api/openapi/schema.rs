//! JSON schemas of messages, in the form in which this server reads and writes them.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use serde_json::{Map, Value, json};

use super::{comments::Comments, forms};
use crate::api::{
    counts,
    json::{fields::has_behavior, masks::mask_of, values::wrapped},
};

/// Sentences about a field's behavior for which JSON schemas have no keyword.
const BEHAVIOR_NOTES: [(&str, &str); 2] = [
    ("IMMUTABLE", "Given once, and never changed after."),
    ("INPUT_ONLY", "Sent, and never answered."),
];

/// The direction of a message. A caller need not send fields that the server always writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// Sent. A strict service refuses names that the schema lacks.
    Input { is_strict: bool },
    /// Sent in a path, where nothing is left out or empty.
    Path,
    /// Sent to change the given fields: nothing is required, and null clears a field.
    Patch,
    /// Answered.
    Output,
}

impl Direction {
    /// The direction of messages within the message.
    fn within(self) -> Self {
        match self {
            // A patch replaces messages within it as a whole.
            Self::Patch => Self::Input { is_strict: true },
            other => other,
        }
    }
}

/// The schemas that a document refers to.
pub(crate) struct Schemas {
    pub(crate) comments: Comments,
    /// By component name.
    components: BTreeMap<String, Value>,
    /// The component names of messages.
    names: HashMap<(String, Direction), String>,
}

impl Schemas {
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        Self { comments: Comments::read(pool), components: BTreeMap::new(), names: HashMap::new() }
    }

    pub(crate) fn into_json(self) -> Value {
        self.components.into_iter().collect::<Map<_, _>>().into()
    }

    /// A reference to the message's schema, or the schema itself if JSON has a form of its own for the message.
    pub(crate) fn message(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        if let Some(schema) = self.well_known(message) {
            return schema;
        }
        let key = (message.full_name().to_owned(), direction);
        if let Some(name) = self.names.get(&key) {
            return reference(name);
        }
        let is_answered = self.names.contains_key(&(key.0.clone(), Direction::Output));
        let full_name = message.full_name();
        // The message is a part of a request, and a request by itself elsewhere. Generators give that name to the
        // parameters of the operation.
        let full_name = full_name.strip_suffix("Request").unwrap_or(full_name);
        let name = self.free_name(
            full_name,
            match direction {
                Direction::Output => "",
                Direction::Input { .. } | Direction::Path if !is_answered => "",
                Direction::Input { .. } | Direction::Path => "Input",
                Direction::Patch => "Patch",
            },
        );
        self.names.insert(key, name.clone());
        // The entry is made before the schema is complete, since a message may refer to itself.
        self.components.insert(name.clone(), Value::Null);
        let schema = self.object(message, direction, &[]);
        self.components.insert(name.clone(), schema);
        reference(&name)
    }

    /// A reference to the schema of a body that is a request, without the fields `given` of its path, and whether the
    /// schema requires any field.
    pub(crate) fn body(
        &mut self,
        method: &str,
        request: &MessageDescriptor,
        is_strict: bool,
        given: &[String],
    ) -> (Value, bool) {
        let name = self.free_name(method, "Body");
        let schema = self.object(request, Direction::Input { is_strict }, given);
        let is_required = schema.get("required").is_some();
        self.components.insert(name.clone(), schema);
        (reference(&name), is_required)
    }

    /// A short name that is not taken: as few words of the package as are needed stand before it.
    fn free_name(&self, full_name: &str, suffix: &str) -> String {
        let parts: Vec<&str> = full_name.split('.').collect();
        let is_word = |part: &&str| part.starts_with(char::is_uppercase);
        let package = parts.iter().position(is_word).unwrap_or(parts.len() - 1);
        let own = parts[package..].concat();
        let name = |words: usize| {
            let words = parts[..words].iter().map(|word| capitalized(word));
            format!("{}{own}{suffix}", words.collect::<String>())
        };
        let numbered = (2..).map(|number: usize| format!("{own}{suffix}{number}"));
        let mut names = (0..=package).map(name).chain(numbered);
        let free = names.find(|name| !self.components.contains_key(name));
        free.unwrap_or_else(|| unreachable!("numbers do not end"))
    }

    /// The schema of a message without the fields `given`, which the path has. A service that is not strict
    /// also takes them in the body.
    fn object(
        &mut self,
        message: &MessageDescriptor,
        direction: Direction,
        given: &[String],
    ) -> Value {
        let is_open = matches!(direction, Direction::Input { is_strict: false });
        let mut properties = Map::new();
        let mut required = vec![];
        for field in message.fields() {
            let is_given = given.iter().any(|name| name == field.name());
            let is_answered_only =
                direction != Direction::Output && has_behavior(&field, "OUTPUT_ONLY");
            let is_of_updates =
                matches!(direction, Direction::Input { .. }) && forms::is_of_updates(&field);
            if is_answered_only || is_of_updates || is_given && !is_open {
                continue;
            }
            let is_required = match direction {
                Direction::Input { .. } => {
                    let is_required =
                        has_behavior(&field, "REQUIRED") || forms::is_of_coordinate(&field);
                    is_required && !is_given
                }
                Direction::Patch | Direction::Path => false,
                Direction::Output => is_always_answered(&field),
            };
            if is_required {
                required.push(json!(field.json_name()));
            }
            properties.insert(field.json_name().to_owned(), self.field(&field, direction));
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        describe(&mut schema, self.comments.of(&message.parent_file(), message.path()));
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if direction != Direction::Output && !is_open {
            schema.insert("additionalProperties".to_owned(), json!(false));
        }
        if let Some(example) = example(message).filter(|_| direction == Direction::Output) {
            schema.insert("examples".to_owned(), json!([example]));
        }
        schema.into()
    }

    /// The schema of a field, with its comment.
    pub(crate) fn field(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.kind(&entry.map_entry_value_field().kind(), direction.within());
                let mut map = json!({ "type": "object", "additionalProperties": values });
                if direction != Direction::Output {
                    forms::constrain_map(&mut map, field);
                }
                map
            }
            _ if field.is_list() => {
                let mut list = json!({ "type": "array", "items": self.value(field, direction) });
                if direction != Direction::Output {
                    if has_behavior(field, "REQUIRED") {
                        list["minItems"] = 1.into();
                    }
                    if let Some(most) = counts::said(field) {
                        list["maxItems"] = most.into();
                    }
                }
                list
            }
            _ => self.value(field, direction),
        };
        if direction == Direction::Patch && !has_behavior(field, "REQUIRED") {
            schema = nullable(schema);
        }
        if let Some(schema) = schema.as_object_mut() {
            let comment = self.comments.of(&field.parent_file(), field.path());
            let notes = BEHAVIOR_NOTES.iter().filter(|(behavior, _)| has_behavior(field, behavior));
            let texts = [comment].into_iter().chain(notes.map(|(_, note)| *note));
            let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
            describe(schema, &texts.join("\n\n"));
            if direction == Direction::Output && has_behavior(field, "OUTPUT_ONLY") {
                schema.insert("readOnly".to_owned(), json!(true));
            }
        }
        schema
    }

    /// The schema of a field's value, or of an item of a list.
    fn value(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        if direction == Direction::Output {
            return self.kind(&field.kind(), direction);
        }
        if let Some((name, values)) = forms::names(forms::of(field)) {
            let schema = || json!({ "type": "string", "enum": values });
            self.components.entry(name.to_owned()).or_insert_with(schema);
            return reference(name);
        }
        let within = match mask_of(field.parent_message()) {
            // The request changes the fields of the message that its mask names.
            Some(_) => Direction::Patch,
            None => direction.within(),
        };
        let mut schema = self.kind(&field.kind(), within);
        if let Some(schema) = schema.as_object_mut() {
            let is_required =
                direction == Direction::Path || field.is_list() || has_behavior(field, "REQUIRED");
            forms::constrain(schema, field, is_required);
        }
        schema
    }

    fn kind(&mut self, kind: &Kind, direction: Direction) -> Value {
        match kind {
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::Float => json!({ "type": "number", "format": "float" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32" })
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "format": "uint32", "minimum": 0 })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64" })
            }
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Message(message) => self.message(message, direction),
            Kind::Enum(values) => self.enumeration(values),
        }
    }

    fn enumeration(&mut self, values: &EnumDescriptor) -> Value {
        let key = (values.full_name().to_owned(), Direction::Output);
        if let Some(name) = self.names.get(&key) {
            return reference(name);
        }
        let name = self.free_name(values.full_name(), "");
        let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), json!(names));
        let mut description = self.comments.of(&values.parent_file(), values.path()).to_owned();
        for value in values.values() {
            let comment = self.comments.of(&value.parent_file(), value.path());
            if !comment.is_empty() {
                description.push_str(&format!("\n\n- `{}`: {comment}", value.name()));
            }
        }
        describe(&mut schema, &description);
        self.components.insert(name.clone(), schema.into());
        self.names.insert(key, name.clone());
        reference(&name)
    }

    /// The schemas of messages for which protobuf's JSON has forms of its own.
    fn well_known(&mut self, message: &MessageDescriptor) -> Option<Value> {
        let name = message.full_name().strip_prefix("google.protobuf.")?;
        Some(match name {
            "Timestamp" => json!({ "type": "string", "format": "date-time" }),
            "Duration" => json!({ "type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$" }),
            "FieldMask" => json!({ "type": "string" }),
            "Struct" | "Empty" => json!({ "type": "object" }),
            "ListValue" => json!({ "type": "array", "items": {} }),
            "Value" => json!({}),
            "Any" => json!({
                "type": "object",
                "properties": { "@type": { "type": "string", "description": "The type's name." } },
                "required": ["@type"],
                "additionalProperties": true,
            }),
            _ => self.kind(&wrapped(message)?.kind(), Direction::Output),
        })
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Whether every answer with the message has the field.
fn is_always_answered(field: &FieldDescriptor) -> bool {
    // Presence only tells an update which fields are given. An answer has them all, except fields that callers never
    // write, messages and choices, and what a document may leave out.
    let is_choice = field.containing_oneof().is_some_and(|choice| !choice.is_synthetic());
    let is_message = matches!(field.kind(), Kind::Message(_));
    let is_told = !is_choice && !is_message && !has_behavior(field, "OUTPUT_ONLY");
    let is_told = is_told && !has_behavior(field, "OPTIONAL");
    !field.supports_presence() || is_told || said_always(field)
}

/// Whether the contract says that every answer has the field.
fn said_always(field: &FieldDescriptor) -> bool {
    let pool = field.parent_message().parent_pool().clone();
    let option = pool.get_extension_by_name("customersettings.v1.always");
    option.is_some_and(|option| field.options().get_extension(&option).as_bool() == Some(true))
}

/// The same schema for a value that may be null.
fn nullable(schema: Value) -> Value {
    match schema {
        Value::Object(mut schema) if schema.get("type").is_some_and(Value::is_string) => {
            let kind = schema.get("type").cloned();
            schema.insert("type".to_owned(), json!([kind, "null"]));
            schema.into()
        }
        schema => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

pub(crate) fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn describe(schema: &mut Map<String, Value>, description: &str) {
    if !description.is_empty() {
        schema.insert("description".to_owned(), json!(description.trim_start()));
    }
}

/// The example in a message's declaration.
pub(crate) fn example(message: &MessageDescriptor) -> Option<Value> {
    let text =
        text_option(message.parent_pool(), &message.options(), "customersettings.v1.example")?;
    serde_json::from_str(&text).ok()
}

/// An option with a text; `None` if it is not given.
pub(crate) fn text_option(
    pool: &DescriptorPool,
    options: &DynamicMessage,
    name: &str,
) -> Option<String> {
    let option = pool.get_extension_by_name(name)?;
    options.get_extension(&option).as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
