//! The commands that talk to a server: the request of each command line is compared with the contract.

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use super::{Arguments, Command, EXIT_CODES, target};

/// A line, the method that it calls, and the request without its id, in the form that the server reads.
const SENT: &[(&str, &str, &str)] = &[
    (
        "entry list c customer_tags --archived --revision 7 --order-by name",
        "EntryService/ListEntries",
        r#"{"companyId": "c", "collection": "customer_tags", "showArchived": true, "revision": "7", "orderBy": "name"}"#,
    ),
    (
        "entry get c life_cycles t --at 2026-11-23T18:00:00Z",
        "EntryService/GetEntry",
        r#"{"companyId": "c", "collection": "life_cycles", "id": "t", "readTime": "2026-11-23T18:00:00Z"}"#,
    ),
    (
        "entry create c action_statuses t --name N --color #FFF --etag e",
        "EntryService/CreateEntry",
        r##"{"companyId": "c", "collection": "action_statuses", "entryId": "t", "etag": "e", "entry": {"name": "N", "color": "#FFF"}}"##,
    ),
    (
        "entry create c referral_sources --name N",
        "EntryService/CreateEntry",
        r#"{"companyId": "c", "collection": "referral_sources", "entry": {"name": "N"}}"#,
    ),
    (
        "entry update c customer_tags t --description D --no-color",
        "EntryService/UpdateEntry",
        r#"{"companyId": "c", "collection": "customer_tags", "id": "t", "entry": {"description": "D", "color": ""}}"#,
    ),
    (
        "entry archive c life_cycles t --successor s --etag e",
        "EntryService/ArchiveEntry",
        r#"{"companyId": "c", "collection": "life_cycles", "id": "t", "successorId": "s", "etag": "e"}"#,
    ),
    (
        "entry restore c life_cycles t --dry-run",
        "EntryService/RestoreEntry",
        r#"{"companyId": "c", "collection": "life_cycles", "id": "t", "validateOnly": true}"#,
    ),
    (
        "entry delete c life_cycles t --yes",
        "EntryService/DeleteEntry",
        r#"{"companyId": "c", "collection": "life_cycles", "id": "t"}"#,
    ),
    (
        "entry reorder c life_cycles x y",
        "EntryService/ReorderEntries",
        r#"{"companyId": "c", "collection": "life_cycles", "ids": ["x", "y"]}"#,
    ),
    (
        "entry set-default c life_cycles t",
        "EntryService/UpdateEntry",
        r#"{"companyId": "c", "collection": "life_cycles", "id": "t", "entry": {"isDefault": true}}"#,
    ),
    ("company list --archived", "CompanyService/ListCompanies", r#"{"showArchived": true}"#),
    (
        r#"company list --search 6"\x"#,
        "CompanyService/ListCompanies",
        r#"{"filter": "\"6\\\"\\\\x\""}"#,
    ),
    ("company get c", "CompanyService/GetCompany", r#"{"companyId": "c"}"#),
    (
        "company create --name N --timezone Z",
        "CompanyService/CreateCompany",
        r#"{"company": {"name": "N", "timezone": {"id": "Z"}}}"#,
    ),
    (
        "company update c --country US",
        "CompanyService/UpdateCompany",
        r#"{"companyId": "c", "company": {"country": "US"}}"#,
    ),
    (
        "company archive c --etag e",
        "CompanyService/ArchiveCompany",
        r#"{"companyId": "c", "etag": "e"}"#,
    ),
    ("company restore c", "CompanyService/RestoreCompany", r#"{"companyId": "c"}"#),
    ("business list c", "BusinessService/ListBusinesses", r#"{"companyId": "c"}"#),
    (
        "business get c b --revision 1",
        "BusinessService/GetBusiness",
        r#"{"companyId": "c", "id": "b", "revision": "1"}"#,
    ),
    (
        "business create c b --name N --city Y",
        "BusinessService/CreateBusiness",
        r#"{"companyId": "c", "businessId": "b", "business": {"name": "N", "address": {"city": "Y"}}}"#,
    ),
    (
        "business update c b --business-phone 1",
        "BusinessService/UpdateBusiness",
        r#"{"companyId": "c", "id": "b", "business": {"businessPhone": "1"}}"#,
    ),
    (
        "business update c b --country US",
        "BusinessService/UpdateBusiness",
        r#"{"companyId": "c", "id": "b", "business": {"address": {"country": "US"}}}"#,
    ),
    ("business archive c b", "BusinessService/ArchiveBusiness", r#"{"companyId": "c", "id": "b"}"#),
    ("business restore c b", "BusinessService/RestoreBusiness", r#"{"companyId": "c", "id": "b"}"#),
    (
        "history list c --collection life_cycles --entry t",
        "HistoryService/ListChanges",
        r#"{"companyId": "c", "collection": "life_cycles", "entryId": "t"}"#,
    ),
    (
        "history list c --by-key k --by-staff s --from 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z",
        "HistoryService/ListChanges",
        r#"{"companyId": "c", "keyId": "k", "staffId": "s", "fromTime": "2026-11-01T00:00:00Z",
            "untilTime": "2026-12-01T00:00:00Z"}"#,
    ),
    ("history show c 7", "HistoryService/GetChange", r#"{"companyId": "c", "revision": "7"}"#),
    (
        "history undo c 7 --etag e",
        "HistoryService/UndoChange",
        r#"{"companyId": "c", "revision": "7", "etag": "e"}"#,
    ),
    ("history rollback c 7", "HistoryService/RollBack", r#"{"companyId": "c", "revision": "7"}"#),
    (
        "key create --name N --company c --allow-ip 10.0.0.1 --expires 2099-01-01T00:00:00Z --staff s",
        "KeyService/CreateKey",
        r#"{"key": {"name": "N", "scopes": ["settings:read", "companies:read"], "companyIds": ["c"], "allCompanies": false, "addresses": ["10.0.0.1/32"], "expiresTime": "2099-01-01T00:00:00Z", "staffId": "s"}}"#,
    ),
    (
        "key create --name N --scope *",
        "KeyService/CreateKey",
        r#"{"key": {"name": "N", "scopes": ["*"], "allCompanies": true}}"#,
    ),
    (
        "key create --name N --scope settings:read,history:read --scope keys:read",
        "KeyService/CreateKey",
        r#"{"key": {"name": "N", "scopes": ["settings:read", "keys:read", "history:read"], "allCompanies": true}}"#,
    ),
    // Blanks beside a comma do not count. A tab is one that does not end a word here.
    (
        "key create --name N --company c,\td --company e --allow-ip 10.0.0.1\t,10.1.0.0/16",
        "KeyService/CreateKey",
        r#"{"key": {"name": "N", "scopes": ["settings:read", "companies:read"], "companyIds": ["c", "d", "e"], "allCompanies": false, "addresses": ["10.0.0.1/32", "10.1.0.0/16"]}}"#,
    ),
    ("key list --revoked", "KeyService/ListKeys", r#"{"showRevoked": true}"#),
    ("key get k", "KeyService/GetKey", r#"{"id": "k"}"#),
    (
        "key update k --name N --anywhere --no-expiry --no-staff --etag e",
        "KeyService/UpdateKey",
        r#"{"id": "k", "key": {"name": "N", "staffId": ""}, "updateMask": "name,addresses,expiresTime,staffId", "etag": "e"}"#,
    ),
    (
        "key update k --scope history:read --company c --company d",
        "KeyService/UpdateKey",
        r#"{"id": "k", "key": {"scopes": ["history:read"], "companyIds": ["c", "d"]}, "updateMask": "scopes,companyIds,allCompanies"}"#,
    ),
    (
        "key update k --all-companies",
        "KeyService/UpdateKey",
        r#"{"id": "k", "key": {"allCompanies": true}, "updateMask": "companyIds,allCompanies"}"#,
    ),
    ("key rotate k", "KeyService/RotateKey", r#"{"id": "k", "overlap": "86400s"}"#),
    (
        "key rotate k --overlap 0s --etag e",
        "KeyService/RotateKey",
        r#"{"id": "k", "overlap": "0s", "etag": "e"}"#,
    ),
    ("key revoke k", "KeyService/RevokeKey", r#"{"id": "k"}"#),
    ("key history", "KeyService/ListKeyChanges", r#"{"id": "-"}"#),
    ("key history k", "KeyService/ListKeyChanges", r#"{"id": "k"}"#),
    (
        "key history --by-key k --from 2026-11-01T00:00:00Z",
        "KeyService/ListKeyChanges",
        r#"{"id": "-", "keyId": "k", "fromTime": "2026-11-01T00:00:00Z"}"#,
    ),
];

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words = std::iter::once("customer-settings").chain(line.split(' '));
    Arguments::try_parse_from(words.chain(["--server", "http://127.0.0.1:1"]))
}

/// The method and the request of a line, in the form that the server reads.
fn sent(line: &str) -> (&'static str, Value) {
    let arguments = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let call = match &arguments.command {
        Command::Entry(entry) => entry.call(),
        Command::Company(company) => company.call(),
        Command::Business(business) => business.call(),
        Command::History(history) => history.call(),
        Command::Key(key) => key.call(),
        _ => unreachable!("a local command"),
    };
    let call = call.unwrap();
    (call.method, target::normalized(call.method, &call.request).unwrap())
}

#[test]
fn every_command_sends_what_its_method_takes() {
    for (line, method, expected) in SENT {
        let (sent_method, mut request) = sent(line);
        let id = request.as_object_mut().unwrap().shift_remove("requestId");
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!((sent_method, request), (*method, expected), "{line}");
        let reads = ["list", "get", "show"].contains(&line.split(' ').nth(1).unwrap())
            || line.starts_with("key history");
        assert_eq!(id.is_none(), reads, "{line}: every write has a request id");
    }
    let (_, request) = sent("entry restore c life_cycles t --request-id mine");
    assert_eq!(request["requestId"], json!("mine"));
}

#[test]
fn the_table_of_what_is_sent_has_every_command() {
    let all = Arguments::command();
    for group in ["entry", "company", "business", "history", "key"] {
        for verb in all.find_subcommand(group).unwrap().get_subcommands() {
            let name = format!("{group} {}", verb.get_name());
            let listed = SENT
                .iter()
                .any(|(line, ..)| line.starts_with(&name) && line[name.len()..].starts_with(' '));
            // The test of `entry batch` is separate, because it reads a file. `key import` works only on the
            // data.
            assert!(listed || ["entry batch", "key import"].contains(&name.as_str()), "{name}");
        }
    }
}

/// Arguments that are not fields of a request: they say how to get one, how to show the answer, or where to
/// work.
const NO_FIELDS: &[&str] = &[
    "all",
    "anywhere",
    "file",
    "limit",
    "no_color",
    "no_expiry",
    "no_staff",
    "out",
    "settings_staff_id",
    "yes",
    "ca_file",
    "data_dir",
    "database_url",
    "database_url_file",
    "key_file",
    "output",
    "server",
    "timeout",
    "wide",
];

/// Refusals use these names to find the words of the command line.
#[test]
fn arguments_have_the_names_of_the_contracts_fields() {
    let all = Arguments::command();
    for (line, method, _) in SENT {
        let [group, verb] = [0, 1].map(|i| line.split(' ').nth(i).unwrap());
        let command = all.find_subcommand(group).unwrap().find_subcommand(verb).unwrap();
        let fields = target::fields(method);
        for argument in command.get_arguments().map(|argument| argument.get_id().as_str()) {
            let is_known = fields.contains(argument) || NO_FIELDS.contains(&argument);
            assert!(is_known, "{line}: no field of {method} is called {argument}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    let lines = [
        "entry list c tags",
        "entry list c",
        "entry get c life_cycles t --revision 0",
        "entry get c life_cycles t --revision 1 --at 2026-11-23T18:00:00Z",
        "entry get c life_cycles t --at yesterday",
        "entry get c life_cycles t --at 2026-11-23",
        "entry create c life_cycles --color #FFF",
        "entry create c life_cycles --name ",
        "company update c --name ",
        "business create c --name ",
        "key create --name ",
        "key update k --name ",
        "entry update c life_cycles t",
        "entry update c life_cycles t --color #FFF --no-color",
        "entry reorder c life_cycles",
        "company create",
        "company update c",
        "business create c --city Y",
        "business update c b",
        "history list c --entry t",
        "history list c --limit 0",
        "history list c --limit 7 --all",
        "history undo c 0",
        "entry list c life_cycles --key secret",
        "entry list c life_cycles --data-dir data",
        "entry list c life_cycles --database-url postgres://localhost/d",
        "key create",
        "key update k",
        "key update k --company c --all-companies",
        "key update k --expires 30d --no-expiry",
        "key rotate k --overlap soon",
        "key revoke",
    ];
    for line in lines {
        match parse(line) {
            Ok(_) => panic!("{line} was taken"),
            Err(error) => assert_eq!(error.exit_code(), 2, "{line}"),
        }
    }
    assert!(parse("history list c --limit 1").is_ok());
    assert!(parse("history undo c 1").is_ok());
}

#[test]
fn a_key_that_would_be_over_already_is_refused_before_anything_is_sent() {
    for line in ["key create --name n", "key update k"] {
        for when in ["2020-01-01T00:00:00Z", "0s"] {
            let arguments = parse(&format!("{line} --expires {when}")).unwrap();
            let Command::Key(key) = &arguments.command else { unreachable!("a key's command") };
            let failure = key.call().err().unwrap_or_else(|| panic!("{line} {when} was taken"));
            assert!(failure.message.contains("lies in the past"), "{}", failure.message);
        }
    }
}

#[test]
fn every_command_has_a_text_and_an_example_and_every_group_the_exit_codes() {
    fn check(command: &clap::Command, name: &str) {
        assert!(command.get_about().is_some(), "{name}");
        let text = |help: Option<&clap::builder::StyledStr>| help.map(ToString::to_string);
        let example = text(command.get_after_help()).unwrap_or_default();
        if !command.has_subcommands() {
            return assert!(example.contains(&format!("{name} ")), "{name}: {example}");
        }
        let long = text(command.get_after_long_help()).unwrap_or_default();
        assert!(long.contains(EXIT_CODES), "{name}");
        for verb in command.get_subcommands() {
            check(verb, &format!("{name} {}", verb.get_name()));
        }
    }
    let all = Arguments::command();
    all.clone().debug_assert();
    check(&all, "customer-settings");
}

#[test]
fn a_value_with_a_minus_sign_is_told_its_range_and_not_how_to_pass_it() {
    for line in [
        "history list c --limit -1",
        "history show c -3",
        "history undo c -3",
        "history rollback c -3",
        "key history --limit -1",
        "entry get c life_cycles t --revision -3",
        "entry get c life_cycles t --at -1d",
        "entry list c life_cycles --timeout -1s",
        "key rotate k --overlap -1s",
    ] {
        let told = parse(line).err().unwrap_or_else(|| panic!("{line} was taken")).to_string();
        assert!(told.starts_with("error: invalid value '-") && !told.contains("-- -"), "{told}");
    }
    let arguments = parse("key create --name n --expires -1d").unwrap();
    let Command::Key(key) = &arguments.command else { unreachable!("a key's command") };
    let failure = key.call().err().unwrap();
    assert!(failure.message.contains("is neither a span"), "{}", failure.message);
}

#[test]
fn the_usage_line_of_what_is_made_says_that_it_needs_a_name() {
    for (group, fields) in [("entry", "description"), ("company", "country"), ("business", "city")]
    {
        let mut all = Arguments::command();
        all.build();
        for (verb, is_made) in [("create", true), ("update", false)] {
            let command = all.find_subcommand_mut(group).unwrap();
            let usage = command.find_subcommand_mut(verb).unwrap().render_usage().to_string();
            assert_eq!(usage.contains("--name <TEXT> "), is_made, "{usage}");
            assert_eq!(usage.contains(&format!("--{fields}")), !is_made, "{usage}");
        }
    }
}

#[test]
fn a_flag_that_is_given_is_not_said_to_be_missing() {
    for (line, told) in [
        ("key update k --company", "--company must not be blank"),
        ("key update k --staff", "--staff must not be blank"),
    ] {
        let words = ["customer-settings"].into_iter().chain(line.split(' '));
        let words = words.chain(["", "--server", "http://127.0.0.1:1"]);
        let arguments = Arguments::try_parse_from(words).unwrap();
        let Command::Key(key) = &arguments.command else { unreachable!("a key's command") };
        assert_eq!(key.call().err().unwrap().message, told);
    }
}

#[test]
fn an_option_that_cutover_excludes_is_refused_with_that_word() {
    for option in ["--check", "--estimate", "--every 5m"] {
        let line = format!("mirror cutover --from https://a --from-key-file k {option}");
        let told = parse(&line).err().unwrap().to_string();
        assert!(
            told.contains("cutover]' cannot be used with") || told.contains("with '[cutover]'"),
            "{told}"
        );
    }
}
