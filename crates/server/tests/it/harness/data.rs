//! A server's data, on either engine. The engine is SQLite unless [`on_postgres`] runs the test.

use std::{cell::Cell, fs, path::Path, sync::Arc};

use customer_settings_server::{
    Services,
    clock::ShiftedClock,
    config::Config,
    store::{
        Access, Store,
        postgres::PostgresStore,
        sqlite::{DATABASE, SqliteStore},
    },
};
use tempfile::TempDir;

use crate::postgres_server::{OPTIONS, connect, new_database};

thread_local! {
    static IS_ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test again, with all of its data in PostgreSQL.
pub(crate) fn on_postgres(test: fn()) {
    // The runtime of a test asks for its data on the thread of the test.
    IS_ON_POSTGRES.set(true);
    test();
}

/// Makes tests of a module run on PostgreSQL too, by the same names.
macro_rules! on_postgres {
    ($($test:ident,)+) => {
        mod postgres {
            $(
                #[test]
                fn $test() {
                    $crate::harness::on_postgres(super::$test);
                }
            )+
        }
    };
}
pub(crate) use on_postgres as also_on_postgres;

/// The data of a test. It is deleted when this value is dropped, or when the test program ends.
pub(crate) enum Data {
    Directory(TempDir),
    /// The URL of a database.
    Database(String),
}

impl Data {
    /// An empty store.
    pub(crate) async fn new() -> Arc<Self> {
        Arc::new(if IS_ON_POSTGRES.get() {
            Self::Database(new_database().await)
        } else {
            Self::Directory(tempfile::tempdir().unwrap())
        })
    }

    /// An empty store of the engine that the test does not use otherwise.
    pub(crate) async fn of_the_other_engine() -> Arc<Self> {
        Arc::new(if IS_ON_POSTGRES.get() {
            Self::Directory(tempfile::tempdir().unwrap())
        } else {
            Self::Database(new_database().await)
        })
    }

    /// Opens the store, each time like another program.
    pub(crate) async fn open(&self, access: Access) -> Arc<dyn Store> {
        match self {
            Self::Directory(dir) => Arc::new(SqliteStore::open(dir.path(), access).unwrap()),
            Self::Database(url) => {
                Arc::new(PostgresStore::open(url, OPTIONS, access).await.unwrap())
            }
        }
    }

    /// The use cases of another program on the data.
    pub(crate) async fn services(&self, clock: Arc<ShiftedClock>) -> Services {
        let store = self.open(Access::Write).await;
        Services::open(store, clock, &Config::default()).await.unwrap()
    }

    /// The directory, for tests of SQLite alone.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(dir) => dir.path(),
            Self::Database(_) => panic!("a database has no directory"),
        }
    }

    /// All stored bytes, in their stored form.
    pub(crate) async fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Directory(dir) => {
                let files = fs::read_dir(dir.path()).unwrap();
                files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
            }
            Self::Database(url) => {
                let db = connect(url).await;
                let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
                let mut bytes = Vec::new();
                for table in db.query(tables, &[]).await.unwrap() {
                    let sql = format!("SELECT one::text FROM {} AS one", table.get::<_, &str>(0));
                    for row in db.query(&sql, &[]).await.unwrap() {
                        bytes.extend(row.get::<_, &str>(0).bytes());
                    }
                }
                bytes
            }
        }
    }

    /// Runs any SQL on the data, without checks of references.
    pub(crate) async fn tamper(&self, sql: &str) {
        match self {
            Self::Directory(dir) => {
                let db = rusqlite::Connection::open(dir.path().join(DATABASE)).unwrap();
                db.pragma_update(None, "foreign_keys", false).unwrap();
                db.execute_batch(sql).unwrap();
            }
            Self::Database(url) => {
                let sql = sql.replace("zeroblob(32)", "decode(repeat('00', 32), 'hex')");
                let db = connect(url).await;
                db.batch_execute("SET session_replication_role = replica").await.unwrap();
                db.batch_execute(&sql).await.unwrap();
            }
        }
    }
}
