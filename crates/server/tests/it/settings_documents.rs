//! Settings as documents at the wire: plans, their application, exports.

use serde_json::{Value, json};
use tonic::Code;

use crate::harness::*;

const PLAN: &str = "PlanSettings";
const APPLY: &str = "ApplySettings";
const EXPORT: &str = "ExportSettings";
const TAGS: &str = "/admin/v1/companies/cmp_001/customer_tags";

/// A document about the demo's first company.
fn about(rest: Value) -> Value {
    let mut company = json!({"id": "cmp_001"});
    company.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({"companies": [company]})
}

fn steps(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = plan["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let fields = step["fields"].as_array().unwrap().iter();
            let fields: Vec<String> = fields
                .map(|f| {
                    format!("{} {}>{}", text(&f["field"]), text(&f["before"]), text(&f["after"]))
                })
                .collect();
            format!("{} {} {}", text(&step["action"]), text(&step["id"]), fields.join(" "))
        })
        .collect()
}

async fn plan(server: &Server, secret: &str, request: Value) -> Value {
    let answer = server.answer(secret, PLAN, request).await;
    assert_eq!(answer["nextPageToken"], "");
    answer["plans"].as_array().unwrap().first().unwrap().clone()
}

/// Changes the demo's first tag.
async fn change(server: &Server, secret: &str, patch: Value) {
    let call = server.call("PATCH", &format!("{TAGS}/tag_001")).bearer(secret);
    let answer = call.body(patch.to_string()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_plan_is_applied_as_it_was_shown() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let document = about(json!({"customerTags": [
        {"name": "VIP", "was": ["VIP Customer"], "color": "#fff"},
        {"id": "tag_new", "name": "New"},
    ]}));
    let planned = plan(&server, &secret, json!({"document": document})).await;
    assert_eq!(
        steps(&planned),
        ["RENAME tag_001 name VIP Customer>VIP color >#FFFFFF", "CREATE tag_new name >New",]
    );
    assert_eq!(planned["counts"]["renamed"], 1);
    assert_eq!(planned["steps"][1]["path"], "customer_tags[1]");
    // Others change what is not shown.
    change(&server, &secret, json!({"description": "By name"})).await;
    let digests = json!({"cmp_001": planned["digest"]});
    let apply = json!({"document": document, "digests": digests});
    let applied = server.grpc_as(&secret, APPLY, apply).await.unwrap();
    assert_eq!(applied["results"][0]["counts"]["renamed"], 1);
    assert_eq!(applied["results"][0]["revision"], "3");
    let again = plan(&server, &secret, json!({"document": document})).await;
    assert_eq!((steps(&again).len(), &again["warnings"][0]["reason"]), (0, &json!("WAS_UNUSED")));
}

#[tokio::test]
async fn a_plan_that_changed_is_refused_with_what_differs_and_by_whom() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let document =
        about(json!({"customerTags": [{"id": "tag_001", "name": "VIP", "color": "#fff"}]}));
    let planned = plan(&server, &secret, json!({"document": document})).await;
    change(&server, &secret, json!({"description": "Not shown"})).await;
    let staff = server.call("PATCH", &format!("{TAGS}/tag_001")).bearer(&secret);
    let staff = staff.header("settings-staff-id", "staff_7").body(r##"{"color":"#000"}"##);
    assert_eq!(staff.send().await.status, 200);
    let digests = json!({"cmp_001": planned["digest"]});
    let request = json!({"document": document, "digests": digests});
    let refused = server.refusal(&secret, APPLY, request).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "PLAN_CHANGED"));
    for part in [
        "the plan for company cmp_001",
        "revision 3 by \"test\" (staff_7)",
        "rename customer_tags/tag_001 \"VIP\" (name, color)",
        "1 renamed",
        "nothing was written",
    ] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
    assert!(!refused.message.contains("revision 2"), "{}", refused.message);
}

/// Sends a change as a staff member.
async fn send_as(server: &Server, secret: &str, staff: &str, path: &str, body: Value) {
    let call = server.post(path).bearer(secret).header("settings-staff-id", staff);
    let answer = call.body(body.to_string()).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_plan_that_would_be_refused_by_now_has_changed() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let tag = about(json!({"customerTags": [{"id": "tag_f", "name": "Fresh"}]}));
    let place = about(json!({"businesses": [{"id": "shop_1", "name": "Shop"}]}));
    let company = json!({"companies": [{"id": "cmp_9", "name": "Nine", "customerTags": [{"id": "t", "name": "T"}]}]});
    let mut requests = vec![];
    for document in [&tag, &place, &company] {
        let planned = plan(&server, &secret, json!({"document": document})).await;
        let id = planned["companyId"].as_str().unwrap().to_owned();
        requests.push(json!({"document": document, "digests": {id: planned["digest"]}}));
    }
    change(&server, &secret, json!({"description": "Not shown"})).await;
    send_as(
        &server,
        &secret,
        "staff_7",
        &format!("{TAGS}?entryId=other"),
        json!({"name": "fresh"}),
    )
    .await;
    change(&server, &secret, json!({"description": "Nor this"})).await;
    let places = "/admin/v1/companies/cmp_002/businesses?businessId=shop_1";
    send_as(&server, &secret, "staff_7", places, json!({"name": "Other"})).await;
    send_as(
        &server,
        &secret,
        "staff_8",
        "/admin/v1/companies?companyId=cmp_9",
        json!({"name": "Other"}),
    )
    .await;
    for (request, parts) in [
        (
            &requests[0],
            vec!["revision 3 by \"test\" (staff_7)", "\"Fresh\" is taken", "it would be refused"],
        ),
        (&requests[1], vec!["shop_1 is taken", "it would be refused"]),
        (&requests[2], vec!["revision 1 by \"test\" (staff_8)", "rename", "\"Nine\""]),
    ] {
        let refused = server.refusal(&secret, APPLY, request.clone()).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "PLAN_CHANGED"));
        for part in parts.into_iter().chain(["nothing was written"]) {
            assert!(refused.message.contains(part), "{part}: {}", refused.message);
        }
        assert!(!refused.message.contains("revision 2"), "{}", refused.message);
    }
    // Without a plan that was once good, it is refused for what it is.
    for digests in [json!({}), json!({"cmp_001": "0".repeat(64)})] {
        let request = json!({"document": tag, "digests": digests});
        assert_eq!(server.refusal(&secret, APPLY, request).await.reason, "INVALID_FIELD");
    }
}

#[tokio::test]
async fn nothing_is_written_if_one_company_is_refused() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let at = "document.companies[1].customer_tags";
    let document = |tags: Value| {
        json!({"companies": [
            {"id": "cmp_001", "name": "Other"},
            {"id": "cmp_002", "customerTags": tags},
        ]})
    };
    // Values that are wrong by themselves are refused before anything is planned.
    let wrong = document(json!([{"name": "A"}, {"name": " "}, {"id": "no id", "name": "B"}]));
    for method in [PLAN, APPLY] {
        let refused = server.refusal(&secret, method, json!({"document": wrong})).await;
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields, [format!("{at}[1].name"), format!("{at}[2].id")]);
    }
    let document = document(json!([{"id": "a", "name": "A"}, {"id": "b", "name": "A"}]));
    let refused = server.refusal(&secret, APPLY, json!({"document": document})).await;
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.fields, [format!("{at}[1].name")]);
    let answer = server.get("/admin/v1/companies/cmp_001").bearer(&secret).send().await;
    assert_eq!(answer.json()["revision"], "1");
    // A plan shows the others.
    let answer = server.answer(&secret, PLAN, json!({"document": document})).await;
    assert_eq!(steps(&answer["plans"][0]).len(), 1);
    let error = &answer["plans"][1]["error"];
    assert_eq!((&error["code"], &error["reason"]), (&json!(3), &json!("INVALID_FIELD")));
    assert_eq!(error["violations"][0]["field"], "customer_tags[1].name");
}

#[tokio::test]
async fn a_company_or_location_that_the_document_names_twice_is_refused() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let paws = "Happy Paws Pet Care";
    let at_place =
        |id: &str| json!({"id": id, "name": id, "businesses": [{"id": "shop_1", "name": "Shop"}]});
    for (companies, field, description) in [
        (
            json!([{"id": "cmp_001"}, {"id": "cmp_002"}, {"id": "cmp_001", "country": "CA"}]),
            "companies[2].id",
            "names the company cmp_001 again, as document.companies[0] did",
        ),
        (
            json!([{"id": "cmp_001"}, {"name": paws.to_uppercase()}]),
            "companies[1].id",
            "names the company cmp_001 again, as document.companies[0] did",
        ),
        (
            json!([{"name": "Twin"}, {"name": "tw\u{200b}in"}]),
            "companies[1].name",
            "give both an id",
        ),
        (
            json!([{"id": "new", "name": "Twin"}, {"name": "twin"}]),
            "companies[1].name",
            "give both an id",
        ),
        (
            json!([{"name": "twin"}, {"id": "new", "name": "Twin"}]),
            "companies[1].name",
            "give both an id",
        ),
        (
            json!([{"id": "p3", "name": "P3"}, at_place("p1"), at_place("p2")]),
            "companies[2].businesses[0].id",
            "names the location shop_1 again, as document.companies[1] did",
        ),
    ] {
        let document = json!({"companies": companies});
        for method in [PLAN, APPLY] {
            let request = json!({"document": document});
            let refused = server.refusal(&secret, method, request).await;
            assert_eq!(refused.code, Code::InvalidArgument, "{document}");
            assert_eq!(refused.fields, [format!("document.{field}")], "{document}");
            let is_told = refused.message.to_lowercase().contains(&description.to_lowercase());
            assert!(is_told, "{}", refused.message);
        }
    }
    let answer = server.get("/admin/v1/companies").bearer(&secret).send().await.json();
    assert_eq!(answer["companies"].as_array().unwrap().len(), 2, "nothing was written: {answer}");
    // Two companies with ids may have one name.
    let twins = json!({"companies": [{"id": "t1", "name": "Twin"}, {"id": "t2", "name": "Twin"}]});
    server.grpc_as(&secret, APPLY, json!({"document": twins})).await.unwrap();
}

#[tokio::test]
async fn companies_and_audit_need_scopes_of_their_own() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "settings:write", "companies:read"];
    let (reader, writer) = (server.any_key().await, server.key(with_scopes(&scopes)).await);
    let tags = about(json!({"customerTags": [{"id": "tag_001", "name": "VIP"}]}));
    let company =
        about(json!({"name": "Other", "customerTags": [{"id": "tag_001", "name": "VIP"}]}));
    let business = about(json!({"businesses": [{"id": "biz_001", "name": "Other"}]}));
    let audit =
        about(json!({"customerTags": [{"id": "tag_001", "name": "VIP", "createdBy": "staff_1"}]}));
    let why = "of company cmp_001, the document ";
    for (document, scope, what) in [
        (&company, "companies:write", "changes the company"),
        (&business, "companies:write", "changes businesses/biz_001"),
        (
            &audit,
            "sources:write",
            "gives other authors or times than there are to customer_tags/tag_001",
        ),
    ] {
        let refused = server.refusal(&writer, APPLY, json!({"document": document})).await;
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::PermissionDenied, "MISSING_SCOPE")
        );
        assert!(refused.message.contains(scope), "{}", refused.message);
        assert!(refused.message.contains(&format!("{why}{what}")), "{}", refused.message);
    }
    server.grpc_as(&writer, APPLY, json!({"document": tags})).await.unwrap();
    server.grpc_as(&reader, APPLY, json!({"document": audit})).await.unwrap();
    let tag = server.get(&format!("{TAGS}/tag_001")).bearer(&reader).send().await.json();
    assert_eq!(tag["createdBy"], "staff_1");
}

#[tokio::test]
async fn a_time_with_more_digits_than_are_stored_is_refused_as_in_files() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (time, is_refused) in [
        ("2023-01-01T10:00:00.123456Z", false),
        ("2023-01-01T10:00:00.123456000Z", false),
        ("2023-01-01T10:00:00.123456700Z", true),
    ] {
        for field in ["createdTime", "lastUpdatedTime"] {
            let tag = json!({"id": "tag_001", "name": "VIP", field: time});
            let document = json!({"companies": [{"id": "cmp_001", "customerTags": [tag]}]});
            for path in ["plan", "apply"] {
                let call = server.post(&format!("/admin/v1/settings:{path}")).bearer(&secret);
                let body = json!({"document": document});
                let answer = call.body(body.to_string()).send().await;
                let told = answer.text();
                assert_eq!(
                    told.contains("at most six digits"),
                    is_refused,
                    "{path} {time}: {told}"
                );
                assert_eq!(told.contains("MALFORMED_TIME"), is_refused, "{path} {time}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn stored_authors_and_times_need_no_scope() {
    let server = Server::demo().await;
    let (all, writer) =
        (server.any_key().await, server.key(with_scopes(&["settings:write"])).await);
    let reader = server.key(with_scopes(&["settings:read", "companies:read"])).await;
    let request = json!({"withIds": true, "withAudit": true});
    let document = server.answer(&reader, EXPORT, request).await["document"].clone();
    let request = json!({"document": document});
    let planned = server.answer(&reader, PLAN, request.clone()).await;
    assert!(planned["plans"].as_array().unwrap().iter().all(|plan| steps(plan).is_empty()));
    server.answer(&writer, APPLY, request.clone()).await;
    // The document's author and time are others than those of this change, which a plan shows to everybody.
    change(&server, &all, json!({"color": "#123456"})).await;
    let planned = server.answer(&reader, PLAN, request.clone()).await;
    let fields = planned["plans"][0]["steps"][0]["fields"].as_array().unwrap();
    assert!(fields.iter().any(|change| change["field"] == "last_updated_time"), "{fields:?}");
    let refused = server.refusal(&writer, APPLY, request.clone()).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "MISSING_SCOPE"));
    for part in ["sources:write", "cmp_001", "customer_tags/tag_001:", "export --without audit"] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
    server.grpc_as(&all, APPLY, request).await.unwrap();
}

#[tokio::test]
async fn a_key_reaches_the_companies_that_it_covers_alone() {
    let server = Server::demo().await;
    let secret = server.key(covering(&["cmp_002", "cmp_404"])).await;
    for (document, reason) in [
        (json!({"companies": [{"id": "cmp_001", "name": "Other"}]}), "NOT_COVERED"),
        (json!({"companies": [{"id": "cmp_404", "name": "Other"}]}), "NOT_COVERING_ALL"),
        (json!({"companies": [{"name": "Happy Paws Pet Care"}]}), "NOT_COVERING_ALL"),
    ] {
        let refused = server.refusal(&secret, APPLY, json!({"document": document})).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, reason));
        let refused = server.refusal(&secret, PLAN, json!({"document": document})).await;
        assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, reason));
    }
    let exported = server.answer(&secret, EXPORT, json!({})).await;
    let companies = exported["document"]["companies"].as_array().unwrap();
    assert_eq!(
        companies.iter().map(|c| c["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["cmp_002"]
    );
    let refused = server.refusal(&secret, EXPORT, json!({"companyIds": ["cmp_001"]})).await;
    assert_eq!(refused.reason, "NOT_COVERED");
}

#[tokio::test]
async fn a_stated_catalog_is_pruned_and_an_absent_one_is_not() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let prune = |document: Value, limit: u32| json!({"document": document, "prune": true, "pruneLimit": limit});
    let absent = plan(&server, &secret, prune(about(json!({})), 0)).await;
    assert_eq!(steps(&absent).len(), 0);
    let none = about(json!({"catalogs": ["customer_tags"]}));
    let refused = plan(&server, &secret, prune(none.clone(), 1)).await;
    assert_eq!(refused["error"]["violations"][0]["reason"], "PRUNE_LIMIT");
    let refused = server.refusal(&secret, APPLY, prune(none.clone(), 1)).await;
    assert_eq!(
        (&refused.fields[..], &refused.reasons[..]),
        (&["document.companies[0].customer_tags".to_owned()][..], &["PRUNE_LIMIT".to_owned()][..])
    );
    let allowed = plan(&server, &secret, prune(none, 2)).await;
    assert_eq!(
        steps(&allowed),
        ["ARCHIVE tag_001 state active>archived", "ARCHIVE tag_002 state active>archived"]
    );
    assert_eq!(allowed["steps"][0]["warnings"][0]["reason"], "PRUNED");
}

#[tokio::test]
async fn nothing_that_is_given_is_ignored() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let document = about(json!({}));
    for (request, field) in [
        (json!({}), "document"),
        (json!({"document": {"version": 2}}), "document.version"),
        (json!({"document": document, "pruneLimit": 1}), "prune_limit"),
        (json!({"document": document, "prune": true, "pruneLimit": 1001}), "prune_limit"),
        (json!({"document": document, "prune": true, "pruneLimit": -1}), "prune_limit"),
        (json!({"document": document, "ignore": ["order", "name"]}), "ignore[1]"),
        (
            json!({"document": about(json!({"catalogs": ["tags"]}))}),
            "document.companies[0].catalogs[0]",
        ),
    ] {
        for method in [PLAN, APPLY] {
            let refused = server.refusal(&secret, method, request.clone()).await;
            assert_eq!(refused.fields, [field], "{method} {request}");
        }
    }
    let digest = "0".repeat(64);
    for (digests, field) in [
        (json!({"cmp_001": "short"}), "digests[cmp_001]"),
        (json!({"cmp_001": digest, "cmp_002": digest}), "digests"),
        (json!({"cmp_002": digest}), "document.companies[0].id"),
    ] {
        let request = json!({"document": document, "digests": digests});
        let refused = server.refusal(&secret, APPLY, request).await;
        assert_eq!(refused.fields, [field], "{digests}");
    }
}

#[tokio::test]
async fn a_document_goes_on_where_it_stopped() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let mut first = about(
        json!({"customerTags": [{"id": "tag_002", "name": "VIP"}, {"id": "tag_001", "name": "Old"}]}),
    );
    let made = json!({"id": "made", "name": "Made", "customerTags": [{"id": "t", "name": "T"}]});
    first["companies"].as_array_mut().unwrap().push(made);
    let request = |document: &Value| json!({"document": document, "requestId": "go-1"});
    // A dry run makes no revision.
    let dry = json!({"document": first, "validateOnly": true});
    let dry = server.answer(&secret, APPLY, dry).await;
    assert_eq!(
        (&dry["results"][0]["revision"], &dry["results"][1]["counts"]["created"]),
        (&json!("0"), &json!(2))
    );
    let send = async |request: Value| {
        let call = server.post("/admin/v1/settings:apply").bearer(&secret);
        call.body(request.to_string()).send().await
    };
    let applied = send(request(&first)).await.json();
    assert_eq!(applied["results"][0]["revision"], "2");
    change(&server, &secret, json!({"name": "Changed since"})).await;
    // The same request is answered as the first time, and nothing is written again.
    let replayed = send(request(&first)).await.json();
    assert_eq!(replayed, applied);
    let counts = |i: usize| &applied["results"][i]["counts"];
    assert_eq!((&counts(0)["renamed"], &counts(1)["created"]), (&json!(2), &json!(2)));
    let tag = server.get(&format!("{TAGS}/tag_001")).bearer(&secret).send().await.json();
    assert_eq!(tag["name"], "Changed since");
    let other = about(json!({"name": "Another document"}));
    let refused = send(request(&other)).await;
    assert_eq!(refused.refusal().reason, "REQUEST_ID_REUSED");
}

/// A company with everything that documents have.
const EVERYTHING: &str = "
companies:
- id: all
  name: Everything
  country: DE
  timezone: Europe/Berlin
  businesses:
  - {id: b1, name: Here, email: a@b.example, address: {city: Berlin, state: BE, latitude: 52.5, longitude: 13.4, type: primary}}
  - {id: b2, name: Gone, state: archived}
  customer_tags:
  - {id: t1, name: Same, color: '#123', description: \"Two\\nlines\"}
  - {id: t2, name: same, state: archived}
  - {id: t3, name: Same, state: archived, created_by: staff_1, created_time: 2023-01-01T10:00:00.000001Z}
  - {id: t4, name: '#1 = \"yes\"'}
  life_cycles:
  - {id: l1, name: One}
  - {id: l2, name: Two, is_default: true}
  action_statuses: []
- {id: away, name: Away, state: archived, referral_sources: [{id: r, name: 'Null'}]}
- {id: twin, name: Away}
";

/// Changes the company `all` in every way that leaves a trace.
async fn change_everything(server: &Server, secret: &str) {
    let tags = "/admin/v1/companies/all/customer_tags";
    for (method, path, body) in [
        ("PATCH", format!("{tags}/t1"), json!({"name": "Other", "color": ""})),
        ("POST", format!("{tags}/t4:archive"), json!({})),
        ("POST", format!("{tags}/t3:restore"), json!({})),
        ("POST", format!("{tags}?entryId=t5"), json!({"name": "\u{1f415} Dog"})),
        ("POST", format!("{tags}:reorder"), json!({"ids": ["t5", "t1", "t3"]})),
        (
            "POST",
            "/admin/v1/companies/all/life_cycles/l2:archive".to_owned(),
            json!({"successorId": "l1"}),
        ),
        ("PATCH", "/admin/v1/companies/all/businesses/b1".to_owned(), json!({"phone": "1"})),
    ] {
        let answer = server.call(method, &path).bearer(secret).body(body.to_string()).send().await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
}

async fn assert_exports_are_planned_to_nothing(server: &Server, secret: &str) {
    for (ids, audit) in [(false, false), (true, false), (true, true)] {
        let request = json!({"withIds": ids, "withAudit": audit});
        let exported = server.answer(secret, EXPORT, request).await;
        assert_eq!(exported["nextPageToken"], "");
        let document = &exported["document"];
        for prune in [false, true] {
            let request = json!({"document": document, "prune": prune});
            let answer = server.answer(secret, PLAN, request).await;
            for plan in answer["plans"].as_array().unwrap() {
                let found = (steps(plan), &plan["error"]);
                assert_eq!(found, (vec![], &Value::Null), "ids {ids}, audit {audit}: {document}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_exported_is_planned_to_nothing() {
    let vocabularies = ["grooming", "boarding", "daycare", "training"].map(|name| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vocabularies");
        let text = std::fs::read_to_string(format!("{folder}/{name}.yaml")).unwrap();
        text.replace("- id: my_company", "- id: my_company\n    name: Mine")
    });
    let documents = [DEMO, "companies: []", EVERYTHING].into_iter();
    for document in documents.chain(vocabularies.iter().map(String::as_str)) {
        let server = Server::of(document).await;
        let secret = server.any_key().await;
        assert_exports_are_planned_to_nothing(&server, &secret).await;
        if document == EVERYTHING {
            change_everything(&server, &secret).await;
            assert_exports_are_planned_to_nothing(&server, &secret).await;
        }
    }
}

#[tokio::test]
async fn long_plans_and_exports_come_in_pages() {
    let long = "x".repeat(400);
    let entries: Vec<Value> = (0..700)
        .map(|i| json!({"id": format!("t{i}"), "name": format!("T{i}"), "description": long}))
        .collect();
    let companies: Vec<Value> = (0..9)
        .map(|i| json!({"id": format!("c{i}"), "name": format!("C{i}"), "customer_tags": entries}))
        .collect();
    let server = Server::of(&json!({"companies": companies}).to_string()).await;
    let secret = server.any_key().await;
    let (mut ids, mut token, mut pages) = (vec![], String::new(), 0);
    loop {
        let request = json!({"withIds": true, "pageToken": token});
        let page = server.grpc_as(&secret, EXPORT, request).await.unwrap();
        let companies = page["document"]["companies"].as_array().unwrap();
        ids.extend(companies.iter().map(|company| company["id"].as_str().unwrap().to_owned()));
        pages += 1;
        page["nextPageToken"].as_str().unwrap().clone_into(&mut token);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, (0..9).map(|i| format!("c{i}")).collect::<Vec<_>>());
    assert!(pages > 1);
    // Archiving everything shows each entry.
    let document = |i: usize| json!({"id": format!("c{i}"), "catalogs": ["customer_tags"]});
    let document = json!({"companies": (0..9).map(document).collect::<Vec<_>>()});
    let (mut planned, mut pages, mut token) = (0, 0, String::new());
    loop {
        let request =
            json!({"document": document, "prune": true, "pruneLimit": 1000, "pageToken": token});
        let page = server.grpc_as(&secret, PLAN, request).await.unwrap();
        planned += page["counts"]["archived"].as_u64().unwrap();
        pages += 1;
        page["nextPageToken"].as_str().unwrap().clone_into(&mut token);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(planned, 9 * 700);
    assert!(pages >= 1, "{pages}");
}

#[tokio::test]
async fn an_export_names_each_company_once_and_tells_all_that_is_wrong() {
    let server = Server::of("companies: [{id: c, name: C}, {id: d, name: D}]").await;
    let secret = server.any_key().await;
    let request = json!({"companyIds": ["c", "d", "c", "a b", "d"]});
    let refused = server.grpc_as(&secret, EXPORT, request).await.unwrap_err();
    let refused = Refusal::of_status(&refused);
    assert_eq!(refused.fields, ["company_ids[2]", "company_ids[3]", "company_ids[4]"]);
    assert_eq!(refused.reasons, ["DUPLICATE", "MALFORMED_ID", "DUPLICATE"]);
}

also_on_postgres! {
    a_plan_is_applied_as_it_was_shown,
    what_is_exported_is_planned_to_nothing,
    a_document_goes_on_where_it_stopped,
}
