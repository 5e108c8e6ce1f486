//! The stored forms of values without columns of their own: log bodies, contacts, addresses, lists.
//!
//! The forms are JSON, and the same in every engine. A log body carries the number of its format, because logs are
//! stored for ever: a change of these structs' JSON needs a new number, and a reader for both.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::StoreError;
use crate::catalog::{
    access::{Coverage, Scopes},
    company::{Address, AddressKind, Business, Company, Contact, Coordinate, ShortText},
    delta::{Delta, Row},
    entry::{Audit, Catalog, Entry, Revision, State},
    error::{Cause, Violation},
    id::{BusinessId, CompanyId, EntryId, StaffId},
    place::{Country, TimeZone},
    settings::Subject,
    source::Source,
    text::{Color, Description, Name},
    time::Timestamp,
};

mod checkpoints;
mod keys;
mod lines;
mod rows;
mod statements;

pub(super) use checkpoints::deflate;
use checkpoints::inflate;
use keys::KeyForm;
pub(super) use lines::{LineId, encode_subjects, line, logged_request, without_gaps};
pub(super) use rows::{
    Columns, business, business_row, checkpoint_row, company_id, company_row, entry, entry_id,
    head, key, key_id, key_row, key_secrets, link, session, settings, source_check, used_key,
};
pub(super) use statements::{Statement, statements};

/// The format of log bodies that this program writes.
const FORMAT: u32 = 1;

/// Stored data that breaks a rule of the catalog is damaged.
impl From<Violation> for StoreError {
    fn from(violation: Violation) -> Self {
        Self::Damaged(Cause::new(violation))
    }
}

/// The body of a line of a log.
pub(super) fn encode_changes(deltas: &[Delta]) -> String {
    encode(&ChangesForm { v: FORMAT, deltas: deltas.iter().map(DeltaForm::from).collect() })
}

/// Reads the output of [`encode_changes`].
pub(super) fn decode_changes(body: &str) -> Result<Vec<Delta>, StoreError> {
    check_format(body)?;
    decode::<ChangesForm>(body)?.deltas.into_iter().map(DeltaForm::into_delta).collect()
}

fn check_format(body: &str) -> Result<(), StoreError> {
    let VersionForm { v } = decode(body)?;
    if v == FORMAT {
        return Ok(());
    }
    let text = format!("a log line has format {v}; this program reads format {FORMAT}");
    Err(StoreError::Damaged(Cause::new(text)))
}

/// A list of scopes, companies or addresses of a key.
pub(super) fn encode_list(items: impl IntoIterator<Item = impl ToString>) -> String {
    encode(&items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>())
}

fn decode_scopes(text: &str) -> Result<Scopes, StoreError> {
    scopes(&decode::<Vec<String>>(text)?)
}

fn scopes(names: &[String]) -> Result<Scopes, StoreError> {
    Ok(Scopes::parse("scopes", names.iter().map(String::as_str))?)
}

/// The companies of a coverage, if it names any.
pub(super) fn encode_coverage(coverage: &Coverage) -> Option<String> {
    match coverage {
        Coverage::All => None,
        Coverage::Only(companies) => Some(encode_list(companies)),
    }
}

fn decode_coverage(text: Option<&str>) -> Result<Coverage, StoreError> {
    coverage(text.map(decode).transpose()?)
}

fn coverage(ids: Option<Vec<String>>) -> Result<Coverage, StoreError> {
    let Some(ids) = ids else { return Ok(Coverage::All) };
    let companies: Result<_, Violation> =
        ids.iter().map(|id| CompanyId::parse("companies", id)).collect();
    Ok(Coverage::Only(companies?))
}

fn decode_addresses(text: &str) -> Result<Vec<ipnet::IpNet>, StoreError> {
    addresses(&decode::<Vec<String>>(text)?)
}

fn addresses(nets: &[String]) -> Result<Vec<ipnet::IpNet>, StoreError> {
    let nets: Result<_, _> = nets.iter().map(|net| net.parse()).collect();
    nets.map_err(|error: ipnet::AddrParseError| not_as_written(error))
}

pub(super) fn encode<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|error| unreachable!("plain structs always have JSON: {error}"))
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(not_as_written)
}

/// The damage of a column that a library cannot read.
pub(super) fn not_as_written(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(Cause::in_our_words("it is not as it was written", error))
}

fn parse_state(state: &str) -> Result<State, StoreError> {
    State::parse(state).ok_or_else(|| unknown("state", state))
}

fn parse_catalog(catalog: &str) -> Result<Catalog, StoreError> {
    Catalog::parse(catalog).ok_or_else(|| unknown("catalog", catalog))
}

fn unknown(what: &str, name: &str) -> StoreError {
    StoreError::Damaged(Cause::new(format!("there is no {what} \"{name}\"")))
}

/// Read first, since the other fields depend on it.
#[derive(Deserialize)]
struct VersionForm {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesForm {
    v: u32,
    deltas: Vec<DeltaForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaForm {
    /// The first field, so that the bytes before it are always the same: see [`mention`].
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<RowForm>,
    after: Option<RowForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "lives only while a body is read or written")]
enum RowForm {
    Company(CompanyForm),
    Business(BusinessForm),
    Entry(EntryForm),
    Rank(u32),
    Tombstone,
    Key(KeyForm),
}

impl From<&Row> for RowForm {
    fn from(row: &Row) -> Self {
        match row {
            Row::Company(company) => Self::Company((&**company).into()),
            Row::Business(business) => Self::Business((&**business).into()),
            Row::Entry(entry) => Self::Entry((&**entry).into()),
            Row::Rank(rank) => Self::Rank(*rank),
            Row::Tombstone => Self::Tombstone,
            Row::Key(key) => Self::Key((&**key).into()),
        }
    }
}

impl RowForm {
    fn into_row(self) -> Result<Row, StoreError> {
        Ok(match self {
            Self::Company(company) => Row::Company(Box::new(company.into_company()?)),
            Self::Business(business) => Row::Business(Box::new(business.into_business()?)),
            Self::Entry(entry) => Row::Entry(Box::new(entry.into_entry()?)),
            Self::Rank(rank) => Row::Rank(rank),
            Self::Tombstone => Row::Tombstone,
            Self::Key(key) => Row::Key(Box::new(key.into_key()?)),
        })
    }
}

impl From<&Delta> for DeltaForm {
    fn from(Delta { subject, before, after }: &Delta) -> Self {
        let (before, after) = (before.as_ref().map(Into::into), after.as_ref().map(Into::into));
        Self { at: subject.place(), before, after }
    }
}

impl DeltaForm {
    fn into_delta(self) -> Result<Delta, StoreError> {
        let subject = subject_at(&self.at)?;
        let before = self.before.map(RowForm::into_row).transpose()?;
        let after = self.after.map(RowForm::into_row).transpose()?;
        let is_fit = |row: &Row| match (&subject, row) {
            (Subject::Company, Row::Company(_)) => true,
            (Subject::Business(id), Row::Business(business)) => business.id == *id,
            (Subject::Entry(_, id), Row::Entry(entry)) => entry.id == *id,
            (Subject::Entry(..), Row::Rank(_) | Row::Tombstone) => true,
            (Subject::Key(id), Row::Key(key)) => key.id == *id,
            _ => false,
        };
        if after.is_none() || !before.iter().chain(&after).all(is_fit) {
            return Err(not_as_written(format!("the rows of {} are of something else", self.at)));
        }
        Ok(Delta { subject, before, after })
    }
}

fn subject_at(place: &str) -> Result<Subject, StoreError> {
    Subject::at(place).ok_or_else(|| unknown("place", place))
}

/// A text in the body of each line that changes the subject, or for a catalog any of its entries. No text of people can
/// look like it, as its quotation marks are escaped.
pub(super) fn mention(subject: &Subject) -> String {
    match subject {
        Subject::Catalog(catalog) => format!(r#""at":"{catalog}/"#),
        subject => format!(r#""at":"{}""#, subject.place()),
    }
}

/// An audit in the log, and in the columns of every table that has one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditForm {
    pub(super) created_by: String,
    pub(super) created_time: i64,
    pub(super) last_updated_by: String,
    pub(super) last_updated_time: i64,
    pub(super) revision: u64,
}

impl From<&Audit> for AuditForm {
    fn from(audit: &Audit) -> Self {
        Self {
            created_by: audit.created_by.to_string(),
            created_time: audit.created_time.as_micros(),
            last_updated_by: audit.last_updated_by.to_string(),
            last_updated_time: audit.last_updated_time.as_micros(),
            revision: audit.revision.0,
        }
    }
}

impl AuditForm {
    pub(super) fn into_audit(self) -> Result<Audit, StoreError> {
        Ok(Audit {
            created_by: StaffId::parse("created_by", &self.created_by)?,
            created_time: Timestamp::from_micros(self.created_time),
            last_updated_by: StaffId::parse("last_updated_by", &self.last_updated_by)?,
            last_updated_time: Timestamp::from_micros(self.last_updated_time),
            revision: Revision(self.revision),
        })
    }
}

/// A company in the log, and in the columns of its table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompanyForm {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) country: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) timezone: String,
    pub(super) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    pub(super) audit: AuditForm,
}

impl From<&Company> for CompanyForm {
    fn from(company: &Company) -> Self {
        Self {
            id: company.id.to_string(),
            name: company.name.to_string(),
            country: company.country.as_str().to_owned(),
            timezone: company.timezone.as_str().to_owned(),
            state: company.state.as_str().to_owned(),
            source: company.source.map(|source| source.to_string()),
            audit: (&company.audit).into(),
        }
    }
}

impl CompanyForm {
    pub(super) fn into_company(self) -> Result<Company, StoreError> {
        Ok(Company {
            id: CompanyId::parse("id", &self.id)?,
            name: Name::stored(&self.name)?,
            country: Country::stored(self.country),
            timezone: TimeZone::stored(self.timezone),
            state: parse_state(&self.state)?,
            source: self.source.as_deref().map(Source::stored).transpose()?,
            audit: self.audit.into_audit()?,
        })
    }
}

/// A location in the log, and in the columns of its table, where contact and address are JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BusinessForm {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) contact: ContactForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<AddressForm>,
    pub(super) state: String,
    pub(super) audit: AuditForm,
}

impl From<&Business> for BusinessForm {
    fn from(business: &Business) -> Self {
        Self {
            id: business.id.to_string(),
            name: business.name.to_string(),
            contact: (&business.contact).into(),
            address: business.address.as_ref().map(Into::into),
            state: business.state.as_str().to_owned(),
            audit: (&business.audit).into(),
        }
    }
}

impl BusinessForm {
    pub(super) fn into_business(self) -> Result<Business, StoreError> {
        Ok(Business {
            id: BusinessId::parse("id", &self.id)?,
            name: Name::stored(&self.name)?,
            contact: self.contact.into_contact()?,
            address: self.address.map(AddressForm::into_address).transpose()?,
            state: parse_state(&self.state)?,
            audit: self.audit.into_audit()?,
        })
    }
}

/// A contact in JSON. Empty fields are left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactForm {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    avatar: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    business_phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    website: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    facebook: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    instagram: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    yelp: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    google: String,
}

impl From<&Contact> for ContactForm {
    fn from(contact: &Contact) -> Self {
        Self {
            avatar: contact.avatar.as_str().to_owned(),
            phone: contact.phone.as_str().to_owned(),
            business_phone: contact.business_phone.as_str().to_owned(),
            email: contact.email.as_str().to_owned(),
            website: contact.website.as_str().to_owned(),
            facebook: contact.facebook.as_str().to_owned(),
            instagram: contact.instagram.as_str().to_owned(),
            yelp: contact.yelp.as_str().to_owned(),
            google: contact.google.as_str().to_owned(),
        }
    }
}

impl ContactForm {
    fn into_contact(self) -> Result<Contact, StoreError> {
        Ok(Contact {
            avatar: ShortText::parse("avatar", &self.avatar)?,
            phone: ShortText::parse("phone", &self.phone)?,
            business_phone: ShortText::parse("business_phone", &self.business_phone)?,
            email: ShortText::parse("email", &self.email)?,
            website: ShortText::parse("website", &self.website)?,
            facebook: ShortText::parse("facebook", &self.facebook)?,
            instagram: ShortText::parse("instagram", &self.instagram)?,
            yelp: ShortText::parse("yelp", &self.yelp)?,
            google: ShortText::parse("google", &self.google)?,
        })
    }
}

/// An address in JSON. Empty fields are left out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressForm {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address1: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address2: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    city: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    postal_code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    country: String,
    /// Degrees north and east. serde_json needs `float_roundtrip` to read the last bit correctly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coordinate: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kind: String,
}

impl From<&Address> for AddressForm {
    fn from(address: &Address) -> Self {
        Self {
            id: address.id.as_str().to_owned(),
            address1: address.address1.as_str().to_owned(),
            address2: address.address2.as_str().to_owned(),
            city: address.city.as_str().to_owned(),
            state: address.state.as_str().to_owned(),
            postal_code: address.postal_code.as_str().to_owned(),
            country: address.country.as_str().to_owned(),
            coordinate: address.coordinate.map(|at| [at.latitude(), at.longitude()]),
            kind: address.kind.as_str().to_owned(),
        }
    }
}

impl AddressForm {
    fn into_address(self) -> Result<Address, StoreError> {
        let coordinate =
            self.coordinate.map(|[north, east]| Coordinate::new(north, east)).transpose()?;
        Ok(Address {
            id: ShortText::parse("id", &self.id)?,
            address1: ShortText::parse("address1", &self.address1)?,
            address2: ShortText::parse("address2", &self.address2)?,
            city: ShortText::parse("city", &self.city)?,
            state: ShortText::parse("state", &self.state)?,
            postal_code: ShortText::parse("postal_code", &self.postal_code)?,
            country: Country::stored(self.country),
            coordinate,
            kind: AddressKind::parse(&self.kind)
                .ok_or_else(|| unknown("address kind", &self.kind))?,
        })
    }
}

/// An entry in the log, and in the columns of its table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryForm {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) color: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_default: bool,
    pub(super) rank: u32,
    pub(super) state: String,
    pub(super) audit: AuditForm,
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            name: entry.name.to_string(),
            description: entry.description.as_str().to_owned(),
            color: entry.color.map(|color| color.to_string()),
            is_default: entry.is_default,
            rank: entry.rank,
            state: entry.state.as_str().to_owned(),
            audit: (&entry.audit).into(),
        }
    }
}

impl EntryForm {
    pub(super) fn into_entry(self) -> Result<Entry, StoreError> {
        Ok(Entry {
            id: EntryId::parse("id", &self.id)?,
            name: Name::stored(&self.name)?,
            description: Description::parse("description", &self.description)?,
            color: self.color.map(|color| Color::parse("color", &color)).transpose()?,
            is_default: self.is_default,
            rank: self.rank,
            state: parse_state(&self.state)?,
            audit: self.audit.into_audit()?,
        })
    }
}

#[cfg(test)]
mod tests;
