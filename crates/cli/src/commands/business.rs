//! `customer-settings business`: a company's locations.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::verbs::{AsOf, Call, Read, Show, Write};
use crate::{
    failure::{EXIT_CODES, Failure},
    output::Kind,
    values,
};

const BUSINESSES: Kind = Kind {
    items: "businesses",
    columns: &[
        ("ID", "/id"),
        ("NAME", "/name"),
        ("CITY", "/address/city"),
        ("PHONE", "/businessPhone"),
        ("EMAIL", "/email"),
        ("STATE", "/state"),
    ],
    spare: &["EMAIL", "PHONE", "CITY"],
    none: "there are no such locations",
};

/// Manage a company's locations
///
/// A location is called a
/// business, as in the compatible API.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum BusinessCommand {
    /// List a company's locations, by name
    #[command(after_help = "Example: customer-settings business list cmp_001 --archived")]
    List(Read<List>),
    /// Show one location, archived or not
    #[command(after_help = "Example: customer-settings business get cmp_001 biz_001")]
    Get(Read<Get>),
    /// Add a location
    #[command(mut_arg("name", |arg| arg.required(true)))]
    #[command(mut_group("field", |group| group.required(false)))]
    #[command(after_help = "\
Example: customer-settings business create cmp_001 --name 'Happy Paws Queens' --city 'New York'")]
    Create(Write<Create>),
    /// Change a location; what is not given stays as it is, but an address is replaced as a whole
    #[command(after_help = "\
Example: customer-settings business update cmp_001 biz_001 --business-phone '+1 555 0100'")]
    Update(Write<Update>),
    /// Archive a location: it is no longer listed
    #[command(after_help = "Example: customer-settings business archive cmp_001 biz_001")]
    Archive(Write<One>),
    /// Restore an archived location
    #[command(after_help = "Example: customer-settings business restore cmp_001 biz_001")]
    Restore(Write<One>),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// Also list archived locations
    #[arg(long = "archived")]
    show_archived: bool,
    #[command(flatten)]
    #[serde(flatten)]
    as_of: AsOf,
}

#[derive(Args, Debug, Serialize)]
struct Place {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The location's id
    #[arg(value_name = "ID")]
    id: String,
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

/// A location, and the etag of the state that the caller knows.
#[derive(Args, Debug, Serialize)]
pub(crate) struct One {
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
    /// The location's etag, as `get` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

// At least one of these fields and of the address is required. The group is separate because clap counts a
// flattened group separately.
#[derive(Args, Debug, Serialize)]
#[command(group = ArgGroup::new("field").required(true).multiple(true))]
struct Fields {
    /// The name that people see: 1 to 100 characters
    #[arg(long, value_name = "TEXT", value_parser = values::name, group = "field")]
    name: Option<String>,
    /// The owner's telephone number
    #[arg(long, value_name = "NUMBER", group = "field")]
    phone: Option<String>,
    /// The location's telephone number
    #[arg(long, value_name = "NUMBER", group = "field")]
    business_phone: Option<String>,
    /// Electronic mail address
    #[arg(long, value_name = "ADDRESS", group = "field")]
    email: Option<String>,
    /// Address of a picture
    #[arg(long, value_name = "URL", group = "field")]
    avatar: Option<String>,
    /// Web site
    #[arg(long, value_name = "URL", group = "field")]
    website: Option<String>,
    /// Facebook page
    #[arg(long, value_name = "URL", group = "field")]
    facebook: Option<String>,
    /// Instagram page
    #[arg(long, value_name = "URL", group = "field")]
    instagram: Option<String>,
    /// Yelp page
    #[arg(long, value_name = "URL", group = "field")]
    yelp: Option<String>,
    /// Google page
    #[arg(long, value_name = "URL", group = "field")]
    google: Option<String>,
    #[command(flatten)]
    address: Option<Address>,
}

#[derive(Args, Debug, Serialize)]
#[command(next_help_heading = "Address")]
struct Address {
    /// The first line of the address
    #[arg(long, value_name = "LINE", group = "field")]
    address1: Option<String>,
    /// The second line of the address
    #[arg(long, value_name = "LINE", group = "field")]
    address2: Option<String>,
    /// The city
    #[arg(long, value_name = "TEXT", group = "field")]
    city: Option<String>,
    /// The state or region
    #[arg(long, value_name = "TEXT", group = "field")]
    state: Option<String>,
    /// The postal code
    #[arg(long, value_name = "CODE", group = "field")]
    postal_code: Option<String>,
    /// The country, ISO 3166-1 alpha-2, such as US
    #[arg(long, value_name = "CODE", group = "field")]
    country: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Create {
    /// The company's id
    #[arg(value_name = "COMPANY")]
    company_id: String,
    /// The id of the new location [default: a new one]
    #[arg(value_name = "ID")]
    business_id: Option<String>,
    #[command(flatten)]
    business: Fields,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Update {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    #[command(flatten)]
    business: Fields,
}

impl BusinessCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.call()?.run().await
    }

    pub(crate) fn call(&self) -> Result<Call<'_>, Failure> {
        match self {
            Self::List(list) => {
                list.call("BusinessService/ListBusinesses", Show::Pages(&BUSINESSES, None))
            }
            Self::Get(get) => get.call("BusinessService/GetBusiness", Show::One),
            Self::Create(create) => create.call("BusinessService/CreateBusiness", Show::One),
            Self::Update(update) => update.call("BusinessService/UpdateBusiness", Show::One),
            Self::Archive(archive) => archive.call("BusinessService/ArchiveBusiness", Show::One),
            Self::Restore(restore) => restore.call("BusinessService/RestoreBusiness", Show::One),
        }
    }
}
