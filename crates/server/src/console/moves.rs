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
pub(super) const NOW: i64 = 0;

/// Lists at earlier revisions that a page of changes may read. Behind fifty new orders of a full list, one takes a tenth of a
/// second.
pub(super) const MOST_READ: usize = 4;

/// The names of what these changes of a company moved, newest first. Their new orders are completed: the API's have only
/// entries that got another number, and where an entry moves over one that keeps its number, that one belongs to the order
/// as well. `left` counts the lists that may still be read for that.
pub(super) async fn names(
    visit: &Visit<'_>,
    company_id: &str,
    changes: &mut [Change],
    left: &mut usize,
) -> Names {
    let mut walk = Walk { visit, company_id, lists: HashMap::new(), left };
    for change in changes.iter_mut().filter(|_| visit.may.see) {
        walk.back(change).await;
    }
    named(visit, company_id, changes).await
}

/// The same for one change of the visit's company, which has all lists that it needs.
pub(super) async fn names_of_one(visit: &Visit<'_>, change: &mut Change) -> Names {
    let mut left = 2 * CATALOGS.len();
    names(visit, visit.part(0), slice::from_mut(change), &mut left).await
}

/// The same for a change that would lead that company from now to what was there at a revision.
pub(super) async fn names_of_preview(visit: &Visit<'_>, change: &mut Change, then: i64) -> Names {
    let (company_id, mut left) = (visit.part(0), 2 * CATALOGS.len());
    let mut walk = Walk { visit, company_id, lists: HashMap::new(), left: &mut left };
    for delta in change.deltas.iter_mut().filter(|delta| visit.may.see && is_order(delta)) {
        let [before, after] =
            [walk.read(&delta.collection, NOW).await, walk.read(&delta.collection, then).await];
        complete(delta, before.as_deref(), after.as_deref());
    }
    named(visit, company_id, slice::from_ref(change)).await
}

/// A way back along the changes of a company, which knows the orders of lists.
struct Walk<'v> {
    visit: &'v Visit<'v>,
    company_id: &'v str,
    /// The ids of lists in order, each with the revision at which it was so.
    lists: HashMap<&'static str, (i64, Vec<String>)>,
    left: &'v mut usize,
}

impl Walk<'_> {
    /// Completes the new orders of a change. The order before it is known without reading where entries were moved or came,
    /// and not both.
    async fn back(&mut self, change: &mut Change) {
        let (after, before) = (change.revision, change.revision - 1);
        for list in CATALOGS.iter().map(|words| words.collection) {
            let came = came(change, list);
            let mut orders = change.deltas.iter_mut().filter(|delta| is_order(delta));
            let order = orders.find(|delta| delta.collection == list);
            let known = self.lists.remove(list).filter(|(revision, _)| *revision == after);
            let known = known.map(|(_, ids)| ids);
            // Before the first change there was no list.
            let ids = match order.filter(|_| before > 0) {
                None => known.zip(came).map(|(mut ids, came)| {
                    ids.retain(|id| !came.contains(id));
                    ids
                }),
                Some(delta) => {
                    let now = match known {
                        Some(ids) => Some(ids),
                        None => self.read(list, after).await,
                    };
                    let is_alone = came.is_some_and(|came| came.is_empty());
                    let moved = now.as_deref().filter(|_| is_alone);
                    let last = match moved.and_then(|now| moved_back_by(delta, now)) {
                        Some(ids) => Some(ids),
                        None => self.read(list, before).await,
                    };
                    complete(delta, last.as_deref(), now.as_deref());
                    last
                }
            };
            self.lists.extend(ids.map(|ids| (list, (before, ids))));
        }
    }

    async fn read(&mut self, list: &str, revision: i64) -> Option<Vec<String>> {
        *self.left = self.left.checked_sub(1)?;
        let entries = entries(self.visit, self.company_id, (list, revision), false).await?;
        Some(entries.into_iter().map(|entry| entry.id).collect())
    }
}

/// The ids of the entries that came into a list by a change. None where others went, or got another place by something else
/// than a new order.
fn came(change: &Change, list: &str) -> Option<HashSet<String>> {
    let mut came = HashSet::new();
    for delta in change.deltas.iter().filter(|delta| delta.collection == list && !is_order(delta)) {
        match delta.action() {
            Action::Created | Action::Restored | Action::Revived => {
                came.insert(delta.id.clone());
            }
            Action::Updated if delta.fields.iter().all(|field| field != "position") => {}
            _ => return None,
        }
    }
    Some(came).filter(|_| change.parts <= 1)
}

/// The order of a list before entries were moved within it, from the one after that: all others kept their numbers. None if
/// entries moved that are not in that order, as those that are put away.
fn moved_back_by(delta: &Delta, after: &[String]) -> Option<Vec<String>> {
    let moved: HashSet<&String> = delta.ids_after.iter().collect();
    let is_moved = |id: &&String| moved.contains(id);
    if is_shift(delta) || !after.iter().filter(is_moved).eq(&delta.ids_after) {
        return None;
    }
    let mut were = delta.ids_before.iter();
    let ids = after.iter().map(|id| if is_moved(&id) { were.next() } else { Some(id) });
    ids.map(|id| id.cloned()).collect()
}

/// Gives a new order all entries over which others moved. Of an order that is not known, only that is left which is certain:
/// that it is another one.
fn complete(delta: &mut Delta, before: Option<&[String]>, after: Option<&[String]>) {
    match before.zip(after) {
        Some((before, after)) => {
            if let Some([before, after]) = differing(before, after) {
                (delta.ids_before, delta.ids_after) = (before, after);
            }
        }
        None if is_shift(delta) => {}
        None => delta.ids_after.clear(),
    }
}

/// The entries of a list at a revision. None where they cannot be read: a sentence says less then.
pub(super) async fn entries(
    visit: &Visit<'_>,
    company_id: &str,
    (collection, revision): (&str, i64),
    show_archived: bool,
) -> Option<Vec<Entry>> {
    let ask = ListEntriesRequest {
        company_id: company_id.to_owned(),
        collection: collection.to_owned(),
        revision,
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
        let list = entries(visit, company_id, (words.collection, NOW), true).await;
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

/// The one move that made a new order: `moved “VIP” up, before “New”`. Where two neighbors changed places, nobody can tell
/// from the orders which one was moved: the sentence holds for both. None where it took several moves.
pub(super) fn told(delta: &Delta, names: &Names) -> Option<String> {
    let (before, after) = (&delta.ids_before, &delta.ids_after);
    let at = before.iter().zip(after).position(|(was, is)| was != is)?;
    let is_alone = |id: &String| {
        let others = |one: &&String| *one != id;
        before.iter().filter(others).eq(after.iter().filter(others))
    };
    let name = |id: &String| names.0.get(id).map(|name| quoted(name));
    let (risen, sunk) = (&after[at], &before[at]);
    if is_alone(risen) && is_alone(sunk) {
        return Some(format!("put {} before {}", name(risen)?, name(sunk)?));
    }
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
    let entries = entries(visit, visit.part(0), (list, NOW), false).await?;
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
        assert_eq!(told("ab", "ba").as_deref(), Some("put “B” before “A”"));
        assert_eq!(told("abcd", "acbd").as_deref(), Some("put “C” before “B”"));
        assert_eq!(told("abcd", "dcba"), None);
        assert_eq!(told("abcd", "abcd"), None);
        assert_eq!(told("ax", "xa"), None, "nobody knows the name of x");
        assert_eq!(listed(&["a".to_owned(), "x".to_owned()], &names), "“A”, x");
    }

    #[test]
    fn an_order_is_walked_back_where_the_others_kept_their_numbers() {
        let back = |before: &str, after: &str, list: &str| {
            let (ids_before, ids_after) = (ids(before), ids(after));
            let delta = Delta {
                ids_before,
                ids_after,
                action: Action::Reordered.into(),
                ..Default::default()
            };
            moved_back_by(&delta, &ids(list)).map(|ids| ids.concat())
        };
        assert_eq!(back("abc", "bca", "xbcay").as_deref(), Some("xabcy"));
        // b and d kept their numbers.
        assert_eq!(back("ac", "ca", "cbad").as_deref(), Some("abcd"));
        assert_eq!(back("abz", "bza", "ba"), None, "z is put away");
        assert_eq!(back("ab", "ba", "ab"), None, "the list is one of another time");
        assert_eq!(back("ab", "ab", "ab"), None);
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
