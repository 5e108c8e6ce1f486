//! Writes one line of the access log and one count in the metrics for every request, however it ends. Never a body, a
//! query or a header's value.

use std::{
    borrow::Cow,
    pin::Pin,
    sync::{Arc, LazyLock, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metrics::{Counter, Gauge, Histogram};
use tonic::Code;
use tracing::Span;

use super::{
    at_once::WholeBody, client_address::ClientAddress, correlation_id::CorrelationId, idle::Busy,
    who::Who,
};
use crate::{
    clock::{Clock, micros},
    status::{self, Protocol, RequestError, early_code, grpc_code},
    telemetry::{REQUEST_SECONDS, REQUESTS, REQUESTS_IN_FLIGHT},
};

/// The method or route that answered. A request finds its label through [`Who`]. An answer of `net` has its label in
/// its extensions. There must be few labels, as each is a series of its own in the metrics.
///
/// A label holds its series, since finding a series by its labels costs more than counting.
#[derive(Clone, Debug)]
pub struct RouteLabel(Arc<Route>);

#[derive(Debug)]
struct Route {
    name: String,
    by_protocol: [OnceLock<Series>; 3],
}

#[derive(Debug)]
struct Series {
    seconds: Histogram,
    /// One for each of [`COMMON_CODES`].
    counters: [OnceLock<Counter>; COMMON_CODES.len()],
}

const COMMON_CODES: [&str; 3] = ["200", "304", "Ok"];

impl RouteLabel {
    /// `name` stands in the metrics and the log.
    pub fn new(name: &str) -> Self {
        Self(Arc::new(Route { name: name.to_owned(), by_protocol: Default::default() }))
    }

    /// The label of requests for no method that has a name.
    fn unknown() -> &'static Self {
        static UNKNOWN: LazyLock<RouteLabel> = LazyLock::new(|| RouteLabel::new("unknown"));
        &UNKNOWN
    }

    fn series(&self, protocol: Protocol) -> &Series {
        self.0.by_protocol[protocol as usize].get_or_init(|| Series {
            seconds: metrics::histogram!(
                REQUEST_SECONDS,
                "protocol" => protocol.label(),
                "method" => self.0.name.clone(),
            ),
            counters: Default::default(),
        })
    }

    fn count(&self, protocol: Protocol, code: &str) {
        let counters = &self.series(protocol).counters;
        match COMMON_CODES.iter().position(|common| *common == code) {
            Some(common) => {
                counters[common].get_or_init(|| self.counter(protocol, code)).increment(1)
            }
            None => self.counter(protocol, code).increment(1),
        }
    }

    fn counter(&self, protocol: Protocol, code: &str) -> Counter {
        let (protocol, method) = (protocol.label(), self.0.name.clone());
        metrics::counter!(
            REQUESTS, "protocol" => protocol, "method" => method, "code" => code.to_owned()
        )
    }
}

/// The most bytes of a path that are logged.
const MOST_PATH_BYTES: usize = 200;

impl Protocol {
    const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
        }
    }
}

/// The parts that all records of a server share.
pub(super) struct Recorder {
    clock: Arc<dyn Clock>,
    log_success: bool,
    in_flight: Gauge,
}

impl Recorder {
    pub(super) fn new(clock: Arc<dyn Clock>, log_success: bool) -> Self {
        Self { clock, log_success, in_flight: metrics::gauge!(REQUESTS_IN_FLIGHT) }
    }

    /// Whether requests that succeed are logged.
    pub(super) fn logs_success(&self) -> bool {
        self.log_success
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.monotonic()
    }
}

/// The facts of a request that only the log needs.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) client: ClientAddress,
    pub(super) id: CorrelationId,
    pub(super) who: Who,
}

/// The facts about a request so far. They are written when this is dropped: after the answer's last byte, or when the
/// client has left or broken off.
pub(super) struct Record {
    recorder: Arc<Recorder>,
    started: Instant,
    protocol: Protocol,
    /// `None` where the request is never logged.
    asked: Option<Box<Asked>>,
    is_in_flight: bool,
    route: Option<RouteLabel>,
    status: Option<StatusCode>,
    grpc_code: Option<Code>,
    /// Why the request was refused, where that is logged.
    reason: Option<String>,
    broken_off: bool,
}

impl Record {
    /// For a request that goes the general way.
    pub(super) fn start(
        recorder: &Arc<Recorder>,
        started: Instant,
        protocol: Protocol,
        asked: Asked,
    ) -> Self {
        recorder.in_flight.increment(1.0);
        let mut record = Self::new(recorder, started, protocol);
        (record.asked, record.is_in_flight) = (Some(Box::new(asked)), true);
        record
    }

    /// For a request that was answered at once, and so was never in flight. It is no failure either, so `asked` is
    /// needed only where every request is logged.
    pub(super) fn at_once(
        recorder: &Arc<Recorder>,
        started: Instant,
        protocol: Protocol,
        asked: Option<Asked>,
    ) -> Self {
        let mut record = Self::new(recorder, started, protocol);
        record.asked = asked.map(Box::new);
        record
    }

    fn new(recorder: &Arc<Recorder>, started: Instant, protocol: Protocol) -> Self {
        Self {
            recorder: Arc::clone(recorder),
            started,
            protocol,
            asked: None,
            is_in_flight: false,
            route: None,
            status: None,
            grpc_code: None,
            reason: None,
            broken_off: false,
        }
    }

    /// Takes note of the answer's head. From here the body carries the record.
    pub(super) fn follow<B>(
        mut self,
        route: Option<RouteLabel>,
        response: Response<B>,
        busy: Busy,
    ) -> Response<RecordedBody>
    where
        Content: From<B>,
    {
        self.route = route;
        self.status = Some(response.status());
        self.note_grpc_code(early_code(&response));
        if self.asked.is_some() && (self.recorder.log_success || self.outcome().1) {
            self.reason = status::reason(&response);
        }
        let now = self.recorder.now();
        busy.answered(now);
        let seconds = self.taken(now).as_secs_f64();
        self.route().series(self.protocol).seconds.record(seconds);
        response.map(|content| RecordedBody {
            content: content.into(),
            polled: false,
            ended: false,
            record: self,
            busy,
        })
    }

    fn note_grpc_code(&mut self, code: Option<Code>) {
        if self.protocol != Protocol::Http && code.is_some() {
            self.grpc_code = code;
        }
    }

    fn route(&self) -> &RouteLabel {
        let asked_for = || self.asked.as_ref()?.who.method();
        self.route.as_ref().or_else(asked_for).unwrap_or_else(|| RouteLabel::unknown())
    }

    fn taken(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// The code, and whether the server is to blame.
    fn outcome(&self) -> (Cow<'_, str>, bool) {
        let Some(status) = self.status.as_ref().filter(|_| !self.broken_off) else {
            return ("gone".into(), false);
        };
        if self.protocol == Protocol::Http || !status.is_success() {
            // A probe asks whether the server is ready. The answer no is not a failure.
            let is_probe =
                || self.asked.as_ref().is_some_and(|asked| asked.uri.path() == "/readyz");
            return (status.as_str().into(), status.is_server_error() && !is_probe());
        }
        // gRPC-Web has its trailers in the body. Errors without a body have the code in the head.
        let code = self.grpc_code.unwrap_or(Code::Ok);
        let fault = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        // A body that did not arrive is the client's fault, although the deadline passed.
        let is_late = self.reason.as_deref() == Some(RequestError::BodyLate.reason());
        let fault = fault && !is_late;
        match code {
            Code::Ok => ("Ok".into(), fault),
            other => (format!("{other:?}").into(), fault),
        }
    }

    /// Writes the log line, outside the request's span: entering a span and writing its fields takes as
    /// long as all the rest.
    fn log(&self, asked: &Asked, code: &str, fault: bool) {
        let Asked { method, uri, client: ClientAddress(client), id, who } = asked;
        let path = &uri.path()[..uri.path().floor_char_boundary(MOST_PATH_BYTES)];
        let (protocol, method, route) =
            (self.protocol.label(), method.as_str(), &*self.route().0.name);
        let (key, staff, reason) = (who.key(), who.staff(), self.reason.as_deref());
        let microseconds = micros(self.taken(self.recorder.now()));
        if fault {
            tracing::error!(
                request_id = %id, protocol, method, path, route, code, reason, key, staff, %client, microseconds,
                "request failed"
            );
        } else {
            tracing::info!(
                request_id = %id, protocol, method, path, route, code, reason, key, staff, %client, microseconds,
                "request"
            );
        }
    }
}

/// The span of every log line about a request. It has the level of errors, so that no log level hides it.
pub(super) fn span(id: &CorrelationId) -> Span {
    tracing::error_span!("request", request_id = %id)
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_in_flight {
            self.recorder.in_flight.decrement(1.0);
        }
        let (code, fault) = self.outcome();
        self.route().count(self.protocol, &code);
        if let Some(asked) = &self.asked
            && (fault || self.recorder.log_success)
        {
            self.log(asked, &code, fault);
        }
    }
}

/// The content of an answer.
pub(super) enum Content {
    /// The content of an answer that was given at once.
    Whole(WholeBody),
    /// The body that the application made.
    Made(Body),
}

impl From<WholeBody> for Content {
    fn from(body: WholeBody) -> Self {
        Self::Whole(body)
    }
}

impl From<Body> for Content {
    fn from(body: Body) -> Self {
        Self::Made(body)
    }
}

/// An answer's body. Until it is dropped, its connection counts as busy and its record is open.
pub(super) struct RecordedBody {
    content: Content,
    polled: bool,
    ended: bool,
    record: Record,
    busy: Busy,
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.polled = true;
        let polled = match &mut self.content {
            Content::Whole(body) => Poll::Ready(body.next().map(Ok)),
            Content::Made(body) => Pin::new(body).poll_frame(context),
        };
        match &polled {
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.record.note_grpc_code(grpc_code(trailers));
                    self.ended = true;
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_empty(),
            Content::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Made(body) => body.size_hint(),
        }
    }
}

impl Drop for RecordedBody {
    fn drop(&mut self) {
        if let Content::Made(_) = self.content {
            self.busy.sent(self.record.recorder.now());
        }
        // Bodies of HEAD are never polled. Bodies of known length are not polled to their end.
        self.record.broken_off = self.polled && !self.ended && !self.is_end_stream();
    }
}
