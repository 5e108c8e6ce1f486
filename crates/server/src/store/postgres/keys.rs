//! Keys, and the statements about them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::{join, join3};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::{
    PostgresStore,
    columns::{Result, integer},
    commit,
    error::failure,
    ours::{self, Ours},
    pool::{Lease, Pool, RowWrite},
};
use crate::{
    catalog::{
        entry::Revision,
        error::Kind,
        id::KeyId,
        key::{Key, KeySecrets, SecretDigest, sides},
        log::Line,
        stream::{Stream, StreamKind},
        time::Timestamp,
    },
    store::{
        KeyRow, Keys, PlanFamily, StoreError, Uses,
        calls::Call,
        damages::Place,
        forms::{self, AuditForm, Columns},
    },
};

const KEY: &str = "id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses, expires_time, \
     staff_id, revoked_time, link_time, created_by_key_id, created_by, created_time, last_updated_by, \
     last_updated_time, revision";

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Only one node writes keys at a time: a row of the whole database is locked before anything is read. With locks on
/// the keys themselves, a key that a search has not found yet could make further keys meanwhile.
const HOLD: &str = "SELECT FROM meta WHERE only_row = 1 AND mark = $1 FOR UPDATE";

#[async_trait]
impl Keys for PostgresStore {
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>> {
        // Another store would know none of the keys.
        let sql = ours::query(KEY, "keys", "secret = $1 OR previous_secret = $1");
        let found = async {
            let rows = self.pool.query(&sql, &[&secret.0.as_slice(), &self.ours.mark]).await?;
            ours::row(&rows, forms::key)
        };
        let found = self.ours.only(found);
        self.calls.run(Call::read("key_by_secret", Place::KEYS), found).await
    }

    async fn keys(
        &self,
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
        self.read(
            "keys",
            Place::KEYS,
            &sql,
            &[&after, &i64::from(limit), &created_by],
            forms::key_row,
        )
        .await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>> {
        let sql = format!(
            "SELECT {KEY}, last_used_time FROM keys LEFT JOIN key_uses ON key_id = id WHERE id = $1"
        );
        Ok(self.read("key", Place::key(id), &sql, &[&id.as_str()], forms::used_key).await?.pop())
    }

    // Only one node writes keys at a time, so no lower sequence can be written later.
    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>> {
        let sql = "SELECT sequence, secret, previous_secret FROM keys WHERE sequence > $1 ORDER BY sequence LIMIT $2";
        let values: [&(dyn ToSql + Sync); 2] = [&integer(after), &i64::from(limit)];
        self.read("secrets", Place::KEYS, sql, &values, forms::key_secrets).await
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>> {
        let (sql, limit) = (descendants_sql(), i64::from(limit));
        self.read("key_descendants", Place::KEYS, &sql, &[&id.as_str(), &limit], forms::key).await
    }

    // Includes keys that have only a log.
    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>> {
        // Every id sorts after the empty text. Each half has a limit of its own, so that a page reads
        // no more than it needs.
        let sql = "SELECT id FROM (
                       (SELECT id FROM keys WHERE id > $1 ORDER BY id LIMIT $2)
                       UNION
                       (SELECT DISTINCT stream_id FROM changes WHERE stream_kind = 'key' AND stream_id > $1
                        ORDER BY stream_id LIMIT $2)
                   ) AS found ORDER BY id LIMIT $2";
        let after = after.map_or("", KeyId::as_str);
        let read = |row: &Row| forms::key_id(row, "id");
        self.read("key_ids", Place::KEYS, sql, &[&after, &i64::from(limit)], read).await
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>> {
        let sql = "SELECT min(expires_time) AS next FROM keys WHERE revoked_time IS NULL AND expires_time > $1";
        let read = |row: &Row| row.optional_time("next");
        Ok(self
            .read("next_key_expiry", Place::KEYS, sql, &[&after.as_micros()], read)
            .await?
            .pop()
            .flatten())
    }
}

#[async_trait]
impl Uses for PostgresStore {
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        self.write("touch_keys", Place::KEYS, touch(&self.pool, uses)).await
    }
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

/// Writes lines if one of them is a key's, or if they need a live key.
pub(super) async fn commit(
    pool: &Pool,
    ours: &Ours,
    lines: &[(&Stream, &Line)],
    live: Option<&KeyId>,
) -> Result<()> {
    let _writer = pool.writer().await?;
    let lease = pool.lease().await?;
    let written = pool.answered(4 * lines.len(), write(&lease, Some(ours), lines, live)).await;
    lease.end(written).await
}

/// Writes the lines of a key and its descendants.
pub(super) async fn commit_family(
    pool: &Pool,
    ours: &Ours,
    (head, limit): (&KeyId, u32),
    plan: PlanFamily,
    live: Option<&KeyId>,
) -> Result<()> {
    let _writer = pool.writer().await?;
    let lease = pool.lease().await?;
    let statements = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2);
    let written = pool.answered(statements, async {
        let find = lease.prepare(&descendants_sql()).await?;
        let held = lease.prepare(HOLD).await?;
        let client = lease.client()?;
        hold(client, &held, ours).await?;
        let found = client.query(&find, &[&head.as_str(), &i64::from(limit)]).await;
        let found = found.map_err(|error| failure(&error))?;
        let found = found.iter().map(forms::key).collect::<Result<Vec<_>>>()?;
        let lines = plan(&found).ok_or(StoreError::Conflict)?;
        let lines: Vec<_> = lines.iter().map(|(stream, line)| (stream, line)).collect();
        write(&lease, None, &lines, live).await
    });
    let written = written.await;
    lease.end(written).await
}

/// Begins a transaction, and waits until no other node writes keys.
async fn hold(client: &Client, held: &Statement, ours: &Ours) -> Result<()> {
    // Joined futures are polled in this order, and the driver sends a request when its future is first polled.
    let (begun, held) = join(client.batch_execute(BEGIN), client.query(held, &[&ours.mark])).await;
    begun.map_err(|error| failure(&error))?;
    match held.map_err(|error| failure(&error))?.is_empty() {
        true => Err(ours::other()),
        false => Ok(()),
    }
}

async fn write(
    lease: &Lease,
    held: Option<&Ours>,
    lines: &[(&Stream, &Line)],
    live: Option<&KeyId>,
) -> Result<()> {
    let mut writes = Vec::new();
    for (stream, line) in lines {
        writes.extend(commit::writes(stream, line)?);
    }
    look(lease, held, lines, live).await?;
    let statements = lease.prepare_all(&writes).await?;
    lease.send(None, &statements, &writes).await
}

/// Reads the current keys and the acting key, and refuses lines that do not fit them.
async fn look(
    lease: &Lease,
    held: Option<&Ours>,
    lines: &[(&Stream, &Line)],
    live: Option<&KeyId>,
) -> Result<()> {
    let found = format!("SELECT {KEY} FROM keys WHERE id = ANY($1)");
    let found = lease.prepare(&found).await?;
    let holders =
        format!("SELECT {KEY} FROM keys WHERE secret = ANY($1) OR previous_secret = ANY($1)");
    let holders = lease.prepare(&holders).await?;
    let statement = lease.prepare(HOLD).await?;
    let of_keys = || lines.iter().filter(|(stream, _)| stream.kind() == StreamKind::KEY);
    let ids = of_keys().map(|(stream, _)| stream.id()).chain(live.map(KeyId::as_str));
    let ids: Vec<&str> = ids.collect();
    let changed = || of_keys().filter_map(|(_, line)| sides(line)).map(|(_, after)| after);
    let secrets: Vec<&[u8]> = changed().map(|key| key.secret.0.as_slice()).collect();
    let client = lease.client()?;
    let hold = async {
        match held {
            Some(ours) => hold(client, &statement, ours).await,
            None => Ok(()),
        }
    };
    // In this order, too.
    let (held, found, holders) =
        join3(hold, client.query(&found, &[&ids]), client.query(&holders, &[&secrets])).await;
    held?;
    let found = found.map_err(|error| failure(&error))?;
    let holders = holders.map_err(|error| failure(&error))?;
    let old = found.iter().map(|row| forms::key(row).map(|key| (key.id.clone(), key)));
    let old = old.collect::<Result<BTreeMap<_, _>>>()?;
    if live.is_some_and(|id| old.get(id).is_none_or(|key| key.revoked_time.is_some())) {
        return Err(StoreError::Conflict);
    }
    let mut at: BTreeMap<&str, Revision> =
        old.iter().map(|(id, key)| (id.as_str(), key.audit.revision)).collect();
    for (stream, line) in of_keys() {
        let base = Some(line.base()).filter(|base| *base != Revision::default());
        match at.insert(stream.id(), line.revision) {
            Some(_) if base.is_none() => {
                return Err(StoreError::Taken(Kind::Key, stream.id().to_owned()));
            }
            at if at != base => return Err(StoreError::Conflict),
            _ => {}
        }
    }
    let holders = holders.iter().map(forms::key).collect::<Result<Vec<_>>>()?;
    for Key { id, secret, .. } in changed() {
        let holds = |key: &&Key| key.id != *id && key.secrets().any(|held| held == *secret);
        if let Some(holder) = holders.iter().find(holds) {
            return Err(StoreError::Taken(Kind::Key, holder.id.to_string()));
        }
    }
    Ok(())
}

/// Locks rows in the order of their ids, so that two nodes never wait for each other.
async fn touch(pool: &Pool, uses: &[(KeyId, Timestamp)]) -> Result<()> {
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

pub(super) fn insert(key: &Key) -> RowWrite {
    // No other key had that id or secret a moment ago, so after a conflict the keys are read again.
    let sql = "INSERT INTO keys
               (id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses,
                expires_time, staff_id, revoked_time, created_by_key_id, created_by, created_time,
                last_updated_by, last_updated_time, revision, link_time, sequence)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                       (SELECT coalesce(max(sequence), 0) + 1 FROM keys))
               ON CONFLICT DO NOTHING";
    let taken = StoreError::Taken(Kind::Key, key.id.to_string());
    bind_key(RowWrite::new(sql, taken), key)
}

pub(super) fn update(base: Revision, key: &Key) -> RowWrite {
    let sql =
        "UPDATE keys SET secret = $2, previous_secret = $3, previous_expires_time = $4, name = $5,
                   scopes = $6, companies = $7, addresses = $8, expires_time = $9, staff_id = $10,
                   revoked_time = $11, created_by_key_id = $12, created_by = $13, created_time = $14,
                   last_updated_by = $15, last_updated_time = $16, revision = $17, link_time = $18,
                   sequence = (SELECT coalesce(max(sequence), 0) + 1 FROM keys)
               WHERE id = $1 AND revision = $19";
    bind_key(RowWrite::new(sql, StoreError::Conflict), key).bind(integer(base.0))
}

/// Binds $1 to $18.
fn bind_key(write: RowWrite, key: &Key) -> RowWrite {
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
        .bind(key.link_time.map(Timestamp::as_micros))
}
