//! The write-ahead log as its index describes it. The engine believes the index: it does not notice that the log was
//! cut off or overwritten, acknowledges writes that nobody can read again, and copies rubbish into the database.
//!
//! Both formats are SQLite's (<https://sqlite.org/walformat.html>). This file writes nothing.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::left_overs::with_suffix;

/// The bytes of the log's header.
const LOG_HEADER: u64 = 32;
/// The bytes before each page of the log.
const FRAME_HEADER: u64 = 24;
/// The bytes of one copy of the index's header.
const INDEX_HEADER: u64 = 48;

/// The log and its index, which stay open as long as the engine has them open: closing a file releases all locks that
/// its process has on it.
pub(super) struct LogFiles {
    log: File,
    index: File,
    path: PathBuf,
}

impl LogFiles {
    /// The files beside a database; `None` if the engine uses none.
    pub(super) fn open(database: &Path) -> io::Result<Option<Self>> {
        let path = with_suffix(database, "-wal");
        let open = |path: &Path| match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let (log, index) = (open(&path)?, open(&with_suffix(database, "-shm"))?);
        Ok(log.zip(index).map(|(log, index)| Self { log, index, path }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the log holds all that its index names: it is long enough, and nobody overwrote its beginning.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let Some(index) = self.index()? else { return Ok(true) };
        if index.frames() == 0 {
            return Ok(true);
        }
        let is_whole = self.log.metadata()?.len() >= index.log_bytes()
            && self.salts()?.is_some_and(|salts| salts == index.salts());
        // An engine that begins the log anew changes the index first. So the index shows whether one did meanwhile.
        Ok(is_whole || self.index()? != Some(index))
    }

    /// The salts in the log's header; `None` if the log is too short to have one.
    fn salts(&self) -> io::Result<Option<[u8; 8]>> {
        read_at(&self.log, 16)
    }

    /// `None` while the engine changes the index.
    fn index(&self) -> io::Result<Option<Index>> {
        let copies = [read_at(&self.index, 0)?, read_at(&self.index, INDEX_HEADER)?];
        Ok(copies[0].filter(|_| copies[0] == copies[1]).map(Index))
    }
}

/// The header of the index, in the byte order of this machine.
#[derive(PartialEq, Eq)]
struct Index([u8; INDEX_HEADER as usize]);

impl Index {
    /// How many pages the log holds.
    fn frames(&self) -> u32 {
        u32::from_ne_bytes(self.part(16))
    }

    /// The least length of the log.
    fn log_bytes(&self) -> u64 {
        let page_bytes = match u16::from_ne_bytes(self.part(14)) {
            1 => 65_536,
            bytes => u64::from(bytes),
        };
        LOG_HEADER + u64::from(self.frames()) * (FRAME_HEADER + page_bytes)
    }

    /// The random number that tells a log from the one before in the same file.
    fn salts(&self) -> [u8; 8] {
        self.part(32)
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[at + i])
    }
}

/// The bytes at a place; `None` if the file ends before.
fn read_at<const N: usize>(file: &File, at: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        other => other.map(|()| Some(bytes)),
    }
}
