//! Content types, bodies and the company id.

use serde_json::{Value, json};

use super::{BARE, TAGS};
use crate::harness::*;

/// The path of each list, and the key of its answer.
const LISTS: [(&str, &str, &str); 4] = [
    ("ListCustomerTags", "customer/tags:list", "tags"),
    ("ListCustomerReferralSources", "customer/referral_sources:list", "referralSources"),
    ("ListLeadsLifeCycles", "leads/life_cycles", "lifeCycles"),
    ("ListLeadsActionStatus", "leads/action_status", "actionStatuses"),
];

#[tokio::test]
async fn every_list_answers_post_and_get_on_its_documented_path() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (name, path, field) in LISTS {
        let path = format!("/v1/setting/companies/cmp_001/{path}");
        let expected = server.answer(&secret, name, json!({"companyId": "cmp_001"})).await;
        assert!(!expected[field].as_array().unwrap().is_empty());
        for verb in ["GET", "POST"] {
            let answer = server.call(verb, &path).bearer(&secret).send().await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()), "{path}");
        }
        let with_suffix = if path.ends_with(":list") { continue } else { format!("{path}:list") };
        let answer = server.post(&with_suffix).bearer(&secret).send().await;
        assert_eq!(answer.status, 404, "{with_suffix}");
    }
}

#[tokio::test]
async fn a_body_is_read_as_json_whatever_its_type_says() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    // The server must read this body: otherwise it would not refuse the field.
    let body = r#"{"companyId": 5}"#;
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/octet-stream",
        "text/xml",
        "nonsense",
        "",
    ] {
        let answer =
            server.post(TAGS).bearer(&secret).header("content-type", kind).body(body).send();
        assert_eq!(answer.await.refusal().fields, ["company_id"], "{kind}");
    }
    let answer = server.post(TAGS).bearer(&secret).body(body).send().await;
    assert_eq!(answer.refusal().fields, ["company_id"], "no type");
}

#[tokio::test]
async fn a_form_post_is_refused_with_what_to_do() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let call = server.post(TAGS).bearer(&secret).header("content-type", kind);
        let answer = call.body("companyId=cmp_001").send().await;
        assert_eq!((answer.status.as_u16(), answer.refusal().reason.as_str()), (400, "FORM_POST"));
        assert!(answer.refusal().message.contains("application/json"));
    }
}

#[tokio::test]
async fn a_get_may_say_that_it_is_json() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for path in [TAGS, "/v1/companies/cmp_001", "/v1/businesses/biz_001"] {
        for body in ["", "{}", "not json"] {
            let call = server.get(path).bearer(&secret).header("content-type", "application/json");
            assert_eq!(call.body(body).send().await.status, 200, "{path} {body}");
        }
    }
}

#[tokio::test]
async fn a_body_may_be_empty_or_an_empty_object() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for path in [TAGS, "/v1/companies:list", "/v1/businesses:list"] {
        for body in ["", " \r\n", "{}", "\u{feff}{}", " { } "] {
            let answer = server.post(path).bearer(&secret).body(body).send().await;
            assert_eq!(answer.status, 200, "{path} {body:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn keys_of_generic_helpers_are_ignored() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let body = json!({
        "companyId": "cmp_001",
        "filter": {"name": ["x"], "deep": {"er": null}},
        "businessIds": ["biz_001"],
        "includeDeleted": true,
    });
    for path in [TAGS, "/v1/companies:list", "/v1/businesses:list"] {
        let answer = server.post(path).bearer(&secret).body(body.to_string()).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    // The lists of settings ignore such keys, because they answer everything at once.
    let body = r#"{"pagination": {"pageSize": 1, "pageToken": "7"}, "page_size": -1}"#;
    let answer = server.post(TAGS).bearer(&secret).body(body).send().await;
    assert_eq!(answer.json()["tags"].as_array().unwrap().len(), 2);
    let answer = server.get(&format!("{TAGS}?includeDeleted=true&x")).bearer(&secret).send().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn both_casings_are_read() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for body in [
        r#"{"companyId": "cmp_002", "pagination": {"pageSize": 1, "pageToken": "1"}}"#,
        r#"{"company_id": "cmp_002", "pagination": {"page_size": 1, "page_token": "1"}}"#,
    ] {
        let answer = server.post("/v1/businesses:list").bearer(&secret).body(body).send().await;
        let ids: Vec<&Value> = vec![];
        let json = answer.json();
        let found = json["businesses"].as_array().unwrap().iter().map(|business| &business["id"]);
        assert_eq!(ids.into_iter().chain(found).collect::<Vec<_>>(), ["biz_003"], "{body}");
    }
}

#[tokio::test]
async fn the_company_id_may_stand_in_path_and_body_if_it_is_the_same() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for body in [r#"{"companyId": "cmp_001"}"#, r#"{"company_id": "cmp_001"}"#] {
        let answer = server.post(TAGS).bearer(&secret).body(body).send().await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    }
}

#[tokio::test]
async fn another_company_id_in_the_body_than_in_the_path_is_a_wrong_field() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (_, path, _) in LISTS {
        let path = format!("/v1/setting/companies/cmp_001/{path}");
        for body in [r#"{"companyId": "cmp_002"}"#, r#"{"company_id": "CMP_001"}"#] {
            let answer = server.post(&path).bearer(&secret).body(body).send().await;
            let refusal = answer.refusal();
            assert_eq!(
                (answer.status.as_u16(), &refusal.fields[..]),
                (400, &["company_id".to_owned()][..])
            );
            assert!(refusal.message.contains("company_id"), "{}", refusal.message);
        }
    }
}

#[tokio::test]
async fn malformed_json_and_wrong_types_say_what_is_wrong() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (body, field, part) in [
        ("{", "body", "line 1"),
        ("nonsense", "body", "line 1"),
        ("{} {}", "body", "line 1"),
        ("[]", "body", "an object"),
        ("\"cmp_001\"", "body", "an object"),
        (r#"{"pagination": []}"#, "pagination", "an object"),
        (r#"{"pagination": {"pageSize": "many"}}"#, "pagination.page_size", "a whole number"),
        (r#"{"pagination": {"pageSize": 1.5}}"#, "pagination.page_size", "a whole number"),
        (r#"{"pagination": {"page_token": 2}}"#, "pagination.page_token", "text"),
        (r#"{"companyId": ["cmp_001"]}"#, "company_id", "text"),
    ] {
        let answer = server.post("/v1/businesses:list").bearer(&secret).body(body).send().await;
        assert_eq!(answer.status, 400, "{body}");
        let refusal = answer.refusal();
        assert_eq!(refusal.fields, [field], "{body}: {}", refusal.message);
        assert!(refusal.message.contains(part), "{body}: {}", refusal.message);
    }
}

#[tokio::test]
async fn ids_have_1_to_64_characters_of_a_small_alphabet() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let longest = "a".repeat(64);
    for good in ["copaRXx", "a", "0", "_", "-", "A-Z_09", longest.as_str()] {
        for (name, field) in asking_for_ids() {
            let refusal = server.refusal(&secret, name, json!({field: good})).await;
            assert_eq!(refusal.reason, "NOT_FOUND", "{name} {good}");
        }
    }
    let too_long = "a".repeat(65);
    for bad in ["a b", "a.b", "é", "a/b", "a:b", "a%b", "a\n", too_long.as_str()] {
        for (name, field) in asking_for_ids() {
            let refusal = server.refusal(&secret, name, json!({field: bad})).await;
            let snake = if field == "id" { "id" } else { "company_id" };
            assert_eq!(refusal.fields, [snake], "{name} {bad:?}: {refusal:?}");
        }
    }
}

/// Methods that need an id, with the field of the id.
fn asking_for_ids() -> Vec<(&'static str, &'static str)> {
    let lists = LISTS.map(|(name, _, _)| (name, "companyId"));
    lists.into_iter().chain([("GetCompany", "id"), ("GetBusiness", "id")]).collect()
}

#[tokio::test]
async fn a_missing_id_is_a_wrong_field_over_grpc_and_no_path_over_http() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let bearer = format!("Bearer {secret}");
    for (name, field) in asking_for_ids() {
        let method = method(name);
        let status = server.grpc(&method, &[("authorization", &bearer)], &json!({})).await;
        let refusal = Refusal::of_status(&status.unwrap_err());
        let snake = if field == "id" { "id" } else { "company_id" };
        assert_eq!(refusal.fields, [snake]);
        assert!(refusal.message.contains("is required"), "{}", refusal.message);
        for (verb, path, _) in method.http_requests(&json!({})) {
            let answer = server.call(verb.as_str(), &path).bearer(&secret).send().await;
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.status);
            answer.refusal();
        }
    }
}

#[tokio::test]
async fn ids_are_case_sensitive() {
    let document = "companies: [{id: copaRXx, name: A}, {id: coparxx, name: B, businesses: [{id: bizT2HX, name: X}]}]";
    let server = Server::of(document).await;
    let secret = server.any_key().await;
    for (id, name) in [("copaRXx", "A"), ("coparxx", "B")] {
        assert_eq!(server.answer(&secret, "GetCompany", json!({"id": id})).await["name"], name);
    }
    for (name, id) in [("GetCompany", "COPARXX"), ("GetBusiness", "biZT2hx")] {
        assert_eq!(server.refusal(&secret, name, json!({"id": id})).await.reason, "NOT_FOUND");
    }
    let narrow = server.key(covering(&["copaRXx"])).await;
    let refusal = server.refusal(&narrow, "GetCompany", json!({"id": "coparxx"})).await;
    assert_eq!(refusal.reason, "NOT_COVERED");
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_one_byte_more_is_refused() {
    let mut config = customer_settings_server::config::Config::default();
    config.limits.body_bytes = 1_000;
    let server = Server::with(config, BARE).await;
    let secret = server.any_key().await;
    let body = |bytes: usize| format!("{{\"filter\":\"{}\"}}", "x".repeat(bytes - 13));
    let path = "/v1/setting/companies/bare/customer/tags:list";
    assert_eq!(body(1_000).len(), 1_000);
    let answer = server.post(path).bearer(&secret).body(body(1_000)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = server.post(path).bearer(&secret).body(body(1_001)).send().await;
    let refusal = answer.refusal();
    assert_eq!((answer.status.as_u16(), refusal.reason.as_str()), (413, "BODY_TOO_LARGE"));
    assert!(refusal.message.contains("1000 bytes"), "{}", refusal.message);
}
