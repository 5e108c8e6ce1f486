//! Sessions of the console and the links that begin one.

use async_trait::async_trait;

use super::{PostgresStore, columns::Result, pool::RowWrite};
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
impl Sessions for PostgresStore {
    async fn begin_session(
        &self,
        session: &Session,
        in_place_of: Option<&SecretDigest>,
        by_link: Option<&SecretDigest>,
    ) -> Result<()> {
        let now = session.created_time.as_micros();
        let used = by_link.map(|link| {
            let sql = "UPDATE console_links SET used_time = $2
                       WHERE id = $1 AND expires_time > $2 AND used_time IS NULL";
            RowWrite::new(sql, StoreError::Conflict).bind(link.0.to_vec()).bind(now)
        });
        let sql = "WITH ended AS (
                       DELETE FROM console_sessions WHERE expires_time <= $4 OR id = $7 OR id IN
                       (SELECT id FROM console_sessions WHERE key_id = $2 ORDER BY seen_time DESC, id OFFSET $8))
                   INSERT INTO console_sessions (id, key_id, secret, created_time, seen_time, expires_time, browser)
                   VALUES ($1, $2, $3, $4, $5, $6, $9)";
        let begun = RowWrite::new(sql, StoreError::Conflict)
            .bind(session.id.0.to_vec())
            .bind(session.key_id.to_string())
            .bind(session.secret.map(|secret| secret.0.to_vec()))
            .bind(now)
            .bind(session.seen_time.as_micros())
            .bind(session.expires_time.as_micros())
            .bind(in_place_of.map(|old| old.0.to_vec()))
            .bind(i64::from(MOST_SESSIONS - 1))
            .bind(session.browser.clone());
        let writes = [self.ours.hold()].into_iter().chain(used).chain([begun]);
        let begin = self.pool.write(writes.collect());
        self.write("begin_session", Place::SESSIONS, begin).await
    }

    async fn session(&self, id: &SecretDigest) -> Result<Option<Session>> {
        let sql = "SELECT * FROM console_sessions WHERE id = $1";
        Ok(self
            .read("session", Place::SESSIONS, sql, &[&id.0.as_slice()], forms::session)
            .await?
            .pop())
    }

    async fn sessions(&self, key: &KeyId, limit: u32) -> Result<Vec<Session>> {
        let sql =
            "SELECT * FROM console_sessions WHERE key_id = $1 ORDER BY seen_time DESC, id LIMIT $2";
        self.read(
            "sessions",
            Place::SESSIONS,
            sql,
            &[&key.as_str(), &i64::from(limit)],
            forms::session,
        )
        .await
    }

    async fn all_sessions(
        &self,
        after: Option<(&KeyId, &SecretDigest)>,
        limit: u32,
    ) -> Result<Vec<Session>> {
        let sql = "SELECT * FROM console_sessions WHERE key_id >= $1 AND (key_id > $1 OR id > $2)
                   ORDER BY key_id, id LIMIT $3";
        let (key, id) = after.map_or(("", &[][..]), |(key, id)| (key.as_str(), &id.0[..]));
        let limit = i64::from(limit);
        self.read("all_sessions", Place::SESSIONS, sql, &[&key, &id, &limit], forms::session).await
    }

    async fn touch_session(&self, id: &SecretDigest, time: Timestamp) -> Result<()> {
        let sql = "UPDATE console_sessions SET seen_time = greatest(seen_time, $2) WHERE id = $1";
        let touch =
            async { self.pool.query(sql, &[&id.0.as_slice(), &time.as_micros()]).await.map(drop) };
        self.write("touch_session", Place::SESSIONS, touch).await
    }

    async fn end_session(&self, id: &SecretDigest) -> Result<()> {
        let sql = "DELETE FROM console_sessions WHERE id = $1";
        let end = async { self.pool.query(sql, &[&id.0.as_slice()]).await.map(drop) };
        self.write("end_session", Place::SESSIONS, end).await
    }

    async fn add_link(&self, link: &SignInLink, now: Timestamp) -> Result<()> {
        let sql = "WITH ended AS (
                       DELETE FROM console_links WHERE expires_time <= $4 OR key_id = $2)
                   INSERT INTO console_links (id, key_id, expires_time) VALUES ($1, $2, $3)";
        let added = RowWrite::new(sql, StoreError::Conflict)
            .bind(link.id.0.to_vec())
            .bind(link.key_id.to_string())
            .bind(link.expires_time.as_micros())
            .bind(now.as_micros());
        self.write("add_link", Place::SESSIONS, self.pool.write(vec![self.ours.hold(), added]))
            .await
    }

    async fn link(&self, id: &SecretDigest) -> Result<Option<SignInLink>> {
        let sql = "SELECT * FROM console_links WHERE id = $1";
        Ok(self.read("link", Place::SESSIONS, sql, &[&id.0.as_slice()], forms::link).await?.pop())
    }
}
