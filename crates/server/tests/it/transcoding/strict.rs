//! Strict services: unknown names are refused, and fields that are not part of the body's message may stand
//! in the query or in the body.

use super::*;

/// The strict test contract, and a contract with the same names that is not strict.
pub(crate) fn managed() -> DescriptorPool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/proto");
    compile(&tests, "test/v2/boxes.proto")
}

fn fixture() -> Fixture {
    Fixture::with(managed(), &["test.v1.BoxService"], None)
}

/// Sends each line with its body and compares the message, or the refused field and its description.
#[expect(clippy::type_complexity, reason = "a table: path, body, and what comes of them")]
async fn check(cases: Vec<(&str, &str, Result<(&str, Value), (&str, &str)>)>) {
    let fixture = fixture();
    for (line, body, expected) in cases {
        let (verb, path) = line.split_once(' ').unwrap();
        let line = format!("{verb} /v1/companies/c{path}");
        let answer = fixture.send(&line, &[], body.to_owned()).await;
        let shown = format!("{line} {body}: {} {:?}", answer.status, answer.body);
        match expected {
            Ok((method, mut expected)) => {
                assert_eq!(answer.status, 200, "{shown}");
                let (call, message) = fixture.take_call();
                assert_eq!(call.rpc_path, format!("/test.v1.BoxService/{method}"), "{shown}");
                expected["companyId"] = json!("c");
                assert_eq!(message, expected, "{shown}");
            }
            Err((field, description)) => {
                assert_eq!(
                    (answer.status.as_u16(), answer.reason()),
                    (400, json!("INVALID_FIELD"))
                );
                let violation = answer.violation();
                assert_eq!((violation.0.as_str(), violation.1.as_str()), (field, description));
                fixture.refuses_silently();
            }
        }
    }
}

/// An archive of `box/b` with these additional fields.
fn archived(more: Value) -> Result<(&'static str, Value), (&'static str, &'static str)> {
    Ok(("ArchiveBox", of_box(more)))
}

fn of_box(mut message: Value) -> Value {
    message["collection"] = json!("box");
    message["id"] = json!("b");
    message
}

const TWICE: &str = "has one value in the query and another one in the body: send it once";
const SEVERAL: &str = "has several values in the query: send one";

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list, or one story from beginning to end")]
async fn an_unknown_name_is_refused_with_the_nearest_known_one() {
    let of_part = "is unknown; there are size, mask";
    let of_box = "is unknown; there are id, name, isDefault, position, state, etag, note, flag, parts, labels, free, \
                  password, updateMask, requestId, validateOnly, revision, readTime, ids, successorId, noSuccessor";
    check(vec![
        ("POST /box", r#"{"nmae": "x"}"#, Err(("box.nmae", "is unknown; did you mean name?"))),
        (
            "POST /box",
            r#"{"Is-Default": 1}"#,
            Err(("box.Is-Default", "is unknown; did you mean isDefault?")),
        ),
        (
            "POST /box",
            r#"{"validateonyl": true}"#,
            Err(("box.validateonyl", "is unknown; did you mean validateOnly?")),
        ),
        ("POST /box", r#"{"colour": "red"}"#, Err(("box.colour", of_box))),
        ("POST /box", r#"{"parts": [{}, {"weight": 1}]}"#, Err(("box.parts[1].weight", of_part))),
        (
            "POST /box",
            r#"{"labels": {"a b": {"weight": 1}}}"#,
            Err(("box.labels.a b.weight", of_part)),
        ),
        (
            "POST /box/b:archive",
            r#"{"box": {"parts": [{"siez": 1}]}}"#,
            Err(("box.parts[0].siez", "is unknown; did you mean size?")),
        ),
        ("POST /box:reorder", r#"{"iss": []}"#, Err(("iss", "is unknown; did you mean ids?"))),
        (
            "POST /box:reorder",
            r#"{"entries": []}"#,
            Err(("entries", "is unknown; there are companyId, collection, ids, validateOnly")),
        ),
        (
            "POST :batch",
            r#"{"changes": [{"create": {"box": {"nam": 1}}}]}"#,
            Err(("changes[0].create.box.nam", "is unknown; did you mean name?")),
        ),
        (
            "GET /box?filter=x&page_siez=5",
            "",
            Err(("page_siez", "is unknown; did you mean pageSize?")),
        ),
        ("GET /box?limit=5", "", Err(("limit", "is unknown; there are filter, pageSize"))),
        ("GET /box?filter.x=5", "", Err(("filter.x", "is unknown; there are filter, pageSize"))),
        ("GET /places?limit=5", "", Err(("limit", "is unknown; there are validateOnly"))),
        (
            "GET /places?changes=5",
            "",
            Err(("changes", "cannot be written as text, as query parameters are")),
        ),
        (
            "PATCH /box/b?box.name=5",
            "",
            Err(("box.name", "belongs into the body, not into the query")),
        ),
        (
            "PATCH /box/b?is_default=true",
            "",
            Err(("is_default", "belongs into the body, not into the query")),
        ),
        ("PATCH /box/b?requestid=r", "", Err(("requestid", "is unknown; did you mean requestId?"))),
        // A field of any type accepts any value.
        (
            "POST /box",
            r#"{"free": {"any": {"thing": 1}}}"#,
            Ok((
                "CreateBox",
                json!({"collection": "box", "box": {"free": {"any": {"thing": 1.0}}}}),
            )),
        ),
    ])
    .await;
    let fixture = fixture();
    let keys: Vec<String> = (0..30).map(|i| format!("\"key{i}\": 1")).collect();
    let many =
        fixture.send("POST /v1/companies/c/box", &[], format!("{{{}}}", keys.join(","))).await;
    let violations = many.detail("fieldViolations");
    // The refusal names all of them, as far as it has room, and explains five.
    assert_eq!(violations.as_array().unwrap().len(), 30, "{violations}");
    let long = format!("{{\"{}\": 1}}", "x".repeat(900));
    let long = fixture.send("POST /v1/companies/c/box", &[], long).await;
    assert!(long.violation().0.len() < 300);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list, or one story from beginning to end")]
async fn fields_that_are_not_the_bodys_stand_in_the_query_or_in_the_body() {
    let of_archive = "is unknown; there are companyId, collection, id, box, updateMask, requestId, validateOnly, \
                      etag, revision, readTime, state, ids, successorId, noSuccessor";
    let updated = |mut box_: Value, more: Value| {
        box_ = json!({ "box": box_ });
        for (key, value) in more.as_object().unwrap() {
            box_[key] = value.clone();
        }
        Ok(("UpdateBox", of_box(box_)))
    };
    check(vec![
        ("POST /box/b:archive?validate_only=true", "", archived(json!({"validateOnly": true}))),
        ("POST /box/b:archive?validateOnly=true", "{}", archived(json!({"validateOnly": true}))),
        (
            "POST /box/b:archive",
            r#"{"validate_only": true}"#,
            archived(json!({"validateOnly": true})),
        ),
        (
            "POST /box/b:archive?box.name=n&ids=x&ids=y",
            r#"{"box": {"etag": "e"}}"#,
            archived(json!({"box": {"name": "n", "etag": "e"}, "ids": ["x", "y"]})),
        ),
        (
            "DELETE /box/b?validate_only=true&etag=e",
            "",
            Ok(("DeleteBox", of_box(json!({"validateOnly": true, "etag": "e"})))),
        ),
        (
            "DELETE /box/b",
            r#"{"validateOnly": true, "etag": "e"}"#,
            Ok(("DeleteBox", of_box(json!({"validateOnly": true, "etag": "e"})))),
        ),
        (
            "DELETE /box/b?etag=e",
            r#"{"validateOnly": true}"#,
            Ok(("DeleteBox", of_box(json!({"validateOnly": true, "etag": "e"})))),
        ),
        ("DELETE /box/b", r#"{"validat": true}"#, Err(("validat", of_archive))),
        (
            "PATCH /box/b?update_mask=name&request_id=r",
            r#"{"name": "n"}"#,
            updated(json!({"name": "n"}), json!({"updateMask": "name", "requestId": "r"})),
        ),
        (
            "PATCH /box/b",
            r#"{"name": "n", "updateMask": "name", "request_id": "r", "validateOnly": true}"#,
            updated(
                json!({"name": "n"}),
                json!({"updateMask": "name", "requestId": "r", "validateOnly": true}),
            ),
        ),
        (
            "PATCH /box/b?validateOnly=true",
            r#"{"name": "n", "requestId": "r"}"#,
            updated(
                json!({"name": "n"}),
                json!({"updateMask": "name", "requestId": "r", "validateOnly": true}),
            ),
        ),
        (
            "PATCH /box/b",
            r#"{"validateOnly": true}"#,
            updated(json!({}), json!({"validateOnly": true})),
        ),
        // Both messages have these fields: the body's own message counts.
        (
            "PATCH /box/b?etag=q",
            r#"{"id": "x", "etag": "e", "state": "ACTIVE"}"#,
            updated(
                json!({"id": "x", "etag": "e", "state": "ACTIVE"}),
                json!({"etag": "q", "updateMask": "id,state"}),
            ),
        ),
        (
            "PATCH /box/b",
            r#"{"companyId": "c", "name": "n"}"#,
            updated(json!({"name": "n"}), json!({"updateMask": "name"})),
        ),
        (
            "PATCH /box/b",
            r#"{"companyId": "d"}"#,
            Err((
                "company_id",
                "has one value in the path and another one beside it: send it in the path only",
            )),
        ),
        (
            "PATCH /box/b?id=x",
            "{}",
            Err((
                "id",
                "has one value in the path and another one beside it: send it in the path only",
            )),
        ),
        (
            "PATCH /box/b",
            r#"{"box": {"name": "n"}}"#,
            Err(("box", "is the body itself: send its fields without this key around them")),
        ),
        ("PATCH /box/b", "[]", Err(("box", "must be an object, not a list"))),
        (
            "GET /box/b",
            "{}",
            Err(("body", "must be empty, as GET takes query parameters: send the fields as these")),
        ),
        ("GET /box/b", " \n", Ok(("GetBox", of_box(json!({}))))),
    ])
    .await;
}

#[tokio::test]
async fn an_update_without_a_mask_gets_the_names_of_what_its_json_has() {
    let updated = |box_: Value, mask: &str| {
        let message = json!({"box": box_, "updateMask": mask});
        Ok(("UpdateBox", of_box(message)))
    };
    check(vec![
        ("PATCH /box/b", r#"{"note": null}"#, updated(json!({}), "note")),
        ("PATCH /box/b", r#"{"note": ""}"#, updated(json!({"note": ""}), "note")),
        ("PATCH /box/b", r#"{"parts": [], "is_default": false}"#, updated(json!({}), "parts,isDefault")),
        ("PATCH /box/b", r#"{"labels": {}, "free": null}"#, updated(json!({}), "labels,free")),
        // Fields that only the server writes, and the etag, are no change.
        ("PATCH /box/b", r#"{"position": 1, "etag": null, "note": null}"#, updated(json!({"position": 1}), "note")),
        ("PATCH /box/b", r#"{"note": null, "update_mask": null}"#, updated(json!({}), "note")),
        ("PATCH /box/b?update_mask=", r#"{"note": null}"#, updated(json!({}), "note")),
        ("PATCH /box/b?update_mask=flag", r#"{"note": null}"#, updated(json!({}), "flag")),
        ("PATCH /box/b", r#"{"note": null, "updateMask": "flag"}"#, updated(json!({}), "flag")),
        ("PATCH /box/b", "null", Err(("box", "must be an object, not null"))),
        (
            "POST :batch",
            r#"{"changes": [{"create": {"box": {"note": null, "flag": false}}}]}"#,
            Ok(("Batch", json!({"changes": [{"create": {"box": {"flag": false}, "updateMask": "note,flag"}}]}))),
        ),
    ])
    .await;
}

#[tokio::test]
async fn two_values_of_one_field_conflict_and_equal_ones_do_not() {
    check(vec![
        (
            "POST /box/b:archive?validate_only=true",
            r#"{"validateOnly": true}"#,
            archived(json!({"validateOnly": true})),
        ),
        (
            "POST /box/b:archive?validate_only=true",
            r#"{"validateOnly": false}"#,
            Err(("validate_only", TWICE)),
        ),
        (
            "POST /box/b:archive?validate_only=false",
            r#"{"validate_only": true}"#,
            Err(("validate_only", TWICE)),
        ),
        (
            "POST /box/b:archive?validate_only=true",
            r#"{"validateOnly": null}"#,
            archived(json!({"validateOnly": true})),
        ),
        ("POST /box/b:archive?box.name=n", r#"{"box": {"name": "m"}}"#, Err(("box.name", TWICE))),
        ("POST /box/b:archive?ids=x", r#"{"ids": ["x"]}"#, archived(json!({"ids": ["x"]}))),
        ("POST /box/b:archive?ids=x", r#"{"ids": ["x", "y"]}"#, Err(("ids", TWICE))),
        (
            "POST /box/b:archive?update_mask=is_default",
            r#"{"updateMask": "isDefault"}"#,
            archived(json!({"updateMask": "isDefault"})),
        ),
        ("PATCH /box/b?request_id=r", r#"{"requestId": "s"}"#, Err(("request_id", TWICE))),
        ("DELETE /box/b?etag=e", r#"{"etag": "f"}"#, Err(("etag", TWICE))),
        ("POST /box/b:archive?etag=e&etag=e", "", archived(json!({"etag": "e"}))),
        ("POST /box/b:archive?etag=e&etag=f", "", Err(("etag", SEVERAL))),
        (
            "POST /box/b:archive?validateOnly=true&validate_only=false",
            "",
            Err(("validate_only", SEVERAL)),
        ),
        (
            "POST /box/b:archive",
            r#"{"validateOnly": true, "validate_only": false}"#,
            Err(("validate_only", "is given in both spellings: send it once")),
        ),
        ("POST /box/b:archive?successorId=x", "", archived(json!({"successorId": "x"}))),
        (
            "POST /box/b:archive?successorId=x&noSuccessor=false",
            "",
            Err(("successor_id", "excludes noSuccessor: send one of them")),
        ),
        (
            "POST /box/b:archive?successorId=x",
            r#"{"noSuccessor": true}"#,
            Err(("successor_id", "excludes noSuccessor: send one of them")),
        ),
    ])
    .await;
}

#[tokio::test]
async fn values_are_taken_as_text_and_as_json_in_the_usual_styles() {
    let text = |given: &'static str| format!("in the query must be true or false, not '{given}'");
    let (none, one, name) = (text(""), text("1"), text("tRUE"));
    check(vec![
        ("POST /box/b:archive?validate_only", "", Err(("validate_only", &none))),
        ("POST /box/b:archive?validate_only=", "", Err(("validate_only", &none))),
        ("POST /box/b:archive?validate_only=1", "", Err(("validate_only", &one))),
        ("POST /box/b:archive?validate_only=tRUE", "", Err(("validate_only", &name))),
        ("POST /box/b:archive?validate_only=True", "", archived(json!({"validateOnly": true}))),
        ("POST /box/b:archive?validate_only=TRUE", "", archived(json!({"validateOnly": true}))),
        ("POST /box/b:archive?noSuccessor=False", "", archived(json!({"noSuccessor": false}))),
        ("POST /box/b:archive?revision=9223372036854775807", "", archived(json!({"revision": "9223372036854775807"}))),
        ("POST /box/b:archive", r#"{"revision": "9223372036854775807"}"#, archived(json!({"revision": "9223372036854775807"}))),
        ("POST /box/b:archive", r#"{"revision": 9223372036854775807}"#, archived(json!({"revision": "9223372036854775807"}))),
        ("POST /box/b:archive?revision=7", r#"{"revision": 7}"#, archived(json!({"revision": "7"}))),
        ("POST /box/b:archive?state=ARCHIVED", r#"{"state": 2}"#, archived(json!({"state": "ARCHIVED"}))),
        ("POST /box/b:archive?state=2", r#"{"state": "ARCHIVED"}"#, archived(json!({"state": "ARCHIVED"}))),
        ("POST /box/b:archive?update_mask=name,is_default", "", archived(json!({"updateMask": "name,isDefault"}))),
        ("POST /box/b:archive?updateMask=name,isDefault", "", archived(json!({"updateMask": "name,isDefault"}))),
        ("POST /box/b:archive?updateMask=name%2C+is_default", "", archived(json!({"updateMask": "name,isDefault"}))),
        ("POST /box/b:archive?updateMask=*", "", archived(json!({"updateMask": "*"}))),
        ("POST /box/b:archive", r#"{"updateMask": "name,is_default"}"#, archived(json!({"updateMask": "name,isDefault"}))),
        ("POST /box/b:archive", r#"{"update_mask": "box.is_default, isDefault"}"#, archived(json!({"updateMask": "box.isDefault,isDefault"}))),
        ("POST /box", r#"{"parts": [{"mask": "a_b"}], "labels": {"x": {"mask": "a_b", "size": "5"}}}"#, Ok(("CreateBox", json!({"collection": "box", "box": {"parts": [{"mask": "aB"}], "labels": {"x": {"mask": "aB", "size": "5"}}}})))),
        ("POST /changes/7:undo", "", Ok(("UndoChange", json!({"revision": "7"})))),
        ("POST /changes/7:undo", r#"{"revision": "7"}"#, Ok(("UndoChange", json!({"revision": "7"})))),
        ("POST /changes/x:undo", "", Err(("revision", "in the path must be a whole number of 64 bits, not 'x'"))),
    ])
    .await;
}

#[tokio::test]
async fn an_optional_field_that_is_given_is_told_from_one_that_is_not() {
    let fixture = fixture();
    for (body, expected) in [
        (r#"{"name": ""}"#, json!({})),
        (r#"{"note": "", "flag": false}"#, json!({"note": "", "flag": false})),
        (r#"{"note": null}"#, json!({})),
    ] {
        fixture.send("POST /v1/companies/c/box", &[], body).await;
        assert_eq!(fixture.take_call().1["box"], expected, "{body}");
    }
    fixture.send("GET /v1/companies/c/box/b?revision=0", &[], "").await;
    assert_eq!(fixture.take_call().1["revision"], "0");

    let answer = fixture
        .send("POST /v1/companies/c/box", &[], r#"{"note": "", "flag": false}"#)
        .await
        .json();
    assert_eq!((&answer["box"]["note"], &answer["box"]["flag"]), (&json!(""), &json!(false)));
    let answer = fixture.send("POST /v1/companies/c/box", &[], "{}").await.json();
    assert!(answer["box"].get("note").is_none() && answer["box"].get("flag").is_none(), "{answer}");
    assert_eq!(answer["box"]["isDefault"], false);
}

#[tokio::test]
async fn paths_of_one_family_find_their_method() {
    let of = |message: Value| Ok(message);
    let cases: Vec<(&str, &str, Result<Value, &str>)> = vec![
        ("GET /c", "GetCompany", of(json!({}))),
        ("POST /c:batch", "Batch", of(json!({}))),
        ("GET /c%3Abatch", "GetCompany", of(json!({"companyId": "c:batch"}))),
        ("GET /c/boxes", "ListBoxes", of(json!({"collection": "boxes"}))),
        ("POST /c/boxes", "CreateBox", of(json!({"collection": "boxes"}))),
        ("POST /c/boxes:reorder", "ReorderBoxes", of(json!({"collection": "boxes"}))),
        ("POST /c/boxes%3Areorder", "CreateBox", of(json!({"collection": "boxes:reorder"}))),
        ("GET /c/places", "ListPlaces", of(json!({}))),
        ("GET /c/place", "ListBoxes", of(json!({"collection": "place"}))),
        ("GET /c/boxes/b", "GetBox", of(json!({"collection": "boxes", "id": "b"}))),
        ("POST /c/boxes/b:archive", "ArchiveBox", of(json!({"collection": "boxes", "id": "b"}))),
        (
            "GET /c/boxes/b%3Aarchive",
            "GetBox",
            of(json!({"collection": "boxes", "id": "b:archive"})),
        ),
        (
            "POST /c/boxes/b%3Aarchive:archive",
            "ArchiveBox",
            of(json!({"collection": "boxes", "id": "b:archive"})),
        ),
        ("POST /c/changes/7:undo", "UndoChange", of(json!({"revision": "7"}))),
        (
            "POST /c/changes/7:archive",
            "ArchiveBox",
            of(json!({"collection": "changes", "id": "7"})),
        ),
        ("GET /c/boxes/b:c", "GetBox", of(json!({"collection": "boxes", "id": "b:c"}))),
        ("DELETE /c", "", Err("GET, HEAD")),
        ("GET /c:batch", "", Err("POST")),
        ("PUT /c/boxes", "", Err("GET, HEAD, POST")),
        ("GET /c/boxes:reorder", "", Err("POST")),
        // The literal path has its own methods.
        ("POST /c/places", "", Err("GET, HEAD")),
        ("POST /c/boxes/b", "", Err("DELETE, GET, HEAD, PATCH")),
        ("DELETE /c/boxes/b:archive", "", Err("POST")),
        ("GET /c/changes/7:undo", "", Err("POST")),
    ];
    let fixture = fixture();
    for (line, method, expected) in cases {
        let line = line.replacen(" /", " /v1/companies/", 1);
        let answer = fixture.send(&line, &[], "").await;
        match expected {
            Ok(mut expected) => {
                let (call, message) = fixture.take_call();
                if expected.get("companyId").is_none() {
                    expected["companyId"] = json!("c");
                }
                assert_eq!(call.rpc_path, format!("/test.v1.BoxService/{method}"), "{line}");
                let mut message = message;
                if let Some(message) = message.as_object_mut() {
                    message.remove("box");
                }
                assert_eq!(message, expected, "{line}");
            }
            Err(allow) => {
                assert_eq!(
                    (answer.status.as_u16(), answer.header("allow")),
                    (405, Some(allow)),
                    "{line}"
                );
            }
        }
    }
}
