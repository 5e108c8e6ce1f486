//! The paths for operators and their machines: `/healthz`, `/readyz` and `/metrics`.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::{
    client_address::{ClientAddress, lies_in, looks_forwarded},
    record::RouteLabel,
};
use crate::{
    status::{Protocol, RequestError, request_error_response},
    telemetry,
};

/// Says whether requests can be served now, with a line for operators: why they cannot, or which problem
/// there is although they can.
pub type Readiness = Arc<dyn Fn() -> Result<Option<String>, String> + Send + Sync>;

pub(super) struct Operational {
    pub(super) readiness: Readiness,
    pub(super) draining: CancellationToken,
    pub(super) metrics: Metrics,
    pub(super) metrics_allow: Vec<IpNet>,
    pub(super) trusted_proxies: Vec<IpNet>,
}

impl Operational {
    /// Whether the path is for operators alone. Pages of other origins need no answer from there, so CORS
    /// never allows them one.
    pub(super) fn is_at(path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz" | "/metrics")
    }

    /// The answer, if the path is one of these and the client may read it.
    pub(super) fn answer(
        &self,
        (method, path, protocol): (&Method, &str, Protocol),
        headers: &HeaderMap,
        peer: IpAddr,
        client: ClientAddress,
    ) -> Option<Response<Body>> {
        match path {
            "/healthz" | "/readyz" => {}
            "/metrics" if self.may_read_metrics(headers, peer, client) => {}
            _ => return None,
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let allow = "GET, HEAD".to_owned();
            let error = RequestError::MethodNotAllowed { allow, instead: vec![] };
            return Some(request_error_response(protocol, &error));
        }
        let mut response = match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.ready() {
                Ok(None) => text(StatusCode::OK, "ok\n"),
                Ok(Some(problem)) => text(StatusCode::OK, format!("ok\n{problem}\n")),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            },
            _ => self.metrics.answer(),
        };
        response.extensions_mut().insert(RouteLabel::new(path));
        Some(response)
    }

    fn ready(&self) -> Result<Option<String>, String> {
        if self.draining.is_cancelled() {
            return Err("the server is stopping".to_owned());
        }
        (self.readiness)()
    }

    /// Whether the client may read the metrics. The connection's peer and the client behind it must both be allowed. A
    /// header can only forbid, not allow: everything that a proxy on this machine forwards comes from loopback, so a
    /// proxy that was never declared would show the metrics to the world.
    fn may_read_metrics(&self, headers: &HeaderMap, peer: IpAddr, client: ClientAddress) -> bool {
        let allowed =
            |address: IpAddr| address.is_loopback() || lies_in(&self.metrics_allow, address);
        let unknown_proxy = looks_forwarded(headers) && !lies_in(&self.trusted_proxies, peer);
        allowed(peer) && allowed(client.0) && !unknown_proxy
    }
}

/// The text of `/metrics`. Making it is expensive: it holds every counter and the process's figures from `/proc`.
pub(super) struct Metrics {
    pace: DefaultDirectRateLimiter,
    last: Mutex<Bytes>,
}

impl Metrics {
    /// The most new texts in a second, and at once. Above that, the last text is the answer.
    const PER_SECOND: u32 = 20;

    pub(super) fn new() -> Self {
        let per_second = NonZeroU32::new(Self::PER_SECOND).unwrap_or(NonZeroU32::MIN);
        Self::at(Quota::per_second(per_second))
    }

    fn at(pace: Quota) -> Self {
        Self { pace: RateLimiter::direct(pace), last: Mutex::default() }
    }

    fn answer(&self) -> Response<Body> {
        let body = {
            // One text at a time: several requests at once would each hold a worker for the same figures.
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if self.pace.check().is_ok() {
                *last = telemetry::metrics_text().into();
            }
            last.clone()
        };
        let mut response = text(StatusCode::OK, body);
        let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, prometheus);
        response
    }
}

fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn above_the_pace_the_last_metrics_are_the_answer() {
        telemetry::prometheus();
        let hour = Quota::with_period(Duration::from_secs(3_600)).unwrap();
        let metrics = Metrics::at(hour.allow_burst(NonZeroU32::new(2).unwrap()));
        let counted = metrics::counter!("counted_between_two_texts");
        let mut texts = Vec::new();
        for _ in 0..3 {
            counted.increment(1);
            texts.push(metrics.answer().into_body().collect().await.unwrap().to_bytes());
        }
        assert_ne!(texts[0], texts[1]);
        assert_eq!(texts[1], texts[2]);
    }
}
