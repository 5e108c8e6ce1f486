//! Copies of a data directory's database and restoring them, and new databases, which are made in the same way.

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    data_dir::{DataDir, OpenError, ServeLock, is_empty, make_private},
    keys,
    left_overs::{
        self, BACKUP, REPLACED, RESTORING, remove_copy, remove_with_companions, with_suffix,
    },
    meta,
    schema::{self, Found, MIGRATIONS},
    source::{Source, connect, utf8},
};
use crate::{
    catalog::{id::KeyId, key::Key},
    store::{StoreError, sound},
};

/// Keys that one query reads. Each has up to 70 kB.
const PAGE: u32 = 100;

/// Writes a consistent copy of the data, also of a running server's, to a new file.
///
/// The copy is one file that only its owner may read. It gets its name when it is complete and on disk.
pub fn backup(dir: &Path, to: &Path) -> Result<(), OpenError> {
    let (db, source, data_dir) = open_whole(dir)?;
    let _kept = source.keep(data_dir);
    let path = with_suffix(to, ".partial");
    if to.exists() {
        // The partial file may be that of a copy that was killed right after it got its name.
        _ = remove_copy(&path);
        return Err(OpenError::Exists(to.to_owned()));
    }
    let partial = Partial::make(path)?;
    partial.fill(&db)?;
    partial.become_new(to)?;
    let parent =
        to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| OpenError::from_io(parent, &error))
}

/// Writes a copy to a file beside the data that has no name any more, to be read once. The copy needs disk space, not
/// memory, and the system deletes it when it is closed.
pub fn backup_nameless(dir: &Path) -> Result<File, OpenError> {
    let (db, source, data_dir) = open_whole(dir)?;
    let suffix = format!("{BACKUP}{}", std::process::id());
    let partial = Partial::make(with_suffix(&data_dir.database(), &suffix))?;
    // The partial file is locked now, so no other program takes it for a left-over.
    let _kept = source.keep(data_dir);
    partial.fill(&db)?;
    File::open(&partial.path).map_err(|error| OpenError::from_io(&partial.path, &error))
}

/// Makes a new store in a directory without one. The database gets its name when it is complete. So an empty file of
/// that name was emptied later.
pub(super) fn make(data_dir: &DataDir) -> Result<(), OpenError> {
    let partial = Partial::make(data_dir.new_database())?;
    let mut db = connect(&partial.path)?;
    schema::migrate(&mut db, &partial.path, MIGRATIONS)?;
    db.close().map_err(|(_, error)| OpenError::from_engine(&partial.path, &error))?;
    partial.replace(&data_dir.database())?;
    data_dir.sync()?;
    tracing::info!(database = %data_dir.database().display(), "a new store was made");
    Ok(())
}

/// The database of a directory that holds one, and the directory's lock. After the lock is dropped, a restore
/// finds the open connection.
fn open_whole(dir: &Path) -> Result<(Connection, Source, DataDir), OpenError> {
    let data_dir = DataDir::lock(dir, false)?;
    if !data_dir.find_store()? {
        return Err(OpenError::NoStore(dir.to_owned()));
    }
    let source = Source::for_reading(data_dir.database())?;
    let db = source.connect()?;
    if schema::inspect(&db, source.path(), MIGRATIONS)? == Found::Empty {
        return Err(OpenError::Empty(data_dir.database()));
    }
    Ok((db, source, data_dir))
}

/// The result of a restore. No other program opens the store while this lives.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Restored {
    pub epoch: u64,
    /// The file of the replaced database.
    pub kept: Option<PathBuf>,
    data_dir: DataDir,
    _serving: Option<ServeLock>,
}

impl Restored {
    /// Shows the keys that the restore made valid again, by id: keys that are not revoked in the backup, but were
    /// revoked or unknown in the replaced store, if there was one. Some of them may have expired.
    pub fn revived(&self, mut show: impl FnMut(&Key)) -> Result<(), OpenError> {
        let path = self.data_dir.database();
        let is_empty = |path: &&Path| fs::metadata(path).is_ok_and(|found| is_empty(&found));
        let before = self.kept.as_deref().filter(|kept| !is_empty(kept));
        let before = before.map(|kept| Ok((kept, connect(kept)?))).transpose()?;
        each_key(&connect(&path)?, &path, |key| {
            let old = match &before {
                Some((kept, db)) => {
                    keys::key(db, &key.id).map_err(|error| unreadable(kept, &error))?
                }
                None => None,
            };
            if key.revoked_time.is_none() && !old.is_some_and(|(old, _)| worked(&old, key)) {
                show(key);
            }
            Ok(())
        })
    }
}

/// Restores a backup into an empty directory or, with `replace`, over a store that no program uses. A restore that is
/// killed leaves the old store, and the next restore cleans up.
pub fn restore(dir: &Path, from: &Path, replace: bool) -> Result<Restored, OpenError> {
    let data_dir = DataDir::lock(dir, false)?;
    left_overs::remove(dir)?;
    let replaces = data_dir.has_store();
    if replaces && !replace {
        return Err(OpenError::HasStore(dir.to_owned()));
    }
    if !replaces {
        data_dir.check_empty()?;
    }
    // Without a lock file no server can be running. Taking the lock would make the file, which would
    // say that a store was lost.
    let may_be_served = replaces || data_dir.has_serve_lock();
    let serving = may_be_served.then(|| data_dir.lock_serving()).transpose()?;
    let (epoch, kept) = restore_locked(&data_dir, from, replaces)?;
    Ok(Restored { epoch, kept, data_dir, _serving: serving })
}

/// Returns the new epoch, and the file of the old database.
fn restore_locked(
    data_dir: &DataDir,
    from: &Path,
    replaces: bool,
) -> Result<(u64, Option<PathBuf>), OpenError> {
    let partial = Partial::of(from, with_suffix(&data_dir.database(), RESTORING))?;
    let (new, backup_epoch) = open_copy(&partial.path).map_err(|error| error.of_original(from))?;

    let replaced = if replaces { Some(retire(data_dir)?) } else { None };
    let epoch = backup_epoch.max(replaced.unwrap_or(0)) + 1;
    let engine_failed = |error| OpenError::from_engine(&partial.path, &error);
    new.execute("UPDATE meta SET epoch = ?1", [super::integer(epoch)]).map_err(engine_failed)?;
    // The rename moves one file, so all data has to be in it.
    new.pragma_update(None, "journal_mode", "DELETE").map_err(engine_failed)?;
    new.close().map_err(|(_, error)| engine_failed(error))?;

    let kept = replaced.map(|old| with_suffix(&data_dir.database(), &format!("{REPLACED}{old}")));
    if let Some(kept) = &kept {
        link_or_rename(&data_dir.database(), kept)?;
    }
    partial.replace(&data_dir.database())?;
    data_dir.sync()?;
    Ok((epoch, kept))
}

/// Opens the copy of a backup, checks it and brings it to this program's schema. Returns its epoch too.
fn open_copy(path: &Path) -> Result<(Connection, u64), OpenError> {
    let mut db = connect(path)?;
    check(&db, path)?;
    schema::migrate(&mut db, path, MIGRATIONS)?;
    let epoch = read_epoch(&db, path)?;
    Ok((db, epoch))
}

/// Returns the old store's epoch, and makes sure that it is one file that no program uses: a write-ahead log beside it
/// would be taken for the new database's log.
fn retire(data_dir: &DataDir) -> Result<u64, OpenError> {
    let path = data_dir.database();
    if fs::metadata(&path).is_ok_and(|found| is_empty(&found)) {
        // The log beside it may hold the remaining data, and would be taken for the new database's log.
        if with_suffix(&path, "-wal").exists() {
            return Err(OpenError::Empty(path));
        }
        return Ok(0);
    }
    let failed = |error| OpenError::from_engine(&path, &error);
    let mut old = connect(&path)?;
    schema::migrate(&mut old, &path, MIGRATIONS)?;
    let epoch = read_epoch(&old, &path)?;
    // This needs the database for itself, so it also finds commands that hold no lock.
    old.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    old.close().map_err(|(_, error)| failed(error))?;
    if with_suffix(&path, "-wal").exists() {
        return Err(OpenError::InUse(path));
    }
    Ok(epoch)
}

/// Refuses a file that is no intact database of this program.
fn check(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_engine(path, &error);
    if schema::inspect(db, path, MIGRATIONS)? == Found::Empty {
        return Err(OpenError::NotOurs(path.to_owned()));
    }
    if let Some(cause) = schema::faults(db, 1).map_err(failed)?.pop() {
        return Err(OpenError::Damaged { path: path.to_owned(), cause });
    }
    let orphans: i64 = db
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .map_err(failed)?;
    if orphans > 0 {
        let cause = format!("{orphans} rows refer to rows that are missing");
        return Err(OpenError::Damaged { path: path.to_owned(), cause });
    }
    Ok(())
}

/// Reads the epoch, after reading all keys, so that unreadable keys are found before anything is replaced.
fn read_epoch(db: &Connection, path: &Path) -> Result<u64, OpenError> {
    each_key(db, path, |_| Ok(()))?;
    meta::epoch(db).map_err(|error| unreadable(path, &error))
}

/// Shows every key, by id. Only a few are in memory at the same time.
fn each_key(
    db: &Connection,
    path: &Path,
    mut show: impl FnMut(&Key) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut after: Option<KeyId> = None;
    loop {
        let page = keys::keys(db, None, after.as_ref(), PAGE).and_then(sound);
        let page = page.map_err(|error| unreadable(path, &error))?;
        for (key, _) in &page {
            show(key)?;
        }
        match page.into_iter().next_back() {
            Some((last, _)) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

fn unreadable(path: &Path, error: &StoreError) -> OpenError {
    let cause = match error {
        StoreError::Damaged(cause) | StoreError::Unavailable(cause) => cause.for_log().to_owned(),
        other => format!("{other:?}"),
    };
    OpenError::Damaged { path: path.to_owned(), cause }
}

/// Whether all secrets of `key` were valid with `before`.
fn worked(before: &Key, key: &Key) -> bool {
    let secrets = |key: &Key| [Some(key.secret), key.previous.map(|one| one.digest)];
    let known = secrets(before);
    before.revoked_time.is_none()
        && secrets(key).iter().all(|one| one.is_none() || known.contains(one))
}

/// Gives a file a new name. If the file system has links, the file has its old name too, so that there
/// is no moment without one.
fn link_or_rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(to, &error);
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::rename(from, to).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// A file that does not have its final name yet. It is deleted if it never gets it.
struct Partial {
    path: PathBuf,
    /// Locked while it is written, which distinguishes it from a left-over.
    _file: File,
}

impl Partial {
    fn make(path: PathBuf) -> Result<Self, OpenError> {
        remove_copy(&path)?;
        let file = make_private(&path)?;
        file.lock().map_err(|error| OpenError::from_io(&path, &error))?;
        Ok(Self { path, _file: file })
    }

    /// Writes the whole content of the database, as of one moment.
    fn fill(&self, db: &Connection) -> Result<(), OpenError> {
        let copied = db.execute("VACUUM INTO ?1", [utf8(&self.path)?]);
        copied.map(|_| ()).map_err(|error| OpenError::from_engine(&self.path, &error))
    }

    /// The content of a backup, or of a database that has a log beside it.
    fn of(from: &Path, path: PathBuf) -> Result<Self, OpenError> {
        // The engine looks for its log beside the file that a link leads to. A stream has no path.
        let real = fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
        // The engine would delete the log beside an empty file.
        let is_whole = |found: Metadata| found.is_file() && !is_empty(&found);
        let has_log = ["-wal", "-journal"].iter().any(|log| with_suffix(&real, log).exists());
        if !has_log || !fs::metadata(&real).is_ok_and(is_whole) {
            return Self::copy(from, path);
        }
        let of_original = |error: OpenError| error.of_original(from);
        let source = Source::for_reading(real).map_err(of_original)?;
        let db = source.connect().map_err(of_original)?;
        let partial = Self::make(path)?;
        partial.fill(&db).map_err(of_original)?;
        Ok(partial)
    }

    fn copy(from: &Path, path: PathBuf) -> Result<Self, OpenError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NoFile(from.to_owned()),
            _ => OpenError::Failed { path: from.to_owned(), cause: error.to_string() },
        };
        let mut source = File::open(from).map_err(unreadable)?;
        let mut target = make_private(&path)?;
        let copied = io::copy(&mut source, &mut target).map_err(unreadable);
        let partial = Self { path, _file: target };
        copied.map(|_| partial)
    }

    fn become_new(self, to: &Path) -> Result<(), OpenError> {
        self.sync()?;
        // Dropping `self` removes the partial name.
        link_or_rename(&self.path, to)
    }

    fn replace(self, to: &Path) -> Result<(), OpenError> {
        self.sync()?;
        fs::rename(&self.path, to).map_err(|error| OpenError::from_io(to, &error))
    }

    fn sync(&self) -> Result<(), OpenError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(|error| OpenError::from_io(&self.path, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        _ = remove_with_companions(&self.path);
    }
}
