//! The contract: messages, services and descriptors, all generated from `proto/`.
//!
//! Modules follow the packages of the `.proto` files.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The compiled `.proto` files with their comments, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The `.proto` files themselves: their names below `proto/`, and their texts.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

/// The messages and services by their descriptors, with comments and HTTP bindings. All code shares this one
/// pool.
pub fn descriptors() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(DESCRIPTORS)
            .unwrap_or_else(|error| unreachable!("the build made these bytes: {error}"))
    });
    &POOL
}

pub use generated::{customersettings, google, moego};
