//! Places for requests, and bytes for bodies: no client takes all of them, and a request that waits for its
//! client has no place.

use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

/// The least bytes that a body counts for.
const LEAST: u64 = 16 << 10;

/// Clients send their addresses themselves.
fn config_of(places: usize, bodies: u64) -> Config {
    let mut config = config();
    config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    (config.limits.concurrent_requests, config.limits.bodies_bytes) = (places, bodies * LEAST);
    config
}

fn from(address: &str) -> String {
    format!("x-forwarded-for: 192.0.2.{address}\r\n")
}

fn with_key(key: &str) -> String {
    format!("x-key: {key}\r\n")
}

/// Opens a connection and sends a request without the last byte of its body.
async fn stalled(server: &Server, headers: &str) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\n{headers}content-length: 3\r\n\r\nab");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Opens a connection and sends a request that stays in progress.
async fn working(server: &Server, headers: &str) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!("GET /wait HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads an answer that says why nothing was done.
async fn refused(mut stream: TcpStream) -> String {
    let answer = hear(&mut stream, "]}").await;
    let reason = answer.split("\"reason\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    format!("{} {reason}", &answer[9..12])
}

async fn echoes(mut stream: TcpStream) {
    stream.write_all(b"c").await.unwrap();
    hear(&mut stream, "abc").await;
}

#[tokio::test]
async fn requests_whose_bodies_do_not_come_take_no_places() {
    let server = Server::start(&config_of(2, 1_000));
    let mut stalled_ones = Vec::new();
    for _ in 0..100 {
        stalled_ones.push(stalled(&server, &with_key("a")).await);
    }
    server.until_waiting(100).await;
    for key in ["a", "b"] {
        let other = stalled(&server, &with_key(key)).await;
        echoes(other).await;
        assert!(server.get("/hello", "").await.ends_with("hello"));
    }
    echoes(stalled_ones.pop().unwrap()).await;
}

#[tokio::test]
async fn no_key_has_more_places_than_it_leaves_to_others() {
    let server = Server::start(&config_of(4, 9));
    let mut at_work = Vec::new();
    for (address, expected) in [
        ("1", ""),
        ("1", ""),
        ("1", "429 REQUESTS_AT_ONCE_LIMIT"),
        ("2", ""),
        ("2", "429 REQUESTS_AT_ONCE_LIMIT"),
        ("3", ""),
        ("3", "503 OVERLOADED"),
        ("4", "503 OVERLOADED"),
    ] {
        let stream = working(&server, &from(address)).await;
        match expected {
            "" => at_work.push(stream),
            _ => assert_eq!(refused(stream).await, expected, "{address}"),
        }
        server.until_waiting(at_work.len()).await;
    }
    // Requests that need no place are answered.
    assert!(server.get("/healthz", &from("1")).await.ends_with("ok\n"));
    assert!(server.get("/ready", &from("1")).await.ends_with("ready"));
    server.go_on.notify_waiters();
    for mut stream in at_work {
        hear(&mut stream, "hello").await;
    }
    assert!(server.get("/hello", &from("4")).await.ends_with("hello"));
}

#[tokio::test]
async fn no_key_has_more_bytes_under_way_than_it_leaves_to_others() {
    let server = Server::start(&config_of(9, 8));
    let mut under_way = Vec::new();
    for (key, expected) in [
        ("a", ""),
        ("a", ""),
        ("a", ""),
        ("a", ""),
        ("a", "429 BODIES_AT_ONCE_LIMIT"),
        ("b", ""),
        ("b", ""),
        ("b", "429 BODIES_AT_ONCE_LIMIT"),
        ("c", ""),
        ("c", "429 BODIES_AT_ONCE_LIMIT"),
        ("d", ""),
        ("a", "503 OVERLOADED"),
        ("e", "503 OVERLOADED"),
    ] {
        let stream = stalled(&server, &with_key(key)).await;
        match expected {
            "" => under_way.push(stream),
            _ => assert_eq!(refused(stream).await, expected, "{key}"),
        }
        server.until_waiting(under_way.len()).await;
    }
    // The server does not wait for a body that is complete.
    let whole =
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
    assert!(server.say(whole).await.ends_with("abc"));
    for stream in under_way {
        echoes(stream).await;
    }
    echoes(stalled(&server, &with_key("e")).await).await;
}

#[tokio::test]
async fn an_address_has_a_share_as_long_as_no_key_is_known() {
    let server = Server::start(&config_of(9, 4));
    let mut under_way = Vec::new();
    // Addresses of the same /64 are the same client.
    for (address, expected) in [
        ("2001:db8::1", ""),
        ("2001:db8::2", ""),
        ("2001:db8::3", "429 BODIES_AT_ONCE_LIMIT"),
        ("2001:db8:0:1::1", ""),
    ] {
        let stream = stalled(&server, &format!("x-forwarded-for: {address}\r\n")).await;
        match expected {
            "" => under_way.push(stream),
            _ => assert_eq!(refused(stream).await, expected, "{address}"),
        }
        server.until_waiting(under_way.len()).await;
    }
}

#[tokio::test]
async fn a_body_counts_by_the_bytes_that_have_come() {
    let server = Server::start(&config_of(9, 8));
    for (size, is_taken) in [(60_000, true), (80_000, false)] {
        let mut stream = server.connect().await;
        let head = format!("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for chunk in vec![b'x'; size].chunks(5_000) {
            stream.write_all(chunk).await.unwrap();
        }
        let answer = hear(&mut stream, if is_taken { "xx" } else { "]}" }).await;
        assert_eq!(answer.contains("BODIES_AT_ONCE_LIMIT"), !is_taken, "{answer:.300}");
    }
}

#[tokio::test]
async fn a_body_that_is_whole_when_all_places_are_taken_is_refused() {
    let server = Server::start(&config_of(2, 9));
    let mut late = stalled(&server, &from("1")).await;
    server.until_waiting(1).await;
    let _at_work = [working(&server, &from("2")).await, working(&server, &from("3")).await];
    server.until_waiting(3).await;
    late.write_all(b"c").await.unwrap();
    assert_eq!(refused(late).await, "503 OVERLOADED");
}

#[tokio::test]
async fn streams_of_http_2_have_a_share_like_connections() {
    let server = Server::start(&config_of(2, 8));
    let (sender, _connection) = http2(server.connect().await).await;
    let unfinished = |key: &str| {
        let frames = stream::once(async { Ok::<_, Infallible>(Frame::data("x".into())) });
        let (mut head, _) = grpc("/echo", &[]).into_parts();
        head.headers.insert("x-key", key.parse().unwrap());
        let body = Body::new(StreamBody::new(frames.chain(stream::pending())));
        sender.clone().send_request(Request::from_parts(head, body))
    };
    let mut under_way = Vec::new();
    for number in 1..=4 {
        under_way.push(tokio::spawn(unfinished("a")));
        server.until_waiting(number).await;
    }
    let refused = timeout(PATIENCE, unfinished("a")).await.unwrap().unwrap();
    let status = tonic::Status::from_header_map(refused.headers()).unwrap();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.message().contains("nobody has more than half"), "{}", status.message());
    echoes(stalled(&server, &with_key("b")).await).await;
    // The places are free again as soon as the server has noticed the end of the connections.
    under_way.into_iter().for_each(|stream| stream.abort());
    loop {
        let mut again = Vec::new();
        for _ in 0..4 {
            again.push(stalled(&server, &with_key("a")).await);
        }
        let mut answers = Vec::new();
        for mut stream in again {
            stream.write_all(b"c").await.unwrap();
            let mut answer = [0; 12];
            timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
            answers.push(answer);
        }
        if answers.iter().all(|answer| answer == b"HTTP/1.1 200") {
            break;
        }
    }
}
