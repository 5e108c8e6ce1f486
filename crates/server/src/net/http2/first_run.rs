//! The first run of a request of HTTP/2: in its connection's turn, so that an answer that needs no waiting costs no
//! task and is sent with the others of that turn.

use std::task::{Context, Waker};

use hyper::rt::Executor;

/// Runs each request of HTTP/2 in its connection's turn, as far as it goes. Only a request that has to wait becomes a
/// task.
#[derive(Clone, Copy)]
pub(in crate::net) struct RunFirst;

impl<F> Executor<F> for RunFirst
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut future = Box::pin(future);
        // A task polls it again, so nobody has to be woken.
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(future);
        }
    }
}
