//! The changes that callers ask for, and their parts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    company::{Address, ShortText},
    delta::Delta,
    entry::{Catalog, Revision, State},
    error::Violation,
    etag::Etag,
    id::{BusinessId, EntryId, StaffId},
    place::{Country, TimeZone},
    preview::Digest,
    settings::{Settings, Subject},
    source::Source,
    text::{Color, Description, Name},
    time::Timestamp,
};

/// A change to one company, as a caller asks for it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum Change {
    /// Makes the company agree with a document. A field or row that the document does not name stays.
    Load {
        /// The company as the document has it.
        document: Arc<CompanyDraft>,
        /// How much of the document counts, and for what.
        options: LoadOptions,
    },
    /// One step, or several steps that are made together or not at all.
    Steps {
        /// The settings' etag that the caller knows. The steps have etags of their own.
        etag: Option<Etag>,
        /// The steps, in the order in which they are made.
        steps: Vec<Step>,
        /// Whether the caller sent a list, so that an error names the step.
        is_batch: bool,
    },
    /// Undoes the change that made the revision.
    Undo {
        revision: Revision,
        /// The settings' etag that the caller knows.
        etag: Option<Etag>,
    },
    /// Rolls back to the state at the revision.
    RollBack {
        revision: Revision,
        /// The settings' etag that the caller knows.
        etag: Option<Etag>,
    },
}

/// A change with the past states that it needs: the input of [`plan`](super::plan::plan).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are; see Change")]
pub enum PreparedChange {
    Load {
        document: Arc<CompanyDraft>,
        options: LoadOptions,
    },
    Steps {
        etag: Option<Etag>,
        steps: Vec<Step>,
        is_batch: bool,
    },
    /// Gives the fields that a change touched the values from before it.
    Undo {
        etag: Option<Etag>,
        revision: Revision,
        /// The rows that the change touched.
        deltas: Vec<Delta>,
    },
    /// Gives everything the state of an earlier revision.
    RollBack {
        etag: Option<Etag>,
        /// The company at the earlier revision.
        target: Box<Settings>,
    },
}

/// One step of a change. `etag` is the etag of the thing that the caller knows, if the caller sent one.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are; see the variants")]
pub enum Step {
    /// Adds an entry at the end of its catalog; the name is required. The etag is the catalog's.
    CreateEntry { catalog: Catalog, id: Option<EntryId>, patch: EntryPatch, etag: Option<Etag> },
    /// Changes fields of an entry.
    UpdateEntry { catalog: Catalog, id: EntryId, patch: EntryPatch, etag: Option<Etag> },
    /// Archives an entry. A default needs an active successor.
    ArchiveEntry { catalog: Catalog, id: EntryId, successor: Option<EntryId>, etag: Option<Etag> },
    /// Makes an archived entry active.
    RestoreEntry { catalog: Catalog, id: EntryId, etag: Option<Etag> },
    /// Deletes an archived entry.
    DeleteEntry { catalog: Catalog, id: EntryId, etag: Option<Etag> },
    /// Gives a catalog's active entries this order. The etag is the catalog's.
    ReorderEntries { catalog: Catalog, ids: Vec<EntryId>, etag: Option<Etag> },
    /// Makes the company; the name is required.
    CreateCompany { patch: CompanyPatch },
    /// Changes fields of the company.
    UpdateCompany { patch: CompanyPatch, etag: Option<Etag> },
    /// Archives the company, or makes it active.
    SetCompanyState { state: State, etag: Option<Etag> },
    /// Adds a location; the name is required.
    CreateBusiness { id: Option<BusinessId>, patch: Box<BusinessPatch> },
    /// Changes fields of a location.
    UpdateBusiness { id: BusinessId, patch: Box<BusinessPatch>, etag: Option<Etag> },
    /// Archives a location, or makes it active.
    SetBusinessState { id: BusinessId, state: State, etag: Option<Etag> },
}

impl Step {
    /// The thing that the step's etag is about, and the etag, if the caller sent one.
    pub fn expected(&self) -> Option<(Subject, &Etag)> {
        let (subject, etag) = match self {
            Self::CreateEntry { catalog, etag, .. }
            | Self::ReorderEntries { catalog, etag, .. } => (Subject::Catalog(*catalog), etag),
            Self::UpdateEntry { catalog, id, etag, .. }
            | Self::ArchiveEntry { catalog, id, etag, .. }
            | Self::RestoreEntry { catalog, id, etag }
            | Self::DeleteEntry { catalog, id, etag } => {
                (Subject::Entry(*catalog, id.clone()), etag)
            }
            Self::UpdateCompany { etag, .. } | Self::SetCompanyState { etag, .. } => {
                (Subject::Company, etag)
            }
            Self::UpdateBusiness { id, etag, .. } | Self::SetBusinessState { id, etag, .. } => {
                (Subject::Business(id.clone()), etag)
            }
            Self::CreateCompany { .. } | Self::CreateBusiness { .. } => return None,
        };
        etag.as_ref().map(|etag| (subject, etag))
    }
}

/// The fields of an entry to change. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of entry::Entry")]
pub struct EntryPatch {
    pub name: Option<Name>,
    pub description: Option<Description>,
    /// `Some(None)` removes the color.
    pub color: Option<Option<Color>>,
    pub is_default: Option<bool>,
    /// The state that the caller believes the entry has. A patch does not change it, and a different state is refused.
    pub state: Option<State>,
}

/// The fields of a company to change. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of company::Company")]
pub struct CompanyPatch {
    pub name: Option<Name>,
    pub country: Option<Country>,
    pub timezone: Option<TimeZone>,
    /// The state that the caller believes the company has. A patch does not change it, and a
    /// different state is refused.
    pub state: Option<State>,
}

/// The fields of a location to change. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of company::Business")]
pub struct BusinessPatch {
    pub name: Option<Name>,
    /// `Some(None)` removes the address.
    pub address: Option<Option<Address>>,
    pub contact: ContactDraft,
    /// The state that the caller believes the location has. A patch does not change it, and a
    /// different state is refused.
    pub state: Option<State>,
}

/// A company in a document. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of company::Company")]
pub struct CompanyDraft {
    /// Required for a company that does not exist yet.
    pub name: Option<Name>,
    pub country: Option<Country>,
    pub timezone: Option<TimeZone>,
    pub state: Option<State>,
    /// `Some(None)` removes it.
    pub source: Option<Option<Source>>,
    pub businesses: Vec<BusinessDraft>,
    /// The entries of each catalog, in the order that they shall have. `None` is a catalog that the document does not
    /// state, and an empty list states that there are none.
    pub catalogs: [Option<Vec<EntryDraft>>; 4],
}

impl CompanyDraft {
    /// The locations and entries that the document names by their ids.
    pub(super) fn subjects(&self) -> BTreeSet<Subject> {
        let businesses = self.businesses.iter().filter_map(|one| one.id.clone());
        let lists = Catalog::ALL.into_iter().zip(&self.catalogs);
        let entries = lists.flat_map(|(catalog, list)| {
            let ids = list.iter().flatten().filter_map(|one| one.id.clone());
            ids.map(move |id| Subject::Entry(catalog, id))
        });
        businesses.map(Subject::Business).chain(entries).collect()
    }

    /// The places in the document's lists of the locations and entries that it names, by their ids or by the names that
    /// they have afterwards.
    pub(super) fn places(&self, after: &Settings) -> BTreeMap<Subject, usize> {
        let drafts = self.businesses.iter();
        let drafts =
            drafts.map(|one| (one.id.clone().map(Subject::Business), &one.name, one.index));
        let held = after.businesses.iter();
        let held = held.map(|one| (Subject::Business(one.id.clone()), &one.name));
        let mut places = placed(drafts, held);
        for (catalog, list) in Catalog::ALL.into_iter().zip(&self.catalogs) {
            let entry = move |id: EntryId| Subject::Entry(catalog, id);
            let drafts = list.iter().flatten();
            let drafts = drafts.map(|one| (one.id.clone().map(entry), &one.name, one.index));
            let held = after.entries(catalog).iter().map(|one| (entry(one.id.clone()), &one.name));
            places.extend(placed(drafts, held));
        }
        places
    }
}

/// The places of the things of one list.
fn placed<'a>(
    drafts: impl Iterator<Item = (Option<Subject>, &'a Name, usize)>,
    held: impl Iterator<Item = (Subject, &'a Name)>,
) -> BTreeMap<Subject, usize> {
    let (mut places, mut named) = (BTreeMap::new(), HashMap::new());
    for (subject, name, index) in drafts {
        match subject {
            Some(subject) => _ = places.insert(subject, index),
            None => _ = named.insert(name.fold_key(), index),
        }
    }
    for (subject, name) in held {
        if let Some(index) = named.get(&name.fold_key()) {
            places.entry(subject).or_insert(*index);
        }
    }
    places
}

/// How a document is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Archives the active entries that a stated catalog does not name.
    pub prune: bool,
    /// The most entries of a catalog that pruning may archive whatever its brake says.
    pub prune_limit: usize,
    /// The parts of existing entries that stay as they are, whatever the document says.
    pub ignore: BTreeSet<Ignored>,
    /// Whether the source of the company writes, to which a mirror's fields belong.
    pub is_of_source: bool,
    /// The plan that was shown. Another plan that changes anything is refused.
    pub expected: Option<Digest>,
}

/// A part of existing entries that a document may leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields of entry::Entry")]
pub enum Ignored {
    Order,
    Description,
    Color,
    /// Which entry is the default. The document decides where no default would be left.
    IsDefault,
}

impl Ignored {
    /// All of them, in the order in which errors name them.
    pub const ALL: [Self; 4] = [Self::Order, Self::Description, Self::Color, Self::IsDefault];

    /// The part's name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Description => "description",
            Self::Color => "color",
            Self::IsDefault => "is_default",
        }
    }

    /// The part of that name.
    pub fn parse(field: &str, name: &str) -> Result<Self, Violation> {
        Self::ALL.into_iter().find(|ignored| ignored.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            let description = format!("cannot be ignored; there are {known}");
            Violation::new(field, "UNKNOWN_FIELD", description)
        })
    }
}

/// A location in a document. A field that is `None` stays as it is.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of company::Business")]
pub struct BusinessDraft {
    /// The place in the document's list, for errors.
    pub index: usize,
    /// Without an id, the location of that name is meant, or a new one.
    pub id: Option<BusinessId>,
    pub name: Name,
    /// Replaces the address as a whole. An empty one removes it.
    pub address: Option<Address>,
    pub state: Option<State>,
    pub contact: ContactDraft,
}

/// The contact of a location in a document or a patch. A field that is `None` stays as it is.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields of company::Contact")]
pub struct ContactDraft {
    pub avatar: Option<ShortText>,
    pub phone: Option<ShortText>,
    pub business_phone: Option<ShortText>,
    pub email: Option<ShortText>,
    pub website: Option<ShortText>,
    pub facebook: Option<ShortText>,
    pub instagram: Option<ShortText>,
    pub yelp: Option<ShortText>,
    pub google: Option<ShortText>,
}

/// An entry in a document. A field that is `None` stays as it is. The audit's fields are for documents that know it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of entry::Entry")]
pub struct EntryDraft {
    /// The place in the document's list, for errors.
    pub index: usize,
    /// Without an id, the active entry of that name is meant, or a new one.
    pub id: Option<EntryId>,
    pub name: Name,
    /// Former names or ids: where neither the id nor the name is there, an active entry that has one of these is meant.
    pub was: Vec<Name>,
    pub description: Option<Description>,
    /// `Some(None)` removes the color.
    pub color: Option<Option<Color>>,
    pub is_default: Option<bool>,
    pub state: Option<State>,
    pub created_by: Option<StaffId>,
    pub created_time: Option<Timestamp>,
    pub last_updated_by: Option<StaffId>,
    pub last_updated_time: Option<Timestamp>,
}

impl EntryDraft {
    /// Whether the document names an author or a time of the entry.
    pub fn has_audit(&self) -> bool {
        self.created_by.is_some()
            || self.created_time.is_some()
            || self.last_updated_by.is_some()
            || self.last_updated_time.is_some()
    }
}
