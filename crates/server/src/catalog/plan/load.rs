//! Planning a load, which makes a company agree with a document.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Stamp,
    draft::{Clash, Draft},
    steps::{set, set_contact},
};
use crate::catalog::{
    change::{BusinessDraft, CompanyDraft, EntryDraft, Ignored, LoadOptions},
    company::{Business, MAX_BUSINESSES},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, State},
    error::{Error, Result, Violation},
    id::{BusinessId, CompanyId, EntryId},
    near::nearest,
    settings::{Settings, Subject},
    text::Name,
};

/// Pruning may archive so many entries of a catalog, whatever part of it they are, up to a third.
const PRUNED_AT_ONCE: usize = 10;
/// Pruning may archive one entry of so many, if that is more.
const PRUNED_ONE_OF: usize = 10;
/// Pruning may never archive more than one entry of so many.
const PRUNED_NEVER_MORE_THAN_ONE_OF: usize = 3;

/// The company as the document wants it, with what is to be told about it, or all errors of the document.
pub(super) fn drafted<'a>(
    company: &CompanyId,
    current: Option<&'a Settings>,
    (document, options): (&'a CompanyDraft, &'a LoadOptions),
    stamp: &Stamp<'_>,
) -> Result<(Draft<'a>, Loaded)> {
    let mut violations = Vec::new();
    let draft = match current {
        Some(current) => Draft::of(current),
        None => {
            let name = document.name.clone().unwrap_or_else(|| {
                let description = format!("is required, since there is no company {company} yet");
                violations.push(Violation::new("name", "REQUIRED", description));
                // The plan is refused, so nobody gets to read this name.
                Name::parse("name", company.as_str())
                    .unwrap_or_else(|violation| unreachable!("ids are names: {violation}"))
            });
            Draft::new(stamp.new_company(company, name), stamp)
        }
    };
    let mut loading = Loading { draft, stamp, options, loaded: Loaded::default(), violations };
    let made = &mut loading.draft.company;
    set(&mut made.name, document.name.as_ref());
    set(&mut made.country, document.country.as_ref());
    set(&mut made.timezone, document.timezone.as_ref());
    set(&mut made.state, document.state.as_ref());
    set(&mut made.source, document.source.as_ref());
    let businesses = current.map_or(&[][..], |settings| settings.businesses.as_slice());
    loading.businesses(businesses, &document.businesses)?;
    for catalog in Catalog::ALL {
        let entries = current.map_or(&[][..], |settings| settings.entries(catalog));
        if let Some(drafts) = &document.catalogs[catalog.index()] {
            loading.entries(catalog, entries, drafts);
        }
    }
    let Loading { draft, loaded, violations, .. } = loading;
    if violations.is_empty() { Ok((draft, loaded)) } else { Err(Error::Invalid(violations)) }
}

/// The remarks of a plan on its document, beside the changes.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The places, in the document's lists, of the locations and entries that are made.
    pub made: BTreeMap<Subject, usize>,
    /// The entries that are archived because the document does not name them.
    pub pruned: BTreeSet<(Catalog, EntryId)>,
    /// The entries to which the document gives other authors or times than the change would by itself.
    pub audited: BTreeSet<Subject>,
    /// Remarks on parts of the document that change nothing, in the form of violations.
    pub warnings: Vec<Violation>,
}

struct Loading<'a, 'b> {
    draft: Draft<'a>,
    stamp: &'b Stamp<'b>,
    options: &'a LoadOptions,
    loaded: Loaded,
    violations: Vec<Violation>,
}

impl<'a> Loading<'a, '_> {
    fn refuse(&mut self, field: &str, reason: &'static str, description: impl Into<String>) {
        self.violations.push(Violation::new(field, reason, description));
    }

    fn businesses(&mut self, current: &[Business], drafts: &[BusinessDraft]) -> Result<()> {
        if drafts.is_empty() {
            return Ok(());
        }
        let mut named = HashMap::new();
        let by_id: HashMap<&BusinessId, &Business> =
            current.iter().map(|held| (&held.id, held)).collect();
        // The first of several locations with one name.
        let by_name: HashMap<String, &Business> =
            current.iter().rev().map(|held| (held.name.fold_key(), held)).collect();
        for draft in drafts {
            let before = match &draft.id {
                Some(id) => by_id.get(id).copied(),
                None => by_name.get(&draft.name.fold_key()).copied(),
            };
            // Two new locations without ids can be told apart only by their names.
            let who = match (&draft.id, before) {
                (Some(id), _) => id.to_string(),
                (None, Some(before)) => before.id.to_string(),
                (None, None) => format!("name {}", draft.name.fold_key()),
            };
            let first = *named.entry(who).or_insert(draft.index);
            if first != draft.index {
                let at = format!("businesses[{}]", draft.index);
                let hint = match draft.id {
                    Some(_) => "",
                    None => {
                        ": give the ids of both, or leave the locations out of the document, as 'export --without \
                         businesses' does, since without ids two of one name cannot be told apart"
                    }
                };
                let description = format!("names the same location as businesses[{first}]{hint}");
                self.refuse(&at, "DUPLICATE", description);
                continue;
            }
            let made = || self.stamp.new_business(draft.id.as_ref(), draft.name.clone());
            let mut after = before.cloned().unwrap_or_else(made);
            after.name = draft.name.clone();
            set_contact(&mut after.contact, &draft.contact);
            if let Some(address) = &draft.address {
                after.address = Some(address.clone()).filter(|address| !address.is_empty());
            }
            set(&mut after.state, draft.state.as_ref());
            match before {
                None => {
                    self.loaded.made.insert(Subject::Business(after.id.clone()), draft.index);
                    self.draft.businesses.push(after);
                }
                Some(before) if *before == after => {}
                Some(before) => *self.draft.business(&before.id)? = after,
            }
        }
        let count = self.draft.businesses.len();
        if count > MAX_BUSINESSES {
            self.refuse_count("businesses", count, "locations", MAX_BUSINESSES);
        }
        Ok(())
    }

    /// Loads a catalog, or takes note of everything that is wrong with it.
    fn entries(&mut self, catalog: Catalog, current: &[Entry], drafts: &'a [EntryDraft]) {
        if drafts.is_empty() && !self.options.prune {
            return;
        }
        if drafts.len() > MAX_ENTRIES {
            return self.refuse_count(catalog.as_str(), drafts.len(), "entries", MAX_ENTRIES);
        }
        let (mut wanted, repeated) = self.resolve(catalog, current, drafts);
        if self.options.prune {
            self.prune(catalog, &mut wanted[drafts.len()..]);
        }
        if wanted.len() > MAX_ENTRIES {
            self.refuse_count(catalog.as_str(), wanted.len(), "entries", MAX_ENTRIES);
        }
        // There is nothing to ignore the document for, if no default would be left.
        let keeps_default = wanted.iter().any(|entry| entry.is_default && entry.is_active());
        let takes_default = !self.ignores(Ignored::IsDefault) || !keeps_default;
        self.violations.extend(settle_default(catalog, &mut wanted, drafts, takes_default));
        // The document is refused. The entry that it names again has the name of the first place, for errors about names.
        repeated.into_iter().rev().for_each(|index| _ = wanted.remove(index));
        if self.ignores(Ignored::Order) {
            let places: HashMap<&EntryId, usize> =
                current.iter().enumerate().map(|(place, entry)| (&entry.id, place)).collect();
            // The sort is stable, so new entries keep the order of the document.
            let place = |entry: &Entry| places.get(&entry.id).copied().unwrap_or(usize::MAX);
            wanted.sort_by_key(place);
        }
        assign_ranks(&mut wanted, current);
        self.draft.replace_entries(catalog, wanted);
        let at = |index: usize| format!("{catalog}[{}]", drafts[index].index);
        for Clash { step, name, holder, holder_step } in self.draft.clashes(catalog) {
            // The message does not name the holder's id, which may have been made just now.
            let holder = match holder_step {
                Some(index) => format!("{} of the same document", at(index)),
                None => format!("the active entry {holder}"),
            };
            let field = step.map_or_else(|| catalog.to_string(), |index| at(index) + ".name");
            self.refuse(&field, "NAME_TAKEN", format!("\"{name}\" is taken by {holder}"));
        }
    }

    fn ignores(&self, part: Ignored) -> bool {
        self.options.ignore.contains(&part)
    }

    /// Archives the entries that the document does not name, if they are not too many.
    fn prune(&mut self, catalog: Catalog, unnamed: &mut [Entry]) {
        let active = self.draft.tally(catalog).active;
        let mut pruned = 0;
        for entry in unnamed.iter_mut().filter(|entry| entry.is_active()) {
            entry.state = State::Archived;
            self.loaded.pruned.insert((catalog, entry.id.clone()));
            pruned += 1;
        }
        let is_large = pruned > PRUNED_AT_ONCE && pruned * PRUNED_ONE_OF > active;
        let is_too_many = is_large || pruned * PRUNED_NEVER_MORE_THAN_ONE_OF > active;
        if is_too_many && pruned > self.options.prune_limit {
            let description = format!(
                "would lose {pruned} of its {active} active entries, which the document does not name: add them to \
                 the document, or allow as many with prune_limit {pruned}"
            );
            self.refuse(catalog.as_str(), "PRUNE_LIMIT", description);
        }
    }

    fn refuse_count(&mut self, field: &str, count: usize, what: &str, most: usize) {
        let description = format!("would have {count} {what}; at most {most} are allowed");
        self.refuse(field, "TOO_MANY", description);
    }

    /// A catalog's entries as they shall be: first those of the drafts, in the document's order and with its
    /// content, then the others. With the places of the drafts that name an entry again.
    fn resolve(
        &mut self,
        catalog: Catalog,
        current: &[Entry],
        drafts: &'a [EntryDraft],
    ) -> (Vec<Entry>, Vec<usize>) {
        let (held, claims) = (Held::of(current), Claims::of(drafts));
        let (mut named, mut repeated) = (HashMap::<EntryId, usize>::new(), Vec::new());
        let mut entries = Vec::with_capacity(drafts.len() + current.len());
        let mut made = Vec::new();
        for (index, draft) in drafts.iter().enumerate() {
            let at = format!("{catalog}[{}]", draft.index);
            let found = self.found(catalog, (&held, &claims), (index, draft));
            let make = || self.stamp.new_entry(catalog, draft.id.as_ref(), draft.name.clone());
            let mut entry = found.cloned().unwrap_or_else(make);
            let first = *named.entry(entry.id.clone()).or_insert(draft.index);
            let is_first = first == draft.index;
            if !is_first {
                let description =
                    format!("names the entry {} again, as {catalog}[{first}] does", entry.id);
                self.refuse(&at, "DUPLICATE", description);
                repeated.push(index);
            }
            if draft.is_default == Some(true) && !catalog.has_default() {
                let description = "must not be true: only life_cycles have a default";
                self.refuse(&format!("{at}.is_default"), "NO_DEFAULT", description);
            }
            let takes = |part| found.is_none() || !self.ignores(part);
            entry.name = draft.name.clone();
            if takes(Ignored::Description) {
                set(&mut entry.description, draft.description.as_ref());
            }
            if takes(Ignored::Color) {
                set(&mut entry.color, draft.color.as_ref());
            }
            set(&mut entry.state, draft.state.as_ref());
            if found.is_none() {
                let subject = Subject::Entry(catalog, entry.id.clone());
                self.loaded.made.insert(subject, draft.index);
                made.push(draft);
            }
            if is_first {
                self.draft.note_name(catalog, &entry.id, index);
            }
            if draft.has_audit() {
                self.draft.documented.insert((catalog, entry.id.clone()), draft);
            }
            entries.push(entry);
        }
        for draft in made.into_iter().filter(|draft| draft.state != Some(State::Archived)) {
            // A document that names the archived entry too means another one.
            let archived = held.archived.get(&draft.name.fold_key());
            if let Some(archived) = archived.filter(|entry| !named.contains_key(&entry.id)) {
                self.warn_of_archived(&format!("{catalog}[{}]", draft.index), archived);
            }
        }
        entries.extend(current.iter().filter(|entry| !named.contains_key(&entry.id)).cloned());
        (entries, repeated)
    }

    /// Says of an entry that is made that there is an archived one of its name, which people may mean.
    fn warn_of_archived(&mut self, at: &str, archived: &Entry) {
        // The source of a mirror decides about ids.
        if self.options.is_of_source {
            return;
        }
        let id = &archived.id;
        let description = format!(
            "is also the name of the archived entry {id}, beside which a new one is made: to take that one back, give \
             'id: {id}' and 'state: active'"
        );
        let warning = Violation::new(&format!("{at}.name"), "NAME_ARCHIVED", description);
        self.loaded.warnings.push(warning);
    }

    /// The entry that a draft means: the one with its id, else the active one with its name, else the active one that
    /// has one of its former names. An entry that has a former name beside the one that was found is no guess: people
    /// would lose one of the two.
    fn found<'c>(
        &mut self,
        catalog: Catalog,
        (held, claims): (&Held<'c>, &Claims<'_>),
        (index, draft): (usize, &EntryDraft),
    ) -> Option<&'c Entry> {
        let at = format!("{catalog}[{}]", draft.index);
        let mut found = held.find(draft, claims.turn(index, draft), claims);
        let mut is_used = false;
        for former in &draft.was {
            let earlier = held.former(former);
            if earlier.is_some_and(|earlier| found.is_some_and(|own| own.id == earlier.id)) {
                is_used = true;
                continue;
            }
            if let Some(other) = claims.other(former, index) {
                // The id decides. The former name belongs to an entry that the document keeps.
                if draft.id.is_some() && found.is_some() {
                    continue;
                }
                let description = format!(
                    "is ambiguous: \"{former}\" is also {catalog}[{}] of the same document: an entry that stays \
                     is no former name of another one; where entries take each other's names, give the ids of all",
                    other.index
                );
                self.refuse(&format!("{at}.was"), "AMBIGUOUS_RENAME", description);
                is_used = true;
                continue;
            }
            let Some(earlier) = earlier else { continue };
            is_used = true;
            let found_by = match (found, &draft.id) {
                (None, None) => {
                    found = Some(earlier);
                    continue;
                }
                (Some(own), _) => format!("the entry is {} already, and", own.id),
                (None, Some(id)) => format!("the id {id} is new, and"),
            };
            let description = format!(
                "is ambiguous: {found_by} \"{former}\" is the active entry {}: to merge them, archive the one \
                 that shall go, and leave its name out of was; to keep both, name both as entries of the document",
                earlier.id
            );
            self.refuse(&format!("{at}.was"), "AMBIGUOUS_RENAME", description);
        }
        if let (false, Some(former)) = (is_used, draft.was.first()) {
            let (reason, description) = match found {
                Some(_) => (
                    "WAS_UNUSED",
                    "names nothing that is to be renamed any more: it can be left out".to_owned(),
                ),
                None => ("WAS_UNKNOWN", held.not_found(former, draft)),
            };
            self.loaded.warnings.push(Violation::new(&format!("{at}.was"), reason, description));
        }
        found
    }
}

/// The drafts of entries that shall be active, by id and by name.
struct Claims<'a> {
    by_id: HashMap<&'a str, (usize, &'a EntryDraft)>,
    by_name: HashMap<String, (usize, &'a EntryDraft)>,
    /// The drafts of archived entries without ids, by name.
    archived: HashMap<String, Vec<usize>>,
}

impl<'a> Claims<'a> {
    fn of(drafts: &'a [EntryDraft]) -> Self {
        let is_active = |draft: &EntryDraft| draft.state != Some(State::Archived);
        let active = || drafts.iter().enumerate().filter(|(_, draft)| is_active(draft));
        let id = |draft: &'a EntryDraft| draft.id.as_ref().map(EntryId::as_str);
        let mut archived: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            if !is_active(draft) && draft.id.is_none() {
                archived.entry(draft.name.fold_key()).or_default().push(index);
            }
        }
        Self {
            archived,
            by_id: active().filter_map(|(i, draft)| Some((id(draft)?, (i, draft)))).collect(),
            by_name: active().map(|(i, draft)| (draft.name.fold_key(), (i, draft))).collect(),
        }
    }

    /// The place of a draft among several archived ones of its name; `None` for any other draft.
    fn turn(&self, index: usize, draft: &EntryDraft) -> Option<usize> {
        let indexes = self.archived.get(&draft.name.fold_key())?;
        indexes.binary_search(&index).ok().filter(|_| indexes.len() > 1)
    }

    fn has_name(&self, fold_key: &str) -> bool {
        self.by_name.contains_key(fold_key)
    }

    /// Another draft than that one, which has this id or name.
    fn other(&self, former: &Name, own: usize) -> Option<&'a EntryDraft> {
        let by_id = self.by_id.get(former.as_str());
        let found = by_id.or_else(|| self.by_name.get(&former.fold_key()));
        found.filter(|(index, _)| *index != own).map(|(_, draft)| *draft)
    }
}

/// The existing entries, by the id or the name in a draft.
struct Held<'a> {
    by_id: HashMap<&'a str, &'a Entry>,
    active: HashMap<String, &'a Entry>,
    /// The entry of several with one name that changed last: the one that an earlier load of the document archived.
    archived: HashMap<String, &'a Entry>,
    /// All entries of one name, active or archived, in their order.
    by_name: HashMap<String, Vec<&'a Entry>>,
}

impl<'a> Held<'a> {
    fn of(current: &'a [Entry]) -> Self {
        let (mut active, mut archived) = (HashMap::new(), HashMap::new());
        let mut by_name: HashMap<String, Vec<&Entry>> = HashMap::new();
        for entry in current {
            by_name.entry(entry.name.fold_key()).or_default().push(entry);
            let of_state = if entry.is_active() { &mut active } else { &mut archived };
            let held: &mut &Entry = of_state.entry(entry.name.fold_key()).or_insert(entry);
            if held.audit.revision < entry.audit.revision {
                *held = entry;
            }
        }
        let by_id = current.iter().map(|entry| (entry.id.as_str(), entry)).collect();
        Self { by_id, active, archived, by_name }
    }

    /// Says that a draft makes an entry, as no active one has its former name, and which one may be meant.
    fn not_found(&self, former: &Name, draft: &EntryDraft) -> String {
        let active = self.active.values().map(|entry| entry.name.as_str());
        let meant = nearest(former.as_str(), active);
        let meant = meant.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
        format!(
            "finds no active entry \"{former}\", so \"{}\" is made as a new one{meant}",
            draft.name
        )
    }

    /// Finds an entry by its id, else by its folded name among the active entries. A draft with the state `archived`
    /// also finds an archived entry of its name, so that loading the document twice does not make two. If another draft
    /// claims the name for an active entry, it finds no active one. Several archived drafts of one name find the entries
    /// of that name in their order, each draft at its `turn`.
    fn find(
        &self,
        draft: &EntryDraft,
        turn: Option<usize>,
        claims: &Claims<'_>,
    ) -> Option<&'a Entry> {
        if let Some(id) = &draft.id {
            return self.by_id.get(id.as_str()).copied();
        }
        let fold_key = draft.name.fold_key();
        if let Some(turn) = turn {
            let is_free = |entry: &&&Entry| !entry.is_active() || !claims.has_name(&fold_key);
            return self.by_name.get(&fold_key)?.iter().filter(is_free).nth(turn).copied();
        }
        let is_archived = draft.state == Some(State::Archived);
        let active =
            self.active.get(&fold_key).filter(|_| !is_archived || !claims.has_name(&fold_key));
        active.or_else(|| self.archived.get(&fold_key).filter(|_| is_archived)).copied()
    }

    /// The active entry that has a former name, which may also be an id.
    fn former(&self, former: &Name) -> Option<&'a Entry> {
        let by_id = self.by_id.get(former.as_str()).copied().filter(|entry| entry.is_active());
        by_id.or_else(|| self.active.get(&former.fold_key()).copied())
    }
}

/// Makes sure that there is exactly one active default once there is an active entry: the one that the document names
/// (if it `takes_default` from there), else the current one, else the first entry.
fn settle_default(
    catalog: Catalog,
    wanted: &mut [Entry],
    drafts: &[EntryDraft],
    takes_default: bool,
) -> Option<Violation> {
    if !catalog.has_default() {
        return None;
    }
    let wrong = |i: usize, reason, description: &str| {
        let field = format!("{catalog}[{}].is_default", drafts[i].index);
        Some(Violation::new(&field, reason, description))
    };
    let says = |i: &usize, value| takes_default && drafts[*i].is_default == Some(value);
    let named: Vec<usize> = (0..drafts.len()).filter(|i| says(i, true)).collect();
    let kept = wanted.iter().position(|entry| entry.is_default);
    // A document that says of the default that it is none gives the place to the first entry.
    let kept = kept.filter(|i| *i >= drafts.len() || !says(i, false));
    let chosen = match named[..] {
        [] => match kept {
            Some(i) if wanted[i].is_active() => Some(i),
            // Pruning left no entry that could be the default.
            Some(i) if i >= drafts.len() && !wanted.iter().any(Entry::is_active) => None,
            Some(i) if i >= drafts.len() => {
                let description = "would lose its default, which the document does not name: give another entry \
                                   'is_default: true'";
                return Some(Violation::new(catalog.as_str(), "DEFAULT_ARCHIVED", description));
            }
            Some(i) => {
                let description = "is true of an entry that the document archives: give another one 'is_default: true'";
                return wrong(i, "DEFAULT_ARCHIVED", description);
            }
            None => wanted.iter().position(Entry::is_active),
        },
        [i] if wanted[i].is_active() => Some(i),
        [i] => {
            return wrong(i, "DEFAULT_ARCHIVED", "must not be true of an archived entry");
        }
        [_, i, ..] => {
            let description = "is true of more than one entry; exactly one can be the default";
            return wrong(i, "DEFAULT_TWICE", description);
        }
    };
    for (i, entry) in wanted.iter_mut().enumerate() {
        entry.is_default = Some(i) == chosen;
    }
    None
}

/// Gives the entries, which stand in their wanted order, rising ranks. The ranks in use are given out again, so that
/// few entries change theirs. New entries bring higher ranks.
///
/// An archived entry has no place that people see. So if all others have the wanted order already, every entry keeps its
/// rank, and the new ones come behind.
fn assign_ranks(wanted: &mut [Entry], current: &[Entry]) {
    let mut ranks: Vec<u32> = current.iter().map(|entry| entry.rank).collect();
    ranks.sort_unstable();
    let mut next = ranks.last().map_or(0, |last| last + 1);
    let held: HashMap<&EntryId, u32> =
        current.iter().map(|entry| (&entry.id, entry.rank)).collect();
    let seen = |entry: &&Entry| entry.is_active() || !held.contains_key(&entry.id);
    let rank = |entry: &Entry| held.get(&entry.id).copied().unwrap_or(u32::MAX);
    if wanted.iter().filter(seen).map(rank).is_sorted() {
        for entry in wanted.iter_mut().filter(|entry| !held.contains_key(&entry.id)) {
            entry.rank = next;
            next += 1;
        }
        return;
    }
    while ranks.len() < wanted.len() {
        ranks.push(next);
        next += 1;
    }
    for (entry, rank) in wanted.iter_mut().zip(ranks) {
        entry.rank = rank;
    }
}

/// Sets an entry's audit to the values that the document has.
pub(super) fn document_audit(
    audit: &mut Audit,
    before: Option<&Entry>,
    draft: &EntryDraft,
    stamp: &Stamp<'_>,
) {
    if before.is_none() {
        // An entry's last update is not before its making.
        set(&mut audit.created_by, draft.last_updated_by.as_ref());
        set(&mut audit.created_time, draft.last_updated_time.as_ref());
    }
    set(&mut audit.created_by, draft.created_by.as_ref());
    set(&mut audit.created_time, draft.created_time.as_ref());
    set(&mut audit.last_updated_by, draft.last_updated_by.as_ref());
    set(&mut audit.last_updated_time, draft.last_updated_time.as_ref());
    if before.is_none_or(|before| before.audit != *audit) {
        audit.revision = stamp.revision;
    }
}
