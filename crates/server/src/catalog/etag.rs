//! Etags: hashes of content, by which a writer says which state of a thing it knows.
//!
//! Etags hold no epoch and need none: each holds the revision and the microsecond of the last change. So after a
//! restore an old etag matches only where the same state came back.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{
    access::Coverage,
    company::{Address, Business, Company},
    entry::{Audit, Catalog, Entry},
    error::Violation,
    key::Key,
    settings::{Settings, Subject},
    time::Timestamp,
};

/// The bytes of the hash that an etag has. Twelve are enough, since nobody gains by a collision.
const HASH_BYTES: usize = 12;

/// A hash of a thing's content. Callers treat it as opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// The hexadecimal digits of an etag.
    pub const DIGITS: usize = HASH_BYTES * 2;

    /// Parses an etag that a caller sends back, with or without quotation marks or the mark of a weak tag.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let tag = value.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
        // The `ETag` header of a list has a second part, a hash of the whole answer.
        let tag = tag.split_once('.').map_or(tag, |(own, _)| own);
        let is_hash = tag.len() == Self::DIGITS && tag.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash {
            return Ok(Self(tag.to_ascii_lowercase()));
        }
        let description = "must be an etag as the server answered it, or empty";
        Err(Violation::new(field, "MALFORMED_ETAG", description))
    }

    /// The tag as text, without quotation marks.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hash of fields, one after the other. Each field's end is hashed too, so that no two lists of fields have the same
/// hash. No field depends on how a library prints it, since servers of two versions must agree.
struct Fields(Sha256);

impl Fields {
    /// Begins the hash of a thing of that kind.
    fn of(kind: &str) -> Self {
        Self(Sha256::new()).text(kind)
    }

    fn number(mut self, number: u64) -> Self {
        self.0.update(number.to_be_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut own = self.number(text.len() as u64);
        own.0.update(text.as_bytes());
        own
    }

    /// Adds the number of items, and then each of them.
    fn all<T>(self, items: impl IntoIterator<Item = T>, add: impl Fn(Self, T) -> Self) -> Self {
        let items: Vec<T> = items.into_iter().collect();
        let own = self.number(items.len() as u64);
        items.into_iter().fold(own, add)
    }

    fn time(self, time: Timestamp) -> Self {
        self.number(time.as_micros().cast_unsigned())
    }

    fn audit(self, audit: &Audit) -> Self {
        self.number(audit.revision.0).time(audit.last_updated_time)
    }

    fn etag(self) -> Etag {
        let digits = b"0123456789abcdef";
        let digest = self.0.finalize();
        let nibbles = digest[..HASH_BYTES].iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Etag(nibbles.map(|nibble| char::from(digits[usize::from(nibble)])).collect())
    }
}

impl Entry {
    /// A hash of the entry's content, without its rank.
    pub fn etag(&self) -> Etag {
        Fields::of("entry")
            .text(self.id.as_str())
            .text(self.name.as_str())
            .text(self.description.as_str())
            .all(self.color, |fields, color| fields.text(&color.to_string()))
            .number(self.is_default.into())
            .text(self.state.as_str())
            .audit(&self.audit)
            .etag()
    }
}

impl Company {
    /// A hash of the company's own content, without its catalogs and locations.
    pub fn etag(&self) -> Etag {
        let fields = Fields::of("company")
            .text(self.id.as_str())
            .text(self.name.as_str())
            .text(self.country.as_str())
            .text(self.timezone.as_str())
            .text(self.state.as_str());
        // Companies without a source have the etags from before there were sources.
        let fields = match self.source {
            Some(source) => fields.text(&source.to_string()),
            None => fields,
        };
        fields.audit(&self.audit).etag()
    }
}

impl Business {
    /// A hash of the location's content.
    pub fn etag(&self) -> Etag {
        Fields::of("business")
            .text(self.id.as_str())
            .text(self.name.as_str())
            .text(self.state.as_str())
            .all(self.contact.texts(), |fields, text| fields.text(text.as_str()))
            .all(&self.address, Fields::address)
            .audit(&self.audit)
            .etag()
    }
}

impl Fields {
    fn address(self, address: &Address) -> Self {
        self.text(address.id.as_str())
            .text(address.address1.as_str())
            .text(address.address2.as_str())
            .text(address.city.as_str())
            .text(address.state.as_str())
            .text(address.postal_code.as_str())
            .text(address.country.as_str())
            .text(address.kind.as_str())
            .all(address.coordinate, |fields, at| {
                fields.number(at.latitude().to_bits()).number(at.longitude().to_bits())
            })
    }
}

impl Key {
    /// A hash of the key's restrictions and its log's revision, without its secrets.
    pub fn etag(&self) -> Etag {
        let (is_limited, companies) = match &self.coverage {
            Coverage::All => (0, None),
            Coverage::Only(ids) => (1, Some(ids)),
        };
        Fields::of("key")
            .text(self.id.as_str())
            .text(self.name.as_str())
            .all(self.scopes.names(), Fields::text)
            .number(is_limited)
            .all(companies.into_iter().flatten(), |fields, id| fields.text(id.as_str()))
            .all(&self.addresses, |fields, net| fields.text(&net.to_string()))
            .all(self.expires_time, Fields::time)
            .all(&self.staff_id, |fields, id| fields.text(id.as_str()))
            .audit(&self.audit)
            .etag()
    }
}

impl Settings {
    /// A hash of all the catalog's entries and their order.
    pub fn catalog_etag(&self, catalog: Catalog) -> Etag {
        let of = |entries: &[Entry]| {
            Fields::of("catalog")
                .all(entries, |fields, entry| fields.text(entry.etag().as_str()))
                .etag()
        };
        self.catalogs[catalog.index()].etag(of)
    }

    /// The etag of one thing, or of everything; `None` if the thing does not exist.
    pub fn etag_of(&self, subject: Option<&Subject>) -> Option<Etag> {
        match subject {
            None => Some(self.etag()),
            Some(Subject::Company) => Some(self.company.etag()),
            Some(Subject::Business(id)) => {
                self.businesses.iter().find(|business| business.id == *id).map(Business::etag)
            }
            Some(Subject::Entry(catalog, id)) => self.entry(*catalog, id).map(Entry::etag),
            Some(Subject::Catalog(catalog)) => Some(self.catalog_etag(*catalog)),
            Some(Subject::Key(_)) => None,
        }
    }

    /// A hash of everything, which differs after every change.
    pub fn etag(&self) -> Etag {
        let of = |businesses: &[Business]| {
            Fields::of("businesses")
                .all(businesses, |fields, business| fields.text(business.etag().as_str()))
                .etag()
        };
        Fields::of("settings")
            .number(self.revision.0)
            .text(self.company.etag().as_str())
            .text(self.businesses.etag(of).as_str())
            .all(Catalog::ALL, |fields, catalog| fields.text(self.catalog_etag(catalog).as_str()))
            .etag()
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::catalog::{
        access::{Scope, Scopes},
        company::{AddressKind, Contact, Coordinate, ShortText},
        entry::{Revision, State},
        id::{BusinessId, CompanyId, EntryId, KeyId, StaffId},
        key::SecretDigest,
        place::{Country, TimeZone},
        text::{Color, Description, Name},
    };

    fn audit() -> Audit {
        Audit {
            created_by: StaffId::parse("", "staff_1").unwrap(),
            created_time: Timestamp::from_micros(1),
            last_updated_by: StaffId::parse("", "staff_2").unwrap(),
            last_updated_time: Timestamp::from_micros(1_700_000_000_000_001),
            revision: Revision(7),
        }
    }

    fn name(text: &str) -> Name {
        Name::parse("", text).unwrap()
    }

    fn short(text: &str) -> ShortText {
        ShortText::parse("", text).unwrap()
    }

    fn entry() -> Entry {
        Entry {
            id: EntryId::parse("", "tag_1").unwrap(),
            name: name("Caf\u{e9}"),
            description: Description::parse("", "two\nlines").unwrap(),
            color: Some(Color::parse("", "#00FF0A").unwrap()),
            is_default: false,
            rank: 3,
            state: State::Active,
            audit: audit(),
        }
    }

    fn business() -> Business {
        let address = Address {
            city: short("Graz"),
            country: Country::parse("", "AT").unwrap(),
            coordinate: Some(Coordinate::new(47.07, -15.5).unwrap()),
            kind: AddressKind::Primary,
            ..Address::default()
        };
        Business {
            id: BusinessId::parse("", "biz_1").unwrap(),
            name: name("Main Street"),
            contact: Contact { phone: short("1"), ..Contact::default() },
            address: Some(address),
            state: State::Archived,
            audit: audit(),
        }
    }

    fn key() -> Key {
        let ids = ["cmp_1", "cmp_2"].map(|id| CompanyId::parse("", id).unwrap());
        Key {
            id: KeyId::parse("", "key_1").unwrap(),
            name: name("Till"),
            secret: SecretDigest([1; 32]),
            previous: None,
            scopes: Scopes::Only([Scope::SettingsRead, Scope::KeysRead].into()),
            coverage: Coverage::Only(ids.into()),
            addresses: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()],
            expires_time: Some(Timestamp::from_micros(1_800_000_000_000_000)),
            staff_id: Some(StaffId::parse("", "staff_1").unwrap()),
            revoked_time: None,
            link_time: None,
            created_by_key_id: None,
            audit: audit(),
        }
    }

    /// Servers of two versions answer side by side for the same data, and writers carry etags from one to the other. So
    /// these etags never change.
    #[test]
    fn an_etag_is_the_same_whichever_version_answers() {
        let company = Company {
            id: CompanyId::parse("", "cmp_1").unwrap(),
            name: name("A"),
            country: Country::parse("", "US").unwrap(),
            timezone: TimeZone::parse("", "America/New_York").unwrap(),
            state: State::Active,
            source: None,
            audit: audit(),
        };
        let settings = Settings {
            company: company.clone(),
            revision: Revision(7),
            changed_time: Timestamp::from_micros(2),
            businesses: vec![business()].into(),
            catalogs: [vec![entry()], vec![], vec![], vec![]].map(Into::into),
        };
        let etags = [
            entry().etag(),
            company.etag(),
            business().etag(),
            key().etag(),
            settings.catalog_etag(Catalog::ALL[0]),
            settings.catalog_etag(Catalog::ALL[1]),
            settings.etag(),
        ];
        assert_eq!(
            etags.map(|etag| etag.to_string()),
            [
                "66e97a5bc192245156bce086",
                "5a9bdaaa64bc54d816d1d913",
                "111ecfe43296137b438082ce",
                "9c78acf139fbb73fb32bbfe4",
                "9c42f9a37ff4b42c31f37b21",
                "4028bdd90cdcaa0503d1c543",
                "739d3183a69bd83d0809028f"
            ]
        );
    }

    #[test]
    fn what_differs_has_another_etag() {
        let changes: [fn(&mut Key); 9] = [
            |_| (),
            |key| key.coverage = Coverage::All,
            |key| key.coverage = Coverage::Only([].into()),
            |key| key.addresses.truncate(1),
            |key| key.addresses.clear(),
            |key| key.expires_time = None,
            |key| key.staff_id = None,
            |key| key.scopes = Scopes::All,
            |key| key.audit.revision = Revision(8),
        ];
        let etags = changes.map(|change| {
            let mut key = key();
            change(&mut key);
            key.etag().to_string()
        });
        let changes: [fn(&mut Address); 5] = [
            |_| (),
            |address| address.coordinate = None,
            |address| address.kind = AddressKind::Secondary,
            // A value that moves from one field to the next makes another address.
            |address| std::mem::swap(&mut address.city, &mut address.state),
            |address| address.country = Country::default(),
        ];
        let places = changes.map(|change| {
            let mut business = business();
            change(business.address.as_mut().unwrap());
            business.etag().to_string()
        });
        let all = etags.iter().chain(&places);
        let distinct: std::collections::BTreeSet<_> = all.clone().collect();
        assert_eq!(distinct.len(), all.count());
    }
}
