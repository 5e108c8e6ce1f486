//! Listing entries: their order, and pages that all show one revision.

use std::mem::take;

use customer_settings_contract::customersettings::v1::{
    Entry as EntryMessage, ListEntriesRequest, ListEntriesResponse,
};

use super::{
    convert,
    filter::Filter,
    paging::{Asked, ENTRIES},
    request::as_of,
};
use crate::{
    catalog::{
        entry::{Catalog, Entry, Revision},
        error::{Error, Result, Violations},
        settings::Settings,
    },
    service::settings::AsOf,
};

/// The orders of a list, by field.
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
    filter: Filter,
    order: (Order, bool),
    show_archived: bool,
    as_of: AsOf,
}

impl Query {
    fn parse(message: &ListEntriesRequest) -> Result<Self> {
        let mut wrong = Violations::default();
        let filter = wrong.check(Filter::parse(&message.filter));
        let order = wrong.check(order(&message.order_by));
        let as_of = wrong.check(as_of(message.revision, message.read_time));
        let show_archived = message.show_archived;
        wrong.finish(|| Some(Self { filter: filter?, order: order?, show_archived, as_of: as_of? }))
    }

    /// The entries that the query selects, with their positions.
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
        let is_shown = entry.is_active() || self.show_archived || self.filter.names_a_state();
        is_shown && self.filter.takes(entry.state, &entry.name, entry.id.as_str())
    }
}

/// A page of a list of entries. All pages of the list show one revision, so a place is a number of rows.
pub(crate) struct Listing {
    query: Query,
    asked: Asked,
    offset: usize,
}

impl Listing {
    pub(crate) fn parse(mut message: ListEntriesRequest) -> Result<Self> {
        let (size, token) = (take(&mut message.page_size), take(&mut message.page_token));
        let mut wrong = Violations::default();
        let query = wrong.check(Query::parse(&message));
        let asked = wrong.check(Asked::parse("ListEntries", &message, (size, &token), ENTRIES));
        let (mut query, asked) = wrong.finish(|| Some((query?, asked?)))?;
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

    /// How many entries the answer reads or shows: a filter reads the names of all entries.
    pub(super) fn looks_at(&self, settings: &Settings, catalog: Catalog) -> usize {
        let entries = settings.entries(catalog).len();
        if self.query.filter.is_empty() { entries.min(self.asked.size().into()) } else { entries }
    }

    pub(super) fn answer(&self, settings: &Settings, catalog: Catalog) -> ListEntriesResponse {
        let rows = self.query.rows(settings, catalog);
        let total = rows.len();
        let mut page = self.asked.page();
        let rest = rows.into_iter().skip(self.offset);
        // No more messages are made than fit on the page.
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
    let filter = Filter::default();
    let query = Query { filter, order, show_archived: false, as_of: AsOf::Now };
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
