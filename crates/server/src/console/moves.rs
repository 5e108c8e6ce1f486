//! A new order of a list in words, which names the entry that was moved.

use std::{
    collections::{HashMap, HashSet},
    slice,
};

use customer_settings_contract::customersettings::v1::{
    Change, Delta, Entry, ListEntriesRequest, delta::Action,
};

use super::{
    visit::Visit,
    words::{CATALOGS, quoted},
};

/// The names of the entries that changes moved, as they are called today, by their ids.
pub(super) struct Names(HashMap<String, String>);

/// Stands for the revision at which a list is as it is now.
const NOW: i64 = 0;

/// The ids of lists at revisions, in order. None of a list that cannot be read.
type Orders = HashMap<(String, i64), Option<Vec<String>>>;

/// The names of what these changes of a company moved. Their new orders are completed: the API's have only entries that got
/// another number, and where an entry moves over one that keeps its number, that one belongs to the order as well.
pub(super) async fn names(visit: &Visit<'_>, company_id: &str, changes: &mut [Change]) -> Names {
    let mut orders = Orders::new();
    for change in changes.iter_mut() {
        let revisions = [change.revision - 1, change.revision];
        complete(visit, company_id, change, revisions, &mut orders).await;
    }
    named(visit, company_id, changes).await
}

/// The same for a change that would lead from now to what was there at a revision.
pub(super) async fn names_of_preview(
    visit: &Visit<'_>,
    company_id: &str,
    change: &mut Change,
    then: i64,
) -> Names {
    complete(visit, company_id, change, [NOW, then], &mut Orders::new()).await;
    named(visit, company_id, slice::from_ref(change)).await
}

async fn complete(
    visit: &Visit<'_>,
    company_id: &str,
    change: &mut Change,
    revisions: [i64; 2],
    orders: &mut Orders,
) {
    // Before the first change there was no list.
    let are_known = change.revision != 1 && visit.may.see;
    for delta in change.deltas.iter_mut().filter(|delta| are_known && is_order(delta)) {
        let keys = revisions.map(|revision| (delta.collection.clone(), revision));
        for key in &keys {
            if !orders.contains_key(key) {
                let read = entries(visit, company_id, key, false).await;
                let ids = read.map(|list| list.into_iter().map(|entry| entry.id).collect());
                orders.insert(key.clone(), ids);
            }
        }
        // Without the lists, the delta stays as it is.
        if let [Some(before), Some(after)] = keys.map(|key| orders.get(&key)?.as_deref())
            && let Some([before, after]) = differing(before, after)
        {
            (delta.ids_before, delta.ids_after) = (before, after);
        }
    }
}

/// The entries of a list at a revision. None where they cannot be read: a sentence says less then.
async fn entries(
    visit: &Visit<'_>,
    company_id: &str,
    (collection, revision): &(String, i64),
    show_archived: bool,
) -> Option<Vec<Entry>> {
    let ask = ListEntriesRequest {
        company_id: company_id.to_owned(),
        collection: collection.clone(),
        revision: *revision,
        show_archived,
        ..Default::default()
    };
    Some(visit.entries().list_entries(visit.ask(ask)).await.ok()?.into_inner().entries)
}

/// The part of two orders in which those that are in both stand in another order. None if they stand in the same.
fn differing(before: &[String], after: &[String]) -> Option<[Vec<String>; 2]> {
    let common = |of: &[String], with: &[String]| -> Vec<String> {
        let with: HashSet<&String> = with.iter().collect();
        of.iter().filter(|id| with.contains(id)).cloned().collect()
    };
    let (before, after) = (common(before, after), common(after, before));
    let differ = || before.iter().zip(&after).map(|(was, is)| was != is);
    let first = differ().position(|differs| differs)?;
    let last = before.len() - differ().rev().position(|differs| differs)?;
    Some([before, after].map(|ids| ids[first..last].to_vec()))
}

async fn named(visit: &Visit<'_>, company_id: &str, changes: &[Change]) -> Names {
    let deltas = || changes.iter().flat_map(|change| &change.deltas);
    let mut names = HashMap::new();
    for words in CATALOGS.iter().filter(|_| visit.may.see) {
        let is_moved = |delta: &Delta| is_order(delta) && delta.collection == words.collection;
        if !deltas().any(is_moved) {
            continue;
        }
        let list = entries(visit, company_id, &(words.collection.to_owned(), NOW), true).await;
        let entries = list.into_iter().flatten();
        names.extend(entries.filter_map(|entry| Some((entry.id, entry.name?))));
    }
    // Deleted entries.
    for delta in deltas() {
        let entry = delta.entry_after.as_ref().or(delta.entry_before.as_ref());
        if let Some(name) = entry.and_then(|entry| entry.name.clone()) {
            names.entry(delta.id.clone()).or_insert(name);
        }
    }
    Names(names)
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
    let name = |id: &String| names.0.get(id).map_or_else(|| id.clone(), |name| quoted(name));
    ids.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The one move that made a new order: `moved “VIP” up, before “New”`. None where it took several.
pub(super) fn told(delta: &Delta, names: &Names) -> Option<String> {
    let (before, after) = (&delta.ids_before, &delta.ids_after);
    let at = before.iter().zip(after).position(|(was, is)| was != is)?;
    let is_alone = |id: &String| {
        let others = |one: &&String| *one != id;
        before.iter().filter(others).eq(after.iter().filter(others))
    };
    let name = |id: &String| names.0.get(id).map(|name| quoted(name));
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
    let entries = entries(visit, visit.part(0), &(list.to_owned(), NOW), false).await?;
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

    fn ids(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn one_move_is_told_by_its_names_and_several_are_not() {
        let names =
            Names(ids("abcd").into_iter().map(|id| (id.clone(), id.to_uppercase())).collect());
        let told = |before: &str, after: &str| {
            let (ids_before, ids_after) = (ids(before), ids(after));
            told(&Delta { ids_before, ids_after, ..Default::default() }, &names)
        };
        assert_eq!(told("abcd", "dabc").as_deref(), Some("moved “D” up, before “A”"));
        assert_eq!(told("abcd", "bcda").as_deref(), Some("moved “A” down, after “D”"));
        assert_eq!(told("ab", "ba").as_deref(), Some("moved “B” up, before “A”"));
        assert_eq!(told("abcd", "dcba"), None);
        assert_eq!(told("abcd", "abcd"), None);
        assert_eq!(told("ax", "xa"), None, "nobody knows the name of x");
        assert_eq!(listed(&["a".to_owned(), "x".to_owned()], &names), "“A”, x");
    }

    #[test]
    fn an_order_has_all_over_which_an_entry_moved() {
        let differing = |before: &str, after: &str| {
            let found = differing(&ids(before), &ids(after));
            found.map(|[before, after]| format!("{} {}", before.concat(), after.concat()))
        };
        // In both of these, b has the same number before and after.
        assert_eq!(differing("abc", "xbac").as_deref(), Some("ab ba"));
        assert_eq!(differing("abcd", "dbac").as_deref(), Some("abcd dbac"));
        assert_eq!(differing("abcde", "adcbe").as_deref(), Some("bcd dcb"));
        for same in ["abc", "xabc", "axbc", "bc", "", "xyz"] {
            assert_eq!(differing("abc", same), None, "{same}");
        }
    }
}
