//! A company's locations.

use askama::Template;
use customer_settings_contract::{
    customersettings::v1::{
        ArchiveBusinessRequest, Business, CreateBusinessRequest, GetBusinessRequest,
        ListBusinessesRequest, RestoreBusinessRequest, State, UpdateBusinessRequest,
    },
    moego::common::v1::Address,
};
use prost_types::FieldMask;
use tonic::Status;

use super::{
    answer::{Answer, page, shown},
    form,
    problem::{Field, Problem},
    view::Frame,
    visit::{Visit, act},
    words,
};
use crate::status::Page;

const FIELDS: [Field; 10] = [
    ("name", "name", "The name"),
    ("business_phone", "business_phone", "The phone"),
    ("email", "email", "The email"),
    ("website", "website", "The website"),
    ("address1", "address1", "The street"),
    ("address2", "address2", "The second line"),
    ("city", "city", "The city"),
    ("region", "state", "The state or region"),
    ("postal_code", "postal_code", "The postal code"),
    ("country", "country", "The country"),
];

struct Row {
    path: String,
    name: String,
    about: String,
    is_archived: bool,
}

#[derive(Template)]
#[template(path = "locations.html")]
struct ListPage {
    f: Frame,
    here: String,
    problem: Problem,
    rows: Vec<Row>,
    shows_archived: bool,
    name: String,
    request: String,
}

async fn list_page(visit: &Visit<'_>, problem: Problem) -> Result<ListPage, Status> {
    let here = format!("{}/locations", visit.company_path());
    let shows_archived = !visit.query.get("archived").is_empty();
    let ask = ListBusinessesRequest {
        company_id: visit.part(0).to_owned(),
        show_archived: shows_archived,
        ..Default::default()
    };
    let list = visit.locations().list_businesses(visit.ask(ask)).await?.into_inner();
    let row = |one: Business| Row {
        path: format!("{here}/{}", form::part(&one.id)),
        about: about(&one),
        name: one.name.unwrap_or_default(),
        is_archived: one.state == State::Archived as i32,
    };
    Ok(ListPage {
        f: visit.company_frame("locations", "Locations").await?,
        problem,
        rows: list.businesses.into_iter().map(row).collect(),
        here: here.clone(),
        shows_archived,
        name: visit.form.get("name").to_owned(),
        request: Visit::new_request(),
    })
}

/// The locations, or one more.
pub(super) async fn list(visit: &Visit<'_>) -> Answer {
    if !visit.is_post {
        return shown(&list_page(visit, Problem::default()).await?);
    }
    let name = Some(visit.form.get("name").to_owned());
    let ask = CreateBusinessRequest {
        company_id: visit.part(0).to_owned(),
        business: Some(Business { name, ..Default::default() }),
        request_id: visit.form.get("request").to_owned(),
        ..Default::default()
    };
    match visit.locations().create_business(visit.ask(ask)).await {
        Ok(made) => {
            let path = format!("{}/locations", visit.company_path());
            let act = act("added", "businesses", &made.get_ref().id);
            Ok(visit.done(made.metadata(), &path, &act).await)
        }
        Err(status) => {
            let shown = list_page(visit, visit.problem(&status, &FIELDS)).await?;
            Ok(page(Page::Refused(&status), &shown))
        }
    }
}

/// The city and the phone.
fn about(one: &Business) -> String {
    let city = one.address.as_ref().map(|address| address.city.as_str());
    let parts = [city, one.business_phone.as_deref()].into_iter().flatten();
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

struct Sheet {
    name: String,
    business_phone: String,
    email: String,
    website: String,
    address1: String,
    address2: String,
    city: String,
    region: String,
    postal_code: String,
    country: String,
}

impl Sheet {
    fn of(one: &Business) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let address = one.address.clone().unwrap_or_default();
        Self {
            name: text(&one.name),
            business_phone: text(&one.business_phone),
            email: text(&one.email),
            website: text(&one.website),
            address1: address.address1,
            address2: address.address2,
            city: address.city,
            region: address.state,
            postal_code: address.postal_code,
            country: address.country,
        }
    }

    fn sent(visit: &Visit<'_>) -> Self {
        let get = |name: &str| visit.form.get(name).to_owned();
        Self {
            name: get("name"),
            business_phone: get("business_phone"),
            email: get("email"),
            website: whole(get("website")),
            address1: get("address1"),
            address2: get("address2"),
            city: get("city"),
            region: get("region"),
            postal_code: get("postal_code"),
            country: get("country"),
        }
    }

    /// The fields by their names in the form.
    fn fields(&mut self) -> [(&'static str, &mut String); 10] {
        [
            ("name", &mut self.name),
            ("business_phone", &mut self.business_phone),
            ("email", &mut self.email),
            ("website", &mut self.website),
            ("address1", &mut self.address1),
            ("address2", &mut self.address2),
            ("city", &mut self.city),
            ("region", &mut self.region),
            ("postal_code", &mut self.postal_code),
            ("country", &mut self.country),
        ]
    }

    /// The address of the form, over that which is there: the form has not all its parts.
    fn address(&self, before: Option<Address>) -> Option<Address> {
        let address = Address {
            address1: self.address1.clone(),
            address2: self.address2.clone(),
            city: self.city.clone(),
            state: self.region.clone(),
            postal_code: self.postal_code.clone(),
            country: self.country.clone(),
            ..before.unwrap_or_default()
        };
        (address != Address::default()).then_some(address)
    }

    /// The address in one line.
    fn line(&self) -> String {
        words::address(&self.address(None).unwrap_or_default())
    }
}

/// A web address as people write it, with the scheme that they leave out.
fn whole(website: String) -> String {
    match website.is_empty() || website.contains(':') {
        true => website,
        false => format!("https://{website}"),
    }
}

#[derive(Template)]
#[template(path = "location.html")]
struct OnePage {
    f: Frame,
    up: String,
    here: String,
    problem: Problem,
    sheet: Sheet,
    stored: Option<Sheet>,
    /// The fields as they are stored, so that the form knows which of them a person changed.
    was: Vec<(&'static str, String)>,
    etag: String,
    request: String,
    is_archived: bool,
}

pub(super) async fn get(visit: &Visit<'_>) -> Result<Business, Status> {
    let ask = GetBusinessRequest {
        company_id: visit.part(0).to_owned(),
        id: visit.part(1).to_owned(),
        ..Default::default()
    };
    Ok(visit.locations().get_business(visit.ask(ask)).await?.into_inner())
}

async fn one_page(
    visit: &Visit<'_>,
    sheet: Option<Sheet>,
    problem: Problem,
) -> Result<OnePage, Status> {
    let one = get(visit).await?;
    let (mut sheet, mut stored) = (sheet, Sheet::of(&one));
    let title = stored.name.clone();
    let was = form::pairs(stored.fields());
    if let Some(sheet) = &mut sheet {
        visit.form.keep_others(sheet.fields(), &was);
    }
    let (sheet, stored) = problem.sheets(sheet, stored);
    Ok(OnePage {
        f: visit.company_frame("locations", title).await?,
        up: format!("{}/locations", visit.company_path()),
        here: format!("{}/locations/{}", visit.company_path(), visit.link_part(1)),
        problem,
        sheet,
        stored,
        was,
        etag: one.etag,
        request: Visit::new_request(),
        is_archived: one.state == State::Archived as i32,
    })
}

/// One location, or its fields saved.
pub(super) async fn one(visit: &Visit<'_>) -> Answer {
    if !visit.is_post {
        return shown(&one_page(visit, None, Problem::default()).await?);
    }
    let sheet = Sheet::sent(visit);
    let before = get(visit).await?;
    let business = Business {
        address: sheet.address(before.address),
        name: Some(sheet.name.clone()),
        business_phone: Some(sheet.business_phone.clone()),
        email: Some(sheet.email.clone()),
        website: Some(sheet.website.clone()),
        ..Default::default()
    };
    let paths = ["name", "business_phone", "email", "website", "address"];
    let paths = paths.map(str::to_owned).to_vec();
    let ask = UpdateBusinessRequest {
        company_id: visit.part(0).to_owned(),
        id: visit.part(1).to_owned(),
        business: Some(business),
        update_mask: Some(FieldMask { paths }),
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.locations().update_business(visit.ask(ask)).await {
        Ok(saved) => {
            let path = format!("{}/locations", visit.company_path());
            let act = act("saved", "businesses", visit.part(1));
            Ok(visit.done(saved.metadata(), &path, &act).await)
        }
        Err(status) => {
            let place = ("businesses", visit.part(1));
            let problem = visit.problem_of(&status, &FIELDS, place).await;
            let shown = one_page(visit, Some(sheet), problem).await?;
            if shown.is_archived {
                return Ok(visit.put_away(&status, &shown.problem));
            }
            Ok(page(Page::Refused(&status), &shown))
        }
    }
}

/// Puts a location away, or takes it back.
pub(super) async fn state(visit: &Visit<'_>) -> Answer {
    let (company_id, id) = (visit.part(0).to_owned(), visit.part(1).to_owned());
    let (etag, request_id) =
        (visit.form.get("etag").to_owned(), visit.form.get("request").to_owned());
    let (done, code) = if visit.path.ends_with("/archive") {
        let ask = ArchiveBusinessRequest { company_id, id, etag, request_id, validate_only: false };
        (visit.locations().archive_business(visit.ask(ask)).await?, "away")
    } else {
        let ask = RestoreBusinessRequest { company_id, id, etag, request_id, validate_only: false };
        (visit.locations().restore_business(visit.ask(ask)).await?, "back")
    };
    let path = format!("{}/locations", visit.company_path());
    Ok(visit.done(done.metadata(), &path, &act(code, "businesses", visit.part(1))).await)
}
