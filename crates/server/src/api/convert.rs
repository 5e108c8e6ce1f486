//! From the domain's types to the contract's messages.

use customer_settings_contract::{
    google::r#type::{LatLng, TimeZone},
    moego::{
        business::{
            business::v1::Business as BusinessMessage,
            company::v1::Company as CompanyMessage,
            setting::v1::{
                ActionStatus, CustomerTag, LifeCycle, ListCustomerReferralSourcesResponse,
                ListCustomerTagsResponse, ListLeadsActionStatusResponse,
                ListLeadsLifeCyclesResponse, ReferralSource,
            },
        },
        common::v1::{Address as AddressMessage, address::Type},
    },
};

use crate::catalog::{
    company::{Address, AddressKind, Business, Company},
    entry::{Catalog, Entry},
    id::CompanyId,
    settings::Settings,
    time::Timestamp,
};

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

pub(super) fn company(company: &Company) -> CompanyMessage {
    let zone = &company.timezone;
    let timezone = TimeZone { id: zone.as_str().to_owned() };
    CompanyMessage {
        id: company.id.to_string(),
        name: company.name.to_string(),
        country: company.country.as_str().to_owned(),
        timezone: (!zone.is_empty()).then_some(timezone),
    }
}

pub(super) fn business(company: &CompanyId, business: &Business) -> BusinessMessage {
    let contact = &business.contact;
    BusinessMessage {
        id: business.id.to_string(),
        name: business.name.to_string(),
        avatar: contact.avatar.as_str().to_owned(),
        phone: contact.phone.as_str().to_owned(),
        business_phone: contact.business_phone.as_str().to_owned(),
        email: contact.email.as_str().to_owned(),
        address: business.address.as_ref().map(address),
        website: contact.website.as_str().to_owned(),
        facebook: contact.facebook.as_str().to_owned(),
        instagram: contact.instagram.as_str().to_owned(),
        yelp: contact.yelp.as_str().to_owned(),
        google: contact.google.as_str().to_owned(),
        company_id: company.to_string(),
    }
}

pub(super) fn address(address: &Address) -> AddressMessage {
    let kind = match address.kind {
        AddressKind::Unspecified => Type::Unspecified,
        AddressKind::Primary => Type::Primary,
        AddressKind::Secondary => Type::Secondary,
    };
    AddressMessage {
        id: address.id.as_str().to_owned(),
        address1: address.address1.as_str().to_owned(),
        address2: address.address2.as_str().to_owned(),
        city: address.city.as_str().to_owned(),
        state: address.state.as_str().to_owned(),
        postal_code: address.postal_code.as_str().to_owned(),
        country: address.country.as_str().to_owned(),
        coordinate: address
            .coordinate
            .map(|c| LatLng { latitude: c.latitude(), longitude: c.longitude() }),
        r#type: kind.into(),
    }
}

pub(super) fn customer_tags(settings: &Settings) -> ListCustomerTagsResponse {
    let tag = |entry: &Entry| CustomerTag {
        id: entry.id.to_string(),
        name: entry.name.to_string(),
        last_updated_by: entry.audit.last_updated_by.to_string(),
        last_updated_time: Some(timestamp(entry.audit.last_updated_time)),
    };
    ListCustomerTagsResponse { tags: settings.active(Catalog::CustomerTags).map(tag).collect() }
}

pub(super) fn referral_sources(settings: &Settings) -> ListCustomerReferralSourcesResponse {
    let source =
        |entry: &Entry| ReferralSource { id: entry.id.to_string(), name: entry.name.to_string() };
    let referral_sources = settings.active(Catalog::ReferralSources).map(source).collect();
    ListCustomerReferralSourcesResponse { referral_sources }
}

pub(super) fn life_cycles(settings: &Settings) -> ListLeadsLifeCyclesResponse {
    let life_cycle = |entry: &Entry| LifeCycle {
        id: entry.id.to_string(),
        name: entry.name.to_string(),
        is_default: entry.is_default,
    };
    ListLeadsLifeCyclesResponse {
        life_cycles: settings.active(Catalog::LifeCycles).map(life_cycle).collect(),
    }
}

pub(super) fn action_statuses(settings: &Settings) -> ListLeadsActionStatusResponse {
    let status = |entry: &Entry| ActionStatus {
        id: entry.id.to_string(),
        name: entry.name.to_string(),
        color: entry.color.map(|color| color.to_string()).unwrap_or_default(),
    };
    ListLeadsActionStatusResponse {
        action_statuses: settings.active(Catalog::ActionStatuses).map(status).collect(),
    }
}
