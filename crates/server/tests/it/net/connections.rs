//! Connections of HTTP/1.1 and HTTP/2: how long they last, and what ends them.

use std::net::TcpListener;

use super::*;

#[tokio::test]
async fn an_occupied_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.listen = taken.local_addr().unwrap();
    let error = net::bind(&config).err().unwrap().to_string();
    assert_eq!(error, format!("cannot listen on {}: another program listens there", config.listen));
}

#[tokio::test]
async fn a_connection_is_used_for_several_requests_over_http_1_1_and_http_2() {
    let server = Server::start(&config());
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(hear(&mut stream, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let (mut sender, _connection) = http2(server.connect().await).await;
    for _ in 0..2 {
        let response = sender.send_request(grpc("/hello", &[])).await.unwrap();
        assert_eq!(response.collect().await.unwrap().to_bytes(), "hello");
    }
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_or_silent_is_closed() {
    let mut config = config();
    config.limits.header_timeout_ms = 50;
    let server = Server::start(&config);
    for said in ["", "G", "GET /hello HTTP/1.1\r\nhost: x\r\nx-slow: ", "PRI * HT"] {
        assert_eq!(server.say(said).await, "", "{said:?}");
    }
}

#[tokio::test]
async fn a_client_that_dribbles_its_head_is_closed_all_the_same() {
    let mut config = config();
    config.limits.header_timeout_ms = 100;
    let server = Server::start(&config);
    let mut stream = server.connect().await;
    let dribble = async {
        while stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, dribble).await.expect("the server closes");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_and_is_then_closed() {
    let mut config = config();
    config.limits.header_timeout_ms = 100;
    config.limits.idle_timeout_ms = 400;
    let server = Server::start(&config);
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    hear(&mut stream, "hello").await;
    // The pause is longer than the header time-out and shorter than the idle time-out.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    hear(&mut stream, "hello").await;
    assert_eq!(hear_all(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_http_2_connection_is_closed_and_a_busy_one_is_not() {
    let mut config = config();
    config.limits.header_timeout_ms = 50;
    config.limits.idle_timeout_ms = 100;
    let server = Server::start(&config);
    let (mut sender, connection) = http2(server.connect().await).await;
    let waiting = sender.send_request(grpc("/wait", &[]));
    let release = async {
        server.until_waiting(1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.go_on.notify_one();
    };
    let (response, ()) = tokio::join!(waiting, release);
    assert_eq!(response.unwrap().collect().await.unwrap().to_bytes(), "hello");
    timeout(PATIENCE, connection).await.expect("the server closes").unwrap().unwrap();
}

/// The answer's bytes of a client that does not read, but repeats this, until the server closes the
/// connection.
async fn heard_in_the_end(server: &Server, asks: &[u8], says: &[u8]) -> usize {
    let mut stream = server.connect().await;
    stream.write_all(asks).await.unwrap();
    let until_closed = async {
        while stream.write_all(says).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, until_closed).await.expect("the server closes");
    hear_all(&mut stream).await.len()
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed() {
    let mut config = config();
    config.limits.idle_timeout_ms = 100;
    let server = Server::start(&config);
    let part = 64 << 10..64 << 20;
    let asks = b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n";
    assert!(part.contains(&heard_in_the_end(&server, asks, b"G").await));

    let mut asks = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS and WINDOW_UPDATE: the largest windows, so that only the socket limits the answer.
    asks.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]);
    asks.extend([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0]);
    // HEADERS: GET http://x/big, by HPACK's static table.
    asks.extend([0, 0, 11, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x44, 4]);
    asks.extend(b"/big\x41\x01x");
    let priority = [0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16];
    assert!(part.contains(&heard_in_the_end(&server, &asks, &priority).await));
}

#[tokio::test]
async fn one_connection_more_than_the_limit_is_closed_at_once() {
    let mut config = config();
    config.limits.connections = 2;
    let server = Server::start(&config);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        hear(&mut stream, "hello").await;
        streams.push(stream);
    }
    assert_eq!(hear_all(&mut server.connect().await).await, "");
    // The free place goes to the next connection.
    streams.clear();
    let served = async { while !server.get("/hello", "").await.ends_with("hello") {} };
    timeout(PATIENCE, served).await.unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let mut config = config();
    config.limits.header_bytes = 8_192;
    let server = Server::start(&config);
    let of = |size: usize| format!("x-large: {}\r\n", "x".repeat(size));
    assert!(server.get("/hello", &of(7_000)).await.starts_with("HTTP/1.1 200 OK"));
    assert!(server.get("/hello", &of(9_000)).await.starts_with("HTTP/1.1 431 "));
    let many = |lines: usize| "x-many: 1\r\n".repeat(lines);
    assert!(server.get("/hello", &many(98)).await.starts_with("HTTP/1.1 200 OK"));
    assert!(server.get("/hello", &many(99)).await.starts_with("HTTP/1.1 431 "));

    let (mut sender, _connection) = http2(server.connect().await).await;
    let large = "x".repeat(9_000);
    let response = sender.send_request(grpc("/hello", &[("x-large", &large)])).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_takes_nothing_new() {
    let server = Server::start(&config());
    let (mut sender, connection) = http2(server.connect().await).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    hear(&mut idle, "hello").await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let over_http2 = tokio::spawn(sender.send_request(grpc("/wait", &[])));
    server.until_waiting(2).await;

    server.shutdown.drain();
    assert_eq!(hear_all(&mut idle).await, "");
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.go_on.notify_waiters();
    assert!(hear_all(&mut stream).await.ends_with("hello"));
    let response = over_http2.await.unwrap().unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "hello");
    connection.await.unwrap().unwrap();
    assert!(sender.send_request(grpc("/hello", &[])).await.is_err());
    server.ended().await;
}

/// Sends over HTTP/2: GET http://x and this path of six characters.
async fn asks_without_pings(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let length = u8::try_from(path.len()).unwrap();
    stream
        .write_all(&[0, 0, length + 7, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x44, length])
        .await
        .unwrap();
    stream.write_all(format!("{path}\x41\x01x").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn stopping_waits_for_no_client_that_has_nothing_in_flight() {
    let mut config = config();
    config.limits.header_timeout_ms = 600_000;
    config.limits.drain_timeout_ms = 600_000;
    config.limits.request_timeout_ms = 600_000;
    let server = Server::start(&config);
    let mut waiting = asks_without_pings(&server, "/wait").await;
    server.until_waiting(1).await;
    let mut idle = asks_without_pings(&server, "/hello").await;
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        heard.push(timeout(PATIENCE, idle.read_u8()).await.unwrap().unwrap());
    }
    let mut half = server.connect().await;
    half.write_all(b"GET /hello HTTP/1.1\r\nhost: ").await.unwrap();
    // The request is answered, and the server reads the rest of its body.
    let mut answered = server.connect().await;
    let head = "POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n{";
    answered.write_all(head.as_bytes()).await.unwrap();
    let mut early = Vec::new();
    while !early.ends_with(b"\r\n\r\n") {
        early.push(timeout(PATIENCE, answered.read_u8()).await.unwrap().unwrap());
    }

    server.shutdown.drain();
    // The clients never answer the PING that comes with GOAWAY.
    hear_all(&mut idle).await;
    hear_all(&mut half).await;
    hear_all(&mut answered).await;
    // The connection with a request in flight is as old, and still open.
    server.go_on.notify_one();
    assert!(hear_all(&mut waiting).await.contains("hello"));
    server.ended().await;
}

#[tokio::test]
async fn stopping_takes_no_longer_than_its_limit() {
    let mut config = config();
    config.limits.drain_timeout_ms = 50;
    let server = Server::start(&config);
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.until_waiting(1).await;
    server.shutdown.drain();
    assert_eq!(hear_all(&mut stream).await, "");
    server.ended().await;
}

#[tokio::test]
async fn stopping_at_once_waits_for_nothing() {
    let server = Server::start(&config());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.until_waiting(1).await;
    server.shutdown.drain();
    server.shutdown.abort();
    assert_eq!(hear_all(&mut stream).await, "");
    server.ended().await;
}

#[tokio::test]
async fn a_stopping_server_is_not_ready_before_it_closes_its_port() {
    let mut config = config();
    config.limits.drain_delay_ms = 60_000;
    let server = Server::start(&config);
    assert!(server.get("/readyz", "").await.starts_with("HTTP/1.1 200 OK"));
    server.shutdown.drain();
    let answer = server.get("/readyz", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("the server is stopping\n"),
        "{answer}"
    );
    assert!(server.get("/healthz", "").await.ends_with("ok\n"));
    assert!(server.get("/hello", "").await.ends_with("hello"));
    server.shutdown.abort();
    server.ended().await;
}
