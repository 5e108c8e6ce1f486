//! The names of the metrics, with their help in `/metrics`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Requests that were answered or given up, by protocol, method and code.
pub const REQUESTS: &str = "customer_settings_requests_total";
/// From a request's head to its answer's head, by protocol and method.
pub const REQUEST_SECONDS: &str = "customer_settings_request_duration_seconds";
/// Requests in progress.
pub const REQUESTS_IN_FLIGHT: &str = "customer_settings_requests_in_flight";
/// Open connections.
pub const CONNECTIONS: &str = "customer_settings_connections";
/// Connections that were closed at once because there were too many.
pub const CONNECTIONS_REFUSED: &str = "customer_settings_connections_refused_total";
/// Connections of HTTP/2 that were closed because their clients sent more frames than their requests need.
pub const CONNECTIONS_FLOODED: &str = "customer_settings_connections_flooded_total";
/// Counter: connections.
pub const CONNECTIONS_HELD_UP: &str = "customer_settings_connections_held_up_total";
/// TLS handshakes that failed or took too long.
pub const TLS_FAILURES: &str = "customer_settings_tls_failures_total";
/// Counter: look-ups of keys in the store.
pub const KEY_LOOKUPS: &str = "customer_settings_key_lookups_total";
/// Counter, by `of` (requests, body_bytes): requests refused because no room was left.
pub const OVERLOADED: &str = "customer_settings_overloaded_total";
/// Gauge: bytes.
pub const BODY_BYTES: &str = "customer_settings_body_bytes";
/// Gauge: secrets of keys that are known to exist.
pub const KNOWN_SECRETS: &str = "customer_settings_known_secrets";
/// Counter, by `limit`.
pub const RATE_LIMITED: &str = "customer_settings_rate_limited_total";
/// Counter, by `from` (memory or store).
pub const SNAPSHOT_READS: &str = "customer_settings_snapshot_reads_total";
/// Counter: answers from memory while the store does not answer.
pub const STALE_ANSWERS: &str = "customer_settings_stale_answers_total";
/// Gauge: 1 while the store does not answer, or its data was deleted or replaced, and some seconds afterwards.
pub const STORE_AWAY: &str = "customer_settings_store_away";
/// Gauge: pieces of work that may take long, in progress.
pub const LONG_WORK_RUNNING: &str = "customer_settings_long_work_running";
/// Gauge: pieces of work that may take long, in the queue.
pub const LONG_WORK_WAITING: &str = "customer_settings_long_work_waiting";
/// Gauge: bytes.
pub const SNAPSHOT_BYTES: &str = "customer_settings_snapshot_bytes";
/// Counter, by `outcome`.
pub const STORE_WRITES: &str = "customer_settings_store_writes_total";
/// Histogram: writes.
pub const STORE_GROUP_SIZE: &str = "customer_settings_store_group_size";
/// Counter, by `reason` (no_room, unwritable): lines that never reached the log.
pub const LOG_LINES_DROPPED: &str = "customer_settings_log_lines_dropped_total";
/// Panics; each one is a bug.
pub const PANICS: &str = "customer_settings_panics_total";

/// Counter, by `part`: how often damaged data was met.
pub const DAMAGE: &str = "customer_settings_damage_met_total";
/// Gauge: known places of damaged data.
pub const DAMAGED_PLACES: &str = "customer_settings_damaged_places";
/// Gauge, always 1, by `version`.
pub const BUILD_INFO: &str = "customer_settings_build_info";
/// Gauge: seconds since the epoch.
pub const CERTIFICATE_EXPIRY: &str = "customer_settings_tls_certificate_expiry_timestamp_seconds";
/// Gauge: seconds since the epoch, infinite if no key will expire.
pub const KEY_EXPIRY: &str = "customer_settings_key_next_expiry_timestamp_seconds";

pub(super) fn describe() {
    for (name, help) in [
        (REQUESTS, "Requests that were answered or given up"),
        (CONNECTIONS_REFUSED, "Connections that were closed at once because there were too many"),
        (CONNECTIONS_FLOODED, "Connections closed for more frames than their requests need"),
        (CONNECTIONS_HELD_UP, "Connections that waited, as many of their address came to nothing"),
        (TLS_FAILURES, "TLS handshakes that failed or took too long"),
        (KEY_LOOKUPS, "Keys that were looked up in the store, not in memory"),
        (OVERLOADED, "Requests refused because others had all of what there is at once"),
        (RATE_LIMITED, "Requests refused by a limit of their key or address"),
        (SNAPSHOT_READS, "Companies' settings that were read, from memory or from the store"),
        (STALE_ANSWERS, "Answers from memory while the store did not answer"),
        (STORE_WRITES, "Writes to the store, by their outcome"),
        (LOG_LINES_DROPPED, "Log lines that found no room or could not be written"),
        (DAMAGE, "Times that damaged data was met, by the part of the data"),
        (PANICS, "Panics; each one is a bug"),
    ] {
        describe_counter!(name, help);
    }
    for (name, help) in [
        (BUILD_INFO, "Which version runs"),
        (REQUESTS_IN_FLIGHT, "Requests that are being worked on"),
        (BODY_BYTES, "Bytes of requests' bodies that count against limits.bodies_bytes"),
        (CONNECTIONS, "Connections that are open"),
        (KNOWN_SECRETS, "Secrets known to exist, whose keys need no place among unknown ones"),
        (DAMAGED_PLACES, "Places of damaged data that were met since the start, at most 100"),
        (STORE_AWAY, "1 while the store does not answer, or its data was deleted or replaced"),
        (LONG_WORK_RUNNING, "Requests whose long work is being done"),
        (LONG_WORK_WAITING, "Requests whose long work waits in the queue"),
        (SNAPSHOT_BYTES, "Settings held in memory, roughly"),
        (
            CERTIFICATE_EXPIRY,
            "When the first certificate of the TLS chain expires, since the epoch",
        ),
        (KEY_EXPIRY, "When the next key expires, since the epoch; infinite where none will"),
    ] {
        describe_gauge!(name, help);
    }
    for (name, help) in [
        (REQUEST_SECONDS, "Time from a request's head to its answer's"),
        (STORE_GROUP_SIZE, "Writes that were committed together"),
    ] {
        describe_histogram!(name, help);
    }
}
