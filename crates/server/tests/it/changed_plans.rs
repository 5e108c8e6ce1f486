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

#[tokio::test]
async fn the_plan_of_a_company_that_is_not_here_was_made_for_other_data() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let tags = json!([{"id": "t", "name": "T"}]);
    for (company, refused_for) in [
        (json!({"id": "cmp_404", "customerTags": tags}), "it would be refused (name is required"),
        (json!({"id": "cmp_404", "name": "Paws", "customerTags": tags}), "it would be 2 created"),
    ] {
        let digests = json!({"cmp_404": "0".repeat(64)});
        let request = json!({"document": {"companies": [company]}, "digests": digests});
        let refused = server.refusal(&secret, "ApplySettings", request).await;
        assert_eq!(refused.reason, "PLAN_CHANGED");
        for part in ["there is no such company here", refused_for, "nothing was written"] {
            assert!(refused.message.contains(part), "{part}: {}", refused.message);
        }
    }
}

/// Sends a change of a tag as a staff member.
async fn send(server: &Server, secret: &str, verb: &str, path: &str, body: &str) {
    let call = server.call(verb, &format!("/admin/v1/companies/cmp_001/customer_tags/{path}"));
    let call = call.bearer(secret).header("settings-staff-id", "staff_7");
    let answer =
        if body.is_empty() { call.send().await } else { call.body(body.to_owned()).send().await };
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_plan_that_was_carried_out_says_what_became_of_the_things_that_it_made() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    // The second plan only makes a thing, so that it is the same plan after a deletion.
    for (revision, id, first) in
        [(2, "n", json!({"id": "tag_001", "name": "VIP"})), (6, "m", json!(null))]
    {
        let mut tags = vec![first, json!({"id": id, "name": format!("New {id}")})];
        tags.retain(|tag| !tag.is_null());
        let document = json!({"companies": [{"id": "cmp_001", "customerTags": tags}]});
        let planned = server.answer(&secret, "PlanSettings", json!({"document": document})).await;
        let digests = json!({"cmp_001": planned["plans"][0]["digest"]});
        let request = json!({"document": document, "digests": digests});
        server.grpc_as(&secret, "ApplySettings", request.clone()).await.unwrap();
        // A value that the plan did not show is nobody's business.
        send(&server, &secret, "PATCH", id, r##"{"color": "#123456"}"##).await;
        server.grpc_as(&secret, "ApplySettings", request.clone()).await.unwrap();
        let refused = async |parts: &[String]| {
            let refused = server.refusal(&secret, "ApplySettings", request.clone()).await;
            assert_eq!(refused.reason, "PLAN_CHANGED", "{}", refused.message);
            let carried_out = format!("was carried out with revision {revision} by \"test\" (key_");
            assert!(refused.message.contains(&carried_out), "{}", refused.message);
            for part in parts {
                assert!(refused.message.contains(part), "{part}: {}", refused.message);
            }
        };
        let by_staff = |after: u64, what: &str| {
            format!(
                "revision {} by \"test\" (staff_7) ({what} customer_tags/{id}",
                revision + after
            )
        };
        let archived = by_staff(2, "archived");
        send(&server, &secret, "POST", &format!("{id}:archive"), "{}").await;
        let nothing = "it would change nothing".to_owned();
        refused(&[format!("since: {archived}"), nothing]).await;
        send(&server, &secret, "DELETE", id, "").await;
        let then = if id == "n" { "it would be 1 created" } else { "it would be refused" };
        let deleted = format!("since: {}", by_staff(3, "deleted"));
        refused(&[deleted, archived, then.to_owned()]).await;
    }
}
