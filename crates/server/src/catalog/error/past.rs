//! Changes that stand in the way of a write, in errors. Knows no store: others find the changes.

use std::{fmt, sync::Arc};

use super::{Error, MOST_NAMED, few};
use crate::catalog::{
    access::Actor,
    entry::Revision,
    id::{CompanyId, StaffId},
    log::Line,
    preview::Counts,
    text::Name,
};

/// A change that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Past {
    pub revision: Revision,
    pub staff_id: StaffId,
    /// The name that the key had, if one was used: ids say nothing to people.
    pub key_name: Option<Arc<Name>>,
    /// The change in one line.
    pub summary: String,
}

impl Past {
    /// The change of a line, of which `summary` tells.
    pub fn of(line: &Line, summary: String) -> Self {
        let Actor { key_name, staff_id, .. } = line.actor.clone();
        Self { revision: line.revision, staff_id, key_name, summary }
    }
}

/// The change with its author, as the console names authors: `revision 2 by "Ana" (staff_7)`.
impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, staff_id, key_name, .. } = self;
        match key_name {
            Some(name) => write!(f, "revision {revision} by \"{name}\" ({staff_id})"),
            None => write!(f, "revision {revision} by {staff_id}"),
        }
    }
}

/// A plan that is another one than was shown.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct PlanChanged {
    pub company_id: CompanyId,
    /// The first of the other companies of the document whose plans changed too.
    pub others: Vec<CompanyId>,
    /// Whether there is no such company here: its plan was made for other data.
    pub is_absent: bool,
    /// The change that carried out the plan that was shown, if there was one. The changes since are those after it.
    pub carried_out: Option<Past>,
    /// The reason why there is no plan now, if it would be refused. It has no digest and no counts then.
    pub refused: Option<Error>,
    /// The digest of the plan as it is now.
    pub digest: String,
    pub counts: Counts,
    /// The first steps that differ, in words.
    pub steps: Vec<String>,
    /// The places in the document of the first things that are made and have no id there, so that each plan gives them
    /// other ids.
    pub unnamed: Vec<String>,
    /// The changes since the plan was shown, newest first, as far as they are known.
    pub since: Vec<Past>,
}

impl PlanChanged {
    /// Of this company, without anything that is known of its plan.
    pub fn of(company_id: CompanyId) -> Self {
        Self {
            company_id,
            others: vec![],
            is_absent: false,
            carried_out: None,
            refused: None,
            digest: String::new(),
            counts: Counts::default(),
            steps: vec![],
            unnamed: vec![],
            since: vec![],
        }
    }
}

impl fmt::Display for PlanChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { company_id, others, is_absent, carried_out, refused, counts, steps, .. } = self;
        let (since, unnamed) = (&self.since, &self.unnamed);
        match carried_out {
            Some(past) => write!(
                f,
                "the plan for company {company_id} was carried out with {past}, and the company was changed since"
            )?,
            None => {
                write!(f, "the plan for company {company_id} is no longer the one that was shown")?
            }
        }
        if *is_absent {
            f.write_str(": there is no such company here, so the plan was made for other data")?;
        }
        write_past(f, since)?;
        if !steps.is_empty() {
            write!(f, "; now different: {}", few(steps, MOST_NAMED))?;
        }
        if since.is_empty() && !unnamed.is_empty() {
            let unnamed = few(unnamed, MOST_NAMED);
            write!(
                f,
                "; the document has no ids for what is made ({unnamed}), so that each plan gives it others: put in the \
                 ids of the steps that were shown"
            )?;
        }
        match refused {
            Some(error) => write!(f, "; it would be refused ({error})")?,
            None if *counts == Counts::default() => {
                f.write_str("; it would change nothing, as the document leaves open what differs")?;
            }
            None => write!(f, "; it would be {counts}")?,
        }
        if !others.is_empty() {
            write!(f, "; the plans for other companies changed too: {}", few(others, MOST_NAMED))?;
        }
        f.write_str(", and nothing was written: plan again, look at the plan, then apply it")
    }
}

/// Writes the changes, newest first.
pub(super) fn write_past(f: &mut fmt::Formatter<'_>, since: &[Past]) -> fmt::Result {
    for (i, past) in since.iter().enumerate() {
        f.write_str(if i == 0 { ": " } else { ", " })?;
        write!(f, "{past} ({})", past.summary)?;
    }
    Ok(())
}
