//! One line of the access log and one count in the metrics for every request, whatever becomes of
//! it. Never a body, a query or a header's value.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Code;
use tracing::Span;

use super::{client_address::ClientAddress, connection::Busy};
use crate::{
    clock::Clock,
    telemetry::{REQUEST_SECONDS, REQUESTS, REQUESTS_IN_FLIGHT},
};

/// Which method or route answered: a handler puts it into its answer's extensions. There must be
/// few of them, as each is a series of its own in the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLabel(pub Arc<str>);

const UNKNOWN_ROUTE: &str = "unknown";

/// The most of a path that goes into the log.
const MOST_PATH_CHARACTERS: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
    GrpcWeb,
}

impl Protocol {
    fn of(headers: &HeaderMap) -> Self {
        let kind =
            headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if kind.starts_with(b"application/grpc-web") {
            Self::GrpcWeb
        } else if kind.starts_with(b"application/grpc") {
            Self::Grpc
        } else {
            Self::Http
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
        }
    }
}

/// What is known of a request so far. It is written down when this is dropped: after the answer's
/// last byte, or when the client has gone or broken off.
pub(super) struct Record {
    span: Span,
    clock: Arc<dyn Clock>,
    started: Instant,
    log_success: bool,
    protocol: Protocol,
    method: Method,
    uri: Uri,
    client: ClientAddress,
    route: Option<RouteLabel>,
    status: Option<StatusCode>,
    grpc_code: Option<Code>,
    broken_off: bool,
}

impl Record {
    pub(super) fn start(
        request: &Request<Body>,
        client: ClientAddress,
        span: Span,
        clock: Arc<dyn Clock>,
        log_success: bool,
    ) -> Self {
        metrics::gauge!(REQUESTS_IN_FLIGHT).increment(1.0);
        Self {
            span,
            started: clock.monotonic(),
            clock,
            log_success,
            protocol: Protocol::of(request.headers()),
            method: request.method().clone(),
            uri: request.uri().clone(),
            client,
            route: None,
            status: None,
            grpc_code: None,
            broken_off: false,
        }
    }

    /// Takes note of the answer's head; the body carries the record from here.
    pub(super) fn follow(mut self, response: Response<Body>, busy: Busy) -> Response<RecordedBody> {
        self.route = response.extensions().get::<RouteLabel>().cloned();
        self.status = Some(response.status());
        self.note_grpc_code(response.headers());
        let seconds = self.clock.monotonic().saturating_duration_since(self.started).as_secs_f64();
        metrics::histogram!(REQUEST_SECONDS, "protocol" => self.protocol.label(), "method" => self.route_label())
            .record(seconds);
        response.map(|body| RecordedBody {
            body,
            polled: false,
            ended: false,
            record: self,
            _busy: busy,
        })
    }

    fn note_grpc_code(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.grpc_code = Some(Code::from_bytes(code.as_bytes()));
        }
    }

    fn route_label(&self) -> Arc<str> {
        self.route.as_ref().map_or_else(|| Arc::from(UNKNOWN_ROUTE), |route| Arc::clone(&route.0))
    }

    /// The code, and whether it is the server's fault.
    fn outcome(&self) -> (String, bool) {
        let Some(status) = self.status.filter(|_| !self.broken_off) else {
            return ("gone".to_owned(), false);
        };
        if self.protocol == Protocol::Http || !status.is_success() {
            // A probe's no is what it asked for, not a failure.
            let is_probe = self.uri.path() == "/readyz";
            return (status.as_str().to_owned(), status.is_server_error() && !is_probe);
        }
        // gRPC-Web has its trailers in the body; errors without one have the code in the head.
        let code = self.grpc_code.unwrap_or(Code::Ok);
        let fault = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        (format!("{code:?}"), fault)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        metrics::gauge!(REQUESTS_IN_FLIGHT).decrement(1.0);
        let (code, fault) = self.outcome();
        metrics::counter!(
            REQUESTS,
            "protocol" => self.protocol.label(),
            "method" => self.route_label(),
            "code" => code.clone(),
        )
        .increment(1);
        if !fault && !self.log_success {
            return;
        }
        let _in_span = self.span.enter();
        let taken = self.clock.monotonic().saturating_duration_since(self.started);
        let microseconds = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let path: String = self.uri.path().chars().take(MOST_PATH_CHARACTERS).collect();
        let route = self.route_label();
        let protocol = self.protocol.label();
        let (method, client) = (&self.method, self.client.0);
        if fault {
            tracing::error!(protocol, %method, path, %route, code, %client, microseconds, "request failed");
        } else {
            tracing::info!(protocol, %method, path, %route, code, %client, microseconds, "request");
        }
    }
}

/// An answer's body. Until it is gone, its connection counts as busy and its record is open.
pub(super) struct RecordedBody {
    body: Body,
    polled: bool,
    ended: bool,
    record: Record,
    _busy: Busy,
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.polled = true;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.record.note_grpc_code(trailers);
                    self.ended = true;
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RecordedBody {
    fn drop(&mut self) {
        // Bodies of HEAD are never polled, and of known length not to their end.
        self.record.broken_off = self.polled && !self.ended && !self.body.is_end_stream();
    }
}
