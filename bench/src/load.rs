//! The load generator: a closed loop on one core. It does as little as it can for a request, so
//! that the server is what is measured: HTTP/1.1 is written by hand, and gRPC messages are counted
//! and not decoded.

use std::{
    cell::{Cell, RefCell},
    fs,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
    time::{Instant, sleep},
};

use crate::Result;

pub(crate) const COMPANY: &str = "cmp_bench";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Get,
    Post,
    Grpc,
}

/// What the load generator asks, and how much of it at once.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Workload {
    #[arg(long, value_enum)]
    pub(crate) protocol: Protocol,
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Calls at once on each connection; gRPC only
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
}

/// Send requests to one server: for profilers.
#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    workload: Workload,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    #[arg(long)]
    requests: usize,
}

impl Load {
    pub(crate) async fn run(self) -> Result<()> {
        let key = fs::read_to_string(self.key_file)?;
        // Connections that all came at once with a key that is not in the server's memory yet
        // would meet the limit of unknown keys.
        fetch_json(self.address, key.trim()).await?;
        let slice = Slice::new(Phase::Measuring);
        let started = Instant::now();
        let enough = async {
            while slice.latencies.borrow().len() < self.requests {
                sleep(Duration::from_millis(1)).await;
            }
            slice.phase.set(Phase::Over);
            Ok(())
        };
        run(self.workload, self.address, key.trim(), slice.clone(), enough).await?;
        let (count, seconds) = (slice.latencies.borrow().len(), started.elapsed().as_secs_f64());
        println!("{count} requests in {seconds:.2} s");
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measuring,
    Over,
}

/// What all connections of a measurement share.
pub(crate) struct Slice {
    pub(crate) phase: Cell<Phase>,
    /// Of the requests that were answered while measuring.
    pub(crate) latencies: RefCell<Vec<Duration>>,
}

impl Slice {
    pub(crate) fn new(phase: Phase) -> Rc<Self> {
        Rc::new(Self { phase: Cell::new(phase), latencies: RefCell::default() })
    }

    fn is_over(&self) -> bool {
        self.phase.get() == Phase::Over
    }

    fn answered(&self, started: Instant) {
        if self.phase.get() == Phase::Measuring {
            self.latencies.borrow_mut().push(started.elapsed());
        }
    }
}

/// Loads a server until `director` has set the phase to over.
pub(crate) async fn run(
    workload: Workload,
    address: SocketAddr,
    key: &str,
    slice: Rc<Slice>,
    director: impl Future<Output = Result<()>>,
) -> Result<()> {
    let tasks = LocalSet::new();
    let mut handles = vec![];
    for _ in 0..workload.connections {
        let (slice, key) = (slice.clone(), key.to_owned());
        handles.push(match workload.protocol {
            Protocol::Get | Protocol::Post => {
                let request = http1_request(workload.protocol, &key);
                tasks.spawn_local(http1_connection(address, request, slice))
            }
            Protocol::Grpc => {
                tasks.spawn_local(grpc_connection(address, key, workload.streams, slice))
            }
        });
    }
    tasks
        .run_until(async {
            director.await?;
            for handle in handles {
                handle.await??;
            }
            Ok(())
        })
        .await
}

/// As most programs send it.
fn authorization(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:")))
}

fn http1_request(protocol: Protocol, key: &str) -> String {
    let path = format!("/v1/setting/companies/{COMPANY}/customer/tags:list");
    let head =
        format!("{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n", authorization(key));
    let body = format!("{{\"companyId\": \"{COMPANY}\"}}");
    match protocol {
        Protocol::Post => format!(
            "POST {head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        _ => format!("GET {head}\r\n"),
    }
}

async fn http1_connection(address: SocketAddr, request: String, slice: Rc<Slice>) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 16];
    while !slice.is_over() {
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        read_answer(&mut stream, &mut buffer).await?;
        slice.answered(started);
    }
    Ok(())
}

/// Reads one answer to its last byte.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    let (mut filled, mut length) = (0, None);
    while length.is_none_or(|length| filled < length) {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err("the server closed a connection".into());
        }
        filled += read;
        if length.is_none() {
            length = answer_length(&buffer[..filled])?;
        }
    }
    Ok(())
}

/// Head and body, once the head is there. Anything but 200 ends the benchmark.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(format!("a request was answered {status}").into());
    }
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.ok_or("an answer without a length")?.parse()?;
    Ok(Some(end + 4 + length))
}

async fn grpc_connection(
    address: SocketAddr,
    key: String,
    streams: usize,
    slice: Rc<Slice>,
) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Windows that never make a server wait for us.
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::task::spawn_local(connection);
    let stream = |mut sender: http2::SendRequest<Full<Bytes>>| {
        let (key, slice) = (key.clone(), slice.clone());
        async move {
            while !slice.is_over() {
                let started = Instant::now();
                sender.ready().await?;
                read_message(sender.send_request(grpc_request(address, &key)?).await?).await?;
                slice.answered(started);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }
    };
    let tasks: Vec<_> =
        (0..streams).map(|_| tokio::task::spawn_local(stream(sender.clone()))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn grpc_request(address: SocketAddr, key: &str) -> Result<Request<Full<Bytes>>> {
    // One field, number 1, of a text; before it the flag for no compression and the length.
    let mut message = vec![0, 0, 0, 0, 2 + u8::try_from(COMPANY.len())?, 0x0a];
    message.push(u8::try_from(COMPANY.len())?);
    message.extend(COMPANY.bytes());
    let path = "moego.business.setting.v1.SettingService/ListCustomerTags";
    Ok(Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("http://{address}/{path}"))
        .header(header::AUTHORIZATION, authorization(key))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(message.into()))?)
}

/// Reads one answer to its last byte. Anything but a message and OK ends the benchmark.
async fn read_message(response: http::Response<hyper::body::Incoming>) -> Result<()> {
    let (head, mut body) = response.into_parts();
    let (mut length, mut status) = (0, None);
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        length += frame.data_ref().map_or(0, Bytes::len);
        status = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status").cloned());
    }
    if head.status == StatusCode::OK && length > 0 && status.is_some_and(|status| status == "0") {
        return Ok(());
    }
    Err(format!("a call was answered {} {:?}, {length} bytes", head.status, head.headers).into())
}

/// Sends one request over HTTP and gives the answer's body.
pub(crate) async fn fetch_json(address: SocketAddr, key: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(http1_request(Protocol::Get, key).as_bytes()).await?;
    let mut buffer = vec![0; 1 << 16];
    read_answer(&mut stream, &mut buffer).await?;
    let length = answer_length(&buffer)?.unwrap_or_default();
    let start = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_default() + 4;
    Ok(buffer[start..length].to_vec())
}

/// Calls once over gRPC and gives the message.
pub(crate) async fn fetch_message(address: SocketAddr, key: &str) -> Result<Vec<u8>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let body = sender.send_request(grpc_request(address, key)?).await?.into_body();
    let bytes = body.collect().await?.to_bytes();
    Ok(bytes.get(5..).ok_or("a call was answered without a message")?.to_vec())
}
