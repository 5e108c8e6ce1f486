//! Makes a large database in a short time: it copies one company, which the program itself has loaded, row by
//! row, under other ids. Rows and log are therefore the program's own. This file knows only three names of
//! the schema. `customer-settings verify` finds no differences.

use std::path::{Path, PathBuf};

use clap::Args;
use rusqlite::{Connection, params};
use tokio::time::Instant;

use crate::Result;

/// The copied company. In a copy, the copy's id replaces this id in every text.
const PATTERN: &str = "cmp_pattern";

/// The tables of a company's data, each with the column that holds the company's id.
const TABLES: [(&str, &str); 3] =
    [("companies", "id"), ("entries", "company_id"), ("changes", "company_id")];

/// Companies in one transaction.
const GROUP: u64 = 1_000;

/// Fill a data directory that no server uses with copies of its company `cmp_pattern`, up to so many
#[derive(Args)]
pub(crate) struct Generate {
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    companies: u64,
}

impl Generate {
    pub(crate) fn run(self) -> Result<()> {
        let started = Instant::now();
        generate(&self.data_dir, self.companies)?;
        println!("{} companies in {:.1} s", self.companies, started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The ids of the first copies.
pub(crate) fn ids(companies: u64) -> impl Iterator<Item = String> {
    (1..=companies).map(id)
}

pub(crate) fn id(number: u64) -> String {
    format!("cmp_{number:07}")
}

pub(crate) fn generate(data: &Path, companies: u64) -> Result<()> {
    let mut db = Connection::open(data.join("customer-settings.db"))?;
    // A database that is broken off here is useless in any case.
    db.pragma_update(None, "journal_mode", "OFF")?;
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update(None, "foreign_keys", false)?;
    let statements: Vec<String> =
        TABLES.iter().map(|(table, owner)| copy(&db, table, owner)).collect::<Result<_>>()?;
    let count = "SELECT count(*) - 1 FROM companies";
    let mut number = u64::try_from(db.query_row(count, [], |row| row.get::<_, i64>(0))?)?;
    while number < companies {
        let group = db.transaction()?;
        for _ in 0..GROUP.min(companies - number) {
            number += 1;
            let id = id(number);
            for statement in &statements {
                group.prepare_cached(statement)?.execute(params![id])?;
            }
        }
        group.commit()?;
        if number.is_multiple_of(100_000) {
            eprintln!("{number} companies");
        }
    }
    Ok(())
}

/// The statement that copies the rows of the pattern within a table.
fn copy(db: &Connection, table: &str, owner: &str) -> Result<String> {
    let mut columns = vec![];
    let mut values = vec![];
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    for column in statement.query_map([table], |row| row.get::<_, String>(0))? {
        let column = column?;
        let sql =
            format!("SELECT count(*) FROM {table} WHERE {owner} = ?1 AND instr({column}, ?1) > 0");
        let has_id: u32 = db.query_row(&sql, [PATTERN], |row| row.get(0))?;
        values.push(match has_id {
            0 => column.clone(),
            _ if column == owner => "?1".to_owned(),
            _ => format!("replace({column}, '{PATTERN}', ?1)"),
        });
        columns.push(column);
    }
    let rows: u32 = db.query_row(
        &format!("SELECT count(*) FROM {table} WHERE {owner} = ?1"),
        [PATTERN],
        |row| row.get(0),
    )?;
    if rows == 0 {
        return Err(format!("{PATTERN} has no rows in {table}").into());
    }
    let (columns, values) = (columns.join(", "), values.join(", "));
    Ok(format!(
        "INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {owner} = '{PATTERN}'"
    ))
}
