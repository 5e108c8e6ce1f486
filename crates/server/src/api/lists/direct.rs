//! Writes JSON directly from a message's bytes, for the lists that are made again after every write.
//!
//! The bytes are those that `json::write` makes by reflection. This file supports only the kinds of
//! fields that the lists have.

use prost::Message as _;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::api::wire::{Fields, Part};

/// The fields of a message, read from its descriptor once.
#[derive(Debug)]
pub(crate) struct DirectJson {
    /// In the contract's order.
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    number: u32,
    /// With quotation marks and colon.
    name: String,
    kind: FieldKind,
}

#[derive(Debug)]
enum FieldKind {
    Text,
    Flag,
    /// Left out if it is not set.
    Time,
    List(DirectJson),
}

impl DirectJson {
    /// `None` if the message has a field of another kind.
    pub(crate) fn new(message: &MessageDescriptor) -> Option<Self> {
        let field = |field: FieldDescriptor| {
            let kind = match field.kind() {
                Kind::String if !field.is_list() && !field.supports_presence() => FieldKind::Text,
                Kind::Bool if !field.is_list() && !field.supports_presence() => FieldKind::Flag,
                Kind::Message(time)
                    if time.full_name() == "google.protobuf.Timestamp" && !field.is_list() =>
                {
                    FieldKind::Time
                }
                Kind::Message(message) if field.is_list() => FieldKind::List(Self::new(&message)?),
                _ => return None,
            };
            let name = format!("{}:", serde_json::Value::from(field.json_name()));
            Some(Field { number: field.number(), name, kind })
        };
        Some(Self { fields: message.fields().map(field).collect::<Option<_>>()? })
    }

    /// Writes the message; `None` if the bytes are damaged.
    pub(crate) fn write(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut json = Vec::with_capacity(message.len() * 5 / 2);
        self.append(message, &mut json)?;
        Some(json)
    }

    fn append(&self, message: &[u8], json: &mut Vec<u8>) -> Option<()> {
        json.push(b'{');
        let start = json.len();
        for field in &self.fields {
            let before = json.len();
            if before > start {
                json.push(b',');
            }
            json.extend_from_slice(field.name.as_bytes());
            if !field.append(message, json)? {
                json.truncate(before);
            }
        }
        json.push(b'}');
        Some(())
    }
}

impl Field {
    /// Returns whether there was a value to write; `None` if the bytes are damaged.
    fn append(&self, message: &[u8], json: &mut Vec<u8>) -> Option<bool> {
        let mut values = Values { fields: Fields::of(message), number: self.number };
        match &self.kind {
            FieldKind::List(entries) => {
                json.push(b'[');
                let start = json.len();
                while let Some(value) = values.next()? {
                    if json.len() > start {
                        json.push(b',');
                    }
                    entries.append(value.bytes()?, json)?;
                }
                json.push(b']');
            }
            FieldKind::Text => {
                let bytes = values.last()?.map_or(Some(&[][..]), |value| value.bytes())?;
                serde_json::to_writer(json, std::str::from_utf8(bytes).ok()?).ok()?;
            }
            FieldKind::Flag => {
                let is_set = matches!(values.last()?, Some(Part::Number(number)) if number != 0);
                json.extend_from_slice(if is_set { b"true" } else { b"false" });
            }
            FieldKind::Time => {
                let Some(value) = values.last()? else { return Some(false) };
                let time = prost_types::Timestamp::decode(value.bytes()?).ok()?;
                serde_json::to_writer(json, &time.to_string()).ok()?;
            }
        }
        Some(true)
    }
}

/// The values of one field, in the order of the bytes.
struct Values<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Values<'a> {
    /// `None` if the bytes are damaged.
    fn next(&mut self) -> Option<Option<Part<'a>>> {
        while let Some((number, part)) = self.fields.next()? {
            if number == self.number {
                return Some(Some(part));
            }
        }
        Some(None)
    }

    /// The value of a field that is no list: the last one counts.
    fn last(mut self) -> Option<Option<Part<'a>>> {
        let mut last = None;
        while let Some(part) = self.next()? {
            last = Some(part);
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use customer_settings_contract::moego::business::setting::v1::{
        CustomerTag, LifeCycle, ListCustomerTagsResponse, ListLeadsLifeCyclesResponse,
    };
    use proptest::prelude::*;
    use prost_reflect::DynamicMessage;

    use customer_settings_contract::descriptors;

    use super::*;
    use crate::api::json;

    fn descriptor(name: &str) -> MessageDescriptor {
        let name = format!("moego.business.setting.v1.{name}");
        descriptors().get_message_by_name(&name).unwrap()
    }

    fn same_as_reflection(name: &str, message: &impl prost::Message) {
        let bytes = message.encode_to_vec();
        let direct = DirectJson::new(&descriptor(name)).unwrap().write(&bytes).unwrap();
        let message = DynamicMessage::decode(descriptor(name), bytes.as_slice()).unwrap();
        let reflected = json::write(&message, None).unwrap();
        assert_eq!(String::from_utf8(direct), String::from_utf8(reflected));
    }

    proptest! {
        #[test]
        fn tags_are_written_as_by_reflection(
            texts in proptest::collection::vec((any::<String>(), any::<String>()), 0..5),
            seconds in proptest::option::of(-62_135_596_800_i64..253_402_300_799),
            nanos in prop_oneof![Just(0), Just(120_000_000), Just(120_034_000), 0..999_999_999],
        ) {
            let last_updated_time = seconds.map(|seconds| prost_types::Timestamp { seconds, nanos });
            let tag = |(id, name): (String, String)| CustomerTag {
                last_updated_by: id.chars().rev().collect(), id, name, last_updated_time,
            };
            let tags = texts.into_iter().map(tag).collect();
            same_as_reflection("ListCustomerTagsResponse", &ListCustomerTagsResponse { tags });
        }
    }

    #[test]
    fn flags_are_written_as_by_reflection() {
        let cycle =
            |is_default| LifeCycle { id: "lc_001".into(), name: "\u{1f43e}".into(), is_default };
        let life_cycles = vec![cycle(true), cycle(false), LifeCycle::default()];
        let list = ListLeadsLifeCyclesResponse { life_cycles };
        same_as_reflection("ListLeadsLifeCyclesResponse", &list);
    }

    #[test]
    fn damaged_bytes_and_other_kinds_are_told() {
        let tags = DirectJson::new(&descriptor("ListCustomerTagsResponse")).unwrap();
        for damaged in [&b"\x0a\x05ab"[..], b"\x0a", b"\xff", b"\x08\x01\x0a\x02\x0a\xff"] {
            assert_eq!(tags.write(damaged), None, "{damaged:?}");
        }
        let company =
            descriptors().get_message_by_name("moego.business.company.v1.Company").unwrap();
        assert!(DirectJson::new(&company).is_none());
    }
}
