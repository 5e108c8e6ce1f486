//! Several nodes over one store, and a store that does not answer, as callers see them. Another program on
//! the same data is the other node.

use std::time::Duration;

use bytes::Bytes;
use customer_settings_server::{
    catalog::stream::StreamName,
    clock::Clock,
    service::keys::KeyDraft,
    store::{Notice, sqlite},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::{console::Browser, harness::*};

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";
const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";
const CHANGE: &str = "companies: [{id: cmp_001, customer_tags: [{name: From Elsewhere}]}]";
const MAX_STALE: Duration = Duration::from_secs(300);

/// A server that learns of other programs' writes only by its own look-ups, with a warm cache.
async fn alone() -> (Server, String) {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.hide_change_mark().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    (server, secret)
}

async fn at_least(server: &Server, secret: &str, token: &str) -> Answer {
    server.get(TAGS).bearer(secret).header("settings-min-revision", token).send().await
}

#[tokio::test]
async fn a_caller_sees_at_least_what_it_has_seen_on_another_node() {
    let (server, secret) = alone().await;
    load(&server.other_program().await, CHANGE).await;
    let old = server.get(TAGS).bearer(&secret).send().await;
    assert_eq!(old.header("settings-revision"), Some("1"));
    let new = at_least(&server, &secret, "2").await;
    assert_eq!((new.status.as_u16(), new.header("settings-revision")), (200, Some("2")));
    assert!(new.text().contains("From Elsewhere"));
    // The same over gRPC. A newer revision than requested is accepted too.
    load(&server.other_program().await, &CHANGE.replace("Elsewhere", "There")).await;
    let bearer = format!("Bearer {secret}");
    let metadata = [("authorization", bearer.as_str()), ("settings-min-revision", "3")];
    let request = json!({"companyId": "cmp_001"});
    let answer = server.grpc(&method("ListCustomerTags"), &metadata, &request).await.unwrap();
    assert!(answer.to_string().contains("From There"));
    assert_eq!(at_least(&server, &secret, "1").await.header("settings-revision"), Some("3"));
}

#[tokio::test]
async fn a_page_of_the_console_has_the_change_that_it_tells_of() {
    let (server, _) = alone().await;
    let browser = Browser::of(&server).await;
    let list = "/console/c/cmp_001/customer_tags";
    assert!(!browser.get(list).await.text().contains("From Elsewhere"));
    load(&server.other_program().await, CHANGE).await;
    assert!(!browser.get(list).await.text().contains("From Elsewhere"));
    assert!(browser.get(&format!("{list}?changed=2")).await.text().contains("From Elsewhere"));
    // A page about a change that is nowhere shows what there is.
    let page = browser.get(&format!("{list}?changed=9")).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn what_is_not_there_yet_is_unavailable_after_a_moment() {
    let (server, secret) = alone().await;
    for token in ["2", "1;epoch=2"] {
        let answer = at_least(&server, &secret, token).await;
        assert_eq!(
            (answer.status, answer.refusal().reason.as_str()),
            (503.try_into().unwrap(), "NOT_SEEN_YET")
        );
        assert!(answer.header("retry-after").is_some());
    }
    for token in ["x", "0", "01", "+1", "9223372036854775808", "7;epoch=", "1;epoch=02", "é"] {
        assert_eq!(
            at_least(&server, &secret, token).await.refusal().fields,
            ["Settings-Min-Revision"]
        );
    }
}

#[tokio::test]
async fn a_company_that_does_not_exist_is_not_found_whatever_revision_is_known() {
    let (server, secret) = alone().await;
    let paths = ["/admin/v1/companies/nope", "/v1/setting/companies/nope/leads/life_cycles"];
    for path in paths {
        let call = server.get(path).bearer(&secret).header("settings-min-revision", "1");
        assert_eq!(call.send().await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_write_is_made_to_a_state_that_is_as_new_as_its_caller_knows() {
    let (server, secret) = alone().await;
    load(&server.other_program().await, CHANGE).await;
    let write = async |token: &str, query: &str| {
        let call = server.call("PATCH", &format!("{TAG}{query}")).bearer(&secret);
        let call = call.header("settings-min-revision", token);
        call.body(json!({"description": format!("after {token}")}).to_string()).send().await
    };
    for query in ["", "?validate_only=true"] {
        let early = write("3", query).await;
        assert_eq!((early.status.as_u16(), &*early.refusal().reason), (503, "NOT_SEEN_YET"));
    }
    assert_eq!(at_least(&server, &secret, "2").await.header("settings-revision"), Some("2"));
    let made = write("2", "").await;
    assert_eq!((made.status.as_u16(), made.header("settings-revision")), (200, Some("3")));
}

#[tokio::test]
async fn a_revision_is_refused_where_the_request_is_about_no_company_that_exists() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let named = json!({"name": "N"});
    let plan = json!({"document": {"companies": [{"id": "cmp_001"}]}});
    for (verb, path, body) in [
        ("POST", "/v1/companies:list", json!({})),
        ("POST", "/v1/businesses:list", json!({})),
        ("GET", "/admin/v1/companies", json!(null)),
        ("POST", "/admin/v1/companies?company_id=cmp_new", named),
        ("POST", "/admin/v1/settings:plan", plan.clone()),
        ("POST", "/admin/v1/settings:apply", plan),
        ("GET", "/admin/v1/settings:export?company_ids=cmp_001", json!(null)),
        ("GET", "/admin/v1/keys", json!(null)),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = server.call(verb, path).bearer(&secret).body(body);
        let refusal = call.header("settings-min-revision", "1").send().await.refusal();
        assert_eq!(refusal.fields, ["Settings-Min-Revision"], "{verb} {path}");
        assert!(refusal.message.contains("has no effect here"), "{}", refusal.message);
    }
    let of_company = json!({"companyId": "cmp_001"}).to_string();
    let call = server.call("POST", "/v1/businesses:list").bearer(&secret).body(of_company);
    assert_eq!(call.header("settings-min-revision", "1").send().await.status, 200);
    let bearer = format!("Bearer {secret}");
    let metadata = [("authorization", &*bearer), ("settings-min-revision", "1")];
    for list in [
        "moego.business.company.v1.CompanyService/ListCompanies",
        "moego.business.business.v1.BusinessService/ListBusiness",
    ] {
        let refused = server.grpc(&method(list), &metadata, &json!({})).await.unwrap_err();
        assert!(refused.message().contains("Settings-Min-Revision has no effect"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_from_before_a_restore_is_refused() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    load(&server.services, CHANGE).await;
    assert_eq!(
        server.get(TAGS).bearer(&secret).send().await.header("settings-revision"),
        Some("2")
    );
    let dir = server.stop().await;
    let copy = dir.path().join("copy.db");
    sqlite::backup(dir.path(), &copy).unwrap();
    sqlite::restore(dir.path(), &copy, true).unwrap();
    let server = Server::reopened(dir).await;
    let now = server.get(TAGS).bearer(&secret).send().await;
    assert_eq!(now.header("settings-revision"), Some("2;epoch=2"));
    assert_eq!(at_least(&server, &secret, "2;epoch=2").await.status, 200);
    for old in ["2", "9"] {
        let answer = at_least(&server, &secret, old).await;
        assert_eq!(
            (answer.status, answer.refusal().reason.as_str()),
            (400.try_into().unwrap(), "RESTORED_SINCE")
        );
    }
    let write = server.call("PATCH", TAG).bearer(&secret).header("settings-min-revision", "2");
    let refused = write.body(json!({"name": "N"}).to_string()).send().await;
    assert_eq!(refused.refusal().reason, "RESTORED_SINCE");
}

#[tokio::test]
async fn every_answer_about_a_company_carries_its_revision() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for path in [
        "/v1/companies/cmp_001",
        "/v1/businesses/biz_001",
        TAG,
        "/admin/v1/companies/cmp_001",
        "/admin/v1/companies/cmp_001/customer_tags",
        "/admin/v1/companies/cmp_001/businesses",
        "/admin/v1/companies/cmp_001/changes",
        "/admin/v1/companies/cmp_001/changes/1",
    ] {
        let answer = server.get(path).bearer(&secret).send().await;
        assert_eq!(answer.header("settings-revision"), Some("1"), "{path}: {}", answer.text());
        let tag = answer.header("etag").unwrap().to_owned();
        let again = server.get(path).bearer(&secret).header("if-none-match", &tag).send().await;
        assert_eq!((again.status.as_u16(), again.text()), (304, ""), "{path}");
        assert_eq!(again.header("settings-revision"), Some("1"));
    }
    let tag = server.get(TAG).bearer(&secret).send().await.header("etag").unwrap().to_owned();
    let write = async |tag: &str, name: &str| {
        let call = server.call("PATCH", TAG).bearer(&secret).header("if-match", tag);
        call.body(json!({"name": name}).to_string()).send().await
    };
    let written = write(&tag, "New").await;
    assert_eq!((written.status.as_u16(), written.header("settings-revision")), (200, Some("2")));
    assert_eq!(written.header("cache-control"), Some("no-store"));
    assert_eq!(write(&tag, "Newer").await.status, 409);
    let then = server.get(&format!("{TAG}?revision=1")).bearer(&secret).send().await;
    assert_eq!(then.header("settings-revision"), Some("1"));
    // No request can ask for a revision that a dry run would have made.
    let dry = server.call("PATCH", &format!("{TAG}?validate_only=true")).bearer(&secret);
    let dry = dry.body(json!({"name": "Dry"}).to_string()).send().await;
    assert_eq!((dry.status.as_u16(), dry.header("settings-revision")), (200, None));
}

#[tokio::test]
async fn what_another_node_wrote_is_no_reason_to_do_nothing() {
    let (server, secret) = alone().await;
    let write = async |query: &str, body: &str| {
        let call = server.call("PATCH", &format!("{TAG}{query}")).bearer(&secret);
        call.body(body.to_owned()).send().await
    };
    let other = "companies: [{id: cmp_001, customer_tags: [{id: tag_001, name: From Elsewhere}]}]";
    load(&server.other_program().await, other).await;
    // This node still knows the old name, for which there would be nothing to do.
    let dry = write("?validate_only=true", r#"{"description": "-"}"#).await;
    assert_eq!((dry.status.as_u16(), &dry.json()["name"]), (200, &json!("From Elsewhere")));
    let written = write("", r#"{"name": "VIP Customer"}"#).await;
    assert_eq!((written.status.as_u16(), written.header("settings-revision")), (200, Some("3")));
    let now = server.get(TAG).bearer(&secret).send().await;
    assert_eq!(now.json()["name"], "VIP Customer");
}

#[tokio::test]
async fn a_notice_is_enough_to_look_again() {
    let (server, secret) = alone().await;
    let shows = async || server.get(TAGS).bearer(&secret).send().await.text().contains("Elsewhere");
    load(&server.other_program().await, CHANGE).await;
    assert!(!shows().await);
    server.probe.notify(Notice::Stream(StreamName::read("company cmp_001").unwrap()));
    assert!(eventually(shows).await < Duration::from_secs(1));
}

#[tokio::test]
async fn while_the_store_is_away_known_keys_read_what_is_in_memory() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let soon = server.clock.now().plus_seconds(60);
    let expiring = server.key(KeyDraft { expires_time: Some(soon), ..everything() }).await;
    let never_seen = server.any_key().await;
    for key in [&secret, &expiring] {
        let answer = server.get(TAGS).bearer(key).send().await;
        assert_eq!((answer.status.as_u16(), answer.header("settings-stale")), (200, None));
    }
    server.probe.fail(true);
    server.clock.advance(Duration::from_secs(10));
    let answer = server.get(TAGS).bearer(&secret).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let stale: u64 = answer.header("settings-stale").unwrap().parse().unwrap();
    assert!((10..13).contains(&stale), "{stale}");
    assert_eq!(server.get(TAG).bearer(&secret).send().await.header("settings-revision"), Some("1"));
    assert_eq!(server.get("/readyz").send().await.status, 200);
    // Every other request waits for the store.
    let write = server.call("PATCH", TAG).bearer(&secret).body(json!({"name": "N"}).to_string());
    for (what, answer) in [
        ("a write", write.send().await),
        ("an unknown key", server.get(TAGS).bearer(&never_seen).send().await),
        ("a list of companies", server.get("/admin/v1/companies").bearer(&secret).send().await),
        ("history", server.get(&format!("{TAG}/changes")).bearer(&secret).send().await),
        ("more than is here", at_least(&server, &secret, "2").await),
    ] {
        assert_eq!(answer.status, 503, "{what}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{what}");
    }
    assert_eq!(at_least(&server, &secret, "1").await.status, 200);
    // The expiry of a key is exact all the same.
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.get(TAGS).bearer(&expiring).send().await.refusal().reason, "KEY_EXPIRED");
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);

    server.clock.advance(MAX_STALE);
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 503);
    let readiness = server.get("/readyz").send().await;
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("has not answered"), "{}", readiness.text());

    server.probe.fail(false);
    let is_back = async || server.get(TAGS).bearer(&secret).send().await.status == 200;
    eventually(is_back).await;
    eventually(async || server.get("/readyz").send().await.status == 200).await;
    let answer = server.get(TAGS).bearer(&secret).send().await;
    assert_eq!(answer.header("settings-stale"), None);
}

#[tokio::test]
async fn a_store_that_hangs_keeps_no_reader_waiting() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    server.probe.hang(true);
    server.clock.advance(Duration::from_secs(10));
    let asked = tokio::time::timeout(PATIENCE, async {
        for _ in 0..20 {
            let answer = server.get(TAGS).bearer(&secret).send().await;
            assert_eq!(answer.status, 200);
            assert!(answer.header("settings-stale").is_some());
        }
    });
    asked.await.unwrap();
    server.probe.hang(false);
    let is_fresh =
        async || server.get(TAGS).bearer(&secret).send().await.header("settings-stale").is_none();
    eventually(is_fresh).await;
}

#[tokio::test]
async fn a_store_that_hangs_keeps_nobody_waiting() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let never_seen = server.any_key().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    server.probe.hang(true);
    // Many requests at once, for the same company: none waits for the others.
    let asked = join_all((0..5).map(async |_| {
        let write = server.call("PATCH", TAG).bearer(&secret).header("idempotency-key", "once");
        for (what, call) in [
            ("a company not in memory", server.get("/v1/companies/cmp_9").bearer(&secret)),
            ("a key not in memory", server.get(TAGS).bearer(&never_seen)),
            ("more", server.get(TAGS).bearer(&secret).header("settings-min-revision", "2")),
            ("a write", write.body(json!({"name": "N"}).to_string())),
        ] {
            let answer = call.send().await;
            assert_eq!(answer.status, 503, "{what}: {}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{what}");
        }
    }));
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

#[tokio::test]
async fn without_max_stale_nothing_is_served_past_the_bound() {
    let server = Server::configured(|config| config.max_stale_ms = 0).await;
    let secret = server.any_key().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    server.probe.fail(true);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 503);
    eventually(async || server.get("/readyz").send().await.status == 503).await;
    for name in ["", SETTING] {
        eventually(async || *health(&server, name).await == NOT_SERVING).await;
    }
    server.probe.fail(false);
    eventually(async || server.get("/readyz").send().await.status == 200).await;
    for name in ["", SETTING] {
        eventually(async || *health(&server, name).await == SERVING).await;
    }
}

/// The gRPC health service's status of a service, or without a name of the server.
async fn health(server: &Server, service: &str) -> Bytes {
    let name = [&[10, u8::try_from(service.len()).unwrap()], service.as_bytes()].concat();
    server.grpc_bytes("/grpc.health.v1.Health/Check", &[], name.into()).await.unwrap()
}

const SETTING: &str = "moego.business.setting.v1.SettingService";

/// Field 1 as a number.
const SERVING: [u8; 2] = [8, 1];
const NOT_SERVING: [u8; 2] = [8, 2];

also_on_postgres! {
    a_caller_sees_at_least_what_it_has_seen_on_another_node,
    every_answer_about_a_company_carries_its_revision,
    what_another_node_wrote_is_no_reason_to_do_nothing,
    while_the_store_is_away_known_keys_read_what_is_in_memory,
}
