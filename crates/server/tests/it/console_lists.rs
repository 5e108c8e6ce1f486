//! Lists in the console: names that change with other things, and colors in lines.

use crate::{console::Browser, harness::*};

const COMPANY: &str = "/console/c/cmp_001";
const TAGS: &str = "/console/c/cmp_001/customer_tags";

/// Saves a form over the page's etag, and answers the page that says what was done.
async fn save(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Answer {
    let etag = Browser::hidden(&browser.get(path).await, "etag");
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("etag", &*etag)]).collect();
    browser.follow(&browser.post(path, &fields).await).await
}

fn has(page: &Answer, part: &str) {
    assert!(page.text().contains(part), "{part}: {}", page.text());
}

#[tokio::test]
async fn a_new_name_is_told_with_the_old_one_whatever_else_changed() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let tag = format!("{TAGS}/tag_001");
    let cycle = format!("{COMPANY}/life_cycles/lc_002");
    let old = browser.get(&cycle).await;
    let old = old.text().split("<h1>").nth(1).unwrap().split('<').next().unwrap();
    let cycle_told = format!("Renamed “{old}” to “Trial”, and made it the default.");
    let location = format!("{COMPANY}/locations/biz_001");
    let was = browser.get(&location).await;
    let was = was.text().split("<h1>").nth(1).unwrap().split('<').next().unwrap();
    let location_told = format!("Renamed “{was}” to “Harbour”, and changed its ");
    let settings = format!("{COMPANY}/settings");
    for (path, fields, told) in [
        (
            &tag,
            &[("name", "VIP"), ("pick", "none"), ("description", "New")][..],
            "Renamed “VIP Customer” to “VIP”, and changed its description.",
        ),
        (
            &tag,
            &[("name", "Very important"), ("pick", "#C62828"), ("description", "")],
            "Renamed “VIP” to “Very important”, and changed its description and color.",
        ),
        (
            &tag,
            &[("name", "Very important"), ("pick", "none"), ("description", "Again")],
            "Changed description and color of “Very important”.",
        ),
        (&cycle, &[("name", "Trial"), ("pick", "none"), ("default", "1")], &*cycle_told),
        (&location, &[("name", "Harbour"), ("business_phone", "+1 555 0123")], &*location_told),
        (
            &settings,
            &[("name", "Paws"), ("country", "AT"), ("timezone", "America/New_York")],
            "Renamed “Happy Paws Pet Care” to “Paws”, and changed its country",
        ),
    ] {
        has(&save(&browser, path, fields).await, told);
    }
    let history = browser.get(&format!("{COMPANY}/history")).await;
    has(&history, "</strong> renamed “VIP” to “Very important”, and changed its description and");
    let (key, _) = server.issue(everything()).await;
    let path = format!("/console/keys/{}", key.id);
    let page = browser.get(&path).await;
    let [staff, scopes, before] =
        ["staff", "scope", "name"].map(|name| Browser::hidden(&page, &format!("was.{name}")));
    let mut form = vec![("name", "CRM"), ("staff", &*staff), ("coverage", "all")];
    form.extend(scopes.split(' ').map(|scope| ("scope", scope)));
    let renamed = save(&browser, &path, &form).await;
    has(&renamed, &format!("renamed it from “{before}” to “CRM”</div>"));
    form[0].1 = "Booking";
    form.push(("addresses", "127.0.0.0/8"));
    let renamed = save(&browser, &path, &form).await;
    has(&renamed, "renamed it from “CRM” to “Booking”, and changed the addresses</div>");
}

#[tokio::test]
async fn a_last_word_that_is_meant_as_a_color_and_is_none_is_refused_at_its_line() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let wrong = ["#GGGGGG", "#12345", "#FF00OO", "#1234567", "#FFD700FF"];
    let plain = [
        "Room #1",
        "Room #456",
        "Room #4567",
        "Suite #2B",
        "Instagram #doglovers",
        "Instagram #dog-walk",
        "#12345",
        "C# #",
        "No.#12345",
    ];
    let lines: Vec<String> = wrong.iter().map(|color| format!("Bad, {color}")).collect();
    let lines = format!("{}\n{}", lines.join("\n"), plain.join("\n"));
    let page = browser.post(&format!("{TAGS}/add-many"), &[("lines", &*lines)]).await;
    has(&page, "<h1>Add 9 tags?</h1>");
    for (color, line) in wrong.iter().zip(1..) {
        let told = format!("Line {line}: The color must be a color as &#34;#RRGGBB&#34;");
        has(&page, &told);
        has(&page, &format!(" If “{color}” belongs to the name, add this one by itself."));
    }
    for name in plain {
        has(&page, &format!("<bdi>{name}</bdi>"));
    }
    // A color of a file is never a part of the name.
    let file = browser.post(&format!("{TAGS}/add-many"), &[("lines", "Bad\t#GGGGGG")]).await;
    has(&file, "Line 1: The color must be a color");
    assert!(!file.text().contains("belongs to the name"), "{}", file.text());
}
