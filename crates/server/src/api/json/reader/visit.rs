//! The values of JSON in the order in which the parser finds them.

use std::{borrow::Cow, collections::HashMap, fmt};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Got, Object, Reader,
    place::{Place, Step},
    tree::Tree,
};
use crate::{
    api::{
        counts::{MOST_PATHS, most_items},
        json::values::{self, Given, expected, is_free, is_mask},
    },
    status::quoted,
};

/// A key. It is copied only if it has escapes.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Shape {
    One,
    /// At most so many items.
    List(usize),
    Map(usize),
}

impl Shape {
    pub(super) fn of(field: &FieldDescriptor) -> Self {
        match field {
            field if field.is_map() => Self::Map(most_items(field)),
            field if field.is_list() => Self::List(most_items(field)),
            _ => Self::One,
        }
    }
}

/// A value that is to be read.
pub(super) struct At<'s, 'a, 'p> {
    pub(super) reader: &'s mut Reader<'a>,
    pub(super) shape: Shape,
    pub(super) kind: &'s Kind,
    pub(super) place: &'s Place<'s>,
    pub(super) outer: Option<&'s mut Object<'p>>,
}

impl At<'_, '_, '_> {
    fn one<E: Error>(self, given: Given<'_>) -> Result<Got, E> {
        if let (Shape::One, Kind::Message(message), Given::Text(names)) =
            (self.shape, self.kind, given)
            && is_mask(message)
            && names.split(',').nth(MOST_PATHS).is_some()
        {
            let place = Place::within(self.place, Step::Field("paths"));
            return Err(self.reader.too_many(&place, MOST_PATHS));
        }
        let read = match self.shape {
            Shape::One => values::read(self.kind, &given),
            Shape::List(_) | Shape::Map(_) => None,
        };
        match read {
            Some(value) => Ok(Got::Value(value)),
            None => self.wrong(&given),
        }
    }

    fn wrong<E: Error>(self, given: &Given<'_>) -> Result<Got, E> {
        let problem = match self.shape {
            Shape::One => values::problem(self.kind, given),
            Shape::List(_) => format!("must be a list, not {given}"),
            Shape::Map(_) => format!("must be an object, not {given}"),
        };
        self.reader.refuse(self.place, "INVALID_VALUE", problem)?;
        Ok(Got::Wrong)
    }

    /// Reads a value that may be anything.
    fn free<'de, D: Deserializer<'de>>(
        self,
        message: &MessageDescriptor,
        from: D,
    ) -> Result<Got, D::Error> {
        let mut twice = None;
        let json = Tree(&mut twice).deserialize(from)?;
        if let Some(key) = twice.filter(|_| self.reader.how.is_strict) {
            let problem = format!("has the key '{}' twice: send it once", quoted(&key));
            self.reader.refuse(self.place, "CONFLICTING_VALUES", problem)?;
            return Ok(Got::Wrong);
        }
        if json.is_null() && message.full_name() != "google.protobuf.Value" {
            return Ok(Got::Null);
        }
        match DynamicMessage::deserialize(message.clone(), &json) {
            Ok(message) => Ok(Got::Value(Value::Message(message))),
            Err(_) => self.wrong(&Given::of(&json)),
        }
    }

    fn item<E: Error>(
        reader: &mut Reader<'_>,
        kind: &Kind,
        place: &Place<'_>,
        got: Got,
    ) -> Result<Option<Value>, E> {
        match got {
            Got::Value(value) => Ok(Some(value)),
            Got::Message(message, _) => Ok(Some(Value::Message(message))),
            Got::Wrong => Ok(None),
            Got::Null => reader.refuse_null(kind, place).map(|()| None),
        }
    }

    fn map<'de, A: MapAccess<'de>>(self, most: usize, mut entries: A) -> Result<Got, A::Error> {
        let Kind::Message(entry) = self.kind else { unreachable!("a map has entries") };
        let (key_kind, kind) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        while let Some(text) = entries.next_key_seed(Key)? {
            if map.len() == most {
                return Err(self.reader.too_many(self.place, most));
            }
            let place = Place::within(self.place, Step::Key(&text));
            let Some(key) = map_key(&key_kind, &text) else {
                let problem = format!("has a key that must be {}", expected(&key_kind));
                self.reader.refuse(&place, "INVALID_VALUE", problem)?;
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if map.contains_key(&key) && self.reader.how.is_strict {
                let problem = "is given twice: send it once";
                self.reader.refuse(&place, "CONFLICTING_VALUES", problem)?;
            }
            let shape = Shape::One;
            let at = At { reader: self.reader, shape, kind: &kind, place: &place, outer: None };
            let got = entries.next_value_seed(at)?;
            if let Some(value) = Self::item(self.reader, &kind, &place, got)? {
                map.insert(key, value);
            }
        }
        Ok(Got::Value(Value::Map(map)))
    }
}

fn map_key(kind: &Kind, text: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::Bool => MapKey::Bool(text.parse().ok()?),
        Kind::String => MapKey::String(text.to_owned()),
        kind => values::read(kind, &Given::Text(text))?.into_map_key()?,
    })
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, '_> {
    type Value = Got;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Got, D::Error> {
        match (self.shape, self.kind) {
            (Shape::One, Kind::Message(message)) if is_free(message) => self.free(message, from),
            _ => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_, '_, '_> {
    type Value = Got;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Got, E> {
        Ok(Got::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Got, E> {
        self.one(Given::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Got, E> {
        self.one(Given::Whole(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Got, E> {
        self.one(Given::Whole(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Got, E> {
        self.one(Given::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Got, E> {
        self.one(Given::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Got, A::Error> {
        let Shape::List(most) = self.shape else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return self.wrong(&Given::List);
        };
        let mut list = vec![];
        for index in 0.. {
            if index == most {
                // Nothing behind the last allowed item is looked at.
                if items.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                return Err(self.reader.too_many(self.place, most));
            }
            let place = Place::within(self.place, Step::Index(index));
            let (reader, kind, shape) = (&mut *self.reader, self.kind, Shape::One);
            let at = At { reader, shape, kind, place: &place, outer: None };
            let Some(got) = items.next_element_seed(at)? else { break };
            list.extend(Self::item(self.reader, kind, &place, got)?);
        }
        Ok(Got::Value(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Got, A::Error> {
        match (self.shape, self.kind) {
            (Shape::Map(most), _) => self.map(most, map),
            (Shape::One, Kind::Message(message))
                if !message.full_name().starts_with("google.protobuf.") =>
            {
                let (message, keys) = self.reader.object(message, self.place, self.outer, map)?;
                Ok(Got::Message(message, keys))
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                self.wrong(&Given::Object)
            }
        }
    }
}
