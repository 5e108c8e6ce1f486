//! The order of a catalog: up, down, to a place, by dragging, by name. Each is one new order of all active entries.

use customer_settings_contract::customersettings::v1::{Entry, ReorderEntriesRequest};
use serde_json::json;
use tonic::Status;

use super::{
    answer::{self, Answer},
    entries::{catalog_path, catalog_refused, entries_of},
    form::Form,
    problem::Problem,
    routes::page_of,
    visit::Visit,
};
use crate::status::Page;

/// Before the id in the name of the field of a row's place.
const PLACE: &str = "to.";

/// Puts entries where the form says.
pub(super) async fn reorder(visit: &Visit<'_>) -> Answer {
    let ids = match visit.form.find("ids") {
        // Our script knows the whole order.
        Some(ids) => ids.split(',').map(str::to_owned).collect(),
        None => {
            let list = entries_of(visit, String::new(), false).await?;
            let ids: Vec<String> = list.entries.into_iter().map(|entry| entry.id).collect();
            // Of a list that changed since, this is told instead.
            let wrong =
                wrong_place(&ids, &visit.form).filter(|_| list.etag == visit.form.get("etag"));
            if let Some(place) = wrong {
                let text =
                    format!("Nothing was moved yet. A place is a number from 1 to {}.", ids.len());
                let problem = Problem { text, place: Some(place), ..Problem::default() };
                return catalog_refused(visit, &Status::invalid_argument(""), problem).await;
            }
            moved(ids, &visit.form)
        }
    };
    save(visit, ids, "move the entry").await
}

/// Puts all entries into the order of their names.
pub(super) async fn sort(visit: &Visit<'_>) -> Answer {
    let mut entries = entries_of(visit, String::new(), false).await?.entries;
    let name = |entry: &Entry| entry.name.as_deref().unwrap_or_default().to_lowercase();
    entries.sort_by_cached_key(name);
    save(visit, entries.into_iter().map(|entry| entry.id).collect(), "sort it").await
}

/// Saves the order. `what` says what a person may do again after a conflict.
async fn save(visit: &Visit<'_>, ids: Vec<String>, what: &str) -> Answer {
    let ask = ReorderEntriesRequest {
        company_id: visit.part(0).to_owned(),
        collection: visit.part(1).to_owned(),
        ids,
        etag: visit.form.get("etag").to_owned(),
        request_id: visit.form.get("request").to_owned(),
        validate_only: false,
    };
    match visit.entries().reorder_entries(visit.ask(ask)).await {
        Ok(saved) if visit.is_script => {
            let (metadata, list, _) = saved.into_parts();
            let done = visit.what_was_done(&metadata).await;
            let undo = done.strip_prefix("changed=").filter(|_| visit.may.undo);
            let undo = undo.map(|it| format!("{}/history/{it}/undo", visit.company_path()));
            let told = json!({
                "etag": list.etag,
                "request": Visit::new_request(),
                "revision": list.revision,
                "undo": undo,
                "next": page_of(&visit.path),
            });
            Ok(answer::json(Page::Shown, &told))
        }
        Ok(saved) => Ok(visit.done(saved.metadata(), &catalog_path(visit)).await),
        Err(status) => refused(visit, &status, what).await,
    }
}

async fn refused(visit: &Visit<'_>, status: &Status, what: &str) -> Answer {
    let mut problem = visit.problem_of(status, &[], (visit.part(1), "")).await;
    if visit.is_script && problem.is_conflict() {
        let text = format!("{} Look at the list as it is now, and {what} again.", problem.told());
        let told = json!({"text": text, "link": "Show it as it is now"});
        return Ok(answer::json(Page::Refused(status), &told));
    }
    if visit.is_script {
        return Ok(visit.refused(status).await);
    }
    if problem.is_conflict() {
        problem.text += &format!(" Here is the list as it is now: please {what} again.");
    }
    catalog_refused(visit, status, problem).await
}

/// The id of the first row whose place is none of the list, with the text that was typed there.
fn wrong_place(ids: &[String], form: &Form) -> Option<(String, String)> {
    if form.find("up").or(form.find("down")).is_some() {
        return None;
    }
    form.pairs().iter().find_map(|(name, typed)| {
        let id = name.strip_prefix(PLACE).filter(|id| ids.iter().any(|known| known == id))?;
        let is_place = typed.trim().parse().is_ok_and(|place| (1..=ids.len()).contains(&place));
        (!is_place).then(|| (id.to_owned(), typed.clone()))
    })
}

/// The order after the move that the form asks for.
fn moved(mut ids: Vec<String>, form: &Form) -> Vec<String> {
    let at = |ids: &[String], id: &str| ids.iter().position(|known| known == id);
    if let Some(from) = form.find("up").and_then(|id| at(&ids, id)) {
        ids.swap(from, from.saturating_sub(1));
        return ids;
    }
    if let Some(from) = form.find("down").and_then(|id| at(&ids, id)) {
        let to = (from + 1).min(ids.len() - 1);
        ids.swap(from, to);
        return ids;
    }
    // The rows whose places were written over, each in its turn.
    let before = ids.clone();
    for (name, place) in form.pairs() {
        let Some(id) = name.strip_prefix(PLACE) else { continue };
        let (Some(was), Ok(place)) = (at(&before, id), place.trim().parse::<usize>()) else {
            continue;
        };
        let to = place.clamp(1, ids.len()) - 1;
        if was != to
            && let Some(from) = at(&ids, id)
        {
            let id = ids.remove(from);
            ids.insert(to, id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_moves_up_down_and_to_a_place() {
        let after = |form: &str| {
            let ids = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
            moved(ids, &Form::parse(form.as_bytes())).join("")
        };
        assert_eq!(after("up=b"), "bacd");
        assert_eq!(after("up=a"), "abcd");
        assert_eq!(after("down=d"), "abcd");
        assert_eq!(after("down=c"), "abdc");
        assert_eq!(after("up=x"), "abcd");
        assert_eq!(after("to.a=1&to.b=2&to.c=3&to.d=1&place="), "dabc");
    }

    #[test]
    fn a_place_is_a_number_of_the_list() {
        let wrong = |form: &str| {
            let ids = ["a", "b", "c"].map(str::to_owned);
            wrong_place(&ids, &Form::parse(form.as_bytes()))
        };
        for right in ["to.a=1&to.b=3", "to.a=+2+", "to.x=9", "to.a=x&up=b", "ids=a"] {
            assert_eq!(wrong(right), None, "{right}");
        }
        for text in ["0", "4", "-3", "abc", "", "1.5"] {
            let found = wrong(&format!("to.b=2&to.c={text}"));
            assert_eq!(found, Some(("c".to_owned(), text.to_owned())));
        }
    }
}
