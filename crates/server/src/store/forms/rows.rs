//! Rows of the tables: what their columns mean, read alike over the drivers of both engines.

use super::{
    AuditForm, BusinessForm, CompanyForm, EntryForm, StoreError, decode, decode_addresses,
    decode_coverage, decode_scopes, inflate, not_as_written, parse_catalog,
};
use crate::{
    catalog::{
        checkpoint::Checkpoint,
        company::{Business, Company, ShortText},
        entry::{Catalog, Entry, Revision},
        id::{CompanyId, EntryId, KeyId, StaffId},
        key::{Key, KeySecrets, PreviousSecret, SecretDigest},
        session::{Session, SignInLink},
        settings::Settings,
        source::SourceCheck,
        text::Name,
        time::Timestamp,
    },
    store::{CheckpointRow, CompanyRow, KeyRow, listed},
};

type Result<T> = std::result::Result<T, StoreError>;

/// A row of a query by the names of its columns. A column that is missing, or has another type, is damage.
pub(in crate::store) trait Columns {
    fn optional_text(&self, column: &str) -> Result<Option<&str>>;
    fn optional_number(&self, column: &str) -> Result<Option<i64>>;
    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>>;
    fn flag(&self, column: &str) -> Result<bool>;

    fn text(&self, column: &str) -> Result<&str> {
        present(column, self.optional_text(column)?)
    }

    fn number(&self, column: &str) -> Result<i64> {
        present(column, self.optional_number(column)?)
    }

    fn bytes(&self, column: &str) -> Result<&[u8]> {
        present(column, self.optional_bytes(column)?)
    }

    /// A number that is never negative.
    fn count<T: TryFrom<i64, Error: std::fmt::Display>>(&self, column: &str) -> Result<T> {
        self.number(column)?.try_into().map_err(not_as_written)
    }

    fn revision(&self, column: &str) -> Result<Revision> {
        self.count(column).map(Revision)
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        self.number(column).map(Timestamp::from_micros)
    }

    fn optional_time(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.optional_number(column)?.map(Timestamp::from_micros))
    }

    fn optional_digest(&self, column: &str) -> Result<Option<SecretDigest>> {
        let digest = self.optional_bytes(column)?.map(TryInto::try_into).transpose();
        Ok(digest.map_err(not_as_written)?.map(SecretDigest))
    }

    fn digest(&self, column: &str) -> Result<SecretDigest> {
        present(column, self.optional_digest(column)?)
    }
}

fn present<T>(column: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| not_as_written(format!("{column} is missing")))
}

/// `revision` is the column of the audit's revision.
fn audit(row: &impl Columns, revision: &str) -> Result<AuditForm> {
    Ok(AuditForm {
        created_by: row.text("created_by")?.to_owned(),
        created_time: row.number("created_time")?,
        last_updated_by: row.text("last_updated_by")?.to_owned(),
        last_updated_time: row.number("last_updated_time")?,
        revision: row.count(revision)?,
    })
}

pub(in crate::store) fn company_id(row: &impl Columns, column: &str) -> Result<CompanyId> {
    Ok(CompanyId::parse(column, row.text(column)?)?)
}

pub(in crate::store) fn entry_id(row: &impl Columns) -> Result<EntryId> {
    Ok(EntryId::parse("id", row.text("id")?)?)
}

pub(in crate::store) fn key_id(row: &impl Columns, column: &str) -> Result<KeyId> {
    Ok(KeyId::parse(column, row.text(column)?)?)
}

fn company(row: &impl Columns) -> Result<Company> {
    let form = CompanyForm {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        country: row.text("country")?.to_owned(),
        timezone: row.text("timezone")?.to_owned(),
        state: row.text("state")?.to_owned(),
        source: row.optional_text("source")?.map(str::to_owned),
        audit: audit(row, "last_updated_revision")?,
    };
    form.into_company()
}

/// A company of a list.
pub(in crate::store) fn company_row(row: &impl Columns) -> Result<CompanyRow> {
    listed((row.text("name")?.to_owned(), company_id(row, "id")?), company(row))
}

/// A company's own row, without its locations and catalogs.
pub(in crate::store) type Head = (Company, Revision, Timestamp);

pub(in crate::store) fn head(row: &impl Columns) -> Result<Head> {
    Ok((company(row)?, row.revision("revision")?, row.time("changed_time")?))
}

pub(in crate::store) fn business(row: &impl Columns) -> Result<Business> {
    let form = BusinessForm {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        contact: decode(row.text("contact")?)?,
        address: row.optional_text("address")?.map(decode).transpose()?,
        state: row.text("state")?.to_owned(),
        audit: audit(row, "last_updated_revision")?,
    };
    form.into_business()
}

/// A location with its company.
pub(in crate::store) fn business_row(row: &impl Columns) -> Result<(CompanyId, Business)> {
    Ok((company_id(row, "company_id")?, business(row)?))
}

pub(in crate::store) fn entry(row: &impl Columns) -> Result<(Catalog, Entry)> {
    let form = EntryForm {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        description: row.text("description")?.to_owned(),
        color: row.optional_text("color")?.map(str::to_owned),
        is_default: row.flag("is_default")?,
        rank: row.count("rank")?,
        state: row.text("state")?.to_owned(),
        audit: audit(row, "last_updated_revision")?,
    };
    Ok((parse_catalog(row.text("catalog")?)?, form.into_entry()?))
}

/// The company with its locations, and its entries in the order of their ranks.
pub(in crate::store) fn settings(
    (company, revision, changed_time): Head,
    businesses: Vec<Business>,
    entries: Vec<(Catalog, Entry)>,
) -> Settings {
    let mut catalogs: [Vec<Entry>; 4] = Default::default();
    for (catalog, entry) in entries {
        catalogs[catalog.index()].push(entry);
    }
    let (businesses, catalogs) = (businesses.into(), catalogs.map(Into::into));
    Settings { company, revision, changed_time, businesses, catalogs }
}

pub(in crate::store) fn key(row: &impl Columns) -> Result<Key> {
    let expires_time = row.optional_time("previous_expires_time")?;
    let previous = row.optional_digest("previous_secret")?.zip(expires_time);
    let id = |column| row.optional_text(column);
    Ok(Key {
        id: key_id(row, "id")?,
        name: Name::stored(row.text("name")?)?,
        secret: row.digest("secret")?,
        previous: previous.map(|(digest, expires_time)| PreviousSecret { digest, expires_time }),
        scopes: decode_scopes(row.text("scopes")?)?,
        coverage: decode_coverage(row.optional_text("companies")?)?,
        addresses: decode_addresses(row.text("addresses")?)?,
        expires_time: row.optional_time("expires_time")?,
        staff_id: id("staff_id")?.map(|id| StaffId::parse("staff_id", id)).transpose()?,
        revoked_time: row.optional_time("revoked_time")?,
        link_time: row.optional_time("link_time")?,
        created_by_key_id: id("created_by_key_id")?
            .map(|id| KeyId::parse("created_by_key_id", id))
            .transpose()?,
        audit: audit(row, "revision")?.into_audit()?,
    })
}

/// A key with the time of its last use.
pub(in crate::store) fn used_key(row: &impl Columns) -> Result<(Key, Option<Timestamp>)> {
    Ok((key(row)?, row.optional_time("last_used_time")?))
}

/// A key of a list.
pub(in crate::store) fn key_row(row: &impl Columns) -> Result<KeyRow> {
    listed(key_id(row, "id")?, used_key(row))
}

pub(in crate::store) fn key_secrets(row: &impl Columns) -> Result<KeySecrets> {
    Ok(KeySecrets {
        sequence: row.count("sequence")?,
        secret: row.digest("secret")?,
        previous: row.optional_digest("previous_secret")?,
    })
}

pub(in crate::store) fn source_check(row: &impl Columns) -> Result<(CompanyId, SourceCheck)> {
    let text = |column| Ok::<_, StoreError>(ShortText::parse(column, row.text(column)?)?);
    let check = SourceCheck {
        checked_time: row.time("checked_time")?,
        is_changed: row.flag("changed")?,
        problems: text("problems")?,
        held_back: Some(text("held_back")?),
    };
    Ok((company_id(row, "company_id")?, check))
}

pub(in crate::store) fn session(row: &impl Columns) -> Result<Session> {
    Ok(Session {
        id: row.digest("id")?,
        key_id: key_id(row, "key_id")?,
        secret: row.optional_digest("secret")?,
        created_time: row.time("created_time")?,
        seen_time: row.time("seen_time")?,
        expires_time: row.time("expires_time")?,
        browser: row.text("browser")?.to_owned(),
    })
}

pub(in crate::store) fn link(row: &impl Columns) -> Result<SignInLink> {
    Ok(SignInLink {
        id: row.digest("id")?,
        key_id: key_id(row, "key_id")?,
        expires_time: row.time("expires_time")?,
        used_time: row.optional_time("used_time")?,
    })
}

pub(in crate::store) fn checkpoint_row(row: &impl Columns) -> Result<CheckpointRow> {
    let revision = row.revision("revision")?;
    let read = || {
        let deltas = inflate(row.bytes("body")?)?;
        Ok(Checkpoint { revision, time: row.time("time")?, deltas })
    };
    listed(revision, read())
}
