//! The console's pages of locations: their addresses, and values that are wrong; and who gets the form for a company.

use serde_json::json;

use crate::{console::Browser, harness::*};

#[tokio::test]
async fn a_location_shows_its_address_and_saves_what_people_write() {
    const PLACE: &str = "/console/c/cmp_001/locations/biz_001";
    const GET: &str = "customersettings.v1.BusinessService/GetBusiness";
    let server = Server::demo().await;
    let (owner, root) = (Browser::of(&server).await, server.any_key().await);
    let at =
        json!({"address": {"city": "Brooklyn", "coordinate": {"latitude": 1.0, "longitude": 2.0}}});
    let update = json!({"companyId": "cmp_001", "id": "biz_001", "business": at});
    server.answer(&root, "customersettings.v1.BusinessService/UpdateBusiness", update).await;
    let page = owner.get(PLACE).await;
    assert!(page.text().contains("name=\"city\" value=\"Brooklyn\""), "{}", page.text());
    let etag = Browser::hidden(&page, "etag");
    let form = |website: &'static str, email: &'static str, etag: &str| {
        let fields = [
            ("name", "Downtown"),
            ("website", website),
            ("email", email),
            ("address1", "1 Main Street"),
            ("city", "New York"),
            ("region", "NY"),
            ("postal_code", "10001"),
            ("country", "US"),
            ("etag", etag),
        ];
        fields.map(|(name, value)| (name, value.to_owned()))
    };
    let post = async |fields: [(&str, String); 9]| {
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        owner.post(PLACE, &fields).await
    };
    for (website, email, said) in [
        ("javascript:alert(1)", "", "The website must be a web address"),
        ("", "nobody", "The email must be an email address"),
    ] {
        let wrong = post(form(website, email, &etag)).await;
        assert_eq!(wrong.status, 400);
        assert!(wrong.text().contains(said), "{}", wrong.text());
        assert!(wrong.text().contains("value=\"1 Main Street\""), "{}", wrong.text());
    }
    let saved = post(form("happypaws.example", "a@b.example", &etag)).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    let one = server.answer(&root, GET, json!({"companyId": "cmp_001", "id": "biz_001"})).await;
    assert_eq!(one["website"], "https://happypaws.example");
    assert_eq!(
        (&one["address"]["address1"], &one["address"]["state"]),
        (&json!("1 Main Street"), &json!("NY"))
    );
    // The form has no coordinate, and leaves it as it is.
    assert_eq!(one["address"]["coordinate"]["longitude"], 2.0, "{one}");
    let history = owner.get("/console/c/cmp_001/history/3").await;
    assert!(
        history.text().contains("1 Main Street, New York, NY, 10001, US"),
        "{}",
        history.text()
    );
    let list = owner.get("/console/c/cmp_001/locations").await;
    assert!(list.text().contains("New York"), "{}", list.text());
}

#[tokio::test]
async fn a_key_for_one_company_gets_no_form_for_another_one() {
    let server = Server::demo().await;
    let secret = server.key(covering(&["cmp_001"])).await;
    let browser = Browser::with_key(&server, &secret).await;
    let new = "/console/companies/new";
    assert_eq!(browser.get(new).await.status, 403);
    let made = browser.post(new, &[("name", "Another"), ("request", "a")]).await;
    assert_eq!(made.status, 403);
    assert!(made.text().contains("readonly>Another<"), "{}", made.text());
}
