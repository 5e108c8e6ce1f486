//! One request has one answer on every way: at once or on the general way, over HTTP/1.1 or HTTP/2, with a
//! complete or a broken body.

use std::{collections::BTreeMap, convert::Infallible, io::Write};

use axum::body::Body;
use bytes::Bytes;
use customer_settings_server::{catalog::key::Key, config::Config};
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config as Cases, TestRunner},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic_types::StatusExt;

use crate::harness::*;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";
const DETAILS: &str = "grpc-status-details-bin";
const TAGS_RPC: &str = "/moego.business.setting.v1.SettingService/ListCustomerTags";

/// A request, and the way to send it.
#[derive(Clone, Debug)]
struct Asked {
    is_http2: bool,
    is_chunked: bool,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Asked {
    fn post(path: &str, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (path, body) = (path.to_owned(), body.into());
        Self { is_http2: false, is_chunked: false, method: "POST", path, headers, body }
    }

    fn over_http2(self) -> Self {
        Self { is_http2: true, ..self }
    }

    fn request(&self) -> Request<Body> {
        let uri = match self.is_http2 {
            true => format!("http://test{}", self.path),
            false => self.path.clone(),
        };
        let mut request = Request::builder().method(self.method).uri(uri);
        if !self.is_http2 {
            request = request.header("host", "test");
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_bytes());
        }
        let body = self.body.clone();
        let body = match self.is_chunked {
            true => {
                let half = body.len() / 2;
                let parts = [body.slice(..half), body.slice(half..)];
                let frames = parts.map(|part| Ok::<_, Infallible>(Frame::data(part)));
                Body::new(StreamBody::new(stream::iter(frames)))
            }
            false => Body::from(body),
        };
        request.body(body).unwrap()
    }
}

/// A whole answer, without the parts that differ between any two answers.
#[derive(Debug, PartialEq)]
struct Whole {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Bytes,
    trailers: Vec<(String, String)>,
}

impl Whole {
    fn reason(&self) -> &str {
        let details = self.headers.iter().find(|(name, _)| name == DETAILS);
        if let Some((_, details)) = details {
            return details.split(' ').nth(1).unwrap();
        }
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let reason = text.split("\"reason\":\"").nth(1).and_then(|rest| rest.split('"').next());
        reason.unwrap_or_default()
    }
}

fn comparable(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = ["date", "x-request-id"];
    let names = headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut all: Vec<_> = names.map(|(name, value)| (name.to_string(), text(value))).collect();
    all.sort();
    all
}

/// The details of gRPC's errors, whose metadata have no fixed order.
fn details(headers: &HeaderMap) -> Option<String> {
    headers.get(DETAILS)?;
    let details = tonic::Status::from_header_map(headers)?.get_error_details();
    let info = details.error_info()?;
    let metadata = BTreeMap::from_iter(&info.metadata);
    let (bad, retry) = (details.bad_request(), details.retry_info());
    Some(format!("{} {} {metadata:?} {bad:?} {retry:?}", info.domain, info.reason))
}

async fn answer(server: &Server, asked: &Asked) -> Whole {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let request = asked.request();
    let answered = async {
        if asked.is_http2 {
            let executor = TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        }
    };
    let answer = timeout(PATIENCE, answered).await.unwrap();
    let (parts, body) = answer.unwrap_or_else(|error| panic!("{asked:?}: {error:?}")).into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap();
    let body = body.unwrap_or_else(|error| panic!("{asked:?}: {error:?}"));
    let trailers = body.trailers().map(comparable).unwrap_or_default();
    let mut headers = comparable(&parts.headers);
    if let Some(details) = details(&parts.headers) {
        headers.retain(|(name, _)| name != DETAILS);
        headers.push((DETAILS.to_owned(), details));
    }
    let status = parts.status;
    Whole { status, headers, body: body.to_bytes(), trailers }
}

/// A configuration whose limits no test reaches.
fn unlimited() -> Config {
    let mut config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
    config.limits.requests_per_second = 1_000_000;
    config.limits.requests_burst = 1_000_000;
    config.limits.unknown_keys_per_second = 1_000_000;
    config.limits.unknown_keys_per_address_per_second = 1_000_000;
    config
}

/// A server that knows the key, a server that answers nothing at once, and the key.
async fn both(config: &Config) -> (Server, Server, String) {
    let ready = Server::with(config.clone(), DEMO).await;
    let general = ready.generally(config);
    let secret = ready.any_key().await;
    for _ in 0..2 {
        assert_eq!(ready.get(TAGS).bearer(&secret).send().await.status, 200);
    }
    (ready, general, secret)
}

fn path() -> impl Strategy<Value = String> {
    let lists = select(vec![
        TAGS,
        "/v1/setting/companies/cmp_001/customer/referral_sources:list",
        "/v1/setting/companies/cmp_001/leads/life_cycles",
        "/v1/setting/companies/cmp_001/leads/action_status",
        TAGS_RPC,
        "/moego.business.setting.v1.SettingService/ListLeadsLifeCycles",
    ]);
    let others = select(vec![
        "/v1/setting/companies/cmp_002/customer/tags:list",
        "/v1/setting/companies/cmp_none/customer/tags:list",
        "/v1/setting/companies/%63mp_001/customer/tags:list",
        "/v1/setting/companies//customer/tags:list",
        "/v1/setting/companies/a/b/customer/tags:list",
        "/v1/setting/companies/cmp_001/customer/tags:list/",
        "/v1/setting/companies/cmp_001/customer/tags:list:list",
        "/moego.business.setting.v1.SettingService/Nothing",
        "/v1/companies:list",
        "/healthz",
        "/docs/nothing",
    ]);
    let query = prop_oneof![
        6 => Just(""),
        1 => select(vec!["?", "?unknown=1", "?companyId=cmp_001", "?company_id=cmp_002", "?%FF"]),
    ];
    (prop_oneof![4 => lists, 1 => others], query).prop_map(|(path, query)| format!("{path}{query}"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A compressed message of gRPC.
fn compressed_frame(message: &[u8]) -> Bytes {
    let mut frame = frame(&gzip(message)).to_vec();
    frame[0] = 1;
    frame.into()
}

fn body() -> impl Strategy<Value = Bytes> {
    let message = method("ListCustomerTags").encode(&json!({"companyId": "cmp_001"}));
    let whole = frame(&message);
    let mut damaged = whole.to_vec();
    damaged[0] = 1;
    let compressed = [Bytes::from(gzip(b"{}")), compressed_frame(&message)];
    let texts = select(vec![
        "{}",
        " {\"companyId\": \"cmp_001\"}\r\n",
        "{\"company_id\":\"cmp_001\"}",
        "{\"companyId\":null}",
        "{\"companyId\":\"cmp_002\"}",
        "{\"companyId\":\"cmp_001\",\"company_id\":\"cmp_001\"}",
        "{\"companyId\":\"cmp\\u005f001\"}",
        "{\"filter\":{},\"companyId\":\"cmp_001\"}",
        "{\"companyId\":1}",
        "\u{feff}{}",
        "null",
        "[]",
        "companyId=cmp_001",
        "  ",
        "{",
    ]);
    prop_oneof![
        2 => Just(Bytes::new()),
        4 => texts.prop_map(|text| Bytes::from_static(text.as_bytes())),
        1 => select(vec![100_usize, 4_095, 4_096, 4_097, 70_000])
            .prop_map(|size| Bytes::from(format!("{{\"filter\":\"{}\"}}", "x".repeat(size - 13)))),
        1 => Just(Bytes::from(format!("{{{}}}", " ".repeat(4_200)))),
        4 => Just(whole.clone()),
        1 => (0..whole.len()).prop_map({
            let whole = whole.clone();
            move |cut| whole.slice(..cut)
        }),
        1 => Just(Bytes::from([&whole[..], &whole[..]].concat())),
        1 => Just(Bytes::from([&whole[..], b"more"].concat())),
        1 => Just(Bytes::from(damaged)),
        2 => select(compressed.to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| frame(&bytes)),
    ]
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    let usual = select(vec![
        None,
        Some("application/json"),
        Some("application/grpc"),
        Some("application/grpc+proto"),
    ]);
    let unusual = select(vec![
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/grpc+json",
        "application/grpc; charset=utf-8",
        "APPLICATION/GRPC",
        "application/grpcs",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/grpc-web-text+proto; x=y",
        "application/grpc-web+json",
        "",
        "\u{e4}",
    ]);
    prop_oneof![2 => usual, 1 => unusual.prop_map(Some)]
}

fn header() -> impl Strategy<Value = (&'static str, String)> {
    let pairs: Vec<(&str, &[&str])> = vec![
        ("accept-encoding", &["gzip", "gzip;q=0", "deflate, gzip", "identity", "*"]),
        ("if-none-match", &["*", "\"nothing\"", "W/\"x\", *"]),
        ("origin", &["https://app.example.com", "null"]),
        ("access-control-request-method", &["POST"]),
        ("settings-min-revision", &["nonsense", "another"]),
        ("settings-staff-id", &["staff_1", ""]),
        ("content-encoding", &["gzip", "identity", "", "br"]),
        ("grpc-encoding", &["identity", "gzip", "br"]),
        ("grpc-accept-encoding", &["identity", "gzip"]),
        ("grpc-timeout", &["5S", "1H", "nonsense"]),
        ("te", &["trailers"]),
        ("accept", &["application/json", "application/grpc-web-text", "text/html"]),
        ("x-request-id", &["mine", ""]),
        ("x-forwarded-for", &["192.0.2.1"]),
        ("x-http-method-override", &["GET", "DELETE"]),
        ("idempotency-key", &["one"]),
        ("if-match", &["\"x\""]),
        ("authorization", &["Bearer nonsense"]),
    ];
    let pairs = pairs.into_iter().flat_map(|(name, values)| {
        values.iter().map(move |value| (name, (*value).to_owned())).collect::<Vec<_>>()
    });
    select(pairs.collect::<Vec<_>>())
}

fn asked(secrets: Vec<String>) -> impl Strategy<Value = Asked> {
    let method = prop_oneof![
        6 => Just("POST"),
        3 => Just("GET"),
        1 => select(vec!["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "LIST"]),
    ];
    let credential = prop_oneof![
        8 => select(secrets.iter().map(|secret| Some(format!("Bearer {secret}"))).collect::<Vec<_>>()),
        1 => select(secrets.iter().map(|secret| Some(basic(secret))).collect::<Vec<_>>()),
        1 => select(vec![None, Some("Bearer csk_unknown".to_owned()), Some(String::new())]),
    ];
    let headers = proptest::collection::vec(header(), 0..3);
    let framing = (any::<bool>(), any::<bool>());
    (framing, method, path(), content_type(), credential, headers, body()).prop_map(
        |((is_http2, is_chunked), method, path, kind, credential, mut headers, body)| {
            if let Some(credential) = credential {
                headers.insert(0, ("authorization", credential));
            }
            headers.extend(kind.map(|kind| ("content-type", kind.to_owned())));
            Asked { is_http2, is_chunked, method, path, headers, body }
        },
    )
}

#[test]
fn whatever_is_asked_both_ways_answer_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ready, general, secrets) = runtime.block_on(async {
        let (ready, general, secret) = both(&unlimited()).await;
        let narrow = ready.key(covering(&["cmp_002"])).await;
        let scopeless = ready.key(with_scopes(&["companies:read"])).await;
        (ready, general, vec![secret.clone(), secret, narrow, scopeless])
    });
    let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::default() });
    let compared = runner.run(&asked(secrets), |asked| {
        let (cold, warm, again) = runtime.block_on(async {
            // The order matters: the general answer loads nothing into the other server's cache of keys.
            let cold = answer(&general, &asked).await;
            let warm = answer(&ready, &asked).await;
            (cold, warm, answer(&ready, &asked).await)
        });
        prop_assert_eq!(&warm, &cold);
        prop_assert_eq!(&again, &cold);
        prop_assert!(!cold.status.is_server_error() || cold.status == 501, "{:?}", cold);
        Ok(())
    });
    compared.unwrap_or_else(|error| panic!("{error}"));
    let _in_runtime = runtime.enter();
    drop((ready, general));
}

#[tokio::test]
async fn what_is_no_grpc_and_no_json_is_refused_the_same_cold_and_warm() {
    let (ready, general, secret) = both(&unlimited()).await;
    let bearer = format!("Bearer {secret}");
    let message = frame(&method("ListCustomerTags").encode(&json!({"companyId": "cmp_001"})));
    let of = |path: &str, kind: &str, body: &Bytes| {
        Asked::post(path, &[("authorization", &bearer), ("content-type", kind)], body.clone())
    };
    let form = Bytes::from("{\"companyId\": \"cmp_001\"}");
    let none = Bytes::new();
    let get = |asked: Asked| Asked { method: "GET", ..asked };
    for (asked, status, reason) in [
        (of(TAGS, "application/x-www-form-urlencoded", &form), 400, "FORM_POST"),
        (of(TAGS, "application/x-www-form-urlencoded", &form).over_http2(), 400, "FORM_POST"),
        (of(TAGS, "application/x-www-form-urlencoded", &none), 200, ""),
        (get(of(TAGS, "application/grpc", &none)), 415, "NOT_GRPC"),
        (get(of(TAGS, "application/grpc", &none)).over_http2(), 415, "NOT_GRPC"),
        (get(of(TAGS_RPC, "application/grpc-web", &none)), 415, "NOT_GRPC"),
        (of(TAGS_RPC, "application/grpc", &message), 415, "NOT_GRPC"),
        (of(TAGS_RPC, "application/grpc", &message).over_http2(), 200, ""),
        (of(TAGS_RPC, "application/grpc-web+proto", &message), 200, ""),
        (of(TAGS_RPC, "application/grpc+json", &form).over_http2(), 200, "UNKNOWN_CODEC"),
        (of(TAGS_RPC, "application/grpc-web+json", &form), 200, "UNKNOWN_CODEC"),
    ] {
        for server in [&general, &ready] {
            let answer = answer(server, &asked).await;
            assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason));
        }
    }
}

#[tokio::test]
async fn what_is_compressed_is_taken_the_same_cold_and_warm() {
    let (ready, general, secret) = both(&unlimited()).await;
    let bearer = format!("Bearer {secret}");
    let of = |path: &str, headers: &[(&'static str, &str)], body: &[u8]| {
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        Asked::post(path, &headers, body.to_vec())
    };
    let json = |coding, body: &[u8]| of(TAGS, &[("content-encoding", coding)], body);
    let grpc = |coding, body: &[u8]| {
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", coding)];
        of(TAGS_RPC, &headers, body).over_http2()
    };
    let text = b"{\"companyId\":\"cmp_001\"}";
    let message = method("ListCustomerTags").encode(&json!({"companyId": "cmp_001"}));
    let (plain, compressed) = (frame(&message), compressed_frame(&message));
    let too_large = " ".repeat(2 << 20);
    let list = answer(&general, &of(TAGS, &[], text)).await.body;
    for (asked, status, reason) in [
        (json("gzip", &gzip(text)), 200, ""),
        (json("x-gzip", &gzip(text)).over_http2(), 200, ""),
        (json("gzip", b""), 400, "MALFORMED_GZIP"),
        (json("gzip", b"").over_http2(), 400, "MALFORMED_GZIP"),
        (grpc("gzip", &[1, 0, 0, 0, 0]), 200, "MALFORMED_GZIP"),
        (json("identity", text), 200, ""),
        (json("gzip", text), 400, "MALFORMED_GZIP"),
        (json("gzip", &gzip(text)[..20]), 400, "MALFORMED_GZIP"),
        (json("gzip", &gzip(too_large.as_bytes())), 413, "BODY_TOO_LARGE"),
        (json("br", text), 415, "UNKNOWN_ENCODING"),
        (json("gzip, gzip", &gzip(&gzip(text))), 415, "UNKNOWN_ENCODING"),
        (grpc("gzip", &compressed), 200, ""),
        (grpc("gzip", &plain), 200, ""),
        (grpc("snappy", &plain), 200, ""),
        (grpc("snappy", &compressed), 200, "UNKNOWN_ENCODING"),
        (grpc("identity", &compressed), 200, "UNANNOUNCED_COMPRESSION"),
        (grpc("gzip", &compressed_frame(too_large.as_bytes())), 200, "BODY_TOO_LARGE"),
    ] {
        for server in [&general, &ready] {
            let answer = answer(server, &asked).await;
            assert_eq!((answer.status.as_u16(), answer.reason()), (status, reason), "{asked:?}");
            let header = |name: &str| {
                let found = answer.headers.iter().find(|(header, _)| header == name);
                found.map(|(_, value)| value.as_str())
            };
            match reason {
                "UNKNOWN_ENCODING" if status == 415 => {
                    assert_eq!(header("accept-encoding"), Some("gzip"));
                }
                "UNKNOWN_ENCODING" => {
                    assert_eq!(header("grpc-accept-encoding"), Some("identity,gzip"));
                }
                "" if asked.path == TAGS => assert_eq!(answer.body, list, "{asked:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_small_limit_of_bodies_holds_on_both_ways() {
    let mut config = unlimited();
    config.limits.body_bytes = 100;
    let (ready, general, secret) = both(&config).await;
    let bearer = format!("Bearer {secret}");
    for (size, status) in [(100, 200), (101, 413)] {
        let body = format!("{{{}}}", " ".repeat(size - 2));
        let asked = Asked::post(TAGS, &[("authorization", &bearer)], body);
        for asked in
            [asked.clone(), Asked { is_chunked: true, ..asked.clone() }, asked.over_http2()]
        {
            for server in [&general, &ready] {
                assert_eq!(answer(server, &asked).await.status, status, "{asked:?}");
            }
        }
    }
}

/// The answer to these bytes, on a connection whose client sends nothing else.
async fn heard(server: &Server, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused_at_every_byte_for_every_method() {
    let (server, general, secret) = both(&unlimited()).await;
    let (victim, _) = server.issue(everything()).await;
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    let revoke = format!("POST /admin/v1/keys/{}:revoke", victim.id);
    let body = "{\"validateOnly\":true}";
    let chunked = format!("14\r\n{body}\r\n0\r\n\r\n");
    let lines = [
        revoke,
        format!("POST {TAGS}"),
        format!("GET {TAGS}"),
        format!("POST {tags}"),
        format!("PATCH {tags}/tag_001"),
        format!("POST {tags}/tag_001:archive"),
        "DELETE /admin/v1/companies/cmp_001/customer_tags/tag_001".to_owned(),
        "GET /admin/v1/keys".to_owned(),
    ];
    let before = server.answer(&secret, "ListCustomerTags", json!({"companyId": "cmp_001"})).await;
    for line in &lines {
        let head = |framing: &str| {
            format!(
                "{line} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {secret}\r\n{framing}\r\n\r\n"
            )
        };
        let mut said = vec![head("transfer-encoding: chunked") + "0x14\r\n{}\r\n0\r\n\r\n"];
        for cut in 0..body.len() {
            said.push(head(&format!("content-length: {}", body.len())) + &body[..cut]);
        }
        for cut in 0..chunked.len() {
            said.push(head("transfer-encoding: chunked") + &chunked[..cut]);
        }
        for said in said {
            for server in [&server, &general] {
                let answer = heard(server, said.as_bytes()).await;
                assert!(
                    answer.starts_with("HTTP/1.1 400 ") && answer.contains("BODY_UNREADABLE"),
                    "{said}\n{answer}"
                );
            }
        }
    }
    assert_eq!(
        server.answer(&secret, "ListCustomerTags", json!({"companyId": "cmp_001"})).await,
        before
    );
    assert!(!is_revoked(&server, &secret, &victim).await);
}

async fn is_revoked(server: &Server, secret: &str, key: &Key) -> bool {
    let id = key.id.to_string();
    server.answer(secret, "GetKey", json!({"id": id})).await.get("revokedTime").is_some()
}

/// A body that fails after its first part.
fn broken(part: Bytes) -> Body {
    let frames = [Ok(Frame::data(part)), Err(std::io::Error::other("broken off"))];
    Body::new(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn a_call_over_grpc_with_a_second_message_is_not_carried_out() {
    let (server, _, secret) = both(&unlimited()).await;
    let (victim, _) = server.issue(everything()).await;
    let revoke = method("RevokeKey");
    let message = frame(&revoke.encode(&json!({"id": victim.id.to_string()})));
    let authorization = format!("Bearer {secret}");
    for second in [&message[..], &[0, 0, 0, 0, 0]] {
        for kind in ["application/grpc", "application/grpc-web"] {
            let headers = [("authorization", &*authorization), ("content-type", kind)];
            let asked = Asked::post(&revoke.path, &headers, [&message[..], second].concat());
            let answer = answer(&server, &asked.over_http2()).await;
            assert_eq!(answer.reason(), "SEVERAL_MESSAGES", "{kind}");
        }
    }
    assert!(!is_revoked(&server, &secret, &victim).await);
}

#[tokio::test]
async fn a_call_over_grpc_that_breaks_off_is_not_carried_out() {
    let (server, _, secret) = both(&unlimited()).await;
    let (victim, _) = server.issue(everything()).await;
    let revoke = method("RevokeKey");
    let message = frame(&revoke.encode(&json!({"id": victim.id.to_string()})));
    let headers = [("authorization", &*format!("Bearer {secret}"))];
    for kind in ["application/grpc", "application/grpc-web"] {
        let headers = [headers[0], ("content-type", kind)];
        for cut in 0..message.len() {
            let asked = Asked::post(&revoke.path, &headers, message.slice(..cut));
            let answer = answer(&server, &asked.over_http2()).await;
            assert_eq!(answer.reason(), "BODY_UNREADABLE", "{kind} {cut}");
        }
        for cut in 0..=message.len() {
            let asked = Asked::post(&revoke.path, &headers, Bytes::new()).over_http2();
            let request = asked.request().map(|_| broken(message.slice(..cut)));
            let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
            let executor = TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            // The stream is reset, so no answer arrives.
            let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap();
            assert!(answer.is_err(), "{kind} {cut}: {answer:?}");
        }
    }
    // All of those requests have ended before this one is answered.
    server.settled().await;
    assert!(!is_revoked(&server, &secret, &victim).await);
    let asked = Asked::post(&revoke.path, &headers, message).over_http2();
    let asked = Asked {
        headers: [asked.headers.clone(), vec![("content-type", "application/grpc".to_owned())]]
            .concat(),
        ..asked
    };
    assert_eq!(answer(&server, &asked).await.reason(), "");
    assert!(is_revoked(&server, &secret, &victim).await);
}
