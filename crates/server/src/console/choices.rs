//! The companies of a form, which people choose by their names: those that are chosen, and those that a search found.

use customer_settings_contract::customersettings::v1::{
    Company, GetCompanyRequest, ListCompaniesRequest,
};
use tonic::Status;

use super::{
    problem::Problem,
    visit::{Visit, quoted},
};

/// Companies that a form offers at once; of more, those that a search found.
const OFFERED: i32 = 20;
/// The most chosen companies whose names are looked up. The others are shown by their ids.
pub(super) const MOST_NAMED: usize = 50;
/// The most companies of a key: the API refuses more.
const MOST_CHOSEN: usize = 1_000;

/// A company in the form.
pub(super) struct Choice {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_on: bool,
}

/// All that the form shows of companies.
pub(super) struct Choices {
    pub(super) all: Vec<Choice>,
    /// The text that was searched for.
    pub(super) find: String,
    /// Whether a search is needed to see every company.
    pub(super) has_more: bool,
    /// Whether a search found nothing.
    pub(super) found_none: bool,
}

impl Choices {
    /// Of a form in which these are chosen, and of those that have a text in their names or ids.
    pub(super) async fn of(
        visit: &Visit<'_>,
        chosen: &[String],
        find: &str,
    ) -> Result<Self, Status> {
        let (offered, has_more) = offered(visit, find).await?;
        let mut all = Vec::new();
        for (at, id) in chosen.iter().enumerate() {
            let known = offered.iter().find(|one| one.id == *id).map(|one| one.name.clone());
            let name = match known {
                Some(name) => name,
                None if at < MOST_NAMED => found(visit, id).await.unwrap_or_default(),
                None => String::new(),
            };
            all.push(Choice { id: id.clone(), name, is_on: true });
        }
        let found_none = offered.is_empty() && !find.is_empty();
        all.extend(offered.into_iter().filter(|one| !chosen.contains(&one.id)));
        Ok(Self { all, find: find.to_owned(), has_more, found_none })
    }

    /// Whether there is one company to choose, or none.
    pub(super) fn is_one(&self) -> bool {
        self.all.len() <= 1 && !self.has_more
    }
}

async fn offered(visit: &Visit<'_>, find: &str) -> Result<(Vec<Choice>, bool), Status> {
    if !visit.may.see_companies {
        let own = visit.person.company_ids().into_iter();
        let own = own.filter(|id| id.starts_with(find));
        let own = own.map(|id| Choice { name: String::new(), id, is_on: false });
        return Ok((own.collect(), false));
    }
    let ask = ListCompaniesRequest {
        page_size: OFFERED,
        filter: if find.is_empty() { String::new() } else { quoted(find) },
        ..Default::default()
    };
    let list = visit.companies().list_companies(visit.ask(ask)).await?.into_inner();
    let choice =
        |one: Company| Choice { id: one.id, name: one.name.unwrap_or_default(), is_on: false };
    let has_more = !list.next_page_token.is_empty();
    // A beginning of many would be in the way.
    let offered = if has_more && find.is_empty() { Vec::new() } else { list.companies };
    Ok((offered.into_iter().map(choice).collect(), has_more || !find.is_empty()))
}

/// The name of a company that the person may see.
pub(super) async fn found(visit: &Visit<'_>, id: &str) -> Result<String, Status> {
    let ask = GetCompanyRequest { company_id: id.to_owned(), ..Default::default() };
    let company = visit.companies().get_company(visit.ask(ask)).await?.into_inner();
    Ok(company.name.unwrap_or_default())
}

/// Refuses a company that does not exist. The API takes its id, since a program may make the key before the company;
/// a person who gives it has mistyped it.
pub(super) async fn check(
    visit: &Visit<'_>,
    chosen: &[String],
    before: &[String],
) -> Result<(), String> {
    let is_new = |id: &&String| !before.contains(id);
    if !visit.may.see_companies || chosen.len() > MOST_CHOSEN {
        return Ok(());
    }
    for id in chosen.iter().filter(is_new) {
        let refused = found(visit, id).await.err();
        let reason = refused.map(|status| Problem::of(&status, &[]).reason).unwrap_or_default();
        if reason == "NOT_FOUND" {
            return Err(format!("There is no company {id}."));
        }
    }
    Ok(())
}
