//! Values in a file of their own, one on each line: companies and their plans on their way, however many there are.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
};

use serde_json::Value;

use crate::failure::Failure;

/// A request has so many companies and bytes at most, so that any server takes it.
const MOST_COMPANIES: usize = 200;
const MOST_BYTES: usize = 768 << 10;

/// A file that nobody else sees, and that is gone with the command.
pub(super) struct Writer(BufWriter<File>);

impl Writer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(BufWriter::new(tempfile::tempfile()?)))
    }

    pub(super) fn put(&mut self, value: &Value) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.0, value)?;
        Ok(self.0.write_all(b"\n")?)
    }

    pub(super) fn finish(self) -> io::Result<File> {
        self.0.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Values of a file in groups that fit into requests.
pub(super) struct Groups {
    lines: BufReader<File>,
    /// The value that did not fit into the group before, and its bytes.
    next: Option<(usize, Value)>,
}

impl Groups {
    /// From the file's first line on.
    pub(super) fn of(file: File) -> io::Result<Self> {
        Self::at(file, 0)
    }

    /// From a place in the file on.
    pub(super) fn at(mut file: File, begin: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(begin))?;
        Ok(Self { lines: BufReader::new(file), next: None })
    }

    /// The next value alone.
    pub(super) fn one(&mut self) -> Result<Option<(usize, Value)>, Failure> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut line = Vec::new();
        match self.lines.read_until(b'\n', &mut line)? {
            0 => Ok(None),
            bytes => Ok(Some((bytes, serde_json::from_slice(&line)?))),
        }
    }

    /// The next values that fit into one request, or one that is larger; none at the end.
    pub(super) fn next(&mut self) -> Result<Vec<Value>, Failure> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < MOST_COMPANIES {
            let Some((more, value)) = self.one()? else { break };
            bytes += more;
            if bytes > MOST_BYTES && !group.is_empty() {
                self.next = Some((more, value));
                break;
            }
            group.push(value);
        }
        Ok(group)
    }

    /// Whether there is nothing more.
    pub(super) fn is_over(&mut self) -> Result<bool, Failure> {
        self.next = self.one()?;
        Ok(self.next.is_none())
    }
}
