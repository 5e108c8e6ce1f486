//! A running server, in gRPC-Web over HTTP/1.1: every proxy forwards that. Knows no method and no key.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::{Status, body::Body};
use tonic_web::{GrpcWebCall, GrpcWebClientService};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use super::{
    MOST_ANSWER_BYTES, Services,
    proxy::{Connector, connector},
    refusal,
};
use crate::{
    failure::{Failure, failure, usage},
    output::cell,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the time after which proxies close connections without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The most characters that are shown of an answer of something else.
const MOST_MESSAGE: usize = 300;
const USER_AGENT: &str = concat!("customer-settings/", env!("CARGO_PKG_VERSION"));

/// A server. Connections are opened when they are needed.
#[derive(Clone)]
pub(crate) struct Remote {
    http: legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
    timeout: Duration,
}

impl Remote {
    /// `timeout`: how long an answer may take, with the connection that it needs.
    pub(crate) fn new(
        server: &Uri,
        ca_file: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let roots = match server.scheme_str() {
            Some("https") => roots(ca_file)?,
            _ => RootCertStore::empty(),
        };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector(server, tcp)?);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(https);
        Ok(Self { http, timeout })
    }

    /// The services of the server.
    pub(super) fn services(&self) -> Services {
        let remote = self.clone();
        let http = service_fn(move |request: Request<GrpcWebCall<Body>>| {
            let remote = remote.clone();
            async move { remote.exchange(request).await }
        });
        let answers = GrpcWebClientService::new(http).map_response(|answer| answer.map(Body::new));
        BoxCloneSyncService::new(answers.map_err(Into::into))
    }

    async fn exchange(
        &self,
        request: Request<GrpcWebCall<Body>>,
    ) -> Result<Response<Full<Bytes>>, Status> {
        let (mut head, body) = request.into_parts();
        // HTTP/1.1 has no use for it, and proxies need not forward it.
        head.headers.remove(header::TE);
        // Proxies refuse bodies whose length is not known from the start.
        let body = body.collect().await?.to_bytes();
        let answer =
            self.send(Request::from_parts(head, Full::new(body)), MOST_ANSWER_BYTES).await?;
        let is_grpc_web = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web"));
        if answer.headers().contains_key("grpc-status")
            || (is_grpc_web && answer.status() == StatusCode::OK)
        {
            return Ok(answer.map(Full::new));
        }
        Err(foreign(&answer))
    }

    /// Sends a request and reads the answer, which may have so many bytes.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        most_bytes: usize,
    ) -> Result<Response<Bytes>, Status> {
        let user_agent = header::HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, user_agent);
        let exchange = async {
            let (head, body) = self.http.request(request).await.map_err(broken)?.into_parts();
            let body = Limited::new(body, most_bytes).collect().await;
            let body = body.map_err(|error| unread(error, most_bytes))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = |_| Err(Status::deadline_exceeded("the answer took too long"));
        timeout(self.timeout, exchange).await.unwrap_or_else(late)
    }
}

/// The authorities that may sign a server's certificate: those of the machine, and those of the file.
fn roots(file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(native.certs);
    if let Some(file) = file {
        let wrong =
            |error: &dyn std::fmt::Display| usage(format!("--ca-file {}: {error}", file.display()));
        let before = store.len();
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
        for certificate in certificates {
            store
                .add(certificate.map_err(|error| wrong(&error))?)
                .map_err(|error| wrong(&error))?;
        }
        if store.len() == before {
            return Err(wrong(&"it holds no PEM certificate"));
        }
    }
    if !store.is_empty() {
        return Ok(store);
    }
    let why = native.errors.first().map_or_else(|| "none is installed".into(), ToString::to_string);
    Err(failure(format!(
        "this machine has no certificate authorities ({why}): install ca-certificates, or give --ca-file FILE"
    )))
}

/// The error of a request that got no answer.
fn broken(error: legacy::Error) -> Status {
    let mut status = match error.is_connect() {
        true => Status::unavailable("no connection"),
        false => Status::unknown("the connection broke"),
    };
    status.set_source(Arc::new(error));
    status
}

/// The error of an answer whose body cannot be read.
fn unread(error: Box<dyn std::error::Error + Send + Sync>, most_bytes: usize) -> Status {
    if error.is::<LengthLimitError>() {
        let most = most_bytes >> 20;
        return Status::out_of_range(format!(
            "the answer is too large: it has more than {most} MiB"
        ));
    }
    Status::unknown(format!("the answer broke off: {}", refusal::causes(&*error)))
}

/// The error behind a status, if nothing was sent for lack of a connection.
pub(super) fn no_connection(status: &Status) -> Option<&legacy::Error> {
    let source = std::error::Error::source(status)?.downcast_ref::<legacy::Error>();
    source.filter(|error| error.is_connect())
}

/// The status of an answer that something else gave, with the place where it leads and its own words.
pub(crate) fn heard(answer: &Response<Bytes>) -> String {
    let mut text = format!("HTTP status {}", answer.status());
    if let Some(place) = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()) {
        text.push_str(&format!(", which leads to {place}"));
    }
    if let Some(message) = own_words(answer.body()) {
        text.push_str(&format!(": {message}"));
    }
    text
}

/// The error for an answer that something else gave, such as a proxy or another program.
pub(super) fn foreign(answer: &Response<Bytes>) -> Status {
    let (status, text) = (answer.status(), heard(answer));
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Status::unavailable(text),
        // Nobody who answers so has carried anything out.
        _ if status.is_client_error() || status.is_redirection() => {
            Status::failed_precondition(text)
        }
        _ => Status::unknown(text),
    }
}

/// The message of a server of this service, for example to a request without TLS on a port with it.
fn own_words(body: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(body).ok()?;
    let message = status["message"].as_str().filter(|message| !message.is_empty())?;
    Some(cell(&json!(message)).chars().take(MOST_MESSAGE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_something_else_tells_whether_the_request_may_have_been_carried_out() {
        for (status, is_unknown) in [
            (200, true),
            (308, false),
            (401, false),
            (404, false),
            (413, false),
            (500, true),
            (502, true),
            (504, true),
        ] {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(refusal::is_unknown(&foreign(&answer)), is_unknown, "{status}");
        }
    }

    #[test]
    fn the_words_of_an_answer_are_told_up_to_a_limit() {
        let told = |body: &str| {
            let mut answer = Response::new(Bytes::from(body.to_owned()));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            foreign(&answer).message().to_owned()
        };
        let plain = "HTTP status 400 Bad Request";
        assert_eq!(
            told(r#"{"message": "use https://\u001b[1m"}"#),
            format!("{plain}: use https://\u{fffd}[1m")
        );
        for silent in ["<html>", "[]", "{}", r#"{"message": ""}"#, r#"{"message": 1}"#] {
            assert_eq!(told(silent), plain);
        }
        assert_eq!(
            told(&json!({"message": "x".repeat(5000)}).to_string()).len(),
            plain.len() + 302
        );
    }

    #[test]
    fn a_redirection_says_where_it_leads() {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
        answer.headers_mut().insert("location", "https://settings.example.com/".parse().unwrap());
        assert!(foreign(&answer).message().ends_with("leads to https://settings.example.com/"));
    }
}
