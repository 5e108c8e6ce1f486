//! The console's addresses: foreign hosts, `public_url`, proxies that send a host of their own, and plain http.

use customer_settings_server::config::{Config, PublicUrl};

use crate::{
    console::{Browser, is_signed_in},
    harness::*,
};

const PUBLIC: &str = "https://settings.example.com";
const SIGN_IN: &str = "/console/sign-in";
const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn public(url: &str) -> Server {
    let url = PublicUrl::parse(url);
    assert!(url.is_some());
    Server::configured(|config: &mut Config| config.public_url = url).await
}

/// The server's own address, which a proxy sends as the host where it is told no other one.
fn own(server: &Server) -> String {
    format!("http://{}", server.address)
}

fn takes_a_key(page: &Answer) -> bool {
    page.text().contains("name=\"key\"")
}

#[tokio::test]
async fn a_host_that_is_not_ours_gets_nothing() {
    let server = Server::configured(|config: &mut Config| {
        config.public_url = PublicUrl::parse("https://Settings.Example.com/tools/");
    })
    .await;
    let port = server.address.port();
    let foreign = ["evil.example", "settings.example.com.evil.example", "192.0.2.7", "test"];
    for host in foreign.map(str::to_owned).into_iter().chain([format!("evil.example:{port}")]) {
        for path in ["/console", "/console/sign-in", "/console/static/x.css", "/console/nothing"] {
            let answer = Browser::at(&server, &host).get(path).await;
            assert_eq!(answer.status, 421, "{host} {path}");
        }
        let answer = Browser::at(&server, &host).sign_in("x").await;
        assert_eq!(answer.status, 421, "{host}");
    }
    let own = [format!("127.0.0.1:{port}"), "localhost:9".to_owned(), "[::1]:1".to_owned()];
    for host in
        own.iter().map(String::as_str).chain(["settings.example.com", "SETTINGS.example.com:443"])
    {
        let answer = Browser::at(&server, host).get("/console/sign-in").await;
        assert_eq!(answer.status, 200, "{host}");
        let is_public = host.to_lowercase().starts_with("settings");
        let action = if is_public { "/tools/console/sign-in" } else { "/console/sign-in" };
        assert!(answer.text().contains(&format!("action=\"{action}\"")), "{host}");
    }
    // The API answers to any name, as before.
    assert_eq!(server.get("/openapi.json").send().await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_secure_where_the_public_address_is() {
    let server = Server::configured(|config: &mut Config| {
        config.public_url = PublicUrl::parse("https://settings.example.com");
    })
    .await;
    let secret = server.any_key().await;
    let browser = Browser::at(&server, "settings.example.com");
    let answer = browser.sign_in(&secret).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-session=") && cookie.contains(" Secure;"), "{cookie}");
    assert!(cookie.contains(" Path=/; Max-Age=7776000;"), "{cookie}");
    assert!(is_signed_in(&browser).await);
    let own = [("origin", "https://settings.example.com")];
    assert_eq!(browser.send("POST", "/console/sign-out", &own, "").await.status, 303);
}

#[tokio::test]
async fn behind_a_proxy_with_a_host_of_its_own_links_and_cookies_are_of_the_public_address() {
    let server = public(PUBLIC).await;
    let secret = server.any_key().await;
    let own = own(&server);
    // As browsers send it: with both headers, or, if they are old, with the origin alone.
    let ways: [&[(&str, &str)]; 3] =
        [&[SAME, ("origin", PUBLIC)], &[("origin", PUBLIC)], &[SAME, ("origin", &own)]];
    for (at, headers) in ways.into_iter().enumerate() {
        let browser = Browser::new(&server);
        assert!(takes_a_key(&browser.get(SIGN_IN).await));
        let answer = browser.send("POST", SIGN_IN, headers, &format!("key={secret}")).await;
        let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("{}", answer.text()));
        assert!(cookie.starts_with("__Host-session=") && cookie.contains(" Secure;"), "{cookie}");
        assert!(is_signed_in(&browser).await);
        let name = format!("Ana {at}");
        let invite = [("name", &*name), ("scope", "settings:read"), ("coverage", "all")];
        let page = browser.post("/console/people/new", &invite).await;
        let link = "value=\"https://settings.example.com/console/link?token=";
        assert!(page.text().contains(link), "{}", page.text());
        assert_eq!(browser.send("POST", "/console/sign-out", headers, "").await.status, 303);
        assert!(!is_signed_in(&browser).await);
    }
}

#[tokio::test]
async fn behind_a_proxy_with_a_host_of_its_own_no_other_site_sends_a_form() {
    let server = public(PUBLIC).await;
    let browser = Browser::of(&server).await;
    let own = own(&server);
    let path = "/console/c/cmp_001/customer_tags/add";
    let forwarded = ("x-forwarded-for", "203.0.113.9");
    let refused: [&[(&str, &str)]; 9] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "http://settings.example.com")],
        &[("origin", "null")],
        &[("origin", PUBLIC), ("origin", PUBLIC)],
        &[("sec-fetch-site", "cross-site"), ("origin", PUBLIC)],
        // The page of a name that somebody points at the proxy, for which the browser is right.
        &[SAME, ("origin", "https://evil.example")],
        &[SAME, ("origin", "null")],
        // The server's own address is that of its visitors' machines too.
        &[forwarded, ("origin", &own)],
    ];
    for headers in refused {
        let answer = browser.send("POST", path, headers, "name=Forged&request=x").await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    let list = browser.get("/console/c/cmp_001/customer_tags").await;
    assert!(!list.text().contains("Forged"));
    let taken: [&[(&str, &str)]; 3] =
        [&[("origin", PUBLIC)], &[("origin", &own)], &[SAME, forwarded, ("origin", PUBLIC)]];
    for (at, headers) in taken.iter().enumerate() {
        let form = format!("name=Own+{at}&request={at}");
        let answer = browser.send("POST", path, headers, &form).await;
        assert_eq!(answer.status, 303, "{headers:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_proxy_that_says_so_leads_to_the_sub_path_whatever_the_host() {
    let server = public("https://example.com/tools").await;
    let secret = server.any_key().await;
    let browser = Browser::new(&server);
    let direct = browser.get("/console").await;
    assert_eq!(direct.header("location"), Some("/console/sign-in"));
    let forwarded = [("x-forwarded-for", "203.0.113.9"), SAME];
    let proxied = browser.send("GET", "/console", &forwarded, "").await;
    assert_eq!(proxied.header("location"), Some("/tools/console/sign-in"));
    // The origin of a form says it too.
    let headers = [SAME, ("origin", "https://example.com")];
    let answer = browser.send("POST", SIGN_IN, &headers, &format!("key={secret}")).await;
    assert_eq!(answer.header("location"), Some("/tools/console"));
    let evil = [("x-forwarded-host", "evil.example"), SAME];
    let page = browser.send("GET", SIGN_IN, &evil, "").await;
    assert!(!page.text().contains("evil"), "{}", page.text());
}

#[tokio::test]
async fn nobody_signs_in_where_others_can_read_along() {
    let server = Server::configured(|config: &mut Config| {
        config.public_url = PublicUrl::parse("http://settings.example.com");
        config.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    let secret = server.any_key().await;
    let browser = Browser::at(&server, "settings.example.com");
    let page = browser.get("/console/sign-in").await;
    assert!(page.text().contains("not encrypted") && !page.text().contains("name=\"key\""));
    assert!(page.text().contains("public_url begins with http://"), "{}", page.text());
    let answer = browser.sign_in(&secret).await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("set-cookie").is_none());
    // A header of somebody who is no proxy of ours changes nothing.
    let body = format!("key={secret}");
    let headers = [("sec-fetch-site", "same-origin"), ("x-forwarded-proto", "https")];
    let answer = browser.send("POST", "/console/sign-in", &headers, &body).await;
    assert_eq!(answer.status, 403);
    // A host that is this machine may be a proxy's word. Browsers on this machine say that they are there.
    let home = Browser::new(&server);
    assert!(!takes_a_key(&home.get(SIGN_IN).await));
    assert!(takes_a_key(&home.send("GET", SIGN_IN, &[("sec-fetch-site", "none")], "").await));
    assert_eq!(home.sign_in(&secret).await.status, 303);
}

#[tokio::test]
async fn a_page_that_perhaps_came_in_the_clear_takes_no_key_and_says_why() {
    let server = public("https://settings.example.com/tools").await;
    let secret = server.any_key().await;
    let browser = Browser::at(&server, "settings.example.com");
    let path = "/console/sign-in?next=/c/cmp_001/history%3Flist%3D";
    let page = browser.get(path).await;
    assert_eq!(page.status, 200);
    assert!(!takes_a_key(&page), "{}", page.text());
    for told in [
        "Nothing shows that this page came to you encrypted",
        "href=\"https://settings.example.com/tools/console/sign-in?next=%2Fc%2Fcmp%5F001%2Fhistory%3Flist%3D\"",
        "trusted_proxies",
        "X-Forwarded-Proto",
    ] {
        assert!(page.text().contains(told), "{told}: {}", page.text());
    }
    // Browsers of the last years say it themselves. An old one says it by the origin of a form without a key.
    assert!(takes_a_key(&browser.send("GET", path, &[("sec-fetch-site", "none")], "").await));
    let origin = |scheme: &str| format!("{scheme}://settings.example.com");
    let form = "next=%2Fc%2Fcmp_001";
    let (clear, safe) = (origin("http"), origin("https"));
    let old = browser.send("POST", SIGN_IN, &[("origin", &safe)], form).await;
    assert_eq!(old.status, 200);
    assert!(takes_a_key(&old), "{}", old.text());
    assert_eq!(Browser::hidden(&old, "next"), "/c/cmp_001");
    let refused = browser.send("POST", SIGN_IN, &[("origin", &clear)], form).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Use the console with https://."), "{}", refused.text());

    // A link says the same, and is not used up.
    let (key, _) = server.issue(everything()).await;
    let token = server.services.sessions.make_link(&key.id).await.unwrap().0.expose().to_owned();
    let page = browser.get(&format!("/console/link?token={token}")).await;
    assert!(page.text().contains("Nothing shows that this page came"), "{}", page.text());
    let there = "href=\"https://settings.example.com/tools/console/link?token=";
    assert!(page.text().contains(there), "{}", page.text());
    let form = format!("token={token}");
    let refused = browser.send("POST", "/console/link", &[("origin", &clear)], &form).await;
    assert_eq!(refused.status, 403);
    let taken = browser.send("POST", "/console/link", &[("origin", &safe)], &form).await;
    assert_eq!(taken.header("location"), Some("/tools/console"), "{}", taken.text());

    // Another address of the server, in the clear.
    let server = Server::configured(|config: &mut Config| {
        config.public_url = PublicUrl::parse(PUBLIC);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let proto = |proto| [("x-forwarded-proto", proto)];
    let at = |host| Browser::at(&server, host);
    for host in ["settings.example.com", "127.0.0.1:8080"] {
        assert!(!takes_a_key(&at(host).send("GET", SIGN_IN, &proto("http"), "").await), "{host}");
        assert!(takes_a_key(&at(host).send("GET", SIGN_IN, &proto("https"), "").await), "{host}");
    }
    let body = format!("key={secret}");
    let headers = [("origin", &*clear)];
    let answer = at("settings.example.com").send("POST", SIGN_IN, &headers, &body).await;
    assert!(answer.header("set-cookie").is_none());
}

#[tokio::test]
async fn at_an_address_of_the_network_a_key_needs_an_encrypted_way() {
    let any = "0.0.0.0:0".parse().unwrap();
    let mut data = Data::new().await;
    for (url, told) in [
        (None, "give the server a certificate"),
        (Some("http://localhost:8080"), "Open http://localhost:8080/console"),
        (Some("http://settings.example.com"), "public_url begins with http://"),
        (Some(PUBLIC), "Open https://settings.example.com/console"),
    ] {
        let public_url = url.map(|url| PublicUrl::parse(url).unwrap());
        let config = Config { listen: any, public_url, ..Config::default() };
        let server = Server::reopened_with(data, config).await;
        let browser = Browser::at(&server, "192.0.2.7:8080");
        let page = browser.get(SIGN_IN).await;
        assert!(!takes_a_key(&page), "{url:?}: {}", page.text());
        assert!(page.text().contains(told), "{url:?}: {}", page.text());
        let own = [("origin", "http://192.0.2.7:8080")];
        let secret = server.any_key().await;
        let answer = browser.send("POST", SIGN_IN, &own, &format!("key={secret}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (403, None), "{url:?}");
        // A proxy on another machine sends this host too. Browsers send the header where nobody reads along.
        let shown = browser.send("GET", SIGN_IN, &[("sec-fetch-site", "none")], "").await;
        let is_private = told.starts_with("Open ");
        assert_eq!(takes_a_key(&shown), is_private, "{url:?}: {}", shown.text());
        data = server.stop().await;
    }
}

#[tokio::test]
async fn a_refused_form_says_which_values_do_not_agree() {
    let told = async |server: &Server, host: &str, headers: &[(&str, &str)]| {
        let answer = Browser::at(server, host).send("POST", SIGN_IN, headers, "key=x").await;
        assert_eq!(answer.status, 403);
        let text = answer.text().to_owned();
        assert!(text.contains("This form was not sent by a page of the console"), "{text}");
        text
    };
    let has = |text: String, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    };
    let server = public(PUBLIC).await;
    let host = "settings.example.com";
    let evil = [("origin", "https://evil.example/<b>")];
    let by_url = "is “https://evil.example/&#60;b&#62;”, and the console is at https://settings.example.com by public_url.";
    let text = told(&server, host, &evil).await;
    has(text, &[by_url, "an operator gives that address to public_url"]);
    let local = server.address.to_string();
    let both = format!("at https://settings.example.com or http://{local} by public_url");
    has(told(&server, &local, &evil).await, &[&both]);
    has(told(&server, host, &[]).await, &["neither Sec-Fetch-Site nor Origin came with it"]);
    let cross = [("sec-fetch-site", "cross-site"), ("origin", PUBLIC)];
    has(told(&server, host, &cross).await, &["Sec-Fetch-Site is “cross-site”."]);

    let server = Server::demo().await;
    let host = server.address.to_string();
    let tls = format!("https://{host}");
    let by_host = format!("the console is at http://{host} by the Host of the request.");
    has(told(&server, &host, &[("origin", &tls)]).await, &[&by_host, "trusted_proxies"]);
    let text = told(&server, &host, &[("origin", PUBLIC)]).await;
    has(text, &[&by_host, "lets the proxy pass on the Host"]);
    let answer = Browser::at(&server, "customer_settings").get(SIGN_IN).await;
    assert_eq!(answer.status, 421);
    assert!(answer.text().contains("not known here: “customer_settings”"), "{}", answer.text());
}

#[tokio::test]
async fn a_trusted_proxy_says_that_the_way_is_encrypted() {
    let server = Server::configured(|config: &mut Config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let secret = server.any_key().await;
    let body = format!("key={secret}");
    let sign_in = async |headers: &[(&str, &str)]| {
        let headers = [&[("sec-fetch-site", "same-origin")], headers].concat();
        Browser::new(&server).send("POST", "/console/sign-in", &headers, &body).await
    };
    let answer = sign_in(&[("x-forwarded-proto", "https")]).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-session=") && cookie.contains(" Secure;"), "{cookie}");
    // The host is the proxy's word for this machine then, and the browser is somewhere else.
    let forwarded: [&[(&str, &str)]; 4] = [
        &[("x-forwarded-proto", "http")],
        &[("x-forwarded-proto", "https, http")],
        &[("x-forwarded-for", "203.0.113.9")],
        &[("via", "1.1 proxy")],
    ];
    for headers in forwarded {
        let answer = sign_in(headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("set-cookie")),
            (403, None),
            "{headers:?}"
        );
        let page = Browser::new(&server).send("GET", "/console/sign-in", headers, "").await;
        assert!(!page.text().contains("name=\"key\""), "{}", page.text());
        assert!(page.text().contains("a proxy sent this request here"), "{}", page.text());
    }
    let answer = sign_in(&[]).await;
    assert!(answer.header("set-cookie").unwrap().starts_with("session="));
}
