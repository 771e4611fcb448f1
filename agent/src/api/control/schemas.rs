//! JSON schemas of what goes over the control socket, made of the types that are read and written.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where the document keeps the schemas that others refer to.
const PLACE: &str = "/components/schemas";

/// Makes schemas, and keeps those that others refer to.
#[derive(Debug)]
pub(super) struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
        // What is read and what is written of one type can differ, and would have one name.
        let requests = settings().for_deserialize().with(|settings| settings.inline_subschemas = true);
        let answers = settings().for_serialize().with(|settings| settings.definitions_path = PLACE.into());
        Self { requests: requests.into_generator(), answers: answers.into_generator() }
    }

    /// Of something that is read, whole.
    pub(super) fn of_request<T: JsonSchema>(&mut self) -> Value {
        self.requests.root_schema_for::<T>().to_value()
    }

    /// Of something that is written; it may refer to others.
    pub(super) fn of_answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// The schemas that others refer to, by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        self.answers.take_definitions(true)
    }

    /// OpenAPI's parameter objects for the fields of a structure that is read of the path or of the query.
    pub(super) fn parameters<T: JsonSchema>(&mut self, place: &str) -> Vec<Value> {
        let schema = self.of_request::<T>();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        let parameter = |(name, mut schema): (String, Value)| {
            let mut parameter =
                json!({"name": name, "in": place, "required": required.contains(&json!(name))});
            if let Some(schema) = schema.as_object_mut() {
                never_null(schema);
                let examples = schema.remove("examples");
                let example = examples.and_then(|examples| examples.get(0).cloned());
                let said = [("description", schema.remove("description")), ("example", example)];
                for (key, value) in said {
                    value.into_iter().for_each(|value| parameter[key] = value);
                }
            }
            parameter["schema"] = schema;
            parameter
        };
        fields.into_iter().map(parameter).collect()
    }
}

/// Takes `null` out of what a text in a path or query may be: it is left out instead.
fn never_null(schema: &mut Map<String, Value>) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let kinds: Vec<&Value> = kinds.iter().filter(|kind| **kind != "null").collect();
        if let [kind] = *kinds {
            let kind = kind.clone();
            schema.insert("type".into(), kind);
        }
    }
}
