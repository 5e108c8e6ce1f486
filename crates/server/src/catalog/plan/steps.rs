//! Planning single steps and batches of them.

use std::collections::HashSet;

use super::{Stamp, draft::Draft};
use crate::catalog::{
    change::{BusinessPatch, CompanyPatch, ContactDraft, EntryPatch, Step},
    company::{Business, Company, Contact, MAX_BUSINESSES},
    entry::{Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Kind, MOST_NAMED, Result, Violation, few},
    etag::Etag,
    id::{BusinessId, CompanyId, EntryId},
    rows::Rows,
    settings::{Settings, Subject},
};

/// Makes the steps one after the other. The error of a batch names the step that cannot be made.
pub(super) fn drafted<'a>(
    company: &CompanyId,
    current: Option<&'a Settings>,
    steps: &[Step],
    is_batch: bool,
    stamp: &Stamp<'_>,
) -> Result<(Draft<'a>, Vec<Subject>)> {
    let at = |index: usize, error: Error| match is_batch {
        true => Error::in_batch(index, error),
        false => error,
    };
    let (mut draft, mut subjects, rest) = match (current, steps) {
        (Some(current), steps) => (Draft::of(current), vec![], steps),
        (None, [Step::CreateCompany { patch }, rest @ ..]) => {
            let made = new_company(company, patch, stamp).map_err(|error| at(0, error))?;
            (Draft::new(made, stamp), vec![Subject::Company], rest)
        }
        (None, _) => {
            return Err(Error::NotFound { kind: Kind::Company, id: company.to_string() });
        }
    };
    for step in rest {
        let index = subjects.len();
        let mut making = Making { draft: &mut draft, stamp, index };
        let made = check_etag(current, step, making.draft).and_then(|()| making.step(step));
        subjects.push(made.map_err(|error| at(index, error))?);
    }
    draft.check().map_err(|(index, error)| match index {
        Some(index) => at(index, error),
        None => error,
    })?;
    Ok((draft, subjects))
}

/// Refuses a step if its etag is not that of the thing before the first step: callers can know no other state, so the
/// steps of a batch do not make each other's etags wrong. The step itself refuses a thing that does not exist.
fn check_etag(current: Option<&Settings>, step: &Step, draft: &mut Draft<'_>) -> Result<()> {
    let Some((subject, etag)) = step.expected() else { return Ok(()) };
    let actual = current.and_then(|current| match &subject {
        Subject::Company => Some(current.company.etag()),
        Subject::Business(id) => draft.old_business(id).map(Business::etag),
        Subject::Entry(catalog, id) => draft.old_entry(*catalog, id).map(Entry::etag),
        Subject::Catalog(catalog) => Some(current.catalog_etag(*catalog)),
        Subject::Key(_) => None,
    });
    match actual {
        Some(actual) => expect(Some(etag), &actual, || subject.to_string()),
        // An earlier step made the thing, so the caller cannot know an etag of it.
        None if draft.has(&subject) => Err(mismatch(subject.to_string())),
        None => Ok(()),
    }
}

/// The step that is being made.
struct Making<'a, 'b> {
    draft: &'a mut Draft<'b>,
    stamp: &'a Stamp<'a>,
    index: usize,
}

impl Making<'_, '_> {
    fn step(&mut self, step: &Step) -> Result<Subject> {
        match step {
            Step::CreateEntry { catalog, id, patch, .. } => {
                self.create_entry(*catalog, id.as_ref(), patch)
            }
            Step::UpdateEntry { catalog, id, patch, .. } => self.update_entry(*catalog, id, patch),
            Step::ArchiveEntry { catalog, id, successor, .. } => {
                self.archive_entry(*catalog, id, successor.as_ref())
            }
            Step::RestoreEntry { catalog, id, .. } => self.restore_entry(*catalog, id),
            Step::DeleteEntry { catalog, id, .. } => self.delete_entry(*catalog, id),
            Step::ReorderEntries { catalog, ids, .. } => self.reorder_entries(*catalog, ids),
            Step::CreateCompany { .. } => {
                let id = self.draft.company.id.to_string();
                Err(Error::IdTaken { kind: Kind::Company, id, catalog: None })
            }
            Step::UpdateCompany { patch, .. } => {
                let company = &mut self.draft.company;
                same_state("company.state", patch.state, company.state)?;
                set(&mut company.name, patch.name.as_ref());
                set(&mut company.country, patch.country.as_ref());
                set(&mut company.timezone, patch.timezone.as_ref());
                Ok(Subject::Company)
            }
            Step::SetCompanyState { state, .. } => {
                self.draft.company.state = *state;
                Ok(Subject::Company)
            }
            Step::CreateBusiness { id, patch } => self.create_business(id.as_ref(), patch),
            Step::UpdateBusiness { id, patch, .. } => {
                update_business(self.draft.business(id)?, patch)?;
                Ok(Subject::Business(id.clone()))
            }
            Step::SetBusinessState { id, state, .. } => {
                self.draft.business(id)?.state = *state;
                Ok(Subject::Business(id.clone()))
            }
        }
    }

    fn create_entry(
        &mut self,
        catalog: Catalog,
        id: Option<&EntryId>,
        patch: &EntryPatch,
    ) -> Result<Subject> {
        let name = patch.name.clone().ok_or_else(|| required("entry.name"))?;
        same_state("entry.state", patch.state, State::Active)?;
        let mut entry = self.stamp.new_entry(catalog, id, name);
        let id = entry.id.clone();
        let was_there = self.draft.old_entry(catalog, &id).is_some();
        if was_there || self.draft.entries(catalog).get(&id).is_some() {
            let catalog = Some(catalog);
            return Err(Error::IdTaken { kind: Kind::Entry, id: id.to_string(), catalog });
        }
        if self.draft.entries(catalog).len() >= MAX_ENTRIES {
            return Err(self.draft.too_many(catalog));
        }
        let tally = self.draft.tally(catalog);
        let is_first = tally.active == 0;
        entry.rank = tally.next_rank;
        entry.description = patch.description.clone().unwrap_or_default();
        entry.color = patch.color.unwrap_or_default();
        self.draft.add(catalog, entry);
        self.draft.note_name(catalog, &id, self.index);
        if is_first && catalog.has_default() {
            self.draft.set_default(catalog, Some(&id));
        } else if patch.is_default == Some(true) {
            self.make_default(catalog, &id)?;
        }
        Ok(Subject::Entry(catalog, id))
    }

    fn update_entry(
        &mut self,
        catalog: Catalog,
        id: &EntryId,
        patch: &EntryPatch,
    ) -> Result<Subject> {
        let entry = self.draft.entry(catalog, id)?;
        let was_default = entry.is_default;
        same_state("entry.state", patch.state, entry.state)?;
        set(&mut entry.name, patch.name.as_ref());
        set(&mut entry.description, patch.description.as_ref());
        set(&mut entry.color, patch.color.as_ref());
        if patch.name.is_some() {
            self.draft.note_name(catalog, id, self.index);
        }
        match patch.is_default {
            Some(true) if !was_default => self.make_default(catalog, id)?,
            Some(false) if was_default => {
                return Err(Error::Precondition {
                    reason: "DEFAULT_NEEDED",
                    message: format!(
                        "{id} is the default of {catalog}, and there must be one: set is_default of another entry to true instead"
                    ),
                    facts: facts(catalog, id),
                });
            }
            _ => {}
        }
        Ok(Subject::Entry(catalog, id.clone()))
    }

    fn make_default(&mut self, catalog: Catalog, id: &EntryId) -> Result<()> {
        if !catalog.has_default() {
            let description = "must not be true: only life_cycles have a default";
            return Err(Error::invalid("entry.is_default", "NO_DEFAULT", description));
        }
        if !self.draft.entry(catalog, id)?.is_active() {
            return Err(Error::Precondition {
                reason: "ARCHIVED",
                message: format!("{id} is archived and cannot be the default: restore it first"),
                facts: facts(catalog, id),
            });
        }
        self.draft.set_default(catalog, Some(id));
        Ok(())
    }

    fn archive_entry(
        &mut self,
        catalog: Catalog,
        id: &EntryId,
        successor: Option<&EntryId>,
    ) -> Result<Subject> {
        let subject = Subject::Entry(catalog, id.clone());
        if let Some(successor) = successor {
            self.check_successor(catalog, id, successor)?;
        }
        let entry = self.draft.entry(catalog, id)?;
        let (was_active, was_default) = (entry.is_active(), entry.is_default);
        if let Some(successor) = successor.filter(|_| !was_default) {
            // A repeated request finds the default changed already.
            if was_active || !self.draft.entry(catalog, successor)?.is_default {
                let description = format!("must be empty: {id} is not the default of {catalog}");
                return Err(Error::invalid("successor_id", "NOT_THE_DEFAULT", description));
            }
        }
        if !was_active {
            return Ok(subject);
        }
        self.draft.set_state(catalog, id, State::Archived)?;
        if was_default && self.draft.tally(catalog).active == 0 {
            self.draft.set_default(catalog, None);
        } else if was_default {
            let Some(successor) = successor else {
                return Err(Error::Precondition {
                    reason: "SUCCESSOR_NEEDED",
                    message: format!(
                        "{id} is the default of {catalog}: name the active entry that takes over in successor_id"
                    ),
                    facts: facts(catalog, id),
                });
            };
            self.draft.set_default(catalog, Some(successor));
        }
        Ok(subject)
    }

    fn check_successor(
        &mut self,
        catalog: Catalog,
        id: &EntryId,
        successor: &EntryId,
    ) -> Result<()> {
        let refuse =
            |reason, description: &str| Err(Error::invalid("successor_id", reason, description));
        if !catalog.has_default() {
            return refuse(
                "NO_DEFAULT",
                "must be empty: only life_cycles have a default to hand over",
            );
        }
        if successor == id {
            return refuse("SAME_ENTRY", "must be another entry than the archived one");
        }
        match self.draft.entry(catalog, successor) {
            Ok(entry) if entry.is_active() => Ok(()),
            Ok(_) => refuse("ARCHIVED", "must be an active entry; this one is archived"),
            Err(_) => refuse("UNKNOWN_ID", &format!("is no entry of {catalog}")),
        }
    }

    fn restore_entry(&mut self, catalog: Catalog, id: &EntryId) -> Result<Subject> {
        let subject = Subject::Entry(catalog, id.clone());
        if self.draft.entry(catalog, id)?.is_active() {
            return Ok(subject);
        }
        self.draft.set_state(catalog, id, State::Active)?;
        if self.draft.tally(catalog).active == 1 && catalog.has_default() {
            self.draft.set_default(catalog, Some(id));
        }
        self.draft.note_name(catalog, id, self.index);
        Ok(subject)
    }

    fn delete_entry(&mut self, catalog: Catalog, id: &EntryId) -> Result<Subject> {
        if self.draft.entry(catalog, id)?.is_active() {
            return Err(Error::Precondition {
                reason: "NOT_ARCHIVED",
                message: format!("{id} is in use: archive it first, then delete it"),
                facts: facts(catalog, id),
            });
        }
        self.draft.entries(catalog).remove(id);
        Ok(Subject::Entry(catalog, id.clone()))
    }

    /// Gives the active entries' ranks out again, in the order of the ids.
    fn reorder_entries(&mut self, catalog: Catalog, ids: &[EntryId]) -> Result<Subject> {
        let active = self.draft.tally(catalog).active;
        let entries = self.draft.entries(catalog);
        check_order(catalog, entries, active, ids)?;
        let mut ranks: Vec<u32> = ids.iter().filter_map(|id| Some(entries.get(id)?.rank)).collect();
        ranks.sort_unstable();
        for (id, rank) in ids.iter().zip(ranks) {
            if entries.get(id).is_some_and(|entry| entry.rank != rank)
                && let Some(entry) = entries.get_mut(id)
            {
                entry.rank = rank;
            }
        }
        Ok(Subject::Catalog(catalog))
    }

    fn create_business(
        &mut self,
        id: Option<&BusinessId>,
        patch: &BusinessPatch,
    ) -> Result<Subject> {
        let name = patch.name.clone().ok_or_else(|| required("business.name"))?;
        let mut business = self.stamp.new_business(id, name);
        let id = business.id.clone();
        if self.draft.business(&id).is_ok() {
            let id = id.to_string();
            return Err(Error::IdTaken { kind: Kind::Business, id, catalog: None });
        }
        if self.draft.businesses.len() >= MAX_BUSINESSES {
            let archived = self.draft.businesses.iter().filter(|one| one.state != State::Active);
            return Err(Error::TooMany {
                what: "locations of the company".to_owned(),
                most: MAX_BUSINESSES,
                archived: archived.count(),
            });
        }
        update_business(&mut business, patch)?;
        self.draft.businesses.push(business);
        Ok(Subject::Business(id))
    }
}

fn new_company(id: &CompanyId, patch: &CompanyPatch, stamp: &Stamp<'_>) -> Result<Company> {
    same_state("company.state", patch.state, State::Active)?;
    let name = patch.name.clone().ok_or_else(|| required("company.name"))?;
    let mut company = stamp.new_company(id, name);
    set(&mut company.country, patch.country.as_ref());
    set(&mut company.timezone, patch.timezone.as_ref());
    Ok(company)
}

fn update_business(business: &mut Business, patch: &BusinessPatch) -> Result<()> {
    same_state("business.state", patch.state, business.state)?;
    set(&mut business.name, patch.name.as_ref());
    set(&mut business.address, patch.address.as_ref());
    set_contact(&mut business.contact, &patch.contact);
    Ok(())
}

/// Refuses a state that is not the thing's own: its sender wants to change it, and patches do not.
fn same_state(field: &str, sent: Option<State>, own: State) -> Result<()> {
    let Some(sent) = sent.filter(|sent| *sent != own) else { return Ok(()) };
    let (own, method) = match sent {
        State::Archived => ("ACTIVE", "archive"),
        State::Active => ("ARCHIVED", "restore"),
    };
    let description =
        format!("must be left out or be {own}, as it is: the method {method} changes it");
    Err(Error::invalid(field, "NOT_SETTABLE", description))
}

/// Sets the fields that the draft has.
pub(super) fn set_contact(contact: &mut Contact, draft: &ContactDraft) {
    let drafted = [
        &draft.avatar,
        &draft.phone,
        &draft.business_phone,
        &draft.email,
        &draft.website,
        &draft.facebook,
        &draft.instagram,
        &draft.yelp,
        &draft.google,
    ];
    for (field, given) in contact.texts_mut().into_iter().zip(drafted) {
        set(field, given.as_ref());
    }
}

/// Sets a field to its new value, if there is one.
pub(super) fn set<T: Clone>(field: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        field.clone_from(given);
    }
}

/// Refuses the change of a thing whose etag is not the one that the caller sent.
pub(super) fn expect(etag: Option<&Etag>, actual: &Etag, what: impl Fn() -> String) -> Result<()> {
    match etag {
        Some(etag) if etag != actual => Err(mismatch(what())),
        _ => Ok(()),
    }
}

fn mismatch(what: String) -> Error {
    Error::EtagMismatch { what, was_its: false, since: Vec::new() }
}

fn required(field: &str) -> Error {
    Error::invalid(field, "REQUIRED", "is required")
}

/// The facts of an error about one entry.
fn facts(catalog: Catalog, id: &EntryId) -> Vec<(&'static str, String)> {
    vec![("catalog", catalog.to_string()), ("id", id.to_string())]
}

/// Checks that the ids are those of all active entries, each once.
fn check_order(
    catalog: Catalog,
    entries: &mut Rows<Entry>,
    active: usize,
    ids: &[EntryId],
) -> Result<()> {
    if ids.len() > entries.len() {
        let (given, held) = (ids.len(), entries.len());
        let description = format!(
            "must name each active entry once: these are {given} ids, and {catalog} has {held} entries"
        );
        return Err(Error::invalid("ids", "OUT_OF_RANGE", description));
    }
    let mut given = HashSet::with_capacity(ids.len());
    let (mut repeated, mut unknown, mut archived) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        if !given.insert(id) {
            repeated.push(id);
        }
        match entries.get(id) {
            None => unknown.push(id),
            Some(entry) if !entry.is_active() => archived.push(id),
            Some(_) => {}
        }
    }
    if repeated.is_empty() && unknown.is_empty() && archived.is_empty() && ids.len() == active {
        return Ok(());
    }
    let all_active = entries.iter().filter(|entry| entry.is_active()).map(|entry| &entry.id);
    let missing = all_active.filter(|id| !given.contains(id)).collect();
    let unknown_ids = format!("has ids that {catalog} does not have");
    let violations = [
        ("DUPLICATE", repeated, "names an entry more than once"),
        ("UNKNOWN_ID", unknown, unknown_ids.as_str()),
        ("ARCHIVED", archived, "has archived entries, which keep their places"),
        ("MISSING_ID", missing, "must name all active entries; these are missing"),
    ];
    let violations = violations.into_iter().filter(|(_, ids, _)| !ids.is_empty());
    let violations = violations.map(|(reason, ids, problem)| {
        Violation::new("ids", reason, format!("{problem}: {}", few(&ids, MOST_NAMED)))
    });
    Err(Error::Invalid(violations.collect()))
}
