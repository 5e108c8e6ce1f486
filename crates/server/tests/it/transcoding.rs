//! HTTP/JSON from descriptors: a test contract with every form of binding, and a backend that answers with
//! its request.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use customer_settings_contract::descriptors;
use customer_settings_server::{
    api::{
        self,
        http::{Authenticate, FinishedAnswers, RpcPath, Transcoder, Wiring, bound_services},
        lists::finished::FinishedList,
    },
    catalog::{entry::Revision, error::Error, token::RevisionToken},
    clock::SystemClock,
    net::{BodyLimits, Manner, fit_for},
    service::long_work::LongWork,
    status,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use Expect::{Message, Refused};

mod answers;
mod requests;
pub(crate) mod strict;
mod words;

const BODY_LIMIT: usize = 1_000;

/// Compiles the test contract, with its comments, as the build does the real one.
pub(crate) fn things() -> DescriptorPool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/proto");
    compile(&tests, "test/v1/things.proto")
}

fn compile(folder: &Path, file: &str) -> DescriptorPool {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([folder, &contract]).unwrap();
    compiler.include_source_info(true).include_imports(true).open_file(file).unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

/// A call that the backend received.
#[derive(Clone, Debug)]
struct Call {
    rpc_path: String,
    headers: HeaderMap,
    message: Bytes,
    caller: Option<Caller>,
}

/// The value that the test's authentication puts into the extensions.
#[derive(Clone, Debug, PartialEq)]
struct Caller(String);

struct Fixture {
    pool: DescriptorPool,
    transcoder: Transcoder,
    calls: Arc<Mutex<Vec<Call>>>,
}

struct ByHeader;

#[async_trait]
impl Authenticate for ByHeader {
    async fn authenticate(&self, parts: &mut Parts) -> Result<(), Error> {
        assert!(parts.extensions.get::<RpcPath>().is_some(), "the method is known by then");
        match parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()) {
            Some(refused) if refused == "bad" => Err(Error::UnknownKey),
            name => {
                parts.extensions.insert(Caller(name.unwrap_or_default()));
                Ok(())
            }
        }
    }
}

struct ReadyThing;

#[async_trait]
impl FinishedAnswers for ReadyThing {
    fn handles(&self, rpc_path: &str) -> bool {
        rpc_path == "/test.v1.Things/List"
    }

    async fn answer(
        &self,
        rpc_path: &str,
        request: &DynamicMessage,
        head: &Parts,
    ) -> Result<Response<Body>, Error> {
        assert_eq!(rpc_path, "/test.v1.Things/List");
        assert!(head.extensions.get::<Caller>().is_some(), "authentication comes first");
        let name = request.get_field_by_name("name").unwrap().as_str().unwrap().to_owned();
        if name == "refused" {
            return Err(Error::invalid("name", "REFUSED", "must be another one"));
        }
        let token = RevisionToken { epoch: 1, revision: Revision(7) };
        let json = format!("{{\"ready\":\"{name}\"}}").into();
        Ok(FinishedList::new(token, json, Bytes::new()).over_http(&head.method, &head.headers))
    }
}

fn long_work() -> Arc<LongWork> {
    Arc::new(LongWork::with_places(Arc::new(SystemClock), 1))
}

impl Fixture {
    fn new() -> Self {
        Self::with(things(), &["test.v1.Things"], None)
    }

    fn with_finished() -> Self {
        Self::with(things(), &["test.v1.Things"], Some(Arc::new(ReadyThing)))
    }

    fn with(
        pool: DescriptorPool,
        services: &[&str],
        finished: Option<Arc<dyn FinishedAnswers>>,
    ) -> Self {
        let calls = Arc::new(Mutex::new(vec![]));
        let wiring = Wiring {
            backend: echo(calls.clone()),
            authenticate: Arc::new(ByHeader),
            finished,
            body_limits: BodyLimits { usual: BODY_LIMIT, document: BODY_LIMIT },
            long_work: long_work(),
        };
        Self { transcoder: Transcoder::new(&pool, services, wiring).unwrap(), pool, calls }
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        let manner = Manner::of(&request);
        request.extensions_mut().insert(manner);
        let answer = self.transcoder.answer(request).await;
        Answer::read(fit_for(&method.parse().unwrap(), answer)).await
    }

    /// The single call since the last look. Its message is JSON without default values.
    fn take_call(&self) -> (Call, Value) {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap());
        assert_eq!(calls.len(), 1, "{calls:?}");
        let call = calls.remove(0);
        let (service, method) = call.rpc_path.trim_start_matches('/').split_once('/').unwrap();
        let service = self.pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|candidate| candidate.name() == method).unwrap();
        let message = DynamicMessage::decode(method.input(), call.message.clone()).unwrap();
        (call, serde_json::to_value(&message).unwrap())
    }

    fn refuses_silently(&self) {
        assert!(self.calls.lock().unwrap().is_empty(), "the backend was called");
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The value under this key, of the first detail that has it.
    fn detail(&self, key: &str) -> Value {
        let json = self.json();
        let details = json["details"].as_array().unwrap();
        details.iter().find_map(|detail| detail.get(key)).cloned().unwrap_or_default()
    }

    fn reason(&self) -> Value {
        self.detail("reason")
    }

    /// The violation's field and description.
    fn violation(&self) -> (String, String) {
        let violation = &self.detail("fieldViolations")[0];
        let text = |name: &str| violation[name].as_str().unwrap_or_default().to_owned();
        (text("field"), text("description"))
    }
}

/// Answers a call with its own message. The header `x-fail` makes it fail in a named way.
fn echo(calls: Arc<Mutex<Vec<Call>>>) -> api::http::Backend {
    BoxCloneSyncService::new(service_fn(move |request: Request<tonic::body::Body>| {
        let calls = calls.clone();
        async move {
            let (parts, body) = request.into_parts();
            let frame = body.collect().await.unwrap().to_bytes();
            assert_eq!(frame[0], 0);
            assert_eq!(
                u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize,
                frame.len() - 5
            );
            let fail = parts.headers.get("x-fail").map(|value| value.to_str().unwrap().to_owned());
            calls.lock().unwrap().push(Call {
                rpc_path: parts.uri.path().to_owned(),
                headers: parts.headers,
                message: frame.slice(5..),
                caller: parts.extensions.get().cloned(),
            });
            Ok::<_, Infallible>(match fail.as_deref() {
                None => grpc_response(Some(frame), trailers(&tonic::Status::ok(""))),
                Some("at once") => status::grpc_status(&overloaded()).into_http(),
                Some("in trailers") => {
                    grpc_response(None, trailers(&status::grpc_status(&overloaded())))
                }
                Some("without message") => grpc_response(None, trailers(&tonic::Status::ok(""))),
                Some("cut off") => grpc_response(
                    Some(Bytes::from_static(b"\0\0\0\0\x09x")),
                    trailers(&tonic::Status::ok("")),
                ),
                Some(other) => panic!("no such failure: {other}"),
            })
        }
    }))
}

fn overloaded() -> Error {
    Error::TooManyRequests {
        limit: customer_settings_server::catalog::error::Limit::Key,
        retry_after_ms: 1_500,
    }
}

fn trailers(status: &tonic::Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).unwrap();
    trailers.insert("x-at-the-end", HeaderValue::from_static("yes"));
    trailers
}

fn grpc_response(frame: Option<Bytes>, trailers: HeaderMap) -> Response<tonic::body::Body> {
    // Two data frames, because a message may be cut anywhere.
    let halves = frame.map(|frame| [frame.slice(..3), frame.slice(3..)]).into_iter().flatten();
    let mut frames: Vec<Result<_, tonic::Status>> =
        halves.map(|half| Ok(http_body::Frame::data(half))).collect();
    frames.push(Ok(http_body::Frame::trailers(trailers)));
    let body = UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
    Response::builder()
        .header("content-type", "application/grpc")
        .header("x-request-id", "r1")
        .header("grpc-encoding", "identity")
        .body(tonic::body::Body::new(body))
        .unwrap()
}

/// The result of a request.
enum Expect {
    /// A call of this method with this message.
    Message(&'static str, Value),
    /// An error: HTTP status, reason and the field of its violation.
    Refused(u16, &'static str, &'static str),
}

async fn check(cases: Vec<(&str, &str, Expect)>) {
    let fixture = Fixture::new();
    for (line, body, expect) in cases {
        let answer = fixture.send(line, &[], body.to_owned()).await;
        let shown = format!("{line} {body}: {} {:?}", answer.status, answer.body);
        match expect {
            Message(method, expected) => {
                assert_eq!(answer.status, 200, "{shown}");
                let (call, message) = fixture.take_call();
                assert_eq!(call.rpc_path, format!("/test.v1.Things/{method}"), "{shown}");
                assert_eq!(message, expected, "{shown}");
            }
            Refused(status, reason, field) => {
                assert_eq!(answer.status, status, "{shown}");
                assert_eq!(answer.reason(), reason, "{shown}");
                if !field.is_empty() {
                    assert_eq!(answer.violation().0, field, "{shown}");
                }
                fixture.refuses_silently();
            }
        }
    }
}

/// Compiles a service with these lines, and gives the refusal of its binding.
fn refusal(methods: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "syntax = \"proto3\"; package bad.v1; import \"google/api/annotations.proto\"; \
         message M {{ string id = 1; repeated string ids = 2; M inner = 3; }} service S {{ {methods} }}"
    );
    std::fs::write(folder.path().join("bad.proto"), source).unwrap();
    let pool = compile(folder.path(), "bad.proto");
    let wiring = Wiring {
        backend: echo(Arc::default()),
        authenticate: Arc::new(ByHeader),
        finished: None,
        body_limits: BodyLimits { usual: BODY_LIMIT, document: BODY_LIMIT },
        long_work: long_work(),
    };
    Transcoder::new(&pool, &["bad.v1.S"], wiring).err().map(|error| error.to_string())
}

#[test]
fn a_binding_that_cannot_work_is_refused_when_the_server_starts() {
    let rpc = |name: &str, rule: &str| {
        format!("rpc {name}(M) returns (M) {{ option (google.api.http) = {{{rule}}}; }}")
    };
    assert_eq!(refusal(&rpc("A", "get: \"/a/{id}\"")), None);
    assert_eq!(refusal(&(rpc("A", "get: \"/a/{id}\"") + &rpc("B", "post: \"/a/{id}\""))), None);
    let cases = [
        (
            rpc("A", "get: \"/a/{id}\"") + &rpc("B", "get: \"/a/{inner.id}\""),
            "bad.v1.S.B has GET /a/{inner.id}, which bad.v1.S.A also has",
        ),
        (rpc("A", "get: \"/a\" additional_bindings {get: \"/a\"}"), "also has"),
        (rpc("A", "get: \"/a/{nope}\""), "names the field nope, which M lacks"),
        (rpc("A", "get: \"/a/{ids}\""), "not a single plain value"),
        (rpc("A", "get: \"/a/{inner}\""), "not a single plain value"),
        (rpc("A", "get: \"a\""), "must begin with a slash"),
        (rpc("A", "post: \"/a\" body: \"nope\""), "names the field nope, which M lacks"),
        (rpc("A", "get: \"/a\" response_body: \"nope\""), "names the field nope, which M lacks"),
        (rpc("A", "body: \"*\""), "names no HTTP method"),
        (rpc("A", "custom: {kind: \"*\" path: \"/a\"}"), "must be a single one"),
        (
            "rpc A(M) returns (stream M) { option (google.api.http) = {get: \"/a\"}; }".to_owned(),
            "streams",
        ),
        (
            "rpc A(stream M) returns (M) { option (google.api.http) = {post: \"/a\"}; }".to_owned(),
            "streams",
        ),
    ];
    for (methods, expected) in cases {
        let refused = refusal(&methods).unwrap_or_default();
        assert!(refused.contains(expected), "{methods}: {refused}");
    }
}

#[tokio::test]
async fn the_four_lists_answer_post_and_get_on_their_documented_paths() {
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let fixture = Fixture::with(descriptors().clone(), &services, None);
    let lists = [
        ("customer/tags:list", "ListCustomerTags"),
        ("customer/referral_sources:list", "ListCustomerReferralSources"),
        ("leads/life_cycles", "ListLeadsLifeCycles"),
        ("leads/action_status", "ListLeadsActionStatus"),
    ];
    for (path, method) in lists {
        let path = format!("/v1/setting/companies/cmp_001/{path}");
        for (line, body) in [
            ("POST", r#"{"companyId": "cmp_001"}"#),
            ("POST", r#"{"company_id": "cmp_001"}"#),
            ("POST", ""),
            ("GET", ""),
        ] {
            fixture.send(&format!("{line} {path}"), &[], body).await;
            let (call, message) = fixture.take_call();
            assert_eq!(
                call.rpc_path,
                format!("/moego.business.setting.v1.SettingService/{method}")
            );
            assert_eq!(message, json!({"companyId": "cmp_001"}));
        }
        let other = fixture.send(&format!("POST {path}"), &[], r#"{"companyId": "cmp_002"}"#).await;
        assert_eq!((other.status.as_u16(), other.violation().0), (400, "company_id".to_owned()));
        let put = fixture.send(&format!("PUT {path}"), &[], "").await;
        assert_eq!((put.status.as_u16(), put.header("allow")), (405, Some("GET, HEAD, POST")));
    }
    for path in [
        "leads/life_cycles:list",
        "leads/action_status:list",
        "customer/tags",
        "customer/tags:list/",
    ] {
        let answer =
            fixture.send(&format!("POST /v1/setting/companies/cmp_001/{path}"), &[], "{}").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    fixture
        .send(
            "POST /v1/companies:list",
            &[],
            r#"{"pagination": {"pageSize": 5, "pageToken": "1"}, "filter": {}}"#,
        )
        .await;
    assert_eq!(fixture.take_call().1, json!({"pagination": {"pageSize": 5, "pageToken": "1"}}));
    let wrong = fixture
        .send("POST /v1/companies:list", &[], r#"{"pagination": {"pageSize": "many"}}"#)
        .await;
    assert_eq!(wrong.violation().0, "pagination.page_size");
}

#[tokio::test]
async fn the_transcoder_is_a_fallback_of_a_router() {
    let transcoder = Fixture::new().transcoder;
    let router: axum::Router = axum::Router::new().fallback(move |request: Request<Body>| {
        let transcoder = transcoder.clone();
        async move { transcoder.answer(request).await }
    });
    let request = Request::get("/v1/things/a").body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
}
