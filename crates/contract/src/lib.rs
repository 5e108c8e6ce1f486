//! The contract: messages, services and descriptors, all generated from `proto/`.
//!
//! Nothing is written by hand here; modules follow the packages of the `.proto` files.

/// The compiled `.proto` files with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

pub use generated::{customersettings, google, moego};
