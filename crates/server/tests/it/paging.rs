//! The pages of the management API's lists, while rows are added and removed between the requests.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::*;

const COMPANIES: &str = "/admin/v1/companies";
const LOCATIONS: &str = "/admin/v1/companies/cmp_001/businesses";
const KEYS: &str = "/admin/v1/keys";
const CHANGES: &str = "/admin/v1/companies/cmp_001/changes";

/// A caller who reads a list page by page.
struct Walk<'a> {
    server: &'a Server,
    secret: &'a str,
    list: String,
    rows: &'a str,
    token: String,
}

impl<'a> Walk<'a> {
    fn new(server: &'a Server, secret: &'a str, list: &str, rows: &'a str) -> Self {
        let list = list.to_owned() + if list.contains('?') { "&" } else { "?" };
        Self { server, secret, list, rows, token: String::new() }
    }

    /// The field of each row on the next page.
    async fn page(&mut self, size: usize, field: &str) -> Vec<String> {
        let path = format!("{}page_size={size}&page_token={}", self.list, self.token);
        let answer = self.server.get(&path).bearer(self.secret).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let page = answer.json();
        self.token = page["nextPageToken"].as_str().unwrap().to_owned();
        let rows = page[self.rows].as_array().unwrap().iter();
        rows.map(|row| row[field].as_str().unwrap().to_owned()).collect()
    }

    /// The rows on all further pages.
    async fn rest(&mut self, size: usize, field: &str) -> Vec<String> {
        let mut rows = Vec::new();
        while !self.token.is_empty() {
            rows.extend(self.page(size, field).await);
        }
        rows
    }
}

async fn make(server: &Server, secret: &str, path: &str, body: Value) -> Value {
    let answer = server.call("POST", path).bearer(secret).body(body.to_string()).send().await;
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_row_more_or_another_page_size_neither_doubles_nor_loses_a_row() {
    let server = Server::of("companies: [{id: cmp_001, name: A}]").await;
    let root = server.any_key().await;
    for (list, rows) in [(COMPANIES, "companies"), (LOCATIONS, "businesses")] {
        for name in ["B", "C", "Dog & cat", "D", "E"] {
            make(&server, &root, list, json!({"name": name})).await;
        }
        if rows == "businesses" {
            make(&server, &root, list, json!({"name": "A"})).await;
        }
        let mut walk = Walk::new(&server, &root, list, rows);
        assert_eq!(walk.page(2, "name").await, ["A", "B"]);
        // One row is before the rows that were read, and shifts nothing. The other one is after them, and
        // appears.
        make(&server, &root, list, json!({"name": "AA"})).await;
        assert_eq!(walk.page(1, "name").await, ["C"]);
        make(&server, &root, list, json!({"name": "Cc"})).await;
        assert_eq!(walk.page(500, "name").await, ["Cc", "D", "Dog & cat", "E"]);
        assert_eq!(walk.token, "");
    }
}

#[tokio::test]
async fn pages_of_keys_go_on_after_the_last_one() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    for _ in 0..4 {
        server.any_key().await;
    }
    let mut whole = Walk::new(&server, &root, KEYS, "keys");
    let ids = whole.page(0, "id").await;
    assert_eq!((ids.len(), whole.token.as_str()), (5, ""));
    let mut walk = Walk::new(&server, &root, KEYS, "keys");
    let mut paged = walk.page(2, "id").await;
    // A row that was read is removed, and another one is added.
    make(&server, &root, &format!("{KEYS}/{}:revoke", ids[1]), json!({})).await;
    let (late, _) = server.issue(everything()).await;
    paged.extend(walk.page(1, "id").await);
    paged.extend(walk.rest(500, "id").await);
    assert_eq!(paged, [ids, vec![late.id.to_string()]].concat());
}

#[tokio::test]
async fn a_company_that_few_keys_cover_is_found_among_many() {
    let names = ["F", "E", "D", "C", "B", "A"];
    let company = |(i, name)| format!("  - {{id: cmp_{i}, name: {name}}}\n");
    let document: String = names.into_iter().enumerate().map(company).collect();
    let server = Server::of(&format!("companies:\n{document}")).await;
    let few = server.key(covering(&["cmp_0", "cmp_2", "cmp_4", "cmp_x"])).await;
    let archive = format!("{COMPANIES}/cmp_2:archive");
    make(&server, &few, &archive, json!({})).await;
    for (list, expected) in [
        (COMPANIES.to_owned(), &["B", "F"][..]),
        (format!("{COMPANIES}?show_archived=true"), &["B", "D", "F"]),
    ] {
        let mut walk = Walk::new(&server, &few, &list, "companies");
        let mut found = walk.page(1, "name").await;
        found.extend(walk.rest(1, "name").await);
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_token_of_another_list_is_refused_in_words() {
    let server = Server::demo().await;
    let root = server.any_key().await;
    for company in ["cmp_001", "cmp_002"] {
        let tags = format!("/admin/v1/companies/{company}/customer_tags");
        for name in ["One more", "And another"] {
            make(&server, &root, &tags, json!({"name": name})).await;
        }
    }
    let (first, second) = ("/admin/v1/companies/cmp_001", "/admin/v1/companies/cmp_002");
    for (list, others) in [
        (
            CHANGES.to_owned(),
            vec![
                format!("{second}/changes"),
                format!("{CHANGES}?collection=customer_tags"),
                format!("{first}/customer_tags/tag_001/changes"),
                format!("{first}/customer_tags"),
            ],
        ),
        (
            format!("{first}/customer_tags"),
            vec![
                format!("{second}/customer_tags"),
                format!("{first}/referral_sources"),
                format!("{first}/customer_tags?order_by=name"),
            ],
        ),
        (COMPANIES.to_owned(), vec![format!("{COMPANIES}?show_archived=true"), KEYS.to_owned()]),
    ] {
        let mut walk = Walk::new(&server, &root, &list, "");
        let path = format!("{}page_size=1", walk.list);
        let page = server.get(&path).bearer(&root).send().await.json();
        walk.token = page["nextPageToken"].as_str().unwrap().to_owned();
        assert_ne!(walk.token, "", "{list}");
        for other in others {
            let joint = if other.contains('?') { '&' } else { '?' };
            let path = format!("{other}{joint}page_token={}", walk.token);
            let refusal = server.get(&path).bearer(&root).send().await.refusal();
            assert_eq!(
                (refusal.reason.as_str(), &refusal.fields[..]),
                ("INVALID_FIELD", &["page_token".to_owned()][..])
            );
            assert!(refusal.message.contains("another list"), "{}", refusal.message);
        }
        // The compatible lists have page numbers.
        let path = format!("{list}?page_token=2");
        assert_eq!(server.get(&path).bearer(&root).send().await.refusal().fields, ["page_token"]);
    }
}

#[tokio::test]
async fn a_request_looks_at_a_bounded_number_of_keys_and_says_where_to_go_on() {
    let server = Server::demo().await;
    // The keys are sorted by the time of their making: a visible key, many invisible ones, a visible one.
    let less = server.key(with_scopes(&["keys:read"])).await;
    for _ in 0..21 {
        join_all((0..100).map(|_| server.issue(everything()))).await;
    }
    server.issue(with_scopes(&["keys:read"])).await;
    for (list, rows) in [(KEYS.to_owned(), "keys"), (format!("{KEYS}/-/changes"), "changes")] {
        let mut walk = Walk::new(&server, &less, &list, rows);
        let first = walk.page(500, "id").await;
        assert_eq!(first.len(), 1, "a short page");
        assert_ne!(walk.token, "");
        assert_eq!(walk.rest(500, "id").await.len(), 1);
    }
}

also_on_postgres! {
    a_row_more_or_another_page_size_neither_doubles_nor_loses_a_row,
    pages_of_keys_go_on_after_the_last_one,
    a_company_that_few_keys_cover_is_found_among_many,
}
