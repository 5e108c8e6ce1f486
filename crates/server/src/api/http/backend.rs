//! Calls the gRPC services in this process: one message in, one message out.
//!
//! This file knows gRPC's headers, and nothing of JSON.

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header, request,
};
use http_body_util::{BodyExt, Full};
use prost_reflect::DynamicMessage;
use tonic::{Code, Status};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::api::frame::{framed, unframed};

/// The gRPC services, as one service of tower.
pub type Backend =
    BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

pub(crate) struct Answer {
    pub(crate) message: Bytes,
    /// The metadata, without the headers of gRPC itself.
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: http::Extensions,
}

/// Calls a method with the headers and extensions of a request.
///
/// An error's metadata holds only headers that may go into an answer.
pub(crate) async fn call(
    backend: Backend,
    rpc_path: &str,
    parts: request::Parts,
    message: &DynamicMessage,
) -> Result<Answer, Status> {
    let request = grpc_request(rpc_path, parts, message)?;
    let response = match backend.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers)
        && status.code() != Code::Ok
    {
        return Err(without_grpc_headers(status));
    }
    let body = body.collect().await.map_err(without_grpc_headers)?;
    let mut headers = parts.headers;
    if let Some(trailers) = body.trailers() {
        match Status::from_header_map(trailers) {
            Some(status) if status.code() != Code::Ok => return Err(without_grpc_headers(status)),
            _ => headers.extend(trailers.clone()),
        }
    }
    let frame = body.to_bytes();
    let message = frame.slice_ref(unframed(&frame).map_err(Status::internal)?);
    remove_own(&mut headers);
    Ok(Answer { message, headers, extensions: parts.extensions })
}

fn grpc_request(
    rpc_path: &str,
    parts: request::Parts,
    message: &DynamicMessage,
) -> Result<Request<tonic::body::Body>, Status> {
    let frame = framed(message).ok_or_else(|| Status::internal("the message is too large"))?;
    let mut request = Request::new(tonic::body::Body::new(Full::new(frame)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() =
        Uri::try_from(rpc_path).map_err(|error| Status::internal(error.to_string()))?;
    *request.extensions_mut() = parts.extensions;
    *request.headers_mut() = parts.headers;
    let headers = request.headers_mut();
    remove_own(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    Ok(request)
}

fn without_grpc_headers(mut status: Status) -> Status {
    let mut headers = std::mem::take(status.metadata_mut()).into_headers();
    remove_own(&mut headers);
    *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
    status
}

/// Removes the headers that concern one connection, one body, or gRPC itself.
fn remove_own(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        header::HOST,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
    ] {
        headers.remove(name);
    }
    for name in [
        "keep-alive",
        "proxy-connection",
        "http2-settings",
        "grpc-encoding",
        "grpc-accept-encoding",
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
    ] {
        headers.remove(name);
    }
}
