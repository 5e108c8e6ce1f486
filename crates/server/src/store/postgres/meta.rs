//! The store as a whole.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{Result, integer},
    error::damaged,
    indexes, ours,
};
use crate::store::{
    Facts, Meta, Notice,
    calls::{Call, Watch},
    damages::Place,
    forms::Columns,
};

#[async_trait]
impl Meta for PostgresStore {
    fn watch(&self, watch: Arc<dyn Watch>) {
        self.calls.watch(watch);
    }

    async fn epoch(&self) -> Result<u64> {
        // Looking a name up takes no lock, so that the answer does not wait for the work of administrators on a table.
        let sql = "SELECT epoch, (SELECT min(name) FROM unnest($2::text[]) AS name WHERE to_regclass(name) IS NULL)
                       AS missing
                   FROM meta WHERE only_row = 1 AND mark = $1";
        let epoch = async {
            let rows = self.pool.query(sql, &[&self.ours.mark, &self.ours.tables]).await?;
            let row = rows.first().ok_or_else(ours::other)?;
            match row.optional_text("missing")? {
                Some(table) => Err(ours::replaced(format!("there is no table {table}"))),
                None => row.count("epoch"),
            }
        };
        let look = async {
            let found = epoch.await;
            self.ours.looked(&found);
            found
        };
        self.calls.run(Call::read("epoch", Place::DATABASE), look).await
    }

    async fn facts(&self) -> Result<Facts> {
        let sql = "SELECT schema_version::bigint AS schema, pg_database_size(current_database()) AS bytes \
                   FROM meta WHERE only_row = 1";
        let read =
            |row: &Row| Ok(Facts { schema: row.count("schema")?, bytes: row.count("bytes")? });
        let found = self.read("facts", Place::DATABASE, sql, &[], read).await?.pop();
        found.ok_or_else(|| damaged("there is no schema"))
    }

    async fn raise_epoch(&self, to: u64) -> Result<()> {
        let sql = "UPDATE meta SET epoch = greatest(epoch, $1::bigint)";
        let raise = async { self.pool.query(sql, &[&integer(to)]).await.map(drop) };
        self.write("raise_epoch", Place::DATABASE, raise).await
    }

    async fn change_mark(&self) -> Result<Option<u64>> {
        let none = async { Ok(None) };
        self.calls.run(Call::read("change_mark", Place::DATABASE), none).await
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        let notices = async { Ok(Some(self.notifier.listen())) };
        self.calls.run(Call::read("notices", Place::ASIDE), notices).await.ok().flatten()
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>> {
        let faults = indexes::faults(&self.pool, limit);
        self.calls.run(Call::read("structural_faults", Place::ASIDE), faults).await
    }
}
