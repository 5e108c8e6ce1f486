//! The honest client: it sends requests at a steady pace, and measures the answers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::ClientConfig;
use tokio::time::Instant;

use super::blocking::{Buffer, Stream, connect_from};
use crate::{
    Result,
    load::{get, list, with_body},
    measure::quantiles,
};

/// A connection sends a request in each of these intervals, and later if an answer is late. By default a key
/// may send 1,000 requests per second.
const EVERY: Duration = Duration::from_micros(1_100);

/// The honest client's own address. The floods come from 127.0.0.1, and the server holds their address up.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The pause before a connection is opened again.
const PAUSE: Duration = Duration::from_millis(10);

/// The result of a measurement.
pub(super) struct Served {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
    /// Requests without an answer, or with another status than 200.
    pub(super) failed: usize,
}

/// The connections, each with a request and a key of its own.
pub(super) struct Honest {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) keys: Vec<String>,
}

#[derive(Default)]
struct Counts {
    latencies: Mutex<Vec<Duration>>,
    failed: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Honest {
    /// Sends requests for so many seconds.
    pub(super) fn ask(&self, seconds: f64) -> Served {
        let counts = Counts::default();
        let started = Instant::now();
        thread::scope(|scope| {
            for (number, key) in self.keys.iter().enumerate() {
                let request = match number {
                    0 => get(key, "/admin/v1/companies/cmp_20/customer_tags?pageSize=10", ""),
                    1 => list(key, "cmp_100", ""),
                    _ => with_body("POST", key, &crate::load::path("cmp_100"), "{}"),
                };
                let counts = &counts;
                scope.spawn(move || self.ask_on_and_on(&request, counts));
            }
            thread::sleep(Duration::from_secs_f64(seconds));
            counts.is_over.store(true, Ordering::Relaxed);
        });
        let elapsed = started.elapsed().as_secs_f64();
        let latencies = counts.latencies.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = counts.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = failed.first() {
            eprintln!("floods: the honest client met: {first}");
        }
        let per_second = latencies.len() as f64 / elapsed;
        let (_, p99_us) = quantiles(latencies);
        Served { per_second, p99_ms: p99_us / 1e3, failed: failed.len() }
    }

    fn ask_on_and_on(&self, request: &[u8], counts: &Counts) {
        let mut connection = None;
        while !counts.is_over.load(Ordering::Relaxed) {
            let started = Instant::now();
            match self.ask_once(request, &mut connection) {
                Ok(()) => {
                    let took = started.elapsed();
                    let latencies = counts.latencies.lock();
                    latencies.unwrap_or_else(PoisonError::into_inner).push(took);
                    thread::sleep(EVERY.saturating_sub(took));
                }
                Err(error) => {
                    let failed = counts.failed.lock();
                    failed.unwrap_or_else(PoisonError::into_inner).push(error.to_string());
                    connection = None;
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn ask_once(&self, request: &[u8], connection: &mut Option<Box<dyn Stream>>) -> Result<()> {
        let stream = match connection {
            Some(stream) => stream,
            None => connection.insert(connect_from(SOURCE, self.address, self.tls.as_ref())?),
        };
        stream.write_all(request)?;
        stream.flush()?;
        match Buffer::default().read_answer(&mut **stream)? {
            200 => Ok(()),
            status => Err(format!("a request was answered {status}").into()),
        }
    }
}
