//! `customer-settings status`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use http::Uri;
use serde_json::json;

use super::Failure;
use crate::{output::Output, target, values};

/// Ask a running server whether it is ready to answer requests
///
/// No key is needed. The command exits with 0 where the server is ready, and with 6 where it is not or cannot be
/// reached, so that containers and monitors can run it as it is. It asks once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  customer-settings status --server http://127.0.0.1:8080
  customer-settings status --server https://settings.example.com --timeout 2s --output json")]
pub(crate) struct Status {
    /// The server, such as https://settings.example.com or http://127.0.0.1:8080
    /// [env: CUSTOMER_SETTINGS_SERVER]
    #[arg(long, value_name = "URL", value_parser = target::parse_server)]
    server: Option<Uri>,
    /// A PEM file of further authorities that may have signed the server's certificate
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long to wait for an answer
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = values::timeout)]
    #[arg(allow_hyphen_values = true)]
    timeout: Duration,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: Output,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let server = target::server(self.server)?;
        let problem = target::readiness(&server, self.ca_file.as_deref(), self.timeout).await?;
        let mut status = json!({"server": target::name(&server), "ready": true});
        if let Some(problem) = problem {
            status["problem"] = json!(problem);
        }
        self.output.one(&status)
    }
}
