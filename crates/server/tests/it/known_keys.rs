//! A flood of made-up keys does not affect existing keys, also those that the server has not met yet.

use std::{cell::Cell, time::Duration};

use customer_settings_server::{
    auth::api_key::Secret,
    catalog::access::Task,
    config::{Config, parse_network},
    service::keys::{By, Rotation, revoke, rotate},
};
use serde_json::json;

use crate::harness::*;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

/// One look-up of an unknown key per second, from all addresses together.
fn config() -> Config {
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        trusted_proxies: vec![parse_network("127.0.0.1").unwrap()],
        ..Config::default()
    };
    config.limits.unknown_keys_per_second = 1;
    config.limits.unknown_keys_per_address_per_second = 1;
    config
}

/// Status and reason of the tags list, requested from an address.
async fn ask_from(server: &Server, address: &str, secret: &str) -> (u16, String) {
    let call = server.get(TAGS).bearer(secret).header("x-forwarded-for", address);
    let answer = call.send().await;
    let status = answer.status.as_u16();
    (status, if status == 200 { String::new() } else { answer.refusal().reason })
}

/// The same over gRPC, from this machine's address.
async fn ask_grpc(server: &Server, secret: &str) -> Result<(), String> {
    let answer = server.grpc_as(secret, "ListCustomerTags", json!({"companyId": "cmp_001"})).await;
    answer.map(drop).map_err(|status| Refusal::of_status(&status).reason)
}

/// Sends made-up keys from many addresses, and from one given address, until the server does not look them up
/// any more.
struct Flood<'a>(&'a Server, Cell<usize>);

impl Flood<'_> {
    async fn exhaust(&self, own: &str) {
        for address in ["192.0.2.1", own] {
            loop {
                self.1.set(self.1.get() + 1);
                let secret = format!("an-unknown-secret-with-number-{:06}", self.1.get());
                match ask_from(self.0, address, &secret).await {
                    (401, reason) if reason == "UNKNOWN_KEY" => {}
                    (429, reason) if reason == "UNKNOWN_KEY_RATE_LIMIT" => break,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn after_a_restart_a_flood_of_made_up_keys_refuses_no_real_one() {
    let server = Server::demo().await;
    let mut secrets = Vec::new();
    for _ in 0..12 {
        secrets.push(server.any_key().await);
    }
    let (key, ended) = server.issue(everything()).await;
    server.services.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();

    let server = Server::reopened_with(server.stop().await, config()).await;
    let flood = Flood(&server, Cell::new(0));
    for (i, secret) in secrets.iter().enumerate() {
        flood.exhaust("127.0.0.1").await;
        match i % 2 {
            0 => assert_eq!(ask_from(&server, "127.0.0.1", secret).await, (200, String::new())),
            _ => assert_eq!(ask_grpc(&server, secret).await, Ok(())),
        }
    }
    flood.exhaust("127.0.0.1").await;
    assert_eq!(ask_grpc(&server, &ended).await, Err("KEY_REVOKED".to_owned()));
    assert_eq!(ask_from(&server, "198.51.100.1", &ended).await, (401, "KEY_REVOKED".to_owned()));
}

#[tokio::test]
async fn keys_that_are_made_during_a_flood_are_known_here_at_once_and_elsewhere_soon() {
    let server = Server::with(config(), DEMO).await;
    let other = server.other_program().await;
    let flood = Flood(&server, Cell::new(0));
    let actor = Task::Local.actor();
    let by = By::local(actor.clone(), server.services.monotonic() + Duration::from_secs(30));
    for _ in 0..5 {
        flood.exhaust("127.0.0.1").await;
        let (key, secret) = server.issue(everything()).await;
        assert_eq!(ask_from(&server, "127.0.0.1", &secret).await, (200, String::new()));
        let (new, how) =
            (Secret::generate().unwrap(), Rotation { overlap_seconds: 0, end_overlap: true });
        let rotated = |key: &mut _, now| rotate(key, &new, how, now);
        server.services.keys.change(&by, &key.id, rotated).await.unwrap();
        assert_eq!(ask_grpc(&server, new.expose()).await, Ok(()));
    }
    // A key that another program made is looked up within the limits. It is known soon, independent of the
    // limits.
    let secret = Secret::generate().unwrap();
    let key = other.keys.create(&actor, everything(), &secret).await.unwrap();
    let is_answered = async || {
        flood.exhaust("127.0.0.1").await;
        ask_grpc(&server, secret.expose()).await.is_ok()
    };
    eventually(is_answered).await;
    other.keys.change(&by, &key.id, revoke).await.unwrap();
    let is_refused = async || {
        flood.exhaust("127.0.0.1").await;
        ask_grpc(&server, secret.expose()).await == Err("KEY_REVOKED".to_owned())
    };
    eventually(is_refused).await;
}

#[tokio::test]
async fn a_new_key_of_another_program_is_found_at_its_first_request() {
    let server = Server::demo().await;
    let other = server.other_program().await;
    for _ in 0..5 {
        let secret = Secret::generate().unwrap();
        other.keys.create(&Task::Local.actor(), everything(), &secret).await.unwrap();
        assert_eq!(ask_from(&server, "127.0.0.1", secret.expose()).await, (200, String::new()));
    }
}

#[tokio::test]
async fn a_known_secret_that_is_gone_costs_one_look_up() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let data = server.stop().await;
    let server = Server::reopened_with(data.clone(), config()).await;
    // The server answers, so it has read the existing secrets.
    assert_eq!(server.get("/healthz").send().await.status, 200);
    // A restore to an earlier state would do this.
    data.tamper(&format!("DELETE FROM keys WHERE id = '{}'", key.id)).await;
    let flood = Flood(&server, Cell::new(0));
    flood.exhaust("127.0.0.1").await;
    let before = server.probe.calls("key_by_secret");
    assert_eq!(ask_grpc(&server, &secret).await, Err("UNKNOWN_KEY".to_owned()));
    assert_eq!(server.probe.calls("key_by_secret"), before + 1);
    // From then on the key counts as made-up. The limit may have had room just then.
    let is_limited = async || {
        flood.exhaust("127.0.0.1").await;
        ask_grpc(&server, &secret).await == Err("UNKNOWN_KEY_RATE_LIMIT".to_owned())
    };
    eventually(is_limited).await;
}

also_on_postgres! {
    after_a_restart_a_flood_of_made_up_keys_refuses_no_real_one,
    keys_that_are_made_during_a_flood_are_known_here_at_once_and_elsewhere_soon,
    a_new_key_of_another_program_is_found_at_its_first_request,
    a_known_secret_that_is_gone_costs_one_look_up,
}
