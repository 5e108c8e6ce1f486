//! What comes of large bodies, to the bytes of their answers, and other large answers are made beside the threads that
//! answer requests, where a key has its share of the places. Little is done at once.

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

/// So many bytes are read where they come in, or shown where they are; it takes a fraction of a millisecond.
pub(super) const AT_ONCE: usize = 64 << 10;

/// Whose share it is, and until when.
pub(super) struct Sender {
    key: Option<KeyId>,
    deadline: Instant,
}

impl Sender {
    /// Of a request.
    pub(super) fn of(extensions: &Extensions) -> Result<Self> {
        let key = guard::caller(extensions)?.actor.key_id.clone();
        let deadline = extensions.get::<Deadline>();
        let absent = || Error::Internal(Cause::new("a body was read without a deadline"));
        Ok(Self { key, deadline: deadline.ok_or_else(absent)?.0 })
    }

    /// Does this in a place for what takes long.
    pub(super) async fn beside<T: Send + 'static>(
        self,
        long_work: &Arc<LongWork>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let work = async move { Ok(work.await) };
        long_work.run(self.key.as_ref(), self.deadline, work).await
    }

    /// The same for what must be done: where it would be refused, it is done at once.
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
