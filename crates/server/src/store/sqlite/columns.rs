//! The columns of SQLite's rows.

use std::cell::Cell;

use rusqlite::{Row, types::ValueRef};

use super::{damaged, failure};
use crate::store::{
    StoreError,
    forms::{Columns, not_as_written},
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A row that is read by the names of its columns.
pub(super) struct NamedRow<'a> {
    row: &'a Row<'a>,
    /// The column after the one that was read last. It is tried first, since SQLite compares the names of all columns
    /// to find one, and the columns of a query stand mostly in the order in which they are read.
    next: Cell<usize>,
}

impl<'a> NamedRow<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: Cell::new(0) }
    }

    fn value(&self, column: &str) -> Result<ValueRef<'_>> {
        let (statement, next) = (self.row.as_ref(), self.next.get());
        let is_next = next < statement.column_count()
            && statement.column_name(next).is_ok_and(|name| name == column);
        let index = match is_next {
            true => next,
            false => statement.column_index(column).map_err(failure)?,
        };
        self.next.set(index + 1);
        self.row.get_ref(index).map_err(failure)
    }
}

impl Columns for NamedRow<'_> {
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.value(column)?.as_str_or_null().map_err(not_as_written)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>> {
        self.value(column)?.as_i64_or_null().map_err(not_as_written)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        self.value(column)?.as_blob_or_null().map_err(not_as_written)
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
    read: impl Fn(&NamedRow<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        all.push(read(&NamedRow::of(row))?);
    }
    Ok(all)
}
