//! The two clients: HTTP/1.1 with JSON, and gRPC for any method by its descriptor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use axum::body::Body;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};
use tonic_types::StatusExt;

use super::{Method, PATIENCE, Server};

/// An HTTP request in the making.
pub(crate) struct Call<'a> {
    server: &'a Server,
    request: request::Builder,
    body: Bytes,
}

impl Server {
    /// A request over HTTP/1.1, on a connection of its own.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        self.call_at("test", method, path)
    }

    /// The same for a host.
    pub(crate) fn call_at(&self, host: &str, method: &str, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).header("host", host);
        Call { server: self, request, body: Bytes::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub(crate) fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy()
    }

    /// Calls any method over gRPC. Messages are JSON with all fields.
    pub(crate) async fn grpc(
        &self,
        method: &Method,
        metadata: &[(&'static str, &str)],
        request: &Value,
    ) -> Result<Value, Status> {
        let answer = self.grpc_bytes(&method.path, metadata, method.encode(request)).await?;
        Ok(method.decode(answer))
    }

    /// Calls any path over gRPC.
    pub(crate) async fn grpc_bytes(
        &self,
        path: &str,
        metadata: &[(&'static str, &str)],
        message: Bytes,
    ) -> Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel());
        client.ready().await.unwrap();
        let mut request = tonic::Request::new(message);
        for (name, value) in metadata {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        let call = client.unary(request, path.parse().unwrap(), Opaque);
        Ok(timeout(PATIENCE, call).await.unwrap()?.into_inner())
    }
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let _connection = tokio::spawn(connection);
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The error in the body, after a check of its form.
    pub(crate) fn refusal(&self) -> Refusal {
        assert!(!self.status.is_success(), "{}", self.text());
        let json = self.json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message", "details"]);
        let details = json["details"].as_array().unwrap();
        let detail = |name: &str| {
            let kind = format!("type.googleapis.com/google.rpc.{name}");
            details.iter().find(|detail| detail["@type"] == *kind)
        };
        let info = detail("ErrorInfo").unwrap_or_else(|| panic!("no reason: {json}"));
        assert_eq!(info["domain"], "customer-settings");
        let violations = detail("BadRequest").map(|bad| bad["fieldViolations"].as_array().unwrap());
        let code = Code::from_i32(i32::try_from(json["code"].as_i64().unwrap()).unwrap());
        assert_eq!(violations.is_some(), code == Code::InvalidArgument, "{json}");
        let violations: Vec<&Value> = violations.into_iter().flatten().collect();
        let texts = |name: &str| -> Vec<String> {
            violations.iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
        };
        let facts = info["metadata"].as_object().into_iter().flatten();
        let facts = facts.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        Refusal {
            facts: documented(info["reason"].as_str().unwrap(), facts.collect()),
            code,
            reason: info["reason"].as_str().unwrap().to_owned(),
            message: json["message"].as_str().unwrap().to_owned(),
            fields: texts("field"),
            reasons: texts("reason"),
            retries: detail("RetryInfo").is_some(),
            headers: Refusal::headers(&self.headers),
        }
    }
}

/// An error in the form that is common to all protocols.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The names of the wrong fields.
    pub(crate) fields: Vec<String>,
    /// The reason of each wrong field.
    pub(crate) reasons: Vec<String>,
    /// The facts for programs: the metadata of `ErrorInfo`.
    pub(crate) facts: BTreeMap<String, String>,
    /// Whether the error says when to try again.
    pub(crate) retries: bool,
    /// The headers that belong to errors, by name; in gRPC they are metadata.
    pub(crate) headers: Vec<(String, String)>,
}

impl Refusal {
    /// The error in a gRPC status, after a check of its form.
    pub(crate) fn of_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
        assert_eq!(info.domain, "customer-settings");
        let violations = details.bad_request().map(|bad| bad.field_violations.clone());
        assert_eq!(violations.is_some(), status.code() == Code::InvalidArgument, "{status:?}");
        let violations = violations.unwrap_or_default();
        Self {
            facts: documented(&info.reason, info.metadata.clone().into_iter().collect()),
            code: status.code(),
            reason: info.reason.clone(),
            message: status.message().to_owned(),
            fields: violations.iter().map(|violation| violation.field.clone()).collect(),
            reasons: violations.into_iter().map(|violation| violation.reason).collect(),
            retries: details.retry_info().is_some(),
            headers: Self::headers(&status.metadata().clone().into_headers()),
        }
    }

    fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
        let value = |name: &str| {
            let value = headers.get(name)?.to_str().unwrap();
            Some((name.to_owned(), value.to_owned()))
        };
        ["retry-after", "www-authenticate"].into_iter().filter_map(value).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The facts of an error, which docs/api.md names for its reason.
fn documented(reason: &str, facts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    static TABLE: LazyLock<Vec<(BTreeSet<&str>, BTreeSet<&str>)>> = LazyLock::new(|| {
        let names = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
        let rows = include_str!("../../../../../docs/api.md").split("| reason | facts |").nth(1);
        let rows = rows.unwrap().lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = rows.map(|row| row.trim_matches(['|', ' ']).split_once(" | ").unwrap());
        cells.map(|(reasons, facts)| (names(reasons), names(facts))).collect()
    });
    let rows = TABLE.iter().filter(|(reasons, _)| reasons.contains(reason));
    let known: BTreeSet<&str> = rows.flat_map(|(_, facts)| facts.clone()).collect();
    for name in facts.keys() {
        let is_known = known.contains(name.as_str()) || name == "index";
        assert!(is_known, "docs/api.md does not list the fact {name} of {reason}");
    }
    facts
}

/// A codec for messages that are bytes already.
pub(crate) struct Opaque;

impl Codec for Opaque {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Opaque {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A message in gRPC's frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}
