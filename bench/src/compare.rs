//! The rounds and the table: every measured slice has a slice of its yardstick right before it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tokio::time::{Instant, sleep};

use crate::{
    Result,
    load::{self, Phase, Protocol, Slice, Workload},
    process::Server,
};

const WARM_UP: Duration = Duration::from_millis(300);

/// First of the three ports.
const PORT: u16 = 19_200;

#[derive(Args)]
pub(crate) struct Compare {
    /// The program under test
    #[arg(long)]
    program: PathBuf,
    /// Where `data` and `key` are
    #[arg(long)]
    work: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each slice
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

const WORKLOADS: [(&str, Workload); 4] = [
    ("HTTP/1.1 GET, 64", Workload { protocol: Protocol::Get, connections: 64, streams: 1 }),
    ("HTTP/1.1 POST, 64", Workload { protocol: Protocol::Post, connections: 64, streams: 1 }),
    ("gRPC, 64 x 1", Workload { protocol: Protocol::Grpc, connections: 64, streams: 1 }),
    ("gRPC, 8 x 8", Workload { protocol: Protocol::Grpc, connections: 8, streams: 8 }),
];

/// What one slice showed.
#[derive(Clone, Copy)]
struct Measured {
    requests_per_second: f64,
    median_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

/// A yardstick's slice and ours.
type Pair = (Measured, Measured);

impl Compare {
    pub(crate) async fn run(self) -> Result<()> {
        let key = fs::read_to_string(self.work.join("key"))?.trim().to_owned();
        let address = |offset| SocketAddr::from(([127, 0, 0, 1], PORT + offset));
        let data = self.work.join("data");
        let arguments = ["serve", "--log", "warn", "--data-dir", &data.to_string_lossy()];
        let ours = Server::start(&self.program, &arguments, address(0))?;
        let rest_mb = ours.rss_mb()?;

        let json = load::fetch_json(ours.address, &key).await?;
        let message = load::fetch_message(ours.address, &key).await?;
        println!("the list: {} bytes of JSON, {} of protobuf", json.len(), message.len());
        let http = self.yardstick("yardstick-http", "list.json", &json, address(1))?;
        let grpc = self.yardstick("yardstick-grpc", "list.bin", &message, address(2))?;

        let mut measured: Vec<Vec<Pair>> = vec![vec![]; WORKLOADS.len()];
        for round in 1..=self.rounds {
            for ((name, workload), pairs) in WORKLOADS.iter().zip(&mut measured) {
                let yardstick = if workload.protocol == Protocol::Grpc { &grpc } else { &http };
                let theirs = self.slice(*workload, yardstick, &key).await?;
                let ours = self.slice(*workload, &ours, &key).await?;
                pairs.push((theirs, ours));
                eprintln!(
                    "round {round}: {name}: {:.0} of {:.0} requests/s, {:.1} of {:.1} us CPU",
                    ours.requests_per_second,
                    theirs.requests_per_second,
                    ours.cpu_us,
                    theirs.cpu_us
                );
            }
        }
        print_table(&measured);
        println!("\nmemory: {rest_mb:.1} MB at rest, {:.1} MB after the rounds", ours.rss_mb()?);
        Ok(())
    }

    fn yardstick(
        &self,
        command: &str,
        name: &str,
        bytes: &[u8],
        address: SocketAddr,
    ) -> Result<Server> {
        let file = self.work.join(name);
        fs::write(&file, bytes)?;
        let program = std::env::current_exe()?;
        Server::start(Path::new(&program), &[command, "--file", &file.to_string_lossy()], address)
    }

    async fn slice(&self, workload: Workload, server: &Server, key: &str) -> Result<Measured> {
        let slice = Slice::new(Phase::WarmUp);
        let mut seconds = 0.0;
        let mut cpu_seconds = 0.0;
        let director = async {
            sleep(WARM_UP).await;
            let (cpu_before, started) = (server.cpu_seconds()?, Instant::now());
            slice.phase.set(Phase::Measuring);
            sleep(Duration::from_secs_f64(self.seconds)).await;
            slice.phase.set(Phase::Over);
            seconds = started.elapsed().as_secs_f64();
            cpu_seconds = server.cpu_seconds()? - cpu_before;
            Ok(())
        };
        load::run(workload, server.address, key, slice.clone(), director).await?;
        let mut latencies = slice.latencies.take();
        latencies.sort_unstable();
        let requests = latencies.len();
        let at =
            |hundredths: usize| latencies.get(requests * hundredths / 100).map_or(f64::NAN, micros);
        Ok(Measured {
            requests_per_second: requests as f64 / seconds,
            median_us: at(50),
            p99_us: at(99),
            cpu_us: cpu_seconds * 1e6 / requests as f64,
        })
    }
}

fn micros(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn print_table(measured: &[Vec<Pair>]) {
    println!(
        "\n| workload | requests/s | of yardstick | median ms | p99 ms | CPU us | yardstick CPU / ours |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ((name, workload), pairs) in WORKLOADS.iter().zip(measured) {
        let row = |value: fn(&Pair) -> f64, digits: usize| spread(pairs, value, digits);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            row(|(_, ours)| ours.requests_per_second, 0),
            row(|(theirs, ours)| ours.requests_per_second / theirs.requests_per_second, 2),
            row(|(_, ours)| ours.median_us / 1e3, 2),
            row(|(_, ours)| ours.p99_us / 1e3, 2),
            row(|(_, ours)| ours.cpu_us, 1),
            row(|(theirs, ours)| theirs.cpu_us / ours.cpu_us, 2),
        );
        let yardstick =
            if workload.protocol == Protocol::Grpc { "bare tonic" } else { "bare hyper" };
        println!(
            "| {yardstick} | {} | 1 | {} | {} | {} | 1 |",
            row(|(theirs, _)| theirs.requests_per_second, 0),
            row(|(theirs, _)| theirs.median_us / 1e3, 2),
            row(|(theirs, _)| theirs.p99_us / 1e3, 2),
            row(|(theirs, _)| theirs.cpu_us, 1),
        );
    }
}

/// The median of the rounds, and the lowest and highest of them.
fn spread(pairs: &[Pair], value: fn(&Pair) -> f64, digits: usize) -> String {
    let mut values: Vec<f64> = pairs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(low), Some(median), Some(high)) => {
            format!("{median:.digits$} ({low:.digits$}..{high:.digits$})")
        }
        _ => "-".to_owned(),
    }
}
