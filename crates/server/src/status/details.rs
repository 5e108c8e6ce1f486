//! The details of an error: what a program learns beside the code and the message.

use std::collections::BTreeMap;

use crate::catalog::error::{Beyond, Error, Kind, MOST_NAMED, Past, Violation};

/// The fields that are wrong.
pub(super) fn violations(error: &Error) -> Vec<Violation> {
    match error {
        Error::Invalid(violations) => violations.clone(),
        Error::RequestIdReused { .. } => {
            vec![Violation::new("request_id", error.reason(), error.to_string())]
        }
        _ => vec![],
    }
}

/// The facts that belong to the reason.
pub(super) fn metadata(error: &Error) -> BTreeMap<&'static str, String> {
    if let Error::InBatch { index, error } = error {
        let mut pairs = metadata(error);
        pairs.insert("index", index.to_string());
        return pairs;
    }
    let pairs: Vec<(&str, String)> = match error {
        Error::Invalid(violations) => {
            let index = violations.iter().find_map(|violation| change_of_batch(&violation.field));
            index.map(|index| ("index", index.to_owned())).into_iter().collect()
        }
        Error::AddressNotAllowed { address } => vec![("address", address.clone())],
        Error::MissingScope { scopes, .. } => {
            let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            vec![("scope", names.join(","))]
        }
        Error::NotCovered { kind, id }
        | Error::NotFound { kind, id }
        | Error::IdTaken { kind, id, .. } => {
            vec![("kind", kind.to_string()), ("id", id.clone())]
        }
        Error::KeyNotWithin(Beyond { restriction, own }) => {
            vec![("restriction", (*restriction).to_owned()), ("own", own.clone())]
        }
        Error::KeyOutOfReach { id } | Error::SecretTaken { holder: Some(id) } => {
            vec![("id", id.to_string())]
        }
        Error::NameTaken { catalog, name, holder } => {
            vec![
                ("catalog", catalog.to_string()),
                ("name", name.clone()),
                ("id", holder.to_string()),
            ]
        }
        Error::Precondition { facts, .. } => facts.clone(),
        Error::Mirrored(mirrored) => mirrored.facts(),
        Error::TooMany { what, most, .. } => {
            vec![("what", what.clone()), ("limit", most.to_string())]
        }
        Error::EtagMismatch { what, since, .. } => {
            let mut pairs = past(since);
            pairs.push(("what", what.clone()));
            pairs
        }
        Error::PlanChanged(changed) => {
            let mut pairs = past(&changed.since);
            pairs.push(("company_id", changed.company_id.to_string()));
            pairs.push(("digest", changed.digest.clone()));
            pairs.push(("counts", changed.counts.to_string()));
            let steps = &changed.steps[..changed.steps.len().min(MOST_NAMED)];
            pairs.push(("steps", steps.join("\n")));
            pairs
        }
        Error::ChangedSince { fields, since, .. } => {
            let mut pairs = past(since);
            pairs.push(("fields", fields[..fields.len().min(MOST_NAMED)].join(",")));
            pairs
        }
        Error::RequestIdReused { request_id } => vec![("request_id", request_id.clone())],
        Error::Contended { kind, id, revision } => {
            let name = if *kind == Kind::Key { "key_id" } else { "company_id" };
            vec![(name, id.clone()), ("revision", revision.to_string())]
        }
        _ => vec![],
    };
    pairs.into_iter().collect()
}

/// The number of the change of a batch that a field belongs to.
fn change_of_batch(field: &str) -> Option<&str> {
    Some(field.strip_prefix("changes[")?.split_once(']')?.0)
}

/// The revisions that block the request, with their authors, newest first.
fn past(since: &[Past]) -> Vec<(&'static str, String)> {
    let list = |texts: Vec<String>| texts.join(",");
    vec![
        ("revisions", list(since.iter().map(|past| past.revision.to_string()).collect())),
        ("staff_ids", list(since.iter().map(|past| past.staff_id.to_string()).collect())),
    ]
}
