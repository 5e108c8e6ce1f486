//! The compatible surface: the services that programs written for MoeGo's API call
//! (docs/api.md), and which of their lists are hot enough for finished bytes.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use customer_settings_contract::{
    descriptors,
    moego::{
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
                ListLeadsActionStatusResponse, ListLeadsLifeCyclesRequest,
                ListLeadsLifeCyclesResponse, setting_service_server::SettingService,
            },
        },
        common::v1::Pagination,
    },
};
use http::Extensions;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::{Request, Response, Status};

use super::{
    UseCases, convert,
    finished::FinishedList,
    frame::{framed, unframed},
    guard,
    http::{DirectJson, Finished, FinishedAnswers, rpc_path},
    marks::{answer, marked},
};
use crate::{
    catalog::{
        access::Caller,
        entry::Catalog,
        error::{Cause, Error, Kind, Result},
        id::{BusinessId, CompanyId},
        settings::Settings,
        token::RevisionToken,
    },
    service::{
        companies::{CompaniesService, Page},
        settings::SettingsService,
        snapshot::{Rendered, Seen},
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

    /// The snapshot that a list of the company answers from.
    async fn seen(&self, caller: &Caller, company_id: &str) -> Result<Seen> {
        let id = CompanyId::parse("company_id", company_id)?;
        let grant = caller.grant(&id)?;
        let found = self.settings.get(&grant).await?;
        found.ok_or_else(|| caller.absent(Kind::Company, id.as_str()))
    }
}

/// The caller of a method.
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
    Ok(Page::parse(pagination.page_size, &token)?)
}

#[tonic::async_trait]
impl SettingService for Compat {
    async fn list_customer_tags(
        &self,
        request: Request<ListCustomerTagsRequest>,
    ) -> Result<Response<ListCustomerTagsResponse>, Status> {
        let caller = caller(&request)?;
        let seen = self.seen(caller, &request.get_ref().company_id).await;
        marked(seen.map(|seen| (seen.marks(), convert::customer_tags(&seen.settings))))
    }

    async fn list_customer_referral_sources(
        &self,
        request: Request<ListCustomerReferralSourcesRequest>,
    ) -> Result<Response<ListCustomerReferralSourcesResponse>, Status> {
        let caller = caller(&request)?;
        let seen = self.seen(caller, &request.get_ref().company_id).await;
        marked(seen.map(|seen| (seen.marks(), convert::referral_sources(&seen.settings))))
    }

    async fn list_leads_life_cycles(
        &self,
        request: Request<ListLeadsLifeCyclesRequest>,
    ) -> Result<Response<ListLeadsLifeCyclesResponse>, Status> {
        let caller = caller(&request)?;
        let seen = self.seen(caller, &request.get_ref().company_id).await;
        marked(seen.map(|seen| (seen.marks(), convert::life_cycles(&seen.settings))))
    }

    async fn list_leads_action_status(
        &self,
        request: Request<ListLeadsActionStatusRequest>,
    ) -> Result<Response<ListLeadsActionStatusResponse>, Status> {
        let caller = caller(&request)?;
        let seen = self.seen(caller, &request.get_ref().company_id).await;
        marked(seen.map(|seen| (seen.marks(), convert::action_statuses(&seen.settings))))
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
            let page = page(request.pagination.clone())?;
            let company = match request.company_id.as_str() {
                "" => None,
                id => Some(CompanyId::parse("company_id", id)?),
            };
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

/// The four lists over HTTP/JSON, from the snapshot's finished bytes.
pub(super) struct HotLists(pub(super) Compat);

/// Which catalog a method lists.
pub(super) fn listed(rpc_path: &str) -> Option<Catalog> {
    match rpc_path.strip_prefix("/moego.business.setting.v1.SettingService/")? {
        "ListCustomerTags" => Some(Catalog::CustomerTags),
        "ListCustomerReferralSources" => Some(Catalog::ReferralSources),
        "ListLeadsLifeCycles" => Some(Catalog::LifeCycles),
        "ListLeadsActionStatus" => Some(Catalog::ActionStatuses),
        _ => None,
    }
}

#[async_trait]
impl FinishedAnswers for HotLists {
    fn handles(&self, rpc_path: &str) -> bool {
        listed(rpc_path).is_some()
    }

    async fn answer(
        &self,
        rpc_path: &str,
        request: &DynamicMessage,
        extensions: &Extensions,
    ) -> Result<Finished> {
        let catalog =
            listed(rpc_path).ok_or_else(|| Error::Internal(Cause::new("not a hot list")))?;
        let caller = guard::caller(extensions)?;
        let company_id = request.get_field_by_name("company_id");
        let company_id = company_id.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let seen = self.0.seen(caller, company_id).await?;
        let list = seen.list(catalog).clone().downcast();
        let list = list.map_err(|_| Error::Internal(Cause::new("not a finished list")))?;
        Ok(Finished { list, marks: seen.marks() })
    }
}

/// A company's list as the snapshot keeps it: what the transcoder and tonic would write, once.
pub fn finished_list(epoch: u64, settings: &Settings, catalog: Catalog) -> Rendered {
    let grpc = match catalog {
        Catalog::CustomerTags => framed(&convert::customer_tags(settings)),
        Catalog::ReferralSources => framed(&convert::referral_sources(settings)),
        Catalog::LifeCycles => framed(&convert::life_cycles(settings)),
        Catalog::ActionStatuses => framed(&convert::action_statuses(settings)),
    };
    let grpc = grpc.unwrap_or_else(|| unreachable!("lists are bounded"));
    let json = unframed(&grpc).ok().and_then(|message| JSON[catalog.index()].write(message));
    let json = json.unwrap_or_else(|| unreachable!("these bytes were just made"));
    let token = RevisionToken { epoch, revision: settings.revision };
    Arc::new(FinishedList::new(token, json, grpc))
}

/// What [`finished_list`] made.
pub(super) fn finished(seen: &Seen, catalog: Catalog) -> &FinishedList {
    let list = seen.list(catalog).downcast_ref();
    list.unwrap_or_else(|| unreachable!("snapshots are rendered by finished_list"))
}

/// How the four lists are written as JSON.
static JSON: LazyLock<[DirectJson; 4]> = LazyLock::new(|| {
    Catalog::ALL.map(|catalog| {
        let services = descriptors().services();
        let mut methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        let lists = |method: &MethodDescriptor| listed(&rpc_path(method)) == Some(catalog);
        let message = methods.find(lists).map(|method| method.output());
        message
            .and_then(|message| DirectJson::new(&message))
            .unwrap_or_else(|| unreachable!("the contract lists {catalog}"))
    })
});
