//! Tests that a change looks at each row, and at each thing that it asks for, only a few times.

use super::{Context, Plan, plan};
use crate::catalog::{
    access::Task,
    change::{BusinessPatch, CompanyPatch, EntryPatch, PreparedChange, Step},
    company::{Business, Company, Contact},
    entry::{Audit, Catalog, Entry, MAX_ENTRIES, Revision, State},
    error::{Error, Result},
    id::{BusinessId, CompanyId, EntryId, StaffId},
    replay::{apply, unapply},
    rows::looked_at,
    settings::Settings,
    text::Name,
    time::Timestamp,
};

/// How often each row and each thing that is asked for may be looked at. A few rows are searched among all rows, in the
/// state before and in the state after.
const TIMES: usize = 24;

const TAGS: Catalog = Catalog::CustomerTags;
const CYCLES: Catalog = Catalog::LifeCycles;

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn id(number: usize) -> EntryId {
    EntryId::parse("id", &format!("id_{number}")).unwrap()
}

fn audit() -> Audit {
    let (staff, time) = (StaffId::parse("id", "staff").unwrap(), Timestamp::from_micros(1));
    Audit {
        created_by: staff.clone(),
        created_time: time,
        last_updated_by: staff,
        last_updated_time: time,
        revision: Revision(1),
    }
}

/// A company with locations, and with so many entries in each of two catalogs. Every second entry is archived.
fn company(entries: usize, businesses: usize) -> Settings {
    let entry = |number: usize| Entry {
        id: id(number),
        name: name(&format!("Name {number}")),
        description: Default::default(),
        color: None,
        is_default: false,
        rank: number as u32,
        state: if number.is_multiple_of(2) { State::Active } else { State::Archived },
        audit: audit(),
    };
    let business = |number: usize| Business {
        id: BusinessId::parse("id", &format!("biz_{number:05}")).unwrap(),
        name: name(&format!("Place {number:05}")),
        contact: Contact::default(),
        address: None,
        state: State::Active,
        audit: audit(),
    };
    let tags: Vec<Entry> = (0..entries).map(entry).collect();
    let mut cycles = tags.clone();
    cycles[0].is_default = true;
    Settings {
        company: Company {
            id: CompanyId::parse("id", "cmp").unwrap(),
            name: name("Paws"),
            country: Default::default(),
            timezone: Default::default(),
            state: State::Active,
            source: None,
            audit: audit(),
        },
        revision: Revision(1),
        changed_time: Timestamp::from_micros(1),
        businesses: (0..businesses).map(business).collect::<Vec<_>>().into(),
        catalogs: [tags, vec![], cycles, vec![]].map(Into::into),
    }
}

fn planned(current: &Settings, change: &PreparedChange) -> (Result<Plan>, usize) {
    let actor = Task::Local.actor();
    let new_id = |prefix: &str| format!("{prefix}_new");
    let now = Timestamp::from_micros(2);
    let context = Context { actor: &actor, request: None, now, new_id: &new_id };
    let (plan, looked_at) =
        looked_at(|| plan(&current.company.id, Some(current), change, &context));
    if let Ok(Plan { line, after, .. }) = &plan
        && !line.is_empty()
    {
        let applied = apply(Some(current.clone()), line.revision, line.time, &line.deltas);
        assert_eq!(applied.as_ref(), Ok(after), "the line leads to what the plan says");
    }
    (plan, looked_at)
}

fn rows(settings: &Settings) -> usize {
    settings.businesses.len() + settings.catalogs.iter().map(|entries| entries.len()).sum::<usize>()
}

/// Plans steps, and checks how often rows were looked at.
fn steps(current: &Settings, steps: Vec<Step>) -> Result<Plan> {
    let ids = |step: &Step| match step {
        Step::ReorderEntries { ids, .. } => ids.len(),
        _ => 0,
    };
    let asked = steps.len() + steps.iter().map(ids).sum::<usize>();
    let (plan, looked_at) =
        planned(current, &PreparedChange::Steps { etag: None, steps, is_batch: true });
    let most = TIMES * (rows(current) + asked);
    assert!(looked_at <= most, "{looked_at} rows were looked at, and {most} would be a lot");
    plan
}

fn patch(text: &str) -> EntryPatch {
    EntryPatch { name: Some(name(text)), ..Default::default() }
}

fn create(number: usize) -> Step {
    let patch = patch(&format!("New {number}"));
    Step::CreateEntry { catalog: TAGS, id: Some(id(number)), patch, etag: None }
}

#[test]
fn a_batch_of_the_largest_size_costs_what_there_is_and_its_steps() {
    let current = company(MAX_ENTRIES / 2, 5_000);
    let all = (0..MAX_ENTRIES).map(|number| match number {
        // The first half of the entries, of which every second is archived.
        0..500 if number.is_multiple_of(4) => Step::UpdateEntry {
            catalog: TAGS,
            id: id(number),
            patch: patch(&format!("Other {number}")),
            etag: None,
        },
        0..500 if number.is_multiple_of(2) => {
            Step::ArchiveEntry { catalog: TAGS, id: id(number), successor: None, etag: None }
        }
        0..500 if number % 4 == 1 => {
            Step::RestoreEntry { catalog: TAGS, id: id(number), etag: None }
        }
        0..500 => Step::DeleteEntry { catalog: TAGS, id: id(number), etag: None },
        _ => create(number),
    });
    let plan = steps(&current, all.collect()).unwrap();
    assert_eq!(plan.line.deltas.len(), MAX_ENTRIES);
    let (back, for_that) = looked_at(|| {
        unapply(plan.after.clone(), current.revision, current.changed_time, &plan.line.deltas)
    });
    assert_eq!(back, Ok(current.clone()));
    assert!(for_that <= TIMES * (rows(&current) + plan.line.deltas.len()), "{for_that}");
    let (again, for_that) = looked_at(|| {
        apply(Some(current.clone()), plan.after.revision, plan.line.time, &plan.line.deltas)
    });
    assert_eq!(again.as_ref(), Ok(&plan.after));
    assert!(for_that <= TIMES * (rows(&current) + plan.line.deltas.len()), "{for_that}");
}

#[test]
fn a_batch_with_etags_costs_no_more() {
    let current = company(MAX_ENTRIES, 0);
    let update = |entry: &Entry| {
        let (id, etag) = (entry.id.clone(), Some(entry.etag()));
        Step::UpdateEntry { catalog: TAGS, patch: patch(&format!("Other {id}")), id, etag }
    };
    let all = current.entries(TAGS).iter().map(update);
    assert_eq!(steps(&current, all.collect()).unwrap().line.deltas.len(), MAX_ENTRIES);
}

#[test]
fn the_default_may_be_handed_on_by_every_step() {
    let current = company(MAX_ENTRIES, 0);
    let archive = |number: usize| {
        let successor = (number + 2 < MAX_ENTRIES).then(|| id(number + 2));
        Step::ArchiveEntry { catalog: CYCLES, id: id(number), successor, etag: None }
    };
    let plan = steps(&current, (0..MAX_ENTRIES).step_by(2).map(archive).collect()).unwrap();
    assert_eq!(plan.after.active(CYCLES).count(), 0);
    let make = |number: usize| {
        let patch = EntryPatch { is_default: Some(true), ..Default::default() };
        Step::UpdateEntry { catalog: CYCLES, id: id(number), patch, etag: None }
    };
    let plan = steps(&current, (0..MAX_ENTRIES).step_by(2).map(make).collect()).unwrap();
    let defaults = plan.after.entries(CYCLES).iter().filter(|entry| entry.is_default);
    assert_eq!(defaults.map(|entry| entry.id.clone()).collect::<Vec<_>>(), [id(998)]);
}

#[test]
fn an_order_costs_its_ids_and_not_what_is_archived() {
    let mut current = company(MAX_ENTRIES, 0);
    for entry in &mut current.entries_mut(TAGS)[2..] {
        entry.state = State::Archived;
    }
    let order = |ids: &[usize]| {
        let ids = ids.iter().map(|number| id(*number)).collect();
        Step::ReorderEntries { catalog: TAGS, ids, etag: None }
    };
    let orders =
        (0..MAX_ENTRIES - 1).map(|i| order(if i.is_multiple_of(2) { &[2, 0] } else { &[0, 2] }));
    // Entry 2 is archived, so the first order is refused, after it was checked like all others.
    assert!(steps(&current, orders.collect()).is_err());
    let orders = (0..MAX_ENTRIES - 1).map(|_| order(&[0]));
    steps(&current, orders.collect()).unwrap();
}

#[test]
fn more_ids_than_entries_are_refused_before_they_are_looked_at() {
    let current = company(MAX_ENTRIES, 0);
    let order = |ids: std::ops::Range<usize>| {
        let ids = ids.map(|number| id(number + MAX_ENTRIES)).collect();
        PreparedChange::Steps {
            etag: None,
            steps: vec![Step::ReorderEntries { catalog: TAGS, ids, etag: None }],
            is_batch: false,
        }
    };
    let reasons = |change: &PreparedChange| {
        let (plan, looked_at) = planned(&current, change);
        let Err(Error::Invalid(violations)) = plan else { panic!("{plan:?}") };
        let reasons: Vec<_> = violations.iter().map(|violation| violation.reason).collect();
        (reasons, looked_at)
    };
    let (too_many, for_nothing) = reasons(&order(0..70_000));
    assert_eq!(too_many, ["OUT_OF_RANGE"]);
    let (unknown, looked_at) = reasons(&order(0..MAX_ENTRIES));
    assert_eq!(unknown, ["UNKNOWN_ID", "MISSING_ID"]);
    assert!(for_nothing <= 2 * MAX_ENTRIES && looked_at <= TIMES * MAX_ENTRIES, "{looked_at}");
}

#[test]
fn going_back_costs_what_there_is_and_what_changed() {
    let target = company(MAX_ENTRIES, 2_000);
    let mut current = target.clone();
    for entry in current.entries_mut(TAGS) {
        entry.name = name(&format!("Other {}", entry.id));
    }
    current.entries_mut(CYCLES).reverse();
    for (place, entry) in current.entries_mut(CYCLES).iter_mut().enumerate() {
        entry.rank = place as u32;
    }
    for business in current.businesses.to_mut() {
        business.state = State::Archived;
    }
    let change = PreparedChange::RollBack { etag: None, target: Box::new(target.clone()) };
    let (back, looked_at) = planned(&current, &change);
    let back = back.unwrap();
    assert_eq!(back.line.deltas.len(), 4_000);
    assert!(looked_at <= 2 * TIMES * (rows(&current) + back.line.deltas.len()), "{looked_at}");
    let deltas = back.line.deltas;
    let change = PreparedChange::Undo { etag: None, revision: back.after.revision, deltas };
    let (undone, looked_at) = planned(&back.after, &change);
    let undone = undone.unwrap();
    assert_eq!(undone.line.deltas.len(), 4_000);
    assert!(looked_at <= 2 * TIMES * (rows(&current) + undone.line.deltas.len()), "{looked_at}");
}

#[test]
fn a_change_of_one_thing_looks_at_its_own_list_alone() {
    let current = company(MAX_ENTRIES, 5_000);
    let patch = CompanyPatch { name: Some(name("Other")), ..Default::default() };
    let (plan, looked_at) = planned(
        &current,
        &PreparedChange::Steps {
            etag: None,
            steps: vec![Step::UpdateCompany { patch, etag: None }],
            is_batch: false,
        },
    );
    assert_eq!(plan.unwrap().line.deltas.len(), 1);
    assert_eq!(looked_at, 0);
    let patch = Box::new(BusinessPatch { name: Some(name("Other")), ..Default::default() });
    let change =
        Step::UpdateBusiness { id: current.businesses[4_999].id.clone(), patch, etag: None };
    steps(&current, vec![change]).unwrap();
}
