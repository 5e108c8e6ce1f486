//! Cross-origin requests of browsers. Credentials mode is never allowed, so a page of another origin can do nothing
//! that it could not do from a server.
//!
//! tower-http's layer takes every OPTIONS request for a preflight. This server must answer an OPTIONS request that is
//! no preflight like any other unknown method, so the code is its own.

use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

const EXPOSED: HeaderValue = HeaderValue::from_static(
    "grpc-status, grpc-message, grpc-status-details-bin, etag, retry-after, www-authenticate, allow, x-request-id, \
     idempotency-replayed, settings-revision, settings-stale",
);

const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("7200");

pub(super) struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { any: origins.iter().any(|origin| origin == "*"), origins: origins.to_vec() }
    }

    /// The value of `Access-Control-Allow-Origin` for the page of this request, if it is allowed.
    pub(super) fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }

    /// The answer if the request is a preflight. A preflight carries no credential and is answered here.
    pub(super) fn preflight(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let headers = request.headers();
        if request.method() != Method::OPTIONS
            || !headers.contains_key(ORIGIN)
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.allowed(headers).is_some() {
            let answer = response.headers_mut();
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
            if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static("access-control-request-headers"));
        Some(response)
    }

    /// Adds the headers that let the page read the answer. The answers of an allowed origin differ from
    /// others, so `Vary` names the origin even where this request has none. Answers that caches may store have
    /// that header already.
    pub(super) fn expose(&self, allowed: Option<HeaderValue>, answer: &mut HeaderMap) {
        let says_so = |vary: &HeaderValue| vary.as_bytes().ends_with(b"Origin");
        if !self.any && !answer.get(VARY).is_some_and(says_so) {
            answer.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(allowed) = allowed {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}
