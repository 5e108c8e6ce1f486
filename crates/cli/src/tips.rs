//! The flags that people know from other programs, and the way in which this one takes the same.

use std::ffi::OsString;

use clap::{
    Command, CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::Arguments;

/// Gives the error of such a flag a tip, in place of the library's: the flag whose letters are nearest.
pub(crate) fn point_out(error: &mut clap::Error, arguments: impl Iterator<Item = OsString>) {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return };
    let all = Arguments::command();
    let mut command = &all;
    for word in arguments {
        match word.to_str().and_then(|word| command.find_subcommand(word)) {
            Some(inner) => command = inner,
            None => break,
        }
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(tip) = tip(command, wrong)
    {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

fn tip(command: &Command, wrong: &str) -> Option<&'static str> {
    let takes = |flag: &str| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
    match wrong {
        "--json" | "--format" if takes("output") => Some("'--output json' prints JSON"),
        "--id" | "--company-id" if command.get_positionals().next().is_some() => {
            Some("ids have no flag here: they stand where the usage shows them")
        }
        "--filter" if takes("search") => {
            Some("'--search' takes a part of a name, or the beginning of an id")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the error in a command line.
    fn told(line: &str) -> String {
        let words = || line.split(' ').map(OsString::from);
        let program = [OsString::from(crate::PROGRAM)].into_iter();
        let mut error =
            Arguments::command().try_get_matches_from(program.chain(words())).unwrap_err();
        point_out(&mut error, words());
        error.render().to_string()
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
}
