//! All of one company at one revision, and what a change does to it.

use std::{fmt, sync::Arc};

use super::{
    company::{Business, CONTACT_FIELDS, Company},
    entry::{Catalog, Entry, Revision, State},
    id::{BusinessId, EntryId},
    time::Timestamp,
};

/// A company, its locations and its four catalogs at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The company.
    pub company: Company,
    /// How many changes it has seen.
    pub revision: Revision,
    /// When the last of them was.
    pub changed_time: Timestamp,
    /// Its locations, by name and then id. They and the catalogs are shared with the revisions before and
    /// after, as far as those have the same.
    pub businesses: Arc<Vec<Business>>,
    /// The entries of each catalog, active and archived, by rank.
    pub catalogs: [Arc<Vec<Entry>>; 4],
}

impl Settings {
    /// The entries of a catalog, active and archived, in its order.
    pub fn entries(&self, catalog: Catalog) -> &[Entry] {
        &self.catalogs[catalog.index()]
    }

    /// The same to change them; other revisions keep theirs.
    pub fn entries_mut(&mut self, catalog: Catalog) -> &mut Vec<Entry> {
        Arc::make_mut(&mut self.catalogs[catalog.index()])
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

/// What a step of a request was about.
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
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Company => f.write_str("the company"),
            Self::Business(id) => write!(f, "businesses/{id}"),
            Self::Entry(catalog, id) => write!(f, "{catalog}/{id}"),
            Self::Catalog(catalog) => catalog.fmt(f),
        }
    }
}

/// One row that a change touched: what it was and what it became.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// The company itself; no `before` means that it was made.
    Company {
        /// What it was.
        before: Option<Box<Company>>,
        /// What it became.
        after: Box<Company>,
    },
    /// A location; no `before` means that it was made.
    Business {
        /// What it was.
        before: Option<Box<Business>>,
        /// What it became.
        after: Box<Business>,
    },
    /// An entry; no `before` means that it was made.
    Entry {
        /// Of which catalog.
        catalog: Catalog,
        /// What it was.
        before: Option<Box<Entry>>,
        /// What it became.
        after: Box<Entry>,
    },
    /// An entry was deleted; nobody else gets its id.
    Deleted {
        /// Of which catalog.
        catalog: Catalog,
        /// What it was.
        before: Box<Entry>,
    },
    /// A deleted entry came back with its id.
    Revived {
        /// Of which catalog.
        catalog: Catalog,
        /// What it is.
        after: Box<Entry>,
    },
    /// An entry got another place and nothing else.
    Moved {
        /// Of which catalog.
        catalog: Catalog,
        /// Which entry.
        id: EntryId,
        /// Its rank before.
        from: u32,
        /// Its rank now.
        to: u32,
    },
}

impl Delta {
    /// What it is about: `company`, `businesses/biz_1`, `customer_tags/tag_1`.
    pub fn place(&self) -> String {
        match self {
            Self::Company { .. } => "company".to_owned(),
            Self::Business { after, .. } => format!("businesses/{}", after.id),
            Self::Entry { catalog, after, .. } | Self::Revived { catalog, after } => {
                format!("{catalog}/{}", after.id)
            }
            Self::Deleted { catalog, before } => format!("{catalog}/{}", before.id),
            Self::Moved { catalog, id, .. } => format!("{catalog}/{id}"),
        }
    }

    /// Its catalog, if it is about an entry.
    pub fn catalog(&self) -> Option<Catalog> {
        match self {
            Self::Entry { catalog, .. }
            | Self::Deleted { catalog, .. }
            | Self::Revived { catalog, .. }
            | Self::Moved { catalog, .. } => Some(*catalog),
            Self::Company { .. } | Self::Business { .. } => None,
        }
    }

    /// Its entry, if it is about one.
    pub fn entry_id(&self) -> Option<&EntryId> {
        match self {
            Self::Entry { after, .. } | Self::Revived { after, .. } => Some(&after.id),
            Self::Deleted { before, .. } => Some(&before.id),
            Self::Moved { id, .. } => Some(id),
            Self::Company { .. } | Self::Business { .. } => None,
        }
    }

    /// Whether it is about that.
    pub fn touches(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Company => matches!(self, Self::Company { .. }),
            Subject::Business(id) => {
                matches!(self, Self::Business { after, .. } if after.id == *id)
            }
            Subject::Entry(catalog, id) => {
                self.catalog() == Some(*catalog) && self.entry_id() == Some(id)
            }
            Subject::Catalog(catalog) => self.catalog() == Some(*catalog),
        }
    }

    /// What was done, in the past tense.
    pub fn verb(&self) -> &'static str {
        let by_state = |before: State, after: State| match (before, after) {
            (State::Active, State::Archived) => "archived",
            (State::Archived, State::Active) => "restored",
            _ => "updated",
        };
        match self {
            Self::Company { before: None, .. }
            | Self::Business { before: None, .. }
            | Self::Entry { before: None, .. } => "created",
            Self::Company { before: Some(before), after } => by_state(before.state, after.state),
            Self::Business { before: Some(before), after } => by_state(before.state, after.state),
            Self::Entry { before: Some(before), after, .. } => by_state(before.state, after.state),
            Self::Deleted { .. } => "deleted",
            Self::Revived { .. } => "revived",
            Self::Moved { .. } => "moved",
        }
    }

    /// The names of the fields that changed; none where something was made or deleted.
    pub fn fields(&self) -> Vec<&'static str> {
        let named: Vec<(&'static str, bool)> = match self {
            Self::Company { before: Some(before), after } => vec![
                ("name", before.name != after.name),
                ("country", before.country != after.country),
                ("timezone", before.timezone != after.timezone),
                ("state", before.state != after.state),
            ],
            Self::Business { before: Some(before), after } => {
                let texts = before.contact.texts().into_iter().zip(after.contact.texts());
                let texts = CONTACT_FIELDS.into_iter().zip(texts.map(|(one, other)| one != other));
                let own = [
                    ("name", before.name != after.name),
                    ("address", before.address != after.address),
                    ("state", before.state != after.state),
                ];
                own.into_iter().chain(texts).collect()
            }
            Self::Entry { before: Some(before), after, .. } => vec![
                ("name", before.name != after.name),
                ("description", before.description != after.description),
                ("color", before.color != after.color),
                ("is_default", before.is_default != after.is_default),
                ("state", before.state != after.state),
                ("position", before.rank != after.rank),
            ],
            Self::Moved { .. } => vec![("position", true)],
            _ => vec![],
        };
        named.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}
