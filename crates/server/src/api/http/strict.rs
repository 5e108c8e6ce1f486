//! Requests of strict services. Every name must be known. A field outside the body's message may stand in the query or
//! in the body, so that no field is lost because it stood in the wrong place.
//!
//! This file knows descriptors and values, and of HTTP only that GET has no body.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use super::{
    query,
    request::{Unreadable, holder},
    routes::{Binding, BodyRule},
};
use crate::{
    api::{
        json::{
            self,
            fields::FieldPath,
            masks,
            reader::{Read, Reading, unknown},
        },
        openapi::request_headers,
    },
    catalog::error::Violation,
    status::quoted,
};

/// Joins body and query.
pub(crate) fn message(
    binding: &Binding,
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, Unreadable> {
    let mut values = query_values(binding, query)?;
    // A mask without names counts as no mask, like everywhere.
    values.retain(|_, (path, value)| !masks::is_empty_mask(path.leaf(), value));
    let mask = masks::mask_of(&binding.rpc.input());
    let has_mask = mask.is_some_and(|mask| values.contains_key(mask.name()));
    let Read { mut message, given } = read_body(binding, body, !has_mask)?;
    for (path, value) in values.into_values() {
        add(&mut message, &given, &path, value)?;
    }
    Ok(message)
}

/// Reads the request's body, in which every name must be known.
fn read_body(binding: &Binding, body: &[u8], fills_mask: bool) -> Result<Read, Unreadable> {
    let input = binding.rpc.input();
    if body.trim_ascii().is_empty() {
        return Ok(Read { message: DynamicMessage::new(input), given: BTreeSet::new() });
    }
    if binding.method == Method::GET && matches!(binding.body, BodyRule::Nothing) {
        let problem = "must be empty, as GET takes query parameters: send the fields as these";
        return Err(Violation::new("body", "UNEXPECTED_BODY", problem).into());
    }
    let how = Reading {
        is_strict: true,
        only: match &binding.body {
            BodyRule::Field(field) => Some(field),
            BodyRule::Nothing | BodyRule::Whole => None,
        },
        elsewhere: &binding.variables,
        fills_mask: fills_mask && binding.method == Method::PATCH,
    };
    Ok(json::read(&how, &input, body)?)
}

/// The fields that the query sets, by name.
fn query_values(
    binding: &Binding,
    query: &str,
) -> Result<BTreeMap<String, (FieldPath, Value)>, Violation> {
    let mut values: BTreeMap<String, (FieldPath, Value)> = BTreeMap::new();
    for pair in query::pairs(query) {
        let (name, text) = pair?;
        let path = query::field(binding, &name).ok_or_else(|| unknown_parameter(binding, &name))?;
        let value = query::read(&path, text)?;
        let is_list = path.leaf().is_list();
        match values.get_mut(&path.name()) {
            Some((_, Value::List(items))) if is_list => items.push(value),
            Some((_, known)) if *known == value => {}
            Some(_) => {
                let problem = "has several values in the query: send one";
                return Err(Violation::new(&path.name(), "CONFLICTING_VALUES", problem));
            }
            None => {
                let value = if is_list { Value::List(vec![value]) } else { value };
                values.insert(path.name(), (path, value));
            }
        }
    }
    Ok(values)
}

fn unknown_parameter(binding: &Binding, name: &str) -> Violation {
    let input = binding.rpc.input();
    let in_body = |body: &FieldDescriptor| match body.kind() {
        Kind::Message(inner) => FieldPath::find(&inner, name).is_some(),
        _ => false,
    };
    if name == "etag" && FieldPath::find(&input, name).is_none() {
        return idle_etag(binding);
    }
    if let Some(header) = header_named(name) {
        let problem = format!("is a header: send it as '{header}: …', and not in the query");
        return Violation::new(&quoted(name), "UNKNOWN_FIELD", problem);
    }
    let problem = match (&binding.body, FieldPath::find(&input, name)) {
        (BodyRule::Field(body), Some(path)) if path.0[0] == *body => {
            "belongs into the body, not into the query".to_owned()
        }
        (BodyRule::Field(body), None) if in_body(body) => {
            "belongs into the body, not into the query".to_owned()
        }
        (_, Some(_)) => "cannot be written as text, as query parameters are".to_owned(),
        _ => {
            let known: Vec<String> =
                query::fields(binding).iter().map(FieldPath::json_name).collect();
            unknown(name, &known)
        }
    };
    Violation::new(&quoted(name), "UNKNOWN_FIELD", problem)
}

/// The header of requests that a parameter has the name of.
fn header_named(name: &str) -> Option<&'static str> {
    let plain = name.replace(['_', '-'], "");
    let is_it = |header: &&str| header.replace('-', "").eq_ignore_ascii_case(&plain);
    request_headers().into_iter().find(is_it)
}

/// The refusal of an etag in the query of a method that takes none.
fn idle_etag(binding: &Binding) -> Violation {
    let (reason, problem) = match (&binding.method, &binding.body) {
        (&Method::GET, _) => (
            "UNKNOWN_FIELD",
            "has no effect on a read: send the ETag of an earlier answer as If-None-Match",
        ),
        (_, BodyRule::Field(_)) => {
            ("NO_ETAG_YET", "must be left out, as what is to be made has no etag yet")
        }
        _ => ("UNKNOWN_FIELD", "is not taken by this method: leave it out"),
    };
    Violation::new("etag", reason, problem)
}

/// Sets a field of the query. A body with another value for it is refused.
fn add(
    message: &mut DynamicMessage,
    given: &BTreeSet<String>,
    path: &FieldPath,
    value: Value,
) -> Result<(), Violation> {
    let leaf = path.leaf();
    let holder = holder(message, path);
    if given.contains(&path.name()) && *holder.get_field(leaf) != value {
        let problem = "has one value in the query and another one in the body: send it once";
        return Err(Violation::new(&path.name(), "CONFLICTING_VALUES", problem));
    }
    let other = leaf
        .containing_oneof()
        .and_then(|choice| choice.fields().find(|field| field != leaf && holder.has_field(field)));
    if let Some(other) = other {
        let problem = format!("excludes {}: send one of them", other.json_name());
        return Err(Violation::new(&path.name(), "CONFLICTING_VALUES", problem));
    }
    holder.set_field(leaf, value);
    Ok(())
}
