//! A company while it is changed. Steps edit a copy. At the end the copy is checked as a whole and
//! compared with the state before.
//!
//! Work that is done once may look at all rows. The work of a step finds its rows by their ids and the other facts in
//! the tallies. So the cost of a change is the company's rows plus its steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Stamp, load};
use crate::catalog::{
    change::EntryDraft,
    company::{Business, Company},
    delta::{Delta, Fields},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Kind, Result},
    id::{BusinessId, EntryId},
    rows::Rows,
    settings::{Settings, Subject},
};

pub(super) struct Draft<'a> {
    before: Option<&'a Settings>,
    /// The rows of the company before the change.
    old_businesses: Rows<Business>,
    old_entries: [Rows<Entry>; 4],
    /// The company as it shall be. Audits are stamped at the end, for the rows that really changed.
    pub(super) company: Company,
    pub(super) businesses: Rows<Business>,
    entries: [Rows<Entry>; 4],
    tallies: [Option<Tally>; 4],
    /// Entries that an earlier change deleted and this one revives.
    pub(super) revived: BTreeSet<(Catalog, EntryId)>,
    /// The step that last gave an entry its name or made it active, for errors about names.
    named_by: BTreeMap<(Catalog, EntryId), usize>,
    /// The drafts of entries whose audit the document names.
    pub(super) documented: BTreeMap<(Catalog, EntryId), &'a EntryDraft>,
    /// The entries that get another audit from the document than the change would give by itself.
    audited: BTreeSet<Subject>,
}

/// Two active entries with the same name.
pub(super) struct Clash {
    /// The step that last gave one of them the name; `None` if no step touched either.
    pub(super) step: Option<usize>,
    /// The name, as that step gives it.
    pub(super) name: String,
    /// The entry that has the name.
    pub(super) holder: EntryId,
    /// The step that gave it to that entry; `None` if no step touched the entry.
    pub(super) holder_step: Option<usize>,
}

/// The facts about a catalog as a whole that steps need.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// The number of active entries.
    pub(super) active: usize,
    /// A rank above all others.
    pub(super) next_rank: u32,
    /// The defaults: at most one, unless the store is damaged.
    defaults: Vec<EntryId>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(before: &'a Settings) -> Self {
        Self { before: Some(before), ..Self::with(before) }
    }

    /// A draft of a company that does not exist yet.
    pub(super) fn new(company: Company, stamp: &Stamp<'_>) -> Self {
        Self::with(&Settings {
            company,
            revision: stamp.revision,
            changed_time: stamp.time,
            businesses: Default::default(),
            catalogs: Default::default(),
        })
    }

    fn with(settings: &Settings) -> Self {
        let businesses = Rows::of(settings.businesses.clone());
        let entries = settings.catalogs.clone().map(Rows::of);
        Self {
            before: None,
            old_businesses: businesses.clone(),
            old_entries: entries.clone(),
            company: settings.company.clone(),
            businesses,
            entries,
            tallies: Default::default(),
            revived: BTreeSet::new(),
            named_by: BTreeMap::new(),
            documented: BTreeMap::new(),
            audited: BTreeSet::new(),
        }
    }

    pub(super) fn entries(&mut self, catalog: Catalog) -> &mut Rows<Entry> {
        &mut self.entries[catalog.index()]
    }

    pub(super) fn replace_entries(&mut self, catalog: Catalog, entries: Vec<Entry>) {
        self.entries[catalog.index()] = Rows::of(entries.into());
        self.tallies[catalog.index()] = None;
    }

    /// Adds an active entry with a new id, which is not the default.
    pub(super) fn add(&mut self, catalog: Catalog, entry: Entry) {
        let tally = self.tally(catalog);
        tally.active += 1;
        tally.next_rank = tally.next_rank.max(entry.rank.saturating_add(1));
        self.entries(catalog).push(entry);
    }

    /// Gives an entry a state that it does not have.
    pub(super) fn set_state(&mut self, catalog: Catalog, id: &EntryId, state: State) -> Result<()> {
        // The tally has to be made before the entry changes.
        let tally = self.tally(catalog);
        match state {
            State::Active => tally.active += 1,
            State::Archived => tally.active = tally.active.saturating_sub(1),
        }
        self.entry(catalog, id)?.state = state;
        Ok(())
    }

    /// The facts about the catalog as a whole. The methods here that change entries' states, defaults
    /// and number update them.
    pub(super) fn tally(&mut self, catalog: Catalog) -> &mut Tally {
        let entries = &self.entries[catalog.index()];
        self.tallies[catalog.index()].get_or_insert_with(|| {
            let mut tally = Tally::default();
            for entry in entries.iter() {
                tally.active += usize::from(entry.is_active());
                tally.next_rank = tally.next_rank.max(entry.rank.saturating_add(1));
                if entry.is_default {
                    tally.defaults.push(entry.id.clone());
                }
            }
            tally
        })
    }

    /// Whether the draft has not changed the catalog.
    fn is_untouched(&self, catalog: Catalog) -> bool {
        let (old, new) = (&self.old_entries[catalog.index()], &self.entries[catalog.index()]);
        self.before.is_some() && old.rows().is_same(new.rows())
    }

    pub(super) fn entry(&mut self, catalog: Catalog, id: &EntryId) -> Result<&mut Entry> {
        let found = self.entries(catalog).get_mut(id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Entry, id: id.to_string() })
    }

    pub(super) fn business(&mut self, id: &BusinessId) -> Result<&mut Business> {
        let found = self.businesses.get_mut(id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Business, id: id.to_string() })
    }

    /// The entry of that id before the change.
    pub(super) fn old_entry(&mut self, catalog: Catalog, id: &EntryId) -> Option<&Entry> {
        self.old_entries[catalog.index()].get(id)
    }

    /// The location of that id before the change.
    pub(super) fn old_business(&mut self, id: &BusinessId) -> Option<&Business> {
        self.old_businesses.get(id)
    }

    /// Whether the thing exists now.
    pub(super) fn has(&mut self, subject: &Subject) -> bool {
        match subject {
            Subject::Company | Subject::Catalog(_) => true,
            Subject::Business(id) => self.businesses.get(id).is_some(),
            Subject::Entry(catalog, id) => self.entries(*catalog).get(id).is_some(),
            Subject::Key(_) => false,
        }
    }

    /// Takes note that a step decides about the entry's name.
    pub(super) fn note_name(&mut self, catalog: Catalog, id: &EntryId, step: usize) {
        self.named_by.insert((catalog, id.clone()), step);
    }

    /// Makes the entry the only default. Without an id, there is none afterwards.
    pub(super) fn set_default(&mut self, catalog: Catalog, id: Option<&EntryId>) {
        let defaults = id.cloned().into_iter().collect();
        let before = std::mem::replace(&mut self.tally(catalog).defaults, defaults);
        for (id, is_default) in before.iter().map(|id| (id, false)).chain(id.map(|id| (id, true))) {
            if let Some(entry) = self.entries(catalog).get_mut(id) {
                entry.is_default = is_default;
            }
        }
    }

    /// Makes ranks unique and rising. A revived entry keeps its rank, and the entries behind it move.
    pub(super) fn settle_ranks(&mut self, catalog: Catalog) {
        let mut entries: Vec<Entry> = self.entries(catalog).iter().cloned().collect();
        let is_revived = |entry: &Entry| self.revived.contains(&(catalog, entry.id.clone()));
        entries.sort_by_cached_key(|entry| (entry.rank, !is_revived(entry), entry.id.clone()));
        let mut least = 0;
        for entry in &mut entries {
            entry.rank = entry.rank.max(least);
            least = entry.rank + 1;
        }
        self.replace_entries(catalog, entries);
    }

    pub(super) fn too_many(&mut self, catalog: Catalog) -> Error {
        let archived = self.entries(catalog).iter().filter(|entry| !entry.is_active()).count();
        Error::TooMany { what: format!("entries in {catalog}"), most: MAX_ENTRIES, archived }
    }

    /// Checks the rules that hold for every company. The error names the step that caused it, if one did.
    pub(super) fn check(&mut self) -> Result<(), (Option<usize>, Error)> {
        for catalog in Catalog::ALL {
            if self.is_untouched(catalog) {
                continue;
            }
            self.entries(catalog).sort_by(|a, b| a.rank.cmp(&b.rank));
            if self.entries(catalog).len() > MAX_ENTRIES {
                return Err((None, self.too_many(catalog)));
            }
            if let Some(Clash { step, name, holder, .. }) = self.clashes(catalog).into_iter().next()
            {
                return Err((step, Error::NameTaken { catalog, name, holder }));
            }
            check_default(catalog, self.entries(catalog)).map_err(|error| (None, error))?;
        }
        Ok(())
    }

    /// Finds active entries with the same name, except pairs that had the same name before: a newer rule may have made
    /// two names equal, and that must block no other change. The step that took a name last is to blame. Entries that
    /// no step touched come before all steps.
    pub(super) fn clashes(&mut self, catalog: Catalog) -> Vec<Clash> {
        let step = |entry: &Entry| self.named_by.get(&(catalog, entry.id.clone())).copied();
        let (old, entries) =
            (&mut self.old_entries[catalog.index()], &self.entries[catalog.index()]);
        let active = entries.iter().filter(|entry| entry.is_active());
        let mut active: Vec<_> = active.map(|entry| (step(entry), entry)).collect();
        active.sort_by_key(|(step, _)| *step);
        let (mut holders, mut clashes) = (HashMap::new(), Vec::new());
        for (step, entry) in active {
            let named = holders.insert(entry.name.fold_key(), (step, &entry.id));
            let Some((holder_step, holder)) = named else { continue };
            if !had_one_name(old, &entry.id, holder) {
                let (name, holder) = (entry.name.to_string(), holder.clone());
                clashes.push(Clash { step, name, holder, holder_step });
            }
        }
        clashes
    }

    /// The stamped changes, the company after them, and the entries whose audit the document decides.
    pub(super) fn finish(mut self, stamp: &Stamp<'_>) -> (Vec<Delta>, Settings, BTreeSet<Subject>) {
        let mut deltas = Vec::new();
        self.finish_company(stamp, &mut deltas);
        self.finish_businesses(stamp, &mut deltas);
        for catalog in Catalog::ALL {
            self.finish_entries(catalog, stamp, &mut deltas);
        }
        let (revision, changed_time) = match self.before {
            Some(before) if deltas.is_empty() => (before.revision, before.changed_time),
            _ => (stamp.revision, stamp.time),
        };
        let after = Settings {
            company: self.company,
            revision,
            changed_time,
            businesses: self.businesses.rows().clone(),
            catalogs: self.entries.each_ref().map(|entries| entries.rows().clone()),
        };
        (deltas, after, self.audited)
    }

    fn finish_company(&mut self, stamp: &Stamp<'_>, deltas: &mut Vec<Delta>) {
        let before = self.before.map(|before| &before.company);
        self.company.audit = match before {
            None => stamp.created(),
            Some(before) if *before == self.company => return,
            Some(before) => stamp.updated(&before.audit),
        };
        deltas.push(Delta::company(before.cloned(), self.company.clone()));
    }

    fn finish_businesses(&mut self, stamp: &Stamp<'_>, deltas: &mut Vec<Delta>) {
        let (old, new) = (&mut self.old_businesses, &mut self.businesses);
        if old.rows().is_same(new.rows()) {
            return;
        }
        for (place, after) in new.iter_mut().enumerate() {
            let before = old.get_near(place, &after.id);
            after.audit = match before {
                None => stamp.created(),
                Some(before) if before == after => continue,
                Some(before) => stamp.updated(&before.audit),
            };
            deltas.push(Delta::business(before.cloned(), after.clone()));
        }
        new.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    }

    fn finish_entries(&mut self, catalog: Catalog, stamp: &Stamp<'_>, deltas: &mut Vec<Delta>) {
        if self.is_untouched(catalog) {
            return;
        }
        let made_before = deltas.len();
        let (old, new) =
            (&mut self.old_entries[catalog.index()], &mut self.entries[catalog.index()]);
        for (place, before) in old.rows().clone().iter().enumerate() {
            if new.get_near(place, &before.id).is_none() {
                deltas.push(Delta::deleted(catalog, before.clone()));
            }
        }
        for (place, after) in new.iter_mut().enumerate() {
            let key = (catalog, after.id.clone());
            let (before, document) = (old.get_near(place, &after.id), self.documented.get(&key));
            if before == Some(after) && document.is_none() {
                continue;
            }
            let is_revived = before.is_none() && self.revived.contains(&key);
            after.audit = audit(catalog, (before, after), is_revived, stamp);
            if let Some(document) = document {
                let own = after.audit.clone();
                load::document_audit(&mut after.audit, before, document, stamp);
                // The revision is nobody's claim.
                if (Audit { revision: own.revision, ..after.audit.clone() }) != own {
                    self.audited.insert(Subject::Entry(catalog, after.id.clone()));
                }
            }
            deltas.extend(match before {
                None if is_revived => Some(Delta::revived(catalog, after.clone())),
                Some(before) if before.audit == after.audit => (before.rank != after.rank)
                    .then(|| Delta::moved(catalog, key.1, before.rank, after.rank)),
                before => Some(Delta::entry(catalog, before.cloned(), after.clone())),
            });
        }
        new.sort_by(|a, b| a.rank.cmp(&b.rank));
        // The steps touched the catalog, and it is the same as before.
        if deltas.len() == made_before {
            *new = Rows::of(old.rows().clone());
        }
    }
}

/// The audit of an entry after the change. A new place alone is no change of its content.
fn audit(
    catalog: Catalog,
    (before, after): (Option<&Entry>, &Entry),
    is_revived: bool,
    stamp: &Stamp<'_>,
) -> Audit {
    let content = || Entry::FIELDS.iter().filter(|field| field.name != "position");
    match before {
        None if is_revived => stamp.updated(&after.audit),
        None => stamp.created(),
        Some(before) if content().all(|field| (field.is_same)(before, after)) => {
            before.audit.clone()
        }
        Some(before) => stamp.updated_entry(catalog, &before.audit),
    }
}

/// Whether two entries were active and had the same name before. No plan makes such entries, but a
/// newer rule about names may.
pub(super) fn had_one_name(entries: &mut Rows<Entry>, one: &EntryId, other: &EntryId) -> bool {
    let mut key = |id: &EntryId| {
        let held = entries.get(id).filter(|entry| entry.is_active());
        held.map(|entry| entry.name.fold_key())
    };
    key(one).is_some_and(|one| key(other) == Some(one))
}

/// Checks the default of a catalog. Steps never break this rule, but an undo may.
fn check_default(catalog: Catalog, entries: &Rows<Entry>) -> Result<()> {
    let any = catalog.has_default() && entries.iter().any(Entry::is_active);
    let defaults: Vec<&Entry> = entries.iter().filter(|entry| entry.is_default).collect();
    match defaults[..] {
        [] if !any => Ok(()),
        [only] if any && only.is_active() => Ok(()),
        _ => Err(Error::Precondition {
            reason: "DEFAULT_NEEDED",
            message: format!(
                "{catalog} would not have exactly one active default: make the right entry the default first"
            ),
            facts: vec![("catalog", catalog.to_string())],
        }),
    }
}
