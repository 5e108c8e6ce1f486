//! The pure core: companies, catalogs, keys and changes, and every rule about them.
//!
//! This module knows no tokio, SQL, protocol or clock, and nothing in it can fail for an outside reason.

pub mod access;
pub mod change;
pub mod checkpoint;
pub mod company;
pub mod delta;
pub mod entry;
pub mod error;
pub mod etag;
pub mod id;
pub mod key;
pub mod log;
pub mod near;
pub mod network;
pub mod place;
pub mod plan;
pub mod preview;
pub mod replay;
mod rows;
pub mod session;
pub mod settings;
pub mod shared;
pub mod source;
pub mod stream;
pub mod text;
pub mod time;
pub mod token;
