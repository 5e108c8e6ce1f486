//! The console's own style and script, under names with a hash, so that browsers keep them for good.

use std::{io::Write, sync::LazyLock};

use axum::{body::Body, response::Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use sha2::{Digest, Sha256};

use super::answer::{guard, plain};
use crate::status::{Page, page_response};

struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
    zipped: Bytes,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..9]);
        let mut zip = GzEncoder::new(Vec::new(), Compression::best());
        let zipped = zip.write_all(text.as_bytes()).and_then(|()| zip.finish());
        let zipped = zipped.unwrap_or_default().into();
        Self { name: format!("{stem}-{hash}.{ending}"), kind, text, zipped }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/console.css");
    Asset::new("console", "css", "text/css; charset=utf-8", text)
});

static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/console.js");
    Asset::new("console", "js", "text/javascript; charset=utf-8", text)
});

/// The name of the style sheet.
pub(super) fn style() -> &'static str {
    &STYLE.name
}

/// The name of the script.
pub(super) fn script() -> &'static str {
    &SCRIPT.name
}

/// Whether the browser takes gzip, as all do.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("gzip"))
}

/// The file of that name.
pub(super) fn answer(parts: &Parts, name: &str) -> Response<Body> {
    let Some(asset) = [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.name == name) else {
        return plain(Page::Unknown, "There is no such file.");
    };
    let zips = takes_gzip(&parts.headers) && !asset.zipped.is_empty();
    let body = if zips { asset.zipped.clone() } else { Bytes::from_static(asset.text.as_bytes()) };
    let mut response = page_response(Page::Shown, Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, for_good);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if zips {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    guard(headers);
    response
}
