//! Work that runs beside the server: everything that happens without a request, each kind under its name in [`run`].

use std::{future::Future, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{auth::Authenticator, clock::Clock, store::Store, telemetry, wake::Wake};

/// The interval in which the last uses of keys are written.
const LAST_USED_INTERVAL: Duration = Duration::from_secs(60);

/// The interval in which new secrets are looked up, and the longest time that the first look-up may delay a
/// start.
const SECRETS_INTERVAL: Duration = Duration::from_secs(1);
const FIRST_SECRETS_PATIENCE: Duration = Duration::from_secs(5);

/// The interval in which the next expiry of a key is looked up.
const KEY_EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// The interval in which free memory is returned to the system.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);

/// Runs all background work. It never ends: the server drops it after the drain. Until then `checkpoints` writes those
/// of old states, and `health` reports to the protocols.
pub(crate) async fn run(
    store: &dyn Store,
    clock: &dyn Clock,
    wake: &Wake,
    authenticator: &Authenticator,
    checkpoints: impl Future<Output = ()>,
    health: impl Future<Output = ()>,
) {
    tokio::join!(
        wake.follow(store),
        write_last_used(authenticator),
        learn_secrets(authenticator),
        show_key_expiry(store, clock),
        give_memory_back(),
        checkpoints,
        health,
    );
}

/// An interval whose first tick is at once. After work that took longer than the interval, a whole interval
/// follows.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn write_last_used(authenticator: &Authenticator) {
    let mut interval = every(LAST_USED_INTERVAL);
    loop {
        interval.tick().await;
        flush_last_used(authenticator).await;
    }
}

/// Writes the last uses of keys. A failure is only logged; the next time writes these uses too.
pub(crate) async fn flush_last_used(authenticator: &Authenticator) {
    if let Err(error) = authenticator.flush_last_used().await {
        tracing::warn!(%error, "the last uses of keys were not written down");
    }
}

/// Reads the existing secrets before the first request. Existing keys then need no place among possibly
/// made-up keys, even right after the start.
pub(crate) async fn know_secrets_first(authenticator: &Authenticator) {
    let why = match timeout(FIRST_SECRETS_PATIENCE, authenticator.learn_secrets()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:?}"),
        Err(_) => "it takes too long".to_owned(),
    };
    tracing::warn!(why, "which keys exist is not known yet: they share the limits of unknown keys");
}

/// Looks up keys that other programs made. This process knows its own keys at once.
async fn learn_secrets(authenticator: &Authenticator) {
    let mut interval = every(SECRETS_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = authenticator.learn_secrets().await {
            tracing::debug!(?error, "it could not be looked up which keys are new");
        }
    }
}

/// Sets the metric for alerts. If the expiry cannot be read, the next attempt is a minute later.
async fn show_key_expiry(store: &dyn Store, clock: &dyn Clock) {
    let mut interval = every(KEY_EXPIRY_INTERVAL);
    loop {
        interval.tick().await;
        if let Ok(next) = store.next_key_expiry(clock.now()).await {
            let seconds = next.map_or(f64::INFINITY, |next| next.as_micros() as f64 / 1e6);
            metrics::gauge!(telemetry::KEY_EXPIRY).set(seconds);
        }
    }
}

/// Without this, the memory of a flood or a large export would stay for as long as the process lives (24 MB
/// became 125).
async fn give_memory_back() {
    let mut interval = every(MEMORY_INTERVAL);
    loop {
        interval.tick().await;
        // The call waits for locks of the allocator, so it runs on a thread for blocking work.
        let _ = tokio::task::spawn_blocking(customer_settings_memory::give_back).await;
    }
}
