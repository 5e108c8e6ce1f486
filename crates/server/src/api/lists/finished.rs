//! Finished lists: their bytes in every form, with the headers of each form.

use std::{
    io::Write,
    sync::{LazyLock, OnceLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, Response, header};
use sha2::{Digest, Sha256};

use crate::{
    api::{
        caching::{add_cache_headers, has_etag, takes_gzip},
        marks::REVISION,
    },
    catalog::token::RevisionToken,
    net::{WholeBody, X_REQUEST_ID},
    status,
};

static GRPC_TRAILERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    HeaderMap::from_iter([(tonic::Status::GRPC_STATUS, HeaderValue::from_static("0"))])
});

/// A list at a revision, in every form that is sent.
#[derive(Debug)]
pub struct FinishedList {
    json: Encoded,
    /// Made when a client first asks for it.
    gzip: OnceLock<Encoded>,
    grpc: Bytes,
    grpc_head: HeaderMap,
}

#[derive(Debug)]
struct Encoded {
    body: Bytes,
    etag: HeaderValue,
    head: HeaderMap,
    /// The head for a client that has these bytes already.
    head_of_304: HeaderMap,
}

impl FinishedList {
    /// A list at that revision, from its JSON and its gRPC frame.
    pub fn new(token: RevisionToken, json: Vec<u8>, grpc: Bytes) -> Self {
        // The epoch is hashed too: a tag from before a restore must not match a restored list.
        let digest = Sha256::new().chain_update(token.epoch.to_be_bytes()).chain_update(&json);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.finalize()[..16]));
        let revision = printable(&token.to_string());
        let mut grpc_head = common_head("application/grpc");
        grpc_head.insert(REVISION, revision.clone());
        let mut json_head = common_head("application/json");
        json_head.insert(REVISION, revision);
        add_cache_headers(&mut json_head, printable(&etag));
        Self { json: Encoded::new(json.into(), json_head), gzip: OnceLock::new(), grpc, grpc_head }
    }

    /// The list in an encoding that the client accepts, or 304 if the client has it already.
    pub fn over_http<B: Default + From<Bytes>>(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Response<B> {
        let Encoded { body, etag, head, head_of_304 } = match takes_gzip(headers) {
            true => self.gzip.get_or_init(|| self.json.compressed()),
            false => &self.json,
        };
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let (mut response, head) = match is_read && has_etag(headers, etag) {
            true => (status::not_modified(), head_of_304),
            false => (Response::new(B::from(body.clone())), head),
        };
        *response.headers_mut() = head.clone();
        response
    }

    /// The list as a gRPC answer of one message.
    pub(super) fn over_grpc(&self) -> Response<WholeBody> {
        let data = Some(self.grpc.clone());
        let mut response = Response::new(WholeBody { data, trailers: Some(&GRPC_TRAILERS) });
        *response.headers_mut() = self.grpc_head.clone();
        response
    }
}

impl Encoded {
    /// `head` must have the etag.
    fn new(body: Bytes, head: HeaderMap) -> Self {
        let etag = head[header::ETAG].clone();
        let mut head_of_304 = head.clone();
        head_of_304.remove(header::CONTENT_TYPE);
        head_of_304.remove(header::CONTENT_ENCODING);
        Self { body, etag, head, head_of_304 }
    }

    /// The same JSON, compressed. A tag names bytes, so the compressed form has a tag of its own.
    fn compressed(&self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(&self.body).and_then(|()| encoder.finish());
        let body = written.unwrap_or_else(|error| unreachable!("memory is there: {error}"));
        let etag = self.etag.to_str().unwrap_or_default().trim_end_matches('"');
        let mut head = self.head.clone();
        head.insert(header::ETAG, printable(&format!("{etag}-gzip\"")));
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Self::new(body.into(), head)
    }
}

/// The headers of every answer. The request's id replaces the empty one.
fn common_head(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (X_REQUEST_ID, HeaderValue::from_static("")),
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
    ])
}

fn printable(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| unreachable!("{text} was made here"))
}
