//! How cost grows with companies, with entries, and with connections. The points are measured one after the
//! other, each with a slice of bare hyper right before it.

use std::{fs, path::Path, process::Command};

use clap::Args;
use tokio::time::Instant;

use crate::{
    Result,
    generate::{self, generate},
    load::{Ask, Companies, Protocol, Target, fetch, list, run_requests},
    measure::{Measured, SNAPSHOT_BYTES, measure, median, metric, quantiles},
    process::Server,
    servers::{self, Options, Servers, Which},
};

const COMPANIES: [u64; 4] = [1, 1_000, 100_000, 1_000_000];
const ENTRIES: [u16; 3] = [10, 100, 1_000];
/// The number of companies while entries or connections grow.
const SOME: u64 = 1_000;
const CONNECTIONS: [usize; 4] = [1, 64, 1_024, 4_000];

/// Cold companies, requested one after the other.
const COLD: u64 = 20_000;
/// A prime number: its multiples reach every company once before they reach any company twice.
const STRIDE: u64 = 7_919;

/// Bytes on disk, including the entry's part of the log and of the indexes.
const BYTES_PER_ENTRY: u64 = 550;

/// The number of starts for the measured time of a start.
const STARTS: usize = 3;

#[derive(Args)]
pub(crate) struct Growth {
    #[command(flatten)]
    options: Options,
    /// The most companies; a million take 53 GB while this runs
    #[arg(long, default_value_t = 1_000_000)]
    companies: u64,
    /// The most connections; each needs a file descriptor here and one in the server
    #[arg(long, default_value_t = 4_000)]
    connections: usize,
    /// Seconds of each slice
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Growth {
    pub(crate) async fn run(self) -> Result<()> {
        let mut servers = Servers::new(&self.options).await?;
        println!(
            "\n| companies | entries | database MB | start ms | hot requests/s | of bare hyper | CPU us \
            | bare hyper's CPU / ours | cold median ms | p99 ms | MB at rest | MB after cold loads | of these snapshots |"
        );
        println!("|{}", "---|".repeat(13));
        for entries in ENTRIES.into_iter().filter(|entries| *entries != 100) {
            self.point(&mut servers, SOME, entries).await?;
        }
        let mut reached = 0;
        for companies in COMPANIES.map(|companies| companies.min(self.companies)) {
            if companies > reached {
                self.point(&mut servers, companies, 100).await?;
            }
            reached = companies;
        }
        self.connections(&mut servers).await
    }

    /// Prints a row of the first table.
    async fn point(&self, servers: &mut Servers, companies: u64, entries: u16) -> Result<()> {
        let data = self.options.work.join(format!("growth-{entries}"));
        let first = generate::id(1);
        check_space(&data, companies * u64::from(entries))?;
        generate(&data, companies)?;
        let mb = fs::metadata(data.join("customer-settings.db"))?.len() as f64 / f64::from(1 << 20);
        // The first start after that brings the file into its normal form.
        let (_, _) = self.start(servers, &data, &first).await?;
        let mut starts = vec![];
        for _ in 0..STARTS {
            starts.push(self.start(servers, &data, &first).await?.0);
        }
        let (_, server) = self.start(servers, &data, &first).await?;
        let rest = server.rss_mb()?;
        let target = target(servers, &server)?;
        let mut ask = Ask::new(Protocol::Get, 64, 1);
        ask.companies = Companies::one(&first);
        let (theirs, ours) = self.pair(servers, &ask, (&server, &target), entries).await?;

        let cold = COLD.min(companies);
        let ids = (0..cold).map(|i| generate::id(1 + i * STRIDE % companies));
        let ask = Ask { connections: 1, companies: Companies::in_turn(ids.collect()), ..ask };
        let latencies = run_requests(&ask, &target, usize::try_from(cold)?).await?;
        let (cold_median, cold_p99) = match companies {
            // The single company is in memory, so there is no cold request.
            1 => (f64::NAN, f64::NAN),
            _ => quantiles(latencies),
        };
        let row = format!(
            "| {companies} | {entries} | {mb:.0} | {:.0} | {:.0} | \
             {:.2} | {:.1} | {:.2} | {:.2} | {:.2} \
             | {rest:.1} | {:.1} | {:.1} |",
            median(&starts, |start| *start),
            ours.requests_per_second,
            ours.requests_per_second / theirs.requests_per_second,
            ours.cpu_us,
            theirs.cpu_us / ours.cpu_us,
            cold_median / 1e3,
            cold_p99 / 1e3,
            server.rss_mb()?,
            metric(&target, SNAPSHOT_BYTES).await? / f64::from(1 << 20),
        );
        println!("{}", row.replace("NaN", "-"));
        Ok(())
    }

    /// Starts the server. Gives the milliseconds from the start to the first answer, and the server.
    async fn start(&self, servers: &Servers, data: &Path, company: &str) -> Result<(f64, Server)> {
        let launch = servers::ours(&self.options.program, data, servers.next_address()?, "warn");
        let started = Instant::now();
        let server = launch.start()?;
        let target = target(servers, &server)?;
        fetch(&target, &list(&target.key, company, "")).await?;
        Ok((started.elapsed().as_secs_f64() * 1e3, server))
    }

    /// A slice of bare hyper, and a slice of a server.
    async fn pair(
        &self,
        servers: &mut Servers,
        ask: &Ask,
        (server, target): (&Server, &Target),
        entries: u16,
    ) -> Result<(Measured, Measured)> {
        let hyper = Which::Http1(entries);
        servers.start(hyper).await?;
        let (yardstick, its_target) = (servers.server(hyper)?, servers.target(hyper)?);
        let theirs = measure(ask, yardstick, &its_target, self.seconds).await?;
        Ok((theirs, measure(ask, server, target, self.seconds).await?))
    }

    /// Prints the second table.
    async fn connections(&self, servers: &mut Servers) -> Result<()> {
        println!(
            "\n| connections | requests/s | of bare hyper | p99 ms | bare hyper's p99 ms | CPU us | bare hyper's CPU / ours \
             | MB | bare hyper's MB |\n|{}",
            "---|".repeat(9)
        );
        let data = self.options.work.join("data");
        servers.stop();
        let (_, server) = self.start(servers, &data, "cmp_100").await?;
        let target = target(servers, &server)?;
        for connections in CONNECTIONS.into_iter().filter(|more| *more <= self.connections) {
            let ask = Ask::new(Protocol::Get, connections, 1);
            let (theirs, ours) = self.pair(servers, &ask, (&server, &target), 100).await?;
            println!(
                "| {connections} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} |",
                ours.requests_per_second,
                ours.requests_per_second / theirs.requests_per_second,
                ours.p99_us / 1e3,
                theirs.p99_us / 1e3,
                ours.cpu_us,
                theirs.cpu_us / ours.cpu_us,
                ours.rss_mb,
                theirs.rss_mb,
            );
        }
        Ok(())
    }
}

fn target(servers: &Servers, server: &Server) -> Result<Target> {
    Ok(Target { address: server.address, key: servers.key().to_owned(), tls: None })
}

/// Refuses to begin if the disk lacks room.
fn check_space(data: &Path, entries: u64) -> Result<()> {
    let df = Command::new("df").args(["--output=avail", "--block-size=1"]).arg(data).output()?;
    let text = String::from_utf8(df.stdout)?;
    let free: u64 = text.split_whitespace().last().ok_or("df says nothing")?.parse()?;
    let needed = entries * BYTES_PER_ENTRY;
    if free < needed {
        let (gb, has) = (needed >> 30, free >> 30);
        return Err(format!("this needs {gb} GB and there are {has}: give --companies").into());
    }
    Ok(())
}
