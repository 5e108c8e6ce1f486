//! Text that people read: names, descriptions, colors. Values that are wrong cannot be built.

use std::{fmt, sync::LazyLock};

use caseless::Caseless;
use regex_syntax::hir::{Class, HirKind};
use unicode_normalization::UnicodeNormalization;

use super::error::Violation;

/// The most characters (Unicode code points) of a name.
pub const MAX_NAME_LENGTH: usize = 100;
/// The most characters of a description.
pub const MAX_DESCRIPTION_LENGTH: usize = 500;

/// The version of the rule that [`Name::fold_key`] follows. A change of the rule, or of Unicode's tables
/// behind it, needs a new version; a test finds such changes. Programs of different versions disagree about
/// which names are the same.
pub const FOLD_KEY_VERSION: u32 = 1;

/// A name: trimmed, Unicode NFC, without control characters, with at least one letter, digit, punctuation mark or
/// symbol, 1 to 100 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Parses a name from outside. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        refuse_far_too_long(field, value, MAX_NAME_LENGTH)?;
        let name = composed(value.trim());
        if name.is_empty() {
            return Err(Violation::new(field, "REQUIRED", "is required and must not be blank"));
        }
        if let Some(c) = name.chars().find(|c| is_control(*c)) {
            return Err(control(field, c));
        }
        if !name.chars().any(is_visible) {
            let description = "has nothing to see in it: a name needs a letter, digit, punctuation mark or symbol";
            return Err(Violation::new(field, "INVISIBLE", description));
        }
        let length = name.chars().count();
        if length > MAX_NAME_LENGTH {
            return Err(too_long(field, length, MAX_NAME_LENGTH));
        }
        Ok(Self(name))
    }

    /// Takes a stored name, which an earlier rule may have accepted.
    pub fn stored(value: &str) -> Result<Self, Violation> {
        match value {
            "" => Err(Violation::new("name", "REQUIRED", "is empty")),
            name => Ok(Self(name.to_owned())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key by which names are compared: two names with the same key count as the same name. Case, invisible
    /// characters and the number of blanks between words make no difference.
    ///
    /// The key uses full Unicode case folding. It is computed here and only stored by the engines, because
    /// engines fold differently.
    pub fn fold_key(&self) -> String {
        // Most names are ASCII, for which this gives the same result as Unicode's tables.
        if self.0.is_ascii() && !self.0.contains("  ") {
            return self.0.to_ascii_lowercase();
        }
        let visible = self.0.chars().filter(|c| !is_ignorable(*c));
        let folded: String = visible.nfd().default_case_fold().nfc().collect();
        let words: Vec<&str> = folded.split(is_blank).filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    /// The key by which people search and sort names: the fold key without the accents of letters. `elan` finds `Élan`,
    /// which stands between `eagle` and `fox`. Marks of scripts in which they make other letters stay.
    pub fn search_key(&self) -> String {
        let key = self.fold_key();
        if key.is_ascii() { key } else { key.nfd().filter(|c| !is_accent(*c)).nfc().collect() }
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

/// A description: trimmed, Unicode NFC, up to 500 characters, with line breaks and tabs but no other control
/// characters, perhaps empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Description(String);

impl Description {
    /// Parses a description from outside. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        refuse_far_too_long(field, value, MAX_DESCRIPTION_LENGTH)?;
        let text = composed(&value.trim().replace("\r\n", "\n"));
        if let Some(c) = text.chars().find(|c| *c != '\n' && *c != '\t' && is_control(*c)) {
            return Err(control(field, c));
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

/// A color, written as `#RRGGBB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Color([u8; 3]);

impl Color {
    const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    /// Parses `#RRGGBB`, or `#RGB` in which each digit stands for two, in either case. `field` names it in the error.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let digits = value.trim().strip_prefix('#').unwrap_or_default();
        let part = |i: usize| match digits.len() {
            6 => parse_hex(digits.get(2 * i..2 * i + 2)?),
            3 => parse_hex(digits.get(i..i + 1)?).map(|digit| digit * 0x11),
            _ => None,
        };
        match (part(0), part(1), part(2)) {
            (Some(r), Some(g), Some(b)) => Ok(Self([r, g, b])),
            _ => Err(Violation::new(
                field,
                "MALFORMED_COLOR",
                "must be a color as \"#RRGGBB\" or \"#RGB\", for example \"#00FF00\"",
            )),
        }
    }

    /// Black or white, whichever has the higher contrast with this color; black if both have the same.
    pub fn text_color(self) -> Self {
        let is_black = self.contrast(Self::BLACK) >= self.contrast(Self::WHITE);
        if is_black { Self::BLACK } else { Self::WHITE }
    }

    /// The contrast ratio of WCAG 2: from 1 (the same) to 21 (black on white).
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// The relative luminance of WCAG 2, from 0 for black to 1 for white.
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02X}{g:02X}{b:02X}")
    }
}

/// The text in Unicode NFC. ASCII is NFC already.
fn composed(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { text.nfc().collect() }
}

fn parse_hex(digits: &str) -> Option<u8> {
    // `from_str_radix` would also accept a sign.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// The character that programs put in the place of bytes that they could not read. The text was
/// damaged before it came here.
const BROKEN: char = char::REPLACEMENT_CHARACTER;

/// Whether the character is the sign of damaged text, a control character, a line separator, or changes the direction
/// of text. Such characters act on the text around them, and can forge lines of a log or a table.
fn is_control(c: char) -> bool {
    c.is_control()
        || c == BROKEN
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Whether the character is white space, or one of two symbols with an empty picture: a braille cell without dots,
/// and a note without a head.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{1D159}')
}

/// Whether the character is one of Unicode's Combining Diacritical Marks.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}')
}

/// Whether Unicode says that the character is not shown by itself: joiners, soft hyphens, variation
/// selectors, fillers and the like.
fn is_ignorable(c: char) -> bool {
    static IGNORABLE: LazyLock<Ranges> =
        LazyLock::new(|| ranges(r"\p{Default_Ignorable_Code_Point}"));
    !c.is_ascii() && holds(&IGNORABLE, c)
}

/// Whether the character is visible, and a letter, number, punctuation mark or symbol of Unicode.
///
/// Unassigned characters are none of these. Neither are characters for private use, nor marks, which need another
/// character to stand on. A newer Unicode makes more characters visible, and none invisible.
fn is_visible(c: char) -> bool {
    static WRITTEN: LazyLock<Ranges> = LazyLock::new(|| ranges(r"[\p{L}\p{N}\p{P}\p{S}]"));
    c.is_ascii_graphic() || (holds(&WRITTEN, c) && !is_ignorable(c) && !is_blank(c))
}

/// First and last characters of ranges, in order.
type Ranges = Vec<(char, char)>;

/// The characters of a class of regular expressions.
fn ranges(class: &str) -> Ranges {
    match regex_syntax::parse(class).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => unreachable!("properties that Unicode has"),
    }
}

fn holds(ranges: &Ranges, c: char) -> bool {
    let place = ranges.partition_point(|(_, end)| *end < c);
    ranges.get(place).is_some_and(|(start, _)| *start <= c)
}

fn control(field: &str, c: char) -> Violation {
    if c == BROKEN {
        let description = "holds U+FFFD, which stands for characters that were lost where the text was read in another \
                           encoding: write it again, and send it as UTF-8";
        return Violation::new(field, "BROKEN_TEXT", description);
    }
    let description = format!("must not hold control characters; found U+{:04X}", u32::from(c));
    Violation::new(field, "CONTROL_CHARACTER", description)
}

/// Refuses text that is too long in any case, before work is spent on it. Composing makes one
/// character of at most four.
fn refuse_far_too_long(field: &str, value: &str, most: usize) -> Result<(), Violation> {
    match value.trim().chars().count() {
        length if length > 4 * most => Err(too_long(field, length, most)),
        _ => Ok(()),
    }
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
        // A letter and three marks are one character. No more than four characters ever become one.
        let marked = "\u{3b1}\u{313}\u{300}\u{345}";
        assert_eq!(Name::parse("name", &marked.repeat(100)).unwrap().as_str().chars().count(), 100);
        let violation = Name::parse("name", &format!("{}a", marked.repeat(100))).unwrap_err();
        assert!(violation.description.starts_with("has 401 characters"), "{violation}");
        assert!(Name::parse("name", &format!("{}a", " ".repeat(1_000))).is_ok());
    }

    #[test]
    fn control_characters_are_refused_by_code_point() {
        for bad in
            ["a\u{0}b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202e}b", "a\u{2066}b", "a\u{2028}b"]
        {
            let violation = Name::parse("name", bad).unwrap_err();
            assert_eq!(violation.reason, "CONTROL_CHARACTER");
            assert!(violation.description.contains("U+"), "{}", violation.description);
        }
        for broken in ["\u{fffd}", "Caf\u{fffd}"] {
            assert_eq!(Name::parse("name", broken).unwrap_err().reason, "BROKEN_TEXT");
            assert_eq!(Description::parse("d", broken).unwrap_err().reason, "BROKEN_TEXT");
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
            assert_eq!(key(a), key(b), "{a} and {b}");
        }
    }

    fn key(text: &str) -> String {
        Name::parse("name", text).unwrap().fold_key()
    }

    #[test]
    fn search_keys_leave_out_accents_and_no_other_marks() {
        let key = |text: &str| Name::parse("name", text).unwrap().search_key();
        for (name, searched) in [
            ("Élan", "elan"),
            ("E\u{301}lan", "ÉLAN"),
            ("Zürich", "ZURICH"),
            ("Άλφα", "αλφα"),
            ("Straße", "strasse"),
            ("Tiếng  Việt", "tieng viet"),
            ("한국", "한국"),
        ] {
            assert_eq!(key(name), key(searched), "{name} and {searched}");
        }
        // These marks make other letters and words.
        for (a, b) in [("が", "か"), ("कि", "की"), ("Ø", "O")] {
            assert_ne!(key(a), key(b), "{a} and {b}");
        }
        assert!(!key("각").contains(&key("가")));
    }

    #[test]
    fn fold_keys_leave_out_what_nobody_sees() {
        for (a, b) in [
            ("New Client", "New  Client"),
            ("New Client", "new\u{a0}\u{3000} CLIENT"),
            ("New Client", "New\u{2800}Client"),
            ("VIP", "V\u{ad}IP"),
            ("VIP", "VIP\u{3164}"),
            ("VIP", "\u{feff}VIP"),
            ("New Client", "New \u{200b} Client"),
            ("❤", "❤\u{fe0f}"),
            ("Caf\u{e9}", "Cafe\u{200d}\u{301}"),
        ] {
            assert_eq!(key(a), key(b), "{a:?} and {b:?}");
        }
        for (a, b) in [("NewClient", "New Client"), ("VIP", "V-IP"), ("🐕", "🐕\u{200d}🦺")] {
            assert_ne!(key(a), key(b), "{a:?} and {b:?}");
        }
    }

    #[test]
    fn a_name_has_something_to_see_and_is_kept_as_it_was_typed() {
        let invisible =
            ["\u{ad}", "\u{200d}", "\u{3164}", "\u{115f}", "\u{2800}", "\u{e0020}", "\u{180e}"];
        // Marks without a character to stand on, unassigned characters, and private use.
        let nothing = [
            "\u{301}",
            "\u{20e3}",
            "\u{903}",
            "\u{378}",
            "\u{fffe}",
            "\u{fdd0}",
            "\u{10ffff}",
            "\u{e000}",
            "\u{f8ff}",
            "\u{10fffd}",
            "\u{13430}",
            "\u{600}",
        ];
        for bad in invisible.into_iter().chain(nothing) {
            for bad in
                [bad.to_owned(), bad.repeat(3), format!("{bad} {bad}"), format!("{bad}\u{fe0f}")]
            {
                assert_eq!(Name::parse("name", &bad).unwrap_err().reason, "INVISIBLE", "{bad:?}");
            }
        }
        for kept in [
            "V\u{ad}IP",
            "👩\u{200d}⚕\u{fe0f}",
            "New  Client",
            "می\u{200c}خواهم",
            "🇩🇪",
            "#\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "👍🏽",
            "!",
            "€",
            "½",
            "々",
            "न\u{93f}",
            "A\u{e000}",
            "\u{f8ff} 1",
            "A\u{378}",
        ] {
            assert_eq!(Name::parse("name", kept).unwrap().as_str(), kept);
        }
    }

    /// Another hash means that the rule or Unicode's tables in a library changed. Then raise [`FOLD_KEY_VERSION`], so
    /// that stored keys are renewed, and take the new hash.
    #[test]
    fn the_fold_keys_of_a_version_never_change() {
        use sha2::{Digest, Sha256};

        let mut hash = Sha256::new();
        let assigned = ['\0'..='\u{3FFFF}', '\u{E0000}'..='\u{E0FFF}'];
        for c in assigned.into_iter().flatten() {
            let name = Name(format!("A{c}A"));
            hash.update(name.fold_key());
            hash.update([0]);
        }
        let digits: String =
            hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((FOLD_KEY_VERSION, digits.as_str()), (1, "37a196627793a6dd"));
    }

    #[test]
    fn colors_are_written_one_way() {
        assert_eq!(Color::parse("color", "#00ff0a").unwrap().to_string(), "#00FF0A");
        assert_eq!(Color::parse("color", " #0fa ").unwrap().to_string(), "#00FFAA");
        for bad in ["", "#", "00FF00", "0F0", "#0F", "#0F00", "#0FG", "#+0F", "#00FF0G", "#+0FF00"]
        {
            assert!(Color::parse("color", bad).is_err(), "{bad}");
        }
        for bad in ["#00FF000", "red", "#é0000", "#é0", "#0é"] {
            assert!(Color::parse("color", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_is_black_or_white_by_the_higher_contrast() {
        // The ratios with white and with black, as WCAG contrast checkers show them.
        for (color, white, black, text) in [
            ("#000000", 21.0, 1.0, "#FFFFFF"),
            ("#FFFFFF", 1.0, 21.0, "#000000"),
            ("#FF0000", 4.0, 5.25, "#000000"),
            ("#0000FF", 8.59, 2.44, "#FFFFFF"),
            ("#00FF00", 1.37, 15.30, "#000000"),
            ("#FFFF00", 1.07, 19.56, "#000000"),
            ("#FFD700", 1.40, 14.97, "#000000"),
            ("#767676", 4.54, 4.62, "#000000"),
            ("#757575", 4.61, 4.56, "#FFFFFF"),
        ] {
            let color = Color::parse("color", color).unwrap();
            assert!((color.contrast(Color::WHITE) - white).abs() < 0.01, "{color} and white");
            assert!((color.contrast(Color::BLACK) - black).abs() < 0.01, "{color} and black");
            assert_eq!(color.text_color().to_string(), text, "{color}");
        }
    }
}
