//! Counts the frames of HTTP/2 that a client sends and that its requests do not explain.
//!
//! A frame of nine bytes is cheap to send and makes work for the server. Most kinds need no request: PRIORITY,
//! WINDOW_UPDATE, PING, SETTINGS, RST_STREAM, DATA without data, unknown kinds. The library bounds only some of them.
//! So each connection has an allowance, and every frame costs one of it. The allowance grows with the things for which
//! an honest client sends frames: answers that it waited for, data that it sends, data that it receives. This file does
//! not look into frames.

use arrayvec::ArrayVec;

const HEAD_BYTES: usize = 9;

// RFC 9113 (6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// Frames that a new connection may send before it has an answer.
const FIRST: i64 = 1_000;

/// Further frames that a new connection may send, for each request that it may have open.
const PER_OPEN_REQUEST: i64 = 8;

/// The price of HEADERS that open a stream. A request makes work even if it is refused, for example as one more than
/// may be open. A client that gives a request up (two frames) gets most of the price back.
const PER_REQUEST: i64 = 8;
const PER_REQUEST_GIVEN_UP: i64 = 7;

/// The frames that each answer allows. A client that gives a request up before its answer pays for both frames.
const PER_ANSWER: i64 = 16;

/// For this many bytes of a request's data, one frame is allowed.
const SENT_BYTES: usize = 16;

/// For this many bytes of answers, one frame is allowed. Some clients open their windows again after every 4 KiB.
const TAKEN_BYTES: u64 = 512;

/// The largest allowance that a connection saves up.
const MOST_SAVED: i64 = 10_000;

/// The count of a connection.
pub(super) struct Frames {
    /// The beginning of a frame's head that has not arrived as a whole.
    head: ArrayVec<u8, HEAD_BYTES>,
    /// The bytes behind the current frame's head that are still to come.
    payload: usize,
    allowance: i64,
    most: i64,
    /// The stream that was opened last.
    last_stream: u32,
    /// Requests that are neither answered nor given up.
    open: u64,
    /// The answers, and the bytes of them, that the allowance accounts for already.
    answers: u64,
    taken: u64,
}

impl Frames {
    /// For a connection that may have this many requests open.
    pub(super) fn new(open_requests: u32) -> Self {
        let first = FIRST + PER_OPEN_REQUEST * i64::from(open_requests);
        Self {
            head: ArrayVec::new(),
            payload: 0,
            allowance: first,
            most: first.max(MOST_SAVED),
            last_stream: 0,
            open: 0,
            answers: 0,
            taken: 0,
        }
    }

    /// Takes note of bytes that the client sent. They may begin and end anywhere in a frame.
    pub(super) fn note_read(&mut self, mut bytes: &[u8]) {
        while bytes.len() > self.payload {
            bytes = &bytes[self.payload..];
            self.payload = 0;
            match bytes.split_first_chunk::<HEAD_BYTES>() {
                Some((head, rest)) if self.head.is_empty() => {
                    self.count(*head);
                    bytes = rest;
                }
                _ => {
                    let (more, rest) =
                        bytes.split_at(self.head.remaining_capacity().min(bytes.len()));
                    self.head.extend(more.iter().copied());
                    if let Ok(head) = self.head.clone().into_inner() {
                        self.head.clear();
                        self.count(head);
                    }
                    bytes = rest;
                }
            }
        }
        self.payload -= bytes.len();
    }

    fn count(&mut self, [a, b, c, kind, _, d, e, f, g]: [u8; HEAD_BYTES]) {
        self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
        self.allowance -= 1;
        match kind {
            DATA => self.allow((self.payload / SENT_BYTES) as i64),
            HEADERS => {
                let stream = u32::from_be_bytes([d, e, f, g]) & (u32::MAX >> 1);
                // HEADERS of an older stream are trailers.
                if stream > self.last_stream {
                    self.last_stream = stream;
                    self.open += 1;
                    self.allowance -= PER_REQUEST - 1;
                }
            }
            // A client can reset one stream again and again, and gets its price back only once.
            RST_STREAM if self.open > 0 => {
                self.open -= 1;
                self.allow(PER_REQUEST_GIVEN_UP);
            }
            _ => {}
        }
    }

    fn allow(&mut self, frames: i64) {
        self.allowance = self.allowance.saturating_add(frames).min(self.most);
    }

    /// Takes note of the number of answers so far, and of the bytes that the client has received.
    pub(super) fn note_answered(&mut self, answers: u64, taken: u64) {
        let new = answers - self.answers;
        self.open = self.open.saturating_sub(new);
        let new = new as i64 * PER_ANSWER;
        self.allow(new + (taken / TAKEN_BYTES - self.taken / TAKEN_BYTES) as i64);
        (self.answers, self.taken) = (answers, taken);
    }

    /// Whether the client sent more frames than its allowance.
    pub(super) fn are_too_many(&self) -> bool {
        self.allowance < 0
    }

    /// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, 6.8 and 7): the server did nothing for requests after the last stream.
    pub(super) fn farewell(&self) -> Vec<u8> {
        let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
        frame.extend(self.last_stream.to_be_bytes());
        frame.extend(11_u32.to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, length: usize) -> Vec<u8> {
        let [_, length_bytes @ ..] = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = [&length_bytes[..], &[kind, 0], &stream.to_be_bytes()].concat();
        // The payload looks like many heads of frames.
        frame.extend((0..length).map(|_| 0));
        frame
    }

    /// The number of such frames that are allowed to a client that waits for no answer.
    fn allowed(kind: u8, length: usize) -> i64 {
        let mut frames = Frames::new(100);
        let mut count = 0;
        while !frames.are_too_many() && count < 100_000 {
            frames.note_read(&frame(kind, 1, length));
            count += 1;
        }
        count - 1
    }

    #[test]
    fn frames_that_need_no_answer_are_bounded_and_data_is_not() {
        for (kind, length) in
            [(0, 0), (0, 15), (2, 5), (3, 4), (4, 0), (6, 8), (8, 4), (99, 16_384)]
        {
            assert_eq!(allowed(kind, length), 1_800, "{kind} {length}");
        }
        assert_eq!(allowed(0, 16), 99_999);
    }

    #[test]
    fn answers_and_what_is_taken_of_them_allow_for_more() {
        let mut frames = Frames::new(100);
        let (mut answers, mut taken) = (0, 0);
        for _ in 0..100_000 {
            // A request with its end, a PING, and two windows for each 4 KiB of an answer of 8 KiB.
            for (kind, length) in [(1, 40), (0, 0), (6, 8), (8, 4), (8, 4), (8, 4), (8, 4)] {
                frames.note_read(&frame(kind, 1, length));
            }
            (answers, taken) = (answers + 1, taken + 8_192);
            frames.note_answered(answers, taken);
            assert!(!frames.are_too_many());
        }
        assert_eq!(frames.allowance, MOST_SAVED);
    }

    #[test]
    fn requests_that_are_given_up_are_bounded() {
        let mut frames = Frames::new(100);
        let mut given_up = 0;
        while !frames.are_too_many() {
            frames.note_read(&frame(1, 2 * given_up + 1, 40));
            frames.note_read(&frame(3, 2 * given_up + 1, 4));
            given_up += 1;
        }
        assert_eq!(given_up, 901);
        assert_eq!(frames.farewell(), [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 7, 9, 0, 0, 0, 11]);
    }

    #[test]
    fn it_is_all_the_same_where_what_is_read_begins_and_ends() {
        let sent: Vec<u8> =
            [(4, 18), (8, 4), (1, 300), (0, 16_384), (0, 7), (6, 8), (1, 9), (0, 0)]
                .into_iter()
                .zip(1..)
                .flat_map(|((kind, length), stream)| frame(kind, stream, length))
                .collect();
        for size in [1, 2, 5, 8, 9, 10, 13, 100, 8_192, sent.len()] {
            let mut frames = Frames::new(100);
            sent.chunks(size).for_each(|chunk| frames.note_read(chunk));
            // Eight frames, two of them requests, and the frames that the data allows.
            let left = 1_800 - 8 - 2 * (PER_REQUEST - 1) + 1_024;
            assert_eq!((frames.allowance, frames.last_stream), (left, 7), "{size}");
            assert_eq!((frames.payload, frames.head.len()), (0, 0));
        }
    }
}
