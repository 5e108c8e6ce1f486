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
        log::Line,
        replay::Replay,
        settings::{Settings, Subject},
        stream::{Stream, StreamKind},
        text::FOLD_KEY_VERSION,
    },
    store::{CheckpointRow, Store, StoreError, Unreadable},
};

/// Lines, and ids of companies or keys, that are read at once.
const PAGE: u32 = 500;
/// Findings that are kept; of a database that is damaged all over there may be any number.
const MOST_FINDINGS: usize = 10_000;

/// Faults of the database's own structure that are told: where there is one, there are often many.
const MOST_FAULTS: u32 = 20;

/// What a line says that stands nowhere else has a hash of it and of the line beside it.
const NOT_AS_WRITTEN: &str = "not those that were written with it";

const NO_ROW: &str = "it has a log and no row of its own";

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
    /// The keys that lines say were revoked along.
    revoked_along: BTreeSet<KeyId>,
    changes: u64,
    /// The revisions of lines whose subjects are not those that were written.
    altered: Vec<Revision>,
    /// The checkpoints that are not as the log says.
    unfit: Vec<String>,
    /// A revision of the log beyond the row's own.
    goes_on: Option<Revision>,
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
        let until = row.as_ref().map(|row| row.audit.revision);
        let walked = self.walk(&Stream::key(id), until, verified, &mut found).await?;
        let Walked { replayed, is_whole } = walked;
        for id in &replayed.revoked_along {
            self.check_revoked(id, &mut found).await?;
        }
        match (row, replayed.replay.key()) {
            _ if !is_whole => {}
            (Some(row), Some(last)) => {
                if replayed.goes_on.is_none()
                    && row.audit.revision == last.audit.revision
                    && row != *last
                {
                    found.push("it differs from its log".to_owned());
                }
            }
            (Some(_), None) => found.push("it has no line in its log that made it".to_owned()),
            (None, Some(_)) if is_read => found.push(NO_ROW.to_owned()),
            (None, _) => {}
        }
        verified.find(&format!("keys/{id}"), found);
        Ok(())
    }

    /// A key that a line says was revoked along must be revoked.
    async fn check_revoked(&self, id: &KeyId, found: &mut Vec<String>) -> Result<()> {
        let is_revoked = match self.store.key(id).await {
            Ok(key) => key.is_some_and(|(key, _)| key.revoked_time.is_some()),
            // That is told of the key itself.
            Err(StoreError::Damaged(_)) => true,
            Err(other) => return Err(other.into()),
        };
        if !is_revoked {
            found.push(format!("{id} was revoked along with it, and is not revoked"));
        }
        Ok(())
    }

    /// Replays a log up to the revision of its row, and tells where it breaks off, and where it and the row end apart.
    async fn walk(
        &self,
        stream: &Stream,
        until: Option<Revision>,
        verified: &mut Verified,
        found: &mut Vec<String>,
    ) -> Result<Walked> {
        let mut replayed = Replayed::default();
        let end = until.unwrap_or(Revision(u64::MAX));
        let log = self.replay(stream, end, &mut replayed).await;
        let log = read("its log", log, found)?;
        verified.changes += replayed.changes;
        let is_whole = log == Some(None);
        found.extend(log.flatten());
        let altered = replayed.altered.iter();
        found.extend(altered.map(|revision| {
            format!("the subjects of its line of revision {revision} are {NOT_AS_WRITTEN}")
        }));
        found.append(&mut replayed.unfit);
        let at = replayed.replay.revision();
        match (until, replayed.goes_on) {
            (Some(row), Some(next)) if is_whole => {
                found.push(format!("it is at revision {row}, and its log has {next}"));
            }
            (Some(row), None) if is_whole && at != row && at != Revision(0) => {
                found.push(format!("it is at revision {row}, and its log ends at {at}"));
            }
            _ => {}
        }
        Ok(Walked { replayed, is_whole })
    }

    /// Answers where the log breaks off, if it does.
    async fn replay(
        &self,
        stream: &Stream,
        until: Revision,
        replayed: &mut Replayed,
    ) -> Result<Option<String>, StoreError> {
        let mut after = (Revision(0), 0);
        let mut checkpoint = self.checkpoint(stream, Revision(1), replayed).await?;
        loop {
            let lines = self.store.log(stream, after, PAGE).await?;
            let Some((part, end)) = lines.last() else {
                let beyond = checkpoint.iter().map(place_of);
                replayed
                    .unfit
                    .extend(beyond.map(|place| unfit(place, "is beyond the end of its log")));
                return Ok(None);
            };
            after = (end.revision, *part);
            for (part, line) in lines {
                if line.revision > until {
                    // Unless somebody writes just now.
                    let is_still = self.revision(stream).await? == Some(until);
                    replayed.goes_on = is_still.then_some(line.revision);
                    return Ok(None);
                }
                if let Err(broken) = replayed.take(part, &line) {
                    return Ok(Some(broken));
                }
                while let Some(one) = checkpoint.take_if(|one| place_of(one) <= line.revision) {
                    replayed.compare(&one);
                    checkpoint = self.checkpoint(stream, place_of(&one).next(), replayed).await?;
                }
            }
        }
    }

    /// The next checkpoint of a company from a revision on: no answer comes from those of other streams.
    async fn checkpoint(
        &self,
        stream: &Stream,
        from: Revision,
        replayed: &mut Replayed,
    ) -> Result<Option<CheckpointRow>, StoreError> {
        if stream.kind() != StreamKind::COMPANY {
            return Ok(None);
        }
        match self.store.checkpoint(stream, from..Revision(u64::MAX)).await {
            Err(StoreError::Damaged(cause)) => {
                let what = format!("its checkpoints cannot be read: {}", cause.told());
                replayed.unfit.push(what);
                Ok(None)
            }
            found => found,
        }
    }

    /// Of the stream's row.
    async fn revision(&self, stream: &Stream) -> Result<Option<Revision>, StoreError> {
        match stream.kind() {
            StreamKind::KEY => {
                let Ok(id) = KeyId::parse("id", stream.id()) else { return Ok(None) };
                Ok(self.store.key(&id).await?.map(|(key, _)| key.audit.revision))
            }
            _ => {
                let Ok(id) = CompanyId::parse("id", stream.id()) else { return Ok(None) };
                self.store.revision(&Task::Verify.grant(&id)).await
            }
        }
    }

    async fn company(&self, id: &CompanyId, verified: &mut Verified) -> Result<()> {
        let grant = Task::Verify.grant(id);
        let mut found = Vec::new();
        // A server may write meanwhile: the log is read up to the revision that was stored.
        let stored = read("its rows", self.store.settings(&grant).await, &mut found)?;
        let is_read = stored.is_some();
        let stored = stored.flatten();
        let until = stored.as_ref().map(|stored| stored.revision);
        let walked = self.walk(&grant.stream(), until, verified, &mut found).await?;
        let Walked { mut replayed, is_whole } = walked;
        match (&stored, &replayed.replay.settings()) {
            // What needs no log is looked at.
            (Some(stored), _) if !is_whole => {
                find_same_names(stored, &mut found);
                self.check_fold_key(&grant, stored, &mut found).await?;
            }
            (None, _) if !is_whole => {}
            (Some(stored), Some(settings)) => {
                compare(stored, settings, &mut found);
                find_same_names(stored, &mut found);
                self.check_fold_key(&grant, stored, &mut found).await?;
                self.check_deleted(&grant, stored.revision, &replayed.deleted, &mut found).await?;
            }
            (Some(_), None) => found.push("it has rows and no log".to_owned()),
            (None, Some(_)) if is_read => found.push(NO_ROW.to_owned()),
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
}

/// A log that was read.
struct Walked {
    replayed: Replayed,
    /// Whether it leads somewhere.
    is_whole: bool,
}

impl Replayed {
    /// Goes on with a line, or says how it breaks the log.
    fn take(&mut self, part: u32, line: &Line) -> Result<(), String> {
        match &line.subjects {
            None => self.altered.push(line.revision),
            Some(subjects) => self.revoked_along.extend(subjects.iter().filter_map(|subject| {
                if let Subject::Key(id) = subject { Some(id.clone()) } else { None }
            })),
        }
        // A request that found nothing to change.
        if part > 0 && line.revision == self.replay.revision() && line.deltas.is_empty() {
            return Ok(());
        }
        let expected = self.replay.revision().next();
        if line.revision != expected {
            return Err(format!("its log lacks revision {expected}"));
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

    /// Compares the checkpoint of the revision that the log was replayed to.
    fn compare(&mut self, checkpoint: &CheckpointRow) {
        let place = place_of(checkpoint);
        let what = match checkpoint {
            Err(Unreadable { cause, .. }) => format!("cannot be read ({})", cause.told()),
            Ok(checkpoint) => {
                let state = checkpoint.replay().ok().and_then(|mut replay| replay.settings());
                if place == self.replay.revision() && state == self.replay.settings() {
                    return;
                }
                "differs from its log".to_owned()
            }
        };
        self.unfit.push(unfit(place, &what));
    }
}

fn place_of(checkpoint: &CheckpointRow) -> Revision {
    match checkpoint {
        Ok(checkpoint) => checkpoint.revision,
        Err(unreadable) => unreadable.place,
    }
}

fn unfit(place: Revision, what: &str) -> String {
    format!("its checkpoint of revision {place} {what}: delete it from the table checkpoints")
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
            None => found.push(format!("{of}/{id} is stored, and its log does not have it")),
            Some(log) if log != row => found.push(differs(&delta(log.clone(), row.clone()))),
            Some(_) => {}
        }
    }
    for id in replayed.keys().filter(|id| !stored.contains_key(*id)) {
        found.push(format!("{of}/{id} is missing, and its log has it"));
    }
}

/// The difference from the log (before) to the row (after).
fn differs(delta: &Delta) -> String {
    let fields = delta.fields();
    let fields = match fields[..] {
        [] => "who made or changed it, and when".to_owned(),
        _ => fields.join(", "),
    };
    format!("{} differs from its log in: {fields}", delta.subject.place())
}
