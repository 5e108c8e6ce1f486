//! Rows that revisions share: a change copies the list that it touches and no other.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use super::etag::Etag;

/// A list of rows, with its etag once somebody asked for it. A list of a thousand entries is read many times
/// for each change, and its etag takes as long as a thousand entries.
pub struct Shared<T>(Arc<List<T>>);

struct List<T> {
    rows: Vec<T>,
    etag: OnceLock<Etag>,
}

impl<T> Shared<T> {
    /// Whether both are one list, which holds unless one of them was changed.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The list's etag, made by the first call.
    pub(super) fn etag(&self, make: impl FnOnce(&[T]) -> Etag) -> Etag {
        self.0.etag.get_or_init(|| make(&self.0.rows)).clone()
    }
}

impl<T: Clone> Shared<T> {
    /// The rows, for changes. Others that share the list keep it as it was.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        let list = Arc::make_mut(&mut self.0);
        list.etag.take();
        &mut list.rows
    }
}

/// A copy is made to be changed, so it begins without an etag.
impl<T: Clone> Clone for List<T> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), etag: OnceLock::new() }
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(rows: Vec<T>) -> Self {
        Self(Arc::new(List { rows, etag: OnceLock::new() }))
    }
}

impl<T> Deref for Shared<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0.rows
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0.rows == other.0.rows
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rows.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag_of(rows: &[char]) -> Etag {
        Etag::parse("etag", &format!("{:024}", rows.len())).unwrap()
    }

    #[test]
    fn a_list_has_the_etag_of_its_own_rows_also_after_a_change() {
        let mut list = Shared::from(vec!['a']);
        assert_eq!(list.etag(etag_of), etag_of(&['a']));
        let before = list.clone();
        list.to_mut().push('b');
        assert_eq!(list.etag(etag_of), etag_of(&['a', 'b']));
        assert_eq!(before.etag(etag_of), etag_of(&['a']));
        // The list has no other owner now, so nothing is copied.
        list.to_mut().push('c');
        assert_eq!(list.etag(etag_of), etag_of(&['a', 'b', 'c']));
    }
}
