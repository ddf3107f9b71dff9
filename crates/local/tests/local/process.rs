//! The whole binary as a user starts it: comes up, answers, stops on a signal and leaves nothing behind.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, ExitStatus, Stdio},
};

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

/// Reads what the binary prints until it has said where the API is.
fn api_of(child: &mut Child) -> String {
    let output = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines().map(|line| line.expect("text"));
    let line = lines.find(|line| line.contains("HTTP API")).expect("the banner names the API");
    line.split_whitespace().last().expect("the address is the last word").to_owned()
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
        let api = api_of(&mut child);
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
