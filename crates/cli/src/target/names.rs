//! The names of a request's fields for people: the flags and arguments of the command. Servers use the
//! fields' own names, as most of their clients do.

use std::collections::BTreeMap;

use clap::{Arg, Command};

/// A command's arguments have the names of the contract's fields, so clap knows the flag of each field.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldNames {
    /// The arguments of the command itself.
    own: BTreeMap<String, String>,
    /// Flags of other commands, which a refusal may mention.
    others: BTreeMap<String, String>,
}

impl FieldNames {
    /// The names of a command of the program.
    pub(crate) fn of(command: &Command, program: &Command) -> Self {
        let own = command.get_arguments().map(|arg| (id(arg), called(arg))).collect();
        let mut others = BTreeMap::new();
        for group in program.get_subcommands() {
            for verb in group.get_subcommands() {
                let name = format!("{} {}", group.get_name(), verb.get_name());
                for flag in verb.get_arguments().filter(|arg| arg.get_long().is_some()) {
                    let shown = format!("'{name} {}'", called(flag));
                    others.entry(id(flag)).or_insert(shown);
                }
            }
        }
        Self { own, others }
    }

    /// The flag of a wrong field, such as `key.company_ids[0]`.
    pub(super) fn field(&self, path: &str) -> String {
        self.own(path).unwrap_or_else(|| path.to_owned())
    }

    /// Replaces the names of fields in a text. Words in quotation marks are not replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        let parts = text.split('"').enumerate().map(|(i, part)| match i % 2 {
            0 => self.unquoted(part),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("\"")
    }

    fn unquoted(&self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.[]-/".contains(c);
        let mut told = String::new();
        for piece in text.split_inclusive(|c| !is_part(c)) {
            let word = piece.trim_end_matches(|c| !is_part(c) || c == '.');
            told.push_str(&self.word(word).unwrap_or_else(|| word.to_owned()));
            told.push_str(&piece[word.len()..]);
        }
        told
    }

    /// The flag of a word that can only be a field: a word with `_`, or a header's name.
    fn word(&self, word: &str) -> Option<String> {
        // The place of a thing, such as customer_tags/tag_001.name.
        if word.contains('/') {
            return None;
        }
        let header = word.starts_with("Settings-").then(|| word.to_lowercase().replace('-', "_"));
        match header {
            Some(header) => self.own.get(&header).cloned(),
            None if word.contains('_') => self.own(word).or_else(|| self.others.get(word).cloned()),
            None => None,
        }
    }

    /// The innermost field of a path that the command line has. A field within an item of a list belongs to a
    /// document, and keeps its name.
    fn own(&self, path: &str) -> Option<String> {
        let (path, place) = match path.strip_suffix(']').and_then(|path| path.rsplit_once('[')) {
            Some((path, index)) => (path, index.parse::<usize>().ok()),
            None => (path, None),
        };
        if path.contains('[') {
            return None;
        }
        let called = path.rsplit('.').find_map(|field| self.own.get(field))?;
        Some(match place {
            Some(place) => format!("{called} (number {})", place + 1),
            None => called.clone(),
        })
    }
}

fn id(arg: &Arg) -> String {
    arg.get_id().to_string()
}

/// The name of the argument in `--help`.
fn called(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => format!("<{name}>"),
        (None, _) => id(arg),
    }
}
