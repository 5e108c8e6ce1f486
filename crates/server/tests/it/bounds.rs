//! Answers and refusals stay within the defaults of clients, independent of the amount of data.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::*;

/// The longest id that begins with this text.
fn long_id(start: &str) -> String {
    format!("{start:x<64}")
}

/// The longest name with this number, in characters of four bytes.
fn long_name(number: usize) -> String {
    let start = number.to_string();
    start.clone() + &"🐕".repeat(100 - start.len())
}

/// A company with a full catalog of tags, whose ids and names have the greatest length.
async fn full() -> (Server, String, Vec<String>) {
    let ids: Vec<String> = (0..1_000).map(|i| long_id(&format!("tag_{i:03}_"))).collect();
    let tags: Vec<Value> =
        ids.iter().enumerate().map(|(i, id)| json!({"id": id, "name": long_name(i)})).collect();
    let company = json!({"id": "cmp_001", "name": "Paws", "customer_tags": tags});
    let server = Server::of(&json!({"companies": [company]}).to_string()).await;
    let secret = server.any_key().await;
    (server, secret, ids)
}

fn order(ids: &[String]) -> Value {
    json!({"companyId": "cmp_001", "collection": "customer_tags", "ids": ids})
}

#[tokio::test]
async fn an_undo_that_a_thousand_entries_stand_in_the_way_of_says_so_in_a_few_words() {
    let (server, secret, mut ids) = full().await;
    for _ in 0..3 {
        ids.rotate_left(1);
        server.grpc_as(&secret, "ReorderEntries", order(&ids)).await.unwrap();
    }
    let undo = json!({"companyId": "cmp_001", "revision": "2"});
    let refusal = server.refusal(&secret, "UndoChange", undo).await;
    assert_eq!(refusal.reason, "CHANGED_SINCE");
    let words = ["revision 2 cannot be undone", " and 995 more changed again: revision 4 by "];
    for word in words {
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
    assert!(refusal.message.ends_with("or change the fields by hand"), "{}", refusal.message);
}

#[tokio::test]
async fn an_order_that_is_all_wrong_is_refused_in_a_few_words() {
    let (server, secret, ids) = full().await;
    let others: Vec<String> = (0..1_000).map(|i| long_id(&format!("none_{i:03}_"))).collect();
    let refusal = server.refusal(&secret, "ReorderEntries", order(&others)).await;
    assert_eq!((refusal.reason.as_str(), refusal.fields.len()), ("INVALID_FIELD", 2));
    assert_eq!(refusal.message.matches(" and 995 more").count(), 2, "{}", refusal.message);
    let twice = order(&[&ids[..500], &ids[..500]].concat());
    let refusal = server.refusal(&secret, "ReorderEntries", twice).await;
    assert_eq!(refusal.message.matches(" and 495 more").count(), 2, "{}", refusal.message);
}

#[tokio::test]
async fn a_long_refusal_over_grpc_web_leaves_its_head_short_enough_for_proxies() {
    let (server, secret, _) = full().await;
    let method = method("ReorderEntries");
    let others: Vec<String> = (0..1_000).map(|i| long_id(&format!("none_{i:03}_"))).collect();
    for (kind, ids, is_long) in [
        ("application/grpc-web", others.as_slice(), true),
        ("application/grpc-web-text", others.as_slice(), true),
        ("application/grpc-web", &[], false),
    ] {
        let message = frame(&method.encode(&order(ids)));
        let body = if kind.ends_with("text") { STANDARD.encode(&message).into() } else { message };
        let call = server.post(&method.path).bearer(&secret).header("content-type", kind);
        let answer = call.header("accept", kind).body(body).send().await;
        assert_eq!(answer.status, 200);
        let head: usize =
            answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(head < 3 * 1_024, "{head} bytes");
        assert_eq!(answer.header("grpc-status"), (!is_long).then_some("3"));
        if is_long {
            let body = if kind.ends_with("text") {
                STANDARD.decode(&answer.body).unwrap()
            } else {
                answer.body.to_vec()
            };
            let trailers = String::from_utf8(body[5..].to_vec()).unwrap();
            assert!(body[0] == 0x80 && trailers.contains("grpc-status:3\r\n"), "{trailers}");
            assert!(trailers.contains("grpc-status-details-bin:"), "{trailers}");
        }
    }
    let code = "protocol=\"grpc-web\",method=\"/customersettings.v1.EntryService/ReorderEntries\",code=\"InvalidArgument\"";
    let metrics = server.get("/metrics").send().await.text().to_owned();
    assert!(metrics.lines().any(|line| line.contains(code)), "{metrics}");
}

#[tokio::test]
async fn a_taken_name_of_the_largest_size_is_refused_in_full() {
    let (server, secret, ids) = full().await;
    let update = json!({"update": {"collection": "customer_tags", "id": ids[0], "entry": {"name": long_name(999)}}});
    let batch = json!({"companyId": "cmp_001", "changes": [update]});
    let refusal = server.refusal(&secret, "BatchChangeEntries", batch).await;
    assert_eq!(refusal.reason, "NAME_TAKEN");
    assert!(refusal.message.contains(&long_name(999)), "{}", refusal.message);
    assert!(refusal.message.contains(&ids[999]), "{}", refusal.message);
}

#[tokio::test]
async fn long_values_are_not_given_back_whole() {
    let (server, secret, _) = full().await;
    let long = "%".repeat(20_000);
    let list = json!({"companyId": "cmp_001", "collection": "customer_tags"});
    for (name, field, value) in [
        ("ListEntries", "filter", json!(long)),
        ("ListEntries", "orderBy", json!(long)),
        ("ListEntries", "pageToken", json!(long)),
        ("ReorderEntries", "etag", json!(long)),
        ("ReorderEntries", "requestId", json!(long)),
        ("ReorderEntries", "ids", json!([long])),
    ] {
        let mut request = list.clone();
        request[field] = value;
        let refusal = server.grpc_as(&secret, name, request).await.unwrap_err();
        assert!(!Refusal::of_status(&refusal).reason.is_empty(), "{name} {field}");
    }
    let key = json!({"key": {"name": "a", "scopes": [long], "allCompanies": true}});
    let refusal = server.grpc_as(&secret, "CreateKey", key).await.unwrap_err();
    assert_eq!(Refusal::of_status(&refusal).reason, "INVALID_FIELD");
    let unknown = format!("/{}", "x".repeat(12_000));
    let refusal = server.grpc_bytes(&unknown, &[], bytes::Bytes::new()).await.unwrap_err();
    assert_eq!(Refusal::of_status(&refusal).reason, "UNKNOWN_METHOD");
}

#[tokio::test]
async fn of_many_unknown_keys_the_first_are_explained_and_the_rest_is_not_read() {
    let (server, secret, _) = full().await;
    let body: serde_json::Map<String, Value> =
        (0..5_000).map(|i| (format!("key_{i}_{}", "🐕".repeat(20)), json!(1))).collect();
    let path = "/admin/v1/companies/cmp_001/customer_tags";
    // Behind these keys, the body is not even JSON.
    let body = format!("{} nonsense", Value::from(body));
    let answer = server.post(path).bearer(&secret).body(body).send().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 7 * 1_024, "{} bytes", answer.body.len());
    let message = answer.refusal().message;
    // Of 33 that were found.
    assert!(message.ends_with("; and at least 28 more, as no more was read"), "{message}");
}

/// Changes everything that a catalog can hold, at once: some five megabytes.
async fn largest_change() -> (Server, String, Vec<String>) {
    let (server, secret, ids) = full().await;
    for (dog, color) in [("🐕", "#FF0000"), ("🐈", "#00FF00")] {
        // The changes come in steps that fit into a body.
        for ids in ids.chunks(200) {
            let update = |id: &String| {
                let entry = json!({"description": dog.repeat(500), "color": color});
                json!({"update": {"collection": "customer_tags", "id": id, "entry": entry}})
            };
            let changes: Vec<Value> = ids.iter().map(update).collect();
            let batch = json!({"companyId": "cmp_001", "changes": changes});
            server.grpc_as(&secret, "BatchChangeEntries", batch).await.unwrap();
        }
    }
    (server, secret, ids)
}

#[tokio::test]
async fn a_change_that_is_larger_than_a_page_is_read_in_parts() {
    let (server, secret, ids) = largest_change().await;
    // The state before the descriptions.
    let back = json!({"companyId": "cmp_001", "revision": "1"});
    let made = server.grpc_as(&secret, "RollBack", back).await.unwrap();
    let first = &made["change"];
    let (part, parts) = (first["part"].as_i64(), first["parts"].as_i64().unwrap());
    assert_eq!(part, Some(1));
    assert!(parts > 1, "{parts}");
    let of_part = async |part: i64| {
        let request = json!({"companyId": "cmp_001", "revision": "12", "part": part});
        server.grpc_as(&secret, "GetChange", request).await
    };
    assert_eq!(of_part(0).await.unwrap(), *first);
    let mut found = Vec::new();
    for part in 1..=parts {
        let change = of_part(part).await.unwrap();
        assert_eq!((change["part"].as_i64(), change["parts"].as_i64()), (Some(part), Some(parts)));
        assert_eq!(change["summary"], first["summary"]);
        let deltas = change["deltas"].as_array().unwrap();
        found.extend(deltas.iter().map(|delta| delta["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(found, ids, "each thing stands in one part");
    for part in [-1, parts + 1] {
        let refusal = Refusal::of_status(&of_part(part).await.unwrap_err());
        assert_eq!(refusal.fields, ["part"]);
    }
}

#[tokio::test]
async fn a_page_of_history_ends_at_its_bytes_and_the_next_goes_on() {
    let (server, secret, _) = largest_change().await;
    let (mut revisions, mut pages, mut token) = (Vec::new(), 0, json!(""));
    loop {
        let list = json!({"companyId": "cmp_001", "pageSize": 500, "pageToken": token});
        // This client accepts four megabytes.
        let page = server.grpc_as(&secret, "ListChanges", list).await.unwrap();
        let changes = page["changes"].as_array().unwrap();
        revisions.extend(changes.iter().map(|c| c["revision"].as_str().unwrap().to_owned()));
        pages += 1;
        token = page["nextPageToken"].clone();
        if token == "" {
            break;
        }
    }
    let all: Vec<String> = (1..=11).rev().map(|revision| revision.to_string()).collect();
    assert_eq!(revisions, all);
    assert!(pages > 2, "{pages}");
}

#[tokio::test]
async fn a_whole_catalog_of_the_largest_entries_comes_in_pages_and_results_of_a_batch_have_room() {
    let (server, secret, ids) = largest_change().await;
    let list = json!({"companyId": "cmp_001", "collection": "customer_tags"});
    let first = server.answer(&secret, "ListEntries", list).await;
    assert!(first["entries"].as_array().unwrap().len() < 1_000);
    assert_ne!(first["nextPageToken"], "");
    let recolor = |id: &String| json!({"update": {"collection": "customer_tags", "id": id, "entry": {"color": "#0000FF"}}});
    let changes: Vec<Value> = ids.iter().map(recolor).collect();
    let batch = json!({"companyId": "cmp_001", "changes": changes});
    let answer = server.grpc_as(&secret, "BatchChangeEntries", batch).await.unwrap();
    let results = answer["results"].as_array().unwrap();
    assert!(
        results[0]["entry"].is_object() && results[999].get("entry").is_none_or(Value::is_null)
    );
    assert_eq!(results[999]["id"], *ids[999]);
}

also_on_postgres! {
    a_page_of_history_ends_at_its_bytes_and_the_next_goes_on,
}

#[tokio::test]
async fn counts_are_checked_before_contents() {
    let (server, secret, ids) = full().await;
    // The items are not even ids.
    let many = |count: usize| vec!["?"; count];
    let order = json!({"companyId": "cmp_001", "collection": "customer_tags", "ids": many(1_001)});
    let in_batch = json!({"companyId": "cmp_001", "changes": [{"reorder": order}]});
    let key = |field: &str, count: usize| {
        let mut key = json!({"name": "k", "scopes": ["settings:read"], "companyIds": ["cmp_001"]});
        key[field] = json!(many(count));
        json!({"key": key})
    };
    let batch = json!({"companyId": "cmp_001", "changes": vec![json!({}); 1_001]});
    for (method, request, field, most) in [
        ("ReorderEntries", order, "ids", 1_000),
        ("BatchChangeEntries", in_batch, "changes[0].reorder.ids", 1_000),
        ("BatchChangeEntries", batch, "changes", 1_000),
        ("CreateKey", key("companyIds", 1_001), "key.company_ids", 1_000),
        ("CreateKey", key("addresses", 101), "key.addresses", 100),
    ] {
        let refusal = server.refusal(&secret, method, request).await;
        let expected = format!("{field} must have at most {most} items, and has more");
        assert_eq!(refusal.message, expected);
    }
    let filter = |count: usize| vec!["name : \"🐕\""; count].join(" AND ");
    let list = |count: usize| json!({"companyId": "cmp_001", "collection": "customer_tags", "filter": filter(count), "pageSize": 1});
    let page = server.answer(&secret, "ListEntries", list(20)).await;
    assert_eq!(
        (page["totalSize"].as_u64(), page["entries"][0]["id"].as_str()),
        (Some(1_000), Some(ids[0].as_str()))
    );
    let refusal = server.refusal(&secret, "ListEntries", list(21)).await;
    assert_eq!(refusal.message, "filter must be at most 20 conditions");
}

#[tokio::test]
async fn a_company_has_at_most_five_thousand_locations() {
    let places = (0..4_999).map(|i| format!("{{name: B{i}}}")).collect::<Vec<_>>().join(", ");
    let server =
        Server::of(&format!("companies: [{{id: cmp_001, name: A, businesses: [{places}]}}]")).await;
    let secret = server.key(everything()).await;
    let create = async |name: &str| {
        let path = "/admin/v1/companies/cmp_001/businesses";
        let body = json!({"name": name}).to_string();
        server.post(path).bearer(&secret).body(body).send().await
    };
    let last = create("Last").await;
    assert_eq!(last.status, 200);
    let full = create("More").await.refusal();
    assert!(full.message.ends_with("at most 5000 are allowed"), "{}", full.message);
    // An archived one counts too, which nobody sees who looks at the list.
    let last = last.json()["id"].as_str().unwrap().to_owned();
    let archive = format!("/admin/v1/companies/cmp_001/businesses/{last}:archive");
    assert_eq!(server.post(&archive).bearer(&secret).send().await.status, 200);
    let refused = create("More").await;
    let message = refused.refusal().message;
    assert!(message.ends_with(", archived ones too, of which there are 1"), "{message}");
    assert_eq!((refused.status.as_u16(), &*refused.refusal().reason), (400, "TOO_MANY"));
}
