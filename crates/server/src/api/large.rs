//! Large requests and answers are worked on beside the threads that answer requests, in a place of `LongWork`, of which
//! each key has a share. Small ones are worked on at once.

use std::{sync::Arc, time::Instant};

use http::Extensions;

use super::guard;
use crate::{
    catalog::{
        error::{Cause, Error, Result},
        id::KeyId,
    },
    net::Deadline,
    service::long_work::LongWork,
};

/// Up to this many bytes are parsed or written at once, which takes a fraction of a millisecond.
pub(super) const AT_ONCE: usize = 64 << 10;

/// The key whose share a request takes, and the request's deadline.
pub(super) struct Sender {
    key: Option<KeyId>,
    deadline: Instant,
}

impl Sender {
    /// The sender of the request with these extensions.
    pub(super) fn of(extensions: &Extensions) -> Result<Self> {
        let key = guard::caller(extensions)?.actor.key_id.clone();
        let deadline = extensions.get::<Deadline>();
        let absent = || Error::Internal(Cause::new("a body was read without a deadline"));
        Ok(Self { key, deadline: deadline.ok_or_else(absent)?.0 })
    }

    /// Does the work in a place for long work.
    pub(super) async fn beside<T: Send + 'static>(
        self,
        long_work: &Arc<LongWork>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let work = async move { Ok(work.await) };
        long_work.run(self.key.as_ref(), self.deadline, work).await
    }

    /// Does work that must not be refused: in a place for long work, or here if there is none.
    pub(super) async fn beside_or_here<T: Send + 'static>(
        self,
        long_work: &Arc<LongWork>,
        work: impl Fn() -> T + Clone + Send + 'static,
    ) -> T {
        let beside = work.clone();
        let beside = async move { Ok(beside()) };
        let done = long_work.finish(self.key.as_ref(), self.deadline, beside).await;
        done.unwrap_or_else(|_| work())
    }
}
