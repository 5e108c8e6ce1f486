//! Closes connections whose client does nothing.
//!
//! hyper's parts leave gaps. Its header time-out starts only when it has told HTTP/1.1 from HTTP/2, so a silent client
//! would hold a connection for ever; and it is the idle time-out of HTTP/1.1 at the same time. HTTP/2 has no idle
//! time-out. A client that never reads its answer meets none either.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use super::http2::wire::Passed;
use crate::{
    clock::{Clock, micros},
    config::Limits,
};

/// How long an idle connection stays open after the server told it that it stops.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// The requests of a connection.
struct Requests {
    connected: Instant,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Of these, the requests that have their answer while the rest of their body is read and discarded.
    discarding: AtomicU64,
    /// The requests that were answered. The other ended requests were given up.
    answers: AtomicU64,
    /// When the last answer was made, in microseconds after `connected`.
    answered_us: AtomicU64,
    /// Whether a part of a body is left unread, so that no other request can follow.
    is_spoilt: AtomicBool,
}

/// A request whose answer is not finished yet.
pub(super) struct Busy(Arc<Requests>);

impl Busy {
    /// Takes note of when the answer was made.
    pub(super) fn answered(&self, now: Instant) {
        self.0.answers.fetch_add(1, Ordering::Relaxed);
        self.sent(now);
    }

    /// Takes note of when the last byte of the answer was sent.
    pub(super) fn sent(&self, now: Instant) {
        let since = now.saturating_duration_since(self.0.connected);
        self.0.answered_us.store(micros(since), Ordering::Relaxed);
    }

    /// Another hold on the same connection, for work beside the request. The connection is busy until both are dropped.
    pub(super) fn also(&self) -> Self {
        Self::begin(&self.0)
    }

    /// A hold for discarding the rest of a body. A server that stops does not wait for it.
    pub(super) fn discarding(&self) -> Discarding {
        let busy = self.also();
        self.0.discarding.fetch_add(1, Ordering::Relaxed);
        Discarding(busy)
    }

    fn begin(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(requests))
    }

    /// Takes note that the rest of a body stays unread. The connection then ends with this answer.
    pub(super) fn spoil(&self) {
        self.0.is_spoilt.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.0.is_spoilt.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}

/// A request that has its answer, and whose body is still discarded.
pub(super) struct Discarding(Busy);

impl Discarding {
    /// See [`Busy::spoil`].
    pub(super) fn spoil(&self) {
        self.0.spoil();
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        self.0.0.discarding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says when the time of a connection is over.
pub(super) struct IdleWatch {
    header_timeout: Duration,
    idle_timeout: Duration,
    clock: Arc<dyn Clock>,
    requests: Arc<Requests>,
    /// The bytes that were read, and the requests that had begun, when a request was last open.
    read_then: u64,
    begun_then: u64,
    standing: Standing,
    since: Instant,
    armed: Instant,
    timer: Pin<Box<Sleep>>,
    leaving: Option<Leaving>,
}

/// A connection of a server that stops.
struct Leaving {
    timer: Pin<Box<Sleep>>,
    /// The requests that had begun, and the bytes that were written, when the timer was set.
    then: (u64, u64),
}

/// The event that a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The first byte.
    New,
    /// The rest of a head, after so many requests.
    Head { begun: u64 },
    /// The next request.
    Idle,
    /// The server's answers.
    Busy,
    /// That the client reads on, after so many written bytes.
    Stuck { written: u64 },
}

impl IdleWatch {
    pub(super) fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        let connected = clock.monotonic();
        let first = limits.header_timeout().min(limits.idle_timeout());
        let requests = Requests {
            connected,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            discarding: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            answered_us: AtomicU64::new(0),
            is_spoilt: AtomicBool::new(false),
        };
        Self {
            header_timeout: limits.header_timeout(),
            idle_timeout: limits.idle_timeout(),
            clock,
            requests: Arc::new(requests),
            read_then: 0,
            begun_then: 0,
            standing: Standing::New,
            since: connected,
            armed: connected + first,
            timer: Box::pin(sleep(first)),
            leaving: None,
        }
    }

    /// The function that counts a request when it begins.
    pub(super) fn begin(&self) -> impl Fn() -> Busy + use<> {
        let requests = Arc::clone(&self.requests);
        move || Busy::begin(&requests)
    }

    /// Whether the client may still send a part of a body that nobody reads.
    pub(super) fn is_spoilt(&self) -> bool {
        self.requests.is_spoilt.load(Ordering::Relaxed)
    }

    /// How many answers were made.
    pub(super) fn answers(&self) -> u64 {
        self.requests.answers.load(Ordering::Relaxed)
    }

    /// Whether the time of the connection is over. To be asked at the end of each of its polls.
    ///
    /// A request that postpones the end does not touch the timer. The timer then fires too early, and is set again.
    pub(super) fn poll_over(&mut self, passed: Passed, context: &mut Context<'_>) -> Poll<()> {
        let standing = self.standing(passed);
        if self.standing != standing {
            self.standing = standing;
            // Only these two can bring the end nearer.
            if matches!(standing, Standing::Head { .. } | Standing::Stuck { .. }) {
                self.since = self.clock.monotonic();
                if self.next(self.since) < self.armed {
                    self.arm(self.since);
                }
            }
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = self.clock.monotonic();
            if self.end().is_some_and(|end| end <= now) {
                return Poll::Ready(());
            }
            self.arm(now);
        }
    }

    /// Whether a connection of a server that stops has had no open request, and has written nothing, for a while. To be
    /// asked at the end of each of its polls. HTTP/2 alone would wait for a client that may never answer.
    pub(super) fn poll_left(&mut self, passed: Passed, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let begun = self.requests.begun.load(Ordering::Relaxed);
            let ended = self.requests.ended.load(Ordering::Acquire);
            let answered = ended + self.requests.discarding.load(Ordering::Relaxed);
            let is_busy = answered < begun || passed.is_stuck;
            let now = (begun, passed.written);
            let leaving = self
                .leaving
                .get_or_insert_with(|| Leaving { timer: Box::pin(sleep(GRACE)), then: now });
            if is_busy || leaving.then != now {
                leaving.then = now;
                leaving.timer.as_mut().reset((self.clock.monotonic() + GRACE).into());
            }
            ready!(leaving.timer.as_mut().poll(context));
            if !is_busy {
                return Poll::Ready(());
            }
        }
    }

    fn standing(&mut self, passed: Passed) -> Standing {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        let is_busy = self.requests.ended.load(Ordering::Acquire) < begun;
        if is_busy || begun != self.begun_then {
            (self.begun_then, self.read_then) = (begun, passed.read);
        }
        if passed.is_stuck {
            Standing::Stuck { written: passed.written }
        } else if is_busy {
            Standing::Busy
        } else if passed.is_http2 {
            // A client of HTTP/2 may send frames and pings all day without a request.
            Standing::Idle
        } else if passed.read > self.read_then {
            Standing::Head { begun }
        } else if begun == 0 {
            Standing::New
        } else {
            Standing::Idle
        }
    }

    fn end(&self) -> Option<Instant> {
        let answered_us = self.requests.answered_us.load(Ordering::Relaxed);
        match self.standing {
            Standing::New | Standing::Head { .. } => Some(self.since + self.header_timeout),
            Standing::Idle => {
                let answered = self.requests.connected + Duration::from_micros(answered_us);
                Some(answered + self.idle_timeout)
            }
            Standing::Busy => None,
            Standing::Stuck { .. } => Some(self.since + self.idle_timeout),
        }
    }

    fn arm(&mut self, now: Instant) {
        self.armed = self.next(now);
        self.timer.as_mut().reset(self.armed.into());
    }

    /// The moment to look again: at the latest after the idle time-out, as a request may end at any time.
    fn next(&self, now: Instant) -> Instant {
        let latest = now + self.idle_timeout;
        self.end().map_or(latest, |end| end.min(latest))
    }
}
