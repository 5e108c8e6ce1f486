//! A store that takes note of damage: of stored data that cannot be understood.
//!
//! Each damaged place is logged once, in the words of `verify`. Every read of damaged data is counted, and `/readyz`
//! shows the number of places. This file does not know what is done about the damage.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    CheckpointRow, Checkpoints, Companies, CompanyRow, Facts, KeyRow, Keys, Listed, Log, Meta,
    Notice, PlanFamily, Sessions, Store, StoreError, Unreadable, Uses,
};
use crate::{
    catalog::{
        access::{CoveredGrant, Grant},
        checkpoint::Checkpoint,
        company::Business,
        entry::{Catalog, Revision},
        id::{BusinessId, CompanyId, EntryId, KeyId},
        key::{Key, KeySecrets, SecretDigest},
        log::{Line, LoggedRequest, RequestId},
        session::{Session, SignInLink},
        settings::Settings,
        stream::{Among, LineFilter, LinePlace, Stream, StreamKind, Streams},
        time::Timestamp,
    },
    telemetry::{DAMAGE, DAMAGED_PLACES},
};

/// The most places that are remembered. Damage in further places is only counted.
const MOST_PLACES: usize = 100;

/// The part of the data that is damaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Database,
    Companies,
    Settings,
    History,
    Keys,
    KeyHistory,
    Sessions,
}

impl Part {
    const fn label(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Companies => "companies",
            Self::Settings => "settings",
            Self::History => "history",
            Self::Keys => "keys",
            Self::KeyHistory => "key_history",
            Self::Sessions => "sessions",
        }
    }

    /// The damage in the words of `verify`.
    const fn problem(self) -> &'static str {
        match self {
            Self::Database => "it cannot be read",
            Self::Companies => "they cannot be listed",
            Self::Settings => "its rows cannot be read",
            Self::History => "its change log cannot be read",
            Self::Keys => "they cannot be read",
            Self::KeyHistory => "their log cannot be read",
            Self::Sessions => "they cannot be read",
        }
    }
}

/// The damage that was read since the start.
#[derive(Default)]
pub struct Damages(Mutex<BTreeSet<(Part, String)>>);

impl Damages {
    fn note<T>(
        &self,
        part: Part,
        of: &str,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(cause)) = &answer {
            metrics::counter!(DAMAGE, "part" => part.label()).increment(1);
            if self.is_new(part, of) {
                tracing::error!(
                    part = part.label(),
                    of,
                    cause = cause.for_log(),
                    "the data is damaged: {}; `customer-settings verify` names all that is wrong",
                    part.problem()
                );
            }
        }
        answer
    }

    /// Takes note of the damaged rows in a list.
    fn note_rows<T, P>(
        &self,
        part: Part,
        rows: &Result<Vec<Listed<T, P>>, StoreError>,
        of: fn(&P) -> String,
    ) {
        for Unreadable { place, cause } in
            rows.iter().flatten().filter_map(|row| row.as_ref().err())
        {
            _ = self.note::<()>(part, &of(place), Err(StoreError::Damaged(cause.clone())));
        }
    }

    fn is_new(&self, part: Part, of: &str) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = places.len() < MOST_PLACES && places.insert((part, of.to_owned()));
        metrics::gauge!(DAMAGED_PLACES).set(places.len() as f64);
        is_new
    }

    /// A line for operators, if damage was read. It names nobody's data.
    pub fn summary(&self) -> Option<String> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        let many = match places {
            0 => return None,
            1 => "one place".to_owned(),
            MOST_PLACES => format!("{MOST_PLACES} places or more"),
            places => format!("{places} places"),
        };
        Some(format!(
            "the data is damaged in {many}: the log names them, and `customer-settings verify` all that is wrong"
        ))
    }
}

/// A store whose damage is noted.
pub struct Watched {
    inner: Arc<dyn Store>,
    damages: Arc<Damages>,
}

impl Watched {
    /// Takes note of damage in all later reads.
    pub fn new(inner: Arc<dyn Store>, damages: Arc<Damages>) -> Self {
        Self { inner, damages }
    }
}

/// The log that these streams have.
fn log_of(among: &Streams) -> (Part, &str) {
    match among.among() {
        Among::One(stream) if stream.kind() == StreamKind::KEY => (Part::KeyHistory, stream.id()),
        Among::One(stream) => (Part::History, stream.id()),
        Among::All(_) => (Part::KeyHistory, "keys"),
    }
}

#[async_trait]
impl Companies for Watched {
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError> {
        let rows = self.inner.list_companies(grant, show_archived, after, offset, limit).await;
        let of = |(_, id): &(String, CompanyId)| id.to_string();
        self.damages.note_rows(Part::Settings, &rows, of);
        self.damages.note(Part::Companies, "companies", rows)
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError> {
        self.damages.note(
            Part::Companies,
            "companies",
            self.inner.list_businesses(grant, offset, limit).await,
        )
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError> {
        self.damages.note(
            Part::Companies,
            "companies",
            self.inner.company_ids(grant, after, limit).await,
        )
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError> {
        self.damages.note(Part::Companies, "companies", self.inner.company_of(business).await)
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError> {
        self.damages.note(
            Part::Companies,
            "companies",
            self.inner.companies_named(grant, fold_key).await,
        )
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError> {
        self.damages.note(Part::Settings, grant.stream().id(), self.inner.fold_key(grant).await)
    }

    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError> {
        self.damages.note(Part::Settings, grant.stream().id(), self.inner.settings(grant).await)
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError> {
        self.damages.note(Part::Settings, grant.stream().id(), self.inner.revision(grant).await)
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError> {
        self.damages.note(
            Part::Settings,
            grant.stream().id(),
            self.inner.deleted_among(grant, catalog, ids).await,
        )
    }
}

#[async_trait]
impl Log for Watched {
    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let (part, of) = match lines {
            [(stream, _), ..] if stream.kind() != StreamKind::KEY => (Part::Settings, stream.id()),
            _ => (Part::Keys, "keys"),
        };
        self.damages.note(part, of, self.inner.commit(lines, live).await)
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let outcome = self.inner.commit_key_family(head, limit, plan, live).await;
        self.damages.note(Part::Keys, "keys", outcome)
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError> {
        let (part, of) = log_of(among);
        self.damages.note(part, of, self.inner.request(among, key, request).await)
    }

    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError> {
        let among = Streams::one(stream);
        let (part, of) = log_of(&among);
        self.damages.note(part, of, self.inner.log(stream, after, limit).await)
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError> {
        let (part, of) = log_of(among);
        let lines = self.inner.log_before(among, before, wanted, limit).await;
        self.damages.note(part, of, lines)
    }

    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let among = Streams::one(stream);
        let (part, of) = log_of(&among);
        self.damages.note(part, of, self.inner.revision_at(stream, time).await)
    }
}

/// No answer relies on a checkpoint, so a damaged one is no damage of the data.
#[async_trait]
impl Checkpoints for Watched {
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>, StoreError> {
        self.inner.checkpoint(stream, among).await
    }

    async fn leave_checkpoint(
        &self,
        stream: &Stream,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        self.inner.leave_checkpoint(stream, checkpoint).await
    }
}

#[async_trait]
impl Keys for Watched {
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.key_by_secret(secret).await)
    }

    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        let rows = self.inner.keys(created_by, after, limit).await;
        self.damages.note_rows(Part::Keys, &rows, KeyId::to_string);
        self.damages.note(Part::Keys, "keys", rows)
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError> {
        self.damages.note(Part::Keys, id.as_str(), self.inner.key(id).await)
    }

    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.secrets(after, limit).await)
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.key_descendants(id, limit).await)
    }

    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.key_ids(after, limit).await)
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.next_key_expiry(after).await)
    }
}

#[async_trait]
impl Uses for Watched {
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.damages.note(Part::Keys, "keys", self.inner.touch_keys(uses).await)
    }
}

#[async_trait]
impl Sessions for Watched {
    async fn begin_session(
        &self,
        session: &Session,
        in_place_of: Option<&SecretDigest>,
        by_link: Option<&SecretDigest>,
    ) -> Result<(), StoreError> {
        let begun = self.inner.begin_session(session, in_place_of, by_link).await;
        self.damages.note(Part::Sessions, "sessions", begun)
    }

    async fn session(&self, id: &SecretDigest) -> Result<Option<Session>, StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.session(id).await)
    }

    async fn sessions(&self, key: &KeyId, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.sessions(key, limit).await)
    }

    async fn touch_session(&self, id: &SecretDigest, time: Timestamp) -> Result<(), StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.touch_session(id, time).await)
    }

    async fn end_session(&self, id: &SecretDigest) -> Result<(), StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.end_session(id).await)
    }

    async fn add_link(&self, link: &SignInLink, now: Timestamp) -> Result<(), StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.add_link(link, now).await)
    }

    async fn link(&self, id: &SecretDigest) -> Result<Option<SignInLink>, StoreError> {
        self.damages.note(Part::Sessions, "sessions", self.inner.link(id).await)
    }
}

#[async_trait]
impl Meta for Watched {
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.damages.note(Part::Database, "database", self.inner.epoch().await)
    }

    async fn facts(&self) -> Result<Facts, StoreError> {
        self.damages.note(Part::Database, "database", self.inner.facts().await)
    }

    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError> {
        self.damages.note(Part::Database, "database", self.inner.raise_epoch(to).await)
    }

    async fn change_mark(&self) -> Result<Option<u64>, StoreError> {
        self.damages.note(Part::Database, "database", self.inner.change_mark().await)
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        self.inner.notices().await
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        // Faults are only read to be reported, and the caller reports them.
        self.inner.structural_faults(limit).await
    }
}
