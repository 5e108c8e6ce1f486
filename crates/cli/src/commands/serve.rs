//! `customer-settings serve`.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use customer_settings_server::{
    Services,
    auth::api_key::Secret,
    catalog::{
        access::{Coverage, Scopes, Task},
        text::Name,
    },
    clock::SystemClock,
    config::{Config, DatabaseUrl, variable},
    net::{self, ServeError},
    service::{keys::KeyDraft, load::Outcome},
    start_on,
    store::{
        Access, Store, StoreError,
        sqlite::{DATABASE, SERVE_LOCK},
    },
    telemetry,
};
use serde_json::json;

use super::{Failure, explain, failure};
use crate::{failure::usage, output, storage::Storage, supervisor, target::Client};

const CONFIG: &str = "CUSTOMER_SETTINGS_CONFIG";
const DEMO_VARIABLE: &str = "CUSTOMER_SETTINGS_DEMO";

/// The example data of `--demo`.
const DEMO: &str = include_str!("../../../server/demo/demo.yaml");
/// How long the demo may take to make its link.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);
/// The default directory of the demo.
const DEMO_DIR: &str = "demo-data";
/// The files that a server opens besides its connections: the store's, the log's, the runtime's.
const SPARE_FILES: f64 = 100.0;
/// The file of the demo's key, the only secret that is ever stored in the clear.
const DEMO_KEY: &str = "demo-key";

/// Serve gRPC, gRPC-Web and HTTP/JSON on one port
///
/// Every option but --demo and --config can also be set in the configuration file, and each as
/// CUSTOMER_SETTINGS_<OPTION> in the environment; `customer-settings config` prints all keys. Flags override
/// the environment, and the environment overrides the file. SIGTERM and SIGINT stop the server after the
/// requests in flight; SIGHUP reads the certificate again.
#[derive(Args)]
#[command(after_help = "\
Examples:
  customer-settings serve --demo
  customer-settings serve --data-dir data --listen 127.0.0.1:8080
  customer-settings serve --config customer-settings.yaml --data-dir data")]
pub(crate) struct Serve {
    /// Start with example data and a key of its own, in ./demo-data or the given directory [env:
    /// CUSTOMER_SETTINGS_DEMO, true or false]
    #[arg(long)]
    demo: bool,
    /// The address and port to listen on: 127.0.0.1:8080, [::1]:8080, localhost:8080 for this machine alone,
    /// :8080 for every address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The directory of the data: one that this program made, or an empty one
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL database in place of a directory, which any number of servers may share: one that this
    /// program filled, or an empty one; put a URL with a password into a file or the environment, because
    /// other users see command lines
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    database_url: Option<DatabaseUrl>,
    /// A file that holds that URL, such as a mounted secret
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "database_url"])]
    database_url_file: Option<PathBuf>,
    /// The certificate chain, a PEM file; needs --tls-key
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file; needs --tls-cert
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The level of the log: error, warn, info, debug, trace or off, also for one module [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// The form of log lines: text, json or auto [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// The configuration file [env: CUSTOMER_SETTINGS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = self.configuration()?;
        let _log = telemetry::init(&config)?;
        let is_demo = self.demo()?;
        let storage = match (&config.data_dir, &config.database.url, is_demo) {
            (Some(dir), _, _) => Storage::Directory(dir.clone()),
            (None, Some(url), _) => Storage::Database(url.clone()),
            (None, None, true) => Storage::Directory(PathBuf::from(DEMO_DIR)),
            (None, None, false) => {
                return Err(failure(
                    "no data directory: give --data-dir DIR or --database-url URL, or --demo to try it out",
                ));
            }
        };
        let demo = if is_demo { Some(Demo::of(&storage)?) } else { None };
        // The port is taken before anything is made, because this step fails most often.
        let bound = net::bind(&config).map_err(|error| match error {
            ServeError::Listen { .. } => {
                failure(format!("{error}; --listen ADDRESS:PORT names another address"))
            }
            ServeError::Tls(_) => failure(error),
        })?;
        let opened = Self::open(&config, &storage, demo.as_ref()).await;
        let (mut services, name) = opened.inspect_err(|_| {
            if let Some(demo) = &demo {
                demo.clean_up();
            }
        })?;
        services.is_demo = demo.is_some();
        let link = match &demo {
            Some(demo) if config.console.enabled => demo.sign_in_link(&services).await,
            _ => None,
        };
        let server = start_on(bound, &config, services);
        let shutdown = net::Shutdown::new();
        net::stop_on_signals(shutdown.clone())?;
        net::reload_on_signal(server.tls())?;
        let address = server.local_addr();
        let tell = || {
            Self::tell_log(&config, address, &name);
            if !output::is_quiet() {
                let text = Self::welcome(&config, address, &name, demo.as_ref(), link.as_deref());
                // The server runs also if nobody can read this text.
                _ = output::write(text.as_bytes());
            }
            supervisor::tell_ready();
        };
        server.serve_telling(shutdown, tell).await;
        tracing::info!("stopped");
        Ok(())
    }

    /// Opens the data, fills a new demo, and gives the name of the data for people.
    async fn open(
        config: &Config,
        storage: &Storage,
        demo: Option<&Demo>,
    ) -> Result<(Services, String), Failure> {
        let access = Access::Serve { make_directory: demo.is_some() };
        let (store, name) = storage.open(access, &config.database).await?;
        let services = Services::open(store.clone(), Arc::new(SystemClock), config).await;
        let services = services.map_err(|error| explain(&error))?;
        if let Some(demo) = demo {
            demo.fill(&services, &*store, &name).await?;
        }
        Ok((services, name))
    }

    fn configuration(&self) -> Result<Config, Failure> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let flags = [
            ("listen", self.listen.clone()),
            ("data_dir", self.data_dir.as_ref().map(path)),
            ("database.url_file", self.database_url_file.as_ref().map(path)),
            ("database.url", self.database_url.as_ref().map(|url| url.expose().to_owned())),
            ("tls_cert", self.tls_cert.as_ref().map(path)),
            ("tls_key", self.tls_key.as_ref().map(path)),
            ("log", self.log.clone()),
            ("log_format", self.log_format.clone()),
        ];
        let given: Vec<(&str, String)> =
            flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let file = self.config.clone().or_else(|| variable(CONFIG).map(PathBuf::from));
        Ok(Config::load(file.as_deref(), &given)?)
    }

    /// The flag, or the environment variable in its place.
    fn demo(&self) -> Result<bool, Failure> {
        match variable(DEMO_VARIABLE).as_ref().map(|value| value.to_string_lossy()).as_deref() {
            _ if self.demo => Ok(true),
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(usage(format!("{DEMO_VARIABLE} must be true or false"))),
        }
    }

    /// Logs the first lines: version, address, data and limits.
    fn tell_log(config: &Config, address: SocketAddr, data: &str) {
        let limits = &config.limits;
        let version = crate::VERSION;
        tracing::info!(version, %address, data, ?limits, "serving");
        let wanted = limits.connections as f64 + SPARE_FILES;
        if let Some(files) = telemetry::max_fds().filter(|files| *files < wanted) {
            tracing::warn!(
                files,
                connections = limits.connections,
                "this process may open fewer files than limits.connections and the store need: raise ulimit -n \
                 (LimitNOFILE= under systemd), or lower the limit"
            );
        }
    }

    /// Prints the address and a first command for the person who started the server.
    fn welcome(
        config: &Config,
        address: SocketAddr,
        data: &str,
        demo: Option<&Demo>,
        link: Option<&str>,
    ) -> String {
        let tls = config.tls_cert.is_some();
        let scheme = if tls { "https" } else { "http" };
        let mut text = format!("customer-settings listens on {scheme}://{address}\n");
        let console = match (config.console.enabled, link) {
            (false, _) => None,
            (true, None) => Some("/console".to_owned()),
            (true, Some(path)) => Some(format!("{path}  (signs in once)")),
        };
        if let Some(path) = console {
            text += &format!("  console        {scheme}://{address}{path}\n");
        }
        text += &format!("  documentation  {scheme}://{address}/docs\n  data           {data}\n");
        if let Some(Demo { key_file, .. }) = demo {
            let insecure = if tls { " -k" } else { "" };
            let key = format!("\"$(cat {}):\"", key_file.display());
            let path = "/v1/setting/companies/cmp_001/customer/tags:list";
            text +=
                &format!("  try it         curl{insecure} -u {key} {scheme}://{address}{path}\n");
        }
        text
    }
}

/// Example data with a key of its own.
struct Demo {
    key_file: PathBuf,
    /// The directory, if it was empty.
    new: Option<NewDir>,
}

struct NewDir {
    dir: PathBuf,
    existed: bool,
}

impl Demo {
    /// The key of a directory's demo stands in the directory; the key of a database's demo stands in the
    /// working directory.
    fn of(storage: &Storage) -> Result<Self, Failure> {
        match storage {
            Storage::Directory(dir) => {
                Ok(Self { key_file: dir.join(DEMO_KEY), new: check_demo_dir(dir)? })
            }
            Storage::Database(_) => Ok(Self { key_file: PathBuf::from(DEMO_KEY), new: None }),
        }
    }

    /// Loads the example data and issues the key, the first time only.
    async fn fill(
        &self,
        services: &Services,
        store: &dyn Store,
        name: &str,
    ) -> Result<(), Failure> {
        let explain_store = |error: StoreError| explain(&error.into());
        let all = Task::Load.grant_covered();
        let companies = store.company_ids(&all, None, 1).await.map_err(explain_store)?;
        let keys = store.keys(None, None, 1).await.map_err(explain_store)?;
        match (companies.is_empty() && keys.is_empty(), self.key_file.exists()) {
            (true, false) => {}
            (false, true) => return Ok(()),
            (true, true) => {
                return Err(failure(format!(
                    "{} is another demo's key: move it away, or start elsewhere",
                    self.key_file.display()
                )));
            }
            (false, false) => {
                return Err(failure(format!(
                    "{name} holds other data, which --demo does not touch: give an empty one, or leave --demo out"
                )));
            }
        }
        let secret = Secret::generate().map_err(|error| explain(&error))?;
        // The file comes first, because a key whose secret cannot be written is useless.
        self.write_key(&secret)?;
        let filled = Self::load(services, &secret).await;
        filled.inspect_err(|_| _ = fs::remove_file(&self.key_file))
    }

    /// The path of a link that signs in to the console once, of which the key's history tells; none where the demo's key
    /// is not usable any more.
    async fn sign_in_link(&self, services: &Services) -> Option<String> {
        let secret = Secret::import(&fs::read_to_string(&self.key_file).ok()?).ok()?;
        let key = services.sessions.key_of(&secret).await.ok()??;
        let mut client = Client::here(services, "the demo".to_owned(), LINK_TIMEOUT);
        let link = client.call("KeyService/CreateSignInLink", &json!({"id": key.as_str()})).await;
        Some(link.ok()?["path"].as_str()?.to_owned())
    }

    async fn load(services: &Services, secret: &Secret) -> Result<(), Failure> {
        let mut failed = Vec::new();
        let report = |label: &str, outcome: Outcome| {
            if !matches!(outcome, Outcome::Loaded(..)) {
                failed.push(format!("{label}: {outcome:?}"));
            }
        };
        services.load.load(DEMO, report).await?;
        if !failed.is_empty() {
            return Err(failure(format!("the demo was not loaded: {}", failed.join("; "))));
        }
        let draft = KeyDraft {
            name: Name::parse("name", "demo").map_err(failure)?,
            scopes: Scopes::All,
            coverage: Coverage::All,
            addresses: Vec::new(),
            expires_time: None,
            staff_id: None,
        };
        let created = services.keys.create(&Task::Load.actor(), draft, secret).await;
        created.map_err(|error| explain(&error))?;
        Ok(())
    }

    fn write_key(&self, secret: &Secret) -> Result<(), Failure> {
        let problem = |error: std::io::Error| {
            failure(format!("{} cannot be written: {error}", self.key_file.display()))
        };
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&self.key_file);
        let mut file = file.map_err(problem)?;
        let written = file.write_all(secret.expose().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(problem).inspect_err(|_| _ = fs::remove_file(&self.key_file))
    }

    /// Deletes the files that a failed start made in an empty directory. The next start would take them for
    /// other data. Another server that started in between keeps its own files.
    fn clean_up(&self) {
        let Some(NewDir { dir, existed }) = &self.new else { return };
        let lock = File::open(dir.join(SERVE_LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let suffixes =
                ["", "-wal", "-shm", "-journal"].map(|suffix| format!("{DATABASE}{suffix}"));
            for name in suffixes.iter().map(String::as_str).chain([SERVE_LOCK]) {
                _ = fs::remove_file(dir.join(name));
            }
        }
        if !existed {
            // `remove_dir` fails if the directory still holds a file.
            _ = fs::remove_dir(dir);
        }
    }
}

/// Checks that the directory is empty, or holds a demo.
fn check_demo_dir(dir: &Path) -> Result<Option<NewDir>, Failure> {
    let problem = |error: std::io::Error| failure(format!("{}: {error}", dir.display()));
    let new = |existed| Some(NewDir { dir: dir.to_owned(), existed });
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(new(true)),
            Some(_) if dir.join(DEMO_KEY).exists() => Ok(None),
            Some(_) => Err(failure(format!(
                "{} holds other data, which --demo does not touch: give another --data-dir, or leave --demo out",
                dir.display()
            ))),
        },
        // The store makes the directory.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(new(false)),
        Err(error) => Err(problem(error)),
    }
}
