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
    let (given, most) = (plain(given), |known: &str| (known.len() / 4).max(1));
    let length = given.chars().count();
    let distance = |known: &'a str| {
        let plain = plain(known);
        // Names of other lengths are too far away, which costs less to see.
        let is_near = plain.chars().count().abs_diff(length) <= most(known);
        is_near.then(|| (strsim::damerau_levenshtein(&given, &plain), known))
    };
    let near = known.into_iter().filter_map(distance);
    let near = near.filter(|(distance, known)| *distance <= most(known));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
