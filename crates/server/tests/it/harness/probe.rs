//! Counts the calls of a store, and makes them fail or block, if a test says so.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use customer_settings_server::{
    catalog::{error::Cause, log::Line},
    store::{
        Notice, StoreError,
        calls::{Call, Watch},
    },
};
use tokio::sync::mpsc;

/// The switches of a store.
pub(crate) struct Probe {
    fails: Mutex<Option<StoreError>>,
    writes_fail: Mutex<Option<StoreError>>,
    companies_fail: Mutex<Option<StoreError>>,
    hangs: AtomicBool,
    panics: AtomicBool,
    hides_mark: AtomicBool,
    notices: Mutex<(mpsc::Sender<Notice>, Option<mpsc::Receiver<Notice>>)>,
    ends: Mutex<Option<CommitEnd>>,
    calls: Mutex<BTreeMap<&'static str, usize>>,
    lines_read: AtomicUsize,
}

/// How commits end, whatever becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitEnd {
    /// Nothing is written, as another process came first.
    Conflict,
    /// All is written, and nobody says so.
    Unknown,
}

impl Probe {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(9);
        Self {
            fails: Mutex::default(),
            writes_fail: Mutex::default(),
            companies_fail: Mutex::default(),
            hangs: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            hides_mark: AtomicBool::new(false),
            notices: Mutex::new((sender, Some(receiver))),
            ends: Mutex::default(),
            calls: Mutex::default(),
            lines_read: AtomicUsize::new(0),
        }
    }

    /// From now on reads and writes fail, or work again.
    pub(crate) fn fail(&self, fails: bool) {
        let error = StoreError::Unavailable(Cause::new("the inside of the failing store"));
        self.fail_as(fails.then_some(error));
    }

    /// From now on every call ends with this error, or works again.
    pub(crate) fn fail_as(&self, error: Option<StoreError>) {
        *self.fails.lock().unwrap() = error;
    }

    /// The same for writes only.
    pub(crate) fn fail_writes_as(&self, error: Option<StoreError>) {
        *self.writes_fail.lock().unwrap() = error;
    }

    /// The same only for reads that snapshots are made of.
    pub(crate) fn fail_companies_as(&self, error: Option<StoreError>) {
        *self.companies_fail.lock().unwrap() = error;
    }

    /// From now on no call is answered.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, SeqCst);
    }

    /// From now on every look at a session panics, or works again.
    pub(crate) fn panic_at_sessions(&self, panics: bool) {
        self.panics.store(panics, SeqCst);
    }

    /// From now on the store is an engine without a change mark.
    pub(crate) fn hide_change_mark(&self) {
        self.hides_mark.store(true, SeqCst);
    }

    /// Sends a notice like another node's write.
    pub(crate) fn notify(&self, notice: Notice) {
        self.notices.lock().unwrap().0.try_send(notice).unwrap();
    }

    /// From now on commits end like this, or as they do.
    pub(crate) fn end_commits(&self, end: Option<CommitEnd>) {
        *self.ends.lock().unwrap() = end;
    }

    /// The calls of a method so far, whatever became of them.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or_default()
    }

    /// How many commits were tried so far.
    pub(crate) fn commits(&self) -> usize {
        self.calls("commit") + self.calls("commit_key_family")
    }

    /// The lines of logs that were read so far, newest first.
    pub(crate) fn lines_read(&self) -> usize {
        self.lines_read.load(SeqCst)
    }

    /// How the commit of that call ends, if it is one.
    fn end_of(&self, call: Call<'_>) -> Option<CommitEnd> {
        let end = *self.ends.lock().unwrap();
        end.filter(|_| call.method.starts_with("commit"))
    }
}

fn failing(error: &Mutex<Option<StoreError>>) -> Result<(), StoreError> {
    error.lock().unwrap().clone().map_or(Ok(()), Err)
}

#[async_trait]
impl Watch for Probe {
    async fn before(&self, call: Call<'_>) -> Result<(), StoreError> {
        *self.calls.lock().unwrap().entry(call.method).or_default() += 1;
        let is_hidden = call.method == "change_mark" && self.hides_mark.load(SeqCst);
        if is_hidden || call.method == "notices" {
            return Ok(());
        }
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        let panics = call.method == "session" && self.panics.load(SeqCst);
        assert!(!panics, "the inside of a store with a bug");
        failing(&self.fails)?;
        if call.is_write {
            failing(&self.writes_fail)?;
        }
        if ["settings", "revision"].contains(&call.method) {
            failing(&self.companies_fail)?;
        }
        match self.end_of(call) {
            Some(CommitEnd::Conflict) => Err(StoreError::Conflict),
            _ => Ok(()),
        }
    }

    fn after(
        &self,
        call: Call<'_>,
        answer: Result<&mut dyn Any, &StoreError>,
    ) -> Result<(), StoreError> {
        let Ok(answer) = answer else { return Ok(()) };
        if self.end_of(call) == Some(CommitEnd::Unknown) {
            return Err(StoreError::OutcomeUnknown(Cause::new("inside")));
        }
        match call.method {
            "change_mark" if self.hides_mark.load(SeqCst) => {
                *answer.downcast_mut::<Option<u64>>().unwrap() = None;
            }
            "notices" => {
                let notices = answer.downcast_mut::<Option<mpsc::Receiver<Notice>>>().unwrap();
                *notices = notices.take().or_else(|| self.notices.lock().unwrap().1.take());
            }
            "log_before" => {
                let lines = answer.downcast_ref::<Vec<Line>>().unwrap();
                self.lines_read.fetch_add(lines.len(), SeqCst);
            }
            _ => {}
        }
        Ok(())
    }
}
