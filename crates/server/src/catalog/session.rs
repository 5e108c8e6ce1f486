//! Sessions of people in the console, and the links that begin one. Their secrets never come here: both are known by
//! the SHA-256 of what the browser holds.

use super::{id::KeyId, key::SecretDigest, time::Timestamp};

/// The most sessions of a key; one more ends the one that was used longest ago.
pub const MOST_SESSIONS: u32 = 50;

/// A person who is signed in with a key, in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The digest of the session's token.
    pub id: SecretDigest,
    /// The key that the person has.
    pub key_id: KeyId,
    /// The secret that was shown: the session ends with it. `None` where a link was used.
    pub secret: Option<SecretDigest>,
    /// When it began.
    pub created_time: Timestamp,
    /// When the person was last active, coarsely.
    pub seen_time: Timestamp,
    /// When it ends in any case; the moment itself is outside.
    pub expires_time: Timestamp,
    /// The browser in a few words, such as "Chrome on Android"; empty where it is not known.
    pub browser: String,
}

impl Session {
    /// The id by which people and programs name it: the beginning of its digest. It opens nothing.
    pub fn shown_id(&self) -> String {
        self.id.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A link that signs in once with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInLink {
    /// The digest of the link's token.
    pub id: SecretDigest,
    /// The key.
    pub key_id: KeyId,
    /// When it stops working; the moment itself is outside.
    pub expires_time: Timestamp,
    /// When it was used; from then on it does not work.
    pub used_time: Option<Timestamp>,
}
