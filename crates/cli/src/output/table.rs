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
const LEAST: usize = 8;
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

    /// The lines of a table.
    pub(crate) fn table(self, headers: &[&str], rows: &[Vec<String>]) -> String {
        let widest = |column: usize| {
            let cells = rows.iter().map(|row| row[column].width());
            cells.chain([headers[column].width()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..headers.len()).map(widest).collect();
        if let Some(room) = self.width {
            fit(&mut widths, headers, room);
        }
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

/// Makes the widest columns narrower until a row fits, or until nothing more may be cut.
fn fit(widths: &mut [usize], headers: &[&str], room: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    let may_cut = |column: usize| headers[column] != WHOLE;
    let fixed = |widths: &[usize], most: usize| -> usize {
        let shown = widths.iter().enumerate();
        shown.map(|(i, width)| if may_cut(i) { *width.min(&most) } else { *width }).sum()
    };
    let widest = widths.iter().copied().max().unwrap_or(0);
    let fits = |most: &usize| fixed(widths, *most) + gaps <= room;
    // The greatest width that is narrow enough, for all columns alike.
    let most = (LEAST..=widest).rev().find(fits).unwrap_or(LEAST);
    for (column, width) in widths.iter_mut().enumerate() {
        if may_cut(column) {
            *width = (*width).min(most);
        }
    }
}

/// The beginning of a text that is too wide, with `…` at its end.
fn cut(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
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
        let text = narrow(56).table(&["ID", "NAME", "DESCRIPTION"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("{id}  a name tha…  犬犬犬犬犬…"));
        assert_eq!(lines[2], format!("{:30}  short        x", "t"));
        assert!(lines.iter().all(|line| line.width() <= 56), "{text}");
        // Columns of eight and an id are the least.
        let text = narrow(10).table(&["ID", "NAME", "DESCRIPTION"], &rows);
        assert!(text.lines().nth(1).unwrap().starts_with(&format!("{id}  a name…  ")), "{text}");
        // Nothing is cut where all fits.
        assert!(!narrow(200).table(&["ID", "NAME", "DESCRIPTION"], &rows).contains('…'));
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
