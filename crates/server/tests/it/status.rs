//! The error table: every error in gRPC and in HTTP.

use std::sync::Arc;

use customer_settings_server::{
    catalog::{
        access::Scope,
        entry::{Catalog, Revision},
        error::{
            Beyond, Cause, CredentialMistake, Error, Kind, Limit, Past, PlanChanged, Sharer,
            Unavailable, Violation,
        },
        id::{CompanyId, EntryId, KeyId, StaffId},
        preview::Counts,
        source::{Mirrored, SourceKind},
        text::Name,
        time::Timestamp,
    },
    status::{self, HostProblem, Protocol, RequestError},
};
use http::Response;
use http_body_util::BodyExt;
use tonic::Code;

use crate::harness::{Answer, Refusal};

/// One error of each variant. The match does not compile until it lists a new variant.
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
        Error::MalformedCredential(CredentialMistake::NoScheme),
        Error::MalformedCredential(CredentialMistake::SchemeTwice),
        Error::MalformedCredential(CredentialMistake::Empty),
        Error::MalformedCredential(CredentialMistake::Unreadable),
        Error::MalformedCredential(CredentialMistake::Several),
        Error::UnknownKey,
        Error::ExpiredKey { expired: Timestamp::from_micros(0) },
        Error::RotatedSecret { expired: Timestamp::from_micros(0) },
        Error::RevokedKey,
        Error::AddressNotAllowed { address: "192.0.2.1".to_owned() },
        Error::MissingScope { scopes: vec![Scope::SettingsRead], why: None },
        Error::NotCovered { kind, id: id.clone() },
        Error::KeyNotWithin(Beyond { restriction: "scopes", own: "settings:read".to_owned() }),
        Error::KeyOutOfReach { id: KeyId::parse("id", "key_001").unwrap() },
        Error::NotCoveringAll,
        Error::NotFound { kind, id: id.clone() },
        Error::invalid("company_id", "REQUIRED", "is required"),
        Error::NameTaken {
            catalog: Catalog::CustomerTags,
            name: "VIP".to_owned(),
            holder: EntryId::parse("id", "tag_001").unwrap(),
        },
        Error::IdTaken { kind, id, catalog: None },
        Error::SecretTaken { holder: Some(KeyId::parse("id", "key_001").unwrap()) },
        Error::TooMany { what: "entries in customer_tags".to_owned(), most: 1_000, archived: 7 },
        Error::Precondition {
            reason: "DEFAULT_NEEDED",
            message: "name another default".to_owned(),
            facts: vec![("catalog", "life_cycles".to_owned())],
        },
        mirrored(company(), "customer_tags/tag_001.name".to_owned()),
        Error::EtagMismatch {
            what: "customer_tags/tag_001".to_owned(),
            was_its: true,
            since: past(),
        },
        Error::PlanChanged(Box::new(PlanChanged {
            digest: "0f".repeat(32),
            counts: Counts { created: 1, renamed: 2, ..Default::default() },
            steps: vec!["rename customer_tags/tag_001 \"VIP\" (name)".to_owned()],
            since: past(),
            ..PlanChanged::of(company())
        })),
        Error::ChangedSince {
            revision: Revision(7),
            fields: vec!["customer_tags/tag_001.name".to_owned()],
            since: past(),
        },
        Error::RequestIdReused { request_id: "request_1".to_owned() },
        Error::InBatch { index: 2, error: Box::new(Error::NotCoveringAll) },
        Error::Contended { kind: Kind::Company, id: company().to_string(), revision: Revision(7) },
        limited(Limit::Key),
        limited(Limit::UnknownKeys),
        limited(Limit::LongWork),
        limited(Limit::RequestsAtOnce { whose: Sharer::Key, most: 1_024 }),
        limited(Limit::BodiesAtOnce { whose: Sharer::Address, most: 1 << 26 }),
        unavailable(Unavailable::Store),
        unavailable(Unavailable::StoreFull),
        unavailable(Unavailable::StoreReplaced),
        unavailable(Unavailable::OutcomeUnknown),
        unavailable(Unavailable::Overloaded),
        unavailable(Unavailable::NotSeenYet),
        Error::DeadlineExceeded,
        Error::NotBegun,
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
            | Error::KeyNotWithin(_)
            | Error::KeyOutOfReach { .. }
            | Error::NotCoveringAll
            | Error::NotFound { .. }
            | Error::Invalid(_)
            | Error::NameTaken { .. }
            | Error::IdTaken { .. }
            | Error::SecretTaken { .. }
            | Error::EtagMismatch { .. }
            | Error::Mirrored(_)
            | Error::PlanChanged(_)
            | Error::ChangedSince { .. }
            | Error::RequestIdReused { .. }
            | Error::InBatch { .. }
            | Error::TooMany { .. }
            | Error::Precondition { .. }
            | Error::Contended { .. }
            | Error::TooManyRequests { .. }
            | Error::Unavailable { .. }
            | Error::DeadlineExceeded
            | Error::NotBegun
            | Error::Internal(_) => {}
        }
    }
    errors
}

/// Each error with a text or a list, with more than any limit allows.
fn largest_errors(text: &str) -> Vec<Error> {
    let long = || text.repeat(100_000);
    let name = || text.repeat(100);
    let id = "i".repeat(64);
    let company = CompanyId::parse("id", &id).unwrap();
    let staff_id = StaffId::parse("id", &id).unwrap();
    let past = |summary: String| Past {
        revision: Revision(u64::MAX),
        staff_id: staff_id.clone(),
        key_name: Some(Arc::new(Name::parse("name", &"n".repeat(100)).unwrap())),
        summary,
    };
    let violations = || {
        let one = |i: usize| Violation::new(&format!("ids[{i}].{}", name()), "REQUIRED", name());
        (0..1_000).map(one).collect()
    };
    let what = || format!("customer_tags/{id}");
    let errors = vec![
        Error::AddressNotAllowed { address: long() },
        Error::NotCovered { kind: Kind::Company, id: long() },
        Error::KeyNotWithin(Beyond { restriction: "companies", own: long() }),
        Error::NotFound { kind: Kind::Company, id: long() },
        Error::Invalid(violations()),
        Error::invalid(&long(), "REQUIRED", long()),
        Error::NameTaken {
            catalog: Catalog::CustomerTags,
            name: name(),
            holder: EntryId::parse("id", &id).unwrap(),
        },
        Error::IdTaken { kind: Kind::Entry, id: long(), catalog: None },
        Error::TooMany { what: long(), most: usize::MAX, archived: usize::MAX },
        Error::Precondition {
            reason: "DEFAULT_NEEDED",
            message: long(),
            facts: vec![("catalog", long())],
        },
        mirrored(company.clone(), long()),
        Error::EtagMismatch { what: what(), was_its: true, since: vec![past(name()); 1_000] },
        Error::ChangedSince {
            revision: Revision(7),
            fields: vec![format!("{}.position", what()); 1_000],
            since: vec![past(long()); 5],
        },
        Error::ChangedSince {
            revision: Revision(7),
            fields: vec![long(); 5],
            since: vec![past(name()); 1_000],
        },
        Error::PlanChanged(Box::new(PlanChanged {
            others: vec![company.clone(); 6],
            is_absent: true,
            carried_out: Some(past(long())),
            digest: "0f".repeat(32),
            counts: Counts { created: usize::MAX, ..Default::default() },
            steps: vec![long(); 100],
            unnamed: vec![long(); 100],
            since: vec![past(name()); 1_000],
            ..PlanChanged::of(company.clone())
        })),
        Error::Contended {
            kind: Kind::Company,
            id: company.to_string(),
            revision: Revision(u64::MAX),
        },
    ];
    let in_batch = |error| Error::in_batch(usize::MAX, error);
    let of_whole = [Error::RequestIdReused { request_id: long() }];
    let single = errors.into_iter().flat_map(|error| [error.clone(), in_batch(error)]);
    single.chain(of_whole).collect()
}

/// The size of headers by gRPC's count.
fn sent(answer: &Answer) -> usize {
    answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[tokio::test]
async fn no_status_is_larger_than_clients_take() {
    let protocols = [Protocol::Http, Protocol::Grpc];
    let check = async |json: Response<_>, grpc: Response<_>| {
        let (json, grpc) = (read(json).await, read(grpc).await);
        let size = sent(&grpc);
        assert!(size <= status::MOST_SENT, "{size} bytes: {}", json.text());
        let status = tonic::Status::from_header_map(&grpc.headers).unwrap();
        assert_eq!(json.refusal(), Refusal::of_status(&status));
        assert!(!status.message().is_empty());
        status
    };
    for text in ["a", "%", "\u{7f}", "é", "語", "🐕"] {
        for error in largest_errors(text) {
            let answers = protocols.map(|protocol| status::error_response(protocol, &error));
            let [json, grpc] = answers;
            let status = check(json, grpc).await;
            let details = tonic_types::StatusExt::get_error_details(&status);
            let is_invalid = status.code() == Code::InvalidArgument;
            let named = details.bad_request().is_some_and(|bad| !bad.field_violations.is_empty());
            assert_eq!(named, is_invalid, "{error}");
        }
        let long = text.repeat(100_000);
        for error in [
            RequestError::UnknownPath { path: long.clone(), instead: vec![long.clone(); 50] },
            RequestError::MethodNotAllowed {
                allow: "GET".to_owned(),
                instead: vec![long.clone(); 50],
            },
            RequestError::UnknownMethod { path: long.clone() },
            RequestError::MalformedJson { description: long.clone() },
            RequestError::NotGrpc {
                content_type: long.clone(),
                method: long.clone(),
                version: "HTTP/1.1".to_owned(),
            },
            RequestError::UnknownCodec { content_type: long.clone() },
        ] {
            let answers =
                protocols.map(|protocol| status::request_error_response(protocol, &error));
            let [json, grpc] = answers;
            check(json, grpc).await;
        }
    }
}

#[test]
fn a_message_names_the_first_few_and_ends_with_what_to_do() {
    let fields = (0..500).map(|i| format!("customer_tags/tag_{i}.position")).collect();
    let error = Error::ChangedSince { revision: Revision(7), fields, since: past() };
    let status = status::grpc_status(&error);
    assert_eq!(
        status.message(),
        "revision 7 cannot be undone, since customer_tags/tag_0.position, customer_tags/tag_1.position, \
         customer_tags/tag_2.position, customer_tags/tag_3.position, customer_tags/tag_4.position and 495 more changed \
         again: revision 8 by staff_002 (updated customer_tags/tag_001 (name)); undo those changes first, newest \
         first, or change the fields by hand"
    );
    let one = |i| Violation::new(&format!("f{i}"), "REQUIRED", "is required");
    let status = status::grpc_status(&Error::Invalid((0..7).map(one).collect()));
    assert!(status.message().ends_with("f4 is required; and 2 more"), "{}", status.message());
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 7, "details have room");

    // A text that is still too long loses its middle.
    let since =
        vec![Past { summary: "updated customer_tags/tag_001".repeat(9), ..past().remove(0) }; 5];
    let error =
        Error::EtagMismatch { what: "customer_tags/tag_001".to_owned(), was_its: true, since };
    let message = status::grpc_status(&error).message().to_owned();
    assert!(message.starts_with("customer_tags/tag_001 changed since"), "{message}");
    assert!(message.contains(" … ") && message.ends_with("with the new etag"), "{message}");
}

fn mirrored(company_id: CompanyId, field: String) -> Error {
    let (kind, owned) = (SourceKind::MoeGo, vec![field; 100]);
    Error::Mirrored(Box::new(Mirrored { company_id, kind, owned, violations: vec![], ends: false }))
}

fn past() -> Vec<Past> {
    vec![Past {
        revision: Revision(8),
        staff_id: StaffId::parse("id", "staff_002").unwrap(),
        key_name: None,
        summary: "updated customer_tags/tag_001 (name)".to_owned(),
    }]
}

fn every_request_error() -> Vec<RequestError> {
    vec![
        RequestError::UnknownPath { path: "/v1/nothing".to_owned(), instead: vec![] },
        RequestError::MethodNotAllowed { allow: "GET, HEAD".to_owned(), instead: vec![] },
        RequestError::BodyTooLarge { limit: 10 },
        RequestError::MalformedJson { description: "oops".to_owned() },
        RequestError::FormPost,
        RequestError::BodyUnreadable,
        RequestError::SeveralMessages,
        RequestError::BodyLate,
        RequestError::NotGrpc {
            content_type: "application/grpc".to_owned(),
            method: "GET".to_owned(),
            version: "HTTP/1.1".to_owned(),
        },
        RequestError::UnknownCodec { content_type: "application/grpc+json".to_owned() },
        RequestError::PlainHttp,
        RequestError::InvalidHost(HostProblem::Missing),
        RequestError::MalformedTimeout { given: "soon".to_owned() },
    ]
}

async fn read(response: Response<axum::body::Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A line of the table, from both answers to one error. They must agree.
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
    let protocols = [Protocol::Http, Protocol::Grpc];
    let mut table = vec![];
    for error in every_error() {
        let answers = protocols.map(|protocol| status::error_response(protocol, &error));
        let [json, grpc] = answers;
        table.push(line(json, grpc).await);
    }
    for error in every_request_error() {
        let answers = protocols.map(|protocol| status::request_error_response(protocol, &error));
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
        let answer = read(status::error_response(Protocol::Http, &error)).await;
        texts.push(answer.text().to_owned());
    }
    texts.dedup();
    let expected = r#"{"code":6,"message":"the name \"VIP\" is taken in customer_tags by the active entry tag_001: choose another name, or rename or archive that entry first","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"NAME_TAKEN","domain":"customer-settings","metadata":{"catalog":"customer_tags","id":"tag_001","name":"VIP"}}]}"#;
    assert_eq!(texts, [expected]);
    assert_eq!(status::grpc_status(&error).code(), Code::AlreadyExists);
}
