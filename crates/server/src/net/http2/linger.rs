//! Reads on after the last answer of a connection, over HTTP/1.1 too: hyper stops reading when it stops answering.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{
    super::{Shutdown, idle::GRACE},
    wire::Wire,
};

/// How long, and how much, a client may still send after the last answer of its connection.
const LINGER: Duration = Duration::from_secs(2);
const MOST_LINGER_BYTES: u64 = 64 << 20;

/// The server reads this much at once, and then pauses. Without the pause, a client that sends rubbish as fast as it
/// can took nine tenths of a processor.
const LINGER_PIECE_BYTES: usize = 64 << 10;
const LINGER_PAUSE: Duration = Duration::from_millis(1);

/// The most bytes that are read from a client of HTTP/2 that broke the protocol or sent too many frames.
const MOST_BYTES_AFTER_FAULT: u64 = 64 << 10;

/// Reads on for a while after the last answer. If bytes arrive at a closed socket, the kernel resets the connection,
/// and a client that still sends meets the reset before it has read its answer.
pub(in crate::net) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &Wire<S>,
    shutdown: &Shutdown,
) {
    linger_for(wire, MOST_LINGER_BYTES, shutdown).await;
}

/// Reads on for a little after a client's fault in HTTP/2, so that most clients learn of it. Some would send without an
/// end.
pub(in crate::net) async fn linger_after_fault<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &Wire<S>,
    shutdown: &Shutdown,
) {
    linger_for(wire, MOST_BYTES_AFTER_FAULT, shutdown).await;
}

async fn linger_for<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &Wire<S>,
    most_bytes: u64,
    shutdown: &Shutdown,
) {
    let mut wire = wire.clone();
    wire.stop_counting();
    let discard = async {
        wire.shutdown().await?;
        let (mut piece, mut left) = (vec![0; LINGER_PIECE_BYTES], most_bytes);
        while left > 0 {
            let read = wire.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read as u64);
            sleep(LINGER_PAUSE).await;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        _ = timeout(LINGER, Box::pin(discard)) => {}
        () = async { shutdown.draining().await; sleep(GRACE).await } => {}
        () = shutdown.aborted() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn little_is_read_after_a_fault() {
        let (mut client, stream) = duplex(1 << 20);
        let wire = Wire::new(stream, 1);
        client.write_all(&[0; 1 << 20]).await.unwrap();
        linger_after_fault(&wire, &Shutdown::default()).await;
        // The client's bytes fill the space that was read, and no more.
        let more = [0; 2 * LINGER_PIECE_BYTES];
        let written = timeout(Duration::ZERO, client.write(&more)).await.unwrap().unwrap();
        assert_eq!(written as u64, MOST_BYTES_AFTER_FAULT);
    }

    #[tokio::test]
    async fn the_end_of_a_client_that_sent_too_many_frames_is_seen() {
        let (mut client, stream) = duplex(1 << 20);
        let mut wire = Wire::new(stream, 1);
        let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        client.write_all(opening).await.unwrap();
        // PING, ten times as many as are allowed.
        client.write_all(&[0, 0, 0, 6, 0, 0, 0, 0, 0].repeat(10_000)).await.unwrap();
        let mut read = vec![0; 64 << 10];
        wire.read_exact(&mut read).await.unwrap();
        drop(client);
        let shutdown = Shutdown::default();
        let linger = async {
            linger(&wire, &shutdown).await;
            true
        };
        let is_sooner = tokio::select! {
            is_sooner = linger => is_sooner,
            () = sleep(LINGER / 2) => false,
        };
        assert!(is_sooner);
    }
}
