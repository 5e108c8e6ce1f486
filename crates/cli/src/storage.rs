//! Where the data is, for what works on it without a server: a data directory or a database.

use std::{convert::Infallible, env, fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use customer_settings_server::{
    Services,
    clock::SystemClock,
    config::{Config, Database, DatabaseUrl},
    store::{
        Access, Store,
        postgres::{OpenError, PoolOptions, PostgresStore},
        sqlite::SqliteStore,
    },
};

use crate::{
    commands::explain,
    failure::{Exit, Failure, failure, usage},
};

pub(crate) const DATA_DIR: &str = "CUSTOMER_SETTINGS_DATA_DIR";
pub(crate) const DATABASE_URL: &str = "CUSTOMER_SETTINGS_DATABASE_URL";

/// The data that a command works on.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// A data directory on this machine, also one that a server is running on
    /// [env: CUSTOMER_SETTINGS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL database, such as postgres://user@db.example.com/settings; with a password better
    /// in the environment, as others see command lines [env: CUSTOMER_SETTINGS_DATABASE_URL]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    database_url: Option<DatabaseUrl>,
}

/// Where the data is.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Directory(PathBuf),
    Database(DatabaseUrl),
}

/// A URL or a path, as the command line has it.
impl FromStr for Storage {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        Ok(if is_url {
            Self::Database(DatabaseUrl::from(text.to_owned()))
        } else {
            Self::Directory(text.into())
        })
    }
}

/// What people call it; never the URL.
impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Database(_) => f.write_str("the database"),
        }
    }
}

impl Data {
    /// What the command line says.
    pub(crate) fn given(&self) -> Option<Storage> {
        match (&self.data_dir, &self.database_url) {
            (Some(dir), _) => Some(Storage::Directory(dir.clone())),
            (None, Some(url)) => Some(Storage::Database(url.clone())),
            (None, None) => None,
        }
    }

    /// What the command line says counts before what the environment says.
    pub(crate) fn storage(&self) -> Result<Storage, Failure> {
        let mut found = self.given().map_or_else(in_environment, |given| vec![given]);
        match (found.pop(), found.pop()) {
            (Some(storage), None) => Ok(storage),
            (Some(_), Some(_)) => Err(usage(format!(
                "{DATA_DIR} and {DATABASE_URL} are both set: give --data-dir DIR or --database-url URL"
            ))),
            (None, _) => Err(usage(format!(
                "where is the data? give --data-dir DIR (or set {DATA_DIR}), or --database-url URL (or set \
                 {DATABASE_URL})"
            ))),
        }
    }

    /// The directory, for commands that do not know databases.
    pub(crate) fn directory(&self, command: &str, instead: &str) -> Result<PathBuf, Failure> {
        match self.storage()? {
            Storage::Directory(dir) => Ok(dir),
            Storage::Database(_) => Err(usage(format!(
                "'{command}' is for data directories; for a database {instead} (docs/operating.md says more)"
            ))),
        }
    }

    /// The use cases over it.
    pub(crate) async fn open(&self, access: Access) -> Result<Services, Failure> {
        self.storage()?.services(access).await
    }
}

/// What the environment says; more than one is one too many.
pub(crate) fn in_environment() -> Vec<Storage> {
    let value = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let dir = value(DATA_DIR).map(|dir| Storage::Directory(dir.into()));
    let url = value(DATABASE_URL)
        .map(|url| Storage::Database(DatabaseUrl::from(url.to_string_lossy().into_owned())));
    dir.into_iter().chain(url).collect()
}

impl Storage {
    /// The use cases over it, for a command that runs once.
    pub(crate) async fn services(&self, access: Access) -> Result<Services, Failure> {
        let config = Config::default();
        let (store, _) = self.open(access, &config.database).await?;
        let services = Services::open(store, Arc::new(SystemClock), &config).await;
        services.map_err(|error| explain(&error))
    }

    /// The store, and what people call it.
    pub(crate) async fn open(
        &self,
        access: Access,
        database: &Database,
    ) -> Result<(Arc<dyn Store>, String), Failure> {
        match self {
            Self::Directory(dir) => {
                Ok((Arc::new(SqliteStore::open(dir, access)?), dir.display().to_string()))
            }
            Self::Database(url) => {
                let options = PoolOptions {
                    size: database.pool_size,
                    connect_timeout: Duration::from_millis(database.connect_timeout_ms),
                    statement_timeout: Duration::from_millis(database.statement_timeout_ms),
                };
                let opened = PostgresStore::open(url.expose(), options, access).await;
                let store = opened.map_err(|error| match error {
                    OpenError::Unreachable { .. } => {
                        Failure { message: error.to_string(), exit: Exit::Unavailable }
                    }
                    other => failure(other),
                })?;
                let name = store.name().to_owned();
                Ok((Arc::new(store), name))
            }
        }
    }
}
