//! `customer-settings plan` and `apply`: what documents would change, and changing it, on a server or on the data
//! itself.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::{Args, Command};
use customer_settings_server::{
    catalog::{id::CompanyId, text::Name},
    store::Access,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::verbs::confirm_shown_by;
use crate::{
    failure::{Exit, Failure, failure, usage},
    output::tell,
    storage::Purpose,
    target::{Client, FieldNames, Refused, Target},
    values,
};

mod ahead;
mod alone;
mod applying;
mod file;
mod findings;
mod lines;
mod located;
mod most;
mod places;
mod reading;
mod shown;

use ahead::{Ahead, Planned};
use applying::Applying;
use file::PlanFile;
use findings::{Finding, Findings};
use lines::{Groups, Writer};
use located::Located;
use most::Most;
use places::Places;
use reading::Input;
pub(super) use reading::sent;
use shown::{Shown, Style};

const PLAN: &str = "SettingsService/PlanSettings";
const APPLY: &str = "SettingsService/ApplySettings";

/// How documents count.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
struct Terms {
    /// Archive the active entries that a catalog of the document does not name, if they are not too many
    #[arg(long)]
    prune: bool,
    /// The most entries of a catalog that --prune may archive, where it would refuse
    #[arg(long, value_name = "NUMBER", requires = "prune", default_value_t = 0)]
    #[arg(hide_default_value = true)]
    prune_limit: u32,
    /// Parts of existing entries that stay as they are: order, description, color, is_default
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = values::item)]
    ignore: Vec<String>,
}

/// The documents, and the company that they are about.
#[derive(Args, Clone, Debug)]
struct Documents {
    /// The documents, `-` for standard input; or for apply one file that plan wrote with --out
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Take the document's only company for this one. If there is such a company, it keeps its own name, country, time
    /// zone and state
    #[arg(long = "as", value_name = "COMPANY")]
    copy: Option<String>,
}

/// Show what documents would change, and change nothing
#[derive(Args)]
#[command(after_help = "\
Examples:
  customer-settings plan companies.yaml
  customer-settings plan companies.yaml --prune --out settings.plan && customer-settings apply settings.plan
  customer-settings plan companies.yaml --check    # for CI: ends with 7 where there are differences")]
pub(crate) struct Plan {
    #[command(flatten)]
    documents: Documents,
    #[command(flatten)]
    terms: Terms,
    /// Write the plan into this file, for apply
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End with exit code 7 if there are differences
    #[arg(long)]
    check: bool,
    /// Print the plan as Markdown, for a pull request
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    target: Target,
}

/// Make companies agree with documents, or with a plan that was shown
///
/// All companies are planned before the first is written. A plan file is applied as it was shown: if what it
/// shows has changed since, nothing is written. A plan that was broken off can be applied again.
#[derive(Args)]
#[command(after_help = "\
Examples:
  customer-settings apply companies.yaml
  customer-settings apply settings.plan --yes
  customer-settings export --company cmp_001 --without ids,audit | customer-settings apply --as cmp_002 --yes -")]
pub(crate) struct Apply {
    #[command(flatten)]
    documents: Documents,
    #[command(flatten)]
    terms: Terms,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The staff member who signs the changes; needs a key with the scope staff:any
    #[arg(long = "as-staff", value_name = "ID")]
    settings_staff_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Plan {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.markdown && self.target.form.is_json() {
            return Err(usage("--markdown and --output json exclude each other"));
        }
        let style = match (self.target.form.is_json(), self.markdown) {
            (true, _) => Style::Json,
            (false, true) => Style::Markdown,
            (false, false) => Style::Table(self.target.form.whole()),
        };
        let inputs = Input::all(&self.documents.files);
        file::refuse(&inputs)?;
        if self.out.as_ref().is_some_and(|out| out.as_os_str() == "-") {
            return Err(usage("--out takes a file: the plan itself is on standard output"));
        }
        if let Some(out) = self.out.as_ref().filter(|out| inputs.iter().any(|one| one.is_at(out))) {
            let name = out.display();
            return Err(usage(format!("--out {name} is a document itself: name another file")));
        }
        if let Some(out) = &self.out {
            file::refuse_other(out)?;
        }
        let mut read = reading::read(&inputs)?;
        let client = self.target.at.connect(None, Purpose::Plan, names::<Self>()).await;
        let mut client = connected(client, (&inputs, &mut read), &self.terms, style)?;
        let (shown, file) =
            self.documents.planned(&mut client, (&inputs, read), self.terms, style).await?;
        let (is_empty, refusal) = (shown.is_empty(), shown.refusal());
        // The file is there before somebody who reads the plan may stop reading.
        if let (Some(out), Ok(())) = (&self.out, &refusal) {
            file.write_to(out)?;
        }
        shown.print()?;
        refusal?;
        match self.check && !is_empty {
            true => Err(Failure { message: String::new(), exit: Exit::Differences }),
            false => Ok(()),
        }
    }
}

impl Apply {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let staff = self.settings_staff_id.as_deref();
        let is_changed = self.terms.prune || !self.terms.ignore.is_empty();
        let inputs = Input::all(&self.documents.files);
        let given = PlanFile::among(&inputs)?;
        let connect = self.target.at.connect(staff, Access::Write, names::<Self>());
        let is_json = self.target.form.is_json();
        let style = match is_json {
            true => Style::Results,
            false => Style::Table(self.target.form.whole()),
        };
        let mut is_fresh = false;
        let (mut client, file) = match given {
            Some(_) if is_changed || self.documents.copy.is_some() => {
                return Err(usage(
                    "a plan says itself what it is about, and what is pruned and ignored: leave that out",
                ));
            }
            Some(file) => match connect.await {
                Ok(client) => (client, file),
                Err(failure) => {
                    let refused = Refused::from(failure);
                    return Err(refused.told(Findings::default(), Shown::new(style)?)?);
                }
            },
            None => {
                let terms = self.terms.clone();
                let mut read = reading::read(&inputs)?;
                let mut client = connected(connect.await, (&inputs, &mut read), &terms, style)?;
                let (shown, file) =
                    self.documents.planned(&mut client, (&inputs, read), terms, style).await?;
                let (is_empty, refusal) = (shown.is_empty(), shown.refusal());
                // The results of a plan that is applied come afterwards.
                if !is_json || is_empty || refusal.is_err() {
                    shown.print()?;
                }
                refusal?;
                if is_empty {
                    return Ok(());
                }
                // A key that may plan all of it may lack a scope for a part. Data has no keys.
                is_fresh = self.yes && !self.target.is_server()?;
                (client, file)
            }
        };
        confirm_shown_by("the command plan", "Apply this plan?", self.yes)?;
        Applying::new(&mut client, &self.target, is_fresh)?.run(&file).await
    }
}

impl Documents {
    /// Plans the companies of documents group by group, and writes them with the ids of what would be made into the
    /// plan's file.
    async fn planned(
        &self,
        client: &mut Client,
        (inputs, read): (&[Input], reading::Documents),
        terms: Terms,
        style: Style,
    ) -> Result<(Shown, PlanFile), Failure> {
        let (mut shown, mut lines, mut count) = (Shown::new(style)?, Writer::new()?, 0);
        let reading::Documents { companies, left_out, places, mut findings } = read;
        let mut located = Located::new(inputs, &left_out, names::<Terms>());
        let mut groups = Groups::of(companies)?;
        let mut first = groups.next()?;
        if first.is_empty() {
            // The server says all the same whether it can be reached, and takes the key and the flags.
            let request = asked(vec![], &terms);
            if let Err(refused) = client.call_told(PLAN, &request).await {
                refused.find_alone(inputs, &terms, &mut findings);
                return Err(refused.told(findings, shown)?);
            }
        }
        if let Some(copy) = &self.copy {
            CompanyId::parse("--as", copy).map_err(usage)?;
            let company = match &mut first[..] {
                [company] => company,
                _ if !findings.is_empty() => return Err(refuse(findings, shown)?),
                _ => return Err(failure("--as takes a document of one company")),
            };
            if let Err(refused) = copied(client, company, copy).await {
                refused.find_alone(inputs, &terms, &mut findings);
                return Err(refused.told(findings, shown)?);
            }
        }
        let places = Arc::new(places);
        let mut ahead = Ahead::new(client, (&terms, &places), first, groups);
        // The problems that planning finds count beside those of reading, if there are any.
        let mut planned = Findings::default();
        while let Some(next) = ahead.next().await? {
            let Planned { mut group, plans, twice, named_twice: again } = match next {
                Ok(next) => next,
                Err(refused) => {
                    if count == 0 {
                        refused.find_alone(inputs, &terms, &mut findings);
                    }
                    if !findings.is_empty() {
                        findings.join(planned);
                    }
                    return Err(refused.told(findings, shown)?);
                }
            };
            again.into_iter().for_each(|again| findings.add(again));
            for (index, plan) in plans {
                let (mut company, number) = (group[index].take(), count + index);
                // Its plan tells everything else that is wrong with such a company.
                if let Some(again) = named_twice(&company, &plan, &places)
                    && !twice.contains(&index)
                {
                    findings.add(again);
                }
                pin(&mut company, &plan);
                let (counts, digest) = (&plan["counts"], &plan["digest"]);
                lines.put(&json!({"company": company, "counts": counts, "digest": digest}))?;
                let told = located.told(number, &plan);
                shown.add(&plan, &told)?;
                told.findings.into_iter().for_each(|one| planned.add(one));
            }
            count += group.len();
        }
        drop(ahead);
        if !findings.is_empty() {
            // Nobody planned the companies that were left out.
            if !left_out.is_empty() {
                alone::find(inputs, &terms, |number| left_out.contains(&number), &mut findings);
            }
            findings.join(planned);
            return Err(refuse(findings, shown)?);
        }
        Ok((shown, PlanFile::new(terms, count, lines)?))
    }
}

/// The connection. Without one, the problems of the documents are told too, as people would meet them next.
fn connected(
    client: Result<Client, Failure>,
    (inputs, read): (&[Input], &mut reading::Documents),
    terms: &Terms,
    style: Style,
) -> Result<Client, Failure> {
    client.or_else(|failure| {
        let mut findings = std::mem::take(&mut read.findings);
        alone::find(inputs, terms, |_| true, &mut findings);
        Err(Refused::from(failure).told(findings, Shown::new(style)?)?)
    })
}

/// Tells what is wrong with documents, for programs too where they want a plan.
fn refuse(findings: Findings, shown: Shown) -> Result<Failure, Failure> {
    let (problems, failure) = findings.refuse();
    shown.print_problems(&json!({"problems": problems}))?;
    Ok(failure)
}

impl Refused {
    /// Finds the contradictions within documents, if nobody could plan them.
    fn find_alone(&self, inputs: &[Input], terms: &Terms, findings: &mut Findings) {
        if self.failure.exit == Exit::Unavailable {
            alone::find(inputs, terms, |_| true, findings);
        }
    }

    /// Tells why nothing was planned: the refusal, and beside it the documents' own problems. They are there whatever the
    /// server says.
    fn told(self, findings: Findings, shown: Shown) -> Result<Failure, Failure> {
        let Self { failure, error } = self;
        if findings.is_empty() {
            shown.print_problems(&json!({"error": error}))?;
            return Ok(failure);
        }
        tell(failure.message);
        let (problems, failure) = findings.refuse();
        shown.print_problems(&json!({"problems": problems, "error": error}))?;
        Ok(failure)
    }
}

/// Makes a document's company one about another company, which keeps its own fields if it exists.
async fn copied(client: &mut Client, company: &mut Value, copy: &str) -> Result<(), Refused> {
    company["id"] = json!(copy);
    let request = asked(vec![json!({"id": copy})], &Terms::default());
    let answer = client.call_told(PLAN, &request).await?;
    let is_there = !text(&answer["plans"][0]["base"]).is_empty();
    if let Some(fields) = company.as_object_mut() {
        // A copy does not come from where the other company comes from.
        fields.remove("source");
        let own = ["name", "country", "timezone", "state"];
        own.iter().filter(|_| is_there).for_each(|own| _ = fields.remove(*own));
    }
    Ok(())
}

/// The flags of a command, for errors. Other fields belong to the document, and keep their names.
fn names<T: Args>() -> FieldNames {
    FieldNames::of(&T::augment_args(Command::new("")), &Command::new(""))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn asked(companies: Vec<Value>, terms: &Terms) -> Value {
    json!({
        "document": {"companies": companies},
        "prune": terms.prune,
        "prune_limit": terms.prune_limit,
        "ignore": terms.ignore,
    })
}

/// Plans companies that fit into one request.
async fn plans(
    client: &mut Client,
    companies: Vec<Value>,
    (terms, most): (&Terms, &Most),
    places: &Places,
) -> Result<Planned, Refused> {
    let mut named_twice = Vec::new();
    let mut rest: Vec<usize> = (0..companies.len()).collect();
    // The companies that another one of the request names too. Each is planned by itself, for what else is wrong with it.
    let mut twice: BTreeSet<usize> = BTreeSet::new();
    let mut alone: Option<std::vec::IntoIter<usize>> = None;
    let mut plans = Vec::with_capacity(companies.len());
    loop {
        if rest.is_empty() {
            let all = || twice.iter().copied().collect::<Vec<_>>().into_iter();
            let Some(next) = alone.get_or_insert_with(all).next() else { break };
            rest.push(next);
        }
        // Where the answer has several pages, the rest is asked for by itself, so that the server reads it once.
        let now = &rest[..most.of(rest.len())];
        let sent: Vec<Value> = now.iter().map(|number| companies[*number].clone()).collect();
        let count = sent.len();
        let request = asked(sent, terms);
        let mut answer = match client.call_told(PLAN, &request).await {
            Ok(answer) => answer,
            Err(refused) if most.shrinks(count, &refused) => continue,
            Err(refused) => {
                let error = &refused.error;
                let sent =
                    request["document"]["companies"].as_array().map_or(&[][..], Vec::as_slice);
                let violations = error["violations"].as_array().map_or(&[][..], Vec::as_slice);
                let found: Option<Vec<_>> =
                    violations.iter().map(|one| places.of_request(sent, one)).collect();
                let Some(found) = found.filter(|found| !found.is_empty()) else {
                    return Err(refused);
                };
                twice.extend(found.iter().map(|(index, _)| rest[*index]));
                rest.retain(|number| !twice.contains(number));
                named_twice.extend(found.into_iter().map(|(_, finding)| finding));
                continue;
            }
        };
        match answer["plans"].take() {
            Value::Array(more) if (1..=count).contains(&more.len()) => {
                let done = rest.drain(..more.len()).zip(more);
                plans.extend(done);
            }
            _ => return Err(failure("the server planned other companies than were sent").into()),
        }
    }
    // In the order of the documents, by which their lines are found.
    plans.sort_unstable_by_key(|(number, _)| *number);
    Ok(Planned { group: companies, plans, twice, named_twice })
}

/// Finds a company that the server found by its name, if the documents name it by its id too.
fn named_twice(company: &Value, plan: &Value, places: &Places) -> Option<Finding> {
    if company["id"].is_string() {
        return None;
    }
    let id = CompanyId::parse("id", text(&plan["companyId"])).ok()?;
    let name = Name::parse("name", text(&company["name"])).ok()?;
    places.of_both(&id, &name)
}

fn pin(company: &mut Value, plan: &Value) {
    if !text(&plan["companyId"]).is_empty() {
        company["id"] = plan["companyId"].clone();
    }
    for step in plan["steps"].as_array().into_iter().flatten() {
        let place = text(&step["path"]).strip_suffix(']').and_then(|path| path.split_once('['));
        let Some((list, index)) = place else { continue };
        let index: Option<usize> = index.parse().ok();
        if let Some(item) = index.and_then(|index| company.get_mut(list)?.get_mut(index)) {
            item["id"] = step["id"].clone();
        }
    }
}
