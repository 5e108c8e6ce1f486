//! The snapshot cache: a company's settings at a revision, with the finished bytes of its lists.
//!
//! A read takes no lock that a write holds, and does not touch the database while the snapshot is fresh.

use std::{
    any::Any,
    ops::Deref,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use metrics::Counter;
use quick_cache::{Weighter, sync::Cache};

use super::queues::Queues;
use crate::{
    catalog::{
        access::Grant,
        entry::{Catalog, Revision},
        error::{Cause, Error, Result, Unavailable},
        settings::Settings,
        stream::StreamName,
        token::RevisionToken,
    },
    clock::Clock,
    freshness::{Freshness, Served, Stamp},
    store::{Notice, Store, StoreError},
    telemetry,
    wake::{Source, Wake},
};

/// How long a read waits for the revision that its caller knows.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How often it looks while it waits.
const WAIT_STEP: Duration = Duration::from_millis(50);

/// Makes the finished list of a catalog. `lib.rs` passes the function, so that services know no protocol.
pub type Render = fn(epoch: u64, settings: &Settings, catalog: Catalog) -> Rendered;

/// A finished list. Only the function that made it knows its type.
pub type Rendered = Arc<dyn Any + Send + Sync>;

/// A company at a revision.
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Snapshot {
    pub settings: Arc<Settings>,
    /// The epoch of the data.
    pub epoch: u64,
    render: Render,
    /// Made when a list is first asked for, since a write must not wait for them.
    lists: [OnceLock<Rendered>; 4],
}

impl Snapshot {
    /// The finished list of a catalog.
    pub fn list(&self, catalog: Catalog) -> &Rendered {
        let make = || (self.render)(self.epoch, &self.settings, catalog);
        self.lists[catalog.index()].get_or_init(make)
    }

    /// The token for a caller that got this snapshot.
    pub fn token(&self) -> RevisionToken {
        RevisionToken { epoch: self.epoch, revision: self.settings.revision }
    }
}

/// A snapshot that a read got, and its age.
#[derive(Clone)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct ServedSnapshot {
    pub snapshot: Arc<Snapshot>,
    /// For how long the snapshot has not been known to be current, if the store does not answer.
    pub stale_for: Option<Duration>,
}

impl Deref for ServedSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl ServedSnapshot {
    /// The marks of an answer that shows any part of the snapshot.
    pub fn marks(&self) -> Marks {
        Marks { token: self.snapshot.token(), stale_for: self.stale_for }
    }
}

/// The marks of an answer about a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The revision that the answer shows.
    pub token: RevisionToken,
    /// For how long the revision has not been known to be current, if the store does not answer.
    pub stale_for: Option<Duration>,
}

#[derive(Clone)]
struct Cached {
    snapshot: Arc<Snapshot>,
    stamp: Stamp,
}

/// The companies' snapshots, bounded by bytes.
pub struct Snapshots {
    store: Arc<dyn Store>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    render: Render,
    cache: Cache<StreamName, Cached, Weight>,
    wake: Arc<Wake>,
    publishing: Mutex<()>,
    look_ups: Queues,
    /// Stored here, since finding a counter costs more than counting.
    memory_reads: Counter,
}

impl Snapshots {
    /// An empty cache, whose snapshots may take `max_bytes`.
    pub fn new(
        store: Arc<dyn Store>,
        freshness: Arc<Freshness>,
        clock: Arc<dyn Clock>,
        wake: Arc<Wake>,
        render: Render,
        max_bytes: u64,
    ) -> Self {
        let expected = usize::try_from(max_bytes / 8_192).unwrap_or(usize::MAX).clamp(16, 100_000);
        Self {
            store,
            freshness,
            clock,
            render,
            cache: Cache::with_weighter(expected, max_bytes, Weight),
            wake,
            publishing: Mutex::new(()),
            look_ups: Queues::new(),
            memory_reads: metrics::counter!(telemetry::SNAPSHOT_READS, "from" => "memory"),
        }
    }

    /// The company's snapshot, at most as old as the freshness bound, and at least as new as the revision that the
    /// caller knows; `None` if there is no such company.
    ///
    /// While the store does not answer, the snapshot may be older, and its marks say so. If the revision that the
    /// caller knows does not arrive within a moment, the error is UNAVAILABLE. A company that does not arrive either is
    /// none: otherwise a wrong id would be repeated for ever.
    pub async fn get(&self, grant: &Grant) -> Result<Option<ServedSnapshot>> {
        if let Some(fresh) = self.get_at_once(grant, self.clock.monotonic()) {
            return Ok(Some(fresh));
        }
        self.refuse_other_epoch(grant)?;
        let until = self.clock.monotonic() + MAX_WAIT;
        loop {
            let found = self.get_looked_up(grant).await?;
            let wanted = grant.at_least();
            let is_enough = match &found {
                Some(served) => served.token().reaches(wanted),
                None => wanted.is_none(),
            };
            if is_enough {
                return Ok(found);
            }
            self.refuse_other_epoch(grant)?;
            if self.clock.monotonic() >= until {
                return found.map_or(Ok(None), |_| Err(not_seen_yet()));
            }
            tokio::time::sleep(WAIT_STEP).await;
        }
    }

    /// The company's snapshot, if it is fresh and new enough. `None` says nothing about the company.
    pub fn get_at_once(&self, grant: &Grant, now: Instant) -> Option<ServedSnapshot> {
        let fresh = self.fresh(grant, now)?;
        self.memory_reads.increment(1);
        Some(fresh)
    }

    /// Refuses the token of an earlier epoch, which no answer can satisfy.
    pub fn refuse_other_epoch(&self, grant: &Grant) -> Result<()> {
        let epoch = self.freshness.epoch();
        match grant.at_least() {
            Some(token) if token.epoch < epoch => Err(Error::Precondition {
                reason: "RESTORED_SINCE",
                message: format!(
                    "Settings-Min-Revision {token} is from before the data was restored (it is in epoch {epoch} now): \
                     read again without it"
                ),
                facts: vec![("epoch", epoch.to_string())],
            }),
            _ => Ok(()),
        }
    }

    /// Refuses to plan a write for a state that is older than the one that the caller knows. A write reads the store
    /// itself, so a newer state does not arrive by waiting.
    pub fn refuse_older(&self, grant: &Grant, revision: Revision) -> Result<()> {
        match self.token(revision).reaches(grant.at_least()) {
            true => Ok(()),
            false => Err(not_seen_yet()),
        }
    }

    async fn get_looked_up(&self, grant: &Grant) -> Result<Option<ServedSnapshot>> {
        // A snapshot that is too old to be served counts as none. Otherwise requests would queue behind its look-ups.
        let may_be_served =
            |stamp| self.freshness.is_fresh(stamp) || self.freshness.stale_for(stamp).is_some();
        let held = || {
            let Cached { snapshot, stamp } = self.cache.get(grant.stream().name())?;
            let is_enough = snapshot.token().reaches(grant.at_least()) && may_be_served(stamp);
            is_enough.then_some((snapshot, stamp))
        };
        let entered = self.look_ups.enter(grant.stream().id());
        let served = self.freshness.serve(held, entered, || Ok(()), self.look_up(grant)).await?;
        if served.as_ref().is_some_and(|served| served.stale_for.is_some()) {
            metrics::counter!(telemetry::STALE_ANSWERS).increment(1);
        }
        Ok(served
            .map(|Served { value: snapshot, stale_for }| ServedSnapshot { snapshot, stale_for }))
    }

    /// The settings of the company that this process read last, however old. They are for plans, whose
    /// commit checks the revision.
    pub fn last_known(&self, grant: &Grant) -> Option<Arc<Settings>> {
        self.cache.peek(grant.stream().name()).map(|cached| cached.snapshot.settings.clone())
    }

    /// Takes the settings after a commit of this process into the cache, unless it has newer ones,
    /// and wakes the listeners.
    pub fn publish(&self, grant: &Grant, settings: Arc<Settings>, stamp: Stamp) {
        self.take(grant, settings, stamp);
        self.wake.changed(&Notice::of(grant.stream()), Source::ThisProcess);
    }

    fn take(&self, grant: &Grant, settings: Arc<Settings>, stamp: Stamp) -> Arc<Snapshot> {
        let epoch = self.freshness.epoch();
        let (render, lists) = (self.render, Default::default());
        let snapshot = Arc::new(Snapshot { settings, epoch, render, lists });
        self.keep(grant.stream().name(), Cached { snapshot: snapshot.clone(), stamp });
        snapshot
    }

    /// The stamp for a query or a commit about the company that starts now.
    pub fn stamp(&self, grant: &Grant) -> Stamp {
        self.freshness.stamp(self.freshness.slot(grant.stream().name()))
    }

    /// The token for a caller that knows this revision.
    pub fn token(&self, revision: Revision) -> RevisionToken {
        RevisionToken { epoch: self.freshness.epoch(), revision }
    }

    fn fresh(&self, grant: &Grant, now: Instant) -> Option<ServedSnapshot> {
        let cached = self.cache.get(grant.stream().name())?;
        let is_fresh = self.freshness.is_fresh_at(cached.stamp, now);
        let snapshot = cached.snapshot;
        (is_fresh && snapshot.token().reaches(grant.at_least()))
            .then_some(ServedSnapshot { snapshot, stale_for: None })
    }

    async fn look_up(&self, grant: &Grant) -> Result<Option<Arc<Snapshot>>, StoreError> {
        metrics::counter!(telemetry::SNAPSHOT_READS, "from" => "store").increment(1);
        let stamp = self.stamp(grant);
        if let Some(cached) = self.cache.get(grant.stream().name())
            && cached.snapshot.epoch == self.freshness.epoch()
            && self.store.revision(grant).await? == Some(cached.snapshot.settings.revision)
        {
            let snapshot = cached.snapshot;
            self.keep(grant.stream().name(), Cached { snapshot: snapshot.clone(), stamp });
            return Ok(Some(snapshot));
        }
        let stamp = self.stamp(grant);
        match self.store.settings(grant).await? {
            Some(settings) => Ok(Some(self.take(grant, Arc::new(settings), stamp))),
            None => {
                self.cache.remove(grant.stream().name());
                Ok(None)
            }
        }
    }

    /// Puts a snapshot into the cache, unless the cache has a newer one: a look-up may end after a
    /// commit that began later.
    fn keep(&self, stream: &StreamName, cached: Cached) {
        let _guard = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let life = |snapshot: &Snapshot| (snapshot.epoch, snapshot.settings.revision);
        let held = self.cache.peek(stream).map(|held| life(&held.snapshot));
        if held.is_none_or(|held| held <= life(&cached.snapshot)) {
            self.cache.insert(stream.clone(), cached);
        }
        metrics::gauge!(telemetry::SNAPSHOT_BYTES).set(self.cache.weight() as f64);
    }
}

fn not_seen_yet() -> Error {
    let cause = Cause::new("the revision that the caller knows is not in the store");
    Error::Unavailable { what: Unavailable::NotSeenYet, cause }
}

#[derive(Clone)]
struct Weight;

impl Weighter<StreamName, Cached> for Weight {
    /// Bytes, roughly, that an entry and a location take in memory and in the finished lists.
    fn weight(&self, _: &StreamName, cached: &Cached) -> u64 {
        /// Four finished lists take most of it, without their rows.
        const COMPANY_BYTES: usize = 13 * 1_024;
        const ROW_BYTES: usize = 768;
        /// In memory, as JSON and as protobuf.
        const NAME_COPIES: usize = 3;
        let settings = &cached.snapshot.settings;
        let entries = || settings.catalogs.iter().flat_map(|entries| entries.iter());
        let names: usize = entries().map(|entry| entry.name.as_str().len()).sum();
        let rows = entries().count() + settings.businesses.len();
        (COMPANY_BYTES + rows * ROW_BYTES + names * NAME_COPIES) as u64
    }
}
