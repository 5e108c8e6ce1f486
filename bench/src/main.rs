//! The benchmark: one load generator measures this service and its yardsticks in alternation. `bench/run`
//! prepares everything and starts it.

use clap::Parser;

mod compare;
mod documents;
mod floods;
mod generate;
mod growth;
mod load;
mod measure;
mod process;
mod servers;
mod workloads;
mod yardstick;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(about = "Measures customer-settings; bench/run prepares what it needs")]
enum Command {
    /// Measure the program against its yardsticks and print the table
    Compare(compare::Compare),
    /// Measure how cost grows with companies, entries and connections
    Growth(growth::Growth),
    /// Measure plans and applications of documents on the command line
    Documents(documents::Documents),
    Floods(floods::Floods),
    Flood(floods::OneFlood),
    Generate(generate::Generate),
    /// Send requests to one server: for profilers
    Load(load::Load),
    /// A bare server that answers every request with the bytes of a file
    Yardstick(yardstick::Yardstick),
}

fn main() -> Result<()> {
    // The servers have the program's runtime; the load generator has one core.
    let many = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match Command::parse() {
        Command::Compare(compare) => one()?.block_on(compare.run()),
        Command::Growth(growth) => one()?.block_on(growth.run()),
        Command::Documents(documents) => documents.run(),
        Command::Floods(floods) => floods.run(),
        Command::Flood(flood) => flood.run(),
        Command::Generate(generate) => generate.run(),
        Command::Load(load) => one()?.block_on(load.run()),
        Command::Yardstick(yardstick) => many()?.block_on(yardstick.run()),
    }
}
