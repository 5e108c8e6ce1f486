//! Finds the commit that the program is built from, and the commit's date, for `--version`. The time and the machine of
//! the build are left out, so that two builds of one commit are the same. A build without git still succeeds.

use std::{fs, path::Path, process::Command};

/// `git archive` replaces the placeholder in this file by the commit. In a working tree the placeholder stays.
const ARCHIVED: &str = "commit.txt";

fn main() {
    println!("cargo::rerun-if-changed={ARCHIVED}");
    println!("cargo::rerun-if-changed=build.rs");
    let found = archived().or_else(checked_out);
    let (built_from, date) = match &found {
        Some((hash, date)) => (format!("{hash} {date}"), date.as_str()),
        None => ("commit unknown".to_owned(), ""),
    };
    println!("cargo::rustc-env=BUILT_FROM={built_from}");
    println!("cargo::rustc-env=BUILT_FROM_DATE={date}");
}

fn archived() -> Option<(String, String)> {
    parsed(&fs::read_to_string(ARCHIVED).ok()?)
}

/// The repository must know this file: sources that were unpacked into another repository are not of its commits.
fn checked_out() -> Option<(String, String)> {
    // Git adds a line to this log whenever the current commit changes.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(log.trim()).exists() {
        println!("cargo::rerun-if-changed={}", log.trim());
    }
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    parsed(&git(&["log", "-1", "--format=%H %cs"])?)
}

fn git(arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(arguments).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Reads `HASH DATE`, and cuts the hash to twelve digits.
fn parsed(line: &str) -> Option<(String, String)> {
    let (hash, date) = line.trim().split_once(' ')?;
    let is_hash = hash.len() >= 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| (hash[..12].to_owned(), date.to_owned()))
}
