//! The id under which a request stands in the log and in its answer.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where the id stands, in requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MOST_CHARACTERS: usize = 128;

/// A request's id, in its extensions: 1 to 128 visible ASCII characters, the caller's or ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id if it is well-formed, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).filter(|value| {
            (1..=MOST_CHARACTERS).contains(&value.len())
                && value.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        given.cloned().map_or_else(Self::new, Self)
    }

    /// Unique in this process, and as good as unique among all: an id only helps to find log lines.
    fn new() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        // By hand, since this happens for every request and formatting costs ten times as much.
        let digit = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        let digits = [START.to_be_bytes().map(digit), count.to_be_bytes().map(digit)];
        Self(
            HeaderValue::from_bytes(digits.as_flattened().as_flattened())
                .unwrap_or_else(|_| unreachable!("these are digits")),
        )
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_else(|_| unreachable!("it was checked"))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
