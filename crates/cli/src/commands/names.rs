//! The names of keys and entries, for tables. People know names, and the contract's answers have ids.

use std::{collections::HashMap, slice};

use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Kind, cell},
    target::Client,
};

/// The most keys that are looked up for one table.
const MOST_KEYS: usize = 50;
/// The author of a thing: a staff id, a command such as load, or the id of a key that has no staff id.
const AUTHOR: &str = "lastUpdatedBy";
/// All fields of things that may have the id of a key.
const AUTHORS: [&str; 3] = ["createdBy", "createdByKeyId", AUTHOR];
/// The beginning of the id of every key.
const KEY: &str = "key_";

/// Names the keys in an answer that becomes a table: a list of this kind, or one thing. A change gets `key` and `by`. A
/// caller who may not read a key gets its id.
pub(super) async fn name_keys(client: &mut Client, answer: &mut Value, kind: Option<&Kind>) {
    let mut keys = Keys { client, names: HashMap::new(), may_ask: true };
    let things = match kind {
        Some(kind) => answer[kind.items].as_array_mut().map_or(&mut [][..], Vec::as_mut_slice),
        None => slice::from_mut(answer),
    };
    for thing in things {
        if thing["keyId"].is_string() {
            name_change(thing);
        }
        match kind {
            Some(kind) if kind.shows(AUTHOR) => keys.name_author(thing).await,
            Some(_) => {}
            None => keys.name_authors(thing).await,
        }
    }
}

/// Keys that were looked up, with their names.
struct Keys<'a> {
    client: &'a mut Client,
    names: HashMap<String, Option<String>>,
    may_ask: bool,
}

impl Keys<'_> {
    async fn name(&mut self, id: &str) -> Option<String> {
        if let Some(name) = self.names.get(id) {
            return name.clone();
        }
        if id.is_empty() || !self.may_ask || self.names.len() >= MOST_KEYS {
            return None;
        }
        let name = match self.client.call("KeyService/GetKey", &json!({"id": id})).await {
            Ok(key) => Some(cell(&key["name"])),
            Err(failure) => {
                self.may_ask = is_about_one(&failure);
                None
            }
        };
        self.names.insert(id.to_owned(), name.clone());
        name
    }

    /// Several keys may have one name, and people look for an id after a theft.
    async fn name_with_id(&mut self, id: &str) -> Option<String> {
        self.name(id).await.map(|name| format!("{name} ({id})"))
    }

    /// A list has room for a name alone.
    async fn name_author(&mut self, thing: &mut Value) {
        if let Some(id) = key_id(&thing[AUTHOR])
            && let Some(name) = self.name(&id).await
        {
            thing[AUTHOR] = json!(name);
        }
    }

    async fn name_authors(&mut self, thing: &mut Value) {
        for field in AUTHORS {
            if let Some(id) = key_id(&thing[field])
                && let Some(name) = self.name_with_id(&id).await
            {
                thing[field] = json!(name);
            }
        }
    }
}

/// Names the key of a change as it was called then, which the change says itself. Several keys may have one name, and
/// people look for an id after a theft.
fn name_change(change: &mut Value) {
    let [id, name] =
        ["keyId", "keyName"].map(|field| change[field].as_str().unwrap_or_default().to_owned());
    change["by"] = match !id.is_empty() && change["staffId"] == json!(id) {
        true => json!(name),
        false => change["staffId"].clone(),
    };
    change["key"] = json!(if id.is_empty() { id } else { format!("{name} ({id})") });
}

fn key_id(author: &Value) -> Option<String> {
    author.as_str().filter(|author| author.starts_with(KEY)).map(str::to_owned)
}

/// Whether another key may be had, although this one may not. A refusal ends with its reason.
fn is_about_one(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::NotFound) || failure.message.contains("(KEY_NOT_WITHIN)")
}

/// The names of entries by catalog and id.
pub(super) type EntryNames = HashMap<(String, String), String>;

/// The names of the entries whose order a change changed. Its deltas have only their ids.
pub(super) async fn of_reordered(client: &mut Client, company: &str, change: &Value) -> EntryNames {
    let mut names = EntryNames::new();
    let deltas = change["deltas"].as_array().into_iter().flatten();
    for delta in deltas.filter(|delta| delta["action"] == "REORDERED") {
        let mut request = json!({"company_id": company, "collection": delta["collection"], "show_archived": true});
        // A dry run makes no revision that could be read.
        if change["revision"].as_str().is_some_and(|revision| revision != "0") {
            request["revision"] = change["revision"].clone();
        }
        // Without the names the ids are shown.
        let Ok(list) = client.call("EntryService/ListEntries", &request).await else { continue };
        for entry in list["entries"].as_array().into_iter().flatten() {
            let place = (cell(&delta["collection"]), cell(&entry["id"]));
            names.insert(place, cell(&entry["name"]));
        }
    }
    names
}
