//! Rows that are found by their ids. Single accesses to many of them cost the number of rows once, and then
//! the number of accesses.

use std::{cmp::Ordering, collections::HashMap, hash::Hash};

use super::{
    company::Business,
    entry::Entry,
    id::{BusinessId, EntryId},
    shared::Shared,
};

/// This many times a row is searched among all rows, which costs less than an index of them.
const FEW: usize = 8;

pub(super) trait HasId: Clone {
    type Id: Clone + Eq + Hash;

    fn id(&self) -> &Self::Id;
}

impl HasId for Entry {
    type Id = EntryId;

    fn id(&self) -> &EntryId {
        &self.id
    }
}

impl HasId for Business {
    type Id = BusinessId;

    fn id(&self) -> &BusinessId {
        &self.id
    }
}

/// Rows that are shared until one of them changes. A removal may change their order, which [`Rows::sort_by`] restores.
#[derive(Clone, Debug)]
pub(super) struct Rows<T: HasId> {
    rows: Shared<T>,
    sought: usize,
    /// Made after rows were searched a few times.
    places: Option<HashMap<T::Id, usize>>,
}

impl<T: HasId> Rows<T> {
    pub(super) fn of(rows: Shared<T>) -> Self {
        Self { rows, sought: 0, places: None }
    }

    pub(super) fn rows(&self) -> &Shared<T> {
        &self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows. A change may use this once, but no step of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().inspect(|_| count(1))
    }

    pub(super) fn get(&mut self, id: &T::Id) -> Option<&T> {
        self.place(id).map(|place| &self.rows[place])
    }

    /// Finds the row with the id, which probably stands at `place`.
    pub(super) fn get_near(&mut self, place: usize, id: &T::Id) -> Option<&T> {
        count(1);
        let is_there = self.rows.get(place).is_some_and(|row| row.id() == id);
        let place = if is_there { Some(place) } else { self.place(id) };
        place.map(|place| &self.rows[place])
    }

    pub(super) fn get_mut(&mut self, id: &T::Id) -> Option<&mut T> {
        let place = self.place(id)?;
        Some(&mut self.rows.to_mut()[place])
    }

    /// Adds a row with a new id.
    pub(super) fn push(&mut self, row: T) {
        if let Some(places) = &mut self.places {
            places.insert(row.id().clone(), self.rows.len());
        }
        self.rows.to_mut().push(row);
    }

    pub(super) fn remove(&mut self, id: &T::Id) -> Option<T> {
        let place = self.place(id)?;
        let removed = self.rows.to_mut().swap_remove(place);
        if let Some(places) = &mut self.places {
            places.remove(id);
            // The last row stands at its place now.
            if let Some(moved) = self.rows.get(place) {
                places.insert(moved.id().clone(), place);
            }
        }
        Some(removed)
    }

    /// All rows, for changes that leave the ids.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        count(self.rows.len());
        self.rows.to_mut().iter_mut()
    }

    /// Sorts the rows, unless they are in order.
    pub(super) fn sort_by(&mut self, compare: fn(&T, &T) -> Ordering) {
        count(self.rows.len());
        if !self.rows.is_sorted_by(|one, next| compare(one, next).is_le()) {
            self.rows.to_mut().sort_by(compare);
            self.places = None;
        }
    }

    fn place(&mut self, id: &T::Id) -> Option<usize> {
        if self.places.is_none() {
            if self.sought < FEW {
                self.sought += 1;
                let place = self.rows.iter().position(|row| row.id() == id);
                count(place.map_or(self.rows.len(), |place| place + 1));
                return place;
            }
            count(self.rows.len());
            let places = self.rows.iter().enumerate();
            self.places = Some(places.map(|(place, row)| (row.id().clone(), place)).collect());
        }
        count(1);
        self.places.as_ref()?.get(id).copied()
    }
}

/// Counts, for tests, the rows that were looked at.
fn count(rows: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get() + rows);
    #[cfg(not(test))]
    let _ = rows;
}

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many rows this thread looked at during the work.
#[cfg(test)]
pub(super) fn looked_at<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LOOKED_AT.get();
    let done = work();
    (done, LOOKED_AT.get() - before)
}
