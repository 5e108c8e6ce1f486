//! Work that runs beside the server: everything that happens without a request, each kind under its name in [`run`].

use std::{future::Future, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{auth::Authenticator, clock::Clock, freshness::Freshness, store::Store, telemetry};

/// How often the last uses of keys are written down.
const LAST_USED_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked up which secrets came into being, and how long the first look may hold up a start.
const SECRETS_INTERVAL: Duration = Duration::from_secs(1);
const FIRST_SECRETS_PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked up when the next key expires.
const KEY_EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// How often free memory goes back to the system.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);

/// Never ends: the server drops it when it has drained. `health` reports to the protocols for as long as that.
pub(crate) async fn run(
    store: &dyn Store,
    clock: &dyn Clock,
    freshness: &Freshness,
    authenticator: &Authenticator,
    health: impl Future<Output = ()>,
) {
    tokio::join!(
        freshness.follow(store),
        write_last_used(authenticator),
        learn_secrets(authenticator),
        show_key_expiry(store, clock),
        give_memory_back(),
        health,
    );
}

/// The first time at once; a run that took longer than the interval is followed by a whole one.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn write_last_used(authenticator: &Authenticator) {
    let mut interval = every(LAST_USED_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = authenticator.flush_last_used().await {
            tracing::warn!(%error, "the last uses of keys were not written down");
        }
    }
}

/// Before the first request, so that keys that exist need no place among those that may be made up, not even right
/// after the start.
pub(crate) async fn know_secrets_first(authenticator: &Authenticator) {
    let why = match timeout(FIRST_SECRETS_PATIENCE, authenticator.learn_secrets()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:?}"),
        Err(_) => "it takes too long".to_owned(),
    };
    tracing::warn!(why, "which keys exist is not known yet: they share the limits of unknown keys");
}

/// Keys that other programs made; this one's own are known at once.
async fn learn_secrets(authenticator: &Authenticator) {
    let mut interval = every(SECRETS_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = authenticator.learn_secrets().await {
            tracing::debug!(?error, "it could not be looked up which keys are new");
        }
    }
}

/// For alerts. An expiry that cannot be read just now is shown a minute later.
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

/// A flood's or a large export's memory would stay for as long as the process lives (24 MB became 125).
async fn give_memory_back() {
    let mut interval = every(MEMORY_INTERVAL);
    loop {
        interval.tick().await;
        // It waits for locks of the allocator, so no worker does it.
        let _ = tokio::task::spawn_blocking(customer_settings_memory::give_back).await;
    }
}
