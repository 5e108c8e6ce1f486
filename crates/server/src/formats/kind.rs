//! Texts that are no table, told by how they begin. Anything may be a table of one column, so only sure signs count.

use serde::de::IgnoredAny;

/// The advice about every such text.
const READERS: &str = "'customer-settings convert github-labels' reads lists of labels, and 'customer-settings apply' \
                       documents; save a sheet as CSV";

/// Why the text is no table, if it surely is none.
pub(super) fn no_table(text: &str) -> Option<String> {
    let form = match text.trim_start() {
        text if is_json(text) => "JSON",
        text if is_yaml(text) => "YAML",
        _ => return None,
    };
    Some(format!("this is {form}, and no table: {READERS}"))
}

/// Whether the text is a list in JSON, or begins with an object. Other objects may follow, on lines of their own.
fn is_json(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let is_value = matches!(values.next(), Some(Ok(_)));
    is_value && (text.starts_with('{') || (text.starts_with('[') && values.next().is_none()))
}

/// Whether the line has the key that every document has.
pub fn names_companies(line: &str) -> bool {
    let words = ["companies:", "\"companies\":", "'companies':"];
    words.iter().any(|word| line.trim_start().starts_with(word))
}

/// The lines among which the first two of a document are looked for. A file may begin with millions of empty ones.
const MOST_LINES: usize = 1_000;

/// Whether the text begins as YAML does: with the companies of a document, an item of keys, or a key above keys or items.
pub fn is_yaml(text: &str) -> bool {
    let is_said = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    let first = text.lines().take(MOST_LINES);
    let mut lines = first.filter(is_said).filter(|line| !line.starts_with("version:"));
    let has_key = |line: &str| line.contains(": ") || line.trim_end().ends_with(':');
    match (lines.find(|line| line.trim_end() != "---"), lines.next()) {
        (Some(key), _) if names_companies(key) => true,
        (Some(item), _) if item.trim_start().starts_with("- ") => has_key(item),
        (Some(key), Some(below)) => {
            let is_within =
                below.trim_start().starts_with("- ") || (below.starts_with(' ') && has_key(below));
            key.trim_end().ends_with(':') && is_within
        }
        _ => false,
    }
}
