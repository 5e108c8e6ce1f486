//! Ids: opaque, case-sensitive, 1 to 64 of `A-Z a-z 0-9 _ -`, each kind its own type.

use std::fmt;

use arrayvec::ArrayString;

use super::error::Violation;

/// The most characters of an id.
pub const MAX_ID_LENGTH: usize = 64;

/// An id's text, stored in place: every request copies ids, and this costs no allocation.
type Text = ArrayString<MAX_ID_LENGTH>;

/// Checks the form of an id. `field` names it in the error.
fn check(field: &str, value: &str) -> Result<Text, Violation> {
    if value.is_empty() {
        return Err(Violation::new(field, "REQUIRED", "is required"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match Text::from(value) {
        Ok(text) if value.bytes().all(allowed) => Ok(text),
        _ => {
            let description = "must be an id: 1 to 64 letters, digits, underscores or hyphens";
            Err(Violation::new(field, "MALFORMED_ID", description))
        }
    }
}

macro_rules! id {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text);

        impl $name {
            /// The prefix of generated ids of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// Parses an id from outside. `field` names it in the error.
            pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
                check(field, value).map(Self)
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(CompanyId, "cmp", "A company's id, unique on the server.");
id!(BusinessId, "biz", "A location's id, unique on the server.");
id!(EntryId, "entry", "An entry's id, unique per company and catalog.");
id!(KeyId, "key", "A key's id, unique on the server; not secret.");
id!(
    SessionId,
    "session",
    "The id of a person's session in the console, unique among those of the key; not secret."
);
id!(StaffId, "staff", "Who acts: a staff member's id, a key's id, or a command such as `load`.");
