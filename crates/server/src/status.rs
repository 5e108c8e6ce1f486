//! The only file that knows status codes: the code of each error over gRPC and over HTTP.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Body;
use customer_settings_contract::descriptors;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prost_reflect::DynamicMessage;
use tonic::Code;
use tonic_types::StatusExt as _;

use self::{
    bounds::Parts,
    details::{metadata, violations},
};
use crate::catalog::error::{Error, MOST_NAMED, Violation, few};

mod bounds;
mod details;
mod documented;
mod page;

pub(crate) use bounds::quoted;
pub use bounds::{MOST_SENT, with_short_head};
pub use documented::{About, DocumentedError, documented_errors};
use page::NotNow;
pub use page::{Page, in_words, not_now};

/// The domain of every `ErrorInfo` of this service.
pub const DOMAIN: &str = "customer-settings";

/// The protocol of a request, which decides the form of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/JSON.
    #[default]
    Http,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
}

/// The problem of a request's `Host` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostProblem {
    /// There is no header.
    #[error("there is no Host header, which HTTP/1.1 requires")]
    Missing,
    /// There is more than one header.
    #[error("there is more than one Host header")]
    Several,
    /// The value is not a name or an address with an optional port.
    #[error("the Host header is no name or address, with or without a port")]
    Malformed,
}

/// Errors before a method is reached.
#[derive(Clone, Debug)]
pub enum RequestError {
    /// No method has this path.
    UnknownPath {
        /// The path as it was sent.
        path: String,
        /// Methods with nearly that path, as in `POST /v1/things/a:archive`.
        instead: Vec<String>,
    },
    /// No gRPC method has this path.
    UnknownMethod {
        /// The path as it was sent.
        path: String,
    },
    /// The path has methods, but not this HTTP method.
    MethodNotAllowed {
        /// The HTTP methods that the path has.
        allow: String,
        /// Methods with nearly that path.
        instead: Vec<String>,
    },
    /// The body is larger than the server accepts.
    BodyTooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// The body is not JSON.
    MalformedJson {
        /// The problem, with line and column if they are known.
        description: String,
    },
    /// The message is not what the method takes, or its frame is damaged.
    MalformedMessage,
    /// A method with one message was sent more messages.
    SeveralMessages,
    /// The body is a form post.
    FormPost,
    /// The body could not be read to its end.
    BodyUnreadable,
    /// The rest of the body had not come when the request's time was over.
    BodyLate,
    /// The content type is gRPC's, but the HTTP method or version cannot carry gRPC.
    NotGrpc {
        /// The content type as it was sent.
        content_type: String,
        /// The HTTP method as it was sent.
        method: String,
        /// The HTTP version as it was sent.
        version: String,
    },
    /// gRPC with messages in a form that the server does not speak.
    UnknownCodec {
        /// The content type as it was sent.
        content_type: String,
    },
    /// The request came as plain HTTP to a TLS port.
    PlainHttp,
    /// A request of HTTP/1.1 does not name its host once and correctly.
    InvalidHost(HostProblem),
    /// The caller's time-out cannot be read.
    MalformedTimeout {
        /// The header as it was sent.
        given: String,
    },
    /// The body or the message has a compression that the server does not know.
    UnknownEncoding {
        /// The header that names the compression, in lower case.
        header: &'static str,
    },
    /// The body or message is announced as gzip, but is not gzip or is cut off.
    MalformedGzip,
    /// A gRPC message is marked as compressed, but the call names no compression.
    UnannouncedCompression,
}

impl RequestError {
    /// The stable reason for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPath { .. } => "UNKNOWN_PATH",
            Self::UnknownMethod { .. } => "UNKNOWN_METHOD",
            Self::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Self::BodyTooLarge { .. } => "BODY_TOO_LARGE",
            Self::MalformedJson { .. } => "MALFORMED_JSON",
            Self::MalformedMessage => "MALFORMED_MESSAGE",
            Self::SeveralMessages => "SEVERAL_MESSAGES",
            Self::FormPost => "FORM_POST",
            Self::BodyUnreadable => "BODY_UNREADABLE",
            Self::BodyLate => "BODY_LATE",
            Self::NotGrpc { .. } => "NOT_GRPC",
            Self::UnknownCodec { .. } => "UNKNOWN_CODEC",
            Self::PlainHttp => "PLAIN_HTTP",
            Self::InvalidHost(_) => "INVALID_HOST",
            Self::MalformedTimeout { .. } => "MALFORMED_TIMEOUT",
            Self::UnknownEncoding { .. } => "UNKNOWN_ENCODING",
            Self::MalformedGzip => "MALFORMED_GZIP",
            Self::UnannouncedCompression => "UNANNOUNCED_COMPRESSION",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::UnknownPath { path, instead } => format!(
                "there is no method at {}: {}/docs and /openapi.json list the paths there are",
                quoted(path),
                did_you_mean(instead, " ")
            ),
            Self::UnknownMethod { path } => {
                let path = quoted(path);
                format!("there is no method {path}: reflection lists the methods there are")
            }
            Self::MethodNotAllowed { allow, instead } => {
                let hint = did_you_mean(instead, "");
                let joint = if hint.is_empty() { "" } else { "; " };
                format!("this path takes {allow} only{joint}{hint}")
            }
            Self::BodyTooLarge { limit } => format!("the body is larger than {limit} bytes"),
            Self::MalformedJson { description } => {
                format!("the body is not valid JSON: {description}")
            }
            Self::FormPost => {
                "the body is a form post: send JSON with 'Content-Type: application/json'"
                    .to_owned()
            }
            Self::MalformedMessage => {
                "the message cannot be read: it is not what the method takes, or it is damaged"
                    .to_owned()
            }
            Self::SeveralMessages => {
                "the call has more than one message, so nothing was carried out: call once for each".to_owned()
            }
            Self::BodyUnreadable => {
                "the body was cut off or its chunks are malformed: nothing was carried out".to_owned()
            }
            Self::BodyLate => {
                "the request's body did not arrive whole before the deadline, so nothing was carried out: send the \
                 request again, with its whole body"
                    .to_owned()
            }
            Self::NotGrpc { content_type, method, version } => format!(
                "{} is for gRPC, which is POST over HTTP/2, and gRPC-Web, which is POST, and this is {} \
                 over {version}: use a client for gRPC and no proxy that changes what it sends, or send JSON with \
                 'Content-Type: application/json'",
                quoted(content_type),
                quoted(method)
            ),
            Self::PlainHttp => {
                "this port speaks HTTPS, and the request came as plain HTTP: use https:// in the address"
                    .to_owned()
            }
            Self::InvalidHost(problem) => {
                format!("{problem}: send it once, as in 'Host: settings.example.com:8080'")
            }
            Self::MalformedTimeout { given } => malformed_timeout(given),
            Self::UnknownEncoding { header } => format!(
                "the {header} of the request is not known here: send it compressed with gzip, or not compressed"
            ),
            Self::MalformedGzip => {
                "the request says to be compressed with gzip, and is not or was cut off: compress all of it, or \
                 leave the header out that says so"
                    .to_owned()
            }
            Self::UnannouncedCompression => {
                "a message says to be compressed, and grpc-encoding does not say with what: send \
                 'grpc-encoding: gzip', or no compressed message"
                    .to_owned()
            }
            Self::UnknownCodec { content_type } => unknown_codec(content_type),
        }
    }

    /// The headers that tell a client which requests are possible instead.
    fn headers(&self) -> HeaderMap {
        let accepted = match self {
            Self::UnknownEncoding { header: "grpc-encoding" } => {
                (HeaderName::from_static("grpc-accept-encoding"), "identity,gzip")
            }
            Self::UnknownEncoding { .. } => (header::ACCEPT_ENCODING, "gzip"),
            _ => return HeaderMap::new(),
        };
        HeaderMap::from_iter([(accepted.0, HeaderValue::from_static(accepted.1))])
    }

    /// The violation in an INVALID_ARGUMENT.
    fn violation(&self) -> Option<Violation> {
        match self {
            Self::UnknownPath { .. }
            | Self::UnknownMethod { .. }
            | Self::MethodNotAllowed { .. }
            | Self::NotGrpc { .. }
            | Self::UnknownCodec { .. }
            | Self::UnknownEncoding { .. }
            | Self::UnannouncedCompression
            | Self::SeveralMessages
            | Self::BodyLate
            | Self::PlainHttp => None,
            Self::BodyTooLarge { .. }
            | Self::MalformedJson { .. }
            | Self::MalformedMessage
            | Self::MalformedGzip
            | Self::FormPost
            | Self::BodyUnreadable => Some(Violation::new("body", self.reason(), self.message())),
            Self::InvalidHost(_) => Some(Violation::new("host", self.reason(), self.message())),
            Self::MalformedTimeout { .. } => {
                Some(Violation::new("grpc-timeout", self.reason(), self.message()))
            }
        }
    }
}

/// A question after what was probably meant, with an ending; nothing if that is not known.
fn did_you_mean(instead: &[String], ending: &str) -> String {
    let instead: Vec<_> = instead.iter().map(|method| quoted(method)).collect();
    match &instead[..] {
        [] => String::new(),
        [one] => format!("did you mean {one}?{ending}"),
        several => format!("did you mean one of {}?{ending}", few(several, MOST_NAMED)),
    }
}

fn malformed_timeout(given: &str) -> String {
    format!(
        "grpc-timeout is '{}': send it once, as one to eight digits and a unit (H, M, S, m, u or n), for example 500m \
         for half a second",
        quoted(given)
    )
}

fn unknown_codec(content_type: &str) -> String {
    format!(
        "messages of the content type {} are not spoken here: use application/grpc, application/grpc-web or \
         application/grpc-web-text, or send JSON over HTTP with 'Content-Type: application/json'",
        quoted(content_type)
    )
}

/// The table: the gRPC code and HTTP status of each error, for every protocol.
fn codes(error: &Error) -> (Code, StatusCode) {
    match error {
        Error::NoCredential
        | Error::MalformedCredential(_)
        | Error::UnknownKey
        | Error::ExpiredKey { .. }
        | Error::RotatedSecret { .. }
        | Error::RevokedKey => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
        Error::AddressNotAllowed { .. }
        | Error::MissingScope { .. }
        | Error::NotCovered { .. }
        | Error::KeyNotWithin(_)
        | Error::KeyOutOfReach { .. }
        | Error::NotCoveringAll => (Code::PermissionDenied, StatusCode::FORBIDDEN),
        Error::NotFound { .. } => (Code::NotFound, StatusCode::NOT_FOUND),
        Error::Invalid(_) => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        Error::NameTaken { .. } | Error::IdTaken { .. } | Error::SecretTaken { .. } => {
            (Code::AlreadyExists, StatusCode::CONFLICT)
        }
        Error::TooMany { .. } | Error::Precondition { .. } | Error::Mirrored(_) => {
            (Code::FailedPrecondition, StatusCode::BAD_REQUEST)
        }
        Error::RequestIdReused { .. } => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        Error::ChangedSince { .. } => (Code::FailedPrecondition, StatusCode::BAD_REQUEST),
        Error::EtagMismatch { .. } | Error::PlanChanged(_) => (Code::Aborted, StatusCode::CONFLICT),
        Error::InBatch { error, .. } => codes(error),
        Error::Contended { .. } => (Code::Aborted, StatusCode::CONFLICT),
        Error::TooManyRequests { .. } => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
        Error::Unavailable { .. } => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Error::DeadlineExceeded | Error::NotBegun => {
            (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT)
        }
        Error::Internal(_) => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The same table for errors before a method is reached.
fn request_codes(error: &RequestError) -> (Code, StatusCode) {
    match error {
        RequestError::UnknownPath { .. } => (Code::NotFound, StatusCode::NOT_FOUND),
        RequestError::UnknownMethod { .. } => (Code::Unimplemented, StatusCode::NOT_IMPLEMENTED),
        // gRPC's document on status codes asks for this code.
        RequestError::SeveralMessages => (Code::Unimplemented, StatusCode::BAD_REQUEST),
        RequestError::MethodNotAllowed { .. } => {
            (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED)
        }
        RequestError::NotGrpc { .. }
        | RequestError::UnknownCodec { .. }
        | RequestError::UnknownEncoding { .. } => {
            (Code::Unimplemented, StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
        // gRPC's document on compression asks for this code.
        RequestError::UnannouncedCompression => (Code::Internal, StatusCode::BAD_REQUEST),
        RequestError::PlainHttp => (Code::FailedPrecondition, StatusCode::BAD_REQUEST),
        // Unlike 504, this status says that the server waited for the client. The server did not fail, and
        // the request can be sent again.
        RequestError::BodyLate => (Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT),
        RequestError::BodyTooLarge { .. } => (Code::InvalidArgument, StatusCode::PAYLOAD_TOO_LARGE),
        RequestError::MalformedJson { .. }
        | RequestError::MalformedMessage
        | RequestError::MalformedGzip
        | RequestError::FormPost
        | RequestError::BodyUnreadable
        | RequestError::MalformedTimeout { .. }
        | RequestError::InvalidHost(_) => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
    }
}

/// The HTTP status of a gRPC code, for errors from outside our own tables.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);
const CHALLENGE: &str = r#"Basic realm="customer-settings", charset="UTF-8""#;

/// An error in the form of gRPC: code, message and typed details, and its headers as metadata.
///
/// Unavailable and internal errors are logged here, because only this function meets each of them once.
pub fn grpc_status(error: &Error) -> tonic::Status {
    if let Some(cause) = error.cause() {
        tracing::error!(reason = error.reason(), cause = cause.for_log(), "{error}");
    }
    rendered(error)
}

fn rendered(error: &Error) -> tonic::Status {
    let (code, _) = codes(error);
    let retry = match error {
        Error::TooManyRequests { retry_after_ms, .. } => {
            Some(Duration::from_millis(*retry_after_ms))
        }
        Error::Unavailable { .. } => Some(RETRY_UNAVAILABLE),
        _ => None,
    };
    let mut headers = HeaderMap::new();
    if let Some(delay) = retry {
        let seconds = delay.as_millis().div_ceil(1_000).max(1);
        headers
            .extend(HeaderValue::from_str(&seconds.to_string()).map(|s| (header::RETRY_AFTER, s)));
    }
    if code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    let message = error.to_string();
    let (reason, metadata, violations) = (error.reason(), metadata(error), violations(error));
    Parts { code, message, reason, metadata, violations, retry, headers }.into_status()
}

/// An error of a request that reached no method, in the form of gRPC.
pub fn request_status(error: &RequestError) -> tonic::Status {
    let parts = Parts {
        code: request_codes(error).0,
        message: error.message(),
        reason: error.reason(),
        metadata: BTreeMap::new(),
        violations: error.violation().into_iter().collect(),
        retry: None,
        headers: error.headers(),
    };
    parts.into_status()
}

/// An error as an answer in the protocol of the request.
pub fn error_response(protocol: Protocol, error: &Error) -> Response<Body> {
    respond(protocol, grpc_status(error), codes(error).1)
}

/// An error of a request that reached no method, as an answer in the protocol of the request.
pub fn request_error_response(protocol: Protocol, error: &RequestError) -> Response<Body> {
    let mut response = respond(protocol, request_status(error), request_codes(error).1);
    if let RequestError::MethodNotAllowed { allow, .. } = error
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// A gRPC status as an HTTP/JSON answer.
pub fn json_response(status: &tonic::Status) -> Response<Body> {
    json_with(status, http_status(status.code()))
}

/// The answer to a conditional request if the thing has not changed.
pub fn not_modified<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// An answer for people.
pub fn page_response(outcome: Page<'_>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = match outcome {
        Page::Shown => StatusCode::OK,
        Page::Elsewhere => StatusCode::SEE_OTHER,
        Page::Refused(status) => http_status(status.code()),
        Page::Unknown => StatusCode::NOT_FOUND,
        Page::OtherMethod => StatusCode::METHOD_NOT_ALLOWED,
        Page::Forged => StatusCode::FORBIDDEN,
        Page::Malformed => StatusCode::BAD_REQUEST,
        Page::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Page::Unknowable => StatusCode::UNAUTHORIZED,
        Page::Misdirected => StatusCode::MISDIRECTED_REQUEST,
    };
    if let Page::Refused(status) = outcome
        && is_of_the_moment(&response)
    {
        response.extensions_mut().insert(NotNow(status.clone()));
    }
    response
}

/// Whether an answer is a refusal after which the same request may succeed.
fn is_of_the_moment<B>(response: &Response<B>) -> bool {
    let status = response.status();
    status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

/// Whether the answer is such an answer.
pub fn is_not_modified<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::NOT_MODIFIED
}

/// The code in the head or the trailers of a gRPC answer.
pub fn grpc_code(headers: &HeaderMap) -> Option<Code> {
    headers.get(tonic::Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// The code of a gRPC answer, if it is known before the answer's body.
pub fn early_code<B>(response: &Response<B>) -> Option<Code> {
    grpc_code(bounds::outcome(response))
}

/// The stable reason of an error and its sentence, in the extensions of its JSON answer. Over gRPC the head has them.
#[derive(Clone)]
struct Refusal {
    reason: String,
    message: String,
}

/// The reason of an answer, if it is an error.
pub fn reason<B>(response: &Response<B>) -> Option<String> {
    if let Some(Refusal { reason, .. }) = response.extensions().get() {
        return Some(reason.clone());
    }
    let status = tonic::Status::from_header_map(bounds::outcome(response))?;
    Some(status.get_details_error_info()?.reason)
}

/// Whether the answer says that the client sends too many requests.
pub fn is_limited<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::TOO_MANY_REQUESTS
        || early_code(response) == Some(Code::ResourceExhausted)
}

fn respond(protocol: Protocol, status: tonic::Status, http: StatusCode) -> Response<Body> {
    match protocol {
        Protocol::Http => json_with(&status, http),
        Protocol::Grpc | Protocol::GrpcWeb => status.into_http(),
    }
}

fn json_with(status: &tonic::Status, http: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(status_json(status)));
    *response.status_mut() = http;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    if let Some(info) = status.get_details_error_info() {
        let message = status.message().to_owned();
        response.extensions_mut().insert(Refusal { reason: info.reason, message });
    }
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ACCEPT_ENCODING] {
        if let Some(value) =
            status.metadata().get(name.as_str()).and_then(|value| value.to_str().ok())
            && let Ok(value) = HeaderValue::from_str(value)
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `google.rpc.Status` as JSON, in the order code, message, details.
fn status_json(status: &tonic::Status) -> Vec<u8> {
    let code = status.code() as i32;
    let detailed = descriptors()
        .get_message_by_name("google.rpc.Status")
        .and_then(|message| DynamicMessage::decode(message, status.details()).ok())
        .filter(|_| !status.details().is_empty())
        .and_then(|message| serde_json::to_value(&message).ok());
    let mut json = detailed.unwrap_or_else(
        || serde_json::json!({"code": code, "message": status.message(), "details": []}),
    );
    // Maps have no fixed order, but the same error should have the same bytes.
    for detail in json["details"].as_array_mut().into_iter().flatten() {
        if let Some(metadata) =
            detail.get_mut("metadata").and_then(|metadata| metadata.as_object_mut())
        {
            metadata.sort_keys();
        }
    }
    json.to_string().into_bytes()
}
