//! Errors in the command line: with tips for what people know from other programs or from `load`, and without secrets.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{
    Command, CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    Arguments, PROGRAM, ended,
    failure::{Exit, Failure},
    output::{print, tell},
};

/// Prints the help, or the error in the command line.
pub(crate) fn show(error: clap::Error) -> ExitCode {
    let error = explained(error, env::args_os().skip(1));
    let mut text = error.render().to_string();
    if !error.use_stderr() {
        // `print` uses colors on a terminal. Output that is not a terminal may be cut short, which
        // `print(&text)` handles.
        let is_watched = io::stdout().is_terminal();
        return ended(if is_watched { error.print().map_err(Failure::from) } else { print(&text) });
    }
    let is_unreadable = error.kind() == ErrorKind::InvalidUtf8;
    if is_unreadable {
        let wrong = env::args_os().find(|argument| argument.to_str().is_none());
        let wrong = wrong.unwrap_or_default();
        text = format!("error: the argument {} is not UTF-8 text", wrong.to_string_lossy());
    }
    let arguments = env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let shown = without_secrets(&text, arguments);
    if shown == text && !is_unreadable {
        _ = error.print();
    } else {
        tell(shown.trim_end());
    }
    Exit::Usage.into()
}

/// The error text for a command line that cannot be read, without words that may be or contain a secret: such
/// texts end up in the logs of programs that run commands.
fn without_secrets(text: &str, arguments: impl Iterator<Item = String>) -> String {
    let may_be_secret = |word: &str| {
        ["://", "password="].iter().any(|mark| word.contains(mark)) || word.starts_with("cs_")
    };
    let mut text = text.to_owned();
    for argument in arguments {
        let value = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => value,
            _ => &argument,
        };
        if may_be_secret(value) {
            text = text.replace(value, "…");
        }
    }
    text
}

/// The error with a tip that fits this program, in place of the library's.
fn explained(mut error: clap::Error, arguments: impl Iterator<Item = OsString>) -> clap::Error {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let (wrong, all) = (wrong.clone(), Arguments::command());
    let mut command = &all;
    let words = arguments.filter(|word| !word.to_string_lossy().starts_with('-'));
    for word in words {
        match word.to_str().and_then(|word| command.find_subcommand(word)) {
            Some(inner) => command = inner,
            None => break,
        }
    }
    if wrong.starts_with("--") {
        // The library advises to pass a flag that it does not know as a value, such as an id.
        error.remove(ContextKind::Suggested);
    }
    if let Some(tip) = tip(&all, command, &wrong) {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn tip(all: &Command, command: &Command, wrong: &str) -> Option<String> {
    let takes = |flag: &str| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
    let tip = match wrong {
        _ if command.get_name() == "load" && is_of_apply(all, wrong) => {
            return Some(format!("'{PROGRAM} apply --yes' takes it, and replaces 'load'"));
        }
        "--json" | "--format" if takes("output") => "'--output json' prints JSON",
        "--id" | "--company-id" if command.get_positionals().next().is_some() => {
            "ids have no flag here: they stand where the usage shows them"
        }
        "--filter" if takes("search") => {
            "'--search' takes a part of a name, or the beginning of an id"
        }
        _ => return None,
    };
    Some(tip.to_owned())
}

/// Whether `apply` takes a word that is wrong for `load`: one of its flags, or another document.
fn is_of_apply(all: &Command, wrong: &str) -> bool {
    let mut of_apply = all.find_subcommand("apply").into_iter().flat_map(Command::get_arguments);
    match wrong.strip_prefix("--") {
        Some(name) => of_apply.any(|argument| argument.get_long() == Some(name)),
        None => !wrong.starts_with('-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the error in a command line.
    fn told(line: &str) -> String {
        let words = || line.split(' ').map(OsString::from);
        let program = [OsString::from(PROGRAM)].into_iter();
        let error = Arguments::command().try_get_matches_from(program.chain(words()));
        explained(error.unwrap_err(), words()).render().to_string()
    }

    #[test]
    fn a_flag_of_other_programs_says_what_is_meant_here() {
        for (line, tip) in [
            ("company list --json", "'--output json' prints JSON"),
            ("entry list c customer_tags --format json", "'--output json' prints JSON"),
            ("company get --id c", "ids have no flag here"),
            ("company list --filter x", "'--search' takes"),
        ] {
            let text = told(line);
            assert!(text.contains(&format!("tip: {tip}")), "{line}: {text}");
            assert_eq!(text.matches("tip:").count(), 1, "{line}: {text}");
        }
        for line in ["backup --json", "company list --id c", "entry list c life_cycles --archive"] {
            assert!(
                !["'--output json'", "ids have no"].iter().any(|tip| told(line).contains(tip)),
                "{line}"
            );
        }
    }

    #[test]
    fn load_points_to_apply_for_all_that_apply_takes_and_load_does_not() {
        let all = Arguments::command();
        let options = |command: &str| -> Vec<String> {
            let found = all.find_subcommand(command).unwrap().get_arguments();
            found
                .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
                .collect()
        };
        let tip = "apply --yes' takes it";
        let of_load = options("load");
        let missing: Vec<_> =
            options("apply").into_iter().filter(|one| !of_load.contains(one)).collect();
        assert!(missing.len() > 10, "{missing:?}");
        for option in &missing {
            let said = told(&format!("load companies.yaml {option} value"));
            assert!(said.contains(tip), "{option}: {said}");
        }
        assert!(told("--quiet load --server=http://127.0.0.1 companies.yaml").contains(tip));
        assert!(told("load companies.yaml others.yaml").contains(tip));
        assert!(!told("load companies.yaml --sever").contains(tip));
        assert!(!told("verify --prune").contains(tip));
    }
}
