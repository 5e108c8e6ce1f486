//! A plan as people see it before it is carried out: its deltas as steps, their counts, and a digest that pins them.
//!
//! There is one step for each delta, so what is shown is what would be written. Entries that only make room for others are
//! not shown: their ranks follow from the steps. Nothing here decides anything.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt,
};

use sha2::{Digest as _, Sha256};

use super::{
    access::Scope,
    change::LoadOptions,
    company::{Address, Business, Company},
    delta::{Delta, Row},
    entry::{Audit, Catalog, Entry, Revision, State},
    error::Violation,
    id::{CompanyId, EntryId},
    log::Line,
    plan::{Loaded, Plan},
    replay::unapply,
    settings::{Settings, Subject},
    text::Color,
};

mod movers;
mod undone;

use movers::movers;

/// The version of the document that digests are about.
const VERSION: u64 = 1;

/// A plan as it is shown.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Preview {
    pub company_id: CompanyId,
    /// The revision that the plan was made for; 0 if there is no such company yet.
    pub base: Revision,
    pub digest: Digest,
    pub steps: Vec<Step>,
    pub counts: Counts,
    /// Remarks that belong to no step.
    pub warnings: Vec<Violation>,
    /// The scopes that carrying it out needs beside `settings:write`, each with its reason.
    pub needs: Vec<(Scope, String)>,
}

/// One change of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The most telling word for the change.
    pub action: Action,
    /// The thing that changes.
    pub subject: Subject,
    /// Its name after the change.
    pub name: String,
    /// The values that change.
    pub fields: Vec<FieldChange>,
    /// The places among the active entries before and after, if the change moves an entry relative to others.
    pub moved: Option<(usize, usize)>,
    /// Its place in the document's list, if the change makes it.
    pub made_of: Option<usize>,
    /// Remarks on this change.
    pub warnings: Vec<Violation>,
}

/// A word for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    Create,
    Update,
    Rename,
    Move,
    Archive,
    Restore,
}

/// A value that changes. Values are texts, as a document has them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct FieldChange {
    pub field: &'static str,
    pub before: String,
    pub after: String,
}

/// How many steps of each kind a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Counts {
    pub created: usize,
    pub updated: usize,
    pub renamed: usize,
    pub moved: usize,
    pub archived: usize,
    pub restored: usize,
}

impl Counts {
    /// The counts of a document's change that was made, and led to these settings.
    pub fn of_change(after: &Settings, line: Line) -> Option<Self> {
        let base = line.base();
        // Nothing was there before the first change.
        let before = match base {
            Revision(0) => None,
            _ => Some(unapply(after.clone(), base, line.time, &line.deltas).ok()?),
        };
        let plan = Plan { line, after: after.clone(), loaded: Loaded::default() };
        Some(Self::of(&steps(before.as_ref(), &plan)))
    }

    /// The counts of these steps.
    pub fn of(steps: &[Step]) -> Self {
        let mut counts = Self::default();
        for step in steps {
            *match step.action {
                Action::Create => &mut counts.created,
                Action::Update => &mut counts.updated,
                Action::Rename => &mut counts.renamed,
                Action::Move => &mut counts.moved,
                Action::Archive => &mut counts.archived,
                Action::Restore => &mut counts.restored,
            } += 1;
        }
        counts
    }
}

/// In words: "2 created, 1 renamed".
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, updated, renamed, moved, archived, restored } = *self;
        let all = [
            (created, "created"),
            (updated, "updated"),
            (renamed, "renamed"),
            (moved, "moved"),
            (archived, "archived"),
            (restored, "restored"),
        ];
        let words: Vec<String> = all
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, verb)| format!("{count} {verb}"))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// A hash of a plan: of its steps with the values before, of the options, and of the document's version. It is the same
/// for the same changes, whatever else happened to the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The hexadecimal digits of a digest.
    pub const DIGITS: usize = 64;

    /// Parses a digest that a caller sends back.
    pub fn parse(field: &str, value: &str) -> Result<Self, Violation> {
        let pair = |i: usize| u8::from_str_radix(value.get(2 * i..2 * i + 2)?, 16).ok();
        let mut bytes = [0; 32];
        let mut is_read =
            value.len() == Self::DIGITS && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = pair(i).unwrap_or_default();
            is_read &= pair(i).is_some();
        }
        let description = "must be the digest of a plan, 64 hexadecimal digits";
        is_read
            .then_some(Self(bytes))
            .ok_or_else(|| Violation::new(field, "MALFORMED_DIGEST", description))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Preview {
    /// The plan of a document for the company as it is.
    pub fn of(before: Option<&Settings>, plan: &Plan, options: &LoadOptions) -> Self {
        let (after, steps) = (&plan.after, steps(before, plan));
        Self {
            company_id: after.company.id.clone(),
            base: before.map_or(Revision(0), |settings| settings.revision),
            digest: digest(&after.company.id, &steps, options),
            counts: Counts::of(&steps),
            steps,
            warnings: plan.loaded.warnings.clone(),
            needs: plan.needs(),
        }
    }
}

fn steps(before: Option<&Settings>, plan: &Plan) -> Vec<Step> {
    let places = Places::of(before, &plan.after, &plan.line.deltas);
    let makes_room = |delta: &&Delta| delta.ranks().is_some() && places.moved(delta).is_none();
    let shown = plan.line.deltas.iter().filter(|delta| !makes_room(delta));
    shown.map(|delta| step(delta, &plan.line, &places, plan)).collect()
}

fn step(delta: &Delta, line: &Line, places: &Places<'_>, plan: &Plan) -> Step {
    let (before, after) = (delta.before.as_ref(), delta.after.as_ref());
    let mut fields = changes(before.and_then(texts), after.and_then(texts));
    if let Some(Row::Entry(after)) = after {
        fields.extend(audit_changes(before.and_then(Row::entry), after, line));
    }
    let name = delta.name().map(ToString::to_string);
    let name = name.or_else(|| Some(places.name(delta)?.to_owned()));
    let mut step = Step {
        action: action(delta, &fields),
        subject: delta.subject.clone(),
        name: name.unwrap_or_default(),
        fields,
        moved: places.moved(delta),
        made_of: plan.loaded.made.get(&delta.subject).copied(),
        warnings: vec![],
    };
    step.warnings = warnings(&step, places, plan);
    step
}

fn action(delta: &Delta, fields: &[FieldChange]) -> Action {
    match delta.verb() {
        "created" | "revived" => Action::Create,
        "moved" => Action::Move,
        "archived" => Action::Archive,
        "restored" => Action::Restore,
        _ if fields.iter().any(|change| change.field == "name") => Action::Rename,
        _ => Action::Update,
    }
}

fn warnings(step: &Step, places: &Places<'_>, plan: &Plan) -> Vec<Violation> {
    let Subject::Entry(catalog, id) = &step.subject else { return vec![] };
    let mut warnings = Vec::new();
    let takes_default =
        step.fields.iter().any(|change| change.field == "is_default" && change.after == "true");
    if takes_default && let Some(last) = places.last_default(*catalog) {
        let description = format!("moves from \"{}\" ({}) to this entry", last.name, last.id);
        warnings.push(Violation::new("is_default", "MOVES_DEFAULT", description));
    }
    if plan.loaded.pruned.contains(&(*catalog, id.clone())) {
        let description = "becomes archived, as the document does not name the entry";
        warnings.push(Violation::new("state", "PRUNED", description));
    }
    warnings
}

/// The entries of the catalogs that change, for what deltas do not say.
struct Places<'a> {
    before: Option<&'a Settings>,
    /// By catalog and id: the entry after the change, and its place among the active ones before and after.
    entries: HashMap<(Catalog, &'a EntryId), (&'a Entry, usize, usize)>,
    movers: HashSet<(Catalog, &'a EntryId)>,
}

impl<'a> Places<'a> {
    fn of(before: Option<&'a Settings>, after: &'a Settings, deltas: &[Delta]) -> Self {
        let mut places = Self { before, entries: HashMap::new(), movers: HashSet::new() };
        for catalog in Catalog::ALL {
            if !deltas.iter().any(|delta| delta.catalog() == Some(catalog)) {
                continue;
            }
            let old = before.map_or(&[][..], |settings| settings.entries(catalog));
            places
                .movers
                .extend(movers(old, after.entries(catalog)).into_iter().map(|id| (catalog, id)));
            let old: HashMap<&EntryId, usize> =
                ranked(old).map(|(entry, place)| (&entry.id, place)).collect();
            for (entry, place) in ranked(after.entries(catalog)) {
                let last = old.get(&entry.id).copied().unwrap_or(place);
                places.entries.insert((catalog, &entry.id), (entry, last, place));
            }
        }
        places
    }

    fn entry(&self, delta: &'a Delta) -> Option<&(&'a Entry, usize, usize)> {
        let Subject::Entry(catalog, id) = &delta.subject else { return None };
        self.entries.get(&(*catalog, id))
    }

    fn moved(&self, delta: &'a Delta) -> Option<(usize, usize)> {
        let Subject::Entry(catalog, id) = &delta.subject else { return None };
        let is_mover = self.movers.contains(&(*catalog, id));
        self.entry(delta).filter(|_| is_mover).map(|(_, from, to)| (*from, *to))
    }

    fn name(&self, delta: &'a Delta) -> Option<&'a str> {
        self.entry(delta).map(|(entry, ..)| entry.name.as_str())
    }

    fn last_default(&self, catalog: Catalog) -> Option<&'a Entry> {
        self.before?.active(catalog).find(|entry| entry.is_default)
    }
}

/// Entries with their places among the active ones. An archived entry has the place that it would be restored to.
fn ranked(entries: &[Entry]) -> impl Iterator<Item = (&Entry, usize)> {
    entries.iter().scan(0, |active, entry| {
        let place = *active;
        *active += usize::from(entry.is_active());
        Some((entry, place))
    })
}

/// Values as texts. Only those that are shown become texts of their own, since most values of a row stay as they are.
type Texts<'a> = Vec<(&'static str, Cow<'a, str>)>;

fn texts(row: &Row) -> Option<Texts<'_>> {
    match row {
        Row::Company(company) => Some(company_texts(company)),
        Row::Business(business) => Some(business_texts(business)),
        Row::Entry(entry) => Some(entry_texts(entry)),
        Row::Rank(_) | Row::Tombstone | Row::Key(_) => None,
    }
}

fn company_texts(company: &Company) -> Texts<'_> {
    vec![
        ("name", company.name.as_str().into()),
        ("country", company.country.as_str().into()),
        ("timezone", company.timezone.as_str().into()),
        ("state", company.state.as_str().into()),
        ("source", company.source.map(|source| source.to_string()).unwrap_or_default().into()),
    ]
}

fn business_texts(business: &Business) -> Texts<'_> {
    const CONTACT: [&str; 9] = [
        "avatar",
        "phone",
        "business_phone",
        "email",
        "website",
        "facebook",
        "instagram",
        "yelp",
        "google",
    ];
    let mut texts = vec![
        ("name", business.name.as_str().into()),
        ("address", business.address.as_ref().map(address_text).unwrap_or_default().into()),
        ("state", business.state.as_str().into()),
    ];
    let contact = business.contact.texts().map(|text| text.as_str().into());
    texts.extend(CONTACT.into_iter().zip(contact));
    texts
}

/// An address in one line, from which its fields can be told.
fn address_text(address: &Address) -> String {
    let texts = [
        ("id", address.id.as_str()),
        ("address1", address.address1.as_str()),
        ("address2", address.address2.as_str()),
        ("city", address.city.as_str()),
        ("state", address.state.as_str()),
        ("postal_code", address.postal_code.as_str()),
        ("country", address.country.as_str()),
        ("type", address.kind.as_str()),
    ];
    let texts = texts.iter().filter(|(_, text)| !text.is_empty());
    let mut parts: Vec<String> = texts.map(|(name, text)| format!("{name}: {text:?}")).collect();
    if let Some(at) = address.coordinate {
        parts.push(format!("latitude: {}, longitude: {}", at.latitude(), at.longitude()));
    }
    // An address without any value is still one.
    if parts.is_empty() { "{}".to_owned() } else { parts.join(", ") }
}

fn entry_texts(entry: &Entry) -> Texts<'_> {
    vec![
        ("name", entry.name.as_str().into()),
        ("description", entry.description.as_str().into()),
        ("color", entry.color.as_ref().map(Color::to_string).unwrap_or_default().into()),
        ("is_default", truth(entry.is_default).into()),
        ("state", entry.state.as_str().into()),
    ]
}

const fn truth(is_true: bool) -> &'static str {
    if is_true { "true" } else { "false" }
}

/// The values that differ. Of a row that is made these are the ones that are not what they are by themselves.
fn changes(before: Option<Texts<'_>>, after: Option<Texts<'_>>) -> Vec<FieldChange> {
    let Some(after) = after else { return vec![] };
    let by_itself = |field: &str| match field {
        "is_default" => truth(false),
        "state" => State::Active.as_str(),
        _ => "",
    };
    let before = before.unwrap_or_else(|| {
        after.iter().map(|(field, _)| (*field, by_itself(field).into())).collect()
    });
    let pairs = before.into_iter().zip(after).filter(|(before, after)| before != after);
    let given = pairs.map(|((field, before), (_, after))| FieldChange {
        field,
        before: before.into_owned(),
        after: after.into_owned(),
    });
    given.collect()
}

/// The audit's values that the document gives: those that the change would not write by itself.
fn audit_changes(before: Option<&Entry>, after: &Entry, line: &Line) -> Vec<FieldChange> {
    let (by, time) = (&line.actor.staff_id, line.time);
    let changed = before.is_none_or(|before| entry_texts(before) != entry_texts(after));
    let (held, after) = (before.map(|before| &before.audit), &after.audit);
    let is_new = before.is_none();
    let given = [
        given("created_by", (held, after), |audit| &audit.created_by, is_new.then_some(by)),
        given("created_time", (held, after), |audit| &audit.created_time, is_new.then_some(&time)),
        given(
            "last_updated_by",
            (held, after),
            |audit| &audit.last_updated_by,
            changed.then_some(by),
        ),
        given(
            "last_updated_time",
            (held, after),
            |audit| &audit.last_updated_time,
            changed.then_some(&time),
        ),
    ];
    given.into_iter().flatten().collect()
}

/// A value of the audit, if it is neither the one before nor the change's own.
fn given<T: PartialEq + fmt::Display>(
    field: &'static str,
    (held, after): (Option<&Audit>, &Audit),
    value: fn(&Audit) -> &T,
    own: Option<&T>,
) -> Option<FieldChange> {
    let (held, after) = (held.map(value), value(after));
    (![held, own].contains(&Some(after))).then(|| FieldChange {
        field,
        before: held.map(ToString::to_string).unwrap_or_default(),
        after: after.to_string(),
    })
}

fn digest(company: &CompanyId, steps: &[Step], options: &LoadOptions) -> Digest {
    let mut hash = Hash(Sha256::new());
    hash.number(VERSION);
    hash.text(company.as_str());
    hash.number(u64::from(options.prune));
    hash.number(options.prune_limit as u64);
    hash.number(u64::from(options.is_of_source));
    hash.number(options.ignore.len() as u64);
    options.ignore.iter().for_each(|part| hash.text(part.as_str()));
    hash.number(steps.len() as u64);
    for step in steps {
        hash.text(step.action.as_str());
        hash.text(&step.subject.place());
        hash.number(step.fields.len() as u64);
        for FieldChange { field, before, after } in &step.fields {
            [field, before.as_str(), after.as_str()].iter().for_each(|text| hash.text(text));
        }
        // Places are shown for people. They change with whatever else happens to the catalog, and only a step that
        // does nothing but move an entry is about them.
        if let (Action::Move, Some((from, to))) = (step.action, step.moved) {
            hash.number(from as u64);
            hash.number(to as u64);
        }
        hash.number(step.warnings.len() as u64);
        step.warnings.iter().for_each(|warning| hash.text(warning.reason));
    }
    Digest(hash.0.finalize().into())
}

/// A hash in which each text's end is hashed too.
struct Hash(Sha256);

impl Hash {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }
}

impl Action {
    /// The word in the contract, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Rename => "rename",
            Self::Move => "move",
            Self::Archive => "archive",
            Self::Restore => "restore",
        }
    }
}

/// A step in one line, for errors: `rename customer_tags/tag_1 "VIP"`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} \"{}\"", self.action.as_str(), self.subject.place(), self.name)?;
        let fields: Vec<&str> = self.fields.iter().map(|change| change.field).collect();
        if fields.is_empty() { Ok(()) } else { write!(f, " ({})", fields.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::delta::Fields;

    /// The fields that the steps of a row show.
    fn shown<T: Fields>(texts: &Texts<'_>) -> (Vec<&'static str>, Vec<&'static str>) {
        let fields = T::FIELDS.iter().map(|field| field.name).filter(|name| *name != "position");
        (fields.collect(), texts.iter().map(|(name, _)| *name).collect())
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest([0xa7; 32]);
        assert_eq!(Digest::parse("d", &digest.to_string()).unwrap(), digest);
        for bad in ["", "a7", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert!(Digest::parse("d", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_show_every_field_of_a_row() {
        let at = super::super::time::Timestamp::from_micros(1);
        let staff = super::super::id::StaffId::parse("id", "staff").unwrap();
        let audit = Audit {
            created_by: staff.clone(),
            created_time: at,
            last_updated_by: staff,
            last_updated_time: at,
            revision: Revision(1),
        };
        let name = super::super::text::Name::parse("name", "N").unwrap();
        let company = Company {
            id: CompanyId::parse("id", "c").unwrap(),
            name: name.clone(),
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
            source: None,
            audit: audit.clone(),
        };
        let business = Business {
            id: super::super::id::BusinessId::parse("id", "b").unwrap(),
            name: name.clone(),
            contact: Default::default(),
            address: None,
            state: State::Active,
            audit: audit.clone(),
        };
        let entry = Entry {
            id: EntryId::parse("id", "e").unwrap(),
            name,
            description: Default::default(),
            color: None,
            is_default: false,
            rank: 0,
            state: State::Active,
            audit,
        };
        for (fields, texts) in [
            shown::<Company>(&company_texts(&company)),
            shown::<Business>(&business_texts(&business)),
            shown::<Entry>(&entry_texts(&entry)),
        ] {
            assert_eq!(texts, fields);
        }
    }
}
