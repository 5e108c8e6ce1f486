//! The order in which a commit writes. It is the same in every engine, which has only the SQL of each statement.

use super::StoreError;
use crate::catalog::{
    company::{Business, Company},
    delta::{Delta, Row},
    entry::{Catalog, Entry, Revision},
    error::Cause,
    id::EntryId,
    key::Key,
    log::Line,
    settings::Subject,
    stream::{Stream, StreamKind},
};

/// One statement of a commit, without its SQL. Each writes one row. Otherwise the commit ends, and nothing is written.
pub(in crate::store) enum Statement<'a> {
    /// Locks the version of the fold keys until the commit. A program of an older rule must not write keys
    /// among those of a newer one.
    HoldFoldKeys,
    /// Locks the stream at the line's base, without changing it.
    Hold,
    /// Makes the company, at its first revision.
    MakeCompany(&'a Company),
    /// Raises the company from the line's base to the next revision.
    Advance,
    /// Adds the line to the log. This comes before the rows, so that a repeated request is found before its plan fails.
    Append,
    UpdateCompany(&'a Company),
    InsertBusiness(&'a Business),
    UpdateBusiness(&'a Business),
    InsertEntry(Catalog, &'a Entry),
    /// The number is the entry's rank until now.
    UpdateEntry(Catalog, i64, &'a Entry),
    SetRank {
        catalog: Catalog,
        id: &'a EntryId,
        from: i64,
        to: i64,
    },
    DeleteEntry(Catalog, &'a Entry),
    /// Reserves the id of a deleted entry, so that no other entry gets it.
    RememberDeleted(Catalog, &'a EntryId),
    ForgetDeleted(Catalog, &'a EntryId),
    InsertKey(&'a Key),
    UpdateKey(&'a Key),
}

/// The statements of a stream's line. A line that no plan can have is damaged: a line of another stream, a line that
/// makes its company or key after the start of the log, or a line that leaves nothing to find in the log.
pub(in crate::store) fn statements<'a>(
    stream: &Stream,
    line: &'a Line,
) -> Result<Vec<Statement<'a>>, StoreError> {
    let unfit = || StoreError::Damaged(Cause::new("the plan does not fit what it is about"));
    let is_fit = (line.request.is_none() || line.actor.key_id.is_some())
        && (line.request.is_some() || !line.is_empty());
    if !is_fit {
        return Err(unfit());
    }
    if line.is_empty() {
        return match line.revision {
            Revision(0) => Err(unfit()),
            _ => Ok(vec![Statement::Hold, Statement::Append]),
        };
    }
    let statements = match stream.kind() {
        StreamKind::COMPANY => of_company(stream.id(), line),
        StreamKind::KEY => of_key(stream.id(), line),
        // A kind without a table.
        _ => Some(vec![Statement::Hold, Statement::Append]),
    };
    statements.ok_or_else(unfit)
}

fn of_key<'a>(id: &str, line: &'a Line) -> Option<Vec<Statement<'a>>> {
    let [Delta { subject: Subject::Key(_), before, after }] = &line.deltas[..] else { return None };
    let after = after.as_ref()?.key()?;
    let is_made = line.base() == Revision(0);
    let is_fit = after.id.as_str() == id
        && after.audit.revision == line.revision
        && before.is_none() == is_made;
    let write = if is_made { Statement::InsertKey(after) } else { Statement::UpdateKey(after) };
    is_fit.then(|| vec![write, Statement::Append])
}

fn of_company<'a>(company: &str, line: &'a Line) -> Option<Vec<Statement<'a>>> {
    let of_company = line.deltas.iter().filter(|delta| delta.subject == Subject::Company);
    let mut rows = of_company.clone().map(|delta| delta.after.as_ref().and_then(Row::company));
    if !rows.all(|after| after.is_some_and(|after| after.id.as_str() == company)) {
        return None;
    }
    let mut statements = Vec::with_capacity(2 * line.deltas.len() + 3);
    if of_company.count() > 0 {
        statements.push(Statement::HoldFoldKeys);
    }
    let mut deltas = &line.deltas[..];
    if line.base() == Revision(0) {
        let [Delta { before: None, after: Some(Row::Company(made)), .. }, rest @ ..] = deltas
        else {
            return None;
        };
        statements.push(Statement::MakeCompany(made));
        deltas = rest;
    } else {
        statements.push(Statement::Advance);
    }
    statements.push(Statement::Append);
    // A single entry that changes cannot collide with others.
    let parks = deltas.iter().filter(|delta| delta.entry_id().is_some()).count() > 1;
    make_room(deltas, parks, &mut statements);
    write_rows(deltas, parks, &mut statements)?;
    Some(statements)
}

/// Deletes entries, and parks entries that move or change, so that the order in which entries take each other's names
/// and places does not matter.
fn make_room<'a>(deltas: &'a [Delta], parks: bool, statements: &mut Vec<Statement<'a>>) {
    for delta in deltas {
        let Subject::Entry(catalog, id) = &delta.subject else { continue };
        let catalog = *catalog;
        match (&delta.before, &delta.after) {
            (Some(Row::Entry(before)), Some(Row::Tombstone)) => {
                statements.push(Statement::DeleteEntry(catalog, before));
                statements.push(Statement::RememberDeleted(catalog, id));
            }
            (Some(before), _) if parks => {
                let rank = rank(before).into_iter();
                statements.extend(rank.map(|rank| {
                    let (from, to) = (i64::from(rank), parked(rank));
                    Statement::SetRank { catalog, id, from, to }
                }));
            }
            _ => {}
        }
    }
}

/// `None` if no plan has such a delta.
fn write_rows<'a>(
    deltas: &'a [Delta],
    parks: bool,
    statements: &mut Vec<Statement<'a>>,
) -> Option<()> {
    let until_now = |rank| if parks { parked(rank) } else { i64::from(rank) };
    for Delta { subject, before, after } in deltas {
        match (subject, before, after.as_ref()?) {
            (Subject::Company, Some(_), Row::Company(after)) => {
                statements.push(Statement::UpdateCompany(after));
            }
            (Subject::Business(_), None, Row::Business(after)) => {
                statements.push(Statement::InsertBusiness(after));
            }
            (Subject::Business(_), Some(_), Row::Business(after)) => {
                statements.push(Statement::UpdateBusiness(after));
            }
            (Subject::Entry(catalog, _), None, Row::Entry(after)) => {
                statements.push(Statement::InsertEntry(*catalog, after));
            }
            (Subject::Entry(catalog, _), Some(Row::Entry(before)), Row::Entry(after)) => {
                statements.push(Statement::UpdateEntry(*catalog, until_now(before.rank), after));
            }
            (Subject::Entry(catalog, id), Some(Row::Tombstone), Row::Entry(after)) => {
                statements.push(Statement::ForgetDeleted(*catalog, id));
                statements.push(Statement::InsertEntry(*catalog, after));
            }
            (Subject::Entry(catalog, id), Some(Row::Rank(from)), Row::Rank(to)) => {
                let (from, to) = (until_now(*from), i64::from(*to));
                statements.push(Statement::SetRank { catalog: *catalog, id, from, to });
            }
            // The entry was deleted in an earlier statement.
            (Subject::Entry(..), Some(Row::Entry(_)), Row::Tombstone) => {}
            _ => return None,
        }
    }
    Some(())
}

/// The rank of an entry that exists on this side.
fn rank(row: &Row) -> Option<u32> {
    match row {
        Row::Entry(entry) => Some(entry.rank),
        Row::Rank(rank) => Some(*rank),
        Row::Company(_) | Row::Business(_) | Row::Key(_) | Row::Tombstone => None,
    }
}

/// The rank at which an entry is parked.
fn parked(rank: u32) -> i64 {
    -1 - i64::from(rank)
}
