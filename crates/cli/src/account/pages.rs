//! The pages of a list: whether another one is asked for, and when the list is not believed. Nothing here asks.

use std::collections::HashSet;

use customer_settings_server::service::document::quoted;

/// The most pages of a list.
const MOST_PAGES: usize = 1_000;
/// The most pages in a row that have nothing and name a next page.
const MOST_EMPTY: usize = 20;

/// The pages of one list so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The tokens of the pages after the first one.
    tokens: HashSet<String>,
    /// The pages without an item since the last one that has some.
    empty: usize,
}

impl Pages {
    /// Decides after a page of so many items, which names a next page or none: the page to ask for. The error says why the
    /// pages would not end.
    pub(super) fn next(
        &mut self,
        items: usize,
        named: Option<String>,
    ) -> Result<Option<String>, String> {
        let Some(token) = named else { return Ok(None) };
        self.empty = if items == 0 { self.empty + 1 } else { 0 };
        let endless = |why: String| Err(format!("the pages do not end: {why}"));
        if self.empty == MOST_EMPTY {
            return endless(format!("{MOST_EMPTY} in a row are empty, and each names a next one"));
        }
        if !self.tokens.insert(token.clone()) {
            return endless(format!("two of them name {} as the next one", quoted(&token)));
        }
        match self.tokens.len() {
            MOST_PAGES => endless(format!("there are more than {MOST_PAGES}")),
            _ => Ok(Some(token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of pages that are read of an account whose page `n` has so many items and names the page of the token.
    fn read(items: impl Fn(usize) -> usize, next: impl Fn(usize) -> String) -> (usize, String) {
        let mut pages = Pages::default();
        for page in 1.. {
            match pages.next(items(page), Some(next(page)).filter(|token| !token.is_empty())) {
                Ok(Some(token)) => assert_eq!(token, next(page)),
                Ok(None) => return (page, String::new()),
                Err(problem) => return (page, problem),
            }
        }
        unreachable!("pages have a bound")
    }

    #[test]
    fn pages_end_with_the_one_that_names_no_other() {
        let until = |last: usize| {
            move |page: usize| if page < last { page.to_string() } else { String::new() }
        };
        assert_eq!(read(|_| 0, until(1)), (1, String::new()));
        assert_eq!(read(|_| 1, until(MOST_PAGES)), (MOST_PAGES, String::new()));
        assert_eq!(read(|_| 0, until(MOST_EMPTY)), (MOST_EMPTY, String::new()));
        // An account may choose the things of a page after it cut the pages.
        let some = |page: usize| usize::from(page.is_multiple_of(MOST_EMPTY));
        assert_eq!(read(some, until(MOST_PAGES)), (MOST_PAGES, String::new()));
    }

    #[test]
    fn pages_that_do_not_end_are_not_read_for_ever() {
        let number = |page: usize| page.to_string();
        let end = "the pages do not end: ";
        let empty = format!("{end}20 in a row are empty, and each names a next one");
        assert_eq!(read(|_| 0, number), (20, empty.clone()));
        assert_eq!(read(|page| usize::from(page == 1), number), (21, empty));
        assert_eq!(read(|_| 1, number), (1_000, format!("{end}there are more than 1000")));
        let same = format!(r#"{end}two of them name "a" as the next one"#);
        assert_eq!(read(|_| 1, |_| "a".to_owned()), (2, same));
        let circle = |page: usize| (page % 3).to_string();
        assert_eq!(read(|_| 1, circle).0, 4);
    }
}
