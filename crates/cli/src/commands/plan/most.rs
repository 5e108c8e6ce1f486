//! The most companies of a request: fewer where a request took too long.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{output::note, target::Refused};

/// The number, which all requests of a command share.
#[derive(Clone)]
pub(super) struct Most(Arc<AtomicUsize>);

impl Default for Most {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }
}

impl Most {
    /// As many of these as one request may have.
    pub(super) fn of(&self, companies: usize) -> usize {
        companies.min(self.0.load(Relaxed))
    }

    /// Halves the number if the service had too little time for a request with so many companies. A company alone is not
    /// divided.
    pub(super) fn shrinks(&self, companies: usize, refused: &Refused) -> bool {
        if companies < 2 || refused.error["reason"] != "DEADLINE_EXCEEDED" {
            return false;
        }
        let half = companies / 2;
        // Another request may have found that before.
        if self.0.fetch_min(half, Relaxed) > half {
            note(format!(
                "note: {companies} companies in one request take too long: going on with {half}"
            ));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::failure;

    #[test]
    fn companies_are_halved_down_to_one_where_there_was_too_little_time() {
        let refused = |reason| Refused { failure: failure("no"), error: json!({"reason": reason}) };
        let late = refused("DEADLINE_EXCEEDED");
        let most = Most::default();
        assert_eq!(most.of(200), 200);
        assert!(most.shrinks(200, &late));
        assert_eq!((most.of(200), most.of(7)), (100, 7));
        // A request that was on its way with as many.
        assert!(most.clone().shrinks(200, &late));
        assert_eq!(most.of(200), 100);
        assert!(most.shrinks(3, &late));
        assert_eq!(most.of(200), 1);
        assert!(!most.shrinks(1, &late));
        assert!(!Most::default().shrinks(200, &refused("PLAN_CHANGED")));
        // An answer that never came says nothing about the number.
        assert!(!Most::default().shrinks(200, &Refused::from(failure("did not answer in time"))));
    }
}
