//! `customer-settings console`: links by which people sign in to the web console.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::verbs::{Show, Write};
use crate::{
    failure::{EXIT_CODES, Failure, failure},
    output::{cell, note, print},
};

/// Let people sign in to the web console
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum ConsoleCommand {
    /// Make a link that signs in with a key once, within 48 hours
    ///
    /// A new link ends the one before. The key's history says that it was made.
    #[command(after_help = "\
Examples:
  customer-settings console url key_01h455vb --data-dir data
  customer-settings console url key_01h455vb --data-dir data --at https://settings.example.com")]
    Url(Write<Url>),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Url {
    /// The id of the person's key
    #[arg(value_name = "ID")]
    id: String,
    /// The address at which the person finds the server
    #[arg(long, value_name = "URL", default_value = "http://localhost:8080")]
    #[serde(skip)]
    at: String,
}

impl ConsoleCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self::Url(url) = &self;
        let call = url.call("KeyService/CreateSignInLink", Show::One)?;
        if call.is_dry() || call.form.is_json() {
            return call.run().await;
        }
        let mut client = call.connect().await?;
        let answer = call.answer(&mut client).await?;
        let path = answer["path"].as_str().unwrap_or_default();
        if path.is_empty() {
            return Err(failure(cell(&answer["note"])));
        }
        print(&format!("{}{path}\n", url.request.at.trim_end_matches('/')))?;
        note(format!("the link works once, until {}", cell(&answer["expiresTime"])));
        Ok(())
    }
}
