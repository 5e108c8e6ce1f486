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
    net::{Manner, fit_for},
    service::long_work::LongWork,
    status,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use Expect::{Message, Refused};

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
            body_limit: BODY_LIMIT,
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

#[tokio::test]
async fn paths_find_their_method_and_fill_its_fields() {
    check(vec![
        ("GET /v1/things/a", "", Message("Get", json!({"id": "a"}))),
        ("DELETE /v1/things/a", "", Message("Delete", json!({"id": "a"}))),
        ("PATCH /v1/things/a", "{}", Message("Update", json!({"id": "a"}))),
        ("REPORT /v1/things", "{}", Message("Report", json!({}))),
        ("GET /v1/things/special", "", Message("GetSpecial", json!({}))),
        ("GET /v1/things/specials", "", Message("Get", json!({"id": "specials"}))),
        ("POST /v1/things:list", "", Message("List", json!({}))),
        ("GET /v1/things:list", "", Message("List", json!({}))),
        ("GET /v1/things%3Alist", "", Message("List", json!({}))),
        ("POST /v1/things/a:archive", "", Message("Archive", json!({"id": "a"}))),
        ("POST /v1/things/a:b:archive", "", Message("Archive", json!({"id": "a:b"}))),
        ("GET /v1/things/a:b", "", Message("Get", json!({"id": "a:b"}))),
        ("GET /v1/things/a%20b%2Fc%25", "", Message("Get", json!({"id": "a b/c%"}))),
        ("GET /v1/things/%C3%A4", "", Message("Get", json!({"id": "ä"}))),
        ("GET /v1/things/a+b", "", Message("Get", json!({"id": "a+b"}))),
        (
            "GET /v1/shelves/s1/books/b%2F2",
            "",
            Message("GetNamed", json!({"name": "shelves/s1/books/b%2F2"})),
        ),
        (
            "GET /v1/shelves/s%201/books/b",
            "",
            Message("GetNamed", json!({"name": "shelves/s 1/books/b"})),
        ),
        ("GET /v1/files/a/b%2fc", "", Message("GetFile", json!({"name": "a/b%2fc"}))),
        ("GET /v1/files", "", Message("GetFile", json!({}))),
        ("GET /v1/x/all/a/b/c:read", "", Message("GetAll", json!({"nested": {"id": "a/b/c"}}))),
        ("GET /v1/nested/n1", "", Message("GetNested", json!({"nested": {"id": "n1"}}))),
        (
            "GET /v1/counts/7/true/RED",
            "",
            Message("GetCount", json!({"count": 7, "flag": true, "color": "RED"})),
        ),
        (
            "GET /v1/counts/-7/false/2",
            "",
            Message("GetCount", json!({"count": -7, "color": "GREEN"})),
        ),
        ("GET /v1/counts/x/true/RED", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/counts/1/yes/RED", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/counts/1/true/PINK", "", Refused(400, "INVALID_FIELD", "color")),
        (
            "GET /v1/counts/2147483647/true/RED",
            "",
            Message("GetCount", json!({"count": i32::MAX, "flag": true, "color": "RED"})),
        ),
        ("GET /v1/counts/2147483648/true/RED", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/%zz", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/%C3", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/a/", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things/", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1//things/a", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things/a/b", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things:lists", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /V1/things/a", "", Refused(404, "UNKNOWN_PATH", "")),
        ("POST /test.v1.Things/Unbound", "{}", Refused(404, "UNKNOWN_PATH", "")),
    ])
    .await;
}

#[tokio::test]
async fn bodies_are_read_as_protojson_in_both_casings() {
    check(vec![
        ("POST /v1/things", "", Message("Create", json!({}))),
        ("POST /v1/things", " \r\n\t", Message("Create", json!({}))),
        ("POST /v1/things", "{}", Message("Create", json!({}))),
        ("POST /v1/things", "\u{feff}{\"id\": \"a\"}", Message("Create", json!({"id": "a"}))),
        ("POST /v1/things", "\u{feff}", Message("Create", json!({}))),
        (
            "POST /v1/things",
            r#"{"changedTime": "2023-01-01T12:00:00+02:00", "update_mask": "name,changedTime", "retryDelay": "1.5s"}"#,
            Message(
                "Create",
                json!({"changedTime": "2023-01-01T10:00:00Z", "updateMask": "name,changedTime", "retryDelay": "1.500s"}),
            ),
        ),
        (
            "POST /v1/things",
            r#"{"maybe_flag": false, "maybeBig": 5, "maybeText": "", "note": "", "nested": {}, "left": ""}"#,
            Message(
                "Create",
                json!({"maybeFlag": false, "maybeBig": "5", "maybeText": "", "note": "", "nested": {}, "left": ""}),
            ),
        ),
        (
            "POST /v1/things",
            r#"{"count": "5", "big": "9223372036854775807", "size": 18446744073709551615, "ratio": "1.5", "data": "AQI="}"#,
            Message(
                "Create",
                json!({"count": 5, "big": "9223372036854775807", "size": "18446744073709551615", "ratio": 1.5, "data": "AQI="}),
            ),
        ),
        ("POST /v1/things", r#"{"count": 5.0}"#, Message("Create", json!({"count": 5}))),
        ("POST /v1/things", r#"{"color": "RED", "colors": [1, "GREEN"]}"#, Message("Create", json!({"color": "RED", "colors": ["RED", "GREEN"]}))),
        ("POST /v1/things", r#"{"labels": {"a": 1}, "free": {"x": [null, 1.0]}}"#, Message("Create", json!({"labels": {"a": 1}, "free": {"x": [null, 1.0]}}))),
        ("POST /v1/things", r#"{"any": {"@type": "type.googleapis.com/test.v1.Nested", "id": "n"}}"#, Message("Create", json!({"any": {"@type": "type.googleapis.com/test.v1.Nested", "id": "n"}}))),
        ("POST /v1/things", r#"{"name": null, "tags": null, "nested": null}"#, Message("Create", json!({}))),
        ("POST /v1/things", r#"{"filter": {"deep": [{}]}, "includeDeleted": true, "nested": {"more": 1}}"#, Message("Create", json!({"nested": {}}))),
        // If a key appears twice, the last value counts, in either casing.
        ("POST /v1/things", r#"{"name": "a", "name": "b"}"#, Message("Create", json!({"name": "b"}))),
        ("POST /v1/things", r#"{"updateMask": "a", "update_mask": "b"}"#, Message("Create", json!({"updateMask": "b"}))),
        ("POST /v1/things", r#"{"note": "a", "note": "b", "left": "a", "left": "b"}"#, Message("Create", json!({"note": "b", "left": "b"}))),
        // Members of a oneof exclude each other.
        ("POST /v1/things", r#"{"left": "a", "right": 1}"#, Refused(400, "INVALID_FIELD", "right")),
    ])
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_json_or_of_the_wrong_type_are_refused_by_name() {
    check(vec![
        ("POST /v1/things", "{", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "{} {}", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "name=x", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "{'name': 1}", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "null", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", "[]", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", "\"x\"", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", r#"{"name": 1}"#, Refused(400, "INVALID_FIELD", "name")),
        ("POST /v1/things", r#"{"count": "x"}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"count": 1.5}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"count": 2147483648}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"size": -1}"#, Refused(400, "INVALID_FIELD", "size")),
        ("POST /v1/things", r#"{"flag": "true"}"#, Refused(400, "INVALID_FIELD", "flag")),
        ("POST /v1/things", r#"{"data": "?"}"#, Refused(400, "INVALID_FIELD", "data")),
        (
            "POST /v1/things",
            r#"{"changedTime": "yesterday"}"#,
            Refused(400, "INVALID_FIELD", "changed_time"),
        ),
        (
            "POST /v1/things",
            r#"{"nested": {"pageSize": []}}"#,
            Refused(400, "INVALID_FIELD", "nested.page_size"),
        ),
        ("POST /v1/things", r#"{"nested": []}"#, Refused(400, "INVALID_FIELD", "nested")),
        ("POST /v1/things", r#"{"tags": "a"}"#, Refused(400, "INVALID_FIELD", "tags")),
        ("POST /v1/things", r#"{"tags": ["a", 2]}"#, Refused(400, "INVALID_FIELD", "tags[1]")),
        (
            "POST /v1/things",
            r#"{"many": [{}, {"page_size": ""}]}"#,
            Refused(400, "INVALID_FIELD", "many[1].page_size"),
        ),
        (
            "POST /v1/things",
            r#"{"labels": {"x": true}}"#,
            Refused(400, "INVALID_FIELD", "labels.x"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_body_may_be_one_field_with_the_rest_in_path_and_query() {
    check(vec![
        (
            "PUT /v1/boxes/b/things?name=n",
            r#"{"id": "x"}"#,
            Message("Create", json!({"id": "b", "name": "n", "nested": {"id": "x"}})),
        ),
        (
            "PUT /v1/boxes/b/things?nested.id=y",
            r#"{"pageSize": 1}"#,
            Message("Create", json!({"id": "b", "nested": {"pageSize": 1}})),
        ),
        ("PUT /v1/boxes/b/things", "", Message("Create", json!({"id": "b"}))),
        ("PUT /v1/boxes/b/things", "{}", Message("Create", json!({"id": "b", "nested": {}}))),
        (
            "PUT /v1/boxes/b/things",
            r#"{"pageSize": "x"}"#,
            Refused(400, "INVALID_FIELD", "nested.page_size"),
        ),
        ("PUT /v1/boxes/b/things", "[]", Refused(400, "INVALID_FIELD", "nested")),
        ("PUT /v1/boxes/b/things", r#"{}, "name": {}"#, Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/numbers", "7", Message("Create", json!({"count": 7}))),
        ("POST /v1/numbers", "\"x\"", Refused(400, "INVALID_FIELD", "count")),
        (
            "POST /v1/tags?count=3",
            r#"["a", "b"]"#,
            Message("Create", json!({"count": 3, "tags": ["a", "b"]})),
        ),
        ("POST /v1/tags", r#"["a", 1]"#, Refused(400, "INVALID_FIELD", "tags[1]")),
    ])
    .await;
}

#[tokio::test]
async fn the_query_fills_what_path_and_body_leave() {
    check(vec![
        ("GET /v1/things/a?name=x&count=5&big=-9&flag=true", "", Message("Get", json!({"id": "a", "name": "x", "count": 5, "big": "-9", "flag": true}))),
        ("GET /v1/things/a?", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?&&name=&", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?note=", "", Message("Get", json!({"id": "a", "note": ""}))),
        ("GET /v1/things/a?name=a+b%2B%26%C3%A4", "", Message("Get", json!({"id": "a", "name": "a b+&ä"}))),
        ("GET /v1/things/a?nested.pageSize=5&nested.deeper.page_size=6", "", Message("Get", json!({"id": "a", "nested": {"pageSize": 5, "deeper": {"pageSize": 6}}}))),
        ("GET /v1/things/a?tags=x&tags=y&numbers=1&numbers=2", "", Message("Get", json!({"id": "a", "tags": ["x", "y"], "numbers": [1, 2]}))),
        ("GET /v1/things/a?color=RED&colors=2&colors=RED", "", Message("Get", json!({"id": "a", "color": "RED", "colors": ["GREEN", "RED"]}))),
        ("GET /v1/things/a?changedTime=2023-01-01T10:00:00Z&times=2023-01-01T10:00:00Z", "", Message("Get", json!({"id": "a", "changedTime": "2023-01-01T10:00:00Z", "times": ["2023-01-01T10:00:00Z"]}))),
        ("GET /v1/things/a?update_mask=name,count&retryDelay=3s", "", Message("Get", json!({"id": "a", "updateMask": "name,count", "retryDelay": "3s"}))),
        ("GET /v1/things/a?maybeFlag=false&maybeBig=7&maybe_text=t", "", Message("Get", json!({"id": "a", "maybeFlag": false, "maybeBig": "7", "maybeText": "t"}))),
        ("GET /v1/things/a?data=AQI%3D&ratio=2.5&size=18446744073709551615", "", Message("Get", json!({"id": "a", "data": "AQI=", "ratio": 2.5, "size": "18446744073709551615"}))),
        ("GET /v1/things/a?name=x&name=y&left=l&right=2", "", Message("Get", json!({"id": "a", "name": "y", "right": 2}))),
        ("DELETE /v1/things/a?etag=e", "", Message("Delete", json!({"id": "a", "etag": "e"}))),
        // Unknown names are ignored, and so are fields that cannot be text.
        ("GET /v1/things/a?nope=1&nested.nope=1&nested=x&labels.a=1&free=x&any=x&many.id=x&changedTime.seconds=1&tags.x=1", "", Message("Get", json!({"id": "a"}))),
        // If the body is the whole request, the query has no fields.
        ("POST /v1/things?name=x", "{}", Message("Create", json!({}))),
        ("GET /v1/things/a?id=a", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?id=b", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/a?count=", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/a?count=x", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/a?flag", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/things/a?flag=1", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/things/a?color=PINK", "", Refused(400, "INVALID_FIELD", "color")),
        ("GET /v1/things/a?colors=RED&colors=PINK", "", Refused(400, "INVALID_FIELD", "colors")),
        ("GET /v1/things/a?maybeFlag=x", "", Refused(400, "INVALID_FIELD", "maybe_flag")),
        ("GET /v1/things/a?nested.pageSize=x", "", Refused(400, "INVALID_FIELD", "nested.page_size")),
        ("GET /v1/things/a?size=-1", "", Refused(400, "INVALID_FIELD", "size")),
        ("GET /v1/things/a?name=%zz", "", Refused(400, "INVALID_FIELD", "name")),
        ("GET /v1/things/a?name=%ff", "", Refused(400, "INVALID_FIELD", "name")),
        ("GET /v1/things/a?%zz=1", "", Refused(400, "INVALID_FIELD", "query")),
    ])
    .await;
}

#[tokio::test]
async fn a_path_field_may_stand_in_the_body_with_the_same_value_only() {
    check(vec![
        (
            "PATCH /v1/things/a",
            r#"{"id": "a", "name": "n"}"#,
            Message("Update", json!({"id": "a", "name": "n"})),
        ),
        ("PATCH /v1/things/a", r#"{"id": ""}"#, Message("Update", json!({"id": "a"}))),
        ("PATCH /v1/things/a", r#"{"id": "b"}"#, Refused(400, "INVALID_FIELD", "id")),
        ("PATCH /v1/things/a", r#"{"id": "A"}"#, Refused(400, "INVALID_FIELD", "id")),
        (
            "POST /v1/nested/n",
            r#"{"nested": {"id": "n", "pageSize": 2}}"#,
            Message("GetNested", json!({"nested": {"id": "n", "pageSize": 2}})),
        ),
        (
            "POST /v1/nested/n",
            r#"{"nested": {"id": "m"}}"#,
            Refused(400, "INVALID_FIELD", "nested.id"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_body_is_json_whatever_its_type_says_but_a_form() {
    let fixture = Fixture::new();
    let json = r#"{"id": "a"}"#;
    for kind in
        ["text/plain", "application/octet-stream", "application/json; charset=utf-8", "nonsense"]
    {
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], json).await;
        assert_eq!(answer.status, 200, "{kind}");
        assert_eq!(fixture.take_call().1, json!({"id": "a"}));
    }
    for kind in ["application/x-www-form-urlencoded", "Multipart/Form-Data; boundary=x"] {
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], "id=a").await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, json!("FORM_POST")));
        fixture.refuses_silently();
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], "").await;
        assert_eq!(answer.status, 200);
        fixture.take_call();
    }
    for (line, body) in [
        ("GET /v1/things/a", "{broken"),
        ("DELETE /v1/things/a", "{broken"),
        ("HEAD /v1/things/a", "x"),
    ] {
        let answer = fixture.send(line, &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, 200, "{line}");
        assert_eq!(fixture.take_call().1, json!({"id": "a"}));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let fixture = Fixture::new();
    let json = |length: usize| format!("{{\"id\":\"{}\"}}", "a".repeat(length - 9));
    let chunked = |text: String| {
        let (one, other) = text.split_at(text.len() / 2);
        let chunks = [one.to_owned(), other.to_owned()].map(Ok::<_, Infallible>);
        Body::from_stream(futures_util::stream::iter(chunks))
    };
    for (length, status) in [(BODY_LIMIT, 200), (BODY_LIMIT + 1, 413)] {
        let text = json(length);
        assert_eq!(text.len(), length);
        let answer = fixture.send("POST /v1/things", &[], text.clone()).await;
        assert_eq!(answer.status, status);
        let answer = fixture.send("POST /v1/things", &[], chunked(text.clone())).await;
        assert_eq!(answer.status, status);
    }
    let answer = fixture.send("POST /v1/things", &[], json(BODY_LIMIT + 1)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason(), &answer.json()["code"]),
        (413, json!("BODY_TOO_LARGE"), &json!(3))
    );
    let broken = Body::from_stream(futures_util::stream::iter([
        Ok("{"),
        Err(std::io::Error::other("gone")),
    ]));
    let answer = fixture.send("POST /v1/things", &[], broken).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (400, json!("BODY_UNREADABLE")));
}

#[tokio::test]
async fn deep_json_and_deep_queries_do_no_harm() {
    let fixture = Fixture::with(things(), &["test.v1.Things"], None);
    let nested = |key: &str, levels: usize| {
        format!("{}{{}}{}", format!("{{\"{key}\":").repeat(levels - 1), "}".repeat(levels - 1))
    };
    for (key, levels, status) in [("inner", 100, 200), ("i", 100, 200), ("i", 101, 400)] {
        let answer = fixture.send("POST /v1/things", &[], nested(key, levels)).await;
        assert_eq!(answer.status, status, "{key} {levels} {:?}", answer.body);
    }
    let brackets = fixture.send("POST /v1/things", &[], "[".repeat(BODY_LIMIT)).await;
    assert_eq!(brackets.reason(), "MALFORMED_JSON");
    let in_text = format!("{{\"name\":\"\\\"{}\"}}", "[".repeat(200));
    assert_eq!(fixture.send("POST /v1/things", &[], in_text).await.status, 200);
    for dots in [99, 100, 5_000] {
        let line =
            format!("GET /v1/things/a?{}id=x", "nested.".to_owned() + &"deeper.".repeat(dots - 1));
        fixture.calls.lock().unwrap().clear();
        assert_eq!(fixture.send(&line, &[], "").await.status, 200);
        assert_eq!(fixture.take_call().1.get("nested").is_some(), dots < 100, "{dots}");
    }
}

#[tokio::test]
async fn another_method_is_405_with_allow() {
    let fixture = Fixture::new();
    let cases = [
        ("POST /v1/things/a", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS /v1/things/a", "DELETE, GET, HEAD, PATCH"),
        ("PUT /v1/things:list", "GET, HEAD, POST"),
        ("GET /v1/things", "POST, REPORT"),
        ("HEAD /v1/things", "POST, REPORT"),
        ("OPTIONS /v1/things", "POST, REPORT"),
    ];
    for (line, allow) in cases {
        // The line is refused before authentication.
        let answer = fixture.send(line, &[("authorization", "bad")], "{").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allow)), "{line}");
        if !line.starts_with("HEAD") {
            assert_eq!(
                (answer.json()["code"].clone(), answer.reason()),
                (json!(12), json!("METHOD_NOT_ALLOWED"))
            );
        }
    }
    let unknown = fixture.send("GET /nowhere", &[("authorization", "bad")], "").await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["code"].clone()), (404, json!(5)));
    fixture.refuses_silently();
}

#[tokio::test]
async fn authentication_comes_before_the_body_and_its_findings_reach_the_method() {
    let fixture = Fixture::new();
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let answer = fixture.send("POST /v1/things", &[("authorization", "bad")], never).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (401, json!("UNKNOWN_KEY")));
    assert!(answer.header("www-authenticate").is_some());
    let answer = fixture.send("GET /v1/counts/x/true/RED", &[("authorization", "bad")], "").await;
    assert_eq!(answer.status, 401);
    fixture.refuses_silently();
    fixture.send("POST /v1/things", &[("authorization", "me")], "{}").await;
    assert_eq!(fixture.take_call().0.caller, Some(Caller("me".to_owned())));
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let fixture = Fixture::new();
    let get = fixture.send("GET /v1/things/a", &[], "").await;
    let head = fixture.send("HEAD /v1/things/a", &[], "").await;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    let missing = fixture.send("HEAD /nowhere", &[], "").await;
    assert_eq!((missing.status.as_u16(), missing.body.is_empty()), (404, true));
}

#[tokio::test]
async fn answers_write_what_has_its_default_value_and_leave_out_what_is_not_set() {
    let fixture = Fixture::new();
    let answer =
        fixture.send("GET /v1/things/a?changedTime=2023-01-01T10:00:00.120Z", &[], "").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "id": "a", "name": "", "count": 0, "big": "0", "flag": false, "color": "COLOR_UNSPECIFIED", "tags": [],
        "changedTime": "2023-01-01T10:00:00.120Z", "data": "", "ratio": 0.0, "size": "0", "labels": {}, "many": [],
        "numbers": [], "colors": [], "times": [], "etag": "",
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn an_answer_may_be_one_field() {
    let fixture = Fixture::new();
    let cases = [
        ("GET /v1/parts/a?nested.id=n", r#"{"id":"n","pageSize":0}"#),
        ("GET /v1/parts/a", "null"),
        ("GET /v1/parts/a/tags?tags=x", r#"["x"]"#),
        ("GET /v1/parts/a/tags", "[]"),
        ("GET /v1/parts/a/big", r#""0""#),
    ];
    for (line, body) in cases {
        assert_eq!(fixture.send(line, &[], "").await.body, body, "{line}");
    }
}

#[tokio::test]
async fn headers_become_metadata_but_those_of_the_connection() {
    let fixture = Fixture::new();
    let headers = [
        ("content-type", "application/json"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("te", "gzip"),
        ("host", "example.test"),
        ("content-length", "2"),
        ("grpc-encoding", "gzip"),
        ("x-request-id", "r7"),
        ("authorization", "me"),
        ("user-agent", "test"),
    ];
    let answer = fixture.send("POST /v1/things", &headers, "{}").await;
    let (call, _) = fixture.take_call();
    let mut names: Vec<(&str, &str)> =
        call.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    names.sort_unstable();
    let expected = [
        ("authorization", "me"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "test"),
        ("x-request-id", "r7"),
    ];
    assert_eq!(names, expected);
    let mut names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "content-type", "x-at-the-end", "x-request-id"]);
}

#[tokio::test]
async fn errors_of_the_method_become_status_json_with_their_headers() {
    let fixture = Fixture::new();
    for fail in ["at once", "in trailers"] {
        let answer = fixture.send("POST /v1/things", &[("x-fail", fail)], "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (429, json!("KEY_RATE_LIMIT")),
            "{fail}"
        );
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(
            answer.header("grpc-status").is_none()
                && answer.header("grpc-status-details-bin").is_none()
        );
        let json = answer.json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message", "details"]);
        let kinds: Vec<&str> = json["details"]
            .as_array()
            .unwrap()
            .iter()
            .map(|any| any["@type"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&"type.googleapis.com/google.rpc.RetryInfo"), "{kinds:?}");
    }
    for fail in ["without message", "cut off"] {
        let answer = fixture.send("POST /v1/things", &[("x-fail", fail)], "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].clone()),
            (500, json!(13)),
            "{fail}"
        );
    }
}

#[tokio::test]
async fn finished_answers_skip_the_backend_and_are_conditional_for_reads() {
    let fixture = Fixture::with_finished();
    let get = fixture.send("GET /v1/things:list?name=x", &[], "").await;
    assert_eq!((get.status.as_u16(), get.body.as_ref()), (200, br#"{"ready":"x"}"#.as_slice()));
    let get = fixture.send("GET /v1/things:list", &[], "").await;
    let etag = get.header("etag").unwrap();
    for (line, tags, status) in [
        ("GET", etag, 304),
        ("HEAD", etag, 304),
        ("GET", &format!("\"v0\", W/{etag}"), 304),
        ("GET", "*", 304),
        ("GET", "\"v0\"", 200),
        ("GET", etag.trim_matches('"'), 200),
        ("POST", etag, 200),
    ] {
        let (line, headers) = (format!("{line} /v1/things:list"), [("if-none-match", tags)]);
        let answer = fixture.send(&line, &headers, "").await;
        assert_eq!(answer.status, status, "{line} {tags}");
        assert_eq!(answer.header("etag"), Some(etag));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("vary"), Some("Authorization, Accept-Encoding, Origin"));
        assert_eq!(answer.body.is_empty(), status == 304 || line.starts_with("HEAD"));
    }
    let head = fixture.send("HEAD /v1/things:list", &[], "").await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("12"), 0));
    let refused = fixture.send("POST /v1/things:list", &[], r#"{"name": "refused"}"#).await;
    assert_eq!((refused.status.as_u16(), refused.violation().0), (400, "name".to_owned()));
    assert_eq!(
        fixture.send("GET /v1/things:list", &[("authorization", "bad")], "").await.status,
        401
    );
    fixture.refuses_silently();
}

#[tokio::test]
async fn what_is_read_has_a_tag_of_its_bytes_and_what_is_written_is_not_stored() {
    let fixture = Fixture::with_finished();
    let first = fixture.send("GET /v1/things/a", &[], "").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    for (path, tags, status) in
        [("a", tag.as_str(), 304), ("a", "*", 304), ("a", "\"other\"", 200), ("b", &tag, 200)]
    {
        let line = format!("GET /v1/things/{path}");
        let answer = fixture.send(&line, &[("if-none-match", tags)], "").await;
        assert_eq!(answer.status, status, "{path} {tags}");
        assert_eq!(answer.body.is_empty(), status == 304);
        assert_eq!(answer.header("etag") == Some(&tag), path == "a");
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
        body_limit: BODY_LIMIT,
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
