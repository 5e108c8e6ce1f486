//! The management API: the services of `customersettings.v1` over the use cases.

use super::UseCases;

mod companies;
mod convert;
pub(crate) mod document;
mod entries;
pub(crate) mod filter;
mod history;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod paging;
mod request;
mod settings;

/// The services of the management API.
#[derive(Clone)]
pub(super) struct Admin(pub(super) UseCases);
