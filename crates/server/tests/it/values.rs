//! A value that was given is never ignored: it counts, or it is refused by its name.

use serde_json::{Value, json};
use tonic::Code;

use crate::{admin::Desk, harness::*};

const COMPANY: &str = "/admin/v1/companies/cmp_001";
const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";

#[tokio::test]
async fn a_condition_without_effect_is_refused_and_nothing_is_written() {
    let desk = Desk::open().await;
    let name = json!({"name": "Another"});
    for (verb, path, body, header) in [
        ("PATCH", TAG, name.clone(), "If-None-Match"),
        ("DELETE", TAG, Value::Null, "If-None-Match"),
        ("POST", "/admin/v1/companies/cmp_001/customer_tags", name.clone(), "If-None-Match"),
        ("POST", "/admin/v1/companies", name.clone(), "If-None-Match"),
        ("POST", "/admin/v1/companies", name.clone(), "If-Match"),
        ("GET", TAG, Value::Null, "If-Match"),
        ("PATCH", TAG, name.clone(), "If-Unmodified-Since"),
    ] {
        let answer = desk.send_with(verb, path, body, &[(header, "*")]).await;
        assert_eq!(answer.status, 400, "{verb} {path} {header}: {}", answer.text());
        let refusal = answer.refusal();
        assert_eq!(refusal.fields, [header], "{verb} {path}");
        assert!(refusal.message.contains("has no effect here"), "{}", refusal.message);
    }
    assert_eq!(desk.revision().await, "1");
    let metadata: [(&'static str, &str); 2] =
        [("authorization", &format!("Bearer {}", desk.secret)), ("if-none-match", "*")];
    let entry = json!({"companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001"});
    let over_grpc = desk.server.grpc(&method("GetEntry"), &metadata, &entry).await;
    assert_eq!(over_grpc.unwrap_err().code(), Code::InvalidArgument);

    // Where it counts, it does.
    let seen = desk.send("GET", TAG, Value::Null).await;
    let tag = seen.header("etag").unwrap();
    let again = desk.send_with("GET", TAG, Value::Null, &[("If-None-Match", tag)]).await;
    assert_eq!(again.status, 304);
    let any = desk.send_with("PATCH", TAG, name, &[("If-Match", "*")]).await;
    assert_eq!(any.status, 200);
    // Programs of the compatible surface send what their libraries add.
    let list = "/v1/setting/companies/cmp_001/customer/tags:list";
    let list = desk.send_with("POST", list, json!({}), &[("If-None-Match", "*")]).await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert_eq!(desk.ok("GET", COMPANY, Value::Null).await["revision"], "2");
}
