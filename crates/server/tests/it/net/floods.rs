//! Clients of HTTP/2 that send useless frames, and honest clients that send many frames.

use tokio::net::tcp::OwnedReadHalf;

use super::*;
use crate::harness::http2::{DATA, END_HEADERS, HEADERS, OPENING, PING, RST_STREAM, frame};

// RFC 9113 (6 and 7).
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const UNKNOWN: u8 = 0x99;
const ENHANCE_YOUR_CALM: u8 = 11;

/// More useless frames than any client may send.
const MANY: u32 = 1_000_000;

/// HEADERS of POST http://x/wait or another path of that length, without the end of the request.
fn asks(path: &[u8; 5], stream: u32) -> Vec<u8> {
    let block = [&[0x83, 0x86, 0x04, 5], &path[..], b"\x01\x01x"].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// One frame of the server: its kind, its stream and its content.
async fn heard(stream: &mut OwnedReadHalf) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut head)).await.unwrap().ok()?;
    let [_, high, low, kind, _, id @ ..] = head;
    let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    stream.read_exact(&mut payload).await.ok()?;
    Some((kind, u32::from_be_bytes(id), payload))
}

/// The code of the GOAWAY that ends a connection on which the client repeats these bytes.
async fn answered_to(server: &Server, first: &[u8], again: &[u8]) -> Option<u8> {
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(&[OPENING, first].concat()).await.unwrap();
    let some = again.repeat(100);
    let flood = async {
        for _ in 0..MANY / 100 {
            if writer.write_all(&some).await.is_err() {
                break;
            }
        }
    };
    let code = async {
        while let Some((kind, _, payload)) = heard(&mut reader).await {
            if kind == GOAWAY {
                return Some(payload[7]);
            }
        }
        None
    };
    tokio::join!(flood, code).1
}

/// How many connections were closed for floods.
async fn flooded(server: &Server) -> u64 {
    let metrics = server.get("/metrics", "").await;
    let count = metrics.split("\ncustomer_settings_connections_flooded_total ").nth(1);
    count.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_client_that_sends_frames_for_the_sake_of_it_is_told_to_be_calm_and_closed() {
    let server = Server::start(&config());
    let wait = asks(b"/wait", 1);
    for (what, first, again) in [
        ("PRIORITY", &[][..], frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("PING", &[], frame(PING, 0, 0, &[0; 8])),
        ("PING ACK", &[], frame(PING, 1, 0, &[0; 8])),
        ("SETTINGS", &[], frame(SETTINGS, 0, 0, &[])),
        ("WINDOW_UPDATE of the connection", &[], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", &wait, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("empty DATA", &wait, frame(DATA, 0, 1, &[])),
        ("a little DATA", &wait, frame(DATA, 0, 1, b"{")),
        ("unknown frames", &[], frame(UNKNOWN, 0, 0, b"anything")),
        ("large unknown frames", &[], frame(UNKNOWN, 0, 0, &[0; 16_384])),
    ] {
        let code = answered_to(&server, first, &again).await;
        // The client gets no code if the kernel has dropped the bytes that the client had not read.
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{what}: {code:?}");
    }
    assert!(server.get("/hello", "").await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_sends_a_few_frames_too_many_hears_why_it_is_closed() {
    let mut config = config();
    config.limits.streams_per_connection = 1;
    let server = Server::start(&config);
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer
        .write_all(&[OPENING, &asks(b"/none", 5), &priority.repeat(2_000)].concat())
        .await
        .unwrap();
    let goaway = loop {
        if let (GOAWAY, 0, payload) = heard(&mut reader).await.expect("it hears why") {
            break payload;
        }
    };
    assert_eq!(goaway, [0, 0, 0, 5, 0, 0, 0, ENHANCE_YOUR_CALM]);
    assert_eq!(heard(&mut reader).await, None);
    let metrics = server.get("/metrics", "").await;
    assert!(metrics.contains("customer_settings_connections_flooded_total "), "{metrics}");
}

#[tokio::test]
async fn a_client_that_gives_up_all_its_requests_is_closed() {
    let mut config = config();
    config.limits.streams_per_connection = 1;
    let server = Server::start(&config);
    let flooded_before = flooded(&server).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(OPENING).await.unwrap();
    let given_up = async {
        for number in 0.. {
            let stream = 2 * number + 1;
            let arrived = usize::try_from(number).unwrap() + 1;
            if writer.write_all(&asks(b"/wait", stream)).await.is_err() {
                return number;
            }
            while server.waiting.load(Ordering::SeqCst) < arrived {
                if writer.write_all(&[]).await.is_err() || number > 600 {
                    return number;
                }
                tokio::task::yield_now().await;
            }
            let cancel = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            if writer.write_all(&cancel).await.is_err() {
                return number;
            }
        }
        unreachable!("it is closed before")
    };
    let closed = async {
        loop {
            match heard(&mut reader).await {
                Some((GOAWAY, _, payload)) => return payload[7],
                Some(_) => {}
                None => panic!("it hears why"),
            }
        }
    };
    tokio::select! {
        number = given_up => panic!("{number} were given up"),
        code = closed => assert_eq!(code, ENHANCE_YOUR_CALM),
    }
    assert!(flooded(&server).await > flooded_before);
    assert!((500..600).contains(&server.waiting.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_client_that_opens_more_streams_than_it_may_is_closed_soon() {
    let mut config = config();
    config.limits.streams_per_connection = 1;
    let server = Server::start(&config);
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(&[OPENING, &asks(b"/wait", 1)].concat()).await.unwrap();
    // Far fewer than the library takes (1,024).
    for number in 1..200 {
        let stream = 2 * number + 1;
        writer.write_all(&asks(b"/wait", stream)).await.unwrap();
        loop {
            match heard(&mut reader).await.expect("it hears why") {
                (RST_STREAM, of, _) if of == stream => break,
                (GOAWAY, 0, payload) => {
                    assert_eq!(payload[7], ENHANCE_YOUR_CALM);
                    assert!((100..150).contains(&number), "{number} were taken");
                    return;
                }
                _ => {}
            }
        }
    }
    panic!("it goes on");
}

#[tokio::test]
async fn a_client_that_sends_many_frames_for_requests_is_served_on_and_on() {
    let mut config = config();
    config.limits.streams_per_connection = 1;
    let server = Server::start(&config);
    let (mut reader, mut writer) = server.connect().await.into_split();
    writer.write_all(OPENING).await.unwrap();
    for number in 0..2_000 {
        let stream = 2 * number + 1;
        let frames = [
            asks(b"/none", stream),
            frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 16]),
            frame(PING, 0, 0, &[0; 8]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]),
            frame(DATA, 1, stream, &[]),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ];
        writer.write_all(&frames.concat()).await.unwrap();
        while heard(&mut reader).await.expect("it is served on").1 != stream {}
    }
}

#[tokio::test]
async fn a_client_that_opens_its_windows_for_every_4_kib_has_its_large_answer() {
    let mut config = config();
    config.limits.streams_per_connection = 1;
    let server = Server::start(&config);
    let (mut reader, mut writer) = server.connect().await.into_split();
    let get = [&[0x82, 0x86, 0x04, 4][..], b"/big\x01\x01x"].concat();
    writer.write_all(&[OPENING, &frame(HEADERS, END_HEADERS | 1, 1, &get)].concat()).await.unwrap();
    let mut taken = 0;
    // Twice as many frames as a connection may send at once.
    while taken < 8 << 20 {
        let (kind, _, payload) = heard(&mut reader).await.expect("it is served on");
        if kind != DATA {
            continue;
        }
        taken += payload.len();
        for part in payload.chunks(4_096) {
            let [a, b] = u16::try_from(part.len()).unwrap().to_be_bytes();
            for stream in [0, 1] {
                let more = frame(WINDOW_UPDATE, 0, stream, &[0, 0, a, b]);
                writer.write_all(&more).await.unwrap();
            }
        }
    }
}
