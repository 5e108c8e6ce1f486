//! The failures of the driver and the server, as errors of the store and as lines for people.

use std::{error::Error as _, fmt, io, path::PathBuf};

use tokio_postgres::{Error, error::SqlState};

use crate::{
    catalog::error::Cause,
    store::{OTHER_LAYOUT, StoreError},
};

/// Converts an error of the driver, where it is certain that nothing was written.
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
        // The tables are missing. They existed when the store was opened.
        "42P01" | "3F000" => StoreError::Replaced(cause),
        "XX001" | "XX002" => StoreError::Damaged(cause),
        // A violated rule of the schema, or an unknown value or name.
        code if matches!(&code[..2], "22" | "23" | "42") => StoreError::Damaged(cause),
        // Above all failures of the server's system (53, 58). A disk that cannot be read (58030) says
        // nothing about the data on it.
        _ => StoreError::Unavailable(cause),
    }
}

/// Converts the error of a query. No plan depends on a query, so a conflict with a writer only means to ask again.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn query_failure(error: Error) -> StoreError {
    match failure(&error) {
        StoreError::Conflict => unavailable(explain(&error)),
        other => other,
    }
}

/// Converts an error after COMMIT was sent. Only an error that says that the transaction was rolled back is certain: a
/// server may die, a connection may break, or an operator may intervene after the commit.
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

/// The error in one line: the server's own words with their code, else the whole chain of causes. A server's details
/// are left out, since they quote stored data.
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

/// Why a database cannot be used: one line for people, which says what to do. No variant shows the URL,
/// which may hold a password.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum OpenError {
    /// The URL cannot be parsed.
    #[error(
        "the database URL cannot be used: {0}; it looks like \
         postgres://user:password@host:5432/database?sslmode=verify-full"
    )]
    Url(String),
    /// The certificates of trusted authorities cannot be read.
    #[error("cannot use the certificates {} (sslrootcert): {problem}", path.display())]
    Roots { path: PathBuf, problem: String },
    /// This machine has no certificates of authorities of its own.
    #[error(
        "this machine trusts no certificate authority ({0}): name the database's own with \
         sslrootcert=FILE"
    )]
    NoRoots(String),
    /// No server answers.
    #[error(
        "the database server {server} cannot be reached: {cause}; check host and port, and that it runs"
    )]
    Unreachable { server: String, cause: String },
    /// The server does not speak TLS.
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
    NotTrusted { server: String, cause: String },
    /// The server refuses the user or the password.
    #[error("the database server {server} refuses: {cause}; check user and password in the URL")]
    Refused {
        server: String,
        /// The server's message.
        cause: String,
    },
    /// The server has no such database.
    #[error(
        "the database server {server} says: {cause}; check the URL, or make the database first"
    )]
    NoDatabase {
        server: String,
        /// The server's message.
        cause: String,
    },
    /// The database holds no store, and the command only reads.
    #[error(
        "the database {0} holds no store: check the URL; 'serve', 'apply', 'mirror' and 'key create' make one"
    )]
    NoStore(String),
    /// The database holds other tables, and no store.
    #[error(
        "the database {database} holds other tables ({found}) and no store: give an empty database, or \
         one that holds a store"
    )]
    NotEmpty {
        database: String,
        /// One of its tables.
        found: String,
    },
    /// Tables of the store are missing.
    #[error(
        "the database {database} holds a store without its table {missing}: restore a backup of the database"
    )]
    Incomplete {
        database: String,
        /// One of the missing tables.
        missing: String,
    },
    /// The current schema is empty, and another schema holds a store.
    #[error(
        "the database {database} holds a store in the schema {holder}, and none in {empty}, where the search_path \
         leads: say which in the URL with options=-csearch_path%3D{holder}, or give another store a database, or a \
         user, of its own"
    )]
    OtherSchema {
        database: String,
        /// The schema of the store.
        holder: String,
        /// The current schema.
        empty: String,
    },
    /// The user lacks a right that the program needs.
    #[error(
        "the user may not use the database {database} as needed: {cause}; make it the owner of the \
         database"
    )]
    NotAllowed {
        database: String,
        /// The server's message.
        cause: String,
    },
    /// The database takes no writes.
    #[error(
        "the database {0} takes no writes: it is a standby, or made read-only; give the primary, or \
         several hosts with target_session_attrs=read-write"
    )]
    ReadOnly(String),
    /// The database is older than this program, and the command only reads.
    #[error(
        "the database {database} has schema {found} and this program needs {program}: start a server \
         of this version, which brings it up to date"
    )]
    TooOld {
        database: String,
        /// The database's schema number.
        found: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// Only newer programs may use the database.
    #[error(
        "the database {database} needs a program of schema {needs} or later and this one has schema \
         {program}: use a newer customer-settings"
    )]
    TooNew {
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
    /// The database does not store texts as UTF-8.
    #[error(
        "the database {database} holds {encoding} and not UTF8: make it with ENCODING 'UTF8' TEMPLATE \
         template0"
    )]
    NotUtf8 { database: String, encoding: String },
    /// Any other failure.
    #[error("the database {database} cannot be used: {cause}")]
    Failed { database: String, cause: String },
}

impl OpenError {
    /// The reason why a connection was not made.
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
            // The driver does not reveal the kind of its error.
            _ if cause.contains("password missing") || cause.contains("authentication error") => {
                Self::Refused { server, cause }
            }
            _ => Self::Unreachable { server, cause },
        }
    }

    /// The reason why a connection could not be used.
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
