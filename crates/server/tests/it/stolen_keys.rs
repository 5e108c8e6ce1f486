//! A stolen key: one command ends it at once, with all keys that it made.

use axum::body::Body;
use customer_settings_server::{
    auth::api_key::Secret,
    catalog::{
        access::Actor,
        id::{KeyId, StaffId},
    },
};
use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use crate::harness::*;

const KEYS: &str = "/admin/v1/keys";
const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

async fn send(server: &Server, secret: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.call(method, path).bearer(secret).body(body).send().await
}

/// A connection that stays open.
async fn open_http2(server: &Server) -> SendRequest<Body> {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Status and body of the answer on this connection.
async fn over_http2(
    sender: &mut SendRequest<Body>,
    secret: &str,
    path: &str,
    body: &'static str,
) -> (u16, String) {
    let request = Request::post(format!("http://test{path}"))
        .header("authorization", format!("Bearer {secret}"))
        .body(Body::from(body));
    let answer = timeout(PATIENCE, sender.send_request(request.unwrap())).await.unwrap().unwrap();
    let status = answer.status().as_u16();
    let body = timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_key_that_is_ended_is_refused_at_once_on_every_way() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    // Without the change mark no poll can help, and nor can a notice, if the engine has none.
    server.hide_change_mark().await;
    let narrowed = json!({"scopes": ["companies:read"]});
    for (method, verb, body, reason) in [
        ("POST", ":revoke", Value::Null, "KEY_REVOKED"),
        ("POST", ":rotate", json!({"overlap": "0s"}), "KEY_ROTATED"),
        ("PATCH", "", narrowed, "MISSING_SCOPE"),
    ] {
        let (key, secret) = server.issue(everything()).await;
        let mut connection = open_http2(&server).await;
        // The last of them is answered at once, the first one never is.
        let unusual = format!("{TAGS}?unknown=1");
        for path in [unusual.as_str(), TAGS, TAGS] {
            assert_eq!(server.post(path).bearer(&secret).send().await.status, 200);
            assert_eq!(over_http2(&mut connection, &secret, path, "{}").await.0, 200);
        }
        let path = format!("{KEYS}/{}{verb}", key.id);
        assert_eq!(send(&server, &root, method, &path, body).await.status, 200);
        for path in [TAGS, &unusual] {
            let (status, body) = over_http2(&mut connection, &secret, path, "{}").await;
            assert!(status >= 400 && body.contains(reason), "{verb} {path}: {status} {body}");
            let refusal = server.get(path).bearer(&secret).send().await.refusal();
            assert_eq!(refusal.reason, reason, "{verb} {path}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_is_not_served_from_memory_while_the_store_is_away() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let (key, secret) = server.issue(everything()).await;
    for secret in [&root, &secret] {
        assert_eq!(server.get(TAGS).bearer(secret).send().await.status, 200);
    }
    let revoke = format!("{KEYS}/{}:revoke", key.id);
    assert_eq!(send(&server, &root, "POST", &revoke, Value::Null).await.status, 200);
    server.probe.fail(true);
    eventually(async || {
        server.get(TAGS).bearer(&root).send().await.header("settings-stale").is_some()
    })
    .await;
    let refused = server.get(TAGS).bearer(&secret).send().await.refusal();
    assert_eq!(refused.reason, "KEY_REVOKED");
    // Other keys are answered.
    assert_eq!(server.get(TAGS).bearer(&root).send().await.status, 200);
}

/// Makes a key over the API that may make others: its id and its secret.
async fn made(server: &Server, by: &str, name: &str) -> (String, String) {
    let scopes = ["settings:read", "keys:read", "keys:write"];
    let body = json!({"name": name, "scopes": scopes, "companyIds": ["cmp_001"]});
    let made = send(server, by, "POST", KEYS, body).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["key"]["id"]), text(&made["secret"]))
}

async fn is_usable(server: &Server, secret: &str) -> bool {
    server.get(TAGS).bearer(secret).send().await.status == 200
}

fn names(listed: &Value) -> Vec<&str> {
    listed["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_key_tells_which_key_made_it_and_keys_are_listed_by_that() {
    let server = Server::demo().await;
    let (root, root_secret) = server.issue(everything()).await;
    let one = made(&server, &root_secret, "one").await;
    let two = made(&server, &one.1, "two").await;
    made(&server, &one.1, "three").await;
    let get = async |id: &str| {
        send(&server, &root_secret, "GET", &format!("{KEYS}/{id}"), Value::Null).await.json()
    };
    assert_eq!(get(root.id.as_str()).await["createdByKeyId"], "");
    assert_eq!(get(&one.0).await["createdByKeyId"], root.id.as_str());
    assert_eq!(get(&two.0).await["createdByKeyId"], one.0.as_str());
    let list = async |query: &str| {
        let path = format!("{KEYS}?{query}");
        send(&server, &root_secret, "GET", &path, Value::Null).await.json()
    };
    let of_one = list(&format!("created_by_key_id={}", one.0)).await;
    assert_eq!(names(&of_one), ["two", "three"]);
    assert_eq!(names(&list(&format!("created_by_key_id={}", root.id)).await), ["one"]);
    assert!(names(&list(&format!("created_by_key_id={}", two.0)).await).is_empty());
    let first = list(&format!("created_by_key_id={}&page_size=1", one.0)).await;
    let token = first["nextPageToken"].as_str().unwrap();
    let next = format!("created_by_key_id={}&page_size=1&page_token={token}", one.0);
    assert_eq!((names(&first), names(&list(&next).await)), (vec!["two"], vec!["three"]));
    let wrong = format!("{KEYS}?created_by_key_id=a+b");
    let refused = send(&server, &root_secret, "GET", &wrong, Value::Null).await.refusal();
    assert_eq!(refused.fields, ["created_by_key_id"]);
    // A change with another key leaves the fields as they are.
    let renamed = json!({"name": "2"});
    let path = format!("{KEYS}/{}", two.0);
    let renamed = send(&server, &root_secret, "PATCH", &path, renamed).await.json();
    assert_eq!(renamed["createdByKeyId"], one.0.as_str());
    let changes = send(&server, &root_secret, "GET", &format!("{path}/changes"), Value::Null).await;
    let changes = changes.json();
    assert_eq!(changes["changes"][1]["keyAfter"]["createdByKeyId"], one.0.as_str());
    // The state lasts, and agrees with its log.
    let server = Server::reopened(server.stop().await).await;
    let found = send(&server, &root_secret, "GET", &path, Value::Null).await.json();
    assert_eq!(found["createdByKeyId"], one.0.as_str());
    assert!(server.services.verify.verify(|_| ()).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn a_stolen_key_is_revoked_with_all_that_it_made() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let stolen = made(&server, &root, "stolen").await;
    let children = [made(&server, &stolen.1, "a").await, made(&server, &stolen.1, "b").await];
    let gone = made(&server, &stolen.1, "gone").await;
    let grandchildren =
        [made(&server, &children[0].1, "c").await, made(&server, &gone.1, "d").await];
    let other = made(&server, &root, "other").await;
    let gone_path = format!("{KEYS}/{}:revoke", gone.0);
    assert_eq!(send(&server, &root, "POST", &gone_path, Value::Null).await.status, 200);

    let mut expected: Vec<&str> =
        children.iter().chain(&grandchildren).map(|(id, _)| id.as_str()).collect();
    expected.sort_unstable();
    let revoke = format!("{KEYS}/{}:revoke", stolen.0);
    let dry = json!({"with_created": true, "validate_only": true});
    let dry = send(&server, &root, "POST", &revoke, dry).await.json();
    assert_eq!((&dry["state"], &dry["alsoRevokedIds"]), (&json!("REVOKED"), &json!(expected)));
    for (_, secret) in [&stolen, &other].into_iter().chain(&children).chain(&grandchildren) {
        assert!(is_usable(&server, secret).await);
    }
    let wanted = json!({"with_created": true, "request_id": "r"});
    let answer = send(&server, &root, "POST", &revoke, wanted.clone()).await;
    for (name, secret) in [&stolen].into_iter().chain(&children).chain(&grandchildren) {
        let refused = server.get(TAGS).bearer(secret).send().await.refusal();
        assert_eq!(refused.reason, "KEY_REVOKED", "{name}");
    }
    assert!(is_usable(&server, &other.1).await);
    let repeated = send(&server, &root, "POST", &revoke, wanted).await;
    assert_eq!(repeated.header("idempotency-replayed"), Some("true"));
    assert_eq!(repeated.json(), answer.json());
    let answer = answer.json();
    assert_eq!((&answer["id"], &answer["state"]), (&json!(stolen.0), &json!("REVOKED")));
    assert_eq!(answer["alsoRevokedIds"], json!(expected));
    let changes = format!("{KEYS}/{}/changes", stolen.0);
    let changes = send(&server, &root, "GET", &changes, Value::Null).await.json();
    assert_eq!(changes["changes"][0]["summary"], "revoked the key, and 4 made by it");
    let changes = format!("{KEYS}/{}/changes", grandchildren[1].0);
    let changes = send(&server, &root, "GET", &changes, Value::Null).await.json();
    assert_eq!(changes["changes"][0]["summary"], "revoked the key");
    // Nothing is left to do for the intended request.
    let again = send(&server, &root, "POST", &revoke, json!({"with_created": true})).await.json();
    assert_eq!((&again["state"], &again["alsoRevokedIds"]), (&json!("REVOKED"), &json!([])));
    assert!(server.services.verify.verify(|_| ()).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn what_a_revoked_key_made_can_be_revoked_later() {
    for request_id in ["", "r"] {
        let server = Server::demo().await;
        let root = server.any_key().await;
        let stolen = made(&server, &root, "stolen").await;
        let child = made(&server, &stolen.1, "child").await;
        let revoke = format!("{KEYS}/{}:revoke", stolen.0);
        let alone = send(&server, &root, "POST", &revoke, Value::Null).await.json();
        assert_eq!(alone["alsoRevokedIds"], json!([]));
        assert!(is_usable(&server, &child.1).await);
        let body = json!({"with_created": true, "request_id": request_id});
        let answer = send(&server, &root, "POST", &revoke, body.clone()).await.json();
        assert_eq!(answer["alsoRevokedIds"], json!([child.0]));
        assert_eq!(answer["revokedTime"], alone["revokedTime"]);
        assert!(!is_usable(&server, &child.1).await);
        if request_id == "r" {
            assert_eq!(send(&server, &root, "POST", &revoke, body).await.json(), answer);
        }
        assert!(server.services.verify.verify(|_| ()).await.unwrap().findings.is_empty());
    }
}

#[tokio::test]
async fn a_key_that_was_widened_since_is_not_revoked_by_who_does_not_see_it() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let manager = made(&server, &root, "manager").await;
    let stolen = made(&server, &root, "stolen").await;
    let child = made(&server, &stolen.1, "child").await;
    let widened = json!({"allCompanies": true, "companyIds": []});
    let path = format!("{KEYS}/{}?update_mask=all_companies,company_ids", child.0);
    assert_eq!(send(&server, &root, "PATCH", &path, widened).await.status, 200);
    let revoke = format!("{KEYS}/{}:revoke", stolen.0);
    let wanted = json!({"with_created": true});
    let refusal = send(&server, &manager.1, "POST", &revoke, wanted.clone()).await.refusal();
    assert_eq!(refusal.reason, "CREATED_BEYOND");
    assert!(refusal.message.starts_with("1 of the keys") && !refusal.message.contains(&child.0));
    assert!(is_usable(&server, &stolen.1).await && is_usable(&server, &child.1).await);
    let answer = send(&server, &root, "POST", &revoke, wanted).await.json();
    assert_eq!(answer["alsoRevokedIds"], json!([child.0]));
}

#[tokio::test]
async fn only_so_many_keys_are_revoked_along() {
    const MOST: usize = 500;
    let server = Server::demo().await;
    let root = server.any_key().await;
    let stolen = made(&server, &root, "stolen").await;
    let actor = Actor {
        key_id: Some(KeyId::parse("id", &stolen.0).unwrap()),
        key_name: None,
        staff_id: StaffId::parse("id", &stolen.0).unwrap(),
        address: None,
    };
    let make = async || {
        let secret = Secret::generate().unwrap();
        server.services.keys.create(&actor, everything(), &secret).await.unwrap().id
    };
    for _ in 0..MOST {
        make().await;
    }
    let one_more = make().await;
    let revoke = format!("{KEYS}/{}:revoke", stolen.0);
    let wanted = json!({"with_created": true});
    let refusal = send(&server, &root, "POST", &revoke, wanted.clone()).await.refusal();
    assert_eq!(refusal.reason, "TOO_MANY_CREATED");
    assert!(refusal.message.contains("more than 500"), "{}", refusal.message);
    let path = format!("{KEYS}/{one_more}:revoke");
    assert_eq!(send(&server, &root, "POST", &path, Value::Null).await.status, 200);
    let answer = send(&server, &root, "POST", &revoke, wanted).await.json();
    assert_eq!(answer["alsoRevokedIds"].as_array().unwrap().len(), MOST);
    let listed = format!("{KEYS}?created_by_key_id={}", stolen.0);
    assert!(names(&send(&server, &root, "GET", &listed, Value::Null).await.json()).is_empty());
}

/// A thief makes keys as fast as possible, with every key that was made before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_made_past_a_revocation_with_all_that_was_made() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let stolen = made(&server, &root, "stolen").await;
    let mut thieves = Vec::new();
    for name in ["a", "b", "c"] {
        let (_, secret) = made(&server, &stolen.1, name).await;
        let server = &server;
        thieves.push(async move {
            let (mut secret, mut made) = (secret, 0);
            loop {
                let body = json!({"name": name, "scopes": ["settings:read", "keys:write"], "companyIds": ["cmp_001"]});
                let answer = send(server, &secret, "POST", KEYS, body).await;
                if answer.status != 200 {
                    return (made, answer.refusal().reason);
                }
                made += 1;
                if made % 2 == 0 {
                    secret = answer.json()["secret"].as_str().unwrap().to_owned();
                }
            }
        });
    }
    let revoke = async {
        let listed = format!("{KEYS}?page_size=500");
        let number =
            async || names(&send(&server, &root, "GET", &listed, Value::Null).await.json()).len();
        eventually(async || number().await > 20).await;
        let revoke = format!("{KEYS}/{}:revoke", stolen.0);
        send(&server, &root, "POST", &revoke, json!({"with_created": true})).await
    };
    let (answer, ends) = tokio::join!(revoke, futures_util::future::join_all(thieves));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(ends.iter().all(|(_, reason)| reason == "KEY_REVOKED"), "{ends:?}");
    let made: usize = ends.iter().map(|(made, _)| made).sum();
    assert_eq!(answer.json()["alsoRevokedIds"].as_array().unwrap().len(), made + 3);
    let left = send(&server, &root, "GET", KEYS, Value::Null).await.json();
    assert_eq!(names(&left), ["test"], "{left}");
}

also_on_postgres! {
    a_key_that_is_ended_is_refused_at_once_on_every_way,
    a_key_that_is_revoked_is_not_served_from_memory_while_the_store_is_away,
    a_key_tells_which_key_made_it_and_keys_are_listed_by_that,
    a_stolen_key_is_revoked_with_all_that_it_made,
    what_a_revoked_key_made_can_be_revoked_later,
    a_key_that_was_widened_since_is_not_revoked_by_who_does_not_see_it,
    only_so_many_keys_are_revoked_along,
    no_key_is_made_past_a_revocation_with_all_that_was_made,
}
