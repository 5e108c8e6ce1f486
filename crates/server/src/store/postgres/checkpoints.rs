//! Checkpoints, and the statements about them.

use std::ops::Range;

use async_trait::async_trait;
use tokio_postgres::types::ToSql;

use super::{
    PostgresStore,
    columns::{Result, integer},
};
use crate::{
    catalog::{checkpoint::Checkpoint, entry::Revision, stream::Stream},
    store::{CheckpointRow, Checkpoints, damages::Place, forms},
};

#[async_trait]
impl Checkpoints for PostgresStore {
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>> {
        let sql = "SELECT revision, time, body FROM checkpoints
                   WHERE stream_kind = $1 AND stream_id = $2 AND revision >= $3 AND revision < $4
                   ORDER BY revision LIMIT 1";
        let (kind, id) = (stream.kind().name, stream.id());
        let (start, end) = (integer(among.start.0), integer(among.end.0));
        let values: [&(dyn ToSql + Sync); 4] = [&kind, &id, &start, &end];
        Ok(self.read("checkpoint", Place::ASIDE, sql, &values, forms::checkpoint_row).await?.pop())
    }

    // If two nodes write the same checkpoint, one waits for the other's row only.
    async fn leave_checkpoint(&self, stream: &Stream, checkpoint: &Checkpoint) -> Result<()> {
        let sql = "INSERT INTO checkpoints (stream_kind, stream_id, revision, time, body)
                   VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (stream_kind, stream_id, revision) DO UPDATE SET
                       time = excluded.time, body = excluded.body
                       WHERE checkpoints.time <> excluded.time OR checkpoints.body <> excluded.body";
        let (kind, id) = (stream.kind().name, stream.id());
        let (revision, time) = (integer(checkpoint.revision.0), checkpoint.time.as_micros());
        let body = forms::deflate(&checkpoint.deltas);
        let values: [&(dyn ToSql + Sync); 5] = [&kind, &id, &revision, &time, &body];
        let left = async { self.pool.query(sql, &values).await.map(drop) };
        self.write("leave_checkpoint", Place::ASIDE, left).await
    }
}
