//! A request's body on its way in. The bytes that have arrived are looked at once. The reader of the body reads the
//! rest. If nobody reads it, the rest is read and discarded, as far as the answer needs that to arrive.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Version, header, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout_at},
};

use super::{idle::Busy, room::Seat};
use crate::{catalog::error::Error, config::Limits};

/// Larger bodies do not belong to the small requests that are answered at once.
const MOST_BODY_BYTES: u64 = 4_096;

/// How long a client of HTTP/2 may still send bytes that nobody reads.
const LINGER: Duration = Duration::from_millis(100);

/// The most bytes of a document's body, where all bodies together may have four times that.
const DOCUMENT_BYTES: u64 = 16 << 20;

/// The most bytes of one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Of most requests.
    pub usual: usize,
    /// Of requests that hold documents.
    pub document: usize,
}

impl BodyLimits {
    /// The limits of a server. No body has more than the share of one client.
    pub fn of(limits: &Limits) -> Self {
        let document = DOCUMENT_BYTES.min(limits.bodies_bytes / 4);
        let document = usize::try_from(document).unwrap_or(usize::MAX);
        Self { usual: limits.body_bytes, document: document.max(limits.body_bytes) }
    }

    /// The limit of a request.
    pub fn most(self, is_document: bool) -> usize {
        if is_document { self.document } else { self.usual }
    }
}

/// Why no more of a body is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The body broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The body ended before its end was announced. The library takes that for an end.
    #[error("the body ended before its end was announced")]
    Cut,
    /// There is no room for the body, or no place for its request.
    #[error(transparent)]
    NoRoom(#[from] Error),
}

/// A request's body, of which the first bytes may have been read.
pub(super) struct RequestBody {
    read: Bytes,
    /// `None` once the body is dropped.
    rest: Option<Incoming>,
    /// Why `read` is not the whole body and nothing follows. The next reader is told, because `rest` says nothing then.
    broken: Option<BodyError>,
    is_http2: bool,
    /// The most bytes that are read, whether or not anybody wants them.
    most: u64,
    /// The bytes that have arrived.
    come: u64,
    /// Whether the client waits to be asked for the body, as far as is known: none of it has arrived yet.
    is_withheld: bool,
    /// Holds the connection open while bytes that nobody wanted are discarded.
    busy: Busy,
    /// Set where the request goes the general way.
    general: Option<General>,
}

struct General {
    /// The request's deadline. Bytes that nobody wanted are discarded until then.
    until: Instant,
    seat: Seat,
}

impl RequestBody {
    pub(super) fn new(rest: Incoming, head: &Parts, most: u64, busy: &Busy) -> Self {
        Self {
            read: Bytes::new(),
            rest: Some(rest),
            broken: None,
            is_http2: head.version == Version::HTTP_2,
            most,
            come: 0,
            is_withheld: head.headers.contains_key(header::EXPECT),
            busy: busy.also(),
            general: None,
        }
    }

    /// The whole body, if it is short, has arrived, and is not larger than the limit.
    pub(super) async fn read_at_once(&mut self) -> Option<Bytes> {
        if self.is_withheld {
            // Polling the body asks the client for it, and nobody knows yet whether it is wanted.
            return None;
        }
        std::future::poll_fn(|context| Poll::Ready(self.poll_at_once(context))).await
    }

    fn poll_at_once(&mut self, context: &mut Context<'_>) -> Option<Bytes> {
        let most = MOST_BODY_BYTES.min(self.most);
        let is_short = |body: &Self| HttpBody::size_hint(body).lower() <= most;
        while is_short(self) && self.rest.as_ref().is_some_and(|rest| !rest.is_end_stream()) {
            match self.poll_rest(context) {
                // Trailers end the body. The general way reads them.
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
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *rest).poll_frame(context).map_err(BodyError::from);
        // A client that is asked need not send, and an answer that is made at once keeps hyper from asking.
        self.is_withheld &= polled.is_pending();
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.come += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            Poll::Ready(None) => {
                let is_whole = is_whole(rest, self.is_http2);
                // hyper says of a body in chunks that it has not ended, even when its end was read.
                self.rest = None;
                if !is_whole {
                    return Poll::Ready(Some(Err(BodyError::Cut)));
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn keep(&mut self, data: Bytes) {
        self.read = match self.read.is_empty() {
            true => data,
            false => BytesMut::from_iter(self.read.iter().chain(&data).copied()).freeze(),
        };
    }

    /// The whole body, for the general way of a request with that deadline, to which `most` bytes may belong.
    pub(super) fn into_body(mut self, most: u64, until: Instant, seat: Seat) -> Body {
        self.most = most;
        self.general = Some(General { until, seat });
        Body::new(self)
    }

    /// Tells the seat what the read returned.
    fn account(&self, polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>) -> Result<(), Error> {
        let Some(General { seat, .. }) = &self.general else { return Ok(()) };
        match polled {
            Poll::Pending => seat.waits(self.come),
            Poll::Ready(Some(Err(_))) => Ok(()),
            Poll::Ready(_) => {
                let is_whole = self.rest.as_ref().is_none_or(HttpBody::is_end_stream);
                seat.comes(self.come, is_whole)
            }
        }
    }

    /// Whether the reader of the body still waited for the client.
    fn is_awaited(&self) -> bool {
        self.general.as_ref().is_some_and(|general| general.seat.is_waiting())
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let read = std::mem::take(&mut self.read);
        if !read.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = self.poll_rest(context);
        match self.account(&polled) {
            Ok(()) => polled,
            Err(error) => Poll::Ready(Some(Err(error.into()))),
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
    /// HTTP/2 tells a client whose body is dropped to send no more of it. Some clients, curl 7.88 among them, lose the
    /// answer if it arrives together with that message. So the message is sent a moment later.
    ///
    /// HTTP/1.1 has no such message. A client that is cut off while it sends never looks for its answer, so the
    /// rest of the body is discarded, up to the limit. If the rest is larger, or the request waited for it in vain,
    /// the connection ends.
    fn drop(&mut self) {
        let Some(rest) = self.rest.take().filter(|rest| !rest.is_end_stream()) else { return };
        let most = self.most;
        let is_too_much = self.come > most || rest.size_hint().lower() > most;
        if !self.is_http2 && (is_too_much || self.is_withheld || self.is_awaited()) {
            self.busy.spoil();
            return;
        }
        let (Ok(runtime), Some(general)) = (Handle::try_current(), &self.general) else { return };
        if self.is_http2 {
            runtime.spawn(async move {
                sleep(LINGER).await;
                drop(rest);
            });
            return;
        }
        let (busy, until) = (self.busy.discarding(), general.until.into());
        runtime.spawn(async move {
            let read = timeout_at(until, discard(rest, most)).await;
            if read != Ok(true) {
                busy.spoil();
            }
        });
    }
}

/// Whether a body of which nothing follows arrived whole. A client of HTTP/2 that resets its request with NO_ERROR ends
/// the body for hyper, although the stream has not ended. Over HTTP/1.1, bytes that were announced may be missing.
fn is_whole(body: &Incoming, is_http2: bool) -> bool {
    if is_http2 { body.is_end_stream() } else { body.size_hint().lower() == 0 }
}

/// Whether the body ends within so many bytes.
async fn discard(mut rest: Incoming, mut bytes: u64) -> bool {
    while let Some(frame) = rest.frame().await {
        let Ok(frame) = frame else { return false };
        let come = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = bytes.checked_sub(come) else { return false };
        bytes = left;
    }
    true
}
