//! Reads a message from JSON by its descriptor, in one pass and without a tree. All errors are reported together, in
//! this project's words. Reading ends when there are too many.
//!
//! This file knows nothing of HTTP, and not where the JSON comes from.

mod place;
pub(super) mod tree;
mod visit;

use std::{borrow::Cow, collections::BTreeSet};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess},
};

use self::{
    place::{Place, ROOT, Step},
    visit::{At, Key, Shape},
};
use super::{
    fields::{FieldPath, field_by_any_name},
    masks,
    values::{self, Given},
};
use crate::{
    api::counts::too_many,
    catalog::{
        error::{MOST_VIOLATIONS, Violation},
        near::nearest,
    },
    status::quoted,
};

/// The most unknown keys that an error explains. It only names the others.
const MOST_EXPLAINED: usize = 5;

/// The most names that an error lists.
const MOST_LISTED: usize = 24;

/// Messages of which all fields must be given.
const WHOLE: [&str; 1] = ["google.type.LatLng"];

/// How JSON is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading<'a> {
    /// Whether unknown names and repeated keys are refused. Otherwise unknown names are ignored, and the last
    /// of repeated keys counts.
    pub(crate) is_strict: bool,
    /// The field of the message whose value the JSON is, if the JSON is not the whole message. With strict reading, the
    /// object may also have keys of the message.
    pub(crate) only: Option<&'a FieldDescriptor>,
    /// Fields that the message gets from other places. The names that an error lists do not include them.
    pub(crate) elsewhere: &'a [FieldPath],
    /// Whether the message itself, if it is an update without a mask, gets a mask of the fields that it has. With
    /// strict reading, updates within it always get one.
    pub(crate) fills_mask: bool,
}

/// A message that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) message: DynamicMessage,
    /// The fields that strict reading has found, by their names in violations. Fields within lists and
    /// maps are not included.
    pub(crate) given: BTreeSet<String>,
}

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum Failed<E> {
    /// Fields are wrong. All JSON was read.
    Fields(Vec<Violation>),
    /// Fields are wrong, and so many that the rest was not read.
    Enough(Vec<Violation>),
    /// The JSON could not be read to its end.
    Source(E),
}

impl Reading<'_> {
    pub(crate) fn read<'de, D: Deserializer<'de>>(
        &self,
        descriptor: &MessageDescriptor,
        from: D,
    ) -> Result<Read, Failed<D::Error>> {
        let mut reader =
            Reader { how: *self, problems: vec![], is_full: false, given: BTreeSet::new() };
        let read = reader.whole(descriptor, from);
        match read {
            Err(_) if reader.is_full => Err(Failed::Enough(reader.problems)),
            Err(error) => Err(Failed::Source(error)),
            Ok(message) if reader.problems.is_empty() => Ok(Read { message, given: reader.given }),
            Ok(_) => Err(Failed::Fields(reader.problems)),
        }
    }
}

/// An object while it is read.
struct Object<'p> {
    message: DynamicMessage,
    descriptor: MessageDescriptor,
    place: &'p Place<'p>,
    keys: Vec<GivenKey>,
    /// The fields that the object changes, if it is an update.
    paths: Vec<Value>,
}

/// A key of an object.
#[derive(Clone)]
struct GivenKey {
    field: FieldDescriptor,
    is_camel_case: bool,
    is_null: bool,
}

impl<'p> Object<'p> {
    fn new(descriptor: &MessageDescriptor, place: &'p Place<'p>) -> Self {
        let message = DynamicMessage::new(descriptor.clone());
        Self { message, descriptor: descriptor.clone(), place, keys: vec![], paths: vec![] }
    }
}

/// The value at a place.
enum Got {
    Null,
    /// The value is refused already.
    Wrong,
    Value(Value),
    /// A message, with the keys that it had.
    Message(DynamicMessage, Vec<GivenKey>),
}

struct Reader<'a> {
    how: Reading<'a>,
    problems: Vec<Violation>,
    is_full: bool,
    given: BTreeSet<String>,
}

impl Reader<'_> {
    fn whole<'de, D: Deserializer<'de>>(
        &mut self,
        descriptor: &MessageDescriptor,
        from: D,
    ) -> Result<DynamicMessage, D::Error> {
        let mut request = Object::new(descriptor, &ROOT);
        let Some(only) = self.how.only else {
            let kind = Kind::Message(descriptor.clone());
            let at = At { reader: self, shape: Shape::One, kind: &kind, place: &ROOT, outer: None };
            return match at.deserialize(from)? {
                Got::Message(message, _) => Ok(message),
                Got::Null => self.refuse_null(&kind, &ROOT).map(|()| request.message),
                Got::Wrong | Got::Value(_) => Ok(request.message),
            };
        };
        let place = Place::within(&ROOT, Step::Field(only.name()));
        let (shape, kind) = (Shape::of(only), only.kind());
        let outer = self.how.is_strict.then_some(&mut request);
        match (At { reader: self, shape, kind: &kind, place: &place, outer }).deserialize(from)? {
            Got::Null if self.how.is_strict => self.refuse_null(&kind, &place)?,
            got => self.put(&mut request, only, &place, got)?,
        }
        self.finished(request).map(|(message, _)| message)
    }

    /// Takes note of a problem, and ends reading if there are too many.
    fn refuse<E: Error>(
        &mut self,
        place: &Place<'_>,
        reason: &'static str,
        problem: impl Into<String>,
    ) -> Result<(), E> {
        if self.problems.len() == MOST_VIOLATIONS {
            let problem = Violation::and_more();
            let error = E::custom(&problem);
            self.problems.push(problem);
            self.is_full = true;
            return Err(error);
        }
        let name = place.name();
        let name = if name.is_empty() { Cow::Borrowed("body") } else { quoted(&name) };
        self.problems.push(Violation::new(&name, reason, problem));
        Ok(())
    }

    /// Refuses a list of too many items. No other error is reported then, and nothing more is read.
    fn too_many<E: Error>(&mut self, place: &Place<'_>, most: usize) -> E {
        let problem = too_many(&place.name(), most);
        let error = E::custom(&problem);
        self.problems = vec![problem];
        self.is_full = true;
        error
    }

    fn refuse_null<E: Error>(&mut self, kind: &Kind, at: &Place<'_>) -> Result<(), E> {
        self.refuse(at, "INVALID_VALUE", values::problem(kind, &Given::Null))
    }

    /// Reads an object. With `outer`, keys that its message lacks may belong to the outer message.
    fn object<'de, A: MapAccess<'de>>(
        &mut self,
        descriptor: &MessageDescriptor,
        place: &Place<'_>,
        mut outer: Option<&mut Object<'_>>,
        mut map: A,
    ) -> Result<(DynamicMessage, Vec<GivenKey>), A::Error> {
        let mut object = Object::new(descriptor, place);
        while let Some(key) = map.next_key_seed(Key)? {
            if let Some(field) = field_by_any_name(descriptor, &key) {
                self.entry(&mut object, &field, &key, &mut map)?;
                continue;
            }
            let of_outer = outer
                .as_deref_mut()
                .and_then(|outer| Some((field_by_any_name(&outer.descriptor, &key)?, outer)));
            match of_outer {
                Some((field, _)) if self.how.only == Some(&field) => {
                    let problem =
                        "is the body itself: send its fields without this key around them";
                    self.refuse(place, "NESTED_BODY", problem)?;
                }
                Some((field, outer)) => {
                    self.entry(outer, &field, &key, &mut map)?;
                    continue;
                }
                None if self.how.is_strict => self.unknown(&object, &key)?,
                None => {}
            }
            map.next_value::<IgnoredAny>()?;
        }
        self.finished(object)
    }

    fn entry<'de, A: MapAccess<'de>>(
        &mut self,
        object: &mut Object<'_>,
        field: &FieldDescriptor,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let place = Place::within(object.place, Step::Field(field.name()));
        let is_camel_case = key == field.json_name();
        let before = object.keys.iter().find(|key| key.field == *field);
        let is_new = before.is_none();
        if let Some(before) = before.filter(|_| self.how.is_strict) {
            let problem = match before.is_camel_case == is_camel_case {
                true => "is given twice: send it once",
                false => "is given in both spellings: send it once",
            };
            self.refuse(&place, "CONFLICTING_VALUES", problem)?;
        }
        let (shape, kind) = (Shape::of(field), field.kind());
        let at = At { reader: self, shape, kind: &kind, place: &place, outer: None };
        let got = map.next_value_seed(at)?;
        if is_new {
            let is_null = matches!(got, Got::Null);
            object.keys.push(GivenKey { field: field.clone(), is_camel_case, is_null });
        }
        self.put(object, field, &place, got)
    }

    /// Sets a field to its value.
    fn put<E: Error>(
        &mut self,
        object: &mut Object<'_>,
        field: &FieldDescriptor,
        place: &Place<'_>,
        got: Got,
    ) -> Result<(), E> {
        let value = match got {
            Got::Null | Got::Wrong => return Ok(()),
            Got::Value(value) => value,
            Got::Message(message, keys) => {
                if self.how.is_strict
                    && masks::resource_of(&object.descriptor).as_ref() == Some(field)
                {
                    let settable = keys.iter().filter(|key| masks::is_settable(&key.field));
                    object.paths =
                        settable.map(|key| Value::String(key.field.name().to_owned())).collect();
                }
                Value::Message(message)
            }
        };
        if self.how.is_strict && place.is_of_fields() {
            self.given.insert(place.name());
        }
        let other = field.containing_oneof().and_then(|choice| {
            choice.fields().find(|other| other != field && object.message.has_field(other))
        });
        if let Some(other) = other {
            let problem = format!("excludes {}: send one of them", other.json_name());
            self.refuse(place, "CONFLICTING_VALUES", problem)?;
        }
        object.message.set_field(field, value);
        Ok(())
    }

    /// The message of an object that was read to its end.
    fn finished<E: Error>(
        &mut self,
        mut object: Object<'_>,
    ) -> Result<(DynamicMessage, Vec<GivenKey>), E> {
        let is_whole = WHOLE.contains(&object.descriptor.full_name());
        let is_given = |field: &FieldDescriptor| {
            object.keys.iter().any(|key| key.field == *field && !key.is_null)
        };
        if is_whole {
            let missing: Vec<_> = object.descriptor.fields().filter(|f| !is_given(f)).collect();
            for field in missing {
                let names: Vec<_> =
                    object.descriptor.fields().map(|f| f.name().to_owned()).collect();
                let place = Place::within(object.place, Step::Field(field.name()));
                let (names, own) = (names.join(" and "), object.place.name());
                let own = own.rsplit('.').next().unwrap_or_default();
                let problem = format!("is missing: send both {names}, or leave {own} out");
                self.refuse(&place, "REQUIRED", problem)?;
            }
        }
        let fills = self.how.is_strict && (self.how.fills_mask || !object.place.is_root());
        if fills && !object.paths.is_empty() {
            masks::fill(&mut object.message, std::mem::take(&mut object.paths));
        }
        Ok((object.message, object.keys))
    }

    fn unknown<E: Error>(&mut self, object: &Object<'_>, key: &str) -> Result<(), E> {
        let problem = match self.problems.len() < MOST_EXPLAINED {
            true => unknown(key, &self.known(object)),
            false => "is unknown".to_owned(),
        };
        self.refuse(&Place::within(object.place, Step::Key(key)), "UNKNOWN_FIELD", problem)
    }

    /// The names that an object may have. If the object is the body's one field, the names of the message count too.
    fn known(&self, object: &Object<'_>) -> Vec<String> {
        let own = object.descriptor.fields();
        let mut known: Vec<String> = own.map(|field| field.json_name().to_owned()).collect();
        let is_body = object.place.above.is_some_and(Place::is_root);
        if let Some(only) = self.how.only.filter(|_| is_body) {
            let is_elsewhere =
                |field: &FieldDescriptor| self.how.elsewhere.iter().any(|path| path.0[0] == *field);
            let beside = only.parent_message().fields().filter(|field| field != only);
            for field in beside.filter(|field| !is_elsewhere(field)) {
                if field_by_any_name(&object.descriptor, field.json_name()).is_none() {
                    known.push(field.json_name().to_owned());
                }
            }
        }
        known
    }
}

/// The problem of an unknown name, with the nearest known name, or with all names if there are few.
pub(crate) fn unknown(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("is unknown; did you mean {near}?"),
        None if known.is_empty() || known.len() > MOST_LISTED => "is unknown".to_owned(),
        None => format!("is unknown; there are {}", known.join(", ")),
    }
}
