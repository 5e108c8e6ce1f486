//! A key that got into wrong hands: what ends it ends it at once, with all that was made by it.

use axum::body::Body;
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

/// Status and body of what the connection answers.
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
    // So that neither a poll nor a notice can come to help, where the engine has no notices.
    server.hide_change_mark().await;
    let narrowed = json!({"scopes": ["companies:read"]});
    for (method, verb, body, reason) in [
        ("POST", ":revoke", Value::Null, "KEY_REVOKED"),
        ("POST", ":rotate", json!({"overlap": "0s"}), "KEY_ROTATED"),
        ("PATCH", "", narrowed, "MISSING_SCOPE"),
    ] {
        let (key, secret) = server.issue(everything()).await;
        let mut connection = open_http2(&server).await;
        // The last one of them is ready by now, the first one never is.
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
    server.store.fail(true);
    eventually(async || {
        server.get(TAGS).bearer(&root).send().await.header("settings-stale").is_some()
    })
    .await;
    let refused = server.get(TAGS).bearer(&secret).send().await.refusal();
    assert_eq!(refused.reason, "KEY_REVOKED");
    // Others are.
    assert_eq!(server.get(TAGS).bearer(&root).send().await.status, 200);
}

also_on_postgres! {
    a_key_that_is_ended_is_refused_at_once_on_every_way,
    a_key_that_is_revoked_is_not_served_from_memory_while_the_store_is_away,
}
