//! Answers at once: finished bytes for known callers, where nothing has to be waited for.
//!
//! Such a request meets no part of the general way but the record. All other requests go the general way, and are
//! refused there if they must be, so that no rule is written twice.

use std::{sync::LazyLock, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts};
use http_body::{Frame, SizeHint};

use super::{client_address::ClientAddress, manner::Manner, record::RouteLabel, who::Who};

/// A request's head, by reference: moving requests around costs more than looking at them.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Head<'a> {
    pub method: &'a Method,
    /// The path and the query.
    pub uri: &'a Uri,
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

/// A request whose body has arrived.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct WholeRequest<'a> {
    pub head: Head<'a>,
    /// Its protocol and coding. A request that is refused on every path does not come here.
    pub manner: Manner,
    /// The body, which may be empty.
    pub body: &'a [u8],
    pub client: ClientAddress,
    /// The moment at which the request arrived, which is just now.
    pub arrived: Instant,
    /// To be filled in, if the log needs it.
    pub who: Option<&'a Who>,
}

/// Has finished answers.
pub trait AnswersAtOnce: Send + Sync {
    /// Answers, if that needs no waiting and is no refusal, and says which method it was.
    fn answer(&self, request: &WholeRequest<'_>) -> Option<(RouteLabel, Response<WholeBody>)>;
}

/// The body of an answer that is given at once.
#[derive(Debug, Default)]
pub struct WholeBody {
    /// The whole content.
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
            // Answers with trailers announce no length, like those of the general way.
            Some(_) => SizeHint::default(),
        }
    }
}
