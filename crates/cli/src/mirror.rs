//! The document that a company of an account makes, beside the company as it is here. Pure: reads nothing, and writes
//! nothing.
//!
//! A value that the rules refuse stays as it is here. A list that lost much is left alone: a short answer is more often
//! a fault than the truth.

use std::collections::{BTreeSet, HashMap, HashSet};

use customer_settings_server::{
    catalog::{
        company::{Coordinate, MAX_BUSINESSES, ShortText},
        entry::{Catalog, MAX_ENTRIES, State},
        error::{MOST_NAMED, Violation, few},
        id::{BusinessId, EntryId, StaffId},
        place::{Country, TimeZone},
        text::{Color, Name},
    },
    service::document::{AddressRow, BusinessRow, CompanyRow, EntryRow, quoted, time},
};
use sha2::{Digest, Sha256};

use crate::account::{Address, Business, Company, Item, Reading};

#[cfg(test)]
mod tests;

/// A list may lose one of so many active entries at once.
const LOST_AT_MOST_ONE_OF: usize = 3;
/// The name of the list of locations.
const BUSINESSES: &str = "businesses";

/// The things that allow a list to lose more than the brake does.
#[derive(Debug, Default)]
pub(crate) struct Allowed<'a> {
    /// A person's word: any list may lose so many.
    pub(crate) accepted: usize,
    /// The lists that the last round held back, as [`Wanted::held_back`] has them, with a space between: they agree if
    /// they are the same now.
    pub(crate) before: &'a str,
}

/// The company as it shall be.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) row: CompanyRow,
    /// The values that the rules refuse, and that stay as they are here.
    pub(crate) refused: Vec<String>,
    /// The lists that lose too much, and are left alone, each with a hash of its ids in the account.
    pub(crate) held_back: Vec<String>,
    /// The same in words.
    pub(crate) warnings: Vec<String>,
    /// The most entries that one catalog loses.
    pub(crate) lost: usize,
}

/// Makes the document. Without `here`, the company is new.
pub(crate) fn wanted(
    reading: &Reading,
    here: Option<&CompanyRow>,
    allowed: &Allowed<'_>,
) -> Wanted {
    let none = CompanyRow::default();
    let mut making = Making {
        here: here.unwrap_or(&none),
        is_new: here.is_none(),
        allowed,
        wanted: Wanted::default(),
    };
    making.company(&reading.company);
    making.businesses(&reading.businesses);
    for catalog in Catalog::ALL {
        let rows = making.catalog(catalog, &reading.lists[catalog.index()]);
        *making.wanted.row.entries_mut(catalog) = rows;
    }
    making.wanted
}

struct Making<'a> {
    here: &'a CompanyRow,
    is_new: bool,
    allowed: &'a Allowed<'a>,
    wanted: Wanted,
}

impl Making<'_> {
    fn refuse(&mut self, at: &str, problem: impl std::fmt::Display) {
        self.wanted.refused.push(format!("{at}: {problem}"));
    }

    /// A value that the rules take, in their form. Another one is noted, and stays as it is here.
    fn value<T>(
        &mut self,
        at: &str,
        (field, value): (&str, &str),
        parse: impl Fn(&str, &str) -> Result<T, Violation>,
    ) -> Option<String> {
        match parse(field, value) {
            // The server brings it into its form.
            Ok(_) if value.is_empty() && self.is_new => None,
            Ok(_) => Some(value.to_owned()),
            Err(problem) => {
                self.refuse(at, format!("{problem}; it is {}", quoted(value)));
                None
            }
        }
    }

    fn company(&mut self, company: &Company) {
        let at = "company";
        let zone = company.timezone.as_ref().map(|zone| zone.id.as_str()).unwrap_or_default();
        let state = self.here.state.as_ref().map(|_| State::Active.as_str().to_owned());
        self.wanted.row = CompanyRow {
            id: Some(company.id.clone()),
            name: self.value(at, ("name", &company.name), Name::parse),
            country: self.value(at, ("country", &company.country), Country::parse),
            timezone: self.value(at, ("timezone", zone), TimeZone::parse),
            state,
            ..CompanyRow::default()
        };
    }

    /// Whether a list may lose these active things. Takes note if it may not.
    fn may_lose(
        &mut self,
        list: &'static str,
        (lost, active): (usize, usize),
        seen: &[&str],
    ) -> bool {
        let is_much = lost * LOST_AT_MOST_ONE_OF > active;
        if !is_much || lost <= self.allowed.accepted {
            return true;
        }
        let held = format!("{list}:{}", fingerprint(seen));
        if self.allowed.before.split(' ').any(|before| before == held) {
            return true;
        }
        self.wanted.warnings.push(format!(
            "{list}: the account has {lost} of {active} entries no more, so the list is left alone: if that is the truth, \
             the next round archives them if it finds the same, and --accept-archive {lost} does now"
        ));
        self.wanted.held_back.push(held);
        false
    }

    fn catalog(&mut self, catalog: Catalog, items: &[Item]) -> Option<Vec<EntryRow>> {
        let list = catalog.as_str();
        let here = self.here.catalogs()[catalog.index()];
        let held: HashMap<&str, &EntryRow> =
            here.iter().filter_map(|row| Some((row.id.as_deref()?, row))).collect();
        let mut rows: Vec<EntryRow> = Vec::with_capacity(items.len());
        if items.len() > MAX_ENTRIES {
            let count = items.len();
            self.refuse(list, too_many(count, MAX_ENTRIES));
            return None;
        }
        let names = self.names(items, &held);
        for (item, name) in items.iter().zip(names) {
            let at = format!("{list}/{}", shown(&item.id));
            let before = held.get(item.id.as_str()).copied();
            match name {
                Ok(name) => rows.push(self.entry(catalog, &at, (item, before), name)),
                Err(problem) => {
                    self.refuse(&at, problem);
                    rows.extend(kept(item, before));
                }
            }
        }
        if catalog.has_default() {
            self.default(list, items, &mut rows, here);
        }
        if catalog == Catalog::CustomerTags {
            self.audits_unlike(list, items);
        }
        let named: HashSet<&Option<String>> = rows.iter().map(|row| &row.id).collect();
        let count = rows.len() + here.iter().filter(|row| !named.contains(&row.id)).count();
        if count > MAX_ENTRIES {
            let archived = count - rows.len();
            self.refuse(list, too_many_with_archived(rows.len(), archived));
            return None;
        }
        let is_lost = |row: &&EntryRow| is_active(&row.state) && !named.contains(&row.id);
        let lost: Vec<&EntryRow> = here.iter().filter(is_lost).collect();
        let active = here.iter().filter(|row| is_active(&row.state)).count();
        let is_default_lost = lost.iter().any(|row| row.is_default == Some(true));
        if is_default_lost
            && !rows.is_empty()
            && !rows.iter().any(|row| row.is_default == Some(true))
        {
            self.refuse(
                list,
                "the default goes, and no other entry is the default: the list is left alone",
            );
            return None;
        }
        let seen: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        if !self.may_lose(list, (lost.len(), active), &seen) {
            return None;
        }
        self.wanted.lost = self.wanted.lost.max(lost.len());
        // A new company states no empty list.
        (!rows.is_empty() || !self.is_new).then_some(rows)
    }

    /// The names of entries, or the problems with which entries stay as they are here. An entry that stays keeps its name,
    /// so another one that has this name in the account stays too.
    fn names(
        &self,
        items: &[Item],
        held: &HashMap<&str, &EntryRow>,
    ) -> Vec<Result<String, String>> {
        let mut names: Vec<Result<String, String>> = Vec::with_capacity(items.len());
        // The entry that has a name, and the entries that stay.
        let (mut holders, mut staying) = (HashMap::<String, usize>::new(), Vec::new());
        for (place, item) in items.iter().enumerate() {
            let taken = |name: &Name| match holders.get(&name.fold_key()) {
                Some(holder) => Err(format!(
                    "the name {} is that of {}",
                    quoted(&item.name),
                    shown(&items[*holder].id)
                )),
                None => Ok(name.fold_key()),
            };
            let said = |problem| format!("{problem}; it is {}", quoted(&item.name));
            let name = EntryId::parse("id", &item.id)
                .map_err(|problem| problem.to_string())
                .and_then(|_| Name::parse("name", &item.name).map_err(said))
                .and_then(|name| taken(&name));
            match &name {
                Ok(folded) => _ = holders.insert(folded.clone(), place),
                Err(_) => staying.push(place),
            }
            names.push(name.map(|_| item.name.clone()));
        }
        while let Some(place) = staying.pop() {
            let id = &items[place].id;
            let Some(before) = held.get(id.as_str()).filter(|row| is_active(&row.state)) else {
                continue;
            };
            let old = before.name.as_deref().unwrap_or_default();
            let Some(other) = holders.insert(fold(old), place).filter(|other| *other != place)
            else {
                continue;
            };
            if names[other].is_ok() {
                names[other] =
                    Err(format!("the name {} is that of {id}, which stays as it is", quoted(old)));
                staying.push(other);
            }
        }
        names
    }

    /// The row of an entry.
    fn entry(
        &mut self,
        catalog: Catalog,
        at: &str,
        (item, before): (&Item, Option<&EntryRow>),
        name: String,
    ) -> EntryRow {
        let mut row = EntryRow { name: Some(name), ..bare(item, before) };
        match catalog {
            Catalog::CustomerTags => {
                let (by, time_) = (&item.last_updated_by, item.last_updated_time.as_deref());
                if !by.is_empty() {
                    row.last_updated_by = self.value(at, ("last_updated_by", by), StaffId::parse);
                }
                let micros = time_.map(to_the_microsecond);
                row.last_updated_time =
                    micros.and_then(|text| self.value(at, ("last_updated_time", &text), time));
            }
            Catalog::ActionStatuses => {
                let color = |field: &str, text: &str| match text {
                    "" => Ok(None),
                    text => Color::parse(field, text).map(Some),
                };
                row.color = self.value(at, ("color", &item.color), color);
            }
            Catalog::ReferralSources | Catalog::LifeCycles => {}
        }
        row
    }

    /// Names the tags whose author or time cannot be the same here.
    fn audits_unlike(&mut self, list: &str, items: &[Item]) {
        // A time that is none is refused for itself.
        let is_finer = |item: &Item| {
            let time_ = item.last_updated_time.as_deref().unwrap_or_default();
            time("time", time_).is_err() && time("time", &to_the_microsecond(time_)).is_ok()
        };
        type Is = fn(&Item) -> bool;
        let kinds: [(&str, Is); 3] = [
            ("no author", |item| item.last_updated_by.is_empty()),
            ("no time of the last change", |item| item.last_updated_time.is_none()),
            ("a time with more than six digits behind the point", is_finer),
        ];
        for (what, is_such) in kinds {
            let ids: Vec<String> =
                items.iter().filter(|item| is_such(item)).map(|item| shown(&item.id)).collect();
            if !ids.is_empty() {
                let named = few(&ids, MOST_NAMED);
                self.refuse(
                    list,
                    format!(
                        "in the account these have {what}, which is not possible here: {named}"
                    ),
                );
            }
        }
    }

    /// Marks the default, if the account has exactly one.
    fn default(&mut self, list: &str, items: &[Item], rows: &mut [EntryRow], here: &[EntryRow]) {
        if rows.is_empty() {
            return;
        }
        let defaults: BTreeSet<&str> =
            items.iter().filter(|item| item.is_default).map(|item| item.id.as_str()).collect();
        let mut marked =
            rows.iter_mut().filter(|row| defaults.contains(row.id.as_deref().unwrap_or_default()));
        if let (1, Some(row)) = (defaults.len(), marked.next()) {
            row.is_default = Some(true);
            return;
        }
        let kept =
            here.iter().find(|row| row.is_default == Some(true)).and_then(|row| row.id.clone());
        let many = match defaults.len() {
            0 => "no entry is",
            1 => "an entry that was refused is",
            _ => "several entries are",
        };
        if let Some(row) = rows.iter_mut().find(|row| kept.is_some() && row.id == kept) {
            row.is_default = Some(true);
            self.refuse(list, format!("{many} the default: the default stays as it is"));
        } else if kept.is_none() {
            self.refuse(list, format!("{many} the default: the first one becomes it"));
        }
    }

    fn businesses(&mut self, businesses: &[Business]) {
        if businesses.len() > MAX_BUSINESSES {
            self.refuse(BUSINESSES, too_many(businesses.len(), MAX_BUSINESSES));
            return;
        }
        let mut ids = HashSet::new();
        let mut rows: Vec<BusinessRow> = Vec::with_capacity(businesses.len());
        let held = self.here.businesses.as_deref().unwrap_or_default();
        let by_id: HashMap<&str, &BusinessRow> =
            held.iter().filter_map(|row| Some((row.id.as_deref()?, row))).collect();
        for business in businesses {
            let at = format!("{BUSINESSES}/{}", shown(&business.id));
            if let Err(problem) = BusinessId::parse("id", &business.id) {
                self.refuse(&at, problem);
                continue;
            }
            ids.insert(business.id.as_str());
            let before = by_id.get(business.id.as_str()).copied();
            rows.extend(self.business(&at, business, before));
        }
        let is_lost = |row: &&BusinessRow| {
            is_active(&row.state) && !ids.contains(row.id.as_deref().unwrap_or_default())
        };
        let lost: Vec<BusinessRow> = held
            .iter()
            .filter(is_lost)
            .map(|row| BusinessRow {
                id: row.id.clone(),
                name: row.name.clone(),
                state: Some(State::Archived.as_str().to_owned()),
                ..BusinessRow::default()
            })
            .collect();
        let active = held.iter().filter(|row| is_active(&row.state)).count();
        let seen: Vec<&str> = businesses.iter().map(|business| business.id.as_str()).collect();
        if self.may_lose(BUSINESSES, (lost.len(), active), &seen) {
            rows.extend(lost);
            self.wanted.row.businesses = Some(rows).filter(|rows| !rows.is_empty());
        }
    }

    fn business(
        &mut self,
        at: &str,
        business: &Business,
        before: Option<&BusinessRow>,
    ) -> Option<BusinessRow> {
        let mut short = |field: &str, text: &str| self.value(at, (field, text), ShortText::parse);
        let mut row = BusinessRow {
            id: Some(business.id.clone()),
            avatar: short("avatar", &business.avatar),
            phone: short("phone", &business.phone),
            business_phone: short("business_phone", &business.business_phone),
            facebook: short("facebook", &business.facebook),
            instagram: short("instagram", &business.instagram),
            yelp: short("yelp", &business.yelp),
            google: short("google", &business.google),
            state: before
                .and_then(|row| row.state.as_ref())
                .map(|_| State::Active.as_str().to_owned()),
            ..BusinessRow::default()
        };
        row.email = self.value(at, ("email", &business.email), ShortText::email);
        row.website = self.value(at, ("website", &business.website), ShortText::web_address);
        row.address = self.address(at, business, before);
        row.name = match self.value(at, ("name", &business.name), Name::parse) {
            Some(name) => Some(name),
            None => Some(before?.name.clone()?),
        };
        Some(row)
    }

    /// The address of a location. An empty one removes that of the location here.
    fn address(
        &mut self,
        at: &str,
        business: &Business,
        before: Option<&BusinessRow>,
    ) -> Option<AddressRow> {
        let given = business.address.as_ref().filter(|address| **address != Address::default());
        let Some(address) = given else {
            return before?.address.as_ref().map(|_| AddressRow::default());
        };
        let mut short = |field: &str, text: &str| {
            self.value(at, (field, text), ShortText::parse).filter(|text| !text.is_empty())
        };
        let mut row = AddressRow {
            id: short("address.id", &address.id),
            address1: short("address.address1", &address.address1),
            address2: short("address.address2", &address.address2),
            city: short("address.city", &address.city),
            state: short("address.state", &address.state),
            postal_code: short("address.postal_code", &address.postal_code),
            ..AddressRow::default()
        };
        row.country = self.value(at, ("address.country", &address.country), Country::parse);
        row.country = row.country.filter(|country| !country.is_empty());
        row.r#type = match address.r#type.as_str() {
            "PRIMARY" => Some("primary".to_owned()),
            "SECONDARY" => Some("secondary".to_owned()),
            _ => None,
        };
        if let Some(place) = address.coordinate {
            match Coordinate::new(place.latitude, place.longitude) {
                Ok(_) => {
                    (row.latitude, row.longitude) = (Some(place.latitude), Some(place.longitude))
                }
                Err(problem) => self.refuse(at, format!("address.{problem}")),
            }
        }
        Some(row)
    }
}

impl Wanted {
    /// Leaves a thing of the account out whose id the server cannot give: the field of the id, and the problem. False if
    /// there is no such thing.
    pub(crate) fn leave_out(&mut self, field: &str, problem: &str) -> bool {
        let place = field.strip_suffix("].id").and_then(|place| place.split_once('['));
        let Some((list, index)) = place else { return false };
        let Ok(index) = index.parse::<usize>() else { return false };
        let catalog = Catalog::ALL.into_iter().find(|catalog| catalog.as_str() == list);
        let id = match catalog {
            Some(catalog) => taken_out(self.row.entries_mut(catalog), index).and_then(|row| row.id),
            None if list == BUSINESSES => {
                let out = taken_out(&mut self.row.businesses, index);
                self.row.businesses.take_if(|rows| rows.is_empty());
                out.and_then(|row| row.id)
            }
            None => None,
        };
        let Some(id) = id else { return false };
        // A mirror has no other id to choose.
        let problem = problem.strip_suffix(": choose another one").unwrap_or(problem);
        self.refused
            .push(format!("{list}/{id}: {problem}: it is left out, and the rest is copied"));
        true
    }
}

/// A time of an account without the digits that the rules here do not take.
fn to_the_microsecond(time: &str) -> String {
    let Some((seconds, rest)) = time.split_once('.') else { return time.to_owned() };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, zone) = rest.split_at(end);
    format!("{seconds}.{}{zone}", &digits[..end.min(6)])
}

fn taken_out<Row>(rows: &mut Option<Vec<Row>>, index: usize) -> Option<Row> {
    rows.as_mut().filter(|rows| index < rows.len()).map(|rows| rows.remove(index))
}

/// The row of an entry without its values.
fn bare(item: &Item, before: Option<&EntryRow>) -> EntryRow {
    let is_stated = before.is_some_and(|row| row.state.is_some());
    EntryRow {
        id: Some(item.id.clone()),
        state: is_stated.then(|| State::Active.as_str().to_owned()),
        ..EntryRow::default()
    }
}

/// The row of an entry that stays as it is here, if it is active here.
fn kept(item: &Item, before: Option<&EntryRow>) -> Option<EntryRow> {
    let before = before.filter(|row| is_active(&row.state))?;
    Some(EntryRow { name: before.name.clone(), ..bare(item, Some(before)) })
}

fn too_many(count: usize, most: usize) -> String {
    format!("the account has {count}, and at most {most} are allowed: the list is left alone")
}

fn too_many_with_archived(active: usize, archived: usize) -> String {
    format!(
        "would have {active} entries and {archived} archived ones, which count too, and at most {MAX_ENTRIES} are allowed: \
         the list is left alone: to make room, delete archived ones here ('entry delete')"
    )
}

fn is_active(state: &Option<String>) -> bool {
    state.as_deref().is_none_or(|state| state == State::Active.as_str())
}

/// A hash of the ids in their order: two lists that have the same one are the same.
fn fingerprint(ids: &[&str]) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        // An id of an account may have any characters.
        hash.update(id.len().to_be_bytes());
        hash.update(id);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The form in which names are compared.
fn fold(name: &str) -> String {
    Name::parse("name", name).map(|name| name.fold_key()).unwrap_or_default()
}

/// An id in a message. Another text is one that the account made up.
fn shown(id: &str) -> String {
    if EntryId::parse("id", id).is_ok() { id.to_owned() } else { quoted(id) }
}
