//! `customer-settings copy`: everything from one store to another.

use clap::Args;
use customer_settings_server::{Services, service::copy::Copied, store::Access};

use super::{Failure, explain, verify};
use crate::{output::Output, storage::Storage};

/// Copy everything (companies, locations, entries, history, keys) into another store
///
/// The target must be empty, or hold the beginning of the same data: a copy that was stopped goes on
/// where it was, and what was written meanwhile comes with the next one. So copy once while the server
/// runs, stop it, and copy again. The result is verified.
#[derive(Args, Debug)]
#[command(
    after_help = "Example: customer-settings copy --from data --to postgres://user@db.example.com/settings"
)]
pub(crate) struct Copy {
    /// What to read: a data directory or the URL of a PostgreSQL database
    #[arg(long, value_name = "DIR-OR-URL")]
    from: Storage,
    /// What to write: an existing data directory or the URL of a PostgreSQL database
    #[arg(long, value_name = "DIR-OR-URL")]
    to: Storage,
    /// How to print what verifying found
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Copy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let from = self.from.services(Access::Read).await?;
        let to = self.to.services(Access::Write).await?;
        let copied = copy(&from, &to).await?;
        eprintln!("{}", text(copied));
        verify::verify(&to, self.output).await
    }
}

async fn copy(from: &Services, to: &Services) -> Result<Copied, Failure> {
    let mut watch = verify::Watch::new(from);
    let progress = |so_far: Copied| watch.tell(|| text(so_far));
    from.copy_into(to).copy(progress).await.map_err(|error| explain(&error))
}

fn text(copied: Copied) -> String {
    let Copied { companies, lines, were_there } = copied;
    format!("copied {companies} companies, {lines} log lines ({were_there} were there)")
}
