//! The files of an open database: whether their names still belong to them, whether the database is still the one that
//! was opened, whether its log is whole, and whether their disk can be read. The engine checks none of that: it goes on
//! writing to a file that was deleted or overwritten, and takes a page that cannot be read for damage.
//!
//! This file knows no SQL.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::log_files::LogFiles;
use crate::{catalog::error::Cause, store::StoreError};

/// The size in which disks are read, and to which memory must be aligned for that.
const BLOCK: usize = 4_096;
/// The number of places in the file that are read to check the disk.
const TRIALS: u64 = 8;
/// The place of the mark in the database's header, which the engine keeps for its users (`user_version`).
const MARK_PLACE: u64 = 60;

/// The files that the names belonged to when the database was opened.
pub(super) struct Files {
    names: Vec<(PathBuf, Identity)>,
    /// Open for as long as the connections are, and closed after them: closing a file releases all locks that its
    /// process has on it, also those of the engine.
    database: File,
    /// The same file through the system's cache. It stays open as long.
    cached: File,
    /// The random number in the header by which stores are told apart. It never changes while the store is open.
    mark: [u8; 4],
    /// The most bytes that the database had in a check. The file never becomes shorter, since nothing vacuums it.
    length: AtomicU64,
    log: Option<LogFiles>,
    /// Whether a file was cut off or overwritten. The database stays lost: the engine holds pages of what was there
    /// before.
    is_lost: AtomicBool,
    /// Whether a read failed, and no later read succeeded.
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
    /// The database's file and the engine's files beside it, which exist after the first read.
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
        let cached = File::open(database)?;
        Ok(Self {
            names,
            database: open_unbuffered(database)?,
            mark: mark(&cached)?,
            length: AtomicU64::new(cached.metadata()?.len()),
            cached,
            log: LogFiles::open(database)?,
            is_lost: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
        })
    }

    /// Refuses a request unless the files are in their place and their disk can be read. The engine might answer from
    /// its memory, which would not be true any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.check_place()?;
        self.check_disk()
    }

    /// Refuses a request if a name is missing or belongs to another file, or if the files are lost.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        self.names.iter().try_for_each(in_place)?;
        self.check_content()
    }

    /// Refuses a request if the database or its log was cut off, or overwritten with another store, under whatever name.
    /// An older copy of the same store cannot be told from it here.
    pub(super) fn check_content(&self) -> Result<(), StoreError> {
        // The length is loaded before the file is asked, as another thread may see the file grow in between.
        let least = self.length.load(Ordering::SeqCst);
        let database = &self.names[0].0;
        let failed = |error| unreadable(database, &error);
        let length = self.cached.metadata().map_err(failed)?.len();
        let is_other = mark(&self.cached).map_err(failed)? != self.mark;
        if length < least || is_other || self.is_lost.load(Ordering::Relaxed) {
            return Err(self.lost(database));
        }
        if let Some(log) = &self.log
            && !log.is_whole().map_err(|error| unreadable(log.path(), &error))?
        {
            return Err(self.lost(log.path()));
        }
        self.length.fetch_max(length, Ordering::SeqCst);
        Ok(())
    }

    fn lost(&self, path: &Path) -> StoreError {
        self.is_lost.store(true, Ordering::Relaxed);
        StoreError::Replaced(Cause::new(format!("{} was overwritten or cut off", path.display())))
    }

    /// Finds the true cause of an engine's failure: data that cannot be read, or that is not there any more, is not known
    /// to be damaged.
    pub(super) fn judge(&self, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Damaged(_) | StoreError::Unavailable(_)) {
            return error;
        }
        if let Err(replaced @ StoreError::Replaced(_)) = self.check_place() {
            return replaced;
        }
        match try_to_read(&self.database) {
            Ok(()) => error,
            Err(refused) => {
                self.is_suspect.store(true, Ordering::Relaxed);
                unreadable(&self.names[0].0, &refused)
            }
        }
    }

    /// Refuses a request while a disk that failed cannot be read: answers from the engine's memory
    /// would hide the failure.
    fn check_disk(&self) -> Result<(), StoreError> {
        if !self.is_suspect.load(Ordering::Relaxed) {
            return Ok(());
        }
        try_to_read(&self.database).map_err(|error| unreadable(&self.names[0].0, &error))?;
        self.is_suspect.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Refuses a request unless the name belongs to the file that was opened.
fn in_place((path, identity): &(PathBuf, Identity)) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if Identity::of(&found) == *identity => return Ok(()),
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Err(unreadable(path, &error));
        }
        _ => {}
    }
    let text = format!("{} was deleted or replaced", path.display());
    Err(StoreError::Replaced(Cause::new(text)))
}

/// The mark of a database, or of a file that is too short to be one.
fn mark(file: &File) -> io::Result<[u8; 4]> {
    let mut mark = [0; 4];
    match file.read_exact_at(&mut mark, MARK_PLACE) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(mark),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(Cause::new(format!(
        "the disk does not give {}: {error}",
        path.display()
    )))
}

/// Opens the file past the system's cache, if the file system supports that.
fn open_unbuffered(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => File::open(path),
        other => other,
    }
}

/// Checks whether the file can be read, for callers without an open connection to it.
pub(super) fn read_trial(path: &Path) -> io::Result<()> {
    try_to_read(&open_unbuffered(path)?)
}

/// Reads a few blocks, spread over the whole file. A single damaged block is rarely among them.
fn try_to_read(file: &File) -> io::Result<()> {
    let mut memory = vec![0; 2 * BLOCK];
    let aligned = memory.as_ptr().align_offset(BLOCK);
    let block = &mut memory[aligned..aligned + BLOCK];
    let blocks = file.metadata()?.len() / BLOCK as u64;
    for trial in 0..TRIALS.min(blocks.max(1)) {
        match file.read_at(block, (blocks * trial / TRIALS) * BLOCK as u64) {
            // The disk has larger blocks, so this read says nothing.
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
    fn a_database_that_is_cut_off_or_overwritten_in_place_stays_lost() {
        let bytes = |mark: u8, length: usize| {
            let mut bytes = vec![1; length];
            bytes[60..64].fill(mark);
            bytes
        };
        for (there, is_lost) in [
            (vec![], true),
            (bytes(1, 9 * BLOCK - 1), true),
            (bytes(2, 9 * BLOCK), true),
            (bytes(2, 10 * BLOCK), true),
            (bytes(1, 9 * BLOCK), false),
            (bytes(1, 10 * BLOCK), false),
        ] {
            let (_dir, path, files) = files();
            files.check().unwrap();
            // Written into the same file.
            fs::write(&path, &there).unwrap();
            let checked = files.check();
            assert_eq!(matches!(checked, Err(StoreError::Replaced(_))), is_lost, "{}", there.len());
            fs::write(&path, bytes(1, 11 * BLOCK)).unwrap();
            assert_eq!(files.check().is_err(), is_lost, "{}", there.len());
            fs::write(&path, bytes(1, 10 * BLOCK)).unwrap();
            assert!(files.check().is_err(), "it was longer");
        }
    }

    #[test]
    fn damage_is_damage_as_long_as_the_disk_gives_it() {
        let (_dir, _, files) = files();
        let damaged = || StoreError::Damaged(Cause::new("malformed"));
        assert!(matches!(files.judge(damaged()), StoreError::Damaged(_)));
        files.check_disk().unwrap();
        // A directory cannot be read, like a disk that fails.
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
