//! Random sequences of changes against a small model, without a store. The rules hold after every change, the
//! log leads forward and back, and an undo restores the state before.

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use customer_settings_server::{
    Services,
    catalog::{
        access::Task,
        change::{CompanyPatch, EntryPatch, PreparedChange, Step},
        checkpoint::Checkpoint,
        entry::{Audit, Catalog, Entry, Revision, State},
        error::Error,
        id::{CompanyId, EntryId},
        log::Line,
        plan::{Context, Plan, plan},
        replay::{apply, unapply},
        settings::Settings,
        text::{Color, Name},
        time::Timestamp,
    },
    clock::{Clock, SystemClock},
    config::Config,
    service::settings::AsOf,
    store::Access,
};
use proptest::prelude::*;

use crate::harness::{Data, PATIENCE, also_on_postgres};

/// A company with its log, as the service has it.
struct Company {
    settings: Option<Settings>,
    log: Vec<Line>,
    /// The company after each revision, from 1.
    past: Vec<Settings>,
    next_id: Cell<u32>,
}

fn company_id() -> CompanyId {
    CompanyId::parse("id", "cmp_1").unwrap()
}

fn name(number: u8) -> Name {
    // The names alternate between upper and lower case, because names differ without regard to case.
    let text = format!("name {number}");
    Name::parse("name", &if number.is_multiple_of(2) { text.to_uppercase() } else { text }).unwrap()
}

impl Company {
    fn new() -> Self {
        let mut company = Self { settings: None, log: vec![], past: vec![], next_id: Cell::new(0) };
        let patch = CompanyPatch { name: Some(name(0)), ..Default::default() };
        company.steps(vec![Step::CreateCompany { patch }]).unwrap();
        company
    }

    fn settings(&self) -> &Settings {
        self.settings.as_ref().unwrap()
    }

    fn plan(&self, change: &PreparedChange) -> Result<Plan, Error> {
        let actor = Task::Load.actor();
        let new_id = |prefix: &str| {
            self.next_id.set(self.next_id.get() + 1);
            format!("{prefix}_{}", self.next_id.get())
        };
        // The clock does not move, and the log must handle that.
        let now = Timestamp::from_micros(1_000);
        let context = Context { actor: &actor, request: None, now, new_id: &new_id };
        plan(&company_id(), self.settings.as_ref(), change, &context)
    }

    fn make(&mut self, change: &PreparedChange) -> Result<Plan, Error> {
        let plan = self.plan(change)?;
        if !plan.line.deltas.is_empty() {
            self.log.push(plan.line.clone());
            self.past.push(plan.after.clone());
        }
        self.settings = Some(plan.after.clone());
        Ok(plan)
    }

    fn steps(&mut self, steps: Vec<Step>) -> Result<Plan, Error> {
        let is_batch = steps.len() > 1;
        self.make(&PreparedChange::Steps { etag: None, steps, is_batch })
    }

    fn undo(&mut self, revision: u64) -> Result<Plan, Error> {
        let deltas = self.log[revision as usize - 1].deltas.clone();
        self.make(&PreparedChange::Undo { etag: None, revision: Revision(revision), deltas })
    }

    fn roll_back(&mut self, revision: u64) -> Result<Plan, Error> {
        let target = Box::new(self.past[revision as usize - 1].clone());
        self.make(&PreparedChange::RollBack { etag: None, target })
    }
}

/// Everything that an undo must restore: all but etag, revision and last-updated.
fn content(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.revision = Revision(0);
    settings.changed_time = Timestamp::from_micros(0);
    let clear = |audit: &mut Audit| {
        audit.last_updated_by = audit.created_by.clone();
        audit.last_updated_time = audit.created_time;
        audit.revision = Revision(0);
    };
    clear(&mut settings.company.audit);
    for catalog in Catalog::ALL {
        for entry in settings.entries_mut(catalog) {
            clear(&mut entry.audit);
        }
    }
    settings
}

/// The wish of a test; its numbers choose among the things that exist.
#[derive(Clone, Debug)]
enum Wish {
    Create { catalog: usize, name: u8, is_default: bool },
    Rename { catalog: usize, entry: usize, name: u8 },
    Paint { catalog: usize, entry: usize, color: u8 },
    Default { catalog: usize, entry: usize },
    Archive { catalog: usize, entry: usize, successor: usize },
    Restore { catalog: usize, entry: usize },
    Delete { catalog: usize, entry: usize },
    Reorder { catalog: usize, turn: usize },
    RenameCompany { name: u8 },
    Batch(Vec<Wish>),
    Undo { revision: usize },
    RollBack { revision: usize },
}

fn simple_wish() -> impl Strategy<Value = Wish> {
    // Two catalogs are enough: one with a default and one without.
    let catalog = prop_oneof![Just(0_usize), Just(2)];
    prop_oneof![
        4 => (catalog.clone(), 0..8_u8, any::<bool>())
            .prop_map(|(catalog, name, is_default)| Wish::Create { catalog, name, is_default }),
        2 => (catalog.clone(), 0..6_usize, 0..8_u8)
            .prop_map(|(catalog, entry, name)| Wish::Rename { catalog, entry, name }),
        1 => (catalog.clone(), 0..6_usize, 0..4_u8)
            .prop_map(|(catalog, entry, color)| Wish::Paint { catalog, entry, color }),
        2 => (catalog.clone(), 0..6_usize).prop_map(|(catalog, entry)| Wish::Default { catalog, entry }),
        3 => (catalog.clone(), 0..6_usize, 0..6_usize)
            .prop_map(|(catalog, entry, successor)| Wish::Archive { catalog, entry, successor }),
        2 => (catalog.clone(), 0..6_usize).prop_map(|(catalog, entry)| Wish::Restore { catalog, entry }),
        2 => (catalog.clone(), 0..6_usize).prop_map(|(catalog, entry)| Wish::Delete { catalog, entry }),
        2 => (catalog, 0..6_usize).prop_map(|(catalog, turn)| Wish::Reorder { catalog, turn }),
        1 => (0..4_u8).prop_map(|name| Wish::RenameCompany { name }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        10 => simple_wish(),
        2 => proptest::collection::vec(simple_wish(), 2..4).prop_map(Wish::Batch),
        3 => (0..20_usize).prop_map(|revision| Wish::Undo { revision }),
        1 => (0..20_usize).prop_map(|revision| Wish::RollBack { revision }),
    ]
}

/// The step that a wish means for this company.
fn step(settings: &Settings, wish: &Wish) -> Option<Step> {
    let pick = |catalog: usize, entry: usize| -> Option<EntryId> {
        let entries = &settings.catalogs[catalog];
        Some(entries.get(entry % entries.len().max(1))?.id.clone())
    };
    let patch = EntryPatch::default();
    Some(match *wish {
        Wish::Create { catalog, name: number, is_default } => Step::CreateEntry {
            catalog: Catalog::ALL[catalog],
            id: None,
            patch: EntryPatch {
                name: Some(name(number)),
                is_default: is_default.then_some(true),
                ..patch
            },
            etag: None,
        },
        Wish::Rename { catalog, entry, name: number } => Step::UpdateEntry {
            catalog: Catalog::ALL[catalog],
            id: pick(catalog, entry)?,
            patch: EntryPatch { name: Some(name(number)), ..patch },
            etag: None,
        },
        Wish::Paint { catalog, entry, color } => {
            let color = format!("#{color:06}");
            let color = Some(Color::parse("color", &color).unwrap());
            let patch = EntryPatch { color: Some(color), ..patch };
            let (id, etag) = (pick(catalog, entry)?, None);
            Step::UpdateEntry { catalog: Catalog::ALL[catalog], id, patch, etag }
        }
        Wish::Default { catalog, entry } => Step::UpdateEntry {
            catalog: Catalog::ALL[catalog],
            id: pick(catalog, entry)?,
            patch: EntryPatch { is_default: Some(true), ..patch },
            etag: None,
        },
        Wish::Archive { catalog, entry, successor } => Step::ArchiveEntry {
            catalog: Catalog::ALL[catalog],
            id: pick(catalog, entry)?,
            successor: (catalog == 2).then(|| pick(catalog, successor)).flatten(),
            etag: None,
        },
        Wish::Restore { catalog, entry } => {
            let id = pick(catalog, entry)?;
            Step::RestoreEntry { catalog: Catalog::ALL[catalog], id, etag: None }
        }
        Wish::Delete { catalog, entry } => {
            let id = pick(catalog, entry)?;
            Step::DeleteEntry { catalog: Catalog::ALL[catalog], id, etag: None }
        }
        Wish::Reorder { catalog, turn } => {
            let catalog = Catalog::ALL[catalog];
            let mut ids: Vec<EntryId> = settings.active(catalog).map(|e| e.id.clone()).collect();
            if ids.is_empty() {
                return None;
            }
            let by = turn % ids.len();
            ids.rotate_left(by);
            Step::ReorderEntries { catalog, ids, etag: None }
        }
        Wish::RenameCompany { name: number } => Step::UpdateCompany {
            patch: CompanyPatch { name: Some(name(number)), ..Default::default() },
            etag: None,
        },
        Wish::Batch(_) | Wish::Undo { .. } | Wish::RollBack { .. } => return None,
    })
}

/// A catalog as the list that a person would write: id, folded name, in use, the default.
type Model = Vec<(EntryId, String, bool, bool)>;

fn model_of(settings: &Settings, catalog: Catalog) -> Model {
    let row = |e: &Entry| (e.id.clone(), e.name.fold_key(), e.is_active(), e.is_default);
    settings.entries(catalog).iter().map(row).collect()
}

/// The effect of the step on the list, written as plainly as possible; `None` if it must be refused.
#[expect(clippy::too_many_lines, reason = "a list, or one story from beginning to end")]
fn expected(mut model: Model, step: &Step) -> Option<Model> {
    let find = |model: &Model, id: &EntryId| model.iter().position(|row| row.0 == *id);
    let is_free = |model: &Model, name: &str, id: Option<&EntryId>| {
        !model.iter().any(|row| row.2 && row.1 == name && Some(&row.0) != id)
    };
    match step {
        Step::CreateEntry { catalog, patch, .. } => {
            let name = patch.name.as_ref()?.fold_key();
            let is_first = !model.iter().any(|row| row.2);
            if !is_free(&model, &name, None)
                || (patch.is_default.is_some() && !catalog.has_default())
            {
                return None;
            }
            let is_default = catalog.has_default() && (is_first || patch.is_default.is_some());
            if is_default {
                model.iter_mut().for_each(|row| row.3 = false);
            }
            model.push((EntryId::parse("id", "new").unwrap(), name, true, is_default));
        }
        Step::UpdateEntry { catalog, id, patch, .. } => {
            let at = find(&model, id)?;
            if let Some(name) = &patch.name {
                if model[at].2 && !is_free(&model, &name.fold_key(), Some(id)) {
                    return None;
                }
                model[at].1 = name.fold_key();
            }
            if patch.is_default == Some(true) {
                if !catalog.has_default() || !model[at].2 {
                    return None;
                }
                model.iter_mut().enumerate().for_each(|(i, row)| row.3 = i == at);
            }
        }
        Step::ArchiveEntry { id, successor, .. } => {
            let at = find(&model, id)?;
            let heir = match successor {
                Some(heir) => {
                    Some(find(&model, heir).filter(|heir| *heir != at && model[*heir].2)?)
                }
                None => None,
            };
            let (was_active, was_default) = (model[at].2, model[at].3);
            // Only the default has a successor, or had one just before.
            if heir.is_some_and(|heir| !was_default && (was_active || !model[heir].3)) {
                return None;
            }
            (model[at].2, model[at].3) = (false, false);
            if was_default && model.iter().any(|row| row.2) {
                model[heir?].3 = true;
            }
        }
        Step::RestoreEntry { catalog, id, .. } => {
            let at = find(&model, id)?;
            if !model[at].2 {
                if !is_free(&model, &model[at].1, Some(id)) {
                    return None;
                }
                model[at].3 = catalog.has_default() && !model.iter().any(|row| row.2);
                model[at].2 = true;
            }
        }
        Step::DeleteEntry { id, .. } => {
            let at = find(&model, id)?;
            if model[at].2 {
                return None;
            }
            model.remove(at);
        }
        Step::ReorderEntries { ids, .. } => {
            let rows: Vec<_> =
                ids.iter().map(|id| model[find(&model, id).unwrap()].clone()).collect();
            let places: Vec<usize> = (0..model.len()).filter(|at| model[*at].2).collect();
            places.into_iter().zip(rows).for_each(|(at, row)| model[at] = row);
        }
        _ => {}
    }
    Some(model)
}

fn catalog_of(step: &Step) -> Catalog {
    match step {
        Step::CreateEntry { catalog, .. }
        | Step::UpdateEntry { catalog, .. }
        | Step::ArchiveEntry { catalog, .. }
        | Step::RestoreEntry { catalog, .. }
        | Step::DeleteEntry { catalog, .. }
        | Step::ReorderEntries { catalog, .. } => *catalog,
        _ => Catalog::ActionStatuses,
    }
}

/// Checks the rules that hold for every company after any change.
fn check_rules(settings: &Settings) {
    for catalog in Catalog::ALL {
        let entries = settings.entries(catalog);
        assert!(entries.is_sorted_by(|one, next| one.rank < next.rank), "{catalog}: ranks");
        let mut names: Vec<String> = settings.active(catalog).map(|e| e.name.fold_key()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{catalog}: a name is there twice");
        let defaults: Vec<&Entry> = entries.iter().filter(|entry| entry.is_default).collect();
        let wanted = usize::from(catalog.has_default() && all > 0);
        assert_eq!(defaults.len(), wanted, "{catalog}: defaults");
        assert!(defaults.iter().all(|entry| entry.state == State::Active));
    }
}

/// Makes the wish, and checks its effects.
fn grant(company: &mut Company, wish: &Wish) {
    let before = company.settings().clone();
    let revisions = company.past.len();
    let made = match wish {
        Wish::Undo { revision } => company.undo((revision % revisions) as u64 + 1),
        Wish::RollBack { revision } => {
            let revision = (revision % revisions) as u64 + 1;
            let made = company.roll_back(revision);
            let target = content(&company.past[revision as usize - 1]);
            assert_eq!(content(&made.as_ref().unwrap().after), target, "a roll back always works");
            made
        }
        Wish::Batch(wishes) => {
            let steps: Vec<Step> = wishes.iter().filter_map(|w| step(&before, w)).collect();
            company.steps(steps)
        }
        wish => {
            let Some(step) = step(&before, wish) else { return };
            let catalog = catalog_of(&step);
            let expected = expected(model_of(&before, catalog), &step);
            let made = company.steps(vec![step]);
            let seen = made.as_ref().ok().map(|plan| {
                let mut model = model_of(&plan.after, catalog);
                // The model does not know the id of a new entry.
                if let (Wish::Create { .. }, Some(last)) = (wish, model.last_mut()) {
                    last.0 = EntryId::parse("id", "new").unwrap();
                }
                model
            });
            assert_eq!(
                seen,
                expected,
                "{wish:?}: {:?}",
                made.as_ref().err().map(ToString::to_string)
            );
            made
        }
    };
    let Ok(plan) = made else {
        assert_eq!(*company.settings(), before, "what is refused changes nothing");
        return;
    };
    check_rules(&plan.after);
    if plan.line.deltas.is_empty() {
        assert_eq!(plan.after, before);
        return;
    }
    assert_eq!(plan.after.revision, before.revision.next());
    assert!(plan.line.time > before.changed_time);
    let back = unapply(plan.after.clone(), before.revision, before.changed_time, &plan.line.deltas);
    assert_eq!(back.unwrap(), before, "the change leads back");

    // An undo of the last change restores everything, and so does an undo of that undo.
    let after = plan.after.clone();
    let settings = company.settings.clone();
    let undone = company.plan(&PreparedChange::Undo {
        etag: None,
        revision: after.revision,
        deltas: plan.line.deltas.clone(),
    });
    let undone = undone.unwrap_or_else(|error| panic!("{wish:?} cannot be undone: {error}"));
    assert_eq!(content(&undone.after), content(&before), "undoing {wish:?}");
    company.settings = Some(undone.after.clone());
    let redone = company.plan(&PreparedChange::Undo {
        etag: None,
        revision: undone.after.revision,
        deltas: undone.line.deltas,
    });
    assert_eq!(content(&redone.unwrap().after), content(&after), "undoing the undoing of {wish:?}");
    company.settings = settings;
}

/// Makes the same changes in a store, which must agree after every change.
async fn repeat_in_store(company: &Company) {
    let (id, local) = (company_id(), Task::Local);
    let data = Data::new().await;
    let store = data.open(Access::Write).await;
    for (line, after) in company.log.iter().zip(&company.past) {
        store.commit(&[(local.grant(&id).stream(), line)], None).await.unwrap();
        let read = store.settings(&local.grant(&id)).await.unwrap();
        assert_eq!(read.as_ref(), Some(after), "{:?}", line.deltas);
    }
    let lines = store.log(local.grant(&id).stream(), (Revision(0), 0), u32::MAX).await.unwrap();
    assert!(lines.iter().map(|(_, line)| line).eq(&company.log));
}

/// Reads all states back from a store with checkpoints, of which each says to be of one revision and is of another,
/// which may be the same.
async fn look_back_in_store(company: &Company, left: &[(usize, usize)]) {
    let (id, local) = (company_id(), Task::Local);
    let stream = local.grant(&id).stream().clone();
    let data = Data::new().await;
    let store = data.open(Access::Write).await;
    for line in &company.log {
        store.commit(&[(&stream, line)], None).await.unwrap();
    }
    let states = &company.past;
    let mut are_right = BTreeMap::new();
    for (says, is) in left.iter().map(|(says, is)| (says % states.len(), is % states.len())) {
        let checkpoint =
            Checkpoint { revision: states[says].revision, ..Checkpoint::of(&states[is]) };
        store.leave_checkpoint(&stream, &checkpoint).await.unwrap();
        are_right.insert(states[says].revision, says == is);
    }
    let clock = Arc::new(SystemClock);
    let services = Services::open(store, clock, &Config::default()).await.unwrap();
    let caller = local.holder().permitted(&[]).unwrap();
    for state in states {
        for as_of in [AsOf::Time(state.changed_time), AsOf::Revision(state.revision)] {
            let deadline = SystemClock.monotonic() + PATIENCE;
            let read = services.settings.read(&caller, &id, as_of, deadline).await.unwrap();
            assert_eq!(*read.0, *state, "{as_of:?} with {are_right:?}");
        }
    }
    let verified = services.verify.verify(|_| ()).await.unwrap();
    let wrong = are_right.iter().filter(|(_, is_right)| !**is_right);
    let expected = wrong.map(|(revision, _)| {
        format!(
            "its checkpoint of revision {revision} differs from its log: delete it from the table checkpoints"
        )
    });
    assert!(verified.findings.iter().map(|one| one.what.clone()).eq(expected), "{verified:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..Default::default() })]

    #[test]
    fn old_states_are_the_same_through_any_checkpoints(
        wishes in proptest::collection::vec(wish(), 1..40),
        left in proptest::collection::vec(prop_oneof![
            (0..40_usize).prop_map(|both| (both, both)),
            (0..40_usize, 0..40_usize),
        ], 0..10),
    ) {
        let mut company = Company::new();
        for wish in &wishes {
            grant(&mut company, wish);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(look_back_in_store(&company, &left));
    }

    #[test]
    fn a_store_keeps_up_whatever_is_done(wishes in proptest::collection::vec(wish(), 1..40)) {
        let mut company = Company::new();
        for wish in &wishes {
            grant(&mut company, wish);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(repeat_in_store(&company));
    }
}

also_on_postgres! {
    a_store_keeps_up_whatever_is_done,
    old_states_are_the_same_through_any_checkpoints,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..Default::default() })]

    #[test]
    fn the_rules_hold_whatever_is_done(wishes in proptest::collection::vec(wish(), 1..40)) {
        let mut company = Company::new();
        for wish in &wishes {
            grant(&mut company, wish);
        }
        let mut replayed = None;
        for line in &company.log {
            replayed = Some(apply(replayed, line.revision, line.time, &line.deltas).unwrap());
        }
        assert_eq!(replayed, company.settings, "the log leads to what there is");
    }
}
