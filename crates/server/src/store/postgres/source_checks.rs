//! The last comparisons of companies with their sources.

use async_trait::async_trait;
use tokio_postgres::types::ToSql;

use super::{PostgresStore, columns::Result, companies::covered};
use crate::{
    catalog::{
        access::{CoveredGrant, Grant},
        company::ShortText,
        id::CompanyId,
        source::SourceCheck,
    },
    store::{SourceChecks, damages::Place, forms},
};

#[async_trait]
impl SourceChecks for PostgresStore {
    async fn leave_source_check(&self, grant: &Grant, check: &SourceCheck) -> Result<()> {
        let sql = "INSERT INTO source_checks (company_id, checked_time, changed, problems, held_back)
                   SELECT id, $2, $3, $4, coalesce($5::text, '') FROM companies WHERE id = $1
                   ON CONFLICT (company_id) DO UPDATE SET
                       checked_time = excluded.checked_time, changed = excluded.changed,
                       problems = excluded.problems, held_back = coalesce($5::text, source_checks.held_back)";
        let (id, time) = (grant.stream().id(), check.checked_time.as_micros());
        let problems = check.problems.as_str();
        let held_back = check.held_back.as_ref().map(ShortText::as_str);
        let values: [&(dyn ToSql + Sync); 5] =
            [&id, &time, &check.is_changed, &problems, &held_back];
        let leave = async { self.pool.query(sql, &values).await.map(drop) };
        self.write("leave_source_check", Place::SOURCE_CHECKS, leave).await
    }

    async fn source_checks(
        &self,
        grant: &CoveredGrant,
        ids: &[CompanyId],
    ) -> Result<Vec<(CompanyId, SourceCheck)>> {
        let (is_covered, list) = covered(grant.coverage(), "company_id");
        let sql = format!(
            "SELECT company_id, checked_time, changed, problems, held_back FROM source_checks
             WHERE company_id = ANY ($2::text[]) AND {is_covered}"
        );
        let ids: Vec<&str> = ids.iter().map(CompanyId::as_str).collect();
        let values: [&(dyn ToSql + Sync); 2] = [&list, &ids];
        self.read("source_checks", Place::SOURCE_CHECKS, &sql, &values, forms::source_check).await
    }
}
