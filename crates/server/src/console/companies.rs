//! Companies: the list of those that the key covers, one with its four catalogs, and its own settings.

use askama::Template;
use customer_settings_contract::{
    customersettings::v1::{
        ArchiveCompanyRequest, Company, CreateCompanyRequest, Entry, ListCompaniesRequest,
        ListEntriesRequest, RestoreCompanyRequest, State, UpdateCompanyRequest,
    },
    google::r#type::TimeZone,
};
use prost_types::FieldMask;
use tonic::Status;

use super::{
    answer::{Answer, elsewhere, json, page, shown},
    form,
    problem::{Field, Problem},
    view::Frame,
    visit::{Visit, act, quoted},
    words::{CATALOGS, Words, source},
};
use crate::status::{Page, not_modified};

/// Companies on a page.
const ROWS: i32 = 50;
/// Entries of a catalog that the overview shows.
const CHIPS: usize = 12;

const FIELDS: [Field; 5] = [
    ("name", "name", "The name"),
    ("country", "country", "The country"),
    ("timezone", "timezone", "The time zone"),
    // Of `company.timezone.id`.
    ("timezone", "id", "The time zone"),
    ("id", "company_id", "The id"),
];

struct Row {
    path: String,
    name: String,
    id: String,
    place: String,
    is_archived: bool,
}

#[derive(Template)]
#[template(path = "companies.html")]
struct ListPage {
    f: Frame,
    rows: Vec<Row>,
    q: String,
    shows_archived: bool,
    /// The address of the next page.
    more: Option<String>,
}

/// The companies that the key covers, by name; with a search, those whose names contain its words.
pub(super) async fn list(visit: &Visit<'_>) -> Answer {
    let q = visit.query.get("q").to_owned();
    let shows_archived = !visit.query.get("archived").is_empty();
    let (rows, token) = match visit.may.see_companies {
        true => {
            let ask = ListCompaniesRequest {
                page_size: ROWS,
                page_token: visit.query.get("page").to_owned(),
                show_archived: shows_archived,
                filter: if q.is_empty() { String::new() } else { quoted(&q) },
            };
            let list = visit.companies().list_companies(visit.ask(ask)).await?.into_inner();
            let rows = list.companies.into_iter().map(|company| row(visit, company));
            (rows.collect(), list.next_page_token)
        }
        false => (covered(visit), String::new()),
    };
    // Somebody with one company need not choose.
    if visit.may.see
        && q.is_empty()
        && !shows_archived
        && !visit.may.make_companies
        && token.is_empty()
        && let [only] = rows.as_slice()
        && visit.query.get("all").is_empty()
    {
        return Ok(elsewhere(&only.path));
    }
    let archived = if shows_archived { "&archived=1" } else { "" };
    let more = (!token.is_empty()).then(|| {
        let (q, token) = (form::encode(&q), form::encode(&token));
        format!("{}?q={q}{archived}&page={token}", visit.here.base)
    });
    shown(&ListPage { f: visit.frame("Companies"), rows, q, shows_archived, more })
}

/// Of a key that may not see companies, those that it names.
fn covered(visit: &Visit<'_>) -> Vec<Row> {
    let ids = visit.person.company_ids();
    let row = |id: String| Row {
        path: format!("{}/c/{}", visit.here.base, form::part(&id)),
        name: id.clone(),
        id,
        place: String::new(),
        is_archived: false,
    };
    ids.into_iter().map(row).collect()
}

fn row(visit: &Visit<'_>, company: Company) -> Row {
    let zone = company.timezone.map(|zone| zone.id.replace('_', " ")).unwrap_or_default();
    let source = company.source.as_ref().map(source).unwrap_or_default();
    let parts = [company.country.unwrap_or_default(), zone, source];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Row {
        path: match visit.may.see {
            true => format!("{}/c/{}", visit.here.base, form::part(&company.id)),
            // The overview is one of the lists.
            false => format!("{}/c/{}/locations", visit.here.base, form::part(&company.id)),
        },
        name: company.name.unwrap_or_default(),
        id: company.id,
        place: parts.join(" · "),
        is_archived: company.state == State::Archived as i32,
    }
}

struct Chip {
    name: String,
    color: String,
    is_default: bool,
}

struct Card {
    words: &'static Words,
    path: String,
    chips: Vec<Chip>,
    total: usize,
    /// Those that the card does not show.
    others: usize,
}

#[derive(Template)]
#[template(path = "company.html")]
struct OverviewPage {
    f: Frame,
    cards: Vec<Card>,
}

/// The company with its four catalogs.
pub(super) async fn overview(visit: &Visit<'_>) -> Answer {
    let mut f = visit.company_frame("", "Overview").await?;
    let mut cards = Vec::new();
    for words in &CATALOGS {
        let ask = ListEntriesRequest {
            company_id: visit.part(0).to_owned(),
            collection: words.collection.to_owned(),
            page_size: CHIPS as i32,
            ..Default::default()
        };
        let list = visit.entries().list_entries(visit.ask(ask)).await?.into_inner();
        let chip = |entry: Entry| Chip {
            name: entry.name.unwrap_or_default(),
            color: entry.color.unwrap_or_default(),
            is_default: entry.is_default.unwrap_or_default(),
        };
        let total = usize::try_from(list.total_size).unwrap_or_default();
        let chips: Vec<Chip> = list.entries.into_iter().map(chip).collect();
        cards.push(Card {
            words,
            path: format!("{}/{}", visit.company_path(), words.collection),
            others: total - chips.len().min(total),
            chips,
            total,
        });
    }
    if let Some(company) = &f.company {
        f.title.clone_from(&company.name);
    }
    shown(&OverviewPage { f, cards })
}

/// Whether the company changed since the revision that a page shows.
pub(super) async fn revision(visit: &Visit<'_>) -> Answer {
    let ask = ListEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: CATALOGS[0].collection.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let revision = visit.entries().list_entries(visit.ask(ask)).await?.into_inner().revision;
    if visit.if_none_match.as_deref() == Some(&format!("\"{revision}\"")) {
        let mut response = not_modified();
        super::answer::guard(response.headers_mut());
        return Ok(response);
    }
    let is_own = match visit.may.see_history {
        true => {
            visit.get_change(revision).await.is_ok_and(|one| one.key_id == visit.person.key_id())
        }
        false => false,
    };
    Ok(json(Page::Shown, &serde_json::json!({"revision": revision, "own": is_own})))
}

struct Sheet {
    name: String,
    country: String,
    timezone: String,
    id: String,
}

impl Sheet {
    fn of(company: &Company) -> Self {
        Self {
            name: company.name.clone().unwrap_or_default(),
            country: company.country.clone().unwrap_or_default(),
            timezone: company.timezone.as_ref().map(|zone| zone.id.clone()).unwrap_or_default(),
            id: company.id.clone(),
        }
    }

    fn sent(visit: &Visit<'_>) -> Self {
        let get = |name: &str| visit.form.get(name).to_owned();
        Self {
            name: get("name"),
            country: get("country"),
            timezone: get("timezone"),
            id: get("id"),
        }
    }

    /// The fields that may be changed, by their names in the form.
    fn fields(&mut self) -> [(&'static str, &mut String); 3] {
        [("name", &mut self.name), ("country", &mut self.country), ("timezone", &mut self.timezone)]
    }

    fn company(&self) -> Company {
        Company {
            name: Some(self.name.clone()),
            country: Some(self.country.clone()),
            timezone: Some(TimeZone { id: self.timezone.clone() }),
            ..Default::default()
        }
    }
}

#[derive(Template)]
#[template(path = "company_new.html")]
struct NewPage {
    f: Frame,
    problem: Problem,
    sheet: Sheet,
    request: String,
}

/// Makes a company. A key that names its companies could not see the new one.
pub(super) async fn new(visit: &Visit<'_>) -> Answer {
    if !visit.may.make_companies {
        return Ok(visit.not_yours());
    }
    let sheet = Sheet::sent(visit);
    let page_of = |problem, sheet| NewPage {
        f: visit.frame("New company"),
        problem,
        sheet,
        request: Visit::new_request(),
    };
    if !visit.is_post {
        return shown(&page_of(Problem::default(), sheet));
    }
    let mut company = sheet.company();
    if sheet.timezone.is_empty() {
        company.timezone = None;
    }
    let ask = CreateCompanyRequest {
        company_id: sheet.id.clone(),
        company: Some(company),
        request_id: visit.form.get("request").to_owned(),
        ..Default::default()
    };
    match visit.companies().create_company(visit.ask(ask)).await {
        Ok(made) => {
            let id = made.into_inner().id;
            Ok(elsewhere(&format!("{}/c/{}?did=company-made", visit.here.base, form::part(&id))))
        }
        Err(status) => {
            let problem = visit.problem(&status, &FIELDS);
            Ok(page(Page::Refused(&status), &page_of(problem, sheet)))
        }
    }
}

#[derive(Template)]
#[template(path = "company_settings.html")]
struct SettingsPage {
    f: Frame,
    problem: Problem,
    sheet: Sheet,
    /// As it is stored, where somebody else was faster.
    stored: Option<Sheet>,
    /// The fields as they are stored, so that the form knows which of them a person changed.
    was: Vec<(&'static str, String)>,
    here: String,
    etag: String,
    request: String,
    is_archived: bool,
}

async fn settings_page(
    visit: &Visit<'_>,
    sheet: Option<Sheet>,
    problem: Problem,
) -> Result<SettingsPage, Status> {
    let company = visit.company().await?;
    let (mut sheet, mut stored) = (sheet, Sheet::of(&company));
    let was = form::pairs(stored.fields());
    if let Some(sheet) = &mut sheet {
        visit.form.keep_others(sheet.fields(), &was);
    }
    let (sheet, stored) = problem.sheets(sheet, stored);
    Ok(SettingsPage {
        f: visit.company_frame("settings", "Company").await?,
        problem,
        sheet,
        stored,
        was,
        here: visit.company_path(),
        etag: company.etag,
        request: Visit::new_request(),
        is_archived: company.state == State::Archived as i32,
    })
}

/// Shows the company's own fields, or saves them.
pub(super) async fn settings(visit: &Visit<'_>) -> Answer {
    if !visit.is_post {
        return shown(&settings_page(visit, None, Problem::default()).await?);
    }
    let sheet = Sheet::sent(visit);
    let ask = UpdateCompanyRequest {
        company_id: visit.part(0).to_owned(),
        company: Some(sheet.company()),
        update_mask: Some(FieldMask {
            paths: ["name", "country", "timezone"].map(str::to_owned).to_vec(),
        }),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.companies().update_company(visit.ask(ask)).await {
        Ok(saved) => {
            let path = format!("{}/settings", visit.company_path());
            let act = act("saved", "companies", visit.part(0));
            Ok(visit.done(saved.metadata(), &path, &act).await)
        }
        Err(status) => {
            let problem = visit.problem_of(&status, &FIELDS, ("companies", "")).await;
            let shown = settings_page(visit, Some(sheet), problem).await?;
            if shown.is_archived {
                return Ok(visit.put_away(&status, &shown.problem));
            }
            Ok(page(Page::Refused(&status), &shown))
        }
    }
}

/// Puts the company away, or takes it back.
pub(super) async fn state(visit: &Visit<'_>) -> Answer {
    let (company_id, etag) = (visit.part(0).to_owned(), visit.form.get("etag").to_owned());
    let request_id = visit.form.get("request").to_owned();
    let (done, act) = if visit.path.ends_with("/archive") {
        let ask = ArchiveCompanyRequest { company_id, etag, request_id, validate_only: false };
        (visit.companies().archive_company(visit.ask(ask)).await?, "away")
    } else {
        let ask = RestoreCompanyRequest { company_id, etag, request_id, validate_only: false };
        (visit.companies().restore_company(visit.ask(ask)).await?, "back")
    };
    Ok(visit.done(done.metadata(), &format!("{}/settings", visit.company_path()), act).await)
}
