//! The mask of an update that came without one: the fields that its JSON has.
//!
//! A message cannot distinguish a key with `null` or an empty list from a missing key. JSON can, and every given value
//! must count. So the mask is made while the JSON is read, and all later code goes by the mask.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value,
};

use super::{
    fields::{has_behavior, is_plain_message},
    values::is_mask,
};

/// Gives an update the mask that it lacks.
pub(crate) fn fill(update: &mut DynamicMessage, paths: Vec<Value>) {
    let Some(field) = mask_of(&update.descriptor()) else { return };
    if update.has_field(&field) && !is_empty_mask(&field, &update.get_field(&field)) {
        return;
    }
    if let Some(mask) = update.get_field_mut(&field).as_message_mut() {
        mask.set_field_by_name("paths", Value::List(paths));
    }
}

/// The mask of an update, which names the fields to change.
pub(crate) fn mask_of(update: &MessageDescriptor) -> Option<FieldDescriptor> {
    let field = update.get_field_by_name("update_mask")?;
    matches!(field.kind(), Kind::Message(message) if is_mask(&message)).then_some(field)
}

/// Whether a value is a mask without names.
pub(crate) fn is_empty_mask(field: &FieldDescriptor, value: &Value) -> bool {
    let is_default = value.as_message().is_some_and(|mask| mask.fields().next().is_none());
    is_default && matches!(field.kind(), Kind::Message(message) if is_mask(&message))
}

/// The one message that an update has beside its mask.
pub(crate) fn resource_of(update: &MessageDescriptor) -> Option<FieldDescriptor> {
    mask_of(update)?;
    update.fields().find(|field| !field.is_list() && !field.is_map() && is_plain_message(field))
}

/// Whether an update can change the field. An update may still send fields that only the server writes, and the etag
/// that the resource was read with.
pub(crate) fn is_settable(field: &FieldDescriptor) -> bool {
    field.name() != "etag" && !has_behavior(field, "OUTPUT_ONLY")
}
