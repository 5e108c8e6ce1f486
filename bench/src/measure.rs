//! One slice: the load generator against one server, and the figures of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    Result,
    load::{self, Ask, Beside, Phase, Slice, Target, fetch},
    process::{self, Server},
};

const WARM_UP: Duration = Duration::from_millis(300);

const LOOKUPS: &str = "customer_settings_key_lookups_total";
pub(crate) const SNAPSHOT_BYTES: &str = "customer_settings_snapshot_bytes";

/// The figures of one slice.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    pub(crate) median_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
    /// The shares of their processors that the server and the load generator needed.
    pub(crate) server: f64,
    pub(crate) generator: f64,
    pub(crate) rss_mb: f64,
    /// The number of writes, or of refused requests of a flood.
    pub(crate) beside: f64,
    pub(crate) lookups: f64,
}

/// Opens the connections, warms up, and measures for this many seconds.
pub(crate) async fn measure(
    ask: &Ask,
    server: &Server,
    target: &Target,
    seconds: f64,
) -> Result<Measured> {
    let watches_lookups = matches!(ask.beside, Beside::Flood(_));
    let lookups = async || match watches_lookups {
        true => metric(target, LOOKUPS).await,
        false => Ok(0.0),
    };
    let lookups_before = lookups().await?;
    let slice = Slice::new(Phase::WarmUp);
    let beside = slice.sibling();
    let (mut elapsed, mut cpu, mut generator) = (0.0, 0.0, 0.0);
    let director = async {
        sleep(WARM_UP).await;
        let (before, own_before) = (server.cpu_seconds()?, process::cpu_seconds("self")?);
        let started = Instant::now();
        slice.phase.set(Phase::Measuring);
        sleep(Duration::from_secs_f64(seconds)).await;
        slice.phase.set(Phase::Over);
        elapsed = started.elapsed().as_secs_f64();
        cpu = server.cpu_seconds()? - before;
        generator = process::cpu_seconds("self")? - own_before;
        Ok(())
    };
    load::run(ask, target, slice.clone(), beside.clone(), director).await?;
    let lookups = lookups().await? - lookups_before;
    let latencies = slice.latencies.take();
    let requests = latencies.len() as f64;
    let (median_us, p99_us) = quantiles(latencies);
    Ok(Measured {
        requests_per_second: requests / elapsed,
        median_us,
        p99_us,
        cpu_us: cpu * 1e6 / requests,
        server: cpu / elapsed,
        generator: generator / elapsed,
        rss_mb: server.rss_mb()?,
        beside: beside.latencies.borrow().len() as f64 / elapsed,
        lookups,
    })
}

/// The median and the 99th percentile in microseconds.
pub(crate) fn quantiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |hundredths: usize| {
        let at = latencies.get(latencies.len() * hundredths / 100);
        at.map_or(f64::NAN, |at| at.as_secs_f64() * 1e6)
    };
    (at(50), at(99))
}

/// Reads a number from `/metrics`.
pub(crate) async fn metric(target: &Target, name: &str) -> Result<f64> {
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let text = String::from_utf8(fetch(target, request).await?.body)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.map_or(Ok(0.0), str::parse)?)
}

fn sorted<T>(items: &[T], value: impl Fn(&T) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = items.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn median<T>(items: &[T], value: fn(&T) -> f64) -> f64 {
    sorted(items, value).get(items.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the rounds, and the lowest and highest of them.
pub(crate) fn spread<T>(items: &[T], value: fn(&T) -> f64, digits: usize) -> String {
    let values = sorted(items, value);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(low), Some(median), Some(high)) => {
            format!("{median:.digits$} ({low:.digits$}..{high:.digits$})")
        }
        _ => "-".to_owned(),
    }
}
