//! Loading companies from a document, and exporting them to one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    document::{self, CompanyRow, DocumentCompany, Problem, Problems, Unreadable},
    new_id,
    settings::{Changed, SettingsService},
};
use crate::{
    catalog::{
        access::{Caller, CoveredGrant, Grant, Task},
        change::{BusinessDraft, CompanyDraft, EntryDraft, LoadOptions},
        entry::{Catalog, Revision},
        error::{Cause, Error, Kind, Result, Violation},
        id::{BusinessId, CompanyId},
    },
    clock::Clock,
    store::Store,
};

/// How long a company's change may be planned again while others write to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Companies that one look-up reads.
const PAGE: u32 = 500;

/// Loads and exports documents.
pub struct LoadService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pub(super) settings: Arc<SettingsService>,
}

/// The result for one company of a document.
#[derive(Debug)]
pub enum Outcome {
    /// The company agrees with the document now, or did before.
    Loaded(CompanyId, Changed),
    /// The document has errors about the company. Nothing of it was written.
    Refused(Vec<Problem>),
    /// The company could not be written, but the document has no error.
    Failed(Error),
}

impl LoadService {
    /// Writes go through the settings service, so that every rule applies.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Arc<SettingsService>,
    ) -> Self {
        Self { store, clock, settings }
    }

    /// Makes each company of the document agree with it, all or nothing per company. Calls `report` with the name and
    /// the result of each company. If the document has wrong keys beside its companies, nothing is written, and only the
    /// companies that are wrong too are reported.
    pub async fn load(
        &self,
        text: &str,
        mut report: impl FnMut(&str, Outcome),
    ) -> Result<(), Unreadable> {
        let mut seen = HashMap::new();
        let (problems, companies) = document::parse_with_problems(text)?;
        let is_wrong = !problems.is_empty();
        for company in companies {
            let outcome = match self.load_company(&company, &mut seen, is_wrong).await {
                Ok((id, changed)) => Outcome::Loaded(id, changed),
                Err(Refusal::Document(none)) if none.is_empty() => continue,
                Err(Refusal::Document(problems)) => Outcome::Refused(problems.told()),
                Err(Refusal::Other(error)) => Outcome::Failed(error),
            };
            report(&company.label, outcome);
        }
        if is_wrong { Err(problems.unreadable()) } else { Ok(()) }
    }

    /// `is_wrong`: the document has other problems, so that nothing may be written.
    async fn load_company(
        &self,
        company: &DocumentCompany,
        seen: &mut HashMap<CompanyId, u64>,
        is_wrong: bool,
    ) -> Result<(CompanyId, Changed), Refusal> {
        let mut problems = company.problems.clone();
        let id = match &company.id {
            Some(id) => id.clone(),
            None if company.identity().is_none() => return Err(Refusal::Document(problems)),
            None => match self.company_named(&Task::Load.grant_covered(), company).await {
                Ok(found) => found.unwrap_or_else(new_company),
                Err(Error::Invalid(found)) => {
                    found
                        .into_iter()
                        .for_each(|violation| problems.note(company.locate(violation)));
                    return Err(Refusal::Document(problems));
                }
                Err(other) => return Err(Refusal::Other(other)),
            },
        };
        if let Some(first) = seen.insert(id.clone(), company.line()) {
            let description = format!("names the company {id} again, as line {first} did");
            let violation = Violation::new("company", "DUPLICATE", description);
            problems.note(company.locate(violation));
        }
        // If the document has errors already, a dry run finds further ones.
        let is_dry_run = is_wrong || !problems.is_empty();
        let draft = &company.draft;
        let agreed = self.agree(&Task::Load.grant(&id), draft, is_dry_run).await;
        match agreed.map_err(|error| of_document(error, draft, None)) {
            Ok(Some(changed)) => return Ok((id, changed)),
            Err(Error::Invalid(violations)) => {
                let is_news = |one: &Violation| problems.leave_sure(one.reason, &one.field);
                let news: Vec<_> = violations.into_iter().filter(is_news).collect();
                news.into_iter().for_each(|violation| problems.note(company.locate(violation)));
            }
            Err(other) if !is_dry_run => return Err(Refusal::Other(other)),
            Ok(None) | Err(_) => {}
        }
        Err(Refusal::Document(problems))
    }

    /// Makes one company agree with its document as `apply` does; with a dry run, only plans that.
    async fn agree(
        &self,
        grant: &Grant,
        draft: &Arc<CompanyDraft>,
        is_dry_run: bool,
    ) -> Result<Option<Changed>> {
        let deadline: Instant = self.clock.monotonic() + PATIENCE;
        let options = LoadOptions::default();
        if is_dry_run {
            return self.settings.preview(grant, draft, &options, deadline).await.map(|_| None);
        }
        let written =
            self.settings.apply(grant, Arc::clone(draft), options, (None, deadline)).await?;
        let after = written.settings.revision;
        let before = Revision(after.0 - u64::from(written.line.is_some()));
        Ok(Some(Changed { before, after }))
    }

    /// The id of the one company with that name, if there is one.
    pub(super) async fn company_named(
        &self,
        grant: &CoveredGrant,
        company: &DocumentCompany,
    ) -> Result<Option<CompanyId>> {
        let fold_key = company.draft.name.as_ref().map(|name| name.fold_key()).unwrap_or_default();
        match self.store.companies_named(grant, &fold_key).await?.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(id.clone())),
            several => {
                let ids: Vec<&str> = several.iter().map(CompanyId::as_str).collect();
                let description = format!(
                    "belongs to several companies ({}); give the id of one",
                    ids.join(", ")
                );
                Err(Error::invalid("name", "AMBIGUOUS", description))
            }
        }
    }

    /// Writes companies as a document, piece by piece: one, or all with the archived ones. `trim` leaves parts out.
    pub async fn export(
        &self,
        only: &[CompanyId],
        trim: impl Fn(CompanyRow) -> CompanyRow,
        mut write: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<()> {
        let ids = match only {
            [] => self.ids_by_name().await?,
            ids => ids.to_vec(),
        };
        let mut put = |text: &str| {
            write(text)
                .map_err(|error| Error::Internal(Cause::new(format!("the output failed: {error}"))))
        };
        if ids.is_empty() {
            return put("companies: []\n");
        }
        // The head is written with the first company, so that nothing is written if reading fails.
        let mut head = "companies:\n";
        for id in ids {
            let row = trim(self.row(&id).await?);
            put(std::mem::take(&mut head))?;
            put(&document::write(&row).map_err(|error| Error::Internal(Cause::new(error)))?)?;
        }
        Ok(())
    }

    /// The error about an id that is taken as one about the document. Of a location it names the company that has it, if
    /// the caller's key covers that.
    pub(super) async fn of_document(
        &self,
        caller: &Caller,
        error: Error,
        draft: &CompanyDraft,
    ) -> Error {
        let mut holder = None;
        if let Error::IdTaken { kind: Kind::Business, id, .. } = &error
            && let Ok(id) = BusinessId::parse("id", id)
        {
            let found = self.store.company_of(&id).await.ok().flatten();
            holder = found.filter(|company| caller.grant_covered().grant(company).is_some());
        }
        of_document(error, draft, holder.as_ref())
    }

    /// One company, as it stands in a document.
    pub async fn row(&self, id: &CompanyId) -> Result<CompanyRow> {
        let found = self.store.settings(&Task::Export.grant(id)).await;
        let found = found.map_err(|error| of_company(id, error.into()))?;
        let absent = || Error::NotFound { kind: Kind::Company, id: id.to_string() };
        Ok(document::row(&found.ok_or_else(absent)?))
    }

    async fn ids_by_name(&self) -> Result<Vec<CompanyId>> {
        let (grant, mut ids) = (Task::Export.grant_covered(), Vec::new());
        let mut last: Option<(String, CompanyId)> = None;
        loop {
            let after = last.as_ref().map(|(name, id)| (name.as_str(), id));
            let page = self.store.list_companies(&grant, true, after, 0, PAGE).await?;
            if page.is_empty() {
                return Ok(ids);
            }
            for row in page {
                // The error of a damaged company is reported when it is read.
                let (name, id) = match row {
                    Ok(company) => (company.name.to_string(), company.id),
                    Err(row) => row.place,
                };
                ids.push(id.clone());
                last = Some((name, id));
            }
        }
    }
}

/// An id for a company that is made.
pub(super) fn new_company() -> CompanyId {
    let id = CompanyId::parse("id", &new_id(CompanyId::PREFIX));
    id.unwrap_or_else(|violation| unreachable!("a generated id: {violation}"))
}

/// The error about a taken id as one about the document that gives this id to a location or an entry. `holder` is the
/// company that has the location, if the caller may know it.
fn of_document(error: Error, draft: &CompanyDraft, holder: Option<&CompanyId>) -> Error {
    let Error::IdTaken { kind, id: taken, catalog: of } = &error else { return error };
    let is_taken = |id: &str| id == taken;
    let (field, problem) = match kind {
        Kind::Business => {
            let is_it =
                |one: &&BusinessDraft| one.id.as_ref().is_some_and(|id| is_taken(id.as_str()));
            let found = draft.businesses.iter().find(is_it);
            let problem = match holder {
                None => "belongs to another company's location".to_owned(),
                Some(holder) => {
                    format!(
                        "belongs to a location of company {holder}, which keeps it, archived or not"
                    )
                }
            };
            (found.map(|one| format!("businesses[{}].id", one.index)), problem)
        }
        Kind::Entry => {
            let all = Catalog::ALL.into_iter().zip(&draft.catalogs);
            let all = all.filter(|(catalog, _)| of.is_none_or(|of| of == *catalog));
            let mut found = all.filter_map(|(catalog, drafts)| {
                let is_it =
                    |one: &&EntryDraft| one.id.as_ref().is_some_and(|id| is_taken(id.as_str()));
                let one = drafts.iter().flatten().find(is_it)?;
                Some(format!("{catalog}[{}].id", one.index))
            });
            // Entries of several catalogs may have one id, and the error of a commit does not say which is meant.
            let field = found.next().filter(|_| found.next().is_none());
            (
                field,
                "belongs to an entry that was deleted, and is never given again: choose another one"
                    .to_owned(),
            )
        }
        _ => return error,
    };
    match field {
        Some(field) => Error::invalid(&field, "ID_TAKEN", format!("{taken} {problem}")),
        None => error,
    }
}

/// Adds the company to an error about damage.
fn of_company(id: &CompanyId, error: Error) -> Error {
    match error {
        Error::Internal(cause) => Error::Internal(cause.within(format!("company {id}"))),
        other => other,
    }
}

enum Refusal {
    Document(Problems),
    Other(Error),
}
