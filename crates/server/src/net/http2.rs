//! HTTP/2 beyond the library: what its speed needs, and bounds that hyper and h2 do not have.
//!
//! These files assume of hyper 1 and h2 0.4, and have to be looked at again where one of the assumptions ends:
//!
//! - hyper hands each stream's future to the executor while the connection is polled, and holds no lock meanwhile. So
//!   `first_run` may poll it there, and an answer that is made in that poll is written before the connection's poll
//!   ends.
//! - h2 hands frames to the stream one by one, and flushes after them. So `wire` holds what is written, and sends it at the
//!   end of the turn; whoever polls the connection has to call `wire::turn` for that.
//! - hyper tells HTTP/2 from HTTP/1.1 by the client's first bytes alone. `wire` goes by the same bytes, and `frames`
//!   counts from behind them on.
//! - h2 bounds requests that are open and requests that are reset early, and no other frames. `frames` bounds those.
//! - hyper closes a connection without reading what is still to come. `linger` reads it.

pub(super) mod first_run;
mod frames;
pub(super) mod linger;
pub(crate) mod wire;
