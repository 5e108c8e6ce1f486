//! Reading and changing one company's settings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    history,
    long_work::LongWork,
    old_states::OldStates,
    snapshot::{Marks, ServedSnapshot, Snapshots},
    writing::{Terms, Writing},
};
use crate::{
    catalog::{
        access::{Caller, Coverage, Grant},
        change::{Change, PreparedChange, Step},
        delta::Delta,
        entry::{Catalog, Revision},
        error::{Cause, Error, Kind, Result},
        id::{CompanyId, EntryId},
        log::{Line, LoggedRequest, Request},
        plan::{Context, Plan, plan},
        preview::Counts,
        settings::{Settings, Subject},
        stream::Streams,
        time::Timestamp,
        token::RevisionToken,
    },
    clock::Clock,
    store::{Store, StoreError},
};

mod documents;

/// How long an error may wait for its explanation.
const EXPLANATION_WAIT: Duration = Duration::from_secs(1);
/// The most steps of a write, and ids within them, that are planned at once, and the most rows of an answer that are
/// made at once. More of them are long work.
pub const MOST_AT_ONCE: usize = 100;

/// Reads and changes settings.
#[derive(Clone)]
pub struct SettingsService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    writing: Writing,
    snapshots: Arc<Snapshots>,
    old_states: Arc<OldStates>,
    long_work: Arc<LongWork>,
}

impl SettingsService {
    /// Reads come from the snapshots, writes go to the store.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        writing: Writing,
        snapshots: Arc<Snapshots>,
        old_states: Arc<OldStates>,
        long_work: Arc<LongWork>,
    ) -> Self {
        Self { store, clock, writing, snapshots, old_states, long_work }
    }

    /// The current company, at most as old as the freshness bound; `None` if it does not exist.
    pub async fn get(&self, grant: &Grant) -> Result<Option<ServedSnapshot>> {
        self.snapshots.get(grant).await
    }

    /// The current company, if that takes no look-up. `None` says nothing about the company.
    pub fn get_at_once(&self, grant: &Grant, now: Instant) -> Option<ServedSnapshot> {
        self.snapshots.get_at_once(grant, now)
    }

    /// The company now or at an earlier state. If it does not exist, the error is NOT_FOUND or the refusal of the
    /// coverage. Reading far back is long work.
    pub async fn read(
        &self,
        caller: &Caller,
        company: &CompanyId,
        as_of: AsOf,
        deadline: Instant,
    ) -> Result<(Arc<Settings>, Marks)> {
        let grant = caller.grant(company)?;
        let absent = || caller.absent(Kind::Company, company.as_str());
        let snapshot = self.snapshots.get(&grant).await?.ok_or_else(absent)?;
        let (current, marks) = (snapshot.settings.clone(), snapshot.marks());
        let settings = match as_of {
            AsOf::Now => return Ok((current, marks)),
            AsOf::Revision(revision) => {
                let current = newest(&*self.store, &grant, current, revision).await?;
                match self.old_states.near(&grant, &current, revision).await? {
                    Some(near) => near,
                    None => self.look_back(grant, current, as_of, deadline).await?,
                }
            }
            AsOf::Time(_) => self.look_back(grant, current, as_of, deadline).await?,
        };
        let token = self.snapshots.token(settings.revision);
        Ok((settings, Marks { token, stale_for: None }))
    }

    async fn look_back(
        &self,
        grant: Grant,
        current: Arc<Settings>,
        as_of: AsOf,
        deadline: Instant,
    ) -> Result<Arc<Settings>> {
        let (store, old_states) = (self.store.clone(), self.old_states.clone());
        let key = grant.actor().key_id.clone();
        let look = async move {
            let revision = match as_of {
                AsOf::Now => current.revision,
                AsOf::Revision(revision) => revision,
                AsOf::Time(time) => {
                    store.revision_at(grant.stream(), time).await?.ok_or_else(|| {
                        let description = "lies before the company was made";
                        Error::invalid("read_time", "OUT_OF_RANGE", description)
                    })?
                }
            };
            let current = newest(&*store, &grant, current, revision).await?;
            old_states.at(&grant, current, revision).await
        };
        self.long_work.run(key.as_ref(), deadline, look).await
    }

    /// Writes, or answers the result of the same request before.
    ///
    /// Making a company needs a key that covers all companies.
    pub async fn write(
        &self,
        caller: &Caller,
        company: &CompanyId,
        write: Write,
    ) -> Result<Written> {
        // Checked before the coverage, since the new company's id may be generated.
        if write.makes_company() && caller.rights.coverage != Coverage::All {
            return Err(Error::NotCoveringAll);
        }
        let grant = caller.grant(company)?;
        // A writer that knows a revision from before a restore must read again first.
        self.snapshots.refuse_other_epoch(&grant)?;
        let absent = || caller.absent(Kind::Company, company.as_str());
        self.commit(grant, write).await?.ok_or_else(absent)
    }

    /// Plans and commits. `None` if there is no such company.
    async fn commit(&self, grant: Grant, write: Write) -> Result<Option<Written>> {
        let (key, deadline, takes_long) =
            (grant.actor().key_id.clone(), write.deadline, write.takes_long());
        let service = self.clone();
        // In a box, as the future is large and would be moved from one future into the next.
        let commit = Box::pin(async move { service.commit_here(&grant, &write).await });
        self.long_work.run_if(takes_long, key.as_ref(), deadline, commit).await
    }

    async fn commit_here(&self, grant: &Grant, write: &Write) -> Result<Option<Written>> {
        let Some(change) = self.prepared(grant, &write.change).await? else { return Ok(None) };
        // Long work comes after the guard of the stream's queue is dropped, since other writers wait for it.
        match self.commit_in_queue(grant, write, &change).await? {
            Ended::Written(written) => Ok(Some(*written)),
            Ended::Absent => Ok(None),
            Ended::Before(logged) => self.written_before(grant, logged, write.deadline).await,
            Ended::Refused(error, current) => {
                Err(self.explained(grant, current, write, error).await)
            }
        }
    }

    /// Plans again if another process wrote first, until the deadline.
    async fn commit_in_queue(
        &self,
        grant: &Grant,
        write: &Write,
        change: &PreparedChange,
    ) -> Result<Ended> {
        let terms = write.terms(grant);
        let _entered = match write.validate_only {
            true => None,
            false => Some(self.writing.enter(grant.stream().id()).await?),
        };
        // A plan may use the settings that this process wrote last, since the commit checks their revision.
        // A dry run has no commit.
        let is_new_enough =
            |known: &Arc<Settings>| self.snapshots.refuse_older(grant, known.revision).is_ok();
        let known = self.snapshots.last_known(grant).filter(|_| !write.validate_only);
        let mut known = known.filter(is_new_enough);
        loop {
            let is_known = known.is_some();
            let current = match known.take() {
                Some(known) => Some(known),
                None => self.stored(grant).await?,
            };
            // The request id is looked up after the settings were read: else the changes of the same request would look
            // like another writer's. Settings from the cache need no look-up, since the commit refuses a used request
            // id, and no other result of such a plan counts.
            if !is_known && let Some(logged) = self.writing.logged(&terms).await? {
                return Ok(Ended::Before(logged));
            }
            if current.is_none() && !write.makes_company() {
                return Ok(Ended::Absent);
            }
            let plan = match self
                .plan(grant, current.as_deref(), change, &terms, write.validate_only)
                .await
            {
                // The settings were from the cache, so the error may be out of date.
                Err(_) if is_known => continue,
                Err(error) => return Ok(Ended::Refused(error, current)),
                Ok(plan) => plan,
            };
            if write.validate_only || (plan.line.is_empty() && terms.request.is_none()) {
                // The settings were from the cache, and no commit would find another process's write.
                if is_known {
                    continue;
                }
                return Ok(self.ended(plan, write.validate_only));
            }
            let stamp = self.snapshots.stamp(grant);
            match self.store.commit(&[(grant.stream(), &plan.line)], None).await {
                Ok(()) => {
                    let ended = self.ended(plan, false);
                    if let Ended::Written(written) = &ended {
                        self.snapshots.publish(grant, written.settings.clone(), stamp);
                        let line = written.line.as_ref();
                        self.old_states.committed(grant, &written.settings, line);
                    }
                    return Ok(ended);
                }
                Err(StoreError::Conflict) if is_known => {}
                Err(StoreError::Conflict) => {
                    let what = (Kind::Company, grant.stream().id(), plan.line.base());
                    self.writing.again(&terms, what).await?;
                }
                Err(unknown @ StoreError::OutcomeUnknown(_)) => {
                    return self.outcome(grant, &terms, unknown).await;
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// The company as the store has it, which is at least as new as the caller knows it.
    async fn stored(&self, grant: &Grant) -> Result<Option<Arc<Settings>>> {
        let stored = self.writing.read(self.store.settings(grant)).await?.map(Arc::new);
        let check =
            |settings: &Arc<Settings>| self.snapshots.refuse_older(grant, settings.revision);
        stored.as_ref().map_or(Ok(()), check)?;
        Ok(stored)
    }

    async fn plan(
        &self,
        grant: &Grant,
        current: Option<&Settings>,
        change: &PreparedChange,
        terms: &Terms,
        validate_only: bool,
    ) -> Result<Plan> {
        let plan = {
            let context = Context {
                actor: grant.actor(),
                request: terms.request.as_ref(),
                now: self.clock.now(),
                new_id: &super::new_id,
            };
            plan(&grant.company(), current, change, &context)?
        };
        match change {
            PreparedChange::RollBack { .. } => grant.check_taken_back(&plan.line.deltas)?,
            PreparedChange::Load { .. } if !validate_only => grant.check_needs(&plan.needs())?,
            _ => {}
        }
        if validate_only {
            self.refuse_taken(grant, &plan).await?;
        }
        Ok(plan)
    }

    /// The change with the past state that it needs. `None` if there is no such company.
    async fn prepared(&self, grant: &Grant, change: &Change) -> Result<Option<PreparedChange>> {
        let current = self.writing.read(self.store.settings(grant));
        Ok(Some(match change.clone() {
            Change::Load { document, options } => PreparedChange::Load { document, options },
            Change::Steps { etag, steps, is_batch } => {
                PreparedChange::Steps { etag, steps, is_batch }
            }
            Change::Undo { etag, revision } => {
                let Some(current) = current.await? else { return Ok(None) };
                let newest = current.revision;
                let line = history::line(&*self.store, grant.stream(), revision, newest).await?;
                // Before the plan, whose error names fields.
                grant.check_taken_back(&line.deltas)?;
                PreparedChange::Undo { etag, revision, deltas: line.deltas }
            }
            Change::RollBack { etag, revision } => {
                let Some(current) = current.await? else { return Ok(None) };
                let target = self.old_states.at(grant, Arc::new(current), revision).await?;
                let target = Box::new(Arc::unwrap_or_clone(target));
                PreparedChange::RollBack { etag, target }
            }
        }))
    }

    /// Refuses ids that are taken in a dry run: of entries that were deleted, and of locations, whose ids are unique on
    /// the server. In a write, the commit refuses them.
    async fn refuse_taken(&self, grant: &Grant, plan: &Plan) -> Result<()> {
        let deltas = &plan.line.deltas;
        for catalog in Catalog::ALL {
            let made = deltas.iter().filter_map(|delta| delta.made_entry(catalog));
            let ids: Vec<EntryId> = made.cloned().collect();
            if ids.is_empty() {
                continue;
            }
            let deleted = self.store.deleted_among(grant, catalog, &ids);
            let deleted = self.writing.read(deleted).await?;
            if let Some(id) = deleted.first() {
                let (id, catalog) = (id.to_string(), Some(catalog));
                return Err(Error::IdTaken { kind: Kind::Entry, id, catalog });
            }
        }
        for id in deltas.iter().filter_map(Delta::made_business) {
            let holder = self.writing.read(self.store.company_of(id)).await?;
            // The company itself has the location if another process made it after the plan's settings were read. The
            // commit finds that, and plans again.
            if holder.is_some_and(|holder| holder != grant.company()) {
                let id = id.to_string();
                return Err(Error::IdTaken { kind: Kind::Business, id, catalog: None });
            }
        }
        Ok(())
    }

    /// The result of a request that was made before.
    async fn written_before(
        &self,
        grant: &Grant,
        logged: LoggedRequest,
        deadline: Instant,
    ) -> Result<Option<Written>> {
        let current = self.writing.read(self.store.settings(grant)).await?;
        let Some(current) = current.map(Arc::new) else { return Ok(None) };
        let near = self.old_states.near(grant, &current, logged.revision).await?;
        let settings = match near {
            Some(near) => near,
            None => {
                let as_of = AsOf::Revision(logged.revision);
                self.look_back(grant.clone(), current, as_of, deadline).await?
            }
        };
        let made = logged.revision;
        let line = match logged.changed {
            true => Some(history::line(&*self.store, grant.stream(), made, made).await?),
            false => None,
        };
        let token = Some(self.snapshots.token(logged.revision));
        Ok(Some(Written { settings, subjects: logged.subjects, line, repeated: true, token }))
    }

    /// Adds to an error the changes that are in the way, if it is about such changes. They only help the reader: if it
    /// takes too long to find them, the error comes without them.
    async fn explained(
        &self,
        grant: &Grant,
        current: Option<Arc<Settings>>,
        write: &Write,
        error: Error,
    ) -> Error {
        if !history::is_explained(&error, &write.change) {
            return error;
        }
        let (store, change, found) = (self.store.clone(), write.change.clone(), error.clone());
        let explained = {
            let grant = grant.clone();
            async move {
                let current = current.as_deref();
                Ok(history::explained(&*store, &grant, current, &change, found).await)
            }
        };
        let deadline = write.deadline.min(self.clock.monotonic() + EXPLANATION_WAIT);
        let key = grant.actor().key_id.as_ref();
        self.long_work.run(key, deadline, explained).await.unwrap_or(error)
    }

    /// The result of a write whose commit did not report it.
    async fn outcome(&self, grant: &Grant, terms: &Terms, unknown: StoreError) -> Result<Ended> {
        let (logged, until) = self.writing.outcome(terms, unknown).await?;
        let written = self.written_before(grant, logged, until).await?;
        let missing = || Error::Internal(Cause::new("a company is not there after a write"));
        let written = written.ok_or_else(missing)?;
        Ok(Ended::Written(Box::new(Written { repeated: false, ..written })))
    }

    fn ended(&self, plan: Plan, is_dry_run: bool) -> Ended {
        let token = (!is_dry_run).then(|| self.snapshots.token(plan.after.revision));
        Ended::Written(Box::new(Written::of(plan, token)))
    }
}

/// How an attempt to write ended.
enum Ended {
    Written(Box<Written>),
    Absent,
    /// The same request was made before.
    Before(LoggedRequest),
    /// The plan failed. The company is the one that it was made for.
    Refused(Error, Option<Arc<Settings>>),
}

/// A change with the conditions under which it is made. [`SettingsService::write`] makes it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Write {
    pub change: Change,
    /// Makes the write safe to repeat.
    pub request: Option<Request>,
    /// Plans and answers, but writes nothing. Request ids are neither stored nor looked up.
    pub validate_only: bool,
    /// The moment after which the change is not planned again.
    pub deadline: Instant,
}

impl Write {
    fn terms(&self, grant: &Grant) -> Terms {
        Terms {
            among: Streams::one(grant.stream()),
            key: grant.actor().key_id.clone(),
            request: self.request.clone().filter(|_| !self.validate_only),
            deadline: self.deadline,
        }
    }

    /// Whether planning the change is long work.
    fn takes_long(&self) -> bool {
        let weight = |step: &Step| match step {
            Step::ReorderEntries { ids, .. } => 1 + ids.len(),
            _ => 1,
        };
        match &self.change {
            Change::Steps { steps, .. } => steps.iter().map(weight).sum::<usize>() > MOST_AT_ONCE,
            Change::Load { .. } | Change::Undo { .. } | Change::RollBack { .. } => true,
        }
    }

    fn makes_company(&self) -> bool {
        match &self.change {
            Change::Load { .. } => true,
            Change::Steps { steps, .. } => matches!(steps[..], [Step::CreateCompany { .. }, ..]),
            Change::Undo { .. } | Change::RollBack { .. } => false,
        }
    }
}

/// The result of a write.
#[derive(Clone, Debug)]
pub struct Written {
    /// The company after the write; for a repeated write, after the first time.
    pub settings: Arc<Settings>,
    /// The subject of each step, in the order of the steps; empty for undos and roll backs.
    pub subjects: Vec<Subject>,
    /// The line of the change log; `None` if there was nothing to do.
    pub line: Option<Line>,
    /// Whether the answer is that of an earlier request with the same id.
    pub repeated: bool,
    /// The token for the caller; `None` after a dry run, whose revision does not exist.
    pub token: Option<RevisionToken>,
}

impl Written {
    fn of(plan: Plan, token: Option<RevisionToken>) -> Self {
        let Plan { line, after, .. } = plan;
        let (settings, subjects) = (Arc::new(after), line.subjects.clone().unwrap_or_default());
        let line = Some(line).filter(|line| !line.is_empty());
        Self { settings, subjects, line, repeated: false, token }
    }

    /// The revision that the change was made to.
    pub fn base(&self) -> Revision {
        self.line.as_ref().map_or(self.settings.revision, Line::base)
    }

    /// The steps of a document's change, counted.
    pub fn counts(&self) -> Counts {
        let made = self.line.clone().and_then(|line| Counts::of_change(&self.settings, line));
        made.unwrap_or_default()
    }
}

/// The known settings, or the stored ones if another process made the revision just now.
async fn newest(
    store: &dyn Store,
    grant: &Grant,
    known: Arc<Settings>,
    revision: Revision,
) -> Result<Arc<Settings>> {
    if revision <= known.revision {
        return Ok(known);
    }
    Ok(store.settings(grant).await?.map_or(known, Arc::new))
}

/// The state of a company to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The current state.
    Now,
    /// The state at a revision.
    Revision(Revision),
    /// The state at a moment.
    Time(Timestamp),
}

/// The revisions around a change. If they are equal, there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The revision before; 0 if the company was made.
    pub before: Revision,
    /// The revision after.
    pub after: Revision,
}
