//! The schema: the migrations, and the programs that may use a database of a given schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{data_dir::OpenError, fold_keys};
use crate::{catalog::text::FOLD_KEY_VERSION, store::LAYOUT};

/// Marks a database file as this program's: "csSt" in ASCII.
const APPLICATION_ID: i32 = 0x6373_5374;

/// A step from one schema to the next.
pub(super) struct Migration {
    sql: &'static str,
    /// The oldest program, by the number of its last migration, that may still use the result.
    oldest: usize,
}

/// In order, beginning with number 1.
pub(super) const MIGRATIONS: &[Migration] =
    &[Migration { sql: include_str!("../../../migrations/sqlite/0001_initial.sql"), oldest: 1 }];

/// The state of a database file, for a program with some migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    Empty,
    /// A schema, by its number, that the program can bring up to its own.
    Older(usize),
    /// A schema that the program can use, with fold keys that it can bring up to its own.
    OlderKeys,
    /// A schema that the program can use as it is.
    Usable,
}

/// The faults of the file's structure, including its indexes: at most `limit`, in SQLite's words.
pub(super) fn faults(db: &Connection, limit: u32) -> rusqlite::Result<Vec<String>> {
    // One row may hold many lines.
    let sql = format!("PRAGMA integrity_check({limit})");
    let told = db.prepare(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
    let lines = told.iter().flat_map(|told: &String| told.lines());
    Ok(lines.filter(|line| *line != "ok").map(str::to_owned).take(limit as usize).collect())
}

/// Indexes that are missing or differ from the migrations', with the statements that repair them.
pub(super) fn index_faults(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let version = db.query_row("SELECT schema_version FROM meta", [], |row| row.get(0))?;
    // Only a newer program knows its schema.
    let Some(migrations) = MIGRATIONS.get(..number(version)) else { return Ok(Vec::new()) };
    let found = indexes(db)?;
    let faults = as_made(migrations, indexes)?.into_iter().filter_map(|(name, made_with)| match found.get(&name) {
        None => Some(format!("the index {name} is missing; mend it with: {made_with}")),
        Some(other) if *other != made_with => Some(format!(
            "the index {name} is not as the program makes it; drop it, and mend it with: {made_with}"
        )),
        Some(_) => None,
    });
    Ok(faults.collect())
}

/// The statements of the indexes, by name. Indexes of a table's own definition are left out, since they exist
/// whenever the table does.
fn indexes(db: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
    let mut query = db.prepare(sql)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let on_one_line = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
    rows.map(|row| row.map(|(name, sql)| (name, on_one_line(sql)))).collect()
}

/// Inspects the database. Refuses one that is not this program's, or that only newer programs may use.
pub(super) fn inspect(
    db: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<Found, OpenError> {
    let failed = |error| OpenError::from_engine(path, &error);
    let application_id: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application_id != APPLICATION_ID {
        let objects: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(failed)?;
        let is_empty = application_id == 0 && objects == 0;
        return if is_empty { Ok(Found::Empty) } else { Err(OpenError::NotOurs(path.to_owned())) };
    }
    let (version, oldest): (usize, usize) = db
        .query_row("SELECT schema_version, oldest_schema_version FROM meta", [], |row| {
            Ok((number(row.get(0)?), number(row.get(1)?)))
        })
        .map_err(failed)?;
    if layout(db).map_err(failed)? != Some(LAYOUT) {
        return Err(OpenError::OtherLayout(path.to_owned()));
    }
    let fold_keys = fold_keys::version(db).map_err(failed)?;
    let program = migrations.len();
    if oldest > program {
        return Err(OpenError::TooNew { path: path.to_owned(), needs: oldest, program });
    }
    if version == program
        && let Some(missing) = missing_table(db, migrations).map_err(failed)?
    {
        return Err(OpenError::Incomplete { path: path.to_owned(), missing });
    }
    Ok(if version < program {
        Found::Older(version)
    } else if fold_keys < FOLD_KEY_VERSION {
        Found::OlderKeys
    } else {
        Found::Usable
    })
}

/// A table that the migrations make and the database lacks.
fn missing_table(db: &Connection, migrations: &[Migration]) -> rusqlite::Result<Option<String>> {
    let found = tables(db)?;
    Ok(as_made(migrations, tables)?.into_iter().find(|name| !found.contains(name)))
}

/// Looks at a database as the migrations make it.
fn as_made<T>(
    migrations: &[Migration],
    look: fn(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut made = Connection::open_in_memory()?;
    let tx = made.transaction()?;
    apply(&tx, 0, migrations)?;
    look(&tx)
}

fn tables(db: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let mut query = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    query.query_map([], |row| row.get(0))?.collect()
}

/// `None` if the schema has no such column yet.
fn layout(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT 1 FROM pragma_table_info('meta') WHERE name = 'layout'";
    if !db.prepare(sql)?.exists([])? {
        return Ok(None);
    }
    db.query_row("SELECT layout FROM meta", [], |row| row.get(0))
}

/// Applies the migrations that the database lacks, all or none of them.
pub(super) fn migrate(
    db: &mut Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_engine(path, &error);
    // The lock is taken before the inspection, so that the second of two programs finds the first one's work done.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let applied = match inspect(&tx, path, migrations)? {
        Found::Empty => 0,
        Found::Usable => return Ok(()),
        Found::Older(version) => version,
        Found::OlderKeys => migrations.len(),
    };
    apply(&tx, applied, migrations).map_err(failed)?;
    if applied == 0 {
        mark(&tx).map_err(failed)?;
    }
    fold_keys::renew(&tx).map_err(failed)?;
    tx.commit().map_err(failed)
}

fn apply(tx: &Transaction<'_>, applied: usize, migrations: &[Migration]) -> rusqlite::Result<()> {
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    for (index, migration) in migrations.iter().enumerate().skip(applied) {
        tx.execute_batch(migration.sql)?;
        tx.execute(
            "UPDATE meta SET schema_version = ?1, oldest_schema_version = ?2",
            [
                i64::try_from(index + 1).unwrap_or(i64::MAX),
                i64::try_from(migration.oldest).unwrap_or(i64::MAX),
            ],
        )?;
    }
    Ok(())
}

/// Gives a new store a random number, which its copies have too. A running server tells other stores from its own by it
/// (`files`).
fn mark(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    let random: i32 = tx.query_row("SELECT random() >> 32", [], |row| row.get(0))?;
    tx.pragma_update(None, "user_version", random)
}

fn number(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        sql: "CREATE TABLE meta (schema_version INTEGER, oldest_schema_version INTEGER,
                                 fold_key_version INTEGER, layout INTEGER);
              INSERT INTO meta VALUES (1, 1, 1, 9);",
        oldest: 1,
    };
    const ADDS_A_TABLE: Migration = Migration { sql: "CREATE TABLE more (id TEXT);", oldest: 1 };
    const CHANGES_ALL: Migration = Migration { sql: "DROP TABLE more;", oldest: 3 };
    const FAILS: Migration =
        Migration { sql: "CREATE TABLE half (id TEXT); CREATE TABLE more (id TEXT);", oldest: 1 };

    fn path() -> &'static Path {
        Path::new("test.db")
    }

    fn database(migrations: &[Migration]) -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, path(), migrations).unwrap();
        db
    }

    #[test]
    fn an_older_database_is_brought_up_to_date_once() {
        let mut db = database(&[FIRST]);
        let newer = [FIRST, ADDS_A_TABLE];
        assert_eq!(inspect(&db, path(), &newer).unwrap(), Found::Older(1));
        for _ in 0..2 {
            migrate(&mut db, path(), &newer).unwrap();
            assert_eq!(inspect(&db, path(), &newer).unwrap(), Found::Usable);
        }
    }

    #[test]
    fn a_newer_database_is_used_as_long_as_it_allows_it() {
        let db = database(&[FIRST, ADDS_A_TABLE]);
        assert_eq!(inspect(&db, path(), &[FIRST]).unwrap(), Found::Usable);
        let db = database(&[FIRST, ADDS_A_TABLE, CHANGES_ALL]);
        let error = inspect(&db, path(), &[FIRST, ADDS_A_TABLE]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the database test.db needs a program of schema 3 or later and this one has schema 2: \
             use a newer customer-settings"
        );
        assert_eq!(
            inspect(&db, path(), &[FIRST, ADDS_A_TABLE, CHANGES_ALL]).unwrap(),
            Found::Usable
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let mut db = database(&[FIRST, ADDS_A_TABLE]);
        assert!(migrate(&mut db, path(), &[FIRST, ADDS_A_TABLE, FAILS]).is_err());
        assert_eq!(inspect(&db, path(), &[FIRST, ADDS_A_TABLE]).unwrap(), Found::Usable);
        let halves: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'half'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(halves, 0);
    }

    #[test]
    fn a_database_of_another_layout_is_refused() {
        for other in ["UPDATE meta SET layout = 1", "ALTER TABLE meta DROP COLUMN layout"] {
            let mut db = database(MIGRATIONS);
            db.execute_batch(other).unwrap();
            for refused in
                [inspect(&db, path(), MIGRATIONS).map(drop), migrate(&mut db, path(), MIGRATIONS)]
            {
                let told = refused.unwrap_err().to_string();
                assert!(told.starts_with("the database test.db is of another program"), "{told}");
            }
        }
    }

    #[test]
    fn a_database_of_something_else_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&db, path(), MIGRATIONS).unwrap(), Found::Empty);
        db.execute_batch("CREATE TABLE theirs (id TEXT)").unwrap();
        assert!(matches!(inspect(&db, path(), MIGRATIONS), Err(OpenError::NotOurs(_))));
    }
}
