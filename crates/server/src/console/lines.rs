//! Many entries at once: a line for each, looked at before anything is added.

use std::collections::{HashMap, HashSet};

use askama::Template;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use customer_settings_contract::customersettings::v1::{
    BatchChangeEntriesRequest, CreateEntryRequest, Entry, EntryChange, RestoreEntryRequest, State,
    entry_change,
};
use sha2::{Digest, Sha256};
use tonic::Status;

use super::{
    answer::{Answer, page, shown},
    entries::{catalog_path, catalog_refused, catalog_words, entries_of, list_path, view},
    form::Form,
    problem::{Problem, sentence},
    put_away::{Held, PutAway},
    sentences,
    view::Frame,
    visit::Visit,
    words::{Words, quoted},
};
use crate::{
    catalog::{
        entry::MAX_ENTRIES,
        text::{Color, Name},
    },
    status::Page,
};

/// A line of the form for many, as it was understood.
struct Line<'a> {
    number: usize,
    line: &'a str,
    name: &'a str,
    color: &'a str,
    /// The reason why it cannot be added; empty where it can.
    wrong: String,
    /// The entry that is put away, whose name this one would have too.
    away: Option<PutAway>,
    /// Whether that one is to be taken back, and no other one added.
    takes_back: bool,
}

/// Whether the last word of a line is meant as a color: six letters or digits behind a number sign, or five, seven or eight
/// hexadecimal ones. `Room #456` is a name, and so is `Instagram #doglovers`.
fn is_meant_as_color(word: &str) -> bool {
    let Some(digits) = word.strip_prefix('#') else { return false };
    match digits.len() {
        6 => digits.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        5 | 7 | 8 => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}

/// Reads a line. In files, a tab stands between the name and the color, and then nothing else does. In a list that
/// somebody typed, a color of six digits may follow the name.
fn understood((at, line): (usize, &str)) -> Line<'_> {
    let (name, color) = match line.rsplit_once('\t') {
        Some((name, color)) => (name, color),
        None => match line.trim().rsplit_once([' ', ',', ';']) {
            Some((name, color)) if is_meant_as_color(color) => {
                (name.trim_end_matches([' ', ',', ';']), color)
            }
            _ => (line, ""),
        },
    };
    let (name, color) = (name.trim(), color.trim());
    let line = line.trim();
    Line { number: at + 1, line, name, color, wrong: String::new(), away: None, takes_back: false }
}

/// Finds the entries that are put away and have the names of lines. They are taken back where the person who `has_seen` them
/// wants it, and else unless the person says otherwise: customers may have them.
fn meet(visit: &Visit<'_>, lines: &mut [Line<'_>], entries: &[Entry], has_seen: bool) {
    let (held, back) = (Held::of(entries, &catalog_path(visit)), back(visit.form));
    for line in lines {
        line.away = held.put_away(line.name).cloned();
        line.takes_back = line.away.is_some() && (!has_seen || back.contains_key(&line.number));
    }
}

/// The ids of the entries that are to be taken back, by the numbers of their lines. The form has both, so that it asks for
/// the same when it is sent twice.
fn back(form: &Form) -> HashMap<usize, &str> {
    let pairs = form.all("back").filter_map(|text| text.split_once(' '));
    pairs.filter_map(|(number, id)| Some((number.parse().ok()?, id))).collect()
}

/// Finds the lines that cannot be added beside these entries, and says why: all of them at once, so that nobody mends
/// one line at a time. The method itself refuses what this does not know. The answer says how many places are free.
fn check(lines: &mut [Line<'_>], mut entries: Vec<Entry>) -> usize {
    let free = MAX_ENTRIES.saturating_sub(entries.len());
    // The name of an entry that is put away is free, but its place is not.
    entries.retain(|entry| entry.state != State::Archived as i32);
    let mut left = free;
    let there = entries.into_iter().filter_map(|entry| {
        let name = entry.name?;
        let key = Name::stored(&name).ok()?.fold_key();
        Some((key, format!("{} is there already.", quoted(&name))))
    });
    let mut taken: HashMap<String, String> = there.collect();
    for line in lines {
        // The console's own sentence is the plainer one, where there is one.
        let name = match Name::parse("", line.name) {
            Ok(name) => name,
            Err(violation) => {
                let told = sentences::described(violation.reason, &violation.description);
                line.wrong = sentence(&format!("The name {told}"));
                continue;
            }
        };
        if !line.color.is_empty()
            && let Err(violation) = Color::parse("", line.color)
        {
            line.wrong = sentence(&format!("The color {}", violation.description));
            if !line.line.contains('\t') {
                let color = quoted(line.color);
                line.wrong += &format!(" If {color} belongs to the name, add this one by itself.");
            }
            continue;
        }
        let key = name.fold_key();
        if let Some(why) = taken.get(&key) {
            line.wrong.clone_from(why);
            (line.away, line.takes_back) = (None, false);
            continue;
        }
        if !line.wrong.is_empty() {
            continue;
        }
        // One that is put away has its place already.
        if !line.takes_back {
            if left == 0 {
                "There is no free place for it.".clone_into(&mut line.wrong);
                continue;
            }
            left -= 1;
        }
        taken.insert(key, format!("Line {} has this name already.", line.number));
    }
    free
}

#[derive(Template)]
#[template(path = "lines.html")]
struct LinesPage<'a> {
    f: Frame,
    words: &'static Words,
    here: String,
    view: &'static str,
    rows: &'a [Line<'a>],
    /// How many lines can be carried out.
    good: usize,
    /// Whether the page lets people choose between an entry that is put away and a new one.
    has_choice: bool,
    /// How many places of the list are free, and how many it has.
    free: usize,
    most: usize,
    /// The sentence for a list without a free place.
    full: String,
    /// The numbers of the others.
    left_out: String,
    /// Tells whether the lines are still those that the page shows.
    shown: String,
    lines: String,
    request: String,
}

impl LinesPage<'_> {
    fn question(&self) -> String {
        sentences::lines(self.words, self.good, self.has_choice)
    }

    fn button(&self) -> String {
        sentences::lines_button(self.good, self.rows.len() - self.good, self.has_choice)
    }
}

async fn lines_page<'a>(
    visit: &Visit<'_>,
    rows: &'a mut [Line<'_>],
    has_seen: bool,
) -> Result<LinesPage<'a>, Status> {
    let (words, lines) = (catalog_words(visit)?, visit.form.find("lines").unwrap_or_default());
    let entries = entries_of(visit, String::new(), true).await?.entries;
    meet(visit, rows, &entries, has_seen);
    let free = check(rows, entries);
    let wrong = rows.iter().filter(|line| !line.wrong.is_empty());
    let wrong: Vec<String> = wrong.map(|line| line.number.to_string()).collect();
    Ok(LinesPage {
        f: visit.company_frame(words.collection, "Add many at once").await?,
        words,
        here: catalog_path(visit),
        view: view(visit),
        good: rows.len() - wrong.len(),
        has_choice: rows.iter().any(|line| line.away.is_some()),
        free,
        most: MAX_ENTRIES,
        full: sentences::full(words),
        left_out: wrong.join(","),
        shown: digest(lines),
        rows,
        lines: lines.to_owned(),
        request: Visit::new_request(),
    })
}

fn digest(lines: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(lines)[..9])
}

/// Shows how it understood the lines and which of them cannot be added, and then adds an entry for each, but for those
/// that the form leaves out by their numbers.
pub(super) async fn add_many(visit: &Visit<'_>) -> Answer {
    let lines = visit.form.find("lines").unwrap_or_default();
    let all = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut all: Vec<Line<'_>> = all.map(understood).collect();
    if all.is_empty() {
        let problem = Problem::at("lines", "Write or paste at least one name.");
        return catalog_refused(visit, &Status::invalid_argument(""), problem).await;
    }
    let shown_lines = visit.form.find("shown");
    let is_shown = shown_lines.is_none_or(|shown| shown == digest(lines));
    if visit.form.get("sure").is_empty() || !is_shown {
        let has_seen = shown_lines.is_some() && is_shown;
        return shown(&lines_page(visit, &mut all, has_seen).await?);
    }
    let back = back(visit.form);
    let left_out = visit.form.get("without").split(',').filter_map(|number| number.parse().ok());
    let left_out: HashSet<usize> = left_out.collect();
    let wanted = all.iter().filter(|line| !left_out.contains(&line.number));
    let ask = BatchChangeEntriesRequest {
        company_id: visit.part(0).to_owned(),
        changes: wanted.map(|line| change(visit.part(1), line, back.get(&line.number))).collect(),
        request_id: visit.form.get("request").to_owned(),
        ..Default::default()
    };
    let status = match visit.entries().batch_change_entries(visit.ask(ask)).await {
        Ok(made) => return Ok(visit.done(made.metadata(), &list_path(visit), "lines").await),
        Err(status) => status,
    };
    let mut problem = visit.problem(&status, &[]);
    let mut wanted: Vec<&mut Line<'_>> =
        all.iter_mut().filter(|line| !left_out.contains(&line.number)).collect();
    for (index, text) in &problem.lines {
        if let Some(line) = wanted.get_mut(*index) {
            line.wrong.clone_from(text);
        }
    }
    let again = lines_page(visit, &mut all, true).await?;
    if again.good < again.rows.len() {
        return Ok(page(Page::Refused(&status), &again));
    }
    problem.fields.push(("lines", problem.text.clone()));
    "Nothing was added yet. Please look at what is marked below.".clone_into(&mut problem.text);
    catalog_refused(visit, &status, problem).await
}

/// The change that a line makes in a list: it adds an entry, or takes the one with this id back.
fn change(collection: &str, line: &Line<'_>, back: Option<&&str>) -> EntryChange {
    let collection = collection.to_owned();
    let change = match back {
        Some(id) => {
            let id = (*id).to_owned();
            let restore = RestoreEntryRequest { collection, id, ..Default::default() };
            entry_change::Change::Restore(restore)
        }
        None => {
            let entry = Entry {
                name: Some(line.name.to_owned()),
                color: Some(line.color.to_owned()),
                ..Default::default()
            };
            let entry = Some(entry);
            let create = CreateEntryRequest { collection, entry, ..Default::default() };
            entry_change::Change::Create(create)
        }
    };
    EntryChange { change: Some(change) }
}
