//! Whether the tables are still those of the store that was opened: their names may belong to another store meanwhile, or
//! to nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Row;

use super::{columns::Result, pool::RowWrite, schema};
use crate::{
    catalog::error::Cause,
    store::{StoreError, forms::Columns},
};

/// The mark of the store that was opened, and the tables that it has.
pub(super) struct Ours {
    pub(super) mark: i64,
    pub(super) tables: Vec<String>,
    /// Whether the last look found another store.
    is_lost: AtomicBool,
}

impl Ours {
    pub(super) fn new(mark: i64) -> Self {
        Self { mark, tables: schema::all_tables(), is_lost: AtomicBool::new(false) }
    }

    /// Remembers the result of a look at the store, which a server takes again and again.
    pub(super) fn looked<T>(&self, found: &Result<T>) {
        let is_lost = matches!(found, Err(StoreError::Replaced(_)));
        self.is_lost.store(is_lost, Ordering::Relaxed);
    }

    /// Does some work, unless the last look found another store. The work may find it first.
    pub(super) async fn only<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(other());
        }
        let done = work.await;
        if matches!(done, Err(StoreError::Replaced(_))) {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        done
    }

    /// A statement that writes nothing, and refuses a transaction with another store.
    pub(super) fn hold(&self) -> RowWrite {
        let sql = "SELECT FROM meta WHERE only_row = 1 AND mark = $1";
        RowWrite::new(sql, other()).bind(self.mark)
    }
}

/// A query for the row of `table` with that condition, in the store of the mark $2.
pub(super) fn query(columns: &str, table: &str, condition: &str) -> String {
    // A row without the table's columns says that the store has no such row, and no row that this is another store.
    format!(
        "SELECT {columns} FROM meta LEFT JOIN {table} ON {condition} WHERE only_row = 1 AND mark = $2"
    )
}

/// Reads the row of such a query, which has the row's id.
pub(super) fn row<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T>) -> Result<Option<T>> {
    let row = rows.first().ok_or_else(other)?;
    Ok(match row.optional_text("id")? {
        Some(_) => Some(read(row)?),
        None => None,
    })
}

/// The error if the row of the store itself is another one's, or missing.
pub(super) fn other() -> StoreError {
    replaced("another store, or none, is in the place of the tables")
}

pub(super) fn replaced(text: impl std::fmt::Display) -> StoreError {
    StoreError::Replaced(Cause::new(text))
}
