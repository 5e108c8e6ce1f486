//! HTTP/2 beyond the library: the stream under a connection, its requests' first turn, and the frames that a client
//! may send.

mod frames;
pub(crate) mod wire;
