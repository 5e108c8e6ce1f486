//! `customer-settings`: the server, and the commands that work on its data directory.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;

use commands::{backup, config, key, load, serve, verify};

/// The customer tags, referral sources, life cycles and action statuses of pet care businesses,
/// served to every program that reads MoeGo's API.
#[derive(Parser)]
#[command(name = "customer-settings", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Try it: customer-settings serve --demo")]
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
    Config(config::Config),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the runtime did not start: {error}")),
    };
    let result = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Load(load) => load.run().await,
            Command::Export(export) => export.run().await,
            Command::Key(key) => key.run().await,
            Command::Backup(backup) => backup.run().await,
            Command::Restore(restore) => restore.run().await,
            Command::Verify(verify) => verify.run().await,
            Command::Config(config) => config.run(),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure.0),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
