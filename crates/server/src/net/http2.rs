//! HTTP/2 beyond the library: parts for speed, and bounds that hyper and h2 do not have.
//!
//! These files assume the following of hyper 1 and h2 0.4. They have to be checked again when one
//! of the assumptions ends:
//!
//! - hyper hands each stream's future to the executor while the connection is polled, and holds no lock
//!   meanwhile. So `first_run` may poll the future there, and an answer that is made in that poll is
//!   written before the connection's poll ends.
//! - h2 hands frames to the stream one by one, and flushes after them. So `wire` collects the written bytes, and sends
//!   them at the end of the poll. A caller therefore polls the connection through `wire::poll_connection`.
//! - hyper tells HTTP/2 from HTTP/1.1 by the client's first bytes alone. `wire` decides by the same
//!   bytes, and `frames` counts from the bytes behind them.
//! - h2 bounds open requests and requests that are reset early, and no other frames. `frames` bounds the others.
//! - hyper closes a connection without reading the bytes that are still to come. `linger` reads them.

pub(super) mod first_run;
mod frames;
pub(super) mod linger;
pub(crate) mod wire;
