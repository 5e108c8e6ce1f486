//! Answers over HTTP/1.1 that are made before the body was read: they reach the client, and its
//! connection is kept or its end announced.

use super::*;

const BODY_LIMIT: usize = 1 << 20;

fn head(framing: &str) -> String {
    format!("POST /hello HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n")
}

/// A body of that size, and the header line that says so.
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
async fn a_body_that_nobody_reads_is_read_away_and_the_connection_kept() {
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
    // It may go on, and is not reset.
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
