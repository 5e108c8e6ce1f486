//! Reading and changing one company's settings.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    queues::Queues,
    snapshot::{Snapshot, Snapshots},
};
use crate::{
    catalog::{
        access::Grant,
        change::Change,
        entry::Revision,
        error::{Error, Result},
        plan::{Context, plan},
    },
    clock::Clock,
    store::{Store, StoreError},
};

/// The longest pause before a change that lost to another process is planned again.
const MAX_PAUSE_MS: u64 = 50;

/// Reads and changes settings.
pub struct SettingsService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshots: Arc<Snapshots>,
    /// The writers of one company wait for each other here rather than in conflicts.
    writers: Queues,
}

impl SettingsService {
    /// Reads from the snapshots, writes to the store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, snapshots: Arc<Snapshots>) -> Self {
        Self { store, clock, snapshots, writers: Queues::new() }
    }

    /// The company as it is, at most as old as the freshness bound; `None` if there is none.
    pub async fn get(&self, grant: &Grant) -> Result<Option<Arc<Snapshot>>> {
        self.snapshots.get(grant).await
    }

    /// Plans and commits a change, and plans it again where another process wrote first, until
    /// the deadline. Answers the company's revision before and after.
    pub async fn change(
        &self,
        grant: &Grant,
        change: &Change,
        deadline: Instant,
    ) -> Result<Changed> {
        let _turn = self.writers.turn(grant.company()).await;
        loop {
            let current = self.store.settings(grant).await?;
            let context =
                Context { actor: grant.actor(), now: self.clock.now(), new_id: &super::new_id };
            let before = current.as_ref().map_or(Revision(0), |settings| settings.revision);
            let Some(plan) = plan(grant.company(), current.as_ref(), change, &context)? else {
                return Ok(Changed { before, after: before });
            };
            let stamp = self.snapshots.stamp();
            match self.store.commit(grant, &plan).await {
                Ok(()) => {
                    let after = plan.after.revision;
                    self.snapshots.publish(grant, plan.after, stamp);
                    return Ok(Changed { before, after });
                }
                Err(StoreError::Conflict) if self.clock.monotonic() < deadline => pause().await,
                Err(StoreError::Conflict) => {
                    return Err(Error::Contended {
                        company: grant.company().clone(),
                        revision: before,
                    });
                }
                Err(other) => return Err(other.into()),
            }
        }
    }
}

/// What a change did; equal revisions mean that there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The revision before; 0 where the company was made.
    pub before: Revision,
    /// The revision now.
    pub after: Revision,
}

/// A random pause, so that two processes do not keep meeting.
async fn pause() {
    let pause_ms = RandomState::new().hash_one(()) % MAX_PAUSE_MS;
    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
}
