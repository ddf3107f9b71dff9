//! The simulator over HTTP: the wire protocol, the admin route, events as they fall due, an orderly end.

use std::sync::{Arc, Mutex};

use ec2_sim::{Config, Ec2, wire};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

const RUN: &str = "Action=RunInstances&ImageId=ami-1&MinCount=1&MaxCount=1&InstanceMarketOptions.MarketType=spot";

/// A served EC2 that takes almost no time for anything.
struct Served {
    address: String,
    events: mpsc::UnboundedReceiver<Value>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

async fn serve() -> Served {
    let config = Config {
        pending_ms: 1,
        shutting_down_ms: 1,
        stopping_ms: 1,
        describe_lag_ms: 0,
        spot_warning_ms: 1,
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (sender, events) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        // A test that drops its sender wants the end too.
        let _ = stopped.await;
    };
    let server = tokio::spawn(wire::serve(
        listener,
        Arc::new(Mutex::new(Ec2::new(config))),
        wire::wall_clock(),
        sender,
        shutdown,
    ));
    Served { address, events, stop, server }
}

impl Served {
    /// One request over a connection of its own: the status and the body.
    async fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: ec2\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    async fn ec2(&self, form: &str) -> (u16, String) {
        self.ask("POST", "/", "application/x-www-form-urlencoded; charset=utf-8", form).await
    }

    async fn admin(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        self.ask(method, &format!("/_admin{path}"), "application/json", &body.to_string()).await
    }

    /// Launches one instance and waits until it runs.
    async fn running(&mut self) -> String {
        let (status, body) = self.ec2(RUN).await;
        assert_eq!(status, 200, "{body}");
        self.next_state("pending").await;
        self.next_state("running").await
    }

    /// The next event is a change to this state; returns the instance's id.
    async fn next_state(&mut self, state: &str) -> String {
        let event = self.events.recv().await.expect("the server lives");
        assert_eq!(event["detail"]["state"], state, "{event}");
        event["detail"]["instance-id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn requests_by_form_and_by_query() {
    let served = serve().await;
    let (status, body) = served.ec2("Action=DescribeInstances&Version=2016-11-15").await;
    assert_eq!(status, 200);
    assert!(body.contains("<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"), "{body}");
    assert_eq!(served.ask("GET", "/?Action=DescribeSubnets", "", "").await.0, 200);
    let (status, body) = served.ec2("Action=Nothing").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Errors><Error><Code>InvalidAction</Code>"), "{body}");
    assert_eq!(served.ec2(&"x".repeat(2_000_000)).await.0, 413);
}

#[tokio::test]
async fn events_come_as_they_fall_due() {
    let mut served = serve().await;
    let id = served.running().await;
    let (status, _) = served.ec2(&format!("Action=TerminateInstances&InstanceId.1={id}")).await;
    assert_eq!(status, 200);
    assert_eq!(served.next_state("shutting-down").await, id);
    assert_eq!(served.next_state("terminated").await, id);
}

#[tokio::test]
async fn what_the_admin_route_does_to_instances() {
    let mut served = serve().await;
    let id = served.running().await;
    let (status, body) = served.admin("GET", "/instances", &Value::Null).await;
    let listed: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &listed["instances"][0]["id"]), (200, &json!(id)));
    for field in ["state", "private_ip", "zone", "market", "boot_no", "guest", "tags"] {
        assert!(!listed["instances"][0][field].is_null(), "{field} in {listed}");
    }
    let guest = json!({ "heartbeats": false });
    assert_eq!(served.admin("PUT", &format!("/instances/{id}/guest"), &guest).await.0, 204);
    assert_eq!(served.admin("POST", &format!("/instances/{id}/rebalance"), &Value::Null).await.0, 204);
    let event = served.events.recv().await.expect("the server lives");
    assert_eq!(event["detail-type"], "EC2 Instance Rebalance Recommendation");
    assert_eq!(served.admin("POST", &format!("/instances/{id}/warn"), &Value::Null).await.0, 204);
    let event = served.events.recv().await.expect("the server lives");
    assert_eq!(event["detail-type"], "EC2 Spot Instance Interruption Warning");
    served.next_state("shutting-down").await;
    served.next_state("terminated").await;

    let id = served.running().await;
    assert_eq!(served.admin("POST", &format!("/instances/{id}/shutdown"), &Value::Null).await.0, 204);
    served.next_state("shutting-down").await;
    served.next_state("terminated").await;
    let id = served.running().await;
    assert_eq!(served.admin("POST", &format!("/instances/{id}/kill"), &Value::Null).await.0, 204);
    served.next_state("terminated").await;
    for path in [format!("/instances/{id}/kill"), "/instances/i-0/warn".to_owned(), format!("/instances/{id}/tickle")] {
        assert_eq!(served.admin("POST", &path, &Value::Null).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn faults_are_read_and_replaced() {
    let served = serve().await;
    let faults = json!({ "no_capacity": ["*/*/spot"], "guest": { "boots": false } });
    assert_eq!(served.admin("PUT", "/faults", &faults).await.0, 204);
    let (status, body) = served.ec2(RUN).await;
    assert_eq!(status, 500, "{body}");
    let (_, body) = served.admin("GET", "/faults", &Value::Null).await;
    let read: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(read["no_capacity"], json!(["*/*/spot"]));
    for wrong in [json!({ "no_capacity": ["a/b/c/d"] }), json!({ "capacity": [] }), json!("none")] {
        let (status, body) = served.admin("PUT", "/faults", &wrong).await;
        assert!((400..500).contains(&status), "{status} {body}");
    }
    let (_, after) = served.admin("GET", "/faults", &Value::Null).await;
    assert_eq!(after, body_of(&read), "a refused change changes nothing");
}

fn body_of(faults: &Value) -> String {
    let faults: ec2_sim::Faults = serde_json::from_value(faults.clone()).expect("faults");
    serde_json::to_string(&faults).expect("JSON")
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let served = serve().await;
    served.stop.send(()).expect("the server waits for it");
    served.server.await.expect("no panic").expect("no failure");
}
