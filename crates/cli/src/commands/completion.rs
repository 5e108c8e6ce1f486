//! `customer-settings completion`.

use clap::{Args, Command, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use customer_settings_server::catalog::{access::Scope, entry::Catalog};

use crate::{Arguments, PROGRAM, failure::Failure, output::print};

/// The library's script for bash writes the program's name in two ways, because the name has a hyphen (clap issue
/// 6421). The part that completes a command's words has this form, which the part that finds the command never sets.
const MISSED: &str = "customer__subcmd__settings";
/// The form in the part that finds the command.
const MEANT: &str = "customer__settings";

/// The end of the library's script for bash, and the same with the function below, which calls the library's.
const BASH: [&str; 2] =
    ["complete -F _customer__settings ", "complete -F _customer_settings_words "];
/// Bash ends a word at `:` and `=`, so the library's function would get a part of a value, without its option. It also
/// lets the shell replace the value `*` by the names of files. This function gives it the whole value and the option,
/// and switches patterns off meanwhile. Of each answer, bash expects only the part after the last `:` or `=`.
const BASH_WORDS: &str = r##"
_customer_settings_words() {
    local line="${COMP_LINE:0:COMP_POINT}" option="$3" patterns=""
    local value="${line##*[[:blank:]]}"
    local before="${line%"$value"}"
    case "${value%"$2"}" in
        *[\"\'\\]*)
            value="$2"
            ;;
        -*=*)
            option="${value%%=*}"
            value="${value#*=}"
            ;;
        *[:=])
            before="${before%"${before##*[![:blank:]]}"}"
            option="${before##*[[:blank:]]}"
            ;;
        *)
            value="$2"
            ;;
    esac
    case "$-" in
        *f*) ;;
        *) patterns="on" && set -f ;;
    esac
    _customer__settings "$1" "$value" "$option"
    [ -z "$patterns" ] || set +f
    before="${value%"$2"}"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
"##;

/// The value `*` as the library writes it in its scripts for zsh and fish, and as a word that is no pattern.
const ZSH_STAR: [&str; 2] = [" *)' ", r" \*)' "];
const FISH_STAR: [&str; 2] = ["\n*\\t''", "\n\\*\\t''"];

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
        "collection" => Catalog::ALL.map(Catalog::as_str).to_vec(),
        "order_by" => vec!["position", "name", "created_time", "last_updated_time"],
        "scopes" => Scope::ALL.map(Scope::as_str).into_iter().chain(["*"]).collect(),
        _ => Vec::new(),
    }
}

/// The command with the kind of each value. Without it, shells offer the names of files for everything.
fn hinted(command: Command) -> Command {
    command.mut_subcommands(hinted).mut_args(|arg| {
        let words = words(arg.get_id().as_str());
        if !words.is_empty() && arg.get_possible_values().is_empty() {
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

/// The library's script for fish completes commands and options alone, and leaves arguments to the names of files.
/// These lines complete the arguments that have few values, and no file for a command whose arguments are none.
fn fish_arguments(command: &Command, above: &str, depth: usize, lines: &mut String) {
    for command in command.get_subcommands() {
        let seen = match above {
            "" => format!("__fish_customer_settings_using_subcommand {}", command.get_name()),
            above => format!("{above}; and __fish_seen_subcommand_from {}", command.get_name()),
        };
        if command.has_subcommands() {
            fish_arguments(command, &seen, depth + 1, lines);
            continue;
        }
        let arguments: Vec<_> = command.get_positionals().collect();
        let is_file = |arg: &&clap::Arg| {
            matches!(arg.get_value_hint(), ValueHint::DirPath | ValueHint::FilePath)
        };
        if !arguments.iter().any(is_file) {
            lines.push_str(&format!("complete -c {PROGRAM} -n \"{seen}\" -f\n"));
        }
        for (place, argument) in arguments.iter().enumerate() {
            let values = argument.get_possible_values();
            if values.is_empty() {
                continue;
            }
            let values: Vec<_> = values.iter().map(|value| value.get_name()).collect();
            let (values, before) = (values.join(" "), depth + 2 + place);
            lines.push_str(&format!(
                "complete -c {PROGRAM} -n \"{seen}; and {FISH_WORDS} {before}; and not \
                 __fish_seen_subcommand_from {values}\" -f -a \"{values}\"\n"
            ));
        }
    }
}

/// The function of the script for fish that asks whether at least so many words stand before the cursor.
const FISH_WORDS: &str = "__fish_customer_settings_has_words";

impl Completion {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        let mut command = hinted(Arguments::command());
        generate(self.shell, &mut command, PROGRAM, &mut script);
        let mut script = String::from_utf8_lossy(&script).replace(MISSED, MEANT);
        match self.shell {
            Shell::Bash => script = script.replace(BASH[0], BASH[1]) + BASH_WORDS,
            Shell::Zsh => script = script.replace(ZSH_STAR[0], ZSH_STAR[1]),
            Shell::Fish => {
                script = script.replace(FISH_STAR[0], FISH_STAR[1]);
                script.push_str(&format!(
                    "\nfunction {FISH_WORDS}\n    \
                     test (count (string match -v -- '-*' (commandline -opc))) -ge $argv[1]\nend\n\n"
                ));
                fish_arguments(&command, "", 0, &mut script);
            }
            _ => {}
        }
        print(&script)
    }
}
