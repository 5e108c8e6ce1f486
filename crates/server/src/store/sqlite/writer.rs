//! The one connection that writes, and its thread, with group commit. All waiting work goes into one transaction,
//! each piece in a savepoint of its own, and is answered when the transaction is on disk. If the connection is free,
//! work is written at once.
//!
//! This file knows no tables.

use std::{
    io, iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, ErrorCode};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{mpsc, oneshot},
    task::block_in_place,
};

use super::{
    failure,
    files::Files,
    source::{leave_log, leaves_log},
};
use crate::{
    catalog::error::Cause,
    store::{StoreError, count_write},
};

/// The most pieces of work in the queue. Further ones wait before it, where their deadline can end them.
const MAX_QUEUE: usize = 1_024;
/// The most pieces of work in one transaction.
const MAX_GROUP: usize = 256;

const REPLACED: &str = "the database was deleted or replaced meanwhile";

type Outcome = Result<(), StoreError>;
type Work = Box<dyn FnOnce(&Connection) -> Outcome + Send>;

struct Job {
    work: Work,
    answer: oneshot::Sender<Outcome>,
}

/// Sends work to the thread. Dropping it ends the thread, after all queued work is written.
pub(super) struct Writer {
    /// Locked by the thread that writes.
    db: Arc<Mutex<Connection>>,
    files: Arc<Files>,
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(db: Connection, files: Arc<Files>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(MAX_QUEUE);
        let db = Arc::new(Mutex::new(db));
        let of_thread = (Arc::clone(&db), Arc::clone(&files));
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&of_thread.0, &of_thread.1, jobs))?;
        Ok(Self { db, files, queue: Some(queue), thread: Some(thread) })
    }

    /// Runs the work inside a transaction, and returns when it is on disk. If the work fails, nothing of it is written.
    /// If the caller stops waiting before the work begins, it is not done.
    pub(super) async fn write(
        &self,
        work: impl FnOnce(&Connection) -> Outcome + Send + 'static,
    ) -> Outcome {
        let (answer, mut outcome) = oneshot::channel();
        let job = Job { work: Box::new(work), answer };
        if let Err(job) = self.write_at_once(job) {
            let Some(queue) = &self.queue else { return Err(StoreError::Unavailable(stopped())) };
            queue.send(job).await.map_err(|_| StoreError::Unavailable(stopped()))?;
            return outcome.await.unwrap_or_else(|_| Err(StoreError::OutcomeUnknown(stopped())));
        }
        outcome.try_recv().unwrap_or_else(|_| Err(StoreError::OutcomeUnknown(stopped())))
    }

    /// Writes in the caller's thread, or returns the job if another thread writes. Two threads that wake each other
    /// take half as long as the disk, so a single writer should not wait for another thread.
    fn write_at_once(&self, job: Job) -> Result<(), Job> {
        // With a single thread for all tasks, nothing else could run during the write.
        let has_threads = Handle::try_current()
            .is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
        if !has_threads {
            return Err(job);
        }
        let Ok(db) = self.db.try_lock() else { return Err(job) };
        block_in_place(|| write_group(&db, &self.files, iter::once(job)));
        Ok(())
    }
}

fn stopped() -> Cause {
    Cause::new("the writer's thread has stopped")
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended with a panic");
        }
    }
}

fn run(db: &Mutex<Connection>, files: &Files, mut queue: mpsc::Receiver<Job>) {
    let lock = || db.lock().unwrap_or_else(PoisonError::into_inner);
    let mut jobs = Vec::with_capacity(MAX_GROUP);
    while queue.blocking_recv_many(&mut jobs, MAX_GROUP) > 0 {
        let db = lock();
        jobs.retain(|job| !job.answer.is_closed());
        if !jobs.is_empty() {
            write_group(&db, files, jobs.drain(..));
        }
    }
    end(&lock(), files);
}

/// Moves the log into the database, which leaves a small file. Data that is not moved now is safe in the log.
fn end(db: &Connection, files: &Files) {
    if leaves_log(db) {
        return;
    }
    // The files that the engine knows are not there any more: it would spoil those that are.
    if files.check_content().is_err() && leave_log(db).is_ok() {
        tracing::error!(
            "the write-ahead log was left on stopping, as the files are not those that were opened"
        );
        return;
    }
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the write-ahead log was not emptied on stopping");
    }
}

fn write_group(db: &Connection, files: &Files, jobs: impl ExactSizeIterator<Item = Job>) {
    metrics::histogram!(crate::telemetry::STORE_GROUP_SIZE)
        .record(f64::from(u32::try_from(jobs.len()).unwrap_or(u32::MAX)));
    // A single piece of work needs no savepoint, since the transaction does the same.
    let is_alone = jobs.len() == 1;
    let begun = files.check().and_then(|()| run_cached(db, "BEGIN IMMEDIATE").map_err(failure));
    // After the transaction failed, nothing of the group is written, and nothing more is tried.
    let mut lost = begun.err();
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let outcome = match &lost {
            Some(error) => Err(error.clone()),
            None if is_alone => caught(db, job.work),
            None => work_in_savepoint(db, job.work),
        };
        if lost.is_none() && db.is_autocommit() {
            lost = Some(outcome.clone().err().unwrap_or_else(|| {
                StoreError::Unavailable(Cause::new("the engine gave the transaction up"))
            }));
        }
        outcomes.push((job.answer, outcome));
    }
    if lost.is_none() {
        let any = outcomes.iter().any(|(_, outcome)| outcome.is_ok());
        lost = if any { commit(db, files).err() } else { roll_back(db).err() };
    }
    for (answer, outcome) in outcomes {
        let outcome = outcome.and_then(|()| lost.clone().map_or(Ok(()), Err));
        let outcome = outcome.map_err(|error| files.judge(error));
        count_write(&outcome);
        // Nobody waits for the answer after a request's deadline.
        _ = answer.send(outcome);
    }
}

/// Leaves the transaction open, unless the engine or a failed clean-up ended it.
fn work_in_savepoint(db: &Connection, work: Work) -> Outcome {
    run_cached(db, "SAVEPOINT work").map_err(failure)?;
    let outcome = caught(db, work);
    if db.is_autocommit() {
        return outcome;
    }
    let released = match &outcome {
        Ok(()) => run_cached(db, "RELEASE work"),
        Err(_) => run_cached(db, "ROLLBACK TO work").and_then(|()| run_cached(db, "RELEASE work")),
    };
    match released {
        Ok(()) => outcome,
        Err(error) => {
            roll_back(db)?;
            Err(failure(error))
        }
    }
}

fn caught(db: &Connection, work: Work) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| work(db))).unwrap_or_else(|_| {
        tracing::error!("a write panicked and was rolled back");
        Err(StoreError::Damaged(Cause::new("the write panicked")))
    })
}

fn commit(db: &Connection, files: &Files) -> Outcome {
    let Err(error) = run_cached(db, "COMMIT") else {
        // The data went into a file that was deleted or replaced, so it is not acknowledged.
        return files.check_place().map_err(|_| StoreError::OutcomeUnknown(Cause::new(REPLACED)));
    };
    // A full disk refuses pages before the last one, which makes the others count. A busy database is not written at
    // all. After any other failure (above all a failed sync), the pages may or may not be there after a power cut.
    let certain =
        matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy));
    let rolled_back = roll_back(db);
    if certain && rolled_back.is_ok() {
        Err(failure(error))
    } else {
        Err(StoreError::OutcomeUnknown(Cause::new(error)))
    }
}

fn roll_back(db: &Connection) -> Outcome {
    if db.is_autocommit() { Ok(()) } else { db.execute_batch("ROLLBACK").map_err(failure) }
}

fn run_cached(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use futures_util::FutureExt;

    use super::*;

    fn writer() -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT)")
            .unwrap();
        let files = Arc::new(Files::of(&path).unwrap());
        (dir, Writer::start(db, files).unwrap())
    }

    fn insert(number: i64) -> impl FnOnce(&Connection) -> Outcome + Send + 'static {
        move |db| {
            db.execute("INSERT INTO numbers VALUES (?1, '')", [number]).map(|_| ()).map_err(failure)
        }
    }

    fn numbers(dir: &tempfile::TempDir) -> Vec<i64> {
        let db = Connection::open(dir.path().join("test.db")).unwrap();
        let mut statement = db.prepare("SELECT number FROM numbers ORDER BY number").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Runs all work in one group, by queueing it while the writer is busy.
    async fn in_one_group(writer: &Writer, work: Vec<Work>) -> Vec<Outcome> {
        let (go, gate) = std_mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let busy = writer.write(move |_| {
            began.send(()).unwrap();
            gate.recv().unwrap();
            Ok(())
        });
        let group = async {
            begun.await.unwrap();
            let mut all =
                futures_util::future::join_all(work.into_iter().map(|work| writer.write(work)));
            // One poll queues all the work.
            assert!((&mut all).now_or_never().is_none());
            go.send(()).unwrap();
            all.await
        };
        let (busy, outcomes) = tokio::join!(busy, group);
        busy.unwrap();
        outcomes
    }

    #[tokio::test]
    async fn failed_work_leaves_its_group_alone() {
        let (dir, writer) = writer();
        let fails = |db: &Connection| {
            insert(7)(db)?;
            Err(StoreError::Conflict)
        };
        let outcomes = in_one_group(
            &writer,
            vec![Box::new(insert(1)), Box::new(fails), Box::new(insert(1)), Box::new(insert(2))],
        )
        .await;
        assert!(
            matches!(
                outcomes[..],
                [Ok(()), Err(StoreError::Conflict), Err(StoreError::Damaged(_)), Ok(())]
            ),
            "{outcomes:?}"
        );
        assert_eq!(numbers(&dir), [1, 2]);
    }

    #[tokio::test]
    async fn work_that_panics_is_rolled_back_and_the_writer_goes_on() {
        let (dir, writer) = writer();
        let panics = |db: &Connection| {
            insert(1)(db)?;
            panic!("a bug");
        };
        let outcomes = in_one_group(&writer, vec![Box::new(panics), Box::new(insert(2))]).await;
        assert!(matches!(outcomes[..], [Err(StoreError::Damaged(_)), Ok(())]), "{outcomes:?}");
        writer.write(insert(3)).await.unwrap();
        assert_eq!(numbers(&dir), [2, 3]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_finds_the_connection_free_is_written_at_once() {
        let (dir, writer) = writer();
        let here = |db: &Connection| {
            assert_ne!(thread::current().name(), Some("store-writer"));
            insert(1)(db)
        };
        writer.write(here).await.unwrap();
        let fails = |db: &Connection| {
            insert(2)(db)?;
            Err(StoreError::Conflict)
        };
        assert!(matches!(writer.write(fails).await, Err(StoreError::Conflict)));
        let panics = |db: &Connection| {
            insert(3)(db)?;
            panic!("a bug");
        };
        assert!(matches!(writer.write(panics).await, Err(StoreError::Damaged(_))));
        writer.write(insert(4)).await.unwrap();
        assert_eq!(numbers(&dir), [1, 4]);
        drop(writer);
        assert!(!dir.path().join("test.db-wal").exists());
    }

    #[tokio::test]
    async fn a_lost_transaction_is_told_to_its_whole_group() {
        let (dir, writer) = writer();
        let loses = |db: &Connection| {
            db.execute_batch("ROLLBACK").unwrap();
            Err(StoreError::Unavailable(Cause::new("the disk is gone")))
        };
        let outcomes =
            in_one_group(&writer, vec![Box::new(insert(1)), Box::new(loses), Box::new(insert(2))])
                .await;
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Unavailable(_)))),
            "{outcomes:?}"
        );
        writer.write(insert(3)).await.unwrap();
        assert_eq!(numbers(&dir), [3]);
    }

    #[tokio::test]
    async fn work_is_not_acknowledged_if_the_log_is_emptied_meanwhile() {
        let (dir, writer) = writer();
        writer.write(insert(1)).await.unwrap();
        let wal = dir.path().join("test.db-wal");
        let empties = {
            let wal = wal.clone();
            move |db: &Connection| {
                std::fs::write(wal, "").unwrap();
                insert(2)(db)
            }
        };
        let outcome = writer.write(empties).await;
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
        let outcome = writer.write(insert(3)).await;
        assert!(matches!(outcome, Err(StoreError::Replaced(_))), "{outcome:?}");
        drop(writer);
        assert!(wal.exists());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_given_up() {
        let (dir, writer) = writer();
        let (go, gate) = std_mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let gate = writer.write(move |_| {
            began.send(()).unwrap();
            gate.recv().unwrap();
            Ok(())
        });
        let opener = async {
            begun.await.unwrap();
            // The writer is busy, so this waits in the queue until it is dropped.
            assert!(writer.write(insert(1)).now_or_never().is_none());
            go.send(()).unwrap();
        };
        let (gate, ()) = tokio::join!(gate, opener);
        gate.unwrap();
        writer.write(insert(2)).await.unwrap();
        assert_eq!(numbers(&dir), [2]);
    }

    #[tokio::test]
    async fn what_is_queued_is_written_before_the_writer_ends() {
        let (dir, writer) = writer();
        for number in 1..=3 {
            writer.write(insert(number)).await.unwrap();
        }
        drop(writer);
        assert!(!dir.path().join("test.db-wal").exists());
        assert_eq!(numbers(&dir), [1, 2, 3]);
    }
}
