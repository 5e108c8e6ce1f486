//! The OpenAPI document and the documentation page.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use customer_settings_contract::descriptors;
use customer_settings_server::{
    api::{docs, http::bound_services, openapi},
    catalog::access::Scope,
};
use http::Request;
use http_body_util::BodyExt;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::transcoding::{strict::managed, things};

fn document() -> Value {
    let services = bound_services(descriptors());
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    openapi::document(descriptors(), &services).unwrap()
}

/// Every operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, _)| {
        let item: &Value = item;
        let operations = item.as_object().unwrap().iter();
        operations
            .map(|(method, operation)| (format!("{method} {path}"), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn the_document_is_this() {
    insta::assert_snapshot!("document", serde_json::to_string_pretty(&document()).unwrap());
}

#[test]
fn the_document_is_the_same_each_time() {
    let [one, other] = [document(), document()].map(|document| document.to_string());
    assert!(one == other, "the order of its parts differs");
}

/// The words with which titles of operations begin.
const VERBS: [&str; 18] = [
    "Apply", "Archive", "Change", "Create", "Delete", "End", "Export", "Get", "List", "Reorder",
    "Report", "Restore", "Revoke", "Roll", "Rotate", "Show", "Undo", "Update",
];

#[test]
fn operations_have_unique_ids_summaries_known_scopes_and_errors() {
    let document = document();
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    let operations = operations(&document);
    assert_eq!(operations.len(), 52);
    for (name, operation) in operations {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
        let title = operation["summary"].as_str().unwrap();
        assert!(title.contains(' '), "{name} has no comment");
        assert!(titles.insert(title), "another operation is called {title} too");
        assert!(title.len() < 60, "{name} has a long title: {title}");
        // An instruction with one verb, which is one of the house's, and nothing behind a comma.
        let verb = title.split(' ').next().unwrap();
        assert!(VERBS.contains(&verb) && !title.contains(','), "{name}: {title}");
        let scopes = operation["x-required-scopes"].as_array().unwrap();
        assert!(!scopes.is_empty(), "{name} needs no scope");
        for scope in scopes.iter().map(|scope| scope.as_str().unwrap()) {
            assert!(Scope::named(scope).is_some(), "{name} needs the unknown scope {scope}");
            let description = operation["description"].as_str().unwrap();
            assert!(description.contains(&format!("`{scope}`")), "{name}: {description}");
        }
        assert!(
            name.starts_with("delete")
                || operation["responses"]["200"]["content"]["application/json"]["example"]
                    .is_object(),
            "{name}"
        );
        for status in ["400", "401", "403", "404", "429", "431", "500", "503", "504"] {
            assert!(operation["responses"].get(status).is_some(), "{name} has no {status}");
        }
        let has_body = operation.get("requestBody").is_some();
        for status in ["408", "413", "415"] {
            assert_eq!(operation["responses"].get(status).is_some(), has_body, "{name} {status}");
        }
        let writes = name.contains(" /admin/") && !name.starts_with("get");
        assert_eq!(operation["responses"].get("409").is_some(), writes, "{name}");
        assert!(!name.starts_with("head"), "{name}");
    }
}

#[test]
fn references_lead_somewhere() {
    fn visit(document: &Value, value: &Value) {
        if let Some(reference) = value.get("$ref") {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some_and(Value::is_object), "{reference}");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| visit(document, value)),
            Value::Array(items) => items.iter().for_each(|value| visit(document, value)),
            _ => {}
        }
    }
    let document = document();
    visit(&document, &document);
}

fn all_methods(pool: &DescriptorPool) -> Vec<prost_reflect::MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn example(message: &MessageDescriptor) -> Option<Value> {
    let option = message.parent_pool().get_extension_by_name("customersettings.v1.example")?;
    let options = message.options();
    let text = options.get_extension(&option).as_str().unwrap().to_owned();
    (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
}

#[test]
fn examples_are_just_what_is_sent_and_answered() {
    let rewritten = |message: MessageDescriptor, example: &Value, options: SerializeOptions| {
        let strict = DeserializeOptions::new();
        let message = DynamicMessage::deserialize_with_options(message, example, &strict).unwrap();
        message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
    };
    for method in all_methods(descriptors()) {
        let (input, output) = (example(&method.input()), example(&method.output()));
        if method.output().full_name() == "google.protobuf.Empty" {
            continue;
        }
        let (Some(input), Some(output)) = (input, output) else {
            panic!("{} has no examples", method.full_name())
        };
        assert_eq!(rewritten(method.input(), &input, SerializeOptions::new()), input);
        let answers = SerializeOptions::new().skip_default_fields(false);
        // The comparison is of text, so that the order counts too.
        assert_eq!(rewritten(method.output(), &output, answers).to_string(), output.to_string());
    }
}

#[test]
fn every_form_of_binding_is_described() {
    let document = openapi::document(&things(), &["test.v1.Things"]).unwrap();
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    let ids: BTreeSet<_> = operations(&document)
        .iter()
        .map(|(_, operation)| operation["operationId"].clone().to_string())
        .collect();
    assert_eq!(ids.len(), operations(&document).len());
    assert!(ids.contains("\"CreateByPut\"") && !ids.contains("\"Unbound\""), "{ids:?}");

    let names = |pointer: &str, place: &str| -> Vec<String> {
        let parameters = at(pointer);
        let parameters =
            parameters.as_array().unwrap().iter().filter(|parameter| parameter["in"] == place);
        parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
    };
    let get = "/paths/~1v1~1things~1{id}/get/parameters";
    assert_eq!(names(get, "path"), ["id"]);
    let query = names(get, "query");
    for name in ["name", "tags", "changedTime", "maybeFlag", "nested.pageSize", "left", "colors"] {
        assert!(query.iter().any(|query| query == name), "{name} in {query:?}");
    }
    for name in ["id", "labels", "free", "any", "many", "nested.deeper.id", "inner.name", "etag.x"]
    {
        assert!(!query.iter().any(|query| query == name), "{name}");
    }
    let put = "/paths/~1v1~1boxes~1{id}~1things/put/parameters";
    assert!(!names(put, "query").iter().any(|name| name.starts_with("nested.")));
    assert_eq!(
        at("/paths/~1v1~1{name}/get/parameters/0/description"),
        json!("Has the form `shelves/*/books/*`, with its slashes as they are.")
    );

    let update = at("/paths/~1v1~1things~1{id}/patch");
    assert_eq!(update["summary"], "Change a thing");
    assert_eq!(
        update["description"],
        "Only what the mask names.\n\nNeeds the scope `settings:write`."
    );
    assert_eq!(update["x-required-scopes"], json!(["settings:write"]));
    assert_eq!(update["requestBody"]["required"], false);
    let body = at("/components/schemas/UpdateBody");
    assert_eq!(body.get("required"), None);
    assert_eq!(body["properties"].get("etag"), None);
    assert_eq!(body["properties"]["nested"]["$ref"], "#/components/schemas/NestedPatch");
    assert_eq!(at("/paths/~1v1~1things/post/requestBody/required"), true);
    assert_eq!(at("/components/schemas/CreateBody/required"), json!(["id"]));

    let thing = at("/components/schemas/Thing");
    let required: Vec<&str> =
        thing["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(
        required.contains(&"tags") && required.contains(&"etag") && required.contains(&"labels")
    );
    assert!(required.contains(&"note"), "callers write it");
    for name in ["nested", "changedTime", "left", "maybeFlag"] {
        assert!(!required.contains(&name), "{name}");
    }
    assert_eq!(thing["properties"]["big"], json!({"type": "string", "format": "int64"}));
    assert_eq!(thing["properties"]["maybeBig"], json!({"type": "string", "format": "int64"}));
    assert_eq!(
        thing["properties"]["changedTime"],
        json!({"type": "string", "format": "date-time"})
    );
    assert_eq!(
        thing["properties"]["inner"],
        json!({"$ref": "#/components/schemas/Thing", "description": "A thing within."})
    );
    assert_eq!(
        thing["properties"]["labels"]["additionalProperties"],
        json!({"type": "integer", "format": "int32"})
    );
    assert_eq!(at("/components/schemas/Color/enum"), json!(["COLOR_UNSPECIFIED", "RED", "GREEN"]));
}

/// The document of the two services with one name.
fn managed_document() -> Value {
    openapi::document(&managed(), &["test.v1.BoxService", "test.v2.BoxService"]).unwrap()
}

#[test]
fn methods_and_messages_of_one_name_in_two_packages_stay_apart() {
    let document = managed_document();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations
        .iter()
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), operations.len());
    for id in ["GetBox", "TestGetBox", "TestGetBoxByPost", "GetCompany"] {
        assert!(ids.contains(id), "{id} in {ids:?}");
    }
    let schemas = &document["components"]["schemas"];
    for (name, described) in
        [("Box", "A box."), ("TestBox", "Another box."), ("BoxPatch", "A box.")]
    {
        assert_eq!(schemas[name]["description"], described);
    }
}

#[test]
fn a_body_that_is_one_field_leaves_the_rest_to_the_parameters() {
    let document = managed_document();
    let update = &document["paths"]["/v1/companies/{company_id}/{collection}/{id}"]["patch"];
    let mut required = BTreeSet::new();
    let mut parameters = BTreeMap::new();
    let is_header = |parameter: &&Value| parameter.get("$ref").is_some();
    for parameter in update["parameters"].as_array().unwrap().iter().filter(|one| !is_header(one)) {
        let name = parameter["name"].as_str().unwrap();
        if parameter["required"] == true {
            required.insert(name);
        }
        assert!(parameters.insert(name, parameter).is_none(), "{name}");
    }
    let places =
        |place| parameters.values().filter(move |parameter| parameter["in"] == place).count();
    assert_eq!((places("path"), places("query")), (3, 10));
    assert_eq!(required, BTreeSet::from(["company_id", "collection", "id"]));
    let mask = parameters["updateMask"];
    assert_eq!((&mask["schema"], &mask["example"]), (&json!({"type": "string"}), &json!("name")));
    assert_eq!(mask["description"], "Which fields to write.");
    assert_eq!(parameters["ids"]["schema"]["type"], "array");
    assert_eq!(parameters["readTime"]["schema"]["format"], "date-time");
    assert_eq!(parameters["company_id"]["example"], "cmp_1");
    for name in ["requestId", "validateOnly", "etag", "revision", "state", "successorId"] {
        assert!(parameters.contains_key(name), "{name}");
    }
    let body = &update["requestBody"];
    assert_eq!(body["required"], true);
    let content = &body["content"]["application/json"];
    assert_eq!(content["schema"]["$ref"], "#/components/schemas/BoxPatch");
    assert_eq!(content["example"], json!({"name": "Small"}));

    let list = &document["paths"]["/v1/companies/{company_id}/{collection}"]["get"]["parameters"];
    let filter = list.as_array().unwrap().iter().find(|parameter| parameter["name"] == "filter");
    assert_eq!(filter.unwrap()["required"], true);
    let delete = &document["paths"]["/v1/companies/{company_id}/{collection}/{id}"]["delete"];
    assert!(delete.get("requestBody").is_none() && delete["parameters"].is_array());
}

#[test]
fn what_may_be_written_by_whom_is_described() {
    let document = managed_document();
    let schemas = &document["components"]["schemas"];
    let (output, input) = (&schemas["Box"], &schemas["BoxPatch"]);
    let position = json!({
        "type": "integer", "format": "int32", "description": "Where it stands.", "readOnly": true,
    });
    assert_eq!(output["properties"]["position"], position);
    assert_eq!(input["properties"].get("position"), None);
    for schema in [output, input] {
        let described = |name: &str| schema["properties"][name]["description"].clone();
        assert_eq!(described("id"), "Its id.\n\nGiven once, and never changed after.");
        assert_eq!(described("password"), "A word to the server.\n\nSent, and never answered.");
    }
    // An update gives what it changes. Null clears what may be empty.
    assert_eq!(input.get("required"), None);
    assert_eq!(input["properties"]["name"]["type"], "string");
    assert_eq!(input["properties"]["note"]["type"], json!(["string", "null"]));
    let required = output["required"].as_array().unwrap();
    assert!(required.contains(&json!("isDefault")) && !required.contains(&json!("free")));
}

async fn get(path: &str) -> (http::response::Parts, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (parts, body) = docs::router().oneshot(request).await.unwrap().into_parts();
    (parts, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn the_page_and_all_it_loads_are_served_from_here() {
    let (parts, body) = get("/openapi.json").await;
    assert_eq!(parts.headers["content-type"], "application/json");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), document());

    let (parts, page) = get("/docs").await;
    assert_eq!(parts.headers["content-type"], "text/html; charset=utf-8");
    let policy = parts.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'")
            && !policy.contains("unsafe-eval")
            && !policy.contains("http")
    );
    let sources: Vec<&str> =
        page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(sources, ["docs/scalar.js", "docs/start.js"], "a proxy may put a path before them");
    for source in sources {
        let (parts, script) = get(&format!("/{source}")).await;
        assert_eq!(
            (parts.status.as_u16(), parts.headers["content-type"].to_str().unwrap()),
            (200, "text/javascript; charset=utf-8")
        );
        assert!(script.contains("createApiReference"), "{source}");
    }
    assert_eq!(get("/docs/nope.js").await.0.status, 404);
}

#[test]
fn a_path_that_can_become_another_ones_may_be_answered_with_405() {
    let document = document();
    let delete = &document["paths"]["/admin/v1/companies/{company_id}/{collection}/{id}"]["delete"];
    assert!(delete["responses"]["405"].is_object(), "{delete}");
    let headers = &document["components"]["responses"]["MethodNotAllowed"]["headers"];
    assert!(headers["Allow"].is_object(), "{headers}");
    let fixed = &document["paths"]["/admin/v1/keys"]["get"]["responses"];
    assert!(fixed["200"].is_object() && fixed["405"].is_null(), "{fixed}");
}

#[test]
fn a_collection_is_one_of_those_there_are() {
    let document = document();
    let path = "/admin/v1/companies/{company_id}/{collection}";
    let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
    let collection = parameters.iter().find(|one| one["name"] == "collection").unwrap();
    assert_eq!(collection["schema"], json!({"$ref": "#/components/schemas/Collection"}));
    let names = ["customer_tags", "referral_sources", "life_cycles", "action_statuses"];
    assert_eq!(document["components"]["schemas"]["Collection"]["enum"], json!(names));
}

#[test]
fn creating_needs_a_name_and_updating_does_not() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for name in ["Entry", "Company", "Business", "Key"] {
        let required = |form: &str| schemas[format!("{name}{form}")]["required"].clone();
        assert_eq!(required("Input")[0], "name", "{name}");
        assert_eq!(required("Patch"), Value::Null, "{name}");
        // A new thing has no etag.
        let has_etag =
            |form: &str| schemas[format!("{name}{form}")]["properties"].get("etag").is_some();
        assert_eq!(
            (has_etag("Input"), has_etag("Patch"), has_etag("")),
            (false, true, true),
            "{name}"
        );
        for always in ["id", "name", "createdTime", "lastUpdatedTime"] {
            assert!(required("").as_array().unwrap().contains(&json!(always)), "{name}: {always}");
        }
    }
    // The entries within a batch too.
    let of = |change: &str| schemas[change]["properties"]["entry"]["$ref"].clone();
    assert_eq!(of("CreateEntry"), "#/components/schemas/EntryInput");
    assert_eq!(of("UpdateEntry"), "#/components/schemas/EntryPatch");
}

#[test]
fn only_strict_bodies_exclude_other_names() {
    let document = document();
    for (name, operation) in operations(&document) {
        let Some(body) = operation.get("requestBody") else { continue };
        let schema = &body["content"]["application/json"]["schema"]["$ref"];
        let schema = document.pointer(schema.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
        let is_strict = name.contains(" /admin/");
        assert_eq!(schema["additionalProperties"] == false, is_strict, "{name}");
    }
}

#[test]
fn names_are_short_and_no_schema_has_a_title() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        assert_eq!(schema.get("title"), None, "generators take it for the name of {name}");
        assert!(!name.ends_with("Request"), "generators give {name} to an operation's parameters");
    }
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(!id.ends_with(|c: char| c.is_ascii_digit()), "{name}: {id}");
    }
    let group = |index: usize| &document["x-tagGroups"][index]["tags"][0];
    assert_eq!(group(0), "moego.business.business.v1.BusinessService");
    assert_eq!(document["tags"][0]["name"], *group(0));
    assert_eq!(group(1), "customersettings.v1.BusinessService");
}

#[test]
fn the_server_is_one_with_the_default_address() {
    let address = customer_settings_server::config::Config::default().listen;
    assert_eq!(document()["servers"][0]["url"], format!("http://{address}"));
}

#[tokio::test]
async fn answers_have_the_headers_that_the_document_names() {
    let server = crate::harness::Server::demo().await;
    let secret = server.any_key().await;
    let document = document();
    for (path, header) in [
        ("/v1/companies/cmp_001", "/v1/companies/{id}"),
        ("/v1/businesses/biz_001", "/v1/businesses/{id}"),
        ("/admin/v1/companies/cmp_001", "/admin/v1/companies/{company_id}"),
        ("/admin/v1/companies", "/admin/v1/companies"),
        ("/admin/v1/companies/cmp_001/changes", "/admin/v1/companies/{company_id}/changes"),
        (
            "/admin/v1/companies/cmp_001/customer_tags",
            "/admin/v1/companies/{company_id}/{collection}",
        ),
        ("/admin/v1/keys", "/admin/v1/keys"),
        (
            "/v1/setting/companies/cmp_001/customer/tags:list",
            "/v1/setting/companies/{company_id}/customer/tags:list",
        ),
    ] {
        let answer = server.get(path).bearer(&secret).send().await;
        assert_eq!(answer.status, 200, "{path}");
        let headers = &document["paths"][header]["get"]["responses"]["200"]["headers"];
        for name in ["ETag", "Settings-Revision", "X-Request-Id"] {
            let is_there = answer.header(&name.to_lowercase()).is_some();
            assert_eq!(is_there, headers.get(name).is_some(), "{path}: {name}");
        }
        let parameters = document["paths"][header]["get"]["parameters"].to_string();
        let has_revision = headers.get("Settings-Revision").is_some();
        assert_eq!(parameters.contains("SettingsMinRevision"), has_revision, "{path}");
    }
}
