//! `customer-settings completion`.

use clap::{Args, Command, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use customer_settings_server::catalog::access::Scope;

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

/// The words of options whose values the program checks itself, as it has more to say about them than the library.
fn words(option: &str) -> Vec<&'static str> {
    match option {
        "log" => vec!["error", "warn", "info", "debug", "trace", "off"],
        "log_format" => vec!["auto", "text", "json"],
        "scopes" => Scope::ALL.map(Scope::as_str).into_iter().chain(["*"]).collect(),
        _ => Vec::new(),
    }
}

/// The command with the kind of each value. Without it, shells offer the names of files for everything.
fn hinted(command: Command) -> Command {
    command.mut_subcommands(hinted).mut_args(|arg| {
        let words = words(arg.get_id().as_str());
        if !words.is_empty() {
            return arg.value_parser(words);
        }
        let named = |part: &str| {
            arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.contains(part)))
        };
        let hint = match (named("DIR"), named("FILE")) {
            (true, _) => ValueHint::DirPath,
            (_, true) => ValueHint::FilePath,
            (false, false) => ValueHint::Other,
        };
        match arg.get_action().takes_values() {
            true => arg.value_hint(hint),
            false => arg,
        }
    })
}

impl Completion {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut hinted(Arguments::command()), PROGRAM, &mut script);
        print(&String::from_utf8_lossy(&script).replace(MISSED, MEANT))
    }
}
