//! How a change log rebuilds a company, forward and back.

use super::{
    company::{Business, Company},
    entry::{Entry, Revision},
    rows::{Row, Rows},
    settings::{Delta, Settings},
    time::Timestamp,
};

/// A company on its way along its log. To begin costs what the company has, and each line what it changes.
#[derive(Clone, Debug, Default)]
pub struct Replay(Option<State>);

#[derive(Clone, Debug)]
struct State {
    company: Company,
    revision: Revision,
    changed_time: Timestamp,
    businesses: Rows<Business>,
    catalogs: [Rows<Entry>; 4],
}

/// The deltas do not belong to the state that they were applied to.
#[derive(Debug, PartialEq, Eq)]
pub struct DoesNotApply;

/// Applies one change's deltas to a company; `None` is a company that does not exist yet.
///
/// Fails only if the deltas do not belong to this state, which a damaged store can cause.
pub fn apply(
    settings: Option<Settings>,
    revision: Revision,
    time: Timestamp,
    deltas: &[Delta],
) -> Result<Settings, DoesNotApply> {
    let mut replay = settings.map_or_else(Replay::default, Replay::from);
    replay.apply(revision, time, deltas)?;
    replay.settings().ok_or(DoesNotApply)
}

/// Takes one change's deltas back: from the state after it to the state before it, which was at
/// `revision` since `time`.
///
/// The change that made the company cannot be taken back.
pub fn unapply(
    settings: Settings,
    revision: Revision,
    time: Timestamp,
    deltas: &[Delta],
) -> Result<Settings, DoesNotApply> {
    let mut replay = Replay::from(settings);
    replay.unapply(revision, time, deltas)?;
    replay.settings().ok_or(DoesNotApply)
}

impl From<Settings> for Replay {
    fn from(settings: Settings) -> Self {
        let Settings { company, revision, changed_time, businesses, catalogs } = settings;
        let (businesses, catalogs) = (Rows::of(businesses), catalogs.map(Rows::of));
        Self(Some(State { company, revision, changed_time, businesses, catalogs }))
    }
}

impl Replay {
    /// Where it is; 0 before the first line.
    pub fn revision(&self) -> Revision {
        self.0.as_ref().map_or_else(Revision::default, |state| state.revision)
    }

    /// Since when it is there.
    pub fn changed_time(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|state| state.changed_time)
    }

    /// Corrects since when it is there.
    pub fn set_changed_time(&mut self, time: Timestamp) {
        if let Some(state) = &mut self.0 {
            state.changed_time = time;
        }
    }

    /// The company there; `None` before the first line. It shares its rows: whoever goes on while it is kept makes them
    /// be copied.
    pub fn settings(&mut self) -> Option<Settings> {
        self.0.as_mut().map(State::settings)
    }

    /// Goes forward by a line that made the revision. After a failure it is of no use.
    pub fn apply(
        &mut self,
        revision: Revision,
        time: Timestamp,
        deltas: &[Delta],
    ) -> Result<(), DoesNotApply> {
        for delta in deltas {
            match (&mut self.0, delta) {
                (None, Delta::Company { before: None, after }) => {
                    self.0 = Some(State::new((**after).clone()));
                }
                (Some(state), delta) => state.apply(delta)?,
                (None, _) => return Err(DoesNotApply),
            }
        }
        let state = self.0.as_mut().ok_or(DoesNotApply)?;
        (state.revision, state.changed_time) = (revision, time);
        Ok(())
    }

    /// Goes back to the state before a line, which was at `revision` since `time`. After a failure it is of no use.
    pub fn unapply(
        &mut self,
        revision: Revision,
        time: Timestamp,
        deltas: &[Delta],
    ) -> Result<(), DoesNotApply> {
        let state = self.0.as_mut().ok_or(DoesNotApply)?;
        for delta in deltas.iter().rev() {
            state.unapply(delta)?;
        }
        (state.revision, state.changed_time) = (revision, time);
        Ok(())
    }
}

impl State {
    fn new(company: Company) -> Self {
        Self {
            company,
            revision: Revision::default(),
            changed_time: Timestamp::from_micros(0),
            businesses: Rows::of(Default::default()),
            catalogs: [(); 4].map(|()| Rows::of(Default::default())),
        }
    }

    fn settings(&mut self) -> Settings {
        self.businesses.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        for entries in &mut self.catalogs {
            entries.sort_by(|a, b| a.rank.cmp(&b.rank));
        }
        Settings {
            company: self.company.clone(),
            revision: self.revision,
            changed_time: self.changed_time,
            businesses: self.businesses.rows().clone(),
            catalogs: self.catalogs.each_ref().map(|entries| entries.rows().clone()),
        }
    }

    fn unapply(&mut self, delta: &Delta) -> Result<(), DoesNotApply> {
        let inverse = match delta {
            Delta::Company { before, after } => Delta::Company {
                before: Some(after.clone()),
                after: before.clone().ok_or(DoesNotApply)?,
            },
            Delta::Business { before: None, after } => return remove(&mut self.businesses, after),
            Delta::Business { before: Some(before), after } => {
                Delta::Business { before: Some(after.clone()), after: before.clone() }
            }
            Delta::Entry { catalog, before: None, after } | Delta::Revived { catalog, after } => {
                Delta::Deleted { catalog: *catalog, before: after.clone() }
            }
            Delta::Entry { catalog, before: Some(before), after } => Delta::Entry {
                catalog: *catalog,
                before: Some(after.clone()),
                after: before.clone(),
            },
            Delta::Deleted { catalog, before } => {
                Delta::Revived { catalog: *catalog, after: before.clone() }
            }
            Delta::Moved { catalog, id, from, to } => {
                Delta::Moved { catalog: *catalog, id: id.clone(), from: *to, to: *from }
            }
        };
        self.apply(&inverse)
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), DoesNotApply> {
        match delta {
            Delta::Company { before, after } => {
                if before.as_deref() != Some(&self.company) {
                    return Err(DoesNotApply);
                }
                self.company = (**after).clone();
                Ok(())
            }
            Delta::Business { before, after } => {
                replace(&mut self.businesses, before.as_deref(), after)
            }
            Delta::Entry { catalog, before, after } => {
                replace(&mut self.catalogs[catalog.index()], before.as_deref(), after)
            }
            Delta::Deleted { catalog, before } => {
                remove(&mut self.catalogs[catalog.index()], before)
            }
            Delta::Revived { catalog, after } => {
                replace(&mut self.catalogs[catalog.index()], None, after)
            }
            Delta::Moved { catalog, id, from, to } => {
                let entry = self.catalogs[catalog.index()].get_mut(id).ok_or(DoesNotApply)?;
                if entry.rank != *from {
                    return Err(DoesNotApply);
                }
                entry.rank = *to;
                Ok(())
            }
        }
    }
}

fn remove<T: Row + PartialEq>(rows: &mut Rows<T>, row: &T) -> Result<(), DoesNotApply> {
    match rows.remove(row.id()) {
        Some(removed) if removed == *row => Ok(()),
        _ => Err(DoesNotApply),
    }
}

fn replace<T: Row + PartialEq>(
    rows: &mut Rows<T>,
    before: Option<&T>,
    after: &T,
) -> Result<(), DoesNotApply> {
    match (rows.get_mut(after.id()), before) {
        (None, None) => rows.push(after.clone()),
        (Some(row), Some(before)) if row == before => row.clone_from(after),
        _ => return Err(DoesNotApply),
    }
    Ok(())
}
