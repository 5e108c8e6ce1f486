//! The console's pages and actions: lists, forms, order, history. Its doors are in `console.rs`, keys and
//! people in `console_people.rs`, and people's ways through it in `tests/clients`.

use std::fs;

use serde_json::json;

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

#[tokio::test]
async fn a_key_that_only_reads_is_offered_nothing_else() {
    let server = Server::demo().await;
    let scopes = ["settings:read", "companies:read", "history:read"];
    let reader = Browser::with_key(&server, &server.key(with_scopes(&scopes)).await).await;
    for path in [
        TAGS,
        "/console/c/cmp_001/customer_tags/tag_001",
        "/console/c/cmp_001/settings",
        "/console/c/cmp_001/history/1",
        "/console?all=1",
    ] {
        let page = reader.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let posts: Vec<&str> = page.text().split("method=\"post\" action=\"").skip(1).collect();
        assert_eq!(posts.len(), 1, "{path} offers more than signing out: {posts:?}");
        assert!(!page.text().contains("/console/keys"), "{path}");
    }
}

#[tokio::test]
async fn a_tag_is_added_renamed_put_away_taken_back_and_each_is_undone() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let page = browser.get(TAGS).await;
    let request = Browser::hidden(&page, "request");
    let add = [
        ("name", "Senior pet"),
        ("pick", "#6A1B9A"),
        ("description", "Older than ten"),
        ("request", &request),
    ];
    let answer = browser.post(&format!("{TAGS}/add"), &add).await;
    let page = browser.follow(&answer).await;
    assert!(page.text().contains("Added the tag “Senior pet”."), "{}", page.text());
    assert!(page.text().contains("fill=\"#6A1B9A\""));
    let path = page.text().split("<a href=\"").find(|rest| rest.contains(">Senior pet<")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();

    let entry = browser.get(&path).await;
    assert!(entry.text().contains("white text is easy to read"), "{}", entry.text());
    let (etag, request) = (Browser::hidden(&entry, "etag"), Browser::hidden(&entry, "request"));
    let save = [
        ("name", "Elder"),
        ("pick", "none"),
        ("description", "Older than ten"),
        ("etag", &etag),
        ("request", &request),
    ];
    let page = browser.follow(&browser.post(&path, &save).await).await;
    assert!(
        page.text().contains("Renamed “Senior pet” to “Elder”, and changed its color."),
        "{}",
        page.text()
    );

    let etag = Browser::hidden(&browser.get(&path).await, "etag");
    let away = [("etag", etag.as_str()), ("request", "away")];
    let page = browser.follow(&browser.post(&format!("{path}/archive"), &away).await).await;
    assert!(page.text().contains("Put away the tag “Elder”."), "{}", page.text());
    assert!(!page.text().contains(">Elder<"));
    let archived = browser.get(&format!("{TAGS}?archived=1")).await;
    assert!(archived.text().contains(">Elder<"));
    let undo = page.text().split("action=\"").find(|rest| rest.contains("/undo\"")).unwrap();
    let undo = undo.split('"').next().unwrap().to_owned();
    let page = browser.follow(&browser.post(&undo, &[("request", "undo")]).await).await;
    assert!(page.text().contains("Took back the tag “Elder”."), "{}", page.text());
    assert!(browser.get(TAGS).await.text().contains(">Elder<"));
}

#[tokio::test]
async fn a_mirror_says_when_it_was_compared_and_how_that_ended() {
    let server = Server::demo().await;
    let (secret, browser) = (server.any_key().await, Browser::of(&server).await);
    let pages = ["/console/c/cmp_001", "/console/c/cmp_001/settings"];
    let sentence = async |path: &str| {
        let page = browser.get(path).await.text().to_owned();
        let (_, rest) = page.split_once("mirror of MoeGo, compared last <time datetime=\"")?;
        let (time, rest) = rest.split_once('"')?;
        let (_, end) = rest.split_once("</time>: ")?;
        Some((time.to_owned(), end.split_once(" Change it there")?.0.to_owned()))
    };
    let made = async |mode: &str| {
        let document =
            format!("companies: [{{id: cmp_001, source: {{kind: moego, mode: {mode}}}}}]");
        load(&server.services, &document).await;
    };
    made("mirror").await;
    assert_eq!(sentence(pages[0]).await, None);
    for (report, end) in [
        (json!({}), "nothing differed."),
        (json!({"changed": true}), "what differed was brought here."),
        (
            json!({"problems": "<b>was not read"}),
            "something was left as it is: &#60;b&#62;was not read.",
        ),
    ] {
        let mut report = report;
        report["companyId"] = json!("cmp_001");
        let check = server.grpc_as(&secret, "ReportSourceCheck", report).await.unwrap();
        for path in pages {
            let (time, said) = sentence(path).await.unwrap();
            assert_eq!(said, end, "{path}");
            assert_eq!(browser.get(path).await.text().matches("MoeGo").count(), 1, "{path}");
            assert_eq!(time[..19], check["checkedTime"].as_str().unwrap()[..19], "{path}");
        }
    }
    made("cutover").await;
    assert_eq!(sentence(pages[0]).await, None, "it is compared no more");
}

#[tokio::test]
async fn a_form_that_is_sent_twice_writes_once() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let add = [("name", "Twice"), ("request", "same")];
    let path = format!("{TAGS}/add");
    let (first, second) = (browser.post(&path, &add).await, browser.post(&path, &add).await);
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(browser.get(TAGS).await.text().matches(">Twice<").count(), 1);
    let other = browser.post(&path, &[("name", "Other"), ("request", "same")]).await;
    assert_eq!(other.status, 400);
    assert!(
        other.text().contains("This form was sent before")
            && other.text().contains("value=\"Other\"")
    );
}

#[tokio::test]
async fn many_are_added_by_their_lines() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let lines =
        "Puppy #ff0000\r\n  Kitten, #00FF00\n\nRoom #456\nHouse\t#0f0\n#1 fan\nRoom #456789\t";
    let path = format!("{TAGS}/add-many");
    let preview = browser.post(&path, &[("lines", lines), ("request", "m")]).await;
    assert!(preview.text().contains("<h1>Add 6 tags?</h1>"), "{}", preview.text());
    assert!(!browser.get(TAGS).await.text().contains(">Kitten<"), "nothing is added yet");
    let answer = browser.post(&path, &[("lines", lines), ("request", "m"), ("sure", "1")]).await;
    let page = browser.follow(&answer).await;
    assert!(page.text().contains("Added 6 tags."), "{}", page.text());
    for name in ["Puppy", "Kitten", "Room #456", "House", "#1 fan", "Room #456789"] {
        assert!(preview.text().contains(&format!(">{name}<")), "{name}");
        assert!(page.text().contains(&format!(">{name}<")), "{name}");
    }
    assert!(page.text().contains("fill=\"#FF0000\"") && page.text().contains("fill=\"#00FF00\""));
}

#[tokio::test]
async fn a_list_is_kept_as_it_was_in_lines_that_are_added_again() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "/console/c/cmp_001/action_statuses";
    let lines = "Contacted\t#00FF00\nWaiting for Answer\t#FFC107\nNot Interested\t#9E9E9E\n";
    browser.post(&format!("{list}/add"), &[("name", "Room #456789"), ("request", "a")]).await;
    let now = browser.get(&format!("{list}/download")).await;
    assert_eq!(now.text(), format!("{lines}Room #456789\t\n"));
    let then = browser.get(&format!("{list}/download?revision=1")).await;
    assert_eq!(then.text(), lines);
    let name = then.header("content-disposition");
    assert_eq!(name, Some("attachment; filename=\"cmp_001-action_statuses-1.txt\""));
    let other = "/console/c/cmp_002/customer_tags";
    let form = [("lines", now.text()), ("sure", "1")];
    let answer = browser.post(&format!("{other}/add-many"), &form).await;
    let page = browser.follow(&answer).await;
    assert!(page.text().contains(">Room #456789<"), "{}", page.text());
    assert!(page.text().contains(">Not Interested<") && page.text().contains("fill=\"#9E9E9E\""));
}

#[tokio::test]
async fn a_long_page_is_small_on_its_way() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let lines: Vec<String> = (0..98).map(|at| format!("Tag number {at} #C62828")).collect();
    let lines = lines.join("\n");
    let form = [("lines", &*lines), ("request", "a"), ("sure", "1")];
    browser.post(&format!("{TAGS}/add-many"), &form).await;
    let plain = browser.get(TAGS).await;
    assert_eq!(plain.header("content-encoding"), None);
    let zipped = browser.send("GET", TAGS, &[("accept-encoding", "gzip, br")], "").await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(zipped.header("cache-control"), Some("no-store"));
    let (all, sent) = (plain.body.len(), zipped.body.len());
    assert!(sent < 10_000 && sent * 8 < all, "{sent} of {all} bytes");
}

#[tokio::test]
async fn of_two_people_the_slower_sees_both_versions() {
    let server = Server::demo().await;
    let (ana, ben) = (Browser::of(&server).await, Browser::of(&server).await);
    let path = format!("{TAGS}/tag_001");
    let etag = Browser::hidden(&ana.get(&path).await, "etag");
    let answer =
        ana.post(&path, &[("name", "VIP of Ana"), ("etag", &etag), ("request", "a")]).await;
    assert_eq!(answer.status, 303);
    let sent =
        [("name", "VIP of Ben"), ("pick", "none"), ("etag", etag.as_str()), ("request", "b")];
    let answer = ben.post(&path, &sent).await;
    assert_eq!(answer.status, 409);
    let text = answer.text();
    assert!(
        text.contains("<dd>VIP of Ana</dd>") && text.contains("value=\"VIP of Ben\""),
        "{text}"
    );
    let (etag, request) = (Browser::hidden(&answer, "etag"), Browser::hidden(&answer, "request"));
    let sent = [("name", "VIP of Ben"), ("pick", "none"), ("etag", &etag), ("request", &request)];
    let page = ben.follow(&ben.post(&path, &sent).await).await;
    assert!(page.text().contains("Renamed “VIP of Ana” to “VIP of Ben”."), "{}", page.text());
}

#[tokio::test]
async fn a_default_is_put_away_with_a_successor_alone() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = "/console/c/cmp_001/life_cycles/lc_001";
    let entry = browser.get(path).await;
    assert!(entry.text().contains("<option value=\"lc_003\">Regular</option>"), "{}", entry.text());
    let etag = Browser::hidden(&entry, "etag");
    let archive = format!("{path}/archive");
    let answer = browser.post(&archive, &[("etag", &etag)]).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let away = [("etag", etag.as_str()), ("successor", "lc_003"), ("request", "x")];
    let page = browser.follow(&browser.post(&archive, &away).await).await;
    let text = page.text();
    assert!(
        text.contains("Put away the life cycle “Qualified” and made “Regular” the default."),
        "{text}"
    );
}

#[tokio::test]
async fn a_list_is_put_into_order_by_buttons_by_names_and_by_the_script() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "/console/c/cmp_001/action_statuses";
    let names = |page: &Answer| {
        let rows = page.text().split("name=\"up\" value=\"").skip(1);
        let ids: Vec<String> = rows.map(|row| row.split('"').next().unwrap().to_owned()).collect();
        ids.join(" ")
    };
    let page = browser.get(list).await;
    assert_eq!(names(&page), "as_001 as_002 as_003");
    let etag = Browser::hidden(&page, "etag");
    let order = format!("{list}/order");
    let up = [("etag", etag.as_str()), ("request", "1"), ("up", "as_003")];
    let page = browser.follow(&browser.post(&order, &up).await).await;
    assert_eq!(names(&page), "as_001 as_003 as_002");
    assert!(page.text().contains("“Not Interested” is number 2 now."), "{}", page.text());
    let history = browser.get("/console/c/cmp_001/history").await;
    let told = "put “Not Interested” before “Waiting for Answer”</a>";
    assert!(history.text().contains(told), "{}", history.text());
    let change = browser.get("/console/c/cmp_001/history/2").await;
    for side in ["Waiting for Answer”, “Not Interested", "Not Interested”, “Waiting for Answer"]
    {
        assert!(change.text().contains(&format!("<td>“{side}”</td>")), "{}", change.text());
    }
    let stale = browser.post(&order, &[("etag", &etag), ("request", "2"), ("up", "as_002")]).await;
    assert_eq!(stale.status, 409);
    assert!(stale.text().contains("You changed this yourself since"), "{}", stale.text());

    let etag = Browser::hidden(&page, "etag");
    let body = format!("etag={etag}&request=3&ids=as_002,as_001,as_003");
    let headers = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
    let told = browser.send("POST", &order, &headers, &body).await.json();
    assert_ne!(told["etag"], etag);
    assert_eq!(told["undo"], "/console/c/cmp_001/history/3/undo", "{told}");
    assert_eq!(told["next"], "/c/cmp_001/action_statuses", "{told}");
    let refused =
        browser.send("POST", &order, &headers, &body.replace("request=3", "request=4")).await;
    assert_eq!(refused.status, 409);
    let text = refused.json()["text"].as_str().unwrap().to_owned();
    assert!(text.ends_with("Look at the list as it is now, and move the entry again."), "{text}");
    let stale = browser.post(&format!("{list}/sort"), &[("etag", &etag), ("request", "6")]).await;
    assert!(stale.text().contains("please sort it again"), "{}", stale.text());
    // The script is told in its own form why nothing can be saved.
    let stranger = Browser::new(&server).send("POST", &order, &headers, &body).await;
    assert_eq!(
        (stranger.status.as_u16(), &*stranger.json()["link"].to_string()),
        (401, "\"Sign in again\"")
    );
    let reader = server.key(with_scopes(&["settings:read", "companies:read"])).await;
    let reader = Browser::with_key(&server, &reader).await;
    let refused = reader.send("POST", &order, &headers, &body).await;
    assert_eq!(refused.status, 403);
    assert!(refused.json()["text"].as_str().unwrap().contains("does not allow this"));

    let etag = told["etag"].as_str().unwrap();
    let page = browser.post(&format!("{list}/sort"), &[("etag", etag), ("request", "5")]).await;
    assert_eq!(names(&browser.follow(&page).await), "as_001 as_003 as_002");
}

#[tokio::test]
async fn the_page_learns_that_something_changed() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = "/console/c/cmp_001/revision";
    let revision = browser.get(path).await.json()["revision"].to_string();
    let tag = format!("\"{revision}\"");
    let answer = browser.send("GET", path, &[("if-none-match", &tag)], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
    browser.post(&format!("{TAGS}/add"), &[("name", "New")]).await;
    let answer = browser.send("GET", path, &[("if-none-match", &tag)], "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["own"]), (200, &json!(true)));
    let other = Browser::of(&server).await.get(path).await;
    assert_eq!(other.json()["own"], false);
}

#[tokio::test]
async fn the_history_tells_in_words_undoes_and_goes_back() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let etag = Browser::hidden(&browser.get(&format!("{TAGS}/tag_001")).await, "etag");
    let save = [("name", "VIP"), ("pick", "none"), ("etag", &etag), ("request", "r")];
    browser.post(&format!("{TAGS}/tag_001"), &save).await;
    browser.post(&format!("{TAGS}/add"), &[("name", "Later"), ("request", "s")]).await;
    let history = browser.get("/console/c/cmp_001/history").await;
    let text = history.text();
    assert!(
        text.contains("<strong><bdi>test</bdi></strong> renamed “VIP Customer” to “VIP”</a>"),
        "{text}"
    );
    assert!(text.contains("<strong><bdi>test</bdi></strong> added the tag “Later”"), "{text}");
    assert!(text.contains("<strong><bdi>The command “load”</bdi></strong>"), "{text}");
    let of_entry = browser.get("/console/c/cmp_001/history?list=customer_tags&entry=tag_001").await;
    assert!(of_entry.text().contains("renamed") && !of_entry.text().contains("Later"));

    let change = browser.get("/console/c/cmp_001/history/2").await;
    let text = change.text();
    assert!(text.contains("<td>VIP Customer</td>") && text.contains("<td>VIP</td>"), "{text}");

    let preview = browser.get("/console/c/cmp_001/history/1/back").await;
    let text = preview.text();
    assert!(text.contains("Tag “VIP Customer”") && text.contains("Tag “Later”"), "{text}");
    let etag = Browser::hidden(&preview, "etag");
    let back = [("etag", etag.as_str()), ("request", "t")];
    let page =
        browser.follow(&browser.post("/console/c/cmp_001/history/1/back", &back).await).await;
    assert_eq!(page.status, 200);
    let tags = browser.get(TAGS).await;
    assert!(tags.text().contains(">VIP Customer<") && !tags.text().contains(">Later<"));
    let undone = browser.post("/console/c/cmp_001/history/2/undo", &[("request", "u")]).await;
    assert_eq!(
        undone.header("location"),
        Some("/console/c/cmp_001/history/2?refused=CHANGED_SINCE")
    );
    let undone = browser.follow(&undone).await;
    assert!(undone.text().contains("changed again since"), "{}", undone.text());
}

#[tokio::test]
async fn a_preview_shows_no_order_in_which_nothing_moved() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    browser.post(&format!("{TAGS}/add"), &[("name", "First")]).await;
    let page = browser.get(TAGS).await;
    let id = page.text().split("name=\"up\" value=\"").nth(3).unwrap().split('"').next().unwrap();
    let etag = Browser::hidden(&page, "etag");
    let (place, request) = (format!("to.{id}"), ("request", "move"));
    let form = [("etag", &*etag), (&*place, "1"), request];
    browser.follow(&browser.post(&format!("{TAGS}/order"), &form).await).await;
    let preview = browser.get("/console/c/cmp_001/history/1/back").await;
    assert!(preview.text().contains("Tag “First”"), "{}", preview.text());
    assert!(!preview.text().contains(">Order</th>"), "{}", preview.text());
    let preview = browser.get("/console/c/cmp_001/history/2/back").await;
    assert!(preview.text().contains("<td>“First”, “VIP Customer”"), "{}", preview.text());
}

#[tokio::test]
async fn a_form_that_no_page_sends_is_refused_and_shows_what_was_typed() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let tag = format!("{TAGS}/tag_001");
    let etag = Browser::hidden(&browser.get(&tag).await, "etag");
    type Sent<'a> = &'a [(&'a str, &'a str)];
    let forms: [(&str, Sent<'_>, &str); 6] = [
        (&tag, &[("name", "Typed name"), ("pick", "none")], "which version"),
        (&tag, &[("name", "Typed name"), ("etag", &etag), ("color", "red")], "“color”"),
        (&tag, &[("name", "Typed name"), ("name", "Typed too"), ("etag", &etag)], "“name” twice"),
        ("/console/c/cmp_001/history/1/back", &[], "which version"),
        ("/console/sign-out", &[("key", "x")], "“key”"),
        (
            &format!("{TAGS}/order"),
            &[("to.a", "1"), ("to.a", "2"), ("etag", &etag)],
            "“to.a” twice",
        ),
    ];
    for (path, form, why) in forms {
        let answer = browser.post(path, form).await;
        assert_eq!(answer.status, 400, "{path} {form:?}");
        assert!(answer.text().contains(why), "{path}: {}", answer.text());
        for (_, typed) in form.iter().filter(|(name, _)| *name == "name") {
            assert!(answer.text().contains(&format!(">{typed}</textarea>")), "{}", answer.text());
        }
    }
    let changes = browser.get("/console/c/cmp_001/history").await;
    assert_eq!(changes.text().matches("class=\"change\"").count(), 1, "{}", changes.text());
}

#[tokio::test]
async fn an_undo_leads_back_to_the_page_that_offered_it() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let added = browser.post(&format!("{TAGS}/add"), &[("name", "New"), ("request", "a")]).await;
    let page = browser.follow(&added).await;
    let next = Browser::hidden(&page, "next");
    let undo = |next: String, request: &'static str| {
        let browser = &browser;
        async move {
            let form = [("next", next.as_str()), ("request", request)];
            let path = "/console/c/cmp_001/history/2/undo";
            browser.post(path, &form).await.header("location").unwrap().to_owned()
        }
    };
    assert_eq!(undo(next, "b").await, format!("{TAGS}?changed=3"));
    let outside = undo("https://evil.example".to_owned(), "b").await;
    assert_eq!(outside, "/console/c/cmp_001/history?changed=3");
}

#[tokio::test]
async fn names_with_markup_in_every_script_are_shown_as_they_are() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let hundred = "x".repeat(100);
    let names =
        ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "זקן", "🐶 Dog", &hundred];
    for (at, name) in names.into_iter().enumerate() {
        let request = at.to_string();
        let answer =
            browser.post(&format!("{TAGS}/add"), &[("name", name), ("request", &request)]).await;
        let page = browser.follow(&answer).await;
        let text = page.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{text}");
        let shown = name.replace('<', "&#60;").replace('>', "&#62;").replace('"', "&#34;");
        assert!(text.matches(&shown).count() >= 2, "{name}: {text}");
    }
    let history = browser.get("/console/c/cmp_001/history").await;
    assert!(!history.text().contains("<script>alert") && !history.text().contains("<img"));
}

#[tokio::test]
async fn a_thousand_companies_are_paged_and_searched() {
    let mut document = "companies:\n".to_owned();
    for at in 0..1_000 {
        document += &format!("  - id: c{at}\n    name: Shop {at:04}\n");
    }
    let server = Server::of(&document).await;
    let browser = Browser::of(&server).await;
    let page = browser.get("/console").await;
    assert_eq!(page.text().matches("class=\"big\"").count(), 50);
    let found = browser.get("/console?q=shop+0777").await;
    assert_eq!(found.text().matches("class=\"big\"").count(), 1);
    let none = browser.get("/console?q=%3Cb%3E").await;
    let told = "No company has “&#60;b&#62;” in its name, and no id begins with it.";
    assert!(none.text().contains(told), "{}", none.text());
    let only = Browser::with_key(&server, &server.key(covering(&["c7"])).await).await;
    assert_eq!(only.get("/console").await.header("location"), Some("/console/c/c7"));
}

#[tokio::test]
async fn companies_and_locations_are_made_changed_put_away_and_taken_back() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let made = [
        ("name", "Sunny Tails"),
        ("country", "US"),
        ("timezone", "America/Chicago"),
        ("id", "cmp_new"),
        ("request", "a"),
    ];
    let answer = browser.post("/console/companies/new", &made).await;
    assert_eq!(answer.header("location"), Some("/console/c/cmp_new?did=company-made"));
    let wrong = browser.post("/console/companies/new", &[("name", "X"), ("country", "XX")]).await;
    assert!(wrong.text().contains("id=\"country-wrong\""), "{}", wrong.text());

    let settings = "/console/c/cmp_new/settings";
    let etag = Browser::hidden(&browser.get(settings).await, "etag");
    let save = [
        ("name", "Sunny"),
        ("country", "US"),
        ("timezone", "America/Chicago"),
        ("etag", &etag),
        ("request", "b"),
    ];
    let page = browser.follow(&browser.post(settings, &save).await).await;
    assert!(page.text().contains("Renamed “Sunny Tails” to “Sunny”."), "{}", page.text());

    let locations = "/console/c/cmp_new/locations";
    let page = browser
        .follow(&browser.post(locations, &[("name", "Downtown"), ("request", "c")]).await)
        .await;
    assert!(page.text().contains("Added the location “Downtown”."), "{}", page.text());
    let one = page.text().split("class=\"big\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let etag = Browser::hidden(&browser.get(one).await, "etag");
    let save = [
        ("name", "Downtown"),
        ("business_phone", "+1 555 0199"),
        ("etag", &etag),
        ("request", "d"),
    ];
    let page = browser.follow(&browser.post(one, &save).await).await;
    assert!(page.text().contains("+1 555 0199"), "{}", page.text());
    let etag = Browser::hidden(&browser.get(one).await, "etag");
    let form = [("etag", &*etag), ("request", "e")];
    let page = browser.follow(&browser.post(&format!("{one}/archive"), &form).await).await;
    assert!(page.text().contains("Put away the location “Downtown”."), "{}", page.text());
    let etag = Browser::hidden(&browser.get(one).await, "etag");
    let form = [("etag", &*etag), ("request", "f")];
    let page = browser.follow(&browser.post(&format!("{one}/restore"), &form).await).await;
    assert!(page.text().contains("Took back the location “Downtown”."), "{}", page.text());
    let etag = Browser::hidden(&browser.get(settings).await, "etag");
    let form = [("etag", &*etag), ("request", "g")];
    let away = browser.post("/console/c/cmp_new/archive", &form).await;
    assert!(browser.follow(&away).await.text().contains("Take back"));
}

#[test]
fn the_script_is_small_and_the_pages_escape_everything() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console");
    let script = fs::read_to_string(format!("{folder}/assets/console.js")).unwrap();
    assert!(script.len() <= 15 * 1024, "{} bytes", script.len());
    for risk in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "document.write",
        "http:",
        "https:",
    ] {
        assert!(!script.contains(risk), "{risk}");
    }
    for page in fs::read_dir(format!("{folder}/pages")).unwrap() {
        let path = page.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for risk in [
            "|safe",
            "| safe",
            "escape none",
            "style=",
            "<style",
            "onclick",
            "javascript:",
            "<script>",
        ] {
            assert!(!text.contains(risk), "{risk} in {}", path.display());
        }
    }
}

also_on_postgres! {
    a_tag_is_added_renamed_put_away_taken_back_and_each_is_undone,
    a_form_that_is_sent_twice_writes_once,
    of_two_people_the_slower_sees_both_versions,
}
