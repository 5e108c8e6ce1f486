//! Forms that are refused for a reason of the moment: the answer has all of them, and they can be sent again as they are.

use customer_settings_server::{catalog::error::Cause, config::Config, store::StoreError};

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");
const TYPED: &str = "\nTyped \"one\"\nTyped <two>";

/// The fields of the only form of a page with a button of that name.
fn fields(page: &Answer, button: &str) -> Vec<(String, String)> {
    let forms = page.text().split("<form").skip(1);
    let mut forms = forms.map(|form| form.split("</form>").next().unwrap());
    let form = forms.find(|form| form.contains(&format!(">{button}</button>")));
    let form = form.unwrap_or_else(|| panic!("no {button}: {}", page.text()));
    let unescape = |text: &str| {
        let pairs =
            [("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#39;", "'"), ("&#38;", "&")];
        pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let field = |field: &str| {
        let (head, rest) = field.split_once('>').unwrap();
        let name = head.split("name=\"").nth(1).unwrap().split('"').next().unwrap();
        // Browsers drop the first line break.
        let value = rest.split("</textarea>").next().unwrap().strip_prefix('\n').unwrap();
        (name.to_owned(), unescape(value))
    };
    form.split("<textarea").skip(1).map(field).collect()
}

/// Sends the form of such a page again, as a browser sends it.
async fn send_again(browser: &Browser<'_>, page: &Answer, path: &str) -> Answer {
    assert!(page.text().contains(&format!("action=\"{path}\"")), "{}", page.text());
    let mut body = String::new();
    for (name, value) in fields(page, "Send it again") {
        let value = value.replace('\n', "\r\n");
        body += &format!(
            "--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    let kind = "multipart/form-data; boundary=edge";
    let headers = [SAME, ("content-type", kind)];
    browser.send("POST", path, &headers, &format!("{body}--edge--\r\n")).await
}

fn has_all(page: &Answer, sent: &[(&str, &str)]) {
    let kept = fields(page, "Send it again");
    let kept: Vec<(&str, &str)> = kept.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(kept, sent);
    let told = "Your form is still here, with all that you typed.";
    assert!(page.text().contains(told), "{}", page.text());
}

#[tokio::test]
async fn a_form_that_is_sent_while_the_store_is_down_is_kept_and_can_be_sent_again() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let path = format!("{TAGS}/add-many?archived=1");
    let form = [("lines", TYPED), ("sure", "1"), ("request", "once")];
    server.probe.fail(true);
    let refused = browser.post(&path, &form).await;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("<h1>Not available just now</h1>"), "{}", refused.text());
    has_all(&refused, &form);
    assert!(refused.text().contains("You typed: Lines"), "{}", refused.text());
    // Again, and it is kept again.
    let still = send_again(&browser, &refused, &path).await;
    has_all(&still, &form);
    server.probe.fail(false);
    let first = send_again(&browser, &still, &path).await;
    assert_eq!(first.status, 303, "{}", first.text());
    let second = send_again(&browser, &still, &path).await;
    assert_eq!(first.header("location"), second.header("location"));
    let list = browser.follow(&first).await;
    assert!(list.text().contains(">Typed &#34;one&#34;<"), "{}", list.text());
    assert!(list.text().contains(">Typed &#60;two&#62;<"), "{}", list.text());
}

#[tokio::test]
async fn a_form_of_a_key_over_its_rate_is_kept() {
    let server = Server::configured(|config: &mut Config| {
        (config.limits.requests_per_second, config.limits.requests_burst) = (1, 5);
    })
    .await;
    let browser = Browser::of(&server).await;
    let path = format!("{TAGS}/add");
    let form = [("name", "Typed"), ("pick", "none"), ("description", "About"), ("request", "one")];
    let refused = limited(async || browser.post(&path, &form).await).await;
    has_all(&refused, &form);
    assert!(refused.text().contains("Your key is used too often just now."), "{}", refused.text());
    // The page of a GET, and the answer for our script, have no form.
    let page = limited(async || browser.get(TAGS).await).await;
    assert!(!page.text().contains("Send it again"), "{}", page.text());
    let headers = [SAME, ("accept", "application/json")];
    let order = format!("{TAGS}/order");
    let script = limited(async || browser.send("POST", &order, &headers, "up=x").await).await;
    assert_eq!(script.json()["text"], "Your key is used too often just now.");
}

/// Asks until the key is over its rate.
async fn limited(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    for _ in 0..100 {
        let answer = ask().await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("a hundred requests in one second are not too many")
}

#[tokio::test]
async fn a_form_is_kept_whatever_goes_wrong_here() {
    let server = Server::demo().await;
    let browser = Browser::of(&server).await;
    let form = |request| [("name", "Typed"), ("request", request)];
    let path = "/console/c/cmp_001/locations";
    let full = StoreError::Full(Cause::new("the inside of a full disk"));
    server.probe.fail_writes_as(Some(full));
    let answer = browser.post(path, &form("full")).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("disk of the database is full"), "{}", answer.text());
    has_all(&answer, &form("full"));
    server.probe.fail_writes_as(None);

    // Nobody knows whether it was done. With its number, it is done once.
    let unknown = StoreError::OutcomeUnknown(Cause::new("the inside of a commit"));
    server.probe.fail_writes_as(Some(unknown));
    let answer = browser.post(path, &form("unknown")).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("nobody knows whether it was done"), "{}", answer.text());
    has_all(&answer, &form("unknown"));
    server.probe.fail_writes_as(None);
    assert_eq!(send_again(&browser, &answer, path).await.status, 303);
    let list = browser.get(path).await;
    assert_eq!(list.text().matches(">Typed<").count(), 1, "{}", list.text());

    server.probe.panic_at_sessions(true);
    let answer = browser.post(path, &form("bug")).await;
    server.probe.panic_at_sessions(false);
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("the inside"), "{}", answer.text());
    has_all(&answer, &form("bug"));

    // Signing in and out.
    let (key, secret) = server.issue(everything()).await;
    let token = server.services.sessions.make_link(&key.id).await.unwrap().0.expose().to_owned();
    let stranger = Browser::new(&server);
    server.probe.fail(true);
    let link = stranger.post("/console/link", &[("token", &token)]).await;
    has_all(&link, &[("token", &token)]);
    assert!(!link.text().contains("You typed"), "{}", link.text());
    has_all(&browser.post("/console/sign-out", &[]).await, &[]);
    let waiting = [("key", &*secret), ("next", "/c/cmp_001/locations"), ("kept.name", "Typed")];
    let page = stranger.post("/console/sign-in", &waiting).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains(">\nTyped</textarea>"), "{}", page.text());
    assert!(!page.text().contains(&secret), "{}", page.text());
    server.probe.fail(false);
    assert_eq!(send_again(&stranger, &link, "/console/link").await.status, 303);
}

#[tokio::test]
async fn a_form_that_is_too_long_is_shown_again() {
    let server = Server::configured(|config: &mut Config| {
        config.limits.body_bytes = 10_000;
        config.limits.bodies_bytes = 400_000;
    })
    .await;
    let browser = Browser::of(&server).await;
    let path = format!("{TAGS}/add");
    let long = "x".repeat(20_000);
    let answer = browser.post(&path, &[("name", &long)]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains(&format!(">{long}</textarea>")), "{}", answer.text());
    assert!(answer.text().contains("send it in parts"), "{}", answer.text());
    // Nothing is read of a form that is longer than any may be.
    let longest = "x".repeat(120_000);
    let answer = browser.post(&path, &[("name", &longest)]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("send it in parts"), "{}", answer.text());
    // A document that waits for a sign-in is as long as a document may be.
    let document = format!("companies: [] # {}", "x".repeat(90_000));
    let import = "/console/c/cmp_001/import";
    let stranger = Browser::new(&server);
    let asked = stranger.post(import, &[("text", &document)]).await;
    assert_eq!(asked.status, 401);
    let secret = server.any_key().await;
    let kept = [("key", &*secret), ("next", "/c/cmp_001/import"), ("kept.text", &document)];
    let page = stranger.post("/console/sign-in", &kept).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(fields(&page, "Send it now, in your name"), [("text".to_owned(), document)]);
    // Perhaps another person filled it in.
    let told = "You are signed in as <strong><bdi>test</bdi></strong>.";
    assert!(page.text().contains(told), "{told}");
}

/// A server that gives requests up early.
async fn impatient(places: usize) -> Server {
    Server::configured(|config: &mut Config| {
        config.limits.request_timeout_ms = 3_000;
        config.limits.concurrent_requests = places;
    })
    .await
}

#[tokio::test]
async fn a_form_that_takes_too_long_is_kept() {
    let server = impatient(100).await;
    let browser = Browser::of(&server).await;
    let (path, form) = (format!("{TAGS}/add"), [("name", "Typed"), ("request", "late")]);
    server.probe.hang(true);
    let answer = browser.post(&path, &form).await;
    server.probe.hang(false);
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("<p>This took too long. Your form is"), "{}", answer.text());
    has_all(&answer, &form);
    // The server finds out that the store answers again.
    eventually(async || send_again(&browser, &answer, &path).await.status == 303).await;
}

#[tokio::test]
async fn where_there_is_no_place_for_a_page_the_browser_is_told_to_send_its_form_again() {
    let server = impatient(1).await;
    let browser = Browser::of(&server).await;
    let before = server.probe.calls("session");
    server.probe.hang(true);
    let refused = async {
        eventually(async || server.probe.calls("session") > before).await;
        browser.post(&format!("{TAGS}/add"), &[("name", "Typed")]).await
    };
    let (held, refused) = tokio::join!(browser.get("/console"), refused);
    assert_eq!(held.status, 504);
    assert!([429, 503].contains(&refused.status.as_u16()), "{}", refused.status);
    assert_eq!(refused.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(refused.text().contains("your browser has it still"), "{}", refused.text());
}
