//! The one place that reads the clock, so that tests can set the time.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::catalog::time::Timestamp;

/// The source of the time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which people may set back.
    fn now(&self) -> Timestamp;

    /// A time that never goes back, for ages and waits.
    fn monotonic(&self) -> Instant;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// The duration in microseconds, the unit of atomics and logs.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The machine's clock, moved forward by hand: for tests.
#[derive(Debug, Default)]
pub struct ShiftedClock {
    ahead_ms: AtomicI64,
}

impl ShiftedClock {
    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::SeqCst)
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().as_micros();
        Timestamp::from_micros(now + self.ahead_ms() * 1_000)
    }

    fn monotonic(&self) -> Instant {
        SystemClock.monotonic() + Duration::from_millis(self.ahead_ms().unsigned_abs())
    }
}

/// The time of day of the machine, for commands that run once.
pub fn now() -> Timestamp {
    SystemClock.now()
}
