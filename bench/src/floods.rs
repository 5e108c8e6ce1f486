//! Floods, one after the other, beside an honest client that measures itself.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::Duration,
};

use clap::Args;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::{
    Result,
    process::Server,
    servers::{certificate, free_port, plain, trusting},
};

mod attack;
mod blocking;
mod frames;
mod history;
mod honest;
mod list;

use attack::{Against, run};
use honest::{Honest, Served};
use list::{Flood, all};

/// The limits of a row: the share of its speed that the honest client keeps, its p99 in milliseconds, and the
/// growth of the server's memory.
const LEAST_SHARE: f64 = 0.5;
const MOST_P99_MS: f64 = 50.0;
const MOST_MEMORY: f64 = 1.2;

/// The time for the server to give memory back.
const MOST_REST: Duration = Duration::from_secs(20);

/// Run floods against this service beside an honest client
#[derive(Args)]
pub(crate) struct Floods {
    /// The program under test
    #[arg(long)]
    program: PathBuf,
    /// Where the data and the keys are
    #[arg(long)]
    work: PathBuf,
    /// Seconds of a flood, and of the honest client alone before it
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Floods whose names contain this; may be given more than once
    #[arg(long)]
    only: Vec<String>,
    /// Print their names
    #[arg(long)]
    list: bool,
    /// The processors of the server
    #[arg(long, default_value = "0")]
    cores: String,
    /// The changes of the company that has a history
    #[arg(long, default_value_t = 20_000)]
    changes: u32,
}

/// Flood a server: what `floods` runs beside the honest client
#[derive(Args)]
pub(crate) struct OneFlood {
    name: String,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    work: PathBuf,
    #[arg(long)]
    seconds: f64,
}

struct Row {
    alone: Served,
    beside: Served,
    rounds: f64,
    before_mb: f64,
    peak_mb: f64,
    after_mb: f64,
}

impl Row {
    fn share(&self) -> f64 {
        self.beside.per_second / self.alone.per_second
    }

    fn is_served(&self) -> bool {
        self.share() >= LEAST_SHARE && self.beside.p99_ms <= MOST_P99_MS
    }

    fn is_good(&self) -> bool {
        self.is_served() && self.after_mb <= self.before_mb * MOST_MEMORY
    }
}

impl Floods {
    pub(crate) fn run(self) -> Result<()> {
        let tls = certificate(&self.work)?;
        let floods = floods_of(&self.work, &tls)?;
        let is_wanted = |flood: &&Flood| {
            self.only.is_empty() || self.only.iter().any(|part| flood.name.contains(part))
        };
        let wanted: Vec<&Flood> = floods.iter().filter(is_wanted).collect();
        if self.list {
            wanted.iter().for_each(|flood| println!("{}", flood.name));
            return Ok(());
        }
        history::write(&self.work.join("data"), &self.program, &self.key("key")?, self.changes)?;
        println!(
            "The honest client has four connections with a key each and asks 900 times a second on each, where it is \
             answered in time;\nits share is of what it reaches alone, right before. The server has processor {} to \
             itself; the flood has what the\nhonest client leaves of the other.\n",
            self.cores
        );
        println!(
            "| flood | rounds/s | honest/s alone | beside | share | p99 ms alone | beside | failed | MB before | peak \
             | after | |\n|{}",
            "---|".repeat(12)
        );
        let mut missed = vec![];
        for flood in wanted {
            let mut row = self.measure(flood, &tls)?;
            if !row.is_served() {
                // Another program may have used the processor.
                row = self.measure(flood, &tls)?;
            }
            print(flood.name, &row);
            if !row.is_good() {
                missed.push(flood.name);
            }
        }
        match missed.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "less than half the speed, a p99 over {MOST_P99_MS} ms or memory that stays more than a fifth larger: {}",
                missed.join(", ")
            )
            .into()),
        }
    }

    fn measure(&self, flood: &Flood, tls: &Arc<ClientConfig>) -> Result<Row> {
        let server = self.start(flood)?;
        let keys = (1..=4).map(|number| self.key(&format!("honest-{number}")));
        let tls = flood.is_tls.then(|| tls.clone());
        let honest = Honest { address: server.address, tls, keys: keys.collect::<Result<_>>()? };
        honest.ask(1.0);
        let alone = honest.ask(self.seconds);
        let before_mb = server.rss_mb()?;
        server.peak_mb()?;
        let mut flooding = self.flood(flood, server.address)?;
        let mut told = BufReader::new(flooding.stdout.take().ok_or("no output")?).lines();
        // The flood has begun. It has its full strength when the measurement begins.
        told.next().ok_or("the flood did not begin")??;
        thread::sleep(Duration::from_millis(500));
        let beside = honest.ask(self.seconds);
        let _ = flooding.kill();
        let peak_mb = server.peak_mb()?;
        flooding.wait()?;
        let rounds = told.map_while(Result::ok).last();
        let rounds = rounds.and_then(|line| line.parse().ok()).unwrap_or(f64::NAN);
        let rest = Instant::now();
        let mut after_mb = server.rss_mb()?;
        while after_mb > before_mb * MOST_MEMORY && rest.elapsed() < MOST_REST {
            thread::sleep(Duration::from_millis(500));
            after_mb = server.rss_mb()?;
        }
        Ok(Row { alone, beside, rounds, before_mb, peak_mb, after_mb })
    }

    fn key(&self, name: &str) -> Result<String> {
        key(&self.work, name)
    }

    fn start(&self, flood: &Flood) -> Result<Server> {
        let launch =
            plain(&self.program, &self.work.join("data"), free_port()?, "off").cores(&self.cores);
        let launch = match flood.is_forwarded {
            true => launch.environment("CUSTOMER_SETTINGS_TRUSTED_PROXIES", "127.0.0.1"),
            false => launch,
        };
        let launch = match flood.is_tls {
            true => launch
                .path("--tls-cert", &self.work.join("cert.pem"))
                .path("--tls-key", &self.work.join("key.pem")),
            false => launch,
        };
        launch.start()
    }

    /// Starts a process that floods, at a lower priority than everything else on its processor.
    fn flood(&self, flood: &Flood, address: SocketAddr) -> Result<Child> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nice", "-n", "19"])
            .arg(std::env::current_exe()?)
            .args(["flood", flood.name, "--address", &address.to_string()])
            .args(["--seconds", &(self.seconds + 10.0).to_string(), "--work"])
            .arg(&self.work)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(child)
    }
}

fn key(work: &Path, name: &str) -> Result<String> {
    Ok(fs::read_to_string(work.join(name))?.trim().to_owned())
}

fn floods_of(work: &Path, tls: &Arc<ClientConfig>) -> Result<Vec<Flood>> {
    Ok(all(&key(work, "narrow")?, &key(work, "wide")?, tls))
}

fn print(name: &str, row: &Row) {
    let Row { alone, beside, rounds, before_mb, peak_mb, after_mb } = row;
    println!(
        "| {name} | {rounds:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {before_mb:.0} | {peak_mb:.0} | {after_mb:.0} | {} |",
        alone.per_second,
        beside.per_second,
        row.share(),
        alone.p99_ms,
        beside.p99_ms,
        beside.failed,
        if row.is_good() { "" } else { "missed" },
    );
}

impl OneFlood {
    pub(crate) fn run(self) -> Result<()> {
        let tls = trusting(&self.work)?;
        let floods = floods_of(&self.work, &tls)?;
        let flood =
            floods.into_iter().find(|flood| flood.name == self.name).ok_or("no such flood")?;
        let against = Arc::new(Against { address: self.address, rounds: AtomicU64::new(0) });
        let attack = Arc::new(flood.attack);
        for _ in 0..flood.threads {
            let (attack, against) = (attack.clone(), against.clone());
            thread::spawn(move || run(&attack, &against));
        }
        println!("begun");
        let started = Instant::now();
        while started.elapsed().as_secs_f64() < self.seconds {
            thread::sleep(Duration::from_millis(200));
            let rounds = against.rounds.load(Ordering::Relaxed) as f64;
            println!("{:.1}", rounds / started.elapsed().as_secs_f64());
        }
        std::process::exit(0);
    }
}
