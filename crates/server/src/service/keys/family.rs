//! A key and all keys that descend from it, which are revoked together.

use super::{By, Changed, KeyAfter, revoke};
use crate::catalog::{
    error::{Error, Result},
    key::{Key, MAX_REVOKED_ALONG},
    log::Line,
    stream::Stream,
    time::Timestamp,
};

/// A key that is revoked with its descendants, and the conditions of the request.
pub(super) struct Family {
    pub(super) head: Key,
    pub(super) by: By,
}

impl Family {
    /// The head, whether or not it changes, and each of the found keys.
    pub(super) fn changed(&self, found: &[Key], now: Timestamp) -> Result<Vec<Changed>> {
        self.check(found)?;
        let changed = [&self.head].into_iter().chain(found).map(|key| {
            let time = Timestamp::after(now, Some(key.audit.last_updated_time));
            Changed::by(&self.by, key.clone(), time, revoke)
        });
        changed.collect()
    }

    fn check(&self, found: &[Key]) -> Result<()> {
        let id = &self.head.id;
        if found.len() > MAX_REVOKED_ALONG {
            let message = format!(
                "the key {id} made more than {MAX_REVOKED_ALONG} keys that are not revoked, those that they made among \
                 them: revoke it alone, and then each key that it made (list them with created_by_key_id) with \
                 with_created"
            );
            let facts = vec![("id", id.to_string()), ("limit", MAX_REVOKED_ALONG.to_string())];
            return Err(Error::Precondition { reason: "TOO_MANY_CREATED", message, facts });
        }
        let is_beyond =
            |key: &&Key| self.by.caller.as_ref().is_some_and(|by| key.lies_within(by).is_err());
        match found.iter().filter(is_beyond).count() {
            0 => Ok(()),
            // These keys were widened since, or the head was narrowed. The caller may not see their ids.
            beyond => Err(Error::Precondition {
                reason: "CREATED_BEYOND",
                message: format!(
                    "{beyond} of the keys that {id} made go beyond your key's own restrictions, so nothing was revoked: \
                     revoke it alone, or have a key do this that they lie within"
                ),
                facts: vec![("id", id.to_string())],
            }),
        }
    }

    pub(super) fn kept(&self, changed: &[Changed]) -> KeyAfter {
        let ids = changed.iter().map(|one| one.after.id.clone());
        let key = changed.first().map_or(&self.head, |head| &head.after).clone();
        KeyAfter { key, also_revoked: ids.skip(1).collect(), repeated: false }
    }

    /// The lines of the changes. The head's line stores the request, and the keys that were revoked along.
    pub(super) fn lines(&self, changed: &[Changed]) -> Vec<(Stream, Line)> {
        let along = self.kept(changed).also_revoked;
        let lines = changed.iter().enumerate().filter_map(|(i, one)| {
            let line = |along| self.by.line(Some(&one.before), &one.after, one.time, along);
            let line = match i {
                // An empty line stores a request that did not change the head.
                0 if one.is_change() || self.by.request.is_some() => line(&along),
                0 => return None,
                _ => Line { request: None, ..line(&[]) },
            };
            Some((Stream::key(&one.after.id), line))
        });
        lines.collect()
    }
}
