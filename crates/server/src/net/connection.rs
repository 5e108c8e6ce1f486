//! One connection from its beginning to its end: HTTP/1.1 or HTTP/2 over it.

use std::{
    error::Error,
    future::poll_fn,
    net::IpAddr,
    ops::ControlFlow::{Break, Continue},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use h2::Reason;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    Shutdown,
    http2::{
        first_run::RunFirst,
        linger::{linger, linger_after_fault},
        wire::{BoxError, Wire, poll_connection},
    },
    idle::IdleWatch,
    pipeline::Pipeline,
};
use crate::{config::Limits, telemetry::CONNECTIONS_FLOODED};

/// How long the server says good-bye to a connection that it closes because its client did nothing.
const FAREWELL: Duration = Duration::from_millis(250);

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests that their client reset before the server looked at them. More of them are an attack (CVE-2023-44487).
const MOST_RESET_STREAMS: usize = 20;

/// The settings of HTTP for all connections.
pub(super) fn protocols(limits: &Limits) -> auto::Builder<RunFirst> {
    let mut builder = auto::Builder::new(RunFirst);
    builder
        .http1()
        .timer(TokioTimer::new())
        // `IdleWatch` replaces it.
        .header_read_timeout(None)
        // Larger heads are answered with 431.
        .max_buf_size(limits.header_bytes)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams_per_connection)
        .max_pending_accept_reset_streams(MOST_RESET_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Serves a connection to its end. Returns whether it came to something: the client got an answer, and
/// sent no garbage after that.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: IpAddr,
    protocols: &auto::Builder<RunFirst>,
    pipeline: Arc<Pipeline>,
    shutdown: &Shutdown,
) -> bool {
    let wire = Wire::new(stream, pipeline.limits().streams_per_connection);
    let mut watch = IdleWatch::new(pipeline.limits(), pipeline.clock());
    let begin = watch.begin();
    let service = service_fn(move |request| pipeline.answer(request, peer, begin()));
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(wire.clone()), service));
    let mut draining = pin!(shutdown.draining());
    let mut aborted = pin!(shutdown.aborted());
    let mut is_draining = false;
    let end = poll_fn(|context| {
        loop {
            let passed = match poll_connection(connection.as_mut(), &wire, watch.answers(), context)
            {
                Continue(passed) => passed,
                Break(result) => return Poll::Ready(End::of(result)),
            };
            if passed.is_flooding {
                return Poll::Ready(End::Flooded { is_told: false });
            }
            if watch.poll_over(passed, context).is_ready() {
                return Poll::Ready(End::Over);
            }
            if is_draining {
                // An abort drains as well, so this look comes only after the drain.
                return match aborted.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(End::Aborted),
                    Poll::Pending => watch.poll_left(passed, context).map(|()| End::Left),
                };
            }
            match draining.as_mut().poll(context) {
                Poll::Ready(()) => connection.as_mut().graceful_shutdown(),
                Poll::Pending => return Poll::Pending,
            }
            is_draining = true;
        }
    });
    let end = end.await;
    let came_to_something = watch.answers() > 0 && !end.is_for_garbage();
    match end {
        End::Served(Ok(())) if watch.is_spoilt() => linger(&wire, shutdown).await,
        End::Served(Ok(())) | End::Left | End::Aborted => {}
        End::Served(Err(error)) => {
            tracing::debug!(%peer, %error, "connection failed");
            // The client may get an answer about its error while it still sends.
            linger(&wire, shutdown).await;
        }
        End::Broken => {
            tracing::debug!(%peer, "connection closed: its client broke HTTP/2");
            linger_after_fault(&wire, shutdown).await;
        }
        End::Flooded { is_told } => {
            metrics::counter!(CONNECTIONS_FLOODED).increment(1);
            tracing::debug!(%peer, "connection closed: its client sends more frames than its requests need");
            if !is_told {
                wire.hold_farewell();
            }
            linger_after_fault(&wire, shutdown).await;
        }
        End::Over => {
            tracing::debug!(%peer, "connection closed: its client did nothing");
            connection.as_mut().graceful_shutdown();
            let farewell = poll_fn(|context| {
                match poll_connection(connection.as_mut(), &wire, watch.answers(), context) {
                    Continue(_) => Poll::Pending,
                    Break(_) => Poll::Ready(()),
                }
            });
            let _ = timeout(FAREWELL, farewell).await;
        }
    }
    came_to_something
}

/// Why a connection is no longer served.
enum End {
    /// HTTP ended the connection, or failed.
    Served(Result<(), BoxError>),
    /// Its client did nothing for too long.
    Over,
    /// Its client sends more frames than its requests explain, and may have been told by the library of HTTP/2.
    Flooded { is_told: bool },
    /// The library of HTTP/2 ended the connection for what its client sent.
    Broken,
    /// The server stops, and the connection had no open request.
    Left,
    /// The server stops at once.
    Aborted,
}

impl End {
    fn of(result: Result<(), BoxError>) -> Self {
        match result.as_ref().err().and_then(|error| fault_of_http2(&**error)) {
            Some(fault) if fault.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
                Self::Flooded { is_told: true }
            }
            Some(_) => Self::Broken,
            None => Self::Served(result),
        }
    }

    /// Whether the client sent bytes that no client needs to send.
    fn is_for_garbage(&self) -> bool {
        match self {
            Self::Flooded { .. } | Self::Broken => true,
            Self::Served(Err(error)) => {
                error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
            }
            _ => false,
        }
    }
}

/// The fault of a client for which the library of HTTP/2 ended a connection.
fn fault_of_http2<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a h2::Error> {
    let cause = error.downcast_ref::<hyper::Error>()?.source()?;
    cause.downcast_ref().filter(|cause: &&h2::Error| cause.is_library())
}
