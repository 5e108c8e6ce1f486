//! The schema: the migrations, the programs that may use a database of a given schema, and the lock on changes.
//!
//! During an upgrade, nodes of two versions run side by side. So a migration only adds things that older programs
//! ignore. A later migration removes the replaced things, when `oldest` excludes such programs. For the same reason no
//! query selects `*`: a new column would change the statements that an older program has prepared.

use tokio_postgres::{Client, Error, Row, error::SqlState};

use super::error::{OpenError, explain};
use crate::{
    catalog::text::{FOLD_KEY_VERSION, Name},
    store::{Access, LAYOUT},
};

/// A step from one schema to the next.
struct Migration {
    sql: &'static str,
    /// The oldest program, by the number of its last migration, that may still use the result.
    oldest: usize,
}

/// In order, beginning with number 1.
const MIGRATIONS: &[Migration] =
    &[Migration { sql: include_str!("../../../migrations/postgres/0001_initial.sql"), oldest: 1 }];

/// One row about the database as a whole. A program that changes the schema locks this row, so it exists before the
/// first migration, at version 0.
const META: &str = "CREATE TABLE IF NOT EXISTS meta (
    only_row              BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    -- How many migrations were applied.
    schema_version        BIGINT NOT NULL,
    -- The oldest program, by the number of its last migration, that may still use this schema.
    oldest_schema_version BIGINT NOT NULL,
    -- Rises where the first migration itself is changed, which ends with the first release.
    layout                BIGINT NOT NULL,
    -- Which life of the data this is: one more after every restore.
    epoch                 BIGINT NOT NULL CHECK (epoch > 0),
    -- Which rule the fold keys of companies follow; a newer program renews them.
    fold_key_version      BIGINT NOT NULL,
    -- A random number by which a running server tells other stores from its own. Copies have it too.
    mark                  BIGINT NOT NULL
)";
const META_ROW: &str =
    "INSERT INTO meta (only_row, schema_version, oldest_schema_version, layout, epoch, fold_key_version, mark)
     VALUES (1, 0, 0, $1, 1, 1, (random() * 1e15)::bigint) ON CONFLICT (only_row) DO NOTHING";

/// The statements that make the tables and their indexes, each on one line, without comments. A later migration removes
/// such a table or index only when no program that checks for it is left.
pub(super) fn statements() -> impl Iterator<Item = String> {
    let files = [META].into_iter().chain(MIGRATIONS.iter().map(|migration| migration.sql));
    files.flat_map(|sql| {
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        let sql = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        sql.split(';').map(|statement| statement.trim().to_owned()).collect::<Vec<_>>()
    })
}

/// The names of all tables.
pub(super) fn all_tables() -> Vec<String> {
    statements().filter_map(|made| Some(made_table(&made)?.0.to_owned())).collect()
}

/// The table that a statement makes, and the text in its brackets.
pub(super) fn made_table(statement: &str) -> Option<(&str, &str)> {
    let made = statement.strip_prefix("CREATE TABLE ")?;
    made.trim_start_matches("IF NOT EXISTS ").split_once(" (")
}

/// Companies whose fold keys one statement renews.
const PAGE: i64 = 500;

/// How often to try to make `meta` while other nodes make it.
const ATTEMPTS: usize = 10;

/// The state of a database.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nothing yet.
    Empty,
    /// A schema that the program can bring up to its own.
    Older(usize),
    /// A schema that the program can use as it is.
    Usable,
}

/// Checks that the database can be used. If `access` allows it, migrates the database. Returns the store's mark.
pub(super) async fn open(db: &Client, database: &str, access: Access) -> Result<i64, OpenError> {
    check_server(db, database, access).await?;
    let failed = |error| of_tables(database, &error);
    match (inspect(db, database).await?, access) {
        (Found::Usable, Access::Read) => {}
        (Found::Empty, Access::Read) => return Err(OpenError::NoStore(database.to_owned())),
        (Found::Older(found), Access::Read) => {
            let database = database.to_owned();
            return Err(OpenError::TooOld { database, found, program: MIGRATIONS.len() });
        }
        (found, Access::Write | Access::Serve { .. }) => {
            if found != Found::Usable {
                migrate(db, database).await?;
            }
            renew_fold_keys(db).await.map_err(failed)?;
        }
    }
    let row = db.query_one("SELECT mark FROM meta WHERE only_row = 1", &[]).await;
    row.and_then(|row| row.try_get(0)).map_err(failed)
}

async fn check_server(db: &Client, database: &str, access: Access) -> Result<(), OpenError> {
    let failed = |error: Error| OpenError::of_using(database, &error);
    let sql = "SELECT current_setting('server_encoding'), current_setting('transaction_read_only')";
    let row = db.query_one(sql, &[]).await.map_err(failed)?;
    let (encoding, read_only): (String, String) = (row.get(0), row.get(1));
    let database = database.to_owned();
    if encoding != "UTF8" {
        return Err(OpenError::NotUtf8 { database, encoding });
    }
    if read_only == "on" && access != Access::Read {
        return Err(OpenError::ReadOnly(database));
    }
    Ok(())
}

/// Inspects the database. Refuses one that is not this program's, or that only newer programs may use.
async fn inspect(db: &Client, database: &str) -> Result<Found, OpenError> {
    let tables = tables(db, database).await?;
    if !tables.iter().any(|table| table == "meta") {
        return match tables.into_iter().next() {
            None => check_other_schemas(db, database).await.map(|()| Found::Empty),
            Some(found) => Err(OpenError::NotEmpty { database: database.to_owned(), found }),
        };
    }
    let sql = "SELECT schema_version, oldest_schema_version FROM meta WHERE only_row = 1";
    let row = db.query_opt(sql, &[]).await.map_err(|error| of_tables(database, &error))?;
    check_layout(db, database).await?;
    let found = row.map_or(Ok(Found::Empty), |row| judge(&row, database))?;
    if found == Found::Usable {
        check_complete(db, database).await?;
    }
    Ok(found)
}

async fn check_layout(db: &Client, database: &str) -> Result<(), OpenError> {
    let other = || OpenError::OtherLayout(database.to_owned());
    let row = db.query_opt("SELECT layout FROM meta WHERE only_row = 1", &[]).await;
    let row = row.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::UNDEFINED_COLUMN => other(),
        _ => of_tables(database, &error),
    })?;
    match row.map(|row| row.try_get::<_, i64>(0)) {
        None | Some(Ok(LAYOUT)) => Ok(()),
        Some(_) => Err(other()),
    }
}

/// Checks that all tables of a schema exist. Called after the version was read, as another node may make
/// the schema at this moment.
async fn check_complete(db: &Client, database: &str) -> Result<(), OpenError> {
    let tables = tables(db, database).await?;
    match all_tables().into_iter().find(|name| !tables.contains(name)) {
        Some(missing) => Err(OpenError::Incomplete { database: database.to_owned(), missing }),
        None => Ok(()),
    }
}

async fn tables(db: &Client, database: &str) -> Result<Vec<String>, OpenError> {
    let sql =
        "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = current_schema()";
    let rows = db.query(sql, &[]).await.map_err(|error| OpenError::of_using(database, &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Refuses an empty schema if another schema, which the user may read, holds a store. Then the search path has changed,
/// and a new store would refuse every key. Otherwise an empty schema counts as a new database.
async fn check_other_schemas(db: &Client, database: &str) -> Result<(), OpenError> {
    let sql = "SELECT table_schema::text, current_schema()::text FROM information_schema.columns
               WHERE table_name = 'meta' AND column_name = 'fold_key_version'
                     AND table_schema <> current_schema() LIMIT 1";
    let row =
        db.query_opt(sql, &[]).await.map_err(|error| OpenError::of_using(database, &error))?;
    row.map_or(Ok(()), |row| {
        let database = database.to_owned();
        Err(OpenError::OtherSchema { database, holder: row.get(0), empty: row.get(1) })
    })
}

fn judge(row: &Row, database: &str) -> Result<Found, OpenError> {
    let number = |column| row.try_get(column).ok().and_then(|number: i64| number.try_into().ok());
    let (Some(version), Some(oldest)) = (number(0), number(1)) else {
        return Err(OpenError::NotOurs(database.to_owned()));
    };
    let program = MIGRATIONS.len();
    if oldest > program {
        return Err(OpenError::TooNew { database: database.to_owned(), needs: oldest, program });
    }
    Ok(match version {
        0 => Found::Empty,
        version if version < program => Found::Older(version),
        _ => Found::Usable,
    })
}

/// Applies the migrations that the database lacks, all or none of them. If several nodes start at once, one migrates,
/// and the others wait for it.
async fn migrate(db: &Client, database: &str) -> Result<(), OpenError> {
    let failed = |error: Error| of_tables(database, &error);
    // A migration, here or in another node, may take any time.
    db.batch_execute("SET statement_timeout = 0").await.map_err(failed)?;
    make_meta(db).await.map_err(failed)?;
    db.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failed)?;
    let sql =
        "SELECT schema_version, oldest_schema_version FROM meta WHERE only_row = 1 FOR UPDATE";
    let row = db.query_one(sql, &[]).await.map_err(failed)?;
    let applied = match judge(&row, database)? {
        Found::Empty => 0,
        Found::Older(version) => version,
        Found::Usable => MIGRATIONS.len(),
    };
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        db.batch_execute(migration.sql).await.map_err(failed)?;
        let version = format!(
            "UPDATE meta SET schema_version = {}, oldest_schema_version = {} WHERE only_row = 1",
            index + 1,
            migration.oldest
        );
        db.batch_execute(&version).await.map_err(failed)?;
    }
    db.batch_execute("COMMIT").await.map_err(failed)?;
    if applied < MIGRATIONS.len() {
        tracing::info!(database, schema = MIGRATIONS.len(), "the schema is up to date now");
    }
    Ok(())
}

/// Makes the fold keys of companies again, if an older program made them. Nodes of that program go on meanwhile and
/// afterwards: a writer of a company's own row locks the version first, and finds that it has changed.
async fn renew_fold_keys(db: &Client) -> Result<(), Error> {
    let own = i64::from(FOLD_KEY_VERSION);
    let sql = "SELECT fold_key_version FROM meta WHERE only_row = 1";
    let version: i64 = db.query_one(sql, &[]).await?.try_get(0)?;
    if version >= own {
        return Ok(());
    }
    db.batch_execute("SET statement_timeout = 0; BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    let locked: i64 = db.query_one(&format!("{sql} FOR UPDATE"), &[]).await?.try_get(0)?;
    let (mut after, mut is_done) = (String::new(), locked >= own);
    while !is_done {
        let sql = "SELECT id, name FROM companies WHERE id > $1 ORDER BY id LIMIT $2";
        let page = db.query(sql, &[&after, &PAGE]).await?;
        let last = page.last().map(|row| row.try_get(0)).transpose()?;
        is_done = last.is_none();
        after = last.unwrap_or_default();
        let (mut ids, mut keys): (Vec<String>, Vec<String>) = Default::default();
        for row in &page {
            // A text that is no valid name has no key. `verify` reports it.
            if let Ok(name) = Name::stored(row.try_get(1)?) {
                ids.push(row.try_get(0)?);
                keys.push(name.fold_key());
            }
        }
        let sql = "UPDATE companies SET fold_key = renewed.fold_key
                   FROM unnest($1::text[], $2::text[]) AS renewed (id, fold_key)
                   WHERE companies.id = renewed.id";
        db.execute(sql, &[&ids, &keys]).await?;
    }
    let sql =
        "UPDATE meta SET fold_key_version = greatest(fold_key_version, $1) WHERE only_row = 1";
    db.execute(sql, &[&own]).await?;
    db.batch_execute("COMMIT").await
}

/// IF NOT EXISTS checks before it makes the table, so two nodes may still collide.
async fn make_meta(db: &Client) -> Result<(), Error> {
    let mut attempts = 1..ATTEMPTS;
    loop {
        match db.batch_execute(META).await {
            Ok(()) => break,
            Err(error) if is_met(&error) && attempts.next().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    db.execute(META_ROW, &[&LAYOUT]).await.map(drop)
}

fn is_met(error: &Error) -> bool {
    let met = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    error.code().is_some_and(|code| met.contains(code))
}

fn of_tables(database: &str, error: &Error) -> OpenError {
    let others = [
        SqlState::UNDEFINED_COLUMN,
        SqlState::WRONG_OBJECT_TYPE,
        SqlState::DUPLICATE_TABLE,
        SqlState::NOT_NULL_VIOLATION,
    ];
    if error.code().is_some_and(|code| others.contains(code)) {
        tracing::debug!(error = explain(error), "other tables");
        return OpenError::NotOurs(database.to_owned());
    }
    OpenError::of_using(database, error)
}
