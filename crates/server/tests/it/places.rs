//! Time zones and countries, over every way in, and their stored forms.

use customer_settings_server::service::document;
use serde_json::{Value, json};

use crate::harness::*;

const COMPANY: &str = "/admin/v1/companies/cmp_001";

async fn patch(server: &Server, secret: &str, body: Value) -> Answer {
    server.call("PATCH", COMPANY).bearer(secret).body(body.to_string()).send().await
}

#[tokio::test]
async fn places_that_no_list_has_are_refused_with_the_nearest() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (field, bad, hint) in [
        ("timezone", "America/New York", "did you mean America/New_York?"),
        ("timezone", "Eastern Standard Time", "did you mean America/New_York?"),
        ("timezone", "Mars/Olympus", "such as America/New_York or Europe/London"),
        ("country", "ZZ", "for example US"),
        ("country", "UK", "did you mean GB?"),
    ] {
        let value = if field == "timezone" { json!({"id": bad}) } else { json!(bad) };
        let refusal = patch(&server, &secret, json!({field: value})).await.refusal();
        assert!(refusal.fields[0].starts_with(&format!("company.{field}")), "{:?}", refusal.fields);
        assert!(refusal.message.ends_with(hint), "{}", refusal.message);
        let text = format!("companies: [{{id: c, name: A, {field}: {bad}}}]");
        let company = document::parse(&text).unwrap().next().unwrap();
        let problem = company.problems.told().remove(0);
        assert_eq!(problem.violation.field, field);
        assert!(problem.violation.description.contains(hint), "{}", problem.violation.description);
    }
    let zone = json!({"timezone": {"id": "america/new_york"}, "country": "gb"});
    let company = patch(&server, &secret, zone).await.json();
    assert_eq!(company["timezone"]["id"], "America/New_York");
    assert_eq!(company["country"], "GB");
    // A location's country follows the same rule.
    let location = json!({"name": "Here", "address": {"country": "UK"}});
    let call = server.post(&format!("{COMPANY}/businesses")).bearer(&secret);
    let refusal = call.body(location.to_string()).send().await.refusal();
    assert_eq!(refusal.fields, ["business.address.country"]);
}

#[tokio::test]
async fn places_that_were_stored_before_still_read_and_hold_nothing_up() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let data = server.stop().await;
    let sql = "UPDATE companies SET timezone = 'Mars/Olympus', country = 'ZZ' WHERE id = 'cmp_001'";
    data.tamper(sql).await;
    let server = Server::reopened(data).await;
    let company = patch(&server, &secret, json!({"name": "Other"})).await.json();
    assert_eq!(company["timezone"]["id"], "Mars/Olympus");
    assert_eq!((&company["country"], &company["name"]), (&json!("ZZ"), &json!("Other")));
    let compat = server.get("/v1/companies/cmp_001").bearer(&secret).send().await.json();
    assert_eq!(compat["timezone"]["id"], "Mars/Olympus");
    assert_eq!(patch(&server, &secret, json!({"country": "ZZ"})).await.status, 400);
}

also_on_postgres! {
    places_that_were_stored_before_still_read_and_hold_nothing_up,
}
