//! A moment, as a number. This module does not read the clock.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment in UTC: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment plus a number of seconds.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// The time of a change: `now`, or just after `last` if that is later, so that the times in a log rise even if the
    /// machine's clock goes back.
    pub fn after(now: Self, last: Option<Self>) -> Self {
        match last {
            Some(last) if now <= last => Self(last.0 + 1),
            _ => now,
        }
    }
}

/// RFC 3339 in UTC, to the microsecond, as documents have it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::from(*self);
        match self.0 % 1_000_000 {
            0 => humantime::format_rfc3339_seconds(time).fmt(f),
            _ => humantime::format_rfc3339_micros(time).fmt(f),
        }
    }
}

/// A moment before 1970 becomes the first of 1970: no clock of ours has such a one.
impl From<Timestamp> for SystemTime {
    fn from(moment: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(moment.0).unwrap_or(0))
    }
}
