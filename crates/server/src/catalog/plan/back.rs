//! Planning the way back: undoing one change, and rolling back to a revision.

use super::{Stamp, draft::Draft};
use crate::catalog::{
    company::Business,
    entry::{Catalog, Entry, Revision, State},
    error::{Error, Result},
    rows::Rows,
    settings::{Delta, Settings},
};

/// Gives every field that the change touched the value from before it, if it still has the value
/// that the change gave it.
pub(super) fn undone(
    current: &Settings,
    revision: Revision,
    deltas: &[Delta],
    stamp: &Stamp<'_>,
) -> Result<Vec<Delta>> {
    let mut undoing = Undoing { draft: Draft::of(current), changed: Vec::new() };
    for delta in deltas {
        undoing.delta(delta, revision)?;
    }
    let Undoing { mut draft, changed } = undoing;
    if !changed.is_empty() {
        return Err(Error::ChangedSince { revision, fields: changed, since: Vec::new() });
    }
    finish(&mut draft, stamp)
}

/// Gives everything the state of the target. Locations that were made since are archived, as
/// they cannot be deleted.
pub(super) fn rolled_back(
    current: &Settings,
    target: &Settings,
    stamp: &Stamp<'_>,
) -> Result<Vec<Delta>> {
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
    finish(&mut draft, stamp)
}

fn finish(draft: &mut Draft<'_>, stamp: &Stamp<'_>) -> Result<Vec<Delta>> {
    for catalog in Catalog::ALL {
        draft.settle_ranks(catalog);
    }
    draft.check().map_err(|(_, error)| error)?;
    Ok(draft.deltas(stamp))
}

struct Undoing<'a> {
    draft: Draft<'a>,
    /// The fields that no longer have the value that the change gave them.
    changed: Vec<String>,
}

impl Undoing<'_> {
    fn delta(&mut self, delta: &Delta, revision: Revision) -> Result<()> {
        match delta {
            Delta::Company { before: None, .. } => {
                return Err(Error::Precondition {
                    reason: "FIRST_CHANGE",
                    message: format!(
                        "revision {revision} made the company and cannot be undone: archive the company instead"
                    ),
                });
            }
            Delta::Company { before: Some(before), after } => {
                let now = &mut self.draft.company;
                let mut fields = Fields { of: "company", changed: &mut self.changed };
                fields.give("name", &mut now.name, &before.name, &after.name);
                fields.give("country", &mut now.country, &before.country, &after.country);
                fields.give("timezone", &mut now.timezone, &before.timezone, &after.timezone);
                fields.give("state", &mut now.state, &before.state, &after.state);
            }
            Delta::Business { before, after } => self.business(before.as_deref(), after),
            Delta::Entry { catalog, before: Some(before), after } => {
                self.entry(*catalog, before, after);
            }
            Delta::Entry { catalog, before: None, after } | Delta::Revived { catalog, after } => {
                self.remove(*catalog, after);
            }
            Delta::Deleted { catalog, before } => {
                if self.draft.old_entry(*catalog, &before.id).is_some() {
                    self.changed.push(format!("{catalog}/{}", before.id));
                } else {
                    self.draft.revived.insert((*catalog, before.id.clone()));
                    self.draft.note_name(*catalog, &before.id, 0);
                    self.draft.entries(*catalog).push((**before).clone());
                }
            }
            Delta::Moved { catalog, id, from, to } => {
                let of = format!("{catalog}/{id}");
                match self.draft.entry(*catalog, id) {
                    Ok(now) => {
                        let mut fields = Fields { of: &of, changed: &mut self.changed };
                        fields.give("position", &mut now.rank, from, to);
                    }
                    Err(_) => self.changed.push(of),
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, catalog: Catalog, before: &Entry, after: &Entry) {
        let of = format!("{catalog}/{}", after.id);
        let Ok(now) = self.draft.entry(catalog, &after.id) else {
            self.changed.push(of);
            return;
        };
        let held = (now.name.clone(), now.state);
        let mut fields = Fields { of: &of, changed: &mut self.changed };
        fields.give("name", &mut now.name, &before.name, &after.name);
        fields.give("description", &mut now.description, &before.description, &after.description);
        fields.give("color", &mut now.color, &before.color, &after.color);
        fields.give("is_default", &mut now.is_default, &before.is_default, &after.is_default);
        fields.give("state", &mut now.state, &before.state, &after.state);
        fields.give("position", &mut now.rank, &before.rank, &after.rank);
        // Where its name is taken, the one that has it is in the way, and not the one that comes back.
        if held != (now.name.clone(), now.state) {
            self.draft.note_name(catalog, &after.id, 0);
        }
    }

    /// Takes back that an entry was made: it goes, if it still is as it was made.
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
        let delta =
            Delta::Entry { catalog, before: Some(Box::new(made.clone())), after: Box::new(now) };
        let fields = delta.fields().into_iter().filter(|field| *field != "position");
        self.changed.extend(fields.map(|field| format!("{}.{field}", delta.place())));
    }

    /// A location that was made is archived, since locations cannot be deleted.
    fn business(&mut self, before: Option<&Business>, after: &Business) {
        let of = format!("businesses/{}", after.id);
        let Ok(now) = self.draft.business(&after.id) else {
            self.changed.push(of);
            return;
        };
        let mut fields = Fields { of: &of, changed: &mut self.changed };
        let Some(before) = before else {
            fields.give("state", &mut now.state, &State::Archived, &after.state);
            return;
        };
        fields.give("name", &mut now.name, &before.name, &after.name);
        fields.give("address", &mut now.address, &before.address, &after.address);
        fields.give("state", &mut now.state, &before.state, &after.state);
        let texts = now.contact.texts_mut().into_iter().zip(before.contact.texts());
        for ((name, (now, before)), after) in
            crate::catalog::company::CONTACT_FIELDS.iter().zip(texts).zip(after.contact.texts())
        {
            fields.give(name, now, before, after);
        }
    }
}

/// Gives fields of one thing their old values.
struct Fields<'a> {
    of: &'a str,
    changed: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn give<T: PartialEq + Clone>(&mut self, name: &str, now: &mut T, before: &T, after: &T) {
        if before == after {
            return;
        }
        if now == after {
            now.clone_from(before);
        } else {
            self.changed.push(format!("{}.{name}", self.of));
        }
    }
}
