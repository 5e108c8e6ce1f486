//! `customer-settings load` and `export`: documents in and out.

use std::path::PathBuf;

use clap::ValueEnum;
use customer_settings_server::{
    catalog::{
        entry::{Catalog, Revision},
        id::CompanyId,
    },
    formats::csv,
    service::{
        document::{CompanyRow, decode, time, write},
        load::Outcome,
    },
    store::Access,
};
use serde_json::{Value, json};

use super::{Data, Failure, explain, failure, read_file};
use crate::{
    failure::usage,
    output::{self, note, tell},
    target::{At, FieldNames, Place},
    values,
};

const EXPORT: &str = "SettingsService/ExportSettings";

/// Bring companies, locations and entries in from a YAML or JSON document: 'apply --yes' on data, company by company
///
/// A company that is wrong is refused with its lines, and the others are loaded; 'apply' plans all before it writes any.
/// Use 'apply --yes' in new scripts, which also takes a server, several documents and --prune: this command goes away in
/// the release after the first.
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
        let decoded = decode(read_file(&self.file, u64::MAX)?)?;
        if let Some(how) = decoded.note() {
            note(format!("the document was {how}"));
        }
        let services = self.data.open(Access::Write).await?;
        let (mut companies, mut failed) = (0, 0);
        let report = |label: &str, outcome: Outcome| {
            companies += 1;
            if !say(label, outcome) {
                failed += 1;
            }
        };
        services.load.load(&decoded.text, report).await?;
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
                tell(format!("  {problem} ({})", problem.violation.reason));
            }
            false
        }
        Outcome::Failed(error) => {
            tell(format!("{label}: not loaded: {}", explain(&error).message));
            false
        }
    }
}

/// Write companies, locations and entries to standard output, as the document that `apply` reads
///
/// From a server, a key needs the scopes settings:read and companies:read.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  customer-settings export --data-dir data > companies.yaml
  customer-settings export --data-dir data --company cmp_001
  customer-settings export --data-dir data --company cmp_001 --format csv > cmp_001.csv
  customer-settings export --company cmp_001 --without ids,audit | customer-settings apply --as cmp_002 -")]
pub(crate) struct Export {
    /// Only this company; may be repeated, or have commas
    #[arg(long, value_name = "ID", required_if_eq("format", "csv"))]
    #[arg(value_delimiter = ',', value_parser = values::item)]
    company: Vec<String>,
    /// How to write it
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "yaml")]
    format: Format,
    /// Parts to leave out
    #[arg(long, value_name = "PARTS", value_enum, value_delimiter = ',')]
    without: Vec<Part>,
    #[command(flatten)]
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The ids of entries and locations, and the source, so that another company may get the same
    Ids,
    /// Authors and times of entries
    Audit,
    /// Locations
    Businesses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The document that 'apply' reads
    Yaml,
    /// The entries of one company as a table for spreadsheet programs, which 'convert csv' reads
    Csv,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let companies = values::companies(&self.company)?;
        if self.format == Format::Csv && companies.len() != 1 {
            return Err(usage("--format csv writes one company: give one --company"));
        }
        let storage = match self.at.place()? {
            Place::Here(storage) => storage,
            Place::Server(_) => return self.of_server(&companies).await,
        };
        let services = storage.services(Access::Read).await?;
        if let (Format::Csv, [company]) = (self.format, &companies[..]) {
            let row = services.load.row(company).await.map_err(|error| explain(&error))?;
            let row = self.trimmed(row);
            return output::write(&csv::write(&row)?).map_err(|error| output::unwritten(&error));
        }
        let mut failed = None;
        let write = |text: &str| {
            output::write(text.as_bytes())
                .inspect_err(|error| failed = Some(output::unwritten(error)))
        };
        let trim = |row| self.trimmed(row);
        let exported = services.load.export(&companies, trim, write).await;
        // The service would blame the server for an output that cannot be written.
        match failed {
            Some(failure) => Err(failure),
            None => exported.map_err(|error| explain(&error)),
        }
    }

    fn trimmed(&self, row: CompanyRow) -> CompanyRow {
        self.without.iter().fold(row, |row, part| match part {
            Part::Ids => row.without_ids(),
            Part::Audit => row.without_audit(),
            Part::Businesses => row.without_businesses(),
        })
    }

    async fn of_server(self, companies: &[CompanyId]) -> Result<(), Failure> {
        let mut client = self.at.connect(None, Access::Read, FieldNames::default()).await?;
        let ids: Vec<&str> = companies.iter().map(CompanyId::as_str).collect();
        let mut request = json!({"company_ids": ids, "with_ids": true, "with_audit": true});
        let mut head = "companies:\n";
        loop {
            let answer = client.call(EXPORT, &request).await?;
            let companies = answer["document"]["companies"].as_array().cloned();
            for company in companies.unwrap_or_default() {
                let row: CompanyRow = serde_json::from_value(plain(company))?;
                let row = self.trimmed(with_times(row));
                if self.format == Format::Csv {
                    let table = csv::write(&row)?;
                    return output::write(&table).map_err(|error| output::unwritten(&error));
                }
                output::print(std::mem::take(&mut head))?;
                output::print(&write(&row)?)?;
            }
            request["page_token"] = answer["nextPageToken"].clone();
            if answer["nextPageToken"].as_str().is_none_or(str::is_empty) {
                break;
            }
        }
        if head.is_empty() { Ok(()) } else { output::print("companies: []\n") }
    }
}

/// The company with its times as documents have them: those of JSON have three digits behind the point where that is enough.
fn with_times(mut row: CompanyRow) -> CompanyRow {
    for catalog in Catalog::ALL {
        for entry in row.entries_mut(catalog).iter_mut().flatten() {
            let times = [&mut entry.created_time, &mut entry.last_updated_time];
            for text in times.into_iter().flatten() {
                if let Ok(time) = time("time", text) {
                    *text = time.to_string();
                }
            }
        }
    }
    row
}

/// A value of an answer as a document has it: without what is empty, false or active, since that goes without saying.
pub(super) fn plain(value: Value) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(mut fields) => {
            // The state of an address is a part of the country.
            let archived =
                (fields.get("state") == Some(&json!("ARCHIVED"))).then(|| json!("archived"));
            if !fields.contains_key("postalCode") {
                fields.insert("state".to_owned(), archived.unwrap_or_default());
            }
            // The mode of a source.
            if let Some(mode) = fields.get("mode").and_then(Value::as_str).map(str::to_lowercase) {
                fields.insert("mode".to_owned(), json!(mode));
            }
            let kept = fields.into_iter().filter(|(_, value)| !is_nothing(value));
            Value::Object(kept.map(|(name, value)| (name, plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        other => other,
    }
}
