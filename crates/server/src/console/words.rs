//! The words of the trade, and changes told in them. With `sentences.rs`, the English of the console that is not in a page.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use customer_settings_contract::customersettings::v1::{
    Business, Change, Company, Delta, Entry, Key, KeyChange, Source, delta::Action, source::Mode,
    source_check,
};
use customer_settings_contract::moego::common::v1::Address;
use prost_types::Timestamp;

use super::moves::{self, Names};

/// The words for a catalog.
pub(super) struct Words {
    /// Its name in the contract and in paths.
    pub(super) collection: &'static str,
    /// The heading.
    pub(super) title: &'static str,
    /// One entry.
    pub(super) one: &'static str,
    /// Several entries.
    pub(super) many: &'static str,
    /// Its purpose, in a sentence.
    pub(super) about: &'static str,
    /// The heading of the history of one entry.
    pub(super) past: &'static str,
}

/// The four catalogs in the order of the pages.
pub(super) const CATALOGS: [Words; 4] = [
    Words {
        collection: "customer_tags",
        title: "Tags",
        one: "tag",
        many: "tags",
        about: "Labels that your team puts on customers, such as “VIP” or “Senior pet”.",
        past: "History of one tag",
    },
    Words {
        collection: "referral_sources",
        title: "Referral sources",
        one: "referral source",
        many: "referral sources",
        about: "How customers found you, such as “Google Search” or “A friend”.",
        past: "History of one referral source",
    },
    Words {
        collection: "life_cycles",
        title: "Life cycles",
        one: "life cycle",
        many: "life cycles",
        about: "Where a customer stands, from the first contact to a regular. New customers get the default.",
        past: "History of one life cycle",
    },
    Words {
        collection: "action_statuses",
        title: "Statuses",
        one: "status",
        many: "statuses",
        about: "What was done about a customer last, such as “Contacted”.",
        past: "History of one status",
    },
];

/// The words for the catalog of that name.
pub(super) fn catalog(collection: &str) -> Option<&'static Words> {
    CATALOGS.iter().find(|words| words.collection == collection)
}

/// The words for anything that changes: the noun for one and for several.
pub(super) fn nouns(collection: &str) -> (&'static str, &'static str) {
    match (catalog(collection), collection) {
        (Some(words), _) => (words.one, words.many),
        (None, "companies") => ("company", "companies"),
        (None, _) => ("location", "locations"),
    }
}

/// The beginning of the name of an author that is a command.
const COMMAND: &str = "The command";

/// The author of a change, in the words of that time.
pub(super) struct Author {
    /// The name that the key had: people choose it, and may change it.
    pub(super) name: String,
    /// The staff id in brackets, which nobody can choose who does not have it; empty where the key acted for itself.
    pub(super) also: String,
}

impl Author {
    pub(super) fn of_change(change: &Change) -> Self {
        Self::of(&change.key_id, &change.key_name, &change.staff_id)
    }

    pub(super) fn of_key_change(change: &KeyChange) -> Self {
        Self::of(&change.key_id, &change.key_name, &change.staff_id)
    }

    pub(super) fn of_key(key: &Key) -> Self {
        let staff = key.staff_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&key.id);
        Self::of(&key.id, key.name.as_deref().unwrap_or_default(), staff)
    }

    /// Marks the authors of one name that are several keys, or whose name one of the `others` has who is not shown.
    pub(super) fn tell_apart(authors: &mut [(String, &mut Self)], others: &[(String, Self)]) {
        let named = |(id, one): (&String, &Self)| (format!("{}{}", one.name, one.also), id.clone());
        let shown = authors.iter().map(|(id, one)| named((id, one)));
        let others = others.iter().map(|(id, one)| named((id, one)));
        let shown: Vec<(String, String)> = shown.chain(others).collect();
        let twins = twins(shown.iter().map(|(name, id)| (name.as_str(), id.as_str())));
        for (id, one) in authors {
            if let Some(mark) = twins.get(id) {
                one.also += &format!(" {mark}");
            }
        }
    }

    /// The mark of a key by which it is told apart from these others of its name; empty where none has the name.
    pub(super) fn mark(id: &str, name: &str, others: &[(String, Self)]) -> String {
        let others = others.iter().map(|(id, one)| (one.name.as_str(), id.as_str()));
        twins(others.chain([(name, id)])).remove(id).unwrap_or_default()
    }

    /// The author within a sentence.
    pub(super) fn within(&self) -> String {
        let name: Cow<'_, str> = match self.name.strip_prefix(COMMAND) {
            Some(rest) => format!("the command{rest}").into(),
            None => by_itself(&self.name),
        };
        format!("{name}{}", self.also)
    }

    fn of(key_id: &str, key_name: &str, staff_id: &str) -> Self {
        let also = if staff_id == key_id { String::new() } else { format!(" ({staff_id})") };
        match key_id {
            "" => Self { name: format!("{COMMAND} “{staff_id}”"), also: String::new() },
            _ => Self { name: key_name.to_owned(), also },
        }
    }
}

/// Of keys by their names and ids, the ends of the ids of those whose name others have too.
pub(super) fn twins<'a>(keys: impl Iterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    const LETTERS: usize = 4;
    let mut named: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (name, id) in keys {
        named.entry(name).or_default().insert(id);
    }
    let several = named.into_values().filter(|ids| ids.len() > 1).flatten();
    let end = |id: &str| id.get(id.len().saturating_sub(LETTERS)..).unwrap_or(id).to_owned();
    several.map(|id| (id.to_owned(), format!("(key …{})", end(id)))).collect()
}

/// A text with a capital letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A change in words without its author: `renamed “VIP” to “VIP Customer”`.
pub(super) fn sentence(change: &Change, company: &str, entries: &Names) -> String {
    if change.parts > 1 {
        return "made a very large change".to_owned();
    }
    let mut deltas: Vec<&Delta> = change.deltas.iter().collect();
    // A default that another entry takes over needs no words of its own.
    deltas.retain(|delta| !is_default_alone(delta) || entry_after(delta).is_some_and(is_default));
    if deltas.len() > 1 {
        deltas.retain(|delta| !moves::is_shift(delta));
    }
    let told = |delta| told(delta, company, entries);
    match deltas.as_slice() {
        [] => "changed nothing".to_owned(),
        [one] => told(one),
        [one, other] => format!("{} and {}", told(one), told(other)),
        many => summary(many),
    }
}

fn is_default(entry: &Entry) -> bool {
    entry.is_default.unwrap_or_default()
}

fn is_default_alone(delta: &Delta) -> bool {
    delta.fields.iter().all(|field| field == "is_default") && delta.fields.len() == 1
}

fn entry_after(delta: &Delta) -> Option<&Entry> {
    delta.entry_after.as_ref()
}

/// A name in quotation marks.
pub(super) fn quoted(name: &str) -> String {
    format!("“{}”", by_itself(name))
}

/// A name within a text. One with letters that are written from right to left stands by itself, so that it changes the
/// order of nothing around it.
pub(super) fn by_itself(name: &str) -> Cow<'_, str> {
    let is_leftward = |c: char| matches!(c, '\u{590}'..='\u{8FF}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}' | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}');
    match name.contains(is_leftward) {
        true => format!("\u{2068}{name}\u{2069}").into(),
        false => name.into(),
    }
}

/// One thing's change.
fn told(delta: &Delta, company: &str, entries: &Names) -> String {
    let (one, many) = nouns(&delta.collection);
    let (before, after) = names(delta);
    let name = quoted(after.as_deref().or(before.as_deref()).unwrap_or(&delta.id));
    let old = before.as_deref().filter(|old| after.as_deref().is_some_and(|new| new != *old));
    let renamed = old.map(|old| renamed(old, &name));
    // The entry that was the default before says nothing of it.
    let as_default = match entry_after(delta).is_some_and(is_default) {
        true => ", and made it the default",
        false => "",
    };
    match delta.action() {
        Action::Created => format!("added the {one} {name}{as_default}"),
        Action::Archived => match renamed {
            Some(renamed) => format!("{renamed}, and put it away"),
            None => format!("put away the {one} {name}"),
        },
        Action::Restored => match renamed {
            Some(renamed) if as_default.is_empty() => format!("{renamed}, and took it back"),
            Some(renamed) => format!("{renamed}, took it back{as_default}"),
            None => format!("took back the {one} {name}{as_default}"),
        },
        Action::Deleted => format!("deleted the {one} {name}"),
        Action::Revived => format!("brought back the deleted {one} {name}{as_default}"),
        Action::Reordered => match moves::told(delta, entries) {
            Some(move_of_one) => move_of_one,
            None => format!("put the {many} into another order"),
        },
        Action::Updated | Action::Unspecified => updated(delta, company, &name, before.as_deref()),
    }
}

fn updated(delta: &Delta, company: &str, name: &str, before: Option<&str>) -> String {
    let fields: Vec<&str> = delta.fields.iter().map(String::as_str).collect();
    let entry = entry_after(delta);
    match fields.as_slice() {
        ["color"] => match entry.and_then(|entry| entry.color.as_deref()).unwrap_or_default() {
            "" => format!("took the color away from {name}"),
            color => format!("gave {name} the color {color}"),
        },
        ["description"] => match entry.and_then(|entry| entry.description.as_deref()) {
            None | Some("") => format!("took the description away from {name}"),
            Some(_) => format!("described {name}"),
        },
        _ => {
            let is_own = delta.collection == "companies" && delta.id == company;
            let made_default = entry.is_some_and(is_default);
            several(&fields, (before.unwrap_or(&delta.id), name), (is_own, made_default))
        }
    }
}

/// A new name, which is quoted already, is told with the old one, by which people know the thing.
fn renamed(before: &str, name: &str) -> String {
    format!("renamed {} to {name}", quoted(before))
}

/// The change of these fields of a thing with that name before, and that quoted one after. `is_own` means the company whose
/// history this is.
fn several(
    fields: &[&str],
    (before, name): (&str, &str),
    (is_own, made_default): (bool, bool),
) -> String {
    let mut told = Vec::new();
    if fields.contains(&"name") {
        told.push(renamed(before, name));
    }
    let others = fields.iter().filter(|field| !["name", "is_default"].contains(field));
    let others: Vec<String> = others.map(|field| within(field)).collect();
    if !others.is_empty() || fields.is_empty() {
        let others = joined(&others);
        told.push(match (told.is_empty(), is_own) {
            (false, _) => format!("changed its {others}"),
            (true, true) => format!("changed the company’s {others}"),
            (true, false) => format!("changed {others} of {name}"),
        });
    }
    // Another entry that became the default instead says so itself.
    if fields.contains(&"is_default") && (made_default || told.is_empty()) {
        let thing = if told.is_empty() { name } else { "it" };
        told.push(format!("made {thing} the default"));
    }
    let last = told.pop().unwrap_or_default();
    if told.is_empty() { last } else { format!("{}, and {last}", told.join(", ")) }
}

/// The label of a field within a sentence.
fn within(field: &str) -> String {
    match field {
        "source" => "origin".to_owned(),
        _ => label(field).to_lowercase(),
    }
}

/// Words in a row: `name, color and description`.
pub(super) fn joined(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => "something".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Many changes at once, by their kinds: `added 5 tags, put away 2 statuses`.
fn summary(deltas: &[&Delta]) -> String {
    let mut kinds: Vec<(&str, &str, usize)> = Vec::new();
    for delta in deltas {
        let verb = match delta.action() {
            Action::Created => "added",
            Action::Archived => "put away",
            Action::Restored => "took back",
            Action::Deleted => "deleted",
            Action::Revived => "brought back",
            Action::Reordered => "reordered",
            Action::Updated | Action::Unspecified => "changed",
        };
        match kinds.iter_mut().find(|(known, of, _)| (*known, *of) == (verb, &delta.collection)) {
            Some((_, _, count)) => *count += 1,
            None => kinds.push((verb, &delta.collection, 1)),
        }
    }
    let told = kinds.iter().map(|(verb, collection, count)| {
        let (one, many) = nouns(collection);
        match (*verb, *count) {
            ("reordered", _) => format!("put the {many} into another order"),
            (_, 1) => format!("{verb} one {one}"),
            _ => format!("{verb} {count} {many}"),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The names of a thing before and after.
fn names(delta: &Delta) -> (Option<String>, Option<String>) {
    let entry = |entry: &Option<Entry>| entry.as_ref().and_then(|one| one.name.clone());
    let company = |company: &Option<Company>| company.as_ref().and_then(|one| one.name.clone());
    let business = |business: &Option<Business>| business.as_ref().and_then(|one| one.name.clone());
    let before = entry(&delta.entry_before).or(company(&delta.company_before));
    let after = entry(&delta.entry_after).or(company(&delta.company_after));
    (before.or(business(&delta.business_before)), after.or(business(&delta.business_after)))
}

/// The label of a field of the contract.
pub(super) fn label(field: &str) -> &str {
    match field {
        "name" => "Name",
        "description" => "Description",
        "color" => "Color",
        "is_default" => "Default",
        "state" => "State",
        "position" => "Place",
        "country" => "Country",
        "timezone" => "Time zone",
        "source" => "Comes from",
        "created_by" => "Added by",
        "created_time" => "Added at",
        "last_updated_by" => "Changed last by",
        "last_updated_time" => "Changed last at",
        "avatar" => "Picture",
        "phone" => "Owner’s phone",
        "business_phone" => "Phone",
        "email" => "Email",
        "address" => "Address",
        "website" => "Website",
        "address1" => "Street and number",
        "address2" => "Second line",
        "city" => "City",
        "region" => "State or region",
        "postal_code" => "Postal code",
        "text" | "file" => "The document",
        "pick" | "own" => "Color",
        "lines" => "Lines",
        "was" => "Former name",
        "staff" => "Short name",
        other => other,
    }
}

/// One field before and after a change.
pub(super) struct Difference {
    pub(super) label: String,
    pub(super) before: String,
    pub(super) after: String,
    /// Whether the texts are colors.
    pub(super) is_color: bool,
}

/// The word for a thing that is not the default.
const NO: &str = "no";

/// The fields of a thing that differ.
pub(super) fn differences(delta: &Delta, entries: &Names) -> Vec<Difference> {
    if moves::is_order(delta) {
        let [before, after] =
            [&delta.ids_before, &delta.ids_after].map(|ids| moves::listed(ids, entries));
        return vec![Difference { label: "Order".to_owned(), before, after, is_color: false }];
    }
    let fields = [
        "name",
        "description",
        "color",
        "is_default",
        "country",
        "timezone",
        "source",
        "business_phone",
        "email",
        "website",
        "address",
    ];
    let sides = |field: &str| (value(delta, field, true), value(delta, field, false));
    let differ = fields.into_iter().filter_map(|field| {
        let (before, after) = match sides(field) {
            // Of a thing that is new or gone, only that which it has is told.
            (None, Some(no)) | (Some(no), None) if no == NO => return None,
            sides => sides,
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let label = label(field).to_owned();
        (before != after).then(|| Difference { label, before, after, is_color: field == "color" })
    });
    differ.collect()
}

fn value(delta: &Delta, field: &str, is_before: bool) -> Option<String> {
    let (entry, company, business) = match is_before {
        true => (&delta.entry_before, &delta.company_before, &delta.business_before),
        false => (&delta.entry_after, &delta.company_after, &delta.business_after),
    };
    if let Some(entry) = entry {
        return match field {
            "name" => entry.name.clone(),
            "description" => entry.description.clone(),
            "color" => entry.color.clone(),
            "is_default" => Some(if is_default(entry) { "yes" } else { NO }.to_owned()),
            _ => None,
        };
    }
    if let Some(company) = company {
        return match field {
            "name" => company.name.clone(),
            "country" => company.country.clone(),
            "timezone" => company.timezone.as_ref().map(|zone| zone.id.clone()),
            "source" => company.source.as_ref().map(source),
            _ => None,
        };
    }
    let business = business.as_ref()?;
    match field {
        "name" => business.name.clone(),
        "business_phone" => business.business_phone.clone(),
        "email" => business.email.clone(),
        "website" => business.website.clone(),
        "address" => business.address.as_ref().map(address),
        _ => None,
    }
}

/// The name of the system whose mirror a company is.
pub(super) fn mirror_of(company: &Company) -> Option<String> {
    let source = company.source.as_ref()?;
    (source.mode == Mode::Mirror as i32).then(|| kind(source).to_owned())
}

/// A company's source.
pub(super) fn source(source: &Source) -> String {
    let kind = kind(source);
    match source.mode() {
        Mode::Mirror => format!("{kind}, as a mirror"),
        Mode::Cutover | Mode::Unspecified => kind.to_owned(),
    }
}

fn kind(source: &Source) -> &str {
    if source.kind == "moego" { "MoeGo" } else { &source.kind }
}

/// The last comparison of a mirror with its source.
pub(super) struct Compared {
    pub(super) when: Moment,
    /// How it ended.
    pub(super) end: String,
}

/// The last comparison of a mirror; `None` for other companies.
pub(super) fn compared(company: &Company) -> Option<Compared> {
    let source = company.source.as_ref().filter(|source| source.mode() == Mode::Mirror)?;
    let check = source.last_check.as_ref()?;
    let end = match check.result() {
        source_check::Result::Changed => "what differed was brought here".to_owned(),
        source_check::Result::LeftAlone => {
            format!("something was left as it is: {}", check.problems)
        }
        source_check::Result::Agrees | source_check::Result::Unspecified => {
            "nothing differed".to_owned()
        }
    };
    let when = moment(check.checked_time.as_ref())?;
    Some(Compared { when, end })
}

/// A postal address in one line.
pub(super) fn address(address: &Address) -> String {
    let Address { address1, address2, city, state, postal_code, country, .. } = address;
    let parts = [address1, address2, city, state, postal_code, country];
    let parts = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(", ")
}

/// The heading of a thing in a change.
pub(super) fn heading(delta: &Delta) -> String {
    let (one, many) = nouns(&delta.collection);
    if moves::is_order(delta) {
        return capital(many);
    }
    let (before, after) = names(delta);
    format!("{} {}", capital(one), quoted(after.or(before).as_deref().unwrap_or(&delta.id)))
}

/// The fate of a thing, in one word.
pub(super) fn fate(delta: &Delta) -> &'static str {
    match delta.action() {
        Action::Created => "added",
        Action::Archived => "put away",
        Action::Restored => "taken back",
        Action::Deleted => "deleted",
        Action::Revived => "brought back",
        Action::Reordered => "in another order",
        Action::Updated | Action::Unspecified => "changed",
    }
}

/// A moment: for machines, and for people in UTC. The script shows it in the reader's own time.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) machine: String,
    pub(super) people: String,
}

/// A moment of the contract.
pub(super) fn moment(time: Option<&Timestamp>) -> Option<Moment> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = Timestamp { nanos: 0, seconds: time?.seconds };
    let machine = time.to_string();
    let (date, clock) = machine.split_once('T')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let people = format!("{} {month} {year}, {} UTC", day.trim_start_matches('0'), clock.get(..5)?);
    Some(Moment { people, machine })
}

/// A scope in words.
pub(super) fn scope(name: &str) -> &str {
    match name {
        "*" => "Everything",
        "settings:read" => "See the four lists",
        "settings:write" => "Change the four lists",
        "companies:read" => "See companies and locations",
        "companies:write" => "Change companies and locations",
        "keys:read" => "See keys and people",
        "keys:write" => "Give keys and invite people",
        "history:read" => "See who changed what",
        "staff:any" => "Act in the name of any staff member",
        "sources:write" => "Copy from another system, with its authors and times",
        other => other,
    }
}

/// The scopes that a form offers, in its order.
pub(super) const SCOPES: [&str; 9] = [
    "settings:read",
    "settings:write",
    "companies:read",
    "companies:write",
    "history:read",
    "keys:read",
    "keys:write",
    "staff:any",
    "sources:write",
];
