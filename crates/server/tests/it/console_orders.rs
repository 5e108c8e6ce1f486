//! New orders of lists, as the console tells them.

use crate::{console::Browser, harness::*};

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
    let told = "added the tag “X” and moved “B” up, before “A”";
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
        "moved “D” up, before “A”",
        "put away the tag “B”",
        "moved “C” up, before “E”",
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
    assert_eq!(count("up, before “"), 3, "{}", history.text());
}
