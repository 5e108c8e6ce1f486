//! Answers at once: common requests for the four lists, with keys in memory. They must equal those of the
//! general way, which an uncommon request takes.

use std::{io::Read, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use customer_settings_server::{catalog::access::Task, clock::Clock};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::*;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";
const LISTS: [(&str, &str); 4] = [
    ("ListCustomerTags", TAGS),
    ("ListCustomerReferralSources", "/v1/setting/companies/cmp_001/customer/referral_sources:list"),
    ("ListLeadsLifeCycles", "/v1/setting/companies/cmp_001/leads/life_cycles"),
    ("ListLeadsActionStatus", "/v1/setting/companies/cmp_001/leads/action_status"),
];

/// The headers without those that differ between any two answers.
fn comparable(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let own = ["date", "x-request-id"];
    let names = headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut all: Vec<_> =
        names.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    all.sort();
    all
}

/// Makes the server load the key and the company.
async fn warmed(server: &Server, secret: &str) {
    for _ in 0..2 {
        assert_eq!(server.get(TAGS).bearer(secret).send().await.status, 200);
    }
}

#[tokio::test]
async fn a_usual_request_over_http_is_answered_as_an_unusual_one() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    warmed(&server, &secret).await;
    for (_, path) in LISTS {
        let unusual = server.get(&format!("{path}?unknown=1")).bearer(&secret);
        let expected = unusual.send().await;
        assert_eq!(expected.status, 200);
        let etag = expected.header("etag").unwrap().to_owned();
        let usual = [
            server.get(path),
            server.post(path),
            server.post(path).body("{}"),
            server.post(path).body(" {\"companyId\": \"cmp_001\"}\n"),
            server
                .post(path)
                .body("{\"company_id\":\"cmp_001\"}")
                .header("content-type", "text/plain"),
            server.post(path).body("{\"companyId\":null}").header("if-none-match", &etag),
        ];
        for call in usual {
            let answer = call.bearer(&secret).send().await;
            assert_eq!(answer.status, 200);
            assert_eq!(comparable(&answer.headers), comparable(&expected.headers));
            assert_eq!(answer.body, expected.body);
        }
        let conditional = |path: &str| {
            server
                .get(path)
                .bearer(&secret)
                .header("if-none-match", &etag)
                .header("accept-encoding", "x")
        };
        let known = conditional(path).send().await;
        let expected = conditional(&format!("{path}?unknown=1")).send().await;
        assert_eq!((known.status.as_u16(), known.text()), (304, ""));
        assert_eq!(comparable(&known.headers), comparable(&expected.headers));
    }
}

#[tokio::test]
async fn a_list_comes_compressed_where_the_client_takes_it() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    warmed(&server, &secret).await;
    let plain = server.get(TAGS).bearer(&secret).header("accept-encoding", "gzip;q=0").send().await;
    assert_eq!(plain.header("content-encoding"), None);
    for path in [TAGS, &format!("{TAGS}?unknown=1")] {
        let ask = || server.get(path).bearer(&secret).header("accept-encoding", "deflate, gzip");
        let answer = ask().send().await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text());
        let etag = answer.header("etag").unwrap();
        assert_ne!(Some(etag), plain.header("etag"));
        assert_eq!(ask().header("if-none-match", etag).send().await.status, 304);
        let of_the_other = ask().header("if-none-match", plain.header("etag").unwrap());
        assert_eq!(of_the_other.send().await.status, 200);
    }
}

struct GrpcAnswer {
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

async fn over_grpc(server: &Server, request: http::request::Builder, message: &[u8]) -> GrpcAnswer {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let _connection = tokio::spawn(connection);
    let request = request.body(Body::from(frame(message))).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let (parts, body) = answer.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.unwrap().unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    GrpcAnswer { headers: parts.headers, body: body.to_bytes(), trailers }
}

#[tokio::test]
async fn a_usual_call_over_grpc_is_answered_as_an_unusual_one() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    warmed(&server, &secret).await;
    for (name, _) in LISTS {
        let method = method(name);
        let message = method.encode(&json!({"companyId": "cmp_001"}));
        let request = |kind: &str| {
            Request::post(format!("http://test{}", method.path))
                .header("te", "trailers")
                .header("content-type", kind)
                .header("authorization", format!("Bearer {secret}"))
        };
        let unusual = request("application/grpc").header("settings-min-revision", "1");
        let expected = over_grpc(&server, unusual, &message).await;
        assert_eq!(expected.trailers.get("grpc-status").unwrap(), "0");
        for kind in ["application/grpc", "application/grpc+proto"] {
            let answer = over_grpc(&server, request(kind), &message).await;
            assert_eq!(comparable(&answer.headers), comparable(&expected.headers));
            assert_eq!(comparable(&answer.trailers), comparable(&expected.trailers));
            assert_eq!(answer.body, expected.body);
        }
    }
}

#[tokio::test]
async fn a_key_that_was_seen_before_may_do_no_more_than_it_may() {
    let server = Server::demo().await;
    let covering = server.key(covering(&["cmp_001"])).await;
    warmed(&server, &covering).await;
    let other = TAGS.replace("cmp_001", "cmp_002");
    for path in [&other, &other.replace("cmp_002", "cmp_none")] {
        let refusal = server.get(path).bearer(&covering).send().await.refusal();
        assert_eq!(refusal.reason, "NOT_COVERED");
    }
    let conflicting = server.post(TAGS).bearer(&covering).body("{\"companyId\": \"cmp_002\"}");
    assert_eq!(conflicting.send().await.refusal().fields, ["company_id"]);
    let message = method("ListCustomerTags").encode(&json!({"companyId": "cmp_002"}));
    let bearer = format!("Bearer {covering}");
    let path = &method("ListCustomerTags").path;
    let refused = server.grpc_bytes(path, &[("authorization", &bearer)], message).await;
    assert_eq!(Refusal::of_status(&refused.unwrap_err()).reason, "NOT_COVERED");

    let scopeless = server.key(with_scopes(&["companies:read"])).await;
    for _ in 0..2 {
        let refusal = server.get(TAGS).bearer(&scopeless).send().await.refusal();
        assert_eq!(refusal.reason, "MISSING_SCOPE");
    }
    let elsewhere = server.key(from_networks(&["192.0.2.0/24"])).await;
    for _ in 0..2 {
        let refusal = server.get(TAGS).bearer(&elsewhere).send().await.refusal();
        assert_eq!(refusal.reason, "ADDRESS_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn a_key_that_was_seen_before_ends_in_time() {
    let server = Server::demo().await;
    let expires_time = Some(server.clock.now().plus_seconds(60));
    let short = server
        .key(customer_settings_server::service::keys::KeyDraft { expires_time, ..everything() })
        .await;
    let (key, revoked) = server.issue(everything()).await;
    warmed(&server, &short).await;
    warmed(&server, &revoked).await;
    server.services.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    let refused = async |secret: &str| {
        let answer = server.get(TAGS).bearer(secret).send().await;
        (answer.status == 401).then(|| answer.refusal().reason)
    };
    eventually(async || refused(&revoked).await.is_some_and(|reason| reason == "KEY_REVOKED"))
        .await;
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(refused(&short).await.as_deref(), Some("KEY_EXPIRED"));
}

#[tokio::test]
async fn every_way_counts_once_against_the_limit_of_a_key() {
    let unusual = format!("{TAGS}?unknown=1");
    let foreign = TAGS.replace("cmp_001", "cmp_002");
    for (path, expected) in [(TAGS, 200), (&unusual, 200), (&foreign, 403)] {
        let server = Server::configured(|config| {
            config.limits.requests_per_second = 1;
            config.limits.requests_burst = 6;
        })
        .await;
        let secret = server.key(covering(&["cmp_001"])).await;
        // The server knows the key.
        assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
        let mut answered = vec![];
        for _ in 0..8 {
            answered.push(server.get(path).bearer(&secret).send().await.status.as_u16());
        }
        assert_eq!(answered[..5], [expected; 5], "{path}");
        assert!(answered[5..].contains(&429), "{path}: {answered:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_read_to_its_end() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    warmed(&server, &secret).await;
    let body = format!("{{\"companyId\": {}\"cmp_001\"}}", " ".repeat(5_000));
    for pieces in [vec![&body[..1], &body[1..]], vec![&body[..4_500], &body[4_500..]], vec![&body]]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {TAGS} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            // The server has received only this piece when it looks.
            server.settled().await;
        }
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("tag_001"),
            "{answer}"
        );
    }
}
