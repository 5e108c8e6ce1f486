//! The sentences of the console: each stands where it belongs, once, and says what people need to go on.

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

#[tokio::test]
async fn a_wrong_time_zone_is_told_at_its_field_with_examples() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let settings = "/console/c/cmp_001/settings";
    let etag = Browser::hidden(&browser.get(settings).await, "etag");
    for (path, version) in [("/console/companies/new", None), (settings, Some(("etag", &*etag)))] {
        let mut form = vec![("name", "Paws"), ("timezone", "Vienna Time")];
        form.extend(version);
        let page = browser.post(path, &form).await;
        assert_eq!(page.status, 400, "{path}");
        let told = "id=\"timezone-wrong\">The time zone must be the name of a time zone, such as America/New_York or Europe/London";
        assert!(page.text().contains(told), "{path}: {}", page.text());
        assert!(page.text().contains("value=\"Vienna Time\" aria-invalid"), "{path}: {}", page.text());
    }
}

#[tokio::test]
async fn every_wrong_field_has_its_sentence_beside_it() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let import = "/console/c/cmp_001/import";
    for (field, status, form) in [
        ("text", 400, [("text", " "), ("do", "preview")]),
        ("from", 404, [("from", "nobody"), ("do", "preview")]),
    ] {
        let page = browser.post(import, &form).await;
        assert_eq!(page.status, status, "{field}");
        assert!(page.text().contains(&format!("id=\"{field}-wrong\">")), "{field}: {}", page.text());
    }
}
