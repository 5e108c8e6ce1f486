//! The common part of all commands that talk to a server: a method, its request, and the way to show the
//! answer. A command's arguments *are* the request: their fields have the contract's names. Refusals
//! therefore can use the words of the command line.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use clap::{Args, Command, CommandFactory, ValueEnum};
use customer_settings_server::{service::document::time, store::Access};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::names::name_keys;
use crate::{
    Arguments,
    failure::{Exit, Failure, failure, usage},
    output::{self, Form, Kind, damaged, note, print_json},
    target::{Client, FieldNames, Target, new_request_id},
    values,
};

mod secret;

pub(crate) use secret::Out;

/// The method that makes a key. The key's secret is shown once.
pub(crate) const CREATE_KEY: &str = "KeyService/CreateKey";

/// How long the result of a write waits for the names of keys.
const NAMING_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest page of a list that is not listed completely.
const MOST_PER_PAGE: usize = 500;

/// A request that changes nothing.
#[derive(Args, Debug)]
pub(crate) struct Read<T: Args> {
    #[command(flatten)]
    pub(crate) request: T,
    #[command(flatten)]
    target: Target,
}

/// A request that changes something.
#[derive(Args, Debug)]
pub(crate) struct Write<T: Args> {
    #[command(flatten)]
    pub(crate) request: T,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    target: Target,
}

/// The arguments of every write.
#[derive(Args, Debug)]
#[command(next_help_heading = "Safety")]
struct Safety {
    /// Check the change and show its result, and change nothing
    #[arg(long = "dry-run")]
    validate_only: bool,
    /// Makes the command safe to repeat: with the same id the change is made only once [default: a new id]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The staff member who signs the change; needs a key with the scope staff:any
    #[arg(long = "as-staff", value_name = "ID")]
    settings_staff_id: Option<String>,
}

/// A state in the past.
#[derive(Args, Debug, Serialize)]
#[group(multiple = false)]
pub(crate) struct AsOf {
    /// As it was at this revision of the company
    #[arg(long, value_name = "NUMBER", value_parser = values::revision)]
    #[arg(allow_negative_numbers = true)]
    revision: Option<i64>,
    /// As it was at this moment, for example 2026-11-23T18:00:00Z
    #[arg(long = "at", value_name = "TIME", value_parser = parse_time)]
    #[arg(allow_hyphen_values = true)]
    read_time: Option<String>,
}

fn parse_time(text: &str) -> Result<String, String> {
    match time("time", text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(
            "give a time in UTC such as 2026-11-23T18:00:00Z, with at most six digits behind the point".to_owned(),
        ),
    }
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Collection {
    CustomerTags,
    ReferralSources,
    LifeCycles,
    ActionStatuses,
}

/// How much to list of a list that grows without end.
#[derive(Args, Debug)]
pub(crate) struct Limit {
    /// How many changes to show at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = values::limit)]
    #[arg(allow_negative_numbers = true)]
    limit: u32,
    /// Show all changes, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl Limit {
    pub(crate) fn most(&self) -> Option<usize> {
        if self.all { None } else { usize::try_from(self.limit).ok() }
    }
}

/// Which lines of a log to list.
#[derive(Args, Debug, Serialize)]
pub(crate) struct Lines {
    /// Only changes that were made with this key
    #[arg(long = "by-key", value_name = "ID")]
    key_id: Option<String>,
    /// Only changes of this author: a staff id, the id of a key that has none, or a command such as load
    #[arg(long = "by-staff", value_name = "ID")]
    staff_id: Option<String>,
    /// Only changes at this moment or later, for example 2026-11-23T18:00:00Z
    #[arg(long = "from", value_name = "TIME", value_parser = parse_time)]
    #[arg(allow_hyphen_values = true)]
    from_time: Option<String>,
    /// Only changes before this moment
    #[arg(long = "until", value_name = "TIME", value_parser = parse_time)]
    #[arg(allow_hyphen_values = true)]
    until_time: Option<String>,
}

/// The way to show an answer.
#[derive(Clone, Copy)]
pub(crate) enum Show {
    /// One thing.
    One,
    /// A list in one piece.
    All(&'static Kind),
    /// A list in pages: all of them, or as many things as requested.
    Pages(&'static Kind, Option<usize>),
    /// A list in pages. JSON shows only the list.
    Items(&'static Kind),
    /// A key with its secret, which stands alone on standard output.
    Secret,
    /// Only a sentence about the result.
    Done(&'static str),
}

impl Show {
    /// The kind of the things, if the answer is a list.
    fn kind(self) -> Option<&'static Kind> {
        match self {
            Self::All(kind) | Self::Pages(kind, _) | Self::Items(kind) => Some(kind),
            Self::One | Self::Secret | Self::Done(_) => None,
        }
    }
}

/// A method and its request.
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) request: Value,
    pub(crate) form: Form,
    show: Show,
    target: &'a Target,
    staff: Option<&'a str>,
    access: Access,
    pub(crate) names: FieldNames,
    /// The file for a new secret.
    out: Option<&'a Path>,
    /// The companies that a key is given.
    covered: &'a [String],
}

/// The names that the command line gives to the fields of the request.
fn names<T: Args>() -> FieldNames {
    FieldNames::of(&T::augment_args(Command::new("")), &Arguments::command())
}

impl<T: Args + Serialize> Read<T> {
    pub(crate) fn call(&self, method: &'static str, show: Show) -> Result<Call<'_>, Failure> {
        let request = serde_json::to_value(&self.request)?;
        let target = &self.target;
        Ok(Call {
            method,
            request,
            form: target.form,
            show,
            target,
            staff: None,
            access: Access::Read,
            names: names::<Self>(),
            out: None,
            covered: &[],
        })
    }
}

impl<T: Args + Serialize> Write<T> {
    pub(crate) fn call(&self, method: &'static str, show: Show) -> Result<Call<'_>, Failure> {
        self.call_with(method, serde_json::to_value(&self.request)?, show)
    }
}

impl<T: Args> Write<T> {
    /// A call whose request is not the arguments themselves. If the request has a request id, the call uses
    /// it.
    pub(crate) fn call_with(
        &self,
        method: &'static str,
        mut request: Value,
        show: Show,
    ) -> Result<Call<'_>, Failure> {
        let Self { safety, target, .. } = self;
        if let Some(id) = &safety.request_id {
            request["request_id"] = json!(id);
        }
        match (target.is_server()?, request["request_id"].is_null()) {
            (true, true) => request["request_id"] = json!(new_request_id()?),
            (false, false) => {
                return Err(usage("request ids are for servers, which remember them by key"));
            }
            (true, false) | (false, true) => {}
        }
        if safety.validate_only {
            request["validate_only"] = json!(true);
        }
        let staff = safety.settings_staff_id.as_deref();
        Ok(Call {
            method,
            request,
            form: target.form,
            show,
            target,
            staff,
            access: Access::Write,
            names: names::<Self>(),
            out: None,
            covered: &[],
        })
    }
}

impl<'a> Call<'a> {
    /// A key's new secret goes there.
    pub(crate) fn with_secret_in(self, out: &'a Out) -> Self {
        Self { out: out.file(), ..self }
    }

    /// A call of something that changes, and is in no log.
    pub(crate) fn that_writes(self) -> Self {
        Self { access: Access::Write, ..self }
    }

    /// A key gets these companies.
    pub(crate) fn covering(self, company_ids: &'a [String]) -> Self {
        Self { covered: company_ids, ..self }
    }
}

impl Call<'_> {
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        self.target.at.connect(self.staff, self.access, self.names.clone()).await
    }

    /// The server, if the call goes to one.
    pub(crate) fn server(&self) -> Result<Option<String>, Failure> {
        self.target.server()
    }

    /// Whether nothing will be written, also if the document says so.
    pub(crate) fn is_dry(&self) -> bool {
        self.request["validate_only"] == true
    }

    /// Sends the request and shows the answer.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if matches!(self.show, Show::Secret) && !self.is_dry() {
            return self.run_for_secret().await;
        }
        let mut client = self.connect().await?;
        let mut answer = self.answer(&mut client).await?;
        if !self.form.is_json() && (self.access == Access::Read || matches!(self.show, Show::One)) {
            let naming = name_keys(&mut client, &mut answer, self.show.kind());
            match self.access {
                Access::Read => naming.await,
                // Without the names the ids are shown: the result of a write must not wait for long.
                _ => _ = timeout(NAMING_TIMEOUT, naming).await,
            }
        }
        let covered = self.covered;
        self.show(&answer)?;
        note_unknown_companies(&mut client, covered).await;
        Ok(())
    }

    /// Sends the request. The answer has all pages to show.
    pub(crate) async fn answer(&self, client: &mut Client) -> Result<Value, Failure> {
        match self.show {
            Show::Pages(kind, most) => self.all_pages(client, kind, most).await,
            Show::Items(kind) => self.all_pages(client, kind, None).await,
            _ => client.call(self.method, &self.request).await,
        }
    }

    /// Shows an answer.
    pub(crate) fn show(self, answer: &Value) -> Result<(), Failure> {
        if self.is_dry() {
            tell_dry_run();
        }
        match self.show {
            Show::One => self.form.one(answer),
            Show::All(kind) => self.form.list(answer, kind),
            Show::Pages(kind, _) => {
                self.form.list(answer, kind)?;
                tell_damaged(answer, kind)?;
                if answer["nextPageToken"].as_str().is_some_and(|token| !token.is_empty()) {
                    note("there are more: see --limit and --all");
                }
                Ok(())
            }
            Show::Items(kind) => {
                match self.form.is_json() {
                    true => print_json(&answer[kind.items])?,
                    false => self.form.list(answer, kind)?,
                }
                tell_damaged(answer, kind)
            }
            // A dry run has no secret to show.
            Show::Secret => {
                self.form.one(if self.form.is_json() { answer } else { &answer["key"] })
            }
            Show::Done(_) if self.form.is_json() => self.form.one(answer),
            Show::Done(_) if self.is_dry() => Ok(()),
            Show::Done(what) => {
                note(what);
                Ok(())
            }
        }
    }

    /// Reads the pages of a list into one answer, whose other fields are those of the last page.
    async fn all_pages(
        &self,
        client: &mut Client,
        kind: &Kind,
        most: Option<usize>,
    ) -> Result<Value, Failure> {
        let mut request = self.request.clone();
        let (mut things, mut damaged) = (Vec::new(), Vec::new());
        loop {
            if let Some(most) = most {
                request["page_size"] = json!((most - things.len()).min(MOST_PER_PAGE));
            }
            let mut answer = client.call(self.method, &request).await?;
            if let Value::Array(page) = answer[kind.items].take() {
                things.extend(page);
            }
            if let Some(ids) = answer["damagedIds"].as_array_mut() {
                damaged.append(ids);
            }
            let token = answer["nextPageToken"].as_str().unwrap_or_default();
            if token.is_empty() || most.is_some_and(|most| things.len() >= most) {
                answer[kind.items] = Value::Array(things);
                if answer["damagedIds"].is_array() {
                    answer["damagedIds"] = Value::Array(damaged);
                }
                return Ok(answer);
            }
            request["page_token"] = json!(token);
        }
    }
}

/// Fails after a list that lacks what is damaged, so that nobody takes it for the whole one.
fn tell_damaged(answer: &Value, kind: &Kind) -> Result<(), Failure> {
    match damaged(answer) {
        None => Ok(()),
        Some(ids) => Err(failure(format!(
            "the list lacks {} whose data is damaged: {ids}; 'customer-settings verify' names all that is \
             wrong, and 'customer-settings restore' brings a backup back",
            kind.items
        ))),
    }
}

/// The most companies of a key that are looked up.
const MOST_LOOKED_UP: usize = 50;

/// Says which of the companies that a key was given do not exist, as far as the caller may know. That is no error: a
/// key may be older than its company.
pub(crate) async fn note_unknown_companies(client: &mut Client, ids: &[String]) {
    for id in ids.iter().take(MOST_LOOKED_UP) {
        let found = client.call("CompanyService/GetCompany", &json!({"company_id": id})).await;
        match found {
            Ok(_) => {}
            Err(Failure { exit: Exit::NotFound, .. }) => {
                note(format!(
                    "note: there is no company {id}; the key covers it from the moment when it is created"
                ));
            }
            Err(_) => return,
        }
    }
}

pub(crate) fn tell_dry_run() {
    note("dry run: nothing was changed");
}

/// Asks on a terminal, and continues without one: for commands that must not wait for a person.
pub(crate) fn confirm_if_watched(question: &str, yes: bool) -> Result<(), Failure> {
    let is_watched = io::stdin().is_terminal() && io::stderr().is_terminal();
    confirm(question, yes || !is_watched)
}

/// Asks on the terminal before something is done. Without a terminal `--yes` is required.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    confirm_shown_by("--dry-run", question, yes)
}

/// Asks like [`confirm`], where `preview` shows beforehand what would be done.
pub(crate) fn confirm_shown_by(preview: &str, question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(usage(format!(
            "there is no terminal to ask on: give --yes to do it, or {preview} to see what it would do"
        )));
    }
    output::ask(format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(failure("not done, nothing was changed")),
    }
}
