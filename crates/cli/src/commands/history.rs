//! `customer-settings history`: who changed what, and the way back.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    names::{self, EntryNames},
    verbs::{Call, Limit, Lines, Read, Show, Write, confirm, tell_dry_run},
};
use crate::{
    failure::{EXIT_CODES, Failure},
    output::{Form, Kind, Look, cell, note, print, print_json, tell},
    target::Client,
    values,
};

const CHANGES: Kind = Kind {
    items: "changes",
    columns: &[
        ("REVISION", "/revision"),
        ("TIME", "/time"),
        ("BY", "/by"),
        ("KEY", "/key"),
        ("FROM", "/address"),
        ("SUMMARY", "/summary"),
    ],
    spare: &["FROM", "KEY"],
    none: "there are no such changes",
};

/// See who changed what in a company, undo a change, or roll back to a revision
///
/// A company counts its
/// changes: each makes a revision. An undo or a roll back is a change too, and can be undone.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum HistoryCommand {
    /// List the changes of a company or of one entry, newest first
    #[command(after_help = "\
Examples:
  customer-settings history list cmp_001 --limit 20
  customer-settings history list cmp_001 --all --output json
  customer-settings history list cmp_001 --collection customer_tags --entry tag_001
  customer-settings history list cmp_001 --by-key key_01h455vb --from 2026-11-01T00:00:00Z")]
    List(Read<List>),
    /// Show one change: who, when, from where, and each field before and after
    #[command(after_help = "Example: customer-settings history show cmp_001 7")]
    Show(Read<Change>),
    /// Undo one change: the fields that it touched get the values that they had before
    ///
    /// Refused if one of these fields was changed since.
    #[command(after_help = "Example: customer-settings history undo cmp_001 7 --dry-run")]
    Undo(Write<Undo>),
    /// Give a company, its locations and its catalogs the state of a revision, as one new change
    ///
    /// Shows the changes and asks first; without a terminal it needs --yes. If another change comes in
    /// between, the command is refused, so nothing else can happen than it showed.
    #[command(after_help = "Example: customer-settings history rollback cmp_001 7")]
    Rollback(Write<RollBack>),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// Only changes of this catalog
    #[arg(long, value_name = "COLLECTION")]
    collection: Option<String>,
    /// Only changes of this entry
    #[arg(long = "entry", value_name = "ID", requires = "collection")]
    entry_id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    lines: Lines,
    #[command(flatten)]
    #[serde(skip)]
    limit: Limit,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Change {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The revision that the change made
    #[arg(value_name = "REVISION", value_parser = values::revision)]
    #[arg(allow_negative_numbers = true)]
    revision: i64,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Undo {
    #[command(flatten)]
    #[serde(flatten)]
    change: Change,
    /// The etag of the company's settings, as `list --output json` shows it: refuses the undo if
    /// another change came first
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct RollBack {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The revision whose state it shall have
    #[arg(value_name = "REVISION", value_parser = values::revision)]
    #[arg(allow_negative_numbers = true)]
    revision: i64,
    /// The etag of the company's settings, as `list --output json` shows it: refuses the roll back
    /// if another change came first
    #[arg(long)]
    etag: Option<String>,
    /// Do not ask
    #[arg(long)]
    #[serde(skip)]
    yes: bool,
}

impl HistoryCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut call = self.call()?;
        // A table shows only the summaries.
        if matches!(self, Self::List(_)) && !call.form.is_json() {
            return call.run().await;
        }
        let mut client = call.connect().await?;
        if let Self::List(list) = &self {
            let mut answer = call.answer(&mut client).await?;
            for change in answer["changes"].as_array_mut().into_iter().flatten() {
                whole(&mut client, &list.request.company_id, change).await?;
            }
            return call.show(&answer);
        }
        if let Self::Rollback(back) = &self
            && !call.is_dry()
            && !back.request.yes
        {
            back.request.ask(&mut client, &mut call.request).await?;
        }
        let mut answer = client.call(call.method, &call.request).await?;
        if let Self::Show(change) = &self {
            let company = &change.request.company_id;
            whole(&mut client, company, &mut answer).await?;
            return match call.form.is_json() {
                true => print_json(&answer),
                false => show_change(&mut client, company, answer, call.form).await,
            };
        }
        if call.is_dry() {
            tell_dry_run();
        }
        // A dry run is in no log, and a key that may write need not be allowed to read the log.
        let more = answer["change"]["parts"].as_i64().unwrap_or(1) - 1;
        if more > 0 {
            note(format!("the change is large: {more} more parts of it are not shown"));
        }
        if call.form.is_json() {
            return print_json(&answer);
        }
        let company = cell(&call.request["company_id"]);
        show_result(&mut client, &company, &answer, call.form).await
    }

    pub(crate) fn call(&self) -> Result<Call<'_>, Failure> {
        match self {
            Self::List(list) => {
                let most = list.request.limit.most();
                list.call("HistoryService/ListChanges", Show::Pages(&CHANGES, most))
            }
            Self::Show(change) => change.call("HistoryService/GetChange", Show::One),
            Self::Undo(undo) => undo.call("HistoryService/UndoChange", Show::One),
            Self::Rollback(back) => back.call("HistoryService/RollBack", Show::One),
        }
    }
}

impl RollBack {
    /// Shows the changes, if any, and asks. The etag in `request` then makes the server refuse anything else.
    async fn ask(&self, client: &mut Client, request: &mut Value) -> Result<(), Failure> {
        if self.etag.is_none() {
            let newest = json!({"company_id": self.company_id, "page_size": 1});
            let newest = client.call("HistoryService/ListChanges", &newest).await?;
            request["etag"] = newest["etag"].clone();
        }
        let mut preview = request.clone();
        preview["validate_only"] = json!(true);
        let preview = client.call("HistoryService/RollBack", &preview).await?;
        let names = names::of_reordered(client, &self.company_id, &preview["change"]).await;
        let rows = rows(&preview["change"], &names);
        if rows.is_empty() {
            return Ok(());
        }
        tell(Look::of_notes().table(&HEADERS, &rows).trim_end());
        confirm(&format!("Roll {} back to revision {}?", self.company_id, self.revision), false)
    }
}

/// Fetches the other parts of a large change.
async fn whole(client: &mut Client, company: &str, change: &mut Value) -> Result<(), Failure> {
    for part in 2..=change["parts"].as_i64().unwrap_or(1) {
        let request = json!({"company_id": company, "revision": change["revision"], "part": part});
        let mut next = client.call("HistoryService/GetChange", &request).await?;
        if let (Some(all), Value::Array(deltas)) =
            (change["deltas"].as_array_mut(), next["deltas"].take())
        {
            all.extend(deltas);
        }
    }
    change["parts"] = json!(1);
    Ok(())
}

async fn show_change(
    client: &mut Client,
    company: &str,
    mut change: Value,
    form: Form,
) -> Result<(), Failure> {
    names::name_keys(client, &mut change, None).await;
    let names = names::of_reordered(client, company, &change).await;
    let rows = rows(&change, &names);
    if let Some(about) = change.as_object_mut() {
        if let Some(key) = about.shift_remove("key") {
            about.insert("keyId".to_owned(), key);
        }
        for field in ["by", "deltas", "keyName", "part", "parts"] {
            about.shift_remove(field);
        }
    }
    form.one(&change)?;
    match rows[..] {
        [] => Ok(()),
        // Values are whole: a person who asks for one change wants to read it.
        _ => print(&format!("\n{}", Look::of_results(true).table(&HEADERS, &rows))),
    }
}

/// Prints the result of an undo or a roll back.
async fn show_result(
    client: &mut Client,
    company: &str,
    result: &Value,
    form: Form,
) -> Result<(), Failure> {
    let names = names::of_reordered(client, company, &result["change"]).await;
    let (rows, revision) = (rows(&result["change"], &names), cell(&result["revision"]));
    if result["change"].is_null() {
        note(format!("there was nothing to do; the company is at revision {revision}"));
        return Ok(());
    }
    print(&form.table(&HEADERS, &rows))?;
    note(format!("as revision {revision}"));
    Ok(())
}

const HEADERS: [&str; 7] = ["ACTION", "COLLECTION", "ID", "NAME", "FIELD", "BEFORE", "AFTER"];

/// A change's lines: one for each field that changed.
fn rows(change: &Value, names: &EntryNames) -> Vec<Vec<String>> {
    let deltas = change["deltas"].as_array().into_iter().flatten();
    deltas.flat_map(|delta| delta_rows(delta, names)).collect()
}

fn delta_rows(delta: &Value, names: &EntryNames) -> Vec<Vec<String>> {
    let row = |name: String, field: &str, before: String, after: String| {
        let what = [&delta["action"], &delta["collection"], &delta["id"]].map(cell);
        what.into_iter().chain([name, field.to_owned(), before, after]).collect()
    };
    if delta["action"] == "REORDERED" {
        let order = |side: &str| {
            let ids = delta[side].as_array().into_iter().flatten().map(cell);
            let named = ids.map(|id| {
                let place = (cell(&delta["collection"]), id);
                names.get(&place).cloned().unwrap_or(place.1)
            });
            named.collect::<Vec<_>>().join(", ")
        };
        return vec![row(cell(&Value::Null), "order", order("idsBefore"), order("idsAfter"))];
    }
    let side = |when: &str| {
        let kinds = ["entry", "company", "business"];
        kinds.iter().map(|kind| &delta[format!("{kind}{when}")]).find(|value| !value.is_null())
    };
    let (before, after) = (side("Before"), side("After"));
    let value = |side: Option<&Value>, field: &str| {
        let at: String = field.split('.').map(|part| format!("/{}", camel_case(part))).collect();
        cell(side.and_then(|side| side.pointer(&at)).unwrap_or(&Value::Null))
    };
    let fields = delta["fields"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut fields: Vec<String> = fields.map(str::to_owned).collect();
    // A thing that was made or deleted has no fields that changed: all that it has came or went.
    if let (true, Some(thing)) = (fields.is_empty(), before.xor(after)) {
        add_chosen(&mut fields, "", thing);
    }
    // Every thing has a line.
    if fields.is_empty() {
        fields.push("name".to_owned());
    }
    let name = value(after.or(before), "name");
    let row =
        |field: String| row(name.clone(), &field, value(before, &field), value(after, &field));
    fields.into_iter().map(row).collect()
}

/// Fields that nobody chooses.
const NOT_CHOSEN: [&str; 9] = [
    "id",
    "companyId",
    "position",
    "textColor",
    "etag",
    "createdBy",
    "createdTime",
    "lastUpdatedBy",
    "lastUpdatedTime",
];

/// Adds the fields of a thing that somebody chose and that say something.
fn add_chosen(fields: &mut Vec<String>, within: &str, thing: &Value) {
    let says_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "ACTIVE",
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    for (name, value) in thing.as_object().into_iter().flatten() {
        let is_chosen = !within.is_empty() || !NOT_CHOSEN.contains(&name.as_str());
        if !is_chosen || says_nothing(value) {
            continue;
        }
        let field = format!("{within}{}", snake_case(name));
        match value {
            Value::Object(_) => add_chosen(fields, &format!("{field}."), value),
            _ => fields.push(field),
        }
    }
}

/// The contract's name of a field of JSON.
fn snake_case(field: &str) -> String {
    let lower = |c: char| match c.is_ascii_uppercase() {
        true => format!("_{}", c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    field.chars().map(lower).collect()
}

/// The JSON name of a field.
fn camel_case(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        name + &head.to_uppercase() + tail
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_field_by_field() {
        let change = json!({"deltas": [
            {"collection": "customer_tags", "id": "tag_001", "action": "UPDATED",
             "fields": ["name", "is_default"],
             "entryBefore": {"name": "VIP", "isDefault": false},
             "entryAfter": {"name": "Vip", "isDefault": true}},
            {"collection": "customer_tags", "id": "", "action": "REORDERED", "fields": [],
             "idsBefore": ["a", "b"], "idsAfter": ["b", "a"]},
            {"collection": "businesses", "id": "biz_1", "action": "CREATED", "fields": [],
             "businessAfter": {"id": "biz_1", "name": "Queens", "phone": "", "state": "ACTIVE",
                "address": {"city": "New York", "coordinate": {"latitude": 40.5, "longitude": -74}}, "createdBy": "local"}},
            {"collection": "life_cycles", "id": "lc_1", "action": "DELETED", "fields": [],
             "entryBefore": {"name": "Old", "color": "#123456", "textColor": "#FFFFFF", "isDefault": true}},
        ]});
        let expected = [
            ["UPDATED", "customer_tags", "tag_001", "Vip", "name", "VIP", "Vip"],
            ["UPDATED", "customer_tags", "tag_001", "Vip", "is_default", "no", "yes"],
            ["REORDERED", "customer_tags", "-", "-", "order", "VIP, b", "b, VIP"],
            ["CREATED", "businesses", "biz_1", "Queens", "name", "-", "Queens"],
            ["CREATED", "businesses", "biz_1", "Queens", "address.city", "-", "New York"],
            [
                "CREATED",
                "businesses",
                "biz_1",
                "Queens",
                "address.coordinate.latitude",
                "-",
                "40.5",
            ],
            [
                "CREATED",
                "businesses",
                "biz_1",
                "Queens",
                "address.coordinate.longitude",
                "-",
                "-74",
            ],
            ["DELETED", "life_cycles", "lc_1", "Old", "name", "Old", "-"],
            ["DELETED", "life_cycles", "lc_1", "Old", "color", "#123456", "-"],
            ["DELETED", "life_cycles", "lc_1", "Old", "is_default", "yes", "-"],
        ];
        let place = ("customer_tags".to_owned(), "a".to_owned());
        let names = EntryNames::from([(place, "VIP".to_owned())]);
        assert_eq!(rows(&change, &names), expected);
        assert!(rows(&Value::Null, &names).is_empty());
    }

    #[test]
    fn names_of_fields_become_those_of_json() {
        for (field, name) in [("name", "name"), ("is_default", "isDefault"), ("a__b", "aB")] {
            assert_eq!(camel_case(field), name);
        }
        assert_eq!(snake_case("isDefault"), "is_default");
    }
}
