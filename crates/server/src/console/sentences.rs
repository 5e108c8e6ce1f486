//! The sentences of the console that tell no change: of what was done, and of refusals whose message of the API has words
//! of programs.

use std::collections::HashMap;

use super::words::{Words, quoted, scope};
use crate::catalog::entry::MAX_ENTRIES;

/// The sentence for an action that no change of a company tells.
pub(super) fn done(code: &str) -> Option<&'static str> {
    Some(match code {
        "saved" | "key-saved" => "Saved.",
        "nothing" => "Nothing was changed.",
        "ordered" => "The list is in another order now.",
        "undone" => "The change was undone.",
        "went-back" => "The company is as it was at that moment again.",
        "lines" => "All lines were done, as the page showed them.",
        "brought" => "The lists were brought in, as the page showed.",
        "away" => "The company was put away. To undo it, press “Take back”.",
        "back" => "The company was taken back.",
        "signed-out" => "You are signed out.",
        "ended" => "The session was ended.",
        "revoked" => "Revoked. It stops working within a second, everywhere.",
        "own-over" => "Your session is over.",
        "own-revoked" => "Your key was revoked, so you are signed out.",
        "own-expired" => "Your key came to its end, so you are signed out.",
        "own-rotated" => "Your key has another secret now, so you are signed out.",
        "own-elsewhere" => {
            "Your key may not be used from the network address at which you are now. Go back to where you may use it, or use \
             another key."
        }
        "company-made" => {
            "The company was made. Next, fill its lists: each has ideas to begin with, and “Company” brings in lists that you \
             have already."
        }
        _ => return None,
    })
}

/// The sentence for an action on a thing with that noun and name.
pub(super) fn done_to(code: &str, one: &str, name: &str) -> Option<String> {
    let name = quoted(name);
    Some(match code {
        "added" => format!("Added the {one} {name}."),
        "saved" => format!("Saved the {one} {name}."),
        "away" => format!(
            "Put away the {one} {name}. To undo it, open it among those put away, and press “Take back”."
        ),
        "back" => format!("Took back the {one} {name}."),
        _ => return None,
    })
}

/// The sentence for a reason whose message of the API has words of programs.
pub(super) fn plain(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "REQUEST_ID_REUSED" => {
            "This form was sent before with other words, and that was carried out. Send it again to do this as well."
        }
        "DEFAULT_NEEDED" => "This is the default: choose the one that becomes it.",
        "NAME_TAKEN" => "This name is taken: another one in the list has it.",
        "MIRRORED" => {
            "This company is a mirror, and this belongs to the account that it comes from: change it there, and the mirror \
             brings it here. Nothing was saved."
        }
        "CHANGED_SINCE" => {
            "This was changed again since, so it cannot be undone by itself. Undo the later changes first, or change it \
             by hand."
        }
        "UNKNOWN_KEY" => {
            "Nobody has this key: check that it was copied whole, or ask whoever gave it to you for a new one."
        }
        "KEY_ROTATED" => "This key was replaced by a newer one: use that.",
        "NOT_COVERED" => "Your key is not for this company, or there is no such company.",
        "ID_TAKEN" => {
            "This id is taken: choose another one. An id is never given again, not even after a deletion."
        }
        "KEY_NOT_WITHIN" => {
            "This key may do more than yours, so you can neither see nor change it: ask somebody who may do more."
        }
        "FIRST_CHANGE" => "This change made the company. Put the company away instead.",
        "MISSING_SCOPE" | "NOT_COVERING_ALL" => NOT_YOURS,
        "NOT_FOUND" => "This is not there: perhaps it was deleted, or the address was cut off.",
        "CONTENDED" => "Others change this all the time, and nothing was saved. Please try again.",
        "DEADLINE_EXCEEDED" => {
            "This took too long. Look whether it was done before you try it again."
        }
        "OUTCOME_UNKNOWN" => {
            "The database broke off while this was saved, so nobody knows whether it was done."
        }
        "KEY_RATE_LIMIT" => "Your key is used too often just now.",
        "NOT_BEGUN" => "There is too much to do just now, and nothing was done. Please try again.",
        "INTERNAL" => "Something went wrong here. Those who run this can find out what it was.",
        _ => return None,
    })
}

/// The field of a key's form that asks for more than the person's own key has, and why that cannot be. From what the
/// API's refusal says of the restriction.
pub(super) fn not_within(metadata: &HashMap<String, String>) -> Option<(&'static str, String)> {
    let (restriction, own) = (metadata.get("restriction")?, metadata.get("own")?);
    Some(match restriction.as_str() {
        "scopes" => {
            let told: Vec<String> = own.split(", ").map(|name| quoted(scope(name))).collect();
            ("scope", format!("You can allow only what you may do yourself: {}.", told.join(", ")))
        }
        "companies" => ("companies", format!("You can choose only among your own companies: {own}.")),
        "addresses" => {
            ("addresses", format!("Your own key works only from {own}: give addresses within that."))
        }
        "expiry" => {
            let told = match own.split_once('T') {
                Some((day, "23:59:59Z")) => {
                    format!("Your own key ends with {day}: give that day, or one before.")
                }
                Some((day, time)) => {
                    let time = time.get(..5).unwrap_or(time);
                    format!("Your own key ends on {day} at {time} UTC: give a day before that.")
                }
                None => format!("Your own key ends at {own}: give a day before that."),
            };
            ("expires", told)
        }
        _ => (
            "staff",
            "You can give only your own short name, unless you may act in the name of any staff member.".to_owned(),
        ),
    })
}

/// The description of a wrong value in words of people, from the reason and the description of the API.
pub(super) fn described(reason: &str, description: &str) -> String {
    match reason {
        "MALFORMED_ID" => {
            "may have letters, digits, underscores and hyphens, at most 64, and nothing else"
                .to_owned()
        }
        "IN_THE_PAST" => {
            "is over already: give a later one, or revoke the key to end it at once".to_owned()
        }
        "CONTROL_CHARACTER" => match description.rsplit_once("U+") {
            Some((_, code)) => format!("has {} (U+{code}): type it anew", character(code)),
            None => description.to_owned(),
        },
        "AMBIGUOUS_RENAME" => match former(description) {
            Some(name) => format!(
                "does not tell which one is meant: {} is another one in the list. To make one of the two, put away the one \
                 that shall go, and take its name out of the former names. To keep both, write both into the list",
                quoted(name)
            ),
            None => description.to_owned(),
        },
        "ID_TAKEN" => match description.split_once(" belongs to an entry that was deleted") {
            Some((id, _)) => format!(
                "{id} belongs to an entry that was deleted, perhaps by an “Undo”, and is never given again. Take the ids (the \
                 column “id”, or the lines with “id”) out of the file, and others are given; or undo that “Undo” in the history"
            ),
            None => description.to_owned(),
        },
        _ => description.to_owned(),
    }
}

/// The former name in a description that tells the ids of two entries.
fn former(description: &str) -> Option<&str> {
    let (before, _) = description.rsplit_once("\" is the active entry ")?;
    Some(before.split_once('"')?.1)
}

/// A character that nobody sees, by its number in Unicode.
fn character(code: &str) -> &'static str {
    match u32::from_str_radix(code, 16).unwrap_or_default() {
        0x09 => "a tab",
        0x0A | 0x0D | 0x85 | 0x2028 | 0x2029 => "a line break",
        0x202A..=0x202E | 0x2066..=0x2069 => {
            "an invisible character that turns the direction of text"
        }
        _ => "an invisible control character",
    }
}

/// The sentence for addresses from which a person could not use the own key any more, where it is used now.
pub(super) fn not_from_here(here: &str) -> String {
    format!("This is your own key, and you are at {here}: add it, or use another key.")
}

/// The sentence for scopes without which a person could not change the own key any more.
pub(super) fn own_key_needs() -> String {
    let [see, change] = [scope("keys:read"), scope("keys:write")].map(quoted);
    format!(
        "This is your own key, and you could not take this back without {see} and {change}: leave both, or use another key."
    )
}

/// The sentence for a key that may change, or see who changed, things that it may not see. `missing` are the scopes that
/// it needs as well.
pub(super) fn needs_seeing(missing: &[&str]) -> String {
    let told: Vec<String> = missing.iter().map(|name| quoted(scope(name))).collect();
    format!(
        "Changing something needs seeing it as well, and seeing who changed what needs seeing lists and companies: mark \
         {} too.",
        told.join(" and ")
    )
}

/// The sentence for a name that an entry cannot have again.
pub(super) fn taken(name: &str) -> String {
    let name = quoted(name);
    format!("The name {name} is taken: another one in the list has it now. Rename that one first.")
}

/// The sentence for a new entry with the name of one that is put away.
pub(super) fn put_away(name: &str) -> String {
    let name = quoted(name);
    format!(
        "{name} is put away: take it back instead, or press “Add” again for a second one of this name."
    )
}

/// The question above so many lines that are carried out. Where the person chooses in them, it names no act.
pub(super) fn lines(words: &Words, good: usize, has_choice: bool) -> String {
    match (good, has_choice) {
        (0, _) => format!("No {} can be added", words.one),
        (1, true) => format!("Go on with this {}?", words.one),
        (_, true) => format!("Go on with these {good} {}?", words.many),
        (1, false) => format!("Add 1 {}?", words.one),
        (_, false) => format!("Add {good} {}?", words.many),
    }
}

/// The button below lines of which so many are carried out, and so many are not. One that names no act is right whatever
/// the person chooses in the lines.
pub(super) fn lines_button(good: usize, wrong: usize, has_choice: bool) -> String {
    if wrong == 0 {
        let told = match (has_choice, good) {
            (true, _) => "Do this",
            (false, 1) => "Add it",
            (false, _) => "Add all",
        };
        return told.to_owned();
    }
    let act = if has_choice { "Do this for" } else { "Add" };
    let others = if good == 1 { "one".to_owned() } else { good.to_string() };
    let without = if wrong == 1 { "this line".to_owned() } else { format!("these {wrong}") };
    format!("{act} the other {others}, without {without}")
}

/// The sentence for a list that takes no more entries.
pub(super) fn full(words: &Words) -> String {
    let title = quoted(words.title);
    format!(
        "The list {title} is full: it has {MAX_ENTRIES} entries, counting those put away. To make room, ask those who run \
         this to delete some that are put away, with “customer-settings entry delete”."
    )
}

/// The answer where a page is not offered, and somebody asks for it all the same.
pub(super) const NOT_YOURS: &str = "Your key does not allow this: ask whoever gave it to you.";

/// The answer where a company has no such change, as an address says it that was cut off.
pub(super) const NO_MOMENT: &str =
    "There is no such moment in the history of this company: perhaps the address was cut off.";

/// The answer to a form that made its link already.
pub(super) const LINK_AGAIN: &str = "A link was made since that page was opened, and a link is shown only once. If it is \
    lost, go on and make another one: the one from before stops working then.";

/// The sentence for a form about a thing that somebody put away meanwhile.
pub(super) const PUT_AWAY: &str = "Somebody put this away since you opened the page, so nothing was saved. To change it, \
    take it back first.";

/// The answer to a form that made its secret already.
pub(super) const SECRET_AGAIN: &str = "The key was shown when this form was sent first, and nobody stores it. If it is \
    lost, go on and make a new secret: the one from before stops working then.";

/// The sentence for a form that took too long, before that which says that it can be sent again.
pub(super) const TOO_LATE: &str = "This took too long.";

/// The sentence for a form that was refused for a reason of the moment, after that which says why.
pub(super) const SEND_AGAIN: &str = "Your form is still here, with all that you typed. Send it again in a moment: it is \
    carried out once, also if it was carried out just now.";

/// The answer to a form that is longer than forms may be.
pub(super) const TOO_LONG: &str = "The form is too long, so nothing was done: send it in parts.";

/// The answer to a form that did not come whole.
pub(super) const CUT_OFF: &str = "The form was cut off, so nothing was done. Load this page again, and your browser sends the \
    form again.";

/// The sentence for a form that waits for a sign-in, after that which says why.
pub(super) const KEPT: &str =
    "Sign in, and you can send your form after that: nothing of it is lost.";

/// The same where somebody said to be signed in, before it.
pub(super) const NOT_YET: &str = "You are not signed in yet, so your form was not sent. ";

/// The sentence for a form that is older than the thing it is about.
pub(super) fn conflict(is_own: bool) -> &'static str {
    match is_own {
        true => {
            "You changed this yourself since you opened the page, perhaps in another window. Nothing was saved yet."
        }
        false => "Somebody else changed this since you opened the page. Nothing was saved yet.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::words::CATALOGS;

    #[test]
    fn lines_are_asked_about_by_their_numbers() {
        let [tags, ..] = &CATALOGS;
        for (good, has_choice, question) in [
            (0, false, "No tag can be added"),
            (1, false, "Add 1 tag?"),
            (2, false, "Add 2 tags?"),
            (0, true, "No tag can be added"),
            (1, true, "Go on with this tag?"),
            (2, true, "Go on with these 2 tags?"),
        ] {
            assert_eq!(lines(tags, good, has_choice), question);
        }
        for (good, wrong, has_choice, button) in [
            (1, 0, false, "Add it"),
            (2, 0, false, "Add all"),
            (1, 0, true, "Do this"),
            (2, 0, true, "Do this"),
            (1, 1, false, "Add the other one, without this line"),
            (3, 2, false, "Add the other 3, without these 2"),
            (1, 2, true, "Do this for the other one, without these 2"),
            (2, 1, true, "Do this for the other 2, without this line"),
        ] {
            assert_eq!(lines_button(good, wrong, has_choice), button);
        }
    }
}
