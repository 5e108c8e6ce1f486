//! Keys over the API: issued, restricted, rotated and revoked by other keys, within themselves.

use std::time::Duration;

use customer_settings_server::{catalog::access::Task, clock::Clock, service::keys::KeyDraft};
use serde_json::{Value, json};

use crate::harness::*;

const KEYS: &str = "/admin/v1/keys";
const TAGS: &str = "/v1/setting/companies/cmp_001/customer/tags:list";

async fn send(server: &Server, secret: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.call(method, path).bearer(secret).body(body).send().await
}

async fn status(server: &Server, secret: &str) -> u16 {
    server.get(TAGS).bearer(secret).send().await.status.as_u16()
}

fn small() -> Value {
    json!({"name": "crm", "scopes": ["settings:read"], "companyIds": ["cmp_001"]})
}

#[tokio::test]
async fn no_link_is_made_for_a_key_that_has_ended_and_the_callers_key_is_not_blamed() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let soon = server.clock.now().plus_seconds(60);
    let (over, _) = server.issue(KeyDraft { expires_time: Some(soon), ..everything() }).await;
    server.clock.advance(Duration::from_secs(61));
    let (revoked, _) = server.issue(everything()).await;
    server.services.keys.revoke(&Task::Local.actor(), &revoked.id).await.unwrap();
    for (key, reason) in [(over, "EXPIRED"), (revoked, "REVOKED")] {
        let path = format!("{KEYS}/{}:signInLink", key.id);
        let answer = send(&server, &root, "POST", &path, json!({})).await;
        assert_eq!((answer.status.as_u16(), &*answer.refusal().reason), (400, reason));
        assert!(answer.text().contains(key.id.as_str()), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_key_is_issued_used_rotated_and_revoked() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", &format!("{KEYS}?request_id=k1"), small()).await;
    let first = made.json()["secret"].as_str().unwrap().to_owned();
    let id = made.json()["key"]["id"].as_str().unwrap().to_owned();
    assert_eq!(status(&server, &first).await, 200);
    let repeated = send(&server, &root, "POST", &format!("{KEYS}?request_id=k1"), small()).await;
    assert_eq!(repeated.header("idempotency-replayed"), Some("true"));
    let json = repeated.json();
    assert_eq!((&json["secret"], json["key"]["id"].as_str()), (&json!(""), Some(id.as_str())));
    assert!(json["note"].as_str().unwrap().contains("first answer"));
    assert!(!repeated.text().contains(&first));

    let rotate = format!("{KEYS}/{id}:rotate");
    let rotated = send(&server, &root, "POST", &rotate, json!({"overlap": "60s"})).await;
    let second = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!((status(&server, &first).await, status(&server, &second).await), (200, 200));
    server.clock.advance(Duration::from_secs(61));
    let ended = server.get(TAGS).bearer(&first).send().await;
    assert_eq!(ended.refusal().reason, "KEY_ROTATED");
    assert_eq!(status(&server, &second).await, 200);
    // Without an overlap the old secret ends at once.
    let third = send(&server, &root, "POST", &rotate, json!({"overlap": "0s"})).await.json();
    assert_eq!(server.get(TAGS).bearer(&second).send().await.refusal().reason, "KEY_ROTATED");
    // The server knows nothing of older secrets.
    assert_eq!(server.get(TAGS).bearer(&first).send().await.refusal().reason, "UNKNOWN_KEY");
    let third = third["secret"].as_str().unwrap().to_owned();

    let revoke = format!("{KEYS}/{id}:revoke");
    let revoked = send(&server, &root, "POST", &revoke, Value::Null).await.json();
    assert_eq!(revoked["state"], "REVOKED");
    assert_eq!(server.get(TAGS).bearer(&third).send().await.refusal().reason, "KEY_REVOKED");
    assert_eq!(
        send(&server, &root, "POST", &rotate, Value::Null).await.refusal().reason,
        "REVOKED"
    );
    let bytes = server.stop().await.bytes().await;
    assert!(bytes.windows(3).any(|window| window == b"crm"), "the keys are there");
    for secret in [&first, &second, &third] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret is on disk");
    }
}

#[tokio::test]
async fn a_key_sees_and_makes_only_what_lies_within_it() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let hour = "2099-01-01T00:00:00Z";
    let manager = json!({
        "name": "manager", "scopes": ["keys:read", "keys:write", "settings:read"],
        "companyIds": ["cmp_001"], "addresses": ["127.0.0.0/8"], "expiresTime": hour, "staffId": "staff_7",
    });
    let made = send(&server, &root, "POST", KEYS, manager.clone()).await.json();
    let secret = made["secret"].as_str().unwrap();
    let own = format!("{KEYS}/{}", made["key"]["id"].as_str().unwrap());
    let within = json!({
        "name": "reader", "scopes": ["settings:read"], "companyIds": ["cmp_001"],
        "addresses": ["127.0.0.1"], "expiresTime": hour, "staffId": "staff_7",
    });
    assert_eq!(send(&server, secret, "POST", KEYS, within.clone()).await.status, 200);
    let own_scopes = "scopes: settings:read, keys:read, keys:write";
    for (field, value, restriction) in [
        ("scopes", json!(["settings:write"]), own_scopes),
        ("scopes", json!(["*"]), own_scopes),
        ("companyIds", json!(["cmp_002"]), "companies: cmp_001"),
        ("addresses", json!([]), "addresses: 127.0.0.0/8"),
        ("addresses", json!(["0.0.0.0/0"]), "addresses: 127.0.0.0/8"),
        ("expiresTime", json!("2099-01-01T00:00:01Z"), "expiry: 2099-01-01T00:00:00Z"),
        ("expiresTime", Value::Null, "expiry: 2099-01-01T00:00:00Z"),
        ("staffId", json!("staff_8"), "staff id: staff_7"),
    ] {
        let mut beyond = within.clone();
        beyond[field] = value;
        let answer = send(&server, secret, "POST", KEYS, beyond.clone()).await;
        let refusal = answer.refusal();
        assert_eq!(
            (answer.status.as_u16(), refusal.reason.as_str()),
            (403, "KEY_NOT_WITHIN"),
            "{beyond}"
        );
        assert!(refusal.message.ends_with(restriction), "{}", refusal.message);
        // Nor can the key widen itself.
        if field == "scopes" {
            let widened =
                send(&server, secret, "PATCH", &own, json!({"scopes": beyond["scopes"]})).await;
            assert_eq!(widened.refusal().reason, "KEY_NOT_WITHIN");
        }
    }
    let listed = send(&server, secret, "GET", KEYS, Value::Null).await.json();
    let names: Vec<&str> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["manager", "reader"], "and not the key for everything");
    // A key that is not within looks like a key that does not exist.
    let (other, _) = server.issue(everything()).await;
    let theirs = send(&server, secret, "GET", &format!("{KEYS}/{}", other.id), Value::Null).await;
    let nobodys = send(&server, secret, "GET", &format!("{KEYS}/key_none"), Value::Null).await;
    let [mut theirs, mut nobodys] = [theirs.refusal(), nobodys.refusal()];
    assert_eq!(theirs.facts.remove("id"), Some(other.id.to_string()));
    assert_eq!(nobodys.facts.remove("id").as_deref(), Some("key_none"));
    assert_eq!(theirs, nobodys);
    assert_eq!(theirs.reason, "KEY_NOT_WITHIN");
    for verb in ["rotate", "revoke"] {
        let path = format!("{KEYS}/{}:{verb}", other.id);
        assert_eq!(send(&server, secret, "POST", &path, Value::Null).await.status, 403);
    }
    let missing = send(&server, &root, "GET", &format!("{KEYS}/key_none"), Value::Null).await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn keys_are_changed_with_masks_etags_and_dry_runs() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", KEYS, small()).await.json();
    let path = format!("{KEYS}/{}", made["key"]["id"].as_str().unwrap());
    let dry = json!({"name": "other", "validateOnly": true});
    assert_eq!(send(&server, &root, "PATCH", &path, dry).await.json()["name"], "other");
    let now = send(&server, &root, "GET", &path, Value::Null).await.json();
    assert_eq!((&now["name"], &now["etag"]), (&json!("crm"), &made["key"]["etag"]));
    let widened = json!({"allCompanies": true, "companyIds": []});
    let wide = format!("{path}?update_mask=all_companies,company_ids");
    let changed = send(&server, &root, "PATCH", &wide, widened).await.json();
    assert_eq!((&changed["allCompanies"], &changed["companyIds"]), (&json!(true), &json!([])));
    let stale = json!({"name": "late", "etag": made["key"]["etag"]});
    let answer = send(&server, &root, "PATCH", &path, stale).await;
    assert_eq!((answer.status.as_u16(), answer.refusal().reason.as_str()), (409, "ETAG_MISMATCH"));
    for (wrong, field) in [
        (json!({"name": "x", "scopes": [], "allCompanies": true}), "key.scopes"),
        (json!({"name": "x", "scopes": ["settings:reed"], "allCompanies": true}), "key.scopes"),
        (json!({"name": "x", "scopes": ["*"]}), "key.company_ids"),
        (json!({"scopes": ["*"], "allCompanies": true}), "key.name"),
        (
            json!({"name": "x", "scopes": ["*"], "allCompanies": true, "addresses": ["here"]}),
            "key.addresses[0]",
        ),
    ] {
        let answer = send(&server, &root, "POST", KEYS, wrong.clone()).await;
        assert_eq!(answer.refusal().fields, [field], "{wrong}");
    }
    let mapped = json!({"name": "m", "scopes": ["settings:read"], "allCompanies": true,
        "addresses": ["::ffff:127.0.0.1"]});
    let mapped = send(&server, &root, "POST", KEYS, mapped).await.json();
    assert_eq!(mapped["key"]["addresses"], json!(["127.0.0.1/32"]));
    assert_eq!(status(&server, mapped["secret"].as_str().unwrap()).await, 200);
    let part =
        send(&server, &root, "POST", &format!("{path}:rotate"), json!({"overlap": "0.5s"})).await;
    assert_eq!(part.refusal().fields, ["overlap"]);
    let far = json!({"expiresTime": "1969-12-31T23:59:59Z"});
    let refused = send(&server, &root, "PATCH", &path, far).await.refusal();
    assert_eq!(refused.fields, ["key.expires_time"]);
    let long =
        send(&server, &root, "POST", &format!("{path}:rotate"), json!({"overlap": "2592001s"}))
            .await;
    assert_eq!(long.refusal().fields, ["overlap"]);
}

#[tokio::test]
async fn who_did_what_to_a_key_is_listed_newest_first() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", KEYS, small()).await;
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let path = format!("{KEYS}/{id}");
    send(&server, &root, "PATCH", &format!("{path}?request_id=n1"), json!({"name": "till"})).await;
    send(&server, &root, "POST", &format!("{path}:rotate"), Value::Null).await;
    send(&server, &root, "POST", &format!("{path}:revoke"), Value::Null).await;
    let listed = send(&server, &root, "GET", &format!("{path}/changes"), Value::Null).await;
    assert!(!listed.text().contains(secret));
    let listed = listed.json();
    let changes = listed["changes"].as_array().unwrap();
    let summaries: Vec<_> = changes.iter().map(|one| one["summary"].as_str().unwrap()).collect();
    let expected =
        ["revoked the key", "rotated the key", "updated the key (name)", "created the key"];
    assert_eq!(summaries, expected);
    let update = &changes[2];
    assert_eq!((&update["revision"], &update["requestId"]), (&json!("2"), &json!("n1")));
    assert_eq!((&update["address"], &update["id"]), (&json!("127.0.0.1"), &json!(id)));
    assert_eq!(update["keyBefore"]["name"], "crm");
    assert_eq!(update["keyAfter"]["name"], "till");

    // The changes of all keys come in pages.
    let all = format!("{KEYS}/-/changes");
    let whole = send(&server, &root, "GET", &all, Value::Null).await.json();
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let page = format!("{all}?page_size=2&page_token={token}");
        let page = send(&server, &root, "GET", &page, Value::Null).await.json();
        paged.extend(page["changes"].as_array().unwrap().clone());
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(json!(paged), whole["changes"]);
    let bad = send(&server, &root, "GET", &format!("{all}?page_token=x"), Value::Null).await;
    assert_eq!(bad.refusal().fields, ["page_token"]);
    // A key with fewer rights sees only the changes of keys within it.
    let less = server.key(with_scopes(&["keys:read"])).await;
    let seen = send(&server, &less, "GET", &all, Value::Null).await.json();
    assert_eq!(seen["changes"].as_array().unwrap().len(), 1, "{seen}");
}

#[tokio::test]
async fn a_repeated_request_shows_the_key_as_it_left_it() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", KEYS, small()).await.json();
    let path = format!("{KEYS}/{}", made["key"]["id"].as_str().unwrap());
    let rename = async |name: &str, id: &str| {
        let path = format!("{path}?request_id={id}");
        send(&server, &root, "PATCH", &path, json!({"name": name})).await
    };
    assert_eq!(rename("till", "r1").await.json()["name"], "till");
    // A request that changes nothing is stored all the same.
    assert_eq!(rename("till", "r2").await.header("idempotency-replayed"), None);
    assert_eq!(rename("other", "r3").await.json()["name"], "other");
    for id in ["r1", "r2"] {
        let again = rename("till", id).await;
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{id}");
        assert_eq!(again.json()["name"], "till", "{id}");
        assert_eq!(rename("another", id).await.refusal().reason, "REQUEST_ID_REUSED");
    }
    let now = send(&server, &root, "GET", &path, Value::Null).await.json();
    assert_eq!(now["name"], "other");
    let stale = json!({"name": "late", "etag": made["key"]["etag"]});
    let since = send(&server, &root, "PATCH", &path, stale).await.refusal().message;
    assert!(since.contains("revision 2") && since.contains("revision 3"), "{since}");
}

#[tokio::test]
async fn both_secrets_of_a_key_share_its_limit() {
    let server = Server::configured(|config| {
        config.limits.requests_per_second = 1;
        config.limits.requests_burst = 4;
    })
    .await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", KEYS, small()).await.json();
    let rotate = format!("{KEYS}/{}:rotate", made["key"]["id"].as_str().unwrap());
    let rotated = send(&server, &root, "POST", &rotate, Value::Null).await.json();
    let secrets = [&made, &rotated].map(|answer| answer["secret"].as_str().unwrap());
    let mut limited = 0;
    for secret in secrets.into_iter().cycle().take(8) {
        limited += u32::from(status(&server, secret).await == 429);
    }
    assert!(limited >= 3, "{limited} of 8 were limited");
}

#[tokio::test]
async fn a_key_names_only_so_many_companies_and_addresses() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    for (field, most, item) in [("companyIds", 1_000, "cmp_"), ("addresses", 100, "10.0.0.")] {
        for (count, expected) in [(most, 200), (most + 1, 400)] {
            let mut key = small();
            key[field] = (0..count).map(|i| json!(format!("{item}{i}"))).collect();
            let answer = send(&server, &root, "POST", KEYS, key).await;
            assert_eq!(answer.status, expected, "{count} {field}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_second_rotation_says_what_it_cuts_short() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    let made = send(&server, &root, "POST", KEYS, small()).await.json();
    let rotate = format!("{KEYS}/{}:rotate", made["key"]["id"].as_str().unwrap());
    let rotated = async |body: Value| send(&server, &root, "POST", &rotate, body).await;
    let secret = |answer: &Value| answer["secret"].as_str().unwrap().to_owned();
    let first = secret(&made);
    let once = rotated(json!({"overlap": "3600s"})).await.json();
    let until = once["key"]["previousSecretExpiresTime"].as_str().unwrap();
    for body in [Value::Null, json!({"overlap": "1s"}), json!({"validate_only": true})] {
        let refusal = rotated(body.clone()).await.refusal();
        assert_eq!(refusal.reason, "OVERLAP_RUNNING", "{body}");
        // The time in the message is exact to the second.
        assert!(refusal.message.contains(&until[..19]), "{}", refusal.message);
        assert!(refusal.message.contains("end_overlap"));
        assert_eq!(status(&server, &first).await, 200);
    }
    let twice = rotated(json!({"end_overlap": true})).await.json();
    assert_eq!(server.get(TAGS).bearer(&first).send().await.refusal().reason, "UNKNOWN_KEY");
    assert_eq!(status(&server, &secret(&once)).await, 200);
    // A leaked secret ends in one step, independent of running overlaps.
    let leaked = [secret(&once), secret(&twice)];
    let last = rotated(json!({"overlap": "0s"})).await.json();
    for secret in leaked {
        assert_eq!(status(&server, &secret).await, 401);
    }
    assert_eq!(status(&server, &secret(&last)).await, 200);
    // No overlap is running any more, so the rotation needs no `end_overlap`.
    assert_eq!(rotated(json!({"overlap": "5s"})).await.status, 200);
    server.clock.advance(Duration::from_secs(5));
    assert_eq!(rotated(Value::Null).await.status, 200);
}

also_on_postgres! {
    a_key_is_issued_used_rotated_and_revoked,
    a_key_sees_and_makes_only_what_lies_within_it,
    keys_are_changed_with_masks_etags_and_dry_runs,
    who_did_what_to_a_key_is_listed_newest_first,
    a_repeated_request_shows_the_key_as_it_left_it,
    both_secrets_of_a_key_share_its_limit,
    a_second_rotation_says_what_it_cuts_short,
    a_key_names_only_so_many_companies_and_addresses,
}
