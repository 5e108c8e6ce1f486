//! The floods: every attack that was found, or thought of.

use std::{
    fmt::Write as _,
    io::Write as _,
    iter::{once, repeat},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use rustls::ClientConfig;

use super::{
    attack::{Attack, Speech},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, block, call, frame, message, opening,
    },
};
use crate::load::{Unknown, get, list, path, unknown_keys, with_body};

/// The company with a long history.
pub(super) const WRITTEN: &str = "/admin/v1/companies/cmp_written";

/// The tags of the largest company.
const TAGS: &str = "/admin/v1/companies/cmp_1000/customer_tags";

/// A little less than the most bytes of a body.
const MOST_BODY_BYTES: usize = 1_000_000;

/// The size of one write.
const PIECE_BYTES: usize = 16 << 10;

const LIST_RPC: &str = "/moego.business.setting.v1.SettingService/ListCustomerTags";
const REFLECTION_RPC: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

pub(super) struct Flood {
    pub(super) name: &'static str,
    /// Whether the server speaks TLS.
    pub(super) is_tls: bool,
    /// From many addresses, as a proxy says that the server trusts.
    pub(super) is_forwarded: bool,
    pub(super) threads: usize,
    pub(super) attack: Attack,
}

/// All floods. The narrow key may only read settings; the wide key may do everything.
pub(super) fn all(narrow: &str, wide: &str, tls: &Arc<ClientConfig>) -> Vec<Flood> {
    let mut all = bodies(narrow);
    all.extend(connections(narrow));
    all.extend(handshakes(tls));
    all.extend(keys(narrow, wide));
    all.extend(dear(wide));
    all.extend(bombs(wide));
    all.extend(documents(wide));
    all.extend(frames(narrow));
    all.extend(streams(narrow));
    all
}

fn flood(name: &'static str, threads: usize, attack: Attack) -> Flood {
    Flood { name, is_tls: false, is_forwarded: false, threads, attack }
}

fn asks(name: &'static str, request: Vec<u8>) -> Flood {
    flood(name, 8, Attack::Asks(vec![request]))
}

/// Sends `first` and then repeats `again` without an end, on a few connections.
fn says(name: &'static str, first: Vec<u8>, again: &[u8]) -> Flood {
    let again = again.repeat((PIECE_BYTES / again.len()).max(1));
    let speech = move || -> Speech { Box::new(once(first.clone()).chain(repeat(again.clone()))) };
    flood(name, 4, Attack::Says(Box::new(speech)))
}

fn post(key: &str, path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n{headers}\r\n"
    )
}

fn bodies(key: &str) -> Vec<Flood> {
    let path = path("cmp_100");
    let part = post(key, &path, "content-length: 1000000\r\n") + "{\"companyId\": ";
    let half = Attack::Holds { connections: 300, first: part.into_bytes(), then: b" ".to_vec() };
    let mut over_http2 = opening();
    let wanted = call(key, LIST_RPC);
    for number in 0..120 {
        over_http2.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &wanted));
        over_http2.extend(frame(DATA, 0, 2 * number + 1, &[0, 0]));
    }
    let http2 = Attack::Holds { connections: 25, first: over_http2, then: vec![] };
    let chunks = post(key, &path, "transfer-encoding: chunked\r\n") + &"1\r\n \r\n".repeat(160_000);
    let extended = post(key, &path, "transfer-encoding: chunked\r\n")
        + &format!("1;{}\r\n \r\n", "x".repeat(150)).repeat(100)
        + "0\r\n\r\n";
    let most = post(key, &path, &format!("content-length: {MOST_BODY_BYTES}\r\n"))
        + &" ".repeat(MOST_BODY_BYTES);
    vec![
        flood("stalled bodies, HTTP/1.1", 4, half),
        flood("stalled bodies, HTTP/2", 4, http2),
        flood(
            "bodies in chunks of a byte",
            8,
            Attack::Asks(vec![(chunks + "0\r\n\r\n").into_bytes()]),
        ),
        flood("chunks with long extensions", 8, Attack::Asks(vec![extended.into_bytes()])),
        flood("bodies of blanks", 8, Attack::Asks(vec![most.into_bytes()])),
    ]
}

fn connections(key: &str) -> Vec<Flood> {
    let slow = Attack::Holds {
        connections: 500,
        first: b"GET /v1/setting HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_vec(),
        then: b"x".to_vec(),
    };
    let unread = list(key, "cmp_1000", "").repeat(200);
    let silent = Attack::Holds { connections: 500, first: vec![], then: vec![] };
    let many: String = (0..96).fold(String::new(), |mut lines, number| {
        let _ = write!(lines, "x-{number}: {}\r\n", "x".repeat(300));
        lines
    });
    let large =
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n", "x".repeat(60_000));
    let pipelined = get("wrong", "/v1/businesses/biz_001", "").repeat(1_000);
    vec![
        flood("silent connections", 4, silent),
        flood("heads that dribble", 4, slow),
        flood(
            "answers that are not read",
            4,
            Attack::Holds { connections: 50, first: unread, then: vec![] },
        ),
        flood("connections that come and go", 8, Attack::Churns(vec![])),
        flood("one request a connection", 8, Attack::Churns(list(key, "cmp_100", ""))),
        flood("HTTP/2 connections that come and go", 8, Attack::Churns(opening())),
        asks("many header lines", get(key, "/nowhere", &many)),
        flood("heads that are too large", 8, Attack::Churns(large.into_bytes())),
        says("requests that wait for no answer", vec![], &pipelined),
        says("empty lines", vec![], b"\r\n"),
        says("what is no HTTP", vec![], b"\x00\xff\x13\x37"),
        says("what is no HTTP, after a request", list(key, "cmp_100", ""), b"\x00\xff\x13\x37"),
    ]
}

fn handshakes(tls: &Arc<ClientConfig>) -> Vec<Flood> {
    let with_tls = |name, attack| Flood { is_tls: true, ..flood(name, 8, attack) };
    let mut hello = vec![];
    let name = "localhost".try_into().map(|name| rustls::ClientConnection::new(tls.clone(), name));
    if let Ok(Ok(mut client)) = name {
        let _ = client.write_tls(&mut hello);
    }
    vec![
        with_tls("TLS handshakes", Attack::ShakesHands(tls.clone())),
        with_tls("TLS hellos and nothing else", Attack::Churns(hello)),
        with_tls("what is no TLS", Attack::Churns(vec![0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])),
    ]
}

fn keys(narrow: &str, wide: &str) -> Vec<Flood> {
    let one = |key: &str| get(key, &path("cmp_100"), "");
    let mistyped = unknown_keys(Unknown::Mistyped).map(|key| one(&key)).collect();
    let random = unknown_keys(Unknown::Plausible).map(|key| one(&key)).collect();
    let from_everywhere = unknown_keys(Unknown::Plausible).enumerate().map(|(number, key)| {
        let address =
            format!("x-forwarded-for: 100.64.{}.{}\r\n", number / 256 % 256, number % 256);
        get(&key, &path("cmp_100"), &address)
    });
    let origin = "origin: https://a.example\r\naccess-control-request-method: POST\r\n";
    let preflight = format!("OPTIONS / HTTP/1.1\r\nhost: localhost\r\n{origin}\r\n");
    vec![
        flood("mistyped keys", 32, Attack::Asks(mistyped)),
        flood("random keys", 32, Attack::Asks(random)),
        Flood {
            is_forwarded: true,
            ..flood("random keys from many addresses", 32, Attack::Asks(from_everywhere.collect()))
        },
        asks("no key", b"GET /v1/businesses/biz_001 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
        asks("paths that are not there", get(narrow, "/v1/nowhere/at/all", "")),
        asks("methods that are not allowed", get(narrow, "/admin/v1/keys", "")),
        asks("preflights", preflight.into_bytes()),
        flood("a key that asks too often", 32, Attack::Asks(vec![one(narrow)])),
        asks(
            "searches",
            get(
                wide,
                "/admin/v1/companies/cmp_1000/customer_tags?filter=name%3A%22a%22&pageSize=1000",
                "",
            ),
        ),
    ]
}

fn dear(key: &str) -> Vec<Flood> {
    let body = |name, path: &str, body: String| asks(name, with_body("POST", key, path, &body));
    let numbered = |prefix: &str, suffix: &str, number: usize| {
        let each = |i| format!("\"{prefix}{i}\"{suffix}");
        (0..number).map(each).collect::<Vec<_>>().join(",")
    };
    // As many as the company has room for.
    let creates = (0..900).map(|i| {
        format!("{{\"create\":{{\"collection\":\"customer_tags\",\"entryId\":\"new_{i}\",\"entry\":{{\"name\":\"New {i}\"}}}}}}")
    });
    let creates = creates.collect::<Vec<_>>().join(",");
    let batch = |company: &str| format!("/admin/v1/companies/{company}:batch");
    let ids = (1..=1_000).map(|i| format!("\"tag_{i:04}\"")).collect::<Vec<_>>().join(",");
    let order = format!("{{\"reorder\":{{\"collection\":\"customer_tags\",\"ids\":[{ids}]}}}}");
    let dry = |changes: &str| format!("{{\"changes\":[{changes}],\"validateOnly\":true}}");
    vec![
        body(
            "reorder with 70,000 unknown ids",
            &format!("{TAGS}:reorder"),
            format!("{{\"ids\":[{}]}}", numbered("no_", "", 70_000)),
        ),
        asks(
            "filters of many conditions",
            get(key, &format!("{TAGS}?filter={}name:b", "name:a%20and%20".repeat(2_000)), ""),
        ),
        asks(
            "old revisions",
            get(key, &format!("{WRITTEN}/customer_tags?revision=2&pageSize=10"), ""),
        ),
        body(
            "dry runs of a roll back",
            &format!("{WRITTEN}:rollback"),
            "{\"revision\":\"2\",\"validateOnly\":true}".to_owned(),
        ),
        body(
            "dry runs of an undo",
            &format!("{WRITTEN}/changes/3:undo"),
            "{\"validateOnly\":true}".to_owned(),
        ),
        body(
            "60,000 unknown fields",
            TAGS,
            format!("{{\"name\":\"x\",{}}}", numbered("unknown", ":0", 60_000)),
        ),
        body(
            "a batch of 300,000 nothings",
            &batch("cmp_1000"),
            format!("{{\"changes\":[{}]}}", ["{}"; 300_000].join(",")),
        ),
        body("dry runs of a large batch", &batch("cmp_100"), dry(&creates)),
        body("dry runs of seventy orders", &batch("cmp_1000"), dry(&[&*order; 70].join(","))),
        body(
            "dry runs of an order",
            &format!("{TAGS}:reorder"),
            format!("{{\"ids\":[{ids}],\"validateOnly\":true}}"),
        ),
    ]
}

/// Bodies that become larger or deeper when they are read.
fn bombs(key: &str) -> Vec<Flood> {
    let body = |name, body: String| asks(name, with_body("POST", key, TAGS, &body));
    let blanks = gzip(&vec![b' '; 64 << 20]);
    let coding = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", blanks.len());
    let bomb = [post(key, TAGS, &coding).into_bytes(), blanks].concat();
    let name =
        |text: &str, bytes: usize| format!("{{\"name\":\"{}\"}}", text.repeat(bytes / text.len()));
    let values = vec!["0"; MOST_BODY_BYTES / 2 - 10].join(",");
    vec![
        body("deep JSON", "[".repeat(MOST_BODY_BYTES)),
        body("deep JSON objects", "{\"name\":".repeat(MOST_BODY_BYTES / 8)),
        body("JSON of many small values", format!("{{\"name\":[{values}]}}")),
        body("a name of a million letters", name("x", MOST_BODY_BYTES - 50)),
        // One letter becomes eighteen.
        body("a name that folds to more", name("\u{fdfa}", MOST_BODY_BYTES - 50)),
        flood("gzip bombs", 8, Attack::Asks(vec![bomb])),
    ]
}

fn documents(key: &str) -> Vec<Flood> {
    vec![
        asks("metrics", b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
        asks(
            "the OpenAPI document",
            b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        ),
        asks("the documentation page", b"GET /docs HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
        asks("pages of history", get(key, &format!("{WRITTEN}/changes?pageSize=500"), "")),
        asks(
            "pages of entries",
            get(key, "/admin/v1/companies/cmp_1000/customer_tags?pageSize=1000", ""),
        ),
    ]
}

fn frames(key: &str) -> Vec<Flood> {
    let with = |first: Vec<u8>| [opening(), first].concat();
    let open = frame(HEADERS, END_HEADERS, 1, &call(key, LIST_RPC));
    let headers = frame(HEADERS, 0, 1, &call(key, LIST_RPC));
    vec![
        says("PRIORITY", opening(), &frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        says("WINDOW_UPDATE", opening(), &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        says(
            "WINDOW_UPDATE of a stream",
            with(open.clone()),
            &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        says("PING", opening(), &frame(PING, 0, 0, &[7; 8])),
        says("SETTINGS", opening(), &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        says("empty DATA", with(open), &frame(DATA, 0, 1, &[])),
        says("CONTINUATION", with(headers), &frame(CONTINUATION, 0, 1, &block(&[("x", "y")]))),
        says("frames that nobody knows", opening(), &frame(0x99, 0, 0, &[0; 16])),
    ]
}

/// Streams that are opened one after the other, without waiting for an answer.
fn streams(key: &str) -> Vec<Flood> {
    let over = |name, ask: fn(u32, &[u8]) -> Vec<u8>, headers: Vec<u8>| {
        let speech = move || -> Speech {
            let headers = headers.clone();
            let pieces = (0..1 << 22).map(move |piece| {
                let streams = 64 * piece..64 * piece + 64;
                streams.flat_map(|number| ask(2 * number + 1, &headers)).collect()
            });
            Box::new(once(opening()).chain(pieces))
        };
        flood(name, 4, Attack::Says(Box::new(speech)))
    };
    let given_up: fn(u32, &[u8]) -> Vec<u8> = |stream, headers| {
        let asked = frame(HEADERS, END_HEADERS, stream, headers);
        [asked, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let unfinished: fn(u32, &[u8]) -> Vec<u8> =
        |stream, headers| frame(HEADERS, END_HEADERS, stream, headers);
    let garbage: fn(u32, &[u8]) -> Vec<u8> = |stream, headers| {
        let asked = frame(HEADERS, END_HEADERS, stream, headers);
        [asked, frame(DATA, END_STREAM, stream, &message(&[0xff; 100]))].concat()
    };
    let reflection: fn(u32, &[u8]) -> Vec<u8> = |stream, headers| {
        let asked = frame(HEADERS, END_HEADERS, stream, headers);
        // `file_containing_symbol`, field 4.
        let symbol = b"customersettings.v1.EntryService";
        let wanted = [&[0x22, symbol.len() as u8], &symbol[..]].concat();
        [asked, frame(DATA, END_STREAM, stream, &message(&wanted))].concat()
    };
    vec![
        over("requests that are given up", given_up, call(key, LIST_RPC)),
        over("unknown keys that are given up", given_up, call("wrong", LIST_RPC)),
        over("more streams than are allowed", unfinished, call(key, LIST_RPC)),
        over("gRPC messages of garbage", garbage, call(key, LIST_RPC)),
        over("reflection", reflection, call(key, REFLECTION_RPC)),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
