//! Companies at earlier revisions: walks back along the log, from the current state or from a checkpoint.
//!
//! Checkpoints are written beside the requests. A commit offers the state that it made, and a long walk offers states
//! that it passed. If the queue has no room, a state is dropped, since a later walk offers it again.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc};

use super::{long_work::LongWork, settings::MOST_AT_ONCE};
use crate::{
    catalog::{
        access::Grant,
        checkpoint::{self, Checkpoint},
        entry::Revision,
        error::{Cause, Error, Result},
        log::Line,
        replay::{DoesNotApply, Replay},
        settings::Settings,
        stream::{LinePlace, Stream, Streams},
        time::Timestamp,
    },
    clock::Clock,
    store::{CheckpointRow, Store, StoreError, Unreadable},
};

/// Lines that one look-up reads.
const PAGE: u32 = 500;
/// A state within this many lines is near. The pages of a list show the revision of the first page, and must not wait
/// behind requests that look far back.
const NEAR: u32 = 50;
/// The most checkpoints that a request tries although they do not fit the log. After them, the walk
/// begins at the current state.
const MOST_UNFIT: usize = 4;
/// The most states that wait to be written. Each has up to a few megabytes.
const MOST_WAITING: usize = 8;
/// The most states that a walk offers.
const MOST_OFFERED: usize = 8;
/// How long a state waits for a place in which it is written.
const PATIENCE: Duration = Duration::from_secs(60);

/// Finds old states, and writes checkpoints that make this cheap.
pub struct OldStates {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    long_work: Arc<LongWork>,
    offers: mpsc::Sender<Offer>,
    queue: Mutex<mpsc::Receiver<Offer>>,
}

type Offer = (Stream, Arc<Settings>);

impl OldStates {
    /// Old states are found in this store, and checkpoints are written into it.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, long_work: Arc<LongWork>) -> Self {
        let (offers, queue) = mpsc::channel(MOST_WAITING);
        Self { store, clock, long_work, offers, queue: Mutex::new(queue) }
    }

    /// Writes the offered checkpoints, until the future is dropped.
    pub async fn write_checkpoints(&self) {
        // Several servers may share the services. One of them writes at a time.
        let mut queue = self.queue.lock().await;
        while let Some((stream, settings)) = queue.recv().await {
            let (store, deadline) = (self.store.clone(), self.clock.monotonic() + PATIENCE);
            let of = (stream.id().to_owned(), settings.revision.0);
            let write = async move {
                let checkpoint = Checkpoint::of(&settings);
                Ok(store.leave_checkpoint(&stream, &checkpoint).await?)
            };
            if let Err(error) = self.long_work.run(None, deadline, write).await {
                tracing::debug!(of = of.0, revision = of.1, ?error, "no checkpoint was written");
            }
        }
    }

    /// Offers the state after a commit, if a checkpoint is due.
    pub(super) fn committed(&self, grant: &Grant, settings: &Arc<Settings>, line: Option<&Line>) {
        if line.is_some_and(|line| checkpoint::is_due(settings, line)) {
            self.offer(grant.stream().clone(), settings.clone());
        }
    }

    fn offer(&self, stream: Stream, settings: Arc<Settings>) {
        // If the queue is full, the state is offered again later.
        _ = self.offers.try_send((stream, settings));
    }

    /// The company at a revision, if one look-up of the newest lines leads there, and these changed few rows. `None`
    /// says nothing about it.
    pub(super) async fn near(
        &self,
        grant: &Grant,
        current: &Arc<Settings>,
        revision: Revision,
    ) -> Result<Option<Arc<Settings>>> {
        if revision == current.revision {
            return Ok(Some(current.clone()));
        }
        if revision > current.revision || current.revision.0 - revision.0 >= u64::from(NEAR) {
            return Ok(None);
        }
        let mut walk = Walk::from((**current).clone(), revision);
        let lines = walk.read(&*self.store, grant.stream()).await?;
        let taken_back = lines.iter().filter(|line| line.revision > revision);
        if taken_back.map(|line| line.deltas.len()).sum::<usize>() > MOST_AT_ONCE {
            return Ok(None);
        }
        let is_there = walk.take_back(&lines, |_, _| ()).map_err(|_| broken())?;
        Ok(walk.replay.settings().filter(|_| is_there).map(Arc::new))
    }

    /// The company at a revision, found from the nearest checkpoint or from the current state.
    pub(super) async fn at(
        &self,
        grant: &Grant,
        current: Arc<Settings>,
        revision: Revision,
    ) -> Result<Arc<Settings>> {
        if revision == current.revision {
            return Ok(current);
        }
        if revision > current.revision || revision == Revision(0) {
            let now = current.revision;
            let description = format!("must be one of the company's revisions, 1 to {now}");
            return Err(Error::invalid("revision", "OUT_OF_RANGE", description));
        }
        let stream = grant.stream();
        let mut trail = Trail::new(self, stream, checkpoint::spacing(&current));
        let mut from = revision;
        while trail.unfit.len() < MOST_UNFIT
            && let Some(found) = self.checkpoint(stream, from..current.revision).await?
        {
            let (place, found) = match found {
                Ok(checkpoint) => {
                    let walk = Walk::from_checkpoint(&checkpoint, revision);
                    (checkpoint.revision, self.walk(walk, &mut trail).await?)
                }
                Err(Unreadable { place, cause }) => (place, Err(cause)),
            };
            match found {
                Ok(settings) => return Ok(settings),
                Err(cause) => warn(stream, place, &cause),
            }
            // The walk made these states from the unfit checkpoint.
            trail.states.clear();
            trail.unfit.push(place);
            from = place.next();
        }
        let walk = Walk::from(Arc::unwrap_or_clone(current), revision);
        self.walk(Some(walk), &mut trail).await?.map_err(|_| broken())
    }

    /// The first checkpoint among the revisions; `None` if there is none, or if it cannot be read.
    async fn checkpoint(
        &self,
        stream: &Stream,
        among: Range<Revision>,
    ) -> Result<Option<CheckpointRow>> {
        let first = among.start;
        match self.store.checkpoint(stream, among).await {
            Err(StoreError::Damaged(cause)) => {
                warn(stream, first, &cause);
                Ok(None)
            }
            found => Ok(found?),
        }
    }

    /// Follows a walk to its end. The inner error says that the walk does not fit the log.
    async fn walk(
        &self,
        walk: Option<Walk>,
        trail: &mut Trail<'_>,
    ) -> Result<Result<Arc<Settings>, Cause>> {
        let misfit = || Ok(Err(Cause::new("it does not fit the change log")));
        let Some(mut walk) = walk else { return misfit() };
        trail.passed = 0;
        loop {
            let lines = walk.read(&*self.store, trail.stream).await?;
            match walk.take_back(&lines, |replay, line| trail.pass(replay, line)) {
                Ok(false) if !lines.is_empty() => {}
                Ok(true) => {
                    let found = walk.replay.settings().map(Arc::new);
                    return found.map_or_else(misfit, |settings| Ok(Ok(settings)));
                }
                Ok(false) | Err(DoesNotApply) => return misfit(),
            }
        }
    }
}

/// Warns about a damaged checkpoint. The server reads the log instead, and a walk that passes its
/// revision offers a new one.
fn warn(stream: &Stream, revision: Revision, cause: &Cause) {
    tracing::warn!(
        of = stream.id(),
        revision = revision.0,
        cause = cause.for_log(),
        "a checkpoint of an old state is damaged, and is not used; `customer-settings verify` names all such"
    );
}

fn broken() -> Error {
    Error::Internal(Cause::new("the change log does not lead back").of_damage())
}

/// A walk back along the log.
struct Walk {
    replay: Replay,
    to: Revision,
    /// The time of the first line, according to the checkpoint at which the walk begins.
    began: Option<Timestamp>,
}

impl Walk {
    fn from(current: Settings, to: Revision) -> Self {
        Self { replay: Replay::from(current), to, began: None }
    }

    /// `None` if the checkpoint holds no state.
    fn from_checkpoint(checkpoint: &Checkpoint, to: Revision) -> Option<Self> {
        let replay = checkpoint.replay().ok()?;
        Some(Self { replay, to, began: Some(checkpoint.time) })
    }

    /// The next lines, and none behind the target.
    async fn read(&self, store: &dyn Store, stream: &Stream) -> Result<Vec<Line>, StoreError> {
        let at = self.replay.revision();
        let left = u32::try_from(at.next().0.saturating_sub(self.to.0)).unwrap_or(PAGE);
        let below = LinePlace::at(at.next());
        store.log_before(&Streams::one(stream), Some(&below), None, left.min(PAGE)).await
    }

    /// Reverses lines, newest first, after passing each to `pass`. Returns whether they reach the target.
    fn take_back(
        &mut self,
        lines: &[Line],
        mut pass: impl FnMut(&mut Replay, &Line),
    ) -> Result<bool, DoesNotApply> {
        for line in lines {
            let is_fit = self.began.take().is_none_or(|began| began == line.time);
            if line.revision != self.replay.revision() || !is_fit {
                return Err(DoesNotApply);
            }
            self.replay.set_changed_time(line.time);
            if line.revision == self.to {
                return Ok(true);
            }
            pass(&mut self.replay, line);
            let before = Revision(line.revision.0 - 1);
            self.replay.unapply(before, line.time, &line.deltas)?;
        }
        Ok(false)
    }
}

/// The states that a walk passes, at wide steps. They are offered when this is dropped, also if the walk did not end.
struct Trail<'a> {
    of: &'a OldStates,
    stream: &'a Stream,
    /// The weight of lines between two states.
    step: u64,
    /// The weight of the lines since the last state.
    passed: u64,
    states: Vec<Arc<Settings>>,
    /// The revisions of checkpoints that must be replaced.
    unfit: Vec<Revision>,
}

impl<'a> Trail<'a> {
    fn new(of: &'a OldStates, stream: &'a Stream, step: u64) -> Self {
        Self { of, stream, step, passed: 0, states: Vec::new(), unfit: Vec::new() }
    }

    fn pass(&mut self, replay: &mut Replay, line: &Line) {
        let is_wanted = self.unfit.contains(&line.revision);
        if !is_wanted && self.passed < self.step {
            self.passed += checkpoint::weight(line);
            return;
        }
        let Some(state) = replay.settings().map(Arc::new) else { return };
        self.passed = checkpoint::weight(line);
        if is_wanted {
            return self.of.offer(self.stream.clone(), state);
        }
        self.step = self.step.max(checkpoint::spacing(&state));
        self.states.push(state);
        if self.states.len() == MOST_OFFERED {
            // A long walk offers few states at wide steps. Later walks add states between them.
            let mut is_kept = true;
            self.states.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.step *= 2;
        }
    }
}

impl Drop for Trail<'_> {
    fn drop(&mut self) {
        for state in self.states.drain(..) {
            self.of.offer(self.stream.clone(), state);
        }
    }
}
