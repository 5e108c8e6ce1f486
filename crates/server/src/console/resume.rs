//! The page after a sign-in with a form that waited for it, which says whether the thing was changed meanwhile.

use std::net::IpAddr;

use axum::{body::Body, response::Response};
use http::request::Parts;
use tonic::Status;

use super::{
    Console,
    answer::page,
    entries,
    form::Form,
    here::Here,
    keys, locations,
    routes::{self, Found, Shows},
    view::{Frame, Resume},
    visit::Visit,
};
use crate::status::Page;

impl Console {
    /// Shows the form that was sent to a path. `token` is that of the new session.
    pub(super) async fn resume(
        &self,
        here: &Here,
        parts: &Parts,
        from: IpAddr,
        token: &str,
        (path, kept): (&str, Vec<(String, String)>),
    ) -> Response<Body> {
        let form = Form::of_pairs(kept.clone());
        let below = path.split('?').next().unwrap_or_default();
        let person = self.sessions.look(token, from, true).await.unwrap_or_default();
        let name = person.as_ref().map(|person| person.name.clone()).unwrap_or_default();
        let is_changed = match (routes::find(true, below), person) {
            (Found::Route(route, captures), Some(person)) => {
                let visit = Visit::new(self, here.clone(), person, parts, captures, &form);
                // The form itself tells what cannot be looked up.
                let now = version(&visit, route.shows).await.unwrap_or_default();
                now.is_some_and(|now| now != visit.form.get("etag"))
            }
            _ => false,
        };
        let shown = Resume {
            f: Frame::new(here, self.options.is_demo, "Welcome back"),
            action: format!("{}{path}", here.base),
            kept,
            person: name,
            is_changed,
        };
        page(Page::Shown, &shown)
    }
}

/// The version of the thing that a form is about; none where the form has none.
async fn version(visit: &Visit<'_>, shows: Shows) -> Result<Option<String>, Status> {
    Ok(match shows {
        Shows::SaveEntry | Shows::ArchiveEntry | Shows::RestoreEntry => {
            Some(entries::get(visit).await?.etag)
        }
        Shows::Reorder | Shows::Sort => {
            Some(entries::entries_of(visit, String::new(), false).await?.etag)
        }
        Shows::CompanySettings | Shows::CompanyState => Some(visit.company().await?.etag),
        Shows::Location | Shows::LocationState => Some(locations::get(visit).await?.etag),
        Shows::Key | Shows::RotateKey => Some(keys::get(visit).await?.etag),
        _ => None,
    })
}
