//! Requests on their way: ids, limits, methods and answers that hold for all of them.

use std::pin::pin;

use super::*;
use crate::harness::http2::{DATA, END_STREAM, RST_STREAM};

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn status_of(response: &Response<hyper::body::Incoming>) -> &str {
    response.headers().get("grpc-status").map(|status| status.to_str().unwrap()).unwrap_or_default()
}

const UNAVAILABLE: &str = "14";
const DEADLINE_EXCEEDED: &str = "4";
const INTERNAL: &str = "13";

#[tokio::test]
async fn a_request_id_is_echoed_if_it_is_well_formed_and_made_otherwise() {
    let server = Server::start(&config());
    for good in ["a", "order-4711/x", &"x".repeat(128)] {
        let answer = server.get("/who", &format!("x-request-id: {good}\r\n")).await;
        assert_eq!(header(&answer, "x-request-id"), Some(good));
        assert!(answer.contains(&format!(" {good} ")), "{answer}");
    }
    let mut made = Vec::new();
    for bad in [
        "",
        "x-request-id: \r\n",
        "x-request-id: a b\r\n",
        "x-request-id: \u{e9}\r\n",
        &format!("x-request-id: {}\r\n", "x".repeat(129)),
    ] {
        let answer = server.get("/who", bad).await;
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!made.contains(&id));
        made.push(id);
    }
}

#[tokio::test]
async fn every_kind_of_answer_carries_the_request_id() {
    let mut config = config();
    config.limits.request_timeout_ms = 50;
    let server = Server::start(&config);
    for path in ["/hello", "/nowhere", "/panic", "/never", "/healthz", "/metrics"] {
        let answer = server.get(path, "x-request-id: mine\r\n").await;
        assert_eq!(header(&answer, "x-request-id"), Some("mine"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_after_a_pause_and_is_in_nobodys_way() {
    let mut config = config();
    config.limits.concurrent_requests = 1;
    let server = Server::start(&config);
    let mut limited = pin!(server.get("/limited", ""));
    for _ in 0..3 {
        tokio::select! {
            answer = &mut limited => panic!("it was answered first: {answer}"),
            answer = server.get("/hello", "") => assert!(answer.starts_with("HTTP/1.1 200 ")),
        }
    }
    assert!(limited.await.starts_with("HTTP/1.1 429 "));
}

#[tokio::test]
async fn an_http_2_client_has_the_answer_before_it_is_told_to_send_no_more() {
    let server = Server::start(&config());
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // HEADERS of POST http://x/hello, without an end, and a part of a body that nobody will read.
    stream.write_all(&[0, 0, 13, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x44, 6]).await.unwrap();
    stream.write_all(b"/hello\x41\x01x\0\0\x04\0\0\0\0\0\x01some").await.unwrap();
    let mut answered = None;
    loop {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().unwrap();
        let [_, high, low, kind, flags, ..] = head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        match (kind, flags) {
            (DATA, END_STREAM) => answered = Some(SystemClock.monotonic()),
            (RST_STREAM, _) => break,
            _ => {}
        }
    }
    let since = SystemClock.monotonic() - answered.expect("the answer comes first");
    assert!(since >= Duration::from_millis(50), "{since:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_long_is_in_the_way_of_nothing_else_on_its_connection() {
    let server = Server::start(&config());
    let (mut sender, _connection) = http2(server.connect().await).await;
    let mut other = sender.clone();
    let mut busy = pin!(sender.send_request(grpc("/busy", &[])));
    for _ in 0..3 {
        tokio::select! {
            _ = &mut busy => panic!("it was answered first"),
            answer = other.send_request(grpc("/hello", &[])) => assert!(answer.is_ok()),
        }
    }
    assert!(busy.await.is_ok());
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_tells_nothing_and_the_server_lives_on() {
    let server = Server::start(&config());
    let panics = async || {
        let metrics = server.get("/metrics", "").await;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("customer_settings_panics_total "));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    for path in ["/panic", "/panic-at-once"] {
        let before = panics().await;
        let answer = server.get(path, "x-request-id: mine\r\norigin: https://x\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"code\":13"), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
        assert_eq!(header(&answer, "x-request-id"), Some("mine"));
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
        assert!(panics().await > before);
        let head = format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(server.say(&head).await.ends_with("\r\n\r\n"));

        let (mut sender, _connection) = http2(server.connect().await).await;
        let response = sender.send_request(grpc(path, &[])).await.unwrap();
        assert_eq!((response.status(), status_of(&response)), (StatusCode::OK, INTERNAL));
        assert!(!format!("{:?}", response.headers()).contains("secret"));
        let response = sender.send_request(grpc("/hello", &[])).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn one_request_more_than_the_limit_is_refused_at_once_in_every_protocol() {
    let mut config = config();
    config.limits.concurrent_requests = 1;
    let server = Server::start(&config);
    let mut stream = server.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.until_waiting(1).await;

    let answer = server.get("/hello", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"reason\":\"OVERLOADED\""),
        "{answer}"
    );
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    let (mut sender, _connection) = http2(server.connect().await).await;
    let response = sender.send_request(grpc("/hello", &[])).await.unwrap();
    assert_eq!((response.status(), status_of(&response)), (StatusCode::OK, UNAVAILABLE));
    let mut web = grpc("/hello", &[]);
    web.headers_mut().insert("content-type", "application/grpc-web+proto".parse().unwrap());
    let response = sender.send_request(web).await.unwrap();
    assert_eq!((response.status(), status_of(&response)), (StatusCode::OK, UNAVAILABLE));
    assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
    // Operators' requests are still answered.
    assert!(server.get("/healthz", "").await.ends_with("ok\n"));

    server.go_on.notify_one();
    hear(&mut stream, "hello").await;
    assert!(server.get("/hello", "").await.ends_with("hello"));
}

#[tokio::test]
async fn a_request_is_cut_off_at_its_deadline_in_every_protocol() {
    let mut config = config();
    config.limits.request_timeout_ms = 50;
    let server = Server::start(&config);
    let answer = server.get("/never", "").await;
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("\"code\":4"), "{answer}");
    let (mut sender, _connection) = http2(server.connect().await).await;
    let response = sender.send_request(grpc("/never", &[])).await.unwrap();
    assert_eq!((response.status(), status_of(&response)), (StatusCode::OK, DEADLINE_EXCEEDED));
}

#[tokio::test]
async fn a_callers_grpc_timeout_comes_first_if_it_is_shorter() {
    let server = Server::start(&config());
    let (mut sender, _connection) = http2(server.connect().await).await;
    let response = sender.send_request(grpc("/never", &[("grpc-timeout", "50m")])).await.unwrap();
    assert_eq!(status_of(&response), DEADLINE_EXCEEDED);
    for (given, most) in [("5S", 5_000), ("1H", 10_000)] {
        let response = sender.send_request(grpc("/who", &[("grpc-timeout", given)])).await.unwrap();
        let text =
            String::from_utf8(response.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let left: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(left <= most && left > most / 2, "{given}: {left}");
    }
}

#[tokio::test]
async fn the_application_is_told_the_forwarded_address_of_a_trusted_proxy() {
    let mut config = config();
    let untrusting = Server::start(&config);
    let answer = untrusting.get("/who", "x-forwarded-for: 192.0.2.7\r\n").await;
    assert!(answer.contains("\r\n\r\n127.0.0.1 "), "{answer}");
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let trusting = Server::start(&config);
    let answer = trusting.get("/who", "x-forwarded-for: 192.0.2.7\r\n").await;
    assert!(answer.contains("\r\n\r\n192.0.2.7 "), "{answer}");
}

#[tokio::test]
async fn readiness_says_why_it_is_not() {
    let server = Server::start_with(&config(), Arc::new(|| Err("the store is away".to_owned())));
    let answer = server.get("/readyz", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("the store is away\n"),
        "{answer}"
    );
    assert!(server.get("/healthz", "").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn operational_paths_answer_head_and_refuse_what_writes() {
    let server = Server::start(&config());
    for path in ["/healthz", "/readyz", "/metrics"] {
        let head = server
            .say(&format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
            .await;
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
        let (mut sender, _connection) = http2(server.connect().await).await;
        let head = Request::head(format!("http://x{path}")).body(Body::empty()).unwrap();
        let head = sender.send_request(head).await.unwrap();
        assert!(head.collect().await.unwrap().to_bytes().is_empty());
        let post = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let post = server.say(&post).await;
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        assert_eq!(header(&post, "allow"), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn metrics_count_what_happened_by_protocol_method_and_code() {
    let server = Server::start(&config());
    server.get("/hello", "").await;
    server.get("/panic", "").await;
    let (mut sender, _connection) = http2(server.connect().await).await;
    sender.send_request(grpc("/hello", &[])).await.unwrap().collect().await.unwrap();
    sender.send_request(grpc("/panic", &[])).await.unwrap().collect().await.unwrap();
    let metrics = server.get("/metrics", "").await;
    for line in [
        "# TYPE customer_settings_requests_total counter",
        "customer_settings_requests_total{protocol=\"http\",method=\"test\",code=\"200\"} ",
        "customer_settings_requests_total{protocol=\"http\",method=\"test\",code=\"500\"} ",
        "customer_settings_requests_total{protocol=\"grpc\",method=\"test\",code=\"Ok\"} ",
        "customer_settings_requests_total{protocol=\"grpc\",method=\"test\",code=\"Internal\"} ",
        "customer_settings_request_duration_seconds_bucket{protocol=\"http\",method=\"test\",le=\"0.001\"} ",
        "customer_settings_requests_in_flight ",
        "customer_settings_connections ",
        "customer_settings_panics_total ",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn metrics_are_for_loopback_and_configured_networks_and_no_header_opens_them() {
    const SEEN: &str = "HTTP/1.1 200 OK";
    const HIDDEN: &str = "HTTP/1.1 404 ";
    for (trusted, allowed, header, expected) in [
        ("", "", "", SEEN),
        // A proxy on this machine that is not in the configuration.
        ("", "", "x-forwarded-for: 127.0.0.1\r\n", HIDDEN),
        ("", "", "forwarded: for=127.0.0.1\r\n", HIDDEN),
        ("", "", "via: 1.1 proxy\r\n", HIDDEN),
        ("127.0.0.1", "", "", SEEN),
        ("127.0.0.1", "", "x-forwarded-for: 192.0.2.1\r\n", HIDDEN),
        ("127.0.0.1", "", "x-forwarded-for: 127.0.0.1, 192.0.2.1\r\n", HIDDEN),
        ("127.0.0.1", "192.0.2.0/24", "x-forwarded-for: 192.0.2.1\r\n", SEEN),
        ("", "192.0.2.0/24", "x-forwarded-for: 192.0.2.1\r\n", HIDDEN),
    ] {
        let flags =
            [("trusted_proxies", trusted.to_owned()), ("metrics_allow", allowed.to_owned())];
        let mut config = Config::layered(None, [], &flags).unwrap();
        config.listen = "127.0.0.1:0".parse().unwrap();
        let answer = Server::start(&config).get("/metrics", header).await;
        assert!(answer.starts_with(expected), "{trusted} {allowed} {header}: {answer}");
    }
}

#[tokio::test]
async fn browsers_of_any_origin_may_call_and_read_what_they_need() {
    let server = Server::start(&config());
    let origin = "origin: https://app.example.com\r\n";
    let preflight = format!(
        "OPTIONS /panic HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{origin}access-control-request-method: POST\r\n\
         access-control-request-headers: authorization,x-grpc-web\r\n\r\n"
    );
    let answer = server.say(&preflight).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&answer, "access-control-allow-headers"), Some("authorization,x-grpc-web"));
    assert!(header(&answer, "access-control-allow-methods").unwrap().contains("POST"));
    for path in ["/hello", "/panic"] {
        let answer = server.get(path, origin).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
        let exposed = header(&answer, "access-control-expose-headers").unwrap();
        for name in [
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "etag",
            "retry-after",
            "x-request-id",
            "settings-revision",
            "settings-stale",
        ] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}");
        }
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    }
    assert_eq!(header(&server.get("/hello", "").await, "access-control-allow-origin"), None);
    // Without these headers OPTIONS is a method like any other.
    let options =
        server.say("OPTIONS /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(options.starts_with("HTTP/1.1 404 "), "{options}");
}

#[tokio::test]
async fn no_page_of_another_origin_reads_what_is_for_operators() {
    let server = Server::start(&config());
    let origin = "origin: https://app.example.com\r\n";
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = server.get(path, origin).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.contains("access-control-"), "{answer}");
        let preflight = format!(
            "OPTIONS {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{origin}\
             access-control-request-method: GET\r\n\r\n"
        );
        let answer = server.say(&preflight).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{answer}");
    }
}

#[tokio::test]
async fn a_request_of_http_1_1_says_once_which_host_it_is_for() {
    let server = Server::start(&config());
    for path in ["/hello", "/healthz", "/metrics"] {
        for (version, hosts, problem) in [
            ("1.1", "host: x\r\n", None),
            ("1.1", "Host: [::1]:8080\r\n", None),
            ("1.0", "", None),
            ("1.1", "", Some("there is no Host header")),
            ("1.1", "host: x\r\nhost: x\r\n", Some("more than one Host header")),
            ("1.0", "host: x\r\nhost: x\r\n", Some("more than one Host header")),
            ("1.1", "host: x/y\r\n", Some("the Host header is no name or address")),
        ] {
            let close = "connection: close\r\n";
            let answer =
                server.say(&format!("GET {path} HTTP/{version}\r\n{hosts}{close}\r\n")).await;
            match problem {
                None => assert!(answer.contains(" 200 OK\r\n"), "{answer}"),
                Some(problem) => {
                    assert!(answer.contains(" 400 Bad Request\r\n"), "{answer}");
                    assert!(answer.contains("\"INVALID_HOST\""), "{answer}");
                    assert!(answer.contains(problem), "{answer}");
                }
            }
        }
    }
}

#[tokio::test]
async fn only_configured_origins_are_allowed_where_there_are_some() {
    let mut config = config();
    config.cors_origins = vec!["https://app.example.com".to_owned()];
    let server = Server::start(&config);
    let answer = server.get("/hello", "origin: https://app.example.com\r\n").await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(header(&answer, "vary"), Some("origin"));
    for other in ["https://evil.example", "https://app.example.com.evil.example", "null"] {
        let answer = server.get("/hello", &format!("origin: {other}\r\n")).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{other}");
        assert_eq!(header(&answer, "vary"), Some("origin"));
    }
}

#[tokio::test]
async fn a_grpc_timeout_that_cannot_be_read_is_refused_on_every_way() {
    let server = crate::harness::Server::demo().await;
    let secret = server.any_key().await;
    let list = "/v1/setting/companies/cmp_001/customer/tags:list";
    let bearer = format!("Bearer {secret}");
    for given in ["soon", "1", "123456789m", "1.5S", ""] {
        // Cold, and once the list is ready.
        for _ in 0..2 {
            let call = server.call("GET", list).bearer(&secret).header("grpc-timeout", given);
            let refusal = call.send().await.refusal();
            assert_eq!(refusal.fields, ["grpc-timeout"], "{given}: {refusal:?}");
            let metadata = [("authorization", bearer.as_str()), ("grpc-timeout", given)];
            let request = serde_json::json!({"companyId": "cmp_001"});
            let method = crate::harness::method("ListCustomerTags");
            let status = server.grpc(&method, &metadata, &request).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{given}: {status:?}");
            assert!(status.message().contains("500m for half a second"), "{status:?}");
            assert_eq!(server.call("GET", list).bearer(&secret).send().await.status, 200);
        }
    }
    let twice = server.call("GET", list).bearer(&secret).header("grpc-timeout", "5S");
    let twice = twice.header("grpc-timeout", "6S").send().await;
    assert!(twice.text().contains("'5S, 6S'"), "{}", twice.text());
}
