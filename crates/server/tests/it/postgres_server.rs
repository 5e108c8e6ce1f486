//! A PostgreSQL server for the tests. The first test that needs it makes it, and it ends with the test
//! program, however that ends.

use std::{
    env, fs,
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use customer_settings_server::store::postgres::PoolOptions;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_postgres::{Client, NoTls};

use crate::harness::PATIENCE;

/// The script that runs the server. It waits for the end of its input, which comes with the end of the test
/// program. Then it ends the server and removes its files.
const WATCHER: &str = r#"
trap : INT TERM HUP
"$1"/postgres -D "$2"/data -k "$2" -p "$3" \
    -c listen_addresses=127.0.0.1 -c max_connections=400 -c shared_buffers=64MB \
    -c fsync="$4" -c full_page_writes="$4" -c autovacuum="$4" \
    -c ssl=on -c ssl_cert_file="$2"/server.pem -c ssl_key_file="$2"/server.key \
    </dev/null >"$2"/log 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "$2"
"#;

/// Only the user `locked` needs a password.
const WHO_MAY_CONNECT: &str = "\
host all locked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
";

/// The database has the time that the tests have.
pub(crate) const OPTIONS: PoolOptions =
    PoolOptions { size: 8, connect_timeout: PATIENCE, statement_timeout: PATIENCE };

pub(crate) struct PostgresServer {
    pub(crate) port: u16,
    /// The certificate of the authority that signed the server's certificate for `127.0.0.1`.
    pub(crate) roots: PathBuf,
    /// The input of this process is open as long as the test program lives.
    _watcher: Child,
}

/// The server's protection against power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// Everything that PostgreSQL offers.
    Safe,
    /// No protection, which is faster.
    Unsafe,
}

/// The server that all tests of this program share.
pub(crate) fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| PostgresServer::start(Disk::Unsafe))
}

/// A new, empty database on it: its URL.
pub(crate) async fn new_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    server().make_database(&format!("test_{}", COUNT.fetch_add(1, Ordering::SeqCst))).await
}

/// A connection for the test alone.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

impl PostgresServer {
    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// A new, empty database of that name: its URL.
    pub(crate) async fn make_database(&self, name: &str) -> String {
        let client = connect(&self.url("postgres")).await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        self.url(name)
    }

    /// Starts a server that lives as long as this program.
    pub(crate) fn start(disk: Disk) -> Self {
        let programs = programs();
        let user = ordinary_user();
        let dir = tempfile::tempdir().unwrap().keep();
        make_certificates(&dir);
        if let Some(id) = user {
            for path in [dir.clone(), dir.join("server.pem"), dir.join("server.key")] {
                chown(path, Some(id), Some(id)).unwrap();
            }
        }
        // Texts must be ordered by code points in any database, so this database has another order.
        let initdb = as_user(&programs.join("initdb"), user)
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"])
            .arg("--pgdata")
            .arg(dir.join("data"))
            .current_dir(&dir)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        fs::write(dir.join("data/pg_hba.conf"), WHO_MAY_CONNECT).unwrap();
        for _ in 0..5 {
            let port = free_port();
            let mut watcher = as_user(Path::new("sh"), user)
                .args(["-c", WATCHER, "watcher"])
                .args([&programs, &dir])
                .arg(port.to_string())
                .arg(if disk == Disk::Safe { "on" } else { "off" })
                .current_dir(&dir)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if is_ready(&dir, port) {
                return Self { port, roots: dir.join("roots.pem"), _watcher: watcher };
            }
            // Another program took the port in the meantime. The watcher removes the files.
            let log = read(&dir.join("log"));
            assert!(log.contains("could not bind"), "the server did not start: {log}");
            watcher.kill().unwrap();
            watcher.wait().unwrap();
        }
        panic!("no port stays free for long enough");
    }
}

/// The folder of `initdb` and `postgres`; of several versions the newest.
pub(crate) fn programs() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = env::split_paths(&path).collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<_> = versions.map(|version| version.unwrap().path()).collect();
        versions.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.parse().unwrap_or(0)
        });
        found.extend(versions.into_iter().rev().map(|version: PathBuf| version.join("bin")));
    }
    let is_whole = |dir: &PathBuf| dir.join("initdb").exists() && dir.join("postgres").exists();
    found.into_iter().find(is_whole).unwrap_or_else(|| {
        panic!(
            "these tests need PostgreSQL 15 or later: `./test` installs it, or `apt-get install postgresql`, or put \
             its initdb and postgres on the PATH"
        )
    })
}

/// PostgreSQL refuses to run as root. This is the id of another user, if root runs the tests.
fn ordinary_user() -> Option<u32> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = read(Path::new("/etc/passwd"));
    let id = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split(':').nth(2)?.parse().ok()
    };
    Some(id("postgres").or_else(|| id("nobody")).expect("a user `postgres` or `nobody`"))
}

fn as_user(program: &Path, user: Option<u32>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    if let Some(id) = user {
        command.uid(id).gid(id);
    }
    command
}

fn make_certificates(dir: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    fs::write(dir.join("roots.pem"), authority.pem()).unwrap();
    fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(dir.join("server.key"), private).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until the server accepts connections; false if it gave up.
fn is_ready(dir: &Path, port: u16) -> bool {
    for _ in 0..1_000 {
        let log = read(&dir.join("log"));
        if log.contains("ready to accept connections")
            && TcpStream::connect(("127.0.0.1", port)).is_ok()
        {
            return true;
        }
        if log.contains("FATAL") {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    false
}

/// Reads a file, also while another process writes it.
fn read(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = fs::File::open(path) {
        _ = file.read_to_string(&mut text);
    }
    text
}
