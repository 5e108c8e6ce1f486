//! The columns of PostgreSQL's rows.

use tokio_postgres::{Row, types::FromSql};

use crate::store::{
    StoreError,
    forms::{Columns, not_as_written},
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

impl Columns for Row {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        value(self, column)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>> {
        value(self, column)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        value(self, column)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        value(self, column)
    }
}

fn value<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T> {
    row.try_get(column).map_err(not_as_written)
}

/// Converts to the engine's integers, which have a sign. A number that does not fit is larger than any stored one.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
