//! `customer-settings verify`: compares the data with the change logs.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use customer_settings_server::{Services, service::verify::Verified, store::Access};
use serde_json::json;

use super::{Data, Failure, explain, failure};
use crate::output::{Output, counted, note, print, print_json};

/// The interval of progress messages, and the delay of the first.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Replay the change logs of companies and keys and compare the result with what is stored
///
/// Changes nothing, and works on a read-only disk. A server may be running on the data directory. Prints a
/// line for every difference and ends with 1 if there is one, so that it can run after each backup.
#[derive(clap::Args)]
#[command(after_help = "Example: customer-settings verify --data-dir data")]
pub(crate) struct Verify {
    #[command(flatten)]
    data: Data,
    /// How to print the findings
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        verify(&self.data.open(Access::Read).await?, self.output).await
    }
}

/// Verifies and prints the findings. Any finding is a failure.
pub(super) async fn verify(services: &Services, output: Output) -> Result<(), Failure> {
    let mut watch = Watch::new(services);
    let progress = |so_far: &Verified| {
        let Verified { companies, keys, changes, .. } = so_far;
        watch.tell(|| text(*companies, *keys, *changes));
    };
    let verified = services.verify.verify(progress).await.map_err(|error| explain(&error))?;
    show(&verified, output)?;
    match verified.found() {
        0 => Ok(()),
        found => Err(failure(format!(
            "{}; where a line does not say how to mend it, restore a backup, or report a bug",
            differences(found)
        ))),
    }
}

/// Prints the progress now and then.
pub(super) struct Watch<'a> {
    services: &'a Services,
    is_watched: bool,
    told: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(services: &'a Services) -> Self {
        let is_watched = std::io::stderr().is_terminal();
        Self { services, is_watched, told: services.monotonic() }
    }

    pub(super) fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.services.monotonic();
        if self.is_watched && now.duration_since(self.told) >= PROGRESS_INTERVAL {
            self.told = now;
            note(text());
        }
    }
}

fn differences(found: u64) -> String {
    match found {
        0 => "no differences".to_owned(),
        1 => "1 difference".to_owned(),
        found => format!("{found} differences"),
    }
}

fn show(verified: &Verified, output: Output) -> Result<(), Failure> {
    let Verified { companies, keys, changes, findings, more } = verified;
    match output {
        Output::Json => {
            let findings: Vec<_> =
                findings.iter().map(|one| json!({"of": one.of, "what": one.what})).collect();
            print_json(
                &json!({"companies": companies, "keys": keys, "changes": changes, "findings": findings, "more": more}),
            )?;
        }
        Output::Table => {
            let lines = findings.iter().map(|one| format!("{}: {}\n", one.of, one.what));
            print(&lines.collect::<String>())?;
        }
    }
    if *more > 0 {
        note(format!("{more} more are not shown"));
    }
    let found = differences(verified.found());
    note(format!("{}: {found}", text(*companies, *keys, *changes)));
    Ok(())
}

fn text(companies: u64, keys: u64, changes: u64) -> String {
    let companies = counted(companies, "company", "companies");
    let [keys, changes] = [counted(keys, "key", "keys"), counted(changes, "change", "changes")];
    format!("verified {companies}, {keys}, {changes}")
}
