//! Wrong fields of a request: one of them, and all that are found before the request is refused.

use std::fmt;

use super::{Cause, Error, MOST_NAMED, Result};

/// The most wrong fields that a refusal names.
pub const MOST_VIOLATIONS: usize = 32;

/// The reason of the last violation where there are more than are named.
pub const AND_MORE: &str = "AND_MORE";

/// A field that is wrong, and the value that would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in snake_case, for example `pagination.page_size`.
    pub field: String,
    /// A stable name of the violation.
    pub reason: &'static str,
    /// The continuation of a sentence that begins with the field's name: "must be …".
    pub description: String,
}

impl Violation {
    /// A wrong field.
    pub fn new(field: &str, reason: &'static str, description: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason, description: description.into() }
    }

    /// The violation that stands for all that are not named.
    pub fn and_more() -> Self {
        let description = "has more that is wrong than is told here, and was read no further";
        Self::new("body", AND_MORE, description)
    }

    /// The same violation of a field within the field `above`.
    #[must_use]
    pub fn within(self, above: &str) -> Self {
        Self { field: format!("{above}.{}", self.field), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.description)
    }
}

/// Collects what is wrong while the values of a request are parsed, so that a refusal names all wrong fields.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<Violation>,
    other: Option<Error>,
}

impl Violations {
    /// The parsed value. The violations of a value that cannot be parsed are taken note of.
    pub fn check<T>(&mut self, parsed: Result<T, impl Into<Error>>) -> Option<T> {
        match parsed.map_err(Into::into) {
            Ok(value) => return Some(value),
            Err(Error::Invalid(found)) => found.into_iter().for_each(|one| self.note(one)),
            Err(other) => _ = self.other.get_or_insert(other),
        }
        None
    }

    /// Takes note of a violation.
    pub fn note(&mut self, violation: Violation) {
        match self.found.len() {
            ..MOST_VIOLATIONS => self.found.push(violation),
            MOST_VIOLATIONS => self.found.push(Violation::and_more()),
            _ => {}
        }
    }

    /// The thing that `make` makes of the parsed values, which are all there if nothing is wrong.
    pub fn finish<T>(self, make: impl FnOnce() -> Option<T>) -> Result<T> {
        if !self.found.is_empty() {
            return Err(Error::Invalid(self.found));
        }
        let missing = || Error::Internal(Cause::new("a value is missing, and nothing is wrong"));
        self.other.map_or_else(|| make().ok_or_else(missing), Err)
    }
}

pub(super) fn write_violations(
    f: &mut fmt::Formatter<'_>,
    violations: &[Violation],
) -> fmt::Result {
    let (told, is_all) = match violations.split_last() {
        Some((last, told)) if last.reason == AND_MORE => (told, false),
        _ => (violations, true),
    };
    for (i, violation) in told.iter().take(MOST_NAMED).enumerate() {
        if i > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{violation}")?;
    }
    match (told.len().saturating_sub(MOST_NAMED), is_all) {
        (0, _) => Ok(()),
        (more, true) => write!(f, "; and {more} more"),
        // Reading ended with one violation more than are named.
        (more, false) => write!(f, "; and at least {} more, as no more was read", more + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_collected_up_to_the_limit() {
        let wrong = |i: usize| Err::<u8, _>(Violation::new(&format!("f{i}"), "REQUIRED", "is"));
        for (count, named) in [(1, 1), (32, 32), (33, 33), (100, 33)] {
            let mut violations = Violations::default();
            assert_eq!(violations.check(Ok::<_, Error>(7)), Some(7));
            (0..count).for_each(|i| assert_eq!(violations.check(wrong(i)), None));
            let Err(Error::Invalid(found)) = violations.finish(|| Some(())) else { panic!() };
            assert_eq!(found.len(), named);
            assert_eq!(found.last().unwrap().reason == AND_MORE, count > MOST_VIOLATIONS);
        }
        assert_eq!(Violations::default().finish(|| Some(7)).unwrap(), 7);
    }
}
