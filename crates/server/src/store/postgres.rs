//! The store in a PostgreSQL database, which any number of nodes share.
//!
//! Plain SQL and row locks alone, so that any engine that speaks PostgreSQL's protocol can carry
//! it. A write is one transaction on one connection; what the server says is committed is taken
//! for committed.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Access, CompanyRow, KeyRow, Notice, PlanFamily, Store, StoreError, count_write};
use crate::catalog::{
    access::{CoveredGrant, Grant},
    company::Business,
    entry::{Catalog, Revision},
    id::{BusinessId, CompanyId, EntryId, KeyId},
    key::{Key, KeySecrets, SecretDigest},
    log::{Line, LoggedRequest, RequestId},
    settings::{Settings, Subject},
    stream::{LinePlace, Stream, StreamKind, Streams},
    time::Timestamp,
};

mod columns;
mod commit;
mod error;
mod indexes;
mod keys;
mod log;
mod notices;
mod pool;
mod rows;
mod schema;
mod target;
mod tls;

pub use error::OpenError;
use notices::Notifier;
use pool::Pool;
pub use pool::PoolOptions;
use target::Target;

/// A database's store. Dropping it closes its connections.
pub struct PostgresStore {
    pool: Pool,
    notifier: Notifier,
    name: String,
}

impl PostgresStore {
    /// Opens the store of a database, makes it where `access` says so and the database is empty,
    /// and brings an older one up to this program's schema.
    pub async fn open(url: &str, options: PoolOptions, access: Access) -> Result<Self, OpenError> {
        let target = Target::parse(url, options.connect_timeout)?;
        let name = target.to_string();
        let (client, driver) = target.connect().await?;
        // It ends with its client.
        tokio::spawn(driver);
        schema::open(&client, &name, access).await?;
        warn_of_losses(&client).await;
        let pool = Pool::new(&target, options);
        Ok(Self { pool, notifier: Notifier::start(target), name })
    }

    /// What people call the database: its name and where it is, without user and password.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The rest of the program relies on it that what is committed is on disk.
async fn warn_of_losses(client: &tokio_postgres::Client) {
    let sql = "SELECT name::text FROM pg_catalog.pg_settings
               WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'";
    for row in client.query(sql, &[]).await.unwrap_or_default() {
        let setting: String = row.get(0);
        tracing::warn!(
            setting,
            "the database server has this off: acknowledged writes can be lost"
        );
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresStore({})", self.name)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn epoch(&self) -> Result<u64, StoreError> {
        rows::epoch(&self.pool).await
    }

    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError> {
        rows::raise_epoch(&self.pool, to).await
    }

    async fn change_mark(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        Some(self.notifier.listen())
    }

    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError> {
        let page = (offset, limit);
        rows::list_companies(&self.pool, grant.coverage(), show_archived, after, page).await
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError> {
        rows::list_businesses(&self.pool, grant.coverage(), offset, limit).await
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError> {
        rows::company_ids(&self.pool, grant.coverage(), after, limit).await
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        indexes::faults(&self.pool, limit).await
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError> {
        rows::company_of(&self.pool, business).await
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError> {
        rows::companies_named(&self.pool, grant.coverage(), fold_key).await
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError> {
        rows::fold_key(&self.pool, grant.company()).await
    }

    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError> {
        rows::settings(&self.pool, grant.company()).await
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError> {
        rows::current_revision(&self.pool, grant.company()).await
    }

    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let of_key = |(stream, _): &(&Stream, &Line)| stream.kind() == StreamKind::KEY;
        let outcome = match lines {
            lines if live.is_some() || lines.iter().any(of_key) => {
                keys::commit(&self.pool, lines, live).await
            }
            lines => {
                let writes = lines.iter().map(|(stream, line)| commit::writes(stream, line));
                let writes = writes.collect::<Result<Vec<_>, _>>()?;
                self.pool.write(writes.into_iter().flatten().collect()).await
            }
        };
        count_write(&outcome);
        if outcome.is_ok() {
            for (stream, _) in lines.iter().filter(|(_, line)| !line.is_empty()) {
                self.notifier.tell(stream);
            }
        }
        outcome
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let outcome = keys::commit_family(&self.pool, head, limit, plan, live).await;
        count_write(&outcome);
        if outcome.is_ok() {
            self.notifier.tell(&Stream::key(head));
        }
        outcome
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError> {
        log::request(&self.pool, among, key, request).await
    }

    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError> {
        log::log(&self.pool, stream, after, limit).await
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        mentions: Option<&Subject>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError> {
        log::log_before(&self.pool, among, before, mentions, limit).await
    }

    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        log::revision_at(&self.pool, stream, time).await
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError> {
        rows::deleted_among(&self.pool, grant.company(), catalog, ids).await
    }

    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError> {
        keys::key_by_secret(&self.pool, secret).await
    }

    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        keys::keys(&self.pool, created_by, after, limit).await
    }

    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError> {
        keys::secrets(&self.pool, after, limit).await
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError> {
        keys::descendants(&self.pool, id, limit).await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError> {
        keys::key(&self.pool, id).await
    }

    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        keys::ids(&self.pool, after, limit).await
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        keys::next_expiry(&self.pool, after).await
    }

    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let outcome = keys::touch(&self.pool, uses).await;
        count_write(&outcome);
        outcome
    }
}
