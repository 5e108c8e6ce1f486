//! The connections, and the two ways to use one: a query, and a transaction of writes.
//!
//! A connection is given back only in a known state. If a future is dropped before that, after a deadline or a failure,
//! its connection is closed, and the server rolls back. This file knows no tables.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use futures_util::future::maybe_done;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_postgres::{Client, Config, Error, Row, Statement, types::ToSql};

use super::{
    error::{commit_failure, explain, failure, query_failure, unavailable},
    target::Target,
};
use crate::store::StoreError;

/// READ COMMITTED is enough. The first statement of every write locks the row that all other writers of the same rows
/// must lock too, and checks that the plan's base is still current. Each later statement reads everything that was
/// committed before it. Of the data that was read before the lock, only the base counts.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// If a statement runs out of time while the server waits for its synchronous standby, the server reports the commit,
/// although the standby does not have it. So a commit has no time limit.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// The limits of the connections to a database.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// The most connections at once, in addition to one for notices.
    pub size: usize,
    /// The time limit for a new connection, and for waiting until another is free.
    pub connect_timeout: Duration,
    /// The time limit for one statement.
    pub statement_timeout: Duration,
}

/// The time that the server gets to end a statement itself, before it counts as silent.
const GRACE: Duration = Duration::from_millis(500);
/// The additional time for each further statement of a transaction.
const EACH: Duration = Duration::from_millis(10);
/// Connections that writes leave to reads. Writes may wait for long, for a locked row or for a lost standby. Reads show
/// whether the database answers, and must not wait with them.
const KEPT_FOR_READS: usize = 2;
const BUSY: &str = "every connection to the database is in use";

#[derive(Clone)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    writers: Arc<Semaphore>,
    connect_timeout: Duration,
    /// The limit for everything except commits: a server that hangs or is cut off sends nothing at all.
    patience: Duration,
}

impl Pool {
    /// A pool without connections yet.
    pub(super) fn new(target: &Target, options: PoolOptions) -> Self {
        let manager = Manager::from_connect(
            // The target has configurations of its own, one per host.
            Config::new(),
            target.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        // The second setting frees the rows that a lost node has locked.
        let timeout_ms = options.statement_timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {timeout_ms}; SET idle_in_transaction_session_timeout = {timeout_ms}"
        );
        let prepare = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(
                async move { client.batch_execute(&settings).await.map_err(HookError::Backend) },
            )
        });
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(options.size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.connect_timeout))
            .create_timeout(Some(target.connect_timeout()))
            .recycle_timeout(Some(options.connect_timeout))
            .post_create(prepare)
            .build();
        let connections = pool.unwrap_or_else(|error| unreachable!("there is a runtime: {error}"));
        let writers = options.size.saturating_sub(KEPT_FOR_READS).max(1);
        Self {
            connections,
            writers: Arc::new(Semaphore::new(writers)),
            connect_timeout: options.connect_timeout,
            patience: options.statement_timeout + GRACE,
        }
    }

    /// Waits until one more write may run.
    pub(super) async fn writer(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(self.connect_timeout, self.writers.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(unavailable(BUSY)),
        }
    }

    /// Waits for the result of some statements on a connection. If the server is silent for too long, the
    /// connection is of no more use.
    pub(super) async fn answered<T>(
        &self,
        statements: usize,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let further = EACH * u32::try_from(statements).unwrap_or(u32::MAX);
        let answer = timeout(self.patience + further, work).await;
        answer.unwrap_or_else(|_| Err(unavailable("the database server does not answer")))
    }

    pub(super) async fn lease(&self) -> Result<Lease, StoreError> {
        let lease = self.connections.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                unavailable(explain(&error))
            }
            PoolError::Timeout(TimeoutType::Wait) => unavailable(BUSY),
            PoolError::Timeout(_) => unavailable("the database server does not answer"),
            other => unavailable(other),
        })?;
        Ok(Lease(Some(lease)))
    }

    /// Reads the rows of a query that is a transaction of its own.
    pub(super) async fn read<T>(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.query(sql, parameters).await?.iter().map(read).collect()
    }

    /// The rows of a query that is a transaction of its own.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let lease = self.lease().await?;
        let answer = self.answered(1, async {
            let statement = lease.prepare(sql).await?;
            lease.client()?.query(&statement, parameters).await.map_err(query_failure)
        });
        let rows = answer.await?;
        lease.give_back();
        Ok(rows)
    }

    /// Makes all the writes in one transaction, or none of them.
    ///
    /// This takes two round trips for any number of writes: all but COMMIT are sent at once, and the answer to
    /// the first write decides.
    pub(super) async fn write(&self, writes: Vec<RowWrite>) -> Result<(), StoreError> {
        let _writer = self.writer().await?;
        let lease = self.lease().await?;
        let written = self.answered(writes.len(), async {
            let statements = lease.prepare_all(&writes).await?;
            lease.send(Some(BEGIN), &statements, &writes).await
        });
        let written = written.await;
        lease.end(written).await
    }
}

/// A statement that writes exactly one row, and the error if it writes none.
pub(super) struct RowWrite {
    sql: &'static str,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
    otherwise: StoreError,
}

impl RowWrite {
    pub(super) fn new(sql: &'static str, otherwise: StoreError) -> Self {
        Self { sql, parameters: Vec::new(), otherwise }
    }

    pub(super) fn bind(mut self, value: impl ToSql + Sync + Send + 'static) -> Self {
        self.parameters.push(Box::new(value));
        self
    }
}

/// A borrowed connection.
pub(super) struct Lease(Option<Object>);

impl Lease {
    pub(super) fn client(&self) -> Result<&Client, StoreError> {
        match &self.0 {
            Some(object) => Ok(object),
            None => Err(unavailable("the connection was given back")),
        }
    }

    /// Prepares a statement, unless it was prepared on this connection before.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, StoreError> {
        match &self.0 {
            Some(object) => object.prepare_cached(sql).await.map_err(query_failure),
            None => Err(unavailable("the connection was given back")),
        }
    }

    pub(super) async fn prepare_all(
        &self,
        writes: &[RowWrite],
    ) -> Result<Vec<Statement>, StoreError> {
        let mut statements = Vec::with_capacity(writes.len());
        for write in writes {
            statements.push(self.prepare(write.sql).await?);
        }
        Ok(statements)
    }

    /// Sends all the writes, `begin` first, and then reads their results. The first write that failed, or wrote no row,
    /// decides. The writes behind it do no harm, since nothing is committed.
    pub(super) async fn send(
        &self,
        begin: Option<&str>,
        statements: &[Statement],
        writes: &[RowWrite],
    ) -> Result<(), StoreError> {
        let client = self.client()?;
        let mut all: Vec<Sending<'_>> = Vec::with_capacity(writes.len() + 1);
        if let Some(begin) = begin {
            all.push(Box::pin(async move { client.batch_execute(begin).await.map(|()| 1) }));
        }
        for (statement, write) in statements.iter().zip(writes) {
            all.push(Box::pin(async move {
                let parameters =
                    write.parameters.iter().map(|value| &**value as &(dyn ToSql + Sync));
                client.execute(statement, &parameters.collect::<Vec<_>>()).await
            }));
        }
        let results = in_order(all).await;
        let (begun, written) = results.split_at(results.len() - writes.len());
        for result in begun {
            if let Err(error) = result {
                return Err(failure(error));
            }
        }
        for (result, write) in written.iter().zip(writes) {
            match result {
                Ok(1) => {}
                Ok(_) => return Err(write.otherwise.clone()),
                Err(error) => return Err(failure(error)),
            }
        }
        Ok(())
    }

    /// Commits after success, and rolls back after a failure.
    pub(super) async fn end(self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match outcome {
            Ok(()) => {
                let committed = self.client()?.batch_execute(COMMIT).await;
                committed.map_err(|error| commit_failure(&error))?;
                self.give_back();
                Ok(())
            }
            Err(error @ StoreError::Unavailable(_)) => Err(error),
            Err(error) => {
                if self.client()?.batch_execute("ROLLBACK").await.is_ok() {
                    self.give_back();
                }
                Err(error)
            }
        }
    }

    pub(super) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            // Takes the connection out of the pool, which makes another one when it needs it.
            drop(Object::take(object));
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// Sends all requests, in this order, before it waits for the first answer. The driver sends a request when its future
/// is polled for the first time.
async fn in_order(futures: Vec<Sending<'_>>) -> Vec<Result<u64, Error>> {
    let mut all: Vec<_> = futures.into_iter().map(|future| Box::pin(maybe_done(future))).collect();
    poll_fn(|context| {
        for future in &mut all {
            _ = future.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
    let mut outputs = Vec::with_capacity(all.len());
    for future in &mut all {
        future.as_mut().await;
        outputs.extend(future.as_mut().take_output());
    }
    outputs
}
