//! `customer-settings company`: companies.

use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::verbs::{AsOf, Call, Read, Show, Write};
use crate::{
    failure::{EXIT_CODES, Failure},
    output::Kind,
    values,
};

const COMPANIES: Kind = Kind {
    items: "companies",
    columns: &[
        ("ID", "/id"),
        ("NAME", "/name"),
        ("COUNTRY", "/country"),
        ("TIME ZONE", "/timezone/id"),
        ("STATE", "/state"),
        ("SOURCE", "/source/mode"),
    ],
    spare: &["COUNTRY", "TIME ZONE"],
    none: "there are no such companies, or the key covers none",
};

/// Manage companies
///
/// Creating companies needs
/// a key that covers all companies.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum CompanyCommand {
    /// List the companies that the key covers, by name
    #[command(after_help = "\
Examples:
  customer-settings company list --archived
  customer-settings company list --search 'happy paws'")]
    List(Read<List>),
    /// Show one company, archived or not
    #[command(after_help = "Example: customer-settings company get cmp_001 --revision 7")]
    Get(Read<Get>),
    /// Add a company
    #[command(mut_arg("name", |arg| arg.required(true)))]
    #[command(mut_group("Fields", |group| group.required(false)))]
    #[command(after_help = "\
Example: customer-settings company create --name 'Sunny Tails' --country US --timezone America/Chicago")]
    Create(Write<Create>),
    /// Change a company; what is not given stays as it is
    #[command(after_help = "Example: customer-settings company update cmp_001 --name 'Happy Paws'")]
    Update(Write<Update>),
    /// Archive a company: it is no longer listed
    #[command(after_help = "Example: customer-settings company archive cmp_002")]
    Archive(Write<One>),
    /// Restore an archived company
    #[command(after_help = "Example: customer-settings company restore cmp_002")]
    Restore(Write<One>),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    /// Also list archived companies
    #[arg(long = "archived")]
    show_archived: bool,
    /// Only companies whose name contains this text, in any case, or whose id begins with it
    #[arg(long = "search", value_name = "TEXT")]
    #[serde(serialize_with = "in_quotation_marks")]
    filter: Option<String>,
}

/// The text as one word of a filter.
fn in_quotation_marks<S: Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    let escaped = |text: &String| text.replace('\\', r"\\").replace('"', r#"\""#);
    text.as_ref().map(|text| format!("\"{}\"", escaped(text))).serialize(to)
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Get {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    #[command(flatten)]
    #[serde(flatten)]
    as_of: AsOf,
}

/// A company, and the etag of the state that the caller knows.
#[derive(Args, Debug, Serialize)]
pub(crate) struct One {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The company's etag, as `get` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Debug, Serialize)]
#[group(required = true, multiple = true)]
struct Fields {
    /// The name that people see: 1 to 100 characters
    #[arg(long, value_name = "TEXT", value_parser = values::name)]
    name: Option<String>,
    /// The country, ISO 3166-1 alpha-2, such as US
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
    /// The time zone, of the IANA database, such as America/New_York
    #[arg(long, value_name = "ZONE")]
    #[serde(serialize_with = "as_time_zone")]
    timezone: Option<String>,
}

/// The contract has a message for the time zone.
fn as_time_zone<S: Serializer>(zone: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    zone.as_ref().map(|id| json!({"id": id})).serialize(to)
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Create {
    /// The id of the new company [default: a new one]
    #[arg(value_name = "COMPANY")]
    company_id: Option<String>,
    #[command(flatten)]
    company: Fields,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Update {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    #[command(flatten)]
    company: Fields,
}

impl CompanyCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.call()?.run().await
    }

    pub(crate) fn call(&self) -> Result<Call<'_>, Failure> {
        match self {
            Self::List(list) => {
                list.call("CompanyService/ListCompanies", Show::Pages(&COMPANIES, None))
            }
            Self::Get(get) => get.call("CompanyService/GetCompany", Show::One),
            Self::Create(create) => create.call("CompanyService/CreateCompany", Show::One),
            Self::Update(update) => update.call("CompanyService/UpdateCompany", Show::One),
            Self::Archive(archive) => archive.call("CompanyService/ArchiveCompany", Show::One),
            Self::Restore(restore) => restore.call("CompanyService/RestoreCompany", Show::One),
        }
    }
}
