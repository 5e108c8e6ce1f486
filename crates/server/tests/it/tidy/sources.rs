//! Sources as text: the files, their code without comments and strings, and the paths in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One source file: its path below `src`, its modules from the crate's root, and its code with
/// comments and the content of strings blanked, line for line.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) modules: Vec<String>,
    pub(super) text: String,
    pub(super) code: String,
}

impl Source {
    pub(super) fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let modules = name.trim_end_matches(".rs").split('/');
        let modules =
            modules.filter(|module| *module != "lib" && *module != "main").map(str::to_owned);
        let text = fs::read_to_string(path).unwrap();
        let own = text.find("\nmod tests {").map_or(text.as_str(), |end| &text[..end]);
        Self { modules: modules.collect(), code: blanked(own), name, text }
    }

    pub(super) fn at(&self, offset: usize) -> String {
        let line = self.code[..offset].matches('\n').count() + 1;
        format!("{}:{line}", self.name)
    }
}

pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(super) fn sources_of(package: &str) -> Vec<Source> {
    let root = repository().join("crates").join(package).join("src");
    let mut found = files(&root, "rs");
    found.sort();
    assert!(!found.is_empty(), "{} holds no sources", root.display());
    found.iter().map(|path| Source::read(&root, path)).collect()
}

pub(super) fn server() -> Vec<Source> {
    sources_of("server")
}

/// The sources and the tests of all packages.
pub(super) fn sources_and_tests() -> Vec<Source> {
    let root = repository().join("crates");
    let folders = ["server/src", "server/tests", "cli/src", "contract/src", "memory/src"];
    let found = folders.iter().flat_map(|folder| files(&root.join(folder), "rs"));
    found.map(|path| Source::read(&root, &path)).collect()
}

pub(super) fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// Blanks comments, the content of strings and that of character literals, so that only code is
/// left; every line and every offset stays where it is.
pub(super) fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = text.as_bytes().to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let find = |from: usize, what: &str| text[from..].find(what).map_or(text.len(), |at| from + at);
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = if rest.starts_with(b"//") {
            find(i, "\n")
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            find(i + hashes + 2, &close) + close.len()
        } else if rest[0] == b'"' {
            string_end(bytes, i + 1)
        } else if let Some(length) = character(rest) {
            i + length
        } else {
            i += 1;
            continue;
        };
        let end = end.min(bytes.len());
        blank(&mut out, i, end);
        i = end;
    }
    String::from_utf8(out).unwrap()
}

/// The number of hashes of a raw string that starts here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"r")?;
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    (after.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn string_end(bytes: &[u8], mut i: usize) -> usize {
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// The length of a character literal that starts here; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"'")?;
    match after.first()? {
        b'\\' => after.iter().skip(2).position(|byte| *byte == b'\'').map(|at| at + 4),
        _ => {
            let text = String::from_utf8_lossy(&after[..after.len().min(5)]).into_owned();
            let length = text.chars().next()?.len_utf8();
            (after.get(length) == Some(&b'\'')).then_some(length + 2)
        }
    }
}

/// Every path in the code with its offset: those of `use` declarations one by one, all others as
/// they stand. `a::{b, c::d}` becomes `a::b` and `a::c::d`.
pub(super) fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut declarations = Vec::new();
    for (at, _) in code.match_indices("use ") {
        if code[..at].chars().next_back().is_none_or(|c| !is_word(c)) {
            let end = code[at..].find(';').map_or(code.len(), |end| at + end);
            expand(code, at + 4, end, &[], &mut found);
            declarations.push(at..end);
        }
    }
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
        // Only a path's beginning: `b::c` of `a::b::c` is no path of its own.
        let inner = code[..start].ends_with("::") || start == at;
        if inner || declarations.iter().any(|declaration| declaration.contains(&start)) {
            continue;
        }
        let end = code[start..]
            .find(|c| !is_word(c) && c != ':')
            .map_or(code.len(), |length| start + length);
        let path = code[start..end].split("::").filter(|part| !part.is_empty());
        found.push((start, path.map(str::to_owned).collect()));
    }
    found
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn expand(
    code: &str,
    from: usize,
    to: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let mut start = from;
    let mut depth = 0;
    for (i, c) in code[from..to].char_indices().chain([(to - from, ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand_one(code, start, from + i, prefix, found);
                start = from + i + 1;
            }
            _ => {}
        }
    }
}

fn expand_one(
    code: &str,
    from: usize,
    to: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let item = &code[from..to];
    let at = from + (item.len() - item.trim_start().len());
    let (head, list) = match item.split_once('{') {
        Some((head, list)) => (head, Some(list)),
        None => (item.split(" as ").next().unwrap_or_default(), None),
    };
    let mut path = prefix.to_vec();
    path.extend(
        head.trim().split("::").map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned),
    );
    match list {
        Some(list) => {
            let inner = from + head.len() + 1;
            let length = list.rfind('}').unwrap_or(list.len());
            expand(code, inner, inner + length, &path, found);
        }
        // After the last comma.
        None if item.trim().is_empty() => {}
        None => found.push((at, path)),
    }
}

/// A path from the crate's root, if it is one of ours.
pub(super) fn resolve(modules: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => modules.to_vec(),
        "super" => modules.split_last()?.1.to_vec(),
        _ => return None,
    };
    for part in &path[1..] {
        if part == "super" {
            base.pop();
        } else {
            base.push(part.clone());
        }
    }
    Some(base)
}

/// The places of a word in the code, as `file:line`.
pub(super) fn places<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = String> + 'a {
    source.code.match_indices(word).filter_map(move |(at, _)| {
        let before = source.code[..at].chars().next_back();
        before.is_none_or(|c| !is_word(c) || !is_word(word.chars().next().unwrap_or(' '))).then(
            || {
                let line = source.code[at..].lines().next().unwrap_or_default();
                format!("{}: {}", source.at(at), line.trim())
            },
        )
    })
}
