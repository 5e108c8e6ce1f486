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
        ("CUSTOMER_SETTINGS_METRICS_ALLOW", ""),
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
        (from_file("limits: 5\n"), "no configuration key limits "),
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
        ("log_format: xml\n", "log_format cannot be \"xml\" "),
        ("trusted_proxies: [10.0.0.0/33]\n", "trusted_proxies cannot be [\"10.0.0.0/33\"] "),
        ("log: inof\n", "log cannot be \"inof\" (from /config.yaml): \"inof\" is no level"),
        ("cors_origins: [app.example.com]\n", "cors_origins cannot be [\"app.example.com\"] "),
        ("cors_origins: [\"https://a.example/\"]\n", "cors_origins cannot be "),
        (
            "limits:\n  connections: 0\n",
            "limits.connections cannot be 0 (from /config.yaml): it must be 1 to 1000000",
        ),
        ("limits:\n  connections: -1\n", "limits.connections cannot be -1 "),
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
        ("limits.body_bytes", 1, 1 << 30),
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
        let with = |value: i64| Config::layered(None, [], &[(key, value.to_string())]);
        for right in [least, most] {
            assert!(with(right).is_ok(), "{key} {right}");
        }
        for wrong in [least - 1, most + 1] {
            assert!(with(wrong).unwrap_err().to_string().starts_with(key), "{key} {wrong}");
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
