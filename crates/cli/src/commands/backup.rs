//! `customer-settings backup` and `restore`.

use std::path::PathBuf;

use customer_settings_server::{catalog::key::Key, clock, store::sqlite};

use super::{Data, Failure};
use crate::output::note;

/// Take a consistent copy of the data, with history and keys; a server may be running on it
///
/// The copy is one file that only its owner may read. An existing file is never overwritten.
#[derive(clap::Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    data: Data,
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let dir = self.data.directory("backup", "use pg_dump or the backups of its operator")?;
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || sqlite::backup(&dir, &self.file)).await??;
        note(format!("backed up to {}", file.display()));
        Ok(())
    }
}

/// Bring a backup back, as a new epoch of the data
///
/// Tokens and etags from before are not mistaken for current ones. Keys that were revoked since
/// the backup was taken work again: they are listed, so that they can be revoked again before a
/// server starts.
#[derive(clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    data: Data,
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the data that the directory holds; it is kept beside the restored one
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let dir = self.data.directory("restore", "use pg_restore, then raise the epoch")?;
        let (target, file, replace) = (dir.clone(), self.file, self.replace);
        let restore = move || sqlite::restore(&target, &file, replace);
        let restored = tokio::task::spawn_blocking(restore).await??;
        note(format!("restored into {} as epoch {}", dir.display(), restored.epoch));
        if let Some(kept) = &restored.kept {
            note(format!("what was there before is kept as {}", kept.display()));
        }
        let now = clock::now();
        let alive: Vec<&Key> =
            restored.revived.iter().filter(|key| key.check_usable(now).is_ok()).collect();
        if alive.is_empty() {
            note("no revoked key came back to life");
            return Ok(());
        }
        match restored.kept {
            Some(_) => note("these keys were revoked or unknown before and work again:"),
            None => note("these keys work; revoke again those that were revoked since the backup:"),
        }
        for key in alive {
            note(format!("  {} \"{}\"", key.id, key.name));
        }
        Ok(())
    }
}
