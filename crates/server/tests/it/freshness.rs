//! Writes of another program into the data directory of a running server.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use customer_settings_server::{
    catalog::access::Task,
    store::Notice,
    wake::{Listener, Source, Wake},
};
use serde_json::json;

use crate::harness::*;

const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";
const BOUND: Duration = Duration::from_secs(1);

/// The document that another program loads.
const CHANGE: &str = "companies: [{id: cmp_001, customer_tags: [{name: From Elsewhere}]}]";

async fn shows_the_change(server: &Server, secret: &str) -> bool {
    let answer = server.get(TAGS).bearer(secret).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().contains("From Elsewhere")
}

#[tokio::test]
async fn a_change_by_another_program_is_shown_within_the_bound() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.settled().await;
    assert!(!shows_the_change(&server, &secret).await);
    load(&server.other_program().await, CHANGE).await;
    let taken = eventually(async || shows_the_change(&server, &secret).await).await;
    assert!(taken < BOUND, "{taken:?}");
    // Every protocol reads the same snapshot.
    let answer = server.answer(&secret, "ListCustomerTags", json!({"companyId": "cmp_001"})).await;
    assert!(answer.to_string().contains("From Elsewhere"));
}

#[tokio::test]
async fn without_a_change_mark_the_bound_holds_too() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.hide_change_mark().await;
    assert!(!shows_the_change(&server, &secret).await);
    load(&server.other_program().await, CHANGE).await;
    server.clock.advance(BOUND + Duration::from_millis(1));
    assert!(shows_the_change(&server, &secret).await);
}

#[tokio::test]
async fn a_change_by_this_server_is_shown_at_once() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    assert!(!shows_the_change(&server, &secret).await);
    load(&server.services, CHANGE).await;
    assert!(shows_the_change(&server, &secret).await);
}

#[tokio::test]
async fn a_company_that_another_program_makes_is_found_at_once() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let other = server.other_program().await;
    server.refusal(&secret, "GetCompany", json!({"id": "new"})).await;
    load(&other, "companies: [{id: new, name: New, businesses: [{id: biz_new, name: New}]}]").await;
    server.answer(&secret, "GetCompany", json!({"id": "new"})).await;
    server.answer(&secret, "GetBusiness", json!({"id": "biz_new"})).await;
    let listed = server.answer(&secret, "ListCompanies", json!({})).await;
    assert!(listed.to_string().contains("\"new\""), "{listed}");
}

#[tokio::test]
async fn a_key_that_another_program_revokes_is_refused_within_the_bound() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    server.settled().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    let other = server.other_program().await;
    other.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    let is_refused = async || server.get(TAGS).bearer(&secret).send().await.status == 401;
    let taken = eventually(is_refused).await;
    assert!(taken < BOUND, "{taken:?}");
    let refusal = server.refusal(&secret, "ListCompanies", json!({})).await;
    assert_eq!(refusal.reason, "KEY_REVOKED");
}

#[tokio::test]
async fn without_a_change_mark_a_revoked_key_is_refused_past_the_bound() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    server.hide_change_mark().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    let other = server.other_program().await;
    other.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    server.clock.advance(BOUND + Duration::from_millis(1));
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 401);
}

#[tokio::test]
async fn a_key_that_another_program_makes_works_at_once_even_if_it_was_tried_before() {
    use customer_settings_server::auth::api_key::Secret;
    let server = Server::demo().await;
    let other = server.other_program().await;
    let secret = Secret::generate().unwrap();
    assert_eq!(server.get(TAGS).bearer(secret.expose()).send().await.status, 401);
    other.keys.create(&Task::Local.actor(), everything(), &secret).await.unwrap();
    assert_eq!(server.get(TAGS).bearer(secret.expose()).send().await.status, 200);
}

#[tokio::test]
async fn what_is_fresh_is_answered_without_looking_anything_up() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.settled().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    let before = server.probe.calls("key_by_secret");
    for _ in 0..20 {
        assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    }
    // Past the bound the data is fresh too, as long as polls confirm that nothing was written.
    server.settled().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    assert_eq!(server.probe.calls("key_by_secret"), before);
}

also_on_postgres! {
    a_change_by_this_server_is_shown_at_once,
    a_company_that_another_program_makes_is_found_at_once,
    a_key_that_another_program_revokes_is_refused_within_the_bound,
    a_key_that_another_program_makes_works_at_once_even_if_it_was_tried_before,
}

/// A listener that counts the news from other processes.
#[derive(Default)]
struct Heard(Mutex<u32>);

impl Listener for Heard {
    fn changed(&self, what: &Notice, source: Source) {
        assert_eq!((what, source), (&Notice::Everything, Source::Anywhere));
        *self.0.lock().unwrap() += 1;
    }
}

#[tokio::test]
async fn a_change_wakes_every_listener() {
    let server = Server::demo().await;
    let heard: [Arc<Heard>; 2] = Default::default();
    let listeners = heard.iter().map(|one| one.clone() as Arc<dyn Listener>).collect();
    let wake = Wake::new(server.clock.clone(), listeners);
    let counts = || heard.each_ref().map(|one| *one.0.lock().unwrap());
    let changes = async {
        // The first mark counts as a change, since changes before it were not seen.
        eventually(async || counts() == [1, 1]).await;
        load(&server.other_program().await, CHANGE).await;
        eventually(async || counts().iter().all(|count| *count > 1)).await;
    };
    tokio::select! {
        () = wake.follow(&*server.store) => unreachable!("it follows for ever"),
        () = changes => {}
    }
}
