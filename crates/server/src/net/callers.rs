//! Slows down addresses whose connections come to nothing: they send bytes that are not HTTP, open HTTP/2 and ask for
//! nothing, send heads without end, or break off handshakes. Each address may have some such connections. Beyond that,
//! the server waits before it reads anything of the address's next connections, and closes those that their client has
//! left by then, unread. Reading them would cost the server more than making them costs the client. This file knows
//! nothing of what clients say.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ipnet::IpNet;
use quick_cache::sync::Cache;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{sleep_until, timeout_at},
};

use super::{
    client_address::{ClientAddress, lies_in},
    room::Room,
};
use crate::{
    clock::{Clock, micros},
    telemetry::{CONNECTIONS_HELD_UP, CONNECTIONS_REFUSED},
};

/// An address may have `MOST` connections that come to nothing, and one more `EVERY` so often. Browsers open some in
/// advance, and probes only check that the server accepts connections.
const MOST: u32 = 100;
const EVERY: Duration = Duration::from_millis(50);

/// The most addresses that are remembered. Beyond that, the least used are forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// Of all connections, at most one in this many may wait for one address.
const SHARE: usize = 10;

/// The addresses that connected and came to nothing.
pub(super) struct Callers {
    /// Networks of proxies, each of which stands for many clients.
    trusted: Vec<IpNet>,
    most_waiting: u64,
    clock: Arc<dyn Clock>,
    began: Instant,
    /// The moment when an address has made up for its connections, in microseconds after `began`.
    made_up: Cache<IpAddr, Arc<AtomicU64>>,
}

impl Callers {
    /// `connections` is the most connections that the server has at once.
    pub(super) fn new(trusted: &[IpNet], connections: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            trusted: trusted.to_vec(),
            most_waiting: (connections / SHARE).max(1) as u64,
            began: clock.monotonic(),
            clock,
            made_up: Cache::new(MOST_ADDRESSES),
        }
    }

    /// Takes note that a connection of this peer came to nothing.
    pub(super) fn note_nothing(&self, peer: IpAddr) {
        if lies_in(&self.trusted, peer) {
            return;
        }
        let new = || Ok::<_, Infallible>(Arc::default());
        let address = ClientAddress(peer).network();
        let made_up = self.made_up.get_or_insert_with(&address, new);
        let made_up = made_up.unwrap_or_else(|never| match never {});
        let now = self.now();
        // The debt never exceeds the limit by more than one, so that a client that stops is soon forgiven.
        let latest = now + micros(EVERY * (MOST + 1));
        let more = |until: u64| Some((until.max(now) + micros(EVERY)).min(latest));
        let _ = made_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Delays a connection if its peer's address has had too many. Returns whether the connection is to be served.
    pub(super) async fn let_in(&self, stream: &TcpStream, peer: IpAddr, room: &Arc<Room>) -> bool {
        if !self.has_too_many(peer) {
            return true;
        }
        metrics::counter!(CONNECTIONS_HELD_UP).increment(1);
        let Some(paused) = room.hold_up(ClientAddress(peer), self.most_waiting) else {
            metrics::counter!(CONNECTIONS_REFUSED).increment(1);
            return false;
        };
        let until = self.clock.monotonic() + paused.time();
        // Looks twice: when the client has sent something, and when the waiting time is over.
        if has_left(stream, until).await {
            return false;
        }
        sleep_until(until.into()).await;
        !has_left(stream, until).await
    }

    fn has_too_many(&self, peer: IpAddr) -> bool {
        let made_up = self.made_up.get(&ClientAddress(peer).network());
        let most = self.now() + micros(EVERY * MOST);
        made_up.is_some_and(|until| until.load(Ordering::Relaxed) > most)
    }

    fn now(&self) -> u64 {
        micros(self.clock.monotonic().saturating_duration_since(self.began))
    }
}

/// Whether the client of a connection has left. Waits until the client sends something, at most until `until`.
async fn has_left(stream: &TcpStream, until: Instant) -> bool {
    let said = timeout_at(until.into(), stream.ready(Interest::READABLE)).await;
    matches!(said, Ok(Ok(ready)) if ready.is_read_closed())
}
