//! What can be asked of a company: the input of [`plan`](super::plan::plan).

use super::{
    company::{Address, Country, ShortText},
    entry::State,
    id::{BusinessId, EntryId, StaffId},
    text::{Color, Description, Name},
    time::Timestamp,
};

/// A change to one company.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes the company agree with a document; what the document does not name stays.
    Load(Box<CompanyDraft>),
}

/// What a document says of a company. `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct CompanyDraft {
    /// Required for a company that does not exist yet.
    pub name: Option<Name>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<Country>,
    /// A zone of the IANA database.
    pub timezone: Option<ShortText>,
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
