//! `customer-settings completion`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Arguments, PROGRAM, failure::Failure, output::print};

/// The library's script for bash writes the program's name in two ways, because the name has a hyphen (clap issue
/// 6421). The part that completes a command's words has this form, which the part that finds the command never sets.
const MISSED: &str = "customer__subcmd__settings";
/// The form in the part that finds the command.
const MEANT: &str = "customer__settings";

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
        generate(self.shell, &mut Arguments::command(), PROGRAM, &mut script);
        print(&String::from_utf8_lossy(&script).replace(MISSED, MEANT))
    }
}
