//! A commit: the statements of a line, with their SQL.

use rusqlite::Connection;

use super::{
    columns::{Result, collect},
    companies, failure, fold_keys, keys, log,
};
use crate::{
    catalog::{
        entry::Revision,
        log::Line,
        stream::{Stream, StreamKind},
    },
    store::{
        StoreError,
        forms::{self, Columns, LineId, Statement},
    },
};

/// A line of a stream's log, with the texts of its columns.
pub(super) struct Commit {
    pub(super) stream: Stream,
    pub(super) line: Line,
    pub(super) subjects: String,
    pub(super) body: String,
}

impl Commit {
    /// Returns damage if the line does not fit its stream.
    pub(super) fn of(stream: &Stream, line: Line) -> Result<Self> {
        forms::statements(stream, &line)?;
        let said = line.subjects.as_deref().unwrap_or_default();
        let subjects = forms::encode_subjects(LineId::of(stream, &line), said);
        let body = forms::encode_changes(&line.deltas);
        Ok(Self { stream: stream.clone(), line, subjects, body })
    }
}

/// Writes the rows and the line of the log, if the stream is at the line's base.
pub(super) fn commit(tx: &Connection, commit: &Commit) -> Result<()> {
    let Commit { stream, line, .. } = commit;
    let company = stream.id();
    for statement in forms::statements(stream, line)? {
        match statement {
            Statement::HoldFoldKeys => fold_keys::check_version(tx)?,
            Statement::Hold => {
                if at(tx, stream)? != Some(line.base()) {
                    return Err(StoreError::Conflict);
                }
            }
            Statement::MakeCompany(made) => companies::insert_company(tx, line, made)?,
            Statement::Advance => companies::advance(tx, commit)?,
            Statement::Append => log::append(tx, commit)?,
            Statement::UpdateCompany(after) => companies::update_company(tx, after)?,
            Statement::InsertBusiness(after) => companies::insert_business(tx, company, after)?,
            Statement::UpdateBusiness(after) => companies::update_business(tx, company, after)?,
            Statement::InsertEntry(catalog, after) => {
                companies::insert_entry(tx, company, catalog, after)?
            }
            Statement::UpdateEntry(catalog, from, after) => {
                companies::update_entry(tx, company, catalog, from, after)?;
            }
            Statement::SetRank { catalog, id, from, to } => {
                companies::set_rank(tx, company, catalog, id, from, to)?;
            }
            Statement::DeleteEntry(catalog, before) => {
                companies::delete_entry(tx, company, catalog, before)?
            }
            Statement::RememberDeleted(catalog, id) => {
                companies::remember_deleted(tx, company, catalog, id)?
            }
            Statement::ForgetDeleted(catalog, id) => {
                companies::forget_deleted(tx, company, catalog, id)?
            }
            Statement::InsertKey(made) => keys::insert(tx, made)?,
            Statement::UpdateKey(after) => keys::update(tx, line.base(), after)?,
        }
    }
    Ok(())
}

/// The current revision of a stream; `None` if the stream does not exist.
pub(super) fn at(tx: &Connection, stream: &Stream) -> Result<Option<Revision>> {
    let sql = match stream.kind() {
        StreamKind::COMPANY => "SELECT revision FROM companies WHERE id = ?1",
        StreamKind::KEY => "SELECT revision FROM keys WHERE id = ?1",
        _ => return log::end(tx, stream).map(Some),
    };
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([stream.id()]).map_err(failure)?;
    Ok(collect(rows, |row| row.revision("revision"))?.pop())
}
