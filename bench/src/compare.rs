//! The rounds and the table: every measured slice has a slice of its yardstick right before it.

use clap::Args;

use crate::{
    Result,
    load::{Ask, Beside, Companies, Protocol, fetch, list, run_requests},
    measure::{Measured, SNAPSHOT_BYTES, measure, median, metric, spread},
    servers::{self, Options, Servers, Which},
    workloads::{self, Workload},
};

/// The requests of each row in the memory table.
const MILLION: usize = 1_000_000;

#[derive(Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    options: Options,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each slice
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only workloads whose names begin with one of these, separated by commas; `memory` is one too
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Leave out nginx, Fastify and FastAPI
    #[arg(long)]
    without_alternatives: bool,
    /// Print the names and stop
    #[arg(long)]
    list: bool,
}

/// The slice of the yardstick, and the slice of the measured server after it.
type Pair = (Measured, Measured);

impl Compare {
    pub(crate) async fn run(self) -> Result<()> {
        if self.list {
            workloads::all("").iter().for_each(|workload| println!("{}", workload.name));
            println!("memory");
            return Ok(());
        }
        let mut servers = Servers::new(&self.options).await?;
        let ours = servers.target(Which::Ours)?;
        let answer = fetch(&ours, &list(&ours.key, "cmp_100", "")).await?;
        let mut chosen = workloads::all(answer.header("etag").ok_or("an answer without an etag")?);
        chosen.retain(|workload| self.is_chosen(workload));
        for workload in &chosen {
            servers.start(workload.yardstick.0).await?;
            servers.start(workload.measured.0).await?;
        }
        let mut measured: Vec<Vec<Pair>> = vec![vec![]; chosen.len()];
        for round in 1..=self.rounds {
            for (workload, pairs) in chosen.iter().zip(&mut measured) {
                let theirs = self.slice(&workload.yardstick, &servers).await?;
                let ours = self.slice(&workload.measured, &servers).await?;
                pairs.push((theirs, ours));
                eprintln!(
                    "round {round}: {}: {:.0} of {:.0} requests/s, {:.1} of {:.1} us CPU",
                    workload.name,
                    ours.requests_per_second,
                    theirs.requests_per_second,
                    ours.cpu_us,
                    theirs.cpu_us
                );
            }
        }
        print_table(&chosen, &measured);
        print_beside(&chosen, &measured);
        servers.stop();
        if self.is_named("memory") {
            self.memory(&mut servers).await?;
        }
        Ok(())
    }

    fn is_named(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
    }

    fn is_chosen(&self, workload: &Workload) -> bool {
        if !self.is_named(&workload.name) || self.without_alternatives && workload.is_alternative()
        {
            return false;
        }
        let has = Servers::has(&self.options, workload.measured.0);
        if !has {
            eprintln!("{} is left out: it cannot be had here", workload.name);
        }
        has
    }

    async fn slice(&self, (which, ask): &(Which, Ask), servers: &Servers) -> Result<Measured> {
        measure(ask, servers.server(*which)?, &servers.target(*which)?, self.seconds).await
    }

    /// Prints the table of memory. Each row has a new server, with the default size of the cache.
    async fn memory(&self, servers: &mut Servers) -> Result<()> {
        println!(
            "\n| memory (VmRSS) | MB at rest | MB after a million requests | of these snapshots |"
        );
        println!("|---|---|---|---|");
        let hot = Ask::new(Protocol::Get, 64, 1);
        let skewed = Ask { companies: servers::many_skewed(), ..hot.clone() };
        let first = Ask { companies: Companies::one(&skewed.companies.ids[0]), ..hot.clone() };
        // A company that is not in the cache costs more. Most of the million requests therefore come after
        // the cache is full.
        let one = ("one company", Which::Ours, vec![(hot, MILLION)]);
        let asks = vec![(skewed, MILLION / 10), (first, MILLION / 10 * 9)];
        let many = ("10,000 companies, skewed", Which::OursManySmall, asks);
        for (title, which, asks) in [one, many] {
            servers.start(which).await?;
            let rest = servers.server(which)?.rss_mb()?;
            let target = servers.target(which)?;
            for (ask, requests) in asks {
                // The server must know the key before many connections send it.
                fetch(&target, &list(&target.key, &ask.companies.ids[0], "")).await?;
                run_requests(&ask, &target, requests).await?;
            }
            let after = servers.server(which)?.rss_mb()?;
            let snapshots = metric(&target, SNAPSHOT_BYTES).await? / f64::from(1 << 20);
            println!("| {title} | {rest:.1} | {after:.1} | {snapshots:.1} |");
            servers.stop();
        }
        Ok(())
    }
}

fn print_table(workloads: &[Workload], measured: &[Vec<Pair>]) {
    if workloads.is_empty() {
        return;
    }
    println!(
        "\n| workload | server | requests/s | of yardstick | median ms | p99 ms | CPU us \
         | yardstick CPU / ours | busy: server, generator | MB |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    for (workload, pairs) in workloads.iter().zip(measured) {
        let ratio = |value: fn(&Pair) -> f64| spread(pairs, value, 2);
        let ours: Vec<Measured> = pairs.iter().map(|(_, ours)| *ours).collect();
        let theirs: Vec<Measured> = pairs.iter().map(|(theirs, _)| *theirs).collect();
        let requests =
            ratio(|(theirs, ours)| ours.requests_per_second / theirs.requests_per_second);
        let cpu = ratio(|(theirs, ours)| theirs.cpu_us / ours.cpu_us);
        print_row(&workload.title, workload.measured.0.name(), &ours, &requests, &cpu);
        let name = match workload.yardstick.0 {
            Which::Ours => "without it",
            yardstick => yardstick.name(),
        };
        print_row("", name, &theirs, "1", "1");
    }
}

fn print_row(title: &str, server: &str, measured: &[Measured], requests: &str, cpu: &str) {
    let cell = |value: fn(&Measured) -> f64, digits| spread(measured, value, digits);
    println!(
        "| {title} | {server} | {} | {requests} | {} | {} | {} | {cpu} | {:.0} %, {:.0} % | {:.0} |",
        cell(|slice| slice.requests_per_second, 0),
        cell(|slice| slice.median_us / 1e3, 2),
        cell(|slice| slice.p99_us / 1e3, 2),
        cell(|slice| slice.cpu_us, 1),
        median(measured, |slice| slice.server * 100.0),
        median(measured, |slice| slice.generator * 100.0),
        median(measured, |slice| slice.rss_mb),
    );
}

/// Prints the load that ran beside the requests, for the workloads with such a load.
fn print_beside(workloads: &[Workload], measured: &[Vec<Pair>]) {
    for (workload, pairs) in workloads.iter().zip(measured) {
        let rate = spread(pairs, |(_, ours)| ours.beside, 0);
        let line = match workload.measured.1.beside {
            Beside::Nothing => continue,
            Beside::Writes => format!("{}: {rate} writes/s", workload.name),
            Beside::Flood(_) => {
                let lookups = spread(pairs, |(_, ours)| ours.lookups, 0);
                format!(
                    "{}: {rate} refused/s; look-ups of keys in the store in a slice: {lookups}",
                    workload.name
                )
            }
        };
        println!("\n{line}");
    }
}
