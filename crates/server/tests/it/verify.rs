//! Verifying: damage that was made by hand is found and named.

use std::sync::Arc;

use serde_json::json;

use crate::harness::*;

/// The findings after this SQL was run on the database.
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

/// SQL that is run on the database, and the finding about the key.
const KEY_DAMAGES: &[(&str, &str)] = &[
    ("SELECT 1", ""),
    ("UPDATE keys SET secret = zeroblob(32) WHERE name = 'crm'", "differs from its log"),
    ("UPDATE keys SET scopes = '[\"keys:write\"]' WHERE name = 'crm'", "differs from its log"),
    ("UPDATE keys SET created_by_key_id = 'key_other' WHERE name = 'crm'", "differs from"),
    ("UPDATE keys SET created_by_key_id = NULL", "differs from its log"),
    ("UPDATE keys SET revision = 9 WHERE name = 'crm'", "at revision 9, and its log ends at 3"),
    ("UPDATE keys SET revision = 2 WHERE name = 'crm'", "at revision 2, and its log has 3"),
    ("DELETE FROM keys WHERE name = 'crm'", "it has a log and no row of its own"),
    (
        "DELETE FROM changes WHERE stream_kind = 'key' AND actor_key_id IS NOT NULL",
        "no line in its log that made",
    ),
    ("DELETE FROM changes WHERE stream_kind = 'key' AND revision = 2", "its log lacks revision 2"),
    (
        "DELETE FROM changes WHERE stream_kind = 'key' AND revision = 1 AND actor_key_id IS NOT NULL",
        "its log lacks revision 1",
    ),
    (
        "UPDATE changes SET time = 1 WHERE stream_kind = 'key' AND revision = 2 AND part = 0",
        "2 is not later than",
    ),
    (
        "UPDATE changes SET body = replace(body, 'till', 'Till') WHERE stream_kind = 'key' AND revision = 3",
        "revision 3 does not fit the ones before it",
    ),
    (
        "UPDATE changes SET body = 'x' WHERE stream_kind = 'key' AND part = 1",
        "its log cannot be read: the line of revision 2 of ",
    ),
    (
        "UPDATE changes SET address = 'x' WHERE stream_kind = 'key' AND revision = 3",
        "its log cannot be read: the line of revision 3 of ",
    ),
    (
        "UPDATE keys SET scopes = 'x' WHERE name = 'crm'",
        "its row cannot be read: it is not as it was written",
    ),
];

/// The demo's data with a key "crm" of three revisions, the second of which has an empty line, and with the
/// key that made it.
async fn with_a_changed_key() -> Arc<Data> {
    let server = Server::demo().await;
    let root = server.key(with_scopes(&["*"])).await;
    let key = json!({"name": "crm", "scopes": ["settings:read"], "allCompanies": true});
    let send = async |method: &str, path: &str, body: serde_json::Value| {
        let call = server.call(method, path).bearer(&root).body(body.to_string());
        let answer = call.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let made = send("POST", "/admin/v1/keys", key.clone()).await;
    let path = format!("/admin/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    for (name, request_id) in [("till", "a"), ("till", "b"), ("crm", "c")] {
        send("PATCH", &format!("{path}?request_id={request_id}"), json!({"name": name})).await;
    }
    server.stop().await
}

#[tokio::test]
async fn a_key_that_was_changed_by_hand_is_found() {
    for (sql, what) in KEY_DAMAGES {
        let data = with_a_changed_key().await;
        data.tamper(sql).await;
        let server = Server::reopened(data).await;
        let verified = server.services.verify.verify(|_| ()).await.unwrap();
        if what.is_empty() {
            assert_eq!((verified.keys, verified.findings), (2, vec![]));
            continue;
        }
        let [finding] = &verified.findings[..] else { panic!("{sql}: {:?}", verified.findings) };
        assert!(
            finding.of.starts_with("keys/key_") && finding.what.contains(what),
            "{sql}: {finding:?}"
        );
        assert!(!finding.what.contains("column"), "{finding:?}");
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_hides_nothing_of_other_keys() {
    let data = with_a_changed_key().await;
    data.tamper("UPDATE changes SET body = 'x' WHERE stream_kind = 'key' AND revision = 2; UPDATE keys SET name = 'x' WHERE revision = 1").await;
    let server = Server::reopened(data).await;
    let verified = server.services.verify.verify(|_| ()).await.unwrap();
    let mut found: Vec<&str> = verified.findings.iter().map(|one| one.what.as_str()).collect();
    found.sort_unstable();
    let [one, other] = found[..] else { panic!("{found:?}") };
    assert_eq!(one, "it differs from its log");
    assert!(other.starts_with("its log cannot be read: the line of revision 2 of key_"), "{other}");
    assert!(other.ends_with(": it is not as it was written"), "{other}");
}

#[tokio::test]
async fn what_was_damaged_by_hand_is_found_and_named() {
    let (one, log) = ("company_id = 'cmp_001' AND", "stream_id = 'cmp_001' AND");
    for (sql, expected) in [
        (String::new(), &[][..]),
        (
            format!("UPDATE entries SET name = 'Evil' WHERE {one} id = 'tag_001'"),
            &["cmp_001: customer_tags/tag_001 differs from its log in: name"],
        ),
        (
            format!("DELETE FROM entries WHERE {one} id = 'lc_002'"),
            &["cmp_001: life_cycles/lc_002 is missing, and its log has it"],
        ),
        (
            format!("DELETE FROM changes WHERE {log} revision = 3"),
            &["cmp_001: its log lacks revision 3"],
        ),
        (
            "UPDATE companies SET state = 'archived' WHERE id = 'cmp_002'".to_owned(),
            &["cmp_002: company differs from its log in: state"],
        ),
        (
            format!(
                "UPDATE changes SET body = replace(body, 'Two', 'Deux') WHERE {log} revision = 3"
            ),
            &["cmp_001: revision 4 does not fit the ones before it"],
        ),
        (
            format!("UPDATE changes SET time = time + 1 WHERE {log} revision = 4"),
            &["cmp_001: its changed_time is not that of its last change"],
        ),
        (
            "DELETE FROM companies WHERE id = 'cmp_001'".to_owned(),
            &["cmp_001: it has a log and no row of its own"],
        ),
        (
            format!(
                "UPDATE changes SET revision = 9 WHERE {log} revision = 4; UPDATE companies SET revision = 3, changed_time = (SELECT time FROM changes WHERE {log} revision = 3) WHERE id = 'cmp_001'; UPDATE entries SET name = 'Two', last_updated_revision = 3, last_updated_time = (SELECT time FROM changes WHERE {log} revision = 3) WHERE {one} id = 'tag_001'"
            ),
            &["cmp_001: it is at revision 3, and its log has 9"],
        ),
        (
            format!("UPDATE changes SET time = 1 WHERE {log} revision = 2"),
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
        found_after(&format!("UPDATE changes SET body = '{{' WHERE {log} revision = 2")).await;
    let expected =
        "cmp_001: its log cannot be read: the line of revision 2: it is not as it was written";
    assert_eq!(unreadable, [expected]);
}

/// Data with lines that name other keys, and three ids: the revoked key, the key that it made, and another
/// key.
async fn with_lines_that_name_others() -> (Arc<Data>, [String; 3]) {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let send = async |method: &str, path: &str, body: serde_json::Value| {
        let call = server.call(method, path).bearer(&secret).body(body.to_string());
        let answer = call.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let tag = "/admin/v1/companies/cmp_001/customer_tags/tag_001";
    for request_id in ["a", "b"] {
        // The second one changes nothing.
        send("PATCH", &format!("{tag}?request_id={request_id}"), json!({"name": "One"})).await;
    }
    let other = "/admin/v1/companies/cmp_001/life_cycles/lc_001";
    send("PATCH", other, json!({"name": "Other"})).await;
    let key = json!({"name": "crm", "scopes": ["*"], "allCompanies": true});
    let made = send("POST", "/admin/v1/keys", key.clone()).await;
    let (id, own) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let child = server.post("/admin/v1/keys").bearer(own).body(key.to_string()).send().await;
    let child = child.json()["key"]["id"].as_str().unwrap().to_owned();
    let root = server.issue(everything()).await.0.id;
    send("POST", &format!("/admin/v1/keys/{id}:revoke"), json!({"with_created": true})).await;
    let ids = [id.to_owned(), child, root.to_string()];
    (server.stop().await, ids)
}

/// The facts in a line about other keys stand nowhere else.
#[tokio::test]
async fn what_a_line_is_about_cannot_be_changed_by_hand() {
    const SUBJECTS: &str = "the subjects of its line of revision 2 are not those";
    const ALONG: &str = SUBJECTS;
    let (data, [id, child, root]) = with_lines_that_name_others().await;
    let set = |what: &str, wrong: &str| {
        let was =
            format!("UPDATE changes SET subjects = {what} WHERE stream_id = 'cmp_001' AND {wrong}");
        (was, SUBJECTS)
    };
    let along = |with: &str| {
        let what = format!("replace(subjects, '\"keys/{child}\"', '{with}')");
        (format!("UPDATE changes SET subjects = {what} WHERE stream_kind = 'key'"), ALONG)
    };
    let rows = "UPDATE companies SET fold_key = 'x' WHERE id = 'cmp_001';
                UPDATE entries SET name = 'Evil' WHERE company_id = 'cmp_001' AND id = 'tag_001'";
    let exchanged =
        "UPDATE changes SET subjects = (SELECT subjects FROM kept WHERE stream_id = 'cmp_001'
                     AND kept.revision = 5 - changes.revision AND part = 0)
                     WHERE stream_id = 'cmp_001' AND revision IN (2, 3) AND part = 0";
    for (sql, expected) in [
        ("SELECT 1".to_owned(), ""),
        set("'x'", "revision = 2 AND part = 0"),
        set("'x'", "part = 1"),
        set("'[]'", "revision = 2"),
        set("replace(subjects, 'tag_001', 'tag_002')", "revision = 2 AND part = 0"),
        set("replace(subjects, 'tag_001', 'tag_002')", "part = 1"),
        (exchanged.to_owned(), SUBJECTS),
        along(&format!("\"keys/{root}\"")),
        along(""),
        // Other damage of the same company is also found.
        (format!("{}; {rows}", set("'x'", "revision = 2 AND part = 0").0), SUBJECTS),
    ] {
        // Each damage is repaired before the next one.
        let keep = "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM changes";
        data.tamper(keep).await;
        data.tamper(&sql).await;
        let services = data.services(Arc::default()).await;
        let verified = services.verify.verify(|_| ()).await.unwrap();
        let found: Vec<String> =
            verified.findings.iter().map(|one| format!("{}: {}", one.of, one.what)).collect();
        drop(services);
        if expected.is_empty() {
            assert!(found.is_empty(), "{found:?}");
        } else {
            let is_of_key = sql.contains("stream_kind = 'key'");
            let of = if is_of_key { format!("keys/{id}") } else { "cmp_001".to_owned() };
            let says = |found: &String| found.starts_with(&of) && found.contains(expected);
            assert!(found.iter().any(says), "{sql}: {found:?}");
            let others = found.iter().filter(|one| !says(one)).count();
            let expected_others = if sql.contains("fold_key") {
                2
            } else {
                usize::from(sql.contains("kept.revision"))
            };
            assert_eq!(others, expected_others, "{sql}: {found:?}");
            assert!(!found.iter().any(|one| one.contains("column")), "{found:?}");
        }
        let mend = "DELETE FROM changes; INSERT INTO changes SELECT * FROM kept; DROP TABLE kept";
        data.tamper(mend).await;
    }
}

#[tokio::test]
async fn fold_keys_of_an_older_rule_are_named() {
    let data = Server::demo().await.stop().await;
    let services = data.services(Arc::default()).await;
    data.tamper("UPDATE meta SET fold_key_version = 0").await;
    let found = services.verify.verify(|_| ()).await.unwrap().findings;
    assert_eq!(found.len(), 2);
    for one in found {
        assert!(one.what.contains("is of rule 0, and this program has rule 1: starting a server"));
    }
}

/// Each damage, and the finding before the statement that repairs it.
const INDEX_DAMAGES: &[(&str, &str)] = &[
    ("DROP INDEX keys_by_secret", "the index keys_by_secret"),
    ("DROP INDEX companies_by_name", "the index companies_by_name"),
    ("DROP INDEX changes_by_request", "the index changes_by_request"),
    (
        "DROP INDEX entries_default; CREATE INDEX entries_default ON entries (company_id, catalog)",
        "the index entries_default",
    ),
    (
        "DROP INDEX keys_by_creator; CREATE INDEX keys_by_creator ON keys (created_by_key_id)",
        "the index keys_by_creator",
    ),
];

#[tokio::test]
async fn an_index_that_is_missing_or_another_is_found_with_what_mends_it() {
    let data = with_a_changed_key().await;
    for (sql, what) in INDEX_DAMAGES {
        data.tamper(sql).await;
        let services = data.services(Arc::default()).await;
        let findings = services.verify.verify(|_| ()).await.unwrap().findings;
        let [one] = &findings[..] else { panic!("{sql}: {findings:?}") };
        assert_eq!(one.of, "the database");
        assert!(one.what.starts_with(what), "{sql}: {}", one.what);
        let (said, mend) = one.what.split_once("mend it with: ").unwrap();
        if said.contains("drop it") {
            let name = what.rsplit(' ').next().unwrap();
            data.tamper(&format!("DROP INDEX {name}")).await;
        } else {
            assert!(said.ends_with("is missing; "), "{said}");
        }
        data.tamper(mend).await;
        assert_eq!(services.verify.verify(|_| ()).await.unwrap().findings, []);
    }
}

also_on_postgres! {
    an_index_that_is_missing_or_another_is_found_with_what_mends_it,
    fold_keys_of_an_older_rule_are_named,
    a_key_that_was_changed_by_hand_is_found,
    a_line_that_cannot_be_read_hides_nothing_of_other_keys,
    what_was_damaged_by_hand_is_found_and_named,
    what_a_line_is_about_cannot_be_changed_by_hand,
}

/// Makes an index of the database empty, like a disk that loses a page. The table of the index stays whole.
fn empty_index(data: &Data, index: &str) {
    let path = data.path().join("customer-settings.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    let size = number("SELECT page_size FROM pragma_page_size");
    let page = number(&format!("SELECT rootpage FROM sqlite_schema WHERE name = '{index}'"));
    db.close().unwrap();
    let mut file = std::fs::read(&path).unwrap();
    let empty = &mut file[(page - 1) * size..page * size];
    empty.fill(0);
    // A leaf page of an index without cells: its content area begins at its end.
    empty[0] = 10;
    empty[5..7].copy_from_slice(&u16::try_from(size).unwrap().to_be_bytes());
    std::fs::write(path, file).unwrap();
}

#[tokio::test]
async fn an_index_that_lacks_rows_is_found() {
    for index in ["keys_by_secret", "companies_by_name", "businesses_by_id"] {
        let data = with_a_changed_key().await;
        empty_index(&data, index);
        let server = Server::reopened(data).await;
        let verified = server.services.verify.verify(|_| ()).await.unwrap();
        let found = verified.findings.iter().find(|one| one.of == "the database");
        let found = found.unwrap_or_else(|| panic!("{index}: {:?}", verified.findings));
        assert!(found.what.contains(index), "{found:?}");
    }
}
