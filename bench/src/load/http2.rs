//! HTTP/2 written by hand, for GET and for gRPC. Frames are made once, and sent again with another stream's
//! number. Of the answers only the frames' heads, lengths and the status are read. A library would need as
//! much time for an answer as the servers do.

use bytes::Bytes;
use http::{Method, Request, Version, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{
    Ask, Protocol, Slice, Stream, Target,
    requests::{Turns, authorization, path},
};
use crate::Result;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_LENGTH: usize = 9;

// Frames and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Windows that never make a server wait for the generator. From time to time the generator opens the
/// connection's window again by the bytes that it read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const REFILL: u32 = 4 << 20;

/// The first byte of the headers for `:status: 200` and `:status: 304` (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;
const STATUS_304: u8 = 0x8b;

const GRPC_METHOD: &str = "/moego.business.setting.v1.SettingService/ListCustomerTags";

/// The requests for each company: the first one of a connection, and the later ones.
pub(super) struct Requests {
    first: Vec<Vec<u8>>,
    next: Vec<Vec<u8>>,
    /// The messages of gRPC; empty for GET.
    bodies: Vec<Vec<u8>>,
    protocol: Protocol,
    status: u8,
}

impl Requests {
    pub(super) fn new(ask: &Ask, target: &Target) -> Result<Self> {
        let is_grpc = ask.protocol == Protocol::Grpc;
        let mut made = Self {
            first: vec![],
            next: vec![],
            bodies: vec![],
            protocol: ask.protocol,
            status: if ask.if_none_match.is_some() { STATUS_304 } else { STATUS_200 },
        };
        for company in ask.companies.ids.iter() {
            let path = if is_grpc { GRPC_METHOD.to_owned() } else { path(company) };
            // Clients put constant headers into the server's table, and so does this one.
            let keeps_path = is_grpc || ask.companies.ids.len() == 1;
            let mut block = Block::new(if is_grpc { 0x83 } else { 0x82 }, target.tls.is_some());
            block.field(Name::Known(4), &path, keeps_path)?;
            block.field(Name::Known(1), "localhost", true)?;
            block.field(Name::Known(23), &authorization(&target.key), true)?;
            if is_grpc {
                block.field(Name::Known(31), "application/grpc", true)?;
                block.field(Name::New("te"), "trailers", true)?;
                made.bodies.push(message(company)?);
            }
            if let Some(etag) = &ask.if_none_match {
                block.field(Name::Known(41), etag, true)?;
            }
            let (first, next) = block.finish();
            made.first.push(first);
            made.next.push(next);
        }
        Ok(made)
    }

    /// Appends the frames of a request.
    fn write(&self, out: &mut Vec<u8>, company: usize, stream: u32, is_first: bool) {
        let block = if is_first { &self.first[company] } else { &self.next[company] };
        let body = self.bodies.get(company);
        let flags = if body.is_some() { END_HEADERS } else { END_HEADERS | END_STREAM };
        frame(out, HEADERS, flags, stream, block);
        if let Some(body) = body {
            frame(out, DATA, END_STREAM, stream, body);
        }
    }
}

/// A message with one text in field 1. The flag for no compression and the length come before it.
fn message(company: &str) -> Result<Vec<u8>> {
    let length = u8::try_from(company.len())?;
    let mut message = vec![0, 0, 0, 0, 2 + length, 0x0a, length];
    message.extend(company.bytes());
    Ok(message)
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A block of headers in two forms: as it is sent first, and as it is sent later, when the server's table
/// holds some of the headers.
struct Block {
    first: Vec<u8>,
    /// The bytes of each field, or `None` if the table has the field.
    later: Vec<Option<Vec<u8>>>,
    pseudo: [u8; 2],
}

/// A field's name, by its number in HTTP/2's own table or as text.
enum Name {
    Known(u8),
    New(&'static str),
}

impl Block {
    fn new(method: u8, is_tls: bool) -> Self {
        let pseudo = [method, if is_tls { 0x87 } else { 0x86 }];
        Self { first: pseudo.to_vec(), later: vec![], pseudo }
    }

    fn field(&mut self, name: Name, value: &str, keep: bool) -> Result<()> {
        let mut bytes = vec![];
        let form = if keep { 0x40 } else { 0 };
        match name {
            // A number that does not fit into four bits continues in the next byte.
            Name::Known(number) if !keep && number >= 15 => bytes.extend([15, number - 15]),
            Name::Known(number) => bytes.push(form | number),
            Name::New(text) => {
                bytes.push(form);
                bytes.push(u8::try_from(text.len())?);
                bytes.extend(text.bytes());
            }
        }
        // A length of seven bits, and no Huffman code.
        let length = u8::try_from(value.len()).ok().filter(|length| *length < 127);
        bytes.push(length.ok_or("a header's value is too long for this client")?);
        bytes.extend(value.bytes());
        self.first.extend(&bytes);
        self.later.push((!keep).then_some(bytes));
        Ok(())
    }

    fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let kept = self.later.iter().filter(|bytes| bytes.is_none()).count();
        let mut next = self.pseudo.to_vec();
        // The newest field of the table has the number 62.
        let mut number = 62 + u8::try_from(kept).unwrap_or_default();
        for bytes in self.later {
            match bytes {
                Some(bytes) => next.extend(bytes),
                None => {
                    number -= 1;
                    next.push(0x80 | number);
                }
            }
        }
        (self.first, next)
    }
}

/// A request that waits for its answer.
struct Waiting {
    stream: u32,
    started: Instant,
    /// The bytes of the answer so far.
    bytes: usize,
    is_good: bool,
}

/// Runs one connection with this many requests at once.
pub(super) async fn connection(
    mut stream: Box<dyn Stream>,
    requests: &Requests,
    streams: usize,
    mut turns: Turns,
    slice: &Slice,
) -> Result<()> {
    let mut out = PREFACE.to_vec();
    let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
    settings.extend(STREAM_WINDOW.to_be_bytes());
    frame(&mut out, SETTINGS, 0, 0, &settings);
    frame(&mut out, WINDOW_UPDATE, 0, 0, &(CONNECTION_WINDOW - 65_535).to_be_bytes());
    let mut client = Client { requests, slice, waiting: vec![], next_stream: 1, read: 0, out };
    for _ in 0..streams {
        client.ask(turns.next());
    }
    let mut buffer = vec![0; 1 << 18];
    let mut filled = 0;
    while !client.waiting.is_empty() {
        stream.write_all(&client.out).await?;
        stream.flush().await?;
        client.out.clear();
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err("the server closed a connection".into());
        }
        filled += read;
        let mut at = 0;
        while let Some(length) = client.take(&buffer[at..filled], &mut turns)? {
            at += length;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
    Ok(())
}

struct Client<'a> {
    requests: &'a Requests,
    slice: &'a Slice,
    waiting: Vec<Waiting>,
    next_stream: u32,
    /// Bytes that were read since the connection's window was opened again.
    read: u32,
    /// Bytes to send.
    out: Vec<u8>,
}

impl Client<'_> {
    fn ask(&mut self, company: usize) {
        let stream = self.next_stream;
        self.requests.write(&mut self.out, company, stream, stream == 1);
        let started = Instant::now();
        self.waiting.push(Waiting { stream, started, bytes: 0, is_good: false });
        self.next_stream += 2;
    }

    /// Reads the first frame, if all of it is there, and gives its length.
    fn take(&mut self, bytes: &[u8], turns: &mut Turns) -> Result<Option<usize>> {
        let Some(&[a, b, c, kind, flags, d, e, f, g]) = bytes.first_chunk::<HEAD_LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, a, b, c]);
        let end = HEAD_LENGTH + length as usize;
        let Some(payload) = bytes.get(HEAD_LENGTH..end) else { return Ok(None) };
        let stream = u32::from_be_bytes([d & 0x7f, e, f, g]);
        match kind {
            DATA => {
                self.read += length;
                if self.read >= REFILL {
                    frame(&mut self.out, WINDOW_UPDATE, 0, 0, &self.read.to_be_bytes());
                    self.read = 0;
                }
                self.find(stream)?.bytes += payload.len();
            }
            HEADERS if flags & END_HEADERS == 0 => return Err("headers in more frames".into()),
            HEADERS => {
                let status = self.requests.status;
                let waiting = self.find(stream)?;
                // Trailers come after the bytes.
                waiting.is_good |= payload.first() == Some(&status);
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            RST_STREAM | GOAWAY => return Err("the server broke off".into()),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.finish(stream, kind)?;
            if !self.slice.is_over() {
                self.ask(turns.next());
            }
        }
        Ok(Some(end))
    }

    fn find(&mut self, stream: u32) -> Result<&mut Waiting> {
        let found = self.waiting.iter_mut().find(|waiting| waiting.stream == stream);
        Ok(found.ok_or("an answer that nobody waits for")?)
    }

    /// The answer is complete. A gRPC call that failed has no message before its trailers.
    fn finish(&mut self, stream: u32, last: u8) -> Result<()> {
        let at = self.waiting.iter().position(|waiting| waiting.stream == stream);
        let answer = self.waiting.swap_remove(at.ok_or("an answer that nobody waits for")?);
        let is_good = match (self.requests.protocol, self.requests.status) {
            (Protocol::Grpc, _) => last == HEADERS && answer.bytes > 0,
            (_, STATUS_304) => answer.bytes == 0,
            _ => answer.bytes > 0,
        };
        if !is_good || !answer.is_good {
            return Err(format!("a bad answer of {} bytes", answer.bytes).into());
        }
        self.slice.answered(answer.started);
        Ok(())
    }
}

/// Makes one call over gRPC, with a library's client, and gives the message.
pub(crate) async fn fetch_message(target: &Target, company: &str) -> Result<Vec<u8>> {
    let stream = TokioIo::new(TcpStream::connect(target.address).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{}{GRPC_METHOD}", target.address))
        .header(header::AUTHORIZATION, authorization(&target.key))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::<Bytes>::new(message(company)?.into()))?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    if status.is_none_or(|status| status != "0") {
        return Err("a call was not answered OK".into());
    }
    Ok(body.to_bytes().get(5..).ok_or("a call was answered without a message")?.to_vec())
}
