//! The store in one SQLite file. One thread writes, a few connections read.
//!
//! Every commit is on disk before it is acknowledged (write-ahead log, `synchronous = FULL`). Other programs may use
//! the same directory at the same time.

use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, ErrorCode, ffi};

use super::{
    Access, StoreError,
    calls::{Call, Calls},
    damages::Place,
    forms,
};
use crate::catalog::error::Cause;

mod backup;
mod checkpoints;
mod columns;
mod commit;
mod companies;
mod data_dir;
mod files;
mod fold_keys;
mod keys;
mod left_overs;
mod log;
mod log_files;
mod meta;
mod readers;
mod schema;
mod sessions;
mod source;
mod source_checks;
mod writer;

pub use backup::{Restored, backup, backup_nameless, restore};
pub use data_dir::{DATABASE, OpenError, SERVE_LOCK};
use data_dir::{DataDir, ServeLock};
use files::Files;
use readers::Readers;
use schema::{Found, MIGRATIONS};
use source::{Kept, Source};
use writer::Writer;

/// How long one program waits for the write of another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest size of the write-ahead log that remains after a large write. Without large writes, the engine
/// limits it to about 4 MiB.
const LOG_SIZE_LIMIT: u32 = 16 << 20;

/// The store of a data directory. Dropping it ends its thread and, for a server, lets other programs serve.
pub struct SqliteStore {
    calls: Calls,
    readers: Readers,
    writer: Writer,
    // Closed after the connections: closing it earlier would release their locks.
    _files: Arc<Files>,
    _kept: Kept,
    // Released last, so that the next server starts only after this one's files are closed.
    _serving: Option<ServeLock>,
}

impl SqliteStore {
    /// Opens the store of a data directory. A program that writes makes a missing store, and brings an older one up to
    /// its schema. A program that only reads changes nothing.
    pub fn open(dir: &Path, access: Access) -> Result<Self, OpenError> {
        let data_dir = DataDir::lock(dir, access == Access::Serve { make_directory: true })?;
        if !data_dir.find_store()? {
            if access == Access::Read {
                return Err(OpenError::NoStore(dir.to_owned()));
            }
            backup::make(&data_dir)?;
        }
        if access != Access::Read {
            left_overs::remove(dir)?;
        }
        let source = match access {
            Access::Read => Source::for_reading(data_dir.database())?,
            Access::Serve { .. } | Access::Write => Source::writable(data_dir.database()),
        };
        let path = source.path().to_owned();
        let mut db = source.connect()?;
        let found = schema::inspect(&db, &path, MIGRATIONS)?;
        // The lock is taken only if there is a store. So a directory with a lock file and no store has lost its store.
        let serving = match access {
            Access::Serve { .. } => Some(data_dir.lock_serving()?),
            Access::Write | Access::Read => None,
        };
        match (found, access) {
            (Found::Empty, _) => return Err(OpenError::Empty(path)),
            (Found::Older(found), Access::Read) => {
                return Err(OpenError::TooOld { path, found, program: MIGRATIONS.len() });
            }
            (_, Access::Read) => {}
            (_, Access::Serve { .. } | Access::Write) => {
                // A running server of an older version would fail after a migration.
                let is_current = found == Found::Usable || serving.is_some();
                let _alone = (!is_current).then(|| data_dir.lock_serving()).transpose()?;
                let failed = |error| OpenError::from_engine(&path, &error);
                db.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
                schema::migrate(&mut db, &path, MIGRATIONS)?;
            }
        }
        let failed = |error| OpenError::from_io(&path, &error);
        let connections = Readers::connect(&source)?;
        let files = Arc::new(Files::of(&path).map_err(failed)?);
        let readers = Readers::new(connections, Arc::clone(&files));
        if access == Access::Read {
            only_query(&db, &path)?;
        }
        let writer = Writer::start(db, Arc::clone(&files)).map_err(failed)?;
        let kept = source.keep(data_dir);
        let calls = Calls::default();
        Ok(Self { calls, readers, writer, _files: files, _kept: kept, _serving: serving })
    }

    /// An empty store in a place of its own, which goes with it.
    pub fn empty() -> Result<Self, OpenError> {
        let place = tempfile::tempdir();
        let place = place.map_err(|error| OpenError::from_io(&std::env::temp_dir(), &error))?;
        let store = Self::open(place.path(), Access::Write)?;
        Ok(Self { _kept: Kept::place(place), ..store })
    }

    async fn read<T: Send + 'static>(
        &self,
        method: &'static str,
        place: Place<'_>,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.calls.run(Call::read(method, place), self.readers.read(query)).await
    }

    async fn write(
        &self,
        method: &'static str,
        place: Place<'_>,
        work: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.calls.run(Call::write(method, place), self.writer.write(work)).await
    }
}

/// Makes sure that a connection cannot write.
fn only_query(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let set = db.pragma_update(None, "query_only", true);
    set.map_err(|error| OpenError::from_engine(path, &error))
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// Converts an error of the driver, where it is certain that nothing was written.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn failure(error: rusqlite::Error) -> StoreError {
    let cause = Cause::new(&error);
    // The index of the write-ahead log could not grow, which only needs disk space.
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) {
        return StoreError::Full(cause);
    }
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation,
        ) => StoreError::Damaged(cause),
        Some(ErrorCode::DiskFull) => StoreError::Full(cause),
        Some(_) if is_misfit(&error) => {
            StoreError::Damaged(Cause::in_our_words("a table or a column is missing", &error))
        }
        Some(_) => StoreError::Unavailable(cause),
        // The error is not the engine's: a column has an invalid value.
        None => forms::not_as_written(&error),
    }
}

/// Whether the statement does not fit the existing tables. They had this program's schema when they were opened.
fn is_misfit(error: &rusqlite::Error) -> bool {
    error.sqlite_extended_error_code() == Some(ffi::SQLITE_ERROR)
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(Cause::new(error))
}

/// Converts to the engine's integers, which have a sign. A number that does not fit is larger than any stored one.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{
            access::{Grant, Task},
            company::Company,
            delta::Delta,
            entry::{Audit, Revision, State},
            id::CompanyId,
            log::Line,
            plan::Plan,
            replay,
            text::Name,
            time::Timestamp,
        },
        store::{Companies, Log, Meta},
    };

    fn plan(id: &str) -> (Grant, Plan) {
        let grant = Task::Load.grant(&CompanyId::parse("id", id).unwrap());
        let audit = Audit {
            created_by: grant.actor().staff_id.clone(),
            created_time: Timestamp::from_micros(1),
            last_updated_by: grant.actor().staff_id.clone(),
            last_updated_time: Timestamp::from_micros(1),
            revision: Revision(1),
        };
        let company = Company {
            id: grant.company(),
            name: Name::parse("name", &"n".repeat(100)).unwrap(),
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
            source: None,
            audit,
        };
        let deltas = vec![Delta::company(None, company)];
        let time = Timestamp::from_micros(1);
        let after = replay::apply(None, Revision(1), time, &deltas).unwrap();
        let actor = grant.actor().clone();
        let line = Line {
            revision: Revision(1),
            time,
            actor,
            request: None,
            subjects: Some(vec![]),
            deltas,
        };
        (grant, Plan { line, after, loaded: Default::default() })
    }

    /// The limit belongs to the writer's connection, so this test stands here.
    async fn limit_pages(store: &SqliteStore, pages: u32) {
        let outcome = store.writer.write(move |tx| {
            tx.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).map_err(failure)
        });
        outcome.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), Access::Write).unwrap();
        limit_pages(&store, 60).await;
        let mut written = 0;
        let refused = loop {
            let (grant, plan) = plan(&format!("cmp_{written}"));
            match store.commit(&[(grant.stream(), &plan.line)], None).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
        assert!(written > 10);

        // Reads still work, and the acknowledged companies are stored.
        let all = Task::Export.grant_covered();
        assert_eq!(
            store.list_companies(&all, false, None, 0, u32::MAX).await.unwrap().len(),
            written
        );
        let (grant, plan) = plan(&format!("cmp_{written}"));
        assert_eq!(store.settings(&grant).await.unwrap(), None);

        // Writes work again once there is room.
        limit_pages(&store, 1_000).await;
        store.commit(&[(grant.stream(), &plan.line)], None).await.unwrap();
        assert_eq!(store.settings(&grant).await.unwrap(), Some(plan.after));
    }

    #[tokio::test]
    async fn a_query_that_panics_leaves_its_connection_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), Access::Write).unwrap();
        for _ in 0..10 {
            let outcome = store.readers.read::<()>(|_| panic!("a bug")).await;
            assert!(matches!(outcome, Err(StoreError::Damaged(_))));
        }
        assert_eq!(store.epoch().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), Access::Write).unwrap();
        let outcome = store
            .readers
            .read(|tx| tx.execute("UPDATE meta SET epoch = 9", []).map_err(failure))
            .await;
        assert!(outcome.is_err());
        assert_eq!(store.epoch().await.unwrap(), 1);
    }
}
