//! What happens to every request before and after the application, from the outside in: its id and
//! log span, its record, CORS, the operational paths, the limit on requests at once, the deadline,
//! and panics. Every refusal is an `Error`, answered in the request's protocol.

use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use hyper::body::Incoming;
use tokio::{sync::Semaphore, time::timeout};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use super::{
    client_address::ClientAddress,
    connection::Busy,
    cors::Cors,
    deadline::{Deadline, budget},
    operational::Operational,
    ready::{ReadyAnswers, ReadyBody, RequestBody},
    record::{Arrival, Protocol, Record, RecordedBody, Recorder, RouteLabel, span},
    request_id::{self, RequestId},
};
use crate::{
    api::status::error_response,
    catalog::error::{Cause, Error, Unavailable},
    clock::Clock,
    config::{Config, Limits},
    telemetry::PANICS,
};

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

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        busy: Busy,
    ) -> Result<Response<RecordedBody>, Infallible> {
        let (head, body) = request.into_parts();
        let arrival = Arrival {
            started: self.recorder.now(),
            protocol: Protocol::of(&head.headers),
            client: ClientAddress::of(peer, &head.headers, &self.operational.trusted_proxies),
            id: RequestId::of(&head.headers),
        };
        let allowed_origin = self.cors.allowed(&head.headers);
        let mut body = RequestBody::new(body);
        if let Some((label, mut response)) = self.ready(&head, &mut body, arrival.client).await {
            self.complete(allowed_origin, &arrival.id, response.headers_mut());
            let record = Record::start(&self.recorder, arrival, head.method, head.uri);
            return Ok(record.follow(Some(label), response, busy));
        }
        // In a place of its own, or every request that is ready would carry its size around.
        let request = Request::from_parts(head, body.into_body());
        Ok(Box::pin(self.answer_generally(request, peer, arrival, allowed_origin, busy)).await)
    }

    async fn ready(
        &self,
        head: &Parts,
        body: &mut RequestBody,
        client: ClientAddress,
    ) -> Option<(RouteLabel, Response<ReadyBody>)> {
        let route = self.app.ready.as_deref()?.find(head)?;
        let body = body.read_at_once().await?;
        let response = route.answer(head, &body, client)?;
        Some((route.label().clone(), response))
    }

    async fn answer_generally(
        &self,
        mut request: Request<Body>,
        peer: IpAddr,
        arrival: Arrival,
        allowed_origin: Option<HeaderValue>,
        busy: Busy,
    ) -> Response<RecordedBody> {
        let (id, client) = (arrival.id.clone(), arrival.client);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let record = Record::start(&self.recorder, arrival, method, uri);
        let span = span(&id);
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(client);

        let mut response = self.route(request, peer, client).instrument(span).await;
        self.complete(allowed_origin, &id, response.headers_mut());
        let label = response.extensions().get::<RouteLabel>().cloned();
        record.follow(label, response, busy)
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
