//! `customer-settings`: the server, the commands that work on its data directory, and a client of
//! its management API.

#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

mod account;
mod commands;
mod failure;
mod help;
mod mirror;
mod misuse;
mod output;
mod storage;
mod supervisor;
mod target;
#[cfg(test)]
mod tests;
mod values;

use commands::{
    backup, business, company, completion, config, console, convert, copy, entry, history, key,
    load, man, mirror as mirroring, plan, proto, schema, serve, status, verify,
};
use failure::{EXIT_CODES, Failure, failure};
use output::tell;

/// The name of the program.
const PROGRAM: &str = "customer-settings";

/// The version with the commit that the program is built from, and the commit's date.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILT_FROM"), ")");

/// The customer tags, referral sources, life cycles and action statuses of pet care businesses,
/// served to every program that reads MoeGo's API.
///
/// `serve` is the server. `verify` and `copy` work on its data, in a directory (--data-dir)
/// or in PostgreSQL (--database-url); `backup` and `restore` on a directory. `plan`, `apply`, `export`,
/// `entry`, `company`, `business`, `history` and `key` talk to a running server (--server) with a key, or do the same on the data without a
/// key. `status` tells whether all is well with a server or its data.
#[derive(Parser)]
#[command(name = PROGRAM, version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Try it: customer-settings serve --demo")]
#[command(after_long_help = format!("Try it: customer-settings serve --demo\n\n{EXIT_CODES}"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print results and errors alone, without notes about them
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Plan(plan::Plan),
    Apply(plan::Apply),
    Load(load::Load),
    Export(load::Export),
    #[command(subcommand)]
    Convert(convert::Convert),
    Mirror(Box<mirroring::Mirror>),
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
    #[command(subcommand)]
    Console(console::ConsoleCommand),
    Status(status::Status),
    Completion(completion::Completion),
    Man(man::Man),
    Proto(proto::Proto),
    Schema(schema::Schema),
}

impl Command {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Plan(plan) => plan.run().await,
            Self::Apply(apply) => apply.run().await,
            Self::Load(load) => load.run().await,
            Self::Export(export) => export.run().await,
            Self::Convert(convert) => convert.run().await,
            Self::Mirror(mirror) => mirror.run().await,
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
            Self::Console(console) => console.run().await,
            Self::Status(status) => status.run().await,
            Self::Completion(completion) => completion.run(),
            Self::Man(man) => man.run(),
            Self::Proto(proto) => proto.run(),
            Self::Schema(schema) => schema.run(),
        }
    }
}

fn main() -> ExitCode {
    let matches = help::with_whole_examples(Arguments::command()).try_get_matches();
    let command = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => {
            if arguments.quiet {
                output::be_quiet();
            }
            arguments.command
        }
        Err(error) => return misuse::show(error),
    };
    customer_settings_memory::hold_little();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(failure(format!("the runtime did not start: {error}")))),
    };
    ended(runtime.block_on(command.run()))
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    let Err(Failure { message, exit }) = result else { return ExitCode::SUCCESS };
    if !message.is_empty() {
        tell(format!("error: {message}"));
    }
    exit.into()
}
