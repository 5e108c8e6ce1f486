//! `customer-settings plan` and `apply`: what documents would change, and changing it, on a server or on the data
//! itself.

use std::path::PathBuf;

use clap::Args;
use customer_settings_server::{
    catalog::entry::Catalog,
    service::document::{self, CompanyRow, decode},
    store::Access,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{read_file, verbs::confirm_shown_by};
use crate::{
    failure::{Exit, Failure, failure, usage},
    output::{note, print, print_json, tell},
    target::{Client, FieldNames, Target, new_request_id},
};

mod shown;

use shown::{Counts, Style};

const PLAN: &str = "SettingsService/PlanSettings";
const APPLY: &str = "SettingsService/ApplySettings";
/// A request has so many companies and bytes at most, so that any server takes it.
const MOST_COMPANIES: usize = 200;
const MOST_BYTES: usize = 768 << 10;

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
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
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

/// A plan in a file: the document with the ids of what would be made, how it counts, and the digests of its plans. It
/// holds no key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    /// The version of the file's form.
    plan: u32,
    terms: Terms,
    companies: Vec<Value>,
    /// The digest of each company's plan, in the same order.
    digests: Vec<String>,
}

/// A plan as it is shown, and what applies it.
struct Planned {
    plans: Vec<Value>,
    file: PlanFile,
}

impl Planned {
    fn refused(&self) -> usize {
        self.plans.iter().filter(|plan| plan["error"].is_object()).count()
    }

    fn is_empty(&self) -> bool {
        self.plans.iter().all(|plan| plan["steps"].as_array().is_none_or(Vec::is_empty))
    }
}

impl Plan {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut client = self.target.connect(None, Access::Read, FieldNames::default()).await?;
        let companies = self.documents.companies(&mut client).await?;
        let planned = planned(&mut client, companies, self.terms).await?;
        if self.target.form.is_json() {
            print_json(&json!({"plans": planned.plans}))?;
        } else {
            let style =
                if self.markdown { Style::Markdown } else { Style::Table(self.target.form) };
            print(&shown::plans(&planned.plans, style))?;
        }
        refuse(&planned)?;
        if let Some(out) = &self.out {
            let file = serde_json::to_vec_pretty(&planned.file)?;
            std::fs::write(out, file).map_err(|error| {
                failure(format!("{} cannot be written: {error}", out.display()))
            })?;
        }
        match self.check && !planned.is_empty() {
            true => Err(Failure { message: String::new(), exit: Exit::Differences }),
            false => Ok(()),
        }
    }
}

impl Apply {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let staff = self.settings_staff_id.as_deref();
        let mut client = self.target.connect(staff, Access::Write, FieldNames::default()).await?;
        let (is_changed, copy) =
            (self.terms.prune || !self.terms.ignore.is_empty(), &self.documents.copy);
        let file = match plan_file(&self.documents.files)? {
            Some(_) if is_changed || copy.is_some() => {
                return Err(usage(
                    "a plan says itself what it is about, and what is pruned and ignored: leave that out",
                ));
            }
            Some(file) => file,
            None => {
                let companies = self.documents.companies(&mut client).await?;
                let planned = planned(&mut client, companies, self.terms.clone()).await?;
                if !self.target.form.is_json() {
                    print(&shown::plans(&planned.plans, Style::Table(self.target.form)))?;
                }
                refuse(&planned)?;
                if planned.is_empty() {
                    return Ok(());
                }
                planned.file
            }
        };
        confirm_shown_by("the command plan", "Apply this plan?", self.yes)?;
        let is_server = self.target.is_server()?;
        self.applied(&mut client, file, is_server).await
    }

    async fn applied(
        &self,
        client: &mut Client,
        file: PlanFile,
        is_server: bool,
    ) -> Result<(), Failure> {
        let (mut results, mut counts) = (Vec::new(), Counts::default());
        let digests = file.digests.iter().map(|digest| json!(digest));
        let pairs: Vec<(Value, Value)> = file.companies.into_iter().zip(digests).collect();
        let mut rest = &pairs[..];
        while !rest.is_empty() {
            let (group, more) = rest.split_at(group(rest.iter().map(|(company, _)| company)));
            rest = more;
            let digest = |(company, digest): &(Value, Value)| {
                Some((company["id"].as_str()?.to_owned(), digest.clone()))
            };
            let digests: Map<String, Value> = group.iter().filter_map(digest).collect();
            let companies: Vec<&Value> = group.iter().map(|(company, _)| company).collect();
            let mut request = asked(&companies, &file.terms);
            request["digests"] = Value::Object(digests);
            if is_server {
                request["request_id"] = json!(new_request_id()?);
            }
            let answer = client.call(APPLY, &request).await?;
            results.extend(answer["results"].as_array().cloned().unwrap_or_default());
        }
        let mut failed = 0;
        for result in &results {
            if result["error"].is_object() {
                failed += 1;
                let (id, message) = (&result["companyId"], &result["error"]["message"]);
                tell(format!("{}: {}", text(id), text(message)));
            }
            counts.add(&result["counts"]);
        }
        if self.target.form.is_json() {
            print_json(&json!({"results": results}))?;
        } else {
            note(format!("applied: {counts}"));
        }
        match failed {
            0 => Ok(()),
            failed => {
                Err(failure(format!("{failed} of {} companies were not written", results.len())))
            }
        }
    }
}

impl Documents {
    /// The companies, as a request has them.
    async fn companies(&self, client: &mut Client) -> Result<Vec<Value>, Failure> {
        let mut companies = companies(&self.files)?;
        let Some(copy) = &self.copy else { return Ok(companies) };
        let [company] = &mut companies[..] else {
            let found = companies.len();
            return Err(failure(format!(
                "--as takes documents of one company, and there are {found}"
            )));
        };
        company["id"] = json!(copy);
        // A copy does not come from where the other company comes from.
        company.as_object_mut().map(|fields| fields.remove("source"));
        let answer = client.call(PLAN, &asked(&[&json!({"id": copy})], &Terms::default())).await?;
        if let Some(fields) =
            company.as_object_mut().filter(|_| !text(&answer["plans"][0]["base"]).is_empty())
        {
            ["name", "country", "timezone", "state"].iter().for_each(|own| _ = fields.remove(*own));
        }
        Ok(companies)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The companies of documents, as a request has them.
fn companies(files: &[PathBuf]) -> Result<Vec<Value>, Failure> {
    let (mut companies, mut is_wrong) = (Vec::new(), false);
    for file in files {
        let content = decode(read_file(file, u64::MAX)?)?;
        for company in document::parse(&content)? {
            for problem in company.problems.clone().told() {
                is_wrong = true;
                tell(format!("{}: {}: {problem}", file.display(), company.label));
            }
            companies.push(sent(&CompanyRow::of_document(&company))?);
        }
    }
    match is_wrong {
        true => Err(failure("the document is wrong, and nothing was planned")),
        false => Ok(companies),
    }
}

/// A company in the form of a request.
fn sent(row: &CompanyRow) -> Result<Value, Failure> {
    let mut company = serde_json::to_value(row)?;
    let catalogs = Catalog::ALL.map(Catalog::as_str);
    let stated = catalogs.into_iter().filter(|catalog| company.get(catalog).is_some());
    company["catalogs"] = stated.collect();
    let capitalize = |thing: &mut Value| {
        if let Some(state) = thing.get("state").and_then(Value::as_str) {
            thing["state"] = json!(state.to_uppercase());
        }
    };
    capitalize(&mut company);
    if let Some(mode) = company["source"]["mode"].as_str().map(str::to_uppercase) {
        company["source"]["mode"] = json!(mode);
    }
    for list in catalogs.into_iter().chain(["businesses"]) {
        let items = company.get_mut(list).and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            capitalize(item);
            // A document may have one former name alone, where a request has a list.
            if let Some(was) = item.get_mut("was").filter(|was| was.is_string()) {
                *was = json!([was.take()]);
            }
        }
    }
    Ok(company)
}

/// The file that `plan` wrote, if it is one.
fn plan_file(files: &[PathBuf]) -> Result<Option<PlanFile>, Failure> {
    let [file] = files else { return Ok(None) };
    let content = decode(read_file(file, u64::MAX)?)?;
    let Ok(value) = serde_json::from_str::<Value>(&content) else { return Ok(None) };
    if value.get("plan").is_none() {
        return Ok(None);
    }
    let broken = |error| failure(format!("{} is no plan of this version: {error}", file.display()));
    let file: PlanFile = serde_json::from_value(value).map_err(broken)?;
    Ok(Some(file))
}

/// How many of the next companies fit into one request.
fn group<'a>(companies: impl Iterator<Item = &'a Value>) -> usize {
    let mut bytes = 0;
    let fits = companies.take(MOST_COMPANIES).take_while(|company| {
        bytes += company.to_string().len();
        bytes <= MOST_BYTES
    });
    fits.count().max(1)
}

fn asked(companies: &[&Value], terms: &Terms) -> Value {
    json!({
        "document": {"companies": companies},
        "prune": terms.prune,
        "prune_limit": terms.prune_limit,
        "ignore": terms.ignore,
    })
}

/// Plans companies, and puts the ids of what would be made into their documents.
async fn planned(
    client: &mut Client,
    mut companies: Vec<Value>,
    terms: Terms,
) -> Result<Planned, Failure> {
    let mut plans = Vec::with_capacity(companies.len());
    while plans.len() < companies.len() {
        let rest = &companies[plans.len()..];
        let group: Vec<&Value> = rest[..group(rest.iter())].iter().collect();
        let mut request = asked(&group, &terms);
        let (planned, last) = (plans.len(), plans.len() + group.len());
        while plans.len() < last {
            let answer = client.call(PLAN, &request).await?;
            plans.extend(answer["plans"].as_array().cloned().unwrap_or_default());
            request["page_token"] = answer["nextPageToken"].clone();
            if text(&answer["nextPageToken"]).is_empty() {
                break;
            }
        }
        if plans.len() != last || plans.len() == planned {
            return Err(failure("the server planned other companies than were sent"));
        }
    }
    for (company, plan) in companies.iter_mut().zip(&plans) {
        pin(company, plan);
    }
    let digests = plans.iter().map(|plan| text(&plan["digest"]).to_owned()).collect();
    let file = PlanFile { plan: 1, terms, companies, digests };
    Ok(Planned { plans, file })
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

fn refuse(planned: &Planned) -> Result<(), Failure> {
    match planned.refused() {
        0 => Ok(()),
        refused => Err(failure(format!(
            "{refused} of {} companies would be refused, and nothing was changed",
            planned.plans.len()
        ))),
    }
}
