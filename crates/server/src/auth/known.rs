//! The secrets that exist: the first bytes of each digest, which tell a key that is not in the cache
//! yet from a made-up one.
//!
//! This file knows neither keys nor limits. If a look-up finds that a secret does not exist, its
//! caller removes it here.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    catalog::key::{KeySecrets, SecretDigest},
    telemetry,
};

/// The most secrets that are remembered. Secrets of further keys are looked up like unknown ones. Each takes 10 to 21
/// bytes, as the set doubles when it is full.
const MOST_KNOWN: usize = 2_000_000;

/// The secrets of all keys, with those that rotations replaced.
#[derive(Default)]
pub(super) struct KnownSecrets(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// The first eight bytes of the digests, which are spread evenly.
    prefixes: HashSet<u64>,
    /// The last write of a key that was read, and the epoch of the data in which it was written.
    sequence: u64,
    epoch: u64,
}

impl KnownSecrets {
    pub(super) fn holds(&self, secret: &SecretDigest) -> bool {
        self.read().prefixes.contains(&prefix(secret))
    }

    /// The write of a key after which reading goes on. In another epoch of the data, reading begins with the first.
    pub(super) fn read_up_to(&self, epoch: u64) -> u64 {
        let known = self.read();
        if known.epoch == epoch { known.sequence } else { 0 }
    }

    /// Adds the secrets that were read after [`Self::read_up_to`].
    pub(super) fn learn(&self, epoch: u64, read: &[KeySecrets]) {
        self.add(read.iter().flat_map(|one| [Some(one.secret), one.previous]).flatten());
        let mut known = self.write();
        if known.epoch != epoch {
            (known.epoch, known.sequence) = (epoch, 0);
        }
        known.sequence = read.iter().map(|one| one.sequence).max().unwrap_or(0).max(known.sequence);
    }

    pub(super) fn add(&self, secrets: impl Iterator<Item = SecretDigest>) {
        let mut known = self.write();
        for secret in secrets {
            if known.prefixes.len() < MOST_KNOWN {
                known.prefixes.insert(prefix(&secret));
            }
        }
        show(&known);
    }

    /// Removes a secret that does not exist: its prefix is another digest's, or it is from before a restore.
    pub(super) fn forget(&self, secret: &SecretDigest) {
        let mut known = self.write();
        known.prefixes.remove(&prefix(secret));
        show(&known);
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show(known: &Known) {
    metrics::gauge!(telemetry::KNOWN_SECRETS).set(known.prefixes.len() as f64);
}

fn prefix(secret: &SecretDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = secret.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: u8) -> SecretDigest {
        SecretDigest([first; 32])
    }

    fn row(sequence: u64, secret: u8, previous: Option<u8>) -> KeySecrets {
        KeySecrets { sequence, secret: digest(secret), previous: previous.map(digest) }
    }

    #[test]
    fn what_was_read_is_known_and_reading_goes_on_behind_it() {
        let known = KnownSecrets::default();
        assert_eq!(known.read_up_to(1), 0);
        known.learn(1, &[row(3, 1, None), row(7, 2, Some(3))]);
        assert!([1, 2, 3].into_iter().all(|one| known.holds(&digest(one))));
        assert!(!known.holds(&digest(4)));
        assert_eq!(known.read_up_to(1), 7);
        known.learn(1, &[]);
        assert_eq!(known.read_up_to(1), 7);
    }

    #[test]
    fn another_life_of_the_data_is_read_from_its_first_key() {
        let known = KnownSecrets::default();
        known.learn(1, &[row(7, 1, None)]);
        assert_eq!(known.read_up_to(2), 0);
        known.learn(2, &[row(2, 2, None)]);
        assert_eq!(known.read_up_to(2), 2);
        assert!(known.holds(&digest(1)) && known.holds(&digest(2)));
        // The first request with that secret finds out that it does not exist.
        known.forget(&digest(1));
        assert!(!known.holds(&digest(1)));
    }
}
