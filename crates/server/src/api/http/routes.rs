//! The HTTP bindings of a contract's methods, read from their descriptors, and the look-up by path.
//!
//! This file knows no single method, and nothing of bodies and answers.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use http::Method;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    Value,
};

use super::template::{self, Template};
use crate::{
    api::{
        json::fields::FieldPath,
        openapi::forms::{names, of},
    },
    catalog::near::nearest,
};

/// Why a contract cannot be bound to HTTP: a mistake in its `.proto` files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingError {
    /// The method, or the service if there is none.
    pub method: String,
    /// The problem with the binding.
    pub description: String,
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the HTTP binding of {} {}", self.method, self.description)
    }
}

impl std::error::Error for BindingError {}

/// The part of a request that is its body.
#[derive(Clone, Debug)]
pub(crate) enum BodyRule {
    /// No part: a body is ignored.
    Nothing,
    /// The whole request.
    Whole,
    /// One field of the request.
    Field(FieldDescriptor),
}

/// One HTTP method and path of one RPC.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) rpc: MethodDescriptor,
    /// `/package.Service/Method`, as gRPC names it.
    pub(crate) rpc_path: String,
    pub(crate) method: Method,
    pub(crate) template: Template,
    /// The template as the contract has it.
    pub(crate) path: String,
    /// The fields of the template's variables, in their order.
    pub(crate) variables: Vec<FieldPath>,
    pub(crate) body: BodyRule,
    /// The one field of the answer that becomes the body.
    pub(crate) response_body: Option<FieldDescriptor>,
    /// Whether names that the contract does not have are ignored instead of refused.
    pub(crate) ignores_unknown: bool,
}

/// Every binding of the services, in the contract's order.
pub(crate) fn bindings(
    pool: &DescriptorPool,
    services: &[&str],
) -> Result<Vec<Binding>, BindingError> {
    let mut bindings = vec![];
    for name in services {
        let service = pool.get_service_by_name(name).ok_or_else(|| BindingError {
            method: (*name).to_owned(),
            description: "has no such service".to_owned(),
        })?;
        for method in service.methods() {
            let method_error =
                |description| BindingError { method: method.full_name().to_owned(), description };
            let Some(rule) = http_rule(&method) else { continue };
            bindings.push(Binding::read(&method, &rule).map_err(method_error)?);
            for rule in list_of_messages(&rule, "additional_bindings") {
                bindings.push(Binding::read(&method, &rule).map_err(method_error)?);
            }
        }
    }
    refuse_duplicates(&bindings)?;
    Ok(bindings)
}

fn http_rule(method: &MethodDescriptor) -> Option<DynamicMessage> {
    let option = method.parent_pool().get_extension_by_name("google.api.http")?;
    let options = method.options();
    options
        .has_extension(&option)
        .then(|| options.get_extension(&option).as_message().cloned())
        .flatten()
}

fn list_of_messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field);
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(Value::as_message).cloned().collect()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message
        .get_field_by_name(field)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl Binding {
    fn read(rpc: &MethodDescriptor, rule: &DynamicMessage) -> Result<Self, String> {
        if rpc.is_client_streaming() || rpc.is_server_streaming() {
            return Err(
                "cannot be made: the method streams, and JSON answers are single".to_owned()
            );
        }
        let (method, path) = pattern(rule)?;
        let mut template = Template::parse(&path)
            .map_err(|problem| format!("has the path {path}, which {problem}"))?;
        let find = |name: &str| path_field(&rpc.input(), name);
        let variables = template
            .variables
            .iter()
            .map(|variable| find(&variable.field))
            .collect::<Result<Vec<_>, _>>()?;
        for (variable, field) in template.variables.iter_mut().zip(&variables) {
            variable.values = names(of(field.leaf())).map(|(_, values)| values).unwrap_or_default();
        }
        let body = match text(rule, "body").as_str() {
            "" => BodyRule::Nothing,
            "*" => BodyRule::Whole,
            name => BodyRule::Field(named_field(&rpc.input(), name)?),
        };
        let response_body = match text(rule, "response_body").as_str() {
            "" => None,
            name => Some(named_field(&rpc.output(), name)?),
        };
        Ok(Self {
            rpc: rpc.clone(),
            rpc_path: rpc_path(rpc),
            method,
            template,
            path,
            variables,
            body,
            response_body,
            ignores_unknown: ignores_unknown(rpc),
        })
    }
}

/// `/package.Service/Method`, as gRPC names it.
pub(crate) fn rpc_path(rpc: &MethodDescriptor) -> String {
    format!("/{}/{}", rpc.parent_service().full_name(), rpc.name())
}

/// Whether a method ignores names that the contract does not have. Methods of strict services refuse them. Programs of
/// the compatible surface send keys that their helpers add.
pub(crate) fn ignores_unknown(rpc: &MethodDescriptor) -> bool {
    let strict = rpc.parent_pool().get_extension_by_name("customersettings.v1.strict");
    let options = rpc.parent_service().options();
    strict.is_none_or(|strict| options.get_extension(&strict).as_bool() != Some(true))
}

/// Whether the requests of a method hold documents, so that their bodies may be large.
pub(crate) fn is_document(rpc: &MethodDescriptor) -> bool {
    let option = rpc.parent_pool().get_extension_by_name("customersettings.v1.document");
    let options = rpc.options();
    option.is_some_and(|option| options.get_extension(&option).as_bool() == Some(true))
}

/// Whether the path of a method names a thing.
pub(crate) fn names_a_thing(rpc: &MethodDescriptor) -> bool {
    let path = http_rule(rpc).and_then(|rule| pattern(&rule).ok());
    path.is_some_and(|(_, path)| path.contains('{'))
}

/// The paths of all requests that hold documents, of HTTP and of gRPC.
pub(crate) fn document_paths(pool: &DescriptorPool) -> HashSet<String> {
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let bound = |rpc: MethodDescriptor| {
        let path = http_rule(&rpc).and_then(|rule| Some(pattern(&rule).ok()?.1));
        [Some(rpc_path(&rpc)), path]
    };
    methods.filter(is_document).flat_map(bound).flatten().collect()
}

fn pattern(rule: &DynamicMessage) -> Result<(Method, String), String> {
    for kind in ["get", "put", "post", "delete", "patch"] {
        if rule.has_field_by_name(kind) {
            let method = Method::from_bytes(kind.to_uppercase().as_bytes())
                .map_err(|error| error.to_string())?;
            return Ok((method, text(rule, kind)));
        }
    }
    let custom = rule.get_field_by_name("custom").filter(|_| rule.has_field_by_name("custom"));
    let custom =
        custom.as_ref().and_then(|value| value.as_message()).ok_or("names no HTTP method")?;
    let kind = text(custom, "kind");
    let method = Method::from_bytes(kind.as_bytes()).ok().filter(|_| kind != "*");
    Ok((
        method.ok_or_else(|| {
            format!("has the custom HTTP method '{kind}': it must be a single one")
        })?,
        text(custom, "path"),
    ))
}

fn named_field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message
        .get_field_by_name(name)
        .ok_or_else(|| format!("names the field {name}, which {} lacks", message.name()))
}

fn path_field(message: &MessageDescriptor, name: &str) -> Result<FieldPath, String> {
    let path = FieldPath::find(message, name)
        .ok_or_else(|| format!("names the field {name}, which {} lacks", message.name()))?;
    let leaf = path.leaf();
    if leaf.is_list() || leaf.is_map() || matches!(leaf.kind(), Kind::Message(_)) {
        return Err(format!("has the field {name} in its path, which is not a single plain value"));
    }
    Ok(path)
}

fn refuse_duplicates(bindings: &[Binding]) -> Result<(), BindingError> {
    let mut seen = HashMap::new();
    for binding in bindings {
        let key = (&binding.method, binding.template.precedence());
        if let Some(other) = seen.insert(key, binding) {
            return Err(BindingError {
                method: binding.rpc.full_name().to_owned(),
                description: format!(
                    "has {} {}, which {} also has",
                    binding.method,
                    binding.path,
                    other.rpc.full_name()
                ),
            });
        }
    }
    Ok(())
}

/// A value for each binding, found by method and path.
pub(crate) struct Routes<T> {
    /// In the order of precedence.
    routes: Vec<(Method, Template, T)>,
}

/// The result of a look-up.
pub(crate) enum Found<'a, T> {
    /// A route, and the parts of the path that its variables span, still encoded.
    Route(&'a T, Vec<String>),
    /// The path has only routes for other HTTP methods. Their names form the value of `Allow`.
    OtherMethods(String),
    /// The path has no route.
    Nothing,
}

/// The methods of paths that differ from a path in their verb alone, each as in `POST /v1/things/a:archive`.
#[derive(Debug, Default)]
pub(crate) struct OtherVerbs {
    /// The method whose verb was probably meant: the sent one is nearly the same.
    pub(crate) near: Option<String>,
    pub(crate) all: Vec<String>,
}

impl<T> Routes<T> {
    pub(crate) fn new(routes: impl IntoIterator<Item = (Method, Template, T)>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by(|(_, one, _), (_, other, _)| one.precedence().cmp(&other.precedence()));
        Self { routes }
    }

    /// Looks up a route. HEAD finds the route of GET.
    ///
    /// The first template that fits owns the path. If it lacks the HTTP method, the templates after it are not asked:
    /// else `GET …/{id}` would take the path of `POST …/{id}:archive`.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_, T> {
        let Some(path) = template::cut(path) else { return Found::Nothing };
        let fits = |(_, template, _): &&(Method, Template, T)| template.captures(&path).is_some();
        let Some((_, owner, _)) = self.routes.iter().find(fits) else { return Found::Nothing };
        let mut allow = vec![];
        let mut of_get = None;
        let owned =
            self.routes.iter().filter(|(_, other, _)| other.precedence() == owner.precedence());
        for (route_method, template, value) in owned {
            let Some(captures) = template.captures(&path) else { continue };
            if route_method == method {
                return Found::Route(value, captures);
            }
            if route_method == Method::GET {
                of_get = Some((value, captures));
                allow.push("HEAD");
            }
            allow.push(route_method.as_str());
        }
        if let Some((value, captures)) = of_get.filter(|_| method == Method::HEAD) {
            return Found::Route(value, captures);
        }
        allow.sort_unstable();
        allow.dedup();
        Found::OtherMethods(allow.join(", "))
    }

    /// The routes, in the order of precedence.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Method, Template, T)> {
        self.routes.iter()
    }

    /// Looks for other verbs behind a path; there are none for a path whose verb a method has.
    pub(crate) fn other_verbs(&self, path: &str) -> OtherVerbs {
        let Some((above, last)) = path.rsplit_once('/') else { return OtherVerbs::default() };
        let (last, sent) = last.rsplit_once(':').unwrap_or((last, ""));
        if last.contains(':') {
            return OtherVerbs::default();
        }
        let mut others: Vec<(String, String)> = vec![];
        let mut owner: Option<&Template> = None;
        for (method, template, _) in &self.routes {
            let Some(verb) = template.own_verb() else { continue };
            let path = format!("{above}/{last}:{verb}");
            let values = template::cut(&path).and_then(|path| template.captures(&path));
            let fits = values.is_some_and(|values| template.can_have(&values));
            // Templates after the first may take a word of its path for a value, and have no such path in truth.
            if fits && owner.get_or_insert(template).is_beside(template) {
                others.push((verb.to_owned(), format!("{method} {path}")));
            }
        }
        if others.iter().any(|(verb, _)| verb == sent) {
            return OtherVerbs::default();
        }
        let near = nearest(sent, others.iter().map(|(verb, _)| verb.as_str()));
        let near = others.iter().find(|(verb, _)| near == Some(verb));
        OtherVerbs {
            near: near.map(|(_, method)| method.clone()),
            all: others.into_iter().map(|(_, method)| method).collect(),
        }
    }
}
