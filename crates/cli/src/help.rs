//! The form of help texts. The library wraps them to the terminal, but people paste the examples, and a command that is
//! cut in two does something else. Knows no command.

use clap::Command;

/// The library's own form, without the examples at its end.
const BEFORE_EXAMPLES: &str =
    "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}\n\n";

/// The command, with its examples in lines that are never wrapped. The library writes the texts of a form as
/// they are. It takes a brace for the beginning of a name there, so examples have no braces.
pub(crate) fn with_whole_examples(command: Command) -> Command {
    let command = command.mut_subcommands(with_whole_examples);
    match command.get_after_help().filter(|_| !command.has_subcommands()) {
        Some(examples) => {
            let form = format!("{BEFORE_EXAMPLES}{examples}");
            command.help_template(form)
        }
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Arguments;

    #[test]
    fn an_example_has_one_line_at_every_width() {
        fn check(command: &mut Command, width: usize) {
            let name = command.get_name().to_owned();
            let examples = command.get_after_help().map(ToString::to_string);
            let shown = command.clone().term_width(width).render_long_help().to_string();
            let short = command.clone().term_width(width).render_help().to_string();
            for line in examples.iter().flat_map(|text| text.lines()) {
                assert!(shown.lines().any(|other| other == line), "{name} {width}: {line} {shown}");
                assert!(short.lines().any(|other| other == line), "{name} {width}: {line}");
            }
            command.get_subcommands_mut().for_each(|command| check(command, width));
        }
        for width in [40, 60, 80, 100, 200] {
            let mut all = with_whole_examples(Arguments::command()).term_width(width);
            all.build();
            check(&mut all, width);
        }
    }

    #[test]
    fn nothing_but_the_examples_has_another_form() {
        let mut all = Arguments::command();
        all.build();
        let plain = all.find_subcommand_mut("man").unwrap().render_long_help().to_string();
        let mut all = with_whole_examples(Arguments::command());
        all.build();
        assert_eq!(all.find_subcommand_mut("man").unwrap().render_long_help().to_string(), plain);
    }
}
