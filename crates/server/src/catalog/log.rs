//! The lines of change logs, and the requests that they remember.

use std::fmt;

use super::{
    access::Actor, delta::Delta, entry::Revision, error::Violation, settings::Subject,
    time::Timestamp,
};

/// The most characters of a [`RequestId`].
pub const MAX_REQUEST_ID_LENGTH: usize = 128;

/// The caller's own name for a request, which makes it safe to repeat; unique per company and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Takes 1 to 128 printable ASCII characters, in quotation marks or not; `field` names it in
    /// the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let id = value.trim();
        let id = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id);
        let is_printable = id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if id.is_empty() || id.len() > MAX_REQUEST_ID_LENGTH || !is_printable {
            let description = format!(
                "must be 1 to {MAX_REQUEST_ID_LENGTH} printable ASCII characters, for example a UUID"
            );
            return Err(Violation::new(field, "MALFORMED_REQUEST_ID", description));
        }
        Ok(Self(id.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request that can be told from others: its id, and a SHA-256 of what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The caller's name for it.
    pub id: RequestId,
    /// Equal for the same request, whoever repeats it.
    pub digest: [u8; 32],
}

/// A line of a change log, as it is planned, written and read.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The revision that the change made; without deltas the one at which there was nothing to change.
    pub revision: Revision,
    /// When.
    pub time: Timestamp,
    /// The one who acted, and from where.
    pub actor: Actor,
    /// The request, where it had an id.
    pub request: Option<Request>,
    /// The subject of each step of the request; empty for loads, undos and roll backs. `None` where
    /// this is no longer what was written.
    pub subjects: Option<Vec<Subject>>,
    /// The changed rows; none for a request that found nothing to change.
    pub deltas: Vec<Delta>,
}

impl Line {
    /// The revision that the change was planned for; 0 where what it changes did not exist yet.
    pub fn base(&self) -> Revision {
        if self.is_empty() { self.revision } else { Revision(self.revision.0.saturating_sub(1)) }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }
}

/// The log's memory of a request with an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The id of the stream that it was about.
    pub of: String,
    /// Of the request.
    pub digest: [u8; 32],
    /// The revision after it.
    pub revision: Revision,
    /// Whether it changed anything; if not, another request made that revision.
    pub changed: bool,
    /// The subject of each step of it.
    pub subjects: Vec<Subject>,
}
