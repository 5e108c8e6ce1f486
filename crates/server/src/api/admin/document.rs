//! Documents in messages: to and from the rows that YAML and JSON documents are made of.

use customer_settings_contract::customersettings::v1::{
    DocumentAddress, DocumentBusiness, DocumentCompany, DocumentEntry, Source,
    State as StateMessage, source::Mode,
};
use prost_types::Timestamp as TimestampMessage;

use super::{convert::sent_state, request::moment};
use crate::{
    catalog::{
        entry::{Catalog, State},
        error::{Cause, Error, Result, Violation},
        source::SourceMode,
        time::Timestamp,
    },
    service::document::{
        AddressRow, BusinessRow, CompanyRow, EntryRow, SourceRow, malformed_time, time,
    },
};

/// The version of documents.
pub(super) const VERSION: i32 = 1;

type Sent<T> = Result<T, Violation>;

/// The value, if it fits into a row.
fn note<T>(wrong: &mut Vec<Violation>, read: Sent<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|violation| {
        wrong.push(violation);
        None
    })
}

/// Makes the row of a company that was sent. Values that fit into no row are taken note of in `wrong` and left out, and
/// the others are not looked at yet.
pub(super) fn company_row(sent: DocumentCompany, wrong: &mut Vec<Violation>) -> CompanyRow {
    let mut row = CompanyRow {
        id: text(sent.id),
        name: sent.name,
        country: sent.country,
        timezone: sent.timezone,
        state: note(wrong, state("state", sent.state)),
        source: note(wrong, sent.source.map(source).transpose()),
        businesses: None,
        ..Default::default()
    };
    let businesses = sent.businesses.into_iter().enumerate();
    row.businesses = filled(businesses.map(|sent| business_row(sent, wrong)).collect());
    let lists = [sent.customer_tags, sent.referral_sources, sent.life_cycles, sent.action_statuses];
    for (catalog, entries) in Catalog::ALL.into_iter().zip(lists) {
        let entry = |(i, sent)| entry_row(&format!("{catalog}[{i}]"), sent, wrong);
        let rows: Vec<_> = entries.into_iter().enumerate().map(entry).collect();
        let is_stated = sent.catalogs.iter().any(|name| name == catalog.as_str());
        *row.entries_mut(catalog) = (is_stated || !rows.is_empty()).then_some(rows);
    }
    for (i, name) in sent.catalogs.iter().enumerate() {
        if super::request::catalog(name).is_err() {
            let names = Catalog::ALL.map(Catalog::as_str).join(", ");
            let description = format!("is no collection; there are {names}");
            let field = format!("catalogs[{i}]");
            wrong.push(Violation::new(&field, "UNKNOWN_COLLECTION", description));
        }
    }
    row
}

fn source(sent: Source) -> Sent<SourceRow> {
    let unknown = || Violation::new("source.mode", "UNKNOWN_MODE", "must be MIRROR or CUTOVER");
    let mode = Mode::try_from(sent.mode).map_err(|_| unknown())?;
    let name = |mode: SourceMode| Some(mode.as_str().to_owned());
    let mode = match mode {
        Mode::Unspecified => None,
        Mode::Mirror => name(SourceMode::Mirror),
        Mode::Cutover => name(SourceMode::Cutover),
    };
    Ok(SourceRow { kind: text(sent.kind), mode })
}

fn written_source(row: SourceRow) -> Source {
    let mode = row.mode.as_deref().and_then(|mode| SourceMode::parse("mode", mode).ok());
    let mode = mode.map_or(Mode::Unspecified, |mode| match mode {
        SourceMode::Mirror => Mode::Mirror,
        SourceMode::Cutover => Mode::Cutover,
    });
    Source { kind: row.kind.unwrap_or_default(), mode: mode.into(), last_check: None }
}

/// The row of a company that was exported, as the document has it.
pub(crate) fn exported_row(sent: DocumentCompany) -> Sent<CompanyRow> {
    let mut wrong = Vec::new();
    let mut row = company_row(sent, &mut wrong);
    if let Some(violation) = wrong.pop() {
        return Err(violation);
    }
    // An active state goes without saying.
    let is_active = |state: &mut Option<String>| {
        if state.as_deref() == Some(State::Active.as_str()) {
            *state = None;
        }
    };
    is_active(&mut row.state);
    row.businesses.iter_mut().flatten().for_each(|one| is_active(&mut one.state));
    for catalog in Catalog::ALL {
        let entries = row.entries_mut(catalog).iter_mut().flatten();
        entries.for_each(|one| is_active(&mut one.state));
    }
    Ok(row)
}

fn entry_row(at: &str, sent: DocumentEntry, wrong: &mut Vec<Violation>) -> EntryRow {
    let created_time = sent_time(&format!("{at}.created_time"), sent.created_time);
    let updated_time = sent_time(&format!("{at}.last_updated_time"), sent.last_updated_time);
    EntryRow {
        id: text(sent.id),
        name: Some(sent.name),
        was: sent.was,
        description: sent.description,
        color: sent.color,
        is_default: sent.is_default,
        state: note(wrong, state(&format!("{at}.state"), sent.state)),
        created_by: text(sent.created_by),
        created_time: note(wrong, created_time),
        last_updated_by: text(sent.last_updated_by),
        last_updated_time: note(wrong, updated_time),
    }
}

fn business_row((i, sent): (usize, DocumentBusiness), wrong: &mut Vec<Violation>) -> BusinessRow {
    BusinessRow {
        id: text(sent.id),
        name: Some(sent.name),
        state: note(wrong, state(&format!("businesses[{i}].state"), sent.state)),
        avatar: sent.avatar,
        phone: sent.phone,
        business_phone: sent.business_phone,
        email: sent.email,
        website: sent.website,
        facebook: sent.facebook,
        instagram: sent.instagram,
        yelp: sent.yelp,
        google: sent.google,
        address: sent.address.map(|sent| AddressRow {
            id: text(sent.id),
            address1: text(sent.address1),
            address2: text(sent.address2),
            city: text(sent.city),
            state: text(sent.state),
            postal_code: text(sent.postal_code),
            country: text(sent.country),
            latitude: sent.latitude,
            longitude: sent.longitude,
            r#type: text(sent.r#type),
        }),
    }
}

fn text(sent: String) -> Option<String> {
    Some(sent).filter(|text| !text.is_empty())
}

fn filled<T>(sent: Vec<T>) -> Option<Vec<T>> {
    Some(sent).filter(|items| !items.is_empty())
}

fn state(field: &str, sent: i32) -> Sent<Option<String>> {
    Ok(sent_state(field, sent)?.map(|state| state.as_str().to_owned()))
}

fn sent_time(field: &str, sent: Option<TimestampMessage>) -> Sent<Option<String>> {
    let whole = |time: TimestampMessage| match time.nanos % 1_000 {
        0 => Ok(moment(field, time)?.to_string()),
        // As in files: the digits would be lost.
        _ => Err(malformed_time(field)),
    };
    sent.map(whole).transpose()
}

/// The message of a company in a document that is written.
pub(crate) fn company(mut row: CompanyRow) -> Result<DocumentCompany> {
    let mut lists = Catalog::ALL.map(|catalog| row.entries_mut(catalog).take());
    let stated = Catalog::ALL.into_iter().filter(|catalog| lists[catalog.index()].is_some());
    let catalogs = stated.map(|catalog| catalog.to_string()).collect();
    let [customer_tags, referral_sources, life_cycles, action_statuses] =
        lists.each_mut().map(|list| {
            list.take().unwrap_or_default().into_iter().map(entry).collect::<Result<Vec<_>>>()
        });
    let businesses = row.businesses.unwrap_or_default().into_iter().map(business);
    Ok(DocumentCompany {
        id: row.id.unwrap_or_default(),
        name: row.name,
        country: row.country,
        timezone: row.timezone,
        businesses: businesses.collect(),
        catalogs,
        customer_tags: customer_tags?,
        referral_sources: referral_sources?,
        life_cycles: life_cycles?,
        action_statuses: action_statuses?,
        state: written_state(row.state.as_deref()),
        source: row.source.map(written_source),
    })
}

fn entry(row: EntryRow) -> Result<DocumentEntry> {
    Ok(DocumentEntry {
        id: row.id.unwrap_or_default(),
        name: row.name.unwrap_or_default(),
        was: row.was,
        description: row.description,
        color: row.color,
        is_default: row.is_default,
        state: written_state(row.state.as_deref()),
        created_by: row.created_by.unwrap_or_default(),
        created_time: written_time(row.created_time)?,
        last_updated_by: row.last_updated_by.unwrap_or_default(),
        last_updated_time: written_time(row.last_updated_time)?,
    })
}

fn business(row: BusinessRow) -> DocumentBusiness {
    DocumentBusiness {
        id: row.id.unwrap_or_default(),
        name: row.name.unwrap_or_default(),
        state: written_state(row.state.as_deref()),
        avatar: row.avatar,
        phone: row.phone,
        business_phone: row.business_phone,
        email: row.email,
        website: row.website,
        facebook: row.facebook,
        instagram: row.instagram,
        yelp: row.yelp,
        google: row.google,
        address: row.address.map(|row| DocumentAddress {
            id: row.id.unwrap_or_default(),
            address1: row.address1.unwrap_or_default(),
            address2: row.address2.unwrap_or_default(),
            city: row.city.unwrap_or_default(),
            state: row.state.unwrap_or_default(),
            postal_code: row.postal_code.unwrap_or_default(),
            country: row.country.unwrap_or_default(),
            latitude: row.latitude,
            longitude: row.longitude,
            r#type: row.r#type.unwrap_or_default(),
        }),
    }
}

/// Rows leave the state out of what is active.
fn written_state(state: Option<&str>) -> i32 {
    let is_archived = state == Some(State::Archived.as_str());
    if is_archived { StateMessage::Archived } else { StateMessage::Active }.into()
}

fn written_time(text: Option<String>) -> Result<Option<TimestampMessage>> {
    let parse = |text: String| -> Result<Timestamp> {
        time("time", &text).map_err(|violation| Error::Internal(Cause::new(violation.to_string())))
    };
    Ok(text.map(parse).transpose()?.map(crate::api::convert::timestamp))
}
