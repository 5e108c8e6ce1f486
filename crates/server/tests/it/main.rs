//! All tests of the server as a library, in one program, which links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod openapi;
mod sqlite;
mod store_conformance;
mod store_samples;
mod transcoding;
//! All tests of the server, in one program.

#![allow(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod config;
mod net;
