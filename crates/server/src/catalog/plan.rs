//! Planning a write: a pure function from a company's settings and a change to the rows to write.
//!
//! Every rule about companies and catalogs stands here, for every caller.

use super::{
    access::{Actor, Scope},
    change::{CompanyDraft, LoadOptions, PreparedChange},
    company::{Business, Company, Contact},
    delta::Row,
    entry::{Audit, Catalog, Entry, Revision, State},
    error::{Error, Kind, MOST_NAMED, PlanChanged, Result, few},
    etag::Etag,
    id::{BusinessId, CompanyId, EntryId},
    log::{Line, Request},
    preview::{Preview, Step},
    settings::{Settings, Subject},
    source::{self, SourceMode},
    text::Name,
    time::Timestamp,
};

mod back;
mod draft;
mod load;
mod steps;
#[cfg(test)]
mod work;

pub use load::Loaded;

/// A decided change: its line of the log, which is all that a store needs, and the state after it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The line; without deltas if the company already is as the change wants it.
    pub line: Line,
    /// The company after the change.
    pub after: Settings,
    /// The remarks on the document, if the plan is one of a document.
    pub loaded: Loaded,
}

impl Plan {
    /// The scopes that carrying out a document needs beside `settings:write`, each with its reason as a sentence.
    pub fn needs(&self) -> Vec<(Scope, String)> {
        let (company, deltas) = (&self.after.company.id, &self.line.deltas);
        let mut needs = Vec::new();
        let of_companies = deltas.iter().filter(|delta| delta.entry_id().is_none());
        let place = |subject: &Subject| match subject {
            Subject::Company => "the company".to_owned(),
            other => other.place(),
        };
        let of_companies: Vec<String> = of_companies.map(|delta| place(&delta.subject)).collect();
        if !of_companies.is_empty() {
            let named = few(&of_companies, MOST_NAMED);
            let why = format!("of company {company}, the document changes {named}");
            needs.push((Scope::CompaniesWrite, why));
        }
        let source = |row: &Option<Row>| row.as_ref()?.company()?.source;
        if deltas.iter().any(|delta| source(&delta.before) != source(&delta.after)) {
            let why = format!(
                "the document changes the source of company {company}: a document without 'source' needs no such scope"
            );
            needs.push((Scope::SourcesWrite, why));
        }
        if !self.loaded.audited.is_empty() {
            let named: Vec<String> = self.loaded.audited.iter().map(Subject::place).collect();
            let why = format!(
                "of company {company}, the document gives other authors or times than there are to {}: a document \
                 without these ('export --without audit') needs no such scope",
                few(&named, MOST_NAMED)
            );
            needs.push((Scope::SourcesWrite, why));
        }
        needs
    }
}

/// The input of a plan from outside.
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Context<'a> {
    pub actor: &'a Actor,
    /// The request, if it has an id.
    pub request: Option<&'a Request>,
    pub now: Timestamp,
    /// Makes an id that was never used, with a prefix such as `tag`.
    pub new_id: &'a dyn Fn(&str) -> String,
}

/// Plans a change to a company. `None` is a company that does not exist yet.
///
/// A plan without deltas means that the company already is as the change wants it.
pub fn plan(
    company: &CompanyId,
    current: Option<&Settings>,
    change: &PreparedChange,
    context: &Context<'_>,
) -> Result<Plan> {
    let base = current.map_or(Revision(0), |settings| settings.revision);
    let time = Timestamp::after(context.now, current.map(|settings| settings.changed_time));
    let is_of_source =
        matches!(change, PreparedChange::Load { options, .. } if options.is_of_source);
    let source = current.and_then(|settings| settings.company.source);
    let is_mirror = source.is_some_and(|source| source.mode == SourceMode::Mirror);
    let actor = match is_of_source {
        true => source::author(context.actor),
        false => context.actor.clone(),
    };
    let stamp = Stamp {
        actor: &actor,
        time,
        revision: base.next(),
        keeps_authors_of_tags: is_mirror && !is_of_source,
        new_id: context.new_id,
    };
    let absent = || Error::NotFound { kind: Kind::Company, id: company.to_string() };
    let mut loaded = Loaded::default();
    let (draft, subjects) = match change {
        PreparedChange::Load { document, options } => {
            let (draft, told) = load::drafted(company, current, (document, options), &stamp)?;
            loaded = told;
            (draft, vec![])
        }
        PreparedChange::Steps { etag, steps, is_batch } => {
            expect_settings(etag.as_ref(), current)?;
            steps::drafted(company, current, steps, *is_batch, &stamp)?
        }
        PreparedChange::Undo { etag, revision, deltas } => {
            let current = expect_settings(etag.as_ref(), current)?.ok_or_else(absent)?;
            (back::undone(current, *revision, deltas)?, vec![])
        }
        PreparedChange::RollBack { etag, target } => {
            let current = expect_settings(etag.as_ref(), current)?.ok_or_else(absent)?;
            (back::rolled_back(current, target)?, vec![])
        }
    };
    let (deltas, after, audited) = draft.finish(&stamp);
    loaded.audited = audited;
    let document = match change {
        PreparedChange::Load { document, .. } => Some(&**document),
        _ => None,
    };
    source::check(current, (&after, &deltas), is_of_source, document)?;
    let line = Line {
        revision: after.revision,
        time,
        actor,
        request: context.request.cloned(),
        subjects: Some(subjects),
        deltas,
    };
    let plan = Plan { line, after, loaded };
    if let PreparedChange::Load { options, document } = change {
        expect_plan(current, &plan, options, document)?;
    }
    Ok(plan)
}

/// Refuses a plan that is not the one that was shown. A plan without steps leads where that one led.
fn expect_plan(
    current: Option<&Settings>,
    plan: &Plan,
    options: &LoadOptions,
    document: &CompanyDraft,
) -> Result<()> {
    let Some(expected) = options.expected.filter(|_| !plan.line.deltas.is_empty()) else {
        return Ok(());
    };
    let shown = Preview::of(current, plan, options);
    if shown.digest == expected {
        return Ok(());
    }
    let named = document.subjects();
    let unnamed = |step: &Step| {
        let index = step.made_of.filter(|_| !named.contains(&step.subject))?;
        step.subject.place().split_once('/').map(|(list, _)| format!("{list}[{index}]"))
    };
    let unnamed = shown.steps.iter().filter_map(unnamed).take(MOST_NAMED + 1).collect();
    Err(Error::PlanChanged(Box::new(PlanChanged {
        digest: shown.digest.to_string(),
        counts: shown.counts,
        unnamed,
        ..PlanChanged::of(plan.after.company.id.clone())
    })))
}

/// Returns the company, if its etag as a whole is the one that the caller knows.
fn expect_settings<'a>(
    etag: Option<&Etag>,
    current: Option<&'a Settings>,
) -> Result<Option<&'a Settings>> {
    if let (Some(current), Some(etag)) = (current, etag) {
        steps::expect(Some(etag), &current.etag(), || "the company's settings".to_owned())?;
    }
    Ok(current)
}

/// The author, time and revision for every row of one change.
struct Stamp<'a> {
    actor: &'a Actor,
    time: Timestamp,
    revision: Revision,
    /// Whether tags keep their authors and times, which are those of the source. The log has the author of the change.
    keeps_authors_of_tags: bool,
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

    /// The audit of an entry whose content changes.
    fn updated_entry(&self, catalog: Catalog, before: &Audit) -> Audit {
        match catalog {
            Catalog::CustomerTags if self.keeps_authors_of_tags => {
                Audit { revision: self.revision, ..before.clone() }
            }
            _ => self.updated(before),
        }
    }

    fn new_company(&self, id: &CompanyId, name: Name) -> Company {
        Company {
            id: id.clone(),
            name,
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
            source: None,
            audit: self.created(),
        }
    }

    /// Without an id, makes one.
    fn new_business(&self, id: Option<&BusinessId>, name: Name) -> Business {
        let made_up = || BusinessId::parse("id", &(self.new_id)(BusinessId::PREFIX));
        let id = id.cloned().map_or_else(made_up, Ok);
        Business {
            id: id.unwrap_or_else(|violation| unreachable!("a generated id: {violation}")),
            name,
            contact: Contact::default(),
            address: None,
            state: State::Active,
            audit: self.created(),
        }
    }

    /// Without an id, makes one. The catalog gives the entry its rank.
    fn new_entry(&self, catalog: Catalog, id: Option<&EntryId>, name: Name) -> Entry {
        let made_up = || EntryId::parse("id", &(self.new_id)(catalog.id_prefix()));
        let id = id.cloned().map_or_else(made_up, Ok);
        Entry {
            id: id.unwrap_or_else(|violation| unreachable!("a generated id: {violation}")),
            name,
            description: Default::default(),
            color: None,
            is_default: false,
            rank: 0,
            state: State::Active,
            audit: self.created(),
        }
    }
}
