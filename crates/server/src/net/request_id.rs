//! The id under which a request stands in the log and in its answer.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

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

    fn new() -> Self {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mut random = [0; 16];
        // An id only helps to find log lines: no reason to fail a request.
        let _ = getrandom::fill(&mut random);
        // By hand, since this happens for every request and formatting costs ten times as much.
        let digits =
            random.map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        Self(
            HeaderValue::from_bytes(digits.as_flattened())
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
