//! Sessions as people and programs see them: where somebody is signed in with which key, and the end of it.

use super::{Sessions, SignedIn};
use crate::catalog::{
    access::Caller,
    error::{Error, Kind, Result},
    id::KeyId,
    key::{Key, SecretDigest},
    session::{MOST_SESSIONS, Session},
    time::Timestamp,
};

/// Sessions that are read at once.
const PAGE: u32 = 100;
/// The most such reads for one answer, which then goes on behind the last session.
const MOST_PAGES: u32 = 10;

/// A session that is not over.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The id by which it is ended; no secret.
    pub id: String,
    /// The key that the person has.
    pub key_id: KeyId,
    /// The key's name.
    pub key_name: String,
    /// Whether a link began it.
    pub by_link: bool,
    /// When it began.
    pub created_time: Timestamp,
    /// When the person was last active, to about five minutes.
    pub seen_time: Timestamp,
    /// When it ends in any case.
    pub expires_time: Timestamp,
    /// The browser in a few words; empty where it is not known.
    pub browser: String,
    digest: SecretDigest,
}

impl Listed {
    fn new(session: Session, key: &Key) -> Self {
        Self {
            id: session.shown_id(),
            key_id: session.key_id,
            key_name: key.name.to_string(),
            by_link: session.secret.is_none(),
            created_time: session.created_time,
            seen_time: session.seen_time,
            expires_time: session.expires_time,
            browser: session.browser,
            digest: session.id,
        }
    }
}

/// The place of a session in the list of all: its key's id and its own digest.
pub type SessionPlace = (KeyId, SecretDigest);

impl Sessions {
    /// The sessions of a key that are not over, those first that were used last.
    async fn of_key(&self, key_id: &KeyId) -> Result<Vec<Listed>> {
        let Some((key, _)) = self.store.key(key_id).await? else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let sessions = self.store.sessions(key_id, MOST_SESSIONS).await?;
        let lasting = sessions.into_iter().filter(|session| !self.is_over(session, &key, now));
        Ok(lasting.map(|session| Listed::new(session, &key)).collect())
    }

    /// Shows the sessions that are not over, of one key or of all keys within the caller's restrictions, to a page: by
    /// key and id, behind the given place. Ends when `take` refuses a session, or enough sessions were looked at.
    /// Returns the page, and the place behind which to go on; `None` at the end. This is long work.
    pub async fn list_within<P>(
        &self,
        caller: &Caller,
        (of, after): (Option<KeyId>, Option<SessionPlace>),
        mut page: P,
        take: fn(&mut P, Listed) -> bool,
    ) -> Result<(P, Option<SessionPlace>)> {
        // No token has this digest.
        let mut after = after.or_else(|| of.clone().map(|key| (key, SecretDigest([0; 32]))));
        let now = self.clock.now();
        let mut known: Option<Key> = None;
        for _ in 0..MOST_PAGES {
            let from = after.as_ref().map(|(key, id)| (key, id));
            let sessions = self.store.all_sessions(from, PAGE).await?;
            let is_last = sessions.len() < PAGE as usize;
            for session in sessions {
                if of.as_ref().is_some_and(|of| session.key_id != *of) {
                    return Ok((page, None));
                }
                if known.as_ref().is_none_or(|key| key.id != session.key_id) {
                    known = self.store.key(&session.key_id).await?.map(|(key, _)| key);
                }
                let place = (session.key_id.clone(), session.id);
                if let Some(key) = &known
                    && key.lies_within(caller).is_ok()
                    && !self.is_over(&session, key, now)
                    && !take(&mut page, Listed::new(session, key))
                {
                    return Ok((page, after));
                }
                after = Some(place);
            }
            if is_last {
                return Ok((page, None));
            }
        }
        Ok((page, after))
    }

    /// The sessions of a person's own key.
    pub async fn own(&self, person: &SignedIn) -> Result<Vec<Listed>> {
        self.of_key(&person.session.key_id).await
    }

    /// Ends a session of a person's own key; passed over where it has ended.
    pub async fn end_own(&self, person: &SignedIn, id: &str) -> Result<()> {
        match self.end_of_key(&person.session.key_id, Some(id), false).await {
            Err(Error::NotFound { .. }) => Ok(()),
            ended => ended.map(drop),
        }
    }

    /// Ends a session of a key by its id, or all of them; in a dry run none. Returns those that end. It is up to the
    /// caller who may end them.
    pub async fn end_of_key(
        &self,
        key_id: &KeyId,
        id: Option<&str>,
        is_dry: bool,
    ) -> Result<Vec<Listed>> {
        let mut ending = self.of_key(key_id).await?;
        if let Some(id) = id {
            ending.retain(|session| session.id == id);
            if ending.is_empty() {
                return Err(Error::NotFound { kind: Kind::Session, id: id.to_owned() });
            }
        }
        for session in ending.iter().filter(|_| !is_dry) {
            self.store.end_session(&session.digest).await?;
        }
        Ok(ending)
    }
}
