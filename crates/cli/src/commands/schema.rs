//! `customer-settings schema`.

use customer_settings_server::service::document;

use super::Failure;
use crate::output::print_json;

/// Print the JSON Schema of documents, by which editors complete and check them
///
/// A document names the schema in its first line. A server has the same schema at /schemas/document.json.
#[derive(clap::Args)]
#[command(after_help = "\
Example: customer-settings schema > document.schema.json
The first line of a document beside it: # yaml-language-server: $schema=document.schema.json")]
pub(crate) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "all commands have one form")]
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print_json(&document::schema())
    }
}
