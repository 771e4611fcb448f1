//! Wikimedia's service-checker as an oracle for the examples in a service's description.
//!
//! cases.json has descriptions in the manner of real services, what the service answers, and, where lvsd is meant to differ,
//! the reason and whether lvsd's check passes. outcomes.json has what service-checker said of each and which requests it
//! made: version 0.2.1 (wikimedia/operations-software-service-checker at 12f1728) on Python 3.11 with urllib3 1.26. It is
//! written anew, against the same little server, by
//!
//! ```sh
//! SERVICE_CHECKER=/path/to/service-checker-swagger cargo test -p lvsd-health --test service_checker
//! ```

mod service;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use health::{Check, Failure, HttpFailure, Kind, OpenApi, OpenApiParts, Outcome, OwnSockets, Timing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use service::{HOST, Service};

/// Says where the oracle is, if it is to be asked anew.
const ORACLE: &str = "SERVICE_CHECKER";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    name: String,
    /// The description; or what is served in its place.
    description: Option<serde_json::Value>,
    text: Option<String>,
    status: Option<u16>,
    /// By method and path.
    answers: BTreeMap<String, Answer>,
    /// Why lvsd is not of service-checker's opinion, and what its own is.
    differs: Option<String>,
    passes: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    status: u16,
    headers: BTreeMap<String, serde_json::Value>,
    body: String,
}

/// What service-checker made of a case.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opinion {
    name: String,
    passes: bool,
    /// The last line that it printed.
    said: String,
    /// Its requests but for the description, sorted.
    asked: Vec<String>,
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/service_checker").join(name)
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read(file(name)).expect(name);
    serde_json::from_slice(&text).expect(name)
}

/// Asks the oracle.
fn opinion(oracle: &str, case: &Case) -> Opinion {
    let service = Service::start(case);
    let port = service.address.port();
    let mut command = Command::new(oracle);
    let output =
        command.args(["127.0.0.1", &format!("http://{HOST}:{port}")]).output().expect("service-checker");
    let [said, error] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    // What it does not expect ends it with a trace of Python's, whose last line is the reason.
    let said = if said.is_empty() { error.lines().last().unwrap_or_default().to_owned() } else { said };
    let said = said.trim_end().replace(&format!(":{port}"), ":PORT");
    Opinion { name: case.name.clone(), passes: output.status.success(), said, asked: service.asked() }
}

/// Lets lvsd check; the requests that it made.
async fn checked(case: &Case) -> (Outcome, Vec<String>) {
    let service = Service::start(case);
    let parts = OpenApiParts { host: Some(HOST.to_owned()), ..OpenApiParts::default() };
    let timing = Timing::new(Duration::from_secs(60), Duration::from_secs(30), 3, 2).expect("a timing");
    let check = Check::new(service.address, Kind::OpenApi(OpenApi::new(parts).expect("valid")), timing);
    (health::probe::probe(&check, &OwnSockets, 0).await, service.asked())
}

/// Whether both name the same examples as failed.
fn names_the_same(outcome: &Outcome, said: &str) -> bool {
    let Err(Failure::Http(HttpFailure::Examples { failed, first, .. })) = outcome else { return true };
    let told = [") is WARNING: ", ") is CRITICAL: ", " - generic error: "];
    let count: usize = told.iter().map(|words| said.matches(words).count()).sum();
    let is_told = |endpoint: &str, title: &str| {
        let path = endpoint.split(' ').nth(1).unwrap_or_default();
        said.contains(&format!("{path} ({title}) is ")) || said.contains(&format!("{path} - generic error: "))
    };
    count == *failed as usize && first.iter().all(|example| is_told(&example.endpoint, &example.title))
}

#[tokio::test]
async fn examples_are_tried_and_judged_as_service_checker_does_or_for_a_reason_otherwise() {
    let cases: Vec<Case> = read("cases.json");
    if let Ok(oracle) = std::env::var(ORACLE) {
        let opinions: Vec<_> = cases.iter().map(|case| opinion(&oracle, case)).collect();
        let text = serde_json::to_string_pretty(&opinions).expect("JSON");
        std::fs::write(file("outcomes.json"), text + "\n").expect("written");
    }
    let opinions: Vec<Opinion> = read("outcomes.json");
    let names = |all: Vec<&str>| all.join("\n");
    assert_eq!(
        names(opinions.iter().map(|opinion| opinion.name.as_str()).collect()),
        names(cases.iter().map(|case| case.name.as_str()).collect()),
        "outcomes.json is of other cases: write it anew with {ORACLE}"
    );
    let mut wrong = Vec::new();
    for (case, opinion) in cases.iter().zip(&opinions) {
        let (outcome, asked) = checked(case).await;
        let passes = outcome.is_ok();
        let is_alike =
            passes == opinion.passes && asked == opinion.asked && names_the_same(&outcome, &opinion.said);
        let is_right = match &case.differs {
            None => is_alike,
            Some(_) => !is_alike && Some(passes) == case.passes,
        };
        if !is_right {
            wrong.push(format!("{case:#?}\n{opinion:#?}\nlvsd: {outcome:?}, having asked {asked:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
