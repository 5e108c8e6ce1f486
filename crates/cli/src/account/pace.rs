//! When to ask an account, and when to ask again: decisions over times that are given. Nothing here waits.

use std::time::{Duration, Instant};

use http::StatusCode;

/// How often something is asked for.
const TRIES: u32 = 3;
/// An account that asks for a longer pause is left alone this time.
const MOST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The pace of requests.
#[derive(Debug)]
pub(super) struct Pace {
    pace: Duration,
    last: Option<Instant>,
}

/// The thing to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The answer is one.
    Done,
    /// Ask again after this time.
    Again(Duration),
    /// Leave it alone this time.
    GiveUp,
}

impl Pace {
    pub(super) fn new(pace: Duration) -> Self {
        Self { pace, last: None }
    }

    /// How long the next request has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let next = self.last.map(|last| last + self.pace);
        next.map(|next| next.saturating_duration_since(now)).unwrap_or_default()
    }

    /// Takes note of a request that begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Decides over an answer. An account that is busy or broken is asked three times: after the time that it says, else
    /// after four and sixteen times the pace. Another answer is final.
    pub(super) fn next(&self, status: StatusCode, retry_after: Option<&str>, tries: u32) -> Next {
        if status == StatusCode::OK {
            return Next::Done;
        }
        let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        if !is_busy || tries >= TRIES {
            return Next::GiveUp;
        }
        let said = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let pause = said.unwrap_or_else(|| self.pace * 4_u32.pow(tries));
        if pause > MOST_PAUSE { Next::GiveUp } else { Next::Again(pause) }
    }
}

#[cfg(test)]
mod tests {
    use customer_settings_server::clock::{Clock, SystemClock};

    use super::*;

    const PACE: Duration = Duration::from_millis(250);

    #[test]
    fn requests_begin_no_sooner_than_the_pace_after_each_other() {
        let mut pace = Pace::new(PACE);
        let begin = SystemClock.monotonic();
        assert_eq!(pace.wait(begin), Duration::ZERO);
        pace.begin(begin);
        assert_eq!(pace.wait(begin), PACE);
        assert_eq!(pace.wait(begin + Duration::from_millis(100)), Duration::from_millis(150));
        assert_eq!(pace.wait(begin + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn busy_and_broken_accounts_are_asked_three_times_and_others_once() {
        let pace = Pace::new(PACE);
        let next = |status: u16, retry_after, tries| {
            pace.next(StatusCode::from_u16(status).unwrap(), retry_after, tries)
        };
        assert_eq!(next(200, None, 1), Next::Done);
        for busy in [429, 500, 502, 503, 504] {
            assert_eq!(next(busy, None, 1), Next::Again(Duration::from_secs(1)), "{busy}");
            assert_eq!(next(busy, None, 2), Next::Again(Duration::from_secs(4)), "{busy}");
            assert_eq!(next(busy, Some("7"), 2), Next::Again(Duration::from_secs(7)), "{busy}");
            assert_eq!(next(busy, Some("600"), 1), Next::Again(MOST_PAUSE), "{busy}");
            assert_eq!(next(busy, Some("601"), 1), Next::GiveUp, "{busy}");
            assert_eq!(next(busy, Some("1"), 3), Next::GiveUp, "{busy}");
        }
        for other in [201, 204, 301, 304, 400, 401, 403, 404, 409, 418] {
            assert_eq!(next(other, Some("1"), 1), Next::GiveUp, "{other}");
        }
    }
}
