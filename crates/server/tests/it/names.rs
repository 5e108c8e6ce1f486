//! Equal names: at the wire, in the stored data, and across versions of the rule.

use customer_settings_server::{
    catalog::{access::Task, id::CompanyId, text::Name},
    store::Access,
};
use serde_json::{Value, json};

use crate::harness::*;

const COMPANIES: &str = "/admin/v1/companies";
const TAGS: &str = "/admin/v1/companies/cmp_001/customer_tags";

async fn send(server: &Server, secret: &str, method: &str, path: &str, body: Value) -> Answer {
    server.call(method, path).bearer(secret).body(body.to_string()).send().await
}

#[tokio::test]
async fn names_that_look_alike_are_one_name() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    for (held, other) in
        [("New Client", "New  Client"), ("VIP", "V\u{ad}IP"), ("Dog 🐕\u{200d}🦺", "dog\u{a0}🐕🦺")]
    {
        let made = send(&server, &root, "POST", TAGS, json!({"name": held})).await;
        assert_eq!(made.json()["name"], held, "kept as it was typed");
        let refused = send(&server, &root, "POST", TAGS, json!({"name": other})).await;
        assert_eq!(refused.refusal().reason, "NAME_TAKEN", "{other:?}");
    }
    for blank in [
        "\u{ad}",
        "\u{200d}\u{200d}",
        "\u{3164}",
        "\u{2800}",
        "\u{feff} \u{200b}",
        "\u{301}",
        "\u{fffe}",
        "\u{e000}",
        "\u{378}",
    ] {
        for (path, field) in [(TAGS, "entry.name"), (COMPANIES, "company.name")] {
            let refusal =
                send(&server, &root, "POST", path, json!({"name": blank})).await.refusal();
            assert_eq!(refusal.fields, [field], "{blank:?}");
        }
    }
    // Filters use the same rule.
    let found = server.get(&format!("{TAGS}?filter=name%3D%22new%20%20%20client%22"));
    assert_eq!(found.bearer(&root).send().await.json()["totalSize"], 1);
}

#[tokio::test]
async fn a_load_finds_a_company_and_its_entries_by_names_that_look_alike() {
    let server = Server::demo().await;
    for name in ["Happy Tails Pets", "happy  tails\u{ad} PETS"] {
        let tags = "customer_tags: [{name: \"New  Client\"}]";
        load(&server.services, &format!("companies: [{{name: \"{name}\", {tags}}}]")).await;
    }
    let companies = Task::Local.grant_covered();
    let key = Name::parse("name", "Happy Tails Pets").unwrap().fold_key();
    let found = server.store.companies_named(&companies, &key).await.unwrap();
    assert_eq!(found.len(), 1);
    let settings = server.store.settings(&Task::Local.grant(&found[0])).await.unwrap().unwrap();
    assert_eq!(settings.catalogs[0].len(), 1);
}

/// The data of a server with the demo's companies, after this SQL was run on it.
async fn after(sql: &str) -> (Server, String) {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let data = server.stop().await;
    data.tamper(sql).await;
    (Server::reopened(data).await, secret)
}

async fn findings(server: &Server) -> Vec<String> {
    let verified = server.services.verify.verify(|_| ()).await.unwrap();
    verified.findings.into_iter().map(|one| format!("{}: {}", one.of, one.what)).collect()
}

#[tokio::test]
async fn a_newer_program_renews_the_fold_keys_when_it_starts() {
    let old = "UPDATE companies SET fold_key = 'old'; UPDATE meta SET fold_key_version = 0";
    let (server, _) = after(old).await;
    assert_eq!(findings(&server).await, [""; 0]);
    let grant = Task::Local.grant(&CompanyId::parse("id", "cmp_001").unwrap());
    let name = server.store.settings(&grant).await.unwrap().unwrap().company.name;
    let key = server.store.fold_key(&grant).await.unwrap();
    assert_eq!(key, Some((1, name.fold_key())));
    // Once is enough.
    let data = server.stop().await;
    data.tamper("UPDATE companies SET fold_key = 'wrong' WHERE id = 'cmp_002'").await;
    let server = Server::reopened(data).await;
    assert_eq!(findings(&server).await, ["cmp_002: its fold key is not that of its name"]);
}

#[tokio::test]
async fn a_program_of_an_older_rule_writes_no_fold_keys_among_newer_ones() {
    let (server, secret) = after("UPDATE meta SET fold_key_version = 2").await;
    for (method, path) in
        [("POST", COMPANIES.to_owned()), ("PATCH", format!("{COMPANIES}/cmp_001"))]
    {
        let answer = send(&server, &secret, method, &path, json!({"name": "Other"})).await;
        assert_eq!(answer.refusal().reason, "OUTDATED_PROGRAM");
    }
    // All other writes continue, while the nodes are replaced one by one.
    let answer = send(&server, &secret, "POST", TAGS, json!({"name": "Other"})).await;
    assert_eq!(answer.status, 200);
    let found = findings(&server).await;
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("is of rule 2, and this program has rule 1"), "{found:?}");
    // Such a node may also start.
    server.stop().await.open(Access::Write).await;
}

#[tokio::test]
async fn names_that_a_newer_rule_makes_equal_stay_and_are_named() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (id, name) in [("tag_a", "Nxw Client"), ("tag_b", "New Client")] {
        let path = format!("{TAGS}?entry_id={id}");
        assert_eq!(send(&server, &secret, "POST", &path, json!({"name": name})).await.status, 200);
    }
    let data = server.stop().await;
    // The row and the log look as if an older rule had accepted both names.
    data.tamper(
        "UPDATE entries SET name = replace(name, 'Nxw ', 'new  ');
         UPDATE changes SET body = replace(body, 'Nxw ', 'new  ')",
    )
    .await;
    let server = Server::reopened(data).await;
    assert_eq!(
        findings(&server).await,
        [
            "cmp_001: customer_tags/tag_a and customer_tags/tag_b are active under one name (\"new  Client\" and \
             \"New Client\"): rename or archive one"
        ]
    );
    // Neither of the two blocks other changes or its own. A third entry of that name is refused.
    let tag = format!("{TAGS}/tag_a");
    let change = async |method, path: &str, body| send(&server, &secret, method, path, body).await;
    assert_eq!(change("PATCH", &tag, json!({"description": "first"})).await.status, 200);
    assert_eq!(change("POST", TAGS, json!({"name": "Another"})).await.status, 200);
    load(&server.services, "companies: [{id: cmp_001, customer_tags: [{name: Loaded}]}]").await;
    let third = change("POST", TAGS, json!({"name": "NEW client"})).await;
    assert_eq!(third.refusal().reason, "NAME_TAKEN");
    assert_eq!(change("PATCH", &tag, json!({"name": "Old client"})).await.status, 200);
    assert_eq!(findings(&server).await, [""; 0]);
}

#[tokio::test]
async fn what_an_earlier_rule_let_through_still_reads() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let data = server.stop().await;
    data.tamper("UPDATE entries SET name = '\u{3164}' WHERE id = 'tag_001'").await;
    let server = Server::reopened(data).await;
    let tag = server.get(&format!("{TAGS}/tag_001")).bearer(&secret).send().await.json();
    assert_eq!(tag["name"], "\u{3164}");
}

also_on_postgres! {
    a_load_finds_a_company_and_its_entries_by_names_that_look_alike,
    a_newer_program_renews_the_fold_keys_when_it_starts,
    a_program_of_an_older_rule_writes_no_fold_keys_among_newer_ones,
    names_that_a_newer_rule_makes_equal_stay_and_are_named,
}
