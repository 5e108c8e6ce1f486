//! The OpenAPI document and a page that shows it, and the schema of documents for editors. They need no key. The page
//! loads nothing from other hosts.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use bytes::Bytes;
use customer_settings_contract::descriptors;

use super::{http::bound_services, openapi};
use crate::service::document;

const PAGE: &str = include_str!("docs/page.html");
const START: &str = include_str!("docs/start.js");

/// The page's script sets styles, and fonts and images are data. Everything else comes from this server or not at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The OpenAPI document. It is made when somebody first asks for it, since that takes longer than all else that a server
/// does when it starts.
static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| {
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let document = openapi::document(descriptors(), &services)
        .unwrap_or_else(|error| unreachable!("the contract's bindings are tested: {error}"));
    document.to_string().into()
});

/// The schema of documents, which is made likewise.
static SCHEMA: LazyLock<Bytes> = LazyLock::new(|| document::schema().to_string().into());

/// Serves `/openapi.json`, `/docs` and the files that the page loads, and `/schemas/document.json`.
pub fn router() -> Router {
    Router::new()
        .route(
            "/schemas/document.json",
            get(|| async { answer("application/schema+json", SCHEMA.clone()) }),
        )
        .route("/openapi.json", get(|| async { answer("application/json", OPENAPI.clone()) }))
        .route(
            "/docs",
            get(|| async {
                answer("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()))
            }),
        )
        .route("/docs/start.js", get(|| async { script(Bytes::from_static(START.as_bytes())) }))
        .route("/docs/scalar.js", get(|| async { script(scalar()) }))
}

/// The library's script of 5 MB, which is loaded into memory when somebody first opens the page.
fn scalar() -> Bytes {
    static SCRIPT: LazyLock<Bytes> =
        LazyLock::new(|| scalar_api_reference::get_asset("scalar.js").unwrap_or_default().into());
    SCRIPT.clone()
}

fn script(bytes: Bytes) -> impl IntoResponse {
    answer("text/javascript; charset=utf-8", bytes)
}

fn answer(kind: &'static str, bytes: Bytes) -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, bytes)
}
