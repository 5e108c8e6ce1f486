//! The changes since the plan of a document was shown: those that made another plan of it, and those of what it had made
//! when it was carried out.

use std::{collections::HashSet, sync::Arc};

use tokio::task::yield_now;

use super::{MAX_SEARCHED, MOST_HASHED, hashed_rows, past};
use crate::{
    catalog::{
        access::Grant,
        change::{CompanyDraft, LoadOptions, PreparedChange},
        entry::Revision,
        error::{Error, Kind, MOST_NAMED, Past, PlanChanged},
        log::Line,
        plan::{Context, plan},
        preview::{Preview, Step},
        replay::Replay,
        settings::Settings,
        stream::{LinePlace, Streams},
        time::Timestamp,
    },
    service::new_id,
    store::Store,
};

/// Lines that one look-up reads: most plans were shown not long ago.
const SEARCHED_AT_ONCE: u32 = 20;

/// A document, which can be planned for any state of its company.
struct Planning<'a> {
    grant: &'a Grant,
    document: &'a Arc<CompanyDraft>,
    options: &'a LoadOptions,
    current: Option<&'a Settings>,
}

/// The plan that was shown, found in the past.
struct Found {
    shown: Preview,
    /// The plan right after the change that carried out the one that was shown, if there was such a change: it is empty.
    /// With that change.
    carried_out: Option<(Preview, Line)>,
    /// The changes since, newest first.
    since: Vec<Line>,
    /// The first of them that made another plan of the document.
    behind: Vec<Past>,
}

impl Planning<'_> {
    fn of(&self, settings: Option<&Settings>) -> Option<Preview> {
        let options = LoadOptions { expected: None, ..self.options.clone() };
        let now = settings.or(self.current).map(|settings| settings.changed_time);
        let context = Context {
            actor: self.grant.actor(),
            request: None,
            now: now.unwrap_or(Timestamp::from_micros(0)),
            new_id: &new_id,
        };
        let document = Arc::clone(self.document);
        let change = PreparedChange::Load { document, options: options.clone() };
        let plan = plan(&self.grant.company(), settings, &change, &context).ok()?;
        Some(Preview::of(settings, &plan, &options))
    }

    fn is_shown(&self, plan: Option<&Preview>) -> bool {
        plan.map(|plan| plan.digest) == self.options.expected
    }

    /// Goes back until the plan is the one that was shown.
    async fn look_back(
        &self,
        store: &dyn Store,
        current: &Settings,
        now: Option<Preview>,
    ) -> Option<Found> {
        let among = Streams::one(self.grant.stream());
        let mut below = LinePlace::at(current.revision.next());
        let mut replay = Replay::from(current.clone());
        let (mut since, mut behind, mut planned) = (Vec::new(), Vec::new(), 0);
        let mut later = now;
        for _ in 0..MAX_SEARCHED / SEARCHED_AT_ONCE {
            let lines = store.log_before(&among, Some(&below), None, SEARCHED_AT_ONCE);
            let lines = lines.await.ok()?;
            below = LinePlace::at(lines.last()?.revision);
            for line in lines {
                let before = Revision(line.revision.0.saturating_sub(1));
                // Nothing was there before the first change.
                let settings = match before {
                    Revision(0) => None,
                    _ => {
                        replay.unapply(before, line.time, &line.deltas).ok()?;
                        replay.settings()
                    }
                };
                let then = self.of(settings.as_ref());
                let digest = |plan: &Option<Preview>| plan.as_ref().map(|plan| plan.digest);
                let is_other = digest(&then) != digest(&later);
                let is_begin = is_other && self.is_shown(then.as_ref());
                if is_begin && let Some(after) = later.take_if(|later| later.steps.is_empty()) {
                    let carried_out = Some((after, line));
                    return Some(Found { shown: then?, carried_out, since, behind });
                }
                if is_other && behind.len() < MOST_NAMED {
                    behind.extend(past(self.grant, &line));
                }
                since.push(line);
                if is_begin {
                    return Some(Found { shown: then?, carried_out: None, since, behind });
                }
                later = then;
                planned += settings.as_ref().map_or(0, |settings| hashed_rows(settings, None));
                if planned > MOST_HASHED {
                    return None;
                }
                // Lets other tasks run.
                yield_now().await;
            }
        }
        None
    }
}

/// Names the changes since the plan was shown, and the steps that differ. If the document was refused, and its plan once
/// had the digest, the plan has changed too.
pub(super) async fn changed(
    store: &dyn Store,
    grant: &Grant,
    current: Option<&Settings>,
    (document, options): (&Arc<CompanyDraft>, &LoadOptions),
    error: Error,
) -> Error {
    let planning = Planning { grant, document, options, current };
    let now = planning.of(current);
    let is_shown = planning.is_shown(now.as_ref());
    // An entry that the plan made, and that was deleted since, would be made again.
    let is_deleted = matches!(error, Error::IdTaken { kind: Kind::Entry, .. });
    // Any other refusal is by something outside of the company.
    if is_shown && !is_deleted {
        return Error::PlanChanged(Box::new(refused(grant, error)));
    }
    let Some(current) = current else { return absent(grant, error) };
    let Some(found) = planning.look_back(store, current, now.clone()).await else {
        return match is_shown {
            true => Error::PlanChanged(Box::new(refused(grant, error))),
            false => error,
        };
    };
    let Found { shown, carried_out, since: lines, behind } = found;
    let then = carried_out.as_ref().map_or(&shown, |(after, _)| after);
    let differ = now.map(|now| differences(grant, (then, &now), &lines));
    let is_carried_out = carried_out.is_some();
    let carried_out = carried_out.as_ref().and_then(|(_, line)| past(grant, line));
    Error::PlanChanged(Box::new(match (error, differ) {
        (Error::PlanChanged(changed), Some((steps, since))) => {
            PlanChanged { steps, since, carried_out, ..*changed }
        }
        (error, Some((_, since))) if is_carried_out => {
            PlanChanged { since, carried_out, ..refused(grant, error) }
        }
        (error, _) => PlanChanged { since: behind, carried_out, ..refused(grant, error) },
    }))
}

/// The refusal of a plan that leaves nothing to do, but was carried out before: values that it showed are others now, and
/// the document leaves them open. `None` if there are no such values, or if nobody knows.
pub(in crate::service) async fn undone(
    store: &dyn Store,
    grant: &Grant,
    current: &Settings,
    (document, options): (&Arc<CompanyDraft>, &LoadOptions),
    now: &Preview,
) -> Option<Error> {
    let planning = Planning { grant, document, options, current: Some(current) };
    if planning.is_shown(Some(now)) {
        return None;
    }
    let Found { shown, carried_out, since, .. } =
        planning.look_back(store, current, Some(now.clone())).await?;
    let undone = shown.undone(current, options);
    if undone.is_empty() {
        return None;
    }
    let steps = undone.iter().filter(|step| grant.may_read([&step.subject]));
    let steps = steps.take(MOST_NAMED).map(ToString::to_string).collect();
    let subjects = undone.iter().map(|step| step.subject.place()).collect();
    Some(Error::PlanChanged(Box::new(PlanChanged {
        carried_out: carried_out.and_then(|(_, line)| past(grant, &line)),
        digest: now.digest.to_string(),
        counts: now.counts,
        steps,
        since: touching(grant, &since, &subjects),
        ..PlanChanged::of(grant.company())
    })))
}

/// The error for a plan that was shown, of a company that is not here. Only a document without ids for what is made may
/// have been planned here.
fn absent(grant: &Grant, error: Error) -> Error {
    Error::PlanChanged(match error {
        Error::PlanChanged(changed) if !changed.unnamed.is_empty() => changed,
        Error::PlanChanged(changed) => Box::new(PlanChanged { is_absent: true, ..*changed }),
        error => Box::new(PlanChanged { is_absent: true, ..refused(grant, error) }),
    })
}

/// The error for a plan that was shown, and would be refused now.
fn refused(grant: &Grant, error: Error) -> PlanChanged {
    PlanChanged { refused: Some(error), ..PlanChanged::of(grant.company()) }
}

/// The steps of one plan that another does not have, and the changes behind them, as far as the key may read them.
fn differences(
    grant: &Grant,
    (then, now): (&Preview, &Preview),
    since: &[Line],
) -> (Vec<String>, Vec<Past>) {
    // Linear, since a plan may have thousands of steps.
    let texts =
        |of: &Preview| of.steps.iter().map(|step| format!("{step:?}")).collect::<HashSet<_>>();
    let (old, new) = (texts(then), texts(now));
    let gone = then.steps.iter().filter(|step| !new.contains(&format!("{step:?}")));
    let made = now.steps.iter().filter(|step| !old.contains(&format!("{step:?}")));
    let subjects: HashSet<String> =
        gone.clone().chain(made.clone()).map(|step| step.subject.place()).collect();
    let may_read = |step: &&Step| grant.may_read([&step.subject]);
    let made: Vec<String> = made.filter(may_read).map(ToString::to_string).collect();
    let told: HashSet<&str> = made.iter().map(String::as_str).collect();
    let gone = gone.filter(may_read).map(|step| format!("no more {step}"));
    let gone = gone.filter(|text| !told.contains(text.trim_start_matches("no more ")));
    let steps = made.iter().cloned().chain(gone).take(MOST_NAMED).collect();
    match touching(grant, since, &subjects) {
        none if none.is_empty() => {
            let all = since.iter().filter_map(|line| past(grant, line));
            (steps, all.take(MOST_NAMED).collect())
        }
        behind => (steps, behind),
    }
}

/// The first of these changes that touched one of the things.
fn touching(grant: &Grant, since: &[Line], subjects: &HashSet<String>) -> Vec<Past> {
    let touches =
        |line: &&Line| line.deltas.iter().any(|delta| subjects.contains(&delta.subject.place()));
    let behind = since.iter().filter(touches).filter_map(|line| past(grant, line));
    behind.take(MOST_NAMED).collect()
}
