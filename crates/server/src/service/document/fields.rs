//! The keys of a document: one table, by which the reader knows a key and from which the schema is made.

use crate::catalog::{
    company::{Coordinate, MAX_BUSINESSES},
    entry::{Catalog, MAX_ENTRIES},
};

/// One key of a map.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// The help that an editor shows.
    pub(super) about: &'static str,
}

/// The form of a value.
pub(super) enum Form {
    Id,
    Name,
    /// One name, or a list of names.
    Names,
    Description,
    ShortText,
    Email,
    WebAddress,
    Color,
    Country,
    TimeZone,
    State,
    SourceKind,
    SourceMode,
    /// The kind of an address.
    Kind,
    Truth,
    /// A number from `-most` to `most`.
    Degrees {
        most: f64,
    },
    Time,
    Version,
    /// A map.
    One(&'static Row),
    /// A list of maps.
    List(&'static Row, Most),
    /// The entries of a catalog.
    Entries(Catalog),
}

/// The most items of a list, and their name.
#[derive(Clone, Copy)]
pub(super) struct Most(pub(super) usize, pub(super) &'static str);

const LOCATIONS: Most = Most(MAX_BUSINESSES, "locations");
pub(super) const ENTRIES: Most = Most(MAX_ENTRIES, "entries");

/// The keys of a map.
pub(super) struct Row {
    /// The name of the thing in the schema.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

impl Row {
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// The maps in a list, and the most of them.
    pub(super) fn list(&self, name: &str) -> (&'static Row, Most) {
        let found = self.fields.iter().find(|field| field.name == name).map(|field| &field.form);
        match found {
            Some(Form::List(row, most)) => (row, *most),
            Some(Form::Entries(_)) => (&ENTRY, ENTRIES),
            _ => unreachable!("the reader asks for a list of the table"),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }
}

const fn field(name: &'static str, form: Form, about: &'static str) -> Field {
    Field { name, form, about }
}

const STATE: Field = field("state", Form::State, "active, or archived: no longer listed.");

/// The whole document. Its companies are read one by one.
pub(super) static DOCUMENT: Row = Row {
    name: "document",
    fields: &[
        field("companies", Form::List(&COMPANY, Most(usize::MAX, "companies")), ""),
        field("version", Form::Version, "The version of the document: 1."),
        field("$schema", Form::ShortText, "The address of this schema, for editors."),
    ],
};

const fn catalog(catalog: Catalog, about: &'static str) -> Field {
    field(catalog.as_str(), Form::Entries(catalog), about)
}

pub(super) static COMPANY: Row = Row {
    name: "company",
    fields: &[
        field("id", Form::Id, "Unique on the server. Without it, the company of that name."),
        field("name", Form::Name, "Required for a company that does not exist yet."),
        field("country", Form::Country, "ISO 3166-1 alpha-2, such as US."),
        field("timezone", Form::TimeZone, "IANA, such as America/New_York."),
        STATE,
        field(
            "source",
            Form::One(&SOURCE),
            "The system outside that the company comes from. {} removes it.",
        ),
        field("businesses", Form::List(&BUSINESS, LOCATIONS), "The company's locations."),
        catalog(Catalog::CustomerTags, "Labels on customers, in their order."),
        catalog(Catalog::ReferralSources, "How customers came to the business, in their order."),
        catalog(Catalog::LifeCycles, "The stages of a lead, in their order. One is the default."),
        catalog(Catalog::ActionStatuses, "The last actions on a lead, in their order."),
    ],
};

pub(super) static SOURCE: Row = Row {
    name: "source",
    fields: &[
        field("kind", Form::SourceKind, "moego: an account at MoeGo."),
        field(
            "mode",
            Form::SourceMode,
            "mirror, or none: a copy; cutover: the copy became the original.",
        ),
    ],
};

pub(super) static ENTRY: Row = Row {
    name: "entry",
    fields: &[
        field(
            "id",
            Form::Id,
            "Unique per company and catalog. Without it, the active entry of that name, or a new one.",
        ),
        field("name", Form::Name, "Unique among the active entries, without regard to case."),
        STATE,
        field("was", Form::Names, "Former names or ids of the entry, which gets this name."),
        field("description", Form::Description, "A sentence or two for people."),
        field("color", Form::Color, "#RRGGBB or #RGB, in quotation marks. \"\" removes it."),
        field("is_default", Form::Truth, "Whether new leads begin here; life cycles alone."),
        field("created_by", Form::Id, "The author, where the document knows it."),
        field("created_time", Form::Time, "UTC, to the microsecond, such as 2023-01-01T10:00:00Z."),
        field("last_updated_by", Form::Id, "The author of the last change."),
        field(
            "last_updated_time",
            Form::Time,
            "UTC, to the microsecond, such as 2023-01-01T10:00:00Z.",
        ),
    ],
};

pub(super) static BUSINESS: Row = Row {
    name: "business",
    fields: &[
        field("id", Form::Id, "Unique on the server. Without it, the location of that name."),
        field("name", Form::Name, "The name that people see."),
        field("address", Form::One(&ADDRESS), "Replaces the address as a whole; {} removes it."),
        STATE,
        field("avatar", Form::ShortText, "The address of a picture."),
        field("phone", Form::ShortText, "The owner's telephone number."),
        field("business_phone", Form::ShortText, "The location's telephone number."),
        field("email", Form::Email, ""),
        field("website", Form::WebAddress, "It begins with https:// or http://."),
        field("facebook", Form::ShortText, ""),
        field("instagram", Form::ShortText, ""),
        field("yelp", Form::ShortText, ""),
        field("google", Form::ShortText, ""),
    ],
};

pub(super) static ADDRESS: Row = Row {
    name: "address",
    fields: &[
        field("latitude", Form::Degrees { most: Coordinate::MOST_LATITUDE }, "Needs a longitude."),
        field("longitude", Form::Degrees { most: Coordinate::MOST_LONGITUDE }, "Needs a latitude."),
        field("type", Form::Kind, "primary or secondary."),
        field("country", Form::Country, "ISO 3166-1 alpha-2, such as US."),
        field("id", Form::ShortText, ""),
        field("address1", Form::ShortText, "Street and number."),
        field("address2", Form::ShortText, ""),
        field("city", Form::ShortText, ""),
        field("state", Form::ShortText, ""),
        field("postal_code", Form::ShortText, "Quotation marks preserve leading zeros."),
    ],
};
