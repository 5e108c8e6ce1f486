//! The use cases, one file per group. This module knows no protocol, no SQL and no header.

pub mod companies;
pub mod copy;
pub mod document;
pub mod history;
pub mod keys;
pub mod load;
pub mod long_work;
pub mod old_states;
pub mod plans;
mod queues;
pub mod settings;
pub mod snapshot;
pub mod verify;
pub mod vocabularies;
pub mod writing;

/// How many rows or lines a request for a page looks at, to find those that it wants and may show.
const MOST_LOOKED_AT: u32 = 2_000;

/// A new id such as `tag_01h455vb4pex5vsknk084sn02q`, which no other thing has. Ids sort by the time of their making.
pub(crate) fn new_id(prefix: &str) -> String {
    type_safe_id::DynamicType::new(prefix)
        .map(|kind| type_safe_id::TypeSafeId::new_with_type(kind).to_string())
        .unwrap_or_else(|error| unreachable!("prefixes are literals: {error}"))
}
