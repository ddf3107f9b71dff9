//! The whole binary as a user starts it: comes up, answers, stops on a signal and leaves nothing behind.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
};

use pool_local::dynamodb::DynamoDb;
use serde_json::{Value, json};

use crate::stage::{Directory, is_alive, signal, wait_for};

const PORTS: [&str; 4] = ["--port", "--lambda-port", "--dynamodb-port", "--ec2-port"];

/// The binary with the actor as every function, on ports that the system chooses.
fn pool_local(binaries: &Directory) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pool-local"));
    command.arg("--binaries").arg(&binaries.0).stdin(Stdio::null()).stdout(Stdio::piped());
    command.env_remove("AWS_ENDPOINT_URL_DYNAMODB").env_remove("AWS_ENDPOINT_URL_EC2");
    command
}

/// Where the parts of a running system are.
struct Parts {
    api: String,
    dynamodb: String,
    ec2: String,
}

/// Reads what the binary prints until it has said where its parts are.
fn parts_of(child: &mut Child) -> Parts {
    let output = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines().map(|line| line.expect("text"));
    let mut address_after = |name: &str| {
        let line = lines.find(|line| line.contains(name)).expect("the banner names every part");
        line.split_whitespace().find(|word| word.starts_with("http")).expect("an address").to_owned()
    };
    Parts { api: address_after("HTTP API"), dynamodb: address_after("DynamoDB"), ec2: address_after("EC2") }
}

async fn end_of(child: &mut Child) -> ExitStatus {
    wait_for("the end of the binary", || child.try_wait().expect("it is a child")).await
}

#[tokio::test]
async fn it_comes_up_and_stops_on_a_signal_without_a_trace() {
    let binaries = Directory::of_actors();
    for stop in ["-INT", "-TERM"] {
        let data = Directory::new();
        let mut command = pool_local(&binaries);
        command.arg("--data").arg(&data.0);
        for port in PORTS {
            command.args([port, "0"]);
        }
        let mut child = command.spawn().expect("the binary starts");
        let Parts { api, .. } = parts_of(&mut child);
        let answer = reqwest::get(format!("{api}/v1/pool")).await.expect("the API answers");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["table"], json!("ec2-pool"));
        let function = answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");

        signal(stop, child.id());
        assert!(end_of(&mut child).await.success());
        assert!(!is_alive(function));
        assert!(data.0.join("dynamodb.sqlite").is_file());
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_flag() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let taken = (taken.local_addr().expect("an address").port().to_string(), taken);
    let binaries = Directory::of_actors();
    for flag in PORTS {
        let mut command = pool_local(&binaries);
        for port in PORTS {
            command.args([port, if port == flag { taken.0.as_str() } else { "0" }]);
        }
        let output = command.stderr(Stdio::piped()).output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains(&format!("{flag} PORT")) && said.contains(&taken.0), "{said}");
    }
}

/// A running binary whose functions keep a diary.
struct Running {
    child: Child,
    parts: Parts,
    diary: Directory,
    health_port: u16,
    _binaries: Directory,
}

impl Running {
    fn start(register_answer: &Value) -> Self {
        let (binaries, diary) = (Directory::of_actors(), Directory::new());
        let free_port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("an address");
        let mut command = pool_local(&binaries);
        command
            .args(["--time-scale", "10", "--boot-seconds", "1"])
            .env("POOL_ACTOR_DIARY", &diary.0)
            .env("POOL_ACTOR_ANSWER", register_answer.to_string())
            .env("POOL_HEARTBEAT_SECONDS", "1")
            .env("POOL_HEALTH_PORT", free_port.port().to_string());
        for port in PORTS {
            command.args([port, "0"]);
        }
        let mut child = command.spawn().expect("the binary starts");
        let parts = parts_of(&mut child);
        Self { child, parts, diary, health_port: free_port.port(), _binaries: binaries }
    }

    /// Waits for an event that `function` received and that is like `is_it`.
    async fn event(&self, function: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let prefix = format!("{function}.");
        wait_for(&format!("an event for {function}"), || {
            let pages = self.diary.names().into_iter().filter(|name| name.starts_with(&prefix));
            let events =
                pages.filter_map(|page| serde_json::from_slice(&std::fs::read(self.diary.0.join(page)).ok()?).ok());
            events.into_iter().find(&is_it)
        })
        .await
    }

    async fn launch(&self) {
        let form = "Action=RunInstances&Version=2016-11-15&ImageId=ami-00000000000000001&InstanceType=t3.medium&MinCount=1&MaxCount=1\
                    &SubnetId=subnet-00000000000000001";
        let request = reqwest::Client::new().post(format!("{}/", self.parts.ec2));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.expect("EC2 answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }

    async fn instances(&self) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/_admin/instances", self.parts.ec2)).await.expect("EC2 answers");
        let answer: Value = answer.json().await.expect("JSON");
        answer["instances"].as_array().cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn schedules_and_the_table_s_stream_reach_scale() {
    let mut running = Running::start(&json!({}));
    running.event("scale", |event| event["detail-type"] == "Scheduled Event").await;
    running.event("reap-idle", |event| event["detail-type"] == "Scheduled Event").await;

    let dynamodb = DynamoDb::new(reqwest::Client::new(), running.parts.dynamodb.clone());
    for key in ["shard#0", "wake"] {
        let input = json!({"TableName": "ec2-pool", "Item": {"pk": {"S": key}}});
        dynamodb.call("DynamoDB_20120810.PutItem", &input).await.expect("the table is there");
    }
    let event = running.event("scale", |event| event.get("Records").is_some()).await;
    assert_eq!(event["Records"].as_array().map(Vec::len), Some(1));
    assert_eq!(event.pointer("/Records/0/dynamodb/Keys/pk/S"), Some(&json!("wake")));
    assert_eq!(event.pointer("/Records/0/eventSource"), Some(&json!("aws:dynamodb")));
    let typed: Result<aws_lambda_events::dynamodb::Event, _> = serde_json::from_value(event);
    assert!(typed.is_ok(), "{typed:?}");

    signal("-TERM", running.child.id());
    assert!(end_of(&mut running.child).await.success());
}

#[tokio::test]
async fn an_instance_boots_registers_obeys_and_dies_with_its_process() {
    let mut running = Running::start(&json!({"epoch_floor": 8, "lease": null, "command": "register"}));
    running.launch().await;
    let is_ready = |event: &Value| event["rawPath"].as_str().is_some_and(|path| path.ends_with("/ready"));
    let ready = running.event("register", is_ready).await;
    let id = ready.pointer("/pathParameters/id").and_then(Value::as_str).expect("an instance id").to_owned();
    let user_id = ready.pointer("/requestContext/authorizer/iam/userId").cloned();
    assert_eq!(user_id, Some(json!(format!("AROALOCALNODEROLE0000:{id}"))));
    let body = body_of(&ready);
    assert_eq!(body["boot_id"], 1);
    assert_eq!(body["key"].as_str().map(str::len), Some(32));

    // Only Linux has all of 127.0.0.0/8 without being told.
    if cfg!(target_os = "linux") {
        let instance = running.instances().await.into_iter().find(|instance| instance["id"] == id.as_str());
        let address = instance.and_then(|instance| instance["private_ip"].as_str().map(str::to_owned));
        let url = format!("http://{}:{}/health", address.expect("an address"), running.health_port);
        let health = reqwest::get(url).await.expect("the health check answers");
        assert!(health.status().is_success());
    }

    let again =
        running.event("register", |event| is_ready(event) && body_of(event).get("cleaned_epoch").is_some()).await;
    assert_eq!((&body_of(&again)["cleaned_epoch"], &body_of(&again)["key"]), (&json!(7), &body["key"]));
    let heartbeat = running
        .event("register", |event| event["rawPath"].as_str().is_some_and(|path| path.ends_with("/heartbeat")))
        .await;
    assert_eq!(body_of(&heartbeat)["healthy"], true);

    let is_end =
        |event: &Value| event["detail"]["state"] == "terminated" && event["detail"]["instance-id"] == id.as_str();
    signal("-KILL", machine_of(&id));
    running.event("on-instance-state-change", is_end).await;
    assert!(
        running
            .instances()
            .await
            .iter()
            .all(|instance| instance["id"] != id.as_str() || instance["state"] == "terminated")
    );

    running.launch().await;
    let other = running
        .event("register", |event| is_ready(event) && event.pointer("/pathParameters/id") != Some(&json!(id)))
        .await;
    let other = machine_of(other.pointer("/pathParameters/id").and_then(Value::as_str).expect("an instance id"));
    signal("-TERM", running.child.id());
    assert!(end_of(&mut running.child).await.success());
    assert!(!is_alive(other));
}

fn body_of(event: &Value) -> Value {
    serde_json::from_str(event["body"].as_str().unwrap_or_default()).unwrap_or_default()
}

/// The process that plays the instance.
fn machine_of(instance: &str) -> u32 {
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().expect("ps runs");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        list.lines().find(|line| line.contains(" node --id ") && line.contains(instance)).expect("it has a process");
    line.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a process id")
}
