//! The OpenAPI 3.1 document, made from the descriptors and bindings that the HTTP layer uses.
//!
//! This file knows no single method: summaries are the contract's comments, and scopes, examples and forms its options.

use std::collections::HashSet;

use customer_settings_contract::descriptors;
use http::Method;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

pub(crate) use self::headers::request_headers;
use self::{
    comments::title,
    names::Name,
    schema::{Direction, Schemas, example},
};
use super::{
    guard::scopes,
    http::{Binding, BindingError, BodyRule, Segment, bindings, is_document, query_fields},
    json::fields::{FieldPath, has_behavior},
};
use crate::status::{self, About, DocumentedError};

mod comments;
pub(crate) mod forms;
mod headers;
mod names;
mod schema;

/// The server of the document: one with the default address, on the same computer. A client is given the address of its
/// own server. The address that a request came to may be wrong behind a proxy, and a key must not go there.
pub const SERVER: &str = "http://127.0.0.1:8080";

/// The answer of the HTTP library, which knows no errors of ours.
const HEAD_TOO_LARGE: &str = "RequestHeaderFieldsTooLarge";

const DESCRIPTION: &str = "One agreed vocabulary for pet care businesses: a company's customer tags, referral sources, \
                           life cycles and action statuses, over HTTP/JSON and gRPC alike.\n\nEvery method takes an \
                           API key, as `Authorization: Bearer <key>`. Programs written for MoeGo's API send it as \
                           `Authorization: Basic <base64 of the key>`, and may go on to. Errors are \
                           `google.rpc.Status`.";

/// The groups of services on the page: the compatible ones first.
const GROUPS: [(&str, bool); 2] = [("MoeGo's methods", false), ("Managing", true)];

/// Describes the services' HTTP bindings.
pub fn document(pool: &DescriptorPool, services: &[&str]) -> Result<Value, BindingError> {
    let mut bindings = bindings(pool, services)?;
    bindings.retain(|binding| has_place(&binding.method));
    let errors = status::documented_errors();
    // Answers come first, so that their schemas get the plain names. The answers of strict services
    // come before all others.
    let (compatible, strict): (Vec<&Binding>, Vec<&Binding>) =
        bindings.iter().partition(|binding| binding.ignores_unknown);
    let mut schemas = Schemas::new(pool);
    for binding in strict.iter().chain(&compatible) {
        schemas.message(&binding.rpc.output(), Direction::Output);
    }
    let names = names::operations(strict.iter().chain(&compatible).copied());
    let with_get = bindings.iter().filter(|binding| binding.method == Method::GET);
    let with_get = with_get.map(|binding| binding.rpc_path.clone()).collect();
    let mut writer = Writer { schemas, with_get };
    let mut operations: Vec<(String, &Binding)> =
        bindings.iter().map(|binding| (path_text(binding), binding)).collect();
    // The compatible surface comes first.
    operations.sort_by_key(|(path, binding)| (!binding.ignores_unknown, path.clone()));
    let mut paths = Map::new();
    for (path, binding) in operations {
        let name = &names[&names::key(binding)];
        let operation = writer.operation(binding, name, &errors);
        let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
        let method = binding.method.as_str().to_lowercase();
        if !item[&method].is_null() {
            let description =
                format!("has the path {path}, which OpenAPI cannot tell from another method's");
            return Err(BindingError { method: binding.rpc.full_name().to_owned(), description });
        }
        item[method] = operation;
    }
    let responses = writer.error_responses(&errors);
    Ok(json!({
        "openapi": "3.1.0",
        "info": { "title": "customer-settings", "version": "v1", "description": DESCRIPTION },
        "servers": [{ "url": SERVER, "description": "Give a client the address of your server." }],
        "security": [{ "bearer": [] }],
        "tags": writer.tags(&bindings),
        "x-tagGroups": groups(&bindings),
        "paths": paths,
        "components": {
            "schemas": writer.schemas.into_json(),
            "responses": responses,
            "parameters": headers::request_components(),
            "headers": headers::answer_components(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "The key." },
            },
        },
    }))
}

/// The services of some bindings, each once.
fn services<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Vec<&'a Binding> {
    let mut seen = HashSet::new();
    let service = |binding: &Binding| binding.rpc.parent_service().full_name().to_owned();
    bindings.filter(|binding| seen.insert(service(binding))).collect()
}

fn groups(bindings: &[Binding]) -> Vec<Value> {
    let group = |(name, is_strict): (&str, bool)| {
        let own = services(bindings.iter().filter(|one| one.ignores_unknown != is_strict));
        let names = own.iter().map(|binding| binding.rpc.parent_service().full_name().to_owned());
        json!({ "name": name, "tags": names.collect::<Vec<_>>() })
    };
    let groups = GROUPS.map(group).into_iter();
    groups.filter(|group| group["tags"] != json!([])).collect()
}

/// Whether OpenAPI's fixed list of HTTP methods has this one.
fn has_place(method: &Method) -> bool {
    [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH].contains(method)
}

/// The path with each variable as one parameter.
fn path_text(binding: &Binding) -> String {
    let template = &binding.template;
    let mut path = String::new();
    for (i, segment) in template.segments.iter().enumerate() {
        match template.variables.iter().find(|variable| variable.segments.contains(&i)) {
            Some(variable) if variable.segments.start == i => {
                path.push_str(&format!("/{{{}}}", variable.field))
            }
            Some(_) => {}
            None => path.push_str(&format!("/{}", segment_text(segment))),
        }
    }
    if let Some(verb) = &template.verb {
        path.push_str(&format!(":{verb}"));
    }
    path
}

fn segment_text(segment: &Segment) -> &str {
    match segment {
        Segment::Literal(text) => text,
        Segment::One => "*",
        Segment::Rest => "**",
    }
}

struct Writer {
    schemas: Schemas,
    /// The methods that have a binding for GET.
    with_get: HashSet<String>,
}

impl Writer {
    fn operation(&mut self, binding: &Binding, name: &Name, errors: &[DocumentedError]) -> Value {
        let rpc = &binding.rpc;
        let comment = self.schemas.comments.of(&rpc.parent_file(), rpc.path()).to_owned();
        let (title, rest) = title(&comment);
        let scopes = scopes(rpc);
        let needed = match &scopes[..] {
            [] => None,
            [scope] => Some(format!("Needs the scope `{scope}`.")),
            scopes => Some(format!("Needs the scopes `{}`.", scopes.join("` and `"))),
        };
        let large = is_document(rpc).then_some("The body may have up to 16 MiB.");
        let description: Vec<&str> = [rest, needed.as_deref().unwrap_or_default()]
            .into_iter()
            .chain(large)
            .filter(|text| !text.is_empty())
            .collect();

        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), json!(name.id));
        operation.insert("tags".to_owned(), json!([rpc.parent_service().full_name()]));
        let title = if title.is_empty() { rpc.name().to_owned() } else { title };
        let note = name.note.iter().map(|note| format!(" ({note})"));
        operation.insert("summary".to_owned(), json!(title + &note.collect::<String>()));
        if !description.is_empty() {
            operation.insert("description".to_owned(), json!(description.join("\n\n")));
        }
        if !scopes.is_empty() {
            operation.insert("x-required-scopes".to_owned(), json!(scopes));
        }
        let mut parameters = self.parameters(binding);
        parameters.extend(headers::of_request(binding));
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = self.request_body(binding) {
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), self.responses(binding, errors));
        operation.into()
    }

    fn parameters(&mut self, binding: &Binding) -> Vec<Value> {
        let example = example(&binding.rpc.input());
        let add_example = |parameter: &mut Map<String, Value>, path: &FieldPath| {
            let pointer = format!("/{}", path.json_name().replace('.', "/"));
            if let Some(value) = example.as_ref().and_then(|example| example.pointer(&pointer)) {
                parameter.insert("example".to_owned(), value.clone());
            }
        };
        let mut parameters = vec![];
        for (variable, path) in binding.template.variables.iter().zip(&binding.variables) {
            let mut parameter = self.parameter("path", &variable.field, path, Direction::Path);
            parameter.insert("required".to_owned(), json!(true));
            add_example(&mut parameter, path);
            if variable.multiple {
                let segments = &binding.template.segments[variable.segments.clone()];
                let described: Vec<&str> = segments.iter().map(segment_text).collect();
                let form = format!(
                    "Has the form `{}`, with its slashes as they are.",
                    described.join("/")
                );
                parameter.insert("description".to_owned(), json!(form));
            }
            parameters.push(parameter.into());
        }
        // A body that is the whole request can hold every field.
        let is_whole = matches!(binding.body, BodyRule::Whole);
        let query = Direction::Input { is_strict: true };
        let is_shown = |path: &FieldPath| !is_whole && !has_behavior(path.leaf(), "OUTPUT_ONLY");
        for path in query_fields(binding).into_iter().filter(is_shown) {
            let mut parameter = self.parameter("query", &path.json_name(), &path, query);
            if path.0.len() == 1 && has_behavior(path.leaf(), "REQUIRED") {
                parameter.insert("required".to_owned(), json!(true));
            }
            add_example(&mut parameter, &path);
            parameters.push(parameter.into());
        }
        parameters
    }

    fn parameter(
        &mut self,
        place: &str,
        name: &str,
        path: &FieldPath,
        direction: Direction,
    ) -> Map<String, Value> {
        let mut schema = self.schemas.field(path.leaf(), direction);
        let description =
            schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
        let mut parameter = Map::new();
        parameter.insert("name".to_owned(), json!(name));
        parameter.insert("in".to_owned(), json!(place));
        if let Some(description) = description {
            parameter.insert("description".to_owned(), description);
        }
        parameter.insert("schema".to_owned(), schema);
        parameter
    }

    fn request_body(&mut self, binding: &Binding) -> Option<Value> {
        let input = binding.rpc.input();
        let mut example = example(&input);
        let is_strict = !binding.ignores_unknown;
        let (schema, example, required) = match &binding.body {
            BodyRule::Nothing => return None,
            BodyRule::Whole => {
                let given: Vec<String> = binding.variables.iter().map(FieldPath::name).collect();
                let name = format!("{}.{}", input.package_name(), binding.rpc.name());
                let (schema, required) = self.schemas.body(&name, &input, is_strict, &given);
                if let Some(Value::Object(fields)) = example.as_mut().filter(|_| is_strict) {
                    let given = binding.variables.iter().map(FieldPath::json_name);
                    given.for_each(|name| _ = fields.shift_remove(&name));
                }
                (schema, example, required)
            }
            BodyRule::Field(field) => {
                let example = example.and_then(|example| example.get(field.json_name()).cloned());
                let schema = self.schemas.field(field, Direction::Input { is_strict });
                (schema, example, has_behavior(field, "REQUIRED"))
            }
        };
        Some(json!({ "required": required, "content": content(schema, example) }))
    }

    fn responses(&mut self, binding: &Binding, errors: &[DocumentedError]) -> Value {
        let output = binding.rpc.output();
        let (schema, example) = match &binding.response_body {
            Some(field) => (self.schemas.field(field, Direction::Output), None),
            None => (self.schemas.message(&output, Direction::Output), example(&output)),
        };
        let mut responses = Map::new();
        let has_etag = self.with_get.contains(&binding.rpc_path);
        let headers = headers::of_answer(binding, has_etag);
        responses.insert(
            "200".to_owned(),
            json!({ "description": "The answer.", "headers": headers, "content": content(schema, example) }),
        );
        if binding.method == Method::GET {
            let description = "The answer is the one that `If-None-Match` names.";
            responses.insert(
                "304".to_owned(),
                json!({ "description": description, "headers": headers }),
            );
        }
        let has_body = !matches!(binding.body, BodyRule::Nothing);
        // The compatible surface, which ignores unknown fields, only reads.
        let writes = !binding.ignores_unknown && binding.method != Method::GET;
        let can_meet = |error: &&DocumentedError| match error.about {
            About::Anything => true,
            About::Bodies => has_body,
            About::Writes => writes,
            About::Paths => !binding.variables.is_empty(),
        };
        for error in errors.iter().filter(can_meet) {
            let reference = format!("#/components/responses/{}", response_name(error));
            responses.insert(error.status.as_str().to_owned(), json!({ "$ref": reference }));
        }
        let reference = json!({ "$ref": format!("#/components/responses/{HEAD_TOO_LARGE}") });
        responses.insert("431".to_owned(), reference);
        responses.sort_keys();
        responses.into()
    }

    fn error_responses(&mut self, errors: &[DocumentedError]) -> Value {
        let status = descriptors().get_message_by_name("google.rpc.Status");
        let schema = status
            .map(|status| self.schemas.message(&status, Direction::Output))
            .unwrap_or_default();
        let response = |error: &DocumentedError| {
            let mut response = Map::new();
            response.insert("description".to_owned(), json!(error.description));
            response.insert("headers".to_owned(), headers::of_error(&error.headers));
            response
                .insert("content".to_owned(), content(schema.clone(), Some(error.example.clone())));
            (response_name(error), Value::from(response))
        };
        let mut responses: Map<_, _> = errors.iter().map(response).collect();
        let description = "The request's head is too large. This answer has no body.";
        responses.insert(HEAD_TOO_LARGE.to_owned(), json!({ "description": description }));
        responses.into()
    }

    fn tags(&self, bindings: &[Binding]) -> Vec<Value> {
        let tag = |binding: &Binding| {
            let service = binding.rpc.parent_service();
            let description = self.schemas.comments.of(&service.parent_file(), service.path());
            let shown = format!("{} ({})", service.name(), service.package_name());
            json!({ "name": service.full_name(), "x-displayName": shown, "description": description })
        };
        let mut services = services(bindings.iter());
        services.sort_by_key(|binding| !binding.ignores_unknown);
        services.into_iter().map(tag).collect()
    }
}

fn content(schema: Value, example: Option<Value>) -> Value {
    let mut json = Map::new();
    json.insert("schema".to_owned(), schema);
    if let Some(example) = example {
        json.insert("example".to_owned(), example);
    }
    json!({ "application/json": json })
}

fn response_name(error: &DocumentedError) -> String {
    error.status.canonical_reason().unwrap_or_default().replace(' ', "")
}
