//! The entries of a catalog that move among the others, as people would say it: as few as possible.

use std::collections::{HashMap, HashSet};

use crate::catalog::{entry::Entry, id::EntryId};

/// The entries that are active before and after, and get another place relative to each other. An entry that only makes
/// room for others is none of them. An entry that keeps its rank is none of them either, so each has a delta.
pub(super) fn movers<'a>(before: &[Entry], after: &'a [Entry]) -> HashSet<&'a EntryId> {
    let active = before.iter().filter(|entry| entry.is_active()).enumerate();
    let old: HashMap<&EntryId, (usize, u32)> =
        active.map(|(place, entry)| (&entry.id, (place, entry.rank))).collect();
    let active = after.iter().filter(|entry| entry.is_active());
    let both: Vec<(&EntryId, Place)> = active
        .filter_map(|entry| {
            let (old_place, rank) = *old.get(&entry.id)?;
            Some((&entry.id, Place { old_place, is_fixed: rank == entry.rank }))
        })
        .collect();
    let kept = kept(both.iter().map(|(_, place)| *place), old.len());
    both.iter().zip(kept).filter(|(_, is_kept)| !is_kept).map(|((id, _), _)| *id).collect()
}

#[derive(Clone, Copy)]
struct Place {
    old_place: usize,
    is_fixed: bool,
}

/// Whether each entry, in the new order, is one of those that keep their order: the longest chain of rising places with
/// all the fixed ones in it. The old places are less than `size`.
fn kept(places: impl ExactSizeIterator<Item = Place>, size: usize) -> Vec<bool> {
    let (count, mut before) = (places.len(), Vec::new());
    // A Fenwick tree over the old places: the heaviest chain, and its last entry, that ends in each part.
    let mut tree = vec![(0, None); size + 1];
    let mut heaviest = (0, None);
    for (index, Place { old_place, is_fixed }) in places.enumerate() {
        let (mut chain, mut node) = ((0, None), old_place);
        while node > 0 {
            if tree[node].0 > chain.0 {
                chain = tree[node];
            }
            node &= node - 1;
        }
        before.push(chain.1);
        let longer = (chain.0 + if is_fixed { count + 1 } else { 1 }, Some(index));
        if longer.0 > heaviest.0 {
            heaviest = longer;
        }
        let mut node = old_place + 1;
        while node <= size {
            if longer.0 > tree[node].0 {
                tree[node] = longer;
            }
            node += node & node.wrapping_neg();
        }
    }
    let (mut kept, mut last) = (vec![false; count], heaviest.1);
    while let Some(index) = last {
        kept[index] = true;
        last = before[index];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The old places of the entries that move, where the fixed ones are marked.
    fn moved(places: &[(usize, bool)]) -> Vec<usize> {
        let all = places
            .iter()
            .map(|(old_place, is_fixed)| Place { old_place: *old_place, is_fixed: *is_fixed });
        let kept = kept(all, places.len());
        places.iter().zip(kept).filter(|(_, kept)| !kept).map(|((place, _), _)| *place).collect()
    }

    #[test]
    fn as_few_entries_as_possible_move() {
        let free = |places: &[usize]| {
            moved(&places.iter().map(|place| (*place, false)).collect::<Vec<_>>())
        };
        assert_eq!(free(&[]), [] as [usize; 0]);
        assert_eq!(free(&[0, 1, 2, 3]), [] as [usize; 0]);
        assert_eq!(free(&[3, 0, 1, 2]), [3]);
        assert_eq!(free(&[1, 2, 3, 0]), [0]);
        assert_eq!(free(&[0, 3, 1, 2, 4]), [3]);
        assert_eq!(free(&[2, 3, 0, 1]).len(), 2);
        let reversed: Vec<usize> = (0..1_000).rev().collect();
        assert_eq!(free(&reversed).len(), 999);
        // The middle of a reversed list stays where it is.
        assert_eq!(moved(&[(2, false), (1, true), (0, false)]), [2, 0]);
        assert_eq!(moved(&[(1, false), (2, false), (0, true)]), [1, 2]);
    }
}
