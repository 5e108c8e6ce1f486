//! The limits that stop one client from taking the resources of all, as refusals name them.

use std::fmt;

/// A limit on requests that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The key's requests per second.
    Key,
    /// Look-ups of keys that are not in the server's cache, per address or in all.
    UnknownKeys,
    /// Waiting requests for long work, of one key.
    LongWork,
    /// The client's share of the requests that are worked on at once.
    #[expect(missing_docs, reason = "the fields say what they are")]
    RequestsAtOnce {
        whose: Sharer,
        /// The places of the whole server.
        most: u64,
    },
    /// The client's share of the bytes of bodies that are held at once.
    #[expect(missing_docs, reason = "the fields say what they are")]
    BodiesAtOnce {
        whose: Sharer,
        /// The bytes of the whole server.
        most: u64,
    },
}

/// The client that has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharer {
    /// A key.
    Key,
    /// An address, as long as no key is known.
    Address,
}

impl fmt::Display for Sharer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "with this key",
            Self::Address => {
                "without a key, or with one that is not looked up yet, from this address"
            }
        })
    }
}

impl Limit {
    /// A stable name for programs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Key => "KEY_RATE_LIMIT",
            Self::UnknownKeys => "UNKNOWN_KEY_RATE_LIMIT",
            Self::LongWork => "LONG_WORK_LIMIT",
            Self::RequestsAtOnce { .. } => "REQUESTS_AT_ONCE_LIMIT",
            Self::BodiesAtOnce { .. } => "BODIES_AT_ONCE_LIMIT",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("with this key"),
            Self::UnknownKeys => f.write_str("with unknown keys"),
            Self::LongWork => f.write_str("with this key that take long and wait in the queue"),
            Self::RequestsAtOnce { whose, most } => {
                write!(f, "at once {whose} (of the {most} that the server works on {SHARE})")
            }
            Self::BodiesAtOnce { whose, most } => {
                write!(
                    f,
                    "with bodies at once {whose} (of the {most} bytes that the server takes {SHARE})"
                )
            }
        }
    }
}

/// The rule of a share, for messages.
const SHARE: &str = "nobody has more than half, nor more than is left to others";
