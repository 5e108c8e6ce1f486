//! The subjects of a line, which only its own column has, the hash that ties them to the line, and the line's columns.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Columns, StoreError, decode, decode_changes, encode, not_as_written};
use crate::catalog::{
    access::Actor,
    delta::{Delta, Row},
    entry::Revision,
    error::Cause,
    id::{KeyId, StaffId},
    log::{Line, LoggedRequest, Request, RequestId},
    settings::Subject,
    stream::{LinePlace, Stream, StreamKind},
    text::Name,
    time::Timestamp,
};

/// The identity of a line in all logs. The engine numbers the parts of a revision as it writes them, so parts are
/// distinguished by their requests, which all parts but the first have.
#[derive(Clone, Copy, Serialize)]
pub(in crate::store) struct LineId<'a> {
    kind: &'a str,
    of: &'a str,
    revision: u64,
    acting: Option<&'a str>,
    request: Option<&'a str>,
}

impl<'a> LineId<'a> {
    /// The identity of a line of that stream.
    pub(in crate::store) fn of(stream: &'a Stream, line: &'a Line) -> Self {
        let request = line.request.as_ref().map(|request| &request.id);
        let of = (stream.kind().name, stream.id());
        Self::new(of, line.revision, line.actor.key_id.as_ref(), request)
    }

    pub(in crate::store) fn new(
        (kind, of): (&'a str, &'a str),
        revision: Revision,
        acting: Option<&'a KeyId>,
        request: Option<&'a RequestId>,
    ) -> Self {
        let (acting, request) = (acting.map(KeyId::as_str), request.map(RequestId::as_str));
        Self { kind, of, revision: revision.0, acting, request }
    }

    /// A hash of the line's identity and its subjects. Replaying a log needs no subjects, so nothing else would notice
    /// that they were changed or exchanged.
    pub(super) fn check(&self, says: &impl Serialize) -> String {
        STANDARD_NO_PAD.encode(&Sha256::digest(encode(&(self, says)))[..9])
    }
}

/// The subjects of the steps of a line's request. The format number of the body covers them too.
pub(in crate::store) fn encode_subjects(line: LineId<'_>, subjects: &[Subject]) -> String {
    let subjects: Vec<_> = subjects.iter().map(Subject::place).collect();
    encode(&SubjectsForm { check: line.check(&subjects), subjects })
}

/// Reads the output of [`encode_subjects`] for that line; `None` if the text is anything else.
pub(super) fn decode_subjects(line: LineId<'_>, text: &str) -> Option<Vec<Subject>> {
    let SubjectsForm { check, subjects } = decode(text).ok()?;
    let subjects = Some(subjects).filter(|subjects| check == line.check(subjects))?;
    subjects.iter().map(|place| Subject::at(place)).collect()
}

/// The record of the key's request with that id, from its line. A repeated request is answered by its line, or not at
/// all, so subjects that cannot be read are damage.
pub(in crate::store) fn logged_request(
    row: &impl Columns,
    kind: StreamKind,
    (key, request): (&KeyId, &RequestId),
) -> Result<LoggedRequest, StoreError> {
    let (of, revision) = (row.text("stream_id")?, row.revision("revision")?);
    let line = LineId::new((kind.name, of), revision, Some(key), Some(request));
    let text = "what a request did is not as it was written, or is another one's";
    let subjects = decode_subjects(line, row.text("subjects")?);
    Ok(LoggedRequest {
        of: of.to_owned(),
        digest: row.digest("request_digest")?.0,
        revision,
        changed: row.number("part")? == 0,
        subjects: subjects.ok_or_else(|| StoreError::Damaged(Cause::new(text)))?,
    })
}

/// A line with its part.
pub(in crate::store) fn line(row: &impl Columns) -> Result<(u32, Line), StoreError> {
    let of = (row.text("stream_kind")?, row.text("stream_id")?);
    let revision = row.revision("revision")?;
    let read = || {
        let form = LineForm {
            kind: of.0,
            of: of.1,
            revision,
            time: row.time("time")?,
            acting: row.optional_text("actor_key_id")?,
            name: row.optional_text("actor_key_name")?,
            staff: row.text("actor_staff_id")?,
            address: row.optional_text("address")?,
            request: row.optional_text("request_id")?,
            digest: row.optional_bytes("request_digest")?,
            subjects: row.text("subjects")?,
            body: row.text("body")?,
        };
        Ok((row.count("part")?, form.into_line()?))
    };
    read().map_err(|error| in_line(of, revision, error))
}

/// Refuses lines of one stream, newest first, among which one is missing. They were read from `from` to `before`.
pub(in crate::store) fn without_gaps(
    lines: Vec<Line>,
    [from, before]: &[LinePlace; 2],
) -> Result<Vec<Line>, StoreError> {
    let lacks = |revision: u64| {
        Err(StoreError::Damaged(Cause::new(format!("its log lacks revision {revision}"))))
    };
    let mut above = Some(before.revision.0).filter(|place| *place != u64::MAX);
    for line in &lines {
        match above {
            Some(above) if line.revision.next().0 != above => return lacks(above - 1),
            _ => above = Some(line.revision.0),
        }
    }
    match above {
        Some(above) if lines.is_empty() && above > from.revision.0.max(1) => lacks(above - 1),
        _ => Ok(lines),
    }
}

/// Adds the line to an error about damage.
fn in_line((kind, of): (&str, &str), revision: Revision, error: StoreError) -> StoreError {
    let StoreError::Damaged(cause) = error else { return error };
    let of = if kind == StreamKind::COMPANY.name { String::new() } else { format!(" of {of}") };
    StoreError::Damaged(cause.within(format!("the line of revision {revision}{of}")))
}

/// The columns of a line.
pub(super) struct LineForm<'a> {
    pub(super) kind: &'a str,
    pub(super) of: &'a str,
    pub(super) revision: Revision,
    pub(super) time: Timestamp,
    pub(super) acting: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) staff: &'a str,
    pub(super) address: Option<&'a str>,
    pub(super) request: Option<&'a str>,
    pub(super) digest: Option<&'a [u8]>,
    pub(super) subjects: &'a str,
    pub(super) body: &'a str,
}

impl LineForm<'_> {
    pub(super) fn into_line(self) -> Result<Line, StoreError> {
        let key_id = self.acting.map(|id| KeyId::parse("actor_key_id", id)).transpose()?;
        let key_name = self.name.map(Name::stored).transpose()?.map(Arc::new);
        let staff_id = StaffId::parse("actor_staff_id", self.staff)?;
        let address = self.address.map(str::parse).transpose().map_err(not_as_written)?;
        let request = match (self.request, self.digest) {
            (Some(id), Some(digest)) => {
                // In quotation marks, so that quotation marks and blanks of the id itself stay.
                let id = RequestId::parse("request_id", &format!("\"{id}\""))?;
                Some(Request { id, digest: digest.try_into().map_err(not_as_written)? })
            }
            (None, None) => None,
            _ => return Err(not_as_written("a request without its id or its digest")),
        };
        let id = request.as_ref().map(|request| &request.id);
        let id = LineId::new((self.kind, self.of), self.revision, key_id.as_ref(), id);
        let subjects = decode_subjects(id, self.subjects);
        let deltas = decode_changes(self.body)?;
        let is_of_key = |delta: &Delta| {
            let after = delta.after.as_ref().and_then(Row::key);
            after.is_some_and(|key| {
                key.id.as_str() == self.of && key.audit.revision == self.revision
            })
        };
        if self.kind == StreamKind::KEY.name && !deltas.iter().all(is_of_key) {
            return Err(not_as_written("its body is of another line"));
        }
        let actor = Actor { key_id, key_name, staff_id, address };
        Ok(Line { revision: self.revision, time: self.time, actor, request, subjects, deltas })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectsForm {
    check: String,
    subjects: Vec<String>,
}
