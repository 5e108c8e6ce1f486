//! One connection: HTTP/1.1 or HTTP/2 over it, until it is over.

use std::{
    fmt::Display,
    future::poll_fn,
    io,
    net::IpAddr,
    ops::ControlFlow::{self, Break, Continue},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{
    Shutdown,
    http2::wire::{Passed, Wire},
    idle::{GRACE, IdleWatch},
    pipeline::Pipeline,
};
use crate::{config::Limits, telemetry::CONNECTIONS_FLOODED};

/// How long a connection that is closed for doing nothing has to say good-bye.
const FAREWELL: Duration = Duration::from_millis(250);

/// How long, and how much, a client may still send after the last answer of its connection.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGER_BYTES: u64 = 64 << 20;

/// Of that, so much at once, and then a pause: a client that sends rubbish as fast as it can took nine tenths of a
/// processor.
const LINGER_PIECE_BYTES: usize = 64 << 10;
const LINGER_PAUSE: Duration = Duration::from_millis(1);

/// The same for one that is closed for sending too much.
const MOST_FLOOD_BYTES: u64 = 64 << 10;

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams that were reset before we looked at them; more are an attack (CVE-2023-44487).
const MOST_RESET_STREAMS: usize = 20;

/// Runs the requests of HTTP/2: at once, as far as they go. Only what has to wait becomes a task.
#[derive(Clone, Copy)]
pub(super) struct AtOnce;

impl<F> Executor<F> for AtOnce
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut future = Box::pin(future);
        // A task polls it again, so nobody has to be woken.
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(future);
        }
    }
}

/// How every connection is spoken to.
pub(super) fn protocols(limits: &Limits) -> auto::Builder<AtOnce> {
    let mut builder = auto::Builder::new(AtOnce);
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch does this.
        .header_read_timeout(None)
        // More than this is answered 431.
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

/// Serves a connection until it is over.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: IpAddr,
    protocols: &auto::Builder<AtOnce>,
    pipeline: Arc<Pipeline>,
    shutdown: &Shutdown,
) {
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
            let passed = match turn(connection.as_mut(), &wire, watch.answers(), context) {
                Continue(passed) => passed,
                Break(result) => return Poll::Ready(End::Served(result)),
            };
            if passed.is_flooding {
                return Poll::Ready(End::Flooded);
            }
            if watch.poll_over(passed, context).is_ready() {
                return Poll::Ready(End::Over);
            }
            if is_draining {
                // Whoever aborts drains as well.
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
    match end.await {
        End::Served(Ok(())) if watch.is_spoilt() => linger(&wire, shutdown).await,
        End::Served(Ok(())) | End::Left | End::Aborted => {}
        End::Served(Err(error)) => {
            tracing::debug!(%peer, error, "connection failed");
            // It may be told so, in the middle of what it sends.
            linger(&wire, shutdown).await;
        }
        End::Flooded => {
            metrics::counter!(CONNECTIONS_FLOODED).increment(1);
            tracing::debug!(%peer, "connection closed: its client sends more frames than its requests need");
            wire.hold_farewell();
            linger_for(&wire, MOST_FLOOD_BYTES, shutdown).await;
        }
        End::Over => {
            tracing::debug!(%peer, "connection closed: its client did nothing");
            connection.as_mut().graceful_shutdown();
            let farewell = poll_fn(|context| {
                match turn(connection.as_mut(), &wire, watch.answers(), context) {
                    Continue(_) => Poll::Pending,
                    Break(_) => Poll::Ready(()),
                }
            });
            let _ = timeout(FAREWELL, farewell).await;
        }
    }
}

/// Reads on for a while after the last word. What comes for a socket that is closed makes the kernel reset the
/// connection, and a client that sends meets that before it has read its answer.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(wire: &Wire<S>, shutdown: &Shutdown) {
    linger_for(wire, MOST_LINGER_BYTES, shutdown).await;
}

async fn linger_for<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &Wire<S>,
    most_bytes: u64,
    shutdown: &Shutdown,
) {
    let mut wire = wire.clone();
    let discard = async {
        wire.shutdown().await?;
        let (mut piece, mut left) = (vec![0; LINGER_PIECE_BYTES], most_bytes);
        while left > 0 {
            let read = wire.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read as u64);
            sleep(LINGER_PAUSE).await;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        _ = timeout(LINGER, Box::pin(discard)) => {}
        () = async { shutdown.draining().await; sleep(GRACE).await } => {}
        () = shutdown.aborted() => {}
    }
}

/// Gives the connection its turn. How the wire stands then, or how the connection ended.
pub(super) fn turn<S: AsyncWrite + Unpin, E: Display>(
    connection: Pin<&mut impl Future<Output = Result<(), E>>>,
    wire: &Wire<S>,
    answers: u64,
    context: &mut Context<'_>,
) -> ControlFlow<Result<(), String>, Passed> {
    if let Poll::Ready(result) = connection.poll(context) {
        return Break(result.map_err(|error| error.to_string()));
    }
    match wire.end_turn(answers, context) {
        Ok(passed) => Continue(passed),
        Err(error) => Break(Err(error.to_string())),
    }
}

/// Why a connection is served no more.
enum End {
    /// It is over, or broke off.
    Served(Result<(), String>),
    /// Its client did nothing for too long.
    Over,
    /// Its client sends more frames than its requests account for.
    Flooded,
    /// The server stops, and nothing was in flight.
    Left,
    /// The server stops at once.
    Aborted,
}
