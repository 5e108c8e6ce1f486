//! The fold keys of companies, which follow one rule in the whole database.

use rusqlite::{Connection, params};

use super::{
    columns::{Result, collect},
    failure,
};
use crate::{
    catalog::{
        id::CompanyId,
        text::{FOLD_KEY_VERSION, Name},
    },
    store::{StoreError, forms::Columns},
};

/// Companies that one query reads.
const PAGE: u32 = 500;

pub(super) fn version(tx: &Connection) -> rusqlite::Result<u32> {
    tx.query_row("SELECT fold_key_version FROM meta", [], |row| row.get(0))
}

/// Refuses an older program: it must not write keys among those of a newer rule.
pub(super) fn check_version(tx: &Connection) -> Result<()> {
    match version(tx).map_err(failure)? {
        FOLD_KEY_VERSION => Ok(()),
        _ => Err(StoreError::Outdated),
    }
}

/// Makes all keys again, if an older program made them.
pub(super) fn renew(tx: &Connection) -> rusqlite::Result<()> {
    if version(tx)? >= FOLD_KEY_VERSION {
        return Ok(());
    }
    let mut page =
        tx.prepare("SELECT id, name FROM companies WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut update = tx.prepare("UPDATE companies SET fold_key = ?2 WHERE id = ?1")?;
    let mut after = String::new();
    loop {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = page.query_map(params![after, PAGE], read)?;
        let companies: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
        for (id, name) in &companies {
            // A text that is no valid name has no key. `verify` reports it.
            if let Ok(name) = Name::stored(name) {
                update.execute(params![id, name.fold_key()])?;
            }
        }
        match companies.into_iter().next_back() {
            Some((last, _)) => after = last,
            None => break,
        }
    }
    tx.execute("UPDATE meta SET fold_key_version = ?1", [FOLD_KEY_VERSION]).map(drop)
}

/// The company's key, and the version of the rule of all keys.
pub(super) fn of_company(tx: &Connection, company: &CompanyId) -> Result<Option<(u32, String)>> {
    let sql = "SELECT fold_key FROM companies WHERE id = ?1";
    let mut statement = tx.prepare_cached(sql).map_err(failure)?;
    let rows = statement.query([company.as_str()]).map_err(failure)?;
    let key = collect(rows, |row| row.text("fold_key").map(str::to_owned))?.pop();
    key.map(|key| Ok((version(tx).map_err(failure)?, key))).transpose()
}
