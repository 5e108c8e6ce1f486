//! A new order of a list in words, which names the entry that was moved.

use std::collections::{HashMap, HashSet};

use customer_settings_contract::customersettings::v1::{
    Change, Delta, ListEntriesRequest, delta::Action,
};

use super::{
    visit::Visit,
    words::{CATALOGS, quoted},
};

/// The entries that changes moved.
#[derive(Default)]
pub(super) struct Names {
    /// The names by the ids, as the entries are called today.
    by_id: HashMap<String, String>,
    /// The revisions and lists where several entries moved, although the delta looks like one move.
    several: HashSet<(i64, String)>,
}

/// The entries that these changes of a company moved.
pub(super) async fn names(visit: &Visit<'_>, company_id: &str, changes: &[Change]) -> Names {
    let deltas = || changes.iter().flat_map(|change| &change.deltas);
    let mut names = Names::default();
    for words in CATALOGS.iter().filter(|_| visit.may.see) {
        let is_moved = |delta: &Delta| is_order(delta) && delta.collection == words.collection;
        if !deltas().any(is_moved) {
            continue;
        }
        let ask = ListEntriesRequest {
            company_id: company_id.to_owned(),
            collection: words.collection.to_owned(),
            show_archived: true,
            ..Default::default()
        };
        // Without the names a sentence says less.
        let Ok(list) = visit.entries().list_entries(visit.ask(ask)).await else { continue };
        let entries = list.into_inner().entries.into_iter();
        names.by_id.extend(entries.filter_map(|entry| Some((entry.id, entry.name?))));
    }
    // Deleted entries.
    for delta in deltas() {
        let entry = delta.entry_after.as_ref().or(delta.entry_before.as_ref());
        if let Some(name) = entry.and_then(|entry| entry.name.clone()) {
            names.by_id.entry(delta.id.clone()).or_insert(name);
        }
    }
    for change in changes {
        for delta in change.deltas.iter().filter(|delta| is_order(delta)) {
            let is_one = told(change.revision, delta, &names).is_some();
            if is_one && !is_whole(visit, company_id, change.revision, delta).await {
                names.several.insert((change.revision, delta.collection.clone()));
            }
        }
    }
    names
}

/// Whether the entries of the new order stand together after the change. A delta has only entries that got other places:
/// where two that are far apart change places, the entries between them are not in it, and it looks like one move.
async fn is_whole(visit: &Visit<'_>, company_id: &str, revision: i64, delta: &Delta) -> bool {
    let ask = ListEntriesRequest {
        company_id: company_id.to_owned(),
        collection: delta.collection.clone(),
        revision,
        ..Default::default()
    };
    let Ok(list) = visit.entries().list_entries(visit.ask(ask)).await else { return false };
    let entries = list.into_inner().entries;
    let after = &delta.ids_after;
    entries.windows(after.len()).any(|some| some.iter().map(|entry| &entry.id).eq(after))
}

pub(super) fn is_order(delta: &Delta) -> bool {
    delta.action() == Action::Reordered
}

/// Whether entries only took other numbers, as another one came or went between them.
pub(super) fn is_shift(delta: &Delta) -> bool {
    is_order(delta) && delta.ids_before == delta.ids_after
}

/// The entries in an order.
pub(super) fn listed(ids: &[String], names: &Names) -> String {
    let name = |id: &String| names.by_id.get(id).map_or_else(|| id.clone(), |name| quoted(name));
    ids.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The one move that made the new order of a revision: `moved “VIP” up, before “New”`. None where it took several.
pub(super) fn told(revision: i64, delta: &Delta, names: &Names) -> Option<String> {
    if names.several.contains(&(revision, delta.collection.clone())) {
        return None;
    }
    let (before, after) = (&delta.ids_before, &delta.ids_after);
    let at = before.iter().zip(after).position(|(was, is)| was != is)?;
    let is_alone = |id: &String| {
        let others = |one: &&String| *one != id;
        before.iter().filter(others).eq(after.iter().filter(others))
    };
    let name = |id: &String| names.by_id.get(id).map(|name| quoted(name));
    let (risen, sunk) = (&after[at], &before[at]);
    if is_alone(risen) {
        return Some(format!("moved {} up, before {}", name(risen)?, name(sunk)?));
    }
    let now = after.iter().position(|id| id == sunk).filter(|_| is_alone(sunk))?;
    let above = after.get(now.checked_sub(1)?)?;
    Some(format!("moved {} down, after {}", name(sunk)?, name(above)?))
}

/// The places that entries of a list have today: `“VIP” is number 3 now, “New” number 1`. None where one is not there.
pub(super) async fn placed(visit: &Visit<'_>, list: &str, ids: &str) -> Option<String> {
    if ids.is_empty() {
        return None;
    }
    let ask = ListEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: list.to_owned(),
        ..Default::default()
    };
    let entries = visit.entries().list_entries(visit.ask(ask)).await.ok()?.into_inner().entries;
    let told = ids.split(',').map(|id| {
        let entry = entries.iter().find(|entry| entry.id == id)?;
        Some((quoted(entry.name.as_deref()?), entry.position? + 1))
    });
    let told: Vec<(String, i32)> = told.collect::<Option<_>>()?;
    let ((name, place), others) = told.split_first()?;
    let others = others.iter().map(|(name, place)| format!(", {name} number {place}"));
    Some(format!("{name} is number {place} now{}", others.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_move_is_told_by_its_names_and_several_are_not() {
        let by_id = ["a", "b", "c", "d"].map(|id| (id.to_owned(), id.to_uppercase())).into();
        let several = [(7, String::new())].into();
        let names = Names { by_id, several };
        let ids = |text: &str| text.chars().map(String::from).collect();
        let at = |revision: i64, before: &str, after: &str| {
            let (ids_before, ids_after) = (ids(before), ids(after));
            told(revision, &Delta { ids_before, ids_after, ..Default::default() }, &names)
        };
        let told = |before: &str, after: &str| at(1, before, after);
        assert_eq!(told("abcd", "dabc").as_deref(), Some("moved “D” up, before “A”"));
        assert_eq!(told("abcd", "bcda").as_deref(), Some("moved “A” down, after “D”"));
        assert_eq!(told("ab", "ba").as_deref(), Some("moved “B” up, before “A”"));
        assert_eq!(told("abcd", "dcba"), None);
        assert_eq!(told("abcd", "abcd"), None);
        assert_eq!(at(7, "ab", "ba"), None, "others stand between them");
        assert_eq!(told("ax", "xa"), None, "nobody knows the name of x");
        assert_eq!(listed(&["a".to_owned(), "x".to_owned()], &names), "“A”, x");
    }
}
