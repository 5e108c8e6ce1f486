//! customer-settings as a library.

pub mod api;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod net;
pub mod store;
pub mod telemetry;
