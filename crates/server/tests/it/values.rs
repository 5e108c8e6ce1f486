//! A given value is never ignored: it has its effect, or is refused by its name.

use customer_settings_server::clock::Clock as _;
use serde_json::{Value, json};
use tonic::Code;

use crate::{admin::Desk, harness::*};

const COMPANY: &str = "/admin/v1/companies/cmp_001";
const TAG: &str = "/admin/v1/companies/cmp_001/customer_tags/tag_001";

#[tokio::test]
async fn a_condition_without_effect_is_refused_and_nothing_is_written() {
    let desk = Desk::open().await;
    let name = json!({"name": "Another"});
    for (verb, path, body, header) in [
        ("PATCH", TAG, name.clone(), "If-None-Match"),
        ("DELETE", TAG, Value::Null, "If-None-Match"),
        ("POST", "/admin/v1/companies/cmp_001/customer_tags", name.clone(), "If-None-Match"),
        ("POST", "/admin/v1/companies", name.clone(), "If-None-Match"),
        ("POST", "/admin/v1/companies", name.clone(), "If-Match"),
        ("GET", TAG, Value::Null, "If-Match"),
        ("PATCH", TAG, name.clone(), "If-Unmodified-Since"),
        ("GET", TAG, Value::Null, "Settings-Staff-Id"),
        ("GET", "/admin/v1/keys", Value::Null, "Settings-Staff-Id"),
        ("POST", "/admin/v1/settings:plan", Value::Null, "Settings-Staff-Id"),
    ] {
        let answer = desk.send_with(verb, path, body, &[(header, "*")]).await;
        assert_eq!(answer.status, 400, "{verb} {path} {header}: {}", answer.text());
        let refusal = answer.refusal();
        assert_eq!(refusal.fields, [header], "{verb} {path}");
        assert!(refusal.message.contains("has no effect here"), "{}", refusal.message);
    }
    assert_eq!(desk.revision().await, "1");
    let metadata: [(&'static str, &str); 2] =
        [("authorization", &format!("Bearer {}", desk.secret)), ("if-none-match", "*")];
    let entry = json!({"companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001"});
    let over_grpc = desk.server.grpc(&method("GetEntry"), &metadata, &entry).await;
    assert_eq!(over_grpc.unwrap_err().code(), Code::InvalidArgument);

    // The header has its effect here.
    let seen = desk.send("GET", TAG, Value::Null).await;
    let tag = seen.header("etag").unwrap();
    let again = desk.send_with("GET", TAG, Value::Null, &[("If-None-Match", tag)]).await;
    assert_eq!(again.status, 304);
    let any = desk.send_with("PATCH", TAG, name, &[("If-Match", "*")]).await;
    assert_eq!(any.status, 200);
    // Programs of the compatible surface send the headers of their libraries.
    let list = "/v1/setting/companies/cmp_001/customer/tags:list";
    let list = desk.send_with("POST", list, json!({}), &[("If-None-Match", "*")]).await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert_eq!(desk.ok("GET", COMPANY, Value::Null).await["revision"], "2");
}

/// Makes a company with a location, two tags, a life cycle and a key, each with all its fields set.
async fn furnished() -> (Desk, String) {
    let desk = Desk::open().await;
    let tag = json!({"name": "T", "description": "d", "color": "#112233"});
    desk.ok("PATCH", TAG, tag).await;
    desk.ok("PATCH", COMPANY, json!({"country": "US", "timezone": {"id": "America/New_York"}}))
        .await;
    let address = json!({"city": "Brooklyn", "coordinate": {"latitude": 1.0, "longitude": 2.0}});
    let business = json!({"email": "a@b.example", "website": "http://w", "address": address});
    desk.ok("PATCH", BUSINESS, business).await;
    let key = json!({
        "name": "k", "scopes": ["settings:read"], "companyIds": ["cmp_001"], "addresses": ["10.0.0.0/8"],
        "expiresTime": "2999-01-01T00:00:00Z", "staffId": "staff_1",
    });
    let made = desk.ok("POST", "/admin/v1/keys", key).await;
    let key = format!("/admin/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    (desk, key)
}

const BUSINESS: &str = "/admin/v1/companies/cmp_001/businesses/biz_001";

#[tokio::test]
async fn null_or_an_empty_list_in_an_update_clears_the_field_or_is_refused_by_its_name() {
    let (desk, key) = furnished().await;
    for (path, body, field, expected) in [
        (TAG, json!({"color": null}), "/color", Ok(json!(""))),
        (TAG, json!({"description": null}), "/description", Ok(json!(""))),
        (TAG, json!({"isDefault": null}), "/isDefault", Ok(json!(false))),
        (TAG, json!({"is_default": null, "updateMask": null}), "/isDefault", Ok(json!(false))),
        (TAG, json!({"name": null}), "/name", Err("entry.name")),
        (TAG, json!({"name": ""}), "/name", Err("entry.name")),
        (COMPANY, json!({"country": null}), "/country", Ok(json!(""))),
        (COMPANY, json!({"timezone": null}), "/timezone", Ok(Value::Null)),
        (COMPANY, json!({"name": null}), "/name", Err("company.name")),
        (BUSINESS, json!({"email": null}), "/email", Ok(json!(""))),
        (BUSINESS, json!({"address": {"coordinate": null}}), "/address/city", Ok(json!(""))),
        (BUSINESS, json!({"address": null}), "/address", Ok(Value::Null)),
        (BUSINESS, json!({"name": null}), "/name", Err("business.name")),
        (&key, json!({"addresses": []}), "/addresses", Ok(json!([]))),
        (&key, json!({"expires_time": null}), "/expiresTime", Ok(Value::Null)),
        (&key, json!({"staffId": null}), "/staffId", Ok(json!(""))),
        (&key, json!({"scopes": []}), "/scopes", Err("key.scopes")),
        (&key, json!({"scopes": null}), "/scopes", Err("key.scopes")),
        (&key, json!({"companyIds": []}), "/companyIds", Err("key.company_ids")),
        (&key, json!({"allCompanies": null}), "/companyIds", Err("key.company_ids")),
    ] {
        let before = desk.ok("GET", path, Value::Null).await;
        match expected {
            Ok(value) => {
                let after = desk.ok("PATCH", path, body.clone()).await;
                assert_eq!(*after.pointer(field).unwrap_or(&Value::Null), value, "{path} {body}");
                assert_eq!(after["name"], before["name"], "{path} {body}: nothing else");
            }
            Err(named) => {
                let (status, refusal, _) = desk.no("PATCH", path, body.clone()).await;
                assert_eq!(status, 400, "{path} {body}");
                assert_eq!(refusal.fields, [named], "{path} {body}");
                assert_eq!(desk.ok("GET", path, Value::Null).await, before, "{path} {body}");
            }
        }
    }
    let nothing = desk.server.call("PATCH", TAG).bearer(&desk.secret).body("null").send().await;
    assert_eq!(nothing.refusal().fields, ["entry"]);
}

#[tokio::test]
async fn in_a_batch_a_null_counts_as_it_does_alone() {
    let (desk, _) = furnished().await;
    let update = |entry: Value| json!({"changes": [{"update": {"collection": "customer_tags", "id": "tag_001", "entry": entry}}]});
    let path = format!("{COMPANY}:batch");
    let done = desk.ok("POST", &path, update(json!({"color": null, "position": 7}))).await;
    let entry = &done["results"][0]["entry"];
    assert_eq!((&entry["color"], &entry["name"]), (&json!(""), &json!("T")));
    let (_, refusal, _) = desk.no("POST", &path, update(json!({"name": null}))).await;
    assert_eq!(refusal.fields, ["changes[0].entry.name"]);
    // The index is the one of the first change that is wrong.
    let delete = |id: &str| json!({"delete": {"collection": "customer_tags", "id": id}});
    let changes = json!({"changes": [delete("tag_001"), delete("?"), delete("?")]});
    let (_, refusal, text) = desk.no("POST", &path, changes).await;
    assert_eq!(refusal.fields, ["changes[1].id", "changes[2].id"]);
    assert!(text.contains(r#""index":"1""#), "{text}");
}

#[tokio::test]
async fn a_mask_that_is_given_decides_and_what_was_read_may_be_sent_back() {
    let (desk, _) = furnished().await;
    let before = desk.ok("GET", TAG, Value::Null).await;
    // Everything in the body came from the server, etag included.
    assert_eq!(desk.ok("PATCH", TAG, before.clone()).await, before);
    for mask in ["name", "*"].map(|mask| format!("{TAG}?update_mask={mask}")) {
        let answer = desk.send("PATCH", &mask, json!({"name": "U", "color": null})).await;
        let expected = if mask.ends_with('*') { "" } else { "#112233" };
        assert_eq!(answer.json()["color"], expected, "{mask}");
    }
    // A mask without names counts as no mask.
    let body = json!({"description": null, "updateMask": ""});
    desk.ok("PATCH", TAG, json!({"description": "d"})).await;
    assert_eq!(desk.ok("PATCH", &format!("{TAG}?update_mask="), body).await["description"], "");
    // Over gRPC a field that is present changes, and only the mask can make a field empty.
    desk.ok("PATCH", TAG, json!({"color": "#112233"})).await;
    let bearer = format!("Bearer {}", desk.secret);
    let metadata: [(&'static str, &str); 1] = [("authorization", &bearer)];
    let mut request = json!({"companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001",
                             "entry": {"name": "V"}});
    let kept = desk.server.grpc(&method("UpdateEntry"), &metadata, &request).await.unwrap();
    assert_eq!(kept["color"], "#112233");
    request["updateMask"] = json!("color");
    let cleared = desk.server.grpc(&method("UpdateEntry"), &metadata, &request).await.unwrap();
    assert_eq!((&cleared["color"], &cleared["name"]), (&json!(""), &json!("V")));
}

#[tokio::test]
async fn an_etag_of_another_thing_is_not_called_an_old_one() {
    let (desk, key) = furnished().await;
    let entry = desk.ok("GET", TAG, Value::Null).await;
    let tags = "/admin/v1/companies/cmp_002/customer_tags";
    // The entry was read from another company.
    let (status, refusal, _) = desk.no("POST", tags, entry.clone()).await;
    assert_eq!(
        (status, &refusal.fields[..]),
        (400, &["entry.etag", "entry.id"].map(str::to_owned)[..])
    );
    assert!(refusal.message.contains("has no etag yet"), "{}", refusal.message);
    let batch = json!({"changes": [{"create": {"collection": "customer_tags", "entry": entry}}]});
    let (_, refusal, _) = desk.no("POST", "/admin/v1/companies/cmp_002:batch", batch).await;
    assert_eq!(refusal.fields, ["changes[0].entry.etag", "changes[0].entry.id"]);
    for (path, field) in [
        ("/admin/v1/companies", "company.etag"),
        ("/admin/v1/companies/cmp_001/businesses", "business.etag"),
        ("/admin/v1/keys", "key.etag"),
    ] {
        let body =
            json!({"name": "N", "etag": entry["etag"], "scopes": ["*"], "allCompanies": true});
        let body = match field {
            "key.etag" => body,
            _ => json!({"name": "N", "etag": entry["etag"]}),
        };
        assert_eq!(desk.no("POST", path, body).await.1.fields, [field]);
    }
    let copy =
        json!({"name": entry["name"], "color": entry["color"], "textColor": entry["textColor"]});
    desk.ok("POST", tags, copy).await;

    // An etag that never belonged to the thing is refused as such, in any place. An etag that did is refused
    // with the author of the change.
    let other = entry["etag"].as_str().unwrap();
    for path in [COMPANY, BUSINESS, &key, "/admin/v1/companies/cmp_001/customer_tags/tag_002"] {
        let path = format!("{path}?etag={other}");
        let (status, refusal, _) = desk.no("PATCH", &path, json!({"name": "X"})).await;
        assert_eq!((status, refusal.reason.as_str()), (409, "ETAG_MISMATCH"), "{path}");
        assert!(refusal.message.contains("is not the one of"), "{}", refusal.message);
        assert!(!refusal.message.contains("changed since"), "{}", refusal.message);
    }
    let path = format!("{tags}?etag={other}");
    let (_, refusal, _) = desk.no("POST", &path, json!({"name": "X"})).await;
    assert!(refusal.message.contains("not the one of customer_tags,"), "{}", refusal.message);
    desk.ok("PATCH", TAG, json!({"name": "T2"})).await;
    let (_, refusal, _) =
        desk.no("PATCH", &format!("{TAG}?etag={other}"), json!({"name": "X"})).await;
    assert!(refusal.message.contains("changed since"), "{}", refusal.message);
}

#[tokio::test]
async fn the_etags_of_a_batch_are_compared_with_what_was_there_before_it() {
    let (desk, _) = furnished().await;
    let path = format!("{COMPANY}:batch");
    let etag = desk.ok("GET", TAG, Value::Null).await["etag"].clone();
    let tags = desk.ok("GET", "/admin/v1/companies/cmp_001/customer_tags", Value::Null).await;
    let batch = |first: &str| {
        json!({"changes": [
            {"update": {"collection": "customer_tags", "id": "tag_001", "entry": {"name": first}, "etag": etag}},
            {"update": {"collection": "customer_tags", "id": "tag_001", "entry": {"color": "#000000"}, "etag": etag}},
            {"create": {"collection": "customer_tags", "entryId": "a", "entry": {"name": "A"}, "etag": tags["etag"]}},
            {"create": {"collection": "customer_tags", "entryId": "b", "entry": {"name": "B"}, "etag": tags["etag"]}},
            {"archive": {"collection": "customer_tags", "id": "tag_001", "etag": etag}},
        ]})
    };
    let done = desk.ok("POST", &path, batch("Once")).await;
    assert_eq!(done["results"][4]["entry"]["color"], "#000000");
    // Afterwards these etags are old, and the refusal names the batch that changed them.
    let (_, refusal, _) = desk.no("POST", &path, batch("Twice")).await;
    assert!(
        refusal.message.starts_with("changes[0]: customer_tags/tag_001 changed since"),
        "{}",
        refusal.message
    );
    let revision = done["revision"].as_str().unwrap();
    assert!(refusal.message.contains(&format!("revision {revision} by")), "{}", refusal.message);
    // No caller can know the etag of a thing that the batch makes.
    let unseen = json!({"changes": [
        {"create": {"collection": "customer_tags", "entryId": "c", "entry": {"name": "C"}}},
        {"update": {"collection": "customer_tags", "id": "c", "entry": {"name": "D"}, "etag": etag}},
    ]});
    let (_, refusal, _) = desk.no("POST", &path, unseen).await;
    assert!(
        refusal.message.starts_with("changes[1]: that etag is not the one of customer_tags/c"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn a_successor_is_taken_for_the_default_alone() {
    let desk = Desk::open().await;
    let cycles = "/admin/v1/companies/cmp_001/life_cycles";
    let to = json!({"successorId": "lc_003"});
    let (_, refusal, _) = desk.no("POST", &format!("{cycles}/lc_002:archive"), to.clone()).await;
    assert_eq!(refusal.fields, ["successor_id"]);
    assert!(refusal.message.contains("lc_002 is not the default"), "{}", refusal.message);
    desk.ok("POST", &format!("{cycles}/lc_001:archive"), to.clone()).await;
    // The second request finds nothing to do.
    desk.ok("POST", &format!("{cycles}/lc_001:archive"), to).await;
    let other = json!({"successorId": "lc_002"});
    let (_, refusal, _) = desk.no("POST", &format!("{cycles}/lc_001:archive"), other).await;
    assert_eq!(refusal.fields, ["successor_id"]);
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    let to = json!({"successorId": "tag_002"});
    assert_eq!(
        desk.no("POST", &format!("{tags}/tag_001:archive"), to).await.1.fields,
        ["successor_id"]
    );
}

#[tokio::test]
async fn a_key_that_would_be_over_already_is_refused() {
    let (desk, key) = furnished().await;
    let now = desk.server.clock.now();
    let ended = json!({"expiresTime": now.to_string()});
    let (_, refusal, _) = desk.no("PATCH", &key, ended.clone()).await;
    assert_eq!(refusal.fields, ["key.expires_time"]);
    assert!(refusal.message.contains("lies in the past"), "{}", refusal.message);
    let mut draft = json!({"name": "n", "scopes": ["settings:read"], "allCompanies": true});
    draft["expiresTime"] = ended["expiresTime"].clone();
    let (_, refusal, _) = desk.no("POST", "/admin/v1/keys", draft.clone()).await;
    assert_eq!(refusal.fields, ["key.expires_time"]);
    let soon = now.plus_seconds(60).to_string();
    desk.ok("PATCH", &key, json!({"expiresTime": soon})).await;
    draft["expiresTime"] = json!(soon);
    let path = "/admin/v1/keys?request_id=once";
    let made = desk.ok("POST", path, draft.clone()).await;
    desk.server.clock.advance(std::time::Duration::from_secs(61));
    // The same request gets the same answer again, and a key may be sent back as it was read, with another
    // name.
    assert_eq!(desk.ok("POST", path, draft).await["key"]["id"], made["key"]["id"]);
    let over = desk.ok("GET", &key, Value::Null).await;
    assert_eq!(over["state"], "EXPIRED");
    let body = json!({"name": "renamed", "expiresTime": over["expiresTime"]});
    assert_eq!(desk.ok("PATCH", &key, body).await["name"], "renamed");
}

#[tokio::test]
async fn an_undo_whose_name_is_taken_names_the_entry_that_has_it() {
    let desk = Desk::open().await;
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    let undo = async |revision: u32| {
        let path = format!("{COMPANY}/changes/{revision}:undo");
        let (status, refusal, text) = desk.no("POST", &path, Value::Null).await;
        assert_eq!((status, refusal.reason.as_str()), (409, "NAME_TAKEN"), "{text}");
        text
    };
    // The holder of the name stands before it, after it, and is an entry that an undo restores.
    desk.ok("PATCH", TAG, json!({"name": "Else"})).await;
    desk.ok("POST", &format!("{tags}?entry_id=holder"), json!({"name": "VIP Customer"})).await;
    assert!(undo(2).await.contains(r#""id":"holder""#));
    desk.ok("POST", &format!("{tags}/tag_002:archive"), Value::Null).await;
    desk.ok("PATCH", TAG, json!({"name": "First-time Customer"})).await;
    assert!(undo(4).await.contains(r#""id":"tag_001""#));
    desk.ok("DELETE", &format!("{tags}/tag_002"), Value::Null).await;
    desk.ok("POST", &format!("{tags}?entry_id=last"), json!({"name": "Last"})).await;
    desk.ok("POST", &format!("{tags}/last:archive"), Value::Null).await;
    desk.ok("PATCH", TAG, json!({"name": "Last"})).await;
    assert!(undo(8).await.contains(r#""id":"tag_001""#));
}

#[tokio::test]
async fn an_id_within_that_is_another_one_is_refused() {
    let (desk, key) = furnished().await;
    for (verb, path, body, field) in [
        ("PATCH", TAG, json!({"id": "tag_002"}), "entry.id"),
        ("PATCH", COMPANY, json!({"id": "cmp_002"}), "company.id"),
        ("PATCH", BUSINESS, json!({"id": "biz_002"}), "business.id"),
        ("PATCH", BUSINESS, json!({"companyId": "cmp_002"}), "business.company_id"),
        ("PATCH", &key, json!({"id": "key_other"}), "key.id"),
        ("POST", "/admin/v1/companies?company_id=a", json!({"id": "b", "name": "N"}), "company.id"),
        (
            "POST",
            "/admin/v1/companies/cmp_001/businesses?business_id=a",
            json!({"id": "b", "name": "N"}),
            "business.id",
        ),
        (
            "POST",
            "/admin/v1/companies/cmp_001/customer_tags?entry_id=a",
            json!({"id": "b", "name": "N"}),
            "entry.id",
        ),
    ] {
        let (status, refusal, _) = desk.no(verb, path, body).await;
        assert_eq!((status, &refusal.fields[..]), (400, &[field.to_owned()][..]), "{verb} {path}");
    }
    for path in [COMPANY, BUSINESS, &key] {
        let read = desk.ok("GET", path, Value::Null).await;
        assert_eq!(desk.ok("PATCH", path, read.clone()).await["etag"], read["etag"], "{path}");
    }
}

#[tokio::test]
async fn a_header_that_counts_once_is_refused_where_it_is_sent_twice() {
    let (desk, key) = furnished().await;
    let bearer = format!("Bearer {}", desk.secret);
    let entry = json!({"companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001", "entry": {"color": ""}});
    for name in ["If-Match", "Idempotency-Key", "Settings-Staff-Id", "Settings-Min-Revision"] {
        let twice = [(name, "*"), (name, "other")];
        for (verb, path) in
            [("PATCH", TAG), ("PATCH", &key), ("GET", COMPANY), ("POST", "/admin/v1/keys")]
        {
            let answer = desk.send_with(verb, path, Value::Null, &twice).await;
            let refusal = answer.refusal();
            assert_eq!(
                (answer.status.as_u16(), &refusal.fields[..]),
                (400, &[name.to_owned()][..]),
                "{verb} {path}"
            );
            assert!(refusal.message.contains("was sent twice: send one"), "{}", refusal.message);
        }
        let name: &'static str = name.to_ascii_lowercase().leak();
        let metadata = [("authorization", &*bearer), (name, "*"), (name, "*")];
        let status = desk.server.grpc(&method("UpdateEntry"), &metadata, &entry).await.unwrap_err();
        assert!(status.message().contains("was sent twice: send one"), "{status:?}");
    }
    // The compatible surface knows one of these headers.
    let list = "/v1/setting/companies/cmp_001/customer/tags:list";
    for (name, expected) in
        [("Settings-Min-Revision", 400), ("Settings-Staff-Id", 200), ("If-Match", 200)]
    {
        let answer = desk.send_with("POST", list, Value::Null, &[(name, "a"), (name, "a")]).await;
        assert_eq!(answer.status.as_u16(), expected, "{name}");
    }
}

#[tokio::test]
async fn an_etag_in_the_query_says_where_it_belongs() {
    let (desk, key) = furnished().await;
    let named = json!({"name": "N"});
    for (verb, path, body, reason, said) in [
        ("POST", "/admin/v1/companies", named.clone(), "NO_ETAG_YET", "no etag yet"),
        ("POST", &format!("{COMPANY}/businesses"), named.clone(), "NO_ETAG_YET", "no etag yet"),
        ("POST", "/admin/v1/keys", named.clone(), "NO_ETAG_YET", "no etag yet"),
        ("GET", COMPANY, Value::Null, "UNKNOWN_FIELD", "If-None-Match"),
        ("POST", &format!("{key}/sessions/-:end"), json!({}), "UNKNOWN_FIELD", "leave it out"),
    ] {
        let path = format!("{path}?etag=5d41402abc4b2a7605d41402");
        let (status, refusal, _) = desk.no(verb, &path, body).await;
        assert_eq!((status, &refusal.fields[..]), (400, &["etag".to_owned()][..]), "{verb} {path}");
        assert_eq!(refusal.reasons, [reason], "{verb} {path}");
        assert!(refusal.message.contains(said), "{verb} {path}: {}", refusal.message);
    }
    // The etag in the query of a new entry is its catalog's.
    let list = desk.ok("GET", &format!("{COMPANY}/customer_tags"), Value::Null).await;
    let etag = list["etag"].as_str().unwrap();
    desk.ok("POST", &format!("{COMPANY}/customer_tags?etag={etag}"), named).await;
}

#[tokio::test]
async fn two_different_credentials_are_none() {
    let desk = Desk::open().await;
    let list = "/v1/setting/companies/cmp_001/customer/tags:list";
    let other = desk.server.any_key().await;
    for path in [list, COMPANY] {
        for _ in 0..2 {
            let verb = if path == list { "POST" } else { "GET" };
            let call = || desk.server.call(verb, path).bearer(&desk.secret);
            assert_eq!(call().send().await.status, 200);
            assert_eq!(call().bearer(&desk.secret).send().await.status, 200);
            let answer = call().bearer(&other).send().await;
            let refusal = answer.refusal();
            assert_eq!((answer.status.as_u16(), &*refusal.reason), (401, "CREDENTIAL_CONFLICTING"));
        }
    }
    let (one, two) = (format!("Bearer {}", desk.secret), format!("Bearer {other}"));
    let metadata = [("authorization", &*one), ("authorization", &*two)];
    let request = json!({"companyId": "cmp_001"});
    let status = desk.server.grpc(&method("ListCustomerTags"), &metadata, &request).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn the_id_of_what_is_to_be_made_is_taken_from_the_request_alone() {
    let desk = Desk::open().await;
    let key =
        json!({"id": "key_mine", "name": "K", "scopes": ["settings:read"], "allCompanies": true});
    let named = json!({"id": "mine", "name": "N"});
    for (path, body, field, parameter) in [
        ("/admin/v1/companies", &named, "company.id", "company_id"),
        ("/admin/v1/companies/cmp_001/businesses", &named, "business.id", "business_id"),
        ("/admin/v1/companies/cmp_001/customer_tags", &named, "entry.id", "entry_id"),
        ("/admin/v1/keys", &key, "key.id", "left out"),
    ] {
        let (status, refusal, _) = desk.no("POST", path, body.clone()).await;
        assert_eq!((status, &refusal.fields[..]), (400, &[field.to_owned()][..]), "{path}");
        assert!(refusal.message.contains(parameter), "{}", refusal.message);
    }
    let path = "/admin/v1/companies/cmp_001/customer_tags?entry_id=mine";
    assert_eq!(desk.ok("POST", path, named.clone()).await["id"], "mine");
    let bearer = format!("Bearer {}", desk.secret);
    let metadata = [("authorization", &*bearer)];
    let request = json!({"companyId": "cmp_001", "collection": "customer_tags", "entry": named});
    let status = desk.server.grpc(&method("CreateEntry"), &metadata, &request).await.unwrap_err();
    assert!(status.message().contains("entry_id"), "{status:?}");
}

#[tokio::test]
async fn a_state_is_changed_by_its_method_alone() {
    let (desk, key) = furnished().await;
    for (path, body, field, named) in [
        (TAG, json!({"state": "ARCHIVED"}), "entry.state", "archive"),
        (COMPANY, json!({"name": "N", "state": "ARCHIVED"}), "company.state", "archive"),
        (BUSINESS, json!({"state": "ARCHIVED"}), "business.state", "archive"),
        (&key, json!({"state": "REVOKED"}), "key.state", "revoke"),
        (&key, json!({"name": "N", "state": "EXPIRED"}), "key.state", "revoke"),
    ] {
        let (status, refusal, _) = desk.no("PATCH", path, body).await;
        assert_eq!((status, &refusal.fields[..]), (400, &[field.to_owned()][..]), "{path}");
        assert!(refusal.message.contains(named), "{}", refusal.message);
        desk.ok("PATCH", path, json!({"state": "ACTIVE"})).await;
    }
    desk.ok("POST", &format!("{TAG}:archive"), Value::Null).await;
    let (_, refusal, _) = desk.no("PATCH", TAG, json!({"name": "N", "state": "ACTIVE"})).await;
    assert!(refusal.message.contains("restore"), "{}", refusal.message);
    let read = desk.ok("GET", TAG, Value::Null).await;
    assert_eq!(desk.ok("PATCH", TAG, read.clone()).await["etag"], read["etag"]);
    // A new thing is active. Any other state is refused.
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    for state in [json!("ARCHIVED"), json!(99)] {
        let (_, refusal, _) = desk.no("POST", tags, json!({"name": "N", "state": state})).await;
        assert_eq!(refusal.fields, ["entry.state"], "{}", refusal.message);
    }
}

/// Sends a request with several wrong values, which must all be named.
async fn names_all(server: &Server, name: &str, request: Value, expected: &[&str]) {
    let secret = server.any_key().await;
    let refusal = server.refusal(&secret, name, request).await;
    assert_eq!(refusal.fields, expected, "{name}");
    assert!(refusal.message.starts_with(expected[0]), "{name}: {}", refusal.message);
}

#[tokio::test]
async fn all_wrong_values_of_an_entry_are_named_at_once() {
    let server = Server::demo().await;
    let of = |more: Value| {
        let mut request = json!({"companyId": "cmp_001", "collection": "customer_tags"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let long = json!({"name": "a".repeat(101), "color": "red", "description": "a".repeat(501)});
    let fields = ["entry.name", "entry.description", "entry.color"];
    names_all(&server, "CreateEntry", of(json!({"entry": long})), &fields).await;
    names_all(&server, "UpdateEntry", of(json!({"id": "tag_001", "entry": long})), &fields).await;
    let request = json!({
        "companyId": "?", "collection": "tags", "entryId": "?", "requestId": "é", "etag": "?", "entry": {},
    });
    let fields = ["company_id", "etag", "collection", "entry_id", "entry.name", "request_id"];
    names_all(&server, "CreateEntry", request, &fields).await;
    let create = json!({"create": {"collection": "tags", "entry": {"color": "red"}}});
    let delete = json!({"delete": {"collection": "customer_tags", "id": "a"}});
    let request = json!({"companyId": "cmp_001", "changes": [create, delete, create]});
    let fields = [
        "changes[0].collection",
        "changes[0].entry.name",
        "changes[0].entry.color",
        "changes[2].collection",
        "changes[2].entry.name",
        "changes[2].entry.color",
    ];
    names_all(&server, "BatchChangeEntries", request, &fields).await;
}

#[tokio::test]
async fn all_wrong_values_of_companies_locations_and_keys_are_named_at_once() {
    let server = Server::demo().await;
    let location = json!({
        "name": "", "email": "x", "website": "y", "address": {"country": "ZZ", "city": "\u{7}"},
    });
    let request = json!({"companyId": "cmp_001", "business": location});
    let fields = ["name", "email", "website", "address.country", "address.city"];
    let fields = fields.map(|field| format!("business.{field}"));
    names_all(&server, "CreateBusiness", request, &fields.each_ref().map(String::as_str)).await;
    let request = json!({"company": {"country": "ZZ", "timezone": {"id": "Mars"}}});
    let fields = ["company.name", "company.country", "company.timezone.id"];
    names_all(&server, "CreateCompany", request, &fields).await;
    let key = json!({"name": " ", "scopes": ["a", "b"], "addresses": ["x", "10.0.0.1", "y"], "staffId": "?"});
    let fields = [
        "key.company_ids",
        "key.name",
        "key.scopes",
        "key.addresses[0]",
        "key.addresses[2]",
        "key.staff_id",
    ];
    names_all(&server, "CreateKey", json!({"key": key}), &fields).await;
    let request = json!({"id": "?", "key": {"name": "", "scopes": ["a"]}});
    names_all(&server, "UpdateKey", request, &["id", "key.name", "key.scopes"]).await;
    let request = json!({"id": "?", "overlap": "-1s", "etag": "?"});
    names_all(&server, "RotateKey", request, &["etag", "id", "overlap"]).await;
}

#[tokio::test]
async fn all_wrong_arguments_of_a_list_are_named_at_once() {
    let server = Server::demo().await;
    let request = json!({
        "companyId": "cmp_001", "collection": "customer_tags", "pageSize": 1_001, "pageToken": "?", "filter": "=",
        "orderBy": "x", "revision": "-1",
    });
    let fields = ["filter", "order_by", "revision", "page_size", "page_token"];
    names_all(&server, "ListEntries", request, &fields).await;
    let request = json!({"companyId": "cmp_001", "pageSize": 501, "pageToken": "?", "keyId": "?", "staffId": "?"});
    let fields = ["key_id", "staff_id", "page_size", "page_token"];
    names_all(&server, "ListChanges", request, &fields).await;
    let request = json!({"pageSize": 501, "createdByKeyId": "?"});
    names_all(&server, "ListKeys", request, &["page_size", "created_by_key_id"]).await;
    let request = json!({"companyId": "?", "pagination": {"pageSize": 501, "pageToken": "0"}});
    let fields = ["pagination.page_size", "pagination.page_token", "company_id"];
    names_all(&server, "ListBusiness", request, &fields).await;
}

also_on_postgres! {
    null_or_an_empty_list_in_an_update_clears_the_field_or_is_refused_by_its_name,
    an_etag_of_another_thing_is_not_called_an_old_one,
    the_etags_of_a_batch_are_compared_with_what_was_there_before_it,
    a_key_that_would_be_over_already_is_refused,
    an_undo_whose_name_is_taken_names_the_entry_that_has_it,
}
