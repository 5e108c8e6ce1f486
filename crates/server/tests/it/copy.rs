//! Copying a store into a store of the other engine: everything arrives, and nothing else changes.

use std::sync::Arc;

use customer_settings_server::{Services, catalog::error::Error, service::copy::Copied};
use serde_json::json;

use crate::{
    harness::*,
    store_samples::{commit, company, grant, made_company, stream, touching},
};

async fn copy(from: &Services, to: &Services) -> Result<Copied, Error> {
    from.copy_into(to).copy(|_| ()).await
}

/// The demo with some history: changes, a deleted entry, requests with and without an effect, keys.
async fn busy() -> (Server, String) {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let send = async |method: &str, path: &str, body: serde_json::Value| {
        let call = server.call(method, path).bearer(&root).body(body.to_string());
        let answer = call.send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()
    };
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    for name in ["One", "Two", "Two"] {
        let path = format!("{tags}/tag_001?request_id={name}");
        send("PATCH", &path, json!({"name": name})).await;
    }
    send("PATCH", &format!("{tags}/tag_001?request_id=nothing"), json!({"name": "Two"})).await;
    send("POST", &format!("{tags}/tag_002:archive"), json!({})).await;
    send("DELETE", &format!("{tags}/tag_002"), json!({})).await;
    let key = json!({"name": "crm", "scopes": ["settings:read"], "allCompanies": true});
    let made = send("POST", "/admin/v1/keys?request_id=k", key).await;
    let id = made["key"]["id"].as_str().unwrap();
    send("POST", &format!("/admin/v1/keys/{id}:rotate"), json!({})).await;
    (server, root)
}

/// A store of the engine that the servers of this test do not use.
async fn empty() -> (Arc<Data>, Services) {
    let data = Data::of_the_other_engine().await;
    let services = data.services(Arc::default()).await;
    (data, services)
}

#[tokio::test]
async fn everything_is_copied_and_a_second_copy_brings_what_is_new() {
    let (server, root) = busy().await;
    let (dir, to) = empty().await;
    let source = "source: {kind: moego, mode: mirror}";
    load(&server.services, &format!("companies: [{{id: cmp_002, {source}}}]")).await;
    let report = json!({"companyId": "cmp_002", "problems": "was not read", "heldBack": "tags"});
    server.grpc_as(&root, "ReportSourceCheck", report).await.unwrap();
    let first = copy(&server.services, &to).await.unwrap();
    assert_eq!((first.companies, first.were_there), (2, 0));
    assert!(to.verify.verify(|_| ()).await.unwrap().findings.is_empty());
    load(&server.services, "companies: [{id: cmp_001, name: Renamed}]").await;
    let report = json!({"companyId": "cmp_002", "changed": true});
    server.grpc_as(&root, "ReportSourceCheck", report).await.unwrap();
    let second = copy(&server.services, &to).await.unwrap();
    assert_eq!((second.lines, second.were_there), (first.lines + 1, first.lines));
    drop(to);

    // The copy answers the same keys like the original, and knows their requests.
    let copied = Server::reopened(dir).await;
    for path in [
        "/v1/companies/cmp_001",
        "/admin/v1/companies/cmp_002",
        "/admin/v1/companies/cmp_001/customer_tags?show_archived=true",
        "/admin/v1/companies/cmp_001/changes",
        "/admin/v1/keys/-/changes",
    ] {
        let [one, other] = [&server, &copied].map(|server| server.get(path).bearer(&root));
        assert_eq!(one.send().await.json(), other.send().await.json(), "{path}");
    }
    let path = "/admin/v1/companies/cmp_001/customer_tags/tag_001";
    for id in ["One", "nothing"] {
        let name = if id == "One" { "One" } else { "Two" };
        let call = copied.call("PATCH", &format!("{path}?request_id={id}")).bearer(&root);
        let answer = call.body(json!({"name": name}).to_string()).send().await;
        assert_eq!(answer.header("idempotency-replayed"), Some("true"), "{id}");
    }
    let create = "/admin/v1/companies/cmp_001/customer_tags?entry_id=tag_002";
    let taken = copied.call("POST", create).bearer(&root).body(r#"{"name": "B"}"#.to_owned());
    assert_eq!(taken.send().await.refusal().reason, "ID_TAKEN");
}

#[tokio::test]
async fn a_long_log_is_copied_in_few_commits_and_a_stopped_copy_goes_on() {
    const LINES: u64 = 1_200;
    let (server, target) = (Server::of("companies: []").await, Server::of("companies: []").await);
    let mut current =
        commit(&*server.store, "cmp_a", vec![made_company(company("cmp_a", "A"))]).await.unwrap();
    let mut lines = Vec::new();
    while current.revision.0 < LINES {
        let plan = touching(&current);
        lines.push(plan.line);
        current = plan.after;
    }
    let stream = stream("cmp_a");
    let lines: Vec<_> = lines.iter().map(|line| (&stream, line)).collect();
    server.store.commit(&lines, None).await.unwrap();

    // The first commit is written, and the copy does not hear of it.
    target.probe.end_commits(Some(CommitEnd::Unknown));
    assert!(copy(&server.services, &target.services).await.is_err());
    let written = target.store.settings(&grant("cmp_a")).await.unwrap().unwrap().revision;
    assert!((2..LINES).contains(&written.0), "{written:?}");
    target.probe.end_commits(None);
    let before = target.probe.commits();
    let copied = copy(&server.services, &target.services).await.unwrap();
    assert_eq!((copied.lines, copied.were_there), (LINES, written.0));
    assert!(target.probe.commits() - before <= 3, "{}", target.probe.commits());
    assert_eq!(target.store.settings(&grant("cmp_a")).await.unwrap(), Some(current));
    assert!(target.services.verify.verify(|_| ()).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn a_target_with_other_data_is_refused() {
    let (server, _) = busy().await;
    for (document, word) in [
        ("companies: [{id: cmp_003, name: Other}]", "cmp_003"),
        ("companies: [{id: cmp_001, name: Other}]", "another history of company cmp_001"),
    ] {
        let (_dir, to) = empty().await;
        load(&to, document).await;
        let Err(Error::Precondition { reason, message, .. }) = copy(&server.services, &to).await
        else {
            panic!("{document} was copied over")
        };
        assert_eq!(reason, "OTHER_DATA");
        assert!(message.contains(word), "{message}");
    }
    // A target that was changed after the copy.
    let (_dir, to) = empty().await;
    copy(&server.services, &to).await.unwrap();
    load(&to, "companies: [{id: cmp_002, name: Gone On}]").await;
    assert!(copy(&server.services, &to).await.is_err());
    // A target with a key of its own.
    let (_dir, to) = empty().await;
    let secret = customer_settings_server::auth::api_key::Secret::generate().unwrap();
    let actor = customer_settings_server::catalog::access::Task::Local.actor();
    to.keys.create(&actor, everything(), &secret).await.unwrap();
    assert!(copy(&server.services, &to).await.is_err());
}

also_on_postgres! {
    everything_is_copied_and_a_second_copy_brings_what_is_new,
    a_target_with_other_data_is_refused,
    a_long_log_is_copied_in_few_commits_and_a_stopped_copy_goes_on,
}
