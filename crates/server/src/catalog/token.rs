//! Revision tokens: the revision of a stream that a caller knows, so that no later answer about it is older. The stream
//! is the one that the caller asks for, so the token does not repeat its name.

use std::fmt;

use super::{entry::Revision, error::Violation};

/// A revision in one epoch of the data. A restore begins a new epoch, in which revisions start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct RevisionToken {
    /// 1 for the first epoch, and one more after each restore.
    pub epoch: u64,
    pub revision: Revision,
}

impl RevisionToken {
    /// Parses a token that [`fmt::Display`] wrote. `field` names it in the error.
    pub fn parse(field: &str, text: &str) -> Result<Self, Violation> {
        let (revision, epoch) = match text.split_once(EPOCH) {
            Some((revision, epoch)) => (revision, epoch),
            None => (text, "1"),
        };
        // Revisions are stored as numbers with a sign.
        let is_written_so = |text: &str| text.starts_with(|c: char| ('1'..='9').contains(&c));
        let number = |text: &str| {
            let number: u64 = text.parse().ok().filter(|_| is_written_so(text))?;
            (number <= i64::MAX as u64).then_some(number)
        };
        match (number(revision), number(epoch)) {
            (Some(revision), Some(epoch)) => Ok(Self { epoch, revision: Revision(revision) }),
            _ => Err(Violation::new(
                field,
                "MALFORMED_REVISION",
                "must be the Settings-Revision of an answer, such as 7 or 7;epoch=2",
            )),
        }
    }

    /// Whether a state with this token is as new as the state that a caller knows.
    pub fn reaches(self, known: Option<Self>) -> bool {
        known.is_none_or(|known| known.epoch == self.epoch && known.revision <= self.revision)
    }
}

/// The text between the revision and the epoch.
pub const EPOCH: &str = ";epoch=";

/// `7`, or `7;epoch=2` after a restore.
impl fmt::Display for RevisionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            1 => self.revision.fmt(f),
            epoch => write!(f, "{}{EPOCH}{epoch}", self.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for (epoch, revision, text) in [(1, 7, "7"), (2, 7, "7;epoch=2"), (12, 1, "1;epoch=12")] {
            let token = RevisionToken { epoch, revision: Revision(revision) };
            assert_eq!(token.to_string(), text);
            assert_eq!(RevisionToken::parse("f", text), Ok(token));
        }
        for text in ["", "0", "-1", "7;epoch=0", "7;epoch=", "x", "7;life=2", "7;epoch=2;epoch=3"] {
            assert!(RevisionToken::parse("f", text).is_err(), "{text}");
        }
    }
}
