//! The text that people typed in the console, and the links that they made: nothing is cut, changed or lost.

use std::{fs, time::Duration};

use customer_settings_server::{clock::Clock, service::keys::KeyDraft};

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

#[tokio::test]
async fn what_is_wrong_stands_at_its_field_and_what_was_typed_stays() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = format!("{TAGS}/add");
    let taken = browser.post(&path, &[("name", "vip customer"), ("description", "kept")]).await;
    assert_eq!(taken.status, 409);
    let text = taken.text();
    assert!(text.contains("id=\"name-wrong\"") && text.contains("is taken"), "{text}");
    assert!(text.contains("value=\"vip customer\"") && text.contains("value=\"kept\""), "{text}");
    let color = browser.post(&path, &[("name", "New"), ("pick", "own"), ("own", "blue")]).await;
    assert_eq!(color.status, 400);
    assert!(color.text().contains("id=\"color-wrong\">The color "), "{}", color.text());
    let lines = "One\n\nVIP Customer\nTwo";
    let many = browser.post(&format!("{TAGS}/add-many"), &[("lines", lines), ("sure", "1")]).await;
    let marked = "Line 3: “VIP Customer” is there already.";
    assert!(many.text().contains(marked), "{}", many.text());
    assert!(many.text().contains(">\nOne\n\nVIP Customer\nTwo</textarea>"), "{}", many.text());
}

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

#[tokio::test]
async fn what_was_typed_about_a_thing_that_went_away_is_shown_again() {
    let server = Server::demo().await;
    let (ana, ben) = (Browser::of(&server).await, Browser::of(&server).await);
    let (tag, location) = (format!("{TAGS}/tag_001"), "/console/c/cmp_001/locations/biz_001");
    let company = "/console/c/cmp_001/settings";
    let typed = |page: &Answer, text: &str| {
        assert!(page.text().contains(&format!(">{text}</textarea>")), "{}", page.text());
    };
    // A thing that is not there any more, and a right that somebody took.
    let form = [("name", "Typed by Ben"), ("pick", "none"), ("own", "#546E7A"), ("etag", "x")];
    let answer = ben.post(&format!("{TAGS}/tag_gone"), &form).await;
    assert_eq!(answer.status, 404);
    typed(&answer, "Typed by Ben");
    assert!(!answer.text().contains("#546E7A"), "nobody chose a color: {}", answer.text());
    assert!(answer.text().contains(&format!("href=\"{TAGS}\">Go on")), "{}", answer.text());
    let reader = server.key(with_scopes(&["settings:read", "companies:read"])).await;
    let reader = Browser::with_key(&server, &reader).await;
    let answer = reader.post(&format!("{TAGS}/add"), &[("name", "Typed by a reader")]).await;
    assert_eq!(answer.status, 403);
    typed(&answer, "Typed by a reader");

    for (path, archive) in [
        (&*tag, format!("{tag}/archive")),
        (location, format!("{location}/archive")),
        (company, "/console/c/cmp_001/archive".to_owned()),
    ] {
        let etag = Browser::hidden(&ben.get(path).await, "etag");
        assert_eq!(ana.post(&archive, &[("etag", &*etag)]).await.status, 303, "{path}");
        let answer = ben.post(path, &[("name", "Typed by Ben"), ("etag", &etag)]).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        assert!(answer.text().contains("put this away since you opened"), "{}", answer.text());
        typed(&answer, "Typed by Ben");
    }
}

#[tokio::test]
async fn a_field_that_was_left_alone_keeps_what_somebody_else_saved() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    type Sent<'a> = &'a [(&'a str, &'a str)];
    let cases: [(String, &str, Sent<'_>, &str); 3] = [
        (
            format!("{TAGS}/tag_001"),
            "description",
            &[("name", "Of Ben"), ("pick", "none"), ("description", "")],
            ">Of Ana</textarea>",
        ),
        (
            "/console/c/cmp_001/locations/biz_001".to_owned(),
            "city",
            &[("name", "Of Ben"), ("city", "")],
            "name=\"city\" value=\"Of Ana\"",
        ),
        (
            "/console/c/cmp_001/settings".to_owned(),
            "name",
            &[("country", "AT")],
            "name=\"name\" required value=\"Of Ana\"",
        ),
    ];
    for (path, of_ana, of_ben, kept) in cases {
        let page = browser.get(&path).await;
        let etag = Browser::hidden(&page, "etag");
        // All fields as a browser sends them: those that the page was opened with, and those that Ben changed.
        let was: Vec<(String, String)> = hidden_fields(&page);
        let mut before: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &was {
            before.push((name.as_str(), value.as_str()));
            let name = name.strip_prefix("was.").unwrap();
            if name != "color" && name != of_ana && of_ben.iter().all(|(one, _)| *one != name) {
                before.push((name, value.as_str()));
            }
        }
        let value = |name: &str| {
            let was = was.iter().find(|(one, _)| *one == format!("was.{name}"));
            was.map_or("", |(_, value)| value.as_str())
        };
        let mut ana = before.clone();
        ana.extend(
            of_ben
                .iter()
                .map(|(name, _)| (*name, value(name)))
                .filter(|(name, _)| *name != of_ana && *name != "pick"),
        );
        ana.extend([(of_ana, "Of Ana"), ("etag", &*etag)]);
        assert_eq!(browser.post(&path, &ana).await.status, 303, "{path}");
        let mut ben = before;
        ben.extend(of_ben.iter().filter(|(name, _)| *name != of_ana));
        ben.extend([(of_ana, value(of_ana)), ("etag", &*etag)]);
        let answer = browser.post(&path, &ben).await;
        assert_eq!(answer.status, 409, "{path}: {}", answer.text());
        assert!(answer.text().contains(kept), "{path}: {}", answer.text());
    }
}

/// The fields of the page's form as the page was opened with them.
fn hidden_fields(page: &Answer) -> Vec<(String, String)> {
    let fields = page.text().split("name=\"was.").skip(1);
    let field = |field: &str| {
        let (name, rest) = field.split_once("\" value=\"").unwrap();
        (format!("was.{name}"), rest.split('"').next().unwrap().to_owned())
    };
    fields.map(field).collect()
}

#[tokio::test]
async fn every_line_that_cannot_be_added_is_marked_at_once_and_may_be_left_out() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = format!("{TAGS}/add-many");
    let long = "n".repeat(101);
    let lines =
        format!("\nPuppy\nvip customer\npuppy\nBad\t#12345\n{long}\nTurned\u{202e}\nKitten");
    let preview = browser.post(&path, &[("lines", &*lines)]).await;
    let text = preview.text();
    assert!(
        text.contains("<h1>Add 2 tags?</h1>") && text.contains("5 lines cannot be added"),
        "{text}"
    );
    for wrong in [
        "Line 3: “VIP Customer” is there already.",
        "Line 4: Line 2 has this name already.",
        "Line 5: The color must be a color",
        "Line 6: The name has 101 characters",
        "Line 7: The name has an invisible character that turns the direction of text (U+202E): type it anew.",
    ] {
        assert!(text.contains(wrong), "{wrong}: {text}");
    }
    assert!(!text.contains("Entry.name"), "{text}");
    let shown = Browser::hidden(&preview, "shown");
    let without = Browser::hidden(&preview, "without");
    let form = |lines, request| {
        [
            ("lines", lines),
            ("shown", &*shown),
            ("without", &*without),
            ("sure", "1"),
            ("request", request),
        ]
    };
    // Lines that were changed since are looked at first.
    let other = browser.post(&path, &form("Puppy", "other")).await;
    assert!(other.text().contains("<h1>Add 1 tag?</h1>"), "{}", other.text());
    let sent = form(&*lines, "same");
    let (first, second) = (browser.post(&path, &sent).await, browser.post(&path, &sent).await);
    assert_eq!(first.header("location"), second.header("location"));
    let page = browser.follow(&first).await;
    assert!(
        page.text().contains("dded the tag “Puppy” and added the tag “Kitten”."),
        "{}",
        page.text()
    );
    // All of them all the same: nothing is added, and all lines are marked.
    let answer = browser.post(&path, &[("lines", &*lines), ("sure", "1")]).await;
    assert_eq!(answer.status.as_u16() / 100, 4);
    assert!(answer.text().contains("7 lines cannot be added"), "{}", answer.text());
}

#[tokio::test]
async fn places_that_were_written_stay_in_their_rows_until_they_are_sent() {
    let server = Server::demo().await;
    let (ana, ben) = (Browser::of(&server).await, Browser::of(&server).await);
    ana.post(&format!("{TAGS}/add"), &[("name", "Third")]).await;
    let page = ben.get(TAGS).await;
    let etag = Browser::hidden(&page, "etag");
    let third = page.text().split("name=\"to.").nth(3).unwrap().split('"').next().unwrap();
    let third = format!("to.{third}");
    let form =
        [("to.tag_001", "1"), ("to.tag_002", "x"), (&*third, "1"), ("place", ""), ("etag", &*etag)];
    let stands = |page: &Answer, field: &str, value: &str| {
        assert!(
            page.text().contains(&format!("name=\"{field}\" value=\"{value}\"")),
            "{}",
            page.text()
        );
    };
    let waiting = |page: &Answer| page.text().matches("<li class=\"waits\">").count();
    // A list in another order would lose them.
    let sorted = ben.post(&format!("{TAGS}/sort"), &form).await;
    assert_eq!(sorted.status, 400);
    assert!(sorted.text().contains("Nothing was sorted yet"), "{}", sorted.text());
    stands(&sorted, &third, "1");

    // Somebody else puts one more in, and moves it up: the rows that nobody wrote on have new numbers.
    ana.post(&format!("{TAGS}/add"), &[("name", "Fourth")]).await;
    let now = ana.get(TAGS).await;
    let fourth = now.text().split("name=\"to.").nth(4).unwrap().split('"').next().unwrap();
    let up = format!("to.{fourth}");
    let to = [(&*up, "1"), ("place", ""), ("etag", &*Browser::hidden(&now, "etag"))];
    assert_eq!(ana.post(&format!("{TAGS}/order"), &to).await.status, 303);
    for field in ["place", "up"] {
        let form = [&form[..3], &[(field, "tag_001"), ("etag", &*etag)]].concat();
        let late = ben.post(&format!("{TAGS}/order?archived=1"), &form).await;
        assert_eq!(late.status, 409, "{}", late.text());
        assert!(late.text().contains("with the places that you wrote"), "{}", late.text());
        stands(&late, &up, "1");
        stands(&late, "to.tag_001", "2");
        stands(&late, "to.tag_002", "x");
        stands(&late, &third, "1");
        assert_eq!(waiting(&late), 2, "{}", late.text());
        assert!(late.text().contains("name=\"archived\" value=\"1\" checked"));
    }
    assert_eq!(waiting(&ben.get(TAGS).await), 0);
}

#[tokio::test]
async fn a_list_with_what_was_put_away_is_shown_so_after_each_action() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let (shown, etag) = ("?archived=1", "etag");
    for (path, form) in [
        ("add", &[("name", "Zoe")][..]),
        ("add-many", &[("lines", "One"), ("sure", "1")]),
        ("order", &[("down", "tag_001"), (etag, "")]),
        ("sort", &[(etag, "")]),
    ] {
        let now = Browser::hidden(&browser.get(TAGS).await, etag);
        let filled = |(name, value)| (name, if name == etag { &*now } else { value });
        let form: Vec<_> = form.iter().copied().map(filled).collect();
        let done = browser.post(&format!("{TAGS}/{path}{shown}"), &form).await;
        let to = done.header("location").unwrap();
        assert!(to.starts_with(&format!("{TAGS}{shown}&changed=")), "{path}: {to}");
        let next = Browser::hidden(&browser.follow(&done).await, "next");
        assert_eq!(next, format!("/c/cmp_001/customer_tags{shown}"), "{path}");
        let again = browser.get(&format!("{TAGS}/{path}{shown}")).await;
        assert_eq!(again.header("location"), Some(&*format!("{TAGS}{shown}")), "{path}");
    }
    let etag = Browser::hidden(&browser.get(TAGS).await, etag);
    let headers = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
    let body = format!("etag={etag}&request=s&down=tag_001");
    let told = browser.send("POST", &format!("{TAGS}/order{shown}"), &headers, &body).await.json();
    assert_eq!(told["next"], format!("/c/cmp_001/customer_tags{shown}"), "{told}");
}

#[tokio::test]
async fn a_key_that_ends_under_an_open_form_says_how_and_keeps_the_text() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let soon = server.clock.now().plus_seconds(60);
    let (limited, secret) = server.issue(everything()).await;
    let limited = (limited.id.to_string(), Browser::with_key(&server, &secret).await);
    let expires = server.key(KeyDraft { expires_time: Some(soon), ..everything() }).await;
    let expires = Browser::with_key(&server, &expires).await;
    let (rotated, secret) = server.issue(everything()).await;
    let rotated = (rotated.id.to_string(), Browser::with_key(&server, &secret).await);
    let elsewhere =
        [("name", "test"), ("scope", "*"), ("coverage", "all"), ("addresses", "192.0.2.0/24")];
    let path = format!("/console/keys/{}", limited.0);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    let form = [&elsewhere[..], &[("etag", &*etag)]].concat();
    assert_eq!(owner.post(&path, &form).await.status, 303);
    let path = format!("/console/keys/{}", rotated.0);
    for _ in 0..2 {
        // The second time, the secret is not even the one from before.
        let etag = Browser::hidden(&owner.get(&path).await, "etag");
        let form = [("hours", "0"), ("etag", &*etag)];
        assert_eq!(owner.post(&format!("{path}/rotate"), &form).await.status, 200);
        let told = rotated.1.get(TAGS).await;
        assert!(told.header("location").unwrap().contains("did=own-rotated"));
    }
    server.clock.advance(Duration::from_secs(61));
    for (browser, told) in [
        (&limited.1, "may not be used from the network address at which you are now"),
        (&expires, "Your key came to its end"),
        (&rotated.1, "Your key has another secret now"),
    ] {
        let page = browser.follow(&browser.get(TAGS).await).await;
        assert!(page.text().contains(told), "{told}: {}", page.text());
        let next = Browser::hidden(&page, "next");
        assert_eq!(next, "/c/cmp_001/customer_tags", "{told}");
        let add = format!("{TAGS}/add?archived=1");
        let sent = browser.post(&add, &[("name", "Typed")]).await;
        assert_eq!(sent.status, 401, "{told}");
        assert!(sent.text().contains(told), "{told}: {}", sent.text());
        assert!(sent.text().contains(">\nTyped</textarea>"), "{told}: {}", sent.text());
        assert!(sent.text().contains("name=\"key\""), "{told}: a way in");
        let yet = "You are not signed in yet";
        assert!(!sent.text().contains(yet), "{told}");
        let again = browser.post(&format!("{add}&again=1"), &[("name", "Typed")]).await;
        assert!(again.text().contains(yet) && again.text().contains(told), "{}", again.text());
        assert!(
            again.text().contains(&format!("action=\"{add}&#38;again=1\"")),
            "{}",
            again.text()
        );
        let headers = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
        let script = browser.send("POST", &format!("{TAGS}/order"), &headers, "up=x").await.json();
        assert!(script["text"].as_str().unwrap().contains(told), "{script}");
        // With another key, the form goes on.
        let secret = server.any_key().await;
        let form = [
            ("key", &*secret),
            ("next", "/c/cmp_001/customer_tags/add?archived=1"),
            ("kept.name", "Typed"),
            ("kept.request", told),
        ];
        let page = browser.post("/console/sign-in", &form).await;
        assert!(page.text().contains(&format!("action=\"{add}\"")), "{}", page.text());
        let made = browser.post(&format!("{add}&again=1"), &[("name", told)]).await;
        assert!(
            made.header("location").unwrap().starts_with(&format!("{TAGS}?archived=1&changed="))
        );
    }
}

#[tokio::test]
async fn an_open_page_whose_key_was_revoked_is_told_so_when_it_asks_for_news() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    let owner = Browser::of(&server).await;
    owner.post(&format!("/console/keys/{}/revoke", key.id), &[("request", "r")]).await;
    let headers = [("accept", "application/json"), ("if-none-match", "\"1\"")];
    let polled = browser.send("GET", "/console/c/cmp_001/revision", &headers, "").await;
    assert_eq!(polled.status, 401);
    let told = polled.json();
    assert_eq!(told["text"], "Your key was revoked, so you are signed out.");
    assert_eq!(told["link"], "Sign in again");
}

#[tokio::test]
async fn a_way_back_that_somebody_was_faster_than_shows_what_would_change_now() {
    let server = Server::demo().await;
    let (ana, ben) = (Browser::of(&server).await, Browser::of(&server).await);
    ana.post(&format!("{TAGS}/add"), &[("name", "Later")]).await;
    let path = "/console/c/cmp_001/history/1/back";
    let etag = Browser::hidden(&ana.get(path).await, "etag");
    ben.post(&format!("{TAGS}/add"), &[("name", "Meanwhile")]).await;
    let late = ana.post(path, &[("etag", &*etag)]).await;
    let text = late.text();
    assert_eq!(late.status, 409, "{text}");
    let told = "The last change: Test added the tag “Meanwhile”. This is what would change now.";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("Tag “Later”") && text.contains("Tag “Meanwhile”"), "{text}");
    let etag = Browser::hidden(&late, "etag");
    assert_eq!(ana.post(path, &[("etag", &*etag)]).await.status, 303);
    let tags = ana.get(TAGS).await;
    assert!(!tags.text().contains(">Later<") && !tags.text().contains(">Meanwhile<"));
}

#[tokio::test]
async fn a_moment_that_no_history_has_is_told_without_the_word_revision() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    for path in ["history/9999/back", "customer_tags/download?revision=9999"] {
        let page = browser.get(&format!("/console/c/cmp_001/{path}")).await;
        assert_eq!(page.status, 400, "{path}");
        assert!(page.text().contains("<p>There is no such moment in the"), "{}", page.text());
    }
}
