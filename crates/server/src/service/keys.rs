//! Issuing, listing, changing, rotating and revoking keys.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::sync::MutexGuard;

use super::{
    MOST_LOOKED_AT,
    history::{self, Filter},
    long_work::LongWork,
    new_id,
    writing::{Terms, Writing},
};
use crate::{
    auth::api_key::Secret,
    catalog::{
        access::{Actor, Caller, Coverage, Scopes},
        delta::Delta,
        entry::{Audit, Revision},
        error::{Cause, Error, Kind, Past, Result},
        etag::Etag,
        id::{KeyId, StaffId},
        key::{Key, MAX_REVOKED_ALONG, sides, summary},
        log::{Line, LoggedRequest, Request},
        settings::Subject,
        stream::{LineFilter, LinePlace, Stream, Streams},
        text::Name,
        time::Timestamp,
    },
    clock::Clock,
    store::{Store, StoreError},
};

pub use crate::store::KeyRow;

mod family;
mod rules;

use family::Family;
use rules::check_expiry;
pub use rules::{Rotation, note_link, revoke, rotate};

/// Keys, or lines of their log, that one look-up reads. A key has up to 70 kB.
const PAGE: u32 = 100;
/// How long a local command tries while others write.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most pages of the store that a request reads to fill one page of its answer.
const MAX_PAGES: u32 = MOST_LOOKED_AT / PAGE;

/// The fields of a new key.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of catalog::key::Key")]
pub struct KeyDraft {
    pub name: Name,
    pub scopes: Scopes,
    pub coverage: Coverage,
    pub addresses: Vec<IpNet>,
    pub expires_time: Option<Timestamp>,
    pub staff_id: Option<StaffId>,
}

/// A choice of keys to list.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only keys that this key made.
    pub created_by: Option<KeyId>,
    /// Also keys that were revoked.
    pub show_revoked: bool,
}

/// Called with a key that was written here, before other listeners are woken. The key before is `None` if it was made.
/// The key after is `None` if the outcome of the write is unknown.
pub type OnWritten = Box<dyn Fn(Option<&Key>, Option<&Key>) + Send + Sync>;

/// Issues, lists, changes and revokes keys.
pub struct KeysService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    writing: Writing,
    long_work: Arc<LongWork>,
    on_written: OnWritten,
}

impl KeysService {
    /// A service that calls `on_written` after each of its writes.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        writing: Writing,
        long_work: Arc<LongWork>,
        on_written: OnWritten,
    ) -> Self {
        Self { store, clock, writing, long_work, on_written }
    }

    /// Makes a key with that secret, which is generated or imported.
    pub async fn create(&self, actor: &Actor, draft: KeyDraft, secret: &Secret) -> Result<Key> {
        let by = By::local(actor.clone(), self.clock.monotonic() + PATIENCE);
        Ok(self.create_within(&by, draft, secret).await?.key)
    }

    /// The current time, for answers that depend on it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn made(&self, actor: &Actor, draft: KeyDraft, secret: &Secret) -> Result<(Key, Timestamp)> {
        let now = self.clock.now();
        let audit = Audit {
            created_by: actor.staff_id.clone(),
            created_time: now,
            last_updated_by: actor.staff_id.clone(),
            last_updated_time: now,
            revision: Revision(1),
        };
        let key = Key {
            id: KeyId::parse("id", &new_id(KeyId::PREFIX))?,
            name: draft.name,
            secret: secret.digest(),
            scopes: draft.scopes,
            coverage: draft.coverage,
            addresses: draft.addresses,
            expires_time: draft.expires_time,
            staff_id: draft.staff_id,
            revoked_time: None,
            link_time: None,
            previous: None,
            created_by_key_id: actor.key_id.clone(),
            audit,
        };
        Ok((key, now))
    }

    /// Revokes a key. A key that is revoked already does not change.
    pub async fn revoke(&self, actor: &Actor, id: &KeyId) -> Result<Key> {
        let by = By::local(actor.clone(), self.clock.monotonic() + PATIENCE);
        Ok(self.change(&by, id, revoke).await?.key)
    }

    /// Shows the keys within the caller's restrictions to a page: in the order of their ids, behind the given id,
    /// with the coarse time of their last use. Ends when `take` refuses a key, or enough keys were looked at. Damaged
    /// keys are shown to callers that see all keys. Returns the page, and the id after which to go on; `None` at the
    /// end. This is long work.
    pub async fn list_within<P: Send + 'static>(
        &self,
        caller: &Caller,
        (filter, mut after): (KeyFilter, Option<KeyId>),
        deadline: Instant,
        mut page: P,
        take: fn(&mut P, &KeyRow) -> bool,
    ) -> Result<(P, Option<KeyId>)> {
        let (store, within) = (self.store.clone(), caller.clone());
        let list = async move {
            for _ in 0..MAX_PAGES {
                let keys = store.keys(filter.created_by.as_ref(), after.as_ref(), PAGE).await?;
                let is_last = keys.len() < PAGE as usize;
                for row in keys {
                    let is_shown = match &row {
                        Ok((key, _)) => {
                            let is_taken = filter.show_revoked || key.revoked_time.is_none();
                            is_taken && key.lies_within(&within).is_ok()
                        }
                        // The restrictions of a damaged key are unknown.
                        Err(_) => sees_all(&within),
                    };
                    if is_shown && !take(&mut page, &row) {
                        return Ok((page, after));
                    }
                    after = Some(row.map_or_else(|row| row.place, |(key, _)| key.id));
                }
                if is_last {
                    return Ok((page, None));
                }
            }
            Ok((page, after))
        };
        self.long_work.run(caller.actor.key_id.as_ref(), deadline, list).await
    }

    /// A key within the caller's restrictions.
    pub async fn get_within(
        &self,
        caller: &Caller,
        id: &KeyId,
    ) -> Result<(Key, Option<Timestamp>)> {
        let found = self.store.key(id).await?;
        let (key, last_used) = found.ok_or_else(|| absent(Some(caller), id))?;
        match key.lies_within(caller) {
            Ok(()) => Ok((key, last_used)),
            Err(_) => Err(Error::KeyOutOfReach { id: id.clone() }),
        }
    }

    /// Shows the changes of one key, or of all keys, to a page: newest first, before the given place, and only
    /// changes that the filter takes and that lie within the caller's restrictions. Ends when `take` refuses a
    /// change, or enough lines were looked at. Returns the page, and the place before which to go on; `None` at the
    /// end. This is long work.
    pub async fn changes_within<P: Send + 'static>(
        &self,
        caller: &Caller,
        (key, filter, before): (Option<KeyId>, Filter, Option<LinePlace>),
        deadline: Instant,
        mut page: P,
        take: fn(&mut P, &Line, (Option<&Key>, &Key)) -> bool,
    ) -> Result<(P, Option<LinePlace>)> {
        let mut newest = None;
        if let Some(id) = &key {
            newest = Some(self.get_within(caller, id).await?.0.audit.revision.next());
        }
        let (store, within) = (self.store.clone(), caller.clone());
        let among = key.map_or_else(Streams::keys, |id| Streams::one(&Stream::key(&id)));
        let list = async move {
            let [from, until] = filter.places(&*store, &among).await?;
            let mut before = before.or(until);
            if let Some(newest) = newest {
                // A place may be one of before a restore.
                let place = before.map_or(newest, |place| place.revision.min(newest));
                before = Some(LinePlace::at(place));
            }
            let wanted = LineFilter { from, ..LineFilter::default() };
            for _ in 0..MAX_PAGES {
                let lines = store.log_before(&among, before.as_ref(), Some(&wanted), PAGE).await?;
                for line in &lines {
                    let Some(sides) = sides(line) else { continue };
                    let mut shown = sides.0.into_iter().chain([sides.1]);
                    let is_shown = filter.takes(&line.actor)
                        && shown.all(|key| key.lies_within(&within).is_ok());
                    if is_shown && !take(&mut page, line, sides) {
                        return Ok((page, before));
                    }
                    before = Some(LinePlace::of_key(line));
                }
                if lines.is_empty() {
                    return Ok((page, None));
                }
            }
            Ok((page, before))
        };
        self.long_work.run(caller.actor.key_id.as_ref(), deadline, list).await
    }

    /// Makes a key within the caller's restrictions.
    pub async fn create_within(
        &self,
        by: &By,
        draft: KeyDraft,
        secret: &Secret,
    ) -> Result<KeyAfter> {
        loop {
            if let Some(kept) = self.repeated(by).await? {
                return Ok(kept);
            }
            let (key, now) = self.made(&by.actor, draft.clone(), secret)?;
            check_expiry(key.expires_time, now)?;
            by.check_result(&key)?;
            if by.validate_only {
                return Ok(KeyAfter::new(key));
            }
            let (stream, line) = (Stream::key(&key.id), by.line(None, &key, now, &[]));
            let outcome = self.store.commit(&[(&stream, &line)], by.live()).await;
            if let Err(StoreError::Taken(_, holder)) = &outcome
                && holder != key.id.as_str()
            {
                return Err(self.secret_taken(by, holder).await);
            }
            let changed = [(None, &key)];
            if let Some(kept) =
                self.ended(by, outcome, KeyAfter::new(key.clone()), &changed).await?
            {
                return Ok(kept);
            }
        }
    }

    /// The error for a secret that another key has. It names the key to callers that may see it.
    async fn secret_taken(&self, by: &By, holder: &str) -> Error {
        let seen = async {
            let id = KeyId::parse("id", holder)?;
            match &by.caller {
                Some(caller) => self.get_within(caller, &id).await.map(|(key, _)| key.id),
                None => Ok(id),
            }
        };
        Error::SecretTaken { holder: seen.await.ok() }
    }

    /// Changes a key, which must lie within the caller's restrictions before and after. A change without
    /// effect writes nothing.
    pub async fn change(
        &self,
        by: &By,
        id: &KeyId,
        change: impl Fn(&mut Key, Timestamp) -> Result<()>,
    ) -> Result<KeyAfter> {
        let _entered = self.enter(by, id).await?;
        loop {
            if let Some(kept) = self.repeated(by).await? {
                return Ok(kept);
            }
            let before = self.changeable(by, id).await?;
            let now = Timestamp::after(self.clock.now(), Some(before.audit.last_updated_time));
            let changed = Changed::by(by, before, now, &change)?;
            if changed.after.expires_time != changed.before.expires_time {
                check_expiry(changed.after.expires_time, now)?;
            }
            by.check_result(&changed.after)?;
            if by.validate_only || (!changed.is_change() && by.request.is_none()) {
                return Ok(KeyAfter::new(changed.after));
            }
            let Changed { before, after, time } = &changed;
            let (stream, line) = (Stream::key(id), by.line(Some(before), after, *time, &[]));
            let outcome = self.store.commit(&[(&stream, &line)], by.live()).await;
            let kept = KeyAfter::new(after.clone());
            let changed = [(Some(before), after)];
            if let Some(kept) = self.ended(by, outcome, kept, &changed).await? {
                return Ok(kept);
            }
        }
    }

    /// Revokes a key and all keys that descend from it, together or not at all. The key itself may be revoked already.
    pub async fn revoke_with_created(&self, by: &By, id: &KeyId) -> Result<KeyAfter> {
        const LIMIT: u32 = MAX_REVOKED_ALONG as u32 + 1;
        let _entered = self.enter(by, id).await?;
        loop {
            if let Some(kept) = self.repeated(by).await? {
                return Ok(kept);
            }
            let head = self.changeable(by, id).await?;
            let (family, now) = (Family { head, by: by.clone() }, self.clock.now());
            if by.validate_only {
                let found = self.writing.read(self.store.key_descendants(id, LIMIT)).await?;
                return Ok(family.kept(&family.changed(&found, now)?));
            }
            let family = Arc::new(family);
            // The store calls the plan while nobody else can write the family.
            let made = Arc::new(Mutex::new(None));
            let plan = {
                let (family, made) = (family.clone(), made.clone());
                Arc::new(move |found: &[Key]| {
                    let changed = family.changed(found, now);
                    let lines = changed.as_ref().ok().map(|changed| family.lines(changed));
                    *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(changed);
                    lines
                })
            };
            let outcome = self.store.commit_key_family(id, LIMIT, plan, by.live()).await;
            let made = made.lock().unwrap_or_else(PoisonError::into_inner).take();
            let changed = made.transpose()?.unwrap_or_default();
            let kept = family.kept(&changed);
            let changed: Vec<_> =
                changed.iter().map(|one| (Some(&one.before), &one.after)).collect();
            if let Some(kept) = self.ended(by, outcome, kept, &changed).await? {
                return Ok(kept);
            }
        }
    }

    /// Waits for earlier writes of the key. A dry run does not wait.
    async fn enter(&self, by: &By, id: &KeyId) -> Result<Option<MutexGuard<'_, ()>>> {
        if by.validate_only {
            return Ok(None);
        }
        self.writing.enter(id.as_str()).await.map(Some)
    }

    /// The result of an attempt to leave the key in the state `kept`. `None` if the change has to be planned again,
    /// because another process wrote, or the same request came just before.
    async fn ended(
        &self,
        by: &By,
        outcome: Result<(), StoreError>,
        kept: KeyAfter,
        changed: &[(Option<&Key>, &Key)],
    ) -> Result<Option<KeyAfter>> {
        let written =
            || changed.iter().for_each(|(before, after)| (self.on_written)(*before, Some(after)));
        let error = match outcome {
            Ok(()) => {
                written();
                return Ok(Some(kept));
            }
            Err(StoreError::Conflict) => {
                self.check_acting(by).await?;
                let Key { id, audit, .. } =
                    changed.first().and_then(|one| one.0).unwrap_or(&kept.key);
                let what = (Kind::Key, id.as_str(), audit.revision);
                return self.writing.again(&by.terms(), what).await.map(|()| None);
            }
            Err(error) => error,
        };
        for before in changed.iter().filter_map(|(before, _)| *before) {
            (self.on_written)(Some(before), None);
        }
        if !matches!(error, StoreError::OutcomeUnknown(_)) {
            return Err(error.into());
        }
        let (logged, _) = self.writing.outcome(&by.terms(), error).await?;
        let found = self.answer(by, logged).await?;
        // The same request may have come twice, with different secrets.
        let repeated = found.key != kept.key;
        if !repeated {
            written();
        }
        Ok(Some(KeyAfter { repeated, ..found }))
    }

    /// A key that the caller may change, if its etag is the one that the caller knows.
    async fn changeable(&self, by: &By, id: &KeyId) -> Result<Key> {
        let found = self.writing.read(self.store.key(id)).await?;
        let (key, _) = found.ok_or_else(|| absent(by.caller.as_ref(), id))?;
        if by.caller.as_ref().is_some_and(|caller| key.lies_within(caller).is_err()) {
            return Err(Error::KeyOutOfReach { id: id.clone() });
        }
        self.check_etag(by.etag.as_ref(), &key).await?;
        Ok(key)
    }

    /// Checks the acting key after a conflict: a key that was revoked since must write nothing more.
    async fn check_acting(&self, by: &By) -> Result<()> {
        let Some(id) = &by.actor.key_id else { return Ok(()) };
        let acting = self.writing.read(self.store.key(id)).await?.ok_or(Error::UnknownKey)?;
        acting.0.check_usable(self.clock.now())
    }

    /// The key after the same request, if it was made before.
    async fn repeated(&self, by: &By) -> Result<Option<KeyAfter>> {
        match self.writing.logged(&by.terms()).await? {
            Some(logged) => self.answer(by, logged).await.map(Some),
            None => Ok(None),
        }
    }

    /// The key after a request. The line at the request's revision has it, whether or not the
    /// request made that revision.
    async fn answer(&self, by: &By, logged: LoggedRequest) -> Result<KeyAfter> {
        let stream = Stream::key(&KeyId::parse("id", &logged.of)?);
        let made = logged.revision;
        let line = history::line(&*self.store, &stream, made, made).await?;
        let broken = || Error::Internal(Cause::new("the log of a key lacks its key").of_damage());
        let key = sides(&line).ok_or_else(broken)?.1.clone();
        by.check_result(&key)?;
        let along = logged.subjects.into_iter().filter_map(|subject| match subject {
            Subject::Key(id) => Some(id),
            _ => None,
        });
        Ok(KeyAfter { key, also_revoked: along.collect(), repeated: true })
    }

    /// Refuses another etag than the key's. The error names the changes since, as far as one page of the log goes back.
    async fn check_etag(&self, etag: Option<&Etag>, key: &Key) -> Result<()> {
        let Some(etag) = etag.filter(|etag| **etag != key.etag()) else { return Ok(()) };
        let among = Streams::one(&Stream::key(&key.id));
        let lines = self.writing.read(self.store.log_before(&among, None, None, PAGE)).await?;
        let is_since = |line: &&Line| sides(line).is_some_and(|(_, after)| after.etag() != *etag);
        let since: Vec<Past> =
            lines.iter().take_while(is_since).map(|line| Past::of(line, summary(line))).collect();
        // If the key never had the etag, no change is named.
        let was_its = since.len() < lines.len();
        let since = if was_its { since } else { Vec::new() };
        Err(Error::EtagMismatch { what: format!("keys/{}", key.id), was_its, since })
    }
}

/// The one who changes a key, and the conditions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct By {
    pub actor: Actor,
    /// The caller whose restrictions keys must lie within; none for local commands.
    pub caller: Option<Caller>,
    /// Makes the change safe to repeat.
    pub request: Option<Request>,
    /// Plans and answers, but writes nothing.
    pub validate_only: bool,
    /// The key's etag that the caller knows.
    pub etag: Option<Etag>,
    /// The moment after which the change is not planned again.
    pub deadline: Instant,
}

impl By {
    /// A local command, which may do everything.
    pub fn local(actor: Actor, deadline: Instant) -> Self {
        Self { actor, caller: None, request: None, validate_only: false, etag: None, deadline }
    }

    fn terms(&self) -> Terms {
        Terms {
            among: Streams::keys(),
            key: self.actor.key_id.clone(),
            request: self.request.clone().filter(|_| !self.validate_only),
            deadline: self.deadline,
        }
    }

    /// Checks that a changed key lies within the caller's restrictions.
    fn check_result(&self, key: &Key) -> Result<()> {
        key.check_size()?;
        let Some(caller) = &self.caller else { return Ok(()) };
        key.lies_within(caller).map_err(Error::KeyNotWithin)
    }

    /// The line of a change; without deltas if there is no difference.
    fn line(&self, before: Option<&Key>, after: &Key, time: Timestamp, along: &[KeyId]) -> Line {
        let delta = (before != Some(after)).then(|| Delta::key(before.cloned(), after.clone()));
        Line {
            revision: after.audit.revision,
            time,
            actor: self.actor.clone(),
            request: self.request.clone(),
            subjects: Some(along.iter().cloned().map(Subject::Key).collect()),
            deltas: delta.into_iter().collect(),
        }
    }

    /// The key that acts, which must still be valid when the change is written.
    fn live(&self) -> Option<&KeyId> {
        self.actor.key_id.as_ref()
    }
}

/// A key before and after a change.
struct Changed {
    before: Key,
    after: Key,
    time: Timestamp,
}

impl Changed {
    fn by(
        by: &By,
        before: Key,
        time: Timestamp,
        change: impl Fn(&mut Key, Timestamp) -> Result<()>,
    ) -> Result<Self> {
        let mut after = before.clone();
        change(&mut after, time)?;
        if after != before {
            after.audit.last_updated_by = by.actor.staff_id.clone();
            after.audit.last_updated_time = time;
            after.audit.revision = before.audit.revision.next();
        }
        Ok(Self { before, after, time })
    }

    fn is_change(&self) -> bool {
        self.before != self.after
    }
}

/// A key after a request.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct KeyAfter {
    pub key: Key,
    /// The keys that were revoked along with it.
    pub also_revoked: Vec<KeyId>,
    /// Whether an earlier request with the same id did this, so that nothing was done now.
    pub repeated: bool,
}

impl KeyAfter {
    fn new(key: Key) -> Self {
        Self { key, also_revoked: Vec::new(), repeated: false }
    }
}

/// Whether every key lies within the caller's restrictions.
fn sees_all(caller: &Caller) -> bool {
    let rights = &caller.rights;
    rights.scopes == Scopes::All
        && rights.coverage == Coverage::All
        && rights.addresses.is_empty()
        && rights.expires_time.is_none()
}

/// The error for a key that does not exist. It is the error for a foreign key, unless the caller sees all keys.
fn absent(caller: Option<&Caller>, id: &KeyId) -> Error {
    match caller {
        Some(caller) if !sees_all(caller) => Error::KeyOutOfReach { id: id.clone() },
        _ => Error::NotFound { kind: Kind::Key, id: id.to_string() },
    }
}
