//! The countries that a form offers, by their names: nobody needs to know a code, and no name is taken for another one.

use std::sync::LazyLock;

/// A country in a list to choose from.
pub(super) struct Choice<'a> {
    /// Its code.
    pub(super) value: &'a str,
    pub(super) name: &'a str,
    pub(super) is_chosen: bool,
}

/// Codes and names, in the order of the names.
static COUNTRIES: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
    let mut all: Vec<_> =
        rust_iso3166::ALL.iter().map(|country| (country.alpha2, country.name)).collect();
    // The name of Åland begins with a letter that belongs to the A.
    all.sort_by_key(|(_, name)| name.replace('Å', "A"));
    all
});

/// Every country, and the text that was sent or stored if it is none of them.
pub(super) fn options(chosen: &str) -> Vec<Choice<'_>> {
    let is_chosen = |code: &str| code.eq_ignore_ascii_case(chosen);
    let other = (!chosen.is_empty() && !COUNTRIES.iter().any(|(code, _)| is_chosen(code)))
        .then_some(Choice { value: chosen, name: chosen, is_chosen: true });
    let all = COUNTRIES.iter().map(|(code, name)| Choice {
        value: code,
        name,
        is_chosen: is_chosen(code),
    });
    other.into_iter().chain(all).collect()
}
