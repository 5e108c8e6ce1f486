//! Forms and queries: pairs of a name and a text, in the order in which they were sent.

use std::{collections::HashSet, convert::Infallible, future::ready};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode,
};

use super::sentences;
use crate::service::document::decode as decode_file;

/// The characters that a part of a path cannot have as they are.
const PART: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// The fields that a page fills in or has to choose from; all others hold what somebody typed.
const NOT_TYPED: [&str; 27] = [
    "etag",
    "request",
    "id",
    "ids",
    "next",
    "place",
    "up",
    "down",
    "sure",
    "without",
    "back",
    "shown",
    "do",
    "digest",
    "ideas",
    "last",
    "prune",
    "list",
    "hours",
    "created",
    "default",
    "successor",
    "scope",
    "company",
    "coverage",
    "found",
    "token",
];

/// The most characters of an unknown name that a message repeats.
const MOST_SHOWN: usize = 40;

/// Before the name of a field, in the name of the hidden one with the text that the page was opened with.
const WAS: &str = "was.";

/// The fields of a page as they are stored, so that its form knows which of them a person changed.
pub(super) fn pairs<'f>(
    fields: impl IntoIterator<Item = (&'static str, &'f mut String)>,
) -> Vec<(&'static str, String)> {
    fields.into_iter().map(|(name, field)| (name, field.clone())).collect()
}

/// The items of a field that takes several, with white space or commas between them.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|item| !item.is_empty())
}

/// The pairs of a form or a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
    /// Why a file is none that can be read. Its text is empty.
    unread: Option<String>,
    /// How a file was read whose encoding had to be guessed.
    note: Option<String>,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`; lines end with a line feed alone.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value).replace("\r\n", "\n"))
        });
        Self { pairs: pairs.collect(), ..Self::default() }
    }

    /// A form that waited.
    pub(super) fn of_pairs(pairs: Vec<(String, String)>) -> Self {
        Self { pairs, ..Self::default() }
    }

    /// Reads the body of a form, with files or without. A file is a text like any other.
    pub(super) async fn of_body(headers: &HeaderMap, body: Bytes) -> Result<Self, String> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let Ok(boundary) = multer::parse_boundary(kind.unwrap_or_default()) else {
            return Ok(Self::parse(&body));
        };
        let cut_off = |_| sentences::CUT_OFF.to_owned();
        let whole = stream::once(ready(Ok::<_, Infallible>(body)));
        let (mut parts, mut form) = (multer::Multipart::new(whole, boundary), Self::default());
        while let Some(part) = parts.next_field().await.map_err(cut_off)? {
            let name = part.name().unwrap_or_default().to_owned();
            let bytes = part.bytes().await.map_err(cut_off)?;
            match decode_file(bytes.to_vec()) {
                Ok(decoded) => {
                    form.note = form.note.or_else(|| decoded.note());
                    let text = decoded.text.replace("\r\n", "\n").replace('\r', "\n");
                    form.pairs.push((name, text));
                }
                Err(problem) => {
                    form.unread = Some(format!("The file was not read: {problem}."));
                    form.pairs.push((name, String::new()));
                }
            }
        }
        Ok(form)
    }

    /// Why a file of the form could not be read.
    pub(super) fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// How a file of the form was read, where its encoding was guessed.
    pub(super) fn note(&self) -> Option<String> {
        self.note.as_ref().map(|note| format!("the file was {note}"))
    }

    /// The text of that name, without white space around it; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default().trim()
    }

    /// The same as it was sent.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All texts of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Tells why this is not the form of a page of the console, which has these fields: `etag` and `request` always, the
    /// others perhaps, each once. `scope+` may be there several times; `to.*` stands for all names that begin with `to.`, and
    /// `kept.+` for such names several times.
    pub(super) fn fault(&self, fields: &[&str]) -> Option<String> {
        let mut seen = HashSet::new();
        for (name, _) in &self.pairs {
            let is_of = |field: &&&str| {
                let stem = field.trim_end_matches(['*', '+']);
                if stem.ends_with('.') { name.starts_with(stem) } else { name == stem }
            };
            let Some(field) = fields.iter().find(is_of) else {
                let name: String = name.chars().take(MOST_SHOWN).collect();
                return Some(format!(
                    "The form has a field “{name}” that this page does not know."
                ));
            };
            if !seen.insert(name) && !field.ends_with('+') {
                return Some(format!(
                    "The form has the field “{name}” twice, with one value each."
                ));
            }
        }
        if fields.contains(&"request") && self.get("request").is_empty() {
            return Some(
                "The form has no number of its own, so it could do the same thing twice."
                    .to_owned(),
            );
        }
        let lacks_version = fields.contains(&"etag") && self.get("etag").is_empty();
        lacks_version.then(|| {
            "The form does not say which version it is about, so it could undo what somebody else did."
                .to_owned()
        })
    }

    /// The text with which the page was opened, where the form has it.
    pub(super) fn was(&self, name: &str) -> Option<&str> {
        self.find(&format!("{WAS}{name}"))
    }

    /// Gives the fields that the person left alone the texts that are stored now.
    pub(super) fn keep_others<'f>(
        &self,
        fields: impl IntoIterator<Item = (&'static str, &'f mut String)>,
        stored: &[(&'static str, String)],
    ) {
        for ((name, field), (_, now)) in fields.into_iter().zip(stored) {
            if self.was(name).is_some_and(|was| was.trim() == self.get(name)) {
                field.clone_from(now);
            }
        }
    }

    /// The fields that somebody filled in, with their texts.
    pub(super) fn typed(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(|(name, value)| self.is_typed(name, value))
    }

    /// Whether somebody filled in a field with this text.
    pub(super) fn is_typed(&self, name: &str, value: &str) -> bool {
        let is_chosen = match name {
            "pick" => !["own", "none"].contains(&value),
            // Browsers always send a color.
            "own" => self.get("pick") == "own",
            _ => true,
        };
        let is_hidden = name.starts_with(WAS) || name.starts_with("to.");
        is_chosen && !is_hidden && !NOT_TYPED.contains(&name) && !value.trim().is_empty()
    }

    /// The query without these names, as it stands in links: empty, or with its question mark.
    pub(super) fn link_without(&self, names: &[&str]) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        let kept = kept.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let kept: Vec<String> = kept.collect();
        if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
    }

    /// Every pair.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// A text as a value in a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A text as a part of a path.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}
