//! Plans of documents, and their application, for callers: all companies of a document are planned before the first is
//! written.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use tokio::task::yield_now;

use super::{
    document::DocumentCompany,
    load::{LoadService, new_company},
};
use crate::catalog::{
    access::{Caller, Coverage, Grant, Scope},
    change::{CompanyDraft, LoadOptions},
    entry::Revision,
    error::{Error, MOST_NAMED, PlanChanged, Result, Violation},
    id::CompanyId,
    log::Request,
    preview::{Counts, Digest, Preview},
    token::RevisionToken,
};

/// The most violations that the refusal of a document names.
pub const MOST_VIOLATIONS: usize = 100;

/// A company of a document, with the id of the company that it means. An error is about this company alone.
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Meant<'a> {
    pub company: &'a DocumentCompany,
    pub id: Result<CompanyId>,
    /// Whether the id was made for a company that is not there.
    pub is_new: bool,
}

/// The plan of one company of a document.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Planned {
    pub preview: Preview,
    /// The revision that the plan was made for; `None` if there is no such company yet.
    pub base: Option<RevisionToken>,
}

/// The result for one company of a document that was applied.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Applied {
    pub company_id: CompanyId,
    pub counts: Counts,
    /// The revision afterwards (0 after a dry run), and whether the same request had written the company before.
    pub outcome: Result<(Revision, bool)>,
}

/// A document to apply.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Application {
    pub options: LoadOptions,
    /// The plans that were shown, by company; all of them or none.
    pub digests: HashMap<CompanyId, Digest>,
    /// `None` for dry runs too, which neither store nor look up ids.
    pub request: Option<Request>,
    /// Plans and compares all companies, and writes nothing.
    pub validate_only: bool,
    pub deadline: Instant,
}

/// A company of a document that may be written.
struct Ready<'a> {
    grant: Grant,
    draft: &'a Arc<CompanyDraft>,
    expected: Option<Digest>,
    /// The revision that the plan was made for.
    base: Revision,
    counts: Counts,
}

impl LoadService {
    /// The companies of a document, with the company that each means: the one with its id, else the one of its name,
    /// else a new one. Refuses a document that names a company, or a location, in two places.
    pub async fn meant<'a>(
        &self,
        caller: &Caller,
        companies: &'a [DocumentCompany],
    ) -> Result<Vec<Meant<'a>>> {
        let (covered, mut all) = (caller.grant_covered(), Vec::with_capacity(companies.len()));
        for company in companies {
            let found = match &company.id {
                Some(id) => Ok(Some(id.clone())),
                None => self.company_named(&covered, company).await,
            };
            let is_new = matches!(found, Ok(None));
            let id = found.map(|found| found.unwrap_or_else(new_company));
            all.push(Meant { company, id, is_new });
        }
        let mut violations = repeated(&all);
        violations.truncate(MOST_VIOLATIONS);
        if violations.is_empty() { Ok(all) } else { Err(Error::Invalid(violations)) }
    }

    /// The plan of one company of a document. An error is about this company alone.
    pub async fn preview(
        &self,
        caller: &Caller,
        Meant { company, id, .. }: &Meant<'_>,
        options: &LoadOptions,
        deadline: Instant,
    ) -> Result<Planned> {
        let grant = granted(caller, company, id, options)?;
        let previewed = self.settings.preview(&grant, &company.draft, options, deadline).await;
        let (preview, base) = match previewed {
            Ok(previewed) => previewed,
            Err(error) => return Err(self.of_document(caller, error, &company.draft).await),
        };
        refuse_making(caller, &preview)?;
        Ok(Planned { preview, base })
    }

    /// Makes companies agree with a document. All are planned first, and an error says that nothing was written.
    pub async fn apply(
        &self,
        caller: &Caller,
        companies: &[DocumentCompany],
        how: &Application,
    ) -> Result<Vec<Applied>> {
        let ready = self.ready(caller, companies, how).await?;
        let mut results = Vec::with_capacity(ready.len());
        for Ready { grant, draft, expected, base, counts } in ready {
            if how.validate_only {
                let outcome = Ok((Revision(0), false));
                results.push(Applied { company_id: grant.company(), counts, outcome });
                continue;
            }
            let options = LoadOptions { expected, ..how.options.clone() };
            let terms = (how.request.clone(), how.deadline);
            let written = self.settings.apply(&grant, Arc::clone(draft), options, terms).await;
            let counts = match &written {
                Ok(written) if written.repeated || written.base() != base => written.counts(),
                _ => counts,
            };
            let outcome = match written {
                Ok(written) => Ok((written.settings.revision, written.repeated)),
                Err(error) => Err(self.of_document(caller, error, draft).await),
            };
            results.push(Applied { company_id: grant.company(), counts, outcome });
            yield_now().await;
        }
        Ok(results)
    }

    /// Plans all companies, and compares the plans with those that were shown.
    async fn ready<'a>(
        &self,
        caller: &Caller,
        companies: &'a [DocumentCompany],
        how: &Application,
    ) -> Result<Vec<Ready<'a>>> {
        let mut ready = Vec::with_capacity(companies.len());
        let mut violations = Vec::new();
        let mut note = |index: usize, found: Vec<Violation>| {
            let within = |one: Violation| one.within(&place(index));
            violations.extend(found.into_iter().map(within));
            violations.truncate(MOST_VIOLATIONS);
        };
        let meant = self.meant(caller, companies).await?;
        let mut changed: Option<Box<PlanChanged>> = None;
        for (index, company) in meant.iter().enumerate() {
            match self.ready_company(caller, company, how).await {
                Ok(one) => ready.push(one),
                Err(Error::Invalid(found)) => note(index, found),
                Err(Error::PlanChanged(other)) => match &mut changed {
                    None => changed = Some(other),
                    Some(first) => first.others.push(other.company_id),
                },
                Err(other) => return Err(changed.map_or(other, Error::PlanChanged)),
            }
            // Each takes a look at the log.
            if changed.as_ref().is_some_and(|first| first.others.len() == MOST_NAMED) {
                break;
            }
            yield_now().await;
        }
        if let Some(changed) = changed {
            return Err(Error::PlanChanged(changed));
        }
        let named: HashSet<&CompanyId> =
            meant.iter().filter_map(|one| one.id.as_ref().ok()).collect();
        if let Some(other) = how.digests.keys().find(|id| !named.contains(*id))
            && violations.is_empty()
        {
            let description = format!("has the company {other}, which the document does not have");
            return Err(Error::invalid("digests", "UNKNOWN_COMPANY", description));
        }
        if violations.is_empty() { Ok(ready) } else { Err(Error::Invalid(violations)) }
    }

    async fn ready_company<'a>(
        &self,
        caller: &Caller,
        Meant { company, id, .. }: &Meant<'a>,
        how: &Application,
    ) -> Result<Ready<'a>> {
        let grant = granted(caller, company, id, &how.options)?;
        let expected = how.digests.get(&grant.company()).copied();
        if expected.is_none() && !how.digests.is_empty() {
            let description =
                "has no digest, and other companies have one: give one for each, or none";
            return Err(Error::invalid("id", "DIGEST_MISSING", description));
        }
        let draft = &company.draft;
        if self.settings.was_applied(&grant, &how.request).await? {
            let (base, counts) = Default::default();
            return Ok(Ready { grant, draft, expected, base, counts });
        }
        let options = LoadOptions { expected, ..how.options.clone() };
        let previewed = self.settings.preview(&grant, draft, &options, how.deadline).await;
        let preview = match previewed {
            Ok((preview, _)) => preview,
            Err(error) => return Err(self.of_document(caller, error, draft).await),
        };
        refuse_making(caller, &preview)?;
        grant.check_needs(&preview.needs)?;
        Ok(Ready { grant, draft, expected, base: preview.base, counts: preview.counts })
    }
}

/// The grant for a company of a document, whose values must all be valid.
fn granted(
    caller: &Caller,
    company: &DocumentCompany,
    id: &Result<CompanyId>,
    options: &LoadOptions,
) -> Result<Grant> {
    if !company.problems.is_empty() {
        let problems = company.problems.clone().told();
        return Err(Error::Invalid(problems.into_iter().map(|one| one.violation).collect()));
    }
    if options.is_of_source {
        caller.also(&[Scope::SourcesWrite])?;
    }
    let id = id.clone()?;
    // Without an id, a company that the key does not cover is one that would be made.
    if company.id.is_none() && !caller.rights.coverage.contains(&id) {
        return Err(Error::NotCoveringAll);
    }
    caller.grant(&id)
}

/// The place of a company in the request.
fn place(index: usize) -> String {
    format!("document.companies[{index}]")
}

/// The companies and locations that the document names in two places. One of the places would be planned for a state
/// that the other one changes.
fn repeated(all: &[Meant<'_>]) -> Vec<Violation> {
    let (mut ids, mut names, mut businesses) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut violations = Vec::new();
    let mut refuse = |field: String, description: String| {
        violations.push(Violation::new(&field, "DUPLICATE", description));
    };
    for (index, Meant { company, id, .. }) in all.iter().enumerate() {
        let at = place(index);
        let first = id.as_ref().ok().and_then(|id| ids.insert(id, index));
        if let (Some(first), Ok(id)) = (first, id) {
            let description = format!("names the company {id} again, as {} did", place(first));
            refuse(format!("{at}.id"), description);
        }
        // Of several companies with one name, each must have an id.
        if let Some(name) = &company.draft.name {
            let has_id = company.id.is_some();
            let earlier = names.insert(name.fold_key(), (index, has_id));
            let earlier = earlier.filter(|(_, had_id)| first.is_none() && !(has_id && *had_id));
            if let Some((earlier, _)) = earlier {
                let description = format!(
                    "is also the name of {}, and without ids they are one company: give both an id",
                    place(earlier)
                );
                refuse(format!("{at}.name"), description);
            }
        }
        for business in &company.draft.businesses {
            let Some(id) = &business.id else { continue };
            let first = *businesses.entry(id).or_insert(index);
            if first != index {
                let description = format!(
                    "names the location {id} again, as {} did: it belongs to one company",
                    place(first)
                );
                refuse(format!("{at}.businesses[{}].id", business.index), description);
            }
        }
    }
    violations
}

/// Making a company needs a key that covers all companies.
fn refuse_making(caller: &Caller, preview: &Preview) -> Result<()> {
    match preview.base == Revision(0) && caller.rights.coverage != Coverage::All {
        true => Err(Error::NotCoveringAll),
        false => Ok(()),
    }
}
