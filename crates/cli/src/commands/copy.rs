//! `customer-settings copy`: everything from one store to another.

use std::path::{Path, PathBuf};

use clap::Args;
use customer_settings_server::{
    Services, config::DatabaseUrl, service::copy::Copied, store::Access,
};

use super::{Failure, explain, verify};
use crate::{
    failure::usage,
    output::{Output, counted, note},
    storage::{Storage, parse_path},
};

/// Copy everything (companies, locations, entries, history, keys) into another store
///
/// The target must be empty, or hold the beginning of the same data. A copy that was stopped continues when
/// it is repeated, and another copy adds the changes since. So copy once while the server runs, stop the
/// server, and copy again. The result is verified.
#[derive(Args, Debug)]
#[command(
    after_help = "Example: customer-settings copy --from data --to-url-file /run/secrets/database-url"
)]
pub(crate) struct Copy {
    /// The source: a data directory or the URL of a PostgreSQL database
    #[arg(long, value_name = "DIR-OR-URL", required_unless_present = "from_url_file")]
    from: Option<Storage>,
    /// A file that holds the URL of the database to read, because other users see command lines
    #[arg(long, value_name = "FILE", value_parser = parse_path, conflicts_with = "from")]
    from_url_file: Option<PathBuf>,
    /// The target: an existing data directory or the URL of a PostgreSQL database
    #[arg(long, value_name = "DIR-OR-URL", required_unless_present = "to_url_file")]
    to: Option<Storage>,
    /// A file that holds the URL of the database to write
    #[arg(long, value_name = "FILE", value_parser = parse_path, conflicts_with = "to")]
    to_url_file: Option<PathBuf>,
    /// How to print the findings of the verification
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Copy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let from = place(self.from, self.from_url_file.as_deref())?.services(Access::Read).await?;
        let to = place(self.to, self.to_url_file.as_deref())?.services(Access::Write).await?;
        let copied = copy(&from, &to).await?;
        note(text(copied));
        verify::verify(&to, self.output).await
    }
}

fn place(given: Option<Storage>, url_file: Option<&Path>) -> Result<Storage, Failure> {
    match (given, url_file) {
        (Some(storage), _) => Ok(storage),
        (None, Some(file)) => Ok(Storage::Database(DatabaseUrl::from_file(file)?)),
        (None, None) => Err(usage("give --from and --to")),
    }
}

async fn copy(from: &Services, to: &Services) -> Result<Copied, Failure> {
    let mut watch = verify::Watch::new(from);
    let progress = |so_far: Copied| watch.tell(|| text(so_far));
    from.copy_into(to).copy(progress).await.map_err(|error| explain(&error))
}

fn text(copied: Copied) -> String {
    let Copied { companies, lines, were_there } = copied;
    let lines = counted(lines - were_there, "log line", "log lines");
    let companies = counted(companies, "company", "companies");
    match were_there {
        0 => format!("copied {lines} of {companies} and of the keys"),
        _ => {
            format!("copied {lines} of {companies} and of the keys; {were_there} were there before")
        }
    }
}
