//! A document as a tree of values with their lines: YAML, or JSON, which is nearly YAML.
//!
//! This file knows no field of a document, and words the errors of unreadable text itself.

use std::{collections::HashMap, fmt, rc::Rc};

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, Tag, options,
};

/// The beginning of YAML's own tags, which are written as `!!`.
const CORE: &str = "tag:yaml.org,2002:";
/// The deepest nesting of a document.
const MAX_DEPTH: usize = 32;
/// Aliases make a small document a large one. This is the most values of the result.
const MAX_NODES: usize = 50_000_000;
/// The most characters of a line or a value that an error shows.
const MAX_SHOWN_CHARACTERS: usize = 60;

/// Why the document cannot be read at all.
#[derive(Debug)]
pub struct Unreadable {
    /// The line, from 1; `None` where no line can be told.
    pub line: Option<u64>,
    /// The problem there, in words. Further problems follow on lines of their own.
    pub problem: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Unreadable {}

pub(super) fn unreadable(line: u64, problem: impl fmt::Display) -> Unreadable {
    Unreadable { line: Some(line), problem: problem.to_string() }
}

/// A value with its line.
#[derive(Clone)]
pub struct Node {
    /// The line, from 1.
    pub line: u64,
    /// Shared with its aliases.
    pub value: Rc<Value>,
    /// The number of values in it, including itself.
    size: usize,
}

/// A value.
pub enum Value {
    /// No value, `~` or `null`, with the comment behind it.
    Null(Option<String>),
    /// A text, or a number as it was written.
    Text(String),
    /// The items of a list.
    List(Vec<Node>),
    /// The keys of a map, in their order.
    Map(Vec<Key>),
}

impl Node {
    /// A value that stands on no line.
    pub(super) fn of(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null(None),
            Json::Bool(truth) => Value::Text(truth.to_string()),
            Json::Number(number) => Value::Text(number.to_string()),
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(Self::of).collect()),
            Json::Object(keys) => {
                let key = |(name, value)| Key { line: 0, name, value: Self::of(value) };
                Value::Map(keys.into_iter().map(key).collect())
            }
        };
        Self { line: 0, value: Rc::new(value), size: 1 }
    }
}

/// A key of a map, with its value.
#[expect(missing_docs, reason = "the names say it")]
pub struct Key {
    pub line: u64,
    pub name: String,
    pub value: Node,
}

impl Value {
    /// The value in words, for the end of a sentence.
    pub fn shown(&self) -> String {
        match self {
            Self::Null(_) => "nothing".to_owned(),
            Self::Text(text) => format!("the text {}", quoted(text)),
            Self::List(items) if items.is_empty() => "an empty list".to_owned(),
            Self::List(items) => format!("a list, whose first item is {}", items[0].value.kind()),
            Self::Map(keys) => match keys.first() {
                None => "an empty map".to_owned(),
                Some(key) => format!("keys with values, the first of them {}", quoted(&key.name)),
            },
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null(_) => "nothing",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "keys with values",
        }
    }
}

/// The text, cut if it is long.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The text in quotation marks, cut if it is long, with invisible characters escaped.
pub fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Reads the one document of a text; `None` if the text has no document.
///
/// If the text is not YAML and has not the word `mark` in it, the error ends with `hint`.
pub fn read(text: &str, mark: &str, hint: &str) -> Result<Option<Node>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options: Options = options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let advice = (mark, hint);
    let mut reading = Reading { text, advice, parser, anchors: HashMap::new(), size: 0 };
    let mut found = None;
    while let Some((event, span)) = reading.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(..) if found.is_some() => {
                let problem = "a second document begins here (---): put everything into one document, or give the \
                               documents one by one";
                return Err(unreadable(line(span), problem));
            }
            Event::DocumentStart(..) => {}
            event => found = Some(reading.node(event, span, 0)?),
        }
    }
    Ok(found.filter(|node| !matches!(*node.value, Value::Null(_))))
}

fn too_deep(line: u64) -> Unreadable {
    unreadable(line, format!("nests deeper than {MAX_DEPTH} levels"))
}

fn line(span: Span) -> u64 {
    span.start.line() as u64
}

/// A tag as people write it.
fn named(tag: &Tag) -> String {
    match tag.handle() {
        CORE => format!("!!{}", tag.suffix()),
        handle => format!("{handle}{}", tag.suffix()),
    }
}

/// Refuses a tag on a list or a map that is not its own. The lone `!` means that there is no tag.
fn check_tag(tag: Option<&Tag>, own: &str, line: u64) -> Result<(), Unreadable> {
    match tag.map(named) {
        Some(tag) if tag != own && tag != "!" => Err(unreadable(line, unfit(&tag))),
        _ => Ok(()),
    }
}

/// Refuses a tag that is not YAML's own, or does not fit the text behind it.
fn check_scalar(tag: &str, text: &str) -> Result<(), String> {
    let is_fit = match tag {
        "!!str" | "!" => true,
        "!!null" => matches!(text, "" | "~" | "null" | "Null" | "NULL"),
        "!!bool" => {
            matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
        }
        "!!int" => {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let (digits, radix) = match digits.split_at_checked(2) {
                Some(("0x", rest)) => (rest, 16),
                Some(("0o", rest)) => (rest, 8),
                _ => (digits, 10),
            };
            !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
        }
        "!!float" => text.parse::<f64>().is_ok() || matches!(text, ".inf" | "-.inf" | ".nan"),
        _ => return Err(unfit(tag)),
    };
    match is_fit {
        true => Ok(()),
        false => {
            Err(format!("the tag {} does not fit {}: leave it out", quoted(tag), quoted(text)))
        }
    }
}

fn unfit(tag: &str) -> String {
    format!("the tag {} means nothing here: leave it out", quoted(tag))
}

struct Reading<'a> {
    text: &'a str,
    /// A word of every file that is meant, and the hint for a file without it.
    advice: (&'a str, &'a str),
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    /// The number of values that were read, with those of aliases.
    size: usize,
}

impl<'a> Reading<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Unreadable> {
        self.parser.next_event().transpose().map_err(|error| self.broken(&error))
    }

    /// The next event. The document must not end here.
    fn within(&mut self, line: u64) -> Result<(Event<'a>, Span), Unreadable> {
        self.next()?.ok_or_else(|| unreadable(line, "the document ends within this"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        let line = line(span);
        if depth > MAX_DEPTH {
            return Err(too_deep(line));
        }
        let (anchor, value, size) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_nothing = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let is_null = match tag.as_deref().map(named) {
                    None => style == ScalarStyle::Plain && is_nothing,
                    Some(tag) => {
                        check_scalar(&tag, &text).map_err(|problem| unreadable(line, problem))?;
                        tag == "!!null"
                    }
                };
                let value = match is_null {
                    true => Value::Null(self.comment(span)),
                    false => Value::Text(text.into_owned()),
                };
                (anchor, value, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "!!seq", line)?;
                let (items, size) = self.items(line, depth)?;
                (anchor, Value::List(items), size)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "!!map", line)?;
                let (keys, size) = self.keys(line, depth)?;
                (anchor, Value::Map(keys), size)
            }
            Event::Alias(anchor) => {
                let within_itself = "an alias (*) stands for what it is a part of";
                let found = self.anchors.get(&anchor).cloned();
                let node = found.ok_or_else(|| unreadable(line, within_itself))?;
                self.count(node.size, line)?;
                return Ok(Node { line, ..node });
            }
            _ => return Err(unreadable(line, "cannot be read as YAML")),
        };
        self.count(1, line)?;
        let node = Node { line, value: Rc::new(value), size };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: u64) -> Result<(), Unreadable> {
        self.size = self.size.saturating_add(more);
        if self.size > MAX_NODES {
            return Err(unreadable(line, "the document is too large: load it in parts"));
        }
        Ok(())
    }

    fn items(&mut self, line: u64, depth: usize) -> Result<(Vec<Node>, usize), Unreadable> {
        let (mut items, mut size) = (Vec::new(), 1);
        loop {
            match self.within(line)? {
                (Event::SequenceEnd, _) => return Ok((items, size)),
                (event, span) => {
                    let item = self.node(event, span, depth + 1)?;
                    size = usize::saturating_add(size, item.size);
                    items.push(item);
                }
            }
        }
    }

    fn keys(&mut self, line: u64, depth: usize) -> Result<(Vec<Key>, usize), Unreadable> {
        let (mut keys, mut size) = (Vec::new(), 1);
        loop {
            let (event, span) = match self.within(line)? {
                (Event::MappingEnd, _) => return Ok((keys, size)),
                other => other,
            };
            let key = self.node(event, span, depth + 1)?;
            let name = match &*key.value {
                Value::Text(text) => text.clone(),
                Value::Null(_) => "null".to_owned(),
                other => {
                    let problem = format!("a key must be text, and this is {}", other.kind());
                    return Err(unreadable(key.line, problem));
                }
            };
            let (event, span) = self.within(key.line)?;
            let value = self.node(event, span, depth + 1)?;
            size = usize::saturating_add(size, value.size);
            keys.push(Key { line: key.line, name, value });
        }
    }

    /// The comment in the place of a value. A color without quotation marks is such a comment.
    fn comment(&self, span: Span) -> Option<String> {
        let rest = self.text.get(span.start.byte_offset()?..)?;
        let rest = rest.lines().next()?.trim_start().strip_prefix(':').unwrap_or(rest);
        let comment = rest.lines().next()?.trim_start().strip_prefix('#')?;
        // A comment may follow the color.
        let value = comment.split_once(" #").map_or(comment, |(value, _)| value);
        Some(shortened(value.trim_end()))
    }

    /// The last comment that hides a bracket up to this line, else the first one behind it.
    fn hidden_around(&self, line: u64) -> Option<(u64, String)> {
        let mut found = self.text.lines().enumerate().filter_map(hidden);
        let before = found.clone().take_while(|(at, _)| *at <= line).last();
        before.or_else(|| found.next())
    }

    fn broken(&self, error: &ScanError) -> Unreadable {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => return too_deep(line as u64),
            ErrorKind::UnknownAnchor => {
                let problem =
                    "an alias (*) stands for what was named before it with &, and nothing was";
                return unreadable(line as u64, problem);
            }
            _ => {}
        }
        if is_within_brackets(error.kind())
            && let Some((line, problem)) = self.hidden_around(line as u64)
        {
            return unreadable(line, problem);
        }
        let mut lines = self.text.lines().enumerate().skip(line.saturating_sub(1));
        let (_, own) = lines.next().unwrap_or_default();
        // The parser names the line before, whose text would go on behind the tab.
        let tabbed = match error.kind() {
            ErrorKind::TabInPlainScalar => lines.find(|(_, text)| indent(text).contains('\t')),
            _ => None,
        };
        let (line, column, text) = match tabbed {
            Some((at, text)) => (at + 1, indent(text).find('\t').unwrap_or_default() + 1, text),
            None => (line, column, own),
        };
        let hint = if indent(text).contains('\t') && !self.text.trim_start().starts_with(['{', '['])
        {
            "there is a tab: indent with blanks, as YAML takes no tabs there"
        } else if !self.text.contains(self.advice.0) {
            self.advice.1
        } else {
            "look at the indentation, the quotation marks and the brackets, here and just before"
        };
        let shown = quoted(text.trim());
        unreadable(line as u64, format!("cannot be read from column {column} on ({shown}): {hint}"))
    }
}

/// The blanks and tabs at the beginning of a line that has something else too.
fn indent(line: &str) -> &str {
    let rest = line.trim_start();
    if rest.is_empty() { "" } else { &line[..line.len() - rest.len()] }
}

/// Whether the error is an open bracket, or follows from one.
fn is_within_brackets(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::BlockEntryInFlowCollection
    )
}

/// A line whose comment hides brackets, such as `{name: VIP, color: #FFF}`: its number, and the advice.
fn hidden((index, line): (usize, &str)) -> Option<(u64, String)> {
    let (mut open, mut quote, mut before) = (0_usize, None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(mark), _) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if matches!(before, ' ' | '\t' | '{' | '[' | ',' | ':') => {
                quote = Some(c)
            }
            (None, '{' | '[') => open += 1,
            (None, '}' | ']') => open = open.saturating_sub(1),
            (None, '#') if open > 0 && matches!(before, ' ' | '\t') => {
                let (kept, lost) = line.split_at(at);
                let value = &lost[..lost.find(['}', ']'])?];
                // A real comment begins with a blank.
                if value[1..].starts_with([' ', '\t']) {
                    return None;
                }
                let value = value.split(", ").next().unwrap_or_default();
                let key = kept.trim_end().strip_suffix(':');
                let key = key.and_then(|kept| kept.rsplit(['{', '[', ',', ' ']).next());
                let shown = match key {
                    Some(key) => format!("{}: {}", shortened(key), quoted(value)),
                    None => quoted(value),
                };
                let problem = format!(
                    "# begins a comment, so that the bracket behind it is lost: write it in quotation marks, {shown}"
                );
                return Some((index as u64 + 1, problem));
            }
            _ => {}
        }
        before = c;
    }
    None
}
