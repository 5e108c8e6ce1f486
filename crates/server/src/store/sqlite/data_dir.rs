//! The data directory: what may be in it, who may use it, and what is said to people if not.

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
/// The name of one that is being made, with which those of the engine's files beside it begin.
const NEW_DATABASE: &str = "customer-settings.db.new";
/// The name of the file that the one server of a directory holds.
pub const SERVE_LOCK: &str = "serve.lock";

/// Why a data directory cannot be used: one line for people, which says what to do.
#[derive(Debug)]
pub enum OpenError {
    /// There is no such directory.
    NoDirectory(PathBuf),
    /// There is no such file.
    NoFile(PathBuf),
    /// The path is not a directory.
    NotADirectory(PathBuf),
    /// The directory holds no store but something else.
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The directory holds no store but what a restore left there that did not come to its end.
    Unfinished(PathBuf),
    /// The directory holds no store, and only reading was asked for.
    NoStore(PathBuf),
    /// The directory held a store, which has lost its database.
    Lost {
        /// The database's file.
        path: PathBuf,
        /// What shows that there was a store.
        found: String,
    },
    /// The database's file is there, and nothing is in it.
    Empty(PathBuf),
    /// The directory holds a store that is not to be replaced.
    HasStore(PathBuf),
    /// A server, or another command, uses the directory or its database.
    InUse(PathBuf),
    /// The file or directory cannot be written.
    NotWritable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The database is for newer programs only.
    TooNew {
        /// The file.
        path: PathBuf,
        /// The oldest schema number of a program that may use it.
        needs: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is of an older program, and only reading was asked for.
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its schema number.
        found: usize,
        /// The schema number of this program.
        program: usize,
    },
    /// The database is of a program from before the first release.
    OtherLayout(PathBuf),
    /// The file is not a database of this program.
    NotOurs(PathBuf),
    /// The file is a database, but broken.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The file is there already and would be overwritten.
    Exists(PathBuf),
    /// Anything else.
    Failed {
        /// With which file or directory.
        path: PathBuf,
        /// What failed.
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
                "the directory {} holds no store: check the path; 'serve', 'load' and 'key create' make one",
                dir.display()
            ),
            Self::Lost { .. }
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
    /// About stores that other versions of the program made.
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

    /// What is said of a database that was there and is not whole any more.
    fn write_broken(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { path, found } => write!(
                f,
                "the database {} is gone, though a store was here ({found} is left): put it back, or restore a backup \
                 into an empty directory; to begin with nothing, give an empty directory",
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
            // What is to be made has no directory to be made in.
            io::ErrorKind::NotFound => match path.parent().filter(|parent| !parent.exists()) {
                Some(parent) if !parent.as_os_str().is_empty() => {
                    Self::NoDirectory(parent.to_owned())
                }
                _ => Self::NoFile(path),
            },
            _ => Self::Failed { path, cause },
        }
    }

    pub(super) fn from_engine(path: &Path, error: &rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if let Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) = code
            && let Err(error) = read_trial(path)
        {
            return Self::from_io(path, &error);
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
            // The file itself was opened, so it is those that belong beside it.
            Some(ErrorCode::CannotOpen) if File::open(&path).is_ok() => Self::NotWritable {
                path: path.parent().unwrap_or(&path).to_owned(),
                cause: "the engine's log has no place there beside the database".to_owned(),
            },
            _ => Self::Failed { path, cause },
        }
    }

    /// The same about the file that a copy was made of: the one that people know.
    pub(super) fn of_original(self, path: &Path) -> Self {
        let path = path.to_owned();
        match self {
            Self::NotOurs(_) => Self::NotOurs(path),
            Self::OtherLayout(_) => Self::OtherLayout(path),
            Self::Damaged { cause, .. } => Self::Damaged { path, cause },
            Self::TooNew { needs, program, .. } => Self::TooNew { path, needs, program },
            other => other,
        }
    }
}

/// A data directory of which nobody else opens, makes or replaces the store for as long as this
/// lives. The lock is on the directory itself, so that an empty one stays empty.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    handle: File,
}

impl DataDir {
    pub(super) fn lock(path: &Path, make: bool) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(path, &error);
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory(path.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
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

    /// Whether there is a store, or else nothing at all. A store that lost its database is neither: whoever made a
    /// new one in its place would refuse every key.
    pub(super) fn find_store(&self) -> Result<bool, OpenError> {
        let path = self.database();
        match fs::metadata(&path) {
            // The engine would take away the log beside it, which may be all that is left.
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
            Err(error) => Err(OpenError::from_io(&path, &error)),
        }
    }

    /// Refuses a directory that holds anything but what belongs to an empty one: a volume's
    /// `lost+found`, a server's lock, and a store that was never finished.
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
        let failed = |error| OpenError::from_io(&self.path, &error);
        let found = fs::read_dir(&self.path).map_err(failed)?;
        let name = |found: io::Result<fs::DirEntry>| {
            found.map(|found| found.file_name().to_string_lossy().into_owned()).map_err(failed)
        };
        found.map(name).collect()
    }

    /// Where a store is made; it gets its name when it is whole.
    pub(super) fn new_database(&self) -> PathBuf {
        self.path.join(NEW_DATABASE)
    }

    /// Puts changed names on disk.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        self.handle.sync_all().map_err(|error| self.failed(&error))
    }

    pub(super) fn has_serve_lock(&self) -> bool {
        self.path.join(SERVE_LOCK).exists()
    }

    /// Keeps servers out, or says that there is one.
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

/// Held by the one server of a data directory; the system lets go of it if the program dies.
#[derive(Debug)]
pub(super) struct ServeLock {
    _file: File,
}

/// Whether the engine would take a file for one that nothing was ever written to; one byte counts as none.
pub(super) fn is_empty(found: &Metadata) -> bool {
    found.is_file() && found.len() <= 1
}

/// Makes a new file that only its owner may read.
pub(super) fn make_private(path: &Path) -> Result<File, OpenError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| OpenError::from_io(path, &error))
}
