//! Pages of the management API's lists: the number of rows, the place after which the page begins, and the
//! tokens that carry both.
//!
//! A token holds the place of the last row that was looked at, not a number of rows. So rows that are added or archived
//! in between neither double nor hide another row, and the page size may change. A digest binds the token to the list
//! and its arguments. (The compatible lists have page numbers instead, in `service/companies.rs`.)

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::catalog::{
    entry::Revision,
    error::{Error, Result, Violations},
    stream::LinePlace,
    time::Timestamp,
};

/// The bytes of the digest that a token has. Nine are enough, since a token gives nobody a right.
const DIGEST_BYTES: usize = 9;
/// The most bytes of a page's messages. The page ends before the row that would exceed them.
pub(super) const MAX_PAGE_BYTES: usize = 2 << 20;

/// The page sizes that a list accepts.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) most: u16,
    /// The size that 0 stands for.
    default: u16,
}

/// For companies, locations and keys.
pub(crate) const ROWS: Sizes = Sizes { most: 500, default: 500 };
/// For entries: a whole catalog.
pub(crate) const ENTRIES: Sizes = Sizes { most: 1_000, default: 1_000 };
/// For the lines of a change log.
pub(super) const CHANGES: Sizes = Sizes { most: 500, default: 100 };

impl Sizes {
    /// The largest page.
    pub(super) fn most(self) -> u16 {
        self.most
    }
}

/// The page of a list that a request asks for.
pub(crate) struct Asked {
    size: u16,
    digest: [u8; DIGEST_BYTES],
    place: Option<String>,
}

impl Asked {
    /// Parses the size and the token of a request. `query` is the rest of the request.
    pub(crate) fn parse(
        method: &str,
        query: &impl Message,
        (size, token): (i32, &str),
        Sizes { most, default }: Sizes,
    ) -> Result<Self> {
        let mut wrong = Violations::default();
        let size = wrong.check(match u16::try_from(size) {
            Ok(0) => Ok(default),
            Ok(size) if size <= most => Ok(size),
            _ => {
                let description = format!("must be 1 to {most}, or 0 for {default}");
                Err(Error::invalid("page_size", "OUT_OF_RANGE", description))
            }
        });
        let mut hash = Sha256::new_with_prefix(method);
        hash.update([0]);
        hash.update(query.encode_to_vec());
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hash.finalize()[..DIGEST_BYTES]);
        let place = match token {
            "" => None,
            token => wrong.check(Self::place_in(token, digest)),
        };
        wrong.finish(|| Some(Self { size: size?, digest, place }))
    }

    fn place_in(token: &str, own: [u8; DIGEST_BYTES]) -> Result<String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed())?;
        let (digest, place) = bytes.split_first_chunk().ok_or_else(malformed)?;
        if *digest != own {
            let description = "belongs to another list, or to this one with other arguments; only page_size may \
                               change: ask for the first page without a token";
            return Err(Error::invalid("page_token", "OTHER_ARGUMENTS", description));
        }
        String::from_utf8(place.to_vec()).map_err(|_| malformed())
    }

    /// The most rows of the page.
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// The place after which the page begins; none on the first page. `read` gets the words of the place that
    /// [`Asked::token`] took. The last of `words` words holds all that follows.
    pub(crate) fn after<T>(
        &self,
        words: usize,
        read: impl FnOnce(&[&str]) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(place) = &self.place else { return Ok(None) };
        let words: Vec<&str> = place.splitn(words, ' ').collect();
        read(&words).map(Some).ok_or_else(malformed)
    }

    /// The token of the page after a place.
    pub(crate) fn token(&self, place: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.digest[..], place.as_bytes()].concat())
    }

    /// The line before which the page of a log begins; none on the first page.
    pub(super) fn before(&self) -> Result<Option<LinePlace>> {
        self.after(3, |words| {
            let [time, revision, of] = words else { return None };
            let time = Timestamp::from_micros(time.parse().ok()?);
            let revision = Revision(revision.parse().ok()?);
            Some(LinePlace { time, revision, of: (*of).to_owned() })
        })
    }

    /// The token of the page of a log before a line; empty if there is no such page.
    pub(super) fn before_token(&self, place: Option<LinePlace>) -> String {
        let token = |LinePlace { time, revision, of }| {
            self.token(&format!("{} {revision} {of}", time.as_micros()))
        };
        place.map(token).unwrap_or_default()
    }

    /// An empty page.
    pub(super) fn page<M>(&self) -> Page<M> {
        Page { rows: Vec::new(), most: self.size.into(), bytes: 0 }
    }

    /// A page of the first rows, with the token of the next page if there are more rows.
    pub(super) fn cut<R, M: Message>(
        &self,
        rows: &[R],
        show: impl Fn(&R) -> M,
        place: impl Fn(&R) -> String,
    ) -> (Vec<M>, String) {
        let mut page = self.page();
        let taken = rows.iter().take_while(|row| page.takes(show(*row))).count();
        let last = rows[..taken].last().filter(|_| taken < rows.len());
        (page.rows, last.map(|row| self.token(&place(row))).unwrap_or_default())
    }
}

pub(super) struct Page<M> {
    pub(super) rows: Vec<M>,
    most: usize,
    bytes: usize,
}

impl<M: Message> Page<M> {
    /// Takes one more row if there is room for it. The first row always fits, or a list would never get past it.
    pub(super) fn takes(&mut self, row: M) -> bool {
        let bytes = self.bytes + row.encoded_len();
        let fits = self.rows.len() < self.most && (bytes <= MAX_PAGE_BYTES || self.rows.is_empty());
        if fits {
            self.bytes = bytes;
            self.rows.push(row);
        }
        fits
    }
}

impl<M> Page<M> {
    /// Skips a row that cannot be shown, if there is room for one more row.
    pub(super) fn passes(&mut self) -> bool {
        let fits = self.rows.len() < self.most;
        self.most -= usize::from(fits);
        fits
    }
}

fn malformed() -> Error {
    let description = "must be the next_page_token of the page before";
    Error::invalid("page_token", "MALFORMED_PAGE_TOKEN", description)
}

#[cfg(test)]
mod tests {
    use customer_settings_contract::customersettings::v1::{Company, ListCompaniesRequest};

    use super::*;

    fn asked(method: &str, show_archived: bool, page: (i32, &str)) -> Result<Asked> {
        let query = ListCompaniesRequest { show_archived, ..Default::default() };
        Asked::parse(method, &query, page, ROWS)
    }

    #[test]
    fn a_token_is_bound_to_its_list_and_arguments_but_not_to_the_page_size() {
        let token = asked("ListCompanies", false, (0, "")).unwrap().token("cmp_1 A name");
        let read = |words: &[&str]| Some(words.join("|"));
        for size in [0, 1, 500] {
            let asked = asked("ListCompanies", false, (size, &token)).unwrap();
            assert_eq!(asked.after(2, read).unwrap(), Some("cmp_1|A name".to_owned()));
        }
        let reason = |asked: Result<Asked>| match asked.map(drop).unwrap_err() {
            Error::Invalid(violations) => (violations[0].field.clone(), violations[0].reason),
            other => panic!("{other:?}"),
        };
        let field = "page_token".to_owned();
        for other in
            [asked("ListCompanies", true, (0, &token)), asked("ListKeys", false, (0, &token))]
        {
            assert_eq!(reason(other), (field.clone(), "OTHER_ARGUMENTS"));
        }
        for bad in ["2", "x", "AAAA", "=", "ü"] {
            let bad = asked("ListCompanies", false, (0, bad));
            assert_eq!(reason(bad), (field.clone(), "MALFORMED_PAGE_TOKEN"));
        }
    }

    #[test]
    fn a_page_ends_at_its_size_and_at_its_bytes() {
        let company = |bytes: usize| Company { id: "a".repeat(bytes), ..Default::default() };
        // The number of rows on the page, and whether there are more.
        let cut = |size: i32, rows: &[usize]| {
            let mut page = asked("ListCompanies", false, (size, "")).unwrap().page();
            // 0 bytes stand for a row that cannot be shown.
            let takes = |bytes: &&usize| match **bytes {
                0 => page.passes(),
                bytes => page.takes(company(bytes)),
            };
            let taken = rows.iter().take_while(takes).count();
            (page.rows.len(), taken < rows.len())
        };
        assert_eq!(cut(2, &[1, 1]), (2, false));
        assert_eq!(cut(2, &[1, 1, 1]), (2, true));
        assert_eq!(cut(9, &[]), (0, false));
        assert_eq!(cut(2, &[0, 1, 1]), (1, true));
        assert_eq!(cut(1, &[0, 1]), (0, true));
        assert_eq!(cut(2, &[1, 0]), (1, false));
        let half = MAX_PAGE_BYTES / 2 - 4;
        assert_eq!(cut(9, &[half, half]), (2, false));
        assert_eq!(cut(9, &[half, half, half]), (2, true));
        assert_eq!(cut(9, &[2 * MAX_PAGE_BYTES, 1]), (1, true));
    }
}
