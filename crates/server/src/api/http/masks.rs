//! The mask of an update that came without one: the fields that its JSON has.
//!
//! A message cannot tell a key with `null` or an empty list from one that is not there. JSON can, and what is given
//! must count: so the mask is made where the JSON is at hand, and everything behind it goes by the mask.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};

use super::{json::is_mask, query::is_plain_message, routes::field_by_any_name};

/// Gives every update within the JSON of a request, such as those of a batch, the mask that it lacks.
pub fn fill_within(message: &MessageDescriptor, json: &mut Json) {
    let Some(object) = json.as_object_mut() else { return };
    for (key, value) in object {
        let found = field_by_any_name(message, key).filter(|field| !field.is_map());
        let Some(field) = found.filter(is_plain_message) else { continue };
        let Kind::Message(inner) = field.kind() else { continue };
        let values = match value {
            Json::Array(items) => &mut items[..],
            value => std::slice::from_mut(value),
        };
        for value in values {
            fill_within(&inner, value);
            if let Some(update) = value.as_object_mut() {
                fill(&inner, update);
            }
        }
    }
}

/// Gives the JSON of an update the mask that it lacks; other messages have no mask to give.
pub(crate) fn fill(update: &MessageDescriptor, json: &mut Map<String, Json>) {
    let (Some(mask), Some(resource)) = (mask_of(update), resource_of(update)) else { return };
    let names = [mask.json_name(), mask.name()];
    let is_given = |name: &str| json.get(name).is_some_and(|mask| !mask.is_null() && *mask != "");
    if names.into_iter().any(is_given) {
        return;
    }
    let (Kind::Message(message), found) = (resource.kind(), given(json, &resource)) else { return };
    let Some(keys) = found.and_then(Json::as_object) else { return };
    let fields = keys.keys().filter_map(|key| field_by_any_name(&message, key));
    let paths: Vec<String> = fields.filter(is_settable).map(|f| f.json_name().to_owned()).collect();
    if paths.is_empty() {
        return;
    }
    for name in names {
        json.remove(name);
    }
    json.insert(mask.json_name().to_owned(), paths.join(",").into());
}

/// The mask that says which fields of its resource an update changes.
pub(crate) fn mask_of(update: &MessageDescriptor) -> Option<FieldDescriptor> {
    let field = update.get_field_by_name("update_mask")?;
    matches!(field.kind(), Kind::Message(message) if is_mask(&message)).then_some(field)
}

/// Whether a value is a mask that names nothing.
pub(crate) fn is_empty_mask(field: &FieldDescriptor, value: &Value) -> bool {
    let is_default = value.as_message().is_some_and(|mask| mask.fields().next().is_none());
    is_default && matches!(field.kind(), Kind::Message(message) if is_mask(&message))
}

/// The one message that an update has beside its mask.
fn resource_of(update: &MessageDescriptor) -> Option<FieldDescriptor> {
    update.fields().find(|field| !field.is_list() && !field.is_map() && is_plain_message(field))
}

fn given<'a>(json: &'a Map<String, Json>, field: &FieldDescriptor) -> Option<&'a Json> {
    json.get(field.json_name()).or_else(|| json.get(field.name()))
}

/// Whether an update can change the field. Those that only the server writes may come along, as may the etag that
/// a resource was read with.
fn is_settable(field: &FieldDescriptor) -> bool {
    field.name() != "etag" && !has_behavior(field, "OUTPUT_ONLY")
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
