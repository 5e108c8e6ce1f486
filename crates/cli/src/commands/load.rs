//! `customer-settings load` and `export`: documents in and out.

use std::{
    io::{Read, Write},
    path::PathBuf,
};

use customer_settings_server::{
    catalog::{entry::Revision, id::CompanyId},
    service::load::Outcome,
    store::Access,
};

use super::{Data, Failure, explain, failure};

/// Bring companies, locations and entries in from a YAML or JSON document
///
/// Running it twice changes nothing. A field that the document leaves out keeps its value. Entries are found by id, else by name without regard to
/// case; what the document does not name stays as it is, after what it names. A company is
/// written whole or not at all. A server may be running on the data directory.
#[derive(clap::Args)]
pub(crate) struct Load {
    #[command(flatten)]
    data: Data,
    /// The document; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Load {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let text = self.read()?;
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

    fn read(&self) -> Result<String, Failure> {
        if self.file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            return Ok(text);
        }
        std::fs::read_to_string(&self.file)
            .map_err(|error| failure(format!("{} cannot be read: {error}", self.file.display())))
    }
}

/// Tells what became of a company; false if it was not loaded.
fn say(label: &str, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Loaded(id, changed) if changed.before == changed.after => {
            eprintln!("{id}: unchanged at revision {}", changed.after);
            true
        }
        Outcome::Loaded(id, changed) => {
            let verb = if changed.before == Revision(0) { "created" } else { "changed" };
            eprintln!("{id}: {verb}, now at revision {}", changed.after);
            true
        }
        Outcome::Refused(problems) => {
            eprintln!("{label}: not loaded, nothing of it was changed:");
            for problem in problems {
                eprintln!("  {problem}");
            }
            false
        }
        Outcome::Failed(error) => {
            eprintln!("{label}: not loaded: {}", explain(&error).message);
            false
        }
    }
}

/// Write companies, locations and entries to standard output, as the document that `load` reads
#[derive(clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    data: Data,
    /// Only this company
    #[arg(long, value_name = "ID")]
    company: Option<String>,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let company =
            self.company.as_deref().map(|id| CompanyId::parse("--company", id)).transpose();
        let company = company.map_err(failure)?;
        let services = self.data.open(Access::Read).await?;
        let mut output = std::io::stdout().lock();
        let write = |text: &str| output.write_all(text.as_bytes());
        services.load.export(company.as_ref(), write).await.map_err(|error| explain(&error))?;
        output.flush()?;
        Ok(())
    }
}
