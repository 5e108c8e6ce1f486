//! `customer-settings`: the server, the commands that work on its data directory, and a client of
//! its management API.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod failure;
mod output;
mod storage;
mod target;
#[cfg(test)]
mod tests;

use commands::{
    backup, business, company, completion, config, copy, entry, history, key, load, serve, verify,
};
use failure::{EXIT_CODES, Failure, failure};

/// The customer tags, referral sources, life cycles and action statuses of pet care businesses,
/// served to every program that reads MoeGo's API.
///
/// `serve` is the server. `load`, `export`, `verify` and `copy` work on its data, in a directory (--data-dir) or in
/// PostgreSQL (--database-url); `backup` and `restore` on a directory. `entry`, `company`, `business`,
/// `history` and `key` talk to a running server (--server) with a key, or do the same on its data
/// without one.
#[derive(Parser)]
#[command(name = "customer-settings", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Try it: customer-settings serve --demo")]
#[command(after_long_help = format!("Try it: customer-settings serve --demo\n\n{EXIT_CODES}"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Load(load::Load),
    Export(load::Export),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Verify(verify::Verify),
    Copy(copy::Copy),
    Config(config::Config),
    #[command(subcommand)]
    Entry(entry::EntryCommand),
    #[command(subcommand)]
    Company(company::CompanyCommand),
    #[command(subcommand)]
    Business(Box<business::BusinessCommand>),
    #[command(subcommand)]
    History(history::HistoryCommand),
    Completion(completion::Completion),
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Load(load) => load.run().await,
            Self::Export(export) => export.run().await,
            Self::Key(key) => key.run().await,
            Self::Backup(backup) => backup.run().await,
            Self::Restore(restore) => restore.run().await,
            Self::Verify(verify) => verify.run().await,
            Self::Copy(copy) => copy.run().await,
            Self::Config(config) => config.run(),
            Self::Entry(entry) => entry.run().await,
            Self::Company(company) => company.run().await,
            Self::Business(business) => business.run().await,
            Self::History(history) => history.run().await,
            Self::Completion(completion) => completion.run(),
        }
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&failure(format!("the runtime did not start: {error}"))),
    };
    match runtime.block_on(command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("error: {}", failure.message);
    failure.exit.into()
}
