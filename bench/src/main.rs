//! The benchmark: this service and its yardsticks, measured in turns by one load generator.
//! `bench/run` prepares the data and starts it.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use clap::Parser;

mod compare;
mod load;
mod process;
mod yardstick;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[derive(Parser)]
#[command(about = "Measures customer-settings; bench/run prepares what it needs")]
enum Command {
    /// Measure the program against its yardsticks and print the table
    Compare(compare::Compare),
    /// Send requests to one server: for profilers
    Load(load::Load),
    /// A bare hyper server that answers every request with the bytes of a file
    YardstickHttp(Yardstick),
    /// A bare tonic server that answers with the message of a file, encoded for every call
    YardstickGrpc(Yardstick),
}

#[derive(clap::Args)]
struct Yardstick {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    file: PathBuf,
}

fn main() -> Result<()> {
    // The servers have the program's runtime; the load generator has one core.
    let many = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match Command::parse() {
        Command::Compare(compare) => one()?.block_on(compare.run()),
        Command::Load(load) => one()?.block_on(load.run()),
        Command::YardstickHttp(Yardstick { listen, file }) => {
            many()?.block_on(yardstick::http(listen, std::fs::read(file)?))
        }
        Command::YardstickGrpc(Yardstick { listen, file }) => {
            many()?.block_on(yardstick::grpc(listen, std::fs::read(file)?))
        }
    }
}
