//! The names of keys and entries, for tables. People know names, and the contract's changes have ids.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::verbs::Call;
use crate::{failure::Failure, output::cell, target::Client};

/// The most keys that are looked up for one table.
const MOST_KEYS: usize = 50;

/// Shows the changes of a company or of keys. In a table each change has a `key` and a `by` with the key's name.
pub(super) async fn show_changes(call: Call<'_>) -> Result<(), Failure> {
    let mut client = call.connect().await?;
    let mut answer = call.answer(&mut client).await?;
    if !call.form.is_json()
        && let Some(changes) = answer["changes"].as_array_mut()
    {
        name_keys(&mut client, changes).await;
    }
    call.show(&answer)
}

/// Adds `key` and `by` to changes. A caller who may not read keys gets the ids.
pub(super) async fn name_keys(client: &mut Client, changes: &mut [Value]) {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut may_ask = true;
    for change in changes {
        let id = change["keyId"].as_str().unwrap_or_default().to_owned();
        let is_new = !id.is_empty() && !names.contains_key(&id) && names.len() < MOST_KEYS;
        if is_new && may_ask {
            match client.call("KeyService/GetKey", &json!({"id": id})).await {
                Ok(key) => _ = names.insert(id.clone(), cell(&key["name"])),
                Err(_) => may_ask = false,
            }
        }
        let name = names.get(&id);
        // Several keys may have one name, and people look for an id after a theft.
        change["key"] = json!(name.map_or_else(|| id.clone(), |name| format!("{name} ({id})")));
        change["by"] = match name.filter(|_| change["staffId"] == json!(id)) {
            Some(name) => json!(name),
            None => change["staffId"].clone(),
        };
    }
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
