//! What restores and backups leave in a data directory when they are killed, by its names, and when it
//! may go. Whoever asks holds the directory's lock, as every restore does for as long as it lasts.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::data_dir::{DATABASE, OpenError};

/// The copy of a backup on its way to the database's name.
pub(super) const RESTORING: &str = ".restoring";
/// A copy on its way to standard output, with the process that makes it.
pub(super) const BACKUP: &str = ".backup-";
/// The database that a restore replaced, with its epoch.
pub(super) const REPLACED: &str = ".replaced-";
/// What the engine keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether a file of that name is part of a restore that did not come to its end.
pub(super) fn is_of_restore(name: &str) -> bool {
    name.strip_prefix(DATABASE).is_some_and(|suffix| suffix.starts_with(RESTORING))
}

/// Removes what was left behind in a data directory.
pub(super) fn remove(dir: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(dir, &error);
    let database = dir.join(DATABASE);
    for found in fs::read_dir(dir).map_err(failed)? {
        let path = found.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(suffix) = name.strip_prefix(DATABASE) else { continue };
        if COMPANIONS.iter().any(|companion| suffix.ends_with(companion)) {
            // They go with the file that they belong to.
            continue;
        }
        // Another name for the database itself was given to it right before it would have been replaced.
        if suffix == RESTORING || (suffix.starts_with(REPLACED) && is_same(&path, &database)) {
            remove_with_companions(&path).map_err(failed)?;
        } else if suffix.starts_with(BACKUP) {
            match remove_copy(&path) {
                // Somebody makes it just now.
                Err(OpenError::InUse(_)) | Ok(()) => {}
                Err(other) => return Err(other),
            }
        }
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// Removes what a copy that was killed left behind: a database, be it without its first page yet, that
/// nobody writes.
pub(super) fn remove_copy(path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(path, &error);
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut start = Vec::new();
    let magic = b"SQLite format 3\0";
    file.take(magic.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start != magic && start.iter().any(|byte| *byte != 0) {
        return Err(OpenError::Exists(path.to_owned()));
    }
    remove_with_companions(path).map_err(failed)
}

/// Removes a database with the files that the engine keeps beside it, these first: a database without
/// them is no left-over's.
pub(super) fn remove_with_companions(path: &Path) -> io::Result<()> {
    let companions = COMPANIONS.map(|suffix| with_suffix(path, suffix));
    for path in companions.iter().map(PathBuf::as_path).chain([path]) {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// A file beside another one, whose name goes on.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
