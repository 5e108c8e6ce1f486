//! The management API: the services of `customersettings.v1` over the use cases.

use std::sync::Arc;

use crate::service::{
    companies::CompaniesService, history::HistoryService, keys::KeysService,
    settings::SettingsService,
};

mod companies;
mod convert;
mod entries;
mod history;
mod keys;
mod list;
mod request;

/// The services of the management API.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) settings: Arc<SettingsService>,
    pub(super) companies: Arc<CompaniesService>,
    pub(super) history: Arc<HistoryService>,
    pub(super) keys: Arc<KeysService>,
}
