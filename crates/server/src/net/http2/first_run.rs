//! Polls a request of HTTP/2 for the first time within the poll of its connection. So an answer that needs no waiting
//! costs no task, and is sent together with the other answers of that poll.

use std::task::{Context, Waker};

use hyper::rt::Executor;

/// Polls each request of HTTP/2 once, in place. Only a request that has to wait becomes a task.
#[derive(Clone, Copy)]
pub(in crate::net) struct RunFirst;

impl<F> Executor<F> for RunFirst
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut future = Box::pin(future);
        // The new task polls the future again, so this poll needs no waker.
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(future);
        }
    }
}
