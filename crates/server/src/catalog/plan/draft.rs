//! A company while it is changed: steps edit a copy, and at the end it is checked as a whole and
//! compared with what it was.
//!
//! What is done once may look at all rows. What is done for each step finds its rows by their ids and the rest in
//! the tallies, so that a change costs what the company has and then its steps.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::Stamp;
use crate::catalog::{
    company::{Business, Company},
    entry::{Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Kind, Result},
    id::{BusinessId, EntryId},
    rows::Rows,
    settings::{Delta, Settings, Subject},
};

/// A company being changed.
pub(super) struct Draft<'a> {
    before: Option<&'a Settings>,
    /// The rows of the company before the change.
    old_businesses: Rows<Business>,
    old_entries: [Rows<Entry>; 4],
    /// The company as it shall be. Audits are stamped at the end, by what really changed.
    pub(super) company: Company,
    pub(super) businesses: Rows<Business>,
    entries: [Rows<Entry>; 4],
    tallies: [Option<Tally>; 4],
    /// Entries that were deleted by an earlier change and come back.
    pub(super) revived: BTreeSet<(Catalog, EntryId)>,
    /// Which step last gave an entry its name or took it into use, for errors about names.
    named_by: BTreeMap<(Catalog, EntryId), usize>,
}

/// What steps need to know of a catalog as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// How many entries are active.
    pub(super) active: usize,
    /// A rank above all others.
    pub(super) next_rank: u32,
    /// The defaults: one at most, unless the store is damaged.
    defaults: Vec<EntryId>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(before: &'a Settings) -> Self {
        Self { before: Some(before), ..Self::with(before) }
    }

    /// Of a company that does not exist yet.
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
        }
    }

    pub(super) fn entries(&mut self, catalog: Catalog) -> &mut Rows<Entry> {
        &mut self.entries[catalog.index()]
    }

    /// Gives the catalog other entries.
    pub(super) fn replace_entries(&mut self, catalog: Catalog, entries: Vec<Entry>) {
        self.entries[catalog.index()] = Rows::of(Arc::new(entries));
        self.tallies[catalog.index()] = None;
    }

    /// Adds an active entry that is not the default, and whose id is new.
    pub(super) fn add(&mut self, catalog: Catalog, entry: Entry) {
        let tally = self.tally(catalog);
        tally.active += 1;
        tally.next_rank = tally.next_rank.max(entry.rank.saturating_add(1));
        self.entries(catalog).push(entry);
    }

    /// Gives an entry a state that it does not have.
    pub(super) fn set_state(&mut self, catalog: Catalog, id: &EntryId, state: State) -> Result<()> {
        // From before it.
        let tally = self.tally(catalog);
        match state {
            State::Active => tally.active += 1,
            State::Archived => tally.active = tally.active.saturating_sub(1),
        }
        self.entry(catalog, id)?.state = state;
        Ok(())
    }

    /// What holds of the catalog as a whole. It is kept up by what is here to change an entry's state, its being the
    /// default, and how many there are.
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

    /// Whether nothing was changed there.
    fn is_untouched(&self, catalog: Catalog) -> bool {
        let (old, new) = (&self.old_entries[catalog.index()], &self.entries[catalog.index()]);
        self.before.is_some() && Arc::ptr_eq(old.rows(), new.rows())
    }

    pub(super) fn entry(&mut self, catalog: Catalog, id: &EntryId) -> Result<&mut Entry> {
        let found = self.entries(catalog).get_mut(id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Entry, id: id.to_string() })
    }

    pub(super) fn business(&mut self, id: &BusinessId) -> Result<&mut Business> {
        let found = self.businesses.get_mut(id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Business, id: id.to_string() })
    }

    /// The entry of that id when the change began.
    pub(super) fn old_entry(&mut self, catalog: Catalog, id: &EntryId) -> Option<&Entry> {
        self.old_entries[catalog.index()].get(id)
    }

    /// The location of that id when the change began.
    pub(super) fn old_business(&mut self, id: &BusinessId) -> Option<&Business> {
        self.old_businesses.get(id)
    }

    /// Whether there is such a thing now.
    pub(super) fn has(&mut self, subject: &Subject) -> bool {
        match subject {
            Subject::Company | Subject::Catalog(_) => true,
            Subject::Business(id) => self.businesses.get(id).is_some(),
            Subject::Entry(catalog, id) => self.entries(*catalog).get(id).is_some(),
        }
    }

    /// Notes that a step decides about the entry's name.
    pub(super) fn note_name(&mut self, catalog: Catalog, id: &EntryId, step: usize) {
        self.named_by.insert((catalog, id.clone()), step);
    }

    /// Makes the entry the only default, or none.
    pub(super) fn set_default(&mut self, catalog: Catalog, id: Option<&EntryId>) {
        let defaults = id.cloned().into_iter().collect();
        let before = std::mem::replace(&mut self.tally(catalog).defaults, defaults);
        for (id, is_default) in before.iter().map(|id| (id, false)).chain(id.map(|id| (id, true))) {
            if let Some(entry) = self.entries(catalog).get_mut(id) {
                entry.is_default = is_default;
            }
        }
    }

    /// Ranks rise, and each is used once: an entry that came back makes room for itself.
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

    /// Checks what must hold of every company. The error comes with the step that caused it,
    /// where one did.
    pub(super) fn check(&mut self) -> Result<(), (Option<usize>, Error)> {
        for catalog in Catalog::ALL {
            if self.is_untouched(catalog) {
                continue;
            }
            self.entries(catalog).sort_by(|a, b| a.rank.cmp(&b.rank));
            if self.entries(catalog).len() > MAX_ENTRIES {
                return Err((None, too_many(catalog)));
            }
            self.check_names(catalog)?;
            check_default(catalog, self.entries(catalog)).map_err(|error| (None, error))?;
        }
        Ok(())
    }

    /// Active entries' names differ, but where they were the same before: once a newer rule has made two
    /// names equal, nothing else may be held up by that.
    fn check_names(&mut self, catalog: Catalog) -> Result<(), (Option<usize>, Error)> {
        let mut holders: HashMap<String, &Entry> = HashMap::new();
        let step = |entry: &Entry| self.named_by.get(&(catalog, entry.id.clone())).copied();
        let (old, entries) = (&mut self.old_entries, &self.entries[catalog.index()]);
        for entry in entries.iter().filter(|entry| entry.is_active()) {
            let Some(other) = holders.insert(entry.name.fold_key(), entry) else { continue };
            if had_one_name(&mut old[catalog.index()], &entry.id, &other.id) {
                continue;
            }
            // Whoever took the name last is wrong; `None`, who kept it, is before all steps.
            let (wrong, holder) =
                if step(entry) >= step(other) { (entry, other) } else { (other, entry) };
            let (name, holder) = (wrong.name.to_string(), holder.id.clone());
            return Err((step(wrong), Error::NameTaken { catalog, name, holder }));
        }
        Ok(())
    }

    /// What changed, stamped.
    pub(super) fn deltas(&mut self, stamp: &Stamp<'_>) -> Vec<Delta> {
        let mut deltas = Vec::new();
        deltas.extend(self.company_delta(stamp));
        let is_same = Arc::ptr_eq(self.old_businesses.rows(), self.businesses.rows());
        if !(is_same && self.before.is_some()) {
            let rows = self.businesses.iter().enumerate();
            deltas.extend(rows.filter_map(|(place, after)| {
                business_delta(self.old_businesses.get_near(place, &after.id), after, stamp)
            }));
        }
        for catalog in Catalog::ALL {
            if self.is_untouched(catalog) {
                continue;
            }
            let place = catalog.index();
            let (old, new) = (&mut self.old_entries[place], &mut self.entries[place]);
            for (place, before) in old.rows().clone().iter().enumerate() {
                if new.get_near(place, &before.id).is_none() {
                    deltas.push(Delta::Deleted { catalog, before: Box::new(before.clone()) });
                }
            }
            for (place, after) in new.iter().enumerate() {
                let is_revived = || self.revived.contains(&(catalog, after.id.clone()));
                let before = old.get_near(place, &after.id);
                deltas.extend(entry_delta(catalog, before, after, is_revived, stamp));
            }
        }
        deltas
    }

    fn company_delta(&self, stamp: &Stamp<'_>) -> Option<Delta> {
        let mut after = self.company.clone();
        let before = self.before.map(|before| before.company.clone());
        match &before {
            None => after.audit = stamp.created(),
            Some(before) if *before == after => return None,
            Some(before) => after.audit = stamp.updated(&before.audit),
        }
        Some(Delta::Company { before: before.map(Box::new), after: Box::new(after) })
    }
}

fn business_delta(before: Option<&Business>, after: &Business, stamp: &Stamp<'_>) -> Option<Delta> {
    let audit = match before {
        None => stamp.created(),
        Some(before) if before == after => return None,
        Some(before) => stamp.updated(&before.audit),
    };
    let after = Box::new(Business { audit, ..after.clone() });
    Some(Delta::Business { before: before.cloned().map(Box::new), after })
}

fn entry_delta(
    catalog: Catalog,
    before: Option<&Entry>,
    after: &Entry,
    is_revived: impl FnOnce() -> bool,
    stamp: &Stamp<'_>,
) -> Option<Delta> {
    let Some(before) = before else {
        return Some(if is_revived() {
            let audit = stamp.updated(&after.audit);
            Delta::Revived { catalog, after: Box::new(Entry { audit, ..after.clone() }) }
        } else {
            let after = Entry { audit: stamp.created(), ..after.clone() };
            Delta::Entry { catalog, before: None, after: Box::new(after) }
        });
    };
    if before == after {
        return None;
    }
    let (from, to) = (before.rank, after.rank);
    if (Entry { rank: to, ..before.clone() }) == *after {
        return Some(Delta::Moved { catalog, id: after.id.clone(), from, to });
    }
    let audit = stamp.updated(&before.audit);
    let after = Box::new(Entry { audit, ..after.clone() });
    Some(Delta::Entry { catalog, before: Some(Box::new(before.clone())), after })
}

/// Whether two entries are active and of one name already. No plan makes such, but a newer rule about
/// names may.
pub(super) fn had_one_name(entries: &mut Rows<Entry>, one: &EntryId, other: &EntryId) -> bool {
    let mut key = |id: &EntryId| {
        let held = entries.get(id).filter(|entry| entry.is_active());
        held.map(|entry| entry.name.fold_key())
    };
    key(one).is_some_and(|one| key(other) == Some(one))
}

pub(super) fn too_many(catalog: Catalog) -> Error {
    Error::TooMany { what: format!("entries in {catalog}"), most: MAX_ENTRIES }
}

/// Steps keep this by themselves; an undo may break it.
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
        }),
    }
}
