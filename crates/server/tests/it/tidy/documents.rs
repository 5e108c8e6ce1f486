//! The documents describe what the code does, and the manifests name only used crates.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    assert_none,
    sources::{Source, files, repository, server},
};

/// The words in quotation marks that pass `keep`, with their places.
fn literals(source: &Source, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let words = line.split('"').skip(1).step_by(2).filter(|word| keep(word));
        found.extend(words.map(|word| (word.to_owned(), format!("{}:{}", source.name, i + 1))));
    }
    found
}

fn document(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

/// Words in the code that have the form of a reason, and are something else.
const NO_REASONS: &[&str] = &[
    // Of SQL, and of environment variables.
    "COMMIT",
    "DELETE",
    "FULL",
    "MATERIALIZED",
    "ROLLBACK",
    "ADDR",
    "CARGO_PKG_VERSION",
    "CONFIG",
    "CUSTOMER_SETTINGS_",
    "DEMO",
    "HOST",
    "KEY_FILE",
    "PORT",
    "PROTO",
    "SCTP",
    "SERVER",
    "SERVICE",
    // Of the contract, of HTTP and of documents.
    "ACTIVE",
    "FALSE",
    "HEAD",
    "IMMUTABLE",
    "INPUT_ONLY",
    "JSON",
    "OPTIONAL",
    "OUTPUT_ONLY",
    "TRUE",
    "YAML",
    // The beginning of some reasons.
    "STORE",
];

#[test]
fn every_reason_of_an_error_and_of_a_wrong_field_is_documented() {
    let api = document("docs/api.md");
    let is_reason =
        |word: &str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let (mut offences, mut others) = (Vec::new(), BTreeSet::new());
    for source in server().into_iter().filter(|source| !source.name.ends_with("/tests.rs")) {
        let own = source.text.find("#[cfg(test)]\nmod tests").unwrap_or(source.text.len());
        let own = Source { text: source.text[..own].to_owned(), ..source };
        for (reason, at) in literals(&own, is_reason) {
            if NO_REASONS.contains(&reason.as_str()) {
                others.insert(reason);
            } else if !api.contains(&format!("`{reason}`")) {
                offences.push(format!("{at}: {reason}"));
            }
        }
    }
    assert_none(&offences, "reasons that docs/api.md does not list");
    let gone: Vec<&&str> = NO_REASONS.iter().filter(|word| !others.contains(**word)).collect();
    assert!(gone.is_empty(), "words that the code does not have any more: {gone:?}");
}

/// The documents for users, with the README.
fn for_users() -> Vec<PathBuf> {
    let mut found = files(&repository().join("docs"), "md");
    found.push(repository().join("README.md"));
    found
}

#[test]
fn a_reason_in_a_document_is_one_that_there_is() {
    let has_form =
        |word: &str| word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let known: BTreeSet<String> = server()
        .iter()
        .flat_map(|source| literals(source, has_form))
        .map(|(reason, _)| reason)
        .collect();
    let mut offences = Vec::new();
    // Other documents name many things of this form that are no reasons, such as environment variables.
    for name in ["docs/api.md", "docs/clients.md", "docs/troubleshooting.md"] {
        for (i, line) in document(name).lines().enumerate() {
            let words = line.split('`').skip(1).step_by(2).filter(|word| has_form(word));
            let unknown = words.filter(|word| {
                !known.contains(*word)
                    && *word != "CARGO_TARGET_DIR"
                    && !word.starts_with("CUSTOMER_SETTINGS_")
            });
            offences.extend(unknown.map(|word| format!("{name}:{}: {word}", i + 1)));
        }
    }
    assert_none(&offences, "reasons that the server does not have");
}

#[test]
fn troubleshooting_quotes_messages_that_there_are() {
    // Compilers, TLS libraries and resolvers say the rest.
    const BY_OTHERS: &[&str] = &["## Building the program", "## Reaching the server"];
    let mut sources = files(&repository().join("crates/server/src"), "rs");
    sources.extend(files(&repository().join("crates/cli/src"), "rs"));
    let text: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // A long literal goes on in the next line.
    let literals: String = text.split("\\\n").map(str::trim_start).collect();
    let mut offences = Vec::new();
    let mut heading = String::new();
    for (i, line) in document("docs/troubleshooting.md").lines().enumerate() {
        if line.starts_with("## ") {
            heading = line.to_owned();
        }
        let Some(row) = line.strip_prefix("| ") else { continue };
        if BY_OTHERS.contains(&heading.as_str()) {
            continue;
        }
        let symptom = row.split('|').next().unwrap_or_default();
        let parts = symptom.split('`').skip(1).step_by(2).flat_map(|quote| quote.split('…'));
        let parts = parts.map(|part| part.trim_matches([':', ' ']));
        let unknown = parts.filter(|part| !literals.contains(part));
        offences.extend(unknown.map(|part| format!("docs/troubleshooting.md:{}: {part}", i + 1)));
    }
    assert_none(&offences, "messages that the program does not have");
}

/// Whether a command writes a secret into a new file.
fn writes_a_secret(command: &str) -> bool {
    let is_key =
        ["key create", "key rotate", "openssl rand"].iter().any(|made| command.contains(made));
    let is_named =
        ["> database-url", "> secret.txt", "-keyout "].iter().any(|file| command.contains(file));
    is_named || is_key && command.contains(" > ")
}

#[test]
fn files_with_secrets_are_private_in_every_example() {
    let mut offences = Vec::new();
    for path in for_users() {
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```").skip(1).step_by(2) {
            let mut is_private = false;
            for command in block.replace("\\\n", " ").lines() {
                is_private |= command.contains("umask 077");
                if writes_a_secret(command) && !is_private {
                    offences.push(format!("{}: {}", path.display(), command.trim()));
                }
            }
        }
    }
    assert_none(
        &offences,
        "commands that write a secret without 'umask 077' before them in their block",
    );
}

#[test]
fn every_metric_is_documented() {
    let operating = document("docs/operating.md");
    let is_metric = |word: &str| {
        word.starts_with("customer_settings_") && word.chars().all(|c| c.is_lowercase() || c == '_')
    };
    let mut offences = Vec::new();
    for source in server() {
        let unknown = literals(&source, is_metric).into_iter();
        let unknown = unknown.filter(|(name, _)| !operating.contains(&format!("`{name}`")));
        offences.extend(unknown.map(|(name, at)| format!("{at}: {name}")));
    }
    assert_none(&offences, "metrics that docs/operating.md does not list");
}

/// The crates that the workspace's manifest names, each with its line.
fn workspace_dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = manifest.lines().enumerate();
    let own = lines
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .take_while(|(_, line)| !line.starts_with("[workspace.lints"));
    own.filter_map(|(i, line)| Some((i + 1, line.split_once(" = ")?.0)))
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = document("docs/dependencies.md");
    let manifest = document("Cargo.toml");
    let missing = workspace_dependencies(&manifest).filter(|(_, name)| {
        !name.starts_with("customer-settings-") && !reasons.contains(&format!("`{name}`"))
    });
    let offences: Vec<String> =
        missing.map(|(line, name)| format!("Cargo.toml:{line}: {name}")).collect();
    assert_none(&offences, "dependencies that docs/dependencies.md does not justify");
}

/// The packages of the workspace, with the places of their code.
const PACKAGES: &[(&str, &[&str])] = &[
    ("bench", &["src"]),
    ("crates/contract", &["src", "build.rs"]),
    ("crates/memory", &["src"]),
    ("crates/server", &["src", "tests"]),
    ("crates/cli", &["src", "build.rs"]),
];

/// Crates whose names appear only in generated code.
const USED_BY_GENERATED_CODE: &[&str] = &["prost", "prost-types", "tonic", "tonic-prost"];

#[test]
fn every_dependency_is_used() {
    let mut offences = Vec::new();
    let mut named_in_all = String::new();
    for (package, places) in PACKAGES {
        let root = repository().join(package);
        let places = places.iter().map(|place| root.join(place));
        let sources = places.flat_map(|place| match place.is_dir() {
            true => files(&place, "rs"),
            false => vec![place],
        });
        let code: String = sources.filter_map(|path| fs::read_to_string(path).ok()).collect();
        let manifest = document(&format!("{package}/Cargo.toml"));
        named_in_all.push_str(&manifest);
        let lines = manifest.lines().enumerate();
        for (i, line) in lines.skip_while(|(_, line)| !line.contains("dependencies]")) {
            let name = line.split_once(".workspace = true");
            let name = name.or_else(|| line.split_once(" = { workspace = true"));
            let Some((name, _)) = name else { continue };
            let is_generated =
                *package == "crates/contract" && USED_BY_GENERATED_CODE.contains(&name);
            let word = name.replace('-', "_");
            let is_used =
                ["::", " as ", ";"].iter().any(|end| code.contains(&format!("{word}{end}")));
            if !is_used && !is_generated {
                offences.push(format!("{package}/Cargo.toml:{}: {name}", i + 1));
            }
        }
    }
    let manifest = document("Cargo.toml");
    let of_all = workspace_dependencies(&manifest);
    let unused = of_all.filter(|(_, name)| {
        !named_in_all.contains(&format!("{name}.workspace"))
            && !named_in_all.contains(&format!("{name} = {{ workspace"))
    });
    offences.extend(unused.map(|(line, name)| format!("Cargo.toml:{line}: {name}")));
    assert_none(&offences, "dependencies that nothing uses");
}

/// The anchors of a document, in the form that GitHub makes of headings.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = repository();
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut documents: Vec<PathBuf> = top.iter().map(|name| root.join(name)).collect();
    documents.extend(files(&root.join("docs"), "md"));
    let mut offences = Vec::new();
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        for (i, line) in text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
                if target.contains("://") {
                    continue;
                }
                let target = match target {
                    "" => path.clone(),
                    _ => path.parent().unwrap().join(target),
                };
                if !target.exists() || !(anchor.is_empty() || anchors(&target).contains(anchor)) {
                    offences.push(format!("{}:{}: {link}", path.display(), i + 1));
                }
            }
        }
    }
    assert_none(&offences, "links that lead nowhere");
}

/// The documents that name files of the code.
const ABOUT_THE_CODE: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/decisions.md",
    "docs/dependencies.md",
    "docs/style.md",
    "docs/testing.md",
];

/// The folders in which they name files.
const PLACES: &[&str] = &[
    "",
    "crates/server",
    "crates/server/src",
    "crates/server/src/store",
    "crates/server/tests/it",
    "crates/cli/src",
    "tests/clients",
];

#[test]
fn files_that_the_documents_about_the_code_name_are_there() {
    let is_path = |word: &str| {
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let is_file = [".rs", ".py"].iter().any(|end| word.ends_with(end));
        is_plain && !word.starts_with('/') && (word.contains('/') || is_file)
    };
    let mut offences = Vec::new();
    for name in ABOUT_THE_CODE {
        for (i, line) in document(name).lines().enumerate() {
            let words = line.split('`').skip(1).step_by(2).filter(|word| is_path(word));
            let is_missing = |word: &&str| {
                !PLACES.iter().any(|place| repository().join(place).join(word).exists())
            };
            let missing = words.filter(is_missing);
            offences.extend(missing.map(|word| format!("{name}:{}: {word}", i + 1)));
        }
    }
    assert_none(&offences, "files that are not there");
}

#[test]
fn every_room_of_the_server_is_on_the_map() {
    let map = document("ARCHITECTURE.md");
    let src = repository().join("crates/server/src");
    let mut offences = Vec::new();
    for entry in fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // The file of a room with a folder stands for the folder.
        let folder = path.with_extension("");
        let row = match folder.is_dir() {
            true => format!("| `{}/` |", folder.file_name().unwrap().to_str().unwrap()),
            false => format!("| `{name}` |"),
        };
        if !map.contains(&row) {
            offences.push(name.to_owned());
        }
    }
    assert_none(&offences, "rooms that ARCHITECTURE.md does not name");
}
