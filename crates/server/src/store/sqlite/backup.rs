//! Copies of a data directory's database, and the way back; and new databases, which come about likewise.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    connect,
    data_dir::{DATABASE, DataDir, OpenError, is_empty, make_private},
    keys, rows,
    schema::{self, Found, MIGRATIONS},
};
use crate::{
    catalog::{id::KeyId, key::Key},
    store::StoreError,
};

/// Writes a consistent copy of the data, also of a running server's, to a new file.
///
/// The copy is one file that only its owner may read; it appears under its name when it is whole
/// and on disk.
pub fn backup(dir: &Path, to: &Path) -> Result<(), OpenError> {
    let db = open_whole(dir)?;
    if to.exists() {
        return Err(OpenError::Exists(to.to_owned()));
    }
    let partial = Partial::make(with_suffix(to, ".partial"))?;
    partial.fill(&db)?;
    partial.become_new(to)?;
    let parent =
        to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| OpenError::from_io(parent, &error))
}

/// The same as a file beside the data that has no name any more, to be read once: it needs room on disk,
/// not in memory, and goes away by itself.
pub fn backup_nameless(dir: &Path) -> Result<File, OpenError> {
    let db = open_whole(dir)?;
    let suffix = format!(".backup-{}", std::process::id());
    let path = with_suffix(&dir.join(DATABASE), &suffix);
    let partial = Partial::make(path)?;
    partial.fill(&db)?;
    File::open(&partial.path).map_err(|error| OpenError::from_io(&partial.path, &error))
}

/// Makes a new store in a directory without one. It is whole when it gets its name, so that an empty file of that
/// name is one that was emptied.
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

/// The database of a directory that holds one.
fn open_whole(dir: &Path) -> Result<Connection, OpenError> {
    let data_dir = DataDir::lock(dir, false)?;
    if !data_dir.find_store()? {
        return Err(OpenError::NoStore(dir.to_owned()));
    }
    let path = data_dir.database();
    let db = connect(&path)?;
    if schema::inspect(&db, &path, MIGRATIONS)? == Found::Empty {
        return Err(OpenError::Empty(path));
    }
    // From here on a restore would find the connection.
    Ok(db)
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// The new epoch.
    pub epoch: u64,
    /// The keys that came back to life: not revoked in the backup, but revoked or unknown in the
    /// store that it replaced, if there was one. Some may have expired.
    pub revived: Vec<Key>,
    /// Where the replaced database is kept.
    pub kept: Option<PathBuf>,
}

/// Puts a backup into an empty directory or, if asked to, in the place of a store that nobody uses.
pub fn restore(dir: &Path, from: &Path, replace: bool) -> Result<Restored, OpenError> {
    let data_dir = DataDir::lock(dir, false)?;
    let replaces = data_dir.has_store();
    let partial_path = with_suffix(&data_dir.database(), ".restoring");
    if replaces && !replace {
        return Err(OpenError::HasStore(dir.to_owned()));
    }
    if !replaces {
        data_dir.check_empty()?;
    }
    let lock_is_new = !data_dir.has_serve_lock();
    let _serving = data_dir.lock_serving()?;
    let restored = restore_locked(&data_dir, from, replaces, partial_path);
    if restored.is_err() && lock_is_new {
        data_dir.remove_serve_lock();
    }
    restored
}

fn restore_locked(
    data_dir: &DataDir,
    from: &Path,
    replaces: bool,
    partial_path: PathBuf,
) -> Result<Restored, OpenError> {
    // Left behind by a restore that was broken off.
    _ = fs::remove_file(&partial_path);
    remove_companions(&partial_path);
    let partial = Partial::copy(from, partial_path)?;
    let (new, backup_epoch, backup_keys) =
        open_copy(&partial.path).map_err(|error| error.of_original(from))?;

    let replaced = if replaces { Some(retire(data_dir)?) } else { None };
    let epoch = replaced.as_ref().map_or(backup_epoch, |old| backup_epoch.max(old.epoch)) + 1;
    let engine_failed = |error| OpenError::from_engine(&partial.path, &error);
    new.execute("UPDATE meta SET epoch = ?1", [super::integer(epoch)]).map_err(engine_failed)?;
    // The rename takes one file, so everything has to be in it.
    new.pragma_update(None, "journal_mode", "DELETE").map_err(engine_failed)?;
    new.close().map_err(|(_, error)| engine_failed(error))?;

    let kept = replaced
        .as_ref()
        .map(|old| with_suffix(&data_dir.database(), &format!(".replaced-{}", old.epoch)));
    if let Some(kept) = &kept {
        link_or_rename(&data_dir.database(), kept)?;
    }
    partial.replace(&data_dir.database())?;
    data_dir.sync()?;
    let usable_before = replaced.map(|old| old.keys).unwrap_or_default();
    let revived = revived(backup_keys, &usable_before);
    Ok(Restored { epoch, revived, kept })
}

/// Opens the copy of a backup, if it is whole, as a database of this program's schema.
fn open_copy(path: &Path) -> Result<(Connection, u64, Vec<Key>), OpenError> {
    let mut db = connect(path)?;
    check(&db, path)?;
    schema::migrate(&mut db, path, MIGRATIONS)?;
    let (epoch, keys) = read(&db, path)?;
    Ok((db, epoch, keys))
}

/// What a restore must know of the store that it replaces.
struct Replaced {
    epoch: u64,
    keys: Vec<Key>,
}

/// Reads what must be known of the old store, and makes sure that it is one file which nobody
/// uses: a write-ahead log left behind would be taken for the new database's.
fn retire(data_dir: &DataDir) -> Result<Replaced, OpenError> {
    let path = data_dir.database();
    if fs::metadata(&path).is_ok_and(|found| is_empty(&found)) {
        // All that is left may be in the log beside it, which would be taken for the new database's.
        if with_suffix(&path, "-wal").exists() {
            return Err(OpenError::Empty(path));
        }
        return Ok(Replaced { epoch: 0, keys: Vec::new() });
    }
    let failed = |error| OpenError::from_engine(&path, &error);
    let mut old = connect(&path)?;
    schema::migrate(&mut old, &path, MIGRATIONS)?;
    let (epoch, keys) = read(&old, &path)?;
    // This needs the database for itself alone, so it also finds commands that hold no lock.
    old.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed)?;
    old.close().map_err(|(_, error)| failed(error))?;
    if with_suffix(&path, "-wal").exists() {
        return Err(OpenError::InUse(path));
    }
    Ok(Replaced { epoch, keys })
}

/// Refuses what is no whole database of ours.
fn check(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_engine(path, &error);
    if schema::inspect(db, path, MIGRATIONS)? == Found::Empty {
        return Err(OpenError::NotOurs(path.to_owned()));
    }
    let verdict: String =
        db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        let cause = verdict.replace('\n', " ");
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

fn read(db: &Connection, path: &Path) -> Result<(u64, Vec<Key>), OpenError> {
    let damaged = |error: StoreError| OpenError::Damaged {
        path: path.to_owned(),
        cause: match error {
            StoreError::Damaged(cause) | StoreError::Unavailable(cause) => {
                cause.for_log().to_owned()
            }
            other => format!("{other:?}"),
        },
    };
    let epoch = rows::epoch(db).map_err(damaged)?;
    let keys = keys::keys(db, None, None, u32::MAX)
        .map_err(damaged)?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    Ok((epoch, keys))
}

/// The keys that work in the backup and did not before, be it by a secret that was rotated away.
fn revived(backup: Vec<Key>, before: &[Key]) -> Vec<Key> {
    let before: BTreeMap<&KeyId, &Key> = before.iter().map(|key| (&key.id, key)).collect();
    let worked = |key: &Key| {
        before.get(&key.id).is_some_and(|old| {
            let secrets = |key: &Key| [Some(key.secret), key.previous.map(|one| one.digest)];
            let known = secrets(old);
            old.revoked_time.is_none()
                && secrets(key).iter().all(|one| one.is_none() || known.contains(one))
        })
    };
    backup.into_iter().filter(|key| key.revoked_time.is_none() && !worked(key)).collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Gives a file a name that nothing has yet. Where the file system has links, the file keeps its
/// old name as well, so that there is no moment without one.
fn link_or_rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(to, &error);
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::rename(from, to).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

/// A file on its way to its name; it goes away if it does not get there.
struct Partial {
    path: PathBuf,
    /// Locked for as long as it is written, which tells it from one that was left behind.
    _file: File,
}

impl Partial {
    fn make(path: PathBuf) -> Result<Self, OpenError> {
        remove_left_over(&path)?;
        let file = make_private(&path)?;
        file.lock().map_err(|error| OpenError::from_io(&path, &error))?;
        Ok(Self { path, _file: file })
    }

    /// Writes all that the database holds, as it is at one moment.
    fn fill(&self, db: &Connection) -> Result<(), OpenError> {
        let name = self.path.to_str().ok_or_else(|| OpenError::Failed {
            path: self.path.clone(),
            cause: "the engine takes file names in UTF-8 only".to_owned(),
        })?;
        let copied = db.execute("VACUUM INTO ?1", [name]);
        copied.map(|_| ()).map_err(|error| OpenError::from_engine(&self.path, &error))
    }

    fn copy(from: &Path, path: PathBuf) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::Failed {
            path: from.to_owned(),
            cause: error.to_string(),
        };
        let mut source = File::open(from).map_err(failed)?;
        let mut target = make_private(&path)?;
        let copied = io::copy(&mut source, &mut target).map_err(failed);
        let partial = Self { path, _file: target };
        copied.map(|_| partial)
    }

    fn become_new(self, to: &Path) -> Result<(), OpenError> {
        self.sync()?;
        // What still has the partial name afterwards goes with `self`.
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
        _ = fs::remove_file(&self.path);
        remove_companions(&self.path);
    }
}

/// Removes the files that the engine keeps beside a database.
fn remove_companions(path: &Path) {
    for suffix in ["-wal", "-shm", "-journal"] {
        _ = fs::remove_file(with_suffix(path, suffix));
    }
}

/// Removes what a copy that was killed left behind: a database, be it without its first page yet, that
/// nobody writes.
fn remove_left_over(path: &Path) -> Result<(), OpenError> {
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
    fs::remove_file(path).map_err(failed)?;
    remove_companions(path);
    Ok(())
}
