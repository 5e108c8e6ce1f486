//! Planning a load, which makes a company agree with a document.

use std::collections::{HashMap, HashSet};

use super::{
    Stamp,
    draft::{Clash, Draft},
    steps::{set, set_contact},
};
use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, EntryDraft},
    company::{Business, MAX_BUSINESSES},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Result, Violation},
    id::{BusinessId, CompanyId, EntryId},
    settings::Settings,
    text::Name,
};

/// The company as the document wants it, or all errors of the document.
pub(super) fn drafted<'a>(
    company: &CompanyId,
    current: Option<&'a Settings>,
    document: &'a CompanyDraft,
    stamp: &Stamp<'_>,
) -> Result<Draft<'a>> {
    let mut violations = Vec::new();
    let draft = match current {
        Some(current) => Draft::of(current),
        None => {
            let name = document.name.clone().unwrap_or_else(|| {
                let description = format!("is required, since there is no company {company} yet");
                violations.push(Violation::new("name", "REQUIRED", description));
                // The plan is refused, so nobody gets to read this name.
                Name::parse("name", company.as_str())
                    .unwrap_or_else(|violation| unreachable!("ids are names: {violation}"))
            });
            Draft::new(stamp.new_company(company, name), stamp)
        }
    };
    let mut loading = Loading { draft, stamp, violations };
    let made = &mut loading.draft.company;
    set(&mut made.name, document.name.as_ref());
    set(&mut made.country, document.country.as_ref());
    set(&mut made.timezone, document.timezone.as_ref());
    set(&mut made.state, document.state.as_ref());
    let businesses = current.map_or(&[][..], |settings| settings.businesses.as_slice());
    loading.businesses(businesses, &document.businesses)?;
    for catalog in Catalog::ALL {
        let entries = current.map_or(&[][..], |settings| settings.entries(catalog));
        loading.entries(catalog, entries, &document.catalogs[catalog.index()]);
    }
    let Loading { draft, violations, .. } = loading;
    if violations.is_empty() { Ok(draft) } else { Err(Error::Invalid(violations)) }
}

struct Loading<'a, 'b> {
    draft: Draft<'a>,
    stamp: &'b Stamp<'b>,
    violations: Vec<Violation>,
}

impl<'a> Loading<'a, '_> {
    fn refuse(&mut self, field: &str, reason: &'static str, description: impl Into<String>) {
        self.violations.push(Violation::new(field, reason, description));
    }

    fn businesses(&mut self, current: &[Business], drafts: &[BusinessDraft]) -> Result<()> {
        if drafts.is_empty() {
            return Ok(());
        }
        let mut named = HashSet::new();
        let by_id: HashMap<&BusinessId, &Business> =
            current.iter().map(|held| (&held.id, held)).collect();
        // The first of several locations with one name.
        let by_name: HashMap<String, &Business> =
            current.iter().rev().map(|held| (held.name.fold_key(), held)).collect();
        for draft in drafts {
            let before = match &draft.id {
                Some(id) => by_id.get(id).copied(),
                None => by_name.get(&draft.name.fold_key()).copied(),
            };
            // Two new locations without ids can be told apart only by their names.
            let who = match (&draft.id, before) {
                (Some(id), _) => id.to_string(),
                (None, Some(before)) => before.id.to_string(),
                (None, None) => format!("name {}", draft.name.fold_key()),
            };
            if !named.insert(who) {
                let at = format!("businesses[{}]", draft.index);
                self.refuse(&at, "DUPLICATE", "names the same location as one before it");
                continue;
            }
            let made = || self.stamp.new_business(draft.id.as_ref(), draft.name.clone());
            let mut after = before.cloned().unwrap_or_else(made);
            after.name = draft.name.clone();
            set_contact(&mut after.contact, &draft.contact);
            if draft.address.is_some() {
                after.address.clone_from(&draft.address);
            }
            set(&mut after.state, draft.state.as_ref());
            match before {
                None => self.draft.businesses.push(after),
                Some(before) if *before == after => {}
                Some(before) => *self.draft.business(&before.id)? = after,
            }
        }
        let count = self.draft.businesses.len();
        if count > MAX_BUSINESSES {
            self.refuse_count("businesses", count, "locations", MAX_BUSINESSES);
        }
        Ok(())
    }

    /// Loads a catalog, or takes note of everything that is wrong with it.
    fn entries(&mut self, catalog: Catalog, current: &[Entry], drafts: &'a [EntryDraft]) {
        if drafts.is_empty() {
            return;
        }
        if drafts.len() > MAX_ENTRIES {
            return self.refuse_count(catalog.as_str(), drafts.len(), "entries", MAX_ENTRIES);
        }
        let mut wanted = self.resolve(catalog, current, drafts);
        if wanted.len() > MAX_ENTRIES {
            self.refuse_count(catalog.as_str(), wanted.len(), "entries", MAX_ENTRIES);
        }
        self.violations.extend(settle_default(catalog, &mut wanted, drafts));
        assign_ranks(&mut wanted, current);
        self.draft.replace_entries(catalog, wanted);
        let at = |index: usize| format!("{catalog}[{}]", drafts[index].index);
        for Clash { step, name, holder, holder_step } in self.draft.clashes(catalog) {
            // The message does not name the holder's id, which may have been made just now.
            let holder = match holder_step {
                Some(index) => format!("{} of the same document", at(index)),
                None => format!("the active entry {holder}"),
            };
            let field = step.map_or_else(|| catalog.to_string(), |index| at(index) + ".name");
            self.refuse(&field, "NAME_TAKEN", format!("\"{name}\" is taken by {holder}"));
        }
    }

    fn refuse_count(&mut self, field: &str, count: usize, what: &str, most: usize) {
        let description = format!("would have {count} {what}; at most {most} are allowed");
        self.refuse(field, "TOO_MANY", description);
    }

    /// A catalog's entries as they shall be: first those of the drafts, in the document's order and with its
    /// content, then the others.
    fn resolve(
        &mut self,
        catalog: Catalog,
        current: &[Entry],
        drafts: &'a [EntryDraft],
    ) -> Vec<Entry> {
        let held = Held::of(current);
        let mut named: HashSet<EntryId> = HashSet::new();
        let mut entries = Vec::with_capacity(drafts.len() + current.len());
        for (index, draft) in drafts.iter().enumerate() {
            let at = format!("{catalog}[{}]", draft.index);
            let made = || self.stamp.new_entry(catalog, draft.id.as_ref(), draft.name.clone());
            let mut entry = held.find(draft).cloned().unwrap_or_else(made);
            if !named.insert(entry.id.clone()) {
                let description = format!("names the entry {} again", entry.id);
                self.refuse(&at, "DUPLICATE", description);
            }
            if draft.is_default == Some(true) && !catalog.has_default() {
                let description = "must not be true: only life_cycles have a default";
                self.refuse(&format!("{at}.is_default"), "NO_DEFAULT", description);
            }
            entry.name = draft.name.clone();
            set(&mut entry.description, draft.description.as_ref());
            set(&mut entry.color, draft.color.as_ref());
            set(&mut entry.state, draft.state.as_ref());
            set(&mut entry.is_default, draft.is_default.as_ref());
            self.draft.note_name(catalog, &entry.id, index);
            if has_audit(draft) {
                self.draft.documented.insert((catalog, entry.id.clone()), draft);
            }
            entries.push(entry);
        }
        entries.extend(current.iter().filter(|entry| !named.contains(&entry.id)).cloned());
        entries
    }
}

/// The existing entries, by the id or the name in a draft.
struct Held<'a> {
    by_id: HashMap<&'a EntryId, &'a Entry>,
    /// The first of several entries with one name.
    active: HashMap<String, &'a Entry>,
    any: HashMap<String, &'a Entry>,
}

impl<'a> Held<'a> {
    fn of(current: &'a [Entry]) -> Self {
        let mut held = Self { by_id: HashMap::new(), active: HashMap::new(), any: HashMap::new() };
        for entry in current {
            let fold_key = entry.name.fold_key();
            held.by_id.insert(&entry.id, entry);
            if entry.is_active() {
                held.active.entry(fold_key.clone()).or_insert(entry);
            }
            held.any.entry(fold_key).or_insert(entry);
        }
        held
    }

    /// Finds an entry by its id, else by its folded name among the active entries. A draft with the state `archived`
    /// also finds an archived entry of its name, so that loading the document twice does not make two.
    fn find(&self, draft: &EntryDraft) -> Option<&'a Entry> {
        if let Some(id) = &draft.id {
            return self.by_id.get(id).copied();
        }
        let fold_key = draft.name.fold_key();
        let active = self.active.get(&fold_key).copied();
        let archived_too = draft.state == Some(State::Archived);
        active.or_else(|| self.any.get(&fold_key).copied().filter(|_| archived_too))
    }
}

/// Makes sure that there is exactly one active default once there is an active entry: the one that the document names,
/// else the current one, else the first entry.
fn settle_default(
    catalog: Catalog,
    wanted: &mut [Entry],
    drafts: &[EntryDraft],
) -> Option<Violation> {
    if !catalog.has_default() {
        return None;
    }
    let wrong = |i: usize, reason, description| {
        let field =
            format!("{catalog}[{}].is_default", drafts.get(i).map_or(i, |draft| draft.index));
        Some(Violation::new(&field, reason, description))
    };
    let named: Vec<usize> =
        (0..drafts.len()).filter(|i| drafts[*i].is_default == Some(true)).collect();
    let chosen = match named[..] {
        [] => {
            let kept = wanted.iter().position(|entry| entry.is_default);
            match kept {
                Some(i) if wanted[i].is_active() => Some(i),
                Some(i) => {
                    let description = "is true of an entry that the document archives: give another one 'is_default: true'";
                    return wrong(i, "DEFAULT_ARCHIVED", description);
                }
                None => wanted.iter().position(Entry::is_active),
            }
        }
        [i] if wanted[i].is_active() => Some(i),
        [i] => {
            return wrong(i, "DEFAULT_ARCHIVED", "must not be true of an archived entry");
        }
        [_, i, ..] => {
            let description = "is true of more than one entry; exactly one can be the default";
            return wrong(i, "DEFAULT_TWICE", description);
        }
    };
    for (i, entry) in wanted.iter_mut().enumerate() {
        entry.is_default = Some(i) == chosen;
    }
    None
}

/// Gives the entries, which stand in their wanted order, rising ranks. The ranks in use are given out again, so that
/// few entries change theirs. New entries bring higher ranks.
fn assign_ranks(wanted: &mut [Entry], current: &[Entry]) {
    let mut ranks: Vec<u32> = current.iter().map(|entry| entry.rank).collect();
    ranks.sort_unstable();
    let mut next = ranks.last().map_or(0, |last| last + 1);
    while ranks.len() < wanted.len() {
        ranks.push(next);
        next += 1;
    }
    for (entry, rank) in wanted.iter_mut().zip(ranks) {
        entry.rank = rank;
    }
}

fn has_audit(draft: &EntryDraft) -> bool {
    draft.created_by.is_some()
        || draft.created_time.is_some()
        || draft.last_updated_by.is_some()
        || draft.last_updated_time.is_some()
}

/// Sets an entry's audit to the values that the document has.
pub(super) fn document_audit(
    audit: &mut Audit,
    before: Option<&Entry>,
    draft: &EntryDraft,
    stamp: &Stamp<'_>,
) {
    if before.is_none() {
        // An entry's last update is not before its making.
        set(&mut audit.created_by, draft.last_updated_by.as_ref());
        set(&mut audit.created_time, draft.last_updated_time.as_ref());
    }
    set(&mut audit.created_by, draft.created_by.as_ref());
    set(&mut audit.created_time, draft.created_time.as_ref());
    set(&mut audit.last_updated_by, draft.last_updated_by.as_ref());
    set(&mut audit.last_updated_time, draft.last_updated_time.as_ref());
    if before.is_none_or(|before| before.audit != *audit) {
        audit.revision = stamp.revision;
    }
}
