//! Companies that come from a system outside: what a mirror's source owns, in the core and at the wire.

use customer_settings_server::{
    catalog::{change::LoadOptions, error::Error},
    service::document,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{console::Browser, harness::*, plan::Company};

const APPLY: &str = "ApplySettings";
const PLAN: &str = "PlanSettings";
const COMPANY: &str = "/admin/v1/companies/cmp_001";

fn of_source() -> LoadOptions {
    LoadOptions { is_of_source: true, ..Default::default() }
}

/// A company with a source in that mode.
fn company(mode: &str) -> Company {
    Company::with(&format!(
        "source: {{kind: moego, mode: {mode}}}, businesses: [{{id: here, name: Here}}], \
         customer_tags: [{{id: a, name: A}}, {{id: b, name: B}}, {{id: c, name: C}}, {{id: d, name: D, state: archived}}], \
         life_cycles: [{{id: x, name: X}}, {{id: y, name: Y}}], action_statuses: [{{id: s, name: S}}]"
    ))
}

fn reason(company: &Company, rest: &str, options: &LoadOptions) -> Result<usize, (String, String)> {
    match company.plan(rest, options) {
        Ok(plan) => Ok(plan.line.deltas.len()),
        Err(error @ (Error::Precondition { .. } | Error::Mirrored(_))) => {
            Err((error.reason().to_owned(), error.to_string()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_the_source_of_a_mirror_owns_is_refused_to_others() {
    for (document, owned) in [
        ("name: Other", "company.name"),
        ("country: US", "company.country"),
        ("timezone: Europe/Berlin", "company.timezone"),
        ("state: archived", "company.state"),
        ("businesses: [{id: here, name: There}]", "businesses/here.name"),
        ("businesses: [{id: here, name: Here, email: a@b.example}]", "businesses/here.email"),
        ("businesses: [{id: new, name: New}]", "businesses"),
        ("customer_tags: [{id: a, name: Z}]", "customer_tags/a.name"),
        ("customer_tags: [{id: a, name: A, state: archived}]", "customer_tags/a.state"),
        (
            "customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: c, name: C}, {id: d, name: D, state: active}]",
            "customer_tags/d.state",
        ),
        (
            "customer_tags: [{id: a, name: A}, {id: b, name: B}, {id: c, name: C}, {id: d, name: D}, {id: e, name: E}]",
            "customer_tags;",
        ),
        ("customer_tags: [{id: b, name: B}]", "customer_tags/b.position, customer_tags/a.position"),
        ("customer_tags: [{id: a, name: A, created_by: me}]", "customer_tags/a;"),
        (
            "life_cycles: [{id: x, name: X}, {id: y, name: Y, is_default: true}]",
            "life_cycles/x.is_default",
        ),
        ("action_statuses: [{id: s, name: S, color: '#fff'}]", "action_statuses/s.color"),
    ] {
        let (reason, message) =
            reason(&company("mirror"), document, &LoadOptions::default()).unwrap_err();
        assert_eq!(reason, "MIRRORED", "{document}");
        let said = message.split_once("this belongs: ").unwrap().1;
        assert!(said.starts_with(owned), "{owned}: {message}");
        // The source itself may, and everybody may where there is no mirror.
        let changed = self::reason(&company("mirror"), document, &of_source());
        assert!(changed.unwrap() > 0, "{document}");
        let cut_over = self::reason(&company("cutover"), document, &LoadOptions::default());
        assert!(cut_over.unwrap() > 0, "{document}");
    }
}

#[test]
fn what_a_mirror_refuses_is_told_by_its_places_in_the_document() {
    for (document, expected) in [
        ("country: US", vec!["country"]),
        ("customer_tags: [{id: a, name: Z}]", vec!["customer_tags[0].name"]),
        ("customer_tags: [{name: A}, {name: B, state: archived}]", vec!["customer_tags[1].state"]),
        ("businesses: [{name: Here}, {name: New}]", vec!["businesses[1]"]),
        // The entries that the document does not name move too.
        ("customer_tags: [{id: b, name: B}]", vec!["customer_tags[0]", "customer_tags"]),
    ] {
        let refused = company("mirror").plan(document, &LoadOptions::default());
        let Err(Error::Mirrored(mirrored)) = refused else { panic!("{document}") };
        let places: Vec<&str> = mirrored.violations.iter().map(|one| &*one.field).collect();
        assert_eq!(places, expected, "{document}");
    }
}

#[test]
fn descriptions_and_colors_that_the_source_does_not_have_are_free() {
    for document in [
        "customer_tags: [{id: a, name: A, description: Hello, color: '#fff'}]",
        "life_cycles: [{id: x, name: X, color: '#fff'}]",
        "action_statuses: [{id: s, name: S, description: Hello}]",
        // The scope guards the source.
        "source: {kind: moego, mode: cutover}",
        "source: {}",
    ] {
        let changed = reason(&company("mirror"), document, &LoadOptions::default());
        assert_eq!(changed, Ok(1), "{document}");
    }
    let nothing = reason(&company("mirror"), "name: Paws", &LoadOptions::default());
    assert_eq!(nothing, Ok(0));
    let none = Company::with("customer_tags: [{id: a, name: A}]");
    assert_eq!(reason(&none, "source: {}", &LoadOptions::default()), Ok(0));
}

#[test]
fn the_end_of_a_mirror_beside_other_changes_says_what_to_do() {
    for (end, is_end) in [
        ("source: {}", true),
        ("source: {kind: moego, mode: cutover}", true),
        ("source: {kind: moego, mode: mirror}", false),
    ] {
        let document = format!("{end}, customer_tags: [{{id: a, name: Other}}]");
        let (reason, message) =
            reason(&company("mirror"), &document, &LoadOptions::default()).unwrap_err();
        assert_eq!(reason, "MIRRORED");
        assert_eq!(message.contains("apply the source alone first"), is_end, "{message}");
        assert_eq!(message.contains("mirror cutover"), !is_end, "{message}");
    }
}

#[test]
fn the_source_writes_no_company_that_is_not_its_own() {
    let renamed = reason(&company("cutover"), "name: Other", &of_source()).unwrap_err();
    assert_eq!(renamed.0, "CUT_OVER");
    assert_eq!(reason(&company("cutover"), "name: Paws", &of_source()), Ok(0));
    let none = Company::with("customer_tags: [{id: a, name: A}]");
    assert_eq!(reason(&none, "name: Other", &of_source()).unwrap_err().0, "NO_SOURCE");
    let taken = reason(&none, "source: {kind: moego, mode: mirror}, name: Other", &of_source());
    assert_eq!(taken, Ok(1));
}

/// Makes the demo's first company a mirror.
async fn mirrored(server: &Server, secret: &str, mode: &str) {
    let company = json!({"id": "cmp_001", "source": {"kind": "moego", "mode": mode}});
    let request = json!({"document": {"companies": [company]}});
    server.grpc_as(secret, APPLY, request).await.unwrap();
}

#[test]
fn a_former_name_and_a_time_that_are_none_are_named() {
    for (document, told) in [
        (
            "customer_tags: [{name: A, was: ''}]",
            "customer_tags[0].was must not be blank: leave it out",
        ),
        ("customer_tags: [{name: A, was: [B, ' ']}]", "customer_tags[0].was[1] must not be blank"),
        (
            "customer_tags: [{name: A, created_time: '2023-01-01T10:00:60Z'}]",
            "customer_tags[0].created_time must be a time",
        ),
        (
            "businesses: [{name: Here}, {name: here}]",
            "names the same location as businesses[0]: give the ids of both, or leave the locations out of the \
             document, as 'export --without businesses' does",
        ),
    ] {
        let text = format!("companies: [{{id: c, name: C, {document}}}]");
        let company = document::parse(&text).unwrap().next().unwrap();
        let mut problems: Vec<String> =
            company.problems.clone().told().iter().map(ToString::to_string).collect();
        if problems.is_empty() {
            let refused = Company::with("").plan(document, &LoadOptions::default());
            problems.push(refused.unwrap_err().to_string());
        }
        assert!(problems[0].contains(told), "{document}: {problems:?}");
    }
}

#[tokio::test]
async fn the_console_says_where_a_mirror_is_edited_and_offers_nothing_else() {
    let server = Server::demo().await;
    let (browser, secret) = (Browser::of(&server).await, server.any_key().await);
    let pages = [
        "",
        "/customer_tags",
        "/customer_tags/tag_001",
        "/action_statuses/as_001",
        "/locations",
        "/settings",
    ];
    let page = async |path: &str| browser.get(&format!("/console/c/cmp_001{path}")).await;
    let said = "This company is a mirror of MoeGo. Change it there";
    for path in pages {
        assert!(!page(path).await.text().contains(said), "{path}");
    }
    mirrored(&server, &secret, "MIRROR").await;
    for path in pages {
        let page = page(path).await;
        assert!(page.text().contains(said), "{path}: {}", page.text());
        for offered in
            ["/archive\"", "/order\"", "/add\"", "/sort\"", "name=\"country\"", "name=\"default\""]
        {
            assert!(!page.text().contains(offered), "{path} {offered}: {}", page.text());
        }
    }
    let tag = page("/customer_tags/tag_001").await;
    let (etag, request) = (Browser::hidden(&tag, "etag"), Browser::hidden(&tag, "request"));
    let fields = [
        ("etag", etag.as_str()),
        ("request", &request),
        ("name", "VIP Customer"),
        ("pick", "own"),
        ("own", "#123456"),
        ("description", "Ours"),
    ];
    let path = "/console/c/cmp_001/customer_tags/tag_001";
    let saved = browser.post(path, &fields).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    let renamed = fields.map(|(name, value)| (name, if name == "name" { "Other" } else { value }));
    let fresh = Browser::hidden(&page("/customer_tags/tag_001").await, "etag");
    let renamed = renamed.map(|(name, value)| match name {
        "etag" => (name, fresh.as_str()),
        "request" => (name, "another"),
        _ => (name, value),
    });
    let refused = browser.post(path, &renamed).await;
    assert!(refused.text().contains("belongs to the account"), "{}", refused.text());
    let status = page("/action_statuses/as_001").await;
    assert!(!status.text().contains("class=\"field palette\""), "{}", status.text());
    let fields = ["etag", "request", "name", "pick", "own"]
        .map(|name| (name, Browser::hidden(&status, name)));
    let mut fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("description", "Ours"));
    let saved = browser.post("/console/c/cmp_001/action_statuses/as_001", &fields).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    mirrored(&server, &secret, "CUTOVER").await;
    assert!(!page("").await.text().contains(said));
}

#[tokio::test]
async fn every_way_of_writing_respects_a_mirror() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    mirrored(&server, &secret, "MIRROR").await;
    let send = async |verb: &str, path: &str, body: Value| {
        let call = server.call(verb, &format!("{COMPANY}{path}")).bearer(&secret);
        call.body(body.to_string()).send().await
    };
    let writes = [
        ("PATCH", "", json!({"name": "Other"})),
        ("POST", ":archive", json!({})),
        ("POST", "/businesses", json!({"name": "New"})),
        ("PATCH", "/businesses/biz_001", json!({"email": "a@b.example"})),
        ("POST", "/businesses/biz_001:archive", json!({})),
        ("POST", "/customer_tags", json!({"name": "New"})),
        ("PATCH", "/customer_tags/tag_001", json!({"name": "Other"})),
        ("POST", "/customer_tags/tag_001:archive", json!({})),
        ("POST", "/customer_tags:reorder", json!({"ids": ["tag_002", "tag_001"]})),
        ("PATCH", "/action_statuses/as_001", json!({"color": "#000000"})),
        ("POST", ":rollback", json!({"revision": "1"})),
    ];
    for (verb, path, body) in &writes {
        let answer = send(verb, path, body.clone()).await;
        if *path == ":rollback" {
            // The roll back takes the source itself back, and nothing else.
            assert_eq!(answer.status, 200, "{}", answer.text());
            mirrored(&server, &secret, "MIRROR").await;
            continue;
        }
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let refusal = answer.refusal();
        assert_eq!(refusal.reason, "MIRRORED", "{path}");
        assert!(refusal.message.contains("change it at MoeGo"), "{}", refusal.message);
        let [company, source] = ["company_id", "source"].map(|name| refusal.facts[name].as_str());
        assert_eq!((company, source), ("cmp_001", "moego"), "{path}");
        let first = refusal.message.split_once("this belongs: ").unwrap().1;
        let fields = &refusal.facts["fields"];
        assert!(first.starts_with(fields.split(',').next().unwrap()), "{path}: {fields}");
        // An id that was made for a refused change leads nowhere.
        if body == &json!({"name": "New"}) {
            assert_eq!(fields, &path[1..], "{path}");
        }
    }
    let tag = async || server.get(&format!("{COMPANY}/customer_tags/tag_001")).bearer(&secret);
    let before = tag().await.send().await.json();
    let free = send("PATCH", "/customer_tags/tag_001", json!({"color": "#000000"})).await;
    assert_eq!(free.status, 200, "{}", free.text());
    let after = tag().await.send().await.json();
    assert_eq!(after["color"], "#000000");
    assert_ne!(after["etag"], before["etag"]);
    // They are those of the source.
    for field in ["lastUpdatedBy", "lastUpdatedTime"] {
        assert_eq!(after[field], before[field]);
    }
    mirrored(&server, &secret, "CUTOVER").await;
    let (verb, path, body) = &writes[0];
    assert_eq!(send(verb, path, body.clone()).await.status, 200);
    let company = server.get(COMPANY).bearer(&secret).send().await.json();
    assert_eq!(company["source"], json!({"kind": "moego", "mode": "CUTOVER"}));
}

#[tokio::test]
async fn an_archived_entry_of_a_mirror_may_be_deleted_and_come_back() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let old = json!([{"id": "old", "name": "Old", "state": "ARCHIVED"}]);
    let document = json!({"companies": [{"id": "cmp_001", "customer_tags": old}]});
    server.grpc_as(&secret, APPLY, json!({"document": document})).await.unwrap();
    mirrored(&server, &secret, "MIRROR").await;
    let send = async |verb: &str, path: &str| {
        let call = server.call(verb, &format!("{COMPANY}{path}")).bearer(&secret);
        let answer = call.body("{}").send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        server.get(COMPANY).bearer(&secret).send().await.json()["revision"].clone()
    };
    let deleted = send("DELETE", "/customer_tags/old").await;
    send("POST", &format!("/changes/{}:undo", deleted.as_str().unwrap())).await;
    send("DELETE", "/customer_tags/old").await;
}

#[tokio::test]
async fn an_empty_value_of_a_document_takes_the_place_of_the_one_that_is_stored() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let address = json!({"city": "Boston", "country": "US"});
    let full = json!({
        "id": "cmp_001", "country": "US", "timezone": "UTC",
        "businesses": [{"id": "biz_001", "name": "Here", "website": "https://a.example", "address": address}],
    });
    let empty = json!({
        "id": "cmp_001", "country": "", "timezone": "",
        "businesses": [{"id": "biz_001", "name": "Here", "website": "", "address": {}}],
    });
    for document in [&full, &empty, &full] {
        let request = json!({"document": {"companies": [document]}});
        server.grpc_as(&secret, APPLY, request.clone()).await.unwrap();
        let again = server.answer(&secret, PLAN, request).await;
        assert_eq!(again["plans"][0]["steps"], json!([]), "{document}");
        let is_full = document == &full;
        let company = server.get(COMPANY).bearer(&secret).send().await.json();
        assert_eq!(company["country"], if is_full { "US" } else { "" });
        assert_eq!(company["timezone"].is_object(), is_full, "{company}");
        let place = server.get(&format!("{COMPANY}/businesses/biz_001"));
        let place = place.bearer(&secret).send().await.json();
        assert_eq!(place["address"].is_object(), is_full, "{place}");
        let export = server.answer(&secret, "ExportSettings", json!({"company_ids": ["cmp_001"]}));
        let row = &export.await["document"]["companies"][0];
        let places = row["businesses"].as_array().unwrap();
        let place = places.iter().find(|place| place["name"] == "Here").unwrap();
        let has = [row.get("country").is_some(), place["address"].is_object()];
        assert_eq!(has, [is_full; 2], "{row}");
    }
}

#[tokio::test]
async fn sources_need_a_scope_of_their_own() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "settings:write", "companies:read", "companies:write"];
    let (all, writer) = (server.any_key().await, server.key(with_scopes(&scopes)).await);
    let source = |mode: &str| json!({"id": "cmp_001", "source": {"kind": "moego", "mode": mode}});
    let document = json!({"companies": [source("MIRROR")]});
    let tag = json!({"id": "cmp_001", "customer_tags": [{"id": "tag_001", "name": "Other"}]});
    mirrored(&server, &all, "MIRROR").await;
    // A document with the source that the company has changes nothing, as an export has it.
    server.grpc_as(&writer, APPLY, json!({"document": document})).await.unwrap();
    for request in [
        json!({"document": {"companies": [source("CUTOVER")]}}),
        json!({"document": {"companies": [tag.clone()]}, "as_source": true}),
        json!({"document": {"companies": [{"id": "c", "name": "C", "source": source("MIRROR")["source"]}]}}),
    ] {
        let refused = server.refusal(&writer, APPLY, request.clone()).await;
        assert_eq!(refused.code, Code::PermissionDenied, "{request}");
        assert!(refused.message.contains("sources:write"), "{}", refused.message);
    }
    let undo = server.post(&format!("{COMPANY}/changes/2:undo")).bearer(&writer);
    let refused = undo.body("{}").send().await.refusal();
    assert!(refused.message.contains("sources:write"), "{}", refused.message);
    let request = json!({"document": {"companies": [tag]}});
    let plan = server.answer(&all, PLAN, request.clone()).await;
    let error = &plan["plans"][0]["error"];
    assert_eq!(error["reason"], "MIRRORED");
    let violation = &error["violations"][0];
    assert_eq!(
        (&violation["field"], &violation["reason"]),
        (&json!("customer_tags[0].name"), &error["reason"])
    );
    let mut request = request;
    request["as_source"] = json!(true);
    server.grpc_as(&all, APPLY, request).await.unwrap();
}

#[tokio::test]
async fn an_export_has_the_source_and_a_copy_has_none() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    mirrored(&server, &secret, "MIRROR").await;
    for (with_ids, source) in
        [(true, json!({"kind": "moego", "mode": "MIRROR"})), (false, Value::Null)]
    {
        let request = json!({"companyIds": ["cmp_001"], "withIds": with_ids});
        let exported = server.answer(&secret, "ExportSettings", request).await;
        assert_eq!(exported["document"]["companies"][0]["source"], source);
    }
}

#[tokio::test]
async fn an_empty_source_removes_the_stored_one_as_the_plan_shows() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    mirrored(&server, &secret, "MIRROR").await;
    let removal = json!({"document": {"companies": [{"id": "cmp_001", "source": {}}]}});
    let plan = server.answer(&secret, PLAN, removal.clone()).await["plans"][0].clone();
    let step = &plan["steps"][0];
    assert_eq!((&step["action"], &step["collection"]), (&json!("UPDATE"), &json!("companies")));
    let field = json!({"field": "source", "before": "moego mirror", "after": ""});
    assert_eq!(step["fields"], json!([field]));
    let scopes = ["settings:read", "settings:write", "companies:read", "companies:write"];
    let writer = server.key(with_scopes(&scopes)).await;
    let refused = server.refusal(&writer, APPLY, removal.clone()).await;
    assert!(refused.message.contains("sources:write"), "{}", refused.message);
    let mut shown = removal.clone();
    shown["digests"] = json!({"cmp_001": plan["digest"]});
    server.grpc_as(&secret, APPLY, shown).await.unwrap();
    let company = server.get(COMPANY).bearer(&secret).send().await.json();
    assert_eq!(company.get("source"), None);
    let request = json!({"withIds": true, "withAudit": true});
    let export = server.answer(&secret, "ExportSettings", request).await;
    for document in [&removal["document"], &export["document"]] {
        let plan = server.answer(&secret, PLAN, json!({"document": document})).await;
        let steps = plan["plans"].as_array().unwrap().iter().map(|plan| &plan["steps"]);
        assert!(steps.clone().count() > 0);
        assert!(steps.clone().all(|steps| *steps == json!([])), "{plan}");
    }
}

#[tokio::test]
async fn a_source_without_its_parts_is_refused() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (source, field) in [
        (json!({"mode": "MIRROR"}), "source.kind"),
        (json!({"kind": "other", "mode": "MIRROR"}), "source.kind"),
    ] {
        let document = json!({"companies": [{"id": "cmp_001", "source": source}]});
        let refused = server.refusal(&secret, PLAN, json!({"document": document})).await;
        assert_eq!(refused.fields[0], format!("document.companies[0].{field}"));
    }
}

const REPORT: &str = "ReportSourceCheck";
const GET: &str = "customersettings.v1.CompanyService/GetCompany";
const LIST: &str = "customersettings.v1.CompanyService/ListCompanies";

#[tokio::test]
async fn a_comparison_is_shown_at_the_company_and_is_no_change_of_it() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    mirrored(&server, &secret, "MIRROR").await;
    let company = || server.answer(&secret, GET, json!({"companyId": "cmp_001"}));
    let before = company().await;
    assert_eq!(before["source"], json!({"kind": "moego", "mode": "MIRROR"}));
    let held = "customer_tags:1a2b";
    let mut last = String::new();
    for (report, result, problems, held_back) in [
        (json!({}), "AGREES", "", ""),
        (json!({"changed": true}), "CHANGED", "", ""),
        (
            json!({"problems": "a list lost much", "heldBack": held}),
            "LEFT_ALONE",
            "a list lost much",
            held,
        ),
        // An answer that was none says nothing about the list.
        (json!({"problems": "was not read"}), "LEFT_ALONE", "was not read", held),
        (
            json!({"changed": true, "problems": "in part", "heldBack": held}),
            "LEFT_ALONE",
            "in part",
            held,
        ),
        (json!({"changed": true, "heldBack": ""}), "CHANGED", "", ""),
    ] {
        let mut request = report;
        request["companyId"] = json!("cmp_001");
        let shown = company().await;
        request["validateOnly"] = json!(true);
        let mut tried = server.grpc_as(&secret, REPORT, request.clone()).await.unwrap();
        assert_eq!(company().await, shown, "a dry run writes nothing");
        request["validateOnly"] = json!(false);
        let path = format!("{COMPANY}/source:check");
        let sent = server.post(&path).bearer(&secret).body(request.to_string()).send().await;
        let expected = sent.json();
        assert!(tried["checkedTime"].as_str().unwrap() > last.as_str());
        last = expected["checkedTime"].as_str().unwrap().to_owned();
        tried["checkedTime"] = json!(last);
        assert_eq!(tried, expected);
        let words = json!({
            "checkedTime": last, "result": result, "problems": problems, "heldBack": held_back,
        });
        assert_eq!(expected, words);
        let mut after = company().await;
        let listed = server.answer(&secret, LIST, json!({})).await;
        let of_list = |id: &str| {
            let companies = listed["companies"].as_array().unwrap();
            companies.iter().find(|one| one["id"] == id).unwrap()["source"].clone()
        };
        assert_eq!(of_list("cmp_001"), after["source"]);
        assert_eq!(of_list("cmp_002"), Value::Null);
        let check = after["source"].as_object_mut().unwrap().remove("lastCheck");
        assert_eq!(check, Some(expected));
        assert_eq!(after, before, "with its revision and its etag");
    }
    let revision = before["revision"].clone();
    let old = json!({"companyId": "cmp_001", "revision": revision});
    assert_eq!(server.answer(&secret, GET, old).await["source"], before["source"]);
}

#[tokio::test]
async fn a_comparison_needs_a_source() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for validate_only in [true, false] {
        let request = json!({"companyId": "cmp_001", "validateOnly": validate_only});
        assert_eq!(server.refusal(&secret, REPORT, request).await.reason, "NO_SOURCE");
    }
    let request = json!({"companyId": "cmp_404"});
    assert_eq!(server.refusal(&secret, REPORT, request).await.code, Code::NotFound);
    mirrored(&server, &secret, "CUTOVER").await;
    server.grpc_as(&secret, REPORT, json!({"companyId": "cmp_001"})).await.unwrap();
}

#[tokio::test]
async fn a_company_is_shown_without_a_comparison_that_cannot_be_read() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    mirrored(&server, &secret, "MIRROR").await;
    server.grpc_as(&secret, REPORT, json!({"companyId": "cmp_001"})).await.unwrap();
    let company = || server.answer(&secret, GET, json!({"companyId": "cmp_001"}));
    let whole = company().await;
    assert_eq!(whole["source"]["lastCheck"]["result"], "AGREES");
    server.probe.fail(true);
    let mut expected = whole.clone();
    expected["source"].as_object_mut().unwrap().remove("lastCheck");
    assert_eq!(company().await, expected);
    // Once the store is known not to answer, nothing waits for it.
    server.clock.advance(std::time::Duration::from_secs(5));
    let looked_up = server.probe.calls("source_checks");
    let answer = server.get(COMPANY).bearer(&secret).send().await;
    assert!(answer.header("settings-stale").is_some() && answer.json() == expected);
    assert_eq!(server.probe.calls("source_checks"), looked_up);
    server.probe.fail(false);
    // Companies without a source cost no look-up.
    let looked_up = server.probe.calls("source_checks");
    server.answer(&secret, GET, json!({"companyId": "cmp_002"})).await;
    assert_eq!(server.probe.calls("source_checks"), looked_up);

    let data = server.stop().await;
    data.tamper("UPDATE source_checks SET problems = 'a\nb'").await;
    let server = Server::reopened(data).await;
    assert_eq!(server.answer(&secret, GET, json!({"companyId": "cmp_001"})).await, expected);
    let verified = server.services.verify.verify(|_| ()).await.unwrap();
    let found: Vec<_> = verified.findings.iter().map(|one| (&*one.of, &*one.what)).collect();
    let [(of, what)] = found[..] else { panic!("{found:?}") };
    assert_eq!(of, "cmp_001");
    assert!(what.starts_with("its last comparison with its source cannot be read"), "{what}");
}

also_on_postgres! {
    a_comparison_is_shown_at_the_company_and_is_no_change_of_it,
    a_company_is_shown_without_a_comparison_that_cannot_be_read,
    an_empty_source_removes_the_stored_one_as_the_plan_shows,
    every_way_of_writing_respects_a_mirror,
    sources_need_a_scope_of_their_own,
}
