//! Planning a write: a pure function from a company's settings and a change to the rows to write.

use super::{
    access::Actor,
    entry::Revision,
    settings::{Delta, Settings},
    time::Timestamp,
};

/// What a store writes: the deltas as rows and as one line of the change log.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The revision that was read; 0 where the company does not exist yet.
    pub base: Revision,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What changes.
    pub deltas: Vec<Delta>,
    /// The company after the change, at the revision after `base`.
    pub after: Settings,
}
