//! News of changes: notices of other nodes, commits of this process and the engine's change mark wake one list of
//! listeners. Knows no listener.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use crate::{
    catalog::error::Cause,
    clock::Clock,
    store::{Notice, Store, StoreError},
};

/// The interval in which the engine's change mark is read.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The interval in which an engine without a change mark is asked for its epoch.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// A store that needs more time for a short question counts as silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process that made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This process, which has the state after the change in memory.
    ThisProcess,
    /// Any process: it is not known which.
    Anywhere,
}

/// The store's answer to the question whether anything changed.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// When the question began.
    pub started: Instant,
    /// Which life of the data this is.
    pub epoch: u64,
    /// Whether the answer confirms everything that was read since the last change.
    pub confirms: bool,
}

/// A part of the program that acts on changes. Its functions are called one after the other, and must be short.
pub trait Listener: Send + Sync {
    /// The store is followed from now on.
    fn followed(&self) {}

    /// Something may have changed.
    fn changed(&self, what: &Notice, source: Source);

    /// The store was asked whether anything changed, after `changed` was called if so.
    fn asked(&self, answer: Result<&Pulse, &StoreError>) {
        _ = answer;
    }
}

/// The list of listeners.
pub struct Wake {
    clock: Arc<dyn Clock>,
    listeners: Vec<Arc<dyn Listener>>,
}

impl Wake {
    /// Tells these.
    pub fn new(clock: Arc<dyn Clock>, listeners: Vec<Arc<dyn Listener>>) -> Self {
        Self { clock, listeners }
    }

    /// Tells all that something may have changed.
    pub fn changed(&self, what: &Notice, source: Source) {
        self.listeners.iter().for_each(|listener| listener.changed(what, source));
    }

    /// Polls the store and reads its notices for as long as the future is polled.
    pub async fn follow(&self, store: &dyn Store) {
        self.listeners.iter().for_each(|listener| listener.followed());
        tokio::join!(self.poll(store), self.listen(store));
    }

    async fn poll(&self, store: &dyn Store) {
        let mut last = None;
        loop {
            let started = self.clock.monotonic();
            let read = patiently(epoch_and_mark(store)).await;
            if let Ok(now @ (epoch, mark)) = read {
                let is_new = last.is_some_and(|(before, _)| before != epoch);
                if is_new || (mark.is_some() && last != Some(now)) {
                    self.changed(&Notice::Everything, Source::Anywhere);
                }
            }
            let pulse = read.as_ref().map(|(epoch, mark)| Pulse {
                started,
                epoch: *epoch,
                confirms: mark.is_some(),
            });
            self.listeners
                .iter()
                .for_each(|listener| listener.asked(pulse.as_ref().map_err(|e| *e)));
            let interval = match &read {
                Ok((_, None)) => HEARTBEAT_INTERVAL,
                Ok((_, Some(_))) => POLL_INTERVAL,
                // Cached things become older by themselves.
                Err(error) => {
                    tracing::debug!(?error, "the store could not be asked what is new");
                    POLL_INTERVAL
                }
            };
            last = read.ok();
            sleep(interval).await;
        }
    }

    async fn listen(&self, store: &dyn Store) {
        let Some(mut notices) = store.notices().await else { return };
        while let Some(notice) = notices.recv().await {
            self.changed(&notice, Source::Anywhere);
        }
    }
}

/// Asks the store something short, and takes a late answer for none.
pub async fn patiently<T>(
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(PATIENCE, question)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(Cause::new("the store takes too long"))))
}

async fn epoch_and_mark(store: &dyn Store) -> Result<(u64, Option<u64>), StoreError> {
    // The mark comes first: changes before it are in everything that is read after it.
    let mark = store.change_mark().await?;
    Ok((store.epoch().await?, mark))
}
