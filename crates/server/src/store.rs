//! Where companies, changes and keys are kept. The trait's comments are its contract; the
//! conformance suite in `tests/it/store_conformance.rs` holds every engine to it.
//!
//! Knows no protocol, no service and no clock: times come in as arguments. One method is one
//! whole transaction, and what a method acknowledged is on disk.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::catalog::{
    access::{CoveredGrant, Grant},
    checkpoint::Checkpoint,
    company::{Business, Company},
    entry::{Catalog, Revision},
    error::{Cause, Error, Kind, Unavailable},
    id::{BusinessId, CompanyId, EntryId, KeyId},
    key::{Key, KeySecrets, SecretDigest},
    log::{Line, LoggedRequest, RequestId},
    settings::Settings,
    stream::{LineFilter, LinePlace, Stream, Streams},
    time::Timestamp,
};

mod forms;
pub mod postgres;
pub mod sqlite;
pub mod watched;

/// Lines of a log are read until their bodies have that many bytes together: a single one may be large, and five hundred
/// of those do not fit into memory.
pub(crate) const MOST_READ_BYTES: usize = 2 << 20;

/// Which of the unreleased schemas of number 1 this is. A store of another one is refused, as nothing is moved.
const LAYOUT: i64 = 4;
const OTHER_LAYOUT: &str = "is of another program from before the first release, and nothing of it is moved: make a new \
                            one, and load into it what that program exports";

/// The purpose for which a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A server: makes a new store where there is none yet. A data directory has one server at a
    /// time, a database as many as one likes.
    Serve {
        /// Whether to make the data directory too, where it is missing.
        make_directory: bool,
    },
    /// A command that writes, perhaps beside a server: makes a new store where there is none yet.
    Write,
    /// A command that only reads, perhaps beside a server: there must be a store.
    Read,
}

/// Companies, their locations and their catalogs, as they are.
#[async_trait]
pub trait Companies {
    /// A page of the covered companies, by name (code points) and then id, archived ones only
    /// where asked for: of those that come after a name and an id (`None`: of all) `offset` are
    /// skipped, at most `limit` answered. A coverage that names companies costs no more than these. A damaged one
    /// hides no other.
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError>;

    /// A page of the covered companies' businesses, by name (code points) and then id, archived
    /// ones and those of archived companies left out.
    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError>;

    /// The ids of the covered companies that have a row or a log, by id after one (`None`: from the
    /// first), at most `limit`. Reads nothing else of them, so that damage to one hides no other.
    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError>;

    /// The company that the business belongs to, whatever their states.
    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError>;

    /// The ids of all covered companies of that fold key (see [`Name::fold_key`](crate::catalog::text::Name::fold_key)), by id.
    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError>;

    /// The company's fold key as it is stored, and the version of the rule that all of them follow, for
    /// those who verify them; `None` if there is no such company.
    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError>;

    /// Everything of the company at its current revision; `None` if there is no such company.
    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError>;

    /// The company's current revision; `None` if there is no such company.
    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError>;

    /// Those of the ids that deleted entries of the catalog had, in any order.
    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError>;
}

/// The logs of all streams: writing them, which writes the rows, and reading them.
#[async_trait]
pub trait Log {
    /// Writes planned lines of logs and the rows of their deltas together, if each stream still is at its line's base
    /// (0: does not exist); else [`StoreError::Conflict`] and nothing is written. So is a request id that the key already
    /// used there, since its answer is in the log by now, and a key to be `live` that is revoked or not there.
    ///
    /// An id that belongs to something else is [`StoreError::Taken`], nothing written: of another company's location, of
    /// a deleted entry that is created again, of a key that is made; for the secret of a key, with the id of the key that
    /// has it.
    ///
    /// A line without deltas raises no revision and writes no row: it is added to the log at its base, where only
    /// [`Log::request`] finds it, and needs a request id. A request id needs a key.
    ///
    /// A line names each row at most once, in any order: entries may swap names and ranks. From base 0 its first delta
    /// makes the company or the key. A company's own row is [`StoreError::Outdated`] where a newer program has made the
    /// fold keys. A line that does not fit its stream or the rows is [`StoreError::Damaged`], nothing written.
    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError>;

    /// The same for a family: a key and those that descend from it.
    ///
    /// The lines are made of all that [`Keys::key_descendants`] finds, at most `limit`, while nobody else can write
    /// keys: so none is made meanwhile and left out. No lines are [`StoreError::Conflict`].
    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError>;

    /// The effect of the key's request of that id among these streams, if it was made before.
    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError>;

    /// All lines of a log after a place, in order, at most `limit`: each with its
    /// part, which is 0 for a change and 1, 2 … for the empty lines of requests that changed
    /// nothing at its revision. A place is a revision and a part; (0, 0) is before all. Like all
    /// methods that read a log it stops early after much ([`MOST_READ_BYTES`]), but never before the
    /// first line: only an empty answer is the end.
    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError>;

    /// The changes among these streams before a place (`None`: all), newest first, at most `limit`; empty lines are left
    /// out. With `wanted`, only those that it wants: of one stream the lines from `wanted.from` to `before` are looked
    /// at, and no others.
    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError>;

    /// A stream's revision at a moment: that of the last change at or before it. Times rise with the revisions, so that
    /// a few lines are looked at.
    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError>;
}

/// States of streams beside their logs, from which old states are found. They are no part of the data: any of them may
/// be missing.
#[async_trait]
pub trait Checkpoints {
    /// The first checkpoint of a stream within these revisions.
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>, StoreError>;

    /// Writes a checkpoint, in the place of one of the same revision that differs.
    async fn leave_checkpoint(
        &self,
        stream: &Stream,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError>;
}

/// Keys, as they are.
#[async_trait]
pub trait Keys {
    /// The key of that secret, the current or the previous one, whatever its state.
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError>;

    /// The keys after one of that id (`None`: from the first), by id, with the coarse time of their
    /// last use; at most `limit`. With `created_by`, those that this key made. A damaged one hides no other.
    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError>;

    /// One of them.
    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError>;

    /// The secrets of all keys, revoked ones too, that were written after a sequence, in its order; at most
    /// `limit`. The sequence counts the writes of all keys: what is written later has a higher one, so
    /// that the last one seen is where to go on.
    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError>;

    /// The keys that a key made, those that they made, and so on, as far as they are not revoked; by
    /// id, at most `limit`.
    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError>;

    /// The ids of the keys that have a row or a log, by id after one (`None`: from the first), at most
    /// `limit`. Reads nothing else of them, so that damage to one hides no other.
    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError>;

    /// When the next key expires after a moment, of those that are not revoked.
    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;
}

/// Data that is written often and is part of no log.
#[async_trait]
pub trait Uses {
    /// Remembers when keys were last used; unknown ids and times before the remembered one are
    /// passed over. Not part of any log.
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;
}

/// The store as a whole.
#[async_trait]
pub trait Meta {
    /// Which life of the data this is: 1, and one more after every restore of a backup, so that
    /// what was handed out before a restore is not mistaken for current.
    async fn epoch(&self) -> Result<u64, StoreError>;

    /// The schema and the size of the store, for people.
    async fn facts(&self) -> Result<Facts, StoreError>;

    /// Raises the epoch to a number, if it is lower.
    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError>;

    /// A number that differs from the last call's if anything at all may have been written in
    /// between, by this process or another; cheap enough for ten calls a second. `None` where the
    /// engine has no such number.
    async fn change_mark(&self) -> Result<Option<u64>, StoreError>;

    /// Tells of writes, of this process and of others, soon after they are made; some may get lost.
    /// `None` where the engine cannot, or where its change mark does as well.
    async fn notices(&self) -> Option<mpsc::Receiver<Notice>>;

    /// The faults of the database's own structure, at most `limit`: an index that is missing or not as the program
    /// makes it, with what mends it, and where the engine can tell, one that lacks rows, in its own words.
    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError>;
}

/// A store, for people who look whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The number of the schema.
    pub schema: u64,
    /// The bytes of the database, indexes included.
    pub bytes: u64,
}

/// One engine: all families together. A user of one family may take that alone.
pub trait Store:
    Companies + Log + Checkpoints + Keys + Uses + Meta + Send + Sync + 'static
{
}

impl<T: Companies + Log + Checkpoints + Keys + Uses + Meta + Send + Sync + 'static> Store for T {}

/// A key with the coarse time of its last use; by its id where it cannot be read.
pub type KeyRow = Listed<(Key, Option<Timestamp>), KeyId>;
/// A company; by its name as it is stored and its id where it cannot be read.
pub type CompanyRow = Listed<Company, (String, CompanyId)>;
/// A checkpoint; by its revision where it cannot be read.
pub type CheckpointRow = Listed<Checkpoint, Revision>;

/// A row of a list, or the one that cannot be read: it hides no other.
pub type Listed<T, P> = Result<T, Unreadable<P>>;

/// A row of a list that cannot be read, since what is stored of it is damaged.
#[derive(Clone, Debug)]
pub struct Unreadable<P> {
    /// Its place in the list, by which it is named.
    pub place: P,
    /// The damage.
    pub cause: Cause,
}

/// All rows of a list for those who can use no part of it.
pub fn sound<T, P>(rows: Vec<Listed<T, P>>) -> Result<Vec<T>, StoreError> {
    let rows: Result<_, Unreadable<P>> = rows.into_iter().collect();
    rows.map_err(|row| StoreError::Damaged(row.cause))
}

/// A row of a list as an engine read it.
fn listed<T, P>(place: P, read: Result<T, StoreError>) -> Result<Listed<T, P>, StoreError> {
    match read {
        Err(StoreError::Damaged(cause)) => Ok(Err(Unreadable { place, cause })),
        read => read.map(Ok),
    }
}

/// Makes the lines of a family out of the head's descendants. Knows the head.
pub type PlanFamily = Arc<dyn Fn(&[Key]) -> Option<Vec<(Stream, Line)>> + Send + Sync>;

/// A thing that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something of that company.
    Company(CompanyId),
    /// A key.
    Keys,
    /// Anything: notices may have been lost.
    Everything,
}

/// The failures of a store. Drivers' own errors do not leave it.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// Another write came first; nothing was written.
    Conflict,
    /// The id (or, for a key, the secret) belongs to something else; nothing was written.
    Taken(Kind, String),
    /// The engine does not answer, or the like; nothing was written.
    Unavailable(Cause),
    /// The engine's disk is full; nothing was written.
    Full(Cause),
    /// The opened data is not there any more, or something else stands in its place; nothing was written.
    Replaced(Cause),
    /// The engine failed while it committed; whether the write happened is not known.
    OutcomeUnknown(Cause),
    /// A newer program keeps the names by another rule; nothing was written.
    Outdated,
    /// The stored data cannot be understood, or the line does not fit it; nothing was
    /// written.
    Damaged(Cause),
}

impl StoreError {
    /// Whether the store could not do it just now, whatever it was, so that what is in memory may be
    /// served in its place.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_) | Self::Replaced(_))
    }
}

fn count_write(outcome: &Result<(), StoreError>) {
    let name = match outcome {
        Ok(()) => "written",
        Err(StoreError::Conflict) => "conflict",
        Err(StoreError::Taken(..)) => "taken",
        Err(StoreError::Unavailable(_)) => "unavailable",
        Err(StoreError::Full(_)) => "full",
        Err(StoreError::Replaced(_)) => "replaced",
        Err(StoreError::Outdated) => "outdated",
        Err(StoreError::OutcomeUnknown(_)) => "unknown",
        Err(StoreError::Damaged(_)) => "damaged",
    };
    metrics::counter!(crate::telemetry::STORE_WRITES, "outcome" => name).increment(1);
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Internal(Cause::new("a conflict was not planned again")),
            StoreError::Taken(kind, id) => Self::IdTaken { kind, id },
            StoreError::Unavailable(cause) => Self::Unavailable { what: Unavailable::Store, cause },
            StoreError::Full(cause) => Self::Unavailable { what: Unavailable::StoreFull, cause },
            StoreError::Replaced(cause) => {
                Self::Unavailable { what: Unavailable::StoreReplaced, cause }
            }
            StoreError::OutcomeUnknown(cause) => {
                Self::Unavailable { what: Unavailable::OutcomeUnknown, cause }
            }
            StoreError::Outdated => Self::Precondition {
                reason: "OUTDATED_PROGRAM",
                message: "a newer program compares names by another rule here, so that this one must not make or \
                          change companies: use the newer one"
                    .to_owned(),
            },
            StoreError::Damaged(cause) => Self::Internal(cause.of_damage()),
        }
    }
}
