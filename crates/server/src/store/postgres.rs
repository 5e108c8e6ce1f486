//! The store in a PostgreSQL database, which any number of nodes may share.
//!
//! It uses plain SQL and row locks only, so that any engine with PostgreSQL's protocol can be used. A write is one
//! transaction on one connection. A commit that the server reports counts as committed.

use tokio_postgres::{Row, types::ToSql};

use super::{
    Access, StoreError,
    calls::{Call, Calls},
    count_write,
    damages::Place,
};

mod checkpoints;
mod columns;
mod commit;
mod companies;
mod error;
mod indexes;
mod keys;
mod log;
mod meta;
mod notices;
mod ours;
mod pool;
mod schema;
mod sessions;
mod source_checks;
mod target;
mod tls;

pub use error::OpenError;
use notices::Notifier;
use ours::Ours;
use pool::Pool;
pub use pool::PoolOptions;
use target::Target;

/// The store of a database. Dropping it closes its connections.
pub struct PostgresStore {
    calls: Calls,
    pool: Pool,
    notifier: Notifier,
    name: String,
    ours: Ours,
}

impl PostgresStore {
    /// Opens the store of a database. Makes it if `access` allows that and the database is empty, and brings an older
    /// one up to this program's schema.
    pub async fn open(url: &str, options: PoolOptions, access: Access) -> Result<Self, OpenError> {
        let target = Target::parse(url, options.connect_timeout)?;
        let name = target.to_string();
        let (client, driver) = target.connect().await?;
        // The driver ends with its client.
        tokio::spawn(driver);
        let ours = Ours::new(schema::open(&client, &name, access).await?);
        warn_of_losses(&client).await;
        let pool = Pool::new(&target, options);
        let notifier = Notifier::start(target);
        Ok(Self { calls: Calls::default(), pool, notifier, name, ours })
    }

    async fn read<T: Send + 'static>(
        &self,
        method: &'static str,
        place: Place<'_>,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        read: impl Fn(&Row) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.ours.only(self.pool.read(sql, parameters, read));
        self.calls.run(Call::read(method, place), rows).await
    }

    async fn write(
        &self,
        method: &'static str,
        place: Place<'_>,
        work: impl Future<Output = Result<(), StoreError>> + Send,
    ) -> Result<(), StoreError> {
        let counted = async {
            let outcome = self.ours.only(work).await;
            count_write(&outcome);
            outcome
        };
        self.calls.run(Call::write(method, place), counted).await
    }

    /// The name of the database for people: its name and server, without user and password.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Warns if the server does not sync commits to disk, on which the rest of the program relies.
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
