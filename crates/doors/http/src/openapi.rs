//! The OpenAPI document, made from the table of routes: what is served is what it says.

mod params;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Error;
use crate::place::ErrorBody;
use crate::route::{Permission, Route};

pub use params::{Holds, Query};

/// A schema and those that it refers to, by name.
#[derive(Clone, Default)]
pub struct Shape {
    name: String,
    all: Vec<(String, RefOr<Schema>)>,
}

/// The shape of a type.
#[must_use]
pub fn shape<T: ToSchema + PartialSchema>() -> Shape {
    let name = T::name().into_owned();
    let mut all = Vec::new();
    T::schemas(&mut all);
    all.push((name.clone(), T::schema()));
    Shape { name, all }
}

/// A body as the document tells it.
#[derive(Clone, Copy, Default)]
pub enum BodyDoc {
    /// None.
    #[default]
    None,
    /// JSON of a shape.
    Json(fn() -> Shape),
    /// Lines of JSON of a shape.
    Lines(fn() -> Shape),
    /// JSON of the first shape, or lines of JSON of the second.
    JsonOrLines(fn() -> Shape, fn() -> Shape),
    /// JSON of a shape, or events whose data is one of its parts.
    JsonOrEvents(fn() -> Shape),
    /// Lines of JSON of a shape, or events whose data is one of them.
    LinesOrEvents(fn() -> Shape),
    /// Another media type, and what it holds.
    Other(&'static str, &'static str),
}

/// What a route is for.
#[derive(Clone, Copy, Default)]
pub struct Doc {
    /// Which routes it stands with.
    pub group: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Query parameters.
    pub query: &'static [Query],
    /// What it takes.
    pub takes: BodyDoc,
    /// Whether it may take nothing instead.
    pub optional: bool,
    /// What it answers.
    pub answers: BodyDoc,
    /// The status of success, 200 when 0.
    pub status: u16,
    /// Other statuses that are no errors, and when they come.
    pub also: &'static [(u16, &'static str)],
}

/// The version of the API, as its paths have it. The program's own is for those who may ask for it.
const API_VERSION: &str = "v1";

/// The methods that OpenAPI 3.1 knows.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "OPTIONS"];

/// The whole document. It is readable by everybody, so nothing goes into it but the table of routes.
pub(crate) fn document(routes: &[Route]) -> Result<String, Error> {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut shapes: BTreeMap<String, Value> = BTreeMap::new();
    keep(&mut shapes, shape::<ErrorBody>());
    // The document has no place for methods that are not in its specification.
    for route in routes.iter().filter(|route| METHODS.contains(&route.method.as_str())) {
        let operation = operation(route, &mut shapes);
        let method = route.method.as_str().to_lowercase();
        paths.entry(route.pattern).or_default().insert(method, operation);
    }
    let paths: Map<String, Value> = paths
        .into_iter()
        .map(|(pattern, methods)| (pattern.replace("{*", "{"), Value::Object(methods)))
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cairn",
            "version": API_VERSION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "The REST door of a Cairn node. Errors have one shape, `ErrorBody`.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic",
                    "description": "A user and its password, or any user name and a token." },
            },
        },
    });
    serde_json::to_string(&document).map_err(|error| Error::Internal { detail: error.to_string() })
}

fn operation(route: &Route, shapes: &mut BTreeMap<String, Value>) -> Value {
    let doc = &route.doc;
    let success = if doc.status == 0 { 200 } else { doc.status };
    let mut answer = json!({ "description": doc.summary });
    if let Some(content) = content(doc.answers, shapes) {
        answer["content"] = content;
    }
    let mut error = json!({
        "description": "An error.",
        "content": { "application/json": { "schema": reference("ErrorBody") } },
    });
    if route.pattern.starts_with("/fs") || route.pattern.starts_with("/auth") {
        // Browsers get it as a page.
        error["content"]["text/html"] = json!({ "schema": { "type": "string" } });
    }
    let mut responses = Map::new();
    responses.insert(success.to_string(), answer);
    for (status, when) in doc.also {
        responses.insert(status.to_string(), json!({ "description": when }));
    }
    responses.insert("default".to_owned(), error);
    let mut operation = json!({
        "tags": [doc.group],
        "summary": doc.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": responses,
        "x-cairn-permission": route.info().permission,
    });
    if let Some(content) = content(doc.takes, shapes) {
        // In a binary format nothing is a list of nothing.
        let required = !doc.optional && !matches!(doc.takes, BodyDoc::Other(..));
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    if !matches!(route.permission, Some(Permission::Public | Permission::Description)) {
        operation["security"] = json!([{}, { "bearer": [] }, { "basic": [] }]);
    }
    operation
}

/// `get_api_v1_projects_project_datasets`; a path that ends with a slash is another one than without.
fn operation_id(route: &Route) -> String {
    let words = route.pattern.split(['/', '{', '}', '*', '.']).filter(|word| !word.is_empty());
    let mut words: Vec<&str> = words.collect();
    if route.pattern.ends_with('/') {
        words.push("index");
    }
    format!("{}_{}", route.method.as_str().to_lowercase(), words.join("_"))
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.pattern.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let name = name.trim_start_matches('*');
        Some(json!({
            "name": name, "in": "path", "required": true, "schema": params::in_path(name),
        }))
    });
    let in_query = route.doc.query.iter().map(|query| {
        json!({
            "name": query.name, "in": "query", "required": false, "description": query.about,
            "schema": query.holds.schema(),
        })
    });
    in_path.chain(in_query).collect()
}

fn content(body: BodyDoc, shapes: &mut BTreeMap<String, Value>) -> Option<Value> {
    let (media_type, schema) = match body {
        BodyDoc::None => return None,
        BodyDoc::Json(shape) => ("application/json", reference(&keep(shapes, shape()))),
        BodyDoc::Lines(shape) => (crate::call::LINES, reference(&keep(shapes, shape()))),
        BodyDoc::JsonOrLines(whole, line) => {
            let mut both = content(BodyDoc::Json(whole), shapes)?;
            let lines = content(BodyDoc::Lines(line), shapes)?;
            both.as_object_mut()?.extend(lines.as_object()?.clone());
            return Some(both);
        }
        BodyDoc::JsonOrEvents(whole) => {
            let mut both = content(BodyDoc::Json(whole), shapes)?;
            let events = json!({ "schema": { "type": "string" } });
            both.as_object_mut()?.insert(crate::rest::follow::EVENTS.to_owned(), events);
            return Some(both);
        }
        BodyDoc::LinesOrEvents(line) => {
            let mut both = content(BodyDoc::Lines(line), shapes)?;
            let events = json!({ "schema": { "type": "string" } });
            both.as_object_mut()?.insert(crate::rest::follow::EVENTS.to_owned(), events);
            return Some(both);
        }
        // What stands at a path says itself what it is.
        BodyDoc::Other("*/*", about) => ("*/*", json!({ "description": about })),
        BodyDoc::Other("application/json", about) => {
            ("application/json", json!({ "type": "object", "description": about }))
        }
        BodyDoc::Other(media_type, about) => {
            (media_type, json!({ "type": "string", "format": "binary", "description": about }))
        }
    };
    Some(json!({ media_type: { "schema": schema } }))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn keep(shapes: &mut BTreeMap<String, Value>, shape: Shape) -> String {
    for (name, schema) in shape.all {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        shapes.insert(name, schema);
    }
    shape.name
}
