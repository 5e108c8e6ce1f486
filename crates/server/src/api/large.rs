//! What comes of large bodies is done beside the threads that answer requests, where a key has its share of the
//! places. Little is done at once.

use std::sync::Arc;

use http::Extensions;

use super::guard;
use crate::{
    catalog::error::{Cause, Error, Result},
    net::Deadline,
    service::long_work::LongWork,
};

/// So many bytes are read where they come in; it takes a fraction of a millisecond.
pub(super) const AT_ONCE: usize = 64 << 10;

/// Reads a large body for whoever sent it.
pub(super) async fn beside<T: Send + 'static>(
    long_work: &Arc<LongWork>,
    extensions: &Extensions,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let key = guard::caller(extensions)?.actor.key_id.clone();
    let deadline = extensions.get::<Deadline>();
    let absent = || Error::Internal(Cause::new("a body was read without a deadline"));
    let deadline = deadline.ok_or_else(absent)?.0;
    long_work.run(key.as_ref(), deadline, async move { Ok(read()) }).await
}
