//! customer-settings as a library.

pub mod api;
pub mod auth;
pub mod catalog;
pub mod clock;
pub mod config;
pub mod net;
pub mod freshness;
pub mod service;
pub mod store;
pub mod telemetry;
