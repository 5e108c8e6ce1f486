//! `customer-settings key`: issuing, listing and revoking keys on the data directory.

use std::{
    collections::BTreeSet,
    io::Read,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use customer_settings_server::{
    Services,
    auth::api_key::Secret,
    catalog::{
        access::{Coverage, Scopes, Task},
        error::Violation,
        id::{CompanyId, KeyId, StaffId},
        key::Key,
        text::Name,
        time::Timestamp,
    },
    config::parse_network,
    service::keys::KeyDraft,
    store::sqlite::Access,
};
use serde_json::{Value, json};

use super::{Data, Failure, explain, failure};
use crate::output::Output;

/// Issue, list and revoke keys
///
/// A running server takes a new key at once, and refuses a revoked one within a second.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    Create(Create),
    Import(Import),
    List(List),
    Revoke(Revoke),
}

/// Issue a key; its secret is printed alone on standard output, once
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    draft: Draft,
}

/// Issue a key with a secret that clients already hold, read from standard input
///
/// The secret has 24 to 512 printable characters and no colon.
#[derive(Args)]
pub(crate) struct Import {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    draft: Draft,
}

/// What the key may do; all restrictions apply together
#[derive(Args)]
struct Draft {
    /// What people call the key
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do; may be repeated
    ///
    /// settings:read, settings:write, companies:read, companies:write, keys:read, keys:write,
    /// history:read, or * for everything.
    #[arg(long, value_name = "SCOPE", default_values = ["settings:read", "companies:read"])]
    scope: Vec<String>,
    /// A company that it covers; may be repeated; without it all companies
    #[arg(long, value_name = "ID")]
    company: Vec<String>,
    /// A network that it may be used from, such as 10.0.0.0/8 or 2001:db8::/32; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_ip: Vec<String>,
    /// When it ends: in a while (30d, 12h) or at a time (2027-01-01T00:00:00Z)
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// The id of the staff member it acts as
    #[arg(long, value_name = "ID")]
    staff: Option<String>,
}

/// List the keys, never their secrets
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    data: Data,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// Revoke a key for good
#[derive(Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    data: Data,
    /// The key's id, as `key list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

impl KeyCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Import(import) => import.run().await,
            Self::List(list) => list.run().await,
            Self::Revoke(revoke) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let draft = self.draft.read()?;
        let services = self.data.open(Access::Write).await?;
        let secret = Secret::generate().map_err(|error| explain(&error))?;
        let key = issue(&services, draft, &secret).await?;
        println!("{}", secret.expose());
        eprintln!("created {}; the secret above is shown only this once", describe(&key));
        Ok(())
    }
}

impl Import {
    async fn run(self) -> Result<(), Failure> {
        let draft = self.draft.read()?;
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        let secret = Secret::import(&text).map_err(failure)?;
        let services = self.data.open(Access::Write).await?;
        let key = issue(&services, draft, &secret).await?;
        eprintln!("imported {}", describe(&key));
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let services = self.data.open(Access::Read).await?;
        let keys = services.keys.list().await.map_err(|error| explain(&error))?;
        let rows: Vec<Value> = keys.iter().map(|(key, last_used)| row(key, *last_used)).collect();
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
            Output::Table => print_table(&rows),
        }
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let id = KeyId::parse("ID", &self.id).map_err(failure)?;
        let services = self.data.open(Access::Write).await?;
        let revoked = services.keys.revoke(&Task::Key.actor(), &id).await;
        let key = revoked.map_err(|error| explain(&error))?;
        eprintln!("revoked {} \"{}\"", key.id, key.name);
        Ok(())
    }
}

async fn issue(services: &Services, draft: KeyDraft, secret: &Secret) -> Result<Key, Failure> {
    let key = services.keys.create(&Task::Key.actor(), draft, secret).await;
    key.map_err(|error| explain(&error))
}

impl Draft {
    fn read(self) -> Result<KeyDraft, Failure> {
        let companies: Result<BTreeSet<CompanyId>, Violation> =
            self.company.iter().map(|id| CompanyId::parse("--company", id)).collect();
        let companies = companies.map_err(failure)?;
        let network = |text: &String| {
            let wrong =
                || failure(format!("--allow-ip {text} is neither an address nor a network"));
            parse_network(text).ok_or_else(wrong)
        };
        Ok(KeyDraft {
            name: Name::parse("--name", &self.name).map_err(failure)?,
            scopes: Scopes::parse("--scope", self.scope.iter().map(String::as_str))
                .map_err(failure)?,
            coverage: if companies.is_empty() { Coverage::All } else { Coverage::Only(companies) },
            addresses: self.allow_ip.iter().map(network).collect::<Result<_, _>>()?,
            expires_time: self.expires.as_deref().map(parse_expires).transpose()?,
            staff_id: self
                .staff
                .as_deref()
                .map(|id| StaffId::parse("--staff", id))
                .transpose()
                .map_err(failure)?,
        })
    }
}

/// `30d`, or a time.
fn parse_expires(text: &str) -> Result<Timestamp, Failure> {
    let now = customer_settings_server::clock::now();
    let at = match humantime::parse_duration(text) {
        Ok(span) => Timestamp::from_micros(now.as_micros() + as_micros(span)?),
        Err(_) => {
            let time: SystemTime = humantime::parse_rfc3339(text).map_err(|_| {
                failure(format!("--expires {text} is neither a span such as 30d nor a time such as 2027-01-01T00:00:00Z"))
            })?;
            Timestamp::from_micros(as_micros(time.duration_since(UNIX_EPOCH).unwrap_or_default())?)
        }
    };
    if at <= now {
        return Err(failure(format!("--expires {text} lies in the past")));
    }
    Ok(at)
}

fn as_micros(span: Duration) -> Result<i64, Failure> {
    // Ten thousand years: what a timestamp on the wire can say.
    const MOST_SECONDS: u64 = 8_000 * 366 * 24 * 60 * 60;
    if span.as_secs() > MOST_SECONDS {
        return Err(failure(
            "--expires lies too far ahead; leave it out for a key that does not expire",
        ));
    }
    i64::try_from(span.as_micros()).map_err(failure)
}

fn describe(key: &Key) -> String {
    let coverage = match &key.coverage {
        Coverage::All => "all companies".to_owned(),
        Coverage::Only(ids) => ids.iter().map(CompanyId::as_str).collect::<Vec<_>>().join(", "),
    };
    format!("key {} \"{}\" ({}; {coverage})", key.id, key.name, key.scopes.names().join(" "))
}

fn row(key: &Key, last_used: Option<Timestamp>) -> Value {
    let companies = match &key.coverage {
        Coverage::All => json!("*"),
        Coverage::Only(ids) => ids.iter().map(CompanyId::as_str).collect(),
    };
    let expired =
        key.expires_time.is_some_and(|time| time <= customer_settings_server::clock::now());
    let state = match key.revoked_time {
        Some(_) => "revoked",
        None if expired => "expired",
        None => "active",
    };
    json!({
        "id": key.id.as_str(),
        "name": key.name.as_str(),
        "state": state,
        "scopes": key.scopes.names(),
        "companies": companies,
        "allowed_addresses": key.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "expires_time": key.expires_time.map(|time| time.to_string()),
        "staff_id": key.staff_id.as_ref().map(StaffId::as_str),
        "created_time": key.audit.created_time.to_string(),
        "revoked_time": key.revoked_time.map(|time| time.to_string()),
        "last_used_time": last_used.map(|time| time.to_string()),
    })
}

const COLUMNS: [&str; 6] = ["id", "name", "state", "scopes", "companies", "last_used_time"];

fn print_table(rows: &[Value]) {
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => "-".to_owned(),
    };
    let width = |column: &str| {
        let widest = rows.iter().map(|row| cell(row, column).chars().count()).max();
        widest.unwrap_or(0).max(column.len())
    };
    let line = |cells: Vec<String>| {
        let padded =
            cells.iter().zip(COLUMNS).map(|(text, column)| format!("{text:<0$}", width(column)));
        println!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(COLUMNS.map(|column| column.replace('_', " ").to_uppercase()).to_vec());
    for row in rows {
        line(COLUMNS.map(|column| cell(row, column)).to_vec());
    }
}
