//! Query parameters: the fields that they may set, and their text as values.
//!
//! This file knows of bodies and paths only which fields they set.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{
    routes::{Binding, BodyRule},
    template::decode,
};
use crate::{
    api::json::{
        self,
        fields::{FieldPath, is_plain_message},
        values,
    },
    catalog::error::Violation,
};

/// The parameters of a query: names decoded, values still encoded.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = Result<(String, &str), Violation>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(&name.replace('+', " "), false).ok_or_else(|| not_text("query"))?;
        Ok((name, text))
    })
}

/// The value of a parameter for this field, or for an item of it.
pub(crate) fn read(path: &FieldPath, text: &str) -> Result<Value, Violation> {
    let name = path.name();
    let decoded = decode(&text.replace('+', " "), false).ok_or_else(|| not_text(&name))?;
    values::read_text(path.leaf(), &decoded).map_err(|problem| {
        // Of 10:00+02:00 the time would be left with a blank.
        let hint = if text.contains('+') {
            "; a + in a query means a blank, so write %2B for it"
        } else {
            ""
        };
        Violation::new(&name, "INVALID_VALUE", format!("in the query {problem}{hint}"))
    })
}

pub(crate) fn not_text(field: &str) -> Violation {
    Violation::new(field, "MALFORMED_ENCODING", "must be percent-encoded UTF-8")
}

/// The field that a parameter of this name sets. The field must have a text form, and must not belong to the body.
pub(crate) fn field(binding: &Binding, name: &str) -> Option<FieldPath> {
    // A message that refers to itself would allow paths as deep as an address is long.
    FieldPath::find(&binding.rpc.input(), name)
        .filter(|path| path.0.len() <= json::MAX_DEPTH && !is_of_body(binding, &path.0[0]))
        .filter(|path| path.0[..path.0.len() - 1].iter().all(is_plain_message))
        .filter(|path| values::takes_text(path.leaf()))
}

/// Whether only the body may set a field of the request. In strict services, a query may add fields to a body
/// that is the whole request.
fn is_of_body(binding: &Binding, field: &FieldDescriptor) -> bool {
    match &binding.body {
        BodyRule::Nothing => false,
        BodyRule::Whole => binding.ignores_unknown,
        BodyRule::Field(body) => body == field,
    }
}

/// Every field that a query may set, also those of messages within it. Recursion ends at a message that contains
/// itself. The fields of the path are not among them.
pub(crate) fn fields(binding: &Binding) -> Vec<FieldPath> {
    let mut found = vec![];
    add_fields(&binding.rpc.input(), &mut vec![], &mut found);
    let in_path =
        |path: &FieldPath| binding.variables.iter().any(|variable| variable.name() == path.name());
    found.retain(|path| !is_of_body(binding, &path.0[0]) && !in_path(path));
    found
}

fn add_fields(
    message: &MessageDescriptor,
    above: &mut Vec<FieldDescriptor>,
    found: &mut Vec<FieldPath>,
) {
    let on_the_way: Vec<MessageDescriptor> =
        above.iter().map(|field| field.parent_message().clone()).collect();
    for field in message.fields() {
        above.push(field.clone());
        match field.kind() {
            _ if values::takes_text(&field) => found.push(FieldPath(above.clone())),
            Kind::Message(inner)
                if !field.is_list()
                    && !field.is_map()
                    && is_plain_message(&field)
                    && inner != *message
                    && !on_the_way.contains(&inner) =>
            {
                add_fields(&inner, above, found);
            }
            _ => {}
        }
        above.pop();
    }
}
