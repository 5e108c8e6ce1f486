//! HTTP/1.1 written by hand: a request is bytes, an answer is a status and a length.

use std::{rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{JoinHandle, yield_now},
    time::{Instant, sleep, sleep_until},
};

use super::{Slice, Stream, Target, connect, requests::Turns};
use crate::Result;

/// The precision of the runtime's timers.
const TIMER: Duration = Duration::from_millis(2);

/// The requests of a connection.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) requests: Rc<[Vec<u8>]>,
    /// Any other status ends the benchmark.
    pub(super) expected: &'static [u16],
    pub(super) pace: Pace,
    pub(super) slice: Rc<Slice>,
}

/// The moment when a connection sends its next request.
#[derive(Clone)]
pub(super) enum Pace {
    /// As soon as the request before is answered.
    Closed,
    /// At given moments. A request that waits for the one before it counts as late from its moment on.
    Open { next: Instant, every: Duration },
    /// After so many reads for each of these requests.
    Behind { reads: Rc<Slice>, reads_per_write: usize },
}

impl Pace {
    /// The moments of one of several connections.
    pub(super) fn open(start: Instant, per_second: f64, number: usize, connections: usize) -> Self {
        let next = start + Duration::from_secs_f64(number as f64 / per_second);
        Self::Open { next, every: Duration::from_secs_f64(connections as f64 / per_second) }
    }

    /// Waits, and gives the time from which the request counts as sent.
    async fn turn(&mut self, slice: &Slice) -> Instant {
        match self {
            Self::Closed => {}
            Self::Open { next, every } => {
                let moment = *next;
                *next += *every;
                if let Some(early) = moment.checked_sub(TIMER)
                    && early > Instant::now()
                {
                    sleep_until(early).await;
                }
                while Instant::now() < moment {
                    yield_now().await;
                }
                return moment;
            }
            Self::Behind { reads, reads_per_write } => {
                while slice.answers.get() * *reads_per_write >= reads.answers.get()
                    && !slice.is_over()
                {
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        Instant::now()
    }
}

impl Client {
    pub(super) fn spawn(mut self, target: &Target, mut turns: Turns) -> JoinHandle<Result<()>> {
        let target = target.clone();
        tokio::task::spawn_local(async move {
            let mut stream = connect(&target, b"http/1.1").await?;
            let mut buffer = vec![0; 1 << 16];
            while !self.slice.is_over() {
                let started = self.pace.turn(&self.slice).await;
                stream.write_all(&self.requests[turns.next()]).await?;
                stream.flush().await?;
                let head = read_answer(&mut *stream, &mut buffer).await?;
                if !self.expected.contains(&head.status) {
                    return Err(format!("a request was answered {}", head.status).into());
                }
                self.slice.answered(started);
            }
            Ok(())
        })
    }
}

/// The parts of an answer's head that count.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// The length of the head, with the empty line.
    pub(crate) length: usize,
    pub(crate) body_length: usize,
}

/// Reads one answer to its last byte.
async fn read_answer(stream: &mut dyn Stream, buffer: &mut Vec<u8>) -> Result<Head> {
    let mut filled = 0;
    loop {
        if let Some(head) = parse_head(&buffer[..filled])? {
            let length = head.length + head.body_length;
            if buffer.len() < length {
                buffer.resize(length, 0);
            }
            while filled < length {
                filled += read_some(stream, &mut buffer[filled..]).await?;
            }
            return Ok(head);
        }
        if filled == buffer.len() {
            return Err("an answer with an endless head".into());
        }
        filled += read_some(stream, &mut buffer[filled..]).await?;
    }
}

async fn read_some(stream: &mut dyn Stream, buffer: &mut [u8]) -> Result<usize> {
    match stream.read(buffer).await? {
        0 => Err("the server closed a connection".into()),
        read => Ok(read),
    }
}

/// Parses an answer's head, if all of the head is there.
pub(crate) fn parse_head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get(9..12).ok_or("an answer without a status")?.parse()?;
    let body_length = match (status, header(head, "content-length")) {
        (304, _) => 0,
        (_, Some(length)) => length.parse()?,
        (_, None) => return Err("an answer without a length".into()),
    };
    Ok(Some(Head { status, length: end + 4, body_length }))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| {
        let (found, rest) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then(|| rest.strip_prefix(": "))?
    };
    head.split("\r\n").find_map(value)
}

/// An answer with its content.
pub(crate) struct Answer {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// Sends one request on a connection of its own; the answer must be 200.
pub(crate) async fn fetch(target: &Target, request: &[u8]) -> Result<Answer> {
    let mut stream = connect(target, b"http/1.1").await?;
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut buffer = vec![0; 1 << 16];
    let Head { status, length, body_length } = read_answer(&mut *stream, &mut buffer).await?;
    if status != 200 {
        let body = String::from_utf8_lossy(&buffer[length..length + body_length]);
        return Err(format!("a request was answered {status}: {body}").into());
    }
    let head = String::from_utf8(buffer[..length].to_vec())?;
    Ok(Answer { head, body: buffer[length..length + body_length].to_vec() })
}
