//! The logs, and the statements about them. Each statement runs inside a transaction of its caller.
//!
//! Part 0 of a revision is the change that made it. The parts after it are requests that found nothing to change, which
//! are looked up only by their ids.

use async_trait::async_trait;
use rusqlite::{Connection, named_params, params};

use super::{
    SqliteStore,
    columns::{NamedRow, Result, collect},
    commit::{self, Commit},
    failure, integer, keys,
};
use crate::{
    catalog::{
        entry::Revision,
        id::{KeyId, StaffId},
        log::{Line, LoggedRequest, RequestId},
        stream::{Among, LineFilter, LinePlace, Stream, Streams},
        time::Timestamp,
    },
    store::{
        Log, MOST_READ_BYTES, PlanFamily, StoreError,
        calls::Call,
        damages::Place,
        forms::{self, Columns},
    },
};

#[async_trait]
impl Log for SqliteStore {
    async fn commit(&self, lines: &[(&Stream, &Line)], live: Option<&KeyId>) -> Result<()> {
        let commit = async {
            // The lines are encoded here and not in the thread that writes, so that the thread has less to do.
            let commits = lines.iter().map(|(stream, line)| Commit::of(stream, (*line).clone()));
            let commits = commits.collect::<Result<Vec<_>>>()?;
            let live = live.cloned();
            let commit = move |tx: &_| {
                keys::check_live(tx, live.as_ref())?;
                commits.iter().try_for_each(|commit| commit::commit(tx, commit))
            };
            self.writer.write(commit).await
        };
        self.calls.run(Call::write("commit", Place::lines(lines)), commit).await
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<()> {
        let (head, live) = (head.clone(), live.cloned());
        let commit = move |tx: &_| {
            keys::check_live(tx, live.as_ref())?;
            let lines = plan(&keys::descendants(tx, &head, limit)?).ok_or(StoreError::Conflict)?;
            lines
                .into_iter()
                .try_for_each(|(stream, line)| commit::commit(tx, &Commit::of(&stream, line)?))
        };
        self.write("commit_key_family", Place::KEYS, commit).await
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>> {
        let of = among;
        let (among, key, request) = (of.clone(), key.clone(), request.clone());
        self.read("request", Place::logs(of), move |tx| logged_request(tx, &among, &key, &request))
            .await
    }

    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>> {
        let (of, stream) = (stream, stream.clone());
        self.read("log", Place::log(of), move |tx| log(tx, &stream, after, limit)).await
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>> {
        let (of, among, wanted) = (among, among.clone(), wanted.cloned().unwrap_or_default());
        let span = wanted.span(before);
        let list = move |tx: &_| log_before(tx, &among, &span, &wanted, limit);
        self.read("log_before", Place::logs(of), list).await
    }

    async fn revision_at(&self, stream: &Stream, time: Timestamp) -> Result<Option<Revision>> {
        let (of, stream) = (stream, stream.clone());
        self.read("revision_at", Place::log(of), move |tx| revision_at(tx, &stream, time)).await
    }
}

/// Reads lines of a log with their parts, until their bodies have [`MOST_READ_BYTES`].
fn collect_lines(mut rows: rusqlite::Rows<'_>) -> Result<Vec<(u32, Line)>> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while bytes < MOST_READ_BYTES
        && let Some(row) = rows.next().map_err(failure)?
    {
        let row = NamedRow::of(row);
        bytes += row.text("body")?.len();
        lines.push(forms::line(&row)?);
    }
    Ok(lines)
}

/// The lines of a log, including empty ones.
fn log(
    tx: &Connection,
    stream: &Stream,
    after: (Revision, u32),
    limit: u32,
) -> Result<Vec<(u32, Line)>> {
    let sql = "SELECT * FROM changes WHERE stream_kind = ?1 AND stream_id = ?2 AND (revision, part) > (?3, ?4)
               ORDER BY revision, part LIMIT ?5";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let (kind, id) = (stream.kind().name, stream.id());
    let after = (integer(after.0.0), after.1);
    let rows = statement.query(params![kind, id, after.0, after.1, limit]).map_err(failure)?;
    collect_lines(rows)
}

fn log_before(
    tx: &Connection,
    among: &Streams,
    span: &[LinePlace; 2],
    wanted: &LineFilter,
    limit: u32,
) -> Result<Vec<Line>> {
    const IS_WANTED: &str = "part = 0 AND (?1 IS NULL OR actor_key_id = ?1)
                   AND (?2 IS NULL OR actor_staff_id = ?2) AND (?3 IS NULL OR instr(body, ?3) > 0)";
    let [from, before] = span;
    let LineFilter { key, staff, subject, .. } = wanted;
    let (key, staff) = (key.as_ref().map(KeyId::as_str), staff.as_ref().map(StaffId::as_str));
    let mention = subject.as_ref().map(forms::mention);
    let revisions = [from, before].map(|place| integer(place.revision.0));
    let lines = match among.among() {
        Among::One(stream) => {
            let sql = format!(
                "SELECT * FROM changes
                 WHERE stream_kind = ?4 AND stream_id = ?5 AND revision >= ?6 AND revision < ?7 AND {IS_WANTED}
                 ORDER BY revision DESC LIMIT ?8"
            );
            let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
            let (kind, id, [from, before]) = (stream.kind().name, stream.id(), revisions);
            let rows = statement.query(params![key, staff, mention, kind, id, from, before, limit]);
            collect_lines(rows.map_err(failure)?)?
        }
        Among::All(kind) => {
            // The kind is a literal, so that the partial index can be used, which is named too: by itself SQLite would
            // use the primary key for the kind, and sort all of its lines.
            let kind = kind.name;
            let sql = format!(
                "SELECT * FROM changes INDEXED BY changes_of_{kind}s_by_time
                 WHERE stream_kind = '{kind}' AND (time, stream_id, revision) >= (?4, ?5, ?6)
                       AND (time, stream_id, revision) < (?7, ?8, ?9) AND {IS_WANTED}
                 ORDER BY time DESC, stream_id DESC, revision DESC LIMIT ?10"
            );
            let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
            let times = [from, before].map(|place| place.time.as_micros());
            let rows = statement.query(params![
                key,
                staff,
                mention,
                times[0],
                from.of,
                revisions[0],
                times[1],
                before.of,
                revisions[1],
                limit
            ]);
            collect_lines(rows.map_err(failure)?)?
        }
    };
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    match among.among() {
        Among::One(_) if wanted.wants_all() => forms::without_gaps(lines, span),
        _ => Ok(lines),
    }
}

/// Halves the range of revisions, from all of them to one.
fn revision_at(tx: &Connection, stream: &Stream, time: Timestamp) -> Result<Option<Revision>> {
    let sql = "WITH RECURSIVE search (low, high) AS (
                   SELECT 0, (SELECT revision FROM changes WHERE stream_kind = ?1 AND stream_id = ?2
                              ORDER BY revision DESC LIMIT 1)
                   UNION ALL
                   SELECT CASE WHEN time <= ?3 THEN revision ELSE low END,
                          CASE WHEN time <= ?3 THEN high ELSE (low + high + 1) / 2 - 1 END
                   FROM search LEFT JOIN changes ON stream_kind = ?1 AND stream_id = ?2
                        AND revision = (low + high + 1) / 2 AND part = 0
                   WHERE low < high)
               SELECT low AS revision FROM search WHERE low = high AND low > 0";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query(params![stream.kind().name, stream.id(), time.as_micros()]);
    Ok(collect(rows.map_err(failure)?, |row| row.revision("revision"))?.pop())
}

/// The last revision of the log. Empty lines do not count.
pub(super) fn end(tx: &Connection, stream: &Stream) -> Result<Revision> {
    let sql = "SELECT revision FROM changes WHERE stream_kind = ?1 AND stream_id = ?2 AND part = 0
               ORDER BY revision DESC LIMIT 1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([stream.kind().name, stream.id()]).map_err(failure)?;
    Ok(collect(rows, |row| row.revision("revision"))?.pop().unwrap_or_default())
}

fn logged_request(
    tx: &Connection,
    among: &Streams,
    key: &KeyId,
    request: &RequestId,
) -> Result<Option<LoggedRequest>> {
    let (kind, scope) = match among.among() {
        Among::One(stream) => (stream.kind(), stream.requests()),
        Among::All(kind) => (*kind, ""),
    };
    let sql = "SELECT stream_id, revision, part, request_digest, subjects FROM changes
               WHERE stream_kind = ?1 AND request_scope = ?2 AND actor_key_id = ?3 AND request_id = ?4";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([kind.name, scope, key.as_str(), request.as_str()]);
    let read = |row: &NamedRow<'_>| forms::logged_request(row, kind, (key, request));
    Ok(collect(rows.map_err(failure)?, read)?.pop())
}

/// Appends a line. Part 0 makes the revision. A request that found nothing to change gets the next part. Returns a
/// conflict if the key already used the request id.
pub(super) fn append(tx: &Connection, commit: &Commit) -> Result<()> {
    let Commit { stream, line, subjects, body } = commit;
    let sql = "INSERT INTO changes
               (stream_kind, stream_id, revision, part, time, actor_key_id, actor_key_name, actor_staff_id, address,
                request_scope, request_id, request_digest, subjects, body)
               VALUES
               (:kind, :id, :revision,
                CASE WHEN :is_empty THEN (SELECT coalesce(max(part), 0) + 1 FROM changes
                                          WHERE stream_kind = :kind AND stream_id = :id AND revision = :revision)
                     ELSE 0 END,
                :time, :actor_key_id, :actor_key_name, :actor_staff_id, :address, :request_scope, :request_id,
                :request_digest, :subjects, :body)
               ON CONFLICT (stream_kind, request_scope, actor_key_id, request_id)
                   WHERE request_id IS NOT NULL DO NOTHING";
    let (actor, request) = (&line.actor, line.request.as_ref());
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":kind": stream.kind().name,
            ":id": stream.id(),
            ":revision": integer(line.revision.0),
            ":is_empty": line.is_empty(),
            ":time": line.time.as_micros(),
            ":actor_key_id": actor.key_id.as_ref().map(KeyId::as_str),
            ":actor_key_name": actor.key_name.as_ref().map(|name| name.as_str()),
            ":actor_staff_id": actor.staff_id.as_str(),
            ":address": actor.address.map(|address| address.to_string()),
            ":request_scope": request.map(|_| stream.requests()),
            ":request_id": request.map(|request| request.id.as_str()),
            ":request_digest": request.map(|request| request.digest),
            ":subjects": subjects,
            ":body": body,
        })
        .map_err(failure)?;
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}
