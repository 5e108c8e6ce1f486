//! Entries of the starter vocabularies, which a list offers one by one.

use super::{
    entries::{Row, list_path},
    form,
    visit::{Visit, with_query},
};
use crate::service::vocabularies::{Idea, ideas};

/// The ideas of one vocabulary.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) ideas: Vec<&'static Idea>,
    /// Whether somebody just took one of them.
    pub(super) is_open: bool,
}

/// The ideas whose names a list does not have yet.
#[derive(Default)]
pub(super) struct Ideas {
    /// Those that the page shows.
    pub(super) groups: Vec<Group>,
    /// The address of the page that shows them, where this one does not.
    pub(super) link: Option<String>,
}

impl Ideas {
    /// For a list with these rows. One that is empty shows its ideas; any other one leads to them, and shows them to a
    /// person who went there or took one.
    pub(super) fn of(visit: &Visit<'_>, collection: &str, rows: &[Row]) -> Self {
        // The rows that a search found are not all that there are.
        if !visit.query.get("q").is_empty() {
            return Self::default();
        }
        let taken = [visit.form.get("ideas"), visit.query.get("ideas")];
        let taken = taken.into_iter().find(|name| !name.is_empty());
        let groups = groups(collection, rows, taken.unwrap_or_default());
        let is_shown = taken.is_some() || (rows.is_empty() && !visit.is_post);
        match (groups.is_empty(), is_shown) {
            (true, _) => Self::default(),
            (false, true) => Self { groups, link: None },
            (false, false) => Self { groups: Vec::new(), link: Some(path(visit, "1")) },
        }
    }
}

/// The path of the visit's list with its ideas, those of one vocabulary open.
pub(super) fn path(visit: &Visit<'_>, open: &str) -> String {
    with_query(&list_path(visit), &format!("ideas={}", form::encode(open)))
}

fn groups(collection: &str, rows: &[Row], open: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let is_new = |idea: &&Idea| {
        idea.collection == collection
            && rows.iter().all(|row| !row.name.eq_ignore_ascii_case(&idea.name))
    };
    for idea in ideas().iter().filter(is_new) {
        match groups.last_mut().filter(|group| group.name == idea.vocabulary) {
            Some(group) => group.ideas.push(idea),
            None => {
                let (name, is_open) = (idea.vocabulary, idea.vocabulary == open);
                groups.push(Group { name, ideas: vec![idea], is_open });
            }
        }
    }
    groups
}
