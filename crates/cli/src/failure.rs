//! Why a command failed: the lines that people read, and the exit code that scripts read.

use std::{fmt, process::ExitCode};

/// The text of `--help` about [`Exit`].
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  what was asked for does not exist
  4  refused: no valid key, or the key may not do that
  5  conflict: the name or id is taken, another change came first, or the state does not allow it
  6  the server cannot be reached, is overloaded, or took too long: try again later
  7  there are differences ('plan --check', 'mirror --check')
  141  the reader of standard output went away before it had everything, as 'head' does";

/// The exit code of a failed command; a test compares it with [`EXIT_CODES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Conflict = 5,
    Unavailable = 6,
    Differences = 7,
    Unread = 141,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line, or more lines if each adds something. Empty if nobody would read it.
    pub(crate) message: String,
    pub(crate) exit: Exit,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        failure(error)
    }
}

pub(crate) fn failure(message: impl fmt::Display) -> Failure {
    Failure { message: message.to_string(), exit: Exit::Failed }
}

/// The failure of a command that met damage without a server, and therefore without a log with details.
pub(crate) fn damaged(of: &str) -> Failure {
    failure(format!(
        "the data of {of} is damaged: 'customer-settings verify' names all that is wrong; keep it, and restore a \
         sound backup into an empty directory"
    ))
}

/// An error in the command line that clap cannot find.
pub(crate) fn usage(message: impl fmt::Display) -> Failure {
    Failure { message: message.to_string(), exit: Exit::Usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_the_exit_codes_that_there_are() {
        let code =
            |line: &str| line.split_whitespace().next().and_then(|code| code.parse::<u8>().ok());
        let listed = EXIT_CODES.lines().skip(1).map(|line| code(line).unwrap());
        let exits = [
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Refused,
            Exit::Conflict,
            Exit::Unavailable,
            Exit::Differences,
            Exit::Unread,
        ];
        let expected: Vec<u8> = [0].into_iter().chain(exits.map(|exit| exit as u8)).collect();
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }
}
