//! The comments of `.proto` files as text for people.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;

/// Every comment of a contract, found by file and place.
pub(crate) struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub(crate) fn read(pool: &DescriptorPool) -> Self {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let Some(info) = &file.file_descriptor_proto().source_code_info else { continue };
            for location in &info.location {
                if let Some(comment) = &location.leading_comments {
                    comments.insert(
                        (file.name().to_owned(), location.path.clone()),
                        unwrapped(comment),
                    );
                }
            }
        }
        Self(comments)
    }

    /// The comment of the declaration at that place; empty if there is none.
    pub(crate) fn of(&self, file: &prost_reflect::FileDescriptor, path: &[i32]) -> &str {
        self.0.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Joins the lines of each paragraph.
fn unwrapped(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    paragraphs.map(|lines| lines.join(" ")).collect::<Vec<_>>().join("\n\n")
}

/// Cuts a comment into a title and the rest. The title is the first sentence as an instruction and without its full
/// stop: "Archives an entry. …" becomes "Archive an entry".
pub(crate) fn title(comment: &str) -> (String, &str) {
    let end = comment.find(". ").into_iter().chain(comment.find(".\n")).min();
    let (first, rest) = match end {
        Some(end) => (&comment[..end], comment[end + 1..].trim_start()),
        None => (comment.strip_suffix('.').unwrap_or(comment), ""),
    };
    let (verb, object) = first.split_once(' ').unwrap_or((first, ""));
    let endings = [("oes", "o"), ("ies", "y"), ("s", "")];
    let verb = endings
        .into_iter()
        .find_map(|(ending, own)| Some(verb.strip_suffix(ending)?.to_owned() + own))
        .unwrap_or_else(|| verb.to_owned());
    (format!("{verb} {object}").trim_end().to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_a_title_that_says_what_to_do() {
        for (comment, expected) in [
            (
                "Archives an entry. It keeps its id.\n\nMore.",
                ("Archive an entry", "It keeps its id.\n\nMore."),
            ),
            ("Undoes one change.\n\nRefused later.", ("Undo one change", "Refused later.")),
            ("Applies a document.", ("Apply a document", "")),
            ("Gets a key, never its secret.", ("Get a key, never its secret", "")),
            ("", ("", "")),
        ] {
            assert_eq!(title(comment), (expected.0.to_owned(), expected.1));
        }
    }
}
