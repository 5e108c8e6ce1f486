//! Everything that can go wrong, as one closed list that knows no status codes.
//!
//! Clients may read the variants' fields. Details for the log alone are a [`Cause`], which cannot be displayed.

use std::fmt;

use super::{
    access::Scope,
    entry::{Catalog, Revision},
    id::{EntryId, KeyId},
    source::Mirrored,
    time::Timestamp,
};

mod cause;
mod limit;
mod past;
mod violation;

pub use cause::Cause;
pub use limit::{Limit, Sharer};
use past::write_past;
pub use past::{Past, PlanChanged};
use violation::write_violations;
pub use violation::{AND_MORE, MOST_VIOLATIONS, Violation, Violations};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error, with the facts that a good message needs.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum Error {
    /// The request carries no credential.
    NoCredential,
    /// The credential has a form that no key can have.
    MalformedCredential(CredentialMistake),
    /// There is no such key, or it was mistyped.
    UnknownKey,
    /// The key has expired.
    ExpiredKey { expired: Timestamp },
    /// The secret is the one from before the key was rotated, and it has expired.
    RotatedSecret { expired: Timestamp },
    /// The key was revoked.
    RevokedKey,
    /// The key may not be used from this address.
    AddressNotAllowed { address: String },
    /// The key lacks scopes.
    MissingScope {
        /// The scopes that the request needs and the key lacks.
        scopes: Vec<Scope>,
        /// The parts of the request that need them, as a sentence, where the method alone does not.
        why: Option<String>,
    },
    /// The key does not cover the company or business, whether or not it exists.
    NotCovered { kind: Kind, id: String },
    /// A key can only make and change keys within its own restrictions, and this one would lie outside.
    KeyNotWithin(Beyond),
    /// A key can only read and change keys within its own restrictions. This one lies outside, or does not exist.
    KeyOutOfReach { id: KeyId },
    /// Only keys that cover all companies may do this.
    NotCoveringAll,
    /// The thing does not exist, and the key covers everything, so it may learn that.
    NotFound { kind: Kind, id: String },
    /// Fields of the request are wrong.
    Invalid(Vec<Violation>),
    /// The name is taken by another active entry of the catalog.
    NameTaken {
        catalog: Catalog,
        name: String,
        /// The entry that has the name.
        holder: EntryId,
    },
    /// The id is taken, or was used before.
    IdTaken {
        kind: Kind,
        id: String,
        /// The catalog of the entry, where it is known: entries of several catalogs may have one id.
        catalog: Option<Catalog>,
    },
    /// Another key has the secret.
    SecretTaken {
        /// That key, if the caller may see it.
        holder: Option<KeyId>,
    },
    /// The thing has changed since the caller read it.
    EtagMismatch {
        /// The thing that the etag must be of, for example `customer_tags/tag_001`.
        what: String,
        /// Whether the thing is known to have had this etag once.
        was_its: bool,
        /// The changes since, newest first, as far as they are known.
        since: Vec<Past>,
    },
    /// The change belongs to the source that the company is a mirror of.
    Mirrored(Box<Mirrored>),
    /// The plan of a document is not the one that was shown, since the company has changed.
    PlanChanged(Box<PlanChanged>),
    /// The values that an undo would replace were changed again.
    ChangedSince {
        /// The change to undo.
        revision: Revision,
        /// The fields, for example `customer_tags/tag_001.name`.
        fields: Vec<String>,
        /// The later changes that touched them, newest first.
        since: Vec<Past>,
    },
    /// The request id was used for another request.
    RequestIdReused { request_id: String },
    /// One change of a batch cannot be made, so none is made. See [`Error::in_batch`].
    InBatch {
        /// The place of the change in the batch, from 0.
        index: usize,
        error: Box<Error>,
    },
    /// A cap is reached.
    TooMany {
        /// The things that are too many, for example `entries in customer_tags`.
        what: String,
        /// The cap.
        most: usize,
        /// The number of archived ones, which count too.
        archived: usize,
    },
    /// The state does not allow the change.
    Precondition {
        /// The condition's stable name.
        reason: &'static str,
        /// The condition, and the way to meet it.
        message: String,
        /// The facts for programs, by their names in docs/api.md.
        facts: Vec<(&'static str, String)>,
    },
    /// Other writers changed the same thing for as long as the request had time.
    Contended {
        /// A company or a key.
        kind: Kind,
        id: String,
        /// The thing's revision when the last attempt failed.
        revision: Revision,
    },
    /// A limit on requests is used up.
    TooManyRequests {
        limit: Limit,
        /// The time until the next attempt.
        retry_after_ms: u64,
    },
    /// The store does not answer, or the server is overloaded.
    Unavailable { what: Unavailable, cause: Cause },
    /// The request's deadline passed.
    DeadlineExceeded,
    /// The request's deadline passed before its work began: such work takes long, and earlier requests were first.
    NotBegun,
    /// A bug.
    Internal(Cause),
}

impl Error {
    /// An error about one field.
    pub fn invalid(field: &str, reason: &'static str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, reason, description)])
    }

    /// The error of one change of a batch. Its wrong fields are fields of the batch.
    pub fn in_batch(index: usize, error: Self) -> Self {
        match error {
            Self::Invalid(violations) => {
                let above = format!("changes[{index}]");
                Self::Invalid(violations.into_iter().map(|one| one.within(&above)).collect())
            }
            other => Self::InBatch { index, error: Box::new(other) },
        }
    }

    /// The stable name for programs, in UPPER_SNAKE_CASE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredential => "NO_CREDENTIAL",
            Self::MalformedCredential(mistake) => mistake.reason(),
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::ExpiredKey { .. } => "KEY_EXPIRED",
            Self::RotatedSecret { .. } => "KEY_ROTATED",
            Self::RevokedKey => "KEY_REVOKED",
            Self::AddressNotAllowed { .. } => "ADDRESS_NOT_ALLOWED",
            Self::MissingScope { .. } => "MISSING_SCOPE",
            Self::NotCovered { .. } => "NOT_COVERED",
            Self::KeyNotWithin(_) | Self::KeyOutOfReach { .. } => "KEY_NOT_WITHIN",
            Self::NotCoveringAll => "NOT_COVERING_ALL",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Invalid(_) => "INVALID_FIELD",
            Self::NameTaken { .. } => "NAME_TAKEN",
            Self::IdTaken { .. } => "ID_TAKEN",
            Self::SecretTaken { .. } => "SECRET_TAKEN",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::Mirrored(_) => Mirrored::REASON,
            Self::PlanChanged(_) => "PLAN_CHANGED",
            Self::ChangedSince { .. } => "CHANGED_SINCE",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            Self::InBatch { error, .. } => error.reason(),
            Self::TooMany { .. } => "TOO_MANY",
            Self::Precondition { reason, .. } => reason,
            Self::Contended { .. } => "CONTENDED",
            Self::TooManyRequests { limit, .. } => limit.reason(),
            Self::Unavailable { what, .. } => what.reason(),
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotBegun => "NOT_BEGUN",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// Whether the error is about the content of a change: the rules and the company as it is refuse it.
    pub fn is_of_content(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_)
                | Self::NameTaken { .. }
                | Self::IdTaken { .. }
                | Self::TooMany { .. }
                | Self::Precondition { .. }
                | Self::Mirrored(_)
        )
    }

    /// The details for the log alone.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unavailable { cause, .. } | Self::Internal(cause) => Some(cause),
            Self::InBatch { error, .. } => error.cause(),
            _ => None,
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }
}

impl std::error::Error for Error {}

/// The sentence for people: what was wrong, and what to do.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => f.write_str(
                "no credential: send the key as 'Authorization: Bearer <key>' or as Basic authentication's \
                 user name with an empty password",
            ),
            Self::MalformedCredential(mistake) => mistake.fmt(f),
            Self::UnknownKey => f.write_str(
                "unknown key: check that it was copied whole; 'customer-settings key list' shows the keys there are",
            ),
            Self::ExpiredKey { .. } => f.write_str("the key has expired: ask for a new one"),
            Self::RotatedSecret { .. } => {
                f.write_str("the key was rotated and this is its old secret, whose time is over: use the new one")
            }
            Self::RevokedKey => f.write_str("the key was revoked: ask for a new one"),
            Self::AddressNotAllowed { address } => {
                write!(f, "the key may not be used from {address}: its allowed addresses do not include it")
            }
            Self::MissingScope { scopes, why } => write_missing(f, scopes, why.as_deref()),
            Self::NotCovered { kind, id } => {
                write!(f, "the key does not cover {kind} {id}, or there is no such {kind}")
            }
            Self::KeyNotWithin(beyond) => write_not_within(f, beyond),
            Self::KeyOutOfReach { .. } => f.write_str(OUT_OF_REACH),
            Self::NotCoveringAll => f.write_str(
                "only a key that covers all companies can create one: use such a key, or have the company created for \
                 you",
            ),
            Self::NotFound { kind, id } => write!(f, "there is no {kind} {id}"),
            Self::Invalid(violations) => write_violations(f, violations),
            Self::NameTaken { catalog, name, holder } => write!(
                f,
                "the name \"{name}\" is taken in {catalog} by the active entry {holder}{FREE_NAME}"
            ),
            Self::IdTaken { kind, id, .. } => write!(f, "the {kind} id {id} is taken{FREE_ID}"),
            Self::SecretTaken { holder } => write_secret_taken(f, holder.as_ref()),
            Self::EtagMismatch { what, was_its, since } => write_mismatch(f, what, *was_its, since),
            Self::Mirrored(mirrored) => mirrored.fmt(f),
            Self::PlanChanged(changed) => changed.fmt(f),
            Self::ChangedSince { revision, fields, since } => {
                write!(f, "revision {revision} cannot be undone, since {} changed again", few(fields, MOST_NAMED))?;
                write_past(f, since)?;
                f.write_str("; undo those changes first, newest first, or change the fields by hand")
            }
            Self::RequestIdReused { request_id } => write!(
                f,
                "the request id {request_id} was used for another request: repeat a request unchanged, or give it a \
                 new id"
            ),
            Self::InBatch { index, error } => write!(f, "changes[{index}]: {error}"),
            Self::TooMany { what, most, archived } => write_too_many(f, what, *most, *archived),
            Self::Precondition { message, .. } => f.write_str(message),
            Self::Contended { kind, id, revision } => write!(
                f,
                "others kept changing {kind} {id} (now at revision {revision}); nothing was written, try again"
            ),
            Self::TooManyRequests { limit, retry_after_ms } => {
                write!(f, "too many requests {limit}: try again in {retry_after_ms} ms")
            }
            Self::Unavailable { what, .. } => what.fmt(f),
            Self::DeadlineExceeded => f.write_str(
                "the request took longer than its deadline; a write may or may not have happened, a read can be repeated",
            ),
            Self::NotBegun => f.write_str(
                "nothing was carried out: what takes long waits in a queue, and the request's deadline came first; \
                 try again later, with fewer of these at once",
            ),
            Self::Internal(_) => {
                f.write_str("an internal error; the server's log has more under this answer's request id")
            }
        }
    }
}

/// The way out where a name is taken.
const FREE_NAME: &str = ": choose another name, or rename or archive that entry first";
/// The way out where a secret is taken.
const FREE_SECRET: &str = ": use that key, or give this one another secret, as none is used again, even if its key was \
                           revoked";
/// The way out where an id is taken.
const FREE_ID: &str =
    ": choose another one, as an id is never given again, not even after a deletion";

fn write_secret_taken(f: &mut fmt::Formatter<'_>, holder: Option<&KeyId>) -> fmt::Result {
    let holder = holder.map_or("a key".to_owned(), |id| format!("the key {id}"));
    write!(f, "the secret belongs to {holder} already{FREE_SECRET}")
}

fn write_missing(f: &mut fmt::Formatter<'_>, scopes: &[Scope], why: Option<&str>) -> fmt::Result {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let (s, them) = if names.len() == 1 { ("", "it") } else { ("s", "them") };
    let names = names.join(" and ");
    write!(
        f,
        "the key lacks the scope{s} {names}: use a key that has {them}, or have {them} added"
    )?;
    why.map_or(Ok(()), |why| write!(f, "; {why}"))
}

fn write_not_within(f: &mut fmt::Formatter<'_>, beyond: &Beyond) -> fmt::Result {
    let Beyond { restriction, own } = beyond;
    write!(
        f,
        "nobody can give a key more than the own key has, and this goes beyond its {restriction}: {own}"
    )
}

/// A key that does not exist has the sentence of one that may not be seen.
const OUT_OF_REACH: &str = "there is no such key, or it may do more than the key that asks, which cannot see or change it then";

fn write_too_many(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    most: usize,
    archived: usize,
) -> fmt::Result {
    write!(f, "too many {what}: at most {most} are allowed")?;
    match archived {
        0 => Ok(()),
        archived => write!(f, ", archived ones too, of which there are {archived}"),
    }
}

fn write_mismatch(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    was_its: bool,
    since: &[Past],
) -> fmt::Result {
    if was_its {
        write!(f, "{what} changed since that etag was read")?;
        write_past(f, since)?;
        return f.write_str(
            "; nothing was written: read it again, then repeat the change with the new etag",
        );
    }
    write!(
        f,
        "that etag is not the one of {what}, nor one that it is known to have had; nothing was written: read {what} \
         itself, then repeat the change with its etag"
    )
}

/// The most things of one sort that a message names.
pub const MOST_NAMED: usize = 5;

/// The first of many things, and the number of the others: "a, b and 7 more".
pub fn few<T: fmt::Display>(things: &[T], most: usize) -> String {
    let named: Vec<String> = things.iter().take(most).map(ToString::to_string).collect();
    let named = named.join(", ");
    match things.len().saturating_sub(most) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The kind of thing that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Company,
    Business,
    Entry,
    Key,
    /// A line of a change log.
    Change,
    /// A person who is signed in to the console.
    Session,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Company => "company",
            Self::Business => "business",
            Self::Entry => "entry",
            Self::Key => "key",
            Self::Change => "change",
            Self::Session => "session",
        })
    }
}

/// A restriction of the caller that a key would go beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The restricted field, as people name it.
    pub restriction: &'static str,
    /// The caller's own value of the field.
    pub own: String,
}

/// A mistake in how a credential was put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialMistake {
    /// The secret was encoded in base64 twice.
    EncodedTwice,
    /// `Basic` has the secret itself, not in base64.
    NotEncoded,
    /// The scheme is neither `Basic` nor `Bearer`.
    UnknownScheme,
    /// There is no scheme, and this server needs one.
    NoScheme,
    /// There is a scheme behind the scheme.
    SchemeTwice,
    /// There is no key in the value.
    Empty,
    /// The value is not text, or too long.
    Unreadable,
    /// The header was sent several times with different values, so that nobody can say which value counts.
    Several,
}

impl CredentialMistake {
    const fn reason(self) -> &'static str {
        match self {
            Self::EncodedTwice => "CREDENTIAL_ENCODED_TWICE",
            Self::NotEncoded => "CREDENTIAL_NOT_ENCODED",
            Self::UnknownScheme | Self::NoScheme | Self::SchemeTwice => "CREDENTIAL_SCHEME",
            Self::Empty => "CREDENTIAL_EMPTY",
            Self::Unreadable => "CREDENTIAL_UNREADABLE",
            Self::Several => "CREDENTIAL_CONFLICTING",
        }
    }
}

impl fmt::Display for CredentialMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncodedTwice => {
                "the credential was base64-encoded twice: encode the key once for 'Authorization: Basic', or send it \
                 as it is with 'Bearer'"
            }
            Self::NotEncoded => {
                "the credential was not base64-encoded: 'Authorization: Basic' takes the base64 of the key; to send \
                 the key as it is, use 'Bearer'"
            }
            Self::UnknownScheme => {
                "the Authorization header has no scheme that this server knows: use 'Basic' or 'Bearer'"
            }
            Self::NoScheme => {
                "the Authorization header has no scheme that this server knows: use 'Basic' or 'Bearer', or set \
                 accept_bare_base64 on the server for clients that send base64 alone"
            }
            Self::SchemeTwice => {
                "the Authorization header has a scheme twice, as in 'Bearer Bearer <key>': a client that writes the \
                 scheme itself takes the key alone"
            }
            Self::Empty => {
                "the Authorization header has no key in it, as it has where a variable is empty: send \
                 'Bearer <key>' or 'Basic <base64 of the key>'"
            }
            Self::Unreadable => {
                "the Authorization header cannot be read: send 'Bearer <key>' or 'Basic <base64 of the key>'"
            }
            Self::Several => {
                "the Authorization header was sent twice with different values: send one"
            }
        })
    }
}

/// The reason why the server cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The database does not answer.
    Store,
    /// The database takes no writes, as its disk is full.
    StoreFull,
    /// The data was deleted or replaced while the server used it.
    StoreReplaced,
    /// The database failed during a commit, so the outcome of the write is unknown.
    OutcomeUnknown,
    /// The server has more requests, or more bytes of bodies, at once than it takes.
    Overloaded,
    /// The revision that the caller named has not arrived here yet.
    NotSeenYet,
}

impl Unavailable {
    const fn reason(self) -> &'static str {
        match self {
            Self::Store => "STORE_UNAVAILABLE",
            Self::StoreFull => "STORE_FULL",
            Self::StoreReplaced => "STORE_REPLACED",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::Overloaded => "OVERLOADED",
            Self::NotSeenYet => "NOT_SEEN_YET",
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "the database does not answer; try again shortly",
            Self::StoreFull => {
                "the disk of the database is full: nothing was written; try again once there is room"
            }
            Self::StoreReplaced => {
                "the data of this server was deleted or replaced while it runs: nothing was written, and nothing will \
                 be until whoever operates it has put the data back or started it again"
            }
            Self::OutcomeUnknown => {
                "the database failed while the write was committed: whether it happened is not known; repeat it with \
                 the same request id"
            }
            Self::NotSeenYet => {
                "the revision of Settings-Min-Revision is not there yet; try again shortly"
            }
            Self::Overloaded => {
                "the server has more requests, or bytes of their bodies, at once than it takes; try again shortly"
            }
        })
    }
}
