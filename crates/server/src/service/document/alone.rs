//! The contradictions within a document: problems that its plan finds whatever there is.

use super::{DocumentCompany, Problem};
use crate::{
    catalog::{
        access::Task,
        change::{CompanyDraft, LoadOptions, PreparedChange},
        entry::State,
        error::{Error, Violation},
        id::CompanyId,
        plan::{Context, plan},
        time::Timestamp,
    },
    service::new_id,
};
use std::sync::Arc;

/// The reasons of refusals that no stored thing can be the cause of, nor take away.
const ALONE: [&str; 5] = ["DUPLICATE", "NAME_TAKEN", "NO_DEFAULT", "DEFAULT_TWICE", "TOO_MANY"];

impl DocumentCompany {
    /// The problems for which a plan of the company is refused where there is nothing yet, and wherever there is anything.
    /// `lines_before`: by so much the lines of the whole document have higher numbers.
    pub fn contradictions(&self, lines_before: u64) -> Vec<Problem> {
        let any = || CompanyId::parse("id", "new").unwrap_or_else(|_| unreachable!("a literal id"));
        let mut draft = CompanyDraft::clone(&self.draft);
        // An entry with an id and without a state may be archived where it is, and then takes no name from another one.
        let entries = draft.catalogs.iter_mut().flatten().flatten();
        for entry in entries.filter(|entry| entry.id.is_some()) {
            entry.state.get_or_insert(State::Archived);
        }
        let change =
            PreparedChange::Load { document: Arc::new(draft), options: LoadOptions::default() };
        let context = Context {
            actor: &Task::Local.actor(),
            request: None,
            now: Timestamp::from_micros(0),
            new_id: &new_id,
        };
        let Err(Error::Invalid(found)) =
            plan(&self.id.clone().unwrap_or_else(any), None, &change, &context)
        else {
            return vec![];
        };
        let is_sure = |one: &Violation| {
            ALONE.contains(&one.reason) && self.problems.leave_sure(one.reason, &one.field)
        };
        let placed = |one: Violation| {
            let description = self.with_lines(&one.description, lines_before);
            let line = self.line_of(&one.field) + lines_before;
            Problem { line, violation: Violation { description, ..one } }
        };
        found.into_iter().filter(is_sure).map(placed).collect()
    }
}
