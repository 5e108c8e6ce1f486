//! Planning a write: a pure function from a company's settings and a change to the rows to write.
//!
//! Every rule about companies and catalogs is kept here, whoever asks for the change.

use super::{
    access::Actor,
    change::Change,
    entry::{Audit, Revision},
    error::{Cause, Error, Result},
    id::CompanyId,
    settings::{Delta, Settings, apply},
    time::Timestamp,
};

mod load;

/// What a store writes: the deltas as rows and as one line of the change log.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The revision that was read; 0 where the company does not exist yet.
    pub base: Revision,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What changes; never empty.
    pub deltas: Vec<Delta>,
    /// The company after the change, at the revision after `base`.
    pub after: Settings,
}

/// What a plan needs from outside.
pub struct Context<'a> {
    /// Who acts.
    pub actor: &'a Actor,
    /// What time it is.
    pub now: Timestamp,
    /// Makes an id that was never used, from a prefix such as `tag`.
    pub new_id: &'a dyn Fn(&str) -> String,
}

/// Plans a change to a company, `None` being one that does not exist yet.
///
/// `Ok(None)` means that the company already is as the change wants it.
pub fn plan(
    company: &CompanyId,
    current: Option<&Settings>,
    change: &Change,
    context: &Context<'_>,
) -> Result<Option<Plan>> {
    let base = current.map_or(Revision(0), |settings| settings.revision);
    let time = Timestamp::after(context.now, current.map(|settings| settings.changed_time));
    let stamp = Stamp { actor: context.actor, time, revision: base.next(), new_id: context.new_id };
    let deltas = match change {
        Change::Load(draft) => load::deltas(company, current, draft, &stamp)?,
    };
    if deltas.is_empty() {
        return Ok(None);
    }
    let after = apply(current.cloned(), stamp.revision, time, &deltas).map_err(|_| {
        Error::Internal(Cause::new("a plan does not apply to what it was made from"))
    })?;
    Ok(Some(Plan { base, time, actor: context.actor.clone(), deltas, after }))
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
