//! Text that people see: names, descriptions, colors. Values that are wrong cannot be built.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::error::Violation;

/// The most characters (Unicode code points) a name may have.
pub const MAX_NAME_LENGTH: usize = 100;
/// The most characters a description may have.
pub const MAX_DESCRIPTION_LENGTH: usize = 500;

/// A name: trimmed, Unicode NFC, no control or invisible characters, 1 to 100 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Takes a name from outside; `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let name: String = value.trim().nfc().collect();
        if name.is_empty() {
            return Err(Violation::new(field, "REQUIRED", "is required and must not be blank"));
        }
        if let Some(c) = name.chars().find(|c| is_invisible(*c)) {
            return Err(invisible(field, c));
        }
        let length = name.chars().count();
        if length > MAX_NAME_LENGTH {
            return Err(too_long(field, length, MAX_NAME_LENGTH));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names are compared by: two names with the same key count as the same name.
    ///
    /// Full Unicode case folding, computed here and only stored by the engines, because
    /// engines fold differently.
    pub fn fold_key(&self) -> String {
        caseless::default_case_fold_str(&self.0).nfc().collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A description: trimmed, Unicode NFC, up to 500 characters, line breaks allowed; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Description(String);

impl Description {
    /// Takes a description from outside; `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let text: String = value.trim().replace("\r\n", "\n").nfc().collect();
        if let Some(c) = text.chars().find(|c| *c != '\n' && *c != '\t' && is_invisible(*c)) {
            return Err(invisible(field, c));
        }
        let length = text.chars().count();
        if length > MAX_DESCRIPTION_LENGTH {
            return Err(too_long(field, length, MAX_DESCRIPTION_LENGTH));
        }
        Ok(Self(text))
    }

    /// The description as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A color, shown as `#RRGGBB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color([u8; 3]);

impl Color {
    /// Takes `#RRGGBB` in either case; `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let digits = value.trim().strip_prefix('#').filter(|d| d.len() == 6 && d.is_ascii());
        let part = |i: usize| digits.and_then(|d| parse_hex(d.get(i..i + 2)?));
        match (part(0), part(2), part(4)) {
            (Some(r), Some(g), Some(b)) => Ok(Self([r, g, b])),
            _ => Err(Violation::new(
                field,
                "MALFORMED_COLOR",
                "must be a color as #RRGGBB, for example #00FF00",
            )),
        }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02X}{g:02X}{b:02X}")
    }
}

fn parse_hex(digits: &str) -> Option<u8> {
    // from_str_radix would also take a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Control characters, line separators, direction overrides and zero-width spaces: two names
/// that differ only in these look the same, and some of them forge lines of a log or a table.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}' | '\u{200E}' | '\u{200F}')
}

fn invisible(field: &str, c: char) -> Violation {
    Violation::new(
        field,
        "CONTROL_CHARACTER",
        format!("must not hold control or invisible characters; found U+{:04X}", u32::from(c)),
    )
}

fn too_long(field: &str, length: usize, most: usize) -> Violation {
    Violation::new(
        field,
        "TOO_LONG",
        format!("has {length} characters; at most {most} are allowed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_composed() {
        for (given, kept) in [
            (" VIP\t", "VIP"),
            ("Cafe\u{301}", "Caf\u{e9}"),
            ("\u{a0}Dog\u{a0}", "Dog"),
            ("a", "a"),
            ("🐕\u{200d}🦺", "🐕\u{200d}🦺"),
        ] {
            assert_eq!(Name::parse("name", given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn names_are_limited_on_both_sides() {
        assert!(Name::parse("name", &"é".repeat(100)).is_ok());
        assert_eq!(Name::parse("name", &"é".repeat(101)).unwrap_err().reason, "TOO_LONG");
        assert_eq!(Name::parse("name", " \n ").unwrap_err().reason, "REQUIRED");
    }

    #[test]
    fn invisible_characters_are_refused_by_code_point() {
        for bad in
            ["a\u{0}b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202e}b", "a\u{200b}b", "a\u{2028}b"]
        {
            let violation = Name::parse("name", bad).unwrap_err();
            assert_eq!(violation.reason, "CONTROL_CHARACTER");
            assert!(violation.description.contains("U+"), "{}", violation.description);
        }
        assert!(Description::parse("description", "two\nlines\tand a tab").is_ok());
        assert!(Description::parse("description", "bell\u{7}").is_err());
    }

    #[test]
    fn fold_keys_ignore_case_in_every_script() {
        for (a, b) in [
            ("VIP", "vip"),
            ("Straße", "STRASSE"),
            ("ÉCOLE", "e\u{301}cole"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ] {
            let key = |text| Name::parse("name", text).unwrap().fold_key();
            assert_eq!(key(a), key(b), "{a} and {b}");
        }
    }

    #[test]
    fn colors_are_written_one_way() {
        assert_eq!(Color::parse("color", "#00ff0a").unwrap().to_string(), "#00FF0A");
        for bad in ["", "00FF00", "#0F0", "#00FF0G", "#+0FF00", "#00FF000", "red", "#é0000"] {
            assert!(Color::parse("color", bad).is_err(), "{bad}");
        }
    }
}
