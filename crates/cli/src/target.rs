//! The place where a command works: a running server with a key, or a data directory with the same services
//! in this process. In both cases the command calls the management API.
//!
//! This file knows methods and messages only by their descriptors, so a command is a method's name and its
//! request as JSON. Knows no command.

use std::{error::Error, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use customer_settings_server::{
    Services as Here, catalog::access::Task, config::variable, store::damages::Damages,
};
use http::{Uri, uri::PathAndQuery};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::{
    Code, Request, Status,
    body::Body,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    failure::{Failure, damaged, failure, usage},
    output::{Form, note},
    storage::{self, DATA_DIR, DATABASE_URL, Data, Purpose, Storage, parse_path},
    values,
};

mod contract;
mod key;
mod names;
mod proxy;
mod readiness;
mod refusal;
mod remote;

pub(crate) use key::basic;
pub(crate) use names::FieldNames;
pub(crate) use readiness::{Answers, ask};
pub(crate) use refusal::{Side, exit_of, no_answer};
pub(crate) use remote::{Remote, heard};

const SERVER: &str = "CUSTOMER_SETTINGS_SERVER";

/// The delay before each repetition.
const RETRY_DELAYS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_000)];
/// A page of a history with long descriptions is larger than tonic's four megabytes.
const MOST_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// The flags that mean: without a server.
pub(crate) const HERE: [&str; 3] = ["data_dir", "database_url", "database_url_file"];

/// The place where a command works, and how it prints the result.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where")]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) at: At,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// The place where a command works.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where")]
pub(crate) struct At {
    /// A running server, such as http://127.0.0.1:8080, https://settings.example.com or, behind a proxy,
    /// https://example.com/settings [env: CUSTOMER_SETTINGS_SERVER]
    #[arg(
        long, value_name = "URL", value_parser = parse_server,
        conflicts_with_all = HERE,
    )]
    server: Option<Uri>,
    #[command(flatten)]
    data: Data,
    /// A file of mode 0600 that holds the key; without it CUSTOMER_SETTINGS_KEY holds the key itself, or
    /// CUSTOMER_SETTINGS_KEY_FILE the file's name; without a server no key is needed
    #[arg(long, value_name = "FILE", value_parser = parse_path, conflicts_with_all = HERE)]
    key_file: Option<PathBuf>,
    /// A PEM file of further authorities that may have signed the server's certificate
    #[arg(long, value_name = "FILE", conflicts_with_all = HERE)]
    ca_file: Option<PathBuf>,
    /// How long to wait for an answer
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = values::timeout)]
    #[arg(allow_hyphen_values = true)]
    timeout: Duration,
}

/// Parses the URL of a server. A path of the URL comes before the paths of the methods, without a `/` at its end.
pub(crate) fn parse_server(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "this is not a URL")?;
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        Some("http" | "https") if has_user => Err("a key does not belong into the URL".to_owned()),
        Some("http" | "https") if uri.query().is_some() || text.contains('#') => {
            Err("give scheme, host, port and path alone, without a query".to_owned())
        }
        Some("http" | "https") => {
            let trimmed = text.trim_end_matches('/');
            trimmed.parse().map_err(|_| "this is not a URL".to_owned())
        }
        _ => Err("it must begin with http:// or https://".to_owned()),
    }
}

/// Parses the URL of an account elsewhere, whose key must not travel unencrypted.
pub(crate) fn parse_account(text: &str) -> Result<Uri, String> {
    let account = parse_server(text)?;
    if account.path().ends_with("/v1") {
        return Err("give it without /v1, which begins the path of every request".to_owned());
    }
    match account.scheme_str() == Some("https") || is_this_machine(&account) {
        true => Ok(account),
        false => Err("it must begin with https://, as the key would travel unencrypted".to_owned()),
    }
}

fn server_in_environment() -> Result<Option<Uri>, Failure> {
    let parsed = variable(SERVER).map(|server| parse_server(&server.to_string_lossy()));
    parsed.transpose().map_err(|error| usage(format!("{SERVER}: {error}")))
}

/// The name of a server in messages.
pub(crate) fn name(server: &Uri) -> String {
    server.to_string().trim_end_matches('/').to_owned()
}

/// The place where a command works, after a look at the environment.
pub(crate) enum Place {
    Server(Uri),
    Here(Storage),
}

/// The place. A flag overrides an environment variable.
pub(crate) fn place(server: Option<&Uri>, data: &Data) -> Result<Place, Failure> {
    if let Some(server) = server {
        return Ok(Place::Server(server.clone()));
    }
    if let Some(given) = data.given()? {
        return Ok(Place::Here(given));
    }
    match (server_in_environment()?, storage::in_environment()?) {
        (Some(server), None) => Ok(Place::Server(server)),
        (None, Some((_, storage))) => Ok(Place::Here(storage)),
        (Some(_), Some((other, _))) => Err(usage(format!(
            "{SERVER} and {other} are both set, so more than one place: unset one of them, or give --server URL, \
             --data-dir DIR or --database-url URL"
        ))),
        (None, None) => Err(usage(format!(
            "where? give --server URL for a running server (or set {SERVER}), --data-dir DIR for data on this \
             machine (or set {DATA_DIR}), or --database-url URL (or set {DATABASE_URL})"
        ))),
    }
}

/// The services, on a server or in this process.
type Services =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Box<dyn Error + Send + Sync>>;

/// A connection to the services.
#[derive(Clone)]
pub(crate) struct Client {
    grpc: Grpc<Services>,
    /// The name of the other side in messages.
    server: String,
    authorization: Option<MetadataValue<Ascii>>,
    staff: Option<MetadataValue<Ascii>>,
    timeout: Duration,
    names: FieldNames,
    /// The damage that was met, without a server.
    damages: Option<Arc<Damages>>,
}

/// A call that failed.
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    /// The refusal for programs: `reason`, `message`, `violations` and `metadata`, or the message alone.
    pub(crate) error: Value,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let error = json!({"message": failure.message});
        Self { failure, error }
    }
}

impl Target {
    /// Whether requests go to a server, where a request id makes them safe to repeat.
    pub(crate) fn is_server(&self) -> Result<bool, Failure> {
        Ok(self.server()?.is_some())
    }

    /// The server's URL, if there is one.
    pub(crate) fn server(&self) -> Result<Option<String>, Failure> {
        match self.at.place()? {
            Place::Server(server) => Ok(Some(name(&server))),
            Place::Here(_) => Ok(None),
        }
    }
}

impl At {
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        place(self.server.as_ref(), &self.data)
    }

    /// Connects. `staff` signs the writes, if the key allows that. Without a server, the data is opened for the
    /// `purpose`. `names` are the command's names for fields in refusals.
    pub(crate) async fn connect(
        &self,
        staff: Option<&str>,
        purpose: impl Into<Purpose>,
        names: FieldNames,
    ) -> Result<Client, Failure> {
        let staff = staff.map(str::parse).transpose();
        let staff = staff.map_err(|_| usage("--as-staff is no id"))?;
        let client = match self.place()? {
            Place::Server(server) => {
                let authorization = key::authorization(self.key_file.as_deref())?;
                warn_of_clear_text(&server);
                let remote = Remote::new(&server, self.ca_file.as_deref(), self.timeout)?;
                Client::of(Grpc::with_origin(remote.services(), server.clone()), name(&server))
                    .with_authorization(authorization)
            }
            Place::Here(storage) => {
                let here = storage.services(purpose).await?;
                Client::here(&here, storage.to_string(), self.timeout)
            }
        };
        Ok(Client { staff, names, timeout: self.timeout, ..client })
    }
}

/// Whether a server is on this machine, as far as its name says so.
fn is_this_machine(server: &Uri) -> bool {
    let host = host(server);
    let address: Option<IpAddr> = host.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// A server's name or address.
fn host(server: &Uri) -> &str {
    server.host().unwrap_or_default().trim_matches(['[', ']'])
}

fn warn_of_clear_text(server: &Uri) {
    if server.scheme_str() == Some("http") && !is_this_machine(server) {
        let host = host(server);
        note(format!("note: the key travels to {host} unencrypted; use https:// where you can"));
    }
}

impl Client {
    /// A client of services in this process.
    pub(crate) fn here(here: &Here, name: String, timeout: Duration) -> Self {
        let local = here.local(Task::Local, timeout).map_err(|never| match never {});
        let client = Self::of(Grpc::new(BoxCloneSyncService::new(local)), name);
        Self { damages: Some(here.damages()), timeout, ..client }
    }

    fn of(grpc: Grpc<Services>, server: String) -> Self {
        Self {
            grpc: grpc.max_decoding_message_size(MOST_ANSWER_BYTES),
            server,
            authorization: None,
            staff: None,
            timeout: Duration::MAX,
            names: FieldNames::default(),
            damages: None,
        }
    }

    fn with_authorization(self, authorization: MetadataValue<Ascii>) -> Self {
        Self { authorization: Some(authorization), ..self }
    }

    /// Calls a method, for example `EntryService/GetEntry`, with its request as JSON.
    ///
    /// If the server says to try again, the call is repeated with the same request id.
    pub(crate) async fn call(&mut self, method: &str, request: &Value) -> Result<Value, Failure> {
        self.call_told(method, request).await.map_err(|refused| refused.failure)
    }

    /// The same, with the refusal for programs.
    pub(crate) async fn call_told(
        &mut self,
        method: &str,
        request: &Value,
    ) -> Result<Value, Refused> {
        let message = contract::request(method, request)?;
        let mut delays = RETRY_DELAYS.iter();
        let mut is_unknown = false;
        loop {
            let status = match self.attempt(method, message.clone()).await {
                Ok(answer) => {
                    return Ok(contract::json(&answer, contract::Defaults::Written)?);
                }
                Err(status) => status,
            };
            let is_damage = |damages: &Arc<Damages>| damages.summary().is_some();
            if status.code() == Code::Internal && self.damages.as_ref().is_some_and(is_damage) {
                return Err(damaged(&self.server).into());
            }
            // A repetition that the server processed tells the outcome of the first attempt. A repetition
            // that the server refused as unavailable does not.
            is_unknown =
                refusal::is_unknown(&status) || (is_unknown && status.code() == Code::Unavailable);
            match delays.next().filter(|_| may_repeat(&status)) {
                Some(delay) => tokio::time::sleep(jittered(*delay)).await,
                None => {
                    let Self { server, names, .. } = self;
                    let failure = refusal::explain(&status, server, request, names, is_unknown);
                    return Err(match refusal::told(&status) {
                        Some(error) => Refused { failure, error },
                        None => failure.into(),
                    });
                }
            }
        }
    }

    async fn attempt(
        &mut self,
        method: &str,
        message: DynamicMessage,
    ) -> Result<DynamicMessage, Status> {
        let ready = self.grpc.ready().await;
        ready.map_err(|error| Status::unavailable(refusal::causes(&*error)))?;
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let metadata = request.metadata_mut();
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        if let Some(staff) = self.staff.as_ref().filter(|_| contract::is_write(method)) {
            metadata.insert("settings-staff-id", staff.clone());
        }
        let path = PathAndQuery::try_from(contract::path(method))
            .unwrap_or_else(|_| unreachable!("a method's name is a path"));
        let answer = self.grpc.unary(request, path, contract::DynamicCodec::of(method)).await?;
        Ok(answer.into_inner())
    }
}

fn may_repeat(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Aborted => contract::reason(status.details()).as_deref() == Some("CONTENDED"),
        _ => false,
    }
}

/// A random delay from half to all of it, so that clients that were refused together do not return together.
fn jittered(delay: Duration) -> Duration {
    let mut random = [0; 1];
    // Without random bytes the delay is the shortest.
    _ = getrandom::fill(&mut random);
    delay / 2 + delay / 2 * u32::from(random[0]) / 255
}

/// A new id for a request that can be repeated safely, in the form of a UUID (version 4).
pub(crate) fn new_request_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| failure(format!("no random bits: {error}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = |range: std::ops::Range<usize>| {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    Ok([hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-"))
}

/// The names of the fields of a method's request, and of the messages in it.
#[cfg(test)]
pub(crate) fn fields(method: &str) -> std::collections::BTreeSet<String> {
    contract::fields(method)
}

/// A request in the form that the server reads, without absent fields.
#[cfg(test)]
pub(crate) fn normalized(method: &str, request: &Value) -> Result<Value, Failure> {
    contract::json(&contract::request(method, request)?, contract::Defaults::LeftOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_scheme_host_port_and_perhaps_a_path() {
        for (good, taken) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://settings.example.com/", "https://settings.example.com"),
            ("http://[::1]:1", "http://[::1]:1"),
            ("https://a/b/c/", "https://a/b/c"),
        ] {
            assert_eq!(name(&parse_server(good).unwrap()), taken);
        }
        let bad = [
            "localhost:8080",
            "ftp://a",
            "https://key@a",
            "",
            "http://a?b",
            "http://a/#b",
            "http://",
        ];
        for bad in bad {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn request_ids_look_like_uuids_and_differ() {
        let (one, other) = (new_request_id().unwrap(), new_request_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
    }

    #[test]
    fn a_delay_is_never_longer_than_it_says() {
        let delay = Duration::from_millis(100);
        for _ in 0..100 {
            assert!((delay / 2..=delay).contains(&jittered(delay)));
        }
    }

    #[test]
    fn only_what_may_be_repeated_is() {
        assert!(may_repeat(&Status::unavailable("")));
        let others =
            [Code::Aborted, Code::DeadlineExceeded, Code::Internal, Code::ResourceExhausted];
        for code in others {
            assert!(!may_repeat(&Status::new(code, "")), "{code}");
        }
    }
}
