//! A sentence begins with its subject, so none begins with What, Who and their kin (docs/style.md).
//! The test reads comments, docstrings and documents as text, and knows nothing of grammar: it looks at
//! the first word of a sentence. Headings, questions, code, quotations and messages in strings are free.

use std::fs;

use super::{
    assert_none,
    sources::{files, repository},
};

/// The forbidden first words.
const WORDS: &[&str] = &["What", "Whatever", "Who", "Whoever", "Whom", "Whose"];

/// The places that are looked at, and the kinds of files in them.
const PLACES: &[&str] = &["bench", "crates", "docs", "fuzz", "proto", "tests"];
const EXTENSIONS: &[&str] = &["md", "proto", "py", "rs"];

/// A paragraph of text: the line that it begins in, and its lines.
struct Paragraph {
    line: usize,
    text: String,
}

/// Puts lines of text into paragraphs. An empty line, an item of a list and a cell of a table begin a
/// paragraph; blocks of code and headings belong to none.
#[derive(Default)]
struct Paragraphs {
    found: Vec<Paragraph>,
    is_open: bool,
    is_code: bool,
}

impl Paragraphs {
    fn end(&mut self) {
        self.is_open = false;
    }

    fn add(&mut self, line: usize, text: &str) {
        let text = text.trim();
        if text.starts_with("```") {
            self.is_code = !self.is_code;
            self.end();
        } else if self.is_code || text.is_empty() || text.starts_with('#') {
            self.end();
        } else if let Some(row) = text.strip_prefix('|') {
            for cell in row.split('|') {
                self.end();
                self.push(line, cell.trim());
            }
            self.end();
        } else {
            let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
            let item = ["- ", "* "].iter().find_map(|mark| text.strip_prefix(mark));
            let item = item.or_else(|| (number != text).then(|| number.strip_prefix(". "))?);
            if item.is_some() {
                self.end();
            }
            self.push(line, item.unwrap_or(text));
        }
    }

    fn push(&mut self, line: usize, text: &str) {
        match self.found.last_mut().filter(|_| self.is_open) {
            Some(paragraph) => {
                paragraph.text.push('\n');
                paragraph.text.push_str(text);
            }
            None => self.found.push(Paragraph { line, text: text.to_owned() }),
        }
        self.is_open = true;
    }
}

/// The comments of a source, whose comments begin with `mark`. A comment behind code counts if no
/// string is open where it begins.
fn comments(text: &str, mark: &str, found: &mut Paragraphs) {
    let in_between = format!(" {mark} ");
    for (i, line) in text.lines().enumerate() {
        if let Some(comment) = line.trim_start().strip_prefix(mark) {
            // Of the marks of Rust (`///`, `//!`), and of the first line of a script (`#!`).
            found.add(i + 1, comment.trim_start_matches(['/', '!', '#']));
            continue;
        }
        found.end();
        let behind = line.match_indices(&in_between);
        let is_comment = |at: &usize| line[..*at].matches('"').count() % 2 == 0;
        if let Some(at) = behind.map(|(at, _)| at).find(is_comment) {
            found.add(i + 1, line[at..].trim_start().trim_start_matches(mark));
            found.end();
        }
    }
}

/// The docstrings of a Python file: at its top, and behind a line that ends with a colon.
fn docstrings(text: &str, found: &mut Paragraphs) {
    let mut before = ":";
    let mut is_open = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        let opened = line.strip_prefix("\"\"\"").filter(|_| !is_open && before.ends_with(':'));
        let content = opened.or(is_open.then_some(line));
        if let Some(content) = content {
            let (content, ends) =
                content.split_once("\"\"\"").map_or((content, false), |(c, _)| (c, true));
            found.add(i + 1, content);
            is_open = !ends;
            if ends {
                found.end();
            }
        }
        if !line.is_empty() && !line.starts_with('#') {
            before = line;
        }
    }
}

fn paragraphs(name: &str, text: &str) -> Vec<Paragraph> {
    let mut found = Paragraphs::default();
    match name.rsplit('.').next() {
        Some("py") => {
            comments(text, "#", &mut found);
            found.end();
            docstrings(text, &mut found);
        }
        Some("md") => text.lines().enumerate().for_each(|(i, line)| found.add(i + 1, line)),
        _ => comments(text, "//", &mut found),
    }
    found.found
}

/// The text with the content of quotations and code blanked, character for character.
fn without_quotations(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '"']) {
        let mark = &rest[at..=at];
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if let Some(end) = rest.find(mark) {
            out.extend(rest[..end].chars().map(|c| if c == '\n' { c } else { '_' }));
            out.push_str(mark);
            rest = &rest[end + 1..];
        }
    }
    out + rest
}

/// The sentences that begin with a forbidden word: their lines, and how they begin.
fn offences(name: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for paragraph in paragraphs(name, text) {
        let text = without_quotations(&paragraph.text);
        let mut line = paragraph.line;
        let sentences = text.split_inclusive(['.', '!', '?']).scan(true, |begins, part| {
            // A full stop within a word (`docs/api.md`) ends no sentence.
            let is_first =
                *begins || part.starts_with(|c: char| c.is_whitespace() || ")*_".contains(c));
            *begins = false;
            Some((is_first, part))
        });
        for (is_first, part) in sentences {
            let sentence = part.trim_start_matches(|c: char| !c.is_alphanumeric());
            let skipped = &part[..part.len() - sentence.len()];
            let at = line + skipped.matches('\n').count();
            line += part.matches('\n').count();
            let word = sentence.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if is_first && WORDS.contains(&word) && !sentence.ends_with('?') {
                found.push((at, sentence.lines().next().unwrap_or_default().to_owned()));
            }
        }
    }
    found
}

#[test]
fn sentences_begin_with_their_subject() {
    let root = repository();
    let mut found = Vec::new();
    let mut found_in = Vec::new();
    for place in PLACES {
        found_in.extend(EXTENSIONS.iter().flat_map(|kind| files(&root.join(place), kind)));
    }
    let at_the_top = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let at_the_top = at_the_top.filter(|path| path.extension().is_some_and(|e| e == "md"));
    for path in found_in.into_iter().chain(at_the_top) {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if name.split('/').any(|part| part == "target" || part == "node_modules") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        found.extend(
            offences(&name, &text).into_iter().map(|(line, text)| (name.clone(), line, text)),
        );
    }
    let found = found.iter().map(|(name, line, text)| format!("{name}:{line}: {text}"));
    let found: Vec<String> = found.collect();
    assert_none(
        &found,
        "the subject comes first: these sentences begin with What, Who or their kin",
    );
}

#[test]
fn the_sentence_test_finds_what_it_looks_for() {
    let string = format!("let a = {0}x // What{0}; // Who asks.", '"');
    let rust = [
        "//! Waits. What is late",
        "//! is refused.",
        "",
        "/// Whoever asks.",
        &string,
        "// Reads `a`. \"What is it.\" Whose it",
        "// is. See a.md. What is it?",
        "/// - a",
        "/// - What b.",
        "// ```",
        "// What c.",
        "// ```",
    ];
    let rust = rust.join("\n");
    let lines = |name: &str, text: &str| {
        offences(name, text).into_iter().map(|(line, _)| line).collect::<Vec<_>>()
    };
    assert_eq!(lines("a.rs", &rust), [1, 4, 5, 6, 9]);
    let python = "\"\"\"What a load does.\n\nWho asks.\"\"\"\nA = 1  # What it is.\ndef f():\n    \"\"\"Reads. Whatever\n    comes.\"\"\"\n\
                  \x20   g(\n        \"\"\"What is no comment.\"\"\")\n";
    assert_eq!(lines("a.py", python), [4, 1, 3, 6]);
    let document = "# What is tested\n\nText that asks\nWhat now. **Who asks** is\n\n| What | x |\n|---|---|\n\n1. Who.\n\n\
                    ```sh\nWhat\n```\n";
    assert_eq!(lines("a.md", document), [4, 6, 9]);
}
