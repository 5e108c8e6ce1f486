//! `customer-settings config`.

use customer_settings_server::config;

use super::Failure;
use crate::output::print;

/// Print a commented sample of the configuration file, with every key and its default
#[derive(clap::Args)]
#[command(after_help = "Example: customer-settings config > customer-settings.yaml")]
pub(crate) struct Config {}

impl Config {
    #[expect(clippy::unused_self, reason = "all commands have one form")]
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print(config::Config::sample())
    }
}
