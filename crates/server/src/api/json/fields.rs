//! Fields of messages: the look-up by name in either casing, and their options in the contract.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

/// The path of a request's field, or of a field within it.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath(pub(crate) Vec<FieldDescriptor>);

impl FieldPath {
    /// Finds a dotted path, in either casing.
    pub(crate) fn find(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let mut fields: Vec<FieldDescriptor> = vec![];
        for name in path.split('.') {
            let within = match fields.last() {
                None => message.clone(),
                Some(field) if field.is_list() || field.is_map() => return None,
                Some(field) => field.kind().as_message()?.clone(),
            };
            fields.push(field_by_any_name(&within, name)?);
        }
        Some(Self(fields))
    }

    /// The field itself, the last of the path.
    pub(crate) fn leaf(&self) -> &FieldDescriptor {
        &self.0[self.0.len() - 1]
    }

    /// The path in violations, in snake_case.
    pub(crate) fn name(&self) -> String {
        self.0.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// The path in JSON and query parameters, in camelCase.
    pub(crate) fn json_name(&self) -> String {
        self.0.iter().map(FieldDescriptor::json_name).collect::<Vec<_>>().join(".")
    }
}

/// Finds a field by its camelCase or its snake_case name.
pub(crate) fn field_by_any_name(
    message: &MessageDescriptor,
    name: &str,
) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// Whether the field is a message that is written field by field. Well-known types are written as one text.
pub(crate) fn is_plain_message(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if !message.full_name().starts_with("google.protobuf."))
}

/// Whether a field's `google.api.field_behavior` has this name among its values.
pub(crate) fn has_behavior(field: &FieldDescriptor, behavior: &str) -> bool {
    let Some(option) =
        field.parent_message().parent_pool().get_extension_by_name("google.api.field_behavior")
    else {
        return false;
    };
    let options = field.options();
    let values = options.get_extension(&option);
    let kind = option.kind();
    let is_it = |value: &Value| {
        let value = kind.as_enum()?.get_value(value.as_enum_number()?)?;
        Some(value.name() == behavior)
    };
    values.as_list().unwrap_or_default().iter().any(|value| is_it(value) == Some(true))
}
