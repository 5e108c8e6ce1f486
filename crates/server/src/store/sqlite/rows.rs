//! The statements about the rows of companies, read and written. Each function runs inside a
//! transaction that its caller began, and knows nothing of threads and connections.

use std::sync::Arc;

use rusqlite::{Connection, Row, ToSql, named_params, params};

use super::{damaged, failure, fold_keys, integer, keys, log};
use crate::{
    catalog::{
        access::Coverage,
        company::{Business, Company},
        entry::{Catalog, Entry, Revision},
        error::Kind,
        id::{BusinessId, CompanyId, EntryId},
        log::Line,
        settings::Settings,
        stream::{Stream, StreamKind},
        time::Timestamp,
    },
    store::{
        CompanyRow, StoreError,
        forms::{self, AuditForm, BusinessForm, CompanyForm, EntryForm, LineId, Step},
        listed,
    },
};

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// A line of a stream's log, with the texts of its columns.
pub(super) struct Commit {
    pub(super) stream: Stream,
    pub(super) line: Line,
    pub(super) subjects: String,
    pub(super) body: String,
}

impl Commit {
    /// Damage where the line does not fit its stream.
    pub(super) fn of(stream: &Stream, line: Line) -> Result<Self> {
        forms::steps(stream, &line)?;
        let said = line.subjects.as_deref().unwrap_or_default();
        let subjects = forms::encode_subjects(LineId::of(stream, &line), said);
        let body = forms::encode_changes(&line.deltas);
        Ok(Self { stream: stream.clone(), line, subjects, body })
    }
}

pub(super) fn epoch(tx: &Connection) -> Result<u64> {
    let mut statement = tx.prepare_cached("SELECT epoch FROM meta").map_err(failure)?;
    let epoch: i64 = statement.query_row([], |row| row.get(0)).map_err(failure)?;
    u64::try_from(epoch).map_err(damaged)
}

/// Epochs only rise.
pub(super) fn raise_epoch(tx: &Connection, to: u64) -> Result<()> {
    let sql = "UPDATE meta SET epoch = max(epoch, ?1)";
    tx.execute(sql, [integer(to)]).map(|_| ()).map_err(failure)
}

/// The condition on `column` that leaves covered companies, and the value of its parameter ?1.
fn covered(coverage: &Coverage, column: &str) -> (String, Option<String>) {
    let list = forms::encode_coverage(coverage);
    let condition = match list {
        None => "?1 IS NULL".to_owned(),
        Some(_) => format!("{column} IN (SELECT value FROM json_each(?1))"),
    };
    (condition, list)
}

pub(super) fn list_companies(
    tx: &Connection,
    coverage: &Coverage,
    show_archived: bool,
    after: Option<&(String, CompanyId)>,
    (offset, limit): (u64, u32),
) -> Result<Vec<CompanyRow>> {
    let list = forms::encode_coverage(coverage);
    // Companies that are named are looked up one by one, as SQLite keeps the order of a CROSS JOIN:
    // a walk along the names would pass all the others.
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
    collect(rows, |row| listed((text(row, "name")?, company_id(row, "id")?), company(row)))
}

pub(super) fn list_businesses(
    tx: &Connection,
    coverage: &Coverage,
    offset: u64,
    limit: u32,
) -> Result<Vec<(CompanyId, Business)>> {
    let list = forms::encode_coverage(coverage);
    // As for companies.
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
    collect(rows, |row| Ok((company_id(row, "company_id")?, business(row)?)))
}

pub(super) fn company_ids(
    tx: &Connection,
    coverage: &Coverage,
    after: Option<&CompanyId>,
    limit: u32,
) -> Result<Vec<CompanyId>> {
    let (has_row, list) = covered(coverage, "id");
    let (has_log, _) = covered(coverage, "stream_id");
    // Every id sorts after the empty text. Both halves are read in the order of an index, so a
    // page looks no further than it must.
    let sql = format!(
        "SELECT id FROM companies WHERE id > ?2 AND {has_row}
         UNION SELECT stream_id FROM changes WHERE stream_kind = 'company' AND stream_id > ?2 AND {has_log}
         ORDER BY id LIMIT ?3"
    );
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let after = after.map_or("", CompanyId::as_str);
    let rows = statement.query(params![list, after, limit]).map_err(failure)?;
    collect(rows, |row| company_id(row, "id"))
}

pub(super) fn company_of(tx: &Connection, business: &BusinessId) -> Result<Option<CompanyId>> {
    let sql = "SELECT company_id FROM businesses WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([business.as_str()]).map_err(failure)?;
    Ok(collect(rows, |row| company_id(row, "company_id"))?.pop())
}

pub(super) fn companies_named(
    tx: &Connection,
    coverage: &Coverage,
    fold_key: &str,
) -> Result<Vec<CompanyId>> {
    let (is_covered, list) = covered(coverage, "id");
    let sql = format!("SELECT id FROM companies WHERE fold_key = ?2 AND {is_covered} ORDER BY id");
    let mut statement = tx.prepare_cached(&sql).map_err(failure)?;
    let rows = statement.query(params![list, fold_key]).map_err(failure)?;
    collect(rows, |row| company_id(row, "id"))
}

pub(super) fn settings(tx: &Connection, id: &CompanyId) -> Result<Option<Settings>> {
    let mut statement =
        tx.prepare_cached("SELECT * FROM companies WHERE id = ?1").map_err(failure)?;
    let rows = statement.query([id.as_str()]).map_err(failure)?;
    let found = collect(rows, |row| {
        Ok((company(row)?, revision(row, "revision")?, time(row, "changed_time")?))
    })?;
    let Some((company, revision, changed_time)) = found.into_iter().next() else { return Ok(None) };

    let sql = "SELECT * FROM businesses WHERE company_id = ?1 ORDER BY name, id";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let businesses = collect(statement.query([id.as_str()]).map_err(failure)?, business)?;

    let sql = "SELECT * FROM entries WHERE company_id = ?1 ORDER BY catalog, rank";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let mut catalogs: [Vec<Entry>; 4] = Default::default();
    for (catalog, entry) in collect(statement.query([id.as_str()]).map_err(failure)?, entry)? {
        catalogs[catalog.index()].push(entry);
    }
    let catalogs = catalogs.map(Arc::new);
    let businesses = businesses.into();
    Ok(Some(Settings { company, revision, changed_time, businesses, catalogs }))
}

pub(super) fn deleted_among(
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

/// Writes the rows and the line of the log, if the stream is at the line's base.
pub(super) fn commit(tx: &Connection, commit: &Commit) -> Result<()> {
    let Commit { stream, line, .. } = commit;
    let company = stream.id();
    for step in forms::steps(stream, line)? {
        match step {
            Step::HoldFoldKeys => fold_keys::check_version(tx)?,
            Step::Hold => {
                if at(tx, stream)? != Some(line.base()) {
                    return Err(StoreError::Conflict);
                }
            }
            Step::MakeCompany(made) => insert_company(tx, line, made)?,
            Step::Advance => advance(tx, commit)?,
            Step::Append => log::append(tx, commit)?,
            Step::UpdateCompany(after) => update_company(tx, after)?,
            Step::InsertBusiness(after) => insert_business(tx, company, after)?,
            Step::UpdateBusiness(after) => update_business(tx, company, after)?,
            Step::InsertEntry(catalog, after) => insert_entry(tx, company, catalog, after)?,
            Step::UpdateEntry(catalog, from, after) => {
                update_entry(tx, company, catalog, from, after)?;
            }
            Step::SetRank { catalog, id, from, to } => {
                set_rank(tx, company, catalog, id, from, to)?;
            }
            Step::DeleteEntry(catalog, before) => delete_entry(tx, company, catalog, before)?,
            Step::RememberDeleted(catalog, id) => remember_deleted(tx, company, catalog, id)?,
            Step::ForgetDeleted(catalog, id) => forget_deleted(tx, company, catalog, id)?,
            Step::InsertKey(made) => keys::insert(tx, made)?,
            Step::UpdateKey(after) => keys::update(tx, line.base(), after)?,
        }
    }
    Ok(())
}

/// The revision that a stream is at; `None` if it does not exist.
pub(super) fn at(tx: &Connection, stream: &Stream) -> Result<Option<Revision>> {
    let sql = match stream.kind() {
        StreamKind::COMPANY => "SELECT revision FROM companies WHERE id = ?1",
        StreamKind::KEY => "SELECT revision FROM keys WHERE id = ?1",
        _ => return log::end(tx, stream).map(Some),
    };
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([stream.id()]).map_err(failure)?;
    Ok(collect(rows, |row| revision(row, "revision"))?.pop())
}

fn advance(tx: &Connection, commit: &Commit) -> Result<()> {
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

fn insert_company(tx: &Connection, line: &Line, made: &Company) -> Result<()> {
    let (next, time) = (integer(line.revision.0), line.time.as_micros());
    let form = CompanyForm::from(made);
    let sql = "INSERT INTO companies
               (id, revision, changed_time, name, fold_key, country, timezone, state, created_by,
                created_time, last_updated_by, last_updated_time, last_updated_revision)
               VALUES
               (:id, :revision, :changed_time, :name, :fold_key, :country, :timezone, :state, :created_by,
                :created_time, :last_updated_by, :last_updated_time, :last_updated_revision)
               ON CONFLICT (id) DO NOTHING";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":id": form.id, ":revision": next, ":changed_time": time,
            ":name": form.name, ":fold_key": made.name.fold_key(),
            ":country": form.country, ":timezone": form.timezone, ":state": form.state,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": integer(form.audit.revision),
        })
        .map_err(failure)?;
    if written == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

fn update_company(tx: &Connection, after: &Company) -> Result<()> {
    let form = CompanyForm::from(after);
    let sql = "UPDATE companies SET name = :name, fold_key = :fold_key, country = :country, timezone = :timezone,
                   state = :state, created_by = :created_by, created_time = :created_time,
                   last_updated_by = :last_updated_by, last_updated_time = :last_updated_time,
                   last_updated_revision = :last_updated_revision
               WHERE id = :id";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement
        .execute(named_params! {
            ":id": form.id, ":name": form.name, ":fold_key": after.name.fold_key(),
            ":country": form.country, ":timezone": form.timezone, ":state": form.state,
            ":created_by": form.audit.created_by, ":created_time": form.audit.created_time,
            ":last_updated_by": form.audit.last_updated_by, ":last_updated_time": form.audit.last_updated_time,
            ":last_updated_revision": integer(form.audit.revision),
        })
        .map_err(failure)?;
    one_row(written)
}

fn insert_business(tx: &Connection, company: &str, after: &Business) -> Result<()> {
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

fn update_business(tx: &Connection, company: &str, after: &Business) -> Result<()> {
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

fn set_rank(
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

fn insert_entry(tx: &Connection, company: &str, catalog: Catalog, after: &Entry) -> Result<()> {
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

/// `from` is its rank until now.
fn update_entry(
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

fn delete_entry(tx: &Connection, company: &str, catalog: Catalog, before: &Entry) -> Result<()> {
    let sql =
        "DELETE FROM entries WHERE company_id = ?1 AND catalog = ?2 AND id = ?3 AND rank = ?4";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let row = params![company, catalog.as_str(), before.id.as_str(), before.rank];
    one_row(statement.execute(row).map_err(failure)?)
}

fn remember_deleted(tx: &Connection, company: &str, catalog: Catalog, id: &EntryId) -> Result<()> {
    let sql = "INSERT INTO deleted_entries (company_id, catalog, id) VALUES (?1, ?2, ?3)";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let row = [company, catalog.as_str(), id.as_str()];
    one_row(statement.execute(row).map_err(failure)?)
}

fn forget_deleted(tx: &Connection, company: &str, catalog: Catalog, id: &EntryId) -> Result<()> {
    let sql = "DELETE FROM deleted_entries WHERE company_id = ?1 AND catalog = ?2 AND id = ?3";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let written = statement.execute([company, catalog.as_str(), id.as_str()]).map_err(failure)?;
    one_row(written)
}

/// The revision matched, so the rows that the plan saw must be there.
pub(super) fn one_row(written: usize) -> Result<()> {
    if written == 1 {
        Ok(())
    } else {
        Err(damaged("a row that the plan changes is not as it was read"))
    }
}

/// Reads all rows of a query.
pub(super) fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub(super) fn text(row: &Row<'_>, column: &str) -> Result<String> {
    row.get(column).map_err(failure)
}

pub(super) fn optional_text(row: &Row<'_>, column: &str) -> Result<Option<String>> {
    row.get(column).map_err(failure)
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros).map_err(failure)
}

pub(super) fn optional_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column).map_err(failure)?;
    Ok(micros.map(Timestamp::from_micros))
}

pub(super) fn revision(row: &Row<'_>, column: &str) -> Result<Revision> {
    let number: i64 = row.get(column).map_err(failure)?;
    u64::try_from(number).map(Revision).map_err(damaged)
}

fn company_id(row: &Row<'_>, column: &str) -> Result<CompanyId> {
    Ok(CompanyId::parse(column, &text(row, column)?)?)
}

/// `revision` is the column that holds the audit's revision.
pub(super) fn audit(row: &Row<'_>, revision_column: &str) -> Result<AuditForm> {
    Ok(AuditForm {
        created_by: text(row, "created_by")?,
        created_time: row.get("created_time").map_err(failure)?,
        last_updated_by: text(row, "last_updated_by")?,
        last_updated_time: row.get("last_updated_time").map_err(failure)?,
        revision: revision(row, revision_column)?.0,
    })
}

fn company(row: &Row<'_>) -> Result<Company> {
    let form = CompanyForm {
        id: text(row, "id")?,
        name: text(row, "name")?,
        country: text(row, "country")?,
        timezone: text(row, "timezone")?,
        state: text(row, "state")?,
        audit: audit(row, "last_updated_revision")?,
    };
    form.into_company()
}

fn business(row: &Row<'_>) -> Result<Business> {
    let form = BusinessForm {
        id: text(row, "id")?,
        name: text(row, "name")?,
        contact: forms::decode(&text(row, "contact")?)?,
        address: optional_text(row, "address")?
            .map(|address| forms::decode(&address))
            .transpose()?,
        state: text(row, "state")?,
        audit: audit(row, "last_updated_revision")?,
    };
    form.into_business()
}

fn entry(row: &Row<'_>) -> Result<(Catalog, Entry)> {
    let form = EntryForm {
        id: text(row, "id")?,
        name: text(row, "name")?,
        description: text(row, "description")?,
        color: optional_text(row, "color")?,
        is_default: row.get("is_default").map_err(failure)?,
        rank: row.get("rank").map_err(failure)?,
        state: text(row, "state")?,
        audit: audit(row, "last_updated_revision")?,
    };
    Ok((forms::parse_catalog(&text(row, "catalog")?)?, form.into_entry()?))
}
