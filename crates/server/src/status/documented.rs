//! The errors in the OpenAPI document, made in the same way as for answers.

use axum::body::Body;
use http::{Response, StatusCode, header};

use super::{
    Protocol, RequestError, codes, json_with, rendered, request_error_response, request_status,
    status_json,
};
use crate::catalog::{
    access::Scope,
    error::{Cause, Error, Kind, Limit, Unavailable},
};

/// An error in the OpenAPI document.
#[derive(Clone, Debug)]
pub struct DocumentedError {
    /// Its HTTP status.
    pub status: StatusCode,
    /// The situation in which it is answered.
    pub description: &'static str,
    /// The requests that can get it.
    pub about: About,
    /// The headers of the answer.
    pub headers: Vec<String>,
    /// A real answer.
    pub example: serde_json::Value,
}

/// The requests that can get an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// All requests.
    Anything,
    /// Requests with a body.
    Bodies,
    /// Writes.
    Writes,
    /// Requests whose path has variables, so that a wrong value may make another path of it.
    Paths,
}

/// One error of each HTTP status that any method may answer, in the form of answers.
pub fn documented_errors() -> Vec<DocumentedError> {
    let invalid =
        Error::invalid("company_id", "MALFORMED_ID", "must be 1 to 64 of A-Z a-z 0-9 _ -");
    let missing_scope = Error::MissingScope { scopes: vec![Scope::SettingsRead], why: None };
    let missing = Error::NotFound { kind: Kind::Company, id: "cmp_404".to_owned() };
    let limited = Error::TooManyRequests { limit: Limit::Key, retry_after_ms: 1_000 };
    let overloaded = Error::Unavailable { what: Unavailable::Overloaded, cause: Cause::default() };
    let too_large = RequestError::BodyTooLarge { limit: 1 << 20 };
    let encoded = RequestError::UnknownEncoding { header: "content-encoding" };
    let other_methods =
        RequestError::MethodNotAllowed { allow: "GET, HEAD".to_owned(), instead: vec![] };
    let changed = Error::EtagMismatch {
        what: "customer_tags/tag_001".to_owned(),
        was_its: true,
        since: vec![],
    };
    // This is not an answer that is sent, which would be counted and logged.
    let of = |description: &'static str, about: About, error: &Error| {
        let (status, http) = (rendered(error), codes(error).1);
        documented(description, about, &status, json_with(&status, http))
    };
    let of_request = |description: &'static str, about: About, error: &RequestError| {
        let response = request_error_response(Protocol::Http, error);
        documented(description, about, &request_status(error), response)
    };
    use About::{Anything, Bodies, Paths, Writes};
    vec![
        of("The request is malformed, or the state does not allow it.", Anything, &invalid),
        of("There is no valid key in the request.", Anything, &Error::NoCredential),
        of(
            "The key lacks the scope, does not cover the company, or may not be used from there.",
            Anything,
            &missing_scope,
        ),
        of("There is no such thing, or no such path.", Anything, &missing),
        of_request("The path that this makes has other HTTP methods.", Paths, &other_methods),
        of_request("The body did not arrive in time.", Bodies, &RequestError::BodyLate),
        of("Another change came first, or the name or the id is taken.", Writes, &changed),
        of_request("The body is too large.", Bodies, &too_large),
        of_request("The body is compressed with something other than gzip.", Bodies, &encoded),
        of("Too many requests.", Anything, &limited),
        of("A bug in the server.", Anything, &Error::Internal(Cause::default())),
        of("The server cannot answer just now.", Anything, &overloaded),
        of("The request's deadline passed.", Anything, &Error::DeadlineExceeded),
    ]
}

fn documented(
    description: &'static str,
    about: About,
    status: &tonic::Status,
    response: Response<Body>,
) -> DocumentedError {
    let mut headers: Vec<String> = response.headers().keys().map(ToString::to_string).collect();
    headers.retain(|name| name != header::CONTENT_TYPE.as_str());
    let example = serde_json::from_slice(&status_json(status)).unwrap_or_default();
    DocumentedError { status: response.status(), description, about, headers, example }
}
