//! Answers at once: finished bytes, for callers that are known, with nothing to wait for.
//!
//! Such a request meets nothing of the general way but its record. A request that is not as usual goes the general
//! way, and is refused there if it must be: no rule is written twice.

use std::{sync::LazyLock, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts};
use http_body::{Frame, SizeHint};

use super::{client_address::ClientAddress, manner::Manner, record::RouteLabel, who::Who};

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
pub struct WholeRequest<'a> {
    /// Its head.
    pub head: Head<'a>,
    /// Its protocol and coding; a request that is refused on every path does not come here.
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

/// Has finished answers.
pub trait AnswersAtOnce: Send + Sync {
    /// Answers, if that needs no waiting and is no refusal, and says which method that was.
    fn answer(&self, request: &WholeRequest<'_>) -> Option<(RouteLabel, Response<WholeBody>)>;
}

/// The body of an answer that is given at once.
#[derive(Debug, Default)]
pub struct WholeBody {
    /// Everything.
    pub data: Option<Bytes>,
    /// The trailers that follow the data.
    pub trailers: Option<&'static LazyLock<HeaderMap>>,
}

impl From<Bytes> for WholeBody {
    fn from(data: Bytes) -> Self {
        Self { data: Some(data), trailers: None }
    }
}

impl WholeBody {
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
