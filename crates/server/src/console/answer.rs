//! Answers: pages, redirections, files, each with the headers that keep other sites out.

use askama::Template;
use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tonic::Status;

use crate::status::{Page, page_response};

/// The answer of a page, or the refusal of a method that it called.
pub(super) type Answer = Result<Response<Body>, Status>;

/// Nothing but our own files; no inline script, no inline style, no frame, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// Puts the headers on that every answer of the console has.
pub(super) fn guard(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

fn of_kind(page: Page<'_>, kind: &'static str, body: String) -> Response<Body> {
    let mut response = page_response(page, Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    guard(response.headers_mut());
    response
}

/// A page.
pub(super) fn page(outcome: Page<'_>, template: &impl Template) -> Response<Body> {
    match template.render() {
        Ok(text) => of_kind(outcome, "text/html; charset=utf-8", text),
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be written");
            plain(Page::Refused(&Status::unknown("")), "The page cannot be shown.")
        }
    }
}

/// A page that shows what was asked for.
pub(super) fn shown(template: &impl Template) -> Answer {
    Ok(page(Page::Shown, template))
}

/// A sentence without a page around it.
pub(super) fn plain(outcome: Page<'_>, text: &str) -> Response<Body> {
    of_kind(outcome, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// An answer for our own script.
pub(super) fn json(outcome: Page<'_>, value: &serde_json::Value) -> Response<Body> {
    of_kind(outcome, "application/json", value.to_string())
}

/// Leads the browser on, with a GET.
pub(super) fn elsewhere(path: &str) -> Response<Body> {
    let mut response = page_response(Page::Elsewhere, Body::empty());
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    guard(response.headers_mut());
    response
}
