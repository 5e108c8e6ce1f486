//! Answers and refusals stay within what clients take with their defaults, however much they are about.

use serde_json::{Value, json};

use crate::harness::*;

/// The longest id that begins so.
fn long_id(start: &str) -> String {
    format!("{start:x<64}")
}

/// The longest name that begins so, in characters of four bytes.
fn long_name(number: usize) -> String {
    let start = number.to_string();
    start.clone() + &"🐕".repeat(100 - start.len())
}

/// A company with a full catalog of tags; nothing can be longer than its ids and names.
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
    let twice = order(&[ids.clone(), ids].concat());
    let refusal = server.refusal(&secret, "ReorderEntries", twice).await;
    assert!(refusal.message.contains(" and 995 more"), "{}", refusal.message);
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
async fn unknown_keys_of_a_body_are_counted_and_the_first_are_explained() {
    let (server, secret, _) = full().await;
    let body: serde_json::Map<String, Value> =
        (0..5_000).map(|i| (format!("key_{i}_{}", "🐕".repeat(20)), json!(1))).collect();
    let path = "/admin/v1/companies/cmp_001/customer_tags";
    let body = Value::from(body).to_string();
    let answer = server.post(path).bearer(&secret).body(body).send().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 7 * 1_024, "{} bytes", answer.body.len());
    let message = answer.refusal().message;
    assert!(message.ends_with("; and 4995 more"), "{message}");
}
