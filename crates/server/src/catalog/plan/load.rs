//! Planning a load: a company is made to agree with a document.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Stamp,
    draft::had_one_name,
    steps::{set, set_contact},
};
use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, EntryDraft},
    company::{Business, Company, Contact},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Result, Violation},
    id::{BusinessId, CompanyId, EntryId},
    rows::Rows,
    settings::{Delta, Settings},
};

pub(super) fn deltas(
    company: &CompanyId,
    current: Option<&Settings>,
    draft: &CompanyDraft,
    stamp: &Stamp<'_>,
) -> Result<Vec<Delta>> {
    let mut violations = Vec::new();
    let mut deltas = Vec::new();
    match company_delta(company, current, draft, stamp) {
        Ok(delta) => deltas.extend(delta),
        Err(violation) => violations.push(violation),
    }
    let businesses = current.map_or(&[][..], |settings| settings.businesses.as_slice());
    deltas.extend(business_deltas(businesses, &draft.businesses, stamp, &mut violations));
    for catalog in Catalog::ALL {
        let held = |settings: &Settings| settings.catalogs[catalog.index()].clone();
        let entries = current.map_or_else(Default::default, held);
        let drafts = &draft.catalogs[catalog.index()];
        deltas.extend(entry_deltas(catalog, &entries, drafts, stamp, &mut violations));
    }
    if violations.is_empty() { Ok(deltas) } else { Err(Error::Invalid(violations)) }
}

fn company_delta(
    id: &CompanyId,
    current: Option<&Settings>,
    draft: &CompanyDraft,
    stamp: &Stamp<'_>,
) -> Result<Option<Delta>, Violation> {
    let before = current.map(|settings| &settings.company);
    let mut after = match before {
        Some(before) => before.clone(),
        None => Company {
            id: id.clone(),
            name: draft.name.clone().ok_or_else(|| {
                Violation::new(
                    "name",
                    "REQUIRED",
                    format!("is required, since there is no company {id} yet"),
                )
            })?,
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
            audit: stamp.created(),
        },
    };
    set(&mut after.name, draft.name.as_ref());
    set(&mut after.country, draft.country.as_ref());
    set(&mut after.timezone, draft.timezone.as_ref());
    set(&mut after.state, draft.state.as_ref());
    if before == Some(&after) {
        return Ok(None);
    }
    if let Some(before) = before {
        after.audit = stamp.updated(&before.audit);
    }
    Ok(Some(Delta::Company { before: before.cloned().map(Box::new), after: Box::new(after) }))
}

fn business_deltas(
    current: &[Business],
    drafts: &[BusinessDraft],
    stamp: &Stamp<'_>,
    violations: &mut Vec<Violation>,
) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let mut named = HashSet::new();
    let by_id: HashMap<&BusinessId, &Business> =
        current.iter().map(|held| (&held.id, held)).collect();
    // Of several that have one name the first.
    let by_name: HashMap<String, &Business> =
        current.iter().rev().map(|held| (held.name.fold_key(), held)).collect();
    for draft in drafts {
        let before = match &draft.id {
            Some(id) => by_id.get(id).copied(),
            None => by_name.get(&draft.name.fold_key()).copied(),
        };
        // Two new locations without ids would be told apart only by their names.
        let who = match (&draft.id, before) {
            (Some(id), _) => id.to_string(),
            (None, Some(before)) => before.id.to_string(),
            (None, None) => format!("name {}", draft.name.fold_key()),
        };
        if !named.insert(who) {
            violations.push(Violation::new(
                &format!("businesses[{}]", draft.index),
                "DUPLICATE",
                "names the same location as one before it",
            ));
        }
        let mut after = before.cloned().unwrap_or_else(|| Business {
            id: draft.id.clone().unwrap_or_else(|| new_business_id(stamp)),
            name: draft.name.clone(),
            contact: Contact::default(),
            address: None,
            state: State::Active,
            audit: stamp.created(),
        });
        after.name = draft.name.clone();
        set_contact(&mut after.contact, &draft.contact);
        if draft.address.is_some() {
            after.address.clone_from(&draft.address);
        }
        set(&mut after.state, draft.state.as_ref());
        if before == Some(&after) {
            continue;
        }
        if let Some(before) = before {
            after.audit = stamp.updated(&before.audit);
        }
        deltas.push(Delta::Business {
            before: before.cloned().map(Box::new),
            after: Box::new(after),
        });
    }
    deltas
}

fn new_business_id(stamp: &Stamp<'_>) -> BusinessId {
    BusinessId::parse("id", &(stamp.new_id)(BusinessId::PREFIX))
        .unwrap_or_else(|violation| unreachable!("a generated id: {violation}"))
}

/// A catalog's entries as they shall be, the drafted ones first and in the document's order.
struct Wanted {
    entries: Vec<Entry>,
    drafted: usize,
}

/// Notes everything that is wrong with a catalog, and answers nothing that could be written then.
fn entry_deltas(
    catalog: Catalog,
    current: &Arc<Vec<Entry>>,
    drafts: &[EntryDraft],
    stamp: &Stamp<'_>,
    violations: &mut Vec<Violation>,
) -> Vec<Delta> {
    if drafts.is_empty() {
        return Vec::new();
    }
    let too_many = |count: usize| {
        let description = format!("would have {count} entries; at most {MAX_ENTRIES} are allowed");
        Violation::new(catalog.as_str(), "TOO_MANY", description)
    };
    if drafts.len() > MAX_ENTRIES {
        violations.push(too_many(drafts.len()));
        return Vec::new();
    }
    let mut wanted = resolve(catalog, current, drafts, stamp, violations);
    if wanted.entries.len() > MAX_ENTRIES {
        violations.push(too_many(wanted.entries.len()));
    }
    violations.extend(settle_default(catalog, &mut wanted, drafts));
    check_names(catalog, current, &wanted, drafts, violations);
    assign_ranks(&mut wanted.entries, current);
    let before: HashMap<&EntryId, &Entry> =
        current.iter().map(|entry| (&entry.id, entry)).collect();
    let deltas = wanted.entries.into_iter().enumerate().filter_map(|(i, mut after)| {
        let before = before.get(&after.id).copied();
        after.audit = audit(before, &after, drafts.get(i), stamp);
        delta(catalog, before, after)
    });
    deltas.collect()
}

/// Finds the entry that each draft means and gives it the drafted content.
fn resolve(
    catalog: Catalog,
    current: &[Entry],
    drafts: &[EntryDraft],
    stamp: &Stamp<'_>,
    violations: &mut Vec<Violation>,
) -> Wanted {
    let held = Held::of(current);
    let mut named: HashSet<EntryId> = HashSet::new();
    let mut entries = Vec::with_capacity(drafts.len() + current.len());
    for draft in drafts {
        let at = format!("{catalog}[{}]", draft.index);
        let before = held.find(draft);
        let mut entry = before.cloned().unwrap_or_else(|| new_entry(catalog, draft, stamp));
        if !named.insert(entry.id.clone()) {
            let description = format!("names the entry {} again", entry.id);
            violations.push(Violation::new(&at, "DUPLICATE", description));
        }
        entry.name = draft.name.clone();
        set(&mut entry.description, draft.description.as_ref());
        set(&mut entry.color, draft.color.as_ref());
        set(&mut entry.state, draft.state.as_ref());
        set(&mut entry.is_default, draft.is_default.as_ref());
        if draft.is_default == Some(true) && !catalog.has_default() {
            violations.push(Violation::new(
                &format!("{at}.is_default"),
                "NO_DEFAULT",
                "must not be true: only life_cycles have a default",
            ));
        }
        entries.push(entry);
    }
    let drafted = entries.len();
    entries.extend(current.iter().filter(|entry| !named.contains(&entry.id)).cloned());
    Wanted { entries, drafted }
}

/// The entries that there are, by what a draft calls them.
struct Held<'a> {
    by_id: HashMap<&'a EntryId, &'a Entry>,
    /// Of several of one name the first.
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

    /// By id, else by folded name among the active entries. A draft that says `archived` also finds
    /// an archived entry of its name, so that loading it twice does not make two.
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

fn new_entry(catalog: Catalog, draft: &EntryDraft, stamp: &Stamp<'_>) -> Entry {
    let id = draft.id.clone().unwrap_or_else(|| {
        EntryId::parse("id", &(stamp.new_id)(catalog.id_prefix()))
            .unwrap_or_else(|violation| unreachable!("a generated id: {violation}"))
    });
    Entry {
        id,
        name: draft.name.clone(),
        description: Default::default(),
        color: None,
        is_default: false,
        // Given by assign_ranks.
        rank: 0,
        state: State::Active,
        audit: stamp.created(),
    }
}

/// Exactly one active default once there is any active entry: the one that the document names,
/// else the one there was, else (where there was none) the first.
fn settle_default(
    catalog: Catalog,
    wanted: &mut Wanted,
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
            let kept = wanted.entries.iter().position(|entry| entry.is_default);
            match kept {
                Some(i) if wanted.entries[i].is_active() => Some(i),
                Some(i) => {
                    let description = "is true of an entry that the document archives: give another one 'is_default: true'";
                    return wrong(i, "DEFAULT_ARCHIVED", description);
                }
                None => wanted.entries.iter().position(Entry::is_active),
            }
        }
        [i] if wanted.entries[i].is_active() => Some(i),
        [i] => {
            return wrong(i, "DEFAULT_ARCHIVED", "must not be true of an archived entry");
        }
        [_, i, ..] => {
            let description = "is true of more than one entry; exactly one can be the default";
            return wrong(i, "DEFAULT_TWICE", description);
        }
    };
    for (i, entry) in wanted.entries.iter_mut().enumerate() {
        entry.is_default = Some(i) == chosen;
    }
    None
}

/// Active entries' names differ, but where they were the same before.
fn check_names(
    catalog: Catalog,
    current: &Arc<Vec<Entry>>,
    wanted: &Wanted,
    drafts: &[EntryDraft],
    violations: &mut Vec<Violation>,
) {
    let mut holders: BTreeMap<String, (String, &EntryId)> = BTreeMap::new();
    let mut current = Rows::of(current.clone());
    // Those that the document does not name come first, so that the violation is at a draft.
    let (drafted, others) = wanted.entries.split_at(wanted.drafted);
    for entry in others.iter().filter(|entry| entry.is_active()) {
        let holder = format!("the active entry {}", entry.id);
        holders.insert(entry.name.fold_key(), (holder, &entry.id));
    }
    for (entry, draft) in drafted.iter().zip(drafts).filter(|(entry, _)| entry.is_active()) {
        let at = format!("{catalog}[{}]", draft.index);
        // Not by its id, which may have been made up just now.
        let here = format!("{at} of the same document");
        if let Some((holder, id)) = holders.insert(entry.name.fold_key(), (here, &entry.id))
            // Of an entry that is named twice this is said already.
            && entry.id != *id
            && !had_one_name(&mut current, &entry.id, id)
        {
            violations.push(Violation::new(
                &format!("{at}.name"),
                "NAME_TAKEN",
                format!("\"{}\" is taken by {holder}", entry.name),
            ));
        }
    }
}

/// Gives the entries, which stand in their wanted order, ranks that rise, moving as few keys as
/// possible: the ranks in use are dealt out anew, and new entries bring higher ones.
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

/// Who and when for the entry as it shall be: what the document gives, else what there was,
/// else, for an entry whose content changes, now.
fn audit(
    before: Option<&Entry>,
    after: &Entry,
    draft: Option<&EntryDraft>,
    stamp: &Stamp<'_>,
) -> Audit {
    let same_content =
        before.is_some_and(|before| Entry { rank: after.rank, ..before.clone() } == *after);
    let mut audit = match before {
        None => stamp.created(),
        Some(before) if same_content => before.audit.clone(),
        Some(before) => stamp.updated(&before.audit),
    };
    if let Some(draft) = draft {
        if before.is_none() {
            // Nothing is updated before it is made.
            set(&mut audit.created_by, draft.last_updated_by.as_ref());
            set(&mut audit.created_time, draft.last_updated_time.as_ref());
        }
        set(&mut audit.created_by, draft.created_by.as_ref());
        set(&mut audit.created_time, draft.created_time.as_ref());
        set(&mut audit.last_updated_by, draft.last_updated_by.as_ref());
        set(&mut audit.last_updated_time, draft.last_updated_time.as_ref());
    }
    if before.is_none_or(|before| before.audit != audit) {
        audit.revision = stamp.revision;
    }
    audit
}

fn delta(catalog: Catalog, before: Option<&Entry>, after: Entry) -> Option<Delta> {
    let Some(before) = before else {
        return Some(Delta::Entry { catalog, before: None, after: Box::new(after) });
    };
    if *before == after {
        return None;
    }
    let (from, to) = (before.rank, after.rank);
    if (Entry { rank: to, ..before.clone() }) == after {
        return Some(Delta::Moved { catalog, id: after.id, from, to });
    }
    Some(Delta::Entry { catalog, before: Some(Box::new(before.clone())), after: Box::new(after) })
}
