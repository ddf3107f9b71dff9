//! More situations: the operator's orders, the stopped tier, the replacement of what is outdated.

use std::time::Duration;

use pool_core::shard::{Market, Shard, StopPhase};
use pool_tests::sim::background::Task;
use pool_tests::{Request, Route};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::situations::{ANN, Act, BOB, ONE, Situation, acquire, ask, free, lease, some_instance, until, waiting};

const OLGA: &str = "AIDAOLGA";
const STOPPED_TIER: &[(&str, &str)] = &[("POOL_STOPPED_SIZE", "1")];

fn about_the_pool(order: &Value) -> Act {
    Act::Call(Request::new(Route::OrderPool).by(OLGA).json(order))
}

fn about_one(instance: &str, verb: &str) -> Act {
    let order = json!({"order": verb, "reason": "a crash is tried"});
    Act::Call(Request::new(Route::OrderInstance).by(OLGA).about(instance).json(&order))
}

/// All of them.
pub(crate) const SITUATIONS: &[Situation] = &[
    Situation {
        name: "the operator pauses launching and caps the pool",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                about_the_pool(&json!({"paused": true, "max_instances": 3, "reason": "a crash is tried"}))
            })
        },
    },
    Situation {
        name: "the operator drains the pool while one is leased",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                lease(world, ANN).await;
                about_the_pool(&json!({"drained": true, "reason": "a crash is tried"}))
            })
        },
    },
    Situation {
        name: "the operator cordons a free instance",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                about_one(&some_instance(world), "cordon")
            })
        },
    },
    Situation {
        name: "the operator drains a leased instance",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                let held = lease(world, ANN).await;
                about_one(&held.text("instance_id"), "drain")
            })
        },
    },
    Situation {
        name: "the operator ends a lease while somebody waits",
        variables: &[("POOL_MIN_AVAILABLE", "0"), ("POOL_MIN", "1")],
        prepare: |world| {
            Box::pin(async move {
                let (held, _) = waiting(world).await;
                Act::Call(Request::new(Route::ForceRelease).by(OLGA).about(&held.text("lease_id")))
            })
        },
    },
    Situation {
        name: "scale while the pool is drained",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                lease(world, ANN).await;
                let order = json!({"drained": true, "reason": "a crash is tried"});
                ask(world, Request::new(Route::OrderPool).by(OLGA).json(&order)).await.is(200);
                Act::Run(Task::Scale)
            })
        },
    },
    Situation {
        name: "reap-idle, the stopped tier is not full",
        variables: STOPPED_TIER,
        prepare: |world| {
            Box::pin(async move {
                let on_demand = |shard: &Shard| {
                    let mut free = shard.free.iter().filter_map(|one| shard.members.get(one));
                    shard.free.len() > 1 && free.any(|member| member.kind.market == Market::OnDemand)
                };
                until(world, "one that can be stopped", |shards| shards.iter().any(on_demand)).await;
                Act::Run(Task::ReapIdle)
            })
        },
    },
    Situation {
        name: "scale starts a stopped instance",
        variables: STOPPED_TIER,
        prepare: |world| {
            Box::pin(async move {
                let stopped = |shard: &Shard| shard.stopped.values().any(|one| one.phase == StopPhase::Stopped);
                until(world, "one that is stopped", |shards| shards.iter().any(stopped)).await;
                sleep(Duration::from_secs(910)).await;
                lease(world, ANN).await;
                ask(world, acquire(BOB, &json!({"wait_seconds": 50}))).await;
                Act::Run(Task::Scale)
            })
        },
    },
    Situation {
        name: "reap-idle, the launch template is newer than a free instance",
        variables: ONE,
        prepare: |world| {
            Box::pin(async move {
                free(world, 1).await;
                pool_tests::sim::chaos::new_version(world);
                // Long enough for `scale` to have asked EC2 for the newest version.
                sleep(Duration::from_secs(121)).await;
                Act::Run(Task::ReapIdle)
            })
        },
    },
];
