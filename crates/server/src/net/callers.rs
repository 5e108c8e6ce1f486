//! Addresses whose connections come to nothing: that say what is no HTTP, open HTTP/2 and ask for nothing, send heads
//! without end, break off handshakes. Each may have some of them. One that has more waits before anything of its
//! next connections is read, and those that their client has left by then are let go unread, as it costs more to find
//! out what they said than to make them. Knows nothing of what is said on them.

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

/// So many connections of an address may come to nothing at once, and one more each so often: browsers open some in
/// advance, and probes only look whether anybody is there.
const MOST: u32 = 100;
const EVERY: Duration = Duration::from_millis(50);

/// Addresses that are remembered at most; beyond, the least used are forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// Of all connections, no more than one in so many waits for one address.
const SHARE: usize = 10;

/// What is known of those who connect.
pub(super) struct Callers {
    /// Stand for many clients each.
    trusted: Vec<IpNet>,
    most_waiting: u64,
    clock: Arc<dyn Clock>,
    began: Instant,
    /// When an address has made up for its connections: microseconds after `began`.
    made_up: Cache<IpAddr, Arc<AtomicU64>>,
}

impl Callers {
    /// So many connections there may be at once.
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
        // No more than one too many, so that who stops is soon forgiven.
        let latest = now + micros(EVERY * (MOST + 1));
        let more = |until: u64| Some((until.max(now) + micros(EVERY)).min(latest));
        let _ = made_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Has a connection wait whose peer has had too many. Whether it is to be served then.
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
        // Once its client has said something, and once its time has come.
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

/// Whether the client of a connection has left. Waits for a word of it, until then.
async fn has_left(stream: &TcpStream, until: Instant) -> bool {
    let said = timeout_at(until.into(), stream.ready(Interest::READABLE)).await;
    matches!(said, Ok(Ok(ready)) if ready.is_read_closed())
}
