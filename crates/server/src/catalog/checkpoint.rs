//! Checkpoints: a company's state at a revision, from which a few lines of the log lead to earlier states.
//!
//! A checkpoint repeats facts of the log. So a store may lose any checkpoint, and no answer relies on one
//! that does not fit the log.

use super::{
    delta::{Delta, Row},
    entry::{Catalog, Revision},
    log::Line,
    replay::{DoesNotApply, Replay},
    settings::Settings,
    time::Timestamp,
};

/// The fewest lines of one row each between two checkpoints.
pub const LINES: u64 = 128;
/// The bytes of a state for each line between two checkpoints. A line takes more with its columns and its index
/// entries, and a stored state takes less. So all checkpoints together take a fraction of the log.
const BYTES_OF_A_LINE: usize = 256;
/// The bytes of a location.
const BUSINESS_BYTES: usize = 512;
/// The bytes of an entry without its texts.
const ENTRY_BYTES: usize = 64;
/// This many moved entries take as long as one replaced entry.
const RANKS_OF_A_ROW: u64 = 8;

/// A state, as the change that would make all of it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Checkpoint {
    pub revision: Revision,
    /// The time of that revision.
    pub time: Timestamp,
    /// One delta for each row of the state.
    pub deltas: Vec<Delta>,
}

impl Checkpoint {
    /// The checkpoint of a state.
    pub fn of(settings: &Settings) -> Self {
        let mut deltas = vec![Delta::company(None, settings.company.clone())];
        let businesses = settings.businesses.iter();
        deltas.extend(businesses.map(|business| Delta::business(None, business.clone())));
        for catalog in Catalog::ALL {
            let entries = settings.entries(catalog).iter();
            deltas.extend(entries.map(|entry| Delta::entry(catalog, None, entry.clone())));
        }
        Self { revision: settings.revision, time: settings.changed_time, deltas }
    }

    /// The state as a replay, which can go along the log.
    pub fn replay(&self) -> Result<Replay, DoesNotApply> {
        let mut replay = Replay::default();
        replay.apply(self.revision, self.time, &self.deltas)?;
        Ok(replay)
    }
}

/// The weight of a line: the number of lines of one row that would take as long.
pub fn weight(line: &Line) -> u64 {
    let moved = line.deltas.iter().filter(|delta| matches!(delta.after, Some(Row::Rank(_))));
    let moved = moved.count() as u64;
    (line.deltas.len() as u64 - moved + moved / RANKS_OF_A_ROW).max(1)
}

/// The weight of lines between two checkpoints of such a state. It is a power of two, and larger for a large state.
pub fn spacing(settings: &Settings) -> u64 {
    let entries = settings.catalogs.iter().flat_map(|entries| entries.iter());
    let texts = entries
        .map(|entry| entry.name.as_str().len() + entry.description.as_str().len() + ENTRY_BYTES);
    let bytes = settings.businesses.len() * BUSINESS_BYTES + texts.sum::<usize>();
    ((bytes / BYTES_OF_A_LINE) as u64).max(LINES).next_power_of_two()
}

/// Whether the revision that a line made may have a checkpoint. This needs no state.
pub fn may_be_due(line: &Line) -> bool {
    is_at(line, LINES)
}

/// Whether the revision that a line made has a checkpoint. The revision decides this, not the last checkpoint. So a
/// write need not know the last checkpoint, and all nodes make the same ones.
pub fn is_due(settings: &Settings, line: &Line) -> bool {
    may_be_due(line) && is_at(line, spacing(settings))
}

/// Whether a line stands at a multiple of a spacing, which is smaller for heavy lines. The first
/// line has no earlier state.
fn is_at(line: &Line, spacing: u64) -> bool {
    let lines = (spacing / weight(line).next_power_of_two()).max(1);
    !line.is_empty() && line.revision > Revision(1) && line.revision.0.is_multiple_of(lines)
}
