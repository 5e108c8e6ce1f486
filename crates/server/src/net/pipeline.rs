//! The steps around the application for every request, from the outside in: the id and the log span, the record,
//! CORS, the operational paths, the limit on requests at once, the deadline, and panics. Every refusal is an
//! `Error`, answered in the request's protocol.

use std::{
    any::Any,
    collections::HashSet,
    convert::Infallible,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{task::yield_now, time::timeout};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use super::{
    at_once::{AnswersAtOnce, Head, WholeRequest},
    body::{BodyLimits, RequestBody},
    client_address::ClientAddress,
    correlation_id::{self, CorrelationId},
    cors::Cors,
    deadline::{Deadline, budget},
    encrypted::Encryption,
    idle::Busy,
    manner::Manner,
    operational::Operational,
    record::{Asked, Record, RecordedBody, Recorder, RouteLabel, span},
    room::{Room, Seat},
    who::Who,
};
use crate::{
    catalog::error::{Cause, Error},
    clock::Clock,
    config::{Config, Limits},
    status::{RequestError, error_response, in_words, is_limited, request_error_response},
    telemetry::PANICS,
};

/// The application.
#[derive(Clone)]
pub struct App {
    at_once: Option<Arc<dyn AnswersAtOnce>>,
    general: General,
    /// The paths of requests that hold documents.
    documents: Arc<HashSet<String>>,
}

type General = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

impl App {
    /// Answers every request with `general`. In each request's extensions it finds a [`CorrelationId`], a
    /// [`ClientAddress`], a [`Deadline`], [`Who`] to fill in, and a [`Seat`] to tell the key to.
    pub fn new<S>(general: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let general = BoxCloneSyncService::new(general);
        Self { at_once: None, general, documents: Arc::default() }
    }

    /// Asks `answers` before the general way.
    pub fn with_answers_at_once(self, answers: Arc<dyn AnswersAtOnce>) -> Self {
        Self { at_once: Some(answers), ..self }
    }

    /// Requests for these paths hold documents, whose bodies may be larger than others.
    pub fn with_documents(self, paths: HashSet<String>) -> Self {
        Self { documents: Arc::new(paths), ..self }
    }

    /// The same application, with the general way alone.
    pub fn general_only(self) -> Self {
        Self { at_once: None, ..self }
    }
}

/// An answer that is finished or is being made.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the most frequent one, and a box would cost more"
)]
pub(super) enum Answering {
    AtOnce(Option<Response<RecordedBody>>),
    Made(Pin<Box<dyn Future<Output = Response<RecordedBody>> + Send>>),
}

impl Future for Answering {
    type Output = Result<Response<RecordedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::AtOnce(response) => {
                let response = response.take();
                Poll::Ready(Ok(response.unwrap_or_else(|| unreachable!("it was polled before"))))
            }
            Self::Made(answer) => answer.as_mut().poll(context).map(Ok),
        }
    }
}

/// The facts about a request that are known from the start.
struct Arrival {
    started: Instant,
    manner: Manner,
    client: ClientAddress,
    id: CorrelationId,
}

impl Arrival {
    fn asked(&self, head: Head<'_>, who: Who) -> Asked {
        Asked {
            who,
            method: head.method.clone(),
            uri: head.uri.clone(),
            client: self.client,
            id: self.id.clone(),
        }
    }
}

pub(super) struct Pipeline {
    limits: Limits,
    body_limits: BodyLimits,
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder>,
    operational: Operational,
    cors: Cors,
    room: Arc<Room>,
    app: App,
    encryption: Encryption,
}

/// Whether pages of other origins have no business at the path.
fn is_for_itself(path: &str) -> bool {
    Operational::is_at(path) || is_for_people(path)
}

/// Whether the path is one of the console.
fn is_for_people(path: &str) -> bool {
    path == "/console" || path.starts_with("/console/")
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
            body_limits: BodyLimits::of(&config.limits),
            recorder: Arc::new(Recorder::new(Arc::clone(&clock), config.access_log)),
            clock,
            operational,
            cors: Cors::new(&config.cors_origins),
            room: Room::new(&config.limits),
            app,
            encryption: Encryption {
                is_on: config.tls_cert.is_some(),
                trusted: config.trusted_proxies.clone(),
            },
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn room(&self) -> &Arc<Room> {
        &self.room
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
            Ok(response) => Answering::AtOnce(Some(response)),
            Err(busy) => {
                let pipeline = Arc::clone(self);
                Answering::Made(Box::pin(async move {
                    let request = request.map(Body::new);
                    let seat = pipeline.room.seat(arrival.client);
                    pipeline.answer_generally(request, peer, arrival, seat, busy).await
                }))
            }
        }
    }

    fn arrival(&self, request: &Request<Incoming>, peer: IpAddr) -> Arrival {
        let headers = request.headers();
        Arrival {
            started: self.recorder.now(),
            manner: Manner::of(request),
            client: ClientAddress::of(peer, headers, &self.operational.trusted_proxies),
            id: CorrelationId::of(headers),
        }
    }

    /// The answer, if it can be given at once.
    fn at_once(
        &self,
        head: Head<'_>,
        body: &[u8],
        arrival: &Arrival,
        busy: Busy,
    ) -> Result<Response<RecordedBody>, Busy> {
        let Some(answers) = self.app.at_once.as_ref().filter(|_| !arrival.manner.is_refused())
        else {
            return Err(busy);
        };
        let (manner, client, arrived) = (arrival.manner, arrival.client, arrival.started);
        let who = self.recorder.logs_success().then(Who::default);
        let request = WholeRequest { head, manner, body, client, arrived, who: who.as_ref() };
        match catch_unwind(AssertUnwindSafe(|| answers.answer(&request))) {
            Ok(Some((label, mut response))) => {
                self.complete(self.cors.allowed(head.headers), &arrival.id, response.headers_mut());
                let protocol = manner.protocol;
                let asked = who.map(|who| arrival.asked(head, who));
                let record = Record::at_once(&self.recorder, arrived, protocol, asked);
                Ok(record.follow(Some(label), response, busy))
            }
            Ok(None) => Err(busy),
            Err(panic) => Ok(self.after_panic(panic, head, arrival, busy)),
        }
    }

    /// The same answer that the general way gives to a panic.
    #[cold]
    fn after_panic(
        &self,
        panic: Box<dyn Any + Send>,
        head: Head<'_>,
        arrival: &Arrival,
        busy: Busy,
    ) -> Response<RecordedBody> {
        let _in_span = span(&arrival.id).entered();
        let mut response = fit_for(head.method, refuse(arrival.manner, &panicked(&*panic)));
        self.complete(self.cors.allowed(head.headers), &arrival.id, response.headers_mut());
        let protocol = arrival.manner.protocol;
        let asked = arrival.asked(head, Who::default());
        let record = Record::start(&self.recorder, arrival.started, protocol, asked);
        record.follow(None, response, busy)
    }

    async fn answer_with_body(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        arrival: Arrival,
        mut busy: Busy,
    ) -> Response<RecordedBody> {
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body, &head, self.body_limits.usual as u64, &busy);
        if let Some(read) = body.read_at_once().await {
            busy = match self.at_once(Head::of_parts(&head), &read, &arrival, busy) {
                Ok(response) => return response,
                Err(busy) => busy,
            };
        }
        let seat = self.room.seat(arrival.client);
        let Deadline(until) = self.deadline(&arrival, &head.headers);
        let is_document = self.app.documents.contains(head.uri.path());
        let most = self.body_limits.most(is_document) as u64;
        let body = body.into_body(most, until, seat.clone());
        let request = Request::from_parts(head, body);
        // In a box of its own, or every request that is answered at once would carry the size of this future around.
        Box::pin(self.answer_generally(request, peer, arrival, seat, busy)).await
    }

    async fn answer_generally(
        &self,
        mut request: Request<Body>,
        peer: IpAddr,
        arrival: Arrival,
        seat: Seat,
        busy: Busy,
    ) -> Response<RecordedBody> {
        if request.version() == Version::HTTP_2 {
            // Becomes a task here, so that other requests of its connection do not wait for slow work.
            yield_now().await;
        }
        let who = Who::default();
        let asked = arrival.asked(Head::of(&request), who.clone());
        let protocol = arrival.manner.protocol;
        let record = Record::start(&self.recorder, arrival.started, protocol, asked);
        let is_ours = is_for_itself(request.uri().path());
        let is_page = is_for_people(request.uri().path());
        let allowed_origin = self.cors.allowed(request.headers()).filter(|_| !is_ours);
        let deadline = self.deadline(&arrival, request.headers());
        let encrypted = self.encryption.of(peer, request.headers());
        request.extensions_mut().insert(arrival.id.clone());
        request.extensions_mut().insert(arrival.client);
        request.extensions_mut().insert(encrypted);
        request.extensions_mut().insert(arrival.manner);
        request.extensions_mut().insert(deadline);
        request.extensions_mut().insert(seat.clone());
        request.extensions_mut().insert(who);

        let method = request.method().clone();
        let call = self.route(request, peer, &arrival, deadline, &seat);
        let response = call.instrument(span(&arrival.id)).await;
        let response = if is_page { in_words(response) } else { response };
        let mut response = fit_for(&method, response);
        self.complete(allowed_origin, &arrival.id, response.headers_mut());
        if busy.is_spoilt() {
            // HTTP/1.1 alone has this. A client that is told does not try to use the connection again.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let label = response.extensions().get::<RouteLabel>().cloned();
        if is_limited(&response) {
            seat.pause().await;
        }
        record.follow(label, response, busy)
    }

    fn deadline(&self, arrival: &Arrival, headers: &HeaderMap) -> Deadline {
        Deadline(arrival.started + budget(self.limits.request_timeout(), headers))
    }

    /// Adds the headers that every answer has.
    fn complete(
        &self,
        allowed_origin: Option<HeaderValue>,
        id: &CorrelationId,
        headers: &mut HeaderMap,
    ) {
        self.cors.expose(allowed_origin, headers);
        // A finished answer has a place for the id, so its header map need not grow.
        match headers.get_mut(correlation_id::HEADER) {
            Some(place) => *place = id.header(),
            None => _ = headers.insert(correlation_id::HEADER, id.header()),
        }
    }

    async fn route(
        &self,
        mut request: Request<Body>,
        peer: IpAddr,
        arrival: &Arrival,
        deadline: Deadline,
        seat: &Seat,
    ) -> Response<Body> {
        let manner = arrival.manner;
        if let Some(error) = manner.refusal(Head::of(&request), request.version()) {
            return refuse_request(manner, &error);
        }
        if let Some(preflight) = self.cors.preflight(&request) {
            return preflight;
        }
        // Not as one reference to the request, since a body cannot be shared between threads.
        let asked = (request.method(), request.uri().path(), manner.protocol);
        let headers = request.headers();
        if let Some(answer) = self.operational.answer(asked, headers, peer, arrival.client) {
            return answer;
        }
        if let Some(kind) = manner.web_type() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Err(error) = seat.take() {
            return refuse(manner, &error);
        }
        let response = self.call(request, manner, deadline, seat).await;
        // From here on the client sets the pace.
        match seat.leave() {
            Some(error) => refuse(manner, &error),
            None => response,
        }
    }

    async fn call(
        &self,
        request: Request<Body>,
        manner: Manner,
        Deadline(deadline): Deadline,
        seat: &Seat,
    ) -> Response<Body> {
        let left = deadline.saturating_duration_since(self.clock.monotonic());
        let answer = AssertUnwindSafe(self.app.general.clone().oneshot(request)).catch_unwind();
        match timeout(left, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => refuse(manner, &panicked(&*panic)),
            Err(_) if seat.is_waiting() => refuse_request(manner, &RequestError::BodyLate),
            Err(_) => refuse(manner, &Error::DeadlineExceeded),
        }
    }
}

/// Makes the answer fit a request with this method. HEAD gets the headers of the GET with the length of its
/// body, and no body: HTTP/2 takes a body there for a fault.
pub fn fit_for(method: &Method, response: Response<Body>) -> Response<Body> {
    if *method != Method::HEAD {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// Counts a panic. Its text is for the log alone.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    metrics::counter!(PANICS).increment(1);
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::Internal(Cause::new(format_args!("panic: {}", text.unwrap_or_default())))
}

fn refuse(manner: Manner, error: &Error) -> Response<Body> {
    in_manner(manner, error_response(manner.protocol, error))
}

pub(super) fn refuse_request(manner: Manner, error: &RequestError) -> Response<Body> {
    in_manner(manner, request_error_response(manner.protocol, error))
}

/// Gives an answer the content type of gRPC-Web. The layer that knows gRPC-Web lies inside the application, and
/// in answers without a body it changes this header alone.
fn in_manner(manner: Manner, mut response: Response<Body>) -> Response<Body> {
    if let Some(kind) = manner.web_type() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}
