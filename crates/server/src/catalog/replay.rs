//! Rebuilds a company or a key from its log, forward and back.

use super::{
    company::{Business, Company},
    delta::{Delta, Row},
    entry::{Entry, Revision},
    key::Key,
    rows::{HasId, Rows},
    settings::{Settings, Subject},
    time::Timestamp,
};

/// A stream at some place in its log. A new replay costs as much as the stream has rows, and each
/// line costs its changes.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    state: Option<State>,
    revision: Revision,
    changed_time: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum State {
    Company(Box<CompanyState>),
    Key(Box<Key>),
}

#[derive(Clone, Debug)]
struct CompanyState {
    company: Company,
    businesses: Rows<Business>,
    catalogs: [Rows<Entry>; 4],
}

/// The deltas do not belong to the state that they were applied to.
#[derive(Debug, PartialEq, Eq)]
pub struct DoesNotApply;

/// Applies one change's deltas to a company. `None` is a company that does not exist yet.
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

/// Reverses one change's deltas: from the state after it to the state before it, which was at `revision` since `time`.
///
/// The change that made the company cannot be reversed.
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
        let state = Box::new(CompanyState { company, businesses, catalogs });
        Self { state: Some(State::Company(state)), revision, changed_time: Some(changed_time) }
    }
}

impl From<Key> for Replay {
    fn from(key: Key) -> Self {
        let (revision, changed_time) = (key.audit.revision, None);
        Self { state: Some(State::Key(Box::new(key))), revision, changed_time }
    }
}

impl Replay {
    /// The current revision; 0 before the first line.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The time of the current revision, as far as lines or settings named it.
    pub fn changed_time(&self) -> Option<Timestamp> {
        self.changed_time
    }

    /// Corrects the time of the current revision.
    pub fn set_changed_time(&mut self, time: Timestamp) {
        self.changed_time = Some(time);
    }

    /// The company at the current revision; `None` before the first line. It shares its rows with the replay: if the
    /// caller still holds it when the replay goes on, the changed rows are copied.
    pub fn settings(&mut self) -> Option<Settings> {
        let (revision, changed_time) = (self.revision, self.changed_time?);
        match &mut self.state {
            Some(State::Company(state)) => Some(state.settings(revision, changed_time)),
            Some(State::Key(_)) | None => None,
        }
    }

    /// The key at the current revision; `None` before the first line.
    pub fn key(&self) -> Option<&Key> {
        if let Some(State::Key(key)) = &self.state { Some(key) } else { None }
    }

    /// Applies the line that made `revision`. After an error the replay is of no use.
    pub fn apply(
        &mut self,
        revision: Revision,
        time: Timestamp,
        deltas: &[Delta],
    ) -> Result<(), DoesNotApply> {
        for Delta { subject, before, after } in deltas {
            match (&mut self.state, subject, before, after) {
                (None, Subject::Company, None, Some(Row::Company(made))) => {
                    let state = CompanyState::new((**made).clone());
                    self.state = Some(State::Company(Box::new(state)));
                }
                (None, Subject::Key(_), None, Some(Row::Key(made))) => {
                    self.state = Some(State::Key(made.clone()));
                }
                (Some(state), subject, before, after) => {
                    state.exchange(subject, before.as_ref(), after.as_ref())?;
                }
                _ => return Err(DoesNotApply),
            }
        }
        self.moved_to(revision, time)
    }

    /// Reverses a line, to the state that was at `revision` since `time`. After an error the replay is of no use.
    pub fn unapply(
        &mut self,
        revision: Revision,
        time: Timestamp,
        deltas: &[Delta],
    ) -> Result<(), DoesNotApply> {
        let state = self.state.as_mut().ok_or(DoesNotApply)?;
        for delta in deltas.iter().rev() {
            state.exchange(&delta.subject, delta.after.as_ref(), delta.before.as_ref())?;
        }
        self.moved_to(revision, time)
    }

    fn moved_to(&mut self, revision: Revision, time: Timestamp) -> Result<(), DoesNotApply> {
        (self.revision, self.changed_time) = (revision, Some(time));
        self.state.is_some().then_some(()).ok_or(DoesNotApply)
    }
}

impl State {
    fn exchange(
        &mut self,
        subject: &Subject,
        from: Option<&Row>,
        to: Option<&Row>,
    ) -> Result<(), DoesNotApply> {
        match (self, subject, from, to) {
            (Self::Company(state), subject, from, to) => state.exchange(subject, from, to),
            (Self::Key(key), Subject::Key(_), Some(Row::Key(from)), Some(Row::Key(to)))
                if key == from =>
            {
                key.clone_from(to);
                Ok(())
            }
            (Self::Key(_), ..) => Err(DoesNotApply),
        }
    }
}

impl CompanyState {
    fn new(company: Company) -> Self {
        Self {
            company,
            businesses: Rows::of(Default::default()),
            catalogs: [(); 4].map(|()| Rows::of(Default::default())),
        }
    }

    fn settings(&mut self, revision: Revision, changed_time: Timestamp) -> Settings {
        self.businesses.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        for entries in &mut self.catalogs {
            entries.sort_by(|a, b| a.rank.cmp(&b.rank));
        }
        Settings {
            company: self.company.clone(),
            revision,
            changed_time,
            businesses: self.businesses.rows().clone(),
            catalogs: self.catalogs.each_ref().map(|entries| entries.rows().clone()),
        }
    }

    /// Replaces a row by another. The row must be there, and be equal to `from`.
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
            (Subject::Company | Subject::Catalog(_) | Subject::Key(_), ..) => Err(DoesNotApply),
        }
    }
}

/// The row on a side of a delta; none if it is not made yet or deleted.
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
