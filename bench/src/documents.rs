//! Documents on the command line: the time of plans and their application beside the reads and the writes that they
//! need, and the memory of a plan of many companies.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use clap::Args;
use tokio::time::Instant;

use crate::{Result, measure::median, process::Launch};

/// The interval of looks at the memory of a command.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Companies of the smaller plan whose memory is measured.
const FEW: u32 = 1_000;
/// Entries of a company where memory is measured.
const FEW_ENTRIES: u32 = 10;

#[derive(Args)]
pub(crate) struct Documents {
    /// The program
    #[arg(long)]
    program: PathBuf,
    /// A directory for documents and data
    #[arg(long)]
    work: PathBuf,
    /// Companies of the document whose times are measured
    #[arg(long, default_value_t = 1_000)]
    companies: u32,
    /// Entries of each of these
    #[arg(long, default_value_t = 100)]
    entries: u32,
    /// Companies of the larger document whose plan's memory is measured
    #[arg(long, default_value_t = 100_000)]
    many: u32,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// The time and the most memory of a command.
struct Run {
    seconds: f64,
    peak_mb: f64,
}

/// The seconds of each command in one round.
struct Round {
    load: f64,
    apply: f64,
    apply_plan: f64,
    export: f64,
    plan: f64,
}

impl Documents {
    pub(crate) fn run(self) -> Result<()> {
        let document = self.work.join("document.yaml");
        write_document(&document, self.companies, self.entries)?;
        let rounds = (0..self.rounds).map(|_| self.round(&document)).collect::<Result<Vec<_>>>()?;
        let of = |value: fn(&Round) -> f64| median(&rounds, value);
        println!("\n{} companies with {} entries each\n", self.companies, self.entries);
        println!("| command | s | ratio | of |\n|---|---|---|---|");
        let (load, export) = (of(|one| one.load), of(|one| one.export));
        println!("| load | {load:.2} | 1.00 | itself |");
        for (name, value) in [
            ("apply --yes", of(|one| one.apply)),
            ("apply of a plan's file", of(|one| one.apply_plan)),
        ] {
            println!("| {name} | {value:.2} | {:.2} | its speed by that of load |", load / value);
        }
        println!("| export | {export:.2} | 1.00 | itself |");
        let plan = of(|one| one.plan);
        println!("| plan | {plan:.2} | {:.2} | its time by that of export |", plan / export);
        self.memory()
    }

    fn round(&self, document: &Path) -> Result<Round> {
        let empty = |name: &str| -> Result<PathBuf> {
            let directory = self.work.join(name);
            _ = fs::remove_dir_all(&directory);
            fs::create_dir_all(&directory)?;
            Ok(directory)
        };
        let (loaded, applied, planned) = (empty("loaded")?, empty("applied")?, empty("planned")?);
        // The commands open what another one has made.
        let nothing = self.work.join("nothing.yaml");
        fs::write(&nothing, "companies: []\n")?;
        let plan = self.work.join("document.plan");
        let here = |directory: &Path, words: &[&str], files: &[&Path]| -> Result<f64> {
            let mut command = Command::new(&self.program);
            command.args(words).args(files).arg("--data-dir").arg(directory);
            Ok(watched(&mut command)?.seconds)
        };
        for directory in [&loaded, &applied, &planned] {
            here(directory, &["load"], &[&nothing])?;
        }
        let load = here(&loaded, &["load"], &[document])?;
        let apply = here(&applied, &["apply", "--yes"], &[document])?;
        here(&planned, &["plan", "--out"], &[&plan, document])?;
        let apply_plan = here(&planned, &["apply", "--yes"], &[&plan])?;
        let export = here(&loaded, &["export"], &[])?;
        let plan = here(&loaded, &["plan"], &[document])?;
        Ok(Round { load, apply, apply_plan, export, plan })
    }

    /// The memory of a plan for a server, which has none of the companies.
    fn memory(&self) -> Result<()> {
        let (data, key) = (self.work.join("server"), self.work.join("server-key"));
        fs::create_dir_all(&data)?;
        let mut create = Command::new(&self.program);
        create.args(["key", "create", "--name", "bench", "--scope", "*", "--out"]).arg(&key);
        watched(create.arg("--data-dir").arg(&data))?;
        let address = ([127, 0, 0, 1], 19_199).into();
        let launch = Launch::new(&self.program, address).arguments(&["serve"]).listen();
        let server = launch.path("--data-dir", &data).start()?;
        println!(
            "\n| companies in a plan | s | MB of the command | MB of the server |\n|---|---|---|---|"
        );
        for companies in [FEW, self.many] {
            let document = self.work.join("many.yaml");
            write_document(&document, companies, FEW_ENTRIES)?;
            let mut plan = Command::new(&self.program);
            plan.arg("plan").arg(&document).arg("--server").arg(format!("http://{address}"));
            let run = watched(plan.arg("--key-file").arg(&key))?;
            let (mb, seconds, served) = (run.peak_mb, run.seconds, server.peak_mb()?);
            println!("| {companies} | {seconds:.1} | {mb:.0} | {served:.0} |");
        }
        Ok(())
    }
}

/// Runs a command to its end, which must be good.
fn watched(command: &mut Command) -> Result<Run> {
    let started = Instant::now();
    // Notes would fill the screen; errors are shown.
    let mut child = command.arg("--quiet").stdout(Stdio::null()).spawn()?;
    let mut peak_mb: f64 = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_mb = peak_mb.max(peak(child.id()).unwrap_or_default());
        sleep(LOOK_EVERY);
    };
    match status.success() {
        true => Ok(Run { seconds: started.elapsed().as_secs_f64(), peak_mb }),
        false => Err(format!("{command:?} ended with {status}").into()),
    }
}

fn peak(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kb / 1_024.0)
}

fn write_document(path: &Path, companies: u32, entries: u32) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "companies:")?;
    for company in 0..companies {
        writeln!(file, "- id: cmp_{company:06}\n  name: Company {company}\n  country: US")?;
        writeln!(file, "  customer_tags:")?;
        for entry in 0..entries {
            writeln!(file, "  - id: tag_{entry:04}\n    name: Customer tag {entry}")?;
        }
    }
    Ok(file.flush()?)
}
