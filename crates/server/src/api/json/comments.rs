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

/// Cuts a comment into its first paragraph, without its full stop, and the rest.
pub(crate) fn summary(comment: &str) -> (&str, &str) {
    let (first, rest) = comment.split_once("\n\n").unwrap_or((comment, ""));
    (first.strip_suffix('.').unwrap_or(first), rest)
}
