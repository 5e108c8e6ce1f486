//! A limit for TLS handshakes: a handshake takes as much processor time as a hundred lists, and any client may ask for
//! one. A handshake that waits for its client holds no place.

use std::{
    future::poll_fn,
    mem::replace,
    pin::pin,
    task::Poll::{Pending, Ready},
    thread::available_parallelism,
};

use tokio::{sync::Semaphore, task::yield_now};

/// The places for work that takes long. Work gives its place back whenever it waits.
pub(super) struct Handshakes(Semaphore);

impl Handshakes {
    /// Half of the processors may do such work at once.
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new((processors / 2).max(1)))
    }

    /// Does the work, in a place of its own for each of its polls.
    pub(super) async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            let place = self.0.acquire().await;
            // Other tasks that can go on go first, so that they and the handshakes alternate.
            yield_now().await;
            let polled = poll_fn(|context| Ready(work.as_mut().poll(context))).await;
            drop(place);
            match polled {
                Ready(done) => return done,
                // The work wakes this task.
                Pending => {
                    let mut was_asked = false;
                    poll_fn(|_| if replace(&mut was_asked, true) { Ready(()) } else { Pending })
                        .await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{join, sync::Notify, time::timeout};

    use super::*;

    #[tokio::test]
    async fn work_that_waits_holds_no_place() {
        let handshakes = Handshakes(Semaphore::new(1));
        let told = Notify::new();
        let both = async {
            join!(handshakes.run(told.notified()), handshakes.run(async { told.notify_one() }));
        };
        tokio::select! {
            () = both => {}
            () = handshakes.run(pending()) => unreachable!("it waits for ever"),
        }
    }

    #[tokio::test]
    async fn others_go_between_two_polls() {
        let handshakes = Handshakes(Semaphore::new(1));
        let (begun, between) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || handshakes.run(async { begun.fetch_add(1, Ordering::Relaxed) });
        let others = async {
            for done in 1..=3 {
                while begun.load(Ordering::Relaxed) < done {
                    between.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            }
        };
        let all = async { join!(work(), work(), work(), others) };
        timeout(Duration::from_secs(10), all).await.unwrap();
        assert!(between.load(Ordering::Relaxed) >= 3);
    }
}
