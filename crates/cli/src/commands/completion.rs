//! `customer-settings completion`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Arguments, failure::Failure, output::print};

/// Print a script that makes a shell complete this program's commands and options
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  customer-settings completion bash > ~/.local/share/bash-completion/completions/customer-settings
  customer-settings completion zsh > ~/.zfunc/_customer-settings
  customer-settings completion fish > ~/.config/fish/completions/customer-settings.fish")]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "customer-settings", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
