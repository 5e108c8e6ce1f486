//! Answers that need no waiting: bytes that are ready, for callers that are known.
//!
//! Such a request meets nothing of the general way but its record. Whatever is not as usual about
//! it goes the general way, and is refused there if it must be: no rule is written twice.

use std::{
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Uri, Version, header, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use super::{
    client_address::ClientAddress, manner::Manner, record::RouteLabel, watch::Busy, who::Who,
};

/// Larger bodies are not those of usual requests.
const MOST_BODY_BYTES: u64 = 4_096;

/// How long a client of HTTP/2 may still send what nobody reads.
const LINGER: Duration = Duration::from_millis(100);

/// Up to where a body is read, whether or not anybody wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Its bytes, after the answer as before it.
    pub(super) bytes: u64,
    /// The time after the answer.
    pub(super) time: Duration,
}

/// A request's head, wherever it lies: moving requests around costs more than looking at them.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The path and the query.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }

    pub(super) fn of_parts(Parts { method, uri, headers, .. }: &'a Parts) -> Self {
        Self { method, uri, headers }
    }
}

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct ReadyRequest<'a> {
    /// Its head.
    pub head: Head<'a>,
    /// What it speaks; nothing that is refused whatever its path.
    pub manner: Manner,
    /// Its body, which may be empty.
    pub body: &'a [u8],
    /// Where it is from.
    pub client: ClientAddress,
    /// When it arrived, which is just now.
    pub arrived: Instant,
    /// To be filled in, if anybody wants to know.
    pub who: Option<&'a Who>,
}

/// Has answers that are ready.
pub trait ReadyAnswers: Send + Sync {
    /// Answers, if that needs no waiting and is no refusal, and says which method that was.
    fn answer(&self, request: &ReadyRequest<'_>) -> Option<(RouteLabel, Response<ReadyBody>)>;
}

/// The body of an answer that is ready.
#[derive(Debug, Default)]
pub struct ReadyBody {
    /// Everything.
    pub data: Option<Bytes>,
    /// What follows it.
    pub trailers: Option<&'static LazyLock<HeaderMap>>,
}

impl From<Bytes> for ReadyBody {
    fn from(data: Bytes) -> Self {
        Self { data: Some(data), trailers: None }
    }
}

impl ReadyBody {
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.take().map(Frame::data);
        data.or_else(|| self.trailers.take().map(|trailers| Frame::trailers((*trailers).clone())))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64),
            // An answer with trailers announces no length: those of the general way do not.
            Some(_) => SizeHint::default(),
        }
    }
}

/// A request's body, of which the first bytes may have been read.
pub(super) struct RequestBody {
    read: Bytes,
    /// None once it is dropped.
    rest: Option<Incoming>,
    /// Why `read` is not all and nothing follows: to be told to whoever reads on, as the rest is silent then.
    broken: Option<hyper::Error>,
    is_http2: bool,
    limits: BodyLimits,
    /// Bytes that have come.
    come: u64,
    /// Whether the client waits to be asked for it, as far as is known: none of it has come yet.
    is_withheld: bool,
    /// Of the request, so that its connection is kept while what nobody wanted is read away.
    busy: Busy,
}

impl RequestBody {
    pub(super) fn new(rest: Incoming, head: &Parts, limits: BodyLimits, busy: &Busy) -> Self {
        Self {
            read: Bytes::new(),
            rest: Some(rest),
            broken: None,
            is_http2: head.version == Version::HTTP_2,
            limits,
            come: 0,
            is_withheld: head.headers.contains_key(header::EXPECT),
            busy: busy.also(),
        }
    }

    /// The whole body, if it is short, here already, and not larger than the limit.
    pub(super) async fn read_at_once(&mut self) -> Option<Bytes> {
        if self.is_withheld {
            // To look for it is to ask for it, and nobody knows yet whether it is wanted.
            return None;
        }
        std::future::poll_fn(|context| Poll::Ready(self.poll_at_once(context))).await
    }

    fn poll_at_once(&mut self, context: &mut Context<'_>) -> Option<Bytes> {
        let most = MOST_BODY_BYTES.min(self.limits.bytes);
        let is_short = |body: &Self| HttpBody::size_hint(body).lower() <= most;
        while is_short(self) && self.rest.as_ref().is_some_and(|rest| !rest.is_end_stream()) {
            match self.poll_rest(context) {
                // Trailers are for the general way; they end the body.
                Poll::Ready(Some(Ok(frame))) => self.keep(frame.into_data().ok()?),
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(error))) => {
                    (self.broken, self.rest) = (Some(error), None);
                    return None;
                }
                Poll::Pending => return None,
            }
        }
        is_short(self).then(|| self.read.clone())
    }

    fn poll_rest(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(context);
        // Being asked is no promise to send it, nor does an answer that is made at once let hyper ask.
        self.is_withheld &= polled.is_pending();
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.come += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        polled
    }

    fn keep(&mut self, data: Bytes) {
        self.read = match self.read.is_empty() {
            true => data,
            false => BytesMut::from_iter(self.read.iter().chain(&data).copied()).freeze(),
        };
    }

    /// All of it, for the general way.
    pub(super) fn into_body(self) -> Body {
        Body::new(self)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let read = std::mem::take(&mut self.read);
        if !read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        match self.broken.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => self.poll_rest(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.broken.is_none()
            && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map(HttpBody::size_hint).unwrap_or_default();
        let read = self.read.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

impl Drop for RequestBody {
    /// HTTP/2 tells a client whose body is dropped to send no more of it. Some, curl 7.88 among them, forget
    /// the answer then if it comes together with that, so that comes a moment later.
    ///
    /// HTTP/1.1 has no such word. What is not too much is read away, since a client that is cut off while it
    /// sends never looks for its answer; with what is too much, the connection ends.
    fn drop(&mut self) {
        let Some(rest) = self.rest.take().filter(|rest| !rest.is_end_stream()) else { return };
        let BodyLimits { bytes, time } = self.limits;
        let is_too_much = self.come > bytes || rest.size_hint().lower() > bytes;
        if !self.is_http2 && (is_too_much || self.is_withheld) {
            self.busy.spoil();
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.is_http2 {
            runtime.spawn(async move {
                sleep(LINGER).await;
                drop(rest);
            });
            return;
        }
        let busy = self.busy.reading_away();
        runtime.spawn(async move {
            let read = timeout(time, read_away(rest, bytes)).await;
            if read != Ok(true) {
                busy.spoil();
            }
        });
    }
}

/// Whether the body ends within so many bytes.
async fn read_away(mut rest: Incoming, mut bytes: u64) -> bool {
    while let Some(frame) = rest.frame().await {
        let Ok(frame) = frame else { return false };
        let come = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = bytes.checked_sub(come) else { return false };
        bytes = left;
    }
    true
}
