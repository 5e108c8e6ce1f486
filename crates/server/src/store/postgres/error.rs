//! What the driver and the server say went wrong, as the store's errors and as lines for people.

use std::{error::Error as _, fmt, io, path::PathBuf};

use tokio_postgres::{Error, error::SqlState};

use crate::{
    catalog::error::Cause,
    store::{OTHER_LAYOUT, StoreError},
};

/// The driver's errors as the store's, where it is certain that nothing was written.
pub(super) fn failure(error: &Error) -> StoreError {
    let cause = Cause::new(explain(error));
    let Some(code) = error.code() else {
        // A value that does not fit its column is the only failure that is not the connection's.
        let is_value = error.source().is_some_and(|source| {
            source.downcast_ref::<tokio_postgres::types::WrongType>().is_some()
        });
        return if is_value { StoreError::Damaged(cause) } else { StoreError::Unavailable(cause) };
    };
    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
        return StoreError::Conflict;
    }
    match code.code() {
        "53100" => StoreError::Full(cause),
        // Tables that are gone: whoever has opened them asks for them.
        "42P01" | "3F000" => StoreError::Replaced(cause),
        "XX001" | "XX002" => StoreError::Damaged(cause),
        // A broken rule of the schema, a value or a name that there is not.
        code if matches!(&code[..2], "22" | "23" | "42") => StoreError::Damaged(cause),
        // Above all what the server's system does not do for it (53, 58): a disk that cannot be read (58030)
        // says nothing about what is on it.
        _ => StoreError::Unavailable(cause),
    }
}

/// The same for a query: nothing is planned again because of it, so a conflict with a writer only
/// means to ask again.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn query_failure(error: Error) -> StoreError {
    match failure(&error) {
        StoreError::Conflict => unavailable(explain(&error)),
        other => other,
    }
}

/// The same once COMMIT was sent. Only what says that the transaction was rolled back is certain:
/// a server that dies, a connection that breaks or an operator's order may come after the commit.
pub(super) fn commit_failure(error: &Error) -> StoreError {
    let is_rolled_back = error.code().is_some_and(|code| {
        *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
            && matches!(&code.code()[..2], "23" | "25" | "40")
    });
    if is_rolled_back {
        failure(error)
    } else {
        StoreError::OutcomeUnknown(Cause::new(explain(error)))
    }
}

pub(super) fn damaged(error: impl fmt::Display) -> StoreError {
    StoreError::Damaged(Cause::new(error))
}

pub(super) fn unavailable(error: impl fmt::Display) -> StoreError {
    StoreError::Unavailable(Cause::new(error))
}

/// One line: the server's own words with their code, else the whole chain of causes. A server's
/// details are left out, since they quote what is stored.
pub(super) fn explain(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace('\n', " ")
}

/// Why a database cannot be used: one line for people, which says what to do. None of them shows
/// the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be read.
    #[error(
        "the database URL cannot be used: {0}; it looks like \
         postgres://user:password@host:5432/database?sslmode=verify-full"
    )]
    Url(String),
    /// The certificates of those who may vouch for the server cannot be read.
    #[error("cannot use the certificates {} (sslrootcert): {problem}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// This machine has no such certificates of its own.
    #[error(
        "this machine trusts no certificate authority ({0}): name the database's own with \
         sslrootcert=FILE"
    )]
    NoRoots(String),
    /// Nobody answers.
    #[error(
        "the database server {server} cannot be reached: {cause}; check host and port, and that it runs"
    )]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        cause: String,
    },
    /// The server speaks no TLS.
    #[error(
        "the database server {0} speaks no TLS: turn it on there; sslmode=disable sends everything in \
         the clear"
    )]
    NoTls(String),
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of the database server {server} is not trusted: {cause}; sslrootcert=FILE \
         names who signed it, sslmode=verify-ca leaves its name out"
    )]
    NotTrusted {
        /// Which server.
        server: String,
        /// Why not.
        cause: String,
    },
    /// The server refuses the user or the password.
    #[error("the database server {server} refuses: {cause}; check user and password in the URL")]
    Refused {
        /// Which server.
        server: String,
        /// What it says.
        cause: String,
    },
    /// The server has no such database.
    #[error(
        "the database server {server} says: {cause}; check the URL, or make the database first"
    )]
    NoDatabase {
        /// Which server.
        server: String,
        /// What it says.
        cause: String,
    },
    /// The database holds no store, and only reading was asked for.
    #[error(
        "the database {0} holds no store: check the URL; 'serve', 'load' and 'key create' make one"
    )]
    NoStore(String),
    /// The database holds no store but something else.
    #[error(
        "the database {database} holds other tables ({found}) and no store: give an empty database, or \
         one that holds a store"
    )]
    NotEmpty {
        /// The database.
        database: String,
        /// One of its tables.
        found: String,
    },
    /// Tables of the store are missing.
    #[error(
        "the database {database} holds a store without its table {missing}: restore a backup of the database"
    )]
    Incomplete {
        /// The database.
        database: String,
        /// One of the tables.
        missing: String,
    },
    /// The schema that is used is empty, and another one holds a store.
    #[error(
        "the database {database} holds a store in the schema {holder}, and none in {empty}, where the search_path \
         leads: say which in the URL with options=-csearch_path%3D{holder}, or give another store a database, or a \
         user, of its own"
    )]
    OtherSchema {
        /// The database.
        database: String,
        /// The schema of the store.
        holder: String,
        /// The one that is used.
        empty: String,
    },
    /// The user may not do what is needed.
    #[error(
        "the user may not use the database {database} as needed: {cause}; make it the owner of the \
         database"
    )]
    NotAllowed {
        /// The database.
        database: String,
        /// What the server says.
        cause: String,
    },
    /// The database takes no writes.
    #[error(
        "the database {0} takes no writes: it is a standby, or made read-only; give the primary, or \
         several hosts with target_session_attrs=read-write"
    )]
    ReadOnly(String),
    /// The database is older than this program, and only reading was asked for.
    #[error(
        "the database {database} has schema {found} and this program needs {program}: start a server \
         of this version, which brings it up to date"
    )]
    TooOld {
        /// The database.
        database: String,
        /// Its schema number.
        found: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is for newer programs only.
    #[error(
        "the database {database} needs a program of schema {needs} or later and this one has schema \
         {program}: use a newer customer-settings"
    )]
    TooNew {
        /// The database.
        database: String,
        /// The oldest schema number of a program that may use it.
        needs: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is of a program from before the first release.
    #[error("the database {0} {layout}", layout = OTHER_LAYOUT)]
    OtherLayout(String),
    /// The database's tables are not those of this program.
    #[error("{0} is not a database of customer-settings")]
    NotOurs(String),
    /// The database does not hold texts as UTF-8.
    #[error(
        "the database {database} holds {encoding} and not UTF8: make it with ENCODING 'UTF8' TEMPLATE \
         template0"
    )]
    NotUtf8 {
        /// The database.
        database: String,
        /// What it is instead.
        encoding: String,
    },
    /// Anything else.
    #[error("the database {database} cannot be used: {cause}")]
    Failed {
        /// The database.
        database: String,
        /// What failed.
        cause: String,
    },
}

impl OpenError {
    /// Why no connection was made.
    pub(super) fn of_connecting(server: &str, error: &Error) -> Self {
        let (server, cause) = (server.to_owned(), explain(error));
        if let Some(code) = error.code() {
            return match code.code() {
                "28000" | "28P01" => Self::Refused { server, cause },
                "3D000" => Self::NoDatabase { server, cause },
                _ => Self::Unreachable { server, cause },
            };
        }
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let tls = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        match tls {
            Some(rustls::Error::InvalidCertificate(_)) => Self::NotTrusted { server, cause },
            _ if cause.contains("does not support TLS") => Self::NoTls(server),
            // The driver keeps to itself what kind of error it is.
            _ if cause.contains("password missing") || cause.contains("authentication error") => {
                Self::Refused { server, cause }
            }
            _ => Self::Unreachable { server, cause },
        }
    }

    /// Why a connection was of no use.
    pub(super) fn of_using(database: &str, error: &Error) -> Self {
        let (database, cause) = (database.to_owned(), explain(error));
        match error.code() {
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::NotAllowed { database, cause }
            }
            _ => Self::Failed { database, cause },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_longer_than_a_line_or_lacks_its_database() {
        let text = || "settings at db:5432".to_owned();
        for error in [
            OpenError::Unreachable { server: text(), cause: "gone".into() },
            OpenError::NoTls(text()),
            OpenError::NotTrusted { server: text(), cause: "UnknownIssuer".into() },
            OpenError::Refused { server: text(), cause: "no".into() },
            OpenError::NoDatabase { server: text(), cause: "no".into() },
            OpenError::NoStore(text()),
            OpenError::NotEmpty { database: text(), found: "theirs".into() },
            OpenError::Incomplete { database: text(), missing: "companies".into() },
            OpenError::OtherSchema { database: text(), holder: "one".into(), empty: "two".into() },
            OpenError::NotAllowed { database: text(), cause: "no".into() },
            OpenError::ReadOnly(text()),
            OpenError::TooOld { database: text(), found: 1, program: 2 },
            OpenError::TooNew { database: text(), needs: 2, program: 1 },
            OpenError::OtherLayout(text()),
            OpenError::NotOurs(text()),
            OpenError::NotUtf8 { database: text(), encoding: "LATIN1".into() },
            OpenError::Failed { database: text(), cause: "no".into() },
        ] {
            let line = error.to_string();
            assert!(line.contains("settings at db:5432") && !line.contains('\n'), "{line}");
        }
    }
}
