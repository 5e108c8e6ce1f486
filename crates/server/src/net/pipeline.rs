//! What happens to every request before and after the application, from the outside in: its id and
//! log span, its record, CORS, the operational paths, the limit on requests at once, the deadline,
//! and panics. Every refusal is an `Error`, answered in the request's protocol.

use std::{
    convert::Infallible,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{
    sync::Semaphore,
    task::yield_now,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use super::{
    client_address::ClientAddress,
    cors::Cors,
    deadline::{Deadline, budget},
    operational::Operational,
    ready::{Head, ReadyAnswers, ReadyRequest, RequestBody},
    record::{Asked, Protocol, Record, RecordedBody, Recorder, RouteLabel, span},
    request_id::{self, RequestId},
    watch::Busy,
};
use crate::{
    api::status::{error_response, is_limited},
    catalog::error::{Cause, Error, Unavailable},
    clock::Clock,
    config::{Config, Limits},
    telemetry::PANICS,
};

/// How long a client waits for being told that it asks too often. Those that do not heed it would
/// else take as much of the server as all others together. No place is held meanwhile.
const LIMITED_PAUSE: Duration = Duration::from_millis(100);

/// What answers requests in the end.
#[derive(Clone)]
pub struct App {
    ready: Option<Arc<dyn ReadyAnswers>>,
    general: General,
}

type General = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

impl App {
    /// Answers everything. It finds a [`RequestId`], a [`ClientAddress`] and a [`Deadline`] in each
    /// request's extensions.
    pub fn new<S>(general: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        Self { ready: None, general: BoxCloneSyncService::new(general) }
    }

    /// With methods that are asked first.
    pub fn with_ready(self, ready: Arc<dyn ReadyAnswers>) -> Self {
        Self { ready: Some(ready), ..self }
    }
}

/// An answer that is there or is being made.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and a box would cost more"
)]
pub(super) enum Answering {
    Ready(Option<Response<RecordedBody>>),
    Made(Pin<Box<dyn Future<Output = Response<RecordedBody>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<RecordedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(response) => {
                let response = response.take();
                Poll::Ready(Ok(response.unwrap_or_else(|| unreachable!("it was polled before"))))
            }
            Self::Made(answer) => answer.as_mut().poll(context).map(Ok),
        }
    }
}

/// What is known of a request from the start.
struct Arrival {
    started: Instant,
    protocol: Protocol,
    client: ClientAddress,
    id: RequestId,
}

impl Arrival {
    fn asked(&self, head: Head<'_>) -> Asked {
        Asked {
            method: head.method.clone(),
            uri: head.uri.clone(),
            client: self.client,
            id: self.id.clone(),
        }
    }
}

pub(super) struct Pipeline {
    limits: Limits,
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder>,
    operational: Operational,
    cors: Cors,
    requests: Semaphore,
    app: App,
}

impl Pipeline {
    pub(super) fn new(
        config: &Config,
        app: App,
        operational: Operational,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            limits: config.limits.clone(),
            recorder: Arc::new(Recorder::new(Arc::clone(&clock), config.access_log)),
            clock,
            operational,
            cors: Cors::new(&config.cors_origins),
            requests: Semaphore::new(config.limits.concurrent_requests),
            app,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: IpAddr,
        busy: Busy,
    ) -> Answering {
        let arrival = self.arrival(&request, peer);
        if !request.body().is_end_stream() {
            let pipeline = Arc::clone(self);
            return Answering::Made(Box::pin(async move {
                pipeline.answer_with_body(request, peer, arrival, busy).await
            }));
        }
        match self.at_once(Head::of(&request), &[], &arrival, busy) {
            Ok(response) => Answering::Ready(Some(response)),
            Err(busy) => {
                let pipeline = Arc::clone(self);
                Answering::Made(Box::pin(async move {
                    pipeline.answer_generally(request.map(Body::new), peer, arrival, busy).await
                }))
            }
        }
    }

    fn arrival(&self, request: &Request<Incoming>, peer: IpAddr) -> Arrival {
        let headers = request.headers();
        Arrival {
            started: self.recorder.now(),
            protocol: Protocol::of(headers),
            client: ClientAddress::of(peer, headers, &self.operational.trusted_proxies),
            id: RequestId::of(headers),
        }
    }

    /// The answer, if one is ready.
    fn at_once(
        &self,
        head: Head<'_>,
        body: &[u8],
        arrival: &Arrival,
        busy: Busy,
    ) -> Result<Response<RecordedBody>, Busy> {
        let (client, arrived) = (arrival.client, arrival.started);
        let request = ReadyRequest { head, body, client, arrived };
        let answer = self.app.ready.as_ref().and_then(|ready| ready.answer(&request));
        let Some((label, mut response)) = answer else { return Err(busy) };
        let allowed_origin = self.cors.allowed(head.headers);
        self.complete(allowed_origin, &arrival.id, response.headers_mut());
        let record =
            Record::ready(&self.recorder, arrived, arrival.protocol, || arrival.asked(head));
        Ok(record.follow(Some(label), response, busy))
    }

    async fn answer_with_body(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        arrival: Arrival,
        mut busy: Busy,
    ) -> Response<RecordedBody> {
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body, head.version);
        if let Some(read) = body.read_at_once().await {
            busy = match self.at_once(Head::of_parts(&head), &read, &arrival, busy) {
                Ok(response) => return response,
                Err(busy) => busy,
            };
        }
        let request = Request::from_parts(head, body.into_body());
        // In a place of its own, or every request that is ready would carry its size around.
        Box::pin(self.answer_generally(request, peer, arrival, busy)).await
    }

    async fn answer_generally(
        &self,
        mut request: Request<Body>,
        peer: IpAddr,
        arrival: Arrival,
        busy: Busy,
    ) -> Response<RecordedBody> {
        if request.version() == Version::HTTP_2 {
            // Becomes a task here: others of its connection need not wait for what takes long.
            yield_now().await;
        }
        let asked = arrival.asked(Head::of(&request));
        let record = Record::start(&self.recorder, arrival.started, arrival.protocol, asked);
        let Arrival { id, client, .. } = arrival;
        let allowed_origin = self.cors.allowed(request.headers());
        let span = span(&id);
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(client);

        let mut response = self.route(request, peer, client).instrument(span).await;
        self.complete(allowed_origin, &id, response.headers_mut());
        let label = response.extensions().get::<RouteLabel>().cloned();
        let is_limited = is_limited(&response);
        let response = record.follow(label, response, busy);
        if is_limited {
            sleep(LIMITED_PAUSE).await;
        }
        response
    }

    /// The headers that every answer has.
    fn complete(
        &self,
        allowed_origin: Option<HeaderValue>,
        id: &RequestId,
        headers: &mut HeaderMap,
    ) {
        self.cors.expose(allowed_origin, headers);
        // An answer that was ready has a place for it, and need not grow.
        match headers.get_mut(request_id::HEADER) {
            Some(place) => *place = id.header(),
            None => _ = headers.insert(request_id::HEADER, id.header()),
        }
    }

    async fn route(
        &self,
        request: Request<Body>,
        peer: IpAddr,
        client: ClientAddress,
    ) -> Response<Body> {
        if let Some(preflight) = self.cors.preflight(&request) {
            return preflight;
        }
        // Not as one reference, since a body cannot be shared between threads.
        let asked = (request.method(), request.uri().path());
        if let Some(answer) = self.operational.answer(asked, request.headers(), peer, client) {
            return answer;
        }
        let protocol = content_type(request.headers());
        // A request's place is free again with its answer's head: what follows is the client's pace.
        match self.requests.try_acquire() {
            Ok(_place) => match self.call(request).await {
                Ok(response) => response,
                Err(error) => refuse(&protocol, &error),
            },
            Err(_) => {
                let cause = Cause::new(format_args!(
                    "{} requests at once",
                    self.limits.concurrent_requests
                ));
                refuse(&protocol, &Error::Unavailable { what: Unavailable::Overloaded, cause })
            }
        }
    }

    async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let budget = budget(self.limits.request_timeout(), request.headers());
        request.extensions_mut().insert(Deadline(self.clock.monotonic() + budget));
        let answer = AssertUnwindSafe(self.app.general.clone().oneshot(request)).catch_unwind();
        match timeout(budget, answer).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => {
                metrics::counter!(PANICS).increment(1);
                let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Error::Internal(Cause::new(format_args!(
                    "panic: {}",
                    text.unwrap_or_default()
                ))))
            }
            Err(_) => Err(Error::DeadlineExceeded),
        }
    }
}

/// The only header that says in which protocol to answer, kept while the request is consumed.
fn content_type(headers: &HeaderMap) -> HeaderMap {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| (header::CONTENT_TYPE, kind.clone()));
    kind.into_iter().collect()
}

fn refuse(protocol: &HeaderMap, error: &Error) -> Response<Body> {
    let mut response = error_response(protocol, error);
    // The layer that knows gRPC-Web is inside the application; in answers without a body it only
    // changes this header.
    if let Some(kind) = protocol.get(header::CONTENT_TYPE)
        && kind.as_bytes().starts_with(b"application/grpc-web")
    {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}
