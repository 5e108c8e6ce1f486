//! Limits the number of items in the lists of a request. Items are counted in the request's bytes, before a message is
//! made of them: an item of two bytes takes hundreds in memory.

use std::collections::HashMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::wire::Fields;
use crate::catalog::error::Violation;

/// The limit where the contract names none.
const MOST_ITEMS: usize = 1_000;

/// The most names in a mask.
pub(super) const MOST_PATHS: usize = 100;

/// The most items of a list in a request.
pub(super) fn most_items(list: &FieldDescriptor) -> usize {
    if list.parent_message().full_name() == "google.protobuf.FieldMask" {
        return MOST_PATHS;
    }
    said(list).unwrap_or(MOST_ITEMS)
}

/// The limit that the contract names for the list.
pub(super) fn said(list: &FieldDescriptor) -> Option<usize> {
    let most =
        list.parent_message().parent_pool().get_extension_by_name("customersettings.v1.most")?;
    let options = list.options();
    let most = options.has_extension(&most).then(|| options.get_extension(&most))?;
    most.as_u32().and_then(|most| usize::try_from(most).ok())
}

/// The error of a list that is too long.
pub(super) fn too_many(list: &str, most: usize) -> Violation {
    Violation::new(list, "OUT_OF_RANGE", format!("must have at most {most} items, and has more"))
}

/// The lists of a message, and of the messages within it.
pub(super) struct Lists(HashMap<u32, Field>);

/// A field that is a list, or holds one.
struct Field {
    name: String,
    /// For a list, its limit.
    most: Option<usize>,
    within: Lists,
}

/// The number of items in each field so far.
#[derive(Default)]
struct Counts(HashMap<u32, Count>);

#[derive(Default)]
struct Count {
    items: usize,
    /// For a message that is no list: several parts of the same message are read as one, so they share the counts.
    within: Counts,
}

struct TooLong {
    path: String,
    most: usize,
}

impl Lists {
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        Self::within(message, &mut vec![])
    }

    fn within(message: &MessageDescriptor, above: &mut Vec<MessageDescriptor>) -> Self {
        above.push(message.clone());
        let mut fields = HashMap::new();
        for field in message.fields() {
            let within = match field.kind() {
                Kind::Message(inner) if !above.contains(&inner) => Self::within(&inner, above),
                _ => Self(HashMap::new()),
            };
            let most = (field.is_list() || field.is_map()).then(|| most_items(&field));
            if most.is_some() || !within.0.is_empty() {
                let name = field.name().to_owned();
                fields.insert(field.number(), Field { name, most, within });
            }
        }
        above.pop();
        Self(fields)
    }

    /// Refuses a message with a list that is too long. A damaged message passes, and is refused when it is decoded.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), Violation> {
        let counted = self.count(message, &mut Counts::default());
        counted.map_err(|TooLong { path, most }| too_many(&path, most))
    }

    fn count(&self, message: &[u8], counts: &mut Counts) -> Result<(), TooLong> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut fields = Fields::of(message);
        while let Some(Some((number, part))) = fields.next() {
            let Some(field) = self.0.get(&number) else { continue };
            let count = counts.0.entry(number).or_default();
            count.items += 1;
            if let Some(most) = field.most.filter(|most| count.items > *most) {
                return Err(TooLong { path: field.name.clone(), most });
            }
            let Some(bytes) = part.bytes() else { continue };
            let counted = match field.most {
                Some(_) => field.within.count(bytes, &mut Counts::default()),
                None => field.within.count(bytes, &mut count.within),
            };
            counted.map_err(|TooLong { path, most }| TooLong {
                path: match field.most {
                    Some(_) => format!("{}[{}].{path}", field.name, count.items - 1),
                    None => format!("{}.{path}", field.name),
                },
                most,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use customer_settings_contract::descriptors;

    use super::*;

    fn check(request: &str, message: &[u8]) -> Option<String> {
        let request = descriptors().get_message_by_name(&format!("customersettings.v1.{request}"));
        Lists::of(&request.unwrap()).check(message).err().map(|violation| violation.to_string())
    }

    /// A field of up to 127 bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    #[test]
    fn items_are_counted_wherever_they_are_and_nothing_is_looked_at_behind_the_most() {
        let damaged = [0xff];
        let batch = |count: usize| [field(2, &[]).repeat(count), damaged.to_vec()].concat();
        assert_eq!(check("BatchChangeEntriesRequest", &batch(1_000)), None);
        let refused = check("BatchChangeEntriesRequest", &batch(1_001)).unwrap();
        assert_eq!(refused, "changes must have at most 1000 items, and has more");
        // Several parts of the same message are joined.
        let half = field(2, &[]);
        let mut mask = vec![];
        for _ in 0..3 {
            mask.extend(field(5, &field(1, &[]).repeat(34)));
        }
        let update = [field(3, b"id"), mask].concat();
        let refused = check("UpdateEntryRequest", &update);
        assert_eq!(refused.unwrap(), "update_mask.paths must have at most 100 items, and has more");
        let reorder = field(6, &field(3, b"").repeat(60));
        assert_eq!(check("BatchChangeEntriesRequest", &[half, field(2, &reorder)].concat()), None);
    }

    #[test]
    fn every_list_of_a_request_says_how_long_it_may_be() {
        fn add(message: &MessageDescriptor, silent: &mut Vec<String>) {
            for field in message.fields() {
                if field.is_list() && said(&field).is_none() {
                    silent.push(field.full_name().to_owned());
                }
                if let Kind::Message(inner) = field.kind() {
                    add(&inner, silent);
                }
            }
        }
        let mut silent = vec![];
        for service in descriptors().services() {
            for method in service.methods() {
                add(&method.input(), &mut silent);
            }
        }
        silent.retain(|field| field != "google.protobuf.FieldMask.paths");
        assert!(silent.is_empty(), "{silent:?}");
    }
}
