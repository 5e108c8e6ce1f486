//! The figures of Linux about this process, under the names that every Prometheus client uses. Written by hand, because
//! the libraries for it include a reader of all of `/proc`, and show seconds of CPU as a gauge.

use std::{fmt::Write, fs};

/// Kernel clock ticks per second, as `/proc` counts them on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The fields of `/proc/self/stat` after the name. The name stands in parentheses and may hold any character.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const THREADS: usize = 17;
const START_TICKS: usize = 19;
const VIRTUAL_BYTES: usize = 20;

/// The metrics' text. Values that cannot be read are left out.
pub(super) fn text() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (stat, status, limits) =
        (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
    let fields: Vec<f64> = match stat.rsplit_once(')') {
        Some((_, fields)) => {
            fields.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
        }
        None => Vec::new(),
    };
    let field = |place: usize| fields.get(place).copied();
    let cpu = field(USER_TICKS)
        .zip(field(SYSTEM_TICKS))
        .map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    let started = value(&read("/proc/stat"), "btime")
        .zip(field(START_TICKS))
        .map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND);
    let resident = value(&status, "VmRSS:").map(|kib| kib * 1_024.0);
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("process_cpu_seconds_total", "counter", "User and system CPU time spent", cpu),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process started, since the epoch",
            started,
        ),
        ("process_resident_memory_bytes", "gauge", "Memory that the process holds", resident),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Address space that the process has",
            field(VIRTUAL_BYTES),
        ),
        ("process_threads", "gauge", "Threads of the process", field(THREADS)),
        ("process_open_fds", "gauge", "File descriptors that are open", open),
        ("process_max_fds", "gauge", "File descriptors that may be open", max_fds_in(&limits)),
    ] {
        if let Some(value) = value {
            _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
    text
}

/// The most file descriptors that the process may have (`ulimit -n`); infinite if there is no limit.
pub fn max_fds() -> Option<f64> {
    max_fds_in(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn max_fds_in(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        soft => soft.parse().ok(),
    }
}

/// The number behind a line's first word.
fn value(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_whitespace().next()?.parse().ok()
}
