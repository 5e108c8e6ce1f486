//! Writing a company as an item of the document that `load` reads: of settings, and of what other formats say.

use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize, Serializer};

use crate::catalog::{
    company::{Address, Business, Coordinate},
    entry::{Catalog, Entry, State},
    error::Violation,
    settings::Settings,
    source::Source,
    time::Timestamp,
};

type Text = Option<String>;

impl CompanyRow {
    /// The entries of each catalog.
    pub fn catalogs(&self) -> [&[EntryRow]; 4] {
        [&self.customer_tags, &self.referral_sources, &self.life_cycles, &self.action_statuses]
            .map(|entries| entries.as_deref().unwrap_or_default())
    }
}

/// A company as it stands in a document. `None` is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
#[expect(missing_docs, reason = "the keys of a document")]
pub struct CompanyRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub businesses: Option<Vec<BusinessRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_tags: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referral_sources: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life_cycles: Option<Vec<EntryRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_statuses: Option<Vec<EntryRow>>,
}

/// The source of a [`CompanyRow`]. An empty one removes what there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the keys of a document")]
pub struct SourceRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Text,
}

impl From<Source> for SourceRow {
    fn from(source: Source) -> Self {
        Self { kind: text(source.kind.as_str()), mode: text(source.mode.as_str()) }
    }
}

/// A location of a [`CompanyRow`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
#[expect(missing_docs, reason = "the keys of a document")]
pub struct BusinessRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_phone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facebook: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instagram: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yelp: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<AddressRow>,
}

/// The address of a [`BusinessRow`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
#[expect(missing_docs, reason = "the keys of a document")]
pub struct AddressRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address1: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address2: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Text,
}

/// An entry of a [`CompanyRow`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
#[expect(missing_docs, reason = "the keys of a document")]
pub struct EntryRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Text,
    /// Former names and ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_several")]
    pub was: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_time: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_by: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_time: Text,
}

/// The digits behind the point of a time to the microsecond.
const MOST_DIGITS: usize = 6;

/// A list of one text is written as the text.
fn one_or_several<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match texts {
        [text] => text.serialize(serializer),
        texts => texts.serialize(serializer),
    }
}

/// Writes one company as an item of the list `companies`.
pub fn write(row: &CompanyRow) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&[row])
}

/// A company with everything that [`parse`](super::parse) reads.
///
/// Empty values and default values are left out, so that the same settings always give the same bytes.
pub fn row(settings: &Settings) -> CompanyRow {
    let company = &settings.company;
    let [customer_tags, referral_sources, life_cycles, action_statuses] =
        Catalog::ALL.map(|catalog| rows(settings.entries(catalog), entry_row));
    CompanyRow {
        id: text(company.id.as_str()),
        name: text(company.name.as_str()),
        country: text(company.country.as_str()),
        timezone: text(company.timezone.as_str()),
        state: state(company.state),
        source: company.source.map(Into::into),
        businesses: rows(&settings.businesses, business_row),
        customer_tags,
        referral_sources,
        life_cycles,
        action_statuses,
    }
}

fn rows<T, Row>(values: &[T], row: impl Fn(&T) -> Row) -> Option<Vec<Row>> {
    (!values.is_empty()).then(|| values.iter().map(row).collect())
}

fn entry_row(entry: &Entry) -> EntryRow {
    EntryRow {
        id: text(entry.id.as_str()),
        name: text(entry.name.as_str()),
        was: Vec::new(),
        description: text(entry.description.as_str()),
        color: entry.color.and_then(|color| text(&color.to_string())),
        is_default: entry.is_default.then_some(true),
        state: state(entry.state),
        created_by: text(entry.audit.created_by.as_str()),
        created_time: Some(entry.audit.created_time.to_string()),
        last_updated_by: text(entry.audit.last_updated_by.as_str()),
        last_updated_time: Some(entry.audit.last_updated_time.to_string()),
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
        address: business.address.as_ref().filter(|address| !address.is_empty()).map(address_row),
    }
}

pub(super) fn address_row(address: &Address) -> AddressRow {
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

/// Parses a time in RFC 3339 and UTC, to the microsecond. Digits behind that may be zeros alone: others would be lost.
pub fn time(field: &str, value: &str) -> Result<Timestamp, Violation> {
    // The library also takes the second 60 of any minute, more digits, and other text before a last Z.
    let is_leap = value.get(16..19) == Some(":60");
    let fraction = value
        .get(19..)
        .and_then(|rest| rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00")));
    let is_fraction = |digits: &str| {
        (1..=9).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && digits.bytes().skip(MOST_DIGITS).all(|digit| digit == b'0')
    };
    let is_formed = !is_leap
        && fraction
            .is_some_and(|it| it.is_empty() || it.strip_prefix('.').is_some_and(is_fraction));
    let since = humantime::parse_rfc3339(if is_formed { value } else { "" });
    since
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map(Timestamp::from_micros)
        .ok_or_else(|| malformed_time(field))
}

/// The problem of a time that is none, or that has more digits than are stored.
pub fn malformed_time(field: &str) -> Violation {
    let description = "must be a time in UTC such as 2023-01-01T10:00:00Z, from 1970 to 9999, with at most six digits \
                       behind the point";
    Violation::new(field, "MALFORMED_TIME", description)
}
