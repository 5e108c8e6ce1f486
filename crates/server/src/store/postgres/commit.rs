//! The statements of a commit, in the order in which they are sent.
//!
//! The first statement locks the company's row, and fails if the plan's base is not the current revision. The second
//! writes the line of the log. If another writer came first, that line's place is taken, which ends the transaction
//! before later statements run.

use super::{columns::integer, error::damaged, keys, log, pool::RowWrite};
use crate::{
    catalog::{
        company::{Business, Company},
        entry::{Catalog, Entry, Revision},
        error::Kind,
        id::EntryId,
        log::Line,
        stream::{Stream, StreamKind},
        text::FOLD_KEY_VERSION,
    },
    store::{
        StoreError,
        forms::{self, AuditForm, BusinessForm, CompanyForm, EntryForm, Statement},
    },
};

/// All writes of a line.
pub(super) fn writes(stream: &Stream, line: &Line) -> Result<Vec<RowWrite>, StoreError> {
    let company = stream.id();
    let write = |statement| match statement {
        Statement::HoldFoldKeys => hold_fold_keys(),
        Statement::Hold => hold(stream, line.base()),
        Statement::MakeCompany(made) => insert_company(line, made),
        Statement::Advance => advance(company, line),
        Statement::Append => log::append(stream, line),
        Statement::UpdateCompany(after) => update_company(after),
        Statement::InsertBusiness(after) => insert_business(company, after),
        Statement::UpdateBusiness(after) => update_business(company, after),
        Statement::InsertEntry(catalog, after) => insert_entry(company, catalog, after),
        Statement::UpdateEntry(catalog, from, after) => update_entry(company, catalog, from, after),
        Statement::SetRank { catalog, id, from, to } => set_rank(company, catalog, id, from, to),
        Statement::DeleteEntry(catalog, before) => delete_entry(company, catalog, before),
        Statement::RememberDeleted(catalog, id) => remember_deleted(company, catalog, id),
        Statement::ForgetDeleted(catalog, id) => forget_deleted(company, catalog, id),
        Statement::InsertKey(made) => keys::insert(made),
        Statement::UpdateKey(after) => keys::update(line.base(), after),
    };
    Ok(forms::statements(stream, line)?.into_iter().map(write).collect())
}

fn hold(stream: &Stream, base: Revision) -> RowWrite {
    let sql = match stream.kind() {
        StreamKind::COMPANY => "SELECT FROM companies WHERE id = $1 AND revision = $2 FOR UPDATE",
        StreamKind::KEY => "SELECT FROM keys WHERE id = $1 AND revision = $2 FOR UPDATE",
        kind => {
            let sql = "SELECT WHERE coalesce((SELECT max(revision) FROM changes
                                              WHERE stream_kind = $3 AND stream_id = $1 AND part = 0), 0) = $2";
            let write = RowWrite::new(sql, StoreError::Conflict).bind(stream.id().to_owned());
            return write.bind(integer(base.0)).bind(kind.name);
        }
    };
    RowWrite::new(sql, StoreError::Conflict).bind(stream.id().to_owned()).bind(integer(base.0))
}

fn hold_fold_keys() -> RowWrite {
    let sql =
        "SELECT fold_key_version FROM meta WHERE only_row = 1 AND fold_key_version = $1 FOR SHARE";
    RowWrite::new(sql, StoreError::Outdated).bind(i64::from(FOLD_KEY_VERSION))
}

fn advance(company: &str, line: &Line) -> RowWrite {
    let sql =
        "UPDATE companies SET revision = $3, changed_time = $4 WHERE id = $1 AND revision = $2";
    RowWrite::new(sql, StoreError::Conflict)
        .bind(company.to_owned())
        .bind(integer(line.base().0))
        .bind(integer(line.revision.0))
        .bind(line.time.as_micros())
}

fn insert_company(line: &Line, made: &Company) -> RowWrite {
    let sql = "INSERT INTO companies
               (id, name, fold_key, country, timezone, state, source, created_by, created_time, last_updated_by,
                last_updated_time, last_updated_revision, revision, changed_time)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
               ON CONFLICT (id) DO NOTHING";
    bind_company(RowWrite::new(sql, StoreError::Conflict), made)
        .bind(integer(line.revision.0))
        .bind(line.time.as_micros())
}

fn update_company(after: &Company) -> RowWrite {
    // A company without a source has been compared with none.
    let sql = "WITH forgotten AS (DELETE FROM source_checks WHERE company_id = $1 AND $7::text IS NULL)
               UPDATE companies SET name = $2, fold_key = $3, country = $4, timezone = $5, state = $6,
                   source = $7, created_by = $8, created_time = $9, last_updated_by = $10, last_updated_time = $11,
                   last_updated_revision = $12
               WHERE id = $1";
    bind_company(RowWrite::new(sql, changed_below()), after)
}

/// Binds $1 to $12.
fn bind_company(write: RowWrite, company: &Company) -> RowWrite {
    let form = CompanyForm::from(company);
    let write = write
        .bind(form.id)
        .bind(form.name)
        .bind(company.name.fold_key())
        .bind(form.country)
        .bind(form.timezone)
        .bind(form.state)
        .bind(form.source);
    bind_audit(write, form.audit)
}

fn bind_audit(write: RowWrite, audit: AuditForm) -> RowWrite {
    write
        .bind(audit.created_by)
        .bind(audit.created_time)
        .bind(audit.last_updated_by)
        .bind(audit.last_updated_time)
        .bind(integer(audit.revision))
}

fn insert_business(company: &str, after: &Business) -> RowWrite {
    let sql = "INSERT INTO businesses
               (company_id, id, name, contact, address, state, created_by, created_time, last_updated_by,
                last_updated_time, last_updated_revision)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               ON CONFLICT DO NOTHING";
    let taken = StoreError::Taken(Kind::Business, after.id.to_string());
    bind_business(RowWrite::new(sql, taken), company, after)
}

fn update_business(company: &str, after: &Business) -> RowWrite {
    let sql =
        "UPDATE businesses SET name = $3, contact = $4, address = $5, state = $6, created_by = $7,
                   created_time = $8, last_updated_by = $9, last_updated_time = $10,
                   last_updated_revision = $11
               WHERE company_id = $1 AND id = $2";
    bind_business(RowWrite::new(sql, changed_below()), company, after)
}

/// Binds $1 to $11.
fn bind_business(write: RowWrite, company: &str, business: &Business) -> RowWrite {
    let form = BusinessForm::from(business);
    let write = write
        .bind(company.to_owned())
        .bind(form.id)
        .bind(form.name)
        .bind(forms::encode(&form.contact))
        .bind(form.address.as_ref().map(forms::encode))
        .bind(form.state);
    bind_audit(write, form.audit)
}

fn set_rank(company: &str, catalog: Catalog, id: &EntryId, from: i64, to: i64) -> RowWrite {
    let sql = "UPDATE entries SET rank = $5
               WHERE company_id = $1 AND catalog = $2 AND id = $3 AND rank = $4";
    bind_place(RowWrite::new(sql, changed_below()), company, catalog, id).bind(from).bind(to)
}

/// Binds $1 to $3.
fn bind_place(write: RowWrite, company: &str, catalog: Catalog, id: &EntryId) -> RowWrite {
    write.bind(company.to_owned()).bind(catalog.as_str()).bind(id.to_string())
}

fn insert_entry(company: &str, catalog: Catalog, after: &Entry) -> RowWrite {
    let sql = "INSERT INTO entries
               (company_id, catalog, id, rank, name, description, color, is_default, state,
                created_by, created_time, last_updated_by, last_updated_time, last_updated_revision)
               SELECT $1::text, $2::text, $3::text, $4::bigint, $5::text, $6::text, $7::text,
                $8::boolean, $9::text, $10::text, $11::bigint, $12::text, $13::bigint, $14::bigint
               WHERE NOT EXISTS (SELECT 1 FROM deleted_entries
                                 WHERE company_id = $1 AND catalog = $2 AND id = $3)";
    let taken = StoreError::Taken(Kind::Entry, after.id.to_string());
    bind_entry(RowWrite::new(sql, taken), company, catalog, after)
}

fn update_entry(company: &str, catalog: Catalog, from: i64, after: &Entry) -> RowWrite {
    let sql =
        "UPDATE entries SET rank = $4, name = $5, description = $6, color = $7, is_default = $8,
                   state = $9, created_by = $10, created_time = $11, last_updated_by = $12,
                   last_updated_time = $13, last_updated_revision = $14
               WHERE company_id = $1 AND catalog = $2 AND id = $3 AND rank = $15";
    bind_entry(RowWrite::new(sql, changed_below()), company, catalog, after).bind(from)
}

/// Binds $1 to $14.
fn bind_entry(write: RowWrite, company: &str, catalog: Catalog, entry: &Entry) -> RowWrite {
    let form = EntryForm::from(entry);
    let write = bind_place(write, company, catalog, &entry.id)
        .bind(i64::from(form.rank))
        .bind(form.name)
        .bind(form.description)
        .bind(form.color)
        .bind(form.is_default)
        .bind(form.state);
    bind_audit(write, form.audit)
}

fn delete_entry(company: &str, catalog: Catalog, before: &Entry) -> RowWrite {
    let sql =
        "DELETE FROM entries WHERE company_id = $1 AND catalog = $2 AND id = $3 AND rank = $4";
    let write = RowWrite::new(sql, changed_below());
    bind_place(write, company, catalog, &before.id).bind(i64::from(before.rank))
}

fn remember_deleted(company: &str, catalog: Catalog, id: &EntryId) -> RowWrite {
    let sql = "INSERT INTO deleted_entries (company_id, catalog, id) VALUES ($1, $2, $3)";
    bind_place(RowWrite::new(sql, changed_below()), company, catalog, id)
}

fn forget_deleted(company: &str, catalog: Catalog, id: &EntryId) -> RowWrite {
    let sql = "DELETE FROM deleted_entries WHERE company_id = $1 AND catalog = $2 AND id = $3";
    bind_place(RowWrite::new(sql, changed_below()), company, catalog, id)
}

/// The error if a row has changed. The revision matched, so the rows that the plan read must exist.
fn changed_below() -> StoreError {
    damaged("a row that the plan changes is not as it was read")
}
