//! `template.yaml` gives each function the permissions that it needs and no others.
//!
//! What is needed is not a list kept by hand: the simulation has every function meet every situation, and what it asked
//! of the engines is held against the template, both ways.

use std::collections::{BTreeMap, BTreeSet};

use pool_core::policy::Policy;
use pool_tests::request::root;
use pool_tests::sim::{Plan, run};
use pool_tests::template;
use serde_yaml_ng::Value;

/// Seeds whose functions between them make every call there is.
const SEEDS: [u64; 6] = [0, 1, 2, 5, 7, 1_005];

/// What EC2 wants to be allowed beside `CreateFleet`, since it acts for the caller
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-prerequisites.html>).
const BESIDE_CREATE_FLEET: [&str; 4] =
    ["ec2:CreateTags", "ec2:RunInstances", "iam:CreateServiceLinkedRole", "iam:PassRole"];

type Actions = BTreeMap<String, BTreeSet<String>>;

/// The functions of the template.
fn functions(template: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let functions = template::of_type(template, "AWS::Serverless::Function");
    functions.map(|(name, resource)| (name, &resource["Properties"]))
}

/// One value, or each of several.
fn each(value: &Value) -> Vec<&Value> {
    value.as_sequence().map_or_else(|| vec![value], |items| items.iter().collect())
}

/// The statements of the role of a function's own; of one that stands behind a condition, the statement itself.
fn statements<'a>(template: &'a Value, function: &str) -> Vec<&'a Value> {
    let role = &template["Resources"][format!("{function}Role").as_str()];
    assert_eq!(role["Type"], "AWS::IAM::Role", "{function}");
    let policies = each(&role["Properties"]["Policies"]).into_iter();
    let statements = policies.flat_map(|policy| each(&policy["PolicyDocument"]["Statement"]));
    statements
        .map(|statement| match statement {
            Value::Tagged(choice) if choice.tag == "If" => &choice.value[1],
            statement => statement,
        })
        .collect()
}

fn actions(statement: &Value) -> Vec<String> {
    each(&statement["Action"]).into_iter().map(|action| action.as_str().expect("an action").to_owned()).collect()
}

/// What Lambda itself needs of a function's role: to log and to trace, and for an asynchronous one to keep what failed.
const LAMBDA_NEEDS: [&str; 5] = ["Log", "Trace", "KeepWhatFailed", "HearOfWaiters", "FindTheStream"];

/// What the functions themselves may do.
fn allowed(template: &Value) -> Actions {
    let own = |statement: &&Value| !LAMBDA_NEEDS.iter().any(|sid| statement["Sid"] == *sid);
    let of = |name: &str| statements(template, name).into_iter().filter(own).flat_map(actions).collect();
    functions(template).map(|(name, _)| (name.to_owned(), of(name))).collect()
}

/// What each function asked for in the simulation, by its name in the template.
fn asked(template: &Value) -> Actions {
    let mut names = BTreeMap::from([
        ("scale".to_owned(), "Scale".to_owned()),
        ("reap-idle".to_owned(), "ReapIdle".to_owned()),
        ("event".to_owned(), "OnInstanceStateChange".to_owned()),
    ]);
    for (_, route) in template::of_type(template, "AWS::ApiGatewayV2::Route") {
        let Value::Tagged(target) = &route["Properties"]["Target"] else { panic!("{route:?} has no target") };
        let target = target.value.as_str().expect("a text");
        let function = target.strip_prefix("integrations/${").and_then(|rest| rest.strip_suffix("Integration}"));
        let key = route["Properties"]["RouteKey"].as_str().expect("a method and a path");
        names.insert(key.to_owned(), function.expect("a route's target is an integration").to_owned());
    }
    // A stopped instance is started when it has been stopped for a quarter of an hour, which under faults none ever is.
    let mut long = Plan { minutes: 40, ..Plan::calm(3) };
    long.variables.retain(|(name, _)| name != "POOL_STOPPED_SIZE");
    long.variables.push(("POOL_STOPPED_SIZE".to_owned(), "1".to_owned()));
    let mut asked = Actions::new();
    for plan in SEEDS.map(Plan::of).into_iter().chain([long]) {
        let report = run(&plan);
        report.expect_sound();
        for (function, action) in report.asked.iter().filter(|(function, _)| !function.is_empty()) {
            let name = names.get(function).unwrap_or_else(|| panic!("{function} is in no template"));
            asked.entry(name.clone()).or_default().insert(action.clone());
        }
    }
    asked
}

#[test]
fn every_function_may_do_what_it_does_and_nothing_else() {
    let template = template::read();
    let mut needed = asked(&template);
    let scale = needed.get_mut("Scale").expect("it runs");
    scale.extend(BESIDE_CREATE_FLEET.map(str::to_owned));
    assert_eq!(allowed(&template), needed);
}

/// Reads, and X-Ray's calls, know no resources.
fn harmless(action: &str) -> bool {
    ["ec2:Describe", "dynamodb:ListStreams", "xray:Put"].iter().any(|known| action.starts_with(known))
}

#[test]
fn what_changes_something_is_tied_to_a_resource() {
    let template = template::read();
    for (name, function) in functions(&template) {
        let role = matches!(&function["Role"], Value::Tagged(it) if it.value == format!("{name}Role.Arn"));
        assert!(role && function.get("Policies").is_none(), "{name} has a role of its own and no other");
        for statement in statements(&template, name) {
            let everything = each(&statement["Resource"]).into_iter().any(|resource| resource == "*");
            let changing: Vec<_> = actions(statement).into_iter().filter(|action| !harmless(action)).collect();
            assert!(!everything || changing.is_empty(), "{name}: {changing:?} on everything");
            assert_eq!(statement["Effect"], "Allow");
        }
    }
}

#[test]
fn what_the_template_accepts_a_function_starts_with() {
    let template = template::read();
    let variables = template["Globals"]["Function"]["Environment"]["Variables"].as_mapping().expect("variables");
    let mut compared = 0;
    for (name, value) in variables {
        let (name, parameter) = (name.as_str().expect("a name"), reference(value));
        let Some(parameter) = parameter.map(|it| &template["Parameters"][it]).filter(|it| it["Type"] == "Number")
        else {
            continue;
        };
        let limit = |limit: &str| parameter[limit].as_u64().unwrap_or_else(|| panic!("{name} has no {limit}"));
        let is_refused = |value: u64| {
            let told = Policy::parse([(name, value.to_string())]).err().map(|errors| errors.to_string());
            told.is_some_and(|told| told.contains("must be a whole number") || told.contains("invalid"))
        };
        for value in [limit("MinValue"), limit("MaxValue"), parameter["Default"].as_u64().expect("a default")] {
            assert!(!is_refused(value), "{name} = {value} is accepted by the template and by no function");
        }
        // The service runs without privileges, so its port is above those that the code would take.
        if name != "POOL_HEALTH_PORT" {
            assert!(is_refused(limit("MaxValue") + 1), "{name} may be more than the template says");
        }
        compared += 1;
    }
    assert!(compared > 25, "{compared} parameters");
}

/// `POOL_` names in a text.
fn pool_names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    words.filter(|word| word.starts_with("POOL_") && word.len() > "POOL_".len()).collect()
}

#[test]
fn functions_and_variables_have_the_names_that_the_crates_give_them() {
    let template = template::read();
    let mut functions_of_crates: BTreeSet<String> = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("the crates") {
        let folder = entry.expect("a crate").path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        // What a Lambda binary alone needs.
        if folder.join("src/main.rs").exists()
            && manifest.contains("pool-function")
            && manifest.contains("lambda_runtime")
        {
            functions_of_crates.insert(folder.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    let functions_of_template: BTreeSet<&str> = functions(&template).map(|(name, _)| name).collect();
    let makefile = std::fs::read_to_string(root().join("crates/function/Makefile")).expect("it makes the functions");
    let rules = makefile.lines().filter_map(|line| line.strip_prefix("build-")?.split_once(": "));
    let made: BTreeMap<&str, &str> = rules.collect();
    for (name, binary) in &made {
        let camel: String = binary.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect();
        assert_eq!(camel, *name, "the resource of {binary} has its name");
    }
    assert!(made.keys().copied().eq(functions_of_template), "{made:?}");
    assert!(made.into_values().map(str::to_owned).collect::<BTreeSet<_>>() == functions_of_crates);
    let mut variables: BTreeSet<String> = BTreeSet::new();
    let mut with = |given: &Value| {
        let names = given.as_mapping().into_iter().flat_map(serde_yaml_ng::Mapping::keys);
        variables.extend(names.filter_map(|name| Some(name.as_str()?.to_owned())).filter(|it| it.starts_with("POOL_")));
    };
    with(&template["Globals"]["Function"]["Environment"]["Variables"]);
    for (_, function) in functions(&template) {
        with(&function["Environment"]["Variables"]);
    }

    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a source");
    let (policy, settings) = (read("crates/core/src/policy.rs"), read("crates/function/src/settings.rs"));
    let known: BTreeSet<String> =
        pool_names(&policy).into_iter().chain(pool_names(&settings)).map(str::to_owned).collect();
    assert!(known.len() > 40, "{known:?}");
    assert_eq!(variables, known);
}

/// The name behind `!Ref`.
fn reference(value: &Value) -> Option<&str> {
    match value {
        Value::Tagged(tagged) if tagged.tag == "Ref" => tagged.value.as_str(),
        _ => None,
    }
}

#[test]
fn every_alarm_says_what_it_means_and_has_a_section_in_the_runbook() {
    let template = template::read();
    let runbook = std::fs::read_to_string(root().join("docs/runbook.md")).expect("the runbook is there");
    let sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut names = BTreeSet::new();
    for (name, alarm) in template::of_type(&template, "AWS::CloudWatch::Alarm") {
        let said = alarm["Properties"]["AlarmDescription"].as_str().unwrap_or_default();
        assert!(said.ends_with(&format!("See {name} in docs/runbook.md.")), "{name}: {said}");
        names.insert(name);
    }
    assert_eq!(names, sections);
}
