//! The connections that only read. Each query reads one consistent state of the database. It runs on tokio's blocking
//! threads, or on the caller's thread if that one is beside those that answer requests.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    damaged,
    data_dir::OpenError,
    failure,
    files::Files,
    only_query,
    source::{Source, leave_log},
};
use crate::{
    beside::{self, Caller},
    catalog::error::Cause,
    store::StoreError,
};

/// The fewest connections. There are as many as processors: long work runs on half of the processors, and so leaves
/// half of the connections to other requests.
const FEWEST: usize = 4;
/// After this many steps of the engine, a query checks whether its caller still waits.
const STEPS: i32 = 1_000;

/// Enough for the upper pages of the indexes. Results are cached as snapshots, and the file's pages by the system.
const READER_CACHE_KB: i64 = 512;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    /// Never used for writing, since a connection's `data_version` does not count its own writes.
    mark: Arc<Mutex<Connection>>,
    files: Arc<Files>,
}

/// The connections for queries, and the one for the change mark.
pub(super) struct Connections(Vec<Connection>, Connection);

impl Readers {
    pub(super) fn connect(source: &Source) -> Result<Connections, OpenError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let idle = (0..processors.max(FEWEST)).map(|_| connect_reader(source));
        let idle: Result<_, _> = idle.collect();
        Ok(Connections(idle?, connect_reader(source)?))
    }

    pub(super) fn new(Connections(idle, mark): Connections, files: Arc<Files>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(idle.len())),
            idle: Arc::new(Mutex::new(idle)),
            mark: Arc::new(Mutex::new(mark)),
            files,
        }
    }

    /// Runs the query in one read transaction. The query ends soon after its caller stops waiting.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(unavailable)?;
        let mut lease = Lease::take(Arc::clone(&self.idle), permit)?;
        let files = Arc::clone(&self.files);
        let read = move |is_gone: &Arc<AtomicBool>| {
            files.check()?;
            let answer = read_at_once(lease.db()?, is_gone, query);
            answer.map_err(|error| match is_gone.load(Ordering::Relaxed) {
                true => error,
                false => files.judge(error),
            })
        };
        if let Some(is_unwanted) = beside::is_unwanted() {
            let answer = catch_unwind(AssertUnwindSafe(|| read(&is_unwanted)));
            return answer.unwrap_or_else(|_| Err(damaged("a query ended with a panic")));
        }
        let caller = Caller::default();
        let is_gone = Arc::clone(&caller.is_gone);
        let task = tokio::task::spawn_blocking(move || read(&is_gone));
        let answer = task.await.unwrap_or_else(|error| {
            Err(if error.is_panic() { damaged(error) } else { unavailable(error) })
        });
        drop(caller);
        answer
    }

    /// A number that changes with every commit of another connection.
    pub(super) async fn change_mark(&self) -> Result<u64, StoreError> {
        let (mark, files) = (Arc::clone(&self.mark), Arc::clone(&self.files));
        let task = tokio::task::spawn_blocking(move || {
            files.check()?;
            let db = mark.lock().unwrap_or_else(PoisonError::into_inner);
            read_mark(&db).map_err(|error| files.judge(error))
        });
        task.await.unwrap_or_else(|error| Err(unavailable(error)))
    }
}

fn read_at_once<T>(
    db: &mut Connection,
    is_gone: &Arc<AtomicBool>,
    query: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if is_gone.load(Ordering::Relaxed) {
        return Err(unavailable("nobody waits for the answer any more"));
    }
    let is_gone = Arc::clone(is_gone);
    db.progress_handler(STEPS, Some(move || is_gone.load(Ordering::Relaxed))).map_err(failure)?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Deferred).map_err(failure)?;
    let answer = query(&tx)?;
    tx.commit().map_err(failure)?;
    Ok(answer)
}

fn read_mark(db: &Connection) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("PRAGMA data_version").map_err(failure)?;
    let version: i64 = statement.query_row([], |row| row.get(0)).map_err(failure)?;
    u64::try_from(version).map_err(damaged)
}

/// A borrowed connection. It is given back even if the query panics or its caller stops waiting.
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

    /// There are as many permits as connections, so there is a free connection.
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

fn connect_reader(source: &Source) -> Result<Connection, OpenError> {
    let failed = |error| OpenError::from_engine(source.path(), &error);
    let db = source.connect()?;
    only_query(&db, source.path())?;
    // Only the writer knows whether the log may still be moved into the database.
    leave_log(&db).map_err(failed)?;
    db.pragma_update(None, "cache_size", -READER_CACHE_KB).map_err(failed)?;
    Ok(db)
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(Cause::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_ends_when_nobody_waits_for_it_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        drop(Connection::open(&path).unwrap());
        let readers = Readers::new(
            Readers::connect(&Source::writable(path.clone())).unwrap(),
            Arc::new(Files::of(&path).unwrap()),
        );
        let endless = |db: &Connection| {
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
            db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failure)
        };
        // More of these than there are connections.
        for _ in 0..3 * readers.free.available_permits().max(FEWEST) {
            let (begins, begun) = tokio::sync::oneshot::channel();
            let query = move |db: &Connection| {
                begins.send(()).unwrap();
                endless(db)
            };
            let mut read = Box::pin(readers.read(query));
            tokio::select! {
                _ = &mut read => panic!("it has no end"),
                begun = begun => begun.unwrap(),
            }
            drop(read);
        }
        let one = |db: &Connection| {
            db.query_row("SELECT 1", [], |row| row.get::<_, i64>(0)).map_err(failure)
        };
        assert_eq!(readers.read(one).await.unwrap(), 1);
    }
}
