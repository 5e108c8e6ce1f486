//! Requests of every method with any values, over every protocol. Every answer is a documented one, no answer
//! blames the server, and afterwards the server lives, answers, and its data is in order.
//!
//! Messages come from the descriptors, so the test covers a new method as soon as it is in a proto file.
//! `./test --long` sends more of them (`CUSTOMER_SETTINGS_TEST_REQUESTS`).

use std::{collections::BTreeMap, env};

use customer_settings_server::config::Config;
use proptest::{
    prelude::*,
    sample::select,
    strategy::{Union, ValueTree},
    test_runner::TestRunner,
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use crate::harness::*;

const REQUESTS: usize = 400;

/// The depth of messages.
const MOST_DEPTH: usize = 4;

/// Codes for a fault of the server, which there is not.
const FAULTS: [Code; 6] = [
    Code::Unknown,
    Code::Internal,
    Code::DataLoss,
    Code::Unavailable,
    Code::DeadlineExceeded,
    Code::Unimplemented,
];

/// Texts that some fields accept, and texts that no field accepts.
const TEXTS: [&str; 32] = [
    "cmp_001",
    "cmp_002",
    "cmp_none",
    "biz_001",
    "tag_001",
    "tag_002",
    "src_001",
    "key_none",
    "customer_tags",
    "life_cycles",
    "action_statuses",
    "referral_sources",
    "VIP",
    "New name",
    "#FF0000",
    "US",
    "America/New_York",
    "staff_001",
    "settings:read",
    "*",
    "name",
    "name,description",
    "name desc",
    "state = ARCHIVED",
    "name : \"a\"",
    "192.0.2.0/24",
    "ACTIVE",
    "7",
    "",
    " ",
    "\u{e9}\u{301}\u{200b}\u{1f415}",
    "a/b%2Fc?d#e",
];

fn number<T>(values: Vec<T>) -> BoxedStrategy<Value>
where
    T: Into<Value> + Clone + std::fmt::Debug + 'static,
{
    select(values).prop_map(Into::into).boxed()
}

/// Any value of a single field.
fn single(kind: &Kind, depth: usize) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::String => prop_oneof![
            12 => select(&TEXTS[..]).prop_map(Value::from),
            1 => ".{0,20}".prop_map(Value::from),
            1 => (1_usize..3_000).prop_map(|length| Value::from("x".repeat(length))),
        ]
        .boxed(),
        Kind::Bytes => number(vec!["", "AAEC", "/w=="]),
        Kind::Double | Kind::Float => number(vec![0.0, -1.5, 91.0, 1e30]),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            number(vec![0, 1, 2, 10, 500, 1_001, -1, i32::MAX, i32::MIN])
        }
        Kind::Uint32 | Kind::Fixed32 => number(vec![0, 1, 500, u32::MAX]),
        // protobuf's JSON writes these numbers as texts, because JavaScript could not read the numbers.
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            number(vec!["0", "1", "2", "3", "-1", "9223372036854775807", "-9223372036854775808"])
        }
        Kind::Uint64 | Kind::Fixed64 => number(vec!["0", "1", "18446744073709551615"]),
        Kind::Enum(values) => {
            let named = values.values().map(|value| Value::from(value.name()));
            number(named.chain([json!(99)]).collect())
        }
        Kind::Message(message) => any_message(message, depth + 1),
    }
}

fn any_field(field: &FieldDescriptor, depth: usize) -> BoxedStrategy<Value> {
    if field.is_map() {
        return number(vec![json!({})]);
    }
    let one = single(&field.kind(), depth);
    match field.is_list() {
        true => proptest::collection::vec(one, 0..4).prop_map(Value::from).boxed(),
        false => one,
    }
}

fn any_message(message: &MessageDescriptor, depth: usize) -> BoxedStrategy<Value> {
    match message.full_name() {
        "google.protobuf.Timestamp" => {
            number(vec!["2026-01-01T10:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"])
        }
        "google.protobuf.Duration" => number(vec!["0s", "3600s", "-1.5s", "315576000000s"]),
        "google.protobuf.FieldMask" => number(vec!["", "name", "name,color", "*", "noSuchField"]),
        _ if depth > MOST_DEPTH => number(vec![json!({})]),
        _ => {
            let fields = message.fields().map(|field| {
                let value = prop::option::weighted(0.4, any_field(&field, depth));
                value.prop_map(move |value| (field.clone(), value))
            });
            fields.collect::<Vec<_>>().prop_map(object).boxed()
        }
    }
}

/// Uses the first one of fields that exclude each other.
fn object(fields: Vec<(FieldDescriptor, Option<Value>)>) -> Value {
    let (mut object, mut chosen) = (Map::new(), BTreeMap::new());
    for (field, value) in fields {
        let Some(value) = value else { continue };
        let one_of = field.containing_oneof().filter(|one_of| !one_of.is_synthetic());
        let is_free =
            one_of.is_none_or(|one_of| chosen.insert(one_of.name().to_owned(), ()).is_none());
        if is_free {
            object.insert(field.json_name().to_owned(), value);
        }
    }
    Value::Object(object)
}

/// A request of a method: either any values, or the method's example with some of them replaced.
fn request(method: &Method) -> BoxedStrategy<Value> {
    let sample = method.sample.clone().unwrap_or_else(|| json!({}));
    let anything = any_message(&method.descriptor.input(), 0);
    let changed = (anything.clone(), any::<u64>()).prop_map(move |(any, which)| {
        let mut request = sample.clone();
        let fields = any.as_object().into_iter().flatten().enumerate();
        for (_, (name, value)) in fields.filter(|(number, _)| which >> (number % 64) & 3 == 0) {
            request[name] = value.clone();
        }
        request
    });
    prop_oneof![1 => anything, 3 => changed].boxed()
}

/// Checks that the answer does not blame the server.
fn check(what: &str, code: Code, message: &str) {
    assert!(!FAULTS.contains(&code), "{what}: {code:?} {message}");
}

async fn over_grpc(server: &Server, method: &Method, secret: &str, request: &Value) -> Code {
    let bearer = format!("Bearer {secret}");
    let answer = server.grpc(method, &[("authorization", &bearer)], request).await;
    let status = answer.err().unwrap_or_else(|| Status::ok(""));
    check(&format!("{} {request}", method.path), status.code(), status.message());
    status.code()
}

async fn over_grpc_web(server: &Server, method: &Method, secret: &str, request: &Value) {
    let call = server.post(&method.path).bearer(secret);
    let call = call.header("content-type", "application/grpc-web+proto");
    let answer = call.body(frame(&method.encode(request))).send().await;
    assert_eq!(answer.status, 200, "{} {request}", method.path);
    // The status is in the head, or in the frame after the message.
    let trailers = String::from_utf8_lossy(&answer.body).into_owned();
    let in_body = trailers.rsplit("grpc-status:").next().and_then(|rest| rest.lines().next());
    let code = answer.header("grpc-status").or(in_body).unwrap_or_default().trim();
    let code: i32 =
        code.parse().unwrap_or_else(|_| panic!("{} {request}: {answer:?}", method.path));
    check(&format!("gRPC-Web {} {request}", method.path), Code::from(code), "");
}

async fn over_http(server: &Server, method: &Method, secret: &str, request: &Value) {
    for (verb, path, body) in method.http_requests(request) {
        let body = body.map_or(String::new(), |body| body.to_string());
        let answer =
            server.call(verb.as_str(), &path).bearer(secret).body(body.clone()).send().await;
        let what = format!("{verb} {path} {body}: {} {}", answer.status, answer.text());
        assert!(!answer.status.is_server_error(), "{what}");
        let json: Result<Value, _> = serde_json::from_slice(&answer.body);
        assert!(json.is_ok_and(|json| json.is_object()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_is_answered_and_nothing_breaks() {
    let server = Server::configured(|config: &mut Config| {
        config.limits.requests_per_second = 1_000_000;
        config.limits.requests_burst = 1_000_000;
    })
    .await;
    let number = env::var("CUSTOMER_SETTINGS_TEST_REQUESTS").ok();
    let number = number.map_or(REQUESTS, |number| number.parse().unwrap());
    let methods = methods();
    let any = Union::new((0..methods.len()).map(|number| {
        (request(&methods[number]), 0..3_u8)
            .prop_map(move |(request, way)| (number, request, way))
            .boxed()
    }));
    let mut runner = TestRunner::default();
    let mut secret = server.any_key().await;
    let mut codes = BTreeMap::new();
    for _ in 0..number {
        let (which, request, way) = any.new_tree(&mut runner).unwrap().current();
        let method = &methods[which];
        match way {
            0 => {
                let code = over_grpc(&server, method, &secret, &request).await;
                *codes.entry(format!("{code:?}")).or_insert(0) += 1;
                if code == Code::Unauthenticated {
                    // The request has revoked its own key.
                    secret = server.any_key().await;
                }
            }
            1 => over_grpc_web(&server, method, &secret, &request).await,
            _ => over_http(&server, method, &secret, &request).await,
        }
    }
    println!("{number} requests; over gRPC: {codes:?}");
    // Most requests are wrong, but not all.
    assert!(codes.contains_key("Ok") && codes.contains_key("InvalidArgument"), "{codes:?}");
    assert_eq!(server.get("/healthz").send().await.status, 200);
    assert_eq!(server.get("/readyz").send().await.text(), "ok\n");
    let secret = server.any_key().await;
    server.answer(&secret, "ListCompanies", json!({})).await;
    let verified = server.services.verify.verify(|_| ()).await.unwrap();
    let findings: Vec<String> =
        verified.findings.iter().map(|one| format!("{}: {}", one.of, one.what)).collect();
    assert!(findings.is_empty(), "{findings:?}");
}

also_on_postgres! {
    whatever_is_asked_is_answered_and_nothing_breaks,
}
