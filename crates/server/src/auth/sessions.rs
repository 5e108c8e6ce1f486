//! People in the console: a key's secret, or a link that works once, becomes a session, and a session becomes the key's
//! holder, judged anew each time.
//!
//! Knows no cookie and no page. Tokens have 256 random bits; only their SHA-256 is stored.

use std::{fmt, net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use super::{Authenticator, api_key};
use crate::{
    catalog::{
        access::{Coverage, Holder, Scope},
        error::{Cause, Error, Result},
        id::KeyId,
        key::{Key, SecretDigest},
        session::{Session, SignInLink},
        time::Timestamp,
    },
    clock::Clock,
    store::{Store, StoreError},
};

mod listed;

pub use listed::{Listed, SessionPlace};

/// A link that nobody uses stops working after two days.
const LINK_SECONDS: i64 = 48 * 3_600;
/// A person's activity is written down at most this often.
const SEEN_STEP_SECONDS: i64 = 300;
/// On its last day a session says when it ends.
const LAST_DAY_SECONDS: i64 = 24 * 3_600;

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Without any activity, in seconds.
    pub idle_seconds: i64,
    /// In all, in seconds.
    pub most_seconds: i64,
}

impl Terms {
    /// Without any activity, and in all.
    pub fn of_days(idle: u32, most: u32) -> Self {
        let seconds = |days: u32| i64::from(days) * 24 * 3_600;
        Self { idle_seconds: seconds(idle), most_seconds: seconds(most) }
    }
}

/// The token of a session or of a link, for the one moment when it is handed out. `Debug` shows nothing.
pub struct Token(SecretString);

impl Token {
    fn generate() -> Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| Error::Internal(Cause::new(format!("no randomness: {error}"))))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(random).into()))
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn digest(&self) -> SecretDigest {
        api_key::digest(self.expose())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A link for signing in, as somebody finds it who opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It signs in with the key of this name.
    Of(String),
    /// It was used at this time.
    Used(Timestamp),
    /// It is over, a newer one was made, or nobody made it.
    Gone,
}

/// A person who is signed in.
pub struct SignedIn {
    /// The holder of the key, at the person's address.
    pub holder: Holder,
    /// The key's name, by which people know who is signed in.
    pub name: String,
    /// The moment at which the person was looked up.
    pub now: Timestamp,
    session: Session,
    seconds_left: i64,
}

impl SignedIn {
    /// Whether the key has all these scopes, by their names in the contract.
    pub fn has_scopes<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        let scopes = &self.holder.rights.scopes;
        names.into_iter().all(|name| Scope::named(name).is_some_and(|scope| scopes.contains(scope)))
    }

    /// Whether the key covers every company, also those made later.
    pub fn covers_all(&self) -> bool {
        self.holder.rights.coverage == Coverage::All
    }

    /// The ids of the companies that the key names; none where it covers all.
    pub fn company_ids(&self) -> Vec<String> {
        match &self.holder.rights.coverage {
            Coverage::All => Vec::new(),
            Coverage::Only(ids) => ids.iter().map(ToString::to_string).collect(),
        }
    }

    /// When the session ends in any case.
    pub fn ends_time(&self) -> Timestamp {
        self.session.expires_time
    }

    /// Whether the session ends within a day, whatever the person does.
    pub fn ends_soon(&self) -> bool {
        self.seconds_left < LAST_DAY_SECONDS
    }

    /// The key's id.
    pub fn key_id(&self) -> &str {
        self.session.key_id.as_str()
    }

    /// The session's id, as lists show it.
    pub fn session_id(&self) -> String {
        self.session.shown_id()
    }
}

/// Begins, judges and ends sessions.
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    authenticator: Arc<Authenticator>,
    terms: Terms,
}

impl Sessions {
    /// Over the keys of an authenticator, within its limits.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        authenticator: Arc<Authenticator>,
        terms: Terms,
    ) -> Self {
        Self { store, clock, authenticator, terms }
    }

    /// How long a session lasts at most, in seconds.
    pub fn most_seconds(&self) -> i64 {
        self.terms.most_seconds
    }

    /// Signs in with the secret of a key, in a browser that a few words name. The session that it had before ends.
    pub async fn sign_in(
        &self,
        secret: &str,
        from: IpAddr,
        before: Option<&str>,
        browser: String,
    ) -> Result<Token> {
        let secret = secret.trim();
        let value = format!("Bearer {secret}");
        let values = std::iter::once(value.as_bytes());
        let mut key_id = None;
        let found = |id: &KeyId| key_id = Some(id.clone());
        self.authenticator.authenticate(values, from, found).await?;
        let key_id = key_id.ok_or(Error::UnknownKey)?;
        self.begin(key_id, Some(api_key::digest(secret)), before, None, browser).await
    }

    /// Signs in with the token of a link, which is used up by it; or tells why it does not work.
    pub async fn sign_in_by_link(
        &self,
        link: &str,
        from: IpAddr,
        before: Option<&str>,
        browser: String,
    ) -> Result<std::result::Result<Token, LinkState>> {
        let (found, _) = match self.link(link, from).await? {
            Ok(found) => found,
            Err(state) => return Ok(Err(state)),
        };
        match self.begin(found.key_id, None, before, Some(found.id), browser).await {
            // Somebody else was faster.
            Err(Error::UnknownKey) => Ok(Err(LinkState::Used(self.clock.now()))),
            begun => begun.map(Ok),
        }
    }

    /// The state of a link, without using the link up.
    pub async fn look_at_link(&self, link: &str, from: IpAddr) -> Result<LinkState> {
        let link = self.link(link, from).await?;
        Ok(link.map_or_else(|state| state, |(_, key)| LinkState::Of(key.name.to_string())))
    }

    async fn link(
        &self,
        link: &str,
        from: IpAddr,
    ) -> Result<std::result::Result<(SignInLink, Key), LinkState>> {
        let Some(link) = self.store.link(&api_key::digest(link)).await? else {
            self.authenticator.limit_unknown(from)?;
            return Ok(Err(LinkState::Gone));
        };
        if let Some(time) = link.used_time {
            return Ok(Err(LinkState::Used(time)));
        }
        let key = self.store.key(&link.key_id).await?;
        let Some((key, _)) = key.filter(|_| self.clock.now() < link.expires_time) else {
            return Ok(Err(LinkState::Gone));
        };
        self.authenticator.admit_person(&key, None, from)?;
        Ok(Ok((link, key)))
    }

    async fn begin(
        &self,
        key_id: KeyId,
        secret: Option<SecretDigest>,
        before: Option<&str>,
        by_link: Option<SecretDigest>,
        browser: String,
    ) -> Result<Token> {
        let token = Token::generate()?;
        let now = self.clock.now();
        let session = Session {
            id: token.digest(),
            key_id,
            secret,
            created_time: now,
            seen_time: now,
            expires_time: now.plus_seconds(self.terms.most_seconds),
            browser,
        };
        let before = before.map(api_key::digest);
        match self.store.begin_session(&session, before.as_ref(), by_link.as_ref()).await {
            Err(StoreError::Conflict) => return Err(Error::UnknownKey),
            begun => begun?,
        }
        // At once, as whoever sent the link looks whether it was used. The session lasts also where this fails: its link is
        // used up by now.
        if let Err(error) = self.store.touch_keys(&[(session.key_id, now)]).await {
            tracing::warn!(?error, "the last use of a key was not written down");
        }
        Ok(token)
    }

    /// The person of a session's token, if it lasts still. `is_active`: whether the person did something, and not the page
    /// by itself. The error tells why the key may not be used; an unknown key is one whose secret is another one by now.
    pub async fn look(
        &self,
        token: &str,
        from: IpAddr,
        is_active: bool,
    ) -> Result<Option<SignedIn>> {
        let Some(session) = self.store.session(&api_key::digest(token)).await? else {
            self.authenticator.limit_unknown(from)?;
            return Ok(None);
        };
        let now = self.clock.now();
        let Some((key, _)) = self.store.key(&session.key_id).await? else { return Ok(None) };
        // The token proves that its browser was signed in with the key, so this tells nobody else that there was one.
        key.check_secret(now, &session.secret.unwrap_or(key.secret))?;
        if self.is_over(&session, &key, now) {
            return Ok(None);
        }
        let holder = self.authenticator.admit_person(&key, session.secret.as_ref(), from)?;
        self.authenticator.is_used(&session.key_id);
        if is_active && now >= session.seen_time.plus_seconds(SEEN_STEP_SECONDS) {
            // A page that only reads is shown also while the disk is full. The next request writes the activity again.
            if let Err(error) = self.store.touch_session(&session.id, now).await {
                tracing::warn!(?error, "the last activity of a session was not written down");
            }
        }
        let left = session.expires_time.as_micros() - now.as_micros();
        let (name, seconds_left) = (key.name.to_string(), left / 1_000_000);
        Ok(Some(SignedIn { holder, name, now, session, seconds_left }))
    }

    /// Whether a session has ended by itself, or with the secret that began it.
    fn is_over(&self, session: &Session, key: &Key, now: Timestamp) -> bool {
        let idle_until = session.seen_time.plus_seconds(self.terms.idle_seconds);
        now >= session.expires_time.min(idle_until)
            || key.check_secret(now, &session.secret.unwrap_or(key.secret)).is_err()
    }

    /// Ends the session of a token.
    pub async fn end(&self, token: &str) -> Result<()> {
        Ok(self.store.end_session(&api_key::digest(token)).await?)
    }

    /// Makes a link that signs in once with a key, which ends the link before, and the time when it stops working. It is
    /// up to the caller whether it may.
    pub async fn make_link(&self, key_id: &KeyId) -> Result<(Token, Timestamp)> {
        let now = self.clock.now();
        let token = Token::generate()?;
        let expires_time = now.plus_seconds(LINK_SECONDS);
        let (id, key_id) = (token.digest(), key_id.clone());
        let link = SignInLink { id, key_id, expires_time, used_time: None };
        self.store.add_link(&link, now).await?;
        Ok((token, expires_time))
    }

    /// The id of the key that has this secret.
    pub async fn key_of(&self, secret: &api_key::Secret) -> Result<Option<KeyId>> {
        Ok(self.store.key_by_secret(&secret.digest()).await?.map(|key| key.id))
    }
}
