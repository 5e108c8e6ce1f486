//! The statements about the lines of companies' change logs.
//!
//! Part 0 of a revision is the change that made it; the parts after it are requests that found
//! nothing to change, and are looked up by their ids alone.

use tokio_postgres::Row;

use super::{
    columns::{Result, digest, integer, optional_text, revision, text, time, value},
    error::damaged,
    pool::{Pool, Write},
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

const LINE: &str = "revision, part, time, actor_key_id, actor_staff_id, address, request_id, request_digest, \
     subjects, body";

/// A statement for the lines among such rows, in that order, until their bodies have many bytes. The sizes come from
/// where a large body is found, so none is read that is not answered.
pub(super) fn lines(columns: &str, such: &str, order: &str, limit: &str) -> String {
    format!(
        "SELECT {columns} FROM
           (SELECT *, sum(octet_length(body)) OVER (ORDER BY {order}) - octet_length(body) AS bytes_before
            FROM {such} ORDER BY {order} LIMIT {limit}) AS line
         WHERE bytes_before < {MOST_READ_BYTES} ORDER BY {order}"
    )
}

pub(super) async fn changes(
    pool: &Pool,
    company: &CompanyId,
    after: Revision,
    limit: u32,
) -> Result<Vec<Line>> {
    let such = "changes WHERE company_id = $1 AND revision > $2 AND part = 0";
    let sql = lines(LINE, such, "revision", "$3");
    let rows = pool.query(&sql, &[&company.as_str(), &integer(after.0), &i64::from(limit)]).await?;
    rows.iter().map(|row| line(row, company)).collect()
}

/// Empty lines too.
pub(super) async fn whole(
    pool: &Pool,
    company: &CompanyId,
    after: (Revision, u32),
    limit: u32,
) -> Result<Vec<(u32, Line)>> {
    let such = "changes WHERE company_id = $1 AND (revision, part) > ($2, $3)";
    let sql = lines(LINE, such, "revision, part", "$4");
    let (revision, part) = (integer(after.0.0), i64::from(after.1));
    let rows = pool.query(&sql, &[&company.as_str(), &revision, &part, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok((part_of(row)?, line(row, company)?))).collect()
}

pub(super) fn part_of(row: &Row) -> Result<u32> {
    u32::try_from(value::<i64>(row, "part")?).map_err(damaged)
}

pub(super) async fn changes_before(
    pool: &Pool,
    company: &CompanyId,
    before: Option<Revision>,
    mentions: Option<String>,
    limit: u32,
) -> Result<Vec<Line>> {
    let is_shown =
        if mentions.is_some() { "strpos(body, $3::text) > 0" } else { "$3::text IS NULL" };
    let such =
        format!("changes WHERE company_id = $1 AND revision < $2 AND part = 0 AND {is_shown}");
    let sql = lines(LINE, &such, "revision DESC", "$4");
    let before = before.map_or(i64::MAX, |revision| integer(revision.0));
    let rows =
        pool.query(&sql, &[&company.as_str(), &before, &mentions, &i64::from(limit)]).await?;
    rows.iter().map(|row| line(row, company)).collect()
}

/// Times rise with the revisions, so this looks from the newest change back.
pub(super) async fn revision_at(
    pool: &Pool,
    company: &CompanyId,
    time: Timestamp,
) -> Result<Option<Revision>> {
    let sql = "SELECT revision FROM changes WHERE company_id = $1 AND part = 0 AND time <= $2
               ORDER BY revision DESC LIMIT 1";
    let rows = pool.query(sql, &[&company.as_str(), &time.as_micros()]).await?;
    rows.first().map(|row| revision(row, "revision")).transpose()
}

pub(super) async fn request(
    pool: &Pool,
    company: &CompanyId,
    key: &KeyId,
    request: &RequestId,
) -> Result<Option<LoggedRequest>> {
    let sql = "SELECT revision, part, request_digest, subjects FROM changes
               WHERE company_id = $1 AND actor_key_id = $2 AND request_id = $3";
    let rows = pool.query(sql, &[&company.as_str(), &key.as_str(), &request.as_str()]).await?;
    let found = rows.first().map(|row| {
        let revision = revision(row, "revision")?;
        let line = LineId::new(company.as_str(), revision, Some(key), Some(request));
        Ok(LoggedRequest {
            digest: digest(row, "request_digest")?,
            revision,
            changed: value::<i64>(row, "part")? == 0,
            subjects: forms::said(forms::decode_subjects(line, &text(row, "subjects")?))?,
        })
    });
    found.transpose()
}

/// Part 0 makes the revision; a request that found nothing to change takes the next part. A conflict where the key
/// already used the request id.
pub(super) fn append(company: &CompanyId, line: &Line) -> Write {
    const CHANGE: &str = "INSERT INTO changes
               (company_id, revision, part, time, actor_key_id, actor_staff_id, address, request_id,
                request_digest, subjects, body)
               VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (company_id, actor_key_id, request_id) WHERE request_id IS NOT NULL DO NOTHING";
    const EMPTY: &str = "INSERT INTO changes
               (company_id, revision, part, time, actor_key_id, actor_staff_id, address, request_id,
                request_digest, subjects, body)
               SELECT $1::text, $2::bigint, coalesce(max(part), 0) + 1, $3::bigint, $4::text, $5::text,
                $6::text, $7::text, $8::bytea, $9::text, $10::text
               FROM changes WHERE company_id = $1 AND revision = $2
               ON CONFLICT (company_id, actor_key_id, request_id) WHERE request_id IS NOT NULL DO NOTHING";
    let sql = if line.is_empty() { EMPTY } else { CHANGE };
    let write = Write::new(sql, StoreError::Conflict)
        .bind(company.to_string())
        .bind(integer(line.revision.0))
        .bind(line.time.as_micros());
    let id = LineId::of(company.as_str(), line);
    bind_actor(write, &line.actor, line.request.as_ref())
        .bind(forms::encode_subjects(id, line.subjects.as_deref().unwrap_or_default()))
        .bind(forms::encode_changes(&line.deltas))
}

/// Five parameters: who, from where, and by which request.
pub(super) fn bind_actor(write: Write, actor: &Actor, request: Option<&Request>) -> Write {
    write
        .bind(actor.key_id.as_ref().map(ToString::to_string))
        .bind(actor.staff_id.to_string())
        .bind(actor.address.map(|address| address.to_string()))
        .bind(request.map(|request| request.id.as_str().to_owned()))
        .bind(request.map(|request| request.digest.to_vec()))
}

fn line(row: &Row, company: &CompanyId) -> Result<Line> {
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

pub(super) fn actor(row: &Row) -> Result<Actor> {
    let key_id = optional_text(row, "actor_key_id")?
        .map(|id| KeyId::parse("actor_key_id", &id))
        .transpose()?;
    let staff_id = StaffId::parse("actor_staff_id", &text(row, "actor_staff_id")?)?;
    let address = optional_text(row, "address")?.map(|text| text.parse()).transpose();
    Ok(Actor { key_id, staff_id, address: address.map_err(forms::not_as_written)? })
}

pub(super) fn request_of(row: &Row) -> Result<Option<Request>> {
    let Some(id) = optional_text(row, "request_id")? else { return Ok(None) };
    Ok(Some(Request { id: request_id(&id)?, digest: digest(row, "request_digest")? }))
}

/// In quotation marks, so that those and the spaces of the id itself stay.
fn request_id(text: &str) -> Result<RequestId> {
    Ok(RequestId::parse("request_id", &format!("\"{text}\""))?)
}
