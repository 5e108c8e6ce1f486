//! Pages of companies and of locations, whose tokens are page numbers.

use serde_json::{Value, json};

use crate::harness::*;

/// Companies `c00` and so on. Their names are in another order than their ids.
fn companies(number: usize) -> String {
    let rows = (0..number).map(|i| format!("- {{id: c{i:02}, name: N{:02}}}\n", number - 1 - i));
    format!("companies:\n{}", rows.collect::<String>())
}

/// One company with locations `b000` and so on.
fn businesses(number: usize) -> String {
    let rows = (0..number).map(|i| format!("  - {{id: b{i:03}, name: N{:03}}}\n", number - 1 - i));
    format!("companies:\n- id: c\n  name: C\n  businesses:\n{}", rows.collect::<String>())
}

/// The same request for each of the paged lists: of companies, of locations, of one company's.
fn paged(pagination: &Value) -> [(&'static str, Value); 3] {
    [
        ("ListCompanies", json!({"pagination": pagination})),
        ("ListBusiness", json!({"pagination": pagination})),
        ("ListBusiness", json!({"pagination": pagination, "companyId": "cmp_001"})),
    ]
}

fn ids(answer: &Value) -> Vec<&str> {
    let rows = answer.get("companies").or_else(|| answer.get("businesses")).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_first_page_has_no_token_an_empty_one_or_1() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for token in [json!({}), json!({"pageToken": ""}), json!({"pageToken": "1"}), Value::Null] {
        for ((name, request), (_, plain)) in paged(&token).into_iter().zip(paged(&json!({}))) {
            let first = server.answer(&secret, name, request).await;
            assert_eq!(first, server.answer(&secret, name, plain).await, "{token}");
            assert!(ids(&first).len() >= 2);
        }
    }
    let answer = server.answer(&secret, "ListCompanies", json!({})).await;
    assert_eq!((ids(&answer), &answer["nextPageToken"]), (vec!["cmp_001", "cmp_002"], &json!("")));
}

#[tokio::test]
async fn a_program_that_follows_tokens_sees_each_company_once_in_order() {
    let server = Server::of(&companies(7)).await;
    let secret = server.any_key().await;
    let all = ["c06", "c05", "c04", "c03", "c02", "c01", "c00"];
    for size in [1_usize, 2, 3, 6, 7, 8, 10, 20, 50, 100, 499, 500] {
        let (mut seen, mut token, mut page) = (vec![], String::new(), 1);
        loop {
            let request = json!({"pagination": {"pageSize": size, "pageToken": token}});
            let answer = server.answer(&secret, "ListCompanies", request).await;
            seen.extend(ids(&answer).into_iter().map(str::to_owned));
            page += 1;
            token = answer["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
            assert_eq!(token, page.to_string(), "a program may count pages itself");
        }
        assert_eq!(seen, all, "{size}");
        // If the last page is full, no page follows it.
        assert_eq!(page - 1, usize::max(1, all.len().div_ceil(size)));
    }
}

#[tokio::test]
async fn a_page_holds_at_most_500_and_so_does_one_without_a_size() {
    let server = Server::of(&businesses(501)).await;
    let secret = server.any_key().await;
    let sizes = [(json!({}), 500), (json!({"pageSize": 0}), 500), (json!({"pageSize": 500}), 500)];
    let sizes = sizes
        .into_iter()
        .chain([1_usize, 10, 20, 50, 100, 499].map(|n| (json!({"pageSize": n}), n)));
    for (pagination, expected) in sizes {
        let both = [
            json!({"pagination": pagination}),
            json!({"pagination": pagination, "companyId": "c"}),
        ];
        for request in both {
            let answer = server.answer(&secret, "ListBusiness", request.clone()).await;
            let ids = ids(&answer);
            assert_eq!((ids.len(), ids[0]), (expected, "b500"), "{request}");
            assert_eq!(answer["nextPageToken"], "2", "{request}");
        }
    }
    for request in [
        json!({"pagination": {"pageToken": "2"}}),
        json!({"pagination": {"pageToken": "2"}, "companyId": "c"}),
    ] {
        let answer = server.answer(&secret, "ListBusiness", request).await;
        assert_eq!((ids(&answer), &answer["nextPageToken"]), (vec!["b000"], &json!("")));
    }
}

#[tokio::test]
async fn a_page_past_the_end_is_empty() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for token in ["2", "3", "1000", "4294967295"] {
        let pagination = json!({"pageSize": 500, "pageToken": token});
        for (name, request) in paged(&pagination) {
            let answer = server.answer(&secret, name, request).await;
            assert_eq!((ids(&answer), &answer["nextPageToken"]), (vec![], &json!("")), "{token}");
        }
    }
}

#[tokio::test]
async fn a_page_size_below_0_or_above_500_is_a_wrong_field() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for size in [-1, 501, i32::MIN, i32::MAX] {
        for (name, request) in paged(&json!({"pageSize": size})) {
            let refusal = server.refusal(&secret, name, request).await;
            assert_eq!(refusal.fields, ["pagination.page_size"], "{size}");
            assert!(refusal.message.contains("500"), "{}", refusal.message);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_no_page_number_is_a_wrong_field() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for token in ["0", "-1", "x", "1.0", "2x", "4294967296"] {
        for (name, request) in paged(&json!({"pageToken": token})) {
            let refusal = server.refusal(&secret, name, request).await;
            assert_eq!(refusal.fields, ["pagination.page_token"], "{token}");
        }
    }
}

#[tokio::test]
async fn a_token_has_at_most_64_characters() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let longest = format!("{:064}", 1);
    for (name, request) in paged(&json!({"pageToken": longest})) {
        assert!(!ids(&server.answer(&secret, name, request).await).is_empty());
    }
    for (name, request) in paged(&json!({"pageToken": format!("{:065}", 1)})) {
        let refusal = server.refusal(&secret, name, request).await;
        assert_eq!(refusal.fields, ["pagination.page_token"]);
        assert!(refusal.message.contains("64 characters"), "{}", refusal.message);
    }
}
