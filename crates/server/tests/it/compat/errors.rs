//! The table of situations with their answers, over HTTP and over gRPC.

use customer_settings_server::{config::Config, service::keys::KeyDraft};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

use super::TAGS;
use crate::harness::*;

const SETTING: &str = "/moego.business.setting.v1.SettingService";

#[tokio::test]
async fn an_error_is_a_status_with_its_keys_in_order() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let answer = server.get("/v1/companies/cmp_404").bearer(&secret).send().await;
    assert_eq!(
        answer.text(),
        r#"{"code":5,"message":"there is no company cmp_404","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"NOT_FOUND","domain":"customer-settings","metadata":{"id":"cmp_404","kind":"company"}}]}"#
    );
}

/// An answer without the requested id, to be compared with another one.
fn without_id(answer: &Answer, id: &str) -> (u16, String, Vec<(String, String)>) {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let mut headers: Vec<_> = answer.headers.iter().map(header).collect();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    (answer.status.as_u16(), answer.text().replace(id, "?"), headers)
}

#[tokio::test]
async fn whether_something_outside_the_key_exists_cannot_be_told() {
    let server = Server::demo().await;
    let secret = server.key(covering(&["cmp_002"])).await;
    for (verb, path, exists, not) in [
        ("GET", "/v1/companies/?", "cmp_001", "cmp_404"),
        ("GET", "/v1/businesses/?", "biz_001", "biz_404"),
        ("GET", "/v1/setting/companies/?/customer/tags:list", "cmp_001", "cmp_404"),
        ("POST", "/v1/setting/companies/?/leads/life_cycles", "cmp_001", "cmp_404"),
    ] {
        let ask = |id: &'static str| {
            let path = path.replace('?', id);
            let call = server.call(verb, &path).bearer(&secret);
            async move { without_id(&call.send().await, id) }
        };
        let (one, other) = (ask(exists).await, ask(not).await);
        assert_eq!(one.0, 403);
        assert_eq!(one, other, "{path}");
    }
    for (name, field, exists, not) in [
        ("GetCompany", "id", "cmp_001", "cmp_404"),
        ("GetBusiness", "id", "biz_001", "biz_404"),
        ("ListBusiness", "companyId", "cmp_001", "cmp_404"),
        ("ListCustomerTags", "companyId", "cmp_001", "cmp_404"),
    ] {
        let mut told = vec![];
        for id in [exists, not] {
            let mut refusal = server.refusal(&secret, name, json!({field: id})).await;
            assert_eq!(refusal.code, Code::PermissionDenied);
            refusal.message = refusal.message.replace(id, "?");
            assert_eq!(refusal.facts.remove("id").as_deref(), Some(id));
            told.push(refusal);
        }
        assert_eq!(told[0], told[1], "{name}");
    }
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let server = Server::demo().await;
    for (scopes, name, request, missing) in [
        (
            &["companies:read"][..],
            "ListCustomerTags",
            json!({"companyId": "cmp_001"}),
            "settings:read",
        ),
        (&["settings:read"], "GetCompany", json!({"id": "cmp_001"}), "companies:read"),
        (&["settings:write", "keys:read"], "ListBusiness", json!({}), "companies:read"),
        (&[], "ListLeadsLifeCycles", json!({"companyId": "cmp_001"}), "settings:read"),
    ] {
        let secret = server.key(with_scopes(scopes)).await;
        let refusal = server.refusal(&secret, name, request).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::PermissionDenied, "MISSING_SCOPE")
        );
        assert!(refusal.message.contains(missing), "{}", refusal.message);
    }
}

#[tokio::test]
async fn a_key_that_covers_everything_learns_what_does_not_exist() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (name, request) in [
        ("GetCompany", json!({"id": "cmp_404"})),
        ("GetBusiness", json!({"id": "biz_404"})),
        ("ListBusiness", json!({"companyId": "cmp_404"})),
        ("ListLeadsActionStatus", json!({"companyId": "cmp_404"})),
    ] {
        let refusal = server.refusal(&secret, name, request).await;
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
        assert!(refusal.message.contains("_404"), "{}", refusal.message);
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for path in [
        "/",
        "/v1",
        "/v2/companies/cmp_001",
        "/v1/companies/cmp_001/",
        "/v1/companies/cmp_001/more",
        "/v1/setting/companies/cmp_001/customer/tags",
        "/v1/setting/companies/cmp_001/customer/tags:create",
        "/v1/customers:list",
    ] {
        for verb in ["GET", "POST", "DELETE"] {
            let answer = server.call(verb, path).bearer(&secret).send().await;
            let refusal = answer.refusal();
            assert_eq!(
                (answer.status.as_u16(), refusal.code),
                (404, Code::NotFound),
                "{verb} {path}"
            );
            assert!(refusal.message.contains(path), "{}", refusal.message);
        }
    }
}

#[tokio::test]
async fn a_known_path_with_another_method_says_which_it_takes() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (verb, path, allow) in [
        ("PUT", TAGS, "GET, HEAD, POST"),
        ("DELETE", TAGS, "GET, HEAD, POST"),
        ("OPTIONS", TAGS, "GET, HEAD, POST"),
        ("POST", "/v1/companies/cmp_001", "GET, HEAD"),
        ("PATCH", "/v1/businesses/biz_001", "GET, HEAD"),
        ("GET", "/v1/companies:list", "POST"),
        ("HEAD", "/v1/businesses:list", "POST"),
    ] {
        let answer = server.call(verb, path).bearer(&secret).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, Some(allow)),
            "{verb} {path}"
        );
        if verb != "HEAD" {
            assert_eq!(answer.refusal().code, Code::Unimplemented);
        }
    }
}

#[tokio::test]
async fn a_path_with_a_wrong_verb_says_which_was_meant() {
    let server = Server::demo().await;
    let company = "/admin/v1/companies/cmp_001";
    for (verb, path, status, said) in [
        ("GET", format!("{company}:rollBack"), 404, format!("did you mean POST {company}:rollback?")),
        ("POST", format!("{company}:rollBack"), 404, format!("did you mean POST {company}:rollback?")),
        ("GET", format!("{company}:rollback"), 405, "this path takes POST only".to_owned()),
        ("POST", format!("{company}:freeze"), 405, format!("one of POST {company}:archive, POST ")),
        (
            "POST",
            format!("{company}/customer_tags:re-order"),
            404,
            format!("did you mean POST {company}/customer_tags:reorder?"),
        ),
        (
            "GET",
            "/v1/companies".to_owned(),
            404,
            "did you mean POST /v1/companies:list? /docs and".to_owned(),
        ),
        (
            "POST",
            "/v1/businesses:List".to_owned(),
            404,
            "did you mean POST /v1/businesses:list?".to_owned(),
        ),
        (
            "PUT",
            "/admin/v1/settings".to_owned(),
            404,
            "did you mean one of POST /admin/v1/settings:apply, GET /admin/v1/settings:export, POST".to_owned(),
        ),
        ("OPTIONS", company.to_owned(), 405, "this path takes GET, HEAD, PATCH only".to_owned()),
        (
            "POST",
            format!("{company}/changes/2:revert"),
            405,
            format!("did you mean POST {company}/changes/2:undo?"),
        ),
        (
            "POST",
            format!("{company}:archive:"),
            405,
            format!("did you mean POST {company}:archive?"),
        ),
    ] {
        let answer = server.call(verb, &path).send().await;
        let message = answer.refusal().message;
        assert_eq!(answer.status, status, "{verb} {path}: {message}");
        assert!(message.contains(&said), "{verb} {path}: {message}");
        assert_eq!(message.contains("did you mean"), said.contains("POST /"), "{verb} {path}: {message}");
    }
}

#[tokio::test]
async fn a_path_that_differs_little_from_one_says_which_was_meant() {
    let server = Server::demo().await;
    let compat = "/v1/setting/companies/cmp_001";
    let company = "/admin/v1/companies/cmp_001";
    for (verb, path, status, meant) in [
        ("POST", "leads/life_cycles:list", 404, "POST leads/life_cycles"),
        ("GET", "leads/life_cycles/list", 404, "GET leads/life_cycles"),
        ("POST", "leads/lifeCycle", 404, "POST leads/life_cycles"),
        ("POST", "lead/action_statuses", 404, "POST leads/action_status"),
        ("POST", "customer/tags/list", 404, "POST customer/tags:list"),
        ("GET", "customer/tags/list", 404, "GET customer/tags:list"),
        ("POST", "customer/referral_source:list", 404, "POST customer/referral_sources:list"),
        ("POST", "customer/tag", 404, "POST customer/tags:list"),
        ("POST", "customer/tags:list/", 404, "POST customer/tags:list"),
        ("PUT", "leads/life_cycle", 404, "one of POST leads/life_cycles, GET leads/life_cycles"),
        ("POST", "customer/groups:list", 404, ""),
        ("POST", "leads/life_cycles:freeze", 404, ""),
    ] {
        let meant = meant.replace(" leads", &format!(" {compat}/leads"));
        let meant = meant.replace(" customer", &format!(" {compat}/customer"));
        tells(&server, verb, &format!("{compat}/{path}"), status, &meant).await;
    }
    for (verb, path, status, meant) in [
        ("POST", "/customer_tags:order", 404, "POST /customer_tags:reorder"),
        ("GET", "/customer_tags:list", 404, "GET /customer_tags"),
        ("POST", "/customer_tags:list", 404, "GET /customer_tags"),
        ("POST", "/customer_tags:create", 404, "POST /customer_tags"),
        ("POST", "/customer_tags/tag_001:update", 405, "PATCH /customer_tags/tag_001"),
        ("GET", "/businesses:list", 404, "GET /businesses"),
        ("GET", ":get", 404, "GET "),
        ("POST", "/custmer_tags/tag_001/archive", 404, "POST /customer_tags/tag_001:archive"),
        ("PUT", "", 405, "PATCH "),
        ("PUT", "/customer_tags/tag_001", 405, "PATCH /customer_tags/tag_001"),
        ("DELETE", "", 405, "POST :archive"),
        ("DELETE", "/businesses/biz_001", 405, "POST /businesses/biz_001:archive"),
        ("POST", "/groups:order", 401, ""),
        ("GET", "/groups/a/archive", 404, ""),
        ("GET", "/businesses/biz_001/more/than/that", 404, ""),
    ] {
        let meant = meant.replacen(' ', &format!(" {company}"), 1);
        tells(&server, verb, &format!("{company}{path}"), status, &meant).await;
    }
    tells(&server, "DELETE", "/admin/v1/keys/key_1", 405, "POST /admin/v1/keys/key_1:revoke").await;
    tells(&server, "POST", "/v1/company:list", 404, "POST /v1/companies:list").await;
    // A path of any length is compared with no more templates than a short one.
    let long = "x/".repeat(10_000);
    tells(&server, "GET", &format!("/admin/v1/companies/{long}"), 404, "").await;
}

/// Asks without a key. The refusal names these methods and no other; with a blank text it names none.
async fn tells(server: &Server, verb: &str, path: &str, status: u16, meant: &str) {
    let answer = server.call(verb, path).send().await;
    let message = answer.refusal().message;
    assert_eq!(answer.status, status, "{verb} {path}: {message}");
    let said = message.split_once("did you mean ").map(|(_, said)| said.split_once('?').unwrap().0);
    assert_eq!(said.unwrap_or_default(), meant, "{verb} {path}: {message}");
}

#[tokio::test]
async fn methods_of_the_original_that_are_not_ours_are_unimplemented_and_have_no_path() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let bearer = format!("Bearer {secret}");
    for name in ["CreateCustomerTag", "ListPetTypes", "listCustomerTags"] {
        let path = format!("{SETTING}/{name}");
        let metadata = [("authorization", bearer.as_str())];
        let status = server.grpc_bytes(&path, &metadata, Default::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{name}");
        assert_eq!(server.post(&path).bearer(&secret).send().await.status, 404, "{name}");
    }
    for path in [
        "/v1/setting/companies/cmp_001/customer/tags:create",
        "/v1/setting/companies/cmp_001/pets:list",
    ] {
        assert_eq!(server.post(path).bearer(&secret).send().await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_over_grpc() {
    let server = Server::configured(|config| config.limits.body_bytes = 100).await;
    let bearer = format!("Bearer {}", server.any_key().await);
    let method = method("GetCompany");
    let metadata = [("authorization", bearer.as_str())];
    let ask = |bytes: usize| {
        let message = method.encode(&json!({"id": "x".repeat(bytes - 2)}));
        assert_eq!(message.len(), bytes);
        server.grpc_bytes(&method.path, &metadata, message)
    };
    // The server reads the value and finds that it is no id.
    let reason = |status: tonic::Status| status.get_details_error_info().unwrap().reason;
    assert_eq!(reason(ask(100).await.unwrap_err()), "INVALID_FIELD");
    let refused = ask(101).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(reason(refused), "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_the_callers_mistake() {
    let server = Server::demo().await;
    let bearer = format!("Bearer {}", server.any_key().await);
    let metadata = [("authorization", bearer.as_str())];
    let damaged = vec![0xff; 7];
    let status =
        server.grpc_bytes(&method("GetCompany").path, &metadata, damaged.into()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_error_info().unwrap().reason, "MALFORMED_MESSAGE");
}

#[tokio::test]
async fn too_many_requests_say_when_to_try_again() {
    let server = Server::configured(|config: &mut Config| {
        config.limits.requests_per_second = 1;
        config.limits.requests_burst = 1;
    })
    .await;
    let secret = server.any_key().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    let answer = server.get(TAGS).bearer(&secret).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("1")));
    let over_http = answer.refusal();
    assert_eq!(
        (over_http.code, over_http.reason.as_str()),
        (Code::ResourceExhausted, "KEY_RATE_LIMIT")
    );
    assert!(over_http.retries && over_http.message.contains("with this key"), "{over_http:?}");

    let bearer = format!("Bearer {secret}");
    let metadata = [("authorization", bearer.as_str())];
    let request = json!({"companyId": "cmp_001"});
    let status = server.grpc(&method("ListCustomerTags"), &metadata, &request).await.unwrap_err();
    let over_grpc = Refusal::of_status(&status);
    assert_eq!((over_grpc.code, over_grpc.retries), (over_http.code, true));
    assert_eq!(over_grpc.headers, over_http.headers);
}

/// Sends one request to each method, in each protocol: only reads, which can be repeated, or all methods.
async fn ask(server: &Server, secret: &str, writes_too: bool) -> Vec<Result<Value, Refusal>> {
    let mut answers = vec![];
    // The examples of these methods name a key that the demo lacks.
    let is_read = |method: &Method| {
        method.descriptor.input().get_field_by_name("validate_only").is_none()
            && !["GetKey", "ListKeyChanges", "ListSessions"].contains(&method.descriptor.name())
    };
    for method in methods().into_iter().filter(|method| writes_too || is_read(method)) {
        let request = method.sample.clone().unwrap();
        answers.push(server.ask(secret, &method.path[1..], request).await);
    }
    answers
}

#[tokio::test]
async fn a_failing_store_is_unavailable_and_never_a_refusal_of_the_key() {
    let server = Server::configured(|config| {
        config.max_stale_ms = 0;
        config.limits.unknown_keys_per_address_per_second = 10_000;
        config.limits.unknown_keys_per_second = 10_000;
    })
    .await;
    let known = server.any_key().await;
    let fresh = server.key(everything()).await;
    assert!(ask(&server, &known, false).await.iter().all(Result::is_ok));
    server.probe.fail(true);
    // Data in memory may be served a moment longer. Past the bound nothing is served.
    server.clock.advance(std::time::Duration::from_secs(2));
    for secret in [&known, &fresh, &"nobody-has-this-secret-here".to_owned()] {
        for answer in ask(&server, secret, true).await {
            let refusal = answer.unwrap_err();
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::Unavailable, "STORE_UNAVAILABLE")
            );
            assert_eq!((refusal.header("retry-after"), refusal.retries), (Some("1"), true));
            assert!(!refusal.message.contains("the inside"), "{}", refusal.message);
        }
    }
    assert_eq!(server.get(TAGS).bearer(&known).send().await.status, 503);
    eventually(async || server.get("/readyz").send().await.status == 503).await;
    assert_eq!(server.get("/healthz").send().await.status, 200);

    server.probe.fail(false);
    assert!(ask(&server, &known, false).await.iter().all(Result::is_ok));
    eventually(async || server.get("/readyz").send().await.status == 200).await;
}

#[tokio::test]
async fn what_is_fresh_in_memory_is_served_while_the_store_fails() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.settled().await;
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
    server.probe.fail(true);
    assert_eq!(server.get(TAGS).bearer(&secret).send().await.status, 200);
}

#[tokio::test]
async fn a_store_that_does_not_answer_meets_the_deadline() {
    let server = Server::configured(|config| config.limits.request_timeout_ms = 100).await;
    let secret = server.any_key().await;
    server.probe.hang(true);
    let refusal = server.refusal(&secret, "GetCompany", json!({"id": "cmp_001"})).await;
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    assert_eq!(server.get("/v1/companies/cmp_001").bearer(&secret).send().await.status, 504);
}

#[tokio::test]
async fn a_callers_deadline_comes_first_if_it_is_shorter() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    server.probe.hang(true);
    let method = method("GetCompany");
    // tonic's client is not used, because it gives up by itself at that time.
    let call = server.post(&method.path).bearer(&secret).header("grpc-timeout", "50m");
    let call = call.header("content-type", "application/grpc-web+proto");
    let answer = call.body(frame(&method.encode(&json!({"id": "cmp_001"})))).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some("4")));
}

#[tokio::test]
async fn expired_and_revoked_keys_are_told_so_with_a_challenge() {
    use customer_settings_server::{catalog::access::Task, clock::Clock};
    let server = Server::demo().await;
    let expires_time = Some(server.clock.now().plus_seconds(60));
    let expired = server.key(KeyDraft { expires_time, ..everything() }).await;
    server.clock.advance(std::time::Duration::from_secs(60));
    let (key, revoked) = server.issue(everything()).await;
    server.services.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    for (secret, reason, part) in
        [(expired, "KEY_EXPIRED", "has expired"), (revoked, "KEY_REVOKED", "was revoked")]
    {
        let refusal = server.refusal(&secret, "ListCompanies", json!({})).await;
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unauthenticated, reason));
        assert!(refusal.message.contains(part), "{}", refusal.message);
        assert!(refusal.header("www-authenticate").is_some());
    }
}
