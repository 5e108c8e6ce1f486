//! Plans of several companies that changed since they were shown.

use serde_json::json;

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
