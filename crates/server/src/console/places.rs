//! Places of a document in words.

use super::words::{CATALOGS, label, nouns};

/// Tells a sentence about a document with its places in words: `customer_tags[0].color` is the color of tag number 1. People
/// count from 1, documents from 0.
pub(super) fn told(text: &str) -> String {
    let mut told = text.to_owned();
    let lists = CATALOGS.iter().map(|words| words.collection);
    for list in lists.chain(["businesses"]) {
        let mark = format!("{list}[");
        let mut from = 0;
        while let Some(at) = told[from..].find(&mark).map(|at| at + from) {
            from = at + mark.len();
            let Some((number, rest)) = told[from..].split_once(']') else { break };
            let Ok(number) = number.parse::<usize>() else { continue };
            let is_field = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
            let field = rest.strip_prefix('.').unwrap_or_default();
            let field = &field[..field.find(|c| !is_field(c)).unwrap_or(field.len())];
            let thing = format!("{} number {}", nouns(list).0, number.saturating_add(1));
            let (place, rest) = match field {
                "" => (thing, rest),
                _ => {
                    let place = format!("the {} of {thing}", label(field).to_lowercase());
                    (place, &rest[1 + field.len()..])
                }
            };
            let whole = format!("{}{place}{rest}", &told[..at]);
            from = at + place.len();
            told = whole;
        }
    }
    told
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_of_a_document_are_told_as_people_count() {
        for (text, told) in [
            (
                "line 5: customer_tags[0].color must be one",
                "line 5: the color of tag number 1 must be one",
            ),
            ("businesses[11] has no name", "location number 12 has no name"),
            (
                "life_cycles[1].name is that of life_cycles[0].name.",
                "the name of life cycle number 2 is that of the name of life cycle number 1.",
            ),
            ("customer_tags[x] and customer_tags[", "customer_tags[x] and customer_tags["),
            ("nothing to tell", "nothing to tell"),
        ] {
            assert_eq!(super::told(text), told);
        }
    }
}
