//! Answers: pages, redirections, files, each with the headers that keep other sites out.

use std::io::Write;

use askama::Template;
use axum::{body::Body, response::Response};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Body as _;
use tonic::Status;

use crate::status::{Page, page_response};

/// The answer of a page, or the refusal of a method that it called.
pub(super) type Answer = Result<Response<Body>, Status>;

/// Nothing but our own files; no inline script, no inline style, no frame, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// The fewest bytes of a page that is worth compressing.
const LONG_PAGE_BYTES: u64 = 16 << 10;
/// The fastest level leaves a long list larger, and saves hardly any time.
const LEVEL: u32 = 3;

/// Puts the headers on that every answer of the console has.
pub(super) fn guard(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // No address of a page, since that of a link has its token. With `no-referrer`, browsers would also send
        // `Origin: null` with our own forms, and those without `Sec-Fetch-Site` could not sign in.
        (header::REFERRER_POLICY, "strict-origin"),
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

/// The same answer in gzip, where it is a long page. Pages that show a secret are short, and stay as they are.
pub(super) async fn zipped(response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let length = response.body().size_hint().exact().unwrap_or_default();
    if !is_page || length < LONG_PAGE_BYTES {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(text) = axum::body::to_bytes(body, usize::MAX).await else {
        return plain(Page::Refused(&Status::unknown("")), "The page cannot be shown.");
    };
    let mut zip = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    match zip.write_all(&text).and_then(|()| zip.finish()) {
        Ok(zipped) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            Response::from_parts(parts, Body::from(zipped))
        }
        Err(_) => Response::from_parts(parts, Body::from(text)),
    }
}

/// A sentence without a page around it.
pub(super) fn plain(outcome: Page<'_>, text: &str) -> Response<Body> {
    of_kind(outcome, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// An answer for our own script.
pub(super) fn json(outcome: Page<'_>, value: &serde_json::Value) -> Response<Body> {
    of_kind(outcome, "application/json", value.to_string())
}

/// A text to keep, under a file's name.
pub(super) fn file(name: &str, text: String) -> Response<Body> {
    let mut response = of_kind(Page::Shown, "text/plain; charset=utf-8", text);
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
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
