//! The secret of a key: how one is made, checked without a look-up, and hashed for the store.
//!
//! A secret is `cs_`, 43 characters of base64url (256 random bits), and 6 characters of checksum. It is shown once.
//! `Debug` shows nothing of it, and only its SHA-256 is stored.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::catalog::{
    error::{Cause, Error, Result, Violation},
    key::SecretDigest,
};

/// The beginning of every secret made here, by which scanners find leaked secrets.
pub const PREFIX: &str = "cs_";
/// The fewest characters of an imported secret.
pub const MIN_IMPORTED_LENGTH: usize = 24;
/// The most characters of an imported secret.
pub const MAX_IMPORTED_LENGTH: usize = 512;

const RANDOM_LENGTH: usize = 43;
const CHECKSUM_BYTES: usize = 4;

/// A key's secret.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// A new secret of 256 random bits.
    pub fn generate() -> Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| Error::Internal(Cause::new(format!("no randomness: {error}"))))?;
        let body = URL_SAFE_NO_PAD.encode(random);
        let checksum = checksum(&body);
        Ok(Self(format!("{PREFIX}{body}{checksum}").into()))
    }

    /// Takes a secret that clients already have.
    pub fn import(text: &str) -> Result<Self, Violation> {
        let text = text.trim();
        let wrong =
            |description: &str| Err(Violation::new("secret", "MALFORMED_SECRET", description));
        if text.len() < MIN_IMPORTED_LENGTH || text.len() > MAX_IMPORTED_LENGTH {
            return wrong("must have 24 to 512 characters");
        }
        if text.contains(':') {
            return wrong("must not hold a colon, since clients send it as a user name");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return wrong("must be printable ASCII without blanks");
        }
        if is_mistyped(text) {
            return wrong(
                "begins like a key of this server but its checksum is wrong: it was mistyped or cut",
            );
        }
        Ok(Self(text.to_owned().into()))
    }

    /// The secret itself, for the one moment when it is shown.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The digest, which is stored instead of the secret.
    pub fn digest(&self) -> SecretDigest {
        digest(self.expose())
    }
}

/// The SHA-256 of a secret. Secrets have high entropy, so the hash need not be slow.
pub(super) fn digest(secret: &str) -> SecretDigest {
    SecretDigest(Sha256::digest(secret.as_bytes()).into())
}

/// Whether a secret begins like one made here but has a wrong length or checksum.
pub(super) fn is_mistyped(secret: &str) -> bool {
    let Some(rest) = secret.strip_prefix(PREFIX) else {
        return false;
    };
    match rest.split_at_checked(RANDOM_LENGTH) {
        Some((body, given)) => given != checksum(body),
        None => true,
    }
}

fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest[..CHECKSUM_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_passes_its_own_checksum_and_no_changed_one_does() {
        let secret = Secret::generate().unwrap();
        let text = secret.expose();
        assert_eq!(text.len(), PREFIX.len() + RANDOM_LENGTH + 6);
        assert!(!is_mistyped(text));
        for i in PREFIX.len()..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            assert!(is_mistyped(std::str::from_utf8(&bytes).unwrap()), "position {i}");
        }
        assert!(is_mistyped(&text[..text.len() - 1]));
        assert!(is_mistyped("cs_é"));
    }

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::generate().unwrap();
        let shown = format!("{secret:?} {:?}", secret.digest());
        assert!(!shown.contains(&secret.expose()[3..10]), "{shown}");
    }

    #[test]
    fn imported_secrets_have_24_characters_and_no_colon() {
        assert!(Secret::import(&"x".repeat(24)).is_ok());
        assert!(Secret::import(&format!(" {}\n", "x".repeat(24))).is_ok());
        assert!(Secret::import(&"x".repeat(512)).is_ok());
        for bad in
            ["x".repeat(23), "x".repeat(513), format!("{}:y", "x".repeat(24)), "é".repeat(24)]
        {
            assert!(Secret::import(&bad).is_err(), "{bad}");
        }
        assert!(Secret::import("cs_not-really-one-of-ours-at-all").is_err());
    }
}
