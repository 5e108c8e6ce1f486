//! The limits that the OpenAPI document gives for requests: on one side of each the server takes a value, on the other
//! it refuses the value by the field's name.
//!
//! Requests are made from the document, so the test covers a new method as soon as it is in a proto file.

use customer_settings_contract::descriptors;
use customer_settings_server::{
    api::{http::bound_services, openapi},
    config::Config,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::harness::*;

/// For each pattern of the document: values that fit, and values that do not.
const PATTERNS: [(&str, &[&str], &[&str]); 19] = [
    ("^[A-Za-z0-9_-]*$", &["aZ_-9", "-"], &["a b", "é", "a/b"]),
    ("^[A-Za-z0-9_-]+$", &["aZ_-9"], &["a b", "é"]),
    (r"\S", &["a", "é", "a b"], &["\u{a0}"]),
    ("^(#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}))?$", &["#aF0", "#00aaFF", ""], &["#00aaF", "red"]),
    ("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", &["10.0.0.0/8", "2001:db8::1"], &["home", ""]),
    ("^([A-Za-z]{2})?$", &["US", "de", ""], &["USA", "U"]),
    ("^[ -~]*$", &["a b~"], &["é"]),
    ("^([1-9][0-9]*)?$", &["1", "2", ""], &["0", "x"]),
    ("^[1-9][0-9]*$", &["1"], &["0", "-1", "x"]),
    ("^[0-9]+$", &["0", "1"], &["-1", "x"]),
    (r"^\s*([^\s@]+@[^\s@]+)?\s*$", &["a@b.example", ""], &["a", "a@b@c", "a b@c"]),
    (
        r"^\s*([Hh][Tt][Tt][Pp][Ss]?://[^\s/?#]\S*)?\s*$",
        &["https://a.example", "http://a", ""],
        &["a.example", "javascript:alert(1)", "https:///a", "https://a b"],
    ),
    ("^(primary|secondary)?$", &["primary", "secondary", ""], &["third"]),
    (
        "^((position|name|created_time|last_updated_time)( desc)?)?$",
        &["name", "created_time desc", ""],
        &["name down", "color"],
    ),
    (
        r#"^((W/)?([0-9A-Fa-f]{24}(\.[A-Za-z0-9_-]+)?|"[0-9A-Fa-f]{24}(\.[A-Za-z0-9_-]+)?"))?$"#,
        &[ETAG, "\"5D41402abc4b2a7605d41402.x-_9\"", ""],
        &["5d41402abc4b2a7605d4140", "x", "*"],
    ),
    (
        r#"^(\*|(W/)?([0-9A-Fa-f]{24}(\.[A-Za-z0-9_-]+)?|"[0-9A-Fa-f]{24}(\.[A-Za-z0-9_-]+)?"))?$"#,
        &["*", ETAG, "W/\"5d41402abc4b2a7605d41402\""],
        &["5d41402abc4b2a7605d414021", "x"],
    ),
    ("^[1-9][0-9]*(;epoch=[1-9][0-9]*)?$", &["1"], &["0", "x", "1;epoch="]),
    ("^[0-9A-Fa-f]{64}$", &[DIGEST], &["", "0f", "x"]),
    (
        "^([0-9]{1,6}|[0-1][0-9]{6}|2[0-4][0-9]{5}|25[0-8][0-9]{4}|259[0-1][0-9]{3}|2592000)s$",
        &["0s", "999999s", "2592000s"],
        &["2592001s", "-1s", "1.5s", "90", ""],
    ),
];

const ETAG: &str = "5d41402abc4b2a7605d41402";
const DIGEST: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

/// A request in the making.
#[derive(Clone)]
struct Draft {
    verb: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
}

impl Draft {
    async fn send(&self, server: &Server, secret: &str) -> Answer {
        let query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = match query.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, query.join("&")),
        };
        let mut call = server.call(&self.verb.to_uppercase(), &path).bearer(secret);
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        call.body(self.body.as_ref().map_or(String::new(), Value::to_string)).send().await
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

fn snake(name: &str) -> String {
    let split = |c: char| match c.is_ascii_uppercase() {
        true => format!("_{}", c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    name.chars().map(split).collect()
}

struct Document(Value);

impl Document {
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.0.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        }
        match schema["anyOf"].as_array() {
            Some(either) => self.resolved(&either[0]),
            None => schema,
        }
    }

    /// A value that fits, with nothing that may be left out.
    fn least(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        match kind(schema) {
            "object" => {
                let required = schema["required"].as_array().into_iter().flatten();
                let field = |name: &Value| {
                    let name = name.as_str().unwrap();
                    (name.to_owned(), self.least(&schema["properties"][name]))
                };
                required.map(field).collect::<Map<_, _>>().into()
            }
            "array" => json!([self.least(&schema["items"])]),
            "integer" | "number" => json!(0),
            "boolean" => json!(false),
            _ => match self.texts(schema).0.first() {
                Some(text) => json!(text),
                None => json!("a"),
            },
        }
    }

    /// Texts that fit a schema, and texts that do not.
    fn texts(&self, schema: &Value) -> (Vec<String>, Vec<String>) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        if let Some(names) = schema["enum"].as_array() {
            let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
            return (names.collect(), vec!["nonsense".to_owned()]);
        }
        let (mut good, mut bad): (Vec<String>, Vec<String>) = (vec![], vec![]);
        if let Some(pattern) = schema["pattern"].as_str() {
            let known = PATTERNS.iter().find(|(known, ..)| *known == pattern);
            let Some((_, fit, unfit)) = known else { return (good, bad) };
            (good, bad) = (owned(fit), owned(unfit));
        }
        if let Some(most) = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok())
        {
            // A filter is the only long text with a form. A text that fits a pattern fits with more letters too.
            let fit = good.first().map_or("a", String::as_str).to_owned();
            let beginning = if most > 1_000 { "name = \"a\"" } else { &fit };
            let filler = if most > 1_000 { " " } else { "a" };
            let text =
                |length: usize| beginning.to_owned() + &filler.repeat(length - beginning.len());
            good.push(text(most));
            bad.push(text(most + 1));
        }
        if schema["minLength"].as_u64() == Some(1) {
            bad.push(String::new());
        }
        (good, bad)
    }

    /// Values on both sides of the limits of a schema: `true` for those that fit.
    fn probes(&self, schema: &Value) -> Vec<(Value, bool)> {
        let schema = self.resolved(schema);
        let mut probes = vec![];
        match kind(schema) {
            "string" => {
                let (good, bad) = self.texts(schema);
                probes.extend(good.into_iter().map(|text| (json!(text), true)));
                probes.extend(bad.into_iter().map(|text| (json!(text), false)));
            }
            kind @ ("integer" | "number") => {
                for (limit, step) in [("minimum", -1), ("maximum", 1)] {
                    let Some(limit) = schema[limit].as_f64() else { continue };
                    let beyond = limit + f64::from(step);
                    let number = |value: f64| match kind {
                        "integer" => json!(value as i64),
                        _ => json!(value),
                    };
                    probes.extend([(number(limit), true), (number(beyond), false)]);
                }
            }
            "array" => {
                if let Some(most) = schema["maxItems"].as_u64() {
                    let item = self.least(&schema["items"]);
                    probes.push((json!(vec![item; usize::try_from(most).unwrap() + 1]), false));
                }
                if schema["minItems"].as_u64() == Some(1) {
                    probes.push((json!([]), false));
                }
                let items = self.probes(&schema["items"]).into_iter();
                probes.extend(items.map(|(item, fits)| (json!([item]), fits)));
            }
            // A map, by the ids of companies.
            "object" if schema.get("propertyNames").is_some() => {
                let values = self.probes(&schema["additionalProperties"]).into_iter();
                probes.extend(values.map(|(value, fits)| (json!({ "cmp_001": value }), fits)));
                let value = self.least(&schema["additionalProperties"]);
                let (_, bad) = self.texts(&schema["propertyNames"]);
                probes.extend(bad.into_iter().map(|id| (json!({ id: value }), false)));
            }
            _ => {}
        }
        probes
    }

    /// Every value within a body that has limits, as the names that lead to it, and its schema.
    fn places<'a>(
        &'a self,
        schema: &'a Value,
        above: &[&'a str],
        found: &mut Vec<(Vec<&'a str>, &'a Value)>,
    ) {
        let schema = self.resolved(schema);
        if kind(schema) == "array" && kind(self.resolved(&schema["items"])) == "object" {
            self.places(&schema["items"], above, found);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let place = [above, &[name.as_str()]].concat();
            found.push((place.clone(), field));
            self.places(field, &place, found);
        }
    }

    /// The body with another value at a place, or without one; what is missing above it is added.
    fn with(&self, schema: &Value, body: &Value, place: &[&str], value: Option<Value>) -> Value {
        let schema = self.resolved(schema);
        if kind(schema) == "array" {
            let item = self.least(&schema["items"]);
            return json!([self.with(&schema["items"], &item, place, value)]);
        }
        let mut body = body.clone();
        let fields = body.as_object_mut().unwrap();
        let (name, below) = (place[0], &place[1..]);
        let field = &schema["properties"][name];
        if !below.is_empty() {
            let inner = fields.get(name).cloned().unwrap_or_else(|| self.least(field));
            fields.insert(name.to_owned(), self.with(field, &inner, below, value));
        } else if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        } else {
            fields.remove(name);
        }
        body
    }

    /// The request of an operation's examples, which writes nothing.
    fn draft(&self, path: &str, verb: &str, operation: &Value) -> Draft {
        let mut draft = Draft {
            verb: verb.to_owned(),
            path: path.to_owned(),
            query: vec![],
            headers: vec![],
            body: None,
        };
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default();
            if parameter["in"] == "path" {
                let example = parameter["example"].as_str().unwrap();
                draft.path = draft.path.replace(&format!("{{{name}}}"), &encoded(example));
            } else if name == "validateOnly" {
                draft.query.push((name.to_owned(), "true".to_owned()));
            }
        }
        let content = &operation["requestBody"]["content"]["application/json"];
        if let Some(schema) = content.get("schema") {
            let mut body = content["example"].clone();
            if self.resolved(schema)["properties"].get("validateOnly").is_some() {
                body["validateOnly"] = json!(true);
            }
            draft.body = Some(body);
        }
        draft
    }
}

fn kind(schema: &Value) -> &str {
    schema["type"].as_str().or(schema["type"][0].as_str()).unwrap_or_default()
}

/// The requests of an operation on both sides of each limit, with the field that each is about.
fn requests(
    document: &Document,
    path: &str,
    verb: &str,
    operation: &Value,
) -> Vec<(Draft, String, bool)> {
    let draft = document.draft(path, verb, operation);
    let mut requests = vec![];
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = document.resolved(parameter);
        let name = parameter["name"].as_str().unwrap();
        for (value, fits) in document.probes(&parameter["schema"]) {
            let text =
                |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let items = value.as_array().into_iter().flatten().map(text);
            let items: Vec<(String, String)> = items.map(|item| (name.to_owned(), item)).collect();
            let text = text(&value);
            let mut request = draft.clone();
            match parameter["in"].as_str().unwrap() {
                "path" => {
                    // Another path in the place of the example's.
                    let others = operation["parameters"].as_array().unwrap().iter();
                    request.path = others.fold(path.to_owned(), |path, other| {
                        let Some(other_name) = other["name"].as_str() else { return path };
                        let example = other["example"].as_str().unwrap_or_default();
                        let value = if other_name == name { &text } else { example };
                        path.replace(&format!("{{{other_name}}}"), &encoded(value))
                    });
                }
                "query" if value.is_array() => request.query.extend(items),
                "query" => request.query.push((name.to_owned(), text)),
                _ if text.is_ascii() => request.headers.push((name.to_owned(), text)),
                _ => continue,
            }
            let field = match name {
                "Idempotency-Key" => "request_id",
                "If-Match" => "etag",
                name => name,
            };
            requests.push((request, field.to_owned(), fits));
        }
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let Some(body) = &draft.body else { return requests };
    let mut places = vec![];
    document.places(schema, &[], &mut places);
    let mut add = |place: &[&str], value: Option<Value>, fits: bool| {
        let body = document.with(schema, body, place, value);
        let request = Draft { body: Some(body), ..draft.clone() };
        requests.push((request, (*place.last().unwrap()).to_owned(), fits));
    };
    for (place, field) in &places {
        for (value, fits) in document.probes(field) {
            add(place, Some(value), fits);
        }
    }
    let within = places.iter().map(|(place, field)| (place.clone(), *field));
    for (above, object) in std::iter::once((vec![], schema)).chain(within) {
        let mut object = document.resolved(object);
        if kind(object) == "array" {
            object = document.resolved(&object["items"]);
        }
        if kind(object) != "object" || object.get("properties").is_none() {
            continue;
        }
        for name in object["required"].as_array().into_iter().flatten() {
            // An update within a batch may have a mask alone, which empties what it names. The document asks for
            // the entry all the same, as creating needs it.
            if above == ["changes", "update"] && name == "entry" {
                continue;
            }
            add(&[&above[..], &[name.as_str().unwrap()]].concat(), None, false);
        }
        let is_open = object.get("additionalProperties").is_none();
        add(&[&above[..], &["nonsense"]].concat(), Some(json!(1)), is_open);
    }
    requests
}

/// Whether an answer is the one for a value of this field that fits its schema, or does not.
fn is_as_said(answer: &Answer, field: &str, fits: bool) -> bool {
    /// The value has the right form, and does not fit this company or this place.
    const OTHER_PROBLEMS: [&str; 8] = [
        "has no effect without prune",
        "belongs to the batch itself",
        "must be the batch's company",
        "differs from",
        "has one value in the path",
        "must be empty: only life_cycles",
        "has ids that",
        "must name all active entries",
    ];
    if answer.status != 400 {
        return fits;
    }
    let details = answer.json()["details"].as_array().unwrap().clone();
    let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array());
    let mut own = violations.flatten().filter(|violation| {
        let named = violation["field"].as_str().unwrap();
        let last = named.rsplit('.').next().unwrap_or_default();
        let last = last.split('[').next().unwrap_or_default();
        // The name of a thing that is missing as a whole is missing too.
        let is_within = last == "name" && matches!(field, "entry" | "company" | "business" | "key");
        last == snake(field) || last == field || is_within
    });
    match own.next() {
        None => fits,
        Some(violation) => {
            let described = violation["description"].as_str().unwrap();
            !fits || OTHER_PROBLEMS.iter().any(|problem| described.contains(problem))
        }
    }
}

#[tokio::test]
async fn both_sides_of_each_limit_of_the_document_are_as_it_says() {
    let server = Server::configured(|config: &mut Config| {
        config.limits.requests_per_second = 100_000;
        config.limits.requests_burst = 100_000;
    })
    .await;
    let secret = server.any_key().await;
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let document = Document(openapi::document(descriptors(), &services).unwrap());
    let (mut sent, mut wrong) = (0, vec![]);
    for (path, item) in document.0["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            for (request, field, fits) in requests(&document, path, verb, operation) {
                let answer = request.send(&server, &secret).await;
                if !is_as_said(&answer, &field, fits) {
                    let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
                    let body: String = body.chars().take(200).collect();
                    let (query, headers) = (&request.query, &request.headers);
                    wrong.push(format!(
                        "{verb} {} {query:.80?} {headers:.80?} {body}: {field} {fits}: {} {:.200}",
                        request.path,
                        answer.status,
                        answer.text()
                    ));
                }
                sent += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(sent > 1_000, "only {sent} requests");
}

#[tokio::test]
async fn a_header_is_refused_wherever_the_document_does_not_name_it() {
    /// Each header with a value that fits any company, and whether the compatible surface knows it.
    const HEADERS: [(&str, &str, bool); 5] = [
        ("Idempotency-Key", "once", false),
        ("If-Match", "*", false),
        ("If-None-Match", "\"x\"", false),
        ("Settings-Staff-Id", "staff_1", false),
        ("Settings-Min-Revision", "1", true),
    ];
    let server = Server::demo().await;
    let secret = server.any_key().await;
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let document = Document(openapi::document(descriptors(), &services).unwrap());
    let mut wrong = vec![];
    for (path, item) in document.0["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let named: Vec<&Value> =
                parameters.map(|one| &document.resolved(one)["name"]).collect();
            for (name, value, is_known_everywhere) in HEADERS {
                if path.starts_with("/v1/") && !is_known_everywhere {
                    continue;
                }
                let mut request = document.draft(path, verb, operation);
                request.headers.push((name.to_owned(), value.to_owned()));
                let answer = request.send(&server, &secret).await;
                let is_refused = answer.status == 400 && answer.text().contains("\"NO_EFFECT\"");
                if is_refused == named.contains(&&json!(name)) {
                    wrong.push(format!("{verb} {path} {name}: {:.200}", answer.text()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_pattern_of_the_document_has_values_on_both_sides() {
    fn visit<'a>(value: &'a Value, patterns: &mut Vec<&'a str>) {
        if let Some(pattern) = value["pattern"].as_str() {
            patterns.push(pattern);
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| visit(value, patterns)),
            Value::Array(items) => items.iter().for_each(|value| visit(value, patterns)),
            _ => {}
        }
    }
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let document = openapi::document(descriptors(), &services).unwrap();
    let mut patterns = vec![];
    visit(&document, &mut patterns);
    patterns.retain(|pattern| !PATTERNS.iter().any(|(known, ..)| known == pattern));
    assert!(patterns.is_empty(), "{patterns:?}");
}
