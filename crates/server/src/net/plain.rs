//! Plain HTTP on the port of TLS. Its first byte tells it from a handshake. The server answers that this port speaks
//! HTTPS, since a client whose connection is only closed shows its user a riddle.

use std::{
    convert::Infallible,
    future::{poll_fn, ready},
    io,
    ops::ControlFlow,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;

use super::{
    Manner, Shutdown, fit_for,
    http2::{
        first_run::RunFirst,
        linger::linger,
        wire::{Wire, poll_connection},
    },
    pipeline::refuse_request,
};
use crate::status::RequestError;

/// Whether the client begins with an HTTP method. No TLS record begins with a letter.
pub(super) async fn is_spoken(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let seen = stream.peek(&mut first).await?;
    Ok(seen == 1 && first[0].is_ascii_uppercase())
}

/// Answers one request, over HTTP/1.1 or HTTP/2. The caller limits the time.
pub(super) async fn refuse(stream: TcpStream, shutdown: &Shutdown) {
    let wire = Wire::new(stream, 1);
    let is_answered = Arc::new(AtomicBool::new(false));
    let answered = Arc::clone(&is_answered);
    let service = service_fn(move |request: Request<Incoming>| {
        answered.store(true, Ordering::Relaxed);
        let response = refuse_request(Manner::of(&request), &RequestError::PlainHttp);
        ready(Ok::<_, Infallible>(fit_for(request.method(), response)))
    });
    let mut protocols = auto::Builder::new(RunFirst);
    protocols.http1().keep_alive(false);
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(wire.clone()), service));
    let served = poll_fn(|context| {
        let mut polled = poll_connection(connection.as_mut(), &wire, 0, context);
        if polled.is_continue() && is_answered.swap(false, Ordering::Relaxed) {
            connection.as_mut().graceful_shutdown();
            polled = poll_connection(connection.as_mut(), &wire, 0, context);
        }
        match polled {
            ControlFlow::Continue(_) => Poll::Pending,
            ControlFlow::Break(served) => Poll::Ready(served),
        }
    });
    if let Err(error) = served.await {
        tracing::debug!(%error, "plain HTTP on the port of TLS, and not even that");
    }
    linger(&wire, shutdown).await;
}
