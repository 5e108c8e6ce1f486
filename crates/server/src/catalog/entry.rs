//! The four catalogs and their entries.

use std::fmt;

use super::{
    id::{EntryId, StaffId},
    text::{Color, Description, Name},
    time::Timestamp,
};

/// The most entries, active and archived, that a catalog may hold.
pub const MAX_ENTRIES: usize = 1_000;

/// One of a company's four catalogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Catalog {
    /// Labels on customers.
    CustomerTags,
    /// The ways in which customers came to the business.
    ReferralSources,
    /// The stages of a lead. There is exactly one active default once there is an active entry.
    LifeCycles,
    /// The last actions on a lead.
    ActionStatuses,
}

impl Catalog {
    /// All four, in the order in which documents name them.
    pub const ALL: [Self; 4] =
        [Self::CustomerTags, Self::ReferralSources, Self::LifeCycles, Self::ActionStatuses];

    /// The collection's name in paths, documents and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CustomerTags => "customer_tags",
            Self::ReferralSources => "referral_sources",
            Self::LifeCycles => "life_cycles",
            Self::ActionStatuses => "action_statuses",
        }
    }

    /// The catalog of that collection name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|catalog| catalog.as_str() == name)
    }

    /// The prefix of generated ids of this catalog's entries.
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::CustomerTags => "tag",
            Self::ReferralSources => "ref",
            Self::LifeCycles => "lc",
            Self::ActionStatuses => "as",
        }
    }

    /// Whether one active entry of the catalog must be the default.
    pub const fn has_default(self) -> bool {
        matches!(self, Self::LifeCycles)
    }

    /// The catalog's place in [`Catalog::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether something is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// In use.
    #[default]
    Active,
    /// Out of use: the compatible surface does not list it, and its id and history stay.
    Archived,
}

impl State {
    /// The state's name in documents and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Active, Self::Archived].into_iter().find(|state| state.as_str() == name)
    }
}

/// A number that counts a company's changes: 1, 2, 3 … without gaps. 0 is before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The following revision.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The authors and times of the first and the last change of something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Audit {
    pub created_by: StaffId,
    pub created_time: Timestamp,
    /// The author of the last change of its content. A shifted position is no such change.
    pub last_updated_by: StaffId,
    pub last_updated_time: Timestamp,
    /// The company's revision that last changed the content.
    pub revision: Revision,
}

/// One entry of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Entry {
    /// Unique among the catalog's entries, and never used again.
    pub id: EntryId,
    /// The name that people see. Its fold key is unique among the catalog's active entries.
    pub name: Name,
    pub description: Description,
    pub color: Option<Color>,
    /// Whether this is the catalog's default; only where [`Catalog::has_default`].
    pub is_default: bool,
    /// The key that the catalog is sorted by. Ranks are unique in the catalog and have gaps. An archived entry keeps
    /// its rank, and has its old place again when it is restored.
    pub rank: u32,
    pub state: State,
    pub audit: Audit,
}

impl Entry {
    /// Whether the entry is in use.
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }
}
