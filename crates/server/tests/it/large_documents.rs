//! Documents that are larger than other requests may be, over each protocol.

use bytes::Buf;
use customer_settings_server::config::Config;
use http::StatusCode;
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::*;

const LISTS: [&str; 4] = ["customerTags", "referralSources", "lifeCycles", "actionStatuses"];

/// A company with four full catalogs of long texts.
fn full(id: &str) -> Value {
    let mut company = json!({"id": id, "name": id});
    for list in LISTS {
        let entries = (0..1_000).map(|i| {
            let is_default = (list == "lifeCycles").then_some(i == 0);
            let (id, name) = (format!("{id}_{list}_{i}"), format!("{i:0100}"));
            json!({"id": id, "name": name, "description": "d".repeat(500), "isDefault": is_default})
        });
        company[list] = entries.collect();
    }
    json!({"document": {"companies": [company]}})
}

async fn over_grpc_web(server: &Server, secret: &str, name: &str, request: &Value) -> Value {
    let method = method(name);
    let call = server.post(&method.path).bearer(secret);
    let call = call.header("content-type", "application/grpc-web+proto");
    let mut answer = call.body(frame(&method.encode(request))).send().await.body;
    assert_eq!(answer.get_u8(), 0, "an error");
    let length = answer.get_u32() as usize;
    method.decode(answer.split_to(length))
}

#[tokio::test]
async fn a_company_with_full_catalogs_is_planned_and_applied_over_every_protocol() {
    let server = Server::patient().await;
    let secret = server.any_key().await;
    let document = full("full");
    assert!(document.to_string().len() > 2 << 20);
    // Both ways of asking for the same are compared, and a client has its defaults.
    let planned = server.answer(&secret, "PlanSettings", document.clone()).await;
    assert_eq!(planned["counts"]["created"], 4_001);
    let over_web = over_grpc_web(&server, &secret, "PlanSettings", &document).await;
    assert_eq!(over_web["counts"]["created"], 4_001);

    let applied = server.grpc_as(&secret, "ApplySettings", document.clone()).await.unwrap();
    assert_eq!(applied["results"][0]["counts"]["created"], 4_001);
    let other = full("other");
    let sent = server.post("/admin/v1/settings:apply").bearer(&secret);
    let applied = sent.body(other.to_string()).send().await.json();
    assert_eq!(applied["results"][0]["counts"]["created"], 4_001);
    let third = over_grpc_web(&server, &secret, "ApplySettings", &full("third")).await;
    assert_eq!(third["results"][0]["counts"]["created"], 4_001);
    let again = server.answer(&secret, "PlanSettings", document).await;
    assert_eq!(again["plans"][0]["steps"], json!([]));
}

#[tokio::test]
async fn documents_alone_may_be_large_and_have_a_limit_too() {
    let mut config = Config::default();
    config.limits.body_bytes = 10_000;
    config.limits.bodies_bytes = 80_000;
    let server = Server::with(config, DEMO).await;
    let secret = server.any_key().await;
    let reason = async |path: &str, bytes: usize| {
        let mut body = br#"{"nothing": ""#.to_vec();
        body.resize(bytes - 2, b'x');
        body.extend(br#""}"#);
        let answer = server.post(path).bearer(&secret).body(body).send().await;
        (answer.status, answer.refusal().reason)
    };
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE".to_owned());
    for path in ["/admin/v1/settings:plan", "/admin/v1/settings:apply"] {
        assert_eq!(reason(path, 20_000).await.1, "INVALID_FIELD", "{path}");
        assert_eq!(reason(path, 20_001).await, too_large, "{path}");
    }
    let others = "/admin/v1/companies";
    assert_eq!(reason(others, 10_000).await.1, "INVALID_FIELD");
    assert_eq!(reason(others, 10_001).await, too_large);
    for (name, bytes, code) in [
        ("PlanSettings", 20_000, Code::InvalidArgument),
        ("ApplySettings", 20_000, Code::InvalidArgument),
        ("CreateCompany", 10_000, Code::InvalidArgument),
    ] {
        let bearer = format!("Bearer {secret}");
        let metadata = [("authorization", bearer.as_str())];
        let path = method(name).path;
        for (bytes, reason) in [(bytes, "MALFORMED_MESSAGE"), (bytes + 1, "BODY_TOO_LARGE")] {
            let sent = server.grpc_bytes(&path, &metadata, vec![0xff; bytes].into());
            let refused = Refusal::of_status(&sent.await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{name} {bytes}");
        }
    }
}

#[tokio::test]
async fn a_large_document_is_answered_before_it_is_read_and_its_connection_goes_on() {
    let server = Server::demo().await;
    let answer = server.post("/admin/v1/settings:plan").bearer("nobody");
    let answer = answer.body(vec![b'x'; 15 << 20]).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (401, None));
    let answer = server.post("/admin/v1/companies").bearer("nobody");
    let answer = answer.body(vec![b'x'; 2 << 20]).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (401, Some("close")));
}
