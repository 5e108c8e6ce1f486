//! The last comparisons of companies with their sources. Each statement runs inside a transaction of its caller.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    columns::{Result, collect},
    companies::covered,
    failure,
};
use crate::{
    catalog::{
        access::{Coverage, CoveredGrant, Grant},
        company::ShortText,
        id::CompanyId,
        source::SourceCheck,
    },
    store::{SourceChecks, damages::Place, forms},
};

#[async_trait]
impl SourceChecks for SqliteStore {
    async fn leave_source_check(&self, grant: &Grant, check: &SourceCheck) -> Result<()> {
        let (company, check) = (grant.company(), check.clone());
        self.write("leave_source_check", Place::SOURCE_CHECKS, move |tx| {
            leave(tx, &company, &check)
        })
        .await
    }

    async fn source_checks(
        &self,
        grant: &CoveredGrant,
        ids: &[CompanyId],
    ) -> Result<Vec<(CompanyId, SourceCheck)>> {
        let (coverage, ids) = (grant.coverage().clone(), ids.to_vec());
        self.read("source_checks", Place::SOURCE_CHECKS, move |tx| checks(tx, &coverage, &ids))
            .await
    }
}

fn leave(tx: &Connection, company: &CompanyId, check: &SourceCheck) -> Result<()> {
    let sql = "INSERT INTO source_checks (company_id, checked_time, changed, problems, held_back)
               SELECT id, ?2, ?3, ?4, coalesce(?5, '') FROM companies WHERE id = ?1
               ON CONFLICT (company_id) DO UPDATE SET
                   checked_time = excluded.checked_time, changed = excluded.changed,
                   problems = excluded.problems, held_back = coalesce(?5, held_back)";
    let (time, problems) = (check.checked_time.as_micros(), check.problems.as_str());
    let held_back = check.held_back.as_ref().map(ShortText::as_str);
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let values = params![company.as_str(), time, check.is_changed, problems, held_back];
    statement.execute(values).map(drop).map_err(failure)
}

/// Deletes the comparison of a company that has no source.
pub(super) fn forget(tx: &Connection, company: &CompanyId) -> Result<()> {
    let mut statement =
        tx.prepare_cached("DELETE FROM source_checks WHERE company_id = ?1").map_err(failure)?;
    statement.execute([company.as_str()]).map(drop).map_err(failure)
}

fn checks(
    tx: &Connection,
    coverage: &Coverage,
    ids: &[CompanyId],
) -> Result<Vec<(CompanyId, SourceCheck)>> {
    let (is_covered, list) = covered(coverage, "company_id");
    let sql = format!(
        "SELECT company_id, checked_time, changed, problems, held_back FROM source_checks
         WHERE company_id IN (SELECT value FROM json_each(?2)) AND {is_covered}"
    );
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows = statement.query(params![list, forms::encode_list(ids)]).map_err(failure)?;
    collect(rows, |row| forms::source_check(row))
}
