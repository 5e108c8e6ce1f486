//! `customer-settings entry`: the entries of the four catalogs.

use std::{io::Read as _, path::PathBuf};

use clap::{Args, Subcommand};
use customer_settings_server::api;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Value, json};

use super::verbs::{AsOf, Call, Collection, Read, Show, Write, confirm};
use crate::{
    failure::{EXIT_CODES, Failure, usage},
    output::Kind,
    values,
};

const ENTRIES: Kind = Kind {
    items: "entries",
    columns: &[
        ("#", "/position"),
        ("ID", "/id"),
        ("NAME", "/name"),
        ("COLOR", "/color"),
        ("DEFAULT", "/isDefault"),
        ("STATE", "/state"),
        ("UPDATED BY", "/lastUpdatedBy"),
        ("UPDATED", "/lastUpdatedTime"),
    ],
    spare: &["UPDATED", "UPDATED BY", "#", "DEFAULT"],
    none: "there are no such entries",
};

const RESULTS: Kind = Kind {
    items: "results",
    columns: &[
        ("COLLECTION", "/collection"),
        ("ID", "/id"),
        ("NAME", "/entry/name"),
        ("STATE", "/entry/state"),
    ],
    spare: &["COLLECTION"],
    none: "nothing was changed",
};

/// Manage customer tags, referral sources, life cycles and action statuses
///
/// A collection is
/// customer_tags, referral_sources, life_cycles or action_statuses.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum EntryCommand {
    /// List a catalog's entries, in their order
    ///
    /// A filter is conditions joined by AND: state = ARCHIVED, name = "VIP", and name : "vip" for
    /// names that contain it.
    #[command(after_help = "\
Examples:
  customer-settings entry list cmp_001 customer_tags
  customer-settings entry list cmp_001 life_cycles --archived --output json
  customer-settings entry list cmp_001 customer_tags --filter 'name : \"vip\"' --revision 7")]
    List(Read<List>),
    /// Show one entry, archived or not
    #[command(after_help = "\
Examples:
  customer-settings entry get cmp_001 customer_tags tag_001
  customer-settings entry get cmp_001 customer_tags tag_001 --at 2026-11-23T18:00:00Z")]
    Get(Read<Get>),
    /// Add an entry at the end of its catalog
    #[command(mut_arg("name", |arg| arg.required(true)))]
    #[command(mut_group("Fields", |group| group.required(false)))]
    #[command(after_help = "\
Example: customer-settings entry create cmp_001 customer_tags --name 'Senior Pet' --color '#8E44AD'")]
    Create(Write<Create>),
    /// Change an entry; fields that are not given do not change
    #[command(after_help = "\
Examples:
  customer-settings entry update cmp_001 customer_tags tag_001 --name VIP
  customer-settings entry update cmp_001 customer_tags tag_001 --no-color --dry-run")]
    Update(Write<Update>),
    /// Archive an entry; it keeps its id, its history and its place, and its name becomes free
    ///
    /// The default life cycle can only be archived together with a successor.
    #[command(after_help = "\
Examples:
  customer-settings entry archive cmp_001 customer_tags tag_001
  customer-settings entry archive cmp_001 life_cycles lc_001 --successor lc_002")]
    Archive(Write<Archive>),
    /// Restore an archived entry, at its old place
    #[command(after_help = "\
Example: customer-settings entry restore cmp_001 customer_tags tag_001")]
    Restore(Write<One>),
    /// Delete an archived entry; its id is never used again
    ///
    /// Asks first; without a terminal it needs --yes. `history undo` restores the entry.
    #[command(after_help = "\
Example: customer-settings entry delete cmp_001 customer_tags tag_003 --yes")]
    Delete(Write<Delete>),
    /// Give a catalog a new order: the ids of all its active entries, in that order
    #[command(after_help = "\
Example: customer-settings entry reorder cmp_001 customer_tags tag_002 tag_001")]
    Reorder(Write<Reorder>),
    /// Make a life cycle the default
    #[command(after_help = "\
Example: customer-settings entry set-default cmp_001 life_cycles lc_002")]
    SetDefault(Write<SetDefault>),
    /// Make several changes at once, all or none of them
    ///
    /// The file holds the body of the API's BatchChangeEntries, {"changes": […]}, or only the list of
    /// changes. A change is {"create": {…}}, or the same with update, archive, restore, delete or reorder. For example:
    ///
    /// [{"archive": {"collection": "customer_tags", "id": "tag_001"}}]
    #[command(after_help = "\
Examples:
  customer-settings entry batch cmp_001 changes.json --dry-run
  customer-settings entry batch cmp_001 - < changes.json")]
    Batch(Write<Batch>),
}

#[derive(Args, Debug, Serialize)]
struct Catalog {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// Which catalog
    #[arg(value_name = "COLLECTION", value_enum)]
    collection: Collection,
}

#[derive(Args, Debug, Serialize)]
struct Place {
    #[command(flatten)]
    #[serde(flatten)]
    catalog: Catalog,
    /// The entry's id
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    #[command(flatten)]
    #[serde(flatten)]
    catalog: Catalog,
    /// Only entries that meet these conditions
    #[arg(long, value_name = "CONDITIONS")]
    filter: Option<String>,
    /// position, name, created_time or last_updated_time; in the opposite direction with ' desc'
    #[arg(long, value_name = "FIELD")]
    order_by: Option<String>,
    /// Also list archived entries
    #[arg(long = "archived")]
    show_archived: bool,
    #[command(flatten)]
    #[serde(flatten)]
    as_of: AsOf,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Get {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    #[command(flatten)]
    #[serde(flatten)]
    as_of: AsOf,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Fields {
    /// The name that people see: 1 to 100 characters
    #[arg(long, value_name = "TEXT", value_parser = values::name)]
    name: Option<String>,
    /// A longer explanation: up to 500 characters
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// #RGB or #RRGGBB
    #[arg(long, value_name = "COLOR")]
    color: Option<String>,
    /// Remove the color
    #[arg(long, conflicts_with = "color")]
    no_color: bool,
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let color = if self.no_color { Some("") } else { self.color.as_deref() };
        let mut entry = to.serialize_struct("Entry", 3)?;
        entry.serialize_field("name", &self.name)?;
        entry.serialize_field("description", &self.description)?;
        entry.serialize_field("color", &color)?;
        entry.end()
    }
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Create {
    #[command(flatten)]
    #[serde(flatten)]
    catalog: Catalog,
    /// The id of the new entry [default: a new one]
    #[arg(value_name = "ID")]
    entry_id: Option<String>,
    #[command(flatten)]
    entry: Fields,
    /// The catalog's etag, as `list --output json` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

/// An entry, and the etag of the state that the caller knows.
#[derive(Args, Debug, Serialize)]
pub(crate) struct One {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// The entry's etag, as `get` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Update {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    #[command(flatten)]
    entry: Fields,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Archive {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    /// The id of the active entry that becomes the default in its place
    #[arg(long = "successor", value_name = "ID")]
    successor_id: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Delete {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    /// Do not ask
    #[arg(long)]
    #[serde(skip)]
    yes: bool,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Reorder {
    #[command(flatten)]
    #[serde(flatten)]
    catalog: Catalog,
    /// The ids of all active entries, in their new order
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// The catalog's etag, as `list --output json` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct SetDefault {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    #[arg(skip)]
    entry: AsDefault,
}

#[derive(Debug, Serialize)]
struct AsDefault {
    is_default: bool,
}

impl Default for AsDefault {
    fn default() -> Self {
        Self { is_default: true }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Batch {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The changes as JSON; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The etag of the company's settings, as `history list --output json` shows it: refuses the
    /// changes if another came first
    #[arg(long)]
    etag: Option<String>,
}

impl EntryCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let call = self.call()?;
        if let Self::Delete(delete) = &self
            && !call.is_dry()
        {
            delete.request.confirm()?;
        }
        call.run().await
    }

    pub(crate) fn call(&self) -> Result<Call<'_>, Failure> {
        match self {
            Self::List(list) => list.call("EntryService/ListEntries", Show::Pages(&ENTRIES, None)),
            Self::Get(get) => get.call("EntryService/GetEntry", Show::One),
            Self::Create(create) => create.call("EntryService/CreateEntry", Show::One),
            Self::Update(update) => update.call("EntryService/UpdateEntry", Show::One),
            Self::Archive(archive) => archive.call("EntryService/ArchiveEntry", Show::One),
            Self::Restore(restore) => restore.call("EntryService/RestoreEntry", Show::One),
            Self::Delete(delete) => delete.call("EntryService/DeleteEntry", Show::Done("deleted")),
            Self::Reorder(order) => order.call("EntryService/ReorderEntries", Show::All(&ENTRIES)),
            Self::SetDefault(default)
                if !matches!(
                    default.request.one.place.catalog.collection,
                    Collection::LifeCycles
                ) =>
            {
                Err(usage("no catalog but life_cycles has a default"))
            }
            Self::SetDefault(default) => default.call("EntryService/UpdateEntry", Show::One),
            Self::Batch(batch) => {
                let request = batch.request.read()?;
                batch.call_with("EntryService/BatchChangeEntries", request, Show::All(&RESULTS))
            }
        }
    }
}

impl Delete {
    fn confirm(&self) -> Result<(), Failure> {
        let Place { catalog, id } = &self.one.place;
        let collection = serde_json::to_value(catalog.collection)?;
        let collection = collection.as_str().unwrap_or_default();
        confirm(&format!("Delete {collection}/{id} of {}?", catalog.company_id), self.yes)
    }
}

impl Batch {
    fn read(&self) -> Result<Value, Failure> {
        let is_input = self.file.as_os_str() == "-";
        let name = if is_input { "standard input".into() } else { self.file.to_string_lossy() };
        let text = if is_input {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).map(|_| text)
        } else {
            std::fs::read(&self.file)
        };
        let text = text.map_err(|error| usage(format!("{name} cannot be read: {error}")))?;
        let document = api::json::parse(&text)
            .map_err(|error| usage(format!("{name} is not valid JSON: {error}")))?;
        self.request(document)
    }

    /// Makes the request from the document, for the company of the command line.
    fn request(&self, document: Value) -> Result<Value, Failure> {
        let mut request = match document {
            Value::Array(changes) => json!({"changes": changes}),
            Value::Object(_) => document,
            _ => return Err(usage("the document is neither an object nor a list of changes")),
        };
        // A value that the command line may also give is looked for under one name.
        let names = [
            ("companyId", "company_id"),
            ("requestId", "request_id"),
            ("validateOnly", "validate_only"),
        ];
        for (camel, snake) in names {
            let value = request.as_object_mut().and_then(|fields| fields.shift_remove(camel));
            if let Some(value) = value {
                request[snake] = value;
            }
        }
        let company = request["company_id"].as_str().unwrap_or(&self.company_id);
        if company != self.company_id {
            return Err(usage(format!(
                "the document is for company {company}, the command for {}",
                self.company_id
            )));
        }
        request["company_id"] = json!(self.company_id);
        if let Some(etag) = &self.etag {
            request["etag"] = json!(etag);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::normalized;

    #[test]
    fn a_batch_is_a_list_or_what_the_api_takes_for_the_company_that_is_named() {
        let batch = |etag: Option<&str>| Batch {
            company_id: "c".to_owned(),
            file: PathBuf::new(),
            etag: etag.map(str::to_owned),
        };
        let request = batch(None).request(json!([])).unwrap();
        assert_eq!(request, json!({"changes": [], "company_id": "c"}));
        let whole =
            json!({"companyId": "c", "requestId": "r", "validateOnly": true, "etag": "old"});
        let expected =
            json!({"company_id": "c", "request_id": "r", "validate_only": true, "etag": "new"});
        assert_eq!(batch(Some("new")).request(whole).unwrap(), expected);
        // JSON can say that a field is to become empty, and a message cannot.
        let clears = json!([{"update": {"id": "t", "entry": {"color": null}}}]);
        let clears = batch(None).request(clears).unwrap();
        let clears = normalized("EntryService/BatchChangeEntries", &clears).unwrap();
        assert_eq!(clears["changes"][0]["update"]["updateMask"], "color");
        for wrong in [json!({"companyId": "d"}), json!({"company_id": "d"}), json!("text")] {
            assert!(batch(None).request(wrong).is_err());
        }
    }
}
