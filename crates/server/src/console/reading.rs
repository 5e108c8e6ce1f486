//! A pasted or uploaded text as the document of one company: YAML, JSON, or a table. The command line
//! reads them by the same functions.

use super::words::{CATALOGS, quoted};
use crate::{
    catalog::{entry::Catalog, id::CompanyId},
    formats::{csv, is_yaml, names_companies},
    service::document::{self, CompanyRow, DocumentCompany, Problems},
};

/// The most sentences about one text.
const MOST_TOLD: usize = 20;

/// The document of a company.
pub(super) struct Reading {
    pub(super) row: CompanyRow,
    /// How a table was understood, and which parts of the text are left out.
    pub(super) notes: Vec<String>,
    /// The lines of a table that are left out, as the notes say.
    pub(super) left_out: usize,
    /// The company as it was read, with its problems and lines; `None` for a table, whose lines are others and whose
    /// problems are notes. If there are problems, the row has the valid values alone, and nothing may be applied.
    pub(super) read: Option<DocumentCompany>,
}

impl Reading {
    /// Whether the document has problems.
    pub(super) fn is_wrong(read: Option<&DocumentCompany>) -> bool {
        read.is_some_and(|company| !company.problems.is_empty())
    }

    /// The problems of a document, and those that a plan of its valid values found, each with its line, in their order.
    /// A violation is a field, a reason and a description.
    pub(super) fn problems<'a>(
        read: Option<&DocumentCompany>,
        violations: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Vec<String> {
        let Some(company) = read else {
            return violations.map(|(field, _, text)| format!("{field} {text}")).collect();
        };
        let told = company.problems.clone().told().into_iter();
        let mut found: Vec<(u64, String)> = told.map(|one| (one.line, one.to_string())).collect();
        found.extend(violations.filter_map(|violation| {
            let (line, field, description) = company.located(violation, 0)?;
            Some((line, format!("line {line}: {field} {description}")))
        }));
        found.sort_by_key(|(line, _)| *line);
        found.into_iter().map(|(_, told)| told).collect()
    }
}

/// Reads a text for a company that exists. `list` is the catalog of a table that names none. The error has sentences.
pub(super) fn read(text: &str, company: &CompanyId, list: Catalog) -> Result<Reading, Vec<String>> {
    match document::parse_with_problems(text) {
        Ok((problems, companies)) => of_document(problems, companies.collect(), company),
        Err(error) if is_meant_as_document(text) => Err(vec![error.to_string()]),
        Err(_) => of_table(text, company, list),
    }
}

/// Whether the text is a document, though perhaps a broken one. Everything else is read as a table.
fn is_meant_as_document(text: &str) -> bool {
    text.trim_start().starts_with('{') || text.lines().any(names_companies) || is_yaml(text)
}

/// A sentence that begins with the name of a catalog, with the heading of the list instead.
fn titled(told: &str) -> String {
    let found =
        CATALOGS.iter().find_map(|words| Some((words, told.strip_prefix(words.collection)?)));
    match found {
        Some((words, rest)) => {
            let rest = rest.replace("a catalog holds", "a list holds");
            format!("the list {}{rest}", quoted(words.title))
        }
        None => told.to_owned(),
    }
}

fn of_table(text: &str, company: &CompanyId, list: Catalog) -> Result<Reading, Vec<String>> {
    let converted = csv::read(text.as_bytes(), Some(list)).map_err(|told| vec![titled(&told)])?;
    // The form decoded the file already.
    let note = |note: &String| note.strip_prefix("UTF-8, ").unwrap_or(note).to_owned();
    let mut notes: Vec<String> = converted.notes.iter().map(note).collect();
    let left_out = converted.left_out_in_all;
    notes.extend(converted.left_out.iter().take(MOST_TOLD).map(|line| format!("left out: {line}")));
    if left_out > MOST_TOLD {
        notes.push(format!("and {} other lines were left out", left_out - MOST_TOLD));
    }
    if converted.count() == 0 {
        notes.push("the table has no entry that can be taken".to_owned());
        return Err(notes);
    }
    let text = converted.document(company).map_err(|error| vec![error.to_string()])?;
    let read = read(&text, company, list)?;
    match Reading::is_wrong(read.read.as_ref()) {
        true => Err(Reading::problems(read.read.as_ref(), std::iter::empty())),
        false => Ok(Reading { notes, left_out, read: None, ..read }),
    }
}

fn of_document(
    problems: Problems,
    mut companies: Vec<DocumentCompany>,
    company: &CompanyId,
) -> Result<Reading, Vec<String>> {
    let problems = problems.told();
    let refuse = |problem: String| {
        let told = problems.iter().map(ToString::to_string);
        Err(told.chain([problem]).collect())
    };
    let is_it = |one: &DocumentCompany| one.id.as_ref() == Some(company);
    let count = companies.len();
    let found = match (companies.iter().position(is_it), companies.as_slice()) {
        (Some(found), _) => found,
        (None, [_]) => 0,
        (None, []) => return refuse("the document has no company".to_owned()),
        (None, _) => {
            return refuse(format!(
                "the document has {count} companies, and none is this one: write “id: {company}” at the one that is meant"
            ));
        }
    };
    let mut found = companies.swap_remove(found);
    // Those of the keys beside the companies count as its own, so that all are told at once.
    problems.into_iter().for_each(|problem| found.problems.note(problem));
    let (mut row, mut notes) = (CompanyRow::of_document(&found), Vec::new());
    if !is_it(&found) {
        // As `apply --as` does.
        row.id = Some(company.to_string());
        (row.name, row.country, row.timezone, row.state) = (None, None, None, None);
        row.source = None;
        notes.push(format!(
            "the document is about “{}”: this company takes its lists and locations, and keeps its own name, country \
             and time zone",
            found.label
        ));
    }
    match count - 1 {
        0 => {}
        1 => notes.push("1 other company of the document is left out".to_owned()),
        others => notes.push(format!("{others} other companies of the document are left out")),
    }
    Ok(Reading { row, notes, left_out: 0, read: Some(found) })
}
