//! The key, the staff member and the method of a request, as the log and the metrics show them. Only the
//! application can find them out.

use std::sync::{Arc, OnceLock};

use super::record::RouteLabel;

/// Stands in a request's extensions. The application fills it in as soon as it knows something, so that a request that
/// is refused, or ends before its answer, is logged with the facts so far. It holds no secrets.
#[derive(Clone, Debug, Default)]
pub struct Who(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    method: OnceLock<RouteLabel>,
    key: OnceLock<String>,
    staff: OnceLock<String>,
}

impl Who {
    /// Takes note of the method that is asked for.
    pub fn asks_for(&self, method: &RouteLabel) {
        _ = self.0.method.set(method.clone());
    }

    /// Takes note of the key that was sent, whether or not it may be used.
    pub fn shows_key(&self, id: &str) {
        _ = self.0.key.set(id.to_owned());
    }

    /// Takes note of the staff member who acts.
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
