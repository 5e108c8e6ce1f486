//! Fields of messages: found by their names, in either casing, and what the contract says of them.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

/// A field, or a field of a field, of a request.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath(pub(crate) Vec<FieldDescriptor>);

impl FieldPath {
    /// Looks a dotted path up, in either casing.
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

    /// The path as violations name it, in snake_case.
    pub(crate) fn name(&self) -> String {
        self.0.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// The path as JSON and query parameters name it, in camelCase.
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

/// Well-known types are written as one text, never field by field.
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
