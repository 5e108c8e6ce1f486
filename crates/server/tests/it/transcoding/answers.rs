//! Answers: messages and errors become JSON, with their headers.

use super::*;

#[tokio::test]
async fn head_is_get_without_a_body() {
    let fixture = Fixture::new();
    let get = fixture.send("GET /v1/things/a", &[], "").await;
    let head = fixture.send("HEAD /v1/things/a", &[], "").await;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    let missing = fixture.send("HEAD /nowhere", &[], "").await;
    assert_eq!((missing.status.as_u16(), missing.body.is_empty()), (404, true));
}

#[tokio::test]
async fn answers_write_what_has_its_default_value_and_leave_out_what_is_not_set() {
    let fixture = Fixture::new();
    let answer =
        fixture.send("GET /v1/things/a?changedTime=2023-01-01T10:00:00.120Z", &[], "").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "id": "a", "name": "", "count": 0, "big": "0", "flag": false, "color": "COLOR_UNSPECIFIED", "tags": [],
        "changedTime": "2023-01-01T10:00:00.120Z", "data": "", "ratio": 0.0, "size": "0", "labels": {}, "many": [],
        "numbers": [], "colors": [], "times": [], "etag": "",
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn an_answer_may_be_one_field() {
    let fixture = Fixture::new();
    let cases = [
        ("GET /v1/parts/a?nested.id=n", r#"{"id":"n","pageSize":0}"#),
        ("GET /v1/parts/a", "null"),
        ("GET /v1/parts/a/tags?tags=x", r#"["x"]"#),
        ("GET /v1/parts/a/tags", "[]"),
        ("GET /v1/parts/a/big", r#""0""#),
    ];
    for (line, body) in cases {
        assert_eq!(fixture.send(line, &[], "").await.body, body, "{line}");
    }
}

#[tokio::test]
async fn headers_become_metadata_but_those_of_the_connection() {
    let fixture = Fixture::new();
    let headers = [
        ("content-type", "application/json"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("te", "gzip"),
        ("host", "example.test"),
        ("content-length", "2"),
        ("grpc-encoding", "gzip"),
        ("x-request-id", "r7"),
        ("authorization", "me"),
        ("user-agent", "test"),
    ];
    let answer = fixture.send("POST /v1/things", &headers, "{}").await;
    let (call, _) = fixture.take_call();
    let mut names: Vec<(&str, &str)> =
        call.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    names.sort_unstable();
    let expected = [
        ("authorization", "me"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "test"),
        ("x-request-id", "r7"),
    ];
    assert_eq!(names, expected);
    let mut names: Vec<&str> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cache-control", "content-type", "x-at-the-end", "x-request-id"]);
}

#[tokio::test]
async fn errors_of_the_method_become_status_json_with_their_headers() {
    let fixture = Fixture::new();
    for fail in ["at once", "in trailers"] {
        let answer = fixture.send("POST /v1/things", &[("x-fail", fail)], "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason()),
            (429, json!("KEY_RATE_LIMIT")),
            "{fail}"
        );
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(
            answer.header("grpc-status").is_none()
                && answer.header("grpc-status-details-bin").is_none()
        );
        let json = answer.json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message", "details"]);
        let kinds: Vec<&str> = json["details"]
            .as_array()
            .unwrap()
            .iter()
            .map(|any| any["@type"].as_str().unwrap())
            .collect();
        assert!(kinds.contains(&"type.googleapis.com/google.rpc.RetryInfo"), "{kinds:?}");
    }
    for fail in ["without message", "cut off"] {
        let answer = fixture.send("POST /v1/things", &[("x-fail", fail)], "{}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].clone()),
            (500, json!(13)),
            "{fail}"
        );
    }
}

#[tokio::test]
async fn finished_answers_skip_the_backend_and_are_conditional_for_reads() {
    let fixture = Fixture::with_finished();
    let get = fixture.send("GET /v1/things:list?name=x", &[], "").await;
    assert_eq!((get.status.as_u16(), get.body.as_ref()), (200, br#"{"ready":"x"}"#.as_slice()));
    let get = fixture.send("GET /v1/things:list", &[], "").await;
    let etag = get.header("etag").unwrap();
    for (line, tags, status) in [
        ("GET", etag, 304),
        ("HEAD", etag, 304),
        ("GET", &format!("\"v0\", W/{etag}"), 304),
        ("GET", "*", 304),
        ("GET", "\"v0\"", 200),
        ("GET", etag.trim_matches('"'), 200),
        ("POST", etag, 200),
    ] {
        let (line, headers) = (format!("{line} /v1/things:list"), [("if-none-match", tags)]);
        let answer = fixture.send(&line, &headers, "").await;
        assert_eq!(answer.status, status, "{line} {tags}");
        assert_eq!(answer.header("etag"), Some(etag));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("vary"), Some("Authorization, Accept-Encoding, Origin"));
        assert_eq!(answer.body.is_empty(), status == 304 || line.starts_with("HEAD"));
    }
    let head = fixture.send("HEAD /v1/things:list", &[], "").await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("12"), 0));
    let refused = fixture.send("POST /v1/things:list", &[], r#"{"name": "refused"}"#).await;
    assert_eq!((refused.status.as_u16(), refused.violation().0), (400, "name".to_owned()));
    assert_eq!(
        fixture.send("GET /v1/things:list", &[("authorization", "bad")], "").await.status,
        401
    );
    fixture.refuses_silently();
}

#[tokio::test]
async fn what_is_read_has_a_tag_of_its_bytes_and_what_is_written_is_not_stored() {
    let fixture = Fixture::with_finished();
    let first = fixture.send("GET /v1/things/a", &[], "").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    for (path, tags, status) in
        [("a", tag.as_str(), 304), ("a", "*", 304), ("a", "\"other\"", 200), ("b", &tag, 200)]
    {
        let line = format!("GET /v1/things/{path}");
        let answer = fixture.send(&line, &[("if-none-match", tags)], "").await;
        assert_eq!(answer.status, status, "{path} {tags}");
        assert_eq!(answer.body.is_empty(), status == 304);
        assert_eq!(answer.header("etag") == Some(&tag), path == "a");
    }
}
