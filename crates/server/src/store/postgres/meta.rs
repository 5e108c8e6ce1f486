//! The store as a whole.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{Result, integer},
    error::damaged,
    indexes,
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
        let sql = "SELECT epoch FROM meta WHERE only_row = 1";
        let read = |row: &Row| row.count("epoch");
        let found = self.read("epoch", Place::DATABASE, sql, &[], read).await?.pop();
        found.ok_or_else(|| damaged("there is no epoch"))
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
