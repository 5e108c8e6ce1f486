//! Requests that take long have few places. A waiting request delays no other request, and its refusal says
//! that nothing was done.

use std::time::Duration;

use customer_settings_server::{catalog::id::KeyId, clock::Clock};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{admin::Desk, harness::*};

const COMPANY: &str = "/admin/v1/companies/cmp_001";
const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";

/// The work of other clients, which occupies every place until a test ends it.
pub(crate) struct Crowd(Vec<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Crowd {
    pub(crate) async fn of(server: &Server) -> Self {
        let mut all = Vec::new();
        for i in 0..server.services.long_work.places() {
            let (begins, begun) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let services = server.services.clone();
            let deadline = server.clock.monotonic() + Duration::from_secs(60);
            let key = KeyId::parse("key", &format!("key_{i}")).unwrap();
            let work = async move {
                begins.send(()).unwrap();
                _ = ended.await;
                Ok(())
            };
            let run =
                async move { services.long_work.run(Some(&key), deadline, work).await.unwrap() };
            let running = tokio::spawn(run);
            begun.await.unwrap();
            all.push((end, running));
        }
        Self(all)
    }

    pub(crate) async fn leave(self) {
        for (end, running) in self.0 {
            drop(end);
            running.await.unwrap();
        }
    }
}

impl Desk {
    /// Sends a request with a short deadline.
    async fn ask_shortly(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send_with(method, path, body, &[("grpc-timeout", "300m")]).await
    }

    pub(crate) async fn rename(&self, times: usize) {
        for i in 0..times {
            self.ok("PATCH", TAG, json!({"name": format!("Name {i}")})).await;
        }
    }
}

#[tokio::test]
async fn what_takes_long_and_waits_is_not_begun_and_holds_up_nothing_else() {
    let desk = Desk::open().await;
    desk.rename(60).await;
    let crowd = Crowd::of(&desk.server).await;
    for (method, path, body) in [
        ("GET", format!("{TAG}?revision=1"), Value::Null),
        ("GET", format!("{COMPANY}?readTime=2200-01-01T00:00:00Z"), Value::Null),
        ("GET", format!("{COMPANY}/changes"), Value::Null),
        ("GET", format!("{COMPANY}/changes/1"), Value::Null),
    ] {
        let answer = desk.ask_shortly(method, &path, body).await;
        assert_eq!(answer.status, 504, "{method} {path}: {}", answer.text());
        let refusal = answer.refusal();
        assert_eq!(refusal.reason, "NOT_BEGUN", "{method} {path}");
        assert!(refusal.message.starts_with("nothing was carried out: "), "{}", refusal.message);
    }
    // This list's pages stay at the revision of the first one, while writes go on.
    let page = desk.ok("GET", &format!("{COMPANY}/customer_tags?pageSize=1"), Value::Null).await;
    desk.rename(20).await;
    let token = page["nextPageToken"].as_str().unwrap();
    let next = format!("{COMPANY}/customer_tags?pageSize=1&pageToken={token}");
    let next = desk.ok("GET", &next, Value::Null).await;
    assert_eq!(next["revision"], page["revision"]);
    crowd.leave().await;
    desk.ok("GET", &format!("{TAG}?revision=1"), Value::Null).await;
    desk.ok("GET", &format!("{COMPANY}/changes/1"), Value::Null).await;
}

#[tokio::test]
async fn writes_that_take_long_wait_and_others_do_not() {
    let desk = Desk::open().await;
    desk.rename(2).await;
    let crowd = Crowd::of(&desk.server).await;
    let before = desk.revision().await;
    let batch = |count: usize| {
        let create = |i: usize| json!({"create": {"collection": "customer_tags", "entry": {"name": format!("New {count} {i}")}}});
        json!({"changes": (0..count).map(create).collect::<Vec<_>>()})
    };
    let ids: Vec<String> = (0..100).map(|i| format!("tag_{i}")).collect();
    for (path, body) in [
        (format!("{COMPANY}:batch"), batch(101)),
        (format!("{COMPANY}/customer_tags:reorder"), json!({"ids": ids})),
        (format!("{COMPANY}/changes/{before}:undo"), json!({})),
        (format!("{COMPANY}/changes/{before}:undo"), json!({"validateOnly": true})),
        (format!("{COMPANY}:rollback"), json!({"revision": "1", "validateOnly": true})),
    ] {
        let answer = desk.ask_shortly("POST", &path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.refusal().reason.as_str()),
            (504, "NOT_BEGUN"),
            "{path}"
        );
    }
    assert_eq!(desk.revision().await, before);
    desk.ok("POST", &format!("{COMPANY}:batch"), batch(100)).await;
    crowd.leave().await;
    desk.ok("POST", &format!("{COMPANY}:batch"), batch(101)).await;
    let order =
        desk.no("POST", &format!("{COMPANY}/customer_tags:reorder"), json!({"ids": ids})).await;
    assert_eq!(order.1.reason, "INVALID_FIELD");
}

#[tokio::test]
async fn a_refusal_comes_without_its_explanation_where_that_would_take_too_long() {
    let desk = Desk::open().await;
    let old = desk.ok("GET", TAG, Value::Null).await["etag"].clone();
    desk.rename(1).await;
    let update = json!({"name": "Mine", "etag": old});
    let explained = desk.no("PATCH", TAG, update.clone()).await.1.message;
    assert!(explained.contains("changed since that etag was read: revision 2 by"), "{explained}");
    let crowd = Crowd::of(&desk.server).await;
    let answer = desk.ask_shortly("PATCH", TAG, update).await;
    assert_eq!((answer.status.as_u16(), answer.refusal().reason.as_str()), (409, "ETAG_MISMATCH"));
    crowd.leave().await;
}

#[tokio::test]
async fn a_request_that_was_made_long_ago_is_answered_again_in_its_turn() {
    let desk = Desk::open().await;
    let create =
        ("POST", &*format!("{COMPANY}/customer_tags?entryId=tag_new"), json!({"name": "New"}));
    let id = [("idempotency-key", "first")];
    let first = desk.send_with(create.0, create.1, create.2.clone(), &id).await;
    assert_eq!(first.status, 200, "{}", first.text());
    desk.rename(60).await;
    let crowd = Crowd::of(&desk.server).await;
    let shortly = [("idempotency-key", "first"), ("grpc-timeout", "300m")];
    let again = desk.send_with(create.0, create.1, create.2.clone(), &shortly).await;
    assert_eq!(again.refusal().reason, "NOT_BEGUN");
    // Writes of the company can go on meanwhile.
    desk.rename(1).await;
    crowd.leave().await;
    let again = desk.send_with(create.0, create.1, create.2, &id).await;
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), Some("true")));
}

#[tokio::test]
async fn lists_of_keys_wait_for_their_turn() {
    let desk = Desk::open().await;
    let crowd = Crowd::of(&desk.server).await;
    for path in ["/admin/v1/keys", "/admin/v1/keys/-/changes"] {
        let answer = desk.ask_shortly("GET", path, Value::Null).await;
        assert_eq!(answer.refusal().reason, "NOT_BEGUN", "{path}");
    }
    crowd.leave().await;
    desk.ok("GET", "/admin/v1/keys/-/changes", Value::Null).await;
}

#[tokio::test]
async fn large_answers_to_reads_wait_for_their_turn() {
    let desk = Desk::open().await;
    let long = "d".repeat(480);
    let create = |i: usize| json!({"create": {"collection": "customer_tags", "entry": {"name": format!("New {i}"), "description": long}}});
    let batch = json!({"changes": (0..100).map(create).collect::<Vec<_>>()});
    for _ in 0..2 {
        desk.ok("POST", &format!("{COMPANY}:batch"), batch.clone()).await;
        let archived = format!("{COMPANY}/customer_tags?filter=name+:+%22New%22");
        let list = desk.ok("GET", &archived, Value::Null).await;
        let ids = list["entries"].as_array().unwrap().iter().map(|entry| entry["id"].clone());
        let archive = ids.map(|id| json!({"archive": {"collection": "customer_tags", "id": id}}));
        desk.ok(
            "POST",
            &format!("{COMPANY}:batch"),
            json!({"changes": archive.collect::<Vec<_>>()}),
        )
        .await;
    }
    let crowd = Crowd::of(&desk.server).await;
    let all = format!("{COMPANY}/customer_tags?showArchived=true");
    let answer = desk.ask_shortly("GET", &all, Value::Null).await;
    assert_eq!(answer.refusal().reason, "NOT_BEGUN");
    desk.ok("GET", &format!("{all}&pageSize=50"), Value::Null).await;
    crowd.leave().await;
    let list = desk.ok("GET", &all, Value::Null).await;
    assert!(list["entries"].as_array().unwrap().len() > 200);
}

#[tokio::test]
async fn answers_that_look_at_many_rows_wait_for_their_turn() {
    let desk = Desk::open().await;
    let create = |i: usize| json!({"create": {"collection": "customer_tags", "entry": {"name": format!("New {i}")}}});
    let batch = json!({"changes": (0..120).map(create).collect::<Vec<_>>()});
    let before = desk.revision().await;
    desk.ok("POST", &format!("{COMPANY}:batch"), batch).await;
    let after = desk.revision().await;
    desk.rename(1).await;
    let tags = format!("{COMPANY}/customer_tags");
    let crowd = Crowd::of(&desk.server).await;
    for query in ["", "?pageSize=101", "?filter=vip&pageSize=1", &format!("?revision={before}")] {
        let answer = desk.ask_shortly("GET", &format!("{tags}{query}"), Value::Null).await;
        assert_eq!(answer.refusal().reason, "NOT_BEGUN", "{query}");
    }
    let near = format!("?revision={after}&pageSize=1");
    for query in ["?pageSize=100", "?pageSize=1&orderBy=name", &near] {
        desk.ok("GET", &format!("{tags}{query}"), Value::Null).await;
    }
    let few = format!("{COMPANY}/referral_sources?filter=web");
    desk.ok("GET", &few, Value::Null).await;
    crowd.leave().await;
    desk.ok("GET", &tags, Value::Null).await;
    desk.ok("GET", &format!("{tags}?revision={before}"), Value::Null).await;
}

#[tokio::test]
async fn large_answers_to_writes_are_told_whatever_waits() {
    let desk = Desk::open().await;
    let description = "\u{4e2d}".repeat(500);
    let create = |i: usize| {
        json!({"create": {"collection": "customer_tags", "entryId": format!("long_{i}"),
            "entry": {"name": format!("Long {i}"), "description": description}}})
    };
    let archive =
        |i: usize| json!({"archive": {"collection": "customer_tags", "id": format!("long_{i}")}});
    let batch = format!("{COMPANY}:batch");
    let changes: Vec<Value> = (0..80).map(create).collect();
    desk.ok("POST", &batch, json!({"changes": changes})).await;
    let crowd = Crowd::of(&desk.server).await;
    let changes: Vec<Value> = (0..80).map(archive).collect();
    let before = desk.revision().await;
    let body = json!({"changes": changes});
    let answer = desk.send_with("POST", &batch, body, &[("grpc-timeout", "2S")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().len() > 100_000);
    assert_ne!(desk.revision().await, before);
    crowd.leave().await;
}

also_on_postgres! {
    what_takes_long_and_waits_is_not_begun_and_holds_up_nothing_else,
    writes_that_take_long_wait_and_others_do_not,
    a_request_that_was_made_long_ago_is_answered_again_in_its_turn,
}

#[tokio::test]
async fn metrics_tell_how_much_runs_and_waits() {
    let desk = Desk::open().await;
    let crowd = Crowd::of(&desk.server).await;
    let metrics = desk.server.get("/metrics").send().await;
    // Other tests of this process may run such work too.
    let running = metrics.text().lines().filter_map(|line| {
        line.strip_prefix("customer_settings_long_work_running ")?.parse::<f64>().ok()
    });
    let places = desk.server.services.long_work.places() as f64;
    assert!(running.sum::<f64>() >= places, "{}", metrics.text());
    assert!(metrics.text().contains("# TYPE customer_settings_long_work_waiting gauge"));
    crowd.leave().await;
}
