//! Log lines on their way to standard error: a queue bounded by bytes, and a thread that empties it.
//!
//! Nothing waits for the log, and nothing stops because of it: lines that find no room, or that cannot be written, are
//! dropped and counted. Knows nothing of the content of the lines.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    mem,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use metrics::Counter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::LOG_LINES_DROPPED;

/// The most bytes of waiting lines. The thread may be writing as many at the same time.
const MOST_WAITING: usize = 1 << 20;

/// The time in which lines are collected before they are written together: a system call and a waking thread cost more
/// than many lines. Errors are written at once.
const GATHERING: Duration = Duration::from_millis(10);

/// The pause after a failed write. The reader of standard error may have made it non-blocking, and be slow.
const PAUSE: Duration = Duration::from_millis(10);

/// The queue of lines to write.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Signals that there are lines to write.
    filled: Condvar,
    /// Signals that all lines were written.
    emptied: Condvar,
    /// Lines dropped because there was no room.
    no_room: Counter,
    /// Lines dropped because they could not be written.
    unwritable: Counter,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    is_urgent: bool,
    is_writing: bool,
    /// The number of dropped lines since the log last reported any.
    dropped: u64,
}

impl Queue {
    /// The queue for standard error. It does not use `io::stderr()`, whose lock would block other
    /// code that prints there.
    pub(super) fn to_stderr() -> io::Result<Self> {
        Self::to(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let dropped = |why| metrics::counter!(LOG_LINES_DROPPED, "reason" => why);
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            no_room: dropped("no_room"),
            unwritable: dropped("unwritable"),
        });
        let queue = Self(shared.clone());
        let sink = Sink { sink, is_within_line: false };
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_for_ever(sink))?;
        Ok(queue)
    }

    /// Waits until all lines so far are written, or until the time is over.
    pub(super) fn flush(&self, patience: Duration) {
        let mut waiting = self.0.lock();
        waiting.is_urgent = true;
        self.0.filled.notify_one();
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        // The result does not matter: there is no more time to give.
        drop(self.0.emptied.wait_timeout_while(waiting, patience, is_busy));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.lock();
        let before = waiting.lines.len();
        if before + line.len() > MOST_WAITING {
            waiting.dropped += 1;
            self.no_room.increment(1);
            return;
        }
        waiting.lines.extend_from_slice(line);
        // A notification is a system call, whether or not the thread waits.
        let is_half = |bytes: usize| bytes >= MOST_WAITING / 2;
        let is_news = before == 0
            || is_urgent && !waiting.is_urgent
            || is_half(before) != is_half(waiting.lines.len());
        waiting.is_urgent |= is_urgent;
        drop(waiting);
        if is_news {
            self.filled.notify_one();
        }
    }

    fn write_for_ever(&self, mut sink: Sink<impl Write>) {
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines);
            let lost = sink.write(&lines);
            lines.clear();
            self.unwritable.increment(lost);
            let mut waiting = self.lock();
            waiting.is_writing = false;
            waiting.dropped += lost;
            if waiting.lines.is_empty() {
                self.emptied.notify_all();
            }
            let dropped = if lost == 0 { mem::take(&mut waiting.dropped) } else { 0 };
            drop(waiting);
            if dropped > 0 {
                tracing::warn!(dropped, "log lines were dropped before this one");
            }
        }
    }

    /// Waits for lines, and takes all lines in the queue.
    fn take(&self, lines: &mut Vec<u8>) {
        let none = |waiting: &mut Waiting| waiting.lines.is_empty();
        let waiting =
            self.filled.wait_while(self.lock(), none).unwrap_or_else(PoisonError::into_inner);
        let may_gather =
            |waiting: &mut Waiting| !waiting.is_urgent && waiting.lines.len() < MOST_WAITING / 2;
        let gathered = self.filled.wait_timeout_while(waiting, GATHERING, may_gather);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.lines, lines);
        (waiting.is_urgent, waiting.is_writing) = (false, true);
    }
}

/// The writer of the lines.
struct Sink<W> {
    sink: W,
    /// Whether a line was begun and its rest could not be written.
    is_within_line: bool,
}

impl<W: Write> Sink<W> {
    /// Writes lines, and gives the number of lines that could not be written. Lost are whole lines, or the ends of
    /// lines. The next line then begins a new line.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if self.is_within_line {
            if self.write_some(b"\n").is_err() {
                return count(lines);
            }
            self.is_within_line = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(written) => rest = &rest[written..],
                Err(_) => {
                    self.is_within_line =
                        lines[..lines.len() - rest.len()].last().is_some_and(|last| *last != b'\n');
                    return count(rest);
                }
            }
        }
        0
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.sink.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
                done => return done,
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The writer of one line, which arrives in one piece.
pub(super) struct Line<'a> {
    shared: &'a Shared,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.add(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.0, is_urgent: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { shared: &self.0, is_urgent: *meta.level() == Level::ERROR }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Long enough for everything that a test waits for.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A writer that hands its bytes to the test, and waits until the test takes them.
    struct Handing(SyncSender<Vec<u8>>);

    impl Write for Handing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue with such a writer.
    fn handing() -> (Queue, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(0);
        (Queue::to(Handing(sender)).unwrap(), receiver)
    }

    fn dropped(queue: &Queue) -> u64 {
        queue.0.lock().dropped
    }

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (queue, written) = handing();
        for number in 0..1_000 {
            queue.0.add(format!("line {number}\n").as_bytes(), number % 7 == 0);
        }
        let mut text = Vec::new();
        while count(&text) < 1_000 {
            text.extend(written.recv_timeout(PATIENCE).unwrap());
        }
        let expected: String = (0..1_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_nobody_waits() {
        let (queue, written) = handing();
        queue.0.add(b"first\n", true);
        // The thread holds the first line until the test takes it.
        let held = |queue: &Queue| queue.0.lock().is_writing;
        while !held(&queue) {
            thread::yield_now();
        }
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let fits = MOST_WAITING / line.len();
        for _ in 0..fits {
            queue.0.add(&line, false);
        }
        assert_eq!(dropped(&queue), 0);
        queue.0.add(&line, false);
        queue.0.add(&line, true);
        assert_eq!(dropped(&queue), 2);
        queue.flush(Duration::ZERO);
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), b"first\n");
        assert_eq!(written.recv_timeout(PATIENCE).unwrap().len(), fits * line.len());
        // There is room again.
        queue.0.add(b"last\n", true);
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), b"last\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_no_reason_to_stop() {
        let (queue, written) = handing();
        drop(written);
        for _ in 0..3 {
            queue.0.add(b"nobody reads this\n", true);
            queue.flush(PATIENCE);
        }
        assert_eq!(dropped(&queue), 3);
        assert!(!queue.0.waiting.is_poisoned());
    }

    /// A writer with room for this many bytes.
    struct Disk {
        room: usize,
        holds: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room);
            if fits == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= fits;
            self.holds.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_full_disk_lines_begin_anew() {
        let mut disk = Disk { room: 5, holds: Vec::new() };
        let mut sink = Sink { sink: &mut disk, is_within_line: false };
        assert_eq!(sink.write(b"one\ntwo\nthree\n"), 2);
        assert_eq!(sink.write(b"four\n"), 1);
        sink.sink.room = 100;
        assert_eq!(sink.write(b"five\nsix\n"), 0);
        assert_eq!(disk.holds, b"one\nt\nfive\nsix\n");
    }
}
