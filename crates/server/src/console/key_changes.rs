//! The changes that a key made, over the companies that it covers.

use askama::Template;
use customer_settings_contract::customersettings::v1::{
    Change, GetCompanyRequest, GetKeyRequest, Key, ListChangesRequest, ListCompaniesRequest,
};
use tonic::Status;

use super::{
    answer::{Answer, shown},
    form, history, moves,
    problem::Problem,
    view::Frame,
    visit::Visit,
    words::{self, Author, Moment},
};

/// Companies whose logs one page looks at.
const COMPANIES: usize = 25;
/// Changes of one company on the page; its history has the others.
const CHANGES: i32 = 5;

struct Row {
    sentence: String,
    when: Option<Moment>,
    path: String,
}

/// The changes in one company, newest first.
struct Group {
    name: String,
    path: String,
    rows: Vec<Row>,
    /// The company's history with the changes of this key alone, where the page does not have all.
    all: Option<String>,
}

#[derive(Template)]
#[template(path = "key_changes.html")]
struct ChangesPage {
    f: Frame,
    name: String,
    up: String,
    groups: Vec<Group>,
    more: Option<String>,
    is_first: bool,
}

/// The changes that a key made.
pub(super) async fn list(visit: &Visit<'_>) -> Answer {
    let ask = GetKeyRequest { id: visit.part(0).to_owned() };
    let key = visit.keys().get_key(visit.ask(ask)).await?.into_inner();
    let up = format!("{}/keys/{}", visit.here.base, visit.link_part(0));
    let (companies, next) = companies(visit, &key).await?;
    let mut groups = Vec::new();
    let mut left = moves::MOST_READ;
    for (id, name) in companies {
        groups.extend(group(visit, &key, (&id, name), &mut left).await?);
    }
    let name = key.name.unwrap_or_default();
    let mark = Author::mark(&key.id, &name, &history::others(visit).await);
    let name = words::by_itself(&name);
    let name = if mark.is_empty() { name.into_owned() } else { format!("{name} {mark}") };
    shown(&ChangesPage {
        f: visit.frame(format!("What {name} did")),
        name,
        groups,
        more: next.map(|next| format!("{up}/changes?page={}", form::encode(&next))),
        up,
        is_first: visit.query.get("page").is_empty(),
    })
}

/// The next companies that the key covers, by id and name, and the page after them.
async fn companies(
    visit: &Visit<'_>,
    key: &Key,
) -> Result<(Vec<(String, String)>, Option<String>), Status> {
    let page = visit.query.get("page");
    if key.all_companies.unwrap_or_default() {
        let ask = ListCompaniesRequest {
            page_size: i32::try_from(COMPANIES).unwrap_or_default(),
            page_token: page.to_owned(),
            show_archived: true,
            ..Default::default()
        };
        let list = visit.companies().list_companies(visit.ask(ask)).await?.into_inner();
        let named = list.companies.into_iter().map(|one| (one.id, one.name.unwrap_or_default()));
        return Ok((named.collect(), Some(list.next_page_token).filter(|token| !token.is_empty())));
    }
    let first = page.parse().unwrap_or(0_usize).min(key.company_ids.len());
    let mut named = Vec::new();
    for id in key.company_ids.iter().skip(first).take(COMPANIES) {
        let ask = GetCompanyRequest { company_id: id.clone(), ..Default::default() };
        match visit.companies().get_company(visit.ask(ask)).await {
            Ok(company) => {
                named.push((id.clone(), company.into_inner().name.unwrap_or_default()));
            }
            // A key may be older than its company.
            Err(status) if Problem::of(&status, &[]).is_absence() => {}
            Err(status) => return Err(status),
        }
    }
    let next = first + COMPANIES;
    Ok((named, (next < key.company_ids.len()).then(|| next.to_string())))
}

async fn group(
    visit: &Visit<'_>,
    key: &Key,
    (company_id, name): (&str, String),
    left: &mut usize,
) -> Result<Option<Group>, Status> {
    let ask = ListChangesRequest {
        company_id: company_id.to_owned(),
        key_id: key.id.clone(),
        page_size: CHANGES,
        ..Default::default()
    };
    let mut list = visit.history().list_changes(visit.ask(ask)).await?.into_inner();
    let path = format!("{}/c/{}", visit.here.base, form::part(company_id));
    let names = moves::names(visit, company_id, &mut list.changes, left).await;
    let row = |change: &Change| Row {
        sentence: words::capital(&words::sentence(change, company_id, &names)),
        when: words::moment(change.time.as_ref()),
        path: format!("{path}/history/{}", change.revision),
    };
    let rows: Vec<Row> = list.changes.iter().map(row).collect();
    let all = (!list.next_page_token.is_empty())
        .then(|| format!("{path}/history?key={}", form::encode(&key.id)));
    Ok((!rows.is_empty() || all.is_some()).then_some(Group { name, path, rows, all }))
}
