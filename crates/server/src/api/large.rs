//! What comes of large bodies, and large answers, are made beside the threads that answer requests, where a key has its
//! share of the places. Little is done at once.

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

    /// Reads what is large, or makes it.
    pub(super) async fn beside<T: Send + 'static>(
        self,
        long_work: &Arc<LongWork>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        long_work.run(self.key.as_ref(), self.deadline, async move { Ok(work()) }).await
    }
}

/// Reads a large body for whoever sent it.
pub(super) async fn beside<T: Send + 'static>(
    long_work: &Arc<LongWork>,
    extensions: &Extensions,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    Sender::of(extensions)?.beside(long_work, read).await
}
