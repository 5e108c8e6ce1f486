//! The management API at the wire: what operators and integrators do with it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::*;

const TAGS: &str = "/admin/v1/companies/cmp_001/customer_tags";
const CYCLES: &str = "/admin/v1/companies/cmp_001/life_cycles";
const COMPANY: &str = "/admin/v1/companies/cmp_001";
const HOT_TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

/// A server and a key for everything.
pub(crate) struct Desk {
    pub(crate) server: Server,
    pub(crate) secret: String,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let server = Server::demo().await;
        let secret = server.any_key().await;
        Self { server, secret }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send_with(method, path, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answered = async {
            loop {
                let mut call = self.server.call(method, path).bearer(&self.secret);
                for (name, value) in headers {
                    call = call.header(name, value);
                }
                let answer = call.body(body.clone()).send().await;
                // A server waits two seconds for its database, which one on a starved machine may need for itself.
                // Then nothing was written, and clients are told to try again.
                if answer.status != 503 || !answer.text().contains("STORE_UNAVAILABLE") {
                    return answer;
                }
            }
        };
        timeout(PATIENCE, answered).await.unwrap()
    }

    /// Sends a request that must succeed, and gives its answer.
    pub(crate) async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.send(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Sends a request that must be refused: the status, the refusal and the whole text.
    pub(crate) async fn no(&self, method: &str, path: &str, body: Value) -> (u16, Refusal, String) {
        let answer = self.send(method, path, body).await;
        assert!(!answer.status.is_success(), "{method} {path}: {}", answer.text());
        (answer.status.as_u16(), answer.refusal(), answer.text().to_owned())
    }

    pub(crate) async fn revision(&self) -> String {
        self.ok("GET", COMPANY, Value::Null).await["revision"].as_str().unwrap().to_owned()
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["entries"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_entry_lives_from_creation_to_deletion_and_back() {
    let desk = Desk::open().await;
    let body = json!({"name": "Senior Pet", "color": "#ff0"});
    let made = desk.ok("POST", &format!("{TAGS}?entry_id=tag_senior"), body).await;
    for (field, value) in [
        ("id", json!("tag_senior")),
        ("name", json!("Senior Pet")),
        ("description", json!("")),
        ("color", json!("#FFFF00")),
        ("textColor", json!("#000000")),
        ("isDefault", json!(false)),
        ("position", json!(2)),
        ("state", json!("ACTIVE")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let tag = format!("{TAGS}/tag_senior");
    assert_eq!(desk.ok("GET", &tag, Value::Null).await, made);

    let patch = json!({"name": "Older Pet", "description": "ignored by the mask"});
    let changed = desk.ok("PATCH", &format!("{tag}?update_mask=name"), patch).await;
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Older Pet"), &json!("")));
    assert_ne!(changed["etag"], made["etag"]);
    let changed = desk.ok("PATCH", &tag, json!({"description": "10 years and more"})).await;
    assert_eq!(changed["name"], "Older Pet");

    let (status, refusal, _) = desk.no("DELETE", &tag, Value::Null).await;
    assert_eq!((status, refusal.reason.as_str()), (400, "NOT_ARCHIVED"));
    let archived = desk.ok("POST", &format!("{tag}:archive"), Value::Null).await;
    assert_eq!((&archived["state"], &archived["position"]), (&json!("ARCHIVED"), &json!(2)));
    assert!(
        !desk.server.get(HOT_TAGS).bearer(&desk.secret).send().await.text().contains("tag_senior")
    );
    assert_eq!(ids(&desk.ok("GET", TAGS, Value::Null).await), ["tag_001", "tag_002"]);
    let all = desk.ok("GET", &format!("{TAGS}?show_archived=true"), Value::Null).await;
    assert_eq!(ids(&all), ["tag_001", "tag_002", "tag_senior"]);

    let restored = desk.ok("POST", &format!("{tag}:restore"), json!({})).await;
    assert_eq!(restored["state"], "ACTIVE");
    desk.ok("POST", &format!("{tag}:archive"), Value::Null).await;
    assert_eq!(desk.ok("DELETE", &tag, Value::Null).await, json!({}));
    assert_eq!(desk.no("GET", &tag, Value::Null).await.0, 404);
    let again = json!({"name": "Another"});
    let (status, refusal, _) = desk.no("POST", &format!("{TAGS}?entryId=tag_senior"), again).await;
    assert_eq!((status, refusal.reason.as_str()), (409, "ID_TAKEN"), "ids are never used again");

    let revision = desk.revision().await;
    let undone = desk.ok("POST", &format!("{COMPANY}/changes/{revision}:undo"), Value::Null).await;
    assert_eq!(undone["change"]["deltas"][0]["action"], "REVIVED");
    let back = desk.ok("GET", &tag, Value::Null).await;
    assert_eq!((&back["state"], &back["name"]), (&json!("ARCHIVED"), &json!("Older Pet")));
}

#[tokio::test]
async fn a_taken_name_says_who_has_it() {
    let desk = Desk::open().await;
    let (status, refusal, text) = desk.no("POST", TAGS, json!({"name": "vip CUSTOMER"})).await;
    assert_eq!((status, refusal.reason.as_str()), (409, "NAME_TAKEN"));
    assert!(text.contains(r#""id":"tag_001""#) && refusal.message.contains("tag_001"), "{text}");

    // The name of an archived entry is free, so its restore may clash.
    desk.ok("POST", &format!("{TAGS}/tag_001:archive"), Value::Null).await;
    desk.ok("POST", &format!("{TAGS}?entry_id=tag_vip"), json!({"name": "VIP Customer"})).await;
    let (_, refusal, _) = desk.no("POST", &format!("{TAGS}/tag_001:restore"), Value::Null).await;
    assert_eq!(refusal.reason, "NAME_TAKEN");
    assert!(refusal.message.contains("tag_vip"), "{}", refusal.message);
}

#[tokio::test]
async fn a_whole_catalog_is_reordered_in_one_step_or_not_at_all() {
    let desk = Desk::open().await;
    let before = desk.ok("GET", CYCLES, Value::Null).await;
    let order = json!({"ids": ["lc_003", "lc_001", "lc_002"], "etag": before["etag"]});
    let after = desk.ok("POST", &format!("{CYCLES}:reorder"), order.clone()).await;
    assert_eq!(ids(&after), ["lc_003", "lc_001", "lc_002"]);
    let positions: Vec<i64> = after["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["position"].as_i64().unwrap())
        .collect();
    assert_eq!(positions, [0, 1, 2]);
    // The content of no entry changed.
    let first = &before["entries"][0];
    assert_eq!(
        (&after["entries"][1]["etag"], &after["entries"][1]["lastUpdatedTime"]),
        (&first["etag"], &first["lastUpdatedTime"])
    );

    let (status, refusal, _) = desk.no("POST", &format!("{CYCLES}:reorder"), order).await;
    assert_eq!((status, refusal.reason.as_str()), (409, "ETAG_MISMATCH"));
    let wrong = json!({"ids": ["lc_001", "lc_001", "lc_9"]});
    let (status, refusal, _) = desk.no("POST", &format!("{CYCLES}:reorder"), wrong).await;
    assert_eq!(status, 400);
    for named in ["lc_001", "lc_9", "lc_002, lc_003", "missing"] {
        assert!(refusal.message.contains(named) || named.contains(", "), "{}", refusal.message);
    }
    assert_eq!(ids(&desk.ok("GET", CYCLES, Value::Null).await), ["lc_003", "lc_001", "lc_002"]);
}

#[tokio::test]
async fn exactly_one_active_life_cycle_is_the_default() {
    let desk = Desk::open().await;
    let (status, refusal, _) =
        desk.no("POST", &format!("{CYCLES}/lc_001:archive"), json!({})).await;
    assert_eq!((status, refusal.reason.as_str()), (400, "SUCCESSOR_NEEDED"));
    assert!(refusal.message.contains("successor_id"), "{}", refusal.message);
    let to = json!({"successorId": "lc_002"});
    desk.ok("POST", &format!("{CYCLES}/lc_001:archive"), to).await;
    assert_eq!(desk.ok("GET", &format!("{CYCLES}/lc_002"), Value::Null).await["isDefault"], true);
    let restored = desk.ok("POST", &format!("{CYCLES}/lc_001:restore"), Value::Null).await;
    assert_eq!(restored["isDefault"], false);
    let path = format!("{CYCLES}/lc_001?updateMask=isDefault");
    assert_eq!(desk.ok("PATCH", &path, json!({"isDefault": true})).await["isDefault"], true);
    assert_eq!(desk.ok("GET", &format!("{CYCLES}/lc_002"), Value::Null).await["isDefault"], false);
    let (_, refusal, _) = desk.no("PATCH", &path, json!({"isDefault": false})).await;
    assert_eq!(refusal.reason, "DEFAULT_NEEDED");
    let (_, refusal, _) =
        desk.no("PATCH", &format!("{TAGS}/tag_001"), json!({"isDefault": true})).await;
    assert_eq!(refusal.fields, ["entry.is_default"]);
}

#[tokio::test]
async fn a_stale_etag_is_told_what_changed_since_and_by_whom() {
    let desk = Desk::open().await;
    let tag = format!("{TAGS}/tag_001");
    let seen = desk.ok("GET", &tag, Value::Null).await["etag"].as_str().unwrap().to_owned();
    let staff = [("settings-staff-id", "staff_042")];
    let other = desk.send_with("PATCH", &tag, json!({"color": "#111111"}), &staff).await;
    assert_eq!(other.json()["lastUpdatedBy"], "staff_042");
    // A change of a neighbour does not matter.
    desk.ok("PATCH", &format!("{TAGS}/tag_002"), json!({"color": "#222222"})).await;

    let quoted = format!("\"{seen}\"");
    for answer in [
        desk.send("PATCH", &tag, json!({"name": "X", "etag": seen})).await,
        desk.send("PATCH", &format!("{tag}?etag={seen}"), json!({"name": "X"})).await,
        desk.send_with("PATCH", &tag, json!({"name": "X"}), &[("if-match", &quoted)]).await,
    ] {
        let refusal = answer.refusal();
        assert_eq!((answer.status.as_u16(), refusal.reason.as_str()), (409, "ETAG_MISMATCH"));
        assert!(refusal.message.contains("\"test\" (staff_042)"), "{}", refusal.message);
        assert!(refusal.message.contains("(color)") && !refusal.message.contains("revision 3"));
    }
    let fresh = other.json()["etag"].as_str().unwrap().to_owned();
    let answer = desk.send_with("PATCH", &tag, json!({"name": "X"}), &[("if-match", &fresh)]).await;
    assert_eq!(answer.status, 200);
    let key = desk.server.key(with_scopes(&["settings:write"])).await;
    let call = desk.server.call("PATCH", &tag).bearer(&key).header("settings-staff-id", "staff_1");
    let refused = call.body(r#"{"name": "Y"}"#).send().await.refusal();
    assert!(refused.message.contains("staff:any"), "{}", refused.message);
}

#[tokio::test]
async fn the_same_request_twice_is_one_request_also_after_a_restart() {
    let desk = Desk::open().await;
    let body = json!({"name": "Once"});
    let path = format!("{TAGS}?request_id=req-1");
    let first = desk.ok("POST", &path, body.clone()).await;
    // The entry is renamed in between. The repeated answer is still the first one.
    let tag = format!("{TAGS}/{}", first["id"].as_str().unwrap());
    desk.ok("PATCH", &tag, json!({"name": "Renamed"})).await;
    let repeated = desk.send("POST", &path, body.clone()).await;
    assert_eq!(repeated.header("idempotency-replayed"), Some("true"));
    assert_eq!(repeated.json(), first);
    let by_header =
        desk.send_with("POST", TAGS, body.clone(), &[("idempotency-key", "req-1")]).await;
    assert_eq!(by_header.json(), first);
    let (status, refusal, _) = desk.no("POST", &path, json!({"name": "Other"})).await;
    assert_eq!((status, refusal.reason.as_str()), (400, "REQUEST_ID_REUSED"));

    // A write that changes nothing is stored with its request id too, and does not change the revision.
    let revision = desk.revision().await;
    let same = json!({"name": "Renamed", "requestId": "req-2"});
    let nothing = desk.ok("PATCH", &tag, same.clone()).await;
    assert_eq!(desk.revision().await, revision);
    desk.ok("PATCH", &tag, json!({"name": "Renamed again"})).await;
    assert_eq!(desk.ok("PATCH", &tag, same).await, nothing);

    let secret = desk.secret.clone();
    let changes = desk.ok("GET", &format!("{COMPANY}/changes"), Value::Null).await;
    let count = changes["changes"].as_array().unwrap().len();
    assert_eq!(count, 4, "the demo, one creation and two new names");
    let dir = desk.server.stop().await;
    let server = Server::reopened(dir).await;
    let call = server.post(&path).bearer(&secret).body(body.to_string());
    assert_eq!(call.send().await.json(), first);
}

#[tokio::test]
async fn a_dry_run_writes_nothing_wherever_it_is_asked_for() {
    let desk = Desk::open().await;
    let tag = format!("{TAGS}/tag_001");
    for (method, path, body) in [
        ("POST", format!("{TAGS}?validate_only=true"), json!({"name": "New"})),
        ("POST", TAGS.to_owned(), json!({"name": "New", "validateOnly": true})),
        ("PATCH", format!("{tag}?validateOnly=true"), json!({"name": "New"})),
        ("PATCH", tag.clone(), json!({"name": "New", "validate_only": true})),
        ("POST", format!("{tag}:archive?validate_only=true"), Value::Null),
        ("POST", format!("{tag}:archive"), json!({"validateOnly": true})),
        (
            "POST",
            format!("{TAGS}:reorder"),
            json!({"ids": ["tag_002", "tag_001"], "validateOnly": true}),
        ),
        ("POST", format!("{COMPANY}:rollback"), json!({"revision": "1", "validateOnly": true})),
        ("POST", "/admin/v1/companies?validate_only=true".to_owned(), json!({"name": "New"})),
    ] {
        let answer = desk.ok(method, &path, body).await;
        assert!(answer.is_object());
    }
    let (status, refusal, _) =
        desk.no("POST", TAGS, json!({"name": "VIP Customer", "validateOnly": true})).await;
    assert_eq!((status, refusal.reason.as_str()), (409, "NAME_TAKEN"), "the answer it would give");
    assert_eq!(desk.revision().await, "1");
    desk.ok("POST", &format!("{tag}:archive"), Value::Null).await;
    for (path, body) in [
        (format!("{tag}?validate_only=true"), Value::Null),
        (tag.clone(), json!({"validateOnly": true})),
    ] {
        desk.ok("DELETE", &path, body).await;
        desk.ok("GET", &tag, Value::Null).await;
    }
}

#[tokio::test]
async fn a_batch_is_made_as_a_whole_or_not_at_all() {
    let desk = Desk::open().await;
    let good = json!({"changes": [
        {"create": {"collection": "customer_tags", "entryId": "tag_a", "entry": {"name": "A"}}},
        // Names may be exchanged within the batch.
        {"update": {"collection": "customer_tags", "id": "tag_001", "entry": {"name": "First-time Customer"}}},
        {"update": {"collection": "customer_tags", "id": "tag_002", "entry": {"name": "VIP Customer"}}},
        {"archive": {"collection": "life_cycles", "id": "lc_001", "successorId": "lc_003"}},
    ]});
    let done = desk.ok("POST", &format!("{COMPANY}:batch"), good).await;
    assert_eq!(done["revision"], "2");
    assert_eq!(done["results"][0]["entry"]["name"], "A");
    let bad = json!({"changes": [
        {"update": {"collection": "customer_tags", "id": "tag_a", "entry": {"name": "B"}}},
        {"restore": {"collection": "customer_tags", "id": "tag_nope"}},
    ]});
    let (status, refusal, text) = desk.no("POST", &format!("{COMPANY}:batch"), bad).await;
    assert_eq!(status, 404);
    assert!(
        refusal.message.starts_with("changes[1]: ") && text.contains(r#""index":"1""#),
        "{text}"
    );
    let clash = json!({"changes": [
        {"create": {"collection": "customer_tags", "entry": {"name": "B"}}},
        {"create": {"collection": "customer_tags", "entry": {"name": "b"}}},
    ]});
    let (_, refusal, _) = desk.no("POST", &format!("{COMPANY}:batch"), clash).await;
    assert!(refusal.message.starts_with("changes[1]: "), "{}", refusal.message);
    let own = json!({"changes": [{"archive": {"collection": "customer_tags", "id": "tag_a", "validateOnly": true}}]});
    let (_, refusal, _) = desk.no("POST", &format!("{COMPANY}:batch"), own).await;
    assert_eq!(refusal.fields, ["changes[0].validate_only"]);
    assert_eq!(desk.revision().await, "2");
}

#[tokio::test]
async fn changes_are_undone_and_rolled_back_by_new_changes() {
    let desk = Desk::open().await;
    let tag = format!("{TAGS}/tag_001");
    let first = desk.ok("GET", &tag, Value::Null).await;
    desk.ok("PATCH", &tag, json!({"name": "Two"})).await;
    desk.ok("PATCH", &tag, json!({"name": "Three", "color": "#333333"})).await;
    let (status, refusal, text) =
        desk.no("POST", &format!("{COMPANY}/changes/2:undo"), Value::Null).await;
    assert_eq!((status, refusal.reason.as_str()), (400, "CHANGED_SINCE"));
    assert!(
        refusal.message.contains("customer_tags/tag_001.name")
            && text.contains(r#""revisions":"3""#),
        "{text}"
    );

    let undone = desk.ok("POST", &format!("{COMPANY}/changes/3:undo"), Value::Null).await;
    assert_eq!((&undone["revision"], &undone["change"]["revision"]), (&json!("4"), &json!("4")));
    let now = desk.ok("GET", &tag, Value::Null).await;
    assert_eq!((&now["name"], &now["color"]), (&json!("Two"), &json!("")));
    desk.ok("POST", &format!("{TAGS}?entry_id=tag_new"), json!({"name": "New"})).await;
    let back = desk.ok("POST", &format!("{COMPANY}:rollback"), json!({"revision": "1"})).await;
    assert_eq!(back["revision"], "6");
    let mut now = desk.ok("GET", &tag, Value::Null).await;
    for field in ["etag", "lastUpdatedBy", "lastUpdatedTime"] {
        now[field] = first[field].clone();
    }
    assert_eq!(now, first);
    assert_eq!(desk.no("GET", &format!("{TAGS}/tag_new"), Value::Null).await.0, 404);
    desk.ok("POST", &format!("{COMPANY}/changes/6:undo"), Value::Null).await;
    assert_eq!(desk.ok("GET", &format!("{TAGS}/tag_new"), Value::Null).await["name"], "New");

    // Earlier states can be read, by revision and by moment.
    let then = desk.ok("GET", &format!("{tag}?revision=3"), Value::Null).await;
    assert_eq!(then["name"], "Three");
    let change = desk.ok("GET", &format!("{COMPANY}/changes/3"), Value::Null).await;
    let time = change["time"].as_str().unwrap();
    assert_eq!(desk.ok("GET", &format!("{tag}?read_time={time}"), Value::Null).await, then);
    assert_eq!(desk.no("GET", &format!("{tag}?revision=99"), Value::Null).await.0, 400);
    assert_eq!(desk.no("GET", &format!("{COMPANY}/changes/99"), Value::Null).await.0, 404);
    let (_, refusal, _) = desk.no("POST", &format!("{COMPANY}/changes/1:undo"), Value::Null).await;
    assert_eq!(refusal.reason, "FIRST_CHANGE");

    // The newest changes come first, in pages, also for one entry alone.
    let page = desk.ok("GET", &format!("{COMPANY}/changes?page_size=3"), Value::Null).await;
    let revisions = |page: &Value| -> Vec<String> {
        let changes = page["changes"].as_array().unwrap().iter();
        changes.map(|c| c["revision"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(revisions(&page), ["7", "6", "5"]);
    let token = page["nextPageToken"].as_str().unwrap();
    let path = format!("{COMPANY}/changes?page_size=3&page_token={token}");
    assert_eq!(revisions(&desk.ok("GET", &path, Value::Null).await), ["4", "3", "2"]);
    let of_entry = desk.ok("GET", &format!("{TAGS}/tag_new/changes"), Value::Null).await;
    assert_eq!(revisions(&of_entry), ["7", "6", "5"]);
    let third = desk.ok("GET", &format!("{COMPANY}/changes/3"), Value::Null).await;
    assert_eq!(third["address"], "127.0.0.1");
    assert_eq!(third["deltas"][0]["fields"], json!(["name", "color"]));
    assert_eq!(third["deltas"][0]["entryBefore"]["name"], "Two");
    assert_eq!(third["deltas"][0]["entryAfter"]["name"], "Three");
}

#[tokio::test]
async fn an_unknown_name_is_an_error_that_names_the_nearest_one() {
    let desk = Desk::open().await;
    for (method, path, body, hint) in [
        ("POST", TAGS.to_owned(), json!({"name": "X", "colour": "#000000"}), "color"),
        ("GET", format!("{TAGS}?show_archive=true"), Value::Null, "showArchived"),
        ("POST", format!("{TAGS}?validate_onyl=true"), json!({"name": "X"}), "validateOnly"),
        (
            "GET",
            "/admin/v1/companies/cmp_001/customer_tag".to_owned(),
            Value::Null,
            "customer_tags",
        ),
        ("PATCH", format!("{TAGS}/tag_001?update_mask=position"), json!({}), "description"),
    ] {
        let (status, refusal, _) = desk.no(method, &path, body).await;
        assert_eq!(status, 400, "{path}");
        assert!(refusal.message.contains(hint), "{path}: {}", refusal.message);
    }
    assert_eq!(desk.revision().await, "1");
}

#[tokio::test]
async fn lists_filter_order_and_page_at_one_revision() {
    let desk = Desk::open().await;
    for name in ["b", "a", "C"] {
        desk.ok("POST", &format!("{TAGS}?entry_id=tag_{name}"), json!({"name": name})).await;
    }
    desk.ok("POST", &format!("{TAGS}/tag_a:archive"), Value::Null).await;
    let list = async |query: &str| {
        let list = desk.ok("GET", &format!("{TAGS}?{query}"), Value::Null).await;
        ids(&list).join(" ")
    };
    assert_eq!(list("filter=state%3DARCHIVED").await, "tag_a");
    assert_eq!(list("filter=name%3Acustomer").await, "tag_001 tag_002");
    assert_eq!(
        list("filter=name%20%3D%20%22vip%20customer%22%20AND%20state%3DACTIVE").await,
        "tag_001"
    );
    let quoted = json!({"name": r#"6" brush \ comb"#});
    desk.ok("POST", &format!("{TAGS}?entry_id=tag_quoted"), quoted).await;
    let filter = [r#"name="6\" BRUSH \\ comb""#, r#"name:"\" brush""#, r#"name:"\\""#];
    for filter in filter.map(|filter| utf8_percent_encode(filter, NON_ALPHANUMERIC).to_string()) {
        assert_eq!(list(&format!("filter={filter}")).await, "tag_quoted", "{filter}");
    }
    desk.ok("POST", &format!("{TAGS}/tag_quoted:archive"), Value::Null).await;
    desk.ok("DELETE", &format!("{TAGS}/tag_quoted"), Value::Null).await;
    assert_eq!(
        list("order_by=name%20desc&show_archived=true").await,
        "tag_b tag_a tag_001 tag_002 tag_C"
    );
    for wrong in [
        "filter=colour%3Dred",
        "filter=state%3D",
        "filter=name%3D%22VIP",
        "filter=name%3D%22VIP%5C%22",
        "filter=name%3D%22VIP%5CX%22",
        "order_by=size",
        "page_size=1001",
        "page_token=x",
    ] {
        assert_eq!(desk.no("GET", &format!("{TAGS}?{wrong}"), Value::Null).await.0, 400, "{wrong}");
    }
    let page = desk.ok("GET", &format!("{TAGS}?page_size=3"), Value::Null).await;
    assert_eq!(
        (ids(&page).join(" "), &page["totalSize"]),
        ("tag_001 tag_002 tag_b".to_owned(), &json!(4))
    );
    desk.ok("POST", &format!("{TAGS}/tag_001:archive"), Value::Null).await;
    let token = page["nextPageToken"].as_str().unwrap();
    assert_eq!(list(&format!("page_size=3&page_token={token}")).await, "tag_C");
    assert_eq!(
        desk.no("GET", &format!("{TAGS}?order_by=name&page_token={token}"), Value::Null).await.0,
        400
    );
}

#[tokio::test]
async fn companies_and_locations_are_managed_too() {
    let desk = Desk::open().await;
    let body =
        json!({"name": "Sunny Tails", "country": "us", "timezone": {"id": "America/Chicago"}});
    let path = "/admin/v1/companies?request_id=one";
    let made = desk.ok("POST", path, body.clone()).await;
    assert_eq!((&made["country"], &made["revision"]), (&json!("US"), &json!("1")));
    assert_eq!(desk.ok("POST", path, body).await, made, "a generated id is found again");
    let company = format!("/admin/v1/companies/{}", made["id"].as_str().unwrap());
    let path = format!("{company}/businesses?business_id=biz_sunny");
    let business =
        desk.ok("POST", &path, json!({"name": "Sunny Tails North", "businessPhone": "+1"})).await;
    assert_eq!(business["companyId"], made["id"]);
    let (status, refusal, _) = desk
        .no("POST", &format!("{COMPANY}/businesses?businessId=biz_sunny"), json!({"name": "X"}))
        .await;
    assert_eq!((status, refusal.reason.as_str()), (409, "ID_TAKEN"));
    let changed = desk
        .ok("PATCH", &format!("{company}/businesses/biz_sunny"), json!({"email": "a@b.example"}))
        .await;
    assert_eq!(
        (&changed["businessPhone"], &changed["email"]),
        (&json!("+1"), &json!("a@b.example"))
    );
    desk.ok("POST", &format!("{company}/businesses/biz_sunny:archive"), Value::Null).await;
    assert_eq!(
        desk.ok("GET", &format!("{company}/businesses"), Value::Null).await["businesses"],
        json!([])
    );
    desk.ok("POST", &format!("{company}:archive"), Value::Null).await;
    let listed = desk.ok("GET", "/admin/v1/companies", Value::Null).await;
    assert_eq!(listed["companies"].as_array().unwrap().len(), 2);
    let restored = desk.ok("POST", &format!("{company}:restore"), Value::Null).await;
    assert_eq!((&restored["state"], &restored["revision"]), (&json!("ACTIVE"), &json!("6")));

    // Changes of the company itself are in the same log, so an undo works.
    desk.ok("POST", &format!("{company}/changes/6:undo"), Value::Null).await;
    assert_eq!(desk.ok("GET", &company, Value::Null).await["state"], "ARCHIVED");

    let some = desk.server.key(covering(&["cmp_001", "cmp_x"])).await;
    for id in ["?company_id=cmp_x", "?company_id=cmp_other", "", "?company_id=cmp_001"] {
        let call = desk.server.post(&format!("/admin/v1/companies{id}")).bearer(&some);
        let refusal = call.body(r#"{"name": "X"}"#).send().await.refusal();
        assert_eq!(refusal.reason, "NOT_COVERING_ALL", "{id}");
    }
}

#[tokio::test]
async fn many_writers_leave_every_acknowledged_write_once_and_no_gap() {
    let desk = std::sync::Arc::new(Desk::open().await);
    let writers = (0..8).map(|writer| {
        let desk = desk.clone();
        tokio::spawn(async move {
            for number in 0..10 {
                let path =
                    format!("{TAGS}?entry_id=w{writer}_{number}&request_id=w{writer}-{number}");
                let body = json!({"name": format!("tag {writer} {number}")});
                // Each request is sent twice, as after a lost answer.
                let first = desk.ok("POST", &path, body.clone()).await;
                assert_eq!(desk.ok("POST", &path, body).await, first);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    // In between, a reader sees whole revisions: as many tags as changes, plus the demo's two, minus its
    // first.
    for _ in 0..50 {
        let list = desk.ok("GET", TAGS, Value::Null).await;
        let revision: usize = list["revision"].as_str().unwrap().parse().unwrap();
        assert_eq!(list["entries"].as_array().unwrap().len(), revision + 1);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(desk.revision().await, "81");
    let changes = desk.ok("GET", &format!("{COMPANY}/changes?page_size=500"), Value::Null).await;
    let seen: Vec<String> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["revision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(seen, (1..=81).rev().map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_key_that_a_body_has_twice_is_refused_so_that_no_dry_run_executes() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let path = "/admin/v1/companies/cmp_001/customer_tags/tag_001";
    for (body, field) in [
        (r#"{"name": "Twice", "validateOnly": true, "validateOnly": false}"#, "validate_only"),
        (r#"{"name": "Once", "name": "Twice"}"#, "entry.name"),
    ] {
        let answer = server.call("PATCH", path).bearer(&secret).body(body.to_owned()).send().await;
        let refusal = answer.refusal();
        assert_eq!((answer.status.as_u16(), refusal.reason.as_str()), (400, "INVALID_FIELD"));
        assert_eq!(refusal.message, format!("{field} is given twice: send it once"));
    }
    let entry = server.call("GET", path).bearer(&secret).send().await.json();
    assert_eq!(entry["name"], "VIP Customer");
}

also_on_postgres! {
    an_entry_lives_from_creation_to_deletion_and_back,
    a_taken_name_says_who_has_it,
    a_whole_catalog_is_reordered_in_one_step_or_not_at_all,
    exactly_one_active_life_cycle_is_the_default,
    a_stale_etag_is_told_what_changed_since_and_by_whom,
    the_same_request_twice_is_one_request_also_after_a_restart,
    a_dry_run_writes_nothing_wherever_it_is_asked_for,
    a_batch_is_made_as_a_whole_or_not_at_all,
    changes_are_undone_and_rolled_back_by_new_changes,
    an_unknown_name_is_an_error_that_names_the_nearest_one,
    lists_filter_order_and_page_at_one_revision,
    companies_and_locations_are_managed_too,
    many_writers_leave_every_acknowledged_write_once_and_no_gap,
    a_key_that_a_body_has_twice_is_refused_so_that_no_dry_run_executes,
}
