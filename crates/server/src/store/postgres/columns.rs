//! Reading columns. A column with an invalid value is damage.

use tokio_postgres::{Row, types::FromSql};

use super::error::damaged;
use crate::{
    catalog::{entry::Revision, id::CompanyId, time::Timestamp},
    store::{
        StoreError,
        forms::{self, AuditForm},
    },
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

pub(super) fn value<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T> {
    row.try_get(column).map_err(forms::not_as_written)
}

pub(super) fn text(row: &Row, column: &str) -> Result<String> {
    value(row, column)
}

pub(super) fn optional_text(row: &Row, column: &str) -> Result<Option<String>> {
    value(row, column)
}

pub(super) fn time(row: &Row, column: &str) -> Result<Timestamp> {
    value(row, column).map(Timestamp::from_micros)
}

pub(super) fn optional_time(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = value(row, column)?;
    Ok(micros.map(Timestamp::from_micros))
}

pub(super) fn revision(row: &Row, column: &str) -> Result<Revision> {
    let number: i64 = value(row, column)?;
    u64::try_from(number).map(Revision).map_err(damaged)
}

pub(super) fn digest(row: &Row, column: &str) -> Result<[u8; 32]> {
    let bytes: &[u8] = value(row, column)?;
    bytes.try_into().map_err(forms::not_as_written)
}

pub(super) fn company_id(row: &Row, column: &str) -> Result<CompanyId> {
    Ok(CompanyId::parse(column, &text(row, column)?)?)
}

/// `revision_column` is the column that holds the audit's revision.
pub(super) fn audit(row: &Row, revision_column: &str) -> Result<AuditForm> {
    Ok(AuditForm {
        created_by: text(row, "created_by")?,
        created_time: value(row, "created_time")?,
        last_updated_by: text(row, "last_updated_by")?,
        last_updated_time: value(row, "last_updated_time")?,
        revision: revision(row, revision_column)?.0,
    })
}

/// Converts to the engine's integers, which have a sign. A number that does not fit is larger than any stored one.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
