//! From the domain's types to the messages of the management API.

use std::collections::HashMap;

use customer_settings_contract::{
    customersettings::v1::{
        Business as BusinessMessage, Change, Company as CompanyMessage, Delta as DeltaMessage,
        Entry as EntryMessage, Source as SourceMessage, SourceCheck as SourceCheckMessage,
        State as StateMessage, delta::Action, source::Mode as ModeMessage,
        source_check::Result as CheckResult,
    },
    google::r#type::TimeZone,
};

use prost::Message;

use super::paging::MAX_PAGE_BYTES;
use crate::{
    api::convert::{address, timestamp},
    catalog::{
        company::{Business, Company, ShortText},
        delta::{Delta, Row},
        entry::{Catalog, Entry, Revision, State},
        error::Violation,
        id::{CompanyId, EntryId},
        log::Line,
        settings::{Settings, Subject},
        source::{Source, SourceCheck, SourceMode},
    },
    service::history::summary,
};

pub(super) fn revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn state(state: State) -> i32 {
    match state {
        State::Active => StateMessage::Active,
        State::Archived => StateMessage::Archived,
    }
    .into()
}

/// The state in a message, if it has one.
pub(super) fn sent_state(field: &str, sent: i32) -> Result<Option<State>, Violation> {
    match StateMessage::try_from(sent) {
        Ok(StateMessage::Unspecified) => Ok(None),
        Ok(StateMessage::Active) => Ok(Some(State::Active)),
        Ok(StateMessage::Archived) => Ok(Some(State::Archived)),
        Err(_) => Err(Violation::new(field, "INVALID_VALUE", "must be ACTIVE or ARCHIVED")),
    }
}

/// An entry without its position, which only the catalog knows.
fn entry_alone(entry: &Entry) -> EntryMessage {
    let color = |color: Option<crate::catalog::text::Color>| {
        color.map(|color| color.to_string()).unwrap_or_default()
    };
    EntryMessage {
        id: entry.id.to_string(),
        name: Some(entry.name.to_string()),
        description: Some(entry.description.as_str().to_owned()),
        color: Some(color(entry.color)),
        text_color: color(entry.color.map(|color| color.text_color())),
        is_default: Some(entry.is_default),
        position: None,
        state: state(entry.state),
        etag: entry.etag().to_string(),
        created_by: entry.audit.created_by.to_string(),
        created_time: Some(timestamp(entry.audit.created_time)),
        last_updated_by: entry.audit.last_updated_by.to_string(),
        last_updated_time: Some(timestamp(entry.audit.last_updated_time)),
    }
}

/// An entry at its position among the active ones.
pub(super) fn entry_at(entry: &Entry, position: i32) -> EntryMessage {
    EntryMessage { position: Some(position), ..entry_alone(entry) }
}

/// All entries of a catalog in its order, with their positions. An archived entry has the position that
/// it would be restored to.
pub(super) fn entries(
    settings: &Settings,
    catalog: Catalog,
) -> impl Iterator<Item = (&Entry, i32)> {
    let mut active = 0;
    settings.entries(catalog).iter().map(move |entry| {
        let position = active;
        active += i32::from(entry.is_active());
        (entry, position)
    })
}

/// The entries with their positions, by their ids.
pub(super) fn places(settings: &Settings, catalog: Catalog) -> HashMap<&EntryId, (&Entry, i32)> {
    entries(settings, catalog).map(|(entry, position)| (&entry.id, (entry, position))).collect()
}

/// One entry; `None` if it does not exist.
pub(super) fn entry(settings: &Settings, catalog: Catalog, id: &EntryId) -> Option<EntryMessage> {
    let (entry, position) = entries(settings, catalog).find(|(entry, _)| entry.id == *id)?;
    Some(entry_at(entry, position))
}

fn source(source: Source) -> SourceMessage {
    let mode = match source.mode {
        SourceMode::Mirror => ModeMessage::Mirror,
        SourceMode::Cutover => ModeMessage::Cutover,
    };
    SourceMessage { kind: source.kind.as_str().to_owned(), mode: mode.into(), last_check: None }
}

/// A comparison of a company with its source.
pub(super) fn source_check(check: &SourceCheck) -> SourceCheckMessage {
    let result = match (check.problems.is_empty(), check.is_changed) {
        (false, _) => CheckResult::LeftAlone,
        (true, true) => CheckResult::Changed,
        (true, false) => CheckResult::Agrees,
    };
    let text = |text: &ShortText| text.as_str().to_owned();
    SourceCheckMessage {
        checked_time: Some(timestamp(check.checked_time)),
        result: result.into(),
        problems: text(&check.problems),
        held_back: check.held_back.as_ref().map(text).unwrap_or_default(),
    }
}

/// A company, with its revision if that is known.
pub(super) fn company(company: &Company, known: Option<Revision>) -> CompanyMessage {
    let zone = company.timezone.as_str();
    CompanyMessage {
        id: company.id.to_string(),
        name: Some(company.name.to_string()),
        country: Some(company.country.as_str().to_owned()),
        timezone: (!zone.is_empty()).then(|| TimeZone { id: zone.to_owned() }),
        state: state(company.state),
        etag: company.etag().to_string(),
        created_by: company.audit.created_by.to_string(),
        created_time: Some(timestamp(company.audit.created_time)),
        last_updated_by: company.audit.last_updated_by.to_string(),
        last_updated_time: Some(timestamp(company.audit.last_updated_time)),
        revision: known.map(revision),
        source: company.source.map(source),
    }
}

pub(super) fn business(company: &CompanyId, business: &Business) -> BusinessMessage {
    let text = |text: &ShortText| Some(text.as_str().to_owned());
    let contact = &business.contact;
    BusinessMessage {
        id: business.id.to_string(),
        name: Some(business.name.to_string()),
        avatar: text(&contact.avatar),
        phone: text(&contact.phone),
        business_phone: text(&contact.business_phone),
        email: text(&contact.email),
        address: business.address.as_ref().map(address),
        website: text(&contact.website),
        facebook: text(&contact.facebook),
        instagram: text(&contact.instagram),
        yelp: text(&contact.yelp),
        google: text(&contact.google),
        company_id: company.to_string(),
        state: state(business.state),
        etag: business.etag().to_string(),
        created_by: business.audit.created_by.to_string(),
        created_time: Some(timestamp(business.audit.created_time)),
        last_updated_by: business.audit.last_updated_by.to_string(),
        last_updated_time: Some(timestamp(business.audit.last_updated_time)),
    }
}

/// A change, or its first part.
pub(super) fn change(id: &CompanyId, line: &Line) -> Change {
    change_part(id, line, 1).unwrap_or_else(|_| unreachable!("every change has a first part"))
}

/// One part of a change, counted from 1, or else the number of parts.
pub(super) fn change_part(id: &CompanyId, line: &Line, part: usize) -> Result<Change, usize> {
    let mut parts = parts(deltas(id, &line.deltas));
    let count = parts.len();
    let deltas = match part.checked_sub(1) {
        Some(index) if index < count => parts.swap_remove(index),
        _ => return Err(count),
    };
    Ok(Change {
        revision: revision(line.revision),
        time: Some(timestamp(line.time)),
        staff_id: line.actor.staff_id.to_string(),
        key_id: line.actor.key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        key_name: line.actor.key_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: line.actor.address.map(|address| address.to_string()).unwrap_or_default(),
        request_id: line.request.as_ref().map(|one| one.id.to_string()).unwrap_or_default(),
        summary: summary(&line.deltas),
        deltas,
        part: i32::try_from(part).unwrap_or(i32::MAX),
        parts: i32::try_from(count).unwrap_or(i32::MAX),
    })
}

/// More bytes than a change has besides its deltas.
const HEAD_BYTES: usize = 8 << 10;

/// Cuts deltas into parts, each of which fits on a page.
fn parts(deltas: Vec<DeltaMessage>) -> Vec<Vec<DeltaMessage>> {
    let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), MAX_PAGE_BYTES - HEAD_BYTES);
    for delta in deltas {
        // The tag and the length of the delta take up to 6 bytes.
        let bytes = delta.encoded_len() + 6;
        if bytes > room {
            parts.push(std::mem::take(&mut part));
            room = MAX_PAGE_BYTES - HEAD_BYTES;
        }
        room = room.saturating_sub(bytes);
        part.push(delta);
    }
    parts.push(part);
    parts
}

/// The deltas of a change. Moves within a catalog are shown together, as the order before and after.
fn deltas(id: &CompanyId, deltas: &[Delta]) -> Vec<DeltaMessage> {
    let alone = deltas.iter().filter(|delta| delta.ranks().is_none());
    let mut messages: Vec<DeltaMessage> = alone.map(|one| delta(id, one)).collect();
    for catalog in Catalog::ALL {
        let moves = deltas.iter().filter_map(Delta::ranks).filter(|(of, ..)| *of == catalog);
        let mut moves: Vec<(u32, u32, &EntryId)> =
            moves.map(|(_, id, from, to)| (from, to, id)).collect();
        if moves.is_empty() {
            continue;
        }
        let ids = |moves: &[(u32, u32, &EntryId)]| {
            moves.iter().map(|(_, _, id)| id.to_string()).collect::<Vec<_>>()
        };
        moves.sort_by_key(|(from, _, _)| *from);
        let ids_before = ids(&moves);
        moves.sort_by_key(|(_, to, _)| *to);
        messages.push(DeltaMessage {
            collection: catalog.to_string(),
            action: Action::Reordered.into(),
            fields: vec!["position".to_owned()],
            ids_before,
            ids_after: ids(&moves),
            ..Default::default()
        });
    }
    messages
}

fn delta(company_id: &CompanyId, delta: &Delta) -> DeltaMessage {
    let mut message = DeltaMessage {
        action: action(delta).into(),
        fields: delta.fields().into_iter().map(str::to_owned).collect(),
        ..Default::default()
    };
    (message.collection, message.id) = match &delta.subject {
        Subject::Company => ("companies".to_owned(), company_id.to_string()),
        Subject::Business(id) => ("businesses".to_owned(), id.to_string()),
        Subject::Entry(catalog, id) => (catalog.to_string(), id.to_string()),
        Subject::Catalog(catalog) => (catalog.to_string(), String::new()),
        Subject::Key(id) => ("keys".to_owned(), id.to_string()),
    };
    let [before, after] = [delta.before.as_ref(), delta.after.as_ref()];
    let shown_company = |row: &Row| Some(company(row.company()?, None));
    message.company_before = before.and_then(shown_company);
    message.company_after = after.and_then(shown_company);
    let shown_business = |row: &Row| Some(business(company_id, row.business()?));
    message.business_before = before.and_then(shown_business);
    message.business_after = after.and_then(shown_business);
    let shown_entry = |row: &Row| row.entry().map(entry_alone);
    message.entry_before = before.and_then(shown_entry);
    message.entry_after = after.and_then(shown_entry);
    message
}

fn action(delta: &Delta) -> Action {
    match delta.verb() {
        "created" => Action::Created,
        "archived" => Action::Archived,
        "restored" => Action::Restored,
        "deleted" => Action::Deleted,
        "revived" => Action::Revived,
        "moved" => Action::Reordered,
        _ => Action::Updated,
    }
}
