//! A key that uses its whole share delays no other key.

use std::collections::BTreeSet;

use customer_settings_server::config::Config;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::*;

const ENTRIES: &str = "/admin/v1/companies/cmp_001/customer_tags";

fn few_places(config: &mut Config) {
    config.limits.concurrent_requests = 2;
    config.limits.body_bytes = 16 << 10;
    config.limits.bodies_bytes = 40 * (16 << 10);
}

/// Sends a write of this key without its body.
async fn stalled(server: &Server, secret: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST {ENTRIES} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-length: 30\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads the beginning of the answer.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1_024];
    let read = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_key_whose_bodies_do_not_come_locks_nobody_out() {
    let server = Server::configured(few_places).await;
    let (greedy, other) =
        (server.key(with_scopes(&["settings:write"])).await, server.any_key().await);
    // Half of the room for bodies, ten times the places, and more.
    let mut streams = Vec::new();
    for _ in 0..30 {
        streams.push(stalled(&server, &greedy).await);
    }
    let answered = streams.iter().enumerate().map(async |(number, stream)| {
        stream.peek(&mut [0]).await.unwrap();
        number
    });
    let answered = answered.collect::<FuturesUnordered<_>>().take(10).collect::<BTreeSet<_>>();
    let answered = timeout(PATIENCE, answered).await.unwrap();
    let mut under_way = Vec::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        if !answered.contains(&number) {
            under_way.push(stream);
            continue;
        }
        let refused = answer(&mut stream).await;
        assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
        // A request has a place until the server waits for its body. Many requests at one moment may
        // therefore exceed the share of places first.
        let reason = ["BODIES_AT_ONCE_LIMIT", "REQUESTS_AT_ONCE_LIMIT"];
        assert!(reason.iter().any(|reason| refused.contains(reason)), "{refused}");
    }
    // All other clients are answered, in every protocol, with bodies and without.
    for _ in 0..2 {
        server.answer(&other, "ListCustomerTags", json!({"companyId": "cmp_001"})).await;
        server
            .answer(
                &other,
                "ListEntries",
                json!({"companyId": "cmp_001", "collection": "customer_tags"}),
            )
            .await;
    }
    let created = server.post(ENTRIES).bearer(&other).body("{\"name\": \"New\"}").send().await;
    assert_eq!(created.status, 200, "{}", created.text());
    // Without a key, a request is refused before its body arrives.
    let mut unknown = stalled(&server, "nobody").await;
    assert!(answer(&mut unknown).await.starts_with("HTTP/1.1 401 "));
    // The greedy key is answered too, if the body is complete.
    let whole = server.post(ENTRIES).bearer(&greedy).body("{\"name\": \"Whole\"}").send().await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    for mut stream in under_way {
        stream.write_all(b"\"name\": \"x\"}                 ").await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.contains("NAME_TAKEN"), "{answer}");
    }
}
