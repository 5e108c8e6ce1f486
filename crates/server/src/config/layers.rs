//! Lays configuration layers over each other, one key at a time. The layers below are valid, so an error always belongs
//! to this key, this value and this source. Each error can therefore name all three, without a library for layers.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Config, LISTEN_FORMS, LogFormat, RANGES, environment::PREFIX, unreadable};
use crate::catalog::near;

/// Keys whose values are never shown.
const SECRETS: [&str; 1] = ["database.url"];

/// Names that other programs give to the address they listen at, or to parts of it.
const LISTEN_WORDS: [&str; 6] = ["listen", "bind", "host", "address", "addr", "port"];

/// The reason why a configuration is refused; one line each.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "most fields say what they are")]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {}", path.display(), unreadable(source))]
    File { path: PathBuf, source: io::Error },
    /// The file is not a YAML mapping.
    #[error("the configuration file {} is not valid: {problem}", path.display())]
    Syntax { path: PathBuf, problem: String },
    /// There is no such key.
    #[error("there is no configuration key {key} (from {layer}); {hint}")]
    UnknownKey {
        key: String,
        layer: Layer,
        /// The key or variable that was probably meant, else a way to find it.
        hint: String,
    },
    /// The value does not fit the key.
    #[error("{} cannot be {value}{}: {problem}", layer.called(key), layer.origin())]
    Value {
        key: String,
        /// The value, as JSON.
        value: String,
        layer: Layer,
        problem: String,
    },
    /// The file of a secret cannot be used.
    #[error("the secret's file {} cannot be read: {problem}", path.display())]
    Secret { path: PathBuf, problem: String },
    /// One key needs another.
    #[error("{given} needs {missing} too: give both or neither")]
    Pair {
        /// The key that is given.
        given: &'static str,
        /// The key that is not given.
        missing: &'static str,
    },
    /// The largest body would be more than the share of one client.
    #[error(
        "limits.bodies_bytes is {all} and limits.body_bytes {one}: it must be at least four times that, since a key \
         has no more than half of it"
    )]
    Share {
        /// The most bytes of one body.
        one: u64,
        /// The most bytes of all bodies.
        all: u64,
    },
    /// Two keys mean the same thing.
    #[error("{0} and {1} are both given: give one of them")]
    Either(&'static str, &'static str),
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The command line.
    Flag,
}

impl Layer {
    /// The name of a key in this layer.
    fn called(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--{}", key.replace(['.', '_'], "-")),
            Self::File(_) | Self::Variable(_) => key.to_owned(),
        }
    }

    /// The source of a value in brackets, unless the name of the key already shows it.
    fn origin(&self) -> String {
        match self {
            Self::Flag => String::new(),
            Self::File(_) | Self::Variable(_) => format!(" (from {self})"),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("the command line"),
        }
    }
}

/// The layers so far. `keys` are all keys that exist, each with its default.
pub(super) struct Layers {
    tree: Value,
    keys: Vec<(String, Value)>,
    config: Config,
}

impl Layers {
    pub(super) fn new(defaults: Value) -> Self {
        let config = Config::deserialize(&defaults)
            .unwrap_or_else(|error| unreachable!("a test reads the sample: {error}"));
        let mut keys = Vec::new();
        flatten("", &defaults, &mut keys);
        Self { tree: defaults, keys, config }
    }

    pub(super) fn finish(self) -> Config {
        self.config
    }

    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let syntax = |problem: String| ConfigError::Syntax { path: path.to_owned(), problem };
        // A snippet would take several lines.
        let options = serde_saphyr::options! { with_snippet: false };
        let tree: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| syntax(without_advice(&error.to_string())))?;
        let mut values = Vec::new();
        match tree {
            Value::Null => {}
            Value::Object(_) => flatten("", &tree, &mut values),
            _ => return Err(syntax("it must be a mapping of keys to values".to_owned())),
        }
        for (key, value) in values {
            // A section whose keys are all commented out.
            let section = format!("{key}.");
            let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
            let layer = Layer::File(path.to_owned());
            match self.keys.iter().find(|(known, _)| known.starts_with(&section)) {
                Some(_) if empty => {}
                Some((example, _)) => {
                    let problem = format!("it must be a section of keys, such as {example}");
                    return Err(ConfigError::Value {
                        key, value: "…".to_owned(), layer, problem
                    });
                }
                None => self.set(&key, value, &layer)?,
            }
        }
        Ok(())
    }

    pub(super) fn add_variable(&mut self, variable: &str, text: &str) -> Result<(), ConfigError> {
        let layer = Layer::Variable(variable.to_owned());
        let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
        match self.keys.iter().find(|(key, _)| variable_name(key) == name) {
            Some((key, _)) => self.add_text(&key.clone(), text, &layer),
            None => Err(ConfigError::UnknownKey {
                key: variable.to_owned(),
                layer: Layer::Variable("the environment".to_owned()),
                hint: self.hint(name, |key| format!("{PREFIX}{}", variable_name(key))),
            }),
        }
    }

    /// Adds a value that is text. The type of the default decides how to read the text.
    pub(super) fn add_text(
        &mut self,
        key: &str,
        text: &str,
        layer: &Layer,
    ) -> Result<(), ConfigError> {
        let default = self.keys.iter().find(|(known, _)| known == key).map(|(_, default)| default);
        let as_text = || Value::from(text);
        let value = match default {
            Some(Value::Bool(_)) => text.parse().map_or_else(|_| as_text(), Value::Bool),
            Some(Value::Number(_)) => text.parse::<u64>().map_or_else(|_| as_text(), Value::from),
            Some(Value::Array(_)) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect(),
            _ => as_text(),
        };
        self.set(key, value, layer)
    }

    fn set(&mut self, key: &str, value: Value, layer: &Layer) -> Result<(), ConfigError> {
        let Some((_, default)) = self.keys.iter().find(|(known, _)| known == key) else {
            let hint = self.hint(key, str::to_owned);
            return Err(ConfigError::UnknownKey {
                key: key.to_owned(),
                layer: layer.clone(),
                hint,
            });
        };
        let misplaced = misplaced(key, &value);
        let is_hidden = SECRETS.contains(&key) || misplaced.is_some();
        let shown = if is_hidden { "…".to_owned() } else { value.to_string() };
        let wrong = |problem| ConfigError::Value {
            key: key.to_owned(),
            value: shown,
            layer: layer.clone(),
            problem,
        };
        if let Some(problem) = misplaced.or_else(|| unlike(key, default, &value)) {
            return Err(wrong(problem));
        }
        match self.tree.pointer_mut(&format!("/{}", key.replace('.', "/"))) {
            Some(place) => *place = value,
            None => unreachable!("known keys are in the tree"),
        }
        let config = Config::deserialize(&self.tree);
        match config.map_err(|error| error.to_string()).and_then(|config| {
            config.check_each()?;
            Ok(config)
        }) {
            Ok(config) => self.config = config,
            Err(problem) => return Err(wrong(problem)),
        }
        Ok(())
    }

    /// Names the key that a wrong key, or a wrong variable without its prefix, probably means.
    fn hint(&self, given: &str, shown: impl Fn(&str) -> String) -> String {
        // In the name of a variable an underscore also stands for a dot.
        let plain = given.replace('.', "_").to_lowercase();
        let plains: Vec<String> = self.keys.iter().map(|(key, _)| key.replace('.', "_")).collect();
        let is_listen = plain.split(['_', '-']).all(|word| LISTEN_WORDS.contains(&word));
        let near = near::nearest(&plain, plains.iter().map(String::as_str));
        let near = near.and_then(|near| plains.iter().position(|plain| plain == near));
        match near.map(|at| self.keys[at].0.as_str()).or(is_listen.then_some("listen")) {
            Some(key) => format!("did you mean {}?", shown(key)),
            None => "'customer-settings config' lists all that there are".to_owned(),
        }
    }
}

/// The keys of a tree, with dots between their parts, and their values.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    let members: Option<&Map<String, Value>> =
        value.as_object().filter(|map| prefix.is_empty() || !map.is_empty());
    match members {
        None => into.push((prefix.to_owned(), value.clone())),
        Some(members) => {
            for (name, member) in members {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, member, into);
            }
        }
    }
}

/// The message of the library without its advice to programs.
fn without_advice(message: &str) -> String {
    let message = message.replace("duplicate mapping key: ", "");
    message.replace(", set DuplicateKeyPolicy in Options if acceptable", " is given twice,")
}

/// The problem of a value whose type differs from its default's type, or that is out of range.
fn unlike(key: &str, default: &Value, value: &Value) -> Option<String> {
    if let Some((_, least, most)) = RANGES.iter().find(|(number, ..)| *number == key) {
        let is_within = value.as_u64().is_some_and(|number| (*least..=*most).contains(&number));
        return (!is_within).then(|| format!("it must be a whole number from {least} to {most}"));
    }
    let problem = match default {
        Value::Bool(_) if !value.is_boolean() => "it must be true or false",
        Value::Array(_) if !value.is_array() => "it must be a list",
        Value::String(_) if key == "listen" && !value.is_string() => LISTEN_FORMS,
        Value::String(_) if key == "log_format" && !is_log_format(value) => {
            "it must be auto, text or json"
        }
        Value::String(_) if !value.is_string() => "it must be text, if need be in quotation marks",
        // Every key without a default is a text.
        Value::Null if !value.is_string() && !value.is_null() => {
            "it must be text, if need be in quotation marks"
        }
        _ => return None,
    };
    Some(problem.to_owned())
}

fn is_log_format(value: &Value) -> bool {
    value.is_string() && LogFormat::deserialize(value).is_ok()
}

/// The problem of a value that is not a path although the key needs one. The value may be a secret.
fn misplaced(key: &str, value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_path = ["data_dir", "tls_cert", "tls_key", "database.url_file"].contains(&key);
    if is_path && text.contains("://") {
        return Some("it must be a path, and this is a URL".to_owned());
    }
    if is_path && (text.contains("-----BEGIN") || text.contains('\n')) {
        return Some("it must be the name of a file, and this is what stands in one".to_owned());
    }
    None
}

/// A key's name in the environment, without the prefix.
fn variable_name(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}
