//! How a change log rebuilds a company, forward and back.

use super::{
    company::{Business, Company},
    delta::{Delta, Row},
    entry::{Entry, Revision},
    rows::{HasId, Rows},
    settings::{Settings, Subject},
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
            match (&mut self.0, &delta.subject, &delta.before, &delta.after) {
                (None, Subject::Company, None, Some(Row::Company(made))) => {
                    self.0 = Some(State::new((**made).clone()));
                }
                (Some(state), subject, before, after) => {
                    state.exchange(subject, before.as_ref(), after.as_ref())?;
                }
                _ => return Err(DoesNotApply),
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
            state.exchange(&delta.subject, delta.after.as_ref(), delta.before.as_ref())?;
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

    /// Puts a row in another one's place, which must be there as it is said to be.
    fn exchange(
        &mut self,
        subject: &Subject,
        from: Option<&Row>,
        to: Option<&Row>,
    ) -> Result<(), DoesNotApply> {
        match (subject, from, to) {
            (Subject::Company, Some(Row::Company(from)), Some(Row::Company(to)))
                if **from == self.company =>
            {
                self.company = (**to).clone();
                Ok(())
            }
            (Subject::Business(id), from, to) => replace(
                &mut self.businesses,
                id,
                side(from, Row::business)?,
                side(to, Row::business)?,
            ),
            (Subject::Entry(catalog, id), Some(Row::Rank(from)), Some(Row::Rank(to))) => {
                let entry = self.catalogs[catalog.index()].get_mut(id).ok_or(DoesNotApply)?;
                if entry.rank != *from {
                    return Err(DoesNotApply);
                }
                entry.rank = *to;
                Ok(())
            }
            (Subject::Entry(catalog, id), from, to) => {
                let entries = &mut self.catalogs[catalog.index()];
                replace(entries, id, side(from, Row::entry)?, side(to, Row::entry)?)
            }
            (Subject::Company | Subject::Catalog(_), ..) => Err(DoesNotApply),
        }
    }
}

/// The row on a side of a delta; nothing where it was not made yet, or is deleted.
fn side<'a, T>(
    row: Option<&'a Row>,
    of: impl Fn(&'a Row) -> Option<&'a T>,
) -> Result<Option<&'a T>, DoesNotApply> {
    match row {
        None | Some(Row::Tombstone) => Ok(None),
        Some(row) => of(row).map(Some).ok_or(DoesNotApply),
    }
}

fn replace<T: HasId + PartialEq>(
    rows: &mut Rows<T>,
    id: &T::Id,
    from: Option<&T>,
    to: Option<&T>,
) -> Result<(), DoesNotApply> {
    if to.is_some_and(|to| to.id() != id) {
        return Err(DoesNotApply);
    }
    match (from, to) {
        (None, Some(to)) if rows.get(id).is_none() => rows.push(to.clone()),
        (Some(from), None) if rows.remove(id).as_ref() == Some(from) => {}
        (Some(from), Some(to)) => match rows.get_mut(id) {
            Some(row) if row == from => row.clone_from(to),
            _ => return Err(DoesNotApply),
        },
        _ => return Err(DoesNotApply),
    }
    Ok(())
}
