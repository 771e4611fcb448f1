//! The OpenAPI document of the control interface: `GET /v1/openapi.json` and `lvsd openapi`.

use super::super::messages::{Problem, ProblemKind};
use super::endpoint::{Endpoint, Role, Signature};
use super::endpoints;
use super::schemas::Schemas;
use serde_json::{Map, Value, json};

/// The version of OpenAPI: the first whose schemas are JSON Schema as it is (2020-12).
const OPENAPI: &str = "3.1.0";

/// What stands at the document's top.
const ABOUT: &str = "What lvsctl talks to lvsd with: HTTP and JSON on the unix socket /run/lvsd/control.sock, and over \
    TLS where [remote] is configured. What is not a success is answered with a Problem. What this version does not know \
    in a request is refused; answers may have more in a later version. Times are microseconds since 1970, in UTC.";

/// Who may what: the tags of operations.
const READ: &str = "whoever can open the socket; over TLS whoever is in remote.read or remote.write";
const WRITE: &str = "root and lvsd's own user; over TLS whoever is in remote.write";

/// What any operation may answer.
const ANY: [ProblemKind; 2] = [ProblemKind::Denied, ProblemKind::Stopping];

/// The document.
pub fn document() -> Map<String, Value> {
    let (mut schemas, mut paths, mut problems) = (Schemas::new(), Map::new(), Map::new());
    let problem = schemas.of_answer::<Problem>();
    for endpoint in endpoints() {
        let signature = (endpoint.signature)(&mut schemas);
        let kinds = kinds(&endpoint, &signature);
        for kind in &kinds {
            problems.entry(name(*kind)).or_insert_with(|| response(kind.about(), &problem));
        }
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(&endpoint, signature, &kinds);
    }
    let info = json!({
        "title": "lvsd",
        "summary": "The control interface of an LVS load balancer",
        "description": ABOUT,
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    let tags = json!([{"name": "read", "description": READ}, {"name": "write", "description": WRITE}]);
    let servers = json!([{"url": "http://localhost", "description": "any name will do: the socket says whose lvsd it is"}]);
    let parts = [
        ("openapi", OPENAPI.into()),
        ("info", info),
        ("servers", servers),
        ("tags", tags),
        ("paths", paths.into()),
        ("components", json!({"responses": problems, "schemas": schemas.finish()})),
    ];
    parts.into_iter().map(|(key, part)| (key.to_owned(), part)).collect()
}

/// What an operation may answer in place of a success.
fn kinds(endpoint: &Endpoint, signature: &Signature) -> Vec<ProblemKind> {
    let is_read = signature.body.is_some() || !signature.parameters.is_empty();
    let bad = is_read.then_some(ProblemKind::BadRequest);
    bad.into_iter().chain(endpoint.problems.iter().copied()).chain(ANY).collect()
}

fn operation(endpoint: &Endpoint, signature: Signature, kinds: &[ProblemKind]) -> Value {
    let mut responses = Map::new();
    responses.insert("200".into(), response("it is so, or it was done", &signature.answer));
    for kind in kinds {
        let place = json!({"$ref": format!("#/components/responses/{}", name(*kind))});
        responses.insert(kind.status().as_u16().to_string(), place);
    }
    let mut operation = json!({
        "operationId": id(endpoint),
        "summary": endpoint.summary,
        "tags": [match signature.role { Role::Read => "read", Role::Write => "write" }],
        "responses": responses,
    });
    if !signature.parameters.is_empty() {
        operation["parameters"] = signature.parameters.into();
    }
    if let Some(schema) = signature.body {
        let mut content = json!({"schema": schema});
        if let Some(example) = &endpoint.example {
            content["example"] = example.clone();
        }
        operation["requestBody"] = json!({"required": true, "content": {"application/json": content}});
    }
    operation
}

/// `get_bgp_rib_out`: what generators of clients name a function by.
fn id(endpoint: &Endpoint) -> String {
    let words = endpoint.path.split(['/', '.']).filter(|word| !word.is_empty() && *word != "v1");
    let words = words.filter(|word| !word.starts_with('{'));
    [endpoint.method].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

/// `NotFound`.
fn name(kind: ProblemKind) -> String {
    format!("{kind:?}")
}

fn response(about: &str, schema: &Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every value below, with the place of each.
    fn walk<'a>(value: &'a Value, place: &str, see: &mut impl FnMut(&str, &'a Value)) {
        see(place, value);
        let fields = value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value));
        let items = value.as_array().into_iter().flatten().enumerate();
        for (key, value) in fields.chain(items.map(|(index, value)| (index.to_string(), value))) {
            walk(value, &format!("{place}/{key}"), see);
        }
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        let document = Value::from(document());
        walk(&document, "#", &mut |place, value| {
            if let Some(target) = value.get("$ref") {
                let path = target.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(document.pointer(path).is_some(), "{place} refers to {target}");
            }
        });
    }

    #[test]
    fn operations_have_names_of_their_own_and_say_what_they_are_for() {
        let endpoints = endpoints();
        let ids: BTreeSet<String> = endpoints.iter().map(id).collect();
        assert_eq!(ids.len(), endpoints.len(), "{ids:?}");
        assert!(ids.contains("get_bgp_rib_out") && ids.contains("get_openapi_json"), "{ids:?}");
        for endpoint in &endpoints {
            let signature = (endpoint.signature)(&mut Schemas::new());
            assert!(endpoint.summary.len() > 10, "{}", endpoint.path);
            assert_eq!(endpoint.example.is_some(), signature.body.is_some(), "{}: an example", endpoint.path);
            for parameter in signature.parameters {
                assert!(parameter["description"].is_string(), "{} {parameter}", endpoint.path);
                assert!(!parameter["example"].is_null(), "{} {parameter}", endpoint.path);
            }
        }
    }

    #[test]
    fn a_text_of_the_query_is_never_null_and_whoever_changes_things_has_to_be_allowed_to() {
        let document = Value::from(document());
        let status = &document["paths"]["/v1/status"]["get"];
        let parameter = |name: &str| {
            let all = status["parameters"].as_array().into_iter().flatten();
            all.into_iter().find(|parameter| parameter["name"] == name).map(|parameter| &parameter["schema"])
        };
        assert_eq!(parameter("service"), Some(&json!({"type": "string"})));
        assert_eq!(parameter("brief").map(|schema| &schema["type"]), Some(&json!("boolean")));
        assert_eq!(status["tags"], json!(["read"]));
        assert_eq!(document["paths"]["/v1/depool"]["post"]["tags"], json!(["write"]));
    }
}
