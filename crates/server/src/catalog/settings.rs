//! All of one company at one revision, and how a change log rebuilds it.

use super::{
    company::{Business, Company},
    entry::{Catalog, Entry, Revision},
    id::EntryId,
    time::Timestamp,
};

/// A company, its locations and its four catalogs at one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The company.
    pub company: Company,
    /// How many changes it has seen.
    pub revision: Revision,
    /// When the last of them was.
    pub changed_time: Timestamp,
    /// Its locations, by name and then id.
    pub businesses: Vec<Business>,
    /// The entries of each catalog, active and archived, by rank.
    pub catalogs: [Vec<Entry>; 4],
}

impl Settings {
    /// The entries of a catalog, active and archived, in its order.
    pub fn entries(&self, catalog: Catalog) -> &[Entry] {
        &self.catalogs[catalog.index()]
    }

    /// The active entries of a catalog, in its order.
    pub fn active(&self, catalog: Catalog) -> impl Iterator<Item = &Entry> {
        self.entries(catalog).iter().filter(|entry| entry.is_active())
    }

    /// The entry of that id.
    pub fn entry(&self, catalog: Catalog, id: &EntryId) -> Option<&Entry> {
        self.entries(catalog).iter().find(|entry| entry.id == *id)
    }
}

/// One row that a change touched: what it was and what it became.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// The company itself; no `before` means that it was made.
    Company {
        /// What it was.
        before: Option<Box<Company>>,
        /// What it became.
        after: Box<Company>,
    },
    /// A location; no `before` means that it was made.
    Business {
        /// What it was.
        before: Option<Box<Business>>,
        /// What it became.
        after: Box<Business>,
    },
    /// An entry; no `before` means that it was made.
    Entry {
        /// Of which catalog.
        catalog: Catalog,
        /// What it was.
        before: Option<Box<Entry>>,
        /// What it became.
        after: Box<Entry>,
    },
    /// An entry got another place and nothing else.
    Moved {
        /// Of which catalog.
        catalog: Catalog,
        /// Which entry.
        id: EntryId,
        /// Its rank before.
        from: u32,
        /// Its rank now.
        to: u32,
    },
}

/// Applies one change's deltas to a company; `None` is a company that does not exist yet.
///
/// Fails only if the deltas do not belong to this state, which a damaged store can cause.
pub fn apply(
    settings: Option<Settings>,
    revision: Revision,
    time: Timestamp,
    deltas: &[Delta],
) -> Result<Settings, DoesNotApply> {
    let mut current = settings;
    for delta in deltas {
        match (&mut current, delta) {
            (None, Delta::Company { before: None, after }) => {
                current = Some(Settings {
                    company: (**after).clone(),
                    revision,
                    changed_time: time,
                    businesses: Vec::new(),
                    catalogs: Default::default(),
                });
            }
            (Some(settings), delta) => apply_delta(settings, delta)?,
            (None, _) => return Err(DoesNotApply),
        }
    }
    let mut settings = current.ok_or(DoesNotApply)?;
    settings.revision = revision;
    settings.changed_time = time;
    settings.businesses.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    for entries in &mut settings.catalogs {
        entries.sort_by_key(|entry| entry.rank);
    }
    Ok(settings)
}

/// The deltas do not belong to the state that they were applied to.
#[derive(Debug, PartialEq, Eq)]
pub struct DoesNotApply;

fn apply_delta(settings: &mut Settings, delta: &Delta) -> Result<(), DoesNotApply> {
    match delta {
        Delta::Company { before, after } => {
            if before.as_deref() != Some(&settings.company) {
                return Err(DoesNotApply);
            }
            settings.company = (**after).clone();
            Ok(())
        }
        Delta::Business { before, after } => {
            replace(&mut settings.businesses, |b| b.id == after.id, before.as_deref(), after)
        }
        Delta::Entry { catalog, before, after } => {
            let entries = &mut settings.catalogs[catalog.index()];
            replace(entries, |e| e.id == after.id, before.as_deref(), after)
        }
        Delta::Moved { catalog, id, from, to } => {
            let entries = &mut settings.catalogs[catalog.index()];
            let entry =
                entries.iter_mut().find(|e| e.id == *id && e.rank == *from).ok_or(DoesNotApply)?;
            entry.rank = *to;
            Ok(())
        }
    }
}

fn replace<T: Clone + PartialEq>(
    rows: &mut Vec<T>,
    is_it: impl Fn(&T) -> bool,
    before: Option<&T>,
    after: &T,
) -> Result<(), DoesNotApply> {
    match (rows.iter_mut().find(|row| is_it(row)), before) {
        (None, None) => rows.push(after.clone()),
        (Some(row), Some(before)) if row == before => *row = after.clone(),
        _ => return Err(DoesNotApply),
    }
    Ok(())
}
