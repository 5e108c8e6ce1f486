//! Companies, and the queries about their rows.

use async_trait::async_trait;
use futures_util::future::join5;
use tokio_postgres::{Row, types::ToSql};

use super::{
    PostgresStore,
    columns::{Result, integer},
    error::query_failure,
    ours,
    pool::Lease,
};
use crate::{
    catalog::{
        access::{Coverage, CoveredGrant, Grant},
        company::Business,
        entry::{Catalog, Revision},
        id::{BusinessId, CompanyId, EntryId},
        settings::Settings,
    },
    store::{
        Companies, CompanyRow,
        calls::Call,
        damages::Place,
        forms::{self, Columns},
    },
};

const COMPANY: &str = "id, name, country, timezone, state, source, created_by, created_time, last_updated_by, last_updated_time, \
     last_updated_revision";
/// Each column with its table, since companies have columns of the same names.
const BUSINESS: &str = "businesses.company_id, businesses.id, businesses.name, businesses.contact, businesses.address, \
     businesses.state, businesses.created_by, businesses.created_time, businesses.last_updated_by, \
     businesses.last_updated_time, businesses.last_updated_revision";
const ENTRY: &str = "catalog, id, rank, name, description, color, is_default, state, created_by, created_time, \
     last_updated_by, last_updated_time, last_updated_revision";

#[async_trait]
impl Companies for PostgresStore {
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>> {
        let (is_covered, list) = covered(grant.coverage(), "id");
        let is_shown = if show_archived { "TRUE" } else { "state = 'active'" };
        // Every name sorts after the empty text. Named companies are looked up first: a walk along the names would
        // visit all other companies.
        let looked_up = if list.is_some() { "MATERIALIZED" } else { "NOT MATERIALIZED" };
        let sql = format!(
            "WITH covered AS {looked_up} (SELECT {COMPANY} FROM companies WHERE {is_shown} AND {is_covered})
             SELECT {COMPANY} FROM covered WHERE (name, id) > ($2::text, $3::text)
             ORDER BY name, id LIMIT $4 OFFSET $5"
        );
        let (name, id) = after.map_or(("", ""), |(name, id)| (name, id.as_str()));
        let (limit, offset) = (i64::from(limit), integer(offset));
        let values: [&(dyn ToSql + Sync); 5] = [&list, &name, &id, &limit, &offset];
        self.read("list_companies", Place::COMPANIES, &sql, &values, forms::company_row).await
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>> {
        let (is_covered, list) = covered(grant.coverage(), "businesses.company_id");
        // See `list_companies`.
        let looked_up = if list.is_some() { "MATERIALIZED" } else { "NOT MATERIALIZED" };
        let sql = format!(
            "WITH covered AS {looked_up} (
                 SELECT {BUSINESS} FROM businesses JOIN companies ON companies.id = businesses.company_id
                 WHERE businesses.state = 'active' AND companies.state = 'active' AND {is_covered})
             SELECT * FROM covered ORDER BY name, id LIMIT $2 OFFSET $3"
        );
        let values: [&(dyn ToSql + Sync); 3] = [&list, &i64::from(limit), &integer(offset)];
        self.read("list_businesses", Place::COMPANIES, &sql, &values, forms::business_row).await
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>> {
        let (has_row, list) = covered(grant.coverage(), "id");
        let (has_log, _) = covered(grant.coverage(), "stream_id");
        // Every id sorts after the empty text. Each half has a limit of its own, so that a page reads
        // no more than it needs.
        let sql = format!(
            "SELECT id FROM (
                 (SELECT id FROM companies WHERE id > $2 AND {has_row} ORDER BY id LIMIT $3)
                 UNION
                 (SELECT DISTINCT stream_id FROM changes WHERE stream_kind = 'company' AND stream_id > $2 AND {has_log}
                  ORDER BY stream_id LIMIT $3)
             ) AS found ORDER BY id LIMIT $3"
        );
        let after = after.map_or("", CompanyId::as_str);
        let read = |row: &Row| forms::company_id(row, "id");
        self.read("company_ids", Place::COMPANIES, &sql, &[&list, &after, &i64::from(limit)], read)
            .await
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>> {
        let sql = "SELECT company_id FROM businesses WHERE id = $1";
        let read = |row: &Row| forms::company_id(row, "company_id");
        Ok(self.read("company_of", Place::COMPANIES, sql, &[&business.as_str()], read).await?.pop())
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>> {
        let (is_covered, list) = covered(grant.coverage(), "id");
        let sql =
            format!("SELECT id FROM companies WHERE fold_key = $2 AND {is_covered} ORDER BY id");
        let read = |row: &Row| forms::company_id(row, "id");
        self.read("companies_named", Place::COMPANIES, &sql, &[&list, &fold_key], read).await
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>> {
        let id = grant.stream().id();
        let sql =
            "SELECT fold_key_version, fold_key FROM companies, meta WHERE id = $1 AND only_row = 1";
        let read =
            |row: &Row| Ok((row.count("fold_key_version")?, row.text("fold_key")?.to_owned()));
        Ok(self.read("fold_key", Place::settings(grant.stream()), sql, &[&id], read).await?.pop())
    }

    // All rows as of one moment, in one round trip.
    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>> {
        let id = grant.stream().id();
        let read = async {
            let lease = self.pool.lease().await?;
            let [companies, businesses, entries] =
                self.pool.answered(3, rows_of(&lease, id, self.ours.mark)).await?;
            lease.give_back();

            let Some(head) = ours::row(&companies, forms::head)? else { return Ok(None) };
            let businesses = businesses.iter().map(forms::business).collect::<Result<_>>()?;
            let entries = entries.iter().map(forms::entry).collect::<Result<_>>()?;
            Ok(Some(forms::settings(head, businesses, entries)))
        };
        let read = self.ours.only(read);
        self.calls.run(Call::read("settings", Place::settings(grant.stream())), read).await
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>> {
        let id = grant.stream().id();
        let sql = ours::query("id, revision", "companies", "id = $1");
        let found = async {
            let rows = self.pool.query(&sql, &[&id, &self.ours.mark]).await?;
            ours::row(&rows, |row| row.revision("revision"))
        };
        let found = self.ours.only(found);
        self.calls.run(Call::read("revision", Place::settings(grant.stream())), found).await
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>> {
        let company = grant.stream().id();
        let sql = "SELECT id FROM deleted_entries WHERE company_id = $1 AND catalog = $2 AND id = ANY($3)";
        let ids: Vec<&str> = ids.iter().map(EntryId::as_str).collect();
        self.read(
            "deleted_among",
            Place::settings(grant.stream()),
            sql,
            &[&company, &catalog.as_str(), &ids],
            forms::entry_id,
        )
        .await
    }
}

/// The condition on `column` that selects covered companies, and the value of its parameter $1.
pub(super) fn covered(coverage: &Coverage, column: &str) -> (String, Option<Vec<String>>) {
    match coverage {
        Coverage::All => ("$1::text[] IS NULL".to_owned(), None),
        Coverage::Only(companies) => (
            format!("{column} = ANY ($1::text[])"),
            Some(companies.iter().map(ToString::to_string).collect()),
        ),
    }
}

/// The company's row, its businesses and its entries.
async fn rows_of(lease: &Lease, id: &str, mark: i64) -> Result<[Vec<Row>; 3]> {
    let columns = format!("revision, changed_time, {COMPANY}");
    let company_sql = ours::query(&columns, "companies", "id = $1");
    let businesses_sql =
        format!("SELECT {BUSINESS} FROM businesses WHERE company_id = $1 ORDER BY name, id");
    let entries_sql =
        format!("SELECT {ENTRY} FROM entries WHERE company_id = $1 ORDER BY catalog, rank");
    let companies = lease.prepare(&company_sql).await?;
    let businesses = lease.prepare(&businesses_sql).await?;
    let entries = lease.prepare(&entries_sql).await?;
    let client = lease.client()?;
    // Joined futures are polled in this order, and the driver sends a request when its future is first polled.
    let (begun, companies, businesses, entries, ended) = join5(
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        client.query(&companies, &[&id, &mark]),
        client.query(&businesses, &[&id]),
        client.query(&entries, &[&id]),
        client.batch_execute("COMMIT"),
    )
    .await;
    begun.map_err(query_failure)?;
    let companies = companies.map_err(query_failure)?;
    let businesses = businesses.map_err(query_failure)?;
    let entries = entries.map_err(query_failure)?;
    ended.map_err(query_failure)?;
    Ok([companies, businesses, entries])
}
