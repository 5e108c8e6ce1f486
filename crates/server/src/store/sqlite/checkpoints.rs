//! Checkpoints, and the statements about them. Each statement runs inside a transaction of its caller.

use std::ops::Range;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    columns::{Result, collect},
    failure, integer,
};
use crate::{
    catalog::{checkpoint::Checkpoint, entry::Revision, stream::Stream},
    store::{CheckpointRow, Checkpoints, damages::Place, forms},
};

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>> {
        let stream = stream.clone();
        self.read("checkpoint", Place::ASIDE, move |tx| checkpoint(tx, &stream, among)).await
    }

    async fn leave_checkpoint(&self, stream: &Stream, checkpoint: &Checkpoint) -> Result<()> {
        // The state is encoded here and not in the thread that writes, so that the thread has less to do.
        let body = forms::deflate(&checkpoint.deltas);
        let (stream, revision) = (stream.clone(), checkpoint.revision);
        let time = checkpoint.time;
        let leave = move |tx: &Connection| {
            let sql = "INSERT INTO checkpoints (stream_kind, stream_id, revision, time, body)
                       VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT (stream_kind, stream_id, revision) DO UPDATE SET
                           time = excluded.time, body = excluded.body
                           WHERE checkpoints.time <> excluded.time OR checkpoints.body <> excluded.body";
            let (kind, id) = (stream.kind().name, stream.id());
            let mut statement = tx.prepare_cached(sql).map_err(failure)?;
            let row = params![kind, id, integer(revision.0), time.as_micros(), body];
            statement.execute(row).map(drop).map_err(failure)
        };
        self.write("leave_checkpoint", Place::ASIDE, leave).await
    }
}

fn checkpoint(
    tx: &Connection,
    stream: &Stream,
    among: Range<Revision>,
) -> Result<Option<CheckpointRow>> {
    let sql = "SELECT revision, time, body FROM checkpoints
               WHERE stream_kind = ?1 AND stream_id = ?2 AND revision >= ?3 AND revision < ?4
               ORDER BY revision LIMIT 1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let (kind, id) = (stream.kind().name, stream.id());
    let rows = statement.query(params![kind, id, integer(among.start.0), integer(among.end.0)]);
    Ok(collect(rows.map_err(failure)?, |row| forms::checkpoint_row(row))?.pop())
}
