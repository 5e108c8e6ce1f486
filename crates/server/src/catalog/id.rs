//! Ids: opaque, case-sensitive, 1 to 64 of `A-Z a-z 0-9 _ -`, each kind its own type.

use std::fmt;

use super::error::Violation;

/// The most characters an id may have.
pub const MAX_ID_LENGTH: usize = 64;

/// Checks the form of an id; `field` is the name that the error gives.
fn check(field: &str, value: &str) -> Result<(), Violation> {
    if value.is_empty() {
        return Err(Violation::new(field, "REQUIRED", "is required"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if value.len() > MAX_ID_LENGTH || !value.chars().all(allowed) {
        return Err(Violation::new(
            field,
            "MALFORMED_ID",
            "must be an id: 1 to 64 letters, digits, underscores or hyphens",
        ));
    }
    Ok(())
}

macro_rules! id {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// What generated ids of this kind begin with.
            pub const PREFIX: &'static str = $prefix;

            /// Takes an id from outside; `field` names it in the error.
            pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
                check(field, value)?;
                Ok(Self(value.to_owned()))
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
id!(StaffId, "staff", "Who acts: a staff member's id, a key's id, or a command such as `load`.");
