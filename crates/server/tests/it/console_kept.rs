//! The text that people typed in the console, and the links that they made: nothing is cut, changed or lost.

use std::fs;

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_and_not_cut() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/pages");
    for page in fs::read_dir(pages).unwrap() {
        let path = page.unwrap().path();
        // Browsers cut what is pasted there, and count halves of emoji.
        assert!(!fs::read_to_string(&path).unwrap().contains("maxlength"), "{}", path.display());
    }
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let (name, about) = ("n".repeat(120), "d".repeat(620));
    let add = [("name", &*name), ("description", &*about), ("request", "a")];
    let answer = browser.post(&format!("{TAGS}/add"), &add).await;
    assert_eq!(answer.status, 400);
    let text = answer.text();
    assert!(text.contains("id=\"name-wrong\">The name "), "{text}");
    assert!(text.contains(&format!("value=\"{name}\"")) && text.contains(&about), "{text}");
    let emoji = "🐶".repeat(100);
    let page = browser.post(&format!("{TAGS}/add"), &[("name", &emoji), ("request", "b")]).await;
    assert!(browser.follow(&page).await.text().contains(&format!(">{emoji}<")));
}

#[tokio::test]
async fn a_country_is_chosen_by_its_name() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let (company, location) =
        ("/console/c/cmp_001/settings", "/console/c/cmp_001/locations/biz_001");
    for path in [company, location, "/console/companies/new"] {
        let page = browser.get(path).await;
        assert_eq!(
            page.text().matches("<option value=\"AT\">Austria</option>").count(),
            1,
            "{path}"
        );
    }
    for path in [company, location] {
        let page = browser.get(path).await;
        let (etag, name) = (Browser::hidden(&page, "etag"), ("name", "Paws"));
        let form = |country| [name, ("etag", &*etag), ("country", country)];
        // A program may still send anything.
        let wrong = browser.post(path, &form("Austria")).await;
        assert_eq!(wrong.status, 400, "{path}");
        assert!(wrong.text().contains("did you mean AT?"), "{path}: {}", wrong.text());
        let kept = "<option value=\"Austria\" selected>Austria</option>";
        assert!(wrong.text().contains(kept), "{path}: {}", wrong.text());
        assert_eq!(browser.post(path, &form("AT")).await.status, 303, "{path}");
        let page = browser.get(path).await;
        assert!(page.text().contains("<option value=\"AT\" selected>Austria</option>"), "{path}");
        assert_eq!(page.text().matches(" selected>").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_link_that_was_made_works_after_its_page_is_loaded_again() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let token = |page: &Answer| {
        let link = page.text().split("/console/link?token=").nth(1)?.split('"').next();
        link.map(str::to_owned)
    };
    let works = async |token: &str| {
        let page = Browser::new(&server).get(&format!("/console/link?token={token}")).await;
        page.text().contains("This link signs you in")
    };
    let invite =
        [("name", "Ana"), ("scope", "settings:read"), ("coverage", "all"), ("request", "invite")];
    let shown = owner.post("/console/people/new", &invite).await;
    let first = token(&shown).unwrap();
    let again = owner.post("/console/people/new", &invite).await;
    assert_eq!((again.status.as_u16(), token(&again)), (200, None));
    assert!(again.text().contains("is shown only once"), "{}", again.text());
    assert!(works(&first).await);

    // The page that both answers lead to offers another one.
    let path = again.text().split("class=\"button\" href=\"").nth(1).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let last = Browser::hidden(&owner.get(&path).await, "last");
    let link = format!("{path}/link");
    let second = token(&owner.post(&link, &[("last", &*last)]).await).unwrap();
    assert!(!works(&first).await);
    let again = owner.post(&link, &[("last", &*last)]).await;
    assert!(token(&again).is_none() && again.text().contains("is shown only once"));
    assert!(works(&second).await);
    let page = Browser::new(&server).get(&format!("/console/link?token={first}")).await;
    assert!(page.text().contains("or a newer one was made"), "{}", page.text());
}
