//! The details of a failure that no client may read.

use std::fmt;

/// The details of a failure, for the log alone. This type implements no `Display`, and its `Debug` hides them.
#[derive(Clone, Default)]
pub struct Cause {
    text: String,
    told: Option<String>,
    is_damage: bool,
}

impl Cause {
    /// Takes the text of an inner error.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }

    /// Takes the text of a library's error, and the same fact in this project's words.
    pub fn in_our_words(told: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), told: Some(told.to_string()), ..Self::default() }
    }

    /// The same cause, with the part of a thing that it is about.
    #[must_use]
    pub fn within(self, part: impl fmt::Display) -> Self {
        let told = format!("{part}: {}", self.told());
        Self { text: format!("{part}: {}", self.text), told: Some(told), ..self }
    }

    /// The same cause, known to be damage of the stored data.
    #[must_use]
    pub fn of_damage(self) -> Self {
        Self { is_damage: true, ..self }
    }

    /// Whether the cause is damage of the stored data. `verify` then finds more about it.
    pub fn is_damage(&self) -> bool {
        self.is_damage
    }

    /// The text, for the log and for local commands only.
    pub fn for_log(&self) -> &str {
        &self.text
    }

    /// The same fact in this project's words, if there are any, for local commands that look for damage.
    pub fn told(&self) -> &str {
        self.told.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cause(…)")
    }
}
