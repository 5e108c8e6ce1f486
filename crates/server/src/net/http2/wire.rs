//! The stream under a connection. hyper reads and writes it. `connection`, which polls hyper, holds it too: to learn
//! how many bytes passed, and to send at once all that HTTP/2 wrote in a poll.

use std::{
    error::Error,
    io::{self, IoSlice},
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use arrayvec::ArrayVec;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;

/// The first bytes of every HTTP/2 client.
const HTTP2_OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// After this many bytes, the stream sends before it takes more.
const MOST_HELD_BYTES: usize = 64 * 1_024;

/// Up to this many bytes, several pieces are copied into one. The copy costs less than the kernel's
/// work for several pieces.
const MOST_JOINED_BYTES: usize = 4 * 1_024;

/// A stream with two holders, in one task.
pub(crate) struct Wire<S>(Arc<Mutex<Line<S>>>);

/// The state of a stream after a poll of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Bytes that the client has sent, and that it has received.
    pub(crate) read: u64,
    pub(crate) written: u64,
    /// Whether the client receives no more for now.
    pub(crate) is_stuck: bool,
    /// Whether the client speaks HTTP/2.
    pub(crate) is_http2: bool,
    /// Whether the client sends more frames than its requests explain.
    pub(crate) is_flooding: bool,
}

impl Passed {
    fn note_written(&mut self, polled: &Poll<io::Result<usize>>) {
        self.is_stuck = polled.is_pending();
        if let Poll::Ready(Ok(written)) = polled {
            self.written += *written as u64;
        }
    }
}

struct Line<S> {
    stream: S,
    passed: Passed,
    frames: Frames,
    /// Whether reading stops until the end of the poll, which decides whether the client may go on.
    is_held_back: bool,
    /// How many bytes of HTTP/2's opening the client has sent, from the first on; `None` if it sent something else.
    opening: Option<usize>,
    /// The bytes that HTTP/2 wrote in this poll. HTTP/2 would make a system call for every frame. HTTP/1.1 makes
    /// one for an answer by itself.
    held: BytesMut,
    /// Whether bytes were held since the stream was last flushed.
    is_unsent: bool,
}

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Wire<S> {
    /// For a client that may have this many requests open over HTTP/2.
    pub(crate) fn new(stream: S, open_requests: u32) -> Self {
        let passed =
            Passed { read: 0, written: 0, is_stuck: false, is_http2: false, is_flooding: false };
        Self(Arc::new(Mutex::new(Line {
            stream,
            passed,
            frames: Frames::new(open_requests),
            is_held_back: false,
            opening: Some(0),
            held: BytesMut::new(),
            is_unsent: false,
        })))
    }

    fn line(&self) -> MutexGuard<'_, Line<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Sends the held bytes, as far as the client receives them, and returns the state of the stream after so many
    /// answers. To be called at the end of each poll of the connection.
    pub(crate) fn end_poll(&self, answers: u64, context: &mut Context<'_>) -> io::Result<Passed> {
        let mut line = self.line();
        if let Poll::Ready(result) = line.send(context) {
            result?;
        }
        let written = line.passed.written;
        line.frames.note_answered(answers, written);
        line.passed.is_flooding = line.frames.are_too_many();
        if std::mem::take(&mut line.is_held_back) {
            context.waker().wake_by_ref();
        }
        Ok(line.passed)
    }

    /// Adds GOAWAY for a client that sends too many frames.
    pub(in crate::net) fn hold_farewell(&self) {
        let mut line = self.line();
        let farewell = line.frames.farewell();
        line.held.extend_from_slice(&farewell);
        line.is_unsent = true;
    }

    /// Counts no more frames, so that the server can read up to the end of the client's stream.
    pub(super) fn stop_counting(&self) {
        self.line().passed.is_http2 = false;
    }
}

/// How a connection fails.
pub(in crate::net) type BoxError = Box<dyn Error + Send + Sync>;

/// Polls the connection, and then sends what it wrote. Returns the state of the wire, or how the connection ended.
pub(in crate::net) fn poll_connection<S: AsyncWrite + Unpin>(
    connection: Pin<&mut impl Future<Output = Result<(), BoxError>>>,
    wire: &Wire<S>,
    answers: u64,
    context: &mut Context<'_>,
) -> ControlFlow<Result<(), BoxError>, Passed> {
    if let Poll::Ready(result) = connection.poll(context) {
        return Break(result);
    }
    match wire.end_poll(answers, context) {
        Ok(passed) => Continue(passed),
        Err(error) => Break(Err(error.into())),
    }
}

impl<S> Line<S> {
    fn note_read(&mut self, bytes: &[u8]) {
        self.passed.read += bytes.len() as u64;
        if self.passed.is_http2 {
            self.frames.note_read(bytes);
            return;
        }
        let Some(seen) = self.opening else { return };
        let rest = &HTTP2_OPENING[seen..];
        let new = rest.len().min(bytes.len());
        self.opening = (bytes[..new] == rest[..new]).then_some(seen + new);
        if self.opening == Some(HTTP2_OPENING.len()) {
            self.passed.is_http2 = true;
            self.opening = None;
            self.frames.note_read(&bytes[new..]);
        }
    }

    /// Holds as many of the bytes as there is room for. Clients may ask for frames of 16 MB.
    fn hold(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(MOST_HELD_BYTES - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        taken
    }
}

impl<S: AsyncWrite + Unpin> Line<S> {
    /// Sends all held bytes.
    fn send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_unsent {
            return Poll::Ready(Ok(()));
        }
        while !self.held.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(context, &self.held);
            self.passed.note_written(&polled);
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.advance(written),
            }
        }
        // A new buffer, since a connection without requests should take no memory.
        self.held = BytesMut::new();
        ready!(self.flush(context))?;
        self.is_unsent = false;
        Poll::Ready(Ok(()))
    }

    fn write_through(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let mut joined = ArrayVec::<u8, MOST_JOINED_BYTES>::new();
        match slices.iter().try_for_each(|slice| joined.try_extend_from_slice(slice)) {
            Ok(()) => stream.poll_write(context, &joined),
            Err(_) => stream.poll_write_vectored(context, slices),
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.passed.is_stuck = polled.is_pending();
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let mut line = self.line();
        if line.passed.is_http2 && line.frames.are_too_many() {
            line.is_held_back = true;
            return Poll::Pending;
        }
        let polled = Pin::new(&mut line.stream).poll_read(context, buffer);
        line.note_read(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.line();
        if !line.passed.is_http2 {
            let polled = line.write_through(context, slices);
            line.passed.note_written(&polled);
            return polled;
        }
        if line.held.len() >= MOST_HELD_BYTES {
            ready!(line.send(context))?;
        }
        line.is_unsent = true;
        Poll::Ready(Ok(slices.iter().map(|slice| line.hold(slice)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.line().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.line();
        match line.passed.is_http2 {
            // The end of the poll flushes.
            true => Poll::Ready(Ok(())),
            false => line.flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.line();
        ready!(line.send(context))?;
        Pin::new(&mut line.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A wire whose client has sent `said`, and the client.
    async fn wire(said: &[u8], capacity: usize) -> (Wire<DuplexStream>, DuplexStream) {
        let (mut client, stream) = duplex(capacity);
        client.write_all(said).await.unwrap();
        let mut wire = Wire::new(stream, 100);
        wire.read_exact(&mut vec![0; said.len()]).await.unwrap();
        (wire, client)
    }

    fn end_poll(wire: &Wire<DuplexStream>) -> Passed {
        wire.end_poll(0, &mut Context::from_waker(Waker::noop())).unwrap()
    }

    async fn heard(client: &mut DuplexStream) -> usize {
        let mut buffer = [0; 1_024];
        tokio::select! {
            biased;
            read = client.read(&mut buffer) => read.unwrap(),
            () = std::future::ready(()) => 0,
        }
    }

    #[tokio::test]
    async fn what_http_2_writes_is_sent_at_the_end_of_the_poll() {
        let (mut wire, mut client) = wire(HTTP2_OPENING, 1_024).await;
        for _ in 0..3 {
            wire.write_all(b"frame").await.unwrap();
            wire.flush().await.unwrap();
        }
        assert_eq!(heard(&mut client).await, 0);
        let passed = end_poll(&wire);
        assert!(passed.is_http2 && !passed.is_stuck && passed.written == 15);
        assert_eq!(heard(&mut client).await, 15);
    }

    #[tokio::test]
    async fn what_is_written_last_is_sent_when_the_stream_is_shut_down() {
        let (mut wire, mut client) = wire(HTTP2_OPENING, 1_024).await;
        wire.write_all(b"farewell").await.unwrap();
        wire.shutdown().await.unwrap();
        assert_eq!(heard(&mut client).await, 8);
    }

    #[tokio::test]
    async fn what_http_1_1_writes_is_sent_at_once() {
        for said in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", b"PRI"] {
            let (mut wire, mut client) = wire(said, 1_024).await;
            wire.write_all(b"answer").await.unwrap();
            assert_eq!(heard(&mut client).await, 6);
            assert!(!end_poll(&wire).is_http2);
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_no_more_is_told_and_holds_back_what_is_written() {
        let (mut wire, mut client) = wire(HTTP2_OPENING, 64).await;
        let mut write = |bytes: &[u8]| {
            Pin::new(&mut wire).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
        };
        let taken = write(&[0; 2 * MOST_HELD_BYTES]);
        assert!(matches!(taken, Poll::Ready(Ok(MOST_HELD_BYTES))), "{taken:?}");
        assert!(write(b"more").is_pending());
        assert_eq!(heard(&mut client).await, 64);
        let passed = end_poll(&wire);
        assert!(passed.is_stuck && passed.written == 128);
        assert_eq!(heard(&mut client).await, 64);
        let later = end_poll(&wire);
        assert!(later.is_stuck && later.written == 192);
    }
}
