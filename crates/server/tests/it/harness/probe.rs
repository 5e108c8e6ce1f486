//! A store that counts its calls, and that fails or blocks if a test says so.

use std::{
    future::Future,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use customer_settings_server::{
    catalog::{
        access::{CoveredGrant, Grant},
        checkpoint::Checkpoint,
        company::Business,
        entry::{Catalog, Revision},
        error::Cause,
        id::{BusinessId, CompanyId, EntryId, KeyId},
        key::{Key, KeySecrets, SecretDigest},
        log::{Line, LoggedRequest, RequestId},
        session::{Session, SignInLink},
        settings::Settings,
        stream::{LineFilter, LinePlace, Stream, Streams},
        time::Timestamp,
    },
    store::{
        CheckpointRow, Checkpoints, Companies, CompanyRow, Facts, KeyRow, Keys, Log, Meta, Notice,
        PlanFamily, Sessions, Store, StoreError, Uses,
    },
};
use tokio::sync::mpsc;

/// A real store with switches.
pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    fails: Mutex<Option<StoreError>>,
    writes_fail: Mutex<Option<StoreError>>,
    companies_fail: Mutex<Option<StoreError>>,
    hangs: AtomicBool,
    hides_mark: AtomicBool,
    notices: Mutex<(mpsc::Sender<Notice>, Option<mpsc::Receiver<Notice>>)>,
    mark_polls: AtomicUsize,
    key_look_ups: AtomicUsize,
    touched: Mutex<Vec<Vec<KeyId>>>,
    ends: Mutex<Option<CommitEnd>>,
    commits: AtomicUsize,
    lines_read: AtomicUsize,
}

/// How commits end, whatever becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitEnd {
    /// Nothing is written, as another process came first.
    Conflict,
    /// All is written, and nobody says so.
    Unknown,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        let (sender, receiver) = mpsc::channel(9);
        Self {
            inner,
            fails: Mutex::default(),
            writes_fail: Mutex::default(),
            companies_fail: Mutex::default(),
            hangs: AtomicBool::new(false),
            hides_mark: AtomicBool::new(false),
            notices: Mutex::new((sender, Some(receiver))),
            mark_polls: AtomicUsize::new(0),
            key_look_ups: AtomicUsize::new(0),
            touched: Mutex::default(),
            ends: Mutex::default(),
            commits: AtomicUsize::new(0),
            lines_read: AtomicUsize::new(0),
        }
    }

    /// From now on reads and writes fail, or work again.
    pub(crate) fn fail(&self, fails: bool) {
        let error = StoreError::Unavailable(Cause::new("the inside of the failing store"));
        self.fail_as(fails.then_some(error));
    }

    /// From now on every call ends with this error, or works again.
    pub(crate) fn fail_as(&self, error: Option<StoreError>) {
        *self.fails.lock().unwrap() = error;
    }

    /// The same for writes only.
    pub(crate) fn fail_writes_as(&self, error: Option<StoreError>) {
        *self.writes_fail.lock().unwrap() = error;
    }

    /// The same only for reads that snapshots are made of.
    pub(crate) fn fail_companies_as(&self, error: Option<StoreError>) {
        *self.companies_fail.lock().unwrap() = error;
    }

    /// From now on no call is answered.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, SeqCst);
    }

    /// From now on the store is an engine without a change mark.
    pub(crate) fn hide_change_mark(&self) {
        self.hides_mark.store(true, SeqCst);
    }

    /// Sends a notice like another node's write.
    pub(crate) fn notify(&self, notice: Notice) {
        self.notices.lock().unwrap().0.try_send(notice).unwrap();
    }

    /// The number of reads of the change mark so far.
    pub(crate) fn mark_polls(&self) -> usize {
        self.mark_polls.load(SeqCst)
    }

    /// The number of look-ups of keys so far.
    pub(crate) fn key_look_ups(&self) -> usize {
        self.key_look_ups.load(SeqCst)
    }

    /// The keys of each write of last uses, since the last call.
    pub(crate) fn take_touched(&self) -> Vec<Vec<KeyId>> {
        std::mem::take(&mut self.touched.lock().unwrap())
    }

    /// From now on commits end like this, or as they do.
    pub(crate) fn end_commits(&self, end: Option<CommitEnd>) {
        *self.ends.lock().unwrap() = end;
    }

    /// How many commits were tried so far.
    pub(crate) fn commits(&self) -> usize {
        self.commits.load(SeqCst)
    }

    /// The lines of logs that were read so far, newest first.
    pub(crate) fn lines_read(&self) -> usize {
        self.lines_read.load(SeqCst)
    }

    async fn committed(
        &self,
        commit: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        self.commits.fetch_add(1, SeqCst);
        let end = *self.ends.lock().unwrap();
        match end {
            None => commit.await,
            Some(CommitEnd::Conflict) => Err(StoreError::Conflict),
            Some(CommitEnd::Unknown) => {
                commit.await?;
                Err(StoreError::OutcomeUnknown(Cause::new("inside")))
            }
        }
    }

    async fn ask(&self) -> Result<&dyn Store, StoreError> {
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        match &*self.fails.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(&*self.inner),
        }
    }

    async fn write(&self) -> Result<&dyn Store, StoreError> {
        self.ask_unless(&self.writes_fail).await
    }

    async fn company(&self) -> Result<&dyn Store, StoreError> {
        self.ask_unless(&self.companies_fail).await
    }

    async fn ask_unless(
        &self,
        fails: &Mutex<Option<StoreError>>,
    ) -> Result<&dyn Store, StoreError> {
        let store = self.ask().await?;
        match &*fails.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(store),
        }
    }
}

#[async_trait]
impl Companies for Probe {
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>, StoreError> {
        self.ask().await?.list_companies(grant, show_archived, after, offset, limit).await
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>, StoreError> {
        self.ask().await?.list_businesses(grant, offset, limit).await
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>, StoreError> {
        self.ask().await?.company_ids(grant, after, limit).await
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>, StoreError> {
        self.ask().await?.company_of(business).await
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>, StoreError> {
        self.ask().await?.companies_named(grant, fold_key).await
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>, StoreError> {
        self.ask().await?.fold_key(grant).await
    }

    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>, StoreError> {
        self.company().await?.settings(grant).await
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>, StoreError> {
        self.company().await?.revision(grant).await
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>, StoreError> {
        self.ask().await?.deleted_among(grant, catalog, ids).await
    }
}

#[async_trait]
impl Log for Probe {
    async fn commit(
        &self,
        lines: &[(&Stream, &Line)],
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        self.committed(self.write().await?.commit(lines, live)).await
    }

    async fn commit_key_family(
        &self,
        head: &KeyId,
        limit: u32,
        plan: PlanFamily,
        live: Option<&KeyId>,
    ) -> Result<(), StoreError> {
        let store = self.write().await?;
        self.committed(store.commit_key_family(head, limit, plan, live)).await
    }

    async fn request(
        &self,
        among: &Streams,
        key: &KeyId,
        request: &RequestId,
    ) -> Result<Option<LoggedRequest>, StoreError> {
        self.ask().await?.request(among, key, request).await
    }

    async fn log(
        &self,
        stream: &Stream,
        after: (Revision, u32),
        limit: u32,
    ) -> Result<Vec<(u32, Line)>, StoreError> {
        self.ask().await?.log(stream, after, limit).await
    }

    async fn log_before(
        &self,
        among: &Streams,
        before: Option<&LinePlace>,
        wanted: Option<&LineFilter>,
        limit: u32,
    ) -> Result<Vec<Line>, StoreError> {
        let lines = self.ask().await?.log_before(among, before, wanted, limit).await?;
        self.lines_read.fetch_add(lines.len(), SeqCst);
        Ok(lines)
    }

    async fn revision_at(
        &self,
        stream: &Stream,
        time: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        self.ask().await?.revision_at(stream, time).await
    }
}

#[async_trait]
impl Checkpoints for Probe {
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>, StoreError> {
        self.ask().await?.checkpoint(stream, among).await
    }

    async fn leave_checkpoint(
        &self,
        stream: &Stream,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        self.write().await?.leave_checkpoint(stream, checkpoint).await
    }
}

#[async_trait]
impl Keys for Probe {
    async fn key_by_secret(&self, secret: &SecretDigest) -> Result<Option<Key>, StoreError> {
        self.key_look_ups.fetch_add(1, SeqCst);
        self.ask().await?.key_by_secret(secret).await
    }

    async fn keys(
        &self,
        created_by: Option<&KeyId>,
        after: Option<&KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRow>, StoreError> {
        self.ask().await?.keys(created_by, after, limit).await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<(Key, Option<Timestamp>)>, StoreError> {
        self.ask().await?.key(id).await
    }

    async fn secrets(&self, after: u64, limit: u32) -> Result<Vec<KeySecrets>, StoreError> {
        self.ask().await?.secrets(after, limit).await
    }

    async fn key_descendants(&self, id: &KeyId, limit: u32) -> Result<Vec<Key>, StoreError> {
        self.ask().await?.key_descendants(id, limit).await
    }

    async fn key_ids(&self, after: Option<&KeyId>, limit: u32) -> Result<Vec<KeyId>, StoreError> {
        self.ask().await?.key_ids(after, limit).await
    }

    async fn next_key_expiry(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.ask().await?.next_key_expiry(after).await
    }
}

#[async_trait]
impl Uses for Probe {
    async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let ids = uses.iter().map(|(id, _)| id.clone()).collect();
        self.touched.lock().unwrap().push(ids);
        self.write().await?.touch_keys(uses).await
    }
}

#[async_trait]
impl Sessions for Probe {
    async fn begin_session(
        &self,
        session: &Session,
        in_place_of: Option<&SecretDigest>,
        by_link: Option<&SecretDigest>,
    ) -> Result<(), StoreError> {
        self.write().await?.begin_session(session, in_place_of, by_link).await
    }

    async fn session(&self, id: &SecretDigest) -> Result<Option<Session>, StoreError> {
        self.ask().await?.session(id).await
    }

    async fn sessions(&self, key: &KeyId, limit: u32) -> Result<Vec<Session>, StoreError> {
        self.ask().await?.sessions(key, limit).await
    }

    async fn touch_session(&self, id: &SecretDigest, time: Timestamp) -> Result<(), StoreError> {
        self.write().await?.touch_session(id, time).await
    }

    async fn end_session(&self, id: &SecretDigest) -> Result<(), StoreError> {
        self.write().await?.end_session(id).await
    }

    async fn add_link(&self, link: &SignInLink, now: Timestamp) -> Result<(), StoreError> {
        self.write().await?.add_link(link, now).await
    }

    async fn link(&self, id: &SecretDigest) -> Result<Option<SignInLink>, StoreError> {
        self.ask().await?.link(id).await
    }
}

#[async_trait]
impl Meta for Probe {
    async fn epoch(&self) -> Result<u64, StoreError> {
        self.ask().await?.epoch().await
    }

    async fn facts(&self) -> Result<Facts, StoreError> {
        self.ask().await?.facts().await
    }

    async fn raise_epoch(&self, to: u64) -> Result<(), StoreError> {
        self.write().await?.raise_epoch(to).await
    }

    async fn change_mark(&self) -> Result<Option<u64>, StoreError> {
        self.mark_polls.fetch_add(1, SeqCst);
        if self.hides_mark.load(SeqCst) {
            return Ok(None);
        }
        self.ask().await?.change_mark().await
    }

    async fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        match self.inner.notices().await {
            Some(notices) => Some(notices),
            None => self.notices.lock().unwrap().1.take(),
        }
    }

    async fn structural_faults(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        self.ask().await?.structural_faults(limit).await
    }
}
