//! The data directory: its files, the programs that may use it, and the errors for people.

use std::{
    fmt,
    fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use super::{files::read_trial, left_overs};
use crate::store::OTHER_LAYOUT;

/// The database's file name.
pub const DATABASE: &str = "customer-settings.db";
/// The name of a database that is being made. The names of the engine's files beside it begin with it.
const NEW_DATABASE: &str = "customer-settings.db.new";
/// The name of the file that the one server of a directory locks.
pub const SERVE_LOCK: &str = "serve.lock";

/// Why a data directory cannot be used: one line for people, which says what to do.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub enum OpenError {
    /// The directory does not exist.
    NoDirectory(PathBuf),
    /// The file does not exist.
    NoFile(PathBuf),
    /// The path is not a directory.
    NotADirectory(PathBuf),
    /// The directory holds other files, and no store.
    NotEmpty {
        dir: PathBuf,
        /// The name of another file.
        found: String,
    },
    /// The directory holds no store, but files of a restore that did not finish.
    Unfinished(PathBuf),
    /// The directory holds no store, and the command only reads.
    NoStore(PathBuf),
    /// The directory held a store, and its database is missing.
    Lost {
        /// The database's file.
        path: PathBuf,
        /// A file that shows that there was a store.
        found: String,
    },
    /// The database's file exists and is empty.
    Empty(PathBuf),
    /// The directory holds a store, which must not be replaced.
    HasStore(PathBuf),
    /// A server, or another command, uses the directory or its database.
    InUse(PathBuf),
    /// The file or directory cannot be written.
    NotWritable { path: PathBuf, cause: String },
    /// The file or directory cannot be read.
    NotReadable { path: PathBuf, cause: String },
    /// A table of the store is missing.
    Incomplete {
        path: PathBuf,
        /// The name of the table.
        missing: String,
    },
    /// Only newer programs may use the database.
    TooNew {
        path: PathBuf,
        /// The oldest schema number of a program that may use it.
        needs: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is of an older program, and the command only reads.
    TooOld {
        path: PathBuf,
        /// The database's schema number.
        found: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is of a program from before the first release.
    OtherLayout(PathBuf),
    /// The file is not a database of this program.
    NotOurs(PathBuf),
    /// The file is a damaged database.
    Damaged { path: PathBuf, cause: String },
    /// The file exists, and would be overwritten.
    Exists(PathBuf),
    /// Any other failure.
    Failed {
        /// The file or directory that the failure is about.
        path: PathBuf,
        cause: String,
    },
}

impl std::error::Error for OpenError {}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory(dir) => write!(
                f,
                "there is no directory {0}: check the path, or make it first with 'mkdir {0}'",
                dir.display()
            ),
            Self::NoFile(path) => {
                write!(f, "there is no file {}: check the path", path.display())
            }
            Self::NotADirectory(path) => {
                write!(
                    f,
                    "{} is not a directory: give the directory that holds the data",
                    path.display()
                )
            }
            Self::NotEmpty { dir, found } => write!(
                f,
                "the directory {} holds other files ({found}) and no store: give an empty directory, or one that \
                 holds a store",
                dir.display()
            ),
            Self::NoStore(dir) => write!(
                f,
                "the directory {} holds no store: check the path; 'serve', 'apply', 'mirror' and 'key create' make one",
                dir.display()
            ),
            Self::Lost { .. }
            | Self::Incomplete { .. }
            | Self::Unfinished(_)
            | Self::Empty(_)
            | Self::NotOurs(_)
            | Self::Damaged { .. } => self.write_broken(f),
            Self::HasStore(dir) => write!(
                f,
                "the directory {} holds a store: give an empty directory, or --replace to keep it beside the restored one",
                dir.display()
            ),
            Self::InUse(path) => write!(
                f,
                "{} is in use by another customer-settings: stop that first, or give another directory",
                path.display()
            ),
            Self::NotWritable { path, cause } => {
                write!(
                    f,
                    "{} cannot be written ({cause}): check its owner and permissions",
                    path.display()
                )
            }
            Self::NotReadable { path, cause } => {
                write!(
                    f,
                    "{} cannot be read ({cause}): check its owner and permissions",
                    path.display()
                )
            }
            Self::TooNew { .. } | Self::TooOld { .. } | Self::OtherLayout(_) => {
                self.write_other_version(f)
            }
            Self::Exists(path) => {
                write!(
                    f,
                    "{} exists already: give another name, or remove it first",
                    path.display()
                )
            }
            Self::Failed { path, cause } => write!(f, "{} cannot be used: {cause}", path.display()),
        }
    }
}

impl OpenError {
    /// The message about a store that another version of the program made.
    fn write_other_version(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooNew { path, needs, program } => write!(
                f,
                "the database {} needs a program of schema {needs} or later and this one has schema {program}: use a \
                     newer customer-settings",
                path.display()
            ),
            Self::TooOld { path, found, program } => write!(
                f,
                "the database {} has schema {found} and this program reads schema {program}: start a server of this \
                     version on it first, which brings it up to date",
                path.display()
            ),
            Self::OtherLayout(path) => {
                write!(f, "the database {} {OTHER_LAYOUT}", path.display())
            }
            other => unreachable!("{other:?} is about something else"),
        }
    }

    /// The message about a database that is missing or not whole.
    fn write_broken(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { path, found } => write!(
                f,
                "the database {} is gone, though a store was here ({found} is left): put it back, or restore a backup \
                 into an empty directory; to begin with nothing, give an empty directory",
                path.display()
            ),
            Self::Incomplete { path, missing } => write!(
                f,
                "the database {} is damaged (it has no table {missing}): keep it, and restore a sound backup into an \
                 empty directory",
                path.display()
            ),
            Self::Unfinished(dir) => write!(
                f,
                "the directory {} holds no store, as a restore into it was broken off: repeat the restore, or give \
                 another directory",
                dir.display()
            ),
            Self::Empty(path) => write!(
                f,
                "the database {} is empty, so what it held is lost: put it back, or put a backup in its place with \
                 'restore --replace'; to begin with nothing, move it away with all that has its name",
                path.display()
            ),
            Self::NotOurs(path) => {
                write!(
                    f,
                    "{} is not a database of customer-settings, or its beginning is damaged: check the path, or keep \
                     it and restore a backup into an empty directory",
                    path.display()
                )
            }
            Self::Damaged { path, cause } => write!(
                f,
                "the database {} is damaged ({cause}): keep it, and restore a sound backup into an empty directory",
                path.display()
            ),
            other => unreachable!("{other:?} is about something else"),
        }
    }

    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let (path, cause) = (path.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, cause }
            }
            io::ErrorKind::AlreadyExists => Self::Exists(path),
            // The directory of the new file does not exist.
            io::ErrorKind::NotFound => match path.parent().filter(|parent| !parent.exists()) {
                Some(parent) if !parent.as_os_str().is_empty() => {
                    Self::NoDirectory(parent.to_owned())
                }
                _ => Self::NoFile(path),
            },
            _ => Self::Failed { path, cause },
        }
    }

    /// The failure of a program that only wanted to read.
    pub(super) fn from_reading(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::NotReadable { path: path.to_owned(), cause: error.to_string() }
            }
            _ => Self::from_io(path, error),
        }
    }

    pub(super) fn from_engine(path: &Path, error: &rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if let Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) = code
            && let Err(error) = read_trial(path)
        {
            return Self::from_reading(path, &error);
        }
        let (path, cause) = (path.to_owned(), error.to_string());
        if code.is_none() || super::is_misfit(error) {
            let cause = "a table, a row or a column is missing or not as it was written".to_owned();
            return Self::Damaged { path, cause };
        }
        match code {
            Some(ErrorCode::NotADatabase) => Self::NotOurs(path),
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, cause },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, cause }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse(path),
            // If the file itself can be opened, the failure is about the files beside it.
            Some(ErrorCode::CannotOpen) => match File::open(&path) {
                Ok(_) => Self::NotWritable {
                    path: path.parent().unwrap_or(&path).to_owned(),
                    cause: "the engine's log has no place there beside the database".to_owned(),
                },
                Err(error) => Self::from_reading(&path, &error),
            },
            _ => Self::Failed { path, cause },
        }
    }

    /// The same error about the original of a copy, which people know.
    pub(super) fn of_original(self, path: &Path) -> Self {
        let path = path.to_owned();
        match self {
            Self::NotOurs(_) => Self::NotOurs(path),
            Self::OtherLayout(_) => Self::OtherLayout(path),
            Self::Damaged { cause, .. } => Self::Damaged { path, cause },
            Self::Incomplete { missing, .. } => Self::Incomplete { path, missing },
            Self::TooNew { needs, program, .. } => Self::TooNew { path, needs, program },
            other => other,
        }
    }
}

/// A data directory whose store no other program opens, makes or replaces while this lives. The lock is on the
/// directory itself, so that an empty directory stays empty.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    handle: File,
}

impl DataDir {
    pub(super) fn lock(path: &Path, make: bool) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_reading(path, &error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory(path.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                let made = DirBuilder::new().mode(0o700).create(path);
                made.map_err(|error| OpenError::from_io(path, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::NoDirectory(path.to_owned()));
            }
            Err(error) => return Err(failed(error)),
        }
        let handle = File::open(path).map_err(failed)?;
        handle.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), handle })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn has_store(&self) -> bool {
        self.database().exists()
    }

    /// Whether there is a store. If there is none, the directory must be empty: a new store in the place of a lost
    /// one would refuse every key.
    pub(super) fn find_store(&self) -> Result<bool, OpenError> {
        let path = self.database();
        match fs::metadata(&path) {
            // The engine would delete the log beside it, which may hold all that is left.
            Ok(found) if is_empty(&found) => Err(OpenError::Empty(path)),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let names = self.names()?;
                if names.iter().any(|name| left_overs::is_of_restore(name)) {
                    return Err(OpenError::Unfinished(self.path.clone()));
                }
                for left in names {
                    let is_ours = left == SERVE_LOCK || left.starts_with(DATABASE);
                    if is_ours && !left.starts_with(NEW_DATABASE) {
                        return Err(OpenError::Lost { path, found: left });
                    }
                }
                self.check_empty()?;
                Ok(false)
            }
            Err(error) => Err(OpenError::from_reading(&path, &error)),
        }
    }

    /// Refuses a directory unless it is empty, except for a volume's `lost+found`, a server's lock file, and a
    /// store that was never finished.
    pub(super) fn check_empty(&self) -> Result<(), OpenError> {
        let is_of_empty = |found: &str| {
            found == "lost+found" || found == SERVE_LOCK || found.starts_with(NEW_DATABASE)
        };
        match self.names()?.into_iter().find(|found| !is_of_empty(found)) {
            None => Ok(()),
            Some(found) if found.starts_with(DATABASE) => {
                Err(OpenError::Lost { path: self.database(), found })
            }
            Some(found) => Err(OpenError::NotEmpty { dir: self.path.clone(), found }),
        }
    }

    fn names(&self) -> Result<Vec<String>, OpenError> {
        let failed = |error| OpenError::from_reading(&self.path, &error);
        let found = fs::read_dir(&self.path).map_err(failed)?;
        let name = |found: io::Result<fs::DirEntry>| {
            found.map(|found| found.file_name().to_string_lossy().into_owned()).map_err(failed)
        };
        found.map(name).collect()
    }

    /// The path at which a new store is made. It gets its final name when it is complete.
    pub(super) fn new_database(&self) -> PathBuf {
        self.path.join(NEW_DATABASE)
    }

    /// Syncs changed names to disk.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        self.handle.sync_all().map_err(|error| self.failed(&error))
    }

    pub(super) fn has_serve_lock(&self) -> bool {
        self.path.join(SERVE_LOCK).exists()
    }

    /// Stops other programs from serving, or returns the error that one does.
    pub(super) fn lock_serving(&self) -> Result<ServeLock, OpenError> {
        let path = self.path.join(SERVE_LOCK);
        let failed = |error| OpenError::from_io(&path, &error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(ServeLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn failed(&self, error: &io::Error) -> OpenError {
        OpenError::from_io(&self.path, error)
    }
}

/// The lock of the one server of a data directory. The system releases it if the program dies.
#[derive(Debug)]
pub(super) struct ServeLock {
    _file: File,
}

/// Whether the engine would take the file for a new one. A file of one byte counts as empty.
pub(super) fn is_empty(found: &Metadata) -> bool {
    found.is_file() && found.len() <= 1
}

/// Makes a new file that only its owner may read.
pub(super) fn make_private(path: &Path) -> Result<File, OpenError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| OpenError::from_io(path, &error))
}
