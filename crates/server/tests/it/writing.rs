//! The rules of every write of every stream: it waits for earlier writes, plans again after a conflict until its
//! deadline, and looks up a commit that did not report its result.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;

also_on_postgres! {
    what_became_of_a_commit_is_looked_up_by_the_request_id,
    who_keeps_losing_stops_at_the_deadline,
    writers_of_one_key_wait_for_each_other,
}

const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";

/// Each kind of write: a company's and a key's, made, changed, and revoked with all that it made.
async fn writes(server: &Server, secret: &str) -> Vec<(&'static str, String, Value)> {
    let key = |name: &str| json!({"name": name, "scopes": ["settings:read"], "allCompanies": true});
    let made = server.post("/admin/v1/keys").bearer(secret).body(key("till").to_string()).send();
    let made = made.await.json();
    let path = format!("/admin/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    vec![
        ("PATCH", TAG.to_owned(), json!({"name": "Written Once"})),
        ("POST", "/admin/v1/keys".to_owned(), key("crm")),
        ("PATCH", path.clone(), json!({"name": "till 2"})),
        ("POST", format!("{path}:rotate"), json!({"overlap": "0s"})),
        ("POST", format!("{path}:revoke"), json!({"withCreated": true})),
    ]
}

async fn send(
    server: &Server,
    secret: &str,
    (method, path, body): &(&str, String, Value),
    request_id: &str,
) -> Answer {
    let call = server.call(method, path).bearer(secret).body(body.to_string());
    match request_id {
        "" => call.send().await,
        id => call.header("idempotency-key", id).send().await,
    }
}

#[tokio::test]
async fn what_became_of_a_commit_is_looked_up_by_the_request_id() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (i, write) in writes(&server, &secret).await.iter().enumerate() {
        let id = format!("request-{i}");
        server.probe.end_commits(Some(CommitEnd::Unknown));
        let before = server.probe.commits();
        let answer = send(&server, &secret, write, &id).await;
        assert_eq!(answer.status, 200, "{write:?}: {}", answer.text());
        assert_eq!(server.probe.commits(), before + 1, "{write:?}: it was tried once");
        // It is no repeated request for those who sent it once, and a new secret is theirs.
        assert_eq!(answer.header("idempotency-replayed"), None, "{write:?}");
        if let Some(new) = answer.json()["secret"].as_str() {
            let tags = "/v1/setting/companies/cmp_001/customer/tags:list";
            assert_eq!(server.get(tags).bearer(new).send().await.status, 200, "{write:?}");
        }
        let again = send(&server, &secret, write, &id).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{write:?}");
        server.probe.end_commits(None);
    }
}

#[tokio::test]
async fn without_a_request_id_nobody_knows_what_became_of_a_commit() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for write in writes(&server, &secret).await {
        server.probe.end_commits(Some(CommitEnd::Unknown));
        let refusal = send(&server, &secret, &write, "").await.refusal();
        assert_eq!(refusal.reason, "OUTCOME_UNKNOWN", "{write:?}");
        server.probe.end_commits(None);
    }
}

#[tokio::test]
async fn who_keeps_losing_stops_at_the_deadline() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for write in writes(&server, &secret).await {
        server.probe.end_commits(Some(CommitEnd::Conflict));
        let before = server.probe.commits();
        let late = async {
            eventually(async || server.probe.commits() > before + 3).await;
            server.clock.advance(Duration::from_secs(3_600));
        };
        let (answer, ()) = tokio::join!(send(&server, &secret, &write, ""), late);
        let refusal = answer.refusal();
        assert!(
            ["CONTENDED", "DEADLINE_EXCEEDED"].contains(&refusal.reason.as_str()),
            "{write:?}: {refusal:?}"
        );
        server.probe.end_commits(None);
        let answer = send(&server, &secret, &write, "").await;
        assert_eq!(answer.status, 200, "{write:?}: {}", answer.text());
    }
}

/// Where each waits in the queue, nobody loses to another of the same process.
#[tokio::test]
async fn writers_of_one_key_wait_for_each_other() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let write = writes(&server, &secret).await.swap_remove(2);
    let before = server.probe.commits();
    let all = futures_util::future::join_all((0..20).map(|i| {
        let name = json!({"name": format!("till {i}")});
        let write = (write.0, write.1.clone(), name);
        let (server, secret) = (&server, &secret);
        async move { send(server, secret, &write, "").await.status.as_u16() }
    }));
    assert_eq!(all.await, [200; 20]);
    assert_eq!(server.probe.commits(), before + 20, "none was tried again");
}

#[tokio::test]
async fn a_store_that_hangs_keeps_no_writer_of_a_key_waiting() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let writes = writes(&server, &secret).await;
    server.probe.hang(true);
    // A company in memory is committed at once, and no commit is given up.
    let asked = async {
        for write in &writes[1..] {
            let answer = send(&server, &secret, write, "once").await;
            assert_eq!(answer.status, 503, "{write:?}: {}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{write:?}");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
}
