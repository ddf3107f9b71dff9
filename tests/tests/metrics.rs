//! What functions write for CloudWatch: the simulation makes them count and measure everything there is, in the
//! embedded metric format; and the dashboard and the alarms of the template name nothing else.
//!
//! The collector is one for the process, so there is one test that collects.

use std::collections::BTreeSet;

use pool_function::metrics::{self, Metric};
use pool_tests::sim::{Plan, plan::ordinary_seeds, run};
use pool_tests::template;
use serde_json::{Value, json};

/// Runs until everything was counted at least once, at most.
const RUNS_MAX: usize = 8;

/// The metrics that one line of the embedded metric format tells, each with a unit and a value as it should be.
fn told(line: &Value) -> Vec<&'static str> {
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "ec2-pool/browsers");
    assert!(line["_aws"]["Timestamp"].is_u64(), "{line}");
    let dimensions = &directive["Dimensions"][0];
    let metrics = directive["Metrics"].as_array().expect("a list");
    let checked = |metric: &Value| {
        let name = metric["Name"].as_str().expect("a name");
        let known = Metric::ALL.into_iter().find(|known| known.name() == name);
        let known = known.unwrap_or_else(|| panic!("{name} is in no list"));
        let by_dimension = dimensions.as_array().is_some_and(|names| !names.is_empty());
        assert!(!by_dimension || Some(dimensions) == known.dimension().map(|it| json!([it])).as_ref(), "{line}");
        assert_eq!(metric.get("Unit").is_some(), known.unit().is_some(), "{metric}");
        let value = &line[name];
        let is_number = value.is_number() || value.as_array().is_some_and(|all| all.iter().all(Value::is_number));
        assert!(is_number, "{name} is {value}");
        known.name()
    };
    metrics.iter().map(checked).collect()
}

#[test]
fn everything_is_counted_and_measured_in_the_embedded_metric_format() {
    metrics::start("browsers").expect("nothing else collects here");
    let mut missing: BTreeSet<&str> = Metric::ALL.into_iter().map(Metric::name).collect();
    for seed in ordinary_seeds().take(RUNS_MAX) {
        run(&Plan::of(seed)).expect_sound();
        let mut lines = Vec::new();
        metrics::flush(&mut lines, "a-run", Some("a-request"));
        for line in String::from_utf8(lines).expect("text").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!((&line["request_id"], &line["trace_id"]), (&json!("a-run"), &json!("a-request")));
            for name in told(&line) {
                missing.remove(name);
            }
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never told: {missing:?}");
}

#[test]
fn the_dashboard_shows_every_metric_and_the_alarms_watch_no_other() {
    let template = template::read();
    let names: BTreeSet<&str> = Metric::ALL.into_iter().map(Metric::name).collect();
    let is_own = |metric: &&serde_yaml_ng::Value| match &metric["Namespace"] {
        serde_yaml_ng::Value::Tagged(namespace) => namespace.value == "ec2-pool/${AWS::StackName}",
        _ => false,
    };
    let watched = template::having(&template["Resources"], "MetricName");
    let own: Vec<_> = watched.into_iter().filter(is_own).collect();
    assert!(own.len() > 5, "the alarms are written otherwise: {own:?}");
    for metric in own {
        let name = metric["MetricName"].as_str().expect("a name");
        assert!(names.contains(name), "{name} is measured by nobody");
    }
    let serde_yaml_ng::Value::Tagged(body) = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"] else {
        panic!("the dashboard is a text with substitutions");
    };
    let body: Value = serde_json::from_str(body.value.as_str().expect("a text")).expect("the dashboard is JSON");
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().expect("widgets") {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            if metric[0] == "ec2-pool/${AWS::StackName}" {
                shown.insert(metric[1].as_str().expect("a name").to_owned());
            } else if let Some(expression) = metric[0]["expression"].as_str() {
                let searched = expression.split("MetricName=\"").nth(1).and_then(|rest| rest.split('"').next());
                shown.extend(searched.map(str::to_owned));
            }
        }
    }
    assert_eq!(shown, names.into_iter().map(str::to_owned).collect());
}
