//! How old an answer from memory may be: the one rule for everything in a cache.
//!
//! Each cached thing has a [`Stamp`] from before the query that read it. Within the bound the thing is served. Past the
//! bound, a look-up comes first. If the engine has a change mark, a poll confirms everything at once, and a mark that
//! moved causes a look-up of everything. If the engine sends notices, each notice causes a look-up of the things that
//! it names. While the store does not answer at all, things in memory may be served longer, and are marked.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};

use crate::{
    catalog::{error::Cause, stream::StreamName},
    clock::{Clock, micros},
    store::{Notice, StoreError},
    telemetry,
    wake::{Listener, Pulse, Source, patiently},
};

mod serve;

pub use serve::Served;

/// After this time of silence, requests no longer wait for the store, until it answers again.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// A store that fails in part is reported until no query has failed for this long. Otherwise the answers in between
/// would change readiness, the gauge and the log with each query.
const CALM: Duration = Duration::from_secs(5);
/// A notice about one stream also causes a look-up of at most one in this many others.
const SLOTS: usize = 1_024;

/// The facts about the freshness of cached things.
pub struct Freshness {
    clock: Arc<dyn Clock>,
    bound: Duration,
    max_stale: Duration,
    start: Instant,
    /// The epoch of the data.
    epoch: AtomicU64,
    /// Counts the moments when everything may have changed.
    everything: AtomicU64,
    /// Count the moments when something of a slot may have changed.
    slots: Vec<AtomicU64>,
    hasher: RandomState,
    /// The start of the last successful poll: microseconds after `start`.
    confirmed_us: AtomicU64,
    /// The time of the store's last answer: microseconds after `start`.
    answered_us: AtomicU64,
    contact: watch::Sender<Contact>,
    told: Mutex<Told>,
    /// Whether this process follows the store, and therefore notices when it answers again.
    is_followed: AtomicBool,
}

/// The result of the last query to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    Answers,
    Silent,
    /// The data was deleted or replaced. The store cannot recover from that by itself.
    Replaced,
}

/// The state that operators see: the worst one of the last moments.
#[derive(Clone, Copy, Debug)]
struct Told {
    contact: Contact,
    /// The last time when the store was silent: microseconds after `start`.
    silent_us: Option<u64>,
    /// The last time when the data was found to be replaced.
    replaced_us: Option<u64>,
}

/// Things that change together: the keys, or about one other stream in a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// All keys.
    pub const KEYS: Self = Self(SLOTS);
}

/// The time when a cached thing was read. It is taken before the query starts, never after.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    slot: Slot,
    everything: u64,
    generation: u64,
    read_us: u64,
}

impl Freshness {
    /// Makes the state in which nothing is confirmed. `bound` is the greatest age of an answer while the store answers,
    /// and `max_stale` while it does not. `epoch` is the store's.
    pub fn new(clock: Arc<dyn Clock>, bound: Duration, max_stale: Duration, epoch: u64) -> Self {
        let start = clock.monotonic();
        Self {
            clock,
            bound,
            max_stale,
            start,
            epoch: AtomicU64::new(epoch),
            everything: AtomicU64::new(0),
            slots: (0..=SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            confirmed_us: AtomicU64::new(0),
            answered_us: AtomicU64::new(0),
            contact: watch::Sender::new(Contact::Answers),
            told: Mutex::new(Told {
                contact: Contact::Answers,
                silent_us: None,
                replaced_us: None,
            }),
            is_followed: AtomicBool::new(false),
        }
    }

    /// The epoch of the data, as far as this process knows.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The slot of a stream. Keys have a slot of their own.
    pub fn slot(&self, stream: &StreamName) -> Slot {
        Slot(usize::try_from(self.hasher.hash_one(stream) % SLOTS as u64).unwrap_or(0))
    }

    /// The stamp for a query that starts now.
    pub fn stamp(&self, slot: Slot) -> Stamp {
        Stamp {
            slot,
            everything: self.everything.load(Ordering::SeqCst),
            generation: self.slots[slot.0].load(Ordering::SeqCst),
            read_us: self.elapsed_us(),
        }
    }

    /// Whether a thing with this stamp may be served without a look-up.
    pub fn is_fresh(&self, stamp: Stamp) -> bool {
        self.is_fresh_at(stamp, self.clock.monotonic())
    }

    /// The same for callers that have just read the clock.
    pub fn is_fresh_at(&self, stamp: Stamp, now: Instant) -> bool {
        self.age(stamp, now).is_some_and(|age| age <= self.bound)
    }

    /// The time since the thing was last known to be current, if it may still be served while the
    /// store does not answer.
    pub fn stale_for(&self, stamp: Stamp) -> Option<Duration> {
        let now = self.clock.monotonic();
        let read = || Duration::from_micros(self.us_at(now).saturating_sub(stamp.read_us));
        Some(self.age(stamp, now).unwrap_or_else(read)).filter(|age| *age <= self.max_stale)
    }

    /// `None` if the thing may have changed since.
    fn age(&self, stamp: Stamp, now: Instant) -> Option<Duration> {
        // The order matters: a poll that finds a change moves the generation first.
        let confirmed_us = self.confirmed_us.load(Ordering::SeqCst);
        let is_current = stamp.everything == self.everything.load(Ordering::SeqCst)
            && stamp.generation == self.slots[stamp.slot.0].load(Ordering::SeqCst);
        let age_us = self.us_at(now).saturating_sub(confirmed_us.max(stamp.read_us));
        is_current.then_some(Duration::from_micros(age_us))
    }

    /// Whether the store did not answer when it was last asked.
    pub fn is_away(&self) -> bool {
        self.contact() != Contact::Answers
    }

    fn contact(&self) -> Contact {
        *self.contact.borrow()
    }

    /// Queries the store for something that is in memory as well. Waits only for a short time, and records
    /// whether the store answered.
    pub async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = patiently(question).await;
        self.note_contact(answer.as_ref().err());
        answer
    }

    /// Does work that needs the store. Gives up if the store is silent or becomes silent meanwhile, so that no request
    /// waits in vain. Not for work that must not be left half done.
    pub async fn unless_gone<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = self.while_there(work).await?;
        // The question that is asked now and then may wait for longer than others, above all where the processors are
        // busy: a store that answers these is not gone.
        self.note_answer();
        Ok(answer)
    }

    /// The same for what asks the store nothing itself.
    pub async fn while_there<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            () = self.gone() => Err(StoreError::Unavailable(Cause::new("the store is gone"))),
            answer = work => answer,
        }
    }

    /// Ends once the store has been silent for [`GONE_AFTER`]. Never ends if this process does not follow the store, as
    /// in a command: the process could not notice the store's return.
    async fn gone(&self) {
        let mut contact = self.contact.subscribe();
        // The sender of this channel belongs to `self`.
        while contact.wait_for(|contact| *contact == Contact::Silent).await.is_ok() {
            if !self.is_followed.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            match GONE_AFTER.checked_sub(self.silence()) {
                Some(rest) if !rest.is_zero() => sleep(rest).await,
                _ => return,
            }
        }
    }

    /// Whether this process can do its work, with a line for operators if something is wrong. It cannot if the store is
    /// silent for longer than things in memory may be served. It also cannot if the data was replaced, even with
    /// everything in memory, because nobody would notice.
    pub fn readiness(&self) -> Result<Option<String>, String> {
        let silence = self.silence();
        let seconds = silence.as_secs();
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.contact {
            Contact::Answers => Ok(None),
            Contact::Replaced => Err(
                "the data was deleted or replaced while the server runs: put it back, or start the server again"
                    .to_owned(),
            ),
            Contact::Silent if silence > self.max_stale => {
                Err(format!("the store has not answered for {seconds} s"))
            }
            Contact::Silent if !self.is_away() => {
                let silent_us = told.silent_us.unwrap_or_default();
                let ago = Duration::from_micros(self.elapsed_us().saturating_sub(silent_us));
                Ok(Some(format!(
                    "the store answers, but did not {} s ago: where it does not, what is in memory is served",
                    ago.as_secs()
                )))
            }
            Contact::Silent => Ok(Some(format!(
                "the store has not answered for {seconds} s: what is in memory is served"
            ))),
        }
    }

    fn silence(&self) -> Duration {
        let answered_us = self.answered_us.load(Ordering::SeqCst);
        Duration::from_micros(self.elapsed_us().saturating_sub(answered_us))
    }

    /// Everything in the slot that was read before, or is being read now, needs a look-up.
    fn expire(&self, slot: Slot) {
        self.slots[slot.0].fetch_add(1, Ordering::SeqCst);
    }

    fn expire_everything(&self) {
        self.everything.fetch_add(1, Ordering::SeqCst);
    }

    fn confirm(&self, started: Instant) {
        self.confirmed_us.store(self.us_at(started), Ordering::SeqCst);
    }

    fn note_epoch(&self, epoch: u64) {
        if self.epoch.swap(epoch, Ordering::SeqCst) != epoch {
            tracing::warn!(epoch, "the data was restored: everything is read again");
            self.expire_everything();
        }
    }

    fn note_contact(&self, error: Option<&StoreError>) {
        let (contact, cause) = match error {
            Some(StoreError::Unavailable(cause)) => (Contact::Silent, cause.for_log()),
            Some(StoreError::Replaced(cause)) => (Contact::Replaced, cause.for_log()),
            _ => (Contact::Answers, ""),
        };
        if contact == Contact::Answers {
            self.note_answer();
        }
        self.contact.send_if_modified(|last| std::mem::replace(last, contact) != contact);
        let (told, is_news) = self.tell(contact);
        match told {
            Contact::Silent if is_news => tracing::warn!(cause, "the store does not answer"),
            Contact::Replaced if is_news => tracing::error!(
                cause,
                "the data was deleted or replaced while the server runs: nothing is written any more; put it back, \
                 or start the server again"
            ),
            Contact::Answers if is_news => tracing::info!("the store answers again"),
            _ => {}
        }
        let is_away = told != Contact::Answers;
        metrics::gauge!(telemetry::STORE_AWAY).set(f64::from(u8::from(is_away)));
    }

    /// Records the state for operators. Gives the state, and whether it is new.
    fn tell(&self, contact: Contact) -> (Contact, bool) {
        let now_us = self.elapsed_us();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match contact {
            Contact::Answers => {}
            Contact::Silent => told.silent_us = Some(now_us),
            Contact::Replaced => told.replaced_us = Some(now_us),
        }
        let is_recent =
            |at: Option<u64>| at.is_some_and(|at| now_us.saturating_sub(at) < micros(CALM));
        let worst = match (is_recent(told.replaced_us), is_recent(told.silent_us)) {
            (true, _) => Contact::Replaced,
            (false, true) => Contact::Silent,
            (false, false) => Contact::Answers,
        };
        let before = std::mem::replace(&mut told.contact, worst);
        (worst, worst != before)
    }

    fn note_answer(&self) {
        self.answered_us.store(self.elapsed_us(), Ordering::SeqCst);
    }

    fn elapsed_us(&self) -> u64 {
        self.us_at(self.clock.monotonic())
    }

    fn us_at(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.start))
    }
}

impl Listener for Freshness {
    fn followed(&self) {
        // Nobody asked before: that was no silence.
        self.note_answer();
        self.is_followed.store(true, Ordering::SeqCst);
    }

    fn changed(&self, what: &Notice, source: Source) {
        match (what, source) {
            // The snapshot after the commit took the place of the one before.
            (Notice::Stream(_), Source::ThisProcess) => {}
            (Notice::Stream(stream), Source::Anywhere) => self.expire(self.slot(stream)),
            (Notice::Keys, _) => self.expire(Slot::KEYS),
            (Notice::Everything, _) => self.expire_everything(),
        }
    }

    fn asked(&self, answer: Result<&Pulse, &StoreError>) {
        self.note_contact(answer.err());
        let Ok(pulse) = answer else { return };
        self.note_epoch(pulse.epoch);
        if pulse.confirms {
            self.confirm(pulse.started);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::ShiftedClock;

    const MAX_STALE: Duration = Duration::from_secs(300);

    fn freshness() -> (Arc<ShiftedClock>, Freshness) {
        let clock = Arc::new(ShiftedClock::default());
        (clock.clone(), Freshness::new(clock, Duration::from_secs(1), MAX_STALE, 1))
    }

    #[test]
    fn a_stamp_is_fresh_up_to_the_bound() {
        let (clock, freshness) = freshness();
        let stamp = freshness.stamp(Slot::KEYS);
        clock.advance(Duration::from_millis(900));
        assert!(freshness.is_fresh(stamp));
        clock.advance(Duration::from_millis(200));
        assert!(!freshness.is_fresh(stamp));
    }

    #[test]
    fn a_poll_confirms_everything_read_since_the_last_change() {
        let (clock, freshness) = freshness();
        let stamp = freshness.stamp(Slot::KEYS);
        clock.advance(Duration::from_millis(1_500));
        freshness.confirm(clock.monotonic());
        assert!(freshness.is_fresh(stamp));
    }

    #[test]
    fn a_moved_mark_ends_the_freshness_of_all_that_was_read_before() {
        let (_, freshness) = freshness();
        let before = freshness.stamp(Slot::KEYS);
        freshness.changed(&Notice::Everything, Source::Anywhere);
        assert!(!freshness.is_fresh(before));
        assert!(freshness.is_fresh(freshness.stamp(Slot::KEYS)));
    }

    #[test]
    fn a_notice_ends_the_freshness_of_its_own_slot_alone() {
        let (_, freshness) = freshness();
        let id = StreamName::read("company cmp_001").unwrap();
        let (company, keys) = (freshness.stamp(freshness.slot(&id)), freshness.stamp(Slot::KEYS));
        freshness.expire(Slot::KEYS);
        assert!(freshness.is_fresh(company) && !freshness.is_fresh(keys));
        freshness.expire(freshness.slot(&id));
        assert!(!freshness.is_fresh(company));
        assert!(freshness.is_fresh(freshness.stamp(freshness.slot(&id))));
    }

    #[test]
    fn another_epoch_ends_the_freshness_of_everything() {
        let (_, freshness) = freshness();
        let stamp = freshness.stamp(Slot::KEYS);
        freshness.note_epoch(1);
        assert!(freshness.is_fresh(stamp));
        freshness.note_epoch(2);
        assert!(!freshness.is_fresh(stamp));
        assert_eq!(freshness.epoch(), 2);
    }

    #[test]
    fn what_is_stale_may_be_served_up_to_its_own_bound() {
        let (clock, freshness) = freshness();
        let stamp = freshness.stamp(Slot::KEYS);
        clock.advance(MAX_STALE - Duration::from_secs(1));
        assert!(!freshness.is_fresh(stamp));
        assert!(freshness.stale_for(stamp).unwrap() >= MAX_STALE - Duration::from_secs(1));
        // The keys are known to have changed, and still their age is that of their own query.
        freshness.expire(Slot::KEYS);
        assert!(freshness.stale_for(stamp).is_some());
        clock.advance(Duration::from_secs(2));
        assert_eq!(freshness.stale_for(stamp), None);
    }

    #[tokio::test]
    async fn a_silent_store_is_gone_where_somebody_finds_out_when_it_is_back() {
        let (clock, freshness) = freshness();
        let is_gone = || {
            let nothing = std::future::pending::<Result<(), StoreError>>();
            freshness.unless_gone(nothing).now_or_never().is_some()
        };
        freshness.note_contact(Some(&silent()));
        clock.advance(GONE_AFTER);
        assert!(!is_gone());
        freshness.is_followed.store(true, Ordering::SeqCst);
        assert!(is_gone());
        freshness.note_contact(None);
        assert!(!is_gone());
        // A store that answers other queries is not gone.
        freshness.note_contact(Some(&silent()));
        clock.advance(GONE_AFTER - Duration::from_millis(100));
        assert!(freshness.unless_gone(async { Ok(()) }).now_or_never().unwrap().is_ok());
        clock.advance(Duration::from_millis(200));
        assert!(!is_gone());
        clock.advance(GONE_AFTER);
        assert!(is_gone());
        // A store whose data was replaced reports that itself, at once.
        freshness.note_contact(Some(&StoreError::Replaced(Cause::default())));
        assert!(!is_gone());
    }

    fn silent() -> StoreError {
        StoreError::Unavailable(Cause::default())
    }

    #[test]
    fn a_process_is_not_ready_once_the_silence_is_longer_than_what_is_allowed() {
        let (clock, freshness) = freshness();
        freshness.note_contact(Some(&silent()));
        assert!(freshness.is_away());
        assert!(freshness.readiness().unwrap().unwrap().contains("has not answered"));
        clock.advance(MAX_STALE + Duration::from_secs(1));
        freshness.note_contact(Some(&silent()));
        assert!(freshness.readiness().unwrap_err().contains("has not answered"));
        freshness.note_contact(None);
        assert!(!freshness.is_away());
        assert!(freshness.readiness().unwrap().unwrap().contains("did not 0 s ago"));
        clock.advance(CALM);
        freshness.note_contact(None);
        assert_eq!(freshness.readiness(), Ok(None));
    }

    #[test]
    fn a_store_that_fails_in_part_is_told_of_steadily() {
        let (clock, freshness) = freshness();
        let step = Duration::from_millis(500);
        let is_bad = |error: StoreError, is_told: &dyn Fn() -> bool| {
            for _ in 0..20 {
                freshness.note_contact(Some(&error));
                assert!(is_told() && freshness.is_away());
                clock.advance(step);
                // Another query succeeds. Its caller does not see the store as unreachable.
                freshness.note_contact(None);
                assert!(is_told() && !freshness.is_away());
            }
        };
        is_bad(silent(), &|| matches!(freshness.readiness(), Ok(Some(_))));
        let replaced = || StoreError::Replaced(Cause::default());
        is_bad(replaced(), &|| freshness.readiness().is_err());
        // The worse state ends after its own five seconds, although other queries fail.
        for _ in 0..10 {
            freshness.note_contact(Some(&silent()));
            clock.advance(step);
        }
        freshness.note_contact(Some(&silent()));
        assert!(freshness.readiness().unwrap().is_some());
        clock.advance(CALM);
        freshness.note_contact(None);
        assert_eq!(freshness.readiness(), Ok(None));
    }

    #[test]
    fn a_process_is_not_ready_over_data_that_was_replaced() {
        let (clock, freshness) = freshness();
        freshness.note_contact(Some(&StoreError::Replaced(Cause::default())));
        assert!(freshness.readiness().unwrap_err().contains("deleted or replaced"));
        clock.advance(CALM);
        // A full disk is an answer.
        freshness.note_contact(Some(&StoreError::Full(Cause::default())));
        assert_eq!((freshness.readiness(), freshness.is_away()), (Ok(None), false));
    }
}
