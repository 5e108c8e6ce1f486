//! The changes of a key that have rules: revoking, rotating, expiry.

use crate::{
    auth::api_key::Secret,
    catalog::{
        error::{Error, Result},
        key::{Key, PreviousSecret},
        time::Timestamp,
    },
};

/// Revokes a key for good.
pub fn revoke(key: &mut Key, now: Timestamp) -> Result<()> {
    key.revoked_time.get_or_insert(now);
    Ok(())
}

fn refuse_revoked(key: &Key) -> Result<()> {
    match key.revoked_time {
        None => Ok(()),
        Some(_) => Err(Error::Precondition {
            reason: "REVOKED",
            message: format!("the key {} was revoked for good: create another one", key.id),
            facts: vec![("id", key.id.to_string())],
        }),
    }
}

/// Notes that a link for signing in is made for a key that can be used.
pub fn note_link(key: &mut Key, now: Timestamp) -> Result<()> {
    refuse_revoked(key)?;
    if let Some(expired) = key.expires_time.filter(|expired| now >= *expired) {
        return Err(Error::Precondition {
            reason: "EXPIRED",
            message: format!("the key {} expired at {expired}: give it a later end first", key.id),
            facts: vec![("id", key.id.to_string()), ("time", expired.to_string())],
        });
    }
    key.link_time = Some(now);
    Ok(())
}

/// The terms of a rotation.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long the old secret works beside the new one. 0 ends every older secret at once.
    pub overlap_seconds: i64,
    /// Whether the overlap of an earlier rotation may end early.
    pub end_overlap: bool,
}

/// Gives a key a new secret. The old secret never works longer than the key.
pub fn rotate(key: &mut Key, secret: &Secret, how: Rotation, now: Timestamp) -> Result<()> {
    refuse_revoked(key)?;
    let running = key.previous.filter(|previous| now < previous.expires_time);
    if let Some(PreviousSecret { expires_time, .. }) = running
        && !(how.end_overlap || how.overlap_seconds == 0)
    {
        return Err(Error::Precondition {
            reason: "OVERLAP_RUNNING",
            message: format!(
                "the key {} was rotated before, and the secret from before that works until {expires_time}; rotating it \
                 again ends that secret now: wait, or ask for it with end_overlap; an overlap of 0s ends every older \
                 secret",
                key.id
            ),
            facts: vec![("id", key.id.to_string()), ("time", expires_time.to_string())],
        });
    }
    let end = now.plus_seconds(how.overlap_seconds);
    let expires_time = key.expires_time.map_or(end, |last| last.min(end));
    key.previous = Some(PreviousSecret { digest: key.secret, expires_time });
    key.secret = secret.digest();
    Ok(())
}

/// Refuses an expiry in the past: it would end the key at once, which is the purpose of revoking.
pub(super) fn check_expiry(end: Option<Timestamp>, now: Timestamp) -> Result<()> {
    match end {
        Some(end) if end <= now => {
            let description =
                format!("lies in the past, as it is {now}: to end a key at once, revoke it");
            Err(Error::invalid("key.expires_time", "IN_THE_PAST", description))
        }
        _ => Ok(()),
    }
}
