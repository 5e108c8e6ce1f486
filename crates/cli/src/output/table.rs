//! Tables for people: columns line up on the screen, and long cells are cut so that a row fits into the terminal.

use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use clap::builder::styling::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const HEADER: Style = Style::new().bold();
/// The style of a state in which a thing does not work.
const OFF: Style = AnsiColor::Yellow.on_default();
const OFF_STATES: [&str; 3] = ["ARCHIVED", "REVOKED", "EXPIRED"];
/// The column of signs, which has no header.
const SIGNS: &str = "";
/// The styles of signs for what is made, changed, moved, and taken away.
const STYLES: [(&str, Style); 6] = [
    ("+", AnsiColor::Green.on_default()),
    ("^", AnsiColor::Green.on_default()),
    ("~", AnsiColor::Yellow.on_default()),
    (">", AnsiColor::Yellow.on_default()),
    ("↕", AnsiColor::Cyan.on_default()),
    ("-", AnsiColor::Red.on_default()),
];

const GAP: usize = 2;
/// Cells of at most this width are not cut.
const LEAST: usize = 12;
/// A time is cut where it says as much as a shorter one does: to the day, or to the minute.
const DAY: usize = "2026-11-23".len();
const MINUTE: usize = "2026-11-23T18:00Z".len();
/// Ids are not cut, since people copy them.
const WHOLE: &str = "ID";

/// The form of a table on one of the outputs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// The columns of the screen, if rows have to fit.
    width: Option<usize>,
    colors: bool,
}

impl Look {
    /// On standard output.
    pub(crate) fn of_results(is_wide: bool) -> Self {
        Self::of(&io::stdout(), is_wide)
    }

    /// On standard error.
    pub(crate) fn of_notes() -> Self {
        Self::of(&io::stderr(), false)
    }

    fn of(stream: &(impl RawStream + IsTerminal + std::os::fd::AsFd), is_wide: bool) -> Self {
        let width = terminal_size_of(stream).map(|(Width(width), _)| usize::from(width));
        Self {
            width: width.filter(|width| !is_wide && *width > 0),
            colors: AutoStream::choice(stream) != ColorChoice::Never,
        }
    }

    /// The headers of columns that a table leaves out, as its rows would not fit. `spare` are those that it may leave
    /// out, in this order.
    pub(crate) fn left_out<'a>(
        self,
        headers: &[&'a str],
        rows: &[Vec<String>],
        spare: &[&'a str],
    ) -> Vec<&'a str> {
        let Some(room) = self.width else { return Vec::new() };
        let columns = columns(headers, rows);
        let is_too_wide = |left_out: &[&str]| {
            let kept =
                headers.iter().zip(&columns).filter(|(header, _)| !left_out.contains(header));
            let least: Vec<usize> = kept.map(|(_, column)| column.least).collect();
            total(least.into_iter()) > room
        };
        let mut count = 0;
        while count < spare.len() && is_too_wide(&spare[..count]) {
            count += 1;
        }
        spare[..count].to_vec()
    }

    /// The lines of a table.
    pub(crate) fn table(self, headers: &[&str], rows: &[Vec<String>]) -> String {
        let columns = columns(headers, rows);
        let widths = match self.width {
            Some(room) => fit(&columns, room),
            None => columns.iter().map(|column| column.widest).collect(),
        };
        let mut text = self.line(headers.iter().copied(), &widths, |_, _| Some(HEADER));
        for row in rows {
            let style = |column: usize, cell: &str| match headers[column] {
                SIGNS => STYLES.iter().find(|(sign, _)| *sign == cell).map(|(_, style)| *style),
                _ => OFF_STATES.contains(&cell).then_some(OFF),
            };
            text.push_str(&self.line(row.iter().map(String::as_str), &widths, style));
        }
        text
    }

    fn line<'a>(
        self,
        cells: impl Iterator<Item = &'a str>,
        widths: &[usize],
        style: impl Fn(usize, &str) -> Option<Style>,
    ) -> String {
        let (mut line, mut blank) = (String::new(), 0);
        for (column, (cell, width)) in cells.zip(widths).enumerate() {
            line.push_str(&" ".repeat(blank));
            let shown = cut(cell, *width);
            blank = width + GAP - shown.width().min(*width);
            let style = style(column, cell);
            line.push_str(&self.styled(&shown, style));
        }
        line + "\n"
    }

    /// A line above tables.
    pub(crate) fn heading(self, text: &str) -> String {
        self.styled(text, Some(HEADER)) + "\n"
    }

    /// A line about something that people must look at.
    pub(crate) fn warning(self, text: &str) -> String {
        self.styled(text, Some(OFF)) + "\n"
    }

    fn styled(self, text: &str, style: Option<Style>) -> String {
        match style.filter(|_| self.colors) {
            Some(style) => format!("{style}{text}{style:#}"),
            None => text.to_owned(),
        }
    }
}

/// The room that a column takes.
struct Column {
    widest: usize,
    /// The width to which it may be cut.
    least: usize,
    is_of_times: bool,
}

impl Column {
    /// The width, where no column may have more than `most`.
    fn within(&self, most: usize) -> usize {
        let width = self.widest.min(most.max(self.least));
        match self.is_of_times && width < self.widest {
            true if width >= MINUTE => MINUTE,
            true => self.least,
            false => width,
        }
    }
}

fn columns(headers: &[&str], rows: &[Vec<String>]) -> Vec<Column> {
    let column = |(index, header): (usize, &&str)| {
        let cells = || rows.iter().map(|row| row[index].as_str());
        let widest = cells().chain([*header]).map(UnicodeWidthStr::width).max().unwrap_or(0);
        let is_of_times = cells().any(is_time) && cells().all(|cell| is_time(cell) || cell == "-");
        let least = match is_of_times {
            _ if *header == WHOLE => widest,
            true => DAY.max(header.width().min(LEAST)),
            // Half an id is of no use to anybody.
            false => {
                let ids = cells().filter(|cell| is_key_id(cell)).map(UnicodeWidthStr::width);
                ids.max().unwrap_or(0).max(widest.min(LEAST))
            }
        };
        Column { widest, least, is_of_times }
    };
    headers.iter().enumerate().map(column).collect()
}

/// Whether a text is a time as the contract writes it.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > MINUTE && bytes[10] == b'T' && bytes[13] == b':' && bytes.ends_with(b"Z")
}

/// Whether a text is the id of a key.
fn is_key_id(text: &str) -> bool {
    text.starts_with("key_") && !text.contains(char::is_whitespace)
}

/// The name in a cell that has a key's id behind it.
fn name_before_id(text: &str) -> Option<&str> {
    let (name, id) = text.strip_suffix(')')?.rsplit_once(" (")?;
    (is_key_id(id) && !name.is_empty()).then_some(name)
}

/// The width of a row.
fn total(widths: impl ExactSizeIterator<Item = usize>) -> usize {
    let gaps = GAP * widths.len().saturating_sub(1);
    widths.sum::<usize>() + gaps
}

/// Widths with which a row fits: the widest columns are cut to one width. Nothing is cut further than it may be.
fn fit(columns: &[Column], room: usize) -> Vec<usize> {
    let within = |most: usize| columns.iter().map(move |column| column.within(most));
    let widest = columns.iter().map(|column| column.widest).max().unwrap_or(0);
    let most = (LEAST..=widest).rev().find(|most| total(within(*most)) <= room).unwrap_or(LEAST);
    within(most).collect()
}

/// The beginning of a text that is too wide, with `…` at its end. A time stays a time or a day, and of a name with the
/// id of a key behind it the name is left.
fn cut(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    if is_time(text) && most >= DAY {
        let (day, minute) = (&text[..DAY], &text[..MINUTE - 1]);
        return if most < MINUTE { day.to_owned() } else { format!("{minute}Z") };
    }
    if let Some(name) = name_before_id(text) {
        return cut(name, most);
    }
    // Characters that belong together, such as an emoji of several, are narrower than the sum of their parts.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if text[..next].width() < most && !continues(&text[next..]) {
            end = next;
        }
        if text[..at].width() > most {
            break;
        }
    }
    format!("{}…", text[..end].trim_end())
}

/// Whether a text begins with a part of the character before it.
fn continues(text: &str) -> bool {
    let mut next = text.chars();
    let first = next.next();
    first.is_some_and(|c| c == '\u{200d}' || c.width().unwrap_or(0) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize>(rows: &[[&str; N]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect()
    }

    fn narrow(width: usize) -> Look {
        Look { width: Some(width), colors: false }
    }

    #[test]
    fn columns_line_up_and_nothing_is_cut_where_there_is_no_terminal() {
        let long = "x".repeat(300);
        let rows = rows(&[["tag_001", "Größe", "yes"], ["t", &long, "no"]]);
        let text = Look::default().table(&["ID", "NAME", "DEFAULT"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("ID       NAME{}  DEFAULT", " ".repeat(296)));
        assert_eq!(lines[1], format!("tag_001  Größe{}  yes", " ".repeat(295)));
        assert_eq!(lines[2], format!("t        {long}  no"));
    }

    #[test]
    fn the_width_of_a_column_is_that_on_the_screen() {
        let names = ["VIP", "犬のトリミング", "🐕🐈", "e\u{301}té", "👩‍🦰"];
        let rows: Vec<Vec<String>> =
            names.map(|name| vec![name.to_owned(), "|".to_owned()]).to_vec();
        let text = Look::default().table(&["NAME", "END"], &rows);
        for line in text.lines().skip(1) {
            assert_eq!(line.trim_end_matches('|').width(), 16, "{line}");
        }
    }

    #[test]
    fn long_cells_are_cut_and_ids_are_not() {
        let id = "tag_01h455vb4pex5vsknk084sn02q";
        let rows = rows(&[
            [id, "a name that is long", "犬犬犬犬犬犬犬犬犬犬犬犬犬犬"],
            ["t", "short", "x"],
        ]);
        let text = narrow(60).table(&["ID", "NAME", "DESCRIPTION"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("{id}  a name that…   犬犬犬犬犬犬…"));
        assert_eq!(lines[2], format!("{:30}  short          x", "t"));
        assert!(lines.iter().all(|line| line.width() <= 60), "{text}");
        // Columns of twelve and an id are the least.
        let text = narrow(10).table(&["ID", "NAME", "DESCRIPTION"], &rows);
        let start = format!("{id}  a name that…  犬");
        assert!(text.lines().nth(1).unwrap().starts_with(&start), "{text}");
        // Nothing is cut where all fits.
        assert!(!narrow(200).table(&["ID", "NAME", "DESCRIPTION"], &rows).contains('…'));
    }

    #[test]
    fn no_part_of_a_keys_id_is_shown() {
        let id = "key_01h455vb4pex5vsknk084sn02q";
        let named = format!("Front desk ({id})");
        let summary = "changed the color of four customer tags";
        let all = rows(&[["12", &named, summary], ["11", id, summary]]);
        let text = narrow(60).table(&["REVISION", "KEY", "SUMMARY"], &all);
        assert_eq!(
            text.lines().nth(1).unwrap().split_once("changed").unwrap().0.trim_end(),
            "12        Front desk"
        );
        assert!(text.lines().nth(2).unwrap().contains(id), "{text}");
        // A column of names is as narrow as any other.
        let names = rows(&[["12", &named, summary]]);
        let text = narrow(40).table(&["REVISION", "KEY", "SUMMARY"], &names);
        assert_eq!(text.lines().nth(1), Some("12        Front desk      changed the c…"), "{text}");
        let text = Look::default().table(&["REVISION", "KEY", "SUMMARY"], &names);
        assert!(text.contains(&named), "{text}");
        assert_eq!(cut("a (b) (key_1)", 6), "a (b)");
        assert_eq!(cut("a name that is long (key_1)", 12), "a name that…");
    }

    #[test]
    fn a_time_is_cut_to_a_minute_or_a_day() {
        let rows = rows(&[["2026-12-01T10:00:00.123456Z", "-"], ["-", "x"]]);
        for (width, shown) in [
            (80, "2026-12-01T10:00:00.123456Z  -"),
            (29, "2026-12-01T10:00Z  -"),
            (20, "2026-12-01T10:00Z  -"),
            (19, "2026-12-01  -"),
            (5, "2026-12-01  -"),
        ] {
            let text = narrow(width).table(&["EXPIRES", "N"], &rows);
            assert_eq!(text.lines().nth(1), Some(shown), "{width}");
        }
    }

    #[test]
    fn columns_are_left_out_in_their_order_until_a_row_fits() {
        let id = "key_01h455vb4pex5vsknk084sn02q";
        let rows =
            rows(&[[id, "a name that is long", "2026-12-01T10:00:00Z", "no", "settings:read"]]);
        let headers = ["ID", "NAME", "EXPIRES", "ALL", "SCOPES"];
        let left_out =
            |width| narrow(width).left_out(&headers, &rows, &["SCOPES", "ALL", "EXPIRES"]);
        assert_eq!(left_out(75), Vec::<&str>::new());
        assert_eq!(left_out(74), ["SCOPES"]);
        assert_eq!(left_out(61), ["SCOPES"]);
        assert_eq!(left_out(60), ["SCOPES", "ALL"]);
        assert_eq!(left_out(1), ["SCOPES", "ALL", "EXPIRES"]);
        assert!(Look::default().left_out(&headers, &rows, &["SCOPES"]).is_empty());
    }

    #[test]
    fn a_text_is_cut_between_characters_as_people_see_them() {
        for (text, most, shown) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("犬犬犬", 6, "犬犬犬"),
            ("犬犬犬", 5, "犬犬…"),
            ("犬犬犬", 4, "犬…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("a b c d", 3, "a…"),
            ("👩‍🦰👩‍🦰👩‍🦰", 5, "👩‍🦰👩‍🦰…"),
        ] {
            assert_eq!(cut(text, most), shown, "{text} {most}");
        }
    }

    #[test]
    fn colors_change_no_width() {
        let rows = rows(&[["ACTIVE", "x"], ["ARCHIVED", "x"]]);
        let text = Look { width: None, colors: true }.table(&["STATE", "N"], &rows);
        let (header, off) = (HEADER, OFF);
        let expected = format!(
            "{header}STATE{header:#}     {header}N{header:#}\nACTIVE    x\n{off}ARCHIVED{off:#}  x\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn signs_are_colored_in_their_column_alone() {
        let look = Look { width: None, colors: true };
        let text = look.table(&["", "N"], &rows(&[["-", "-"], ["x", "+"]]));
        let red: Style = AnsiColor::Red.on_default();
        assert!(text.ends_with(&format!("\n{red}-{red:#}  -\nx  +\n")), "{text:?}");
        assert_eq!(Look::default().heading("Plan"), "Plan\n");
        assert_eq!(look.heading("Plan"), format!("{HEADER}Plan{HEADER:#}\n"));
    }
}
