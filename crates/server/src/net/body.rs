//! A request's body on its way in: what is here already is looked at at once, the rest is read on by whoever
//! wants it, and what nobody wants is read away, as far as that is needed for the answer to arrive.

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
use crate::catalog::error::Error;

/// Larger bodies are not those of usual requests.
const MOST_BODY_BYTES: u64 = 4_096;

/// How long a client of HTTP/2 may still send what nobody reads.
const LINGER: Duration = Duration::from_millis(100);

/// Why no more of a body is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// There is no room for it, or no place for its request.
    #[error(transparent)]
    NoRoom(#[from] Error),
}

/// A request's body, of which the first bytes may have been read.
pub(super) struct RequestBody {
    read: Bytes,
    /// None once it is dropped.
    rest: Option<Incoming>,
    /// Why `read` is not all and nothing follows: to be told to whoever reads on, as the rest is silent then.
    broken: Option<hyper::Error>,
    is_http2: bool,
    /// The most bytes that are read, whether or not anybody wants them.
    most: u64,
    /// Bytes that have come.
    come: u64,
    /// Whether the client waits to be asked for it, as far as is known: none of it has come yet.
    is_withheld: bool,
    /// Of the request, so that its connection is kept while what nobody wanted is read away.
    busy: Busy,
    /// Where the request goes the general way.
    general: Option<General>,
}

struct General {
    /// The request's deadline: what nobody wants is read away until then.
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

    /// The whole body, if it is short, here already, and not larger than the limit.
    pub(super) async fn read_at_once(&mut self) -> Option<Bytes> {
        if self.is_withheld {
            // To look for it is to ask for it, and nobody knows yet whether it is wanted.
            return None;
        }
        std::future::poll_fn(|context| Poll::Ready(self.poll_at_once(context))).await
    }

    fn poll_at_once(&mut self, context: &mut Context<'_>) -> Option<Bytes> {
        let most = MOST_BODY_BYTES.min(self.most);
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
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.come += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            // hyper says of a body in chunks that it has not ended, even when its end was read.
            Poll::Ready(None) => self.rest = None,
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

    /// All of it, for the general way of a request with that deadline.
    pub(super) fn into_body(mut self, until: Instant, seat: Seat) -> Body {
        self.general = Some(General { until, seat });
        Body::new(self)
    }

    /// Tells what came of reading on.
    fn account(
        &self,
        polled: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>,
    ) -> Result<(), Error> {
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

    /// Whether whoever read it was left waiting for it.
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
            return Poll::Ready(Some(Err(error.into())));
        }
        let polled = self.poll_rest(context);
        match self.account(&polled) {
            Ok(()) => polled.map_err(BodyError::from),
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
    /// HTTP/2 tells a client whose body is dropped to send no more of it. Some, curl 7.88 among them, forget
    /// the answer then if it comes together with that, so that comes a moment later.
    ///
    /// HTTP/1.1 has no such word. What is not too much is read away, since a client that is cut off while it
    /// sends never looks for its answer; with what is too much, or was waited for in vain, the connection ends.
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
        let (busy, until) = (self.busy.reading_away(), general.until.into());
        runtime.spawn(async move {
            let read = timeout_at(until, read_away(rest, most)).await;
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
