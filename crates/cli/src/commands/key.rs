//! `customer-settings key`: the keys that programs and people use.

use std::{
    collections::BTreeSet,
    io::Read as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{ArgGroup, Args, Subcommand};
use customer_settings_server::{
    auth::api_key::Secret,
    catalog::{
        access::{Coverage, Scopes, Task},
        id::{CompanyId, StaffId},
        text::Name,
        time::Timestamp,
    },
    config::{parse_network, unreadable},
    service::{document::time, keys::KeyDraft},
    store::Access,
};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Data, explain,
    verbs::{
        CREATE_KEY, Call, Limit, Lines, Out, Read, Show, Write, confirm_if_watched,
        note_unknown_companies,
    },
    wrong_value,
};
use crate::{
    failure::{EXIT_CODES, Failure, failure, usage},
    output::{Kind, note},
    target::Client,
    values,
};

/// How long to look for a company that an imported key covers.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

const KEYS: Kind = Kind {
    items: "keys",
    columns: &[
        ("ID", "/id"),
        ("NAME", "/name"),
        ("STATE", "/state"),
        ("SCOPES", "/scopes"),
        ("ALL COMPANIES", "/allCompanies"),
        ("COMPANIES", "/companyIds"),
        ("EXPIRES", "/expiresTime"),
        ("LAST USED", "/lastUsedTime"),
        ("CREATED", "/createdTime"),
        ("CREATED BY KEY", "/createdByKeyId"),
    ],
    spare: &["CREATED BY KEY", "CREATED", "LAST USED", "ALL COMPANIES", "COMPANIES", "SCOPES"],
    none: "there are no such keys",
};

const CHANGES: Kind = Kind {
    items: "changes",
    columns: &[
        ("TIME", "/time"),
        ("ID", "/id"),
        ("NAME", "/keyAfter/name"),
        ("REVISION", "/revision"),
        ("SUMMARY", "/summary"),
        ("BY", "/by"),
        ("WITH KEY", "/key"),
        ("FROM", "/address"),
    ],
    spare: &["FROM", "WITH KEY", "REVISION", "NAME"],
    none: "there are no such changes",
};

const SCOPES: &str = "settings:read, settings:write, companies:read, companies:write, keys:read, \
                      keys:write, history:read (beside settings:read and companies:read), staff:any, sources:write, or * for \
                      everything";

/// Issue, restrict, rotate and revoke keys
///
/// On a server a key sees, makes and changes only keys that lie wholly within its own restrictions. On a data
/// directory there are no such limits: the first key is made there. A running server accepts a new key at
/// once. It refuses a key at once if it revoked the key itself, and within a second if a command revoked the
/// key.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum KeyCommand {
    /// Issue a key; its secret is shown once: in a new file, or alone on standard output
    #[command(after_help = "\
Examples:
  customer-settings key create --data-dir data --name admin --scope '*' --out admin.key
  customer-settings key create --server http://127.0.0.1:8080 --name till --company cmp_001 --expires 90d")]
    Create(Write<Create>),
    /// Issue a key with a secret that clients already hold, read from standard input
    ///
    /// The secret has 24 to 512 printable characters and no colon. Works on a data directory alone.
    #[command(after_help = "\
Example: customer-settings key import --data-dir data --name crm < crm.key")]
    Import(Import),
    /// List keys, never their secrets
    #[command(after_help = "\
Examples:
  customer-settings key list --revoked --output json
  customer-settings key list --created-by key_001")]
    List(Read<List>),
    /// Show one key, never its secret
    #[command(after_help = "Example: customer-settings key get key_001")]
    Get(Read<Get>),
    /// Change a key's name or restrictions; values that are not given do not change
    #[command(after_help = "\
Examples:
  customer-settings key update key_001 --name 'Till 2' --expires 90d
  customer-settings key update key_001 --scope settings:read --company cmp_001 --company cmp_002")]
    Update(Write<Update>),
    /// Give a key a new secret; the old one works for a while longer
    #[command(
        after_help = "Example: customer-settings key rotate key_001 --overlap 2h --out new.key"
    )]
    Rotate(Write<Rotate>),
    /// Revoke a key for good, with all its secrets; no undo brings it back
    ///
    /// Asks first on a terminal.
    #[command(after_help = "\
Examples:
  customer-settings key revoke key_001
  customer-settings key revoke key_001 --with-created --dry-run")]
    Revoke(Write<Revoke>),
    /// List who did what to a key, or to all keys, newest first
    #[command(after_help = "\
Examples:
  customer-settings key history key_001
  customer-settings key history --all")]
    History(Read<History>),
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    draft: Draft,
    #[command(flatten)]
    out: Out,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    draft: Draft,
}

/// The restrictions of the key; all of them apply together
#[derive(Args, Debug)]
struct Draft {
    /// The name of the key
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    name: String,
    #[arg(
        long = "scope", value_name = "SCOPE", value_delimiter = ',', value_parser = values::item,
        default_values = ["settings:read", "companies:read"],
        help = format!("What it may do; may be repeated, or have commas: {SCOPES}"),
    )]
    scopes: Vec<String>,
    /// A company that the key covers; may be repeated, or have commas; without it all companies
    #[arg(long = "company", value_name = "ID", value_delimiter = ',', value_parser = values::item)]
    company_ids: Vec<String>,
    /// A network that the key may be used from, such as 10.0.0.0/8 or 2001:db8::/32; may be repeated, or have commas
    #[arg(long = "allow-ip", value_name = "CIDR", value_delimiter = ',', value_parser = values::item)]
    addresses: Vec<String>,
    /// When the key expires: after a span (30d, 12h) or at a time (2027-01-01T00:00:00Z)
    #[arg(long = "expires", value_name = "WHEN", allow_hyphen_values = true)]
    expires_time: Option<String>,
    /// The id of the staff member that the key acts as
    #[arg(long = "staff", value_name = "ID")]
    staff_id: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    /// Also list revoked keys
    #[arg(long = "revoked")]
    show_revoked: bool,
    /// Only keys that the key of this id made itself
    #[arg(long = "created-by", value_name = "ID")]
    created_by_key_id: Option<String>,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Get {
    /// The key's id
    #[arg(value_name = "ID")]
    id: String,
}

/// A key, and the etag of the state that the caller knows.
#[derive(Args, Debug, Serialize)]
struct One {
    /// The key's id, as `key list` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// The key's etag, as `get` shows it: refuses the change if another came first
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Update {
    #[command(flatten)]
    one: One,
    /// The name of the key
    #[arg(long, value_name = "NAME", group = "change", value_parser = values::name)]
    name: Option<String>,
    #[arg(
        long = "scope", value_name = "SCOPE", value_delimiter = ',', value_parser = values::item, group = "change",
        help = format!("What it may do, in place of what it could; may be repeated, or have commas: {SCOPES}"),
    )]
    scopes: Vec<String>,
    /// A company that the key covers, in place of the companies before; may be repeated, or have commas
    #[arg(long = "company", value_name = "ID", group = "change")]
    #[arg(value_delimiter = ',', value_parser = values::item)]
    company_ids: Vec<String>,
    /// The key covers all companies
    #[arg(long, group = "change", conflicts_with = "company_ids")]
    all_companies: bool,
    /// A network that the key may be used from, in place of the networks before; may be repeated, or have commas
    #[arg(long = "allow-ip", value_name = "CIDR", group = "change")]
    #[arg(value_delimiter = ',', value_parser = values::item)]
    addresses: Vec<String>,
    /// The key may be used from anywhere
    #[arg(long, group = "change", conflicts_with = "addresses")]
    anywhere: bool,
    /// When the key expires: after a span (30d, 12h) or at a time (2027-01-01T00:00:00Z)
    #[arg(long = "expires", value_name = "WHEN", group = "change", allow_hyphen_values = true)]
    expires_time: Option<String>,
    /// The key does not expire
    #[arg(long, group = "change", conflicts_with = "expires_time")]
    no_expiry: bool,
    /// The id of the staff member that the key acts as
    #[arg(long = "staff", value_name = "ID", group = "change")]
    staff_id: Option<String>,
    /// The key acts as itself, and not as a staff member
    #[arg(long, group = "change", conflicts_with = "staff_id")]
    no_staff: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Rotate {
    #[command(flatten)]
    one: One,
    /// How long the old secret works beside the new one: 0s to 30d
    #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = values::overlap)]
    #[arg(allow_hyphen_values = true)]
    overlap: Duration,
    /// Allow the rotation to end the secret from before an earlier rotation that still works; an overlap of
    /// 0s ends it in any case
    #[arg(long)]
    end_overlap: bool,
    #[command(flatten)]
    out: Out,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Revoke {
    #[command(flatten)]
    #[serde(flatten)]
    one: One,
    /// Also revoke the keys that it made, the keys that those made, and so on; if they are more than 500,
    /// nothing is revoked
    #[arg(long)]
    with_created: bool,
    /// Do not ask
    #[arg(long)]
    #[serde(skip)]
    yes: bool,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct History {
    /// The key's id; without it all keys
    #[arg(value_name = "ID", default_value = "-", hide_default_value = true)]
    id: String,
    #[command(flatten)]
    #[serde(flatten)]
    lines: Lines,
    #[command(flatten)]
    #[serde(skip)]
    limit: Limit,
}

impl KeyCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let Self::Import(import) = self {
            return import.run().await;
        }
        let call = self.call()?;
        if let Self::Revoke(revoke) = &self
            && !call.is_dry()
        {
            let Revoke { one, with_created, yes } = &revoke.request;
            let what = match with_created {
                true => "and every key that was made by it, for good? (--dry-run lists them)",
                false => "for good?",
            };
            confirm_if_watched(&format!("Revoke the key {} {what}", one.id), *yes)?;
        }
        call.run().await
    }

    pub(crate) fn call(&self) -> Result<Call<'_>, Failure> {
        match self {
            Self::Create(create) => {
                let request = json!({"key": message(&create.request.draft.read()?)});
                let call = create.call_with(CREATE_KEY, request, Show::Secret)?;
                let Create { draft, out } = &create.request;
                Ok(call.covering(&draft.company_ids).with_secret_in(out))
            }
            Self::Import(_) => Err(usage("a secret is imported into a data directory alone")),
            Self::List(list) => list.call("KeyService/ListKeys", Show::Items(&KEYS)),
            Self::Get(get) => get.call("KeyService/GetKey", Show::One),
            Self::Update(update) => {
                let request = update.request.message()?;
                let call = update.call_with("KeyService/UpdateKey", request, Show::One)?;
                Ok(call.covering(&update.request.company_ids))
            }
            Self::Rotate(rotate) => {
                let request = rotate.request.message()?;
                let call = rotate.call_with("KeyService/RotateKey", request, Show::Secret)?;
                Ok(call.with_secret_in(&rotate.request.out))
            }
            Self::Revoke(revoke) => revoke.call("KeyService/RevokeKey", Show::One),
            Self::History(history) => {
                let most = history.request.limit.most();
                history.call("KeyService/ListKeyChanges", Show::Pages(&CHANGES, most))
            }
        }
    }
}

impl Import {
    async fn run(self) -> Result<(), Failure> {
        let draft = self.draft.read()?;
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| failure(format!("standard input: {}", unreadable(&error))))?;
        let secret = Secret::import(&text)
            .map_err(|wrong| failure(format!("on standard input: {wrong}")))?;
        let services = self.data.open(Access::Write).await?;
        let key = services.keys.create(&Task::Local.actor(), draft, &secret).await;
        let key = key.map_err(|error| explain(&error))?;
        note(format!(
            "imported key {} \"{}\" ({})",
            key.id,
            key.name,
            key.scopes.names().join(" ")
        ));
        let mut client = Client::here(&services, "this store".to_owned(), LOOK_UP_TIMEOUT);
        note_unknown_companies(&mut client, &self.draft.company_ids).await;
        Ok(())
    }
}

impl Draft {
    fn read(&self) -> Result<KeyDraft, Failure> {
        let companies = companies(&self.company_ids)?;
        Ok(KeyDraft {
            name: Name::parse("--name", &self.name).map_err(wrong_value)?,
            scopes: scopes(&self.scopes)?,
            coverage: if companies.is_empty() { Coverage::All } else { Coverage::Only(companies) },
            addresses: networks(&self.addresses)?,
            expires_time: self.expires_time.as_deref().map(parse_expires).transpose()?,
            staff_id: self.staff_id.as_deref().map(parse_staff).transpose()?,
        })
    }
}

/// The fields of a key in a request, made from the draft.
fn message(draft: &KeyDraft) -> Value {
    json!({
        "name": draft.name.as_str(),
        "scopes": draft.scopes.names(),
        "company_ids": match &draft.coverage {
            Coverage::All => vec![],
            Coverage::Only(ids) => ids.iter().map(CompanyId::as_str).collect(),
        },
        "all_companies": draft.coverage == Coverage::All,
        "addresses": texts(&draft.addresses),
        "expires_time": draft.expires_time.map(|time| time.to_string()),
        "staff_id": draft.staff_id.as_ref().map(StaffId::as_str),
    })
}

fn texts(networks: &[IpNet]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

impl Update {
    /// Makes the request. Each field that is given is in the mask, also if it becomes empty.
    fn message(&self) -> Result<Value, Failure> {
        let (mut key, mut mask) = (Map::new(), Vec::new());
        let mut set = |name: &'static str, value: Option<Value>| {
            mask.push(name);
            if let Some(value) = value {
                key.insert(name.to_owned(), value);
            }
        };
        if let Some(name) = &self.name {
            set("name", Some(json!(Name::parse("--name", name).map_err(wrong_value)?.as_str())));
        }
        if !self.scopes.is_empty() {
            set("scopes", Some(json!(scopes(&self.scopes)?.names())));
        }
        if self.all_companies || !self.company_ids.is_empty() {
            let ids = companies(&self.company_ids)?;
            set("companyIds", Some(ids.iter().map(CompanyId::as_str).collect()));
            set("allCompanies", self.all_companies.then_some(json!(true)));
        }
        if self.anywhere || !self.addresses.is_empty() {
            set("addresses", Some(json!(texts(&networks(&self.addresses)?))));
        }
        if self.no_expiry || self.expires_time.is_some() {
            let expires = self.expires_time.as_deref().map(parse_expires).transpose()?;
            set("expiresTime", expires.map(|time| json!(time.to_string())));
        }
        if self.no_staff || self.staff_id.is_some() {
            let staff = self.staff_id.as_deref().map(parse_staff).transpose()?;
            set("staffId", Some(json!(staff.as_ref().map_or("", StaffId::as_str))));
        }
        let One { id, etag } = &self.one;
        Ok(json!({"id": id, "key": key, "update_mask": mask.join(","), "etag": etag}))
    }
}

impl Rotate {
    fn message(&self) -> Result<Value, Failure> {
        let One { id, etag } = &self.one;
        if self.overlap.subsec_nanos() != 0 {
            return Err(usage("--overlap is whole seconds"));
        }
        let overlap = format!("{}s", self.overlap.as_secs());
        Ok(json!({"id": id, "overlap": overlap, "end_overlap": self.end_overlap, "etag": etag}))
    }
}

fn scopes(names: &[String]) -> Result<Scopes, Failure> {
    Scopes::parse("--scope", names.iter().map(String::as_str)).map_err(wrong_value)
}

fn companies(ids: &[String]) -> Result<BTreeSet<CompanyId>, Failure> {
    Ok(values::companies(ids)?.into_iter().collect())
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, Failure> {
    let network = |text: &String| {
        let wrong = || usage(format!("--allow-ip {text} is neither an address nor a network"));
        parse_network(text).ok_or_else(wrong)
    };
    texts.iter().map(network).collect()
}

fn parse_staff(id: &str) -> Result<StaffId, Failure> {
    StaffId::parse("--staff", id).map_err(wrong_value)
}

/// `30d`, or a time.
fn parse_expires(text: &str) -> Result<Timestamp, Failure> {
    let now = customer_settings_server::clock::now();
    let at = match humantime::parse_duration(text) {
        Ok(span) => Timestamp::from_micros(now.as_micros() + as_micros(span)?),
        Err(_) => {
            let time = time("--expires", text).map_err(|_| {
                usage(format!(
                    "--expires {text} is neither a span such as 30d nor a time in UTC such as 2027-01-01T00:00:00Z, with \
                     at most six digits behind the point"
                ))
            })?;
            let since = SystemTime::from(time).duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_micros(as_micros(since)?)
        }
    };
    if at <= now {
        return Err(usage(format!("--expires {text} lies in the past")));
    }
    Ok(at)
}

fn as_micros(span: Duration) -> Result<i64, Failure> {
    // To about the year 9900, the largest time on the wire.
    const MOST_SECONDS: u64 = 7_900 * 365 * 24 * 60 * 60;
    if span.as_secs() > MOST_SECONDS {
        return Err(usage(
            "--expires lies too far ahead; leave it out for a key that does not expire",
        ));
    }
    i64::try_from(span.as_micros()).map_err(failure)
}
