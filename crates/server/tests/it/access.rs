//! Every method of the contract against every kind of key that must be refused.
//!
//! The methods, their scopes and their requests come from the descriptors, so the test covers a new method as
//! soon as it is in a proto file.

use std::time::Duration;

use customer_settings_server::{
    catalog::access::{Rights, Task},
    clock::Clock,
    config::Config,
    service::keys::KeyDraft,
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{admin::Desk, harness::*};

/// Methods that need no key. This list only shrinks.
const OPEN: [&str; 0] = [];

/// A key that must be refused.
struct Bad {
    what: &'static str,
    authorization: Option<String>,
    code: Code,
    reason: &'static str,
}

fn bad(what: &'static str, secret: &str, code: Code, reason: &'static str) -> Bad {
    Bad { what, authorization: Some(format!("Bearer {secret}")), code, reason }
}

/// Keys that no method takes, whatever their scopes.
async fn unusable_keys(server: &Server) -> Vec<Bad> {
    let soon = server.clock.now().plus_seconds(60);
    let expired = server.key(KeyDraft { expires_time: Some(soon), ..everything() }).await;
    server.clock.advance(Duration::from_secs(61));
    let (revoked_key, revoked) = server.issue(everything()).await;
    server.services.keys.revoke(&Task::Local.actor(), &revoked_key.id).await.unwrap();
    let elsewhere = server.key(from_networks(&["192.0.2.0/24", "2001:db8::/32"])).await;
    let unknown = "an-imported-secret-that-nobody-has";
    vec![
        Bad {
            what: "no key",
            authorization: None,
            code: Code::Unauthenticated,
            reason: "NO_CREDENTIAL",
        },
        bad("a bad key", unknown, Code::Unauthenticated, "UNKNOWN_KEY"),
        bad("a mistyped key", "cs_oops", Code::Unauthenticated, "UNKNOWN_KEY"),
        bad("an expired key", &expired, Code::Unauthenticated, "KEY_EXPIRED"),
        bad("a revoked key", &revoked, Code::Unauthenticated, "KEY_REVOKED"),
        bad("a wrong address", &elsewhere, Code::PermissionDenied, "ADDRESS_NOT_ALLOWED"),
    ]
}

/// Calls the method in every possible way and expects this refusal.
async fn expect_refused(server: &Server, method: &Method, key: &Bad) {
    let what = format!("{} with {}", method.path, key.what);
    let sample = sample(method);
    let metadata: Vec<(&'static str, &str)> =
        key.authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let status = server.grpc(method, &metadata, sample).await.expect_err(&what);
    let over_grpc = Refusal::of_status(&status);
    assert_eq!((over_grpc.code, over_grpc.reason.as_str()), (key.code, key.reason), "{what}");

    let http_status = if key.code == Code::Unauthenticated { 401 } else { 403 };
    for (verb, path, body) in method.http_requests(sample) {
        let mut call = server.call(verb.as_str(), &path);
        if let Some(authorization) = &key.authorization {
            call = call.header("authorization", authorization);
        }
        let answer = call.body(body.map_or(String::new(), |body| body.to_string())).send().await;
        assert_eq!(answer.status, http_status, "{verb} {path}: {what}");
        assert_eq!(answer.refusal(), over_grpc, "{verb} {path}: {what}");
        assert_eq!(answer.header("www-authenticate").is_some(), http_status == 401);
    }
}

fn sample(method: &Method) -> &Value {
    let without = || panic!("{} has no sample: give its request an example", method.path);
    method.sample.as_ref().unwrap_or_else(without)
}

fn is_about_keys(method: &Method) -> bool {
    method.path.starts_with("/customersettings.v1.KeyService/")
}

/// Whether a request names one company or location, and does not mean everything that the key covers.
fn names_one(sample: &Value) -> bool {
    fn has_company(value: &Value) -> bool {
        match value {
            Value::Object(fields) => {
                let names = ["companyId", "companyIds", "companies"];
                names.iter().any(|name| fields.contains_key(*name))
                    || fields.values().any(has_company)
            }
            Value::Array(items) => items.iter().any(has_company),
            _ => false,
        }
    }
    sample.get("id").is_some() || has_company(sample)
}

fn closed_methods() -> Vec<Method> {
    let methods: Vec<Method> =
        methods().into_iter().filter(|method| !OPEN.contains(&method.path.as_str())).collect();
    assert!(methods.len() >= 8);
    methods
}

/// The tests of all methods with one key need more unknown keys than clients do.
async fn server() -> Server {
    Server::configured(|config: &mut Config| {
        config.limits.unknown_keys_per_address_per_second = 10_000;
        config.limits.unknown_keys_per_second = 10_000;
    })
    .await
}

#[tokio::test]
async fn no_method_takes_an_unusable_key() {
    let server = server().await;
    for key in unusable_keys(&server).await {
        for method in closed_methods() {
            expect_refused(&server, &method, &key).await;
        }
    }
}

#[tokio::test]
async fn no_method_takes_a_key_without_each_of_its_scopes() {
    use customer_settings_server::catalog::access::Scope;
    let server = server().await;
    for method in closed_methods() {
        assert!(!method.scopes.is_empty(), "{} declares no scope", method.path);
        for declared in &method.scopes {
            let all = Scope::ALL.map(Scope::as_str).into_iter();
            let others: Vec<&str> = all.filter(|scope| scope != declared).collect();
            assert_eq!(others.len(), Scope::ALL.len() - 1, "{declared} is no scope");
            let secret = server.key(with_scopes(&others)).await;
            let key = bad("every other scope", &secret, Code::PermissionDenied, "MISSING_SCOPE");
            expect_refused(&server, &method, &key).await;
            let refusal = server.refusal(&secret, &method.path[1..], sample(&method).clone());
            let message = refusal.await.message;
            assert!(message.contains(declared), "{message} does not name {declared}");
        }
    }
}

#[tokio::test]
async fn every_method_takes_a_key_with_just_its_scopes() {
    let server = server().await;
    for method in closed_methods() {
        let scopes: Vec<&str> = method.scopes.iter().map(String::as_str).collect();
        let (key, secret) = server.issue(with_scopes(&scopes)).await;
        let mut request = sample(&method).clone();
        if is_about_keys(&method) {
            // Keys see and make only keys within themselves: this key itself, and keys like it.
            request["id"] = key.id.as_str().into();
            if method.descriptor.name() == "CreateKey" {
                request =
                    json!({"key": {"name": "like it", "scopes": scopes, "allCompanies": true}});
            } else if method.descriptor.input().get_field_by_name("id").is_none() {
                request = sample(&method).clone();
            }
        }
        if method.descriptor.input().get_field_by_name("validate_only").is_none() {
            server.answer(&secret, &method.path[1..], request).await;
            continue;
        }
        // Writes are dry runs: their answers belong to the tests of the methods.
        request["validateOnly"] = true.into();
        let bearer = format!("Bearer {secret}");
        let answer = server.grpc(&method, &[("authorization", &bearer)], &request).await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        let refused = [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented];
        assert!(!refused.contains(&code), "{}: {code:?}", method.path);
        for (verb, path, body) in method.http_requests(&request) {
            let call = server.call(verb.as_str(), &path).header("authorization", &bearer);
            let body = body.map_or(String::new(), |body| body.to_string());
            let answer = call.body(body).send().await;
            let over_http = match answer.status.as_u16() {
                200 => Code::Ok,
                _ => answer.refusal().code,
            };
            assert_eq!(over_http, code, "{verb} {path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn no_method_shows_one_company_to_another_ones_key() {
    let server = server().await;
    let secret = server.key(covering(&["cmp_002"])).await;
    for method in closed_methods() {
        if is_about_keys(&method) && method.descriptor.name() != "ListKeys" {
            let reason = "KEY_NOT_WITHIN";
            let key = bad("a key that may do less", &secret, Code::PermissionDenied, reason);
            expect_refused(&server, &method, &key).await;
        } else if method.descriptor.name() == "CreateCompany" {
            let reason = "NOT_COVERING_ALL";
            let key = bad("another company's key", &secret, Code::PermissionDenied, reason);
            expect_refused(&server, &method, &key).await;
        } else if names_one(sample(&method)) {
            let key = bad("another company's key", &secret, Code::PermissionDenied, "NOT_COVERED");
            expect_refused(&server, &method, &key).await;
        } else {
            let name = &method.path[1..];
            let answer = server.answer(&secret, name, sample(&method).clone()).await.to_string();
            assert!(answer.contains("cmp_002") && !answer.contains("cmp_001"), "{name}: {answer}");
        }
    }
}

/// The request with each of its ids malformed, which the server sees in the request alone.
fn malformed(sample: &Value) -> Value {
    let mut request = sample.clone();
    for name in ["companyId", "id", "businessId", "entryId"] {
        if request.get(name).is_some() {
            request[name] = "no id".into();
        }
    }
    if request.get("document").is_some() {
        request["document"]["companies"][0]["id"] = "no id".into();
    }
    if request.get("companyIds").is_some() {
        request["companyIds"][0] = "no id".into();
    }
    if request == *sample {
        match request.get("pagination") {
            Some(_) => request["pagination"] = json!({"pageSize": -1}),
            None if request.get("key").is_some() => request["key"]["name"] = "".into(),
            None => request["pageSize"] = (-1).into(),
        }
    }
    request
}

#[tokio::test]
async fn refusals_come_in_one_order_for_all_methods() {
    let server = server().await;
    for method in closed_methods() {
        let (name, sample) = (&method.path[1..], sample(&method));
        let malformed = malformed(sample);
        // The refusal names the first wrong thing in this order: the key, its scopes, the request by itself,
        // coverage.
        let without = server
            .key(KeyDraft { scopes: with_scopes(&[]).scopes, ..covering(&["cmp_002"]) })
            .await;
        for request in [sample, &malformed] {
            let refusal =
                server.refusal("an-imported-secret-that-nobody-has", name, request.clone());
            assert_eq!(refusal.await.reason, "UNKNOWN_KEY", "{name} {request}");
            let refusal = server.refusal(&without, name, request.clone()).await;
            assert_eq!(refusal.reason, "MISSING_SCOPE", "{name} {request}");
        }
        let foreign = server.key(covering(&["cmp_002"])).await;
        let refusal = server.refusal(&foreign, name, malformed.clone()).await;
        assert_eq!(refusal.reason, "INVALID_FIELD", "{name} {malformed}");
    }
    let foreign = server.key(covering(&["cmp_002"])).await;
    for (name, request) in [
        (
            "CreateEntry",
            json!({"companyId": "cmp_001", "collection": "customer_tags", "entry": {}}),
        ),
        ("CreateCompany", json!({"company": {}})),
        ("CreateBusiness", json!({"companyId": "cmp_001", "business": {}})),
    ] {
        assert_eq!(server.refusal(&foreign, name, request).await.reason, "INVALID_FIELD", "{name}");
    }
}

#[tokio::test]
async fn what_is_not_covered_is_refused_alike_whether_or_not_it_exists() {
    let server = server().await;
    let secret = server.key(covering(&["cmp_002"])).await;
    let is_of_a_company = |method: &&Method| sample(method).get("companyId").is_some();
    for method in closed_methods().iter().filter(is_of_a_company) {
        if method.descriptor.name() == "CreateCompany" {
            continue;
        }
        let mut refusals = Vec::new();
        for company in ["cmp_001", "cmp_404"] {
            for id in [sample(method)["id"].as_str().unwrap_or_default(), "nothing"] {
                let mut request = sample(method).clone();
                request["companyId"] = company.into();
                if request.get("id").is_some() {
                    request["id"] = id.into();
                }
                // The etag makes no difference either.
                if method.descriptor.input().get_field_by_name("etag").is_some() {
                    request["etag"] = "0123456789abcdef01234567".into();
                }
                let refusal = server.refusal(&secret, &method.path[1..], request).await;
                assert_eq!(refusal.reason, "NOT_COVERED", "{}", method.path);
                refusals.push(refusal.message.replace(company, ""));
            }
        }
        refusals.dedup();
        assert_eq!(refusals.len(), 1, "{}: {refusals:?}", method.path);
    }
}

#[tokio::test]
async fn the_program_itself_is_held_to_the_scopes_of_the_contract() {
    use customer_settings_server::{api, catalog::access::Holder, net::Deadline};
    let server = server().await;
    let scopes = with_scopes(&["settings:read"]).scopes;
    let all = Task::Local.holder();
    let rights = std::sync::Arc::new(Rights { scopes, ..(*all.rights).clone() });
    let clock = server.clock.clone();
    let deadline = move || Deadline(clock.monotonic() + Duration::from_secs(10));
    let holder = Holder { rights, ..all };
    let backend = api::local(server.services.use_cases(), holder, deadline);
    for method in closed_methods() {
        let mut client = tonic::client::Grpc::new(backend.clone());
        let request = tonic::Request::new(method.encode(sample(&method)));
        let path = method.path.parse().unwrap();
        client.ready().await.unwrap();
        let answer = client.unary(request, path, Opaque).await;
        let reason = answer.err().and_then(|status| status.get_details_error_info());
        let is_refused = reason.is_some_and(|info| info.reason == "MISSING_SCOPE");
        assert_eq!(is_refused, method.scopes != ["settings:read"], "{}", method.path);
    }
}

#[tokio::test]
async fn unknown_methods_are_unimplemented_with_or_without_a_key() {
    let server = server().await;
    for path in ["/moego.business.setting.v1.SettingService/Nothing", "/no.such.v1.Service/Nothing"]
    {
        let bearer = format!("Bearer {}", server.any_key().await);
        for metadata in [&[][..], &[("authorization", bearer.as_str())]] {
            let status = server.grpc_bytes(path, metadata, Default::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{path}");
            let reason = status.get_details_error_info().unwrap().reason;
            assert_eq!(reason, "UNKNOWN_METHOD", "{path}");
        }
    }
}

#[tokio::test]
async fn health_and_reflection_need_no_key() {
    let server = server().await;
    let status = server.grpc_bytes("/grpc.health.v1.Health/Check", &[], Default::default()).await;
    assert_eq!(status.unwrap(), [8_u8, 1][..], "SERVING");
}

/// A client that tries ids learns that one is taken, which is unavoidable, and nothing else.
#[tokio::test]
async fn a_foreign_locations_id_is_refused_without_a_word_about_who_has_it() {
    let server = Server::demo().await;
    let own = server.key(covering(&["cmp_002"])).await;
    let foreign = "businesses: [{id: biz_foreign, name: Secret Place}]";
    load(&server.services, &format!("companies: [{{id: cmp_001, {foreign}}}]")).await;
    let path = "/admin/v1/companies/cmp_002/businesses?business_id=biz_foreign";
    let expected = "the business id biz_foreign is taken: choose another one, as an id is never given again, not \
                    even after a deletion";
    for dry_run in ["", "&validate_only=true"] {
        for (key, at) in [(&own, "cmp_002"), (&server.any_key().await, "cmp_001")] {
            let path = path.replace("cmp_002", at);
            let call = server.post(&format!("{path}{dry_run}")).bearer(key);
            let answer = call.body(json!({"name": "Mine"}).to_string()).send().await;
            let refusal = answer.refusal();
            assert_eq!(
                (answer.status.as_u16(), refusal.reason.as_str()),
                (409, "ID_TAKEN"),
                "{path}{dry_run}"
            );
            assert_eq!(answer.json()["message"], expected);
            let metadata = &answer.json()["details"][0]["metadata"];
            assert_eq!(*metadata, json!({"kind": "business", "id": "biz_foreign"}));
        }
    }
    let mut told = Vec::new();
    let document = "companies: [{id: cmp_002, businesses: [{id: biz_foreign, name: Mine}]}]";
    let report = |_: &str, outcome| told.push(format!("{outcome:?}"));
    server.services.load.load(document, report).await.unwrap();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.contains("biz_foreign") && told.contains("another company's"), "{told}");
    assert!(!told.contains("cmp_001") && !told.contains("Secret"), "{told}");
    // A plan says it at its place in the document.
    let sent = json!({"document": {"companies": [
        {"id": "cmp_002", "businesses": [{"name": "Other"}, {"id": "biz_foreign", "name": "Mine"}]},
    ]}});
    let plan = server.post("/admin/v1/settings:plan").bearer(&own).body(sent.to_string());
    let plan = plan.send().await.json();
    let violation = &plan["plans"][0]["error"]["violations"][0];
    assert_eq!(
        (&violation["field"], &violation["reason"]),
        (&json!("businesses[1].id"), &json!("ID_TAKEN"))
    );
    let told = violation["description"].as_str().unwrap();
    assert_eq!(told, "biz_foreign belongs to another company's location");
}

also_on_postgres! {
    a_foreign_locations_id_is_refused_without_a_word_about_who_has_it,
}

#[tokio::test]
async fn a_refusal_tells_of_other_changes_only_what_the_key_may_read() {
    let server = Server::demo().await;
    let company = "/admin/v1/companies/cmp_001";
    let tag = format!("{company}/customer_tags/tag_001");
    let mut desk = Desk { secret: server.any_key().await, server };
    let old = desk.ok("GET", &tag, Value::Null).await["etag"].clone();
    let all = desk.ok("GET", &format!("{company}/changes"), Value::Null).await["etag"].clone();
    desk.ok("PATCH", &tag, json!({"name": "Hidden tag"})).await;
    desk.ok("PATCH", &tag, json!({"name": "Hidden tag again"})).await;
    desk.ok("PATCH", company, json!({"name": "Hidden company"})).await;
    let entries = &["settings:write", "settings:read"][..];
    let every = &["settings:write", "settings:read", "companies:read"][..];
    for (scopes, sees_tag, sees_company) in
        [(&["settings:write"][..], false, false), (entries, true, false), (every, true, true)]
    {
        desk.secret = desk.server.key(with_scopes(scopes)).await;
        let steps = json!({"etag": all, "changes": [
            {"archive": {"collection": "customer_tags", "id": "tag_001"}},
        ]});
        for (method, path, body, of_company) in [
            ("PATCH", tag.clone(), json!({"name": "Mine", "etag": old}), false),
            ("POST", format!("{company}/changes/2:undo"), Value::Null, false),
            ("POST", format!("{company}:batch"), steps, true),
        ] {
            let (_, refusal, text) = desk.no(method, &path, body).await;
            let is_refused = ["ETAG_MISMATCH", "CHANGED_SINCE"].contains(&&*refusal.reason);
            assert!(is_refused, "{text}");
            assert_eq!(text.contains("Hidden tag"), sees_tag, "{scopes:?}: {text}");
            let shows_company = text.contains("Hidden company");
            assert_eq!(shows_company, sees_company && of_company, "{scopes:?}: {text}");
            assert_eq!(text.contains("(key_"), sees_tag, "{scopes:?}: {text}");
        }
    }
}

#[tokio::test]
async fn all_missing_scopes_are_named_at_once_also_that_of_a_header() {
    const COMPANY: &str = "/admin/v1/companies/cmp_001";
    let server = Server::demo().await;
    let secret = server.key(with_scopes(&["companies:read"])).await;
    for (verb, path, lacking) in [
        ("PATCH", "/customer_tags/tag_001", "settings:write,staff:any"),
        ("PATCH", "", "companies:write,staff:any"),
        // A header without effect needs no scope.
        ("GET", "/customer_tags/tag_001", "settings:read"),
        ("GET", "/changes", "history:read,settings:read"),
    ] {
        let call = server.call(verb, &format!("{COMPANY}{path}")).bearer(&secret);
        let answer = call.header("settings-staff-id", "staff_1").send().await;
        let info = &answer.json()["details"][0];
        let told = (&info["reason"], &info["metadata"]["scope"]);
        assert_eq!(told, (&json!("MISSING_SCOPE"), &json!(lacking)), "{verb} {path}");
    }
}
