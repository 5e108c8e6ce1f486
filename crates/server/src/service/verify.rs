//! Verifying: every company's log is replayed from nothing and compared with what is stored, and so
//! is that of every key. The engine checks what only it knows, such as its indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    catalog::{
        access::{Grant, Task},
        company::Business,
        delta::{Delta, Row},
        entry::{Catalog, Entry, Revision},
        error::Result,
        id::{CompanyId, EntryId, KeyId},
        key::{Key, KeyLogLine},
        log::Line,
        replay::Replay,
        settings::{Settings, Subject},
        text::FOLD_KEY_VERSION,
        time::Timestamp,
    },
    store::{Store, StoreError},
};

/// Lines, and ids of companies or keys, that are read at once.
const PAGE: u32 = 500;
/// Findings that are kept; of a database that is damaged all over there may be any number.
const MOST_FINDINGS: usize = 10_000;

/// Faults of the database's own structure that are told: where there is one, there are often many.
const MOST_FAULTS: u32 = 20;

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
    /// What is wrong, as far as it was kept; empty if all is well.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

impl Verified {
    /// How much is wrong.
    pub fn found(&self) -> u64 {
        self.findings.len() as u64 + self.more
    }

    fn find(&mut self, of: &str, found: Vec<String>) {
        for what in found {
            if self.findings.len() < MOST_FINDINGS {
                self.findings.push(Finding { of: of.to_owned(), what });
            } else {
                self.more += 1;
            }
        }
    }

    /// A list that cannot be read is its own finding, and ends there.
    fn listed<T>(&mut self, of: &str, list: Result<Vec<T>, StoreError>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let list = read("the list", list, &mut found)?;
        self.find(of, found);
        Ok(list.unwrap_or_default())
    }
}

/// What was read; `None` where it is damaged, which is then found.
fn read<T>(
    what: &str,
    answer: Result<T, StoreError>,
    found: &mut Vec<String>,
) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(StoreError::Damaged(cause)) => {
            found.push(format!("{what} cannot be read: {}", cause.told()));
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

/// What a log leads to.
#[derive(Default)]
struct Replayed {
    replay: Replay,
    /// The entries that were deleted and did not come back.
    deleted: BTreeSet<(Catalog, EntryId)>,
    changes: u64,
    /// The revisions of lines whose subjects are not those that were written.
    altered: Vec<Revision>,
}

/// What the log of one key leads to.
#[derive(Default)]
struct ReplayedKey {
    last: Option<(Key, Timestamp)>,
    changes: u64,
    /// A revision of the log beyond the key's own.
    goes_on: Option<Revision>,
    /// What is wrong with what lines say that stands nowhere else.
    found: Vec<String>,
}

impl ReplayedKey {
    /// Goes on with a line, or says how it breaks the log.
    fn take(&mut self, part: u32, line: KeyLogLine) -> Result<(), String> {
        let revision = line.after.audit.revision;
        match (&self.last, part) {
            // A request that did not change it.
            (Some((last, _)), 1..) if *line.after == *last => return Ok(()),
            (Some(_), 1..) => {
                return Err(format!("an empty line at revision {revision} does not fit its log"));
            }
            (None, 0) if line.before.is_none() && revision == Revision(1) => {}
            (None, _) => return Err("its log does not begin with revision 1".to_owned()),
            (Some((last, time)), 0) => {
                let expected = last.audit.revision.next();
                if revision != expected {
                    return Err(format!("its log lacks revision {expected}"));
                }
                if line.before.as_deref() != Some(last) {
                    return Err(format!("revision {revision} does not fit the one before it"));
                }
                if line.time <= *time {
                    return Err(format!("revision {revision} is not later than the one before it"));
                }
            }
        }
        self.last = Some((*line.after, line.time));
        self.changes += 1;
        Ok(())
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

    /// Has the engine look at its own structure, then replays every company's log and every key's. What cannot be read of one hides no other; an engine
    /// that does not answer ends it.
    pub async fn verify(&self, mut progress: impl FnMut(&Verified)) -> Result<Verified> {
        let mut verified = Verified::default();
        let faults = self.store.structural_faults(MOST_FAULTS).await;
        let faults = verified.listed("the database", faults)?;
        verified.find("the database", faults);
        let mut after: Option<KeyId> = None;
        loop {
            let ids = self.store.key_ids(after.as_ref(), PAGE).await;
            let ids = verified.listed("keys", ids)?;
            for id in &ids {
                self.key(id, &mut verified).await?;
                verified.keys += 1;
                progress(&verified);
            }
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
        }
        let all = Task::Verify.grant_covered();
        let mut after: Option<CompanyId> = None;
        loop {
            let ids = self.store.company_ids(&all, after.as_ref(), PAGE).await;
            let ids = verified.listed("companies", ids)?;
            for id in &ids {
                self.company(id, &mut verified).await?;
                verified.companies += 1;
                progress(&verified);
            }
            let Some(last) = ids.last() else { return Ok(verified) };
            after = Some(last.clone());
        }
    }

    /// Replays a key's log and compares what it leads to with what is stored.
    async fn key(&self, id: &KeyId, verified: &mut Verified) -> Result<()> {
        let mut found = Vec::new();
        let row = read("its row", self.store.key(id).await, &mut found)?;
        let is_read = row.is_some();
        let row = row.flatten().map(|(row, _)| row);
        // A server may write meanwhile: the log is read up to the revision that was stored.
        let until = row.as_ref().map_or(Revision(u64::MAX), |row| row.audit.revision);
        let mut replayed = ReplayedKey::default();
        let log = self.replay_key(id, until, &mut replayed).await;
        let log = read("its log", log, &mut found)?;
        verified.changes += replayed.changes;
        let is_whole = log == Some(None);
        found.extend(log.flatten());
        found.extend(replayed.found);
        match (row, replayed.last) {
            _ if !is_whole => {}
            (Some(row), Some((last, _))) => {
                let (at, end) = (row.audit.revision, last.audit.revision);
                if let Some(next) = replayed.goes_on {
                    found.push(format!("it is at revision {at}, and the key log has {next}"));
                } else if at != end {
                    found.push(format!("it is at revision {at}, and the key log ends at {end}"));
                } else if row != last {
                    found.push("it differs from the key log".to_owned());
                }
            }
            (Some(_), None) => found.push("it has no line in the key log that made it".to_owned()),
            (None, Some(_)) if is_read => {
                found.push("it has lines in the key log and no row of its own".to_owned());
            }
            (None, _) => {}
        }
        verified.find(&format!("keys/{id}"), found);
        Ok(())
    }

    /// The key as its log has it up to a revision. Answers where the log breaks off, if it does.
    async fn replay_key(
        &self,
        id: &KeyId,
        until: Revision,
        replayed: &mut ReplayedKey,
    ) -> Result<Option<String>, StoreError> {
        let mut after = (Revision(0), 0);
        loop {
            let lines = self.store.whole_key_log(id, after, PAGE).await?;
            let Some((part, end)) = lines.last() else { return Ok(None) };
            after = (end.after.audit.revision, *part);
            for (part, line) in lines {
                let revision = line.after.audit.revision;
                if revision > until {
                    // Unless somebody writes just now.
                    let row = self.store.key(id).await?;
                    let is_still = row.is_some_and(|(row, _)| row.audit.revision == until);
                    replayed.goes_on = is_still.then_some(revision);
                    return Ok(None);
                }
                self.check_also_revoked(&line, &mut replayed.found).await?;
                if let Err(broken) = replayed.take(part, line) {
                    return Ok(Some(broken));
                }
            }
        }
    }

    /// What a line says was revoked along must be revoked.
    async fn check_also_revoked(
        &self,
        line: &KeyLogLine,
        found: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let Some(ids) = &line.also_revoked else {
            let revision = line.after.audit.revision;
            found.push(format!(
                "the keys that its line of revision {revision} says were revoked along are {NOT_AS_WRITTEN}"
            ));
            return Ok(());
        };
        for id in ids {
            let is_revoked = match self.store.key(id).await {
                Ok(key) => key.is_some_and(|(key, _)| key.revoked_time.is_some()),
                // That is told of the key itself.
                Err(StoreError::Damaged(_)) => true,
                Err(other) => return Err(other),
            };
            if !is_revoked {
                found.push(format!("{id} was revoked along with it, and is not revoked"));
            }
        }
        Ok(())
    }

    async fn company(&self, id: &CompanyId, verified: &mut Verified) -> Result<()> {
        let grant = Task::Verify.grant(id);
        let mut found = Vec::new();
        // A server may write meanwhile: the log is read up to the revision that was stored.
        let stored = read("its rows", self.store.settings(&grant).await, &mut found)?;
        let is_read = stored.is_some();
        let stored = stored.flatten();
        let until = stored.as_ref().map_or(Revision(u64::MAX), |stored| stored.revision);
        let mut replayed = Replayed::default();
        let log = self.replay(&grant, until, &mut replayed).await;
        let log = read("its change log", log, &mut found)?;
        verified.changes += replayed.changes;
        let is_broken = log != Some(None);
        found.extend(log.flatten());
        found.extend(replayed.altered.iter().map(|revision| {
            format!("the subjects of its line of revision {revision} are {NOT_AS_WRITTEN}")
        }));
        match (&stored, &replayed.replay.settings()) {
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
            (None, Some(_)) if is_read => {
                found.push("it has a change log and no row of its own".to_owned());
            }
            (None, _) => {}
        }
        verified.find(id.as_str(), found);
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
        for catalog in Catalog::ALL {
            let of = |(of, id): &(Catalog, EntryId)| (*of == catalog).then(|| id.clone());
            let ids: Vec<EntryId> = deleted.iter().filter_map(of).collect();
            for ids in ids.chunks(PAGE as usize) {
                let kept = self.store.deleted_among(grant, catalog, ids).await?;
                let kept: BTreeSet<&EntryId> = kept.iter().collect();
                for id in ids.iter().filter(|id| !kept.contains(id)) {
                    // Unless somebody brings it back just now.
                    if self.store.revision(grant).await? == Some(until) {
                        found.push(format!(
                            "{catalog}/{id} was deleted, and its id is not kept from others"
                        ));
                    }
                }
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
    fn take(&mut self, part: u32, line: &Line) -> Result<(), String> {
        if line.subjects.is_none() {
            self.altered.push(line.revision);
        }
        // A request that found nothing to change.
        if part > 0 && line.revision == self.replay.revision() && line.deltas.is_empty() {
            return Ok(());
        }
        let expected = self.replay.revision().next();
        if line.revision != expected {
            return Err(format!("its change log lacks revision {expected}"));
        }
        if self.replay.changed_time().is_some_and(|before| before >= line.time) {
            return Err(format!("revision {expected} is not later than the one before it"));
        }
        self.replay
            .apply(line.revision, line.time, &line.deltas)
            .map_err(|_| format!("revision {expected} does not fit the ones before it"))?;
        for delta in &line.deltas {
            let Subject::Entry(catalog, id) = &delta.subject else { continue };
            match (&delta.before, &delta.after) {
                (_, Some(Row::Tombstone)) => _ = self.deleted.insert((*catalog, id.clone())),
                (Some(Row::Tombstone), _) => _ = self.deleted.remove(&(*catalog, id.clone())),
                _ => {}
            }
        }
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
    if stored.company != replayed.company {
        let before = Some(replayed.company.clone());
        found.push(differs(&Delta::company(before, stored.company.clone())));
    }
    let businesses = |settings: &Settings| -> BTreeMap<String, Business> {
        settings.businesses.iter().map(|held| (held.id.to_string(), held.clone())).collect()
    };
    rows("businesses", &businesses(stored), &businesses(replayed), found, |log, row| {
        Delta::business(Some(log), row)
    });
    for catalog in Catalog::ALL {
        let entries = |settings: &Settings| -> BTreeMap<String, Entry> {
            let entries = settings.entries(catalog).iter();
            entries.map(|entry| (entry.id.to_string(), entry.clone())).collect()
        };
        rows(catalog.as_str(), &entries(stored), &entries(replayed), found, |log, row| {
            Delta::entry(catalog, Some(log), row)
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
    format!("{} differs from its change log in: {fields}", delta.subject.place())
}
