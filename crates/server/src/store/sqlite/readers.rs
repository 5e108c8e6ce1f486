//! The connections that only read. Each query runs on tokio's blocking threads and sees one
//! consistent state of the database.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{connect, damaged, data_dir::OpenError, failure, files::Files};
use crate::{catalog::error::Cause, store::StoreError};

/// How many queries run at once.
const READERS: usize = 4;

/// Enough for the upper pages of the indexes: what is read is kept as snapshots, and the file's pages by the
/// system.
const READER_CACHE_KB: i64 = 512;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    /// Never written through, since a connection's `data_version` passes its own writes over.
    mark: Arc<Mutex<Connection>>,
    files: Arc<Files>,
}

/// Those that read, and the one for the mark.
pub(super) struct Connections(Vec<Connection>, Connection);

impl Readers {
    pub(super) fn connect(path: &Path) -> Result<Connections, OpenError> {
        let idle: Result<_, _> = (0..READERS).map(|_| connect_reader(path)).collect();
        Ok(Connections(idle?, connect_reader(path)?))
    }

    pub(super) fn new(Connections(idle, mark): Connections, files: Arc<Files>) -> Self {
        Self {
            idle: Arc::new(Mutex::new(idle)),
            free: Arc::new(Semaphore::new(READERS)),
            mark: Arc::new(Mutex::new(mark)),
            files,
        }
    }

    /// Runs the query in one read transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(unavailable)?;
        let mut lease = Lease::take(Arc::clone(&self.idle), permit)?;
        let files = Arc::clone(&self.files);
        let task = tokio::task::spawn_blocking(move || {
            files.check()?;
            let answer = read_at_once(lease.db()?, query);
            answer.map_err(|error| files.judge(error))
        });
        task.await.unwrap_or_else(|error| {
            Err(if error.is_panic() { damaged(error) } else { unavailable(error) })
        })
    }

    /// A number that changes with every commit of any other connection.
    pub(super) async fn change_mark(&self) -> Result<u64, StoreError> {
        let (mark, files) = (Arc::clone(&self.mark), Arc::clone(&self.files));
        let task = tokio::task::spawn_blocking(move || {
            files.check()?;
            files.check_disk()?;
            let db = mark.lock().unwrap_or_else(PoisonError::into_inner);
            let mut statement = db.prepare_cached("PRAGMA data_version").map_err(failure)?;
            let version: i64 = statement.query_row([], |row| row.get(0)).map_err(failure)?;
            u64::try_from(version).map_err(damaged)
        });
        task.await.unwrap_or_else(|error| Err(unavailable(error)))
    }
}

fn read_at_once<T>(
    db: &mut Connection,
    query: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Deferred).map_err(failure)?;
    let answer = query(&tx)?;
    tx.commit().map_err(failure)?;
    Ok(answer)
}

/// A connection on loan; it goes back also when the query panics or nobody waits any more.
struct Lease {
    db: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    fn take(
        idle: Arc<Mutex<Vec<Connection>>>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, StoreError> {
        let db = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Self { db, idle, _permit: permit })
    }

    /// There are as many permits as connections, so there is one.
    fn db(&mut self) -> Result<&mut Connection, StoreError> {
        self.db.as_mut().ok_or_else(|| damaged("a permit without a connection"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        }
    }
}

fn connect_reader(path: &Path) -> Result<Connection, OpenError> {
    let db = connect(path)?;
    for (setting, value) in [("query_only", 1), ("cache_size", -READER_CACHE_KB)] {
        db.pragma_update(None, setting, value)
            .map_err(|error| OpenError::from_engine(path, &error))?;
    }
    Ok(db)
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(Cause::new(error))
}
