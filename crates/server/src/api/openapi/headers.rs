//! Headers of requests and answers in the document.

use customer_settings_contract::customersettings::v1::Form;
use http::Method;
use serde_json::{Map, Value, json};

use super::forms;

use crate::{
    api::{
        guard::{scopes, takes_min_revision},
        http::Binding,
    },
    catalog::token::EPOCH,
};

/// A header that requests may have.
struct Asked {
    name: &'static str,
    description: &'static str,
    /// The limits of the value, as keywords of JSON schemas.
    limits: fn() -> Value,
    is_of: fn(&Binding) -> bool,
}

const REQUESTS: [Asked; 5] = [
    Asked {
        name: "Idempotency-Key",
        description: "Makes the request safe to repeat, as `request_id` does.",
        limits: || forms::limits(Form::RequestId, false),
        is_of: writes,
    },
    Asked {
        name: "If-Match",
        description: "The etag that was read: the change is refused with 409 if another one came first.",
        limits: || json!({ "pattern": format!(r"^(\*|{})?$", forms::etag()) }),
        is_of: takes_etag,
    },
    Asked {
        name: "If-None-Match",
        description: "The `ETag` of an earlier answer: one that is the same is answered with 304, without a body.",
        limits: || json!({}),
        is_of: is_get,
    },
    Asked {
        name: "Settings-Staff-Id",
        description: "The id of the staff member who acts; needs the scope `staff:any`.",
        limits: || forms::limits(Form::Id, false),
        is_of: writes,
    },
    Asked {
        name: "Settings-Min-Revision",
        description: "A `Settings-Revision` of an earlier answer about the same company: the answer, or the state that a \
                      write changes, is at least as new.",
        limits: || json!({ "pattern": format!("^[1-9][0-9]*({EPOCH}[1-9][0-9]*)?$") }),
        is_of: |binding| takes_min_revision(&binding.rpc),
    },
];

/// The names of all headers that requests may have.
pub(crate) fn request_headers() -> [&'static str; REQUESTS.len()] {
    REQUESTS.map(|header| header.name)
}

/// The headers of answers, with their types.
const ANSWERS: [(&str, &str, &str); 9] = [
    ("ETag", "string", "A hash of the answer, for `If-None-Match`."),
    ("Settings-Revision", "string", "The company's revision that the answer shows."),
    (
        "Settings-Stale",
        "integer",
        "The store does not answer: the answer was current this many seconds ago.",
    ),
    (
        "Idempotency-Replayed",
        "string",
        "`true` if this is the answer to an earlier request with the same id.",
    ),
    ("X-Request-Id", "string", "The request's id in the server's log."),
    ("Retry-After", "integer", "The number of seconds after which to try again."),
    ("WWW-Authenticate", "string", "How to send a key."),
    ("Accept-Encoding", "string", "The encodings that a body may have."),
    ("Allow", "string", "The HTTP methods that the path has."),
];

fn is_strict(binding: &Binding) -> bool {
    !binding.ignores_unknown
}

fn writes(binding: &Binding) -> bool {
    is_strict(binding) && binding.rpc.input().get_field_by_name("request_id").is_some()
}

fn takes_etag(binding: &Binding) -> bool {
    is_strict(binding) && binding.rpc.input().get_field_by_name("etag").is_some()
}

fn is_get(binding: &Binding) -> bool {
    binding.method == Method::GET
}

/// Whether the answer is about a company, or about a part of one.
fn is_about_a_company(binding: &Binding) -> bool {
    let names_one = !binding.variables.is_empty()
        || binding.rpc.input().get_field_by_name("company_id").is_some();
    names_one && !scopes(&binding.rpc).iter().any(|scope| scope.starts_with("keys:"))
}

/// The name of a header's component. Not every tool accepts hyphens in references.
fn component(name: &str) -> String {
    name.replace('-', "")
}

/// The parameters of a request that are headers.
pub(super) fn of_request(binding: &Binding) -> Vec<Value> {
    let own = REQUESTS.iter().filter(|header| (header.is_of)(binding));
    let reference = |header: &Asked| json!({ "$ref": format!("#/components/parameters/{}", component(header.name)) });
    own.map(reference).collect()
}

/// The headers of an answer of success.
pub(super) fn of_answer(binding: &Binding, has_etag: bool) -> Value {
    let about_company = is_about_a_company(binding);
    let own = [
        ("ETag", has_etag),
        ("Settings-Revision", about_company),
        ("Settings-Stale", about_company && !writes(binding)),
        ("Idempotency-Replayed", writes(binding)),
        ("X-Request-Id", true),
    ];
    let own = own.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    references(own)
}

/// The headers of an answer that is an error, by their names in any case.
pub(super) fn of_error(names: &[String]) -> Value {
    let is_own = |name: &&str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    let known = ANSWERS.iter().map(|(name, ..)| *name);
    references(known.filter(|name| *name == "X-Request-Id" || is_own(name)))
}

fn references<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let reference =
        |name: &str| json!({ "$ref": format!("#/components/headers/{}", component(name)) });
    names.map(|name| (name.to_owned(), reference(name))).collect::<Map<_, _>>().into()
}

/// The components to which [`of_request`] refers.
pub(super) fn request_components() -> Value {
    let parameter = |header: &Asked| {
        let mut schema = json!({ "type": "string" });
        for (keyword, limit) in (header.limits)().as_object().into_iter().flatten() {
            schema[keyword] = limit.clone();
        }
        let parameter = json!({
            "name": header.name, "in": "header", "description": header.description, "schema": schema,
        });
        (component(header.name), parameter)
    };
    REQUESTS.iter().map(parameter).collect::<Map<_, _>>().into()
}

/// The components to which [`of_answer`] and [`of_error`] refer.
pub(super) fn answer_components() -> Value {
    let header = |(name, kind, description): &(&str, &str, &str)| {
        (component(name), json!({ "description": description, "schema": { "type": kind } }))
    };
    ANSWERS.iter().map(header).collect::<Map<_, _>>().into()
}
