//! All measured servers. Each is started when it is first needed, and runs until the end.

use std::{
    cell::Cell,
    collections::HashMap,
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    Result,
    load::{Companies, Target, fetch, fetch_message, list},
    process::{Launch, Server},
};

/// The first port.
const PORT: u16 = 19_200;

/// The entries of the companies in `data`: `cmp_20` has 20.
const SIZES: [u16; 4] = [10, 20, 100, 1_000];

/// The number of companies in `many`, besides its pattern.
const MANY: usize = 10_000;

/// A cache size that is enough for all of these.
const LARGE_CACHE: &str = "4294967296";

#[derive(Clone, Args)]
pub(crate) struct Options {
    /// The program under test
    #[arg(long)]
    pub(crate) program: PathBuf,
    /// Where the data and the key are
    #[arg(long)]
    pub(crate) work: PathBuf,
    /// nginx
    #[arg(long)]
    nginx: Option<PathBuf>,
    /// The folder of the Fastify server with what it needs
    #[arg(long)]
    fastify: Option<PathBuf>,
    /// The folder of the FastAPI server with what it needs
    #[arg(long)]
    fastapi: Option<PathBuf>,
}

/// A server, and its answer where the number of entries matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Which {
    Ours,
    OursTls,
    /// With a line in the access log for every request.
    OursLogging,
    /// 10,000 companies, and a cache that holds all of them.
    OursMany,
    /// The same with the default size of the cache.
    OursManySmall,
    Http1(u16),
    /// With one copy for each of the 10,000 companies.
    Http1Many,
    Http1Tls,
    Http2(u16),
    Http2Tls,
    Frames(u16),
    Tonic(u16),
    Nginx,
    Fastify,
    FastApi,
}

impl Which {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours
            | Self::OursTls
            | Self::OursLogging
            | Self::OursMany
            | Self::OursManySmall => "this service",
            Self::Http1(_) => "bare hyper",
            Self::Http1Many => "bare hyper, 10,000 bodies",
            Self::Http1Tls => "bare hyper, TLS",
            Self::Http2(_) => "bare hyper, HTTP/2",
            Self::Http2Tls => "bare hyper, HTTP/2, TLS",
            Self::Frames(_) => "bare hyper, finished frames",
            Self::Tonic(_) => "bare tonic",
            Self::Nginx => "nginx, static file",
            Self::Fastify => "Fastify, better-sqlite3",
            Self::FastApi => "FastAPI, SQLite",
        }
    }

    fn is_tls(self) -> bool {
        matches!(self, Self::OursTls | Self::Http1Tls | Self::Http2Tls)
    }
}

/// The running servers, and everything that is needed to start more.
pub(crate) struct Servers {
    options: Options,
    key: String,
    tls: Arc<ClientConfig>,
    running: HashMap<Which, Server>,
    next_port: Cell<u16>,
}

impl Servers {
    /// Starts this service, and requests the answers that the yardsticks give.
    pub(crate) async fn new(options: &Options) -> Result<Self> {
        let key = fs::read_to_string(options.work.join("key"))?.trim().to_owned();
        let tls = certificate(&options.work)?;
        let next_port = Cell::new(PORT);
        let mut servers =
            Self { options: options.clone(), key, tls, running: HashMap::new(), next_port };
        servers.start(Which::Ours).await?;
        let ours = servers.target(Which::Ours)?;
        for entries in SIZES {
            let company = format!("cmp_{entries}");
            let json = fetch(&ours, &list(&ours.key, &company, "")).await?.body;
            let message = fetch_message(&ours, &company).await?;
            println!(
                "{entries} entries: {} bytes of JSON, {} of protobuf",
                json.len(),
                message.len()
            );
            fs::write(servers.file(entries, "json"), json)?;
            fs::write(servers.file(entries, "bin"), message)?;
        }
        Ok(servers)
    }

    /// Whether this machine has the server.
    pub(crate) fn has(options: &Options, which: Which) -> bool {
        match which {
            Which::Nginx => options.nginx.is_some(),
            Which::Fastify => options.fastify.is_some(),
            Which::FastApi => options.fastapi.is_some(),
            _ => true,
        }
    }

    pub(crate) async fn start(&mut self, which: Which) -> Result<()> {
        if self.running.contains_key(&which) {
            return Ok(());
        }
        let server = self.launch(which)?.start()?;
        self.running.insert(which, server);
        if which == Which::OursMany {
            // The measurement is about companies in the cache.
            self.ask_for_all().await?;
        }
        Ok(())
    }

    pub(crate) fn server(&self, which: Which) -> Result<&Server> {
        Ok(self.running.get(&which).ok_or("a server that was not started")?)
    }

    pub(crate) fn target(&self, which: Which) -> Result<Target> {
        let tls = which.is_tls().then(|| self.tls.clone());
        Ok(Target { address: self.server(which)?.address, key: self.key.clone(), tls })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The next free port, in an order that is the same in each run.
    pub(crate) fn next_address(&self) -> Result<SocketAddr> {
        loop {
            let port = self.next_port.replace(self.next_port.get() + 1);
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            match TcpListener::bind(address) {
                Ok(_) => return Ok(address),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends all running servers.
    pub(crate) fn stop(&mut self) {
        self.running.clear();
    }

    async fn ask_for_all(&self) -> Result<()> {
        let target = self.target(Which::OursMany)?;
        for id in many() {
            fetch(&target, &list(&target.key, &id, "")).await?;
        }
        Ok(())
    }

    fn file(&self, entries: u16, extension: &str) -> PathBuf {
        self.options.work.join(format!("list-{entries}.{extension}"))
    }

    fn launch(&self, which: Which) -> Result<Launch> {
        let address = self.next_address()?;
        Ok(match which {
            Which::Ours
            | Which::OursTls
            | Which::OursLogging
            | Which::OursMany
            | Which::OursManySmall => self.ours(which, address)?,
            Which::Http1(entries) => {
                self.yardstick("http1", &self.file(entries, "json"), address)?
            }
            Which::Http1Many => {
                let launch = self.yardstick("http1", &self.file(100, "json"), address)?;
                launch.arguments(&["--copies", &MANY.to_string()])
            }
            Which::Http2(entries) => {
                self.yardstick("http2", &self.file(entries, "json"), address)?
            }
            Which::Frames(entries) => {
                self.yardstick("frames", &self.file(entries, "bin"), address)?
            }
            Which::Tonic(entries) => {
                self.yardstick("tonic", &self.file(entries, "bin"), address)?
            }
            Which::Http1Tls => {
                self.with_tls(self.yardstick("http1", &self.file(100, "json"), address)?)
            }
            Which::Http2Tls => {
                self.with_tls(self.yardstick("http2", &self.file(100, "json"), address)?)
            }
            Which::Nginx => self.nginx(address)?,
            Which::Fastify => {
                let folder = self.options.fastify.as_deref().ok_or("no Fastify")?;
                self.alternative(Launch::new(Path::new("node"), address), &folder.join("server.js"))
            }
            Which::FastApi => {
                let folder = self.options.fastapi.as_deref().ok_or("no FastAPI")?;
                let python = folder.join("venv/bin/python");
                self.alternative(Launch::new(&python, address), &folder.join("server.py"))
            }
        })
    }

    /// The service with its defaults. Only the limit of requests per key is raised, because one key sends all
    /// requests.
    fn ours(&self, which: Which, address: SocketAddr) -> Result<Launch> {
        let data = match which {
            Which::Ours => self.options.work.join("data"),
            Which::OursMany | Which::OursManySmall => self.options.work.join("many"),
            // A data directory has one server.
            _ => copy(&self.options.work.join("data"), &format!("{which:?}"))?,
        };
        let log = if which == Which::OursLogging { "info" } else { "warn" };
        let launch = ours(&self.options.program, &data, address, log);
        Ok(match which {
            Which::OursTls => self.with_tls(launch),
            Which::OursLogging => launch
                .environment("CUSTOMER_SETTINGS_ACCESS_LOG", "true")
                .errors_to(&self.options.work.join("access.log")),
            Which::OursMany => {
                launch.environment("CUSTOMER_SETTINGS_LIMITS_CACHE_BYTES", LARGE_CACHE)
            }
            _ => launch,
        })
    }

    fn yardstick(&self, kind: &str, file: &Path, address: SocketAddr) -> Result<Launch> {
        let launch = Launch::new(&std::env::current_exe()?, address);
        Ok(launch.arguments(&["yardstick", kind]).path("--file", file).listen())
    }

    fn with_tls(&self, launch: Launch) -> Launch {
        let work = &self.options.work;
        launch.path("--tls-cert", &work.join("cert.pem")).path("--tls-key", &work.join("key.pem"))
    }

    /// The servers that people would write instead. They fill a small database of their own from the list.
    fn alternative(&self, launch: Launch, script: &Path) -> Launch {
        let launch = launch.arguments(&[&script.to_string_lossy()]);
        launch
            .listen()
            .path("--file", &self.file(100, "json"))
            .path("--key-file", &self.options.work.join("key"))
            .path("--database", &script.with_extension("db"))
    }

    fn nginx(&self, address: SocketAddr) -> Result<Launch> {
        let folder = self.options.work.join("nginx");
        fs::create_dir_all(&folder)?;
        let config = include_str!("../yardsticks/nginx.conf")
            .replace("LISTEN", &address.to_string())
            .replace("FILE", &self.file(100, "json").to_string_lossy());
        fs::write(folder.join("nginx.conf"), config)?;
        let nginx = self.options.nginx.as_deref().ok_or("no nginx")?;
        let launch = Launch::new(nginx, address);
        Ok(launch.path("-p", &folder).arguments(&["-c", "nginx.conf", "-e", "stderr"]))
    }
}

/// The program on a data directory, with its defaults.
pub(crate) fn plain(program: &Path, data: &Path, address: SocketAddr, log: &str) -> Launch {
    Launch::new(program, address)
        .arguments(&["serve", "--log", log])
        .path("--data-dir", data)
        .listen()
}

/// The same with a higher limit of requests per key, because one key sends all requests.
pub(crate) fn ours(program: &Path, data: &Path, address: SocketAddr, log: &str) -> Launch {
    plain(program, data, address, log)
        .environment("CUSTOMER_SETTINGS_LIMITS_REQUESTS_PER_SECOND", "1000000")
        .environment("CUSTOMER_SETTINGS_LIMITS_REQUESTS_BURST", "1000000")
}

pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The ids of `many`.
pub(crate) fn many() -> Vec<String> {
    crate::generate::ids(MANY as u64).collect()
}

pub(crate) fn many_skewed() -> Companies {
    Companies::skewed(many())
}

/// Copies a data directory to a directory beside it.
fn copy(data: &Path, name: &str) -> Result<PathBuf> {
    let to = data.with_extension(name);
    fs::create_dir_all(&to)?;
    for file in fs::read_dir(data)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(to)
}

/// Makes a certificate that the load generator trusts.
pub(crate) fn certificate(work: &Path) -> Result<Arc<ClientConfig>> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(work.join("cert.pem"), cert.pem())?;
    fs::write(work.join("key.pem"), signing_key.serialize_pem())?;
    trusting(work)
}

/// A client that trusts that certificate.
pub(crate) fn trusting(work: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(work.join("cert.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
