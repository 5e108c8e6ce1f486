//! A server as a process on the first core, and the kernel's figures about it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::Result;

/// Kernel clock ticks per second, as `/proc` counts them on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The interval of the attempts to connect to a starting server, and the longest time for a start: a start
/// with a million companies could need it.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const MOST_LOOKS: u32 = 60_000;

/// The way to start a server.
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// The processors of the server.
    cores: String,
    /// The file for its standard error; without it the benchmark's own.
    errors_to: Option<PathBuf>,
    /// The address that the server is told, or configured, to listen at.
    address: SocketAddr,
}

/// A server that listens. Dropping it ends the server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Launch {
    pub(crate) fn new(program: &Path, address: SocketAddr) -> Self {
        let program = program.to_owned();
        let (arguments, environment, cores) = (vec![], vec![], "0".to_owned());
        Self { program, arguments, environment, cores, errors_to: None, address }
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Adds a flag and a path.
    pub(crate) fn path(mut self, flag: &str, path: &Path) -> Self {
        self.arguments.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
        self
    }

    /// Adds `--listen`, for the servers with that flag.
    pub(crate) fn listen(mut self) -> Self {
        self.arguments.extend(["--listen".to_owned(), self.address.to_string()]);
        self
    }

    pub(crate) fn environment(mut self, variable: &'static str, value: &str) -> Self {
        self.environment.push((variable, value.to_owned()));
        self
    }

    /// Sets the processors, in the form of `taskset`. The default is the first processor.
    pub(crate) fn cores(mut self, cores: &str) -> Self {
        self.cores = cores.to_owned();
        self
    }

    pub(crate) fn errors_to(mut self, file: &Path) -> Self {
        self.errors_to = Some(file.to_owned());
        self
    }

    /// Starts the program and waits until it listens.
    pub(crate) fn start(self) -> Result<Server> {
        let Self { program, arguments, environment, cores, errors_to, address } = self;
        let errors = match errors_to {
            Some(file) => Stdio::from(File::create(file)?),
            None => Stdio::inherit(),
        };
        // `setpriv` and `taskset` replace themselves by the program, so the process is the same. The process
        // does not outlive the benchmark.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", &cores])
            .arg(&program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()?;
        let mut server = Server { address, child };
        for _ in 0..MOST_LOOKS {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{} ended with {status}", program.display()).into());
            }
            sleep(LOOK_EVERY);
        }
        Err(format!("{} does not listen on {address}", program.display()).into())
    }
}

impl Server {
    /// The time that the process has spent on processors.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// The memory of the process.
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        self.status_mb("VmRSS:")
    }

    /// The most memory of the process since the last call.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let peak = self.status_mb("VmHWM:")?;
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        Ok(peak)
    }

    fn status_mb(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb = line
            .and_then(|line| line.split_whitespace().next())
            .ok_or("a name that /proc does not know")?;
        Ok(kb.parse::<f64>()? / 1_024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time that a process, or `self`, has spent on processors.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}
