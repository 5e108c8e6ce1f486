//! "Did you mean …?": the name that was probably meant.

/// Nothing longer is compared with the names there are.
const MAX_COMPARED_BYTES: usize = 64;

/// The name among those there are that the given one is nearest to, unless it is far from all of them. Case,
/// `_`, `-`, blanks, and a `y` that several of it write `ies`, make no difference.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let plain = |name: &str| {
        let name = name.replace(['_', '-', ' '], "").to_lowercase();
        match name.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => name,
        }
    };
    let given = plain(given);
    let distance = |known: &str| strsim::damerau_levenshtein(&given, &plain(known));
    let near = known.into_iter().map(|known| (distance(known), known));
    let near = near.filter(|(distance, known)| *distance <= (known.len() / 4).max(1));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
