//! How old an answer from memory may be: the one rule for everything cached.
//!
//! Each cached thing carries a [`Stamp`] from before the query that read it. Within the bound it
//! is served; past it one look-up comes first. Where the engine has a change mark, a poll confirms
//! everything at once, and a mark that moved makes everything be looked up again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{clock::Clock, store::Store};

/// How often the engine's change mark is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What is known about how fresh cached things are.
pub struct Freshness {
    clock: Arc<dyn Clock>,
    bound: Duration,
    start: Instant,
    /// Counts how often the change mark moved.
    generation: AtomicU64,
    /// When the last successful poll started: microseconds after `start`.
    confirmed_us: AtomicU64,
}

/// When something cached was read. Taken before the query starts, never after.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    generation: u64,
    read_us: u64,
}

impl Freshness {
    /// Nothing is confirmed yet; `bound` is the oldest that an answer may be.
    pub fn new(clock: Arc<dyn Clock>, bound: Duration) -> Self {
        let start = clock.monotonic();
        Self { clock, bound, start, generation: AtomicU64::new(0), confirmed_us: AtomicU64::new(0) }
    }

    /// The stamp for a query that starts now.
    pub fn stamp(&self) -> Stamp {
        Stamp { generation: self.generation.load(Ordering::SeqCst), read_us: self.elapsed_us() }
    }

    /// Whether something of that stamp may be served without a look-up.
    pub fn is_fresh(&self, stamp: Stamp) -> bool {
        // In this order: a poll that finds a change moves the generation first.
        let confirmed_us = self.confirmed_us.load(Ordering::SeqCst);
        if stamp.generation != self.generation.load(Ordering::SeqCst) {
            return false;
        }
        let age_us = self.elapsed_us().saturating_sub(confirmed_us.max(stamp.read_us));
        u128::from(age_us) <= self.bound.as_micros()
    }

    /// Polls the store's change mark for as long as the future is polled.
    pub async fn follow(&self, store: &dyn Store) {
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            interval.tick().await;
            let started_us = self.elapsed_us();
            match store.change_mark().await {
                Ok(Some(mark)) => {
                    self.note(last == Some(mark), started_us);
                    last = Some(mark);
                }
                // No such number, or no answer: cached things age on their own.
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(?error, "the change mark could not be read");
                    last = None;
                }
            }
        }
    }

    fn note(&self, unchanged: bool, started_us: u64) {
        if !unchanged {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
        self.confirmed_us.store(started_us, Ordering::SeqCst);
    }

    fn elapsed_us(&self) -> u64 {
        let elapsed = self.clock.monotonic().saturating_duration_since(self.start);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ShiftedClock;

    fn freshness() -> (Arc<ShiftedClock>, Freshness) {
        let clock = Arc::new(ShiftedClock::default());
        (clock.clone(), Freshness::new(clock, Duration::from_secs(1)))
    }

    #[test]
    fn a_stamp_is_fresh_up_to_the_bound() {
        let (clock, freshness) = freshness();
        let stamp = freshness.stamp();
        clock.advance(Duration::from_millis(900));
        assert!(freshness.is_fresh(stamp));
        clock.advance(Duration::from_millis(200));
        assert!(!freshness.is_fresh(stamp));
    }

    #[test]
    fn a_poll_confirms_everything_read_since_the_last_change() {
        let (clock, freshness) = freshness();
        let stamp = freshness.stamp();
        clock.advance(Duration::from_millis(1_500));
        freshness.note(true, freshness.elapsed_us());
        assert!(freshness.is_fresh(stamp));
    }

    #[test]
    fn a_moved_mark_ends_the_freshness_of_all_that_was_read_before() {
        let (_, freshness) = freshness();
        let before = freshness.stamp();
        freshness.note(false, freshness.elapsed_us());
        assert!(!freshness.is_fresh(before));
        assert!(freshness.is_fresh(freshness.stamp()));
    }
}
