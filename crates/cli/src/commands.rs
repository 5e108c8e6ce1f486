//! The commands, one file per group, and what they share.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use customer_settings_server::catalog::error::{Cause, Error, Violation};

use crate::failure::{damaged, usage};
pub(crate) use crate::{
    failure::{Exit, Failure, failure},
    storage::Data,
};

pub(crate) mod backup;
pub(crate) mod business;
pub(crate) mod company;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod convert;
pub(crate) mod copy;
pub(crate) mod entry;
pub(crate) mod history;
pub(crate) mod key;
pub(crate) mod load;
pub(crate) mod man;
pub(crate) mod mirror;
mod names;
pub(crate) mod plan;
pub(crate) mod proto;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod status;
mod verbs;
pub(crate) mod verify;

/// The error about the value of a flag. A flag that is given always has a value, so "required" means blank.
pub(crate) fn wrong_value(violation: Violation) -> Failure {
    match violation.reason {
        "REQUIRED" => usage(format!("{} must not be blank", violation.field)),
        _ => usage(violation),
    }
}

/// The bytes of a file, or of standard input (`-`). More bytes than `most` are refused.
pub(crate) fn read_file(file: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let (name, opened): (_, io::Result<Box<dyn Read>>) = match file.as_os_str() {
        name if name == "-" => ("standard input".to_owned(), Ok(Box::new(io::stdin()))),
        _ => (file.display().to_string(), File::open(file).map(|file| Box::new(file) as _)),
    };
    let mut bytes = Vec::new();
    opened
        .and_then(|input| input.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| failure(format!("{name} cannot be read: {error}")))?;
    match bytes.len() as u64 > most {
        true => Err(failure(format!("{name} has more than {} MiB", most >> 20))),
        false => Ok(bytes),
    }
}

/// The error of a service, with its inner cause: the person who runs a command may read the cause.
pub(crate) fn explain(error: &Error) -> Failure {
    let cause = error.cause().map(Cause::told).filter(|cause| !cause.is_empty());
    if let Some(cause) = cause.filter(|_| error.cause().is_some_and(Cause::is_damage)) {
        return damaged(&format!("this store ({cause})"));
    }
    let message = match cause {
        Some(cause) => format!("{error} ({cause})"),
        None => format!("{error} ({})", error.reason()),
    };
    let exit = match error {
        Error::NotFound { .. } => Exit::NotFound,
        Error::Unavailable { .. } | Error::DeadlineExceeded => Exit::Unavailable,
        Error::SecretTaken { .. } => Exit::Conflict,
        _ => Exit::Failed,
    };
    Failure { message, exit }
}
