//! Answers over HTTP/1.1 that are sent before the body was read. They reach the client, and the connection
//! stays open or its end is announced.

use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic_types::StatusExt;

use super::*;

const BODY_LIMIT: usize = 1 << 20;

fn head(framing: &str) -> String {
    format!("POST /hello HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n")
}

/// A body of this size, and its header line.
fn framed(size: usize, is_chunked: bool) -> (String, Vec<u8>) {
    let body = vec![b'x'; size];
    if !is_chunked {
        return (format!("content-length: {size}"), body);
    }
    let mut chunks = Vec::new();
    for chunk in body.chunks(16_384) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    ("transfer-encoding: chunked".to_owned(), chunks)
}

fn says_close(answer: &str) -> bool {
    answer.to_lowercase().contains("\r\nconnection: close\r\n")
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_discarded_and_the_connection_stays_open() {
    let server = Server::start(&config());
    for size in [1, 20, 5_000, 200_000, BODY_LIMIT] {
        for is_chunked in [false, true] {
            let (framing, body) = framed(size, is_chunked);
            let mut stream = server.connect().await;
            stream.write_all(head(&framing).as_bytes()).await.unwrap();
            let answer = hear(&mut stream, "hello").await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && !says_close(&answer), "{answer}");
            stream.write_all(&body).await.unwrap();
            stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(hear(&mut stream, "hello").await.starts_with("HTTP/1.1 200 "), "{size}");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_ends_the_connection_after_an_answer_that_says_so() {
    let server = Server::start(&config());
    let (framing, body) = framed(BODY_LIMIT + 1, false);
    let mut stream = server.connect().await;
    stream.write_all(head(&framing).as_bytes()).await.unwrap();
    let answer = hear(&mut stream, "hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && says_close(&answer), "{answer}");
    // The client may continue, and the connection is not reset.
    stream.write_all(&body).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_or_slow_ends_the_connection_without_a_reset() {
    let mut config = config();
    config.limits.request_timeout_ms = 50;
    let server = Server::start(&config);
    for size in [10, BODY_LIMIT + 100_000] {
        let (framing, body) = framed(size, true);
        let mut stream = server.connect().await;
        stream.write_all(head(&framing).as_bytes()).await.unwrap();
        hear(&mut stream, "hello").await;
        stream.write_all(&body[..body.len() - 1]).await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_told_not_to_send_it() {
    let server = Server::start(&config());
    for size in [1, 20, 300, 4_096, 4_097, 10_000] {
        for is_chunked in [false, true] {
            let (framing, _) = framed(size, is_chunked);
            let mut stream = server.connect().await;
            let head = head(&format!("{framing}\r\nexpect: 100-continue"));
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = hear_all(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && says_close(&answer), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked_where_it_is_wanted() {
    let server = Server::start(&config());
    let mut stream = server.connect().await;
    for body in ["short", &"x".repeat(10_000)] {
        let size = body.len();
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(hear(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).await.unwrap();
        let answer = hear(&mut stream, body).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !says_close(&answer), "{answer}");
    }
}

/// Whether the answer says that the body was late, and that nothing was carried out.
fn is_late(text: &str) -> bool {
    text.contains("BODY_LATE") && text.contains("nothing was carried out")
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_at_the_deadline_and_ends_the_connection() {
    let mut config = config();
    config.limits.request_timeout_ms = 50;
    let server = Server::start(&config);
    for (framing, sent) in [
        ("content-length: 30", "x"),
        ("content-length: 30", ""),
        ("content-length: 30\r\nexpect: 100-continue", ""),
        ("content-length: 200000", "xxxx"),
        ("transfer-encoding: chunked", "1\r\nx\r\n"),
        ("transfer-encoding: chunked", "1e\r\nx"),
    ] {
        let head = head(framing).replace("/hello", "/echo");
        let answer = server.say(&format!("{head}{sent}")).await;
        let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 408 ") && says_close(answer), "{framing}: {answer}");
        assert!(is_late(answer), "{framing}: {answer}");
    }
    let late = "customer_settings_requests_total{protocol=\"http\",method=\"test\",code=\"408\"} ";
    let metrics = server.get("/metrics", "").await;
    assert!(metrics.contains(late), "{metrics}");
}

#[tokio::test]
async fn a_body_in_chunks_that_was_read_keeps_its_connection() {
    let server = Server::start(&config());
    let mut stream = server.connect().await;
    // A body that is complete from the start, a body larger than the first read, and late bodies.
    for (size, parts) in [(5, 1), (200_000, 1), (5, 9), (40_000, 3)] {
        let (framing, body) = framed(size, true);
        let head = head(&framing).replace("/hello", "/echo");
        let mut sent = head.into_bytes();
        sent.extend(body);
        for part in sent.chunks(sent.len().div_ceil(parts)) {
            stream.write_all(part).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = hear(&mut stream, &"x".repeat(size)).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && !says_close(&answer), "{size} {parts}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_when_the_callers_own_time_is_over() {
    let server = Server::start(&config());
    let own_time = "content-type: application/grpc-web\r\ngrpc-timeout: 50m\r\ncontent-length: 30";
    let unfinished = format!("{}x", head(own_time).replace("/hello", "/echo"));
    let answer = server.say(&unfinished).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && says_close(&answer), "{answer}");
    assert!(answer.contains("\r\ngrpc-status: 4\r\n"), "{answer}");
    // An answer that did not wait for the body ends the connection at the same time.
    let mut stream = server.connect().await;
    stream.write_all(format!("{}x", head(own_time)).as_bytes()).await.unwrap();
    assert!(!says_close(&hear_all(&mut stream).await));
}

#[tokio::test]
async fn a_body_that_does_not_come_over_http_2_ends_its_request_alone() {
    let mut config = config();
    config.limits.request_timeout_ms = 50;
    let server = Server::start(&config);
    let (mut sender, _connection) = http2(server.connect().await).await;
    for (kind, status) in [("application/grpc", 200), ("application/json", 408)] {
        let frames = stream::once(async { Ok::<_, Infallible>(Frame::data("x".into())) });
        let unfinished = Body::new(StreamBody::new(frames.chain(stream::pending())));
        let (mut head, _) = grpc("/echo", &[]).into_parts();
        head.headers.insert("content-type", kind.parse().unwrap());
        let answer = sender.send_request(Request::from_parts(head, unfinished)).await.unwrap();
        assert_eq!(answer.status(), status);
        let (head, body) = answer.into_parts();
        let said = match tonic::Status::from_header_map(&head.headers) {
            Some(status) => {
                let details = status.get_details_error_info().unwrap();
                assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
                format!("{} {}", details.reason, status.message())
            }
            None => String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap(),
        };
        assert!(is_late(&said), "{kind}: {said}");
        assert!(sender.send_request(grpc("/hello", &[])).await.is_ok());
    }
}

#[tokio::test]
async fn a_head_that_is_refused_is_answered_while_its_client_sends() {
    let server = Server::start(&config());
    for (said, status) in [("nonsense\r\n", "400"), ("GET / HTTP/1.1\r\nx: ", "431")] {
        let mut stream = server.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}
