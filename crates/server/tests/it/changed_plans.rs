//! Plans that are other ones than were shown.

use serde_json::{Value, json};

use crate::harness::*;

#[tokio::test]
async fn all_companies_whose_plans_changed_are_named_with_the_keys_by_name() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let tag =
        |id: &str| json!({"id": id, "customerTags": [{"id": "t", "name": "T", "color": "#fff"}]});
    let document = json!({"companies": [tag("cmp_001"), tag("cmp_002")]});
    let planned = server.answer(&secret, "PlanSettings", json!({"document": document})).await;
    let digest = |at: usize| planned["plans"][at]["digest"].clone();
    for company in ["cmp_001", "cmp_002"] {
        let path = format!("/admin/v1/companies/{company}/customer_tags?entryId=t");
        let made = server.post(&path).bearer(&secret).body(r#"{"name":"T"}"#).send().await;
        assert_eq!(made.status, 200, "{}", made.text());
    }
    let digests = json!({"cmp_001": digest(0), "cmp_002": digest(1)});
    let request = json!({"document": document, "digests": digests});
    let refused = server.refusal(&secret, "ApplySettings", request).await;
    assert_eq!(refused.reason, "PLAN_CHANGED");
    for part in [
        "the plan for company cmp_001",
        "revision 2 by \"",
        "\" (key_",
        "the plans for other companies changed too: cmp_002",
    ] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
}

#[tokio::test]
async fn a_plan_that_gives_other_ids_each_time_says_where_ids_are_missing() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let entries = json!([{"id": "named", "name": "Named"}, {"name": "Nameless"}]);
    let mut document = json!({"companies": [{"id": "cmp_001", "customer_tags": entries}]});
    let plan =
        server.grpc_as(&secret, "PlanSettings", json!({"document": document})).await.unwrap();
    let plan = &plan["plans"][0];
    let apply =
        |document: &Value| json!({"document": document, "digests": {"cmp_001": plan["digest"]}});
    let refused = server.grpc_as(&secret, "ApplySettings", apply(&document)).await.unwrap_err();
    let refused = Refusal::of_status(&refused);
    assert_eq!(refused.reason, "PLAN_CHANGED");
    let said = "the document has no ids for what is made (customer_tags[1])";
    assert!(refused.message.contains(said), "{}", refused.message);
    // With the ids of the steps it is the plan that was shown.
    for step in plan["steps"].as_array().unwrap() {
        if step["path"] == "customer_tags[1]" {
            document["companies"][0]["customer_tags"][1]["id"] = step["id"].clone();
        }
    }
    server.grpc_as(&secret, "ApplySettings", apply(&document)).await.unwrap();
}
