//! A server as a process on the first core, and what the kernel says of it.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::Result;

/// Kernel clock ticks per second, as `/proc` counts them on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a server may take to listen, in tenths of a second.
const MOST_TENTHS: u32 = 100;

/// A server that listens; it ends with this.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts `program` and waits until it listens.
    pub(crate) fn start(program: &Path, arguments: &[&str], address: SocketAddr) -> Result<Self> {
        if TcpStream::connect(address).is_ok() {
            return Err(format!("{address} is taken").into());
        }
        // taskset becomes the program, so the process is the same.
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(arguments)
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { address, child };
        for _ in 0..MOST_TENTHS {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(100));
        }
        Err(format!("{} does not listen on {address}", program.display()).into())
    }

    /// The time that it has spent on processors.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    /// The memory that it holds.
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kb.parse::<f64>()? / 1_024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
