//! The console's doors: signing in, sessions, forged forms, headers. `console_hosts.rs` tests hosts, `public_url` and
//! proxies, and `console_pages.rs` what its pages do.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use customer_settings_server::{
    catalog::access::Task, clock::Clock, config::Config, service::keys::KeyDraft,
};

use crate::harness::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Counts the forms of all browsers.
static FORMS: AtomicU32 = AtomicU32::new(0);
const FORM: &str = "application/x-www-form-urlencoded";

/// A browser: it keeps the cookie, and says of each form that it comes from a page of the console.
pub(crate) struct Browser<'a> {
    pub(crate) server: &'a Server,
    pub(crate) host: String,
    cookie: Mutex<Option<String>>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self { server, host: server.address.to_string(), cookie: Mutex::default() }
    }

    pub(crate) fn at(server: &'a Server, host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::new(server) }
    }

    /// One that is signed in with this secret.
    pub(crate) async fn with_key(server: &'a Server, secret: &str) -> Self {
        let browser = Self::new(server);
        let answer = browser.sign_in(secret).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser
    }

    /// One that may do everything.
    pub(crate) async fn of(server: &'a Server) -> Self {
        let secret = server.any_key().await;
        Self::with_key(server, &secret).await
    }

    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    pub(crate) async fn sign_in(&self, secret: &str) -> Answer {
        self.post("/console/sign-in", &[("key", secret)]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        // Forms that write have a number of their own.
        let with_request = !["/sign-in", "/link", "/sign-out", "/end", "/end-session"]
            .iter()
            .any(|end| path.ends_with(end))
            && fields.iter().all(|(name, _)| *name != "request");
        let request = format!("r-{}", FORMS.fetch_add(1, Ordering::Relaxed));
        let request = with_request.then_some(("request", request.as_str()));
        let pairs = fields.iter().chain(request.iter());
        let pairs = pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let headers = [("content-type", FORM), ("sec-fetch-site", "same-origin")];
        self.send("POST", path, &headers, &body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut call = self.server.call_at(&self.host, method, path);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        if let Some(cookie) = self.cookie() {
            call = call.header("cookie", &cookie);
        }
        let answer = call.body(body.to_owned()).send().await;
        if let Some(given) = answer.header("set-cookie") {
            let pair = given.split(';').next().unwrap().to_owned();
            let is_taken = pair.ends_with('=');
            *self.cookie.lock().unwrap() = (!is_taken).then_some(pair);
        }
        answer
    }

    /// The value of a hidden field of a page.
    pub(crate) fn hidden(answer: &Answer, name: &str) -> String {
        let page = answer.text();
        let mark = format!("name=\"{name}\" value=\"");
        let at = page.find(&mark).unwrap_or_else(|| panic!("no {name} in {page}"));
        page[at + mark.len()..].split('"').next().unwrap().to_owned()
    }

    /// Follows a redirection.
    pub(crate) async fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.text());
        self.get(answer.header("location").unwrap()).await
    }
}

pub(crate) async fn is_signed_in(browser: &Browser<'_>) -> bool {
    let answer = browser.get("/console?all=1").await;
    match answer.status.as_u16() {
        200 => true,
        303 => {
            assert!(answer.header("location").unwrap().starts_with("/console/sign-in"));
            false
        }
        other => panic!("{other}: {}", answer.text()),
    }
}

#[tokio::test]
async fn a_key_signs_in_and_no_script_sees_the_session() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let browser = Browser::new(&server);
    assert!(!is_signed_in(&browser).await);
    let answer = browser.sign_in(&format!("  {secret}\n")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console")));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
    assert!(cookie.ends_with("HttpOnly; SameSite=Lax"), "{cookie}");
    // It goes to the console alone, and lasts as long as a session may.
    assert!(cookie.contains("Path=/console; Max-Age=7776000;"), "{cookie}");
    assert!(is_signed_in(&browser).await);
    let answer = browser.post("/console/sign-out", &[]).await;
    assert_eq!(answer.header("location"), Some("/console/sign-in?did=signed-out"));
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_token_is_stored_nowhere_and_works_no_more_after_the_sign_out() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let old = browser.cookie().unwrap();
    let token = old.strip_prefix("session=").unwrap();
    assert_eq!(token.len(), 43);
    let bytes = server.data().bytes().await;
    assert!(!bytes.windows(token.len()).any(|part| part == token.as_bytes()));
    browser.post("/console/sign-out", &[]).await;
    *browser.cookie.lock().unwrap() = Some(old);
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_before() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let old = browser.cookie().unwrap();
    let secret = server.any_key().await;
    browser.sign_in(&secret).await;
    assert_ne!(browser.cookie().unwrap(), old);
    let other = Browser::new(&server);
    *other.cookie.lock().unwrap() = Some(old);
    assert!(!is_signed_in(&other).await);
}

#[tokio::test]
async fn wrong_keys_are_refused_in_the_words_of_the_api() {
    let server = Server::demo().await;
    let browser = Browser::new(&server);
    let answer = browser.sign_in("an-imported-secret-that-nobody-has").await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("id=\"key-wrong\""), "{}", answer.text());
    assert!(answer.header("set-cookie").is_none());
    assert_eq!(browser.sign_in("").await.status, 401);
    let elsewhere = server.key(from_networks(&["192.0.2.0/24"])).await;
    assert_eq!(browser.sign_in(&elsewhere).await.status, 403);
}

#[tokio::test]
async fn made_up_keys_sessions_and_links_are_limited() {
    let server = Server::configured(|config: &mut Config| {
        config.limits.unknown_keys_per_address_per_second = 3;
    })
    .await;
    let browser = Browser::new(&server);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(browser.sign_in("cs_made-up").await.status.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(browser.get("/console/link?token=made-up").await.status.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    *browser.cookie.lock().unwrap() = Some("session=made-up".to_owned());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(browser.get("/console").await.status.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_link_signs_in_once_and_not_by_being_opened() {
    let server = Server::demo().await;
    let (key, _) = server.issue(everything()).await;
    let token = server.services.sessions.make_link(&key.id).await.unwrap().0.expose().to_owned();
    let path = format!("/console/link?token={token}");
    let browser = Browser::new(&server);
    for _ in 0..2 {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("Sign in as test"), "{}", answer.text());
    }
    let answer = browser.post("/console/link", &[("token", &token)]).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console")));
    assert!(is_signed_in(&browser).await);
    let other = Browser::new(&server);
    assert_eq!(other.post("/console/link", &[("token", &token)]).await.status, 401);
    assert_eq!(other.get(&path).await.status, 401);
}

#[tokio::test]
async fn a_link_works_for_two_days_and_not_for_a_revoked_key() {
    let server = Server::demo().await;
    let (key, _) = server.issue(everything()).await;
    let link = async || {
        let made = server.services.sessions.make_link(&key.id).await;
        made.unwrap().0.expose().to_owned()
    };
    let lost = link().await;
    let late = link().await;
    server.clock.advance(2 * DAY - Duration::from_secs(1));
    let browser = Browser::new(&server);
    // A new link ends the one before.
    assert_eq!(browser.post("/console/link", &[("token", &lost)]).await.status, 401);
    assert_eq!(browser.get(&format!("/console/link?token={late}")).await.status, 200);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(browser.post("/console/link", &[("token", &late)]).await.status, 401);
    let fresh = link().await;
    server.services.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    assert_eq!(browser.post("/console/link", &[("token", &fresh)]).await.status, 401);
    let made = "customersettings.v1.KeyService/CreateSignInLink";
    let root = server.any_key().await;
    server.refusal(&root, made, serde_json::json!({"id": key.id.as_str()})).await;
}

#[tokio::test]
async fn a_revoked_key_ends_its_sessions_at_once() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let browser = Browser::with_key(&server, &secret).await;
    assert!(is_signed_in(&browser).await);
    // By another program, so that nothing in this one is told.
    let other = server.other_program().await;
    other.keys.revoke(&Task::Local.actor(), &key.id).await.unwrap();
    assert!(!is_signed_in(&browser).await);
    let answer = browser.post("/console/c/cmp_001/customer_tags/add", &[("name", "Late")]).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_with_the_secret_that_was_shown() {
    let server = Server::demo().await;
    let soon = server.clock.now().plus_seconds(60);
    let expires = server.key(KeyDraft { expires_time: Some(soon), ..everything() }).await;
    let expires = Browser::with_key(&server, &expires).await;
    let (key, secret) = server.issue(everything()).await;
    let rotated = Browser::with_key(&server, &secret).await;
    let path = format!("/console/keys/{}", key.id);
    let etag = Browser::hidden(&rotated.get(&path).await, "etag");
    let form = [("hours", "0"), ("etag", &*etag)];
    let answer = rotated.post(&format!("{path}/rotate"), &form).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("cs_"), "{}", answer.text());
    assert!(!is_signed_in(&rotated).await);
    assert!(is_signed_in(&expires).await);
    server.clock.advance(Duration::from_secs(61));
    assert!(!is_signed_in(&expires).await);
}

#[tokio::test]
async fn a_session_ends_after_two_weeks_without_activity_and_after_ninety_days() {
    let server = Server::demo().await;
    let (active, idle) = (Browser::of(&server).await, Browser::of(&server).await);
    server.clock.advance(13 * DAY);
    assert!(is_signed_in(&active).await);
    // Pages that ask by themselves do not keep a session alive.
    assert_eq!(idle.get("/console/c/cmp_001/revision").await.status, 200);
    server.clock.advance(DAY + Duration::from_secs(1));
    assert!(!is_signed_in(&idle).await);
    for _ in 0..5 {
        assert!(is_signed_in(&active).await);
        server.clock.advance(13 * DAY);
    }
    let until = "You are signed in until";
    let page = active.get("/console?all=1").await;
    assert!(!page.text().contains(until));
    server.clock.advance(11 * DAY);
    assert!(!is_signed_in(&active).await);
    let last = Browser::of(&server).await;
    for days in [13, 13, 13, 13, 13, 13, 10] {
        server.clock.advance(days * DAY);
        assert!(is_signed_in(&last).await);
    }
    let page = last.get("/console?all=1").await;
    assert!(!page.text().contains(until));
    server.clock.advance(DAY + Duration::from_secs(1));
    let page = last.get("/console?all=1").await;
    assert!(page.text().contains(until), "{}", page.text());
}

#[tokio::test]
async fn a_person_sees_the_sessions_of_the_key_and_ends_them() {
    let server = Server::demo().await;
    let (_, secret) = server.issue(everything()).await;
    let one = Browser::with_key(&server, &secret).await;
    let other = Browser::with_key(&server, &secret).await;
    let stranger = Browser::of(&server).await;
    let page = one.get("/console/sessions").await;
    assert_eq!(page.text().matches("Signed in with the key").count(), 2);
    let id = Browser::hidden(&page, "id");
    stranger.post("/console/sessions/end", &[("id", &id)]).await;
    assert!(is_signed_in(&other).await);
    let answer = one.post("/console/sessions/end", &[("id", &id)]).await;
    assert_eq!(answer.header("location"), Some("/console/sessions?did=ended"));
    assert!(!is_signed_in(&other).await && is_signed_in(&one).await);
    assert_eq!(one.post("/console/sessions/end", &[("id", "nonsense")]).await.status, 303);
}

#[tokio::test]
async fn a_form_that_no_page_of_the_console_sent_is_refused() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let own = format!("http://{}", server.address);
    let other = format!("http://127.0.0.1:{}", server.address.port() ^ 1);
    let refused: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", &other)],
        &[("origin", &own), ("origin", &own)],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
    ];
    let path = "/console/c/cmp_001/customer_tags/add";
    for headers in refused {
        let answer = browser.send("POST", path, headers, "name=Forged&request=x").await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    for path in ["/console/sign-in", "/console/link", "/console/sign-out"] {
        assert_eq!(browser.send("POST", path, &[], "key=x").await.status, 403, "{path}");
    }
    let list = browser.get("/console/c/cmp_001/customer_tags").await;
    assert!(!list.text().contains("Forged"));
    let answer = browser.send("POST", path, &[("origin", &own)], "name=Own&request=x").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

#[tokio::test]
async fn every_answer_keeps_other_sites_out() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let page = browser.get("/console/c/cmp_001").await;
    let style = page.text().split("/console/static/").nth(1).unwrap().split('"').next().unwrap();
    let style = format!("/console/static/{style}");
    let paths = ["/console", "/console/nothing", "/console/c/cmp_9", "/console/sign-in", &style];
    for path in paths {
        for origin in [None, Some("https://evil.example")] {
            let headers: Vec<(&str, &str)> =
                origin.map(|origin| ("origin", origin)).into_iter().collect();
            let answer = browser.send("GET", path, &headers, "").await;
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
            assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("referrer-policy"), Some("strict-origin"));
            assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
            let kept =
                if path == style { "public, max-age=31536000, immutable" } else { "no-store" };
            assert_eq!(answer.header("cache-control"), Some(kept), "{path}");
        }
    }
    let zipped = browser.send("GET", &style, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() * 2 < browser.get(&style).await.body.len());
    assert_eq!(browser.get("/console/static/console-other.css").await.status, 404);
}

#[tokio::test]
async fn browsers_are_led_from_the_root_to_the_console_and_programs_are_not() {
    let server = Server::demo().await;
    let root = |accept: &'static str| server.get("/").header("accept", accept).send();
    let answer = root("text/html,application/xhtml+xml").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console")));
    for accept in ["*/*", "application/json"] {
        assert_eq!(root(accept).await.refusal().reason, "UNKNOWN_PATH", "{accept}");
    }
    let off = Server::configured(|config: &mut Config| config.console.enabled = false).await;
    let answer = off.get("/").header("accept", "text/html").send().await;
    assert_eq!(answer.refusal().reason, "UNKNOWN_PATH");
    assert_eq!(off.get("/console").send().await.refusal().reason, "UNKNOWN_PATH");
}

#[tokio::test]
async fn a_slash_too_much_and_a_form_too_long_are_answered_as_such() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let answer = browser.get("/console/").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console")));
    let long = "x".repeat(2 << 20);
    let path = "/console/c/cmp_001/customer_tags/add";
    assert_eq!(browser.post(path, &[("name", &long)]).await.status, 413);
}

#[tokio::test]
async fn the_console_takes_no_key_of_a_program_and_the_api_takes_no_cookie() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let bearer = format!("Bearer {secret}");
    let answer =
        Browser::new(&server).send("GET", "/console", &[("authorization", &bearer)], "").await;
    assert_eq!(answer.status, 303);
    let browser = Browser::with_key(&server, &secret).await;
    let answer = browser.get("/admin/v1/companies").await;
    assert_eq!(answer.refusal().reason, "NO_CREDENTIAL");
}

#[tokio::test]
async fn after_a_sign_in_only_paths_of_the_console_follow() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let browser = Browser::new(&server);
    let answer = browser.get("/console/c/cmp_001/history?list=&page=x").await;
    let to = answer.header("location").unwrap().to_owned();
    let page = browser.get(&to).await;
    assert_eq!(Browser::hidden(&page, "next"), "/c/cmp_001/history?list=&#38;page=x");
    let led = [
        ("/c/cmp_001/history?list=", "/console/c/cmp_001/history?list="),
        ("//evil.example", "/console"),
        ("https://evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("/a\r\nset-cookie: x", "/console"),
    ];
    for (next, to) in led {
        let fields = [("key", secret.as_str()), ("next", next)];
        let answer = browser.post("/console/sign-in", &fields).await;
        assert_eq!(answer.header("location"), Some(to), "{next}");
    }
}

#[tokio::test]
async fn a_form_outlives_its_session() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let browser = Browser::with_key(&server, &secret).await;
    let path = "/console/c/cmp_001/customer_tags/add";
    let page = browser.get("/console/c/cmp_001/customer_tags").await;
    let request = Browser::hidden(&page, "request");
    server.clock.advance(15 * DAY);
    let fields = [("name", "Typed \"before\" <it>"), ("request", request.as_str())];
    let answer = browser.post(path, &fields).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("Typed &#34;before&#34; &#60;it&#62;"), "{}", answer.text());
    // A person who signs in by links does so in another tab, and sends the form from here.
    let form = answer.text().split(&format!("action=\"{path}?again=1\"")).nth(1).unwrap();
    assert!(form.contains("name=\"name\">\nTyped &#34;before&#34;"), "{}", answer.text());
    let next = Browser::hidden(&answer, "next");
    let again = [
        ("key", secret.as_str()),
        ("next", next.as_str()),
        ("kept.name", fields[0].1),
        ("kept.request", fields[1].1),
    ];
    let answer = browser.post("/console/sign-in", &again).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&format!("action=\"{path}\"")), "{}", answer.text());
    let answer = browser.post(path, &fields).await;
    let list = browser.follow(&answer).await;
    assert!(list.text().contains("Typed &#34;before&#34; &#60;it&#62;"), "{}", list.text());
}

also_on_postgres! {
    a_key_signs_in_and_no_script_sees_the_session,
    a_token_is_stored_nowhere_and_works_no_more_after_the_sign_out,
    a_new_sign_in_ends_the_session_before,
    a_link_signs_in_once_and_not_by_being_opened,
    a_link_works_for_two_days_and_not_for_a_revoked_key,
    a_revoked_key_ends_its_sessions_at_once,
    a_session_ends_after_two_weeks_without_activity_and_after_ninety_days,
    a_person_sees_the_sessions_of_the_key_and_ends_them,
}
