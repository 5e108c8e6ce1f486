//! Who a request is from, as the log shows it. Only the application can find that out.

use std::sync::{Arc, OnceLock};

/// In a request's extensions, for the application to fill in as soon as it knows: a request that is refused, or
/// ends before its answer, is logged with what was found by then. No secrets.
#[derive(Clone, Debug, Default)]
pub struct Who(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    key: OnceLock<String>,
    staff: OnceLock<String>,
}

impl Who {
    /// Which key was shown; whether it may be used is another question.
    pub fn shows_key(&self, id: &str) {
        _ = self.0.key.set(id.to_owned());
    }

    /// Which staff member acts.
    pub fn acts_as(&self, staff_id: &str) {
        _ = self.0.staff.set(staff_id.to_owned());
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.0.key.get().map(String::as_str)
    }

    pub(super) fn staff(&self) -> Option<&str> {
        self.0.staff.get().map(String::as_str)
    }
}
