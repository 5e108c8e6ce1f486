//! Turns: work about one company or key waits for its turn, and seldom for another one's.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// Two ids share a queue now and then; more queues make that rarer.
const QUEUES: u64 = 256;

/// A fixed number of queues, over which ids are spread.
pub(super) struct Queues {
    queues: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self { queues: (0..QUEUES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// Waits for the turn of an id, which lasts until the guard is dropped.
    pub(super) async fn turn(&self, id: &str) -> MutexGuard<'_, ()> {
        let queue = usize::try_from(self.hasher.hash_one(id) % QUEUES).unwrap_or(0);
        self.queues[queue].lock().await
    }
}
