//! The store in one SQLite file: one thread writes, a few connections read.
//!
//! Every commit is on disk before it is acknowledged (write-ahead log, `synchronous = FULL`), and
//! other programs may use the same directory at the same time.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::mpsc;

use super::{Access, CompanyRow, KeyRow, Notice, PlanFamily, Store, StoreError, forms};
use crate::catalog::{
    access::{CoveredGrant, Grant},
    company::Business,
    entry::{Catalog, Revision},
    error::Cause,
    id::{BusinessId, CompanyId, EntryId, KeyId},
    key::{Key, KeySecrets, SecretDigest},
    log::{Line, LoggedRequest, RequestId},
    settings::{Settings, Subject},
    stream::{LinePlace, Stream, Streams},
    time::Timestamp,
};

mod backup;
mod data_dir;
mod files;
mod fold_keys;
mod keys;
mod left_overs;
mod log;
mod readers;
mod rows;
mod schema;
mod source;
mod writer;

pub use backup::{Restored, backup, backup_nameless, restore};
pub use data_dir::{DATABASE, OpenError, SERVE_LOCK};
use data_dir::{DataDir, ServeLock};
use files::Files;
use readers::Readers;
use schema::{Found, MIGRATIONS};
use source::{Kept, Source};
use writer::Writer;

/// How long one program waits for another's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How large the write-ahead log may stay after a large write; the engine itself keeps it at about
/// 4 MiB otherwise.
const LOG_SIZE_LIMIT: u32 = 16 << 20;

/// A data directory's store. Dropping it ends its thread and, for a server, lets others serve.
pub struct SqliteStore {
    readers: Readers,
    writer: Writer,
    // After the connections, whose locks it would take along.
    _files: Arc<Files>,
    _kept: Kept,
    // Last, so that the next server starts only when this one's files are closed.
    _serving: Option<ServeLock>,
}

impl SqliteStore {
    /// Opens the store of a data directory. Who may write makes it where there is none, and brings an
    /// older one up to this program's schema; who only reads changes nothing.
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
            Access::Read => Source::for_reading(&data_dir)?,
            Access::Serve { .. } | Access::Write => Source::writable(data_dir.database()),
        };
        let path = source.path().to_owned();
        let mut db = source.connect()?;
        let found = schema::inspect(&db, &path, MIGRATIONS)?;
        // Not before there is a store, so that where it is left alone one was lost.
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
                // A server of an older version would be surprised by what a migration does.
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
        Ok(Self { readers, writer, _files: files, _kept: kept, _serving: serving })
    }
}

/// Makes sure that a connection writes nothing.
fn only_query(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let set = db.pragma_update(None, "query_only", true);
    set.map_err(|error| OpenError::from_engine(path, &error))
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.readers.read(rows::epoch).await
    }

    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError> {
        self.writer.write(move |tx| rows::raise_epoch(tx, to)).await
    }

    async fn change_mark(&self) -> Result<Option<u64>, StoreError> {
        self.readers.change_mark().await.map(Some)
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        None
    }

    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError> {
        let coverage = grant.coverage().clone();
        let after = after.map(|(name, id)| (name.to_owned(), id.clone()));
        let list = move |tx: &_| {
            rows::list_companies(tx, &coverage, show_archived, after.as_ref(), (offset, limit))
        };
        self.readers.read(list).await
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError> {
        let coverage = grant.coverage().clone();
        self.readers.read(move |tx| rows::list_businesses(tx, &coverage, offset, limit)).await
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError> {
        let (coverage, after) = (grant.coverage().clone(), after.cloned());
        let list = move |tx: &_| rows::company_ids(tx, &coverage, after.as_ref(), limit);
        self.readers.read(list).await
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        let faults = move |tx: &Connection| {
            let mut faults = schema::index_faults(tx)?;
            faults.extend(schema::faults(tx, limit)?);
            faults.truncate(limit as usize);
            Ok(faults)
        };
        self.readers.read(move |tx: &Connection| faults(tx).map_err(failure)).await
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError> {
        let business = business.clone();
        self.readers.read(move |tx| rows::company_of(tx, &business)).await
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError> {
        let (coverage, fold_key) = (grant.coverage().clone(), fold_key.to_owned());
        self.readers.read(move |tx| rows::companies_named(tx, &coverage, &fold_key)).await
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError> {
        let company = grant.company().clone();
        self.readers.read(move |tx| fold_keys::of_company(tx, &company)).await
    }

    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError> {
        let company = grant.company().clone();
        self.readers.read(move |tx| rows::settings(tx, &company)).await
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError> {
        let stream = grant.stream();
        self.readers.read(move |tx| rows::at(tx, &stream)).await
    }

    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        // Before the one thread that writes, so that it has less to do.
        let commits = lines.iter().map(|(stream, line)| rows::Commit::of(stream, (*line).clone()));
        let commits = commits.collect::<Result<Vec<_>, _>>()?;
        let live = live.cloned();
        let commit = move |tx: &_| {
            keys::check_live(tx, live.as_ref())?;
            commits.iter().try_for_each(|commit| rows::commit(tx, commit))
        };
        self.writer.write(commit).await
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let (head, live) = (head.clone(), live.cloned());
        let commit = move |tx: &_| {
            keys::check_live(tx, live.as_ref())?;
            let lines = plan(&keys::descendants(tx, &head, limit)?).ok_or(StoreError::Conflict)?;
            lines
                .into_iter()
                .try_for_each(|(stream, line)| rows::commit(tx, &rows::Commit::of(&stream, line)?))
        };
        self.writer.write(commit).await
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError> {
        let (among, key, request) = (among.clone(), key.clone(), request.clone());
        self.readers.read(move |tx| log::request(tx, &among, &key, &request)).await
    }

    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError> {
        let stream = stream.clone();
        self.readers.read(move |tx| log::log(tx, &stream, after, limit)).await
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        mentions: Option<&Subject>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError> {
        let (among, before, mentions) = (among.clone(), before.cloned(), mentions.cloned());
        let list =
            move |tx: &_| log::log_before(tx, &among, before.as_ref(), mentions.as_ref(), limit);
        self.readers.read(list).await
    }

    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let stream = stream.clone();
        self.readers.read(move |tx| log::revision_at(tx, &stream, time)).await
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError> {
        let (company, ids) = (grant.company().clone(), ids.to_vec());
        self.readers.read(move |tx| rows::deleted_among(tx, &company, catalog, ids)).await
    }

    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError> {
        let secret = *secret;
        self.readers.read(move |tx| keys::key_by_secret(tx, &secret)).await
    }

    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let (created_by, after) = (created_by.cloned(), after.cloned());
        let list = move |tx: &_| keys::keys(tx, created_by.as_ref(), after.as_ref(), limit);
        self.readers.read(list).await
    }

    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError> {
        self.readers.read(move |tx| keys::secrets(tx, after, limit)).await
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError> {
        let id = id.clone();
        self.readers.read(move |tx| keys::descendants(tx, &id, limit)).await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError> {
        let id = id.clone();
        self.readers.read(move |tx| keys::key(tx, &id)).await
    }

    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |tx| keys::ids(tx, after.as_ref(), limit)).await
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(move |tx| keys::next_expiry(tx, after)).await
    }

    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let uses: Arc<[_]> = uses.into();
        self.writer.write(move |tx| keys::touch(tx, &uses)).await
    }
}

/// The driver's errors as the store's, where it is certain that nothing was written.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn failure(error: rusqlite::Error) -> StoreError {
    let cause = Cause::new(&error);
    // The index of the write-ahead log could not grow, which only takes room.
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
        // Not the engine's: a column holds what it must not.
        None => forms::not_as_written(&error),
    }
}

/// Whether the statement does not fit the tables that there are, as they were opened and are this program's.
fn is_misfit(error: &rusqlite::Error) -> bool {
    error.sqlite_extended_error_code() == Some(ffi::SQLITE_ERROR)
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(Cause::new(error))
}

/// The engine's integers have a sign. What does not fit is larger than any number it holds.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{
        access::Task,
        company::Company,
        delta::Delta,
        entry::{Audit, State},
        plan::Plan,
        replay,
        text::Name,
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
            id: grant.company().clone(),
            name: Name::parse("name", &"n".repeat(100)).unwrap(),
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
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
        (grant, Plan { line, after })
    }

    /// The limit belongs to the writer's connection, which is why this test sits here.
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
            match store.commit(&[(&grant.stream(), &plan.line)], None).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
        assert!(written > 10);

        // Reads go on, and what was acknowledged is there.
        let all = Task::Export.grant_covered();
        assert_eq!(
            store.list_companies(&all, false, None, 0, u32::MAX).await.unwrap().len(),
            written
        );
        let (grant, plan) = plan(&format!("cmp_{written}"));
        assert_eq!(store.settings(&grant).await.unwrap(), None);

        // So do writes, once there is room.
        limit_pages(&store, 1_000).await;
        store.commit(&[(&grant.stream(), &plan.line)], None).await.unwrap();
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
