//! How answers are printed: aligned tables for people, one JSON document for programs.
//!
//! Results go to standard output, everything else to standard error.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::failure::{Exit, Failure, failure};

mod table;

pub(crate) use table::Look;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// How a command prints lists.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Form {
    /// How to print the result
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: Output,
    /// Do not cut long cells of a table to make its rows fit into the terminal
    #[arg(long)]
    wide: bool,
}

/// The way to print a list of one kind of thing.
pub(crate) struct Kind {
    /// The field of the answer that holds the list.
    pub(crate) items: &'static str,
    /// The header of each column, and the place of its cells: a JSON pointer into a thing.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// The headers of the columns that a narrow terminal does without, those that it misses least first.
    pub(crate) spare: &'static [&'static str],
    /// The text for an empty list.
    pub(crate) none: &'static str,
}

impl Kind {
    /// Whether a column shows this field.
    pub(crate) fn shows(&self, field: &str) -> bool {
        self.columns.iter().any(|(_, at)| at.strip_prefix('/') == Some(field))
    }
}

impl Output {
    /// Prints one thing: a line for each of its fields.
    pub(crate) fn one(self, thing: &Value) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(thing),
            // Values are whole: a person who asks for one thing wants to read it.
            Self::Table => {
                print(&Look::of_results(true).table(&["FIELD", "VALUE"], &fields(thing)))
            }
        }
    }
}

impl Form {
    pub(crate) fn is_json(self) -> bool {
        self.output == Output::Json
    }

    /// Prints one thing: a line for each of its fields.
    pub(crate) fn one(self, thing: &Value) -> Result<(), Failure> {
        self.output.one(thing)
    }

    /// Prints the answer of a list: a line for each of its things.
    pub(crate) fn list(self, answer: &Value, kind: &Kind) -> Result<(), Failure> {
        if self.is_json() {
            return print_json(answer);
        }
        let things = answer[kind.items].as_array().map_or(&[][..], Vec::as_slice);
        if things.is_empty() {
            // A list of nothing but damaged things is not empty: the command names them.
            if damaged(answer).is_none() {
                note(kind.none);
            }
            return Ok(());
        }
        let all = rows(things, kind.columns);
        let headers = |columns: &[(&'static str, &str)]| -> Vec<&str> {
            columns.iter().map(|(header, _)| *header).collect()
        };
        let left_out = self.look().left_out(&headers(kind.columns), &all, kind.spare);
        let kept = kind.columns.iter().filter(|(header, _)| !left_out.contains(header));
        let kept: Vec<_> = kept.copied().collect();
        print(&self.table(&headers(&kept), &rows(things, &kept)))?;
        if !left_out.is_empty() {
            note(format!("not shown, as rows would not fit (see --wide): {}", left_out.join(", ")));
        }
        Ok(())
    }

    /// The form whose cells are never cut, for what somebody confirms.
    pub(crate) fn whole(self) -> Self {
        Self { wide: true, ..self }
    }

    /// The lines of a table on standard output.
    pub(crate) fn table(self, headers: &[&str], rows: &[Vec<String>]) -> String {
        self.look().table(headers, rows)
    }

    /// The form of tables on standard output.
    pub(crate) fn look(self) -> Look {
        Look::of_results(self.wide)
    }
}

/// The cells of things in these columns.
fn rows(things: &[Value], columns: &[(&str, &str)]) -> Vec<Vec<String>> {
    let row = |thing: &Value| {
        let cells = columns.iter().map(|(_, at)| thing.pointer(at));
        cells.map(|value| cell(value.unwrap_or(&Value::Null))).collect()
    };
    things.iter().map(row).collect()
}

pub(crate) fn print_json(document: &Value) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(document)? + "\n"))
}

/// Writes a result to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes()).map_err(|error| unwritten(&error))
}

/// Writes to standard output at once. Only this function does.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// Whether standard output is /dev/null. The standard library opens /dev/null in place of a closed standard
/// output before `main` begins, so the two cannot be distinguished.
pub(crate) fn leads_nowhere() -> bool {
    let output = io::stdout().as_fd().try_clone_to_owned();
    let output = output.and_then(|output| File::from(output).metadata());
    match (output, fs::metadata("/dev/null")) {
        (Ok(output), Ok(null)) => {
            output.file_type().is_char_device() && output.rdev() == null.rdev()
        }
        _ => false,
    }
}

/// The failure of a command whose result did not reach standard output. A reader that left, such as `head`,
/// ends the command without a message, with the exit code that shells give to programs ended by SIGPIPE.
pub(crate) fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure { message: String::new(), exit: Exit::Unread },
        _ => failure(format!("standard output cannot be written: {error}")),
    }
}

/// Whether notes are left out.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves notes out from now on.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints a note for people on standard error, unless they want none. Nothing depends on the note.
pub(crate) fn note(line: impl Display) {
    if !is_quiet() {
        tell(line);
    }
}

/// Prints a line on standard error that people must see, such as an error. The line may be lost nevertheless.
pub(crate) fn tell(line: impl Display) {
    ask(format!("{line}\n"));
}

/// The same without the end of the line, for a question whose answer is typed. Only this function writes to
/// standard error.
pub(crate) fn ask(question: impl Display) {
    _ = io::stderr().write_all(question.to_string().as_bytes());
}

/// A number with its noun.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The ids that a list lacks, as the data of these things is damaged.
pub(crate) fn damaged(answer: &Value) -> Option<String> {
    answer["damagedIds"]
        .as_array()
        .filter(|ids| !ids.is_empty())
        .map(|_| cell(&answer["damagedIds"]))
}

/// The text of a value in a cell.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(_) => value.to_string(),
    };
    if text.is_empty() {
        return "-".to_owned();
    }
    // A name that someone else chose must neither break the table nor send commands to the terminal.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The fields of a thing. Fields of fields are named like `address.city`.
fn fields(thing: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (name, value) in thing.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => rows.extend(fields(value).into_iter().map(|mut row| {
                row[0] = format!("{name}.{}", row[0]);
                row
            })),
            _ => rows.push(vec![name.clone(), cell(value)]),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_a_dash_and_control_characters_do_not_reach_the_terminal() {
        assert_eq!(cell(&json!("")), "-");
        assert_eq!(cell(&Value::Null), "-");
        assert_eq!(cell(&json!([])), "-");
        assert_eq!(cell(&json!(["a", "b"])), "a b");
        assert_eq!(cell(&json!(0)), "0");
        assert_eq!(cell(&json!("a\u{1b}[31m\nb")), "a\u{fffd}[31m\u{fffd}b");
    }

    #[test]
    fn fields_within_fields_are_named_by_their_path() {
        let thing = json!({"id": "biz_001", "address": {"city": "Brooklyn"}});
        let expected = [["id", "biz_001"], ["address.city", "Brooklyn"]];
        assert_eq!(fields(&thing), expected.map(|row| row.map(str::to_owned).to_vec()));
    }
}
