//! Plain HTTP on the port of TLS: told from a handshake by its first byte, and answered that this port speaks
//! HTTPS, since a client that is only closed shows its user a riddle.

use std::{convert::Infallible, io};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Protocol, Shutdown, connection::linger, fit_for, wire::Wire};
use crate::api::status::{RequestError, request_error_response};

/// Whether the client begins with an HTTP method. No TLS record begins with a letter.
pub(super) async fn is_spoken(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let seen = stream.peek(&mut first).await?;
    Ok(seen == 1 && first[0].is_ascii_uppercase())
}

/// Answers one request. The time for it is for the caller to limit.
pub(super) async fn refuse(stream: TcpStream, shutdown: &Shutdown) {
    let wire = Wire::new(stream, 1);
    let service = service_fn(async |request: Request<Incoming>| {
        let response = request_error_response(Protocol::Http, &RequestError::PlainHttp);
        Ok::<_, Infallible>(fit_for(request.method(), response))
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(wire.clone()), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "plain HTTP on the port of TLS, and not even that");
    }
    linger(&wire, shutdown).await;
}
