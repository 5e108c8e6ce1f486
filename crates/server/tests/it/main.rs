//! The tests of the server as a library, in one binary.

mod openapi;
mod transcoding;
