//! The address of the database: the URL, with libpq's meaning as far as that makes sense, and one connection to it. The
//! URL itself is never shown, since it may hold a password.

use std::{
    borrow::Cow,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, Connection, Error, Socket,
    config::{Host, SslMode},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    error::{OpenError, explain},
    tls::{self, Trust},
};

/// The keepalive of a connection where the URL names none. A lost peer is noticed within half a minute,
/// also while nothing is sent.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// The future that moves a connection's bytes, and receives the server's own messages.
pub(super) type Driver = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A database on one server, or on any of several servers that accepts connections.
#[derive(Clone)]
pub(super) struct Target {
    /// One per host, in the order in which they are tried.
    configs: Vec<Config>,
    tls: MakeRustlsConnect,
    /// For example `db.example.com:5432`.
    server: String,
    database: String,
    connect_timeout: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// The name for people.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.database, self.server)
    }
}

impl Target {
    pub(super) fn parse(url: &str, connect_timeout: Duration) -> Result<Self, OpenError> {
        let (url, ssl) = take_ssl(url)?;
        let mut config = Config::from_str(&url).map_err(|error| {
            // The error's first part only says that something is wrong.
            let cause = error.into_source().map(|cause| cause.to_string());
            OpenError::Url(cause.map_or_else(|| "it cannot be read".to_owned(), in_our_words))
        })?;
        if host_count(&config) == 0 {
            return Err(OpenError::Url("it names no host".to_owned()));
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != host_count(&config) {
            return Err(OpenError::Url("it has neither one port nor one for each host".to_owned()));
        }
        let mode = ssl.mode.unwrap_or(match is_local(&config) {
            true => Mode::Prefer,
            false => Mode::VerifyFull,
        });
        let (ssl_mode, trust) = mode.meaning(ssl.roots.is_some());
        config.ssl_mode(ssl_mode);
        let database = config.get_dbname().or(config.get_user()).unwrap_or("(default)").to_owned();
        Ok(Self {
            tls: tls::connector(trust, ssl.roots.as_deref())?,
            server: servers(&config),
            database,
            connect_timeout,
            configs: (0..host_count(&config)).map(|host| of_host(&config, host)).collect(),
        })
    }

    /// The same target with another application name.
    pub(super) fn named(mut self, application: &str) -> Self {
        for config in &mut self.configs {
            config.application_name(application);
        }
        self
    }

    /// The longest time that connecting may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A connection outside of any pool.
    pub(super) async fn connect(&self) -> Result<(Client, Driver), OpenError> {
        self.try_connect().await.map_err(|error| match error {
            Some(error) => OpenError::of_connecting(&self.server, &error),
            None => {
                let cause = format!("no answer within {} ms", self.connect_timeout.as_millis());
                OpenError::Unreachable { server: self.server.clone(), cause }
            }
        })
    }

    /// Tries one host after the other. If none accepts, the error is that of the last host that answered.
    ///
    /// The driver could do this, but it waits for ever for a server that accepts a connection and then sends nothing,
    /// for example because its disk hangs.
    async fn try_connect(&self) -> Result<(Client, Driver), Option<Error>> {
        let each = self.connect_timeout / u32::try_from(self.configs.len()).unwrap_or(u32::MAX);
        let mut said = None;
        for config in &self.configs {
            match timeout(each, config.connect(self.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => said = Some(error),
                Err(_) => {}
            }
        }
        Err(said)
    }
}

/// Makes the connections of a pool.
impl Connect for Target {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            match self.try_connect().await {
                Ok((client, driver)) => {
                    let driving = async {
                        if let Err(error) = driver.await {
                            tracing::warn!(
                                error = explain(&error),
                                "a connection to the database broke"
                            );
                        }
                    };
                    Ok((client, tokio::spawn(driving)))
                }
                Err(Some(error)) => Err(error),
                // The time is over, which the pool will notice itself.
                Err(None) => std::future::pending().await,
            }
        })
    }
}

fn host_count(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len())
}

/// The configuration for one of the hosts.
fn of_host(config: &Config, host: usize) -> Config {
    let mut one = Config::new();
    match config.get_hosts().get(host) {
        Some(Host::Tcp(name)) => _ = one.host(name),
        Some(Host::Unix(path)) => _ = one.host_path(path),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(host) {
        one.hostaddr(*address);
    }
    one.port(port_of(config, host));
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(database) = config.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    one.application_name(config.get_application_name().unwrap_or("customer-settings"));
    one.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    one.channel_binding(config.get_channel_binding());
    one.target_session_attrs(config.get_target_session_attrs());
    one.load_balance_hosts(config.get_load_balance_hosts());
    one.tcp_user_timeout(*config.get_tcp_user_timeout().unwrap_or(&UNACKNOWLEDGED));
    one.keepalives(config.get_keepalives());
    match config.get_keepalives_interval() {
        Some(interval) => {
            one.keepalives_idle(config.get_keepalives_idle()).keepalives_interval(interval)
        }
        None => one.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL),
    };
    one.keepalives_retries(config.get_keepalives_retries().unwrap_or(KEEPALIVE_RETRIES));
    one
}

fn port_of(config: &Config, host: usize) -> u16 {
    let ports = config.get_ports();
    ports.get(host).or(ports.first()).copied().unwrap_or(5432)
}

/// `sslmode` as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    /// As with libpq, `require` checks the certificate's authority if `sslrootcert` names the trusted ones.
    fn meaning(self, has_roots: bool) -> (SslMode, Trust) {
        match self {
            Self::Disable => (SslMode::Disable, Trust::Anybody),
            Self::Prefer => (SslMode::Prefer, Trust::Anybody),
            Self::Require if has_roots => (SslMode::Require, Trust::Authority),
            Self::Require => (SslMode::Require, Trust::Anybody),
            Self::VerifyCa => (SslMode::Require, Trust::Authority),
            Self::VerifyFull => (SslMode::Require, Trust::Name),
        }
    }
}

impl FromStr for Mode {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(OpenError::Url(
                    "sslmode is disable, prefer, require, verify-ca or verify-full".to_owned(),
                ));
            }
        })
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ssl {
    mode: Option<Mode>,
    roots: Option<PathBuf>,
}

/// Takes parameters out of the URL that the driver does not know or knows only in part.
fn take_ssl(url: &str) -> Result<(String, Ssl), OpenError> {
    let scheme =
        ["postgres://", "postgresql://"].into_iter().find(|scheme| url.starts_with(scheme));
    let scheme =
        scheme.ok_or_else(|| OpenError::Url("it does not begin with postgres://".into()))?;
    let rest = &url[scheme.len()..];
    check_credentials(rest)?;
    let Some(query) = rest.find('?') else {
        return Ok((url.to_owned(), Ssl::default()));
    };
    let mut ssl = Ssl::default();
    let mut kept = Vec::new();
    for parameter in rest[query + 1..].split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => ssl.mode = Some(decode(value)?.parse()?),
            Some(("sslrootcert", value)) => {
                ssl.roots = Some(Path::new(&*decode(value)?).to_owned())
            }
            _ => kept.push(parameter),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{scheme}{}{mark}{}", &rest[..query], kept.join("&")), ssl))
}

/// The driver's error about a URL, which repeats none of the values.
fn in_our_words(cause: String) -> String {
    match cause.strip_prefix("invalid value for option `").and_then(|rest| rest.strip_suffix('`')) {
        Some("port") => {
            "its port is no number, or user and password stand there without a host".to_owned()
        }
        Some(option) => format!("the value of {option} is none that it can have"),
        None => cause,
    }
}

/// Refuses a URL in which the end of the password is in doubt. The text behind that end would be taken for the host, so
/// it would be shown, and sent to name servers. The driver ends the password at the first `@`, libpq at the first `@`
/// or `/`, other programs at the last `@`.
fn check_credentials(rest: &str) -> Result<(), OpenError> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain = match rest.matches('@').count() {
        0 => true,
        1 => authority.contains('@'),
        _ => false,
    };
    if is_plain {
        return Ok(());
    }
    Err(OpenError::Url(
        "what has a special meaning in URLs must be percent-encoded in the user, the password and the values behind \
         the question mark (@ is %40, / is %2F, ? is %3F, # is %23)"
            .to_owned(),
    ))
}

fn decode(value: &str) -> Result<Cow<'_, str>, OpenError> {
    percent_decode_str(value)
        .decode_utf8()
        .map_err(|_| OpenError::Url("a part of it is not UTF-8".to_owned()))
}

/// Whether all hosts are on this machine, so that nobody can listen on the wire.
fn is_local(config: &Config) -> bool {
    let is_here = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn servers(config: &Config) -> String {
    let named = (0..host_count(config)).map(|i| {
        let port = port_of(config, i);
        match (config.get_hosts().get(i), config.get_hostaddrs().get(i)) {
            (Some(Host::Unix(path)), _) => format!("{} (port {port})", path.display()),
            (Some(Host::Tcp(host)), _) if host.contains(':') => format!("[{host}]:{port}"),
            (Some(Host::Tcp(host)), _) => format!("{host}:{port}"),
            (None, Some(address)) => format!("{address}:{port}"),
            (None, None) => String::new(),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, OpenError> {
        Target::parse(url, Duration::from_secs(1))
    }

    #[test]
    fn what_the_driver_does_not_know_is_taken_out_of_the_url() {
        let roots = || Some(PathBuf::from("/a b.pem"));
        for (url, kept, mode, file) in [
            ("postgres://h", "postgres://h", None, None),
            ("postgres://u:p%3Fw@h/d", "postgres://u:p%3Fw@h/d", None, None),
            (
                "postgresql://u:p%3Fw@h/d?sslmode=verify-ca&x=1&sslrootcert=%2Fa%20b.pem&y=2",
                "postgresql://u:p%3Fw@h/d?x=1&y=2",
                Some(Mode::VerifyCa),
                roots(),
            ),
            ("postgres://h?sslmode=disable", "postgres://h", Some(Mode::Disable), None),
        ] {
            let ssl = Ssl { mode, roots: file };
            assert_eq!(take_ssl(url).unwrap(), (kept.to_owned(), ssl), "{url}");
        }
    }

    #[test]
    fn a_password_never_crosses_a_wire_in_the_clear_unless_told_to() {
        for (url, expected) in [
            ("postgres://u:p@127.0.0.1/d", (SslMode::Prefer, Trust::Anybody)),
            ("postgres://u:p@[::1]/d", (SslMode::Prefer, Trust::Anybody)),
            ("postgres://u:p@localhost/d", (SslMode::Prefer, Trust::Anybody)),
            ("postgres://u:p@%2Fvar%2Frun/d", (SslMode::Prefer, Trust::Anybody)),
            ("postgres://u:p@db/d", (SslMode::Require, Trust::Name)),
            ("postgres://u:p@localhost,db/d", (SslMode::Require, Trust::Name)),
            ("postgres://u:p@localhost/d?hostaddr=10.0.0.1", (SslMode::Require, Trust::Name)),
            ("postgres://u:p@db/d?sslmode=disable", (SslMode::Disable, Trust::Anybody)),
            ("postgres://u:p@db/d?sslmode=prefer", (SslMode::Prefer, Trust::Anybody)),
            ("postgres://u:p@db/d?sslmode=require", (SslMode::Require, Trust::Anybody)),
            ("postgres://u:p@db/d?sslmode=verify-ca", (SslMode::Require, Trust::Authority)),
            (
                "postgres://u:p@db/d?sslmode=require&sslrootcert=a",
                (SslMode::Require, Trust::Authority),
            ),
            ("postgres://u:p@127.0.0.1/d?sslmode=verify-full", (SslMode::Require, Trust::Name)),
        ] {
            let (stripped, ssl) = take_ssl(url).unwrap();
            let config = Config::from_str(&stripped).unwrap();
            let default = if is_local(&config) { Mode::Prefer } else { Mode::VerifyFull };
            let meaning = ssl.mode.unwrap_or(default).meaning(ssl.roots.is_some());
            assert_eq!(meaning, expected, "{url}");
        }
    }

    #[test]
    fn a_target_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://u:secret@localhost/d?sslmode=disable", "d at localhost:5432"),
            ("postgres://u:secret@[::1]:7/", "u at [::1]:7"),
            ("postgres://u:secret@%2Frun%2Fpg/d", "d at /run/pg (port 5432)"),
            (
                "postgres://u:secret@a:1,b:2/d?sslmode=require&target_session_attrs=read-write",
                "d at a:1, b:2",
            ),
        ] {
            let target = target(url).unwrap();
            assert_eq!(target.to_string(), shown);
            assert!(!format!("{target:?}").contains("secret"));
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_not_repeated() {
        for (url, problem) in [
            ("mysql://u:secret@h/d", "it does not begin with postgres://"),
            ("secret", "it does not begin with postgres://"),
            ("host=h password=secret", "it does not begin with postgres://"),
            ("postgres://u:secret@/d", "it names no host"),
            ("postgres://u:secret@h:port/d", "its port is no number"),
            ("postgres://u:secret", "stand there without a host; it looks like postgres://"),
            ("postgres://u:secret@h/d?connect_timeout=secret", "the value of connect_timeout is"),
            ("postgres://u:secret@h/d?sslmode=on", "sslmode is disable, prefer"),
            ("postgres://u:secret@h/d?sslcert=x", "unknown option `sslcert`"),
            ("postgres://u:secret@h/d?sslmode", "unterminated parameter"),
            ("postgres://u:a@secret@h/d", "@ is %40"),
            ("postgres://u:a@secret/b@h:5432/d", "@ is %40"),
            ("postgres://u:a/secret@h/d", "/ is %2F"),
            ("postgres://u:secret/b@h", "/ is %2F"),
            ("postgres://u:a?secret@h/d", "? is %3F"),
            ("postgres://u:a#secret@h/d", "# is %23"),
            ("postgres://h/d?user=u&password=a@secret", "@ is %40"),
            ("postgres://u@h/d?password=a@secret", "@ is %40"),
        ] {
            let error = target(url).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("secret"), "{url}: {error}");
        }
        let error = target("postgres://h/d?sslrootcert=/no/such/file").unwrap_err().to_string();
        assert!(error.contains("cannot use the certificates /no/such/file"), "{error}");
    }
}
