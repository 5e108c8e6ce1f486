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
    /// The name of the key, if it acted for itself: its id, which `staff_id` is then, says nothing to people.
    pub key_name: Option<Arc<Name>>,
    /// The change in one line.
    pub summary: String,
}

impl Past {
    /// The change of a line, of which `summary` tells.
    pub fn of(line: &Line, summary: String) -> Self {
        let Actor { key_id, key_name, staff_id, .. } = &line.actor;
        let is_own = key_id.as_ref().is_some_and(|id| id.as_str() == staff_id.as_str());
        let key_name = key_name.clone().filter(|_| is_own);
        Self { revision: line.revision, staff_id: staff_id.clone(), key_name, summary }
    }
}

/// A plan that is another one than was shown.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct PlanChanged {
    pub company_id: CompanyId,
    /// The first of the other companies of the document whose plans changed too.
    pub others: Vec<CompanyId>,
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

impl fmt::Display for PlanChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { company_id, others, refused, counts, steps, unnamed, since, .. } = self;
        write!(f, "the plan for company {company_id} is no longer the one that was shown")?;
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
        write!(f, "revision {} by ", past.revision)?;
        match &past.key_name {
            Some(name) => write!(f, "\"{name}\" ({})", past.staff_id)?,
            None => write!(f, "{}", past.staff_id)?,
        }
        write!(f, " ({})", past.summary)?;
    }
    Ok(())
}
