//! Writing a company as an item of the document that `load` reads.

use serde::Serialize;

use crate::catalog::{
    company::{Address, Business, Coordinate},
    entry::{Catalog, Entry, State},
    settings::Settings,
};

type Text = Option<String>;

#[derive(Serialize)]
struct CompanyRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    businesses: Option<Vec<BusinessRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_tags: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referral_sources: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    life_cycles: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_statuses: Option<Vec<EntryRow>>,
}

#[derive(Serialize)]
struct BusinessRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_phone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    website: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    facebook: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    instagram: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    yelp: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    google: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<AddressRow>,
}

#[derive(Serialize)]
struct AddressRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    address1: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    address2: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    postal_code: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    longitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Text,
}

#[derive(Serialize)]
struct EntryRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_by: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_time: Text,
}

/// Writes one company as an item of the list `companies`, with everything that [`parse`](super::parse) reads.
///
/// Empty values and default values are left out, so that the same settings always give the same bytes.
pub fn write(settings: &Settings) -> Result<String, serde_saphyr::ser::Error> {
    let company = &settings.company;
    let [customer_tags, referral_sources, life_cycles, action_statuses] =
        Catalog::ALL.map(|catalog| rows(settings.entries(catalog), entry_row));
    let row = CompanyRow {
        id: text(company.id.as_str()),
        name: text(company.name.as_str()),
        country: text(company.country.as_str()),
        timezone: text(company.timezone.as_str()),
        state: state(company.state),
        businesses: rows(&settings.businesses, business_row),
        customer_tags,
        referral_sources,
        life_cycles,
        action_statuses,
    };
    serde_saphyr::to_string(&[row])
}

fn rows<T, Row>(values: &[T], row: impl Fn(&T) -> Row) -> Option<Vec<Row>> {
    (!values.is_empty()).then(|| values.iter().map(row).collect())
}

fn entry_row(entry: &Entry) -> EntryRow {
    EntryRow {
        id: text(entry.id.as_str()),
        name: text(entry.name.as_str()),
        description: text(entry.description.as_str()),
        color: entry.color.and_then(|color| text(&color.to_string())),
        is_default: entry.is_default.then_some(true),
        state: state(entry.state),
        created_by: text(entry.audit.created_by.as_str()),
        created_time: text(&entry.audit.created_time.to_string()),
        last_updated_by: text(entry.audit.last_updated_by.as_str()),
        last_updated_time: text(&entry.audit.last_updated_time.to_string()),
    }
}

fn business_row(business: &Business) -> BusinessRow {
    let contact = &business.contact;
    BusinessRow {
        id: text(business.id.as_str()),
        name: text(business.name.as_str()),
        state: state(business.state),
        avatar: text(contact.avatar.as_str()),
        phone: text(contact.phone.as_str()),
        business_phone: text(contact.business_phone.as_str()),
        email: text(contact.email.as_str()),
        website: text(contact.website.as_str()),
        facebook: text(contact.facebook.as_str()),
        instagram: text(contact.instagram.as_str()),
        yelp: text(contact.yelp.as_str()),
        google: text(contact.google.as_str()),
        address: business.address.as_ref().map(address_row),
    }
}

fn address_row(address: &Address) -> AddressRow {
    AddressRow {
        id: text(address.id.as_str()),
        address1: text(address.address1.as_str()),
        address2: text(address.address2.as_str()),
        city: text(address.city.as_str()),
        state: text(address.state.as_str()),
        postal_code: text(address.postal_code.as_str()),
        country: text(address.country.as_str()),
        latitude: address.coordinate.map(Coordinate::latitude),
        longitude: address.coordinate.map(Coordinate::longitude),
        r#type: text(address.kind.as_str()),
    }
}

fn state(state: State) -> Text {
    (state != State::Active).then(|| state.as_str().to_owned())
}

fn text(value: &str) -> Text {
    (!value.is_empty()).then(|| value.to_owned())
}
