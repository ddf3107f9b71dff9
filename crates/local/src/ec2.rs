//! The simulated EC2 of this system: its network, its launch template and its task.
//!
//! Rule: how EC2 behaves is `ec2-sim`'s business. Here is only what a platform engineer would have set up before deploying.

use std::sync::{Arc, Mutex};

use ec2_sim::{Config, Ec2, Subnet};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};

use crate::{
    clock::{self, Clock},
    stop::Stop,
    variables::{ACCOUNT_ID, Ec2Variables, REGION},
};

/// EC2's delays: from launch to running takes it some seconds, and ending longer.
const PENDING_MS: u64 = 3_000;
const SHUTTING_DOWN_MS: u64 = 5_000;
const STOPPING_MS: u64 = 5_000;
const DESCRIBE_LAG_MS: u64 = 500;
/// All of 127.0.0.0/8 is loopback on Linux, so every machine can have an address of its own there.
const ADDRESS_NETWORK: (u8, u8) = (127, 77);
const SUBNETS: [(&str, &str); 2] = [("subnet-00000000000000001", "local-1a"), ("subnet-00000000000000002", "local-1b")];
/// The launch template says what the deployed one says as far as the pool depends on it.
const CREATE_LAUNCH_TEMPLATE: &str = "Action=CreateLaunchTemplate&Version=2016-11-15&LaunchTemplateName=ec2-pool\
    &LaunchTemplateData.ImageId=ami-00000000000000001\
    &LaunchTemplateData.InstanceType=t3.medium\
    &LaunchTemplateData.InstanceInitiatedShutdownBehavior=terminate";

/// An EC2 with two subnets and a launch template, and what the functions must know about it.
///
/// # Errors
/// A sentence, when the simulator refuses the launch template.
pub fn simulated(clock: Clock) -> Result<(Arc<Mutex<Ec2>>, Ec2Variables), String> {
    let mut ec2 = Ec2::new(Config {
        // Ids must not come again after a restart: a table kept with --data remembers instances that are gone.
        seed: clock::random_number(),
        account_id: ACCOUNT_ID.to_owned(),
        region: REGION.to_owned(),
        pending_ms: PENDING_MS,
        shutting_down_ms: SHUTTING_DOWN_MS,
        stopping_ms: STOPPING_MS,
        describe_lag_ms: DESCRIBE_LAG_MS,
        address_network: ADDRESS_NETWORK,
        subnets: SUBNETS.map(|(id, zone)| Subnet { id: id.to_owned(), zone: zone.to_owned() }).into(),
        ..Config::default()
    });
    let answer = ec2.call(clock.now_ms(), CREATE_LAUNCH_TEMPLATE);
    let launch_template_id = element(&answer.body, "launchTemplateId")
        .ok_or_else(|| format!("the simulated EC2 made no launch template: {} {}", answer.status, answer.body))?
        .to_owned();
    let subnets = SUBNETS.map(|(id, _)| id).join(",");
    Ok((Arc::new(Mutex::new(ec2)), Ec2Variables { launch_template_id, subnets }))
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// Serves EC2's wire protocol until told to stop, and drives the simulator's time.
///
/// # Errors
/// A sentence, when the listener fails.
pub async fn serve(
    listener: TcpListener,
    ec2: Arc<Mutex<Ec2>>,
    clock: Clock,
    events: UnboundedSender<Value>,
    stop: Stop,
) -> Result<(), String> {
    ec2_sim::wire::serve(listener, ec2, Arc::new(move || clock.now_ms()), events, stop.wanted())
        .await
        .map_err(|error| error.to_string())
}
