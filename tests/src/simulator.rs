//! The simulated EC2 behind its wire protocol, on the stage's clock instead of the machine's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use ec2_sim::{Answer, Config, Ec2, Faults};
use serde_json::Value;

use crate::clock::Clock;

const CREATE_LAUNCH_TEMPLATE: &str = "Action=CreateLaunchTemplate&Version=2016-11-15&LaunchTemplateName=ec2-pool\
    &LaunchTemplateData.ImageId=ami-00000000000000001\
    &LaunchTemplateData.InstanceType=t3.medium\
    &LaunchTemplateData.InstanceInitiatedShutdownBehavior=terminate";

/// A simulated EC2 in which everything that takes time is done by the next call.
#[derive(Clone)]
pub struct Simulator {
    ec2: Arc<Mutex<Ec2>>,
    clock: Clock,
    calls: Arc<Mutex<Vec<String>>>,
    /// Calls that contain this are not answered.
    lost: Arc<Mutex<Option<&'static str>>>,
}

/// What the functions must know of an EC2.
pub struct Place {
    /// A client that speaks to it.
    pub client: Client,
    /// Its launch template.
    pub launch_template_id: String,
    /// Its subnets, separated by commas.
    pub subnets: String,
}

impl Simulator {
    /// Starts one.
    pub async fn start(clock: Clock) -> (Self, Place) {
        let config = Config { pending_ms: 0, shutting_down_ms: 0, describe_lag_ms: 0, ..Config::default() };
        let subnets = config.subnets.iter().map(|subnet| subnet.id.as_str()).collect::<Vec<_>>().join(",");
        let simulator =
            Self { ec2: Arc::new(Mutex::new(Ec2::new(config))), clock, calls: Arc::default(), lost: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let router = Router::new().route("/", post(answer)).with_state(simulator.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let made = simulator.with(|ec2, now_ms| ec2.call(now_ms, CREATE_LAUNCH_TEMPLATE)).body;
        let launch_template_id = element(&made, "launchTemplateId").expect("the template is sound").to_owned();
        (simulator, Place { client: client(&endpoint), launch_template_id, subnets })
    }

    /// Does something to EC2 at the present time in Unix milliseconds.
    pub fn with<T>(&self, act: impl FnOnce(&mut Ec2, u64) -> T) -> T {
        act(&mut self.ec2(), self.clock.now_ms())
    }

    /// Lets happen what is due; answers the events that EventBridge would carry.
    pub fn events(&self) -> Vec<Value> {
        self.with(Ec2::advance)
    }

    /// Orders faults.
    pub fn fail(&self, faults: Faults) {
        self.with(|ec2, _| ec2.set_faults(faults));
    }

    /// Loses every call that contains this text on its way to EC2, until it is told otherwise.
    pub fn lose(&self, containing: Option<&'static str>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = containing;
    }

    /// Ids of instances that are neither ended nor ending.
    #[must_use]
    pub fn alive(&self) -> Vec<String> {
        self.with(|ec2, now_ms| {
            ec2.advance(now_ms);
            let living = ec2.instances().filter(|one| matches!(one.state.name(), "pending" | "running" | "stopped"));
            living.map(|one| one.id.clone()).collect()
        })
    }

    /// Calls of an action so far, as they came.
    #[must_use]
    pub fn calls_of(&self, action: &str) -> Vec<String> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let named = format!("Action={action}&");
        calls.iter().filter(|form| form.starts_with(&named)).cloned().collect()
    }

    fn ec2(&self) -> MutexGuard<'_, Ec2> {
        self.ec2.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(simulator): State<Simulator>, form: String) -> Response {
    let lost = *simulator.lost.lock().unwrap_or_else(PoisonError::into_inner);
    if lost.is_some_and(|text| form.contains(text)) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let Answer { status, body } = simulator.with(|ec2, now_ms| ec2.call(now_ms, &form));
    simulator.calls.lock().unwrap_or_else(PoisonError::into_inner).push(form);
    let status = StatusCode::from_u16(status).expect("the simulator answers HTTP statuses");
    (status, [(header::CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response()
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}
