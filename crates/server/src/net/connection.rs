//! One connection: HTTP/1.1 or HTTP/2 over it, and the watch that closes it when its client does
//! nothing.
//!
//! The watch is our own because hyper's parts leave gaps: its header time-out starts after it has
//! told HTTP/1.1 from HTTP/2, so a silent client is held for ever, it is the idle time-out of
//! HTTP/1.1 at the same time, and HTTP/2 has none, nor has a client that never reads its answer.

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep, timeout},
};

use super::{Shutdown, pipeline::Pipeline};
use crate::{clock::Clock, config::Limits};

/// How long a connection that is closed for doing nothing has to say good-bye.
const FAREWELL: Duration = Duration::from_millis(250);

const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams that were reset before we looked at them; more are an attack (CVE-2023-44487).
const MOST_RESET_STREAMS: usize = 20;

/// How every connection is spoken to.
pub(super) fn protocols(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
    protocols: &auto::Builder<TokioExecutor>,
    pipeline: Arc<Pipeline>,
    shutdown: &Shutdown,
) {
    let watch = Arc::new(Watch::new(pipeline.limits(), pipeline.clock()));
    let service = {
        let watch = Arc::clone(&watch);
        service_fn(move |request| {
            let busy = Busy::new(&watch);
            pipeline.answer(request, peer, busy)
        })
    };
    let io = TokioIo::new(Watched { stream, watch: Arc::clone(&watch) });
    let mut connection = pin!(protocols.serve_connection(io, service));
    let mut expired = pin!(Expiry::new(&watch));
    let mut draining = false;
    loop {
        tokio::select! {
            // The order matters: what the connection has just read moves its expiry.
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection failed");
                }
                return;
            }
            () = shutdown.aborted() => return,
            () = shutdown.draining(), if !draining => {
                connection.as_mut().graceful_shutdown();
                draining = true;
            }
            () = expired.as_mut() => {
                tracing::debug!(%peer, "connection closed: its client did nothing");
                connection.as_mut().graceful_shutdown();
                let _ = timeout(FAREWELL, connection).await;
                return;
            }
        }
    }
}

/// What a connection's client has done, and until when it must do something.
struct Watch {
    header_timeout: Duration,
    idle_timeout: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    /// Requests whose answers are not sent yet.
    requests: usize,
    /// When that became none.
    idle_since: Instant,
    /// Whether there was any request.
    used: bool,
    /// When the client sent its first byte since then.
    heard: Option<Instant>,
    /// Since when the client takes nothing of what we send.
    stuck: Option<Instant>,
    /// How many bytes of HTTP/2's opening were seen, from the first on.
    opening: usize,
    /// Whether these bytes are all, or still can be.
    http2: bool,
}

/// What every HTTP/2 client says first.
const HTTP2_OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Watch {
    fn new(limits: &Limits, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            requests: 0,
            idle_since: clock.monotonic(),
            used: false,
            heard: None,
            stuck: None,
            opening: 0,
            http2: true,
        };
        Self {
            header_timeout: limits.header_timeout(),
            idle_timeout: limits.idle_timeout(),
            clock,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        for byte in bytes.iter().take(HTTP2_OPENING.len() - state.opening) {
            state.http2 &= *byte == HTTP2_OPENING[state.opening];
            state.opening += 1;
        }
        if state.requests == 0 && state.heard.is_none() {
            state.heard = Some(self.clock.monotonic());
        }
    }

    fn wrote(&self, progress: bool) {
        let mut state = self.state();
        if progress {
            state.stuck = None;
        } else if state.stuck.is_none() {
            state.stuck = Some(self.clock.monotonic());
        }
    }

    fn expires(&self) -> Option<Instant> {
        let state = self.state();
        if let Some(stuck) = state.stuck {
            return Some(stuck + self.idle_timeout);
        }
        if state.requests > 0 {
            return None;
        }
        let is_http2 = state.http2 && state.opening == HTTP2_OPENING.len();
        Some(match state.heard {
            // An HTTP/2 client may send frames and pings all day without a request.
            _ if is_http2 => state.idle_since + self.idle_timeout,
            Some(heard) => heard + self.header_timeout,
            None if state.used => state.idle_since + self.idle_timeout,
            None => state.idle_since + self.header_timeout,
        })
    }
}

/// A request whose answer is not sent yet.
pub(super) struct Busy(Arc<Watch>);

impl Busy {
    fn new(watch: &Arc<Watch>) -> Self {
        let mut state = watch.state();
        state.requests += 1;
        state.used = true;
        drop(state);
        Self(Arc::clone(watch))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        if state.requests == 0 {
            state.idle_since = self.0.clock.monotonic();
            state.heard = None;
        }
    }
}

/// Is over when the connection's time is. It must be polled after whatever may bring that nearer.
///
/// What puts it off needs no poll, and no work for every request: the timer then fires too early,
/// and is set again.
struct Expiry<'a> {
    watch: &'a Watch,
    armed: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Expiry<'a> {
    fn new(watch: &'a Watch) -> Self {
        Self { watch, armed: None, timer: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl Future for Expiry<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let expires = self.watch.expires();
            let armed = match (self.armed, expires) {
                (Some(armed), None) => armed,
                (Some(armed), Some(moment)) if armed <= moment => armed,
                (_, Some(moment)) => self.arm(moment),
                // While there are requests there is no such moment; then one after them is looked for.
                (None, None) => {
                    let later = self.watch.clock.monotonic() + self.watch.idle_timeout;
                    self.arm(later)
                }
            };
            ready!(self.timer.as_mut().poll(context));
            if expires.is_some_and(|moment| moment <= armed) {
                return Poll::Ready(());
            }
            self.armed = None;
        }
    }
}

impl Expiry<'_> {
    fn arm(&mut self, moment: Instant) -> Instant {
        self.armed = Some(moment);
        self.timer.as_mut().reset(moment.into());
        moment
    }
}

/// A stream that tells the watch what passes through it.
struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.watch.read(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.wrote(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch.wrote(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch.wrote(polled.is_ready());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
