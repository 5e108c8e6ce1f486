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

/// Makes a company with a location, two tags, a life cycle and a key, each with all its fields set.
async fn furnished() -> (Desk, String) {
    let desk = Desk::open().await;
    let tag = json!({"name": "T", "description": "d", "color": "#112233"});
    desk.ok("PATCH", TAG, tag).await;
    desk.ok("PATCH", COMPANY, json!({"country": "US", "timezone": {"id": "America/New_York"}}))
        .await;
    let address = json!({"city": "Brooklyn", "coordinate": {"latitude": 1.0, "longitude": 2.0}});
    let business = json!({"email": "a@b.example", "website": "w", "address": address});
    desk.ok("PATCH", BUSINESS, business).await;
    let key = json!({
        "name": "k", "scopes": ["settings:read"], "companyIds": ["cmp_001"], "addresses": ["10.0.0.0/8"],
        "expiresTime": "2999-01-01T00:00:00Z", "staffId": "staff_1",
    });
    let made = desk.ok("POST", "/admin/v1/keys", key).await;
    let key = format!("/admin/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    (desk, key)
}

const BUSINESS: &str = "/admin/v1/companies/cmp_001/businesses/biz_001";

#[tokio::test]
async fn null_or_an_empty_list_in_an_update_clears_the_field_or_is_refused_by_its_name() {
    let (desk, key) = furnished().await;
    for (path, body, field, expected) in [
        (TAG, json!({"color": null}), "/color", Ok(json!(""))),
        (TAG, json!({"description": null}), "/description", Ok(json!(""))),
        (TAG, json!({"isDefault": null}), "/isDefault", Ok(json!(false))),
        (TAG, json!({"is_default": null, "updateMask": null}), "/isDefault", Ok(json!(false))),
        (TAG, json!({"name": null}), "/name", Err("entry.name")),
        (TAG, json!({"name": ""}), "/name", Err("entry.name")),
        (COMPANY, json!({"country": null}), "/country", Ok(json!(""))),
        (COMPANY, json!({"timezone": null}), "/timezone", Ok(Value::Null)),
        (COMPANY, json!({"name": null}), "/name", Err("company.name")),
        (BUSINESS, json!({"email": null}), "/email", Ok(json!(""))),
        (BUSINESS, json!({"address": {"coordinate": null}}), "/address/city", Ok(json!(""))),
        (BUSINESS, json!({"address": null}), "/address", Ok(Value::Null)),
        (BUSINESS, json!({"name": null}), "/name", Err("business.name")),
        (&key, json!({"addresses": []}), "/addresses", Ok(json!([]))),
        (&key, json!({"expires_time": null}), "/expiresTime", Ok(Value::Null)),
        (&key, json!({"staffId": null}), "/staffId", Ok(json!(""))),
        (&key, json!({"scopes": []}), "/scopes", Err("key.scopes")),
        (&key, json!({"scopes": null}), "/scopes", Err("key.scopes")),
        (&key, json!({"companyIds": []}), "/companyIds", Err("key.company_ids")),
        (&key, json!({"allCompanies": null}), "/companyIds", Err("key.company_ids")),
    ] {
        let before = desk.ok("GET", path, Value::Null).await;
        match expected {
            Ok(value) => {
                let after = desk.ok("PATCH", path, body.clone()).await;
                assert_eq!(*after.pointer(field).unwrap_or(&Value::Null), value, "{path} {body}");
                assert_eq!(after["name"], before["name"], "{path} {body}: nothing else");
            }
            Err(named) => {
                let (status, refusal, _) = desk.no("PATCH", path, body.clone()).await;
                assert_eq!(status, 400, "{path} {body}");
                assert_eq!(refusal.fields, [named], "{path} {body}");
                assert_eq!(desk.ok("GET", path, Value::Null).await, before, "{path} {body}");
            }
        }
    }
    let nothing = desk.server.call("PATCH", TAG).bearer(&desk.secret).body("null").send().await;
    assert_eq!(nothing.refusal().fields, ["entry"]);
}

#[tokio::test]
async fn in_a_batch_a_null_counts_as_it_does_alone() {
    let (desk, _) = furnished().await;
    let update = |entry: Value| json!({"changes": [{"update": {"collection": "customer_tags", "id": "tag_001", "entry": entry}}]});
    let path = format!("{COMPANY}:batch");
    let done = desk.ok("POST", &path, update(json!({"color": null, "position": 7}))).await;
    let entry = &done["results"][0]["entry"];
    assert_eq!((&entry["color"], &entry["name"]), (&json!(""), &json!("T")));
    let (_, refusal, _) = desk.no("POST", &path, update(json!({"name": null}))).await;
    assert_eq!(refusal.fields, ["changes[0].entry.name"]);
}

#[tokio::test]
async fn a_mask_that_is_given_decides_and_what_was_read_may_be_sent_back() {
    let (desk, _) = furnished().await;
    let before = desk.ok("GET", TAG, Value::Null).await;
    // All of it came from the server, etag and all.
    assert_eq!(desk.ok("PATCH", TAG, before.clone()).await, before);
    for mask in ["name", "*"].map(|mask| format!("{TAG}?update_mask={mask}")) {
        let answer = desk.send("PATCH", &mask, json!({"name": "U", "color": null})).await;
        let expected = if mask.ends_with('*') { "" } else { "#112233" };
        assert_eq!(answer.json()["color"], expected, "{mask}");
    }
    // A mask without names is none.
    let body = json!({"description": null, "updateMask": ""});
    desk.ok("PATCH", TAG, json!({"description": "d"})).await;
    assert_eq!(desk.ok("PATCH", &format!("{TAG}?update_mask="), body).await["description"], "");
    // Over gRPC a field that is there is one that is changed, and only the mask says that one is to be empty.
    desk.ok("PATCH", TAG, json!({"color": "#112233"})).await;
    let bearer = format!("Bearer {}", desk.secret);
    let metadata: [(&'static str, &str); 1] = [("authorization", &bearer)];
    let mut request = json!({"companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001",
                             "entry": {"name": "V"}});
    let kept = desk.server.grpc(&method("UpdateEntry"), &metadata, &request).await.unwrap();
    assert_eq!(kept["color"], "#112233");
    request["updateMask"] = json!("color");
    let cleared = desk.server.grpc(&method("UpdateEntry"), &metadata, &request).await.unwrap();
    assert_eq!((&cleared["color"], &cleared["name"]), (&json!(""), &json!("V")));
}
