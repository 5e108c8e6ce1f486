//! Laying configuration layers over each other, one key at a time: what was there before is valid,
//! so whatever goes wrong is wrong with this key, this value and this source. That is why every
//! error can name all three, without a library for layers.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Config, LISTEN_FORMS, LogFormat, RANGES, environment::PREFIX, unreadable};
use crate::catalog::near;

/// Keys whose values are shown by nothing.
const SECRETS: [&str; 1] = ["database.url"];

/// What other programs call the address that they listen at, or parts of it.
const LISTEN_WORDS: [&str; 6] = ["listen", "bind", "host", "address", "addr", "port"];

/// Why a configuration is refused; one line each.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {}", path.display(), unreadable(source))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a YAML mapping.
    #[error("the configuration file {} is not valid: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// There is no such key.
    #[error("there is no configuration key {key} (from {layer}); {hint}")]
    UnknownKey {
        /// What was given.
        key: String,
        /// Where.
        layer: Layer,
        /// The key or variable that was probably meant, else how to find it.
        hint: String,
    },
    /// The value does not fit the key.
    #[error("{} cannot be {value}{}: {problem}", layer.called(key), layer.origin())]
    Value {
        /// The key.
        key: String,
        /// The value, as JSON.
        value: String,
        /// Where it was given.
        layer: Layer,
        /// What is wrong with it.
        problem: String,
    },
    /// The file of a secret cannot be used.
    #[error("the secret's file {} cannot be read: {problem}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// One key needs another.
    #[error("{given} needs {missing} too: give both or neither")]
    Pair {
        /// The key that was given.
        given: &'static str,
        /// The key that was not.
        missing: &'static str,
    },
    /// A whole body is more than one client may have.
    #[error(
        "limits.bodies_bytes is {all} and limits.body_bytes {one}: it must be at least four times that, since a key \
         has no more than half of it"
    )]
    Share {
        /// The most bytes of a body.
        one: u64,
        /// Those of all.
        all: u64,
    },
    /// Two keys mean the same thing.
    #[error("{0} and {1} are both given: give one of them")]
    Either(&'static str, &'static str),
}

/// Where a value comes from.
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
    /// What people call a key there.
    fn called(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--{}", key.replace(['.', '_'], "-")),
            Self::File(_) | Self::Variable(_) => key.to_owned(),
        }
    }

    /// Where that is, where the name does not tell.
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

/// The layers so far. `keys` are all that exist, each with its default.
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
        // Snippets take several lines.
        let options = serde_saphyr::options! { with_snippet: false };
        let tree: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| syntax(error.to_string()))?;
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
            if empty && self.keys.iter().any(|(known, _)| known.starts_with(&section)) {
                continue;
            }
            self.set(&key, value, &Layer::File(path.to_owned()))?;
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

    /// A value as text, which the default's type says how to read.
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

    /// Names the key that was probably meant by a key or a variable without its prefix.
    fn hint(&self, given: &str, shown: impl Fn(&str) -> String) -> String {
        // In a variable's name an underscore stands for a dot as well.
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

/// What is wrong with a value that has not the form of its key's default.
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
        // Whatever may be left out is text.
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

/// What is wrong with a value that stands where a path belongs and may be a secret itself.
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
