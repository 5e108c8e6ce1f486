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
