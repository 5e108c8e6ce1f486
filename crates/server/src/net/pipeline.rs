//! What happens to every request before and after the application, from the outside in: its id and
//! log span, its record, CORS, the operational paths, the limit on requests at once, the deadline,
//! and panics. Every refusal is an `Error`, answered in the request's protocol.

use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use tokio::{sync::Semaphore, time::timeout};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tracing::Instrument;

use super::{
    client_address::ClientAddress,
    connection::Busy,
    cors::Cors,
    deadline::{Deadline, budget},
    operational::Operational,
    record::{Record, RecordedBody},
    request_id::{self, RequestId},
};
use crate::{
    api::status::error_response,
    catalog::error::{Cause, Error, Unavailable},
    clock::Clock,
    config::{Config, Limits},
    telemetry::PANICS,
};

/// What answers requests in the end. It finds a [`RequestId`], a [`ClientAddress`] and a
/// [`Deadline`] in each request's extensions.
pub type App = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

pub(super) struct Pipeline {
    limits: Limits,
    log_success: bool,
    clock: Arc<dyn Clock>,
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
            log_success: config.access_log,
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
        let mut request = request.map(Body::new);
        let id = RequestId::of(request.headers());
        let client = ClientAddress::of(peer, request.headers(), &self.operational.trusted_proxies);
        // As an error's, so that no level of the log hides it.
        let span = tracing::error_span!("request", request_id = %id);
        let record = Record::start(&request, client, span.clone(), self.clock(), self.log_success);
        let allowed_origin = self.cors.allowed(request.headers());
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(client);

        let mut response = self.route(request, peer, client).instrument(span).await;
        self.cors.expose(allowed_origin, response.headers_mut());
        response.headers_mut().insert(request_id::HEADER, id.header());
        Ok(record.follow(response, busy))
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
        let answer = AssertUnwindSafe(self.app.clone().oneshot(request)).catch_unwind();
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
