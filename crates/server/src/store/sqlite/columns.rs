//! Reading columns. A column with an invalid value is damage.

use rusqlite::Row;

use super::{damaged, failure};
use crate::{
    catalog::{entry::Revision, id::CompanyId, time::Timestamp},
    store::{StoreError, forms::AuditForm},
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// Checks that one row was written. The revision matched, so the rows that the plan read must exist.
pub(super) fn one_row(written: usize) -> Result<()> {
    if written == 1 {
        Ok(())
    } else {
        Err(damaged("a row that the plan changes is not as it was read"))
    }
}

pub(super) fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(super) fn text(row: &Row<'_>, column: &str) -> Result<String> {
    row.get(column).map_err(failure)
}

pub(super) fn optional_text(row: &Row<'_>, column: &str) -> Result<Option<String>> {
    row.get(column).map_err(failure)
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros).map_err(failure)
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column).map_err(failure)?;
    Ok(micros.map(Timestamp::from_micros))
}

pub(super) fn revision(row: &Row<'_>, column: &str) -> Result<Revision> {
    let number: i64 = row.get(column).map_err(failure)?;
    u64::try_from(number).map(Revision).map_err(damaged)
}

pub(super) fn company_id(row: &Row<'_>, column: &str) -> Result<CompanyId> {
    Ok(CompanyId::parse(column, &text(row, column)?)?)
}

/// `revision_column` is the column that holds the audit's revision.
pub(super) fn audit(row: &Row<'_>, revision_column: &str) -> Result<AuditForm> {
    Ok(AuditForm {
        created_by: text(row, "created_by")?,
        created_time: row.get("created_time").map_err(failure)?,
        last_updated_by: text(row, "last_updated_by")?,
        last_updated_time: row.get("last_updated_time").map_err(failure)?,
        revision: revision(row, revision_column)?.0,
    })
}
