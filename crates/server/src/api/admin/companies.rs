//! Companies and their locations.

use std::{collections::HashMap, mem::take};

use customer_settings_contract::{
    customersettings::v1::{
        ArchiveBusinessRequest, ArchiveCompanyRequest, Business, Company, CreateBusinessRequest,
        CreateCompanyRequest, GetBusinessRequest, GetCompanyRequest, ListBusinessesRequest,
        ListBusinessesResponse, ListCompaniesRequest, ListCompaniesResponse,
        ReportSourceCheckRequest, RestoreBusinessRequest, RestoreCompanyRequest,
        SourceCheck as SourceCheckMessage, UpdateBusinessRequest, UpdateCompanyRequest,
        business_service_server::BusinessService, company_service_server::CompanyService,
    },
    google::r#type::TimeZone as ZoneMessage,
    moego::common::v1::{Address as AddressMessage, address::Type},
};
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    filter::Filter,
    paging::{Asked, ROWS},
    request::{
        Envelope, Mask, as_of, id_of_new, one_step, optional, refuse_etag, required, same_id,
        written,
    },
};
use crate::{
    api::{
        guard,
        marks::{answer, is_stale},
    },
    catalog::{
        access::Caller,
        change::{BusinessPatch, Change, CompanyPatch, ContactDraft, Step},
        company::{Address, AddressKind, Business as Held, Coordinate, ShortText},
        entry::State,
        error::{Cause, Error, Kind, Result, Violation, Violations},
        id::{BusinessId, CompanyId},
        log::RequestId,
        place::{Country, TimeZone},
        settings::{Settings, Subject},
        source::SourceCheck,
        text::Name,
    },
    service::{companies::CompanyRow, new_id, settings::Written},
};

const COMPANY_FIELDS: [&str; 3] = ["name", "country", "timezone"];

const BUSINESS_FIELDS: [&str; 11] = [
    "name",
    "avatar",
    "phone",
    "business_phone",
    "email",
    "address",
    "website",
    "facebook",
    "instagram",
    "yelp",
    "google",
];

fn the_company<M>(_: &M, written: &Written) -> Result<Company> {
    Ok(convert::company(&written.settings.company, Some(written.settings.revision)))
}

/// The location that a single step was about.
fn the_business<M>(_: &M, written: &Written) -> Result<Business> {
    let settings = &written.settings;
    let found = match written.subjects.first() {
        Some(Subject::Business(id)) => settings.businesses.iter().find(|held| held.id == *id),
        _ => None,
    };
    let missing = || Error::Internal(Cause::new("a step's location is not there after it"));
    Ok(convert::business(&settings.company.id, found.ok_or_else(missing)?))
}

impl Admin {
    /// Adds the last comparisons with their sources to the companies that have one.
    async fn add_source_checks(&self, caller: &Caller, companies: &mut [Company]) {
        let sourced = companies.iter().filter(|company| company.source.is_some());
        let ids = sourced.filter_map(|company| CompanyId::parse("id", &company.id).ok());
        let checks = self.0.companies.source_checks(caller, &ids.collect::<Vec<_>>()).await;
        let mut checks: HashMap<&str, SourceCheckMessage> =
            checks.iter().map(|(id, check)| (id.as_str(), convert::source_check(check))).collect();
        for company in companies {
            if let Some(source) = &mut company.source {
                source.last_check = checks.remove(company.id.as_str());
            }
        }
    }
}

#[tonic::async_trait]
impl CompanyService for Admin {
    async fn create_company(
        &self,
        request: Request<CreateCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let envelope = Envelope::open_write(request);
        let made = async {
            let company = match envelope.message.company_id.as_str() {
                // A wrong request id is refused with everything else that is wrong.
                "" => {
                    let request = envelope.request_id().ok().flatten();
                    new_company_id(envelope.caller()?, request.as_ref())
                }
                id => CompanyId::parse("company_id", id).map_err(Error::from),
            };
            self.write_to(company, &envelope, create_company, the_company).await
        };
        written(made.await)
    }

    async fn get_company(
        &self,
        request: Request<GetCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let caller = guard::caller(request.extensions()).cloned();
        let is_current = request.get_ref().revision == 0 && request.get_ref().read_time.is_none();
        let asked = |sent: GetCompanyRequest| Ok((as_of(sent.revision, sent.read_time)?, ()));
        let show = |settings: &Settings, ()| {
            Ok(convert::company(&settings.company, Some(settings.revision)))
        };
        let mut answer = self.read(request, asked, show).await?;
        if let Ok(caller) = &caller
            && is_current
            && !is_stale(&answer)
        {
            self.add_source_checks(caller, std::slice::from_mut(answer.get_mut())).await;
        }
        Ok(answer)
    }

    async fn list_companies(
        &self,
        request: Request<ListCompaniesRequest>,
    ) -> Result<Response<ListCompaniesResponse>, Status> {
        let mut envelope = Envelope::open(request);
        let message = &mut envelope.message;
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let list = async {
            let (caller, message) = (envelope.caller()?, &envelope.message);
            let mut wrong = Violations::default();
            let filter = wrong.check(Filter::parse(&message.filter));
            let asked = Asked::parse("ListCompanies", message, (size, &token), ROWS);
            let asked = wrong.check(asked);
            let (filter, asked) = wrong.finish(|| Some((filter?, asked?)))?;
            let after = asked.after(2, |words| {
                let [id, name] = words else { return None };
                Some(((*name).to_owned(), CompanyId::parse("id", id).ok()?))
            })?;
            let (mut page, mut damaged_ids) = (asked.page(), Vec::new());
            let take = |row: &CompanyRow| match row {
                Ok(held) if !filter.takes(held.state, &held.name, held.id.as_str()) => true,
                Ok(held) => page.takes(convert::company(held, None)),
                // Nobody knows whether the filter takes a damaged one.
                Err(damaged) => {
                    let fits = page.passes();
                    damaged_ids.extend(fits.then(|| damaged.place.1.to_string()));
                    fits
                }
            };
            // One more than the page holds says whether there are more; a filter passes many.
            let limit = if filter.is_empty() { asked.size() + 1 } else { ROWS.most() };
            let archived = message.show_archived || filter.names_a_state();
            let which = (after, u32::from(limit));
            let next = self.0.companies.companies_after(caller, archived, which, take).await?;
            let token = |(name, id): (String, CompanyId)| asked.token(&format!("{id} {name}"));
            let next_page_token = next.map(token).unwrap_or_default();
            self.add_source_checks(caller, &mut page.rows).await;
            Ok(ListCompaniesResponse { companies: page.rows, next_page_token, damaged_ids })
        };
        answer(list.await)
    }

    async fn update_company(
        &self,
        request: Request<UpdateCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let step = |sent: &UpdateCompanyRequest, etag| {
            let company = sent.company.as_ref();
            let inner = company.map_or("", |company| &company.id);
            let mut wrong = Violations::default();
            wrong.check(same_id("company.id", inner, &sent.company_id));
            let patch = wrong.check(company_patch(company, sent.update_mask.as_ref()));
            wrong.finish(|| Some(Step::UpdateCompany { patch: patch?, etag }))
        };
        self.step(request, step, the_company).await
    }

    async fn archive_company(
        &self,
        request: Request<ArchiveCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let step = |_: &_, etag| Ok(Step::SetCompanyState { state: State::Archived, etag });
        self.step(request, step, the_company).await
    }

    async fn restore_company(
        &self,
        request: Request<RestoreCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let step = |_: &_, etag| Ok(Step::SetCompanyState { state: State::Active, etag });
        self.step(request, step, the_company).await
    }

    async fn report_source_check(
        &self,
        request: Request<ReportSourceCheckRequest>,
    ) -> Result<Response<SourceCheckMessage>, Status> {
        let envelope = Envelope::open(request);
        let report = async {
            let (sent, companies) = (&envelope.message, &self.0.companies);
            let held_back = sent.held_back.as_deref();
            let check = SourceCheck {
                checked_time: companies.now(),
                is_changed: sent.changed,
                problems: ShortText::parse("problems", &sent.problems)?,
                held_back: held_back.map(|t| ShortText::parse("held_back", t)).transpose()?,
            };
            let (caller, id) = (envelope.caller()?, envelope.company()?);
            let report = companies.report_source_check(caller, &id, check, sent.validate_only);
            Ok(convert::source_check(&report.await?))
        };
        answer(report.await)
    }
}

#[tonic::async_trait]
impl BusinessService for Admin {
    async fn create_business(
        &self,
        request: Request<CreateBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        self.write(request, create_business, the_business).await
    }

    async fn get_business(
        &self,
        request: Request<GetBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let asked = |sent: GetBusinessRequest| {
            let mut wrong = Violations::default();
            let id = wrong.check(BusinessId::parse("id", &sent.id));
            let as_of = wrong.check(as_of(sent.revision, sent.read_time));
            wrong.finish(|| Some((as_of?, id?)))
        };
        let show = |settings: &Settings, id: BusinessId| {
            let found = settings.businesses.iter().find(|held| held.id == id);
            let absent = || Error::NotFound { kind: Kind::Business, id: id.to_string() };
            Ok(convert::business(&settings.company.id, found.ok_or_else(absent)?))
        };
        self.read(request, asked, show).await
    }

    async fn list_businesses(
        &self,
        request: Request<ListBusinessesRequest>,
    ) -> Result<Response<ListBusinessesResponse>, Status> {
        let asked = |mut sent: ListBusinessesRequest| {
            let mut wrong = Violations::default();
            let as_of = wrong.check(as_of(sent.revision, sent.read_time));
            let (size, token) = (take(&mut sent.page_size), take(&mut sent.page_token));
            let asked = wrong.check(Asked::parse("ListBusinesses", &sent, (size, &token), ROWS));
            let (as_of, asked) = wrong.finish(|| Some((as_of?, asked?)))?;
            let after = asked.after(2, |words| {
                let [id, name] = words else { return None };
                Some(((*name).to_owned(), (*id).to_owned()))
            })?;
            Ok((as_of, (asked, after, sent.show_archived)))
        };
        let rows = |settings: &Settings, (asked, ..): &(Asked, _, _)| {
            settings.businesses.len().min(asked.size().into())
        };
        self.read_rows(request, asked, rows, businesses).await
    }

    async fn update_business(
        &self,
        request: Request<UpdateBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let step = |sent: &UpdateBusinessRequest, etag| {
            let business = sent.business.as_ref();
            let mut wrong = Violations::default();
            let id = wrong.check(BusinessId::parse("id", &sent.id));
            wrong.check(same_ids(business, &sent.id, &sent.company_id));
            let patch = wrong.check(business_patch(business, sent.update_mask.as_ref()));
            wrong.finish(|| Some(Step::UpdateBusiness { id: id?, patch: Box::new(patch?), etag }))
        };
        self.step(request, step, the_business).await
    }

    async fn archive_business(
        &self,
        request: Request<ArchiveBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let step = |sent: &ArchiveBusinessRequest, etag| {
            let id = BusinessId::parse("id", &sent.id)?;
            Ok(Step::SetBusinessState { id, state: State::Archived, etag })
        };
        self.step(request, step, the_business).await
    }

    async fn restore_business(
        &self,
        request: Request<RestoreBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let step = |sent: &RestoreBusinessRequest, etag| {
            let id = BusinessId::parse("id", &sent.id)?;
            Ok(Step::SetBusinessState { id, state: State::Active, etag })
        };
        self.step(request, step, the_business).await
    }
}

fn create_company(sent: &Envelope<CreateCompanyRequest>) -> Result<Change> {
    let CreateCompanyRequest { company, company_id, .. } = &sent.message;
    let company = company.as_ref();
    let inner = company.map_or("", |company| &company.id);
    let mut wrong = Violations::default();
    wrong.check(id_of_new("company.id", inner, company_id, "company_id"));
    wrong.check(refuse_etag("company.etag", company.map_or("", |company| &company.etag), ""));
    wrong.check(required("company.name", company.and_then(|company| company.name.as_ref())));
    let patch = wrong.check(company_patch(company, None));
    wrong.finish(|| Some(one_step(Step::CreateCompany { patch: patch? })))
}

fn create_business(sent: &Envelope<CreateBusinessRequest>) -> Result<Change> {
    let CreateBusinessRequest { business, business_id, company_id, .. } = &sent.message;
    let business = business.as_ref();
    let mut wrong = Violations::default();
    let id = wrong.check(optional("business_id", business_id, BusinessId::parse)).flatten();
    let inner = business.map_or("", |business| &business.id);
    let same = id_of_new("business.id", inner, business_id, "business_id");
    wrong.check(same.and_then(|()| same_ids(business, business_id, company_id)));
    wrong.check(refuse_etag("business.etag", business.map_or("", |business| &business.etag), ""));
    wrong.check(required("business.name", business.and_then(|business| business.name.as_ref())));
    let patch = wrong.check(business_patch(business, None));
    wrong.finish(|| Some(one_step(Step::CreateBusiness { id, patch: Box::new(patch?) })))
}

/// A page of a company's locations, behind the name and the id of the last location of the page before.
fn businesses(
    settings: &Settings,
    (asked, after, show_archived): (Asked, Option<(String, String)>, bool),
) -> Result<ListBusinessesResponse> {
    // The locations are in the order of their names, and then of their ids.
    let is_after = |held: &&Held| {
        let place = (held.name.as_str(), held.id.as_str());
        after.as_ref().is_none_or(|(name, id)| place > (name, id))
    };
    let is_shown = |held: &&Held| show_archived || held.state == State::Active;
    let rows = settings.businesses.iter().filter(is_after).filter(is_shown);
    let rows: Vec<&Held> = rows.take(usize::from(asked.size()) + 1).collect();
    let (businesses, next_page_token) = asked.cut(
        &rows,
        |held| convert::business(&settings.company.id, held),
        |held| format!("{} {}", held.id, held.name),
    );
    Ok(ListBusinessesResponse { businesses, next_page_token })
}

/// Refuses a location in a message whose ids differ from the request's.
fn same_ids(sent: Option<&Business>, id: &str, company: &str) -> Result<()> {
    let Some(sent) = sent else { return Ok(()) };
    same_id("business.id", &sent.id, id)?;
    same_id("business.company_id", &sent.company_id, company)
}

/// The id of a new company. A repeated request must find the company that it made, so the id follows from the
/// request id if there is one.
fn new_company_id(caller: &Caller, request_id: Option<&RequestId>) -> Result<CompanyId> {
    let id = match (&caller.actor.key_id, request_id) {
        (Some(key), Some(request_id)) => {
            let hash = Sha256::digest(format!("{key}/{request_id}"));
            let text: String = hash[..13].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}_{text}", CompanyId::PREFIX)
        }
        _ => new_id(CompanyId::PREFIX),
    };
    Ok(CompanyId::parse("company_id", &id)?)
}

fn company_patch(sent: Option<&Company>, mask: Option<&FieldMask>) -> Result<CompanyPatch> {
    let none = Company::default();
    let sent = sent.unwrap_or(&none);
    let mask = Mask::parse(mask, &COMPANY_FIELDS)?;
    let name = |text: String| Name::parse("company.name", &text);
    let country = |text: String| Country::parse("company.country", &text);
    let zone = |zone: ZoneMessage| TimeZone::parse("company.timezone.id", &zone.id);
    let mut wrong = Violations::default();
    let patch = CompanyPatch {
        name: wrong.check(mask.take("name", sent.name.as_ref(), name)).flatten(),
        country: wrong.check(mask.take("country", sent.country.as_ref(), country)).flatten(),
        timezone: wrong.check(mask.take("timezone", sent.timezone.as_ref(), zone)).flatten(),
        state: wrong.check(convert::sent_state("company.state", sent.state)).flatten(),
    };
    wrong.finish(|| Some(patch))
}

type Parse = fn(&str, &str) -> Result<ShortText, Violation>;

fn business_patch(sent: Option<&Business>, mask: Option<&FieldMask>) -> Result<BusinessPatch> {
    let none = Business::default();
    let sent = sent.unwrap_or(&none);
    let mask = Mask::parse(mask, &BUSINESS_FIELDS)?;
    let mut wrong = Violations::default();
    let name = |text: String| Name::parse("business.name", &text);
    let name = wrong.check(mask.take("name", sent.name.as_ref(), name)).flatten();
    let mut parsed = |field: &str, sent: Option<&String>, parse: Parse| {
        let parse = |text: String| parse(&format!("business.{field}"), &text);
        wrong.check(mask.take(field, sent, parse)).flatten()
    };
    let email = parsed("email", sent.email.as_ref(), ShortText::email);
    let website = parsed("website", sent.website.as_ref(), ShortText::web_address);
    let mut text = |field: &str, sent: Option<&String>| parsed(field, sent, ShortText::parse);
    let contact = ContactDraft {
        avatar: text("avatar", sent.avatar.as_ref()),
        phone: text("phone", sent.phone.as_ref()),
        business_phone: text("business_phone", sent.business_phone.as_ref()),
        email,
        website,
        facebook: text("facebook", sent.facebook.as_ref()),
        instagram: text("instagram", sent.instagram.as_ref()),
        yelp: text("yelp", sent.yelp.as_ref()),
        google: text("google", sent.google.as_ref()),
    };
    let address = match mask.takes("address", sent.address.is_some()) {
        true => wrong.check(sent.address.as_ref().map(address).transpose()),
        false => None,
    };
    let state = wrong.check(convert::sent_state("business.state", sent.state)).flatten();
    wrong.finish(|| Some(BusinessPatch { name, address, contact, state }))
}

fn address(sent: &AddressMessage) -> Result<Address> {
    const AT: &str = "business.address";
    let mut wrong = Violations::default();
    let coordinate = sent.coordinate.as_ref().map(|at| {
        let within = |violation: Violation| violation.within(&format!("{AT}.coordinate"));
        Coordinate::new(at.latitude, at.longitude).map_err(within)
    });
    let coordinate = wrong.check(coordinate.transpose()).flatten();
    let country = wrong.check(Country::parse(&format!("{AT}.country"), &sent.country));
    let mut text = |field: &str, text: &str| {
        wrong.check(ShortText::parse(&format!("{AT}.{field}"), text)).unwrap_or_default()
    };
    let address = Address {
        id: text("id", &sent.id),
        address1: text("address1", &sent.address1),
        address2: text("address2", &sent.address2),
        city: text("city", &sent.city),
        state: text("state", &sent.state),
        postal_code: text("postal_code", &sent.postal_code),
        country: country.unwrap_or_default(),
        coordinate,
        kind: match sent.r#type() {
            Type::Unspecified => AddressKind::Unspecified,
            Type::Primary => AddressKind::Primary,
            Type::Secondary => AddressKind::Secondary,
        },
    };
    wrong.finish(|| Some(address))
}
