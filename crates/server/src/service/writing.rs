//! One way of writing for all streams. A write waits for earlier writes of its stream, plans again after a conflict
//! until the deadline, and looks up in the log a commit whose outcome is unknown.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::MutexGuard;

use super::queues::Queues;
use crate::{
    catalog::{
        entry::Revision,
        error::{Error, Kind, Result},
        id::KeyId,
        log::{LoggedRequest, Request},
        stream::Streams,
    },
    clock::Clock,
    freshness::Freshness,
    store::{Store, StoreError},
};

/// How long a write whose outcome is unknown is looked up in the log.
const MAX_OUTCOME_WAIT: Duration = Duration::from_secs(2);
/// The longest pause before a change is planned again because another process wrote first.
const MAX_PAUSE_MS: u64 = 50;

/// Writes streams.
#[derive(Clone)]
pub struct Writing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    freshness: Arc<Freshness>,
    /// Writers of the same stream wait here, so that they do not meet in conflicts.
    queues: Arc<Queues>,
}

/// The conditions of a write.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The streams within which the request id is unique.
    pub(super) among: Streams,
    /// The key that acts. Without a key there are no request ids.
    pub(super) key: Option<KeyId>,
    /// Makes the write safe to repeat; `None` for dry runs, which neither store nor look up ids.
    pub(super) request: Option<Request>,
    /// The moment after which the change is not planned again.
    pub(super) deadline: Instant,
}

impl Writing {
    /// A way to write to this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, freshness: Arc<Freshness>) -> Self {
        Self { store, clock, freshness, queues: Arc::new(Queues::new()) }
    }

    /// Waits for earlier writes of the stream. The next one waits until the guard is dropped.
    pub(super) async fn enter(&self, id: &str) -> Result<MutexGuard<'_, ()>> {
        let entered = async { Ok(self.queues.enter(id).await) };
        Ok(self.freshness.while_there(entered).await?)
    }

    /// Reads from the store for a plan. Fails at once if the store's data was deleted.
    pub(super) async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T> {
        Ok(self.freshness.unless_gone(reading).await?)
    }

    /// The log's record of the same request, if it was made before.
    pub(super) async fn logged(&self, terms: &Terms) -> Result<Option<LoggedRequest>> {
        let (Some(request), Some(key)) = (&terms.request, &terms.key) else { return Ok(None) };
        let logged = self.read(self.store.request(&terms.among, key, &request.id)).await?;
        let Some(logged) = logged else { return Ok(None) };
        if logged.digest != request.digest {
            return Err(Error::RequestIdReused { request_id: request.id.to_string() });
        }
        Ok(Some(logged))
    }

    /// Waits a moment after a conflict, so that two processes do not meet again and again. Fails after the deadline.
    pub(super) async fn again(
        &self,
        terms: &Terms,
        (kind, id, revision): (Kind, &str, Revision),
    ) -> Result<()> {
        if self.clock.monotonic() >= terms.deadline {
            return Err(Error::Contended { kind, id: id.to_owned(), revision });
        }
        pause().await;
        Ok(())
    }

    /// Finds the outcome of a commit whose connection broke. The engine may still be at work, or another one may have
    /// replaced it. So either the log has the request within a moment, or the outcome is unknown.
    pub(super) async fn outcome(
        &self,
        terms: &Terms,
        unknown: StoreError,
    ) -> Result<(LoggedRequest, Instant)> {
        let until = terms.deadline.min(self.clock.monotonic() + MAX_OUTCOME_WAIT);
        while terms.request.is_some() && self.clock.monotonic() < until {
            if let Ok(Some(logged)) = self.logged(terms).await {
                return Ok((logged, until));
            }
            pause().await;
        }
        Err(unknown.into())
    }
}

async fn pause() {
    let pause_ms = RandomState::new().hash_one(()) % MAX_PAUSE_MS;
    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
}
