//! Work that may take long. It runs beside the threads that answer requests, in few places, of
//! which each key has a share.
//!
//! Code with long work calls `long_work.run(key, deadline, async move { … })`. The work is a future that owns its data.
//! It is dropped at its next await after nobody wants its answer any more, because the deadline passed or the client
//! left. So work that only computes awaits `tokio::task::yield_now` from time to time.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::Gauge;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task_local,
    time::timeout,
};
use tracing::{Instrument, Span};

use crate::{
    beside::{self, Caller},
    catalog::{
        error::{Cause, Error, Limit, Result, Unavailable},
        id::KeyId,
    },
    clock::Clock,
    telemetry,
};

/// The most pieces of work of one key that may wait. One more is refused.
pub const MOST_WAITING: usize = 32;
/// When a refused client may try again.
const RETRY_AFTER_MS: u64 = 1_000;
/// The part of a request's time that is left to say that its work was not begun.
const FAREWELL: Duration = Duration::from_millis(10);

/// The places for work that may take long.
pub struct LongWork {
    clock: Arc<dyn Clock>,
    at_once: usize,
    share: usize,
    places: Arc<Semaphore>,
    lines: Arc<Lines>,
}

/// The client that waits or works: a key, or the program itself.
type Whose = Option<KeyId>;

task_local! {
    /// Set for work that has a place.
    static HAS_PLACE: ();
}

impl LongWork {
    /// Uses half of the processors, or half of the connections to the store if these are fewer, and at least one. The
    /// other half stays free for other requests.
    pub fn new(clock: Arc<dyn Clock>, connections: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_places(clock, (processors.min(connections) / 2).max(1))
    }

    /// With so many places, of which one key may have half.
    pub fn with_places(clock: Arc<dyn Clock>, at_once: usize) -> Self {
        let (share, places) = ((at_once / 2).max(1), Arc::new(Semaphore::new(at_once)));
        Self { clock, at_once, share, places, lines: Arc::default() }
    }

    /// The number of places.
    pub fn places(&self) -> usize {
        self.at_once
    }

    /// Does the work once there is a place for it.
    ///
    /// If a key has its share, its next work waits behind that of other keys. The error is NOT_BEGUN if the
    /// deadline comes first, and LONG_WORK_LIMIT if too much work of the same key waits. Work within work
    /// runs in the same place.
    pub async fn run<T: Send + 'static>(
        &self,
        key: Option<&KeyId>,
        deadline: Instant,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.run_behind(MOST_WAITING, key, deadline, work).await
    }

    /// Does work that takes long like [`LongWork::run`], and other work at once.
    pub async fn run_if<T: Send + 'static>(
        &self,
        takes_long: bool,
        key: Option<&KeyId>,
        deadline: Instant,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match takes_long {
            true => self.run(key, deadline, work).await,
            false => work.await,
        }
    }

    /// Does the work that finishes a request, however much work of the same key waits: the server bounds its requests.
    /// Waits for half of the time that is left, so that the caller can do the work itself in the other half.
    pub async fn finish<T: Send + 'static>(
        &self,
        key: Option<&KeyId>,
        deadline: Instant,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let left = deadline.saturating_duration_since(self.clock.monotonic());
        self.run_behind(usize::MAX, key, deadline - left / 2, work).await
    }

    async fn run_behind<T: Send + 'static>(
        &self,
        most_waiting: usize,
        key: Option<&KeyId>,
        deadline: Instant,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        if HAS_PLACE.try_with(|()| ()).is_ok() {
            return work.await;
        }
        let place = self.place(most_waiting, key, deadline).await?;
        // Both tell the work when they are dropped: its queries, and its futures.
        let (caller, (_wanted, unwanted)) = (Caller::default(), oneshot::channel::<()>());
        let work = HAS_PLACE.scope((), work.instrument(Span::current()));
        let runtime = Handle::current();
        let (end, ended) = oneshot::channel();
        let thread = move || {
            let work = async move {
                tokio::select! {
                    biased;
                    _ = unwanted => None,
                    done = work => Some(done),
                }
            };
            let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
            drop(place);
            // Nobody waits for work that is unwanted.
            _ = end.send(done);
        };
        let overloaded = |cause| Error::Unavailable { what: Unavailable::Overloaded, cause };
        beside::begin(Arc::clone(&caller.is_gone), thread)
            .map_err(|error| overloaded(Cause::new(error)))?;
        match ended.await {
            Ok(Ok(Some(done))) => done,
            Ok(Ok(None)) => unreachable!("it is wanted until here"),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(error) => Err(overloaded(Cause::new(error))),
        }
    }

    /// Waits for a place. Each key has a queue of its own, and only as many of it as its share wait for the places. So
    /// keys alternate, however much each of them asks for.
    async fn place(
        &self,
        most_waiting: usize,
        key: Option<&KeyId>,
        deadline: Instant,
    ) -> Result<Place> {
        let in_line = self.lines.stand_in(key, self.share, most_waiting)?;
        let waiting = Counted::new(telemetry::LONG_WORK_WAITING);
        let left = deadline.saturating_duration_since(self.clock.monotonic());
        let both = async {
            let own = Arc::clone(&in_line.line).acquire_owned().await;
            let place = Arc::clone(&self.places).acquire_owned().await;
            // Neither semaphore is ever closed.
            own.ok().zip(place.ok())
        };
        let Ok(Some((own, place))) = timeout(left.saturating_sub(FAREWELL), both).await else {
            return Err(Error::NotBegun);
        };
        drop(waiting);
        let running = Counted::new(telemetry::LONG_WORK_RUNNING);
        Ok(Place { _place: place, _own: own, _in_line: in_line, _running: running })
    }
}

/// The keys that wait or work.
#[derive(Default)]
struct Lines(Mutex<HashMap<Whose, Line>>);

/// All work of one key, waiting or running. Its share runs.
struct Line {
    share: Arc<Semaphore>,
    standing: usize,
}

impl Lines {
    fn stand_in(
        self: &Arc<Self>,
        key: Option<&KeyId>,
        share: usize,
        most_waiting: usize,
    ) -> Result<InLine> {
        let whose = key.cloned();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Line { share: Arc::new(Semaphore::new(share)), standing: 0 };
        let line = lines.entry(whose.clone()).or_insert_with(new);
        if line.standing >= share.saturating_add(most_waiting) {
            let (limit, retry_after_ms) = (Limit::LongWork, RETRY_AFTER_MS);
            metrics::counter!(telemetry::RATE_LIMITED, "limit" => limit.reason()).increment(1);
            return Err(Error::TooManyRequests { limit, retry_after_ms });
        }
        line.standing += 1;
        let line = Arc::clone(&line.share);
        Ok(InLine { lines: Arc::clone(self), whose, line })
    }
}

/// A piece of work in the queue of its key, until it is done.
struct InLine {
    lines: Arc<Lines>,
    whose: Whose,
    line: Arc<Semaphore>,
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(&self.whose) else { return };
        line.standing -= 1;
        if line.standing == 0 {
            lines.remove(&self.whose);
        }
    }
}

/// A place, until the work has ended. It is not given back when the caller leaves.
struct Place {
    // The order matters: the next work of the same key waits for a place that is free.
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _in_line: InLine,
    _running: Counted,
}

/// One more in a gauge.
struct Counted(Gauge);

impl Counted {
    fn new(name: &'static str) -> Self {
        let gauge = metrics::gauge!(name);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::{sync::mpsc, task::JoinHandle};

    use super::*;
    use crate::clock::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A place, and the work that was done in it.
    struct Office {
        long_work: Arc<LongWork>,
        begun: mpsc::UnboundedReceiver<&'static str>,
        begins: mpsc::UnboundedSender<&'static str>,
    }

    /// Work that lasts until this is dropped.
    type Lasting = (oneshot::Sender<()>, JoinHandle<Result<()>>);

    impl Office {
        fn new(places: usize) -> Self {
            let (begins, begun) = mpsc::unbounded_channel();
            let long_work = Arc::new(LongWork::with_places(Arc::new(SystemClock), places));
            Self { long_work, begun, begins }
        }

        fn standing(&self) -> usize {
            self.long_work.lines.0.lock().unwrap().values().map(|line| line.standing).sum()
        }

        /// Asks for work of a key, and waits until it stands in the queue.
        async fn ask(&self, key: &str, name: &'static str) -> Lasting {
            let (end, ended) = oneshot::channel();
            let (begins, long_work) = (self.begins.clone(), self.long_work.clone());
            let whose = Some(KeyId::parse("key", key).unwrap());
            // Only the key's own queue is watched, since work of another key may end meanwhile.
            let standing = || {
                let lines = self.long_work.lines.0.lock().unwrap();
                lines.get(&whose).map_or(0, |line| line.standing)
            };
            let (key, deadline) =
                (KeyId::parse("key", key).unwrap(), SystemClock.monotonic() + PATIENCE);
            let before = standing();
            let asked = tokio::spawn(async move {
                let work = async move {
                    begins.send(name).unwrap();
                    _ = ended.await;
                    Ok(())
                };
                long_work.run(Some(&key), deadline, work).await
            });
            while standing() == before {
                tokio::task::yield_now().await;
            }
            (end, asked)
        }
    }

    #[tokio::test]
    async fn keys_alternate_however_much_one_of_them_asks_for() {
        let mut office = Office::new(1);
        let mut lasting = Vec::new();
        for (key, name) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")] {
            lasting.push(office.ask(key, name).await);
        }
        let mut order = Vec::new();
        while order.len() < lasting.len() {
            let name = office.begun.recv().await.unwrap();
            assert_eq!(office.begun.recv().now_or_never(), None, "there is one place");
            order.push(name);
            let place = ["a1", "a2", "a3", "b1", "c1"].iter().position(|one| *one == name).unwrap();
            let (end, _) = oneshot::channel();
            drop(std::mem::replace(&mut lasting[place].0, end));
        }
        assert_eq!(order, ["a1", "b1", "c1", "a2", "a3"]);
        for (_, asked) in lasting {
            asked.await.unwrap().unwrap();
        }
        assert_eq!(office.standing(), 0);
    }

    #[tokio::test]
    async fn a_key_has_no_more_than_half_of_the_places() {
        let mut office = Office::new(4);
        let _a = [office.ask("a", "a1").await, office.ask("a", "a2").await];
        let _more = [office.ask("a", "a3").await, office.ask("b", "b1").await];
        let mut begun =
            [office.begun.recv().await, office.begun.recv().await, office.begun.recv().await];
        begun.sort_unstable();
        assert_eq!(begun, [Some("a1"), Some("a2"), Some("b1")]);
        assert_eq!(office.begun.recv().now_or_never(), None);
    }

    #[tokio::test]
    async fn work_whose_deadline_comes_while_it_waits_is_not_begun() {
        let mut office = Office::new(1);
        let _first = office.ask("a", "a1").await;
        office.begun.recv().await;
        let begins = office.begins.clone();
        let work = async move {
            begins.send("late").unwrap();
            Ok(())
        };
        let late = office.long_work.run(None, SystemClock.monotonic(), work).await;
        assert!(matches!(late, Err(Error::NotBegun)), "{late:?}");
        assert_eq!(office.begun.recv().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_key_for_which_enough_waits_is_refused_and_others_are_not() {
        let office = Office::new(1);
        let mut lasting = Vec::new();
        for _ in 0..=MOST_WAITING {
            lasting.push(office.ask("a", "a").await);
        }
        let (key, nothing) = (KeyId::parse("key", "a").unwrap(), async { Ok(()) });
        let deadline = SystemClock.monotonic() + PATIENCE;
        let refused = office.long_work.run(Some(&key), deadline, nothing).await;
        let is_refused =
            matches!(refused, Err(Error::TooManyRequests { limit: Limit::LongWork, .. }));
        assert!(is_refused, "{refused:?}");
        let other = office.ask("b", "b").await;
        drop(lasting);
        drop(other.0);
        other.1.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_ends_and_leaves_its_place() {
        let mut office = Office::new(1);
        let (_never, asked) = office.ask("a", "a1").await;
        office.begun.recv().await;
        asked.abort();
        let (end, next) = office.ask("b", "b1").await;
        assert_eq!(office.begun.recv().await, Some("b1"));
        drop(end);
        next.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn work_within_work_needs_no_place_of_its_own() {
        let office = Office::new(1);
        let (inner, deadline) = (office.long_work.clone(), SystemClock.monotonic() + PATIENCE);
        let work = async move { inner.run(None, deadline, async { Ok(7) }).await };
        assert_eq!(office.long_work.run(None, deadline, work).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_of_the_work_is_the_callers() {
        let office = Office::new(1);
        let work = async { panic!("on purpose") };
        let run = office.long_work.run::<()>(None, SystemClock.monotonic() + PATIENCE, work);
        assert!(std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err());
        assert_eq!(office.standing(), 0);
    }
}
