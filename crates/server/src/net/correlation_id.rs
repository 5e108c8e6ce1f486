//! The id of a request in the log and in its answer, as `X-Request-Id`. It is not the request id of a write,
//! which the change log stores.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the id, in requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MOST_CHARACTERS: usize = 128;

/// A request's correlation id, in its extensions: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorrelationId {
    /// The id that the caller sent.
    Given(HeaderValue),
    /// An id of the server: the number of the request in this process.
    Own(u64),
}

impl CorrelationId {
    /// The caller's id if it is well-formed, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let given = headers.get(HEADER).filter(|value| {
            (1..=MOST_CHARACTERS).contains(&value.len())
                && value.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        match given {
            Some(given) => Self::Given(given.clone()),
            None => Self::Own(COUNT.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub(super) fn header(&self) -> HeaderValue {
        let mut value = match self {
            Self::Given(given) => given.clone(),
            Self::Own(count) => HeaderValue::from_bytes(&digits(*count))
                .unwrap_or_else(|_| unreachable!("these are digits")),
        };
        // The id is no secret, but no other answer has it: this tells HTTP/2's compression not to remember it.
        value.set_sensitive(true);
        value
    }
}

/// An id that is unique in this process, and almost certainly among all. It only helps to find log lines. Every answer
/// has one, so the digits are written by hand: formatting costs ten times as much.
fn digits(count: u64) -> [u8; 32] {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let number = u128::from(*START) << u64::BITS | u128::from(count);
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    digits
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(given) => f.write_str(given.to_str().unwrap_or_default()),
            Self::Own(count) => {
                f.write_str(std::str::from_utf8(&digits(*count)).unwrap_or_default())
            }
        }
    }
}
