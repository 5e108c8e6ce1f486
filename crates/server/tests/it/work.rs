//! The work of one request has a bound for any bytes: the server counts before it reads contents, and stops
//! reading when it knows enough. These tests put damage behind that point, which the server must not notice.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{harness::*, long_work::Crowd};

const COMPANY: &str = "/admin/v1/companies/cmp_001";

/// The answer to a body.
async fn sent(server: &Server, line: &str, body: impl Into<Bytes>) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let secret = server.any_key().await;
    server.call(method, &format!("{COMPANY}{path}")).bearer(&secret).body(body).send().await
}

/// A list in JSON with this many items, and with text behind them that is no JSON.
fn broken(before: &str, item: &str, count: usize) -> String {
    format!("{before}{}, nonsense", vec![item; count].join(","))
}

#[tokio::test]
async fn a_list_that_is_too_long_is_counted_and_not_read() {
    let server = Server::demo().await;
    for (line, before, item, field, most) in [
        ("POST :batch", r#"{"changes": ["#, "{}", "changes", 1_000),
        ("POST /customer_tags:reorder", r#"{"ids": ["#, "\"a\"", "ids", 1_000),
        (
            "POST :batch",
            r#"{"changes": [{"reorder": {"ids": ["#,
            "\"a\"",
            "changes[0].reorder.ids",
            1_000,
        ),
    ] {
        let refusal = sent(&server, line, broken(before, item, most + 1)).await.refusal();
        let expected = format!("{field} must have at most {most} items, and has more");
        assert_eq!((refusal.reason.as_str(), &refusal.message), ("INVALID_FIELD", &expected));
        assert_eq!(refusal.fields, [field]);
        // As many items as allowed are read, and so is the text behind them.
        let refusal = sent(&server, line, broken(before, item, most)).await.refusal();
        assert_eq!(refusal.reason, "MALFORMED_JSON", "{line}");
    }
    let secret = server.any_key().await;
    for (field, most) in [("scopes", 100), ("addresses", 100), ("companyIds", 1_000)] {
        let key = broken(&format!(r#"{{"name": "a", "{field}": ["#), "\"x\"", most + 1);
        let refusal =
            server.post("/admin/v1/keys").bearer(&secret).body(key).send().await.refusal();
        assert!(refusal.message.ends_with("items, and has more"), "{}", refusal.message);
    }
    // Many wrong items end the reading sooner.
    let wrong = sent(&server, "POST /customer_tags:reorder", broken(r#"{"ids": ["#, "1", 33)).await;
    assert_eq!(wrong.refusal().reason, "INVALID_FIELD");
}

#[tokio::test]
async fn over_grpc_items_are_counted_before_there_is_a_message() {
    let server = Server::demo().await;
    let bearer = format!("Bearer {}", server.any_key().await);
    let batch = "/customersettings.v1.EntryService/BatchChangeEntries";
    let company = b"\x0a\x07cmp_001";
    for (count, reason) in [(1_000, "MALFORMED_MESSAGE"), (1_001, "INVALID_FIELD")] {
        // The message is damaged behind the items.
        let message = [&company[..], &b"\x12\x00".repeat(count), b"\xff"].concat();
        let headers = [("authorization", bearer.as_str())];
        let refused = server.grpc_bytes(batch, &headers, message.into()).await.unwrap_err();
        assert_eq!(Refusal::of_status(&refused).reason, reason, "{count}");
    }
}

#[tokio::test]
async fn masks_and_filters_have_few_parts() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    for (count, is_taken) in [(100, true), (101, false)] {
        let mask = vec!["name"; count].join(",");
        let request = json!({
            "companyId": "cmp_001", "collection": "customer_tags", "id": "tag_001", "validateOnly": true,
            "entry": {"name": "VIP Customer"}, "updateMask": mask,
        });
        let answer = server.ask(&secret, "UpdateEntry", request).await;
        let refusal = answer.err().map(|refusal| refusal.message);
        let expected = "update_mask.paths must have at most 100 items, and has more".to_owned();
        assert_eq!(refusal, Some(expected).filter(|_| !is_taken), "{count}");
    }
    let filtered = async |filter: &str| {
        let filter = utf8_percent_encode(filter, NON_ALPHANUMERIC);
        sent(&server, &format!("GET /customer_tags?filter={filter}"), "").await
    };
    let conditions = |count: usize| vec!["name:\"ä\""; count].join(" AND ");
    assert_eq!(filtered(&conditions(20)).await.status, 200);
    // The condition after the last one is not read.
    let refusal = filtered(&format!("{} AND nonsense", conditions(20))).await.refusal();
    assert_eq!(refusal.message, "filter must be at most 20 conditions");
    let longest = format!("name:\"{}\"", "x".repeat((16 << 10) - 7));
    assert!(filtered(&longest).await.refusal().message.contains("characters"));
    let refusal = filtered(&format!("{longest} ")).await.refusal();
    assert_eq!(refusal.message, "filter must have at most 16384 bytes");
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_large_body_is_answered_where_long_work_is_done_and_a_small_one_at_once() {
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let body = |bytes: usize| {
        let more = json!({"pagination": {"pageSize": 1}, "more": ""}).to_string();
        let (before, after) = more.split_at(more.len() - 2);
        format!("{before}{}{after}", "x".repeat(bytes - more.len()))
    };
    let (small, large) = (body(64 << 10), body((64 << 10) + 1));
    let sends = async |body: Vec<u8>, coding: &str| {
        let call = server.post("/v1/companies:list").bearer(&secret).body(body);
        call.header("grpc-timeout", "300m").header("content-encoding", coding).send().await
    };
    let crowd = Crowd::of(&server).await;
    for (body, is_large) in [(&small, false), (&large, true)] {
        for (bytes, coding) in [(body.clone().into_bytes(), "identity"), (gzip(body), "gzip")] {
            let answer = sends(bytes, coding).await;
            match is_large {
                true => assert_eq!(answer.refusal().reason, "NOT_BEGUN", "{coding}"),
                false => assert_eq!(answer.status, 200, "{coding}: {}", answer.text()),
            }
        }
    }
    let list = "/moego.business.company.v1.CompanyService/ListCompanies";
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "300m")];
    for (bytes, is_large) in [(64 << 10, false), ((64 << 10) + 1, true)] {
        // A field that nobody knows, with three bytes of length.
        let more = bytes - 4;
        let length = [more & 127 | 128, more >> 7 & 127 | 128, more >> 14].map(|part| part as u8);
        let message = [&b"\x7a"[..], &length, &vec![b'x'; more]].concat();
        let answer = server.grpc_bytes(list, &headers, message.into()).await;
        // The client itself ends at the same time.
        assert_eq!(answer.is_err(), is_large, "{bytes}: {answer:?}");
    }
    crowd.leave().await;
    for body in [large.clone().into_bytes(), gzip(&large)] {
        let coding = if body.starts_with(b"{") { "identity" } else { "gzip" };
        let answer = sends(body, coding).await;
        assert_eq!(answer.json()["companies"].as_array().map(Vec::len), Some(1), "{coding}");
    }
    let nothing: Value = server.get("/v1/companies/cmp_001").bearer(&secret).send().await.json();
    assert_eq!(nothing["id"], "cmp_001");
}
