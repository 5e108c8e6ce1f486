//! Documents as companies of requests. A document in the form that `export` writes is read company by company, so that
//! it may be larger than the memory. Another one is read as a whole, and so is a wrong one, whose errors name its lines.

use std::{
    collections::BTreeSet,
    fs::{File, Metadata},
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use customer_settings_server::{
    catalog::entry::Catalog,
    service::document::{self, CompanyRow, DocumentCompany, Problems, Unreadable, decode},
};
use serde_json::{Value, json};

use super::{
    findings::{Finding, Findings},
    lines::Writer,
    places::Places,
};
use crate::{failure::Failure, output::note};

/// A file, or standard input, that can be read again. A file that cannot be opened is an input that cannot be read, so
/// that the others are read all the same.
pub(super) struct Input {
    name: String,
    file: io::Result<File>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Self {
        let (name, file) = match path.as_os_str() {
            name if name == "-" => ("standard input".to_owned(), copied(&mut io::stdin())),
            _ => (path.display().to_string(), File::open(path).and_then(seekable)),
        };
        Self { name, file }
    }

    pub(super) fn all(paths: &[PathBuf]) -> Vec<Self> {
        paths.iter().map(|path| Self::open(path)).collect()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The file at its beginning.
    pub(super) fn file(&self) -> io::Result<File> {
        let file = self.file.as_ref();
        let mut file =
            file.map_err(|error| io::Error::new(error.kind(), error.to_string()))?.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// Whether this is the file at a path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let place = |found: io::Result<Metadata>| found.map(|file| (file.dev(), file.ino())).ok();
        let there = place(path.metadata());
        there.is_some() && self.file.as_ref().is_ok_and(|file| there == place(file.metadata()))
    }

    /// Says of a document that it is none.
    fn wrong(&self, error: &Unreadable) -> Finding {
        Finding::unreadable(&self.name, error)
    }

    fn whole(&self) -> Result<Vec<u8>, Finding> {
        let mut bytes = Vec::new();
        let read = self.file().and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| Finding::not_read(&self.name, &error))?;
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

/// Documents that were read.
pub(super) struct Documents {
    /// The companies, a line for each: the valid values of those of which the documents say which company is meant.
    pub(super) companies: File,
    /// The numbers of the companies without a line.
    pub(super) left_out: BTreeSet<usize>,
    pub(super) places: Places,
    /// The things that are wrong.
    pub(super) findings: Findings,
}

/// Reads documents, and finds what is wrong with them.
pub(super) fn read(inputs: &[Input]) -> Result<Documents, Failure> {
    let (mut lines, mut places) = (Writer::new()?, Places::default());
    let mut findings = Findings::of(inputs.iter().map(|input| input.name.clone()));
    let (mut left_out, mut count) = (BTreeSet::new(), 0);
    for input in inputs {
        places.begin(&input.name);
        let mut companies = Companies::of(input);
        loop {
            let (lines_before, company) = match companies.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                // The other documents are read all the same.
                Err(unread) => {
                    findings.add(unread);
                    break;
                }
            };
            for problem in company.problems.clone().told() {
                findings.add(Finding::of_problem(&input.name, &company.label, &problem));
            }
            if places.note(&company, lines_before, &mut findings) {
                lines.put(&sent(&CompanyRow::of_document(&company))?)?;
            } else {
                left_out.insert(count);
            }
            count += 1;
        }
        if let Some(how) = companies.note {
            note(format!("{}: {how}", input.name));
        }
        for problem in companies.problems.told() {
            findings.add(Finding::of_problem(&input.name, "", &problem));
        }
    }
    Ok(Documents { companies: lines.finish()?, left_out, places, findings })
}

/// The companies of a document: in pieces, so that it may be larger than the memory. If a piece has another form, or is
/// wrong, that company and all behind it are those of the whole, whose errors name its lines.
pub(super) struct Companies<'a> {
    input: &'a Input,
    pieces: Option<Pieces<BufReader<File>>>,
    whole: Option<Box<dyn Iterator<Item = DocumentCompany>>>,
    read: usize,
    /// The problems of the whole, beside those of its companies.
    problems: Problems,
    /// How it was decoded, if that was guessed.
    note: Option<String>,
}

impl<'a> Companies<'a> {
    pub(super) fn of(input: &'a Input) -> Self {
        // Reading the whole says why a file cannot be read.
        let pieces = input.file().ok().and_then(|file| Pieces::of(BufReader::new(file)));
        Self { input, pieces, whole: None, read: 0, problems: Problems::default(), note: None }
    }

    /// The next company, and the lines of the document before those that the company counts.
    pub(super) fn next(&mut self) -> Result<Option<(u64, DocumentCompany)>, Finding> {
        if let Some(pieces) = &mut self.pieces {
            let Some(piece) = pieces.next() else { return Ok(None) };
            if let Some(Piece { text, lines_before }) = piece
                && let Ok(mut companies) = document::parse(&text)
                && let (Some(company), None) = (companies.next(), companies.next())
                && company.problems.is_empty()
            {
                self.read += 1;
                return Ok(Some((lines_before, company)));
            }
            self.pieces = None;
        }
        let whole = match &mut self.whole {
            Some(whole) => whole,
            unread => {
                let wrong = |error: Unreadable| self.input.wrong(&error);
                let decoded = decode(self.input.whole()?).map_err(wrong)?;
                self.note = decoded.note();
                let (problems, companies) =
                    document::parse_with_problems(&decoded.text).map_err(wrong)?;
                self.problems = problems;
                unread.insert(Box::new(companies.skip(self.read)))
            }
        };
        Ok(whole.next().map(|company| (0, company)))
    }
}

/// The companies of a list whose items all begin with a dash in the same column, each as a document of its own. A line
/// that is cut out of a longer text by mistake leaves a piece that cannot be read.
struct Pieces<R> {
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
struct Piece {
    text: String,
    /// By so much a line of the whole text has a higher number than here.
    lines_before: u64,
}

impl<R: BufRead> Pieces<R> {
    fn of(mut lines: R) -> Option<Self> {
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
    fn next(&mut self) -> Option<Option<Piece>> {
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
