//! Settings as documents: plans, their application, exports.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use customer_settings_contract::customersettings::v1::{
    ApplySettingsRequest, ApplySettingsResponse, CompanyPlan, CompanyResult, Document,
    ExportSettingsRequest, ExportSettingsResponse, FieldChange, PlanCounts, PlanError, PlanRemark,
    PlanSettingsRequest, PlanSettingsResponse, PlanStep, plan_step::Action as ActionMessage,
    settings_service_server::SettingsService,
};
use prost::Message;
use tokio::task::yield_now;
use tonic::{Request, Response, Status};

use super::{
    Admin, convert, document,
    paging::{Asked, MAX_PAGE_BYTES, ROWS},
    request::{Envelope, repeatable, required},
};
use crate::{
    api::marks::answer,
    catalog::{
        access::Caller,
        change::{Ignored, LoadOptions},
        entry::MAX_ENTRIES,
        error::{Error, Result, Violation, Violations},
        id::CompanyId,
        preview::{Action, Counts, Digest, Preview, Step},
        settings::Subject,
    },
    service::{
        companies::CompanyRow,
        document::{self as documents, DocumentCompany},
        plans::{Application, Applied, MOST_VIOLATIONS, Meant, Planned},
        settings::AsOf,
    },
    status::{grpc_status, quoted},
};

#[tonic::async_trait]
impl SettingsService for Admin {
    async fn plan_settings(
        &self,
        request: Request<PlanSettingsRequest>,
    ) -> Result<Response<PlanSettingsResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let token = std::mem::take(&mut envelope.message.page_token);
        let plan = async {
            let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
            let mut wrong = Violations::default();
            let asked = Asked::parse("PlanSettings", &envelope.message, (0, &token), ROWS);
            let begin = |asked: Asked| {
                let begin = asked.after(1, |words| words.first()?.parse::<usize>().ok())?;
                Ok((asked, begin.unwrap_or_default()))
            };
            let asked = wrong.check(asked.and_then(begin));
            let sent = envelope.message;
            let options = wrong.check(options(sent.prune, sent.prune_limit, &sent.ignore));
            let (service, key) = (self.clone(), caller.actor.key_id.clone());
            let work = async move {
                let terms = wrong.finish(|| Some((asked?, options?)));
                let (companies, terms) = both(companies(sent.document), terms)?;
                let ((asked, begin), options) = terms;
                let options = LoadOptions { is_of_source: sent.as_source, ..options };
                let begin = begin.min(companies.len());
                let how = (&options, deadline);
                let meant = service.0.load.meant(&caller, &companies).await?;
                let (plans, next) = service.plans(&caller, &meant[begin..], how).await?;
                let next_page_token =
                    next.map(|next| asked.token(&(begin + next).to_string())).unwrap_or_default();
                let counts = Some(sum(plans.iter().filter_map(|plan| plan.counts.as_ref())));
                Ok(PlanSettingsResponse { plans, next_page_token, counts })
            };
            self.0.long_work.run(key.as_ref(), deadline, work).await
        };
        answer(plan.await)
    }

    async fn apply_settings(
        &self,
        request: Request<ApplySettingsRequest>,
    ) -> Result<Response<ApplySettingsResponse>, Status> {
        let envelope = Envelope::open_write(request);
        let apply = async {
            let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
            let mut wrong = Violations::default();
            let request = wrong.check(envelope.log_request());
            let sent = envelope.message;
            let options = wrong.check(options(sent.prune, sent.prune_limit, &sent.ignore));
            let digests = wrong.check(digests(sent.digests));
            let (load, key) = (self.0.load.clone(), caller.actor.key_id.clone());
            let work = async move {
                let terms = wrong.finish(|| {
                    Some(Application {
                        options: LoadOptions { is_of_source: sent.as_source, ..options? },
                        digests: digests?,
                        request: request?.filter(|_| !sent.validate_only),
                        validate_only: sent.validate_only,
                        deadline,
                    })
                });
                let (companies, how) = both(companies(sent.document), terms)?;
                load.apply(&caller, &companies, &how).await
            };
            let applied = self.0.long_work.run(key.as_ref(), deadline, work).await?;
            let is_repeated = |one: &Applied| matches!(one.outcome, Ok((_, true)));
            let repeated = !applied.is_empty() && applied.iter().all(is_repeated);
            let results = applied.into_iter().map(result).collect();
            Ok((repeated, ApplySettingsResponse { results }))
        };
        repeatable(apply.await)
    }

    async fn export_settings(
        &self,
        request: Request<ExportSettingsRequest>,
    ) -> Result<Response<ExportSettingsResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let token = std::mem::take(&mut envelope.message.page_token);
        let export = async {
            let (caller, deadline) = (envelope.caller()?.clone(), envelope.deadline()?);
            let asked = Asked::parse("ExportSettings", &envelope.message, (0, &token), ROWS);
            let (ids, asked) = both(company_ids(&envelope.message.company_ids), asked)?;
            let (service, key) = (self.clone(), caller.actor.key_id.clone());
            let sent = envelope.message;
            let work =
                async move { service.exported(&caller, (&sent, ids), &asked, deadline).await };
            self.0.long_work.run(key.as_ref(), deadline, work).await
        };
        answer(export.await)
    }
}

impl Admin {
    /// Plans until the page is full: the plans, and the place of the first company that is left.
    async fn plans(
        &self,
        caller: &Caller,
        companies: &[Meant<'_>],
        (options, deadline): (&LoadOptions, Instant),
    ) -> Result<(Vec<CompanyPlan>, Option<usize>)> {
        let (mut plans, mut bytes) = (Vec::new(), 0);
        for (index, one) in companies.iter().enumerate() {
            let plan = match self.0.load.preview(caller, one, options, deadline).await {
                Ok(planned) => shown(planned),
                Err(error) if !error.is_of_content() => return Err(error),
                Err(error) => CompanyPlan {
                    company_id: known_id(one),
                    counts: Some(PlanCounts::default()),
                    error: Some(refusal(&error)),
                    ..Default::default()
                },
            };
            bytes += plan.encoded_len();
            if bytes > MAX_PAGE_BYTES && !plans.is_empty() {
                return Ok((plans, Some(index)));
            }
            plans.push(plan);
            yield_now().await;
        }
        Ok((plans, None))
    }

    async fn exported(
        &self,
        caller: &Caller,
        (sent, ids): (&ExportSettingsRequest, Vec<CompanyId>),
        asked: &Asked,
        deadline: Instant,
    ) -> Result<ExportSettingsResponse> {
        let (candidates, rest) = self.to_export(caller, ids, asked).await?;
        let (mut companies, mut bytes, mut next) = (Vec::new(), 0, rest);
        let mut last = None;
        for (id, place) in candidates {
            let (settings, _) = self.0.settings.read(caller, &id, AsOf::Now, deadline).await?;
            let row = documents::row(&settings);
            let row = if sent.with_ids { row } else { row.without_ids() };
            let row = if sent.with_audit { row } else { row.without_audit() };
            let company = document::company(row)?;
            bytes += company.encoded_len();
            if bytes > MAX_PAGE_BYTES && !companies.is_empty() {
                next = last;
                break;
            }
            companies.push(company);
            last = Some(place);
            yield_now().await;
        }
        let next_page_token = next.map(|place| asked.token(&place)).unwrap_or_default();
        let document = Some(Document { version: document::VERSION, companies });
        Ok(ExportSettingsResponse { document, next_page_token })
    }

    /// Companies to export, each with the place behind it, and the place behind all of them if there are more.
    async fn to_export(
        &self,
        caller: &Caller,
        ids: Vec<CompanyId>,
        asked: &Asked,
    ) -> Result<(Vec<(CompanyId, String)>, Option<String>)> {
        if !ids.is_empty() {
            let begin = asked.after(1, |words| words.first()?.parse::<usize>().ok())?;
            let places = ids.into_iter().zip(1_usize..);
            let left = places.skip(begin.unwrap_or_default());
            return Ok((left.map(|(id, place)| (id, place.to_string())).collect(), None));
        }
        let after = asked.after(2, |words| {
            let [id, name] = words else { return None };
            Some(((*name).to_owned(), CompanyId::parse("id", id).ok()?))
        })?;
        let place = |(name, id): (String, CompanyId)| format!("{id} {name}");
        let mut found = Vec::new();
        let take = |row: &CompanyRow| {
            if found.len() == usize::from(ROWS.most()) {
                return false;
            }
            let at = match row {
                Ok(company) => (company.name.to_string(), company.id.clone()),
                // Reading it names the damage.
                Err(damaged) => damaged.place.clone(),
            };
            found.push((at.1.clone(), place(at)));
            true
        };
        let which = (after, u32::from(ROWS.most()) + 1);
        let rest = self.0.companies.companies_after(caller, true, which, take).await?;
        Ok((found, rest.map(place)))
    }
}

/// Both values, or all that is wrong with either.
fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Err(Error::Invalid(mut found)), Err(Error::Invalid(more))) => {
            found.extend(more);
            Err(Error::Invalid(found))
        }
        (one, other) => Ok((one?, other?)),
    }
}

/// The companies to export, each of which is named once.
fn company_ids(sent: &[String]) -> Result<Vec<CompanyId>> {
    let mut first = HashMap::new();
    let mut parse = |(i, id): (usize, &String)| {
        let field = format!("company_ids[{i}]");
        let id = CompanyId::parse(&field, id)?;
        match first.insert(id.clone(), i) {
            None => Ok(id),
            Some(first) => {
                let description = format!("names {id} again, which company_ids[{first}] names");
                Err(Violation::new(&field, "DUPLICATE", description))
            }
        }
    };
    let mut wrong = Violations::default();
    let ids = sent.iter().enumerate().filter_map(|one| wrong.check(parse(one))).collect();
    wrong.finish(|| Some(ids))
}

/// The companies of a document, whose values must all be valid.
fn companies(sent: Option<Document>) -> Result<Vec<DocumentCompany>> {
    let sent = required("document", sent)?;
    let mut violations = Vec::new();
    if ![0, document::VERSION].contains(&sent.version) {
        let description = "must be 1, or left out: this server reads no other";
        violations.push(Violation::new("document.version", "UNKNOWN_VERSION", description));
    }
    let mut companies = Vec::with_capacity(sent.companies.len());
    for (i, company) in sent.companies.into_iter().enumerate() {
        let at = format!("document.companies[{i}]");
        let within = |violation: Violation| match (violation.field.as_str(), violation.reason) {
            ("id", "REQUIRED") => Violation::new(&at, "REQUIRED", "must have an id or a name"),
            _ => violation.within(&at),
        };
        let mut unfit = Vec::new();
        let company = documents::read(&document::company_row(company, &mut unfit));
        if violations.len() < MOST_VIOLATIONS {
            violations.extend(unfit.into_iter().take(MOST_VIOLATIONS).map(within));
            let problems = company.problems.clone().told();
            violations.extend(problems.into_iter().map(|problem| within(problem.violation)));
        }
        companies.push(company);
    }
    if violations.is_empty() { Ok(companies) } else { Err(Error::Invalid(violations)) }
}

fn options(prune: bool, prune_limit: i32, ignore: &[String]) -> Result<LoadOptions> {
    let refuse =
        |reason, description: String| Err(Violation::new("prune_limit", reason, description));
    let limit = usize::try_from(prune_limit).ok().filter(|limit| *limit <= MAX_ENTRIES);
    let mut wrong = Violations::default();
    let limit = wrong.check(match limit {
        None => refuse("OUT_OF_RANGE", format!("must be 0 to {MAX_ENTRIES}")),
        Some(1..) if !prune => refuse("NO_EFFECT", "has no effect without prune".to_owned()),
        Some(limit) => Ok(limit),
    });
    let parse = |(i, name): (usize, &String)| {
        let part = Ignored::parse(&format!("ignore[{i}]"), name);
        wrong.check(part.map_err(|mut unknown| {
            unknown.description.push_str(&format!("; it is {}", documents::quoted(name)));
            unknown
        }))
    };
    let ignore = ignore.iter().enumerate().filter_map(parse).collect();
    wrong.finish(|| {
        Some(LoadOptions { prune, prune_limit: limit?, ignore, ..LoadOptions::default() })
    })
}

fn digests(sent: BTreeMap<String, String>) -> Result<HashMap<CompanyId, Digest>> {
    let mut wrong = Violations::default();
    let parse = |(id, digest): (String, String)| {
        let digest = wrong.check(Digest::parse(&format!("digests[{}]", quoted(&id)), &digest));
        let id = wrong.check(CompanyId::parse("digests", &id));
        Some((id?, digest?))
    };
    let digests = sent.into_iter().filter_map(parse).collect();
    wrong.finish(|| Some(digests))
}

fn shown(Planned { preview, base }: Planned) -> CompanyPlan {
    let Preview { company_id, digest, steps, counts, warnings, .. } = preview;
    CompanyPlan {
        base: base.map(|base| base.to_string()).unwrap_or_default(),
        digest: digest.to_string(),
        steps: steps.into_iter().map(|one| step(&company_id, one)).collect(),
        company_id: company_id.to_string(),
        counts: Some(counted(counts)),
        warnings: warnings.into_iter().map(remark).collect(),
        error: None,
    }
}

fn step(company_id: &CompanyId, step: Step) -> PlanStep {
    let action = match step.action {
        Action::Create => ActionMessage::Create,
        Action::Update => ActionMessage::Update,
        Action::Rename => ActionMessage::Rename,
        Action::Move => ActionMessage::Move,
        Action::Archive => ActionMessage::Archive,
        Action::Restore => ActionMessage::Restore,
    };
    let (collection, id) = match step.subject {
        Subject::Company => ("companies".to_owned(), company_id.to_string()),
        Subject::Business(id) => ("businesses".to_owned(), id.to_string()),
        Subject::Entry(catalog, id) => (catalog.to_string(), id.to_string()),
        Subject::Catalog(_) | Subject::Key(_) => unreachable!("a document has neither"),
    };
    let (from, to) = step.moved.unwrap_or_default();
    let path = step.made_of.map(|index| format!("{collection}[{index}]")).unwrap_or_default();
    let fields = step.fields.into_iter().map(|change| FieldChange {
        field: change.field.to_owned(),
        before: change.before,
        after: change.after,
    });
    PlanStep {
        action: action.into(),
        collection,
        id,
        name: step.name,
        fields: fields.collect(),
        from: number(from),
        to: number(to),
        warnings: step.warnings.into_iter().map(remark).collect(),
        path,
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn counted(counts: Counts) -> PlanCounts {
    PlanCounts {
        created: number(counts.created),
        updated: number(counts.updated),
        renamed: number(counts.renamed),
        moved: number(counts.moved),
        archived: number(counts.archived),
        restored: number(counts.restored),
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a PlanCounts>) -> PlanCounts {
    all.fold(PlanCounts::default(), |sum, one| PlanCounts {
        created: sum.created.saturating_add(one.created),
        updated: sum.updated.saturating_add(one.updated),
        renamed: sum.renamed.saturating_add(one.renamed),
        moved: sum.moved.saturating_add(one.moved),
        archived: sum.archived.saturating_add(one.archived),
        restored: sum.restored.saturating_add(one.restored),
    })
}

fn remark(Violation { field, reason, description }: Violation) -> PlanRemark {
    PlanRemark { field, reason: reason.to_owned(), description }
}

fn result(Applied { company_id, counts, outcome }: Applied) -> CompanyResult {
    let company_id = company_id.to_string();
    match outcome {
        Ok((revision, _)) => {
            let (revision, counts) = (convert::revision(revision), Some(counted(counts)));
            CompanyResult { company_id, revision, counts, error: None }
        }
        Err(error) => {
            let (counts, error) = (Some(PlanCounts::default()), Some(refusal(&error)));
            CompanyResult { company_id, revision: 0, counts, error }
        }
    }
}

/// The id of a company that the document names, or that is there under its name; empty if it would be made.
fn known_id(one: &Meant<'_>) -> String {
    let known = one.id.as_ref().ok().filter(|_| !one.is_new);
    known.map(ToString::to_string).unwrap_or_default()
}

/// A refusal of one company, within an answer about several.
fn refusal(error: &Error) -> PlanError {
    let status = grpc_status(error);
    let violations = match error {
        Error::Invalid(violations) => &violations[..],
        Error::Mirrored(mirrored) => &mirrored.violations,
        _ => &[],
    };
    let violations = violations.iter().take(MOST_VIOLATIONS).cloned().map(remark).collect();
    PlanError {
        code: status.code().into(),
        reason: error.reason().to_owned(),
        message: status.message().to_owned(),
        violations,
    }
}
