//! Headers of answers about a company: the revision that they show, and for how long the store has not answered.

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Response, Status, metadata::MetadataMap};

use crate::{catalog::error::Result, service::snapshot::Marks, status::grpc_status};

/// The revision that an answer shows.
pub(super) const REVISION: HeaderName = HeaderName::from_static("settings-revision");
/// For how many seconds the answer has not been known to be current.
const STALE: HeaderName = HeaderName::from_static("settings-stale");
/// The least revision of the answer, in requests.
pub(super) const MIN_REVISION: HeaderName = HeaderName::from_static("settings-min-revision");

/// Adds the marks to an answer's headers.
pub(super) fn mark(headers: &mut HeaderMap, marks: Marks) {
    let value = |text: String| HeaderValue::try_from(text);
    if let Ok(token) = value(marks.token.to_string()) {
        headers.insert(REVISION, token);
    }
    // Rounded up, as no answer may be older than this header says.
    if let Some(stale_for) = marks.stale_for
        && let Ok(seconds) = value(stale_for.as_millis().div_ceil(1_000).max(1).to_string())
    {
        headers.insert(STALE, seconds);
    }
}

/// Whether an answer says that the store does not answer.
pub(super) fn is_stale<T>(response: &Response<T>) -> bool {
    response.metadata().contains_key(STALE.as_str())
}

/// An answer, or the error as a gRPC status.
pub(super) fn answer<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| grpc_status(&error))
}

/// An answer with its marks, or the error as a gRPC status.
pub(super) fn marked<T>(result: Result<(Marks, T)>) -> Result<Response<T>, Status> {
    let (marks, message) = result.map_err(|error| grpc_status(&error))?;
    let mut response = Response::new(message);
    let mut headers = HeaderMap::new();
    mark(&mut headers, marks);
    *response.metadata_mut() = MetadataMap::from_headers(headers);
    Ok(response)
}
