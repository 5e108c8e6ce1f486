//! Verifying: what was damaged by hand is found, and named.

use serde_json::json;

use crate::harness::*;

/// What is found after this was done to the database.
async fn found_after(sql: &str) -> Vec<String> {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for name in ["One", "Two", "Three"] {
        let path = "/admin/v1/companies/cmp_001/customer_tags/tag_001";
        let call = server.call("PATCH", path).bearer(&secret);
        assert_eq!(call.body(json!({"name": name}).to_string()).send().await.status, 200);
    }
    let tag = "/admin/v1/companies/cmp_002/customer_tags/tag_101";
    for (method, path) in [("POST", format!("{tag}:archive")), ("DELETE", tag.to_owned())] {
        assert_eq!(server.call(method, &path).bearer(&secret).send().await.status, 200);
    }
    let data = server.stop().await;
    data.tamper(sql).await;
    let server = Server::reopened(data).await;
    let verified = server.services.verify.verify(|_| ()).await.unwrap();
    assert_eq!(verified.companies, 2);
    verified.findings.iter().map(|one| format!("{}: {}", one.of, one.what)).collect()
}

#[tokio::test]
async fn a_key_that_was_changed_by_hand_is_found() {
    for (sql, what) in [
        ("UPDATE keys SET secret = zeroblob(32)", "differs from the key log"),
        ("UPDATE keys SET scopes = '[\"keys:write\"]'", "differs from the key log"),
        ("DELETE FROM key_changes", "has no line in the key log that made it"),
        ("UPDATE key_changes SET body = replace(body, 'settings:read', 'keys:write')", "differs"),
        ("UPDATE key_changes SET body = 'x'", "cannot be read"),
    ] {
        let server = Server::demo().await;
        server.key(with_scopes(&["settings:read"])).await;
        let data = server.stop().await;
        data.tamper(sql).await;
        let server = Server::reopened(data).await;
        let verified = server.services.verify.verify(|_| ()).await.unwrap();
        let [finding] = &verified.findings[..] else { panic!("{sql}: {:?}", verified.findings) };
        assert!(
            finding.of.starts_with("keys") && finding.what.contains(what),
            "{sql}: {finding:?}"
        );
    }
}

#[tokio::test]
async fn what_was_damaged_by_hand_is_found_and_named() {
    let one = "company_id = 'cmp_001' AND";
    for (sql, expected) in [
        (String::new(), &[][..]),
        (
            format!("UPDATE entries SET name = 'Evil' WHERE {one} id = 'tag_001'"),
            &["cmp_001: customer_tags/tag_001 differs from its change log in: name"],
        ),
        (
            format!("DELETE FROM entries WHERE {one} id = 'lc_002'"),
            &["cmp_001: life_cycles/lc_002 is missing, and the change log has it"],
        ),
        (
            format!("DELETE FROM changes WHERE {one} revision = 3"),
            &["cmp_001: its change log lacks revision 3"],
        ),
        (
            "UPDATE companies SET state = 'archived' WHERE id = 'cmp_002'".to_owned(),
            &["cmp_002: company differs from its change log in: state"],
        ),
        (
            format!(
                "UPDATE changes SET body = replace(body, 'Two', 'Deux') WHERE {one} revision = 3"
            ),
            &["cmp_001: revision 4 does not fit the ones before it"],
        ),
        (
            format!("UPDATE changes SET time = time + 1 WHERE {one} revision = 4"),
            &["cmp_001: its changed_time is not that of its last change"],
        ),
        (
            "DELETE FROM companies WHERE id = 'cmp_001'".to_owned(),
            &["cmp_001: it has a change log and no row of its own"],
        ),
        (
            format!(
                "UPDATE changes SET revision = 9 WHERE {one} revision = 4; UPDATE companies SET revision = 3, changed_time = (SELECT time FROM changes WHERE {one} revision = 3) WHERE id = 'cmp_001'; UPDATE entries SET name = 'Two', last_updated_revision = 3, last_updated_time = (SELECT time FROM changes WHERE {one} revision = 3) WHERE {one} id = 'tag_001'"
            ),
            &["cmp_001: it is at revision 3, and its change log has 9"],
        ),
        (
            format!("UPDATE changes SET time = 1 WHERE {one} revision = 2"),
            &["cmp_001: revision 2 is not later than the one before it"],
        ),
        (
            "DELETE FROM deleted_entries".to_owned(),
            &["cmp_002: customer_tags/tag_101 was deleted, and its id is not kept from others"],
        ),
    ] {
        assert_eq!(found_after(&sql).await, expected, "{sql}");
    }
    let unreadable =
        found_after(&format!("UPDATE changes SET body = '{{' WHERE {one} revision = 2")).await;
    assert!(unreadable[0].starts_with("cmp_001: its change log cannot be read"), "{unreadable:?}");
}

also_on_postgres! {
    a_key_that_was_changed_by_hand_is_found,
    what_was_damaged_by_hand_is_found_and_named,
}
