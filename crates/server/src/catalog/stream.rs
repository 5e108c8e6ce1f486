//! Streams: things with revisions, and so with a log. A company is a stream, and so is each key.
//!
//! A stream is also the right to read and write its log. The stream of a company comes only from a grant. The name of a
//! stream gives no right.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use arrayvec::ArrayString;

use super::{
    entry::Revision,
    id::{CompanyId, KeyId, MAX_ID_LENGTH, StaffId},
    log::Line,
    settings::Subject,
    time::Timestamp,
};

/// A kind of stream. A new kind is a constant here, a variant of [`Row`](super::delta::Row) with its form, and a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKind {
    /// The name in the log.
    pub name: &'static str,
    /// Whether a key may use a request id once for each stream of this kind, or once for all of them together.
    pub has_own_requests: bool,
    /// Whether its streams come from grants alone.
    is_granted: bool,
}

impl StreamKind {
    /// Companies with their locations and catalogs. Their changes can be undone.
    pub const COMPANY: Self = Self { name: "company", has_own_requests: true, is_granted: true };
    /// Keys. Their changes are never undone.
    pub const KEY: Self = Self::new("key", false);

    const ALL: [Self; 2] = [Self::COMPANY, Self::KEY];

    /// A kind whose streams need no grant.
    pub const fn new(name: &'static str, has_own_requests: bool) -> Self {
        Self { name, has_own_requests, is_granted: false }
    }
}

/// The name of a stream: its kind, and its id, which is unique among the streams of the kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    id: ArrayString<MAX_ID_LENGTH>,
    kind: StreamKind,
}

impl StreamName {
    /// The name of a company's stream.
    pub fn company(id: &CompanyId) -> Self {
        Self::with(StreamKind::COMPANY, id.as_str())
    }

    /// Reads a name as it is displayed. `None` if the text is anything else, or the kind is a newer program's.
    pub fn read(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(' ')?;
        let kind = StreamKind::ALL.into_iter().find(|known| known.name == kind)?;
        KeyId::parse("id", id).is_ok().then(|| Self::with(kind, id))
    }

    fn with(kind: StreamKind, id: &str) -> Self {
        let id = ArrayString::from(id).unwrap_or_else(|_| unreachable!("ids are no longer"));
        Self { id, kind }
    }
}

/// Ids of different kinds seldom collide, and the hash is part of each read from memory.
impl Hash for StreamName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// `company cmp_001`.
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name, self.id)
    }
}

/// One thing with revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(StreamName);

#[expect(missing_docs, reason = "the methods are named like the fields")]
impl Stream {
    pub(super) fn company(id: &CompanyId) -> Self {
        Self(StreamName::company(id))
    }

    /// The stream of a key.
    pub fn key(id: &KeyId) -> Self {
        Self(StreamName::with(StreamKind::KEY, id.as_str()))
    }

    /// A stream of a kind that needs no grant; `None` if the kind needs one, or if `id` is no id.
    pub fn new(kind: StreamKind, id: &str) -> Option<Self> {
        let is_new = !kind.is_granted && KeyId::parse("id", id).is_ok();
        is_new.then(|| Self(StreamName::with(kind, id)))
    }

    pub fn name(&self) -> &StreamName {
        &self.0
    }

    pub fn kind(&self) -> StreamKind {
        self.0.kind
    }

    /// The id, unique among the streams of the kind.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The scope in which a key uses a request id once.
    pub fn requests(&self) -> &str {
        if self.kind().has_own_requests { self.id() } else { "" }
    }
}

/// A choice of streams whose lines are read.
#[derive(Clone, Debug)]
pub struct Streams(Among);

/// The content of [`Streams`], for engines.
#[derive(Clone, Debug)]
pub(crate) enum Among {
    One(Stream),
    All(StreamKind),
}

impl Streams {
    /// The lines of one stream, in the order of its revisions.
    pub fn one(stream: &Stream) -> Self {
        Self(Among::One(stream.clone()))
    }

    /// The lines of all keys, in the order of time, then key id, then revision.
    pub fn keys() -> Self {
        Self(Among::All(StreamKind::KEY))
    }

    pub(crate) fn among(&self) -> &Among {
        &self.0
    }
}

/// Which lines of a log are wanted. All lines, where nothing is given.
#[derive(Clone, Debug, Default)]
pub struct LineFilter {
    /// Only lines at this place or after it.
    pub from: Option<LinePlace>,
    /// Only lines that change it (or an entry of that catalog).
    pub subject: Option<Subject>,
    /// Only lines of this acting key.
    pub key: Option<KeyId>,
    /// Only lines of this author.
    pub staff: Option<StaffId>,
}

impl LineFilter {
    /// Whether all lines from a place on are wanted.
    pub(crate) fn wants_all(&self) -> bool {
        self.subject.is_none() && self.key.is_none() && self.staff.is_none()
    }

    /// The places that the lines before a place lie between: a line may be at the first of them, and
    /// is before the second.
    pub(crate) fn span(&self, before: Option<&LinePlace>) -> [LinePlace; 2] {
        let first = || LinePlace {
            time: Timestamp::from_micros(i64::MIN),
            of: String::new(),
            revision: Revision(0),
        };
        let from = self.from.clone().unwrap_or_else(first);
        [from, before.cloned().unwrap_or_else(|| LinePlace::at(Revision(u64::MAX)))]
    }
}

/// The place of a line among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlace {
    /// The line's time; not used within one stream.
    pub time: Timestamp,
    /// The stream's id; not used within one stream.
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
