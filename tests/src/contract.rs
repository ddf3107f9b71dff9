//! `openapi.yaml` as a judge: every answer on a stage must be one that the file documents for its route and status.
//!
//! The file lets answers grow new fields, since clients ignore those they do not know. Here a field that is not in the
//! file is an error, because it is the file that would be behind.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::request::root;
use crate::{Answer, Request, Route};

/// The file, and what has been held against it so far.
pub struct Contract {
    document: Value,
    validators: Mutex<HashMap<String, Validator>>,
    seen: Mutex<BTreeSet<(String, u16)>>,
}

impl Contract {
    /// Reads the file.
    #[must_use]
    pub fn read() -> Self {
        let text = std::fs::read_to_string(root().join("openapi.yaml")).expect("openapi.yaml is there");
        let document = serde_yaml_ng::from_str(&text).expect("openapi.yaml is YAML with text keys");
        Self { document, validators: Mutex::default(), seen: Mutex::default() }
    }

    /// The whole file.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Routes and statuses that were answered so far.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<(String, u16)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every route of the file and the statuses it documents.
    #[must_use]
    pub fn documented(&self) -> BTreeSet<(String, u16)> {
        let mut all = BTreeSet::new();
        for (path, item) in self.document["paths"].as_object().expect("there are paths") {
            for (method, operation) in item.as_object().expect("a path item").iter().filter(|(name, _)| is_method(name))
            {
                let statuses = operation["responses"].as_object().expect("an operation has responses").keys();
                let key = format!("{} {path}", method.to_uppercase());
                all.extend(statuses.map(|status| (key.clone(), status.parse().expect("a status is a number"))));
            }
        }
        all
    }

    /// The operation of a route.
    #[must_use]
    pub fn operation(&self, route: Route) -> &Value {
        let (method, path) = route.key().split_once(' ').expect("a method and a path");
        let operation = &self.document["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "openapi.yaml lacks {}", route.key());
        operation
    }

    /// What a reference stands for, or the value itself.
    #[must_use]
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let pointer = reference.trim_start_matches('#');
        self.document.pointer(pointer).unwrap_or_else(|| panic!("openapi.yaml has no {reference}"))
    }

    /// Holds an answer, and the request if it was accepted, against the file.
    pub fn check(&self, request: &Request, answer: &Answer) {
        let key = request.route.key();
        let at = format!("{key} {}", answer.status);
        let operation = self.operation(request.route);
        let documented = &operation["responses"][answer.status.to_string()];
        assert!(documented.is_object(), "openapi.yaml does not document {at}: {answer:?}");
        let documented = self.resolve(documented);
        self.check_headers(&at, documented, answer);
        self.check_body(&at, documented, answer);
        if answer.status < 300
            && let Some(body) = request.body()
        {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{at} accepted a body that openapi.yaml does not know: {body}");
            self.validate(&format!("request of {key}"), schema, &body);
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert((key.to_owned(), answer.status));
    }

    fn check_headers(&self, at: &str, documented: &Value, answer: &Answer) {
        assert_eq!(answer.headers.get("cache-control").map(String::as_str), Some("no-store"), "{at}: {answer:?}");
        let none = Map::new();
        let headers = documented["headers"].as_object().unwrap_or(&none);
        for (name, header) in headers {
            let header = self.resolve(header);
            match answer.headers.get(&name.to_lowercase()) {
                None => assert_ne!(header["required"], true, "{at} lacks the header {name}: {answer:?}"),
                Some(text) => {
                    let value = text.parse::<u64>().map_or_else(|_| text.clone().into(), Value::from);
                    self.validate(&format!("{at}, header {name}"), &header["schema"], &value);
                }
            }
        }
        for name in answer.headers.keys().filter(|name| !matches!(name.as_str(), "cache-control" | "content-type")) {
            let known = headers.keys().any(|header| header.eq_ignore_ascii_case(name));
            assert!(known, "openapi.yaml does not document the header {name} of {at}");
        }
    }

    fn check_body(&self, at: &str, documented: &Value, answer: &Answer) {
        let sent = answer.headers.get("content-type");
        let Some(content) = documented["content"].as_object() else {
            assert!(answer.body.is_none() && sent.is_none(), "{at} has a body that is not documented: {answer:?}");
            return;
        };
        let sent = sent.unwrap_or_else(|| panic!("{at} has no content type: {answer:?}"));
        let content = content.get(sent).unwrap_or_else(|| panic!("openapi.yaml does not document {sent} for {at}"));
        let body = answer.body.as_ref().unwrap_or_else(|| panic!("{at} has no body"));
        self.validate(at, &content["schema"], body);
        if sent == "application/problem+json" {
            assert_eq!(body["status"], answer.status, "{at}: status and body differ");
            let examples = content["examples"].as_object().expect("problems have examples").values();
            let known =
                examples.map(|example| &self.resolve(example)["value"]["type"]).any(|kind| *kind == body["type"]);
            assert!(known, "openapi.yaml has no example of {} for {at}", body["type"]);
        }
    }

    /// Holds a value against a schema of the file. `name` stands for the schema: it is compiled once.
    pub fn validate(&self, name: &str, schema: &Value, value: &Value) {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = validators.entry(name.to_owned()).or_insert_with(|| self.validator(name, schema));
        let errors: Vec<String> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name} is not as openapi.yaml says: {errors:#?}\n{value:#}");
    }

    fn validator(&self, name: &str, schema: &Value) -> Validator {
        let mut components = self.document["components"]["schemas"].clone();
        close(&mut components);
        let mut whole = schema.clone();
        close(&mut whole);
        whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        whole["components"] = json!({ "schemas": components });
        let built = jsonschema::options().should_validate_formats(true).build(&whole);
        built.unwrap_or_else(|error| panic!("the schema of {name} is not sound: {error}"))
    }
}

/// Whether a member of a path item is an operation.
#[must_use]
pub fn is_method(name: &str) -> bool {
    matches!(name, "get" | "put" | "post" | "delete" | "patch" | "head" | "options")
}

/// Makes every object schema refuse fields that it does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "object") && fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
