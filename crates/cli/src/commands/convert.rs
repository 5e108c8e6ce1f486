//! `customer-settings convert`: files of other programs as documents.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use customer_settings_server::{
    catalog::{entry::Catalog, id::CompanyId},
    formats::{Converted, MOST_BYTES, csv, labels},
    service::document::{decode, write},
};

use super::{Failure, failure, read_file, verbs::Collection, wrong_value};
use crate::{
    account::{From, absent, chosen},
    failure::EXIT_CODES,
    mirror::{Allowed, wanted},
    output::{counted, note, print, tell},
};

/// Make a document of a file that another program wrote
///
/// The document goes to standard output, and nothing is changed: look at it, and give it to 'apply'. Notes on standard
/// error say how the file was read, and which lines were left out. If any was, the exit code is 1.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) enum Convert {
    /// Read a table, as spreadsheet programs save it
    ///
    /// The separator (comma, semicolon, tab, bar), the encoding (UTF-8, UTF-16, Windows-1252) and the meaning of the columns
    /// are guessed, and said. A header may have name, id, description, color, order, default, list, state or archived,
    /// also in other words and languages. A table without a header has a column of names, and perhaps one of colors.
    #[command(after_help = "\
Examples:
  customer-settings convert csv tags.csv --company cmp_001 --list customer_tags > tags.yaml
  customer-settings export --data-dir data --company cmp_001 --format csv > cmp_001.csv
  customer-settings convert csv cmp_001.csv --company cmp_001 > cmp_001.yaml")]
    Csv(Csv),
    /// Read labels of GitHub, as YAML or JSON
    ///
    /// The file is one that programs keep which set the labels of repositories, or the answer of GitHub's API. Former
    /// names (aliases, from_name) become former names of the entry.
    #[command(after_help = "\
Examples:
  customer-settings convert github-labels labels.yml --company cmp_001 > tags.yaml
  gh label list --json name,color,description | customer-settings convert github-labels - --company cmp_001")]
    GithubLabels(GithubLabels),
    /// Read a live MoeGo account once, as 'mirror' does
    ///
    /// The document has the companies, locations and lists with their ids, order, names, colors of action statuses, the
    /// default, and the authors and times of tags. Nothing is written to the account. 'mirror' keeps a copy up to date.
    #[command(after_help = "\
Example: customer-settings convert moego --from https://openapi.moego.pet --from-key-file moego.key > companies.yaml")]
    Moego(Moego),
}

#[derive(Args, Debug)]
pub(crate) struct Moego {
    #[command(flatten)]
    from: From,
}

#[derive(Args, Debug)]
pub(crate) struct Csv {
    #[command(flatten)]
    of: Of,
    /// The catalog of the entries for which the table names none; a column 'list' of the table overrides it
    #[arg(long, value_name = "CATALOG")]
    list: Option<Collection>,
}

#[derive(Args, Debug)]
pub(crate) struct GithubLabels {
    #[command(flatten)]
    of: Of,
    /// The catalog that the labels belong to
    #[arg(long, value_name = "CATALOG", default_value = "customer_tags")]
    list: Collection,
}

#[derive(Args, Debug)]
struct Of {
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The company that the document shall be about
    #[arg(long, value_name = "ID")]
    company: String,
}

fn catalog(collection: Collection) -> Catalog {
    match collection {
        Collection::CustomerTags => Catalog::CustomerTags,
        Collection::ReferralSources => Catalog::ReferralSources,
        Collection::LifeCycles => Catalog::LifeCycles,
        Collection::ActionStatuses => Catalog::ActionStatuses,
    }
}

impl Convert {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Moego(Moego { from }) => moego(&from).await,
            Self::Csv(Csv { of, list }) => of.run(|bytes| csv::read(&bytes, list.map(catalog))),
            Self::GithubLabels(GithubLabels { of, list }) => of.run(|bytes| {
                let decoded = decode(bytes).map_err(|error| error.to_string())?;
                let mut converted = labels::read(&decoded.text, catalog(list))?;
                converted.notes.extend(decoded.note());
                Ok(converted)
            }),
        }
    }
}

impl Of {
    fn run(
        self,
        convert: impl FnOnce(Vec<u8>) -> Result<Converted, String>,
    ) -> Result<(), Failure> {
        let company = CompanyId::parse("--company", &self.company).map_err(wrong_value)?;
        let name = match self.file.as_os_str() {
            name if name == "-" => "standard input".to_owned(),
            _ => self.file.display().to_string(),
        };
        let bytes = read_file(&self.file, MOST_BYTES)?;
        let converted = convert(bytes).map_err(|problem| failure(format!("{name}: {problem}")))?;
        converted.notes.iter().for_each(note);
        converted.left_out.iter().for_each(tell);
        let (taken, left_out) = (converted.count(), converted.left_out_in_all);
        if left_out > converted.left_out.len() {
            tell(format!("and {} other entries", left_out - converted.left_out.len()));
        }
        if taken == 0 {
            return Err(failure(format!("{name} has no entry that can be taken")));
        }
        print(&converted.document(&company)?)?;
        match left_out {
            0 => {
                note(format!("entries: {taken}"));
                Ok(())
            }
            _ => Err(failure(format!(
                "entries that were left out: {left_out}; the document has the other {taken}"
            ))),
        }
    }
}

/// Reads an account. A company that cannot be read, or has no name that can be taken, is left out.
async fn moego(from: &From) -> Result<(), Failure> {
    let mut account = from.open()?;
    let (companies, missing) = chosen(account.companies().await?, from.companies());
    if !missing.is_empty() {
        return Err(absent(&missing));
    }
    let (mut head, count) = ("companies:\n", companies.len());
    let (mut unread_companies, mut refused) = (0, 0);
    for (done, company) in companies.into_iter().enumerate() {
        account.is_at(done, count);
        let id = company.id.clone();
        let wanted = match account.reading(company).await {
            Ok(reading) => wanted(&reading, None, &Allowed::default()),
            Err(unread) if unread.is_final => return Err(unread.into()),
            Err(unread) => {
                tell(format!("{id:?}: not read: {}", unread.problem));
                unread_companies += 1;
                continue;
            }
        };
        refused += wanted.refused.len() as u64;
        wanted.refused.iter().for_each(|problem| tell(format!("{id}: {problem}")));
        if wanted.row.name.is_some() {
            print(std::mem::take(&mut head))?;
            print(&write(&wanted.row)?)?;
        }
    }
    if !head.is_empty() {
        print("companies: []\n")?;
    }
    let lacks: Vec<String> = [
        (unread_companies, "company was not read", "companies were not read"),
        (refused, "value was left out", "values were left out"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect();
    match lacks.is_empty() {
        true => Ok(()),
        false => Err(failure(format!("{}; the document has all others", lacks.join(", and ")))),
    }
}
