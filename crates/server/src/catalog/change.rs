//! What can be asked of a company: the input of [`plan`](super::plan::plan).

use super::{
    company::{Address, ShortText},
    delta::Delta,
    entry::{Catalog, Revision, State},
    etag::Etag,
    id::{BusinessId, EntryId, StaffId},
    place::{Country, TimeZone},
    settings::{Settings, Subject},
    text::{Color, Description, Name},
    time::Timestamp,
};

/// A change to one company.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes the company agree with a document; what the document does not name stays.
    Load(Box<CompanyDraft>),
    /// One step, or several that are made together or not at all.
    Steps {
        /// The settings' etag that the caller has seen.
        etag: Option<Etag>,
        /// What to do, in this order.
        steps: Vec<Step>,
        /// Whether the caller sent a list, so that an error names the step.
        is_batch: bool,
    },
    /// Gives what a change touched the values from before it.
    Undo {
        /// The settings' etag that the caller has seen.
        etag: Option<Etag>,
        /// The revision that the change made.
        revision: Revision,
        /// What the change did.
        deltas: Vec<Delta>,
    },
    /// Gives everything the state of an earlier revision.
    RollBack {
        /// The settings' etag that the caller has seen.
        etag: Option<Etag>,
        /// The company as it was then.
        target: Box<Settings>,
    },
}

/// One step of a change. An etag is what the caller has seen of the thing, where it said so.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are; see the variants")]
pub enum Step {
    /// Adds an entry at the end of its catalog; the name is required. The etag is the catalog's.
    CreateEntry { catalog: Catalog, id: Option<EntryId>, patch: EntryPatch, etag: Option<Etag> },
    /// Changes fields of an entry.
    UpdateEntry { catalog: Catalog, id: EntryId, patch: EntryPatch, etag: Option<Etag> },
    /// Puts an entry away; the default needs an active successor.
    ArchiveEntry { catalog: Catalog, id: EntryId, successor: Option<EntryId>, etag: Option<Etag> },
    /// Takes an archived entry back into use.
    RestoreEntry { catalog: Catalog, id: EntryId, etag: Option<Etag> },
    /// Deletes an archived entry.
    DeleteEntry { catalog: Catalog, id: EntryId, etag: Option<Etag> },
    /// Gives a catalog's active entries this order. The etag is the catalog's.
    ReorderEntries { catalog: Catalog, ids: Vec<EntryId>, etag: Option<Etag> },
    /// Makes the company; the name is required.
    CreateCompany { patch: CompanyPatch },
    /// Changes fields of the company.
    UpdateCompany { patch: CompanyPatch, etag: Option<Etag> },
    /// Puts the company away, or takes it back into use.
    SetCompanyState { state: State, etag: Option<Etag> },
    /// Adds a location; the name is required.
    CreateBusiness { id: Option<BusinessId>, patch: Box<BusinessPatch> },
    /// Changes fields of a location.
    UpdateBusiness { id: BusinessId, patch: Box<BusinessPatch>, etag: Option<Etag> },
    /// Puts a location away, or takes it back into use.
    SetBusinessState { id: BusinessId, state: State, etag: Option<Etag> },
}

impl Step {
    /// What the caller has seen of what, where the step says so.
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

/// The fields of an entry to change; `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct EntryPatch {
    /// What people see.
    pub name: Option<Name>,
    /// A longer explanation.
    pub description: Option<Description>,
    /// `Some(None)` takes the color away.
    pub color: Option<Option<Color>>,
    /// Whether it is the catalog's default.
    pub is_default: Option<bool>,
    /// What the caller takes its state to be: a patch changes none, and refuses another one.
    pub state: Option<State>,
}

/// The fields of a company to change; `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct CompanyPatch {
    /// What people see.
    pub name: Option<Name>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<Country>,
    /// A zone of the IANA database.
    pub timezone: Option<TimeZone>,
    /// What the caller takes its state to be: a patch changes none, and refuses another one.
    pub state: Option<State>,
}

/// The fields of a location to change; `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct BusinessPatch {
    /// What people see.
    pub name: Option<Name>,
    /// `Some(None)` takes the address away.
    pub address: Option<Option<Address>>,
    /// How to reach it.
    pub contact: ContactDraft,
    /// What the caller takes its state to be: a patch changes none, and refuses another one.
    pub state: Option<State>,
}

/// What a document says of a company. `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct CompanyDraft {
    /// Required for a company that does not exist yet.
    pub name: Option<Name>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<Country>,
    /// A zone of the IANA database.
    pub timezone: Option<TimeZone>,
    /// Active or archived.
    pub state: Option<State>,
    /// Its locations.
    pub businesses: Vec<BusinessDraft>,
    /// The entries of each catalog, in the order they shall have.
    pub catalogs: [Vec<EntryDraft>; 4],
}

/// What a document says of a location. `None` keeps what there is.
#[derive(Clone, Debug)]
pub struct BusinessDraft {
    /// Which item of the document's list it is, for errors.
    pub index: usize,
    /// Which one; without it the location of that name, or a new one.
    pub id: Option<BusinessId>,
    /// What people see.
    pub name: Name,
    /// Replaces the address as a whole.
    pub address: Option<Address>,
    /// Active or archived.
    pub state: Option<State>,
    /// How to reach it.
    pub contact: ContactDraft,
}

/// What a document says of how to reach a location. `None` keeps what there is.
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

/// What a document says of an entry. `None` keeps what there is.
#[derive(Clone, Debug)]
pub struct EntryDraft {
    /// Which item of the document's list it is, for errors.
    pub index: usize,
    /// Which one; without it the active entry of that name, or a new one.
    pub id: Option<EntryId>,
    /// What people see.
    pub name: Name,
    /// A longer explanation.
    pub description: Option<Description>,
    /// `Some(None)` takes the color away.
    pub color: Option<Option<Color>>,
    /// Whether it is the catalog's default.
    pub is_default: Option<bool>,
    /// Active or archived.
    pub state: Option<State>,
    /// Who made it, where the document knows.
    pub created_by: Option<StaffId>,
    /// When it was made, where the document knows.
    pub created_time: Option<Timestamp>,
    /// Who last changed it, where the document knows.
    pub last_updated_by: Option<StaffId>,
    /// When it was last changed, where the document knows.
    pub last_updated_time: Option<Timestamp>,
}
