//! The load generator, on one core. It does as little as possible for each request, so that the server is the
//! bottleneck: it writes HTTP/1.1 and HTTP/2 by hand, and counts answers without decoding them.

use std::{
    cell::{Cell, RefCell},
    fs,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep},
};

use crate::Result;

mod http1;
mod http2;
mod requests;

pub(crate) use http1::{fetch, parse_head};
pub(crate) use http2::fetch_message;
pub(crate) use requests::{Companies, Unknown, get, list, path, unknown_keys, with_body};

/// The connections that write beside 64 that read, and the number of reads for each write.
const WRITING: usize = 4;
const READS_PER_WRITE: usize = 99;

/// The connections of a flood.
const FLOODING: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1, GET
    Get,
    /// HTTP/1.1, POST
    Post,
    /// HTTP/2, GET
    Http2,
    Grpc,
}

/// The requests of the load generator, and how many of them at once.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) protocol: Protocol,
    pub(crate) connections: usize,
    /// Calls at once on each connection; HTTP/2 and gRPC only.
    pub(crate) streams: usize,
    pub(crate) companies: Companies,
    /// The etag in `If-None-Match`; answers must then be 304.
    pub(crate) if_none_match: Option<String>,
    /// Requests per second, independent of the server's speed. Without it, a connection sends a request as
    /// soon as the one before is answered. HTTP/1.1 only.
    pub(crate) per_second: Option<f64>,
    pub(crate) beside: Beside,
}

/// The other load while the requests are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// One write for 99 reads, to the same company.
    Writes,
    /// Requests with keys that the server does not know.
    Flood(Unknown),
}

impl Ask {
    pub(crate) fn new(protocol: Protocol, connections: usize, streams: usize) -> Self {
        Self {
            protocol,
            connections,
            streams,
            companies: Companies::one("cmp_100"),
            if_none_match: None,
            per_second: None,
            beside: Beside::Nothing,
        }
    }
}

/// The measured server.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// The trusted certificate; without it the connections have no TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Send requests to one server: for profilers.
#[derive(Args)]
pub(crate) struct Load {
    #[arg(long, value_enum)]
    protocol: Protocol,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Calls at once on each connection; HTTP/2 and gRPC only
    #[arg(long, default_value_t = 1)]
    streams: usize,
    #[arg(long, default_value = "cmp_100")]
    company: String,
    /// Send `If-None-Match` with the current etag; HTTP only
    #[arg(long)]
    known: bool,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    #[arg(long)]
    requests: usize,
}

impl Load {
    pub(crate) async fn run(self) -> Result<()> {
        let key = fs::read_to_string(self.key_file)?.trim().to_owned();
        let target = Target { address: self.address, key, tls: None };
        let mut ask = Ask::new(self.protocol, self.connections, self.streams);
        ask.companies = Companies::one(&self.company);
        if self.known {
            let answer = fetch(&target, &list(&target.key, &self.company, "")).await?;
            ask.if_none_match = Some(answer.header("etag").ok_or("no etag")?.to_owned());
        }
        // Many connections at once with a key that is not in the server's memory yet would exceed the limit
        // of unknown keys.
        run_requests(&Ask { connections: 1, streams: 1, ..ask.clone() }, &target, 1).await?;
        let started = Instant::now();
        run_requests(&ask, &target, self.requests).await?;
        println!("{} requests in {:.2} s", self.requests, started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Loads a server until this many requests are answered, and gives the time of each.
pub(crate) async fn run_requests(
    ask: &Ask,
    target: &Target,
    requests: usize,
) -> Result<Vec<Duration>> {
    let slice = Slice::new(Phase::Measuring);
    let enough = async {
        while slice.answers.get() < requests {
            sleep(Duration::from_millis(1)).await;
        }
        slice.phase.set(Phase::Over);
        Ok(())
    };
    run(ask, target, slice.clone(), slice.sibling(), enough).await?;
    let mut latencies = slice.latencies.take();
    latencies.truncate(requests);
    Ok(latencies)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measuring,
    Over,
}

/// The state that all connections of a measurement share.
pub(crate) struct Slice {
    pub(crate) phase: Rc<Cell<Phase>>,
    /// The latencies of the requests that were answered while measuring.
    pub(crate) latencies: RefCell<Vec<Duration>>,
    /// All answers, including those of the warm-up.
    answers: Cell<usize>,
}

impl Slice {
    pub(crate) fn new(phase: Phase) -> Rc<Self> {
        Self::of_phase(Rc::new(Cell::new(phase)))
    }

    /// A slice of other requests at the same time.
    pub(crate) fn sibling(&self) -> Rc<Self> {
        Self::of_phase(self.phase.clone())
    }

    fn of_phase(phase: Rc<Cell<Phase>>) -> Rc<Self> {
        Rc::new(Self { phase, latencies: RefCell::default(), answers: Cell::default() })
    }

    fn is_over(&self) -> bool {
        self.phase.get() == Phase::Over
    }

    fn answered(&self, started: Instant) {
        self.answers.set(self.answers.get() + 1);
        if self.phase.get() == Phase::Measuring {
            self.latencies.borrow_mut().push(started.elapsed());
        }
    }
}

/// Loads a server until `director` has set the phase to over.
pub(crate) async fn run(
    ask: &Ask,
    target: &Target,
    slice: Rc<Slice>,
    beside: Rc<Slice>,
    director: impl Future<Output = Result<()>>,
) -> Result<()> {
    let tasks = LocalSet::new();
    let handles = tasks
        .run_until(async {
            let mut handles = match ask.protocol {
                Protocol::Get | Protocol::Post => start_http1(ask, target, &slice),
                Protocol::Http2 | Protocol::Grpc => start_http2(ask, target, &slice)?,
            };
            match ask.beside {
                Beside::Nothing => {}
                Beside::Writes => handles.extend(start_writes(ask, target, &slice, &beside)),
                Beside::Flood(unknown) => {
                    handles.extend(start_flood(unknown, ask, target, &beside))
                }
            }
            Ok::<_, crate::Error>(handles)
        })
        .await?;
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

type Handles = Vec<JoinHandle<Result<()>>>;

fn start_http1(ask: &Ask, target: &Target, slice: &Rc<Slice>) -> Handles {
    let client = http1::Client {
        requests: requests::http1(ask, &target.key).into(),
        expected: if ask.if_none_match.is_some() { &[304] } else { &[200] },
        pace: http1::Pace::Closed,
        slice: slice.clone(),
    };
    let start = Instant::now();
    let connection = |number| {
        let mut client = client.clone();
        if let Some(per_second) = ask.per_second {
            client.pace = http1::Pace::open(start, per_second, number, ask.connections);
        }
        client.spawn(target, ask.companies.turns(number, ask.connections))
    };
    (0..ask.connections).map(connection).collect()
}

fn start_writes(ask: &Ask, target: &Target, reads: &Rc<Slice>, slice: &Rc<Slice>) -> Handles {
    let client = http1::Client {
        requests: requests::writes(ask, &target.key).into(),
        expected: &[200],
        pace: http1::Pace::Behind { reads: reads.clone(), reads_per_write: READS_PER_WRITE },
        slice: slice.clone(),
    };
    let turns = |number| Companies::turns_of(client.requests.len(), number, WRITING);
    (0..WRITING).map(|number| client.clone().spawn(target, turns(number))).collect()
}

fn start_flood(unknown: Unknown, ask: &Ask, target: &Target, slice: &Rc<Slice>) -> Handles {
    let client = http1::Client {
        requests: requests::flood(unknown, ask).into(),
        expected: &[401, 429],
        pace: http1::Pace::Closed,
        slice: slice.clone(),
    };
    let turns = |number| Companies::turns_of(client.requests.len(), number, FLOODING);
    (0..FLOODING).map(|number| client.clone().spawn(target, turns(number))).collect()
}

fn start_http2(ask: &Ask, target: &Target, slice: &Rc<Slice>) -> Result<Handles> {
    let requests = Rc::new(http2::Requests::new(ask, target)?);
    let connection = |number| {
        let (target, slice, requests) = (target.clone(), slice.clone(), requests.clone());
        let (streams, turns) = (ask.streams, ask.companies.turns(number, ask.connections));
        tokio::task::spawn_local(async move {
            let stream = connect(&target, b"h2").await?;
            http2::connection(stream, &requests, streams, turns, &slice).await
        })
    };
    Ok((0..ask.connections).map(connection).collect())
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn connect(target: &Target, protocol: &[u8]) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(target.address).await?;
    stream.set_nodelay(true)?;
    let Some(config) = &target.tls else { return Ok(Box::new(stream)) };
    let mut config = (**config).clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(ServerName::try_from("localhost")?, stream).await?))
}
