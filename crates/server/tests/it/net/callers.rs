//! Addresses whose connections come to nothing, and those that share them.

use super::*;
use crate::harness::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, OPENING, frame};

const GARBAGE: &[u8] = b"\0\xff\x13\x37";

/// Opens a connection, sends these bytes and leaves. Gives the bytes that the server sent until it closed.
async fn leave_with(server: &Server, said: &[u8]) -> String {
    let mut stream = server.connect().await;
    // It may be closed already.
    let _ = stream.write_all(said).await;
    let _ = stream.shutdown().await;
    hear_all(&mut stream).await
}

async fn many(server: &Server, said: &[u8]) {
    futures_util::future::join_all((0..50).map(|_| leave_with(server, said))).await;
}

const ASKS: &[u8] = b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Says this on so many connections that the next ones wait, and a client that does not is let go unread.
async fn until_held_up(server: &Server, said: &[u8]) {
    let held_up = async {
        while leave_with(server, ASKS).await.ends_with("hello") {
            many(server, said).await;
        }
    };
    timeout(PATIENCE, held_up).await.expect("it is held up");
}

#[tokio::test]
async fn who_waits_is_served_where_many_connections_come_to_nothing() {
    let large = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(40_000));
    let after_an_answer = [b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n", GARBAGE].concat();
    let head = b"GET /hello HTTP/1.1\r\n";
    for said in
        [GARBAGE, OPENING, large.as_bytes(), &b"\r\n".repeat(30_000), &after_an_answer, head, b""]
    {
        let server = Server::start(&config());
        let mut before = server.connect().await;
        before.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        hear(&mut before, "hello").await;
        until_held_up(&server, said).await;
        // Over the same address, on a new connection and on one that was there.
        assert!(server.get("/hello", "").await.ends_with("hello"));
        before.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        hear(&mut before, "hello").await;
        let metrics = server.get("/metrics", "").await;
        assert!(metrics.contains("customer_settings_connections_held_up_total "), "{metrics}");
    }
}

#[tokio::test]
async fn an_answer_over_http_2_does_not_make_up_for_garbage_after_it() {
    let server = Server::start(&config());
    // GET http://x/none, and then DATA of no stream.
    let asks = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x04\x05/none\x01\x01x");
    let spoil = || async {
        let (mut reader, mut writer) = server.connect().await.into_split();
        writer.write_all(&[OPENING, &asks].concat()).await?;
        // The answer is sent together with the first SETTINGS.
        reader.read_u8().await?;
        writer.write_all(&frame(DATA, 0, 0, b"x")).await?;
        reader.read_to_end(&mut vec![]).await
    };
    let held_up = async {
        while leave_with(&server, ASKS).await.ends_with("hello") {
            futures_util::future::join_all((0..50).map(|_| spoil())).await;
        }
    };
    timeout(PATIENCE, held_up).await.expect("it is held up");
}

#[tokio::test]
async fn no_more_connections_of_an_address_wait_than_its_share() {
    let mut config = config();
    config.limits.connections = 20;
    let server = Server::start(&config);
    until_held_up(&server, GARBAGE).await;
    let refused = async {
        loop {
            // Three at once, where two may wait.
            let three = futures_util::future::join_all((0..3).map(|_| server.get("/hello", "")));
            if three.await.iter().any(String::is_empty) {
                break;
            }
            many(&server, GARBAGE).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("one is refused");
}

#[tokio::test]
async fn connections_with_answers_are_as_many_as_one_likes() {
    let server = Server::start(&config());
    for _ in 0..10 {
        many(&server, ASKS).await;
        assert!(leave_with(&server, ASKS).await.ends_with("hello"));
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_never_held_up() {
    let mut config = config();
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(&config);
    for _ in 0..10 {
        many(&server, GARBAGE).await;
        assert!(leave_with(&server, ASKS).await.ends_with("hello"));
    }
}
