//! The statements about the lines of companies' change logs, under the same rules as `rows`.
//!
//! Part 0 of a revision is the change that made it; the parts after it are requests that found
//! nothing to change, and are looked up by their ids alone.

use rusqlite::{Connection, Row, named_params, params};

use super::{
    failure, integer,
    rows::{Commit, Result, collect, optional_text, revision, text, time},
};
use crate::{
    catalog::{
        access::Actor,
        entry::Revision,
        id::{CompanyId, KeyId, StaffId},
        log::{Line, LoggedRequest, Request, RequestId},
        time::Timestamp,
    },
    store::{
        MOST_READ_BYTES, StoreError,
        forms::{self, LineId},
    },
};

/// Reads lines of a log, until their bodies have many bytes.
pub(super) fn collect_lines<T>(
    mut rows: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while bytes < MOST_READ_BYTES
        && let Some(row) = rows.next().map_err(failure)?
    {
        bytes += row.get_ref("body").map_err(failure)?.as_bytes().map_or(0, <[u8]>::len);
        lines.push(read(row)?);
    }
    Ok(lines)
}

pub(super) fn changes(
    tx: &Connection,
    company: &CompanyId,
    after: Revision,
    limit: u32,
) -> Result<Vec<Line>> {
    let sql = "SELECT * FROM changes WHERE company_id = ?1 AND revision > ?2 AND part = 0
               ORDER BY revision LIMIT ?3";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows =
        statement.query(params![company.as_str(), integer(after.0), limit]).map_err(failure)?;
    collect_lines(rows, |row| line(row, company))
}

/// Empty lines too.
pub(super) fn whole(
    tx: &Connection,
    company: &CompanyId,
    after: (Revision, u32),
    limit: u32,
) -> Result<Vec<(u32, Line)>> {
    let sql = "SELECT * FROM changes WHERE company_id = ?1 AND (revision, part) > (?2, ?3)
               ORDER BY revision, part LIMIT ?4";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let (revision, part) = (integer(after.0.0), after.1);
    let rows =
        statement.query(params![company.as_str(), revision, part, limit]).map_err(failure)?;
    collect_lines(rows, |row| Ok((row.get("part").map_err(failure)?, line(row, company)?)))
}

pub(super) fn changes_before(
    tx: &Connection,
    company: &CompanyId,
    before: Option<Revision>,
    mentions: Option<&str>,
    limit: u32,
) -> Result<Vec<Line>> {
    let is_shown = if mentions.is_some() { "instr(body, ?3) > 0" } else { "?3 IS NULL" };
    let sql = format!(
        "SELECT * FROM changes WHERE company_id = ?1 AND revision < ?2 AND part = 0 AND {is_shown}
         ORDER BY revision DESC LIMIT ?4"
    );
    let before = before.map_or(i64::MAX, |revision| integer(revision.0));
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows =
        statement.query(params![company.as_str(), before, mentions, limit]).map_err(failure)?;
    collect_lines(rows, |row| line(row, company))
}

/// Times rise with the revisions, so this looks from the newest change back.
pub(super) fn revision_at(
    tx: &Connection,
    company: &CompanyId,
    time: Timestamp,
) -> Result<Option<Revision>> {
    let sql = "SELECT revision FROM changes WHERE company_id = ?1 AND part = 0 AND time <= ?2
               ORDER BY revision DESC LIMIT 1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query(params![company.as_str(), time.as_micros()]).map_err(failure)?;
    Ok(collect(rows, |row| revision(row, "revision"))?.pop())
}

pub(super) fn request(
    tx: &Connection,
    company: &CompanyId,
    key: &KeyId,
    request: &RequestId,
) -> Result<Option<LoggedRequest>> {
    let sql = "SELECT revision, part, request_digest, subjects FROM changes
               WHERE company_id = ?1 AND actor_key_id = ?2 AND request_id = ?3";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows =
        statement.query([company.as_str(), key.as_str(), request.as_str()]).map_err(failure)?;
    let found = collect(rows, |row| {
        let revision = revision(row, "revision")?;
        let line = LineId::new(company.as_str(), revision, Some(key), Some(request));
        Ok(LoggedRequest {
            digest: row.get("request_digest").map_err(failure)?,
            revision,
            changed: row.get::<_, i64>("part").map_err(failure)? == 0,
            subjects: forms::said(forms::decode_subjects(line, &text(row, "subjects")?))?,
        })
    })?;
    Ok(found.into_iter().next())
}

/// Part 0 makes the revision; a request that found nothing to change takes the next part. A conflict where the key
/// already used the request id.
pub(super) fn append(tx: &Connection, commit: &Commit) -> Result<()> {
    let Commit { company, line, subjects, body } = commit;
    let sql = "INSERT INTO changes
               (company_id, revision, part, time, actor_key_id, actor_staff_id, address, request_id,
                request_digest, subjects, body)
               VALUES
               (:company_id, :revision,
                CASE WHEN :is_empty THEN (SELECT coalesce(max(part), 0) + 1 FROM changes
                                          WHERE company_id = :company_id AND revision = :revision)
                     ELSE 0 END,
                :time, :actor_key_id, :actor_staff_id, :address, :request_id,
                :request_digest, :subjects, :body)
               ON CONFLICT (company_id, actor_key_id, request_id) WHERE request_id IS NOT NULL DO NOTHING";
    let (actor, request) = (&line.actor, line.request.as_ref());
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":company_id": company.as_str(),
            ":revision": integer(line.revision.0),
            ":is_empty": line.is_empty(),
            ":time": line.time.as_micros(),
            ":actor_key_id": actor.key_id.as_ref().map(KeyId::as_str),
            ":actor_staff_id": actor.staff_id.as_str(),
            ":address": actor.address.map(|address| address.to_string()),
            ":request_id": request.map(|request| request.id.as_str()),
            ":request_digest": request.map(|request| request.digest),
            ":subjects": subjects,
            ":body": body,
        })
        .map_err(failure)?;
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

fn line(row: &Row<'_>, company: &CompanyId) -> Result<Line> {
    let revision = revision(row, "revision")?;
    let read = || {
        let (actor, request) = (actor(row)?, request_of(row)?);
        let (acting, id) = (actor.key_id.as_ref(), request.as_ref().map(|request| &request.id));
        let line = LineId::new(company.as_str(), revision, acting, id);
        let subjects = forms::decode_subjects(line, &text(row, "subjects")?);
        let deltas = forms::decode_changes(&text(row, "body")?)?;
        Ok(Line { revision, time: time(row, "time")?, subjects, deltas, actor, request })
    };
    read().map_err(|error| forms::in_line(format!("revision {revision}"), error))
}

pub(super) fn actor(row: &Row<'_>) -> Result<Actor> {
    let key_id = optional_text(row, "actor_key_id")?
        .map(|id| KeyId::parse("actor_key_id", &id))
        .transpose()?;
    let staff_id = StaffId::parse("actor_staff_id", &text(row, "actor_staff_id")?)?;
    let address = optional_text(row, "address")?.map(|text| text.parse()).transpose();
    Ok(Actor { key_id, staff_id, address: address.map_err(forms::not_as_written)? })
}

pub(super) fn request_of(row: &Row<'_>) -> Result<Option<Request>> {
    let Some(id) = optional_text(row, "request_id")? else { return Ok(None) };
    Ok(Some(Request { id: request_id(&id)?, digest: row.get("request_digest").map_err(failure)? }))
}

/// In quotation marks, so that those and the spaces of the id itself stay.
fn request_id(text: &str) -> Result<RequestId> {
    Ok(RequestId::parse("request_id", &format!("\"{text}\""))?)
}
