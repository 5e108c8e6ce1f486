//! The company with a long history: its changes are made over HTTP.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use super::{
    blocking::{Buffer, connect},
    list::WRITTEN,
};
use crate::{
    Result,
    load::with_body,
    servers::{free_port, ours},
};

/// Writers that write at the same time share the syncs of the disk.
const WRITERS: usize = 16;

pub(super) fn write(data: &Path, program: &Path, key: &str, changes: u32) -> Result<()> {
    let server = ours(program, data, free_port()?, "warn").cores("0,1").start()?;
    let next = AtomicU32::new(0);
    let writer = || -> Result<()> {
        let mut stream = connect(server.address, None)?;
        let mut buffer = Buffer::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= changes {
                return Ok(());
            }
            let path = format!("{WRITTEN}/customer_tags/tag_{:04}", 1 + number % 100);
            let body = format!("{{\"name\": \"Changed tag {number}\"}}");
            stream.write_all(&with_body("PATCH", key, &path, &body))?;
            match buffer.read_answer(&mut *stream)? {
                200 => {}
                status => return Err(format!("a change was answered {status}").into()),
            }
        }
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })
}
