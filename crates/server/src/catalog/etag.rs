//! Etags: hashes of content, by which a writer says what it has seen.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{
    company::{Business, Company, ShortText},
    entry::{Audit, Catalog, Entry},
    error::Violation,
    key::Key,
    settings::{Settings, Subject},
};

/// Bytes of the hash that are kept: enough, since nobody gains by a collision.
const HASH_BYTES: usize = 12;

/// A hash of what something was. Callers see opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// Takes what a caller sends back: with or without quotation marks or the mark of a weak tag.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let tag = value.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
        // The header ETag has more behind it: a hash of the whole answer.
        let tag = tag.split_once('.').map_or(tag, |(own, _)| own);
        let is_hash = tag.len() == HASH_BYTES * 2 && tag.bytes().all(|b| b.is_ascii_hexdigit());
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

    fn of(hash: Sha256) -> Self {
        let digits = b"0123456789abcdef";
        let digest = hash.finalize();
        let nibbles = digest[..HASH_BYTES].iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Self(nibbles.map(|nibble| char::from(digits[usize::from(nibble)])).collect())
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Each part with its length, so that no two lists of parts hash alike.
fn add(hash: &mut Sha256, parts: &[&str]) {
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
}

fn add_audit(hash: &mut Sha256, audit: &Audit) {
    hash.update(audit.revision.0.to_be_bytes());
    hash.update(audit.last_updated_time.as_micros().to_be_bytes());
}

impl Entry {
    /// A hash of its content, without its place.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        let color = self.color.map(|color| color.to_string()).unwrap_or_default();
        let is_default = if self.is_default { "default" } else { "" };
        add(
            &mut hash,
            &[
                self.id.as_str(),
                self.name.as_str(),
                self.description.as_str(),
                &color,
                is_default,
                self.state.as_str(),
            ],
        );
        add_audit(&mut hash, &self.audit);
        Etag::of(hash)
    }
}

impl Company {
    /// A hash of its own content, not of its catalogs.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        add(
            &mut hash,
            &[
                self.id.as_str(),
                self.name.as_str(),
                self.country.as_str(),
                self.timezone.as_str(),
                self.state.as_str(),
            ],
        );
        add_audit(&mut hash, &self.audit);
        Etag::of(hash)
    }
}

impl Business {
    /// A hash of its content.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        add(&mut hash, &[self.id.as_str(), self.name.as_str(), self.state.as_str()]);
        add(&mut hash, &self.contact.texts().map(ShortText::as_str));
        if let Some(address) = &self.address {
            add(&mut hash, &[&format!("{address:?}")]);
        }
        add_audit(&mut hash, &self.audit);
        Etag::of(hash)
    }
}

impl Key {
    /// A hash of what it may do and how far it got; its secrets are no part of it.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        add(&mut hash, &[self.id.as_str(), self.name.as_str(), &self.scopes.names().join(" ")]);
        add(&mut hash, &[&format!("{:?} {:?}", self.coverage, self.addresses)]);
        add(&mut hash, &[&format!("{:?} {:?}", self.expires_time, self.staff_id)]);
        add_audit(&mut hash, &self.audit);
        Etag::of(hash)
    }
}

impl Settings {
    /// A hash of all a catalog's entries and their order.
    pub fn catalog_etag(&self, catalog: Catalog) -> Etag {
        let mut hash = Sha256::new();
        for entry in self.entries(catalog) {
            add(&mut hash, &[entry.etag().as_str()]);
        }
        Etag::of(hash)
    }

    /// The etag of one thing, or of everything; `None` if there is no such thing.
    pub fn etag_of(&self, subject: Option<&Subject>) -> Option<Etag> {
        match subject {
            None => Some(self.etag()),
            Some(Subject::Company) => Some(self.company.etag()),
            Some(Subject::Business(id)) => {
                self.businesses.iter().find(|business| business.id == *id).map(Business::etag)
            }
            Some(Subject::Entry(catalog, id)) => self.entry(*catalog, id).map(Entry::etag),
            Some(Subject::Catalog(catalog)) => Some(self.catalog_etag(*catalog)),
        }
    }

    /// Of everything: differs after every change.
    pub fn etag(&self) -> Etag {
        let mut hash = Sha256::new();
        hash.update(self.revision.0.to_be_bytes());
        add(&mut hash, &[self.company.etag().as_str()]);
        for business in &self.businesses {
            add(&mut hash, &[business.etag().as_str()]);
        }
        for catalog in Catalog::ALL {
            add(&mut hash, &[self.catalog_etag(catalog).as_str()]);
        }
        Etag::of(hash)
    }
}
