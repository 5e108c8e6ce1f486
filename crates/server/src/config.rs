//! The configuration: defaults, then the file, then the environment, then flags.
//!
//! `config/sample.yaml` is the only list of keys, defaults and meanings: the program reads the defaults from
//! that file. Knows no command line and nothing that uses the values.

use std::{
    env, fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

mod environment;
mod layers;

pub use environment::variable;
pub use layers::ConfigError;
use layers::{Layer, Layers};

const SAMPLE: &str = include_str!("config/sample.yaml");

/// All configuration. `config/sample.yaml` describes each key.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// The directory of the data.
    pub data_dir: Option<PathBuf>,
    /// A database in place of the directory.
    pub database: Database,
    /// PEM file of the certificate chain.
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the private key.
    pub tls_key: Option<PathBuf>,
    /// The proxies whose `X-Forwarded-For` is used.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Addresses that may read `/metrics` besides loopback.
    #[serde(deserialize_with = "networks")]
    pub metrics_allow: Vec<IpNet>,
    /// Origins whose pages may call; `*` is any.
    pub cors_origins: Vec<String>,
    /// The address at which people and programs find this server.
    pub public_url: Option<PublicUrl>,
    /// The web console.
    pub console: Console,
    /// Whether an `Authorization` of base64 without a scheme word is a credential.
    pub accept_bare_base64: bool,
    /// The greatest age of cached data, in milliseconds.
    pub freshness_ms: u64,
    /// The greatest age of an answer while the store does not answer, in milliseconds.
    pub max_stale_ms: u64,
    /// The log level, as directives of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// Whether requests that succeed are logged too.
    pub access_log: bool,
    /// Limits.
    pub limits: Limits,
}

/// The web console.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Whether there is one.
    pub enabled: bool,
    /// For a session without any activity, in days.
    pub idle_days: u32,
    /// For a session in all, in days.
    pub session_days: u32,
}

/// The address of this server as others see it: scheme, host and perhaps a path, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Whether it begins with `https`.
    pub is_https: bool,
    /// The host in lower case, with its port if that is not the scheme's own.
    pub host: String,
    /// The path; empty or beginning with a slash.
    pub path: String,
}

impl PublicUrl {
    /// Reads a URL without user, query and fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let path = path.trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let own_port = if is_https { ":443" } else { ":80" };
        let authority: http::uri::Authority = host.parse().ok()?;
        if host.contains('@') || !path.bytes().all(is_plain) {
            return None;
        }
        let host = authority.as_str().to_ascii_lowercase();
        let host = host.strip_suffix(own_port).unwrap_or(&host).to_owned();
        Some(Self { is_https, host, path: path.to_owned() })
    }

    /// Scheme and host, as browsers send it in `Origin`.
    pub fn origin(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = "it must be the address that people use, such as https://settings.example.com or \
                     https://example.com/settings";
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(wrong))
    }
}

/// A PostgreSQL database, and the limits of its use.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The URL. Once everything is read, this is also set if a file holds the URL.
    pub url: Option<DatabaseUrl>,
    /// The file that holds the URL, in place of `url`.
    pub url_file: Option<PathBuf>,
    /// Connections at once.
    pub pool_size: usize,
    /// For opening a connection, and for waiting for a free one, in milliseconds.
    pub connect_timeout_ms: u64,
    /// For one statement, in milliseconds.
    pub statement_timeout_ms: u64,
}

/// A database's URL. It may hold a password, so nothing shows it.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL, only for connecting.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl DatabaseUrl {
    /// Reads the URL from a file, without the white space around it, such as the end of the last line.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let problem = |source: io::Error| ConfigError::Secret {
            path: path.to_owned(),
            problem: unreadable(&source),
        };
        let url = fs::read_to_string(path).map_err(problem)?.trim().to_owned();
        if url.is_empty() {
            return Err(problem(io::Error::other("it is empty")));
        }
        Ok(Self(url))
    }
}

/// The reason why a file of text cannot be read.
pub fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Limits. All except the drain delay are above zero.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are under way.
    pub bodies_bytes: u64,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Connections at once.
    pub connections: usize,
    /// Requests at once.
    pub concurrent_requests: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// For receiving a request's head, in milliseconds.
    pub header_timeout_ms: u64,
    /// For a connection without a request, in milliseconds.
    pub idle_timeout_ms: u64,
    /// For a TLS handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// From a request's head to its answer's, in milliseconds.
    pub request_timeout_ms: u64,
    /// Between "not ready" and the end of accepting connections, in milliseconds.
    pub drain_delay_ms: u64,
    /// For requests in flight when the server stops, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Requests per second of one key.
    pub requests_per_second: u32,
    /// Requests at once of one key.
    pub requests_burst: u32,
    /// Look-ups of unknown keys, in all.
    pub unknown_keys_per_second: u32,
    /// Look-ups of unknown keys, per address.
    pub unknown_keys_per_address_per_second: u32,
    /// Bytes of the snapshot cache.
    pub cache_bytes: u64,
}

impl Config {
    /// The configuration of this process: `file`, the environment of the process, and `flags`. A flag is a
    /// pair of a key (`limits.body_bytes`) and a text in the form of an environment variable.
    pub fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Self, ConfigError> {
        let variables = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        Self::layered(file, variables, flags)
    }

    /// The same with a given environment. Variables of other programs are skipped.
    pub fn layered(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(defaults());
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        for (variable, text) in environment::configuration(environment) {
            layers.add_variable(&variable, &text)?;
        }
        for (key, text) in flags {
            layers.add_text(key, text, &Layer::Flag)?;
        }
        let mut config = layers.finish();
        config.check_together()?;
        if let Some(file) = &config.database.url_file {
            config.database.url = Some(DatabaseUrl::from_file(file)?);
        }
        Ok(config)
    }

    /// The greatest age of cached data while the store does not answer.
    pub fn max_stale(&self) -> Duration {
        Duration::from_millis(self.max_stale_ms)
    }

    /// The greatest age of cached data.
    pub fn freshness(&self) -> Duration {
        Duration::from_millis(self.freshness_ms)
    }

    /// A commented file of every key with its default.
    pub fn sample() -> &'static str {
        SAMPLE
    }

    /// Checks values whose type is right, each on its own, and names the problem of the first wrong one.
    fn check_each(&self) -> Result<(), String> {
        check_log_directives(&self.log)?;
        if self.cors_origins.iter().any(|origin| origin != "*" && !is_origin(origin)) {
            return Err(
                "each must be \"*\" or an origin such as https://app.example.com".to_owned()
            );
        }
        Ok(())
    }

    fn check_together(&self) -> Result<(), ConfigError> {
        let stores = [
            ("data_dir", self.data_dir.is_some()),
            ("database.url", self.database.url.is_some()),
            ("database.url_file", self.database.url_file.is_some()),
        ];
        let mut given = stores.iter().filter(|(_, is_given)| *is_given);
        if let (Some((one, _)), Some((other, _))) = (given.next(), given.next()) {
            return Err(ConfigError::Either(one, other));
        }
        let (one, all) = (self.limits.body_bytes as u64, self.limits.bodies_bytes);
        if all / 4 < one {
            return Err(ConfigError::Share { one, all });
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err(ConfigError::Pair { given: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => Err(ConfigError::Pair { given: "tls_key", missing: "tls_cert" }),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Layers::new(defaults()).finish()
    }
}

fn defaults() -> Value {
    serde_saphyr::from_str(SAMPLE)
        .unwrap_or_else(|error| unreachable!("a test reads the sample: {error}"))
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The range of each number that makes sense.
const RANGES: [(&str, u64, u64); 24] = [
    ("database.pool_size", 1, 1_000),
    ("database.connect_timeout_ms", 1, DAY_MS),
    ("database.statement_timeout_ms", 1, DAY_MS),
    ("freshness_ms", 1, DAY_MS),
    ("max_stale_ms", 0, DAY_MS),
    ("console.idle_days", 1, 3_650),
    ("console.session_days", 1, 3_650),
    ("limits.body_bytes", 1, 1 << 30),
    ("limits.bodies_bytes", 64 << 10, 1 << 40),
    // hyper cannot read heads with less than 8 KiB.
    ("limits.header_bytes", 8_192, 1 << 20),
    ("limits.connections", 1, 1_000_000),
    ("limits.concurrent_requests", 1, 1_000_000),
    ("limits.streams_per_connection", 1, 10_000),
    ("limits.header_timeout_ms", 1, DAY_MS),
    ("limits.idle_timeout_ms", 1, DAY_MS),
    ("limits.handshake_timeout_ms", 1, DAY_MS),
    ("limits.request_timeout_ms", 1, DAY_MS),
    ("limits.drain_delay_ms", 0, DAY_MS),
    ("limits.drain_timeout_ms", 1, DAY_MS),
    ("limits.requests_per_second", 1, 1_000_000),
    ("limits.requests_burst", 1, 1_000_000),
    ("limits.unknown_keys_per_second", 1, 1_000_000),
    ("limits.unknown_keys_per_address_per_second", 1, 1_000_000),
    ("limits.cache_bytes", 1 << 20, 1 << 40),
];

impl Limits {
    /// For receiving a request's head.
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// For a connection without a request.
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// For a TLS handshake.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// From a request's head to its answer's.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Between "not ready" and the end of accepting connections.
    pub fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// For requests in flight when the server stops.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// `EnvFilter` itself accepts any word as the name of a module, also a mistyped level.
fn check_log_directives(directives: &str) -> Result<(), String> {
    for directive in directives.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{level:?} is no level: use error, warn, info, debug, trace or off"
            ));
        }
    }
    EnvFilter::try_new(directives).map(drop).map_err(|error| error.to_string())
}

fn is_origin(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        !host.is_empty() && text == format!("{scheme}://{host}")
    })
}

/// Reads an address with a port, or the short forms that people write. Other names are refused: they would
/// need a look-up, and one name can have several addresses.
fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_listen(&text).ok_or_else(|| serde::de::Error::custom(LISTEN_FORMS))
}

const LISTEN_FORMS: &str = "it must be an address with a port, such as 127.0.0.1:8080 or [::1]:8080, or \
                            localhost:8080 for this machine alone, or :8080 for every address";

fn parse_listen(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    let ip = match host {
        "" => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        name if name.eq_ignore_ascii_case("localhost") => IpAddr::from(Ipv4Addr::LOCALHOST),
        _ => return None,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| is_number).map(|port| SocketAddr::new(ip, port))
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        parse_network(text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no address or network")))
    };
    texts.iter().map(parse).collect()
}

/// Reads a network (`10.0.0.0/8`), or one address. An IPv4 address in IPv6 form becomes IPv4, as everywhere
/// in the server.
pub fn parse_network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().ok()?;
    match network.addr().to_canonical() {
        address @ IpAddr::V4(_) if network.prefix_len() >= 96 => {
            IpNet::new(address, network.prefix_len() - 96).ok()
        }
        _ => Some(network.trunc()),
    }
}
