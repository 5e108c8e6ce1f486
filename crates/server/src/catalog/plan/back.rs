//! Planning the way back: undoing one change, and rolling back to a revision.

use super::draft::Draft;
use crate::catalog::{
    company::Business,
    delta::{Delta, Fields, Row},
    entry::{Catalog, Entry, Revision, State},
    error::{Error, Result},
    id::{BusinessId, EntryId},
    rows::Rows,
    settings::{Settings, Subject},
};

/// Gives every field that the change touched its value from before the change, if the field still has
/// the value from after it.
pub(super) fn undone<'a>(
    current: &'a Settings,
    revision: Revision,
    deltas: &[Delta],
) -> Result<Draft<'a>> {
    let mut undoing = Undoing { draft: Draft::of(current), changed: Vec::new() };
    for delta in deltas {
        undoing.delta(delta, revision)?;
    }
    let Undoing { draft, changed } = undoing;
    if !changed.is_empty() {
        return Err(Error::ChangedSince { revision, fields: changed, since: Vec::new() });
    }
    settled(draft)
}

/// Gives everything the state of the target. Locations that were made since are archived, as they cannot be deleted.
pub(super) fn rolled_back<'a>(current: &'a Settings, target: &Settings) -> Result<Draft<'a>> {
    let mut draft = Draft::of(current);
    let audit = std::mem::replace(&mut draft.company, target.company.clone()).audit;
    draft.company.audit = audit;
    let mut then = Rows::of(target.businesses.clone());
    for (place, business) in current.businesses.iter().enumerate() {
        let after = match then.get_near(place, &business.id) {
            Some(then) => Business { audit: business.audit.clone(), ..then.clone() },
            None => Business { state: State::Archived, ..business.clone() },
        };
        if after != *business {
            *draft.business(&business.id)? = after;
        }
    }
    for catalog in Catalog::ALL {
        let mut entries = target.entries(catalog).to_vec();
        for entry in &mut entries {
            match draft.old_entry(catalog, &entry.id) {
                Some(now) => entry.audit = now.audit.clone(),
                None => _ = draft.revived.insert((catalog, entry.id.clone())),
            }
        }
        draft.replace_entries(catalog, entries);
    }
    settled(draft)
}

fn settled(mut draft: Draft<'_>) -> Result<Draft<'_>> {
    for catalog in Catalog::ALL {
        draft.settle_ranks(catalog);
    }
    draft.check().map_err(|(_, error)| error)?;
    Ok(draft)
}

struct Undoing<'a> {
    draft: Draft<'a>,
    /// The fields that no longer have the value that the change gave them.
    changed: Vec<String>,
}

impl Undoing<'_> {
    fn delta(&mut self, delta: &Delta, revision: Revision) -> Result<()> {
        let place = delta.subject.place();
        match (&delta.subject, &delta.before, &delta.after) {
            (Subject::Company, None, _) => {
                return Err(Error::Precondition {
                    reason: "FIRST_CHANGE",
                    message: format!(
                        "revision {revision} made the company and cannot be undone: archive the company instead"
                    ),
                    facts: vec![("revision", revision.to_string())],
                });
            }
            (Subject::Company, Some(Row::Company(before)), Some(Row::Company(after))) => {
                give(&place, &mut self.draft.company, before, after, &mut self.changed);
            }
            (Subject::Business(id), before, Some(Row::Business(after))) => {
                self.business(&place, id, before.as_ref().and_then(Row::business), after);
            }
            (Subject::Entry(catalog, id), Some(Row::Rank(from)), Some(Row::Rank(to))) => {
                match self.draft.entry(*catalog, id) {
                    Ok(now) if now.rank == *to => now.rank = *from,
                    Ok(_) => self.changed.push(format!("{place}.position")),
                    Err(_) => self.changed.push(place),
                }
            }
            (Subject::Entry(catalog, id), Some(Row::Entry(before)), Some(Row::Tombstone)) => {
                if self.draft.old_entry(*catalog, id).is_some() {
                    self.changed.push(place);
                } else {
                    self.draft.revived.insert((*catalog, id.clone()));
                    self.draft.note_name(*catalog, id, 0);
                    self.draft.entries(*catalog).push((**before).clone());
                }
            }
            (Subject::Entry(catalog, id), Some(Row::Entry(before)), Some(Row::Entry(after))) => {
                self.entry(place, (*catalog, id), before, after);
            }
            (Subject::Entry(catalog, _), None | Some(Row::Tombstone), Some(Row::Entry(after))) => {
                self.remove(*catalog, after);
            }
            // No log has such a delta.
            _ => self.changed.push(place),
        }
        Ok(())
    }

    fn entry(
        &mut self,
        place: String,
        (catalog, id): (Catalog, &EntryId),
        before: &Entry,
        after: &Entry,
    ) {
        let Ok(now) = self.draft.entry(catalog, id) else {
            self.changed.push(place);
            return;
        };
        let held = (now.name.clone(), now.state);
        give(&place, now, before, after, &mut self.changed);
        // If the name is taken, the error then names the entry that has it, not the entry that gets it back.
        if held != (now.name.clone(), now.state) {
            self.draft.note_name(catalog, id, 0);
        }
    }

    /// Undoes the making of an entry: removes it, if it has not changed since.
    fn remove(&mut self, catalog: Catalog, made: &Entry) {
        let Some(now) = self.draft.entries(catalog).get(&made.id).cloned() else {
            self.changed.push(format!("{catalog}/{}", made.id));
            return;
        };
        let same = Entry { rank: now.rank, audit: now.audit.clone(), ..made.clone() } == now;
        if same {
            self.draft.entries(catalog).remove(&made.id);
            return;
        }
        let delta = Delta::entry(catalog, Some(made.clone()), now);
        let fields = delta.fields().into_iter().filter(|field| *field != "position");
        self.changed.extend(fields.map(|field| format!("{}.{field}", delta.subject.place())));
    }

    /// Undoes the change of a location. A location that the change made is archived, since locations cannot be deleted.
    fn business(
        &mut self,
        place: &str,
        id: &BusinessId,
        before: Option<&Business>,
        after: &Business,
    ) {
        let Ok(now) = self.draft.business(id) else {
            self.changed.push(place.to_owned());
            return;
        };
        let archived = || Business { state: State::Archived, ..after.clone() };
        let before = before.cloned().unwrap_or_else(archived);
        give(place, now, &before, after, &mut self.changed);
    }
}

/// Gives a row the values from before a change, and adds the fields to `changed` that no longer have
/// the values from after it.
fn give<T: Fields>(place: &str, now: &mut T, before: &T, after: &T, changed: &mut Vec<String>) {
    for field in T::FIELDS.iter().filter(|field| !(field.is_same)(before, after)) {
        match (field.is_same)(now, after) {
            true => (field.copy)(now, before),
            false => changed.push(format!("{place}.{}", field.name)),
        }
    }
}
