//! The labels of a repository, as programs that set them on GitHub keep them in YAML or JSON.

use std::collections::{BTreeSet, HashSet};

use crate::{
    catalog::entry::Catalog,
    service::document::{
        quoted,
        tree::{self, Key, Node, Value},
    },
};

use super::{Converted, Given};

/// The form that is expected, for errors.
const EXPECTED: &str = "a file of labels is a list of names with colors, such as - {name: bug, color: \"d73a4a\"}, or has one \
                        under labels:";
/// The most keys that are said to be unused.
const MOST_UNUSED: usize = 20;

/// Reads labels as entries of one catalog.
pub fn read(text: &str, catalog: Catalog) -> Result<Converted, String> {
    let root = tree::read(text, "name", EXPECTED).map_err(|error| error.to_string())?;
    let root = root.ok_or_else(|| format!("the file is empty: {EXPECTED}"))?;
    let items = labels(&root)
        .ok_or_else(|| format!("line {}: this is {}: {EXPECTED}", root.line, root.value.shown()))?;
    let (mut converted, mut unused) = (Converted::default(), BTreeSet::new());
    let share_lines = items.windows(2).any(|two| two[0].line == two[1].line);
    for (index, item) in items.iter().enumerate() {
        let place = match share_lines {
            false => format!("line {}", item.line),
            true => numbered(index + 1, item),
        };
        match label(item, &mut unused) {
            Ok(given) => converted.add(&place, catalog, &given)?,
            Err(problem) => converted.leave_out(&place, &problem),
        }
    }
    if !unused.is_empty() {
        let names: Vec<String> = unused.iter().map(|name| quoted(name)).collect();
        converted.notes.push(format!("not used: {}", names.join(", ")));
    }
    Ok(converted)
}

fn value<'a>(keys: &'a [Key], name: &str) -> Option<&'a Node> {
    keys.iter().find(|key| key.name == name).map(|key| &key.value)
}

/// The list of labels: the file itself, or what stands under `labels`, perhaps within `default`.
fn labels(root: &Node) -> Option<&[Node]> {
    match &*root.value {
        Value::List(items) => Some(items),
        Value::Map(keys) => labels(value(keys, "labels").or_else(|| value(keys, "default"))?),
        _ => None,
    }
}

/// The place of a label in a file that has several on one line, as GitHub writes them.
fn numbered(number: usize, item: &Node) -> String {
    let name = match &*item.value {
        Value::Map(keys) => value(keys, "name").unwrap_or(item),
        _ => item,
    };
    match &*name.value {
        Value::Text(name) => format!("label {number} ({})", quoted(name)),
        _ => format!("label {number}"),
    }
}

fn label<'a>(item: &'a Node, unused: &mut BTreeSet<&'a str>) -> Result<Given<'a>, String> {
    let keys = match &*item.value {
        Value::Text(name) => return Ok(Given { name, ..Given::default() }),
        Value::Map(keys) => keys,
        other => {
            return Err(format!("a label is a name with a color, and this is {}", other.shown()));
        }
    };
    let mut given = Given::default();
    let (mut renamed, mut seen) = (None, HashSet::new());
    for Key { name, value, .. } in keys {
        if !seen.insert(name) {
            return Err(format!("{} is there twice", quoted(name)));
        }
        match name.as_str() {
            "name" => given.name = text("name", value)?,
            "color" | "colour" => given.color = text("color", value)?,
            "description" => given.description = text("description", value)?,
            "new_name" => renamed = Some(text("new_name", value)?),
            "from_name" | "aliases" | "previously" => names(name, value, &mut given.was)?,
            "delete" if text("delete", value)?.eq_ignore_ascii_case("true") => {
                return Err(
                    "the label is one to delete (delete: true): archive the entry if there is one"
                        .to_owned(),
                );
            }
            "delete" => {}
            name if unused.len() < MOST_UNUSED => _ = unused.insert(name),
            _ => {}
        }
    }
    if let Some(new) = renamed.filter(|new| !new.is_empty()) {
        given.was.push(std::mem::replace(&mut given.name, new));
    }
    Ok(given)
}

/// The text of a value; empty if there is none.
fn text<'a>(name: &str, node: &'a Node) -> Result<&'a str, String> {
    match &*node.value {
        Value::Text(text) => Ok(text),
        Value::Null(None) => Ok(""),
        Value::Null(Some(comment)) => Err(format!(
            "{name} is empty, as # begins a comment: write it in quotation marks, {name}: \"#{comment}\""
        )),
        other => Err(format!("{name} must be text, and is {}", other.shown())),
    }
}

/// Adds one former name or several, which may stand in maps of their own.
fn names<'a>(name: &str, node: &'a Node, found: &mut Vec<&'a str>) -> Result<(), String> {
    match &*node.value {
        Value::List(items) => items.iter().try_for_each(|item| names(name, item, found)),
        Value::Map(keys) => match value(keys, "name") {
            Some(node) => names(name, node, found),
            None => Err(format!("{name} must be names, and is {}", node.value.shown())),
        },
        _ => {
            let text = text(name, node)?;
            if !text.is_empty() {
                found.push(text);
            }
            Ok(())
        }
    }
}
