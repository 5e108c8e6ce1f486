//! The parts of a status, cut to the sizes that every client accepts. All statuses of this service are made here, so
//! none can be too large, for texts of any length.

use std::{borrow::Cow, collections::BTreeMap, convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::DOMAIN;
use crate::catalog::error::Violation;

/// The most bytes of a status as gRPC sends it. The message is sent twice: with percent signs, and among the details in
/// base64. gRPC's C core begins to refuse at 8 KiB of headers, and other headers need some room.
pub const MOST_SENT: usize = 7 * 1_024;

/// The most bytes of a status in the head of an answer over gRPC-Web. nginx takes heads of four KiB, unless it is
/// configured otherwise, and other headers need some room.
const MOST_IN_HEAD: usize = 2 * 1_024;

/// The part of these bytes for the message.
const MOST_MESSAGE_SENT: usize = 3 * 1_024;
/// The most bytes of the metadata of `ErrorInfo`, names included.
const MOST_METADATA: usize = 1_024;
/// The most bytes of one value in the metadata.
const MOST_VALUE: usize = 512;
/// The most bytes of the path of a wrong field.
const MOST_FIELD: usize = 200;
/// The most bytes of the description of a wrong field.
const MOST_DESCRIPTION: usize = 600;
/// The most bytes that an error quotes from the caller's request.
const MOST_QUOTED: usize = 200;
/// More than the rest needs: names of headers and types, reasons, the delay before a repetition.
const OVERHEAD_SENT: usize = 640;
/// More than the tags and lengths around three texts in a message need.
const FRAMING: usize = 16;

/// The parts of a status, in their full length.
pub(super) struct Parts {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) reason: &'static str,
    pub(super) metadata: BTreeMap<&'static str, String>,
    pub(super) violations: Vec<Violation>,
    pub(super) retry: Option<Duration>,
    pub(super) headers: HeaderMap,
}

impl Parts {
    pub(super) fn into_status(self) -> Status {
        let message = message(&self.message);
        let mut room = MOST_METADATA;
        let mut metadata = Vec::new();
        for (name, value) in self.metadata {
            let value = shortened(&value, MOST_VALUE).into_owned();
            let Some(left) = room.checked_sub(name.len() + value.len() + FRAMING) else { break };
            room = left;
            metadata.push((name.to_owned(), value));
        }
        let mut room = MOST_SENT
            - OVERHEAD_SENT
            - sent(&message)
            - in_base64(
                metadata.iter().map(|(name, value)| name.len() + value.len() + FRAMING).sum(),
            );
        let metadata: std::collections::HashMap<_, _> = metadata.into_iter().collect();
        let mut details = ErrorDetails::with_error_info(self.reason, DOMAIN, metadata);
        if self.retry.is_some() {
            details.set_retry_info(self.retry);
        }
        let mut violations = Vec::new();
        for violation in &self.violations {
            let field = shortened(&violation.field, MOST_FIELD);
            let description = shortened(&violation.description, MOST_DESCRIPTION);
            let reason = violation.reason;
            let size = in_base64(field.len() + description.len() + reason.len() + FRAMING);
            let Some(left) = room.checked_sub(size) else { break };
            room = left;
            let mut told = FieldViolation::new(field, description);
            told.reason = reason.to_owned();
            violations.push(told);
        }
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        let headers = MetadataMap::from_headers(self.headers);
        Status::with_error_details_and_metadata(self.code, message, details, headers)
    }
}

fn message(text: &str) -> Cow<'_, str> {
    let mut most = text.len();
    loop {
        let short = shortened(text, most);
        match sent(&short) {
            size if size <= MOST_MESSAGE_SENT => return short,
            size => most = (most * MOST_MESSAGE_SENT / size).min(most * 9 / 10),
        }
    }
}

/// The bytes that a message needs: in its header, and among the details.
fn sent(message: &str) -> usize {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#%<>`?{}".contains(&byte);
    let in_header: usize = message.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum();
    in_header + in_base64(message.len())
}

fn in_base64(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The text, without its middle if it is much longer than this many bytes. The end stays, because errors say there what
/// to do, and parsers name line and column there.
fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let head = text.floor_char_boundary(most * 3 / 4);
    let tail = text.ceil_char_boundary(text.len() - most / 4);
    Cow::Owned(format!("{} … {}", &text[..head], &text[tail..]))
}

/// A text from the caller's request, for an error. Also for a parser's message, which may quote the request.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    shortened(text, MOST_QUOTED)
}

/// The status of an answer, where the head lacks it.
#[derive(Clone)]
struct InTrailers(HeaderMap);

/// Moves a long status from the head into the trailers, which gRPC-Web sends as a part of the body.
pub fn with_short_head(mut response: Response<Body>) -> Response<Body> {
    let parts = [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS];
    let head = response.headers_mut();
    let size: usize = parts.iter().filter_map(|name| head.get(name)).map(|part| part.len()).sum();
    if size <= MOST_IN_HEAD {
        return response;
    }
    let moved = parts.into_iter().filter_map(|name| head.remove(&name).map(|part| (name, part)));
    let moved: HeaderMap = moved.collect();
    response.extensions_mut().insert(InTrailers(moved.clone()));
    let frame = Frame::<Bytes>::trailers(moved);
    let body = StreamBody::new(stream::iter([Ok::<_, Infallible>(frame)]));
    response.map(|_| Body::new(body))
}

/// The headers of an answer over gRPC that say how the call ended.
pub(super) fn outcome<B>(response: &Response<B>) -> &HeaderMap {
    let moved = response.extensions().get::<InTrailers>();
    moved.map_or_else(|| response.headers(), |InTrailers(moved)| moved)
}
