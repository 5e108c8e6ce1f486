//! Refusals of requests with documents: each names all that is wrong, in the document and beside it.

use customer_settings_server::service::load::Outcome;
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_refusal_of_a_document_names_the_wrong_values_beside_it_too() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let document = json!({
        "version": 3,
        "companies": [
            {"id": "cmp_001", "country": "Xx", "catalogs": ["tags", "customer_tags"], "customerTags": [
                {"name": "A", "color": "red"},
                {"name": "B", "createdTime": "2023-01-01T10:00:00.123456789Z"},
            ]},
            {"id": "a b"},
        ],
    });
    let within = [
        "document.version",
        "document.companies[0].customer_tags[1].created_time",
        "document.companies[0].catalogs[0]",
        "document.companies[0].country",
        "document.companies[0].customer_tags[0].color",
        "document.companies[1].id",
    ];
    let rest = json!({"document": document, "pruneLimit": 2000, "ignore": ["x"]});
    let with = |more: serde_json::Value| {
        let mut request = rest.clone();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let cases = [
        ("PlanSettings", json!({"pageToken": "?"}), vec!["page_token", "prune_limit", "ignore[0]"]),
        (
            "ApplySettings",
            json!({"requestId": "é", "digests": {"cmp_1": "zz"}}),
            vec!["request_id", "prune_limit", "ignore[0]", "digests[cmp_1]"],
        ),
    ];
    for (method, more, beside) in cases {
        let refused = server.refusal(&secret, method, with(more)).await;
        assert_eq!(refused.fields, [&within[..], &beside].concat(), "{method}");
    }
    let digests = json!({"digests": {"cmp_1": "zz"}, "requestId": "é"});
    let refused = server.refusal(&secret, "ApplySettings", digests).await;
    assert_eq!(refused.fields, ["document", "request_id", "digests[cmp_1]"]);
    let export = json!({"companyIds": ["a b"], "pageToken": "?"});
    let refused = server.refusal(&secret, "ExportSettings", export).await;
    assert_eq!(refused.fields, ["company_ids[0]", "page_token"]);
}

#[tokio::test]
async fn a_load_tells_what_is_wrong_beside_the_companies_and_in_them_and_writes_nothing() {
    let server = Server::demo().await;
    let document = "versoin: 1\ncompanies:\n- {id: cmp_001, name: Other}\n\
                    - {id: cmp_002, nmae: x, customer_tags: [{name: A}, {name: a}]}\n";
    let mut told = vec![];
    let report = |label: &str, outcome: Outcome| {
        let Outcome::Refused(problems) = outcome else { panic!("{label}: {outcome:?}") };
        told.extend(problems.iter().map(|one| format!("{label}: {one}")));
    };
    let error = server.services.load.load(document, report).await.unwrap_err();
    assert_eq!((error.line, error.problem.contains("versoin is unknown")), (Some(1), true));
    let expected =
        ["cmp_002: line 4: nmae is unknown", "cmp_002: line 4: customer_tags[1].name \"a\""];
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().zip(expected).all(|(one, begin)| one.starts_with(begin)), "{told:?}");
    let secret = server.any_key().await;
    let answer = server.get("/admin/v1/companies/cmp_001").bearer(&secret).send().await.json();
    assert_eq!(answer["revision"], "1");
}

#[tokio::test]
async fn an_id_that_two_catalogs_have_is_refused_where_it_was_deleted() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let company = "/admin/v1/companies/cmp_001";
    let made = server.post(&format!("{company}/referral_sources?entryId=twin")).bearer(&secret);
    assert_eq!(made.body(r#"{"name":"Twin"}"#).send().await.status, 200);
    let twin = format!("{company}/referral_sources/twin");
    let archive = server.post(&format!("{twin}:archive")).bearer(&secret).body("{}");
    assert_eq!(archive.send().await.status, 200);
    assert_eq!(server.call("DELETE", &twin).bearer(&secret).send().await.status, 200);
    let twins = json!([{"id": "twin", "name": "Twin"}]);
    let both = json!({"id": "cmp_001", "customerTags": twins, "referralSources": twins});
    let document = json!({"companies": [both]});
    let plan = server.answer(&secret, "PlanSettings", json!({"document": document})).await;
    let violations = plan["plans"][0]["error"]["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 1, "{plan}");
    assert_eq!(
        (&violations[0]["field"], &violations[0]["reason"]),
        (&json!("referral_sources[0].id"), &json!("ID_TAKEN"))
    );
}
