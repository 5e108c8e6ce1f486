//! When to ask an account, and when to ask again: decisions over times that are given. Nothing here waits.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

/// How often something is asked for.
const TRIES: u32 = 3;
/// An account that asks for a longer pause is left alone this time.
const MOST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// An account that asks for a longer pause is asked again after this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// A reading says how far it is after this time, then after twice the time, and so on.
const FIRST_NOTE: Duration = Duration::from_secs(2);
/// The longest time between two such notes.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// When a reading says how far it is.
#[derive(Debug)]
pub(super) struct Progress {
    next: Instant,
    pause: Duration,
}

impl Progress {
    pub(super) fn new(begin: Instant) -> Self {
        Self { next: begin + FIRST_NOTE, pause: FIRST_NOTE }
    }

    /// Whether it is time for a note, which counts as made.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.pause = (self.pause * 2).min(LONGEST_SILENCE);
            self.next = now + self.pause;
        }
        is_due
    }
}

/// The pace of requests.
#[derive(Debug)]
pub(super) struct Pace {
    pace: Duration,
    /// The earliest moment of the next request.
    next: Option<Instant>,
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
    /// Ask for nothing more this time: the account asks for so long a pause.
    Pause(Duration),
}

impl Pace {
    pub(super) fn new(pace: Duration) -> Self {
        Self { pace, next: None }
    }

    /// How long the next request has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.map(|next| next.saturating_duration_since(now)).unwrap_or_default()
    }

    /// Takes note of a request that begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next = Some(now + self.pace);
    }

    /// Decides over an answer. An account that is busy or broken is asked three times: after the time that it says, else
    /// after four and sixteen times the pace. Another answer is final. No request of any kind comes before the time that
    /// the account says.
    pub(super) fn next(
        &mut self,
        now: Instant,
        status: StatusCode,
        said: Option<Duration>,
        tries: u32,
    ) -> Next {
        if status == StatusCode::OK {
            return Next::Done;
        }
        let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        if !is_busy {
            return Next::GiveUp;
        }
        if let Some(said) = said {
            self.next = self.next.max(Some(now + said.min(LONGEST_PAUSE)));
        }
        match said {
            Some(said) if said > MOST_PAUSE => Next::Pause(said),
            _ if tries >= TRIES => Next::GiveUp,
            said => Next::Again(said.unwrap_or_else(|| self.pace * 4_u32.pow(tries))),
        }
    }
}

/// The pause that an answer asks for: seconds, or until a moment. The answer's own `Date` says when it was given, so that
/// the clocks of both sides need not agree; an answer without one was given `now`.
pub(super) fn said(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let moment = |text: &str| httpdate::parse_http_date(text).ok();
    let retry_after = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let given = text(header::DATE).and_then(moment).unwrap_or(now);
    Some(moment(retry_after)?.duration_since(given).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

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
    fn a_long_reading_says_how_far_it_is_and_a_short_one_is_silent() {
        let begin = SystemClock.monotonic();
        let mut progress = Progress::new(begin);
        let seconds = 0..=300_u64;
        let told: Vec<u64> =
            seconds.filter(|at| progress.is_due(begin + Duration::from_secs(*at))).collect();
        assert_eq!(told, [2, 6, 14, 30, 62, 122, 182, 242]);
    }

    #[test]
    fn no_request_comes_within_the_pause_that_the_account_asks_for() {
        let begin = SystemClock.monotonic();
        for (said, tries, expected) in
            [(7, 1, 7), (7, 3, 7), (3_600, 1, 3_600), (u64::MAX, 1, 86_400)]
        {
            let mut pace = Pace::new(PACE);
            pace.begin(begin);
            pace.next(begin, StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(said)), tries);
            assert_eq!(pace.wait(begin), Duration::from_secs(expected), "{said} {tries}");
        }
    }

    #[test]
    fn busy_and_broken_accounts_are_asked_three_times_and_others_once() {
        let begin = SystemClock.monotonic();
        let next = |status: u16, said: Option<u64>, tries| {
            let (status, said) =
                (StatusCode::from_u16(status).unwrap(), said.map(Duration::from_secs));
            Pace::new(PACE).next(begin, status, said, tries)
        };
        assert_eq!(next(200, None, 1), Next::Done);
        for busy in [429, 500, 502, 503, 504] {
            assert_eq!(next(busy, None, 1), Next::Again(Duration::from_secs(1)), "{busy}");
            assert_eq!(next(busy, None, 2), Next::Again(Duration::from_secs(4)), "{busy}");
            assert_eq!(next(busy, Some(7), 2), Next::Again(Duration::from_secs(7)), "{busy}");
            assert_eq!(next(busy, Some(600), 1), Next::Again(MOST_PAUSE), "{busy}");
            assert_eq!(next(busy, Some(601), 1), Next::Pause(Duration::from_secs(601)), "{busy}");
            assert_eq!(next(busy, Some(1), 3), Next::GiveUp, "{busy}");
        }
        for other in [201, 204, 301, 304, 400, 401, 403, 404, 409, 418] {
            assert_eq!(next(other, Some(1), 1), Next::GiveUp, "{other}");
        }
    }

    #[test]
    fn a_pause_is_said_in_seconds_or_as_a_moment() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let said = |retry_after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
            headers.extend(date.map(|date| (header::DATE, HeaderValue::from_static(date))));
            super::said(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(super::said(&HeaderMap::new(), now), None);
        assert_eq!(said("7", None), Some(7));
        assert_eq!(said(" 0 ", None), Some(0));
        assert_eq!(said("Sun, 06 Nov 1994 08:49:57 GMT", None), Some(20));
        assert_eq!(said("Sunday, 06-Nov-94 08:49:57 GMT", None), Some(20));
        assert_eq!(said("Sun Nov  6 08:49:57 1994", None), Some(20));
        assert_eq!(said("Sun, 06 Nov 1994 08:49:17 GMT", None), Some(0), "it is over");
        let (date, later) = ("Sat, 05 Nov 1994 00:00:00 GMT", "Sat, 05 Nov 1994 00:00:09 GMT");
        assert_eq!(said(later, Some(date)), Some(9), "by the other side's clock");
        assert_eq!(said("Sun, 06 Nov 1994 08:49:57 GMT", Some("no date")), Some(20));
        assert_eq!(said("12", Some(date)), Some(12));
        for none in ["soon", "", "-1", "1.5", "Sun, 06 Nov 1994", "99999999999999999999999"] {
            assert_eq!(said(none, None), None, "{none}");
        }
    }
}
