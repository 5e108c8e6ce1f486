//! Clients of HTTP/2 that reset a request before its body has ended. Nothing of such a request is carried out, whatever
//! the code of the reset: the library takes NO_ERROR for the end of the body.

use std::io::Write;

use customer_settings_server::catalog::key::Key;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{
    PATIENCE, Server, everything, frame as framed,
    http2::{DATA, END_HEADERS, END_STREAM, HEADERS, OPENING, PING, RST_STREAM, frame},
    method,
};

// RFC 9113 (6.1 and 6.2).

type Fields<'a> = [(&'a str, &'a str)];
/// The path, the fields of the head, and the whole body.
type Way = (String, Vec<(&'static str, &'static str)>, Vec<u8>);

/// Literal fields of RFC 7541 (6.2.2), whose texts are short.
fn block(fields: &Fields<'_>) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "{text}");
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A connection, and the secret with which it asks.
struct Client<'a> {
    stream: TcpStream,
    secret: &'a str,
    next: u32,
}

impl<'a> Client<'a> {
    async fn of(server: &Server, secret: &'a str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(OPENING).await.unwrap();
        Self { stream, secret, next: 1 }
    }

    /// The head of a new request, and its stream.
    fn head(&mut self, path: &str, fields: &Fields<'_>) -> (u32, Vec<u8>) {
        let bearer = format!("Bearer {}", self.secret);
        let first = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("authorization", &*bearer),
        ];
        let stream = self.next;
        self.next += 2;
        (stream, frame(HEADERS, END_HEADERS, stream, &block(&[&first, fields].concat())))
    }

    async fn say(&mut self, frames: &[u8]) {
        self.stream.write_all(frames).await.unwrap();
    }

    /// Waits for the frame of that kind and stream.
    async fn hear(&mut self, kind: u8, stream: u32) -> Vec<u8> {
        loop {
            let mut head = [0; 9];
            timeout(PATIENCE, self.stream.read_exact(&mut head)).await.unwrap().unwrap();
            let [_, high, low, of_kind, _, id @ ..] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            self.stream.read_exact(&mut payload).await.unwrap();
            if (of_kind, u32::from_be_bytes(id)) == (kind, stream) {
                return payload;
            }
        }
    }

    /// Waits until the server has read everything so far.
    async fn arrives(&mut self) {
        self.say(&frame(PING, 0, 0, &[7; 8])).await;
        self.hear(PING, 0).await;
    }
}

async fn is_revoked(server: &Server, secret: &str, key: &Key) -> bool {
    let id = json!({"id": key.id.to_string()});
    server.answer(secret, "GetKey", id).await.get("revokedTime").is_some()
}

/// The ways to revoke a key.
fn ways(key: &Key) -> Vec<Way> {
    let revoke = method("RevokeKey");
    let message = framed(&revoke.encode(&json!({"id": key.id.to_string()})));
    let rest = format!("/admin/v1/keys/{}:revoke", key.id);
    let grpc = vec![("content-type", "application/grpc"), ("te", "trailers")];
    vec![
        (rest.clone(), vec![], b" {} ".to_vec()),
        (rest, vec![("content-encoding", "gzip")], gzip(b"{}")),
        (revoke.path.clone(), grpc, message.to_vec()),
        (revoke.path, vec![("content-type", "application/grpc-web")], message.to_vec()),
    ]
}

#[tokio::test]
async fn a_request_that_is_reset_before_its_end_is_not_carried_out() {
    let server = Server::demo().await;
    let (_, secret) = server.issue(everything()).await;
    let (victim, _) = server.issue(everything()).await;
    for (path, fields, body) in ways(&victim) {
        let mut client = Client::of(&server, &secret).await;
        let length = body.len().to_string();
        let announced = [&fields[..], &[("content-length", &*length)]].concat();
        // NO_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM, CANCEL and one that nobody knows.
        for code in [0, 2, 3, 7, 8, 99] {
            for cut in [0, 1, body.len() / 2, body.len() - 1, body.len()] {
                for (fields, waits) in
                    [(&fields, true), (&fields, false), (&announced, true), (&announced, false)]
                {
                    let (stream, mut frames) = client.head(&path, fields);
                    if cut > 0 {
                        frames.extend(frame(DATA, 0, stream, &body[..cut]));
                    }
                    client.say(&frames).await;
                    if waits {
                        client.arrives().await;
                    }
                    client.say(&frame(RST_STREAM, 0, stream, &[0, 0, 0, code])).await;
                    client.arrives().await;
                }
            }
            // All of those requests have ended before this one is answered.
            server.settled().await;
            let is_revoked = is_revoked(&server, &secret, &victim).await;
            assert!(!is_revoked, "{path} {fields:?} {code}");
        }
    }
}

#[tokio::test]
async fn a_request_that_ends_with_or_without_trailers_is_carried_out() {
    let server = Server::demo().await;
    let (_, secret) = server.issue(everything()).await;
    for number in 0..4 {
        for has_trailers in [false, true] {
            let (victim, _) = server.issue(everything()).await;
            let (path, fields, body) = ways(&victim).swap_remove(number);
            let mut client = Client::of(&server, &secret).await;
            let (stream, head) = client.head(&path, &fields);
            let end = match has_trailers {
                false => frame(DATA, END_STREAM, stream, b""),
                true => frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&[("x-a", "b")])),
            };
            client.say(&[head, frame(DATA, 0, stream, &body)].concat()).await;
            client.arrives().await;
            client.say(&end).await;
            client.hear(HEADERS, stream).await;
            server.settled().await;
            assert!(is_revoked(&server, &secret, &victim).await, "{path} {has_trailers}");
        }
    }
}
