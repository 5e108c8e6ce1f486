//! The snapshot cache: a company's settings at a revision, with the finished bytes of its lists.
//!
//! A read takes no lock that a write holds, and touches no database while the snapshot is fresh.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use super::queues::Queues;
use crate::{
    catalog::{
        access::Grant,
        entry::{Catalog, Revision},
        error::Result,
        id::CompanyId,
        settings::Settings,
    },
    freshness::{Freshness, Stamp},
    store::Store,
    telemetry,
};

/// Makes the finished bytes of a company's four lists; handed in by `lib.rs`, so that services
/// stay free of protocols.
pub type Render = fn(epoch: u64, settings: &Settings) -> [FinishedList; 4];

/// A list as it is sent.
#[derive(Clone, Debug)]
pub struct FinishedList {
    /// The body.
    pub body: Bytes,
    /// A quoted hash of the body and the store's epoch.
    pub etag: String,
}

/// A company at a revision.
pub struct Snapshot {
    /// Everything there is of it.
    pub settings: Arc<Settings>,
    lists: [FinishedList; 4],
}

impl Snapshot {
    /// The finished bytes of a catalog's list.
    pub fn list(&self, catalog: Catalog) -> &FinishedList {
        &self.lists[catalog.index()]
    }
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
    epoch: u64,
    render: Render,
    cache: Cache<CompanyId, Cached, Weight>,
    publishing: Mutex<()>,
    look_ups: Queues,
}

impl Snapshots {
    /// Nothing is cached yet; `max_bytes` bounds what will be.
    pub fn new(
        store: Arc<dyn Store>,
        freshness: Arc<Freshness>,
        epoch: u64,
        render: Render,
        max_bytes: u64,
    ) -> Self {
        let expected = usize::try_from(max_bytes / 8_192).unwrap_or(usize::MAX).clamp(16, 100_000);
        Self {
            store,
            freshness,
            epoch,
            render,
            cache: Cache::with_weighter(expected, max_bytes, Weight),
            publishing: Mutex::new(()),
            look_ups: Queues::new(),
        }
    }

    /// The company's snapshot, at most as old as the freshness bound; `None` if there is no such
    /// company.
    pub async fn get(&self, grant: &Grant) -> Result<Option<Arc<Snapshot>>> {
        if let Some(fresh) = self.fresh(grant) {
            metrics::counter!(telemetry::SNAPSHOT_READS, "from" => "memory").increment(1);
            return Ok(Some(fresh));
        }
        let _turn = self.look_ups.turn(grant.company()).await;
        if let Some(fresh) = self.fresh(grant) {
            return Ok(Some(fresh));
        }
        metrics::counter!(telemetry::SNAPSHOT_READS, "from" => "store").increment(1);
        self.look_up(grant).await
    }

    /// What this process last saw of the company, however old: for plans, whose commit checks
    /// the revision.
    pub fn last_known(&self, grant: &Grant) -> Option<Arc<Settings>> {
        self.cache.peek(grant.company()).map(|cached| cached.snapshot.settings.clone())
    }

    /// Takes over what a commit of this process just made, unless something newer is here.
    pub fn publish(&self, grant: &Grant, settings: Arc<Settings>, stamp: Stamp) -> Arc<Snapshot> {
        let lists = (self.render)(self.epoch, &settings);
        let snapshot = Arc::new(Snapshot { settings, lists });
        self.keep(grant.company(), Cached { snapshot: snapshot.clone(), stamp });
        snapshot
    }

    /// The stamp for a query or a commit that starts now.
    pub fn stamp(&self) -> Stamp {
        self.freshness.stamp()
    }

    fn fresh(&self, grant: &Grant) -> Option<Arc<Snapshot>> {
        let cached = self.cache.get(grant.company())?;
        self.freshness.is_fresh(cached.stamp).then_some(cached.snapshot)
    }

    async fn look_up(&self, grant: &Grant) -> Result<Option<Arc<Snapshot>>> {
        let stamp = self.stamp();
        if let Some(cached) = self.cache.get(grant.company())
            && self.store.revision(grant).await? == Some(cached.snapshot.settings.revision)
        {
            let snapshot = cached.snapshot;
            self.keep(grant.company(), Cached { snapshot: snapshot.clone(), stamp });
            return Ok(Some(snapshot));
        }
        let stamp = self.stamp();
        match self.store.settings(grant).await? {
            Some(settings) => Ok(Some(self.publish(grant, Arc::new(settings), stamp))),
            None => {
                self.cache.remove(grant.company());
                Ok(None)
            }
        }
    }

    /// Never replaces a newer revision by an older one: a look-up may end after a commit that
    /// began after it.
    fn keep(&self, company: &CompanyId, cached: Cached) {
        let _guard = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let held: Option<Revision> =
            self.cache.peek(company).map(|held| held.snapshot.settings.revision);
        if held.is_none_or(|held| held <= cached.snapshot.settings.revision) {
            self.cache.insert(company.clone(), cached);
        }
        metrics::gauge!(telemetry::SNAPSHOT_BYTES).set(self.cache.weight() as f64);
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<CompanyId, Cached> for Weight {
    /// Bytes, roughly: the finished lists, and what an entry and a location take in memory.
    fn weight(&self, _: &CompanyId, cached: &Cached) -> u64 {
        const COMPANY_BYTES: usize = 1_024;
        const ROW_BYTES: usize = 512;
        let snapshot = &cached.snapshot;
        let bodies: usize = snapshot.lists.iter().map(|list| list.body.len()).sum();
        let rows: usize = snapshot.settings.catalogs.iter().map(Vec::len).sum();
        let rows = rows + snapshot.settings.businesses.len();
        (COMPANY_BYTES + bodies + rows * ROW_BYTES) as u64
    }
}
