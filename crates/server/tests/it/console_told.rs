//! The sentences of the console: each stands where it belongs, once, and says what people need to go on.

use std::time::Duration;

use customer_settings_server::{catalog::text::Name, service::keys::KeyDraft};

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
        assert!(
            page.text().contains("value=\"Vienna Time\" aria-invalid"),
            "{path}: {}",
            page.text()
        );
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
        assert!(
            page.text().contains(&format!("id=\"{field}-wrong\">")),
            "{field}: {}",
            page.text()
        );
    }
}

/// Adds a tag and then renames it, so that adding it cannot be undone any more.
async fn renamed_since(browser: &Browser<'_>) {
    browser.post(&format!("{TAGS}/add"), &[("name", "New")]).await;
    let list = browser.get(TAGS).await;
    let path = list.text().split("<a href=\"").find(|rest| rest.contains(">New<")).unwrap();
    let path = path.split('"').next().unwrap().to_owned();
    let etag = Browser::hidden(&browser.get(&path).await, "etag");
    let renamed = browser.post(&path, &[("name", "Newer"), ("etag", &etag)]).await;
    assert_eq!(renamed.status, 303);
}

#[tokio::test]
async fn a_refused_undo_is_told_on_the_page_that_offered_it() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    renamed_since(&browser).await;
    let undo = "/console/c/cmp_001/history/2/undo";
    for (next, to) in [
        ("/c/cmp_001/customer_tags?archived=1", format!("{TAGS}?archived=1&refused=CHANGED_SINCE")),
        ("", "/console/c/cmp_001/history/2?refused=CHANGED_SINCE".to_owned()),
    ] {
        let answer = browser.post(undo, &[("next", next)]).await;
        assert_eq!(answer.header("location"), Some(&*to));
        let page = browser.follow(&answer).await;
        let told = page.text().split("role=\"alert\"").nth(1).unwrap();
        assert!(told.contains("Undo the later changes first"), "{told}");
        let close = to.replace("&refused=CHANGED_SINCE", "").replace("?refused=CHANGED_SINCE", "");
        assert!(told.contains(&format!("href=\"{close}\">Close")), "{told}");
    }
    let made_up = browser.get(&format!("{TAGS}?refused=made-up")).await;
    assert!(!made_up.text().contains("role=\"alert\""), "{}", made_up.text());
}

#[tokio::test]
async fn what_was_done_is_told_soon_and_to_its_author_alone() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let done = browser.post(&format!("{TAGS}/add"), &[("name", "New")]).await;
    let path = done.header("location").unwrap().to_owned();
    let told = "Added the tag “New”.";
    let page = browser.get(&path).await;
    assert!(page.text().contains(told), "{}", page.text());
    assert!(page.text().contains(&format!("href=\"{TAGS}\">Close")), "{}", page.text());
    let other = Browser::of(&server).await.get(&path).await;
    assert!(!other.text().contains(told), "{}", other.text());
    server.clock.advance(Duration::from_secs(601));
    let later = browser.get(&path).await;
    assert!(!later.text().contains(told), "{}", later.text());
}

#[tokio::test]
async fn a_place_that_is_none_is_told_at_its_field() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let etag = Browser::hidden(&browser.get(TAGS).await, "etag");
    let order = format!("{TAGS}/order");
    for typed in ["abc", "-3", "0", "3", ""] {
        let form = [("etag", &*etag), ("to.tag_001", typed), ("to.tag_002", "2"), ("place", "")];
        let page = browser.post(&order, &form).await;
        assert_eq!(page.status, 400, "{typed}");
        let field = format!("name=\"to.tag_001\" value=\"{typed}\" aria-invalid=\"true\"");
        assert!(page.text().contains(&field), "{typed}: {}", page.text());
        assert!(page.text().contains("Give a number from 1 to 2."), "{typed}: {}", page.text());
    }
    let both = [("etag", &*etag), ("to.tag_001", "99"), ("to.tag_002", "2.5"), ("place", "")];
    let page = browser.post(&order, &both).await;
    assert_eq!(page.text().matches("aria-invalid").count(), 2, "{}", page.text());
    browser.post(&format!("{TAGS}/add"), &[("name", "Third")]).await;
    let etag = Browser::hidden(&browser.get(TAGS).await, "etag");
    let twice = [("etag", &*etag), ("to.tag_001", "3"), ("to.tag_002", "3"), ("place", "")];
    let page = browser.post(&order, &twice).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("Two tags are to have place 3."), "{}", page.text());
    assert_eq!(page.text().matches("Another one is to have this place too.").count(), 2);
    assert_eq!(page.text().matches("aria-invalid").count(), 2, "{}", page.text());
    let same = [("etag", &*etag), ("to.tag_001", "2"), ("to.tag_002", " 2 "), ("up", "tag_002")];
    let page = browser.post(&order, &same).await;
    assert_eq!(page.status, 303, "the other one leaves this place");
    let etag = Browser::hidden(&browser.get(TAGS).await, "etag");
    browser.post(&format!("{TAGS}/add"), &[("name", "Meanwhile")]).await;
    let late = browser.post(&order, &[("etag", &*etag), ("to.tag_001", "9")]).await;
    assert_eq!(late.status, 409, "{}", late.text());
}

#[tokio::test]
async fn a_default_that_was_put_away_returns_as_told() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = "/console/c/cmp_001/life_cycles/lc_001";
    let etag = Browser::hidden(&browser.get(path).await, "etag");
    let away = [("etag", &*etag), ("successor", "lc_003")];
    browser.post(&format!("{path}/archive"), &away).await;
    let page = browser.get(path).await;
    assert!(page.text().contains("The default stays the one that it is now."), "{}", page.text());
    let etag = Browser::hidden(&page, "etag");
    browser.post(&format!("{path}/restore"), &[("etag", &etag)]).await;
    let badge = "class=\"badge\">Default<";
    assert!(!browser.get(path).await.text().contains(badge));
    assert!(browser.get(&path.replace("lc_001", "lc_003")).await.text().contains(badge));
    let tag = format!("{TAGS}/tag_001");
    let etag = Browser::hidden(&browser.get(&tag).await, "etag");
    browser.post(&format!("{tag}/archive"), &[("etag", &etag)]).await;
    let tag = browser.get(&tag).await;
    assert!(tag.text().contains("Take it back") && !tag.text().contains("The default stays"));
}

#[tokio::test]
async fn every_palette_tells_how_text_reads_on_what_was_picked() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let told = "aria-live=\"polite\">On this color, white text is easy to read (contrast 5.6 : 1).";
    let add = [("name", ""), ("pick", "#C62828")];
    let page = browser.post(&format!("{TAGS}/add"), &add).await;
    assert!(page.text().contains(told), "{}", page.text());
    let path = format!("{TAGS}/tag_001");
    let etag = Browser::hidden(&browser.get(&path).await, "etag");
    for status in [303, 409] {
        let (name, picked) = if status == 303 { ("Ana", "none") } else { ("Ben", "#C62828") };
        let page = browser.post(&path, &[("name", name), ("pick", picked), ("etag", &etag)]).await;
        assert_eq!(page.status, status);
        assert_eq!(page.text().contains(told), status == 409, "{}", page.text());
    }
}

#[tokio::test]
async fn a_conflict_says_who_changed_it_and_when() {
    let server = Server::demo().await;
    let ana = KeyDraft { name: Name::parse("name", "Ana").unwrap(), ..everything() };
    let (ana, ben) =
        (Browser::with_key(&server, &server.key(ana).await).await, Browser::of(&server).await);
    let company = "/console/c/cmp_001";
    for (path, field) in [
        (format!("{TAGS}/tag_001"), "pick"),
        (format!("{company}/locations/biz_001"), "city"),
        (format!("{company}/settings"), "country"),
    ] {
        let etag = Browser::hidden(&ben.get(&path).await, "etag");
        let form = |name: &'static str| [("name", name), (field, ""), ("etag", &*etag)];
        assert_eq!(ana.post(&path, &form("Of Ana")).await.status, 303, "{path}");
        for (browser, told) in [(&ben, "Changed last by Ana, <time"), (&ana, "was made <time")] {
            let page = browser.post(&path, &form("Of Ben")).await;
            assert_eq!(page.status, 409, "{path}");
            assert!(page.text().contains(told), "{path}: {}", page.text());
        }
    }
    let order = format!("{TAGS}/order");
    let etag = Browser::hidden(&ben.get(TAGS).await, "etag");
    let down = [("etag", &*etag), ("down", "tag_001")];
    assert_eq!(ana.post(&order, &down).await.status, 303);
    let page = ben.post(&order, &down).await;
    assert!(page.text().contains("Changed last by Ana, <time"), "{}", page.text());
    let headers = [("sec-fetch-site", "same-origin"), ("accept", "application/json")];
    let body = format!("etag={etag}&request=other&ids=tag_001,tag_002");
    let told = ben.send("POST", &order, &headers, &body).await.json();
    assert!(told["text"].as_str().unwrap().contains("Changed last by Ana. "), "{told}");
}

#[tokio::test]
async fn a_conflict_about_a_key_shows_both_versions() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let (key, _) = server.issue(everything()).await;
    let path = format!("/console/keys/{}", key.id);
    let page = browser.get(&path).await;
    let etag = Browser::hidden(&page, "etag");
    let names = ["name", "staff", "addresses", "expires", "scope", "companies"];
    let was: Vec<(String, String)> = names
        .iter()
        .map(|name| format!("was.{name}"))
        .map(|name| (name.clone(), Browser::hidden(&page, &name)))
        .collect();
    let form = |name: &'static str, addresses: &'static str| {
        let mut form: Vec<(&str, &str)> =
            was.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([("name", name), ("addresses", addresses), ("staff", &*was[1].1)]);
        form.extend([("coverage", "all"), ("etag", &etag)]);
        form.extend(was[4].1.split(' ').map(|scope| ("scope", scope)));
        form
    };
    let ana = browser.post(&path, &form("Of Ana", "192.0.2.0/24")).await;
    assert_eq!(ana.status, 303, "{}", ana.text());
    let ben = browser.post(&path, &form("Of Ben", "")).await;
    assert_eq!(ben.status, 409, "{}", ben.text());
    for part in [
        "<dt>Name</dt><dd>Of Ana</dd>",
        "<dt>Only from</dt><dd>192.0.2.0/24</dd>",
        "The last change was made <time",
        "name=\"name\" required value=\"Of Ben\"",
        // The field that Ben left alone.
        ">192.0.2.0/24</textarea>",
    ] {
        assert!(ben.text().contains(part), "{part}: {}", ben.text());
    }
}

#[tokio::test]
async fn a_session_is_known_by_its_browser() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let tablet = Browser::new(&server);
    let agent = "Mozilla/5.0 (Linux; Android 15; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36";
    let headers = [
        ("user-agent", agent),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = format!("key={secret}");
    let answer = tablet.send("POST", "/console/sign-in", &headers, &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let other = Browser::with_key(&server, &secret).await;
    for path in ["/console/sessions".to_owned(), format!("/console/keys/{}", key.id)] {
        let page = tablet.get(&path).await;
        let own = "<strong>Chrome on Android</strong> <span class=\"badge\">This one</span>";
        assert!(page.text().contains(own), "{path}: {}", page.text());
        assert!(
            page.text().contains("<strong>Unknown browser</strong>"),
            "{path}: {}",
            page.text()
        );
        assert!(!page.text().contains("SM-X210"), "{path}");
        let page = other.get(&path).await;
        assert!(
            page.text().contains("<strong>Chrome on Android</strong>"),
            "{path}: {}",
            page.text()
        );
        assert!(!page.text().contains(own), "{path}: {}", page.text());
    }
}

#[tokio::test]
async fn a_link_that_was_used_says_when() {
    let server = Server::demo().await;
    let (key, _) = server.issue(everything()).await;
    let owner = Browser::of(&server).await;
    let page = format!("/console/keys/{}", key.id);
    let made = owner.post(&format!("{page}/link"), &[("last", "")]).await;
    let token = made.text().split("/console/link?token=").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    assert!(!owner.get(&page).await.text().contains("</time> and used <time"));
    let (first, second) = (Browser::new(&server), Browser::new(&server));
    let sent = [("token", token)];
    assert_eq!(first.post("/console/link", &sent).await.status, 303);
    let path = format!("/console/link?token={token}");
    for answer in [second.get(&path).await, second.post("/console/link", &sent).await] {
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("It was used <time datetime=\""), "{}", answer.text());
    }
    let told = owner.get(&page).await;
    assert!(told.text().contains("</time> and used <time"), "{}", told.text());
    let unknown = second.get("/console/link?token=other").await;
    for unknown in [unknown, second.get("/console/link").await] {
        assert!(unknown.text().contains("older than two days"), "{}", unknown.text());
        assert!(unknown.text().contains("not copied whole"), "{}", unknown.text());
    }
}

#[tokio::test]
async fn a_form_that_waited_says_that_the_thing_was_changed_meanwhile() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let path = "/c/cmp_001/customer_tags/tag_001";
    let page = Browser::of(&server).await.get(&format!("/console{path}")).await;
    let etag = Browser::hidden(&page, "etag");
    let waiting = [
        ("key", secret.as_str()),
        ("next", path),
        ("kept.name", "Of Ben"),
        ("kept.etag", &*etag),
        ("kept.request", "waiting"),
    ];
    let told = "was changed since you opened it";
    let ben = Browser::new(&server).post("/console/sign-in", &waiting).await;
    assert!(ben.text().contains("Welcome back") && !ben.text().contains(told), "{}", ben.text());
    let ana = [("name", "Of Ana"), ("etag", &*etag)];
    assert_eq!(Browser::of(&server).await.post(&format!("/console{path}"), &ana).await.status, 303);
    let ben = Browser::new(&server).post("/console/sign-in", &waiting).await;
    assert!(ben.text().contains("Welcome back") && ben.text().contains(told), "{}", ben.text());
}

#[tokio::test]
async fn a_list_that_is_nearly_full_marks_every_line_beyond_it() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let new = [("name", "New"), ("id", "cmp_new"), ("request", "a")];
    browser.post("/console/companies/new", &new).await;
    let list = "/console/c/cmp_new/referral_sources";
    let many = format!("{list}/add-many");
    let names = |from: usize, to: usize| {
        let lines: Vec<String> = (from..to).map(|number| format!("Source {number}")).collect();
        lines.join("\n")
    };
    let first = names(0, 998);
    assert_eq!(browser.post(&many, &[("lines", &*first), ("sure", "1")]).await.status, 303);
    let page = browser.get(list).await;
    let path = page.text().split("<a href=\"").find(|rest| rest.contains(">Source 7<")).unwrap();
    let path = path.split('"').next().unwrap();
    let etag = Browser::hidden(&browser.get(path).await, "etag");
    browser.post(&format!("{path}/archive"), &[("etag", &etag)]).await;
    let lines = format!("Source 8\nSource 7\n{}", names(998, 1_003));
    let preview = browser.post(&many, &[("lines", &*lines)]).await;
    for told in [
        "<h1>Go on with these 3 referral sources?</h1>",
        "Of the 1000 places of the list, 2 are free: those put away count too.",
        "Line 1: “Source 8” is there already.",
        "name=\"back\" value=\"2 ",
        "Line 5: There is no free place for it.",
        "Line 7: There is no free place for it.",
        "Do this for the other 3, without these 4",
    ] {
        assert!(preview.text().contains(told), "{told}: {}", preview.text());
    }
    let [without, shown] = ["without", "shown"].map(|name| Browser::hidden(&preview, name));
    let back = Browser::hidden(&preview, "back");
    let sure = [("shown", &*shown), ("back", &*back), ("sure", "1")];
    let form = [&[("lines", &*lines), ("without", &*without)], &sure[..]].concat();
    let added = browser.post(&many, &form).await;
    assert_eq!(added.status, 303, "{}", added.text());
    let full = "The list “Referral sources” is full: it has 1000 entries, counting those put away.";
    for page in [
        browser.post(&many, &[("lines", "One more")]).await,
        browser.post(&many, &[("lines", "One more"), ("sure", "1")]).await,
        browser.post(&format!("{list}/add"), &[("name", "One more")]).await,
    ] {
        assert!(page.text().contains(full), "{}", page.text());
        assert!(!page.text().contains("name=\"sure\""), "{}", page.text());
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_says_so() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    browser.post(&format!("{TAGS}/add"), &[("name", "New"), ("request", "other")]).await;
    let etag = Browser::hidden(&browser.get(TAGS).await, "etag");
    let stay = [("etag", &*etag), ("to.tag_001", "1"), ("place", ""), ("request", "stay")];
    let moved = browser.post(&format!("{TAGS}/order"), &stay).await;
    let again = [("etag", &*etag), ("up", "tag_001"), ("request", "up")];
    let up = browser.post(&format!("{TAGS}/order"), &again).await;
    for answer in [moved, up] {
        assert_eq!(answer.status, 303, "{}", answer.text());
        let page = browser.follow(&answer).await;
        assert!(page.text().contains("Nothing was changed."), "{}", page.text());
    }
    let path = format!("/console/keys/{}", key.id);
    let page = browser.get(&path).await;
    let [etag, name, staff] =
        ["etag", "was.name", "was.staff"].map(|name| Browser::hidden(&page, name));
    let scopes = Browser::hidden(&page, "was.scope");
    let mut form =
        vec![("name", &*name), ("staff", &*staff), ("coverage", "all"), ("etag", &*etag)];
    form.extend(scopes.split(' ').map(|scope| ("scope", scope)));
    let saved = browser.post(&path, &form).await;
    assert_eq!(saved.header("location"), Some(&*format!("{path}?did=nothing")));
    let page = browser.follow(&saved).await;
    assert!(page.text().contains("Nothing was changed."), "{}", page.text());
}

#[tokio::test]
async fn a_name_that_is_taken_since_is_named_where_nothing_is_undone() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let tag = format!("{TAGS}/tag_001");
    let page = browser.get(&tag).await;
    let (etag, name) = (Browser::hidden(&page, "etag"), Browser::hidden(&page, "was.name"));
    browser.post(&format!("{tag}/archive"), &[("etag", &etag)]).await;
    let add = [("name", &*name), ("sure", "tag_001")];
    browser.post(&format!("{TAGS}/add"), &add).await;
    let undone = browser.post("/console/c/cmp_001/history/2/undo", &[("next", "")]).await;
    let page = browser.follow(&undone).await;
    let taken = format!("The name “{name}” is taken: another one in the list has it now.");
    let told = format!("Nothing was undone. {taken} Rename that one first. <a href=\"{TAGS}/");
    assert!(page.text().contains(&told), "{}", page.text());
    let path = page.text().split(&*told).nth(1).unwrap().split('"').next().unwrap();
    let other = browser.get(&format!("{TAGS}/{path}")).await;
    assert_ne!(path, "tag_001");
    assert!(other.text().contains(&format!("<h1>{name}</h1>")), "{}", other.text());
    let etag = Browser::hidden(&browser.get(&tag).await, "etag");
    let page = browser.post(&format!("{tag}/restore"), &[("etag", &etag)]).await;
    assert_eq!(page.status.as_u16() / 100, 4);
    let told = format!("It was not taken back. {taken} Rename that one first. <a href=\"{TAGS}/");
    assert!(page.text().contains(&told), "{}", page.text());
}

#[tokio::test]
async fn a_person_is_told_that_the_key_revoked_is_their_own() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    let path = format!("/console/keys/{}", key.id);
    let page = browser.get(&path).await;
    assert!(page.text().contains("This is your own key: you will be signed out"));
    let revoked = browser.post(&format!("{path}/revoke"), &[("request", "own")]).await;
    assert_eq!(revoked.header("location"), Some("/console/sign-in?did=own-revoked"));
    let page = browser.follow(&revoked).await;
    let told = "Your key was revoked, so you are signed out.";
    assert!(page.text().contains(told), "{}", page.text());
}

#[tokio::test]
async fn a_browser_whose_key_was_revoked_is_told_so_and_no_other() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let (key, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    owner.post(&format!("/console/keys/{}/revoke", key.id), &[("request", "r")]).await;
    let told = "Your key was revoked, so you are signed out";
    let answer = browser.get(TAGS).await;
    let to = answer.header("location").unwrap();
    assert!(to.starts_with("/console/sign-in?did=own-revoked&next="), "{to}");
    assert!(browser.follow(&answer).await.text().contains(told));
    let sent = browser.post(&format!("{TAGS}/add"), &[("name", "Typed")]).await;
    assert_eq!(sent.status, 401);
    assert!(sent.text().contains(told) && sent.text().contains(">\nTyped</textarea>"));
    let cookie = ("cookie", "session=made-up");
    let answer = Browser::new(&server).send("GET", TAGS, &[cookie], "").await;
    assert!(answer.header("location").unwrap().starts_with("/console/sign-in?next="));
}

#[tokio::test]
async fn a_link_that_was_used_leads_on_where_somebody_is_signed_in() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    for path in ["/console/link?token=gone", "/console/link"] {
        let page = owner.get(path).await;
        assert!(page.text().contains("You are signed in here already, as <strong>"), "{path}");
        assert!(page.text().contains("href=\"/console\">Go on</a>"), "{path}");
        assert!(!page.text().contains("Sign in with a key"), "{path}");
        let stranger = Browser::new(&server).get(path).await;
        assert!(stranger.text().contains("Sign in with a key"), "{path}");
        assert!(!stranger.text().contains("Go on"), "{path}");
    }
}

#[tokio::test]
async fn a_company_that_was_made_and_a_key_that_was_saved_say_so() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let made = owner.post("/console/companies/new", &[("name", "Paws"), ("id", "paws")]).await;
    assert_eq!(made.header("location"), Some("/console/c/paws?did=company-made"));
    let page = owner.follow(&made).await;
    assert!(page.text().contains("The company was made. Next, fill its lists"), "{}", page.text());
    let (key, _) = server.issue(everything()).await;
    let path = format!("/console/keys/{}", key.id);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    let form =
        [("name", "Till"), ("scope", "settings:read"), ("coverage", "all"), ("etag", &*etag)];
    let saved = owner.post(&path, &form).await;
    let page = owner.follow(&saved).await;
    assert!(page.text().contains("Saved: the name and what it may do."), "{}", page.text());
}

#[tokio::test]
async fn two_keys_of_one_name_can_be_told_apart() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let draft = || KeyDraft { name: Name::parse("name", "Ana").unwrap(), ..everything() };
    let mut marks = Vec::new();
    for name in ["One", "Two"] {
        let (key, secret) = server.issue(draft()).await;
        let id = key.id.to_string();
        marks.push(format!("(key …{})", &id[id.len() - 4..]));
        let ana = Browser::with_key(&server, &secret).await;
        ana.post(&format!("{TAGS}/add"), &[("name", name)]).await;
    }
    for path in ["/console/keys", "/console/c/cmp_001/history"] {
        let page = owner.get(path).await;
        for mark in &marks {
            assert!(page.text().contains(mark), "{path} {mark}: {}", page.text());
        }
        assert_eq!(page.text().matches("(key …").count(), 2, "{path}: {}", page.text());
    }
    // The other key of the name is on none of these pages.
    let clerk = with_scopes(&["settings:read", "companies:read", "history:read"]);
    let clerk = Browser::with_key(&server, &server.issue(clerk).await.1).await;
    let list = server.get("/admin/v1/companies/cmp_001/customer_tags");
    let list = list.bearer(&server.any_key().await).send().await.json();
    let made = list["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(made["name"], "Two");
    let id = made["id"].as_str().unwrap();
    let one = format!("/console/c/cmp_001/history?list=customer_tags&entry={id}");
    for browser in [&owner, &clerk] {
        for path in [&*one, "/console/c/cmp_001/history/3"] {
            let page = browser.get(path).await;
            assert!(page.text().contains(&marks[1]), "{path}: {}", page.text());
            assert_eq!(page.text().matches("(key …").count(), 1, "{path}: {}", page.text());
        }
    }
}

#[tokio::test]
async fn wrong_values_are_told_in_words_of_people() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let key = [("name", "Till"), ("scope", "settings:read"), ("coverage", "all")];
    for (path, form, told) in [
        (
            "/console/companies/new",
            vec![("name", "Paws"), ("id", "My paws")],
            "The id may have letters, digits, underscores and hyphens, at most 64, and nothing else.",
        ),
        (
            "/console/keys/new",
            [&key[..], &[("expires", "2001-02-03")]].concat(),
            "The last day is over already: give a later one, or revoke the key to end it at once.",
        ),
        (
            &*format!("{TAGS}/add"),
            vec![("name", "VIP\u{202E}x")],
            "The name has an invisible character that turns the direction of text (U+202E): type it anew.",
        ),
        (
            &*format!("{TAGS}/add-many"),
            vec![("lines", "VIP\u{7}x"), ("sure", "")],
            "The name has an invisible control character (U+0007): type it anew.",
        ),
    ] {
        let page = owner.post(path, &form).await;
        assert!(page.text().contains(told), "{path}: {}", page.text());
    }
    let made = [&key[..], &[("request", "once")]].concat();
    assert!(owner.post("/console/keys/new", &made).await.text().contains("value=\"cs_"));
    let again = owner.post("/console/keys/new", &made).await;
    assert!(again.text().contains("The key was shown when this form was sent first"));
    assert!(!again.text().contains("request id"), "{}", again.text());
}

#[tokio::test]
async fn two_that_change_places_over_others_are_not_told_as_one_move() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let list = "/console/c/cmp_001/action_statuses";
    let moved = async |to: [(&str, &str); 2]| {
        let etag = Browser::hidden(&browser.get(list).await, "etag");
        let form = [("etag", &*etag), to[0], to[1], ("place", "")];
        browser.follow(&browser.post(&format!("{list}/order"), &form).await).await
    };
    moved([("to.as_001", "3"), ("to.as_003", "1")]).await;
    let told = "ut the statuses into another order";
    let history = browser.get("/console/c/cmp_001/history").await;
    assert!(history.text().contains(&format!("p{told}</a>")), "{}", history.text());
    let undone = browser.post("/console/c/cmp_001/history/2/undo", &[]).await;
    let undone = browser.follow(&undone).await;
    assert!(undone.text().contains(&format!("P{told}.")), "{}", undone.text());
    moved([("to.as_001", "3"), ("to.as_002", "1")]).await;
    let history = browser.get("/console/c/cmp_001/history").await;
    assert_eq!(history.text().matches(told).count(), 2, "{}", history.text());
    assert!(history.text().contains("moved “"), "{}", history.text());
}
