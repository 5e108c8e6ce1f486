//! The form of a key in the console: its companies, what goes beyond one's own key, and what was done with it.

use customer_settings_server::{
    catalog::{text::Name, time::Timestamp},
    clock::Clock,
    service::keys::KeyDraft,
};
use serde_json::json;

use crate::{console::Browser, harness::*};

const NEW: &str = "/console/keys/new";
const CREATE_COMPANY: &str = "customersettings.v1.CompanyService/CreateCompany";

/// Companies beside those of the demo: `Shop 1` to `Shop 40`.
async fn shops(server: &Server) {
    let root = server.any_key().await;
    for at in 1..=40 {
        let company =
            json!({"companyId": format!("shop_{at}"), "company": {"name": format!("Shop {at}")}});
        server.grpc_as(&root, CREATE_COMPANY, company).await.unwrap();
    }
}

async fn count_of_keys(server: &Server, root: &str) -> usize {
    let list = server.answer(root, "customersettings.v1.KeyService/ListKeys", json!({})).await;
    list["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn companies_are_chosen_by_a_search_which_makes_no_key() {
    let server = Server::demo().await;
    shops(&server).await;
    let (owner, root) = (Browser::of(&server).await, server.any_key().await);
    let before = count_of_keys(&server, &root).await;
    let form = owner.get(NEW).await;
    // Of many companies none is offered before a search, and nobody gives a key for all by not looking.
    assert_eq!(form.text().matches("name=\"company\"").count(), 0);
    assert!(!form.text().contains("value=\"all\" required checked"), "{}", form.text());
    let typed = [
        ("name", "Till"),
        ("scope", "settings:read"),
        ("coverage", "some"),
        ("company", "shop_7"),
        ("find", "shop 39"),
        ("found", ""),
    ];
    let found = owner.post(NEW, &typed).await;
    assert_eq!(found.status, 200);
    let text = found.text();
    assert!(text.contains("value=\"Till\""), "{text}");
    // The chosen one stays, by its name, and those that were found can be chosen too.
    assert!(text.contains("value=\"shop_7\" checked> <span>Shop 7 <"), "{text}");
    assert!(text.contains("value=\"shop_39\"> <span>Shop 39 <"), "{text}");
    assert_eq!(
        text.matches("name=\"company\"").count(),
        2,
        "{}",
        text.split("id=\"companies\"").nth(1).unwrap()
    );
    assert_eq!(count_of_keys(&server, &root).await, before);
    let none = owner.post(NEW, &[("name", "Till"), ("find", "zzz"), ("found", "")]).await;
    let told = "No company has “zzz” in its name, and no id begins with it.";
    assert!(none.text().contains(told), "{}", none.text());
    let made = [
        ("name", "Till"),
        ("scope", "settings:read"),
        ("coverage", "some"),
        ("company", "shop_7"),
        ("company", "shop_39"),
        ("find", "shop 39"),
        ("found", "shop 39"),
    ];
    let made = owner.post(NEW, &made).await;
    assert!(made.text().contains("value=\"cs_"), "{}", made.text());
    assert_eq!(count_of_keys(&server, &root).await, before + 1);
}

#[tokio::test]
async fn a_company_that_does_not_exist_is_refused_by_its_id() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    for path in [NEW, "/console/people/new"] {
        let form = [
            ("name", "Ana"),
            ("scope", "settings:read"),
            ("coverage", "some"),
            ("company", "cmp_001"),
            ("company", "cmp_nowhere"),
        ];
        let refused = owner.post(path, &form).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains("id=\"companies-wrong\""), "{}", refused.text());
        assert!(refused.text().contains("There is no company cmp_nowhere."), "{}", refused.text());
        assert!(refused.text().contains("value=\"Ana\""), "{}", refused.text());
        let both = [
            ("name", "Ana"),
            ("scope", "settings:read"),
            ("coverage", "all"),
            ("company", "cmp_001"),
        ];
        let both = owner.post(path, &both).await;
        assert!(both.text().contains("Choose “Only these”"), "{}", both.text());
        let form = [
            ("name", "Ana"),
            ("scope", "settings:read"),
            ("coverage", "all"),
            ("addresses", "192.0.2.1 here\n<there>"),
        ];
        let item = owner.post(path, &form).await;
        assert!(item.text().contains("id=\"addresses-wrong\""), "{}", item.text());
        for told in
            ["<p>“here” must be an address or", "<p>“&#60;there&#62;” must be an address or"]
        {
            assert!(item.text().contains(told), "{told}: {}", item.text());
        }
        for (coverage, said) in
            [("", "Choose all companies, or"), ("some", "Choose at least one company")]
        {
            let none = [("name", "Ana"), ("scope", "settings:read"), ("coverage", coverage)];
            let none = owner.post(path, &none).await;
            assert_eq!(none.status, 400);
            assert!(none.text().contains(said), "{}", none.text());
        }
    }
}

#[tokio::test]
async fn a_key_that_would_be_wider_is_refused_at_its_field_in_plain_words() {
    let server = Server::demo().await;
    let (_, secret) = server
        .issue(with_scopes(&["settings:read", "companies:read", "keys:read", "keys:write"]))
        .await;
    let ana = Browser::with_key(&server, &secret).await;
    let form = ana.get(NEW).await;
    assert!(form.text().contains("value=\"settings:read\" checked"), "{}", form.text());
    assert!(!form.text().contains("settings:write"), "what cannot be given is not offered");
    let wide = [
        ("name", "Ben"),
        ("scope", "settings:read"),
        ("scope", "settings:write"),
        ("coverage", "all"),
    ];
    let refused = ana.post(NEW, &wide).await;
    assert_eq!(refused.status, 403);
    let text = refused.text();
    assert!(text.contains("id=\"scope-wrong\""), "{text}");
    assert!(text.contains("You can allow only what you may do yourself"), "{text}");
    assert!(text.contains("“See the four lists”"), "{text}");
    let (wider, _) = server.issue(everything()).await;
    let refused = ana.get(&format!("/console/keys/{}", wider.id)).await;
    assert!(refused.text().contains("This key may do more than yours"), "{}", refused.text());
    let owner = Browser::of(&server).await;
    let taken = [("name", "Twice"), ("id", "cmp_001")];
    let taken = owner.post("/console/companies/new", &taken).await;
    assert!(taken.text().contains("id=\"id-wrong\""), "{}", taken.text());
    assert!(taken.text().contains("This id is taken"), "{}", taken.text());
}

#[tokio::test]
async fn the_changes_of_a_key_are_shown_over_all_its_companies() {
    let server = Server::demo().await;
    shops(&server).await;
    let owner = Browser::of(&server).await;
    let (key, secret) = server.issue(everything()).await;
    let path = format!("/console/keys/{}/changes", key.id);
    let none = owner.get(&path).await;
    assert!(none.text().contains("Nothing was changed with this key"), "{}", none.text());
    let ana = Browser::with_key(&server, &secret).await;
    for at in 0..7 {
        let name = format!("Tag {at}");
        ana.post("/console/c/cmp_001/customer_tags/add", &[("name", &*name)]).await;
    }
    ana.post("/console/c/shop_40/customer_tags/add", &[("name", "Elsewhere")]).await;
    owner.post("/console/c/shop_1/customer_tags/add", &[("name", "By another")]).await;
    let mut pages = String::new();
    let mut next = path.clone();
    loop {
        let page = owner.get(&next).await;
        pages += page.text();
        let Some(more) = page.text().split("class=\"button\" href=\"").nth(1) else { break };
        next = more.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert!(pages.contains("Added the tag “Tag 6”"), "{pages}");
    assert!(pages.contains("Added the tag “Elsewhere”"), "{pages}");
    assert!(!pages.contains("By another") && !pages.contains("“Tag 1”"), "{pages}");
    let all = format!("/console/c/cmp_001/history?key={}", key.id);
    assert!(pages.contains(&all.replace('_', "%5F").replace("cmp%5F", "cmp_")), "{pages}");
    let all = owner.get(&all).await;
    assert!(all.text().contains("“Tag 0”") && !all.text().contains("load"), "{}", all.text());
    let (few, secret) = server.issue(covering(&["cmp_001", "cmp_nowhere"])).await;
    let ben = Browser::with_key(&server, &secret).await;
    ben.post("/console/c/cmp_001/customer_tags/add", &[("name", "By Ben")]).await;
    let few_page = owner.get(&format!("/console/keys/{}", few.id)).await;
    assert!(few_page.text().contains("2 companies"), "{}", few_page.text());
    let page = owner.get(&format!("/console/keys/{}/changes", few.id)).await;
    assert!(page.text().contains("“By Ben”"), "{}", page.text());
}

#[tokio::test]
async fn nobody_locks_the_own_key_by_its_own_page() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let (ana, owner) = (Browser::with_key(&server, &secret).await, Browser::of(&server).await);
    let path = format!("/console/keys/{}", key.id);
    let etag = Browser::hidden(&ana.get(&path).await, "etag");
    let form = [("etag", &*etag), ("name", "Ana"), ("coverage", "all")];
    let far = [&form[..], &[("scope", "*"), ("addresses", "192.0.2.0/24")]].concat();
    let refused = ana.post(&path, &far).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let told = "id=\"addresses-wrong\"><p>This is your own key, and you are at 127.0.0.1: add it";
    assert!(refused.text().contains(told), "{}", refused.text());
    assert!(refused.text().contains(">192.0.2.0/24</textarea>"), "{}", refused.text());
    let less = [&form[..], &[("scope", "keys:read"), ("scope", "settings:read")]].concat();
    let refused = ana.post(&path, &less).await;
    assert!(refused.text().contains("id=\"scope-wrong\""), "{}", refused.text());
    let near = [&form[..], &[("scope", "*"), ("addresses", "192.0.2.0/24 127.0.0.0/8")]].concat();
    assert_eq!(ana.post(&path, &near).await.status, 303);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    let far = [("etag", &*etag)].iter().chain(&far[1..]).copied().collect::<Vec<_>>();
    assert_eq!(owner.post(&path, &far).await.status, 303, "the key of another one");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_key_is_told_at_once() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let marked = |page: &Answer| {
        let fields = ["name", "staff", "scope", "companies", "expires", "addresses"];
        let wrong = |field: &&str| page.text().contains(&format!("id=\"{field}-wrong\""));
        fields.into_iter().filter(wrong).collect::<Vec<_>>().join(" ")
    };
    let all = [
        ("name", ""),
        ("staff", "a b"),
        ("coverage", "some"),
        ("expires", "2001-01-01"),
        ("addresses", "here, 10.0.0.0/99"),
    ];
    let (key, _) = server.issue(everything()).await;
    let path = format!("/console/keys/{}", key.id);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    for (path, etag) in [(NEW, None), (&*path, Some(("etag", &*etag)))] {
        let form: Vec<_> = all.into_iter().chain(etag).collect();
        let page = owner.post(path, &form).await;
        assert_eq!(page.status, 400, "{path}");
        let told = "name staff scope companies expires addresses";
        assert_eq!(marked(&page), told, "{path}: {}", page.text());
        for told in [
            "Choose at least one thing that it may do.",
            "Choose at least one company.",
            "The last day is over already",
            "“here” must be an address",
            "“10.0.0.0/99” must be an address",
        ] {
            assert!(page.text().contains(told), "{path} {told}: {}", page.text());
        }
        assert!(!page.text().contains("settings:read,"), "{path}: {}", page.text());
    }
    // A key cannot give more than it has: each of these is told too.
    let narrow = server.clock.now().plus_seconds(3_600);
    let rights = covering(&["cmp_001"]);
    let scopes =
        with_scopes(&["settings:read", "companies:read", "keys:read", "keys:write"]).scopes;
    let draft = KeyDraft { scopes, expires_time: Some(narrow), ..rights };
    let ana = Browser::with_key(&server, &server.key(draft).await).await;
    let wide =
        [("name", " "), ("scope", "keys:read"), ("company", "cmp_002"), ("expires", "2099-01-01")];
    let page = ana.post(NEW, &wide).await;
    assert_eq!(marked(&page), "name companies expires", "{}", page.text());
    assert!(page.text().contains("UTC: give a day before that."), "{}", page.text());
}

#[tokio::test]
async fn a_key_that_may_change_what_it_may_not_see_is_refused_at_what_it_may_do() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let write = ["settings:write", "staff:any"];
    for (scopes, missing) in [
        (&write[..], "mark “See the four lists” too."),
        (&["companies:write"], "mark “See companies and locations” too."),
        (
            &["keys:write", "history:read"],
            "companies and locations” and “See keys and people” too.",
        ),
    ] {
        let scopes = scopes.iter().map(|scope| ("scope", *scope));
        let form: Vec<_> =
            [("name", "Till"), ("coverage", "all")].into_iter().chain(scopes).collect();
        let page = owner.post(NEW, &form).await;
        assert_eq!(page.status, 400, "{}", page.text());
        let told = page.text().split("id=\"scope-wrong\">").nth(1).unwrap().split('<').next();
        let told = told.unwrap();
        assert!(told.starts_with("Changing something needs seeing it as well"), "{told}");
        assert!(told.ends_with(missing), "{told}");
    }
    // A key that a program made so is changed otherwise.
    let (key, _) = server.issue(with_scopes(&write)).await;
    let path = format!("/console/keys/{}", key.id);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    let scopes = write.map(|scope| ("scope", scope));
    let form =
        [&[("name", "Renamed"), ("coverage", "all"), ("etag", &*etag)], &scopes[..]].concat();
    assert_eq!(owner.post(&path, &form).await.status, 303);
    let etag = Browser::hidden(&owner.get(&path).await, "etag");
    let less =
        [("name", "Less"), ("coverage", "all"), ("etag", &*etag), ("scope", "companies:write")];
    assert_eq!(owner.post(&path, &less).await.status, 400);
}

#[tokio::test]
async fn a_key_that_ends_within_a_day_shows_the_time() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let end = "2099-03-04T13:30:00Z";
    let expires_time = Some(Timestamp::from_micros(4_076_314_200_000_000));
    let (key, _) = server.issue(KeyDraft { expires_time, ..everything() }).await;
    let path = format!("/console/keys/{}", key.id);
    let page = owner.get(&path).await;
    let time = format!("it ends <time datetime=\"{end}\">4 Mar 2099, 13:30 UTC</time>");
    assert!(page.text().contains(&time), "{}", page.text());
    assert!(!page.text().contains("Until the end of"), "{}", page.text());
    let etag = Browser::hidden(&page, "etag");
    let form =
        [("name", "Till"), ("scope", "settings:read"), ("coverage", "all"), ("etag", &*etag)];
    let other = [&form[..], &[("expires", "2099-03-05")]].concat();
    assert_eq!(owner.post(&path, &other).await.status, 303);
    let page = owner.get(&path).await;
    assert!(page.text().contains("Until the end of"), "{}", page.text());
    // The key of somebody who had the page open shows both.
    let late = [&form[..], &[("expires", "2099-03-04")]].concat();
    assert_eq!(owner.post(&path, &late).await.status, 409);
}

#[tokio::test]
async fn an_ipv4_network_that_is_written_as_ipv6_is_the_own_address() {
    let server = Server::demo().await;
    let (key, secret) = server.issue(everything()).await;
    let ana = Browser::with_key(&server, &secret).await;
    let path = format!("/console/keys/{}", key.id);
    for (addresses, status) in [
        ("::ffff:192.0.2.0/120", 400),
        ("::ffff:127.0.0.0/104", 303),
        ("::ffff:127.0.0.1/128", 303),
    ] {
        let etag = Browser::hidden(&ana.get(&path).await, "etag");
        let form = [("name", "Ana"), ("coverage", "all"), ("scope", "*"), ("etag", &*etag)];
        let form = [&form[..], &[("addresses", addresses)]].concat();
        let answer = ana.post(&path, &form).await;
        assert_eq!(answer.status, status, "{addresses}: {}", answer.text());
    }
    let page = ana.get(&path).await;
    assert!(page.text().contains(">127.0.0.1/32</textarea>"), "{}", page.text());
}

#[tokio::test]
async fn the_page_of_a_key_tells_two_of_one_name_apart() {
    let server = Server::demo().await;
    let owner = Browser::of(&server).await;
    let draft = || KeyDraft { name: Name::parse("name", "Ana").unwrap(), ..everything() };
    let (one, secret) = server.issue(draft()).await;
    let (two, _) = server.issue(draft()).await;
    let mark = |id: &str| format!("(key …{})", &id[id.len() - 4..]);
    let (mark, other) = (mark(one.id.as_str()), mark(two.id.as_str()));
    let ana = Browser::with_key(&server, &secret).await;
    let form = [("name", "Till"), ("scope", "settings:read"), ("coverage", "all")];
    assert_eq!(ana.post(NEW, &form).await.status, 200);
    let root = server.any_key().await;
    let list = server.answer(&root, "customersettings.v1.KeyService/ListKeys", json!({})).await;
    let keys = list["keys"].as_array().unwrap();
    let made = keys.iter().find(|key| key["name"] == "Till").unwrap()["id"].as_str().unwrap();
    let page = owner.get(&format!("/console/keys/{made}")).await;
    assert!(page.text().contains(&format!("by Ana {mark}")), "{}", page.text());
    assert!(
        page.text().contains(&format!("<strong><bdi>Ana</bdi></strong> {mark} made it")),
        "{}",
        page.text()
    );
    let path = format!("/console/keys/{}", two.id);
    for path in [path.clone(), format!("{path}/changes")] {
        let page = owner.get(&path).await;
        let head = page.text().split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap();
        assert!(head.contains(&other), "{path}: {head}");
    }
}

#[tokio::test]
async fn a_key_says_until_when_and_from_where_it_works_to_all_who_see_it() {
    let server = Server::demo().await;
    let end = Timestamp::from_micros(4_076_314_200_000_000);
    let soon = server.clock.now().plus_seconds(3_600);
    let reads = || with_scopes(&["settings:read"]);
    let limited = KeyDraft {
        expires_time: Some(end),
        addresses: vec!["10.1.2.0/24".parse().unwrap(), "192.0.2.7/32".parse().unwrap()],
        ..reads()
    };
    let [limited, short, free] =
        [limited, KeyDraft { expires_time: Some(soon), ..reads() }, reads()];
    let (limited, _) = server.issue(limited).await;
    let (short, _) = server.issue(short).await;
    let (free, _) = server.issue(free).await;
    let scopes = ["settings:read", "companies:read", "keys:read"];
    let viewer = Browser::with_key(&server, &server.key(with_scopes(&scopes)).await).await;
    server.clock.advance(std::time::Duration::from_secs(7_200));
    let until = " · until <time datetime=\"2099-03-04T13:30:00Z\">4 Mar 2099, 13:30 UTC</time> · from 10.1.2.0/24 and ";
    for path in ["/console/keys".to_owned(), format!("/console/keys/{}", limited.id)] {
        let page = viewer.get(&path).await;
        assert!(page.text().contains(until), "{path}: {}", page.text());
        assert!(!page.text().contains("name=\"expires\""), "{path}: {}", page.text());
    }
    let page = viewer.get(&format!("/console/keys/{}", short.id)).await;
    assert!(page.text().contains(" · ended <time "), "{}", page.text());
    let page = viewer.get(&format!("/console/keys/{}", free.id)).await;
    assert!(page.text().contains(" · without an end · from anywhere</p>"), "{}", page.text());
    let form = Browser::of(&server).await.get(NEW).await;
    assert!(form.text().contains("(a day in UTC; empty: without an end)"), "{}", form.text());
}
