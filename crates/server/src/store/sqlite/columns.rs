//! The columns of SQLite's rows.

use rusqlite::Row;

use super::{damaged, failure};
use crate::store::{
    StoreError,
    forms::{Columns, not_as_written},
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

impl Columns for Row<'_> {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.get_ref(column).map_err(failure)?.as_str_or_null().map_err(not_as_written)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>> {
        self.get_ref(column).map_err(failure)?.as_i64_or_null().map_err(not_as_written)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        self.get_ref(column).map_err(failure)?.as_blob_or_null().map_err(not_as_written)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        Ok(self.number(column)? != 0)
    }
}

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
