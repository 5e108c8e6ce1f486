//! What a line of a log says that stands nowhere else, and the hash that ties it to its line.

use std::fmt::Display;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{StoreError, decode, encode};
use crate::catalog::{
    entry::Revision,
    error::Cause,
    id::KeyId,
    log::{Line, RequestId},
    settings::Subject,
};

/// Which line of which log. The parts of a revision are numbered by the engine as it writes them, so
/// these are told apart by their requests, which all but the first have.
#[derive(Clone, Copy, Serialize)]
pub(in crate::store) struct LineId<'a> {
    /// The company, or the key, that changed.
    of: &'a str,
    revision: u64,
    acting: Option<&'a str>,
    request: Option<&'a str>,
}

impl<'a> LineId<'a> {
    /// Of a line of that log.
    pub(in crate::store) fn of(of: &'a str, line: &'a Line) -> Self {
        let request = line.request.as_ref().map(|request| &request.id);
        Self::new(of, line.revision, line.actor.key_id.as_ref(), request)
    }

    pub(in crate::store) fn new(
        of: &'a str,
        revision: Revision,
        acting: Option<&'a KeyId>,
        request: Option<&'a RequestId>,
    ) -> Self {
        let (acting, request) = (acting.map(KeyId::as_str), request.map(RequestId::as_str));
        Self { of, revision: revision.0, acting, request }
    }

    /// Replaying a log needs neither subjects nor what was revoked along, so nothing else would tell that they were
    /// changed, or are another line's.
    pub(super) fn check(&self, says: &impl Serialize) -> String {
        STANDARD_NO_PAD.encode(&Sha256::digest(encode(&(self, says)))[..9])
    }
}

/// What the steps of a line's request were about. The format number of its body covers it too.
pub(in crate::store) fn encode_subjects(line: LineId<'_>, subjects: &[Subject]) -> String {
    let subjects: Vec<_> = subjects.iter().map(Subject::place).collect();
    encode(&SubjectsForm { check: line.check(&subjects), subjects })
}

/// What [`encode_subjects`] wrote for that line; `None` if this is anything else.
pub(in crate::store) fn decode_subjects(line: LineId<'_>, text: &str) -> Option<Vec<Subject>> {
    let SubjectsForm { check, subjects } = decode(text).ok()?;
    let subjects = Some(subjects).filter(|subjects| check == line.check(subjects))?;
    subjects.iter().map(|place| Subject::at(place)).collect()
}

/// A repeated request is answered by what its line says, or not at all.
pub(in crate::store) fn said<T>(says: Option<T>) -> Result<T, StoreError> {
    let text = "what a request did is not as it was written, or is another one's";
    says.ok_or_else(|| StoreError::Damaged(Cause::new(text)))
}

/// Of which line that is said.
pub(in crate::store) fn in_line(line: impl Display, error: StoreError) -> StoreError {
    let StoreError::Damaged(cause) = error else { return error };
    StoreError::Damaged(cause.within(format!("the line of {line}")))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectsForm {
    check: String,
    subjects: Vec<String>,
}
