//! A server's data, on either engine. SQLite is the one unless a test is run by [`on_postgres`].

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

/// Runs a test once more, with all that it makes in PostgreSQL.
pub(crate) fn on_postgres(test: fn()) {
    // A test's own runtime asks for its data on the thread that the test runs on.
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

/// It goes away with this, or with the test program.
pub(crate) enum Data {
    Directory(TempDir),
    /// The URL of a database.
    Database(String),
}

impl Data {
    /// Nothing yet.
    pub(crate) async fn new() -> Arc<Self> {
        Arc::new(if IS_ON_POSTGRES.get() {
            Self::Database(new_database().await)
        } else {
            Self::Directory(tempfile::tempdir().unwrap())
        })
    }

    /// Nothing yet, where other data of the test is not.
    pub(crate) async fn of_the_other_engine() -> Arc<Self> {
        Arc::new(if IS_ON_POSTGRES.get() {
            Self::Directory(tempfile::tempdir().unwrap())
        } else {
            Self::Database(new_database().await)
        })
    }

    /// Opens the store, every time as another program would.
    pub(crate) async fn open(&self, access: Access) -> Arc<dyn Store> {
        match self {
            Self::Directory(dir) => Arc::new(SqliteStore::open(dir.path(), access).unwrap()),
            Self::Database(url) => {
                Arc::new(PostgresStore::open(url, OPTIONS, access).await.unwrap())
            }
        }
    }

    /// The use cases of another program on it.
    pub(crate) async fn services(&self, clock: Arc<ShiftedClock>) -> Services {
        let store = self.open(Access::Write).await;
        Services::open(store, clock, &Config::default()).await.unwrap()
    }

    /// The directory, for what only SQLite has.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(dir) => dir.path(),
            Self::Database(_) => panic!("a database has no directory"),
        }
    }

    /// All that is kept, as it is kept.
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

    /// Runs SQL on it, as nobody should; what refers to what does not matter.
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
