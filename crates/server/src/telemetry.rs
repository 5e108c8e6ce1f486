//! Logs and metrics of the whole process: their destination and their form. Knows nothing of the content, except the
//! names of the metrics that `net` counts.

use std::{
    io::{self, IsTerminal},
    panic,
    sync::OnceLock,
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, filter::Directive, fmt::format::JsonFields};

use crate::config::{Config, LogFormat};

mod json;
mod log;
mod names;
mod process;

pub use names::*;
pub use process::max_fds;

/// Until the upkeep, histograms hold every value: some 24 bytes for each request.
const UPKEEP: Duration = Duration::from_millis(250);

const BUCKETS_WRITES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
const BUCKETS_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The longest time that a program waits at its end for its last lines.
const FAREWELL: Duration = Duration::from_secs(1);

/// The log of this process. Dropping it writes the last lines, or gives up after a second.
#[must_use]
pub struct Log(Option<log::Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush(FAREWELL);
        }
    }
}

/// Sends log lines to standard error from now on, also those of panics. The first call in a process
/// decides the form of the lines.
pub fn init(config: &Config) -> io::Result<Log> {
    // The recorder must be installed before any part of the program creates a metric.
    prometheus();
    let queue = log::Queue::to_stderr()?;
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.log))
        .with_writer(queue.clone())
        // The subscriber would report on standard error that standard error cannot be written.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    let first = if json {
        builder.fmt_fields(JsonFields::new()).event_format(json::Json).try_init()
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

/// The lines that the log gets. The libraries of HTTP/2 and TLS warn of every client that misbehaves, so a flood of such
/// clients would flood the log; the server counts them instead. A level that the configuration gives for such a library
/// overrides this.
fn filter(log: &str) -> EnvFilter {
    EnvFilter::new(format!("h2=error,rustls=error,{log}")).add_directive(without_parameters())
}

/// At level `debug` the database's driver logs the parameters that it sends: rows, and therefore people's data.
fn without_parameters() -> Directive {
    let directive = "tokio_postgres::query=info".parse();
    directive.unwrap_or_else(|error| unreachable!("a test reads it: {error}"))
}

/// The metrics of this process. All servers in the process count into them.
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
        // If this library is part of a program with a recorder of its own, that recorder counts.
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics will be empty");
        }
        names::describe();
        metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}

/// The text of `/metrics`.
pub fn metrics_text() -> String {
    prometheus().render() + &process::text()
}

/// Bounds the memory of the metrics for as long as it runs: it moves the values that histograms collect between two
/// readings of `/metrics` into their buckets.
pub async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        prometheus().run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled, subscriber::with_default};
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;

    #[test]
    fn a_library_warns_of_its_peers_only_where_that_is_wanted() {
        for (log, warns, is_ours_logged) in [
            ("info", false, true),
            ("debug", false, true),
            ("", false, false),
            ("off", false, false),
            ("info,h2=warn", true, true),
            ("h2::proto=trace", true, false),
        ] {
            with_default(Registry::default().with(filter(log)), || {
                let of_h2 = enabled!(target: "h2::proto::streams::streams", Level::WARN);
                assert_eq!(of_h2, warns, "{log}");
                let of_ours = enabled!(Level::WARN);
                assert_eq!(of_ours, is_ours_logged, "{log}");
            });
        }
    }
}
