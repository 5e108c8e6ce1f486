//! Planning a load: a company is made to agree with a document.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Stamp, had_one_name,
    steps::{set, set_contact},
};
use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, EntryDraft},
    company::{Business, Company, Contact},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Result, Violation},
    id::{BusinessId, CompanyId, EntryId},
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
    let businesses = current.map_or(&[][..], |settings| &settings.businesses);
    deltas.extend(business_deltas(businesses, &draft.businesses, stamp, &mut violations));
    for catalog in Catalog::ALL {
        let entries = current.map_or(&[][..], |settings| settings.entries(catalog));
        let drafts = &draft.catalogs[catalog.index()];
        match entry_deltas(catalog, entries, drafts, stamp) {
            Ok(more) => deltas.extend(more),
            Err(more) => violations.extend(more),
        }
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
    for (i, draft) in drafts.iter().enumerate() {
        let before = match &draft.id {
            Some(id) => current.iter().find(|business| business.id == *id),
            None => {
                current.iter().find(|business| business.name.fold_key() == draft.name.fold_key())
            }
        };
        // Two new locations without ids would be told apart only by their names.
        let who = match (&draft.id, before) {
            (Some(id), _) => id.to_string(),
            (None, Some(before)) => before.id.to_string(),
            (None, None) => format!("name {}", draft.name.fold_key()),
        };
        if !named.insert(who) {
            violations.push(Violation::new(
                &format!("businesses[{i}]"),
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

fn entry_deltas(
    catalog: Catalog,
    current: &[Entry],
    drafts: &[EntryDraft],
    stamp: &Stamp<'_>,
) -> Result<Vec<Delta>, Vec<Violation>> {
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = resolve(catalog, current, drafts, stamp)?;
    if wanted.entries.len() > MAX_ENTRIES {
        let description = format!(
            "would have {} entries; at most {MAX_ENTRIES} are allowed",
            wanted.entries.len()
        );
        return Err(vec![Violation::new(catalog.as_str(), "TOO_MANY", description)]);
    }
    settle_default(catalog, &mut wanted, drafts)?;
    check_names(catalog, current, &wanted)?;
    assign_ranks(&mut wanted.entries, current);
    let before: HashMap<&EntryId, &Entry> =
        current.iter().map(|entry| (&entry.id, entry)).collect();
    let deltas = wanted.entries.into_iter().enumerate().filter_map(|(i, mut after)| {
        let before = before.get(&after.id).copied();
        after.audit = audit(before, &after, drafts.get(i), stamp);
        delta(catalog, before, after)
    });
    Ok(deltas.collect())
}

/// Finds the entry that each draft means and gives it the drafted content.
fn resolve(
    catalog: Catalog,
    current: &[Entry],
    drafts: &[EntryDraft],
    stamp: &Stamp<'_>,
) -> Result<Wanted, Vec<Violation>> {
    let mut violations = Vec::new();
    let mut named: HashSet<EntryId> = HashSet::new();
    let mut entries = Vec::with_capacity(drafts.len() + current.len());
    for (i, draft) in drafts.iter().enumerate() {
        let before = find(current, draft);
        let mut entry = before.cloned().unwrap_or_else(|| new_entry(catalog, draft, stamp));
        if !named.insert(entry.id.clone()) {
            let description = format!("names the entry {} again", entry.id);
            violations.push(Violation::new(&format!("{catalog}[{i}]"), "DUPLICATE", description));
        }
        entry.name = draft.name.clone();
        set(&mut entry.description, draft.description.as_ref());
        set(&mut entry.color, draft.color.as_ref());
        set(&mut entry.state, draft.state.as_ref());
        set(&mut entry.is_default, draft.is_default.as_ref());
        if draft.is_default == Some(true) && !catalog.has_default() {
            violations.push(Violation::new(
                &format!("{catalog}[{i}].is_default"),
                "NO_DEFAULT",
                "must not be true: only life_cycles have a default",
            ));
        }
        entries.push(entry);
    }
    let drafted = entries.len();
    entries.extend(current.iter().filter(|entry| !named.contains(&entry.id)).cloned());
    if violations.is_empty() { Ok(Wanted { entries, drafted }) } else { Err(violations) }
}

/// By id, else by folded name among the active entries. A draft that says `archived` also finds
/// an archived entry of its name, so that loading it twice does not make two.
fn find<'a>(current: &'a [Entry], draft: &EntryDraft) -> Option<&'a Entry> {
    if let Some(id) = &draft.id {
        return current.iter().find(|entry| entry.id == *id);
    }
    let fold_key = draft.name.fold_key();
    let mut same_name = current.iter().filter(|entry| entry.name.fold_key() == fold_key);
    let archived_too = draft.state == Some(State::Archived);
    let active = same_name.clone().find(|entry| entry.is_active());
    active.or_else(|| if archived_too { same_name.next() } else { None })
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
) -> Result<(), Vec<Violation>> {
    if !catalog.has_default() {
        return Ok(());
    }
    let field = |i: usize| format!("{catalog}[{i}].is_default");
    let named: Vec<usize> =
        (0..drafts.len()).filter(|i| drafts[*i].is_default == Some(true)).collect();
    let chosen = match named[..] {
        [] => {
            let kept = wanted.entries.iter().position(|entry| entry.is_default);
            match kept {
                Some(i) if wanted.entries[i].is_active() => Some(i),
                Some(i) => {
                    return Err(vec![Violation::new(
                        &field(i),
                        "DEFAULT_ARCHIVED",
                        "is true of an entry that the document archives: give another one 'is_default: true'",
                    )]);
                }
                None => wanted.entries.iter().position(Entry::is_active),
            }
        }
        [i] if wanted.entries[i].is_active() => Some(i),
        [i] => {
            let description = "must not be true of an archived entry";
            return Err(vec![Violation::new(&field(i), "DEFAULT_ARCHIVED", description)]);
        }
        [_, i, ..] => {
            let description = "is true of more than one entry; exactly one can be the default";
            return Err(vec![Violation::new(&field(i), "DEFAULT_TWICE", description)]);
        }
    };
    for (i, entry) in wanted.entries.iter_mut().enumerate() {
        entry.is_default = Some(i) == chosen;
    }
    Ok(())
}

/// Active entries' names differ, but where they were the same before.
fn check_names(catalog: Catalog, current: &[Entry], wanted: &Wanted) -> Result<(), Vec<Violation>> {
    let mut holders: BTreeMap<String, (String, &EntryId)> = BTreeMap::new();
    let mut violations = Vec::new();
    // Those that the document does not name come first, so that the violation is at a draft.
    let (drafted, others) = wanted.entries.split_at(wanted.drafted);
    for entry in others.iter().filter(|entry| entry.is_active()) {
        let holder = format!("the active entry {}", entry.id);
        holders.insert(entry.name.fold_key(), (holder, &entry.id));
    }
    for (i, entry) in drafted.iter().enumerate().filter(|(_, entry)| entry.is_active()) {
        // Not by its id, which may have been made up just now.
        let here = format!("{catalog}[{i}] of the same document");
        if let Some((holder, id)) = holders.insert(entry.name.fold_key(), (here, &entry.id))
            && !had_one_name(current, &entry.id, id)
        {
            violations.push(Violation::new(
                &format!("{catalog}[{i}].name"),
                "NAME_TAKEN",
                format!("\"{}\" is taken by {holder}", entry.name),
            ));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
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
