//! `customer-settings man`.

use std::{fs, io, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::{
    Man as Page,
    roff::{Roff, roman},
};

use super::{Failure, failure};
use crate::{Arguments, PROGRAM, output::note};

/// Write the manual pages of this program, one for each command
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  customer-settings man --out man1 && man ./man1/customer-settings.1
  customer-settings man --out ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The directory for the pages, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let problem = |error| failure(format!("{}: {error}", self.out.display()));
        fs::create_dir_all(&self.out).map_err(problem)?;
        let mut all = Arguments::command().disable_help_subcommand(true);
        all.build();
        let mut pages = 0;
        let mut left = vec![all];
        while let Some(command) = left.pop() {
            left.extend(command.get_subcommands().cloned());
            let (name, text) = page(command).map_err(problem)?;
            fs::write(self.out.join(name), text).map_err(problem)?;
            pages += 1;
        }
        note(format!("{pages} pages in {}", self.out.display()));
        Ok(())
    }
}

/// A page's file name and its text.
fn page(command: clap::Command) -> io::Result<(String, Vec<u8>)> {
    let has_commands = command.has_subcommands();
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    let page = Page::new(command)
        .date(env!("BUILT_FROM_DATE"))
        .source(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))
        .manual(PROGRAM);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if has_commands {
        page.render_subcommands_section(&mut text)?;
    }
    sections(&after).to_writer(&mut text)?;
    Ok((page.get_filename(), text))
}

/// The sections of examples and exit codes, with each line as it is. The library's own section joins the lines.
fn sections(after: &str) -> Roff {
    let mut roff = Roff::default();
    for paragraph in after.split("\n\n") {
        let Some((heading, lines)) = paragraph.split_once(':') else { continue };
        roff.control("SH", [heading.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            roff.text([roman(line.strip_prefix("  ").unwrap_or_else(|| line.trim_start()))]);
        }
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_examples_and_exit_codes_stays_a_line() {
        let page = sections("Examples:\n  a --b\n  .c > d\n\nTry it: e").render();
        let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with(".ie")).collect();
        let lines = &lines[lines.len() - 9..];
        let expected = [
            ".SH EXAMPLES",
            ".nf",
            "a \\-\\-b",
            "\\&.c > d",
            ".fi",
            ".SH \"TRY IT\"",
            ".nf",
            "e",
            ".fi",
        ];
        assert_eq!(lines, expected);
    }
}
