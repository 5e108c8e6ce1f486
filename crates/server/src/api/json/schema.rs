//! JSON schemas of messages, in the form in which this server reads and writes them.

use std::collections::BTreeMap;

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use serde_json::{Map, Value, json};

use super::{comments::Comments, fields::has_behavior, values::wrapped};
use crate::api::counts;

/// Sentences about a field's behavior for which JSON schemas have no keyword.
const BEHAVIOR_NOTES: [(&str, &str); 2] = [
    ("IMMUTABLE", "Given once, and never changed after."),
    ("INPUT_ONLY", "Sent, and never answered."),
];

/// The direction of a message. A caller need not send fields that the server always writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Input,
    Output,
}

/// The schemas that a document refers to.
pub(crate) struct Schemas {
    pub(crate) comments: Comments,
    /// By component name, with the direction that the schema is for.
    components: BTreeMap<String, (Direction, Value)>,
}

impl Schemas {
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        Self { comments: Comments::read(pool), components: BTreeMap::new() }
    }

    pub(crate) fn into_json(self) -> Value {
        self.components
            .into_iter()
            .map(|(name, (_, schema))| (name, schema))
            .collect::<Map<_, _>>()
            .into()
    }

    /// A reference to the message's schema, or the schema itself if JSON has a form of its own for the message.
    pub(crate) fn message(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        if let Some(schema) = self.well_known(message) {
            return schema;
        }
        let mut name = message.full_name().to_owned();
        if self.components.get(&name).is_some_and(|(known, _)| *known != direction) {
            name.push_str(".Input");
        }
        if !self.components.contains_key(&name) {
            // The entry is made before the schema is complete, since a message may refer to itself.
            self.components.insert(name.clone(), (direction, Value::Null));
            let schema = self.object(message, direction, &[]);
            self.components.insert(name.clone(), (direction, schema));
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of a message. The fields in `given` are not required, since the path has them.
    pub(crate) fn object(
        &mut self,
        message: &MessageDescriptor,
        direction: Direction,
        given: &[String],
    ) -> Value {
        let mut properties = Map::new();
        let mut required = vec![];
        for field in message.fields() {
            if direction == Direction::Input && has_behavior(&field, "OUTPUT_ONLY") {
                continue;
            }
            let is_required = match direction {
                Direction::Input => {
                    has_behavior(&field, "REQUIRED")
                        && !given.iter().any(|name| name == field.name())
                }
                Direction::Output => !field.supports_presence(),
            };
            if is_required {
                required.push(json!(field.json_name()));
            }
            properties.insert(field.json_name().to_owned(), self.field(&field, direction));
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("title".to_owned(), json!(message.name()));
        describe(&mut schema, self.comments.of(&message.parent_file(), message.path()));
        schema.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if let Some(example) = example(message) {
            schema.insert("examples".to_owned(), json!([example]));
        }
        schema.into()
    }

    /// The schema of a field, with its comment.
    pub(crate) fn field(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.kind(&entry.map_entry_value_field().kind(), direction);
                json!({ "type": "object", "additionalProperties": values })
            }
            kind if field.is_list() => {
                let mut list = json!({ "type": "array", "items": self.kind(&kind, direction) });
                if let Some(most) = counts::said(field).filter(|_| direction == Direction::Input) {
                    list["maxItems"] = most.into();
                }
                list
            }
            kind => self.kind(&kind, direction),
        };
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
        let name = values.full_name();
        if !self.components.contains_key(name) {
            let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
            let mut schema = Map::new();
            schema.insert("type".to_owned(), json!("string"));
            schema.insert("title".to_owned(), json!(values.name()));
            schema.insert("enum".to_owned(), json!(names));
            let mut description = self.comments.of(&values.parent_file(), values.path()).to_owned();
            for value in values.values() {
                let comment = self.comments.of(&value.parent_file(), value.path());
                if !comment.is_empty() {
                    description.push_str(&format!("\n\n- `{}`: {comment}", value.name()));
                }
            }
            describe(&mut schema, &description);
            self.components.insert(name.to_owned(), (Direction::Output, schema.into()));
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
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
