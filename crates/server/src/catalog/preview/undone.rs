//! The steps of a plan that was carried out whose values are others now.

use std::collections::HashMap;

use super::{
    Action, Preview, Settings, State, Step, Subject, Texts, business_texts, company_texts,
    entry_texts,
};
use crate::catalog::{
    change::{Ignored, LoadOptions},
    entry::{Catalog, Entry},
    id::EntryId,
};

impl Preview {
    /// The steps that showed values which are others now, of things that are still there. Values that others may change,
    /// as the plan ignores them, do not count.
    pub fn undone(&self, now: &Settings, options: &LoadOptions) -> Vec<&Step> {
        let all = Catalog::ALL.into_iter();
        let all =
            all.flat_map(|catalog| now.entries(catalog).iter().map(move |one| (catalog, one)));
        let entries: HashMap<(Catalog, &EntryId), &Entry> =
            all.map(|(catalog, one)| ((catalog, &one.id), one)).collect();
        let texts = |subject: &Subject| match subject {
            Subject::Company => Some(company_texts(&now.company)),
            Subject::Business(id) => {
                now.businesses.iter().find(|one| one.id == *id).map(business_texts)
            }
            Subject::Entry(catalog, id) => {
                entries.get(&(*catalog, id)).map(|entry| entry_texts(entry))
            }
            Subject::Catalog(_) | Subject::Key(_) => None,
        };
        let is_ignored = |field: &str| {
            options.ignore.iter().map(|part| Ignored::as_str(*part)).any(|it| it == field)
        };
        let is_undone = |step: &&Step| {
            texts(&step.subject).is_some_and(|texts| differs(step, &texts, is_ignored))
        };
        self.steps.iter().filter(is_undone).collect()
    }
}

fn differs(step: &Step, now: &Texts<'_>, is_ignored: impl Fn(&str) -> bool) -> bool {
    let is_other = |field: &str, value: &str| {
        let found = now.iter().find(|(name, _)| *name == field);
        found.is_some_and(|(_, text)| text != value) && !is_ignored(field)
    };
    // A step that makes a thing does not say that the thing is active.
    let says_state = step.fields.iter().any(|change| change.field == "state");
    let is_made_active = step.action == Action::Create && !says_state;
    step.fields.iter().any(|change| is_other(change.field, &change.after))
        || (is_made_active && is_other("state", State::Active.as_str()))
}
