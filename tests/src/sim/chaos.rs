//! What happens to EC2 and to the deployment from outside: Spot losses with and without notice, hands that terminate
//! and start machines, offerings that run out, a table that throttles for minutes, an outage, another cap.

use std::sync::Arc;
use std::time::Duration;

use ec2_sim::{ErrorNext, Faults, Market};
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::background::spawn;
use crate::sim::operator;
use crate::sim::world::lock;
use crate::stage::POOL;

/// Begins all of it.
pub fn begin(world: &Arc<World>) {
    spawn(ec2(Arc::clone(world)));
    spawn(minutes(Arc::clone(world)));
    spawn(deployments(Arc::clone(world)));
    spawn(versions(Arc::clone(world)));
    spawn(operator::orders(Arc::clone(world)));
}

async fn ec2(world: Arc<World>) {
    loop {
        sleep(Duration::from_secs(1)).await;
        if world.happens("taken", |rates| rates.taken) {
            take(&world);
        }
        if world.happens("capacity", |rates| rates.capacity) {
            let faults = capacity(&world);
            world.ec2(|ec2, _| ec2.set_faults(faults));
        }
        if world.happens("by_hand", |rates| rates.by_hand) {
            start_by_hand(&world);
        }
    }
}

/// Takes one machine away.
fn take(world: &World) {
    let living = |one: &&ec2_sim::Instance| one.state == ec2_sim::State::Running;
    let ids: Vec<(String, Market)> =
        world.ec2(|ec2, _| ec2.instances().filter(living).map(|one| (one.id.clone(), one.market)).collect());
    if ids.is_empty() {
        return;
    }
    let (id, market) = &ids[usize::try_from(world.below(ids.len() as u64)).expect("an index")];
    let how = if *market == Market::Spot { world.below(4) } else { 0 };
    world.line(&format!(
        "EC2 {} {id}",
        ["kills", "kills", "warns", "recommends to replace"][usize::try_from(how).expect("small")]
    ));
    world.ec2(|ec2, now_ms| match how {
        0 | 1 => ec2.kill(now_ms, id),
        2 => ec2.warn_spot(now_ms, id),
        _ => ec2.rebalance(now_ms, id),
    });
}

fn capacity(world: &World) -> Faults {
    let refusing = |action, code| Faults { error_next: vec![ErrorNext::refused(action, code, 2)], ..Faults::default() };
    match world.below(9) {
        0 => Faults { no_capacity: vec!["*/*/spot".to_owned()], ..Faults::default() },
        1 => Faults { no_capacity: vec!["t3.medium".to_owned(), "*/us-east-1a".to_owned()], ..Faults::default() },
        2 => Faults { partial_fleet: Some(1), ..Faults::default() },
        3 => refusing("CreateFleet", "UnauthorizedOperation"),
        4 => refusing("CreateFleet", "VcpuLimitExceeded"),
        5 => refusing("CreateFleet", "RequestLimitExceeded"),
        6 => refusing("StartInstances", "InsufficientInstanceCapacity"),
        _ => Faults::default(),
    }
}

/// Somebody starts a machine with the pool's tag, past the pool.
pub fn start_by_hand(world: &World) {
    let form = format!(
        "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&InstanceType=t3.medium&ImageId=ami-00000000000000001\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=ec2-pool%3Apool\
         &TagSpecification.1.Tag.1.Value={POOL}"
    );
    lock(&world.judge).started_by_hand();
    let answer = world.ec2(|ec2, now_ms| ec2.call(now_ms, &form));
    world.line(&format!("a hand starts a machine: {}", answer.status));
}

async fn minutes(world: Arc<World>) {
    loop {
        sleep(Duration::from_mins(1)).await;
        if world.happens("throttled_minutes", |rates| rates.throttled_minutes) {
            world.throttle(60 + world.below(180));
        }
    }
}

/// A newer image now and then. The last one comes early enough for all that is free to be replaced before all is quiet.
async fn versions(world: Arc<World>) {
    for _ in 5..world.plan.minutes {
        sleep(Duration::from_mins(1)).await;
        if world.happens("new_version", |rates| rates.new_version) {
            new_version(&world);
        }
    }
}

/// The launch template gets a newer version, as a new image brings it.
pub fn new_version(world: &World) {
    let form = format!(
        "Action=CreateLaunchTemplateVersion&Version=2016-11-15&LaunchTemplateId={}&SourceVersion=1\
         &LaunchTemplateData.ImageId=ami-00000000000000002",
        world.launch_template_id()
    );
    let answer = world.ec2(|ec2, now_ms| ec2.call(now_ms, &form));
    world.line(&format!("the launch template gets a newer version: {}", answer.status));
}

/// Another cap every now and then; the processes of the one before go on for two minutes.
async fn deployments(world: Arc<World>) {
    let caps = world.plan.caps.clone();
    for cap in caps.into_iter().skip(1) {
        sleep(Duration::from_secs(120 + world.below(240))).await;
        if world.happens("deployed", |rates| rates.deployed) {
            world.deploy(cap);
            sleep(Duration::from_mins(2)).await;
            world.retire();
        }
    }
}
