//! The store of companies, changes and keys. The comments of its traits are their contract, and the conformance suite
//! in `tests/it/store_conformance.rs` checks every engine against it.
//!
//! This module knows no protocol, no service and no clock: times are arguments. One method is one whole transaction,
//! and a write that a method acknowledged is on disk.

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
    session::{Session, SignInLink},
    settings::Settings,
    source::SourceCheck,
    stream::{LineFilter, LinePlace, Stream, StreamKind, StreamName, Streams},
    time::Timestamp,
};

pub mod calls;
pub mod damages;
mod forms;
pub mod postgres;
pub mod sqlite;

use calls::Watch;

/// Lines of a log are read until their bodies have this many bytes together. A single line may be large, and five
/// hundred of those do not fit into memory.
pub(crate) const MOST_READ_BYTES: usize = 2 << 20;

/// Which of the unreleased schemas of number 1 this is. A store of another one is refused, as nothing is moved.
const LAYOUT: i64 = 9;
const OTHER_LAYOUT: &str = "is of another program from before the first release, and nothing of it is moved: make a new \
                            one, and load into it what that program exports";

/// The purpose for which a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A server, which makes a new store if there is none. A data directory has one server at a time. A
    /// database may have many.
    Serve {
        /// Whether to make a missing data directory too.
        make_directory: bool,
    },
    /// A command that writes, perhaps beside a server. It makes a new store if there is none.
    Write,
    /// A command that only reads, perhaps beside a server. There must be a store.
    Read,
}

/// Companies with their locations and catalogs, in their current state.
#[async_trait]
pub trait Companies {
    /// A page of the covered companies, by name (code points) and then id. Of the companies behind `after`
    /// (`None`: of all), `offset` are skipped and at most `limit` are returned. Archived companies are included
    /// only if `show_archived` is set. A coverage of named companies costs no more than these companies. A damaged
    /// company hides no other.
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError>;

    /// A page of the covered companies' businesses, by name (code points) and then id. Archived businesses, and those
    /// of archived companies, are left out.
    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError>;

    /// The ids of the covered companies that have a row or a log, by id, behind `after` (`None`: from the first on), at
    /// most `limit`. Nothing else of the companies is read, so that damage in one hides no other.
    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError>;

    /// The company that the business belongs to, whatever the states of both.
    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError>;

    /// The ids of all covered companies with that fold key (see
    /// [`Name::fold_key`](crate::catalog::text::Name::fold_key)), by id.
    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError>;

    /// The company's stored fold key, and the version of the rule that all stored fold keys follow, for `verify`;
    /// `None` if there is no such company.
    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError>;

    /// The whole company at its current revision; `None` if there is no such company.
    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError>;

    /// The company's current revision; `None` if there is no such company.
    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError>;

    /// The ids among `ids` that deleted entries of the catalog had, in any order.
    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError>;
}

/// The logs of all streams. Writing a log also writes the rows of its streams.
#[async_trait]
pub trait Log {
    /// Writes planned lines of logs together with the rows of their deltas, if each stream is at its line's base (0: it
    /// does not exist). Lines of one stream follow each other. Otherwise the error is [`StoreError::Conflict`], and nothing is written. The error is the same
    /// if the key already used the request id there, since the answer is in the log by now, and if the key `live` is
    /// revoked or does not exist.
    ///
    /// If an id belongs to another thing, the error is [`StoreError::Taken`], and nothing is written: a location's id
    /// of another company, a deleted entry's id for a new entry, a key's id for a new key. For the secret of another
    /// key, the error has that key's id.
    ///
    /// A line without deltas raises no revision and writes no row. It is added to the log at its base, where only
    /// [`Log::request`] finds it, and needs a request id. A request id needs a key.
    ///
    /// A line names each row at most once, in any order, so entries may exchange names and ranks. From base 0, its
    /// first delta makes the company or the key. If a newer program has made the fold keys, writing a company's own
    /// row is [`StoreError::Outdated`]. A line that does not fit its stream or the rows is [`StoreError::Damaged`],
    /// and nothing is written.
    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError>;

    /// Commits lines for a family: a key and its descendants.
    ///
    /// `plan` makes the lines from the result of [`Keys::key_descendants`], at most `limit`, while nobody else can
    /// write keys. So no key can be made meanwhile and left out. If `plan` returns no lines, the error is
    /// [`StoreError::Conflict`].
    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError>;

    /// The record of the key's request with that id in these streams, if it was made before.
    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError>;

    /// The lines of a log after a place, in order, at most `limit`. Each comes with its part, which is 0 for a change
    /// and 1, 2 … for the empty lines of requests that changed nothing at its revision. A place is a revision and a
    /// part, and (0, 0) is before all lines. Like every method that reads a log, this stops after [`MOST_READ_BYTES`],
    /// but never before the first line. So only an empty answer is the end.
    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError>;

    /// The changes in these streams before a place (`None`: all), newest first, at most `limit`, without empty
    /// lines. With `wanted`, only the changes that it wants. In a single stream, only the lines from `wanted.from`
    /// to `before` are read. If all of these are wanted, each follows the one before, and `before` is at most one
    /// revision behind the end of the log: a line that is missing is [`StoreError::Damaged`].
    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError>;

    /// A stream's revision at a moment: the revision of the last change at or before it. Times rise with revisions, so
    /// only a few lines are read.
    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError>;
}

/// States of streams beside their logs, by which old states are found. They are not part of the data: any
/// of them may be missing.
#[async_trait]
pub trait Checkpoints {
    /// The first checkpoint of a stream within these revisions.
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>, StoreError>;

    /// Writes a checkpoint. It replaces one of the same revision that differs.
    async fn leave_checkpoint(
        &self,
        stream: &Stream,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError>;
}

/// Keys, in their current state.
#[async_trait]
pub trait Keys {
    /// The key with that secret, the current or the previous one, whatever its state.
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError>;

    /// The keys behind `after` (`None`: from the first on), by id, with the coarse time of their last use, at most
    /// `limit`. With `created_by`, only the keys that this key made. A damaged key hides no other.
    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError>;

    /// A key, with the coarse time of its last use.
    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError>;

    /// The secrets of all keys, also of revoked ones, that were written after a sequence, in its order, at most
    /// `limit`. The sequence counts the writes of all keys. A later write has a higher number, so reading goes on
    /// after the last number.
    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError>;

    /// The keys that a key made, the keys that those made, and so on, without revoked ones, by id, at most `limit`.
    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError>;

    /// The ids of the keys that have a row or a log, by id, behind `after` (`None`: from the first on), at most
    /// `limit`. Nothing else of the keys is read, so that damage in one hides no other.
    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError>;

    /// The next moment, after `after`, at which a key expires that is not revoked.
    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;
}

/// Data that is written often and is part of no log.
#[async_trait]
pub trait Uses {
    /// Stores when keys were last used. Unknown ids, and times before the stored one, are ignored.
    /// This is part of no log.
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;
}

/// The last comparisons of companies with their sources. Part of no log.
#[async_trait]
pub trait SourceChecks {
    /// Stores a company's last comparison in place of the one before; passed over where there is no such company. A
    /// comparison without `held_back` leaves that of the one before.
    async fn leave_source_check(
        &self,
        grant: &Grant,
        check: &SourceCheck,
    ) -> Result<(), StoreError>;

    /// The last comparisons of the companies among `ids` that are covered and have one, in any order. Each has
    /// `held_back`.
    async fn source_checks(
        &self,
        grant: &CoveredGrant,
        ids: &[CompanyId],
    ) -> Result<Vec<(CompanyId, SourceCheck)>, StoreError>;
}

/// Sessions of people in the console and the links that begin one. Part of no log.
#[async_trait]
pub trait Sessions {
    /// Adds a session of a key that is there. Along with it ends the one that it takes the place of, and forgets what
    /// has expired by its time of creation and those of the key's sessions beyond [`MOST_SESSIONS`] that were used
    /// longest ago. With a link, only if this is there, has not expired and was not used, and the link is used up: else
    /// [`StoreError::Conflict`], nothing written.
    ///
    /// [`MOST_SESSIONS`]: crate::catalog::session::MOST_SESSIONS
    async fn begin_session(
        &self,
        session: &Session,
        in_place_of: Option<&SecretDigest>,
        by_link: Option<&SecretDigest>,
    ) -> Result<(), StoreError>;

    /// The session of that id, expired or not.
    async fn session(&self, id: &SecretDigest) -> Result<Option<Session>, StoreError>;

    /// The sessions of a key, those first that were used last; at most `limit`.
    async fn sessions(&self, key: &KeyId, limit: u32) -> Result<Vec<Session>, StoreError>;

    /// The sessions of all keys behind one of them, by key and id; at most `limit`.
    async fn all_sessions(
        &self,
        after: Option<(&KeyId, &SecretDigest)>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError>;

    /// Remembers when the session's person was active; passed over where there is no such session. Never moves back.
    async fn touch_session(&self, id: &SecretDigest, time: Timestamp) -> Result<(), StoreError>;

    /// Ends a session; passed over where there is no such session.
    async fn end_session(&self, id: &SecretDigest) -> Result<(), StoreError>;

    /// Adds a link to a key that exists. The key's earlier links stop working, since one of them may be in wrong hands.
    /// Links that have expired by `now` are deleted.
    async fn add_link(&self, link: &SignInLink, now: Timestamp) -> Result<(), StoreError>;

    /// The link of that id, expired or not, used or not.
    async fn link(&self, id: &SecretDigest) -> Result<Option<SignInLink>, StoreError>;
}

/// The store as a whole.
#[async_trait]
pub trait Meta {
    /// Calls this before and after each later call of a method, of all families.
    fn watch(&self, watch: Arc<dyn Watch>);

    /// The epoch of the data: 1, and one more after every restore of a backup. So a token from before a restore is
    /// not taken for a current one.
    async fn epoch(&self) -> Result<u64, StoreError>;

    /// The schema and the size of the store, for people.
    async fn facts(&self) -> Result<Facts, StoreError>;

    /// Raises the epoch to a number, if it is lower.
    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError>;

    /// A number that differs from the last call's if anything may have been written in between, by this process or
    /// another. It is cheap enough for ten calls a second. `None` if the engine has no such number.
    async fn change_mark(&self) -> Result<Option<u64>, StoreError>;

    /// Notices of writes, by this process and by others, soon after they are made. Some may be lost. `None` if the
    /// engine has no notices, or if its change mark is enough.
    async fn notices(&self) -> Option<mpsc::Receiver<Notice>>;

    /// The faults of the database's own structure, at most `limit`. An index that is missing or different comes with
    /// the statement that repairs it. If the engine can check indexes, one that lacks rows comes in the engine's words.
    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError>;
}

/// The facts about a store by which people check whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The number of the schema.
    pub schema: u64,
    /// The bytes of the database, with its indexes.
    pub bytes: u64,
}

/// An engine: all families together. A caller that uses one family may take that trait alone.
pub trait Store:
    Companies + Log + Checkpoints + Keys + Uses + SourceChecks + Sessions + Meta + Send + Sync + 'static
{
}

impl<T> Store for T where
    T: Companies
        + Log
        + Checkpoints
        + Keys
        + Uses
        + SourceChecks
        + Sessions
        + Meta
        + Send
        + Sync
        + 'static
{
}

/// A key with the coarse time of its last use, or the id of a key that cannot be read.
pub type KeyRow = Listed<(Key, Option<Timestamp>), KeyId>;
/// A company, or the stored name and the id of a company that cannot be read.
pub type CompanyRow = Listed<Company, (String, CompanyId)>;
/// A checkpoint; by its revision where it cannot be read.
pub type CheckpointRow = Listed<Checkpoint, Revision>;

/// A row of a list, or the place of a damaged one, so that it hides no other row.
pub type Listed<T, P> = Result<T, Unreadable<P>>;

/// A row of a list that cannot be read, since its stored data is damaged.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Unreadable<P> {
    /// The row's place in the list, which names it.
    pub place: P,
    pub cause: Cause,
}

/// All rows of a list, for callers that can use no part of it.
pub fn sound<T, P>(rows: Vec<Listed<T, P>>) -> Result<Vec<T>, StoreError> {
    let rows: Result<_, Unreadable<P>> = rows.into_iter().collect();
    rows.map_err(|row| StoreError::Damaged(row.cause))
}

/// The result of reading one row of a list.
fn listed<T, P>(place: P, read: Result<T, StoreError>) -> Result<Listed<T, P>, StoreError> {
    match read {
        Err(StoreError::Damaged(cause)) => Ok(Err(Unreadable { place, cause })),
        read => read.map(Ok),
    }
}

/// Makes the lines of a family from the head's descendants. The function has the head itself.
pub type PlanFamily = Arc<dyn Fn(&[Key]) -> Option<Vec<(Stream, Line)>> + Send + Sync>;

/// A thing that may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Anything of that stream.
    Stream(StreamName),
    /// Any key: a key is looked up by its secret, before anybody knows which stream it is.
    Keys,
    /// Anything at all, since notices may have been lost.
    Everything,
}

impl Notice {
    /// The notice of a change in that stream.
    pub fn of(stream: &Stream) -> Self {
        match stream.kind() {
            StreamKind::KEY => Self::Keys,
            _ => Self::Stream(stream.name().clone()),
        }
    }
}

/// The failures of a store. Errors of drivers do not leave the store.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// Another write came first. Nothing was written.
    Conflict,
    /// The id (or the secret of a key) belongs to another thing. Nothing was written.
    Taken(Kind, String),
    /// The engine does not answer, or cannot work. Nothing was written.
    Unavailable(Cause),
    /// The engine's disk is full. Nothing was written.
    Full(Cause),
    /// The opened data was deleted or replaced. Nothing was written.
    Replaced(Cause),
    /// The engine failed during a commit, so it is unknown whether the write happened.
    OutcomeUnknown(Cause),
    /// A newer program stores names by another rule. Nothing was written.
    Outdated,
    /// The stored data cannot be understood, or the line does not fit it. Nothing was written.
    Damaged(Cause),
}

impl StoreError {
    /// Whether the store could not answer for now, so that answers from memory may be served instead.
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
            StoreError::Taken(kind, id) => Self::IdTaken { kind, id, catalog: None },
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
                facts: vec![],
            },
            StoreError::Damaged(cause) => Self::Internal(cause.of_damage()),
        }
    }
}
