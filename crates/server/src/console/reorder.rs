//! The order of a catalog: up, down, to a place, by dragging, by name. Each is one new order of all active entries.

use customer_settings_contract::customersettings::v1::{Entry, ReorderEntriesRequest};
use serde_json::json;
use tonic::Status;

use super::{
    answer::{self, Answer, elsewhere},
    entries::{catalog_refused, entries_of, list_path, view},
    form::{self, Form},
    problem::Problem,
    routes::page_of,
    visit::{Visit, with_query},
    words::nouns,
};
use crate::{catalog::text::Name, status::Page};

/// Before the id in the name of the field of a row's place.
const PLACE: &str = "to.";
/// The action that a person may repeat after a conflict.
const MOVE: &str = "move the entry";

/// The answer to a list that would lose the places that somebody wrote.
const NOT_SORTED: &str = "Nothing was sorted yet: you wrote a place over another one. Press “Move” there first, or write \
    the old place again.";

/// A row and the place, from 0, that was written over its own.
type Wanted = (String, usize);

/// Why rows cannot have the places that were written.
#[derive(Default)]
struct Misplaced {
    /// The sentence above the list.
    text: String,
    /// The ids of the rows, and the sentence for each.
    rows: Vec<(String, String)>,
}

impl Misplaced {
    /// Adds rows that are to have one place.
    fn add_same(&mut self, same: &[Wanted], many: &str) {
        let count = if same.len() == 2 { "Two".to_owned() } else { same.len().to_string() };
        let place = same.first().map_or(0, |(_, place)| place + 1);
        let told =
            |(id, _): &Wanted| (id.clone(), "Another one is to have this place too.".to_owned());
        let gap = if self.text.is_empty() { "" } else { " " };
        self.text += &format!("{gap}{count} {many} are to have place {place}.");
        self.rows.extend(same.iter().map(told));
    }
}

/// Puts entries where the form says.
pub(super) async fn reorder(visit: &Visit<'_>) -> Answer {
    let ids = match visit.form.find("ids") {
        // Our script knows the whole order.
        Some(ids) => ids.split(',').map(str::to_owned).collect(),
        None => {
            let list = entries_of(visit, String::new(), false).await?;
            let ids: Vec<String> = list.entries.into_iter().map(|entry| entry.id).collect();
            let (_, many) = nouns(visit.part(1));
            let wanted = match places(&ids, visit.form, many) {
                Ok(wanted) => wanted,
                // Of a list that changed since, this is told instead.
                Err(_) if list.etag != visit.form.get("etag") => Vec::new(),
                Err(Misplaced { text, rows: places }) => {
                    let text = format!("Nothing was moved yet. {text}");
                    let problem = Problem { places, ..Problem::told(text) };
                    return catalog_refused(visit, &Status::invalid_argument(""), problem).await;
                }
            };
            let after = moved(placed(ids, &wanted), visit.form);
            let arrows = ["up", "down"].into_iter().filter_map(|name| visit.form.find(name));
            let moved: Vec<&str> = wanted.iter().map(|(id, _)| &**id).chain(arrows).collect();
            return save(visit, after, &moved, MOVE).await;
        }
    };
    save(visit, ids, &[], MOVE).await
}

/// Puts all entries into the order of their names.
pub(super) async fn sort(visit: &Visit<'_>) -> Answer {
    if written(visit.form).next().is_some() {
        let problem = Problem::told(NOT_SORTED);
        return catalog_refused(visit, &Status::invalid_argument(""), problem).await;
    }
    let mut entries = entries_of(visit, String::new(), false).await?.entries;
    entries.sort_by_cached_key(|entry: &Entry| {
        let name = entry.name.clone().unwrap_or_default();
        (Name::stored(&name).map_or_else(|_| String::new(), |name| name.search_key()), name)
    });
    save(visit, entries.into_iter().map(|entry| entry.id).collect(), &[], "sort it").await
}

/// Saves the order, and names the entries that the form `moved`: from the orders alone nobody can tell which of two
/// neighbors that was. `what` says what a person may do again after a conflict.
async fn save(visit: &Visit<'_>, ids: Vec<String>, moved: &[&str], what: &str) -> Answer {
    let ask = ReorderEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        ids,
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    let act = |etag: &str| if etag == visit.form.get("etag") { "nothing" } else { "ordered" };
    match visit.entries().reorder_entries(visit.ask(ask)).await {
        Ok(saved) if visit.is_script => {
            let (metadata, list, _) = saved.into_parts();
            let done = visit.what_was_done(&metadata, act(&list.etag)).await;
            let undo = done.strip_prefix("changed=").filter(|_| visit.may.undo);
            let undo = undo.map(|it| format!("{}/history/{it}/undo", visit.company_path()));
            let told = json!({
                "etag": list.etag,
                "request": Visit::new_request(),
                "revision": list.revision,
                "undo": undo,
                "next": format!("{}{}", page_of(&visit.path), view(visit)),
            });
            Ok(answer::json(Page::Shown, &told))
        }
        Ok(saved) => {
            let done = visit.what_was_done(saved.metadata(), act(&saved.get_ref().etag)).await;
            let ids: Vec<String> = moved.iter().map(|id| form::encode(id)).collect();
            let also =
                if ids.is_empty() { String::new() } else { format!("&moved={}", ids.join(",")) };
            Ok(elsewhere(&with_query(&list_path(visit), &format!("{done}{also}"))))
        }
        Err(status) => refused(visit, &status, what).await,
    }
}

async fn refused(visit: &Visit<'_>, status: &Status, what: &str) -> Answer {
    let mut problem = visit.problem_of(status, &[], (visit.part(1), "")).await;
    if visit.is_script && problem.is_conflict() {
        let text = format!("{} Look at the list as it is now, and {what} again.", problem.plain());
        let told = json!({"text": text, "link": "Show it as it is now"});
        return Ok(answer::json(Page::Refused(status), &told));
    }
    if visit.is_script {
        return Ok(visit.refused(status).await);
    }
    if problem.is_conflict() {
        problem.text += &match written(visit.form).next() {
            Some(_) => " Here is the list as it is now, with the places that you wrote: look at them, and press “Move”."
                .to_owned(),
            None => format!(" Here is the list as it is now: please {what} again."),
        };
    }
    catalog_refused(visit, status, problem).await
}

/// The ids of the rows whose places were written over, with these texts. A page sends its rows in their order, which may be
/// another one now.
pub(super) fn written(form: &Form) -> impl Iterator<Item = (&str, &str)> {
    let pairs = form.pairs().iter();
    let places = pairs.filter_map(|(name, text)| Some((name.strip_prefix(PLACE)?, text.trim())));
    let written = places.enumerate().filter(|(at, (_, text))| *text != (at + 1).to_string());
    written.map(|(_, row)| row)
}

/// The rows whose places were written over, by their new places; or those whose places cannot be. `many` is the noun for
/// the list's entries.
fn places(ids: &[String], form: &Form, many: &str) -> Result<Vec<Wanted>, Misplaced> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut wrong = Misplaced::default();
    for (name, typed) in form.pairs() {
        let Some(id) = name.strip_prefix(PLACE) else { continue };
        let Some(was) = ids.iter().position(|known| known == id) else { continue };
        let place = typed.trim().parse::<usize>().ok().filter(|place| *place <= ids.len());
        let Some(place) = place.and_then(|place| place.checked_sub(1)) else {
            let most = ids.len();
            wrong.text = format!("A place is a number from 1 to {most}.");
            wrong.rows.push((id.to_owned(), format!("Give a number from 1 to {most}.")));
            continue;
        };
        if was != place {
            wanted.push((id.to_owned(), place));
        }
    }
    wanted.sort_by_key(|(_, place)| *place);
    let places = wanted.chunk_by(|(_, one), (_, other)| one == other);
    for same in places.filter(|same| same.len() > 1) {
        wrong.add_same(same, many);
    }
    if wrong.rows.is_empty() { Ok(wanted) } else { Err(wrong) }
}

/// The order in which these rows have their places, and the others keep theirs around them.
fn placed(mut ids: Vec<String>, wanted: &[Wanted]) -> Vec<String> {
    ids.retain(|id| wanted.iter().all(|(moved, _)| moved != id));
    for (id, place) in wanted {
        ids.insert((*place).min(ids.len()), id.clone());
    }
    ids
}

/// The order after the arrow that was pressed.
fn moved(mut ids: Vec<String>, form: &Form) -> Vec<String> {
    let at = |name: &str| form.find(name).and_then(|id| ids.iter().position(|known| known == id));
    let last = ids.len().saturating_sub(1);
    match (at("up"), at("down")) {
        (Some(from), _) => ids.swap(from, from.saturating_sub(1)),
        (None, Some(from)) => ids.swap(from, (from + 1).min(last)),
        (None, None) => {}
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of these rows after a form, or the row whose place cannot be.
    fn after(ids: &str, form: &str) -> String {
        let ids: Vec<String> = ids.chars().map(String::from).collect();
        let form = Form::parse(form.as_bytes());
        match places(&ids, &form, "{rows}") {
            Ok(wanted) => moved(placed(ids, &wanted), &form).join(""),
            Err(Misplaced { text, rows }) => {
                let told = rows.iter().map(|(id, told)| format!("{id}: {told} "));
                told.collect::<String>() + &text
            }
        }
    }

    #[test]
    fn a_form_moves_up_down_and_to_places() {
        for (form, order) in [
            ("up=b", "bacd"),
            ("up=a", "abcd"),
            ("down=d", "abcd"),
            ("down=c", "abdc"),
            ("up=x", "abcd"),
            ("to.a=1&to.b=2&to.c=3&to.d=1&place=", "dabc"),
            (
                "to.a=1&to.b=2&to.c=1&to.d=1",
                "c: Another one is to have this place too. d: Another one is to have this place too. \
                 Two {rows} are to have place 1.",
            ),
            (
                "to.a=0&to.b=3&to.c=2.5&to.d=3",
                "a: Give a number from 1 to 4. c: Give a number from 1 to 4. b: Another one is to have this place too. \
                 d: Another one is to have this place too. A place is a number from 1 to 4. Two {rows} are to have \
                 place 3.",
            ),
            ("to.a=1&to.d=+2+&to.x=9", "adbc"),
            ("to.a=3&to.d=2", "bdac"),
            ("to.d=2&to.a=3", "bdac"),
            ("to.a=4&to.b=3&to.c=2&to.d=1", "dcba"),
            ("to.a=4&to.b=1", "bcda"),
            ("to.a=3&up=d", "bcda"),
        ] {
            assert_eq!(after("abcd", form), order, "{form}");
        }
    }

    #[test]
    fn a_place_is_a_number_of_the_list() {
        for text in ["0", "4", "-3", "abc", "", "1.5"] {
            for arrow in ["", "&up=a"] {
                let told = after("abc", &format!("to.b=2&to.c={text}{arrow}"));
                let expected = "c: Give a number from 1 to 3. A place is a number from 1 to 3.";
                assert_eq!(told, expected, "{text}");
            }
        }
    }
}
