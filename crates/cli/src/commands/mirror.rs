//! `customer-settings mirror`: a live account elsewhere, copied again and again into companies here.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use customer_settings_server::{
    catalog::source::{SourceKind, SourceMode},
    clock::{Clock, SystemClock},
    service::document::{CompanyRow, SourceRow},
    store::Access,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{load::plain, plan::sent, verbs::confirm_shown_by};
use crate::{
    account::{Account, Company, From, absent, chosen},
    failure::{Exit, Failure, failure},
    mirror::{Allowed, Wanted, wanted},
    output::{note, print, print_json, tell},
    storage::Purpose,
    target::{Client, FieldNames, Target, new_request_id},
    values,
};

mod report;

use report::{Outcome, Round, State};

const EXPORT: &str = "SettingsService/ExportSettings";
const PLAN: &str = "SettingsService/PlanSettings";
const APPLY: &str = "SettingsService/ApplySettings";
const LIST: &str = "CompanyService/ListCompanies";
const REPORT: &str = "CompanyService/ReportSourceCheck";
/// A company needs so many requests to the account: its locations, and four lists.
const REQUESTS_PER_COMPANY: u64 = 5;

/// Copy a live MoeGo account into companies here, again and again
///
/// Reads the companies, locations and lists of the account by its public API, one request at a time, and makes the
/// companies here the same: with the ids, the order, the names, the colors of action statuses, the default, and the authors
/// and times of tags. An entry that the account no longer has is archived here, and one that it has again is restored. Nothing is ever
/// written to the account.
///
/// Only a whole answer counts. If a request fails, or an answer is not one, the company stays as it is until the next
/// round. A list that would lose more than a third of its active entries at once, or its last one, is left alone, until the
/// next round finds the same or --accept-archive allows it. Values that the rules here refuse stay as they are, and are
/// named. `company get` shows when a company was last compared, and how that ended.
///
/// In these companies everything that the account has is changed there, and refused here. `mirror cutover` ends that for
/// companies that are mirrors: it copies once more, reads again, and if nothing differs, the company here is the original
/// from then on.
///
/// A company that is here already, and is no mirror, is taken over only if --company names it. On a server the key needs the
/// scopes settings:read, settings:write, companies:read, companies:write and sources:write, and all companies. The exit
/// code is 1 if anything was left alone.
#[derive(Args)]
#[command(after_help = "\
Examples:
  customer-settings mirror --from https://openapi.moego.pet --from-key-file moego.key --estimate
  customer-settings mirror --from https://openapi.moego.pet --from-key-file moego.key --check
  customer-settings mirror --from https://openapi.moego.pet --from-key-file moego.key --every 5m
  customer-settings mirror cutover --from https://openapi.moego.pet --from-key-file moego.key --company cmp_001")]
pub(crate) struct Mirror {
    /// The thing to do in place of copying
    #[arg(value_name = "cutover", value_enum)]
    action: Option<Action>,
    #[command(flatten)]
    from: From,
    /// Copy once; this is the default
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// Copy again and again, with this time between the beginnings of two rounds
    #[arg(long, value_name = "SPAN", value_parser = values::timeout)]
    #[arg(conflicts_with_all = ["action", "check", "estimate"])]
    every: Option<Duration>,
    /// Change nothing, and end with exit code 7 if there are differences
    #[arg(long, conflicts_with_all = ["action", "estimate"])]
    check: bool,
    /// Read the companies alone, and say how long a round takes
    #[arg(long, conflicts_with = "action")]
    estimate: bool,
    /// A list may lose so many active entries at once
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = |text: &str| values::whole_number(text, 0_usize, 5_000))]
    accept_archive: usize,
    /// Do not ask
    #[arg(long, requires = "action")]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Copy once more, and if nothing differs, end the mirror: the companies here are the original from then on
    Cutover,
}

/// How far a company is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Copy,
    Check,
    Cutover,
}

/// A company here that has a source.
struct Sourced {
    mode: String,
    /// The lists that the last comparison held back.
    held_back: String,
}

/// A company here.
enum Held {
    Sourced(Sourced),
    WithoutSource,
    /// Nobody can tell whether it has a source.
    Damaged,
}

impl Held {
    fn sourced(&self) -> Option<&Sourced> {
        match self {
            Self::Sourced(sourced) => Some(sourced),
            Self::WithoutSource | Self::Damaged => None,
        }
    }

    fn is_mirror(&self) -> bool {
        self.sourced().is_some_and(|sourced| sourced.mode == MIRROR)
    }
}

type Here = HashMap<String, Held>;

/// The end of a round before its last company.
struct End {
    /// The company whose reading ended it.
    company_id: String,
    exit: Exit,
}

/// One run of the command.
struct Mirroring<'a> {
    command: &'a Mirror,
    account: Account,
    client: Client,
    is_server: bool,
}

impl Mirror {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let account = self.from.open()?;
        if self.estimate {
            return self.estimated(account).await;
        }
        let aim = match (self.action, self.check) {
            (Some(Action::Cutover), _) => Aim::Cutover,
            (None, true) => Aim::Check,
            (None, false) => Aim::Copy,
        };
        if aim == Aim::Cutover {
            let question =
                "End the mirror of these companies? From then on they are changed here alone.";
            confirm_shown_by("'mirror --check' without cutover", question, self.yes)?;
        }
        let purpose = if aim == Aim::Check { Purpose::Plan } else { Purpose::Use(Access::Write) };
        let client = match self.target.at.connect(None, purpose, FieldNames::default()).await {
            Ok(client) => client,
            Err(failure) => {
                let round = Err(failure);
                self.show(&round)?;
                return round.map(|_| ());
            }
        };
        let is_server = self.target.is_server()?;
        let mut mirroring = Mirroring { command: &self, account, client, is_server };
        let Some(every) = self.every else {
            let round = mirroring.round(aim).await;
            self.show(&round)?;
            return round?.ended(aim == Aim::Check);
        };
        loop {
            let begin = SystemClock.monotonic();
            // A round that failed says why, and the next one comes anyway.
            let round = mirroring.round(aim).await;
            self.show(&round)?;
            if let Err(Failure { message, .. }) = round {
                tell(format!("error: {message}"));
            }
            sleep(every.saturating_sub(since(begin))).await;
        }
    }

    /// Prints a round, or for programs its error.
    fn show(&self, round: &Result<Round, Failure>) -> Result<(), Failure> {
        match round {
            Ok(round) if self.target.form.is_json() => print_json(&round.json()),
            Ok(round) => {
                note(round);
                Ok(())
            }
            Err(Failure { message, .. }) if self.target.form.is_json() => {
                print_json(&json!({"companies": [], "error": message}))
            }
            Err(_) => Ok(()),
        }
    }

    async fn estimated(&self, mut account: Account) -> Result<(), Failure> {
        let begin = SystemClock.monotonic();
        let all = account.companies().await?;
        let pages = account.requests();
        let each = (since(begin) / u32::try_from(pages).unwrap_or(u32::MAX)).max(self.from.pace());
        let (companies, missing) = chosen(all, self.from.companies());
        if !missing.is_empty() {
            return Err(absent(&missing));
        }
        let requests = pages + REQUESTS_PER_COMPANY * companies.len() as u64;
        let seconds = (each.as_secs_f64() * requests as f64).ceil();
        if self.target.form.is_json() {
            let (companies, seconds) = (companies.len(), seconds as u64);
            return print_json(
                &json!({"companies": companies, "requests": requests, "seconds": seconds}),
            );
        }
        let (span, each) = (
            humantime::format_duration(Duration::from_secs(seconds as u64)),
            humantime::format_duration(Duration::from_millis(each.as_millis() as u64)),
        );
        print(&format!(
            "companies: {}\nrequests: {requests}, one each {each}\na round takes: {span}\n",
            companies.len()
        ))
    }
}

impl Mirroring<'_> {
    async fn round(&mut self, aim: Aim) -> Result<Round, Failure> {
        self.account.begin();
        let here = self.here().await?;
        let asked = self.command.from.companies();
        let ends_all = aim == Aim::Cutover && asked.is_empty();
        let has_end = |held: &Held| !matches!(held, Held::WithoutSource);
        if ends_all && !here.values().any(has_end) {
            return Err(failure("no company here is a mirror, so there is nothing to cut over"));
        }
        let all = self.account.companies().await?;
        let mut round = Round::default();
        if asked.is_empty() {
            for outcome in gone(&here, &all) {
                round.companies.push(self.ended(outcome, aim, true).await?);
            }
        }
        let (mut companies, missing) = chosen(all, asked);
        if !missing.is_empty() {
            return Err(absent(&missing));
        }
        if ends_all {
            companies.retain(|company| here.get(&company.id).is_some_and(has_end));
        }
        let count = companies.len();
        let mut end: Option<End> = None;
        for (done, company) in companies.into_iter().enumerate() {
            self.account.is_at(done, count);
            let id = company.id.clone();
            let held = here.get(&id);
            let outcome = match &end {
                Some(End { company_id, .. }) => {
                    let problem = format!("was not read, as the round ended with {company_id:?}");
                    Outcome::left_alone(&id, &problem)
                }
                None => self.outcome(company, held, aim, &mut end).await?,
            };
            let was_mirror = held.is_some_and(Held::is_mirror);
            round.companies.push(self.ended(outcome, aim, was_mirror).await?);
        }
        round.requests = self.account.requests();
        round.broken_off = end.map(|end| end.exit);
        Ok(round)
    }

    /// The companies here, also archived ones.
    async fn here(&mut self) -> Result<Here, Failure> {
        let mut here = Here::new();
        let mut request = json!({"show_archived": true});
        loop {
            let answer = self.client.call(LIST, &request).await?;
            for company in answer["companies"].as_array().into_iter().flatten() {
                let source = &company["source"];
                let sourced = |mode: &str| {
                    Held::Sourced(Sourced {
                        mode: mode.to_lowercase(),
                        held_back: text(&source["lastCheck"]["heldBack"]).to_owned(),
                    })
                };
                let held = source["mode"].as_str().map_or(Held::WithoutSource, sourced);
                here.insert(text(&company["id"]).to_owned(), held);
            }
            for id in answer["damagedIds"].as_array().into_iter().flatten() {
                here.insert(text(id).to_owned(), Held::Damaged);
            }
            request["page_token"] = answer["nextPageToken"].clone();
            if text(&answer["nextPageToken"]).is_empty() {
                return Ok(here);
            }
        }
    }

    /// Tells how a company ended, and if it is a mirror, stores that on the server.
    async fn ended(
        &mut self,
        mut outcome: Outcome,
        aim: Aim,
        was_mirror: bool,
    ) -> Result<Outcome, Failure> {
        let is_mirror = was_mirror || outcome.state == State::Changed;
        if is_mirror && aim != Aim::Check {
            match self.client.call(REPORT, &outcome.report()).await {
                Err(Failure { message, exit: Exit::Failed | Exit::NotFound | Exit::Conflict }) => {
                    outcome.problems.push(format!("this outcome was not stored: {message}"));
                }
                reported => _ = reported?,
            }
        }
        if aim == Aim::Cutover && is_mirror && !outcome.problems.is_empty() {
            let id = &outcome.company_id;
            outcome.problems.push(format!(
                "stays a mirror: if that cannot be mended, this ends the mirror as the company is here: echo 'companies: \
                 [{{id: {id}, source: {{kind: moego, mode: cutover}}}}]' | customer-settings apply --yes - (with the \
                 same --data-dir or --server)"
            ));
        }
        outcome.tell();
        Ok(outcome)
    }

    async fn outcome(
        &mut self,
        company: Company,
        here: Option<&Held>,
        aim: Aim,
        end: &mut Option<End>,
    ) -> Result<Outcome, Failure> {
        let id = company.id.clone();
        let is_named = self.command.from.companies().contains(&id);
        match here {
            Some(held @ Held::Sourced(_)) if !held.is_mirror() => {
                return Ok(Outcome::new(&id, State::CutOver));
            }
            None | Some(Held::WithoutSource) if aim == Aim::Cutover => {
                let problem = format!(
                    "is no mirror, so there is nothing to cut over: 'mirror --company {id}' makes it one"
                );
                return Ok(Outcome::left_alone(&id, &problem));
            }
            Some(Held::WithoutSource) if !is_named => {
                let problem =
                    "is here already, and is no mirror: name it with --company to take it over";
                return Ok(Outcome::left_alone(&id, problem));
            }
            _ => {}
        }
        let held_back = here.and_then(Held::sourced).map_or("", |sourced| &sourced.held_back);
        let before = here.map(|_| held_back);
        let copied = self.copied(company.clone(), before, aim != Aim::Check, end).await;
        let mut outcome = match copied {
            // The data of this company is damaged, or it was changed meanwhile: others are copied.
            Err(Failure { message, exit: Exit::Failed | Exit::NotFound | Exit::Conflict }) => {
                return Ok(Outcome::left_alone(&id, &message));
            }
            copied => copied?,
        };
        if aim == Aim::Cutover && outcome.problems.is_empty() {
            outcome = self.copied(company, Some(held_back), false, end).await?;
            if outcome.state == State::Agrees && outcome.problems.is_empty() {
                self.cut_over(&id).await?;
                outcome.state = State::CutOver;
            } else if outcome.problems.is_empty() {
                outcome
                    .problems
                    .push("differs again, and stays a mirror: somebody changes it".to_owned());
            }
        }
        Ok(outcome)
    }

    /// Reads a company, and copies it or says what differs. `before` is what the last comparison held back, of a company
    /// that is here.
    async fn copied(
        &mut self,
        company: Company,
        before: Option<&str>,
        writes: bool,
        end: &mut Option<End>,
    ) -> Result<Outcome, Failure> {
        let id = company.id.clone();
        let reading = match self.account.reading(company).await {
            Ok(reading) => reading,
            Err(unread) => {
                if unread.is_final {
                    *end = Some(End { company_id: id.clone(), exit: unread.exit });
                }
                return Ok(Outcome::left_alone(&id, &format!("was not read: {}", unread.problem)));
            }
        };
        let here = if before.is_some() { Some(self.exported(&id).await?) } else { None };
        let accepted = self.command.accept_archive;
        let allowed = Allowed { accepted, before: before.unwrap_or_default() };
        let mut wanted = wanted(&reading, here.as_ref(), &allowed);
        let (kind, mode) = (SourceKind::MoeGo.as_str().to_owned(), MIRROR.to_owned());
        wanted.row.source = Some(SourceRow { kind: Some(kind), mode: Some(mode) });
        let (request, plan) = self.planned(&mut wanted).await?;
        let mut outcome = Outcome::new(&id, State::Agrees);
        outcome.problems.extend(wanted.refused);
        outcome.problems.extend(wanted.warnings);
        outcome.held_back = Some(wanted.held_back.join(" "));
        if plan["error"].is_object() {
            return Ok(outcome.refused(text(&plan["error"]["message"])));
        }
        if plan["steps"].as_array().is_none_or(Vec::is_empty) {
            if !outcome.problems.is_empty() {
                outcome.state = State::LeftAlone;
            }
            return Ok(outcome);
        }
        outcome.counts = plan["counts"].clone();
        outcome.state = State::Differs;
        if writes {
            self.write(&mut outcome, request, &plan["digest"]).await?;
        }
        Ok(outcome)
    }

    /// The plan of a company, and its request. A thing whose id belongs to another one here is left out, and the plan is
    /// made again.
    async fn planned(&mut self, wanted: &mut Wanted) -> Result<(Value, Value), Failure> {
        loop {
            let request = json!({
                "document": {"companies": [sent(&wanted.row)?]},
                "prune": true,
                "prune_limit": wanted.lost,
                "as_source": true,
            });
            let plan = self.client.call(PLAN, &request).await?["plans"][0].take();
            let taken = match plan["error"]["violations"].as_array().map(Vec::as_slice) {
                Some([one]) if one["reason"] == "ID_TAKEN" => one,
                _ => return Ok((request, plan)),
            };
            if !wanted.leave_out(text(&taken["field"]), text(&taken["description"])) {
                return Ok((request, plan));
            }
        }
    }

    /// Applies a plan as it was made. Another change may come first: then the next round sees it.
    async fn write(
        &mut self,
        outcome: &mut Outcome,
        mut request: Value,
        digest: &Value,
    ) -> Result<(), Failure> {
        request["digests"] = json!({ outcome.company_id.as_str(): digest });
        let answer = self.applied(request).await?;
        let result = &answer["results"][0];
        match text(&result["error"]["message"]) {
            "" => outcome.wrote(&result["counts"]),
            error => {
                outcome.state = State::LeftAlone;
                outcome.problems.push(error.to_owned());
            }
        }
        Ok(())
    }

    async fn applied(&mut self, mut request: Value) -> Result<Value, Failure> {
        if self.is_server {
            request["request_id"] = json!(new_request_id()?);
        }
        self.client.call(APPLY, &request).await
    }

    async fn cut_over(&mut self, id: &str) -> Result<(), Failure> {
        let source = json!({"kind": SourceKind::MoeGo.as_str(), "mode": "CUTOVER"});
        let request = json!({"document": {"companies": [{"id": id, "source": source}]}});
        let answer = self.applied(request).await?;
        match text(&answer["results"][0]["error"]["message"]) {
            "" => Ok(()),
            problem => Err(failure(format!("{id}: {problem}"))),
        }
    }

    async fn exported(&mut self, id: &str) -> Result<CompanyRow, Failure> {
        let request = json!({"company_ids": [id], "with_ids": true, "with_audit": true});
        let mut answer = self.client.call(EXPORT, &request).await?;
        Ok(serde_json::from_value(plain(answer["document"]["companies"][0].take()))?)
    }
}

const MIRROR: &str = SourceMode::Mirror.as_str();

/// The mirrors here whose companies the account does not have.
fn gone(here: &Here, all: &[Company]) -> Vec<Outcome> {
    let there: HashSet<&str> = all.iter().map(|company| company.id.as_str()).collect();
    let is_gone = |(id, held): &(&String, &Held)| held.is_mirror() && !there.contains(id.as_str());
    let mut gone: Vec<&String> = here.iter().filter(is_gone).map(|(id, _)| id).collect();
    gone.sort();
    let problem = "is not in the account any more";
    gone.into_iter().map(|id| Outcome::left_alone(id, problem)).collect()
}

fn since(begin: Instant) -> Duration {
    SystemClock.monotonic().saturating_duration_since(begin)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
