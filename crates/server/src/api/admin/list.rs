//! Listing entries: filter, order and pages that stay at one revision.

use std::{cell::LazyCell, mem::take};

use customer_settings_contract::customersettings::v1::{
    Entry as EntryMessage, ListEntriesRequest, ListEntriesResponse,
};

use super::{
    convert,
    paging::{Asked, ENTRIES},
    request::as_of,
};
use crate::{
    catalog::{
        entry::{Catalog, Entry, Revision, State},
        error::{Error, Result},
        settings::Settings,
        text::Name,
    },
    service::settings::AsOf,
};

/// The most conditions of a filter: each is looked at for every entry.
const MOST_CONDITIONS: usize = 20;
/// The most bytes of a filter: so many names, as long as they may be.
pub(crate) const MOST_FILTER_BYTES: usize = 16 << 10;

/// A condition on an entry.
enum Condition {
    State(State),
    NameIs(String),
    NameHas(String),
}

/// The orders of a list, by the field that they go by.
pub(crate) const ORDERS: [(&str, Order); 4] = [
    ("position", Order::Position),
    ("name", Order::Name),
    ("created_time", Order::Created),
    ("last_updated_time", Order::LastUpdated),
];

#[derive(Clone, Copy)]
pub(crate) enum Order {
    Position,
    Name,
    Created,
    LastUpdated,
}

/// The entries to list.
struct Query {
    conditions: Vec<Condition>,
    order: (Order, bool),
    show_archived: bool,
    as_of: AsOf,
}

impl Query {
    fn parse(message: &ListEntriesRequest) -> Result<Self> {
        Ok(Self {
            conditions: conditions(&message.filter)?,
            order: order(&message.order_by)?,
            show_archived: message.show_archived,
            as_of: as_of(message.revision, message.read_time)?,
        })
    }

    /// The entries that are listed, with their positions.
    fn rows<'a>(&self, settings: &'a Settings, catalog: Catalog) -> Vec<(&'a Entry, i32)> {
        let mut rows: Vec<(&Entry, i32)> =
            convert::entries(settings, catalog).filter(|(entry, _)| self.takes(entry)).collect();
        let (order, is_descending) = self.order;
        match order {
            Order::Position => {}
            Order::Name => {
                rows.sort_by(|(a, _), (b, _)| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
            }
            Order::Created => rows.sort_by_key(|(entry, _)| entry.audit.created_time),
            Order::LastUpdated => rows.sort_by_key(|(entry, _)| entry.audit.last_updated_time),
        }
        if is_descending {
            rows.reverse();
        }
        rows
    }

    fn takes(&self, entry: &Entry) -> bool {
        let by_state = self.conditions.iter().any(|one| matches!(one, Condition::State(_)));
        let is_shown = entry.is_active() || self.show_archived || by_state;
        let folded = LazyCell::new(|| entry.name.fold_key());
        is_shown
            && self.conditions.iter().all(|condition| match condition {
                Condition::State(state) => entry.state == *state,
                Condition::NameIs(key) => *folded == *key,
                Condition::NameHas(key) => folded.contains(key),
            })
    }
}

/// A page of a list of entries. Its pages all show one revision, so that a place is a number of rows.
pub(crate) struct Listing {
    query: Query,
    asked: Asked,
    offset: usize,
}

impl Listing {
    pub(crate) fn parse(mut message: ListEntriesRequest) -> Result<Self> {
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let mut query = Query::parse(&message)?;
        let asked = Asked::parse("ListEntries", &message, (size, &token), ENTRIES)?;
        let place = asked.after(2, |words| {
            let [revision, offset] = words else { return None };
            Some((revision.parse().ok().map(Revision)?, offset.parse().ok()?))
        })?;
        let offset = match place {
            Some((revision, offset)) => {
                query.as_of = AsOf::Revision(revision);
                offset
            }
            None => 0,
        };
        Ok(Self { query, asked, offset })
    }

    pub(crate) fn as_of(&self) -> AsOf {
        self.query.as_of
    }

    pub(super) fn answer(&self, settings: &Settings, catalog: Catalog) -> ListEntriesResponse {
        let rows = self.query.rows(settings, catalog);
        let total = rows.len();
        let mut page = self.asked.page();
        let rest = rows.into_iter().skip(self.offset);
        // No more of them are made than there is room for.
        let takes = |(entry, position)| page.takes(convert::entry_at(entry, position));
        let taken = rest.map(takes).take_while(|is_taken| *is_taken).count();
        let next = self.offset.saturating_add(taken);
        let next_page_token = match next < total {
            true => self.asked.token(&format!("{} {next}", settings.revision)),
            false => String::new(),
        };
        ListEntriesResponse { next_page_token, ..answer(settings, catalog, page.rows, total) }
    }
}

/// All active entries, as a list answers them.
pub(super) fn all_active(settings: &Settings, catalog: Catalog) -> ListEntriesResponse {
    let order = (Order::Position, false);
    let query = Query { conditions: vec![], order, show_archived: false, as_of: AsOf::Now };
    let rows = query.rows(settings, catalog);
    let total = rows.len();
    let rows = rows.into_iter().map(|(entry, position)| convert::entry_at(entry, position));
    answer(settings, catalog, rows.collect(), total)
}

fn answer(
    settings: &Settings,
    catalog: Catalog,
    entries: Vec<EntryMessage>,
    total: usize,
) -> ListEntriesResponse {
    ListEntriesResponse {
        entries,
        next_page_token: String::new(),
        total_size: i32::try_from(total).unwrap_or(i32::MAX),
        etag: settings.catalog_etag(catalog).to_string(),
        revision: convert::revision(settings.revision),
    }
}

fn order(text: &str) -> Result<(Order, bool)> {
    let mut words = text.split_whitespace();
    let name = match words.next() {
        None => "position",
        Some("createdTime") => "created_time",
        Some("lastUpdatedTime") => "last_updated_time",
        Some(name) => name,
    };
    let order = ORDERS.into_iter().find(|(known, _)| *known == name).map(|(_, order)| order);
    let is_descending = match words.next() {
        None | Some("asc") => Some(false),
        Some("desc") => Some(true),
        Some(_) => None,
    };
    match (order, is_descending, words.next()) {
        (Some(order), Some(is_descending), None) => Ok((order, is_descending)),
        _ => {
            let description = "must be position, name, created_time or last_updated_time, with \
                               ' desc' behind it to turn it around";
            Err(Error::invalid("order_by", "MALFORMED_ORDER", description))
        }
    }
}

/// Cuts a filter into words; what is in quotation marks is one word, marked by the flag.
fn words(filter: &str) -> Option<Vec<(String, bool)>> {
    let mut words = Vec::new();
    let mut rest = filter.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let (word, after) = unquoted(&rest[1..])?;
                words.push((word, true));
                rest = after.trim_start();
                continue;
            }
            '=' | ':' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "=:\"".contains(c)).unwrap_or(rest.len()),
        };
        words.push((rest[..length].to_owned(), false));
        rest = rest[length..].trim_start();
    }
    Some(words)
}

/// The text before the closing quotation mark, and the text after it. A backslash takes the meaning from a
/// quotation mark or another backslash.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((word, characters.as_str())),
            '\\' => word.push(characters.next().filter(|escaped| "\"\\".contains(*escaped))?),
            other => word.push(other),
        }
    }
}

fn conditions(filter: &str) -> Result<Vec<Condition>> {
    let malformed = || {
        let description = "must be conditions joined by AND: state = ACTIVE or ARCHIVED, name = \"VIP\", \
                           name : \"vip\" (contains); in quotation marks, write \\\" for \" and \\\\ for \\";
        Error::invalid("filter", "MALFORMED_FILTER", description)
    };
    if filter.len() > MOST_FILTER_BYTES {
        let description = format!("must have at most {MOST_FILTER_BYTES} bytes");
        return Err(Error::invalid("filter", "OUT_OF_RANGE", description));
    }
    let words = words(filter).ok_or_else(malformed)?;
    let mut conditions = Vec::new();
    let mut rest = &words[..];
    while !rest.is_empty() {
        if conditions.len() == MOST_CONDITIONS {
            let description = format!("must be at most {MOST_CONDITIONS} conditions");
            return Err(Error::invalid("filter", "OUT_OF_RANGE", description));
        }
        let [(field, false), (operator, false), (value, _), after @ ..] = rest else {
            return Err(malformed());
        };
        // By the key that names are told apart with; what is no name has none.
        let fold = |value: &str| Name::parse("filter", value).map(|name| name.fold_key());
        conditions.push(match (field.as_str(), operator.as_str()) {
            ("state", "=") => match value.to_ascii_uppercase().as_str() {
                "ACTIVE" => Condition::State(State::Active),
                "ARCHIVED" => Condition::State(State::Archived),
                _ => return Err(malformed()),
            },
            ("name", "=") => Condition::NameIs(fold(value)?),
            ("name", ":") => Condition::NameHas(fold(value)?),
            _ => return Err(malformed()),
        });
        rest = match after {
            [] => after,
            [(and, false), more @ ..] if and.eq_ignore_ascii_case("and") && !more.is_empty() => {
                more
            }
            _ => return Err(malformed()),
        };
    }
    Ok(conditions)
}
