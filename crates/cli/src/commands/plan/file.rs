//! The file of a plan: a first line about the plan, and a line for each company with the ids of what would be made, the
//! counts of its plan and the digest. The file holds no key.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Terms,
    lines::{Groups, Writer},
    reading::Input,
};
use crate::failure::{Failure, failure, usage};

/// The one version of the file's form that there is.
const VERSION: u32 = 1;
/// The longest first line.
const MOST_HEAD_BYTES: u64 = 16 << 10;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    plan: u32,
    /// The number of companies, so that a file that was cut off is none.
    companies: usize,
    terms: Terms,
    /// A hash of the other lines, so that a file that was changed by hand is told from one whose companies changed.
    sum: String,
}

/// The line of a company.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "reading the fields checks them")]
struct Company {
    company: Map<String, Value>,
    /// The steps of the plan, counted.
    counts: Map<String, Value>,
    digest: String,
}

/// A plan that can be applied. Its lines were checked.
pub(super) struct PlanFile {
    pub(super) terms: Terms,
    companies: usize,
    file: File,
    /// The place of the first company.
    begin: u64,
}

impl PlanFile {
    /// A plan that was just made.
    pub(super) fn new(terms: Terms, companies: usize, lines: Writer) -> io::Result<Self> {
        Ok(Self { terms, companies, file: lines.finish()?, begin: 0 })
    }

    /// The plan among the files of a command, if there is one. A plan stands alone.
    pub(super) fn among(inputs: &[Input]) -> Result<Option<Self>, Failure> {
        for input in inputs {
            let Some((head, begin)) = head(input) else { continue };
            return match inputs {
                [_] => Self::read(input, head, begin).map(Some),
                _ => {
                    let name = input.name();
                    Err(failure(format!("{name} is a plan, and a plan is applied by itself")))
                }
            };
        }
        Ok(None)
    }

    fn read(input: &Input, head: Value, begin: u64) -> Result<Self, Failure> {
        let name = input.name();
        let again = "make the plan again";
        if head["plan"] != VERSION {
            let version = &head["plan"];
            return Err(failure(format!(
                "{name} is a plan of version {version}, and this program reads version {VERSION}: {again}"
            )));
        }
        let broken = |line, error| {
            failure(format!("{name} is no whole plan: line {line}: {error}; {again}"))
        };
        let Head { terms, companies, sum, .. } =
            serde_json::from_value(head).map_err(|error| broken(1, error))?;
        let mut file = input.file()?;
        file.seek(io::SeekFrom::Start(begin))?;
        let (mut lines, mut line, mut found) = (BufReader::new(&file), Vec::new(), 0);
        let mut hash = Sha256::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            serde_json::from_slice::<Company>(&line).map_err(|error| broken(found + 2, error))?;
            hash.update(&line);
            found += 1;
            line.clear();
        }
        if found != companies {
            return Err(failure(format!(
                "{name} is no whole plan: it has {found} of {companies} companies; {again}"
            )));
        }
        match hex(hash) == sum {
            true => Ok(Self { terms, companies, file, begin }),
            false => Err(failure(format!(
                "{name} is not as 'plan' wrote it, so it says something else than what was shown: change the document \
                 and {again}"
            ))),
        }
    }

    fn sum(&self) -> io::Result<String> {
        let mut lines = self.file.try_clone()?;
        lines.seek(io::SeekFrom::Start(self.begin))?;
        let (mut lines, mut hash) = (BufReader::new(lines), Sha256::new());
        loop {
            let bytes = lines.fill_buf()?;
            let read = bytes.len();
            if read == 0 {
                return Ok(hex(hash));
            }
            hash.update(bytes);
            lines.consume(read);
        }
    }

    /// The companies with their digests.
    pub(super) fn groups(&self) -> Result<Groups, Failure> {
        Ok(Groups::at(self.file.try_clone()?, self.begin)?)
    }

    /// Whether the plan needs more than one request.
    pub(super) fn has_several_groups(&self) -> Result<bool, Failure> {
        let mut groups = self.groups()?;
        groups.next()?;
        Ok(!groups.is_over()?)
    }

    pub(super) fn write_to(&self, path: &Path) -> Result<(), Failure> {
        let copy = || {
            let head = json!(Head {
                plan: VERSION,
                companies: self.companies,
                terms: self.terms.clone(),
                sum: self.sum()?,
            });
            let (mut lines, mut file) = (self.file.try_clone()?, File::create(path)?);
            lines.seek(io::SeekFrom::Start(self.begin))?;
            io::Write::write_all(&mut file, format!("{head}\n").as_bytes())?;
            io::copy(&mut lines, &mut file)
        };
        let unwritten = |error| failure(format!("{} cannot be written: {error}", path.display()));
        copy().map(drop).map_err(unwritten)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first line of a file, and its length, if the file is a plan.
fn head(input: &Input) -> Option<(Value, u64)> {
    let mut line = Vec::new();
    // Reading the document says why it cannot be read.
    let mut first = BufReader::new(input.file().ok()?.take(MOST_HEAD_BYTES));
    first.read_until(b'\n', &mut line).ok()?;
    let head: Value = serde_json::from_slice(&line).ok()?;
    head.get("plan").is_some().then_some((head, line.len() as u64))
}

/// Refuses to write a plan over a file that is none.
pub(super) fn refuse_other(out: &Path) -> Result<(), Failure> {
    let has_bytes = out.metadata().is_ok_and(|file| file.is_file() && file.len() > 0);
    match has_bytes && head(&Input::open(out)).is_none() {
        false => Ok(()),
        true => {
            let name = out.display();
            Err(usage(format!(
                "--out {name} is there and is no plan: name another file, or remove it"
            )))
        }
    }
}

/// Refuses a document that is a plan.
pub(super) fn refuse(inputs: &[Input]) -> Result<(), Failure> {
    for input in inputs {
        if head(input).is_some() {
            let name = input.name();
            return Err(failure(format!("{name} is a plan, which 'apply' takes, and no document")));
        }
    }
    Ok(())
}
