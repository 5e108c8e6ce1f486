//! The limits that keep one client from taking what all share, as refusals name them.

use std::fmt;

/// Whose limit on requests is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The key's requests per second.
    Key,
    /// Look-ups of keys that this server has not seen, per address or in all.
    UnknownKeys,
    /// What takes long and waits, of one key.
    LongWork,
    /// Its share of the requests that are worked on at once.
    RequestsAtOnce {
        /// Who has it.
        whose: Sharer,
        /// How many there are in all.
        most: u64,
    },
    /// Its share of the bytes of bodies that are held at once.
    BodiesAtOnce {
        /// Who has it.
        whose: Sharer,
        /// How many there are in all.
        most: u64,
    },
}

/// Who has a share.
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
            Self::LongWork => f.write_str("with this key that take long and wait for their turn"),
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

/// How much somebody may have of what there is at once.
const SHARE: &str = "nobody has more than half, nor more than is left to others";
