//! The protocols: gRPC, HTTP/JSON, the documents. Knows no store and no SQL.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub mod docs;
pub mod http;
pub mod openapi;
pub mod status;

/// The contract's descriptors with comments and HTTP bindings.
pub fn descriptors() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(customer_settings_contract::DESCRIPTORS)
            .unwrap_or_else(|error| unreachable!("the build made these bytes: {error}"))
    });
    &POOL
}
