//! The statements about keys and their log.

use futures_util::future::join3;
use tokio_postgres::Row;

use super::{
    columns::{Result, audit, digest, integer, optional_text, optional_time, text, time, value},
    error::{damaged, failure},
    log,
    pool::{Lease, Pool, Write},
};
use crate::{
    catalog::{
        entry::Revision,
        error::Kind,
        id::{KeyId, StaffId},
        key::{
            Key, KeyLogLine, KeyLogPlace, KeyPlan, LoggedKeyRequest, PreviousSecret, SecretDigest,
        },
        log::RequestId,
        text::Name,
        time::Timestamp,
    },
    store::{
        StoreError,
        format::{self, AuditForm},
    },
};

const KEY: &str = "id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses, expires_time, \
     staff_id, revoked_time, created_by, created_time, last_updated_by, last_updated_time, revision";

const LINE: &str =
    "part, time, actor_key_id, actor_staff_id, address, request_id, request_digest, body";

pub(super) async fn key_by_secret(pool: &Pool, secret: &SecretDigest) -> Result<Option<Key>> {
    let sql = format!("SELECT {KEY} FROM keys WHERE secret = $1 OR previous_secret = $1");
    let rows = pool.query(&sql, &[&secret.0.as_slice()]).await?;
    rows.first().map(key_of).transpose()
}

pub(super) async fn keys(
    pool: &Pool,
    after: Option<&KeyId>,
    limit: u32,
) -> Result<Vec<(Key, Option<Timestamp>)>> {
    // Every id sorts after the empty text.
    let sql = format!(
        "SELECT {KEY}, last_used_time FROM keys LEFT JOIN key_uses ON key_id = id
         WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let after = after.map_or("", KeyId::as_str);
    pool.query(&sql, &[&after, &i64::from(limit)]).await?.iter().map(used_key_of).collect()
}

pub(super) async fn key(pool: &Pool, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>> {
    let sql = format!(
        "SELECT {KEY}, last_used_time FROM keys LEFT JOIN key_uses ON key_id = id WHERE id = $1"
    );
    pool.query(&sql, &[&id.as_str()]).await?.first().map(used_key_of).transpose()
}

/// Writes the key and the line of the key log, if the key is at the plan's base.
pub(super) async fn commit(pool: &Pool, plan: &KeyPlan) -> Result<()> {
    let _writer = pool.writer().await?;
    let lease = pool.lease().await?;
    let written = pool.answered(4, write(&lease, plan)).await;
    lease.end(written).await
}

async fn write(lease: &Lease, plan: &KeyPlan) -> Result<()> {
    let old = look(lease, plan).await?;
    let mut writes = Vec::new();
    if plan.after.audit.revision != plan.base {
        writes.push(match plan.base {
            Revision(0) => insert_key(&plan.after),
            _ => update_key(&plan.after),
        });
    }
    writes.push(append(old.as_ref(), plan));
    let statements = lease.prepare_all(&writes).await?;
    lease.send(None, &statements, &writes).await
}

/// Begins, locks the key as it is, and refuses a plan that does not fit it.
async fn look(lease: &Lease, plan: &KeyPlan) -> Result<Option<Key>> {
    let after = &plan.after;
    let found = lease.prepare(&format!("SELECT {KEY} FROM keys WHERE id = $1 FOR UPDATE")).await?;
    let holders = "SELECT id FROM keys WHERE (secret = $1 OR previous_secret = $1) AND id <> $2";
    let holders = lease.prepare(holders).await?;
    let (client, id) = (lease.client()?, after.id.as_str());
    // Joined futures are polled in this order, and the driver sends when one is polled first.
    let (begun, found, holders) = join3(
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
        client.query(&found, &[&id]),
        client.query(&holders, &[&after.secret.0.as_slice(), &id]),
    )
    .await;
    begun.map_err(|error| failure(&error))?;
    let found = found.map_err(|error| failure(&error))?;
    let holders = holders.map_err(|error| failure(&error))?;
    let old = found.first().map(key_of).transpose()?;
    match &old {
        Some(_) if plan.base == Revision::default() => {
            return Err(StoreError::Taken(Kind::Key, after.id.to_string()));
        }
        Some(old) if old.audit.revision != plan.base => return Err(StoreError::Conflict),
        None if plan.base != Revision::default() => return Err(StoreError::Conflict),
        _ => {}
    }
    match holders.first() {
        Some(holder) if after.audit.revision != plan.base => {
            Err(StoreError::Taken(Kind::Key, text(holder, "id")?))
        }
        _ => Ok(old),
    }
}

pub(super) async fn request(
    pool: &Pool,
    actor: &KeyId,
    request: &RequestId,
) -> Result<Option<LoggedKeyRequest>> {
    let sql =
        "SELECT request_digest, body FROM key_changes WHERE actor_key_id = $1 AND request_id = $2";
    let rows = pool.query(sql, &[&actor.as_str(), &request.as_str()]).await?;
    let found = rows.first().map(|row| {
        let (_, key) = format::decode_key_change(&text(row, "body")?)?;
        Ok(LoggedKeyRequest { digest: digest(row, "request_digest")?, key })
    });
    found.transpose()
}

pub(super) async fn changes(
    pool: &Pool,
    key: Option<&KeyId>,
    before: Option<&KeyLogPlace>,
    limit: u32,
) -> Result<Vec<KeyLogLine>> {
    let is_of_key = if key.is_some() { "key_id = $1::text" } else { "$1::text IS NULL" };
    let is_before = match before {
        Some(_) => "(time, key_id, revision) < ($2::bigint, $3::text, $4::bigint)",
        None => "$2::bigint IS NULL AND $3::text IS NULL AND $4::bigint IS NULL",
    };
    let sql = format!(
        "SELECT {LINE} FROM key_changes WHERE part = 0 AND {is_of_key} AND {is_before}
         ORDER BY time DESC, key_id DESC, revision DESC LIMIT $5"
    );
    let rows = pool
        .query(
            &sql,
            &[
                &key.map(KeyId::as_str),
                &before.map(|place| place.time.as_micros()),
                &before.map(|place| place.key.as_str()),
                &before.map(|place| integer(place.revision.0)),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.iter().map(line).collect()
}

/// Empty lines too, by key.
pub(super) async fn whole_log(
    pool: &Pool,
    after: Option<&(KeyId, Revision, u32)>,
    limit: u32,
) -> Result<Vec<(u32, KeyLogLine)>> {
    let sql = format!(
        "SELECT {LINE} FROM key_changes WHERE (key_id, revision, part) > ($1, $2, $3)
         ORDER BY key_id, revision, part LIMIT $4"
    );
    // Every id sorts after the empty text.
    let (key, revision, part) = after.map_or(("", 0, 0), |(key, revision, part)| {
        (key.as_str(), integer(revision.0), i64::from(*part))
    });
    let rows = pool.query(&sql, &[&key, &revision, &part, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok((log::part_of(row)?, line(row)?))).collect()
}

fn line(row: &Row) -> Result<KeyLogLine> {
    let (before, after) = format::decode_key_change(&text(row, "body")?)?;
    Ok(KeyLogLine {
        time: time(row, "time")?,
        actor: log::actor(row)?,
        request: log::request_of(row)?,
        before: before.map(Box::new),
        after: Box::new(after),
    })
}

/// Unknown keys are passed over, and a use never moves back. Rows are locked by id, so that two
/// nodes never wait for each other.
pub(super) async fn touch(pool: &Pool, uses: &[(KeyId, Timestamp)]) -> Result<()> {
    let sql = "INSERT INTO key_uses (key_id, last_used_time)
               SELECT keys.id, max(uses.time)
               FROM unnest($1::text[], $2::bigint[]) AS uses (id, time) JOIN keys ON keys.id = uses.id
               GROUP BY keys.id ORDER BY keys.id
               ON CONFLICT (key_id) DO UPDATE SET
                   last_used_time = greatest(key_uses.last_used_time, excluded.last_used_time)";
    let ids: Vec<&str> = uses.iter().map(|(id, _)| id.as_str()).collect();
    let times: Vec<i64> = uses.iter().map(|(_, time)| time.as_micros()).collect();
    pool.query(sql, &[&ids, &times]).await.map(drop)
}

fn insert_key(key: &Key) -> Write {
    // Somebody else's key of that id or secret was not there just now: it is looked at again.
    let sql = "INSERT INTO keys
               (id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses,
                expires_time, staff_id, revoked_time, created_by, created_time, last_updated_by,
                last_updated_time, revision)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
               ON CONFLICT DO NOTHING";
    let taken = StoreError::Taken(Kind::Key, key.id.to_string());
    bind_key(Write::new(sql, taken), key)
}

fn update_key(key: &Key) -> Write {
    let sql =
        "UPDATE keys SET secret = $2, previous_secret = $3, previous_expires_time = $4, name = $5,
                   scopes = $6, companies = $7, addresses = $8, expires_time = $9, staff_id = $10,
                   revoked_time = $11, created_by = $12, created_time = $13, last_updated_by = $14,
                   last_updated_time = $15, revision = $16
               WHERE id = $1";
    bind_key(Write::new(sql, damaged("a key that is locked is gone")), key)
}

/// $1 to $16.
fn bind_key(write: Write, key: &Key) -> Write {
    let audit = AuditForm::from(&key.audit);
    write
        .bind(key.id.to_string())
        .bind(key.secret.0.to_vec())
        .bind(key.previous.map(|previous| previous.digest.0.to_vec()))
        .bind(key.previous.map(|previous| previous.expires_time.as_micros()))
        .bind(key.name.to_string())
        .bind(format::encode_list(key.scopes.names()))
        .bind(format::encode_coverage(&key.coverage))
        .bind(format::encode_list(&key.addresses))
        .bind(key.expires_time.map(Timestamp::as_micros))
        .bind(key.staff_id.as_ref().map(ToString::to_string))
        .bind(key.revoked_time.map(Timestamp::as_micros))
        .bind(audit.created_by)
        .bind(audit.created_time)
        .bind(audit.last_updated_by)
        .bind(audit.last_updated_time)
        .bind(integer(audit.revision))
}

/// A conflict where the acting key already used the request id.
fn append(before: Option<&Key>, plan: &KeyPlan) -> Write {
    let sql = "INSERT INTO key_changes (key_id, revision, part, time, actor_key_id, actor_staff_id, address,
                   request_id, request_digest, body)
               SELECT $1::text, $2::bigint, coalesce(max(part) + 1, 0), $3::bigint, $4::text, $5::text,
                   $6::text, $7::text, $8::bytea, $9::text
               FROM key_changes WHERE key_id = $1 AND revision = $2
               ON CONFLICT (actor_key_id, request_id) WHERE request_id IS NOT NULL DO NOTHING";
    let write = Write::new(sql, StoreError::Conflict)
        .bind(plan.after.id.to_string())
        .bind(integer(plan.after.audit.revision.0))
        .bind(plan.time.as_micros());
    log::bind_actor(write, &plan.actor, plan.request.as_ref())
        .bind(format::encode_key_change(before, &plan.after))
}

fn previous(row: &Row) -> Result<Option<PreviousSecret>> {
    let secret: Option<&[u8]> = value(row, "previous_secret")?;
    let expires_time = optional_time(row, "previous_expires_time")?;
    let Some((secret, expires_time)) = secret.zip(expires_time) else { return Ok(None) };
    let digest = SecretDigest(secret.try_into().map_err(damaged)?);
    Ok(Some(PreviousSecret { digest, expires_time }))
}

fn used_key_of(row: &Row) -> Result<(Key, Option<Timestamp>)> {
    Ok((key_of(row)?, optional_time(row, "last_used_time")?))
}

fn key_of(row: &Row) -> Result<Key> {
    let staff_id =
        optional_text(row, "staff_id")?.map(|id| StaffId::parse("staff_id", &id)).transpose()?;
    Ok(Key {
        id: KeyId::parse("id", &text(row, "id")?)?,
        name: Name::parse("name", &text(row, "name")?)?,
        secret: SecretDigest(digest(row, "secret")?),
        previous: previous(row)?,
        scopes: format::decode_scopes(&text(row, "scopes")?)?,
        coverage: format::decode_coverage(optional_text(row, "companies")?.as_deref())?,
        addresses: format::decode_addresses(&text(row, "addresses")?)?,
        expires_time: optional_time(row, "expires_time")?,
        staff_id,
        revoked_time: optional_time(row, "revoked_time")?,
        audit: audit(row, "revision")?.into_audit()?,
    })
}
