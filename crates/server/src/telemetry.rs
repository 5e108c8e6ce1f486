//! Logs and metrics of the whole process: where they go and how they look. Knows nothing of what
//! is logged or counted, but the names of the metrics that `net` counts.

use std::{
    io::{self, IsTerminal},
    panic,
    sync::OnceLock,
    time::Duration,
};

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter,
    filter::{Directive, LevelFilter},
};

use crate::config::{Config, LogFormat};

mod log;

/// Requests that were answered or given up, by protocol, method and code.
pub const REQUESTS: &str = "customer_settings_requests_total";
/// From a request's head to its answer's, by protocol and method.
pub const REQUEST_SECONDS: &str = "customer_settings_request_duration_seconds";
/// Requests that are being worked on.
pub const REQUESTS_IN_FLIGHT: &str = "customer_settings_requests_in_flight";
/// Connections that are open.
pub const CONNECTIONS: &str = "customer_settings_connections";
/// Connections that were closed at once because there were too many.
pub const CONNECTIONS_REFUSED: &str = "customer_settings_connections_refused_total";
/// TLS handshakes that failed or took too long.
pub const TLS_FAILURES: &str = "customer_settings_tls_failures_total";
/// Counter: look-ups of keys in the store.
pub const KEY_LOOKUPS: &str = "customer_settings_key_lookups_total";
/// Counter, by `limit`.
pub const RATE_LIMITED: &str = "customer_settings_rate_limited_total";
/// Counter, by `from` (memory or store).
pub const SNAPSHOT_READS: &str = "customer_settings_snapshot_reads_total";
/// Counter: answers from memory while the store does not answer.
pub const STALE_ANSWERS: &str = "customer_settings_stale_answers_total";
/// Gauge: 1 while the store does not answer.
pub const STORE_AWAY: &str = "customer_settings_store_away";
/// Gauge: bytes.
pub const SNAPSHOT_BYTES: &str = "customer_settings_snapshot_bytes";
/// Counter, by `outcome`.
pub const STORE_WRITES: &str = "customer_settings_store_writes_total";
/// Histogram: writes.
pub const STORE_GROUP_SIZE: &str = "customer_settings_store_group_size";
/// Counter, by `reason` (no_room, unwritable): lines that never reached the log.
pub const LOG_LINES_DROPPED: &str = "customer_settings_log_lines_dropped_total";
/// Panics; each one is a bug.
pub const PANICS: &str = "customer_settings_panics_total";

/// Histograms keep every value until then: some 24 bytes for each request.
const UPKEEP: Duration = Duration::from_millis(250);

const BUCKETS_WRITES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
const BUCKETS_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long a program that ends waits for its last lines to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// The log of this process. What was logged last is written when this is dropped, or given up after a second.
#[must_use]
pub struct Log(Option<log::Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush(FAREWELL);
        }
    }
}

/// Sends log lines to standard error from now on, those of panics included. The first call in a
/// process decides how they look.
pub fn init(config: &Config) -> io::Result<Log> {
    // Before anything holds on to a metric.
    prometheus();
    let queue = log::Queue::to_stderr()?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.log).add_directive(without_parameters()))
        .with_writer(queue.clone())
        // It would tell standard error of what cannot be written there.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    let first = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.try_init()
    };
    if first.is_err() {
        return Ok(Log(None));
    }
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, "panic: {}", info.payload_as_str().unwrap_or("not a text"));
    }));
    Ok(Log(Some(queue)))
}

/// The database's driver logs what it sends at level `debug`: rows, and so people's data.
fn without_parameters() -> Directive {
    let directive = "tokio_postgres::query=info".parse();
    directive.unwrap_or_else(|error| unreachable!("a test reads it: {error}"))
}

/// What is wrong with log directives, if anything. `EnvFilter` itself takes any word for the name
/// of a module, a mistyped level too.
pub fn check_filter(directives: &str) -> Result<(), String> {
    for directive in directives.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{level:?} is no level: use error, warn, info, debug, trace or off"
            ));
        }
    }
    EnvFilter::try_new(directives).map(drop).map_err(|error| error.to_string())
}

/// The metrics of this process. Every server in it counts into the same ones.
pub fn prometheus() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS_SECONDS)
            .and_then(|builder| {
                let group_size = Matcher::Full(STORE_GROUP_SIZE.to_owned());
                builder.set_buckets_for_metric(group_size, &BUCKETS_WRITES)
            })
            .unwrap_or_else(|error| unreachable!("there are buckets: {error}"));
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Where this library is part of a program with a recorder of its own, that one counts.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics will be empty");
        }
        describe();
        handle
    })
}

/// Keeps the metrics' memory bounded, for as long as it runs: what histograms collect between two
/// readings of `/metrics` is folded into their buckets.
pub async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        prometheus().run_upkeep();
    }
}

fn describe() {
    metrics::describe_counter!(REQUESTS, Unit::Count, "Requests that were answered or given up");
    metrics::describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time from a request's head to its answer's"
    );
    metrics::describe_gauge!(REQUESTS_IN_FLIGHT, Unit::Count, "Requests that are being worked on");
    metrics::describe_gauge!(CONNECTIONS, Unit::Count, "Connections that are open");
    metrics::describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections closed because there were too many"
    );
    metrics::describe_counter!(
        TLS_FAILURES,
        Unit::Count,
        "TLS handshakes that failed or took too long"
    );
    metrics::describe_counter!(
        LOG_LINES_DROPPED,
        Unit::Count,
        "Log lines that found no room or could not be written"
    );
    metrics::describe_counter!(PANICS, Unit::Count, "Panics; each one is a bug");
    metrics::describe_counter!(
        KEY_LOOKUPS,
        Unit::Count,
        "Keys that were looked up in the store, not in memory"
    );
    metrics::describe_counter!(RATE_LIMITED, Unit::Count, "Requests refused by a rate limit");
    metrics::describe_counter!(
        SNAPSHOT_READS,
        Unit::Count,
        "Companies' settings that were read, from memory or from the store"
    );
    metrics::describe_gauge!(SNAPSHOT_BYTES, Unit::Bytes, "Settings held in memory, roughly");
    metrics::describe_counter!(STORE_WRITES, Unit::Count, "Writes to the store, by their outcome");
    metrics::describe_histogram!(
        STORE_GROUP_SIZE,
        Unit::Count,
        "Writes that were committed together"
    );
}
