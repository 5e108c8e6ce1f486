//! Documents as companies of requests. A document in the form that `export` writes is read company by company, so that
//! it may be larger than the memory. Another one is read as a whole, and so is a wrong one, whose errors name its lines.

use std::{
    fs::{File, Metadata},
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use customer_settings_server::{
    catalog::entry::Catalog,
    service::document::{self, CompanyRow, Unreadable, decode},
};
use serde_json::{Value, json};

use super::{lines::Writer, places::Places};
use crate::{
    failure::{Failure, failure},
    output::tell,
};

/// A file, or standard input, that can be read again.
pub(super) struct Input {
    name: String,
    file: File,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let (name, file) = match path.as_os_str() {
            name if name == "-" => ("standard input".to_owned(), copied(&mut io::stdin())),
            _ => (path.display().to_string(), File::open(path).and_then(seekable)),
        };
        match file {
            Ok(file) => Ok(Self { name, file }),
            Err(error) => Err(failure(format!("{name} cannot be read: {error}"))),
        }
    }

    pub(super) fn all(paths: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        paths.iter().map(|path| Self::open(path)).collect()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file at its beginning.
    pub(super) fn file(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// Whether this is the file at a path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let place = |found: io::Result<Metadata>| found.map(|file| (file.dev(), file.ino())).ok();
        let there = place(path.metadata());
        there.is_some() && there == place(self.file.metadata())
    }

    /// The failure of a document that cannot be read at all.
    fn wrong(&self, error: Unreadable) -> Failure {
        failure(format!("{}: {error}", self.name))
    }

    pub(super) fn whole(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = self.file().and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| failure(format!("{} cannot be read: {error}", self.name)))?;
        Ok(bytes)
    }
}

/// The file, or a copy of what a pipe gives.
fn seekable(mut file: File) -> io::Result<File> {
    if file.rewind().is_ok() { Ok(file) } else { copied(&mut file) }
}

fn copied(from: &mut impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(from, &mut file)?;
    Ok(file)
}

/// The companies of documents, a line for each, and the places where they are named.
pub(super) fn companies(inputs: &[Input]) -> Result<(File, Places), Failure> {
    let (mut lines, mut is_wrong) = (Writer::new()?, false);
    let mut places = Places::default();
    for input in inputs {
        let end = lines.end()?;
        places.begin(&input.name);
        if !is_read_by_company(input, &mut lines, &mut places)? {
            lines.cut(end)?;
            places.forget_file();
            is_wrong |= !is_read_whole(input, &mut lines, &mut places)?;
        }
    }
    is_wrong |= places.tell_twice();
    match is_wrong {
        true => Err(failure("the document is wrong, and nothing was planned")),
        false => Ok((lines.finish()?, places)),
    }
}

/// Whether the document is right. Otherwise everything that is wrong was told.
fn is_read_whole(input: &Input, lines: &mut Writer, places: &mut Places) -> Result<bool, Failure> {
    let mut is_right = true;
    let text = decode(input.whole()?).map_err(|error| input.wrong(error))?;
    for company in document::parse(&text).map_err(|error| input.wrong(error))? {
        for problem in company.problems.clone().told() {
            is_right = false;
            tell(format!("{}: {}: {problem}", input.name, company.label));
        }
        places.note(&company, company.line());
        lines.put(&sent(&CompanyRow::of_document(&company))?)?;
    }
    Ok(is_right)
}

/// Whether the document was read company by company. Otherwise it has another form, or is wrong.
fn is_read_by_company(
    input: &Input,
    lines: &mut Writer,
    places: &mut Places,
) -> Result<bool, Failure> {
    let Some(mut pieces) = Pieces::of(BufReader::new(input.file()?)) else { return Ok(false) };
    while let Some(piece) = pieces.next() {
        let Some(piece) = piece else { return Ok(false) };
        let Ok(mut companies) = document::parse(&piece.text) else { return Ok(false) };
        match (companies.next(), companies.next()) {
            (Some(company), None) if company.problems.is_empty() => {
                places.note(&company, company.line() + piece.lines_before);
                lines.put(&sent(&CompanyRow::of_document(&company))?)?
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The companies of a list whose items all begin with a dash in the same column, each as a document of its own. A line
/// that is cut out of a longer text by mistake leaves a piece that cannot be read.
pub(super) struct Pieces<R> {
    lines: R,
    /// The lines before the list.
    head: String,
    /// The beginning of each item.
    dash: String,
    /// The first line of the next item.
    next: String,
    /// The lines that were read.
    read: u64,
}

/// A company as a document of its own.
pub(super) struct Piece {
    pub(super) text: String,
    /// By so much a line of the whole text has a higher number than here.
    pub(super) lines_before: u64,
}

impl<R: BufRead> Pieces<R> {
    pub(super) fn of(mut lines: R) -> Option<Self> {
        let (mut head, mut is_list) = (String::new(), false);
        for read in 1.. {
            let line = read_line(&mut lines)?;
            let text = line.trim_start_matches('\u{feff}').trim_end();
            match text.trim_start() {
                "" if line.is_empty() => return None,
                "" | "---" => {}
                comment if comment.starts_with('#') => {}
                item if is_list && item.starts_with("- ") => {
                    let dash = format!("{}- ", &text[..text.len() - item.len()]);
                    return Some(Self { lines, head, dash, next: line, read });
                }
                "companies:" if !is_list && text == "companies:" => {
                    is_list = true;
                    head.push_str("companies:\n");
                }
                version if !is_list && head.is_empty() && version.starts_with("version:") => {
                    head = format!("{text}\n");
                }
                _ => return None,
            }
        }
        None
    }

    /// The next document; `Some(None)` where the list is not what it seemed.
    pub(super) fn next(&mut self) -> Option<Option<Piece>> {
        if self.next.is_empty() {
            return None;
        }
        let mut text = format!("{}{}", self.head, std::mem::take(&mut self.next));
        let lines_before = self.read - text.lines().count() as u64;
        let depth = self.dash.len() - 1;
        loop {
            let Some(line) = read_line(&mut self.lines) else { return Some(None) };
            self.read += 1;
            if line.is_empty() || line.starts_with(&self.dash) {
                self.next = line;
                return Some(Some(Piece { text, lines_before }));
            }
            let inner = line.trim_start_matches(' ');
            let is_within = line.len() - inner.len() >= depth;
            if !is_within && !inner.trim().is_empty() && !inner.starts_with('#') {
                return Some(None);
            }
            text.push_str(&line);
        }
    }
}

/// The next line with its end; empty at the end of the text. `None` where it cannot be read.
fn read_line(lines: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    lines.read_line(&mut line).ok().map(|_| line)
}

/// A company in the form of a request.
pub(in crate::commands) fn sent(row: &CompanyRow) -> Result<Value, Failure> {
    let mut company = serde_json::to_value(row)?;
    let catalogs = Catalog::ALL.map(Catalog::as_str);
    let stated = catalogs.into_iter().filter(|catalog| company.get(catalog).is_some());
    company["catalogs"] = stated.collect();
    let capitalize = |thing: &mut Value| {
        if let Some(state) = thing.get("state").and_then(Value::as_str) {
            thing["state"] = json!(state.to_uppercase());
        }
    };
    capitalize(&mut company);
    if let Some(mode) = company["source"]["mode"].as_str().map(str::to_uppercase) {
        company["source"]["mode"] = json!(mode);
    }
    for list in catalogs.into_iter().chain(["businesses"]) {
        let items = company.get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            capitalize(item);
            // A document may have one former name alone, where a request has a list.
            if let Some(was) = item.get_mut("was").filter(|was| was.is_string()) {
                *was = json!([was.take()]);
            }
        }
    }
    Ok(company)
}
