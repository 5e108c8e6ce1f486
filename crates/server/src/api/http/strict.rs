//! Requests of strict services: every name must be known, and a field that is not of the body's message may stand
//! in the query or in the body, so that none is lost because it stood in the wrong place.
//!
//! Knows descriptors and values, and nothing of HTTP but that GET has no body.

use std::collections::{BTreeMap, HashSet};

use http::Method;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::{Map, Value as Json, json};

use super::{
    json, masks, query,
    request::{Unreadable, holder},
    routes::{Binding, BodyRule, FieldPath, field_by_any_name},
};
use crate::{
    api::status::quoted,
    catalog::{
        error::{Error, Violation},
        near::nearest,
    },
};

/// An error explains no more unknown keys than this, and counts the others.
const MOST_EXPLAINED: usize = 5;

/// Names are listed where there are no more than this.
const MOST_LISTED: usize = 24;

/// Puts body and query together.
pub(crate) fn message(
    binding: &Binding,
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, Unreadable> {
    let mut values = query_values(binding, query)?;
    let mut json = request_json(binding, body)?;
    let input = binding.rpc.input();
    // A mask without names is none, there as everywhere.
    values.retain(|_, (path, value)| !masks::is_empty_mask(path.leaf(), value));
    masks::fill_within(&input, &mut json);
    let has_mask = masks::mask_of(&input).is_some_and(|mask| values.contains_key(mask.name()));
    if let Some(request) = json.as_object_mut()
        && binding.method == Method::PATCH
        && !has_mask
    {
        masks::fill(&input, request);
    }
    let mut message = json::read_parsed(&input, &json)?;
    for (path, value) in values.into_values() {
        add(&mut message, &json, &path, value)?;
    }
    Ok(message)
}

/// The request as JSON, as far as the body has it, with known names only.
fn request_json(binding: &Binding, body: &[u8]) -> Result<Json, Unreadable> {
    if body.trim_ascii().is_empty() {
        return Ok(json!({}));
    }
    if binding.method == Method::GET && matches!(binding.body, BodyRule::Nothing) {
        let problem = "must be empty, as GET takes query parameters: send the fields as these";
        return Err(Violation::new("body", "UNEXPECTED_BODY", problem).into());
    }
    let mut json = json::parse(body)?;
    if let BodyRule::Field(field) = &binding.body {
        if json.is_null() {
            let problem = "must be an object; null is none";
            return Err(Violation::new(field.name(), "INVALID_VALUE", problem).into());
        }
        json = around_field(field, json)?;
    }
    let mut names = Names { binding, violations: vec![] };
    names.message(&binding.rpc.input(), &mut json, "");
    match names.violations {
        violations if violations.is_empty() => Ok(json),
        violations => Err(Unreadable::Field(Error::Invalid(violations))),
    }
}

/// Makes a body that is one field of the request to the request's JSON. Keys that the field's message lacks and the
/// request has go to the request.
fn around_field(field: &FieldDescriptor, mut json: Json) -> Result<Json, Violation> {
    let mut request = Map::new();
    if let (Kind::Message(inner), Some(keys)) = (field.kind(), json.as_object_mut())
        && query::is_plain_message(field)
    {
        let of_request = |key: &String| match field_by_any_name(field.parent_message(), key) {
            Some(found) if field_by_any_name(&inner, key).is_none() => Some((key.clone(), found)),
            _ => None,
        };
        let moved: Vec<_> = keys.keys().filter_map(of_request).collect();
        for (key, found) in moved {
            if found == *field {
                let problem = "is the body itself: send its fields without this key around them";
                return Err(Violation::new(field.name(), "NESTED_BODY", problem));
            }
            let value = keys.shift_remove(&key);
            request.extend(value.map(|value| (key, value)));
        }
    }
    request.insert(field.json_name().to_owned(), json);
    Ok(request.into())
}

/// Looks at every key of a request.
struct Names<'a> {
    binding: &'a Binding,
    violations: Vec<Violation>,
}

impl Names<'_> {
    fn refuse(&mut self, path: &str, reason: &'static str, problem: impl Into<String>) {
        self.violations.push(Violation::new(&quoted(path), reason, problem));
    }

    /// What is no object is left to the reader, which says what it must be.
    fn message(&mut self, message: &MessageDescriptor, json: &mut Json, path: &str) {
        let Some(object) = json.as_object_mut() else { return };
        let mut seen = HashSet::new();
        for (key, value) in object {
            let Some(field) = field_by_any_name(message, key) else {
                let problem = match self.violations.len() < MOST_EXPLAINED {
                    true => unknown(key, &self.known(message, path)),
                    false => "is unknown".to_owned(),
                };
                self.refuse(&within(path, key), "UNKNOWN_FIELD", problem);
                continue;
            };
            let path = within(path, field.name());
            if !seen.insert(field.number()) {
                let problem = "is given in both spellings: send it once";
                self.refuse(&path, "CONFLICTING_VALUES", problem);
            }
            self.field(&field, value, &path);
        }
    }

    fn field(&mut self, field: &FieldDescriptor, json: &mut Json, path: &str) {
        let Kind::Message(message) = field.kind() else { return };
        match json {
            Json::Object(entries) if field.is_map() => {
                if let Kind::Message(message) = message.map_entry_value_field().kind() {
                    for (key, value) in entries {
                        self.value(&message, value, &within(path, key));
                    }
                }
            }
            Json::Array(items) if field.is_list() => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.value(&message, item, &format!("{path}[{i}]"));
                }
            }
            json => self.value(&message, json, path),
        }
    }

    fn value(&mut self, message: &MessageDescriptor, json: &mut Json, path: &str) {
        match json {
            Json::String(text) if json::is_mask(message) => *text = json::mask(text),
            // Well-known types have keys of their own, or any.
            _ if message.full_name().starts_with("google.protobuf.") => {}
            json => self.message(message, json, path),
        }
    }

    /// The names that an object may have there: in a body that is one field, those of the request too.
    fn known(&self, message: &MessageDescriptor, path: &str) -> Vec<String> {
        let mut known: Vec<String> =
            message.fields().map(|field| field.json_name().to_owned()).collect();
        if let BodyRule::Field(body) = &self.binding.body
            && body.name() == path
        {
            let in_path = |field: &FieldDescriptor| {
                self.binding.variables.iter().any(|path| path.0[0] == *field)
            };
            let beside = body.parent_message().fields().filter(|field| field != body);
            for field in beside.filter(|field| !in_path(field)) {
                if field_by_any_name(message, field.json_name()).is_none() {
                    known.push(field.json_name().to_owned());
                }
            }
        }
        known
    }
}

fn within(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What the query sets, by name.
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

/// Sets a field as the query has it; a body that has another value is refused.
fn add(
    message: &mut DynamicMessage,
    body: &Json,
    path: &FieldPath,
    value: Value,
) -> Result<(), Violation> {
    let leaf = path.leaf();
    let holder = holder(message, path);
    if is_given(body, path) && *holder.get_field(leaf) != value {
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

/// Whether JSON gives the field, be it with its default value.
fn is_given(json: &Json, path: &FieldPath) -> bool {
    let found = path.0.iter().try_fold(json, |json, field| {
        json.get(field.json_name()).or_else(|| json.get(field.name()))
    });
    found.is_some_and(|value| !value.is_null())
}

/// Says that a name is unknown, with the nearest one there is, or with all there are if these are few.
fn unknown(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("is unknown; did you mean {near}?"),
        None if known.is_empty() || known.len() > MOST_LISTED => "is unknown".to_owned(),
        None => format!("is unknown; there are {}", known.join(", ")),
    }
}
