//! The files that killed restores and backups leave in a data directory: their names, and when they may be deleted.
//! Callers hold the directory's lock, as every restore does while it runs.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::data_dir::{DATABASE, OpenError};

/// The copy of a backup that a restore makes.
pub(super) const RESTORING: &str = ".restoring";
/// The copy that a backup to standard output makes, with its process id.
pub(super) const BACKUP: &str = ".backup-";
/// The database that a restore replaced, with its epoch.
pub(super) const REPLACED: &str = ".replaced-";
/// The files that the engine makes beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether a file of that name belongs to a restore that did not finish.
pub(super) fn is_of_restore(name: &str) -> bool {
    name.strip_prefix(DATABASE).is_some_and(|suffix| suffix.starts_with(RESTORING))
}

/// Deletes the left-overs in a data directory.
pub(super) fn remove(dir: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(dir, &error);
    let database = dir.join(DATABASE);
    for found in fs::read_dir(dir).map_err(failed)? {
        let path = found.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(suffix) = name.strip_prefix(DATABASE) else { continue };
        if COMPANIONS.iter().any(|companion| suffix.ends_with(companion)) {
            // The engine's files are deleted with their database.
            continue;
        }
        // A restore that was killed right before the replacement leaves a second name of the database itself.
        if suffix == RESTORING || (suffix.starts_with(REPLACED) && is_same(&path, &database)) {
            remove_with_companions(&path).map_err(failed)?;
        } else if suffix.starts_with(BACKUP) {
            match remove_copy(&path) {
                // Another program makes this copy now.
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

/// Deletes the copy that a killed program left: a database, perhaps without its first page, that no program writes.
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

/// Deletes a database with the engine's files beside it. The engine's files are deleted first, since without their
/// database no program would delete them.
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

/// The path of a file beside another, with a longer name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
