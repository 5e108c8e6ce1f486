//! The configuration: its layers, its ranges, and how wrong values are refused.

use std::{fs, path::PathBuf};

use customer_settings_server::config::{Config, ConfigError, LogFormat, parse_network};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn from_file(text: &str) -> Result<Config, String> {
    let (folder, path) = file(text);
    let problem =
        |error: ConfigError| error.to_string().replace(folder.path().to_str().unwrap(), "");
    Config::layered(Some(&path), [], &[]).map_err(problem)
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::layered(None, variables, &[]).map_err(|error| error.to_string())
}

#[test]
fn the_sample_is_the_defaults_and_keeps_to_the_limits_of_its_own() {
    let defaults = Config::default();
    assert_eq!(from_file(Config::sample()).unwrap(), defaults);
    assert!(defaults.listen.ip().is_loopback());
    assert_eq!(defaults.limits.body_bytes, 1 << 20);
    assert_eq!(defaults.limits.request_timeout_ms, 10_000);
    assert_eq!(defaults.limits.drain_timeout_ms, 25_000);
    assert_eq!(defaults.freshness_ms, 1_000);
    assert_eq!(defaults.max_stale_ms, 300_000);
    assert!(!defaults.accept_bare_base64 && !defaults.access_log);
}

#[test]
fn an_empty_file_and_empty_sections_change_nothing() {
    for text in ["", "# nothing\n", "limits:\n", "limits: {}\n"] {
        assert_eq!(from_file(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn a_section_that_is_none_and_a_key_that_is_doubled_are_told_as_such() {
    for text in ["limits: [1]\n", "limits: 5\n", "limits: text\n"] {
        let told = from_file(text).unwrap_err();
        assert!(told.starts_with("limits cannot be …"), "{told}");
        assert!(told.contains("it must be a section of keys, such as limits."), "{told}");
    }
    let told = from_file("log: info\nlog: debug\n").unwrap_err();
    assert!(told.ends_with(" is not valid: log is given twice, at line 2, column 1"), "{told}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_folder, path) =
        file("limits:\n  connections: 1\n  concurrent_requests: 1\n  cache_bytes: 2000000\n");
    let variables = [
        ("CUSTOMER_SETTINGS_LIMITS_CONNECTIONS".to_owned(), "2".to_owned()),
        ("CUSTOMER_SETTINGS_LIMITS_CONCURRENT_REQUESTS".to_owned(), "2".to_owned()),
    ];
    let flags = [("limits.connections", "3".to_owned())];
    let limits = Config::layered(Some(&path), variables, &flags).unwrap().limits;
    assert_eq!(
        (limits.connections, limits.concurrent_requests, limits.cache_bytes),
        (3, 2, 2_000_000)
    );
    assert_eq!(limits.requests_burst, Config::default().limits.requests_burst);
}

#[test]
fn the_environment_is_read_by_the_type_of_each_key() {
    let config = from_environment(&[
        ("CUSTOMER_SETTINGS_LISTEN", "[::]:443"),
        ("CUSTOMER_SETTINGS_DATA_DIR", "/var/lib/x"),
        ("CUSTOMER_SETTINGS_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,"),
        ("CUSTOMER_SETTINGS_CORS_ORIGINS", ","),
        ("CUSTOMER_SETTINGS_ACCESS_LOG", "true"),
        ("CUSTOMER_SETTINGS_LOG", "info,hyper=debug"),
        ("CUSTOMER_SETTINGS_LOG_FORMAT", "json"),
        ("CUSTOMER_SETTINGS_LIMITS_BODY_BYTES", "2048"),
    ])
    .unwrap();
    assert_eq!(config.listen.to_string(), "[::]:443");
    assert_eq!(config.data_dir, Some(PathBuf::from("/var/lib/x")));
    assert_eq!(
        config.trusted_proxies,
        ["10.0.0.0/8", "192.0.2.1/32"].map(|net| net.parse().unwrap())
    );
    assert!(config.metrics_allow.is_empty() && config.access_log);
    assert_eq!((config.log_format, config.limits.body_bytes), (LogFormat::Json, 2_048));
}

#[test]
fn variables_of_the_command_line_and_of_other_programs_are_left_alone() {
    let variables = [
        ("CUSTOMER_SETTINGS_KEY", "cs_x"),
        ("CUSTOMER_SETTINGS_SERVER", "http://localhost"),
        ("CUSTOMER_SETTINGS_CONFIG", "x.yaml"),
        ("LISTEN", "nonsense"),
    ];
    assert_eq!(from_environment(&variables).unwrap(), Config::default());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_that_exists() {
    for (given, message) in [
        (
            from_file("lisen: x\n"),
            "no configuration key lisen (from /config.yaml); did you mean listen?",
        ),
        (
            from_file("limits:\n  body_byte: 1\n"),
            "limits.body_byte (from /config.yaml); did you mean limits.body_bytes?",
        ),
        (from_file("port: 80\n"), "key port (from /config.yaml); did you mean listen?"),
        (
            from_file("colour: red\n"),
            "key colour (from /config.yaml); 'customer-settings config' lists all that there are",
        ),
        (
            from_environment(&[("CUSTOMER_SETTINGS_DATADIR", "x")]),
            "CUSTOMER_SETTINGS_DATADIR (from the environment); did you mean CUSTOMER_SETTINGS_DATA_DIR?",
        ),
    ] {
        let error = given.unwrap_err();
        assert!(error.contains(message) && !error.contains('\n'), "{error}");
    }
    let error = Config::layered(None, [], &[("lsten", String::new())]).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no configuration key lsten (from the command line); did you mean listen?"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_key_itself_and_where_it_came_from() {
    for (file, message) in [
        ("listen: here\n", "listen cannot be \"here\" (from /config.yaml): "),
        ("access_log: 5\n", "access_log cannot be 5 (from /config.yaml): "),
        (
            "log_format: xml\n",
            "log_format cannot be \"xml\" (from /config.yaml): it must be auto, text or json",
        ),
        ("trusted_proxies: [10.0.0.0/33]\n", "trusted_proxies cannot be [\"10.0.0.0/33\"] "),
        ("log: inof\n", "log cannot be \"inof\" (from /config.yaml): \"inof\" is no level"),
        ("cors_origins: [app.example.com]\n", "cors_origins cannot be [\"app.example.com\"] "),
        ("cors_origins: [\"https://a.example/\"]\n", "cors_origins cannot be "),
        (
            "limits:\n  connections: 0\n",
            "limits.connections cannot be 0 (from /config.yaml): it must be a whole number from 1 to 1000000",
        ),
        (
            "listen: 8080\n",
            "listen cannot be 8080 (from /config.yaml): it must be an address with a port",
        ),
        (
            "access_log: maybe\n",
            "access_log cannot be \"maybe\" (from /config.yaml): it must be true or false",
        ),
        (
            "cors_origins: none\n",
            "cors_origins cannot be \"none\" (from /config.yaml): it must be a list",
        ),
        ("log: 1\n", "log cannot be 1 (from /config.yaml): it must be text"),
        ("data_dir: 2026\n", "data_dir cannot be 2026 (from /config.yaml): it must be text"),
        ("log: info\nlog: warn\n", "the configuration file /config.yaml is not valid: "),
        (
            "limits:\n  body: 5\n",
            "there is no configuration key limits.body (from /config.yaml); 'customer-settings config' lists all that there are",
        ),
        ("listen: [\n", "the configuration file /config.yaml is not valid: "),
        ("- listen\n", "the configuration file /config.yaml is not valid: it must be a mapping"),
    ] {
        let error = from_file(file).unwrap_err();
        assert!(error.starts_with(message) && !error.contains('\n'), "{file:?}: {error}");
    }
    let error = from_environment(&[("CUSTOMER_SETTINGS_ACCESS_LOG", "yes")]).unwrap_err();
    assert!(
        error.starts_with("access_log cannot be \"yes\" (from CUSTOMER_SETTINGS_ACCESS_LOG): "),
        "{error}"
    );
    let missing = Config::layered(Some("/no/such/file".as_ref()), [], &[]).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read the configuration file /no/such/file: "), "{missing}");
}

#[test]
fn every_limit_is_checked_on_both_sides() {
    for (key, least, most) in [
        ("freshness_ms", 1, 86_400_000),
        ("max_stale_ms", 0, 86_400_000),
        ("database.pool_size", 1, 1_000),
        ("database.connect_timeout_ms", 1, 86_400_000),
        ("database.statement_timeout_ms", 1, 86_400_000),
        ("console.idle_days", 1, 3_650),
        ("console.session_days", 1, 3_650),
        ("limits.body_bytes", 1, 1 << 30),
        ("limits.bodies_bytes", 65_536, 1 << 40),
        ("limits.header_bytes", 8_192, 1 << 20),
        ("limits.connections", 1, 1_000_000),
        ("limits.concurrent_requests", 1, 1_000_000),
        ("limits.streams_per_connection", 1, 10_000),
        ("limits.header_timeout_ms", 1, 86_400_000),
        ("limits.idle_timeout_ms", 1, 86_400_000),
        ("limits.handshake_timeout_ms", 1, 86_400_000),
        ("limits.request_timeout_ms", 1, 86_400_000),
        ("limits.drain_delay_ms", 0, 86_400_000),
        ("limits.drain_timeout_ms", 1, 86_400_000),
        ("limits.requests_per_second", 1, 1_000_000),
        ("limits.requests_burst", 1, 1_000_000),
        ("limits.unknown_keys_per_second", 1, 1_000_000),
        ("limits.unknown_keys_per_address_per_second", 1, 1_000_000),
        ("limits.cache_bytes", 1 << 20, 1_i64 << 40),
    ] {
        // A body must fit into the share of one client.
        let beside = match key {
            "limits.body_bytes" => ("limits.bodies_bytes", (1_i64 << 40).to_string()),
            _ => ("limits.body_bytes", "1".to_owned()),
        };
        let with =
            |value: i64| Config::layered(None, [], &[beside.clone(), (key, value.to_string())]);
        for right in [least, most] {
            assert!(with(right).is_ok(), "{key} {right}");
        }
        let range = format!("it must be a whole number from {least} to {most}");
        let called = format!("--{}", key.replace(['.', '_'], "-"));
        for wrong in [least - 1, most + 1] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with(&called) && error.ends_with(&range),
                "{key} {wrong}: {error}"
            );
        }
        let (name, flag) = (key.replace('.', "_").to_uppercase(), |text: &str| {
            Config::layered(None, [], &[(key, text.to_owned())]).unwrap_err().to_string()
        });
        for text in ["many", "1.5", "1e3", "-1", "99999999999999999999999", " 1"] {
            let variable = from_environment(&[(&format!("CUSTOMER_SETTINGS_{name}"), text)]);
            for (named, error) in [(key, variable.unwrap_err()), (&*called, flag(text))] {
                assert!(
                    error.starts_with(named) && error.ends_with(&range),
                    "{key} {text}: {error}"
                );
            }
        }
        for text in ["many", "1.5", "-1", "null", "[]", "99999999999999999999999"] {
            let file = match key.split_once('.') {
                Some((section, name)) => format!("{section}:\n  {name}: {text}\n"),
                None => format!("{key}: {text}\n"),
            };
            let error = from_file(&file).unwrap_err();
            assert!(error.starts_with(key) && error.ends_with(&range), "{file}: {error}");
        }
    }
    let ranges = Config::sample().lines().filter(|line| {
        line.split_once(": ")
            .is_some_and(|(key, value)| !key.contains('#') && value.parse::<u64>().is_ok())
    });
    assert_eq!(ranges.count(), 24, "a number without a range");
}

#[test]
fn a_body_must_fit_into_the_share_of_one_key() {
    for (bodies_bytes, is_right) in [(4_194_304, true), (4_194_303, false)] {
        let loaded = from_file(&format!("limits:\n  bodies_bytes: {bodies_bytes}\n"));
        assert_eq!(loaded.is_ok(), is_right, "{loaded:?}");
        if let Err(error) = loaded {
            let start = "limits.bodies_bytes is 4194303 and limits.body_bytes 1048576: ";
            assert!(error.starts_with(start), "{error}");
        }
    }
}

/// The variables that Kubernetes puts into every container beside a Service of that name.
fn service_links(service: &str) -> Vec<(String, String)> {
    let links = [
        ("SERVICE_HOST", "10.0.0.5"),
        ("SERVICE_PORT", "8080"),
        ("SERVICE_PORT_HTTP", "8080"),
        ("SERVICE_PORT_GRPC_WEB", "8081"),
        ("PORT", "tcp://10.0.0.5:8080"),
        ("PORT_8080_TCP", "tcp://10.0.0.5:8080"),
        ("PORT_8080_TCP_PROTO", "tcp"),
        ("PORT_8080_TCP_PORT", "8080"),
        ("PORT_8080_TCP_ADDR", "10.0.0.5"),
        ("PORT_53_UDP", "udp://10.0.0.5:53"),
        ("PORT_9_SCTP_PROTO", "sctp"),
    ];
    let links = links.map(|(name, value)| (format!("{service}_{name}"), value.to_owned()));
    links.into_iter().collect()
}

#[test]
fn what_kubernetes_says_of_services_of_our_name_is_not_configuration() {
    for service in [
        "CUSTOMER_SETTINGS",
        "CUSTOMER_SETTINGS_POSTGRESQL",
        "CUSTOMER_SETTINGS_LISTEN",
        "CUSTOMER_SETTINGS_DATABASE_URL",
        "CUSTOMER_SETTINGS_1",
    ] {
        let config = Config::layered(None, service_links(service), &[]);
        assert_eq!(config.unwrap(), Config::default(), "{service}");
    }
}

#[test]
fn what_only_looks_like_a_service_link_is_refused_with_the_nearest_key() {
    for (variable, value, nearest) in [
        ("CUSTOMER_SETTINGS_PORT", "8080", "LISTEN"),
        ("CUSTOMER_SETTINGS_LISTEN_PORT", "8080", "LISTEN"),
        ("CUSTOMER_SETTINGS_SERVICE", "x", ""),
        ("CUSTOMER_SETTINGS_HOST", "10.0.0.5", "LISTEN"),
        ("CUSTOMER_SETTINGS_BIND_ADDRESS", "10.0.0.5", "LISTEN"),
        ("CUSTOMER_SETTINGS_SERVICE_PORT_HTTP", "yes", ""),
        ("CUSTOMER_SETTINGS_PORT_8080", "tcp://10.0.0.5:8080", ""),
        ("CUSTOMER_SETTINGS_PORT_80800_TCP", "tcp://10.0.0.5:80800", ""),
        ("CUSTOMER_SETTINGS_PORT_8080_TCP_HOST", "10.0.0.5", ""),
        ("CUSTOMER_SETTINGS_LSTEN", "127.0.0.1:1", "LISTEN"),
        ("CUSTOMER_SETTINGS_DATABASE_URLFILE", "/run/url", "DATABASE_URL_FILE"),
    ] {
        let error = from_environment(&[(variable, value)]).unwrap_err();
        let hint = match nearest {
            "" => "'customer-settings config' lists all that there are".to_owned(),
            nearest => format!("did you mean CUSTOMER_SETTINGS_{nearest}?"),
        };
        let expected =
            format!("there is no configuration key {variable} (from the environment); {hint}");
        assert_eq!(error, expected);
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    for name in ["LISTEN", "DATABASE_URL", "DATABASE_URL_FILE", "TLS_CERT", "CORS_ORIGINS", "LSTEN"]
    {
        let config = from_environment(&[(&format!("CUSTOMER_SETTINGS_{name}"), "")]);
        assert_eq!(config.unwrap(), Config::default(), "{name}");
    }
}

#[test]
fn an_address_is_taken_as_people_write_it() {
    for (text, address) in [
        ("127.0.0.1:8080", Some("127.0.0.1:8080")),
        ("[::1]:1", Some("[::1]:1")),
        (":8080", Some("[::]:8080")),
        (":0", Some("[::]:0")),
        ("localhost:8080", Some("127.0.0.1:8080")),
        ("LocalHost:65535", Some("127.0.0.1:65535")),
        ("8080", None),
        ("0", None),
        ("localhost", None),
        ("localhost:", None),
        ("localhost:65536", None),
        ("localhost:+80", None),
        ("::1:8080", None),
        ("*:8080", None),
        ("db.example.com:8080", None),
        ("http://localhost:8080", None),
    ] {
        let given = Config::layered(None, [], &[("listen", text.to_owned())]);
        match address {
            Some(address) => assert_eq!(given.unwrap().listen, address.parse().unwrap(), "{text}"),
            None => assert_eq!(
                given.unwrap_err().to_string(),
                format!(
                    "--listen cannot be \"{text}\": it must be an address with a port, such as \
                     127.0.0.1:8080 or [::1]:8080, or localhost:8080 for this machine alone, or :8080 for every address"
                )
            ),
        }
    }
}

#[test]
fn a_certificate_without_a_key_is_refused_and_so_is_a_key_without_a_certificate() {
    for (file, message) in [
        ("tls_cert: a.pem\n", "tls_cert needs tls_key too: give both or neither"),
        ("tls_key: a.pem\n", "tls_key needs tls_cert too: give both or neither"),
    ] {
        assert_eq!(from_file(file).unwrap_err(), message);
    }
    assert!(from_file("tls_cert: a.pem\ntls_key: b.pem\n").is_ok());
}

#[test]
fn a_database_takes_the_place_of_a_data_directory_and_its_url_is_shown_by_nothing() {
    const URL: &str = "postgres://u:secret@h/d";
    let config = from_environment(&[("CUSTOMER_SETTINGS_DATABASE_URL", URL)]).unwrap();
    assert_eq!(config.database.url.as_ref().unwrap().expose(), URL);
    assert!(!format!("{config:?}").contains("secret"));
    let both = from_file(&format!("data_dir: d\ndatabase:\n  url: {URL}\n")).unwrap_err();
    assert_eq!(both, "data_dir and database.url are both given: give one of them");
    for wrong in [
        format!("database:\n  url: [\"{URL}\"]\n"),
        format!("database:\n  url: \"{URL}\n"),
        format!("database:\n  url: {URL}\n bad\n"),
        format!("database: {URL}\n"),
    ] {
        let error = from_file(&wrong).unwrap_err();
        assert!(!error.contains("secret") && !error.contains('\n'), "{wrong}: {error}");
    }
}

#[test]
fn the_database_url_comes_from_a_file_where_one_is_named() {
    const URL: &str = "postgres://u:secret@h/d";
    const VARIABLE: &str = "CUSTOMER_SETTINGS_DATABASE_URL_FILE";
    let (folder, path) = file(&format!("{URL}\n"));
    let name = path.to_str().unwrap();
    let config = from_environment(&[(VARIABLE, name)]).unwrap();
    assert_eq!(config.database.url.unwrap().expose(), URL);
    assert_eq!(config.database.url_file.as_deref(), Some(path.as_path()));

    let both = from_environment(&[("CUSTOMER_SETTINGS_DATABASE_URL", URL), (VARIABLE, name)]);
    assert_eq!(
        both.unwrap_err(),
        "database.url and database.url_file are both given: give one of them"
    );
    let both = from_environment(&[("CUSTOMER_SETTINGS_DATA_DIR", "d"), (VARIABLE, name)]);
    assert!(both.unwrap_err().contains("data_dir and database.url_file"));

    let missing = from_environment(&[(VARIABLE, "/no/such/file")]).unwrap_err();
    assert!(missing.starts_with("the secret's file /no/such/file cannot be read: "), "{missing}");
    let directory = folder.path().to_str().unwrap();
    let unreadable = from_environment(&[(VARIABLE, directory)]).unwrap_err();
    assert!(unreadable.contains(directory), "{unreadable}");
    fs::write(&path, "\n").unwrap();
    let empty = from_environment(&[(VARIABLE, name)]).unwrap_err();
    assert!(empty.contains(name) && empty.ends_with("it is empty"), "{empty}");
}

#[test]
fn a_secret_in_the_place_of_a_path_is_not_shown() {
    for (name, value) in [
        ("DATABASE_URL_FILE", "postgres://u:secret@h/d"),
        ("DATA_DIR", "postgres://u:secret@h/d"),
        ("TLS_KEY", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"),
    ] {
        let error = from_environment(&[(&format!("CUSTOMER_SETTINGS_{name}"), value)]);
        let error = error.unwrap_err();
        assert!(error.contains("it must be") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn networks_are_addresses_too_and_never_ipv4_inside_ipv6() {
    for (text, network) in [
        ("10.1.2.3", Some("10.1.2.3/32")),
        ("10.1.2.3/8", Some("10.0.0.0/8")),
        ("2001:db8::1", Some("2001:db8::1/128")),
        ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
        ("::ffff:10.1.2.0/120", Some("10.1.2.0/24")),
        ("10.1.2.3/33", None),
        ("localhost", None),
        ("", None),
    ] {
        assert_eq!(parse_network(text), network.map(|network| network.parse().unwrap()), "{text}");
    }
}

#[test]
fn a_public_url_has_a_host_and_perhaps_a_path_and_nothing_else() {
    let read = |text: &str| from_environment(&[("CUSTOMER_SETTINGS_PUBLIC_URL", text)]);
    for (text, origin, path) in [
        ("https://settings.example.com", "https://settings.example.com", ""),
        ("https://Settings.Example.com:443/", "https://settings.example.com", ""),
        ("http://localhost:8080/a/b/", "http://localhost:8080", "/a/b"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443", "/x"),
    ] {
        let url = read(text).unwrap().public_url.unwrap();
        assert_eq!((url.origin().as_str(), url.path.as_str()), (origin, path), "{text}");
    }
    let bad = [
        "settings.example.com",
        "ftp://a",
        "https://",
        "https://a@b",
        "https://a?b",
        "https://a/#b",
        "https://a/<b>",
    ];
    for text in bad {
        let error = read(text).unwrap_err();
        assert!(
            error.contains("public_url") && error.contains("the address that people use"),
            "{text}: {error}"
        );
    }
}
