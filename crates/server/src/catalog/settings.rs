//! The whole of one company at one revision, and the names of its parts.

use std::fmt;

use super::{
    company::{Business, Company},
    entry::{Catalog, Entry, Revision},
    id::{BusinessId, EntryId, KeyId},
    shared::Shared,
    time::Timestamp,
};

/// A company, its locations and its four catalogs at one revision.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Settings {
    pub company: Company,
    /// The number of changes to the company.
    pub revision: Revision,
    /// The time of the last change.
    pub changed_time: Timestamp,
    /// The locations, by name and then id. They and the catalogs are shared with the revisions before and after, as far
    /// as those have the same rows.
    pub businesses: Shared<Business>,
    /// The entries of each catalog, active and archived, by rank.
    pub catalogs: [Shared<Entry>; 4],
}

impl Settings {
    /// The entries of a catalog, active and archived, in its order.
    pub fn entries(&self, catalog: Catalog) -> &[Entry] {
        &self.catalogs[catalog.index()]
    }

    /// The entries of a catalog, for changes. Other revisions do not change.
    pub fn entries_mut(&mut self, catalog: Catalog) -> &mut Vec<Entry> {
        self.catalogs[catalog.index()].to_mut()
    }

    /// The active entries of a catalog, in its order.
    pub fn active(&self, catalog: Catalog) -> impl Iterator<Item = &Entry> {
        self.entries(catalog).iter().filter(|entry| entry.is_active())
    }

    /// The entry of that id.
    pub fn entry(&self, catalog: Catalog, id: &EntryId) -> Option<&Entry> {
        self.entries(catalog).iter().find(|entry| entry.id == *id)
    }
}

/// A thing that changes: the subject of a step of a request, or the row of a delta.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The company itself.
    Company,
    /// A location.
    Business(BusinessId),
    /// An entry.
    Entry(Catalog, EntryId),
    /// A catalog's order.
    Catalog(Catalog),
    /// A key.
    Key(KeyId),
}

impl Subject {
    /// The subject's name in the log and in the history: `company`, `businesses/biz_1`,
    /// `customer_tags/tag_1`, `customer_tags`.
    pub fn place(&self) -> String {
        match self {
            Self::Company => "company".to_owned(),
            other => other.to_string(),
        }
    }

    /// The subject of that name.
    pub fn at(place: &str) -> Option<Self> {
        let Some((kind, id)) = place.split_once('/') else {
            return match place {
                "company" => Some(Self::Company),
                catalog => Catalog::parse(catalog).map(Self::Catalog),
            };
        };
        match kind {
            "businesses" => BusinessId::parse("id", id).ok().map(Self::Business),
            "keys" => KeyId::parse("id", id).ok().map(Self::Key),
            catalog => Some(Self::Entry(Catalog::parse(catalog)?, EntryId::parse("id", id).ok()?)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Company => f.write_str("the company"),
            Self::Business(id) => write!(f, "businesses/{id}"),
            Self::Entry(catalog, id) => write!(f, "{catalog}/{id}"),
            Self::Catalog(catalog) => catalog.fmt(f),
            Self::Key(id) => write!(f, "keys/{id}"),
        }
    }
}
