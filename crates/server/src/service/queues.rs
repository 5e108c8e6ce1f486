//! Queues by id: work about one company or key waits for earlier work about it, and rarely for work about another.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// Two ids rarely share a queue. More queues make that rarer.
const QUEUES: u64 = 256;

pub(super) struct Queues {
    queues: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self { queues: (0..QUEUES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// Waits for earlier work about the id. The next one waits until the guard is dropped.
    pub(super) async fn enter(&self, id: &str) -> MutexGuard<'_, ()> {
        let queue = usize::try_from(self.hasher.hash_one(id) % QUEUES).unwrap_or(0);
        self.queues[queue].lock().await
    }
}
