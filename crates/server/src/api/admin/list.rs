//! Listing entries: filter, order and pages that stay at one revision.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use customer_settings_contract::customersettings::v1::{
    Entry as EntryMessage, ListEntriesRequest, ListEntriesResponse,
};
use sha2::{Digest, Sha256};

use super::{convert, request::as_of};
use crate::{
    catalog::{
        entry::{Catalog, Entry, Revision, State},
        error::{Error, Result},
        settings::Settings,
        text::Name,
    },
    service::settings::AsOf,
};

/// The most entries on a page, and what a page size of 0 means.
const MAX_PAGE_SIZE: usize = 1_000;

/// A condition on an entry.
enum Condition {
    State(State),
    NameIs(String),
    NameHas(String),
}

#[derive(Clone, Copy)]
enum Order {
    Position,
    Name,
    Created,
    LastUpdated,
}

/// What to list.
pub(super) struct Query {
    conditions: Vec<Condition>,
    order: (Order, bool),
    show_archived: bool,
    page_size: usize,
    as_of: AsOf,
    offset: usize,
    /// Of everything that must be the same on all pages.
    digest: String,
}

impl Query {
    pub(super) fn parse(message: &ListEntriesRequest) -> Result<Self> {
        let page_size = match usize::try_from(message.page_size) {
            Ok(0) => MAX_PAGE_SIZE,
            Ok(size) if size <= MAX_PAGE_SIZE => size,
            _ => {
                let description = format!("must be 1 to {MAX_PAGE_SIZE}, or 0 for {MAX_PAGE_SIZE}");
                return Err(Error::invalid("page_size", "OUT_OF_RANGE", description));
            }
        };
        let mut query = Self {
            conditions: conditions(&message.filter)?,
            order: order(&message.order_by)?,
            show_archived: message.show_archived,
            page_size,
            as_of: as_of(message.revision, message.read_time)?,
            offset: 0,
            digest: digest(message),
        };
        if !message.page_token.is_empty() {
            (query.as_of, query.offset) = query.resumed(&message.page_token)?;
        }
        Ok(query)
    }

    pub(super) fn as_of(&self) -> AsOf {
        self.as_of
    }

    pub(super) fn answer(&self, settings: &Settings, catalog: Catalog) -> ListEntriesResponse {
        let mut rows: Vec<(&Entry, EntryMessage)> =
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
        let total = rows.len();
        let page = rows.into_iter().skip(self.offset).take(self.page_size);
        let entries: Vec<EntryMessage> = page.map(|(_, message)| message).collect();
        let next = self.offset + entries.len();
        ListEntriesResponse {
            entries,
            next_page_token: match next < total {
                true => self.token(settings.revision, next),
                false => String::new(),
            },
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
            etag: settings.catalog_etag(catalog).to_string(),
            revision: convert::revision(settings.revision),
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        let by_state = self.conditions.iter().any(|one| matches!(one, Condition::State(_)));
        let is_shown = entry.is_active() || self.show_archived || by_state;
        is_shown
            && self.conditions.iter().all(|condition| match condition {
                Condition::State(state) => entry.state == *state,
                Condition::NameIs(key) => entry.name.fold_key() == *key,
                Condition::NameHas(key) => entry.name.fold_key().contains(key),
            })
    }

    fn token(&self, revision: Revision, offset: usize) -> String {
        URL_SAFE_NO_PAD.encode(format!("{revision}.{offset}.{}", self.digest))
    }

    /// Where the page of that token begins, and at which revision.
    fn resumed(&self, token: &str) -> Result<(AsOf, usize)> {
        let refuse = |reason, description: &str| Error::invalid("page_token", reason, description);
        let malformed =
            || refuse("MALFORMED_PAGE_TOKEN", "must be the next_page_token of the page before");
        let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|t| String::from_utf8(t).ok());
        let text = text.ok_or_else(malformed)?;
        let parts: Vec<&str> = text.split('.').collect();
        let [revision, offset, digest] = parts[..] else { return Err(malformed()) };
        let revision = revision.parse().map(Revision).map_err(|_| malformed())?;
        let offset = offset.parse().map_err(|_| malformed())?;
        if digest != self.digest {
            let description = "belongs to a list with other arguments: only page_size may change";
            return Err(refuse("OTHER_ARGUMENTS", description));
        }
        Ok((AsOf::Revision(revision), offset))
    }
}

/// All active entries, as a list answers them.
pub(super) fn all_active(settings: &Settings, catalog: Catalog) -> ListEntriesResponse {
    let query = Query {
        conditions: vec![],
        order: (Order::Position, false),
        show_archived: false,
        page_size: MAX_PAGE_SIZE,
        as_of: AsOf::Now,
        offset: 0,
        digest: String::new(),
    };
    query.answer(settings, catalog)
}

fn digest(message: &ListEntriesRequest) -> String {
    let same = ListEntriesRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let hash = Sha256::digest(prost::Message::encode_to_vec(&same));
    URL_SAFE_NO_PAD.encode(&hash[..9])
}

fn order(text: &str) -> Result<(Order, bool)> {
    let mut words = text.split_whitespace();
    let order = match words.next().unwrap_or("position") {
        "position" => Some(Order::Position),
        "name" => Some(Order::Name),
        "created_time" | "createdTime" => Some(Order::Created),
        "last_updated_time" | "lastUpdatedTime" => Some(Order::LastUpdated),
        _ => None,
    };
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

/// What stands before the closing quotation mark, and what comes after it. A backslash takes the meaning from a
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
    let words = words(filter).ok_or_else(malformed)?;
    let mut conditions = Vec::new();
    let mut rest = &words[..];
    while !rest.is_empty() {
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
