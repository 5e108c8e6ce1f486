//! The way to tell a server to stop, and the signals that do it.

use std::{io, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Tls;

/// Tells servers to stop: first after the open requests, then at once.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    /// A server with this serves on until somebody calls [`Self::drain`] or [`Self::abort`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Has servers accept no new connections and finish the open requests.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Has servers end everything now.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Waits until the servers are to drain.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until the servers are to end at once.
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }

    pub(super) fn abort_on_drop(&self) -> DropGuard {
        self.abort.clone().drop_guard()
    }

    pub(super) fn drain_token(&self) -> CancellationToken {
        self.drain.clone()
    }
}

/// Drains at the first SIGTERM or SIGINT, and aborts at the second.
pub fn stop_on_signals(shutdown: Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                tracing::warn!("second signal: stopping at once");
                shutdown.abort();
            } else {
                tracing::info!("stopping: requests in flight are finished first");
                shutdown.drain();
            }
        }
    });
    Ok(())
}

/// Reads the certificate and its key again at every SIGHUP. Without TLS the signal does nothing: by default
/// it would end the program.
pub fn reload_on_signal(tls: Option<Arc<Tls>>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match tls.as_ref().map(|tls| tls.reload()) {
                Some(Ok(())) => tracing::info!("the TLS certificate was read again"),
                Some(Err(error)) => tracing::error!("the TLS certificate stays as it was: {error}"),
                None => {}
            }
        }
    });
    Ok(())
}
