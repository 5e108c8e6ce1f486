//! "Did you mean …?": the name that was probably meant.

/// The longest name that is compared.
const MAX_COMPARED_BYTES: usize = 64;

/// The known name that is nearest to the given one, unless the given one is far from all of them. Case, `_`, `-` and
/// blanks make no difference, nor does an ending `ies` for `y`.
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
        // Comparing lengths costs less than computing the distance.
        let is_near = plain.chars().count().abs_diff(length) <= most(known);
        is_near.then(|| (strsim::damerau_levenshtein(&given, &plain), known))
    };
    let near = known.into_iter().filter_map(distance);
    let near = near.filter(|(distance, known)| *distance <= most(known));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}
