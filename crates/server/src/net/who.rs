//! Who a request is from and which method it asks for, as the log and the metrics show it. Only the application
//! can find that out.

use std::sync::{Arc, OnceLock};

use super::record::RouteLabel;

/// In a request's extensions, for the application to fill in as soon as it knows: a request that is refused, or
/// ends before its answer, is logged with what was found by then. No secrets.
#[derive(Clone, Debug, Default)]
pub struct Who(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    method: OnceLock<RouteLabel>,
    key: OnceLock<String>,
    staff: OnceLock<String>,
}

impl Who {
    /// Which method is asked for.
    pub fn asks_for(&self, method: &RouteLabel) {
        _ = self.0.method.set(method.clone());
    }

    /// Which key was shown; whether it may be used is another question.
    pub fn shows_key(&self, id: &str) {
        _ = self.0.key.set(id.to_owned());
    }

    /// Which staff member acts.
    pub fn acts_as(&self, staff_id: &str) {
        _ = self.0.staff.set(staff_id.to_owned());
    }

    pub(super) fn method(&self) -> Option<&RouteLabel> {
        self.0.method.get()
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.0.key.get().map(String::as_str)
    }

    pub(super) fn staff(&self) -> Option<&str> {
        self.0.staff.get().map(String::as_str)
    }
}
