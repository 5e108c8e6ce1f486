//! `customer-settings load` and `export`: documents in and out.

use std::path::PathBuf;

use clap::ValueEnum;
use customer_settings_server::{
    catalog::{entry::Revision, id::CompanyId},
    service::{document::decode, load::Outcome},
    store::Access,
};

use super::{Data, Failure, explain, failure, read_file, wrong_value};
use crate::{
    formats::csv,
    output::{self, note, tell},
};

/// Bring companies, locations and entries in from a YAML or JSON document
///
/// Loading the same document again changes nothing. A field that the document leaves out keeps its value.
/// Entries are found by id, else by name without regard to case, white space and invisible characters. Things
/// that the document does not name do not change; they come after the things that it names. A company is
/// written whole or not at all. A server may be running on the data directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  customer-settings load --data-dir data companies.yaml
  customer-settings export --data-dir data --company cmp_001 | customer-settings load --data-dir other -")]
pub(crate) struct Load {
    #[command(flatten)]
    data: Data,
    /// The document; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Load {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let text = decode(read_file(&self.file, u64::MAX)?)?;
        let services = self.data.open(Access::Write).await?;
        let (mut companies, mut failed) = (0, 0);
        let report = |label: &str, outcome: Outcome| {
            companies += 1;
            if !say(label, outcome) {
                failed += 1;
            }
        };
        services.load.load(&text, report).await?;
        if failed > 0 {
            return Err(failure(format!("{failed} of {companies} companies were not loaded")));
        }
        Ok(())
    }
}

/// Prints the result of a company; false if it was not loaded.
fn say(label: &str, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Loaded(id, changed) if changed.before == changed.after => {
            note(format!("{id}: unchanged at revision {}", changed.after));
            true
        }
        Outcome::Loaded(id, changed) => {
            let verb = if changed.before == Revision(0) { "created" } else { "changed" };
            note(format!("{id}: {verb}, now at revision {}", changed.after));
            true
        }
        Outcome::Refused(problems) => {
            tell(format!("{label}: not loaded, nothing of it was changed:"));
            for problem in problems {
                tell(format!("  {problem}"));
            }
            false
        }
        Outcome::Failed(error) => {
            tell(format!("{label}: not loaded: {}", explain(&error).message));
            false
        }
    }
}

/// Write companies, locations and entries to standard output, as the document that `load` reads
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  customer-settings export --data-dir data > companies.yaml
  customer-settings export --data-dir data --company cmp_001
  customer-settings export --data-dir data --company cmp_001 --format csv > cmp_001.csv")]
pub(crate) struct Export {
    #[command(flatten)]
    data: Data,
    /// Only this company
    #[arg(long, value_name = "ID", required_if_eq("format", "csv"))]
    company: Option<String>,
    /// How to write it
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "yaml")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The document that 'load' reads
    Yaml,
    /// The entries of one company as a table for spreadsheet programs, which 'convert csv' reads
    Csv,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let company =
            self.company.as_deref().map(|id| CompanyId::parse("--company", id)).transpose();
        let company = company.map_err(wrong_value)?;
        let services = self.data.open(Access::Read).await?;
        if let (Format::Csv, Some(company)) = (self.format, &company) {
            let row = services.load.row(company).await.map_err(|error| explain(&error))?;
            return output::write(&csv::write(&row)?).map_err(|error| output::unwritten(&error));
        }
        let mut failed = None;
        let write = |text: &str| {
            output::write(text.as_bytes())
                .inspect_err(|error| failed = Some(output::unwritten(error)))
        };
        let exported = services.load.export(company.as_ref(), write).await;
        // The service would blame the server for an output that cannot be written.
        match failed {
            Some(failure) => Err(failure),
            None => exported.map_err(|error| explain(&error)),
        }
    }
}
