//! Sessions of the console and the links that begin one. Each statement runs inside a transaction that its caller began.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    columns::{Result, collect},
    failure,
};
use crate::{
    catalog::{
        id::KeyId,
        key::SecretDigest,
        session::{MOST_SESSIONS, Session, SignInLink},
        time::Timestamp,
    },
    store::{Sessions, StoreError, damages::Place, forms},
};

#[async_trait]
impl Sessions for SqliteStore {
    async fn begin_session(
        &self,
        session: &Session,
        in_place_of: Option<&SecretDigest>,
        by_link: Option<&SecretDigest>,
    ) -> Result<()> {
        let (session, old, link) = (session.clone(), in_place_of.copied(), by_link.copied());
        let begin = move |tx: &Connection| begin(tx, &session, old, link);
        self.write("begin_session", Place::SESSIONS, begin).await
    }

    async fn session(&self, id: &SecretDigest) -> Result<Option<Session>> {
        let id = *id;
        self.read("session", Place::SESSIONS, move |tx| session(tx, &id)).await
    }

    async fn sessions(&self, key: &KeyId, limit: u32) -> Result<Vec<Session>> {
        let key = key.clone();
        self.read("sessions", Place::SESSIONS, move |tx| sessions(tx, &key, limit)).await
    }

    async fn all_sessions(
        &self,
        after: Option<(&KeyId, &SecretDigest)>,
        limit: u32,
    ) -> Result<Vec<Session>> {
        let after = after.map(|(key, id)| (key.clone(), *id));
        self.read("all_sessions", Place::SESSIONS, move |tx| all_sessions(tx, after, limit)).await
    }

    async fn touch_session(&self, id: &SecretDigest, time: Timestamp) -> Result<()> {
        let id = *id;
        let sql = "UPDATE console_sessions SET seen_time = max(seen_time, ?2) WHERE id = ?1";
        self.write("touch_session", Place::SESSIONS, move |tx| {
            run(tx, sql, params![id.0, time.as_micros()]).map(drop)
        })
        .await
    }

    async fn end_session(&self, id: &SecretDigest) -> Result<()> {
        let id = *id;
        let sql = "DELETE FROM console_sessions WHERE id = ?1";
        self.write("end_session", Place::SESSIONS, move |tx| run(tx, sql, params![id.0]).map(drop))
            .await
    }

    async fn add_link(&self, link: &SignInLink, now: Timestamp) -> Result<()> {
        let link = link.clone();
        self.write("add_link", Place::SESSIONS, move |tx| add_link(tx, &link, now)).await
    }

    async fn link(&self, id: &SecretDigest) -> Result<Option<SignInLink>> {
        let id = *id;
        self.read("link", Place::SESSIONS, move |tx| link(tx, &id)).await
    }
}

fn begin(
    tx: &Connection,
    session: &Session,
    old: Option<SecretDigest>,
    link: Option<SecretDigest>,
) -> Result<()> {
    let (key, now) = (session.key_id.as_str(), session.created_time.as_micros());
    if let Some(link) = link {
        let sql = "UPDATE console_links SET used_time = ?2
                   WHERE id = ?1 AND expires_time > ?2 AND used_time IS NULL";
        if run(tx, sql, params![link.0, now])? == 0 {
            return Err(StoreError::Conflict);
        }
    }
    let sql = "DELETE FROM console_sessions WHERE expires_time <= ?1 OR id = ?2 OR id IN
               (SELECT id FROM console_sessions WHERE key_id = ?3 ORDER BY seen_time DESC, id LIMIT -1 OFFSET ?4)";
    run(tx, sql, params![now, old.map(|old| old.0), key, MOST_SESSIONS - 1])?;
    let sql =
        "INSERT INTO console_sessions (id, key_id, secret, created_time, seen_time, expires_time, browser)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let secret = session.secret.map(|secret| secret.0);
    let (seen, expires) = (session.seen_time.as_micros(), session.expires_time.as_micros());
    run(tx, sql, params![session.id.0, key, secret, now, seen, expires, session.browser]).map(drop)
}

fn session(tx: &Connection, id: &SecretDigest) -> Result<Option<Session>> {
    let sql = "SELECT * FROM console_sessions WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    Ok(collect(statement.query([id.0]).map_err(failure)?, |row| forms::session(row))?.pop())
}

fn sessions(tx: &Connection, key: &KeyId, limit: u32) -> Result<Vec<Session>> {
    let sql =
        "SELECT * FROM console_sessions WHERE key_id = ?1 ORDER BY seen_time DESC, id LIMIT ?2";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    collect(statement.query(params![key.as_str(), limit]).map_err(failure)?, |row| {
        forms::session(row)
    })
}

fn all_sessions(
    tx: &Connection,
    after: Option<(KeyId, SecretDigest)>,
    limit: u32,
) -> Result<Vec<Session>> {
    let sql = "SELECT * FROM console_sessions WHERE key_id >= ?1 AND (key_id > ?1 OR id > ?2)
               ORDER BY key_id, id LIMIT ?3";
    let (key, id) = after.as_ref().map_or(("", &[][..]), |(key, id)| (key.as_str(), &id.0[..]));
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    collect(statement.query(params![key, id, limit]).map_err(failure)?, |row| forms::session(row))
}

fn add_link(tx: &Connection, link: &SignInLink, now: Timestamp) -> Result<()> {
    let key = link.key_id.as_str();
    let sql = "DELETE FROM console_links WHERE expires_time <= ?1 OR key_id = ?2";
    run(tx, sql, params![now.as_micros(), key])?;
    let sql = "INSERT INTO console_links (id, key_id, expires_time) VALUES (?1, ?2, ?3)";
    run(tx, sql, params![link.id.0, key, link.expires_time.as_micros()]).map(drop)
}

fn link(tx: &Connection, id: &SecretDigest) -> Result<Option<SignInLink>> {
    let sql = "SELECT * FROM console_links WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([id.0]).map_err(failure)?;
    Ok(collect(rows, |row| forms::link(row))?.pop())
}

fn run(tx: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
    tx.prepare_cached(sql).and_then(|mut sql| sql.execute(parameters)).map_err(failure)
}
