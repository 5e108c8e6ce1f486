//! The document that `load` reads and `export` writes: companies, their locations, their entries,
//! as YAML or JSON.
//!
//! Reading keeps the line of every value, so that an error can name it.

use std::{collections::BTreeMap, fmt, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, ContactDraft, EntryDraft},
    company::{Address, AddressKind, Business, Coordinate, Country, ShortText},
    entry::{Catalog, Entry, State},
    error::Violation,
    id::{BusinessId, CompanyId, EntryId, StaffId},
    settings::Settings,
    text::{Color, Description, Name},
    time::Timestamp,
};

type Text = Option<Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentRow {
    companies: Vec<Spanned<CompanyRow>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
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
    businesses: Option<Vec<Spanned<BusinessRow>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_tags: Option<Vec<Spanned<EntryRow>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referral_sources: Option<Vec<Spanned<EntryRow>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    life_cycles: Option<Vec<Spanned<EntryRow>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_statuses: Option<Vec<Spanned<EntryRow>>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
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
    address: Option<Spanned<AddressRow>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
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

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(default)]
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

/// The document cannot be read at all.
#[derive(Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// A company of a document: what it says, or what is wrong with it.
pub struct DocumentCompany {
    /// The id it gives.
    pub id: Option<CompanyId>,
    /// What to call it in a report: its id, else its name.
    pub label: String,
    /// What it says.
    pub draft: Result<CompanyDraft, Vec<Problem>>,
    lines: Lines,
}

impl DocumentCompany {
    /// Where the company begins in the document.
    pub fn line(&self) -> u64 {
        self.lines.of("")
    }

    /// Where in the document a violation is.
    pub fn locate(&self, violation: Violation) -> Problem {
        Problem { line: self.lines.of(&violation.field), violation }
    }
}

/// Something wrong with a company of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document's line, from 1.
    pub line: u64,
    /// What is wrong.
    pub violation: Violation,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.violation)
    }
}

/// Reads a document. JSON is read as the YAML that it nearly is.
pub fn parse(text: &str) -> Result<Vec<DocumentCompany>, Unreadable> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // Documents come from the operator and may hold thousands of companies.
        budget: serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 4_000_000_000,
        },
    };
    let document: DocumentRow =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let text = error.to_string();
            Unreadable(text.trim_start_matches("error: ").to_owned())
        })?;
    Ok(document.companies.into_iter().map(company).collect())
}

fn company(row: Spanned<CompanyRow>) -> DocumentCompany {
    let mut reader = Reader { lines: Lines::default(), violations: Vec::new() };
    reader.lines.add("", row.referenced);
    let row = row.value;
    let label =
        row.id.as_ref().or(row.name.as_ref()).map_or_else(String::new, |text| text.value.clone());
    let id = reader.optional("id", &row.id, CompanyId::parse);
    if row.id.is_none() && row.name.is_none() {
        reader.violations.push(Violation::new("id", "REQUIRED", "or a name is required"));
    }
    let catalogs = [row.customer_tags, row.referral_sources, row.life_cycles, row.action_statuses];
    let draft = CompanyDraft {
        name: reader.optional("name", &row.name, Name::parse),
        country: reader.optional("country", &row.country, Country::parse),
        timezone: reader.optional("timezone", &row.timezone, ShortText::parse),
        state: reader.optional("state", &row.state, parse_state),
        businesses: reader.list("businesses", row.businesses, Reader::business),
        catalogs: {
            let mut drafts: [Vec<EntryDraft>; 4] = Default::default();
            for (catalog, rows) in Catalog::ALL.into_iter().zip(catalogs) {
                drafts[catalog.index()] = reader.list(catalog.as_str(), rows, Reader::entry);
            }
            drafts
        },
    };
    let Reader { lines, violations } = reader;
    let problems = |violation: Violation| Problem { line: lines.of(&violation.field), violation };
    let draft = if violations.is_empty() {
        Ok(draft)
    } else {
        Err(violations.into_iter().map(problems).collect())
    };
    DocumentCompany { id, label, draft, lines }
}

/// The line of each value that was read, by the value's path.
#[derive(Default)]
struct Lines(BTreeMap<String, u64>);

impl Lines {
    fn add(&mut self, path: &str, location: Location) {
        self.0.insert(path.to_owned(), location.line());
    }

    /// The line of the value at that path, else of the nearest one around it.
    fn of(&self, path: &str) -> u64 {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return *line;
            }
            path = path.rsplit_once(['.', '[']).map_or("", |(around, _)| around);
        }
    }
}

/// Takes values out of rows and notes what is wrong with them, and where.
struct Reader {
    lines: Lines,
    violations: Vec<Violation>,
}

impl Reader {
    fn optional<T>(
        &mut self,
        path: &str,
        text: &Text,
        parse: impl Fn(&str, &str) -> Result<T, Violation>,
    ) -> Option<T> {
        let text = text.as_ref()?;
        self.lines.add(path, text.referenced);
        parse(path, &text.value).map_err(|violation| self.violations.push(violation)).ok()
    }

    fn required_name(&mut self, path: &str, text: &Text) -> Option<Name> {
        if text.is_none() {
            self.violations.push(Violation::new(path, "REQUIRED", "is required"));
        }
        self.optional(path, text, Name::parse)
    }

    fn list<Row, Draft>(
        &mut self,
        name: &str,
        rows: Option<Vec<Spanned<Row>>>,
        read: impl Fn(&mut Self, &str, Row) -> Option<Draft>,
    ) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for (i, row) in rows.unwrap_or_default().into_iter().enumerate() {
            let path = format!("{name}[{i}]");
            self.lines.add(&path, row.referenced);
            drafts.extend(read(self, &path, row.value));
        }
        drafts
    }

    fn entry(&mut self, at: &str, row: EntryRow) -> Option<EntryDraft> {
        let path = |field: &str| format!("{at}.{field}");
        let color = |field: &str, value: &str| {
            if value.is_empty() { Ok(None) } else { Color::parse(field, value).map(Some) }
        };
        let id = self.optional(&path("id"), &row.id, EntryId::parse);
        let name = self.required_name(&path("name"), &row.name);
        let draft = EntryDraft {
            id,
            name: name?,
            description: self.optional(&path("description"), &row.description, Description::parse),
            color: self.optional(&path("color"), &row.color, color),
            is_default: row.is_default,
            state: self.optional(&path("state"), &row.state, parse_state),
            created_by: self.optional(&path("created_by"), &row.created_by, StaffId::parse),
            created_time: self.optional(&path("created_time"), &row.created_time, parse_time),
            last_updated_by: self.optional(
                &path("last_updated_by"),
                &row.last_updated_by,
                StaffId::parse,
            ),
            last_updated_time: self.optional(
                &path("last_updated_time"),
                &row.last_updated_time,
                parse_time,
            ),
        };
        Some(draft)
    }

    fn business(&mut self, at: &str, row: BusinessRow) -> Option<BusinessDraft> {
        let path = |field: &str| format!("{at}.{field}");
        let id = self.optional(&path("id"), &row.id, BusinessId::parse);
        let name = self.required_name(&path("name"), &row.name);
        let address = row.address.map(|address| {
            let at = path("address");
            self.lines.add(&at, address.referenced);
            self.address(&at, &address.value)
        });
        let state = self.optional(&path("state"), &row.state, parse_state);
        let mut text =
            |field: &str, text: &Text| self.optional(&path(field), text, ShortText::parse);
        let contact = ContactDraft {
            avatar: text("avatar", &row.avatar),
            phone: text("phone", &row.phone),
            business_phone: text("business_phone", &row.business_phone),
            email: text("email", &row.email),
            website: text("website", &row.website),
            facebook: text("facebook", &row.facebook),
            instagram: text("instagram", &row.instagram),
            yelp: text("yelp", &row.yelp),
            google: text("google", &row.google),
        };
        Some(BusinessDraft { id, name: name?, address, state, contact })
    }

    fn address(&mut self, at: &str, row: &AddressRow) -> Address {
        let coordinate = match (row.latitude, row.longitude) {
            (None, None) => None,
            (Some(latitude), Some(longitude)) => Coordinate::new(latitude, longitude)
                .map_err(|mut violation| {
                    violation.field = format!("{at}.{}", violation.field);
                    self.violations.push(violation);
                })
                .ok(),
            _ => {
                let description = "needs both latitude and longitude, or neither";
                self.violations.push(Violation::new(at, "REQUIRED", description));
                None
            }
        };
        let path = |field: &str| format!("{at}.{field}");
        let kind = self.optional(&path("type"), &row.r#type, |field, value| {
            let description = "must be primary or secondary";
            AddressKind::parse(value)
                .ok_or_else(|| Violation::new(field, "UNKNOWN_TYPE", description))
        });
        let country =
            self.optional(&path("country"), &row.country, Country::parse).unwrap_or_default();
        let mut text = |field: &str, text: &Text| {
            self.optional(&path(field), text, ShortText::parse).unwrap_or_default()
        };
        Address {
            id: text("id", &row.id),
            address1: text("address1", &row.address1),
            address2: text("address2", &row.address2),
            city: text("city", &row.city),
            state: text("state", &row.state),
            postal_code: text("postal_code", &row.postal_code),
            country,
            coordinate,
            kind: kind.unwrap_or_default(),
        }
    }
}

fn parse_state(field: &str, value: &str) -> Result<State, Violation> {
    State::parse(value)
        .ok_or_else(|| Violation::new(field, "UNKNOWN_STATE", "must be active or archived"))
}

/// Takes RFC 3339 in UTC, to the microsecond.
fn parse_time(field: &str, value: &str) -> Result<Timestamp, Violation> {
    let since =
        humantime::parse_rfc3339(value).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map(Timestamp::from_micros)
        .ok_or_else(|| {
            let description = "must be a time in UTC such as 2023-01-01T10:00:00Z";
            Violation::new(field, "MALFORMED_TIME", description)
        })
}

/// Writes one company as an item of the list `companies`, with all that [`parse`] reads.
///
/// What is empty or usual is left out, so that the same settings always give the same bytes.
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

fn rows<T, Row>(values: &[T], row: impl Fn(&T) -> Row) -> Option<Vec<Spanned<Row>>> {
    (!values.is_empty()).then(|| values.iter().map(|value| spanned(row(value))).collect())
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
        address: business.address.as_ref().map(|address| spanned(address_row(address))),
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
    (state != State::Active).then(|| spanned(state.as_str().to_owned()))
}

fn text(value: &str) -> Text {
    (!value.is_empty()).then(|| spanned(value.to_owned()))
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned { value, referenced: Location::UNKNOWN, defined: Location::UNKNOWN }
}
