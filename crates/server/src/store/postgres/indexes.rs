//! Checks that the indexes exist that the migrations make. Whether each holds every row, only an extension of the
//! engine can check, which administrators install.

use std::collections::BTreeMap;

use super::{
    columns::Result,
    pool::Pool,
    schema::{made_table, statements},
};
use crate::store::forms::Columns;

/// The indexes of a schema: whether each is valid, and its shape.
const INDEXES: &str = "SELECT index.relname::text AS name, indisvalid AND indisready AS is_valid,
        CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END || indexed.relname || ' ('
        || (SELECT string_agg(attname, ', ' ORDER BY place)
            FROM unnest(indkey::int2[]) WITH ORDINALITY AS key (number, place)
            JOIN pg_catalog.pg_attribute ON attrelid = indrelid AND attnum = key.number)
        || ')' || CASE WHEN indpred IS NULL THEN '' ELSE ' WHERE' END AS shape
    FROM pg_catalog.pg_index
    JOIN pg_catalog.pg_class AS index ON index.oid = indexrelid
    JOIN pg_catalog.pg_class AS indexed ON indexed.oid = indrelid
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = indexed.relnamespace
    WHERE schema.nspname = current_schema()";

/// An index of a migration.
struct Index {
    name: String,
    table: String,
    /// In the form of [`INDEXES`].
    shape: String,
    /// The statement that makes it if it is missing.
    made_with: String,
}

impl Index {
    /// The index that the statement makes. A table has an index for its primary key.
    fn made_by(statement: &str) -> Option<Self> {
        if let Some((table, body)) = made_table(statement) {
            let columns = match body.split_once("PRIMARY KEY (") {
                Some((_, columns)) => columns.split_once(')')?.0,
                None => body
                    .split(',')
                    .find(|one| one.contains(" PRIMARY KEY"))?
                    .split_whitespace()
                    .next()?,
            };
            return Some(Self {
                name: format!("{table}_pkey"),
                table: table.to_owned(),
                shape: format!("UNIQUE {table} ({columns})"),
                made_with: format!("ALTER TABLE {table} ADD PRIMARY KEY ({columns})"),
            });
        }
        let made = statement.strip_prefix("CREATE ")?;
        let unique = if made.starts_with("UNIQUE ") { "UNIQUE " } else { "" };
        let (name, indexed) =
            made.strip_prefix(unique)?.strip_prefix("INDEX ")?.split_once(" ON ")?;
        let (shape, condition) = indexed.split_once(')')?;
        let partial = if condition.is_empty() { "" } else { " WHERE" };
        Some(Self {
            name: name.to_owned(),
            table: indexed.split_once(" (")?.0.to_owned(),
            shape: format!("{unique}{shape}){partial}"),
            made_with: statement.to_owned(),
        })
    }
}

/// The faults of the indexes, at most `limit`, with the statements that repair them.
pub(super) async fn faults(pool: &Pool, limit: u32) -> Result<Vec<String>> {
    let mut found = BTreeMap::new();
    for row in &pool.query(INDEXES, &[]).await? {
        let (name, shape) = (row.text("name")?.to_owned(), row.text("shape")?.to_owned());
        found.insert(name, (shape, row.flag("is_valid")?));
    }
    let made = statements().filter_map(|statement| Index::made_by(&statement));
    let faults = made.filter_map(|Index { name, table, shape, made_with }| match found.get(&name) {
        None => Some(format!("the index {name} of {table} is missing; mend it with: {made_with}")),
        Some((other, _)) if *other != shape => Some(format!(
            "the index {name} of {table} is not as the program makes it; drop it, and mend it with: {made_with}"
        )),
        Some((_, false)) => {
            Some(format!("the index {name} of {table} is not whole; mend it with: REINDEX INDEX {name}"))
        }
        Some(_) => None,
    });
    Ok(faults.take(limit as usize).collect())
}
