//! Copying a store to another store: every line of every log is written again without changes, so that history,
//! request ids and keys come along.
//!
//! The content of the target must be the beginning of the same logs. So a copy that was stopped goes on from there.

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

/// Lines, and ids of companies or keys, that one look-up reads.
const PAGE: u32 = 500;
/// Keys that one look-up reads. Each has up to 70 kB.
const KEYS: u32 = 100;
/// Companies, or keys, that are copied at the same time, so that the writes of short logs share a sync.
const AT_ONCE: usize = 32;

/// The content of the target so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Copied {
    pub companies: u64,
    /// The lines of all logs.
    pub lines: u64,
    /// The lines that the target had before.
    pub were_there: u64,
}

/// Copies one store into another.
pub struct CopyService {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
}

impl CopyService {
    /// A service that copies `from` one store `to` another.
    pub fn new(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Self {
        Self { from, to }
    }

    /// Copies everything that the target lacks. A target with other data is refused before it is changed, or
    /// as soon as a log differs.
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
            let mut done = stream::iter(&ids)
                .map(|id| async move { self.company(&Task::Copy.grant(id)).await })
                .buffer_unordered(AT_ONCE);
            while let Some((lines, were_there)) = done.try_next().await? {
                copied.companies += 1;
                copied.lines += lines;
                copied.were_there += were_there;
                progress(copied);
            }
            for (id, check) in self.from.source_checks(&all, &ids).await? {
                self.to.leave_source_check(&Task::Copy.grant(&id), &check).await?;
            }
        }
        // Raised last, so that tokens of the source count only after everything that they name has been copied.
        self.to.raise_epoch(self.from.epoch().await?).await?;
        Ok(copied)
    }

    /// Refuses a target with companies and keys that the source does not have.
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
        self.stream(grant.stream(), there.map_or_else(Replay::default, Replay::from)).await
    }

    async fn key(&self, id: &KeyId) -> Result<(u64, u64)> {
        let there = self.to.key(id).await?.map(|(key, _)| key);
        self.stream(&Stream::key(id), there.map_or_else(Replay::default, Replay::from)).await
    }

    /// Copies a log. Returns the number of its lines, and how many of them the target had before. `there`
    /// is the target's state.
    async fn stream(&self, stream: &Stream, mut there: Replay) -> Result<(u64, u64)> {
        let (mut lines, mut were_there) = (0, 0);
        let mut after = (Revision(0), 0);
        loop {
            let page = self.from.log(stream, after, PAGE).await?;
            let held = self.to.log(stream, after, PAGE).await?;
            let Some((part, last)) = page.last() else { break };
            after = (last.revision, *part);
            if !page.starts_with(&held) {
                return Err(other_data(&format!("another history of {}", stream.name())));
            }
            lines += page.len() as u64;
            were_there += held.len() as u64;
            self.lines(stream, &mut there, &page[held.len()..]).await?;
        }
        // Lines of the target beyond the source's end are other data.
        if !self.to.log(stream, after, 1).await?.is_empty() {
            return Err(other_data(&format!("a longer history of {}", stream.name())));
        }
        Ok((lines, were_there))
    }

    /// Writes the lines of a page, which bounds their number and bytes, in one transaction: the disk needs as long for a
    /// single line.
    async fn lines(&self, stream: &Stream, there: &mut Replay, page: &[(u32, Line)]) -> Result<()> {
        let unfit = || {
            let text = format!("the log of {} is damaged: run verify", stream.name());
            Error::Internal(Cause::new(text))
        };
        let (mut lines, mut checkpoints) = (Vec::with_capacity(page.len()), Vec::new());
        for (part, line) in page {
            if line.subjects.is_none() || (*part > 0) != line.is_empty() {
                return Err(unfit());
            }
            if !line.is_empty() {
                there.apply(line.revision, line.time, &line.deltas).map_err(|_| unfit())?;
            }
            lines.push((stream, line));
            // The source's own could be of anything, and the state is here.
            if checkpoint::may_be_due(line)
                && let Some(settings) = there.settings()
                && checkpoint::is_due(&settings, line)
            {
                checkpoints.push(Checkpoint::of(&settings));
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        // The keys that acted may be revoked by now, which does not matter.
        let written = self.to.commit(&lines, None).await;
        written.map_err(|error| refused(error, &stream.name().to_string()))?;
        for checkpoint in &checkpoints {
            self.to.leave_checkpoint(stream, checkpoint).await?;
        }
        Ok(())
    }
}

/// Nobody else writes to the target of a copy, so a conflict means other data.
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
        facts: vec![],
    }
}
