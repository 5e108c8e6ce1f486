//! A company while it is changed: steps edit a copy, and at the end it is checked as a whole and
//! compared with what it was.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Stamp, had_one_name};
use crate::catalog::{
    company::{Business, Company},
    entry::{Catalog, Entry, MAX_ENTRIES},
    error::{Error, Kind, Result},
    id::{BusinessId, EntryId},
    settings::{Delta, Settings},
};

/// A company being changed.
pub(super) struct Draft<'a> {
    before: Option<&'a Settings>,
    /// The company as it shall be. Audits are stamped at the end, by what really changed.
    pub(super) after: Settings,
    /// Entries that were deleted by an earlier change and come back.
    pub(super) revived: BTreeSet<(Catalog, EntryId)>,
    /// Which step last gave an entry its name or took it into use, for errors about names.
    named_by: BTreeMap<(Catalog, EntryId), usize>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(before: &'a Settings) -> Self {
        let (revived, named_by) = Default::default();
        Self { before: Some(before), after: before.clone(), revived, named_by }
    }

    /// Of a company that does not exist yet.
    pub(super) fn new(company: Company, stamp: &Stamp<'_>) -> Self {
        let after = Settings {
            company,
            revision: stamp.revision,
            changed_time: stamp.time,
            businesses: Vec::new(),
            catalogs: Default::default(),
        };
        let (revived, named_by) = Default::default();
        Self { before: None, after, revived, named_by }
    }

    pub(super) fn entries(&mut self, catalog: Catalog) -> &mut Vec<Entry> {
        self.after.entries_mut(catalog)
    }

    /// Whether no step looked for anything to change there.
    fn is_untouched(&self, catalog: Catalog) -> bool {
        let place = catalog.index();
        self.before
            .is_some_and(|before| Arc::ptr_eq(&before.catalogs[place], &self.after.catalogs[place]))
    }

    pub(super) fn entry(&mut self, catalog: Catalog, id: &EntryId) -> Result<&mut Entry> {
        let found = self.entries(catalog).iter_mut().find(|entry| entry.id == *id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Entry, id: id.to_string() })
    }

    pub(super) fn business(&mut self, id: &BusinessId) -> Result<&mut Business> {
        let found = self.after.businesses.iter_mut().find(|business| business.id == *id);
        found.ok_or_else(|| Error::NotFound { kind: Kind::Business, id: id.to_string() })
    }

    /// Whether there was an entry of that id when the change began.
    pub(super) fn was_there(&self, catalog: Catalog, id: &EntryId) -> bool {
        self.before.is_some_and(|before| before.entry(catalog, id).is_some())
    }

    /// Notes that a step decides about the entry's name.
    pub(super) fn note_name(&mut self, catalog: Catalog, id: &EntryId, step: usize) {
        self.named_by.insert((catalog, id.clone()), step);
    }

    /// Makes the entry the only default, or none.
    pub(super) fn set_default(&mut self, catalog: Catalog, id: Option<&EntryId>) {
        for entry in self.entries(catalog) {
            entry.is_default = Some(&entry.id) == id;
        }
    }

    /// Ranks rise, and each is used once: an entry that came back makes room for itself.
    pub(super) fn settle_ranks(&mut self, catalog: Catalog) {
        let revived = std::mem::take(&mut self.revived);
        let entries = self.entries(catalog);
        entries.sort_by_key(|entry| {
            (entry.rank, !revived.contains(&(catalog, entry.id.clone())), entry.id.clone())
        });
        let mut least = 0;
        for entry in entries {
            entry.rank = entry.rank.max(least);
            least = entry.rank + 1;
        }
        self.revived = revived;
    }

    /// Checks what must hold of every company. The error comes with the step that caused it,
    /// where one did.
    pub(super) fn check(&self) -> Result<(), (Option<usize>, Error)> {
        for catalog in Catalog::ALL {
            if self.is_untouched(catalog) {
                continue;
            }
            let entries = self.after.entries(catalog);
            if entries.len() > MAX_ENTRIES {
                return Err((None, too_many(catalog)));
            }
            self.check_names(catalog)?;
            check_default(catalog, entries).map_err(|error| (None, error))?;
        }
        Ok(())
    }

    /// Active entries' names differ, but where they were the same before: once a newer rule has made two
    /// names equal, nothing else may be held up by that.
    fn check_names(&self, catalog: Catalog) -> Result<(), (Option<usize>, Error)> {
        let mut holders: HashMap<String, &Entry> = HashMap::new();
        let step = |entry: &Entry| self.named_by.get(&(catalog, entry.id.clone())).copied();
        for entry in self.after.active(catalog) {
            let Some(other) = holders.insert(entry.name.fold_key(), entry) else { continue };
            let before = self.before.map_or(&[][..], |before| before.entries(catalog));
            if had_one_name(before, &entry.id, &other.id) {
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
    pub(super) fn deltas(&self, stamp: &Stamp<'_>) -> Vec<Delta> {
        let mut deltas = Vec::new();
        deltas.extend(self.company_delta(stamp));
        for after in &self.after.businesses {
            deltas.extend(self.business_delta(after, stamp));
        }
        for catalog in Catalog::ALL {
            if self.is_untouched(catalog) {
                continue;
            }
            let before = self.before.map_or(&[][..], |before| before.entries(catalog));
            let after = self.after.entries(catalog);
            let kept: BTreeSet<&EntryId> = after.iter().map(|entry| &entry.id).collect();
            let gone = before.iter().filter(|entry| !kept.contains(&entry.id));
            deltas.extend(
                gone.map(|entry| Delta::Deleted { catalog, before: Box::new(entry.clone()) }),
            );
            let before: HashMap<&EntryId, &Entry> =
                before.iter().map(|entry| (&entry.id, entry)).collect();
            for entry in after {
                deltas.extend(self.entry_delta(
                    catalog,
                    before.get(&entry.id).copied(),
                    entry,
                    stamp,
                ));
            }
        }
        deltas
    }

    fn company_delta(&self, stamp: &Stamp<'_>) -> Option<Delta> {
        let mut after = self.after.company.clone();
        let before = self.before.map(|before| before.company.clone());
        match &before {
            None => after.audit = stamp.created(),
            Some(before) if *before == after => return None,
            Some(before) => after.audit = stamp.updated(&before.audit),
        }
        Some(Delta::Company { before: before.map(Box::new), after: Box::new(after) })
    }

    fn business_delta(&self, after: &Business, stamp: &Stamp<'_>) -> Option<Delta> {
        let held = self.before.map_or(&[][..], |before| &before.businesses);
        let before = held.iter().find(|business| business.id == after.id);
        let audit = match before {
            None => stamp.created(),
            Some(before) if before == after => return None,
            Some(before) => stamp.updated(&before.audit),
        };
        let after = Box::new(Business { audit, ..after.clone() });
        Some(Delta::Business { before: before.cloned().map(Box::new), after })
    }

    fn entry_delta(
        &self,
        catalog: Catalog,
        before: Option<&Entry>,
        after: &Entry,
        stamp: &Stamp<'_>,
    ) -> Option<Delta> {
        let Some(before) = before else {
            return Some(if self.revived.contains(&(catalog, after.id.clone())) {
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
}

pub(super) fn too_many(catalog: Catalog) -> Error {
    Error::TooMany { what: format!("entries in {catalog}"), most: MAX_ENTRIES }
}

/// Steps keep this by themselves; an undo may break it.
fn check_default(catalog: Catalog, entries: &[Entry]) -> Result<()> {
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
