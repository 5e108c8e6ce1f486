//! The compatible surface: the services that programs written for MoeGo's API call (docs/api.md).

use std::sync::Arc;

use customer_settings_contract::moego::{
    business::{
        business::v1::{
            Business, GetBusinessRequest, ListBusinessRequest, ListBusinessResponse,
            business_service_server::BusinessService,
        },
        company::v1::{
            Company, GetCompanyRequest, ListCompaniesRequest, ListCompaniesResponse,
            company_service_server::CompanyService,
        },
        setting::v1::{
            ListCustomerReferralSourcesRequest, ListCustomerReferralSourcesResponse,
            ListCustomerTagsRequest, ListCustomerTagsResponse, ListLeadsActionStatusRequest,
            ListLeadsActionStatusResponse, ListLeadsLifeCyclesRequest, ListLeadsLifeCyclesResponse,
            setting_service_server::SettingService,
        },
    },
    common::v1::Pagination,
};
use tonic::{Request, Response, Status};

use super::{
    UseCases, convert, guard,
    marks::{answer, marked},
};
use crate::{
    catalog::{
        access::Caller,
        error::{Error, Kind, Result, Violations},
        id::{BusinessId, CompanyId},
    },
    service::{
        companies::{CompaniesService, Page},
        settings::SettingsService,
        snapshot::ServedSnapshot,
    },
    status::grpc_status,
};

/// The longest page token that the contract allows.
const MAX_PAGE_TOKEN_LENGTH: usize = 64;

/// The compatible services over the use cases.
#[derive(Clone)]
pub(crate) struct Compat {
    pub(crate) settings: Arc<SettingsService>,
    pub(crate) companies: Arc<CompaniesService>,
}

impl Compat {
    pub(super) fn new(use_cases: &UseCases) -> Self {
        Self { settings: use_cases.settings.clone(), companies: use_cases.companies.clone() }
    }

    /// The snapshot from which the company's lists are answered.
    pub(super) async fn snapshot(
        &self,
        caller: &Caller,
        company_id: &str,
    ) -> Result<ServedSnapshot> {
        let id = CompanyId::parse("company_id", company_id)?;
        let grant = caller.grant(&id)?;
        let found = self.settings.get(&grant).await?;
        found.ok_or_else(|| caller.absent(Kind::Company, id.as_str()))
    }
}

fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    guard::caller(request.extensions()).map_err(|error| grpc_status(&error))
}

fn page(pagination: Option<Pagination>) -> Result<Page> {
    let pagination = pagination.unwrap_or_default();
    let token = pagination.page_token.unwrap_or_default();
    if token.chars().count() > MAX_PAGE_TOKEN_LENGTH {
        let description = format!("must have at most {MAX_PAGE_TOKEN_LENGTH} characters");
        return Err(Error::invalid("pagination.page_token", "TOO_LONG", description));
    }
    Page::parse(pagination.page_size, &token)
}

#[tonic::async_trait]
impl SettingService for Compat {
    async fn list_customer_tags(
        &self,
        request: Request<ListCustomerTagsRequest>,
    ) -> Result<Response<ListCustomerTagsResponse>, Status> {
        let caller = caller(&request)?;
        let snapshot = self.snapshot(caller, &request.get_ref().company_id).await;
        marked(
            snapshot.map(|snapshot| (snapshot.marks(), convert::customer_tags(&snapshot.settings))),
        )
    }

    async fn list_customer_referral_sources(
        &self,
        request: Request<ListCustomerReferralSourcesRequest>,
    ) -> Result<Response<ListCustomerReferralSourcesResponse>, Status> {
        let caller = caller(&request)?;
        let snapshot = self.snapshot(caller, &request.get_ref().company_id).await;
        marked(
            snapshot
                .map(|snapshot| (snapshot.marks(), convert::referral_sources(&snapshot.settings))),
        )
    }

    async fn list_leads_life_cycles(
        &self,
        request: Request<ListLeadsLifeCyclesRequest>,
    ) -> Result<Response<ListLeadsLifeCyclesResponse>, Status> {
        let caller = caller(&request)?;
        let snapshot = self.snapshot(caller, &request.get_ref().company_id).await;
        marked(
            snapshot.map(|snapshot| (snapshot.marks(), convert::life_cycles(&snapshot.settings))),
        )
    }

    async fn list_leads_action_status(
        &self,
        request: Request<ListLeadsActionStatusRequest>,
    ) -> Result<Response<ListLeadsActionStatusResponse>, Status> {
        let caller = caller(&request)?;
        let snapshot = self.snapshot(caller, &request.get_ref().company_id).await;
        marked(
            snapshot
                .map(|snapshot| (snapshot.marks(), convert::action_statuses(&snapshot.settings))),
        )
    }
}

#[tonic::async_trait]
impl CompanyService for Compat {
    async fn get_company(
        &self,
        request: Request<GetCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let caller = caller(&request)?;
        let get = async {
            let id = CompanyId::parse("id", &request.get_ref().id)?;
            let (company, marks) = self.companies.get_company(caller, &id).await?;
            Ok((marks, convert::company(&company)))
        };
        marked(get.await)
    }

    async fn list_companies(
        &self,
        request: Request<ListCompaniesRequest>,
    ) -> Result<Response<ListCompaniesResponse>, Status> {
        let caller = caller(&request)?;
        let list = async {
            let page = page(request.get_ref().pagination.clone())?;
            let paged = self.companies.list_companies(caller, page).await?;
            let companies = paged.rows.iter().map(convert::company).collect();
            Ok(ListCompaniesResponse { next_page_token: paged.next_page_token, companies })
        };
        answer(list.await)
    }
}

#[tonic::async_trait]
impl BusinessService for Compat {
    async fn get_business(
        &self,
        request: Request<GetBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let caller = caller(&request)?;
        let get = async {
            let id = BusinessId::parse("id", &request.get_ref().id)?;
            let (company, business, marks) = self.companies.get_business(caller, &id).await?;
            Ok((marks, convert::business(&company, &business)))
        };
        marked(get.await)
    }

    async fn list_business(
        &self,
        request: Request<ListBusinessRequest>,
    ) -> Result<Response<ListBusinessResponse>, Status> {
        let caller = caller(&request)?;
        let list = async {
            let request = request.get_ref();
            let mut wrong = Violations::default();
            let page = wrong.check(page(request.pagination.clone()));
            let company = match request.company_id.as_str() {
                "" => None,
                id => wrong.check(CompanyId::parse("company_id", id)),
            };
            let page = wrong.finish(|| page)?;
            if company.is_none() {
                guard::refuse_min_revision(caller)?;
            }
            let (paged, marks) =
                self.companies.list_businesses(caller, company.as_ref(), page).await?;
            let businesses =
                paged.rows.iter().map(|(company, b)| convert::business(company, b)).collect();
            let answer =
                ListBusinessResponse { next_page_token: paged.next_page_token, businesses };
            Ok((marks, answer))
        };
        match list.await {
            Ok((Some(marks), message)) => marked(Ok((marks, message))),
            other => answer(other.map(|(_, message)| message)),
        }
    }
}
