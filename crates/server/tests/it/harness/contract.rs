//! The contract for tests: every method with its scopes, its sample request and its HTTP bindings, read from
//! the descriptors.

use bytes::Bytes;
use customer_settings_contract::descriptors;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use prost_reflect::{
    DynamicMessage, MethodDescriptor, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::Value;

/// A method of the contract.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) descriptor: MethodDescriptor,
    /// `/package.Service/Method`, the name in gRPC.
    pub(crate) path: String,
    /// The scopes that the contract declares.
    pub(crate) scopes: Vec<String>,
    /// The contract's own example of its request.
    pub(crate) sample: Option<Value>,
    /// The HTTP method, the path template and the content of the body: nothing, `*` for the request, or a
    /// field.
    bindings: Vec<(http::Method, String, String)>,
}

/// Every method of every service of the contract.
pub(crate) fn methods() -> Vec<Method> {
    let services = descriptors().services();
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).map(Method::new).collect()
}

/// The method of this name, or of this path (`customersettings.v1.CompanyService/GetCompany`). If both
/// surfaces have the name, it is the compatible one's.
pub(crate) fn method(name: &str) -> Method {
    let is_it = |method: &Method| method.descriptor.name() == name || method.path[1..] == *name;
    let mut found: Vec<Method> = methods().into_iter().filter(is_it).collect();
    found.sort_by_key(|method| !method.is_compatible());
    found.into_iter().next().unwrap_or_else(|| panic!("no method {name}"))
}

impl Method {
    fn new(descriptor: MethodDescriptor) -> Self {
        let options = descriptor.options();
        let sample = texts(&descriptor.input().options(), "customersettings.v1.example");
        Self {
            path: format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name()),
            scopes: texts(&options, "customersettings.v1.scope"),
            sample: sample.first().map(|sample| serde_json::from_str(sample).unwrap()),
            bindings: bindings(&options),
            descriptor,
        }
    }

    /// Whether the method belongs to the compatible surface.
    pub(crate) fn is_compatible(&self) -> bool {
        self.path.starts_with("/moego.")
    }

    /// The request over every binding: HTTP method, path with query, and body. An additional binding is left out if its
    /// path needs a field that the request lacks.
    pub(crate) fn http_requests(
        &self,
        request: &Value,
    ) -> Vec<(http::Method, String, Option<Value>)> {
        let bind = |(method, template, body): &(http::Method, String, String)| {
            let path = fill(template, request);
            let (query, body) = match body.as_str() {
                "*" => (String::new(), Some(request.clone())),
                "" => (query(template, "", request), None),
                field => (query(template, field, request), Some(request[camel(field)].clone())),
            };
            (method.clone(), path + &query, body)
        };
        let (first, more) = self.bindings.split_at(self.bindings.len().min(1));
        let is_whole = |(_, template, _): &&(http::Method, String, String)| {
            variables(template).all(|variable| request.get(camel(variable)).is_some())
        };
        first.iter().chain(more.iter().filter(is_whole)).map(bind).collect()
    }

    pub(crate) fn encode(&self, request: &Value) -> Bytes {
        let message = DynamicMessage::deserialize(self.descriptor.input(), request);
        message.unwrap_or_else(|error| panic!("{request}: {error}")).encode_to_vec().into()
    }

    pub(crate) fn decode(&self, answer: Bytes) -> Value {
        let message = DynamicMessage::decode(self.descriptor.output(), answer).unwrap();
        let options = SerializeOptions::new().skip_default_fields(false);
        message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
    }
}

/// The texts of one of our options, without empty ones.
fn texts(options: &DynamicMessage, name: &str) -> Vec<String> {
    let option = descriptors()
        .all_extensions()
        .find(|option| {
            option.full_name() == name && option.containing_message() == options.descriptor()
        })
        .unwrap();
    let value = options.get_extension(&option);
    let values = value.as_list().unwrap_or_else(|| std::slice::from_ref(&*value));
    let texts = values.iter().map(|text| text.as_str().unwrap().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}

fn bindings(options: &DynamicMessage) -> Vec<(http::Method, String, String)> {
    let option = descriptors().get_extension_by_name("google.api.http").unwrap();
    if !options.has_extension(&option) {
        return vec![];
    }
    let rule = options.get_extension(&option).as_message().unwrap().clone();
    let more = rule.get_field_by_name("additional_bindings").unwrap().into_owned();
    let more = more.as_list().unwrap().iter().map(|rule| rule.as_message().unwrap().clone());
    std::iter::once(rule.clone()).chain(more).map(|rule| binding(&rule)).collect()
}

fn binding(rule: &DynamicMessage) -> (http::Method, String, String) {
    let verbs = ["get", "put", "post", "delete", "patch"];
    let verb = verbs.into_iter().find(|verb| rule.has_field_by_name(verb)).unwrap();
    let template = rule.get_field_by_name(verb).and_then(|path| path.as_str().map(str::to_owned));
    let body = rule.get_field_by_name("body").map(std::borrow::Cow::into_owned);
    let body = body.as_ref().and_then(Field::as_str).unwrap_or_default();
    (verb.to_uppercase().parse().unwrap(), template.unwrap(), body.to_owned())
}

fn camel(name: &str) -> String {
    let parts = name.split('_').enumerate().map(|(i, part)| match (i, part.split_at(1)) {
        (0, _) => part.to_owned(),
        (_, (first, more)) => first.to_uppercase() + more,
    });
    parts.collect()
}

/// The names of the fields in a path.
fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// The plain fields that are neither in the path nor in the body.
fn query(template: &str, body: &str, request: &Value) -> String {
    let mut query = String::new();
    for (name, value) in request.as_object().into_iter().flatten() {
        let in_path = variables(template).any(|variable| camel(variable) == *name);
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        let texts: Vec<String> = match value {
            Value::Array(items) => items.iter().filter_map(text).collect(),
            value => text(value).into_iter().collect(),
        };
        let is_in_query = !in_path && (body.is_empty() || camel(body) != *name);
        for text in texts.iter().filter(|_| is_in_query) {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(name);
            query.push('=');
            query.extend(utf8_percent_encode(text, NON_ALPHANUMERIC));
        }
    }
    query
}

/// Puts the request's fields into the path.
fn fill(template: &str, request: &Value) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        let value = request[camel(name)].as_str().unwrap_or_default();
        path.push_str(before);
        path.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        rest = after;
    }
    path + rest
}
