//! The commands, one file per group, and what they share.

use customer_settings_server::catalog::error::{Cause, Error, Violation};

use crate::failure::{damaged, usage};
pub(crate) use crate::{
    failure::{Failure, failure},
    storage::Data,
};

pub(crate) mod backup;
pub(crate) mod business;
pub(crate) mod company;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod entry;
pub(crate) mod history;
pub(crate) mod key;
pub(crate) mod load;
pub(crate) mod serve;
mod verbs;
pub(crate) mod verify;

/// What is wrong with the value of a flag, which cannot be missing where it was given.
pub(crate) fn wrong_value(violation: Violation) -> Failure {
    match violation.reason {
        "REQUIRED" => usage(format!("{} must not be blank", violation.field)),
        _ => usage(violation),
    }
}

/// An error of a service, with the inner cause: whoever runs a command here may read it.
pub(crate) fn explain(error: &Error) -> Failure {
    if error.cause().is_some_and(Cause::is_damage) {
        return damaged("this store");
    }
    match error.cause().map(|cause| cause.for_log()).filter(|cause| !cause.is_empty()) {
        Some(cause) => failure(format!("{error} ({cause})")),
        None => failure(error),
    }
}
