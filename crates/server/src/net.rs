//! Everything between the socket and the application: connections, TLS, limits, the steps around every
//! request, and stopping. This module knows the application only as a service that answers requests, and
//! knows nothing of companies, keys or settings.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper_util::server::conn::auto;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    config::Config,
    telemetry::{self, CONNECTIONS, CONNECTIONS_REFUSED, TLS_FAILURES},
};

mod at_once;
mod body;
mod callers;
mod client_address;
mod connection;
mod correlation_id;
mod cors;
mod deadline;
mod encrypted;
mod handshakes;
pub(crate) mod http2;
mod idle;
mod manner;
mod operational;
mod pipeline;
mod plain;
mod record;
mod room;
mod shutdown;
mod tls;
mod who;

pub use at_once::{AnswersAtOnce, Head, WholeBody, WholeRequest};
pub use body::BodyLimits;
use callers::Callers;
pub use client_address::{ClientAddress, looks_forwarded};
pub use correlation_id::{CorrelationId, HEADER as X_REQUEST_ID};
pub use deadline::Deadline;
pub use encrypted::Encrypted;
use handshakes::Handshakes;
use http2::first_run::RunFirst;
pub use manner::{Coding, GRPC_ENCODING, Manner};
pub use operational::Readiness;
use operational::{Metrics, Operational};
use pipeline::Pipeline;
pub(crate) use pipeline::panicked;
pub use pipeline::{App, fit_for};
pub use record::RouteLabel;
pub use room::Seat;
pub use shutdown::{Shutdown, reload_on_signal, stop_on_signals};
pub use tls::{Tls, TlsError};
pub use who::Who;

/// Connections that the kernel holds until the server accepts them.
const BACKLOG: u32 = 1_024;

/// The pause after an accept that failed because file descriptors or memory ran out. The next
/// accept fails as well until a connection is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server cannot start. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The server cannot listen on the address.
    #[error("cannot listen on {address}: {}", listen_problem(.source))]
    Listen {
        /// The address from the configuration.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn listen_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not (ports below 1024 often need root)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A server that has its port, and accepts no connection yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    config: Config,
}

/// Takes the port and reads the certificate. Must be called in a tokio runtime.
pub fn bind(config: &Config) -> Result<Bound, ServeError> {
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => Some(Arc::new(Tls::load(cert, key)?)),
        _ => None,
    };
    let failed = |source| ServeError::Listen { address: config.listen, source };
    let listener = listen(config.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address, tls, config: config.clone() })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let (socket, address) = match socket {
        // A machine without IPv6 has no `::`, and `0.0.0.0` covers all its addresses.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            (TcpSocket::new_v4()?, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        other => (other?, address),
    };
    // Without this, connections of the last run that still wait for their end block the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Bound {
    /// The address that the server listens on. If port 0 was asked for, this holds the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// TLS, if it is on, so that the caller can reload the certificate.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Serves until `shutdown` drains, and then until the open requests are finished or the drain time is over.
    /// Calls `answers` once new connections are answered.
    pub async fn serve(
        self,
        app: App,
        readiness: Readiness,
        clock: Arc<dyn Clock>,
        shutdown: Shutdown,
        answers: impl FnOnce(),
    ) {
        telemetry::prometheus();
        let limits = self.config.limits.clone();
        let operational = Operational {
            readiness,
            draining: shutdown.drain_token(),
            metrics: Metrics::new(),
            metrics_allow: self.config.metrics_allow.clone(),
            trusted_proxies: self.config.trusted_proxies.clone(),
        };
        // For this server alone: its own drain time-out must not abort other servers with the same `shutdown`.
        let stop = Shutdown::new();
        // A caller that drops this future wants the connections closed too.
        let _abort = stop.abort_on_drop();
        let callers = Callers::new(&self.config.trusted_proxies, limits.connections, clock.clone());
        let server = Arc::new(Server {
            callers,
            pipeline: Arc::new(Pipeline::new(&self.config, app, operational, clock)),
            protocols: connection::protocols(&limits),
            tls: self.tls,
            handshakes: Handshakes::new(),
            stop: stop.clone(),
        });
        let connections = TaskTracker::new();
        let accepting = async {
            tokio::select! {
                () = accept(self.listener, server, &connections, limits.connections) => {}
                () = telemetry::upkeep() => {}
                () = async { shutdown.draining().await; sleep(limits.drain_delay()).await } => {}
                () = shutdown.aborted() => {}
            }
        };
        answers();
        // This future owns the listener, and closes it when it ends.
        accepting.await;
        stop.drain();
        connections.close();
        tokio::select! {
            finished = timeout(limits.drain_timeout(), connections.wait()) => {
                if finished.is_err() {
                    tracing::warn!(open = connections.len(), "drain time is over: closing what is open");
                }
            }
            () = shutdown.aborted() => {}
        }
        stop.abort();
        connections.wait().await;
    }
}

/// The parts that all connections of a server share.
struct Server {
    callers: Callers,
    pipeline: Arc<Pipeline>,
    protocols: auto::Builder<RunFirst>,
    tls: Option<Arc<Tls>>,
    handshakes: Handshakes,
    stop: Shutdown,
}

/// Accepts connections until the future is dropped. A connection above the limit is closed at once, so that its client
/// knows where it stands. A connection in the kernel's queue would only wait.
async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    connections: &TaskTracker,
    most: usize,
) {
    let places = Arc::new(Semaphore::new(most));
    let mut failing = false;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "cannot accept connections; trying on");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics::counter!(CONNECTIONS_REFUSED).increment(1);
            tracing::debug!(most, "connection refused: too many");
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            metrics::gauge!(CONNECTIONS).increment(1.0);
            server.serve(stream, peer.ip().to_canonical()).await;
            metrics::gauge!(CONNECTIONS).decrement(1.0);
            drop(place);
        });
    }
}

/// Whether the error belongs to one connection that ended before it was accepted. The listener itself works on.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

impl Server {
    async fn serve(&self, stream: TcpStream, peer: IpAddr) {
        let is_let_in = tokio::select! {
            is_let_in = self.callers.let_in(&stream, peer, self.pipeline.room()) => is_let_in,
            () = self.stop.draining() => return,
        };
        if !is_let_in {
            // A reset ends the connection at once. Nobody waits for the farewell that the kernel would exchange.
            let _ = stream.set_zero_linger();
            return self.callers.note_nothing(peer);
        }
        // In a box of its own, so that a connection that waits to be let in takes little memory.
        if !Box::pin(self.came_to_something(stream, peer)).await {
            self.callers.note_nothing(peer);
        }
    }

    /// Serves a connection to its end. Returns whether the connection came to something: false after a
    /// failed handshake, without any answer, or after garbage.
    async fn came_to_something(&self, stream: TcpStream, peer: IpAddr) -> bool {
        // Without this, the kernel holds small answers back to join them with later ones.
        let _ = stream.set_nodelay(true);
        let pipeline = Arc::clone(&self.pipeline);
        let Some(tls) = &self.tls else {
            return connection::serve(stream, peer, &self.protocols, pipeline, &self.stop).await;
        };
        let handshake = timeout(pipeline.limits().handshake_timeout(), async {
            if plain::is_spoken(&stream).await? {
                Box::pin(plain::refuse(stream, &self.stop)).await;
                return Err(io::Error::other("the client speaks plain HTTP"));
            }
            self.handshakes.run(tls.acceptor().accept(stream)).await
        });
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            () = self.stop.draining() => return true,
        };
        let problem = match handshake {
            Ok(Ok(stream)) => {
                return connection::serve(stream, peer, &self.protocols, pipeline, &self.stop)
                    .await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        metrics::counter!(TLS_FAILURES).increment(1);
        tracing::debug!(%peer, problem, "TLS handshake failed");
        false
    }
}
