//! `customer-settings backup` and `restore`.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use customer_settings_server::{
    clock,
    store::sqlite::{self, OpenError, Restored},
};

use super::{Data, Failure, failure};
use crate::{
    failure::usage,
    output::{self, note},
};

/// The part of a copy that is in memory at once.
const PART_BYTES: usize = 64 * 1024;

/// The advice for a database. It appears only if somebody gives a database to these commands.
fn not_for_databases(arg: clap::Arg) -> clap::Arg {
    let is_for_databases = arg.get_id().as_str().starts_with("database_url");
    arg.hide(is_for_databases)
}

/// Take a consistent copy of the data, with history and keys; a server may be running on it
///
/// The copy is one file that only its owner may read. An existing file is never overwritten. With `-` the
/// copy goes to standard output. A complete copy stands beside the data first, which needs as much room
/// there.
#[derive(clap::Args)]
#[command(mut_args(not_for_databases))]
#[command(after_help = "\
Examples:
  customer-settings backup --data-dir data backup.db
  customer-settings backup --data-dir data - | ssh backups 'cat > backup.db'")]
pub(crate) struct Backup {
    #[command(flatten)]
    data: Data,
    /// The file to write; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let dir = self.data.directory("backup", "use pg_dump or the backups of its operator")?;
        if self.file.as_os_str() == "-" {
            return to_standard_output(dir).await;
        }
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || sqlite::backup(&dir, &self.file)).await??;
        note(format!("backed up to {}", file.display()));
        Ok(())
    }
}

async fn to_standard_output(dir: PathBuf) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(usage(
            "a backup is no text for a terminal: give a file, or redirect standard output",
        ));
    }
    if output::leads_nowhere() {
        return Err(failure(
            "standard output is closed, or /dev/null: give a file, or redirect standard output",
        ));
    }
    let write_all = move || -> Result<(), Failure> {
        let mut copy = sqlite::backup_nameless(&dir)?;
        let mut part = vec![0; PART_BYTES];
        loop {
            let read = copy.read(&mut part);
            match read.map_err(|error| failure(format!("the copy cannot be read: {error}")))? {
                0 => return Ok(()),
                length => {
                    output::write(&part[..length]).map_err(|error| output::unwritten(&error))?
                }
            }
        }
    };
    tokio::task::spawn_blocking(write_all).await??;
    note("backed up to standard output");
    Ok(())
}

/// Bring a backup back, as a new epoch of the data
///
/// Tokens and etags from before the restore do not count as current. Keys that were revoked after the backup
/// work again: the command lists them, so that they can be revoked again before a server starts.
#[derive(clap::Args)]
#[command(mut_args(not_for_databases))]
#[command(after_help = "\
Examples:
  mkdir -m 700 restored && customer-settings restore --data-dir restored backup.db
  customer-settings restore --data-dir data --replace backup.db
  mkdir -m 700 copy && ssh backups 'cat backup.db' | customer-settings restore --data-dir copy -")]
pub(crate) struct Restore {
    #[command(flatten)]
    data: Data,
    /// The backup; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the data that the directory holds; the old data stays beside the restored data
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let dir = self.data.directory("restore", "use pg_restore, then raise the epoch")?;
        let (target, replace) = (dir.clone(), self.replace);
        let file = if self.file.as_os_str() == "-" { "/dev/stdin".into() } else { self.file };
        let restore = move || sqlite::restore(&target, &file, replace);
        let restored = tokio::task::spawn_blocking(restore).await??;
        note(format!("restored into {} as epoch {}", dir.display(), restored.epoch));
        if let Some(kept) = &restored.kept {
            note(format!("what was there before is kept as {}", kept.display()));
        }
        let listed = tokio::task::spawn_blocking(move || tell_revived(&restored)).await?;
        listed.map_err(|error| {
            failure(format!(
                "the backup is restored, but which keys work again is not known: {error}; look at 'key list'"
            ))
        })
    }
}

fn tell_revived(restored: &Restored) -> Result<(), OpenError> {
    let now = clock::now();
    let mut is_first = true;
    restored.revived(|key| {
        if key.check_usable(now).is_err() {
            return;
        }
        if std::mem::take(&mut is_first) {
            note(match restored.kept {
                Some(_) => "these keys were revoked or unknown before and work again:",
                None => "these keys work; revoke again those that were revoked since the backup:",
            });
        }
        note(format!("  {} \"{}\"", key.id, key.name));
    })?;
    if is_first {
        note("no revoked key came back to life");
    }
    Ok(())
}
