//! Turns at the processor, for what takes long and whoever may ask for: TLS handshakes, which take as long as a hundred
//! lists. Who waits for its client holds no turn.

use std::{
    future::poll_fn,
    mem::replace,
    pin::pin,
    task::Poll::{Pending, Ready},
    thread::available_parallelism,
};

use tokio::{sync::Semaphore, task::yield_now};

/// So many at once, each in a turn that ends when it waits.
pub(super) struct Turns(Semaphore);

impl Turns {
    /// Half of the processors at once.
    pub(super) fn new() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new((processors / 2).max(1)))
    }

    /// Does this, in turns.
    pub(super) async fn take<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            let turn = self.0.acquire().await;
            // Tasks that can go on go first, so that they and handshakes take turns.
            yield_now().await;
            let polled = poll_fn(|context| Ready(work.as_mut().poll(context))).await;
            drop(turn);
            match polled {
                Ready(done) => return done,
                // It wakes this task.
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
    async fn who_waits_holds_no_turn() {
        let turns = Turns(Semaphore::new(1));
        let told = Notify::new();
        let both = async {
            join!(turns.take(told.notified()), turns.take(async { told.notify_one() }));
        };
        tokio::select! {
            () = both => {}
            () = turns.take(pending()) => unreachable!("it waits for ever"),
        }
    }

    #[tokio::test]
    async fn others_go_between_two_turns() {
        let turns = Turns(Semaphore::new(1));
        let (begun, between) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || turns.take(async { begun.fetch_add(1, Ordering::Relaxed) });
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
