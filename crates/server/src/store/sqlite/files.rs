//! The files of an open database: whether they still stand where they were opened, and whether their
//! disk gives what is on it. The engine asks neither: it goes on writing to a file that was deleted, and
//! takes a page that cannot be read for a damaged one.
//!
//! Knows no SQL.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{catalog::error::Cause, store::StoreError};

/// What disks are read in, and what memory must be aligned to for that.
const BLOCK: usize = 4_096;
/// How many places of the file are read to see whether the disk gives any.
const TRIALS: u64 = 8;

/// What the names stood for when the database was opened.
pub(super) struct Files {
    names: Vec<(PathBuf, Identity)>,
    /// Open for as long as the connections are, and closed after them: whoever closes a file takes all
    /// locks from it that its process has there, those of the engine among them.
    database: File,
    /// Whether the disk did not give something, and was not seen to give anything since.
    is_suspect: AtomicBool,
}

#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

impl Files {
    /// The database's file and those that the engine keeps beside it, which are there once it was read.
    pub(super) fn of(database: &Path) -> io::Result<Self> {
        let mut names = Vec::new();
        for suffix in ["", "-wal", "-shm"] {
            let mut name = database.as_os_str().to_owned();
            name.push(suffix);
            match fs::metadata(&name) {
                Ok(found) => names.push((PathBuf::from(name), Identity::of(&found))),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { names, database: open_unbuffered(database)?, is_suspect: AtomicBool::new(false) })
    }

    /// Refuses to ask the engine for anything, be it from its own memory, that is only true while its files are in
    /// their place, and their disk gives what is on it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.check_place()?;
        self.check_disk()
    }

    /// Refuses to go on where a name is gone, or stands for another file.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        for (path, identity) in &self.names {
            let is_gone = match fs::metadata(path) {
                Ok(found) => Identity::of(&found) != *identity,
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => true,
                    _ => return Err(unreadable(path, &error)),
                },
            };
            if is_gone {
                let text = format!("{} was deleted or replaced", path.display());
                return Err(StoreError::Replaced(Cause::new(text)));
            }
        }
        Ok(())
    }

    /// What a failure of the engine is in truth: nothing is known to be damaged that cannot be read.
    pub(super) fn judge(&self, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Damaged(_) | StoreError::Unavailable(_)) {
            return error;
        }
        match try_to_read(&self.database) {
            Ok(()) => error,
            Err(refused) => {
                self.is_suspect.store(true, Ordering::Relaxed);
                unreadable(&self.names[0].0, &refused)
            }
        }
    }

    /// Refuses to go on while a disk that failed gives nothing yet: what the engine has in memory would
    /// make it look well.
    fn check_disk(&self) -> Result<(), StoreError> {
        if !self.is_suspect.load(Ordering::Relaxed) {
            return Ok(());
        }
        try_to_read(&self.database).map_err(|error| unreadable(&self.names[0].0, &error))?;
        self.is_suspect.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(Cause::new(format!(
        "the disk does not give {}: {error}",
        path.display()
    )))
}

/// The file as it is on disk where the file system can show that, else as the system remembers it.
fn open_unbuffered(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path),
        other => other,
    }
}

/// Why the file cannot be read, if it cannot: for who has no connection to it that goes on.
pub(super) fn read_trial(path: &Path) -> io::Result<()> {
    try_to_read(&open_unbuffered(path)?)
}

/// Reads a few blocks, spread over the whole file. One that is damaged by itself is hardly among them.
fn try_to_read(file: &File) -> io::Result<()> {
    let mut memory = vec![0; 2 * BLOCK];
    let aligned = memory.as_ptr().align_offset(BLOCK);
    let block = &mut memory[aligned..aligned + BLOCK];
    let blocks = file.metadata()?.len() / BLOCK as u64;
    for trial in 0..TRIALS.min(blocks.max(1)) {
        match file.read_at(block, (blocks * trial / TRIALS) * BLOCK as u64) {
            // Where the disk's blocks are larger it says nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            other => _ = other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, PathBuf, Files) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        fs::write(&path, vec![1; 9 * BLOCK]).unwrap();
        fs::write(dir.path().join("test.db-wal"), "").unwrap();
        let files = Files::of(&path).unwrap();
        (dir, path, files)
    }

    #[test]
    fn whatever_happens_to_a_name_is_noticed_until_it_is_put_back() {
        for name in [None, Some("test.db"), Some("test.db-wal")] {
            let (dir, _, files) = files();
            files.check().unwrap();
            let named = name.map_or(dir.path().to_owned(), |name| dir.path().join(name));
            let aside = dir.path().with_extension("aside");
            fs::rename(&named, &aside).unwrap();
            assert!(matches!(files.check(), Err(StoreError::Replaced(_))), "{name:?} is gone");
            fs::write(&named, "another").unwrap();
            assert!(matches!(files.check(), Err(StoreError::Replaced(_))), "{name:?} is another");
            fs::remove_file(&named).unwrap();
            fs::rename(&aside, &named).unwrap();
            files.check().unwrap();
        }
    }

    #[test]
    fn damage_is_damage_as_long_as_the_disk_gives_it() {
        let (_dir, _, files) = files();
        let damaged = || StoreError::Damaged(Cause::new("malformed"));
        assert!(matches!(files.judge(damaged()), StoreError::Damaged(_)));
        files.check_disk().unwrap();
        // A directory cannot be read, as a disk that fails cannot.
        let database = File::open("/").unwrap();
        let dead = Files { database, ..files };
        assert!(matches!(dead.judge(damaged()), StoreError::Unavailable(_)));
        assert!(matches!(dead.judge(StoreError::Conflict), StoreError::Conflict));
        assert!(matches!(dead.check_disk(), Err(StoreError::Unavailable(_))));
        let (_dir, path, _) = self::files();
        let recovered = Files { database: File::open(path).unwrap(), ..dead };
        recovered.check_disk().unwrap();
        assert!(!recovered.is_suspect.load(Ordering::Relaxed));
    }
}
