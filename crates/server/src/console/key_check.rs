//! All that is wrong with a key's form, told at once: the console's own rules, and then those of the contract.

use customer_settings_contract::customersettings::v1::{CreateKeyRequest, Key, UpdateKeyRequest};
use prost_types::{FieldMask, Timestamp};
use tonic::Status;

use super::{
    choices,
    key_sheet::Sheet,
    problem::{Field, Problem},
    sentences,
    visit::Visit,
    words,
};
use crate::catalog::network;

/// The fields of a key's form, in its order.
pub(super) const FIELDS: [Field; 7] = [
    ("name", "name", "The name"),
    ("staff", "staff_id", "The short name"),
    ("scope", "scopes", "What it may do"),
    ("companies", "company_ids", "The companies"),
    ("companies", "all_companies", "The companies"),
    ("expires", "expires_time", "The last day"),
    ("addresses", "addresses", "The addresses"),
];
/// The scopes that allow nothing without others, and these.
const SIGHT: [(&str, &[&str]); 4] = [
    ("settings:write", &["settings:read"]),
    ("companies:write", &["companies:read"]),
    ("keys:write", &["keys:read"]),
    ("history:read", &["settings:read", "companies:read"]),
];
/// The fields that a change of a key names.
const MASK: [&str; 7] =
    ["name", "scopes", "company_ids", "all_companies", "addresses", "expires_time", "staff_id"];

/// The mask of a change that has every field of the form.
pub(super) fn mask() -> Option<FieldMask> {
    Some(FieldMask { paths: MASK.map(str::to_owned).to_vec() })
}

/// The key that a form describes, or all that is wrong with it. `before` is the key as it is stored.
pub(super) async fn key(
    visit: &Visit<'_>,
    sheet: &Sheet,
    before: Option<&Key>,
) -> Result<Key, Problem> {
    let (key, mut wrong) = sheet.key(before);
    let known = before.map_or(&[][..], |key| &key.company_ids);
    if let Err(told) = choices::check(visit, &sheet.chosen, known).await {
        wrong.push(("companies", told));
    }
    let own = check_own(visit, &key).into_iter();
    let own = own.chain(check_sight(&key, before).map(|told| ("scope", told)));
    let own: Vec<_> = own.filter(|(name, _)| !is_among(&wrong, name)).collect();
    wrong.extend(own);
    if wrong.is_empty() {
        return Ok(key);
    }
    Err(with_others(visit, Problem::marked(wrong), key, before).await)
}

fn is_among(wrong: &[(&str, String)], name: &str) -> bool {
    wrong.iter().any(|(known, _)| *known == name)
}

/// Adds what else is wrong to the problem of a key: each wrong field gets a value that is right, and the contract says
/// what remains.
pub(super) async fn with_others(
    visit: &Visit<'_>,
    mut problem: Problem,
    mut key: Key,
    before: Option<&Key>,
) -> Problem {
    let right = before.cloned().unwrap_or_else(|| like_own(visit));
    let mut fresh = problem.fields.clone();
    while !fresh.is_empty() && !problem.is_conflict() {
        for (name, _) in &fresh {
            put_right(&mut key, name, &right);
        }
        let Err(status) = tried(visit, key.clone(), before).await else { break };
        fresh = visit.problem(&status, &FIELDS).fields;
        fresh.retain(|(name, _)| !is_among(&problem.fields, name));
        problem.fields.extend(fresh.iter().cloned());
    }
    problem.fields.sort_by_key(|(name, _)| FIELDS.iter().position(|(one, ..)| one == name));
    problem
}

/// A key that the person may make.
fn like_own(visit: &Visit<'_>) -> Key {
    let rights = &visit.person.holder.rights;
    let scopes = words::SCOPES.iter().filter(|scope| visit.person.has_scopes([**scope]));
    let end = rights
        .expires_time
        .map(|end| Timestamp { seconds: end.as_micros().div_euclid(1_000_000), nanos: 0 });
    Key {
        name: Some(visit.person.name.clone()),
        scopes: scopes.map(|scope| (*scope).to_owned()).collect(),
        company_ids: visit.person.company_ids(),
        all_companies: Some(visit.person.covers_all()),
        addresses: rights.addresses.iter().map(ToString::to_string).collect(),
        expires_time: end,
        staff_id: rights.staff_id.as_ref().map(ToString::to_string),
        ..Default::default()
    }
}

fn put_right(key: &mut Key, field: &str, right: &Key) {
    match field {
        "name" => key.name.clone_from(&right.name),
        "staff" => key.staff_id.clone_from(&right.staff_id),
        "scope" => key.scopes.clone_from(&right.scopes),
        "companies" => {
            key.company_ids.clone_from(&right.company_ids);
            key.all_companies = right.all_companies;
        }
        "expires" => key.expires_time = right.expires_time,
        _ => key.addresses.clone_from(&right.addresses),
    }
}

/// Whether a key could be made, or changed, so.
async fn tried(visit: &Visit<'_>, key: Key, before: Option<&Key>) -> Result<(), Status> {
    let (key, validate_only) = (Some(key), true);
    match before {
        None => {
            let ask = CreateKeyRequest { key, validate_only, ..Default::default() };
            visit.keys().create_key(visit.ask(ask)).await.map(|_| ())
        }
        Some(before) => {
            let (id, update_mask) = (before.id.clone(), mask());
            let ask =
                UpdateKeyRequest { id, key, update_mask, validate_only, ..Default::default() };
            visit.keys().update_key(visit.ask(ask)).await.map(|_| ())
        }
    }
}

fn has(key: &Key, scope: &str) -> bool {
    key.scopes.iter().any(|one| one == scope || one == "*")
}

/// Refuses to take from the person's own key, in its own name, that which the person needs to take the change back.
fn check_own(visit: &Visit<'_>, key: &Key) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if key.id != visit.person.key_id() {
        return wrong;
    }
    if !has(key, "keys:read") || !has(key, "keys:write") {
        wrong.push(("scope", sentences::own_key_needs()));
    }
    if let Some(here) = visit.person.holder.actor.address
        && !key.addresses.is_empty()
        && key
            .addresses
            .iter()
            .all(|one| network::parse(one).is_some_and(|one| !one.contains(&here)))
    {
        wrong.push(("addresses", sentences::not_from_here(&here.to_string())));
    }
    wrong
}

/// Refuses scopes that allow nothing without those to see the same things. A key that has them already, from a program,
/// may have its other fields changed.
fn check_sight(key: &Key, before: Option<&Key>) -> Option<String> {
    let is_as_before = |before: &Key| {
        before.scopes.len() == key.scopes.len()
            && key.scopes.iter().all(|one| before.scopes.contains(one))
    };
    if before.is_some_and(is_as_before) {
        return None;
    }
    let is_needed = |seeing: &str| {
        SIGHT.iter().any(|(scope, needed)| has(key, scope) && needed.contains(&seeing))
    };
    let missing = words::SCOPES.into_iter().filter(|one| is_needed(one) && !has(key, one));
    let missing: Vec<&str> = missing.collect();
    (!missing.is_empty()).then(|| sentences::needs_seeing(&missing))
}
