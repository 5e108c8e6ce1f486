//! From a credential to a [`Holder`]: the cache of keys, and the limits that come before it.
//!
//! This module knows no protocol: it gets the bytes of the `Authorization` value and the client's address.

use std::{
    array::from_fn,
    convert::Infallible,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock as _};
use quick_cache::sync::Cache;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use self::known::KnownSecrets;
use crate::{
    catalog::{
        access::Holder,
        error::{CredentialMistake, Error, Limit, Result},
        id::KeyId,
        key::{Key, SecretDigest},
        network,
        time::Timestamp,
    },
    clock::Clock,
    freshness::{Freshness, Slot, Stamp},
    store::{Store, StoreError},
    telemetry,
};

pub mod api_key;
pub(crate) mod credential;
mod known;
pub mod sessions;

/// The most keys and addresses that are remembered. Beyond that, the least used are forgotten.
const MAX_CACHED_KEYS: usize = 100_000;
const MAX_ADDRESSES: usize = 10_000;
/// The most secrets that one look-up of the existing secrets reads.
const SECRETS_PAGE: u32 = 10_000;
/// The least seconds between two stored last uses of a key.
const LAST_USED_STEP_SECONDS: i64 = 300;

/// The limits of [`Authenticator`]. 0 counts as 1.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests per second with one key.
    pub key_requests_per_second: u32,
    /// Requests with one key that may come at once.
    pub key_burst: u32,
    /// Look-ups per second, for one address, of secrets that are not known to exist.
    pub unknown_keys_per_address: u32,
    /// Look-ups per second of such secrets, for all addresses together.
    pub unknown_keys_in_all: u32,
}

/// Finds the holder of a request's key.
pub struct Authenticator {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    freshness: Arc<Freshness>,
    accept_bare_base64: bool,
    limits: Limits,
    keys: Cache<SecretDigest, Arc<CachedKey>>,
    /// The keys in values of `Authorization`, by the values' SHA-256.
    recognized: Cache<[u8; 32], Recognized>,
    /// Stored apart from the keys, as both secrets of a rotated key count together.
    usages: Cache<KeyId, Arc<Usage>>,
    secrets: KnownSecrets,
    unknown_by_address: Cache<IpAddr, Arc<DefaultDirectRateLimiter>>,
    unknown_in_all: DefaultDirectRateLimiter,
    /// One set for secrets that exist, one for others, so that made-up keys hold up no existing ones.
    locks: [Locks; 2],
}

/// One lock for each first byte of a digest. Digests are spread evenly over it.
type Locks = [tokio::sync::Mutex<()>; 256];

#[derive(Clone)]
struct Recognized {
    known: Arc<CachedKey>,
    secret: SecretDigest,
}

struct CachedKey {
    key: Key,
    /// The holder, without an address.
    holder: Holder,
    stamp: Stamp,
    usage: Arc<Usage>,
}

/// The state of a key that outlives a refresh of the cached key.
struct Usage {
    limiter: DefaultDirectRateLimiter,
    last_used: AtomicI64,
    written: AtomicI64,
}

impl Authenticator {
    /// An authenticator that knows no key yet.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        freshness: Arc<Freshness>,
        limits: Limits,
        accept_bare_base64: bool,
    ) -> Self {
        Self {
            store,
            clock,
            freshness,
            accept_bare_base64,
            limits,
            keys: Cache::new(MAX_CACHED_KEYS),
            recognized: Cache::new(MAX_CACHED_KEYS),
            usages: Cache::new(MAX_CACHED_KEYS),
            secrets: KnownSecrets::default(),
            unknown_by_address: Cache::new(MAX_ADDRESSES),
            unknown_in_all: RateLimiter::direct(per_second(limits.unknown_keys_in_all)),
            locks: from_fn(|_| from_fn(|_| tokio::sync::Mutex::new(()))),
        }
    }

    /// The holder of the key in the values of `Authorization`, for a client with this address.
    ///
    /// `found` gets the key's id as soon as the key is found, also if the key is refused afterwards.
    ///
    /// If the store does not answer, the error is UNAVAILABLE and never a refusal: clients read a refusal as "not
    /// bought" and skip data for good.
    pub async fn authenticate<'a>(
        &self,
        mut authorization: impl Iterator<Item = &'a [u8]>,
        address: IpAddr,
        found: impl FnOnce(&KeyId),
    ) -> Result<Holder> {
        let Some(value) = authorization.next() else {
            return Err(Error::NoCredential);
        };
        if authorization.any(|other| other != value) {
            return Err(Error::MalformedCredential(CredentialMistake::Several));
        }
        let credential = credential::parse(value, self.accept_bare_base64)?;
        let secret = credential.secret.expose_secret();
        let digest = api_key::digest(secret);
        let cached = match self.fresh(&digest) {
            Some(cached) => cached,
            None => self.look_up_once(digest, secret, address, credential.if_unknown).await?,
        };
        found(&cached.key.id);
        let holder = self.admit(&cached, address, &digest)?;
        check(&cached.usage.limiter, Limit::Key)?;
        let recognized = Recognized { known: cached, secret: digest };
        self.recognized.insert(Sha256::digest(value).into(), recognized);
        Ok(holder)
    }

    /// The result of `then` for the holder of a key in the cache, where neither needs a look-up or a refusal. `None`
    /// says nothing about the key, and does not count against its limit.
    pub fn recognize<T>(
        &self,
        authorization: &[u8],
        address: IpAddr,
        now: Instant,
        then: impl FnOnce(Holder) -> Option<T>,
    ) -> Option<T> {
        let value: [u8; 32] = Sha256::digest(authorization).into();
        let Recognized { known, secret } = self.recognized.get(&value)?;
        if !self.freshness.is_fresh_at(known.stamp, now) {
            return None;
        }
        let made = then(self.admit(&known, address, &secret).ok()?)?;
        known.usage.limiter.check().ok()?;
        Some(made)
    }

    /// Reads the secrets that were added since the last call. A request with one of them is looked up outside the
    /// limits of made-up secrets, so that a flood of made-up keys cannot hold up a key that is not in the cache yet.
    pub async fn learn_secrets(&self) -> Result<(), StoreError> {
        loop {
            let epoch = self.freshness.epoch();
            let page = self.store.secrets(self.secrets.read_up_to(epoch), SECRETS_PAGE);
            let page = self.freshness.unless_gone(page).await?;
            self.secrets.learn(epoch, &page);
            if page.len() < SECRETS_PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Updates the cache after a write of this process, so that no request is answered by the old key, even while
    /// the store does not answer. `before` is `None` if the write made the key. `after` is `None` if the outcome of
    /// the write is unknown.
    pub fn take_over(&self, before: Option<&Key>, after: Option<&Key>) {
        self.secrets.add(after.into_iter().flat_map(Key::secrets));
        let Some(before) = before else { return };
        let Some(after) = after else { return };
        for secret in before.secrets() {
            let Some(known) = self.keys.get(&secret) else { continue };
            if after.secrets().all(|left| left != secret) {
                self.keys.remove(&secret);
                continue;
            }
            let (key, holder) = (after.clone(), after.holder());
            let (stamp, usage) = (known.stamp, known.usage.clone());
            self.keys.insert(secret, Arc::new(CachedKey { key, holder, stamp, usage }));
        }
    }

    /// The holder of a key for a person who showed this secret of it, or who came by a link: within the same limits as
    /// requests with the key.
    fn admit_person(
        &self,
        key: &Key,
        secret: Option<&SecretDigest>,
        address: IpAddr,
    ) -> Result<Holder> {
        key.admit(self.clock.now(), address, secret.unwrap_or(&key.secret))?;
        check(&self.usage_of(&key.id).limiter, Limit::Key)?;
        let mut holder = key.holder();
        holder.actor.address = Some(address.to_canonical());
        Ok(holder)
    }

    /// Notes that a person uses a key.
    fn is_used(&self, key: &KeyId) {
        self.usage_of(key).last_used.store(self.clock.now().as_micros(), Ordering::Relaxed);
    }

    fn admit(&self, known: &CachedKey, address: IpAddr, digest: &SecretDigest) -> Result<Holder> {
        let now = self.clock.now();
        known.key.admit(now, address, digest)?;
        known.usage.last_used.store(now.as_micros(), Ordering::Relaxed);
        let mut holder = known.holder.clone();
        // A dual-stack listener shows IPv4 peers as `::ffff:a.b.c.d`.
        holder.actor.address = Some(address.to_canonical());
        Ok(holder)
    }

    /// Stores when keys were last used, at most once in five minutes for each key.
    pub async fn flush_last_used(&self) -> Result<()> {
        let mut uses: Vec<(KeyId, Timestamp)> = Vec::new();
        let mut written = Vec::new();
        for (id, usage) in self.usages.iter() {
            let last_used = usage.last_used.load(Ordering::Relaxed);
            let step = LAST_USED_STEP_SECONDS * 1_000_000;
            if last_used > usage.written.load(Ordering::Relaxed) + step {
                uses.push((id, Timestamp::from_micros(last_used)));
                written.push((usage, last_used));
            }
        }
        if uses.is_empty() {
            return Ok(());
        }
        self.store.touch_keys(&uses).await?;
        for (usage, last_used) in written {
            usage.written.store(last_used, Ordering::Relaxed);
        }
        Ok(())
    }

    fn fresh(&self, digest: &SecretDigest) -> Option<Arc<CachedKey>> {
        self.keys.get(digest).filter(|cached| self.freshness.is_fresh(cached.stamp))
    }

    /// Looks up a key that is not fresh in the cache. Requests that want the same key at once share the look-up. They
    /// also share one place within the limits of unknown keys, if the secret is not known to exist.
    async fn look_up_once(
        &self,
        digest: SecretDigest,
        secret: &str,
        address: IpAddr,
        if_unknown: Error,
    ) -> Result<Arc<CachedKey>> {
        if api_key::is_mistyped(secret) {
            self.limit_unknown(address)?;
            return Err(Error::UnknownKey);
        }
        let held = || self.keys.get(&digest).map(|known| (known.clone(), known.stamp));
        let exists = self.secrets.holds(&digest);
        let [of_keys, of_others] = &self.locks;
        let locks = if exists { of_keys } else { of_others };
        let lock = locks[usize::from(digest.0[0])].lock();
        let may_look_up = || match exists || held().is_some() {
            true => Ok(()),
            // Another program may have made the key just now, so the secret is looked up within the limits.
            false => {
                self.limit_unknown(address)?;
                check(&self.unknown_in_all, Limit::UnknownKeys)
            }
        };
        let served = self.freshness.serve(held, lock, may_look_up, self.look_up(digest)).await?;
        served.map(|served| served.value).ok_or_else(|| {
            self.keys.remove(&digest);
            if exists {
                self.secrets.forget(&digest);
            }
            if_unknown
        })
    }

    async fn look_up(&self, digest: SecretDigest) -> Result<Option<Arc<CachedKey>>, StoreError> {
        let stamp = self.freshness.stamp(Slot::KEYS);
        metrics::counter!(telemetry::KEY_LOOKUPS).increment(1);
        let Some(key) = self.store.key_by_secret(&digest).await? else {
            return Ok(None);
        };
        let usage = self.usage_of(&key.id);
        let holder = key.holder();
        let cached = Arc::new(CachedKey { key, holder, stamp, usage });
        self.keys.insert(digest, cached.clone());
        Ok(Some(cached))
    }

    fn usage_of(&self, id: &KeyId) -> Arc<Usage> {
        let new_usage = || Ok::<_, Infallible>(Arc::new(self.new_usage()));
        let usage = self.usages.get_or_insert_with(id, new_usage);
        usage.unwrap_or_else(|never| match never {})
    }

    fn new_usage(&self) -> Usage {
        let burst = NonZeroU32::new(self.limits.key_burst).unwrap_or(NonZeroU32::MIN);
        let quota = per_second(self.limits.key_requests_per_second).allow_burst(burst);
        Usage {
            limiter: RateLimiter::direct(quota),
            last_used: AtomicI64::new(0),
            written: AtomicI64::new(0),
        }
    }

    fn limit_unknown(&self, address: IpAddr) -> Result<()> {
        let quota = per_second(self.limits.unknown_keys_per_address);
        let limiter = self
            .unknown_by_address
            .get_or_insert_with(&network::of_client(address), || {
                Ok::<_, Infallible>(Arc::new(RateLimiter::direct(quota)))
            })
            .unwrap_or_else(|never| match never {});
        check(&limiter, Limit::UnknownKeys)
    }
}

fn per_second(requests: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN))
}

fn check(limiter: &DefaultDirectRateLimiter, limit: Limit) -> Result<()> {
    limiter.check().map_err(|until| {
        let wait = until.wait_time_from(limiter.clock().now());
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        metrics::counter!(telemetry::RATE_LIMITED, "limit" => limit.reason()).increment(1);
        Error::TooManyRequests { limit, retry_after_ms }
    })
}
