//! The statements about keys and their log.

use std::{collections::BTreeMap, slice};

use futures_util::future::join3;
use tokio_postgres::Row;

use super::{
    columns::{
        Result, audit, digest, integer, optional_text, optional_time, revision, text, time, value,
    },
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
            Key, KeyLogLine, KeyLogPlace, KeyPlan, KeySecrets, LoggedKeyRequest, PreviousSecret,
            SecretDigest,
        },
        log::RequestId,
        text::Name,
        time::Timestamp,
    },
    store::{
        KeyRow, StoreError, check_key_plans,
        forms::{self, AuditForm, KeyChangeBody},
        listed,
    },
};

const KEY: &str = "id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses, expires_time, \
     staff_id, revoked_time, created_by_key_id, created_by, created_time, last_updated_by, \
     last_updated_time, revision";

/// Who writes keys does so alone, on whichever node: a row of the whole database is locked before
/// anything is read. Locks on the keys themselves would let a key that nobody knows of yet make
/// others for as long as it takes to find it.
const HOLD: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT FROM meta FOR UPDATE";

const LINE: &str = "key_id, revision, part, time, actor_key_id, actor_staff_id, address, request_id, request_digest, body";

pub(super) async fn key_by_secret(pool: &Pool, secret: &SecretDigest) -> Result<Option<Key>> {
    let sql = format!("SELECT {KEY} FROM keys WHERE secret = $1 OR previous_secret = $1");
    let rows = pool.query(&sql, &[&secret.0.as_slice()]).await?;
    rows.first().map(key_of).transpose()
}

/// Who writes keys writes alone, so a sequence that is seen has nothing missing before it.
pub(super) async fn secrets(pool: &Pool, after: u64, limit: u32) -> Result<Vec<KeySecrets>> {
    let sql = "SELECT sequence, secret, previous_secret FROM keys WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    let rows = pool.query(sql, &[&integer(after), &i64::from(limit)]).await?;
    let read = rows.iter().map(|row| {
        let sequence = u64::try_from(value::<i64>(row, "sequence")?).map_err(damaged)?;
        let secret = SecretDigest(digest(row, "secret")?);
        Ok(KeySecrets { sequence, secret, previous: previous_digest(row)? })
    });
    read.collect()
}

pub(super) async fn keys(
    pool: &Pool,
    created_by: Option<&KeyId>,
    after: Option<&KeyId>,
    limit: u32,
) -> Result<Vec<KeyRow>> {
    let is_made_by =
        if created_by.is_some() { "created_by_key_id = $3::text" } else { "$3::text IS NULL" };
    let sql = format!(
        "SELECT {KEY}, last_used_time FROM keys LEFT JOIN key_uses ON key_id = id
         WHERE id > $1 AND {is_made_by} ORDER BY id LIMIT $2"
    );
    // Every id sorts after the empty text.
    let after = after.map_or("", KeyId::as_str);
    let created_by = created_by.map(KeyId::as_str);
    let rows = pool.query(&sql, &[&after, &i64::from(limit), &created_by]).await?;
    let read = |row| listed(KeyId::parse("id", &text(row, "id")?)?, used_key_of(row));
    rows.iter().map(read).collect()
}

pub(super) async fn descendants(pool: &Pool, id: &KeyId, limit: u32) -> Result<Vec<Key>> {
    let rows = pool.query(&descendants_sql(), &[&id.as_str(), &i64::from(limit)]).await?;
    rows.iter().map(key_of).collect()
}

fn descendants_sql() -> String {
    format!(
        "WITH RECURSIVE made (made_id) AS (
             SELECT id FROM keys WHERE created_by_key_id = $1
             UNION SELECT id FROM keys JOIN made ON created_by_key_id = made_id)
         SELECT {KEY} FROM keys JOIN made ON id = made_id WHERE revoked_time IS NULL
         ORDER BY id LIMIT $2"
    )
}

pub(super) async fn key(pool: &Pool, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>> {
    let sql = format!(
        "SELECT {KEY}, last_used_time FROM keys LEFT JOIN key_uses ON key_id = id WHERE id = $1"
    );
    pool.query(&sql, &[&id.as_str()]).await?.first().map(used_key_of).transpose()
}

/// Writes the key and the line of the key log, if the key is at the plan's base.
pub(super) async fn commit(pool: &Pool, plan: &KeyPlan, live: Option<&KeyId>) -> Result<()> {
    let _writer = pool.writer().await?;
    let lease = pool.lease().await?;
    let written = pool.answered(4, write(&lease, Some(HOLD), slice::from_ref(plan), live)).await;
    lease.end(written).await
}

/// The same for a key and all that descend from it.
pub(super) async fn commit_family(
    pool: &Pool,
    head: &KeyId,
    limit: u32,
    plan: &(dyn Fn(&[Key]) -> Option<Vec<KeyPlan>> + Send + Sync),
    live: Option<&KeyId>,
) -> Result<()> {
    let _writer = pool.writer().await?;
    let lease = pool.lease().await?;
    let statements = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2);
    let written = pool.answered(statements, async {
        let find = lease.prepare(&descendants_sql()).await?;
        let client = lease.client()?;
        client.batch_execute(HOLD).await.map_err(|error| failure(&error))?;
        let found = client.query(&find, &[&head.as_str(), &i64::from(limit)]).await;
        let found = found.map_err(|error| failure(&error))?;
        let found = found.iter().map(key_of).collect::<Result<Vec<_>>>()?;
        let plans = plan(&found).ok_or(StoreError::Conflict)?;
        write(&lease, None, &plans, live).await
    });
    let written = written.await;
    lease.end(written).await
}

async fn write(
    lease: &Lease,
    hold: Option<&str>,
    plans: &[KeyPlan],
    live: Option<&KeyId>,
) -> Result<()> {
    check_key_plans(plans)?;
    let old = look(lease, hold, plans, live).await?;
    let mut writes = Vec::new();
    for plan in plans {
        if plan.after.audit.revision != plan.base {
            writes.push(match plan.base {
                Revision(0) => insert_key(&plan.after),
                _ => update_key(&plan.after),
            });
        }
        writes.push(append(old.get(&plan.after.id), plan));
    }
    let statements = lease.prepare_all(&writes).await?;
    lease.send(None, &statements, &writes).await
}

/// Looks at the keys as they are and at the one that acts, and refuses plans that do not fit them.
async fn look(
    lease: &Lease,
    hold: Option<&str>,
    plans: &[KeyPlan],
    live: Option<&KeyId>,
) -> Result<BTreeMap<KeyId, Key>> {
    let found = format!("SELECT {KEY} FROM keys WHERE id = ANY($1)");
    let found = lease.prepare(&found).await?;
    let holders =
        format!("SELECT {KEY} FROM keys WHERE secret = ANY($1) OR previous_secret = ANY($1)");
    let holders = lease.prepare(&holders).await?;
    let ids = plans.iter().map(|plan| &plan.after.id).chain(live);
    let ids: Vec<&str> = ids.map(KeyId::as_str).collect();
    let changed = || plans.iter().filter(|plan| plan.after.audit.revision != plan.base);
    let secrets: Vec<&[u8]> = changed().map(|plan| plan.after.secret.0.as_slice()).collect();
    let client = lease.client()?;
    let hold = async {
        match hold {
            Some(hold) => client.batch_execute(hold).await,
            None => Ok(()),
        }
    };
    // Joined futures are polled in this order, and the driver sends when one is polled first.
    let (held, found, holders) =
        join3(hold, client.query(&found, &[&ids]), client.query(&holders, &[&secrets])).await;
    held.map_err(|error| failure(&error))?;
    let found = found.map_err(|error| failure(&error))?;
    let holders = holders.map_err(|error| failure(&error))?;
    let old = found.iter().map(|row| key_of(row).map(|key| (key.id.clone(), key)));
    let old = old.collect::<Result<BTreeMap<_, _>>>()?;
    if live.is_some_and(|id| old.get(id).is_none_or(|key| key.revoked_time.is_some())) {
        return Err(StoreError::Conflict);
    }
    for plan in plans {
        let id = &plan.after.id;
        match old.get(id) {
            Some(_) if plan.base == Revision::default() => {
                return Err(StoreError::Taken(Kind::Key, id.to_string()));
            }
            Some(old) if old.audit.revision != plan.base => return Err(StoreError::Conflict),
            None if plan.base != Revision::default() => return Err(StoreError::Conflict),
            _ => {}
        }
    }
    let holders = holders.iter().map(key_of).collect::<Result<Vec<_>>>()?;
    for Key { id, secret, .. } in changed().map(|plan| &plan.after) {
        let holds = |key: &&Key| key.id != *id && key.secrets().any(|held| held == *secret);
        if let Some(holder) = holders.iter().find(holds) {
            return Err(StoreError::Taken(Kind::Key, holder.id.to_string()));
        }
    }
    Ok(old)
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
        let body = text(row, "body")?;
        let body = forms::decode_key_change(&body, Some(actor), Some(request))?;
        Ok(LoggedKeyRequest {
            digest: digest(row, "request_digest")?,
            key: body.after,
            also_revoked: forms::said(body.also_revoked)?,
        })
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
    let such = format!("key_changes WHERE part = 0 AND {is_of_key} AND {is_before}");
    let sql = log::lines(LINE, &such, "time DESC, key_id DESC, revision DESC", "$5");
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

/// Of keys that have a row or a log.
pub(super) async fn ids(pool: &Pool, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>> {
    // Every id sorts after the empty text. Each half is cut for itself, so that a page reads no
    // further than it must.
    let sql = "SELECT id FROM (
                   (SELECT id FROM keys WHERE id > $1 ORDER BY id LIMIT $2)
                   UNION
                   (SELECT DISTINCT key_id FROM key_changes WHERE key_id > $1 ORDER BY key_id LIMIT $2)
               ) AS found ORDER BY id LIMIT $2";
    let after = after.map_or("", KeyId::as_str);
    let rows = pool.query(sql, &[&after, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(KeyId::parse("id", &text(row, "id")?)?)).collect()
}

/// Empty lines too.
pub(super) async fn whole_log(
    pool: &Pool,
    key: &KeyId,
    after: (Revision, u32),
    limit: u32,
) -> Result<Vec<(u32, KeyLogLine)>> {
    let such = "key_changes WHERE key_id = $1 AND (revision, part) > ($2, $3)";
    let sql = log::lines(LINE, such, "revision, part", "$4");
    let (revision, part) = (integer(after.0.0), i64::from(after.1));
    let rows = pool.query(&sql, &[&key.as_str(), &revision, &part, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok((log::part_of(row)?, line(row)?))).collect()
}

fn line(row: &Row) -> Result<KeyLogLine> {
    let (key, revision) = (text(row, "key_id")?, revision(row, "revision")?);
    let read = || {
        let (actor, request) = (log::actor(row)?, log::request_of(row)?);
        let (acting, id) = (actor.key_id.as_ref(), request.as_ref().map(|request| &request.id));
        let KeyChangeBody { before, after, also_revoked } =
            forms::decode_key_line((&key, revision), &text(row, "body")?, acting, id)?;
        Ok(KeyLogLine {
            time: time(row, "time")?,
            actor,
            request,
            also_revoked,
            before: before.map(Box::new),
            after: Box::new(after),
        })
    };
    read().map_err(|error| forms::in_line(format!("revision {revision} of {key}"), error))
}

/// Unknown keys are passed over, and a use never moves back. Rows are locked by id, so that two
/// nodes never wait for each other.
pub(super) async fn next_expiry(pool: &Pool, after: Timestamp) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(expires_time) FROM keys WHERE revoked_time IS NULL AND expires_time > $1";
    let rows = pool.query(sql, &[&after.as_micros()]).await?;
    let found = rows.first().and_then(|row| row.get::<_, Option<i64>>(0));
    Ok(found.map(Timestamp::from_micros))
}

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
                expires_time, staff_id, revoked_time, created_by_key_id, created_by, created_time,
                last_updated_by, last_updated_time, revision, sequence)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                       (SELECT coalesce(max(sequence), 0) + 1 FROM keys))
               ON CONFLICT DO NOTHING";
    let taken = StoreError::Taken(Kind::Key, key.id.to_string());
    bind_key(Write::new(sql, taken), key)
}

fn update_key(key: &Key) -> Write {
    let sql =
        "UPDATE keys SET secret = $2, previous_secret = $3, previous_expires_time = $4, name = $5,
                   scopes = $6, companies = $7, addresses = $8, expires_time = $9, staff_id = $10,
                   revoked_time = $11, created_by_key_id = $12, created_by = $13, created_time = $14,
                   last_updated_by = $15, last_updated_time = $16, revision = $17,
                   sequence = (SELECT coalesce(max(sequence), 0) + 1 FROM keys)
               WHERE id = $1";
    bind_key(Write::new(sql, damaged("a key that was there is gone")), key)
}

/// $1 to $17.
fn bind_key(write: Write, key: &Key) -> Write {
    let audit = AuditForm::from(&key.audit);
    write
        .bind(key.id.to_string())
        .bind(key.secret.0.to_vec())
        .bind(key.previous.map(|previous| previous.digest.0.to_vec()))
        .bind(key.previous.map(|previous| previous.expires_time.as_micros()))
        .bind(key.name.to_string())
        .bind(forms::encode_list(key.scopes.names()))
        .bind(forms::encode_coverage(&key.coverage))
        .bind(forms::encode_list(&key.addresses))
        .bind(key.expires_time.map(Timestamp::as_micros))
        .bind(key.staff_id.as_ref().map(ToString::to_string))
        .bind(key.revoked_time.map(Timestamp::as_micros))
        .bind(key.created_by_key_id.as_ref().map(ToString::to_string))
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
        .bind(forms::encode_key_change(before, plan))
}

fn previous(row: &Row) -> Result<Option<PreviousSecret>> {
    let expires_time = optional_time(row, "previous_expires_time")?;
    let both = previous_digest(row)?.zip(expires_time);
    Ok(both.map(|(digest, expires_time)| PreviousSecret { digest, expires_time }))
}

fn previous_digest(row: &Row) -> Result<Option<SecretDigest>> {
    let secret: Option<&[u8]> = value(row, "previous_secret")?;
    secret.map(|secret| secret.try_into().map(SecretDigest).map_err(damaged)).transpose()
}

fn used_key_of(row: &Row) -> Result<(Key, Option<Timestamp>)> {
    Ok((key_of(row)?, optional_time(row, "last_used_time")?))
}

fn key_of(row: &Row) -> Result<Key> {
    let staff_id =
        optional_text(row, "staff_id")?.map(|id| StaffId::parse("staff_id", &id)).transpose()?;
    Ok(Key {
        id: KeyId::parse("id", &text(row, "id")?)?,
        name: Name::stored(&text(row, "name")?)?,
        secret: SecretDigest(digest(row, "secret")?),
        previous: previous(row)?,
        scopes: forms::decode_scopes(&text(row, "scopes")?)?,
        coverage: forms::decode_coverage(optional_text(row, "companies")?.as_deref())?,
        addresses: forms::decode_addresses(&text(row, "addresses")?)?,
        expires_time: optional_time(row, "expires_time")?,
        staff_id,
        revoked_time: optional_time(row, "revoked_time")?,
        created_by_key_id: forms::creator(optional_text(row, "created_by_key_id")?)?,
        audit: audit(row, "revision")?.into_audit()?,
    })
}
