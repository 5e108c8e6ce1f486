//! The lines of change logs, and the requests that they remember.

use std::fmt;

use super::{
    access::Actor, delta::Delta, entry::Revision, error::Violation, settings::Subject,
    time::Timestamp,
};

/// The most characters of a [`RequestId`].
pub const MAX_REQUEST_ID_LENGTH: usize = 128;

/// The caller's name for a write, which makes it safe to repeat. It is unique per company and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Parses 1 to 128 printable ASCII characters, with or without quotation marks. `field` names it in the error.
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

/// A write that can be recognized: its id, and a SHA-256 of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Request {
    pub id: RequestId,
    /// The same for the same request, whichever client repeats it.
    pub digest: [u8; 32],
}

/// A line of a change log, as it is planned, written and read.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub struct Line {
    /// The revision that the change made. Without deltas, the revision at which there was nothing to change.
    pub revision: Revision,
    pub time: Timestamp,
    pub actor: Actor,
    /// The request, if it had an id.
    pub request: Option<Request>,
    /// The subject of each step of the request; empty for loads, undos and roll backs. `None` if the stored
    /// subjects cannot be read.
    pub subjects: Option<Vec<Subject>>,
    /// The changed rows; none for a request that found nothing to change.
    pub deltas: Vec<Delta>,
}

impl Line {
    /// The revision that the change was planned for; 0 if the thing did not exist yet.
    pub fn base(&self) -> Revision {
        if self.is_empty() { self.revision } else { Revision(self.revision.0.saturating_sub(1)) }
    }

    /// Whether the request changed nothing.
    pub fn is_empty(&self) -> bool {
        self.deltas.is_empty()
    }
}

/// The log's memory of a request with an id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct LoggedRequest {
    /// The id of the stream that the request changed.
    pub of: String,
    pub digest: [u8; 32],
    /// The revision after the request.
    pub revision: Revision,
    /// Whether the request changed anything. If not, another request made that revision.
    pub changed: bool,
    /// The subject of each step of the request.
    pub subjects: Vec<Subject>,
}
