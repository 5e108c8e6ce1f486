//! The filters of lists of entries and companies: the part of AIP-160's language that these lists need.

use std::cell::LazyCell;

use crate::catalog::{
    entry::State,
    error::{Error, Result},
    text::Name,
};

/// The most conditions of a filter. Each condition is checked for every row.
const MOST_CONDITIONS: usize = 20;
/// The most bytes of a filter: enough for that many names of the greatest length.
pub(crate) const MOST_FILTER_BYTES: usize = 16 << 10;

enum Condition {
    State(State),
    /// The name contains the search key, or the id begins with the text.
    Text {
        key: String,
        text: String,
    },
    NameIs(String),
    NameHas(String),
}

/// A word of a filter, and whether it stood in quotation marks.
type Word = (String, bool);

/// Conditions, all of which a row must meet.
#[derive(Default)]
pub(super) struct Filter(Vec<Condition>);

impl Filter {
    /// Whether the filter names the states to show. Then archived rows are not left out.
    pub(super) fn names_a_state(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Condition::State(_)))
    }

    /// Whether a row of this state, name and id meets the conditions.
    pub(super) fn takes(&self, state: State, name: &Name, id: &str) -> bool {
        let searched = LazyCell::new(|| name.search_key());
        self.0.iter().all(|condition| match condition {
            Condition::State(wanted) => state == *wanted,
            Condition::Text { key, text } => searched.contains(key) || id.starts_with(text),
            Condition::NameIs(key) => name.fold_key() == *key,
            Condition::NameHas(key) => searched.contains(key),
        })
    }

    /// Whether every row meets the filter.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses a filter from outside.
    pub(super) fn parse(filter: &str) -> Result<Self> {
        if filter.len() > MOST_FILTER_BYTES {
            let description = format!("must have at most {MOST_FILTER_BYTES} bytes");
            return Err(Error::invalid("filter", "OUT_OF_RANGE", description));
        }
        let words = words(filter).ok_or_else(malformed)?;
        let mut conditions = Vec::new();
        let mut rest = &words[..];
        while !rest.is_empty() {
            if conditions.len() == MOST_CONDITIONS {
                let description = format!("must be at most {MOST_CONDITIONS} conditions");
                return Err(Error::invalid("filter", "OUT_OF_RANGE", description));
            }
            let (condition, after) = condition(rest)?;
            conditions.push(condition);
            rest = match after {
                [] => after,
                [and, more @ ..] if is_and(and) && !more.is_empty() => more,
                _ => return Err(malformed()),
            };
        }
        Ok(Self(conditions))
    }
}

/// Parses the first condition of the words, which are not empty. Returns the words behind it too.
fn condition(words: &[Word]) -> Result<(Condition, &[Word])> {
    // A whole name is compared by its fold key, as two entries are; a part of one by the search key. A text that is no name
    // has neither.
    let name = |value: &str| Name::parse("filter", value);
    let (condition, after) = match words {
        [(field, false), operator, (value, _), after @ ..] if is_operator(operator) => {
            let condition = match (field.as_str(), operator.0.as_str()) {
                ("state", "=") => match value.to_ascii_uppercase().as_str() {
                    "ACTIVE" => Condition::State(State::Active),
                    "ARCHIVED" => Condition::State(State::Archived),
                    _ => return Err(malformed()),
                },
                ("name", "=") => Condition::NameIs(name(value)?.fold_key()),
                ("name", ":") => Condition::NameHas(name(value)?.search_key()),
                _ => return Err(malformed()),
            };
            (condition, after)
        }
        [word, after @ ..] if !is_operator(word) && !is_and(word) => {
            let name = name(&word.0)?;
            let text = name.as_str().to_owned();
            (Condition::Text { key: name.search_key(), text }, after)
        }
        _ => return Err(malformed()),
    };
    Ok((condition, after))
}

fn is_operator((word, is_quoted): &Word) -> bool {
    !is_quoted && matches!(word.as_str(), "=" | ":")
}

fn is_and((word, is_quoted): &Word) -> bool {
    !is_quoted && word.eq_ignore_ascii_case("and")
}

fn malformed() -> Error {
    let description = "must be conditions joined by AND: \"vip\" alone (the name contains it, or the id begins with \
                       it), state = ACTIVE or ARCHIVED, name = \"VIP\", name : \"vip\" (contains); in quotation \
                       marks, write \\\" for \" and \\\\ for \\";
    Error::invalid("filter", "MALFORMED_FILTER", description)
}

/// Cuts a filter into words. Text in quotation marks is one word, for which the flag is set.
fn words(filter: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = filter.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let (word, after) = unquoted(&rest[1..])?;
                words.push((word, true));
                rest = after.trim_start();
                continue;
            }
            '=' | ':' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "=:\"".contains(c)).unwrap_or(rest.len()),
        };
        words.push((rest[..length].to_owned(), false));
        rest = rest[length..].trim_start();
    }
    Some(words)
}

/// The text before the closing quotation mark, and the text after it. A backslash stands before a quotation mark or a
/// backslash that belongs to the text.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((word, characters.as_str())),
            '\\' => word.push(characters.next().filter(|escaped| "\"\\".contains(*escaped))?),
            other => word.push(other),
        }
    }
}
