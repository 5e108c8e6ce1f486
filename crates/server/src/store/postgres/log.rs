//! The logs, and the statements about them.
//!
//! Part 0 of a revision is the change that made it. The parts after it are requests that found nothing to change, which
//! are looked up only by their ids.

use async_trait::async_trait;
use tokio_postgres::{Row, types::ToSql};

use super::{
    PostgresStore,
    columns::{Result, integer},
    commit, keys,
    pool::RowWrite,
};
use crate::{
    catalog::{
        entry::Revision,
        id::{KeyId, StaffId},
        log::{Line, LoggedRequest, RequestId},
        stream::{Among, LineFilter, LinePlace, Stream, StreamKind, Streams},
        time::Timestamp,
    },
    store::{
        Log, MOST_READ_BYTES, PlanFamily, StoreError,
        calls::Call,
        damages::Place,
        forms::{self, Columns, LineId},
    },
};

const LINE: &str = "stream_kind, stream_id, revision, part, time, actor_key_id, actor_key_name, actor_staff_id, address, \
     request_id, request_digest, subjects, body";

#[async_trait]
impl Log for PostgresStore {
    async fn commit(&self, lines: &[(&Stream, &Line)], live: Option<&KeyId>) -> Result<()> {
        let of_key = |(stream, _): &(&Stream, &Line)| stream.kind() == StreamKind::KEY;
        let commit = async {
            if live.is_some() || lines.iter().any(of_key) {
                return keys::commit(&self.pool, &self.ours, lines, live).await;
            }
            let mut writes = vec![self.ours.hold()];
            for (stream, line) in lines {
                writes.extend(commit::writes(stream, line)?);
            }
            self.pool.write(writes).await
        };
        self.write("commit", Place::lines(lines), commit).await?;
        for (stream, _) in lines.iter().filter(|(_, line)| !line.is_empty()) {
            self.notifier.tell(stream);
        }
        Ok(())
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<()> {
        let commit = keys::commit_family(&self.pool, &self.ours, (head, limit), plan, live);
        self.write("commit_key_family", Place::KEYS, commit).await?;
        self.notifier.tell(&Stream::key(head));
        Ok(())
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>> {
        let (kind, scope) = match among.among() {
            Among::One(stream) => (stream.kind(), stream.requests()),
            Among::All(kind) => (*kind, ""),
        };
        let sql = "SELECT stream_id, revision, part, request_digest, subjects FROM changes
                   WHERE stream_kind = $1 AND request_scope = $2 AND actor_key_id = $3 AND request_id = $4";
        let values: [&(dyn ToSql + Sync); 4] =
            [&kind.name, &scope, &key.as_str(), &request.as_str()];
        let read = |row: &Row| forms::logged_request(row, kind, (key, request));
        Ok(self.read("request", Place::logs(among), sql, &values, read).await?.pop())
    }

    // Includes empty lines.
    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>> {
        let such =
            "changes WHERE stream_kind = $1 AND stream_id = $2 AND (revision, part) > ($3, $4)";
        let sql = lines(such, "revision, part", "$5");
        let (kind, id) = (stream.kind().name, stream.id());
        let (revision, part) = (integer(after.0.0), i64::from(after.1));
        let values: [&(dyn ToSql + Sync); 5] = [&kind, &id, &revision, &part, &i64::from(limit)];
        self.read("log", Place::log(stream), &sql, &values, forms::line).await
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>> {
        const IS_WANTED: &str = "part = 0 AND ($1::text IS NULL OR actor_key_id = $1)
             AND ($2::text IS NULL OR actor_staff_id = $2) AND ($3::text IS NULL OR strpos(body, $3) > 0)";
        let all = LineFilter::default();
        let wanted = wanted.unwrap_or(&all);
        let LineFilter { key, staff, subject, .. } = wanted;
        let (key, staff) = (key.as_ref().map(KeyId::as_str), staff.as_ref().map(StaffId::as_str));
        let (mention, limit) = (subject.as_ref().map(forms::mention), i64::from(limit));
        let span = wanted.span(before);
        let [from, before] = &span;
        let (since, until) = (integer(from.revision.0), integer(before.revision.0));
        let read = |row: &Row| forms::line(row).map(|(_, line)| line);
        match among.among() {
            Among::One(stream) => {
                let such = format!(
                    "changes WHERE stream_kind = $4 AND stream_id = $5 AND revision >= $6 AND revision < $7
                     AND {IS_WANTED}"
                );
                let sql = lines(&such, "revision DESC", "$8");
                let (kind, id) = (stream.kind().name, stream.id());
                let values: [&(dyn ToSql + Sync); 8] =
                    [&key, &staff, &mention, &kind, &id, &since, &until, &limit];
                let lines = async {
                    let lines = self.pool.read(&sql, &values, read).await?;
                    if wanted.wants_all() { forms::without_gaps(lines, &span) } else { Ok(lines) }
                };
                let lines = self.ours.only(lines);
                self.calls.run(Call::read("log_before", Place::logs(among)), lines).await
            }
            Among::All(kind) => {
                // The kind is a literal, so that the partial index for it can be used.
                let such = format!(
                    "changes WHERE stream_kind = '{}'
                     AND (time, stream_id, revision) >= ($4::bigint, $5::text, $6::bigint)
                     AND (time, stream_id, revision) < ($7::bigint, $8::text, $9::bigint) AND {IS_WANTED}",
                    kind.name
                );
                let sql = lines(&such, "time DESC, stream_id DESC, revision DESC", "$10");
                let times = [from, before].map(|place| place.time.as_micros());
                let values: [&(dyn ToSql + Sync); 10] = [
                    &key, &staff, &mention, &times[0], &from.of, &since, &times[1], &before.of,
                    &until, &limit,
                ];
                self.read("log_before", Place::logs(among), &sql, &values, read).await
            }
        }
    }

    // Halves the range of revisions, from all of them to one.
    async fn revision_at(&self, stream: &Stream, time: Timestamp) -> Result<Option<Revision>> {
        let sql = "WITH RECURSIVE search (low, high) AS (
                       SELECT 0::bigint, (SELECT revision FROM changes WHERE stream_kind = $1 AND stream_id = $2
                                  ORDER BY revision DESC LIMIT 1)
                       UNION ALL
                       SELECT CASE WHEN time <= $3 THEN revision ELSE low END,
                              CASE WHEN time <= $3 THEN high ELSE (low + high + 1) / 2 - 1 END
                       FROM search LEFT JOIN changes ON stream_kind = $1 AND stream_id = $2
                            AND revision = (low + high + 1) / 2 AND part = 0
                       WHERE low < high)
                   SELECT low AS revision FROM search WHERE low = high AND low > 0";
        let (kind, id) = (stream.kind().name, stream.id());
        let read = |row: &Row| row.revision("revision");
        Ok(self
            .read("revision_at", Place::log(stream), sql, &[&kind, &id, &time.as_micros()], read)
            .await?
            .pop())
    }
}

/// A statement for the lines among such rows, in that order, until their bodies have [`MOST_READ_BYTES`]. Sizes are
/// known without reading large bodies, so no body is read that is not answered.
fn lines(such: &str, order: &str, limit: &str) -> String {
    format!(
        "SELECT {LINE} FROM
           (SELECT *, sum(octet_length(body)) OVER (ORDER BY {order}) - octet_length(body) AS bytes_before
            FROM {such} ORDER BY {order} LIMIT {limit}) AS line
         WHERE bytes_before < {MOST_READ_BYTES} ORDER BY {order}"
    )
}

/// Appends a line. Part 0 makes the revision. A request that found nothing to change gets the next part. Returns a
/// conflict if the key already used the request id.
pub(super) fn append(stream: &Stream, line: &Line) -> RowWrite {
    const CHANGE: &str = "INSERT INTO changes
               (stream_kind, stream_id, revision, part, time, actor_key_id, actor_key_name, actor_staff_id, address,
                request_scope, request_id, request_digest, subjects, body)
               VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
               ON CONFLICT (stream_kind, request_scope, actor_key_id, request_id)
                   WHERE request_id IS NOT NULL DO NOTHING";
    const EMPTY: &str = "INSERT INTO changes
               (stream_kind, stream_id, revision, part, time, actor_key_id, actor_key_name, actor_staff_id, address,
                request_scope, request_id, request_digest, subjects, body)
               SELECT $1::text, $2::text, $3::bigint, coalesce(max(part), 0) + 1, $4::bigint, $5::text, $6::text,
                $7::text, $8::text, $9::text, $10::text, $11::bytea, $12::text, $13::text
               FROM changes WHERE stream_kind = $1 AND stream_id = $2 AND revision = $3
               ON CONFLICT (stream_kind, request_scope, actor_key_id, request_id)
                   WHERE request_id IS NOT NULL DO NOTHING";
    let sql = if line.is_empty() { EMPTY } else { CHANGE };
    let (actor, request) = (&line.actor, line.request.as_ref());
    let said = line.subjects.as_deref().unwrap_or_default();
    RowWrite::new(sql, StoreError::Conflict)
        .bind(stream.kind().name)
        .bind(stream.id().to_owned())
        .bind(integer(line.revision.0))
        .bind(line.time.as_micros())
        .bind(actor.key_id.as_ref().map(ToString::to_string))
        .bind(actor.key_name.as_ref().map(ToString::to_string))
        .bind(actor.staff_id.to_string())
        .bind(actor.address.map(|address| address.to_string()))
        .bind(request.map(|_| stream.requests().to_owned()))
        .bind(request.map(|request| request.id.as_str().to_owned()))
        .bind(request.map(|request| request.digest.to_vec()))
        .bind(forms::encode_subjects(LineId::of(stream, line), said))
        .bind(forms::encode_changes(&line.deltas))
}
