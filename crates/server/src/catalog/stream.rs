//! Streams: what has revisions, and with them a log. A company is one, and so is each key.
//!
//! A stream is also the right to read and write its log: that of a company comes out of a grant alone.

use arrayvec::ArrayString;

use super::{
    entry::Revision,
    id::{CompanyId, KeyId, MAX_ID_LENGTH},
    log::Line,
    settings::Subject,
    time::Timestamp,
};

/// A kind of stream. A new one is a constant here, a variant of [`Row`](super::delta::Row) with its form, and its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamKind {
    /// In the log.
    pub name: &'static str,
    /// Whether one key may use a request id once for each stream of the kind, or once among all of them.
    pub has_own_requests: bool,
    /// Whether its streams come out of grants alone.
    is_granted: bool,
}

impl StreamKind {
    /// Companies with their locations and catalogs. Their logs can be undone.
    pub const COMPANY: Self = Self { name: "company", has_own_requests: true, is_granted: true };
    /// Keys. Their logs are never undone.
    pub const KEY: Self = Self::new("key", false);

    /// A kind whose streams need no grant.
    pub const fn new(name: &'static str, has_own_requests: bool) -> Self {
        Self { name, has_own_requests, is_granted: false }
    }
}

/// One thing with revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    kind: StreamKind,
    id: ArrayString<MAX_ID_LENGTH>,
}

impl Stream {
    pub(super) fn company(id: &CompanyId) -> Self {
        Self::with(StreamKind::COMPANY, id.as_str())
    }

    /// The stream of a key.
    pub fn key(id: &KeyId) -> Self {
        Self::with(StreamKind::KEY, id.as_str())
    }

    /// A stream of a kind that needs no grant; `None` where it does, or where this is no id.
    pub fn new(kind: StreamKind, id: &str) -> Option<Self> {
        (!kind.is_granted && KeyId::parse("id", id).is_ok()).then(|| Self::with(kind, id))
    }

    fn with(kind: StreamKind, id: &str) -> Self {
        let id = ArrayString::from(id).unwrap_or_else(|_| unreachable!("ids are no longer"));
        Self { kind, id }
    }

    /// Its kind.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// Its id among those of its kind.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The scope in which a key uses a request id once.
    pub fn requests(&self) -> &str {
        if self.kind.has_own_requests { &self.id } else { "" }
    }
}

/// The streams of which lines are meant.
#[derive(Clone, Debug)]
pub struct Streams(Among);

/// The same, for engines.
#[derive(Clone, Debug)]
pub(crate) enum Among {
    One(Stream),
    All(StreamKind),
}

impl Streams {
    /// Those of one stream, in the order of its revisions.
    pub fn one(stream: &Stream) -> Self {
        Self(Among::One(stream.clone()))
    }

    /// Those of all keys, in the order of time, then key id, then revision.
    pub fn keys() -> Self {
        Self(Among::All(StreamKind::KEY))
    }

    pub(crate) fn among(&self) -> &Among {
        &self.0
    }
}

/// Where a line stands among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlace {
    /// When; of no account within one stream.
    pub time: Timestamp,
    /// The stream's id; of no account within one stream.
    pub of: String,
    /// The revision that the line made.
    pub revision: Revision,
}

impl LinePlace {
    /// The place of a revision within one stream.
    pub fn at(revision: Revision) -> Self {
        Self { time: Timestamp::from_micros(i64::MAX), of: String::new(), revision }
    }

    /// The place of a key's line.
    pub fn of_key(line: &Line) -> Self {
        let of = line.deltas.first().and_then(|delta| match &delta.subject {
            Subject::Key(id) => Some(id.to_string()),
            _ => None,
        });
        Self { time: line.time, of: of.unwrap_or_default(), revision: line.revision }
    }
}
