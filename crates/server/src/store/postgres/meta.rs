//! The store as a whole.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    PostgresStore,
    columns::{Result, integer},
    error::damaged,
    indexes,
};
use crate::store::{Facts, Meta, Notice, forms::Columns};

#[async_trait]
impl Meta for PostgresStore {
    async fn epoch(&self) -> Result<u64> {
        let rows = self.pool.query("SELECT epoch FROM meta WHERE only_row = 1", &[]).await?;
        let row = rows.first().ok_or_else(|| damaged("there is no epoch"))?;
        row.count("epoch")
    }

    async fn facts(&self) -> Result<Facts> {
        let sql = "SELECT schema_version::bigint AS schema, pg_database_size(current_database()) AS bytes \
                   FROM meta WHERE only_row = 1";
        let rows = self.pool.query(sql, &[]).await?;
        let row = rows.first().ok_or_else(|| damaged("there is no schema"))?;
        Ok(Facts { schema: row.count("schema")?, bytes: row.count("bytes")? })
    }

    async fn raise_epoch(&self, to: u64) -> Result<()> {
        let sql = "UPDATE meta SET epoch = greatest(epoch, $1::bigint)";
        self.pool.query(sql, &[&integer(to)]).await.map(drop)
    }

    async fn change_mark(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        Some(self.notifier.listen())
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>> {
        indexes::faults(&self.pool, limit).await
    }
}
