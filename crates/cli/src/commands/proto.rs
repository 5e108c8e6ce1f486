//! `customer-settings proto`.

use std::{fs, path::PathBuf};

use clap::Args;
use customer_settings_contract::FILES;

use super::{Failure, failure};
use crate::output::note;

/// Makes the directory a module of buf, from which it generates clients.
const BUF: &str = "version: v2\nmodules:\n  - path: .\n";

/// Write the .proto files of the interface, for generators of gRPC clients
///
/// The files are complete: they need no other download. A buf.yaml is beside them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  customer-settings proto --out proto && buf generate proto --template buf.gen.yaml
  customer-settings proto --out proto && protoc -I proto --python_out=. proto/customersettings/v1/*.proto")]
pub(crate) struct Proto {
    /// The directory for the files, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Proto {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let files = FILES.iter().chain([&("buf.yaml", BUF)]);
        for (name, text) in files {
            let path = self.out.join(name);
            let folder = path.parent().unwrap_or(&self.out);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(|error| failure(format!("{}: {error}", path.display())))?;
        }
        note(format!("{} files and a buf.yaml in {}", FILES.len(), self.out.display()));
        Ok(())
    }
}
