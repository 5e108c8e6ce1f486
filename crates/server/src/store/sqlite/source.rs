//! The place where the connections of a store are opened. Programs that only read can do so where nothing can be
//! written too: on a disk that is mounted read-only, or in another user's directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tempfile::TempDir;

use super::{
    BUSY_TIMEOUT, LOG_SIZE_LIMIT,
    data_dir::{DataDir, OpenError, make_private},
    left_overs::with_suffix,
};

/// The characters of a path that have a meaning in a URI.
const IN_URI: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// A database file, and the manner in which connections to it are opened.
pub(super) struct Source {
    path: PathBuf,
    manner: Manner,
    copy: Option<TempDir>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// For reading and writing.
    Write,
    /// For reading a database beside which there is a log. Its rows stay there: nothing that a command reads is moved.
    Leave,
    /// For reading only, on a disk to which the engine cannot write its own files either.
    Read,
    /// For reading a file that nobody else has open or can open. So the engine needs neither its locks nor a log.
    Still,
}

/// The things that must live as long as the connections.
pub(super) struct Kept {
    _copy: Option<TempDir>,
    _dir: Option<DataDir>,
}

impl Kept {
    /// The place of a store that goes with its connections.
    pub(super) fn place(place: TempDir) -> Self {
        Self { _copy: Some(place), _dir: None }
    }
}

impl Source {
    /// The source of a program that writes.
    pub(super) fn writable(path: PathBuf) -> Self {
        Self { path, manner: Manner::Write, copy: None }
    }

    /// The source of a program that only reads. If the engine cannot make its log and the log's index beside the
    /// database, the existing ones determine the manner.
    pub(super) fn for_reading(path: PathBuf) -> Result<Self, OpenError> {
        let beside = |suffix| fs::metadata(with_suffix(&path, suffix)).ok();
        let has_log = beside("-wal").is_some();
        let manner = if has_log { Manner::Leave } else { Manner::Write };
        let there = Self { path: path.clone(), manner, copy: None };
        match there.connect().and_then(|db| touch(&db, &path)) {
            Err(OpenError::NotWritable { .. }) => {}
            other => return other.map(|()| there),
        }
        let holds_rows = |suffix| beside(suffix).is_some_and(|found| found.len() > 0);
        // A writer has both files for as long as it runs. Without a writer, the engine makes an index in memory.
        if has_log && beside("-shm").is_some() {
            return Ok(Self { path, manner: Manner::Read, copy: None });
        }
        // Only an engine that may write finds rows that are in no file but these.
        if holds_rows("-wal") || holds_rows("-journal") {
            return copied(&path);
        }
        Ok(Self { path, manner: Manner::Still, copy: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Stores the things that the connections need. From here on other programs may open the directory,
    /// except in the manner `Still`.
    pub(super) fn keep(self, data_dir: DataDir) -> Kept {
        Kept { _copy: self.copy, _dir: (self.manner == Manner::Still).then_some(data_dir) }
    }

    pub(super) fn connect(&self) -> Result<Connection, OpenError> {
        match self.manner {
            Manner::Write => return connect(&self.path),
            Manner::Leave => {
                let db = connect(&self.path)?;
                leave_log(&db).map_err(|error| OpenError::from_engine(&self.path, &error))?;
                return Ok(db);
            }
            Manner::Read | Manner::Still => {}
        }
        let failed = |error| OpenError::from_engine(&self.path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = match self.manner {
            Manner::Still => {
                let path = fs::canonicalize(&self.path)
                    .map_err(|error| OpenError::from_reading(&self.path, &error))?;
                let path = utf8(&path)?;
                let uri = format!("file:{}?immutable=1", utf8_percent_encode(path, IN_URI));
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
            }
            _ => Connection::open_with_flags(&self.path, flags),
        };
        let db = db.map_err(failed)?;
        settle(&db).map_err(failed)?;
        Ok(db)
    }
}

/// Opens a connection to an existing database file, for writing.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error| OpenError::from_engine(path, &error);
    // Without the default flags, the engine makes no file, and reads no name as a URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    // If the file is read-only, the engine would open it for reading and report nothing.
    if db.is_readonly("main").map_err(failed)? {
        return Err(OpenError::NotWritable {
            path: path.to_owned(),
            cause: "it may only be read".to_owned(),
        });
    }
    settle(&db).map_err(failed)?;
    db.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))
        .map_err(failed)?;
    Ok(db)
}

/// Makes sure that closing the connection moves no rows from the log into the database. The last one that is closed does
/// that otherwise, and deletes the log.
pub(super) fn leave_log(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// Whether the connection was made so.
pub(super) fn leaves_log(db: &Connection) -> bool {
    db.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).unwrap_or(false)
}

/// Sets up a connection of any kind.
fn settle(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    // Otherwise the engine prepares a statement again for each of its uses, if a value of it could make a partial index
    // fit. No statement needs that: those that use such an index say its condition.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A file's name for the engine, which accepts only UTF-8.
pub(super) fn utf8(path: &Path) -> Result<&str, OpenError> {
    path.to_str().ok_or_else(|| OpenError::Failed {
        path: path.to_owned(),
        cause: "the engine takes file names in UTF-8 only".to_owned(),
    })
}

/// Has the engine open the files beside the database, which opening the database does not do.
fn touch(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let version = db.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
    version.map(drop).map_err(|error| OpenError::from_engine(path, &error))
}

/// A copy of the database with its log, in a place where the engine may write.
fn copied(path: &Path) -> Result<Source, OpenError> {
    let place = std::env::temp_dir();
    let failed = |error: io::Error| OpenError::Failed {
        path: path.to_owned(),
        cause: format!(
            "it has a log of rows that are not in it yet, beside which nothing can be written, so that it is read from \
             a copy, and {} does not take one ({error}): set TMPDIR to a directory with room",
            place.display()
        ),
    };
    let copy = tempfile::tempdir().map_err(failed)?;
    let target = copy.path().join(super::DATABASE);
    for suffix in ["", "-wal", "-journal"] {
        let mut source = match File::open(with_suffix(path, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| OpenError::from_reading(path, &error))?,
        };
        io::copy(&mut source, &mut make_private(&with_suffix(&target, suffix))?).map_err(failed)?;
    }
    Ok(Source { path: target, manner: Manner::Write, copy: Some(copy) })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once() {
        let db = Connection::open_in_memory().unwrap();
        settle(&db).unwrap();
        db.execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, rank INTEGER) STRICT;
             CREATE INDEX ranks ON t (rank) WHERE rank >= 0;
             INSERT INTO t VALUES (1, 1)",
        )
        .unwrap();
        let mut update = db.prepare("UPDATE t SET rank = ?1 WHERE id = 1 AND rank = ?2").unwrap();
        for rank in 1..4 {
            assert_eq!(update.execute([rank + 1, rank]).unwrap(), 1);
        }
        assert_eq!(update.get_status(StatementStatus::RePrepare), 0);
    }
}
