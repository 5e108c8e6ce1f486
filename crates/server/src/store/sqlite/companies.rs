//! Companies, and the statements about their rows. Each statement runs inside a transaction of its caller.

use async_trait::async_trait;
use rusqlite::{Connection, ToSql, named_params, params};

use super::{
    SqliteStore,
    columns::{Result, collect, one_row},
    commit::{self, Commit},
    failure, fold_keys, integer, source_checks,
};
use crate::{
    catalog::{
        access::{Coverage, CoveredGrant, Grant},
        company::{Business, Company},
        entry::{Catalog, Entry, Revision},
        error::Kind,
        id::{BusinessId, CompanyId, EntryId},
        log::Line,
        settings::Settings,
    },
    store::{
        Companies, CompanyRow, StoreError,
        damages::Place,
        forms::{self, BusinessForm, CompanyForm, EntryForm},
    },
};

#[async_trait]
impl Companies for SqliteStore {
    async fn list_companies(
        &self,
        grant: &CoveredGrant,
        show_archived: bool,
        after: Option<(&str, &CompanyId)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CompanyRow>> {
        let coverage = grant.coverage().clone();
        let after = after.map(|(name, id)| (name.to_owned(), id.clone()));
        let list = move |tx: &_| {
            list_companies(tx, &coverage, show_archived, after.as_ref(), (offset, limit))
        };
        self.read("list_companies", Place::COMPANIES, list).await
    }

    async fn list_businesses(
        &self,
        grant: &CoveredGrant,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<(CompanyId, Business)>> {
        let coverage = grant.coverage().clone();
        self.read("list_businesses", Place::COMPANIES, move |tx| {
            list_businesses(tx, &coverage, offset, limit)
        })
        .await
    }

    async fn company_ids(
        &self,
        grant: &CoveredGrant,
        after: Option<&CompanyId>,
        limit: u32,
    ) -> Result<Vec<CompanyId>> {
        let (coverage, after) = (grant.coverage().clone(), after.cloned());
        let list = move |tx: &_| company_ids(tx, &coverage, after.as_ref(), limit);
        self.read("company_ids", Place::COMPANIES, list).await
    }

    async fn company_of(&self, business: &BusinessId) -> Result<Option<CompanyId>> {
        let business = business.clone();
        self.read("company_of", Place::COMPANIES, move |tx| company_of(tx, &business)).await
    }

    async fn companies_named(
        &self,
        grant: &CoveredGrant,
        fold_key: &str,
    ) -> Result<Vec<CompanyId>> {
        let (coverage, fold_key) = (grant.coverage().clone(), fold_key.to_owned());
        self.read("companies_named", Place::COMPANIES, move |tx| {
            companies_named(tx, &coverage, &fold_key)
        })
        .await
    }

    async fn fold_key(&self, grant: &Grant) -> Result<Option<(u32, String)>> {
        let company = grant.company();
        self.read("fold_key", Place::settings(grant.stream()), move |tx| {
            fold_keys::of_company(tx, &company)
        })
        .await
    }

    async fn settings(&self, grant: &Grant) -> Result<Option<Settings>> {
        let company = grant.company();
        self.read("settings", Place::settings(grant.stream()), move |tx| settings(tx, &company))
            .await
    }

    async fn revision(&self, grant: &Grant) -> Result<Option<Revision>> {
        let stream = grant.stream().clone();
        self.read("revision", Place::settings(grant.stream()), move |tx| commit::at(tx, &stream))
            .await
    }

    async fn deleted_among(
        &self,
        grant: &Grant,
        catalog: Catalog,
        ids: &[EntryId],
    ) -> Result<Vec<EntryId>> {
        let (company, ids) = (grant.company(), ids.to_vec());
        self.read("deleted_among", Place::settings(grant.stream()), move |tx| {
            deleted_among(tx, &company, catalog, ids)
        })
        .await
    }
}

/// The condition on `column` that selects covered companies, and the value of its parameter ?1.
pub(super) fn covered(coverage: &Coverage, column: &str) -> (String, Option<String>) {
    let list = forms::encode_coverage(coverage);
    let condition = match list {
        None => "?1 IS NULL".to_owned(),
        Some(_) => format!("{column} IN (SELECT value FROM json_each(?1))"),
    };
    (condition, list)
}

fn list_companies(
    tx: &Connection,
    coverage: &Coverage,
    show_archived: bool,
    after: Option<&(String, CompanyId)>,
    (offset, limit): (u64, u32),
) -> Result<Vec<CompanyRow>> {
    let list = forms::encode_coverage(coverage);
    // Named companies are looked up one by one, as SQLite does not reorder a CROSS JOIN. A walk along the names would
    // visit all other companies.
    let from = match list {
        None => "companies",
        Some(_) => "json_each(?1) AS covered CROSS JOIN companies ON companies.id = covered.value",
    };
    let is_shown = if show_archived { "TRUE" } else { "companies.state = 'active'" };
    // Every name sorts after the empty text.
    let sql = format!(
        "SELECT companies.* FROM {from}
         WHERE {is_shown} AND (companies.name, companies.id) > (?2, ?3)
         ORDER BY companies.name, companies.id LIMIT ?4 OFFSET ?5"
    );
    let (name, id) = after.map_or(("", ""), |(name, id)| (name.as_str(), id.as_str()));
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows = statement.query(params![list, name, id, limit, integer(offset)]).map_err(failure)?;
    collect(rows, |row| forms::company_row(row))
}

fn list_businesses(
    tx: &Connection,
    coverage: &Coverage,
    offset: u64,
    limit: u32,
) -> Result<Vec<(CompanyId, Business)>> {
    let list = forms::encode_coverage(coverage);
    // See `list_companies`.
    let from = match list {
        None => "businesses JOIN companies ON companies.id = businesses.company_id",
        Some(_) => {
            "json_each(?1) AS covered CROSS JOIN companies ON companies.id = covered.value
             CROSS JOIN businesses ON businesses.company_id = companies.id"
        }
    };
    let sql = format!(
        "SELECT businesses.* FROM {from}
         WHERE businesses.state = 'active' AND companies.state = 'active'
         ORDER BY businesses.name, businesses.id LIMIT ?2 OFFSET ?3"
    );
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows = statement.query(params![list, limit, integer(offset)]).map_err(failure)?;
    collect(rows, |row| forms::business_row(row))
}

fn company_ids(
    tx: &Connection,
    coverage: &Coverage,
    after: Option<&CompanyId>,
    limit: u32,
) -> Result<Vec<CompanyId>> {
    let (has_row, list) = covered(coverage, "id");
    let (has_log, _) = covered(coverage, "stream_id");
    // Every id sorts after the empty text. Both halves are read in the order of an index, so a page
    // reads no more than it needs.
    let sql = format!(
        "SELECT id FROM companies WHERE id > ?2 AND {has_row}
         UNION SELECT stream_id FROM changes WHERE stream_kind = 'company' AND stream_id > ?2 AND {has_log}
         ORDER BY id LIMIT ?3"
    );
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let after = after.map_or("", CompanyId::as_str);
    let rows = statement.query(params![list, after, limit]).map_err(failure)?;
    collect(rows, |row| forms::company_id(row, "id"))
}

fn company_of(tx: &Connection, business: &BusinessId) -> Result<Option<CompanyId>> {
    let sql = "SELECT company_id FROM businesses WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([business.as_str()]).map_err(failure)?;
    Ok(collect(rows, |row| forms::company_id(row, "company_id"))?.pop())
}

fn companies_named(tx: &Connection, coverage: &Coverage, fold_key: &str) -> Result<Vec<CompanyId>> {
    let (is_covered, list) = covered(coverage, "id");
    let sql = format!("SELECT id FROM companies WHERE fold_key = ?2 AND {is_covered} ORDER BY id");
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows = statement.query(params![list, fold_key]).map_err(failure)?;
    collect(rows, |row| forms::company_id(row, "id"))
}

fn settings(tx: &Connection, id: &CompanyId) -> Result<Option<Settings>> {
    let mut statement =
        tx.prepare_cached("SELECT * FROM companies WHERE id = ?1").map_err(failure)?;
    let rows = statement.query([id.as_str()]).map_err(failure)?;
    let Some(head) = collect(rows, |row| forms::head(row))?.pop() else { return Ok(None) };

    let sql = "SELECT * FROM businesses WHERE company_id = ?1 ORDER BY name, id";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([id.as_str()]).map_err(failure)?;
    let businesses = collect(rows, |row| forms::business(row))?;

    let sql = "SELECT * FROM entries WHERE company_id = ?1 ORDER BY catalog, rank";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([id.as_str()]).map_err(failure)?;
    Ok(Some(forms::settings(head, businesses, collect(rows, |row| forms::entry(row))?)))
}

fn deleted_among(
    tx: &Connection,
    company: &CompanyId,
    catalog: Catalog,
    ids: Vec<EntryId>,
) -> Result<Vec<EntryId>> {
    let sql = "SELECT 1 FROM deleted_entries WHERE company_id = ?1 AND catalog = ?2 AND id = ?3";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let mut found = Vec::new();
    for id in ids {
        if statement.exists([company.as_str(), catalog.as_str(), id.as_str()]).map_err(failure)? {
            found.push(id);
        }
    }
    Ok(found)
}

pub(super) fn advance(tx: &Connection, commit: &Commit) -> Result<()> {
    let Commit { stream, line, .. } = commit;
    let sql =
        "UPDATE companies SET revision = ?3, changed_time = ?4 WHERE id = ?1 AND revision = ?2";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let (base, next) = (integer(line.base().0), integer(line.revision.0));
    let written = statement
        .execute(params![stream.id(), base, next, line.time.as_micros()])
        .map_err(failure)?;
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

pub(super) fn insert_company(tx: &Connection, line: &Line, made: &Company) -> Result<()> {
    let (next, time) = (integer(line.revision.0), line.time.as_micros());
    let form = CompanyForm::from(made);
    let sql = "INSERT INTO companies
               (id, revision, changed_time, name, fold_key, country, timezone, state, source, created_by,
                created_time, last_updated_by, last_updated_time, last_updated_revision)
               VALUES
               (:id, :revision, :changed_time, :name, :fold_key, :country, :timezone, :state, :source, :created_by,
                :created_time, :last_updated_by, :last_updated_time, :last_updated_revision)
               ON CONFLICT (id) DO NOTHING";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":id": form.id, ":revision": next, ":changed_time": time,
            ":name": form.name, ":fold_key": made.name.fold_key(),
            ":country": form.country, ":timezone": form.timezone, ":state": form.state,
            ":source": form.source,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": integer(form.audit.revision),
        })
        .map_err(failure)?;
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

pub(super) fn update_company(tx: &Connection, after: &Company) -> Result<()> {
    let form = CompanyForm::from(after);
    let sql = "UPDATE companies SET name = :name, fold_key = :fold_key, country = :country, timezone = :timezone,
                   state = :state, source = :source, created_by = :created_by, created_time = :created_time,
                   last_updated_by = :last_updated_by, last_updated_time = :last_updated_time,
                   last_updated_revision = :last_updated_revision
               WHERE id = :id";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":id": form.id, ":name": form.name, ":fold_key": after.name.fold_key(),
            ":country": form.country, ":timezone": form.timezone, ":state": form.state,
            ":source": form.source,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": integer(form.audit.revision),
        })
        .map_err(failure)?;
    one_row(written)?;
    if after.source.is_none() {
        source_checks::forget(tx, &after.id)?;
    }
    Ok(())
}

pub(super) fn insert_business(tx: &Connection, company: &str, after: &Business) -> Result<()> {
    let sql = "INSERT INTO businesses
               (company_id, id, name, contact, address, state, created_by, created_time, last_updated_by,
                last_updated_time, last_updated_revision)
               VALUES
               (:company_id, :id, :name, :contact, :address, :state, :created_by, :created_time,
                :last_updated_by, :last_updated_time, :last_updated_revision)
               ON CONFLICT DO NOTHING";
    match write_business(tx, sql, company, after)? {
        1 => Ok(()),
        _ => Err(StoreError::Taken(Kind::Business, after.id.to_string())),
    }
}

pub(super) fn update_business(tx: &Connection, company: &str, after: &Business) -> Result<()> {
    let sql = "UPDATE businesses SET name = :name, contact = :contact, address = :address, state = :state,
                   created_by = :created_by, created_time = :created_time,
                   last_updated_by = :last_updated_by, last_updated_time = :last_updated_time,
                   last_updated_revision = :last_updated_revision
               WHERE company_id = :company_id AND id = :id";
    one_row(write_business(tx, sql, company, after)?)
}

fn write_business(tx: &Connection, sql: &str, company: &str, after: &Business) -> Result<usize> {
    let form = BusinessForm::from(after);
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    statement
        .execute(named_params! {
            ":company_id": company, ":id": form.id, ":name": form.name,
            ":contact": forms::encode(&form.contact), ":address": form.address.as_ref().map(forms::encode),
            ":state": form.state,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": integer(form.audit.revision),
        })
        .map_err(failure)
}

pub(super) fn set_rank(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    id: &EntryId,
    from: i64,
    to: i64,
) -> Result<()> {
    let sql = "UPDATE entries SET rank = ?5 WHERE company_id = ?1 AND catalog = ?2 AND id = ?3 AND rank = ?4";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(params![company, catalog.as_str(), id.as_str(), from, to])
        .map_err(failure)?;
    one_row(written)
}

pub(super) fn insert_entry(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    after: &Entry,
) -> Result<()> {
    let sql = "INSERT INTO entries
               (company_id, catalog, id, rank, name, description, color, is_default, state,
                created_by, created_time, last_updated_by, last_updated_time, last_updated_revision)
               SELECT
                :company_id, :catalog, :id, :rank, :name, :description, :color, :is_default, :state,
                :created_by, :created_time, :last_updated_by, :last_updated_time, :last_updated_revision
               WHERE NOT EXISTS (SELECT 1 FROM deleted_entries
                                 WHERE company_id = :company_id AND catalog = :catalog AND id = :id)";
    match write_entry(tx, sql, company, catalog, after, &[])? {
        1 => Ok(()),
        _ => Err(StoreError::Taken(Kind::Entry, after.id.to_string())),
    }
}

/// `from` is the entry's rank before the update.
pub(super) fn update_entry(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    from: i64,
    after: &Entry,
) -> Result<()> {
    let sql = "UPDATE entries SET rank = :rank, name = :name, description = :description,
                   color = :color, is_default = :is_default, state = :state,
                   created_by = :created_by, created_time = :created_time,
                   last_updated_by = :last_updated_by, last_updated_time = :last_updated_time,
                   last_updated_revision = :last_updated_revision
               WHERE company_id = :company_id AND catalog = :catalog AND id = :id AND rank = :from";
    one_row(write_entry(tx, sql, company, catalog, after, &[(":from", &from)])?)
}

fn write_entry(
    tx: &Connection,
    sql: &str,
    company: &str,
    catalog: Catalog,
    after: &Entry,
    more: &[(&str, &dyn ToSql)],
) -> Result<usize> {
    let form = EntryForm::from(after);
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let revision = integer(form.audit.revision);
    let row = named_params! {
            ":company_id": company, ":catalog": catalog.as_str(), ":id": form.id, ":rank": form.rank,
            ":name": form.name, ":description": form.description,
            ":color": form.color, ":is_default": form.is_default, ":state": form.state,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": revision,
    };
    let params: Vec<_> = row.iter().chain(more).copied().collect();
    statement.execute(&params[..]).map_err(failure)
}

pub(super) fn delete_entry(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    before: &Entry,
) -> Result<()> {
    let sql =
        "DELETE FROM entries WHERE company_id = ?1 AND catalog = ?2 AND id = ?3 AND rank = ?4";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let row = params![company, catalog.as_str(), before.id.as_str(), before.rank];
    one_row(statement.execute(row).map_err(failure)?)
}

pub(super) fn remember_deleted(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    id: &EntryId,
) -> Result<()> {
    let sql = "INSERT INTO deleted_entries (company_id, catalog, id) VALUES (?1, ?2, ?3)";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let row = [company, catalog.as_str(), id.as_str()];
    one_row(statement.execute(row).map_err(failure)?)
}

pub(super) fn forget_deleted(
    tx: &Connection,
    company: &str,
    catalog: Catalog,
    id: &EntryId,
) -> Result<()> {
    let sql = "DELETE FROM deleted_entries WHERE company_id = ?1 AND catalog = ?2 AND id = ?3";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement.execute([company, catalog.as_str(), id.as_str()]).map_err(failure)?;
    one_row(written)
}
