//! `customer-settings console`: links by which people sign in to the web console, and where they are signed in.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::verbs::{Read, Show, Write};
use crate::{
    failure::{EXIT_CODES, Failure, failure},
    output::{Kind, cell, note, print},
};

const SESSIONS: Kind = Kind {
    items: "sessions",
    columns: &[
        ("KEY", "/keyId"),
        ("ID", "/id"),
        ("NAME", "/keyName"),
        ("BROWSER", "/browser"),
        ("BY LINK", "/byLink"),
        ("SINCE", "/createdTime"),
        ("LAST USED", "/lastUsedTime"),
        ("UNTIL", "/expiresTime"),
    ],
    spare: &["BY LINK", "SINCE", "LAST USED", "BROWSER", "NAME"],
    none: "nobody is signed in",
};

/// The address of a server that listens where it does without configuration.
const LOCAL: &str = "http://localhost:8080";

/// Let people sign in to the web console, and see where they are signed in
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum ConsoleCommand {
    /// Make a link that signs in with a key once, within 48 hours
    ///
    /// A new link ends the one before. The key's history says that it was made.
    #[command(after_help = "\
Examples:
  customer-settings console url key_01h455vb --data-dir data
  customer-settings console url key_01h455vb --data-dir data --at https://settings.example.com")]
    Url(Write<Url>),
    /// See where people are signed in, and sign them out
    #[command(subcommand)]
    Sessions(SessionsCommand),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct Url {
    /// The id of the person's key
    #[arg(value_name = "ID")]
    id: String,
    /// The address at which the person finds the server [default: that of --server, else http://localhost:8080]
    #[arg(long, value_name = "URL")]
    #[serde(skip)]
    at: Option<String>,
}

/// See where people are signed in, and sign them out
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum SessionsCommand {
    /// List the browsers in which people are signed in with a key, or with any key
    #[command(after_help = "\
Examples:
  customer-settings console sessions list
  customer-settings console sessions list key_01h455vb --output json")]
    List(Read<List>),
    /// Sign a browser out, or all browsers of a key
    ///
    /// The key itself works on: whoever has its secret, or a new link, can sign in again.
    #[command(after_help = "\
Examples:
  customer-settings console sessions end key_01h455vb 5d41402abc4b2a76
  customer-settings console sessions end key_01h455vb --all --dry-run")]
    End(Read<End>),
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct List {
    /// The key's id; without it all keys
    #[arg(value_name = "KEY", default_value = "-", hide_default_value = true)]
    id: String,
}

#[derive(Args, Debug, Serialize)]
pub(crate) struct End {
    /// The key's id
    #[arg(value_name = "KEY")]
    id: String,
    /// The session's id, as `list` shows it
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    #[arg(default_value_if("all", "true", "-"))]
    session_id: Option<String>,
    /// All sessions of the key
    #[arg(long)]
    #[serde(skip)]
    all: bool,
    /// Show the sessions that would end, and end none
    #[arg(long = "dry-run")]
    validate_only: bool,
}

impl ConsoleCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Url(url) => url.run().await,
            Self::Sessions(sessions) => sessions.run().await,
        }
    }
}

impl Write<Url> {
    async fn run(self) -> Result<(), Failure> {
        let call = self.call("KeyService/CreateSignInLink", Show::One)?;
        if call.is_dry() || call.form.is_json() {
            return call.run().await;
        }
        let mut client = call.connect().await?;
        let answer = call.answer(&mut client).await?;
        let path = answer["path"].as_str().unwrap_or_default();
        if path.is_empty() {
            return Err(failure(cell(&answer["note"])));
        }
        let (at, is_guess) = match (&self.request.at, call.server()?) {
            (Some(at), _) => (at.clone(), false),
            (None, Some(server)) => (server, false),
            (None, None) => (LOCAL.to_owned(), true),
        };
        print(&format!("{}{path}\n", at.trim_end_matches('/')))?;
        if is_guess {
            note(format!(
                "note: give --at URL if people find the server elsewhere than at {LOCAL}"
            ));
        }
        note(format!("the link works once, until {}", cell(&answer["expiresTime"])));
        Ok(())
    }
}

impl SessionsCommand {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => {
                list.call("KeyService/ListSessions", Show::Pages(&SESSIONS, None))?.run().await
            }
            Self::End(end) => {
                let call = end.call("KeyService/EndSession", Show::All(&SESSIONS))?;
                call.that_writes().run().await
            }
        }
    }
}
