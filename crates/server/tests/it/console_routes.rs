//! The console's paths, all of them: none shows or does anything without a session, or more than the key may. The
//! paths are read from the source, so a new one is tested too.

use std::fs;

use customer_settings_server::service::keys::KeyDraft;
use serde_json::json;

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

/// A row of the table of routes.
struct Row {
    method: &'static str,
    /// The path with the ids of the demo.
    path: String,
    /// The methods of the contract that it names.
    calls: Vec<String>,
}

/// Every row that needs somebody signed in.
fn rows() -> Vec<Row> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/routes.rs");
    let source = fs::read_to_string(source).unwrap();
    let table = source.split("ROUTES: &[Route] = &[").nth(1).unwrap().split("\n];").next().unwrap();
    let mut table: String = table.split_whitespace().collect();
    for constant in source.split("\nconst ").skip(1) {
        let (name, rest) = constant.split_once(": &").unwrap_or_default();
        let value =
            rest.split(';').next().unwrap().split_once(" = ").map_or("", |(_, value)| value);
        let value: String = value.split_whitespace().collect();
        for (before, after) in [("[", "]"), (",", ","), (",", ")")] {
            let used = |what: &str| format!("{before}{what}{after}");
            table = table.replace(&used(name), &used(&value));
        }
    }
    let mut rows = Vec::new();
    for (call, method) in [("get(\"", "GET"), ("post(\"", "POST")] {
        for rest in table.split(call).skip(1) {
            let rest = rest.split("Shows::").take(2).collect::<String>();
            let rest = rest.split("get(").next().unwrap().split("post(").next().unwrap();
            let texts = rest.split('"').skip(2).step_by(2);
            let calls = texts.filter(|text| text.contains("Service/")).map(str::to_owned).collect();
            let path = with_ids(rest.split('"').next().unwrap());
            rows.push(Row { method, path, calls });
        }
    }
    // Nothing of the table was read over.
    assert_eq!(rows.len(), table.matches("Shows::").count());
    let is_open = |path: &str| {
        ["/sign-in", "/link", "/sign-out"].iter().any(|open| path == format!("/console{open}"))
    };
    rows.retain(|row| !is_open(&row.path));
    rows
}

fn with_ids(path: &str) -> String {
    let mut parts = ["cmp_001", "customer_tags", "tag_001"].into_iter();
    if path.starts_with("/keys") {
        parts = ["key_x", "", ""].into_iter();
    }
    if path.contains("history") {
        parts = ["cmp_001", "1", ""].into_iter();
    }
    if path.contains("locations") {
        parts = ["cmp_001", "biz_001", ""].into_iter();
    }
    let pieces: Vec<&str> = path.split("{}").collect();
    let mut filled = format!("/console{}", pieces[0]);
    for piece in &pieces[1..] {
        filled += parts.next().unwrap();
        filled += piece;
    }
    filled
}

fn routes() -> Vec<(&'static str, String)> {
    rows().into_iter().map(|row| (row.method, row.path)).collect()
}

/// A form that the path takes.
fn form_of(path: &str) -> &'static [(&'static str, &'static str)] {
    const ETAG: (&str, &str) = ("etag", "5d41402abc4b2a7605d41402");
    let last = path.rsplit('/').next().unwrap();
    match last {
        "add" | "new" | "locations" => &[("name", "Nothing")],
        "add-many" => &[("lines", "Nothing"), ("sure", "1")],
        "import" => &[("text", "companies: []")],
        "undo" | "link" | "revoke" | "end" | "end-session" => &[],
        "archive" | "restore" | "order" | "sort" | "back" | "rotate" => &[ETAG],
        _ => &[("name", "Nothing"), ETAG],
    }
}

async fn ask(browser: &Browser<'_>, method: &str, path: &str) -> Answer {
    match method {
        "GET" => browser.get(path).await,
        _ => browser.post(path, form_of(path)).await,
    }
}

#[tokio::test]
async fn no_path_shows_or_does_anything_without_a_session() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let list = "customersettings.v1.HistoryService/ListChanges";
    let changes =
        async || server.grpc_as(&secret, list, json!({"companyId": "cmp_001"})).await.unwrap();
    let before = changes().await;
    let stranger = Browser::new(&server);
    for (method, path) in routes() {
        let answer = ask(&stranger, method, &path).await;
        let expected = if method == "GET" { 303 } else { 401 };
        assert_eq!(answer.status, expected, "{method} {path}");
        assert!(!answer.text().contains("Happy Paws"), "{method} {path}");
    }
    assert_eq!(before, changes().await);
}

#[tokio::test]
async fn no_path_does_more_than_its_key_may() {
    let server = Server::demo().await;
    // A key with some other scope than any path needs.
    let staff = Browser::with_key(&server, &server.key(with_scopes(&["staff:any"])).await).await;
    for (method, path) in routes() {
        let answer = ask(&staff, method, &path).await;
        let is_for_all =
            ["/console", "/console/sessions", "/console/sessions/end"].contains(&&*path);
        assert_eq!(answer.status == 403, !is_for_all, "{method} {path}: {}", answer.status);
        assert!(!answer.text().contains("Happy Paws"), "{method} {path}");
        assert!(!answer.text().contains("That did not work"), "{method} {path}");
    }
    let elsewhere = Browser::with_key(&server, &server.key(covering(&["cmp_002"])).await).await;
    for (method, path) in routes().into_iter().filter(|(_, path)| path.contains("cmp_001")) {
        let there = ask(&elsewhere, method, &path).await;
        let nowhere = ask(&elsewhere, method, &path.replace("cmp_001", "cmp_nowhere")).await;
        assert_eq!((there.status.as_u16(), nowhere.status.as_u16()), (403, 403), "{method} {path}");
        assert!(!there.text().contains("Happy Paws"), "{method} {path}");
    }
}

#[tokio::test]
async fn no_get_writes_and_no_path_takes_two_methods_for_one_thing() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let all = routes();
    for (_, path) in all
        .iter()
        .filter(|(method, path)| *method == "POST" && !all.contains(&("GET", path.clone())))
    {
        // The address of a page that answered a form leads to the page that has the form.
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 303, "{path}");
        let page = answer.header("location").unwrap().to_owned();
        assert!(all.contains(&("GET", page.clone())) || page == "/console", "{path}: {page}");
    }
    assert_eq!(browser.post("/console/c/cmp_001", &[]).await.status, 405);
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = browser.send(method, TAGS, &[("sec-fetch-site", "same-origin")], "").await;
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[tokio::test]
async fn a_form_without_its_number_is_refused_and_nothing_is_lost() {
    // The number makes a form that is sent twice write once.
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let before = owner.get("/console/c/cmp_001/history").await;
    for body in ["name=Typed", "name=Typed&request="] {
        let headers = [("sec-fetch-site", "same-origin")];
        let answer = owner.send("POST", &format!("{TAGS}/add"), &headers, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("no number of its own"), "{}", answer.text());
        assert!(answer.text().contains(">Typed<"), "{}", answer.text());
    }
    let after = owner.get("/console/c/cmp_001/history").await;
    assert_eq!(before.text().matches("<li>").count(), after.text().matches("<li>").count());
}

#[tokio::test]
async fn a_page_needs_the_scopes_of_the_methods_that_its_route_names_and_no_others() {
    let server = Server::demo().await;
    for Row { path, calls, .. } in rows().into_iter().filter(|row| row.method == "GET") {
        let scopes =
            calls.iter().flat_map(|call| method(&format!("customersettings.v1.{call}")).scopes);
        let mut scopes: Vec<String> = scopes.collect();
        scopes.sort();
        scopes.dedup();
        let chosen: Vec<&str> = scopes.iter().map(String::as_str).collect();
        // A key needs some scope.
        let (key, secret) = match chosen.is_empty() {
            true => server.issue(with_scopes(&["staff:any"])).await,
            false => server.issue(with_scopes(&chosen)).await,
        };
        let path = path.replace("key_x", key.id.as_str());
        let answer = Browser::with_key(&server, &secret).await.get(&path).await;
        assert_eq!(answer.status, 200, "{path} with {chosen:?}: {}", answer.text());
        for lacking in &chosen {
            let mut others: Vec<&str> =
                chosen.iter().copied().filter(|one| one != lacking).collect();
            others.push("staff:any");
            let (key, secret) = server.issue(with_scopes(&others)).await;
            let path = path.rsplit_once("key_").map_or(path.clone(), |(begin, rest)| {
                let end = rest.split_once('/').map_or(String::new(), |(_, end)| format!("/{end}"));
                format!("{begin}{}{end}", key.id)
            });
            let answer = Browser::with_key(&server, &secret).await.get(&path).await;
            assert_eq!(answer.status, 403, "{path} without {lacking}");
        }
    }
}

#[tokio::test]
async fn a_key_that_may_see_nothing_is_told_so_and_led_nowhere() {
    let server = Server::demo().await;
    let only = KeyDraft { scopes: with_scopes(&["staff:any"]).scopes, ..covering(&["cmp_001"]) };
    let browser = Browser::with_key(&server, &server.key(only).await).await;
    let page = browser.get("/console").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Nothing to see here"), "{}", page.text());
    assert!(!page.text().contains("cmp_001"), "{}", page.text());
}
