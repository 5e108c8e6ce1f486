//! A plan of the contract in the console's words, and the ids of what it would make.

use std::collections::HashSet;

use customer_settings_contract::customersettings::v1::{
    DocumentCompany, DocumentEntry, PlanCounts, PlanRemark, PlanStep, State, plan_step::Action,
};

use super::{
    history::{MOST_THINGS, Thing},
    words::{self, CATALOGS, Difference, Words, capital},
};

/// The steps as things that change. All moves of a list are one.
pub(super) fn things(steps: &[PlanStep]) -> Vec<Thing> {
    let mut things: Vec<Thing> = Vec::new();
    let (moves, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| is_move(step));
    things.extend(others.into_iter().take(MOST_THINGS).map(thing));
    for list in &CATALOGS {
        let moved: Vec<_> = moves.iter().filter(|one| one.collection == list.collection).collect();
        if !moved.is_empty() {
            things.push(Thing {
                heading: format!("Order of the {}", list.many),
                fate: "moved",
                differences: moved
                    .iter()
                    .take(MOST_THINGS)
                    .map(|step| place_of(step, &step.name))
                    .collect(),
            });
        }
    }
    things
}

/// The headings of the steps that change the company itself or a location, as far as a page shows them.
pub(super) fn beyond_lists(steps: &[PlanStep]) -> Vec<String> {
    let others = steps.iter().filter(|step| words::catalog(&step.collection).is_none());
    others.take(MOST_THINGS).map(heading).collect()
}

/// The headings of the steps that give another author or time than the change would, or another source.
pub(super) fn of_sources(steps: &[PlanStep], company: &DocumentCompany) -> Vec<String> {
    let mut company = company.clone();
    let mut audited = HashSet::new();
    for (words, entries) in lists(&mut company) {
        for (index, one) in entries.iter().enumerate().filter(|(_, one)| has_audit(one)) {
            let names =
                [one.id.clone(), one.name.to_lowercase(), format!("{}[{index}]", words.collection)];
            audited.extend(names.map(|name| (words.collection, name)));
        }
    }
    let is_audited = |step: &&PlanStep| {
        let names = [step.id.clone(), step.name.to_lowercase(), step.path.clone()];
        let of_source = step.fields.iter().any(|change| change.field == "source");
        // A new place alone leaves the author.
        let of_audit = !is_move(step)
            && names.into_iter().any(|name| {
                !name.is_empty() && audited.contains(&(step.collection.as_str(), name))
            });
        of_source || of_audit
    };
    steps.iter().filter(is_audited).take(MOST_THINGS).map(heading).collect()
}

fn has_audit(entry: &DocumentEntry) -> bool {
    let by = [&entry.created_by, &entry.last_updated_by];
    let times = [&entry.created_time, &entry.last_updated_time];
    by.iter().any(|by| !by.is_empty()) || times.iter().any(|time| time.is_some())
}

fn heading(step: &PlanStep) -> String {
    format!("{} {}", capital(words::nouns(&step.collection).0), words::quoted(&step.name))
}

/// How many steps [`things`] leaves out.
pub(super) fn others(steps: &[PlanStep]) -> usize {
    let others = steps.iter().filter(|step| !is_move(step)).count();
    others.saturating_sub(MOST_THINGS)
}

fn is_move(step: &PlanStep) -> bool {
    step.action() == Action::Move
}

fn thing(step: &PlanStep) -> Thing {
    let fate = match step.action() {
        Action::Create => "added",
        Action::Rename => "renamed",
        Action::Move => "moved",
        Action::Archive => "put away",
        Action::Restore => "taken back",
        Action::Update | Action::Unspecified => "changed",
    };
    // A thing that is not there has no values.
    let is_new = step.action() == Action::Create;
    let before = |field: &str, text: &str| match is_new {
        true => String::new(),
        false => value(field, text),
    };
    let is_moved = matches!(step.action(), Action::Update | Action::Rename) && step.from != step.to;
    let place = is_moved.then(|| place_of(step, words::label("position")));
    let differences = step.fields.iter().map(|change| Difference {
        label: words::label(&change.field).to_owned(),
        before: before(&change.field, &change.before),
        after: value(&change.field, &change.after),
        is_color: change.field == "color",
    });
    Thing { heading: heading(step), fate, differences: differences.chain(place).collect() }
}

/// The places of a step's entry before and after. People count from 1, the contract from 0.
fn place_of(step: &PlanStep, label: &str) -> Difference {
    Difference {
        label: label.to_owned(),
        before: (step.from + 1).to_string(),
        after: (step.to + 1).to_string(),
        is_color: false,
    }
}

fn value(field: &str, text: &str) -> String {
    match (field, text) {
        ("is_default", "true") => "yes",
        ("is_default", "false") => "no",
        ("state", "archived") => "put away",
        ("state", "active") => "in use",
        (_, text) => text,
    }
    .to_owned()
}

/// The steps, counted: `2 added, 1 renamed`.
pub(super) fn summary(counts: PlanCounts) -> String {
    let kinds = [
        (counts.created, "added"),
        (counts.updated, "changed"),
        (counts.renamed, "renamed"),
        (counts.moved, "moved"),
        (counts.archived, "put away"),
        (counts.restored, "taken back"),
    ];
    let told = kinds.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, word)| format!("{count} {word}")).collect();
    told.join(", ")
}

/// A remark as a sentence without its full stop.
pub(super) fn remark(remark: &PlanRemark) -> String {
    format!("{} {}", remark.field, remark.description)
}

/// The refusal to put away many entries, with the way out that the page has.
pub(super) fn lost(remark: &PlanRemark) -> String {
    let (_, many) = words::nouns(&remark.field);
    format!("{many} {}", remark.description.replace("with prune_limit", "below, with the number"))
}

/// The ids of what the steps would make, by their places in the document.
pub(super) fn pins(steps: &[PlanStep]) -> String {
    let made = steps.iter().filter(|step| !step.path.is_empty());
    made.map(|step| format!("{} {}\n", step.path, step.id)).collect()
}

/// Puts these ids into the document, so that what was shown is made.
pub(super) fn pin(company: &mut DocumentCompany, pins: &str) {
    for (path, id) in pins.lines().filter_map(|line| line.split_once(' ')) {
        let Some((list, index)) = place(path) else { continue };
        let made = match list {
            "businesses" => company.businesses.get_mut(index).map(|one| &mut one.id),
            _ => entry(company, list, index).map(|entry| &mut entry.id),
        };
        if let Some(made) = made {
            id.clone_into(made);
        }
    }
}

/// Takes entries that are put away back where the document would make others. Their ids stand by their places, as in
/// [`pins`].
pub(super) fn take_back(company: &mut DocumentCompany, pins: &str) {
    for (path, id) in pins.lines().filter_map(|line| line.split_once(' ')) {
        if let Some((list, index)) = place(path)
            && let Some(entry) = entry(company, list, index)
        {
            id.clone_into(&mut entry.id);
            entry.state = State::Active as i32;
        }
    }
}

/// A place of a document, such as `customer_tags[2]`.
fn place(path: &str) -> Option<(&str, usize)> {
    let (list, index) = path.strip_suffix(']')?.split_once('[')?;
    Some((list, index.parse().ok()?))
}

fn entry<'a>(
    company: &'a mut DocumentCompany,
    list: &str,
    index: usize,
) -> Option<&'a mut DocumentEntry> {
    let mut all = lists(company).into_iter();
    let (_, entries) = all.find(|(words, _)| words.collection == list)?;
    entries.get_mut(index)
}

/// The lists of a document's company.
pub(super) fn lists(
    company: &mut DocumentCompany,
) -> [(&'static Words, &mut Vec<DocumentEntry>); 4] {
    let [tags, sources, cycles, statuses] = &CATALOGS;
    [
        (tags, &mut company.customer_tags),
        (sources, &mut company.referral_sources),
        (cycles, &mut company.life_cycles),
        (statuses, &mut company.action_statuses),
    ]
}
