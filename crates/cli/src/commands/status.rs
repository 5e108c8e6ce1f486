//! `customer-settings status`: whether all is well, of a server and of a store.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use customer_settings_server::{
    Services,
    clock::{self, SystemClock},
    config::Config,
    store::{Access, sqlite},
    telemetry::{BUILD_INFO, CERTIFICATE_EXPIRY, DAMAGED_PLACES, KEY_EXPIRY, STORE_AWAY},
};
use http::Uri;
use serde_json::{Map, Value, json};

use super::{Data, Failure, explain, failure};
use crate::{
    output::{Output, cell, print_json},
    storage::Storage,
    target::{self, Answers, Client, HERE, Place},
    values,
};

/// A backup beside the data needs as much room as the data, and the engine's log needs some.
const LEAST_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// Backups are made daily, and one may take long.
const OLDEST_BACKUP: Duration = Duration::from_hours(48);

/// Ask a server whether it is ready, or look whether all is well with a store
///
/// Of a server (--server) the command tells whether it is ready, and the problems that it reports. If this machine may
/// read the server's metrics (`metrics_allow`), the command also tells its version, whether its store answers, and when
/// its certificate and the first of its keys end. No key is needed.
///
/// Of a store (--data-dir, --database-url) the command tells its schema, its size and the keys that end soon; of a
/// directory also whether other users may read it, how much room is free, and with --backups the newest backup.
///
/// The command exits with 0 where the server is ready or the store can be read, and with 6 where the server is not
/// ready or cannot be reached, so that containers can run it as it is. With --strict any problem is a failure (1), for
/// monitors. It asks once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  customer-settings status --server http://127.0.0.1:8080
  customer-settings status --server https://settings.example.com --timeout 2s --output json
  customer-settings status --data-dir data --backups /var/backups/settings --strict --soon 30d")]
pub(crate) struct Status {
    /// The server, such as http://127.0.0.1:8080 or https://example.com/settings
    /// [env: CUSTOMER_SETTINGS_SERVER]
    #[arg(long, value_name = "URL", value_parser = target::parse_server, conflicts_with_all = HERE)]
    server: Option<Uri>,
    #[command(flatten)]
    data: Data,
    /// A PEM file of further authorities that may have signed the server's certificate
    #[arg(long, value_name = "FILE", conflicts_with_all = HERE)]
    ca_file: Option<PathBuf>,
    /// The directory of the backups: a newest file older than two days is a problem
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    backups: Option<PathBuf>,
    /// Fail if there is any problem
    #[arg(long)]
    strict: bool,
    /// A certificate or key that ends within this time is a problem
    #[arg(long, value_name = "SPAN", default_value = "14d", value_parser = values::soon)]
    soon: Duration,
    /// How long to wait for an answer
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = values::timeout)]
    #[arg(allow_hyphen_values = true)]
    timeout: Duration,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: Output,
}

/// The facts that were found, in the order in which they are shown.
#[derive(Default)]
struct Findings {
    facts: Map<String, Value>,
    problems: Vec<String>,
}

impl Findings {
    fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let found = match target::place(self.server.as_ref(), &self.data)? {
            Place::Server(server) => {
                let asked = target::ask(&server, self.ca_file.as_deref(), self.timeout).await?;
                self.of_server(&server, asked)
            }
            Place::Here(storage) => self.of_store(&storage).await?,
        };
        let Findings { mut facts, problems } = found;
        facts.insert("problems".to_owned(), json!(problems));
        let facts = Value::Object(facts);
        match self.output {
            Output::Json => print_json(&facts)?,
            // Each problem is a sentence, so it needs a line of its own.
            Output::Table => {
                let mut rows = facts;
                let rows = rows.as_object_mut().map(|facts| {
                    facts.shift_remove("problems");
                    for (number, problem) in problems.iter().enumerate() {
                        facts.insert(format!("problem {}", number + 1), json!(problem));
                    }
                    Value::Object(std::mem::take(facts))
                });
                self.output.one(&rows.unwrap_or_default())?;
            }
        }
        match problems.len() {
            0 => Ok(()),
            _ if !self.strict => Ok(()),
            1 => Err(failure("there is a problem")),
            count => Err(failure(format!("there are {count} problems"))),
        }
    }

    fn of_server(&self, server: &Uri, asked: Answers) -> Findings {
        let Answers { problems, metrics } = asked;
        let mut found = Findings { problems, ..Findings::default() };
        found.fact("server", target::name(server));
        found.fact("ready", true);
        let Some(metrics) = metrics else { return found };
        if let Some(version) = version(&metrics) {
            found.fact("version", version);
        }
        let value = |name| metric(&metrics, name);
        if let Some(away) = value(STORE_AWAY) {
            found.fact("storeAnswers", away == 0.0);
        }
        found.fact("damagedPlaces", value(DAMAGED_PLACES).unwrap_or(0.0) as u64);
        for (name, metric, what) in [
            ("certificateExpires", CERTIFICATE_EXPIRY, "the certificate"),
            ("nextKeyExpires", KEY_EXPIRY, "a key"),
        ] {
            // Infinite if nothing expires.
            let Some(at) = value(metric).and_then(|at| Duration::try_from_secs_f64(at).ok()) else {
                continue;
            };
            self.tell_end(&mut found, name, what, UNIX_EPOCH + at);
        }
        found
    }

    /// Adds the time at which something ends, and a problem if that is soon.
    fn tell_end(&self, found: &mut Findings, name: &str, what: &str, at: SystemTime) {
        let time = humantime::format_rfc3339_seconds(at).to_string();
        match at.duration_since(now()) {
            Err(_) => found.problem(format!("{what} ended at {time}")),
            Ok(left) if left < self.soon => found.problem(format!("{what} ends at {time}")),
            Ok(_) => {}
        }
        found.fact(name, time);
    }

    async fn of_store(&self, storage: &Storage) -> Result<Findings, Failure> {
        let config = Config::default();
        let (store, name) = storage.open(Access::Read, &config.database).await?;
        let failed = |error| explain(&error);
        let facts = store.facts().await.map_err(|error| failed(error.into()))?;
        let mut found = Findings::default();
        found.fact("store", name.clone());
        found.fact("schema", facts.schema);
        found.fact("bytes", facts.bytes);
        if let Storage::Directory(dir) = storage {
            tell_permissions(&mut found, dir)?;
            tell_room(&mut found, dir, facts.bytes)?;
        }
        if let Some(dir) = &self.backups {
            tell_backup(&mut found, dir)?;
        }
        let services = Services::open(store, std::sync::Arc::new(SystemClock), &config).await;
        let services = services.map_err(failed)?;
        let mut client = Client::here(&services, name, self.timeout);
        self.tell_keys(&mut found, &mut client).await?;
        Ok(found)
    }

    /// The keys that end soon, with their names.
    async fn tell_keys(&self, found: &mut Findings, client: &mut Client) -> Result<(), Failure> {
        let mut request = json!({});
        let (mut count, mut ends) = (0, Vec::new());
        loop {
            let page = client.call("KeyService/ListKeys", &request).await?;
            for key in page["keys"].as_array().into_iter().flatten() {
                count += 1;
                let at =
                    key["expiresTime"].as_str().and_then(|at| humantime::parse_rfc3339(at).ok());
                let Some(at) = at.filter(|at| *at >= now() && *at < now() + self.soon) else {
                    continue;
                };
                let time = humantime::format_rfc3339_seconds(at);
                ends.push(format!(
                    "the key {} \"{}\" ends at {time}",
                    cell(&key["id"]),
                    cell(&key["name"])
                ));
            }
            match page["nextPageToken"].as_str() {
                None | Some("") => break,
                Some(token) => request["page_token"] = json!(token),
            }
        }
        found.fact("keys", count);
        found.problems.extend(ends);
        Ok(())
    }
}

fn now() -> SystemTime {
    clock::now().into()
}

/// The value of a metric without labels, or of its first series.
fn metric(text: &str, name: &str) -> Option<f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let mut values = lines.filter(|(series, _)| series.split('{').next() == Some(name));
    values.next()?.1.parse().ok()
}

fn version(metrics: &str) -> Option<&str> {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{BUILD_INFO}{{")))?;
    line.split("version=\"").nth(1)?.split('"').next()
}

/// Adds whether other users may use the directory. Those who may not enter it cannot use the files in it.
fn tell_permissions(found: &mut Findings, dir: &Path) -> Result<(), Failure> {
    let mode = |path: &Path| -> Result<u32, Failure> {
        let data = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        Ok(data.permissions().mode() & 0o777)
    };
    let (of_dir, of_file) = (mode(dir)?, mode(&dir.join(sqlite::DATABASE))?);
    found.fact("permissions", format!("{of_dir:o}, database {of_file:o}"));
    if of_dir & 0o077 != 0 && of_file & 0o077 != 0 {
        found.problem(format!(
            "other users may read or change the data: chmod 700 {0}; chmod 600 {0}/{1}*",
            dir.display(),
            sqlite::DATABASE
        ));
    }
    Ok(())
}

fn tell_room(found: &mut Findings, dir: &Path, bytes: u64) -> Result<(), Failure> {
    let disk = rustix::fs::statvfs(dir).map_err(|error| unreadable(dir, &error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    found.fact("freeBytes", free);
    if free < bytes.saturating_add(LEAST_FREE_BYTES) {
        found.problem(format!(
            "{free} bytes are free on the disk of {}, too few for a backup beside {bytes} bytes of data",
            dir.display()
        ));
    }
    Ok(())
}

/// Adds the newest file of the directory of backups.
fn tell_backup(found: &mut Findings, dir: &Path) -> Result<(), Failure> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let entry = entry.map_err(|error| unreadable(dir, &error))?;
        let data = entry.metadata().map_err(|error| unreadable(&entry.path(), &error))?;
        let made = data.modified().map_err(|error| unreadable(&entry.path(), &error))?;
        if data.is_file() && newest.as_ref().is_none_or(|(time, _)| *time < made) {
            newest = Some((made, entry.path()));
        }
    }
    let Some((made, path)) = newest else {
        found.fact("lastBackup", Value::Null);
        found.problem(format!("there is no backup in {}", dir.display()));
        return Ok(());
    };
    let time = humantime::format_rfc3339_seconds(made);
    found.fact("lastBackup", format!("{time} ({})", path.display()));
    if now().duration_since(made).is_ok_and(|age| age > OLDEST_BACKUP) {
        found.problem(format!("the last backup is from {time}"));
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    failure(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_text_of_the_metrics() {
        let text = "# HELP a_total How often\n# TYPE a_total counter\na_total{of=\"x y\"} 3\nb 0.5\nc inf\n\
                    customer_settings_build_info{version=\"0.1.0\"} 1\n";
        assert_eq!((metric(text, "a_total"), metric(text, "b")), (Some(3.0), Some(0.5)));
        assert_eq!((metric(text, "c"), metric(text, "a")), (Some(f64::INFINITY), None));
        assert_eq!(version(text), Some("0.1.0"));
    }
}
