//! The operator: pauses and drains the pool, caps it, cordons and drains instances, ends leases, and takes back before all
//! is quiet what would keep the pool from what its policy wants.

use std::sync::Arc;
use std::time::Duration;

use pool_core::ids::InstanceId;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::callers::call;
use crate::sim::world::lock;
use crate::{Request, Route};

/// Who operates.
const OPERATOR: &str = "AIDAOPERATOR";

/// Orders something now and then, as long as the run lasts.
pub async fn orders(world: Arc<World>) {
    loop {
        sleep(Duration::from_secs(1)).await;
        if world.happens("ordered", |rates| rates.ordered) {
            order(&world).await;
        }
    }
}

async fn order(world: &Arc<World>) {
    match world.below(10) {
        0 => about_the_pool(world, json!({"paused": true})).await,
        1 | 2 => about_the_pool(world, json!({"paused": false, "drained": false})).await,
        3 => about_the_pool(world, json!({"drained": true})).await,
        4 => {
            let cap = world.plan.caps[usize::try_from(world.below(world.plan.caps.len() as u64)).expect("an index")];
            lock(&world.judge).capped(cap);
            about_the_pool(world, json!({"max_instances": cap})).await;
        }
        5 => about_the_pool(world, json!({"max_instances_as_deployed": true})).await,
        6 | 7 => {
            let verb = if world.below(2) == 0 { "cordon" } else { "drain" };
            if let Some(instance) = any_member(world) {
                about_an_instance(world, &instance, verb).await;
            }
        }
        _ => {
            if let Some(lease) = any_lease(world) {
                call(world, Request::new(Route::ForceRelease).by(OPERATOR).about(&lease)).await;
            }
        }
    }
}

async fn about_the_pool(world: &Arc<World>, mut order: Value) {
    order["reason"] = "the simulation wants it".into();
    call(world, Request::new(Route::OrderPool).by(OPERATOR).json(&order)).await;
}

async fn about_an_instance(world: &Arc<World>, instance: &InstanceId, verb: &str) {
    let order = json!({"order": verb, "reason": "the simulation wants it"});
    call(world, Request::new(Route::OrderInstance).by(OPERATOR).about(instance.as_str()).json(&order)).await;
}

fn any_member(world: &World) -> Option<InstanceId> {
    let judge = lock(&world.judge);
    let members: Vec<_> = judge.shards().iter().flat_map(|shard| shard.members.keys().cloned()).collect();
    drop(judge);
    let place = usize::try_from(world.below(members.len() as u64)).expect("an index");
    members.into_iter().nth(place)
}

fn any_lease(world: &World) -> Option<String> {
    let judge = lock(&world.judge);
    let of = |shard: &pool_core::shard::Shard| {
        let leases = shard.leases.keys().filter_map(|token| shard.lease(token));
        leases.map(|lease| shard.lease_id(&lease).to_string()).collect::<Vec<_>>()
    };
    let leases: Vec<String> = judge.shards().iter().flat_map(of).collect();
    drop(judge);
    let place = usize::try_from(world.below(leases.len() as u64)).expect("an index");
    leases.into_iter().nth(place)
}

/// Takes all orders back, and lets go of the instances that are kept out of service.
pub async fn take_back(world: &Arc<World>) {
    about_the_pool(world, json!({"paused": false, "drained": false, "max_instances_as_deployed": true})).await;
    let cordoned: Vec<InstanceId> = world.control().operator.cordoned.keys().cloned().collect();
    for instance in cordoned {
        about_an_instance(world, &instance, "drain").await;
    }
}
