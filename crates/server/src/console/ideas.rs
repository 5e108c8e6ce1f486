//! Entries of the starter vocabularies, which an empty list offers one by one.

use super::{entries::Row, visit::Visit};
use crate::service::vocabularies::{Idea, ideas};

/// The ideas of one vocabulary.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) ideas: Vec<&'static Idea>,
}

/// The ideas for a list that is empty, or in which somebody just took one. The names that are there are left out.
pub(super) fn groups(visit: &Visit<'_>, collection: &str, rows: &[Row]) -> Vec<Group> {
    let is_searched = ["q", "archived"].iter().any(|name| !visit.query.get(name).is_empty());
    let is_wanted = !visit.query.get("ideas").is_empty() || (rows.is_empty() && !visit.is_post);
    let mut groups: Vec<Group> = Vec::new();
    if !visit.may.change || is_searched || !is_wanted {
        return groups;
    }
    let is_new = |idea: &&Idea| {
        idea.collection == collection
            && rows.iter().all(|row| !row.name.eq_ignore_ascii_case(&idea.name))
    };
    for idea in ideas().iter().filter(is_new) {
        match groups.last_mut().filter(|group| group.name == idea.vocabulary) {
            Some(group) => group.ideas.push(idea),
            None => groups.push(Group { name: idea.vocabulary, ideas: vec![idea] }),
        }
    }
    groups
}
