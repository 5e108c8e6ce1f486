//! Planning a write: a pure function from a company's settings and a change to the rows to write.
//!
//! Every rule about companies and catalogs is kept here, whoever asks for the change.

use super::{
    access::Actor,
    change::Change,
    entry::{Audit, Revision},
    error::{Cause, Error, Kind, Result},
    etag::Etag,
    id::CompanyId,
    log::Request,
    replay::apply,
    settings::{Delta, Settings, Subject},
    time::Timestamp,
};

mod back;
mod draft;
mod load;
mod steps;
#[cfg(test)]
mod work;

/// What a store writes: the deltas as rows and as one line of the change log.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The revision that was read; 0 where the company does not exist yet.
    pub base: Revision,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The request, where it has an id.
    pub request: Option<Request>,
    /// What each step of the request is about; empty for loads, undos and roll backs.
    pub subjects: Vec<Subject>,
    /// What changes; empty if the company already is as it shall be.
    pub deltas: Vec<Delta>,
    /// The company after the change, at the revision after `base`; without deltas as it was.
    pub after: Settings,
}

/// What a plan needs from outside.
pub struct Context<'a> {
    /// Who acts.
    pub actor: &'a Actor,
    /// The request, where it has an id.
    pub request: Option<&'a Request>,
    /// What time it is.
    pub now: Timestamp,
    /// Makes an id that was never used, from a prefix such as `tag`.
    pub new_id: &'a dyn Fn(&str) -> String,
}

/// Plans a change to a company, `None` being one that does not exist yet.
///
/// A plan without deltas means that the company already is as the change wants it.
pub fn plan(
    company: &CompanyId,
    current: Option<&Settings>,
    change: &Change,
    context: &Context<'_>,
) -> Result<Plan> {
    let base = current.map_or(Revision(0), |settings| settings.revision);
    let time = Timestamp::after(context.now, current.map(|settings| settings.changed_time));
    let stamp = Stamp { actor: context.actor, time, revision: base.next(), new_id: context.new_id };
    let absent = || Error::NotFound { kind: Kind::Company, id: company.to_string() };
    let (deltas, subjects) = match change {
        Change::Load(draft) => (load::deltas(company, current, draft, &stamp)?, Vec::new()),
        Change::Steps { etag, steps, is_batch } => {
            expect_settings(etag.as_ref(), current)?;
            steps::planned(company, current, steps, *is_batch, &stamp)?
        }
        Change::Undo { etag, revision, deltas } => {
            let current = expect_settings(etag.as_ref(), current)?.ok_or_else(absent)?;
            (back::undone(current, *revision, deltas, &stamp)?, Vec::new())
        }
        Change::RollBack { etag, target } => {
            let current = expect_settings(etag.as_ref(), current)?.ok_or_else(absent)?;
            (back::rolled_back(current, target, &stamp)?, Vec::new())
        }
    };
    let does_not_apply =
        || Error::Internal(Cause::new("a plan does not apply to what it was made from"));
    let after = if deltas.is_empty() {
        current.cloned().ok_or_else(does_not_apply)?
    } else {
        apply(current.cloned(), stamp.revision, time, &deltas).map_err(|_| does_not_apply())?
    };
    let request = context.request.cloned();
    Ok(Plan { base, time, actor: context.actor.clone(), request, subjects, deltas, after })
}

/// The company, if it is what the caller has seen of it as a whole.
fn expect_settings<'a>(
    etag: Option<&Etag>,
    current: Option<&'a Settings>,
) -> Result<Option<&'a Settings>> {
    if let (Some(current), Some(etag)) = (current, etag) {
        steps::expect(Some(etag), &current.etag(), || "the company's settings".to_owned())?;
    }
    Ok(current)
}

/// What every row of one change is stamped with.
struct Stamp<'a> {
    actor: &'a Actor,
    time: Timestamp,
    revision: Revision,
    new_id: &'a dyn Fn(&str) -> String,
}

impl Stamp<'_> {
    fn created(&self) -> Audit {
        Audit {
            created_by: self.actor.staff_id.clone(),
            created_time: self.time,
            last_updated_by: self.actor.staff_id.clone(),
            last_updated_time: self.time,
            revision: self.revision,
        }
    }

    fn updated(&self, before: &Audit) -> Audit {
        Audit {
            last_updated_by: self.actor.staff_id.clone(),
            last_updated_time: self.time,
            revision: self.revision,
            ..before.clone()
        }
    }
}
