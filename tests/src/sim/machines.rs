//! The machines in EC2: they boot, say `ready`, beat, clean up after leases, fall silent, start again. Each remembers
//! the highest epoch it has seen, as a real node does, and refuses lower ones.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pool_core::ids::InstanceId;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::background::{Task, deliver, spawn};
use crate::sim::callers::call;
use crate::sim::world::lock;
use crate::{Request, Route};

/// EC2 goes on second by second: events come out of it, and new machines begin to boot.
pub async fn life(world: Arc<World>) {
    let mut booted: BTreeSet<(String, u32)> = BTreeSet::new();
    loop {
        for event in world.ec2(ec2_sim::Ec2::advance) {
            deliver(&world, &Task::Event(event));
        }
        for start in running(&world) {
            if booted.insert(start.clone()) {
                spawn(machine(Arc::clone(&world), start.0, start.1));
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Machines that run, each with the number of its start.
fn running(world: &World) -> Vec<(String, u32)> {
    let running = |one: &&ec2_sim::Instance| one.state == ec2_sim::State::Running;
    world.ec2(|ec2, _| ec2.instances().filter(running).map(|one| (one.id.clone(), one.boot_no)).collect())
}

fn is_running(world: &World, id: &str, boot_no: u32) -> bool {
    world.ec2(|ec2, _| {
        let mut same = ec2.instances().filter(|one| one.id == id && one.boot_no == boot_no);
        same.any(|one| one.state == ec2_sim::State::Running)
    })
}

/// The node on one machine, from its boot until the machine is gone.
async fn machine(world: Arc<World>, id: String, boot_no: u32) {
    if world.happens("never_boots", |rates| rates.never_boots) {
        return;
    }
    let Ok(instance) = id.parse::<InstanceId>() else { return };
    sleep(Duration::from_millis(3_000 + world.below(15_000))).await;
    let mut boot_id = u64::from(boot_no) * 1_000 + 1;
    let mut floor = 0;
    let (mut is_ready, mut healthy) = (false, true);
    while is_running(&world, &id, boot_no) {
        if !is_ready {
            let answer = call(&world, ready(&world, &instance, boot_id, floor)).await;
            is_ready = answer.is_some_and(|answer| answer.status == 204);
            sleep(Duration::from_millis(1_000 + world.below(2_000))).await;
            continue;
        }
        if world.happens("falls_silent", |rates| rates.falls_silent) {
            return;
        }
        if world.happens("restarts", |rates| rates.restarts) {
            (boot_id, is_ready) = (boot_id + 1, false);
            continue;
        }
        healthy &= !world.happens("falls_ill", |rates| rates.falls_ill);
        let beat = json!({"healthy": healthy, "cpu_percent": world.below(101), "memory_percent": 30, "sessions": 0});
        let request = Request::new(Route::Heartbeat).by_node(instance.as_str()).json(&beat);
        if let Some(answer) = call(&world, request).await.filter(|answer| answer.status == 200) {
            floor = floor.max(answer.number("epoch_floor"));
            lock(&world.floors).insert(instance.clone(), floor);
            is_ready = answer.body.is_some_and(|body| body["command"] != "register");
        }
        sleep(Duration::from_millis(2_000 + world.below(8_000))).await;
    }
}

/// The word of a node that has cleaned away everything below the epoch it was told.
fn ready(world: &World, instance: &InstanceId, boot_id: u64, floor: u64) -> Request {
    let key = format!("{:016x}{:016x}", world.plan.seed, boot_id ^ floor);
    let mut said: Value = json!({"boot_id": boot_id, "key": key});
    if floor > 0 {
        said["cleaned_epoch"] = (floor - 1).into();
    }
    Request::new(Route::Ready).by_node(instance.as_str()).json(&said)
}
