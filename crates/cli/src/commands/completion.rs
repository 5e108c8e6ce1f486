//! `customer-settings completion`.

use std::collections::BTreeMap;

use clap::{Arg, Args, Command, CommandFactory, ValueHint, builder::Resettable};
use clap_complete::{Shell, generate};
use customer_settings_server::catalog::{access::Scope, change::Ignored, entry::Catalog};

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
/// and switches patterns off meanwhile. Of a list with commas, it gives it the last item alone. Of each answer, bash
/// expects only the part after the last `:` or `=`.
const BASH_WORDS: &str = r##"
_customer_settings_words() {
    local line="${COMP_LINE:0:COMP_POINT}" option="$3" patterns="" items=""
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
    case "$option" in
        LISTS) items="${value%"${value##*,}"}" ;;
    esac
    case "$-" in
        *f*) ;;
        *) patterns="on" && set -f ;;
    esac
    _customer__settings "$1" "${value#"$items"}" "$option"
    [ -z "$patterns" ] || set +f
    before="${value%"$2"}"
    COMPREPLY=("${COMPREPLY[@]/#/$items}")
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
"##;

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
        "ignore" => Ignored::ALL.map(Ignored::as_str).to_vec(),
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
        // The scripts complete a list with commas by its words alone.
        if arg.get_value_delimiter().is_some() && !arg.get_possible_values().is_empty() {
            let values = arg.get_possible_values().into_iter();
            let values: Vec<_> = values.map(|value| value.help(Resettable::Reset)).collect();
            return arg.value_parser(values);
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

fn names(arg: &Arg) -> Vec<String> {
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// The words of each option that takes a list with commas.
fn lists(command: &Command, found: &mut BTreeMap<String, Vec<String>>) {
    command.get_subcommands().for_each(|command| lists(command, found));
    for arg in command.get_arguments().filter(|arg| arg.get_value_delimiter().is_some()) {
        let (words, long) = (names(arg), arg.get_long().unwrap_or_default());
        if !words.is_empty() {
            found.insert(format!("--{long}"), words);
        }
    }
}

/// Has the library's script for zsh or fish complete an item after a comma too. Both shells take an item `*` for a
/// pattern, if nothing marks it as a word.
fn with_items(script: &str, shell: Shell, words: &[String]) -> String {
    let (library, items) = match shell {
        Shell::Zsh => {
            let items = words.join(" ").replace(':', "\\:");
            (format!(":({items})'"), format!(":_sequence compadd - {}'", items.replace('*', "\\*")))
        }
        _ => {
            let each: Vec<_> = words.iter().map(|word| format!("{word}\\t''")).collect();
            // The tab ends the word, so that it does not get the option's description.
            let items = words.join("\\t ").replace('*', "\\*") + "\\t";
            (each.join("\n"), format!("(__fish_append , {items})"))
        }
    };
    script.replace(&library, &items)
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
        let is_file =
            |arg: &&Arg| matches!(arg.get_value_hint(), ValueHint::DirPath | ValueHint::FilePath);
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
        let mut of_options = BTreeMap::new();
        lists(&command, &mut of_options);
        if matches!(self.shell, Shell::Zsh | Shell::Fish) {
            for words in of_options.values() {
                script = with_items(&script, self.shell, words);
            }
        }
        match self.shell {
            Shell::Bash => {
                let options: Vec<_> = of_options.into_keys().collect();
                script = script.replace(BASH[0], BASH[1]);
                script.push_str(&BASH_WORDS.replace("LISTS", &options.join(" | ")));
            }
            Shell::Fish => {
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
