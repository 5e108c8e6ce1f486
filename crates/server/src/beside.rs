//! Threads beside those that answer requests. They have a lower priority, so requests come first where both want the same
//! processor.

use std::{
    cell::RefCell,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The niceness of these threads, from 0 (usual) to 19. With 5 a thread gets about a quarter of a processor that is busy
/// with requests, so work beside them still ends.
const NICENESS: i32 = 5;

thread_local! {
    /// Set on these threads alone.
    static IS_UNWANTED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Tells work, when it is dropped, that nobody waits for it any more.
#[derive(Default)]
pub(crate) struct Caller {
    /// Set when nobody waits any more.
    pub(crate) is_gone: Arc<AtomicBool>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }
}

/// Begins work on a thread of its own. Code that the work calls may look at `is_unwanted`, which says that nobody waits
/// for the work any more.
pub(crate) fn begin(
    is_unwanted: Arc<AtomicBool>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let thread = move || {
        lower_priority();
        IS_UNWANTED.set(Some(is_unwanted));
        work();
    };
    thread::Builder::new().name("long-work".into()).spawn(thread)?;
    Ok(())
}

/// Whether nobody waits any more for the work of this thread. `None` on threads of others.
pub(crate) fn is_unwanted() -> Option<Arc<AtomicBool>> {
    IS_UNWANTED.with_borrow(Clone::clone)
}

/// Linux has a priority for each thread. Elsewhere it would be that of the whole program, which stays as it is. A system
/// that forbids the call does so each time, so the log has one line about it.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS)
    {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                %error,
                "long work has the priority of requests, which therefore wait longer beside it: allow the system call \
                 setpriority, for example in the SystemCallFilter of the unit"
            );
        });
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_beside_requests_has_a_lower_priority_and_no_other_has() {
        let own = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let (tell, told) = mpsc::channel();
        let before = own();
        begin(Arc::default(), move || tell.send((own(), is_unwanted().is_some())).unwrap())
            .unwrap();
        assert_eq!(told.recv().unwrap(), (NICENESS.max(before), true));
        assert_eq!((own(), is_unwanted().is_some()), (before, false));
    }

    /// The last line about a system call decides, and `@resources` has this one in it.
    #[test]
    fn the_unit_of_the_package_allows_the_call() {
        let unit = include_str!("../../../packaging/debian/customer-settings.service");
        let mut filters = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
        let decides = |filter: &&str| {
            let calls = filter.trim_start_matches('~').split(' ');
            calls.into_iter().any(|call| ["@resources", "setpriority"].contains(&call))
        };
        assert_eq!(filters.rfind(decides), Some("setpriority"));
    }
}
