//! Verifying: the log of every company and every key is replayed from its beginning and compared with the stored rows.
//! The engine checks its own structures, such as indexes.

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

/// Lines, and ids of companies or keys, that one look-up reads.
const PAGE: u32 = 500;
/// The most findings that are stored. A badly damaged database may have any number.
const MOST_FINDINGS: usize = 10_000;

/// The most faults of the database's own structure that are reported. One fault often brings many.
const MOST_FAULTS: u32 = 20;

/// The finding for a line whose hash does not match: a line's own facts are hashed together with the line before.
const NOT_AS_WRITTEN: &str = "not those that were written with it";

const NO_ROW: &str = "it has a log and no row of its own";

/// A difference between the stored rows and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The data's owner: a company's id, or `keys/` and a key's id.
    pub of: String,
    /// The finding, in a sentence.
    pub what: String,
}

/// The result of verifying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Verified {
    pub companies: u64,
    pub keys: u64,
    /// The number of replayed changes.
    pub changes: u64,
    /// The findings, up to a limit; empty if there are none.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    pub more: u64,
}

impl Verified {
    /// The number of all findings.
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

    /// The list, or an empty list and a finding if it cannot be read.
    fn listed<T>(&mut self, of: &str, list: Result<Vec<T>, StoreError>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let list = read("the list", list, &mut found)?;
        self.find(of, found);
        Ok(list.unwrap_or_default())
    }
}

/// The value that was read; `None` if it is damaged, which becomes a finding.
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

/// The state to which a log leads.
#[derive(Default)]
struct Replayed {
    replay: Replay,
    /// The entries that were deleted and not revived.
    deleted: BTreeSet<(Catalog, EntryId)>,
    /// The keys that were revoked along, according to lines.
    revoked_along: BTreeSet<KeyId>,
    changes: u64,
    /// The revisions of lines whose subjects are not the written ones.
    altered: Vec<Revision>,
    /// The checkpoints that are not as the log says.
    unfit: Vec<String>,
    /// A revision of the log after the row's own.
    goes_on: Option<Revision>,
}

/// Verifies stores.
pub struct VerifyService {
    store: Arc<dyn Store>,
}

impl VerifyService {
    /// A service that verifies this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Has the engine check its own structure, then replays the log of every company and every key. Damage in one of
    /// them hides no other. An engine that does not answer ends the verification.
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

    /// Replays a key's log and compares the result with the stored row.
    async fn key(&self, id: &KeyId, verified: &mut Verified) -> Result<()> {
        let mut found = Vec::new();
        let row = read("its row", self.store.key(id).await, &mut found)?;
        let is_read = row.is_some();
        let row = row.flatten().map(|(row, _)| row);
        // A server may write meanwhile, so the log is read up to the stored revision.
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

    /// Checks that a key that was revoked along, according to a line, is revoked.
    async fn check_revoked(&self, id: &KeyId, found: &mut Vec<String>) -> Result<()> {
        let is_revoked = match self.store.key(id).await {
            Ok(key) => key.is_some_and(|(key, _)| key.revoked_time.is_some()),
            // The damage is reported for the key itself.
            Err(StoreError::Damaged(_)) => true,
            Err(other) => return Err(other.into()),
        };
        if !is_revoked {
            found.push(format!("{id} was revoked along with it, and is not revoked"));
        }
        Ok(())
    }

    /// Replays a log up to the revision of its row. Finds where the log breaks off, and where log and row end
    /// at different revisions.
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

    /// Returns where the log breaks off, if it does.
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
                    // Not a finding if another process writes just now.
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

    /// The revision of the stream's row.
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
        // A server may write meanwhile, so the log is read up to the stored revision.
        let stored = read("its rows", self.store.settings(&grant).await, &mut found)?;
        let is_read = stored.is_some();
        let stored = stored.flatten();
        let until = stored.as_ref().map(|stored| stored.revision);
        let walked = self.walk(grant.stream(), until, verified, &mut found).await?;
        let Walked { mut replayed, is_whole } = walked;
        match (&stored, &replayed.replay.settings()) {
            // The checks that need no log.
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
        if stored.is_some_and(|stored| stored.company.source.is_some()) {
            let all = Task::Verify.grant_covered();
            let checks = self.store.source_checks(&all, std::slice::from_ref(id)).await;
            read("its last comparison with its source", checks, &mut found)?;
        }
        verified.find(id.as_str(), found);
        Ok(())
    }

    /// Checks the stored fold key, by which companies are found.
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

    /// Checks that the ids of deleted entries are stored, since they could be used again otherwise.
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
                    // Not a finding if another process revives the entry just now.
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
    /// Whether the log could be replayed to its end.
    is_whole: bool,
}

impl Replayed {
    /// Applies a line, or returns how it breaks the log.
    fn take(&mut self, part: u32, line: &Line) -> Result<(), String> {
        match &line.subjects {
            None => self.altered.push(line.revision),
            Some(subjects) => self.revoked_along.extend(subjects.iter().filter_map(|subject| {
                if let Subject::Key(id) = subject { Some(id.clone()) } else { None }
            })),
        }
        // The line of a request that found nothing to change.
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

/// Finds active entries of the same name. No change makes such entries, but a newer rule about names may.
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

/// Finds every difference between the stored rows and the replayed state.
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
