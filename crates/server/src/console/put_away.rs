//! Entries that are put away, where others are about to get their names: the person may mean those that are there already.

use std::collections::{HashMap, HashSet};

use customer_settings_contract::customersettings::v1::{
    DocumentCompany, DocumentEntry, Entry, State,
};

use super::{form, moves, steps, visit::Visit};
use crate::catalog::text::Name;

/// An entry that is put away.
#[derive(Clone, Debug)]
pub(super) struct PutAway {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) path: String,
}

/// The entries of a list, by the keys of their names.
pub(super) struct Held {
    ids: HashSet<String>,
    active: HashSet<String>,
    /// Of several of one name, the one that changed last.
    put_away: HashMap<String, PutAway>,
}

impl Held {
    /// Of all entries of the list at a path.
    pub(super) fn of(entries: &[Entry], list: &str) -> Self {
        let mut all: Vec<&Entry> = entries.iter().collect();
        all.sort_by_key(|entry| {
            entry.last_updated_time.as_ref().map(|time| (time.seconds, time.nanos))
        });
        let ids = entries.iter().map(|entry| entry.id.clone()).collect();
        let (mut active, mut put_away) = (HashSet::new(), HashMap::new());
        for entry in all {
            let name = entry.name.clone().unwrap_or_default();
            let Some(key) = key(&name) else { continue };
            if entry.state != State::Archived as i32 {
                active.insert(key);
                continue;
            }
            let path = format!("{list}/{}", form::part(&entry.id));
            put_away.insert(key, PutAway { id: entry.id.clone(), name, path });
        }
        Self { ids, active, put_away }
    }

    /// Of a list of the visit's company. None if it cannot be read: nothing is said then.
    pub(super) async fn read(visit: &Visit<'_>, collection: &str) -> Option<Self> {
        let list = (collection, moves::NOW);
        let entries = moves::entries(visit, visit.part(0), list, true).await?;
        Some(Self::of(&entries, &format!("{}/{collection}", visit.company_path())))
    }

    /// The entry that is put away and has this name, where no other one has it.
    pub(super) fn put_away(&self, name: &str) -> Option<&PutAway> {
        let key = key(name)?;
        self.put_away.get(&key).filter(|_| !self.active.contains(&key))
    }

    /// The entry that is put away and has the name of one that a document would make. The document makes none where an
    /// entry has its id, or one of its former names.
    fn of_document(&self, entry: &DocumentEntry) -> Option<&PutAway> {
        let is_there = |former: &String| {
            self.ids.contains(former) || key(former).is_some_and(|key| self.active.contains(&key))
        };
        let is_made = !self.ids.contains(&entry.id) && !entry.was.iter().any(is_there);
        let is_wanted = entry.state != State::Archived as i32;
        self.put_away(&entry.name).filter(|_| is_made && is_wanted)
    }
}

fn key(name: &str) -> Option<String> {
    Some(Name::parse("", name).ok()?.fold_key())
}

/// An entry that is put away, and has the name of one that a document would make.
pub(super) struct Named {
    /// The place in the document, such as `customer_tags[2]`.
    pub(super) place: String,
    /// The noun for it.
    pub(super) noun: &'static str,
    pub(super) entry: PutAway,
}

/// The entries that are put away and have the names of those that a document would make.
pub(super) async fn named(visit: &Visit<'_>, company: &mut DocumentCompany) -> Vec<Named> {
    let mut found = Vec::new();
    for (words, entries) in steps::lists(company) {
        if entries.is_empty() {
            continue;
        }
        let Some(held) = Held::read(visit, words.collection).await else { continue };
        // A document that names the one that is put away too means another one.
        let is_named = |away: &PutAway| {
            entries.iter().any(|one| match one.id.as_str() {
                "" => one.state == State::Archived as i32 && key(&one.name) == key(&away.name),
                id => id == away.id,
            })
        };
        let named = |(index, entry): (usize, &DocumentEntry)| {
            let entry = held.of_document(entry).filter(|away| !is_named(away))?.clone();
            let place = format!("{}[{index}]", words.collection);
            Some(Named { place, noun: words.one, entry })
        };
        found.extend(entries.iter().enumerate().filter_map(named));
    }
    found
}
