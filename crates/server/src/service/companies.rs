//! Finding companies and businesses (locations), and how they were last compared with their sources.

use std::{collections::HashMap, sync::Arc};

use super::{
    MOST_LOOKED_AT,
    snapshot::{Marks, ServedSnapshot, Snapshots},
};
use crate::{
    catalog::{
        access::Caller,
        company::{Business, Company},
        entry::State,
        error::{Kind, Result, Violation, Violations},
        id::{BusinessId, CompanyId},
        source::{self, SourceCheck},
        time::Timestamp,
    },
    clock::Clock,
    store::{Store, sound},
};

pub use crate::store::CompanyRow;

/// The most rows on a page, and the meaning of a page size of 0.
pub const MAX_PAGE_SIZE: u32 = 500;

/// A page of a list of the compatible surface. Programs count these pages themselves, so tokens are page numbers, and
/// rows that are added between two requests can shift the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    size: u32,
    /// From 1.
    number: u32,
}

impl Page {
    /// Parses a size from 0 (meaning 500) to 500, and a token: none, an empty one, or a page number.
    pub fn parse(size: i32, token: &str) -> Result<Self> {
        let mut wrong = Violations::default();
        let size = wrong.check(match u32::try_from(size) {
            Ok(0) => Ok(MAX_PAGE_SIZE),
            Ok(size) if size <= MAX_PAGE_SIZE => Ok(size),
            _ => {
                let description = format!("must be 1 to {MAX_PAGE_SIZE}, or 0 for {MAX_PAGE_SIZE}");
                Err(Violation::new("pagination.page_size", "OUT_OF_RANGE", description))
            }
        });
        let number = wrong.check(match token {
            "" => Ok(1),
            token => token.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                let description =
                    "must be the next_page_token of the page before, or empty for the first page";
                Violation::new("pagination.page_token", "MALFORMED_PAGE_TOKEN", description)
            }),
        });
        wrong.finish(|| Some(Self { size: size?, number: number? }))
    }

    fn offset(self) -> u64 {
        u64::from(self.number - 1) * u64::from(self.size)
    }

    /// Cuts the page out of all rows.
    fn of<T>(self, rows: impl Iterator<Item = T>) -> Paged<T> {
        let offset = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        self.cut(rows.skip(offset).take(self.size as usize + 1).collect())
    }

    /// Cuts the page out of its rows and one more, which shows whether there is a next page.
    fn cut<T>(self, mut rows: Vec<T>) -> Paged<T> {
        let size = self.size as usize;
        let next = (rows.len() > size).then(|| self.number + 1);
        rows.truncate(size);
        Paged { rows, next_page_token: next.map(|next| next.to_string()).unwrap_or_default() }
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Paged<T> {
    pub rows: Vec<T>,
    /// The number of the next page; empty on the last page.
    pub next_page_token: String,
}

/// Finds companies and businesses.
pub struct CompaniesService {
    store: Arc<dyn Store>,
    snapshots: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
}

impl CompaniesService {
    /// One company is read from its snapshot, lists from the store.
    pub fn new(store: Arc<dyn Store>, snapshots: Arc<Snapshots>, clock: Arc<dyn Clock>) -> Self {
        Self { store, snapshots, clock }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The last comparisons of these companies with their sources, by company. They are missing if they cannot be
    /// read: an answer about companies is better without them than no answer.
    pub async fn source_checks(
        &self,
        caller: &Caller,
        ids: &[CompanyId],
    ) -> HashMap<CompanyId, SourceCheck> {
        if ids.is_empty() {
            return HashMap::new();
        }
        let read = self.store.source_checks(&caller.grant_covered(), ids).await;
        read.unwrap_or_default().into_iter().collect()
    }

    /// Stores a comparison of a company with its source, unless the request is a dry run. Returns the comparison with
    /// what it held back.
    pub async fn report_source_check(
        &self,
        caller: &Caller,
        id: &CompanyId,
        check: SourceCheck,
        validate_only: bool,
    ) -> Result<SourceCheck> {
        let snapshot = self.snapshot(caller, id).await?;
        source::check_has_source(&snapshot.settings.company)?;
        let before = self.source_checks(caller, std::slice::from_ref(id)).await.remove(id);
        if !validate_only {
            self.store.leave_source_check(&caller.grant(id)?, &check).await?;
        }
        let held_back = check.held_back.or_else(|| before.and_then(|before| before.held_back));
        Ok(SourceCheck { held_back, ..check })
    }

    /// The company, archived or not.
    pub async fn get_company(&self, caller: &Caller, id: &CompanyId) -> Result<(Company, Marks)> {
        let snapshot = self.snapshot(caller, id).await?;
        Ok((snapshot.settings.company.clone(), snapshot.marks()))
    }

    /// The active companies that the caller covers, by name and then id. A damaged company is an error, since the
    /// answer has no way to say that one is missing.
    pub async fn list_companies(&self, caller: &Caller, page: Page) -> Result<Paged<Company>> {
        let grant = caller.grant_covered();
        let (offset, limit) = (page.offset(), page.size + 1);
        let rows = self.store.list_companies(&grant, false, None, offset, limit).await?;
        Ok(page.cut(sound(rows)?))
    }

    /// Shows the covered companies behind a name and an id to a page, by name and then id. Archived ones are included
    /// if `show_archived` is set. Ends when `take` refuses a row, or enough rows were looked at; `limit` of them are
    /// read at once. The row of a damaged company names it. Returns the place behind which to go on; `None` at the end.
    pub async fn companies_after(
        &self,
        caller: &Caller,
        show_archived: bool,
        (mut after, limit): (Option<(String, CompanyId)>, u32),
        mut take: impl FnMut(&CompanyRow) -> bool + Send,
    ) -> Result<Option<(String, CompanyId)>> {
        let (grant, mut looked_at) = (caller.grant_covered(), 0);
        while looked_at < MOST_LOOKED_AT {
            let place = after.as_ref().map(|(name, id)| (name.as_str(), id));
            let rows = self.store.list_companies(&grant, show_archived, place, 0, limit).await?;
            let is_last = rows.len() < limit as usize;
            for row in rows {
                if !take(&row) {
                    return Ok(after);
                }
                let place = |held: Company| (held.name.to_string(), held.id);
                after = Some(row.map_or_else(|damaged| damaged.place, place));
            }
            if is_last {
                return Ok(None);
            }
            looked_at += limit;
        }
        Ok(after)
    }

    /// The business with its company, archived or not.
    pub async fn get_business(
        &self,
        caller: &Caller,
        id: &BusinessId,
    ) -> Result<(CompanyId, Business, Marks)> {
        let absent = || caller.absent(Kind::Business, id.as_str());
        let covered = caller.grant_covered();
        let company = self.store.company_of(id).await?.ok_or_else(absent)?;
        // Not the error for a foreign company: the answer must be that for a business that does not exist.
        let grant = covered.grant(&company).ok_or_else(absent)?;
        let snapshot = self.snapshots.get(&grant).await?.ok_or_else(absent)?;
        let business = snapshot.settings.businesses.iter().find(|business| business.id == *id);
        Ok((company, business.ok_or_else(absent)?.clone(), snapshot.marks()))
    }

    /// The active businesses of a company, or of all companies that the caller covers, by name and then id.
    pub async fn list_businesses(
        &self,
        caller: &Caller,
        company: Option<&CompanyId>,
        page: Page,
    ) -> Result<(Paged<(CompanyId, Business)>, Option<Marks>)> {
        let Some(id) = company else {
            let grant = caller.grant_covered();
            let rows = self.store.list_businesses(&grant, page.offset(), page.size + 1).await?;
            return Ok((page.cut(rows), None));
        };
        let snapshot = self.snapshot(caller, id).await?;
        let active = snapshot.settings.businesses.iter().filter(|b| b.state == State::Active);
        let active = active.map(|business| (id.clone(), business.clone()));
        Ok((page.of(active), Some(snapshot.marks())))
    }

    async fn snapshot(&self, caller: &Caller, id: &CompanyId) -> Result<ServedSnapshot> {
        let grant = caller.grant(id)?;
        let snapshot = self.snapshots.get(&grant).await?;
        snapshot.ok_or_else(|| caller.absent(Kind::Company, id.as_str()))
    }
}
