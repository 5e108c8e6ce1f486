//! The place of the data, for commands that work without a server: a data directory or a database.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use customer_settings_server::{
    Services,
    clock::SystemClock,
    config::{Config, Database, DatabaseUrl, variable},
    store::{
        Access, Store,
        postgres::{OpenError, PoolOptions, PostgresStore},
        sqlite::{self, SqliteStore},
    },
};

use crate::{
    commands::explain,
    failure::{Exit, Failure, failure, usage},
    output::note,
};

pub(crate) const DATA_DIR: &str = "CUSTOMER_SETTINGS_DATA_DIR";
pub(crate) const DATABASE_URL: &str = "CUSTOMER_SETTINGS_DATABASE_URL";
const DATABASE_URL_FILE: &str = "CUSTOMER_SETTINGS_DATABASE_URL_FILE";

/// The data that a command works on.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// A data directory on this machine, also one that a server is running on
    /// [env: CUSTOMER_SETTINGS_DATA_DIR]
    #[arg(long, value_name = "DIR", value_parser = parse_directory)]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL database, such as postgres://user@db.example.com/settings; put a URL with a password into
    /// a file or the environment, because other users see command lines [env: CUSTOMER_SETTINGS_DATABASE_URL]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    database_url: Option<DatabaseUrl>,
    /// A file that holds that URL [env: CUSTOMER_SETTINGS_DATABASE_URL_FILE]
    #[arg(
        long, value_name = "FILE", value_parser = parse_path,
        conflicts_with_all = ["data_dir", "database_url"],
    )]
    database_url_file: Option<PathBuf>,
}

/// The place of the data.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Directory(PathBuf),
    Database(DatabaseUrl),
}

/// The purpose for which a command opens the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read it, or to write.
    Use(Access),
    /// To see what a command that writes would do. A place without a store counts as an empty store, and stays as it is.
    Plan,
}

impl From<Access> for Purpose {
    fn from(access: Access) -> Self {
        Self::Use(access)
    }
}

/// The reason why there is no store to work on.
enum NotOpened {
    /// The place holds no store yet, and is fit for one.
    NoStore(Failure),
    Other(Failure),
}

impl From<NotOpened> for Failure {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::NoStore(failure) | NotOpened::Other(failure) => failure,
        }
    }
}

/// Parses a URL or a path of the command line.
impl FromStr for Storage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Ok(Self::Database(DatabaseUrl::from(text.to_owned())));
        }
        parse_directory(text).map(Self::Directory)
    }
}

fn parse_directory(text: &str) -> Result<PathBuf, String> {
    if is_connection(text) {
        return Err(
            "this is a database: give --database-url postgres://…, and a directory here".to_owned()
        );
    }
    Ok(text.into())
}

/// Parses the path of a file that holds a secret. If somebody gives the secret itself, an error about a
/// missing file would show it.
pub(crate) fn parse_path(text: &str) -> Result<PathBuf, String> {
    let is_key = text.starts_with("cs_") && !Path::new(text).exists();
    if is_connection(text) || is_key {
        return Err(
            "give the name of a file that holds the secret, not the secret itself".to_owned()
        );
    }
    Ok(text.into())
}

/// Whether a text is a connection to a database, as a URL or as libpq's pairs.
fn is_connection(text: &str) -> bool {
    text.contains("://") || text.contains("password=")
}

/// The name of the place for people. It never shows the URL.
impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Database(_) => f.write_str("the database"),
        }
    }
}

impl Data {
    /// The place on the command line.
    pub(crate) fn given(&self) -> Result<Option<Storage>, Failure> {
        Ok(match (&self.data_dir, &self.database_url, &self.database_url_file) {
            (Some(dir), ..) => Some(Storage::Directory(dir.clone())),
            (_, Some(url), _) => Some(Storage::Database(url.clone())),
            (.., Some(file)) => Some(Storage::Database(DatabaseUrl::from_file(file)?)),
            (None, None, None) => None,
        })
    }

    /// The place, if there is one. A flag overrides an environment variable.
    fn found(&self) -> Result<Option<Storage>, Failure> {
        match self.given()? {
            Some(given) => Ok(Some(given)),
            None => Ok(in_environment()?.map(|(_, storage)| storage)),
        }
    }

    pub(crate) fn storage(&self) -> Result<Storage, Failure> {
        self.found()?.ok_or_else(|| {
            usage(format!(
                "where is the data? give --data-dir DIR (or set {DATA_DIR}), or --database-url URL (or set \
                 {DATABASE_URL})"
            ))
        })
    }

    /// The directory, for commands that do not work on databases.
    pub(crate) fn directory(&self, command: &str, instead: &str) -> Result<PathBuf, Failure> {
        match self.found()? {
            Some(Storage::Directory(dir)) => Ok(dir),
            None => {
                Err(usage(format!("where is the data? give --data-dir DIR (or set {DATA_DIR})")))
            }
            Some(Storage::Database(_)) => Err(usage(format!(
                "'{command}' is for data directories; for a database {instead} (docs/operating.md says more)"
            ))),
        }
    }

    /// The use cases over the place.
    pub(crate) async fn open(&self, access: Access) -> Result<Services, Failure> {
        self.storage()?.services(access).await
    }
}

/// The place in the environment, which may name one at most, and the variable that names it.
pub(crate) fn in_environment() -> Result<Option<(&'static str, Storage)>, Failure> {
    let set = [DATA_DIR, DATABASE_URL, DATABASE_URL_FILE]
        .map(|name| variable(name).map(|value| (name, value.to_string_lossy().into_owned())));
    let mut set = set.into_iter().flatten();
    match (set.next(), set.next()) {
        (None, _) => Ok(None),
        (Some((one, _)), Some((other, _))) => Err(usage(format!(
            "{one} and {other} are both set: give --data-dir DIR or --database-url URL"
        ))),
        (Some((name, value)), None) => Ok(Some((name, from_variable(name, value)?))),
    }
}

fn from_variable(name: &str, value: String) -> Result<Storage, Failure> {
    let named = |problem| usage(format!("{name}: {problem}"));
    match name {
        DATA_DIR => parse_directory(&value).map(Storage::Directory).map_err(named),
        DATABASE_URL => Ok(Storage::Database(DatabaseUrl::from(value))),
        _ => {
            let file = parse_path(&value).map_err(named)?;
            Ok(Storage::Database(DatabaseUrl::from_file(&file)?))
        }
    }
}

impl Storage {
    /// The use cases over the place, for a command that runs once.
    pub(crate) async fn services(&self, purpose: impl Into<Purpose>) -> Result<Services, Failure> {
        let config = Config::default();
        let store = match purpose.into() {
            Purpose::Use(access) => self.open(access, &config.database).await?.0,
            Purpose::Plan => self.open_to_plan(&config.database).await?,
        };
        let services = Services::open(store, Arc::new(SystemClock), &config).await;
        services.map_err(|error| explain(&error))
    }

    /// The store, for reading. An empty one elsewhere stands for a store that is not there yet.
    async fn open_to_plan(&self, database: &Database) -> Result<Arc<dyn Store>, Failure> {
        match self.opened(Access::Read, database).await {
            Err(NotOpened::NoStore(_)) => {
                // The path may be mistyped.
                note(format!(
                    "note: {self} holds no store yet, so the plan begins with an empty one"
                ));
                Ok(Arc::new(SqliteStore::empty()?))
            }
            opened => Ok(opened?.0),
        }
    }

    /// The store, and its name for people.
    pub(crate) async fn open(
        &self,
        access: Access,
        database: &Database,
    ) -> Result<(Arc<dyn Store>, String), Failure> {
        Ok(self.opened(access, database).await?)
    }

    async fn opened(
        &self,
        access: Access,
        database: &Database,
    ) -> Result<(Arc<dyn Store>, String), NotOpened> {
        match self {
            Self::Directory(dir) => {
                let store = SqliteStore::open(dir, access).map_err(|error| match error {
                    sqlite::OpenError::NoStore(_) => NotOpened::NoStore(failure(error)),
                    other => NotOpened::Other(failure(other)),
                })?;
                Ok((Arc::new(store), dir.display().to_string()))
            }
            Self::Database(url) => {
                let options = PoolOptions {
                    size: database.pool_size,
                    connect_timeout: Duration::from_millis(database.connect_timeout_ms),
                    statement_timeout: Duration::from_millis(database.statement_timeout_ms),
                };
                let opened = PostgresStore::open(url.expose(), options, access).await;
                let store = opened.map_err(|error| match error {
                    OpenError::Unreachable { .. } => NotOpened::Other(Failure {
                        message: error.to_string(),
                        exit: Exit::Unavailable,
                    }),
                    OpenError::NoStore(_) => NotOpened::NoStore(failure(error)),
                    other => NotOpened::Other(failure(other)),
                })?;
                let name = store.name().to_owned();
                Ok((Arc::new(store), name))
            }
        }
    }
}
