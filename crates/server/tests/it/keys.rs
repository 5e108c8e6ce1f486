//! Keys at the wire: their restrictions, their limits, and requests without a key.

use std::{sync::Arc, time::Duration};

use customer_settings_server::{
    auth::api_key::Secret,
    catalog::access::{Coverage, Rights, Scopes, Task},
    clock::{Clock, SystemClock},
    config::{Config, parse_network},
    service::keys::{By, KeyDraft, Rotation, rotate},
};
use serde_json::json;

use crate::harness::*;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

/// A server that trusts this machine about the origin of requests.
async fn behind_a_proxy(configure: impl FnOnce(&mut Config)) -> Server {
    Server::configured(|config| {
        config.trusted_proxies = vec![parse_network("127.0.0.1").unwrap()];
        configure(config);
    })
    .await
}

/// Status and reason of the tags list, requested from an address.
async fn ask_from(server: &Server, address: &str, secret: &str) -> (u16, String) {
    let call = server.get(TAGS).bearer(secret).header("x-forwarded-for", address);
    told(&call.send().await)
}

async fn ask(server: &Server, secret: &str) -> (u16, String) {
    told(&server.get(TAGS).bearer(secret).send().await)
}

fn told(answer: &Answer) -> (u16, String) {
    let status = answer.status.as_u16();
    (status, if status == 200 { String::new() } else { answer.refusal().reason })
}

fn is(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn all_restrictions_of_a_key_apply_together() {
    let server = behind_a_proxy(|_| {}).await;
    let right = || KeyDraft {
        scopes: with_scopes(&["settings:read"]).scopes,
        coverage: covering(&["cmp_001"]).coverage,
        addresses: from_networks(&["192.0.2.0/24"]).addresses,
        expires_time: Some(server.clock.now().plus_seconds(3_600)),
        ..everything()
    };
    let others = with_scopes(&["companies:read"]).scopes;
    let wrong_address = from_networks(&["198.51.100.0/24"]).addresses;
    for (draft, expected) in [
        (right(), is(200, "")),
        (KeyDraft { scopes: others, ..right() }, is(403, "MISSING_SCOPE")),
        (KeyDraft { coverage: covering(&["cmp_002"]).coverage, ..right() }, is(403, "NOT_COVERED")),
        (KeyDraft { addresses: wrong_address, ..right() }, is(403, "ADDRESS_NOT_ALLOWED")),
        (KeyDraft { scopes: Scopes::All, coverage: Coverage::All, ..right() }, is(200, "")),
    ] {
        let secret = server.key(draft).await;
        assert_eq!(ask_from(&server, "192.0.2.7", &secret).await, expected);
    }
    let secret = server.key(right()).await;
    server.clock.advance(Duration::from_secs(3_600));
    assert_eq!(ask_from(&server, "192.0.2.7", &secret).await, is(401, "KEY_EXPIRED"));
}

#[tokio::test]
async fn a_key_works_from_its_networks_alone() {
    let server = behind_a_proxy(|_| {}).await;
    let secret = server.key(from_networks(&["192.0.2.0/25", "2001:db8::/32", "10.0.0.1/32"])).await;
    for (address, allowed) in [
        ("192.0.2.0", true),
        ("192.0.2.127", true),
        ("192.0.2.128", false),
        ("10.0.0.1", true),
        ("10.0.0.2", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::1", false),
        // IPv4 in IPv6 form, as a listener for both shows it.
        ("::ffff:192.0.2.1", true),
        ("::ffff:192.0.2.200", false),
    ] {
        let expected = if allowed { is(200, "") } else { is(403, "ADDRESS_NOT_ALLOWED") };
        assert_eq!(ask_from(&server, address, &secret).await, expected, "{address}");
    }
    let refusal = server.refusal(&secret, "ListCompanies", json!({})).await;
    assert!(refusal.message.contains("127.0.0.1"), "{}", refusal.message);
}

#[tokio::test]
async fn forwarded_addresses_count_from_trusted_proxies_only() {
    let open = Server::demo().await;
    let secret = open.key(from_networks(&["192.0.2.0/24"])).await;
    assert_eq!(ask_from(&open, "192.0.2.1", &secret).await, is(403, "ADDRESS_NOT_ALLOWED"));
    let own = open.key(from_networks(&["127.0.0.0/8"])).await;
    assert_eq!(ask_from(&open, "192.0.2.1", &own).await, is(200, ""));

    let proxied = behind_a_proxy(|_| {}).await;
    let secret = proxied.key(from_networks(&["192.0.2.0/24"])).await;
    assert_eq!(ask_from(&proxied, "192.0.2.1", &secret).await, is(200, ""));
    // The client wrote the first address itself. The proxy added the second one.
    let forged = "192.0.2.1, 198.51.100.1";
    assert_eq!(ask_from(&proxied, forged, &secret).await, is(403, "ADDRESS_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_key_expires_at_its_moment_while_it_is_in_memory() {
    let server = Server::demo().await;
    let expires = server.clock.now().plus_seconds(3_600);
    let draft = KeyDraft { expires_time: Some(expires), ..everything() };
    let (key, secret) = server.issue(draft).await;
    let just_before =
        customer_settings_server::catalog::time::Timestamp::from_micros(expires.as_micros() - 1);
    assert!(key.check_usable(just_before).is_ok());
    assert!(key.check_usable(expires).is_err());

    server.clock.advance(Duration::from_secs(3_590));
    assert_eq!(ask(&server, &secret).await, is(200, ""));
    server.clock.advance(Duration::from_secs(10));
    assert_eq!(ask(&server, &secret).await, is(401, "KEY_EXPIRED"));
}

#[tokio::test]
async fn a_new_key_works_at_once() {
    let server = Server::demo().await;
    for _ in 0..3 {
        let secret = server.any_key().await;
        assert_eq!(ask(&server, &secret).await, is(200, ""));
    }
}

#[tokio::test]
async fn a_mistyped_key_is_refused_without_a_look_up() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let before = server.probe.calls("key_by_secret");
    let mistyped = format!("{}A", &secret[..secret.len() - 1]);
    let mistyped = if mistyped == secret { secret.replace("cs_", "cs_x") } else { mistyped };
    for wrong in [mistyped.as_str(), &secret[..20], "cs_"] {
        assert_eq!(ask(&server, wrong).await, is(401, "UNKNOWN_KEY"), "{wrong}");
    }
    assert_eq!(server.probe.calls("key_by_secret"), before);
    assert_eq!(ask(&server, "nobody-has-this-secret-here").await, is(401, "UNKNOWN_KEY"));
    assert_eq!(server.probe.calls("key_by_secret"), before + 1);
}

/// Sends different unknown keys, each from the next one of these addresses. Gives the number of keys that
/// were looked up and refused, and the number of keys that were not even looked up.
async fn flood(server: &Server, addresses: &[&str], number: usize) -> (usize, usize) {
    let (mut unknown, mut limited) = (0, 0);
    for i in 0..number {
        let secret = format!("an-unknown-secret-with-number-{i:06}");
        match ask_from(server, addresses[i % addresses.len()], &secret).await {
            (401, reason) if reason == "UNKNOWN_KEY" => unknown += 1,
            (429, reason) if reason == "UNKNOWN_KEY_RATE_LIMIT" => limited += 1,
            other => panic!("{other:?}"),
        }
    }
    (unknown, limited)
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_limited_and_known_keys_go_on() {
    const RATE: usize = 5;
    let server = behind_a_proxy(|config| {
        config.limits.unknown_keys_per_address_per_second = RATE as u32;
    })
    .await;
    let secret = server.any_key().await;
    assert_eq!(ask_from(&server, "192.0.2.1", &secret).await, is(200, ""));
    server.settled().await;
    assert_eq!(ask_from(&server, "192.0.2.1", &secret).await, is(200, ""));

    let before = server.probe.calls("key_by_secret");
    let started = SystemClock.monotonic();
    let (unknown, limited) = flood(&server, &["192.0.2.1"], 100).await;
    let seconds = SystemClock.monotonic().saturating_duration_since(started).as_secs_f64();
    let most = RATE + (seconds * RATE as f64).ceil() as usize;
    assert!((RATE..=most).contains(&unknown), "{unknown} of at most {most} look-ups");
    assert_eq!((unknown + limited, server.probe.calls("key_by_secret")), (100, before + unknown));

    // The limit does not affect the key in memory, and clients at other addresses.
    assert_eq!(ask_from(&server, "192.0.2.1", &secret).await, is(200, ""));
    let fresh = server.any_key().await;
    assert_eq!(ask_from(&server, "198.51.100.1", &fresh).await, is(200, ""));
}

#[tokio::test]
async fn look_ups_for_all_addresses_together_are_bounded_too() {
    const RATE: usize = 5;
    let server = behind_a_proxy(|config| config.limits.unknown_keys_per_second = RATE as u32).await;
    let addresses: Vec<String> = (0..50).map(|i| format!("192.0.2.{i}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let started = SystemClock.monotonic();
    let (unknown, limited) = flood(&server, &addresses, 100).await;
    let seconds = SystemClock.monotonic().saturating_duration_since(started).as_secs_f64();
    let most = RATE + (seconds * RATE as f64).ceil() as usize;
    assert!((RATE..=most).contains(&unknown), "{unknown} of at most {most} look-ups");
    assert_eq!((unknown + limited, server.probe.calls("key_by_secret")), (100, unknown));
}

#[tokio::test]
async fn one_network_of_ipv6_counts_as_one_address() {
    let server =
        behind_a_proxy(|config| config.limits.unknown_keys_per_address_per_second = 1).await;
    let unknown = |i: usize| format!("an-unknown-secret-with-number-{i:06}");
    let limited = is(429, "UNKNOWN_KEY_RATE_LIMIT");
    assert_eq!(ask_from(&server, "2001:db8::1", &unknown(0)).await, is(401, "UNKNOWN_KEY"));
    assert_eq!(ask_from(&server, "2001:db8::ffff:2", &unknown(1)).await, limited);
    assert_eq!(ask_from(&server, "2001:db8:0:1::1", &unknown(2)).await, is(401, "UNKNOWN_KEY"));
}

#[tokio::test]
async fn a_keys_requests_are_limited_and_each_key_has_its_own_limit() {
    let server = Server::configured(|config| {
        config.limits.requests_per_second = 1;
        config.limits.requests_burst = 3;
    })
    .await;
    let (one, other) = (server.any_key().await, server.any_key().await);
    server.settled().await;
    for _ in 0..3 {
        assert_eq!(ask(&server, &one).await, is(200, ""));
    }
    assert_eq!(ask(&server, &one).await, is(429, "KEY_RATE_LIMIT"));
    assert_eq!(ask(&server, &other).await, is(200, ""));
    let taken = eventually(async || ask(&server, &one).await.0 == 200).await;
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}

#[tokio::test]
async fn the_limit_of_a_key_survives_that_it_is_looked_up_again() {
    let server = Server::configured(|config| {
        config.limits.requests_per_second = 1;
        config.limits.requests_burst = 1;
    })
    .await;
    let secret = server.any_key().await;
    // Only the passing of time makes the server look the key up again.
    server.hide_change_mark().await;
    assert_eq!(ask(&server, &secret).await, is(200, ""));
    let before = server.probe.calls("key_by_secret");
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(ask(&server, &secret).await, is(429, "KEY_RATE_LIMIT"));
    assert_eq!(server.probe.calls("key_by_secret"), before + 1);
}

#[tokio::test]
async fn a_keys_last_use_is_written_down_when_the_server_stops() {
    let server = Server::demo().await;
    let ((used, secret), (unused, _)) =
        (server.issue(everything()).await, server.issue(everything()).await);
    let before = server.clock.now();
    assert_eq!(ask(&server, &secret).await, is(200, ""));
    let clock = server.clock.clone();
    let data = server.stop().await;
    let keys = data.services(clock.clone()).await.keys;
    let caller = Task::Local.holder().permitted(&[]).unwrap();
    let time = keys.get_within(&caller, &used.id).await.unwrap().1.unwrap();
    assert!(time >= before && time <= clock.now());
    assert_eq!(keys.get_within(&caller, &unused.id).await.unwrap().1, None);
}

#[tokio::test]
async fn last_uses_are_written_down_every_five_minutes_at_most() {
    use std::sync::Arc;

    use customer_settings_server::{
        auth::{Authenticator, Limits},
        freshness::Freshness,
    };
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let freshness = Freshness::new(server.clock.clone(), Duration::from_secs(1), Duration::ZERO, 1);
    let limits = Limits {
        key_requests_per_second: 100,
        key_burst: 100,
        unknown_keys_per_address: 100,
        unknown_keys_in_all: 100,
    };
    let clock = server.clock.clone();
    let authenticator =
        Authenticator::new(server.store.clone(), clock, Arc::new(freshness), limits, false);
    let bearer = format!("Bearer {secret}");
    let address = "127.0.0.1".parse().unwrap();
    for (later, expected) in [(0, true), (0, false), (290, false), (20, true), (290, false)] {
        server.clock.advance(Duration::from_secs(later));
        let values = [bearer.as_bytes()];
        authenticator.authenticate(values.into_iter(), address, |_| ()).await.unwrap();
        let before = server.probe.calls("touch_keys");
        authenticator.flush_last_used().await.unwrap();
        let writes = server.probe.calls("touch_keys") - before;
        assert_eq!(writes, usize::from(expected), "{later} s later");
        if expected {
            let used = server.store.key(&key.id).await.unwrap().unwrap().1;
            assert!(used.is_some());
        }
    }
}

#[tokio::test]
async fn an_attempt_that_is_refused_is_no_use_of_the_key() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(from_networks(&["192.0.2.0/24"])).await;
    assert_eq!(ask(&server, &secret).await, is(403, "ADDRESS_NOT_ALLOWED"));
    let clock = server.clock.clone();
    let data = server.stop().await;
    let keys = data.services(clock).await.keys;
    assert_eq!(
        keys.get_within(&Task::Local.holder().permitted(&[]).unwrap(), &key.id).await.unwrap().1,
        None
    );
}

#[tokio::test]
async fn many_requests_at_once_share_the_first_look_up_of_their_key() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.settled().await;
    let before = server.probe.calls("key_by_secret");
    let asked = (0..200).map(|_| async { server.get(TAGS).bearer(&secret).send().await.status });
    let statuses = futures_util::future::join_all(asked).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(server.probe.calls("key_by_secret"), before + 1);
}

#[tokio::test]
async fn a_secret_that_a_key_has_is_told_so_and_names_the_key_to_those_who_may_see_it() {
    let server = Server::demo().await;
    let secret = Secret::generate().unwrap();
    let (keys, local) = (&server.services.keys, Task::Local);
    let held = keys.create(&local.actor(), everything(), &secret).await.unwrap();
    let error = keys.create(&local.actor(), everything(), &secret).await.unwrap_err();
    let named = format!("the secret belongs to the key {} already: ", held.id);
    assert!(error.to_string().starts_with(&named), "{error}");
    assert_eq!(error.reason(), "SECRET_TAKEN");
    // Also once it was rotated away, and the key was revoked.
    let rotation = Rotation { overlap_seconds: 60, end_overlap: false };
    let newer = Secret::generate().unwrap();
    let actor = local.actor();
    let by = By::local(actor.clone(), server.services.monotonic() + Duration::from_secs(30));
    keys.change(&by, &held.id, |key, now| rotate(key, &newer, rotation, now)).await.unwrap();
    keys.revoke(&local.actor(), &held.id).await.unwrap();
    for secret in [&secret, &newer] {
        let error = keys.create(&local.actor(), everything(), secret).await.unwrap_err();
        assert!(error.to_string().starts_with(&named), "{error}");
    }
    for (coverage, says) in [(Coverage::All, &*named), (covering(&["cmp_001"]).coverage, "a key")] {
        let mut holder = local.holder();
        holder.rights = Arc::new(Rights { coverage, ..(*holder.rights).clone() });
        let caller = holder.permitted(&[]).unwrap();
        let by = By { caller: Some(caller.clone()), ..by.clone() };
        let draft = covering(&["cmp_001"]);
        let error = keys.create_within(&by, draft, &secret).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(error.contains(held.id.as_str()), says == named, "{error}");
    }
}

also_on_postgres! {
    a_secret_that_a_key_has_is_told_so_and_names_the_key_to_those_who_may_see_it,
}
