//! A live account elsewhere, read by its public API: one request at a time, slowly, and with patience. Anything but a
//! whole answer is an error. Knows no document and no command.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use bytes::Bytes;
use clap::Args;
use customer_settings_server::{
    api::json::parse,
    catalog::{entry::Catalog, id::CompanyId},
    clock::{self, Clock, SystemClock},
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::{
    failure::{Exit, Failure, failure, usage},
    output::{counted, note},
    storage::parse_path,
    target::{Remote, Side, basic, heard, name, no_answer, parse_account},
    values,
};

mod answers;
mod pace;
mod pages;

pub(crate) use answers::{Address, Business, Company, Item, Reading};
use pace::{Next, Pace, Progress};
use pages::Pages;

/// The most bytes of an answer.
const MOST_BYTES: usize = 16 << 20;
/// The most items of a page.
const PAGE: u32 = 500;
/// A pause that an account asks for is told if it is as long.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// The account to read.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "The account")]
pub(crate) struct From {
    /// The address of the account's API, such as https://openapi.moego.pet; http:// is for this machine alone
    #[arg(long, value_name = "URL", value_parser = parse_account)]
    from: Uri,
    /// A file of mode 0600 that holds the account's API key
    #[arg(long, value_name = "FILE", value_parser = parse_path)]
    from_key_file: PathBuf,
    /// Only this company; may be repeated, or have commas
    #[arg(long = "company", value_name = "ID", value_delimiter = ',', value_parser = values::item)]
    companies: Vec<String>,
    /// The least time between two requests to the account
    #[arg(long, value_name = "SPAN", default_value = "250ms", value_parser = values::pace)]
    pace: Duration,
    /// How long to wait for an answer of the account
    #[arg(long, value_name = "SPAN", default_value = "15s", value_parser = values::timeout)]
    from_timeout: Duration,
}

impl From {
    /// The companies that are asked for; none for all of the account.
    pub(crate) fn companies(&self) -> &[String] {
        &self.companies
    }

    pub(crate) fn pace(&self) -> Duration {
        self.pace
    }

    /// Opens the account, without a request.
    pub(crate) fn open(&self) -> Result<Account, Failure> {
        let mut seen = HashSet::new();
        for id in &self.companies {
            CompanyId::parse("--company", id).map_err(usage)?;
            if !seen.insert(id) {
                return Err(usage(format!("--company {id} stands there twice")));
            }
        }
        let authorization = basic(&self.from_key_file)?;
        Ok(Account {
            remote: Remote::new(&self.from, None, self.from_timeout)?,
            base: self.from.clone(),
            authorization,
            pace: Pace::new(self.pace),
            progress: Progress::new(SystemClock.monotonic()),
            companies: None,
            requests: 0,
        })
    }
}

/// An open account.
pub(crate) struct Account {
    remote: Remote,
    base: Uri,
    authorization: HeaderValue,
    pace: Pace,
    progress: Progress,
    /// The companies that were read, and all that are to be read, once they are known.
    companies: Option<(usize, usize)>,
    requests: u64,
}

/// Why something could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The problem in words.
    pub(crate) problem: String,
    /// Whether no other request would fare better: the key is not taken, there is no connection, or the account asks for a
    /// long pause.
    pub(crate) is_final: bool,
    pub(crate) exit: Exit,
}

impl std::convert::From<Unread> for Failure {
    fn from(Unread { problem, exit, .. }: Unread) -> Self {
        Self { message: format!("the account was not read: {problem}"), exit }
    }
}

type Read<T> = Result<T, Unread>;

fn broken(problem: impl Into<String>) -> Unread {
    Unread { problem: problem.into(), is_final: false, exit: Exit::Failed }
}

impl Account {
    /// Begins a round, whose requests and progress count from here.
    pub(crate) fn begin(&mut self) {
        self.progress = Progress::new(SystemClock.monotonic());
        (self.companies, self.requests) = (None, 0);
    }

    /// Takes note of how many companies were read, of how many.
    pub(crate) fn is_at(&mut self, done: usize, count: usize) {
        self.companies = Some((done, count));
    }

    /// The number of requests of this round, with repetitions.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// The companies of the account.
    pub(crate) async fn companies(&mut self) -> Read<Vec<Company>> {
        let path = "/v1/companies:list";
        let all = self.pages(path, "companies", json!({}), answers::companies).await?;
        Ok(answers::told_apart(all))
    }

    /// A company with its locations and its four lists: five requests, if there are no more than 500 locations.
    pub(crate) async fn reading(&mut self, company: Company) -> Read<Reading> {
        let id =
            CompanyId::parse("id", &company.id).map_err(|problem| broken(problem.to_string()))?;
        if let Some(problem) = company.problem {
            return Err(broken(problem));
        }
        let asked = json!({"companyId": id.as_str()});
        let parse = |page: Value| answers::businesses(page, id.as_str());
        let businesses =
            self.pages("/v1/businesses:list", "businesses", asked.clone(), parse).await?;
        let businesses = answers::unique(businesses, |business| &business.id)
            .map_err(|problem| broken(format!("businesses: {problem}")))?;
        let mut lists: [Vec<Item>; 4] = Default::default();
        for catalog in Catalog::ALL {
            let (path, key) = match catalog {
                Catalog::CustomerTags => ("customer/tags:list", "tags"),
                Catalog::ReferralSources => ("customer/referral_sources:list", "referralSources"),
                Catalog::LifeCycles => ("leads/life_cycles", "lifeCycles"),
                Catalog::ActionStatuses => ("leads/action_status", "actionStatuses"),
            };
            let answer = self.ask(&format!("/v1/setting/companies/{id}/{path}"), &asked).await?;
            let items = answers::whole(answer, key).and_then(answers::items);
            lists[catalog.index()] =
                items.map_err(|problem| broken(format!("{catalog}: {problem}")))?;
        }
        Ok(Reading { company, businesses, lists })
    }

    async fn pages<T>(
        &mut self,
        path: &str,
        key: &str,
        mut asked: Value,
        parse: impl Fn(Value) -> Result<Vec<T>, String>,
    ) -> Read<Vec<T>> {
        let (mut found, mut pages) = (Vec::new(), Pages::default());
        asked["pagination"] = json!({"pageSize": PAGE});
        let wrong = |problem: String| broken(format!("{path}: {problem}"));
        loop {
            let answer = self.ask(path, &asked).await?;
            let named = answers::next_page(&answer).map_err(wrong)?;
            let items = answers::list(answer, key).and_then(&parse).map_err(wrong)?;
            let next = pages.next(items.len(), named).map_err(wrong)?;
            found.extend(items);
            match next {
                Some(token) => asked["pagination"]["pageToken"] = json!(token),
                None => return Ok(found),
            }
        }
    }

    /// Asks until there is an answer, at most three times.
    async fn ask(&mut self, path: &str, body: &Value) -> Read<Value> {
        let mut tries = 0;
        loop {
            self.tell_progress(path);
            sleep(self.pace.wait(SystemClock.monotonic())).await;
            self.pace.begin(SystemClock.monotonic());
            self.requests += 1;
            tries += 1;
            let sent = self.remote.send(self.request(path, body)?, MOST_BYTES).await;
            let answer = sent.map_err(|status| self.unanswered(path, &status))?;
            let said = pace::said(answer.headers(), clock::now().into());
            let status = answer.status();
            match self.pace.next(SystemClock.monotonic(), status, said, tries) {
                Next::Done => {
                    return parse(answer.body()).map_err(|problem| {
                        broken(format!("{path}: the answer is no proper JSON: {problem}"))
                    });
                }
                Next::Again(pause) => {
                    if pause >= LONG_PAUSE {
                        let pause = humantime::format_duration(pause);
                        note(format!("{path}: HTTP status {status}: asked again in {pause}"));
                    }
                    sleep(pause).await;
                }
                Next::GiveUp => return Err(refused(path, &answer)),
                Next::Pause(pause) => {
                    let Unread { problem, exit, .. } = refused(path, &answer);
                    let pause = humantime::format_duration(pause);
                    let problem = format!("{problem}, and a pause of {pause} is asked for");
                    return Err(Unread { problem, is_final: true, exit });
                }
            }
        }
    }

    /// Says how far the reading is, if it takes long.
    fn tell_progress(&mut self, path: &str) {
        if self.progress.is_due(SystemClock.monotonic()) {
            let companies =
                self.companies.map(|(done, count)| format!("{done} of {count} companies, "));
            let requests = counted(self.requests, "request", "requests");
            note(format!("so far: {}{requests}; next: {path}", companies.unwrap_or_default()));
        }
    }

    /// The error of a request that got no answer, or no whole one.
    fn unanswered(&self, path: &str, status: &Status) -> Unread {
        if status.code() == Code::OutOfRange {
            return broken(format!("{path}: {}", status.message()));
        }
        let is_final = status.code() == Code::Unavailable;
        // A problem is one line.
        let why = no_answer(Side::Account, &name(&self.base), status).replace("\n  ", "; ");
        let problem = if is_final { why } else { format!("{path}: {why}") };
        Unread { problem, is_final, exit: Exit::Unavailable }
    }

    fn request(&self, path: &str, body: &Value) -> Read<Request<Full<Bytes>>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", name(&self.base)))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(body.to_string()));
        request.map_err(|error| broken(error.to_string()))
    }
}

fn refused(path: &str, answer: &Response<Bytes>) -> Unread {
    let (status, problem) = (answer.status(), format!("{path}: {}", heard(answer)));
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Refused,
        StatusCode::TOO_MANY_REQUESTS => Exit::Unavailable,
        status if status.is_server_error() => Exit::Unavailable,
        _ => Exit::Failed,
    };
    Unread { problem, is_final: status == StatusCode::UNAUTHORIZED, exit }
}

/// The companies that are asked for, in the order of the account, and those that it does not have.
pub(crate) fn chosen(all: Vec<Company>, asked: &[String]) -> (Vec<Company>, Vec<&str>) {
    let wanted: HashSet<&String> = asked.iter().collect();
    let is_asked = |company: &Company| asked.is_empty() || wanted.contains(&company.id);
    let found: Vec<Company> = all.into_iter().filter(is_asked).collect();
    let there: HashSet<&str> = found.iter().map(|company| company.id.as_str()).collect();
    let missing = asked.iter().map(String::as_str).filter(|id| !there.contains(id)).collect();
    (found, missing)
}

/// The failure for companies that are not in the account.
pub(crate) fn absent(missing: &[&str]) -> Failure {
    Failure {
        exit: Exit::NotFound,
        ..failure(format!("not in the account: {}", missing.join(", ")))
    }
}
