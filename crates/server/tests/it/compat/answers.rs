//! The form of answers: the documented examples, the fields that are always there, orders, etags, browsers.

use customer_settings_contract::moego::business::setting::v1::{
    ListCustomerTagsRequest, setting_service_client::SettingServiceClient,
};
use serde_json::{Value, json};
use tonic::Status;

use super::{BARE, TAGS};
use crate::harness::*;

#[tokio::test]
async fn the_documented_examples_are_answered_exactly() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let tags = r#"{"tags":[{"id":"tag_001","name":"VIP Customer","lastUpdatedBy":"staff_001","lastUpdatedTime":"2023-01-01T10:00:00Z"},{"id":"tag_002","name":"First-time Customer","lastUpdatedBy":"staff_002","lastUpdatedTime":"2023-01-02T10:00:00Z"}]}"#;
    let sources = r#"{"referralSources":[{"id":"ref_001","name":"Google Search"},{"id":"ref_002","name":"Social Media"}]}"#;
    for (list, expected) in [("tags", tags), ("referral_sources", sources)] {
        let path = format!("/v1/setting/companies/cmp_001/customer/{list}:list");
        let call = server.post(&path).header("authorization", &basic(&secret));
        let call = call.header("content-type", "application/json");
        let answer = call.body(r#"{"companyId": "cmp_001"}"#).send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, expected));
    }
    let answer = server.get("/v1/setting/companies/cmp_001/leads/life_cycles").bearer(&secret);
    let life_cycles = r#"{"lifeCycles":[{"id":"lc_001","name":"Qualified","isDefault":true},{"id":"lc_002","name":"Trial Visit Booked","isDefault":false},{"id":"lc_003","name":"Regular","isDefault":false}]}"#;
    assert_eq!(answer.send().await.text(), life_cycles);
    let answer = server.get("/v1/setting/companies/cmp_001/leads/action_status").bearer(&secret);
    let first = r##"{"actionStatuses":[{"id":"as_001","name":"Contacted","color":"#00FF00"},"##;
    assert!(answer.send().await.text().starts_with(first));
}

#[tokio::test]
async fn the_generated_client_reads_the_documented_example() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let mut client = SettingServiceClient::new(server.channel());
    let mut request =
        tonic::Request::new(ListCustomerTagsRequest { company_id: "cmp_001".to_owned() });
    request.metadata_mut().insert("authorization", basic(&secret).parse().unwrap());
    let tags = client.list_customer_tags(request).await.unwrap().into_inner().tags;
    assert_eq!((tags.len(), tags[0].name.as_str()), (2, "VIP Customer"));
    assert_eq!(tags[1].last_updated_time.unwrap().seconds, 1_672_653_600);
}

#[tokio::test]
async fn an_empty_list_is_there_and_empty() {
    let server = Server::of(BARE).await;
    let secret = server.any_key().await;
    let request = json!({"companyId": "bare"});
    for (name, expected) in [
        ("ListCustomerTags", json!({"tags": []})),
        ("ListCustomerReferralSources", json!({"referralSources": []})),
        ("ListLeadsLifeCycles", json!({"lifeCycles": []})),
        ("ListLeadsActionStatus", json!({"actionStatuses": []})),
    ] {
        assert_eq!(server.answer(&secret, name, request.clone()).await, expected);
    }
    let elsewhere = server.key(covering(&["nowhere"])).await;
    let nothing = json!({"nextPageToken": "", "companies": []});
    assert_eq!(server.answer(&elsewhere, "ListCompanies", json!({})).await, nothing);
    let nothing = json!({"nextPageToken": "", "businesses": []});
    assert_eq!(server.answer(&elsewhere, "ListBusiness", json!({})).await, nothing);
}

#[tokio::test]
async fn empty_values_are_written_and_messages_that_are_not_set_are_left_out() {
    let server = Server::of(BARE).await;
    let secret = server.any_key().await;
    let company = server.get("/v1/companies/bare").bearer(&secret).send().await;
    assert_eq!(company.text(), r#"{"id":"bare","name":"Bare","country":""}"#);
    let business = server.get("/v1/businesses/biz_bare").bearer(&secret).send().await;
    let expected = r#"{"id":"biz_bare","name":"Bare","avatar":"","phone":"","businessPhone":"","email":"","website":"","facebook":"","instagram":"","yelp":"","google":"","companyId":"bare"}"#;
    assert_eq!(business.text(), expected);

    let server = Server::demo().await;
    let secret = server.any_key().await;
    let company = server.answer(&secret, "GetCompany", json!({"id": "cmp_001"})).await;
    assert_eq!(company["timezone"], json!({"id": "America/New_York"}));
    let business = server.answer(&secret, "GetBusiness", json!({"id": "biz_001"})).await;
    let coordinate = json!({"latitude": 40.7193, "longitude": -74.0093});
    assert_eq!(business["address"]["coordinate"], coordinate);
    assert_eq!(business["address"]["type"], "PRIMARY");
    assert_eq!(business["address"]["address2"], "");
    let business = server.answer(&secret, "GetBusiness", json!({"id": "biz_002"})).await;
    assert_eq!(business["address"].get("coordinate"), None);
}

#[tokio::test]
async fn a_status_without_a_color_has_an_empty_one() {
    let document = "companies: [{id: c, name: C, action_statuses: [{id: as_1, name: Called}]}]";
    let server = Server::of(document).await;
    let secret = server.any_key().await;
    let answer = server.answer(&secret, "ListLeadsActionStatus", json!({"companyId": "c"})).await;
    let expected = json!({"actionStatuses": [{"id": "as_1", "name": "Called", "color": ""}]});
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn times_are_in_utc_and_end_with_z() {
    let document = "companies:\n- id: c\n  name: C\n  customer_tags:\n\
        \x20 - {id: a, name: A, last_updated_by: s, last_updated_time: 2023-06-01T10:00:00Z}\n\
        \x20 - {id: b, name: B, last_updated_by: s, last_updated_time: 2023-06-01T10:00:00.5Z}\n\
        \x20 - {id: c, name: C}\n";
    let server = Server::of(document).await;
    let secret = server.any_key().await;
    let answer = server.answer(&secret, "ListCustomerTags", json!({"companyId": "c"})).await;
    assert_eq!(answer["tags"][0]["lastUpdatedTime"], "2023-06-01T10:00:00Z");
    assert_eq!(answer["tags"][1]["lastUpdatedTime"], "2023-06-01T10:00:00.500Z");
    assert!(answer["tags"][2]["lastUpdatedTime"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer["tags"][2]["lastUpdatedBy"], "load");
}

#[tokio::test]
async fn lists_keep_the_catalogs_order_and_never_show_what_is_archived() {
    let document = "companies:\n- id: c\n  name: C\n  customer_tags:\n\
        \x20 - {id: t3, name: Zebra}\n  - {id: t1, name: Old, state: archived}\n\
        \x20 - {id: t2, name: Ant}\n  - {id: t0, name: Mule}\n\
        \x20 life_cycles:\n  - {id: l1, name: Gone, state: archived}\n  - {id: l2, name: New}\n";
    let server = Server::of(document).await;
    let secret = server.any_key().await;
    let names = |answer: &Value, field: &str| -> Vec<String> {
        let rows = answer[field].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let request = json!({"companyId": "c", "includeDeleted": true});
    let bearer = format!("Bearer {secret}");
    let answer = server.post("/v1/setting/companies/c/customer/tags:list").bearer(&secret);
    let answer = answer.body(request.to_string()).send().await.json();
    assert_eq!(names(&answer, "tags"), ["Zebra", "Ant", "Mule"]);
    let over_grpc = server
        .grpc(
            &method("ListCustomerTags"),
            &[("authorization", &bearer)],
            &json!({"companyId": "c"}),
        )
        .await;
    assert_eq!(over_grpc.unwrap(), answer);
    let answer = server.answer(&secret, "ListLeadsLifeCycles", json!({"companyId": "c"})).await;
    assert_eq!(names(&answer, "lifeCycles"), ["New"]);
}

#[tokio::test]
async fn archived_companies_and_locations_are_not_listed() {
    let document = "companies:\n- {id: a, name: A, state: archived, businesses: [{id: ba, name: A}]}\n\
        - {id: b, name: B, businesses: [{id: bb, name: B}, {id: bx, name: X, state: archived}]}\n";
    let server = Server::of(document).await;
    let secret = server.any_key().await;
    let companies = server.answer(&secret, "ListCompanies", json!({})).await.to_string();
    assert!(companies.contains(r#""id":"b""#) && !companies.contains(r#""id":"a""#), "{companies}");
    for request in [json!({}), json!({"companyId": "b"})] {
        let businesses = server.answer(&secret, "ListBusiness", request).await;
        let rows = businesses["businesses"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!("bb")));
    }
}

#[tokio::test]
async fn companies_are_listed_alphabetically_and_only_those_that_the_key_covers() {
    let document = "companies:\n- {id: c1, name: Zoo}\n- {id: c2, name: Ant}\n- {id: c3, name: Mule}\n\
        - {id: c4, name: Mule}\n";
    let server = Server::of(document).await;
    let ids = |answer: Value| -> Vec<String> {
        let rows = answer["companies"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = server.any_key().await;
    let listed = server.answer(&all, "ListCompanies", json!({})).await;
    assert_eq!(ids(listed), ["c2", "c3", "c4", "c1"]);
    let some = server.key(covering(&["c1", "c4", "not_made_yet"])).await;
    let listed = server.answer(&some, "ListCompanies", json!({})).await;
    assert_eq!(ids(listed), ["c4", "c1"]);
}

#[tokio::test]
async fn locations_are_listed_of_one_company_or_of_all_that_the_key_covers() {
    let document = "companies:\n- {id: c1, name: A, businesses: [{id: b1, name: Zoo}, {id: b2, name: Ant}]}\n\
        - {id: c2, name: B, businesses: [{id: b3, name: Mule}]}\n- {id: c3, name: C, businesses: [{id: b4, name: Bee}]}\n";
    let server = Server::of(document).await;
    let ids = |answer: Value| -> Vec<String> {
        let rows = answer["businesses"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = server.any_key().await;
    let some = server.key(covering(&["c1", "c2"])).await;
    for (secret, request, expected) in [
        (&all, json!({}), vec!["b2", "b4", "b3", "b1"]),
        (&all, json!({"companyId": ""}), vec!["b2", "b4", "b3", "b1"]),
        (&some, json!({}), vec!["b2", "b3", "b1"]),
        (&all, json!({"companyId": "c1"}), vec!["b2", "b1"]),
        (&some, json!({"companyId": "c1"}), vec!["b2", "b1"]),
    ] {
        let listed = server.answer(secret, "ListBusiness", request.clone()).await;
        assert_eq!(ids(listed), expected, "{request}");
    }
}

#[tokio::test]
async fn a_get_of_what_the_client_has_answers_304_and_a_post_never_does() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let whole = server.get(TAGS).bearer(&secret).send().await;
    let etag = whole.header("etag").unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(whole.header("cache-control"), Some("private, no-cache"));
    assert_eq!(whole.header("vary"), Some("Authorization, Accept-Encoding, Origin"));
    let weak = format!("W/{etag}");
    let several = format!("\"other\", {etag}");
    for tags in [etag.as_str(), &weak, &several, "*"] {
        for verb in ["GET", "HEAD"] {
            let call = server.call(verb, TAGS).bearer(&secret).header("if-none-match", tags);
            let answer = call.send().await;
            assert_eq!((answer.status.as_u16(), answer.text()), (304, ""), "{verb} {tags}");
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
        }
        let call = server.post(TAGS).bearer(&secret).header("if-none-match", tags);
        let answer = call.send().await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, whole.text()), "{tags}");
    }
    let head = server.call("HEAD", TAGS).bearer(&secret).send().await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));

    let other = server.get(TAGS).bearer(&secret).header("if-none-match", "\"other\"").send().await;
    assert_eq!(other.status, 200);
    load(&server.services, "companies: [{id: cmp_001, customer_tags: [{name: New}]}]").await;
    let call = server.get(TAGS).bearer(&secret).header("if-none-match", &etag);
    let changed = call.send().await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn a_304_needs_the_same_rights_as_the_list() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let other = server.key(covering(&["cmp_002"])).await;
    let etag = server.get(TAGS).bearer(&secret).send().await.header("etag").unwrap().to_owned();
    let answer = server.get(TAGS).bearer(&other).header("if-none-match", &etag).send().await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("etag"), None);
    assert_eq!(server.get(TAGS).header("if-none-match", &etag).send().await.status, 401);
}

#[tokio::test]
async fn browsers_call_with_grpc_web_over_http_1() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let method = method("ListCustomerTags");
    let kind = "application/grpc-web+proto";
    let send = |company: &str, secret: &str| {
        let message = frame(&method.encode(&json!({"companyId": company})));
        let call = server.post(&method.path).bearer(secret).header("content-type", kind);
        call.header("x-grpc-web", "1")
            .header("origin", "https://app.example.com")
            .body(message)
            .send()
    };
    let answer = send("cmp_001", &secret).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(kind)));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let length = u32::from_be_bytes(answer.body[1..5].try_into().unwrap()) as usize;
    let (message, trailers) = answer.body[5..].split_at(length);
    let tags = method.decode(message.to_vec().into());
    assert_eq!(tags["tags"][0]["name"], "VIP Customer");
    assert_eq!(trailers[0], 0x80, "a frame of trailers");
    assert!(trailers[5..].starts_with(b"grpc-status:0"), "{trailers:?}");

    for (company, secret, code) in [("cmp_404", secret.as_str(), "5"), ("cmp_001", "x", "16")] {
        let answer = send(company, secret).await;
        assert_eq!(answer.status, 200);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
        assert_eq!(answer.header("grpc-status"), Some(code), "{:?}", answer.headers);
        Refusal::of_status(&Status::from_header_map(&answer.headers).unwrap());
    }
}

#[tokio::test]
async fn a_browsers_preflight_needs_no_key() {
    let server = Server::demo().await;
    for path in [TAGS, "/moego.business.setting.v1.SettingService/ListCustomerTags"] {
        let call = server.call("OPTIONS", path).header("origin", "https://app.example.com");
        let call = call.header("access-control-request-method", "POST");
        let asked = "authorization,content-type,x-grpc-web";
        let answer = call.header("access-control-request-headers", asked).send().await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(asked));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    }
}
