//! Tables as text: what spreadsheet programs write, and what they open.

use crate::{
    catalog::entry::{Catalog, State},
    service::document::{CompanyRow, EntryRow, decode, quoted},
};
use csv::{ReaderBuilder, StringRecord, Terminator, WriterBuilder};

use super::{
    Converted, Given,
    columns::{Column, Columns, catalog, is_known, truth, words},
    kind::no_table,
};

/// A record of its own behind the end of the text. If it is part of another record, a quotation mark is missing.
const END: &str = "\u{1}";
/// The records by which separators and columns are guessed.
const SAMPLE: usize = 100;
/// The most lines above a header that are looked through.
const TITLE_LINES: usize = 10;
/// The separators, with their names. Of equally good guesses, the last one is taken.
const SEPARATORS: [(u8, &str); 4] =
    [(b'|', "bars"), (b'\t', "tabs"), (b';', "semicolons"), (b',', "commas")];
/// The headers that an error names.
const HEADERS: &str = "write name over the column of the names, and color, description, order, default, id, list, state \
                       or archived over others";

/// Reads a table. `list` is the catalog of entries for which the table names none.
pub fn read(bytes: &[u8], list: Option<Catalog>) -> Result<Converted, String> {
    let decoded = decode(bytes.to_vec()).map_err(|error| error.to_string())?;
    let mut text = decoded.text.replace("\r\n", "\n").replace('\r', "\n");
    if text.trim().is_empty() {
        return Err("the file is empty".to_owned());
    }
    if let Some(problem) = no_table(&text) {
        return Err(problem);
    }
    // Excel writes this line, and reads it.
    let given = text.lines().next().and_then(|line| line.strip_prefix("sep=")).map(str::to_owned);
    text.push('\n');
    text.push_str(END);
    let layout = Layout::guess(&text, given.as_deref())?;
    if !layout.columns.has(Column::List) && list.is_none() {
        return Err("the file does not say which catalog its entries are of: give --list customer_tags, \
                    referral_sources, life_cycles or action_statuses, or write list over a column of these names"
            .to_owned());
    }
    let mut converted = Converted::default();
    layout.tell(decoded.encoding, &mut converted.notes);
    converted.notes.extend(decoded.note());
    let mut last = None;
    for row in layout.rows(&text) {
        if let Some(row) = last.replace(row) {
            layout.take(&row, list, &mut converted)?;
        }
    }
    if let Some(list) = list.filter(|_| layout.columns.has(Column::List)) {
        let others: Vec<&str> =
            converted.catalogs().filter(|other| *other != list).map(Catalog::as_str).collect();
        if !others.is_empty() {
            converted.notes.push(format!(
                "the column list decides where it is not empty, and names others than {list}: {}",
                others.join(", ")
            ));
        }
    }
    match last {
        Some(Row { record, .. }) if record.len() == 1 && &record[0] == END => Ok(converted),
        last => Err(format!(
            "a quotation mark (\") is missing: the cell that begins with one in the record of line {} has no end",
            last.map_or(1, |row| row.line)
        )),
    }
}

/// How a table is written.
struct Layout {
    separator: u8,
    /// The name of the separator.
    separators: &'static str,
    columns: Columns,
    /// Whether the first line is none of the table.
    has_separator_line: bool,
    /// The line of the header, if there is one.
    header: Option<u64>,
    /// The line of a header that has other lines above it.
    late_header: Option<u64>,
    /// The name on the first line, if there is no header.
    first: Option<String>,
}

/// A record of a table.
struct Row<'a> {
    /// Its first line, from 1.
    line: u64,
    record: StringRecord,
    /// The text of the table from the record on.
    text: &'a str,
}

impl Layout {
    fn guess(text: &str, given: Option<&str>) -> Result<Self, String> {
        let candidates = SEPARATORS
            .into_iter()
            .filter(|(separator, _)| given.is_none_or(|given| given.as_bytes() == [*separator]));
        let guesses = candidates.filter_map(|named| Self::by(text, named, given.is_some()));
        let best = guesses.max_by_key(|(rank, _)| *rank);
        let (_, layout) = best.ok_or(
            "the file has no table whose separator is a comma, a semicolon, a tab or a bar",
        )?;
        layout.problem().map_or(Ok(layout), Err)
    }

    /// The layout with this separator, and how good a guess it is.
    fn by(
        text: &str,
        (separator, separators): (u8, &'static str),
        has_separator_line: bool,
    ) -> Option<((usize, bool, usize), Self)> {
        let (mut lines, mut sample) = (Vec::new(), Vec::new());
        for Row { line, record, .. } in rows(text, separator, has_separator_line).take(SAMPLE) {
            // The end of the text is no part of the table.
            if &record[0] != END {
                lines.push(line);
                sample.push(record);
            }
        }
        let columns = Columns::of_header(sample.first()?);
        // A single word that is a header may also be a title.
        let late = match columns {
            Some(_) if sample[0].len() > 1 => None,
            _ => late_header(&sample),
        };
        let known =
            late.as_ref().map(|(_, late)| late).or(columns.as_ref()).map_or(0, Columns::used);
        let late_header = late.map(|(at, _)| lines[at]);
        let width = sample[0].len();
        let is_even = sample.iter().all(|record| record.len() == width);
        let header = columns.as_ref().and_then(|_| lines.first().copied());
        let columns = columns.unwrap_or_else(|| Columns::of_values(&sample));
        let names = columns.columns.iter().position(|column| *column == Some(Column::Name));
        let first = names.filter(|_| header.is_none()).and_then(|at| sample[0].get(at));
        let first = first.map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty());
        let layout =
            Self { separator, separators, columns, has_separator_line, header, late_header, first };
        Some(((known, is_even, width), layout))
    }

    /// Why nobody knows what is in the columns.
    fn problem(&self) -> Option<String> {
        let (used, unused) = self.columns.said();
        let unused = unused.unwrap_or_else(|| "every column".to_owned());
        let count = self.columns.columns.len();
        if let Some(line) = self.late_header {
            return Some(format!(
                "line {line} is the header, and the lines above it are none of the table: delete them"
            ));
        }
        if let (1, Some(first)) = (count, &self.first)
            && is_known(first)
        {
            return Some(format!(
                "the only column has the header {0}, and no column is the name: write name over the column of the \
                 names, also if {0} is one of them",
                quoted(first)
            ));
        }
        match self.header {
            Some(line) if !self.columns.has(Column::Name) => Some(format!(
                "no column is the name: of the header in line {line}, {used}, and {unused} is not known: {HEADERS}"
            )),
            // A table whose columns nobody knows may be anything.
            None if self.columns.used() < count => Some(format!(
                "the first line is no header that is known, and {}: {HEADERS}; if it has one column, put quotation \
                 marks around text with {} in it",
                match count {
                    2 => "neither of the table's two columns begins with a color such as #00FF00",
                    _ => "the table has more columns than one of names and one of colors",
                },
                self.separators
            )),
            _ => None,
        }
    }

    /// Says how the table is read.
    fn tell(&self, encoding: &str, notes: &mut Vec<String>) {
        let separators =
            if self.columns.columns.len() == 1 { "one column" } else { self.separators };
        let header = self
            .header
            .map_or_else(|| "no header".to_owned(), |line| format!("line {line} is the header"));
        let (used, unused) = self.columns.said();
        notes.push(format!("{encoding}, {separators}; {header}; {used}"));
        if let Some(unused) = unused {
            notes.push(format!("not used: {unused}"));
        }
        if let Some(first) = &self.first {
            notes.push(format!("the first line {} is taken for an entry", quoted(first)));
        }
    }

    /// The records behind the header.
    fn rows<'a>(&self, text: &'a str) -> impl Iterator<Item = Row<'a>> {
        let skipped = usize::from(self.header.is_some());
        rows(text, self.separator, self.has_separator_line).skip(skipped)
    }

    /// Takes one record.
    fn take(
        &self,
        Row { line, record, text }: &Row<'_>,
        list: Option<Catalog>,
        converted: &mut Converted,
    ) -> Result<(), String> {
        if record.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        let entry = match misquoted(text, char::from(self.separator)) {
            Some(problem) => Err(problem),
            None => self.entry(record, list),
        };
        let place = format!("line {line}");
        match entry {
            Ok((catalog, given)) => converted.add(&place, catalog, &given),
            Err(problem) => {
                converted.leave_out(&place, &problem);
                Ok(())
            }
        }
    }

    fn entry<'a>(
        &self,
        record: &'a StringRecord,
        list: Option<Catalog>,
    ) -> Result<(Catalog, Given<'a>), String> {
        let (mut given, mut list) = (Given::default(), list);
        for (at, cell) in record.iter().enumerate() {
            let cell = unescaped(cell.trim());
            let wrong = |name: &str, expected: &str| {
                format!("{name} (column {}) must be {expected}; it is {}", at + 1, quoted(cell))
            };
            let yes = |name: &str| truth(cell).ok_or_else(|| wrong(name, "yes or no, or empty"));
            let Some(column) = self.columns.columns.get(at) else {
                if !cell.is_empty() {
                    return Err(format!(
                        "there is {} in column {}, and the table has {}: text with the separator in it needs quotation \
                         marks",
                        quoted(cell),
                        at + 1,
                        self.columns.columns.len()
                    ));
                }
                continue;
            };
            match column {
                None => {}
                // Such a cell is escaped if it is the text of an entry.
                Some(_) if is_failed(record[at].trim()) => {
                    return Err(format!(
                        "column {} has {}, as the formula in it failed: write the value there",
                        at + 1,
                        quoted(cell)
                    ));
                }
                Some(Column::Name) if cell.contains('\n') => {
                    return Err(format!(
                        "the name has a line break; it is {}: is a quotation mark missing?",
                        quoted(cell)
                    ));
                }
                Some(Column::Name) => given.name = cell,
                Some(Column::Id) => given.id = cell,
                Some(Column::Description) => given.description = cell,
                Some(Column::Color) => given.color = cell,
                Some(Column::Default) => given.is_default = yes("default")?,
                Some(Column::Archived) => given.is_archived |= yes("archived")?,
                Some(Column::Active) => given.is_archived |= !cell.is_empty() && !yes("active")?,
                Some(Column::State) => {
                    let state = state(cell).ok_or_else(|| wrong("state", "active or archived"))?;
                    given.is_archived |= state == State::Archived;
                }
                Some(Column::Order) if cell.is_empty() => {}
                Some(Column::Order) => {
                    let place = cell.parse().ok().filter(|place: &f64| place.is_finite());
                    given.place = Some(place.ok_or_else(|| wrong("order", "a number"))?);
                }
                Some(Column::List) if cell.is_empty() => {}
                Some(Column::List) => {
                    let names = "customer_tags, referral_sources, life_cycles or action_statuses";
                    list = Some(catalog(cell).ok_or_else(|| wrong("list", names))?);
                }
            }
        }
        let list = list.ok_or(
            "the list is empty: write customer_tags or another catalog there, or give --list",
        )?;
        Ok((list, given))
    }
}

/// The place of a header below other lines, such as a title. Only one of several known columns is sure to be one.
fn late_header(sample: &[StringRecord]) -> Option<(usize, Columns)> {
    let candidates = sample.iter().enumerate().take(TITLE_LINES + 1).skip(1);
    let headers = candidates.filter_map(|(at, record)| Some((at, Columns::of_header(record)?)));
    let mut sure = headers.filter(|(_, columns)| columns.has(Column::Name) && columns.used() > 1);
    sure.next()
}

/// The problem of a cell whose quotation marks the reader would take otherwise than people mean them. The text begins
/// with the record.
fn misquoted(text: &str, separator: char) -> Option<String> {
    let (mut column, mut rest) = (1, text);
    loop {
        let is_blank = |c: char| c != separator && c != '\n' && c.is_whitespace();
        let unquoted = match rest.strip_prefix('"') {
            Some(quoted) => behind_quotes(quoted)?,
            None if rest.trim_start_matches(is_blank).starts_with('"') => {
                return Some(format!(
                    "column {column} has a blank before its quotation mark: delete the blank"
                ));
            }
            None => rest,
        };
        let end = unquoted.find([separator, '\n']).unwrap_or(unquoted.len());
        if unquoted.len() < rest.len() && !unquoted[..end].trim().is_empty() {
            return Some(format!(
                "column {column} goes on behind its quotation marks, with {}: put all of it within them, and write \"\" \
                 for a mark that belongs to the text",
                quoted(unquoted[..end].trim())
            ));
        }
        rest = unquoted[end..].strip_prefix(separator)?;
        column += 1;
    }
}

/// The text behind the mark that ends a cell, of which the text begins behind the first mark.
fn behind_quotes(mut text: &str) -> Option<&str> {
    loop {
        text = text.split_once('"')?.1;
        match text.strip_prefix('"') {
            Some(within) => text = within,
            None => return Some(text),
        }
    }
}

/// The records of a text. Empty lines are none.
fn rows(text: &str, separator: u8, has_separator_line: bool) -> impl Iterator<Item = Row<'_>> {
    let skipped = if has_separator_line { text.find('\n').map_or(0, |end| end + 1) } else { 0 };
    let body = &text[skipped..];
    let reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .from_reader(body.as_bytes());
    // The reader counts an empty line before a record as part of it.
    reader.into_records().filter_map(Result::ok).map(move |record| {
        let (byte, line) = record.position().map_or((0, 1), |at| (at.byte(), at.line()));
        let at = usize::try_from(byte).unwrap_or(body.len()).min(body.len());
        let empty = body.as_bytes()[at..].iter().take_while(|byte| **byte == b'\n').count();
        let line = line + empty as u64 + u64::from(has_separator_line);
        Row { line, record, text: &body[at + empty..] }
    })
}

fn state(cell: &str) -> Option<State> {
    match words(cell).as_str() {
        "" | "active" | "enabled" | "visible" | "aktiv" | "actif" | "activo" | "attivo"
        | "ativo" | "actief" => Some(State::Active),
        "archived" | "inactive" | "disabled" | "hidden" | "archiviert" | "inaktiv" | "archivé"
        | "inactif" | "archivado" | "inactivo" | "archiviato" | "inattivo" | "arquivado"
        | "inativo" | "gearchiveerd" | "inactief" => Some(State::Archived),
        _ => None,
    }
}

/// The beginnings of cells that spreadsheet programs take for a formula, or that hide one. Where people write Chinese or
/// Japanese, some programs take the wide characters for the others.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];

/// The texts that spreadsheet programs save for a formula that failed, in English, German, French, Spanish, Italian,
/// Portuguese and Dutch.
const FAILED_FORMULAS: &str = "#NAME? #REF! #N/A #VALUE! #DIV/0! #NUM! #NULL! #SPILL! #CALC! #ERROR! #BEZUG! #NV #WERT! \
                               #ZAHL! #NOM? #VALEUR! #NOMBRE! #NUL! #¿NOMBRE? #¡REF! #¡VALOR! #¡DIV/0! #¡NUM! #NOME? \
                               #RIF! #N/D #VALORE! #VALOR! #NAAM? #VERW! #N/B #WAARDE! #DEEL/0!";

fn is_failed(cell: &str) -> bool {
    FAILED_FORMULAS.split(' ').any(|failed| failed == cell)
}

/// Whether a spreadsheet program would take the cell for a formula or one that failed, or an earlier quotation mark keeps
/// it from that.
fn is_dangerous(cell: &str) -> bool {
    let cell = cell.trim_start_matches('\'');
    cell.starts_with(FORMULA) || is_failed(cell)
}

/// Puts `'` before a formula.
fn escaped(cell: &str) -> String {
    if is_dangerous(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// Takes the `'` away that stands before a formula.
fn unescaped(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|cell| is_dangerous(cell)).unwrap_or(cell)
}

/// Writes the entries of a company as a table that [`read`] reads.
///
/// The mark at the beginning makes Excel read UTF-8.
pub fn write(company: &CompanyRow) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer("\u{feff}".as_bytes().to_vec());
    writer.write_record(["list", "id", "name", "description", "color", "default", "state"])?;
    for (catalog, entries) in Catalog::ALL.into_iter().zip(company.catalogs()) {
        for entry in entries {
            let EntryRow { id, name, description, color, is_default, state, .. } = entry;
            let text = |value: &Option<String>| escaped(value.as_deref().unwrap_or_default());
            let is_default = if *is_default == Some(true) { "yes" } else { "" };
            writer.write_record([
                catalog.as_str(),
                &text(id),
                &text(name),
                &text(description),
                &text(color),
                is_default,
                &text(state),
            ])?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
