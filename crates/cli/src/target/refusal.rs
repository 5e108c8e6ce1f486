//! A call that failed, as lines for people and an exit code for scripts.

use std::{borrow::Cow, error::Error};

use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{FieldNames, contract, remote};
use crate::failure::{Exit, Failure};

/// The other side of a call, to which the advice of a message fits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// A server of this service.
    Server,
    /// An account elsewhere, which is only read.
    Account,
}

impl Side {
    fn hint(self) -> &'static str {
        match self {
            Self::Server => {
                "is a customer-settings server there, with http:// or https:// as it speaks, and with this path?"
            }
            Self::Account => "is this the address of the account's API?",
        }
    }

    /// The advice about an address without TLS. An account's key travels to this machine alone without TLS.
    fn of_plain(self, server: &str) -> String {
        match self {
            Self::Server => {
                let plain = server.replacen("https://", "http://", 1);
                format!("if a server without TLS listens there, give {plain}")
            }
            Self::Account => self.hint().to_owned(),
        }
    }

    fn of_authority(self) -> &'static str {
        match self {
            Self::Server => "give the authority's own certificate with --ca-file FILE",
            Self::Account => "add the authority's own certificate to those of this machine",
        }
    }

    /// The flag for the time that an answer may take.
    fn timeout(self) -> &'static str {
        match self {
            Self::Server => "--timeout",
            Self::Account => "--from-timeout",
        }
    }
}

/// The message for a lack of a connection, so nothing was sent.
fn no_connection(side: Side, server: &str, error: &dyn Error) -> String {
    // The error itself says only in which step it occurred.
    let causes = error.source().map_or_else(|| error.to_string(), causes);
    // The TLS library's error for bytes that are not TLS.
    if causes.contains("InvalidContentType") {
        return format!("{server} does not answer in TLS: {}", side.of_plain(server));
    }
    // The TLS library's errors for a certificate whose authority is unknown, or has only the name of a known one.
    if ["UnknownIssuer", "BadSignature", "UnsupportedSignatureAlgorithmForPublicKey"]
        .iter()
        .any(|error| causes.contains(error))
    {
        return format!(
            "{server} cannot be trusted: {causes}\n  this machine does not know the authority of the certificate: {}",
            side.of_authority()
        );
    }
    format!("{server} cannot be reached: {causes}\n  {}", side.hint())
}

/// The message for a call without an answer of this service.
pub(crate) fn no_answer(side: Side, server: &str, status: &Status) -> String {
    match remote::no_connection(status) {
        Some(error) => no_connection(side, server, error),
        // A server's own refusal for this has a reason.
        None if status.code() == Code::DeadlineExceeded => {
            format!("{server} did not answer in time; see {}", side.timeout())
        }
        None => {
            let message = status.message();
            let cause = status.source().map(|error| format!(": {}", causes(error)));
            let cause = cause.unwrap_or_default();
            format!("{server} gave no proper answer: {message}{cause}\n  {}", side.hint())
        }
    }
}

/// An error with its causes, each mentioned once.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let line = error.to_string();
        if !lines.iter().any(|seen| seen.contains(&line)) {
            lines.push(line);
        }
        next = error.source();
    }
    lines.join(": ")
}

/// The failure of a call that was sent. `is_unknown`: whether it may have been carried out nevertheless.
pub(super) fn explain(
    status: &Status,
    server: &str,
    request: &Value,
    names: &FieldNames,
    is_unknown: bool,
) -> Failure {
    let details = contract::details(status.details());
    let reason = contract::reason(status.details());
    let violations = violations(&details);
    let mut lines = match &reason {
        Some(reason) => {
            let reasons = reasons(reason, &details);
            vec![format!("{} ({reasons})", message(status, &violations, names))]
        }
        // The error is not from this service, whose errors all have a reason.
        None => vec![no_answer(Side::Server, server, status)],
    };
    lines.extend(unnamed(&violations, status.message(), names));
    if let Some(id) = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok()) {
        // Failures that are not the server's are in its log only if it logs all requests.
        let place = if is_logged(status.code()) { "in the server's log as" } else { "request id" };
        lines.push(format!("{place} {id}"));
    }
    let writes = request["validate_only"] != true;
    if let Some(id) = request["request_id"].as_str().filter(|_| is_unknown && writes) {
        let repeat = match names.field("request_id") {
            flag if flag.starts_with("--") => {
                format!("repeat the command with {flag} {id}, which makes it only once")
            }
            // A command for documents compares first.
            _ => "repeat the command, which leaves what was made as it is".to_owned(),
        };
        lines.push(format!("it is not known whether the change was made: {repeat}"));
    }
    Failure { message: lines.join("\n  "), exit: exit(status.code(), reason.is_some()) }
}

/// The refusal for programs, if it is one of this service.
pub(super) fn told(status: &Status) -> Option<Value> {
    let details = contract::details(status.details());
    let info = details.iter().find(|detail| detail["reason"].is_string())?;
    let violation = |one: &Value| {
        let [field, reason, description] = ["field", "reason", "description"].map(|key| &one[key]);
        json!({"field": field, "reason": reason, "description": description})
    };
    let lists = details.iter().filter_map(|detail| detail["fieldViolations"].as_array());
    let violations: Vec<Value> = lists.flatten().map(violation).collect();
    Some(json!({
        "reason": info["reason"],
        "message": status.message(),
        "metadata": info["metadata"],
        "violations": violations,
    }))
}

/// Whether a server logs every request that fails with this code.
fn is_logged(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Internal | Unavailable | DataLoss)
}

/// The wrong fields, each with its problem.
fn violations(details: &[Value]) -> Vec<(&str, &str)> {
    let lists = details.iter().filter_map(|detail| detail["fieldViolations"].as_array());
    let pairs = lists
        .flatten()
        .map(|violation| Some((violation["field"].as_str()?, violation["description"].as_str()?)));
    pairs.flatten().collect()
}

/// The reason of the refusal, with those of the wrong fields: `INVALID_FIELD: TOO_LONG, MALFORMED_COLOR`.
fn reasons(of_all: &str, details: &[Value]) -> String {
    let lists = details.iter().filter_map(|detail| detail["fieldViolations"].as_array());
    let mut named: Vec<&str> = Vec::new();
    for reason in lists.flatten().filter_map(|violation| violation["reason"].as_str()) {
        if !(reason.is_empty() || reason == of_all || named.contains(&reason)) {
            named.push(reason);
        }
    }
    if named.is_empty() { of_all.to_owned() } else { format!("{of_all}: {}", named.join(", ")) }
}

/// The message in the words of the command line. A field whose name is a common word is only replaced if the
/// refusal names it as wrong.
fn message(status: &Status, violations: &[(&str, &str)], names: &FieldNames) -> String {
    let mut text = status.message().to_owned();
    for (field, description) in violations {
        let wrong = format!("{field} {description}");
        text = text.replace(
            &wrong,
            &format!("{} {}", names.field(field), given(field, description, names)),
        );
    }
    names.text(&text)
}

/// The wrong fields that the message does not name.
fn unnamed(violations: &[(&str, &str)], message: &str, names: &FieldNames) -> Vec<String> {
    violations
        .iter()
        .filter(|(field, description)| !(message.contains(field) && message.contains(description)))
        .map(|(field, description)| {
            let description = given(field, description, names);
            format!("{}: {}", names.field(field), names.text(&description))
        })
        .collect()
}

/// The problem of a field, in the words of the command line. The command line refuses missing fields before it sends
/// anything, so a field that the server misses was given, and is blank.
fn given<'a>(field: &str, description: &'a str, names: &FieldNames) -> Cow<'a, str> {
    let missed = description
        .strip_prefix("is required and must not be blank")
        .or_else(|| description.strip_prefix("is required"));
    match missed.filter(|_| names.field(field) != field) {
        Some(rest) => Cow::Owned(format!("must not be blank{rest}")),
        None => Cow::Borrowed(description),
    }
}

/// The exit code of an error about a part of a request, by gRPC's number for it.
pub(crate) fn exit_of(code: i64) -> Exit {
    exit(i32::try_from(code).map_or(Code::Unknown, Code::from_i32), true)
}

/// The exit code. `ours`: whether the error has a reason, as every error of this service does.
fn exit(code: Code, ours: bool) -> Exit {
    match code {
        _ if !ours => Exit::Unavailable,
        Code::NotFound => Exit::NotFound,
        Code::PermissionDenied | Code::Unauthenticated => Exit::Refused,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Exit::Conflict,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

/// Whether a request with this answer may have been carried out nevertheless. The answers of the service
/// itself are certain. Any other failure may have stopped the answer on its way back.
pub(super) fn is_unknown(status: &Status) -> bool {
    match contract::reason(status.details()) {
        Some(reason) => {
            matches!(reason.as_str(), "OUTCOME_UNKNOWN" | "DEADLINE_EXCEEDED" | "INTERNAL")
        }
        None if remote::no_connection(status).is_some() => false,
        None => matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
                | Code::DataLoss
                // The code of a client for an answer that is too large for it.
                | Code::OutOfRange
                | Code::ResourceExhausted
        ),
    }
}

#[cfg(test)]
mod tests {
    use customer_settings_server::{
        catalog::error::{Cause, Error, Unavailable, Violation},
        status::grpc_status,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn every_code_has_the_exit_code_that_the_help_gives_it() {
        let cases = [
            (Code::InvalidArgument, Exit::Failed),
            (Code::Internal, Exit::Failed),
            (Code::Unimplemented, Exit::Failed),
            (Code::NotFound, Exit::NotFound),
            (Code::PermissionDenied, Exit::Refused),
            (Code::Unauthenticated, Exit::Refused),
            (Code::AlreadyExists, Exit::Conflict),
            (Code::Aborted, Exit::Conflict),
            (Code::FailedPrecondition, Exit::Conflict),
            (Code::Unavailable, Exit::Unavailable),
            (Code::DeadlineExceeded, Exit::Unavailable),
            (Code::ResourceExhausted, Exit::Unavailable),
        ];
        for (code, expected) in cases {
            assert_eq!(exit(code, true), expected, "{code}");
            assert_eq!(exit(code, false), Exit::Unavailable, "{code} of something in between");
        }
    }

    #[test]
    fn a_write_of_unknown_outcome_says_how_to_repeat_it() {
        let request = json!({"request_id": "abc"});
        let command = clap::Command::new("").arg(clap::Arg::new("request_id").long("request-id"));
        let names = FieldNames::of(&command, &clap::Command::new(""));
        let said = |status: &Status, request: &Value, names: &FieldNames| {
            explain(status, "http://a", request, names, is_unknown(status)).message
        };
        let told = |status: &Status, request: &Value| {
            said(status, request, &names).contains("repeat the command with --request-id abc")
        };
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal] {
            assert!(told(&Status::new(code, "gone"), &request), "{code}");
        }
        assert!(!told(&Status::not_found("no"), &request));
        let gone = Status::unavailable("gone");
        assert!(!told(&gone, &json!({"request_id": "abc", "validate_only": true})));
        assert!(!told(&gone, &json!({})));
        // A command without that flag.
        let other = said(&gone, &request, &FieldNames::default());
        assert!(other.contains("repeat the command, which leaves") && !other.contains("--"));
    }

    #[test]
    fn what_the_service_says_of_a_refusal_is_believed() {
        let unavailable = |what| grpc_status(&Error::Unavailable { what, cause: Cause::default() });
        for (status, expected) in [
            (unavailable(Unavailable::Store), false),
            (unavailable(Unavailable::Overloaded), false),
            (unavailable(Unavailable::OutcomeUnknown), true),
            (grpc_status(&Error::DeadlineExceeded), true),
            (grpc_status(&Error::Internal(Cause::default())), true),
            (grpc_status(&Error::NotCoveringAll), false),
        ] {
            assert_eq!(is_unknown(&status), expected, "{status}");
        }
    }

    #[test]
    fn a_flag_that_was_given_is_blank_and_not_missing() {
        let command = clap::Command::new("").arg(clap::Arg::new("name").long("name"));
        let names = FieldNames::of(&command, &clap::Command::new(""));
        let told = |field: &str, description: &str| {
            let error = Error::invalid(field, "REQUIRED", description);
            explain(&grpc_status(&error), "http://a", &json!({}), &names, false).message
        };
        let blank = "is required and must not be blank";
        assert_eq!(told("entry.name", blank), "--name must not be blank (INVALID_FIELD: REQUIRED)");
        let list = told("key.name", "is required; there are a and b");
        assert_eq!(list, "--name must not be blank; there are a and b (INVALID_FIELD: REQUIRED)");
        // What the command line cannot say was not given.
        assert_eq!(told("other", "is required"), "other is required (INVALID_FIELD: REQUIRED)");
    }

    #[test]
    fn the_brackets_hold_each_reason_once() {
        let told = |found: &[(&str, &'static str)]| {
            let found = found.iter().map(|(field, reason)| Violation::new(field, reason, "is"));
            let status = grpc_status(&Error::Invalid(found.collect()));
            explain(&status, "http://a", &json!({}), &FieldNames::default(), false).message
        };
        let one = told(&[("customer_tags", "PRUNE_LIMIT")]);
        assert_eq!(one, "customer_tags is (INVALID_FIELD: PRUNE_LIMIT)");
        let three = told(&[("a", "TOO_LONG"), ("b", "REQUIRED"), ("c", "TOO_LONG")]);
        assert_eq!(three, "a is; b is; c is (INVALID_FIELD: TOO_LONG, REQUIRED)");
        // A violation of the whole request has the request's own reason.
        let reused = Error::RequestIdReused { request_id: "x".to_owned() };
        let names = FieldNames::default();
        let reused = explain(&grpc_status(&reused), "http://a", &json!({}), &names, false);
        assert!(reused.message.contains(" (REQUEST_ID_REUSED)"), "{}", reused.message);
    }

    #[test]
    fn a_field_that_the_message_names_is_not_named_twice() {
        let details = [json!({"fieldViolations": [
            {"field": "entry.name", "description": "must not be empty"},
            {"field": "entry.color", "description": "must be #RGB"},
        ]})];
        let names = FieldNames::default();
        let lines = unnamed(&violations(&details), "entry.name must not be empty", &names);
        assert_eq!(lines, ["entry.color: must be #RGB"]);
    }
}
