//! The words of JSON's refusals: the field, the given value and the accepted ones, and no word of a library.

use std::collections::BTreeMap;

use prost_reflect::{Kind, MessageDescriptor};

use super::*;

/// The beginnings of our sentences about a field.
const BEGINNINGS: [&str; 7] = [
    "must be ",
    "is unknown",
    "is given twice: send it once",
    "is given in both spellings: send it once",
    "is missing: send both ",
    "excludes ",
    "has the key '",
];

/// Words of libraries for JSON and for their own types.
const FOREIGN: [&str; 14] = [
    "expected",
    "invalid",
    "unrecognized",
    "serde",
    "EOF",
    "integer",
    "sequence",
    "map",
    "string",
    "bool",
    "rfc",
    "line ",
    "multiple",
    "out of range",
];

fn samples() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(i32::MAX as i64 + 1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("true"),
        json!("7"),
        json!("1h"),
        json!("2026-01-01"),
        json!("?!"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!([{}]),
        json!([1, "x", true]),
        json!({}),
        json!({"": 1}),
        json!({"x": null}),
        json!({"latitude": 1}),
        json!({"@type": "x"}),
    ]
}

/// Adds a message and all messages within it.
fn add_messages(message: MessageDescriptor, found: &mut BTreeMap<String, MessageDescriptor>) {
    if found.insert(message.full_name().to_owned(), message.clone()).is_some() {
        return;
    }
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind() {
            add_messages(inner, found);
        }
    }
}

#[test]
fn no_value_of_any_field_of_any_request_is_refused_in_the_words_of_a_library() {
    let mut messages = BTreeMap::new();
    let contract = descriptors();
    for pool in [contract, &strict::managed(), &things()] {
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            add_messages(method.input(), &mut messages);
        }
    }
    let has_fields = |name: &str| !name.starts_with("google.protobuf.");
    messages.retain(|name, message| has_fields(name) && !message.is_map_entry());
    let mut refused = 0;
    for message in messages.values() {
        let mut requests = samples();
        for field in message.fields() {
            requests.extend(samples().into_iter().map(|value| json!({field.name(): value})));
        }
        for request in requests {
            let Err(violations) = api::json::read_parsed(message, &request) else { continue };
            refused += 1;
            for violation in violations {
                let said = violation.description.as_str();
                let shown = format!("{} {request}: {violation}", message.full_name());
                assert!(BEGINNINGS.iter().any(|beginning| said.starts_with(beginning)), "{shown}");
                let foreign = FOREIGN.iter().find(|word| said.contains(*word));
                assert!(foreign.is_none(), "{foreign:?}: {shown}");
                let keys = request.as_object().and_then(|object| object.keys().next());
                let is_named = match keys {
                    Some(key) => violation.field.starts_with(key.as_str()),
                    None => violation.field == "body",
                };
                assert!(is_named || said.starts_with("is missing"), "{shown}");
            }
        }
    }
    assert!(refused > 2_000, "{refused}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list, or one story from beginning to end")]
async fn a_refused_field_says_what_it_takes_and_what_was_given() {
    let fixture = Fixture::new();
    let time = "must be a time such as 2023-01-01T10:00:00Z, not the text";
    let duration = "must be a duration in seconds such as 90s, not";
    let colors = "must be one of COLOR_UNSPECIFIED, RED, GREEN, not";
    let cases = [
        ("[]", "body", "must be an object, not a list"),
        ("null", "body", "must be an object, not null"),
        ("\"x\"", "body", "must be an object, not the text 'x'"),
        ("5", "body", "must be an object, not 5"),
        (r#"{"count": "x"}"#, "count", "must be a whole number of 32 bits, not the text 'x'"),
        (r#"{"count": 1.5}"#, "count", "must be a whole number of 32 bits, not 1.5"),
        (r#"{"count": 2147483648}"#, "count", "must be a whole number of 32 bits, not 2147483648"),
        (r#"{"count": []}"#, "count", "must be a whole number of 32 bits, not a list"),
        (
            r#"{"big": 9223372036854775808.0}"#,
            "big",
            "must be a whole number of 64 bits, not 9.223372036854776e18",
        ),
        (r#"{"size": -1}"#, "size", "must be a whole number of 64 bits, 0 or more, not -1"),
        (r#"{"ratio": "inf"}"#, "ratio", "must be a number, not the text 'inf'"),
        (r#"{"flag": "true"}"#, "flag", "must be true or false, not the text 'true'"),
        (r#"{"flag": 1}"#, "flag", "must be true or false, not 1"),
        (r#"{"maybeFlag": 1}"#, "maybe_flag", "must be true or false, not 1"),
        (r#"{"maybeBig": {}}"#, "maybe_big", "must be a whole number of 64 bits, not an object"),
        (r#"{"name": 1}"#, "name", "must be text in quotation marks, not 1"),
        (r#"{"name": {"a": [1]}}"#, "name", "must be text in quotation marks, not an object"),
        (r#"{"data": "?"}"#, "data", "must be text in base64, not the text '?'"),
        (r#"{"color": true}"#, "color", &format!("{colors} true")),
        (r#"{"color": 7}"#, "color", &format!("{colors} 7")),
        (r#"{"color": "PINK"}"#, "color", &format!("{colors} the text 'PINK'")),
        (
            r#"{"color": "green"}"#,
            "color",
            &format!("{colors} the text 'green'; did you mean GREEN?"),
        ),
        (r#"{"changedTime": ""}"#, "changed_time", &format!("{time} ''")),
        (r#"{"changedTime": "tomorrow"}"#, "changed_time", &format!("{time} 'tomorrow'")),
        (
            r#"{"changedTime": "2023-02-30T10:00:00Z"}"#,
            "changed_time",
            &format!("{time} '2023-02-30T10:00:00Z'"),
        ),
        (
            r#"{"retryDelay": "1h"}"#,
            "retry_delay",
            &format!("{duration} the text '1h': write 3600s"),
        ),
        (
            r#"{"retryDelay": "1.0000000001s"}"#,
            "retry_delay",
            &format!(
                "{duration} the text '1.0000000001s': at most nine digits may stand behind the point"
            ),
        ),
        (
            r#"{"changedTime": "2023-01-01T10:00:00.1234567891Z"}"#,
            "changed_time",
            &format!(
                "{time} '2023-01-01T10:00:00.1234567891Z': at most nine digits may stand behind the point"
            ),
        ),
        (r#"{"retryDelay": "1m 1ms"}"#, "retry_delay", &format!("{duration} the text '1m 1ms'")),
        (r#"{"retryDelay": "5"}"#, "retry_delay", &format!("{duration} the text '5'")),
        (r#"{"retryDelay": 5}"#, "retry_delay", &format!("{duration} 5")),
        (
            r#"{"updateMask": ["a"]}"#,
            "update_mask",
            "must be names of fields with commas between them, not a list",
        ),
        (r#"{"tags": 1}"#, "tags", "must be a list, not 1"),
        (r#"{"tags": [1]}"#, "tags[0]", "must be text in quotation marks, not 1"),
        (r#"{"tags": [null]}"#, "tags[0]", "must be text in quotation marks, not null"),
        (r#"{"many": [{}, null]}"#, "many[1]", "must be an object, not null"),
        (r#"{"inner": 1}"#, "inner", "must be an object, not 1"),
        (r#"{"labels": []}"#, "labels", "must be an object, not a list"),
        (r#"{"labels": {"x": null}}"#, "labels.x", "must be a whole number of 32 bits, not null"),
        (r#"{"left": "a", "right": 1}"#, "right", "excludes left: send one of them"),
        (r#"{"free": 5}"#, "free", "must be an object, not 5.0"),
        (
            r#"{"any": {"id": "x"}}"#,
            "any",
            "must be an object with @type and the fields of that type, not an object",
        ),
    ];
    for (body, field, description) in cases {
        let answer = fixture.send("POST /v1/things", &[], body).await;
        assert_eq!(answer.reason(), "INVALID_FIELD", "{body}: {:?}", answer.body);
        assert_eq!(answer.violation(), (field.to_owned(), description.to_owned()), "{body}");
        assert_eq!(answer.json()["code"], 3);
    }
    // One answer names all problems.
    let several = r#"{"count": "x", "tags": [1, "a", 2], "flag": 0}"#;
    let several = fixture.send("POST /v1/things", &[], several).await.detail("fieldViolations");
    let fields: Vec<&Value> = several.as_array().unwrap().iter().map(|one| &one["field"]).collect();
    assert_eq!(fields, ["count", "tags[0]", "tags[2]", "flag"]);
    let long = format!("{{\"count\": \"{}\"}}", "ä".repeat(400));
    let long = fixture.send("POST /v1/things", &[], long).await;
    assert!(long.violation().1.len() < 300, "{:?}", long.body);
}

/// The problem of a body that is not JSON.
async fn malformed(fixture: &Fixture, body: &[u8]) -> String {
    let answer = fixture.send("POST /v1/things", &[], body.to_owned()).await;
    assert_eq!(answer.reason(), "MALFORMED_JSON", "{body:?}: {:?}", answer.body);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    message.strip_prefix("the body is not valid JSON: ").unwrap().to_owned()
}

#[tokio::test]
async fn what_is_no_json_is_told_where_it_goes_wrong() {
    let fixture = Fixture::new();
    let cases: [(&[u8], &str); 14] = [
        (b"{", "it ends before it is complete, at line 1, column 1"),
        (b"{\n \"name\": \"x", "it ends before it is complete, at line 2, column 11"),
        (b"{} {}", "more follows behind its end, at line 1, column 4"),
        (b"name=x", "'name' at line 1, column 2 does not belong there"),
        (b"{'name': 1}", "'\\'' at line 1, column 2 does not belong there"),
        (b"{name: 1}", "'name' at line 1, column 2 does not belong there"),
        (b"{\"name\": \"a\",}", "'}' at line 1, column 14 does not belong there"),
        (b"{\"tags\": [\"a\",]}", "']' at line 1, column 15 does not belong there"),
        (b"{\"name\" \"a\"}", "'\"' at line 1, column 9 does not belong there"),
        (
            b"{\"count\": 1e999}",
            "the number that ends at line 1, column 15 is larger than any that can be told",
        ),
        (
            b"{\"name\": \"\\x\"}",
            "the text has a \\ at line 1, column 12 that JSON does not have there",
        ),
        (
            b"{\"name\": \"\\ud800\"}",
            "the text has a \\ at line 1, column 17 that JSON does not have there",
        ),
        (
            b"{\"name\": \"a\nb\"}",
            "the text has a line's end or another control character at line 2, column 1: write \\n",
        ),
        (b"{\"name\": \"\xff\"}", "it is not UTF-8 from byte 11 on"),
    ];
    for (body, expected) in cases {
        assert_eq!(malformed(&fixture, body).await, expected, "{}", String::from_utf8_lossy(body));
    }
    // Cut or changed at any place, the body is refused in such words and no others.
    let whole =
        r#"{"name": "\u00e4 b", "count": -1.0e1, "tags": ["x", null], "flag": true, "inner": {}}"#;
    for at in 0..whole.len() {
        for with in [&b""[..], b"{", b"}", b"\"", b"\\", b",", b"0", b"e", b"\n", b"\x01", b"'"] {
            let mut body = whole.as_bytes().to_vec();
            body.splice(
                at..if with.is_empty() { whole.len() } else { at + 1 },
                with.iter().copied(),
            );
            let answer = fixture.send("POST /v1/things", &[], body).await;
            if answer.status == 200 {
                continue;
            }
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            let foreign = FOREIGN.iter().find(|word| **word != "line " && message.contains(*word));
            assert!(foreign.is_none(), "{at} {with:?}: {message}");
        }
    }
}

#[test]
fn a_place_by_halves_is_refused_by_the_name_of_what_is_missing() {
    let business = "customersettings.v1.CreateBusinessRequest";
    let business = descriptors().get_message_by_name(business).unwrap();
    let at = |coordinate: Value| json!({"business": {"address": {"coordinate": coordinate}}});
    for (coordinate, missing) in [
        (json!({"latitude": 1.5}), &["longitude"][..]),
        (json!({"longitude": 0, "latitude": null}), &["latitude"]),
        (json!({}), &["latitude", "longitude"]),
        (json!({"latitude": null, "longitude": null}), &["latitude", "longitude"]),
        (json!({"latitude": 0, "longitude": 0}), &[]),
        (json!(null), &[]),
    ] {
        let read = api::json::read_parsed(&business, &at(coordinate.clone()));
        let violations: Vec<String> =
            read.err().into_iter().flatten().map(|violation| violation.to_string()).collect();
        let of_missing = |missing: &&str| {
            format!(
                "business.address.coordinate.{missing} is missing: send both latitude and longitude, or leave \
                 coordinate out"
            )
        };
        assert_eq!(violations, missing.iter().map(of_missing).collect::<Vec<_>>(), "{coordinate}");
    }
}
