//! Why something failed, as no client may read it.

use std::fmt;

/// Why something failed, for the log alone: it implements no `Display`, and `Debug` hides it.
#[derive(Clone, Default)]
pub struct Cause {
    text: String,
    told: Option<String>,
    is_damage: bool,
}

impl Cause {
    /// Keeps an inner error's text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }

    /// Keeps the text of a library's error, and says the same in our words.
    pub fn in_our_words(told: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), told: Some(told.to_string()), ..Self::default() }
    }

    /// The same about a part of a thing.
    #[must_use]
    pub fn within(self, part: impl fmt::Display) -> Self {
        let told = format!("{part}: {}", self.told());
        Self { text: format!("{part}: {}", self.text), told: Some(told), ..self }
    }

    /// The same, known to be damage of what is stored.
    #[must_use]
    pub fn of_damage(self) -> Self {
        Self { is_damage: true, ..self }
    }

    /// Whether it is damage of what is stored, which `verify` has more of.
    pub fn is_damage(&self) -> bool {
        self.is_damage
    }

    /// The text, for the log and for local commands only.
    pub fn for_log(&self) -> &str {
        &self.text
    }

    /// The same in our words where there are any, for local commands that look for damage.
    pub fn told(&self) -> &str {
        self.told.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cause(…)")
    }
}
