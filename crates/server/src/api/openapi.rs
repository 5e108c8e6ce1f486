//! The OpenAPI 3.1 document, made from the same descriptors and bindings as the HTTP layer.
//!
//! Knows no single method: summaries are the contract's comments, scopes and examples its options.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use customer_settings_contract::descriptors;
use http::Method;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use super::{
    guard::scopes,
    http::{Binding, BindingError, BodyRule, Segment, Template, bindings, query_fields},
    json::{
        comments::summary,
        fields::{FieldPath, has_behavior},
        schema::{Direction, Schemas, example},
    },
};
use crate::status::{self, About, DocumentedError};

const DESCRIPTION: &str = "One agreed vocabulary for pet care businesses: a company's customer tags, referral sources, \
                           life cycles and action statuses, over HTTP/JSON and gRPC alike.\n\nEvery method takes an \
                           API key, as `Authorization: Bearer <key>` or as the user name of Basic authentication with \
                           an empty password. Errors are `google.rpc.Status`.";

/// The fields that every write takes, wherever they stand.
const SAFETY: [&str; 3] = ["requestId", "validateOnly", "etag"];

/// Describes the services' HTTP bindings.
pub fn document(pool: &DescriptorPool, services: &[&str]) -> Result<Value, BindingError> {
    let bindings = bindings(pool, services)?;
    let errors = status::documented_errors();
    let mut writer = Writer {
        schemas: Schemas::new(pool),
        shared_names: shared_names(pool, services),
        templates: bindings.iter().map(|binding| binding.template.clone()).collect(),
        operation_ids: HashMap::new(),
    };
    // Answers first, so that theirs are the plain names of schemas.
    for binding in &bindings {
        writer.schemas.message(&binding.rpc.output(), Direction::Output);
    }
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for binding in bindings.iter().filter(|binding| has_place(&binding.method)) {
        let path = path_text(binding);
        let operation = writer.operation(binding, &errors);
        let method = binding.method.as_str().to_lowercase();
        if paths.entry(path.clone()).or_default().insert(method, operation).is_some() {
            let description =
                format!("has the path {path}, which OpenAPI cannot tell from another method's");
            return Err(BindingError { method: binding.rpc.full_name().to_owned(), description });
        }
    }
    let tags = writer.tags(pool, services);
    let responses = writer.error_responses(&errors);
    Ok(json!({
        "openapi": "3.1.0",
        "info": { "title": "customer-settings", "version": "v1", "description": DESCRIPTION },
        "servers": [{ "url": "/" }],
        "security": [{ "basic": [] }, { "bearer": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": writer.schemas.into_json(),
            "responses": responses,
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The key as the user name, with an empty password.",
                },
                "bearer": { "type": "http", "scheme": "bearer", "description": "The key." },
            },
        },
    }))
}

/// OpenAPI has a fixed list of HTTP methods.
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

/// The names that several services have, each in a package of its own.
fn shared_names(pool: &DescriptorPool, services: &[&str]) -> HashSet<String> {
    let services = services.iter().filter_map(|name| pool.get_service_by_name(name));
    let mut seen = HashSet::new();
    services
        .map(|service| service.name().to_owned())
        .filter(|name| !seen.insert(name.clone()))
        .collect()
}

struct Writer {
    schemas: Schemas,
    shared_names: HashSet<String>,
    /// Every path there is.
    templates: Vec<Template>,
    /// How often each was used, so that the next one gets a number.
    operation_ids: HashMap<String, usize>,
}

impl Writer {
    fn operation(&mut self, binding: &Binding, errors: &[DocumentedError]) -> Value {
        let rpc = &binding.rpc;
        let comment = self.schemas.comments.of(&rpc.parent_file(), rpc.path()).to_owned();
        let (summary, rest) = summary(&comment);
        let scopes = scopes(rpc);
        let needed = match &scopes[..] {
            [] => None,
            [scope] => Some(format!("Needs the scope `{scope}`.")),
            scopes => Some(format!("Needs the scopes `{}`.", scopes.join("` and `"))),
        };
        let description: Vec<&str> = [rest, needed.as_deref().unwrap_or_default()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();

        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), json!(self.operation_id(binding)));
        operation.insert("tags".to_owned(), json!([rpc.parent_service().full_name()]));
        operation.insert(
            "summary".to_owned(),
            json!(if summary.is_empty() { rpc.name() } else { summary }),
        );
        if !description.is_empty() {
            operation.insert("description".to_owned(), json!(description.join("\n\n")));
        }
        if !scopes.is_empty() {
            operation.insert("x-required-scopes".to_owned(), json!(scopes));
        }
        let parameters = self.parameters(binding);
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = self.request_body(binding) {
            operation.insert("requestBody".to_owned(), body);
        }
        operation.insert("responses".to_owned(), self.responses(binding, errors));
        operation.into()
    }

    fn operation_id(&mut self, binding: &Binding) -> String {
        let service = binding.rpc.parent_service();
        // The compatible surface is there first: of two services with one name the strict one goes by its full name.
        let is_second = !binding.ignores_unknown && self.shared_names.contains(service.name());
        let name = if is_second {
            service.full_name().replace('.', "_")
        } else {
            service.name().to_owned()
        };
        let id = format!("{name}_{}", binding.rpc.name());
        let uses = self.operation_ids.entry(id.clone()).or_default();
        *uses += 1;
        if *uses == 1 { id } else { format!("{id}{uses}") }
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
            let mut parameter = self.parameter("path", &variable.field, path);
            parameter.insert("required".to_owned(), json!(true));
            add_example(&mut parameter, path);
            let taken = self.taken(&binding.template, variable.segments.start);
            if !taken.is_empty() {
                parameter["schema"]["not"] = json!({ "enum": taken });
            }
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
        // A body that is the whole request has a place for everything; what makes writes safe may
        // stand in the query all the same.
        let is_whole = matches!(binding.body, BodyRule::Whole);
        let is_safety = |path: &FieldPath| SAFETY.contains(&path.json_name().as_str());
        let is_shown = |path: &FieldPath| {
            !has_behavior(path.leaf(), "OUTPUT_ONLY")
                && (!is_whole || !binding.ignores_unknown && is_safety(path))
        };
        for path in query_fields(binding).into_iter().filter(is_shown) {
            let mut parameter = self.parameter("query", &path.json_name(), &path);
            if path.0.len() == 1 && has_behavior(path.leaf(), "REQUIRED") {
                parameter.insert("required".to_owned(), json!(true));
            }
            add_example(&mut parameter, &path);
            parameters.push(parameter.into());
        }
        parameters
    }

    /// Values that cannot stand at a place of a path, as they make another path of it.
    fn taken(&self, path: &Template, place: usize) -> BTreeSet<&str> {
        let others = self.templates.iter().filter(|other| {
            let is_same = |(i, (one, other)): (usize, (_, _))| i == place || one == other;
            let mut segments = path.segments.iter().zip(&other.segments).enumerate();
            other.verb == path.verb
                && other.segments.len() == path.segments.len()
                && segments.all(is_same)
        });
        let literals = others.filter_map(|other| match &other.segments[place] {
            Segment::Literal(text) => Some(text.as_str()),
            Segment::One | Segment::Rest => None,
        });
        literals.collect()
    }

    fn parameter(&mut self, place: &str, name: &str, path: &FieldPath) -> Map<String, Value> {
        let mut schema = self.schemas.field(path.leaf(), Direction::Input);
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
        let example = example(&input);
        let (schema, example, required) = match &binding.body {
            BodyRule::Nothing => return None,
            BodyRule::Whole => {
                let given: Vec<String> = binding.variables.iter().map(FieldPath::name).collect();
                let schema = self.schemas.object(&input, Direction::Input, &given);
                let required = schema.get("required").is_some();
                (schema, example, required)
            }
            BodyRule::Field(field) => {
                let example = example.and_then(|example| example.get(field.json_name()).cloned());
                let schema = self.schemas.field(field, Direction::Input);
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
        responses.insert(
            "200".to_owned(),
            json!({ "description": "The answer.", "content": content(schema, example) }),
        );
        let has_body = !matches!(binding.body, BodyRule::Nothing);
        // The compatible surface, which ignores what it does not know, only reads.
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
            let header = |name: &String| (name.clone(), json!({ "schema": { "type": "string" } }));
            let headers: Map<String, Value> = error.headers.iter().map(header).collect();
            if !headers.is_empty() {
                response.insert("headers".to_owned(), headers.into());
            }
            response
                .insert("content".to_owned(), content(schema.clone(), Some(error.example.clone())));
            (response_name(error), Value::from(response))
        };
        errors.iter().map(response).collect::<Map<_, _>>().into()
    }

    fn tags(&self, pool: &DescriptorPool, services: &[&str]) -> Vec<Value> {
        let tag = |name: &&str| {
            let service = pool.get_service_by_name(name)?;
            let description = self.schemas.comments.of(&service.parent_file(), service.path());
            Some(
                json!({ "name": name, "x-displayName": service.name(), "description": description }),
            )
        };
        services.iter().filter_map(tag).collect()
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
