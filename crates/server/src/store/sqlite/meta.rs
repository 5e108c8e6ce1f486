//! The store as a whole.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{SqliteStore, columns::Result, damaged, failure, integer, schema};
use crate::store::{
    Facts, Meta, Notice,
    calls::{Call, Watch},
    damages::Place,
};

#[async_trait]
impl Meta for SqliteStore {
    fn watch(&self, watch: Arc<dyn Watch>) {
        self.calls.watch(watch);
    }

    async fn epoch(&self) -> Result<u64> {
        self.read("epoch", Place::DATABASE, epoch).await
    }

    async fn facts(&self) -> Result<Facts> {
        self.read("facts", Place::DATABASE, facts).await
    }

    async fn raise_epoch(&self, to: u64) -> Result<()> {
        self.write("raise_epoch", Place::DATABASE, move |tx| raise_epoch(tx, to)).await
    }

    async fn change_mark(&self) -> Result<Option<u64>> {
        let mark = async { self.readers.change_mark().await.map(Some) };
        self.calls.run(Call::read("change_mark", Place::DATABASE), mark).await
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        let none = async { Ok(None) };
        self.calls.run(Call::read("notices", Place::ASIDE), none).await.ok().flatten()
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>> {
        let faults = move |tx: &Connection| {
            let mut faults = schema::index_faults(tx)?;
            faults.extend(schema::faults(tx, limit)?);
            faults.truncate(limit as usize);
            Ok(faults)
        };
        self.read("structural_faults", Place::ASIDE, move |tx: &Connection| {
            faults(tx).map_err(failure)
        })
        .await
    }
}

pub(super) fn epoch(tx: &Connection) -> Result<u64> {
    let mut statement = tx.prepare_cached("SELECT epoch FROM meta").map_err(failure)?;
    let epoch: i64 = statement.query_row([], |row| row.get(0)).map_err(failure)?;
    u64::try_from(epoch).map_err(damaged)
}

fn raise_epoch(tx: &Connection, to: u64) -> Result<()> {
    let sql = "UPDATE meta SET epoch = max(epoch, ?1)";
    tx.execute(sql, [integer(to)]).map(|_| ()).map_err(failure)
}

fn facts(tx: &Connection) -> Result<Facts> {
    let sql = "SELECT schema_version, page_count * page_size \
               FROM meta, pragma_page_count(), pragma_page_size()";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (schema, bytes) = tx.query_row(sql, [], read).map_err(failure)?;
    let number = |number| u64::try_from(number).map_err(damaged);
    Ok(Facts { schema: number(schema)?, bytes: number(bytes)? })
}
