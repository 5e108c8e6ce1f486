//! Moving everything from one store to another: every line of every log is written again as it was,
//! so that history, request ids and keys come along.
//!
//! What is in the target already must be the beginning of the same logs: then the copy goes on from
//! there, however often it was stopped.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    catalog::{
        access::{Grant, Task},
        checkpoint::{self, Checkpoint},
        entry::Revision,
        error::{Cause, Error, Result},
        id::{CompanyId, KeyId},
        log::Line,
        replay::Replay,
        stream::Stream,
    },
    store::{Store, StoreError, sound},
};

/// Lines, and ids of companies or keys, that are read at once.
const PAGE: u32 = 500;
/// Keys that are read at once: each has up to 70 kB.
const KEYS: u32 = 100;
/// Companies, or keys, that are copied at once, so that their writes share a sync.
const AT_ONCE: usize = 32;

/// How much there is in the target now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Companies.
    pub companies: u64,
    /// Lines of their logs and of that of the keys.
    pub lines: u64,
    /// How many of the lines were there before.
    pub were_there: u64,
}

/// Copies one store into another.
pub struct CopyService {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
}

impl CopyService {
    /// Reads from one, writes to the other.
    pub fn new(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Self {
        Self { from, to }
    }

    /// Copies what the target lacks. A target that holds anything else is refused before it is
    /// touched, or as soon as a log is found to differ.
    pub async fn copy(&self, mut progress: impl FnMut(Copied)) -> Result<Copied> {
        self.refuse_others().await?;
        let mut copied = Copied::default();
        self.keys(&mut copied).await?;
        progress(copied);
        let all = Task::Copy.grant_covered();
        let mut after: Option<CompanyId> = None;
        loop {
            let ids = self.from.company_ids(&all, after.as_ref(), PAGE).await?;
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
            let mut done = stream::iter(ids)
                .map(|id| async move { self.company(&Task::Copy.grant(&id)).await })
                .buffer_unordered(AT_ONCE);
            while let Some((lines, were_there)) = done.try_next().await? {
                copied.companies += 1;
                copied.lines += lines;
                copied.were_there += were_there;
                progress(copied);
            }
        }
        // Last, so that tokens of the source count only where all that they name has come.
        self.to.raise_epoch(self.from.epoch().await?).await?;
        Ok(copied)
    }

    /// Companies and keys that the source does not have.
    async fn refuse_others(&self) -> Result<()> {
        let all = Task::Copy.grant_covered();
        let mut after: Option<CompanyId> = None;
        loop {
            let ids = self.to.company_ids(&all, after.as_ref(), PAGE).await?;
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
            for id in &ids {
                if self.from.revision(&Task::Copy.grant(id)).await?.is_none() {
                    return Err(other_data(&format!("company {id}")));
                }
            }
        }
        let mut after: Option<KeyId> = None;
        loop {
            let ids = self.to.key_ids(after.as_ref(), PAGE).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = Some(last.clone());
            for id in &ids {
                if self.from.key(id).await?.is_none() {
                    return Err(other_data(&format!("key {id}")));
                }
            }
        }
    }

    async fn keys(&self, copied: &mut Copied) -> Result<()> {
        let mut after: Option<KeyId> = None;
        loop {
            let ids = self.from.key_ids(after.as_ref(), PAGE).await?;
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
            let mut done = stream::iter(ids)
                .map(|id| async move { self.key(&id).await })
                .buffer_unordered(AT_ONCE);
            while let Some((lines, were_there)) = done.try_next().await? {
                copied.lines += lines;
                copied.were_there += were_there;
            }
        }
        let mut after: Option<KeyId> = None;
        loop {
            let keys = sound(self.from.keys(None, after.as_ref(), KEYS).await?)?;
            let Some((last, _)) = keys.last() else { return Ok(()) };
            let uses = keys.iter().filter_map(|(key, used)| Some((key.id.clone(), (*used)?)));
            self.to.touch_keys(&uses.collect::<Vec<_>>()).await?;
            let there = sound(self.to.keys(None, after.as_ref(), KEYS).await?)?;
            if let Some(((key, _), _)) =
                keys.iter().zip(&there).find(|(one, there)| one.0 != there.0)
            {
                return Err(other_data(&format!("key {}", key.id)));
            }
            after = Some(last.id.clone());
        }
    }

    async fn company(&self, grant: &Grant) -> Result<(u64, u64)> {
        let there = self.to.settings(grant).await?;
        self.stream(&grant.stream(), there.map_or_else(Replay::default, Replay::from)).await
    }

    async fn key(&self, id: &KeyId) -> Result<(u64, u64)> {
        let there = self.to.key(id).await?.map(|(key, _)| key);
        self.stream(&Stream::key(id), there.map_or_else(Replay::default, Replay::from)).await
    }

    /// How many lines a log has, and how many of them were there. `there` is what the target has already.
    async fn stream(&self, stream: &Stream, mut there: Replay) -> Result<(u64, u64)> {
        let (mut lines, mut were_there) = (0, 0);
        let mut after = (Revision(0), 0);
        loop {
            let page = self.from.log(stream, after, PAGE).await?;
            let held = self.to.log(stream, after, PAGE).await?;
            let Some((part, last)) = page.last() else { break };
            after = (last.revision, *part);
            if !page.starts_with(&held) {
                return Err(other_data(&format!("another history of {}", named(stream))));
            }
            lines += page.len() as u64;
            were_there += held.len() as u64;
            for (part, line) in &page[held.len()..] {
                self.line(stream, &mut there, *part, line).await?;
            }
        }
        // What the target has beyond the source is not the source's.
        if !self.to.log(stream, after, 1).await?.is_empty() {
            return Err(other_data(&format!("a longer history of {}", named(stream))));
        }
        Ok((lines, were_there))
    }

    async fn line(
        &self,
        stream: &Stream,
        there: &mut Replay,
        part: u32,
        line: &Line,
    ) -> Result<()> {
        let unfit = || {
            let text = format!("the log of {} is damaged: run verify", named(stream));
            Error::Internal(Cause::new(text))
        };
        if line.subjects.is_none() || (part > 0) != line.is_empty() {
            return Err(unfit());
        }
        if !line.is_empty() {
            there.apply(line.revision, line.time, &line.deltas).map_err(|_| unfit())?;
        }
        // What the key that acted is by now does not matter.
        let written = self.to.commit(&[(stream, line)], None).await;
        written.map_err(|error| refused(error, &named(stream)))?;
        // The source's own could be of anything, and the state is here.
        if checkpoint::may_be_due(line)
            && let Some(settings) = there.settings()
            && checkpoint::is_due(&settings, line)
        {
            self.to.leave_checkpoint(stream, &Checkpoint::of(&settings)).await?;
        }
        Ok(())
    }
}

fn named(stream: &Stream) -> String {
    format!("{} {}", stream.kind().name, stream.id())
}

/// Nobody else writes to the target of a copy, so whatever stands in the way is other data.
fn refused(error: StoreError, what: &str) -> Error {
    match error {
        StoreError::Conflict | StoreError::Taken(..) => other_data(what),
        other => other.into(),
    }
}

fn other_data(what: &str) -> Error {
    Error::Precondition {
        reason: "OTHER_DATA",
        message: format!("the target holds other data ({what}): copy into an empty one"),
    }
}
