//! Companies and their locations.

use std::mem::take;

use customer_settings_contract::{
    customersettings::v1::{
        ArchiveBusinessRequest, ArchiveCompanyRequest, Business, Company, CreateBusinessRequest,
        CreateCompanyRequest, GetBusinessRequest, GetCompanyRequest, ListBusinessesRequest,
        ListBusinessesResponse, ListCompaniesRequest, ListCompaniesResponse,
        RestoreBusinessRequest, RestoreCompanyRequest, UpdateBusinessRequest, UpdateCompanyRequest,
        business_service_server::BusinessService, company_service_server::CompanyService,
    },
    moego::common::v1::{Address as AddressMessage, address::Type},
};
use prost::Message;
use prost_types::FieldMask;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::{
    Admin, convert,
    paging::{Asked, ROWS},
    request::{Envelope, Mask, as_of, id_of_new, refuse_etag, required, same_id, written},
};
use crate::{
    api::marks::{answer, marked},
    catalog::{
        access::Caller,
        change::{BusinessPatch, CompanyPatch, ContactDraft, Step},
        company::{Address, AddressKind, Business as Held, Coordinate, ShortText},
        entry::State,
        error::{Cause, Error, Kind, Result, Violation},
        id::{BusinessId, CompanyId},
        log::RequestId,
        place::{Country, TimeZone},
        settings::Subject,
        text::Name,
    },
    service::{
        new_id,
        settings::{Ask, Written},
    },
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

impl Admin {
    /// Makes one step about the company or a location; `message` is without its request id.
    async fn company_step(
        &self,
        envelope: &Envelope,
        (rpc, message): (&str, &impl Message),
        (company, request_id, validate_only): (&CompanyId, &str, bool),
        step: Result<Step>,
    ) -> Result<Written> {
        let ask = Ask::Steps { etag: None, steps: vec![step?], is_batch: false };
        let write = envelope.write(rpc, message, request_id, validate_only, ask)?;
        self.0.settings.write(envelope.caller()?, company, write).await
    }
}

fn the_company(written: Written) -> (Written, Company) {
    let settings = &written.settings;
    let company = convert::company(&settings.company, Some(settings.revision));
    (written, company)
}

/// The location that a single step was about.
fn the_business(written: Written) -> Result<(Written, Business)> {
    let settings = &written.settings;
    let found = match written.subjects.first() {
        Some(Subject::Business(id)) => settings.businesses.iter().find(|held| held.id == *id),
        _ => None,
    };
    let found = found.map(|held| convert::business(&settings.company.id, held));
    let gone = || Error::Internal(Cause::new("a step's location is not there after it"));
    found.map(|business| (written, business)).ok_or_else(gone)
}

#[tonic::async_trait]
impl CompanyService for Admin {
    async fn create_company(
        &self,
        request: Request<CreateCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let made = async {
            let company = match message.company_id.as_str() {
                "" => new_company_id(envelope.caller()?, envelope.request_id(&id)?.as_ref())?,
                id => CompanyId::parse("company_id", id)?,
            };
            let sent = message.company.as_ref();
            let inner = sent.map_or("", |sent| &sent.id);
            id_of_new("company.id", inner, &message.company_id, "company_id")?;
            refuse_etag("company.etag", sent.map_or("", |sent| &sent.etag), "")?;
            let patch = company_patch(sent, None)?;
            required("company.name", patch.name.as_ref())?;
            let step = Ok(Step::CreateCompany { patch });
            let of = (&company, id.as_str(), message.validate_only);
            self.company_step(&envelope, ("CreateCompany", &message), of, step).await
        };
        written(made.await.map(the_company))
    }

    async fn get_company(
        &self,
        request: Request<GetCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let (envelope, message) = Envelope::open(request);
        let get = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let as_of = as_of(message.revision, message.read_time)?;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let read = self.0.settings.read(caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            Ok((marks, convert::company(&settings.company, Some(settings.revision))))
        };
        marked(get.await)
    }

    async fn list_companies(
        &self,
        request: Request<ListCompaniesRequest>,
    ) -> Result<Response<ListCompaniesResponse>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let list = async {
            let caller = envelope.caller()?;
            let asked = Asked::parse("ListCompanies", &message, (size, &token), ROWS)?;
            let after = asked.after(2, |words| {
                let [id, name] = words else { return None };
                Some(((*name).to_owned(), CompanyId::parse("id", id).ok()?))
            })?;
            let after = after.as_ref().map(|(name, id)| (name.as_str(), id));
            let (archived, limit) = (message.show_archived, u32::from(asked.size()) + 1);
            let rows = self.0.companies.companies_after(caller, archived, after, limit).await?;
            let (companies, next_page_token, taken) = asked.cut(
                &rows,
                |row| row.as_ref().ok().map(|held| convert::company(held, None)),
                |row| match row {
                    Ok(held) => format!("{} {}", held.id, held.name),
                    Err(damaged) => format!("{} {}", damaged.place.1, damaged.place.0),
                },
            );
            let damaged = rows[..taken].iter().filter_map(|row| row.as_ref().err());
            let damaged_ids = damaged.map(|row| row.place.1.to_string()).collect();
            Ok(ListCompaniesResponse { companies, next_page_token, damaged_ids })
        };
        answer(list.await)
    }

    async fn update_company(
        &self,
        request: Request<UpdateCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let sent = message.company.as_ref();
            same_id("company.id", sent.map_or("", |sent| &sent.id), company.as_str())?;
            let in_body = sent.map(|sent| sent.etag.as_str()).unwrap_or_default();
            let etag = envelope.etag(&[&message.etag, in_body]);
            let patch = company_patch(sent, message.update_mask.as_ref());
            let step = etag.and_then(|etag| Ok(Step::UpdateCompany { patch: patch?, etag }));
            let of = (&company, id.as_str(), message.validate_only);
            self.company_step(&envelope, ("UpdateCompany", &message), of, step).await
        };
        written(made.await.map(the_company))
    }

    async fn archive_company(
        &self,
        request: Request<ArchiveCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let etag = envelope.etag(&[&message.etag]);
            let step = etag.map(|etag| Step::SetCompanyState { state: State::Archived, etag });
            let of = (&company, id.as_str(), message.validate_only);
            self.company_step(&envelope, ("ArchiveCompany", &message), of, step).await
        };
        written(made.await.map(the_company))
    }

    async fn restore_company(
        &self,
        request: Request<RestoreCompanyRequest>,
    ) -> Result<Response<Company>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let etag = envelope.etag(&[&message.etag]);
            let step = etag.map(|etag| Step::SetCompanyState { state: State::Active, etag });
            let of = (&company, id.as_str(), message.validate_only);
            self.company_step(&envelope, ("RestoreCompany", &message), of, step).await
        };
        written(made.await.map(the_company))
    }
}

#[tonic::async_trait]
impl BusinessService for Admin {
    async fn create_business(
        &self,
        request: Request<CreateBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let request_id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let step = || {
                let id = match message.business_id.as_str() {
                    "" => None,
                    id => Some(BusinessId::parse("business_id", id)?),
                };
                let sent = message.business.as_ref();
                let inner = sent.map_or("", |sent| &sent.id);
                id_of_new("business.id", inner, &message.business_id, "business_id")?;
                same_ids(sent, &message.business_id, &message.company_id)?;
                refuse_etag("business.etag", sent.map_or("", |sent| &sent.etag), "")?;
                let patch = Box::new(business_patch(sent, None)?);
                required("business.name", patch.name.as_ref())?;
                Ok(Step::CreateBusiness { id, patch })
            };
            let of = (&company, request_id.as_str(), message.validate_only);
            self.company_step(&envelope, ("CreateBusiness", &message), of, step()).await
        };
        written(made.await.and_then(the_business))
    }

    async fn get_business(
        &self,
        request: Request<GetBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let (envelope, message) = Envelope::open(request);
        let get = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let id = BusinessId::parse("id", &message.id)?;
            let as_of = as_of(message.revision, message.read_time)?;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let read = self.0.settings.read(caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            let found = settings.businesses.iter().find(|held| held.id == id);
            let absent = || Error::NotFound { kind: Kind::Business, id: id.to_string() };
            Ok((marks, convert::business(&company, found.ok_or_else(absent)?)))
        };
        marked(get.await)
    }

    async fn list_businesses(
        &self,
        request: Request<ListBusinessesRequest>,
    ) -> Result<Response<ListBusinessesResponse>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let list = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let as_of = as_of(message.revision, message.read_time)?;
            let asked = Asked::parse("ListBusinesses", &message, (size, &token), ROWS)?;
            let after = asked.after(2, |words| {
                let [id, name] = words else { return None };
                Some(((*name).to_owned(), (*id).to_owned()))
            })?;
            let (caller, deadline) = (envelope.caller()?, envelope.deadline()?);
            let read = self.0.settings.read(caller, &company, as_of, deadline);
            let (settings, marks) = read.await?;
            // They are in the order of their names, and then of their ids.
            let is_after = |held: &&Held| {
                let place = (held.name.as_str(), held.id.as_str());
                after.as_ref().is_none_or(|(name, id)| place > (name, id))
            };
            let is_shown = |held: &&Held| message.show_archived || held.state == State::Active;
            let rows = settings.businesses.iter().filter(is_after).filter(is_shown);
            let rows: Vec<&Held> = rows.take(usize::from(asked.size()) + 1).collect();
            let (businesses, next_page_token, _) = asked.cut(
                &rows,
                |held| Some(convert::business(&company, held)),
                |held| format!("{} {}", held.id, held.name),
            );
            Ok((marks, ListBusinessesResponse { businesses, next_page_token }))
        };
        marked(list.await)
    }

    async fn update_business(
        &self,
        request: Request<UpdateBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let request_id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let sent = message.business.as_ref();
            let step = || {
                let id = BusinessId::parse("id", &message.id)?;
                same_ids(sent, id.as_str(), &message.company_id)?;
                let in_body = sent.map(|sent| sent.etag.as_str()).unwrap_or_default();
                let etag = envelope.etag(&[&message.etag, in_body])?;
                let patch = Box::new(business_patch(sent, message.update_mask.as_ref())?);
                Ok(Step::UpdateBusiness { id, patch, etag })
            };
            let of = (&company, request_id.as_str(), message.validate_only);
            self.company_step(&envelope, ("UpdateBusiness", &message), of, step()).await
        };
        written(made.await.and_then(the_business))
    }

    async fn archive_business(
        &self,
        request: Request<ArchiveBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let request_id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let step = business_state(&envelope, &message.id, &message.etag, State::Archived);
            let of = (&company, request_id.as_str(), message.validate_only);
            self.company_step(&envelope, ("ArchiveBusiness", &message), of, step).await
        };
        written(made.await.and_then(the_business))
    }

    async fn restore_business(
        &self,
        request: Request<RestoreBusinessRequest>,
    ) -> Result<Response<Business>, Status> {
        let (envelope, mut message) = Envelope::open(request);
        let request_id = take(&mut message.request_id);
        let made = async {
            let company = CompanyId::parse("company_id", &message.company_id)?;
            let step = business_state(&envelope, &message.id, &message.etag, State::Active);
            let of = (&company, request_id.as_str(), message.validate_only);
            self.company_step(&envelope, ("RestoreBusiness", &message), of, step).await
        };
        written(made.await.and_then(the_business))
    }
}

fn business_state(envelope: &Envelope, id: &str, etag: &str, state: State) -> Result<Step> {
    let id = BusinessId::parse("id", id)?;
    Ok(Step::SetBusinessState { id, state, etag: envelope.etag(&[etag])? })
}

/// Refuses a location that says of itself that it is another one.
fn same_ids(sent: Option<&Business>, id: &str, company: &str) -> Result<()> {
    let Some(sent) = sent else { return Ok(()) };
    same_id("business.id", &sent.id, id)?;
    same_id("business.company_id", &sent.company_id, company)
}

/// A repeated request must find the company that it made, so its id follows from the request's.
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
    Ok(CompanyPatch {
        name: mask.take("name", sent.name.as_ref(), |t| Name::parse("company.name", &t))?,
        country: mask
            .take("country", sent.country.as_ref(), |t| Country::parse("company.country", &t))?,
        timezone: mask.take("timezone", sent.timezone.as_ref(), |zone| {
            TimeZone::parse("company.timezone.id", &zone.id)
        })?,
        state: convert::sent_state("company.state", sent.state)?,
    })
}

fn business_patch(sent: Option<&Business>, mask: Option<&FieldMask>) -> Result<BusinessPatch> {
    let none = Business::default();
    let sent = sent.unwrap_or(&none);
    let mask = Mask::parse(mask, &BUSINESS_FIELDS)?;
    let text = |field: &str, sent: Option<&String>| {
        mask.take(field, sent, |text| ShortText::parse(&format!("business.{field}"), &text))
    };
    let contact = ContactDraft {
        avatar: text("avatar", sent.avatar.as_ref())?,
        phone: text("phone", sent.phone.as_ref())?,
        business_phone: text("business_phone", sent.business_phone.as_ref())?,
        email: text("email", sent.email.as_ref())?,
        website: text("website", sent.website.as_ref())?,
        facebook: text("facebook", sent.facebook.as_ref())?,
        instagram: text("instagram", sent.instagram.as_ref())?,
        yelp: text("yelp", sent.yelp.as_ref())?,
        google: text("google", sent.google.as_ref())?,
    };
    let address = match mask.takes("address", sent.address.is_some()) {
        true => Some(sent.address.as_ref().map(address).transpose()?),
        false => None,
    };
    let name = mask.take("name", sent.name.as_ref(), |t| Name::parse("business.name", &t))?;
    let state = convert::sent_state("business.state", sent.state)?;
    Ok(BusinessPatch { name, address, contact, state })
}

fn address(sent: &AddressMessage) -> Result<Address, Violation> {
    let text =
        |field: &str, text: &str| ShortText::parse(&format!("business.address.{field}"), text);
    let coordinate = sent.coordinate.as_ref().map(|at| {
        Coordinate::new(at.latitude, at.longitude).map_err(|violation| Violation {
            field: format!("business.address.coordinate.{}", violation.field),
            ..violation
        })
    });
    Ok(Address {
        id: text("id", &sent.id)?,
        address1: text("address1", &sent.address1)?,
        address2: text("address2", &sent.address2)?,
        city: text("city", &sent.city)?,
        state: text("state", &sent.state)?,
        postal_code: text("postal_code", &sent.postal_code)?,
        country: Country::parse("business.address.country", &sent.country)?,
        coordinate: coordinate.transpose()?,
        kind: match sent.r#type() {
            Type::Unspecified => AddressKind::Unspecified,
            Type::Primary => AddressKind::Primary,
            Type::Secondary => AddressKind::Secondary,
        },
    })
}
