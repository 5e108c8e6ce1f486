//! The environment of this process: the variables of this program, apart from those that only look like it.

use std::{env, ffi::OsString};

/// Every environment variable of this program starts with this.
pub(super) const PREFIX: &str = "CUSTOMER_SETTINGS_";

/// Variables of the command line that are not configuration.
const COMMAND_LINE_VARIABLES: [&str; 5] = ["CONFIG", "DEMO", "KEY", "KEY_FILE", "SERVER"];

/// A variable of this process. An empty variable counts as not set, because compose files make `${NAME}`
/// empty if nobody set it.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The variables of an environment that are meant as configuration, also misspelled ones.
pub(super) fn configuration(
    environment: impl IntoIterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, String)> {
    environment.into_iter().filter(|(variable, value)| {
        variable.strip_prefix(PREFIX).is_some_and(|name| {
            !value.is_empty()
                && !COMMAND_LINE_VARIABLES.contains(&name)
                && !is_service_link(name, value)
        })
    })
}

/// Whether Kubernetes made the variable. Beside a Service called `customer-settings` or `customer-settings-…`, each
/// container gets the Service's address in variables that begin like ours
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>). None of our
/// variables ends like these.
fn is_service_link(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_protocol = |text: &str| ["TCP", "UDP", "SCTP"].contains(&text);
    match words.as_slice() {
        [.., "SERVICE", "HOST"] | [.., "SERVICE", "PORT"] => true,
        [.., "PORT", port, protocol] if is_port(port) && is_protocol(protocol) => true,
        [.., "PORT", port, protocol, "PROTO" | "PORT" | "ADDR"]
            if is_port(port) && is_protocol(protocol) =>
        {
            true
        }
        // Kubernetes makes one for each port that has a name.
        words if words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]) => is_port(value),
        // A person may have written this variable, with a number as its value.
        [.., "PORT"] => {
            value.split_once("://").is_some_and(|(scheme, _)| is_protocol(&scheme.to_uppercase()))
        }
        _ => false,
    }
}
