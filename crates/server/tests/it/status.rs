//! The error table: every error as gRPC and as HTTP tell it.

use customer_settings_server::{
    api::status::{self, RequestError},
    catalog::{
        access::Scope,
        entry::{Catalog, Revision},
        error::{Beyond, Cause, CredentialMistake, Error, Kind, Limit, Past, Unavailable},
        id::{CompanyId, EntryId, StaffId},
        time::Timestamp,
    },
};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::Code;

use crate::harness::{Answer, Refusal};

/// One of each; the match makes a new variant fail to compile until it is listed here.
#[expect(clippy::too_many_lines, reason = "a list, or one story from beginning to end")]
fn every_error() -> Vec<Error> {
    let cause = || Cause::new("the inside");
    let company = || CompanyId::parse("id", "cmp_001").unwrap();
    let (kind, id) = (Kind::Company, "cmp_001".to_owned());
    let unavailable = |what| Error::Unavailable { what, cause: cause() };
    let limited = |limit| Error::TooManyRequests { limit, retry_after_ms: 1_001 };
    let errors = vec![
        Error::NoCredential,
        Error::MalformedCredential(CredentialMistake::EncodedTwice),
        Error::MalformedCredential(CredentialMistake::NotEncoded),
        Error::MalformedCredential(CredentialMistake::UnknownScheme),
        Error::MalformedCredential(CredentialMistake::Unreadable),
        Error::UnknownKey,
        Error::ExpiredKey { expired: Timestamp::from_micros(0) },
        Error::RotatedSecret { expired: Timestamp::from_micros(0) },
        Error::RevokedKey,
        Error::AddressNotAllowed { address: "192.0.2.1".to_owned() },
        Error::MissingScope { scopes: vec![Scope::SettingsRead] },
        Error::NotCovered { kind, id: id.clone() },
        Error::KeyNotWithin {
            beyond: Some(Beyond { restriction: "scopes", own: "settings:read".to_owned() }),
        },
        Error::NotCoveringAll,
        Error::NotFound { kind, id: id.clone() },
        Error::invalid("company_id", "REQUIRED", "is required"),
        Error::NameTaken {
            catalog: Catalog::CustomerTags,
            name: "VIP".to_owned(),
            holder: EntryId::parse("id", "tag_001").unwrap(),
        },
        Error::IdTaken { kind, id },
        Error::TooMany { what: "entries in customer_tags".to_owned(), most: 1_000 },
        Error::Precondition {
            reason: "DEFAULT_NEEDED",
            message: "name another default".to_owned(),
        },
        Error::EtagMismatch { what: "customer_tags/tag_001".to_owned(), since: past() },
        Error::ChangedSince {
            revision: Revision(7),
            fields: vec!["customer_tags/tag_001.name".to_owned()],
            since: past(),
        },
        Error::RequestIdReused { request_id: "request_1".to_owned() },
        Error::InBatch { index: 2, error: Box::new(Error::NotCoveringAll) },
        Error::Contended { company: company(), revision: Revision(7) },
        limited(Limit::Key),
        limited(Limit::UnknownKeys),
        unavailable(Unavailable::Store),
        unavailable(Unavailable::OutcomeUnknown),
        unavailable(Unavailable::Overloaded),
        unavailable(Unavailable::NotSeenYet),
        Error::DeadlineExceeded,
        Error::Internal(cause()),
    ];
    for error in &errors {
        match error {
            Error::NoCredential
            | Error::MalformedCredential(_)
            | Error::UnknownKey
            | Error::ExpiredKey { .. }
            | Error::RotatedSecret { .. }
            | Error::RevokedKey
            | Error::AddressNotAllowed { .. }
            | Error::MissingScope { .. }
            | Error::NotCovered { .. }
            | Error::KeyNotWithin { .. }
            | Error::NotCoveringAll
            | Error::NotFound { .. }
            | Error::Invalid(_)
            | Error::NameTaken { .. }
            | Error::IdTaken { .. }
            | Error::EtagMismatch { .. }
            | Error::ChangedSince { .. }
            | Error::RequestIdReused { .. }
            | Error::InBatch { .. }
            | Error::TooMany { .. }
            | Error::Precondition { .. }
            | Error::Contended { .. }
            | Error::TooManyRequests { .. }
            | Error::Unavailable { .. }
            | Error::DeadlineExceeded
            | Error::Internal(_) => {}
        }
    }
    errors
}

fn past() -> Vec<Past> {
    vec![Past {
        revision: Revision(8),
        staff_id: StaffId::parse("id", "staff_002").unwrap(),
        summary: "updated customer_tags/tag_001 (name)".to_owned(),
    }]
}

fn every_request_error() -> Vec<RequestError> {
    vec![
        RequestError::UnknownPath { path: "/v1/nothing".to_owned() },
        RequestError::MethodNotAllowed { allow: "GET, HEAD".to_owned() },
        RequestError::BodyTooLarge { limit: 10 },
        RequestError::MalformedJson { description: "oops".to_owned() },
        RequestError::FormPost,
        RequestError::BodyUnreadable,
    ]
}

fn grpc_request() -> HeaderMap {
    [(http::header::CONTENT_TYPE, "application/grpc".parse().unwrap())].into_iter().collect()
}

async fn read(response: Response<axum::body::Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A line of the table, from both answers to one error, which must agree.
async fn line(json: Response<axum::body::Body>, grpc: Response<axum::body::Body>) -> String {
    let (json, grpc) = (read(json).await, read(grpc).await);
    assert_eq!(grpc.status, 200);
    let status = tonic::Status::from_header_map(&grpc.headers).unwrap();
    let refusal = Refusal::of_status(&status);
    assert_eq!(json.refusal(), refusal);
    let hidden = "the inside";
    assert!(!json.text().contains(hidden) && !format!("{status:?}").contains(hidden));
    let headers: Vec<String> =
        refusal.headers.iter().map(|(name, value)| format!(" {name}: {value}")).collect();
    let (code, http, reason) = (refusal.code, json.status.as_u16(), refusal.reason);
    format!("{reason:<26}{:<20}{http}{}", format!("{code:?}"), headers.concat())
}

#[tokio::test]
async fn the_error_table_is_this() {
    let (json, grpc) = (HeaderMap::new(), grpc_request());
    let mut table = vec![];
    for error in every_error() {
        let answers = [&json, &grpc].map(|request| status::error_response(request, &error));
        let [json, grpc] = answers;
        table.push(line(json, grpc).await);
    }
    for error in every_request_error() {
        let answers = [&json, &grpc].map(|request| status::request_error_response(request, &error));
        let [json, grpc] = answers;
        table.push(line(json, grpc).await);
    }
    insta::assert_snapshot!("error_table", table.join("\n"));
}

#[tokio::test]
async fn an_error_is_the_same_bytes_each_time_and_its_keys_stand_in_order() {
    let error = Error::NameTaken {
        catalog: Catalog::CustomerTags,
        name: "VIP".to_owned(),
        holder: EntryId::parse("id", "tag_001").unwrap(),
    };
    let mut texts = vec![];
    for _ in 0..8 {
        let answer = read(status::error_response(&HeaderMap::new(), &error)).await;
        texts.push(answer.text().to_owned());
    }
    texts.dedup();
    let expected = r#"{"code":6,"message":"the name \"VIP\" is taken in customer_tags by the active entry tag_001: choose another name, or rename or archive that entry first","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"NAME_TAKEN","domain":"customer-settings","metadata":{"catalog":"customer_tags","id":"tag_001","name":"VIP"}}]}"#;
    assert_eq!(texts, [expected]);
    assert_eq!(status::grpc_status(&error).code(), Code::AlreadyExists);
}
