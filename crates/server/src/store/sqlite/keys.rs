//! Keys, and the statements about them. Each statement runs inside a transaction of its caller.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, named_params, params};

use super::{
    SqliteStore,
    columns::{Result, collect},
    failure, integer,
};
use crate::{
    catalog::{
        entry::Revision,
        error::Kind,
        id::{KeyId, StaffId},
        key::{Key, KeySecrets, SecretDigest},
        time::Timestamp,
    },
    store::{
        KeyRow, Keys, StoreError, Uses,
        damages::Place,
        forms::{self, AuditForm},
    },
};

#[async_trait]
impl Keys for SqliteStore {
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>> {
        let secret = *secret;
        self.read("key_by_secret", Place::KEYS, move |tx| key_by_secret(tx, &secret)).await
    }

    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>> {
        let (created_by, after) = (created_by.cloned(), after.cloned());
        let list = move |tx: &_| keys(tx, created_by.as_ref(), after.as_ref(), limit);
        self.read("keys", Place::KEYS, list).await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>> {
        let of = id.clone();
        self.read("key", Place::key(id), move |tx| key(tx, &of)).await
    }

    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>> {
        self.read("secrets", Place::KEYS, move |tx| secrets(tx, after, limit)).await
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>> {
        let id = id.clone();
        self.read("key_descendants", Place::KEYS, move |tx| descendants(tx, &id, limit)).await
    }

    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>> {
        let after = after.cloned();
        self.read("key_ids", Place::KEYS, move |tx| ids(tx, after.as_ref(), limit)).await
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>> {
        self.read("next_key_expiry", Place::KEYS, move |tx| next_expiry(tx, after)).await
    }
}

#[async_trait]
impl Uses for SqliteStore {
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses: Arc<[_]> = uses.into();
        self.write("touch_keys", Place::KEYS, move |tx| touch(tx, &uses)).await
    }
}

pub(super) fn key_by_secret(tx: &Connection, secret: &SecretDigest) -> Result<Option<Key>> {
    let mut statement = tx
        .prepare_cached("SELECT * FROM keys WHERE secret = ?1 OR previous_secret = ?1")
        .map_err(failure)?;
    Ok(collect(statement.query([secret.0]).map_err(failure)?, |row| forms::key(row))?.pop())
}

pub(super) fn secrets(tx: &Connection, after: u64, limit: u32) -> Result<Vec<KeySecrets>> {
    let sql = "SELECT sequence, secret, previous_secret FROM keys WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query(params![integer(after), limit]).map_err(failure)?;
    collect(rows, |row| forms::key_secrets(row))
}

pub(super) fn keys(
    tx: &Connection,
    created_by: Option<&KeyId>,
    after: Option<&KeyId>,
    limit: u32,
) -> Result<Vec<KeyRow>> {
    let is_made_by = if created_by.is_some() { "created_by_key_id = ?3" } else { "?3 IS NULL" };
    let sql = format!(
        "SELECT keys.*, key_uses.last_used_time FROM keys
         LEFT JOIN key_uses ON key_uses.key_id = keys.id
         WHERE keys.id > ?1 AND {is_made_by} ORDER BY keys.id LIMIT ?2"
    );
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    // Every id sorts after the empty text.
    let after = after.map_or("", KeyId::as_str);
    let rows = statement.query(params![after, limit, created_by.map(KeyId::as_str)]);
    collect(rows.map_err(failure)?, |row| forms::key_row(row))
}

pub(super) fn descendants(tx: &Connection, id: &KeyId, limit: u32) -> Result<Vec<Key>> {
    let sql = "WITH RECURSIVE made (made_id) AS (
                   SELECT id FROM keys WHERE created_by_key_id = ?1
                   UNION SELECT id FROM keys JOIN made ON created_by_key_id = made_id)
               SELECT keys.* FROM keys JOIN made ON id = made_id WHERE revoked_time IS NULL
               ORDER BY id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    collect(statement.query(params![id.as_str(), limit]).map_err(failure)?, |row| forms::key(row))
}

pub(super) fn key(tx: &Connection, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>> {
    let sql = "SELECT keys.*, key_uses.last_used_time FROM keys
               LEFT JOIN key_uses ON key_uses.key_id = keys.id WHERE keys.id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([id.as_str()]).map_err(failure)?;
    Ok(collect(rows, |row| forms::used_key(row))?.pop())
}

/// Returns a conflict if that key is revoked or does not exist.
pub(super) fn check_live(tx: &Connection, id: Option<&KeyId>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    match key(tx, id)? {
        Some((key, _)) if key.revoked_time.is_none() => Ok(()),
        _ => Err(StoreError::Conflict),
    }
}

pub(super) fn insert(tx: &Connection, made: &Key) -> Result<()> {
    if key(tx, &made.id)?.is_some() {
        return Err(StoreError::Taken(Kind::Key, made.id.to_string()));
    }
    write_key(tx, made)
}

pub(super) fn update(tx: &Connection, base: Revision, after: &Key) -> Result<()> {
    match key(tx, &after.id)? {
        Some((old, _)) if old.audit.revision == base => write_key(tx, after),
        _ => Err(StoreError::Conflict),
    }
}

/// The ids of keys that have a row or a log.
pub(super) fn ids(tx: &Connection, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>> {
    // Every id sorts after the empty text. Both halves are read in the order of an index, so a page
    // reads no more than it needs.
    let sql = "SELECT id FROM keys WHERE id > ?1
               UNION SELECT stream_id FROM changes WHERE stream_kind = 'key' AND stream_id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let after = after.map_or("", KeyId::as_str);
    let rows = statement.query(params![after, limit]).map_err(failure)?;
    collect(rows, |row| forms::key_id(row, "id"))
}

pub(super) fn next_expiry(db: &Connection, after: Timestamp) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(expires_time) FROM keys WHERE revoked_time IS NULL AND expires_time > ?1";
    let found = db
        .prepare_cached(sql)
        .and_then(|mut sql| sql.query_row([after.as_micros()], |row| row.get::<_, Option<i64>>(0)));
    Ok(found.map_err(failure)?.map(Timestamp::from_micros))
}

pub(super) fn touch(tx: &Connection, uses: &[(KeyId, Timestamp)]) -> Result<()> {
    let sql = "INSERT INTO key_uses (key_id, last_used_time) SELECT id, ?2 FROM keys WHERE id = ?1
               ON CONFLICT (key_id) DO UPDATE SET last_used_time = max(last_used_time, excluded.last_used_time)";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    for (id, time) in uses {
        statement.execute(params![id.as_str(), time.as_micros()]).map_err(failure)?;
    }
    Ok(())
}

fn write_key(tx: &Connection, key: &Key) -> Result<()> {
    if let Some(holder) = key_by_secret(tx, &key.secret)?
        && holder.id != key.id
    {
        return Err(StoreError::Taken(Kind::Key, holder.id.to_string()));
    }
    let audit = AuditForm::from(&key.audit);
    // An upsert and not REPLACE, which would delete a row that other rows refer to.
    let sql = "INSERT INTO keys
               (id, secret, previous_secret, previous_expires_time, name, scopes, companies, addresses,
                expires_time, staff_id, revoked_time, link_time, created_by_key_id, created_by, created_time,
                last_updated_by, last_updated_time, revision,
                sequence)
               VALUES
               (:id, :secret, :previous_secret, :previous_expires_time, :name, :scopes, :companies, :addresses, :expires_time, :staff_id, :revoked_time,
                :link_time, :created_by_key_id, :created_by, :created_time, :last_updated_by, :last_updated_time, :revision,
                (SELECT coalesce(max(sequence), 0) + 1 FROM keys))
               ON CONFLICT (id) DO UPDATE SET
                   secret = :secret, previous_secret = :previous_secret,
                   previous_expires_time = :previous_expires_time, name = :name, scopes = :scopes, companies = :companies,
                   addresses = :addresses, expires_time = :expires_time, staff_id = :staff_id,
                   revoked_time = :revoked_time, link_time = :link_time, created_by_key_id = :created_by_key_id, created_by = :created_by, created_time = :created_time,
                   last_updated_by = :last_updated_by, last_updated_time = :last_updated_time,
                   revision = :revision, sequence = excluded.sequence";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    statement
        .execute(named_params! {
            ":id": key.id.as_str(), ":secret": key.secret.0,
            ":previous_secret": key.previous.map(|previous| previous.digest.0),
            ":previous_expires_time": key.previous.map(|previous| previous.expires_time.as_micros()), ":name": key.name.as_str(),
            ":scopes": forms::encode_list(key.scopes.names()),
            ":companies": forms::encode_coverage(&key.coverage),
            ":addresses": forms::encode_list(&key.addresses),
            ":expires_time": key.expires_time.map(Timestamp::as_micros),
            ":staff_id": key.staff_id.as_ref().map(StaffId::as_str),
            ":revoked_time": key.revoked_time.map(Timestamp::as_micros),
            ":link_time": key.link_time.map(Timestamp::as_micros),
            ":created_by_key_id": key.created_by_key_id.as_ref().map(KeyId::as_str),
            ":created_by": audit.created_by, ":created_time": audit.created_time,
            ":last_updated_by": audit.last_updated_by, ":last_updated_time": audit.last_updated_time,
            ":revision": integer(audit.revision),
        })
        .map_err(failure)?;
    Ok(())
}
