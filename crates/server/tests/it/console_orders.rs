//! New orders of lists, as the console tells them.

use crate::{console::Browser, harness::*};

const TAGS: &str = "/console/c/cmp_001/customer_tags";

/// The page after a form about the order of the tags.
async fn sent(browser: &Browser<'_>, action: &str, fields: &[(&str, &str)]) -> Answer {
    let etag = Browser::hidden(&browser.get(TAGS).await, "etag");
    let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("etag", &*etag)]).collect();
    browser.follow(&browser.post(&format!("{TAGS}/{action}"), &fields).await).await
}

#[tokio::test]
async fn an_arrow_tells_the_entry_that_it_moved_and_history_tells_both_neighbors() {
    let server = Server::of(
        "companies: [{id: cmp_001, name: C, customer_tags: [{id: v, name: VIP}, {id: s, name: Senior}, \
         {id: p, name: Puppy}]}]",
    )
    .await;
    let all = Browser::of(&server).await;
    let scopes = ["settings:read", "settings:write", "companies:read"];
    let clerk = server.issue(with_scopes(&scopes)).await.1;
    let clerk = Browser::with_key(&server, &clerk).await;
    for browser in [&all, &clerk] {
        for (field, told) in [
            ([("down", "v")], "“VIP” is number 2 now."),
            ([("up", "v")], "“VIP” is number 1 now."),
            ([("to.v", "3")], "“VIP” is number 3 now."),
            ([("to.v", "1")], "“VIP” is number 1 now."),
            ([("up", "v")], "Nothing was changed."),
        ] {
            let page = sent(browser, "order", &field).await;
            assert!(page.text().contains(&format!("<p>{told}</p>")), "{told}: {}", page.text());
        }
    }
    let history = all.get("/console/c/cmp_001/history").await;
    for told in [
        "put “Senior” before “VIP”",
        "put “VIP” before “Senior”",
        "moved “VIP” down, after “Puppy”",
    ] {
        assert_eq!(history.text().matches(told).count(), 2, "{told}: {}", history.text());
    }
    let page = sent(&clerk, "sort", &[]).await;
    assert!(page.text().contains("<p>The list is in another order now.</p>"), "{}", page.text());
}

#[tokio::test]
async fn names_are_sorted_and_searched_without_accents() {
    let server = Server::of(
        "companies: [{id: cmp_001, name: C, customer_tags: [{id: z, name: zebra}, {id: f, name: Fox}, \
         {id: n, name: Élan}, {id: a, name: Apple}, {id: e, name: eagle}, {id: t, name: Äpfel}, \
         {id: y, name: Zürich}]}]",
    )
    .await;
    let browser = Browser::of(&server).await;
    let ids = |page: &Answer| -> String {
        let rows = page.text().split("<div class=\"what\"><a href=\"").skip(1);
        rows.map(|row| row.split('"').next().unwrap().rsplit('/').next().unwrap()).collect()
    };
    // apfel, apple, eagle, elan, fox, zebra, zurich.
    assert_eq!(ids(&sent(&browser, "sort", &[]).await), "taenfzy");
    for (q, found) in
        [("elan", "n"), ("%C3%A9lan", "n"), ("zurich", "y"), ("ap", "ta"), ("%C3%A4p", "ta")]
    {
        assert_eq!(ids(&browser.get(&format!("{TAGS}?q={q}")).await), found, "{q}");
    }
}

#[tokio::test]
async fn an_order_is_told_also_where_entries_keep_their_numbers() {
    let list = |names: &str| {
        let tags = names.chars().map(|name| format!("{{id: {name}, name: {name}}}"));
        let tags = tags.collect::<Vec<_>>().join(", ");
        format!("companies: [{{id: cmp_001, name: C, customer_tags: [{tags}]}}]")
    };
    let server = Server::of(&list("ABC")).await;
    let browser = Browser::of(&server).await;
    // B is the second in both.
    load(&server.other_program().await, &list("XBAC")).await;
    let history = browser.get("/console/c/cmp_001/history").await;
    let told = "added the tag “X” and put “B” before “A”";
    assert!(history.text().contains(told), "{}", history.text());
    for (page, order) in [
        ("/console/c/cmp_001/history/2", "<td>“A”, “B”</td>\n<td>“B”, “A”</td>"),
        ("/console/c/cmp_001/history/1/back", "<td>“B”, “A”</td>\n<td>“A”, “B”</td>"),
    ] {
        let page = browser.get(page).await;
        assert!(page.text().contains(order), "{}", page.text());
    }
}

#[tokio::test]
async fn orders_are_told_one_after_the_other_whatever_came_between() {
    let server = Server::of(
        "companies: [{id: cmp_001, name: C, customer_tags: [{id: A, name: A}, {id: B, name: B}, \
         {id: C, name: C}, {id: D, name: D}, {id: E, name: E}]}]",
    )
    .await;
    let (browser, secret) = (Browser::of(&server).await, server.any_key().await);
    let tags = "/admin/v1/companies/cmp_001/customer_tags";
    let order = async |ids: &str| {
        let ids: Vec<String> = ids.chars().map(String::from).collect();
        let sent = server.post(&format!("{tags}:reorder")).bearer(&secret);
        let answer = sent.body(serde_json::json!({"ids": ids}).to_string()).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    order("EABCD").await;
    let described = server.call("PATCH", &format!("{tags}/B")).bearer(&secret);
    assert_eq!(described.body(r#"{"description":"Other"}"#).send().await.status, 200);
    let added = server.post(&format!("{tags}?entryId=F")).bearer(&secret);
    assert_eq!(added.body(r#"{"name":"F"}"#).send().await.status, 200);
    // B keeps its number.
    order("ECBADF").await;
    order("CEBADF").await;
    let away = server.post(&format!("{tags}/B:archive")).bearer(&secret);
    assert_eq!(away.body("{}").send().await.status, 200);
    order("CEDAF").await;
    let history = browser.get("/console/c/cmp_001/history").await;
    let mut rest = history.text();
    for told in [
        "put “D” before “A”",
        "put away the tag “B”",
        "put “C” before “E”",
        "put the tags into another order",
        "added the tag “F”",
        "described “B”",
        "moved “E” up, before “A”",
    ] {
        let at = rest.find(told);
        rest = &rest[at.unwrap_or_else(|| panic!("{told}: {}", history.text()))..];
    }
}

#[tokio::test]
async fn a_page_reads_few_old_lists_and_tells_less_of_the_others() {
    let list = |names: &str| {
        let tags = names.chars().map(|name| format!("{{id: {name}, name: {name}}}"));
        let tags = tags.collect::<Vec<_>>().join(", ");
        format!("companies: [{{id: cmp_001, name: C, customer_tags: [{tags}]}}]")
    };
    let server = Server::of(&list("AB")).await;
    let browser = Browser::of(&server).await;
    let program = server.other_program().await;
    let mut new = String::new();
    for (name, at) in ('C'..='M').zip(0..) {
        new.insert(0, name);
        let last = if at % 2 == 0 { "BA" } else { "AB" };
        load(&program, &list(&format!("{new}{last}"))).await;
    }
    server.settled().await;
    let history = browser.get("/console/c/cmp_001/history").await;
    let count = |told: &str| history.text().matches(told).count();
    assert_eq!(count("added the tag"), 11, "{}", history.text());
    // Two lists for the newest change, and one for each that follows.
    assert_eq!(count("put “"), 3, "{}", history.text());
}
