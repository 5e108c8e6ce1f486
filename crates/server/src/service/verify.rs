//! Verifying: every company's log is replayed from nothing and compared with what is stored, and so
//! is that of every key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    catalog::{
        access::{Grant, Task},
        company::Business,
        entry::{Catalog, Entry, Revision},
        error::Result,
        id::{CompanyId, EntryId, KeyId},
        key::{Key, KeyLogLine},
        log::LogLine,
        settings::{Delta, Settings, apply},
        text::FOLD_KEY_VERSION,
        time::Timestamp,
    },
    store::{Store, StoreError},
};

/// Lines and companies that are read at once.
const PAGE: u32 = 500;

/// What a line says that stands nowhere else has a hash of it and of the line beside it.
const NOT_AS_WRITTEN: &str = "not those that were written with it";

/// Something that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose data it is: a company's id, or `keys/` and a key's.
    pub of: String,
    /// What is wrong, in a sentence.
    pub what: String,
}

/// What was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many companies.
    pub companies: u64,
    /// How many keys.
    pub keys: u64,
    /// How many changes were replayed.
    pub changes: u64,
    /// What is wrong; empty if all is well.
    pub findings: Vec<Finding>,
}

/// What a log leads to.
#[derive(Default)]
struct Replayed {
    settings: Option<Settings>,
    /// The entries that were deleted and did not come back.
    deleted: BTreeSet<(Catalog, EntryId)>,
    last: Revision,
    changes: u64,
    /// The revisions of lines whose subjects are not those that were written.
    altered: Vec<Revision>,
}

/// What the log of one key leads to.
struct ReplayedKey {
    last: Key,
    time: Timestamp,
    changes: u64,
    also_revoked: Vec<KeyId>,
    /// The revisions of lines whose keys that were revoked along are not those that were written.
    altered: Vec<Revision>,
    /// Where the log breaks off, if it does.
    broken: Option<String>,
}

impl ReplayedKey {
    /// Of the first line.
    fn new(part: u32, line: KeyLogLine) -> Self {
        let revision = line.after.audit.revision;
        let is_first = part == 0 && line.before.is_none() && revision == Revision(1);
        let broken = (!is_first).then(|| "its log does not begin with revision 1".to_owned());
        let (also_revoked, altered) = (Vec::new(), Vec::new());
        let KeyLogLine { after, time, also_revoked: says, .. } = line;
        let mut first = Self { last: *after, time, changes: 1, also_revoked, altered, broken };
        first.take_also_revoked(revision, says);
        first
    }

    fn take_also_revoked(&mut self, revision: Revision, says: Option<Vec<KeyId>>) {
        match says {
            Some(ids) => self.also_revoked.extend(ids),
            None => self.altered.push(revision),
        }
    }

    fn take(&mut self, part: u32, line: KeyLogLine) {
        let (before, revision) = (line.before.as_deref(), line.after.audit.revision);
        let expected = self.last.audit.revision.next();
        let broken = match part {
            // A request that did not change it.
            1.. if *line.after == self.last => None,
            1.. => Some(format!("an empty line at revision {revision} does not fit its log")),
            0 if revision != expected => Some(format!("its log lacks revision {expected}")),
            0 if before != Some(&self.last) => {
                Some(format!("revision {revision} does not fit the one before it"))
            }
            0 if line.time <= self.time => {
                Some(format!("revision {revision} is not later than the one before it"))
            }
            0 => None,
        };
        self.broken = self.broken.take().or(broken);
        self.take_also_revoked(revision, line.also_revoked);
        if part == 0 {
            (self.last, self.time) = (*line.after, line.time);
            self.changes += 1;
        }
    }
}

/// Verifies stores.
pub struct VerifyService {
    store: Arc<dyn Store>,
}

impl VerifyService {
    /// Reads from the store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Replays every company's log and that of the keys. What cannot be read of one company hides
    /// no other; an engine that does not answer ends it.
    pub async fn verify(&self, mut progress: impl FnMut(&Verified)) -> Result<Verified> {
        let mut verified = Verified::default();
        if let Err(error) = self.keys(&mut verified).await {
            let StoreError::Damaged(cause) = error else { return Err(error.into()) };
            let what = format!("they or their log cannot be read: {}", cause.for_log());
            verified.findings.push(Finding { of: "keys".to_owned(), what });
        }
        let mut after: Option<CompanyId> = None;
        loop {
            let all = Task::Verify.grant_covered();
            let ids = self.store.company_ids(&all, after.as_ref(), PAGE).await?;
            for id in &ids {
                self.company(id, &mut verified).await?;
                verified.companies += 1;
                progress(&verified);
            }
            match ids.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(verified),
            }
        }
    }

    /// Replays the key log, key by key, and compares what each log leads to with what is stored.
    async fn keys(&self, verified: &mut Verified) -> Result<(), StoreError> {
        let mut logged: BTreeSet<KeyId> = BTreeSet::new();
        let mut current: Option<ReplayedKey> = None;
        let mut after: Option<(KeyId, Revision, u32)> = None;
        loop {
            let lines = self.store.whole_key_log(after.as_ref(), PAGE).await?;
            let Some((part, last)) = lines.last() else { break };
            after = Some((last.after.id.clone(), last.after.audit.revision, *part));
            for (part, line) in lines {
                match &mut current {
                    Some(key) if key.last.id == line.after.id => key.take(part, line),
                    _ => {
                        let next = ReplayedKey::new(part, line);
                        logged.insert(next.last.id.clone());
                        if let Some(done) = current.replace(next) {
                            self.key(done, verified).await?;
                        }
                    }
                }
            }
        }
        if let Some(done) = current {
            self.key(done, verified).await?;
        }
        self.keys_without_log(&logged, verified).await
    }

    /// Compares a key with what its log led to, which a server may go on with meanwhile.
    async fn key(&self, key: ReplayedKey, verified: &mut Verified) -> Result<(), StoreError> {
        let ReplayedKey { last, changes, also_revoked, altered, broken, .. } = key;
        verified.changes += changes;
        let mut found: Vec<String> = broken.into_iter().collect();
        let (row, end) = (self.store.key(&last.id).await?, last.audit.revision);
        match row.map(|(row, _)| row) {
            _ if !found.is_empty() => {}
            None => found.push("it has lines in the key log and no row of its own".to_owned()),
            Some(row) if row.audit.revision != end => {
                let lines = self.store.key_changes(Some(&last.id), None, PAGE).await?;
                let is_newer = row.audit.revision > end;
                if !is_newer || lines.iter().all(|line| *line.after != row) {
                    let at = row.audit.revision;
                    found.push(format!("it is at revision {at}, and the key log ends at {end}"));
                }
            }
            Some(row) if row != last => found.push("it differs from the key log".to_owned()),
            Some(_) => {}
        }
        found.extend(altered.iter().map(|revision| {
            format!("the keys that its line of revision {revision} says were revoked along are {NOT_AS_WRITTEN}")
        }));
        for id in also_revoked {
            let child = self.store.key(&id).await?;
            if child.is_none_or(|(child, _)| child.revoked_time.is_none()) {
                found.push(format!("{id} was revoked along with it, and is not revoked"));
            }
        }
        let finding = |what| Finding { of: format!("keys/{}", last.id), what };
        verified.findings.extend(found.into_iter().map(finding));
        Ok(())
    }

    async fn keys_without_log(
        &self,
        logged: &BTreeSet<KeyId>,
        verified: &mut Verified,
    ) -> Result<(), StoreError> {
        let mut after: Option<KeyId> = None;
        loop {
            let page = self.store.keys(None, after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            verified.keys += page.len() as u64;
            for (key, _) in page.iter().filter(|(key, _)| !logged.contains(&key.id)) {
                // Unless somebody made it just now.
                if self.store.key_changes(Some(&key.id), None, 1).await?.is_empty() {
                    let what = "it has no line in the key log that made it".to_owned();
                    verified.findings.push(Finding { of: format!("keys/{}", key.id), what });
                }
            }
        }
    }

    async fn company(&self, id: &CompanyId, verified: &mut Verified) -> Result<()> {
        let grant = Task::Verify.grant(id);
        let mut is_unreadable = false;
        // A server may write meanwhile: the log is read up to the revision that was stored.
        let stored = match self.store.settings(&grant).await {
            Ok(stored) => stored,
            Err(StoreError::Damaged(cause)) => {
                let what = format!("its rows cannot be read: {}", cause.for_log());
                verified.findings.push(Finding { of: id.to_string(), what });
                is_unreadable = true;
                None
            }
            Err(other) => return Err(other.into()),
        };
        let until = stored.as_ref().map_or(Revision(u64::MAX), |stored| stored.revision);
        let mut replayed = Replayed::default();
        let broken = match self.replay(&grant, until, &mut replayed).await {
            Ok(broken) => broken,
            Err(StoreError::Damaged(cause)) => {
                Some(format!("its change log cannot be read: {}", cause.for_log()))
            }
            Err(other) => return Err(other.into()),
        };
        verified.changes += replayed.changes;
        let is_broken = broken.is_some();
        let mut found: Vec<String> = broken.into_iter().collect();
        found.extend(replayed.altered.iter().map(|revision| {
            format!("the subjects of its line of revision {revision} are {NOT_AS_WRITTEN}")
        }));
        match (&stored, &replayed.settings) {
            // What needs no log is looked at.
            (Some(stored), _) if is_broken => {
                find_same_names(stored, &mut found);
                self.check_fold_key(&grant, stored, &mut found).await?;
            }
            (None, _) if is_broken => {}
            (Some(stored), Some(settings)) => {
                compare(stored, settings, &mut found);
                find_same_names(stored, &mut found);
                self.check_fold_key(&grant, stored, &mut found).await?;
                self.check_deleted(&grant, until, &replayed.deleted, &mut found).await?;
                self.check_end(&grant, until, &mut found).await?;
            }
            (Some(_), None) => found.push("it has rows and no change log".to_owned()),
            (None, Some(_)) if !is_unreadable => {
                found.push("it has a change log and no row of its own".to_owned());
            }
            (None, _) => {}
        }
        let finding = |what| Finding { of: id.to_string(), what };
        verified.findings.extend(found.into_iter().map(finding));
        Ok(())
    }

    /// Companies are found by their fold keys, so these must be as the rule makes them.
    async fn check_fold_key(
        &self,
        grant: &Grant,
        stored: &Settings,
        found: &mut Vec<String>,
    ) -> Result<()> {
        let Some((version, key)) = self.store.fold_key(grant).await? else { return Ok(()) };
        if version != FOLD_KEY_VERSION {
            let renewed_by = match version < FOLD_KEY_VERSION {
                true => "starting a server of this program renews it",
                false => "a newer program renewed it",
            };
            found.push(format!(
                "its fold key is of rule {version}, and this program has rule {FOLD_KEY_VERSION}: {renewed_by}"
            ));
        } else if key != stored.company.name.fold_key()
            && self.store.revision(grant).await? == Some(stored.revision)
        {
            found.push("its fold key is not that of its name".to_owned());
        }
        Ok(())
    }

    /// The ids of deleted entries must be kept, or they could be used again.
    async fn check_deleted(
        &self,
        grant: &Grant,
        until: Revision,
        deleted: &BTreeSet<(Catalog, EntryId)>,
        found: &mut Vec<String>,
    ) -> Result<()> {
        for (catalog, id) in deleted {
            // Unless somebody brings it back just now.
            if !self.store.was_deleted(grant, *catalog, id).await?
                && self.store.revision(grant).await? == Some(until)
            {
                found.push(format!(
                    "{catalog}/{id} was deleted, and its id is not kept from others"
                ));
            }
        }
        Ok(())
    }

    /// A log that goes on where the company does not, unless somebody writes just now.
    async fn check_end(
        &self,
        grant: &Grant,
        until: Revision,
        found: &mut Vec<String>,
    ) -> Result<()> {
        let Some(line) = self.store.changes(grant, until, 1).await?.into_iter().next() else {
            return Ok(());
        };
        if self.store.revision(grant).await? == Some(until) {
            let after = line.revision;
            found.push(format!("it is at revision {until}, and its change log has {after}"));
        }
        Ok(())
    }

    /// The company as its log has it up to a revision. Answers where the log breaks off, if it does.
    async fn replay(
        &self,
        grant: &Grant,
        until: Revision,
        replayed: &mut Replayed,
    ) -> Result<Option<String>, StoreError> {
        let mut after = (Revision(0), 0);
        loop {
            let lines = self.store.whole_log(grant, after, PAGE).await?;
            let Some((part, end)) = lines.last() else { return Ok(None) };
            after = (end.revision, *part);
            for (part, line) in lines.iter().take_while(|(_, line)| line.revision <= until) {
                if let Err(broken) = replayed.take(*part, line) {
                    return Ok(Some(broken));
                }
            }
            if after.0 > until {
                return Ok(None);
            }
        }
    }
}

impl Replayed {
    /// Goes on with a line, or says how it breaks the log.
    fn take(&mut self, part: u32, line: &LogLine) -> Result<(), String> {
        if line.subjects.is_none() {
            self.altered.push(line.revision);
        }
        // A request that found nothing to change.
        if part > 0 && line.revision == self.last && line.deltas.is_empty() {
            return Ok(());
        }
        let expected = self.last.next();
        if line.revision != expected {
            return Err(format!("its change log lacks revision {expected}"));
        }
        if self.settings.as_ref().is_some_and(|before| before.changed_time >= line.time) {
            return Err(format!("revision {expected} is not later than the one before it"));
        }
        let next = apply(self.settings.take(), line.revision, line.time, &line.deltas);
        let next =
            next.map_err(|_| format!("revision {expected} does not fit the ones before it"))?;
        self.settings = Some(next);
        for delta in &line.deltas {
            match delta {
                Delta::Deleted { catalog, before } => {
                    self.deleted.insert((*catalog, before.id.clone()));
                }
                Delta::Revived { catalog, after } => {
                    self.deleted.remove(&(*catalog, after.id.clone()));
                }
                _ => {}
            }
        }
        self.last = line.revision;
        self.changes += 1;
        Ok(())
    }
}

/// Names the active entries of one name. No change makes such; a newer rule about names may.
fn find_same_names(stored: &Settings, found: &mut Vec<String>) {
    for catalog in Catalog::ALL {
        let mut holders: BTreeMap<String, &Entry> = BTreeMap::new();
        for entry in stored.active(catalog) {
            if let Some(other) = holders.insert(entry.name.fold_key(), entry) {
                found.push(format!(
                    "{catalog}/{} and {catalog}/{} are active under one name (\"{}\" and \"{}\"): rename or \
                     archive one",
                    other.id, entry.id, other.name, entry.name
                ));
            }
        }
    }
}

/// Names every difference between what is stored and what the log leads to.
fn compare(stored: &Settings, replayed: &Settings, found: &mut Vec<String>) {
    if stored.revision != replayed.revision {
        let (row, log) = (stored.revision, replayed.revision);
        found.push(format!("it is at revision {row}, and its change log ends at {log}"));
    }
    if stored.changed_time != replayed.changed_time {
        found.push("its changed_time is not that of its last change".to_owned());
    }
    let company = |settings: &Settings| Box::new(settings.company.clone());
    if stored.company != replayed.company {
        let before = Some(company(replayed));
        found.push(differs(&Delta::Company { before, after: company(stored) }));
    }
    let businesses = |settings: &Settings| -> BTreeMap<String, Business> {
        settings.businesses.iter().map(|held| (held.id.to_string(), held.clone())).collect()
    };
    rows("businesses", &businesses(stored), &businesses(replayed), found, |log, row| {
        Delta::Business { before: Some(Box::new(log)), after: Box::new(row) }
    });
    for catalog in Catalog::ALL {
        let entries = |settings: &Settings| -> BTreeMap<String, Entry> {
            let entries = settings.entries(catalog).iter();
            entries.map(|entry| (entry.id.to_string(), entry.clone())).collect()
        };
        rows(catalog.as_str(), &entries(stored), &entries(replayed), found, |log, row| {
            Delta::Entry { catalog, before: Some(Box::new(log)), after: Box::new(row) }
        });
    }
}

fn rows<T: PartialEq + Clone>(
    of: &str,
    stored: &BTreeMap<String, T>,
    replayed: &BTreeMap<String, T>,
    found: &mut Vec<String>,
    delta: impl Fn(T, T) -> Delta,
) {
    for (id, row) in stored {
        match replayed.get(id) {
            None => found.push(format!("{of}/{id} is stored, and the change log does not have it")),
            Some(log) if log != row => found.push(differs(&delta(log.clone(), row.clone()))),
            Some(_) => {}
        }
    }
    for id in replayed.keys().filter(|id| !stored.contains_key(*id)) {
        found.push(format!("{of}/{id} is missing, and the change log has it"));
    }
}

/// The difference from the log (before) to the row (after).
fn differs(delta: &Delta) -> String {
    let fields = delta.fields();
    let fields = match fields[..] {
        [] => "who made or changed it, and when".to_owned(),
        _ => fields.join(", "),
    };
    format!("{} differs from its change log in: {fields}", delta.place())
}
