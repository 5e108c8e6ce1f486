//! The commands, one file per group, and what they share.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use customer_settings_server::{
    Services,
    catalog::error::Error,
    clock::SystemClock,
    config::Config,
    store::{Access, Store, sqlite::SqliteStore},
};

pub(crate) use crate::failure::{Failure, failure};

pub(crate) mod backup;
pub(crate) mod business;
pub(crate) mod company;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod entry;
pub(crate) mod history;
pub(crate) mod key;
pub(crate) mod load;
pub(crate) mod serve;
mod verbs;
pub(crate) mod verify;

/// An error of a service, with the inner cause: whoever runs a command here may read it.
pub(crate) fn explain(error: &Error) -> Failure {
    match error.cause().map(|cause| cause.for_log()).filter(|cause| !cause.is_empty()) {
        Some(cause) => failure(format!("{error} ({cause})")),
        None => failure(error),
    }
}

/// The data that a command works on.
#[derive(Args, Debug)]
pub(crate) struct Data {
    /// The directory of the data; may be in use by a running server
    #[arg(long, value_name = "DIR", env = "CUSTOMER_SETTINGS_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

impl Data {
    pub(crate) async fn open(&self, access: Access) -> Result<Services, Failure> {
        open(&self.data_dir, access).await
    }
}

/// The use cases over the store of a data directory.
pub(crate) async fn open(dir: &Path, access: Access) -> Result<Services, Failure> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir, access)?);
    let services = Services::open(store, Arc::new(SystemClock), &Config::default()).await;
    services.map_err(|error| explain(&error))
}
