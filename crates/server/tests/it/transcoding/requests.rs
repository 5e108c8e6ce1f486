//! Requests: their paths, bodies and queries become messages, or are refused by name.

use super::*;

#[tokio::test]
async fn paths_find_their_method_and_fill_its_fields() {
    check(vec![
        ("GET /v1/things/a", "", Message("Get", json!({"id": "a"}))),
        ("DELETE /v1/things/a", "", Message("Delete", json!({"id": "a"}))),
        ("PATCH /v1/things/a", "{}", Message("Update", json!({"id": "a"}))),
        ("REPORT /v1/things", "{}", Message("Report", json!({}))),
        ("GET /v1/things/special", "", Message("GetSpecial", json!({}))),
        ("GET /v1/things/specials", "", Message("Get", json!({"id": "specials"}))),
        ("POST /v1/things:list", "", Message("List", json!({}))),
        ("GET /v1/things:list", "", Message("List", json!({}))),
        ("GET /v1/things%3Alist", "", Message("List", json!({}))),
        ("POST /v1/things/a:archive", "", Message("Archive", json!({"id": "a"}))),
        ("POST /v1/things/a:b:archive", "", Message("Archive", json!({"id": "a:b"}))),
        ("GET /v1/things/a:b", "", Message("Get", json!({"id": "a:b"}))),
        ("GET /v1/things/a:archive", "", Refused(405, "METHOD_NOT_ALLOWED", "")),
        ("GET /v1/things/a:Archive", "", Refused(404, "UNKNOWN_PATH", "")),
        ("POST /v1/things/a:archiv", "", Refused(404, "UNKNOWN_PATH", "")),
        ("POST /v1/things/a:remove", "", Refused(405, "METHOD_NOT_ALLOWED", "")),
        ("GET /v1/things/a%20b%2Fc%25", "", Message("Get", json!({"id": "a b/c%"}))),
        ("GET /v1/things/%C3%A4", "", Message("Get", json!({"id": "ä"}))),
        ("GET /v1/things/a+b", "", Message("Get", json!({"id": "a+b"}))),
        (
            "GET /v1/shelves/s1/books/b%2F2",
            "",
            Message("GetNamed", json!({"name": "shelves/s1/books/b%2F2"})),
        ),
        (
            "GET /v1/shelves/s%201/books/b",
            "",
            Message("GetNamed", json!({"name": "shelves/s 1/books/b"})),
        ),
        ("GET /v1/files/a/b%2fc", "", Message("GetFile", json!({"name": "a/b%2fc"}))),
        ("GET /v1/files", "", Message("GetFile", json!({}))),
        ("GET /v1/x/all/a/b/c:read", "", Message("GetAll", json!({"nested": {"id": "a/b/c"}}))),
        ("GET /v1/nested/n1", "", Message("GetNested", json!({"nested": {"id": "n1"}}))),
        (
            "GET /v1/counts/7/true/RED",
            "",
            Message("GetCount", json!({"count": 7, "flag": true, "color": "RED"})),
        ),
        (
            "GET /v1/counts/-7/false/2",
            "",
            Message("GetCount", json!({"count": -7, "color": "GREEN"})),
        ),
        ("GET /v1/counts/x/true/RED", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/counts/1/yes/RED", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/counts/1/true/PINK", "", Refused(400, "INVALID_FIELD", "color")),
        (
            "GET /v1/counts/2147483647/true/RED",
            "",
            Message("GetCount", json!({"count": i32::MAX, "flag": true, "color": "RED"})),
        ),
        ("GET /v1/counts/2147483648/true/RED", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/%zz", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/%C3", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/a/", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things/", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1//things/a", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things/a/b", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /v1/things:lists", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /", "", Refused(404, "UNKNOWN_PATH", "")),
        ("GET /V1/things/a", "", Refused(404, "UNKNOWN_PATH", "")),
        ("POST /test.v1.Things/Unbound", "{}", Refused(404, "UNKNOWN_PATH", "")),
    ])
    .await;
}

#[tokio::test]
async fn bodies_are_read_as_protojson_in_both_casings() {
    check(vec![
        ("POST /v1/things", "", Message("Create", json!({}))),
        ("POST /v1/things", " \r\n\t", Message("Create", json!({}))),
        ("POST /v1/things", "{}", Message("Create", json!({}))),
        ("POST /v1/things", "\u{feff}{\"id\": \"a\"}", Message("Create", json!({"id": "a"}))),
        ("POST /v1/things", "\u{feff}", Message("Create", json!({}))),
        (
            "POST /v1/things",
            r#"{"changedTime": "2023-01-01T12:00:00+02:00", "update_mask": "name,changedTime", "retryDelay": "1.5s"}"#,
            Message(
                "Create",
                json!({"changedTime": "2023-01-01T10:00:00Z", "updateMask": "name,changedTime", "retryDelay": "1.500s"}),
            ),
        ),
        (
            "POST /v1/things",
            r#"{"maybe_flag": false, "maybeBig": 5, "maybeText": "", "note": "", "nested": {}, "left": ""}"#,
            Message(
                "Create",
                json!({"maybeFlag": false, "maybeBig": "5", "maybeText": "", "note": "", "nested": {}, "left": ""}),
            ),
        ),
        (
            "POST /v1/things",
            r#"{"count": "5", "big": "9223372036854775807", "size": 18446744073709551615, "ratio": "1.5", "data": "AQI="}"#,
            Message(
                "Create",
                json!({"count": 5, "big": "9223372036854775807", "size": "18446744073709551615", "ratio": 1.5, "data": "AQI="}),
            ),
        ),
        ("POST /v1/things", r#"{"count": 5.0}"#, Message("Create", json!({"count": 5}))),
        ("POST /v1/things", r#"{"color": "RED", "colors": [1, "GREEN"]}"#, Message("Create", json!({"color": "RED", "colors": ["RED", "GREEN"]}))),
        ("POST /v1/things", r#"{"labels": {"a": 1}, "free": {"x": [null, 1.0]}}"#, Message("Create", json!({"labels": {"a": 1}, "free": {"x": [null, 1.0]}}))),
        ("POST /v1/things", r#"{"any": {"@type": "type.googleapis.com/test.v1.Nested", "id": "n"}}"#, Message("Create", json!({"any": {"@type": "type.googleapis.com/test.v1.Nested", "id": "n"}}))),
        ("POST /v1/things", r#"{"name": null, "tags": null, "nested": null}"#, Message("Create", json!({}))),
        ("POST /v1/things", r#"{"filter": {"deep": [{}]}, "includeDeleted": true, "nested": {"more": 1}}"#, Message("Create", json!({"nested": {}}))),
        // If a key appears twice, the last value counts, in either casing.
        ("POST /v1/things", r#"{"name": "a", "name": "b"}"#, Message("Create", json!({"name": "b"}))),
        ("POST /v1/things", r#"{"updateMask": "a", "update_mask": "b"}"#, Message("Create", json!({"updateMask": "b"}))),
        ("POST /v1/things", r#"{"note": "a", "note": "b", "left": "a", "left": "b"}"#, Message("Create", json!({"note": "b", "left": "b"}))),
        // Members of a oneof exclude each other.
        ("POST /v1/things", r#"{"left": "a", "right": 1}"#, Refused(400, "INVALID_FIELD", "right")),
    ])
    .await;
}

#[tokio::test]
async fn bodies_that_are_not_json_or_of_the_wrong_type_are_refused_by_name() {
    check(vec![
        ("POST /v1/things", "{", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "{} {}", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "name=x", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "{'name': 1}", Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/things", "null", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", "[]", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", "\"x\"", Refused(400, "INVALID_FIELD", "body")),
        ("POST /v1/things", r#"{"name": 1}"#, Refused(400, "INVALID_FIELD", "name")),
        ("POST /v1/things", r#"{"count": "x"}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"count": 1.5}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"count": 2147483648}"#, Refused(400, "INVALID_FIELD", "count")),
        ("POST /v1/things", r#"{"size": -1}"#, Refused(400, "INVALID_FIELD", "size")),
        ("POST /v1/things", r#"{"flag": "true"}"#, Refused(400, "INVALID_FIELD", "flag")),
        ("POST /v1/things", r#"{"data": "?"}"#, Refused(400, "INVALID_FIELD", "data")),
        (
            "POST /v1/things",
            r#"{"changedTime": "yesterday"}"#,
            Refused(400, "INVALID_FIELD", "changed_time"),
        ),
        (
            "POST /v1/things",
            r#"{"nested": {"pageSize": []}}"#,
            Refused(400, "INVALID_FIELD", "nested.page_size"),
        ),
        ("POST /v1/things", r#"{"nested": []}"#, Refused(400, "INVALID_FIELD", "nested")),
        ("POST /v1/things", r#"{"tags": "a"}"#, Refused(400, "INVALID_FIELD", "tags")),
        ("POST /v1/things", r#"{"tags": ["a", 2]}"#, Refused(400, "INVALID_FIELD", "tags[1]")),
        (
            "POST /v1/things",
            r#"{"many": [{}, {"page_size": ""}]}"#,
            Refused(400, "INVALID_FIELD", "many[1].page_size"),
        ),
        (
            "POST /v1/things",
            r#"{"labels": {"x": true}}"#,
            Refused(400, "INVALID_FIELD", "labels.x"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_body_may_be_one_field_with_the_rest_in_path_and_query() {
    check(vec![
        (
            "PUT /v1/boxes/b/things?name=n",
            r#"{"id": "x"}"#,
            Message("Create", json!({"id": "b", "name": "n", "nested": {"id": "x"}})),
        ),
        (
            "PUT /v1/boxes/b/things?nested.id=y",
            r#"{"pageSize": 1}"#,
            Message("Create", json!({"id": "b", "nested": {"pageSize": 1}})),
        ),
        ("PUT /v1/boxes/b/things", "", Message("Create", json!({"id": "b"}))),
        ("PUT /v1/boxes/b/things", "{}", Message("Create", json!({"id": "b", "nested": {}}))),
        (
            "PUT /v1/boxes/b/things",
            r#"{"pageSize": "x"}"#,
            Refused(400, "INVALID_FIELD", "nested.page_size"),
        ),
        ("PUT /v1/boxes/b/things", "[]", Refused(400, "INVALID_FIELD", "nested")),
        ("PUT /v1/boxes/b/things", r#"{}, "name": {}"#, Refused(400, "MALFORMED_JSON", "body")),
        ("POST /v1/numbers", "7", Message("Create", json!({"count": 7}))),
        ("POST /v1/numbers", "\"x\"", Refused(400, "INVALID_FIELD", "count")),
        (
            "POST /v1/tags?count=3",
            r#"["a", "b"]"#,
            Message("Create", json!({"count": 3, "tags": ["a", "b"]})),
        ),
        ("POST /v1/tags", r#"["a", 1]"#, Refused(400, "INVALID_FIELD", "tags[1]")),
    ])
    .await;
}

#[tokio::test]
async fn the_query_fills_what_path_and_body_leave() {
    check(vec![
        ("GET /v1/things/a?name=x&count=5&big=-9&flag=true", "", Message("Get", json!({"id": "a", "name": "x", "count": 5, "big": "-9", "flag": true}))),
        ("GET /v1/things/a?", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?&&name=&", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?note=", "", Message("Get", json!({"id": "a", "note": ""}))),
        ("GET /v1/things/a?name=a+b%2B%26%C3%A4", "", Message("Get", json!({"id": "a", "name": "a b+&ä"}))),
        ("GET /v1/things/a?nested.pageSize=5&nested.deeper.page_size=6", "", Message("Get", json!({"id": "a", "nested": {"pageSize": 5, "deeper": {"pageSize": 6}}}))),
        ("GET /v1/things/a?tags=x&tags=y&numbers=1&numbers=2", "", Message("Get", json!({"id": "a", "tags": ["x", "y"], "numbers": [1, 2]}))),
        ("GET /v1/things/a?color=RED&colors=2&colors=RED", "", Message("Get", json!({"id": "a", "color": "RED", "colors": ["GREEN", "RED"]}))),
        ("GET /v1/things/a?changedTime=2023-01-01T10:00:00Z&times=2023-01-01T10:00:00Z", "", Message("Get", json!({"id": "a", "changedTime": "2023-01-01T10:00:00Z", "times": ["2023-01-01T10:00:00Z"]}))),
        ("GET /v1/things/a?update_mask=name,count&retryDelay=3s", "", Message("Get", json!({"id": "a", "updateMask": "name,count", "retryDelay": "3s"}))),
        ("GET /v1/things/a?maybeFlag=false&maybeBig=7&maybe_text=t", "", Message("Get", json!({"id": "a", "maybeFlag": false, "maybeBig": "7", "maybeText": "t"}))),
        ("GET /v1/things/a?data=AQI%3D&ratio=2.5&size=18446744073709551615", "", Message("Get", json!({"id": "a", "data": "AQI=", "ratio": 2.5, "size": "18446744073709551615"}))),
        ("GET /v1/things/a?name=x&name=y&left=l&right=2", "", Message("Get", json!({"id": "a", "name": "y", "right": 2}))),
        ("DELETE /v1/things/a?etag=e", "", Message("Delete", json!({"id": "a", "etag": "e"}))),
        // Unknown names are ignored, and so are fields that cannot be text.
        ("GET /v1/things/a?nope=1&nested.nope=1&nested=x&labels.a=1&free=x&any=x&many.id=x&changedTime.seconds=1&tags.x=1", "", Message("Get", json!({"id": "a"}))),
        // If the body is the whole request, the query has no fields.
        ("POST /v1/things?name=x", "{}", Message("Create", json!({}))),
        ("GET /v1/things/a?id=a", "", Message("Get", json!({"id": "a"}))),
        ("GET /v1/things/a?id=b", "", Refused(400, "INVALID_FIELD", "id")),
        ("GET /v1/things/a?count=", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/a?count=x", "", Refused(400, "INVALID_FIELD", "count")),
        ("GET /v1/things/a?flag", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/things/a?flag=1", "", Refused(400, "INVALID_FIELD", "flag")),
        ("GET /v1/things/a?color=PINK", "", Refused(400, "INVALID_FIELD", "color")),
        ("GET /v1/things/a?colors=RED&colors=PINK", "", Refused(400, "INVALID_FIELD", "colors")),
        ("GET /v1/things/a?maybeFlag=x", "", Refused(400, "INVALID_FIELD", "maybe_flag")),
        ("GET /v1/things/a?nested.pageSize=x", "", Refused(400, "INVALID_FIELD", "nested.page_size")),
        ("GET /v1/things/a?size=-1", "", Refused(400, "INVALID_FIELD", "size")),
        ("GET /v1/things/a?name=%zz", "", Refused(400, "INVALID_FIELD", "name")),
        ("GET /v1/things/a?name=%ff", "", Refused(400, "INVALID_FIELD", "name")),
        ("GET /v1/things/a?%zz=1", "", Refused(400, "INVALID_FIELD", "query")),
    ])
    .await;
}

#[tokio::test]
async fn a_path_field_may_stand_in_the_body_with_the_same_value_only() {
    check(vec![
        (
            "PATCH /v1/things/a",
            r#"{"id": "a", "name": "n"}"#,
            Message("Update", json!({"id": "a", "name": "n"})),
        ),
        ("PATCH /v1/things/a", r#"{"id": ""}"#, Message("Update", json!({"id": "a"}))),
        ("PATCH /v1/things/a", r#"{"id": "b"}"#, Refused(400, "INVALID_FIELD", "id")),
        ("PATCH /v1/things/a", r#"{"id": "A"}"#, Refused(400, "INVALID_FIELD", "id")),
        (
            "POST /v1/nested/n",
            r#"{"nested": {"id": "n", "pageSize": 2}}"#,
            Message("GetNested", json!({"nested": {"id": "n", "pageSize": 2}})),
        ),
        (
            "POST /v1/nested/n",
            r#"{"nested": {"id": "m"}}"#,
            Refused(400, "INVALID_FIELD", "nested.id"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_body_is_json_whatever_its_type_says_but_a_form() {
    let fixture = Fixture::new();
    let json = r#"{"id": "a"}"#;
    for kind in
        ["text/plain", "application/octet-stream", "application/json; charset=utf-8", "nonsense"]
    {
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], json).await;
        assert_eq!(answer.status, 200, "{kind}");
        assert_eq!(fixture.take_call().1, json!({"id": "a"}));
    }
    for kind in ["application/x-www-form-urlencoded", "Multipart/Form-Data; boundary=x"] {
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], "id=a").await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (400, json!("FORM_POST")));
        fixture.refuses_silently();
        let answer = fixture.send("POST /v1/things", &[("content-type", kind)], "").await;
        assert_eq!(answer.status, 200);
        fixture.take_call();
    }
    for (line, body) in [
        ("GET /v1/things/a", "{broken"),
        ("DELETE /v1/things/a", "{broken"),
        ("HEAD /v1/things/a", "x"),
    ] {
        let answer = fixture.send(line, &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, 200, "{line}");
        assert_eq!(fixture.take_call().1, json!({"id": "a"}));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let fixture = Fixture::new();
    let json = |length: usize| format!("{{\"id\":\"{}\"}}", "a".repeat(length - 9));
    let chunked = |text: String| {
        let (one, other) = text.split_at(text.len() / 2);
        let chunks = [one.to_owned(), other.to_owned()].map(Ok::<_, Infallible>);
        Body::from_stream(futures_util::stream::iter(chunks))
    };
    for (length, status) in [(BODY_LIMIT, 200), (BODY_LIMIT + 1, 413)] {
        let text = json(length);
        assert_eq!(text.len(), length);
        let answer = fixture.send("POST /v1/things", &[], text.clone()).await;
        assert_eq!(answer.status, status);
        let answer = fixture.send("POST /v1/things", &[], chunked(text.clone())).await;
        assert_eq!(answer.status, status);
    }
    let answer = fixture.send("POST /v1/things", &[], json(BODY_LIMIT + 1)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.reason(), &answer.json()["code"]),
        (413, json!("BODY_TOO_LARGE"), &json!(3))
    );
    let broken = Body::from_stream(futures_util::stream::iter([
        Ok("{"),
        Err(std::io::Error::other("gone")),
    ]));
    let answer = fixture.send("POST /v1/things", &[], broken).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (400, json!("BODY_UNREADABLE")));
}

#[tokio::test]
async fn deep_json_and_deep_queries_do_no_harm() {
    let fixture = Fixture::with(things(), &["test.v1.Things"], None);
    let nested = |key: &str, levels: usize| {
        format!("{}{{}}{}", format!("{{\"{key}\":").repeat(levels - 1), "}".repeat(levels - 1))
    };
    for (key, levels, status) in [("inner", 100, 200), ("i", 100, 200), ("i", 101, 400)] {
        let answer = fixture.send("POST /v1/things", &[], nested(key, levels)).await;
        assert_eq!(answer.status, status, "{key} {levels} {:?}", answer.body);
    }
    let brackets = fixture.send("POST /v1/things", &[], "[".repeat(BODY_LIMIT)).await;
    assert_eq!(brackets.reason(), "MALFORMED_JSON");
    let in_text = format!("{{\"name\":\"\\\"{}\"}}", "[".repeat(200));
    assert_eq!(fixture.send("POST /v1/things", &[], in_text).await.status, 200);
    for dots in [99, 100, 5_000] {
        let line =
            format!("GET /v1/things/a?{}id=x", "nested.".to_owned() + &"deeper.".repeat(dots - 1));
        fixture.calls.lock().unwrap().clear();
        assert_eq!(fixture.send(&line, &[], "").await.status, 200);
        assert_eq!(fixture.take_call().1.get("nested").is_some(), dots < 100, "{dots}");
    }
}

#[tokio::test]
async fn another_method_is_405_with_allow() {
    let fixture = Fixture::new();
    let cases = [
        ("POST /v1/things/a", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS /v1/things/a", "DELETE, GET, HEAD, PATCH"),
        ("PUT /v1/things:list", "GET, HEAD, POST"),
        ("GET /v1/things", "POST, REPORT"),
        ("HEAD /v1/things", "POST, REPORT"),
        ("OPTIONS /v1/things", "POST, REPORT"),
    ];
    for (line, allow) in cases {
        // The line is refused before authentication.
        let answer = fixture.send(line, &[("authorization", "bad")], "{").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allow)), "{line}");
        if !line.starts_with("HEAD") {
            assert_eq!(
                (answer.json()["code"].clone(), answer.reason()),
                (json!(12), json!("METHOD_NOT_ALLOWED"))
            );
        }
    }
    let unknown = fixture.send("GET /nowhere", &[("authorization", "bad")], "").await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["code"].clone()), (404, json!(5)));
    fixture.refuses_silently();
}

#[tokio::test]
async fn authentication_comes_before_the_body_and_its_findings_reach_the_method() {
    let fixture = Fixture::new();
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let answer = fixture.send("POST /v1/things", &[("authorization", "bad")], never).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (401, json!("UNKNOWN_KEY")));
    assert!(answer.header("www-authenticate").is_some());
    let answer = fixture.send("GET /v1/counts/x/true/RED", &[("authorization", "bad")], "").await;
    assert_eq!(answer.status, 401);
    fixture.refuses_silently();
    fixture.send("POST /v1/things", &[("authorization", "me")], "{}").await;
    assert_eq!(fixture.take_call().0.caller, Some(Caller("me".to_owned())));
}
